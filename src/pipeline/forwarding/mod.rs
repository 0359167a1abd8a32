//! Forwarding: the one place where bytes leave for a registry.
//!
//! [`step`] carries a leased job as far as it will go and is also what recovery runs: it asks the
//! registry what it has, and [`plan`] says what is missing. A file that is there with the same bytes
//! is done; other bytes are for a person; what may be there is looked for again and never sent (I6).
//! Only then [`sending`] sends, file by file, and the registry is asked again once it is done.
//!
//! Nothing here decides whether a release may go out; `domain::authorise` does, from the log (I4).
//! Every write names the lease, so that a worker which lost it writes nothing (R1).

mod plan;
mod sending;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use self::plan::{FileNow, Judged, Plan};
use self::sending::After;
use crate::blobs::Blobs;
use crate::domain::artifact::ArtifactKind;
use crate::domain::authorise::{NotAuthorised, Trust, authorise};
use crate::domain::causes::with_causes;
use crate::domain::event::Event;
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::manifest::SealedManifest;
use crate::domain::package::{PackageName, Version};
use crate::domain::release::State;
use crate::domain::upstream::{Observation, Seen};
use crate::entropy;
use crate::pipeline::log::notary::Notary;
use crate::pipeline::registries::Registries;
use crate::pipeline::{Fault, Kind, Refusal, Result, again, refuse, transaction};
use crate::store::jobs::{AttemptRecord, Lease};
use crate::store::releases::{ArtifactRecord, ReleaseRecord};
use crate::store::setup::StoredUpstream;
use crate::store::{Store, StoreError, Tx};
use crate::upstream::{Client, ReadFault};
use crate::vault::OpeningKey;

/// Life of a lease. Longer than any pause between two renewals, shorter than anybody's patience
/// when a worker died (R3).
pub const LEASE: Duration = Duration::from_mins(1);
/// Longest pause between two looks or two tries.
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Longest text of a registry kept with a release, in characters.
const MESSAGE_MAX: usize = 500;

/// The handles that forwarding uses.
#[derive(Debug)]
pub struct Forwarder<'a> {
    /// The database.
    pub store: &'a Store,
    /// The artifacts.
    pub blobs: &'a Blobs,
    /// The registries.
    pub client: &'a Client,
    /// Opens publish credentials; only the publisher role has it (I8).
    pub key: &'a OpeningKey,
    /// What is pinned of the log outside the database; credentials were sealed for its genesis (Q18).
    pub trust: Trust,
    /// Has what the log says witnessed before anything is sent.
    pub notary: &'a Notary,
    /// Told about every visible change.
    pub progress: &'a Progress,
}

/// What is being sent right now, for the live page. Lost on restart, which is fine.
#[derive(Debug, Clone)]
pub struct Progress {
    changed: tokio::sync::broadcast::Sender<ReleaseId>,
    sending: watch::Sender<Option<Sent>>,
}

/// How far one file got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The release.
    pub release: ReleaseId,
    /// The file.
    pub filename: String,
    /// Bytes handed to the connection.
    pub bytes: u64,
    /// All of them.
    pub of: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { changed: tokio::sync::broadcast::channel(64).0, sending: watch::channel(None).0 }
    }
}

impl Progress {
    /// Says that a release changed, to whoever has its page open.
    pub fn announce(&self, release: ReleaseId) {
        // Nobody listening is the normal case.
        let _ = self.changed.send(release);
    }

    /// Changes from now on.
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<ReleaseId> {
        self.changed.subscribe()
    }

    /// How far the file of this release that is being sent got.
    pub fn of(&self, release: ReleaseId) -> Option<Sent> {
        self.sending.borrow().clone().filter(|sent| sent.release == release)
    }
}

/// What to do with the job after a step.
#[derive(Debug)]
enum Next {
    /// Do the same again later.
    Later(SignedDuration, String),
    /// Everything was sent; look again later whether the registry shows it.
    Confirm(SignedDuration, String),
    /// The registry holds every file.
    Published,
    /// A person has to look at it.
    Ask(String),
    /// The log does not allow it any more.
    Stopped(NotAuthorised),
    /// Somebody else ended the release.
    Over,
    /// Another worker has the job.
    LostLease,
}

/// The time a step was told, going on: an upload takes minutes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    told: Timestamp,
    at: Instant,
}

impl Running {
    /// From now on.
    pub(super) fn from(told: Timestamp) -> Self {
        Self { told, at: Instant::now() }
    }

