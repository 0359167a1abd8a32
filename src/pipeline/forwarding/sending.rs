//! Sending one file: begin in the log, open the credential, send while re-hashing, record the end.
//!
//! A crash between any two of these leaves an attempt without an end, which the next worker takes
//! for unclear: it looks before it sends.

use std::time::Duration;

use jiff::SignedDuration;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{LEASE, Next, PAUSE_MAX, Sent, Work, Worker, cut, pause};
use crate::domain::authorise::{Authorised, NotAuthorised, authorise};
use crate::domain::causes::with_causes;
use crate::domain::digest::Sha256;
use crate::domain::document::{File, NpmParts, PublishDocument};
use crate::domain::event::Event;
use crate::domain::ids::AttemptId;
use crate::domain::release::State;
use crate::domain::upstream::{CredentialPurpose, Outcome};
use crate::entropy;
use crate::pipeline::log::notary::Witnessed;
use crate::pipeline::setup::{credential_context, credential_origin};
use crate::pipeline::{Error, Fault, Result, again};
use crate::store::releases::ArtifactRecord;
use crate::upstream::{SendFault, Sending};
use crate::vault::{self, Sealed};

/// How often a working lease is renewed: three times before it would end.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// How often the live page hears how far a file got.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(250);

/// What comes after a file.
pub(super) enum After {
    /// The registry said yes: the next file.
    NextFile,
    /// Nothing more before the registry was asked again.
    Look,
    /// The end of this step.
    Stop(Next),
}

enum Begun {
    Sending(AttemptId, Box<Authorised>),
    LostLease,
    Stopped(NotAuthorised),
    /// No outside place took the log's newest checkpoint.
    Unwitnessed(String),
    /// The rows are not what the log says; which part.
    Altered(&'static str),
}

/// How a try at sending ended.
enum Ended {
    Sent(std::result::Result<Outcome, SendFault>),
    /// Nothing was sent, and why, in words for people.
    NotReady(String),
    LostLease,
}

impl Worker<'_> {
    /// Sends one file.
    pub(super) async fn send(&self, work: &Work, artifact: &ArtifactRecord) -> Result<After> {
        let document = match document(work, artifact) {
            Ok(document) => document,
            Err(message) => return Ok(After::Stop(Next::Ask(message))),
        };
        // Counted from before the lease is kept, so never longer than it.
        let leased_until = Instant::now() + LEASE;
        let (attempt, authorised) = match self.begin(work, artifact).await? {
            Begun::Sending(attempt, authorised) => (attempt, authorised),
            Begun::LostLease => return Ok(After::Stop(Next::LostLease)),
            // It may go on at any time; whoever ends the hold has the job looked at again at once.
            // Which log is pinned says nothing about the release.
            Begun::Stopped(
                why @ (NotAuthorised::Held(_)
                | NotAuthorised::Frozen
                | NotAuthorised::Unfounded
                | NotAuthorised::AnotherLog),
            ) => {
                return Ok(After::Stop(Next::Later(PAUSE_MAX, why.to_string())));
            }
            // Whatever shortens the wait has the job looked at again at once.
            Begun::Stopped(why @ NotAuthorised::TooEarly(at)) => {
                let wait = at.duration_since(self.time.now()).max(SignedDuration::ZERO);
                return Ok(After::Stop(Next::Later(wait, why.to_string())));
            }
            Begun::Stopped(why) => return Ok(After::Stop(Next::Stopped(why))),
            Begun::Unwitnessed(why) => {
                return Ok(After::Stop(Next::Later(pause(self.lease.attempts), why)));
            }
            Begun::Altered(part) => {
                let message = format!(
                    "the database no longer holds the {part} that people approved; nothing was sent"
                );
                return Ok(After::Stop(Next::Ask(message)));
            }
        };
        // If we stop here the attempt has no end: whoever continues looks before sending.
        let ended = match self.prepare(work, artifact, &authorised).await {
            Ok((credential, source)) => {
                let sending = Sending {
                    upstream: &work.upstream.upstream,
                    credential: &credential,
                    username: &work.upstream.username,
                    document: &document,
                    source: Box::new(source),
                    size: artifact.size_bytes,
                    sha256: artifact.digests.sha256,
                    progress: None,
                    until: None,
                };
                self.transmit(work, artifact, sending, leased_until).await
            }
            Err(message) => Ended::NotReady(message),
        };
        let (outcome, message, after) = match ended {
            Ended::LostLease => return Ok(After::Stop(Next::LostLease)),
            Ended::NotReady(message) => {
                let next = Next::Later(pause(self.lease.attempts), message.clone());
                ("not_sent", message, After::Stop(next))
            }
            Ended::Sent(outcome) => self.judge(artifact, outcome),
        };
        if self.record(work, artifact, attempt, (outcome, message)).await? {
            Ok(after)
        } else {
            Ok(After::Stop(Next::LostLease))
        }
    }

