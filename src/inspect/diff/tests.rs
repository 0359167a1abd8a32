//! The engine alone: what it shows is what is there, whatever the bytes are.

use proptest::prelude::*;

use super::*;
use crate::domain::review::diff::Segment;

fn text(content: Content) -> TextPage {
    match content {
        Content::Text(page) => page,
        other => panic!("expected text, received {other:?}"),
    }
}

/// Every page of a difference, one after the other.
fn all_pages(show: impl Fn(At) -> Content) -> Vec<Row> {
    let mut rows = Vec::new();
    let pages = text(show(At::Page(1))).pages;
    for number in 1..=pages {
        let page = text(show(At::Page(number)));
        assert_eq!((page.page, page.pages), (number, pages));
        assert!(page.rows.len() <= PAGE_ROWS);
        rows.extend(page.rows);
    }
    rows
}

fn joined(segments: &[Segment]) -> String {
    segments.iter().map(|segment| segment.text.as_str()).collect()
}

/// `-old`, `+new`, ` same`, `@3`; changed words in braces.
fn told(rows: &[Row]) -> Vec<String> {
    let segment = |segment: &Segment| {
        if segment.changed { format!("{{{}}}", segment.text) } else { segment.text.clone() }
    };
    rows.iter()
        .map(|row| match row {
            Row::Gap(rows) => format!("@{rows}"),
            Row::Line(line) => {
                let sign = match line.kind {
                    Kind::Same => ' ',
                    Kind::Removed => '-',
                    Kind::Added => '+',
                };
                format!("{sign}{}", line.text.iter().map(segment).collect::<String>())
            }
        })
        .collect()
}

fn diff(before: &str, after: &str) -> Vec<String> {
    told(&text(difference(before.as_bytes(), after.as_bytes(), At::Page(1))).rows)
}

fn concat(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().concat()
}

fn numbered(lines: std::ops::RangeInclusive<u32>) -> String {
    concat(lines.map(|line| format!("line {line}\n")))
}

/// Rule S9.
#[test]
fn three_lines_stand_around_what_changed_and_the_words_that_changed_are_marked() {
    let before = numbered(1..=20);
    let after = before.replace("line 10\n", "line ten\n");
    assert_eq!(
        diff(&before, &after),
        [
            "@6",
            " line 7",
            " line 8",
            " line 9",
            "-line {10}",
            "+line {ten}",
            " line 11",
            " line 12",
            " line 13",
            "@7"
        ]
    );
}

#[test]
fn two_changes_that_are_near_share_what_stands_between() {
    let before = numbered(1..=12);
    let after = before.replace("line 3\n", "").replace("line 10\n", "line 10\nmore\n");
    let rows = diff(&before, &after);
    assert!(rows.iter().all(|row| !row.starts_with('@')), "{rows:?}");
    let after = before.replace("line 3\n", "").replace("line 11\n", "line 11\nmore\n");
    assert!(diff(&before, &after).contains(&"@2".to_owned()));
}

#[test]
fn lines_that_have_little_in_common_are_changed_as_a_whole() {
    let rows = diff("const a = require('fs');\n", "import os, sys, json\n");
    assert_eq!(rows, ["-const a = require('fs');", "+import os, sys, json"]);
}

#[test]
fn line_numbers_are_those_of_each_file() {
    let page = text(difference(b"a\nb\nc\n", b"x\na\nb\nd\n", At::Page(1)));
    let numbers: Vec<_> = page
        .rows
        .iter()
        .map(|row| match row {
            Row::Line(line) => (line.before, line.after),
            Row::Gap(rows) => panic!("a gap of {rows}"),
        })
        .collect();
    let one = Some(1);
    assert_eq!(
        numbers,
        [(None, one), (one, Some(2)), (Some(2), Some(3)), (Some(3), None), (None, Some(4))]
    );
    assert_eq!((page.added, page.removed), (2, 1));
}

