//! The difference of one file, line by line and word by word, a page at a time (rule S9).
//!
//! Pure: two buffers in, rows out. Every byte of both files is in some row, in order: a line that is
//! too long for a row goes on in the next one, so nothing hides at the end of a line. Work is bounded
//! by the size of the input alone; who calls it keeps the wall clock.

mod rows;
mod segments;
mod words;

use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

use crate::domain::review::diff::{At, Binary, Content, Counts, Kind, Line, Row, TextPage};
use crate::inspect::survey::magic;
use rows::{Part, Parts};
use segments::segments;

/// Largest file of which something is shown, in bytes. 32 MiB: the largest script known is 9 MB, and
/// two of this size fit the child's memory.
pub const FILE_BYTES: u64 = 32 << 20;
/// Most rows of one file that are compared. 300,000: half as many again as the largest script known.
/// Hostile repetition takes longer than anybody waits well below that, and is ended by the caller.
pub const ROWS_MAX: u32 = 300_000;
/// Most rows of one page.
pub const PAGE_ROWS: usize = 1_000;
/// Bytes of a file after which a page ends, so that long rows make a shorter page.
const PAGE_BYTES: usize = 256 << 10;
/// Rows shown before and after what changed.
const CONTEXT: u32 = 3;
/// Below so many rows the algorithm that reads better is used; its worst case is quadratic.
const CAREFUL_ROWS: usize = 4_096;
/// Rows of a large change that are shown removed before the same number is shown added.
const BLOCK_ROWS: u32 = 100;
/// Bytes of what is not text that are shown.
const HEAD_BYTES: usize = 1024;
/// One byte in so many may be no text in a file that is shown as text.
const ODD_SHARE: usize = 10;

/// The difference between two files.
pub fn difference(before: &[u8], after: &[u8], at: At) -> Content {
    if before == after {
        return Content::Same;
    }
    let Some((old, new)) = both(before, after) else {
        return Content::TooManyRows { limit: ROWS_MAX };
    };
    let hunks = compare(&old, &new);
    let counts = count(&hunks);
    let all_steps = steps(&hunks, new.len());
    let sides = Sides { old: &old, new: &new, crlf: all_crlf(before) && all_crlf(after) };
    let pages = Pages::of(all_steps.iter().map(|step| sides.bytes(*step)));
    let row_of = |line| all_steps.iter().position(|step| sides.reaches(*step, line));
    let (page, shown) = pages.at(at, row_of);
    let mut marks = words::Marks::new(&old, &new, &hunks);
    let rows = all_steps[shown].iter().map(|step| sides.row(*step, &mut marks)).collect();
    Content::Text(TextPage {
        rows,
        page: small(page) + 1,
        pages: small(pages.starts.len()),
        rows_total: pages.rows as u64,
        added: counts.added,
        removed: counts.removed,
        folded: [&old, &new].iter().any(|side| side.iter().any(|part| part.from_byte > 0)),
        crlf: sides.crlf,
    })
}

/// How many rows differ; `None` when there are more than are compared.
pub fn counts(before: &[u8], after: &[u8]) -> Option<Counts> {
    let (old, new) = both(before, after)?;
    Some(count(&compare(&old, &new)))
}

/// All of one file.
pub fn whole(bytes: &[u8], at: At) -> Content {
    let crlf = all_crlf(bytes);
    let parts = || Parts::new(bytes);
    let pages = Pages::of(parts().map(|part| part.bytes.len()));
    let (page, shown) = pages.at(at, |line| parts().position(|part| part.line >= line));
    let rows = parts().skip(shown.start).take(shown.len());
    Content::Text(TextPage {
        rows: rows
            .map(|part| Row::Line(line(&part, Kind::Same, (None, Some(part.line)), &[], crlf)))
            .collect(),
        page: small(page) + 1,
        pages: small(pages.starts.len()),
        rows_total: pages.rows as u64,
        added: 0,
        removed: 0,
        folded: parts().any(|part| part.from_byte > 0),
        crlf,
    })
}

/// The first bytes of what is not text.
pub fn binary(before: &[u8], after: &[u8]) -> Content {
    let same = before.iter().zip(after).position(|(a, b)| a != b);
    let shorter = before.len().min(after.len());
    let differs_at = if before.is_empty() || after.is_empty() || before == after {
        None
    } else {
        Some(same.unwrap_or(shorter) as u64)
    };
    Content::Binary(Binary { before: dump(before), after: dump(after), differs_at })
}

