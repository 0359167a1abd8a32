//! Inspection: after the seal the gateway looks at what it holds and records what it found.
//!
//! A release is looked at by whichever worker takes it first. Dying on the way leaves its row as it
//! was, and it is due again; doing it twice records the same report twice. What could not be looked
//! at is part of the report (`IN-01`), never left out of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::blobs::Blobs;
use crate::domain::authorise::{Standing, standing};
use crate::domain::digest::Sha256;
use crate::domain::event::Event;
use crate::domain::ids::{PackageId, PersonId, ReleaseId};
use crate::domain::manifest::SealedManifest;
use crate::domain::release::State;
use crate::domain::review::checks::inspection;
use crate::domain::review::compared::Compared;
use crate::domain::review::provenance::Before;
use crate::domain::review::report::{Accepted, Against, Found, Report, ReportedArtifact};
use crate::inspect;
use crate::inspect::request::Artifact;
use crate::inspector::Inspector;
use crate::pipeline::approval::{count_again, existing, locked};
use crate::pipeline::forwarding::{Progress, Running};
use crate::pipeline::{Fault, Kind, Result, provenance, refuse, transaction};
use crate::provenance::TrustRoot;
use crate::store::inspections::DueInspection;
use crate::store::releases::{ArtifactRecord, ReleaseRecord};
use crate::store::{Store, Tx};

/// How long a worker has before another one begins the same inspection: the largest releases that
/// exist take less.
const TAKEN_FOR: SignedDuration = SignedDuration::from_mins(15);
/// Pause after a fault of ours, such as a file that could not be opened.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// Times an inspection begins. One that never ended so often took the process with it each time.
const TRIES_MAX: u32 = 3;

/// What an inspection uses.
#[derive(Debug, Clone, Copy)]
pub struct Inspecting<'a> {
    /// The database.
    pub store: &'a Store,
    /// The held files.
    pub blobs: &'a Blobs,
    /// Starts the children that read them.
    pub inspector: &'a Inspector,
    /// Whom provenance is verified with, where that is configured.
    pub trust_root: Option<&'a TrustRoot>,
    /// Whoever has the release's page open.
    pub progress: &'a Progress,
}

/// Looks into the release that has been due longest; `false` when there is none.
pub async fn run_next(at: Inspecting<'_>, now: Timestamp) -> Result<bool> {
    let clock = Running::from(now);
    let mut tx = at.store.begin().await?;
    let due = tx.take_inspection(now + TAKEN_FOR, now).await?;
    tx.commit().await?;
    let Some(due) = due else { return Ok(false) };
    // If we stop from here on, the release is due again when the time of this worker is over.
    let Some(subject) = subject(at.store, due.release, clock.now()).await? else {
        let mut tx = at.store.begin().await?;
        tx.end_inspection(due.release).await?;
        tx.commit().await?;
        return Ok(true);
    };
    let looked = look(at, &subject, due).await;
    if looked.is_err() {
        let mut tx = at.store.begin().await?;
        tx.postpone_inspection(due.release, clock.now() + AGAIN_AFTER).await?;
        tx.commit().await?;
    }
    let report = looked?;
    if record(at.store, report, clock.now()).await? {
        at.progress.announce(due.release);
    }
    Ok(true)
}

/// A release to look into.
struct Subject {
    manifest: SealedManifest,
    record: ReleaseRecord,
    artifacts: Vec<ArtifactRecord>,
    accepted: Option<Accepted>,
}

/// The release, unless it is over or on its way.
async fn subject(store: &Store, release: ReleaseId, now: Timestamp) -> Result<Option<Subject>> {
    let mut tx = store.snapshot().await?;
    let record = existing(tx.release(release).await?)?;
    let Some(seal) = record.seal.clone().filter(|_| waits(record.state)) else { return Ok(None) };
    Ok(Some(Subject {
        manifest: seal.manifest,
        artifacts: tx.artifacts(release).await?,
        accepted: accepted(&mut tx, record.package, now).await?,
        record,
    }))
}

