//! Policies: how many of whom must approve a release, and for how long they may.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::ids::{PersonId, PolicyId};
use crate::domain::package::excerpt;

/// Shortest life of a sealed release. Below an hour nobody could read it and sign.
pub const EXPIRY_MIN: SignedDuration = SignedDuration::from_hours(1);
/// Longest life of a sealed release: PyPI takes no new files for releases older than 14 days (A8).
pub const EXPIRY_MAX: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Life of a sealed release unless the policy says otherwise (A8).
pub const EXPIRY_DEFAULT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most people one policy may name; a page and a statement must stay readable.
pub const MEMBERS_MAX: usize = 100;
/// Longest policy name in characters.
pub const NAME_MAX: usize = 60;

/// A policy as somebody typed it.
#[derive(Debug, Clone)]
pub struct PolicyDraft {
    /// For people.
    pub name: String,
    /// How many people must approve.
    pub required: u32,
    /// Who may.
    pub members: BTreeSet<PersonId>,
    /// Life of a sealed release.
    pub expiry: SignedDuration,
    /// Whether the person who started the CI run counts (D4: by default not).
    pub triggering_actor_counts: bool,
}

/// Why a draft is not a policy.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum PolicyRefusal {
    /// The caller left the name out or wrote an essay.
    #[error("expected a name of 1 to {NAME_MAX} characters, received `{0}`")]
    Name(String),
    /// A release nobody needs to approve is no gate.
    #[error("expected at least 1 required approval, received `0`")]
    NobodyRequired,
    /// Nobody could ever satisfy it (Q8).
    #[error(
        "expected at most {able} required approvals, as many as the people it names who could count, received `{required}`"
    )]
    Unsatisfiable {
        /// What was asked for.
        required: u32,
        /// The most that can be reached.
        able: usize,
    },
    /// More people than fit on a page.
    #[error("expected at most {MEMBERS_MAX} people, received `{0}`")]
    TooManyPeople(usize),
    /// Too short to sign in, or longer than registries allow.
    #[error("expected an expiry of 1 to 336 hours, received `{0}`")]
    Expiry(i64),
}

/// One revision of an approval rule. Fields are private: a value of this type can be satisfied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    id: PolicyId,
    revision: u32,
    name: String,
    required: u32,
    members: BTreeSet<PersonId>,
    expiry_secs: i64,
    triggering_actor_counts: bool,
}

