//! How a proposal stands: what it takes, who signed it, and when it may take effect.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Governed, Inapplicable, Unsound};
use crate::domain::assertion::CredentialId;
use crate::domain::event::UpstreamRecord;
use crate::domain::founding;
use crate::domain::ids::{PackageId, PersonId, PolicyId};
use crate::domain::policy::{Approvers, Missing, Policy};
use crate::domain::proposal::{self, Change, Proposal, ProposalStatement, Scope, Takes};
use crate::domain::quorum::Verdict;
use crate::domain::statement::{PolicyReference, RosterReference};

/// A vote on a proposal that verified when it was cast.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    pub(super) person: PersonId,
    pub(super) verdict: Verdict,
    pub(super) credential_id: CredentialId,
    pub(super) at: Timestamp,
}

/// A proposal that waits.
#[derive(Debug, Clone)]
pub struct Open {
    /// What is proposed.
    pub proposal: Proposal,
    /// Since when.
    pub proposed_at: Timestamp,
    pub(super) votes: Vec<Cast>,
    /// When the recovery key signed it instead of a quorum.
    pub(super) recovered_at: Option<Timestamp>,
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

/// How a proposal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalState {
    /// More signatures are needed.
    Pending {
        /// How many at least, and among them whose.
        missing: Missing,
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
    /// What is missing, while something is.
    pub const fn missing(&self) -> Option<&Missing> {
        match self {
            Self::Pending { missing } => Some(missing),
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
                ProposalState::Pending { missing: Missing::people(1) }
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

    /// When the last signature came that completed every quorum, or what is missing.
    fn quorum_at(
        &self,
        open: &Open,
        standing: &ProposalStanding,
        votes: &[Cast],
        now: Timestamp,
    ) -> Result<Result<Timestamp, Missing>, Unsound> {
        let mut complete_at = open.proposed_at;
        let mut missing: Option<Missing> = None;
        for policy in &standing.policies {
            match self.met_at(policy, &standing.may_count, votes, now)? {
                Ok(at) => complete_at = complete_at.max(at),
                Err(more) => {
                    missing = Some(match missing {
                        Some(missing) => missing.and(more),
                        None => more,
                    });
                }
            }
        }
        Ok(missing.map_or(Ok(complete_at), Err))
    }

    /// When the last signature came that met a policy, or what is missing.
    fn met_at(
        &self,
        policy: &Policy,
        may_count: &BTreeSet<PersonId>,
        votes: &[Cast],
        now: Timestamp,
    ) -> Result<Result<Timestamp, Missing>, Unsound> {
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
        Ok(Err(policy.missing(&signed, false)))
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

    pub(super) fn policies_in_use(&self) -> BTreeSet<PolicyId> {
        self.packages.values().map(|package| package.policy).collect()
    }
}
