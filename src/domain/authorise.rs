//! The publish decision: a pure function of the log.
//!
//! [`authorise`] replays the entries that govern a release (everything about people, policies,
//! packages and upstreams, and the release's own entries) and either returns an [`Authorised`]
//! value or the reason why not. Rows in the database are never asked: what the pages show is
//! computed by the same replay ([`Standing`]), and the forwarder calls [`authorise`] immediately
//! before it opens the credential (A2, A11, I4).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::assertion::{self, Intent, Purpose, RelyingParty};
use crate::domain::decision::Decision;
use crate::domain::digest::Sha256;
use crate::domain::event::{Event, LogEntry, PackageRecord, UpstreamRecord};
use crate::domain::ids::{
    DecisionId, InstanceId, PackageId, PersonId, PolicyId, ReleaseId, UpstreamId,
};
use crate::domain::manifest::SealedManifest;
use crate::domain::policy::Policy;
use crate::domain::quorum::{QuorumMet, Tally, Verdict, Vote, tally};
use crate::domain::release::{Hold, State};
use crate::domain::roster::{ActorIs, CiIdentity, Roster};
use crate::domain::statement::{Circumstances, Statement};

/// Proof that a release may be published now. Only [`authorise`] makes one (I4).
#[derive(Debug, Clone)]
pub struct Authorised {
    instance: InstanceId,
    manifest: SealedManifest,
    upstream: UpstreamRecord,
    quorum: QuorumMet,
}

impl Authorised {
    /// The installation whose log this was decided from.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Exactly what may be sent.
    pub const fn manifest(&self) -> &SealedManifest {
        &self.manifest
    }

    /// Where it may be sent.
    pub const fn upstream(&self) -> &UpstreamRecord {
        &self.upstream
    }

    /// Whose approvals counted.
    pub const fn quorum(&self) -> &QuorumMet {
        &self.quorum
    }
}

/// Why a release may not be published.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum NotAuthorised {
    /// The log does not begin with a genesis entry, or an entry contradicts an earlier one. Nobody
    /// may publish from such a log.
    #[error("the log is not sound: {0}")]
    Unsound(&'static str),
    /// The release was never sealed.
    #[error("the release is not sealed")]
    NotSealed,
    /// It was rejected, expired or superseded.
    #[error("the release is {}", .0.as_str())]
    Ended(State),
    /// Its time is over.
    #[error("the release expired at `{0}`")]
    Expired(Timestamp),
    /// The package now goes elsewhere, or its upstream has another address than the one people
    /// were shown.
    #[error("the destination changed since the release was sealed")]
    DestinationChanged,
    /// Nobody said yet whose CI identity started the run (Q16).
    #[error("it is not settled who started the CI run (`{actor_id}`)")]
    ActorUnknown {
        /// The immutable id at the CI system.
        actor_id: String,
    },
    /// Somebody paused it (Q10).
    #[error("the release is on hold")]
    Held(PersonId),
    /// Somebody objected.
    #[error("somebody rejected the release")]
    Rejected(PersonId),
    /// More approvals are needed.
    #[error("{missing} more approval(s) needed")]
    Pending {
        /// How many.
        missing: u32,
    },
}

/// Why a recorded decision does not count.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Discount {
    /// The signed statement is not the one this release, person, policy and roster give.
    #[error("the signed statement is about something else")]
    Statement,
    /// The key was not this person's, or did not count yet, when they signed.
    #[error("the key did not count when it signed")]
    KeyThen,
    /// The key or the person is no longer on the roster (A4).
    #[error("the key no longer counts")]
    KeyNow,
    /// The signature does not verify.
    #[error("the signature does not verify: {0}")]
    Signature(String),
}

/// A decision that does not count, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discounted {
    /// Which decision.
    pub decision: DecisionId,
    /// Whose.
    pub person: PersonId,
    /// Why not.
    pub why: Discount,
}

