//! Our readers beside Python's: whatever we accept, `tarfile` and `zipfile` read the same way.
//!
//! Mutants of real archives, with checksums made right again so that the damage reaches the
//! parsers. We may refuse more; we may never see another tree.

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

use super::build::{gz, sum};
use super::real_packages::{data, read_npm, read_python};

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

fn python(directory: &Path) -> serde_json::Map<String, serde_json::Value> {
    let output =
        Command::new("python3").args(["-c", PYTHON]).arg(directory).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
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

fn compare(trees: &[(String, Tree)], directory: &Path) -> usize {
    let theirs = python(directory);
    let accepted = trees.len();
    let differing: Vec<(&str, &serde_json::Value)> = trees
        .iter()
        .filter(|(name, ours)| theirs[name] != serde_json::json!(ours))
        .map(|(name, _)| (&**name, &theirs[name]))
        .collect();
    assert!(differing.is_empty(), "{} differ: {differing:#?}", differing.len());
    accepted
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
