//! Policies against naive references: every way of filling places, every set of approvals.

use std::collections::BTreeSet;

use countersign::domain::ids::{PersonId, PolicyId};
use countersign::domain::policy::{
    Approvers, Embargo, Group, Hardware, Policy, PolicyDraft, PolicyRefusal,
};
use countersign::domain::quorum::{Electorate, Tally, Verdict, Vote, tally};
use countersign::domain::roster::Authenticator;
use countersign::domain::simulation::{SETS_SHOWN, Spare, simulate};
use countersign::domain::statement::Terms;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

/// People in these tests, as bits of a mask.
const PEOPLE: u32 = 5;
const EVERYBODY: u32 = (1 << PEOPLE) - 1;

fn person(n: u32) -> PersonId {
    PersonId::from_uuid(Uuid::from_u128(u128::from(n) + 1))
}

fn people(mask: u32) -> BTreeSet<PersonId> {
    (0..PEOPLE).filter(|n| mask & (1 << n) != 0).map(person).collect()
}

fn parse(draft: PolicyDraft) -> Result<Policy, PolicyRefusal> {
    Policy::parse(PolicyId::from_uuid(Uuid::from_u128(99)), 1, draft)
}

fn group(name: &str, required: u32, mask: u32) -> Group {
    Group { name: name.to_owned(), required, people: people(mask) }
}

fn draft(required: u32, groups: &[(u32, u32)]) -> PolicyDraft {
    let groups = groups.iter().enumerate();
    let groups = groups.map(|(n, (required, mask))| group(&format!("group {n}"), *required, *mask));
    PolicyDraft {
        groups: groups.collect(),
        ..PolicyDraft::of("Policy", required, people(EVERYBODY))
    }
}

/// Who approves, and who of them with a hardware key.
fn approvers(mask: u32, hardware: u32) -> Approvers {
    Approvers { people: people(mask), with_hardware: people(mask & hardware) }
}

/// Seats one after the other, each tried with everybody: how many the people can fill.
fn seated(seats: &[BTreeSet<PersonId>], people: &BTreeSet<PersonId>) -> usize {
    let Some((seat, rest)) = seats.split_first() else { return 0 };
    let taken = people.intersection(seat).map(|person| {
        let mut others = people.clone();
        others.remove(person);
        1 + seated(rest, &others)
    });
    taken.chain([seated(rest, people)]).max().unwrap_or(0)
}

/// What a policy asks for, in the words of its documentation.
fn is_met(policy: &Policy, approvers: &Approvers, findings: bool) -> bool {
    let mut seats = Vec::new();
    for group in policy.groups() {
        seats.extend((0..group.required).map(|_| group.people.clone()));
    }
    let required = policy.required() + if findings { policy.more_on_findings() } else { 0 };
    while seats.len() < required as usize {
        seats.push(policy.members().clone());
    }
    let hardware = policy.hardware().map_or(0, |hardware| hardware.required);
    seated(&seats, &approvers.people) == seats.len()
        && seated(&seats, &approvers.with_hardware) >= hardware as usize
}

