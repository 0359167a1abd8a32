//! Files inside a release on the page: beside what people run today, alone, and when they cannot be
//! read (A2, rules S4, S5, S9).

use std::time::{Duration, Instant};

use countersign::domain::event::SealedBecause;
use countersign::domain::ids::ReleaseId;
use countersign::domain::review::diff::{At, Content, FileDiff, Side, Wanted};
use countersign::domain::review::files::{FileEntry, Status, counted};
use countersign::domain::review::report::{Against, Gathered, Report, ReportedArtifact};
use countersign::inspect::request::{Artifact, Request, Standing};
use countersign::inspector::{Inspector, Settings};
use countersign::pipeline::files::{Base, FileReader, NotShown};
use countersign::pipeline::{inspection, staging};
use countersign::store::Store;
use countersign::workers;
use serde_json::json;

use crate::readers::build::{file, header_with, manifest, npm, padded, tgz};
use crate::support::database::{on_both, sqlite};
use crate::support::setup::count;
use crate::support::site::reading;
use crate::support::world::{World, npm_document, run, wheel};

const OLD: &[u8] = b"const a = 1\nmodule.exports = () => a\n";
const NEW: &str = "const a = 2\nmodule.exports = () => a // \u{202E}<script>alert(1)</script>\n";

async fn staged(world: &World, id: u32, version: &str, module: &[u8]) -> ReleaseId {
    world.stage_npm(run(id), &npm_document(version, module)).await.unwrap().release
}

/// A release that was compared with another one.
async fn compared() -> (World, ReleaseId, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (world, release) = compared_on(sqlite(folder.path()).await).await;
    (world, release, folder)
}

/// The same in a database of the caller's.
pub(crate) async fn compared_on(store: Store) -> (World, ReleaseId) {
    let world = World::start(store).await;
    let old = staged(&world, 1, "1.0.0", OLD).await;
    let new = staged(&world, 2, "1.1.0", NEW.as_bytes()).await;
    let before = world.artifacts(old).await.remove(0);
    let after = world.artifacts(new).await.remove(0);
    let record = world.record(new).await;
    let against = Against::Baseline {
        version: "1.0.0".to_owned(),
        file: before.filename,
        sha256: before.digests.sha256,
    };
    let (name, sha256) = (after.filename, after.digests.sha256);
    let artifact = ReportedArtifact { name, sha256, against, tally: None };
    let manifest = record.seal.unwrap().manifest;
    let gathered = Gathered { artifacts: vec![artifact], ..Gathered::default() };
    let report = Report::new(&manifest, gathered, None);
    assert!(inspection::record(world.store(), report, None, world.now()).await.unwrap());
    (world, new)
}

async fn page(world: &World, address: &str) -> String {
    let answer = world.ines.clone().get(address, "text/html").await.ok();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text
}

async fn address(world: &World, release: ReleaseId, rest: &str) -> String {
    let file = &world.artifacts(release).await[0].filename;
    format!("/releases/{release}/files/{file}/{rest}")
}

/// Rules S4, S5, S9.
#[tokio::test]
async fn a_file_is_read_beside_what_people_run_today_and_only_as_text() {
    let (world, release, _folder) = compared().await;
    let list = page(&world, &format!("/releases/{release}/files")).await;
    assert!(list.contains("Compared with 1.0.0"), "{list}");
    assert!(list.contains("2 changed"), "package.json and index.js: {list}");
    let runs = list.find("Runs by itself").unwrap();
    assert!(runs < list.find("index.js").unwrap(), "package.json comes first");

    let text = page(&world, &address(&world, release, "diff?path=index.js").await).await;
    assert!(text.contains("<mark>1</mark>") && text.contains("<mark>2</mark>"), "{text}");
    assert!(text.contains("id=\"L2\"") && text.contains("id=\"B1\""), "{text}");
    assert!(text.contains("<b class=\"odd\">⟦U+202E⟧</b>"), "{text}");
    assert!(text.contains("&#60;script&#62;alert(1)") && !text.contains("<script>alert"));
    assert!(!text.contains('\u{202E}'));

    let before = address(&world, release, "file?path=index.js&before=true").await;
    let text = page(&world, &before).await;
    assert!(text.contains("const a = 1") && !text.contains("const a = 2"), "{text}");
    let whole = page(&world, &address(&world, release, "file?path=index.js").await).await;
    assert!(whole.contains("const a = 2") && !whole.contains("const a = 1"), "{whole}");
}

