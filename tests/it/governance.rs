//! Governance by the pipeline, on both databases: the founding, proposals, signatures at prompts,
//! and rows that follow the log (D5, A7, Q18-Q21).

use std::collections::BTreeSet;

use countersign::app::{App, Clock};
use countersign::config::Config;
use countersign::domain::digest::Sha256;
use countersign::domain::event::Actor;
use countersign::domain::governed::Governed;
use countersign::domain::ids::{PackageId, PersonId, ProposalId};
use countersign::domain::issuer::IssuerConfig;
use countersign::domain::policy::PolicyDraft;
use countersign::domain::quorum::Verdict;
use countersign::domain::release::State;
use countersign::domain::roster::{CiIdentity, Role};
use countersign::domain::upstream::CredentialPurpose;
use countersign::pipeline::governance::founding;
use countersign::pipeline::governance::{self, decide, enact_due, governed};
use countersign::pipeline::people::{self, Added, IdentityOwner};
use countersign::pipeline::setup::{self, Credential, NewCredential};
use countersign::pipeline::signature::Signer;
use countersign::pipeline::{Error, Kind, Result};
use countersign::store::Store;
use countersign::store::proposals::ProposalRow;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use crate::support::database::on_both;
use crate::support::desk::{Desk, Person, nothing_sent, refused, tamper};
use crate::support::governing::DELAY;
use crate::support::setup::count;

pub(crate) async fn decide(
    desk: &Desk,
    person: &mut Person,
    id: ProposalId,
    verdict: Verdict,
) -> Result<bool> {
    let (store, passkeys, now) = (desk.store(), &desk.world.site.app.passkeys, desk.world.now());
    let said = (verdict, None);
    let (ceremony, options) = decide::begin(store, passkeys, &person.signer, id, said, now).await?;
    let answer = (ceremony, person.key.assert(&options));
    decide::finish(store, passkeys, &person.signer, answer, id, now).await
}

/// Two sign and the delay passes; `true` when it took effect meanwhile.
pub(crate) async fn carry(desk: &Desk, people: &mut [Person; 3], id: ProposalId) -> bool {
    let mut signed = 0;
    for person in people {
        match decide(desk, person, id, Verdict::Approve).await {
            Ok(true) => return true,
            Ok(false) => signed += 1,
            // It is about them.
            Err(error) => assert_eq!(refused::<()>(Err(error)), Kind::Forbidden),
        }
        if signed == 2 {
            break;
        }
    }
    desk.world.pass(DELAY);
    enact_due(desk.store(), desk.world.now()).await.unwrap() == 1
}

pub(crate) async fn row(store: &Store, id: ProposalId) -> ProposalRow {
    store.snapshot().await.unwrap().proposal(id).await.unwrap().unwrap().state
}

/// Proposes, as an owner, that one person is enough.
async fn loosen(desk: &Desk, by: &Person) -> ProposalId {
    let (id, draft, now) = (desk.policy().await, desk.draft(1), desk.world.now());
    let by = Actor::Person(by.id());
    let saved = setup::revise_policy(desk.store(), by, id, draft, now).await.unwrap();
    saved.proposal.expect("a proposal")
}

async fn required(store: &Store) -> u32 {
    store.snapshot().await.unwrap().policies().await.unwrap()[0].required()
}