/// Whether a file is better read as text: known by no other first bytes, and nearly all of it is
/// characters. A single odd byte in a script does not hide the script.
pub fn reads_as_text(bytes: &[u8], path: &str) -> bool {
    let head = &bytes[..bytes.len().min(magic::HEAD_BYTES)];
    if magic::format(head, path).is_some() {
        return false;
    }
    let odd: usize = bytes
        .utf8_chunks()
        .map(|chunk| {
            let controls = chunk.valid().bytes().filter(|byte| is_control(*byte)).count();
            controls + chunk.invalid().len()
        })
        .sum();
    odd.saturating_mul(ODD_SHARE) <= bytes.len()
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)
}

/// Both files in rows; `None` when one has more than are compared.
fn both<'a>(before: &'a [u8], after: &'a [u8]) -> Option<(Vec<Part<'a>>, Vec<Part<'a>>)> {
    let few = |bytes| {
        let parts: Vec<Part<'_>> = Parts::new(bytes).take(ROWS_MAX as usize + 1).collect();
        (parts.len() <= ROWS_MAX as usize).then_some(parts)
    };
    Some((few(before)?, few(after)?))
}

/// Rows of the baseline that became rows of the candidate.
#[derive(Debug, Clone)]
struct Hunk {
    before: Range<u32>,
    after: Range<u32>,
}

fn compare(old: &[Part<'_>], new: &[Part<'_>]) -> Vec<Hunk> {
    let mut input = InternedInput::default();
    input.reserve(small(old.len()), small(new.len()));
    input.update_before(old.iter().map(|part| part.bytes));
    input.update_after(new.iter().map(|part| part.bytes));
    let careful = old.len().max(new.len()) <= CAREFUL_ROWS;
    let algorithm = if careful { Algorithm::Histogram } else { Algorithm::Myers };
    let mut diff = Diff::compute(algorithm, &input);
    diff.postprocess_lines(&input);
    diff.hunks().map(|hunk| Hunk { before: hunk.before, after: hunk.after }).collect()
}

fn count(hunks: &[Hunk]) -> Counts {
    let mut counts = Counts::default();
    for hunk in hunks {
        counts.added += hunk.after.end - hunk.after.start;
        counts.removed += hunk.before.end - hunk.before.start;
    }
    counts
}

/// One row of the whole difference.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many rows left out, the next one being this row of the candidate.
    Gap(u32, u32),
    /// A row of each.
    Same(u32, u32),
    /// A row of the baseline, of this hunk.
    Removed(u32, usize),
    /// A row of the candidate, of this hunk.
    Added(u32, usize),
}

/// Every row that is shown: what changed, and what stands around it.
fn steps(hunks: &[Hunk], new_rows: usize) -> Vec<Step> {
    let end = small(new_rows);
    let mut steps = Vec::new();
    let (mut before, mut after) = (0, 0);
    for (number, hunk) in hunks.iter().enumerate() {
        let tail = if number == 0 { 0 } else { CONTEXT };
        same(&mut steps, (before, after), hunk.after.start, (tail, CONTEXT));
        blocks(&mut steps, hunk, number);
        (before, after) = (hunk.before.end, hunk.after.end);
    }
    same(&mut steps, (before, after), end, (CONTEXT, 0));
    steps
}

/// The rows from `after` to `end`, which are the same: some at each end, and a gap for the others.
fn same(steps: &mut Vec<Step>, (before, after): (u32, u32), end: u32, shown: (u32, u32)) {
    let rows = end - after;
    let row = |offset: u32| Step::Same(before + offset, after + offset);
    // A gap takes a row itself.
    if rows <= shown.0 + shown.1 + 1 {
        steps.extend((0..rows).map(row));
        return;
    }
    steps.extend((0..shown.0).map(row));
    let left_out = rows - shown.0 - shown.1;
    steps.push(Step::Gap(left_out, after + shown.0));
    steps.extend((rows - shown.1..rows).map(row));
}

/// Removed rows, then added ones; a large change by blocks, so that what replaces what stays near.
fn blocks(steps: &mut Vec<Step>, hunk: &Hunk, number: usize) {
    let (mut removed, mut added) = (hunk.before.clone(), hunk.after.clone());
    while !removed.is_empty() || !added.is_empty() {
        steps.extend(
            removed.by_ref().take(BLOCK_ROWS as usize).map(|row| Step::Removed(row, number)),
        );
        steps.extend(added.by_ref().take(BLOCK_ROWS as usize).map(|row| Step::Added(row, number)));
    }
}

