//! What the log says is in force: people, rules, places, and the proposals about them.
//!
//! [`Governed::replay`] folds the log from its genesis entry. Until the founding, entries about
//! people and rules are taken as they come, and nothing can be sent; with the founding the people
//! in it sign all of that, and from then on only enacted proposals change it (K7, I10). An entry
//! that contradicts this makes the log unsound, and nobody publishes from an unsound log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::assertion::{CredentialId, Purpose, RelyingParty};
use crate::domain::decision::Decision;
use crate::domain::digest::Sha256;
use crate::domain::event::{
    Event, IssuerRecord, LogEntry, PackageRecord, PublisherRecord, UpstreamRecord,
};
use crate::domain::founding::{self, Founding, FoundingStatement};
use crate::domain::ids::{
    InstanceId, IssuerId, PackageId, PersonId, PolicyId, ProposalId, PublisherId, UpstreamId,
};
use crate::domain::policy::{Approvers, Policy};
use crate::domain::proposal::{
    self, CHANGES_MAX, Change, Proposal, ProposalStatement, Scope, Takes,
};
use crate::domain::quorum::Verdict;
use crate::domain::recovery::{RecoveryKey, RecoverySignature};
use crate::domain::roster::{Roster, RosterKey, RosterRefusal};
use crate::domain::statement::{PolicyReference, RosterReference};
use crate::domain::upstream::CredentialPurpose;

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

/// A vote on a proposal that verified when it was cast.
#[derive(Debug, Clone)]
struct Cast {
    person: PersonId,
    verdict: Verdict,
    credential_id: CredentialId,
    at: Timestamp,
}

/// A proposal that waits.
#[derive(Debug, Clone)]
pub struct Open {
    /// What is proposed.
    pub proposal: Proposal,
    /// Since when.
    pub proposed_at: Timestamp,
    votes: Vec<Cast>,
    /// When the recovery key signed it instead of a quorum.
    recovered_at: Option<Timestamp>,
}

impl Open {
    /// When the recovery key signed it instead of a quorum (Q19).
    pub const fn recovered_at(&self) -> Option<Timestamp> {
        self.recovered_at
    }

    /// Who decided what, in order.
    pub fn votes(&self) -> impl Iterator<Item = (PersonId, Verdict, Timestamp)> + '_ {
        self.votes.iter().map(|cast| (cast.person, cast.verdict, cast.at))
    }
}

/// Why a proposal cannot take effect as the installation stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inapplicable {
    /// No changes, or too many.
    #[error("expected 1 to {CHANGES_MAX} changes, received `{0}`")]
    Changes(usize),
    /// A change of the roster does not fit the people on it.
    #[error(transparent)]
    Roster(#[from] RosterRefusal),
    /// The policy was changed by somebody else meanwhile, or does not exist.
    #[error("expected revision {expected} of the policy, received `{received}`")]
    Revision {
        /// The next one.
        expected: u32,
        /// The proposal's.
        received: u32,
    },
    /// The policy names people who are not on the roster or do not sign.
    #[error("the policy names somebody who cannot sign: `{0}`")]
    Member(PersonId),
    /// A policy that is needed could not be met by anybody.
    #[error(
        "nobody could meet a policy of {required} people: the `{able}` who can sign do not fill its places"
    )]
    NobodyCould {
        /// The policy.
        policy: PolicyId,
        /// How many it requires, when something was found.
        required: u32,
        /// How many of its people could sign.
        able: usize,
    },
    /// Packages would become unreleasable and the proposal does not say so.
    #[error("`{}` package(s) could not be released any more, and the proposal does not say so", .0.len())]
    LeavesUnreleasable(BTreeSet<PackageId>),
    /// Something the change names is not there.
    #[error("the proposal names a {0} that does not exist")]
    Missing(&'static str),
    /// What is frozen already, or is not.
    #[error("this is {0} already")]
    Already(&'static str),
}

/// How a proposal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalState {
    /// More signatures are needed, at least this many.
    Pending {
        /// How many.
        missing: u32,
    },
    /// Signed; it takes effect at this time unless somebody objects.
    Waiting {
        /// When.
        until: Timestamp,
    },
    /// It may take effect now.
    Ready,
    /// Somebody objected.
    Rejected {
        /// Who.
        by: PersonId,
    },
    /// Its time is over.
    Expired,
    /// It does not fit any more.
    Stale(Inapplicable),
}

