//! Review: what people and clients are shown. Who may see what is decided here and nowhere else.
//!
//! The release page's numbers come from the same replay of the log that decides the publish.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::blobs::Blobs;
use crate::domain::artifact::ArtifactKind;
use crate::domain::authorise::{Standing, standing};
use crate::domain::claims::Claims;
use crate::domain::event::LogEntry;
use crate::domain::ids::{PersonId, ReleaseId};
use crate::domain::manifest::Access;
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::policy::Missing;
use crate::domain::quorum::{Tally, Verdict};
use crate::domain::release::{Hold, State};
use crate::domain::review::binding::Summary;
use crate::domain::review::report::Report;
use crate::domain::statement::Statement;
use crate::inspect;
use crate::pipeline::approval::{CannotDecide, may_decide};
use crate::pipeline::ci::Caller;
use crate::pipeline::findings::{Finding, findings, said_once};
use crate::pipeline::registries::Registries;
use crate::pipeline::staging::{Difference, differences};
use crate::pipeline::{Fault, Kind, Refusal, Result, hold, inspection, refuse};
use crate::store::setup::StoredPackage;
use crate::store::{Store, Tx};
use crate::upstream::{Conditions, ReadFault};

pub use crate::store::jobs::AttemptRecord;
pub use crate::store::releases::{ArtifactRecord, DecisionRecord, ReleaseFilter, ReleaseRecord};
pub use crate::store::setup::StoredUpstream;

/// Releases on one page of a list.
pub const PAGE: u32 = 50;

/// Everything the release page shows.
#[derive(Debug)]
pub struct ReleaseView {
    /// The release.
    pub record: ReleaseRecord,
    /// The verified claims it was staged with.
    pub claims: Claims,
    /// Its files, in order of arrival.
    pub artifacts: Vec<ArtifactRecord>,
    /// What was claimed and differs from what the files say, by file name.
    pub differences: BTreeMap<String, Vec<Difference>>,
    /// What there is to look at in the claims and the files' own words, as it is signed.
    pub findings: Vec<Finding>,
    /// What was found inside, once somebody looked.
    pub report: Option<Report>,
    /// What was found in the source repository, where it was looked at.
    pub source: Option<Summary>,
    /// Somebody looks inside now, or will.
    pub looking: bool,
    /// Whether the viewer can have it looked into again.
    pub may_inspect: bool,
    /// Decisions so far.
    pub decisions: Vec<DecisionRecord>,
    /// Releases of the package before this one, newest first, at most [`EARLIER`].
    pub earlier: Vec<Earlier>,
    /// Entries of the log about it.
    pub history: Vec<LogEntry>,
    /// Tries at sending.
    pub attempts: Vec<AttemptRecord>,
    /// Where it goes.
    pub upstream: StoredUpstream,
    /// The publisher's name.
    pub publisher: String,
    /// How it stands, once it is sealed.
    pub standing: Option<Standing>,
    /// What the viewer would sign, and whether they can.
    pub mine: Option<std::result::Result<Statement, CannotDecide>>,
    /// Whether the viewer can object.
    pub may_reject: bool,
    /// Whether the viewer can put it on hold.
    pub may_hold: bool,
    /// Whether the viewer put it on hold and can take that back.
    pub may_resume: bool,
    /// Names of everybody the page mentions.
    pub names: BTreeMap<PersonId, String>,
}

/// A release of the package before the one that is shown, and what people decided about it.
#[derive(Debug)]
pub struct Earlier {
    /// The release.
    pub record: ReleaseRecord,
    /// Where it went, or was to go.
    pub upstream: StoredUpstream,
    /// Decisions, in order.
    pub decisions: Vec<DecisionRecord>,
}

/// Earlier releases that a page shows.
pub const EARLIER: u32 = 5;

impl ReleaseView {
    /// What there is to look at in the claims and the files' own words, besides what the report asks.
    pub fn besides_the_report(&self) -> Vec<Finding> {
        let inspection = self.standing.as_ref().and_then(|standing| standing.inspection.as_ref());
        said_once(self.findings.clone(), inspection)
    }

    /// One of its files.
    pub fn artifact(&self, filename: &str) -> Result<&ArtifactRecord> {
        let found = self.artifacts.iter().find(|artifact| artifact.filename == filename);
        Ok(found.ok_or_else(no_such_file)?)
    }

    /// What stops it besides missing approvals, while there is anything to stop.
    pub fn stopped(&self) -> Option<Stopped> {
        Stopped::by(self.standing.as_ref().filter(|_| self.record.state.waits())?)
    }