const fn waits(state: State) -> bool {
    matches!(state, State::Awaiting | State::Approved)
}

/// What people accepted in the last release of a package that was published.
async fn accepted(tx: &mut Tx, package: PackageId, now: Timestamp) -> Result<Option<Accepted>> {
    let Some(release) = tx.last_published(package).await? else { return Ok(None) };
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

/// Looks at every artifact; whatever goes wrong with one is a finding about it.
async fn look(at: Inspecting<'_>, subject: &Subject, due: DueInspection) -> Result<Report> {
    let (mut artifacts, mut found) = (Vec::new(), Vec::new());
    for artifact in &subject.artifacts {
        artifacts.push(ReportedArtifact {
            name: artifact.filename.clone(),
            sha256: artifact.digests.sha256,
            against: Against::Nothing { why: NO_BASELINE_YET.to_owned() },
        });
        let looked = if due.tries > TRIES_MAX {
            Err(format!("the inspection began {TRIES_MAX} times and never ended"))
        } else {
            compare(at, subject, artifact).await
        };
        match looked {
            Ok(more) => found.extend(more),
            Err(why) => found.push(Found {
                artifact: Some(artifact.filename.clone()),
                ..inspection::failed(&why).into()
            }),
        }
    }
    let mut tx = at.store.snapshot().await?;
    let examined =
        provenance::examine(&mut tx, &subject.record, at.trust_root, Before::Unknown).await?;
    drop(tx);
    found.extend(examined.findings.into_iter().map(Found::from));
    let mut not_checked = vec![NO_SOURCE.to_owned()];
    not_checked.extend(examined.not_checked);
    let accepted = subject.accepted.as_ref();
    Ok(Report::new(&subject.manifest, artifacts, found, accepted, &not_checked))
}

const NO_BASELINE_YET: &str = "Earlier versions are not fetched from the registry yet.";
const NO_SOURCE: &str = "The files were not compared with the source repository.";

/// What there is to look at in one artifact, or why nobody knows.
async fn compare(
    at: Inspecting<'_>,
    subject: &Subject,
    artifact: &ArtifactRecord,
) -> std::result::Result<Vec<Found>, String> {
    let sha256 = artifact.digests.sha256;
    // What is read is what was sealed, or nothing is said about it.
    at.blobs
        .verify(sha256)
        .await
        .map_err(|fault| format!("the held file is not whole: {fault}"))?;
    let candidate = Artifact::new(&at.blobs.path(&sha256), &artifact.filename);
    let standing =
        inspect::request::Standing { newest: None, dist_tag: subject.record.dist_tag.clone() };
    let compared = at.inspector.compare(candidate, None, standing).await;
    let Compared { files, findings, .. } = compared.map_err(|failed| failed.to_string())?;
    let digests: BTreeMap<&str, Sha256> =
        files.iter().map(|file| (file.path.as_str(), file.sha256)).collect();
    let found = findings.into_iter().map(|finding| Found {
        artifact: Some(artifact.filename.clone()),
        sha256: finding.file.as_deref().and_then(|path| digests.get(path).copied()),
        finding,
    });
    Ok(found.collect())
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
/// over an earlier report do not count any more, and are counted again.
pub async fn record(store: &Store, report: Report, now: Timestamp) -> Result<bool> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let release = report.release;
            let state = existing(tx.release_locked(release).await?)?.state;
            tx.end_inspection(release).await?;
            if !waits(state) {
                return Ok(false);
            }
            let text = String::from_utf8(report.to_bytes())
                .map_err(|error| Fault::new("encoding a report", error))?;
            let asked = report.inspection();
            tx.keep_report(release, (asked.report_sha256, &text), now).await?;
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
    let signs = standing.roster.person(person).is_some_and(|known| known.role.may_sign());
    waits(record.state) && signs
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
            if !waits(record.state) {
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
