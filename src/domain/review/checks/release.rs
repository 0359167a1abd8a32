//! SRC-10: whether a release has the same sorts of files as the one before. It is about all of them,
//! so whoever has their names asks.

use std::collections::BTreeSet;

use crate::domain::artifact::ArtifactKind;
use crate::domain::review::finding::{Check, Finding, Severity, Since};

pub(super) const CHECKS: &[Check] = &[MATRIX];

const MATRIX: Check = Check {
    id: "SRC-10",
    title: "The files of the release are of other kinds than before",
    why: "One odd wheel reaches only some machines and is seldom looked at.",
};

/// Compares sorts and names of a release's files with those of the release before.
pub fn files_of_release(
    before: &[(ArtifactKind, String)],
    after: &[(ArtifactKind, String)],
) -> Vec<Finding> {
    let kinds = |files: &[(ArtifactKind, String)]| files.iter().map(kind).collect::<BTreeSet<_>>();
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
        found.push(Finding::new(&MATRIX, severity, Since::New, &format!("now: {kind}")));
    }
    for kind in old.difference(&new) {
        let severity = if kind == SDIST { Severity::Look } else { Severity::Note };
        found.push(Finding::new(&MATRIX, severity, Since::Changed, &format!("no longer: {kind}")));
    }
    found
}

/// What is said of a source distribution where wheels have their tags.
const SDIST: &str = "source distribution";

/// The tags of a wheel, without the order and the versions of its platforms.
fn kind((kind, name): &(ArtifactKind, String)) -> String {
    if *kind != ArtifactKind::Wheel {
        return SDIST.to_owned();
    }
    let stem = name.strip_suffix(".whl").unwrap_or(name);
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