    /// What time it is by now.
    pub(super) fn now(self) -> Timestamp {
        SignedDuration::try_from(self.at.elapsed()).map_or(self.told, |passed| self.told + passed)
    }
}

/// One worker on one leased job.
#[derive(Clone, Copy)]
struct Worker<'a> {
    forwarder: &'a Forwarder<'a>,
    lease: &'a Lease,
    time: Running,
}

/// Leases the next due job and carries it as far as it goes. `false` when there was none.
pub async fn run_next(forwarder: &Forwarder<'_>, owner: &str, now: Timestamp) -> Result<bool> {
    let lease = again(|| async {
        let mut tx = forwarder.store.begin().await?;
        let lease = tx.lease_job(owner, now + LEASE, now).await?;
        // If we stop after this commit the lease runs out and another worker takes the job.
        tx.commit().await?;
        Ok(lease)
    })
    .await?;
    let Some(lease) = lease else { return Ok(false) };
    step(forwarder, &lease, now).await?;
    Ok(true)
}

/// Carries one leased job as far as it goes.
pub async fn step(forwarder: &Forwarder<'_>, lease: &Lease, now: Timestamp) -> Result<()> {
    let worker = Worker { forwarder, lease, time: Running::from(now) };
    let next = match worker.advance().await {
        Ok(next) => next,
        // Our own trouble says nothing about the registry: keep everything, try again.
        Err(error) => {
            tracing::error!(release.id = %lease.release, error = %with_causes(&error), "forwarding failed");
            Next::Later(pause(lease.attempts), "the gateway could not work on this".to_owned())
        }
    };
    worker.settle(&next).await?;
    forwarder.progress.announce(lease.release);
    Ok(())
}

/// Asks for another try at a release that the registry has not or only partly. What it holds is not
/// sent again, and the approvals have to count still.
pub async fn retry(
    store: &Store,
    trust: Trust,
    by: PersonId,
    id: ReleaseId,
    now: Timestamp,
) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let person = tx.person(by).await?;
            if !person.is_some_and(|person| person.role.may_sign() && person.left_at.is_none()) {
                return refuse(Kind::Forbidden, "your role reads and does not publish");
            }
            let missing = || Refusal::new(Kind::NotFound, "no such release");
            let record = tx.release_locked(id).await?.ok_or_else(missing)?;
            if !matches!(record.state, State::Partial | State::Failed) {
                let state = record.state.as_str();
                let message =
                    format!("expected a partial or failed release, received one `{state}`");
                return refuse(Kind::Conflict, message);
            }
            let log = tx.log_for_release(id).await?;
            if let Err(why) = authorise(&log, trust, id, now) {
                return refuse(Kind::Conflict, format!("it cannot be published any more: {why}"));
            }
            match tx.move_release(id, record.state, State::Forwarding, None, now).await {
                Ok(_) => {}
                // A failed release lets go of its version.
                Err(StoreError::Conflict(_)) => {
                    return refuse(Kind::Conflict, "another candidate holds this version now");
                }
                Err(error) => return Err(error.into()),
            }
            tx.queue_job(entropy::id(now)?, id, now, now).await?;
            tx.append(now, Event::ForwardRetried { release: id, by }).await?;
            Ok(())
        })
    })
    .await
}

/// What is known about the release a job works on.
struct Work {
    record: ReleaseRecord,
    manifest: SealedManifest,
    artifacts: Vec<ArtifactRecord>,
    attempts: Vec<AttemptRecord>,
    upstream: StoredUpstream,
    package: PackageName,
    version: Version,
}

impl Work {
    fn plan(&self, seen: &Observation, by: Judged) -> Plan {
        let files: Vec<_> = self
            .artifacts
            .iter()
            .map(|artifact| FileNow {
                name: &artifact.filename,
                seen: compare(seen, artifact),
                tries: self.attempts.iter().filter(|a| a.artifact == artifact.id).collect(),
            })
            .collect();
        plan::plan(&files, by)
    }
}

fn compare(seen: &Observation, artifact: &ArtifactRecord) -> Seen {
    match artifact.kind {
        ArtifactKind::NpmTarball => seen.npm_tarball(&artifact.digests),
        ArtifactKind::Wheel | ArtifactKind::Sdist => {
            seen.pypi_file(&artifact.filename, &artifact.digests)
        }
    }
}

