//! Our readers beside those of installers and of people: whatever we accept, Python's `tarfile` and
//! `zipfile`, the tar of two npm clients and bsdtar read the same way.
//!
//! Mutants of real archives, with checksums made right again so that the damage reaches the
//! parsers, and archives put together at random from what tools and attackers write. We may refuse
//! more; we may never see another tree.

use std::fs;
use std::io::{Cursor, Read as _};
use std::path::Path;
use std::process::Command;

use countersign::inspect::gzip::Member;
use countersign::inspect::tar::Reader;
use countersign::inspect::zip::Archive;
use countersign::inspect::{Failure, Limits};
use proptest::prelude::*;
use sha2::Digest as _;

use super::build::{self, gz, sum};
use super::real_packages::{data, read_npm, read_python};
use crate::support::tools::tools;

/// Path, directory or not, SHA-256 of the content in hex.
type Tree = Vec<(String, bool, String)>;

/// Prints, per file of a directory in name order, what Python finds in it.
const PYTHON: &str = r#"
import hashlib, json, os, sys, tarfile, zipfile
out = {}
for name in sorted(os.listdir(sys.argv[1])):
    path = os.path.join(sys.argv[1], name)
    tree = []
    try:
        if name.endswith("gz"):
            with tarfile.open(path, "r:gz", encoding="utf-8") as tar:
                for m in tar:
                    body = tar.extractfile(m).read() if m.isreg() else b""
                    tree.append([m.name, m.isdir(), hashlib.sha256(body).hexdigest()])
        else:
            with zipfile.ZipFile(path) as z:
                for m in z.infolist():
                    body = z.read(m)
                    tree.append([m.filename.rstrip("/"), m.is_dir(), hashlib.sha256(body).hexdigest()])
        out[name] = tree
    except Exception as error:
        out[name] = repr(error)
json.dump(out, sys.stdout)
"#;

/// The same for the tar reader at a path.
const NODE: &str = r"
const fs = require('node:fs'), path = require('node:path'), crypto = require('node:crypto')
const [reader, folder] = process.argv.slice(1)
const tar = require(reader)
const out = {}
for (const name of fs.readdirSync(folder).filter((name) => name.endsWith('gz'))) {
  const tree = []
  const onReadEntry = (entry) => {
    const hash = crypto.createHash('sha256')
    const at = tree.push([entry.path.replace(/\/$/, ''), entry.type === 'Directory', '']) - 1
    entry.on('data', (piece) => hash.update(piece))
    entry.on('end', () => { tree[at][2] = hash.digest('hex') })
  }
  try {
    tar.t({ file: path.join(folder, name), sync: true, strict: true, onReadEntry })
    out[name] = tree
  } catch (error) { out[name] = String(error) }
}
console.log(JSON.stringify(out))
";

type Read = serde_json::Map<String, serde_json::Value>;

fn python(directory: &Path) -> Read {
    read_by(Command::new("python3").args(["-c", PYTHON]).arg(directory))
}

/// What the tar reader inside an npm client finds.
fn npm(client: &str, directory: &Path) -> Read {
    let reader = tools().join("npm/node_modules").join(client).join("node_modules/tar");
    read_by(Command::new("node").args(["-e", NODE]).args([&reader, directory]))
}

fn read_by(command: &mut Command) -> Read {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The files, without the folders, that bsdtar finds, sorted.
fn bsdtar(archive: &Path) -> Result<Tree, String> {
    let output = Command::new("bsdtar")
        .args(["-cf", "-", "--format=mtree", "--options=!all,type,sha256"])
        .arg(format!("@{}", archive.display()))
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("bsdtar runs; scripts/tools.sh installs it");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| line.contains(" type=file"));
    Ok(files(lines.map(|line| {
        let (path, keys) = line.split_once(' ').unwrap();
        let hash = keys.split("sha256digest=").nth(1).unwrap_or(EMPTY);
        (unescaped(path.strip_prefix("./").unwrap_or(path)), false, hash.to_owned())
    })))
}

/// SHA-256 of nothing, which bsdtar leaves out.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn files(tree: impl IntoIterator<Item = (String, bool, String)>) -> Tree {
    let mut files: Tree = tree.into_iter().filter(|(_, directory, _)| !directory).collect();
    files.sort();
    files
}