impl ProposalState {
    /// How many signatures are missing, at least, while some are.
    pub const fn missing(&self) -> Option<u32> {
        match self {
            Self::Pending { missing } => Some(*missing),
            _ => None,
        }
    }
}

/// What the pages and the decision share about a proposal.
#[derive(Debug, Clone)]
pub struct ProposalStanding {
    /// What it takes now.
    pub takes: Takes,
    /// The policies whose quorum it takes, the governing one first.
    pub policies: Vec<Arc<Policy>>,
    /// Whose signature would count, over all of these policies.
    pub may_count: BTreeSet<PersonId>,
    /// Who may object.
    pub may_object: BTreeSet<PersonId>,
    /// Whose signatures count so far.
    pub counted: BTreeSet<PersonId>,
    /// Where it is.
    pub state: ProposalState,
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

/// Folding.
impl Governed {
    /// Takes the next entry. Entries about releases are passed over.
    pub fn apply(&mut self, entry: &LogEntry) -> Result<(), Unsound> {
        if entry.sequence <= self.last_sequence {
            return Err(Unsound("entries are out of order"));
        }
        self.last_sequence = entry.sequence;
        match &entry.event {
            Event::Genesis { .. } => Err(Unsound("there is a second genesis entry")),
            Event::FoundingProposed { founding, .. } => self.propose_founding(founding),
            Event::FoundingSigned { decision } => self.sign_founding(decision, entry.at),
            Event::Proposed { proposal } => self.propose(proposal, entry.at),
            Event::ProposalDecided { proposal, decision } => {
                self.vote(*proposal, decision, entry.at)
            }
            Event::ProposalRecovered { proposal, signature } => {
                self.recover(*proposal, signature, entry.at)
            }
            Event::ProposalEnacted { proposal } => self.enact(*proposal, entry.at),
            Event::ProposalEnded { proposal, .. } => {
                self.proposals.remove(proposal);
                Ok(())
            }
            Event::KeySuspended { credential_id } => self.suspend(credential_id),
            event => self.set_up(event),
        }
    }

    /// What an owner does before the founding.
    fn set_up(&mut self, event: &Event) -> Result<(), Unsound> {
        match event {
            Event::RosterRevised { roster, .. } => {
                let expected = self.roster.as_ref().map_or(1, |r| r.revision + 1);
                if roster.revision != expected {
                    return Err(Unsound("a roster revision is missing"));
                }
                self.roster = Some(Arc::new(roster.clone()));
            }
            Event::PolicyRevised { policy, .. } => {
                let expected = self.policies.get(&policy.id()).map_or(1, |p| p.revision() + 1);
                if policy.revision() != expected {
                    return Err(Unsound("a policy revision is missing"));
                }
                self.policies.insert(policy.id(), Arc::new(policy.clone()));
            }
            Event::UpstreamRevised { upstream, .. } => {
                self.upstreams.insert(upstream.id, upstream.clone());
            }
            Event::CredentialSealed { upstream, purpose, sealed_sha256, .. } => {
                self.set_credential(*upstream, *purpose, *sealed_sha256);
            }
            Event::PackageRevised { package, .. } => {
                self.packages.insert(package.id, package.clone());
            }
            Event::IssuerRevised { issuer, .. } => {
                self.issuers.insert(issuer.id, issuer.clone());
            }
            Event::PublisherRevised { publisher, .. } => {
                self.publishers.insert(publisher.id, publisher.clone());
            }
            Event::PublisherRemoved { publisher, .. } => {
                self.publishers.remove(publisher);
            }
            // What happens to releases says nothing about people and rules.
            _ => return Ok(()),
        }
        if self.founded.is_some() {
            return Err(Unsound("something changed after the founding without a proposal"));
        }
        // What founders signed is not what is set up any more.
        self.unfounded = None;
        Ok(())
    }

