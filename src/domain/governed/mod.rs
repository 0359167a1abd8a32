//! What the log says is in force: people, rules, places, and the proposals about them.
//!
//! [`Governed::replay`] folds the log from its genesis entry. Until the founding, entries about
//! people and rules are taken as they come, and nothing can be sent; with the founding the people
//! in it sign all of that, and from then on only enacted proposals change it (K7, I10). An entry
//! that contradicts this makes the log unsound, and nobody publishes from an unsound log.
//!
//! Here is what can be asked; `folding` takes the entries, `proposals` says how a proposal stands,
//! and `effect` what it would change.

mod effect;
mod folding;
mod proposals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::assertion::RelyingParty;
use crate::domain::digest::Sha256;
use crate::domain::event::{
    Event, IssuerRecord, LogEntry, PackageRecord, PublisherRecord, UpstreamRecord,
};
use crate::domain::founding::{self, Founding};
use crate::domain::ids::{
    InstanceId, IssuerId, PackageId, PersonId, PolicyId, ProposalId, PublisherId, UpstreamId,
};
use crate::domain::policy::Policy;
use crate::domain::proposal::Scope;
use crate::domain::recovery::{RecoveryKey, RecoverySignature};
use crate::domain::roster::Roster;

pub use self::effect::Inapplicable;
pub use self::proposals::{Open, ProposalStanding, ProposalState};

/// How long a key that joins after the founding waits before its approvals count. It objects at
/// once (W13).
pub const PROBATION: SignedDuration = SignedDuration::from_hours(72);

