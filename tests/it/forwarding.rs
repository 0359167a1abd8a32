//! Forwarding against registries that misbehave, and a forwarder that dies anywhere: each file is
//! published once or a person is told why not (rules A11, P10, R1-R3; invariants I4-I6, I11).

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use countersign::domain::event::{Actor, Event};
use countersign::domain::ids::ReleaseId;
use countersign::domain::release::State;
use countersign::entropy;
use countersign::pipeline::forwarding::{self, LEASE};
use countersign::pipeline::{Error, Kind, people};
use countersign::store::Store;
use countersign::store::jobs::Lease;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::database::{on_both, sqlite};
use crate::support::faults::{Fault, Listener, Seen};
use crate::support::setup::count;
use crate::support::world::{NPM_NAME, PUBLISH, READ, World, npm_document, run, sdist, wheel};

/// Requests that came to their announced end and could have stored something.
fn whole_writes(listener: &Listener) -> usize {
    listener.seen().iter().filter(|seen| seen.method != "GET" && seen.complete).count()
}

fn writes(listener: &Listener) -> Vec<Seen> {
    listener.seen().into_iter().filter(|seen| seen.method != "GET").collect()
}

fn reads(listener: &Listener) -> usize {
    listener.seen().iter().filter(|seen| seen.method == "GET").count()
}

async fn outcomes(world: &World, release: ReleaseId) -> Vec<String> {
    let attempts = world.attempts(release).await;
    attempts.iter().map(|a| a.outcome.clone().unwrap_or_default()).collect()
}

async fn kinds(world: &World, release: ReleaseId) -> Vec<&'static str> {
    world.history(release).await.iter().map(|entry| entry.event.kind()).collect()
}

/// Every try stands in the log before its end does, and every end has its try (A11).
async fn assert_log_is_whole(world: &World, release: ReleaseId) {
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    for entry in world.history(release).await {
        match entry.event {
            Event::ForwardStarted { attempt, .. } => begun.push(attempt),
            Event::ForwardEnded { attempt, .. } => {
                assert!(begun.contains(&attempt), "an end without a beginning");
                assert!(!ended.contains(&attempt), "two ends of one try");
                ended.push(attempt);
            }
            _ => {}
        }
    }
    let attempts: Vec<_> = world.attempts(release).await.iter().map(|a| a.id).collect();
    assert_eq!(begun, attempts, "the log and the table agree on the tries");
}

async fn published_once(world: &World, release: ReleaseId) {
    let record = world.record(release).await;
    assert_eq!(record.state, State::Published, "{:?}", record.message);
    assert_log_is_whole(world, release).await;
    let ends = kinds(world, release).await;
    assert_eq!(ends.iter().filter(|kind| **kind == "release_published").count(), 1);
}

#[tokio::test]
async fn an_approved_tarball_is_sent_once_read_twice_and_published() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        world.forward().await;
        published_once(&world, release).await;
        assert_eq!(writes(&world.npm.listener).len(), 1);
        assert_eq!(reads(&world.npm.listener), 2, "once before and once after");
        let held = &world.artifacts(release).await[0];
        assert_eq!(
            countersign::domain::digest::Sha256::of(&world.npm.tarball(NPM_NAME, "1.0.0").unwrap()),
            held.digests.sha256
        );
        assert!(held.forwarded_at.is_some());
    })
    .await;
}

/// Rule P10, and task of the read budget: three files, two reads.
#[tokio::test]
async fn wheels_are_sent_before_the_sdist_and_the_index_is_read_before_and_after() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let files = [sdist("1.0.0", &[]), wheel("1.0.0", "py3", &[]), wheel("1.0.0", "py2", &[])];
        let release = world.approved_python(&files).await;
        world.forward().await;
        published_once(&world, release).await;
        assert_eq!(world.pypi.count(), 3);
        let order: Vec<_> = world
            .history(release)
            .await
            .into_iter()
            .filter_map(|entry| match entry.event {
                Event::ForwardStarted { name, .. } => Some(name),
                _ => None,
            })
            .collect();
        assert_eq!(order.last().unwrap(), &files[0].name, "{order:?}");
        assert_eq!(reads(&world.pypi.listener), 2);
    })
    .await;
}