/// Names in mtree hold what is not plain as three octal digits.
fn unescaped(name: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), name.as_bytes());
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\').then(|| std::str::from_utf8(tail.get(..3)?).ok()).flatten();
        let spelled = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(spelled.unwrap_or(*first));
        rest = if spelled.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tar_tree(bytes: &[u8]) -> Result<Tree, Failure> {
    let limits = Limits::default();
    let mut archive = Reader::new(Member::new(bytes, &limits), &limits);
    let mut tree = Tree::new();
    while let Some(entry) = archive.next_entry()? {
        let mut body = Vec::new();
        archive.read_to_end(&mut body)?;
        tree.push((entry.path().to_owned(), entry.is_directory(), hash(&body)));
    }
    Ok(tree)
}

fn zip_tree(bytes: &[u8]) -> Result<Tree, Failure> {
    let mut archive = Archive::open(Cursor::new(bytes), &Limits::default())?;
    let mut tree = Tree::new();
    for entry in archive.entries().to_vec() {
        let body = archive.content(&entry, u64::MAX)?;
        tree.push((entry.path().to_owned(), entry.is_directory(), hash(&body)));
    }
    Ok(tree)
}

fn hash(body: &[u8]) -> String {
    let digest: [u8; 32] = sha2::Sha256::digest(body).into();
    countersign::domain::digest::Sha256::from_bytes(digest).to_string()
}

/// A fixed sequence of numbers, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

fn unpacked(name: &str) -> Vec<u8> {
    let bytes = fs::read(data().join(name)).unwrap();
    let mut tar = Vec::new();
    Member::new(&bytes[..], &Limits::default()).read_to_end(&mut tar).unwrap();
    tar
}

/// Bytes that mean something to some reader.
const INTERESTING: [u8; 16] = *b"\0 /.\\07x5L\n=\x80\xff0A";

/// Damages one to three bytes of one header and makes its checksum right again.
fn damaged_tar(tar: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let headers: Vec<usize> = (0..tar.len())
        .step_by(512)
        .filter(|at| tar.get(at + 257..at + 262) == Some(b"ustar"))
        .collect();
    let start = headers[numbers.below(headers.len())];
    for _ in 0..=numbers.below(3) {
        // Half of the damage goes to name, size and type, where readers differ.
        let at = match numbers.below(4) {
            0 => numbers.below(100),
            1 => 124 + numbers.below(33),
            _ => numbers.below(1024),
        };
        if let Some(byte) = tar.get_mut(start + at) {
            *byte = INTERESTING[numbers.below(INTERESTING.len())];
        }
    }
    sum(&mut tar[start..start + 512]);
    tar
}

/// What others read differently than we did.
fn differing(trees: &[(String, Tree)], directory: &Path) -> Vec<String> {
    let mut differing = Vec::new();
    let readers = [
        ("Python", python(directory)),
        ("npm 11", npm("npm11", directory)),
        ("npm 12", npm("npm12", directory)),
    ];
    for (name, ours) in trees {
        // npm reads no wheels.
        let readers = if name.ends_with("gz") { &readers[..] } else { &readers[..1] };
        for (reader, theirs) in readers {
            if theirs[name] != serde_json::json!(ours) {
                differing.push(format!("{name}: {reader} reads {}", theirs[name]));
            }
        }
        let theirs = bsdtar(&directory.join(name));
        if theirs.as_ref() != Ok(&files(ours.clone())) {
            differing.push(format!("{name}: bsdtar reads {theirs:?}, we {ours:?}"));
        }
    }
    differing
}

fn compare(trees: &[(String, Tree)], directory: &Path) -> usize {
    let differing = differing(trees, directory);
    assert!(differing.is_empty(), "{} differ: {differing:#?}", differing.len());
    trees.len()
}

