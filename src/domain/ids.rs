//! Typed identifiers: one wrapper over UUIDv7, one marker type per thing it names.
//!
//! An identifier is never a secret; it may be printed, logged and put into URLs.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The identifier of a `K`. Two kinds of identifier never compare or convert into each other.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

/// Marker types for [`Id`].
pub mod kind {
    /// This installation of Countersign.
    #[derive(Debug)]
    pub enum Instance {}
    /// A person on the roster.
    #[derive(Debug)]
    pub enum Person {}
    /// A registered WebAuthn public key.
    #[derive(Debug)]
    pub enum Passkey {}
    /// A single-use invitation to enrol.
    #[derive(Debug)]
    pub enum Invitation {}
    /// One WebAuthn exchange, begin to finish.
    #[derive(Debug)]
    pub enum Ceremony {}
    /// A registry we forward to.
    #[derive(Debug)]
    pub enum Upstream {}
    /// A package that gets versions.
    #[derive(Debug)]
    pub enum Package {}
    /// An approval rule.
    #[derive(Debug)]
    pub enum Policy {}
    /// A CI workload trusted to stage.
    #[derive(Debug)]
    pub enum Publisher {}
    /// An OIDC issuer of CI tokens.
    #[derive(Debug)]
    pub enum Issuer {}
    /// A short upload session opened by a CI token.
    #[derive(Debug)]
    pub enum UploadSession {}
    /// A candidate: package, version and its artifacts.
    #[derive(Debug)]
    pub enum Release {}
    /// A secret address that shows one release for a while.
    #[derive(Debug)]
    pub enum Preview {}
    /// One file of a release.
    #[derive(Debug)]
    pub enum Artifact {}
    /// A recorded approval or rejection.
    #[derive(Debug)]
    pub enum Decision {}
    /// A requested change of people, rules or places.
    #[derive(Debug)]
    pub enum Proposal {}
    /// Somebody signed in at one browser.
    #[derive(Debug)]
    pub enum Session {}
    /// Something a leaver may still be able to do at a registry.
    #[derive(Debug)]
    pub enum Right {}
    /// A unit of background work.
    #[derive(Debug)]
    pub enum Job {}
    /// One try at sending one artifact upstream.
    #[derive(Debug)]
    pub enum Attempt {}
}

/// Names this installation.
pub type InstanceId = Id<kind::Instance>;
/// Names a person.
pub type PersonId = Id<kind::Person>;
/// Names a passkey row (not the WebAuthn credential id).
pub type PasskeyId = Id<kind::Passkey>;
/// Names an invitation.
pub type InvitationId = Id<kind::Invitation>;
/// Names a ceremony.
pub type CeremonyId = Id<kind::Ceremony>;
/// Names an upstream.
pub type UpstreamId = Id<kind::Upstream>;
/// Names a package.
pub type PackageId = Id<kind::Package>;
/// Names a policy, across its revisions.
pub type PolicyId = Id<kind::Policy>;
/// Names a trusted publisher.
pub type PublisherId = Id<kind::Publisher>;
/// Names an OIDC issuer.
pub type IssuerId = Id<kind::Issuer>;
/// Names an upload session.
pub type UploadSessionId = Id<kind::UploadSession>;
/// Names a release.
pub type ReleaseId = Id<kind::Release>;
/// Names a preview; the secret of its address is another thing.
pub type PreviewId = Id<kind::Preview>;
/// Names an artifact.
pub type ArtifactId = Id<kind::Artifact>;
/// Names a decision.
pub type DecisionId = Id<kind::Decision>;
/// Names a proposal.
pub type ProposalId = Id<kind::Proposal>;
/// Names a session of a person; its secret is another thing.
pub type SessionId = Id<kind::Session>;
/// Names something a leaver may still be able to do at a registry.
pub type RightId = Id<kind::Right>;
/// Names a job.
pub type JobId = Id<kind::Job>;
/// Names a forward attempt.
pub type AttemptId = Id<kind::Attempt>;

impl<K> Id<K> {
    /// Wraps a UUID that is already known to name a `K`.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The UUID itself.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The sixteen bytes kept in the database.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads the sixteen bytes kept in the database; any other length is `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self::from_uuid)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<K> FromStr for Id<K> {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self::from_uuid)
    }
}
impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from_uuid)
    }
}
