//! Staging: files of one version and one CI run gather into a release; sealing fixes it.
//!
//! Everything here happens in one transaction per call and is idempotent by digest: a client that
//! sends the same bytes again gets the same release and success (D13).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::artifact::{ArtifactKind, Digests, Facts, PypiFacts};
use crate::domain::claims::Claims;
use crate::domain::digest::Sha256;
use crate::domain::event::{Actor, Event, SealedBecause};
use crate::domain::ids::{InstanceId, PublisherId, ReleaseId};
use crate::domain::manifest::{
    Access, Destination, FORMAT, Manifest, ManifestFile, NpmPublication,
};
use crate::domain::package::{Ecosystem, Version};
use crate::domain::release::State;
use crate::domain::roster::CiIdentity;
use crate::entropy;
use crate::pipeline::findings::{Finding, findings};
use crate::pipeline::{Error, Fault, Kind, Met, Result, again, detached, refuse};
use crate::store::releases::{ArtifactRecord, NewRelease, ReleaseRecord, Seal};
use crate::store::setup::StoredPackage;
use crate::store::{Store, StoreError, Tx};

/// One difference between what a client claimed and what the file says, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which field.
    pub field: String,
    /// What the client claimed, cut.
    pub claimed: String,
    /// What the file says, cut.
    pub embedded: String,
}

/// A file whose bytes are stored and whose facts were read and agree with what was claimed.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The file name at the registry.
    pub filename: String,
    /// What sort of file.
    pub kind: ArtifactKind,
    /// The version as the file says it.
    pub version: Version,
    /// Size in bytes.
    pub size_bytes: u64,
    /// All digests computed while it streamed in.
    pub digests: Digests,
    /// What the file itself says.
    pub facts: Facts,
    /// What differs from the claims without being refused.
    pub differences: Vec<Difference>,
    /// Digest of the rebuilt publish document.
    pub document_sha256: Sha256,
    /// npm only.
    pub npm: Option<NpmTarget>,
    /// Attestations and provenance that came along: kind and body.
    pub attachments: Vec<(String, Vec<u8>)>,
}

/// What npm's publish asks for besides the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmTarget {
    /// The one dist-tag.
    pub dist_tag: String,
    /// The access asked for.
    pub access: Option<Access>,
}

/// Who stages: one CI run through one publisher.
#[derive(Debug, Clone)]
pub struct Stager {
    /// Which publisher.
    pub publisher: PublisherId,
    /// The verified claims.
    pub claims: Claims,
    /// The uploading client's user agent, cut.
    pub client: String,
}

impl Stager {
    fn run_key(&self) -> String {
        self.claims.run().to_string()
    }

    /// Who started the run. A CI system that does not say is represented by the token's subject,
    /// which an owner links to a person or declares a bot like any other (Q16).
    fn actor(&self) -> (CiIdentity, String) {
        let issuer = self.claims.issuer_url().to_owned();
        if let Some(actor) = self.claims.actor() {
            return (CiIdentity { issuer, actor_id: actor.id }, actor.name);
        }
        let subject = self.claims.subject().to_owned();
        (CiIdentity { issuer, actor_id: subject.clone() }, subject)
    }
}

/// What staging a file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The release the file is in.
    pub release: ReleaseId,
    /// Where the release stands now.
    pub state: State,
    /// False when exactly these bytes were there already.
    pub new: bool,
}

/// How long an open release waits for further files.
pub type Quiet = jiff::SignedDuration;

/// Stages one file. See the module's words on idempotence.
pub async fn stage(
    store: &Store,
    package: &StoredPackage,
    stager: &Stager,
    candidate: Candidate,
    (quiet, files_max): (Quiet, u32),
    now: Timestamp,
) -> Result<Staged> {
    again(|| stage_once(store, package, stager, &candidate, (quiet, files_max), now)).await
}