    /// Keeps the lease, decides from the log, and records that sending begins: one transaction, so
    /// that a veto committed before it stops the release and one after it comes too late (A9, A11).
    async fn begin(&self, work: &Work, artifact: &ArtifactRecord) -> Result<Begun> {
        let (release, now) = (work.record.id, self.time.now());
        // Nothing is sent by a log that nobody outside has seen (K5). If we stop after this, a
        // checkpoint more was signed.
        let notary = self.forwarder.notary;
        let signed = match notary.witnessed(now).await? {
            Witnessed::Yes(signed) => signed,
            Witnessed::Not(why) => return Ok(Begun::Unwitnessed(why)),
        };
        let replay = notary.replay(&signed, release).await?;
        let begun = again(|| async {
            let mut tx = self.forwarder.store.begin().await?;
            if !tx.keep_lease(self.lease, now + LEASE).await? {
                return Ok(Begun::LostLease);
            }
            let Some(record) = tx.release_locked(release).await? else {
                return Ok(Begun::LostLease);
            };
            // Nothing may come between what is read here and the entry that says that we began.
            tx.lock_log().await?;
            let log = notary.alarm(replay.to_the_end(&mut tx).await)?;
            let authorised = match authorise(&log, self.forwarder.trust, release, now) {
                Ok(authorised) => authorised,
                Err(why) => return Ok(Begun::Stopped(why)),
            };
            if let Some(part) = altered(work, &authorised) {
                return Ok(Begun::Altered(part));
            }
            if record.state != State::Forwarding {
                if record.state.step(State::Forwarding).is_err() {
                    return Ok(Begun::Stopped(NotAuthorised::Ended(record.state)));
                }
                tx.move_release(release, record.state, State::Forwarding, None, now).await?;
            }
            let attempt = entropy::id(now)?;
            tx.begin_attempt(attempt, artifact.id, self.lease, now).await?;
            let name = artifact.filename.clone();
            tx.append(now, Event::ForwardStarted { release, attempt, name }).await?;
            // If we stop before this commit, nothing was sent and nothing says so.
            tx.commit().await?;
            Ok(Begun::Sending(attempt, Box::new(authorised)))
        })
        .await?;
        self.forwarder.progress.announce(release);
        Ok(begun)
    }

    /// The credential and the bytes. What fails here is ours, is logged, and sends nothing.
    async fn prepare(
        &self,
        work: &Work,
        artifact: &ArtifactRecord,
        authorised: &Authorised,
    ) -> std::result::Result<(SecretString, std::fs::File), String> {
        let credential = match self.open_credential(work, authorised).await {
            Ok(Some(credential)) => Ok(credential),
            Ok(None) => return Err("the registry has no publish credential yet".to_owned()),
            Err(error) => Err(error),
        };
        let ready = credential.and_then(|credential| {
            let source = self.forwarder.blobs.std_file(&artifact.digests.sha256);
            let source = source.map_err(|error| Fault::new("opening a blob to send", error))?;
            Ok((credential, source))
        });
        ready.map_err(|error: Error| {
            tracing::error!(
                release.id = %work.record.id,
                error = %with_causes(&error),
                "an upload could not be prepared"
            );
            "the gateway could not prepare the upload; its log says why".to_owned()
        })
    }

    /// Opens the publish credential for exactly this use. The address comes from the log, through
    /// [`Authorised`], so a row edited in the database opens nothing (Q18).
    async fn open_credential(
        &self,
        work: &Work,
        authorised: &Authorised,
    ) -> Result<Option<SecretString>> {
        const CONTEXT: &str = "opening a publish credential";
        let upstream = &work.upstream.upstream;
        if *authorised.upstream() != work.upstream.record() {
            return Err(Fault::new(CONTEXT, "the upstream's row is not what the log says").into());
        }
        let mut tx = self.forwarder.store.snapshot().await?;
        let Some(sealed) = tx.publish_credential(upstream.id()).await? else { return Ok(None) };
        if authorised.credential_sha256() != Some(Sha256::of(&sealed)) {
            return Err(Fault::new(CONTEXT, "the credential's row is not what the log says").into());
        }
        let origin = credential_origin(upstream, CredentialPurpose::Publish);
        let genesis = self.forwarder.trust.genesis;
        let context = credential_context(genesis, upstream, &origin, CredentialPurpose::Publish);
        vault::open(self.forwarder.key, &context, &Sealed::from_bytes(sealed))
            .map(Some)
            .map_err(|error| Fault::new(CONTEXT, error).into())
    }

