//! What was found inside a release, in the words of its page.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::files::{in_words, line_address, numbers};
use crate::domain::digest::Sha256;
use crate::domain::review::compared::{Extent, Tally};
use crate::domain::review::files::{FileEntry, Status};
use crate::domain::review::finding::{Severity, Since};
use crate::domain::review::report::{Lowered, Report, ReportedArtifact, ReportedFinding};
use crate::domain::review::survey::Format;
use crate::pipeline::files::Base;
use crate::pipeline::findings::{Finding, is_about_hook};
use crate::pipeline::review::ReleaseView;
use crate::pipeline::viewed::Viewed;
use crate::web::display::{count, list, size, visible};
use crate::web::views::inspection::{
    About, ArtifactChange, Changed, FindingCard, FindingRow, Inspection, Tile,
};
use crate::web::views::shell::{Badge, Tone};

/// The card, once the release is sealed and as long as there is something to say.
pub(super) fn card(release: &ReleaseView) -> Option<Inspection> {
    let live = release.looking.then(|| format!("/releases/{}/live", release.record.id));
    let Some(report) = &release.report else {
        return live.map(Inspection::being_checked);
    };
    let (notes, asked): (Vec<&ReportedFinding>, Vec<_>) =
        report.findings.iter().partition(|finding| finding.severity == Severity::Note);
    let [blocks, looks] = [Severity::Block, Severity::Look].map(|it| report.of(it).count());
    let again = || format!("/releases/{}/inspect", release.record.id);
    Some(Inspection {
        reported: true,
        summary: badge(blocks, looks),
        live,
        asked: cards(release, report, asked),
        notes: cards(release, report, notes),
        asides: asides(release, report),
        assurance: report.assurance.as_deref().map(visible).unwrap_or_default(),
        not_checked: report.not_checked.iter().map(|sentence| visible(sentence)).collect(),
        again: release.may_inspect.then(again),
    })
}

/// "2 blocks, 3 to look at".
pub(super) fn badge(blocks: usize, looks: usize) -> Badge {
    let (tone, icon) = match (blocks, looks) {
        (0, 0) => (Tone::Ok, "circle-check"),
        (0, _) => (Tone::Warn, "triangle-alert"),
        _ => (Tone::Bad, "octagon-x"),
    };
    Badge::new(tone, icon, found(blocks, looks))
}

/// The same in words, with a capital letter where it begins with one.
pub(super) fn found(blocks: usize, looks: usize) -> String {
    match (blocks, looks) {
        (0, 0) => "Nothing unusual found".to_owned(),
        (0, looks) => format!("{looks} to look at"),
        (blocks, 0) => count(blocks as u64, "block"),
        (blocks, looks) => format!("{}, {looks} to look at", count(blocks as u64, "block")),
    }
}

/// The findings in their order. What is about one file of the same artifacts stands together, where
/// the first of it would stand alone.
fn cards(
    release: &ReleaseView,
    report: &Report,
    findings: Vec<&ReportedFinding>,
) -> Vec<FindingCard> {
    let mut together: Vec<Vec<&ReportedFinding>> = Vec::new();
    for finding in findings {
        let beside = |it: &ReportedFinding| {
            it.file.is_some() && it.file == finding.file && it.artifacts == finding.artifacts
        };
        match together.iter_mut().find(|known| known.first().is_some_and(|it| beside(it))) {
            Some(known) => known.push(finding),
            None => together.push(vec![finding]),
        }
    }
    let card = |findings: Vec<&ReportedFinding>| {
        let about = about(release, report, &findings);
        let alone = about.is_none();
        let rows = findings.into_iter().map(|it| row(release, it, alone));
        FindingCard { about, rows: rows.collect() }
    };
    together.into_iter().map(card).collect()
}