/// Rule S5; rows X04 to X06, X11 and X12 of the bad-input catalogue.
#[test]
fn what_cannot_be_seen_is_spelled_out_and_cannot_be_imitated() {
    let row = |bytes: &[u8]| {
        let page = text(whole(bytes, At::Page(1)));
        match page.rows.as_slice() {
            [Row::Line(line)] => line.text.clone(),
            rows => panic!("{rows:?}"),
        }
    };
    let spelled = |bytes: &[u8]| joined(&row(bytes));
    assert_eq!(spelled("if x: \u{202E}} // \u{2066}".as_bytes()), "if x: ⟦U+202E⟧} // ⟦U+2066⟧");
    assert_eq!(spelled("a\u{200B}b\u{E0041}".as_bytes()), "a⟦U+200B⟧b⟦U+E0041⟧");
    assert_eq!(spelled(b"\x1b[2Jgone\x00"), "⟦U+001B⟧[2Jgone⟦U+0000⟧");
    assert_eq!(spelled(b"caf\xe9\tend"), "caf⟦byte E9⟧\tend");
    assert_eq!(spelled("⟦U+202E⟧".as_bytes()), "⟦U+27E6⟧U+202E⟦U+27E7⟧");
    assert_eq!(spelled(b"one\rtwo\n"), "one⟦U+000D⟧two");
    let tower = format!("a{}", "\u{301}".repeat(400));
    assert!(spelled(tower.as_bytes()).starts_with("a\u{301}\u{301}\u{301}\u{301}⟦U+0301⟧"));
    // Ours and theirs are apart, so that ours can look different.
    let segments = row("a\u{200B}⟦".as_bytes());
    let ours: Vec<bool> = segments.iter().map(|segment| segment.spelled).collect();
    assert_eq!(ours, [false, true]);
}

#[test]
fn a_line_end_that_changed_is_seen_and_one_that_every_line_has_is_not() {
    assert_eq!(diff("a\nb\n", "a\r\nb\n"), ["-a", "+a{⟦U+000D⟧}", " b"]);
    let page = text(difference(b"a\r\nb\r\n", b"a\r\nc\r\n", At::Page(1)));
    assert!(page.crlf);
    assert_eq!(told(&page.rows), [" a", "-b", "+c"]);
    assert_eq!(diff("a\r\nb\r\n", "a\nb\n")[0], "-a{⟦U+000D⟧}");
}

#[test]
fn a_line_break_that_is_missing_at_the_end_is_said() {
    let page = text(difference(b"a\nb\n", b"a\nb", At::Page(1)));
    let unended: Vec<bool> =
        page.rows.iter().map(|row| matches!(row, Row::Line(line) if line.unended)).collect();
    assert_eq!(told(&page.rows), [" a", "-b", "+b"]);
    assert_eq!(unended, [false, false, true]);
}

/// A2: nothing hides at the end of a long line (rows X10, CT-07).
#[test]
fn a_long_line_goes_on_in_further_rows_and_its_change_is_found() {
    let before = concat((0..4_000).map(|n| format!("function f{n}(a){{return a+{n}}};")));
    let at = before.find("function f2000").unwrap();
    let after = format!("{}fetch(\"evil\");{}", &before[..at], &before[at..]);
    let page = text(difference(before.as_bytes(), after.as_bytes(), At::Page(1)));
    assert!(page.folded);
    assert_eq!(page.pages, 1, "what did not change is left out: {}", page.rows_total);
    let shown = told(&page.rows).join("\n");
    assert!(shown.contains("fetch"), "{shown}");
    assert!(page.added <= 3 && page.removed <= 3, "+{} -{}", page.added, page.removed);
    let Some(Row::Line(line)) = page.rows.iter().find(|row| matches!(row, Row::Line(_))) else {
        panic!("no line");
    };
    assert_eq!(line.after, Some(1));
    assert!(line.from_byte > 40_000, "{}", line.from_byte);
}

