//! Counting: distinct people against what a policy asks for, one objection against everything.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::ids::PersonId;
use crate::domain::policy::{Approvers, Missing, Policy};
use crate::domain::roster::Authenticator;
use crate::domain::statement::Terms;

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Publish exactly this.
    Approve,
    /// Do not publish this.
    Reject,
}

impl Verdict {
    /// The word in statements and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    /// Reads the word written by [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "approve" => Some(Self::Approve),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }
}

/// One person's verdict, already verified to be theirs and about this manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub person: PersonId,
    /// What.
    pub verdict: Verdict,
    /// When it was recorded.
    pub at: Timestamp,
    /// With what sort of key.
    pub key: Authenticator,
    /// What else they said.
    pub terms: Terms,
}

/// Proof that enough distinct, countable people approved and nobody objected. Only [`tally`] makes
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumMet {
    counted: BTreeSet<PersonId>,
    at: Timestamp,
    not_before: Timestamp,
    under_embargo: bool,
}

impl QuorumMet {
    /// The people whose approvals count.
    pub const fn counted(&self) -> &BTreeSet<PersonId> {
        &self.counted
    }

    /// When the last approval needed was recorded.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Nothing may be sent before this: the cooling-off, or a time that an approver set (A10).
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The embargo rule was used.
    pub const fn under_embargo(&self) -> bool {
        self.under_embargo
    }

    /// Both of two policies must hold (Q7), so the later time applies.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            at: self.at.max(other.at),
            not_before: self.not_before.max(other.not_before),
            under_embargo: self.under_embargo || other.under_embargo,
            ..self
        }
    }
}

/// Where the count stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tally {
    /// More people are needed.
    Pending {
        /// Whose approvals count so far.
        counted: BTreeSet<PersonId>,
        /// What is missing.
        missing: Missing,
    },
    /// Somebody objected, which ends it whatever the count is.
    Rejected {
        /// Who.
        by: PersonId,
    },
    /// Enough.
    Met(QuorumMet),
}

/// What a policy is held against.
#[derive(Debug, Clone, Copy)]
pub struct Electorate<'a> {
    /// The people whose approval counts: named, on the roster, not excluded.
    pub may_count: &'a BTreeSet<PersonId>,
    /// The people whose rejection counts; being excluded from approving (having started the run)
    /// does not take away the right to stop it.
    pub may_object: &'a BTreeSet<PersonId>,
    /// Something was found in the release.
    pub findings: bool,
    /// Whatever the policy asks for, no fewer people than this (A14).
    pub at_least: u32,
}

/// Counts votes under a policy. A person counts once, however many votes or keys they have (I3).
pub fn tally(policy: &Policy, among: Electorate<'_>, votes: &[Vote]) -> Tally {
    let objects = |v: &&Vote| v.verdict == Verdict::Reject && among.may_object.contains(&v.person);
    if let Some(vote) = votes.iter().find(objects) {
        return Tally::Rejected { by: vote.person };
    }
    let mut approvals: Vec<&Vote> =
        votes.iter().filter(|vote| counts(policy, among, vote)).collect();
    approvals.sort_by_key(|vote| vote.at);
    let scheduled = scheduled(votes);
    let ordinary = by_the_people(policy, &approvals, among, scheduled);
    let Some(under_embargo) = by_embargo(policy, &approvals, scheduled) else { return ordinary };
    match ordinary {
        // Whichever rule lets it go first.
        Tally::Met(met) if met.not_before <= under_embargo.not_before => Tally::Met(met),
        _ => Tally::Met(under_embargo),
    }
}

/// Whether an approval is one that the policy counts.
fn counts(policy: &Policy, among: Electorate<'_>, vote: &Vote) -> bool {
    let noted = vote.terms.reason.is_some() || !(policy.note_on_findings() && among.findings);
    let no_author = vote.terms.no_author || policy.authors_count();
    let approves = vote.verdict == Verdict::Approve && among.may_count.contains(&vote.person);
    approves && noted && no_author
}

fn by_the_people(
    policy: &Policy,
    approvals: &[&Vote],
    among: Electorate<'_>,
    scheduled: Option<Timestamp>,
) -> Tally {
    let lacks = |approvers: &Approvers| {
        let people = u32::try_from(approvers.people.len()).unwrap_or(u32::MAX);
        policy.lacks(approvers, among.findings).max(among.at_least.saturating_sub(people))
    };
    let mut approvers = Approvers::default();
    for vote in approvals.iter().filter(|vote| policy.members().contains(&vote.person)) {
        approvers.people.insert(vote.person);
        if policy.is_hardware(&vote.key) {
            approvers.with_hardware.insert(vote.person);
        }
        if lacks(&approvers) == 0 {
            let at = vote.at;
            let not_before = (at + policy.cooling_off()).max(scheduled.unwrap_or(at));
            let counted = people(policy.members(), approvals);
            return Tally::Met(QuorumMet { counted, at, not_before, under_embargo: false });
        }
    }
    let missing = policy.missing(&approvers, among.findings);
    let missing = Missing { people: lacks(&approvers), ..missing };
    Tally::Pending { counted: approvers.people, missing }
}

