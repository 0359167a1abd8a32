//! Decisions in a real gateway, on both databases: from the prompt to the queued job, every answer
//! that must not become a decision (security.md 3.7 H), and people who answer at the same moment.

use countersign::domain::authorise::standing;
use countersign::domain::digest::Sha256;
use countersign::domain::event::{Actor, Event};
use countersign::domain::ids::{CeremonyId, ReleaseId};
use countersign::domain::policy::Policy;
use countersign::domain::quorum::Verdict::{self, Approve, Reject};
use countersign::domain::release::State;
use countersign::domain::roster::Role;
use countersign::domain::statement::{REASON_MAX, Statement};
use countersign::entropy;
use countersign::pipeline::approval::{self, Decided};
use countersign::pipeline::people::{self, IdentityOwner};
use countersign::pipeline::signature::Signer;
use countersign::pipeline::{Kind, hold, setup, staging};
use countersign::store::signin::CEREMONIES_OPEN_MAX;
use countersign::store::{Store, Tx};
use jiff::SignedDuration;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::authenticator::{Authenticator, BE, BS, UP, UV};
use crate::support::database::on_both;
use crate::support::desk::{Desk, Person, Prompt, nothing_sent, refused, tamper};
use crate::support::setup::{count, invited};
use crate::support::world::{NPM_NAME, run, wheel};

/// The kinds of the release's own entries after its inspection.
async fn decided_entries(desk: &Desk, release: ReleaseId) -> Vec<&'static str> {
    let history = desk.world.history(release).await;
    let kinds = history.iter().map(|entry| entry.event.kind());
    kinds.skip_while(|kind| *kind != "release_inspected").skip(1).collect()
}

/// A2, A15, I4, I7.
#[tokio::test]
async fn two_approvals_queue_a_job_that_publishes_what_they_named() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::founded(store.clone()).await;
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting);
        assert_eq!(decided_entries(&desk, desk.release).await, ["decided"]);
        assert_eq!(count(&store, "jobs").await, 0);
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        let entries = decided_entries(&desk, desk.release).await;
        assert_eq!(entries, ["decided", "decided", "release_approved"]);
        assert_eq!((count(&store, "jobs").await, count(&store, "ceremonies").await), (1, 0));

        let record = desk.world.record(desk.release).await;
        let manifest = record.seal.unwrap().manifest;
        let decisions = store.snapshot().await.unwrap().decisions(desk.release).await.unwrap();
        let whose: Vec<_> = decisions.iter().map(|decision| decision.decision.person).collect();
        assert_eq!(whose, [ines.id(), mara.id()]);
        for decision in decisions {
            let signed = Statement::from_bytes(decision.decision.statement.as_bytes()).unwrap();
            assert_eq!(signed.manifest_sha256, manifest.digest());
            assert_eq!(signed.policy.required, 2);
        }
        nothing_sent(&desk.world);

        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);
        let held = desk.world.npm.tarball(NPM_NAME, "1.0.0").unwrap();
        assert_eq!(Sha256::of(&held), manifest.manifest().files[0].sha256);
    })
    .await;
}

/// A9.
#[tokio::test]
async fn one_objection_ends_a_release_and_queues_nothing() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::founded(store.clone()).await;
        desk.approve(&mut ines).await;
        let rejected = desk.decide(&mut mara, desk.release, Reject).await.unwrap();
        assert_eq!(rejected, Decided { release: desk.release, state: State::Rejected });
        let entries = decided_entries(&desk, desk.release).await;
        assert_eq!(entries, ["decided", "decided", "release_rejected"]);
        let decisions = store.snapshot().await.unwrap().decisions(desk.release).await.unwrap();
        assert_eq!(decisions[1].reason.as_deref(), Some("not this one"));
        let before = desk.traces(desk.release).await;
        let late = desk.decide(&mut jun, desk.release, Approve).await;
        assert_eq!(refused(late), Kind::Gone);
        assert_eq!(desk.traces(desk.release).await, before);
        assert_eq!(count(&store, "jobs").await, 0);
        desk.world.forward().await;
        nothing_sent(&desk.world);
    })
    .await;
}

/// A9: up to the moment bytes leave.
#[tokio::test]
async fn an_objection_stops_a_release_that_was_approved() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::founded(store).await;
        desk.approve(&mut ines).await;
        desk.approve(&mut mara).await;
        desk.decide(&mut jun, desk.release, Reject).await.unwrap();
        desk.world.forward().await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Rejected);
        nothing_sent(&desk.world);
    })
    .await;
}