/// How a sealed release stands: everything the review page and the decision share.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What was sealed.
    pub manifest: SealedManifest,
    /// Nothing is sent after this time.
    pub expires_at: Timestamp,
    /// The policy in force now.
    pub policy: Policy,
    /// The policy in force when the release was sealed.
    pub sealed_policy: Policy,
    /// The roster in force now.
    pub roster: Roster,
    /// Who started the CI run, as the roster has it now.
    pub started_by: ActorIs,
    /// The CI identity behind it.
    pub ci_identity: CiIdentity,
    /// Whose approval would count or counts, by both policies.
    pub may_count: BTreeSet<PersonId>,
    /// Whose approvals count.
    pub counted: BTreeSet<PersonId>,
    /// The count under the stricter of both policies (Q7).
    pub tally: Tally,
    /// Recorded decisions that do not count.
    pub discounted: Vec<Discounted>,
    /// Set while somebody pauses the release.
    pub hold: Option<Hold>,
    /// Set when the release ended without being published.
    pub ended: Option<State>,
    origin: String,
    instance: InstanceId,
    destination: Option<UpstreamRecord>,
}

impl Standing {
    /// What `person` would sign about this release now.
    pub fn statement(
        &self,
        person: PersonId,
        verdict: Verdict,
        reason: Option<String>,
    ) -> Statement {
        let at = Circumstances {
            origin: &self.origin,
            manifest: &self.manifest,
            policy: &self.policy,
            roster: &self.roster,
            not_after: self.expires_at,
        };
        Statement::new(at, person, verdict, reason)
    }
}

/// Decides whether `release` may be published at `now`.
///
/// `log` holds, in order, every entry that is not about a release and every entry about this one;
/// entries about other releases may be left out.
pub fn authorise(
    log: &[LogEntry],
    release: ReleaseId,
    now: Timestamp,
) -> Result<Authorised, NotAuthorised> {
    let standing = standing(log, release, now)?;
    if let Some(state) = standing.ended {
        return Err(NotAuthorised::Ended(state));
    }
    if now >= standing.expires_at {
        return Err(NotAuthorised::Expired(standing.expires_at));
    }
    let upstream = standing.destination.ok_or(NotAuthorised::DestinationChanged)?;
    if standing.started_by == ActorIs::Unknown {
        return Err(NotAuthorised::ActorUnknown { actor_id: standing.ci_identity.actor_id });
    }
    if let Some(hold) = standing.hold {
        return Err(NotAuthorised::Held(hold.by));
    }
    match standing.tally {
        Tally::Rejected { by } => Err(NotAuthorised::Rejected(by)),
        Tally::Pending { missing, .. } => Err(NotAuthorised::Pending { missing }),
        Tally::Met(quorum) => Ok(Authorised {
            instance: standing.instance,
            manifest: standing.manifest,
            upstream,
            quorum,
        }),
    }
}

