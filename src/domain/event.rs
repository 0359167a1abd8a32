//! Events: the append-only log from which the publish decision is recomputed.
//!
//! An entry is serialised once, when it is appended, in the transaction of the change it records
//! (I7). Entries carry digests, public keys and pseudonymous ids; names live in the database.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::assertion::CredentialId;
use crate::domain::decision::Decision;
use crate::domain::digest::Sha256;
use crate::domain::founding::Founding;
use crate::domain::ids::{
    AttemptId, InstanceId, IssuerId, PackageId, PersonId, PolicyId, ProposalId, PublisherId,
    ReleaseId, UpstreamId,
};
use crate::domain::log::Leaf;
use crate::domain::manifest::Access;
use crate::domain::package::Ecosystem;
use crate::domain::policy::Policy;
use crate::domain::proposal::Proposal;
use crate::domain::recovery::RecoverySignature;
use crate::domain::roster::{CiIdentity, Roster};
use crate::domain::upstream::CredentialPurpose;

/// Who made something happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in person.
    Person(PersonId),
    /// A CI workload through a trusted publisher.
    Publisher(PublisherId),
    /// The clock or a background worker.
    Gateway,
    /// Whoever runs commands on the host.
    Host,
}

/// Why a release was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealedBecause {
    /// npm releases are one file.
    SingleFile,
    /// CI said that it is complete.
    CiAsked,
    /// No file came for the quiet period.
    Quiet,
    /// The first reviewer began.
    ReviewBegan,
}

/// A package as the publish decision needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    /// Names it.
    pub id: PackageId,
    /// Whose rules apply.
    pub ecosystem: Ecosystem,
    /// As registered here.
    pub name: String,
    /// Where its releases go.
    pub upstream: UpstreamId,
    /// Which rule applies.
    pub policy: PolicyId,
    /// npm only.
    pub access: Option<Access>,
}

/// An upstream as the publish decision needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamRecord {
    /// Names it.
    pub id: UpstreamId,
    /// Whose protocol it speaks.
    pub kind: Ecosystem,
    /// Where bytes are sent.
    pub url: String,
    /// Where they are read back, when that differs.
    pub simple_url: Option<String>,
    /// Where published files are fetched besides, when that is another host.
    pub files_url: Option<String>,
    /// Private or loopback addresses were allowed for it (Q15).
    pub allow_private: bool,
}

/// A publisher as the publish decision needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublisherRecord {
    /// Names it.
    pub id: PublisherId,
    /// What it may stage.
    pub packages: BTreeSet<PackageId>,
    /// Digest of its issuer, rule and packages.
    pub rule_sha256: Sha256,
}

/// An issuer of CI tokens as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IssuerRecord {
    /// Names it.
    pub id: IssuerId,
    /// Digest of its address, whose claims its tokens carry, and the bounds on them.
    pub config_sha256: Sha256,
}

