//! SRC: the distributions of one release beside each other.

use std::collections::BTreeMap;

use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::path;
use crate::domain::review::survey::{Survey, SurveyedFile};

pub(super) const CHECKS: &[Check] = &[SDIST_WHEEL];

const SDIST_WHEEL: Check = Check {
    id: "SRC-09",
    title: "Code in the wheel that is not in the source distribution of the same release",
    why: "Whoever reads the source distribution does not read what a wheel installs.",
};

/// A source distribution and a wheel of one release.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The source distribution.
    pub sdist: &'a Survey,
    /// The wheel.
    pub wheel: &'a Survey,
}

/// What a wheel has that its sdist has not. `before` is the same pair of the version people run
/// today: what differed there in the same way is no news.
pub fn sdist_against_wheel(pair: Pair<'_>, before: Option<Pair<'_>>) -> Vec<Finding> {
    let known: Vec<(&str, &str)> = before
        .map(differences)
        .unwrap_or_default()
        .iter()
        .map(|difference| (difference.file.place.as_str(), difference.what))
        .collect();
    let mut found = Vec::new();
    for Difference { file, what, severity } in differences(pair) {
        let stood = known.contains(&(file.place.as_str(), what));
        let (severity, since) = match (stood, before) {
            (true, _) => (Severity::Note, Since::Unchanged),
            (false, Some(_)) => (severity, Since::New),
            (false, None) => (severity, Since::FirstRelease),
        };
        found.push(Finding::new(&SDIST_WHEEL, severity, since, what).at(&file.path, None));
    }
    found
}

struct Difference<'a> {
    file: &'a SurveyedFile,
    what: &'static str,
    severity: Severity,
}

fn differences(pair: Pair<'_>) -> Vec<Difference<'_>> {
    // A wheel's paths begin at what Python imports; an sdist may keep that below `src` or `lib`.
    let mut sources: BTreeMap<&str, Vec<&SurveyedFile>> = BTreeMap::new();
    for file in &pair.sdist.files {
        sources.entry(path::name(&file.path)).or_default().push(file);
    }
    let mut found = Vec::new();
    for file in pair.wheel.files.iter().filter(|file| !is_metadata(&file.place)) {
        let installed = installed_as(&file.place);
        let named = sources.get(path::name(installed)).map_or(&[][..], Vec::as_slice);
        let same_place: Vec<_> =
            named.iter().filter(|source| is_at(&source.path, installed)).collect();
        let difference = if same_place.iter().any(|source| source.sha256 == file.sha256) {
            None
        } else if file.format.is_executable() {
            Some(("built: no source distribution holds it", Severity::Note))
        } else if !is_python(installed) {
            None
        } else if same_place.is_empty() {
            Some(("only in the wheel", Severity::Look))
        } else {
            Some(("other bytes than in the source distribution", Severity::Block))
        };
        found.extend(difference.map(|(what, severity)| Difference { file, what, severity }));
    }
    found
}

fn is_at(source: &str, installed: &str) -> bool {
    source.strip_suffix(installed).is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
}

/// Without the folder of a wheel whose files go elsewhere than the packages.
fn installed_as(place: &str) -> &str {
    place
        .strip_prefix("*.data/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(place, |(_, installed)| installed)
}

fn is_metadata(place: &str) -> bool {
    place.starts_with("*.dist-info/")
}

fn is_python(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    [".py", ".pyw", ".pth", ".start"].iter().any(|end| path.ends_with(end))
}
