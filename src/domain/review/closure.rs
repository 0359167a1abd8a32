//! CI: everything that took part in the run that built a release, followed to its end.
//!
//! A pin by commit is worth what is behind it: an action pinned by its commit may run another one
//! by a tag, start from an image that changes, or download a script. The walk starts at the
//! workflow that the CI token names and follows every reference; whoever drives it reads the files
//! (`pipeline::binding`). What it saw becomes sorted lines, the closure, whose digest is signed with
//! the release and which is compared with that of the last approved release.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::EXCERPT_MAX;
use crate::domain::review::workflow::{self, Part, What, WorkflowError};

/// The checks made of a closure.
pub const CHECKS: &[Check] =
    &[MUTABLE, CHANGED, MUTABLE_IMAGE, DOWNLOAD, PIPELINE, WIDE_TOKEN, CACHE];

const MUTABLE: Check = Check {
    id: "CI-01",
    title: "An action that can become another one",
    why: "Whoever can move its tag or branch runs code where the release is made.",
};
const CHANGED: Check = Check {
    id: "CI-02",
    title: "Something else takes part in the build",
    why: "The last approved release was built without it, or with another version of it.",
};
const MUTABLE_IMAGE: Check = Check {
    id: "CI-03",
    title: "An image named without its digest",
    why: "The same name can be another image tomorrow.",
};
const DOWNLOAD: Check = Check {
    id: "CI-04",
    title: "The build fetches a program that nothing pins",
    why: "What it runs is decided elsewhere, each time anew.",
};
const PIPELINE: Check = Check {
    id: "CI-05",
    title: "What makes releases changed since the last one",
    why: "Who can change the workflow can change what is released without touching the code.",
};
const WIDE_TOKEN: Check = Check {
    id: "CI-07",
    title: "More than the publishing step can get the identity token",
    why: "Code of any dependency that runs there can publish in the name of this repository.",
};
const CACHE: Check = Check {
    id: "CI-08",
    title: "The build restores a cache",
    why: "Another run may have put something into it, and nothing in the commit shows that.",
};

/// Most files the walk reads.
const VISITS_MAX: usize = 200;
/// Longest chain of references followed.
const DEPTH_MAX: usize = 10;
/// Most lines of a closure; more are counted as not looked into.
const LINES_MAX: usize = 5_000;
/// The first line of a closure: what it is and of which version.
const HEAD: &str = "countersign/closure/v1";

/// What a line of a closure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An action.
    Action,
    /// A file an action runs.
    Bundle,
    /// A cache that is restored.
    Cache,
    /// A command that fetches something unpinned.
    Download,
    /// A container image.
    Image,
    /// Who may ask for an identity token besides the publishing step.
    Token,
    /// A tool in its newest version.
    Tool,
    /// A workflow.
    Workflow,
}

const KINDS: [(Kind, &str); 8] = [
    (Kind::Action, "action"),
    (Kind::Bundle, "bundle"),
    (Kind::Cache, "cache"),
    (Kind::Download, "download"),
    (Kind::Image, "image"),
    (Kind::Token, "token"),
    (Kind::Tool, "tool"),
    (Kind::Workflow, "workflow"),
];

/// One line of a closure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// What it is about.
    pub kind: Kind,
    /// The repository, image, command or tool.
    pub name: String,
    /// The path in the repository; empty for what has none.
    pub path: String,
    /// How it was named: a tag, a branch, a commit. Empty for what has none, and for what is in the
    /// released commit itself, which is another one in every release.
    pub reference: String,
    /// The commit that stood for, where that could be found out.
    pub commit: Option<String>,
    /// The Git blob of the file that was read there.
    pub blob: Option<String>,
    /// Whether it can never be another thing.
    pub pinned: bool,
    /// Whether it runs where an identity token or secrets are.
    pub trusted: bool,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, word)| *word);
        let (commit, blob) = (self.commit.as_deref(), self.blob.as_deref());
        write!(
            f,
            "{kind} {} {} {} {} {} {} {}",
            escape(&self.name),
            escape(&self.path),
            escape(&self.reference),
            escape(commit.unwrap_or_default()),
            escape(blob.unwrap_or_default()),
            if self.pinned { "pinned" } else { "moves" },
            if self.trusted { "trusted" } else { "plain" },
        )
    }
}

