//! CP: what the package can do that it could not do before.
//!
//! Only the first of a sort in the whole package is said: a client library uses the network, and
//! saying so at every release teaches people not to read.

use std::collections::BTreeSet;

use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::{Sort, Survey};

pub(super) const CHECKS: &[Check] =
    &[NETWORK, PROGRAMS, CREDENTIAL_PLACE, ENVIRONMENT, HOST, PUBLISHES, DYNAMIC_CODE];

const NETWORK: Check = Check {
    id: "CP-01",
    title: "It talks to the network for the first time",
    why: "Nothing in this package did so before.",
};
const PROGRAMS: Check = Check {
    id: "CP-02",
    title: "It starts other programs for the first time",
    why: "Nothing in this package did so before.",
};
const CREDENTIAL_PLACE: Check = Check {
    id: "CP-03",
    title: "It names a place where credentials are kept",
    why: "Code that steals credentials looks there.",
};
const ENVIRONMENT: Check = Check {
    id: "CP-04",
    title: "It takes the whole environment",
    why: "Tokens of CI and of people are in the environment.",
};
const HOST: Check = Check {
    id: "CP-05",
    title: "A host that no earlier version names",
    why: "Whatever is sent goes there.",
};
const PUBLISHES: Check = Check {
    id: "CP-06",
    title: "It can publish packages or change repositories",
    why: "Worms spread this way.",
};
const DYNAMIC_CODE: Check = Check {
    id: "CP-08",
    title: "It runs text as code for the first time",
    why: "What it runs then is not in the package.",
};

/// Sorts that count once for the whole package: the sort, its check, how grave it is when new.
const FIRST: [(Sort, &Check, Severity); 6] = [
    (Sort::Network, &NETWORK, Severity::Look),
    (Sort::Programs, &PROGRAMS, Severity::Look),
    (Sort::CredentialPlace, &CREDENTIAL_PLACE, Severity::Block),
    (Sort::Environment, &ENVIRONMENT, Severity::Look),
    (Sort::Publishes, &PUBLISHES, Severity::Block),
    (Sort::DynamicCode, &DYNAMIC_CODE, Severity::Look),
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
            // Everything it knows about the machine, and a way to send it.
            let sends = sort == Sort::Environment && file.of_sort(Sort::Network).next().is_some();
            let severity = match (comparison.baseline, sends) {
                (None, _) => Severity::Look,
                (Some(_), true) => Severity::Block,
                (Some(_), false) => severity,
            };
            let said = Finding::new(check, severity, comparison.since_new(), &mark.excerpt);
            found.push(said.at(&file.path, Some(mark.line)));
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
            let said = Finding::new(&HOST, Severity::Look, Since::New, &mark.excerpt);
            found.push(said.at(&file.path, Some(mark.line)));
        }
    }
}
