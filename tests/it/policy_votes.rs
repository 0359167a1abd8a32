//! What a policy asks for, as the publish decision replays it from the log.

use countersign::domain::authorise::NotAuthorised;
use countersign::domain::ids::PersonId;
use countersign::domain::policy::{Embargo, Group, Hardware, PolicyDraft};
use countersign::domain::quorum::Verdict::Approve;
use countersign::domain::roster::Authenticator;
use countersign::domain::statement::{Statement, Terms};
use jiff::{SignedDuration, Timestamp};

use crate::support::history::{Decided, History, bot, by, ci, pending};

const HALF_AN_HOUR: SignedDuration = SignedDuration::from_mins(30);

/// A log whose next release is under a policy of two of the three, changed.
fn under(change: impl FnOnce(&mut PolicyDraft, [PersonId; 3])) -> (History, [PersonId; 3]) {
    let (mut log, people) = History::begin(2);
    log.revise_policy(|policy| change(policy, people));
    (log, people)
}

/// Somebody approves with these terms.
fn approve_with(log: &mut History, person: PersonId, terms: Terms) {
    let mut signing = log.signing(person, Approve);
    signing.statement = Statement {
        looked_at: terms.looked_at,
        overrides: terms.overrides,
        reason: terms.reason,
        no_author: terms.no_author,
        not_before: terms.not_before,
        embargo: terms.embargo,
        ..signing.statement
    };
    log.decide(&signing);
}

fn too_early(at: Timestamp) -> Decided {
    Err(NotAuthorised::TooEarly(at))
}

fn noted() -> Terms {
    Terms::from(Some("it is fine".to_owned()))
}

/// One of each of two groups; the second person is in both.
fn core_and_security(policy: &mut PolicyDraft, [ines, mara, jun]: [PersonId; 3]) {
    let group = |name: &str, people: [PersonId; 2]| Group {
        name: name.to_owned(),
        required: 1,
        people: people.into(),
    };
    policy.groups = vec![group("core", [ines, mara]), group("security", [mara, jun])];
}

/// Invariant I3: somebody in two groups fills a place in one of them.
#[test]
fn groups_need_different_people() {
    let (mut log, [ines, mara, jun]) = under(core_and_security);
    log.seal(bot());
    log.approve(mara);
    assert_eq!(log.verdict(), pending(1), "mara is in both groups");
    let mut other = log.clone();
    other.approve(ines);
    assert_eq!(other.verdict(), by([ines, mara]));
    log.approve(jun);
    assert_eq!(log.verdict(), by([mara, jun]));
}

/// What is missing is said as it is: not anybody's approval will do.
#[test]
fn what_is_missing_names_groups_and_hardware_keys() {
    let said = |log: &History| log.standing().missing().map(ToString::to_string);
    let (mut log, [ines, mara, jun]) = under(core_and_security);
    log.seal(bot());
    let from = "2 more approvals, 1 from core and 1 from security";
    assert_eq!(said(&log).as_deref(), Some(from));
    let mut both = log.clone();
    both.approve(ines);
    assert_eq!(said(&both).as_deref(), Some("1 more approval, from security"));
    both.approve(jun);
    assert_eq!(said(&both), None);
    // Mara is in both groups: whoever comes next fills the other place.
    log.approve(mara);
    assert_eq!(said(&log).as_deref(), Some("1 more approval, from core or security"));

    let (mut log, people) = under(|policy, _| {
        policy.hardware = Some(Hardware { required: 1, models: None });
        policy.required = 2;
    });
    log.seal(bot());
    assert_eq!(said(&log).as_deref(), Some("2 more approvals, 1 with a hardware key"));
    log.approve(people[0]);
    assert_eq!(said(&log).as_deref(), Some("1 more approval, with a hardware key"));
    log.approve(people[1]);
    assert_eq!(said(&log).as_deref(), Some("1 more approval, with a hardware key"));
}

