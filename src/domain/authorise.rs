//! The publish decision: a pure function of the log.
//!
//! [`authorise`] replays the entries that govern a release (everything about people, policies,
//! packages and upstreams, folded by [`Governed`], and the release's own entries) and either returns
//! an [`Authorised`] value or the reason why not. Rows in the database are never asked: what the
//! pages show is computed by the same replay ([`Standing`]), and the forwarder calls [`authorise`]
//! immediately before it opens the credential (A2, A11, I4).

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::assertion::Purpose;
use crate::domain::decision::{Decision, Discount};
use crate::domain::digest::Sha256;
use crate::domain::event::{Event, LogEntry, UpstreamRecord};
use crate::domain::governed::{Governed, Unsound};
use crate::domain::ids::{DecisionId, InstanceId, PersonId, ReleaseId, UpstreamId};
use crate::domain::manifest::SealedManifest;
use crate::domain::policy::{Missing, Policy};
use crate::domain::quorum::{Electorate, QuorumMet, Tally, Verdict, Vote, tally};
use crate::domain::release::{Hold, State};
use crate::domain::review::report::Inspection;
use crate::domain::roster::{ActorIs, CiIdentity, Roster};
use crate::domain::statement::{Circumstances, Statement, Terms};

/// How far the clocks of two replicas may differ. An entry from further ahead was made to end a
/// delay early.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// Proof that a release may be published now. Only [`authorise`] makes one (I4).
#[derive(Debug, Clone)]
pub struct Authorised {
    instance: InstanceId,
    manifest: SealedManifest,
    report_sha256: Sha256,
    upstream: UpstreamRecord,
    credential_sha256: Option<Sha256>,
    policy: Policy,
    quorum: QuorumMet,
}

/// What is known of the log from outside the database (Q18). A log that somebody made from scratch
/// has another genesis or another founding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// Digest of the genesis entry.
    pub genesis: Sha256,
    /// Digest of the founding document; `None` until the installation is founded.
    pub founding: Option<Sha256>,
}

impl Trust {
    /// What a log says of itself, for whoever knows it by other means than these pins.
    pub fn of(log: &[LogEntry]) -> Result<Self, Unsound> {
        let genesis = log.first().ok_or(Unsound("the log is empty"))?;
        let founding = Governed::replay(log)?.founded().map(|founded| founded.digest);
        Ok(Self { genesis: Sha256::of(&genesis.to_bytes()), founding })
    }
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

    /// Digest of the report that people approved it over.
    pub const fn report_sha256(&self) -> Sha256 {
        self.report_sha256
    }

    /// Where it may be sent.
    pub const fn upstream(&self) -> &UpstreamRecord {
        &self.upstream
    }

    /// Digest of the sealed credential that people agreed to use there.
    pub const fn credential_sha256(&self) -> Option<Sha256> {
        self.credential_sha256
    }

    /// The policy in force.
    pub const fn policy(&self) -> &Policy {
        &self.policy
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
    /// The log is not the one this installation was told to trust.
    #[error("this is not the log that was pinned outside the database")]
    AnotherLog,
    /// It takes two or more approvals, and no founder signed who they are yet (Q21).
    #[error("this installation is not founded yet")]
    Unfounded,
    /// Somebody stopped releases of this package or all of them (A17).
    #[error("releases are frozen")]
    Frozen,
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
    /// Nobody looked inside yet (A14).
    #[error("the release is being checked")]
    BeingChecked,
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
    /// Enough people approved; it cools off, or one of them set a time (A10).
    #[error("it goes out at `{0}` unless somebody objects")]
    TooEarly(Timestamp),
}

impl From<Unsound> for NotAuthorised {
    fn from(Unsound(why): Unsound) -> Self {
        Self::Unsound(why)
    }
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
    /// What those who approve have to answer, once the release was inspected.
    pub inspection: Option<Inspection>,
    /// Who decided over the last report or rejected; nobody decides twice.
    pub decided: BTreeSet<PersonId>,
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
    /// Releases of this package are stopped.
    pub frozen: bool,
    /// Digest of the founding, once enough founders signed what is set up.
    pub founding: Option<Sha256>,
    origin: String,
    instance: InstanceId,
    destination: Option<UpstreamRecord>,
    credential_sha256: Option<Sha256>,
}

impl Standing {
    /// What `person` would sign about this release now.
    pub fn statement(
        &self,
        person: PersonId,
        verdict: Verdict,
        terms: impl Into<Terms>,
    ) -> Statement {
        let at = Circumstances {
            origin: &self.origin,
            manifest: &self.manifest,
            report: self.inspection.as_ref().map(|inspection| inspection.report_sha256),
            policy: &self.policy,
            roster: &self.roster,
            not_after: self.expires_at,
        };
        Statement::new(at, person, verdict, terms)
    }

