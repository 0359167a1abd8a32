//! The founding of a history and what changes after it, as [`History`] tells it.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::assertion::Purpose;
use countersign::domain::decision::Decision;
use countersign::domain::event::Event;
use countersign::domain::founding::{self, Founding, FoundingStatement};
use countersign::domain::governed::{Governed, ProposalStanding, Unsound};
use countersign::domain::ids::{PersonId, ProposalId};
use countersign::domain::policy::PolicyDraft;
use countersign::domain::proposal::{self, Change, Proposal};
use countersign::domain::quorum::Verdict;
use countersign::domain::recovery::{RecoveryKey, RecoverySignature, message};
use countersign::domain::roster::Role;
use jiff::SignedDuration;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::support::history::History;

/// Between the quorum of a loosening and its effect, in these histories.
pub(crate) const DELAY: SignedDuration = SignedDuration::from_hours(24);

/// The key on the sheet in the safe.
fn recovery_pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// The founding.
impl History {
    /// The usual founded beginning: an owner and three maintainers, two of whom must approve each
    /// release and each change.
    pub(crate) fn founded() -> (Self, [PersonId; 4]) {
        let (mut log, people) = Self::set_up();
        log.put_founding();
        log.sign_founding(people[0]);
        log.sign_founding(people[1]);
        (log, people)
    }

    /// [`Self::founded`] before anybody put it before the founders.
    pub(crate) fn set_up() -> (Self, [PersonId; 4]) {
        let (mut log, [jun, ines, dana]) = Self::begin(2);
        let olga = log.join(Role::Owner);
        let people = [olga, jun, ines, dana];
        log.revise_policy(|policy: &mut PolicyDraft| policy.members = BTreeSet::from(people));
        (log, people)
    }

    /// The same, founded by as many as it takes.
    pub(crate) fn founded_now(mut self) -> Self {
        let members = self.policies[&self.package.policy].members().clone();
        let able = self.roster.able_to_sign(&members, self.now);
        self.put_founding();
        for founder in able {
            if self.governed().unwrap().founded().is_none() {
                self.sign_founding(founder);
            }
        }
        self
    }

    /// What founders would sign.
    pub(crate) fn founding(&self) -> Founding {
        let key = recovery_pair().public_key().as_ref().try_into().unwrap();
        Founding {
            format: founding::FORMAT.to_owned(),
            instance: self.instance,
            origin: crate::support::history::ORIGIN.to_owned(),
            roster: self.roster.clone(),
            policies: self.policies.values().cloned().collect(),
            governing: self.package.policy,
            delay_secs: DELAY.as_secs(),
            upstreams: vec![self.upstream.clone()],
            packages: vec![self.package.clone()],
            issuers: Vec::new(),
            publishers: Vec::new(),
            credentials: BTreeMap::new(),
            recovery: RecoveryKey::from_bytes(key),
        }
    }

    /// An owner puts it before them.
    pub(crate) fn put_founding(&mut self) {
        let founding = self.founding();
        self.founding = Some(founding.digest());
        let by = self.roster.people[0].id;
        self.tell(Event::FoundingProposed { founding: Box::new(founding), by });
    }

    /// A founder signs.
    pub(crate) fn sign_founding(&mut self, person: PersonId) {
        let statement = FoundingStatement::new(person, self.founding()).to_bytes();
        // The governing policy may ask for a key that a maker vouches for.
        let keys = &self.roster.person(person).expect("a founder").keys;
        let best = keys.iter().find(|key| key.authenticator.attested).or(keys.first());
        let key = best.expect("a key").credential_id.clone();
        let who = (person, Verdict::Approve);
        let decision = self.sign_with(&key, who, Purpose::Governance, statement);
        self.tell(Event::FoundingSigned { decision });
    }
}

/// Proposals.
impl History {
    /// What is in force.
    pub(crate) fn governed(&self) -> Result<Governed, Unsound> {
        Governed::replay(&self.entries)
    }

    /// A proposal that nobody made yet.
    pub(crate) fn proposal(&mut self, by: PersonId, changes: Vec<Change>) -> Proposal {
        Proposal {
            format: proposal::FORMAT.to_owned(),
            id: self.id(),
            instance: self.instance,
            by,
            changes,
            leaves_unreleasable: BTreeSet::new(),
            reason: None,
            expires_at: self.now + proposal::LIFETIME,
        }
    }

    /// Somebody proposes one change.
    pub(crate) fn propose(&mut self, by: PersonId, change: Change) -> ProposalId {
        let proposal = self.proposal(by, vec![change]);
        self.put(proposal)
    }

    /// Somebody proposes.
    pub(crate) fn put(&mut self, proposal: Proposal) -> ProposalId {
        let id = proposal.id;
        self.tell(Event::Proposed { proposal });
        id
    }

    /// How a proposal stands now.
    pub(crate) fn standing_of(&self, id: ProposalId) -> ProposalStanding {
        let governed = self.governed().unwrap();
        governed.assess(governed.proposal(id).expect("it waits"), self.now).unwrap()
    }

    /// What somebody signs about a proposal, with their first key.
    pub(crate) fn vote_of(
        &mut self,
        id: ProposalId,
        person: PersonId,
        verdict: Verdict,
    ) -> Decision {
        let governed = self.governed().unwrap();
        let proposal = &governed.proposal(id).expect("it waits").proposal;
        let statement = governed.statement(proposal, person, verdict, None).unwrap().to_bytes();
        self.sign_bytes((person, verdict), Purpose::Governance, statement)
    }

    /// Somebody signs a proposal.
    pub(crate) fn support(&mut self, id: ProposalId, person: PersonId) {
        let decision = self.vote_of(id, person, Verdict::Approve);
        self.tell(Event::ProposalDecided { proposal: id, decision });
    }

    /// Somebody objects to a proposal.
    pub(crate) fn oppose(&mut self, id: ProposalId, person: PersonId) {
        let decision = self.vote_of(id, person, Verdict::Reject);
        self.tell(Event::ProposalDecided { proposal: id, decision });
    }

    /// A proposal takes effect, the log says.
    pub(crate) fn enact(&mut self, id: ProposalId) {
        self.tell(Event::ProposalEnacted { proposal: id });
    }

    /// A change that takes effect by the signatures of two and the delay.
    pub(crate) fn carry(&mut self, change: Change, signers: [PersonId; 2]) {
        let by = self.roster.people.iter().find(|person| person.role == Role::Owner).unwrap().id;
        let id = self.propose(by, change);
        for signer in signers {
            self.support(id, signer);
        }
        self.wait(DELAY);
        self.enact(id);
    }

    /// The sheet comes out of the safe.
    pub(crate) fn recover(&mut self, id: ProposalId) {
        let governed = self.governed().unwrap();
        let digest = governed.proposal(id).expect("it waits").proposal.digest();
        let signature = recovery_pair().sign(&message(&digest));
        let signature = RecoverySignature::from_bytes(signature.as_ref().try_into().unwrap());
        self.tell(Event::ProposalRecovered { proposal: id, signature });
    }
}