/// One word for any text: what is not printable ASCII is written as `%` and hex digits.
fn escape(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    let whole = if text == "-" { "%2D" } else { "" };
    if !whole.is_empty() {
        return whole.to_owned();
    }
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn unescape(word: &str) -> Option<String> {
    if word == "-" {
        return Some(String::new());
    }
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?);
        rest = &rest[at + 3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// A closure that was kept is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a closure of version 1")]
pub struct ClosureError;

/// What took part in a run, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Closure {
    lines: BTreeSet<Line>,
}

impl Closure {
    /// Its lines.
    pub const fn lines(&self) -> &BTreeSet<Line> {
        &self.lines
    }

    /// The text that is kept, shown and hashed.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(ToString::to_string).collect();
        format!("{HEAD}\n{}\n", lines.join("\n"))
    }

    /// The digest of [`Self::text`].
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(self.text().as_bytes())
    }
}

impl From<Closure> for String {
    fn from(closure: Closure) -> Self {
        closure.text()
    }
}

impl TryFrom<String> for Closure {
    type Error = ClosureError;

    fn try_from(text: String) -> Result<Self, ClosureError> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(ClosureError);
        }
        let lines = lines.filter(|line| !line.is_empty()).map(parse_line);
        lines.collect::<Option<BTreeSet<_>>>().map(|lines| Self { lines }).ok_or(ClosureError)
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split(' ').collect();
    let [kind, name, path, reference, commit, blob, pinned, trusted] = words.as_slice() else {
        return None;
    };
    let some = |word: &str| unescape(word).map(|text| (!text.is_empty()).then_some(text));
    Some(Line {
        kind: KINDS.iter().find(|(_, word)| word == kind)?.0,
        name: unescape(name)?,
        path: unescape(path)?,
        reference: unescape(reference)?,
        commit: some(commit)?,
        blob: some(blob)?,
        pinned: *pinned == "pinned",
        trusted: *trusted == "trusted",
    })
}

/// A file the walk wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `owner/name`.
    pub repository: String,
    /// A commit, tag or branch of it.
    pub reference: String,
    /// Where the file may be; the first that exists is meant.
    pub paths: Vec<String>,
    /// Whether its text is of use; otherwise its blob is.
    pub text: bool,
    visit: Visit,
}

/// What a wanted file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is there.
    Found(Found),
    /// It could not be read, for this reason.
    Unread(String),
}

/// A file at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The commit.
    pub commit: String,
    /// Whether a branch or tag of the repository leads to the commit.
    pub reachable: bool,
    /// Which of the paths.
    pub path: String,
    /// Its Git blob.
    pub blob: String,
    /// Its text, if that was wanted.
    pub text: String,
}

/// How a file is to be understood, and who named it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Visit {
    line: Line,
    place: Place,
    depth: usize,
}

/// Where something is named: the repository where it is not the one that is released, and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    line: Option<u32>,
}

/// The walk over everything that takes part.
#[derive(Debug)]
pub struct Walk {
    /// The repository that is released, and the commit.
    home: (String, String),
    queue: VecDeque<Wanted>,
    asked: BTreeSet<(String, String, String, bool)>,
    lines: BTreeMap<Line, Place>,
    strangers: Vec<(Line, Place)>,
    unread: BTreeSet<String>,
    visits: usize,
}

impl Walk {
    /// Starts at a workflow: `repository` and `path` as the token names them, at a commit or ref.
    pub fn start(home: (&str, &str), repository: &str, path: &str, reference: &str) -> Self {
        let home = (home.0.to_owned(), home.1.to_owned());
        let mut walk = Self {
            home,
            queue: VecDeque::new(),
            asked: BTreeSet::new(),
            lines: BTreeMap::new(),
            strangers: Vec::new(),
            unread: BTreeSet::new(),
            visits: 0,
        };
        walk.also(repository, path, reference);
        walk
    }

    /// Adds another workflow of the run.
    pub fn also(&mut self, repository: &str, path: &str, reference: &str) {
        let at_home = repository == self.home.0 && reference == self.home.1;
        let pinned = workflow::is_commit(reference);
        let reference = if at_home { String::new() } else { reference.to_owned() };
        let line = Line { reference, pinned, ..Line::new(Kind::Workflow, repository, false) };
        let line = Line { path: path.to_owned(), ..line };
        let place = Place { file: path.to_owned(), line: None };
        self.ask(line, vec![path.to_owned()], place, 0);
    }

