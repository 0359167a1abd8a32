//! Files inside artifacts, for whoever looks at a release: the list of all of them, and one of them
//! beside the baseline's.
//!
//! Everything is read in a child of its own (`inspector`), a few at a time and for seconds: a page
//! that is not there in time is a page that says so. The lists are made when a release is inspected
//! and kept for a while, since neither of the two artifacts ever changes; `viewed` notes what of them
//! somebody has read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::blobs::Blobs;
use crate::domain::digest::Sha256;
use crate::domain::review::diff::{FileDiff, Wanted};
use crate::domain::review::files::FileEntry;
use crate::domain::review::report::{Against, Report};
use crate::inspect::request::{Artifact, Request};
use crate::inspector::Inspector;
use crate::pipeline::baseline::Shelf;
use crate::pipeline::review::{ArtifactRecord, ReleaseView};
use crate::pipeline::{Fault, Result};
use crate::store::files::Pair;

/// Longest wait for one page of one file, for a free child and for its answer (rule S9).
const DIFF_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for a list: the largest packages have thousands of files.
const LIST_WAIT: Duration = Duration::from_secs(20);
/// Files whose entries are held in memory, some 40 MB of them: a few of the largest packages, or all
/// wheels of many releases.
const HELD_FILES: usize = 100_000;
/// Longest list that is kept in the database, in bytes: fifty thousand files with short names.
const KEPT_BYTES: usize = 16 << 20;
/// How long one is kept there. Releases are decided within days; later it is made again.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 90);
/// What was being done when a kept list made no sense.
const KEEPING: &str = "keeping a list of files";

/// Reads inside artifacts, a few at a time.
#[derive(Debug)]
pub struct FileReader {
    inspector: Inspector,
    lists: Mutex<VecDeque<(Pair, Arc<Vec<FileEntry>>)>>,
}

/// What a file of a release is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A version that people run today.
    Version {
        /// The version.
        version: String,
        /// The file name at the registry.
        filename: String,
        /// The content address.
        sha256: Sha256,
    },
    /// Nothing, and why, as a sentence.
    Nothing(String),
}

impl Base {
    /// What the report about a release says about one of its files.
    pub fn of(report: Option<&Report>, filename: &str) -> Self {
        let reported = report
            .and_then(|report| report.artifacts.iter().find(|artifact| artifact.name == filename));
        match reported.map(|artifact| &artifact.against) {
            Some(Against::Baseline { version, file, sha256 }) => {
                Self::Version { version: version.clone(), filename: file.clone(), sha256: *sha256 }
            }
            Some(Against::Nothing { why }) => Self::Nothing(format!("Compared with {why}.")),
            None => Self::Nothing("There is nothing to compare with yet.".to_owned()),
        }
    }

    /// What every page says about it, as a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Version { version, filename, .. } => {
                format!("Compared with {version}, the file {filename}.")
            }
            Self::Nothing(why) => why.clone(),
        }
    }
}

/// Why a file or list is not shown, as a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotShown(pub String);

/// What was read, or why it is not shown.
pub type Read<T> = std::result::Result<T, NotShown>;

impl FileReader {
    /// Reads with `inspector`, but for shorter times.
    pub fn new(inspector: &Inspector) -> Self {
        Self { inspector: inspector.within(LIST_WAIT), lists: Mutex::default() }
    }

    /// Every file of an artifact beside the baseline's. It is read now if nobody listed it before, and
    /// kept for whoever ticks one of them.
    pub async fn list(
        &self,
        at: Shelf<'_>,
        (artifact, base): (&ArtifactRecord, &Base),
        now: Timestamp,
    ) -> Result<Read<Arc<Vec<FileEntry>>>> {
        let (request, pair) = request(at.blobs, artifact, base).await?;
        if let Some(ready) = self.kept(at, pair).await? {
            return Ok(Ok(ready));
        }
        Ok(match self.ask(request, LIST_WAIT).await {
            Ok(files) => Ok(self.keep(at, pair, files, now).await?),
            Err(not_shown) => Err(not_shown),
        })
    }

    /// The same, as long as somebody listed it before.
    pub async fn ready(
        &self,
        at: Shelf<'_>,
        artifact: &ArtifactRecord,
        base: &Base,
    ) -> Result<Option<Arc<Vec<FileEntry>>>> {
        let (_, pair) = request(at.blobs, artifact, base).await?;
        self.kept(at, pair).await
    }

    /// The list of a pair, from memory or from the database.
    async fn kept(&self, at: Shelf<'_>, pair: Pair) -> Result<Option<Arc<Vec<FileEntry>>>> {
        if let Some(held) = self.held(&pair) {
            return Ok(Some(held));
        }
        let kept = at.registries.store.snapshot().await?.file_list(&pair).await?;
        let Some(text) = kept else { return Ok(None) };
        // Some megabytes of text are not read on a thread that serves requests.
        let read = tokio::task::spawn_blocking(move || serde_json::from_str(&text));
        let read = read.await.map_err(|error| Fault::new(KEEPING, error))?;
        Ok(Some(self.hold(pair, read.map_err(|error| Fault::new(KEEPING, error))?)))
    }

