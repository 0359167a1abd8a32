//! CP: what the package can do that it could not do before.
//!
//! Only the first of a sort in the whole package is said: a client library uses the network, and
//! saying so at every release teaches people not to read.

use std::collections::BTreeSet;

use super::finding;
use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::{Sort, Survey};

const HOSTS: usize = 4;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "CP-01",
        title: "It talks to the network for the first time",
        why: "Nothing in this package did so before.",
    },
    Check {
        id: "CP-02",
        title: "It starts other programs for the first time",
        why: "Nothing in this package did so before.",
    },
    Check {
        id: "CP-03",
        title: "It names a place where credentials are kept",
        why: "Code that steals credentials looks there.",
    },
    Check {
        id: "CP-04",
        title: "It takes the whole environment",
        why: "Tokens of CI and of people are in the environment.",
    },
    Check {
        id: "CP-05",
        title: "A host that no earlier version names",
        why: "Whatever is sent goes there.",
    },
    Check {
        id: "CP-06",
        title: "It can publish packages or change repositories",
        why: "Worms spread this way.",
    },
    Check {
        id: "CP-08",
        title: "It runs text as code for the first time",
        why: "What it runs then is not in the package.",
    },
];

/// Sorts that count once for the whole package: the sort, its check, how grave it is when new.
const FIRST: [(Sort, usize, Severity); 6] = [
    (Sort::Network, 0, Severity::Look),
    (Sort::Programs, 1, Severity::Look),
    (Sort::CredentialPlace, 2, Severity::Block),
    (Sort::Environment, 3, Severity::Look),
    (Sort::Publishes, 5, Severity::Block),
    (Sort::DynamicCode, 6, Severity::Look),
];

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    // A first release does everything for the first time; that is for the page to show, not to say
    // line by line. What is grave is said all the same.
    for (sort, check, severity) in FIRST {
        let known = comparison.baseline.is_some_and(|base| base.marks(sort).next().is_some());
        let quiet = comparison.baseline.is_none() && severity < Severity::Block;
        if known || quiet {
            continue;
        }
        if let Some((file, mark)) = comparison.candidate.marks(sort).next() {
            let severity = if comparison.baseline.is_none() { Severity::Look } else { severity };
            let said = finding(&CHECKS[check], severity, comparison.since_new(), &mark.excerpt);
            found.push(Finding { file: Some(file.path.clone()), line: Some(mark.line), ..said });
        }
    }
    hosts(comparison, found);
}

fn hosts(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let named = |survey: &Survey| -> BTreeSet<String> {
        survey.marks(Sort::Host).map(|(_, mark)| mark.excerpt.clone()).collect()
    };
    let mut known = named(baseline);
    for (file, mark) in comparison.candidate.marks(Sort::Host) {
        if known.insert(mark.excerpt.clone()) {
            let said = finding(&CHECKS[HOSTS], Severity::Look, Since::New, &mark.excerpt);
            found.push(Finding { file: Some(file.path.clone()), line: Some(mark.line), ..said });
        }
    }
}