async fn stage_once(
    store: &Store,
    package: &StoredPackage,
    stager: &Stager,
    candidate: &Candidate,
    (quiet, files_max): (Quiet, u32),
    now: Timestamp,
) -> Result<Staged> {
    let mut tx = store.begin().await?;
    let mut events = Vec::new();
    let holding = tx.release_holding(package.id, candidate.version.as_str()).await?;
    let mut result = match holding {
        None => {
            let (release, opened) =
                open(&mut tx, package, stager, candidate, now + quiet, now).await?;
            let added = add(&mut tx, release, candidate, (&[], None), now).await?;
            events.extend([opened, added]);
            Staged { release, state: State::Open, new: true }
        }
        Some(release) => {
            let bounds = (quiet, files_max, now);
            let (result, joined) =
                join(&mut tx, package, stager, &release, candidate, bounds).await?;
            events.extend(joined);
            result
        }
    };
    if result.new && package.name.ecosystem() == Ecosystem::Npm {
        events.push(sealed(&mut tx, result.release, SealedBecause::SingleFile, now).await?);
        result.state = State::Awaiting;
    }
    tx.append_all(now, events).await?;
    // If we stop before this line nothing happened but that the bytes lie in the blob store; the
    // client sends the file again.
    tx.commit().await?;
    Ok(result)
}

/// How a file joins the release that holds its version.
enum Joins {
    /// These bytes are there.
    Already,
    /// As a further file of an open release.
    Further,
    /// In a new candidate that takes the sealed one's place (Q5).
    Newer,
}

/// How a file joins the release that holds its version, or why it does not. Staged bytes are never
/// replaced, whichever attempt of the run sends others (O22).
fn joins(
    package: &StoredPackage,
    stager: &Stager,
    (release, artifacts): (&ReleaseRecord, &[ArtifactRecord]),
    candidate: &Candidate,
    files_max: u32,
) -> Result<Joins> {
    if let Some(known) = artifacts.iter().find(|a| a.filename == candidate.filename) {
        if known.digests.sha256 != candidate.digests.sha256 {
            return refuse(Kind::Conflict, already_exists(release, candidate));
        }
        let dist_tag = candidate.npm.as_ref().map(|npm| npm.dist_tag.as_str());
        if release.dist_tag.as_deref() != dist_tag {
            let known = release.dist_tag.as_deref().unwrap_or_default();
            let received = dist_tag.unwrap_or_default();
            return refuse(
                Kind::Conflict,
                format!(
                    "expected the dist-tag `{known}`, with which these bytes are staged, received \
                     `{received}`"
                ),
            );
        }
        return Ok(Joins::Already);
    }
    if artifacts.len() >= usize::try_from(files_max).unwrap_or(usize::MAX) {
        return refuse(
            Kind::TooLarge,
            format!("expected at most {files_max} files in one release"),
        );
    }
    let same_run = release.run_key == stager.run_key();
    match release.state {
        State::Open if same_run => Ok(Joins::Further),
        State::Awaiting if same_run && package.name.ecosystem() == Ecosystem::Pypi => {
            Ok(Joins::Newer)
        }
        _ => refuse(Kind::Conflict, already_exists(release, candidate)),
    }
}

/// Refuses what [`stage`] would refuse as things stand, before the bytes are kept.
pub async fn check(
    store: &Store,
    package: &StoredPackage,
    stager: &Stager,
    candidate: &Candidate,
    files_max: u32,
) -> Result<()> {
    let mut tx = store.snapshot().await?;
    let version = candidate.version.as_str();
    if let Some(release) = tx.release_seen_holding(package.id, version).await? {
        let artifacts = tx.artifacts(release.id).await?;
        joins(package, stager, (&release, &artifacts), candidate, files_max)?;
    }
    Ok(())
}

/// Adds a file to the release that holds its version, or says why not; returns what happened.
async fn join(
    tx: &mut Tx,
    package: &StoredPackage,
    stager: &Stager,
    release: &ReleaseRecord,
    candidate: &Candidate,
    (quiet, files_max, now): (Quiet, u32, Timestamp),
) -> Result<(Staged, Vec<Event>)> {
    let artifacts = tx.artifacts(release.id).await?;
    match joins(package, stager, (release, &artifacts), candidate, files_max)? {
        Joins::Already => {
            let known = Staged { release: release.id, state: release.state, new: false };
            Ok((known, Vec::new()))
        }
        Joins::Further => {
            let rerun = rerun(release, stager)?;
            let added = add(tx, release.id, candidate, (&artifacts, rerun), now).await?;
            tx.postpone_seal(release.id, now + quiet).await?;
            Ok((Staged { release: release.id, state: State::Open, new: true }, vec![added]))
        }
        Joins::Newer => {
            let (newer, events) =
                supersede(tx, package, stager, release, candidate, (quiet, now)).await?;
            Ok((Staged { release: newer, state: State::Open, new: true }, events))
        }
    }
}