    /// The next file to read, until there is none.
    pub fn next_wanted(&mut self) -> Option<Wanted> {
        let wanted = self.queue.pop_front()?;
        self.visits += 1;
        if self.visits > VISITS_MAX {
            self.unread
                .insert(format!("more than {VISITS_MAX} files take part; the rest was left"));
            self.queue.clear();
            self.note(wanted.visit.line, wanted.visit.place);
            return None;
        }
        Some(wanted)
    }

    /// Takes what a wanted file turned out to be.
    pub fn take(&mut self, wanted: Wanted, answer: Answer) {
        let Visit { mut line, place, depth } = wanted.visit;
        let found = match answer {
            Answer::Found(found) => found,
            Answer::Unread(why) => {
                let path = join(&wanted.repository, &line.path);
                self.unread.insert(format!("{path}@{}: {why}", wanted.reference));
                return self.note(line, place);
            }
        };
        line.commit = (!line.reference.is_empty()).then(|| found.commit.clone());
        line.blob = Some(found.blob.clone());
        if !found.reachable && wanted.repository != self.home.0 {
            self.strangers.push((line.clone(), place.clone()));
        }
        if wanted.text {
            match parts_of(&line, &found) {
                Ok(parts) => {
                    let file = self.shown(&wanted.repository, &found.path);
                    let from = Origin { repository: &wanted.repository, found: &found, file };
                    for part in parts {
                        self.follow(part, &from, &line, depth + 1);
                    }
                }
                Err(error) => {
                    let file = self.shown(&wanted.repository, &found.path);
                    self.unread.insert(format!("{file}: {error}"));
                }
            }
        }
        self.note(line, place);
    }

    fn follow(&mut self, part: Part, from: &Origin<'_>, parent: &Line, depth: usize) {
        let place = Place { file: from.file.clone(), line: Some(part.line) };
        let (kind, name, pinned) = match part.what {
            What::Uses { repository, path, reference, workflow } => {
                let pinned = workflow::is_commit(&reference);
                let at = Line {
                    path,
                    reference,
                    pinned,
                    ..Line::new(sort(workflow), &repository, part.trusted)
                };
                return self.enter(at, place, depth);
            }
            What::Local { path, workflow, own } => {
                // A path in the checked-out tree, whoever names it; `$/` is the action's own.
                let (repository, reference) = if own {
                    (from.repository, parent.reference.clone())
                } else {
                    (self.home.0.as_str(), String::new())
                };
                let pinned = !own || parent.pinned;
                let at = Line {
                    path,
                    reference,
                    pinned,
                    ..Line::new(sort(workflow), repository, part.trusted)
                };
                return self.enter(at, place, depth);
            }
            What::Beside(path) => return self.beside(&path, (from, parent), place, depth),
            What::Image(image) => {
                let pinned = workflow::is_digest(&image);
                (Kind::Image, image, pinned)
            }
            What::Download(command) => (Kind::Download, command, false),
            What::Tool(tool) => (Kind::Tool, tool, false),
            What::Cache(cache) => (Kind::Cache, cache, false),
            What::WideToken(who) => (Kind::Token, who, false),
            What::Unclear(text) => {
                self.unread.insert(format!("{}: `uses: {}` is no address", from.file, cut(&text)));
                (Kind::Action, text, false)
            }
        };
        self.note(Line { pinned, ..Line::new(kind, &name, part.trusted) }, place);
    }

    fn enter(&mut self, line: Line, place: Place, depth: usize) {
        let paths = if line.kind == Kind::Workflow {
            vec![line.path.clone()]
        } else {
            let inside = |name: &str| join(&line.path, name);
            ["action.yml", "action.yaml", "Dockerfile"].map(inside).to_vec()
        };
        self.ask(line, paths, place, depth);
    }

