//! Proposals: changes of who may release what, and what each of them takes (D5, A7, Q20).
//!
//! After the founding nothing about people, policies, packages, upstreams, credentials,
//! issuers or publishers changes except by a proposal. What it takes follows from what it changes: tightening
//! takes one signature and happens at once, what shrinks or moves who can sign takes the quorum,
//! and what loosens takes the quorum and a delay in which everybody can still object. The quorum is
//! that of the governing policy and of every policy the change touches, as they were before it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::assertion::CredentialId;
use crate::domain::digest::Sha256;
use crate::domain::event::{IssuerRecord, PackageRecord, PublisherRecord, UpstreamRecord};
use crate::domain::ids::{InstanceId, PackageId, PersonId, ProposalId, PublisherId, UpstreamId};
use crate::domain::policy::Policy;
use crate::domain::quorum::Verdict;
use crate::domain::roster::{CiIdentity, Role, RosterKey};
use crate::domain::statement::{PolicyReference, RosterReference};
use crate::domain::upstream::CredentialPurpose;

/// The only value of [`Proposal::format`].
pub const FORMAT: &str = "countersign/proposal/v1";
/// The only value of [`ProposalStatement::format`].
pub const STATEMENT_FORMAT: &str = "countersign/proposal-statement/v1";
/// Most changes in one proposal; a page of them must stay readable.
pub const CHANGES_MAX: usize = 50;
/// Longest reason of a proposal, in characters.
pub const REASON_MAX: usize = 1_000;
/// How long a proposal waits for signatures.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What a freeze stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every release of the installation.
    Everything,
    /// Releases of one package.
    Package(PackageId),
}

/// One change. Field order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Somebody joins the roster, without a key yet.
    AddPerson {
        /// Who.
        person: PersonId,
        /// What they may do.
        role: Role,
    },
    /// Somebody may do more or less.
    ChangeRole {
        /// Who.
        person: PersonId,
        /// What they may do.
        role: Role,
    },
    /// Somebody leaves; their keys and CI identities go with them (A4).
    RemovePerson {
        /// Who.
        person: PersonId,
    },
    /// A key joins. It approves from the time in it, and at the earliest a probation after it was
    /// added; until then it objects (W13).
    AddKey {
        /// Whose.
        person: PersonId,
        /// The key.
        key: RosterKey,
    },
    /// A key stops counting.
    RevokeKey {
        /// Whose.
        person: PersonId,
        /// Which.
        credential_id: CredentialId,
    },
    /// It is settled whose a CI identity is (Q16); `None` is a bot.
    LinkIdentity {
        /// The identity.
        identity: CiIdentity,
        /// Whose.
        person: Option<PersonId>,
    },
    /// It is no longer settled whose a CI identity is.
    UnlinkIdentity {
        /// The identity.
        identity: CiIdentity,
    },
    /// The first or next revision of a policy.
    SetPolicy {
        /// The whole policy.
        policy: Policy,
    },
    /// A new upstream, or another address of one.
    SetUpstream {
        /// The whole record.
        upstream: UpstreamRecord,
    },
    /// Another credential of an upstream.
    SetCredential {
        /// For which upstream.
        upstream: UpstreamId,
        /// Sending or reading.
        purpose: CredentialPurpose,
        /// Digest of the sealed bytes.
        sealed_sha256: Sha256,
    },
    /// A new package, or another policy or upstream of one.
    SetPackage {
        /// The whole record.
        package: PackageRecord,
    },
    /// Tokens of an issuer are read: a publisher may be one of its workloads.
    SetIssuer {
        /// The whole record.
        issuer: IssuerRecord,
    },
    /// A CI workload may stage these packages.
    SetPublisher {
        /// The whole record.
        publisher: PublisherRecord,
    },
    /// A CI workload may no longer stage.
    RemovePublisher {
        /// Names it.
        publisher: PublisherId,
    },
    /// Nothing is sent any more (A17).
    Freeze {
        /// Of what.
        scope: Scope,
    },
    /// Sending goes on.
    Unfreeze {
        /// Of what.
        scope: Scope,
    },
}

impl Change {
    /// The person a change is about, who neither votes nor objects (Q20).
    pub const fn subject(&self) -> Option<PersonId> {
        match self {
            Self::AddPerson { person, .. }
            | Self::ChangeRole { person, .. }
            | Self::RemovePerson { person }
            | Self::AddKey { person, .. }
            | Self::RevokeKey { person, .. } => Some(*person),
            Self::LinkIdentity { person, .. } => *person,
            Self::UnlinkIdentity { .. }
            | Self::SetPolicy { .. }
            | Self::SetUpstream { .. }
            | Self::SetCredential { .. }
            | Self::SetPackage { .. }
            | Self::SetIssuer { .. }
            | Self::SetPublisher { .. }
            | Self::RemovePublisher { .. }
            | Self::Freeze { .. }
            | Self::Unfreeze { .. } => None,
        }
    }
}

/// What a proposal takes; a later one takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// The signature of whoever proposed it: it only tightens, or is about themselves.
    OneSignature,
    /// The quorum of every policy it touches.
    Quorum,
    /// The quorum, and a delay after it in which one objection ends it.
    QuorumAndDelay,
}

/// A requested change. Its bytes are made once, when it is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// [`FORMAT`].
    pub format: String,
    /// Names it.
    pub id: ProposalId,
    /// The installation.
    pub instance: InstanceId,
    /// Who proposes.
    pub by: PersonId,
    /// In order; all of them or none.
    pub changes: Vec<Change>,
    /// Packages that nobody will be able to release any more, said aloud. A change that leaves
    /// others so is refused.
    pub leaves_unreleasable: BTreeSet<PackageId>,
    /// Why, in the proposer's words.
    pub reason: Option<String>,
    /// It can be enacted before then only.
    pub expires_at: Timestamp,
}

impl Proposal {
    /// The exact bytes: UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// What a signature names.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.to_bytes())
    }

    /// Whether it changes nothing but keys: a recovery gives people keys, and no rule (Q19).
    pub fn is_about_keys(&self) -> bool {
        let key =
            |change: &Change| matches!(change, Change::AddKey { .. } | Change::RevokeKey { .. });
        self.changes.iter().all(key)
    }

    /// Everybody it is about.
    pub fn subjects(&self) -> BTreeSet<PersonId> {
        self.changes.iter().filter_map(Change::subject).collect()
    }
}

/// What one person signs about one proposal. Field order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalStatement {
    /// [`STATEMENT_FORMAT`].
    pub format: String,
    /// Origin of the installation, as browsers see it.
    pub origin: String,
    /// What is decided.
    pub decision: Verdict,
    /// Who decides.
    pub person: PersonId,
    /// The whole proposal, so that what is signed is what is shown.
    pub proposal: Proposal,
    /// What it takes.
    pub takes: Takes,
    /// The policies whose quorum it takes, as they are now.
    pub policies: Vec<PolicyReference>,
    /// The people.
    pub roster: RosterReference,
    /// Note (approve) or reason (reject).
    pub reason: Option<String>,
}

impl ProposalStatement {
    /// The exact bytes: UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// Reads a statement back; `None` when the bytes are not one of this format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let statement: Self = serde_json::from_slice(bytes).ok()?;
        (statement.format == STATEMENT_FORMAT).then_some(statement)
    }
}
