//! The baseline: the files of the version that people run today, which a candidate is compared with.
//!
//! `domain::review::baseline` chooses by what the registry lists. The files come from our own blobs
//! when this gateway published the version, else from the registry with the read credential (Q17),
//! and are kept by their digest, so that a second look fetches nothing.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::blobs::{BlobFault, Blobs, HeldBlob, Wanted};
use crate::domain::artifact::ArtifactKind;
use crate::domain::digest::Sha256;
use crate::domain::listing::{ListedFile, Listing};
use crate::domain::manifest::Destination;
use crate::domain::package::{Ecosystem, PackageName, Version, excerpt};
use crate::domain::release::State;
use crate::domain::review::baseline as choice;
use crate::domain::upstream::{Expected, Upstream};
use crate::pipeline::registries::Registries;
use crate::pipeline::{Error, Fault, Result};
use crate::store::releases::{ArtifactRecord, ReleaseRecord};
use crate::upstream::{Download, ReadFault};

/// The handles and bounds that finding a baseline uses.
#[derive(Debug, Clone, Copy)]
pub struct Shelf<'a> {
    /// The registries and the database.
    pub registries: Registries<'a>,
    /// Where files are kept.
    pub blobs: &'a Blobs,
    /// Largest npm tarball fetched, in bytes (Q9).
    pub npm_tarball_bytes: u64,
    /// Largest Python file fetched, in bytes (Q9).
    pub pypi_file_bytes: u64,
}

/// What the registry has beside a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// What the candidate is compared with.
    pub baseline: Baseline,
    /// The version most people get, which may be higher than the candidate; `None` when there is
    /// none or the registry could not be read.
    pub newest: Option<String>,
}

/// What a candidate is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// Nothing: no lower version that anybody would install. A first release.
    None,
    /// A version with its files, which are kept in the blob store.
    Found {
        /// As the registry writes it.
        version: String,
        /// By the name of the candidate's file, what it is compared with. Files that the version
        /// has none of their sort for are not here: everything in them is new.
        files: BTreeMap<String, BaselineFile>,
        /// Sort and name of every file of the version, whether or not it is compared with.
        names: Vec<(ArtifactKind, String)>,
        /// Whether it has provenance; `None` when the registry does not say.
        provenance: Option<bool>,
    },
    /// There is one, and it could not be read.
    Unreadable {
        /// One sentence in lower case without a full stop, for people.
        why: String,
        /// It may be otherwise in a few minutes.
        passing: bool,
    },
}

/// One file of the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineFile {
    /// Its name at the registry.
    pub filename: String,
    /// Its content address in the blob store.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The registry names it by SHA-1 alone, as npm did until 2017. Somebody who made this file can
    /// have made another one with the same digest.
    pub sha1_only: bool,
}

/// What was not readable, within [`find`].
struct Unread {
    why: String,
    passing: bool,
}

impl From<Unread> for Baseline {
    fn from(Unread { why, passing }: Unread) -> Self {
        Self::Unreadable { why, passing }
    }
}

impl From<ReadFault> for Unread {
    fn from(fault: ReadFault) -> Self {
        let passing = matches!(
            fault,
            ReadFault::Unreachable(_) | ReadFault::TimedOut | ReadFault::Unavailable { .. }
        );
        Self { why: fault.to_string(), passing }
    }
}

/// For good, as far as anybody knows.
fn for_good<T>(why: String) -> std::result::Result<T, Unread> {
    Err(Unread { why, passing: false })
}

/// What is looked for.
struct Sought {
    upstream: Upstream,
    package: PackageName,
    version: Version,
    dist_tag: Option<String>,
}

/// Finds what the files of a release are compared with. A fault is ours alone; what the registry
/// does wrong is in the answer.
pub async fn find(
    shelf: Shelf<'_>,
    release: &ReleaseRecord,
    artifacts: &[ArtifactRecord],
    now: Timestamp,
) -> Result<Beside> {
    let sought = sought(shelf, release).await?;
    let listing = match shelf.registries.listing(&sought.upstream, &sought.package).await? {
        Ok(listing) => listing,
        Err(fault) => return Ok(Beside { baseline: Unread::from(fault).into(), newest: None }),
    };
    let newest = choice::newest(release.ecosystem, &listing).map(ToString::to_string);
    let baseline = baseline(shelf, (release, artifacts), (&sought, &listing), now).await?;
    Ok(Beside { baseline, newest })
}

