//! The statement: the exact bytes a person is shown and signs.
//!
//! Page, challenge and log use one value of this type, so nothing can be signed that was not
//! shown. `docs/statement.md` lists every field with test vectors.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::ids::{PersonId, PolicyId, ReleaseId};
use crate::domain::manifest::{Access, Destination, SealedManifest};
use crate::domain::package::Ecosystem;
use crate::domain::policy::Policy;
use crate::domain::quorum::Verdict;
use crate::domain::review::report::Override;
use crate::domain::roster::Roster;

/// The only value of [`Statement::format`].
pub const FORMAT: &str = "countersign/statement/v1";
/// Longest note or reason, in characters.
pub const REASON_MAX: usize = 1_000;

/// One file as the signer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementFile {
    /// The file name at the registry.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// The content address.
    pub sha256: Sha256,
}

/// The policy revision a decision was made under (I2, Q7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReference {
    /// Which policy.
    pub id: PolicyId,
    /// Which revision.
    pub revision: u32,
    /// Digest of that revision.
    pub sha256: Sha256,
    /// How many people it requires.
    pub required: u32,
}

impl PolicyReference {
    /// Refers to `policy` as it is.
    pub fn to(policy: &Policy) -> Self {
        Self {
            id: policy.id(),
            revision: policy.revision(),
            sha256: policy.digest(),
            required: policy.required(),
        }
    }
}

/// The roster revision a decision was made under (I2, Q7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterReference {
    /// Which revision.
    pub revision: u64,
    /// Digest of that revision.
    pub sha256: Sha256,
}

impl RosterReference {
    /// Refers to `roster` as it is.
    pub fn to(roster: &Roster) -> Self {
        Self { revision: roster.revision, sha256: roster.digest() }
    }
}

/// What a person adds to a decision of their own accord.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Names of the findings they looked at, sorted.
    pub looked_at: Vec<String>,
    /// Why they approve although something blocks, sorted by finding.
    pub overrides: Vec<Override>,
    /// Note (approve) or reason (reject).
    pub reason: Option<String>,
    /// They wrote none of what changed.
    pub no_author: bool,
    /// Nothing is sent before this time.
    pub not_before: Option<Timestamp>,
    /// The approval is given under the policy's embargo rule too.
    pub embargo: bool,
}

impl From<Option<String>> for Terms {
    fn from(reason: Option<String>) -> Self {
        Self { reason, ..Self::default() }
    }
}

/// What one person decides about one release. Field order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// [`FORMAT`].
    pub format: String,
    /// Origin of the installation, as browsers see it.
    pub origin: String,
    /// What is decided.
    pub decision: Verdict,
    /// Who decides.
    pub person: PersonId,
    /// About which release.
    pub release: ReleaseId,
    /// Whose rules apply.
    pub ecosystem: Ecosystem,
    /// The package's name.
    pub package: String,
    /// The version.
    pub version: String,
    /// Where it would be published.
    pub destination: Destination,
    /// npm only.
    pub dist_tag: Option<String>,
    /// npm only.
    pub access: Option<Access>,
    /// Every file, sorted by name.
    pub files: Vec<StatementFile>,
    /// Digest of the sealed manifest, which fixes everything else.
    pub manifest_sha256: Sha256,
    /// Digest of the report on what was sealed; `None` in a rejection, which needs none.
    pub report_sha256: Option<Sha256>,
    /// The rule.
    pub policy: PolicyReference,
    /// The people.
    pub roster: RosterReference,
    /// Names of the findings they looked at, sorted; none in a rejection.
    pub looked_at: Vec<String>,
    /// Why they approve although something blocks, sorted by finding; none in a rejection.
    pub overrides: Vec<Override>,
    /// Note (approve) or reason (reject).
    pub reason: Option<String>,
    /// They declare that they wrote none of what changed (A5).
    pub no_author: bool,
    /// Nothing is sent before this time, if they set one.
    pub not_before: Option<Timestamp>,
    /// The approval is given under the policy's embargo rule too (Q22).
    pub embargo: bool,
    /// The decision is void after this time.
    pub not_after: Timestamp,
}

/// The circumstances a statement is made in.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Origin of the installation, as browsers see it.
    pub origin: &'a str,
    /// The sealed release.
    pub manifest: &'a SealedManifest,
    /// Digest of the last report on it, once there is one.
    pub report: Option<Sha256>,
    /// The policy in force.
    pub policy: &'a Policy,
    /// The roster in force.
    pub roster: &'a Roster,
    /// When the release expires.
    pub not_after: Timestamp,
}

impl Statement {
    /// What `person` would sign. The same inputs always make the same bytes.
    pub fn new(
        at: Circumstances<'_>,
        person: PersonId,
        decision: Verdict,
        terms: impl Into<Terms>,
    ) -> Self {
        let terms = terms.into();
        let manifest = at.manifest.manifest();
        let file = |f: &crate::domain::manifest::ManifestFile| StatementFile {
            name: f.name.clone(),
            size_bytes: f.size_bytes,
            sha256: f.sha256,
        };
        Self {
            format: FORMAT.to_owned(),
            origin: at.origin.to_owned(),
            decision,
            person,
            release: manifest.release,
            ecosystem: manifest.ecosystem,
            package: manifest.package.clone(),
            version: manifest.version.clone(),
            destination: manifest.destination.clone(),
            dist_tag: manifest.npm.as_ref().map(|npm| npm.dist_tag.clone()),
            access: manifest.npm.as_ref().and_then(|npm| npm.access),
            files: manifest.files.iter().map(file).collect(),
            manifest_sha256: at.manifest.digest(),
            report_sha256: at.report.filter(|_| decision == Verdict::Approve),
            policy: PolicyReference::to(at.policy),
            roster: RosterReference::to(at.roster),
            looked_at: terms.looked_at,
            overrides: terms.overrides,
            reason: terms.reason,
            no_author: terms.no_author,
            not_before: terms.not_before,
            embargo: terms.embargo,
            not_after: at.not_after,
        }
    }

    /// What the person added.
    pub fn terms(&self) -> Terms {
        Terms {
            looked_at: self.looked_at.clone(),
            overrides: self.overrides.clone(),
            reason: self.reason.clone(),
            no_author: self.no_author,
            not_before: self.not_before,
            embargo: self.embargo,
        }
    }

    /// The exact bytes: UTF-8 JSON without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// Reads a statement back; `None` when the bytes are not one of this format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let statement: Self = serde_json::from_slice(bytes).ok()?;
        (statement.format == FORMAT).then_some(statement)
    }
}