/// Invariant I6: an answer that says nothing, whether or not the artifact was stored.
#[tokio::test]
async fn an_unclear_answer_is_settled_by_the_registry_and_never_by_sending_again() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        for (number, fault) in [
            Fault::NoAnswer { store: true },
            Fault::answer(500, "oops", true),
            Fault::answer(409, "Failed to save packument", true),
            Fault::answer(201, "{}", true),
        ]
        .into_iter()
        .enumerate()
        {
            let release = world.approved_npm(&format!("1.0.{number}")).await;
            let before = writes(&world.npm.listener).len();
            world.npm.fail_next_write(fault);
            world.forward_to_the_end(release).await;
            published_once(&world, release).await;
            assert_eq!(writes(&world.npm.listener).len() - before, 1);
        }
        for (number, fault) in [Fault::NoAnswer { store: false }, Fault::answer(503, "", false)]
            .into_iter()
            .enumerate()
        {
            let release = world.approved_npm(&format!("2.0.{number}")).await;
            let before = writes(&world.npm.listener).len();
            world.npm.fail_next_write(fault);
            world.forward().await;
            world.pass(SignedDuration::from_mins(59));
            world.forward().await;
            assert_eq!(world.record(release).await.state, State::Confirming);
            assert_eq!(writes(&world.npm.listener).len() - before, 1, "it is only looked for");
            world.forward_to_the_end(release).await;
            published_once(&world, release).await;
            assert_eq!(outcomes(&world, release).await, ["unknown", "published"]);
        }
    })
    .await;
}

/// Faults U12, U13, U22: "already there" is believed when the digests say so.
#[tokio::test]
async fn a_version_that_is_there_already_is_published_or_a_conflict_by_its_bytes() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        // Somebody published the same bytes between our look and our send.
        let release = world.approved_npm("1.0.0").await;
        world.npm.lag();
        world.npm.fail_next_write(Fault::answer(
            403,
            "You cannot publish over the previously published versions: 1.0.0.",
            true,
        ));
        world.forward().await;
        assert_eq!(outcomes(&world, release).await, ["already_there"]);
        assert_eq!(world.record(release).await.state, State::Confirming);
        world.npm.show();
        world.forward_to_the_end(release).await;
        published_once(&world, release).await;
        // Other bytes hold the file name.
        let file = wheel("2.0.0", "py3", &[]);
        world.pypi.hold(&file.name, b"other bytes");
        let release = world.approved_python(&[file]).await;
        world.forward().await;
        let record = world.record(release).await;
        assert_eq!(record.state, State::Failed);
        assert!(record.message.unwrap().contains("with other bytes"));
        assert_eq!(writes(&world.pypi.listener).len(), 0, "nothing is overwritten");
        assert_eq!(world.attempts(release).await.len(), 0);
    })
    .await;
}

/// A restored backup does not know what the registry has.
#[tokio::test]
async fn what_the_registry_holds_already_is_published_without_sending() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let file = wheel("1.0.0", "py3", &[]);
        world.pypi.hold(&file.name, &file.bytes);
        let release = world.approved_python(&[file]).await;
        world.forward().await;
        published_once(&world, release).await;
        assert_eq!(writes(&world.pypi.listener).len(), 0);
        assert_eq!(world.attempts(release).await.len(), 0);
    })
    .await;
}

/// Fault U20: it said yes and shows something else.
#[tokio::test]
async fn bytes_that_differ_after_a_yes_are_for_a_person() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        world.approved_npm("0.9.0").await;
        world.forward().await;
        let release = world.approved_npm("1.0.0").await;
        let integrity = countersign::domain::digest::Sha512::from_bytes([7; 64]).to_base64();
        world.npm.change(NPM_NAME, |packument| {
            packument["versions"]["1.0.0"] =
                json!({ "dist": { "integrity": format!("sha512-{integrity}") } });
        });
        world.forward().await;
        let record = world.record(release).await;
        assert_eq!(record.state, State::Failed);
        assert!(record.message.unwrap().contains("with other bytes"));
        assert_eq!(whole_writes(&world.npm.listener), 1, "only the earlier version");
    })
    .await;
}