impl Policy {
    /// Parses a draft. k is at least one and never above the number of people it names (Q8).
    pub fn parse(id: PolicyId, revision: u32, draft: PolicyDraft) -> Result<Self, PolicyRefusal> {
        let name = draft.name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control)
        {
            return Err(PolicyRefusal::Name(excerpt(&draft.name)));
        }
        if draft.required == 0 {
            return Err(PolicyRefusal::NobodyRequired);
        }
        if draft.members.len() > MEMBERS_MAX {
            return Err(PolicyRefusal::TooManyPeople(draft.members.len()));
        }
        if usize::try_from(draft.required).unwrap_or(usize::MAX) > draft.members.len() {
            return Err(PolicyRefusal::Unsatisfiable {
                required: draft.required,
                able: draft.members.len(),
            });
        }
        if draft.expiry < EXPIRY_MIN || draft.expiry > EXPIRY_MAX {
            return Err(PolicyRefusal::Expiry(draft.expiry.as_hours()));
        }
        Ok(Self {
            id,
            revision,
            name: name.to_owned(),
            required: draft.required,
            members: draft.members,
            expiry_secs: draft.expiry.as_secs(),
            triggering_actor_counts: draft.triggering_actor_counts,
        })
    }

    /// Reads canonical bytes back; `None` when they are not a policy.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let raw: Self = serde_json::from_slice(bytes).ok()?;
        let draft = PolicyDraft {
            name: raw.name,
            required: raw.required,
            members: raw.members,
            expiry: SignedDuration::from_secs(raw.expiry_secs),
            triggering_actor_counts: raw.triggering_actor_counts,
        };
        Self::parse(raw.id, raw.revision, draft).ok()
    }

    /// The canonical bytes: what the log holds and what [`Self::digest`] hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.to_bytes())
    }

    /// Names the policy across its revisions.
    pub const fn id(&self) -> PolicyId {
        self.id
    }

    /// Counts up by one with every change.
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// For people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many people must approve; at least one.
    pub const fn required(&self) -> u32 {
        self.required
    }

    /// Who may.
    pub const fn members(&self) -> &BTreeSet<PersonId> {
        &self.members
    }

    /// Life of a sealed release.
    pub const fn expiry(&self) -> SignedDuration {
        SignedDuration::from_secs(self.expiry_secs)
    }

    /// Whether the person who started the CI run counts.
    pub const fn triggering_actor_counts(&self) -> bool {
        self.triggering_actor_counts
    }

    /// True when nobody can release under this policy who could not under `other`: as many or
    /// more of the same or fewer people, no later, and no more of them counting.
    pub fn is_within(&self, other: &Self) -> bool {
        self.required >= other.required
            && self.members.is_subset(&other.members)
            && self.expiry_secs <= other.expiry_secs
            && (other.triggering_actor_counts || !self.triggering_actor_counts)
    }

    /// The rule in one English sentence.
    pub fn sentence(&self) -> String {
        let actor = if self.triggering_actor_counts {
            ", the person who started the CI run included"
        } else {
            ", not counting the person who started the CI run"
        };
        let who = match self.members.len() {
            1 => "the one person named".to_owned(),
            people => format!("{} of {people} people", self.required),
        };
        let within = match self.expiry().as_hours() {
            24 => "1 day".to_owned(),
            hours if hours % 24 == 0 => format!("{} days", hours / 24),
            1 => "1 hour".to_owned(),
            hours => format!("{hours} hours"),
        };
        format!("A release needs {who}{actor}, within {within}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn draft(required: u32, members: u128) -> PolicyDraft {
        PolicyDraft {
            name: "Two people".to_owned(),
            required,
            members: (1..=members).map(|n| PersonId::from_uuid(Uuid::from_u128(n))).collect(),
            expiry: EXPIRY_DEFAULT,
            triggering_actor_counts: false,
        }
    }

    fn parse(draft: PolicyDraft) -> Result<Policy, PolicyRefusal> {
        Policy::parse(PolicyId::from_uuid(Uuid::from_u128(9)), 1, draft)
    }

    #[test]
    fn a_policy_nobody_can_satisfy_does_not_parse() {
        assert_eq!(parse(draft(0, 2)), Err(PolicyRefusal::NobodyRequired));
        assert_eq!(parse(draft(3, 2)), Err(PolicyRefusal::Unsatisfiable { required: 3, able: 2 }));
        assert!(parse(draft(2, 2)).is_ok());
    }

    #[test]
    fn expiry_and_name_are_bounded() {
        let mut short = draft(1, 1);
        short.expiry = SignedDuration::from_mins(59);
        assert!(matches!(parse(short), Err(PolicyRefusal::Expiry(0))));
        let mut long = draft(1, 1);
        long.expiry = EXPIRY_MAX;
        assert!(parse(long.clone()).is_ok());
        long.expiry += SignedDuration::from_secs(1);
        assert!(matches!(parse(long), Err(PolicyRefusal::Expiry(336))));
        let mut unnamed = draft(1, 1);
        unnamed.name = "  ".to_owned();
        assert!(matches!(parse(unnamed), Err(PolicyRefusal::Name(_))));
    }

    #[test]
    fn the_sentence_is_one_a_person_would_say() {
        let sentence = |required, members, hours| {
            let expiry = SignedDuration::from_hours(hours);
            parse(PolicyDraft { expiry, ..draft(required, members) }).unwrap().sentence()
        };
        let actor = "not counting the person who started the CI run";
        let expected = format!("A release needs 2 of 3 people, {actor}, within 7 days.");
        assert_eq!(sentence(2, 3, 168), expected);
        let expected = format!("A release needs the one person named, {actor}, within 36 hours.");
        assert_eq!(sentence(1, 1, 36), expected);
    }

    #[test]
    fn canonical_bytes_round_trip_and_cannot_smuggle_a_bad_rule() {
        let policy = parse(draft(2, 3)).unwrap();
        assert_eq!(Policy::from_bytes(&policy.to_bytes()), Some(policy.clone()));
        let text = String::from_utf8(policy.to_bytes()).unwrap();
        let loosened = text.replace("\"required\":2", "\"required\":0");
        assert_eq!(Policy::from_bytes(loosened.as_bytes()), None);
    }
}
