//! A comparison by itself: what is left of two surveys when the process that made them has ended.
//!
//! [`Compared`] is what the page and the report are built from. The child that reads the artifacts
//! sends it, so it is bounded there and holds no file's content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::artifact::Facts;
use crate::domain::digest::{Sha1, Sha256};
use crate::domain::review::delta::{Comparison, FileChange, Member};
use crate::domain::review::files::{self, Status};
use crate::domain::review::finding::{Finding, Since};
use crate::domain::review::survey::{Format, Survey, SurveyedFile};

/// What changed between the version people run today and a candidate, and what of it to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// What the candidate says about itself.
    pub candidate: Facts,
    /// What the baseline says about itself; `None` for a first release.
    pub baseline: Option<Facts>,
    /// How much the candidate is.
    pub extent: Extent,
    /// How much the baseline is; `None` when nothing was read of one.
    pub extent_before: Option<Extent>,
    /// Every file of the candidate, sorted by its place.
    pub files: Vec<ListedFile>,
    /// Every file that is not the same on both sides, sorted by place.
    pub changes: Vec<Change>,
    /// How many files stand how, as the list of them counts (`review::files`).
    pub counted: BTreeMap<Status, u64>,
    /// Every member of the manifest that is not the same on both sides, sorted by key.
    pub members: Vec<Member>,
    /// What is to be looked at, the gravest first.
    pub findings: Vec<Finding>,
}

/// How much an artifact is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// Files in it.
    pub files: u64,
    /// Their sizes, in bytes.
    pub bytes: u64,
    /// Lines of those that are text.
    pub lines: u64,
    /// Files that a parser read as code.
    pub parsed: u64,
}

/// What changed in an artifact, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// How much the baseline is; `None` when there is none to compare with.
    pub before: Option<Extent>,
    /// How much the candidate is.
    pub after: Extent,
    /// Files that only the candidate has.
    pub added: u64,
    /// Files that only the baseline has.
    pub removed: u64,
    /// Files that both have, with other bytes.
    pub changed: u64,
    /// Files that were somewhere else before: neither added nor removed. Left out of the encoding when
    /// there is none, as in reports that are older than this number; the same goes for `mode`.
    #[serde(default, skip_serializing_if = "is_none")]
    pub moved: u64,
    /// Files with the same bytes that can be run as a program in only one of the two.
    #[serde(default, skip_serializing_if = "is_none")]
    pub mode: u64,
    /// Programs for a machine among those added and changed.
    pub binaries: u64,
    /// Ways to run without being called that are new or changed.
    pub hooks: u64,
    /// Dependencies that are new.
    pub dependencies: u64,
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
    /// It is a file that build tools write the version into, and holds nothing else.
    pub only_version: bool,
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
            extent: Extent::of(comparison.candidate),
            // A survey of nothing stands for a baseline that could not be read.
            extent_before: comparison
                .baseline
                .filter(|survey| !survey.files.is_empty())
                .map(Extent::of),
            files: listed(comparison.candidate),
            changes: comparison.files().iter().map(Change::from).collect(),
            counted: files::counted(&files::list(comparison, &BTreeMap::new())),
            members: comparison.members(),
            findings,
        }
    }

    /// What changed, in numbers.
    pub fn tally(&self) -> Tally {
        let files = |status| self.counted.get(&status).copied().unwrap_or_default();
        let program = |it: &&Change| it.after.as_ref().is_some_and(|it| it.format.is_executable());
        let found = |family: &str, since: &[Since]| {
            let of = self.findings.iter().filter(|it| it.check.id.starts_with(family));
            of.filter(|it| since.contains(&it.since)).count() as u64
        };
        let new = [Since::New, Since::FirstRelease];
        Tally {
            before: self.extent_before,
            after: self.extent,
            added: files(Status::Added),
            removed: files(Status::Removed),
            changed: files(Status::Changed),
            moved: files(Status::Moved),
            mode: files(Status::Mode),
            binaries: self.changes.iter().filter(program).count() as u64,
            hooks: found("HK-", &[&new[..], &[Since::Changed]].concat()),
            dependencies: found("DP-01", &new),
        }
    }
}

impl Tally {
    /// How many files stand so against the baseline.
    pub const fn files(&self, status: Status) -> u64 {
        match status {
            Status::Changed => self.changed,
            Status::Added => self.added,
            Status::Removed => self.removed,
            Status::Moved => self.moved,
            Status::Mode => self.mode,
            Status::Unchanged => {
                let rest = self.changed + self.added + self.moved + self.mode;
                self.after.files.saturating_sub(rest)
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_none(number: &u64) -> bool {
    *number == 0
}

impl Extent {
    /// How much was surveyed.
    pub fn of(survey: &Survey) -> Self {
        let files = &survey.files;
        Self {
            files: files.len() as u64,
            bytes: survey.unpacked_bytes(),
            lines: files.iter().map(|file| u64::from(file.lines)).sum(),
            parsed: files.iter().filter(|file| file.is_parsed()).count() as u64,
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
            only_version: file.only_version,
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