async fn baseline(
    shelf: Shelf<'_>,
    (release, artifacts): (&ReleaseRecord, &[ArtifactRecord]),
    (sought, listing): (&Sought, &Listing),
    now: Timestamp,
) -> Result<Baseline> {
    let dist_tag = sought.dist_tag.as_deref();
    let Some(version) = choice::version(&sought.version, dist_tag, listing) else {
        return nothing_listed(shelf, release, sought, listing).await;
    };
    let ours = published_here(shelf, release, version, &sought.upstream).await?;
    let mut files = BTreeMap::new();
    for artifact in artifacts {
        let nearest = choice::file(artifact.kind, &artifact.filename, version, listing);
        let Some(listed) = nearest else { continue };
        match take(shelf, sought, listed, &ours, now).await? {
            Ok(file) => drop(files.insert(artifact.filename.clone(), file)),
            Err(unread) => return Ok(unread.into()),
        }
    }
    let name = |listed: &ListedFile| (listed.kind, listed.file.filename.clone());
    // What CI attached to what we sent stayed here (Q2), so the registry does not show it.
    let attached = has_attachments(shelf, &ours).await?;
    Ok(Baseline::Found {
        version: version.to_string(),
        files,
        names: choice::files(version, listing).map(name).collect(),
        provenance: if attached { Some(true) } else { choice::provenance(version, listing) },
    })
}