/// Replays the log up to now and says how the release stands.
pub fn standing(
    log: &[LogEntry],
    release: ReleaseId,
    now: Timestamp,
) -> Result<Standing, NotAuthorised> {
    let replay = Replay::run(log, release)?;
    let sealed = replay.sealed.as_ref().ok_or(NotAuthorised::NotSealed)?;
    let roster = replay.roster()?;
    let package = replay.package(&sealed.manifest)?;
    let policy = replay.policy(package.policy)?;
    let started_by = roster.whose(&sealed.started_by);

    let mut votes = Vec::new();
    let mut discounted = Vec::new();
    for cast in &replay.decisions {
        match cast.judge(&replay, sealed, roster) {
            Ok(vote) => votes.push(vote),
            Err(why) => discounted.push(Discounted {
                decision: cast.decision.id,
                person: cast.decision.person,
                why,
            }),
        }
    }
    let count = |policy: &Policy| {
        let able = roster.able_to_sign(policy.members(), now);
        let mut may_count = able.clone();
        if let (ActorIs::Person(person), false) = (started_by, policy.triggering_actor_counts()) {
            may_count.remove(&person);
        }
        (tally(policy.required(), &may_count, &able, &votes), may_count)
    };
    let (then, may_count_then) = count(sealed.policy);
    let (today, may_count_today) = count(policy);
    let may_count: BTreeSet<_> = may_count_then.intersection(&may_count_today).copied().collect();
    let approves = |v: &&Vote| v.verdict == Verdict::Approve && may_count.contains(&v.person);
    let counted = votes.iter().filter(approves).map(|v| v.person).collect();
    Ok(Standing {
        manifest: sealed.manifest.clone(),
        expires_at: sealed.expires_at,
        policy: policy.clone(),
        sealed_policy: sealed.policy.clone(),
        roster: roster.clone(),
        started_by,
        ci_identity: sealed.started_by.clone(),
        may_count,
        counted,
        tally: stricter(then, today),
        discounted,
        hold: replay.hold.clone(),
        ended: replay.ended,
        origin: replay.genesis.relying_party.origin().to_owned(),
        instance: replay.genesis.instance,
        destination: replay.destination(package, sealed).cloned(),
    })
}

/// Both policies must hold: an objection under either wins, then whichever misses more (A3, Q7).
fn stricter(then: Tally, today: Tally) -> Tally {
    match (then, today) {
        (Tally::Rejected { by }, _) | (_, Tally::Rejected { by }) => Tally::Rejected { by },
        (Tally::Met(_), today) => today,
        (then, Tally::Met(_)) => then,
        (Tally::Pending { counted, missing: a }, Tally::Pending { counted: other, missing: b }) => {
            if a >= b {
                Tally::Pending { counted, missing: a }
            } else {
                Tally::Pending { counted: other, missing: b }
            }
        }
    }
}

struct Genesis {
    instance: InstanceId,
    relying_party: RelyingParty,
}

struct Sealed<'a> {
    manifest: SealedManifest,
    started_by: CiIdentity,
    policy: &'a Policy,
    expires_at: Timestamp,
}

/// A decision with what was in force when its entry was appended.
struct Cast<'a> {
    decision: &'a Decision,
    at: Timestamp,
    roster: &'a Roster,
    policy: &'a Policy,
}

struct Replay<'a> {
    genesis: Genesis,
    roster: Option<&'a Roster>,
    policies: BTreeMap<PolicyId, Vec<&'a Policy>>,
    packages: BTreeMap<PackageId, &'a PackageRecord>,
    upstreams: BTreeMap<UpstreamId, &'a UpstreamRecord>,
    sealed: Option<Sealed<'a>>,
    decisions: Vec<Cast<'a>>,
    hold: Option<Hold>,
    ended: Option<State>,
    last_sequence: u64,
}

impl<'a> Replay<'a> {
    fn run(log: &'a [LogEntry], release: ReleaseId) -> Result<Self, NotAuthorised> {
        let (first, rest) = log.split_first().ok_or(NotAuthorised::Unsound("the log is empty"))?;
        let Event::Genesis { instance, origin } = &first.event else {
            return Err(NotAuthorised::Unsound("the first entry is not genesis"));
        };
        let relying_party = RelyingParty::parse(origin)
            .map_err(|_| NotAuthorised::Unsound("the genesis origin is not an origin"))?;
        if first.sequence != 0 {
            return Err(NotAuthorised::Unsound("the first entry is missing"));
        }
        let mut replay = Self {
            genesis: Genesis { instance: *instance, relying_party },
            roster: None,
            policies: BTreeMap::new(),
            packages: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            sealed: None,
            decisions: Vec::new(),
            hold: None,
            ended: None,
            last_sequence: 0,
        };
        for entry in rest {
            if entry.sequence <= replay.last_sequence {
                return Err(NotAuthorised::Unsound("entries are out of order"));
            }
            replay.last_sequence = entry.sequence;
            if entry.event.release().is_none_or(|about| about == release) {
                replay.apply(entry)?;
            }
        }
        Ok(replay)
    }

