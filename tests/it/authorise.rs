//! The publish decision over whole logs: every way it can say no, every way a recorded decision
//! does not count, and what changes of people and rules do to a release that is under way.
//!
//! The logs are sound, with real signatures, until a test says what it alters.

use std::collections::BTreeSet;

use countersign::domain::assertion::{Assertion, Nonce, Purpose};
use countersign::domain::authorise::{NotAuthorised, standing};
use countersign::domain::decision::Discount;
use countersign::domain::digest::Sha256;
use countersign::domain::event::{Actor, Event, LogEntry, SealedBecause};
use countersign::domain::ids::{Id, PersonId, ReleaseId};
use countersign::domain::manifest::{Access, Manifest};
use countersign::domain::package::Ecosystem;
use countersign::domain::policy::PolicyDraft;
use countersign::domain::quorum::Verdict::{Approve, Reject};
use countersign::domain::release::State;
use countersign::domain::roster::{ActorIs, Role};
use countersign::domain::statement::Statement;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::support::history::{Decided, History, Signing, bot, by, ci, pending};

fn unsound(why: &'static str) -> Decided {
    Err(NotAuthorised::Unsound(why))
}

fn other<K>() -> Id<K> {
    Id::from_uuid(Uuid::from_u128(0xffff))
}

/// Records an altered approval by the second of three people, after a sound one by the first, and
/// says what is held against it. It must not have counted.
#[track_caller]
fn discount(alter: impl FnOnce(&mut History, &mut Signing)) -> Discount {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    let mut signing = log.signing(mara, Approve);
    alter(&mut log, &mut signing);
    log.decide(&signing);
    the_discount(&log, signing.person)
}

#[track_caller]
fn the_discount(log: &History, person: PersonId) -> Discount {
    assert_eq!(log.verdict(), pending(1));
    let mut discounted = log.discounted();
    assert_eq!(discounted.len(), 1, "{discounted:?}");
    let (whose, why) = discounted.remove(0);
    assert_eq!(whose, person);
    why
}

/// I4: what comes out is what was sealed, where it goes is what people were shown.
#[test]
fn two_of_three_people_authorise_exactly_what_was_sealed() {
    let (mut log, [ines, mara, jun]) = History::sealed();
    assert_eq!(log.verdict(), pending(2));
    log.approve(ines);
    assert_eq!(log.verdict(), pending(1));
    log.approve(jun);
    assert_eq!(log.verdict(), by([ines, jun]));
    let authorised = log.authorise(log.release()).unwrap();
    assert_eq!(authorised.manifest(), &log.sealed_release().manifest);
    assert_eq!(authorised.upstream(), &log.upstream);
    assert_eq!(authorised.instance(), log.instance);
    let standing = log.standing();
    assert_eq!(standing.may_count, BTreeSet::from([ines, mara, jun]));
    assert_eq!(standing.counted, BTreeSet::from([ines, jun]));
    assert!(standing.discounted.is_empty());
    assert_eq!(standing.ended, None);
}

/// Ruling Q21: what takes two approvals is not sent before the founding, and what takes one is.
#[test]
fn what_takes_two_approvals_is_not_sent_before_the_founding() {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    let judged = log.judge(log.release(), log.now).map(drop);
    assert_eq!(judged, Err(NotAuthorised::Unfounded));
    let log = log.founded_now();
    assert_eq!(log.judge(log.release(), log.now).map(drop), Ok(()));

    let (mut log, [ines, mara, _]) = History::begin(1);
    log.seal(bot());
    log.approve(ines);
    assert_eq!(log.judge(log.release(), log.now).map(drop), Ok(()));
    // The stricter of both rules counts, as everywhere (Q7).
    log.revise_policy(|policy| policy.required = 2);
    log.approve(mara);
    let judged = log.judge(log.release(), log.now).map(drop);
    assert_eq!(judged, Err(NotAuthorised::Unfounded));
}

/// A2: words in the log that say "approved" permit nothing, only signatures do.
#[test]
fn an_entry_that_says_approved_permits_nothing() {
    let (mut log, [ines, ..]) = History::sealed();
    log.approve(ines);
    log.tell(Event::ReleaseApproved { release: log.release() });
    assert_eq!(log.verdict(), pending(1));
}

#[test]
fn what_happened_to_other_releases_changes_nothing_and_may_be_left_out() {
    let (mut log, [ines, mara, _]) = History::begin(2);
    let first = log.seal(bot());
    log.approve(ines);
    log.approve(mara);
    log.tell(Event::ReleaseRejected { release: first, by: mara });
    let second = log.seal(bot());
    log.approve(ines);
    assert_eq!(log.verdict(), pending(1));
    log.approve(mara);
    assert_eq!(log.verdict(), by([ines, mara]));
    log.entries.retain(|entry| entry.event.release() != Some(first));
    assert_eq!(log.verdict(), by([ines, mara]));
    assert_eq!(log.release(), second);
    let gone = log.authorise(first).map(drop);
    assert_eq!(gone, Err(NotAuthorised::NotSealed));
}

#[test]
fn a_release_that_was_never_sealed_is_not_authorised() {
    let (mut log, _) = History::sealed();
    let seal = log.positions("release_sealed")[0];
    // The report went with it.
    log.forge(|entries| drop(entries.drain(seal..seal + 2)));
    assert_eq!(log.verdict(), Err(NotAuthorised::NotSealed));
    let unheard_of: ReleaseId = other();
    let decided = log.authorise(unheard_of).map(drop);
    assert_eq!(decided, Err(NotAuthorised::NotSealed));
}

