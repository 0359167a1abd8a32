//! The checks, by family. Each looks at a comparison and says what it found; none adds up scores.

mod capability;
mod content;
mod dependencies;
mod distributions;
mod hooks;
mod identity;
pub mod inspection;
mod loading;
mod release;
mod version;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::domain::review::compared::Extent;
use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::{binding, closure, provenance};

pub use distributions::{Pair, sdist_against_wheel};
pub use release::files_of_release;
pub use version::Position;

/// Every check, in the order in which people read what was found: how fast it can hurt. Those of
/// provenance share one id, of which [`by_id`] gives the first.
pub const ALL: &[&[Check]] = &[
    inspection::CHECKS,
    identity::CHECKS,
    hooks::CHECKS,
    loading::CHECKS,
    dependencies::CHECKS,
    content::CHECKS,
    capability::CHECKS,
    binding::CHECKS,
    provenance::CHECKS,
    distributions::CHECKS,
    closure::CHECKS,
    release::CHECKS,
    version::CHECKS,
];

/// The place of a check in that order, the first being the smallest.
pub fn urgency(id: &str) -> usize {
    let mut all = ALL.iter().copied().flatten();
    all.position(|check| check.id == id).unwrap_or(usize::MAX)
}

/// The check of an id.
pub fn by_id(id: &str) -> Option<&'static Check> {
    ALL.iter().copied().flatten().find(|check| check.id == id)
}

/// Everything that is to be looked at, the gravest first.
pub fn findings(comparison: &Comparison<'_>, position: &Position) -> Vec<Finding> {
    let mut found = Vec::new();
    identity::look(comparison, &mut found);
    hooks::look(comparison, &mut found);
    loading::look(comparison, &mut found);
    dependencies::look(comparison, &mut found);
    content::look(comparison, &mut found);
    capability::look(comparison, &mut found);
    version::look(comparison, position, &mut found);
    correlate(&mut found);
    found.sort_by(|a, b| {
        let key = |f: &Finding| (Reverse(f.severity), urgency(f.check.id), f.file.clone(), f.line);
        key(a).cmp(&key(b))
    });
    found
}

/// Two findings that say more together than each alone: what runs by itself and reaches out, in one
/// file, blocks. Severities are never added up.
fn correlate(found: &mut [Finding]) {
    let by_itself: BTreeSet<String> = found
        .iter()
        .filter(|finding| ["HK-02", "HK-06", "HK-07"].contains(&finding.check.id))
        .filter_map(|finding| finding.file.clone())
        .collect();
    let reaches_out = ["CP-01", "CP-02", "CP-03", "CP-04", "CT-08"];
    for finding in found {
        let same_file = finding.file.as_ref().is_some_and(|file| by_itself.contains(file));
        if same_file && reaches_out.contains(&finding.check.id) && finding.since != Since::Unchanged
        {
            finding.severity = Severity::Block;
        }
    }
}

/// The families that [`findings`] asks of every comparison.
const COMPARED: [&[Check]; 7] = [
    identity::CHECKS,
    hooks::CHECKS,
    loading::CHECKS,
    dependencies::CHECKS,
    content::CHECKS,
    capability::CHECKS,
    version::CHECKS,
];

/// What was looked for in the files and is not new, in one line. Says nothing about what was not
/// looked for, and claims nothing of which there is as much as a new note.
pub fn assurance<'a>(looked: Extent, found: impl Iterator<Item = &'a Finding> + Clone) -> String {
    const FAMILIES: [(&[&str], &str); 6] = [
        (&["HK-"], "code that runs without being called"),
        (&["DP-"], "dependencies that are new or unusual"),
        (&["CT-01", "CT-02", "CT-03", "CT-09"], "binaries and disguises"),
        (&["CT-06", "CT-07", "CT-08", "CT-10", "CT-11", "CT-12"], "hidden or unreadable code"),
        (&["AR-08"], "secrets in clear"),
        (&["CP-"], "abilities and hosts that are new"),
    ];
    let told = found.filter(|it| it.severity > Severity::Note || it.since != Since::Unchanged);
    let said = |ids: &[&str]| {
        told.clone().any(|finding| ids.iter().any(|id| finding.check.id.starts_with(id)))
    };
    let absent: Vec<&str> =
        FAMILIES.iter().filter(|(ids, _)| !said(ids)).map(|(_, words)| *words).collect();
    let kinds: usize = COMPARED.iter().map(|family| family.len()).sum();
    let Extent { files, parsed, .. } = looked;
    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    let looked = format!("Looked for {kinds} kinds of things in {files}, {parsed} parsed as code");
    match absent.as_slice() {
        [] => format!("{looked}."),
        absent => format!("{looked}. Nothing new of: {}.", absent.join(", ")),
    }
}