/// What reviewers are told when a file comes with another attempt of the run than the release began
/// with (O22).
fn rerun(release: &ReleaseRecord, stager: &Stager) -> Result<Option<Difference>> {
    let began: Claims = serde_json::from_str(&release.claims)
        .map_err(|error| Fault::new("reading stored claims", error))?;
    let attempt = |claims: &Claims| claims.attempt().unwrap_or_default().to_owned();
    let (first, this) = (attempt(&began), attempt(&stager.claims));
    Ok((first != this).then(|| Difference {
        field: "attempt of the CI run (the release began with the other one)".to_owned(),
        claimed: this,
        embedded: first,
    }))
}

/// A late file of the same run: a new candidate carries the earlier files and has no approvals
/// (Q5).
async fn supersede(
    tx: &mut Tx,
    package: &StoredPackage,
    stager: &Stager,
    old: &ReleaseRecord,
    candidate: &Candidate,
    (quiet, now): (Quiet, Timestamp),
) -> Result<(ReleaseId, Vec<Event>)> {
    // The old candidate lets go of the version first; one transaction makes it one step.
    let moved = tx.move_release(old.id, State::Awaiting, State::Superseded, None, now).await?;
    if !moved {
        return refuse(Kind::Conflict, already_exists(old, candidate));
    }
    let (newer, opened) = open(tx, package, stager, candidate, now + quiet, now).await?;
    let mut events = vec![opened];
    for artifact in tx.artifacts(old.id).await? {
        let evidence = tx.attachments(artifact.id).await?;
        let copy = ArtifactRecord {
            id: entropy::id(now)?,
            release: newer,
            forwarded_at: None,
            ..artifact
        };
        events.push(insert(tx, &copy, &evidence, now).await?);
    }
    let earlier = tx.artifacts(newer).await?;
    events.push(add(tx, newer, candidate, (&earlier, rerun(old, stager)?), now).await?);
    tx.set_superseded_by(old.id, newer).await?;
    events.push(Event::ReleaseSuperseded { release: old.id, by: newer });
    Ok((newer, events))
}

async fn open(
    tx: &mut Tx,
    package: &StoredPackage,
    stager: &Stager,
    candidate: &Candidate,
    seal_after: Timestamp,
    now: Timestamp,
) -> Result<(ReleaseId, Event)> {
    let claims = stager
        .claims
        .to_canonical_json()
        .map_err(|error| Fault::new("encoding verified claims", error))?;
    let (actor, actor_name) = stager.actor();
    let release = NewRelease {
        id: entropy::id(now)?,
        package: package.id,
        version: candidate.version.as_str().to_owned(),
        publisher: stager.publisher,
        run_key: stager.run_key(),
        claims_sha256: Sha256::of(claims.as_bytes()),
        claims,
        actor,
        actor_name,
        client: stager.client.clone(),
        dist_tag: candidate.npm.as_ref().map(|npm| npm.dist_tag.clone()),
        access: candidate.npm.as_ref().and_then(|npm| npm.access).or(package.access),
        seal_after,
    };
    match tx.insert_release(&release, now).await {
        Ok(()) => {}
        // Another upload opened this version between our look and our insert; the next look
        // finds it.
        Err(StoreError::Conflict(_)) => return Err(Fault::new("opening a release", Met).into()),
        Err(error) => return Err(error.into()),
    }
    let event = Event::ReleaseOpened {
        release: release.id,
        package: package.id,
        version: release.version,
        publisher: stager.publisher,
    };
    Ok((release.id, event))
}

/// Adds a file beside those that the release has.
async fn add(
    tx: &mut Tx,
    release: ReleaseId,
    candidate: &Candidate,
    (others, rerun): (&[ArtifactRecord], Option<Difference>),
    now: Timestamp,
) -> Result<Event> {
    let mut differences = candidate.differences.clone();
    differences.extend(rerun);
    for other in others {
        differences.extend(inconsistencies(other, candidate));
    }
    let artifact = ArtifactRecord {
        id: entropy::id(now)?,
        release,
        filename: candidate.filename.clone(),
        kind: candidate.kind,
        size_bytes: candidate.size_bytes,
        digests: candidate.digests.clone(),
        facts: candidate.facts.clone(),
        differences: serde_json::to_string(&differences)
            .map_err(|error| Fault::new("encoding differences", error))?,
        document_sha256: candidate.document_sha256,
        staged_at: now,
        forwarded_at: None,
    };
    insert(tx, &artifact, &candidate.attachments, now).await
}