#[tokio::test]
async fn a_rejection_needs_a_reason_and_no_text_is_endless() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::founded(store.clone()).await;
        let begin = async |verdict: Verdict, reason: Option<String>| {
            let (app, now) = (&desk.world.site.app, desk.world.now());
            let subject = (verdict, reason.into());
            approval::begin(&store, &app.passkeys, &ines.signer, desk.release, subject, now).await
        };
        for reason in [None, Some("  ".to_owned()), Some("x".repeat(REASON_MAX + 1))] {
            assert_eq!(refused(begin(Reject, reason).await), Kind::BadInput);
        }
        let note = Some("x".repeat(REASON_MAX + 1));
        assert_eq!(refused(begin(Approve, note).await), Kind::BadInput);
        assert_eq!(count(&store, "ceremonies").await, 0);
        assert!(begin(Approve, Some("x".repeat(REASON_MAX))).await.is_ok());
    })
    .await;
}

type Lie = (&'static str, fn(&mut Authenticator));

/// Rows V08 to V13 and V15 to V17: what a browser or an authenticator may get wrong or lie about.
const LIES: [Lie; 16] = [
    ("V08 not verified", |key| key.flags = UP),
    ("V09 not present", |key| key.flags = UV),
    ("V10 another origin", |key| key.origin = "http://localhost".into()),
    ("V10 a sub-domain", |key| key.origin = key.origin.replace("localhost", "a.localhost")),
    ("V10 another port", |key| key.origin.push('1')),
    ("V10 another scheme", |key| key.origin = key.origin.replace("http:", "https:")),
    ("V11 a frame of another site", |key| key.cross_origin = Value::Bool(true)),
    ("V11 a page above", |key| key.top_origin = Some("https://other.example".to_owned())),
    ("V12 another RP id", |key| key.rp_id = "other.example".into()),
    ("V13 a registration", |key| key.kind = Some("webauthn.create")),
    ("V15 backup eligible now", |key| key.flags = UP | UV | BE),
    ("V15 backed up now", |key| key.flags = UP | UV | BE | BS),
    ("V16 another challenge", |key| key.challenge = Some(vec![7; 32])),
    ("V17 a second challenge", |key| key.client_data_tail = r#","challenge":"AA""#.into()),
    ("another person's handle", |key| key.user_handle = Some(vec![7; 16])),
    ("bytes after the data", |key| key.extensions = vec![0xa0]),
];

#[tokio::test]
async fn no_lie_of_a_browser_or_authenticator_becomes_a_decision() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::open(store).await;
        for (row, lie) in LIES {
            let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
            let mut liar = ines.key.clone();
            lie(&mut liar);
            let kind = desk.refuses(&ines, &prompt, liar.assert(&prompt.options)).await;
            assert_eq!(kind, Kind::Forbidden, "{row}");
            // W3: the honest answer comes too late then.
            let honest = ines.key.clone().assert(&prompt.options);
            assert_eq!(desk.refuses(&ines, &prompt, honest).await, Kind::Gone, "{row}");
        }
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting, "the key is as good as before");
    })
    .await;
}

/// Row V16: the signature is over other bytes than those that came.
#[tokio::test]
async fn an_answer_that_was_altered_on_its_way_becomes_no_decision() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::open(store).await;
        for part in ["clientDataJSON", "authenticatorData", "signature"] {
            let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
            let mut credential = ines.key.clone().assert(&prompt.options);
            let mut other = ines.key.clone();
            other.counter = 6;
            other.client_data_tail = r#","more":1"#.to_owned();
            let other = other.assert(&prompt.options);
            credential["response"][part] = other["response"][part].clone();
            let kind = desk.refuses(&ines, &prompt, credential).await;
            assert_eq!(kind, Kind::Forbidden, "{part}");
        }
        for credential in [json!(null), json!({}), json!({ "id": "AA", "type": "public-key" })] {
            let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
            assert_eq!(desk.refuses(&ines, &prompt, credential).await, Kind::BadInput);
        }
    })
    .await;
}

/// Row V14, W9: there may be a copy of the key, so it is suspended, and nothing is decided.
#[tokio::test]
async fn a_counter_that_does_not_grow_suspends_the_key_and_decides_nothing() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
        let other = desk.stage("1.0.1").await;
        desk.approve(&mut ines).await;
        let prompt = desk.begin(&ines, other, Approve).await.unwrap();
        let mut copy = ines.key.clone();
        copy.step = 0;
        let entries = decided_entries(&desk, other).await;
        let answered = desk.finish(&ines, &prompt, copy.assert(&prompt.options)).await;
        assert_eq!(refused(answered), Kind::Forbidden);
        assert_eq!(count(&store, "decisions").await, 1);
        assert_eq!(decided_entries(&desk, other).await, entries);
        assert_eq!(desk.world.record(other).await.state, State::Awaiting);
        assert_eq!(count(&store, "ceremonies").await, 0);
        // A4: the approval it gave before does not count any more either.
        let mut tx = store.snapshot().await.unwrap();
        assert!(tx.passkeys_of(ines.id()).await.unwrap().is_empty());
        let log = tx.log_for_release(desk.release).await.unwrap();
        let now = desk.world.now();
        let standing = standing(&log, desk.release, now).unwrap();
        assert!(standing.counted.is_empty());
        assert_eq!(standing.discounted.len(), 1);
        assert_eq!(refused(desk.begin(&ines, other, Approve).await), Kind::Forbidden);
    })
    .await;
}

