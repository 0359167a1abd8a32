//! Governance by the log alone (D5, A7, Q18-Q21): what a change takes, who is counted, and what
//! somebody gains who edits entries. Histories with real signatures, no database.

use std::collections::BTreeSet;

use countersign::domain::assertion::{Nonce, Purpose};
use countersign::domain::authorise::{NotAuthorised, Trust, authorise};
use countersign::domain::decision::Decision;
use countersign::domain::digest::Sha256;
use countersign::domain::event::{Actor, Event, IssuerRecord, PublisherRecord};
use countersign::domain::founding::{DELAY_MAX, DELAY_MIN, Founding, FoundingStatement};
use countersign::domain::governed::{Inapplicable, PROBATION, ProposalState};
use countersign::domain::ids::{PersonId, ProposalId};
use countersign::domain::policy::{Embargo, Group, Hardware, Missing, Policy, PolicyDraft};
use countersign::domain::proposal::{Change, LIFETIME, Scope, Takes};
use countersign::domain::quorum::Verdict;
use countersign::domain::roster::{Authenticator, Role};
use countersign::domain::upstream::CredentialPurpose;
use jiff::SignedDuration;

use crate::support::governing::DELAY;
use crate::support::history::{History, bot, ci};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The next revision of the package's policy.
fn policy(log: &History, change: impl FnOnce(&mut PolicyDraft)) -> Change {
    let mut draft = log.draft();
    change(&mut draft);
    let now = log.policy();
    Change::SetPolicy { policy: Policy::parse(now.id(), now.revision() + 1, draft).unwrap() }
}

/// So many signatures are missing, whoever gives them.
fn pending(missing: u32) -> ProposalState {
    ProposalState::Pending { missing: Missing::people(missing) }
}

fn unsound(log: &History) -> &'static str {
    log.governed().expect_err("an unsound log").0
}

/// Rules Q18, Q21: until as many founders signed as must approve, the installation is not founded;
/// after that its log counts with the founding that is pinned only.
#[test]
fn the_founding_takes_a_quorum_of_founders_and_is_pinned() {
    let (mut log, [olga, jun, ines, _]) = History::set_up();
    log.put_founding();
    log.sign_founding(olga);
    assert!(log.governed().unwrap().founded().is_none(), "one of two");
    log.sign_founding(olga);
    assert!(log.governed().unwrap().founded().is_none(), "the same one again");
    log.sign_founding(jun);
    let governed = log.governed().unwrap();
    assert_eq!(governed.founded().unwrap().digest, log.founding().digest());

    log.seal(bot());
    log.approve(jun);
    log.approve(ines);
    assert_eq!(log.verdict(), Ok(BTreeSet::from([jun, ines])));
    for pinned in [None, Some(Sha256::of(b"another founding"))] {
        log.founding = pinned;
        assert_eq!(log.verdict(), Err(NotAuthorised::AnotherLog));
    }
}

/// Rules K7, Q18: a log that somebody made from scratch begins with another entry than the pinned one.
#[test]
fn a_log_with_another_beginning_than_the_pinned_one_sends_nothing() {
    let (mut log, [_, jun, ines, _]) = History::founded();
    log.seal(bot());
    log.approve(jun);
    log.approve(ines);
    let pinned = Trust::of(&log.entries).unwrap();
    let verdict = |trust| authorise(&log.entries, trust, log.release(), log.now).map(drop);
    assert_eq!(verdict(pinned), Ok(()));
    let other = Trust { genesis: Sha256::of(b"another genesis"), ..pinned };
    assert_eq!(verdict(other), Err(NotAuthorised::AnotherLog));
}

/// Rule Q21: two approvals are worth no more than the founders who say whose they are.
#[test]
fn fewer_founders_than_a_package_asks_for_found_nothing() {
    let (mut log, [olga, ..]) = History::set_up();
    let alone = PolicyDraft { name: "One person".to_owned(), required: 1, ..log.draft() };
    let alone = Policy::parse(log.id(), 1, alone).unwrap();
    log.tell(Event::PolicyRevised { policy: alone.clone(), by: Actor::Host });
    log.policies.insert(alone.id(), alone.clone());
    let founding = Founding { governing: alone.id(), ..log.founding() };
    log.tell(Event::FoundingProposed { founding: Box::new(founding), by: olga });
    assert_eq!(unsound(&log), "fewer founders would sign than a package asks for");
}

/// Rule Q21: whoever alters what is set up begins the founding anew.
#[test]
fn a_founder_signs_what_is_set_up_and_nothing_else() {
    let (mut log, [olga, jun, ..]) = History::set_up();
    log.put_founding();
    log.sign_founding(olga);
    log.revise_policy(|policy| policy.required = 1);
    assert!(log.governed().unwrap().unfounded().is_none());
    log.sign_founding(jun);
    assert_eq!(unsound(&log), "somebody signed a founding that was not proposed");
}