/// Fault U15, U17: npm may take its time.
#[tokio::test]
async fn slow_visibility_is_confirming_and_no_error() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        world.npm.lag();
        world.forward().await;
        for _ in 0..9 {
            let record = world.record(release).await;
            assert_eq!(record.state, State::Confirming);
            assert!(record.message.unwrap().contains("does not show it yet"));
            world.pass(SignedDuration::from_mins(6));
            world.forward().await;
        }
        world.npm.show();
        world.forward_to_the_end(release).await;
        published_once(&world, release).await;
        assert_eq!(writes(&world.npm.listener).len(), 1);
        assert!(kinds(&world, release).await.contains(&"release_confirming"));

        world.npm.lag();
        let release = world.approved_npm("2.0.0").await;
        world.forward_to_the_end(release).await;
        let record = world.record(release).await;
        assert_eq!(record.state, State::Failed);
        assert!(record.message.unwrap().contains("within an hour"));
        assert_eq!(writes(&world.npm.listener).len(), 2, "it was not sent again");
    })
    .await;
}

/// Fault U10: what certainly was not stored is sent again, not before the registry's time.
#[tokio::test]
async fn a_rate_limit_is_obeyed_and_then_the_file_is_sent_again() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        world.npm.fail_next_write(Fault::Answer {
            status: 429,
            headers: vec![("retry-after", "600")],
            body: "slow down".into(),
            store: false,
        });
        world.forward().await;
        world.pass(SignedDuration::from_mins(9));
        world.forward().await;
        assert_eq!(writes(&world.npm.listener).len(), 1);
        assert_eq!(world.record(release).await.message.as_deref(), Some("slow down"));
        world.pass(SignedDuration::from_mins(2));
        world.forward().await;
        published_once(&world, release).await;
        assert_eq!(outcomes(&world, release).await, ["retry", "published"]);
    })
    .await;
}

/// Fault U25: file 3 is refused after 1 and 2 were taken; a person asks again later.
#[tokio::test]
async fn one_refused_file_makes_a_partial_release_and_a_person_sends_the_rest() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let files = [wheel("1.0.0", "py3", &[]), wheel("1.0.0", "py2", &[]), sdist("1.0.0", &[])];
        let release = world.approved_python(&files).await;
        for answer in [None, None, Some(Fault::answer(400, "Only one sdist per release.", false))] {
            // The first two are taken as usual.
            let usual = Fault::Late { pause: Duration::ZERO, store: true };
            world.pypi.fail_next_write(answer.unwrap_or(usual));
        }
        world.forward().await;
        let record = world.record(release).await;
        assert_eq!(record.state, State::Partial);
        assert_eq!(
            record.message.unwrap(),
            "hello_wire-1.0.0.tar.gz: 400 Only one sdist per release."
        );
        assert_eq!(world.pypi.count(), 2);
        assert!(kinds(&world, release).await.contains(&"release_partly_published"));
        world.pass(SignedDuration::from_hours(2));
        world.forward().await;
        assert_eq!(writes(&world.pypi.listener).len(), 3, "it is not tried again by itself");

        let vera = world.person("Vera Oduya").await;
        let mara = world.person("Mara Lindqvist").await;
        let by_viewer =
            forwarding::retry(world.store(), world.site.app.trust(), vera, release, world.now())
                .await;
        assert!(matches!(by_viewer, Err(Error::Refused(r)) if r.kind == Kind::Forbidden));
        assert_eq!(world.record(release).await.state, State::Partial);
        forwarding::retry(world.store(), world.site.app.trust(), mara, release, world.now())
            .await
            .unwrap();
        let twice =
            forwarding::retry(world.store(), world.site.app.trust(), mara, release, world.now())
                .await;
        assert!(matches!(twice, Err(Error::Refused(r)) if r.kind == Kind::Conflict));
        world.forward().await;
        published_once(&world, release).await;
        assert_eq!(writes(&world.pypi.listener).len(), 4, "only the missing file is sent");
        assert_eq!(world.pypi.count(), 3);
        let asked = world.history(release).await;
        assert!(
            asked.iter().any(
                |entry| matches!(&entry.event, Event::ForwardRetried { by, .. } if *by == mara)
            )
        );
    })
    .await;
}

