//! SRC: whether what is released is what is in Git at the commit that the CI token names.
//!
//! A file is the same when its bytes are, wherever it is in the tree; then the few changes that
//! packing makes are undone and it is compared again. What is left is not in Git, or differs from
//! it: both are how code arrives that nobody reviewed. Contents of Git's files are handed in by
//! whoever reads the repository (`pipeline::binding`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::artifact::{ArtifactKind, Facts};
use crate::domain::digest::{Sha1, Sha256};
use crate::domain::review::closure::Closure;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::EXCERPT_MAX;

/// The checks made against the repository.
pub const CHECKS: &[Check] = &[UNREAD, BRANCH, TAG, NOT_IN_GIT, DIFFERS];

const UNREAD: Check = Check {
    id: "SRC-00",
    title: "The source could not be looked at",
    why: "It is configured and did not answer, so nobody knows whether the release is what it says.",
};

const BRANCH: Check = Check {
    id: "SRC-01",
    title: "The commit is on no branch that releases come from",
    why: "Nobody had to review it, and a fork can put a commit into reach of a repository.",
};
const TAG: Check = Check {
    id: "SRC-02",
    title: "A tag does not say what it should",
    why: "Whoever looks at the source of this version sees other code than was built.",
};
const NOT_IN_GIT: Check = Check {
    id: "SRC-04",
    title: "A file that is not in Git",
    why: "Whoever read the commit has not seen it.",
};
const DIFFERS: Check = Check {
    id: "SRC-05",
    title: "A file that differs from the one in Git",
    why: "Something changed it after the commit was made.",
};

/// Most findings of one check that name one file each; more are grouped by folder.
const SINGLE_MAX: usize = 12;
/// Most files remembered as not being in Git.
const OUTSIDE_MAX: usize = 20_000;
/// Largest file of Git that is read to undo what packing does.
pub const CONTENT_MAX: u64 = 4 << 20;
/// Most files of Git that are read for that, per artifact.
pub const CONTENTS_MAX: usize = 200;

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
    /// Texts by path, for files that may be [`is_version_file`]; may be empty.
    pub texts: &'a BTreeMap<String, String>,
}

/// A tree of Git: every file at a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    by_path: BTreeMap<String, Sha1>,
    by_blob: BTreeMap<Sha1, Vec<String>>,
    submodules: usize,
}

impl Tree {
    /// Adds a file.
    pub fn add(&mut self, path: String, blob: Sha1) {
        self.by_blob.entry(blob).or_default().push(path.clone());
        self.by_path.insert(path, blob);
    }

    /// Counts a folder whose content is another repository's.
    pub const fn add_submodule(&mut self) {
        self.submodules += 1;
    }

    /// How many folders are other repositories'.
    pub const fn submodules(&self) -> usize {
        self.submodules
    }

    /// The file at a path.
    pub fn at(&self, path: &str) -> Option<Sha1> {
        self.by_path.get(path).copied()
    }

    /// Every path that is not the same in both trees.
    pub fn changes<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        let differs = |path: &&String| self.by_path.get(*path) != other.by_path.get(*path);
        let all = self.by_path.keys().chain(other.by_path.keys());
        all.filter(differs).map(String::as_str).collect()
    }
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
    /// Other content than Git has at this path, and in what.
    Differs(String, String),
    /// Nowhere.
    Missing,
}

/// How a release's files are found in Git, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The artifact.
    pub file_name: String,
    /// The same at the same path.
    pub exact: usize,
    /// The same at another path.
    pub elsewhere: usize,
    /// The same but for line ends, a version or a pointer to large content.
    pub rewritten: usize,
    /// Made while packing.
    pub generated: usize,
    /// Other content than at the same path in Git.
    pub differs: usize,
    /// Nowhere in Git.
    pub missing: usize,
}

/// A tag of a repository and the commit it leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    /// Its name, without `refs/tags/`.
    pub name: String,
    /// The commit.
    pub commit: String,
}

/// Where a release came from: shown on its page, and what the next release is compared with once
/// this one was approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The repository, as the CI token names it.
    pub repository: String,
    /// The commit, as the CI token names it.
    pub commit: String,
    /// The branch releases come from that leads to it.
    pub branch: Option<String>,
    /// The tag of this version.
    pub tag: Option<Tag>,
    /// The files, artifact by artifact.
    pub artifacts: Vec<Counts>,
    /// Files that are not in Git, by place: an approver accepted them.
    pub outside: BTreeMap<String, Sha1>,
    /// What took part in the run.
    pub closure: Option<Closure>,
}