/// A9, A8: each of these is the last word, although enough people approved.
#[test]
fn a_release_that_was_rejected_expired_or_superseded_is_over() {
    let (mut log, [ines, mara, jun]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    let release = log.release();
    for (event, state) in [
        (Event::ReleaseRejected { release, by: jun }, State::Rejected),
        (Event::ReleaseExpired { release }, State::Expired),
        (Event::ReleaseSuperseded { release, by: other() }, State::Superseded),
    ] {
        let mut log = log.clone();
        assert_eq!(log.verdict(), by([ines, mara]));
        log.tell(event);
        assert_eq!(log.verdict(), Err(NotAuthorised::Ended(state)));
        assert_eq!(log.standing().ended, Some(state));
    }
}

/// A8.
#[test]
fn a_release_is_authorised_up_to_the_moment_it_expires() {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    let expires_at = log.sealed_release().expires_at;
    log.now = expires_at - SignedDuration::from_nanos(1);
    assert_eq!(log.verdict(), by([ines, mara]));
    log.now = expires_at;
    assert_eq!(log.verdict(), Err(NotAuthorised::Expired(expires_at)));
}

/// A8: a signature made too late is none, whatever it says of itself.
#[test]
fn a_decision_recorded_when_the_release_had_expired_does_not_count() {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    let expires_at = log.sealed_release().expires_at;
    // Asked in the last moment, whichever of two clocks that differ a little recorded it.
    let in_time = expires_at - SignedDuration::from_nanos(1);
    let recorded_at = |at: Timestamp| {
        let mut log = log.clone();
        log.now = at;
        log.approve(mara);
        log.now = in_time;
        log
    };
    assert_eq!(recorded_at(in_time).verdict(), by([ines, mara]));
    assert_eq!(the_discount(&recorded_at(expires_at), mara), Discount::Statement);
}

/// What was approved for one place goes to no other.
#[test]
fn a_destination_that_changed_since_the_seal_stops_the_release() {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    let changed = Err(NotAuthorised::DestinationChanged);

    let mut moved = log.clone();
    moved.move_upstream(|upstream| upstream.url = "https://elsewhere.example/legacy/".to_owned());
    assert_eq!(moved.verdict(), changed);
    moved.upstream.clone_from(&log.upstream);
    moved.move_upstream(|_| {});
    assert_eq!(moved.verdict(), by([ines, mara]), "it is the address that people were shown");

    let mut rerouted = log.clone();
    let elsewhere = rerouted.id();
    let mut record = rerouted.upstream.clone();
    record.id = elsewhere;
    rerouted.tell(Event::UpstreamRevised { upstream: record, by: Actor::Host });
    rerouted.move_package(|package| package.upstream = elsewhere);
    assert_eq!(rerouted.verdict(), changed, "another registry, even at the same address");

    let upstream = log.positions("upstream_revised")[0];
    log.forge(|entries| drop(entries.remove(upstream)));
    assert_eq!(log.verdict(), changed);
}

/// A9, D4.
#[test]
fn one_objection_outweighs_every_approval() {
    let (mut log, [ines, mara, jun]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    log.object(jun);
    assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(jun)));
    let (mut log, [ines, mara, jun]) = History::sealed();
    log.object(jun);
    log.approve(ines);
    log.approve(mara);
    assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(jun)));
}

#[test]
fn a_change_of_mind_is_an_objection() {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    log.object(ines);
    assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(ines)));
}

/// Q10: a pause is no decision, and says nothing about whose approvals count.
#[test]
fn a_hold_keeps_a_release_back_until_it_ends() {
    let (mut log, [ines, mara, jun]) = History::sealed();
    let release = log.release();
    log.approve(ines);
    log.tell(Event::ReleaseHeld { release, by: jun, note: None });
    log.approve(mara);
    assert_eq!(log.verdict(), Err(NotAuthorised::Held(jun)));
    assert_eq!(log.standing().counted, BTreeSet::from([ines, mara]));
    log.tell(Event::ReleaseResumed { release, by: jun });
    assert_eq!(log.verdict(), by([ines, mara]));
    log.tell(Event::ReleaseHeld { release, by: ines, note: None });
    assert_eq!(log.verdict(), Err(NotAuthorised::Held(ines)));
}

/// I3, W15: however often and with whatever keys.
#[test]
fn one_person_counts_once_with_any_number_of_keys() {
    let (mut log, [ines, mara, _]) = History::begin(2);
    let second = log.add_key(ines, log.now);
    log.seal(bot());
    log.approve(ines);
    log.approve(ines);
    log.decide(&Signing { key: second, ..log.signing(ines, Approve) });
    assert_eq!(log.verdict(), pending(1));
    assert!(log.discounted().is_empty(), "each of the three is sound by itself");
    log.approve(mara);
    assert_eq!(log.verdict(), by([ines, mara]));
}

mod logs_that_are_not_sound {
    use super::*;

    /// A log with two approvals, altered.
    fn forged(alter: impl FnOnce(&mut Vec<LogEntry>)) -> Decided {
        let (mut log, [ines, mara, _]) = History::sealed();
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
        log.forge(alter);
        log.verdict()
    }

    fn position(entries: &[LogEntry], kind: &str) -> usize {
        entries.iter().position(|entry| entry.event.kind() == kind).unwrap()
    }