/// Rows V01 to V07, W3, W4, W7: an answer belongs to one prompt, session, person, act and release.
#[tokio::test]
async fn an_answer_belongs_to_one_prompt_session_person_act_and_release() {
    on_both(|store| async move {
        let (desk, [ines, mara, _]) = Desk::open(store).await;
        let other_release = desk.stage("1.0.1").await;
        let begin = async || desk.begin(&ines, desk.release, Approve).await.unwrap();
        let sign = |prompt: &Prompt| ines.key.clone().assert(&prompt.options);

        let prompt = begin().await;
        desk.refuses(&ines, &prompt, json!({})).await;
        let never: CeremonyId = entropy::id(desk.world.now()).unwrap();
        let unknown = Prompt { ceremony: never, ..prompt.clone() };
        let kind = desk.refuses(&ines, &unknown, sign(&prompt)).await;
        assert_eq!(kind, Kind::Gone, "V01 never begun");

        let prompt = begin().await;
        let elsewhere = Signer { session: Sha256::of(b"another"), ..ines.signer.clone() };
        let elsewhere = Person { signer: elsewhere, key: ines.key.clone() };
        let kind = desk.refuses(&elsewhere, &prompt, sign(&prompt)).await;
        assert_eq!(kind, Kind::Gone, "V04 another session");

        let prompt = begin().await;
        let kind = desk.refuses(&mara, &prompt, mara.key.clone().assert(&prompt.options)).await;
        assert_eq!(kind, Kind::Gone, "V05 somebody else's prompt");

        let prompt = begin().await;
        let in_her_place = Signer { person: mara.id(), ..ines.signer.clone() };
        let in_her_place = Person { signer: in_her_place, key: mara.key.clone() };
        let kind = desk.refuses(&in_her_place, &prompt, sign(&prompt)).await;
        assert_eq!(kind, Kind::Gone, "V05 the session is somebody else's by now");

        let prompt = begin().await;
        let kind = desk.refuses(&ines, &prompt, mara.key.clone().assert(&prompt.options)).await;
        assert_eq!(kind, Kind::Forbidden, "V05 somebody else's key");

        let prompt = begin().await;
        let never_enrolled = Authenticator::new(99, &ines.key.origin).assert(&prompt.options);
        let kind = desk.refuses(&ines, &prompt, never_enrolled).await;
        assert_eq!(kind, Kind::Forbidden, "V05 nobody's key");

        let prompt = begin().await;
        let as_rejection = Prompt { verdict: Reject, ..prompt.clone() };
        let kind = desk.refuses(&ines, &as_rejection, sign(&prompt)).await;
        assert_eq!(kind, Kind::Gone, "V06 another act");

        let prompt = begin().await;
        let of_another = Prompt { release: other_release, ..prompt.clone() };
        let kind = desk.refuses(&ines, &of_another, sign(&prompt)).await;
        assert_eq!(kind, Kind::Gone, "V07 another release");

        let prompt = begin().await;
        desk.world.pass(SignedDuration::from_secs(121));
        let kind = desk.refuses(&ines, &prompt, sign(&prompt)).await;
        assert_eq!(kind, Kind::Gone, "V03 too late");
    })
    .await;
}

/// Rows V02 and R13: once, whoever sends it again and however often.
#[tokio::test]
async fn an_answer_counts_once() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::open(store.clone()).await;
        let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
        let credential = ines.key.clone().assert(&prompt.options);
        desk.finish(&ines, &prompt, credential.clone()).await.unwrap();
        assert_eq!(desk.refuses(&ines, &prompt, credential).await, Kind::Gone);
        assert_eq!(count(&store, "decisions").await, 1);
    })
    .await;
}

/// I3, W15: one say each, from whatever prompt and with whatever key.
#[tokio::test]
async fn nobody_decides_twice() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::open(store).await;
        let open = desk.begin(&ines, desk.release, Approve).await.unwrap();
        desk.approve(&mut ines).await;
        let second = ines.key.assert(&open.options);
        assert_eq!(desk.refuses(&ines, &open, second).await, Kind::Conflict);
        for verdict in [Approve, Reject] {
            let again = desk.begin(&ines, desk.release, verdict).await;
            assert_eq!(refused(again), Kind::Conflict, "{verdict:?}");
        }
    })
    .await;
}

