//! SRC-09 and SRC-10: whether the files of one release belong together.
//!
//! These look at several artifacts at once, so they are asked by whoever has them all.

use std::collections::BTreeSet;

use super::finding;
use crate::domain::artifact::{ArtifactKind, Filename};
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::{Survey, SurveyedFile};

pub(super) const CHECKS: &[Check] = &[SDIST_AND_WHEEL, MATRIX];

const SDIST_AND_WHEEL: Check = Check {
    id: "SRC-09",
    title: "Code of a wheel that the source distribution has differently or not at all",
    why: "Who reads the source distribution does not read what the wheel installs.",
};
const MATRIX: Check = Check {
    id: "SRC-10",
    title: "The files of the release are of other kinds than before",
    why: "One odd wheel reaches only some machines and is seldom looked at.",
};

/// Compares a wheel with the source distribution of the same release.
pub fn sdist_against_wheel(sdist: &Survey, wheel: &Survey) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in wheel.files.iter().filter(|file| !file.place.starts_with("*.dist-info/")) {
        let place = file.place.split_once(".data/").map_or(file.place.as_str(), |(_, rest)| rest);
        let below = format!("/{place}");
        let here = |other: &&SurveyedFile| other.place == place || other.place.ends_with(&below);
        let mut same_place = sdist.files.iter().filter(here).peekable();
        let is_python = file.place.rsplit_once('.').is_some_and(|(_, ending)| ending == "py");
        let (severity, evidence) = if same_place.peek().is_none() {
            match () {
                () if is_python => (Severity::Look, "only in the wheel"),
                () if file.format.is_executable() => (Severity::Note, "only in the wheel"),
                () => continue,
            }
        } else if is_python && same_place.all(|other| other.sha256 != file.sha256) {
            (Severity::Block, "other content in the source distribution")
        } else {
            continue;
        };
        found.push(finding(&SDIST_AND_WHEEL, severity, Since::Changed, evidence).at(file, None));
    }
    found
}

/// Compares the names of a release's files with those of the release before.
pub fn files_of_release(before: &[Filename], after: &[Filename]) -> Vec<Finding> {
    let kinds = |names: &[Filename]| names.iter().map(kind).collect::<BTreeSet<_>>();
    let (old, new) = (kinds(before), kinds(after));
    let mut found = Vec::new();
    if old.is_empty() {
        return found;
    }
    for kind in new.difference(&old) {
        // Another Python on platforms that had wheels all along is how projects grow.
        let platform = kind.rsplit('-').next();
        let known = old.iter().any(|old| old.rsplit('-').next() == platform);
        let severity = if known { Severity::Note } else { Severity::Look };
        found.push(finding(&MATRIX, severity, Since::New, &format!("now: {kind}")));
    }
    for kind in old.difference(&new) {
        let severity = if kind == SDIST { Severity::Look } else { Severity::Note };
        found.push(finding(&MATRIX, severity, Since::Changed, &format!("no longer: {kind}")));
    }
    found
}

/// What is said of a source distribution where wheels have their tags.
const SDIST: &str = "source distribution";

/// The tags of a wheel, without the order and the versions of its platforms.
fn kind(name: &Filename) -> String {
    if name.kind() != ArtifactKind::Wheel {
        return SDIST.to_owned();
    }
    let stem = name.as_str().strip_suffix(".whl").unwrap_or(name.as_str());
    let mut tags = stem.rsplit('-');
    let (platform, abi, python) = (tags.next(), tags.next(), tags.next());
    let platforms: BTreeSet<String> = platform
        .unwrap_or_default()
        .split('.')
        .map(|platform| platform.chars().filter(|c| !c.is_ascii_digit()).collect::<String>())
        .map(|platform| platform.trim_end_matches('_').replace("__", "_"))
        .map(
            |platform| {
                if platform.starts_with("manylinux") { "manylinux".to_owned() } else { platform }
            },
        )
        .collect();
    let platforms = platforms.into_iter().collect::<Vec<_>>().join(".");
    format!("{}-{}-{platforms}", python.unwrap_or_default(), abi.unwrap_or_default())
}