/// The file that several findings are about.
fn about(release: &ReleaseView, report: &Report, findings: &[&ReportedFinding]) -> Option<About> {
    let [first, _, ..] = findings else { return None };
    let (artifact, path) = (first.artifacts.first()?, first.file.as_deref()?);
    let more = match first.artifacts.len() {
        0 | 1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let several = report.artifacts.len() > 1;
    Some(About {
        path: visible(path),
        inside: if several { format!("in {}{more}", visible(artifact)) } else { String::new() },
        href: line_address(release.record.id, artifact, path, None),
    })
}

/// One finding; `alone` names its file.
fn row(release: &ReleaseView, finding: &ReportedFinding, alone: bool) -> FindingRow {
    let file = finding.file.as_deref().filter(|_| alone);
    let file = file.map(|file| format!("in {}", visible(file)));
    let line = finding.line.map(|line| format!("line {line}"));
    let place: Vec<String> = file.into_iter().chain(line).collect();
    let since = match finding.since {
        Since::FirstRelease | Since::New => "",
        Since::Changed => " The version it is compared with had it otherwise.",
        Since::Unchanged => " The version it is compared with has the same.",
    };
    let lowered = match finding.lowered_from {
        Some(_) => " People accepted the same in the last release.",
        None => "",
    };
    let manifest = if is_in_manifest(release, finding) {
        " The manifest, which is signed, names it too."
    } else {
        ""
    };
    FindingRow {
        name: finding.name.clone(),
        severity: finding.severity,
        title: visible(&finding.title),
        evidence: visible(&finding.evidence),
        place: place.join(", "),
        href: finding
            .artifacts
            .first()
            .zip(finding.file.as_deref())
            .map(|(artifact, path)| line_address(release.record.id, artifact, path, finding.line)),
        why: format!("{}{since}{lowered}{manifest}", visible(&finding.why)),
    }
}

/// Whether a finding asks about a script that the manifest names as one that runs at installation.
fn is_in_manifest(release: &ReleaseView, finding: &ReportedFinding) -> bool {
    let about = |hook: &String| is_about_hook(&finding.name, hook);
    finding.severity > Severity::Note
        && release.findings.iter().any(|signed| match signed {
            Finding::RunsAtInstall { hooks } => hooks.iter().any(about),
            _ => false,
        })
}

fn asides(release: &ReleaseView, report: &Report) -> Vec<String> {
    let mut sentences = Vec::new();
    if report.unlisted > 0 {
        let more = count(u64::from(report.unlisted), "more note");
        sentences.push(format!("{more}, most of them about what stands as it did before."));
    }
    if let Some(Lowered { count: number, version, by, .. }) = &report.lowered {
        let names: Vec<String> =
            by.iter().filter_map(|person| release.names.get(person).cloned()).collect();
        let who = if names.is_empty() { "people".to_owned() } else { list(&names, "and") };
        let findings = count(u64::from(*number), "finding");
        let ask = if *number == 1 { "asks" } else { "ask" };
        let version = visible(version);
        sentences.push(format!(
            "{findings} {ask} for nothing: {who} accepted the same in {version}, and the files are \
             unchanged."
        ));
    }
    sentences
}

/// A list of files for each artifact of a release, in its order.
type Lists = [Arc<Vec<FileEntry>>];

/// The card about what changed, in numbers.
pub(super) fn changed(
    release: &ReleaseView,
    lists: Option<&Lists>,
    ticked: &BTreeSet<Sha256>,
) -> Option<Changed> {
    let report = release.report.as_ref()?;
    let unread = report.is_baseline_unread();
    let listed = |artifact: &ReportedArtifact| {
        let at = release.artifacts.iter().position(|it| it.filename == artifact.name)?;
        let files = lists?.get(at)?.as_slice();
        // One that was made after the baseline's file was swept is beside nothing.
        files.iter().any(|file| file.before.is_some()).then_some(files)
    };
    let change = |artifact: &ReportedArtifact| ArtifactChange {
        name: visible(&artifact.name),
        against: visible(&Base::of(Some(report), &artifact.name).sentence()),
        tiles: match &artifact.tally {
            Some(tally) => tiles(tally, unread, listed(artifact)),
            None => Vec::new(),
        },
    };
    Some(Changed {
        artifacts: report.artifacts.iter().map(change).collect(),
        files: format!("/releases/{}/files", release.record.id),
        viewed: lists.map(|lists| in_words(Viewed::of(lists, ticked))).unwrap_or_default(),
    })
}

/// The numbers of one artifact. Where nothing could be compared, nothing is called new.
fn tiles(tally: &Tally, unread: bool, listed: Option<&[FileEntry]>) -> Vec<Tile> {
    let tile = |label, value, aside: String| Tile { label, value, aside, stands_out: false };
    let came = |label, number: u64, words: &str| {
        let none = if unread { "None" } else { "None new" };
        let words = if unread { "found" } else { words };
        let value = if number == 0 { none.to_owned() } else { format!("{number} {words}") };
        Tile { label, value, aside: String::new(), stands_out: number > 0 }
    };
    let Tally { before, after, .. } = tally;
    let files = if before.is_some() {
        const BESIDES: [Status; 4] = [Status::Added, Status::Removed, Status::Moved, Status::Mode];
        let aside = numbers(&BESIDES, |status| tally.files(status));
        tile("Files", format!("{} changed", tally.changed), aside)
    } else {
        let aside = if unread { "not compared" } else { "all new" };
        tile("Files", after.files.to_string(), aside.to_owned())
    };
    let words = if before.is_some() { "new or changed" } else { "new" };
    let lines = before.map(|before| lines((before, *after), listed)).unwrap_or_default();
    let bytes = before.map(|before| percent(before.bytes, after.bytes)).unwrap_or_default();
    vec![
        files,
        tile("Lines of text", after.lines.to_string(), lines),
        came("Run by themselves", tally.hooks, words),
        came("Dependencies", tally.dependencies, "new"),
        came("Binaries", tally.binaries, words),
        tile("Size, unpacked", size(after.bytes), bytes),
    ]
}

/// "+184 −61", as the list of files has it; without one, how many more or fewer there are.
fn lines((before, after): (Extent, Extent), listed: Option<&[FileEntry]>) -> String {
    let Some(files) = listed else {
        return match after.lines.cmp(&before.lines) {
            Ordering::Greater => format!("{} more", after.lines - before.lines),
            Ordering::Less => format!("{} fewer", before.lines - after.lines),
            Ordering::Equal => "as many".to_owned(),
        };
    };
    let differs = |file: &&FileEntry| {
        file.format == Format::Text
            && matches!(file.status, Status::Changed | Status::Added | Status::Removed)
    };
    let (mut added, mut removed, mut uncounted) = (0, 0, 0);
    for file in files.iter().filter(differs) {
        match file.counts {
            Some(counts) => {
                added += u64::from(counts.added);
                removed += u64::from(counts.removed);
            }
            None => uncounted += 1,
        }
    }
    match uncounted {
        0 => format!("+{added} −{removed}"),
        _ => format!("+{added} −{removed}, {} not counted", count(uncounted, "file")),
    }
}

/// "+3 %", "−12 %", or "the same" below one.
fn percent(before: u64, after: u64) -> String {
    let share = before.abs_diff(after).saturating_mul(100) / before.max(1);
    match (after.cmp(&before), share) {
        (_, 0) | (Ordering::Equal, _) => "about the same".to_owned(),
        (Ordering::Greater, share) => format!("+{share} %"),
        (Ordering::Less, share) => format!("−{share} %"),
    }
}