/// Rule A10: one objection while it cools off stops it.
#[test]
fn a_release_cools_off_from_the_last_approval_that_it_needed() {
    let (mut log, [ines, mara, jun]) = under(|policy, _| policy.cooling_off = HALF_AN_HOUR);
    log.seal(bot());
    log.approve(ines);
    log.wait(SignedDuration::from_mins(20));
    let last = log.now;
    log.approve(mara);
    assert_eq!(log.verdict(), too_early(last + HALF_AN_HOUR));
    log.approve(jun);
    assert_eq!(log.verdict(), too_early(last + HALF_AN_HOUR), "one more changes nothing");
    let mut objected = log.clone();
    objected.object(jun);
    objected.wait(HALF_AN_HOUR);
    assert_eq!(objected.verdict(), Err(NotAuthorised::Rejected(jun)));
    log.now = last + HALF_AN_HOUR - SignedDuration::from_secs(1);
    assert!(log.verdict().is_err());
    log.wait(SignedDuration::from_secs(1));
    assert_eq!(log.verdict(), by([ines, mara, jun]));
}

/// Rules A3 and A4, ruling Q7: a cooling-off introduced later holds, one taken away too, and one
/// whose approval was taken away begins again with the next.
#[test]
fn the_longer_cooling_off_of_both_policies_holds() {
    let (mut log, [ines, mara, jun]) = History::sealed();
    log.approve(ines);
    let last = log.now;
    log.approve(mara);
    assert_eq!(log.verdict(), by([ines, mara]));
    log.revise_policy(|policy| policy.cooling_off = HALF_AN_HOUR);
    assert_eq!(log.verdict(), too_early(last + HALF_AN_HOUR));
    log.leave(mara);
    assert_eq!(log.verdict(), pending(1));
    log.wait(HALF_AN_HOUR);
    let last = log.now;
    log.approve(jun);
    assert_eq!(log.verdict(), too_early(last + HALF_AN_HOUR));

    let (mut log, [ines, mara, _]) = under(|policy, _| policy.cooling_off = HALF_AN_HOUR);
    log.seal(bot());
    log.revise_policy(|policy| policy.cooling_off = SignedDuration::ZERO);
    log.approve(ines);
    let last = log.now;
    log.approve(mara);
    assert_eq!(log.verdict(), too_early(last + HALF_AN_HOUR));
}

/// Rule A14: the findings that count are those that were sealed.
#[test]
fn a_release_with_findings_needs_notes_and_more_people() {
    let (log, [ines, mara, jun]) = under(|policy, _| {
        policy.note_on_findings = true;
        policy.more_on_findings = 1;
    });
    let mut plain = log.clone();
    plain.seal(bot());
    plain.approve(ines);
    plain.approve(mara);
    assert_eq!(plain.verdict(), by([ines, mara]));

    let mut found = log;
    found.findings = vec!["unprotected_ref:refs/heads/main".to_owned()];
    found.seal(bot());
    approve_with(&mut found, ines, noted());
    approve_with(&mut found, mara, noted());
    assert_eq!(found.verdict(), pending(1));
    let mut silent = found.clone();
    silent.approve(jun);
    assert_eq!(silent.verdict(), pending(1), "without a note");
    approve_with(&mut found, jun, noted());
    assert_eq!(found.verdict(), by([ines, mara, jun]));
}

/// Rule A5: who did not say that they are no author does not count.
#[test]
fn authors_do_not_count_where_the_policy_says_so() {
    let (mut log, [ines, mara, jun]) = under(|policy, _| policy.authors_count = false);
    log.seal(bot());
    let declared = || Terms { no_author: true, ..Terms::default() };
    approve_with(&mut log, ines, declared());
    log.approve(mara);
    assert_eq!(log.verdict(), pending(1));
    approve_with(&mut log, jun, declared());
    assert_eq!(log.verdict(), by([ines, jun]));
}

/// Rule W8.
#[test]
fn a_policy_that_asks_for_hardware_counts_it_by_the_key_that_signed() {
    let (mut log, [ines, mara, jun]) = under(|policy, _| {
        policy.hardware = Some(Hardware { required: 1, models: None });
    });
    let mut key = log.new_key(log.now);
    key.authenticator = Authenticator { attested: true, ..Authenticator::default() };
    let security_key = key.credential_id.clone();
    log.change(jun, |person| person.keys.push(key));
    log.seal(bot());
    log.approve(ines);
    log.approve(mara);
    assert_eq!(log.verdict(), pending(1), "two people, no hardware");
    let mut soft = log.clone();
    soft.approve(jun);
    assert_eq!(soft.verdict(), pending(1), "their other key");
    let mut signing = log.signing(jun, Approve);
    signing.key = security_key;
    log.decide(&signing);
    assert_eq!(log.verdict(), by([ines, mara, jun]));
}

