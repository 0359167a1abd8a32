//! Inspection in a real gateway, on both databases: from the seal to the report, and what an approval
//! then has to say (A14).

use countersign::domain::digest::Sha256;
use countersign::domain::event::{Event, SealedBecause};
use countersign::domain::ids::ReleaseId;
use countersign::domain::quorum::Verdict::{Approve, Reject};
use countersign::domain::release::State;
use countersign::domain::repository::{Place, Repository, Rules};
use countersign::domain::review::checks::inspection::{failed, no_baseline};
use countersign::domain::review::finding::Severity;
use countersign::domain::review::report::{Found, Gathered, Override, Report};
use countersign::domain::statement::{Statement, Terms};
use countersign::pipeline::approval::CannotDecide;
use countersign::pipeline::batch::{self, Alone};
use countersign::pipeline::binding::Sources;
use countersign::pipeline::inspection::{self, Inspecting};
use countersign::pipeline::{Error, Kind, Result, review, staging};
use countersign::source::{self, Git};
use countersign::workers;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::database::{on_both, sqlite};
use crate::support::desk::{Desk, Person, nothing_sent, refused};
use crate::support::repository::Forge;
use crate::support::setup::count;
use crate::support::world::{NPM_NAME, World, npm_document, run, sdist, wheel, wheel_holding};

/// What [`find`] finds: one block and one look.
fn found() -> Vec<Found> {
    vec![failed("killed").into(), no_baseline("the registry was away").into()]
}

const BLOCK: &str = "IN-01:killed";
const LOOK: &str = "IN-02:the_registry_was_away";

/// Answers all of it.
fn answers() -> Terms {
    let words = "  read it with other tools\n".to_owned();
    Terms {
        looked_at: vec![LOOK.to_owned()],
        overrides: vec![Override { finding: BLOCK.to_owned(), words }],
        ..Terms::default()
    }
}

/// A sealed Python release that nobody looked inside.
async fn sealed(world: &World, version: &str) -> ReleaseId {
    let staged = world.stage_python(run(7), &wheel(version, "py3", &[])).await.unwrap();
    let (because, now) = (SealedBecause::ReviewBegan, world.now());
    staging::seal_now(world.store(), staged.release, because, now).await.unwrap();
    staged.release
}

/// The worker looks into what is due.
async fn look(world: &World) -> bool {
    inspection::run_next(workers::inspecting(&world.site.app), world.now()).await.unwrap()
}

async fn report(world: &World, release: ReleaseId, who: &Person) -> Option<Report> {
    review::release(world.store(), release, who.id(), world.now()).await.unwrap().report
}

async fn approve_with(desk: &Desk, who: &mut Person, terms: Terms) -> Result<State> {
    let prompt = desk.begin_with(who, desk.release, (Approve, terms)).await?;
    let credential = who.key.assert(&prompt.options);
    Ok(desk.finish(who, &prompt, credential).await?.state)
}