/// Rules Q19, Q21: what is put before the founders is what is set up, with a delay within its bounds.
#[test]
fn a_founding_of_anything_but_what_is_set_up_is_none() {
    let (log, [olga, ..]) = History::set_up();
    let put = |alter: fn(&mut Founding)| {
        let (mut log, mut founding) = (log.clone(), log.founding());
        alter(&mut founding);
        log.tell(Event::FoundingProposed { founding: Box::new(founding), by: olga });
        log.governed().map(drop).map_err(|unsound| unsound.0)
    };
    assert_eq!(put(|_| {}), Ok(()));
    let another: [fn(&mut Founding); 4] = [
        |founding| founding.roster.people.truncate(1),
        |founding| founding.packages.clear(),
        |founding| founding.upstreams[0].url = "https://other.example/".to_owned(),
        |founding| founding.origin = "https://other.example".to_owned(),
    ];
    for alter in another {
        assert_eq!(put(alter), Err("the founding is not what was set up"));
    }
    let out_of_bounds = Err("the delay of the founding is out of bounds");
    assert_eq!(put(|founding| founding.delay_secs = DELAY_MIN.as_secs() - 1), out_of_bounds);
    assert_eq!(put(|founding| founding.delay_secs = DELAY_MAX.as_secs() + 1), out_of_bounds);
}

/// Rule Q21: a founder signed this founding, and said yes to it.
#[test]
fn a_founder_who_signed_another_founding_or_objects_founds_nothing() {
    let (mut log, [olga, ..]) = History::set_up();
    log.put_founding();
    let other = Founding { delay_secs: DELAY_MAX.as_secs(), ..log.founding() };
    for (founding, verdict) in [(other, Verdict::Approve), (log.founding(), Verdict::Reject)] {
        let mut log = log.clone();
        let statement = FoundingStatement::new(olga, founding).to_bytes();
        let decision = log.sign_bytes((olga, verdict), Purpose::Governance, statement);
        log.tell(Event::FoundingSigned { decision });
        assert_eq!(unsound(&log), "a signature of the founding does not verify", "{verdict:?}");
    }
}

/// Decision D5, rules A7, A17, Q20: one row for each change and direction.
#[test]
fn what_a_change_takes_follows_from_what_it_changes() {
    use Takes::{OneSignature, Quorum, QuorumAndDelay};
    let (mut log, [olga, jun, ines, _]) = History::founded();
    let (key, own) = (log.new_key(log.now), log.key_of(olga));
    let (theirs, person) = (log.key_of(jun), log.id());
    let viewer = log.id();
    log.carry(Change::AddPerson { person: viewer, role: Role::Viewer }, [jun, ines]);
    let package = log.package.clone();
    let mut elsewhere = log.upstream.clone();
    elsewhere.url = "https://other.example/legacy/".to_owned();
    let mut new_upstream = log.upstream.clone();
    new_upstream.id = log.id();
    let mut new_package = package.clone();
    new_package.id = log.id();
    let upstream = log.upstream.id;
    let publisher = PublisherRecord {
        id: log.id(),
        packages: BTreeSet::from([package.id]),
        rule_sha256: Sha256::of(b"rule"),
    };
    let scope = Scope::Package(package.id);
    let sealed_sha256 = Sha256::of(b"sealed");
    let new_policy = Policy::parse(log.id(), 1, log.draft()).unwrap();
    let table = [
        (Change::AddPerson { person, role: Role::Viewer }, QuorumAndDelay),
        (Change::ChangeRole { person: jun, role: Role::Viewer }, Quorum),
        (Change::ChangeRole { person: viewer, role: Role::Owner }, QuorumAndDelay),
        (Change::RemovePerson { person: jun }, Quorum),
        (Change::RemovePerson { person: olga }, OneSignature),
        (Change::AddKey { person: jun, key: key.clone() }, QuorumAndDelay),
        (Change::AddKey { person: olga, key }, OneSignature),
        (Change::RevokeKey { person: jun, credential_id: theirs }, Quorum),
        (Change::RevokeKey { person: olga, credential_id: own }, OneSignature),
        (Change::LinkIdentity { identity: ci("1"), person: Some(jun) }, Quorum),
        (Change::LinkIdentity { identity: ci("1"), person: Some(olga) }, OneSignature),
        (Change::LinkIdentity { identity: ci("1"), person: None }, Quorum),
        (Change::UnlinkIdentity { identity: bot() }, Quorum),
        (policy(&log, |policy| policy.required = 3), Quorum),
        (policy(&log, |policy| policy.required = 1), QuorumAndDelay),
        (policy(&log, |policy| policy.triggering_actor_counts = true), QuorumAndDelay),
        (policy(&log, |policy| policy.expiry *= 2), QuorumAndDelay),
        (policy(&log, |policy| policy.members.retain(|member| *member != ines)), Quorum),
        (Change::SetPolicy { policy: new_policy }, Quorum),
        (Change::SetUpstream { upstream: new_upstream }, Quorum),
        (Change::SetUpstream { upstream: elsewhere }, QuorumAndDelay),
        (
            Change::SetCredential { upstream, purpose: CredentialPurpose::Publish, sealed_sha256 },
            QuorumAndDelay,
        ),
        (Change::SetPackage { package: new_package }, Quorum),
        (Change::SetPackage { package }, QuorumAndDelay),
        (Change::SetIssuer { issuer: issuer(&mut log) }, QuorumAndDelay),
        (Change::SetPublisher { publisher: publisher.clone() }, QuorumAndDelay),
        (Change::RemovePublisher { publisher: publisher.id }, OneSignature),
        (Change::Freeze { scope }, OneSignature),
        (Change::Unfreeze { scope }, QuorumAndDelay),
    ];
    let governed = log.governed().unwrap();
    for (change, takes) in &table {
        let proposal = log.proposal(olga, vec![change.clone()]);
        assert_eq!(governed.takes(&proposal), *takes, "{change:?}");
        // Beside a loosening, everything takes what the loosening takes.
        let both = vec![Change::Unfreeze { scope }, change.clone()];
        assert_eq!(governed.takes(&log.proposal(olga, both)), QuorumAndDelay, "{change:?}");
    }
}

