//! The difference between two surveys, file by file and member by member of the manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::artifact::Facts;
use crate::domain::review::finding::Since;
use crate::domain::review::survey::{Survey, SurveyedFile};

/// A candidate beside the version people run today.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// What people run today; `None` for a first release, where everything is new.
    pub baseline: Option<&'a Survey>,
    /// What is to be released.
    pub candidate: &'a Survey,
}

/// How one file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChange<'a> {
    /// Only the candidate has it.
    Added(&'a SurveyedFile),
    /// Only the baseline has it.
    Removed(&'a SurveyedFile),
    /// Both have it, with other bytes: before, after.
    Changed(&'a SurveyedFile, &'a SurveyedFile),
}

/// A file of the candidate that is new, or has other bytes than before.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// What the baseline has at its place.
    pub before: Option<&'a SurveyedFile>,
    /// The file.
    pub file: &'a SurveyedFile,
    /// How it stands against the baseline.
    pub since: Since,
}

/// How one member of the manifest differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `scripts.postinstall`, `Requires-Dist`, …
    pub key: String,
    /// What the baseline says; `None` when it does not have it.
    pub before: Option<String>,
    /// What the candidate says; `None` when it does not have it.
    pub after: Option<String>,
}

/// Members of a manifest that are shown one by one instead of as JSON.
const NESTED: [&str; 9] = [
    "scripts",
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "devDependencies",
    "engines",
    "bin",
    "exports",
];

impl<'a> Comparison<'a> {
    /// Every file that is not the same on both sides, sorted by place.
    pub fn files(&self) -> Vec<FileChange<'a>> {
        let before = self.baseline.map_or(&[][..], |survey| &survey.files);
        let after = &self.candidate.files;
        let (mut changes, mut i, mut j) = (Vec::new(), 0, 0);
        loop {
            match (before.get(i), after.get(j)) {
                (Some(old), Some(new)) if old.place == new.place => {
                    if old.sha256 != new.sha256 {
                        changes.push(FileChange::Changed(old, new));
                    }
                    (i, j) = (i + 1, j + 1);
                }
                (Some(old), new) if new.is_none_or(|new| old.place < new.place) => {
                    changes.push(FileChange::Removed(old));
                    i += 1;
                }
                (_, Some(new)) => {
                    changes.push(FileChange::Added(new));
                    j += 1;
                }
                // What is left of the baseline alone was removed above.
                (_, None) => return changes,
            }
        }
    }

    /// Every file that is new or has other bytes than before.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival<'a>> {
        let new = self.since_new();
        self.files().into_iter().filter_map(move |change| match change {
            FileChange::Added(file) => Some(Arrival { before: None, file, since: new }),
            FileChange::Changed(before, file) => {
                Some(Arrival { before: Some(before), file, since: Since::Changed })
            }
            FileChange::Removed(_) => None,
        })
    }

    /// What something is that the baseline does not have.
    pub const fn since_new(&self) -> Since {
        if self.baseline.is_some() { Since::New } else { Since::FirstRelease }
    }

    /// How a file of the candidate stands against the baseline.
    pub fn since(&self, file: &SurveyedFile) -> Since {
        match self.before(file) {
            None => self.since_new(),
            Some(before) if before.sha256 == file.sha256 => Since::Unchanged,
            Some(_) => Since::Changed,
        }
    }

    /// What the baseline has at the place of a file.
    pub fn before(&self, file: &SurveyedFile) -> Option<&'a SurveyedFile> {
        self.baseline.and_then(|survey| survey.at(&file.place))
    }

    /// Whether a file is new or has other bytes than before.
    pub fn touched(&self, file: &SurveyedFile) -> bool {
        self.since(file) != Since::Unchanged
    }

    /// Every member of the manifest that is not the same on both sides, sorted by key.
    pub fn members(&self) -> Vec<Member> {
        let before = self.baseline.map(|survey| members(&survey.facts)).unwrap_or_default();
        let mut after = members(&self.candidate.facts);
        let mut changes: Vec<Member> = before
            .into_iter()
            .map(|(key, before)| {
                let after = after.remove(&key);
                Member { key, before: Some(before), after }
            })
            .collect();
        changes.extend(after.into_iter().map(|(key, after)| Member {
            key,
            before: None,
            after: Some(after),
        }));
        changes.retain(|member| member.before != member.after);
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        changes
    }
}

/// A manifest as text by key.
pub fn members(facts: &Facts) -> BTreeMap<String, String> {
    let mut members = BTreeMap::new();
    match facts {
        Facts::Npm(facts) => {
            for (key, value) in &facts.package_json {
                match value {
                    Value::Object(inner) if NESTED.contains(&key.as_str()) => {
                        members.extend(
                            inner
                                .iter()
                                .map(|(name, value)| (format!("{key}.{name}"), text(value))),
                        );
                    }
                    value => drop(members.insert(key.clone(), text(value))),
                }
            }
        }
        Facts::Pypi(facts) => {
            for (name, value) in &facts.fields {
                let key = match name.as_str() {
                    // One of many: each is a member of its own.
                    "Requires-Dist" | "Classifier" | "Project-URL" | "Provides-Extra" => {
                        format!("{name}: {value}")
                    }
                    name => name.to_owned(),
                };
                members.insert(key, value.clone());
            }
        }
    }
    members
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