    /// The same of every file of a release; `None` when one of them was not listed yet.
    pub async fn all_ready(
        &self,
        at: Shelf<'_>,
        release: &ReleaseView,
    ) -> Result<Option<Vec<Arc<Vec<FileEntry>>>>> {
        let mut lists = Vec::new();
        for artifact in &release.artifacts {
            let base = Base::of(release.report.as_ref(), &artifact.filename);
            let Some(list) = self.ready(at, artifact, &base).await? else { return Ok(None) };
            lists.push(list);
        }
        Ok(Some(lists))
    }

    /// Lists an artifact before anybody asks, with all the time an inspection has, and keeps that. A
    /// list that cannot be made is made when it is asked for, in front of whoever reads.
    pub async fn prepare(
        &self,
        at: Shelf<'_>,
        inspector: &Inspector,
        (artifact, base): (&ArtifactRecord, &Base),
        now: Timestamp,
    ) -> Result<()> {
        let (request, pair) = request(at.blobs, artifact, base).await?;
        let files: Vec<FileEntry> = match inspector.ask(request).await {
            Ok(files) => files,
            Err(failed) => {
                tracing::warn!(error = %failed, artifact = %artifact.filename, "no list of files");
                return Ok(());
            }
        };
        self.keep(at, pair, files, now).await?;
        Ok(())
    }

    /// Keeps a list in the database and in memory.
    async fn keep(
        &self,
        at: Shelf<'_>,
        pair: Pair,
        files: Vec<FileEntry>,
        now: Timestamp,
    ) -> Result<Arc<Vec<FileEntry>>> {
        let text = serde_json::to_string(&files).map_err(|error| Fault::new(KEEPING, error))?;
        if text.len() <= KEPT_BYTES {
            let mut tx = at.registries.store.begin().await?;
            tx.keep_file_list(&pair, &text, now - KEPT_FOR, now).await?;
            tx.commit().await?;
        }
        Ok(self.hold(pair, files))
    }

    /// One file of the candidate beside the baseline's, or all of it without one; `None` when neither
    /// has it.
    pub async fn diff(
        &self,
        blobs: &Blobs,
        artifact: &ArtifactRecord,
        base: &Base,
        wanted: Wanted,
    ) -> Result<Read<Option<FileDiff>>> {
        let before = before(blobs, base).await?;
        let request = Request::Diff {
            candidate: held(blobs, artifact),
            baseline: before.map(|(artifact, _)| artifact),
            wanted,
        };
        Ok(self.ask(request, DIFF_WAIT).await)
    }

    /// All of one file of the baseline.
    pub async fn before(
        &self,
        blobs: &Blobs,
        base: &Base,
        wanted: Wanted,
    ) -> Result<Read<Option<FileDiff>>> {
        let Some((candidate, _)) = before(blobs, base).await? else { return Ok(Ok(None)) };
        let request = Request::Diff { candidate, baseline: None, wanted };
        Ok(self.ask(request, DIFF_WAIT).await)
    }

    async fn ask<T>(&self, request: Request, wait: Duration) -> Read<T>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        // Dropping the question ends the child.
        match tokio::time::timeout(wait, self.inspector.ask(request)).await {
            Ok(answer) => answer.map_err(|failed| NotShown(format!("{failed}."))),
            Err(_) => Err(NotShown(format!("It took longer than {} s.", wait.as_secs()))),
        }
    }

    fn held(&self, pair: &Pair) -> Option<Arc<Vec<FileEntry>>> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let at = lists.iter().position(|(known, _)| known == pair)?;
        // What is read stays longest.
        let found = lists.remove(at)?;
        let list = Arc::clone(&found.1);
        lists.push_front(found);
        Some(list)
    }

    fn hold(&self, pair: Pair, files: Vec<FileEntry>) -> Arc<Vec<FileEntry>> {
        let files = Arc::new(files);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        // Two readers may have made the same list.
        lists.retain(|(known, _)| *known != pair);
        lists.push_front((pair, Arc::clone(&files)));
        // The newest stays, however long it is.
        while lists.len() > 1
            && lists.iter().map(|(_, held)| held.len()).sum::<usize>() > HELD_FILES
        {
            lists.pop_back();
        }
        files
    }
}

/// What lists an artifact, and of what that is the list.
async fn request(blobs: &Blobs, artifact: &ArtifactRecord, base: &Base) -> Result<(Request, Pair)> {
    let before = before(blobs, base).await?;
    let pair = (artifact.digests.sha256, before.as_ref().map(|(_, digest)| *digest));
    let baseline = before.map(|(artifact, _)| artifact);
    Ok((Request::Files { candidate: held(blobs, artifact), baseline }, pair))
}

fn held(blobs: &Blobs, artifact: &ArtifactRecord) -> Artifact {
    Artifact::new(&blobs.path(&artifact.digests.sha256), &artifact.filename)
}

/// The baseline's file, as long as it is kept.
async fn before(blobs: &Blobs, base: &Base) -> Result<Option<(Artifact, Sha256)>> {
    let Base::Version { filename, sha256, .. } = base else { return Ok(None) };
    let kept = blobs.exists(sha256).await;
    let kept = kept.map_err(|error| Fault::new("looking for a baseline's file", error))?;
    Ok(kept.then(|| (Artifact::new(&blobs.path(sha256), filename), *sha256)))
}
