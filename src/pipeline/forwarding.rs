//! Forwarding: the one place where bytes leave for a registry.
//!
//! [`step`] carries a leased job as far as it will go and is also what recovery runs: it first asks
//! what is true, then does what is missing. For each file, in order:
//!
//! 1. Read back. The same bytes are there: done. Other bytes are there: a conflict for a person.
//! 2. If an earlier attempt's outcome is unknown, or the registry said yes and does not show it
//!    yet, wait and read back again; never send (I6).
//! 3. In one transaction: keep the lease (which proves that nobody else works on this, I11),
//!    recompute `authorise` from the log (I4), and record that sending begins.
//! 4. Open the credential, send while re-hashing (I5), record what came of it.
//!
//! Nothing here decides whether a release may go out; it only asks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::sync::watch;

use crate::blobs::Blobs;
use crate::domain::artifact::ArtifactKind;
use crate::domain::authorise::{Authorised, NotAuthorised, Trust, authorise};
use crate::domain::digest::Sha256;
use crate::domain::document::{File, NpmParts, PublishDocument};
use crate::domain::event::Event;
use crate::domain::ids::{AttemptId, ReleaseId};
use crate::domain::manifest::SealedManifest;
use crate::domain::package::{PackageName, Version};
use crate::domain::release::State;
use crate::domain::upstream::CredentialPurpose;
use crate::domain::upstream::{Observation, Outcome, Seen};
use crate::entropy;
use crate::pipeline::setup::{credential_context, credential_origin};
use crate::pipeline::{Fault, Result};
use crate::store::jobs::Lease;
use crate::store::releases::{ArtifactRecord, ReleaseRecord};
use crate::store::setup::StoredUpstream;
use crate::store::{Store, Tx};
use crate::upstream::{Client, ReadFault, Reading, SendFault, Sending};
use crate::vault::{self, OpeningKey, Sealed};

/// Life of a lease. Longer than any pause between two renewals, shorter than anybody's patience
/// when a worker died (R3).
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How often a working lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// By how much.
const RENEWAL: SignedDuration = SignedDuration::from_secs(15);
/// How often the live page hears how far a file got.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(250);
/// How long a registry may take to show what it accepted: npm was seen to take 36 minutes (U15).
const VISIBLE_WITHIN: SignedDuration = SignedDuration::from_mins(60);
/// Longest pause between two looks or two tries.
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Tries at sending one file that certainly stored nothing, before a person is asked.
const TRIES_MAX: usize = 12;
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
    /// Pins the installation that credentials were sealed for (Q18).
    pub trust: Trust,
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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// Look again later.
    Later(SignedDuration, String),
    /// The release reached this state; the job is over.
    End(State, String),
    /// Another worker has the job.
    LostLease,
}

/// Leases the next due job and carries it as far as it goes. `false` when there was none.
pub async fn run_next(forwarder: &Forwarder<'_>, owner: &str, now: Timestamp) -> Result<bool> {
    let mut tx = forwarder.store.begin().await?;
    let lease = tx.lease_job(owner, now + LEASE, now).await?;
    // If we stop after this commit the lease runs out and another worker takes the job.
    tx.commit().await?;
    let Some(lease) = lease else { return Ok(false) };
    step(forwarder, &lease, now).await?;
    Ok(true)
}

/// Carries one leased job as far as it goes.
pub async fn step(forwarder: &Forwarder<'_>, lease: &Lease, now: Timestamp) -> Result<()> {
    let next = match advance(forwarder, lease, now).await {
        Ok(next) => next,
        // Our own trouble says nothing about the registry: keep everything, try again.
        Err(error) => {
            tracing::error!(release.id = %lease.release, error = %chain(&error), "forwarding failed");
            Next::Later(pause(lease.attempts), "the gateway could not work on this".to_owned())
        }
    };
    settle(forwarder, lease, &next, now).await?;
    forwarder.progress.announce(lease.release);
    Ok(())
}