/// Each of the others is asked, and what it says counts: a name, a content or an entry that only we
/// see is noticed by all of them.
#[test]
fn a_tree_that_only_we_see_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let tar = build::tgz(&[build::file("package/a", b"1"), build::file("package/b", b"2")]);
    let zip = build::zip(&[build::stored("a", b"1"), build::stored("b", b"2")]);
    fs::write(directory.path().join("x.gz"), &tar).unwrap();
    fs::write(directory.path().join("x.whl"), &zip).unwrap();
    let lies: [fn(&mut Tree); 3] =
        [|tree| tree[0].0.push('x'), |tree| tree[1].2 = hash(b"3"), |tree| drop(tree.pop())];
    let trees = [("x.gz", tar_tree(&tar).unwrap(), 4), ("x.whl", zip_tree(&zip).unwrap(), 2)];
    for (name, tree, readers) in trees {
        let found = |tree: &Tree| differing(&[(name.to_owned(), tree.clone())], directory.path());
        assert_eq!(found(&tree), [""; 0]);
        for lie in lies {
            let mut tree = tree.clone();
            lie(&mut tree);
            assert_eq!(found(&tree).len(), readers, "{name}: {:?}", found(&tree));
        }
    }
}

#[test]
fn accepted_tar_archives_are_what_python_reads() {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(1);
    let mut trees = Vec::new();
    let sources = [
        "npm.tgz",
        "pnpm.tgz",
        "yarn1.tgz",
        "yarn4.tgz",
        "flit/hello_wire-1.0.0.tar.gz",
        "uv/hello_wire-1.0.0.tar.gz",
        "setuptools/hello_wire-1.0.0.tar.gz",
    ];
    for source in sources {
        let tar = unpacked(source);
        for number in 0..120 {
            let mutant = if number == 0 { tar.clone() } else { damaged_tar(&tar, &mut numbers) };
            let bytes = gz(&mutant);
            if let Ok(tree) = tar_tree(&bytes) {
                let name = format!("{}-{number}.gz", source.replace('/', "-"));
                fs::write(directory.path().join(&name), bytes).unwrap();
                trees.push((name, tree));
            } else {
                assert_ne!(number, 0, "{source} itself is refused");
            }
        }
    }
    let accepted = compare(&trees, directory.path());
    assert!(accepted > 50, "only {accepted} mutants were compared");
}

#[test]
fn accepted_zip_archives_are_what_python_reads() {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(2);
    let mut trees = Vec::new();
    for backend in ["flit", "hatchling", "poetry", "setuptools", "uv"] {
        let path = data().join(backend).join("hello_wire-1.0.0-py3-none-any.whl");
        let whole = fs::read(path).unwrap();
        let records: Vec<usize> =
            (0..whole.len()).filter(|at| whole[*at..].starts_with(b"PK")).collect();
        for number in 0..400 {
            let mut mutant = whole.clone();
            for _ in 0..number.min(1 + numbers.below(2)) {
                let at = records[numbers.below(records.len())] + numbers.below(60);
                if let Some(byte) = mutant.get_mut(at) {
                    *byte = INTERESTING[numbers.below(INTERESTING.len())];
                }
            }
            if let Ok(tree) = zip_tree(&mutant) {
                let name = format!("{backend}-{number}.whl");
                fs::write(directory.path().join(&name), mutant).unwrap();
                trees.push((name, tree));
            } else {
                assert_ne!(number, 0, "{backend} itself is refused");
            }
        }
    }
    let accepted = compare(&trees, directory.path());
    assert!(accepted > 50, "only {accepted} mutants were compared");
}

/// Names that one reader or another takes apart in its own way.
const NAMES: [&str; 14] = [
    "package/index.js",
    "package/lib/a.js",
    "package/lib/",
    "package/with space.txt",
    "package/näïve.txt",
    "package/new\nline",
    "package/tab\tand\\back",
    "package/star*[x]?.js",
    "package/-rf",
    "package//twice",
    "./package/dot",
    "package/A.JS",
    "package/%41.js",
    "package/.hidden",
];

fn some<'a, T: ?Sized>(of: &[&'a T], numbers: &mut Numbers) -> &'a T {
    of[numbers.below(of.len())]
}