    fn without(kind: &'static str) -> Decided {
        forged(|entries| drop(entries.remove(position(entries, kind))))
    }

    /// A log whose sealed manifest has other bytes.
    fn sealed(alter: impl FnOnce(&mut String)) -> Decided {
        forged(|entries| {
            let seal = position(entries, "release_sealed");
            let Event::ReleaseSealed { manifest, .. } = &mut entries[seal].event else {
                unreachable!()
            };
            alter(manifest);
        })
    }

    #[test]
    fn a_log_without_its_one_genesis_decides_nothing() {
        assert_eq!(forged(Vec::clear), unsound("the log is empty"));
        assert_eq!(without("genesis"), unsound("the first entry is not genesis"));
        let twice = forged(|entries| entries.push(entries[0].clone()));
        assert_eq!(twice, unsound("there is a second genesis entry"));
        let nowhere = forged(|entries| {
            let Event::Genesis { origin, .. } = &mut entries[0].event else { unreachable!() };
            origin.push('/');
        });
        assert_eq!(nowhere, unsound("the genesis origin is not an origin"));
        let (mut log, _) = History::sealed();
        for entry in &mut log.entries {
            entry.sequence += 1;
        }
        assert_eq!(log.verdict(), unsound("the first entry is missing"));
    }

    /// Whoever founds it anew, the signatures were given elsewhere.
    #[test]
    fn signatures_do_not_count_under_another_genesis() {
        let elsewhere = forged(|entries| {
            let Event::Genesis { origin, .. } = &mut entries[0].event else { unreachable!() };
            *origin = "https://gate.example:8443".to_owned();
        });
        assert_eq!(elsewhere, pending(2));
        let another = forged(|entries| {
            let Event::Genesis { instance, .. } = &mut entries[0].event else { unreachable!() };
            *instance = other();
        });
        assert_eq!(another, unsound("the sealed manifest is of another release"));
    }

    #[test]
    fn entries_out_of_order_or_twice_are_noticed() {
        let (log, _) = History::sealed();
        let disordered = unsound("entries are out of order");
        for position in 1..log.entries.len() - 1 {
            let mut swapped = log.clone();
            swapped.entries.swap(position, position + 1);
            assert!(matches!(swapped.verdict(), Err(NotAuthorised::Unsound(_))), "{position}");
            let mut doubled = log.clone();
            doubled.entries.insert(position, log.entries[position].clone());
            assert_eq!(doubled.verdict(), disordered, "{position}");
        }
        let mut first = log.clone();
        first.entries[1].sequence = 0;
        assert_eq!(first.verdict(), disordered);
        let mut last = log;
        let (opened, staged) = (last.entries.len() - 3, last.entries.len() - 2);
        last.entries.swap(opened, staged);
        assert_eq!(last.verdict(), disordered, "not even where nothing depends on it");
    }

    #[test]
    fn no_roster_revision_can_be_left_out() {
        let (log, _) = History::sealed();
        let mut revisions = log.positions("roster_revised");
        let newest = revisions.pop().unwrap();
        assert_eq!(revisions.len(), 3);
        for revision in revisions {
            let mut log = log.clone();
            log.forge(|entries| drop(entries.remove(revision)));
            assert_eq!(log.verdict(), unsound("a roster revision is missing"));
        }
        // Without the newest one the numbers are right, but nobody signed under such a roster.
        let mut log = log;
        let people = log.roster.people.clone();
        log.approve(people[0].id);
        log.approve(people[1].id);
        log.forge(|entries| drop(entries.remove(newest)));
        assert_eq!(log.verdict(), pending(2));
        assert_eq!(log.discounted().len(), 2);
    }

    #[test]
    fn no_policy_revision_can_be_left_out_or_put_in_front() {
        let (mut log, _) = History::begin(2);
        log.revise_policy(|policy| policy.required = 3);
        log.seal(bot());
        let revisions = log.positions("policy_revised");
        let missing = unsound("a policy revision is missing");
        let mut first = log.clone();
        first.forge(|entries| drop(entries.remove(revisions[0])));
        assert_eq!(first.verdict(), missing);
        let mut twice = log.clone();
        twice.forge(|entries| entries.insert(revisions[0], entries[revisions[0]].clone()));
        assert_eq!(twice.verdict(), missing);
        // Without the newest one the seal names a revision that is not in force.
        log.forge(|entries| drop(entries.remove(revisions[1])));
        assert_eq!(log.verdict(), unsound("the release was sealed under an old policy"));
    }

    #[test]
    fn a_seal_that_contradicts_the_log_is_noticed() {
        let twice = forged(|entries| {
            let seal = position(entries, "release_sealed");
            entries.push(entries[seal].clone());
        });
        assert_eq!(twice, unsound("the release was sealed twice"));
        let garbage = sealed(|manifest| manifest.truncate(9));
        assert_eq!(garbage, unsound("the sealed manifest does not parse"));
        let of_another = unsound("the sealed manifest is of another release");
        assert_eq!(rewritten(|manifest| manifest.release = other()), of_another);
        assert_eq!(rewritten(|manifest| manifest.instance = other()), of_another);
    }

