//! One file of an artifact as it is read: its difference from the baseline's, or all of it, a page
//! at a time.
//!
//! `inspect::diff` makes these from bytes, in the child; pages and the command line show them. Text
//! is already spelled out (rule S5): whoever shows it escapes it for its medium and nothing more.
//! What CI claimed beside what the file says is something else (`inspect::difference`).

use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;
use crate::domain::review::survey::Format;

/// A file of the candidate, the same file of the baseline, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// The baseline's file; `None` when it has none there, or when there is no baseline.
    pub before: Option<Side>,
    /// The candidate's file; `None` when it has none there.
    pub after: Option<Side>,
    /// What is shown of it.
    pub content: Content,
}

/// One of the two files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Where it is in its artifact, as `SurveyedFile::path` says it.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Digest of the content; `None` when it is too large to be read here.
    pub sha256: Option<Sha256>,
    /// What it is by its content.
    pub format: Format,
    /// Whether the archive says that it is run as a program.
    pub executable: bool,
}

/// What is shown of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Both files have the same bytes, and only the difference was asked for.
    Same,
    /// A page of text.
    Text(TextPage),
    /// The first bytes of what is not text.
    Binary(Binary),
    /// Nothing, because it is larger than this many bytes.
    TooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// Nothing, because it has more rows than are compared. Each of the two can still be read whole.
    TooManyRows {
        /// The bound.
        limit: u32,
    },
}

/// One page of the rows of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextPage {
    /// The rows of this page.
    pub rows: Vec<Row>,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many there are; at least 1.
    pub pages: u32,
    /// Rows of all pages.
    pub rows_total: u64,
    /// Rows that only the candidate has, on all pages.
    pub added: u32,
    /// Rows that only the baseline has, on all pages.
    pub removed: u32,
    /// Lines were too long for a row and go on in further ones; rows are counted, not lines.
    pub folded: bool,
    /// Every line of both files ends in CR LF, so the CR is not spelled out.
    pub crlf: bool,
}

/// One row of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// So many rows are the same in both files and left out.
    Gap(u32),
    /// A line, or a part of a long one.
    Line(Line),
}

/// A line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whether it is in both files.
    pub kind: Kind,
    /// Number of the line in the baseline's file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// Number of the line in the candidate's file, from 1; in the only file, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// Byte of the line with which this part begins; 0 at the start of a line.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub from_byte: u32,
    /// Its text, without the line break.
    pub text: Vec<Segment>,
    /// The file ends here without a line break.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unended: bool,
}

/// Which of the two files a line is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both, or there is only one file.
    Same,
    /// The baseline's alone.
    Removed,
    /// The candidate's alone.
    Added,
}

/// A stretch of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The text, safe to show but for the escaping of its medium.
    pub text: String,
    /// Only one of the two files has these words.
    #[serde(default, skip_serializing_if = "is_false")]
    pub changed: bool,
    /// It is our spelling of characters that cannot be seen, or of bytes that are no text.
    #[serde(default, skip_serializing_if = "is_false")]
    pub spelled: bool,
}

/// What is not text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// First bytes of the baseline's file: offset, hexadecimal and ASCII, sixteen bytes to a line.
    pub before: Vec<String>,
    /// The same of the candidate's.
    pub after: Vec<String>,
    /// The first byte at which the two differ, from 0.
    pub differs_at: Option<u64>,
}

/// Which rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Those of a page, from 1; the last page when there are fewer.
    Page(u32),
    /// Those of the page with this line of the candidate's file, or of the baseline's when there is no
    /// other. A line that is left out of a difference leads to what comes after it.
    Line(u32),
}

/// Which file is wanted, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its place in both artifacts.
    pub place: String,
    /// Its place in the baseline, when it was elsewhere there.
    pub from: Option<String>,
    /// Which rows.
    pub at: At,
    /// As text, whatever its first bytes are.
    pub as_text: bool,
}

/// How the rows of one difference are counted, for the command line and for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that only the candidate has.
    pub added: u32,
    /// Rows that only the baseline has.
    pub removed: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}