#[test]
fn the_page_of_a_line_can_be_asked_for() {
    let bytes = numbered(1..=5_500);
    for line in [1, 1_000, 1_001, 5_500] {
        let page = text(whole(bytes.as_bytes(), At::Line(line)));
        assert!(told(&page.rows).contains(&format!(" line {line}")), "{line} on {}", page.page);
    }
    assert_eq!(text(whole(bytes.as_bytes(), At::Line(9_999))).page, 6);
    assert_eq!(text(whole(bytes.as_bytes(), At::Page(0))).page, 1);
    assert_eq!(text(whole(bytes.as_bytes(), At::Page(77))).page, 6);

    let after = concat(bytes.lines().map(|line| format!("{line}!\n")));
    let both = |at| text(difference(bytes.as_bytes(), after.as_bytes(), at));
    assert_eq!(both(At::Page(1)).pages, 11);
    for line in [1, 700, 5_500] {
        let page = both(At::Line(line));
        let found = page.rows.iter().any(
            |row| matches!(row, Row::Line(row) if row.kind == Kind::Added && row.after == Some(line)),
        );
        assert!(found, "{line} on {}", page.page);
    }
    // A line that did not change is not shown; what comes after it is.
    let one = bytes.replace("line 5000\n", "line 5k\n");
    let page = text(difference(bytes.as_bytes(), one.as_bytes(), At::Line(40)));
    assert!(told(&page.rows).contains(&"+line {5k}".to_owned()));
}

#[test]
fn what_is_no_text_is_shown_by_its_first_bytes() {
    assert!(reads_as_text(b"import os\n", "a.py"));
    assert!(reads_as_text(b"", "empty"));
    assert!(reads_as_text(b"console.log('a long enough line\x00')\n", "a.js"));
    assert!(!reads_as_text(b"\x7fELF\x02\x01\x01", "a.txt"));
    assert!(!reads_as_text("a\0b\0c\0".as_bytes(), "utf16.txt"));
    let Content::Binary(shown) = binary(b"\x7fELF\x02\x01", b"\x7fELF\x02\x02") else {
        panic!("no binary");
    };
    assert_eq!(shown.differs_at, Some(5));
    let hex = "7f 45 4c 46 02 01                              ";
    assert_eq!(shown.before, [format!("00000000  {hex}  .ELF..")]);
    let Content::Binary(long) = binary(&[7; 5_000], &[7; 5_001]) else { panic!("no binary") };
    assert_eq!((long.before.len(), long.differs_at), (64, Some(5_000)));
}

#[test]
fn more_rows_than_are_compared_are_not_compared_and_can_be_read() {
    let many = b"\n".repeat(ROWS_MAX as usize + 1);
    let answer = difference(&many, b"a\n", At::Page(1));
    assert_eq!(answer, Content::TooManyRows { limit: ROWS_MAX });
    assert_eq!(counts(&many, b"a\n"), None);
    let page = text(whole(&many, At::Page(2)));
    assert_eq!((page.rows.len(), page.rows_total), (PAGE_ROWS, many.len() as u64));
}

#[test]
fn long_rows_make_a_shorter_page() {
    let line = format!("{}\n", "x".repeat(1_900));
    let page = text(whole(line.repeat(1_000).as_bytes(), At::Page(1)));
    assert_eq!((page.pages, page.rows.len()), (8, PAGE_BYTES / line.len()));
}

