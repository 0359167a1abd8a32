//! Counting: distinct people against a threshold, one objection against everything.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::PersonId;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub person: PersonId,
    /// What.
    pub verdict: Verdict,
}

/// Proof that enough distinct, countable people approved and nobody objected. Only [`tally`] makes
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumMet {
    counted: BTreeSet<PersonId>,
}

impl QuorumMet {
    /// The people whose approvals count.
    pub const fn counted(&self) -> &BTreeSet<PersonId> {
        &self.counted
    }
}

/// Where the count stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tally {
    /// More people are needed.
    Pending {
        /// Whose approvals count so far.
        counted: BTreeSet<PersonId>,
        /// How many more are needed.
        missing: u32,
    },
    /// Somebody objected, which ends it whatever the count is.
    Rejected {
        /// Who.
        by: PersonId,
    },
    /// Enough.
    Met(QuorumMet),
}

/// Counts votes.
///
/// `may_count` are the people whose approval counts: on the policy, on the roster, not excluded.
/// `may_object` are the people whose rejection counts; being excluded from approving (having
/// started the run) does not take away the right to stop it. A person counts once, however many
/// votes or keys they have (I3).
pub fn tally(
    required: u32,
    may_count: &BTreeSet<PersonId>,
    may_object: &BTreeSet<PersonId>,
    votes: &[Vote],
) -> Tally {
    let objection =
        votes.iter().find(|v| v.verdict == Verdict::Reject && may_object.contains(&v.person));
    if let Some(vote) = objection {
        return Tally::Rejected { by: vote.person };
    }
    let counted: BTreeSet<PersonId> = votes
        .iter()
        .filter(|v| v.verdict == Verdict::Approve && may_count.contains(&v.person))
        .map(|v| v.person)
        .collect();
    let have = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    // A threshold of zero would be met by nobody at all; `Policy` cannot hold it, and neither may
    // a caller reach it here.
    if required > 0 && have >= required {
        Tally::Met(QuorumMet { counted })
    } else {
        Tally::Pending { counted, missing: required.max(1) - have.min(required.max(1) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn person(n: usize) -> PersonId {
        PersonId::from_uuid(Uuid::from_u128(n as u128 + 1))
    }

    fn subset(mask: usize, n: usize) -> BTreeSet<PersonId> {
        (0..n).filter(|i| mask & (1 << i) != 0).map(person).collect()
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
            let person = person(i);
            match rest % 4 {
                1 => votes.push(Vote { person, verdict: Verdict::Approve }),
                2 => votes.extend([Vote { person, verdict: Verdict::Approve }; 2]),
                3 => votes.push(Vote { person, verdict: Verdict::Reject }),
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
        match tally(required, &subset(countable, n), &everybody, &votes) {
            Tally::Rejected { .. } => assert!(rejected),
            Tally::Met(met) => {
                assert!(!rejected && approvals >= required);
                assert_eq!(met.counted().len(), approvals as usize);
            }
            Tally::Pending { counted, missing } => {
                assert!(!rejected && approvals < required);
                assert_eq!((counted.len(), missing), (approvals as usize, required - approvals));
            }
        }
    }

    #[test]
    fn an_objection_by_somebody_without_a_say_does_not_stop_a_release() {
        let votes = [
            Vote { person: person(0), verdict: Verdict::Approve },
            Vote { person: person(1), verdict: Verdict::Reject },
        ];
        let alone = subset(1, 2);
        assert!(matches!(tally(1, &alone, &alone, &votes), Tally::Met(_)));
    }

    #[test]
    fn a_threshold_of_zero_is_never_met() {
        assert!(matches!(tally(0, &BTreeSet::new(), &BTreeSet::new(), &[]), Tally::Pending { .. }));
    }
}
