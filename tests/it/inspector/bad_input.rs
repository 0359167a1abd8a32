//! Rows of the corpus of bad input that aim at the process itself: bombs, endless lines, names that
//! deceive. Each gets its refusal or is read and shown as what it is, in bounded time and memory.
//!
//! What the readers refuse byte for byte is in `readers`, row by row; the child uses the same ones. Rows
//! about pages (X01 to X03, X13 to X20) are tested where pages are.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use countersign::domain::review::compared::{Compared, ListedFile};
use countersign::domain::review::finding::Severity;
use countersign::domain::review::survey::Format;
use countersign::inspect::request::{Bounds, Standing};
use countersign::inspector::{InspectionFailed, Inspector, Settings};
use serde_json::json;

use super::{Folder, settings};
use crate::readers::build::{self, manifest, npm};
use crate::support::gateway::command;
use crate::support::site::reading;

/// No row may take longer, on a machine that does other things, with checks that are not optimised.
const SOON: Duration = Duration::from_secs(20);

async fn read(filename: &str, bytes: &[u8]) -> Result<Compared, InspectionFailed> {
    let mut settings = settings();
    settings.bounds.cpu_secs = SOON.as_secs();
    let (folder, begun) = (Folder::new(), Instant::now());
    let artifact = folder.artifact(filename, bytes);
    let came = Inspector::new(settings).compare(artifact, None, Standing::default()).await;
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
    came
}

/// The reader's sentence about an npm tarball.
async fn refused_tarball(bytes: &[u8]) -> String {
    refusal(read("hello-wire-1.0.0.tgz", bytes).await)
}

/// The reader's sentence about a wheel.
async fn refused_wheel(bytes: &[u8]) -> String {
    refusal(read("hello_wire-1.0.0-py3-none-any.whl", bytes).await)
}

fn refusal(came: Result<Compared, InspectionFailed>) -> String {
    let failed = came.expect_err("it is not read");
    failed.refused().unwrap_or_else(|| panic!("no refusal: {failed}")).why.clone()
}

async fn package(files: &[(&str, &[u8])]) -> Compared {
    let bytes = npm(&manifest("1.0.0", json!({})), files);
    read("hello-wire-1.0.0.tgz", &bytes).await.expect("it is read")
}