/// Rows V18 and V19: what was true at the prompt has to be true at the answer.
#[tokio::test]
async fn a_key_or_person_that_stopped_counting_meanwhile_decides_nothing() {
    on_both(|store| async move {
        let (desk, [mut ines, mara, jun]) = Desk::open(store.clone()).await;
        let now = desk.world.now();

        let prompt = desk.begin(&mara, desk.release, Approve).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let key = tx.passkeys_of(mara.id()).await.unwrap().remove(0).id;
        assert!(tx.suspend_passkey(key, now).await.unwrap());
        people::revise_roster(&mut tx, now, Actor::Gateway).await.unwrap();
        tx.commit().await.unwrap();
        let signed = mara.key.clone().assert(&prompt.options);
        assert_eq!(desk.refuses(&mara, &prompt, signed).await, Kind::Forbidden, "suspended");
        assert_eq!(refused(desk.begin(&mara, desk.release, Approve).await), Kind::Forbidden);

        let prompt = desk.begin(&jun, desk.release, Approve).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        people::leave(&mut tx, now, &Actor::Host, jun.id()).await.unwrap();
        tx.commit().await.unwrap();
        let signed = jun.key.clone().assert(&prompt.options);
        assert_eq!(desk.refuses(&jun, &prompt, signed).await, Kind::Gone, "left");
        assert_eq!(refused(desk.begin(&jun, desk.release, Approve).await), Kind::Forbidden);

        let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
        let later = desk.world.now() + SignedDuration::from_hours(24);
        let sql = "update passkeys set counts_from = counts_from + 86400000000";
        tamper(&store, sql, &[]).await;
        let mut tx = store.begin().await.unwrap();
        people::revise_roster(&mut tx, now, Actor::Gateway).await.unwrap();
        tx.commit().await.unwrap();
        let signed = ines.key.clone().assert(&prompt.options);
        assert_eq!(desk.refuses(&ines, &prompt, signed).await, Kind::Forbidden, "on probation");
        assert_eq!(refused(desk.begin(&ines, desk.release, Approve).await), Kind::Forbidden);
        desk.world.pass(later.duration_since(desk.world.now()));
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting);
    })
    .await;
}

/// I2: what was read is not what would be signed any more.
#[tokio::test]
async fn rules_that_changed_while_the_prompt_was_open_are_read_again_first() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
        let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
        desk.require(3).await;
        let signed = ines.key.assert(&prompt.options);
        assert_eq!(desk.refuses(&ines, &prompt, signed).await, Kind::Conflict, "policy");

        let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
        let (by, now) = (Actor::Person(ines.id()), desk.world.now());
        let name = "Dana Ortiz".to_owned();
        people::add_and_invite(&store, now, by, name, Role::Viewer).await.unwrap();
        let signed = ines.key.assert(&prompt.options);
        assert_eq!(desk.refuses(&ines, &prompt, signed).await, Kind::Conflict, "roster");
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting);
    })
    .await;
}

/// Row V20, A5.
#[tokio::test]
async fn whoever_started_the_run_may_object_and_not_approve() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = Desk::open(store).await;
        let prompt = desk.begin(&ines, desk.release, Approve).await.unwrap();
        desk.settle_starter(Some(IdentityOwner::Person(ines.id()))).await;
        let signed = ines.key.assert(&prompt.options);
        assert_eq!(desk.refuses(&ines, &prompt, signed).await, Kind::Forbidden);
        let before = desk.traces(desk.release).await;
        assert_eq!(refused(desk.begin(&ines, desk.release, Approve).await), Kind::Forbidden);
        assert_eq!(desk.traces(desk.release).await, before);
        assert_eq!(desk.approve(&mut mara).await, State::Awaiting);
        let rejected = desk.decide(&mut ines, desk.release, Reject).await.unwrap();
        assert_eq!(rejected.state, State::Rejected);
    })
    .await;
}

/// A5: an approval given before the link was made counts no longer, and nothing is sent on it.
#[tokio::test]
async fn a_starter_who_turns_out_to_have_approved_sends_the_release_back() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::open(store).await;
        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        desk.settle_starter(Some(IdentityOwner::Person(mara.id()))).await;
        desk.found([&mut ines, &mut mara]).await;
        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(desk.world.record(desk.release).await.state, State::Awaiting);
        assert_eq!(desk.approve(&mut jun).await, State::Approved);
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);
    })
    .await;
}