    /// The pause that is on, while there is anything to pause.
    pub fn hold(&self) -> Option<&Hold> {
        self.standing.as_ref().filter(|_| self.record.state.waits())?.hold.as_ref()
    }
}

/// Two people's approvals within so much time, from one network address and with keys of one model,
/// are pointed out (W19). It is a signal: one person with two keys looks like that, and so do two at
/// one desk.
pub const ONE_PLACE: SignedDuration = SignedDuration::from_secs(60);

/// Who approved from one place, the later one second.
pub fn from_one_place(decisions: &[DecisionRecord]) -> Vec<(&DecisionRecord, &DecisionRecord)> {
    let approves = |it: &&DecisionRecord| it.decision.verdict == Verdict::Approve;
    let approvals: Vec<_> = decisions.iter().filter(approves).collect();
    let alike = |first: &DecisionRecord, second: &DecisionRecord| {
        first.place.is_some()
            && first.place == second.place
            && first.aaguid == second.aaguid
            && first.decision.person != second.decision.person
            && second.at.duration_since(first.at) <= ONE_PLACE
    };
    let mut pairs = Vec::new();
    for (n, second) in approvals.iter().enumerate() {
        let firsts = approvals.iter().take(n).filter(|first| alike(first, second));
        pairs.extend(firsts.map(|first| (*first, *second)));
    }
    pairs
}

/// Loads the release page for `viewer`.
pub async fn release(
    store: &Store,
    id: ReleaseId,
    viewer: PersonId,
    now: Timestamp,
) -> Result<ReleaseView> {
    let mut tx = store.snapshot().await?;
    let Some(record) = tx.release(id).await? else {
        return refuse(Kind::NotFound, "no such release");
    };
    let missing = |what: &'static str| Fault::new("loading a release", what);
    let package = tx.package(record.package).await?.ok_or_else(|| missing("no package"))?;
    let upstream = goes_to(&mut tx, &record, &package).await?;
    let publisher = tx.publisher_name(record.publisher).await?.unwrap_or_default();
    let artifacts = tx.artifacts(id).await?;
    let log = tx.log_for_release(id).await?;
    let standing = match &record.seal {
        Some(_) => {
            Some(standing(&log, id, now).map_err(|why| Fault::new("replaying the log", why))?)
        }
        None => None,
    };
    let mine = standing.as_ref().map(|standing| {
        may_decide(&record, standing, viewer, Verdict::Approve, now)
            .map(|()| standing.to_approve(viewer))
    });
    let may_reject = standing.as_ref().is_some_and(|standing| {
        may_decide(&record, standing, viewer, Verdict::Reject, now).is_ok()
    });
    let may_hold = standing
        .as_ref()
        .is_some_and(|standing| hold::may_hold(&record, standing, viewer, now).is_ok());
    let may_resume =
        standing.as_ref().is_some_and(|standing| hold::may_resume(&record, standing, viewer));
    let inspected = standing.as_ref().and_then(|standing| standing.inspection.as_ref());
    let report = match inspected {
        Some(inspected) => Some(inspection::report(&mut tx, id, inspected.report_sha256).await?),
        None => None,
    };
    let source = match report {
        Some(_) => inspection::source(&mut tx, id).await?,
        None => None,
    };
    let looking = tx.is_to_be_inspected(id).await?;
    let may_inspect = !looking
        && report.as_ref().is_some_and(Report::is_incomplete)
        && standing.as_ref().is_some_and(|it| inspection::may_ask(&record, it, viewer));
    let claims = claims(&record)?;
    let differences = differences(&artifacts)?;
    let people = tx.people().await?;
    Ok(ReleaseView {
        findings: findings(&claims, &artifacts, &differences),
        claims,
        differences,
        report,
        source,
        looking,
        may_inspect,
        earlier: earlier(&mut tx, &record, &package).await?,
        decisions: tx.decisions(id).await?,
        history: log.into_iter().filter(|e| e.event.release() == Some(id)).collect(),
        attempts: tx.attempts(id).await?,
        artifacts,
        upstream,
        publisher,
        standing,
        mine,
        may_reject,
        may_hold,
        may_resume,
        names: people.into_iter().map(|person| (person.id, person.name)).collect(),
        record,
    })
}

/// The registry a release was sealed for; before that, the one its package goes to today.
async fn goes_to(
    tx: &mut Tx,
    record: &ReleaseRecord,
    package: &StoredPackage,
) -> Result<StoredUpstream> {
    let sealed = record.seal.as_ref().map(|seal| seal.manifest.manifest().destination.upstream);
    let upstream = tx.upstream(sealed.unwrap_or(package.upstream)).await?;
    Ok(upstream.ok_or_else(|| Fault::new("loading a release", "no upstream"))?)
}