    fn set_credential(&mut self, upstream: UpstreamId, purpose: CredentialPurpose, sha256: Sha256) {
        if purpose == CredentialPurpose::Publish {
            self.credentials.insert(upstream, sha256);
        }
    }

    fn propose_founding(&mut self, founding: &Founding) -> Result<(), Unsound> {
        if self.founded.is_some() {
            return Err(Unsound("there is a second founding"));
        }
        let delay = founding.delay();
        let same = self.founding(founding.governing, delay, founding.recovery)?;
        if same != *founding || !self.policies.contains_key(&founding.governing) {
            return Err(Unsound("the founding is not what was set up"));
        }
        if delay < founding::DELAY_MIN || delay > founding::DELAY_MAX {
            return Err(Unsound("the delay of the founding is out of bounds"));
        }
        if self.policy(founding.governing)?.required() < self.strictest() {
            return Err(Unsound("fewer founders would sign than a package asks for"));
        }
        self.unfounded = Some(Unfounded {
            founding: founding.clone(),
            signed_by: BTreeSet::new(),
            with_hardware: BTreeSet::new(),
        });
        Ok(())
    }

    /// Most approvals that the policy of a package asks for: at least as many founders sign (Q21).
    pub fn strictest(&self) -> u32 {
        let policies = self.packages.values().filter_map(|it| self.policies.get(&it.policy));
        policies.map(|policy| policy.required()).max().unwrap_or(1)
    }

    fn sign_founding(&mut self, decision: &Decision, at: Timestamp) -> Result<(), Unsound> {
        let roster = Arc::clone(self.roster()?);
        let Some(unfounded) = &self.unfounded else {
            return Err(Unsound("somebody signed a founding that was not proposed"));
        };
        let governing = unfounded.founding.governing;
        let policy = Arc::clone(self.policy(governing)?);
        let statement = FoundingStatement::new(decision.person, unfounded.founding.clone());
        let says = decision.verdict == Verdict::Approve
            && statement.to_bytes() == decision.statement.as_bytes();
        let key = decision.verify(&self.relying_party, Purpose::Governance, (&roster, at), &roster);
        let (true, Ok(key)) = (says, key) else {
            return Err(Unsound("a signature of the founding does not verify"));
        };
        let Some(unfounded) = &mut self.unfounded else { return Ok(()) };
        unfounded.signed_by.insert(decision.person);
        if policy.is_hardware(&key) {
            unfounded.with_hardware.insert(decision.person);
        }
        let able = roster.able_to_sign(policy.members(), at);
        let able = |people: &BTreeSet<PersonId>| people.intersection(&able).copied().collect();
        let signed = Approvers {
            people: able(&unfounded.signed_by),
            with_hardware: able(&unfounded.with_hardware),
        };
        let founding = unfounded.founding.clone();
        if policy.lacks(&signed, false) == 0 {
            self.founded = Some(Founded {
                digest: founding.digest(),
                at,
                governing,
                delay: founding.delay(),
                recovery: founding.recovery,
            });
            self.unfounded = None;
        }
        Ok(())
    }

    fn propose(&mut self, proposal: &Proposal, at: Timestamp) -> Result<(), Unsound> {
        if self.founded.is_none() {
            return Err(Unsound("a proposal came before the founding"));
        }
        let sound = proposal.format == proposal::FORMAT
            && proposal.instance == self.instance
            && proposal.expires_at <= at + proposal::LIFETIME
            && !self.proposals.contains_key(&proposal.id);
        if !sound {
            return Err(Unsound("a proposal is not one of this installation"));
        }
        let open = Open {
            proposal: proposal.clone(),
            proposed_at: at,
            votes: Vec::new(),
            recovered_at: None,
        };
        self.proposals.insert(proposal.id, open);
        Ok(())
    }