/// Q10, A11: an approval that ends a hold says what the release is, which is still approved; that
/// too few approvals count by now is found before anything is sent.
#[tokio::test]
async fn an_approval_that_ends_a_hold_says_what_the_release_is() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::open(store.clone()).await;
        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        hold::begin(&store, desk.release, jun.id(), None, desk.world.now()).await.unwrap();
        desk.settle_starter(Some(IdentityOwner::Person(mara.id()))).await;
        desk.require(3).await;
        desk.found([&mut ines, &mut mara, &mut jun]).await;
        desk.world.pass(SignedDuration::from_secs(1));
        assert_eq!(desk.approve(&mut jun).await, State::Approved);
        assert_eq!(desk.world.record(desk.release).await.state, State::Approved);
        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(desk.world.record(desk.release).await.state, State::Awaiting);
    })
    .await;
}

/// Q16.
#[tokio::test]
async fn nobody_approves_before_it_is_settled_who_started_the_run() {
    on_both(|store| async move {
        let (desk, [ines, mut mara, mut jun]) = Desk::open(store).await;
        let prompt = desk.begin(&mara, desk.release, Approve).await.unwrap();
        desk.settle_starter(None).await;
        let signed = mara.key.assert(&prompt.options);
        assert_eq!(desk.refuses(&mara, &prompt, signed).await, Kind::Forbidden);
        let before = desk.traces(desk.release).await;
        assert_eq!(refused(desk.begin(&ines, desk.release, Approve).await), Kind::Forbidden);
        assert_eq!(desk.traces(desk.release).await, before);
        let rejected = desk.decide(&mut jun, desk.release, Reject).await.unwrap();
        assert_eq!(rejected.state, State::Rejected, "an objection needs no starter");
    })
    .await;
}

#[tokio::test]
async fn a_viewer_and_somebody_the_policy_does_not_name_begin_nothing() {
    on_both(|store| async move {
        let (desk, [ines, ..]) = Desk::open(store.clone()).await;
        let vera = desk.world.person("Vera Oduya").await;
        let vera = Person {
            signer: Signer { person: vera, ..ines.signer.clone() },
            key: ines.key.clone(),
        };
        let (by, now) = (Actor::Person(ines.id()), desk.world.now());
        let name = "Dana Ortiz".to_owned();
        let added = people::add_and_invite(&store, now, by, name, Role::Maintainer).await;
        let dana = invited(added.unwrap());
        let mut browser = desk.world.site.browser(5);
        browser.enrol(dana.token.expose_secret()).await.ok();
        let dana = Signer { person: dana.person, ..ines.signer.clone() };
        let dana = Person { signer: dana, key: browser.authenticator.clone() };
        for (who, verdict) in [(&vera, Approve), (&vera, Reject), (&dana, Approve), (&dana, Reject)]
        {
            let begun = desk.begin(who, desk.release, verdict).await;
            assert_eq!(refused(begun), Kind::Forbidden, "{verdict:?}");
        }
        assert_eq!(count(&store, "ceremonies").await, 0);
        let nowhere: ReleaseId = entropy::id(desk.world.now()).unwrap();
        assert_eq!(refused(desk.begin(&ines, nowhere, Approve).await), Kind::NotFound);
    })
    .await;
}

/// Rule A16: setting things up is no right to approve. An owner signs where a policy names them.
#[tokio::test]
async fn an_owner_whom_the_policy_does_not_name_approves_nothing() {
    on_both(|store| async move {
        let (mut desk, [ines, mut mara, mut jun]) = Desk::open(store.clone()).await;
        let policy = store.snapshot().await.unwrap().policies().await.unwrap().remove(0).id();
        let mut draft = desk.draft(2);
        draft.members.remove(&ines.id());
        let (by, now) = (Actor::Person(ines.id()), desk.world.now());
        setup::revise_policy(&store, by, policy, draft, now).await.unwrap();
        let release = desk.stage("2.0.0").await;
        let before = desk.traces(release).await;
        for verdict in [Approve, Reject] {
            let begun = desk.begin(&ines, release, verdict).await;
            assert_eq!(refused(begun), Kind::Forbidden, "{verdict:?}");
        }
        let path = format!("/releases/{release}");
        let begin = format!("{path}/approve/begin");
        desk.world.ines.post_json(&begin, &json!({})).await.problem(403, "forbidden");
        let page = desk.world.ines.get(&path, "text/html").await.ok().text;
        assert!(!page.contains("/approve\""), "nor does the page offer it");
        assert_eq!(desk.traces(release).await, before);
        assert_eq!(count(&store, "ceremonies").await, 0);
        // One of the two who are named is not enough, whatever the owner does.
        assert_eq!(desk.decide(&mut mara, release, Approve).await.unwrap().state, State::Awaiting);
        assert_eq!(desk.decide(&mut jun, release, Approve).await.unwrap().state, State::Approved);
    })
    .await;
}