async fn load(store: &Store, release: ReleaseId) -> Result<Work> {
    let missing = |what: &'static str| Fault::new("loading a release to forward", what);
    let mut tx = store.snapshot().await?;
    let record = tx.release(release).await?.ok_or_else(|| missing("no release"))?;
    let seal = record.seal.clone().ok_or_else(|| missing("the release is not sealed"))?;
    let manifest = seal.manifest;
    let upstream = tx
        .upstream(manifest.manifest().destination.upstream)
        .await?
        .ok_or_else(|| missing("no upstream"))?;
    let mut artifacts = tx.artifacts(release).await?;
    // Wheels first: the first file makes PyPI's release page, and wheels carry the metadata that
    // installers use (P10).
    artifacts.sort_by_key(|artifact| artifact.kind == ArtifactKind::Sdist);
    let attempts = tx.attempts(release).await?;
    let name = &manifest.manifest().package;
    let package = PackageName::parse(record.ecosystem, name)
        .map_err(|error| Fault::new("loading a release to forward", error))?;
    let version = Version::parse(record.ecosystem, &record.version)
        .map_err(|error| Fault::new("loading a release to forward", error))?;
    Ok(Work { record, manifest, artifacts, attempts, upstream, package, version })
}

impl Worker<'_> {
    /// Looks, sends what is missing, and looks again. Each round leaves fewer files to send.
    async fn advance(&self) -> Result<Next> {
        let mut work = load(self.forwarder.store, self.lease.release).await?;
        if !work.record.state.is_on_its_way() {
            return Ok(Next::Over);
        }
        loop {
            let seen = match self.observe(&work).await? {
                Ok(seen) => seen,
                Err(fault) => {
                    return Ok(Next::Later(self.patience(&fault), fault.to_string()));
                }
            };
            if !self.hold(&mut work, &seen).await? {
                return Ok(Next::LostLease);
            }
            let judged = Judged {
                ecosystem: work.record.ecosystem,
                asked_at: self.lease.queued_at,
                now: self.time.now(),
            };
            match work.plan(&seen, judged) {
                Plan::Done => return Ok(Next::Published),
                Plan::Ask(why) => return Ok(Next::Ask(why)),
                Plan::Wait(why) => return Ok(Next::Confirm(pause(self.lease.attempts), why)),
                Plan::Send(files) => {
                    if let Some(next) = self.send_all(&work, files).await? {
                        return Ok(next);
                    }
                }
            }
            work.attempts = self.forwarder.store.snapshot().await?.attempts(work.record.id).await?;
        }
    }

    /// Sends files one after the other, until there is something to look at.
    async fn send_all(&self, work: &Work, files: Vec<usize>) -> Result<Option<Next>> {
        for artifact in files.into_iter().filter_map(|position| work.artifacts.get(position)) {
            match self.send(work, artifact).await? {
                After::NextFile => {}
                After::Look => break,
                After::Stop(next) => return Ok(Some(next)),
            }
        }
        Ok(None)
    }

    async fn observe(&self, work: &Work) -> Result<std::result::Result<Observation, ReadFault>> {
        let registries = Registries {
            store: self.forwarder.store,
            client: self.forwarder.client,
            key: self.forwarder.key.reading_key(),
            genesis: self.forwarder.trust.genesis,
        };
        registries.read_back(&work.upstream.upstream, &work.package, &work.version).await
    }

    /// Notes the files that the registry was seen to hold. `false` when the lease is lost.
    async fn hold(&self, work: &mut Work, seen: &Observation) -> Result<bool> {
        let now = self.time.now();
        let new: Vec<_> = work
            .artifacts
            .iter_mut()
            .filter(|artifact| artifact.forwarded_at.is_none())
            .filter(|artifact| compare(seen, artifact) == Seen::Same)
            .map(|artifact| {
                artifact.forwarded_at = Some(now);
                artifact.id
            })
            .collect();
        if new.is_empty() {
            return Ok(true);
        }
        let kept = again(|| async {
            let mut tx = self.forwarder.store.begin().await?;
            if !tx.keep_lease(self.lease, now + LEASE).await? {
                return Ok(false);
            }
            for artifact in &new {
                tx.mark_forwarded(*artifact, now).await?;
            }
            tx.commit().await?;
            Ok(true)
        })
        .await?;
        self.forwarder.progress.announce(work.record.id);
        Ok(kept)
    }

    fn patience(&self, fault: &ReadFault) -> SignedDuration {
        let asked = match fault {
            ReadFault::Unavailable { after, .. } => *after,
            _ => None,
        };
        self.at_least(asked)
    }

    /// The pause a registry asked for, and ours when that is longer.
    fn at_least(&self, asked: Option<Duration>) -> SignedDuration {
        let asked = asked.and_then(|asked| SignedDuration::try_from(asked).ok());
        asked.unwrap_or(SignedDuration::ZERO).max(pause(self.lease.attempts))
    }

    /// Writes down what a step came to: the job's end or next time, and the release's new state
    /// with its entry in the log, in one transaction.
    async fn settle(&self, next: &Next) -> Result<()> {
        let (lease, now) = (self.lease, self.time.now());
        again(|| async {
            let mut tx = self.forwarder.store.begin().await?;
            let held = match next {
                Next::LostLease => false,
                Next::Later(after, words) | Next::Confirm(after, words) => {
                    tx.postpone_job(lease, now + *after, &cut(words)).await?
                }
                Next::Published | Next::Over => tx.finish_job(lease, "", now).await?,
                Next::Ask(words) => tx.finish_job(lease, &cut(words), now).await?,
                Next::Stopped(why) => tx.finish_job(lease, &why.to_string(), now).await?,
            };
            if held {
                move_on(&mut tx, lease.release, next, now).await?;
                tx.commit().await?;
            }
            Ok(())
        })
        .await
    }
}