    fn vote(&mut self, id: ProposalId, decision: &Decision, at: Timestamp) -> Result<(), Unsound> {
        let open = self
            .proposals
            .get(&id)
            .ok_or(Unsound("somebody decided about a proposal that does not wait"))?;
        let signed = ProposalStatement::from_bytes(decision.statement.as_bytes())
            .ok_or(Unsound("a decision about a proposal names no statement"))?;
        let expected =
            self.statement(&open.proposal, decision.person, decision.verdict, signed.reason)?;
        let roster = self.roster()?;
        // A signature does not say when it was made, but it names the proposal, which says when it
        // was made at the earliest: none can be dated back so far that its delay is over.
        let sound = at >= open.proposed_at
            && expected.to_bytes() == decision.statement.as_bytes()
            && decision
                .verify(&self.relying_party, Purpose::Governance, (roster, at), roster)
                .is_ok();
        if !sound {
            return Err(Unsound("a signature about a proposal does not verify"));
        }
        let cast = Cast {
            person: decision.person,
            verdict: decision.verdict,
            credential_id: decision.assertion.credential_id().clone(),
            at,
        };
        if let Some(open) = self.proposals.get_mut(&id) {
            open.votes.push(cast);
        }
        Ok(())
    }

    fn recover(
        &mut self,
        id: ProposalId,
        signature: &RecoverySignature,
        at: Timestamp,
    ) -> Result<(), Unsound> {
        let founded = self.founded.as_ref().ok_or(Unsound("a recovery came too early"))?;
        let open = self
            .proposals
            .get_mut(&id)
            .ok_or(Unsound("a recovery is about a proposal that does not wait"))?;
        if !open.proposal.is_about_keys() {
            return Err(Unsound("a recovery changes more than keys"));
        }
        if !founded.recovery.signed(&open.proposal.digest(), signature) {
            return Err(Unsound("the signature of a recovery does not verify"));
        }
        open.recovered_at = Some(at);
        Ok(())
    }

    fn enact(&mut self, id: ProposalId, at: Timestamp) -> Result<(), Unsound> {
        let open =
            self.proposals.get(&id).ok_or(Unsound("a proposal took effect that does not wait"))?;
        if self.assess(open, at)?.state != ProposalState::Ready {
            return Err(Unsound("a proposal took effect without what it takes"));
        }
        let proposal = open.proposal.clone();
        *self = self
            .after(&proposal, at)
            .map_err(|_| Unsound("a proposal took effect that does not fit"))?;
        self.proposals.remove(&id);
        Ok(())
    }

    /// An alarm of the gateway takes a key out of use; it can only take away (W9).
    fn suspend(&mut self, credential_id: &CredentialId) -> Result<(), Unsound> {
        let mut roster = self.roster()?.as_ref().clone();
        roster.revision += 1;
        roster
            .revoke_key(None, credential_id)
            .map_err(|_| Unsound("a key was suspended that is not on the roster"))?;
        self.roster = Some(Arc::new(roster));
        // Before the founding this changes what founders would sign.
        self.unfounded = None;
        Ok(())
    }
}

/// Proposals.
impl Governed {
    /// What `person` would sign about a proposal now.
    pub fn statement(
        &self,
        proposal: &Proposal,
        person: PersonId,
        decision: Verdict,
        reason: Option<String>,
    ) -> Result<ProposalStatement, Unsound> {
        let policies = self.touched_policies(proposal)?;
        Ok(ProposalStatement {
            format: proposal::STATEMENT_FORMAT.to_owned(),
            origin: self.relying_party.origin().to_owned(),
            decision,
            person,
            proposal: proposal.clone(),
            takes: self.takes(proposal),
            policies: policies.iter().map(|policy| PolicyReference::to(policy)).collect(),
            roster: RosterReference::to(self.roster()?),
            reason,
        })
    }