/// Row V21: begun while it was open to decisions, and answered when it no longer was.
#[tokio::test]
async fn a_release_that_is_over_takes_no_approval() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, jun]) = Desk::founded(store.clone()).await;
        let over = async |release: ReleaseId, prompt: Prompt, what: &str| {
            let signed = jun.key.clone().assert(&prompt.options);
            assert_eq!(desk.refuses(&jun, &prompt, signed).await, Kind::Gone, "{what}");
            let before = desk.traces(release).await;
            for verdict in [Approve, Reject] {
                let begun = desk.begin(&jun, release, verdict).await;
                assert_eq!(refused(begun), Kind::Gone, "{what}");
            }
            assert_eq!(desk.traces(release).await, before);
        };

        let prompt = desk.begin(&jun, desk.release, Approve).await.unwrap();
        desk.approve(&mut ines).await;
        desk.approve(&mut mara).await;
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);
        over(desk.release, prompt, "published").await;

        let vetoed = desk.stage("1.0.1").await;
        let prompt = desk.begin(&jun, vetoed, Approve).await.unwrap();
        desk.decide(&mut mara, vetoed, Reject).await.unwrap();
        over(vetoed, prompt, "rejected").await;

        let late = desk.stage("1.0.2").await;
        let expires_at = desk.world.record(late).await.seal.unwrap().expires_at;
        desk.world.pass(expires_at.duration_since(desk.world.now()) - SignedDuration::from_secs(9));
        let prompt = desk.begin(&jun, late, Approve).await.unwrap();
        desk.world.pass(SignedDuration::from_secs(9));
        over(late, prompt.clone(), "expired, though nobody wrote it down").await;
        staging::expire_overdue(&store, desk.world.now()).await.unwrap();
        assert_eq!(desk.world.record(late).await.state, State::Expired);
        over(late, prompt, "expired").await;
    })
    .await;
}

/// Row V24, A15: a decision is a POST of JSON from our own page, in a session, with a signature.
#[tokio::test]
async fn no_link_form_token_or_other_method_decides() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
        let mut browser = desk.world.ines.clone();
        let csrf = browser.csrf.clone().unwrap();
        let origin = browser.origin.clone();
        let base = format!("/releases/{}/approve", desk.release);
        let answer = browser.answer(&base, &json!({})).await.to_string();
        let before = desk.traces(desk.release).await;
        let ours = [
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
            ("x-csrf-token", &csrf),
        ];
        let with = |name: &'static str, value: &'static str| {
            let mut headers = ours.to_vec();
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value));
            headers
        };
        let finish = format!("{base}/finish");
        let queried = format!("{finish}?_method=POST&callback=x");
        let mut tried = 0;
        for path in [&format!("{base}/begin"), &finish, &queried] {
            for method in [
                Method::GET,
                Method::HEAD,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
                Method::OPTIONS,
                Method::TRACE,
            ] {
                let headers = with("x-http-method-override", "POST");
                let answered = browser.send(method, path, &headers, answer.clone()).await;
                assert_eq!(answered.status, 405, "{path}: {answered:?}");
                tried += 1;
            }
        }
        assert_eq!(tried, 21);
        for headers in [
            with("content-type", "text/plain"),
            with("content-type", "application/x-www-form-urlencoded"),
            with("origin", "https://other.example"),
            with("sec-fetch-site", "cross-site"),
            with("x-csrf-token", "AAAA"),
        ] {
            let answered = browser.send(Method::POST, &finish, &headers, answer.clone()).await;
            assert!(answered.status.is_client_error(), "{headers:?}: {answered:?}");
        }
        let token = format!("Bearer {}", desk.world.ci_token(run(9)));
        let mut stranger = browser.elsewhere();
        let headers = [&ours[..], &[("authorization", token.as_str())]].concat();
        let answered = stranger.send(Method::POST, &finish, &headers, answer.clone()).await;
        answered.problem(401, "not-authenticated");
        assert_eq!(desk.traces(desk.release).await, before);
        assert_eq!(count(&store, "ceremonies").await, 1, "none of these was an answer");

        let answered = browser.send(Method::POST, &finish, &ours, answer).await.ok();
        assert_eq!(answered.status, 200);
        assert_eq!(count(&store, "decisions").await, 1);
        ines.key = browser.authenticator;
        assert_eq!(refused(desk.begin(&ines, desk.release, Approve).await), Kind::Conflict);
    })
    .await;
}

