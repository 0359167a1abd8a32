//! Files inside a release: the list of all of them, and one of them beside the baseline's.

use askama::Template;

use super::home::ReleaseName;
use super::shell::{Badge, Layout, Link, Notice};

/// All files of a release.
#[derive(Debug, Template)]
#[template(path = "pages/files.html")]
pub struct FilesPage {
    /// The frame.
    pub layout: Layout,
    /// Which release.
    pub release: ReleaseName,
    /// Each artifact with its files.
    pub artifacts: Vec<ArtifactFiles>,
    /// "12 of 40 viewed"; empty as long as not every list is there.
    pub viewed: String,
    /// `/releases/{id}/viewed`; `None` for whoever only reads.
    pub ticks: Option<String>,
}

/// The button that ticks a file for whoever reads it.
#[derive(Clone, Debug)]
pub struct Tick {
    /// What is ticked: 64 hexadecimal digits.
    pub difference: String,
    /// It is ticked.
    pub viewed: bool,
}

/// Where a reader of a file stands among all of them.
#[derive(Clone, Debug)]
pub struct Reading {
    /// `/releases/{id}/viewed`; `None` for whoever only reads.
    pub ticks: Option<String>,
    /// The button of this file.
    pub tick: Tick,
    /// "12 of 40 viewed".
    pub viewed: String,
    /// The file before it in the list.
    pub previous: Option<String>,
    /// The file after it.
    pub next: Option<String>,
}

/// What a tick answers: how much is viewed now.
#[derive(Debug, Template)]
#[template(path = "fragments/viewed.html")]
pub struct ViewedFragment {
    /// "12 of 40 viewed".
    pub viewed: String,
}

/// One artifact with its files.
#[derive(Clone, Debug)]
pub struct ArtifactFiles {
    /// Name of the artifact.
    pub name: String,
    /// "Compared with 4.1.3", or why it is not.
    pub compared: String,
    /// "3 changed, 1 added, 140 the same".
    pub summary: String,
    /// Why there is no list.
    pub not_shown: Option<String>,
    /// What changed, by group; everything when it is compared with nothing.
    pub groups: Vec<FileGroup>,
    /// What is the same on both sides.
    pub same: Vec<FileRow>,
    /// Files that changed and are not on this page.
    pub left_off: usize,
    /// Files that are the same and are not on this page.
    pub same_left_off: usize,
}

/// Files that are read together.
#[derive(Clone, Debug)]
pub struct FileGroup {
    /// "Runs by itself".
    pub title: &'static str,
    /// Its files.
    pub files: Vec<FileRow>,
}

/// One file of a list.
#[derive(Clone, Debug)]
pub struct FileRow {
    /// What a link to the row ends with; empty for what is the same.
    pub anchor: String,
    /// Its button; `None` for what is the same.
    pub tick: Option<Tick>,
    /// Where it is read.
    pub href: String,
    /// Folder part with the final slash; may be empty.
    pub folder: String,
    /// File name.
    pub name: String,
    /// "moved from src/a.js", "Linux binary"; may be empty.
    pub remark: String,
    /// How it changed; `None` in a list of what is the same or compared with nothing.
    pub status: Option<Badge>,
    /// Rows added and removed, where they were counted.
    pub counts: Option<(u32, u32)>,
    /// "4 KB".
    pub size: String,
    /// "2 findings"; empty without any.
    pub findings: String,
}

/// One file.
#[derive(Debug, Template)]
#[template(path = "pages/file.html")]
pub struct FilePage {
    /// The frame.
    pub layout: Layout,
    /// Which release.
    pub release: ReleaseName,
    /// Name of the artifact.
    pub artifact: String,
    /// Folder part with the final slash; may be empty.
    pub folder: String,
    /// File name.
    pub name: String,
    /// How it changed.
    pub status: Option<Badge>,
    /// Size, format and digest of each side, in words.
    pub facts: Vec<(&'static str, String)>,
    /// Rows added and removed on all pages.
    pub counts: Option<(u32, u32)>,
    /// Difference, whole file, whole file before: words, path, and whether it is this one.
    pub ways: Vec<(&'static str, String, bool)>,
    /// What has to be known about what is shown.
    pub notices: Vec<Notice>,
    /// Among the files that changed; `None` as long as they are not listed, and for what is the same.
    pub reading: Option<Reading>,
    /// The rows.
    pub body: Body,
    /// Where the other pages are.
    pub pager: Option<Pager>,
}

/// What is shown of a file.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing: a notice says why.
    Nothing,
    /// A text; `compared` when there are two.
    Text {
        /// Two versions, or one.
        compared: bool,
        /// The rows.
        pieces: Vec<Piece>,
    },
    /// The first bytes of what is no text: the sign, what it is, and its lines.
    Bytes(Vec<(&'static str, &'static str, Vec<String>)>),
}

/// A stretch of rows.
#[derive(Clone, Debug)]
pub enum Piece {
    /// So much is left out: words, and where it is read.
    Gap(String, Option<Link>),
    /// The same in both, or the only file.
    Same(LineView),
    /// What was removed and what was added in its place.
    Change(Vec<LineView>, Vec<LineView>),
}

/// One row of a file.
#[derive(Clone, Debug, Default)]
pub struct LineView {
    /// Number before; empty without one or within a line.
    pub before: String,
    /// Number after; empty without one or within a line.
    pub after: String,
    /// What a link to the line ends with; empty within a line.
    pub anchor: String,
    /// "from byte 4,000" within a line.
    pub part: String,
    /// Text, whether it changed, whether it is our spelling.
    pub text: Vec<(String, bool, bool)>,
    /// The file ends here without a line break.
    pub unended: bool,
}

/// The other pages of a file.
#[derive(Clone, Debug)]
pub struct Pager {
    /// "Page 2 of 38".
    pub words: String,
    /// First, previous, next and last page, as far as they are others.
    pub links: Vec<Link>,
}
