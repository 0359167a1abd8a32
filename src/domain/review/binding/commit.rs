//! Whether the commit is on a branch that releases come from, and whether tags lead to it.

use std::collections::BTreeMap;

use super::{BRANCH, TAG, Tag, finding};
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
    let expected = |name: &str| facts.expected.iter().any(|known| known == name);
    if !facts.expected.is_empty() {
        let wanted = few(facts.expected);
        match facts.claimed {
            Some(name) if !expected(name) => {
                let words = format!("the run was for the tag {name}, expected {wanted}");
                findings.push(finding(&TAG, Severity::Look, &words));
            }
            None if present.is_empty() => {
                let words = format!("the repository has no tag {wanted}");
                findings.push(finding(&TAG, Severity::Look, &words));
            }
            _ => {}
        }
    }
    let name = facts.claimed.or_else(|| present.first().map(|name| name.as_str()));
    let tag = name.and_then(|name| {
        at(name).map(|commit| Tag { name: name.to_owned(), commit: commit.clone() })
    });
    (findings, tag)
}
