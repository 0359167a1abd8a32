//! What a proposal would change, and why it does not fit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Governed, PROBATION};
use crate::domain::ids::{PackageId, PersonId, PolicyId};
use crate::domain::proposal::{CHANGES_MAX, Change, Proposal, Takes};
use crate::domain::roster::{Roster, RosterKey, RosterRefusal};

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

impl Governed {
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