async fn earlier(
    tx: &mut Tx,
    record: &ReleaseRecord,
    package: &StoredPackage,
) -> Result<Vec<Earlier>> {
    let filter = ReleaseFilter {
        package: Some(record.package),
        before: Some(record.id),
        limit: EARLIER,
        ..ReleaseFilter::default()
    };
    let mut earlier = Vec::new();
    for record in tx.list_releases(&filter).await? {
        let decisions = tx.decisions(record.id).await?;
        let upstream = goes_to(tx, &record, package).await?;
        earlier.push(Earlier { record, upstream, decisions });
    }
    Ok(earlier)
}

/// The verified claims a release was staged with.
pub(super) fn claims(record: &ReleaseRecord) -> Result<Claims> {
    serde_json::from_str(&record.claims)
        .map_err(|error| Fault::new("reading stored claims", error).into())
}

/// What stops a release besides missing approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Somebody pauses it (Q10).
    Held,
    /// Nobody looked inside yet (A14).
    BeingChecked,
    /// It takes two or more approvals, and the installation is not founded (Q21).
    Unfounded,
    /// Its package or everything is frozen (A17).
    Frozen,
}

impl Stopped {
    /// What stops a release that stands so, the nearest first.
    pub fn by(standing: &Standing) -> Option<Self> {
        if standing.hold.is_some() {
            Some(Self::Held)
        } else if standing.inspection.is_none() {
            Some(Self::BeingChecked)
        } else if standing.needs_founding() {
            Some(Self::Unfounded)
        } else {
            standing.frozen.then_some(Self::Frozen)
        }
    }
}

/// One row of a list of releases.
#[derive(Debug)]
pub struct ReleaseRow {
    /// The release.
    pub record: ReleaseRecord,
    /// Approvals that count and approvals needed, once sealed.
    pub count: Option<(u32, u32)>,
    /// What is missing, while it waits for approvals.
    pub missing: Option<Missing>,
    /// Whether the viewer could approve it now.
    pub waits_for_viewer: bool,
    /// Why the viewer cannot approve it, once it is sealed and undecided.
    pub cannot: Option<CannotDecide>,
    /// Who else could approve it, by name.
    pub others: Vec<String>,
    /// What the viewer decided, and when.
    pub own: Option<(Verdict, Timestamp)>,
    /// What stops it besides missing approvals.
    pub stopped: Option<Stopped>,
    /// Until when it waits although enough people approved.
    pub waits_until: Option<Timestamp>,
    /// Number of files.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many things there are to look at in the claims and the files' own words, besides those
    /// asked.
    pub findings: usize,
    /// How many findings inside block, and how many are to be looked at; once somebody looked.
    pub asked: Option<(usize, usize)>,
    /// Differences that people should look at.
    pub differences: usize,
    /// The words of a rejection.
    pub reason: Option<String>,
    /// Who decided, with their verdicts.
    pub decided_by: Vec<(String, Verdict)>,
}

/// A page of releases, newest first.
pub async fn releases(
    store: &Store,
    filter: &ReleaseFilter,
    viewer: PersonId,
    now: Timestamp,
) -> Result<Vec<ReleaseRow>> {
    let mut tx = store.snapshot().await?;
    let names: BTreeMap<PersonId, String> =
        tx.people().await?.into_iter().map(|person| (person.id, person.name)).collect();
    let mut rows = Vec::new();
    for record in tx.list_releases(filter).await? {
        let artifacts = tx.artifacts(record.id).await?;
        let differences = differences(&artifacts)?;
        let decisions = tx.decisions(record.id).await?;
        let own = decisions.iter().rfind(|decision| decision.decision.person == viewer);
        let own = own.map(|decision| (decision.decision.verdict, decision.at));
        let (mut cannot, mut others) = (None, Vec::new());
        let (mut count, mut waits_for_viewer, mut stopped) = (None, false, None);
        let (mut waits_until, mut asked, mut missing) = (None, None, None);
        let mut found = findings(&claims(&record)?, &artifacts, &differences);
        if record.state.waits() {
            let log = tx.log_for_release(record.id).await?;
            let standing = standing(&log, record.id, now)
                .map_err(|why| Fault::new("replaying the log", why))?;
            count = Some(counted(&standing));
            missing = standing.missing().cloned();
            stopped = Stopped::by(&standing);
            waits_until = standing.waits_until(now);
            let inspection = standing.inspection.as_ref();
            asked = inspection.map(|it| (it.blocks.len(), it.looks.len()));
            found = said_once(found, inspection);
            cannot = may_decide(&record, &standing, viewer, Verdict::Approve, now).err();
            waits_for_viewer = cannot.is_none();
            let waiting = standing.may_count.difference(&standing.counted);
            others = waiting
                .filter(|person| **person != viewer)
                .filter_map(|person| names.get(person).cloned())
                .collect();
        }
        rows.push(ReleaseRow {
            cannot,
            others,
            own,
            files: artifacts.len(),
            bytes: artifacts.iter().map(|artifact| artifact.size_bytes).sum(),
            findings: found.len(),
            differences: differences.values().map(Vec::len).sum(),
            reason: decisions
                .iter()
                .find(|decision| decision.decision.verdict == Verdict::Reject)
                .and_then(|decision| decision.reason.clone()),
            decided_by: decisions
                .into_iter()
                .map(|decision| (decision.person_name, decision.decision.verdict))
                .collect(),
            asked,
            count,
            missing,
            waits_for_viewer,
            stopped,
            waits_until,
            record,
        });
    }
    Ok(rows)
}