/// Bytes that do not compress, so that a cut can fall anywhere.
fn noise(length: usize) -> Vec<u8> {
    let mut seed = 1_u32;
    let next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn a01_what_is_no_gzip_is_refused() {
    let why = refused_tarball(b"no gzip").await;
    assert_eq!(why, "expected a whole gzip member, received one cut short");
    let why = refused_tarball(&noise(1 << 20)).await;
    assert_eq!(why, "expected gzip data starting with `1f 8b`, received other bytes");
}

#[tokio::test]
async fn a02_a_gzip_of_something_else_is_refused() {
    let why = refused_tarball(&build::gz(b"no tar")).await;
    assert!(why.starts_with("expected two zero blocks at the end"), "{why}");
    let why = refused_tarball(&build::gz(&noise(1 << 20))).await;
    assert!(why.starts_with("expected"), "{why}");
}

#[tokio::test]
async fn a03_an_archive_cut_short_anywhere_is_refused() {
    let whole = npm(&manifest("1.0.0", json!({})), &[("index.js", &noise(20_000))]);
    assert!(whole.len() > 20_000, "it does not compress");
    for cut in (1024..whole.len()).step_by(1024).chain([whole.len() - 1]) {
        let why = refused_tarball(&whole[..cut]).await;
        assert_eq!(why, "expected a whole gzip member, received one cut short", "cut to {cut}");
    }
}

#[tokio::test]
async fn a10_a_bomb_stops_at_the_first_bound() {
    let why = refused_tarball(&bomb()).await;
    assert!(why.starts_with("expected at most 50 unpacked bytes per compressed byte"), "{why}");
}

/// A hundred mebibytes of nothing in less than one.
fn bomb() -> Vec<u8> {
    let bomb = build::tgz(&[build::file("package/a", &vec![0; 100 << 20])]);
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    bomb
}

#[tokio::test]
async fn a11_a_bomb_inside_is_a_file_and_is_not_unpacked() {
    let nested = package(&[("inner.tgz", &bomb())]).await;
    let inner = nested.files.iter().find(|file| file.path == "inner.tgz").unwrap();
    assert_eq!(inner.format, Format::Archive);
}

#[tokio::test]
async fn a12_gibibytes_of_zeros_are_refused_by_the_size_they_have() {
    // The largest size a tar header can say.
    let declared = build::header_with(b"package/a", b'0', 0, |block| {
        block[124..136].copy_from_slice(b"77777777777\0");
    });
    let why = refused_tarball(&build::gz(&declared)).await;
    assert_eq!(why, "expected at most 1073741824 bytes in `package/a`, received 8589934591");
    // Ten gibibytes need another way to say it.
    let said = build::pax(&[("size", "10737418240")]);
    let why = refused_tarball(&build::tgz(&[said, build::file("package/a", b"")])).await;
    assert!(why.contains("10737418240"), "{why}");
}

#[tokio::test]
async fn a13_more_entries_than_the_bound_are_refused() {
    let entries: Vec<Vec<u8>> =
        (0..=50_000).map(|n| build::file(&format!("package/{n}"), b"")).collect();
    let why = refused_tarball(&build::tgz(&entries)).await;
    assert_eq!(why, "expected at most 50000 archive entries, received more");
}

#[tokio::test]
async fn a14_a_path_longer_than_the_bound_is_refused() {
    let long = format!("package/{}", "n".repeat(1_017));
    let named = build::tgz(&[build::pax(&[("path", &long)]), build::file("p", b"")]);
    let why = refused_tarball(&named).await;
    assert!(
        why.starts_with("expected an entry name of at most 1024 bytes, received 1025"),
        "{why}"
    );
}

#[tokio::test]
async fn a15_a_path_deeper_than_the_bound_is_refused() {
    let deep = format!("package/{}x", "d/".repeat(31));
    let why = refused_tarball(&build::tgz(&[build::file(&deep, b"")])).await;
    assert!(why.starts_with("expected at most 32 parts in an entry name"), "{why}");
}

#[tokio::test]
async fn z25_a_bomb_in_a_wheel_stops_at_the_first_bound() {
    let bomb = build::zip(&[build::deflated("hello_wire/a", &vec![0; 100 << 20])]);
    let why = refused_wheel(&bomb).await;
    assert!(why.starts_with("expected at most 50 unpacked bytes per compressed byte"), "{why}");
}

/// A quine holds itself, and whoever unpacks what it unpacked never ends. Nothing here unpacks twice.
#[tokio::test]
async fn z26_an_archive_inside_an_archive_is_not_opened_however_deep() {
    let mut inner = build::zip(&[build::stored("inner.zip", b"the last")]);
    for _ in 0..1_000 {
        inner = build::zip(&[build::stored("inner.zip", &inner)]);
    }
    let mut files = build::wheel_files();
    files.push(("hello_wire/inner.zip".to_owned(), inner.clone()));
    let wheel = build::wheel(&files, &build::record(&files));
    let compared = read("hello_wire-1.0.0-py3-none-any.whl", &wheel).await.unwrap();
    let found: Vec<_> = compared.files.iter().filter(|f| f.path.contains("inner")).collect();
    assert_eq!(found.len(), 1, "what is inside is no file of the wheel: {found:?}");
    assert_eq!((found[0].format, found[0].size_bytes), (Format::Archive, inner.len() as u64));
    // As the wheel itself it is none.
    let why = refused_wheel(&inner).await;
    assert!(why.starts_with("expected"), "{why}");
}

#[tokio::test]
async fn z30_more_entries_than_the_end_can_count_are_refused() {
    let (mut locals, mut directory) = (Vec::new(), Vec::new());
    for number in 0..65_536 {
        let file = build::stored(&number.to_string(), b"");
        directory.extend(file.central(locals.len()));
        locals.extend(file.local());
    }
    let last = build::end_record(0, directory.len(), locals.len());
    let why = refused_wheel(&[locals, directory, last].concat()).await;
    assert_eq!(why, "expected at most 50000 archive entries, received more");
    // And with the sign of a record that could.
    let mut many: Vec<u8> = build::zip(&[build::stored("hello_wire/a", b"x")]);
    let at = many.len() - 14;
    many[at..at + 4].fill(0xff);
    let why = refused_wheel(&many).await;
    assert!(why.starts_with("expected a ZIP archive without ZIP64 records"), "{why}");
}

/// Pages and the command line spell it out; here it has to arrive as it is.
#[tokio::test]
async fn x04_a_name_that_reads_backwards_is_the_name_it_is() {
    let name = "evil\u{202e}gpj.js";
    let shown = package(&[(name, b"1\n")]).await;
    assert!(shown.files.iter().any(|file| file.path == name), "as the installer sees it");
}

#[tokio::test]
async fn x05_a_dependency_with_a_character_of_no_width_is_another_one() {
    let hidden = json!({ "dependencies": { "le\u{200b}ft": "1", "left": "1" } });
    let bytes = npm(&manifest("1.0.0", hidden), &[]);
    let compared = read("hello-wire-1.0.0.tgz", &bytes).await.unwrap();
    let keys: Vec<&str> = compared.members.iter().map(|member| member.key.as_str()).collect();
    for key in ["dependencies.le\u{200b}ft", "dependencies.left"] {
        assert!(keys.contains(&key), "{keys:?}");
    }
}

/// Letters of a plane that no font shows: in a name they stay, in a file they are a finding.
#[tokio::test]
async fn x06_tag_characters_are_found_where_nobody_sees_them() {
    let hidden = json!({ "dependencies": { "tag\u{e0041}": "1" } });
    let text = "const a = '\u{e0041}\u{e0042}\u{e0043}'\n";
    let bytes = npm(&manifest("1.0.0", hidden), &[("index.js", text.as_bytes())]);
    let compared = read("hello-wire-1.0.0.tgz", &bytes).await.unwrap();
    assert!(compared.members.iter().any(|member| member.key == "dependencies.tag\u{e0041}"));
    let found = compared.findings.iter().find(|finding| finding.check.id == "CT-11").unwrap();
    assert_eq!((found.severity, found.line), (Severity::Block, Some(1)));
    assert!(found.evidence.starts_with("⟦U+E0041⟧⟦U+E0042⟧⟦U+E0043⟧"), "{}", found.evidence);
}

/// In a manifest it is shown, in a name of a file it is refused; nothing of either moves the cursor.
#[tokio::test]
async fn x07_what_moves_the_cursor_of_a_terminal_is_escaped_there() {
    let folder = Folder::new();
    let path = folder.0.path().join("a.tgz");
    let inspect = async |manifest: serde_json::Value, files: &[(&str, &[u8])]| {
        std::fs::write(&path, npm(&manifest, files)).unwrap();
        let (code, out, log) = command(&["inspect", path.to_str().unwrap()], &[]).await;
        assert!(!(out.clone() + &log).contains('\u{1b}'), "no escape reaches the terminal");
        (code, out, log)
    };
    let hook = json!({ "scripts": { "postinstall": "node \u{1b}[2J" } });
    let (code, out, _) = inspect(manifest("1.0.0", hook), &[]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("postinstall: node "), "{out}");
    let name = "\u{1b}[2J\u{1b}[31mred.js";
    let (code, out, log) = inspect(manifest("1.0.0", json!({})), &[(name, b"1\n")]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(log.contains("without control characters"), "{log}");
}

fn file<'a>(compared: &'a Compared, path: &str) -> &'a ListedFile {
    compared.files.iter().find(|file| file.path == path).unwrap()
}