/// Moves a release on after a step, unless somebody ended it meanwhile.
async fn move_on(tx: &mut Tx, id: ReleaseId, next: &Next, now: Timestamp) -> Result<()> {
    let Some(record) = tx.release_locked(id).await? else { return Ok(()) };
    if !record.state.is_on_its_way() {
        return Ok(());
    }
    let (to, words) = match next {
        Next::Over | Next::LostLease => return Ok(()),
        Next::Confirm(_, words) if record.state == State::Forwarding => {
            (State::Confirming, words.clone())
        }
        Next::Later(_, words) | Next::Confirm(_, words) => {
            tx.set_release_message(id, &cut(words)).await?;
            return Ok(());
        }
        Next::Published => (State::Published, String::new()),
        Next::Stopped(why) if record.state == State::Approved => {
            let expired = matches!(why, NotAuthorised::Expired(_));
            (if expired { State::Expired } else { State::Awaiting }, why.to_string())
        }
        Next::Stopped(why) => (short_of(tx, id).await?, why.to_string()),
        Next::Ask(words) => (short_of(tx, id).await?, words.clone()),
    };
    let message = cut(&words);
    record.state.step(to).map_err(|error| Fault::new("moving a release on", error))?;
    let shown = (!message.is_empty()).then_some(message.as_str());
    if !tx.move_release(id, record.state, to, shown, now).await? {
        return Err(Fault::new("moving a release on", "the locked release moved").into());
    }
    tx.append(now, entered(id, to, message)?).await?;
    Ok(())
}

/// How a release stands that cannot go on: some files are out, or none.
async fn short_of(tx: &mut Tx, id: ReleaseId) -> Result<State> {
    let artifacts = tx.artifacts(id).await?;
    let out = artifacts.iter().any(|artifact| artifact.forwarded_at.is_some());
    Ok(if out { State::Partial } else { State::Failed })
}

/// The entry that goes with a state.
fn entered(release: ReleaseId, state: State, message: String) -> Result<Event> {
    Ok(match state {
        State::Awaiting => Event::ReleaseReturned { release, message },
        State::Confirming => Event::ReleaseConfirming { release },
        State::Published => Event::ReleasePublished { release },
        State::Partial => Event::ReleasePartlyPublished { release, message },
        State::Failed => Event::ReleaseFailed { release, message },
        State::Expired => Event::ReleaseExpired { release },
        State::Open | State::Approved | State::Forwarding | State::Rejected | State::Superseded => {
            return Err(Fault::new("moving a release on", "forwarding does not lead there").into());
        }
    })
}

/// 1, 2, 4 … seconds, up to five minutes.
fn pause(attempts: u32) -> SignedDuration {
    let seconds = 1_i64 << attempts.saturating_sub(1).min(16);
    SignedDuration::from_secs(seconds).min(PAUSE_MAX)
}

fn cut(text: &str) -> String {
    text.chars().take(MESSAGE_MAX).collect()
}
