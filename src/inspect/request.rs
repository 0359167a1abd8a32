//! What the gateway asks of the child that reads artifacts, and what it answers.
//!
//! A task is one argument of the child's command line, the answer is one JSON text on its standard
//! output. `inspector` is the asking side, `cli::inspect` the answering one. To ask for something
//! else, add a [`Request`] and answer it there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::review::diff::Wanted;

/// What a child gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What the kernel holds it to.
    pub bounds: Bounds,
    /// What it is to do.
    pub request: Request,
}

/// What the kernel ends a child for (security.md 2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Most bytes of address space, program included.
    pub memory_bytes: u64,
    /// Most seconds of a processor.
    pub cpu_secs: u64,
}

impl Default for Bounds {
    /// 512 MiB and 60 s: the largest real packages need half of either.
    fn default() -> Self {
        Self { memory_bytes: 512 << 20, cpu_secs: 60 }
    }
}

/// One file to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Where its bytes are.
    pub path: PathBuf,
    /// Its name at the registry, which says what kind of file it is.
    pub filename: String,
}

impl Artifact {
    /// A file under its name at the registry.
    pub fn new(path: &Path, filename: &str) -> Self {
        Self { path: path.to_owned(), filename: filename.to_owned() }
    }
}

/// The two distributions of a Python release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The source distribution.
    pub sdist: Artifact,
    /// One of the wheels.
    pub wheel: Artifact,
}

/// Where a release would stand among the others, in words of the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The highest version the registry has, or the one behind the dist-tag `latest`.
    pub newest: Option<String>,
    /// The dist-tag it would get; npm only.
    pub dist_tag: Option<String>,
    /// People run a version that could not be read: everything counts as new, and nothing is quiet.
    pub baseline_unreadable: bool,
}

/// What a child can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What changed and what of it to look at; answered with
    /// [`Compared`](crate::domain::review::compared::Compared).
    Compare {
        /// What is to be released.
        candidate: Artifact,
        /// What people run today.
        baseline: Option<Artifact>,
        /// Where the candidate would stand.
        standing: Standing,
    },
    /// Every file beside the baseline's; answered with a list of
    /// [`FileEntry`](crate::domain::review::files::FileEntry).
    Files {
        /// What is to be released.
        candidate: Artifact,
        /// What people run today.
        baseline: Option<Artifact>,
    },
    /// One file of both, or all of one file when there is no baseline; answered with a
    /// [`FileDiff`](crate::domain::review::diff::FileDiff), or `null` when neither has it.
    Diff {
        /// What is to be released.
        candidate: Artifact,
        /// What people run today.
        baseline: Option<Artifact>,
        /// Which file.
        wanted: Wanted,
    },
    /// What a wheel holds that the source distribution of the same release does not; answered with
    /// a list of [`Finding`](crate::domain::review::finding::Finding)s.
    SameRelease {
        /// The files of the candidate.
        pair: Pair,
        /// The same two of what people run today.
        before: Option<Pair>,
    },
    /// What the sandbox is made of here; answered with [`Sandbox`].
    Sandbox,
    /// Something that a child must not be able to do. Only tests ask for it.
    Misbehave(Misbehavior),
}

impl Request {
    /// Every file it is about, in an order that does not change.
    pub fn artifacts(&self) -> Vec<&Artifact> {
        match self {
            Self::Compare { candidate, baseline, .. }
            | Self::Files { candidate, baseline }
            | Self::Diff { candidate, baseline, .. } => {
                std::iter::once(candidate).chain(baseline).collect()
            }
            Self::SameRelease { pair, before } => {
                std::iter::once(pair).chain(before).flat_map(|p| [&p.sdist, &p.wheel]).collect()
            }
            Self::Sandbox | Self::Misbehave(_) => Vec::new(),
        }
    }

    /// One of [`Self::artifacts`] in words.
    pub fn words(&self, number: usize) -> Option<String> {
        let all = self.artifacts();
        let artifact = all.get(number)?;
        let candidates = if matches!(self, Self::SameRelease { .. }) { 2 } else { 1 };
        let what = if number < candidates { "the candidate" } else { "the baseline" };
        Some(format!("{what} `{}`", artifact.filename))
    }

    /// The same with paths that do not depend on where a process stands.
    pub fn absolute(mut self) -> std::io::Result<Self> {
        let resolve = |artifact: &mut Artifact| -> std::io::Result<()> {
            artifact.path = std::path::absolute(&artifact.path)?;
            Ok(())
        };
        match &mut self {
            Self::Compare { candidate, baseline, .. }
            | Self::Files { candidate, baseline }
            | Self::Diff { candidate, baseline, .. } => {
                resolve(candidate)?;
                baseline.as_mut().map(resolve).transpose()?;
            }
            Self::SameRelease { pair, before } => {
                for pair in std::iter::once(pair).chain(before) {
                    resolve(&mut pair.sdist)?;
                    resolve(&mut pair.wheel)?;
                }
            }
            Self::Sandbox | Self::Misbehave(_) => {}
        }
        Ok(self)
    }
}

/// Ways to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misbehavior {
    /// Takes memory without end.
    Allocate,
    /// Computes without end.
    Spin,
    /// Ends itself by a panic.
    Panic,
    /// Writes to standard output without end.
    Flood,
    /// Tries everything that a reader has no business with, and answers with a list of [`Tried`].
    Reach,
}

/// One thing a child tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// What.
    pub what: String,
    /// The kernel's error; `None` when it worked.
    pub refused: Option<String>,
}

/// Bytes that a strict reader does not accept: nothing is wrong with the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("`{filename}` is refused: {why}")]
pub struct Unreadable {
    /// The name of the artifact at the registry.
    pub filename: String,
    /// The reader's sentence.
    pub why: String,
}

/// What a child writes to standard error when it begins to read one of [`Request::artifacts`], with
/// its number after it, and with something else when it is done: should it end in between, its parent
/// knows which one it was.
pub const READING: &str = "reading artifact ";

/// What a child writes.
pub type Answer<T> = Result<T, Unreadable>;

/// What holds a child, besides its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// Landlock, without a right to any file or connection.
    pub landlock: InForce,
    /// seccomp, with the few system calls a reader needs.
    pub seccomp: InForce,
}

/// How much of a protection there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InForce {
    /// All that was asked for.
    Whole,
    /// What this kernel knows of it.
    Partly,
    /// Nothing: this kernel does not have it or does not allow it.
    Missing,
}

impl Sandbox {
    /// What to tell an operator, one sentence for each part.
    pub fn sentences(&self) -> [String; 2] {
        let told = |name: &str, in_force: InForce| match in_force {
            InForce::Whole => format!("{name}: in force"),
            InForce::Partly => format!("{name}: in force as far as this kernel knows it"),
            InForce::Missing => format!("{name}: not in this kernel, or not allowed here"),
        };
        [told("Landlock", self.landlock), told("seccomp", self.seccomp)]
    }

    /// Whether anything is missing that a newer kernel would have.
    pub fn is_whole(&self) -> bool {
        self.landlock == InForce::Whole && self.seccomp == InForce::Whole
    }
}