    /// How a proposal stands at `now`.
    pub fn assess(&self, open: &Open, now: Timestamp) -> Result<ProposalStanding, Unsound> {
        let takes = self.takes(&open.proposal);
        let policies = self.touched_policies(&open.proposal)?;
        let roster = self.roster()?;
        let subjects = open.proposal.subjects();
        let everybody: BTreeSet<_> = roster.people.iter().map(|person| person.id).collect();
        let signers = roster.able_to_sign(&everybody, now);
        let may_object = roster.holding_keys(&everybody).difference(&subjects).copied().collect();
        let may_count = match takes {
            Takes::OneSignature => {
                signers.iter().filter(|p| **p == open.proposal.by).copied().collect()
            }
            Takes::Quorum | Takes::QuorumAndDelay => policies
                .iter()
                .flat_map(|policy| roster.able_to_sign(policy.members(), now))
                .filter(|person| !subjects.contains(person))
                .collect(),
        };
        let mut standing = ProposalStanding {
            takes,
            policies,
            may_count,
            may_object,
            counted: BTreeSet::new(),
            state: ProposalState::Ready,
        };
        let votes = self.counting(open)?;
        let signed = votes.iter().filter(|cast| cast.verdict == Verdict::Approve);
        standing.counted =
            signed.map(|cast| cast.person).filter(|p| standing.may_count.contains(p)).collect();
        standing.state = self.state(open, &standing, now)?;
        Ok(standing)
    }

    fn state(
        &self,
        open: &Open,
        standing: &ProposalStanding,
        now: Timestamp,
    ) -> Result<ProposalState, Unsound> {
        let votes = self.counting(open)?;
        let objection = votes.iter().find(|cast| {
            cast.verdict == Verdict::Reject && standing.may_object.contains(&cast.person)
        });
        if let Some(cast) = objection {
            return Ok(ProposalState::Rejected { by: cast.person });
        }
        if now >= open.proposal.expires_at {
            return Ok(ProposalState::Expired);
        }
        if let Err(why) = self.after(&open.proposal, now) {
            return Ok(ProposalState::Stale(why));
        }
        if standing.takes == Takes::OneSignature && open.recovered_at.is_none() {
            let signed = votes.iter().any(|cast| {
                cast.verdict == Verdict::Approve && standing.may_count.contains(&cast.person)
            });
            return Ok(if signed {
                ProposalState::Ready
            } else {
                ProposalState::Pending { missing: 1 }
            });
        }
        let signed_at = match open.recovered_at {
            Some(at) => at,
            None => match self.quorum_at(open, standing, &votes, now)? {
                Ok(at) => at,
                Err(missing) => return Ok(ProposalState::Pending { missing }),
            },
        };
        let delay = self.founded.as_ref().map_or(founding::DELAY_MIN, |founded| founded.delay);
        let until = signed_at + delay;
        let waits = standing.takes == Takes::QuorumAndDelay || open.recovered_at.is_some();
        Ok(if waits && now < until {
            ProposalState::Waiting { until }
        } else {
            ProposalState::Ready
        })
    }

    /// A vote counts while the key that made it does (A4).
    fn counting(&self, open: &Open) -> Result<Vec<Cast>, Unsound> {
        let roster = self.roster()?;
        let counts = |cast: &&Cast| {
            roster.key(&cast.credential_id).is_some_and(|(person, _)| person.id == cast.person)
        };
        Ok(open.votes.iter().filter(counts).cloned().collect())
    }

    /// When the last signature came that completed every quorum, or how many are missing.
    fn quorum_at(
        &self,
        open: &Open,
        standing: &ProposalStanding,
        votes: &[Cast],
        now: Timestamp,
    ) -> Result<Result<Timestamp, u32>, Unsound> {
        let mut complete_at = open.proposed_at;
        let mut missing_most = 0;
        for policy in &standing.policies {
            match self.met_at(policy, &standing.may_count, votes, now)? {
                Ok(at) => complete_at = complete_at.max(at),
                Err(missing) => missing_most = missing_most.max(missing),
            }
        }
        Ok(if missing_most > 0 { Err(missing_most) } else { Ok(complete_at) })
    }