    fn apply(&mut self, entry: &'a LogEntry) -> Result<(), NotAuthorised> {
        match &entry.event {
            Event::Genesis { .. } => {
                return Err(NotAuthorised::Unsound("there is a second genesis entry"));
            }
            Event::RosterRevised { roster, .. } => {
                let expected = self.roster.map_or(1, |r| r.revision + 1);
                if roster.revision != expected {
                    return Err(NotAuthorised::Unsound("a roster revision is missing"));
                }
                self.roster = Some(roster);
            }
            Event::PolicyRevised { policy, .. } => {
                let revisions = self.policies.entry(policy.id()).or_default();
                let expected = u32::try_from(revisions.len() + 1).unwrap_or(u32::MAX);
                if policy.revision() != expected {
                    return Err(NotAuthorised::Unsound("a policy revision is missing"));
                }
                revisions.push(policy);
            }
            Event::UpstreamRevised { upstream, .. } => {
                self.upstreams.insert(upstream.id, upstream);
            }
            Event::PackageRevised { package, .. } => {
                self.packages.insert(package.id, package);
            }
            Event::ReleaseSealed { .. } => self.seal(entry)?,
            Event::Decided { decision, .. } => self.cast(entry.at, decision)?,
            Event::ReleaseHeld { by, note, .. } => {
                let (by, note) = (*by, note.clone());
                self.hold = Some(Hold { by, at: entry.at, note, sequence: entry.sequence });
            }
            Event::ReleaseResumed { .. } => self.hold = None,
            Event::ReleaseRejected { .. } => self.ended = Some(State::Rejected),
            Event::ReleaseExpired { .. } => self.ended = Some(State::Expired),
            Event::ReleaseSuperseded { .. } => self.ended = Some(State::Superseded),
            // What follows says what happened, not what may happen.
            Event::CredentialSealed { .. }
            | Event::PublisherRevised { .. }
            | Event::PublisherRemoved { .. }
            | Event::ReleaseOpened { .. }
            | Event::ArtifactStaged { .. }
            | Event::ReleaseApproved { .. }
            | Event::ForwardStarted { .. }
            | Event::ForwardEnded { .. }
            | Event::ReleaseConfirming { .. }
            | Event::ReleaseReturned { .. }
            | Event::ForwardRetried { .. }
            | Event::ReleasePublished { .. }
            | Event::ReleasePartlyPublished { .. }
            | Event::ReleaseFailed { .. } => {}
        }
        Ok(())
    }

    fn seal(&mut self, entry: &'a LogEntry) -> Result<(), NotAuthorised> {
        let Event::ReleaseSealed {
            release,
            manifest,
            started_by,
            policy,
            policy_revision,
            expires_at,
            ..
        } = &entry.event
        else {
            return Ok(());
        };
        if self.sealed.is_some() {
            return Err(NotAuthorised::Unsound("the release was sealed twice"));
        }
        let manifest = SealedManifest::from_bytes(manifest.as_bytes().to_vec())
            .map_err(|_| NotAuthorised::Unsound("the sealed manifest does not parse"))?;
        if manifest.manifest().release != *release
            || manifest.manifest().instance != self.genesis.instance
        {
            return Err(NotAuthorised::Unsound("the sealed manifest is of another release"));
        }
        let in_force = self.package(&manifest)?.policy;
        if *policy != in_force {
            return Err(NotAuthorised::Unsound("the release was sealed under a foreign policy"));
        }
        let policy = self.policy(in_force)?;
        if policy.revision() != *policy_revision {
            return Err(NotAuthorised::Unsound("the release was sealed under an old policy"));
        }
        if entry.at.checked_add(policy.expiry()).ok() != Some(*expires_at) {
            return Err(NotAuthorised::Unsound("the seal does not expire as its policy says"));
        }
        self.sealed = Some(Sealed {
            manifest,
            started_by: started_by.clone(),
            policy,
            expires_at: *expires_at,
        });
        Ok(())
    }

