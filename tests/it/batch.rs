//! Batch approval in a real gateway, on both databases: one touch for the releases of one CI run
//! (W17), each judged as if it stood alone.

use countersign::domain::authorise::{NotAuthorised, Trust, authorise, standing};
use countersign::domain::batch::{Batch, RELEASES_MAX};
use countersign::domain::decision::Decision;
use countersign::domain::event::{Actor, Event, LogEntry};
use countersign::domain::ids::{CeremonyId, ReleaseId};
use countersign::domain::policy::PolicyDraft;
use countersign::domain::quorum::Verdict;
use countersign::domain::release::State;
use countersign::pipeline::approval::Decided;
use countersign::pipeline::batch::{self, Alone, RunReleases};
use countersign::pipeline::{Kind, Result, hold, setup};
use serde_json::{Value, json};

use crate::support::database::on_both;
use crate::support::desk::{Desk, Person, nothing_sent, refused};
use crate::support::setup::count;
use crate::support::world::{NPM_NAME, npm_document, npm_document_of, run};

/// What waits together for somebody.
async fn waiting(desk: &Desk, who: &Person) -> RunReleases {
    batch::of_run(desk.store(), desk.release, who.id(), desk.world.now()).await.unwrap()
}

fn ids(run: &RunReleases) -> Vec<ReleaseId> {
    run.together.iter().map(|view| view.record.id).collect()
}

async fn begin(desk: &Desk, who: &Person, releases: &[ReleaseId]) -> Result<(CeremonyId, Value)> {
    let note = Some("read all of it".to_owned());
    let app = &desk.world.site.app;
    let subject = (releases, note);
    batch::begin(desk.store(), &app.passkeys, &who.signer, subject, desk.world.now()).await
}

async fn finish(desk: &Desk, who: &Person, answer: (CeremonyId, Value)) -> Result<Vec<Decided>> {
    let app = &desk.world.site.app;
    batch::finish(desk.store(), &app.passkeys, &who.signer, answer, desk.world.now()).await
}

/// Reads the page, presses the button, touches the key.
async fn approve(desk: &Desk, who: &mut Person) -> Vec<Decided> {
    let releases = ids(&waiting(desk, who).await);
    let (ceremony, options) = begin(desk, who, &releases).await.unwrap();
    let credential = who.key.assert(&options);
    finish(desk, who, (ceremony, credential)).await.unwrap()
}

async fn log(desk: &Desk, release: ReleaseId) -> Vec<LogEntry> {
    desk.store().snapshot().await.unwrap().log_for_release(release).await.unwrap()
}

/// What nothing may change: decisions, jobs, entries.
async fn traces(desk: &Desk) -> [i64; 3] {
    let store = desk.store();
    [count(store, "decisions").await, count(store, "jobs").await, count(store, "log_entries").await]
}

/// W5, W17, A2, I3.
#[tokio::test]
async fn one_touch_approves_every_listed_release_and_each_counts_alone() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::founded(store.clone()).await;
        let other = desk.stage("1.1.0").await;
        assert_eq!(ids(&waiting(&desk, &ines).await), [desk.release, other]);

        let first = approve(&desk, &mut ines).await;
        assert!(first.iter().all(|decided| decided.state == State::Awaiting));
        assert_eq!(count(&store, "jobs").await, 0, "one of two");
        assert!(waiting(&desk, &ines).await.together.is_empty(), "both are decided");
        let second = approve(&desk, &mut mara).await;
        let approved = |release| Decided { release, state: State::Approved };
        assert_eq!(second, [approved(desk.release), approved(other)]);

        for release in [desk.release, other] {
            let decisions = store.snapshot().await.unwrap().decisions(release).await.unwrap();
            assert_eq!(decisions.len(), 2);
            for record in decisions {
                assert_eq!(record.reason.as_deref(), Some("read all of it"));
                let batch = record.decision.batch.unwrap();
                let batch = Batch::from_bytes(batch.as_bytes()).unwrap();
                let listed: Vec<_> = batch.releases.iter().map(|item| item.release).collect();
                assert_eq!(listed, [desk.release, other]);
            }
        }
        desk.world.forward_to_the_end(desk.release).await;
        desk.world.forward_to_the_end(other).await;
        for (release, version) in [(desk.release, "1.0.0"), (other, "1.1.0")] {
            assert_eq!(desk.world.record(release).await.state, State::Published);
            assert!(desk.world.npm.tarball(NPM_NAME, version).is_some());
        }
    })
    .await;
}

