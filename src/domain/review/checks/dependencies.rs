//! DP: what an installation brings along.

use std::collections::BTreeMap;

use super::finding;
use crate::domain::artifact::Facts;
use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::Survey;

pub(super) const CHECKS: &[Check] = &[ADDED, UNUSUAL, BUNDLED];

const ADDED: Check = Check {
    id: "DP-01",
    title: "A dependency that was not there before",
    why: "Everybody who upgrades installs it and whatever it brings along.",
};
const UNUSUAL: Check = Check {
    id: "DP-02",
    title: "A dependency that comes from elsewhere than the registry",
    why: "What it installs can change without any release.",
};
const BUNDLED: Check = Check {
    id: "DP-07",
    title: "Dependencies inside the package itself",
    why: "They are installed as they are, and no resolver or advisory sees them.",
};

/// npm's tables of what is installed with the package.
const TABLES: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let before = comparison.baseline.map(dependencies);
    for (name, range) in dependencies(comparison.candidate) {
        let known = before.as_ref().map(|before| before.get(&name));
        let since = match known {
            None => Since::FirstRelease,
            Some(None) => Since::New,
            Some(Some(old)) if *old == range => Since::Unchanged,
            Some(Some(_)) => Since::Changed,
        };
        let evidence = format!("{name} {range}");
        if since == Since::New {
            // What only an extra brings along is installed by those who ask for it.
            let only_extra = range.split(" | ").all(|range| range.contains("extra =="));
            let severity = if only_extra { Severity::Note } else { Severity::Look };
            found.push(finding(&ADDED, severity, since, evidence.trim()));
        }
        if is_unusual(&comparison.candidate.facts, &range) {
            let severity = if since == Since::Unchanged { Severity::Look } else { Severity::Block };
            found.push(finding(&UNUSUAL, severity, since, evidence.trim()));
        }
    }
    bundled(comparison, found);
}

/// Name and range of everything that is installed with the package.
fn dependencies(survey: &Survey) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    match &survey.facts {
        Facts::Npm(facts) => {
            for table in TABLES {
                let Some(entries) = facts.package_json.get(table).and_then(|t| t.as_object())
                else {
                    continue;
                };
                for (name, range) in entries {
                    all.insert(name.clone(), range.as_str().unwrap_or_default().to_owned());
                }
            }
        }
        Facts::Pypi(facts) => {
            for requirement in facts.values("Requires-Dist") {
                let end = requirement
                    .find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
                    .unwrap_or(requirement.len());
                let (name, rest) = requirement.split_at(end);
                let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
                // One project may be required several times, under different markers.
                let known: &mut String = all.entry(name).or_default();
                if !known.is_empty() {
                    known.push_str(" | ");
                }
                known.push_str(rest.trim());
            }
        }
    }
    all
}

/// Not a version or a range of them.
fn is_unusual(facts: &Facts, range: &str) -> bool {
    match facts {
        Facts::Npm(_) => {
            let prefix =
                ["git", "http:", "https:", "file:", "link:", "workspace:", "npm:", "github:"];
            prefix.iter().any(|prefix| range.starts_with(prefix))
                // `owner/repository` is short for a git address.
                || (range.contains('/') && !range.contains(' '))
        }
        Facts::Pypi(_) => range.starts_with('@') || range.contains("] @") || range.contains("]@"),
    }
}

fn bundled(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Facts::Npm(_) = comparison.candidate.facts else { return };
    for name in ["npm-shrinkwrap.json", "node_modules/"] {
        let inside =
            |survey: &Survey| survey.files.iter().filter(|f| f.place.starts_with(name)).count();
        let now = inside(comparison.candidate);
        if now == 0 {
            continue;
        }
        let (since, severity) = match comparison.baseline.map(inside) {
            None => (Since::FirstRelease, Severity::Look),
            Some(0) => (Since::New, Severity::Look),
            Some(_) => (Since::Unchanged, Severity::Note),
        };
        let evidence = format!("{name}, {now} file(s)");
        found.push(finding(&BUNDLED, severity, since, &evidence));
    }
}