/// Fault U11: no loop, approvals kept; an expired or replaced release is not tried again.
#[tokio::test]
async fn another_try_needs_approvals_that_still_count_and_the_version_to_itself() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let mara = world.person("Mara Lindqvist").await;
        let refused = async |release| match forwarding::retry(
            world.store(),
            world.site.app.trust(),
            mara,
            release,
            world.now(),
        )
        .await
        {
            Err(Error::Refused(refusal)) => (refusal.kind, refusal.message),
            other => panic!("{other:?}"),
        };
        let release = world.approved_npm("1.0.0").await;
        world.npm.fail_next_write(Fault::answer(401, "invalid token", false));
        world.forward_to_the_end(release).await;
        assert_eq!(world.record(release).await.state, State::Failed);
        assert_eq!(outcomes(&world, release).await, ["refused"]);

        let newer = world.stage_npm(run(2), &npm_document("1.0.0", b"x = 2")).await.unwrap();
        assert!(newer.new && newer.release != release);
        let (kind, message) = refused(release).await;
        assert_eq!(
            (kind, message.as_str()),
            (Kind::Conflict, "another candidate holds this version now")
        );

        let other = world.approved_npm("2.0.0").await;
        world.npm.fail_next_write(Fault::answer(401, "invalid token", false));
        world.forward_to_the_end(other).await;
        world.pass(SignedDuration::from_hours(24 * 15));
        let (kind, message) = refused(other).await;
        assert_eq!(kind, Kind::Conflict);
        assert!(message.contains("expired"), "{message}");
        assert_eq!(world.record(other).await.state, State::Failed);
        assert_eq!(world.npm.count(), 0);
    })
    .await;
}

/// Rule A11: what stopped counting between the approval and the send stops the send.
#[tokio::test]
async fn a_decision_that_stops_counting_before_the_send_sends_nothing() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        let ines = world.person("Ines Duarte").await;
        let now = world.now();
        // A second owner, so that the first one may leave.
        let mara = world.person("Mara Lindqvist").await;
        countersign::pipeline::transaction(world.store(), move |tx| {
            Box::pin(async move {
                let role = countersign::domain::roster::Role::Owner;
                people::change_role(tx, now, &Actor::Person(ines), mara, role).await?;
                people::leave(tx, now, &Actor::Person(mara), ines).await
            })
        })
        .await
        .unwrap();
        world.forward().await;
        let record = world.record(release).await;
        assert_eq!(record.state, State::Awaiting, "{:?}", record.message);
        assert_eq!(world.attempts(release).await.len(), 0);
        assert_eq!(writes(&world.npm.listener).len(), 0);
        assert!(kinds(&world, release).await.contains(&"release_returned"));
        assert!(!kinds(&world, release).await.contains(&"forward_started"));

        // Somebody who still counts approves, and it goes out.
        let mut mara = world.mara.clone();
        let base = format!("/releases/{release}/approve");
        let answer = mara.answer(&base, &json!({})).await;
        mara.post_json(&format!("{base}/finish"), &answer).await.ok();
        world.forward().await;
        published_once(&world, release).await;
    })
    .await;
}

#[tokio::test]
async fn an_approval_that_ran_out_before_the_send_expires() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        world.pass(SignedDuration::from_hours(24 * 15));
        world.forward().await;
        assert_eq!(world.record(release).await.state, State::Expired);
        assert_eq!(world.attempts(release).await.len(), 0);
        assert_eq!(writes(&world.npm.listener).len(), 0);
    })
    .await;
}

/// A file that changed on disk: rule A12 of the whole way.
#[tokio::test]
async fn altered_bytes_are_never_a_whole_request() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        let sha256 = world.artifacts(release).await[0].digests.sha256;
        alter(&world.site.app.config.data_dir.join("blobs"), &sha256.to_string());
        world.forward().await;
        assert_eq!(outcomes(&world, release).await, ["tampered"]);
        assert_eq!(world.record(release).await.state, State::Failed);
        assert_eq!((whole_writes(&world.npm.listener), world.npm.count()), (0, 0));
    })
    .await;
}

