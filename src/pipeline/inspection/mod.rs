//! Inspection: after the seal the gateway looks at what it holds and records what it found.
//!
//! A release is looked at by whichever worker takes it first. Dying on the way leaves its row as it
//! was, and it is due again; doing it twice records the same report twice. What could not be looked
//! at is part of the report (`IN-01`), never left out of it.

mod look;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::authorise::{Standing, standing};
use crate::domain::digest::Sha256;
use crate::domain::event::Event;
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::manifest::SealedManifest;
use crate::domain::review::binding::Summary;
use crate::domain::review::report::{Accepted, Report};
use crate::inspector::Inspector;
use crate::pipeline::approval::{count_again, existing, locked, signs};
use crate::pipeline::baseline::Shelf;
use crate::pipeline::binding::Sources;
use crate::pipeline::files::{Base, FileReader};
use crate::pipeline::forwarding::{Progress, Running};
use crate::pipeline::{Fault, Kind, Result, refuse, transaction};
use crate::provenance::TrustRoot;
use crate::store::releases::{ArtifactRecord, ReleaseRecord};
use crate::store::{Store, Tx};

use look::Looked;

/// How long a worker has before another one begins the same inspection: the largest releases that
/// exist take less.
const TAKEN_FOR: SignedDuration = SignedDuration::from_mins(15);
/// Pause after a fault of ours, such as a database that is away, and before a registry that could not
/// be read is asked again.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// Times an inspection begins. One that never ended so often took the process with it each time.
const TRIES_MAX: u32 = 3;
/// Earlier releases whose files that are not in Git are remembered.
const EARLIER: u32 = 10;

/// What an inspection uses.
#[derive(Debug, Clone, Copy)]
pub struct Inspecting<'a> {
    /// The database, the registries and the held files.
    pub shelf: Shelf<'a>,
    /// Starts the children that read them.
    pub inspector: &'a Inspector,
    /// Whom provenance is verified with, where that is configured.
    pub trust_root: Option<&'a Arc<TrustRoot>>,
    /// The source repositories.
    pub sources: Sources<'a>,
    /// Keeps the lists of what is inside.
    pub files: &'a FileReader,
    /// Whoever has the release's page open.
    pub progress: &'a Progress,
}

/// Looks into the release that has been due longest; `false` when there is none.
pub async fn run_next(at: Inspecting<'_>, now: Timestamp) -> Result<bool> {
    let (clock, store) = (Running::from(now), at.shelf.registries.store);
    let mut tx = store.begin().await?;
    let due = tx.take_inspection(now + TAKEN_FOR, now).await?;
    tx.commit().await?;
    let Some(due) = due else { return Ok(false) };
    // If we stop from here on, the release is due again when the time of this worker is over.
    let Some(subject) = subject(store, due.release, clock.now()).await? else {
        let mut tx = store.begin().await?;
        tx.end_inspection(due.release).await?;
        tx.commit().await?;
        return Ok(true);
    };
    let looked = look::look(at, &subject, due, clock.now()).await;
    if let Ok(Looked::Done(report, source)) = looked {
        let readable = readable(&subject.artifacts, &report);
        if record(store, *report, source, clock.now()).await? {
            at.progress.announce(due.release);
            // If we stop here, a list is made when somebody asks for it.
            for (artifact, base) in &readable {
                at.files.prepare(at.shelf, at.inspector, (artifact, base), clock.now()).await?;
            }
        }
        return Ok(true);
    }
    let mut tx = store.begin().await?;
    tx.postpone_inspection(due.release, clock.now() + AGAIN_AFTER).await?;
    tx.commit().await?;
    looked.map(|_| true)
}

/// The artifacts that could be read, each with what it was compared with. The others would only fail
/// again.
fn readable<'a>(
    artifacts: &'a [ArtifactRecord],
    report: &Report,
) -> Vec<(&'a ArtifactRecord, Base)> {
    let read = |artifact: &&ArtifactRecord| {
        let reported = report.artifacts.iter().find(|it| it.name == artifact.filename);
        reported.is_some_and(|it| it.tally.is_some())
    };
    let with_base =
        |artifact: &'a ArtifactRecord| (artifact, Base::of(Some(report), &artifact.filename));
    artifacts.iter().filter(read).map(with_base).collect()
}

/// A release to look into.
struct Subject {
    manifest: SealedManifest,
    record: ReleaseRecord,
    artifacts: Vec<ArtifactRecord>,
    accepted: Option<Accepted>,
    /// What the source of earlier releases was, the last one first.
    earlier: Vec<Summary>,
    /// What the source of this one was when it was looked at before.
    last_look: Option<Summary>,
}