    /// When the last signature came that met a policy, or how many are missing.
    fn met_at(
        &self,
        policy: &Policy,
        may_count: &BTreeSet<PersonId>,
        votes: &[Cast],
        now: Timestamp,
    ) -> Result<Result<Timestamp, u32>, Unsound> {
        let roster = self.roster()?;
        let able = roster.able_to_sign(policy.members(), now);
        let counts = |cast: &&Cast| {
            cast.verdict == Verdict::Approve
                && able.contains(&cast.person)
                && may_count.contains(&cast.person)
        };
        let mut signed = Approvers::default();
        for cast in votes.iter().filter(counts) {
            signed.people.insert(cast.person);
            let key = roster.key(&cast.credential_id).map(|(_, key)| key.authenticator);
            if key.is_some_and(|key| policy.is_hardware(&key)) {
                signed.with_hardware.insert(cast.person);
            }
            if policy.lacks(&signed, false) == 0 {
                return Ok(Ok(cast.at));
            }
        }
        Ok(Err(policy.lacks(&signed, false)))
    }

    /// What a proposal takes: the most that any of its changes takes.
    pub fn takes(&self, proposal: &Proposal) -> Takes {
        let takes = proposal.changes.iter().map(|change| self.change_takes(proposal.by, change));
        takes.max().unwrap_or(Takes::QuorumAndDelay)
    }

    /// What one change would take by itself when `by` proposes it.
    pub fn change_takes(&self, by: PersonId, change: &Change) -> Takes {
        let own = change.subject() == Some(by);
        match change {
            Change::Freeze { .. } | Change::RemovePublisher { .. } => Takes::OneSignature,
            Change::RevokeKey { .. }
            | Change::RemovePerson { .. }
            | Change::LinkIdentity { .. }
                if own =>
            {
                Takes::OneSignature
            }
            // A further key of one's own, which waits for its probation instead.
            Change::AddKey { .. } if own => Takes::OneSignature,
            Change::RevokeKey { .. }
            | Change::RemovePerson { .. }
            | Change::LinkIdentity { .. }
            | Change::UnlinkIdentity { .. } => Takes::Quorum,
            Change::ChangeRole { person, role } => {
                let now = self.roster.as_ref().and_then(|r| r.person(*person)).map(|p| p.role);
                if now.is_some_and(|now| role.is_within(now)) {
                    Takes::Quorum
                } else {
                    Takes::QuorumAndDelay
                }
            }
            Change::SetPolicy { policy } => match self.policies.get(&policy.id()) {
                Some(old) if !policy.is_within(old) => Takes::QuorumAndDelay,
                // A new policy rules no package yet.
                _ => Takes::Quorum,
            },
            Change::SetUpstream { upstream } if !self.upstreams.contains_key(&upstream.id) => {
                Takes::Quorum
            }
            Change::SetPackage { package } if !self.packages.contains_key(&package.id) => {
                Takes::Quorum
            }
            Change::AddPerson { .. }
            | Change::AddKey { .. }
            | Change::SetUpstream { .. }
            | Change::SetCredential { .. }
            | Change::SetPackage { .. }
            | Change::SetIssuer { .. }
            | Change::SetPublisher { .. }
            | Change::Unfreeze { .. } => Takes::QuorumAndDelay,
        }
    }

    /// The governing policy and every policy that a proposal touches, as they are now.
    fn touched_policies(&self, proposal: &Proposal) -> Result<Vec<Arc<Policy>>, Unsound> {
        let founded = self.founded.as_ref().ok_or(Unsound("there is no founding"))?;
        let mut touched: BTreeSet<PolicyId> =
            proposal.changes.iter().flat_map(|change| self.touches(change)).collect();
        touched.remove(&founded.governing);
        let others = touched.iter().filter_map(|id| self.policies.get(id));
        let governing = self.policy(founded.governing)?;
        Ok(std::iter::once(governing).chain(others).cloned().collect())
    }

