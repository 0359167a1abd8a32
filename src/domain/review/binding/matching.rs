//! The comparison of one artifact's files with a tree, and what of it is to be looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::code::{hook_targets, is_code, runs_by_itself};
use super::packing::{is_generated, is_same_but_for_packing, other_members};
use super::{Counts, DIFFERS, NOT_IN_GIT, Tree, finding};
use crate::domain::artifact::Facts;
use crate::domain::digest::{Sha1, Sha256};
use crate::domain::review::finding::{Check, Finding, Severity};
use crate::domain::review::path;

/// Most findings of one check that name one file each; more are grouped by folder.
const SINGLE_MAX: usize = 12;
/// Most files remembered as not being in Git.
const OUTSIDE_MAX: usize = 20_000;
/// Most files of Git that are read to undo what packing does, per artifact.
const CONTENTS_MAX: usize = 200;

/// A file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFile {
    /// Where it is.
    pub path: String,
    /// The same whatever the version (`survey::SurveyedFile::place`).
    pub place: String,
    /// The name Git would give its content.
    pub blob: Sha1,
    /// Digest of the content.
    pub sha256: Sha256,
    /// Whether a machine can run it as it is.
    pub executable: bool,
    /// Whether build tools wrote it and it holds a version alone ([`super::is_only_version`]).
    pub only_version: bool,
}

/// One artifact of a release.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The file's name.
    pub file_name: &'a str,
    /// What it says about itself.
    pub facts: &'a Facts,
    /// What is in it.
    pub files: &'a [ArtifactFile],
}

/// How a file of an artifact is found in Git.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Match {
    /// The same at the same path.
    Exact,
    /// The same at another path.
    Elsewhere(String),
    /// The same but for what packing does.
    Rewritten,
    /// Made while packing, as expected or as in earlier releases.
    Generated,
    /// Other content than Git has at this path, and in what, where that can be said.
    Differs(String, String),
    /// Nowhere.
    Missing,
}

/// The comparison of one artifact's files with a tree, before and after contents were read.
#[derive(Debug)]
pub struct Matching<'a> {
    candidate: Candidate<'a>,
    tree: &'a Tree,
    root: String,
    /// Paths of the files that installation scripts name.
    hooks: BTreeSet<String>,
    matches: Vec<Match>,
}

impl<'a> Matching<'a> {
    /// Compares by digests alone. `directory` is where the package is in the repository, if that is
    /// known; `earlier` is what earlier approved releases had that is not in Git.
    pub fn new(
        candidate: Candidate<'a>,
        tree: &'a Tree,
        directory: Option<&str>,
        earlier: &BTreeMap<String, Sha1>,
    ) -> Self {
        let root = directory.map_or_else(|| vote(candidate.files, tree), str::to_owned);
        // Below the folder the package is said to be in, or at the root of everything.
        let sure = directory.is_some() || root.is_empty();
        let hooks = hook_targets(&candidate);
        let mut matching = Self { candidate, tree, root, hooks, matches: Vec::new() };
        let find = |file| matching.find(file, sure, earlier);
        matching.matches = candidate.files.iter().map(find).collect();
        matching
    }

    fn find(&self, file: &ArtifactFile, sure: bool, earlier: &BTreeMap<String, Sha1>) -> Match {
        let own = path::join(&self.root, &file.path);
        let there = self.tree.at(&own);
        if there == Some(file.blob) {
            return if sure { Match::Exact } else { Match::Elsewhere(own) };
        }
        if self.tree.at(&file.path) == Some(file.blob) {
            return Match::Exact;
        }
        if let Some(path) = self.tree.holding(file.blob).first() {
            // Code in the place of other code is not what the commit says, wherever it is from.
            return if there.is_some() && is_code(file) {
                Match::Differs(own, format!("what Git has as {path}"))
            } else {
                Match::Elsewhere(path.clone())
            };
        }
        if is_generated(self.candidate.facts, &file.path) || file.only_version {
            return Match::Generated;
        }
        if there.is_some() {
            return Match::Differs(own, String::new());
        }
        // What runs by itself was accepted with its content only.
        let accepted = earlier
            .get(&file.place)
            .is_some_and(|blob| *blob == file.blob || !self.runs_by_itself(file));
        if accepted { Match::Generated } else { Match::Missing }
    }

    fn runs_by_itself(&self, file: &ArtifactFile) -> bool {
        runs_by_itself(&file.place, &self.hooks)
    }

    /// The blobs of Git whose contents would tell whether packing made the difference.
    pub fn wanted(&self) -> BTreeSet<Sha1> {
        let differing = self.matches.iter().filter_map(|found| match found {
            Match::Differs(path, _) => self.tree.at(path),
            _ => None,
        });
        differing.take(CONTENTS_MAX).collect()
    }

    /// Compares again what differed, with the contents that could be read.
    pub fn settle(&mut self, contents: &BTreeMap<Sha1, Vec<u8>>) {
        for (file, found) in self.candidate.files.iter().zip(&mut self.matches) {
            let Match::Differs(path, words) = found else { continue };
            let Some(content) = self.tree.at(path).and_then(|blob| contents.get(&blob)) else {
                continue;
            };
            let manifest = match self.candidate.facts {
                Facts::Npm(facts) if file.path == "package.json" => Some(&facts.package_json),
                Facts::Npm(_) | Facts::Pypi(_) => None,
            };
            if is_same_but_for_packing(file, content) {
                *found = Match::Rewritten;
            } else if let Some(manifest) = manifest {
                let members = other_members(content, manifest);
                match members {
                    Some(members) if members.is_empty() => *found = Match::Rewritten,
                    Some(members) => *words = members.join(", "),
                    None => {}
                }
            }
        }
    }