/// How a proposal ended without taking effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalEnd {
    /// Whoever proposed it took it back.
    Withdrawn,
    /// Somebody objected.
    Rejected,
    /// Not enough people signed in time.
    Expired,
    /// It does not fit any more.
    Stale,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The first entry: this installation exists.
    Genesis {
        /// Names the installation.
        instance: InstanceId,
        /// Origin as browsers see it; its host is the WebAuthn relying party id.
        origin: String,
    },
    /// A new roster is in force.
    RosterRevised {
        /// The whole roster.
        roster: Roster,
        /// Who changed it.
        by: Actor,
    },
    /// A new revision of a policy is in force.
    PolicyRevised {
        /// The whole policy.
        policy: Policy,
        /// Who changed it.
        by: Actor,
    },
    /// An upstream was added or changed.
    UpstreamRevised {
        /// The whole record.
        upstream: UpstreamRecord,
        /// Who changed it.
        by: Actor,
    },
    /// A credential was sealed for an upstream.
    CredentialSealed {
        /// For which upstream.
        upstream: UpstreamId,
        /// Sending or reading.
        purpose: CredentialPurpose,
        /// Digest of the sealed bytes.
        sealed_sha256: Sha256,
        /// Who sealed it.
        by: Actor,
    },
    /// A package was added or changed.
    PackageRevised {
        /// The whole record.
        package: PackageRecord,
        /// Who changed it.
        by: Actor,
    },
    /// An issuer of CI tokens was added or changed.
    IssuerRevised {
        /// The whole record.
        issuer: IssuerRecord,
        /// Who changed it.
        by: Actor,
    },
    /// A publisher was added or changed.
    PublisherRevised {
        /// The whole record.
        publisher: PublisherRecord,
        /// Who changed it.
        by: Actor,
    },
    /// A publisher may no longer stage.
    PublisherRemoved {
        /// Names it.
        publisher: PublisherId,
        /// Who removed it.
        by: Actor,
    },
    /// What is set up is put before the founders.
    FoundingProposed {
        /// The whole document.
        founding: Box<Founding>,
        /// Who put it before them.
        by: PersonId,
    },
    /// A founder signed. The last one needed founds the installation.
    FoundingSigned {
        /// The whole signature.
        decision: Decision,
    },
    /// A change is proposed.
    Proposed {
        /// The whole proposal.
        proposal: Proposal,
    },
    /// A person approved or rejected a proposal.
    ProposalDecided {
        /// Which.
        proposal: ProposalId,
        /// The whole decision.
        decision: Decision,
    },
    /// The offline recovery key signed a proposal.
    ProposalRecovered {
        /// Which.
        proposal: ProposalId,
        /// Its signature.
        signature: RecoverySignature,
    },
    /// A proposal took effect.
    ProposalEnacted {
        /// Which.
        proposal: ProposalId,
    },
    /// A proposal ended without taking effect.
    ProposalEnded {
        /// Which.
        proposal: ProposalId,
        /// How.
        how: ProposalEnd,
    },
    /// A key's counter went backwards; it does not count any more (W9).
    KeySuspended {
        /// Which key.
        credential_id: CredentialId,
    },
    /// A key was enrolled in a browser in which somebody else was signed in: one person may hold both
    /// keys (Q21). It is told to people and decides nothing.
    KeyEnrolledBeside {
        /// Whose key.
        person: PersonId,
        /// Which key.
        credential_id: CredentialId,
        /// Who was signed in.
        beside: PersonId,
    },
    /// The first file of a release arrived.
    ReleaseOpened {
        /// The release.
        release: ReleaseId,
        /// Its package.
        package: PackageId,
        /// Its version.
        version: String,
        /// Which publisher.
        publisher: PublisherId,
    },
    /// A file was staged.
    ArtifactStaged {
        /// The release.
        release: ReleaseId,
        /// The file name.
        name: String,
        /// Its size in bytes.
        size_bytes: u64,
        /// Its content address.
        sha256: Sha256,
    },
    /// The release is complete; its bytes never change again (I1).
    ReleaseSealed {
        /// The release.
        release: ReleaseId,
        /// Its package.
        package: PackageId,
        /// The exact bytes of the manifest; they are UTF-8 JSON.
        manifest: String,
        /// Who started the CI run.
        started_by: CiIdentity,
        /// The policy in force.
        policy: PolicyId,
        /// Its revision.
        policy_revision: u32,
        /// Nothing is sent after this time.
        expires_at: Timestamp,
        /// What sealed it.
        because: SealedBecause,
    },
    /// The gateway looked at what was sealed. A later report takes the place of an earlier one.
    ReleaseInspected {
        /// The release.
        release: ReleaseId,
        /// Digest of the report.
        report_sha256: Sha256,
        /// Names of the findings that stop the approval until overridden.
        blocks: BTreeSet<String>,
        /// Names of the findings to be ticked.
        looks: BTreeSet<String>,
    },
    /// A person approved or rejected.
    Decided {
        /// The release.
        release: ReleaseId,
        /// The whole decision.
        decision: Decision,
    },
    /// Enough people approved.
    ReleaseApproved {
        /// The release.
        release: ReleaseId,
    },
    /// Somebody objected.
    ReleaseRejected {
        /// The release.
        release: ReleaseId,
        /// Who.
        by: PersonId,
    },
    /// A person paused it without deciding (Q10).
    ReleaseHeld {
        /// The release.
        release: ReleaseId,
        /// Who.
        by: PersonId,
        /// Why, in their words.
        note: Option<String>,
    },
    /// The pause ended: by a signed decision, or taken back by whoever began it.
    ReleaseResumed {
        /// The release.
        release: ReleaseId,
        /// Who ended it.
        by: PersonId,
    },
    /// Nobody decided in time.
    ReleaseExpired {
        /// The release.
        release: ReleaseId,
    },
    /// A newer candidate took its place.
    ReleaseSuperseded {
        /// The release.
        release: ReleaseId,
        /// The newer one.
        by: ReleaseId,
    },
    /// Bytes are about to be sent.
    ForwardStarted {
        /// The release.
        release: ReleaseId,
        /// The try.
        attempt: AttemptId,
        /// The file.
        name: String,
    },
    /// What came of it.
    ForwardEnded {
        /// The release.
        release: ReleaseId,
        /// The try.
        attempt: AttemptId,
        /// The file.
        name: String,
        /// The classified outcome in one word.
        outcome: String,
        /// The registry's own words, cut.
        message: String,
    },
    /// Everything was sent, and the registry does not show all of it yet.
    ReleaseConfirming {
        /// The release.
        release: ReleaseId,
    },
    /// Approvals stopped counting before anything was sent; the release waits for people again.
    ReleaseReturned {
        /// The release.
        release: ReleaseId,
        /// Why, cut.
        message: String,
    },
    /// A person asked for another try at what the registry does not have.
    ForwardRetried {
        /// The release.
        release: ReleaseId,
        /// Who.
        by: PersonId,
    },
    /// The registry holds exactly the approved files.
    ReleasePublished {
        /// The release.
        release: ReleaseId,
    },
    /// The registry holds some of the files and refused the rest.
    ReleasePartlyPublished {
        /// The release.
        release: ReleaseId,
        /// The registry's own words, cut.
        message: String,
    },
    /// Nothing was published.
    ReleaseFailed {
        /// The release.
        release: ReleaseId,
        /// The registry's own words or our reason, cut.
        message: String,
    },
}