/// Flips the last bit of the file that ends like this, wherever it is.
fn alter(folder: &std::path::Path, digest: &str) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if digest.ends_with(path.file_name().unwrap().to_str().unwrap()) {
                let mut bytes = std::fs::read(&path).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, bytes).unwrap();
                return;
            }
        }
    }
    panic!("no blob of {digest}");
}

/// Polls a future so many times and then drops it, as if the process died there.
async fn killed_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// One release for each poll of a forwarder's step, which dies after that poll. Counts those that died
/// before the attempt was in the log, after that, and after its end was.
async fn kill_at_every_poll(world: &World, sweep: u32, visited: &mut [u32; 3]) {
    for polls in 0.. {
        let version = format!("1.{sweep}.{polls}");
        let release = world.approved_npm(&version).await;
        let seen = whole_writes(&world.npm.listener);
        let forwarder = world.forwarder();
        let step = forwarding::run_next(&forwarder, "first", world.now());
        let finished = killed_after(polls, step).await.is_some();
        // What the dead process had begun at the database and the registry comes to an end.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let point = match world.attempts(release).await.first().map(|attempt| &attempt.outcome) {
            None => 0,
            Some(None) => 1,
            Some(Some(_)) => 2,
        };
        visited[point] += 1;
        world.pass(SignedDuration::from_mins(2));
        world.forward_to_the_end(release).await;
        published_once(world, release).await;
        assert_eq!(whole_writes(&world.npm.listener) - seen, 1, "killed after {polls} polls");
        assert!(world.npm.tarball(NPM_NAME, &version).is_some());
        if finished {
            return;
        }
    }
}

/// Rows C20-C27: the forwarder dies at every point where it waits for something, and the normal
/// path run again publishes once. That all boundaries were among the points is asserted.
#[tokio::test]
async fn a_forwarder_that_dies_anywhere_publishes_once_all_the_same() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let mut visited = [0; 3];
        // How often a step is polled is up to the machine, so one sweep may pass over a point.
        for sweep in 0..10 {
            kill_at_every_poll(&world, sweep, &mut visited).await;
            if visited.iter().all(|points| *points > 0) {
                return;
            }
        }
        panic!("some point was never visited: {visited:?}");
    })
    .await;
}

/// The one point that no waiting shows: the registry has it and the answer is on its way.
#[tokio::test]
async fn a_forwarder_that_dies_between_the_store_and_the_answer_publishes_once() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        let pause = Duration::from_mins(10);
        world.npm.fail_next_write(Fault::Late { pause, store: true });
        let forwarder = world.forwarder();
        let step = forwarding::run_next(&forwarder, "first", world.now());
        tokio::select! {
            done = step => panic!("the answer never came: {done:?}"),
            () = async {
                while world.npm.count() == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            } => {}
        }
        assert_eq!(outcomes(&world, release).await, [""]);
        world.forward().await;
        assert_eq!(world.record(release).await.state, State::Forwarding, "the lease is not over");
        world.pass(SignedDuration::from_mins(2));
        world.forward().await;
        published_once(&world, release).await;
        assert_eq!(writes(&world.npm.listener).len(), 1);
    })
    .await;
}

async fn lease(world: &World, owner: &str) -> Option<Lease> {
    let mut tx = world.store().begin().await.unwrap();
    let lease = tx.lease_job(owner, world.now() + LEASE, world.now()).await.unwrap();
    tx.commit().await.unwrap();
    lease
}

/// Waits until the registry has what a worker sent, and gives its job to another one.
async fn overtake(world: &World) -> Lease {
    while world.npm.count() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.pass(SignedDuration::from_mins(2));
    lease(world, "quick").await.unwrap()
}

/// Rules R1 and R2, rows R10 and R11: of two workers the one with the younger lease writes.
#[tokio::test]
async fn a_worker_without_its_lease_sends_nothing_and_writes_nothing() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        let old = lease(&world, "slow").await.unwrap();
        assert!(lease(&world, "quick").await.is_none(), "one at a time");
        world.pass(SignedDuration::from_mins(2));
        let young = lease(&world, "quick").await.unwrap();
        assert_eq!((young.job, young.fence), (old.job, old.fence + 1));

        forwarding::step(&world.forwarder(), &old, world.now()).await.unwrap();
        assert_eq!(writes(&world.npm.listener).len(), 0);
        assert_eq!(world.attempts(release).await.len(), 0);
        assert_eq!(world.record(release).await.state, State::Approved);

        forwarding::step(&world.forwarder(), &young, world.now()).await.unwrap();
        published_once(&world, release).await;
        let history = world.history(release).await.len();
        forwarding::step(&world.forwarder(), &old, world.now()).await.unwrap();
        assert_eq!(world.history(release).await.len(), history);
        assert_eq!(writes(&world.npm.listener).len(), 1);
    })
    .await;
}

