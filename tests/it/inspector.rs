//! The child that reads artifacts: what it answers, what it cannot do, and how it ends (D8).

mod bad_input;

use std::time::{Duration, Instant};

use countersign::domain::review::checks::{self, Position};
use countersign::domain::review::compared::Compared;
use countersign::domain::review::delta::Comparison;
use countersign::domain::review::finding::{Finding, Severity};
use countersign::inspect::Limits;
use countersign::inspect::request::{
    Artifact, Bounds, InForce, Misbehavior, Pair, Request, Standing, Tried,
};
use countersign::inspect::survey::{Source, survey};
use countersign::inspector::{InspectionFailed, Inspector, Settings};
use serde_json::json;

use crate::readers::build::{self, manifest, npm};
use crate::support::site::reading;

/// Small bounds, so that whoever passes them is ended soon.
fn settings() -> Settings {
    Settings {
        bounds: Bounds { memory_bytes: 192 << 20, cpu_secs: 2 },
        wall: Duration::from_secs(30),
        ..reading()
    }
}

fn inspector() -> Inspector {
    Inspector::new(settings())
}

async fn misbehave(inspector: &Inspector, how: Misbehavior) -> InspectionFailed {
    let came: Result<Vec<Tried>, _> = inspector.ask(Request::Misbehave(how)).await;
    came.expect_err("nothing clean comes of it")
}

/// A folder with files of the registry in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Files lie under their digest, so a name says nothing.
    fn artifact(&self, filename: &str, bytes: &[u8]) -> Artifact {
        let path = self.0.path().join(format!("blob-{}", filename.len()));
        std::fs::write(&path, bytes).unwrap();
        Artifact::new(&path, filename)
    }
}

#[tokio::test]
async fn a_child_finds_what_is_found_without_one() {
    let folder = Folder::new();
    let index: (&str, &[u8]) = ("index.js", b"module.exports = () => 1\n");
    let old = npm(&manifest("1.0.0", json!({})), &[index, ("gone.js", b"x\n")]);
    let hook = json!({ "scripts": { "postinstall": "node index.js" } });
    let new = npm(&manifest("1.0.1", hook), &[index]);
    let compared = inspector()
        .compare(
            folder.artifact("hello-wire-1.0.1.tgz", &new),
            Some(folder.artifact("hello-wire-1.0.0-old.tgz", &old)),
            Standing {
                newest: Some("1.1.0".to_owned()),
                dist_tag: Some("latest".to_owned()),
                ..Standing::default()
            },
        )
        .await
        .unwrap();
    let survey = |bytes: &[u8]| {
        survey(std::io::Cursor::new(bytes), Source::Npm, &Limits::default()).unwrap()
    };
    let (before, after) = (survey(&old), survey(&new));
    let comparison = Comparison { baseline: Some(&before), candidate: &after };
    let said: Vec<(&str, Severity)> =
        compared.findings.iter().map(|f| (f.check.id, f.severity)).collect();
    assert_eq!(said, [("HK-01", Severity::Block), ("VR-01", Severity::Block)]);
    assert_eq!(compared, Compared::of(&comparison, compared.findings.clone()));
    assert_eq!(compared.findings[0], checks::findings(&comparison, &Position::default())[0]);
    assert_eq!(compared.changes.len(), 2, "package.json and gone.js");
    // `printf 'module.exports = () => 1\n' | git hash-object --stdin`
    let index = compared.files.iter().find(|file| file.path == "index.js").unwrap();
    assert_eq!(index.git_blob.to_string(), GIT_HASH_OF_INDEX);
}

const GIT_HASH_OF_INDEX: &str = "4e62402fb733a3262fb3fe5681d0958634358071";

/// A1, composition rule 3: when what people run today cannot be read, findings get louder.
#[tokio::test]
async fn without_a_readable_baseline_nothing_is_quiet() {
    let folder = Folder::new();
    let index: (&str, &[u8]) =
        ("index.js", b"module.exports = () => fetch('https://hook.example.invalid/x')\n");
    let new = npm(&manifest("1.0.1", json!({})), &[index]);
    let candidate = folder.artifact("hello-wire-1.0.1.tgz", &new);
    let said = async |baseline_unreadable| {
        let standing = Standing { baseline_unreadable, ..Standing::default() };
        let compared = inspector().compare(candidate.clone(), None, standing).await.unwrap();
        compared.findings.iter().map(|finding| finding.check.id).collect::<Vec<_>>()
    };
    assert!(said(false).await.is_empty(), "a first release is told as a whole");
    assert!(said(true).await.contains(&"CP-01"));
}