/// Rulings Q18, Q21: founders sign with their own keys, the last signature founds, and from then on
/// nothing is sent without the pin that lies beside the database.
#[tokio::test]
async fn an_installation_is_founded_by_its_people_and_pinned_on_its_host() {
    on_both(async |store| {
        let (desk, [mut ines, mut mara, mut jun]) = Desk::open(store).await;
        assert_eq!(refused(desk.sign_founding(&mut ines).await), Kind::Conflict, "nothing to sign");
        assert_eq!(refused(desk.put_founding(mara.id()).await), Kind::Forbidden, "not an owner");
        let hasty = SignedDuration::from_hours(1);
        let (id, now) = (desk.policy().await, desk.world.now());
        let hasty = founding::put(desk.store(), ines.id(), id, hasty, now).await;
        assert_eq!(refused(hasty.map(drop)), Kind::BadInput);
        desk.put_founding(ines.id()).await.unwrap();
        assert_eq!(desk.sign_founding(&mut ines).await.unwrap(), None);
        assert_eq!(refused(desk.sign_founding(&mut ines).await), Kind::Conflict, "signed already");
        let digest = desk.sign_founding(&mut mara).await.unwrap().expect("the last one needed");
        assert_eq!(refused(desk.sign_founding(&mut jun).await), Kind::Conflict, "founded already");
        assert_eq!(refused(desk.put_founding(ines.id()).await), Kind::Conflict);

        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(desk.world.record(desk.release).await.state, State::Approved);
        desk.world.site.app.pin_founding(digest).unwrap();
        desk.world.pass(SignedDuration::from_mins(5));
        desk.world.forward_to_the_end(desk.release).await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);

        let app = &desk.world.site.app;
        let start = async || {
            let config = Config::read(&app.config.data_dir.join("countersign.toml")).unwrap();
            let opened = App::with_store(config, Clock::default(), app.store.clone()).await;
            opened.map(|opened| opened.app.trust())
        };
        assert_eq!(start().await.unwrap(), app.trust());
        let other = Sha256::of(b"another founding").to_string();
        std::fs::write(app.config.data_dir.join("founding.sha256"), other).unwrap();
        assert!(matches!(start().await, Err(Error::Fault(_))));
    })
    .await;
}

/// Ruling Q21: an owner who would put too few founders before it hears how many it takes.
#[tokio::test]
async fn too_few_founders_are_refused_before_anybody_signs() {
    on_both(async |store: Store| {
        let (desk, [ines, ..]) = Desk::open(store.clone()).await;
        let now = desk.world.now();
        let alone = PolicyDraft { name: "One person".to_owned(), ..desk.draft(1) };
        let alone = setup::add_policy(&store, Actor::Host, alone, now).await.unwrap().value.id;
        let entries = count(&store, "log_entries").await;
        let put = founding::put(&store, ines.id(), alone, DELAY, now).await;
        assert_eq!(refused(put.map(drop)), Kind::BadInput);
        assert_eq!(count(&store, "log_entries").await, entries);
    })
    .await;
}

/// Ruling Q21: what takes two approvals waits for the founding, and goes out by itself then.
#[tokio::test]
async fn two_approvals_send_nothing_before_the_founding() {
    on_both(async |store: Store| {
        let (desk, [mut ines, mut mara, _]) = Desk::open(store.clone()).await;
        desk.approve(&mut ines).await;
        assert_eq!(desk.approve(&mut mara).await, State::Approved);
        desk.world.forward().await;
        desk.world.pass(SignedDuration::from_mins(10));
        desk.world.forward().await;
        nothing_sent(&desk.world);
        assert_eq!(desk.world.record(desk.release).await.state, State::Approved);
        desk.found([&mut ines, &mut mara]).await;
        founding::go_on(&store, desk.world.now()).await.unwrap();
        desk.world.forward().await;
        assert_eq!(desk.world.record(desk.release).await.state, State::Published);
    })
    .await;
}

/// Ruling Q18: another replica pins the founding that it sees in the log, once, and without a start.
#[tokio::test]
async fn a_replica_pins_a_founding_that_another_one_collected() {
    on_both(async |store: Store| {
        let (desk, [mut ines, mut mara, _]) = Desk::open(store).await;
        let app = &desk.world.site.app;
        desk.put_founding(ines.id()).await.unwrap();
        desk.sign_founding(&mut ines).await.unwrap();
        app.adopt_founding().await.unwrap();
        assert_eq!(app.trust().founding, None, "one founder of two");
        let digest = desk.sign_founding(&mut mara).await.unwrap();
        app.adopt_founding().await.unwrap();
        assert_eq!(app.trust().founding, digest);
        let pin = app.config.data_dir.join("founding.sha256");
        assert_eq!(std::fs::read_to_string(pin).unwrap().trim(), digest.unwrap().to_string());
    })
    .await;
}

