//! A comparison by itself: what is left of two surveys when the process that made them has ended.
//!
//! [`Compared`] is what the page and the report are built from. The child that reads the artifacts
//! sends it, so it is bounded there and holds no file's content.

use serde::{Deserialize, Serialize};

use crate::domain::artifact::Facts;
use crate::domain::digest::{Sha1, Sha256};
use crate::domain::review::delta::{Comparison, FileChange, Member};
use crate::domain::review::finding::Finding;
use crate::domain::review::survey::{Format, Survey, SurveyedFile};

/// What changed between the version people run today and a candidate, and what of it to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// What the candidate says about itself.
    pub candidate: Facts,
    /// What the baseline says about itself; `None` for a first release.
    pub baseline: Option<Facts>,
    /// Every file of the candidate, sorted by its place.
    pub files: Vec<ListedFile>,
    /// Every file that is not the same on both sides, sorted by place.
    pub changes: Vec<Change>,
    /// Every member of the manifest that is not the same on both sides, sorted by key.
    pub members: Vec<Member>,
    /// What is to be looked at, the gravest first.
    pub findings: Vec<Finding>,
}

/// A file of an artifact without what stood out in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Where it is: below the top directory of a tarball, the whole path in a wheel.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Digest of the content.
    pub sha256: Sha256,
    /// The name git has for the same content.
    pub git_blob: Sha1,
    /// What the first bytes say it is.
    pub format: Format,
    /// Number of lines; 0 for what is not text.
    pub lines: u32,
}

/// How one file differs; at least one side is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// In the baseline; `None` when the candidate added it.
    pub before: Option<ListedFile>,
    /// In the candidate; `None` when the candidate removed it.
    pub after: Option<ListedFile>,
}

impl Compared {
    /// Keeps what is needed of a comparison and its findings.
    pub fn of(comparison: &Comparison<'_>, findings: Vec<Finding>) -> Self {
        Self {
            candidate: comparison.candidate.facts.clone(),
            baseline: comparison.baseline.map(|survey| survey.facts.clone()),
            files: listed(comparison.candidate),
            changes: comparison.files().iter().map(Change::from).collect(),
            members: comparison.members(),
            findings,
        }
    }
}

fn listed(survey: &Survey) -> Vec<ListedFile> {
    survey.files.iter().map(ListedFile::from).collect()
}

impl From<&SurveyedFile> for ListedFile {
    fn from(file: &SurveyedFile) -> Self {
        Self {
            path: file.path.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256,
            git_blob: file.git_blob,
            format: file.format,
            lines: file.lines,
        }
    }
}

impl From<&FileChange<'_>> for Change {
    fn from(change: &FileChange<'_>) -> Self {
        let (before, after) = match *change {
            FileChange::Added(after) => (None, Some(after)),
            FileChange::Removed(before) => (Some(before), None),
            FileChange::Changed(before, after) => (Some(before), Some(after)),
        };
        Self { before: before.map(ListedFile::from), after: after.map(ListedFile::from) }
    }
}
