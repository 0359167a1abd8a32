//! Whether the commit is on a branch that releases come from, and whether tags lead to it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{BRANCH, TAG, Tag, finding};
use crate::domain::package::Version;
use crate::domain::review::finding::{Finding, Severity};

/// Where the claimed commit is in the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The commit, as claimed.
    pub commit: &'a str,
    /// Whether the repository has it.
    pub known: bool,
    /// Branches that lead to it, by name.
    pub branches: Vec<String>,
    /// Those of them that releases come from.
    pub allowed: Vec<String>,
    /// Tags that lead to it, by name.
    pub tags: Vec<String>,
}

/// SRC-01: whether the commit is on a branch that releases come from.
pub fn branch_finding(standing: &Standing<'_>) -> Option<Finding> {
    let commit = standing.commit;
    let words = match standing {
        Standing { known: false, .. } => {
            format!("{commit} is in no branch or tag of the repository")
        }
        Standing { allowed, .. } if !allowed.is_empty() => return None,
        Standing { branches, .. } if !branches.is_empty() => {
            format!("{commit} is on {} alone", few(branches))
        }
        Standing { tags, .. } if !tags.is_empty() => {
            format!("{commit} is on no branch, only below the tag {}", few(tags))
        }
        _ => format!("{commit} is on no branch"),
    };
    Some(finding(&BRANCH, Severity::Block, &words))
}

fn few(names: &[String]) -> String {
    let more =
        if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
    format!("{}{more}", names.iter().take(3).cloned().collect::<Vec<_>>().join(", "))
}

/// What is known of the tags a release has to do with.
#[derive(Debug, Clone, Copy)]
pub struct TagFacts<'a> {
    /// The commit, as claimed.
    pub commit: &'a str,
    /// The version of the release.
    pub version: &'a Version,
    /// The tag the run was started for, as claimed.
    pub claimed: Option<&'a str>,
    /// The tags this version may have by configuration; empty when nothing is configured.
    pub expected: &'a [String],
    /// Every tag of the repository, by name.
    pub tags: &'a BTreeMap<String, String>,
    /// Tags as they were when earlier releases were looked at, this one's own last look included.
    pub seen: &'a [Tag],
}

/// SRC-02: whether the tags lead where they should; and the tag of this version.
pub fn tag_findings(facts: &TagFacts<'_>) -> (Vec<Finding>, Option<Tag>) {
    let mut findings = Vec::new();
    let mut block = |words: String| findings.push(finding(&TAG, Severity::Block, &words));
    let at = |name: &str| facts.tags.get(name);
    if let Some(name) = facts.claimed {
        match at(name) {
            None => {
                block(format!(
                    "the run was for the tag {name}, which the repository does not have"
                ));
            }
            Some(commit) if commit != facts.commit => {
                block(format!("{name} leads to {commit}, and {} was built", facts.commit));
            }
            Some(_) => {}
        }
    }
    let present: Vec<&String> = facts.expected.iter().filter(|name| at(name).is_some()).collect();
    for name in present.iter().filter(|name| facts.claimed != Some(name.as_str())) {
        let commit = at(name).map(String::as_str).unwrap_or_default();
        if commit != facts.commit {
            block(format!("{name} leads to {commit}, and {} was built", facts.commit));
        }
    }
    for tag in facts.seen {
        match at(&tag.name) {
            None => block(format!("{} is gone; it led to {}", tag.name, tag.commit)),
            Some(commit) if *commit != tag.commit => {
                block(format!("{} was moved from {} to {commit}", tag.name, tag.commit));
            }
            Some(_) => {}
        }
    }
    if let Some(words) = name_words(facts, &present) {
        findings.push(finding(&TAG, Severity::Look, &words));
    }
    let name = facts.claimed.or_else(|| present.first().map(|name| name.as_str()));
    let tag = name.and_then(|name| {
        at(name).map(|commit| Tag { name: name.to_owned(), commit: commit.clone() })
    });
    (findings, tag)
}

/// What is odd about the names of tags, wherever they lead: against the configured ones, or against
/// the usual forms where none are.
fn name_words(facts: &TagFacts<'_>, present: &[&String]) -> Option<String> {
    let wanted = few(facts.expected);
    match facts.claimed {
        Some(name) if facts.expected.is_empty() => (!names(name, facts.version)).then(|| {
            format!("the run was for the tag {name}, which does not name {}", facts.version)
        }),
        Some(name) if !facts.expected.iter().any(|known| known == name) => {
            Some(format!("the run was for the tag {name}, expected {wanted}"))
        }
        None if !facts.expected.is_empty() && present.is_empty() => {
            Some(format!("the repository has no tag {wanted}"))
        }
        _ => None,
    }
}

/// Whether a tag names a version in one of the usual forms: `1.2.3`, `v1.2.3`, `lib@1.2.3`,
/// `lib-v1.2.3`, `lib/v1.2.3`, `release-1.2.3`, `rel_1_2_3`.
fn names(tag: &str, version: &Version) -> bool {
    let is_it = |text: &str| {
        let parsed = Version::parse_listed(version.ecosystem(), text).ok();
        parsed.is_some_and(|it| it.compare(version) == Some(Ordering::Equal))
    };
    let begins = tag.match_indices(['@', '/', '-', '_', '=']).map(|(at, _)| at + 1);
    std::iter::once(0).chain(begins).filter_map(|at| tag.get(at..)).any(|end| {
        let end = end.strip_prefix(['v', 'V']).unwrap_or(end);
        // `_` where others have `.`, unless what is before it is a number of the same version.
        let begun = tag[..tag.len() - end.len()].trim_end_matches(['_', 'v', 'V']);
        is_it(end)
            || (!begun.ends_with(|last: char| last.is_ascii_digit())
                && is_it(&end.replace('_', ".")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::package::Ecosystem;

    #[test]
    fn usual_forms_of_a_tag_name_their_version_and_no_other() {
        let named = |tag: &str, ecosystem, version: &str| {
            names(tag, &Version::parse(ecosystem, version).unwrap())
        };
        for tag in [
            "1.2.3",
            "v1.2.3",
            "V1.2.3",
            "lib@1.2.3",
            "@scope/lib@1.2.3",
            "lib-v1.2.3",
            "lib/v1.2.3",
            "release-1.2.3",
            "h2-1.2.3",
            "rel_1_2_3",
            "REL_v1_2_3",
        ] {
            assert!(named(tag, Ecosystem::Npm, "1.2.3"), "{tag}");
            assert!(named(tag, Ecosystem::Pypi, "1.2.3"), "{tag}");
        }
        for tag in ["nightly", "v1.2.4", "v11.2.3", "v1.2.3.4", "latest", "v1.2", "rel_4_1_2_3", ""]
        {
            assert!(!named(tag, Ecosystem::Npm, "1.2.3"), "{tag}");
            assert!(!named(tag, Ecosystem::Pypi, "1.2.3"), "{tag}");
        }
        assert!(!named("v1.2.3-rc.1", Ecosystem::Npm, "1.2.3"));
        assert!(!named("v1.2.3", Ecosystem::Npm, "1.2.3-rc.1"));
        // One version in two spellings.
        assert!(named("v1.2.0-rc.1", Ecosystem::Pypi, "1.2rc1"));
    }
}