/// Rule R1: each write that a lease permits asks for its fence.
#[tokio::test]
async fn a_lease_that_was_taken_over_changes_nothing_about_its_job() {
    on_both(|store: Store| async move {
        let world = World::start(store.clone()).await;
        world.approved_npm("1.0.0").await;
        let old = lease(&world, "slow").await.unwrap();
        world.pass(SignedDuration::from_mins(2));
        let young = lease(&world, "quick").await.unwrap();
        let (now, later) = (world.now(), world.now() + SignedDuration::from_hours(1));
        let mut tx = store.begin().await.unwrap();
        assert!(!tx.keep_lease(&old, later).await.unwrap());
        assert!(!tx.postpone_job(&old, later, "later").await.unwrap());
        assert!(!tx.finish_job(&old, "done", now).await.unwrap());
        assert!(tx.keep_lease(&young, later).await.unwrap());
        assert!(tx.finish_job(&young, "done", now).await.unwrap());
        assert!(!tx.keep_lease(&young, later).await.unwrap(), "a job that is over has no lease");
    })
    .await;
}

/// Rule R1: a worker that lost its lease does not even say what went wrong.
#[tokio::test]
async fn a_worker_without_its_lease_leaves_no_words() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        let old = lease(&world, "slow").await.unwrap();
        world.pass(SignedDuration::from_mins(2));
        lease(&world, "quick").await.unwrap();
        world.npm.fail_next_read(Fault::answer(503, "", false));
        forwarding::step(&world.forwarder(), &old, world.now()).await.unwrap();
        assert_eq!(world.record(release).await.message, None);
    })
    .await;
}

/// Rule R1: nor does it note what it saw at the registry.
#[tokio::test]
async fn a_worker_without_its_lease_notes_no_file_as_published() {
    on_both(|store: Store| async move {
        let world = World::start(store.clone()).await;
        let file = wheel("1.0.0", "py3", &[]);
        let release = world.approved_python(std::slice::from_ref(&file)).await;
        world.pypi.hold(&file.name, &file.bytes);
        let old = lease(&world, "slow").await.unwrap();
        world.pass(SignedDuration::from_mins(2));
        lease(&world, "quick").await.unwrap();
        forwarding::step(&world.forwarder(), &old, world.now()).await.unwrap();
        let artifacts = store.snapshot().await.unwrap().artifacts(release).await.unwrap();
        assert!(artifacts.iter().all(|artifact| artifact.forwarded_at.is_none()));
        assert_eq!(world.record(release).await.state, State::Approved);
    })
    .await;
}

/// Rules R1, R3: a worker that cannot renew its lease drops what it is sending. It renews every
/// fifteen seconds, and so long this test takes.
#[tokio::test]
async fn a_worker_that_cannot_renew_its_lease_stops_waiting_for_the_registry() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(sqlite(folder.path()).await).await;
    let release = world.approved_npm("1.0.0").await;
    let old = lease(&world, "slow").await.unwrap();
    let pause = Duration::from_mins(1);
    world.npm.fail_next_write(Fault::Late { pause, store: true });
    let forwarder = world.forwarder();
    let slow = forwarding::step(&forwarder, &old, world.now());
    let other = overtake(&world);
    let ended = tokio::time::timeout(pause / 2, async { tokio::join!(slow, other) }).await;
    ended.expect("it did not wait for the answer").0.unwrap();
    assert_eq!(outcomes(&world, release).await, [""], "the old worker wrote nothing");
}

/// Rule R2.
#[tokio::test]
async fn a_release_has_one_job_at_a_time() {
    on_both(|store: Store| async move {
        let world = World::start(store.clone()).await;
        let release = world.approved_npm("1.0.0").await;
        let mut tx = store.begin().await.unwrap();
        let now = world.now();
        tx.queue_job(entropy::id(now).unwrap(), release, now, now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&store, "jobs").await, 1);
    })
    .await;
}