    /// What `person` would sign to approve it, with every finding to answer; the words are theirs.
    pub fn to_approve(&self, person: PersonId) -> Statement {
        let answers = self.inspection.as_ref().map(Inspection::to_answer).unwrap_or_default();
        let (looked_at, overrides) = answers;
        let terms = Terms { looked_at, overrides, ..Terms::default() };
        self.statement(person, Verdict::Approve, terms)
    }

    /// Until when it waits that enough people approved: for its cooling-off, or for the time that
    /// one of them set.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.tally {
            Tally::Met(met) if now < met.not_before() => Some(met.not_before()),
            Tally::Met(_) | Tally::Pending { .. } | Tally::Rejected { .. } => None,
        }
    }

    /// What is missing, while more approvals are needed.
    pub fn missing(&self) -> Option<&Missing> {
        match &self.tally {
            Tally::Pending { missing, .. } => Some(missing),
            Tally::Met(_) | Tally::Rejected { .. } => None,
        }
    }

    /// Whether something was found in the release, when it was sealed or when it was inspected.
    pub fn has_findings(&self) -> bool {
        has_findings(&self.manifest, self.inspection.as_ref())
    }

    /// How many people have to approve, under the stricter policy.
    pub fn required(&self) -> u32 {
        let required = |policy: &Policy| {
            let at_least = at_least(policy, self.started_by, self.inspection.as_ref());
            policy.required_with(self.has_findings()).max(at_least)
        };
        required(&self.policy).max(required(&self.sealed_policy))
    }

    /// Two or more approvals mean nothing while one owner alone says whose they are, so that nothing
    /// of the kind is sent before the founding (Q21). One approval says no more than that.
    pub fn needs_founding(&self) -> bool {
        self.founding.is_none() && self.required() > 1
    }
}