/// Decision D5, rule A7: what an owner changes waits for the others, and the host changes nothing.
#[tokio::test]
async fn after_the_founding_a_loosening_waits_for_two_people_and_a_day() {
    on_both(async |store: Store| {
        let (desk, [ines, mut mara, mut jun]) = Desk::founded(store.clone()).await;
        let (id, now) = (desk.policy().await, desk.world.now());
        let by_host =
            setup::revise_policy(&store, Actor::Host, id, desk.draft(1), now).await.map(drop);
        assert_eq!(refused(by_host), Kind::Forbidden);
        let proposal = loosen(&desk, &ines).await;
        assert!(!decide(&desk, &mut mara, proposal, Verdict::Approve).await.unwrap());
        let again = decide(&desk, &mut mara, proposal, Verdict::Approve).await;
        assert_eq!(refused(again), Kind::Conflict);
        desk.world.pass(DELAY);
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 0, "one signature");
        assert!(!decide(&desk, &mut jun, proposal, Verdict::Approve).await.unwrap());
        desk.world.pass(DELAY - SignedDuration::from_secs(1));
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 0, "a second early");
        assert_eq!(required(&store).await, 2);
        desk.world.pass(SignedDuration::from_secs(1));
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 1);
        assert_eq!(required(&store).await, 1);
        assert_eq!(row(&store, proposal).await, ProposalRow::Enacted);
        // The release was sealed while two were required, and still takes two (Q7).
        let mut ines = ines;
        assert_eq!(desk.approve(&mut ines).await, State::Awaiting);
    })
    .await;
}

/// Rule A18: the pipeline asks who may propose, whatever the page before it let through.
#[tokio::test]
async fn a_maintainer_proposes_no_change_of_rules() {
    on_both(async |store: Store| {
        let (desk, [_, mara, _]) = Desk::founded(store.clone()).await;
        let (id, by) = (desk.policy().await, Actor::Person(mara.id()));
        let draft = desk.draft(1);
        let saved = setup::revise_policy(&store, by, id, draft, desk.world.now()).await.map(drop);
        assert_eq!(refused(saved), Kind::Forbidden);
        assert_eq!(count(&store, "proposals").await, 0);
        assert_eq!(required(&store).await, 2);
    })
    .await;
}

/// Rule A7: an objection ends it at once, and whoever proposed it may take it back.
#[tokio::test]
async fn a_proposal_ends_by_one_objection_or_by_whoever_made_it() {
    on_both(async |store: Store| {
        let (desk, [ines, mut mara, mut jun]) = Desk::founded(store.clone()).await;
        let proposal = loosen(&desk, &ines).await;
        decide(&desk, &mut mara, proposal, Verdict::Approve).await.unwrap();
        assert!(!decide(&desk, &mut jun, proposal, Verdict::Reject).await.unwrap());
        assert_eq!(row(&store, proposal).await, ProposalRow::Rejected);
        let late = decide(&desk, &mut mara, proposal, Verdict::Approve).await;
        assert_eq!(refused(late), Kind::Gone);

        let proposal = loosen(&desk, &ines).await;
        let now = desk.world.now();
        let by_other = governance::withdraw(&store, mara.id(), proposal, now).await;
        assert_eq!(refused(by_other), Kind::Forbidden);
        governance::withdraw(&store, ines.id(), proposal, now).await.unwrap();
        assert_eq!(row(&store, proposal).await, ProposalRow::Withdrawn);
        desk.world.pass(DELAY);
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 0);
        assert_eq!(required(&store).await, 2);
    })
    .await;
}

/// Rules W3, W4: a ceremony is for one person in one session about one proposal, and is used up by
/// an answer that is not.
#[tokio::test]
async fn a_signature_is_for_the_proposal_it_was_begun_for() {
    on_both(async |store: Store| {
        let (desk, [ines, mut mara, jun]) = Desk::founded(store.clone()).await;
        let (wanted, other) = (loosen(&desk, &ines).await, loosen(&desk, &ines).await);
        let passkeys = &desk.world.site.app.passkeys;
        let elsewhere = Signer { session: Sha256::of(b"elsewhere"), ..mara.signer.clone() };
        for (signer, about) in [(&mara.signer, other), (&jun.signer, wanted), (&elsewhere, wanted)]
        {
            let (now, said) = (desk.world.now(), (Verdict::Approve, None));
            let (ceremony, options) =
                decide::begin(&store, passkeys, &mara.signer, wanted, said, now).await.unwrap();
            let before = count(&store, "log_entries").await;
            let answer = (ceremony, mara.key.assert(&options));
            let finished = decide::finish(&store, passkeys, signer, answer, about, now).await;
            assert_eq!(refused(finished), Kind::Gone);
            assert_eq!(count(&store, "log_entries").await, before);
            assert_eq!(count(&store, "ceremonies").await, 0);
        }
        // Nor does one of the founding or of a release serve.
        let prompt = desk.begin(&mara, desk.release, Verdict::Approve).await.unwrap();
        let answer = (prompt.ceremony, mara.key.assert(&prompt.options));
        let now = desk.world.now();
        let finished = decide::finish(&store, passkeys, &mara.signer, answer, wanted, now).await;
        assert_eq!(refused(finished), Kind::Gone);
        for id in [wanted, other] {
            let mut tx = store.snapshot().await.unwrap();
            let in_force = governed(&mut tx).await.unwrap();
            assert_eq!(in_force.proposal(id).unwrap().votes().count(), 0);
        }
    })
    .await;
}

