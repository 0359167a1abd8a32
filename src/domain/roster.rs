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

    /// True when this role may do nothing that `other` may not.
    pub const fn is_within(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Viewer, _)
                | (Self::Maintainer, Self::Maintainer | Self::Owner)
                | (Self::Owner, Self::Owner)
        )
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

impl RosterKey {
    /// What people compare by phone, as check words, before they vouch for a key (W12).
    pub fn fingerprint(&self) -> Sha256 {
        fingerprint(&self.public_key)
    }
}

/// What people compare of a public key.
pub fn fingerprint(key: &CoseKey) -> Sha256 {
    Sha256::of(key.as_bytes())
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

/// From when a key counts whose proposal waits; whole seconds, so that databases keep it exactly.
pub const NEVER: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// One revision of the roster. Only people who have not left are in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Those of `members` who may sign and hold a key, be it on probation: they may object (W13).
    pub fn holding_keys(&self, members: &BTreeSet<PersonId>) -> BTreeSet<PersonId> {
        self.able_to_sign(members, Timestamp::MAX)
    }

    /// The person a CI identity is linked to, if it is one's.
    pub fn owner_of(&self, identity: &CiIdentity) -> Option<PersonId> {
        match self.whose(identity) {
            ActorIs::Person(person) => Some(person),
            ActorIs::Bot | ActorIs::Unknown => None,
        }
    }
}

/// A change of the roster that does not fit the people on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterRefusal {
    /// Nobody of this id is on the roster.
    #[error("expected somebody on the roster, received `{0}`")]
    NobodyThere(PersonId),
    /// The person is on the roster already.
    #[error("expected somebody who is not on the roster yet, received `{0}`")]
    AlreadyThere(PersonId),
    /// The key is somebody's already; no credential serves two accounts (Q21).
    #[error("this passkey is on the roster already")]
    KeyTaken,
    /// No such key, or not this person's.
    #[error("this passkey is not on the roster")]
    NoSuchKey,
    /// It is settled already whose the CI identity is.
    #[error("it is settled already whose this CI identity is")]
    IdentityTaken,
    /// It is not settled whose the CI identity is.
    #[error("it is not settled whose this CI identity is")]
    NoSuchIdentity,
    /// Without an owner nothing could be proposed any more.
    #[error("expected at least one owner to stay")]
    NoOwner,
}

/// Single changes. The caller counts the revision up.
impl Roster {
    /// Adds somebody without keys.
    pub fn add_person(&mut self, id: PersonId, role: Role) -> Result<(), RosterRefusal> {
        match self.people.binary_search_by_key(&id, |person| person.id) {
            Ok(_) => Err(RosterRefusal::AlreadyThere(id)),
            Err(place) => {
                let person = RosterPerson { id, role, keys: Vec::new(), ci_identities: Vec::new() };
                self.people.insert(place, person);
                Ok(())
            }
        }
    }

    /// Gives somebody another role.
    pub fn change_role(&mut self, id: PersonId, role: Role) -> Result<(), RosterRefusal> {
        self.person_mut(id)?.role = role;
        self.keep_an_owner()
    }

    /// Removes somebody with their keys and CI identities.
    pub fn remove_person(&mut self, id: PersonId) -> Result<(), RosterRefusal> {
        self.person_mut(id)?;
        self.people.retain(|person| person.id != id);
        self.keep_an_owner()
    }

    /// Adds a key.
    pub fn add_key(&mut self, id: PersonId, key: RosterKey) -> Result<(), RosterRefusal> {
        if self.key(&key.credential_id).is_some() {
            return Err(RosterRefusal::KeyTaken);
        }
        self.person_mut(id)?.keys.push(key);
        Ok(())
    }

    /// Takes a key away, which has to be `of` that person if one is named.
    pub fn revoke_key(
        &mut self,
        of: Option<PersonId>,
        credential_id: &CredentialId,
    ) -> Result<(), RosterRefusal> {
        let (owner, _) = self.key(credential_id).ok_or(RosterRefusal::NoSuchKey)?;
        let owner = owner.id;
        if of.is_some_and(|of| of != owner) {
            return Err(RosterRefusal::NoSuchKey);
        }
        self.person_mut(owner)?.keys.retain(|key| key.credential_id != *credential_id);
        Ok(())
    }

    /// Settles whose a CI identity is; `None` is a bot.
    pub fn link_identity(
        &mut self,
        identity: CiIdentity,
        person: Option<PersonId>,
    ) -> Result<(), RosterRefusal> {
        if self.whose(&identity) != ActorIs::Unknown {
            return Err(RosterRefusal::IdentityTaken);
        }
        let identities = match person {
            Some(person) => &mut self.person_mut(person)?.ci_identities,
            None => &mut self.bots,
        };
        identities.push(identity);
        identities.sort();
        Ok(())
    }

    /// Forgets whose a CI identity is.
    pub fn unlink_identity(&mut self, identity: &CiIdentity) -> Result<(), RosterRefusal> {
        if self.whose(identity) == ActorIs::Unknown {
            return Err(RosterRefusal::NoSuchIdentity);
        }
        self.bots.retain(|bot| bot != identity);
        for person in &mut self.people {
            person.ci_identities.retain(|own| own != identity);
        }
        Ok(())
    }

    fn person_mut(&mut self, id: PersonId) -> Result<&mut RosterPerson, RosterRefusal> {
        self.people.iter_mut().find(|person| person.id == id).ok_or(RosterRefusal::NobodyThere(id))
    }

    fn keep_an_owner(&self) -> Result<(), RosterRefusal> {
        let owner = |person: &RosterPerson| person.role == Role::Owner && !person.keys.is_empty();
        if self.people.iter().any(owner) { Ok(()) } else { Err(RosterRefusal::NoOwner) }
    }
}