/// Decides whether `release` may be published at `now`.
///
/// `log` holds, in order, every entry that is not about a release and every entry about this one;
/// entries about other releases may be left out.
pub fn authorise(
    log: &[LogEntry],
    trust: Trust,
    release: ReleaseId,
    now: Timestamp,
) -> Result<Authorised, NotAuthorised> {
    let genesis = log.first().ok_or(NotAuthorised::Unsound("the log is empty"))?;
    if Sha256::of(&genesis.to_bytes()) != trust.genesis {
        return Err(NotAuthorised::AnotherLog);
    }
    if log.iter().any(|entry| entry.at > now + CLOCKS_DIFFER) {
        return Err(NotAuthorised::Unsound("an entry is from the future"));
    }
    let standing = standing(log, release, now)?;
    if standing.founding != trust.founding {
        return Err(NotAuthorised::AnotherLog);
    }
    if let Some(state) = standing.ended {
        return Err(NotAuthorised::Ended(state));
    }
    if now >= standing.expires_at {
        return Err(NotAuthorised::Expired(standing.expires_at));
    }
    let unfounded = standing.needs_founding();
    if standing.frozen {
        return Err(NotAuthorised::Frozen);
    }
    let upstream = standing.destination.ok_or(NotAuthorised::DestinationChanged)?;
    if standing.started_by == ActorIs::Unknown {
        return Err(NotAuthorised::ActorUnknown { actor_id: standing.ci_identity.actor_id });
    }
    if let Some(hold) = standing.hold {
        return Err(NotAuthorised::Held(hold.by));
    }
    match (standing.tally, standing.inspection) {
        (Tally::Rejected { by }, _) => Err(NotAuthorised::Rejected(by)),
        (_, None) => Err(NotAuthorised::BeingChecked),
        (Tally::Pending { missing, .. }, _) => {
            Err(NotAuthorised::Pending { missing: missing.people })
        }
        (Tally::Met(_), _) if unfounded => Err(NotAuthorised::Unfounded),
        (Tally::Met(quorum), _) if now < quorum.not_before() => {
            Err(NotAuthorised::TooEarly(quorum.not_before()))
        }
        (Tally::Met(quorum), Some(inspection)) => Ok(Authorised {
            instance: standing.instance,
            manifest: standing.manifest,
            report_sha256: inspection.report_sha256,
            upstream,
            credential_sha256: standing.credential_sha256,
            policy: standing.policy,
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
    let governed = &replay.governed;
    let sealed = replay.sealed.as_ref().ok_or(NotAuthorised::NotSealed)?;
    let roster = governed.roster()?;
    let package = governed.package(sealed.manifest.manifest().package_id)?;
    let policy = governed.policy(package.policy)?;
    let started_by = roster.whose(&sealed.started_by);
    let Votes { counted: votes, discounted, decided } = replay.votes(sealed, roster);
    let inspection = replay.inspection.as_ref();
    let findings = has_findings(&sealed.manifest, inspection);
    let count = |policy: &Policy| {
        let mut may_count = roster.able_to_sign(&policy.named(), now);
        // A key on probation objects already (W13).
        let may_object = roster.holding_keys(&policy.named());
        if let (ActorIs::Person(person), false) = (started_by, policy.triggering_actor_counts()) {
            may_count.remove(&person);
        }
        let at_least = at_least(policy, started_by, inspection);
        let among =
            Electorate { may_count: &may_count, may_object: &may_object, findings, at_least };
        (tally(policy, among, &votes), may_count)
    };
    let (then, may_count_then) = count(&sealed.policy);
    let (today, may_count_today) = count(policy);
    let may_count: BTreeSet<_> = may_count_then.intersection(&may_count_today).copied().collect();
    let approves = |v: &&Vote| v.verdict == Verdict::Approve && may_count.contains(&v.person);
    let mut counted: BTreeSet<_> = votes.iter().filter(approves).map(|v| v.person).collect();
    for tally in [&then, &today] {
        match tally {
            Tally::Pending { counted: under, .. } => counted.retain(|id| under.contains(id)),
            Tally::Met(met) => counted.retain(|id| met.counted().contains(id)),
            Tally::Rejected { .. } => {}
        }
    }
    Ok(Standing {
        manifest: sealed.manifest.clone(),
        expires_at: sealed.expires_at,
        policy: policy.as_ref().clone(),
        sealed_policy: sealed.policy.as_ref().clone(),
        roster: roster.as_ref().clone(),
        started_by,
        inspection: replay.inspection.clone(),
        decided,
        ci_identity: sealed.started_by.clone(),
        may_count,
        counted,
        tally: stricter(then, today),
        discounted,
        hold: replay.hold.clone(),
        ended: replay.ended,
        frozen: governed.is_frozen(package.id),
        founding: governed.founded().map(|founded| founded.digest),
        origin: governed.relying_party().origin().to_owned(),
        instance: governed.instance(),
        destination: destination(governed, package.upstream, sealed),
        credential_sha256: governed.credential(package.upstream),
    })
}

/// Counts the approvals that a release got under another policy, as a simulation: everybody who
/// decided counts as they did then, whatever became of them.
pub fn replay_under(
    log: &[LogEntry],
    release: ReleaseId,
    policy: &Policy,
) -> Result<Tally, NotAuthorised> {
    let replay = Replay::run(log, release)?;
    let sealed = replay.sealed.as_ref().ok_or(NotAuthorised::NotSealed)?;
    let judged = replay.decisions.iter().map(|cast| cast.judge(&replay, sealed, &cast.roster));
    let votes: Vec<Vote> = judged.flatten().collect();
    let people: BTreeSet<_> = votes.iter().map(|vote| vote.person).collect();
    let mut may_count = people.clone();
    let started_by = replay.governed.roster()?.whose(&sealed.started_by);
    if let (ActorIs::Person(person), false) = (started_by, policy.triggering_actor_counts()) {
        may_count.remove(&person);
    }
    let inspection = replay.inspection.as_ref();
    let findings = has_findings(&sealed.manifest, inspection);
    let at_least = at_least(policy, started_by, inspection);
    let among = Electorate { may_count: &may_count, may_object: &people, findings, at_least };
    Ok(tally(policy, among, &votes))
}

fn has_findings(manifest: &SealedManifest, inspection: Option<&Inspection>) -> bool {
    !manifest.manifest().findings.is_empty() || inspection.is_some_and(Inspection::has_findings)
}

/// A block is overridden by a second person too, unless the policy names only one who could (A14).
/// Who holds keys makes no difference: taking somebody's keys away must not make it easier.
fn at_least(policy: &Policy, started_by: ActorIs, inspection: Option<&Inspection>) -> u32 {
    let excluded = |person: &PersonId| {
        started_by == ActorIs::Person(*person) && !policy.triggering_actor_counts()
    };
    let could = policy.members().iter().filter(|person| !excluded(person)).count();
    let blocked = inspection.is_some_and(|inspection| !inspection.blocks.is_empty());
    if blocked && could > 1 { 2 } else { 1 }
}

/// The upstream, if it still is the one that people were shown.
fn destination(
    governed: &Governed,
    upstream: UpstreamId,
    sealed: &Sealed,
) -> Option<UpstreamRecord> {
    let shown = &sealed.manifest.manifest().destination;
    let upstream = governed.upstream(upstream)?;
    (upstream.id == shown.upstream && upstream.url == shown.url).then(|| upstream.clone())
}

/// Both policies must hold: an objection under either wins, then whichever misses more (A3, Q7).
fn stricter(then: Tally, today: Tally) -> Tally {
    match (then, today) {
        (Tally::Rejected { by }, _) | (_, Tally::Rejected { by }) => Tally::Rejected { by },
        (Tally::Met(then), Tally::Met(today)) => Tally::Met(today.and(&then)),
        (Tally::Met(_), pending) | (pending, Tally::Met(_)) => pending,
        (Tally::Pending { counted, missing: a }, Tally::Pending { counted: other, missing: b }) => {
            let counted = if a.people >= b.people { counted } else { other };
            Tally::Pending { counted, missing: b.and(a) }
        }
    }
}

struct Sealed {
    manifest: SealedManifest,
    started_by: CiIdentity,
    policy: Arc<Policy>,
    expires_at: Timestamp,
}

/// A decision with what was in force when its entry was appended.
struct Cast<'a> {
    decision: &'a Decision,
    at: Timestamp,
    roster: Arc<Roster>,
    policy: Arc<Policy>,
    report: Option<Sha256>,
}

/// The decisions that count, and those that do not.
struct Votes {
    counted: Vec<Vote>,
    discounted: Vec<Discounted>,
    decided: BTreeSet<PersonId>,
}

struct Replay<'a> {
    governed: Governed,
    sealed: Option<Sealed>,
    inspection: Option<Inspection>,
    decisions: Vec<Cast<'a>>,
    hold: Option<Hold>,
    ended: Option<State>,
}

impl<'a> Replay<'a> {
    fn run(log: &'a [LogEntry], release: ReleaseId) -> Result<Self, NotAuthorised> {
        let (first, rest) = log.split_first().ok_or(NotAuthorised::Unsound("the log is empty"))?;
        let mut replay = Self {
            governed: Governed::begin(first)?,
            sealed: None,
            inspection: None,
            decisions: Vec::new(),
            hold: None,
            ended: None,
        };
        for entry in rest {
            replay.governed.apply(entry)?;
            if entry.event.release() == Some(release) {
                replay.apply(entry)?;
            }
        }
        Ok(replay)
    }

    /// Takes an entry about the release.
    fn apply(&mut self, entry: &'a LogEntry) -> Result<(), NotAuthorised> {
        match &entry.event {
            Event::ReleaseSealed { .. } => self.seal(entry)?,
            Event::ReleaseInspected { report_sha256, blocks, looks, .. } => {
                if self.sealed.is_none() {
                    return Err(NotAuthorised::Unsound(
                        "a report came before its release was sealed",
                    ));
                }
                let (blocks, looks) = (blocks.clone(), looks.clone());
                self.inspection = Some(Inspection { report_sha256: *report_sha256, blocks, looks });
            }
            Event::Decided { decision, .. } => self.cast(entry.at, decision)?,
            Event::ReleaseHeld { by, note, .. } => {
                let (by, note) = (*by, note.clone());
                self.hold = Some(Hold { by, at: entry.at, note, sequence: entry.sequence });
            }
            Event::ReleaseResumed { .. } => self.hold = None,
            Event::ReleaseRejected { .. } => self.ended = Some(State::Rejected),
            Event::ReleaseExpired { .. } => self.ended = Some(State::Expired),
            Event::ReleaseSuperseded { .. } => self.ended = Some(State::Superseded),
            // The others say what happened, not what may happen.
            _ => {}
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
            || manifest.manifest().instance != self.governed.instance()
        {
            return Err(NotAuthorised::Unsound("the sealed manifest is of another release"));
        }
        let in_force = self.governed.package(manifest.manifest().package_id)?.policy;
        if *policy != in_force {
            return Err(NotAuthorised::Unsound("the release was sealed under a foreign policy"));
        }
        let policy = Arc::clone(self.governed.policy(in_force)?);
        if policy.revision() != *policy_revision {
            return Err(NotAuthorised::Unsound("the release was sealed under an old policy"));
        }
        if entry.at.checked_add(policy.expiry()).ok() != Some(*expires_at) {
            return Err(NotAuthorised::Unsound("the seal does not expire as its policy says"));
        }
        let (started_by, expires_at) = (started_by.clone(), *expires_at);
        self.sealed = Some(Sealed { manifest, started_by, policy, expires_at });
        Ok(())
    }

    fn cast(&mut self, at: Timestamp, decision: &'a Decision) -> Result<(), NotAuthorised> {
        let sealed = self
            .sealed
            .as_ref()
            .ok_or(NotAuthorised::Unsound("a decision came before its release was sealed"))?;
        let package = self.governed.package(sealed.manifest.manifest().package_id)?;
        let policy = Arc::clone(self.governed.policy(package.policy)?);
        let roster = Arc::clone(self.governed.roster()?);
        let report = self.inspection.as_ref().map(|inspection| inspection.report_sha256);
        self.decisions.push(Cast { decision, at, roster, policy, report });
        Ok(())
    }

    fn votes(&self, sealed: &Sealed, roster: &Roster) -> Votes {
        let mut judged =
            Votes { counted: Vec::new(), discounted: Vec::new(), decided: BTreeSet::new() };
        for cast in &self.decisions {
            let Decision { id, person, .. } = *cast.decision;
            let verdict = cast.judge(self, sealed, roster);
            // Who approved over an earlier report may read the new one and sign again.
            if verdict != Err(Discount::AnotherReport) {
                judged.decided.insert(person);
            }
            match verdict {
                Ok(vote) => judged.counted.push(vote),
                Err(why) => judged.discounted.push(Discounted { decision: id, person, why }),
            }
        }
        judged
    }
}

impl Cast<'_> {
    /// Whether the decision counts, and as what.
    fn judge(
        &self,
        replay: &Replay<'_>,
        sealed: &Sealed,
        roster_now: &Roster,
    ) -> Result<Vote, Discount> {
        let (governed, decision) = (&replay.governed, self.decision);
        let signed =
            Statement::from_bytes(decision.statement.as_bytes()).ok_or(Discount::Statement)?;
        let circumstances = Circumstances {
            origin: governed.relying_party().origin(),
            manifest: &sealed.manifest,
            report: self.report,
            policy: &self.policy,
            roster: &self.roster,
            not_after: sealed.expires_at,
        };
        let terms = signed.terms();
        let expected =
            Statement::new(circumstances, decision.person, decision.verdict, terms.clone());
        if expected.to_bytes() != decision.statement.as_bytes() || self.at >= sealed.expires_at {
            return Err(Discount::Statement);
        }
        if !self.policy.named().contains(&decision.person) {
            return Err(Discount::KeyThen);
        }
        let purpose = match decision.verdict {
            Verdict::Approve => {
                self.answers(&signed, replay.inspection.as_ref())?;
                Purpose::Approve
            }
            Verdict::Reject => Purpose::Reject,
        };
        let then = (self.roster.as_ref(), self.at);
        let key = decision.verify(governed.relying_party(), purpose, then, roster_now)?;
        let Decision { person, verdict, .. } = *decision;
        Ok(Vote { person, verdict, at: self.at, key, terms })
    }

    /// Whether an approval answers the last report, which was there when it was given.
    fn answers(&self, signed: &Statement, last: Option<&Inspection>) -> Result<(), Discount> {
        let last = last
            .filter(|last| self.report == Some(last.report_sha256))
            .ok_or(Discount::AnotherReport)?;
        Ok(last.check(&signed.looked_at, &signed.overrides)?)
    }
}