#[tokio::test]
async fn x10_a_line_of_ten_mebibytes_is_read() {
    let compared = package(&[("line.js", &vec![b'x'; 10 << 20])]).await;
    let line = file(&compared, "line.js");
    assert_eq!((line.format, line.lines), (Format::Text, 1));
    let found: Vec<&str> = compared.findings.iter().map(|finding| finding.check.id).collect();
    assert_eq!(found, ["CT-06", "CT-05"], "a line that nobody reads");
}

#[tokio::test]
async fn x11_a_million_marks_on_one_letter_are_read() {
    let marks = format!("e{}\n", "\u{301}".repeat(1_000_000));
    let compared = package(&[("marks.js", marks.as_bytes())]).await;
    let marks = file(&compared, "marks.js");
    assert_eq!((marks.format, marks.lines), (Format::Text, 1));
}

#[tokio::test]
async fn x12_bytes_that_are_no_text_are_none() {
    let compared = package(&[("bytes.js", b"ok\n\xff\xfe\n")]).await;
    assert_eq!(file(&compared, "bytes.js").format, Format::Opaque);
    // In a name they are refused.
    let named = build::header(b"package/\xff", b'0', 0).to_vec();
    let why = refused_tarball(&build::tgz(&[named])).await;
    assert!(why.contains("UTF-8"), "{why}");
}