/// Idea 1: rows follow the log. A proposal that was edited in the database changes nothing, and
/// does not keep the others waiting.
#[tokio::test]
async fn a_proposal_edited_in_the_database_is_not_carried_out() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let edited = loosen(&desk, &people[0]).await;
        let person = propose_person(&desk, people[0].id(), "Dana Ortiz").await;
        for id in [edited, person] {
            decide(&desk, &mut people[1], id, Verdict::Approve).await.unwrap();
            decide(&desk, &mut people[2], id, Verdict::Approve).await.unwrap();
        }
        let sql = "update proposals set body = replace(body, '\"required\":1', '\"required\":2')";
        assert_eq!(tamper(&store, sql, &[]).await, 2);
        desk.world.pass(DELAY);
        assert!(matches!(enact_due(&store, desk.world.now()).await, Err(Error::Fault(_))));
        assert_eq!(required(&store).await, 2);
        assert_eq!(row(&store, edited).await, ProposalRow::Open);
        assert_eq!(row(&store, person).await, ProposalRow::Enacted);
    })
    .await;
}

/// Rule K1: the sealed bytes beside a proposal are those whose digest people signed.
#[tokio::test]
async fn a_credential_swapped_beside_its_proposal_is_not_carried_out() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let id = propose_credential(&desk, people[0].id()).await;
        decide(&desk, &mut people[1], id, Verdict::Approve).await.unwrap();
        decide(&desk, &mut people[2], id, Verdict::Approve).await.unwrap();
        let sql = "update proposals set details = '[{\"of\":\"credential\",\"sealed\":[1,2,3]}]'";
        assert_eq!(tamper(&store, sql, &[]).await, 1);
        let before = sealed(&store).await;
        desk.world.pass(DELAY);
        assert!(matches!(enact_due(&store, desk.world.now()).await, Err(Error::Fault(_))));
        assert_eq!(sealed(&store).await, before);
    })
    .await;
}

async fn sealed(store: &Store) -> Option<Vec<u8>> {
    let mut tx = store.snapshot().await.unwrap();
    let upstream = tx.upstreams().await.unwrap().remove(0).upstream.id();
    tx.publish_credential(upstream).await.unwrap()
}

async fn propose_person(desk: &Desk, by: PersonId, name: &str) -> ProposalId {
    let (store, now) = (desk.store(), desk.world.now());
    let (by, name) = (Actor::Person(by), name.to_owned());
    match people::add_and_invite(store, now, by, name, Role::Maintainer).await.unwrap() {
        Added::Proposed(proposal) => proposal,
        Added::Invited(invited) => panic!("{invited:?}"),
    }
}

async fn propose_credential(desk: &Desk, by: PersonId) -> ProposalId {
    let upstream =
        desk.store().snapshot().await.unwrap().upstreams().await.unwrap().remove(0).upstream.id();
    let credential = Credential::parse(&"another-secret".into()).unwrap();
    let new = NewCredential { upstream, purpose: CredentialPurpose::Publish, credential };
    let (key, now) = (&desk.world.site.app.sealing, desk.world.now());
    let by = Actor::Person(by);
    setup::seal_credential(desk.store(), key, by, new, now).await.unwrap().expect("a proposal")
}

