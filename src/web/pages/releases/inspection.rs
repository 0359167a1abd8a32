//! What was found inside a release, in the words of its page.

use super::files::line_address;
use crate::domain::ids::ReleaseId;
use crate::domain::review::finding::{Severity, Since};
use crate::domain::review::report::{Against, Lowered, Report, ReportedFinding};
use crate::pipeline::review::ReleaseView;
use crate::web::display::{count, list, visible};
use crate::web::views::inspection::{FindingRow, Inspection};
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
        summary: badge(blocks.len(), looks.len()),
        live,
        blocks,
        looks,
        notes: rows(Severity::Note),
        asides: asides(release, report),
        compared: report
            .artifacts
            .iter()
            .map(|it| (visible(&it.name), against(&it.against)))
            .collect(),
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
        Since::Changed => " It was otherwise before.",
        Since::Unchanged => " It was so before.",
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

fn against(against: &Against) -> String {
    match against {
        Against::Baseline { version, file, .. } => {
            format!("{} of version {}", visible(file), visible(version))
        }
        Against::Nothing { why } => visible(why),
    }
}
