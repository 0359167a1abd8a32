//! CT and AR: what files are made of.

use super::finding;
use crate::domain::review::delta::Comparison;
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::survey::{Format, Mark, Sort, SurveyedFile};

pub(super) const CHECKS: &[Check] =
    &[BINARY, DISGUISE, SIZE, MINIFIED, OFF_SCREEN, OBFUSCATED, BIDI, INVISIBLE, SECRET];

const BINARY: Check = Check {
    id: "CT-01",
    title: "A binary that was not there before",
    why: "Nobody can read what it does, and no source in the package explains it.",
};
const DISGUISE: Check = Check {
    id: "CT-03",
    title: "A file that is not what its name says",
    why: "Programs hide where nobody looks for them.",
};
const SIZE: Check = Check {
    id: "CT-05",
    title: "The package grew",
    why: "Something large came in; it should be something you expect.",
};
const MINIFIED: Check = Check {
    id: "CT-06",
    title: "Text that people cannot read",
    why: "A reviewer sees one long line, whatever it does.",
};
const OFF_SCREEN: Check = Check {
    id: "CT-07",
    title: "Code far to the right, off the screen",
    why: "It is there to be overlooked.",
};
const OBFUSCATED: Check = Check {
    id: "CT-08",
    title: "Code that hides what it does",
    why: "Honest code rarely decodes text and runs it.",
};
const BIDI: Check = Check {
    id: "CT-10",
    title: "Characters that reorder what is shown",
    why: "What people read and what runs are not the same text.",
};
const INVISIBLE: Check = Check {
    id: "CT-11",
    title: "Characters that are not shown",
    why: "A program can read them, and nobody else can.",
};
const SECRET: Check = Check {
    id: "AR-08",
    title: "A secret in clear",
    why: "Everybody who downloads the package has it.",
};

/// Marks that are findings by themselves, and how grave they are when they are new.
const MARKED: [(Sort, &Check, Severity); 5] = [
    (Sort::OffScreen, &OFF_SCREEN, Severity::Block),
    (Sort::Obfuscated, &OBFUSCATED, Severity::Block),
    (Sort::Bidi, &BIDI, Severity::Block),
    (Sort::Invisible, &INVISIBLE, Severity::Block),
    (Sort::Secret, &SECRET, Severity::Block),
];

/// A line of at least this many bytes is not one that people write.
const UNREADABLE_LINE_BYTES: u64 = 5_000;
/// Growth below this many bytes is nothing to speak of, whatever part of the whole it is.
const GROWTH_MIN_BYTES: u64 = 256 * 1024;
/// Growth by less than this part of the whole is not, either: three in ten.
const GROWTH_TENTHS: u64 = 13;

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    for (before, file, since) in comparison.arrivals() {
        binary(before, file, since, found);
        minified(before, file, since, found);
        for (sort, check, severity) in MARKED {
            marked((before, file), sort, (check, severity, since), found);
        }
    }
    size(comparison, found);
}

fn binary(
    before: Option<&SurveyedFile>,
    file: &SurveyedFile,
    since: Since,
    found: &mut Vec<Finding>,
) {
    let was = before.map(|before| before.format);
    if file.format.is_executable() && was != Some(file.format) {
        let evidence = format!("{}, {} bytes", file.format.words(), file.size_bytes);
        found.push(finding(&BINARY, Severity::Look, since, &evidence).at(file, None));
    }
    if was != Some(file.format) && is_disguised(file) {
        let evidence = format!("it is a {}", file.format.words());
        found.push(finding(&DISGUISE, Severity::Block, since, &evidence).at(file, None));
    }
}

/// Whether the name says text or picture and the bytes say program or archive.
fn is_disguised(file: &SurveyedFile) -> bool {
    const HARMLESS: [&str; 16] = [
        "txt", "md", "rst", "json", "js", "ts", "py", "css", "html", "svg", "png", "jpg", "jpeg",
        "gif", "ico", "map",
    ];
    let runs = file.format.is_executable() || file.format == Format::Archive;
    let extension = file.place.rsplit_once('.').map(|(_, ext)| ext.to_ascii_lowercase());
    runs && extension.is_some_and(|extension| HARMLESS.contains(&extension.as_str()))
}

fn minified(
    before: Option<&SurveyedFile>,
    file: &SurveyedFile,
    since: Since,
    found: &mut Vec<Finding>,
) {
    let is_code = ["js", "mjs", "cjs", "py", "ts"]
        .iter()
        .any(|code| file.place.rsplit_once('.').is_some_and(|(_, ext)| ext == *code));
    let long = |file: &SurveyedFile| file.longest_line >= UNREADABLE_LINE_BYTES;
    if is_code && long(file) && !before.is_some_and(long) {
        let evidence = format!("a line of {} bytes", file.longest_line);
        found.push(finding(&MINIFIED, Severity::Look, since, &evidence).at(file, None));
    }
}

/// The first mark of a sort that the file did not have before.
fn marked(
    (before, file): (Option<&SurveyedFile>, &SurveyedFile),
    sort: Sort,
    (check, severity, since): (&'static Check, Severity, Since),
    found: &mut Vec<Finding>,
) {
    let had = |mark: &Mark| {
        before.is_some_and(|before| {
            before.marks.iter().any(|old| old.sort == sort && old.excerpt == mark.excerpt)
        })
    };
    let of_sort = file.marks.iter().filter(|mark| mark.sort == sort);
    let mut fresh = of_sort.filter(|mark| !had(mark));
    if let Some(mark) = fresh.next() {
        found.push(finding(check, severity, since, &mark.excerpt).at(file, Some(mark.line)));
    }
}

fn size(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let (before, after) = (baseline.unpacked_bytes(), comparison.candidate.unpacked_bytes());
    let grew = after.saturating_sub(before);
    if grew >= GROWTH_MIN_BYTES && after.saturating_mul(10) > before.saturating_mul(GROWTH_TENTHS) {
        let evidence = format!("{before} → {after} bytes");
        found.push(finding(&SIZE, Severity::Look, Since::Changed, &evidence));
    }
}