/// Rule A7: a loosening waits for its quorum, then for its delay, not a second less.
#[test]
fn a_loosening_takes_effect_after_quorum_and_delay() {
    let (mut log, [olga, jun, ines, _]) = History::founded();
    let person = log.id();
    let id = log.propose(olga, Change::AddPerson { person, role: Role::Maintainer });
    assert_eq!(log.standing_of(id).state, pending(2));
    log.support(id, jun);
    assert_eq!(log.standing_of(id).state, pending(1));
    let mut early = log.clone();
    early.wait(DELAY);
    early.enact(id);
    assert_eq!(unsound(&early), "a proposal took effect without what it takes");

    let signed_at = log.now;
    log.support(id, ines);
    let until = signed_at + DELAY;
    assert_eq!(log.standing_of(id).state, ProposalState::Waiting { until });
    log.now = until - SECOND;
    let mut early = log.clone();
    early.enact(id);
    assert_eq!(unsound(&early), "a proposal took effect without what it takes");
    log.now = until;
    assert_eq!(log.standing_of(id).state, ProposalState::Ready);
    log.enact(id);
    let governed = log.governed().unwrap();
    assert!(governed.roster().unwrap().person(person).is_some());
    assert!(governed.proposal(id).is_none());
    log.enact(id);
    assert_eq!(unsound(&log), "a proposal took effect that does not wait");
}

/// Rule A7: the people of every policy that a change touches sign it, beside the governing one's.
#[test]
fn a_change_takes_the_quorum_of_every_policy_that_it_touches() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let draft = PolicyDraft { name: "Three people".to_owned(), required: 3, ..log.draft() };
    let strict = Policy::parse(log.id(), 1, draft.clone()).unwrap();
    let id = strict.id();
    log.carry(Change::SetPolicy { policy: strict }, [jun, ines]);
    let loosened = Policy::parse(id, 2, PolicyDraft { required: 1, ..draft }).unwrap();
    let proposal = log.propose(olga, Change::SetPolicy { policy: loosened });
    let policies = log.standing_of(proposal).policies;
    let policies: Vec<_> = policies.iter().map(|policy| policy.id()).collect();
    assert_eq!(policies, [log.policy().id(), id]);
    log.support(proposal, jun);
    log.support(proposal, ines);
    assert_eq!(log.standing_of(proposal).state, pending(1));
    log.support(proposal, dana);
    assert!(matches!(log.standing_of(proposal).state, ProposalState::Waiting { .. }));
}

/// Rule A7, docs/policies.md: of a policy, what says who holds for changes too: people, groups and
/// hardware keys. What says how a release is judged does not.
#[test]
fn people_groups_and_hardware_of_a_policy_hold_for_changes_and_the_rest_does_not() {
    let (mut log, [olga, jun, ines, dana]) = History::set_up();
    let outsider = log.join(Role::Maintainer);
    let mut key = log.new_key(log.now);
    key.authenticator = Authenticator { attested: true, ..Authenticator::default() };
    log.change(ines, |person| person.keys.insert(0, key));
    log.revise_policy(|policy| {
        let people = BTreeSet::from([olga, jun]);
        policy.groups = vec![Group { name: "core".to_owned(), required: 1, people }];
        policy.hardware = Some(Hardware { required: 1, models: None });
        policy.cooling_off = DELAY * 3;
        policy.authors_count = false;
        policy.note_on_findings = true;
        policy.more_on_findings = 1;
        policy.embargo = Some(Embargo {
            required: 2,
            people: BTreeSet::from([outsider, dana]),
            skips_cooling_off: true,
            skips_schedule: true,
        });
    });
    log.put_founding();
    log.sign_founding(olga);
    assert!(log.governed().unwrap().founded().is_none(), "no hardware key yet");
    log.sign_founding(ines);
    assert!(log.governed().unwrap().founded().is_some());

    let person = log.id();
    let id = log.propose(olga, Change::AddPerson { person, role: Role::Viewer });
    assert_eq!(log.standing_of(id).may_count, BTreeSet::from([olga, jun, ines, dana]));
    let missing = |log: &History| {
        let state = log.standing_of(id).state;
        state.missing().expect("something is missing").in_words("signature")
    };
    let mut no_core = log.clone();
    no_core.support(id, ines);
    no_core.support(id, dana);
    assert_eq!(missing(&no_core), "1 more signature, from core");
    log.support(id, jun);
    log.support(id, dana);
    assert_eq!(missing(&log), "1 more signature, with a hardware key");
    let signed_at = log.now;
    log.support(id, ines);
    // No note, no declaration, nobody more, and the founding's delay instead of the cooling-off.
    let until = signed_at + DELAY;
    assert_eq!(log.standing_of(id).state, ProposalState::Waiting { until });
}