/// Everybody who approves, each with a hardware key or without: three ways for each person.
fn all_approvers() -> impl Iterator<Item = Approvers> {
    (0..=EVERYBODY).flat_map(|mask| {
        (0..=mask).filter(move |hardware| hardware & !mask == 0).map(move |h| approvers(mask, h))
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let groups = prop::collection::vec((1..3_u32, 1..=EVERYBODY), 0..3);
    let hardware = prop::option::weighted(0.4, 1..3_u32);
    (1..4_u32, groups, hardware, 0..2_u32).prop_filter_map(
        "a policy that people can meet",
        |(required, groups, hardware, more)| {
            let hardware = hardware.map(|required| Hardware { required, models: None });
            let draft =
                PolicyDraft { hardware, more_on_findings: more, ..draft(required, &groups) };
            parse(draft).ok()
        },
    )
}

/// Everything a policy says besides how many of whom.
fn whole_policies() -> impl Strategy<Value = Policy> {
    let embargo = prop::option::of((2..4_u32, 3..=EVERYBODY, any::<bool>(), any::<bool>()));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (policies(), 0..3_i64, flags, embargo).prop_filter_map(
        "a policy that people can meet",
        |(policy, minutes, (actor, authors, note), embargo)| {
            let embargo = embargo.map(|(required, mask, cooling, schedule)| Embargo {
                required,
                people: people(mask),
                skips_cooling_off: cooling,
                skips_schedule: schedule,
            });
            parse(PolicyDraft {
                cooling_off: SignedDuration::from_mins(minutes),
                triggering_actor_counts: actor,
                authors_count: authors,
                note_on_findings: note,
                embargo,
                ..policy.draft()
            })
            .ok()
        },
    )
}

fn minute(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn votes() -> impl Strategy<Value = Vec<Vote>> {
    let terms =
        (any::<bool>(), any::<bool>(), any::<bool>(), prop::option::weighted(0.3, 0..9_i64));
    let vote = (0..PEOPLE, any::<bool>(), terms, prop::bool::weighted(0.05)).prop_map(
        |(n, hardware, (noted, no_author, embargo, not_before), rejects)| Vote {
            person: person(n),
            verdict: if rejects { Verdict::Reject } else { Verdict::Approve },
            at: minute(0),
            key: Authenticator { attested: hardware, ..Authenticator::default() },
            terms: Terms {
                reason: noted.then(|| "it is fine".to_owned()),
                no_author,
                not_before: not_before.map(minute),
                embargo,
                ..Terms::default()
            },
        },
    );
    prop::collection::vec(vote, 0..7).prop_map(|mut votes| {
        for (n, vote) in (0..).zip(&mut votes) {
            vote.at = minute(n);
        }
        votes
    })
}

/// From when votes let a release go, if they do.
fn goes_from(
    policy: &Policy,
    votes: &[Vote],
    (actor, findings): (PersonId, bool),
) -> Option<Timestamp> {
    let everybody = people(EVERYBODY);
    let mut may_count = everybody.clone();
    if !policy.triggering_actor_counts() {
        may_count.remove(&actor);
    }
    let among = Electorate { may_count: &may_count, may_object: &everybody, findings, at_least: 1 };
    match tally(policy, among, votes) {
        Tally::Met(met) => Some(met.not_before()),
        Tally::Pending { .. } | Tally::Rejected { .. } => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant I3, rule A2: one person fills one place, in every way that places can be filled.
    #[test]
    fn places_are_filled_as_by_trying_everybody(policy in policies()) {
        for findings in [false, true] {
            for approvers in all_approvers() {
                let met = is_met(&policy, &approvers, findings);
                prop_assert_eq!(policy.lacks(&approvers, findings) == 0, met, "{:?}", approvers);
            }
        }
    }

    /// Rule A7, invariant I10: about who must approve, tightening is told from loosening exactly.
    #[test]
    fn a_policy_is_within_another_exactly_when_nobody_can_release_who_could_not(
        new in policies(), old in policies(),
    ) {
        let allowed = [false, true].into_iter().all(|findings| {
            all_approvers().all(|approvers| {
                !is_met(&new, &approvers, findings) || is_met(&old, &approvers, findings)
            })
        });
        prop_assert_eq!(new.is_within(&old), allowed);
        prop_assert!(new.is_within(&new));
    }

    /// Rule A7, ruling Q22: whatever else they ask for, what the tighter one lets go the other one
    /// lets go no later.
    #[test]
    fn what_a_tighter_policy_lets_go_the_other_lets_go(
        new in whole_policies(), old in whole_policies(), votes in votes(),
        actor in 0..PEOPLE, findings in any::<bool>(),
    ) {
        // Two random policies are seldom within each other; what is derived from one often is.
        for tighter in [new, tightened(&old, actor)] {
            if tighter.is_within(&old)
                && let Some(from) = goes_from(&tighter, &votes, (person(actor), findings))
            {
                let other = goes_from(&old, &votes, (person(actor), findings));
                prop_assert!(other.is_some_and(|time| time <= from), "{from} and {other:?}");
            }
        }
    }

    /// The policy editor's numbers, by trying everybody.
    #[test]
    fn a_simulation_names_the_smallest_sets_and_who_can_be_away(
        policy in policies(), able in 0..=EVERYBODY, hardware in 0..=EVERYBODY,
        findings in any::<bool>(),
    ) {
        let able = approvers(able, hardware);
        let met_by = |mask: u32| {
            let away = people(EVERYBODY & !mask);
            is_met(&policy, &able.without(&away), findings)
        };
        let minimal: BTreeSet<BTreeSet<PersonId>> = (0..=EVERYBODY)
            .filter(|mask| people(*mask).is_subset(&able.people) && met_by(*mask))
            .filter(|mask| (0..PEOPLE).all(|n| mask & (1 << n) == 0 || !met_by(mask & !(1 << n))))
            .map(people)
            .collect();
        let simulated = simulate(&policy, &able, findings);
        prop_assert_eq!(simulated.count, minimal.len() as u64);
        let shown: BTreeSet<_> = simulated.sets.iter().cloned().collect();
        prop_assert_eq!(shown.len(), minimal.len().min(SETS_SHOWN));
        prop_assert!(shown.is_subset(&minimal));

        let blocks = |away: u32| !met_by(EVERYBODY & !away);
        let fewest = (0..=EVERYBODY).filter(|away| blocks(*away)).map(u32::count_ones).min();
        match simulated.spare {
            Spare::Nobody { missing } => prop_assert!(missing > 0 && fewest == Some(0)),
            Spare::People { count, among } => {
                prop_assert_eq!(Some(count + 1), fewest);
                let named: BTreeSet<PersonId> = (0..=EVERYBODY)
                    .filter(|away| away.count_ones() == count + 1 && blocks(*away))
                    .flat_map(people)
                    .filter(|person| able.people.contains(person))
                    .collect();
                prop_assert_eq!(named, among);
            }
        }
    }
}

/// A policy with one thing made tighter.
fn tightened(policy: &Policy, which: u32) -> Policy {
    let mut draft = policy.draft();
    match which {
        0 => draft.cooling_off += SignedDuration::from_mins(1),
        1 => draft.note_on_findings = true,
        2 => draft.authors_count = false,
        3 => draft.triggering_actor_counts = false,
        _ => draft.embargo = None,
    }
    let tighter = parse(draft).unwrap();
    assert!(tighter.is_within(policy));
    tighter
}

/// Rule A7, ruling Q22: less of any one thing that a policy asks for is a loosening, and only that.
#[test]
fn less_of_anything_that_a_policy_asks_for_is_a_loosening() {
    type Loosen<'a> = (&'a str, &'a dyn Fn(&mut PolicyDraft));
    let embargo = |draft: &mut PolicyDraft, change: fn(&mut Embargo)| {
        change(draft.embargo.as_mut().expect("an embargo rule"));
    };
    let strict = PolicyDraft {
        hardware: Some(Hardware { required: 1, models: Some([Uuid::from_u128(7)].into()) }),
        cooling_off: SignedDuration::from_mins(30),
        authors_count: false,
        note_on_findings: true,
        more_on_findings: 1,
        embargo: Some(Embargo {
            required: 3,
            people: people(0b01111),
            skips_cooling_off: false,
            skips_schedule: false,
        }),
        ..draft(3, &[(1, 0b11)])
    };
    let loosenings: [Loosen<'_>; 14] = [
        ("people", &|draft| draft.required = 2),
        ("groups", &|draft| draft.groups.clear()),
        ("hardware", &|draft| draft.hardware = None),
        ("models", &|draft| draft.hardware = Some(Hardware { required: 1, models: None })),
        ("people on findings", &|draft| draft.more_on_findings = 0),
        ("note", &|draft| draft.note_on_findings = false),
        ("expiry", &|draft| draft.expiry += SignedDuration::from_secs(1)),
        ("cooling-off", &|draft| draft.cooling_off -= SignedDuration::from_secs(1)),
        ("starter", &|draft| draft.triggering_actor_counts = true),
        ("authors", &|draft| draft.authors_count = true),
        ("embargo people", &|draft| embargo(draft, |rule| rule.required = 2)),
        ("embargo members", &|draft| embargo(draft, |rule| rule.people = people(EVERYBODY))),
        ("embargo wait", &|draft| embargo(draft, |rule| rule.skips_cooling_off = true)),
        ("embargo time", &|draft| embargo(draft, |rule| rule.skips_schedule = true)),
    ];
    let policy = parse(strict.clone()).unwrap();
    for (what, loosen) in loosenings {
        let mut draft = strict.clone();
        loosen(&mut draft);
        let loosened = parse(draft).unwrap();
        assert!(!loosened.is_within(&policy), "{what}");
        assert!(policy.is_within(&loosened), "{what}");
    }
    let without = parse(PolicyDraft { embargo: None, ..strict }).unwrap();
    assert!(without.is_within(&policy) && !policy.is_within(&without), "an embargo rule at all");
}

/// Ruling Q8: what nobody could satisfy is no policy, and groups are satisfied by different people.
#[test]
fn a_policy_whose_places_cannot_be_filled_does_not_parse() {
    let overlap = parse(draft(4, &[(2, 0b00011), (2, 0b00110)]));
    assert_eq!(overlap, Err(PolicyRefusal::GroupsOverlap { required: 4, able: 3 }));
    assert!(parse(draft(4, &[(2, 0b00011), (2, 0b01110)])).is_ok());
    let more = parse(draft(2, &[(2, 0b00011), (1, 0b01110)]));
    assert_eq!(more, Err(PolicyRefusal::GroupsAskForMore { required: 2, received: 3 }));
    let outside =
        PolicyDraft { groups: vec![group("x", 1, 0b100)], ..PolicyDraft::of("P", 1, people(3)) };
    assert!(matches!(parse(outside), Err(PolicyRefusal::Group(_))));
    let found = PolicyDraft { more_on_findings: 4, ..draft(2, &[]) };
    assert_eq!(parse(found), Err(PolicyRefusal::Unsatisfiable { required: 6, able: 5 }));
    let keys = Hardware { required: 3, models: None };
    let hardware = PolicyDraft { hardware: Some(keys), ..draft(2, &[]) };
    assert_eq!(parse(hardware), Err(PolicyRefusal::Hardware { required: 2, received: 3 }));
}

/// Ruling Q22.
#[test]
fn an_embargo_rule_of_one_person_does_not_parse() {
    for (required, mask) in [(0, 0b11), (1, 0b11), (3, 0b11)] {
        let embargo = Embargo {
            required,
            people: people(mask),
            skips_cooling_off: true,
            skips_schedule: true,
        };
        let refused = parse(PolicyDraft { embargo: Some(embargo), ..draft(1, &[]) });
        assert_eq!(refused, Err(PolicyRefusal::Embargo { required, people: 2 }));
    }
}

/// Rule A10.
#[test]
fn a_cooling_off_that_outlives_the_release_does_not_parse() {
    let cooling = |cooling_off| {
        let expiry = SignedDuration::from_hours(2);
        parse(PolicyDraft { expiry, cooling_off, ..draft(1, &[]) })
    };
    assert!(cooling(SignedDuration::from_mins(119)).is_ok());
    assert_eq!(cooling(SignedDuration::from_mins(120)), Err(PolicyRefusal::CoolingOff(120)));
    assert_eq!(cooling(SignedDuration::from_secs(-1)), Err(PolicyRefusal::CoolingOff(0)));
}

/// Rule W8: a key is hardware when a trusted maker says so and it stays in one device.
#[test]
fn only_attested_keys_of_a_listed_model_that_are_not_synced_are_hardware() {
    let model = Uuid::from_u128(7);
    let listed = Hardware { required: 1, models: Some(BTreeSet::from([model])) };
    let key = Authenticator { aaguid: model, synced: false, attested: true };
    assert!(listed.accepts(&key));
    assert!(!listed.accepts(&Authenticator { synced: true, ..key }));
    assert!(!listed.accepts(&Authenticator { attested: false, ..key }));
    assert!(!listed.accepts(&Authenticator { aaguid: Uuid::nil(), ..key }));
    let any = Hardware { required: 1, models: None };
    assert!(any.accepts(&Authenticator { aaguid: Uuid::nil(), ..key }));

    let of = |hardware| parse(PolicyDraft { hardware, ..draft(2, &[]) }).unwrap();
    let (listed, any, none) = (of(Some(listed)), of(Some(any)), of(None));
    assert!(listed.is_within(&any) && any.is_within(&none));
    assert!(!any.is_within(&listed) && !none.is_within(&any));
}

#[test]
fn the_sentence_says_everything_that_the_policy_asks_for() {
    let policy = parse(PolicyDraft {
        groups: vec![group("core", 2, 0b00111), group("security", 1, 0b11000)],
        hardware: Some(Hardware { required: 1, models: None }),
        cooling_off: SignedDuration::from_mins(30),
        authors_count: false,
        note_on_findings: true,
        more_on_findings: 1,
        embargo: Some(Embargo {
            required: 2,
            people: people(0b11000),
            skips_cooling_off: true,
            skips_schedule: false,
        }),
        ..PolicyDraft::of("Production", 3, people(EVERYBODY))
    });
    assert_eq!(
        policy.unwrap().sentence(),
        "A release needs 3 of 5 people, among them 2 of core and 1 of security, one with a hardware \
         key, not counting whoever started the CI run or wrote part of the change, within 7 days, \
         and then waits 30 minutes; when something was found, one more person and a note from \
         each; under embargo 2 of 2 people, without the wait."
    );
}

/// A policy that was altered where it is kept is none.
#[test]
fn whatever_reads_a_policy_checks_it() {
    let policy = parse(draft(2, &[(1, 0b11)])).unwrap();
    let text = String::from_utf8(policy.to_bytes()).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    for (what, with) in [
        ("\"required\":2", "\"required\":0"),
        ("\"more_on_findings\":0", "\"more_on_findings\":9"),
        ("\"name\":\"Policy\"", "\"name\":\" Policy\""),
        ("\"embargo\":null", "\"embargo\":null,\"override\":true"),
    ] {
        assert!(text.contains(what));
        assert!(serde_json::from_str::<Policy>(&text.replace(what, with)).is_err(), "{with}");
    }
}