/// What parsers say they could not read: the file, and whether it asks for a look.
fn unread(compared: &Compared) -> Vec<(&str, Severity)> {
    let of = compared.findings.iter().filter(|finding| finding.check.id == "IN-04");
    of.map(|finding| {
        assert_eq!(finding.evidence, "it is too deeply nested to read", "{finding}");
        (finding.file.as_deref().unwrap_or_default(), finding.severity)
    })
    .collect()
}

/// Code that nests until a parser would run out of stack is a finding on its file; the rest of the
/// package is read as ever.
#[tokio::test]
async fn code_that_nests_beyond_reading_is_named_and_ends_nothing() {
    const SHAPES: [&str; 24] = [
        "(",
        "[",
        "{a:",
        "`${",
        "f(",
        "x=>{",
        "[(",
        "!",
        "-",
        "~",
        "typeof ",
        "new ",
        "await ",
        "a=>",
        "a=",
        "a?",
        "a?b:",
        "a**",
        "if(a)",
        "if(a)b;else ",
        "for(;;)",
        "a:",
        "<a>",
        "class extends ",
    ];
    let mut files = vec![("index.js".to_owned(), b"require('child_process')\n".to_vec())];
    for (number, shape) in SHAPES.iter().enumerate() {
        files.push((format!("deep/{number:02}.js"), shape.repeat(200_000).into_bytes()));
    }
    files.push(("deep/types.ts".to_owned(), "type A=B<".repeat(200_000).into_bytes()));
    let listed: Vec<(&str, &[u8])> =
        files.iter().map(|(name, body)| (name.as_str(), body.as_slice())).collect();
    let compared = package(&listed).await;
    let unread = unread(&compared);
    let named: Vec<&str> = unread.iter().map(|(file, _)| *file).collect();
    let expected: Vec<&str> = listed[1..].iter().map(|(name, _)| *name).collect();
    assert_eq!(named, expected);
    assert!(unread.iter().all(|(_, severity)| *severity == Severity::Look), "{unread:?}");
}

/// As deep as a parser is given, it is read, on the memory of a child.
#[tokio::test]
async fn code_that_nests_as_deep_as_is_read_is_read() {
    let nested = |open: &str, inside: &str, close: &str, times: usize| {
        format!("{}{inside}{}\n", open.repeat(times), close.repeat(times)).into_bytes()
    };
    let files = [
        ("a.js", nested("(", "1", ")", 1_000)),
        ("b.js", nested("[", "1", "]", 1_000)),
        ("c.js", nested("`${", "1", "}`", 1_000)),
        ("d.js", nested("f(x=>{", "", "})", 490)),
        ("e.js", nested("!", "1", "", 9_000)),
        ("f.js", nested("a=>", "1", "", 4_000)),
        ("g.js", nested("if(a)b;else ", "c", "", 4_000)),
        ("h.js", nested("a?b:", "c", "", 4_000)),
        ("i.js", nested("new ", "A", "", 9_000)),
        ("j.js", nested("1+", "1", "", 50_000)),
        ("k.js", nested("a.", "b", "", 50_000)),
        ("l.tsx", nested("<a>", "", "</a>", 3_000)),
        ("m.ts", [b"type A=", &nested("B<", "C", ">", 4_000)[..]].concat()),
        ("n.js", nested("if(a)", "b", "", 9_000)),
        ("o.ts", nested("(", "1", ")", 1_000)),
        ("p.js", nested("a=", "1", "", 9_000)),
        ("q.js", nested("[", "", "]=[]", 900)),
    ];
    let listed: Vec<(&str, &[u8])> =
        files.iter().map(|(name, body)| (*name, body.as_slice())).collect();
    let compared = package(&listed).await;
    assert_eq!(unread(&compared), []);
}