/// X12, A01: what a strict reader refuses is refused in its words, and is nothing else.
#[tokio::test]
async fn bytes_that_are_refused_come_back_with_the_readers_sentence() {
    let folder = Folder::new();
    let bad = folder.artifact("hello-wire-1.0.0.tgz", b"no archive");
    let failed = inspector().compare(bad, None, Standing::default()).await.unwrap_err();
    let refused = failed.refused().expect("the bytes are to blame");
    assert_eq!(refused.filename, "hello-wire-1.0.0.tgz");
    assert!(failed.to_string().starts_with("`hello-wire-1.0.0.tgz` is refused: "), "{failed}");
    let name = folder.artifact("hello_wire-1.0.0.zip", b"");
    let failed = inspector().compare(name, None, Standing::default()).await.unwrap_err();
    assert!(failed.to_string().contains("ending in `.whl` or `.tar.gz`"), "{failed}");
    let gone = Artifact::new(&folder.0.path().join("gone"), "hello-wire-1.0.0.tgz");
    let failed = inspector().compare(gone, None, Standing::default()).await.unwrap_err();
    assert!(matches!(failed, InspectionFailed::Crashed { code: 1 }), "{failed}");
}

/// The layers do the same, so that any of them may be missing: here the whole is tried.
#[tokio::test]
async fn a_child_can_reach_nothing_but_what_it_was_given() {
    let tried: Vec<Tried> = inspector().ask(Request::Misbehave(Misbehavior::Reach)).await.unwrap();
    assert_eq!(tried.len(), 7);
    for Tried { what, refused } in tried {
        let refused = refused.unwrap_or_else(|| panic!("it can {what}"));
        let expected = match what.as_str() {
            "know the environment" => "entity not found",
            _ => "Operation not permitted (os error 1)",
        };
        assert_eq!(refused, expected, "{what}");
    }
}

#[tokio::test]
async fn a_child_says_what_holds_it() {
    let sandbox = inspector().sandbox().await.unwrap();
    assert_eq!(sandbox.seccomp, InForce::Whole, "{:?}", sandbox.sentences());
}

#[tokio::test]
async fn a_child_that_takes_too_much_memory_is_ended_and_says_so() {
    let failed = misbehave(&inspector(), Misbehavior::Allocate).await;
    assert_eq!(failed.to_string(), "reading it took more than 192 MiB of memory");
}

#[tokio::test]
async fn a_child_that_does_not_end_is_ended() {
    let failed = misbehave(&inspector(), Misbehavior::Spin).await;
    assert_eq!(failed.to_string(), "reading it took more than 2 s");
    let hasty = Inspector::new(Settings { wall: Duration::from_millis(100), ..settings() });
    let begun = Instant::now();
    let failed = misbehave(&hasty, Misbehavior::Spin).await;
    assert!(matches!(failed, InspectionFailed::TimeOver { limit_secs: 0 }), "{failed}");
    assert!(begun.elapsed() < Duration::from_secs(2), "the clock of the wall counts too");
}

#[tokio::test]
async fn a_child_that_answers_without_end_is_ended() {
    let curt = Inspector::new(Settings { answer_bytes: 100_000, ..settings() });
    let failed = misbehave(&curt, Misbehavior::Flood).await;
    assert_eq!(failed.to_string(), "what was found does not fit into 100000 bytes");
}

#[tokio::test]
async fn a_child_that_panics_or_is_killed_is_no_clean_answer() {
    let failed = misbehave(&inspector(), Misbehavior::Panic).await;
    assert_eq!(failed.to_string(), "the inspection crashed with exit code 101");
    let inspector = inspector();
    let (failed, ()) = tokio::join!(misbehave(&inspector, Misbehavior::Spin), async {
        while !kill_a_child().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(failed.to_string(), "the inspection was ended by signal 9");
    let other = Inspector::new(Settings { program: "/bin/true".into(), ..settings() });
    let failed = misbehave(&other, Misbehavior::Spin).await;
    assert!(matches!(failed, InspectionFailed::Unintelligible(_)), "no answer at all: {failed}");
    let none = Inspector::new(Settings { program: "/bin/no-such".into(), ..settings() });
    let failed = misbehave(&none, Misbehavior::Spin).await;
    assert!(matches!(failed, InspectionFailed::NotStarted(_)), "{failed}");
}

/// A file that never comes: whoever reads it waits until somebody ends them.
fn endless(folder: &Folder, filename: &str) -> (Artifact, std::fs::File) {
    let path = folder.0.path().join(format!("pipe-{filename}"));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let writer = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    (Artifact::new(&path, filename), writer)
}

#[tokio::test]
async fn a_child_that_ends_over_one_of_two_artifacts_says_which() {
    let folder = Folder::new();
    let whole = folder.artifact("hello-wire-1.0.1.tgz", &npm(&manifest("1.0.1", json!({})), &[]));
    let (stuck, _writer) = endless(&folder, "hello-wire-1.0.0.tgz");
    let hasty = Inspector::new(Settings { wall: Duration::from_secs(1), ..settings() });
    let compare = async |candidate: &Artifact, baseline: &Artifact| {
        let before = Some(baseline.clone());
        let failed = hasty.compare(candidate.clone(), before, Standing::default()).await;
        failed.unwrap_err().to_string()
    };
    let over = "`hello-wire-1.0.0.tgz`: reading it took more than 1 s";
    assert_eq!(compare(&whole, &stuck).await, format!("the baseline {over}"));
    assert_eq!(compare(&stuck, &whole).await, format!("the candidate {over}"));
    let curt = Inspector::new(Settings { answer_bytes: 10, ..settings() });
    let both = curt.compare(whole.clone(), Some(whole), Standing::default()).await;
    let both = both.unwrap_err().to_string();
    assert_eq!(both, "what was found does not fit into 10 bytes", "nothing is being read");
}

/// Sends SIGKILL to a child of this process, if there is one that inspects.
async fn kill_a_child() -> bool {
    let Some(pid) = children().pop() else { return false };
    let status = tokio::process::Command::new("kill").args(["-9", &pid]).status().await;
    status.unwrap().success()
}

/// Processes that this one started and that were not collected yet.
fn children() -> Vec<String> {
    let ours = std::process::id().to_string();
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().into_string().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned();
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        (parent == ours && line.starts_with("countersign-inspect")).then_some(pid)
    });
    pids.collect()
}