/// Both files, to show steps of.
struct Sides<'a> {
    old: &'a [Part<'a>],
    new: &'a [Part<'a>],
    crlf: bool,
}

impl Sides<'_> {
    fn bytes(&self, step: Step) -> usize {
        match step {
            Step::Gap(..) => 0,
            Step::Removed(row, _) => self.old[row as usize].bytes.len(),
            Step::Same(_, row) | Step::Added(row, _) => self.new[row as usize].bytes.len(),
        }
    }

    /// Whether a step shows this line of the candidate, or leaves it out, or comes after it.
    fn reaches(&self, step: Step, line: u32) -> bool {
        let at = |row: u32| self.new.get(row as usize).map_or(u32::MAX, |part| part.line);
        match step {
            Step::Gap(rows, row) => at(row + rows) > line,
            Step::Same(_, row) | Step::Added(row, _) => at(row) >= line,
            Step::Removed(..) => false,
        }
    }

    fn row(&self, step: Step, marks: &mut words::Marks<'_>) -> Row {
        match step {
            Step::Gap(rows, _) => Row::Gap(rows),
            Step::Same(before, after) => {
                let (old, new) = (&self.old[before as usize], &self.new[after as usize]);
                let lines = (Some(old.line), Some(new.line));
                Row::Line(line(new, Kind::Same, lines, &[], self.crlf))
            }
            Step::Removed(row, hunk) => {
                let part = &self.old[row as usize];
                let changed = marks.removed(hunk, row);
                Row::Line(line(part, Kind::Removed, (Some(part.line), None), changed, self.crlf))
            }
            Step::Added(row, hunk) => {
                let part = &self.new[row as usize];
                let changed = marks.added(hunk, row);
                Row::Line(line(part, Kind::Added, (None, Some(part.line)), changed, self.crlf))
            }
        }
    }
}

fn line(
    part: &Part<'_>,
    kind: Kind,
    (before, after): (Option<u32>, Option<u32>),
    changed: &[Range<usize>],
    crlf: bool,
) -> Line {
    Line {
        kind,
        before,
        after,
        from_byte: part.from_byte,
        text: segments(part.bytes, changed, crlf),
        unended: part.last && !part.bytes.ends_with(b"\n"),
    }
}

/// Rows cut into pages.
struct Pages {
    /// The first row of every page; there is at least one page.
    starts: Vec<usize>,
    /// Rows of all pages.
    rows: usize,
}

impl Pages {
    /// Cuts rows of these lengths, in bytes.
    fn of(lengths: impl Iterator<Item = usize>) -> Self {
        let (mut starts, mut rows, mut bytes) = (vec![0], 0, 0);
        for length in lengths {
            let on_page = rows - starts[starts.len() - 1];
            if on_page == PAGE_ROWS || (on_page > 0 && bytes + length > PAGE_BYTES) {
                starts.push(rows);
                bytes = 0;
            }
            rows += 1;
            bytes += length;
        }
        Self { starts, rows }
    }

    /// The page that is wanted and its rows, the last one when there are fewer. `row_of` finds the
    /// row that shows a line.
    fn at(&self, at: At, row_of: impl FnOnce(u32) -> Option<usize>) -> (usize, Range<usize>) {
        let wanted = match at {
            At::Page(page) => page.saturating_sub(1) as usize,
            At::Line(line) => {
                let row = row_of(line).unwrap_or(self.rows);
                self.starts.partition_point(|start| *start <= row) - 1
            }
        };
        let page = wanted.min(self.starts.len() - 1);
        let end = self.starts.get(page + 1).copied().unwrap_or(self.rows);
        (page, self.starts[page]..end)
    }
}

/// Whether every line ends in CR LF.
fn all_crlf(bytes: &[u8]) -> bool {
    let mut ends = memchr::memchr_iter(b'\n', bytes).peekable();
    ends.peek().is_some() && ends.all(|end| end > 0 && bytes[end - 1] == b'\r')
}

/// `00000010  7f 45 4c 46 02 01 …  .ELF..`, sixteen bytes to a line.
fn dump(bytes: &[u8]) -> Vec<String> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    head.chunks(16)
        .enumerate()
        .map(|(line, chunk)| {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let shown =
                |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
            let text: String = chunk.iter().map(shown).collect();
            format!("{:08x}  {:<47}  {text}", line * 16, hex.join(" "))
        })
        .collect()
}

/// Rows and pages are far fewer than this can hold.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