#[tokio::test]
async fn python_that_nests_beyond_reading_is_named_and_ends_nothing() {
    const SHAPES: [&str; 12] =
        ["(", "[", "{1:", "f(", "not ", "-", "1+", "a.", "a()", "lambda:", "a if b else ", "a**"];
    let mut files = build::wheel_files();
    for (number, shape) in SHAPES.iter().enumerate() {
        let text = format!("x = {}1\n", shape.repeat(200_000));
        files.push((format!("hello_wire/deep{number:02}.py"), text.into_bytes()));
    }
    let blocks: Vec<String> = (0..1_000).map(|n| format!("{}if a:\n", " ".repeat(n))).collect();
    let blocks = blocks.concat();
    let blocks = format!("{blocks}{}pass\n", " ".repeat(1_000));
    files.push(("hello_wire/blocks.py".to_owned(), blocks.into_bytes()));
    let wheel = build::wheel(&files, &build::record(&files));
    let compared = read("hello_wire-1.0.0-py3-none-any.whl", &wheel).await.unwrap();
    let expected: Vec<String> =
        (0..SHAPES.len()).map(|number| format!("hello_wire/deep{number:02}.py")).collect();
    let named: Vec<&str> = unread(&compared).into_iter().map(|(file, _)| file).collect();
    assert_eq!(named, expected);
}

/// N3 for the manifest; no other JSON is parsed.
#[tokio::test]
async fn json_that_nests_beyond_reading_is_refused_as_a_manifest_and_text_otherwise() {
    let deep = "[".repeat(500_000);
    let manifest = format!(r#"{{"name":"hello-wire","version":"1.0.0","files":{deep}"#);
    let deepest = build::tgz(&[build::file("package/package.json", manifest.as_bytes())]);
    let why = refused_tarball(&deepest).await;
    assert!(why.contains("32"), "{why}");
    let compared = package(&[("data.json", deep.as_bytes())]).await;
    assert_eq!(file(&compared, "data.json").format, Format::Text);
}

/// As large as the largest packages people publish: 7,000 files and 130 MB. The kernel holds the
/// child to the memory it ships with, so that an answer is the proof.
#[tokio::test]
async fn a_large_package_is_read_within_the_memory_of_a_child() {
    let mut line = String::new();
    let mut files = Vec::new();
    for number in 0..7_000_u32 {
        line.clear();
        // Differs from file to file, or the whole would count as a bomb.
        let mut seed = number;
        while line.len() < 18_500 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            writeln!(line, "export const a{seed:x} = {seed};").unwrap();
        }
        // Text is searched line by line, which takes a minute when that is not optimised: most files
        // are none. `make bench` reads as much as text.
        let end = if number % 50 == 0 { "js" } else { "bin" };
        if end == "bin" {
            line.insert(0, '\0');
        }
        files.push((format!("dist/{number}.{end}"), line.clone().into_bytes()));
    }
    let listed: Vec<(&str, &[u8])> =
        files.iter().map(|(name, body)| (name.as_str(), body.as_slice())).collect();
    let bytes = npm(&manifest("1.0.0", json!({})), &listed);
    let folder = Folder::new();
    let inspector = Inspector::new(Settings {
        wall: Duration::from_mins(5),
        bounds: Bounds { cpu_secs: 300, ..Bounds::default() },
        ..reading()
    });
    let artifact = folder.artifact("hello-wire-1.0.0.tgz", &bytes);
    let baseline = folder.artifact("hello-wire-1.0.0-before.tgz", &bytes);
    let compared = inspector.compare(artifact, Some(baseline), Standing::default()).await.unwrap();
    assert_eq!((compared.files.len(), compared.changes.len()), (7_001, 0));
}