#[tokio::test]
async fn nobody_who_went_away_leaves_a_child_behind() {
    let inspector = inspector();
    let asked = misbehave(&inspector, Misbehavior::Spin);
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    let begun = Instant::now();
    while !children().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(1), "the child outlives the question");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_so_many_children_run_at_once() {
    let bounds = Bounds { cpu_secs: 1, ..settings().bounds };
    let one = Inspector::new(Settings { at_once: 1, bounds, ..settings() });
    let begun = Instant::now();
    tokio::join!(misbehave(&one, Misbehavior::Spin), misbehave(&one, Misbehavior::Spin));
    assert!(begun.elapsed() >= Duration::from_millis(1900), "one after the other");
    let (begun, quick) = (Instant::now(), one.within(Duration::from_secs(1)));
    tokio::join!(misbehave(&one, Misbehavior::Spin), misbehave(&quick, Misbehavior::Spin));
    assert!(begun.elapsed() >= Duration::from_millis(1900), "they share the one place");
}

/// SRC-09: what a wheel installs and its source distribution does not show, unless it stood there
/// before in the same way.
#[tokio::test]
async fn a_wheel_is_held_against_the_source_distribution_of_the_same_release() {
    let folder = Folder::new();
    let pair = |name: &str, extra: &[(&str, &[u8])]| {
        let sdist = build::tgz(&[
            build::file("hello_wire-1.0.0/PKG-INFO", PKG_INFO),
            build::file("hello_wire-1.0.0/src/hello_wire/__init__.py", b"x = 1\n"),
            build::file("hello_wire-1.0.0/src/hello_wire/other.py", b"y = 1\n"),
        ]);
        let mut files = build::wheel_files();
        files.extend(extra.iter().map(|(name, body)| ((*name).to_owned(), body.to_vec())));
        let wheel = build::wheel(&files, &build::record(&files));
        let write = |kind: &str, filename: &str, bytes: &[u8]| {
            let path = folder.0.path().join(format!("{name}-{kind}"));
            std::fs::write(&path, bytes).unwrap();
            Artifact::new(&path, filename)
        };
        Pair {
            sdist: write("sdist", "hello_wire-1.0.0.tar.gz", &sdist),
            wheel: write("wheel", "hello_wire-1.0.0-py3-none-any.whl", &wheel),
        }
    };
    let elf: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";
    let odd: [(&str, &[u8]); 3] = [
        ("hello_wire/other.py", b"y = 2\n"),
        ("hello_wire/added.py", b"z = 1\n"),
        ("hello_wire/fast.so", elf),
    ];
    let said = |findings: &[Finding]| -> Vec<(String, Severity)> {
        findings.iter().map(|f| (f.file.clone().unwrap_or_default(), f.severity)).collect()
    };
    let inspector = inspector();
    let clean = inspector.same_release(pair("clean", &[]), None).await.unwrap();
    assert_eq!(said(&clean), []);
    let found = inspector.same_release(pair("odd", &odd), None).await.unwrap();
    let expected = [("added.py", Severity::Look), ("fast.so", Severity::Note)];
    let expected = expected.map(|(name, severity)| (format!("hello_wire/{name}"), severity));
    let other = [("hello_wire/other.py".to_owned(), Severity::Block)];
    assert_eq!(said(&found), [&expected[..], &other].concat());
    let again = inspector.same_release(pair("odd", &odd), Some(pair("was", &odd))).await.unwrap();
    assert!(again.iter().all(|f| f.severity == Severity::Note), "{again:?}");
}

const PKG_INFO: &[u8] = b"Metadata-Version: 2.4\nName: hello-wire\nVersion: 1.0.0\n\n";