#[tokio::test]
async fn a_sealed_release_is_looked_into_once_before_anybody_approves_it() {
    on_both(|store| async move {
        let (desk, [ines, mut mara, _]) = Desk::founded(store.clone()).await;
        let world = &desk.world;
        let release = sealed(world, "3.0.0").await;
        assert_eq!(count(&store, "inspections").await, 1);
        let before = desk.traces(release).await;
        let error = desk.begin(&ines, release, Approve).await.unwrap_err();
        assert_eq!(error.to_string(), CannotDecide::BeingChecked.to_string());
        assert_eq!(desk.traces(release).await, before);

        assert!(look(world).await);
        assert!(!look(world).await, "once");
        assert_eq!(count(&store, "inspections").await, 0);
        let history = world.history(release).await;
        let Event::ReleaseInspected { report_sha256, .. } = &history.last().unwrap().event else {
            panic!("{history:?}");
        };
        let report = report(world, release, &ines).await.unwrap();
        assert_eq!(report.inspection().report_sha256, *report_sha256);
        assert!(!report.is_incomplete());
        let [artifact] = report.artifacts.as_slice() else { panic!("{report:?}") };
        let tally = artifact.tally.as_ref().unwrap();
        assert_eq!((tally.after.files, tally.after.parsed, tally.added), (4, 1, 4));
        assert_eq!(tally.before, None, "a first release");
        let assurance = report.assurance.as_deref().unwrap();
        assert!(assurance.contains("in 4 files, 1 parsed as code."), "{assurance}");
        assert!(assurance.contains("Nothing new of: code that runs"), "{assurance}");
        // Looking again finds the same, to the byte.
        queue_again(&desk, release).await;
        assert!(look(world).await);
        let again = world.history(release).await;
        let Event::ReleaseInspected { report_sha256: second, .. } = &again.last().unwrap().event
        else {
            panic!("{again:?}");
        };
        assert_eq!(second, report_sha256);
        assert_eq!(count(&store, "reports").await, 2, "one of each release");
        // An objection needs no report.
        let release = sealed(world, "3.0.1").await;
        desk.decide(&mut mara, release, Reject).await.unwrap();
        assert!(look(world).await);
        assert_eq!(count(&store, "inspections").await, 0, "nobody looks into what is over");
        assert_eq!(world.history(release).await.last().unwrap().event.kind(), "release_rejected");
    })
    .await;
}

async fn queue_again(desk: &Desk, release: ReleaseId) {
    let mut tx = desk.store().begin().await.unwrap();
    tx.queue_inspection(release, desk.world.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// What takes the process with it every time is a block in the end, never nothing.
#[tokio::test]
async fn an_inspection_that_never_ends_is_a_block_after_three_tries() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::founded(store.clone()).await;
        let release = sealed(&desk.world, "3.0.0").await;
        for _ in 0..3 {
            let mut tx = store.begin().await.unwrap();
            let now = desk.world.now();
            assert!(tx.take_inspection(now, now).await.unwrap().is_some());
            tx.commit().await.unwrap();
        }
        assert!(look(&desk.world).await);
        let report = report(&desk.world, release, &ines).await.unwrap();
        let blocks: Vec<_> = report.of(Severity::Block).map(|it| it.check.as_str()).collect();
        assert_eq!(blocks, ["IN-01"]);
        assert!(report.is_incomplete());
        assert_eq!((&report.artifacts[0].tally, report.assurance), (&None, None));
    })
    .await;
}

#[tokio::test]
async fn an_approval_that_misses_a_tick_or_words_is_refused_by_name_and_stores_nothing() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::founded(store.clone()).await;
        desk.world.site.find(desk.release, found()).await;
        let before = desk.traces(desk.release).await;
        let unticked = Terms { looked_at: Vec::new(), ..answers() };
        let silent = Override { finding: BLOCK.to_owned(), words: " \n".to_owned() };
        for (terms, name) in [
            (Terms::default(), BLOCK),
            (unticked, LOOK),
            (Terms { overrides: vec![silent], ..answers() }, BLOCK),
            (
                Terms { looked_at: vec![LOOK.to_owned(), "CP-01:x".to_owned()], ..answers() },
                "CP-01:x",
            ),
        ] {
            let Err(Error::Refused(refusal)) = approve_with(&desk, &mut ines, terms).await else {
                panic!("{name}: not refused");
            };
            assert_eq!(refusal.kind, Kind::BadInput);
            assert!(refusal.message.contains(name), "{}", refusal.message);
            assert_eq!(desk.traces(desk.release).await, before);
            assert_eq!(count(&store, "ceremonies").await, 0);
        }
        let objection = desk
            .begin_with(
                &ines,
                desk.release,
                (Reject, Terms { reason: Some("no".to_owned()), ..answers() }),
            )
            .await;
        assert_eq!(refused(objection), Kind::BadInput, "a rejection answers nothing");

        assert_eq!(approve_with(&desk, &mut ines, answers()).await.unwrap(), State::Awaiting);
        assert_eq!(approve_with(&desk, &mut mara, answers()).await.unwrap(), State::Approved);
        let decisions = store.snapshot().await.unwrap().decisions(desk.release).await.unwrap();
        let signed = Statement::from_bytes(decisions[0].decision.statement.as_bytes()).unwrap();
        assert_eq!(signed.looked_at, [LOOK]);
        assert_eq!(signed.overrides[0].words, "read it with other tools");
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);
    })
    .await;
}

