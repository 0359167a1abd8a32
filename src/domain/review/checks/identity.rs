//! ID-02, CT-13: what the package says it is.

use crate::domain::artifact::Facts;
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::review::delta::{Comparison, Member};
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::Survey;

pub(super) const CHECKS: &[Check] = &[ANOTHER, ORIGIN];

const ANOTHER: Check = Check {
    id: "ID-02",
    title: "It is another package than the one people run today",
    why: "What changed cannot be told from two packages that were never one.",
};
const ORIGIN: Check = Check {
    id: "CT-13",
    title: "What the package says about its origin",
    why: "Another repository, licence or author is how a takeover shows, and how a move does.",
};

/// Members of a manifest that say where a package comes from.
const ORIGINS: [&str; 13] = [
    "repository",
    "homepage",
    "author",
    "maintainers",
    "license",
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
    let mut also = Vec::new();
    for member in comparison.members() {
        match origin(&member) {
            Some((key, Severity::Look)) => {
                let evidence = format!(
                    "{key}: {} → {}",
                    shown(member.before.as_deref()),
                    shown(member.after.as_deref())
                );
                found.push(Finding::new(&ORIGIN, Severity::Look, Since::Changed, &evidence));
            }
            Some((key, _)) if !also.contains(&key) => also.push(key),
            _ => {}
        }
    }
    if !also.is_empty() {
        found.push(Finding::new(&ORIGIN, Severity::Note, Since::Changed, &also.join(", ")));
    }
}

fn another(baseline: &Survey, candidate: &Survey, found: &mut Vec<Finding>) {
    let (before, after) = (name(&baseline.facts), name(&candidate.facts));
    if before != after {
        let evidence = format!("{after} is compared with {before}");
        found.push(Finding::new(&ANOTHER, Severity::Block, Since::Changed, &evidence));
    }
}

/// The name in its canonical spelling.
fn name(facts: &Facts) -> String {
    let (ecosystem, name) = match facts {
        Facts::Npm(facts) => (Ecosystem::Npm, &facts.name),
        Facts::Pypi(facts) => (Ecosystem::Pypi, &facts.name),
    };
    PackageName::parse(ecosystem, name)
        .map_or_else(|_| name.clone(), |name| name.normalized().to_owned())
}

/// Which member that says where the package comes from is another one now, and how grave that is.
fn origin(member: &Member) -> Option<(String, Severity)> {
    let key = member.key.split(':').next().filter(|key| ORIGINS.contains(key))?;
    if plain(&shown(member.before.as_deref())) == plain(&shown(member.after.as_deref())) {
        return None;
    }
    let elsewhere = key == "repository" && member.before.is_some() && member.after.is_some();
    Some((key.to_owned(), if elsewhere { Severity::Look } else { Severity::Note }))
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "none".to_owned(), str::to_owned)
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