    /// A3: a seal cannot choose whose approvals it needs.
    #[test]
    fn a_release_is_sealed_under_its_packages_own_policy() {
        let (mut log, [ines, mara, _]) = History::begin(2);
        let lenient = log.id();
        let draft = PolicyDraft { name: "Lenient".to_owned(), required: 1, ..log.draft() };
        log.set_policy(lenient, draft);
        log.seal(bot());
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
        log.forge(|entries| {
            let seal = position(entries, "release_sealed");
            let Event::ReleaseSealed { policy, .. } = &mut entries[seal].event else {
                unreachable!()
            };
            *policy = lenient;
        });
        assert_eq!(log.verdict(), unsound("the release was sealed under a foreign policy"));
    }

    /// A8: nor how long it lives; a policy may say two weeks at most.
    #[test]
    fn a_seal_expires_when_its_policy_says() {
        for shift in [-1, 1, 365 * 24 * 3600] {
            let forged = forged(|entries| {
                let seal = position(entries, "release_sealed");
                let Event::ReleaseSealed { expires_at, .. } = &mut entries[seal].event else {
                    unreachable!()
                };
                *expires_at += SignedDuration::from_secs(shift);
            });
            assert_eq!(forged, unsound("the seal does not expire as its policy says"), "{shift}");
        }
    }

    /// A log with another manifest under the seal.
    fn rewritten(alter: impl FnOnce(&mut Manifest)) -> Decided {
        sealed(|bytes| {
            let mut manifest: Manifest = serde_json::from_str(bytes).unwrap();
            alter(&mut manifest);
            *bytes = String::from_utf8(manifest.seal().bytes().to_vec()).unwrap();
        })
    }

    /// I1, I2: any other manifest takes every approval with it.
    #[test]
    fn approvals_do_not_move_to_an_altered_manifest() {
        let parts: [fn(&mut Manifest); 4] = [
            |manifest| manifest.version.push_str(".1"),
            |manifest| manifest.package.push('s'),
            |manifest| manifest.claims_sha256 = Sha256::of(b"other claims"),
            |manifest| manifest.files[0].document_sha256 = Sha256::of(b"other document"),
        ];
        for alter in parts {
            assert_eq!(rewritten(alter), pending(2));
        }
    }

    #[test]
    fn a_decision_from_before_the_seal_is_noticed() {
        let early = forged(|entries| {
            let decision = position(entries, "decided");
            let moved = entries.remove(decision);
            let seal = position(entries, "release_sealed");
            entries.insert(seal, moved);
        });
        assert_eq!(early, unsound("a decision came before its release was sealed"));
    }

    #[test]
    fn package_policy_and_roster_of_a_release_have_to_be_in_the_log() {
        let package = unsound("the package of a sealed release is not in the log");
        assert_eq!(without("package_revised"), package);
        assert_eq!(without("policy_revised"), unsound("a policy in use is not in the log"));
        let no_roster =
            forged(|entries| entries.retain(|entry| entry.event.kind() != "roster_revised"));
        assert_eq!(no_roster, unsound("there is no roster"));
        // The same without any decision that would have needed them.
        let undecided = |kind: &str| {
            let (mut log, _) = History::sealed();
            log.forge(|entries| entries.retain(|entry| entry.event.kind() != kind));
            log.verdict()
        };
        assert_eq!(undecided("package_revised"), package);
        assert_eq!(undecided("roster_revised"), unsound("there is no roster"));
        let (mut log, _) = History::sealed();
        log.move_package(|package| package.policy = other());
        assert_eq!(log.verdict(), unsound("a policy in use is not in the log"));
    }

    /// Not being sound is said before anything else, to the page as to the forwarder.
    #[test]
    fn an_unsound_log_has_no_standing() {
        let (mut log, _) = History::sealed();
        log.tell(log.entries[0].event.clone());
        let standing = standing(&log.entries, log.release(), log.now).map(drop);
        let expected = NotAuthorised::Unsound("there is a second genesis entry");
        assert_eq!(standing, Err(expected));
    }
}

mod decisions_that_do_not_count {
    use super::*;

