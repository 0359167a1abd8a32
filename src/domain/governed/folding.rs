//! Entries of the log, taken one by one. Each is checked against what is in force before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::proposals::{Cast, Open, ProposalState};
use super::{Founded, Governed, Unfounded, Unsound};
use crate::domain::assertion::{CredentialId, Purpose};
use crate::domain::decision::Decision;
use crate::domain::digest::Sha256;
use crate::domain::event::{Event, LogEntry};
use crate::domain::founding::{self, Founding, FoundingStatement};
use crate::domain::ids::{PersonId, ProposalId, UpstreamId};
use crate::domain::policy::Approvers;
use crate::domain::proposal::{self, Proposal, ProposalStatement};
use crate::domain::quorum::Verdict;
use crate::domain::recovery::RecoverySignature;
use crate::domain::upstream::CredentialPurpose;

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

    pub(super) fn set_credential(
        &mut self,
        upstream: UpstreamId,
        purpose: CredentialPurpose,
        sha256: Sha256,
    ) {
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