    fn cast(&mut self, at: Timestamp, decision: &'a Decision) -> Result<(), NotAuthorised> {
        let sealed = self
            .sealed
            .as_ref()
            .ok_or(NotAuthorised::Unsound("a decision came before its release was sealed"))?;
        let package = self.package(&sealed.manifest)?;
        let cast =
            Cast { decision, at, roster: self.roster()?, policy: self.policy(package.policy)? };
        self.decisions.push(cast);
        Ok(())
    }

    fn roster(&self) -> Result<&'a Roster, NotAuthorised> {
        self.roster.ok_or(NotAuthorised::Unsound("there is no roster"))
    }

    fn package(&self, sealed: &SealedManifest) -> Result<&'a PackageRecord, NotAuthorised> {
        self.packages
            .get(&sealed.manifest().package_id)
            .copied()
            .ok_or(NotAuthorised::Unsound("the package of a sealed release is not in the log"))
    }

    fn policy(&self, id: PolicyId) -> Result<&'a Policy, NotAuthorised> {
        self.policies
            .get(&id)
            .and_then(|revisions| revisions.last())
            .copied()
            .ok_or(NotAuthorised::Unsound("a policy in use is not in the log"))
    }

    /// The upstream, if it still is the one that people were shown.
    fn destination(
        &self,
        package: &PackageRecord,
        sealed: &Sealed<'_>,
    ) -> Option<&'a UpstreamRecord> {
        let shown = &sealed.manifest.manifest().destination;
        let upstream = self.upstreams.get(&package.upstream).copied()?;
        (upstream.id == shown.upstream && upstream.url == shown.url).then_some(upstream)
    }
}

impl Cast<'_> {
    /// Whether the decision counts, and as what.
    fn judge(
        &self,
        replay: &Replay<'_>,
        sealed: &Sealed<'_>,
        roster_now: &Roster,
    ) -> Result<Vote, Discount> {
        let decision = self.decision;
        let signed =
            Statement::from_bytes(decision.statement.as_bytes()).ok_or(Discount::Statement)?;
        let circumstances = Circumstances {
            origin: replay.genesis.relying_party.origin(),
            manifest: &sealed.manifest,
            policy: self.policy,
            roster: self.roster,
            not_after: sealed.expires_at,
        };
        let expected =
            Statement::new(circumstances, decision.person, decision.verdict, signed.reason);
        if expected.to_bytes() != decision.statement.as_bytes() || self.at >= sealed.expires_at {
            return Err(Discount::Statement);
        }
        let credential = decision.assertion.credential_id();
        let (person, key) = self.roster.key(credential).ok_or(Discount::KeyThen)?;
        let counted_then = person.id == decision.person
            && person.role.may_sign()
            && self.policy.members().contains(&person.id)
            && key.counts_from <= self.at;
        if !counted_then {
            return Err(Discount::KeyThen);
        }
        let (person_now, key_now) = roster_now.key(credential).ok_or(Discount::KeyNow)?;
        if person_now.id != person.id || key_now.public_key != key.public_key {
            return Err(Discount::KeyNow);
        }
        let intent = Intent {
            purpose: match decision.verdict {
                Verdict::Approve => Purpose::Approve,
                Verdict::Reject => Purpose::Reject,
            },
            statement: Sha256::of(decision.statement.as_bytes()),
        };
        let (relying_party, assertion) = (&replay.genesis.relying_party, &decision.assertion);
        // The counter was compared when the decision was recorded; a replay has none to compare.
        assertion::verify(
            relying_party,
            &key.public_key,
            &intent,
            &decision.nonce,
            assertion,
            None,
        )
        .map_err(|refusal| Discount::Signature(refusal.to_string()))?;
        Ok(Vote { person: decision.person, verdict: decision.verdict })
    }
}
