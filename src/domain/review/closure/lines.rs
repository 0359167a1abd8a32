//! A closure as text: sorted lines, one for everything that took part.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::review::path;

/// The first line of a closure: what it is and of which version.
pub(super) const HEAD: &str = "countersign/closure/v1";

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

/// One word for any text: `-` for none, and what is not printable ASCII is written as `%` and hex digits.
pub(super) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    match text {
        "" => "-".to_owned(),
        "-" => "%2D".to_owned(),
        text => {
            text.bytes()
                .map(|byte| {
                    if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
                })
                .collect()
        }
    }
}

pub(super) fn unescape(word: &str) -> Option<String> {
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
    pub(super) lines: BTreeSet<Line>,
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

impl Line {
    pub(super) fn new(kind: Kind, name: &str, trusted: bool) -> Self {
        let (path, reference, name) = (String::new(), String::new(), name.to_owned());
        Self { kind, name, path, reference, commit: None, blob: None, pinned: false, trusted }
    }

    /// What it is about, whatever version of it.
    pub(super) fn subject(&self) -> (Kind, &str, &str) {
        (self.kind, &self.name, &self.path)
    }

    /// In words: the name with the path and how it is named.
    pub(super) fn words(&self) -> String {
        let at =
            if self.reference.is_empty() { String::new() } else { format!("@{}", self.reference) };
        let commit = self.commit.as_deref().filter(|commit| *commit != self.reference);
        let commit = commit.map(|commit| format!(" ({})", commit.get(..12).unwrap_or(commit)));
        format!("{}{at}{}", path::join(&self.name, &self.path), commit.unwrap_or_default())
    }
}