/// W3: prompts of one session push each other out instead of filling the database.
#[tokio::test]
async fn a_session_has_only_so_many_prompts_open() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
        let first = desk.begin(&ines, desk.release, Approve).await.unwrap();
        for _ in 0..CEREMONIES_OPEN_MAX {
            desk.begin(&ines, desk.release, Approve).await.unwrap();
        }
        assert_eq!(count(&store, "ceremonies").await, i64::from(CEREMONIES_OPEN_MAX));
        let signed = ines.key.assert(&first.options);
        assert_eq!(refused(desk.finish(&ines, &first, signed).await), Kind::Gone);
        assert_eq!(count(&store, "decisions").await, 0);
    })
    .await;
}

/// Several people, or one with several prompts, at the same moment.
mod at_once {
    use super::*;

    const ROUNDS: usize = 6;

    /// Somebody's prompt, signed and not sent yet.
    async fn ready(
        desk: &Desk,
        who: &mut Person,
        release: ReleaseId,
        verdict: Verdict,
    ) -> (Prompt, Value) {
        let prompt = desk.begin(who, release, verdict).await.unwrap();
        let credential = who.key.assert(&prompt.options);
        (prompt, credential)
    }

    async fn rounds(desk: &Desk) -> Vec<ReleaseId> {
        let mut releases = Vec::new();
        for round in 0..ROUNDS {
            releases.push(desk.stage(&format!("2.0.{round}")).await);
        }
        releases
    }

    /// Row R04: both count, and one job goes out.
    #[tokio::test(flavor = "multi_thread")]
    async fn two_approvals_both_count_and_queue_one_job() {
        on_both(|store| async move {
            let (desk, [mut ines, mut mara, _]) = Desk::open(store.clone()).await;
            for release in rounds(&desk).await {
                let before = count(&store, "jobs").await;
                let (one, first) = ready(&desk, &mut ines, release, Approve).await;
                let (two, second) = ready(&desk, &mut mara, release, Approve).await;
                let (first, second) =
                    tokio::join!(desk.finish(&ines, &one, first), desk.finish(&mara, &two, second));
                let mut states = [first.unwrap().state, second.unwrap().state];
                states.sort_by_key(|state| state.as_str());
                assert_eq!(states, [State::Approved, State::Awaiting]);
                let entries = decided_entries(&desk, release).await;
                assert_eq!(entries, ["decided", "decided", "release_approved"]);
                assert_eq!(count(&store, "jobs").await, before + 1);
            }
        })
        .await;
    }

    /// Row R05.
    #[tokio::test(flavor = "multi_thread")]
    async fn two_prompts_of_one_person_count_once() {
        on_both(|store| async move {
            let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
            for release in rounds(&desk).await {
                let before = count(&store, "decisions").await;
                let (one, first) = ready(&desk, &mut ines, release, Approve).await;
                let (two, second) = ready(&desk, &mut ines, release, Reject).await;
                let (first, second) =
                    tokio::join!(desk.finish(&ines, &one, first), desk.finish(&ines, &two, second));
                assert_eq!(count(&store, "decisions").await, before + 1);
                let entries = decided_entries(&desk, release).await;
                match (first, second) {
                    (Ok(decided), Err(_)) => {
                        assert_eq!(decided.state, State::Awaiting);
                        assert_eq!(entries, ["decided"]);
                    }
                    (Err(_), Ok(decided)) => {
                        assert_eq!(decided.state, State::Rejected);
                        assert_eq!(entries, ["decided", "release_rejected"]);
                    }
                    both => panic!("expected one outcome, received {both:?}"),
                }
            }
        })
        .await;
    }