#[tokio::test]
async fn another_report_sends_an_approved_release_back_to_the_same_people() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::founded(store).await;
        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        desk.world.site.find(desk.release, found()).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Awaiting);
        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(approve_with(&desk, &mut ines, answers()).await.unwrap(), State::Awaiting);
        let twice = approve_with(&desk, &mut ines, answers()).await;
        assert_eq!(refused(twice), Kind::Conflict);
        assert_eq!(approve_with(&desk, &mut mara, answers()).await.unwrap(), State::Approved);
        desk.world.forward_to_the_end(desk.release).await;
        assert!(desk.world.npm.tarball(NPM_NAME, "1.0.0").is_some());
    })
    .await;
}

/// W17.
#[tokio::test]
async fn what_has_to_be_answered_is_approved_alone() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::founded(store).await;
        desk.stage("1.1.0").await;
        let look = vec![no_baseline("away").into()];
        desk.world.site.find(desk.release, look).await;
        let run = batch::of_run(desk.store(), desk.release, ines.id(), desk.world.now()).await;
        let run = run.unwrap();
        let alone: Vec<_> = run.alone.iter().map(|(view, why)| (view.record.id, why)).collect();
        assert_eq!(alone, [(desk.release, &Alone::Grave)]);
        assert_eq!(run.together.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn only_what_could_not_be_read_is_inspected_again_and_only_by_people_who_sign() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::founded(store.clone()).await;
        let now = desk.world.now();
        let again = || inspection::again(&store, desk.release, ines.id(), now);
        assert_eq!(refused(again().await), Kind::Conflict, "the report is complete");
        assert_eq!(count(&store, "inspections").await, 0);
        desk.world.site.find(desk.release, found()).await;
        let nobody = countersign::entropy::id(now).unwrap();
        let stranger = inspection::again(&store, desk.release, nobody, now).await;
        assert_eq!(refused(stranger), Kind::Forbidden);
        assert_eq!(count(&store, "inspections").await, 0);
        again().await.unwrap();
        assert_eq!(count(&store, "inspections").await, 1);
        assert!(look(&desk.world).await);
        let report = report(&desk.world, desk.release, &ines).await.unwrap();
        assert!(!report.is_incomplete());
    })
    .await;
}

/// What the worker reports about a release, reading these repositories.
async fn reported(world: &World, release: ReleaseId, sources: Option<Sources<'_>>) -> Report {
    let at = workers::inspecting(&world.site.app);
    let at = Inspecting { sources: sources.unwrap_or(at.sources), ..at };
    assert!(inspection::run_next(at, world.now()).await.unwrap());
    let ines = world.person("Ines Duarte").await;
    review::release(world.store(), release, ines, world.now()).await.unwrap().report.unwrap()
}