/// The release, unless it is over or on its way.
async fn subject(store: &Store, release: ReleaseId, now: Timestamp) -> Result<Option<Subject>> {
    let mut tx = store.snapshot().await?;
    let record = existing(tx.release(release).await?)?;
    let Some(seal) = record.seal.clone().filter(|_| record.state.waits()) else { return Ok(None) };
    let published = tx.last_published(record.package, EARLIER).await?;
    let mut earlier = Vec::new();
    for before in &published {
        earlier.extend(source(&mut tx, *before).await?);
    }
    Ok(Some(Subject {
        manifest: seal.manifest,
        artifacts: tx.artifacts(release).await?,
        accepted: match published.first() {
            Some(last) => accepted(&mut tx, *last, now).await?,
            None => None,
        },
        earlier,
        last_look: source(&mut tx, release).await?,
        record,
    }))
}

/// What was found in the source repository when a release was looked into last.
pub(super) async fn source(tx: &mut Tx, release: ReleaseId) -> Result<Option<Summary>> {
    let text = tx.last_source(release).await?;
    let read = text.map(|text| serde_json::from_str(&text)).transpose();
    Ok(read.map_err(|error| Fault::new("reading what the source was", error))?)
}

/// What people accepted in a release that was published.
async fn accepted(tx: &mut Tx, release: ReleaseId, now: Timestamp) -> Result<Option<Accepted>> {
    let log = tx.log_for_release(release).await?;
    let stood = standing(&log, release, now).map_err(|why| Fault::new("replaying the log", why))?;
    let Some(inspection) = stood.inspection else { return Ok(None) };
    let report = report(tx, release, inspection.report_sha256).await?;
    Ok(Some(Accepted {
        release,
        version: stood.manifest.manifest().version.clone(),
        by: stood.counted,
        findings: report.findings,
    }))
}

/// The report of this digest about a release.
pub(super) async fn report(tx: &mut Tx, release: ReleaseId, sha256: Sha256) -> Result<Report> {
    const CONTEXT: &str = "reading a report";
    let text = tx.report(release, sha256).await?;
    let text = text.ok_or_else(|| Fault::new(CONTEXT, "the log names one that is not kept"))?;
    let report = Report::from_bytes(text.as_bytes());
    Ok(report.ok_or_else(|| Fault::new(CONTEXT, "it is not in the encoding of reports"))?)
}

/// Records a report about a sealed release that is not decided yet; `false` when it is. Approvals
/// over an earlier report do not count any more, and are counted again. `source` is what its
/// `source_sha256` is the digest of.
pub async fn record(
    store: &Store,
    report: Report,
    source: Option<String>,
    now: Timestamp,
) -> Result<bool> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let release = report.release;
            let state = existing(tx.release_locked(release).await?)?.state;
            tx.end_inspection(release).await?;
            if !state.waits() {
                return Ok(false);
            }
            let text = String::from_utf8(report.to_bytes())
                .map_err(|error| Fault::new("encoding a report", error))?;
            let asked = report.inspection();
            let kept = (asked.report_sha256, text.as_str());
            tx.keep_report(release, kept, source.as_deref(), now).await?;
            let event = Event::ReleaseInspected {
                release,
                report_sha256: asked.report_sha256,
                blocks: asked.blocks,
                looks: asked.looks,
            };
            tx.append(now, event).await?;
            count_again(tx, release, now).await?;
            Ok(true)
        })
    })
    .await
}

/// Whether somebody may have a release looked into again: everybody whose role signs, as long as it
/// waits.
pub(super) fn may_ask(record: &ReleaseRecord, standing: &Standing, person: PersonId) -> bool {
    record.state.waits() && signs(standing, person)
}

/// Has a release looked into again whose inspection was not complete, because somebody who signs
/// asks for it. What people approved over the last report counts until there is another one.
pub async fn again(
    store: &Store,
    release: ReleaseId,
    person: PersonId,
    now: Timestamp,
) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let (record, standing) = locked(tx, release, now).await?;
            if !record.state.waits() {
                return refuse(Kind::Gone, "only a release that waits for people is inspected");
            }
            if !may_ask(&record, &standing, person) {
                return refuse(Kind::Forbidden, "your role reads and does not sign");
            }
            let Some(inspection) = standing.inspection else {
                return refuse(Kind::Conflict, "the release is being checked already");
            };
            if !report(tx, release, inspection.report_sha256).await?.is_incomplete() {
                return refuse(
                    Kind::Conflict,
                    "the inspection is complete, and another one would find the same",
                );
            }
            tx.queue_inspection(release, now).await?;
            Ok(())
        })
    })
    .await
}