/// W17: of a log, only the signed list makes the decisions of a batch count.
#[tokio::test]
async fn a_decision_counts_only_for_a_release_that_its_batch_lists() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::founded(store).await;
        let other = desk.stage("1.1.0").await;
        approve(&desk, &mut ines).await;
        approve(&desk, &mut mara).await;
        let honest = log(&desk, other).await;
        let now = desk.world.now();
        let missing = |alter: &dyn Fn(&mut Decision)| {
            let mut log = honest.clone();
            for entry in &mut log {
                if let Event::Decided { decision, .. } = &mut entry.event {
                    alter(decision);
                }
            }
            match authorise(&log, Trust::of(&log).unwrap(), other, now) {
                Ok(_) => 0,
                Err(NotAuthorised::Pending { missing }) => missing,
                Err(why) => panic!("{why}"),
            }
        };
        let relist = |change: &dyn Fn(&mut Batch)| {
            missing(&|decision| {
                let bytes = decision.batch.take().unwrap();
                let mut batch = Batch::from_bytes(bytes.as_bytes()).unwrap();
                change(&mut batch);
                decision.batch = Some(String::from_utf8(batch.to_bytes()).unwrap());
            })
        };
        assert_eq!(missing(&|_| {}), 0);
        // W4: a signature over a batch is none over a statement.
        assert_eq!(missing(&|decision| decision.batch = None), 2);
        assert_eq!(relist(&|batch| batch.releases.retain(|item| item.release != other)), 2);
        assert_eq!(relist(&|batch| batch.releases.truncate(2)), 0);
        assert_eq!(relist(&|batch| batch.reason = None), 2);
        assert_eq!(relist(&|batch| batch.person = mara.id()), 1, "it was hers already");
        let spaced = |decision: &mut Decision| {
            decision.batch = decision.batch.take().map(|text| format!("{text} "));
        };
        assert_eq!(missing(&spaced), 2);

        // What they really signed, beside a statement about a release that came later.
        let later = desk.stage("1.2.0").await;
        let now = desk.world.now();
        let mut made_up = log(&desk, later).await;
        let standing = standing(&made_up, later, now).unwrap();
        for entry in &honest {
            let Event::Decided { decision, .. } = &entry.event else { continue };
            let statement = standing.statement(decision.person, Verdict::Approve, None).to_bytes();
            let statement = String::from_utf8(statement).unwrap();
            let decision = Decision { statement, ..decision.clone() };
            let sequence = made_up.last().unwrap().sequence + 1;
            let event = Event::Decided { release: later, decision };
            made_up.push(LogEntry { sequence, at: now, event });
        }
        let verdict = authorise(&made_up, Trust::of(&made_up).unwrap(), later, now);
        assert_eq!(verdict.unwrap_err(), NotAuthorised::Pending { missing: 2 });
    })
    .await;
}

/// W17: what is recorded is what was signed, also when nothing but the rules changed meanwhile.
#[tokio::test]
async fn a_batch_is_not_recorded_under_rules_that_changed_while_the_prompt_was_open() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
        let other = desk.stage("1.1.0").await;
        let (ceremony, options) = begin(&desk, &ines, &[desk.release, other]).await.unwrap();
        desk.require(3).await;
        let before = traces(&desk).await;
        let answer = ines.key.assert(&options);
        assert_eq!(refused(finish(&desk, &ines, (ceremony, answer)).await), Kind::Conflict);
        assert_eq!(traces(&desk).await, before);
    })
    .await;
}

/// W3, W17: all or none, as everything stood when the prompt opened.
#[tokio::test]
async fn a_batch_that_changed_while_the_prompt_was_open_records_nothing() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::founded(store.clone()).await;
        let other = desk.stage("1.1.0").await;
        let both = [desk.release, other];

        let (ceremony, options) = begin(&desk, &ines, &both).await.unwrap();
        hold::begin(&store, other, mara.id(), None, desk.world.now()).await.unwrap();
        let before = traces(&desk).await;
        let answer = ines.key.assert(&options);
        let late = finish(&desk, &ines, (ceremony, answer.clone())).await;
        assert_eq!(refused(late), Kind::Conflict);
        let again = finish(&desk, &ines, (ceremony, answer)).await;
        assert_eq!(refused(again), Kind::Gone, "used up");
        assert_eq!(traces(&desk).await, before);
        hold::resume(&store, other, mara.id(), desk.world.now()).await.unwrap();

        let (ceremony, options) = begin(&desk, &ines, &both).await.unwrap();
        desk.decide(&mut jun, other, Verdict::Reject).await.unwrap();
        let before = traces(&desk).await;
        let answer = ines.key.assert(&options);
        let late = finish(&desk, &ines, (ceremony, answer)).await;
        assert_eq!(refused(late), Kind::Gone, "the other one ended");
        assert_eq!(traces(&desk).await, before);

        // Another person, another session, another answer.
        desk.stage("1.2.0").await;
        let releases = ids(&waiting(&desk, &ines).await);
        let (ceremony, options) = begin(&desk, &ines, &releases).await.unwrap();
        let answer = mara.key.assert(&options);
        assert_eq!(refused(finish(&desk, &mara, (ceremony, answer)).await), Kind::Gone);
        assert_eq!(traces(&desk).await[0], before[0], "nobody decided");
        nothing_sent(&desk.world);
    })
    .await;
}