    /// A Dockerfile or script of an action, which moves exactly when the action does.
    fn beside(
        &mut self,
        path: &str,
        (from, parent): (&Origin<'_>, &Line),
        place: Place,
        depth: usize,
    ) {
        let folder = from.found.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let Some(path) = resolve(folder, path) else {
            self.unread.insert(format!("{}: `{}` leaves the action", from.file, cut(path)));
            return;
        };
        let (reference, pinned) = (parent.reference.clone(), parent.pinned);
        // It runs where the action does.
        let bundle = Line::new(Kind::Bundle, from.repository, parent.trusted);
        let line = Line { reference, pinned, ..bundle };
        let line = Line { path: path.clone(), ..line };
        self.ask(line, vec![path], place, depth);
    }

    fn ask(&mut self, line: Line, paths: Vec<String>, place: Place, depth: usize) {
        let key = (line.name.clone(), paths.concat(), line.reference.clone(), line.trusted);
        if !self.asked.insert(key) {
            return;
        }
        if depth > DEPTH_MAX {
            self.unread.insert(format!("{}: references go deeper than {DEPTH_MAX}", place.file));
            return self.note(line, place);
        }
        let name = line.path.rsplit('/').next().unwrap_or_default();
        let text = line.kind != Kind::Bundle || name.to_lowercase().contains("dockerfile");
        let named = Some(&line.reference).filter(|reference| !reference.is_empty());
        let (repository, reference) = (line.name.clone(), named.unwrap_or(&self.home.1).clone());
        let visit = Visit { line, place, depth };
        self.queue.push_back(Wanted { repository, reference, paths, text, visit });
    }

    fn note(&mut self, line: Line, place: Place) {
        if self.lines.len() < LINES_MAX {
            self.lines.entry(line).or_insert(place);
        } else {
            self.unread.insert(format!("more than {LINES_MAX} parts; the rest was left"));
        }
    }

    fn shown(&self, repository: &str, path: &str) -> String {
        if repository == self.home.0 { path.to_owned() } else { format!("{repository}/{path}") }
    }

    /// What took part, what of it could not be looked into, and what it asks of a reviewer beside
    /// the closure of the last approved release.
    pub fn finish(self, before: Option<&Closure>) -> Seen {
        let mut findings = Vec::new();
        for (line, place) in &self.lines {
            findings.extend(look(line, place, before));
        }
        for (line, place) in &self.strangers {
            let evidence = format!("{} is in no branch or tag of {}", line.reference, line.name);
            findings.push(found(
                &MUTABLE,
                Severity::Block,
                since(line, before),
                &evidence,
                Some(place),
            ));
        }
        let closure = Closure { lines: self.lines.into_keys().collect() };
        if let Some(before) = before {
            findings.extend(removed(before, &closure));
        }
        Seen { closure, findings, unread: self.unread.into_iter().collect() }
    }
}

/// The result of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What took part.
    pub closure: Closure,
    /// What of it is to be looked at.
    pub findings: Vec<Finding>,
    /// What could not be looked into, each with why.
    pub unread: Vec<String>,
}

/// Which file names a part.
#[derive(Debug)]
struct Origin<'a> {
    repository: &'a str,
    found: &'a Found,
    file: String,
}

impl Line {
    fn new(kind: Kind, name: &str, trusted: bool) -> Self {
        let (path, reference, name) = (String::new(), String::new(), name.to_owned());
        Self { kind, name, path, reference, commit: None, blob: None, pinned: false, trusted }
    }

    /// What it is about, whatever version of it.
    fn subject(&self) -> (Kind, &str, &str) {
        (self.kind, &self.name, &self.path)
    }

    /// In words: the name with the path and how it is named.
    fn words(&self) -> String {
        let at =
            if self.reference.is_empty() { String::new() } else { format!("@{}", self.reference) };
        let commit = self.commit.as_deref().filter(|commit| *commit != self.reference);
        let commit = commit.map(|commit| format!(" ({})", commit.get(..12).unwrap_or(commit)));
        format!("{}{at}{}", join(&self.name, &self.path), commit.unwrap_or_default())
    }
}

const fn sort(workflow: bool) -> Kind {
    if workflow { Kind::Workflow } else { Kind::Action }
}

fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", only) | (only, "") => only.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

/// A path beside a file, without leaving the repository.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn cut(text: &str) -> String {
    text.chars().take(EXCERPT_MAX / 2).collect()
}

fn parts_of(line: &Line, found: &Found) -> Result<Vec<Part>, WorkflowError> {
    let name = found.path.rsplit('/').next().unwrap_or_default();
    if name.to_lowercase().contains("dockerfile") {
        workflow::dockerfile(&found.text, line.trusted)
    } else if line.kind == Kind::Workflow {
        workflow::workflow(&found.text, line.trusted)
    } else {
        workflow::action(&found.text, line.trusted)
    }
}

