//! The checks, by family. Each looks at a comparison and says what it found; none adds up scores.

mod capability;
mod content;
mod dependencies;
mod distributions;
mod hooks;
pub mod inspection;
mod version;

use std::collections::BTreeSet;

use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::{EXCERPT_MAX, SurveyedFile};

pub use distributions::{Pair, sdist_against_wheel};
pub use version::Position;

/// Every check there is, for documentation and for the line that says what was looked for.
pub const ALL: &[&[Check]] = &[
    hooks::CHECKS,
    dependencies::CHECKS,
    content::CHECKS,
    capability::CHECKS,
    version::CHECKS,
    inspection::CHECKS,
    distributions::CHECKS,
];

/// The check of an id.
pub fn by_id(id: &str) -> Option<&'static Check> {
    ALL.iter().copied().flatten().find(|check| check.id == id)
}

/// Everything that is to be looked at, the gravest first.
pub fn findings(comparison: &Comparison<'_>, position: &Position) -> Vec<Finding> {
    let mut found = Vec::new();
    hooks::look(comparison, &mut found);
    dependencies::look(comparison, &mut found);
    content::look(comparison, &mut found);
    capability::look(comparison, &mut found);
    version::look(comparison, position, &mut found);
    correlate(&mut found);
    found.sort_by(|a, b| {
        let key = |f: &Finding| (std::cmp::Reverse(f.severity), f.check.id, f.file.clone(), f.line);
        key(a).cmp(&key(b))
    });
    found
}

/// Two findings that say more together than each alone.
fn correlate(found: &mut [Finding]) {
    let ids = |prefixes: &[&str]| -> BTreeSet<String> {
        found
            .iter()
            .filter(|f| prefixes.iter().any(|prefix| f.check.id.starts_with(prefix)))
            .filter_map(|f| f.file.clone())
            .collect()
    };
    // What runs by itself and reaches out, in one file.
    let by_itself = ids(&["HK-02", "HK-06"]);
    let reaches_out = ["CP-01", "CP-02", "CP-03", "CP-04", "CT-08"];
    for finding in found {
        let same_file = finding.file.as_ref().is_some_and(|file| by_itself.contains(file));
        if same_file && reaches_out.contains(&finding.check.id) && finding.since != Since::Unchanged
        {
            finding.severity = Severity::Block;
        }
    }
}

/// A finding about the whole artifact.
fn finding(check: &'static Check, severity: Severity, since: Since, evidence: &str) -> Finding {
    let evidence = evidence.chars().take(EXCERPT_MAX).collect();
    Finding { check, severity, file: None, line: None, evidence, since }
}

impl Finding {
    /// The same about one file, in one line of it if that is known.
    fn at(self, file: &SurveyedFile, line: Option<u32>) -> Self {
        Self { file: Some(file.path.clone()), line, ..self }
    }
}