#[tokio::test]
async fn without_a_baseline_the_whole_file_is_shown_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(sqlite(folder.path()).await).await;
    let release = staged(&world, 1, "1.0.0", OLD).await;
    let text = page(&world, &address(&world, release, "diff?path=index.js&line=2").await).await;
    assert!(text.contains("There is nothing to compare with yet."), "{text}");
    assert!(text.contains("module.exports") && !text.contains("class=\"dl r add\""), "{text}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_nowhere() {
    let (world, release, _folder) = compared().await;
    let mut ines = world.ines.clone();
    let missing = address(&world, release, "diff?path=..%2F..%2Fetc%2Fpasswd").await;
    ines.get(&missing, "application/json").await.problem(404, "not-found");
    let other = format!("/releases/{release}/files/other-1.0.0.tgz/diff?path=index.js");
    ines.get(&other, "application/json").await.problem(404, "not-found");
    let nameless = ines.get(&address(&world, release, "diff").await, "text/html").await;
    assert_eq!(nameless.location(), format!("/releases/{release}/files"));
}

/// Rule S9: a difference that is not there in time is not shown, and nothing of it is.
#[tokio::test]
async fn what_cannot_be_read_in_time_is_said_and_not_shown() {
    let (world, release, folder) = compared().await;
    let script = folder.path().join("reader");
    let artifact = world.artifacts(release).await.remove(0);
    let blobs = &world.site.app.intake.blobs;
    let ask = async |body: &str| {
        std::fs::write(&script, format!("#!/bin/sh\n{body}\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&script, executable).unwrap();
        let reader = FileReader::new(&Inspector::new(Settings {
            program: script.clone(),
            ..Settings::default()
        }));
        let wanted =
            Wanted { place: "index.js".to_owned(), from: None, at: At::Page(1), as_text: false };
        let alone = Base::Nothing(String::new());
        reader.diff(blobs, &artifact, &alone, wanted).await.unwrap().unwrap_err()
    };
    let begun = Instant::now();
    assert_eq!(ask("exec /bin/sleep 60").await, NotShown("It took longer than 5 s.".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let NotShown(why) = ask("exit 3").await;
    assert!(why.contains("crashed with exit code 3"), "{why}");
    let NotShown(why) = ask("echo '{\"Ok\":{\"half\":1}}'").await;
    assert!(why.contains("makes no sense"), "{why}");
}

/// D8, S9: what an inspection listed is there for whoever opens the page, and no child is started.
#[tokio::test]
async fn the_list_of_files_is_made_when_a_release_is_inspected() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release =
            world.stage_python(run(7), &wheel("1.0.0", "py3", &[])).await.unwrap().release;
        let (because, now) = (SealedBecause::ReviewBegan, world.now());
        staging::seal_now(world.store(), release, because, now).await.unwrap();
        let app = &world.site.app;
        assert!(inspection::run_next(workers::inspecting(app), world.now()).await.unwrap());
        assert_eq!(count(world.store(), "file_lists").await, 1);

        let broken = Settings { program: "/bin/false".into(), ..Settings::default() };
        let reader = FileReader::new(&Inspector::new(broken));
        let artifact = world.artifacts(release).await.remove(0);
        let alone = Base::Nothing(String::new());
        let list = async |reader: &FileReader, base: &Base| {
            reader.list(app.shelf(), (&artifact, base), world.now()).await.unwrap()
        };
        let files = list(&reader, &alone).await.unwrap();
        assert!(files.iter().any(|file| file.path == "hello_wire/__init__.py"), "{files:?}");
        let other = Base::Version {
            version: "0.9.0".to_owned(),
            filename: artifact.filename.clone(),
            sha256: artifact.digests.sha256,
        };
        let NotShown(why) = list(&reader, &other).await.unwrap_err();
        assert!(why.contains("crashed"), "a list beside another file is another list: {why}");
        assert_eq!(count(world.store(), "file_lists").await, 1);

        // What is listed because somebody asks is there for the next one as well.
        list(&app.files, &other).await.unwrap();
        assert_eq!(count(world.store(), "file_lists").await, 2);
        assert_eq!(
            reader.ready(app.shelf(), &artifact, &other).await.unwrap().unwrap().len(),
            files.len()
        );
    })
    .await;
}

/// A file that can be run as a program where it could not is a change, although its bytes are not.
#[tokio::test]
async fn a_changed_mode_is_a_change_in_the_list_and_on_the_page_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, version: &str, mode: &[u8; 8]| {
        let (document, script) = (manifest(version, json!({})).to_string(), b"echo hello\n");
        let marked = header_with(b"package/run.sh", b'0', script.len(), |block| {
            block[100..108].copy_from_slice(mode);
        });
        let entries =
            [file("package/package.json", document.as_bytes()), [marked, padded(script)].concat()];
        let path = folder.path().join(name);
        std::fs::write(&path, tgz(&entries)).unwrap();
        Artifact::new(&path, name)
    };
    let baseline = write("hello-wire-1.0.0.tgz", "1.0.0", b"0000644\0");
    let candidate = write("hello-wire-1.1.0.tgz", "1.1.0", b"0000755\0");
    let inspector = Inspector::new(reading());
    let (before, after) = (Some(baseline.clone()), candidate.clone());
    let request = Request::Files { candidate: after, baseline: before };
    let files: Vec<FileEntry> = inspector.ask(request).await.unwrap();
    let script = files.iter().find(|file| file.path == "run.sh").unwrap();
    assert_eq!((script.status, script.mode_change()), (Status::Mode, Some(true)));
    assert!(script.is_to_read());
    let standing = Standing::default();
    let compared = inspector.compare(candidate.clone(), Some(baseline.clone()), standing).await;
    let tally = compared.unwrap().tally();
    let counted = counted(&files);
    for status in [Status::Changed, Status::Added, Status::Moved, Status::Mode, Status::Unchanged] {
        let listed = counted.get(&status).copied().unwrap_or_default();
        assert_eq!(tally.files(status), listed, "{status:?} above the list and in it");
    }
    assert_eq!((tally.mode, tally.changed), (1, 1), "the script, and package.json");
    let wanted = Wanted { place: "run.sh".to_owned(), from: None, at: At::Page(1), as_text: false };
    let request = Request::Diff { candidate, baseline: Some(baseline), wanted };
    let shown: FileDiff = inspector.ask(request).await.unwrap();
    let executable = |side: Option<Side>| side.map(|side| side.executable);
    assert_eq!((executable(shown.before), executable(shown.after)), (Some(false), Some(true)));
    assert_eq!(shown.content, Content::Same);
}

#[test]
fn the_command_line_prints_the_difference_of_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, version: &str, module: &[u8]| {
        let path = folder.path().join(name);
        let bytes = npm(&manifest(version, json!({})), &[("index.js", module)]);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let old = write("hello-wire-1.0.0.tgz", "1.0.0", OLD);
    let new = write("hello-wire-1.1.0.tgz", "1.1.0", NEW.as_bytes());
    let print = |path: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["inspect".as_ref(), new.as_os_str(), "--baseline".as_ref(), old.as_os_str()])
            .args(["--diff", path])
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (ended_well, text) = print("index.js");
    assert!(ended_well, "{text}");
    let rows: Vec<&str> = text.lines().skip(2).collect();
    let spelled = "+module.exports = () => a // ⟦U+202E⟧<script>alert(1)</script>";
    assert_eq!(rows, ["-const a = 1", "-module.exports = () => a", "+const a = 2", spelled]);
    assert!(!print("nowhere.js").0);
}