/// How a line stands against the last approved closure.
fn since(line: &Line, before: Option<&Closure>) -> Since {
    let Some(before) = before else { return Since::FirstRelease };
    // Losing trust with the rest the same is no change that anybody has to look at.
    let stronger = Line { trusted: true, ..line.clone() };
    if before.lines.contains(line) || before.lines.contains(&stronger) {
        Since::Unchanged
    } else if before.lines.iter().any(|known| known.subject() == line.subject()) {
        Since::Changed
    } else {
        Since::New
    }
}

fn look(line: &Line, place: &Place, before: Option<&Closure>) -> Option<Finding> {
    let since = since(line, before);
    let standing = since == Since::Unchanged;
    let quiet = if standing { Severity::Note } else { Severity::Look };
    let (check, severity) = match line.kind {
        Kind::Action | Kind::Workflow if !line.pinned => (
            &MUTABLE,
            match (standing, &line.commit) {
                // The same commit as when it was approved: nobody moved it.
                (true, Some(_)) => Severity::Note,
                (false, _) if line.trusted => Severity::Block,
                (true, None) | (false, _) => Severity::Look,
            },
        ),
        Kind::Image if !line.pinned => (&MUTABLE_IMAGE, quiet),
        Kind::Download | Kind::Tool => (&DOWNLOAD, quiet),
        Kind::Token => (&WIDE_TOKEN, quiet),
        Kind::Cache => (&CACHE, quiet),
        // Files of the released commit are compared one by one (CI-05).
        Kind::Action | Kind::Workflow if line.reference.is_empty() => return None,
        // What is pinned is worth a look when it is not what it was.
        _ if matches!(since, Since::New | Since::Changed) => (&CHANGED, Severity::Look),
        _ => return None,
    };
    let was = before
        .filter(|_| since == Since::Changed)
        .and_then(|before| before.lines.iter().find(|known| known.subject() == line.subject()));
    let evidence = match was {
        Some(was) if was.words() == line.words() => {
            format!("{}, with more trust or other content", line.words())
        }
        Some(was) => format!("{}, was {}", line.words(), was.words()),
        None => line.words(),
    };
    Some(found(check, severity, since, &evidence, Some(place)))
}

/// What no longer takes part.
fn removed(before: &Closure, after: &Closure) -> Vec<Finding> {
    let subjects: BTreeSet<_> = after.lines.iter().map(Line::subject).collect();
    let gone = before.lines.iter().filter(|line| !subjects.contains(&line.subject()));
    let evidence = |line: &Line| format!("{} takes part no longer", line.words());
    gone.map(|line| found(&CHANGED, Severity::Note, Since::Changed, &evidence(line), None))
        .collect()
}

fn found(
    check: &'static Check,
    severity: Severity,
    since: Since,
    evidence: &str,
    place: Option<&Place>,
) -> Finding {
    Finding {
        check,
        severity,
        file: place.map(|place| place.file.clone()),
        line: place.and_then(|place| place.line),
        evidence: evidence.chars().take(EXCERPT_MAX).collect(),
        since,
    }
}

/// A file that makes releases and is not what it was at the last release's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineChange<'a> {
    /// Where.
    pub path: &'a str,
    /// Its text at the last release; `None` when it was not there or not readable.
    pub before: Option<&'a str>,
    /// Its text now; `None` when it is gone or not readable.
    pub after: Option<&'a str>,
    /// Whether it is the workflow the release was made by.
    pub publishes: bool,
}