/// Rule A7: nobody signs before there is something to sign, so that no delay is over early.
#[test]
fn a_signature_from_before_its_proposal_is_none() {
    let (mut log, [olga, jun, ines, _]) = History::founded();
    log.wait(DELAY);
    let loosened = policy(&log, |policy| policy.required = 1);
    let proposed_at = log.now;
    let id = log.propose(olga, loosened);
    log.support(id, jun);
    log.support(id, ines);
    for position in log.positions("proposal_decided") {
        log.entries[position].at = proposed_at - SECOND;
    }
    assert_eq!(unsound(&log), "a signature about a proposal does not verify");
}

/// Rule A7: what somebody signed about one proposal is nothing about another.
#[test]
fn a_signature_counts_for_the_proposal_that_it_names_alone() {
    let (mut log, [olga, jun, ..]) = History::founded();
    let (first, second) = (policy(&log, |p| p.required = 3), policy(&log, |p| p.required = 1));
    let (first, second) = (log.propose(olga, first), log.propose(olga, second));
    let decision = log.vote_of(first, jun, Verdict::Approve);
    let mut moved = log.clone();
    log.tell(Event::ProposalDecided { proposal: first, decision: decision.clone() });
    assert!(log.governed().is_ok());
    moved.tell(Event::ProposalDecided { proposal: second, decision });
    assert_eq!(unsound(&moved), "a signature about a proposal does not verify");
}

/// Rules A7, W4: a signature about a proposal is by a key of the person whose it is said to be, and
/// was made for a change.
#[test]
fn a_signature_about_a_proposal_that_does_not_verify_is_noticed() {
    let (mut log, [olga, jun, ines, _]) = History::founded();
    let loosened = policy(&log, |policy| policy.required = 1);
    let id = log.propose(olga, loosened);
    let honest = log.vote_of(id, jun, Verdict::Approve);
    let (said, key) = ((jun, Verdict::Approve), log.key_of(ines));
    let statement = || honest.statement.clone().into_bytes();
    let by_another = log.sign_with(&key, said, Purpose::Governance, statement());
    let for_a_release = log.sign_bytes(said, Purpose::Approve, statement());
    let moved = Decision { nonce: Nonce::from_bytes([7; 32]), ..honest.clone() };
    for (what, decision) in [
        ("another person's key", by_another),
        ("another purpose", for_a_release),
        ("another challenge", moved),
    ] {
        let mut log = log.clone();
        log.tell(Event::ProposalDecided { proposal: id, decision });
        assert_eq!(unsound(&log), "a signature about a proposal does not verify", "{what}");
    }
    log.tell(Event::ProposalDecided { proposal: id, decision: honest });
    assert!(log.governed().is_ok());
}

/// Rule A7: a proposal is of this installation, is made once, and lives no longer than any other.
#[test]
fn a_proposal_from_elsewhere_or_without_end_is_none() {
    let (mut log, [olga, jun, ..]) = History::founded();
    let proposal = log.proposal(olga, vec![Change::RemovePerson { person: jun }]);
    let mut endless = proposal.clone();
    endless.expires_at += SECOND;
    let mut foreign = proposal.clone();
    foreign.instance = log.id();
    for (what, proposal) in [("endless", endless), ("foreign", foreign)] {
        let mut log = log.clone();
        log.put(proposal);
        assert_eq!(unsound(&log), "a proposal is not one of this installation", "{what}");
    }
    log.put(proposal.clone());
    assert!(log.governed().is_ok());
    log.put(proposal);
    assert_eq!(unsound(&log), "a proposal is not one of this installation", "made twice");
    let (mut early, [olga, jun, ..]) = History::set_up();
    early.propose(olga, Change::RemovePerson { person: jun });
    assert_eq!(unsound(&early), "a proposal came before the founding");
}

/// Rule A17: whoever signs stops releases at once; they go on after quorum and delay.
#[test]
fn freezing_is_immediate_and_unfreezing_is_not() {
    let (mut log, [_, jun, ines, dana]) = History::founded();
    log.seal(bot());
    log.approve(jun);
    log.approve(ines);
    let scope = Scope::Package(log.package.id);
    let freeze = log.propose(dana, Change::Freeze { scope });
    let mut unsigned = log.clone();
    unsigned.enact(freeze);
    assert_eq!(unsound(&unsigned), "a proposal took effect without what it takes");
    log.support(freeze, dana);
    log.enact(freeze);
    assert_eq!(log.verdict(), Err(NotAuthorised::Frozen));
    log.carry(Change::Unfreeze { scope }, [jun, ines]);
    assert_eq!(log.verdict(), Ok(BTreeSet::from([jun, ines])));
}

