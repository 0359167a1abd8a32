//! Policies at the desk, on both databases: waits, notes, declarations, findings, embargo, and
//! releases that are counted again when a rule changes.

use countersign::domain::event::Actor;
use countersign::domain::ids::ReleaseId;
use countersign::domain::policy::{Embargo, PolicyDraft};
use countersign::domain::quorum::Verdict::{Approve, Reject};
use countersign::domain::release::State;
use countersign::domain::statement::Terms;
use countersign::pipeline::governance::enact_due;
use countersign::pipeline::setup;
use countersign::pipeline::{Kind, Result, approval};
use countersign::store::Store;
use jiff::SignedDuration;
use serde_json::json;

use crate::governance::{carry, decide};
use crate::support::database::on_both;
use crate::support::desk::{Desk, Person, nothing_sent, refused};
use crate::support::governing::DELAY;
use crate::support::world::{npm_document_of, run};

const HALF_AN_HOUR: SignedDuration = SignedDuration::from_mins(30);

/// A founded desk with a release under a policy of two, changed.
async fn under(
    store: Store,
    change: impl FnOnce(&mut PolicyDraft, &[Person; 3]),
) -> (Desk, [Person; 3]) {
    let (mut desk, mut people) = Desk::open(store).await;
    let mut draft = desk.draft(2);
    change(&mut draft, &people);
    let (id, required, now) = (desk.policy().await, draft.required, desk.world.now());
    setup::revise_policy(desk.store(), Actor::Host, id, draft, now).await.unwrap();
    let [ines, mara, jun] = &mut people;
    match required {
        2 => desk.found([ines, mara]).await,
        _ => desk.found([ines, mara, jun]).await,
    };
    desk.release = desk.stage("1.1.0").await;
    (desk, people)
}

/// Somebody approves with these terms.
async fn approve_with(desk: &Desk, who: &mut Person, terms: Terms) -> Result<State> {
    let (store, passkeys) = (desk.store(), &desk.world.site.app.passkeys);
    let now = desk.world.now();
    let said = (Approve, terms);
    let (ceremony, options) =
        approval::begin(store, passkeys, &who.signer, desk.release, said, now).await?;
    let answer = (ceremony, who.key.assert(&options));
    let subject = (desk.release, Approve);
    let decided = approval::finish(store, passkeys, &who.signer, answer, subject, now).await?;
    Ok(decided.state)
}

async fn state(desk: &Desk, release: ReleaseId) -> State {
    desk.world.record(release).await.state
}

/// Rule A10: nothing leaves while it cools off, and then it does by itself.
#[tokio::test]
async fn an_approved_release_is_sent_when_it_has_cooled_off() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) =
            under(store, |policy, _| policy.cooling_off = HALF_AN_HOUR).await;
        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        let asked = desk.world.npm.listener.seen().len();
        desk.world.forward().await;
        desk.world.pass(HALF_AN_HOUR - SignedDuration::from_secs(1));
        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(desk.world.npm.listener.seen().len(), asked, "its job is not due");
        assert_eq!(state(&desk, desk.release).await, State::Approved);
        desk.world.pass(SignedDuration::from_secs(1));
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(state(&desk, desk.release).await, State::Published);
    })
    .await;
}

/// Rules A9, A10.
#[tokio::test]
async fn one_objection_while_it_cools_off_stops_a_release() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) =
            under(store, |policy, _| policy.cooling_off = HALF_AN_HOUR).await;
        desk.approve(&mut ines).await;
        desk.approve(&mut mara).await;
        desk.decide(&mut jun, desk.release, Reject).await.unwrap();
        desk.world.pass(HALF_AN_HOUR);
        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(state(&desk, desk.release).await, State::Rejected);
    })
    .await;
}

/// A time that an approver set holds; one that is past, or after the release expires, is refused.
#[tokio::test]
async fn a_release_is_sent_at_the_time_that_an_approver_set() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, _]) = under(store, |_, _| {}).await;
        let before = desk.traces(desk.release).await;
        let week = SignedDuration::from_hours(7 * 24);
        for time in [desk.world.now(), desk.world.now() + week] {
            let terms = Terms { not_before: Some(time), ..Terms::default() };
            let refused = refused(approve_with(&desk, &mut ines, terms).await);
            assert_eq!(refused, Kind::BadInput, "{time}");
        }
        assert_eq!(desk.traces(desk.release).await, before);
        let later = desk.world.now() + SignedDuration::from_hours(3);
        let terms = Terms { not_before: Some(later), ..Terms::default() };
        approve_with(&desk, &mut ines, terms).await.unwrap();
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        desk.world.pass(SignedDuration::from_hours(2));
        desk.world.forward().await;
        nothing_sent(&desk.world);
        desk.world.pass(SignedDuration::from_hours(1));
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(state(&desk, desk.release).await, State::Published);
    })
    .await;
}