    type Alteration = (&'static str, fn(&mut Statement));

    /// I2: one field after the other, each signed for in earnest.
    const STATEMENTS_ABOUT_SOMETHING_ELSE: [Alteration; 24] = [
        ("format", |s| s.format = "countersign/statement/v2".into()),
        ("origin", |s| s.origin = "https://other.example".into()),
        ("decision", |s| s.decision = Reject),
        ("person", |s| s.person = other()),
        ("release", |s| s.release = other()),
        ("ecosystem", |s| s.ecosystem = Ecosystem::Npm),
        ("package", |s| s.package.push('s')),
        ("version", |s| s.version.push_str(".1")),
        ("upstream", |s| s.destination.upstream = other()),
        ("address", |s| s.destination.url.push_str("other/")),
        ("dist-tag", |s| s.dist_tag = Some("latest".to_owned())),
        ("access", |s| s.access = Some(Access::Public)),
        ("no files", |s| s.files.clear()),
        ("file name", |s| s.files[0].name.push('x')),
        ("file size", |s| s.files[0].size_bytes += 1),
        ("file digest", |s| s.files[0].sha256 = Sha256::of(b"other")),
        ("manifest", |s| s.manifest_sha256 = Sha256::of(b"other")),
        ("policy", |s| s.policy.id = other()),
        ("policy revision", |s| s.policy.revision += 1),
        ("policy digest", |s| s.policy.sha256 = Sha256::of(b"other")),
        ("required", |s| s.policy.required = 1),
        ("roster revision", |s| s.roster.revision -= 1),
        ("roster digest", |s| s.roster.sha256 = Sha256::of(b"other")),
        ("not after", |s| s.not_after += SignedDuration::from_secs(1)),
    ];

    #[test]
    fn a_signed_statement_about_anything_else_does_not_count() {
        for (part, alter) in STATEMENTS_ABOUT_SOMETHING_ELSE {
            let why = discount(|_, signing| alter(&mut signing.statement));
            assert_eq!(why, Discount::Statement, "{part}");
        }
    }

    #[test]
    fn a_statement_in_other_bytes_does_not_count() {
        let (mut log, [ines, mara, _]) = History::sealed();
        log.approve(ines);
        for alter in [|text: &mut String| text.insert(1, ' '), |text: &mut String| text.clear()] {
            let mut log = log.clone();
            let mut decision = log.sign(&log.signing(mara, Approve));
            alter(&mut decision.statement);
            log.record(decision);
            assert_eq!(the_discount(&log, mara), Discount::Statement);
        }
    }

    /// The one part that is the signer's own.
    #[test]
    fn a_note_is_part_of_what_was_signed_and_free() {
        let (mut log, [ines, mara, _]) = History::sealed();
        log.approve(ines);
        let mut signing = log.signing(mara, Approve);
        signing.statement.reason = Some("read the diff".to_owned());
        log.decide(&signing);
        assert_eq!(log.verdict(), by([ines, mara]));
    }

    /// I2: a statement read under one policy or roster is not one under the next.
    #[test]
    fn a_statement_read_before_the_rules_changed_does_not_count_afterwards() {
        let under_another_roster = discount(|log, _| {
            log.join(Role::Viewer);
        });
        assert_eq!(under_another_roster, Discount::Statement);
        let under_another_policy = discount(|log, _| {
            log.revise_policy(|policy| policy.expiry = SignedDuration::from_hours(1));
        });
        assert_eq!(under_another_policy, Discount::Statement);
    }

    #[test]
    fn an_approval_of_another_release_does_not_count() {
        let (mut log, [ines, mara, _]) = History::sealed();
        let earlier = log.sign(&log.signing(mara, Approve));
        log.seal(bot());
        log.approve(ines);
        log.record(earlier);
        assert_eq!(the_discount(&log, mara), Discount::Statement);
    }

    /// W4: the same bytes, signed to reject.
    #[test]
    fn a_signature_for_another_purpose_does_not_count() {
        for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::Approve) {
            let why = discount(|_, signing| signing.purpose = purpose);
            assert!(matches!(why, Discount::Signature(_)), "{purpose}: {why:?}");
        }
    }

    #[test]
    fn a_rejection_recorded_as_an_approval_does_not_count() {
        let (mut log, [ines, mara, _]) = History::sealed();
        log.approve(ines);
        let mut decision = log.sign(&log.signing(mara, Reject));
        decision.verdict = Approve;
        log.record(decision);
        assert_eq!(the_discount(&log, mara), Discount::Statement);
    }