/// Writes down what a step came to.
async fn settle(
    forwarder: &Forwarder<'_>,
    lease: &Lease,
    next: &Next,
    now: Timestamp,
) -> Result<()> {
    let mut tx = forwarder.store.begin().await?;
    match next {
        Next::LostLease => return Ok(()),
        Next::Later(after, message) => {
            tx.postpone_job(lease, now + *after, &cut(message)).await?;
        }
        Next::End(state, message) => {
            let message = cut(message);
            if !tx.finish_job(lease, &message, now).await? {
                return Ok(());
            }
            end(&mut tx, lease.release, *state, &message, now).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn end(
    tx: &mut Tx,
    release: ReleaseId,
    to: State,
    message: &str,
    now: Timestamp,
) -> Result<()> {
    let Some(record) = tx.release_locked(release).await? else { return Ok(()) };
    if record.state.step(to).is_err() {
        return Ok(());
    }
    let shown = (!message.is_empty()).then_some(message);
    tx.move_release(release, record.state, to, shown, now).await?;
    let message = message.to_owned();
    let event = match to {
        State::Published => Event::ReleasePublished { release },
        State::Partial => Event::ReleasePartlyPublished { release, message },
        State::Expired => Event::ReleaseExpired { release },
        State::Failed => Event::ReleaseFailed { release, message },
        State::Open
        | State::Awaiting
        | State::Approved
        | State::Forwarding
        | State::Confirming
        | State::Rejected
        | State::Superseded => return Ok(()),
    };
    tx.append(now, event).await?;
    Ok(())
}

/// What is known about the release a job works on.
struct Work {
    record: ReleaseRecord,
    manifest: SealedManifest,
    artifacts: Vec<ArtifactRecord>,
    upstream: StoredUpstream,
    package: PackageName,
    version: Version,
}

async fn advance(forwarder: &Forwarder<'_>, lease: &Lease, now: Timestamp) -> Result<Next> {
    let work = load(forwarder, lease.release).await?;
    if !matches!(work.record.state, State::Approved | State::Forwarding | State::Confirming) {
        return Ok(Next::End(work.record.state, String::new()));
    }
    let mut seen = match observe(forwarder, &work).await {
        Ok(seen) => seen,
        Err(fault) => return Ok(Next::Later(patience(&fault, lease), fault.to_string())),
    };
    for artifact in &work.artifacts {
        match compare(&seen, artifact) {
            Seen::Same => {
                held(forwarder, artifact, now).await?;
                continue;
            }
            Seen::Different | Seen::Undetermined => {
                return Ok(conflict(&work, artifact));
            }
            Seen::Absent => {}
        }
        match may_send(forwarder, &work, artifact, now).await? {
            MaySend::Yes => {}
            MaySend::Wait(message) => {
                return wait_to_see(forwarder, lease, &work, message, now).await;
            }
            MaySend::Never(message) => return Ok(Next::End(ended(&work), message)),
        }
        if let Some(next) = send(forwarder, lease, &work, artifact, now).await? {
            return Ok(next);
        }
        // Read again at once: most registries show a file as soon as they accepted it.
        match observe(forwarder, &work).await {
            Ok(fresh) => seen = fresh,
            Err(fault) => return Ok(Next::Later(patience(&fault, lease), fault.to_string())),
        }
        if compare(&seen, artifact) == Seen::Same {
            held(forwarder, artifact, now).await?;
        }
    }
    let all_held = work.artifacts.iter().all(|artifact| compare(&seen, artifact) == Seen::Same);
    if all_held {
        return Ok(Next::End(State::Published, String::new()));
    }
    let message = "the registry accepted the files and does not show all of them yet";
    wait_to_see(forwarder, lease, &work, message.to_owned(), now).await
}

async fn load(forwarder: &Forwarder<'_>, release: ReleaseId) -> Result<Work> {
    let missing = |what: &'static str| Fault::new("loading a release to forward", what);
    let mut tx = forwarder.store.snapshot().await?;
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
    let name = &manifest.manifest().package;
    let package = PackageName::parse(record.ecosystem, name)
        .map_err(|error| Fault::new("loading a release to forward", error))?;
    let version = Version::parse(record.ecosystem, &record.version)
        .map_err(|error| Fault::new("loading a release to forward", error))?;
    Ok(Work { record, manifest, artifacts, upstream, package, version })
}

async fn observe(
    forwarder: &Forwarder<'_>,
    work: &Work,
) -> std::result::Result<Observation, ReadFault> {
    let reading = Reading {
        upstream: &work.upstream.upstream,
        package: &work.package,
        // Reading needs no right to publish; a private registry's read credential is the web
        // role's business and comes with the monitor.
        credential: None,
    };
    forwarder.client.read_back(reading, &work.version).await
}

fn compare(seen: &Observation, artifact: &ArtifactRecord) -> Seen {
    match artifact.kind {
        ArtifactKind::NpmTarball => seen.npm_tarball(&artifact.digests),
        ArtifactKind::Wheel | ArtifactKind::Sdist => {
            seen.pypi_file(&artifact.filename, &artifact.digests)
        }
    }
}

async fn held(forwarder: &Forwarder<'_>, artifact: &ArtifactRecord, now: Timestamp) -> Result<()> {
    if artifact.forwarded_at.is_some() {
        return Ok(());
    }
    let mut tx = forwarder.store.begin().await?;
    tx.mark_forwarded(artifact.id, now).await?;
    tx.commit().await?;
    forwarder.progress.announce(artifact.release);
    Ok(())
}

fn conflict(work: &Work, artifact: &ArtifactRecord) -> Next {
    let message = format!(
        "the registry holds `{}` with other bytes than the approved ones; nothing was overwritten",
        artifact.filename
    );
    Next::End(ended(work), message)
}

/// Where a release ends that cannot go on: some files are out, or none.
fn ended(work: &Work) -> State {
    if work.artifacts.iter().any(|artifact| artifact.forwarded_at.is_some()) {
        State::Partial
    } else {
        State::Failed
    }
}

enum MaySend {
    Yes,
    /// An earlier attempt may have stored it.
    Wait(String),
    /// Tried often enough.
    Never(String),
}

/// What earlier attempts at this file leave open.
async fn may_send(
    forwarder: &Forwarder<'_>,
    work: &Work,
    artifact: &ArtifactRecord,
    now: Timestamp,
) -> Result<MaySend> {
    let attempts = forwarder.store.snapshot().await?.attempts(work.record.id).await?;
    let mine: Vec<_> = attempts.iter().filter(|a| a.artifact == artifact.id).collect();
    let Some(last) = mine.last() else { return Ok(MaySend::Yes) };
    match last.outcome.as_deref() {
        // Certainly nothing was stored.
        Some("retry" | "not_sent") if mine.len() < TRIES_MAX => Ok(MaySend::Yes),
        Some("retry" | "not_sent") => {
            let words = last.message.clone().unwrap_or_default();
            Ok(MaySend::Never(format!("gave up after {TRIES_MAX} tries: {words}")))
        }
        // Said yes, said "already there", unclear, or we died while sending: look, do not send,
        // until the registry had ample time. Then certainly nothing is there and PyPI, where the
        // same file twice is a no-op, may be sent again; npm goes to a person.
        _ => {
            let since = last.ended_at.unwrap_or(last.started_at);
            if now.duration_since(since) < VISIBLE_WITHIN {
                return Ok(MaySend::Wait(last.message.clone().unwrap_or_else(|| {
                    "an earlier try may have been stored; asking the registry".to_owned()
                })));
            }
            Ok(MaySend::Never(format!(
                "`{}` did not appear at the registry within an hour",
                artifact.filename
            )))
        }
    }
}

async fn wait_to_see(
    forwarder: &Forwarder<'_>,
    lease: &Lease,
    work: &Work,
    message: String,
    now: Timestamp,
) -> Result<Next> {
    if work.record.state == State::Forwarding {
        let mut tx = forwarder.store.begin().await?;
        let (from, to) = (State::Forwarding, State::Confirming);
        tx.move_release(work.record.id, from, to, Some(&cut(&message)), now).await?;
        tx.commit().await?;
    }
    Ok(Next::Later(pause(lease.attempts), message))
}

/// Sends one file. `None` means: go on and look.
async fn send(
    forwarder: &Forwarder<'_>,
    lease: &Lease,
    work: &Work,
    artifact: &ArtifactRecord,
    now: Timestamp,
) -> Result<Option<Next>> {
    let document = match document(work, artifact) {
        Ok(document) => document,
        Err(message) => return Ok(Some(Next::End(ended(work), message))),
    };
    let (attempt, proof) = match begin(forwarder, lease, work, artifact, now).await? {
        Begun::Sending(attempt, proof) => (attempt, proof),
        Begun::LostLease => return Ok(Some(Next::LostLease)),
        Begun::NotAuthorised(why) => return Ok(Some(refused_by_log(work, &why))),
    };
    // If we stop here the attempt has no end: whoever continues reads back before sending.
    let began = tokio::time::Instant::now();
    let outcome = transmit(forwarder, lease, work, artifact, &document, &proof).await?;
    // An upload may take minutes; what follows happens when it ended.
    let now = SignedDuration::try_from(began.elapsed()).map_or(now, |took| now + took);
    let (outcome, message, after) = judge(lease, work, artifact, outcome);
    let mut tx = forwarder.store.begin().await?;
    tx.end_attempt(attempt, outcome, &message, now).await?;
    let event = Event::ForwardEnded {
        release: work.record.id,
        attempt,
        name: artifact.filename.clone(),
        outcome: outcome.to_owned(),
        message,
    };
    tx.append(now, event).await?;
    tx.commit().await?;
    forwarder.progress.sending.send_replace(None);
    Ok(after)
}

/// The document rebuilt from the file's facts; it must be the one people signed (A13, D7).
fn document(
    work: &Work,
    artifact: &ArtifactRecord,
) -> std::result::Result<PublishDocument, String> {
    let manifest = work.manifest.manifest();
    let listed = manifest
        .files
        .iter()
        .find(|file| file.name == artifact.filename && file.sha256 == artifact.digests.sha256)
        .ok_or_else(|| format!("`{}` is not in the signed manifest", artifact.filename))?;
    let file = File {
        filename: &artifact.filename,
        size: artifact.size_bytes,
        digests: &artifact.digests,
        facts: &artifact.facts,
    };
    let npm = manifest.npm.as_ref().map(|npm| NpmParts {
        dist_tag: &npm.dist_tag,
        access: npm.access,
        git_head: npm.git_head.as_deref(),
    });
    let document = PublishDocument::build(work.upstream.upstream.url(), file, npm)
        .map_err(|error| error.to_string())?;
    if document.digest(&artifact.digests.sha256) != listed.document_sha256 {
        return Err(format!(
            "the publish document of `{}` is not the one that was signed",
            artifact.filename
        ));
    }
    Ok(document)
}

enum Begun {
    Sending(AttemptId, Box<Authorised>),
    LostLease,
    NotAuthorised(NotAuthorised),
}

/// Keeps the lease, decides from the log, and records that sending begins: one transaction, so
/// that a veto committed before it stops the release and one after it comes too late (A9, A11).
async fn begin(
    forwarder: &Forwarder<'_>,
    lease: &Lease,
    work: &Work,
    artifact: &ArtifactRecord,
    now: Timestamp,
) -> Result<Begun> {
    let release = work.record.id;
    let mut tx = forwarder.store.begin().await?;
    if !tx.keep_lease(lease, now + LEASE).await? {
        return Ok(Begun::LostLease);
    }
    let Some(record) = tx.release_locked(release).await? else { return Ok(Begun::LostLease) };
    let log = tx.log_for_release(release).await?;
    let authorised = match authorise(&log, forwarder.trust, release, now) {
        Ok(authorised) => authorised,
        Err(why) => return Ok(Begun::NotAuthorised(why)),
    };
    if record.state != State::Forwarding {
        if record.state.step(State::Forwarding).is_err() {
            return Ok(Begun::LostLease);
        }
        tx.move_release(release, record.state, State::Forwarding, None, now).await?;
    }
    let attempt = entropy::id(now)?;
    tx.begin_attempt(attempt, artifact.id, lease, now).await?;
    let name = artifact.filename.clone();
    tx.append(now, Event::ForwardStarted { release, attempt, name }).await?;
    // If we stop before this commit, nothing was sent and nothing says so.
    tx.commit().await?;
    forwarder.progress.announce(release);
    Ok(Begun::Sending(attempt, Box::new(authorised)))
}

/// The log does not allow it any more.
fn refused_by_log(work: &Work, why: &NotAuthorised) -> Next {
    match why {
        NotAuthorised::Expired(_) if ended(work) == State::Failed => {
            if work.record.state == State::Approved {
                Next::End(State::Expired, why.to_string())
            } else {
                Next::End(State::Failed, why.to_string())
            }
        }
        _ => Next::End(ended(work), why.to_string()),
    }
}

/// Opens the credential and sends, keeping the lease alive meanwhile.
async fn transmit(
    forwarder: &Forwarder<'_>,
    lease: &Lease,
    work: &Work,
    artifact: &ArtifactRecord,
    document: &PublishDocument,
    authorised: &Authorised,
) -> Result<std::result::Result<Outcome, SendFault>> {
    let credential = open_credential(forwarder, work, authorised).await?;
    let source = forwarder
        .blobs
        .std_file(&artifact.digests.sha256)
        .map_err(|error| Fault::new("opening a blob to send", error))?;
    let (bytes, mut moved) = watch::channel(0);
    let parcel = Sending {
        upstream: &work.upstream.upstream,
        credential: &credential,
        username: &work.upstream.username,
        document,
        source: Box::new(source),
        size: artifact.size_bytes,
        sha256: artifact.digests.sha256,
        progress: Some(bytes),
    };
    let send = forwarder.client.send(&work.package, parcel);
    tokio::pin!(send);
    let mut renewal = tokio::time::interval(RENEW_EVERY);
    renewal.tick().await;
    let mut announced = tokio::time::Instant::now();
    loop {
        tokio::select! {
            outcome = &mut send => return Ok(outcome),
            _ = renewal.tick() => {
                if !renew(forwarder, lease).await? {
                    // Dropping the request mid-body leaves it incomplete; the new holder of the
                    // lease reads back first.
                    let message = "another worker took over while this one was sending".to_owned();
                    return Ok(Ok(Outcome::Unknown { message }));
                }
            }
            Ok(()) = moved.changed() => {
                let bytes = *moved.borrow_and_update();
                forwarder.progress.sending.send_replace(Some(Sent {
                    release: work.record.id,
                    filename: artifact.filename.clone(),
                    bytes,
                    of: artifact.size_bytes,
                }));
                // A page can show a few steps a second, and the body moves much faster.
                if announced.elapsed() >= ANNOUNCE_EVERY {
                    announced = tokio::time::Instant::now();
                    forwarder.progress.announce(work.record.id);
                }
            }
        }
    }
}

async fn renew(forwarder: &Forwarder<'_>, lease: &Lease) -> Result<bool> {
    let mut tx = forwarder.store.begin().await?;
    let kept = tx.extend_lease(lease, RENEWAL).await?;
    tx.commit().await?;
    Ok(kept)
}

/// Opens the publish credential for exactly this use. The address comes from the log, through
/// [`Authorised`], so a row edited in the database opens nothing (Q18).
async fn open_credential(
    forwarder: &Forwarder<'_>,
    work: &Work,
    authorised: &Authorised,
) -> Result<SecretString> {
    let fault = |what: &'static str| Fault::new("opening a publish credential", what);
    let upstream = &work.upstream.upstream;
    if authorised.upstream().url != upstream.url().as_str()
        || authorised.upstream().id != upstream.id()
    {
        return Err(fault("the upstream's row is not what the log says").into());
    }
    let sealed = forwarder
        .store
        .snapshot()
        .await?
        .publish_credential(upstream.id())
        .await?
        .ok_or_else(|| fault("the upstream has no publish credential"))?;
    if authorised.credential_sha256() != Some(Sha256::of(&sealed)) {
        return Err(fault("the credential's row is not what the log says").into());
    }
    let origin = credential_origin(upstream, CredentialPurpose::Publish);
    let context =
        credential_context(forwarder.trust.genesis, upstream, &origin, CredentialPurpose::Publish);
    vault::open(forwarder.key, &context, &Sealed::from_bytes(sealed))
        .map_err(|error| Fault::new("opening a publish credential", error).into())
}

/// Sorts an outcome into a word for the log, words for people, and what comes next.
fn judge(
    lease: &Lease,
    work: &Work,
    artifact: &ArtifactRecord,
    outcome: std::result::Result<Outcome, SendFault>,
) -> (&'static str, String, Option<Next>) {
    match outcome {
        Ok(Outcome::Published { note }) => ("published", cut(&note.unwrap_or_default()), None),
        Ok(Outcome::AlreadyThere) => ("already_there", String::new(), None),
        Ok(Outcome::Refused { status, message, .. }) => {
            let status = status.map_or_else(String::new, |status| format!("{status} "));
            let message = cut(&format!("{}: {status}{message}", artifact.filename));
            ("refused", message.clone(), Some(Next::End(ended(work), message)))
        }
        Ok(Outcome::Retry { after, message }) => {
            let asked = after.and_then(|after| SignedDuration::try_from(after).ok());
            let after = asked.unwrap_or(SignedDuration::ZERO).max(pause(lease.attempts));
            ("retry", cut(&message), Some(Next::Later(after, message)))
        }
        Ok(Outcome::Unknown { message }) => {
            ("unknown", cut(&message), Some(Next::Later(pause(lease.attempts), message)))
        }
        Err(SendFault::Tampered(_)) => {
            let message = format!(
                "the held file `{}` was altered on disk; nothing was sent",
                artifact.filename
            );
            ("tampered", message.clone(), Some(Next::End(ended(work), message)))
        }
        Err(fault) => {
            let message = fault.to_string();
            ("not_sent", cut(&message), Some(Next::Later(pause(lease.attempts), message)))
        }
    }
}

/// 1, 2, 4 … seconds, up to five minutes.
fn pause(attempts: u32) -> SignedDuration {
    let seconds = 1_i64 << attempts.saturating_sub(1).min(16);
    SignedDuration::from_secs(seconds).min(PAUSE_MAX)
}

fn patience(fault: &ReadFault, lease: &Lease) -> SignedDuration {
    let asked = match fault {
        ReadFault::Unavailable { after, .. } => {
            after.and_then(|after| SignedDuration::try_from(after).ok())
        }
        _ => None,
    };
    asked.unwrap_or(SignedDuration::ZERO).max(pause(lease.attempts))
}

fn cut(text: &str) -> String {
    text.chars().take(MESSAGE_MAX).collect()
}

/// An error with everything that caused it, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
