//! SRC: whether what is released is what is in Git at the commit that the CI token names.
//!
//! A file is the same when its bytes are, wherever it is in the tree; then the few changes that
//! packing makes are undone and it is compared again. What is left is not in Git, or differs from
//! it: both are how code arrives that nobody reviewed. Contents of Git's files are handed in by
//! whoever reads the repository (`pipeline::binding`).

mod code;
mod commit;
mod matching;
mod packing;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha1;
use crate::domain::review::closure::Closure;
use crate::domain::review::finding::{Check, Finding, Severity, Since};

pub use self::commit::{Standing, TagFacts, branch_finding, tag_findings};
pub use self::matching::{ArtifactFile, Candidate, Matching};
pub use self::packing::is_only_version;
pub use self::tree::Tree;

/// The checks made against the repository.
pub const CHECKS: &[Check] = &[UNREAD, BRANCH, TAG, NOT_IN_GIT, DIFFERS];

const UNREAD: Check = Check {
    id: "SRC-00",
    title: "The source could not be looked at",
    why: "It is configured and did not answer, so nobody knows whether the release is what it says.",
};

const BRANCH: Check = Check {
    id: "SRC-01",
    title: "The commit is on no branch that releases come from",
    why: "Nobody had to review it, and a fork can put a commit into reach of a repository.",
};
const TAG: Check = Check {
    id: "SRC-02",
    title: "A tag does not say what it should",
    why: "Whoever looks at the source of this version sees other code than was built.",
};
const NOT_IN_GIT: Check = Check {
    id: "SRC-04",
    title: "A file that is not in Git",
    why: "Whoever read the commit has not seen it.",
};
const DIFFERS: Check = Check {
    id: "SRC-05",
    title: "A file that differs from the one in Git",
    why: "Something changed it after the commit was made.",
};

/// Largest file of Git that is read to undo what packing does.
pub const CONTENT_MAX: u64 = 4 << 20;

/// How a release's files are found in Git, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The artifact.
    pub file_name: String,
    /// The same at the same path.
    pub exact: usize,
    /// The same at another path.
    pub elsewhere: usize,
    /// The same but for line ends, a version or a pointer to large content.
    pub rewritten: usize,
    /// Made while packing.
    pub generated: usize,
    /// Other content than at the same path in Git.
    pub differs: usize,
    /// Nowhere in Git.
    pub missing: usize,
}

/// A tag of a repository and the commit it leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    /// Its name, without `refs/tags/`.
    pub name: String,
    /// The commit.
    pub commit: String,
}

/// Where a release came from: shown on its page, and what the next release is compared with once
/// this one was approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The repository, as the CI token names it.
    pub repository: String,
    /// The commit, as the CI token names it.
    pub commit: String,
    /// The branch releases come from that leads to it.
    pub branch: Option<String>,
    /// Whether branches are configured, so that none leading to it means something; `None` in what was
    /// kept before this was noted.
    #[serde(default)]
    pub branch_judged: Option<bool>,
    /// The tag of this version.
    pub tag: Option<Tag>,
    /// The files, artifact by artifact.
    pub artifacts: Vec<Counts>,
    /// Files that are not in Git, by place: an approver accepted them.
    pub outside: BTreeMap<String, Sha1>,
    /// What took part in the run.
    pub closure: Option<Closure>,
}

/// SRC-00: something that is configured was not read.
pub fn unread_finding(words: &str) -> Finding {
    finding(&UNREAD, Severity::Look, words)
}

/// A repository is compared with, not an earlier release: what is said is true of this one.
fn finding(check: &'static Check, severity: Severity, words: &str) -> Finding {
    Finding::new(check, severity, Since::New, words)
}
