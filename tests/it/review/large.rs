//! The golden pairs that are too large for every run (rows F5, F10, F11, F24 of `docs/checks.md`), read
//! by a child under the memory it ships with. `make test-large` fetches them and runs these tests.
//!
//! Every fact is an assertion with its own words. Time is that of a build that is not optimised;
//! `bench/run.sh review` holds the product to its goal.

use std::path::PathBuf;
use std::time::Duration;

use countersign::domain::review::compared::Compared;
use countersign::domain::review::diff::{At, Content, FileDiff, Wanted};
use countersign::domain::review::finding::Severity;
use countersign::domain::review::survey::Format;
use countersign::inspect::request::{Artifact, Bounds, Request, Standing};
use countersign::inspector::{Inspector, Settings};

use super::real::spelled_anew;
use crate::support::site::reading;
use crate::support::tools::tools;

/// A file of `scripts/tools/large.txt`.
fn large(file: &str) -> Artifact {
    let path: PathBuf = tools().join("large").join(file);
    assert!(path.exists(), "{} is missing; `make test-large` fetches it", path.display());
    let wheel = file.ends_with("whl");
    Artifact::new(&path, &if wheel { spelled_anew(file) } else { file.to_owned() })
}

/// Children with the memory of production and the time that reading unoptimised takes.
fn inspector() -> Inspector {
    let bounds = Bounds { cpu_secs: 900, ..Bounds::default() };
    Inspector::new(Settings { bounds, wall: Duration::from_mins(20), ..reading() })
}

/// What a child says about two versions.
struct Told(Compared);

impl Told {
    async fn of(before: &str, after: &str) -> Self {
        let standing = Standing::default();
        let compared = inspector().compare(large(after), Some(large(before)), standing).await;
        Self(compared.unwrap_or_else(|failed| panic!("{after}: {failed}")))
    }

    /// Files that were added, removed and changed.
    fn changes(&self) -> (usize, usize, usize) {
        let count = |sort: (bool, bool)| {
            let is = |c: &&_| sides(c) == sort;
            self.0.changes.iter().filter(is).count()
        };
        (count((false, true)), count((true, false)), count((true, true)))
    }

    /// Added files of a format.
    fn added(&self, format: Format) -> usize {
        let added = self.0.changes.iter().filter(|change| sides(change) == (false, true));
        added.filter(|change| change.after.as_ref().is_some_and(|f| f.format == format)).count()
    }

    /// Files of a format in the candidate.
    fn standing(&self, format: Format) -> usize {
        self.0.files.iter().filter(|file| file.format == format).count()
    }

    /// A member of the manifest: before and after.
    fn member(&self, key: &str) -> Option<(Option<&str>, Option<&str>)> {
        let member = self.0.members.iter().find(|member| member.key == key)?;
        Some((member.before.as_deref(), member.after.as_deref()))
    }

    /// Everything that a check said at this severity, as the command line says it.
    fn said(&self, id: &str, severity: Severity) -> Vec<String> {
        let of = self.0.findings.iter();
        let of = of.filter(|found| found.check.id == id && found.severity == severity);
        of.map(ToString::to_string).collect()
    }

    /// Whether checks of this family ask for nothing.
    fn is_quiet(&self, family: &str) -> bool {
        let mut of = self.0.findings.iter().filter(|found| found.check.id.starts_with(family));
        of.all(|found| found.severity == Severity::Note)
    }

    /// Checks that block, each once.
    fn blocks(&self) -> Vec<&str> {
        let of = self.0.findings.iter().filter(|found| found.severity == Severity::Block);
        let mut ids: Vec<&str> = of.map(|found| found.check.id).collect();
        ids.dedup();
        ids
    }
}

fn sides(change: &countersign::domain::review::compared::Change) -> (bool, bool) {
    (change.before.is_some(), change.after.is_some())
}

#[tokio::test]
async fn f05_node_pty_comes_with_prebuilt_binaries_and_a_script_that_picks_one() {
    let told = Told::of("node-pty-1.0.0.tgz", "node-pty-1.1.0.tgz").await;
    assert_eq!(told.changes(), (36, 1, 48), "36 files are added");
    assert_eq!(told.added(Format::Pe), 18, "18 of them for Windows");
    assert_eq!(told.added(Format::MachO), 4, "4 for macOS");
    assert_eq!(told.added(Format::Opaque), 10, "10 are debug symbols");
    assert_eq!(told.said("CT-01", Severity::Look).len(), 22, "every new program is looked at");
    let scripts = told.said("HK-01", Severity::Block);
    assert!(
        scripts.iter().any(|said| said.contains("install: node scripts/prebuild.js || node-gyp")),
        "the new script blocks: {scripts:?}"
    );
    let targets = told.said("HK-02", Severity::Look);
    assert!(targets.iter().any(|said| said.contains("scripts/prebuild.js")), "{targets:?}");
    assert_eq!(told.member("dependencies.nan"), Some((Some("^2.17.0"), None)));
    let came = told.said("DP-01", Severity::Look);
    assert!(came.iter().any(|said| said.contains("node-addon-api ^7.1.0")), "{came:?}");
    let size = told.said("CT-05", Severity::Look);
    assert!(size.iter().any(|said| said.contains("1144949 → 64363742 bytes")), "{size:?}");
    let hidden = told.said("HK-02", Severity::Block);
    assert!(
        matches!(&hidden[..], [only] if only.contains("scripts/post-install.js")),
        "what its old script runs changed: {hidden:?}"
    );
    let build = told.said("HK-03", Severity::Block);
    assert!(
        matches!(&build[..], [only] if only.contains("binding.gyp")),
        "and so did what is built: {build:?}"
    );
    assert_eq!(told.blocks(), ["HK-01", "HK-02", "HK-03"], "nothing else stops it");
}