/// Adds a file with the evidence that came along, which stays here (Q2).
async fn insert(
    tx: &mut Tx,
    artifact: &ArtifactRecord,
    evidence: &[(String, Vec<u8>)],
    now: Timestamp,
) -> Result<Event> {
    tx.insert_artifact(artifact).await?;
    for (kind, body) in evidence {
        tx.insert_attachment(entropy::id(now)?, artifact.id, kind, body).await?;
    }
    Ok(Event::ArtifactStaged {
        release: artifact.release,
        name: artifact.filename.clone(),
        size_bytes: artifact.size_bytes,
        sha256: artifact.digests.sha256,
    })
}

/// What two Python files of one release say differently although they should agree (P3).
fn inconsistencies(other: &ArtifactRecord, candidate: &Candidate) -> Vec<Difference> {
    const SHARED: [&str; 6] =
        ["Requires-Python", "Requires-Dist", "Provides-Extra", "Summary", "License", "Project-URL"];
    let (Facts::Pypi(theirs), Facts::Pypi(ours)) = (&other.facts, &candidate.facts) else {
        return Vec::new();
    };
    let joined = |facts: &PypiFacts, field: &str| {
        let mut values: Vec<&str> = facts.values(field).collect();
        values.sort_unstable();
        values.join("; ")
    };
    SHARED
        .into_iter()
        .filter_map(|field| {
            let (claimed, embedded) = (joined(theirs, field), joined(ours, field));
            (claimed != embedded).then(|| Difference {
                field: format!("{field} ({} says otherwise)", other.filename),
                claimed: cut(&claimed),
                embedded: cut(&embedded),
            })
        })
        .collect()
}

/// What was claimed and differs from what the files say, by file name.
pub(super) fn differences(
    artifacts: &[ArtifactRecord],
) -> Result<BTreeMap<String, Vec<Difference>>> {
    artifacts
        .iter()
        .map(|artifact| {
            let differences = serde_json::from_str(&artifact.differences)
                .map_err(|error| Fault::new("reading stored differences", error))?;
            Ok((artifact.filename.clone(), differences))
        })
        .collect()
}

fn cut(text: &str) -> String {
    text.chars().take(500).collect()
}

/// The words each client recognises as a duplicate (wire.md 0.3).
fn already_exists(release: &ReleaseRecord, candidate: &Candidate) -> String {
    match release.ecosystem {
        Ecosystem::Pypi => format!(
            "File already exists: `{}` of version {} is {} with other bytes or from another run",
            candidate.filename,
            release.version,
            release.state.as_str()
        ),
        Ecosystem::Npm => format!(
            "You cannot publish over the previously published versions: {} (a candidate with other bytes is {})",
            release.version,
            release.state.as_str()
        ),
    }
}

/// Seals an open release: the manifest is built from what is stored, serialised once and logged.
///
/// Refuses when the release is not open. The caller commits.
pub async fn seal(
    tx: &mut Tx,
    id: ReleaseId,
    because: SealedBecause,
    now: Timestamp,
) -> Result<()> {
    let event = sealed(tx, id, because, now).await?;
    tx.append(now, event).await?;
    Ok(())
}

/// Seals, and leaves the logging to the caller, who may have more to say about the same moment.
async fn sealed(
    tx: &mut Tx,
    id: ReleaseId,
    because: SealedBecause,
    now: Timestamp,
) -> Result<Event> {
    let Some(release) = tx.release_locked(id).await? else {
        return refuse(Kind::NotFound, "no such release");
    };
    if release.state != State::Open {
        return refuse(
            Kind::Conflict,
            format!("the release is already {}", release.state.as_str()),
        );
    }
    // No other revision of the policy may come between the one read here and the seal under it.
    tx.lock_log().await?;
    let terms = tx
        .sealing_terms(release.package)
        .await?
        .ok_or_else(|| Fault::new("sealing a release", "its package has no policy or upstream"))?;
    let policy = terms.policy;
    let manifest = manifest(tx, &release, terms.instance, terms.destination).await?.seal();
    let seal = Seal {
        policy: policy.id(),
        policy_revision: policy.revision(),
        sealed_at: now,
        expires_at: now + policy.expiry(),
        manifest,
    };
    if !tx.seal_release(id, &seal).await? {
        return refuse(Kind::Conflict, "the release was sealed by somebody else");
    }
    tx.queue_inspection(id, now).await?;
    Ok(Event::ReleaseSealed {
        release: id,
        package: release.package,
        manifest: String::from_utf8_lossy(seal.manifest.bytes()).into_owned(),
        started_by: release.actor,
        policy: seal.policy,
        policy_revision: seal.policy_revision,
        expires_at: seal.expires_at,
        because,
    })
}