/// W17: what has to be read alone is signed alone, and one run is one batch.
#[tokio::test]
async fn grave_and_foreign_releases_are_not_among_them() {
    on_both(|store| async move {
        let (desk, [ines, mara, _]) = Desk::founded(store.clone()).await;
        let hook = json!({ "name": NPM_NAME, "version": "1.1.0",
            "scripts": { "postinstall": "node index.js" } });
        let staged = desk
            .world
            .stage_npm(run(1), &npm_document_of(hook, &[("index.js", b"1")]))
            .await
            .unwrap();
        let (grave, held) = (staged.release, desk.stage("1.2.0").await);
        hold::begin(&store, held, mara.id(), None, desk.world.now()).await.unwrap();
        let document = npm_document("2.0.0", b"2");
        let foreign = desk.world.stage_npm(run(2), &document).await.unwrap().release;

        let run = waiting(&desk, &ines).await;
        assert_eq!(ids(&run), [desk.release]);
        let alone: Vec<_> = run.alone.iter().map(|(view, why)| (view.record.id, why)).collect();
        assert_eq!(alone, [(grave, &Alone::Grave), (held, &Alone::Held)]);

        let before = traces(&desk).await;
        let with = |release| [desk.release, release];
        assert_eq!(refused(begin(&desk, &ines, &with(grave)).await), Kind::Conflict);
        assert_eq!(refused(begin(&desk, &ines, &with(held)).await), Kind::Conflict);
        assert_eq!(refused(begin(&desk, &ines, &with(foreign)).await), Kind::Conflict);
        assert_eq!(refused(begin(&desk, &ines, &with(desk.release)).await), Kind::Conflict);
        assert_eq!(refused(begin(&desk, &ines, &[desk.release]).await), Kind::BadInput);
        assert_eq!(traces(&desk).await, before);
        assert_eq!(count(&store, "ceremonies").await, 0);
    })
    .await;
}

/// W17, A5: what a signer has to declare is said about one release at a time.
#[tokio::test]
async fn releases_whose_policy_asks_for_a_declaration_are_approved_alone() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::open(store.clone()).await;
        let other = desk.stage("1.1.0").await;
        let draft = PolicyDraft { authors_count: false, ..desk.draft(2) };
        let (policy, now) = (desk.policy().await, desk.world.now());
        setup::revise_policy(&store, Actor::Host, policy, draft, now).await.unwrap();
        let run = waiting(&desk, &ines).await;
        assert!(run.together.is_empty());
        let alone: Vec<_> = run.alone.iter().map(|(_, why)| why).collect();
        assert_eq!(alone, [&Alone::Declares, &Alone::Declares]);
        let before = traces(&desk).await;
        let both = begin(&desk, &ines, &[desk.release, other]).await;
        assert_eq!(refused(both), Kind::Conflict);
        assert_eq!(traces(&desk).await, before);
        assert_eq!(count(&store, "ceremonies").await, 0);
    })
    .await;
}

/// W17.
#[tokio::test]
async fn fifty_releases_are_approved_at_once_and_the_next_one_waits() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::founded(store.clone()).await;
        for minor in 1..=RELEASES_MAX {
            desk.stage(&format!("1.{minor}.0")).await;
        }
        let run = waiting(&desk, &ines).await;
        assert_eq!((run.together.len(), run.alone.len()), (RELEASES_MAX, 1));
        assert_eq!(run.alone[0].1, Alone::Full);
        assert_eq!(approve(&desk, &mut ines).await.len(), RELEASES_MAX);
        assert_eq!(ids(&waiting(&desk, &ines).await), [run.alone[0].0.record.id]);
    })
    .await;
}