#[tokio::test]
async fn f10_typescript_is_read_whole_and_says_nothing_loud() {
    let told = Told::of("typescript-5.8.3.tgz", "typescript-5.9.2.tgz").await;
    assert_eq!(told.changes(), (2, 0, 26), "two files of types are added");
    let compiler = told.0.files.iter().find(|file| file.path == "lib/typescript.js").unwrap();
    assert!(compiler.size_bytes > 9_000_000, "one file of nine megabytes");
    assert!(told.is_quiet("IN-"), "and a parser read it");
    assert!(told.is_quiet("CT-11"), "joiners of Korean and of data are no payload");
    assert!(told.is_quiet("CT-"), "nor is anything else about its files");
    assert_eq!(told.blocks(), [""; 0]);
}

/// The page of such a file: what it counts, and that no page of it is the whole.
#[tokio::test]
async fn f10_the_difference_of_nine_megabytes_comes_in_pages() {
    let place = "lib/typescript.js".to_owned();
    let wanted = Wanted { place, from: None, at: At::Page(1), as_text: false };
    let (candidate, baseline) = (large("typescript-5.9.2.tgz"), large("typescript-5.8.3.tgz"));
    let ask = Request::Diff { candidate, baseline: Some(baseline), wanted };
    let shown: Option<FileDiff> = inspector().ask(ask).await.unwrap();
    let Content::Text(page) = shown.unwrap().content else { panic!("it is text") };
    assert_eq!((page.added, page.removed), (9_139, 8_006), "rows that differ, of 200,000");
    assert_eq!((page.page, page.pages), (1, 38), "a page of many");
    assert_eq!(page.rows.len(), 1_000, "and no page is the whole");
}

#[tokio::test]
async fn f11_next_is_read_whole_and_says_nothing_loud() {
    let told = Told::of("next-15.3.0.tgz", "next-15.4.1.tgz").await;
    assert_eq!(told.changes(), (702, 856, 3197), "files that are added, removed and changed");
    assert_eq!(told.0.files.len(), 7_188);
    let unpacked: u64 = told.0.files.iter().map(|file| file.size_bytes).sum();
    assert_eq!(unpacked, 134_032_178);
    for (name, was) in [("@swc/counter", "0.1.3"), ("busboy", "1.6.0")] {
        let gone = told.member(&format!("dependencies.{name}"));
        assert_eq!(gone, Some((Some(was), None)), "{name} is removed");
    }
    assert_eq!(told.standing(Format::Wasm), 3, "the three WebAssembly modules stand");
    assert_eq!(told.said("CT-01", Severity::Look), [""; 0], "so no binary is new");
    assert_eq!(told.added(Format::Media), 8, "eight fonts");
    assert!(told.is_quiet("CT-11"), "1,901 emoji of a loader are no payload");
    let minified = told.said("CT-06", Severity::Look);
    assert!(
        minified.iter().all(|said| !said.contains("dist/compiled")),
        "what is compiled always was one line: {minified:#?}"
    );
    assert_eq!(minified.len(), 2, "the one editor launcher that is not, in two builds");
    assert_eq!(told.blocks(), [""; 0]);
}

#[tokio::test]
async fn f24_botocore_changes_hundreds_of_compressed_models_quietly() {
    let told =
        Told::of("botocore-1.34.0-py3-none-any.whl", "botocore-1.35.0-py3-none-any.whl").await;
    assert_eq!(told.changes(), (72, 19, 904), "files that are added, removed and changed");
    assert_eq!(told.0.files.len(), 1_773);
    assert_eq!(told.standing(Format::Archive), 839, "members that are compressed themselves");
    assert_eq!(told.added(Format::Archive), 34);
    let urllib3 =
        |range: &str| format!("Requires-Dist: urllib3 ({range}) ; python_version >= \"3.10\"");
    let (old, new) = (urllib3("<2.1,>=1.25.4"), urllib3("!=2.2.0,<3,>=1.25.4"));
    assert!(
        told.member(&old).is_some_and(|(_, after)| after.is_none()),
        "the old range of urllib3"
    );
    assert!(told.member(&new).is_some_and(|(before, _)| before.is_none()), "and the new one");
    for m in &told.0.members {
        eprintln!("{}: {:?} {:?}", m.key, m.before, m.after);
    }
    assert!(told.is_quiet("CT-03"), "they always were");
    assert!(told.is_quiet("CT-09"), "and nothing is of an unknown format");
    assert!(told.is_quiet("AR-"));
    assert_eq!(told.blocks(), [""; 0]);
}
