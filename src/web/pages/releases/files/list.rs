//! The list of all files, in words.

use std::sync::Arc;

use super::{Way, address, findings, parted};
use crate::domain::review::files::{FileEntry, Group, Status};
use crate::domain::review::survey::Format;
use crate::pipeline::files::{Base, NotShown, Read};
use crate::pipeline::review::{ArtifactRecord, ReleaseView};
use crate::web::display::{count, size, visible};
use crate::web::views::files::{ArtifactFiles, FileGroup, FileRow};
use crate::web::views::shell::{Badge, Tone};

/// Files of one artifact that are listed as changed, and as many again as the same.
const LISTED_MAX: usize = 2_000;

const GROUPS: [(Group, &str); 6] = [
    (Group::ByItself, "Runs by itself"),
    (Group::Opaque, "Not text"),
    (Group::Source, "Source"),
    (Group::Tests, "Tests"),
    (Group::Docs, "Documentation"),
    (Group::Generated, "Written by programs"),
];

pub(super) fn artifact(
    release: &ReleaseView,
    artifact: &ArtifactRecord,
    base: &Base,
    files: Read<Arc<Vec<FileEntry>>>,
) -> ArtifactFiles {
    let compared = match base {
        Base::Version { version, filename, .. } => {
            format!("Compared with {}, the file {}.", visible(version), visible(filename))
        }
        Base::Nothing(why) => visible(why),
    };
    let (files, not_shown) = match files {
        Ok(files) => (files, None),
        Err(NotShown(why)) => (Arc::default(), Some(visible(&why))),
    };
    let alone = matches!(base, Base::Nothing(_));
    let changed = |file: &&FileEntry| alone || file.status != Status::Unchanged;
    let row = |file: &FileEntry| row(release, artifact, file, alone);
    let listed: Vec<&FileEntry> = files.iter().filter(changed).take(LISTED_MAX).collect();
    let groups = GROUPS.into_iter().filter_map(|(group, title)| {
        let of: Vec<FileRow> =
            listed.iter().filter(|file| file.group == group).map(|file| row(file)).collect();
        (!of.is_empty()).then_some(FileGroup { title, files: of })
    });
    let same = || files.iter().filter(|file| !changed(file));
    ArtifactFiles {
        name: visible(&artifact.filename),
        compared,
        summary: if not_shown.is_some() { String::new() } else { summary(&files, alone) },
        not_shown,
        groups: groups.collect(),
        same: same().take(LISTED_MAX).map(row).collect(),
        left_off: files.iter().filter(changed).count() - listed.len(),
        same_left_off: same().count().saturating_sub(LISTED_MAX),
    }
}

/// "3 changed, 1 added, 140 the same".
fn summary(files: &[FileEntry], alone: bool) -> String {
    if alone {
        return count(files.len() as u64, "file");
    }
    let words = [
        (Status::Changed, "changed"),
        (Status::Added, "added"),
        (Status::Removed, "removed"),
        (Status::Moved, "moved"),
        (Status::Unchanged, "the same"),
    ];
    let counted = words
        .map(|(status, word)| (files.iter().filter(|file| file.status == status).count(), word));
    let told = counted.into_iter().filter(|(number, _)| *number > 0);
    told.map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", ")
}

fn row(release: &ReleaseView, artifact: &ArtifactRecord, file: &FileEntry, alone: bool) -> FileRow {
    let (folder, name) = parted(&file.path);
    let moved = file.from.as_ref().map(|from| format!("from {}", visible(from)));
    let format = (file.format != Format::Text).then(|| file.format.words().to_owned());
    let remarks: Vec<String> = moved.into_iter().chain(format).collect();
    let found = findings(release, &artifact.filename, &file.path);
    let (way, from) = match file.status {
        Status::Unchanged => (Way::Whole, None),
        _ if alone => (Way::Whole, None),
        _ => (Way::Difference, file.from.as_deref()),
    };
    let compared = !alone && file.status != Status::Unchanged;
    FileRow {
        href: address(release.record.id, &artifact.filename, way, &file.path, from),
        folder,
        name,
        remark: remarks.join(", "),
        status: compared.then(|| status(file.status)),
        counts: file.counts.filter(|_| !alone).map(|counts| (counts.added, counts.removed)),
        size: size(file.size_bytes),
        findings: if found == 0 { String::new() } else { count(found as u64, "finding") },
    }
}

/// How a file changed: shape, word and colour.
pub(super) fn status(status: Status) -> Badge {
    match status {
        Status::Changed => Badge::new(Tone::Note, "file-diff", "Changed"),
        Status::Added => Badge::new(Tone::Ok, "plus", "Added"),
        Status::Removed => Badge::new(Tone::Bad, "ban", "Removed"),
        Status::Moved => Badge::new(Tone::Plain, "arrow-right", "Moved"),
        Status::Unchanged => Badge::new(Tone::Plain, "check", "The same"),
    }
}