/// Whether CI attached provenance to any of these files.
async fn has_attachments(shelf: Shelf<'_>, files: &[ArtifactRecord]) -> Result<bool> {
    let mut tx = shelf.registries.store.snapshot().await?;
    for file in files {
        if !tx.attachments(file.id).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn sought(shelf: Shelf<'_>, release: &ReleaseRecord) -> Result<Sought> {
    const CONTEXT: &str = "finding a baseline";
    let mut tx = shelf.registries.store.snapshot().await?;
    let package = tx.package(release.package).await?;
    let package = package.ok_or_else(|| Fault::new(CONTEXT, "a release of no package"))?;
    let (upstream, dist_tag) = match release.seal.as_ref().map(|seal| seal.manifest.manifest()) {
        Some(sealed) => {
            let tag = sealed.npm.as_ref().map(|npm| npm.dist_tag.clone());
            (sealed.destination.upstream, tag)
        }
        None => (package.upstream, release.dist_tag.clone()),
    };
    let upstream = tx.upstream(upstream).await?;
    let upstream = upstream.ok_or_else(|| Fault::new(CONTEXT, "the package has no upstream"))?;
    let version = Version::parse(release.ecosystem, &release.version)
        .map_err(|error| Fault::new(CONTEXT, error))?;
    Ok(Sought { upstream: upstream.upstream, package: package.name, version, dist_tag })
}

/// Nothing to compare with, unless the registry hides what it was seen to hold.
async fn nothing_listed(
    shelf: Shelf<'_>,
    release: &ReleaseRecord,
    sought: &Sought,
    listing: &Listing,
) -> Result<Baseline> {
    if let Some(status) = &listing.project_status {
        let status = excerpt(status);
        let why = format!("the registry marks the project as `{status}` and lists no version");
        return Ok(Unread { why, passing: false }.into());
    }
    let mut tx = shelf.registries.store.snapshot().await?;
    let published = tx.published_versions(release.package).await?;
    let earlier = published.iter().find(|text| {
        Version::parse(release.ecosystem, text)
            .is_ok_and(|version| version.compare(&sought.version) == Some(Ordering::Less))
    });
    // A registry that wants a credential answers as if there was no such package.
    Ok(match earlier {
        Some(version) if listing.files.is_empty() => {
            let why = format!(
                "the registry lists no version, although this gateway published {version}; it may \
                 want a read credential"
            );
            Unread { why, passing: false }.into()
        }
        _ => Baseline::None,
    })
}

/// The files of a version that this gateway sent to this registry.
async fn published_here(
    shelf: Shelf<'_>,
    release: &ReleaseRecord,
    version: &Version,
    upstream: &Upstream,
) -> Result<Vec<ArtifactRecord>> {
    let mut tx = shelf.registries.store.snapshot().await?;
    let Some(held) = tx.release_seen_holding(release.package, version.as_str()).await? else {
        return Ok(Vec::new());
    };
    let there = |destination: &Destination| destination.upstream == upstream.id();
    let sent = matches!(held.state, State::Published | State::Partial)
        && held.seal.is_some_and(|seal| there(&seal.manifest.manifest().destination));
    if sent { Ok(tx.artifacts(held.id).await?) } else { Ok(Vec::new()) }
}

/// One file, from our own blobs if it is there.
async fn take(
    shelf: Shelf<'_>,
    sought: &Sought,
    listed: &ListedFile,
    ours: &[ArtifactRecord],
    now: Timestamp,
) -> Result<std::result::Result<BaselineFile, Unread>> {
    let filename = listed.file.filename.clone();
    let name = excerpt(&filename);
    let Some(expected) = listed.file.strongest() else {
        return Ok(for_good(format!("the registry lists `{name}` without a digest to check")));
    };
    let own = ours.iter().find(|own| match sought.upstream.kind() {
        // A version has one tarball, whatever it is called.
        Ecosystem::Npm => true,
        Ecosystem::Pypi => own.filename == filename,
    });
    if own.is_some_and(|own| !expected.fits(&own.digests)) {
        return Ok(for_good(format!(
            "the registry holds `{name}` with other bytes than this gateway published"
        )));
    }
    let known = match (own, expected) {
        (Some(own), _) => Some(own.digests.sha256),
        (None, Expected::Sha256(sha256)) => Some(sha256),
        (None, Expected::Sha512(sha512)) => {
            shelf.registries.store.snapshot().await?.fetched_file(&sha512).await?
        }
        // Another file may have the same one.
        (None, Expected::Sha1(_)) => None,
    };
    let sha1_only = own.is_none() && matches!(expected, Expected::Sha1(_));
    let file = |sha256, size_bytes| BaselineFile { filename, sha256, size_bytes, sha1_only };
    if let Some(sha256) = known
        && let Some(size_bytes) = kept(shelf.blobs, sha256).await?
    {
        return Ok(Ok(file(sha256, size_bytes)));
    }
    let fetched = fetch(shelf, sought, listed, expected, now).await?;
    Ok(fetched.map(|(sha256, size_bytes)| file(sha256, size_bytes)))
}

/// The size of a blob that is kept.
async fn kept(blobs: &Blobs, sha256: Sha256) -> Result<Option<u64>> {
    match blobs.open_blob(sha256).await {
        Ok(reader) => Ok(Some(reader.size())),
        Err(BlobFault::Missing(_)) => Ok(None),
        Err(fault) => Err(Fault::new("opening a kept file", fault).into()),
    }
}

/// Fetches a file into the blob store; nothing is kept of one whose digest is another.
///
/// Dying before the note leaves a whole blob that nothing names, and the file is fetched again.
async fn fetch(
    shelf: Shelf<'_>,
    sought: &Sought,
    listed: &ListedFile,
    expected: Expected,
    now: Timestamp,
) -> Result<std::result::Result<(Sha256, u64), Unread>> {
    let limit = match sought.upstream.kind() {
        Ecosystem::Npm => shelf.npm_tarball_bytes,
        Ecosystem::Pypi => shelf.pypi_file_bytes,
    };
    let (upstream, package) = (&sought.upstream, &sought.package);
    let asked = shelf.registries.download(upstream, package, listed.url.as_ref(), limit).await?;
    let download = match asked {
        Ok(download) => download,
        Err(fault) => return Ok(Err(fault.into())),
    };
    let held = match hold(shelf.blobs, download, expected).await? {
        Ok(held) => held,
        Err(fault) => return Ok(Err(fault.into())),
    };
    if !expected.fits(held.digests()) {
        let name = excerpt(&listed.file.filename);
        return Ok(for_good(format!("what the registry gave for `{name}` has another digest")));
    }
    let stored = held.keep().await.map_err(|fault| Fault::new(KEEPING, fault))?;
    let sha256 = stored.digests.sha256;
    if let Expected::Sha512(sha512) = expected {
        let mut tx = shelf.registries.store.begin().await?;
        tx.add_fetched_file(&sha512, &sha256, now).await?;
        tx.commit().await?;
    }
    Ok(Ok((sha256, stored.size)))
}

const KEEPING: &str = "keeping a fetched file";

/// Streams a file into a blob that has no name yet.
async fn hold(
    blobs: &Blobs,
    mut download: Download,
    expected: Expected,
) -> Result<std::result::Result<HeldBlob, ReadFault>> {
    let wanted = Wanted {
        sha512: matches!(expected, Expected::Sha512(_)),
        sha1: matches!(expected, Expected::Sha1(_)),
        ..Wanted::default()
    };
    let fault = |fault| Error::from(Fault::new(KEEPING, fault));
    let mut writer = blobs.writer(wanted).map_err(fault)?;
    loop {
        match download.next().await {
            Ok(Some(piece)) => writer.push(&piece).await.map_err(fault)?,
            Ok(None) => return writer.hold().await.map(Ok).map_err(fault),
            Err(unread) => return Ok(Err(unread)),
        }
    }
}
