//! Text cut into rows: a line is a row, and a line that is too long for one is several.

use std::ops::Range;

/// Longest line that is one row, in bytes (rule S9); people do not write longer ones.
const LINE_BYTES: usize = 2_000;
/// Shortest and longest part of a long line, in bytes, where one may end between.
const PART_BYTES: Range<usize> = 60..240;
/// Bytes before the end of a part that decide whether it ends there.
const SEEN_BYTES: usize = 16;

/// A row: a line with its line break, or a part of a long one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// What it holds.
    pub(super) bytes: &'a [u8],
    /// Number of the line, from 1.
    pub(super) line: u32,
    /// Byte of the line with which it begins.
    pub(super) from_byte: u32,
    /// Nothing comes after it.
    pub(super) last: bool,
}

/// The rows of a text, in order. Together they are the text.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a> {
    left: &'a [u8],
    /// Bytes of the current line not given yet, when it is a long one.
    long: usize,
    line: u32,
    from_byte: usize,
}

impl<'a> Parts<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, long: 0, line: 0, from_byte: 0 }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.left.is_empty() {
            return None;
        }
        if self.long == 0 {
            self.long = memchr::memchr(b'\n', self.left).map_or(self.left.len(), |end| end + 1);
            self.from_byte = 0;
            self.line = self.line.saturating_add(1);
        }
        let short = self.from_byte == 0 && self.long <= LINE_BYTES;
        let length = if short { self.long } else { part(&self.left[..self.long]) };
        let (bytes, left) = self.left.split_at(length);
        let from_byte = u32::try_from(self.from_byte).unwrap_or(u32::MAX);
        self.left = left;
        self.long -= length;
        self.from_byte += length;
        Some(Part { bytes, line: self.line, from_byte, last: left.is_empty() })
    }
}

/// Length of the first part of a long line: to a byte that ends a statement, an item or a word, and
/// never through the middle of a character. Of several such bytes the text itself chooses, by the
/// smallest hash of what stands before: two versions of a line fall into the same parts again soon
/// after they differ.
fn part(line: &[u8]) -> usize {
    let most = line.len().min(LINE_BYTES);
    let suits = |at: &usize| matches!(line[at - 1], b';' | b'{' | b'}' | b',' | b'>' | b' ');
    let window = PART_BYTES.start.min(most)..PART_BYTES.end.min(most);
    let chosen = window.filter(suits).min_by_key(|at| hash(&line[at - SEEN_BYTES..*at]));
    if let Some(end) = chosen.or_else(|| (PART_BYTES.end.min(most)..most).find(suits)) {
        // A line break alone makes no row.
        return if line[end..] == *b"\n" { line.len() } else { end };
    }
    if most == line.len() {
        return most;
    }
    let inside = |at: &usize| line[*at] & 0xc0 == 0x80;
    (most - 3..=most).rev().find(|at| !inside(at)).unwrap_or(most)
}

/// FNV-1a; no secret, and nothing depends on it but where a row ends.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