/// Rule Q20, decision D4: the subject is counted for neither side, and nobody is counted twice.
#[test]
fn the_subject_of_a_proposal_neither_votes_nor_objects() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let id = log.propose(olga, Change::ChangeRole { person: jun, role: Role::Owner });
    let standing = log.standing_of(id);
    assert_eq!(standing.may_count, BTreeSet::from([olga, ines, dana]));
    assert_eq!(standing.may_object, standing.may_count);
    log.support(id, jun);
    log.support(id, ines);
    log.support(id, ines);
    assert_eq!(log.standing_of(id).state, pending(1));
    log.oppose(id, jun);
    assert_eq!(log.standing_of(id).state, pending(1));
    log.support(id, dana);
    assert!(matches!(log.standing_of(id).state, ProposalState::Waiting { .. }));
}

/// Rule A7: any one person who signs ends it, until it took effect.
#[test]
fn one_objection_ends_a_proposal_during_its_delay() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let loosened = policy(&log, |policy| policy.required = 1);
    let id = log.propose(olga, loosened);
    log.support(id, jun);
    log.support(id, ines);
    log.oppose(id, dana);
    assert_eq!(log.standing_of(id).state, ProposalState::Rejected { by: dana });
    log.wait(DELAY);
    log.enact(id);
    assert_eq!(unsound(&log), "a proposal took effect without what it takes");
}

/// Rule A4: a signature counts as long as its key does.
#[test]
fn a_signature_stops_counting_with_its_key() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let loosened = policy(&log, |policy| policy.required = 1);
    let id = log.propose(olga, loosened);
    log.support(id, jun);
    log.support(id, ines);
    let credential_id = log.key_of(ines);
    log.tell(Event::KeySuspended { credential_id });
    log.wait(DELAY);
    assert_eq!(log.standing_of(id).state, pending(1));
    // The delay begins when the quorum is complete, not when the first of it signed.
    let signed_at = log.now;
    log.support(id, dana);
    assert_eq!(log.standing_of(id).state, ProposalState::Waiting { until: signed_at + DELAY });
}

/// Rule A4: it is the key that signed which has to stay; another one of the same person's is no
/// replacement.
#[test]
fn a_signature_stops_counting_with_its_key_though_its_person_has_another() {
    let (mut log, [olga, jun, ines, _]) = History::set_up();
    log.add_key(ines, log.now);
    log.put_founding();
    log.sign_founding(olga);
    log.sign_founding(jun);
    let loosened = policy(&log, |policy| policy.required = 1);
    let id = log.propose(olga, loosened);
    log.support(id, jun);
    log.support(id, ines);
    assert!(matches!(log.standing_of(id).state, ProposalState::Waiting { .. }));
    let credential_id = log.key_of(ines);
    log.tell(Event::KeySuspended { credential_id });
    let standing = log.standing_of(id);
    assert!(standing.may_count.contains(&ines), "with the other key");
    assert_eq!(standing.state, pending(1));
}

/// Rule W13: a key that somebody vouches for themselves signs nothing for 72 hours.
#[test]
fn ones_own_further_key_waits_for_its_probation() {
    let (mut log, [_, jun, ines, _]) = History::founded();
    let key = log.new_key(log.now);
    let credential_id = key.credential_id.clone();
    let id = log.propose(jun, Change::AddKey { person: jun, key });
    log.support(id, jun);
    let enacted_at = log.now;
    log.enact(id);
    let governed = log.governed().unwrap();
    let (owner, key) = governed.roster().unwrap().key(&credential_id).unwrap();
    assert_eq!((owner.id, key.counts_from), (jun, enacted_at + PROBATION));

    log.roster = governed.roster().unwrap().as_ref().clone();
    log.seal(bot());
    log.approve(ines);
    let mut signing = log.signing(jun, Verdict::Approve);
    signing.key = credential_id;
    let mut early = log.clone();
    early.now = enacted_at + PROBATION - SECOND;
    early.decide(&signing);
    assert_eq!(early.verdict(), Err(NotAuthorised::Pending { missing: 1 }));
    log.now = enacted_at + PROBATION;
    log.decide(&signing);
    assert_eq!(log.verdict(), Ok(BTreeSet::from([jun, ines])));
}

