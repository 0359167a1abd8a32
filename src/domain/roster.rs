//! The roster: people, the keys they sign with, and the CI identities they answer for.
//!
//! A roster revision is a document in the log. It carries pseudonymous ids and public keys; names
//! live in the database.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::assertion::{CoseKey, CredentialId};
use crate::domain::digest::Sha256;
use crate::domain::ids::PersonId;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sets up registries, packages, publishers, policies and people; signs where a policy names them.
    Owner,
    /// Signs where a policy names them.
    Maintainer,
    /// Reads.
    Viewer,
}

impl Role {
    /// The word in the database and in set-up files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Maintainer => "maintainer",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the word written by [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Owner, Self::Maintainer, Self::Viewer].into_iter().find(|r| r.as_str() == text)
    }

    /// True when this role may sign at all.
    pub const fn may_sign(self) -> bool {
        matches!(self, Self::Owner | Self::Maintainer)
    }
}

/// Who a CI system says started a run: a numeric or otherwise immutable id within one issuer (Q16).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CiIdentity {
    /// The exact issuer URL.
    pub issuer: String,
    /// The actor's immutable id there.
    pub actor_id: String,
}

/// One public key of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterKey {
    /// The WebAuthn credential id.
    pub credential_id: CredentialId,
    /// The public key.
    pub public_key: CoseKey,
    /// The key's signatures count from here on.
    pub counts_from: Timestamp,
}

/// One person with everything needed to judge their signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterPerson {
    /// Stable, pseudonymous.
    pub id: PersonId,
    /// What they may do.
    pub role: Role,
    /// Keys that are not revoked, in order of enrolment.
    pub keys: Vec<RosterKey>,
    /// CI identities linked to this person, sorted.
    pub ci_identities: Vec<CiIdentity>,
}

/// Whom a CI identity belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorIs {
    /// A person on the roster, who by default may not approve what they started.
    Person(PersonId),
    /// Declared to be nobody's: a scheduler or a release bot.
    Bot,
    /// Not settled; nothing this actor started can be approved (Q16).
    Unknown,
}

/// One revision of the roster. Only people who have not left are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Counts up by one with every change.
    pub revision: u64,
    /// Sorted by id.
    pub people: Vec<RosterPerson>,
    /// Sorted.
    pub bots: Vec<CiIdentity>,
}

impl Roster {
    /// The canonical bytes: what the log holds and what [`Self::digest`] hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.to_bytes())
    }

    /// The person with this id.
    pub fn person(&self, id: PersonId) -> Option<&RosterPerson> {
        self.people.iter().find(|person| person.id == id)
    }

    /// The person and key behind a credential id.
    pub fn key(&self, credential_id: &CredentialId) -> Option<(&RosterPerson, &RosterKey)> {
        self.people.iter().find_map(|person| {
            let key = person.keys.iter().find(|key| key.credential_id == *credential_id)?;
            Some((person, key))
        })
    }

    /// Whom a CI identity belongs to.
    pub fn whose(&self, actor: &CiIdentity) -> ActorIs {
        let linked = |person: &&RosterPerson| person.ci_identities.contains(actor);
        match self.people.iter().find(linked) {
            Some(person) => ActorIs::Person(person.id),
            None if self.bots.contains(actor) => ActorIs::Bot,
            None => ActorIs::Unknown,
        }
    }

    /// Those of `members` who are on this roster, may sign, and hold a key that counts at `now`.
    pub fn able_to_sign(&self, members: &BTreeSet<PersonId>, now: Timestamp) -> BTreeSet<PersonId> {
        self.people
            .iter()
            .filter(|person| members.contains(&person.id) && person.role.may_sign())
            .filter(|person| person.keys.iter().any(|key| key.counts_from <= now))
            .map(|person| person.id)
            .collect()
    }
}