    #[test]
    fn a_signature_that_does_not_verify_does_not_count() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        log.approve(ines);
        let sound = log.sign(&log.signing(mara, Approve));
        let others = log.sign(&Signing { key: log.key_of(jun), ..log.signing(mara, Approve) });
        let mut bytes = sound.assertion.signature().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let with = |signature: &[u8]| {
            Assertion::new(
                sound.assertion.credential_id().clone(),
                sound.assertion.client_data_json().to_vec(),
                sound.assertion.authenticator_data().to_vec(),
                signature.to_vec(),
            )
            .unwrap()
        };
        let mut flipped = sound.clone();
        flipped.assertion = with(&bytes);
        let mut by_another = sound.clone();
        by_another.assertion = with(others.assertion.signature());
        let mut replayed = sound.clone();
        replayed.nonce = Nonce::from_bytes([7; 32]);
        for decision in [flipped, by_another, replayed] {
            let mut log = log.clone();
            log.record(decision);
            let why = the_discount(&log, mara);
            assert!(matches!(why, Discount::Signature(_)), "{why:?}");
        }
        log.record(sound);
        assert_eq!(log.verdict(), by([ines, mara]));
    }

    #[test]
    fn a_key_that_was_not_the_persons_does_not_count() {
        let (_, [.., jun]) = History::sealed();
        let of_another = discount(|log, signing| signing.key = log.key_of(jun));
        assert_eq!(of_another, Discount::KeyThen);
        let never_enrolled = discount(|log, signing| {
            signing.key = log.new_key(log.now).credential_id;
        });
        assert_eq!(never_enrolled, Discount::KeyThen);
        let of_nobody = discount(|_, signing| {
            (signing.person, signing.statement.person) = (other(), other());
        });
        assert_eq!(of_nobody, Discount::KeyThen);
    }

    /// A key enrolled after the fact makes no earlier signature good.
    #[test]
    fn a_key_enrolled_after_it_signed_does_not_count() {
        let (mut log, [ines, mara, _]) = History::sealed();
        log.approve(ines);
        let key = log.new_key(log.now);
        let signing = Signing { key: key.credential_id.clone(), ..log.signing(mara, Approve) };
        log.decide(&signing);
        log.change(mara, |person| person.keys.push(key));
        assert_eq!(the_discount(&log, mara), Discount::KeyThen);
    }

    /// W13, row V19: it counts from its time on, and what it signed before never does.
    #[test]
    fn a_key_that_did_not_count_yet_does_not_count() {
        let (mut log, [ines, mara, jun]) = History::begin(2);
        let counts_from = log.now + SignedDuration::from_hours(24);
        let new = log.add_key(mara, counts_from);
        let jun_too = log.add_key(jun, counts_from);
        log.seal(bot());
        log.approve(ines);
        log.decide(&Signing { key: new, ..log.signing(mara, Approve) });
        assert_eq!(the_discount(&log, mara), Discount::KeyThen);
        log.now = counts_from;
        assert_eq!(the_discount(&log, mara), Discount::KeyThen);
        log.decide(&Signing { key: jun_too, ..log.signing(jun, Approve) });
        assert_eq!(log.verdict(), by([ines, jun]));
    }

    /// W13: on probation it objects already, and its objection stays one.
    #[test]
    fn a_key_on_probation_objects_and_does_not_approve() {
        let (mut log, [ines, mara, jun]) = History::begin(2);
        let counts_from = log.now + SignedDuration::from_hours(24);
        log.change(jun, |person| person.keys[0].counts_from = counts_from);
        log.seal(bot());
        log.approve(ines);
        let mut approved = log.clone();
        approved.decide(&approved.signing(jun, Approve));
        assert_eq!(the_discount(&approved, jun), Discount::KeyThen);
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
        log.decide(&log.signing(jun, Reject));
        assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(jun)));
        log.now = counts_from;
        assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(jun)));
        log.change(jun, |person| person.keys.clear());
        assert_eq!(log.verdict(), by([ines, mara]), "taken away, it counts for nothing (A4)");
    }

    /// Whoever has only keys that do not count yet could not approve.
    #[test]
    fn a_person_without_a_key_that_counts_is_not_among_those_who_may() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        let counts_from = log.now + SignedDuration::from_hours(24);
        log.change(jun, |person| person.keys[0].counts_from = counts_from);
        assert_eq!(log.standing().may_count, BTreeSet::from([ines, mara]));
        log.change(mara, |person| person.keys.clear());
        assert_eq!(log.standing().may_count, BTreeSet::from([ines]));
        log.now = counts_from;
        assert_eq!(log.standing().may_count, BTreeSet::from([ines, jun]));
    }

    #[test]
    fn somebody_the_policy_does_not_name_does_not_count() {
        for (role, verdict) in [Role::Maintainer, Role::Owner]
            .into_iter()
            .flat_map(|role| [(role, Approve), (role, Reject)])
        {
            let (mut log, [ines, ..]) = History::begin(2);
            let dana = log.join(role);
            log.seal(bot());
            log.approve(ines);
            log.decide(&log.signing(dana, verdict));
            assert_eq!(the_discount(&log, dana), Discount::KeyThen);
            assert!(!log.standing().may_count.contains(&dana));
        }
    }

    #[test]
    fn a_viewer_does_not_count_even_where_a_policy_names_one() {
        for verdict in [Approve, Reject] {
            let (mut log, [ines, ..]) = History::begin(2);
            let vera = log.join(Role::Viewer);
            log.revise_policy(|policy| {
                policy.members.insert(vera);
            });
            log.seal(bot());
            log.approve(ines);
            log.decide(&log.signing(vera, verdict));
            assert_eq!(the_discount(&log, vera), Discount::KeyThen);
            assert!(!log.standing().may_count.contains(&vera));
        }
    }
}

mod people_who_change_after_signing {
    use super::*;

    /// Two approvals, one of them by the second person; then people change.
    fn approved() -> (History, [PersonId; 3]) {
        let (mut log, [ines, mara, jun]) = History::sealed();
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
        (log, [ines, mara, jun])
    }

    /// A4.
    #[test]
    fn the_approval_of_somebody_who_left_stops_counting() {
        let (mut log, [ines, mara, jun]) = approved();
        log.leave(mara);
        assert_eq!(the_discount(&log, mara), Discount::KeyNow);
        log.approve(jun);
        assert_eq!(log.verdict(), by([ines, jun]));
    }

    /// A4: a lost, suspended or revoked key.
    #[test]
    fn the_approval_of_a_key_that_was_taken_off_stops_counting() {
        let (mut log, [ines, mara, _]) = approved();
        let old = log.key_of(mara);
        let new = log.add_key(mara, log.now);
        log.change(mara, |person| person.keys.retain(|key| key.credential_id != old));
        assert_eq!(the_discount(&log, mara), Discount::KeyNow);
        log.decide(&Signing { key: new, ..log.signing(mara, Approve) });
        assert_eq!(log.verdict(), by([ines, mara]));
    }

    /// A4: the same credential id with another public key, or in other hands, is another key.
    #[test]
    fn the_approval_of_a_key_that_was_swapped_stops_counting() {
        let (mut log, [ines, mara, jun]) = approved();
        let stranger = log.new_key(log.now);
        let mut swapped = log.clone();
        swapped.change(mara, |person| person.keys[0].public_key = stranger.public_key);
        assert_eq!(the_discount(&swapped, mara), Discount::KeyNow);
        let key = log.roster.person(mara).unwrap().keys[0].clone();
        log.revise_roster(|roster| {
            for person in &mut roster.people {
                person.keys.retain(|held| *held != key);
            }
            roster.people.iter_mut().find(|person| person.id == jun).unwrap().keys.push(key);
        });
        assert_eq!(the_discount(&log, mara), Discount::KeyNow);
        assert_eq!(log.standing().counted, BTreeSet::from([ines]));
    }