/// A time that an approver set is part of what they signed.
#[test]
fn nothing_is_sent_before_the_latest_time_that_an_approver_set() {
    let (mut log, [ines, mara, _]) = History::sealed();
    let later = log.now + SignedDuration::from_hours(5);
    let sooner = log.now + SignedDuration::from_hours(2);
    approve_with(&mut log, ines, Terms { not_before: Some(later), ..Terms::default() });
    approve_with(&mut log, mara, Terms { not_before: Some(sooner), ..Terms::default() });
    assert_eq!(log.verdict(), too_early(later));
    let mut edited = log.clone();
    edited.forge(|entries| {
        let text = serde_json::to_string(entries.last().unwrap()).unwrap();
        let earlier = text.replace(&sooner.to_string(), "2020-01-01T00:00:00Z");
        *entries.last_mut().unwrap() = serde_json::from_str(&earlier).unwrap();
    });
    assert_eq!(edited.verdict(), pending(1), "the signature is about another time");
    log.now = later;
    assert_eq!(log.verdict(), by([ines, mara]));
}

/// Ruling Q22.
#[test]
fn an_embargo_rule_takes_its_own_people_who_say_so() {
    let rule = |policy: &mut PolicyDraft, people: &[PersonId]| {
        policy.required = 3;
        policy.cooling_off = HALF_AN_HOUR;
        policy.embargo = Some(Embargo {
            required: 2,
            people: people.iter().copied().collect(),
            skips_cooling_off: true,
            skips_schedule: false,
        });
    };
    let (mut log, [ines, mara, jun]) = under(|policy, [ines, mara, _]| rule(policy, &[ines, mara]));
    let under_embargo = || Terms { embargo: true, ..Terms::default() };
    log.seal(ci("1"));
    assert!(matches!(log.verdict(), Err(NotAuthorised::ActorUnknown { .. })));
    log.seal(bot());
    approve_with(&mut log, ines, under_embargo());
    assert_eq!(log.verdict(), pending(2));
    let mut plain = log.clone();
    plain.approve(mara);
    assert_eq!(plain.verdict(), pending(1), "said nothing about an embargo");
    let mut stranger = log.clone();
    approve_with(&mut stranger, jun, under_embargo());
    assert_eq!(stranger.verdict(), pending(1), "the rule does not name jun");
    approve_with(&mut log, mara, under_embargo());
    assert_eq!(log.verdict(), by([ines, mara]));
    assert!(log.authorise(log.release()).unwrap().quorum().under_embargo());

    // What is not skipped holds, and an objection too.
    let (mut log, [ines, mara, jun]) = under(|policy, [ines, mara, _]| rule(policy, &[ines, mara]));
    log.seal(bot());
    let later = log.now + SignedDuration::from_hours(5);
    approve_with(&mut log, ines, Terms { not_before: Some(later), ..under_embargo() });
    approve_with(&mut log, mara, under_embargo());
    assert_eq!(log.verdict(), too_early(later));
    log.object(jun);
    log.now = later;
    assert_eq!(log.verdict(), Err(NotAuthorised::Rejected(jun)));
}

/// Ruling Q22, rule A10: an embargo rule that does not say that it skips the wait waits.
#[test]
fn an_embargo_rule_waits_unless_it_skips_the_wait() {
    let (mut log, [ines, mara, _]) = under(|policy, [ines, mara, _]| {
        policy.required = 3;
        policy.cooling_off = HALF_AN_HOUR;
        policy.embargo = Some(Embargo {
            required: 2,
            people: [ines, mara].into(),
            skips_cooling_off: false,
            skips_schedule: true,
        });
    });
    log.seal(bot());
    let under_embargo = || Terms { embargo: true, ..Terms::default() };
    let later = log.now + SignedDuration::from_hours(5);
    approve_with(&mut log, ines, Terms { not_before: Some(later), ..under_embargo() });
    let last = log.now;
    approve_with(&mut log, mara, under_embargo());
    assert_eq!(log.verdict(), too_early(last + HALF_AN_HOUR));
    log.now = last + HALF_AN_HOUR;
    assert_eq!(log.verdict(), by([ines, mara]));
}