/// The log contradicts itself. Nobody may publish from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log is not sound: {0}")]
pub struct Unsound(pub &'static str);

/// The founding that is in force.
#[derive(Debug, Clone)]
pub struct Founded {
    /// Digest of the founding document, pinned outside the database.
    pub digest: Sha256,
    /// When the last founder needed signed.
    pub at: Timestamp,
    /// The policy whose quorum every proposal takes.
    pub governing: PolicyId,
    /// Between the quorum of a loosening and its effect.
    pub delay: SignedDuration,
    recovery: RecoveryKey,
}

/// A founding document that waits for founders.
#[derive(Debug, Clone)]
pub struct Unfounded {
    /// The document.
    pub founding: Founding,
    /// Who signed it.
    pub signed_by: BTreeSet<PersonId>,
    /// With keys of the kind the governing policy asks for.
    with_hardware: BTreeSet<PersonId>,
}

/// What is in force.
#[derive(Debug, Clone)]
pub struct Governed {
    instance: InstanceId,
    relying_party: RelyingParty,
    roster: Option<Arc<Roster>>,
    policies: BTreeMap<PolicyId, Arc<Policy>>,
    packages: BTreeMap<PackageId, PackageRecord>,
    upstreams: BTreeMap<UpstreamId, UpstreamRecord>,
    issuers: BTreeMap<IssuerId, IssuerRecord>,
    publishers: BTreeMap<PublisherId, PublisherRecord>,
    /// Publish credentials only; a read credential publishes nothing.
    credentials: BTreeMap<UpstreamId, Sha256>,
    frozen: BTreeSet<Scope>,
    unfounded: Option<Unfounded>,
    founded: Option<Founded>,
    proposals: BTreeMap<ProposalId, Open>,
    last_sequence: u64,
}

/// Reading.
impl Governed {
    /// Folds a whole log.
    pub fn replay<'a>(log: impl IntoIterator<Item = &'a LogEntry>) -> Result<Self, Unsound> {
        let mut entries = log.into_iter();
        let mut governed = Self::begin(entries.next().ok_or(Unsound("the log is empty"))?)?;
        for entry in entries {
            governed.apply(entry)?;
        }
        Ok(governed)
    }

    /// Starts with the genesis entry.
    pub fn begin(first: &LogEntry) -> Result<Self, Unsound> {
        let Event::Genesis { instance, origin } = &first.event else {
            return Err(Unsound("the first entry is not genesis"));
        };
        if first.sequence != 0 {
            return Err(Unsound("the first entry is missing"));
        }
        let relying_party = RelyingParty::parse(origin)
            .map_err(|_| Unsound("the genesis origin is not an origin"))?;
        Ok(Self {
            instance: *instance,
            relying_party,
            roster: None,
            policies: BTreeMap::new(),
            packages: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            issuers: BTreeMap::new(),
            publishers: BTreeMap::new(),
            credentials: BTreeMap::new(),
            frozen: BTreeSet::new(),
            unfounded: None,
            founded: None,
            proposals: BTreeMap::new(),
            last_sequence: 0,
        })
    }

    /// Names the installation.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Whose passkeys sign here.
    pub const fn relying_party(&self) -> &RelyingParty {
        &self.relying_party
    }

    /// The roster in force.
    pub fn roster(&self) -> Result<&Arc<Roster>, Unsound> {
        self.roster.as_ref().ok_or(Unsound("there is no roster"))
    }

    /// A policy in force.
    pub fn policy(&self, id: PolicyId) -> Result<&Arc<Policy>, Unsound> {
        self.policies.get(&id).ok_or(Unsound("a policy in use is not in the log"))
    }

    /// Every policy in force.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// A package.
    pub fn package(&self, id: PackageId) -> Result<&PackageRecord, Unsound> {
        self.packages.get(&id).ok_or(Unsound("the package of a sealed release is not in the log"))
    }

    /// Every package.
    pub fn packages(&self) -> impl Iterator<Item = &PackageRecord> {
        self.packages.values()
    }

    /// An issuer of CI tokens.
    pub fn issuer(&self, id: IssuerId) -> Option<&IssuerRecord> {
        self.issuers.get(&id)
    }

    /// A publisher.
    pub fn publisher(&self, id: PublisherId) -> Option<&PublisherRecord> {
        self.publishers.get(&id)
    }

    /// An upstream.
    pub fn upstream(&self, id: UpstreamId) -> Option<&UpstreamRecord> {
        self.upstreams.get(&id)
    }

    /// Digest of an upstream's sealed publish credential.
    pub fn credential(&self, id: UpstreamId) -> Option<Sha256> {
        self.credentials.get(&id).copied()
    }

    /// Whether a signature over a proposal is one of the offline recovery key (Q19).
    pub fn is_of_recovery_key(&self, proposal: &Sha256, signature: &RecoverySignature) -> bool {
        self.founded.as_ref().is_some_and(|founded| founded.recovery.signed(proposal, signature))
    }

    /// The founding, once enough founders signed it.
    pub const fn founded(&self) -> Option<&Founded> {
        self.founded.as_ref()
    }

    /// The founding document that waits for founders.
    pub const fn unfounded(&self) -> Option<&Unfounded> {
        self.unfounded.as_ref()
    }

    /// Whether releases of a package may not be sent now (A17).
    pub fn is_frozen(&self, package: PackageId) -> bool {
        self.frozen.contains(&Scope::Everything) || self.frozen.contains(&Scope::Package(package))
    }

    /// What is frozen.
    pub const fn frozen(&self) -> &BTreeSet<Scope> {
        &self.frozen
    }

    /// Proposals that wait, oldest first.
    pub fn proposals(&self) -> impl Iterator<Item = &Open> {
        self.proposals.values()
    }

    /// A proposal that waits.
    pub fn proposal(&self, id: ProposalId) -> Option<&Open> {
        self.proposals.get(&id)
    }

    /// The founding document that what is set up now would give.
    pub fn founding(
        &self,
        governing: PolicyId,
        delay: SignedDuration,
        recovery: RecoveryKey,
    ) -> Result<Founding, Unsound> {
        Ok(Founding {
            format: founding::FORMAT.to_owned(),
            instance: self.instance,
            origin: self.relying_party.origin().to_owned(),
            roster: self.roster()?.as_ref().clone(),
            policies: self.policies.values().map(|policy| policy.as_ref().clone()).collect(),
            governing,
            delay_secs: delay.as_secs(),
            upstreams: self.upstreams.values().cloned().collect(),
            packages: self.packages.values().cloned().collect(),
            issuers: self.issuers.values().cloned().collect(),
            publishers: self.publishers.values().cloned().collect(),
            credentials: self.credentials.clone(),
            recovery,
        })
    }
}