/// Rule A6, ruling Q8: what nobody could meet is no policy, and who would be missed is not let go
/// unless the proposal says what that ends.
#[test]
fn a_change_that_leaves_nobody_able_to_release_is_refused() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let second = Policy::parse(log.id(), 1, {
        let mut draft = log.draft();
        draft.name = "Jun and Ines".to_owned();
        draft.members = BTreeSet::from([jun, ines]);
        draft
    })
    .unwrap();
    let (policy_id, mut package) = (second.id(), log.package.clone());
    (package.id, package.name, package.policy) = (log.id(), "hello-core".to_owned(), policy_id);
    let id = log.proposal(
        olga,
        vec![Change::SetPolicy { policy: second }, Change::SetPackage { package: package.clone() }],
    );
    let id = log.put(id);
    log.support(id, olga);
    log.support(id, dana);
    log.enact(id);

    let leaving = vec![Change::RemovePerson { person: jun }];
    let mut proposal = log.proposal(olga, leaving);
    let governed = log.governed().unwrap();
    let stranded = BTreeSet::from([package.id]);
    assert_eq!(
        governed.after(&proposal, log.now).map(drop),
        Err(Inapplicable::LeavesUnreleasable(stranded.clone()))
    );
    proposal.leaves_unreleasable = stranded;
    assert_eq!(governed.after(&proposal, log.now).map(drop), Ok(()));

    let mut draft = log.draft();
    draft.members = BTreeSet::from([jun, log.id()]);
    let stranger = Policy::parse(log.package.policy, log.policy().revision() + 1, draft).unwrap();
    let stranger = log.proposal(olga, vec![Change::SetPolicy { policy: stranger }]);
    assert!(matches!(governed.after(&stranger, log.now), Err(Inapplicable::Member(_))));
}

/// Rule A6: a policy that governs, or that is set, is one that people can meet, whatever a proposal
/// says about packages.
#[test]
fn a_policy_that_governs_or_is_set_is_one_that_people_can_meet() {
    let (mut log, [olga, jun, ines, _]) = History::founded();
    let governing = log.policy().id();
    let all = policy(&log, |policy| policy.required = 4);
    log.carry(all, [jun, ines]);
    let mut leaving = log.proposal(olga, vec![Change::RemovePerson { person: jun }]);
    leaving.leaves_unreleasable = BTreeSet::from([log.package.id]);
    let short = Inapplicable::NobodyCould { policy: governing, required: 4, able: 3 };
    let governed = log.governed().unwrap();
    assert_eq!(governed.after(&leaving, log.now).map(drop), Err(short));

    let hardware = Some(Hardware { required: 1, models: None });
    let nobody_holds = PolicyDraft { name: "Keys".to_owned(), hardware, ..log.draft() };
    let nobody_holds = Policy::parse(log.id(), 1, nobody_holds).unwrap();
    let short = Inapplicable::NobodyCould { policy: nobody_holds.id(), required: 2, able: 4 };
    let set = log.proposal(olga, vec![Change::SetPolicy { policy: nobody_holds }]);
    assert_eq!(governed.after(&set, log.now).map(drop), Err(short));
}

/// Rule I10: after the founding no entry changes people, rules or places but an enacted proposal.
#[test]
fn after_the_founding_nothing_changes_without_a_proposal() {
    let (log, [_, jun, ..]) = History::founded();
    let by = || Actor::Person(jun);
    let (mut roster, upstream, package) =
        (log.roster.clone(), log.upstream.clone(), log.package.clone());
    roster.revision += 1;
    let Change::SetPolicy { policy } = policy(&log, |policy| policy.required = 1) else {
        unreachable!()
    };
    let publisher = PublisherRecord {
        id: log.clone().id(),
        packages: BTreeSet::from([package.id]),
        rule_sha256: Sha256::of(b"rule"),
    };
    let (purpose, sealed_sha256) = (CredentialPurpose::Publish, Sha256::of(b"sealed"));
    for event in [
        Event::RosterRevised { roster, by: by() },
        Event::PolicyRevised { policy, by: by() },
        Event::CredentialSealed { upstream: upstream.id, purpose, sealed_sha256, by: by() },
        Event::UpstreamRevised { upstream, by: by() },
        Event::PackageRevised { package, by: by() },
        Event::PublisherRemoved { publisher: publisher.id, by: by() },
        Event::IssuerRevised { issuer: issuer(&mut log.clone()), by: by() },
        Event::PublisherRevised { publisher, by: by() },
    ] {
        let mut log = log.clone();
        log.tell(event);
        assert_eq!(unsound(&log), "something changed after the founding without a proposal");
    }
    let mut again = log;
    again.put_founding();
    assert_eq!(unsound(&again), "there is a second founding");
}

fn issuer(log: &mut History) -> IssuerRecord {
    IssuerRecord { id: log.id(), config_sha256: Sha256::of(b"config") }
}

/// The proposal that somebody would like to have been signed.
fn altered(log: &mut History, id: ProposalId, alter: impl FnOnce(&mut Change)) {
    for entry in &mut log.entries {
        if let Event::Proposed { proposal } = &mut entry.event
            && proposal.id == id
        {
            return alter(&mut proposal.changes[0]);
        }
    }
    panic!("it was not proposed");
}

/// The last decision about a proposal.
fn last_decision(log: &mut History) -> &mut Decision {
    let decisions = log.entries.iter_mut().filter_map(|entry| match &mut entry.event {
        Event::ProposalDecided { decision, .. } => Some(decision),
        _ => None,
    });
    decisions.last().unwrap()
}

