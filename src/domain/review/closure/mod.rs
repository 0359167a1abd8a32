//! CI: everything that took part in the run that built a release, followed to its end.
//!
//! A pin by commit is worth what is behind it: an action pinned by its commit may run another one
//! by a tag, start from an image that changes, or download a script. The walk starts at the
//! workflow that the CI token names and follows every reference; whoever drives it reads the files
//! (`pipeline::binding`). What it saw becomes sorted lines, the closure, whose digest is signed with
//! the release and which is compared with that of the last approved release.

mod findings;
mod lines;
#[cfg(test)]
mod tests;
mod walk;

use crate::domain::review::finding::{Check, Finding};

pub use self::findings::{PipelineChange, pipeline_change};
pub use self::lines::{Closure, ClosureError, Kind, Line};
pub use self::walk::{Answer, Found, Walk, Wanted};

/// The checks made of a closure.
pub const CHECKS: &[Check] =
    &[MUTABLE, CHANGED, MUTABLE_IMAGE, DOWNLOAD, PIPELINE, WIDE_TOKEN, CACHE];

const MUTABLE: Check = Check {
    id: "CI-01",
    title: "An action that can become another one",
    why: "Whoever can move its tag or branch runs code where the release is made.",
};
const CHANGED: Check = Check {
    id: "CI-02",
    title: "Something else takes part in the build",
    why: "The last approved release was built without it, or with another version of it.",
};
const MUTABLE_IMAGE: Check = Check {
    id: "CI-03",
    title: "An image named without its digest",
    why: "The same name can be another image tomorrow.",
};
const DOWNLOAD: Check = Check {
    id: "CI-04",
    title: "The build fetches a program that nothing pins",
    why: "What it runs is decided elsewhere, each time anew.",
};
const PIPELINE: Check = Check {
    id: "CI-05",
    title: "What makes releases changed since the last one",
    why: "Who can change the workflow can change what is released without touching the code.",
};
const WIDE_TOKEN: Check = Check {
    id: "CI-07",
    title: "More than the publishing step can get the identity token",
    why: "Code of any dependency that runs there can publish in the name of this repository.",
};
const CACHE: Check = Check {
    id: "CI-08",
    title: "The build restores a cache",
    why: "Another run may have put something into it, and nothing in the commit shows that.",
};

/// The result of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What took part.
    pub closure: Closure,
    /// What of it is to be looked at.
    pub findings: Vec<Finding>,
    /// What could not be looked into, each with why.
    pub unread: Vec<String>,
}