/// A change that fits by the log and meets a row that is in its way ends as stale.
#[tokio::test]
async fn a_change_that_cannot_be_carried_out_ends_as_stale() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let first = propose_person(&desk, people[0].id(), "Dana Ortiz").await;
        let second = propose_person(&desk, people[0].id(), "Dana Ortiz").await;
        for id in [first, second] {
            decide(&desk, &mut people[1], id, Verdict::Approve).await.unwrap();
            decide(&desk, &mut people[2], id, Verdict::Approve).await.unwrap();
        }
        desk.world.pass(DELAY);
        assert_eq!(enact_due(&store, desk.world.now()).await.unwrap(), 1);
        assert_eq!(row(&store, first).await, ProposalRow::Enacted);
        assert_eq!(row(&store, second).await, ProposalRow::Stale);
        let mut tx = store.snapshot().await.unwrap();
        let in_force = governed(&mut tx).await.unwrap();
        assert_eq!(in_force.proposals().count(), 0);
        assert_eq!(in_force.roster().unwrap().people.len(), tx.people().await.unwrap().len());
    })
    .await;
}

/// Rules W12, A7: somebody joins by one proposal and counts after a second one, about their key.
#[tokio::test]
async fn a_new_persons_key_counts_after_others_signed_for_it() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let joining = propose_person(&desk, people[0].id(), "Dana Ortiz").await;
        assert!(carry(&desk, &mut people, joining).await);
        let mut tx = store.begin().await.unwrap();
        let dana = tx.person_named("Dana Ortiz").await.unwrap().unwrap().id;
        let (by, now) = (Actor::Person(people[0].id()), desk.world.now());
        let invited = people::invite(&mut tx, now, &by, dana).await.unwrap();
        tx.commit().await.unwrap();
        let mut browser = desk.world.site.browser(4);
        browser.enrol(invited.token.expose_secret()).await.ok();
        assert!(browser.read_csrf().await, "signed in");

        let keys = async || {
            let mut tx = store.snapshot().await.unwrap();
            let in_force = governed(&mut tx).await.unwrap();
            let waiting: Vec<_> = in_force.proposals().map(|open| open.proposal.id).collect();
            (in_force.roster().unwrap().person(dana).unwrap().keys.len(), waiting)
        };
        let (none, waiting) = keys().await;
        assert_eq!((none, waiting.len()), (0, 1));
        let mut own = Person {
            signer: Signer { person: dana, session: Sha256::of(b"dana"), place: None },
            key: browser.authenticator.clone(),
        };
        let vouching = decide(&desk, &mut own, waiting[0], Verdict::Approve).await;
        assert_eq!(refused(vouching), Kind::Forbidden, "the subject (Q20)");
        assert!(carry(&desk, &mut people, waiting[0]).await);
        assert_eq!(keys().await, (1, vec![]));
    })
    .await;
}

/// Each change that a form makes: its rows are there when it took effect, and not before.
#[tokio::test]
async fn rows_follow_every_change_that_takes_effect() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let (owner, now) = (Actor::Person(people[0].id()), desk.world.now());
        let mut tx = store.begin().await.unwrap();
        let identity = CiIdentity { actor_id: "4711".to_owned(), ..identity(&desk).await };
        let whose = IdentityOwner::Person(people[1].id());
        let link =
            people::link_ci_identity(&mut tx, now, &owner, identity.clone(), "mara", whose).await;
        let promote = people::change_role(&mut tx, now, &owner, people[2].id(), Role::Owner).await;
        tx.commit().await.unwrap();
        let (link, promote) = (link.unwrap().unwrap(), promote.unwrap().unwrap());
        let credential = propose_credential(&desk, people[0].id()).await;
        let publisher = store.snapshot().await.unwrap().publishers().await.unwrap().remove(0);
        let publisher = publisher.publisher.id();
        let removed =
            setup::remove_publisher(&store, owner.clone(), publisher, now).await.unwrap().unwrap();
        let before = sealed(&store).await;
        assert!(store.snapshot().await.unwrap().publisher(publisher).await.unwrap().is_some());

        assert!(decide(&desk, &mut people[0], removed, Verdict::Approve).await.unwrap(), "at once");
        assert!(store.snapshot().await.unwrap().publisher(publisher).await.unwrap().is_none());
        for id in [link, credential, promote] {
            assert!(carry(&desk, &mut people, id).await, "{id}");
            assert_eq!(row(&store, id).await, ProposalRow::Enacted);
        }
        assert_ne!(sealed(&store).await, before);
        let mut tx = store.snapshot().await.unwrap();
        let roster = governed(&mut tx).await.unwrap().roster().unwrap().as_ref().clone();
        assert_eq!(roster.person(people[2].id()).unwrap().role, Role::Owner);
        assert_eq!(tx.person(people[2].id()).await.unwrap().unwrap().role, Role::Owner);
        assert_eq!(roster.owner_of(&identity), Some(people[1].id()));
        assert!(tx.ci_identities().await.unwrap().iter().any(|row| row.identity == identity));
    })
    .await;
}