/// Ideas 1 and 2, rules K7, Q18: each edit of the entries of an enacted loosening ends all
/// publishing from that log.
#[test]
fn a_release_does_not_go_out_by_an_altered_proposal() {
    type Edit = fn(&mut History, ProposalId, PersonId);
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    log.seal(bot());
    log.approve(jun);
    assert_eq!(log.verdict(), Err(NotAuthorised::Pending { missing: 1 }));
    // Under the policy that was sealed with it (Q7) two are needed, whatever comes later.
    let loosened = policy(&log, |policy| policy.required = 1);
    log.carry(loosened, [ines, dana]);
    assert_eq!(log.verdict(), Err(NotAuthorised::Pending { missing: 1 }));
    let proposed = *log.positions("proposed").last().unwrap();
    let Event::Proposed { proposal } = log.entries[proposed].event.clone() else { unreachable!() };

    let edits: [(&str, Edit); 8] = [
        ("k lowered further", |log, id, _| {
            altered(log, id, |change| {
                let Change::SetPolicy { policy } = change else { unreachable!() };
                let draft =
                    PolicyDraft { required: 1, triggering_actor_counts: true, ..policy.draft() };
                *policy = Policy::parse(policy.id(), policy.revision(), draft).unwrap();
            });
        }),
        ("another change", |log, id, _| {
            altered(log, id, |change| *change = Change::Unfreeze { scope: Scope::Everything });
        }),
        ("one signature taken out", |log, _, _| {
            let last = *log.positions("proposal_decided").last().unwrap();
            log.forge(|entries| drop(entries.remove(last)));
        }),
        ("one signature twice instead of two", |log, _, _| {
            let positions = log.positions("proposal_decided");
            let first = log.entries[positions[0]].event.clone();
            log.entries[positions[1]].event = first;
        }),
        ("somebody else's name on a signature", |log, _, who| {
            last_decision(log).person = who;
        }),
        ("an objection read as a signature", |log, _, _| {
            last_decision(log).verdict = Verdict::Reject;
        }),
        ("no founding", |log, _, _| {
            log.forge(|entries| {
                entries.retain(|entry| !entry.event.kind().starts_with("founding"));
            });
        }),
        ("a signature dated back", |log, _, _| {
            let at = log.entries[0].at;
            for position in log.positions("proposal_decided") {
                log.entries[position].at = at;
            }
        }),
    ];
    for (name, edit) in edits {
        let mut edited = log.clone();
        edit(&mut edited, proposal.id, olga);
        assert!(matches!(edited.verdict(), Err(NotAuthorised::Unsound(_))), "{name}");
    }
}

/// Rule A7: the delay is over when it is over, not when an entry says so.
#[test]
fn an_entry_from_the_future_ends_no_delay() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let loosened = policy(&log, |policy| policy.required = 1);
    let id = log.propose(olga, loosened.clone());
    log.support(id, ines);
    log.support(id, dana);
    let now = log.now;
    log.wait(DELAY);
    log.enact(id);
    let Change::SetPolicy { policy } = loosened else { unreachable!() };
    log.policies.insert(policy.id(), policy);
    log.seal(bot());
    log.approve(jun);
    assert_eq!(log.verdict(), Ok(BTreeSet::from([jun])), "once the delay is over");
    log.now = now;
    assert_eq!(log.verdict(), Err(NotAuthorised::Unsound("an entry is from the future")));
}

/// Rule A7: a proposal that nobody signed in time is over, and one that does not fit any more.
#[test]
fn an_expired_or_stale_proposal_takes_no_effect() {
    let (mut log, [olga, jun, ines, _]) = History::founded();
    let (first, second) = (policy(&log, |p| p.required = 3), policy(&log, |p| p.required = 4));
    let (first, second) = (log.propose(olga, first), log.propose(olga, second));
    for id in [first, second] {
        log.support(id, jun);
        log.support(id, ines);
    }
    let mut late = log.clone();
    late.wait(LIFETIME);
    assert_eq!(late.standing_of(first).state, ProposalState::Expired);
    late.enact(first);
    assert_eq!(unsound(&late), "a proposal took effect without what it takes");

    log.enact(first);
    let state = log.standing_of(second).state;
    let revision = Inapplicable::Revision {
        expected: log.policy().revision() + 2,
        received: log.policy().revision() + 1,
    };
    assert_eq!(state, ProposalState::Stale(revision));
    log.enact(second);
    assert_eq!(unsound(&log), "a proposal took effect without what it takes");
}

