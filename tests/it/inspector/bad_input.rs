//! Rows of the corpus of bad input that aim at the process itself: bombs, endless lines, names that
//! deceive. Each gets its refusal or is read and shown as what it is, in bounded time and memory.
//!
//! What the readers refuse byte for byte is in `readers`; the child uses the same ones.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use countersign::domain::review::compared::Compared;
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

#[tokio::test]
async fn a01_a03_what_is_no_whole_archive_is_refused() {
    let why = refused_tarball(b"no gzip").await;
    assert_eq!(why, "expected a whole gzip member, received one cut short");
    let why = refused_tarball(&build::gz(b"no tar")).await;
    assert!(why.starts_with("expected two zero blocks at the end"), "{why}");
    let whole = npm(&manifest("1.0.0", json!({})), &[("index.js", &vec![b'x'; 40_000])]);
    for cut in [1, 20, whole.len() / 2, whole.len() - 1] {
        let why = refused_tarball(&whole[..cut]).await;
        assert!(!why.is_empty(), "cut to {cut}");
    }
}

#[tokio::test]
async fn a10_a12_bombs_stop_at_the_first_bound() {
    let zeros = vec![0; 100 << 20];
    let bomb = build::tgz(&[build::file("package/a", &zeros)]);
    let why = refused_tarball(&bomb).await;
    assert!(why.starts_with("expected at most 50 unpacked bytes per compressed byte"), "{why}");
    // A11: what is inside is a file like any other and is not unpacked.
    let nested = package(&[("inner.tgz", &bomb)]).await;
    let inner = nested.files.iter().find(|file| file.path == "inner.tgz").unwrap();
    assert_eq!(inner.format, Format::Archive);
    let declared = build::header_with(b"package/a", b'0', 0, |block| {
        block[124..136].copy_from_slice(b"77777777777\0");
    });
    let why = refused_tarball(&build::gz(&declared)).await;
    assert_eq!(why, "expected at most 1073741824 bytes in `package/a`, received 8589934591");
}

#[tokio::test]
async fn a13_a15_entries_names_and_depth_are_bounded() {
    let entries: Vec<Vec<u8>> =
        (0..=50_000).map(|n| build::file(&format!("package/{n}"), b"")).collect();
    let why = refused_tarball(&build::tgz(&entries)).await;
    assert_eq!(why, "expected at most 50000 archive entries, received more");
    let deep = format!("package/{}x", "d/".repeat(40));
    let why = refused_tarball(&build::tgz(&[build::file(&deep, b"")])).await;
    assert!(why.starts_with("expected at most 32 parts in an entry name"), "{why}");
}

#[tokio::test]
async fn z25_z30_bombs_and_counts_that_do_not_fit_are_refused() {
    let zeros = vec![0; 100 << 20];
    let bomb = build::zip(&[build::deflated("hello_wire/a", &zeros)]);
    let why = refused_wheel(&bomb).await;
    assert!(why.starts_with("expected at most 50 unpacked bytes per compressed byte"), "{why}");
    // Z30: more entries than the end record can count.
    let mut many: Vec<u8> = build::zip(&[build::stored("hello_wire/a", b"x")]);
    let at = many.len() - 14;
    many[at..at + 4].fill(0xff);
    let why = refused_wheel(&many).await;
    assert!(why.starts_with("expected a ZIP archive without ZIP64 records"), "{why}");
}

#[tokio::test]
async fn x04_x06_names_that_deceive_are_refused_or_shown_as_they_are() {
    let name = "evil\u{202e}gpj.js";
    let shown = package(&[(name, b"1\n")]).await;
    assert!(shown.files.iter().any(|file| file.path == name), "as the installer sees it");
    let hidden = json!({ "dependencies": { "le\u{200b}ft": "1", "tag\u{e0041}": "1" } });
    let bytes = npm(&manifest("1.0.0", hidden), &[]);
    let compared = read("hello-wire-1.0.0.tgz", &bytes).await.unwrap();
    let keys: Vec<&str> = compared.members.iter().map(|member| member.key.as_str()).collect();
    assert!(keys.contains(&"dependencies.le\u{200b}ft"), "{keys:?}");
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

#[tokio::test]
async fn x10_x12_endless_lines_marks_and_bytes_that_are_no_text_are_read() {
    let line = vec![b'x'; 10 << 20];
    let marks = "e\u{301}".repeat(500_000);
    let files: [(&str, &[u8]); 3] =
        [("line.js", &line), ("marks.js", marks.as_bytes()), ("bytes.js", b"ok\n\xff\xfe\n")];
    let compared = package(&files).await;
    let format = |path: &str| compared.files.iter().find(|f| f.path == path).unwrap().format;
    assert_eq!(format("line.js"), Format::Text);
    assert_eq!(format("marks.js"), Format::Text);
    assert_eq!(format("bytes.js"), Format::Opaque);
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
