//! CT and AR: what files are made of.

use std::collections::BTreeMap;

use crate::domain::review::delta::{Arrival, Comparison};
use crate::domain::review::finding::{Check, Finding, Severity, Since};
use crate::domain::review::path;
use crate::domain::review::survey::{Format, Mark, Sort, SurveyedFile};

pub(super) const CHECKS: &[Check] = &[
    BINARY, REBUILT, DISGUISE, SIZE, MINIFIED, OFF_SCREEN, OBFUSCATED, OPAQUE, BIDI, INVISIBLE,
    CONFUSABLE, SECRET,
];

const BINARY: Check = Check {
    id: "CT-01",
    title: "A binary that was not there before",
    why: "Nobody can read what it does, and no source in the package explains it.",
};
const REBUILT: Check = Check {
    id: "CT-02",
    title: "A binary that changed",
    why: "It was built again; where no code changed, nobody can say from what.",
};
const DISGUISE: Check = Check {
    id: "CT-03",
    title: "A file that is not what its name says, or holds other files",
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
const OPAQUE: Check = Check {
    id: "CT-09",
    title: "A file of unknown format",
    why: "Nobody can read it, and code can turn it into anything.",
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
const CONFUSABLE: Check = Check {
    id: "CT-12",
    title: "A word of letters of two alphabets that look alike",
    why: "It reads like another name and is not that name.",
};
const SECRET: Check = Check {
    id: "AR-08",
    title: "A secret in clear, or a file that usually has one",
    why: "Everybody who downloads the package has it.",
};

/// Marks that are findings by themselves, and how grave they are when they are new.
const MARKED: [(Sort, &Check, Severity); 6] = [
    (Sort::OffScreen, &OFF_SCREEN, Severity::Block),
    (Sort::Obfuscated, &OBFUSCATED, Severity::Block),
    (Sort::Bidi, &BIDI, Severity::Block),
    (Sort::Invisible, &INVISIBLE, Severity::Block),
    (Sort::Confusable, &CONFUSABLE, Severity::Look),
    (Sort::Secret, &SECRET, Severity::Block),
];

/// A line of at least this many bytes is not one that people write.
const UNREADABLE_LINE_BYTES: u64 = 5_000;
/// Growth below this many bytes is nothing to speak of, whatever part of the whole it is.
const GROWTH_MIN_BYTES: u64 = 256 * 1024;
/// A text file of code of this size is a bundle, or a payload.
const BUNDLE_MIN_BYTES: u64 = 256 * 1024;
/// Growth by less than this part of the whole is not, either: three in ten.
const GROWTH_TENTHS: u64 = 13;

pub(super) fn look(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    for arrival in comparison.arrivals() {
        binary(arrival, found);
        private(arrival, found);
        bundle(arrival, found);
        minified(comparison, arrival, found);
        marked(arrival, found);
    }
    opaque(comparison, found);
    rebuilt(comparison, found);
    size(comparison, found);
}

/// Whether the baseline has a file of this format and ending anywhere.
fn is_usual(comparison: &Comparison<'_>, file: &SurveyedFile) -> bool {
    let ending = |file: &SurveyedFile| extension(file).map(str::to_ascii_lowercase);
    let files = comparison.baseline.into_iter().flat_map(|survey| &survey.files);
    files.into_iter().any(|old| old.format == file.format && ending(old) == ending(file))
}

fn extension(file: &SurveyedFile) -> Option<&str> {
    path::name(&file.place).rsplit_once('.').map(|(_, extension)| extension)
}

/// New data that nobody can read, of no known format or packed: once for every ending. A package
/// that always came with such files goes on doing so.
fn opaque(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let mut sorts: BTreeMap<_, Vec<&SurveyedFile>> = BTreeMap::new();
    for Arrival { before, file, .. } in comparison.arrivals() {
        let unread = matches!(file.format, Format::Opaque | Format::Archive);
        if unread && before.is_none() && !is_disguised(file) && !is_usual(comparison, file) {
            let ending = extension(file).map(str::to_ascii_lowercase);
            sorts.entry((file.format, ending)).or_default().push(file);
        }
    }
    let first_release = comparison.baseline.is_none();
    for ((format, _), files) in sorts {
        let Some(first) = files.first() else { continue };
        let (check, words) = match format {
            Format::Archive => (&DISGUISE, "archives inside the package"),
            _ => (&OPAQUE, "of no known format"),
        };
        let bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
        let evidence = format!("{} file(s) {words}, {bytes} bytes", files.len());
        let severity = if first_release { Severity::Note } else { Severity::Look };
        found.push(
            Finding::new(check, severity, comparison.since_new(), &evidence).at(&first.path, None),
        );
    }
}

/// Files of somebody's own machine that seldom belong into a package.
fn private(Arrival { before, file, since }: Arrival<'_>, found: &mut Vec<Finding>) {
    const NAMES: [&str; 9] = [
        ".npmrc",
        ".pypirc",
        ".netrc",
        ".env",
        ".envrc",
        ".git-credentials",
        "id_rsa",
        "id_ed25519",
        "credentials.json",
    ];
    let name = path::name(&file.place);
    let repository = file.place.starts_with(".git/") || file.place.contains("/.git/");
    let is_private = NAMES.contains(&name) || name.starts_with(".env.") || repository;
    if is_private && before.is_none() {
        let said = Finding::new(&SECRET, Severity::Look, since, "a file of somebody's own machine");
        found.push(said.at(&file.path, None));
    }
}

/// A new file of code that is larger than people write.
fn bundle(Arrival { before, file, since }: Arrival<'_>, found: &mut Vec<Finding>) {
    if before.is_none() && file.code.is_some() && file.size_bytes >= BUNDLE_MIN_BYTES {
        let evidence = format!("a new file of {} bytes", file.size_bytes);
        // In a first release everything is new.
        let first = since == Since::FirstRelease;
        let severity = if first { Severity::Note } else { Severity::Look };
        found.push(Finding::new(&SIZE, severity, since, &evidence).at(&file.path, None));
    }
}

/// Binaries with other bytes than before, in one line; more when nothing they are made of changed.
fn rebuilt(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let again: Vec<&SurveyedFile> = comparison
        .arrivals()
        .filter(|Arrival { before, file, .. }| {
            file.format.is_executable() && before.is_some_and(|b| b.format == file.format)
        })
        .map(|arrival| arrival.file)
        .collect();
    let Some(first) = again.first() else { return };
    let code_changed = comparison.arrivals().any(|arrival| arrival.file.code.is_some());
    let severity = if code_changed { Severity::Note } else { Severity::Look };
    let evidence = format!("{} binaries with other bytes", again.len());
    found.push(Finding::new(&REBUILT, severity, Since::Changed, &evidence).at(&first.path, None));
}

fn binary(Arrival { before, file, since }: Arrival<'_>, found: &mut Vec<Finding>) {
    let was = before.map(|before| before.format);
    if file.format.is_executable() && was != Some(file.format) {
        let evidence = format!("{}, {} bytes", file.format.words(), file.size_bytes);
        found.push(Finding::new(&BINARY, Severity::Look, since, &evidence).at(&file.path, None));
    }
    if was != Some(file.format) && is_disguised(file) {
        let evidence = format!("it is a {}", file.format.words());
        found.push(Finding::new(&DISGUISE, Severity::Block, since, &evidence).at(&file.path, None));
    }
}

/// Whether the name says text or picture and the bytes say program or archive.
fn is_disguised(file: &SurveyedFile) -> bool {
    const HARMLESS: [&str; 16] = [
        "txt", "md", "rst", "json", "js", "ts", "py", "css", "html", "svg", "png", "jpg", "jpeg",
        "gif", "ico", "map",
    ];
    let runs = file.format.is_executable() || file.format == Format::Archive;
    let extension = extension(file).map(str::to_ascii_lowercase);
    runs && extension.is_some_and(|extension| HARMLESS.contains(&extension.as_str()))
}

fn minified(
    comparison: &Comparison<'_>,
    Arrival { before, file, since }: Arrival<'_>,
    found: &mut Vec<Finding>,
) {
    if !is_minified(file) || before.is_some_and(is_minified) {
        return;
    }
    let usual = before.is_none() && is_among_minified(comparison, file);
    let severity = if usual { Severity::Note } else { Severity::Look };
    let evidence = format!("a line of {} bytes", file.longest_line);
    found.push(Finding::new(&MINIFIED, severity, since, &evidence).at(&file.path, None));
}

fn is_minified(file: &SurveyedFile) -> bool {
    file.code.is_some() && file.longest_line >= UNREADABLE_LINE_BYTES
}

/// Whether a file is put where the baseline has several such files: beside it, or beside its folder.
fn is_among_minified(comparison: &Comparison<'_>, file: &SurveyedFile) -> bool {
    const SEVERAL: usize = 3;
    let above = |place: &str| -> Option<String> { Some(place.rsplit_once('/')?.0.to_owned()) };
    let folder = above(&file.place);
    let outer = folder.as_deref().and_then(above);
    [folder, outer].into_iter().flatten().any(|folder| {
        let files = comparison.baseline.into_iter().flat_map(|survey| &survey.files);
        let inside = files.filter(|old| {
            old.place.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        inside.filter(|old| is_minified(old)).nth(SEVERAL - 1).is_some()
    })
}

/// Of every sort that is a finding by itself the first mark that the file did not have before.
fn marked(Arrival { before, file, since }: Arrival<'_>, found: &mut Vec<Finding>) {
    for (sort, check, severity) in MARKED {
        let had = |mark: &Mark| {
            let mut known = before.into_iter().flat_map(|before| before.of_sort(sort));
            known.any(|old| old.excerpt == mark.excerpt)
        };
        if let Some(mark) = file.of_sort(sort).find(|mark| !had(mark)) {
            let said = Finding::new(check, severity, since, &mark.excerpt);
            found.push(said.at(&file.path, Some(mark.line)));
        }
    }
}

fn size(comparison: &Comparison<'_>, found: &mut Vec<Finding>) {
    let Some(baseline) = comparison.baseline else { return };
    let (before, after) = (baseline.unpacked_bytes(), comparison.candidate.unpacked_bytes());
    let grew = after.saturating_sub(before);
    if grew >= GROWTH_MIN_BYTES && after.saturating_mul(10) > before.saturating_mul(GROWTH_TENTHS) {
        let evidence = format!("{before} → {after} bytes");
        found.push(Finding::new(&SIZE, Severity::Look, Since::Changed, &evidence));
    }
}
