//! ID-02, CT-13: what the package says it is.

use super::finding;
use crate::domain::artifact::Facts;
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::review::delta::{Comparison, Member};
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::Survey;

pub(super) const CHECKS: &[Check] = &[ANOTHER, ORIGIN];

const ANOTHER: Check = Check {
    id: "ID-02",
    title: "It is not a new version of what people run today",
    why: "The name is another one, or the same version has other content.",
};
const ORIGIN: Check = Check {
    id: "CT-13",
    title: "What the package says about its origin",
    why: "Another repository, licence or author is how a takeover shows, and how a move does.",
};

/// Members of a manifest that say where a package comes from.
const ORIGINS: [&str; 14] = [
    "repository",
    "homepage",
    "author",
    "maintainers",
    "license",
    "funding",
    "Home-page",
    "Author",
    "Author-email",
    "Maintainer",
    "Maintainer-email",
    "License",
    "License-Expression",
    "Project-URL",
];

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    another(baseline, comparison.candidate, found);
    for member in comparison.members() {
        origin(&member, found);
    }
}

fn another(baseline: &Survey, candidate: &Survey, found: &mut Vec<Finding>) {
    let ((before, old), (after, new)) = (identity(&baseline.facts), identity(&candidate.facts));
    if before != after {
        let evidence = format!("{after} is compared with {before}");
        found.push(finding(&ANOTHER, Severity::Block, Since::Changed, &evidence));
    } else if old == new && baseline.files != candidate.files {
        let evidence = format!("{new} is there already");
        found.push(finding(&ANOTHER, Severity::Block, Since::Changed, &evidence));
    }
}

/// Name in its canonical spelling, and version.
fn identity(facts: &Facts) -> (String, &str) {
    let (ecosystem, name, version) = match facts {
        Facts::Npm(facts) => (Ecosystem::Npm, &facts.name, &facts.version),
        Facts::Pypi(facts) => (Ecosystem::Pypi, &facts.name, &facts.version),
    };
    let name = PackageName::parse(ecosystem, name)
        .map_or_else(|_| name.clone(), |name| name.normalized().to_owned());
    (name, version)
}

fn origin(member: &Member, found: &mut Vec<Finding>) {
    let key = member.key.split(':').next().unwrap_or_default();
    if !ORIGINS.contains(&key) {
        return;
    }
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let (before, after) = (shown(&member.before), shown(&member.after));
    if plain(&before) == plain(&after) {
        return;
    }
    let elsewhere = key == "repository" && member.before.is_some() && member.after.is_some();
    let severity = if elsewhere { Severity::Look } else { Severity::Note };
    let evidence = format!("{key}: {before} → {after}");
    found.push(finding(&ORIGIN, severity, Since::Changed, &evidence));
}

/// An address without what may differ in spelling only.
fn plain(text: &str) -> String {
    let mut text = text.to_ascii_lowercase();
    if let Some(url) = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| value.get("url")?.as_str().map(str::to_owned))
    {
        text = url;
    }
    for part in ["git+", "git://", "https://", "http://", "ssh://git@", "git@", "www.", ".git"] {
        text = text.replace(part, "");
    }
    text.replace("github:", "github.com/").trim_matches('/').to_owned()
}