    /// Sends, keeping the lease alive meanwhile. Not a byte leaves after its end, however long this
    /// process was stopped (R3): the body itself looks at the time before each piece.
    async fn transmit(
        &self,
        work: &Work,
        artifact: &ArtifactRecord,
        sending: Sending<'_>,
        leased_until: Instant,
    ) -> Ended {
        let (bytes, mut moved) = watch::channel(0);
        let (until, limit) = watch::channel(leased_until);
        let sending = Sending { progress: Some(bytes), until: Some(limit), ..sending };
        let send = self.forwarder.client.send(&work.package, sending);
        tokio::pin!(send);
        let mut renewal = tokio::time::interval(RENEW_EVERY);
        renewal.tick().await;
        let mut announced = Instant::now();
        let progress = self.forwarder.progress;
        let ended = loop {
            tokio::select! {
                outcome = &mut send => break match outcome {
                    Err(SendFault::Overdue) => Ended::LostLease,
                    outcome => Ended::Sent(outcome),
                },
                _ = renewal.tick() => {
                    // Leaving drops the request: if the body was not complete, it never will be.
                    if !self.renew(&until).await {
                        break Ended::LostLease;
                    }
                }
                Ok(()) = moved.changed() => {
                    progress.sending.send_replace(Some(Sent {
                        release: work.record.id,
                        filename: artifact.filename.clone(),
                        bytes: *moved.borrow_and_update(),
                        of: artifact.size_bytes,
                    }));
                    // A page can show a few steps a second, and the body moves much faster.
                    if announced.elapsed() >= ANNOUNCE_EVERY {
                        announced = Instant::now();
                        progress.announce(work.record.id);
                    }
                }
            }
        };
        progress.sending.send_replace(None);
        ended
    }

    /// Prolongs the lease. `false` when another worker has it. While the database is away nobody
    /// else can have it either, until it ends.
    async fn renew(&self, until: &watch::Sender<Instant>) -> bool {
        let (from, now) = (Instant::now(), self.time.now());
        let kept = again(|| async {
            let mut tx = self.forwarder.store.begin().await?;
            let kept = tx.keep_lease(self.lease, now + LEASE).await?;
            tx.commit().await?;
            Ok(kept)
        })
        .await;
        match kept {
            Ok(true) => {
                until.send_replace(from + LEASE);
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "a lease could not be renewed");
                true
            }
        }
    }

    /// Records how a try ended. `false`, and nothing written, when the lease is lost.
    async fn record(
        &self,
        work: &Work,
        artifact: &ArtifactRecord,
        attempt: AttemptId,
        (outcome, message): (&'static str, String),
    ) -> Result<bool> {
        let now = self.time.now();
        again(|| async {
            let mut tx = self.forwarder.store.begin().await?;
            if !tx.keep_lease(self.lease, now + LEASE).await? {
                return Ok(false);
            }
            tx.end_attempt(attempt, outcome, &message, now).await?;
            let event = Event::ForwardEnded {
                release: work.record.id,
                attempt,
                name: artifact.filename.clone(),
                outcome: outcome.to_owned(),
                message: message.clone(),
            };
            tx.append(now, event).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Sorts an outcome into a word for the log, words for people, and what comes next.
    fn judge(
        &self,
        artifact: &ArtifactRecord,
        outcome: std::result::Result<Outcome, SendFault>,
    ) -> (&'static str, String, After) {
        let name = &artifact.filename;
        match outcome {
            Ok(Outcome::Published { note }) => {
                ("published", cut(&note.unwrap_or_default()), After::NextFile)
            }
            Ok(Outcome::AlreadyThere) => ("already_there", String::new(), After::Look),
            Ok(Outcome::Refused { status, message, .. }) => {
                let status = status.map_or_else(String::new, |status| format!("{status} "));
                ("refused", cut(&format!("{name}: {status}{message}")), After::Look)
            }
            Ok(Outcome::Retry { after, message }) => {
                let next = Next::Later(self.at_least(after), message.clone());
                ("retry", cut(&message), After::Stop(next))
            }
            Ok(Outcome::Unknown { message }) => ("unknown", cut(&message), After::Look),
            Err(SendFault::Tampered(_)) => {
                let message =
                    format!("the held file `{name}` was altered on disk; it was not sent");
                ("tampered", message, After::Look)
            }
            Err(fault) => {
                let next = Next::Later(pause(self.lease.attempts), fault.to_string());
                ("not_sent", cut(&fault.to_string()), After::Stop(next))
            }
        }
    }
}

/// What is sent is put together from rows, so the rows have to say what the log says; the part that
/// does not (I4, K7). [`document`] compares each file with the manifest.
fn altered(work: &Work, authorised: &Authorised) -> Option<&'static str> {
    if *authorised.manifest() != work.manifest {
        return Some("manifest");
    }
    let files = authorised.manifest().manifest().files.len();
    (files != work.artifacts.len()).then_some("list of files")
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