async fn manifest(
    tx: &mut Tx,
    release: &ReleaseRecord,
    instance: InstanceId,
    destination: Destination,
) -> Result<Manifest> {
    let claims: Claims = serde_json::from_str(&release.claims)
        .map_err(|error| Fault::new("reading stored claims", error))?;
    let artifacts = tx.artifacts(release.id).await?;
    let differences = differences(&artifacts)?;
    let file = |artifact: ArtifactRecord| ManifestFile {
        name: artifact.filename,
        kind: artifact.kind,
        size_bytes: artifact.size_bytes,
        sha256: artifact.digests.sha256,
        sha512: artifact.digests.sha512,
        document_sha256: artifact.document_sha256,
    };
    Ok(Manifest {
        format: FORMAT.to_owned(),
        instance,
        release: release.id,
        ecosystem: release.ecosystem,
        package_id: release.package,
        package: release.package_name.clone(),
        version: release.version.clone(),
        destination,
        npm: release.dist_tag.clone().map(|dist_tag| NpmPublication {
            dist_tag,
            access: release.access,
            git_head: claims.commit().map(str::to_owned),
        }),
        findings: findings(&claims, &artifacts, &differences).iter().map(Finding::id).collect(),
        files: artifacts.into_iter().map(file).collect(),
        claims_sha256: release.claims_sha256,
    })
}

/// Seals every open release that no file came for. Returns how many.
pub async fn seal_quiet(store: &Store, now: Timestamp) -> Result<Vec<ReleaseId>> {
    let due = store.snapshot().await?.releases_to_seal(now).await?;
    let mut sealed = Vec::new();
    for id in due {
        match seal_now(store, id, SealedBecause::Quiet, now).await {
            Ok(()) => sealed.push(id),
            // A file or a reviewer was faster.
            Err(Error::Refused(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(sealed)
}

/// Seals at once because CI, or the first reviewer, says that the release is complete.
pub async fn seal_now(
    store: &Store,
    id: ReleaseId,
    because: SealedBecause,
    now: Timestamp,
) -> Result<()> {
    again(|| async {
        let mut tx = store.begin().await?;
        seal(&mut tx, id, because, now).await?;
        tx.commit().await?;
        Ok(())
    })
    .await
}

/// Expires sealed releases that nobody decided in time. Returns which.
pub async fn expire_overdue(store: &Store, now: Timestamp) -> Result<Vec<ReleaseId>> {
    let due = store.snapshot().await?.releases_to_expire(now).await?;
    let mut expired = Vec::new();
    for id in due {
        if again(|| expire(store, id, now)).await? {
            expired.push(id);
        }
    }
    Ok(expired)
}

async fn expire(store: &Store, id: ReleaseId, now: Timestamp) -> Result<bool> {
    let mut tx = store.begin().await?;
    let moved = match tx.release_locked(id).await? {
        Some(release) if release.state.step(State::Expired).is_ok() => {
            tx.move_release(id, release.state, State::Expired, None, now).await?
        }
        _ => false,
    };
    if moved {
        tx.append(now, Event::ReleaseExpired { release: id }).await?;
        tx.commit().await?;
    }
    Ok(moved)
}

/// Releases of one CI run that are still open, sealed because the run said that it is finished.
pub async fn seal_run(
    store: &Store,
    publisher: PublisherId,
    run_key: &str,
    now: Timestamp,
) -> Result<BTreeMap<ReleaseId, State>> {
    let open = store.snapshot().await?.open_releases_of_run(publisher, run_key).await?;
    let store = store.clone();
    // The client that says so hangs up at once.
    detached(async move {
        let mut states = BTreeMap::new();
        for id in open {
            match seal_now(&store, id, SealedBecause::CiAsked, now).await {
                Ok(()) => states.insert(id, State::Awaiting),
                Err(Error::Refused(_)) => None,
                Err(fault) => return Err(fault),
            };
        }
        Ok(states)
    })
    .await
}

/// Who acts in the log when CI stages.
pub const fn actor(publisher: PublisherId) -> Actor {
    Actor::Publisher(publisher)
}