/// Ruling Q19: the sheet replaces the quorum, and nothing else.
#[test]
fn a_recovery_waits_and_one_objection_ends_it() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let key = log.new_key(log.now);
    let id = log.propose(olga, Change::AddKey { person: jun, key });
    let signed_at = log.now;
    log.recover(id);
    assert_eq!(log.standing_of(id).state, ProposalState::Waiting { until: signed_at + DELAY });
    let mut objected = log.clone();
    objected.oppose(id, dana);
    assert_eq!(objected.standing_of(id).state, ProposalState::Rejected { by: dana });
    let mut other = log.clone();
    let credential_id = log.key_of(ines);
    let another = other.propose(olga, Change::RevokeKey { person: ines, credential_id });
    let Some(Event::ProposalRecovered { signature, .. }) =
        log.entries.last().map(|entry| entry.event.clone())
    else {
        unreachable!()
    };
    other.tell(Event::ProposalRecovered { proposal: another, signature });
    assert_eq!(unsound(&other), "the signature of a recovery does not verify");
    let mut early = log.clone();
    early.wait(DELAY - SECOND - SECOND);
    early.enact(id);
    assert_eq!(unsound(&early), "a proposal took effect without what it takes");
    log.wait(DELAY);
    log.enact(id);
    assert_eq!(log.governed().unwrap().roster().unwrap().person(jun).unwrap().keys.len(), 2);
}

/// Ruling Q19: the sheet gives people keys. It changes no rule and no roster beside.
#[test]
fn a_recovery_changes_nothing_but_keys() {
    let (mut log, [olga, jun, ..]) = History::founded();
    for change in [
        Change::AddPerson { person: log.id(), role: Role::Owner },
        Change::RemovePerson { person: jun },
        policy(&log, |draft| draft.required = 1),
    ] {
        let mut log = log.clone();
        let id = log.propose(olga, change);
        log.recover(id);
        assert_eq!(unsound(&log), "a recovery changes more than keys");
    }
    let key = log.new_key(log.now);
    let changes = vec![
        Change::AddKey { person: jun, key },
        Change::ChangeRole { person: jun, role: Role::Owner },
    ];
    let both = log.proposal(olga, changes);
    let id = log.put(both);
    log.recover(id);
    assert_eq!(unsound(&log), "a recovery changes more than keys");
}

/// Rules W13, W14: whoever lost their keys is out of every quorum at once when their peers say so,
/// and their new key objects for three days before it approves.
#[test]
fn a_lost_key_is_replaced_by_the_others_and_the_new_one_is_on_probation() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let lost = log.key_of(jun);
    let key = log.new_key(log.now);
    let new = key.credential_id.clone();
    let changes = vec![
        Change::RevokeKey { person: jun, credential_id: lost.clone() },
        Change::AddKey { person: jun, key },
    ];
    let proposal = log.proposal(olga, changes);
    let id = log.put(proposal);
    let standing = log.standing_of(id);
    assert_eq!(standing.takes, Takes::QuorumAndDelay);
    assert!(!standing.may_count.contains(&jun) && !standing.may_object.contains(&jun), "Q20");
    log.support(id, ines);
    log.support(id, dana);
    log.wait(DELAY);
    log.enact(id);
    let governed = log.governed().unwrap();
    assert!(governed.roster().unwrap().key(&lost).is_none());
    let freeze = log.propose(olga, Change::Freeze { scope: Scope::Everything });
    let standing = log.standing_of(freeze);
    assert!(standing.may_object.contains(&jun));
    let wish = log.propose(olga, Change::Unfreeze { scope: Scope::Everything });
    assert!(!log.standing_of(wish).may_count.contains(&jun));
    for (verdict, taken) in [(Verdict::Approve, false), (Verdict::Reject, true)] {
        let mut log = log.clone();
        let proposal = &log.governed().unwrap().proposal(freeze).unwrap().proposal.clone();
        let statement = log.governed().unwrap().statement(proposal, jun, verdict, None).unwrap();
        let (said, statement) = ((jun, verdict), statement.to_bytes());
        let decision = log.sign_with(&new, said, Purpose::Governance, statement);
        log.tell(Event::ProposalDecided { proposal: freeze, decision });
        assert_eq!(log.governed().is_ok(), taken, "{verdict:?}");
    }
    log.wait(PROBATION);
    assert!(log.standing_of(freeze).may_object.contains(&jun));
    let again = log.propose(olga, Change::Unfreeze { scope: Scope::Everything });
    assert!(log.standing_of(again).may_count.contains(&jun));
}

/// Rule W14: without a key nobody signs; the person stays, with their history.
#[test]
fn removing_somebodys_last_key_suspends_them() {
    let (mut log, [olga, jun, ines, dana]) = History::founded();
    let credential_id = log.key_of(jun);
    let id = log.propose(olga, Change::RevokeKey { person: jun, credential_id });
    assert_eq!(log.standing_of(id).takes, Takes::Quorum);
    log.support(id, ines);
    log.support(id, dana);
    log.enact(id);
    let governed = log.governed().unwrap();
    assert!(governed.roster().unwrap().person(jun).unwrap().keys.is_empty());
    let next = log.propose(olga, Change::Freeze { scope: Scope::Everything });
    assert!(!log.standing_of(next).may_object.contains(&jun));
    let person = log.id();
    let next = log.propose(olga, Change::AddPerson { person, role: Role::Viewer });
    assert!(!log.standing_of(next).may_count.contains(&jun));
}