    fn touches(&self, change: &Change) -> BTreeSet<PolicyId> {
        let naming = |person: &PersonId| {
            let named = self.policies.values().filter(|policy| policy.named().contains(person));
            named.map(|policy| policy.id()).collect()
        };
        let of_packages = |packages: &BTreeSet<PackageId>| {
            packages.iter().filter_map(|id| self.packages.get(id)).map(|p| p.policy).collect()
        };
        match change {
            Change::AddPerson { person, .. }
            | Change::ChangeRole { person, .. }
            | Change::RemovePerson { person }
            | Change::AddKey { person, .. }
            | Change::RevokeKey { person, .. } => naming(person),
            Change::LinkIdentity { person, .. } => person.as_ref().map(naming).unwrap_or_default(),
            Change::UnlinkIdentity { identity } => {
                let owner = self.roster.as_ref().and_then(|roster| roster.owner_of(identity));
                owner.as_ref().map(naming).unwrap_or_default()
            }
            Change::SetPolicy { policy } => BTreeSet::from([policy.id()]),
            Change::SetUpstream { upstream: UpstreamRecord { id, .. } }
            | Change::SetCredential { upstream: id, .. } => {
                let there = self.packages.values().filter(|package| package.upstream == *id);
                there.map(|package| package.policy).collect()
            }
            Change::SetPackage { package } => of_packages(&BTreeSet::from([package.id])),
            // Any publisher may be one of an issuer's; none is of one that is new.
            Change::SetIssuer { issuer } if self.issuers.contains_key(&issuer.id) => {
                self.policies_in_use()
            }
            Change::SetPublisher { publisher } => {
                let mut packages = publisher.packages.clone();
                if let Some(old) = self.publishers.get(&publisher.id) {
                    packages.extend(&old.packages);
                }
                of_packages(&packages)
            }
            Change::SetIssuer { .. } | Change::RemovePublisher { .. } | Change::Freeze { .. } => {
                BTreeSet::new()
            }
            Change::Unfreeze { scope: Scope::Package(package) } => {
                of_packages(&BTreeSet::from([*package]))
            }
            Change::Unfreeze { scope: Scope::Everything } => self.policies_in_use(),
        }
    }

    fn policies_in_use(&self) -> BTreeSet<PolicyId> {
        self.packages.values().map(|package| package.policy).collect()
    }

    /// What would be in force after a proposal, or why it does not fit.
    pub fn after(&self, proposal: &Proposal, at: Timestamp) -> Result<Self, Inapplicable> {
        if proposal.changes.is_empty() || proposal.changes.len() > CHANGES_MAX {
            return Err(Inapplicable::Changes(proposal.changes.len()));
        }
        let mut next = self.clone();
        let mut roster = self.roster.as_ref().map_or_else(Roster::default, |r| r.as_ref().clone());
        let before = roster.clone();
        for change in &proposal.changes {
            next.carry_out(&mut roster, change, at)?;
        }
        if roster != before {
            roster.revision += 1;
            next.roster = Some(Arc::new(roster));
        }
        next.check_members(proposal)?;
        // One's own key can be revoked and one can leave whatever follows: a stolen key must not
        // stay because a quorum would be short (Q20).
        if self.takes(proposal) != Takes::OneSignature {
            self.check_releasable(&next, proposal)?;
        }
        Ok(next)
    }