/// The comparison of one artifact's files with a tree, before and after contents were read.
#[derive(Debug)]
pub struct Matching<'a> {
    candidate: Candidate<'a>,
    tree: &'a Tree,
    root: String,
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
        let hooks = hook_targets(&candidate);
        let find = |file: &ArtifactFile| {
            if tree.at(&join(&root, &file.path)) == Some(file.blob) {
                // Below the folder the package is said to be in, or at the root of everything.
                let same = directory.is_some() || root.is_empty();
                return if same { Match::Exact } else { Match::Elsewhere(join(&root, &file.path)) };
            }
            if tree.at(&file.path) == Some(file.blob) {
                return Match::Exact;
            }
            if let Some(path) = tree.by_blob.get(&file.blob).and_then(|paths| paths.first()) {
                // Code in the place of other code is not what the commit says, wherever it is from.
                let own = join(&root, &file.path);
                let replaces = tree.at(&own).is_some() && is_code(file);
                let words = format!("what Git has as {path}");
                return if replaces {
                    Match::Differs(own, words)
                } else {
                    Match::Elsewhere(path.clone())
                };
            }
            let starts = runs_by_itself(&file.place, &hooks);
            let known = earlier.get(&file.place);
            let accepted = known.is_some_and(|blob| !starts || *blob == file.blob);
            let version = candidate.texts.get(&file.path).is_some_and(|text| is_version_text(text));
            if is_generated(candidate.facts, &file.path) || version {
                Match::Generated
            } else if tree.at(&join(&root, &file.path)).is_some() {
                Match::Differs(join(&root, &file.path), String::new())
            } else if accepted {
                Match::Generated
            } else {
                Match::Missing
            }
        };
        let matches = candidate.files.iter().map(find).collect();
        Self { candidate, tree, root, matches }
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
        let hooks = hook_targets(&self.candidate);
        let (mut findings, mut grouped) = (Vec::new(), Groups::default());
        for (file, found) in self.candidate.files.iter().zip(&self.matches) {
            let starts = runs_by_itself(&file.place, &hooks);
            let severity = if starts || is_code(file) { Severity::Block } else { Severity::Look };
            match found {
                Match::Missing if starts => {
                    findings.push(finding(&NOT_IN_GIT, severity, &file.path, "it runs by itself"));
                }
                Match::Missing => grouped.add(&NOT_IN_GIT, severity, &file.path, ""),
                Match::Differs(path, members) => {
                    let at = if *path == file.path {
                        String::new()
                    } else {
                        format!("in Git as {path}")
                    };
                    let words = if members.is_empty() { at } else { members.clone() };
                    if starts {
                        findings.push(finding(&DIFFERS, severity, &file.path, &words));
                    } else {
                        grouped.add(&DIFFERS, severity, &file.path, &words);
                    }
                }
                // Harmless where it was, and run from where it is now.
                Match::Elsewhere(path) if starts && last(path) != last(&file.path) => {
                    let words = format!("it runs by itself, and in Git it is {path}");
                    findings.push(finding(&NOT_IN_GIT, Severity::Look, &file.path, &words));
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

/// Findings of many files, said file by file while they are few.
#[derive(Debug, Default)]
struct Groups(BTreeMap<(&'static str, Severity), Group>);

/// The files of one check and severity.
#[derive(Debug, Default)]
struct Group {
    check: Option<&'static Check>,
    /// Path, and what is said of it.
    files: Vec<(String, String)>,
}

impl Groups {
    fn add(&mut self, check: &'static Check, severity: Severity, path: &str, words: &str) {
        let group = self.0.entry((check.id, severity)).or_default();
        group.check = Some(check);
        group.files.push((path.to_owned(), words.to_owned()));
    }

    fn findings(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for ((_, severity), Group { check, files }) in self.0 {
            let Some(check) = check else { continue };
            if files.len() <= SINGLE_MAX {
                findings.extend(
                    files.iter().map(|(path, words)| finding(check, severity, path, words)),
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
                    findings.push(finding(check, severity, first, ""));
                } else {
                    findings.push(finding(check, severity, &format!("{folder}/"), &words));
                }
            }
        }
        findings
    }
}

fn finding(check: &'static Check, severity: Severity, path: &str, words: &str) -> Finding {
    let evidence = words.chars().take(EXCERPT_MAX).collect();
    let file = Some(path.to_owned()).filter(|path| !path.is_empty());
    // A repository is compared with, not an earlier release: what is said is true of this one.
    Finding { check, severity, file, line: None, evidence, since: Since::New }
}

fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// In which folder of the repository most of the files are, path for path; its root when none.
fn vote(files: &[ArtifactFile], tree: &Tree) -> String {
    /// Content that many folders have, such as nothing at all, says little.
    const COMMON: usize = 20;
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let paths = tree.by_blob.get(&file.blob).map_or(&[][..], Vec::as_slice);
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

/// Whether packing makes this file for everybody. Never code.
fn is_generated(facts: &Facts, path: &str) -> bool {
    let Facts::Pypi(facts) = facts else { return false };
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let top = folder.rsplit('/').next().unwrap_or_default();
    let in_kind = |kind: &str| path.split('/').any(|part| part.ends_with(kind));
    match facts.kind {
        ArtifactKind::Wheel => {
            let first = path.split('/').next().unwrap_or_default();
            first.ends_with(".dist-info") && !is_code_name(name)
        }
        ArtifactKind::Sdist | ArtifactKind::NpmTarball => {
            (folder.is_empty() && matches!(name, "PKG-INFO" | "setup.cfg"))
                || (in_kind(".egg-info") && top.ends_with(".egg-info") && !is_code_name(name))
        }
    }
}

/// Extensions of what is run, or decides what is run.
const CODE: [&str; 38] = [
    "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "py", "pyx", "pyi", "pyw", "pth",
    "start", "sh", "bash", "ps1", "bat", "cmd", "exe", "dll", "so", "dylib", "node", "wasm", "pyd",
    "pyc", "gyp", "gypi", "c", "cc", "cpp", "h", "rs", "go", "rb", "pl", "php",
];
/// Files that decide what is installed, loaded or built.
const MANIFESTS: [&str; 6] =
    ["package.json", "npm-shrinkwrap.json", "pyproject.toml", "setup.cfg", ".npmrc", "Makefile"];

fn is_code_name(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| CODE.contains(&extension.as_str()))
        || MANIFESTS.contains(&name)
}

fn is_code(file: &ArtifactFile) -> bool {
    let program = !last(&file.path).contains('.') && file.path.split('/').any(|part| part == "bin");
    file.executable || program || is_code_name(last(&file.path))
}

/// The files that an npm package's installation scripts name.
fn hook_targets(candidate: &Candidate<'_>) -> BTreeSet<String> {
    const HOOKS: [&str; 5] = ["preinstall", "install", "postinstall", "prepare", "prepublish"];
    let Facts::Npm(facts) = candidate.facts else { return BTreeSet::new() };
    let scripts = facts.package_json.get("scripts").and_then(Value::as_object);
    let commands = HOOKS.iter().filter_map(|hook| scripts?.get(*hook)?.as_str());
    let paths: BTreeSet<&str> = candidate.files.iter().map(|file| file.path.as_str()).collect();
    let separators = |c: char| c.is_whitespace() || "'\"`();&|".contains(c);
    commands
        .flat_map(|command| command.split(separators))
        .map(|word| word.trim_start_matches("./").to_owned())
        .flat_map(|path| [path.clone(), format!("{path}.js"), format!("{path}/index.js")])
        .filter(|path| paths.contains(path.as_str()))
        .collect()
}

/// Whether a file runs without being called: at installation, or at every start of Python.
fn runs_by_itself(place: &str, hooks: &BTreeSet<String>) -> bool {
    let site =
        place.strip_prefix("*.data/purelib/").or_else(|| place.strip_prefix("*.data/platlib/"));
    let site = site.unwrap_or(place);
    let at_top = !site.contains('/');
    let starts = matches!(site.rsplit_once('.'), Some((_, "pth" | "start")))
        || matches!(site, "sitecustomize.py" | "usercustomize.py" | "setup.py" | "binding.gyp");
    (at_top && starts) || hooks.contains(place)
}

/// Whether only line ends differ, or Git has a pointer to exactly this content.
fn is_same_but_for_packing(file: &ArtifactFile, content: &[u8]) -> bool {
    let unix: Vec<u8> = unix_lines(content);
    let mut windows = Vec::with_capacity(unix.len());
    for byte in &unix {
        windows.extend_from_slice(if *byte == b'\n' {
            b"\r\n"
        } else {
            std::slice::from_ref(byte)
        });
    }
    let same = |bytes: &[u8]| Sha1::of_git_blob(bytes) == file.blob;
    same(&unix) || same(&windows) || lfs_digest(content) == Some(file.sha256)
}

fn unix_lines(content: &[u8]) -> Vec<u8> {
    let next = content.iter().skip(1).map(Some).chain([None]);
    let kept =
        content.iter().zip(next).filter(|(byte, next)| !(**byte == b'\r' && *next == Some(&b'\n')));
    kept.map(|(byte, _)| *byte).collect()
}

/// The digest in a pointer of Git LFS.
fn lfs_digest(content: &[u8]) -> Option<Sha256> {
    let text = std::str::from_utf8(content).ok().filter(|text| text.len() < 1024)?;
    let mut lines = text.lines();
    lines.next()?.strip_prefix("version https://git-lfs.github.com/spec/")?;
    let digest = lines.find_map(|line| line.strip_prefix("oid sha256:"))?;
    Sha256::parse_hex(digest).ok()
}

/// The members of `package.json` that are not as in Git, but for those a release tool writes.
fn other_members(git: &[u8], packed: &Map<String, Value>) -> Option<Vec<String>> {
    let git: Map<String, Value> = serde_json::from_slice(git).ok()?;
    let mut names: BTreeSet<&String> = git.keys().chain(packed.keys()).collect();
    names.retain(|name| !matches!(name.as_str(), "version" | "gitHead"));
    let differs = |name: &&String| match (git.get(*name), packed.get(*name)) {
        (Some(Value::Object(before)), Some(Value::Object(after))) if is_dependencies(name) => {
            before.len() != after.len()
                || before.iter().any(|(key, value)| !is_same_requirement(value, after.get(key)))
        }
        (before, after) => before != after,
    };
    Some(names.into_iter().filter(differs).cloned().collect())
}

fn is_dependencies(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("dependencies")
}

/// Whether a requirement is the one in Git, or what a package manager writes for `workspace:`.
fn is_same_requirement(git: &Value, packed: Option<&Value>) -> bool {
    let Some(packed) = packed else { return false };
    let inside = git
        .as_str()
        .is_some_and(|text| text.starts_with("workspace:") || text.starts_with("catalog:"));
    // A range, and neither an alias nor an address.
    let range = packed.as_str().is_some_and(|text| !text.contains([':', '/', '@']));
    git == packed || (inside && range)
}

/// Whether a path is of a file that build tools write the version into. Its text is wanted.
pub fn is_version_file(path: &str) -> bool {
    let name = last(path);
    name.ends_with("version.py")
        || matches!(name, "__version__.py" | "__about__.py" | "_versions.py")
}

/// Whether a text holds nothing but a version, as `setuptools-scm`, `hatch-vcs` and their like write
/// it: comments, and plain values given to names that are about versions.
fn is_version_text(text: &str) -> bool {
    text.len() <= 8 << 10 && text.lines().all(is_version_line)
}

fn is_version_line(line: &str) -> bool {
    /// Lines of the templates besides the values, type hints for the most part.
    const FIXED: [&str; 21] = [
        "from __future__ import annotations",
        "TYPE_CHECKING = False",
        "if TYPE_CHECKING:",
        "else:",
        "from typing import Tuple",
        "from typing import Union",
        "from typing import Tuple, Union",
        "VERSION_TUPLE = Tuple[Union[int, str], ...]",
        "VERSION_TUPLE = tuple[int | str, ...]",
        "VERSION_TUPLE = object",
        "COMMIT_ID = Union[str, None]",
        "COMMIT_ID = str | None",
        "COMMIT_ID = object",
        "version: str",
        "__version__: str",
        "__version_tuple__: VERSION_TUPLE",
        "version_tuple: VERSION_TUPLE",
        "commit_id: COMMIT_ID",
        "__commit_id__: COMMIT_ID",
        "__all__ = [",
        "]",
    ];
    const NAMES: [&str; 9] = [
        "version",
        "__version__",
        "version_tuple",
        "__version_tuple__",
        "commit_id",
        "__commit_id__",
        "VERSION",
        "__version_info__",
        "__all__",
    ];
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || FIXED.contains(&line) {
        return true;
    }
    if is_plain_value(line.trim_end_matches(',')) {
        // An item of a list over several lines.
        return line.ends_with(',');
    }
    let mut names = line.split(" = ").collect::<Vec<_>>();
    let Some(value) = names.pop() else { return false };
    !names.is_empty() && names.iter().all(|name| NAMES.contains(name)) && is_plain_value(value)
}

/// A string, a number, `None`, or a tuple or list of such.
fn is_plain_value(text: &str) -> bool {
    let inner = ['(', ')', '[', ']'];
    text.trim_matches(inner).split(',').map(str::trim).filter(|item| !item.is_empty()).all(|item| {
        let quoted = |quote: char| {
            item.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).is_some_and(|text| {
                text.bytes().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_' | b'!')
                })
            })
        };
        item == "None" || item.bytes().all(|b| b.is_ascii_digit()) || quoted('\'') || quoted('"')
    })
}

/// SRC-00: something that is configured was not read.
pub fn unread_finding(words: &str) -> Finding {
    finding(&UNREAD, Severity::Look, "", words)
}

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
    Some(finding(&BRANCH, Severity::Block, "", &words))
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
    let mut block = |words: String| findings.push(finding(&TAG, Severity::Block, "", &words));
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
                findings.push(finding(&TAG, Severity::Look, "", &words));
            }
            None if present.is_empty() => {
                let words = format!("the repository has no tag {wanted}");
                findings.push(finding(&TAG, Severity::Look, "", &words));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::artifact::{NpmFacts, PypiFacts};

    fn npm(package_json: &str) -> Facts {
        Facts::Npm(NpmFacts {
            name: "lib".to_owned(),
            version: "1.1.0".to_owned(),
            package_json: serde_json::from_str(package_json).unwrap(),
            readme: None,
            readme_filename: None,
            has_binding_gyp: false,
            has_shrinkwrap: false,
            file_count: 0,
            unpacked_bytes: 0,
        })
    }

    fn pypi(kind: ArtifactKind) -> Facts {
        Facts::Pypi(PypiFacts {
            kind,
            name: "lib".to_owned(),
            version: "1.1.0".to_owned(),
            pyversion: "py3".to_owned(),
            fields: Vec::new(),
            description: None,
            file_count: 0,
            unpacked_bytes: 0,
        })
    }

    fn files(list: &[(&str, &str)]) -> Vec<ArtifactFile> {
        let file = |(path, content): &(&str, &str)| ArtifactFile {
            path: (*path).to_owned(),
            place: (*path).to_owned(),
            blob: Sha1::of_git_blob(content.as_bytes()),
            sha256: Sha256::of(content.as_bytes()),
            executable: false,
        };
        list.iter().map(file).collect()
    }

    fn tree(list: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, content) in list {
            tree.add((*path).to_owned(), Sha1::of_git_blob(content.as_bytes()));
        }
        tree
    }

    /// Compares with every content of Git at hand; counts as exact, elsewhere, rewritten, generated,
    /// differs, missing, and the findings.
    fn compare(
        facts: &Facts,
        packed: &[(&str, &str)],
        git: &[(&str, &str)],
        earlier: &BTreeMap<String, Sha1>,
    ) -> ([usize; 6], Vec<String>) {
        let (packed, list, texts) = (files(packed), tree(git), texts(packed));
        let candidate = Candidate { file_name: "lib.tgz", facts, files: &packed, texts: &texts };
        let mut matching = Matching::new(candidate, &list, None, earlier);
        let contents: BTreeMap<Sha1, Vec<u8>> = git
            .iter()
            .map(|(_, text)| (Sha1::of_git_blob(text.as_bytes()), text.as_bytes().to_vec()))
            .filter(|(blob, _)| matching.wanted().contains(blob))
            .collect();
        matching.settle(&contents);
        let n = matching.counts();
        let counts = [n.exact, n.elsewhere, n.rewritten, n.generated, n.differs, n.missing];
        (counts, matching.findings().iter().map(ToString::to_string).collect())
    }

    fn texts(packed: &[(&str, &str)]) -> BTreeMap<String, String> {
        let named = packed.iter().filter(|(path, _)| is_version_file(path));
        named.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    /// As in chalk 5.0.0 and source-map 0.7.4: every file of the package is in Git, and nothing is
    /// said.
    #[test]
    fn a_package_that_is_its_repository_is_exact_and_quiet() {
        let list =
            [("package.json", "{\"name\":\"lib\"}"), ("source/index.js", "x"), ("license", "MIT")];
        let git =
            [&list[..], &[("test/a.js", "t"), (".github/workflows/ci.yml", "on: push")]].concat();
        let found = compare(&npm("{\"name\":\"lib\"}"), &list, &git, &BTreeMap::new());
        assert_eq!(found, ([3, 0, 0, 0, 0, 0], Vec::new()));
    }

    /// As in flask 2.3.0: the sdist is the repository with what setuptools makes, the wheel has the
    /// files of `src/` and its own folder.
    #[test]
    fn an_sdist_and_a_wheel_are_found_with_what_setuptools_makes() {
        let git = [
            ("pyproject.toml", "[project]"),
            ("src/lib/__init__.py", "import a"),
            ("src/lib/a.py", "a = 1"),
            ("LICENSE", "BSD"),
            ("setup.cfg", "[x]\n"),
        ];
        let sdist = [
            ("pyproject.toml", "[project]"),
            ("src/lib/__init__.py", "import a"),
            ("src/lib/a.py", "a = 1"),
            ("LICENSE", "BSD"),
            ("PKG-INFO", "Name: lib"),
            ("setup.cfg", "[x]\n\n[egg_info]\n"),
            ("src/lib.egg-info/PKG-INFO", "Name: lib"),
            ("src/lib.egg-info/SOURCES.txt", "x"),
        ];
        let none = BTreeMap::new();
        let found = compare(&pypi(ArtifactKind::Sdist), &sdist, &git, &none);
        assert_eq!(found, ([4, 0, 0, 4, 0, 0], Vec::new()));
        let wheel = [
            ("lib/__init__.py", "import a"),
            ("lib/a.py", "a = 1"),
            ("lib-1.1.0.dist-info/METADATA", "m"),
            ("lib-1.1.0.dist-info/RECORD", "r"),
            ("lib-1.1.0.dist-info/LICENSE", "BSD"),
        ];
        let found = compare(&pypi(ArtifactKind::Wheel), &wheel, &git, &none);
        assert_eq!(found, ([0, 3, 0, 2, 0, 0], Vec::new()));
    }

    #[test]
    fn a_file_that_is_only_in_the_artifact_is_said_by_what_it_can_do() {
        let git = [("lib/a.py", "a = 1")];
        let wheel = [
            ("lib/a.py", "a = 1"),
            ("lib/evil.py", "steal()"),
            ("lib/table.csv", "1"),
            ("lib_init.pth", "import os"),
            ("lib-1.1.0.dist-info/evil.py", "x"),
        ];
        let (counts, said) = compare(&pypi(ArtifactKind::Wheel), &wheel, &git, &BTreeMap::new());
        assert_eq!(counts, [1, 0, 0, 0, 0, 4]);
        assert_eq!(
            said,
            [
                "block SRC-04: A file that is not in Git `it runs by itself` in lib_init.pth",
                "look SRC-04: A file that is not in Git in lib/table.csv",
                "block SRC-04: A file that is not in Git in lib/evil.py",
                "block SRC-04: A file that is not in Git in lib-1.1.0.dist-info/evil.py",
            ]
        );
    }

    /// As in the xz release: harmless where it is in Git, and run from where it was put.
    #[test]
    fn a_file_that_runs_by_itself_from_a_new_place_is_looked_at() {
        let git = [("lib/a.py", "a = 1"), ("tests/sample.txt", "import os")];
        let wheel = [("lib/a.py", "a = 1"), ("lib.pth", "import os")];
        let (counts, said) = compare(&pypi(ArtifactKind::Wheel), &wheel, &git, &BTreeMap::new());
        assert_eq!(counts, [1, 1, 0, 0, 0, 0]);
        assert!(
            said[0].starts_with("look SRC-04") && said[0].contains("tests/sample.txt"),
            "{said:?}"
        );
    }

    #[test]
    fn code_in_the_place_of_other_code_differs_although_git_has_it_somewhere() {
        let git = [
            ("lib/a.py", "a = 1"),
            ("tests/evil.py", "steal()"),
            ("README.md", "long"),
            ("docs/r.md", "short"),
        ];
        let sdist = [("lib/a.py", "steal()"), ("tests/evil.py", "steal()"), ("README.md", "short")];
        let (counts, said) = compare(&pypi(ArtifactKind::Sdist), &sdist, &git, &BTreeMap::new());
        assert_eq!(counts, [1, 1, 0, 0, 1, 0]);
        let expected = "block SRC-05: A file that differs from the one in Git `what Git has as tests/evil.py` in lib/a.py";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn what_packing_changes_is_undone_and_everything_else_differs() {
        let git_json =
            r#"{"name":"lib","version":"0.0.0","dependencies":{"a":"workspace:^","b":"1"}}"#;
        let json = r#"{"name":"lib","version":"1.1.0","gitHead":"abc","dependencies":{"a":"^2.0.0","b":"1"}}"#;
        let pointer = format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n",
            Sha256::of(b"large")
        );
        let git = [
            ("package.json", git_json),
            ("a.js", "a\nb\n"),
            ("b.js", "b\r\n"),
            ("big.wasm", &pointer),
        ];
        let packed = [
            ("package.json", json),
            ("a.js", "a\r\nb\r\n"),
            ("b.js", "b\n"),
            ("big.wasm", "large"),
        ];
        let none = BTreeMap::new();
        assert_eq!(compare(&npm(json), &packed, &git, &none), ([0, 0, 4, 0, 0, 0], Vec::new()));
        for (hostile, member) in [
            (json.replace("\"b\":\"1\"", "\"b\":\"1\",\"c\":\"1\""), "dependencies"),
            (json.replace("^2.0.0", "npm:evil@1"), "dependencies"),
            (json.replace("{\"name\"", "{\"scripts\":{\"install\":\"x\"},\"name\""), "scripts"),
        ] {
            let packed = [("package.json", hostile.as_str()), ("a.js", "a\nb\n")];
            let (_, said) = compare(&npm(&hostile), &packed, &git, &none);
            assert_eq!(
                said,
                [format!(
                    "block SRC-05: A file that differs from the one in Git `{member}` in package.json"
                )]
            );
        }
        let (_, said) =
            compare(&npm("{}"), &[("a.js", "a\nc\n"), ("big.wasm", "other")], &git, &none);
        assert_eq!(said.len(), 2, "{said:?}");
    }

    #[test]
    fn what_an_approved_release_had_is_expected_unless_it_runs_by_itself_and_changed() {
        let facts = npm(r#"{"scripts":{"postinstall":"node dist/setup"}}"#);
        let git = [("src/a.ts", "a")];
        let first = [("dist/a.js", "1"), ("dist/setup.js", "1")];
        let (packed, list, none) = (files(&first), tree(&git), BTreeMap::new());
        let candidate =
            Candidate { file_name: "x", facts: &facts, files: &packed, texts: &BTreeMap::new() };
        let matching = Matching::new(candidate, &list, None, &none);
        assert_eq!(matching.findings().len(), 2);
        let earlier = matching.outside();
        let again = compare(&facts, &first, &git, &earlier);
        assert_eq!(again, ([0, 0, 0, 2, 0, 0], Vec::new()));
        let (counts, said) =
            compare(&facts, &[("dist/a.js", "2"), ("dist/setup.js", "2")], &git, &earlier);
        assert_eq!(counts, [0, 0, 0, 1, 0, 1]);
        assert!(said.len() == 1 && said[0].contains("dist/setup.js"), "{said:?}");
        let (_, said) =
            compare(&facts, &[("dist/a.js", "1"), ("dist/new.js", "1")], &git, &earlier);
        assert!(said.len() == 1 && said[0].contains("dist/new.js"), "{said:?}");
    }

    #[test]
    fn a_package_in_a_subfolder_is_found_there_and_not_at_the_root() {
        let git = [
            ("package.json", "{\"private\":true}"),
            ("README.md", "root"),
            ("packages/lib/package.json", "{\"name\":\"lib\"}"),
            ("packages/lib/index.js", "x"),
            ("packages/lib/util.js", "y"),
        ];
        let packed = [
            ("package.json", "{\"name\":\"lib\"}"),
            ("index.js", "x"),
            ("util.js", "changed"),
            ("README.md", "root"),
        ];
        let (counts, said) = compare(&npm("{\"name\":\"lib\"}"), &packed, &git, &BTreeMap::new());
        assert_eq!(counts[4..], [1, 0]);
        assert!(said[0].contains("in Git as packages/lib/util.js"), "{said:?}");
    }

    #[test]
    fn many_files_are_said_by_folder() {
        let many: Vec<(String, String)> =
            (0..300).map(|n| (format!("dist/{n}.js"), n.to_string())).collect();
        let packed: Vec<(&str, &str)> =
            many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let (_, said) = compare(&npm("{}"), &packed, &[("a", "b")], &BTreeMap::new());
        assert_eq!(
            said,
            ["block SRC-04: A file that is not in Git `300 files, such as dist/0.js` in dist/"]
        );
    }

    #[test]
    fn a_file_that_holds_a_version_and_nothing_else_is_expected() {
        let scm = "# file generated by vcs-versioning\nfrom __future__ import annotations\n\n__all__ = [\n    \
                   \"__version__\",\n]\n\nversion: str\n__version__ = version = '1.1.0'\n__version_tuple__ = \
                   version_tuple = (1, 1, 0)\n\n__commit_id__ = commit_id = None\n";
        let git = [("lib/a.py", "a")];
        let with = |text| {
            compare(
                &pypi(ArtifactKind::Wheel),
                &[("lib/a.py", "a"), ("lib/_version.py", text)],
                &git,
                &BTreeMap::new(),
            )
            .0
        };
        assert_eq!(with(scm), [1, 0, 0, 1, 0, 0]);
        assert_eq!(with("__version__ = \"1.1.0\"\n"), [1, 0, 0, 1, 0, 0]);
        for hostile in [
            "__version__ = __import__('os').system('x')\n",
            "import os\n__version__ = '1'\n",
            "__version__ = '1'; import os\n",
            "__version__ = '1' + exec('x')\n",
            "__version__ = f'{x()}'\n",
            "x = '1'\n",
        ] {
            assert_eq!(with(hostile), [1, 0, 0, 0, 0, 1], "{hostile}");
        }
    }

    #[test]
    fn a_commit_is_right_only_on_a_branch_that_releases_come_from() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let standing = |known, branches: &[&str], allowed: &[&str], tags: &[&str]| {
            let (branches, allowed, tags) = (names(branches), names(allowed), names(tags));
            branch_finding(&Standing { commit: "abc", known, branches, allowed, tags })
                .map(|finding| finding.evidence)
        };
        assert_eq!(standing(true, &["main", "x"], &["main"], &["v1"]), None);
        let said = standing(true, &["x"], &[], &["v1"]).unwrap();
        assert_eq!(said, "abc is on x alone");
        assert!(standing(true, &[], &[], &["v1"]).unwrap().contains("below the tag v1"));
        assert!(standing(false, &[], &[], &[]).unwrap().contains("no branch or tag"));
    }

    #[test]
    fn tags_have_to_lead_where_they_should_and_did() {
        let tags: BTreeMap<String, String> = [("v1.0.0", "aaa"), ("v1.1.0", "bbb")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into();
        let said = |commit: &str,
                    claimed: Option<&str>,
                    expected: &[&str],
                    seen: &[(&str, &str)]| {
            let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
            let tag = |(name, commit): &(&str, &str)| Tag {
                name: (*name).to_owned(),
                commit: (*commit).to_owned(),
            };
            let seen: Vec<Tag> = seen.iter().map(tag).collect();
            let facts = TagFacts { commit, claimed, expected: &expected, tags: &tags, seen: &seen };
            let (findings, tag) = tag_findings(&facts);
            (
                findings
                    .iter()
                    .map(|f| format!("{} {}", f.severity, f.evidence))
                    .collect::<Vec<_>>(),
                tag.map(|tag| tag.name),
            )
        };
        let v11 = Some("v1.1.0".to_owned());
        assert_eq!(
            said("bbb", Some("v1.1.0"), &["v1.1.0"], &[("v1.0.0", "aaa")]),
            (vec![], v11.clone())
        );
        assert_eq!(said("bbb", None, &["v1.1.0"], &[]), (vec![], v11));
        assert_eq!(
            said("ccc", Some("v1.1.0"), &[], &[]).0,
            ["block v1.1.0 leads to bbb, and ccc was built"]
        );
        assert_eq!(
            said("ccc", None, &["v1.1.0"], &[]).0,
            ["block v1.1.0 leads to bbb, and ccc was built"]
        );
        assert!(
            said("bbb", Some("v9"), &[], &[]).0[0].starts_with("block the run was for the tag v9")
        );
        assert_eq!(
            said("bbb", Some("v1.1.0"), &[], &[("v1.0.0", "zzz")]).0,
            ["block v1.0.0 was moved from zzz to aaa"]
        );
        assert!(
            said("bbb", Some("v1.1.0"), &[], &[("v0.9.0", "zzz")]).0[0]
                .starts_with("block v0.9.0 is gone")
        );
        assert!(
            said("bbb", None, &["v2.0.0"], &[]).0[0]
                .starts_with("look the repository has no tag v2.0.0")
        );
        assert!(
            said("bbb", Some("v1.1.0"), &["lib@1.1.0"], &[]).0[0]
                .starts_with("look the run was for the tag")
        );
    }
}