/// Rule A14: what people sign names what was found.
#[tokio::test]
async fn what_was_found_is_sealed_with_the_release() {
    on_both(|store| async move {
        let (mut desk, [mut ines, ..]) = under(store, |policy, _| {
            policy.note_on_findings = true;
            policy.more_on_findings = 1;
        })
        .await;
        let plain = desk.world.record(desk.release).await.seal.unwrap();
        let hook = "runs_at_install:postinstall".to_owned();
        assert!(!plain.manifest.manifest().findings.contains(&hook));
        let scripts = json!({ "postinstall": "node steal.js" });
        let manifest =
            json!({ "name": "@octo/hello-wire", "version": "1.2.0", "scripts": scripts });
        let document = npm_document_of(manifest, &[("index.js", b"1.2.0")]);
        desk.release = desk.world.stage_npm(run(1), &document).await.unwrap().release;
        let found = desk.world.record(desk.release).await.seal.unwrap();
        assert!(found.manifest.manifest().findings.contains(&hook));

        let before = desk.traces(desk.release).await;
        let silent = approve_with(&desk, &mut ines, Terms::default()).await;
        assert_eq!(refused(silent), Kind::BadInput);
        assert_eq!(desk.traces(desk.release).await, before);
        let noted = Terms::from(Some("read it".to_owned()));
        assert_eq!(approve_with(&desk, &mut ines, noted).await.unwrap(), State::Awaiting);
    })
    .await;
}

/// Rule A5: nobody spends their one vote on an approval that would not count.
#[tokio::test]
async fn an_approval_without_the_declaration_is_refused_where_authors_do_not_count() {
    on_both(|store| async move {
        let (desk, [mut ines, ..]) = under(store, |policy, _| policy.authors_count = false).await;
        let before = desk.traces(desk.release).await;
        let silent = approve_with(&desk, &mut ines, Terms::default()).await;
        assert_eq!(refused(silent), Kind::BadInput);
        assert_eq!(desk.traces(desk.release).await, before);
        let declared = Terms { no_author: true, ..Terms::default() };
        approve_with(&desk, &mut ines, declared).await.unwrap();
    })
    .await;
}

/// Ruling Q22.
#[tokio::test]
async fn an_embargo_release_goes_out_by_the_people_of_its_rule() {
    on_both(|store| async move {
        let (desk, [mut ines, mut mara, mut jun]) = under(store, |policy, [ines, mara, _]| {
            policy.required = 3;
            policy.cooling_off = HALF_AN_HOUR;
            policy.embargo = Some(Embargo {
                required: 2,
                people: [ines.id(), mara.id()].into(),
                skips_cooling_off: true,
                skips_schedule: false,
            });
        })
        .await;
        let under_embargo = || Terms { embargo: true, ..Terms::default() };
        let before = desk.traces(desk.release).await;
        let stranger = approve_with(&desk, &mut jun, under_embargo()).await;
        assert_eq!(refused(stranger), Kind::Forbidden);
        assert_eq!(desk.traces(desk.release).await, before);
        approve_with(&desk, &mut ines, under_embargo()).await.unwrap();
        let state = approve_with(&desk, &mut mara, under_embargo()).await.unwrap();
        assert_eq!(state, State::Approved);
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(self::state(&desk, desk.release).await, State::Published);
    })
    .await;
}

/// Ruling Q22: whom a policy names for embargo alone spends their one vote on nothing else.
#[tokio::test]
async fn whoever_is_named_for_embargo_alone_approves_under_embargo_only() {
    on_both(|store| async move {
        let (desk, [_, _, mut jun]) = under(store, |policy, [ines, _, jun]| {
            policy.members.remove(&jun.id());
            policy.embargo = Some(Embargo {
                required: 2,
                people: [ines.id(), jun.id()].into(),
                skips_cooling_off: false,
                skips_schedule: false,
            });
        })
        .await;
        let before = desk.traces(desk.release).await;
        let plain = approve_with(&desk, &mut jun, Terms::default()).await;
        assert_eq!(refused(plain), Kind::Forbidden);
        assert_eq!(desk.traces(desk.release).await, before);
        let under_embargo = Terms { embargo: true, ..Terms::default() };
        approve_with(&desk, &mut jun, under_embargo).await.unwrap();
    })
    .await;
}

/// Ruling Q7: a rule that changes is held against what waits at once, not when it is next touched.
#[tokio::test]
async fn releases_that_wait_are_counted_again_when_a_rule_changes() {
    on_both(|store| async move {
        let (mut desk, mut people) = Desk::founded(store).await;
        let id = desk.policy().await;
        let revise = async |desk: &Desk, by: &Person, draft: PolicyDraft| {
            let (by, now) = (Actor::Person(by.id()), desk.world.now());
            let saved = setup::revise_policy(desk.store(), by, id, draft, now).await.unwrap();
            saved.proposal.expect("a proposal")
        };
        let waits = PolicyDraft { cooling_off: SignedDuration::from_hours(48), ..desk.draft(2) };
        let proposal = revise(&desk, &people[0], waits).await;
        assert!(carry(&desk, &mut people, proposal).await);
        desk.release = desk.stage("1.1.0").await;
        desk.approve(&mut people[0]).await;
        assert_eq!(desk.approve(&mut people[1]).await, State::Approved);

        let waits = PolicyDraft { cooling_off: SignedDuration::from_hours(48), ..desk.draft(3) };
        let proposal = revise(&desk, &people[0], waits).await;
        assert!(carry(&desk, &mut people, proposal).await);
        assert_eq!(state(&desk, desk.release).await, State::Awaiting);

        // Loosened again, the old approvals count again, by the policy of the seal too.
        let proposal = revise(&desk, &people[0], desk.draft(2)).await;
        for person in &mut people {
            assert!(!decide(&desk, person, proposal, Approve).await.unwrap(), "it waits");
        }
        desk.world.pass(DELAY);
        assert_eq!(enact_due(desk.store(), desk.world.now()).await.unwrap(), 1);
        assert_eq!(state(&desk, desk.release).await, State::Approved);
    })
    .await;
}
