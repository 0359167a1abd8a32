//! What was found inside a release, in the words of its page.

use std::cmp::Ordering;

use super::files::{in_words, line_address};
use crate::domain::ids::ReleaseId;
use crate::domain::review::compared::Tally;
use crate::domain::review::finding::{Severity, Since};
use crate::domain::review::report::{Against, Lowered, Report, ReportedArtifact, ReportedFinding};
use crate::pipeline::review::ReleaseView;
use crate::pipeline::viewed::Viewed;
use crate::web::display::{count, list, size, visible};
use crate::web::views::inspection::{ArtifactChange, Changed, FindingRow, Inspection, Tile};
use crate::web::views::shell::{Badge, Tone};

/// The card, once the release is sealed and as long as there is something to say.
pub(super) fn card(release: &ReleaseView) -> Option<Inspection> {
    let live = release.looking.then(|| format!("/releases/{}/live", release.record.id));
    let Some(report) = &release.report else {
        return live.map(Inspection::being_checked);
    };
    let rows =
        |severity| report.of(severity).map(|it| row(release.record.id, it)).collect::<Vec<_>>();
    let (blocks, looks) = (rows(Severity::Block), rows(Severity::Look));
    let again = || format!("/releases/{}/inspect", release.record.id);
    Some(Inspection {
        reported: true,
        summary: badge(blocks.len(), looks.len()),
        live,
        blocks,
        looks,
        notes: rows(Severity::Note),
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

fn row(release: ReleaseId, finding: &ReportedFinding) -> FindingRow {
    let file = finding.file.as_deref().map(|file| format!("in {}", visible(file)));
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
    FindingRow {
        name: finding.name.clone(),
        title: visible(&finding.title),
        evidence: visible(&finding.evidence),
        place: place.join(", "),
        href: finding
            .artifacts
            .first()
            .zip(finding.file.as_deref())
            .map(|(artifact, path)| line_address(release, artifact, path, finding.line)),
        why: format!("{}{since}{lowered}", visible(&finding.why)),
    }
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

/// The card about what changed, in numbers.
pub(super) fn changed(release: &ReleaseView, viewed: Option<Viewed>) -> Option<Changed> {
    let report = release.report.as_ref()?;
    let change = |artifact: &ReportedArtifact| ArtifactChange {
        name: visible(&artifact.name),
        against: against(&artifact.against),
        tiles: artifact.tally.as_ref().map(tiles).unwrap_or_default(),
    };
    Some(Changed {
        artifacts: report.artifacts.iter().map(change).collect(),
        files: format!("/releases/{}/files", release.record.id),
        viewed: viewed.map(in_words).unwrap_or_default(),
    })
}

fn against(against: &Against) -> String {
    match against {
        Against::Baseline { version, file, .. } => {
            format!("Compared with {}, the file {}.", visible(version), visible(file))
        }
        Against::Nothing { why } => format!("Compared with {}.", visible(why)),
    }
}

fn tiles(tally: &Tally) -> Vec<Tile> {
    let tile = |label, value, aside: String| Tile { label, value, aside, stands_out: false };
    let new = |label, number: u64, words: &str| Tile {
        label,
        value: if number == 0 { "None new".to_owned() } else { format!("{number} {words}") },
        aside: String::new(),
        stands_out: number > 0,
    };
    let Tally { before, after, .. } = tally;
    let files = match before {
        Some(_) => {
            let told = [(tally.added, "added"), (tally.removed, "removed")];
            let told = told.iter().filter(|(number, _)| *number > 0);
            let aside = told.map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>();
            tile("Files", format!("{} changed", tally.changed), aside.join(", "))
        }
        None => tile("Files", after.files.to_string(), "all new".to_owned()),
    };
    let came = if before.is_some() { "new or changed" } else { "new" };
    let lines = before.map(|before| difference(before.lines, after.lines)).unwrap_or_default();
    let bytes = before.map(|before| percent(before.bytes, after.bytes)).unwrap_or_default();
    vec![
        files,
        tile("Lines of text", after.lines.to_string(), lines),
        new("Run by themselves", tally.hooks, came),
        new("Dependencies", tally.dependencies, "new"),
        new("Binaries", tally.binaries, came),
        tile("Size, unpacked", size(after.bytes), bytes),
    ]
}

/// "+184", "−61" or "as many".
fn difference(before: u64, after: u64) -> String {
    match after.cmp(&before) {
        Ordering::Greater => format!("+{}", after - before),
        Ordering::Less => format!("−{}", before - after),
        Ordering::Equal => "as many".to_owned(),
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