/// Rule O1, decision D5: whose tokens are believed is set up, put before the founders, and changed by
/// them like a publisher. An edited row is not what they signed.
#[tokio::test]
async fn an_issuer_is_in_the_log_and_takes_a_quorum_after_the_founding() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let (owner, now) = (Actor::Person(people[0].id()), desk.world.now());
        let config = |name: &str| {
            let text = format!("name='{name}'\npreset='gitlab'\nurl='https://{name}.example'");
            toml::from_str::<IssuerConfig>(&text).unwrap()
        };
        let by_host = setup::add_issuer(&store, Actor::Host, config("sneaky"), now).await;
        assert_eq!(refused(by_host.map(drop)), Kind::Forbidden);
        let added = setup::add_issuer(&store, owner.clone(), config("forge"), now).await.unwrap();
        let other = setup::add_issuer(&store, owner, config("mill"), now).await.unwrap();
        let issuers = async || store.snapshot().await.unwrap().issuers().await.unwrap();
        assert_eq!(issuers().await.len(), 1, "a proposal changes nothing");
        let sql =
            "update proposals set details = replace(details, 'mill.example', 'thief.example')";
        assert_eq!(tamper(&store, sql, &[]).await, 2);
        assert!(carry(&desk, &mut people, added.proposal.unwrap()).await);
        assert_eq!(issuers().await.len(), 2);
        let log = store.snapshot().await.unwrap().log_of_governance().await.unwrap();
        let of = |kind: &str| log.iter().filter(|entry| entry.event.kind() == kind).count();
        assert_eq!(of("issuer_revised"), 1, "what was set up before the founding");
        let governed = Governed::replay(&log).unwrap();
        for issuer in issuers().await {
            let config = serde_json::to_vec(issuer.config()).unwrap();
            let signed = governed.issuer(issuer.id()).unwrap();
            assert_eq!(signed.config_sha256, Sha256::of(&config));
        }
        for person in &mut people[..2] {
            decide(&desk, person, other.proposal.unwrap(), Verdict::Approve).await.unwrap();
        }
        desk.world.pass(DELAY);
        assert!(matches!(enact_due(&store, desk.world.now()).await, Err(Error::Fault(_))));
        assert_eq!(issuers().await.len(), 2, "not what people signed");
    })
    .await;
}

/// Rule K7: what CI has to prove is what people signed, not what lies beside their proposal.
#[tokio::test]
async fn a_publisher_edited_beside_its_proposal_is_not_carried_out() {
    on_both(async |store: Store| {
        let (desk, mut people) = Desk::founded(store.clone()).await;
        let publishers = async || store.snapshot().await.unwrap().publishers().await.unwrap();
        let before = publishers().await.remove(0);
        let id = before.publisher.id();
        let packages = store.snapshot().await.unwrap().packages().await.unwrap();
        let packages: BTreeSet<PackageId> = packages.iter().map(|package| package.id).collect();
        let (by, now) = (Actor::Person(people[0].id()), desk.world.now());
        let proposal = setup::set_publisher_packages(&store, by, id, packages, now).await.unwrap();
        let sql = "update proposals set details = replace(details, 'release.yml', 'attack.yml')";
        assert_eq!(tamper(&store, sql, &[]).await, 1);
        for person in &mut people[..2] {
            decide(&desk, person, proposal.unwrap(), Verdict::Approve).await.unwrap();
        }
        desk.world.pass(DELAY);
        assert!(matches!(enact_due(&store, desk.world.now()).await, Err(Error::Fault(_))));
        let after = publishers().await.remove(0);
        assert_eq!(after.publisher.rule(), before.publisher.rule());
        assert_eq!(after.publisher.packages(), before.publisher.packages());
    })
    .await;
}

async fn identity(desk: &Desk) -> CiIdentity {
    let mut tx = desk.store().snapshot().await.unwrap();
    tx.release(desk.release).await.unwrap().unwrap().actor
}