/// CI-05: what a reviewer is asked about a change of what makes releases.
pub fn pipeline_change(change: &PipelineChange<'_>) -> Option<Finding> {
    let touched = workflow::touched(change.path)?;
    let gravest = match (change.before, change.after) {
        (Some(before), Some(after)) if change.publishes => workflow::gravest_changes(before, after),
        _ => Ok(Vec::new()),
    };
    let (severity, evidence) = match gravest {
        Ok(aspects) if aspects.is_empty() => match touched {
            workflow::Touched::LockFile => (Severity::Note, String::new()),
            workflow::Touched::Pipeline => (Severity::Look, String::new()),
        },
        Ok(aspects) => (Severity::Block, aspects.join(", ")),
        Err(error) => (Severity::Block, format!("it cannot be read: {error}")),
    };
    let place = Place { file: change.path.to_owned(), line: None };
    Some(found(&PIPELINE, severity, Since::Changed, &evidence, Some(&place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "1111111111111111111111111111111111111111";
    const HOME: (&str, &str) = ("octo/lib", COMMIT);
    const PATH: &str = ".github/workflows/release.yml";

    /// Walks over files by `repository path`; a reference is its own commit, padded.
    fn walk(files: &[(&str, &str)], before: Option<&Closure>) -> Seen {
        let mut walk = Walk::start(HOME, HOME.0, PATH, COMMIT);
        while let Some(wanted) = walk.next_wanted() {
            let found = wanted.paths.iter().find_map(|path| {
                let name = format!("{}@{} {path}", wanted.repository, wanted.reference);
                let found = files.iter().find(|(known, _)| {
                    *known == name || *known == format!("{} {path}", wanted.repository)
                });
                found.map(|(_, text)| (path.clone(), (*text).to_owned()))
            });
            let answer = match found {
                Some((path, text)) => Answer::Found(Found {
                    commit: if workflow::is_commit(&wanted.reference) {
                        wanted.reference.clone()
                    } else {
                        "2".repeat(40)
                    },
                    reachable: !text.contains("impostor"),
                    blob: Sha256::of(text.as_bytes()).to_string()[..40].to_owned(),
                    path,
                    text,
                }),
                None => Answer::Unread("no mirror is configured".to_owned()),
            };
            walk.take(wanted, answer);
        }
        walk.finish(before)
    }

    fn shown(seen: &Seen) -> Vec<String> {
        seen.findings.iter().map(ToString::to_string).collect()
    }

    const WORKFLOW: (&str, &str) = (
        "octo/lib .github/workflows/release.yml",
        "\
on: push
jobs:
  publish:
    permissions: { id-token: write }
    steps:
      - uses: pre-commit/action@3333333333333333333333333333333333333333
      - uses: pypa/publish@4444444444444444444444444444444444444444
",
    );

    /// The two published examples of pins that pin little, and a nested action by a moving tag.
    #[test]
    fn pinned_actions_are_looked_into_to_their_end() {
        let files = [
            WORKFLOW,
            (
                "pre-commit/action action.yml",
                "runs:\n  using: composite\n  steps:\n    - run: pip install pre-commit\n    - uses: actions/cache@v4\n",
            ),
            ("pypa/publish action.yml", "runs: { using: docker, image: Dockerfile }\n"),
            ("pypa/publish Dockerfile", "FROM python:3.12-slim\n"),
            ("actions/cache action.yml", "runs: { using: node20, main: dist/index.js }\n"),
            ("actions/cache dist/index.js", "x"),
        ];
        let seen = walk(&files, None);
        assert_eq!(seen.unread, Vec::<String>::new());
        let all = shown(&seen).join("\n");
        for expected in [
            "block CI-01: An action that can become another one `actions/cache@v4",
            "in pre-commit/action/action.yml:5",
            "look CI-03: An image named without its digest `python:3.12-slim` in pypa/publish/Dockerfile:1",
            "look CI-04",
            "look CI-08",
        ] {
            assert!(all.contains(expected), "{expected}:\n{all}");
        }
        assert!(!all.contains("pypa/publish@4"), "{all}");
        let text = seen.closure.text();
        assert!(text.starts_with("countersign/closure/v1\n"), "{text}");
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(text.contains("bundle actions/cache dist/index.js v4 2222"), "{text}");
        assert_eq!(Closure::try_from(text.clone()).unwrap(), seen.closure);
        assert_eq!(seen.closure.sha256(), Sha256::of(text.as_bytes()));
    }

    #[test]
    fn the_same_closure_twice_is_quiet_and_a_difference_is_not() {
        let action =
            |tag: &str| format!("runs:\n  using: composite\n  steps:\n    - uses: o/x@{tag}\n");
        let (v1, v2) = (action(&"5".repeat(40)), action(&"6".repeat(40)));
        let leaf = ("o/x action.yml", "runs: { using: composite }\n");
        let publish = ("pypa/publish action.yml", "runs: { using: composite }\n");
        let first = walk(&[WORKFLOW, ("pre-commit/action action.yml", &v1), publish, leaf], None);
        assert_eq!(shown(&first), Vec::<String>::new());
        let same = walk(
            &[WORKFLOW, ("pre-commit/action action.yml", &v1), publish, leaf],
            Some(&first.closure),
        );
        assert_eq!((shown(&same), same.closure.sha256()), (Vec::new(), first.closure.sha256()));
        let other = walk(
            &[WORKFLOW, ("pre-commit/action action.yml", &v2), publish, leaf],
            Some(&first.closure),
        );
        let all = shown(&other).join("\n");
        assert!(
            all.contains(&format!("o/x@{}, was o/x@{}", "6".repeat(40), "5".repeat(40))),
            "{all}"
        );
        assert_ne!(other.closure.sha256(), first.closure.sha256());
        let fewer = (WORKFLOW.0, "on: push\njobs:\n  a:\n    steps: []\n");
        let gone = walk(&[fewer], Some(&first.closure));
        assert!(shown(&gone).join("\n").contains("takes part no longer"));
    }

    #[test]
    fn a_standing_mutable_reference_is_quiet_only_when_what_it_means_is_known() {
        let text = "on: push\njobs:\n  a:\n    environment: x\n    steps:\n      - uses: o/x@v1\n";
        let start = (WORKFLOW.0, text);
        let blind = walk(&[start], None);
        assert!(shown(&blind)[0].starts_with("block CI-01"));
        assert_eq!(blind.unread, ["o/x@v1: no mirror is configured"]);
        let again = walk(&[start], Some(&blind.closure));
        assert!(shown(&again)[0].starts_with("look CI-01"));
        let files = [start, ("o/x action.yml", "runs: { using: composite }")];
        let known = walk(&files, None);
        let again = walk(&files, Some(&known.closure));
        assert!(shown(&again)[0].starts_with("note CI-01"), "{:?}", shown(&again));
    }

    #[test]
    fn a_pin_to_a_commit_of_a_stranger_blocks() {
        let files =
            [WORKFLOW, ("pypa/publish action.yml", "name: impostor\nruns: { using: composite }\n")];
        let all = shown(&walk(&files, None)).join("\n");
        assert!(
            all.contains("block CI-01") && all.contains("in no branch or tag of pypa/publish"),
            "{all}"
        );
    }

    #[test]
    fn circles_end_and_long_chains_are_said_to_be_cut() {
        let text = "on: push\njobs:\n  a:\n    uses: ./.github/workflows/release.yml\n";
        let seen = walk(&[(WORKFLOW.0, text)], None);
        assert_eq!(seen.closure.lines().len(), 1);
        let step = |n: usize| {
            format!("runs:\n  using: composite\n  steps:\n    - uses: o/x{n}@{}\n", "7".repeat(40))
        };
        let names: Vec<String> = (0..30).map(|n| format!("o/x{n} action.yml")).collect();
        let texts: Vec<String> = (1..31).map(step).collect();
        let mut files: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
        let first =
            format!("on: push\njobs:\n  a:\n    steps:\n      - uses: o/x0@{}\n", "7".repeat(40));
        files.push((WORKFLOW.0, &first));
        let seen = walk(&files, None);
        assert!(seen.unread.iter().any(|text| text.contains("deeper")), "{:?}", seen.unread);
    }

    #[test]
    fn hostile_names_stay_one_word_of_one_line() {
        for text in ["a b", "a\nb", "%", "-", "", "é", "x%20y"] {
            let word = escape(text);
            assert!(!word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
            assert_eq!(unescape(&word).as_deref(), Some(text));
        }
        assert!(Closure::try_from("x\n".to_owned()).is_err());
        assert!(Closure::try_from(format!("{HEAD}\naction a\n")).is_err());
    }

    #[test]
    fn a_change_of_who_can_publish_blocks_and_of_a_lock_file_is_noted() {
        let change = |path, before, after, publishes| {
            pipeline_change(&PipelineChange { path, before, after, publishes }).map(|f| f.severity)
        };
        let with = |on: &str| format!("on: {on}\njobs:\n  a: {{}}\n");
        let (push, any) = (with("push"), with("workflow_dispatch"));
        let comment = format!("# x\n{push}");
        assert_eq!(change(PATH, Some(&push), Some(&any), true), Some(Severity::Block));
        assert_eq!(change(PATH, Some(&push), Some(&any), false), Some(Severity::Look));
        assert_eq!(change(PATH, Some(&push), Some(&comment), true), Some(Severity::Look));
        assert_eq!(change(PATH, Some(&push), Some("["), true), Some(Severity::Block));
        assert_eq!(change("yarn.lock", Some("a"), Some("b"), false), Some(Severity::Note));
        assert_eq!(change("src/a.js", Some("a"), Some("b"), false), None);
    }
}