/// Approvals that count, and approvals needed under the stricter policy.
pub fn counted(standing: &Standing) -> (u32, u32) {
    let have = u32::try_from(standing.counted.len()).unwrap_or(u32::MAX);
    match &standing.tally {
        Tally::Pending { missing, .. } => (have, have + missing.people),
        Tally::Met(_) | Tally::Rejected { .. } => (have, standing.required()),
    }
}

/// A held file for download, verified while it is read.
pub async fn download(
    store: &Store,
    blobs: &Blobs,
    release: ReleaseId,
    filename: &str,
) -> Result<(ArtifactRecord, crate::blobs::BlobReader)> {
    let artifact = artifact(store, release, filename).await?;
    let reader = blobs
        .open_blob(artifact.digests.sha256)
        .await
        .map_err(|error| Fault::new("opening a held file", error))?;
    Ok((artifact, reader))
}

/// The exact bytes of a release's manifest, once it is sealed.
pub async fn manifest(store: &Store, release: ReleaseId) -> Result<Vec<u8>> {
    let record = store.snapshot().await?.release(release).await?;
    match record.and_then(|record| record.seal) {
        Some(seal) => Ok(seal.manifest.bytes().to_vec()),
        None => refuse(Kind::NotFound, "no such release, or it is not sealed yet"),
    }
}

async fn artifact(store: &Store, release: ReleaseId, filename: &str) -> Result<ArtifactRecord> {
    let artifacts = store.snapshot().await?.artifacts(release).await?;
    artifacts
        .into_iter()
        .find(|artifact| artifact.filename == filename)
        .ok_or_else(|| no_such_file().into())
}

fn no_such_file() -> Refusal {
    Refusal::new(Kind::NotFound, "no such file in this release")
}

/// A staged version as npm's client lists it (wire.md 3.7).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedItem {
    /// Names it.
    pub id: ReleaseId,
    /// The package.
    #[serde(rename = "packageName")]
    pub package: String,
    /// The version.
    pub version: String,
    /// The dist-tag.
    pub tag: Option<String>,
    /// When it was staged.
    pub created_at: Timestamp,
    /// Who started the run.
    pub actor: String,
    /// What sort of actor that is.
    pub actor_type: &'static str,
    /// SHA-1 of the tarball.
    pub shasum: Option<String>,
    /// Where it stands.
    pub status: State,
}

/// What a publisher staged on npm and was not decided yet; one of them when `id` is given.
pub async fn staged_of(
    store: &Store,
    caller: &Caller,
    id: Option<ReleaseId>,
) -> Result<Vec<StagedItem>> {
    let mut tx = store.snapshot().await?;
    let filter =
        ReleaseFilter { states: vec![State::Awaiting], limit: PAGE, ..ReleaseFilter::default() };
    let mut items = Vec::new();
    for record in tx.list_releases(&filter).await? {
        let mine = record.publisher == caller.publisher
            && record.ecosystem == Ecosystem::Npm
            && caller.package.is_none_or(|only| only == record.package);
        if !mine || id.is_some_and(|id| id != record.id) {
            continue;
        }
        let artifacts = tx.artifacts(record.id).await?;
        let shasum = artifacts.first().and_then(|a| a.digests.sha1).map(|sha1| sha1.to_string());
        items.push(StagedItem {
            id: record.id,
            package: record.package_name,
            version: record.version,
            tag: record.dist_tag,
            created_at: record.created_at,
            actor: record.actor_name,
            actor_type: "oidc",
            shasum,
            status: record.state,
        });
    }
    Ok(items)
}

