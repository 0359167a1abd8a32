//! The walk from the workflow of a run over every reference to its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::findings::{look, removed, since};
use super::{Closure, Kind, Line, MUTABLE, Seen};
use crate::domain::review::finding::{Finding, Severity};
use crate::domain::review::path;
use crate::domain::review::survey::EXCERPT_MAX;
use crate::domain::review::workflow::{self, Part, What, WorkflowError};

/// Most files the walk reads.
const VISITS_MAX: usize = 200;
/// Longest chain of references followed.
const DEPTH_MAX: usize = 10;
/// Most lines of a closure; more are counted as not looked into.
const LINES_MAX: usize = 5_000;

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
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: Option<u32>,
}

impl Place {
    /// A finding about what is named here.
    pub(super) fn of(&self, finding: Finding) -> Finding {
        finding.at(&self.file, self.line)
    }
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
        let line = Line::new(Kind::Workflow, repository, false);
        let line = Line { path: path.to_owned(), reference, pinned, ..line };
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
                let path = path::join(&wanted.repository, &line.path);
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
                let line = Line::new(sort(workflow), &repository, part.trusted);
                return self.enter(Line { path, reference, pinned, ..line }, place, depth);
            }
            What::Local { path, workflow, own } => {
                // A path in the checked-out tree, whoever names it; `$/` is the action's own.
                let (repository, reference) = if own {
                    (from.repository, parent.reference.clone())
                } else {
                    (self.home.0.as_str(), String::new())
                };
                let pinned = !own || parent.pinned;
                let line = Line::new(sort(workflow), repository, part.trusted);
                return self.enter(Line { path, reference, pinned, ..line }, place, depth);
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
            let inside = |name: &str| path::join(&line.path, name);
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
        let Some(path) = path::resolve(folder, path) else {
            self.unread.insert(format!("{}: `{}` leaves the action", from.file, cut(path)));
            return;
        };
        let (reference, pinned) = (parent.reference.clone(), parent.pinned);
        // It runs where the action does.
        let line = Line::new(Kind::Bundle, from.repository, parent.trusted);
        let line = Line { path: path.clone(), reference, pinned, ..line };
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
        let name = path::name(&line.path);
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
            let since = since(line, before);
            let said = Finding::new(&MUTABLE, Severity::Block, since, &evidence);
            findings.push(place.of(said));
        }
        let closure = Closure { lines: self.lines.into_keys().collect() };
        if let Some(before) = before {
            findings.extend(removed(before, &closure));
        }
        Seen { closure, findings, unread: self.unread.into_iter().collect() }
    }
}

/// Which file names a part.
#[derive(Debug)]
struct Origin<'a> {
    repository: &'a str,
    found: &'a Found,
    file: String,
}

const fn sort(workflow: bool) -> Kind {
    if workflow { Kind::Workflow } else { Kind::Action }
}

fn cut(text: &str) -> String {
    text.chars().take(EXCERPT_MAX / 2).collect()
}

fn parts_of(line: &Line, found: &Found) -> Result<Vec<Part>, WorkflowError> {
    let name = path::name(&found.path);
    if name.to_lowercase().contains("dockerfile") {
        workflow::dockerfile(&found.text, line.trusted)
    } else if line.kind == Kind::Workflow {
        workflow::workflow(&found.text, line.trusted)
    } else {
        workflow::action(&found.text, line.trusted)
    }
}