/// The embargo rule counts approvals that say that they are given under it (Q22).
fn by_embargo(
    policy: &Policy,
    approvals: &[&Vote],
    scheduled: Option<Timestamp>,
) -> Option<QuorumMet> {
    let rule = policy.embargo()?;
    let under: Vec<&Vote> = approvals.iter().copied().filter(|vote| vote.terms.embargo).collect();
    let mut so_far = BTreeSet::new();
    let at = under.iter().find_map(|vote| {
        so_far.insert(vote.person);
        (policy.embargo_lacks(&so_far) == Some(0)).then_some(vote.at)
    })?;
    let cooled = if rule.skips_cooling_off { at } else { at + policy.cooling_off() };
    let scheduled = scheduled.filter(|_| !rule.skips_schedule);
    let not_before = cooled.max(scheduled.unwrap_or(cooled));
    Some(QuorumMet { counted: people(&rule.people, &under), at, not_before, under_embargo: true })
}

fn people(among: &BTreeSet<PersonId>, approvals: &[&Vote]) -> BTreeSet<PersonId> {
    approvals.iter().map(|vote| vote.person).filter(|person| among.contains(person)).collect()
}

/// The latest time that somebody who approved set. Whether their approval is one that the policy
/// counts makes no difference: a time can only keep bytes back, like a hold.
fn scheduled(votes: &[Vote]) -> Option<Timestamp> {
    let approvals = votes.iter().filter(|vote| vote.verdict == Verdict::Approve);
    approvals.filter_map(|vote| vote.terms.not_before).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::PolicyDraft;
    use uuid::Uuid;

    fn person(n: usize) -> PersonId {
        PersonId::from_uuid(Uuid::from_u128(n as u128 + 1))
    }

    fn subset(mask: usize, n: usize) -> BTreeSet<PersonId> {
        (0..n).filter(|i| mask & (1 << i) != 0).map(person).collect()
    }

    fn vote(n: usize, verdict: Verdict) -> Vote {
        Vote {
            person: person(n),
            verdict,
            at: Timestamp::UNIX_EPOCH,
            key: Authenticator::default(),
            terms: Terms::default(),
        }
    }

    fn policy(required: u32, members: BTreeSet<PersonId>) -> Policy {
        let id = crate::domain::ids::PolicyId::from_uuid(Uuid::from_u128(9));
        Policy::parse(id, 1, PolicyDraft::of("Policy", required, members)).unwrap()
    }

    /// Every policy size, exclusion set and combination of votes up to five people (A2, A5, W15).
    ///
    /// The reference counts by brute force over people; each person votes nothing, approve,
    /// approve twice (two keys) or reject.
    #[test]
    fn tally_agrees_with_brute_force_for_up_to_five_people() {
        for n in 1..=5_usize {
            for required in 1..=n {
                for countable in 0..(1 << n) {
                    for combination in 0..4_usize.pow(u32::try_from(n).unwrap()) {
                        check(n, required, countable, combination);
                    }
                }
            }
        }
    }

    fn check(n: usize, required: usize, countable: usize, combination: usize) {
        let mut votes = Vec::new();
        let (mut approvals, mut rejected) = (0, false);
        let mut rest = combination;
        for i in 0..n {
            match rest % 4 {
                1 => votes.push(vote(i, Verdict::Approve)),
                2 => votes.extend([vote(i, Verdict::Approve), vote(i, Verdict::Approve)]),
                3 => votes.push(vote(i, Verdict::Reject)),
                _ => {}
            }
            if matches!(rest % 4, 1 | 2) && countable & (1 << i) != 0 {
                approvals += 1;
            }
            rejected |= rest % 4 == 3;
            rest /= 4;
        }
        let everybody = subset((1 << n) - 1, n);
        let required = u32::try_from(required).unwrap();
        let among = Electorate {
            may_count: &subset(countable, n),
            may_object: &everybody,
            findings: false,
            at_least: 1,
        };
        match tally(&policy(required, everybody.clone()), among, &votes) {
            Tally::Rejected { .. } => assert!(rejected),
            Tally::Met(met) => {
                assert!(!rejected && approvals >= required);
                assert_eq!(met.counted().len(), approvals as usize);
            }
            Tally::Pending { counted, missing } => {
                assert!(!rejected && approvals < required);
                let people = required - approvals;
                assert_eq!(counted.len(), approvals as usize);
                assert_eq!(missing, Missing { people, ..Missing::default() });
            }
        }
    }

    #[test]
    fn an_objection_by_somebody_without_a_say_does_not_stop_a_release() {
        let votes = [vote(0, Verdict::Approve), vote(1, Verdict::Reject)];
        let alone = subset(1, 2);
        let among =
            Electorate { may_count: &alone, may_object: &alone, findings: false, at_least: 1 };
        assert!(matches!(tally(&policy(1, alone.clone()), among, &votes), Tally::Met(_)));
    }
}