    /// A4: the key is as it was, the person may not sign any more.
    #[test]
    fn the_approval_of_somebody_who_became_a_viewer_stops_counting() {
        let (mut log, [_, mara, _]) = approved();
        log.change(mara, |person| person.role = Role::Viewer);
        assert_eq!(log.verdict(), pending(1));
        log.change(mara, |person| person.role = Role::Owner);
        assert!(log.verdict().is_ok());
    }

    /// Q7: what was signed under an earlier roster stays good while the person does.
    #[test]
    fn an_approval_survives_changes_of_other_people() {
        let (mut log, [ines, mara, jun]) = approved();
        log.join(Role::Maintainer);
        log.leave(jun);
        log.add_key(mara, log.now);
        assert_eq!(log.verdict(), by([ines, mara]));
    }

    /// Q20 waits; until then the record of the rejection itself is what ends a release.
    #[test]
    fn an_objection_counts_while_its_key_does() {
        let (mut log, [_, _, jun]) = approved();
        log.object(jun);
        log.leave(jun);
        assert_eq!(log.discounted(), [(jun, Discount::KeyNow)]);
        log.tell(Event::ReleaseRejected { release: log.release(), by: jun });
        assert_eq!(log.verdict(), Err(NotAuthorised::Ended(State::Rejected)));
    }
}

/// A3, Q7: the policy of the seal and the one in force must both be met.
mod policies_that_change_after_the_seal {
    use super::*;

    #[test]
    fn asking_for_more_people_asks_them_of_a_sealed_release_too() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        log.approve(ines);
        log.approve(mara);
        log.revise_policy(|policy| policy.required = 3);
        assert_eq!(log.verdict(), pending(1));
        log.approve(jun);
        assert_eq!(log.verdict(), by([ines, mara, jun]));
    }

    #[test]
    fn asking_for_fewer_people_never_helps_a_sealed_release() {
        let (mut log, [ines, mara, _]) = History::sealed();
        log.revise_policy(|policy| policy.required = 1);
        log.approve(ines);
        assert_eq!(log.verdict(), pending(1));
        let standing = log.standing();
        assert_eq!((standing.sealed_policy.required(), standing.policy.required()), (2, 1));
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
        log.seal(bot());
        log.approve(ines);
        assert_eq!(log.verdict(), by([ines]), "the next release is under the new rule");
    }

    #[test]
    fn somebody_named_after_the_seal_does_not_count_for_it() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        let dana = log.join(Role::Maintainer);
        log.revise_policy(|policy| {
            policy.members.insert(dana);
        });
        log.approve(ines);
        log.approve(dana);
        assert_eq!(log.verdict(), pending(1));
        let standing = log.standing();
        assert_eq!(standing.may_count, BTreeSet::from([ines, mara, jun]));
        assert_eq!(standing.counted, BTreeSet::from([ines]));
        log.approve(mara);
        assert!(log.verdict().is_ok());
        assert_eq!(log.standing().counted, BTreeSet::from([ines, mara]));
    }

    #[test]
    fn somebody_no_longer_named_stops_counting() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        log.approve(ines);
        log.approve(mara);
        log.revise_policy(|policy| {
            policy.members.remove(&mara);
        });
        assert_eq!(log.verdict(), pending(1));
        log.approve(jun);
        assert_eq!(log.verdict(), by([ines, jun]));
    }

    /// Shrinking who has a say is no way around an objection.
    #[test]
    fn an_objection_stays_one_when_its_author_is_no_longer_named() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        log.object(jun);
        log.revise_policy(|policy| {
            policy.members.remove(&jun);
        });
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(jun)));
    }

    /// Nor does it matter under which of both rules somebody has a say.
    #[test]
    fn somebody_named_after_the_seal_may_object() {
        let (mut log, [ines, mara, _]) = History::sealed();
        let dana = log.join(Role::Maintainer);
        log.revise_policy(|policy| {
            policy.members.insert(dana);
        });
        log.approve(ines);
        log.approve(mara);
        log.object(dana);
        assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(dana)));
    }

    #[test]
    fn a_package_under_another_policy_needs_both() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        let all = log.id();
        log.set_policy(all, PolicyDraft { required: 3, ..log.draft() });
        log.approve(ines);
        log.approve(mara);
        log.move_package(|package| package.policy = all);
        assert_eq!(log.verdict(), pending(1));
        log.approve(jun);
        assert_eq!(log.verdict(), by([ines, mara, jun]));
    }

    /// Each rule counts its own people: two of them may leave more open than either names alone.
    #[test]
    fn of_two_unmet_policies_the_one_that_misses_more_is_told() {
        let (mut log, [ines, mara, jun]) = History::begin(3);
        log.seal(bot());
        log.revise_policy(|policy| {
            policy.members = BTreeSet::from([mara, jun]);
            policy.required = 1;
        });
        assert_eq!(log.verdict(), pending(3));
        log.approve(mara);
        assert_eq!(log.verdict(), pending(2));
        assert!(!log.standing().may_count.contains(&ines));
    }

    #[test]
    fn an_approval_under_an_earlier_policy_still_counts() {
        let (mut log, [ines, mara, _]) = History::sealed();
        log.approve(ines);
        log.revise_policy(|policy| policy.expiry = SignedDuration::from_hours(48));
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
    }

    /// A8: a longer life is for releases sealed from then on.
    #[test]
    fn a_longer_expiry_does_not_prolong_a_sealed_release() {
        let (mut log, [ines, mara, _]) = History::begin(2);
        log.revise_policy(|policy| policy.expiry = SignedDuration::from_hours(1));
        log.seal(bot());
        let expires_at = log.sealed_release().expires_at;
        log.revise_policy(|policy| policy.expiry = SignedDuration::from_hours(48));
        log.approve(ines);
        log.approve(mara);
        log.now = expires_at;
        assert_eq!(log.verdict(), Err(NotAuthorised::Expired(expires_at)));
    }
}