    /// Row R06: an acknowledged objection is never overtaken.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_last_approval_and_an_objection_end_as_an_objection() {
        on_both(|store| async move {
            let (desk, [mut ines, mut mara, mut jun]) = Desk::founded(store.clone()).await;
            for release in rounds(&desk).await {
                desk.decide(&mut ines, release, Approve).await.unwrap();
                let (one, first) = ready(&desk, &mut mara, release, Approve).await;
                let (two, second) = ready(&desk, &mut jun, release, Reject).await;
                let (approved, rejected) =
                    tokio::join!(desk.finish(&mara, &one, first), desk.finish(&jun, &two, second));
                assert_eq!(rejected.unwrap().state, State::Rejected);
                assert_eq!(desk.world.record(release).await.state, State::Rejected);
                let entries = decided_entries(&desk, release).await;
                match approved {
                    Ok(decided) => {
                        assert_eq!(decided.state, State::Approved);
                        let expected = [
                            "decided",
                            "decided",
                            "release_approved",
                            "decided",
                            "release_rejected",
                        ];
                        assert_eq!(entries, expected);
                    }
                    late => {
                        assert_eq!(refused(late), Kind::Gone);
                        assert_eq!(entries, ["decided", "decided", "release_rejected"]);
                    }
                }
            }
            desk.world.forward().await;
            nothing_sent(&desk.world);
        })
        .await;
    }

    /// A9: a veto that was taken stops the bytes; one that came too late is told so.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_objection_and_the_forwarder_never_both_win() {
        on_both(|store| async move {
            let (desk, [mut ines, mut mara, mut jun]) = Desk::founded(store).await;
            for (round, release) in rounds(&desk).await.into_iter().enumerate() {
                desk.decide(&mut ines, release, Approve).await.unwrap();
                desk.decide(&mut mara, release, Approve).await.unwrap();
                let (prompt, credential) = ready(&desk, &mut jun, release, Reject).await;
                let (rejected, ()) =
                    tokio::join!(desk.finish(&jun, &prompt, credential), desk.world.forward());
                let sent = desk.world.npm.tarball(NPM_NAME, &format!("2.0.{round}")).is_some();
                assert_ne!(rejected.is_ok(), sent);
                if rejected.is_ok() {
                    assert_eq!(desk.world.record(release).await.state, State::Rejected);
                } else {
                    assert_eq!(refused(rejected), Kind::Gone);
                }
            }
        })
        .await;
    }

    /// Holds a change of rules open until the other transaction had time to read around it.
    async fn overtaken<T>(
        store: &Store,
        change: impl AsyncFnOnce(&mut Tx),
        other: impl Future<Output = T>,
    ) -> T {
        let mut tx = store.begin().await.unwrap();
        change(&mut tx).await;
        let commit = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            tx.commit().await.unwrap();
        };
        tokio::join!(other, commit).0
    }

    /// Row R07: a roster that changes at the same moment comes before or after the decision, never
    /// between what was read and what was recorded.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_of_people_never_slips_under_a_decision() {
        on_both(|store| async move {
            let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
            let (prompt, credential) = ready(&desk, &mut ines, desk.release, Approve).await;
            let now = desk.world.now();
            let add = async |tx: &mut Tx| {
                let added =
                    people::add_person(tx, now, &Actor::Host, "Dana Ortiz", Role::Viewer).await;
                added.unwrap();
            };
            let decided = overtaken(&store, add, desk.finish(&ines, &prompt, credential)).await;
            assert_eq!(refused(decided), Kind::Conflict, "it is read again first");
            assert_eq!(count(&store, "decisions").await, 0);
            assert_eq!(desk.approve(&mut ines).await, State::Awaiting);
        })
        .await;
    }

    /// Row R08, I4: what is decided before sending is decided under the rules in force then.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_of_people_never_slips_under_a_forward() {
        on_both(|store| async move {
            let (desk, [_, mut mara, _]) = Desk::open(store.clone()).await;
            // Before the founding people change at once, and one approval is sent.
            desk.require(1).await;
            let release = desk.stage("1.0.1").await;
            desk.decide(&mut mara, release, Approve).await.unwrap();
            let (now, mara) = (desk.world.now(), mara.id());
            let leave = async |tx: &mut Tx| {
                people::leave(tx, now, &Actor::Host, mara).await.unwrap();
            };
            overtaken(&store, leave, desk.world.forward()).await;
            desk.world.forward().await;
            nothing_sent(&desk.world);
            let entries = decided_entries(&desk, release).await;
            assert!(!entries.contains(&"forward_started"), "{entries:?}");
        })
        .await;
    }

    /// The seal names the policy in force at its place in the log, or nobody could ever approve.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_of_policy_never_slips_under_a_seal() {
        on_both(|store| async move {
            let (desk, [mut ines, ..]) = Desk::open(store.clone()).await;
            let wheel = wheel("3.0.0", "py3", &[]);
            let release = desk.world.stage_python(run(1), &wheel).await.unwrap().release;
            let now = desk.world.now();
            let policy = store.snapshot().await.unwrap().policies().await.unwrap().remove(0);
            let next = Policy::parse(policy.id(), policy.revision() + 1, desk.draft(3)).unwrap();
            let revise = async |tx: &mut Tx| {
                tx.put_policy(&next, now).await.unwrap();
                let event = Event::PolicyRevised { policy: next.clone(), by: Actor::Host };
                tx.append(now, event).await.unwrap();
            };
            overtaken(&store, revise, desk.world.seal(release)).await;
            let decided = desk.decide(&mut ines, release, Approve).await.unwrap();
            assert_eq!(decided.state, State::Awaiting);
            let seal = desk.world.record(release).await.seal.unwrap();
            assert_eq!(seal.policy_revision, next.revision());
        })
        .await;
    }
}