    /// The numbers.
    pub fn counts(&self) -> Counts {
        let mut counts =
            Counts { file_name: self.candidate.file_name.to_owned(), ..Counts::default() };
        for found in &self.matches {
            *match found {
                Match::Exact => &mut counts.exact,
                Match::Elsewhere(_) => &mut counts.elsewhere,
                Match::Rewritten => &mut counts.rewritten,
                Match::Generated => &mut counts.generated,
                Match::Differs(..) => &mut counts.differs,
                Match::Missing => &mut counts.missing,
            } += 1;
        }
        counts
    }

    /// The files that are not in Git and were not made by packing as everybody's are, by place.
    pub fn outside(&self) -> BTreeMap<String, Sha1> {
        let pairs = self.candidate.files.iter().zip(&self.matches);
        let outside = pairs.filter(|(file, found)| match found {
            Match::Missing => true,
            // One that was accepted earlier stays known.
            Match::Generated => !is_generated(self.candidate.facts, &file.path),
            _ => false,
        });
        outside.take(OUTSIDE_MAX).map(|(file, _)| (file.place.clone(), file.blob)).collect()
    }

    /// What of it is to be looked at.
    pub fn findings(&self) -> Vec<Finding> {
        let (mut findings, mut grouped) = (Vec::new(), Groups::default());
        for (file, found) in self.candidate.files.iter().zip(&self.matches) {
            let starts = self.runs_by_itself(file);
            let severity = if starts || is_code(file) { Severity::Block } else { Severity::Look };
            let mut say = |check, words: &str| {
                if starts {
                    findings.push(finding(check, severity, words).at(&file.path, None));
                } else {
                    grouped.add(check, severity, &file.path, words);
                }
            };
            match found {
                Match::Missing => say(&NOT_IN_GIT, if starts { "it runs by itself" } else { "" }),
                Match::Differs(path, words) if words.is_empty() && *path != file.path => {
                    say(&DIFFERS, &format!("in Git as {path}"));
                }
                Match::Differs(_, words) => say(&DIFFERS, words),
                // Harmless where it was, and run from where it is now.
                Match::Elsewhere(path) if starts && path::name(path) != path::name(&file.path) => {
                    let words = format!("it runs by itself, and in Git it is {path}");
                    let said = finding(&NOT_IN_GIT, Severity::Look, &words);
                    findings.push(said.at(&file.path, None));
                }
                Match::Exact | Match::Elsewhere(_) | Match::Rewritten | Match::Generated => {}
            }
        }
        findings.extend(grouped.findings());
        findings
    }

    /// Where in the repository the files were looked for.
    pub fn root(&self) -> &str {
        &self.root
    }
}

/// Findings of many files, said file by file while they are few: by check and severity the paths,
/// each with what is said of it.
#[derive(Debug, Default)]
struct Groups(BTreeMap<(&'static Check, Severity), Vec<(String, String)>>);

impl Groups {
    fn add(&mut self, check: &'static Check, severity: Severity, path: &str, words: &str) {
        let files = self.0.entry((check, severity)).or_default();
        files.push((path.to_owned(), words.to_owned()));
    }

    fn findings(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for ((check, severity), files) in self.0 {
            if files.len() <= SINGLE_MAX {
                findings.extend(
                    files
                        .iter()
                        .map(|(path, words)| finding(check, severity, words).at(path, None)),
                );
                continue;
            }
            let mut folders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (path, _) in &files {
                let folder = path.split_once('/').map_or("", |(folder, _)| folder);
                folders.entry(folder.to_owned()).or_default().push(path);
            }
            for (folder, paths) in folders {
                let first = paths.first().copied().unwrap_or_default();
                let words = format!("{} files, such as {first}", paths.len());
                if paths.len() == 1 {
                    findings.push(finding(check, severity, "").at(first, None));
                } else {
                    findings.push(finding(check, severity, &words).at(&format!("{folder}/"), None));
                }
            }
        }
        findings
    }
}

/// In which folder of the repository most of the files are, path for path; its root when none.
fn vote(files: &[ArtifactFile], tree: &Tree) -> String {
    /// Content that many folders have, such as nothing at all, says little.
    const COMMON: usize = 20;
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let paths = tree.holding(file.blob);
        for path in paths.iter().filter(|_| paths.len() <= COMMON) {
            let folder = path.strip_suffix(file.path.as_str());
            let folder = folder.filter(|folder| folder.is_empty() || folder.ends_with('/'));
            if let Some(folder) = folder {
                *votes.entry(folder.trim_end_matches('/')).or_default() += 1;
            }
        }
    }
    // The shortest of those with most votes.
    let best =
        votes.iter().max_by_key(|(folder, count)| (**count, std::cmp::Reverse(folder.len())));
    best.map_or_else(String::new, |(folder, _)| (*folder).to_owned())
}
