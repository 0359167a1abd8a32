//! Which words differ inside lines that changed.

use std::collections::BTreeMap;
use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

use super::Hunk;
use super::rows::Part;

/// Most rows of one side of a change whose words are compared.
const WORDS_ROWS: usize = 200;
/// Most bytes of one side of a change whose words are compared.
const WORDS_BYTES: usize = 64 << 10;
/// When less than one part in so many of the text stays, all of it is another text, and no word is
/// marked.
const KEPT_SHARE: usize = 3;

/// Changed stretches by row, for as many hunks as are shown.
pub(super) struct Marks<'a> {
    old: &'a [Part<'a>],
    new: &'a [Part<'a>],
    hunks: &'a [Hunk],
    known: BTreeMap<usize, [Vec<Vec<Range<usize>>>; 2]>,
}

impl<'a> Marks<'a> {
    pub(super) const fn new(old: &'a [Part<'a>], new: &'a [Part<'a>], hunks: &'a [Hunk]) -> Self {
        Self { old, new, hunks, known: BTreeMap::new() }
    }

    /// What the candidate does not have of a row of the baseline.
    pub(super) fn removed(&mut self, hunk: usize, row: u32) -> &[Range<usize>] {
        let first = self.hunks[hunk].before.start;
        self.of(hunk)[0].get((row - first) as usize).map_or(&[], Vec::as_slice)
    }

    /// What the baseline does not have of a row of the candidate.
    pub(super) fn added(&mut self, hunk: usize, row: u32) -> &[Range<usize>] {
        let first = self.hunks[hunk].after.start;
        self.of(hunk)[1].get((row - first) as usize).map_or(&[], Vec::as_slice)
    }

    fn of(&mut self, number: usize) -> &[Vec<Vec<Range<usize>>>; 2] {
        let hunk = &self.hunks[number];
        let side = |parts: &'a [Part<'a>], range: &Range<u32>| {
            &parts[range.start as usize..range.end as usize]
        };
        let (old, new) = (side(self.old, &hunk.before), side(self.new, &hunk.after));
        self.known.entry(number).or_insert_with(|| marks(old, new))
    }
}

/// Stretches of every row of a change that the other side does not have.
fn marks(old: &[Part<'_>], new: &[Part<'_>]) -> [Vec<Vec<Range<usize>>>; 2] {
    let bytes = |parts: &[Part<'_>]| parts.iter().map(|part| part.bytes.len()).sum::<usize>();
    let few = |parts: &[Part<'_>]| {
        !parts.is_empty() && parts.len() <= WORDS_ROWS && bytes(parts) <= WORDS_BYTES
    };
    if !few(old) || !few(new) {
        return [Vec::new(), Vec::new()];
    }
    let (before, after) = (words(old), words(new));
    let mut input = InternedInput::default();
    input.update_before(before.iter().map(|word| word.text));
    input.update_after(after.iter().map(|word| word.text));
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_no_heuristic(&input);
    let removed = |word: usize| diff.is_removed(index(word));
    let added = |word: usize| diff.is_added(index(word));
    if !much_is_kept(&before, removed, bytes(old)) && !much_is_kept(&after, added, bytes(new)) {
        return [Vec::new(), Vec::new()];
    }
    [ranges(&before, old.len(), removed), ranges(&after, new.len(), added)]
}

fn index(word: usize) -> u32 {
    u32::try_from(word).unwrap_or(u32::MAX)
}

/// A word, a run of blanks, or any other byte.
struct Word<'a> {
    text: &'a [u8],
    row: usize,
    start: usize,
}

impl Word<'_> {
    fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }
}

fn words<'a>(parts: &[Part<'a>]) -> Vec<Word<'a>> {
    let mut words = Vec::new();
    for (row, part) in parts.iter().enumerate() {
        let mut start = 0;
        while start < part.bytes.len() {
            let rest = &part.bytes[start..];
            let length = match sort(rest[0]) {
                Sort::Other => 1,
                same => rest.iter().take_while(|byte| sort(**byte) == same).count(),
            };
            words.push(Word { text: &rest[..length], row, start });
            start += length;
        }
    }
    words
}

#[derive(PartialEq, Eq)]
enum Sort {
    Letter,
    Blank,
    Other,
}

/// Bytes of characters beyond ASCII belong together: no mark begins inside a character.
const fn sort(byte: u8) -> Sort {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | 0x80.. => Sort::Letter,
        b' ' | b'\t' => Sort::Blank,
        _ => Sort::Other,
    }
}

fn much_is_kept(words: &[Word<'_>], changed: impl Fn(usize) -> bool, bytes: usize) -> bool {
    let kept = words.iter().enumerate().filter(|(at, word)| !changed(*at) && !word.is_blank());
    kept.map(|(_, word)| word.text.len()).sum::<usize>() * KEPT_SHARE >= bytes
}

/// The changed words of each row as stretches; blanks between two changed words belong to them.
fn ranges(
    words: &[Word<'_>],
    rows: usize,
    changed: impl Fn(usize) -> bool,
) -> Vec<Vec<Range<usize>>> {
    let mut ranges: Vec<Vec<Range<usize>>> = vec![Vec::new(); rows];
    for (at, word) in words.iter().enumerate() {
        let between = word.is_blank()
            && at > 0
            && changed(at - 1)
            && words.get(at + 1).is_some_and(|next| next.row == word.row && changed(at + 1));
        if !changed(at) && !between {
            continue;
        }
        let end = word.start + word.text.len();
        match ranges[word.row].last_mut() {
            Some(last) if last.end == word.start => last.end = end,
            _ => ranges[word.row].push(word.start..end),
        }
    }
    ranges
}
