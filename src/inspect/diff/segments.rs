//! A row of bytes as text that hides nothing (rule S5).

use std::ops::Range;

use crate::domain::review::diff::Segment;
use crate::domain::visible::{Spelling, imitates, spelled_out};

/// The text of a row without its line break. `changed` are ranges of its bytes, in order. Tabs stay;
/// with `crlf` the CR before the line break is no text either.
pub(super) fn segments(row: &[u8], changed: &[Range<usize>], crlf: bool) -> Vec<Segment> {
    let row = row
        .strip_suffix(b"\n")
        .map_or(row, |line| if crlf { line.strip_suffix(b"\r").unwrap_or(line) } else { line });
    let mut written = Written { segments: Vec::new(), changed, at: 0 };
    let mut spelling = Spelling::default();
    for chunk in row.utf8_chunks() {
        for character in chunk.valid().chars() {
            let tab = character == '\t';
            if (spelling.spells_out(character) && !tab) || imitates(character) {
                written.push(&spelled_out(character), character.len_utf8(), true);
            } else {
                written.push(character.encode_utf8(&mut [0; 4]), character.len_utf8(), false);
            }
        }
        for byte in chunk.invalid() {
            written.push(&format!("⟦byte {byte:02X}⟧"), 1, true);
        }
    }
    written.segments
}

struct Written<'a> {
    segments: Vec<Segment>,
    changed: &'a [Range<usize>],
    /// Byte of the row that comes next.
    at: usize,
}

impl Written<'_> {
    fn push(&mut self, text: &str, bytes: usize, spelled: bool) {
        while self.changed.first().is_some_and(|range| range.end <= self.at) {
            self.changed = &self.changed[1..];
        }
        let changed = self.changed.first().is_some_and(|range| range.contains(&self.at));
        self.at += bytes;
        match self.segments.last_mut() {
            Some(last) if last.changed == changed && last.spelled == spelled => {
                last.text.push_str(text);
            }
            _ => self.segments.push(Segment { text: text.to_owned(), changed, spelled }),
        }
    }
}
