//! Inspection: after the seal the gateway looks at what it holds and records what it found.
//!
//! A release is looked at by whichever worker takes it first. Dying on the way leaves its row as it
//! was, and it is due again; doing it twice records the same report twice. What could not be looked
//! at is part of the report (`IN-01`), never left out of it.

use jiff::{SignedDuration, Timestamp};

use crate::blobs::Blobs;
use crate::domain::artifact::{ArtifactKind, Filename};
use crate::domain::authorise::{Standing, standing};
use crate::domain::digest::Sha256;
use crate::domain::event::Event;
use crate::domain::ids::{PackageId, PersonId, ReleaseId};
use crate::domain::manifest::SealedManifest;
use crate::domain::package::Version;
use crate::domain::release::State;
use crate::domain::review::checks::{self, Position, inspection};
use crate::domain::review::delta::Comparison;
use crate::domain::review::report::{Accepted, Against, Found, Report, ReportedArtifact};
use crate::inspect::survey::{Source, survey};
use crate::inspect::{Failure, Limits};
use crate::pipeline::approval::{count_again, existing, locked};
use crate::pipeline::forwarding::{Progress, Running};
use crate::pipeline::{Fault, Kind, Result, refuse, transaction};
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
    /// Bounds of the readers.
    pub limits: &'a Limits,
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
            compare(at, subject, artifact).await?
        };
        match looked {
            Ok(more) => found.extend(more),
            Err(why) => found.push(Found {
                artifact: Some(artifact.filename.clone()),
                ..inspection::failed(&why).into()
            }),
        }
    }
    let not_checked = [NO_SOURCE, NO_PROVENANCE].map(str::to_owned);
    let accepted = subject.accepted.as_ref();
    Ok(Report::new(&subject.manifest, artifacts, found, accepted, &not_checked))
}

const NO_BASELINE_YET: &str = "Earlier versions are not fetched from the registry yet.";
const NO_SOURCE: &str = "The files were not compared with the source repository.";
const NO_PROVENANCE: &str = "The provenance that CI attached was not verified.";

/// What there is to look at in one artifact, or why nobody knows.
async fn compare(
    at: Inspecting<'_>,
    subject: &Subject,
    artifact: &ArtifactRecord,
) -> Result<std::result::Result<Vec<Found>, String>> {
    const CONTEXT: &str = "inspecting a held file";
    let file = at.blobs.file(artifact.digests.sha256).await;
    let file = file.map_err(|error| Fault::new(CONTEXT, error))?;
    let record = &subject.record;
    let position = Position {
        version: Version::parse(record.ecosystem, &record.version).ok(),
        newest: None,
        dist_tag: record.dist_tag.clone(),
        ecosystem: Some(record.ecosystem),
    };
    let (limits, name, kind) = (at.limits.clone(), artifact.filename.clone(), artifact.kind);
    let looked = tokio::task::spawn_blocking(move || {
        let parsed;
        let source = match kind {
            ArtifactKind::NpmTarball => Source::Npm,
            ArtifactKind::Wheel | ArtifactKind::Sdist => {
                parsed = Filename::parse(&name).map_err(|error| error.to_string())?;
                Source::Python(&parsed)
            }
        };
        let candidate = survey(file, source, &limits).map_err(|why: Failure| why.to_string())?;
        let comparison = Comparison { baseline: None, candidate: &candidate };
        let findings = checks::findings(&comparison, &position);
        let digest = |path: &String| {
            candidate.files.iter().find(|file| file.path == *path).map(|file| file.sha256)
        };
        let found = findings.into_iter().map(|finding| Found {
            artifact: Some(name.clone()),
            sha256: finding.file.as_ref().and_then(digest),
            finding,
        });
        Ok(found.collect())
    });
    Ok(looked.await.map_err(|error| Fault::new(CONTEXT, error))?)
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
