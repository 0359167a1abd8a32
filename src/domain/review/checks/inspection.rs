//! IN: what the inspection says about itself. What could not be read is never clean.

use crate::domain::review::finding::{Check, Finding, Severity, Since};

pub(super) const CHECKS: &[Check] = &[FAILED, NO_BASELINE, TOO_MANY];

const FAILED: Check = Check {
    id: "IN-01",
    title: "A file that could not be inspected",
    why: "Nobody looked inside, so nothing is known about what it does.",
};
const NO_BASELINE: Check = Check {
    id: "IN-02",
    title: "What people run today could not be read",
    why: "Everything counts as new, whether or not it is.",
};
const TOO_MANY: Check = Check {
    id: "IN-03",
    title: "More was found than can be listed",
    why: "What is beyond the list was found all the same and has to be looked at elsewhere.",
};

/// An artifact could not be inspected: refused, killed, over a bound.
pub fn failed(why: &str) -> Finding {
    Finding::new(&FAILED, Severity::Block, Since::New, why)
}

/// There is a baseline, and it could not be read.
pub fn no_baseline(why: &str) -> Finding {
    Finding::new(&NO_BASELINE, Severity::Look, Since::New, why)
}

/// Whether a check says that there is a baseline and nobody knows what is in it.
pub(in crate::domain::review) fn is_no_baseline(check: &str) -> bool {
    check == NO_BASELINE.id
}

/// So many findings are not listed.
pub(in crate::domain::review) fn too_many(more: usize) -> Finding {
    Finding::new(&TOO_MANY, Severity::Block, Since::New, &format!("{more} more"))
}

/// Whether a check says that the inspection failed, which another try may change.
pub(in crate::domain::review) fn is_failure(check: &str) -> bool {
    check == FAILED.id || is_no_baseline(check)
}