/// Rule S9: what repeats most and what shares nothing. The time is bounded by the number of rows;
/// what is larger than this can take longer than its caller waits.
#[test]
fn the_worst_inputs_take_no_longer_than_their_size_allows() {
    let rows = 10_000;
    let of = |line: &dyn Fn(u32) -> String| (0..rows).map(line).collect::<String>();
    let same = of(&|_| "}\n".to_owned());
    let pairs = of(&|row| format!("{}\n", row % 2));
    let few = of(&|row| format!("{}\n", row.wrapping_mul(2_654_435_761) >> 28));
    let other = of(&|row| format!("{}\n", row.wrapping_mul(2_246_822_519) >> 28));
    let forth = of(&|row| format!("{row}\n"));
    let back = of(&|row| format!("{}\n", rows - row));
    for (before, after) in [
        (&same, &format!("{same}}}\n")),
        (&same, &pairs),
        (&few, &other),
        (&forth, &back),
        (&pairs, &few),
    ] {
        let begun = std::time::Instant::now();
        text(difference(before.as_bytes(), after.as_bytes(), At::Page(1)));
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}

/// Applies a difference to the baseline, from the rows alone.
fn apply(before: &[u8], rows: &[Row]) -> Vec<String> {
    let old: Vec<Part<'_>> = Parts::new(before).collect();
    let spell = |part: &Part<'_>| joined(&segments(part.bytes, &[], false));
    let mut at = 0;
    let mut made = Vec::new();
    for row in rows {
        match row {
            Row::Gap(rows) => {
                made.extend(old[at..at + *rows as usize].iter().map(spell));
                at += *rows as usize;
            }
            Row::Line(line) => {
                let shown = joined(&line.text);
                if line.kind != Kind::Added {
                    assert_eq!(shown, spell(&old[at]), "row {at} of the baseline");
                    assert_eq!(line.before, Some(old[at].line));
                    at += 1;
                }
                if line.kind != Kind::Removed {
                    made.push(shown);
                }
            }
        }
    }
    assert_eq!(at, old.len(), "every row of the baseline is accounted for");
    made
}

fn lines_of(alphabet: &'static str, most: usize) -> impl Strategy<Value = Vec<u8>> {
    let line = proptest::string::string_regex(alphabet).unwrap();
    prop::collection::vec(line, 0..most).prop_map(|lines| lines.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn applying_the_difference_to_the_old_file_gives_the_new_one(
        before in lines_of("(a|b|c x|d; |\u{202E}|é)?\n?", 60),
        after in lines_of("(a|b|c x|d; |\u{200B}|\r)?\n?", 60),
    ) {
        prop_assume!(before != after);
        let crlf = all_crlf(&before) && all_crlf(&after);
        let rows = all_pages(|at| difference(&before, &after, at));
        let expected: Vec<String> =
            Parts::new(&after).map(|part| joined(&segments(part.bytes, &[], crlf))).collect();
        if !crlf {
            prop_assert_eq!(apply(&before, &rows), expected);
        }
    }

    #[test]
    fn every_byte_is_in_one_row(bytes in prop::collection::vec(any::<u8>(), 0..9_000), line in 0..9_u32) {
        let rows: Vec<Part<'_>> = Parts::new(&bytes).collect();
        prop_assert_eq!(rows.iter().flat_map(|row| row.bytes.to_vec()).collect::<Vec<u8>>(), bytes.clone());
        prop_assert!(rows.iter().all(|row| !row.bytes.is_empty() && row.bytes.len() <= 2_001));
        // Any bytes at all: nothing panics, and nothing that hides leaves.
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        let shown = serde_json::to_string(&difference(half, rest, At::Line(line))).unwrap();
        let hidden = ['\u{202E}', '\u{200B}', '\0', '\x1b'];
        prop_assert!(!shown.contains(hidden));
        binary(half, rest);
        reads_as_text(&bytes, "a");
        whole(&bytes, At::Line(line));
    }

    #[test]
    fn long_lines_are_applied_too(
        before in lines_of("[a-c;,é ]{0,900}\n?", 8),
        insert in lines_of("[x;,]{0,400}", 2),
        share in 0..100_usize,
    ) {
        let mut at = before.len() * share / 100;
        while at < before.len() && before[at] & 0xc0 == 0x80 { at += 1; }
        let after = [&before[..at], &insert, &before[at..]].concat();
        prop_assume!(before != after);
        let rows = all_pages(|at| difference(&before, &after, at));
        let expected: Vec<String> =
            Parts::new(&after).map(|part| joined(&segments(part.bytes, &[], false))).collect();
        prop_assert_eq!(apply(&before, &rows), expected);
    }
}