    fn carry_out(
        &mut self,
        roster: &mut Roster,
        change: &Change,
        at: Timestamp,
    ) -> Result<(), Inapplicable> {
        match change {
            Change::AddPerson { person, role } => roster.add_person(*person, *role)?,
            Change::ChangeRole { person, role } => roster.change_role(*person, *role)?,
            Change::RemovePerson { person } => roster.remove_person(*person)?,
            Change::AddKey { person, key } => {
                let counts_from = key.counts_from.max(at + PROBATION);
                roster.add_key(*person, RosterKey { counts_from, ..key.clone() })?;
            }
            Change::RevokeKey { person, credential_id } => {
                roster.revoke_key(Some(*person), credential_id)?;
            }
            Change::LinkIdentity { identity, person } => {
                roster.link_identity(identity.clone(), *person)?;
            }
            Change::UnlinkIdentity { identity } => roster.unlink_identity(identity)?,
            Change::SetPolicy { policy } => {
                let expected = self.policies.get(&policy.id()).map_or(1, |p| p.revision() + 1);
                if policy.revision() != expected {
                    let received = policy.revision();
                    return Err(Inapplicable::Revision { expected, received });
                }
                self.policies.insert(policy.id(), Arc::new(policy.clone()));
            }
            Change::SetUpstream { upstream } => {
                self.upstreams.insert(upstream.id, upstream.clone());
            }
            Change::SetCredential { upstream, purpose, sealed_sha256 } => {
                known(&self.upstreams, upstream, "registry")?;
                self.set_credential(*upstream, *purpose, *sealed_sha256);
            }
            Change::SetPackage { package } => {
                known(&self.upstreams, &package.upstream, "registry")?;
                known(&self.policies, &package.policy, "policy")?;
                self.packages.insert(package.id, package.clone());
            }
            Change::SetIssuer { issuer } => {
                self.issuers.insert(issuer.id, issuer.clone());
            }
            Change::SetPublisher { publisher } => {
                for package in &publisher.packages {
                    known(&self.packages, package, "package")?;
                }
                self.publishers.insert(publisher.id, publisher.clone());
            }
            Change::RemovePublisher { publisher } => {
                known(&self.publishers, publisher, "publisher")?;
                self.publishers.remove(publisher);
            }
            Change::Freeze { scope } => {
                if !self.frozen.insert(*scope) {
                    return Err(Inapplicable::Already("frozen"));
                }
            }
            Change::Unfreeze { scope } => {
                if !self.frozen.remove(scope) {
                    return Err(Inapplicable::Already("released"));
                }
            }
        }
        Ok(())
    }

    /// Policies that a proposal sets name people who are there and sign.
    fn check_members(&self, proposal: &Proposal) -> Result<(), Inapplicable> {
        let roster = self.roster.as_deref();
        for change in &proposal.changes {
            let Change::SetPolicy { policy } = change else { continue };
            for member in policy.named() {
                let person = roster.and_then(|roster| roster.person(member));
                if !person.is_some_and(|person| person.role.may_sign()) {
                    return Err(Inapplicable::Member(member));
                }
            }
        }
        Ok(())
    }

    /// Every package that could be released before can be released after, or the proposal says
    /// that it cannot (A6). The governing policy must always be one that people can meet.
    fn check_releasable(&self, next: &Self, proposal: &Proposal) -> Result<(), Inapplicable> {
        if let Some(founded) = &self.founded
            && let Some(short) = next.shortfall(founded.governing)
        {
            return Err(short);
        }
        for change in &proposal.changes {
            let Change::SetPolicy { policy } = change else { continue };
            if let Some(short) = next.shortfall(policy.id()) {
                return Err(short);
            }
        }
        let stranded = |governed: &Self| {
            let packages = governed.packages.values();
            packages
                .filter(|package| governed.shortfall(package.policy).is_some())
                .map(|package| package.id)
                .collect::<BTreeSet<_>>()
        };
        let newly: BTreeSet<_> = stranded(next).difference(&stranded(self)).copied().collect();
        if newly.is_subset(&proposal.leaves_unreleasable) {
            Ok(())
        } else {
            Err(Inapplicable::LeavesUnreleasable(newly))
        }
    }

    /// Why a policy could not be met by the people there are, if so. Keys on probation count: they
    /// will be there.
    fn shortfall(&self, id: PolicyId) -> Option<Inapplicable> {
        let policy = self.policies.get(&id)?;
        let roster = self.roster.as_deref()?;
        let able = roster.approvers(policy, Timestamp::MAX);
        let short = policy.lacks(&able, true) > 0;
        let (required, able) = (policy.required_with(true), able.people.len());
        short.then_some(Inapplicable::NobodyCould { policy: id, required, able })
    }
}

fn known<K: Ord, V>(map: &BTreeMap<K, V>, key: &K, what: &'static str) -> Result<(), Inapplicable> {
    if map.contains_key(key) { Ok(()) } else { Err(Inapplicable::Missing(what)) }
}