/// A5, Q16.
mod who_started_the_run {
    use super::*;

    /// A release that Ines's account started.
    fn started_by_ines() -> (History, [PersonId; 3]) {
        let (mut log, people) = History::begin(2);
        log.link(people[0], ci("1001"));
        log.seal(ci("1001"));
        (log, people)
    }

    #[test]
    fn the_person_who_started_the_run_does_not_count() {
        let (mut log, [ines, mara, jun]) = started_by_ines();
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), pending(1));
        let standing = log.standing();
        assert_eq!(standing.started_by, ActorIs::Person(ines));
        assert_eq!(standing.may_count, BTreeSet::from([mara, jun]));
        log.approve(jun);
        assert_eq!(log.verdict(), by([mara, jun]));
    }

    #[test]
    fn the_person_who_started_the_run_may_stop_it() {
        let (mut log, [ines, mara, jun]) = started_by_ines();
        log.approve(mara);
        log.approve(jun);
        log.object(ines);
        assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(ines)));
    }

    #[test]
    fn a_policy_may_count_the_person_who_started_the_run() {
        let (mut log, [ines, mara, _]) = History::begin(2);
        log.revise_policy(|policy| policy.triggering_actor_counts = true);
        log.link(ines, ci("1001"));
        log.seal(ci("1001"));
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
        log.revise_policy(|policy| policy.triggering_actor_counts = false);
        assert_eq!(log.verdict(), pending(1), "unless that changed since");
    }

    #[test]
    fn counting_the_starter_later_never_helps_a_sealed_release() {
        let (mut log, [ines, mara, _]) = started_by_ines();
        log.revise_policy(|policy| policy.triggering_actor_counts = true);
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), pending(1));
    }

    /// An identity that turns out to be somebody's takes their approval back.
    #[test]
    fn a_link_made_after_the_approval_excludes_all_the_same() {
        let (mut log, [ines, mara, _]) = History::begin(2);
        log.revise_roster(|roster| roster.bots.push(ci("1001")));
        log.seal(ci("1001"));
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), by([ines, mara]));
        log.revise_roster(|roster| roster.bots.retain(|bot| *bot != ci("1001")));
        log.link(mara, ci("1001"));
        assert_eq!(log.verdict(), pending(1));
    }

    #[test]
    fn an_unknown_starter_blocks_until_it_is_settled() {
        let unknown = || Err(NotAuthorised::ActorUnknown { actor_id: "1001".to_owned() });
        let (mut log, [ines, mara, jun]) = History::begin(2);
        log.seal(ci("1001"));
        assert_eq!(log.standing().started_by, ActorIs::Unknown);
        log.approve(ines);
        log.approve(mara);
        assert_eq!(log.verdict(), unknown());
        log.link(jun, ci("1001"));
        assert_eq!(log.verdict(), by([ines, mara]));
        log.change(jun, |person| person.ci_identities.clear());
        assert_eq!(log.verdict(), unknown());
        log.leave(jun);
        assert_eq!(log.verdict(), unknown());
    }

    /// The same number at another issuer is somebody else.
    #[test]
    fn an_identity_is_one_of_its_issuer() {
        let (mut log, [ines, ..]) = History::begin(2);
        let mut elsewhere = ci("1001");
        elsewhere.issuer.push_str("/other");
        log.link(ines, elsewhere);
        log.seal(ci("1001"));
        assert_eq!(log.standing().started_by, ActorIs::Unknown);
    }

    #[test]
    fn a_bot_that_started_the_run_excludes_nobody() {
        let (mut log, [ines, mara, jun]) = History::sealed();
        let standing = log.standing();
        assert_eq!(standing.started_by, ActorIs::Bot);
        assert_eq!(standing.may_count, BTreeSet::from([ines, mara, jun]));
        log.approve(mara);
        log.approve(jun);
        assert_eq!(log.verdict(), by([mara, jun]));
    }
}

/// The page shows what the decision says, in the same words as the signature.
#[test]
fn what_somebody_would_sign_is_what_counts_when_they_do() {
    let (mut log, [ines, ..]) = History::sealed();
    log.join(Role::Viewer);
    log.revise_policy(|policy| policy.required = 3);
    for verdict in [Approve, Reject] {
        let reason = (verdict == Reject).then(|| "the changelog is missing".to_owned());
        let shown = log.standing().statement(ines, verdict, reason);
        assert_eq!(shown, log.signing(ines, verdict).statement);
    }
}

/// What sealed it is evidence, not a rule.
#[test]
fn why_a_release_was_sealed_decides_nothing() {
    let (mut log, [ines, mara, _]) = History::sealed();
    log.approve(ines);
    log.approve(mara);
    let seal = log.positions("release_sealed")[0];
    log.forge(|entries| {
        let Event::ReleaseSealed { because, .. } = &mut entries[seal].event else { unreachable!() };
        *because = SealedBecause::CiAsked;
    });
    assert_eq!(log.verdict(), by([ines, mara]));
}