/// Whether npm clients may assume that everybody can read the package, which is what switches
/// provenance on. What the owners configured, not what a client says.
pub async fn npm_is_public(store: &Store, name: &PackageName) -> Result<bool> {
    let package = store.snapshot().await?.package_named(name).await?;
    match package {
        Some(package) => Ok(package.access == Some(Access::Public)),
        None => refuse(Kind::NotFound, format!("expected a package kept here, received `{name}`")),
    }
}

/// A registry's own answer to a read.
#[derive(Debug)]
pub struct PassedThrough {
    /// The status.
    pub status: u16,
    /// Safe headers only.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// What a client asked for besides the package.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Its `Accept`.
    pub accept: Option<HeaderValue>,
    /// Its `If-None-Match`.
    pub if_none_match: Option<HeaderValue>,
}

/// Passes npm's packument or PyPI's simple page through from the package's upstream. Pending
/// versions are never added: a client that saw one would skip its upload (wire.md 1.7, 3.1).
pub async fn packument(
    registries: Registries<'_>,
    name: &PackageName,
    asked: &Asked,
) -> Result<PassedThrough> {
    let mut tx = registries.store.snapshot().await?;
    let Some(package) = tx.package_named(name).await? else {
        return refuse(Kind::NotFound, format!("expected a package kept here, received `{name}`"));
    };
    let upstream = tx
        .upstream(package.upstream)
        .await?
        .ok_or_else(|| Fault::new("reading from an upstream", "the package has no upstream"))?;
    drop(tx);
    let conditions =
        Conditions { accept: asked.accept.as_ref(), if_none_match: asked.if_none_match.as_ref() };
    match registries.packument(&upstream.upstream, name, conditions).await? {
        Ok(passed) => {
            Ok(PassedThrough { status: passed.status, headers: passed.headers, body: passed.body })
        }
        Err(ReadFault::Refused { status: 404, .. }) => {
            refuse(Kind::NotFound, format!("the registry does not know `{name}`"))
        }
        Err(fault) => Err(Fault::new("reading from an upstream", fault).into()),
    }
}

/// What is inside one archive.
#[derive(Debug)]
pub struct Contents {
    /// Path and size in bytes, in the archive's own order, at most [`ENTRIES_SHOWN`].
    pub entries: Vec<(String, u64)>,
    /// Entries beyond those.
    pub left_off: u64,
}

/// Entries listed on one page.
pub const ENTRIES_SHOWN: usize = 5_000;

/// Lists what is inside a held file, with the same strict readers that let it in.
pub async fn contents(
    blobs: &Blobs,
    limits: &inspect::Limits,
    artifact: &ArtifactRecord,
) -> Result<Contents> {
    let file = blobs
        .file(artifact.digests.sha256)
        .await
        .map_err(|error| Fault::new("opening a held file", error))?;
    let (kind, limits) = (artifact.kind, limits.clone());
    let all = tokio::task::spawn_blocking(move || list_entries(kind, file, &limits))
        .await
        .map_err(|error| Fault::new("listing an archive", error))?
        .map_err(|error| Fault::new("listing an archive", error))?;
    let left_off = all.len().saturating_sub(ENTRIES_SHOWN) as u64;
    let entries = all.into_iter().take(ENTRIES_SHOWN).collect();
    Ok(Contents { entries, left_off })
}

fn list_entries(
    kind: ArtifactKind,
    file: std::fs::File,
    limits: &inspect::Limits,
) -> std::result::Result<Vec<(String, u64)>, inspect::Failure> {
    let mut all = Vec::new();
    match kind {
        ArtifactKind::Wheel => {
            let archive = inspect::zip::Archive::open(file, limits)?;
            all.extend(archive.entries().iter().map(|e| (e.path().to_owned(), e.size())));
        }
        ArtifactKind::NpmTarball | ArtifactKind::Sdist => {
            let member = inspect::gzip::Member::new(std::io::BufReader::new(file), limits);
            let mut reader = inspect::tar::Reader::new(member, limits);
            while let Some(entry) = reader.next_entry()? {
                if !entry.is_directory() {
                    all.push((entry.path().to_owned(), entry.size()));
                }
            }
        }
    }
    Ok(all)
}