/// A tar of a few entries, some with the headers that say the same thing twice.
fn tar_at_random(numbers: &mut Numbers) -> Vec<u8> {
    let mut tar = Vec::new();
    for number in 0..=numbers.below(5) {
        let name = some(&NAMES, numbers);
        let name = if numbers.below(2) == 0 { format!("{name}{number}") } else { name.to_owned() };
        let body =
            vec![b'a' + u8::try_from(number).unwrap(); [0, 1, 511, 512, 513][numbers.below(5)]];
        let long = format!("package/{}/{}", "d".repeat(60 + numbers.below(60)), "f".repeat(90));
        let kind = *some(&[&b'0', &b'0', &b'0', &b'\0', &b'7', &b'5', &b'1', &b'S'], numbers);
        let size = body.len().to_string();
        tar.extend(match numbers.below(8) {
            0 => build::pax(&[("path", &long)]),
            1 => build::pax(&[("size", &size), ("mtime", "1.5")]),
            2 => build::pax(&[("path", &name), ("uname", "x"), ("comment", "y")]),
            3 => build::pax(&[("SCHILY.xattr.user.x", "1"), ("size", "1")]),
            4 => build::entry("././@LongLink", b'L', &[long.as_bytes(), b"\0"].concat()),
            _ => Vec::new(),
        });
        tar.extend(build::entry(&name, kind, if kind == b'5' { b"" } else { &body }));
    }
    tar.extend(vec![0; [1024, 1024, 1024, 512, 10_240, 0][numbers.below(6)]]);
    tar
}

/// A ZIP of a few entries, some with fields that readers judge by.
fn zip_at_random(numbers: &mut Numbers) -> Vec<u8> {
    let files: Vec<build::Zipped> = (0..=numbers.below(4))
        .map(|number| {
            let name = format!("{}{number}", some(&NAMES, numbers));
            let body = vec![b'a'; [0, 1, 4096][numbers.below(3)]];
            let stored = numbers.below(2) == 0;
            let mut file =
                if stored { build::stored(&name, &body) } else { build::deflated(&name, &body) };
            match numbers.below(12) {
                0 => file.flags = 0x800,
                1 => file.attributes = 0o040_755 << 16,
                2 => file.attributes = 0x10,
                3 => file.extra = b"UT\x05\0\x01\0\0\0\0".to_vec(),
                4 => file.extra = b"\x01\0\0\0".to_vec(),
                5 => file.comment = b"note".to_vec(),
                6 => file.flags = 8,
                _ => {}
            }
            file
        })
        .collect();
    build::zip(&files)
}

/// Two thousand archives that no tool made; most are refused, and nobody reads the others
/// differently.
#[test]
fn archives_put_together_at_random_are_read_alike_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(3);
    let (mut tars, mut zips) = (Vec::new(), Vec::new());
    for number in 0..1000 {
        let (tar, zip) = (gz(&tar_at_random(&mut numbers)), zip_at_random(&mut numbers));
        if let Ok(tree) = tar_tree(&tar) {
            tars.push((format!("{number}.gz"), tree));
            fs::write(directory.path().join(format!("{number}.gz")), tar).unwrap();
        }
        if let Ok(tree) = zip_tree(&zip) {
            zips.push((format!("{number}.whl"), tree));
            fs::write(directory.path().join(format!("{number}.whl")), zip).unwrap();
        }
    }
    let accepted = (tars.len(), zips.len());
    assert!(accepted.0 > 50 && accepted.1 > 50, "only {accepted:?} were compared");
    compare(&[tars, zips].concat(), directory.path());
}

proptest! {
    #[test]
    fn no_damage_makes_a_reader_panic(
        source in prop::sample::select(vec!["npm.tgz", "yarn4.tgz", "uv/hello_wire-1.0.0.tar.gz", "uv/hello_wire-1.0.0-py3-none-any.whl", "poetry/hello_wire-1.0.0-py3-none-any.whl"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let tarred = !source.ends_with("whl");
        let mut bytes = if tarred { unpacked(source) } else { fs::read(data().join(source)).unwrap() };
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if tarred {
            let bytes = gz(&bytes);
            let _ = read_npm(&bytes);
            let _ = read_python("hello_wire-1.0.0.tar.gz", &bytes);
        } else {
            let _ = read_python("hello_wire-1.0.0-py3-none-any.whl", &bytes);
        }
        let _ = read_npm(&bytes);
    }
}