/// Rule R1: the answer came after the lease was gone; what it said is not written.
#[tokio::test]
async fn an_answer_that_comes_after_the_lease_is_not_recorded() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let release = world.approved_npm("1.0.0").await;
        let old = lease(&world, "slow").await.unwrap();
        let pause = Duration::from_millis(400);
        world.npm.fail_next_write(Fault::Late { pause, store: true });
        let forwarder = world.forwarder();
        let slow = forwarding::step(&forwarder, &old, world.now());
        let other = async {
            let young = overtake(&world).await;
            forwarding::step(&world.forwarder(), &young, world.now()).await.unwrap();
        };
        let (slow, ()) = tokio::join!(slow, other);
        slow.unwrap();
        assert_eq!(world.record(release).await.state, State::Published);
        assert_eq!(outcomes(&world, release).await, [""], "the old worker wrote nothing");
        assert!(!kinds(&world, release).await.contains(&"forward_ended"));
        assert_eq!(writes(&world.npm.listener).len(), 1);
    })
    .await;
}

/// Two workers at once on the same queue: each release goes out once (R2, I11).
#[tokio::test]
async fn many_workers_on_many_releases_publish_each_once() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        let mut releases = Vec::new();
        for number in 0..5 {
            releases.push(world.approved_npm(&format!("1.0.{number}")).await);
        }
        let work = |owner: &'static str| {
            let (world, forwarder) = (&world, world.forwarder());
            async move {
                while forwarding::run_next(&forwarder, owner, world.now()).await.unwrap() {}
            }
        };
        tokio::join!(work("a"), work("b"), work("c"), work("d"));
        for release in releases {
            published_once(&world, release).await;
        }
        assert_eq!((writes(&world.npm.listener).len(), world.npm.count()), (5, 5));
    })
    .await;
}

/// Rule Q17: reads carry the read credential, and the publish credential never goes to one.
#[tokio::test]
async fn reads_carry_the_read_credential_and_only_it() {
    on_both(|store: Store| async move {
        let world = World::start_with(store, 1, Some(READ)).await;
        world.npm.demand_to_read(READ);
        world.pypi.demand_to_read(READ);
        let npm = world.approved_npm("1.0.0").await;
        let python = world.approved_python(&[wheel("1.0.0", "py3", &[])]).await;
        world.forward().await;
        published_once(&world, npm).await;
        published_once(&world, python).await;

        // What npm's client reads before it publishes passes through with it, too.
        let token = format!("Bearer {}", world.ci_token(run(1)));
        let mut client = world.site.browser(9);
        let headers = [("authorization", token.as_str())];
        let path = "/npm/@octo%2fhello-wire";
        let read = client.send(reqwest::Method::GET, path, &headers, String::new()).await;
        assert_eq!(read.status, 200, "{read:?}");
        assert!(!read.text.contains(READ));

        for listener in [&world.npm.listener, &world.pypi.listener] {
            let basic = |secret: &str| {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(format!("__token__:{secret}"))
            };
            for seen in listener.seen() {
                let sent = seen.header("authorization");
                let has = |secret: &str| sent.contains(secret) || sent.contains(&basic(secret));
                let reads = seen.method == "GET";
                assert_eq!((has(READ), has(PUBLISH)), (reads, !reads), "{seen:?}");
            }
        }
    })
    .await;
}

/// Without one, a registry that demands it is said so and nothing is sent (I6).
#[tokio::test]
async fn a_registry_that_cannot_be_read_is_not_written_to() {
    on_both(|store: Store| async move {
        let world = World::start(store).await;
        world.npm.demand_to_read(READ);
        let release = world.approved_npm("1.0.0").await;
        world.forward().await;
        let record = world.record(release).await;
        assert_eq!(record.state, State::Approved);
        assert!(record.message.unwrap().contains("refused to be read with 401"));
        assert_eq!(writes(&world.npm.listener).len(), 0);
        assert!(
            world.npm.listener.seen().iter().all(|seen| seen.header("authorization").is_empty())
        );
    })
    .await;
}