impl Event {
    /// The word that names this kind of event in the encoding.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::RosterRevised { .. } => "roster_revised",
            Self::PolicyRevised { .. } => "policy_revised",
            Self::UpstreamRevised { .. } => "upstream_revised",
            Self::CredentialSealed { .. } => "credential_sealed",
            Self::PackageRevised { .. } => "package_revised",
            Self::IssuerRevised { .. } => "issuer_revised",
            Self::PublisherRevised { .. } => "publisher_revised",
            Self::PublisherRemoved { .. } => "publisher_removed",
            Self::FoundingProposed { .. } => "founding_proposed",
            Self::FoundingSigned { .. } => "founding_signed",
            Self::Proposed { .. } => "proposed",
            Self::ProposalDecided { .. } => "proposal_decided",
            Self::ProposalRecovered { .. } => "proposal_recovered",
            Self::ProposalEnacted { .. } => "proposal_enacted",
            Self::ProposalEnded { .. } => "proposal_ended",
            Self::KeySuspended { .. } => "key_suspended",
            Self::KeyEnrolledBeside { .. } => "key_enrolled_beside",
            Self::ReleaseOpened { .. } => "release_opened",
            Self::ArtifactStaged { .. } => "artifact_staged",
            Self::ReleaseSealed { .. } => "release_sealed",
            Self::ReleaseInspected { .. } => "release_inspected",
            Self::Decided { .. } => "decided",
            Self::ReleaseApproved { .. } => "release_approved",
            Self::ReleaseRejected { .. } => "release_rejected",
            Self::ReleaseHeld { .. } => "release_held",
            Self::ReleaseResumed { .. } => "release_resumed",
            Self::ReleaseExpired { .. } => "release_expired",
            Self::ReleaseSuperseded { .. } => "release_superseded",
            Self::ForwardStarted { .. } => "forward_started",
            Self::ForwardEnded { .. } => "forward_ended",
            Self::ReleaseConfirming { .. } => "release_confirming",
            Self::ReleaseReturned { .. } => "release_returned",
            Self::ForwardRetried { .. } => "forward_retried",
            Self::ReleasePublished { .. } => "release_published",
            Self::ReleasePartlyPublished { .. } => "release_partly_published",
            Self::ReleaseFailed { .. } => "release_failed",
        }
    }

    /// The release this event is about, if any.
    pub const fn release(&self) -> Option<ReleaseId> {
        match self {
            Self::Genesis { .. }
            | Self::RosterRevised { .. }
            | Self::PolicyRevised { .. }
            | Self::UpstreamRevised { .. }
            | Self::CredentialSealed { .. }
            | Self::PackageRevised { .. }
            | Self::IssuerRevised { .. }
            | Self::PublisherRevised { .. }
            | Self::PublisherRemoved { .. }
            | Self::FoundingProposed { .. }
            | Self::FoundingSigned { .. }
            | Self::Proposed { .. }
            | Self::ProposalDecided { .. }
            | Self::ProposalRecovered { .. }
            | Self::ProposalEnacted { .. }
            | Self::ProposalEnded { .. }
            | Self::KeySuspended { .. }
            | Self::KeyEnrolledBeside { .. } => None,
            Self::ReleaseOpened { release, .. }
            | Self::ArtifactStaged { release, .. }
            | Self::ReleaseSealed { release, .. }
            | Self::ReleaseInspected { release, .. }
            | Self::Decided { release, .. }
            | Self::ReleaseApproved { release }
            | Self::ReleaseRejected { release, .. }
            | Self::ReleaseHeld { release, .. }
            | Self::ReleaseResumed { release, .. }
            | Self::ReleaseExpired { release }
            | Self::ReleaseSuperseded { release, .. }
            | Self::ForwardStarted { release, .. }
            | Self::ForwardEnded { release, .. }
            | Self::ReleaseConfirming { release }
            | Self::ReleaseReturned { release, .. }
            | Self::ForwardRetried { release, .. }
            | Self::ReleasePublished { release }
            | Self::ReleasePartlyPublished { release, .. }
            | Self::ReleaseFailed { release, .. } => Some(*release),
        }
    }
}

/// One entry of the log. Field order is the encoding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEntry {
    /// Position in the log, from zero, without gaps.
    pub sequence: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

impl LogEntry {
    /// The bytes that are stored; UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// Its public face, given the bytes of [`Self::to_bytes`].
    pub fn leaf(&self, body: &[u8]) -> Leaf {
        Leaf {
            sequence: self.sequence,
            at: self.at,
            kind: self.event.kind().to_owned(),
            sha256: Sha256::of(body),
        }
    }

    /// Reads an entry back; `None` when the bytes are not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