/// VR-01, SRC-10, SRC-11: what only the listing of the registry can tell.
#[tokio::test]
async fn a_release_is_held_against_everything_the_registry_lists() {
    on_both(|store| async move {
        let world = World::start(store).await;
        let before = [sdist("1.0.0", &[]), wheel("1.0.0", "py3", &[])];
        for file in before.iter().chain(&[wheel("2.0.0", "py3", &[])]) {
            world.pypi.hold(&file.name, &file.bytes);
        }
        world.pypi.attest(&before[1].name);
        let report = reported(&world, sealed(&world, "1.1.0").await, None).await;
        let told = |check: &str| {
            let of = report.findings.iter().filter(|finding| finding.check == check);
            of.map(|finding| (finding.severity, finding.evidence.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(told("VR-01"), [(Severity::Look, "1.1.0 after 2.0.0")]);
        assert_eq!(told("SRC-10"), [(Severity::Look, "no longer: source distribution")]);
        assert_eq!(told("SRC-11"), [(Severity::Note, "")], "PyPI takes none from a token (Q2)");
        let tally = report.artifacts[0].tally.as_ref().unwrap();
        assert_eq!(tally.before.unwrap().files, 4);
        assert_eq!((tally.added, tally.removed), (0, 0));
    })
    .await;
}

/// SRC-04: what a build tool writes is expected in the first release, and code in its place is not.
#[tokio::test]
async fn a_version_that_a_build_tool_wrote_needs_no_earlier_release() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(sqlite(folder.path()).await).await;
    let forge = Forge::new();
    world.build_from(&forge.commit(&[("hello_wire/__init__.py", "x = 1\n")]));
    forge.tag("v1.0.0");
    let git = Git::new(source::Settings::new(folder.path().join("sources")));
    let rules = Rules::parse(&["main".to_owned()], &[], None).unwrap();
    let place = Place::Mirror(forge.bare.clone());
    let name = "octo/hello-wire".to_owned();
    let repositories = [Repository { name, place, rules, packages: Vec::new() }];
    let sources = Sources { git: &git, repositories: &repositories };
    let written: &[u8] = b"# file generated by setuptools-scm\n__version__ = version = '1.0.0'\n";
    let code: &[u8] = b"import os\n__version__ = version = '1.0.0'\n";
    for (number, text, missing) in [(1, written, &[][..]), (2, code, &["hello_wire/_version.py"])] {
        let version = format!("1.0.{number}");
        let file = wheel_holding(&[("hello_wire/_version.py", text)], &version, "py3", &[]);
        let release = world.stage_python(run(number), &file).await.unwrap().release;
        let because = SealedBecause::ReviewBegan;
        staging::seal_now(world.store(), release, because, world.now()).await.unwrap();
        let report = reported(&world, release, Some(sources)).await;
        assert!(report.source_sha256.is_some(), "{:?}", report.not_checked);
        let of = report.findings.iter().filter(|finding| finding.check == "SRC-04");
        let files: Vec<&str> = of.filter_map(|finding| finding.file.as_deref()).collect();
        assert_eq!(files, missing);
    }
}

/// What a repository was seen to hold last is what the last look saw, also when an earlier look had
/// seen the same.
#[tokio::test]
async fn the_last_look_at_the_source_is_the_last_one() {
    on_both(|store| async move {
        let (desk, _) = Desk::founded(store.clone()).await;
        let manifest = desk.world.record(desk.release).await.seal.unwrap().manifest;
        for source in ["a", "b", "a"] {
            desk.world.pass(SignedDuration::from_secs(1));
            let source_sha256 = Some(Sha256::of(source.as_bytes()));
            let gathered = Gathered { source_sha256, ..Gathered::default() };
            let report = Report::new(&manifest, gathered, None);
            let (kept, now) = (Some(source.to_owned()), desk.world.now());
            assert!(inspection::record(&store, report, kept, now).await.unwrap());
            let mut tx = store.snapshot().await.unwrap();
            assert_eq!(tx.last_source(desk.release).await.unwrap().as_deref(), Some(source));
        }
    })
    .await;
}

/// What a form sends: a ticked box and words for each name that the page shows.
#[tokio::test]
async fn the_page_asks_for_every_answer_and_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(sqlite(folder.path()).await).await;
    let staged = world.stage_npm(run(1), &npm_document("1.0.0", b"x")).await;
    let release = staged.unwrap().release;
    world.site.find(release, vec![no_baseline("<b>away</b>").into()]).await;
    let mut ines = world.ines.clone();
    let page = ines.get(&format!("/releases/{release}"), "text/html").await.ok().text;
    let name = "IN-02:&#60;b&#62;away&#60;/b&#62;";
    assert!(page.contains(&format!("name=\"look:{name}\"")), "{page}");
    let base = format!("/releases/{release}/approve");
    ines.post_json(&format!("{base}/begin"), &json!({ "note": "" }))
        .await
        .problem(400, "bad-input");
    let fields = json!({ "note": "", "look:IN-02:<b>away</b>": "true" });
    ines.authenticator.counter = 90;
    let answer = ines.answer(&base, &fields).await;
    ines.post_json(&format!("{base}/finish"), &answer).await.ok();
    assert_eq!(world.record(release).await.state, State::Approved);
}
