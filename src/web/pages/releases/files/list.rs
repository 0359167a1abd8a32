//! The list of all files, in words.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{address, anchor, findings, parted, way};
use crate::domain::digest::Sha256;
use crate::domain::review::files::{FileEntry, Group, Status, counted};
use crate::domain::review::survey::Format;
use crate::pipeline::files::{Base, NotShown, Read};
use crate::pipeline::review::{ArtifactRecord, ReleaseView};
use crate::web::display::{count, size, visible};
use crate::web::views::files::{ArtifactFiles, FileGroup, FileRow, Tick};
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

/// An artifact on its way to the list.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a> {
    pub(super) release: &'a ReleaseView,
    pub(super) artifact: &'a ArtifactRecord,
    pub(super) base: &'a Base,
    /// Which one of the release, from 0.
    pub(super) number: usize,
}

impl Listed<'_> {
    pub(super) fn files(
        self,
        files: Read<Arc<Vec<FileEntry>>>,
        ticked: &BTreeSet<Sha256>,
    ) -> ArtifactFiles {
        let (files, not_shown) = match files {
            Ok(files) => (files, None),
            Err(NotShown(why)) => (Arc::default(), Some(visible(&why))),
        };
        let alone = self.is_alone();
        let changed = |file: &&FileEntry| alone || file.is_to_read();
        let listed: Vec<&FileEntry> = files.iter().filter(changed).take(LISTED_MAX).collect();
        let groups = GROUPS.into_iter().filter_map(|(group, title)| {
            let of = listed.iter().filter(|file| file.group == group);
            let of: Vec<FileRow> = of.map(|file| self.to_read(file, ticked)).collect();
            (!of.is_empty()).then_some(FileGroup { title, files: of })
        });
        let same = || files.iter().filter(|file| !changed(file));
        ArtifactFiles {
            name: visible(&self.artifact.filename),
            compared: visible(&self.base.sentence()),
            summary: if not_shown.is_some() { String::new() } else { summary(&files, alone) },
            not_shown,
            groups: groups.collect(),
            same: same().take(LISTED_MAX).map(|file| self.row(file)).collect(),
            left_off: files.iter().filter(changed).count() - listed.len(),
            same_left_off: same().count().saturating_sub(LISTED_MAX),
        }
    }

    const fn is_alone(self) -> bool {
        matches!(self.base, Base::Nothing(_))
    }

    /// The row of a file that can be ticked.
    fn to_read(self, file: &FileEntry, ticked: &BTreeSet<Sha256>) -> FileRow {
        let difference = file.difference();
        let viewed = ticked.contains(&difference);
        let difference = difference.to_string();
        FileRow {
            anchor: anchor(self.number, &difference),
            tick: Some(Tick { difference, viewed }),
            ..self.row(file)
        }
    }

    fn row(self, file: &FileEntry) -> FileRow {
        let (folder, name) = parted(&file.path);
        let moved = file.from.as_ref().map(|from| format!("from {}", visible(from)));
        let format = (file.format != Format::Text).then(|| file.format.words().to_owned());
        let mode = mode(file).map(str::to_owned);
        let remarks: Vec<String> = moved.into_iter().chain(format).chain(mode).collect();
        let (release, artifact) = (self.release, &self.artifact.filename);
        let found = findings(release, artifact, &file.path);
        let alone = self.is_alone();
        let (way, from) = way(file, alone);
        let compared = !alone && file.is_to_read();
        FileRow {
            anchor: String::new(),
            tick: None,
            href: address(release.record.id, artifact, way, &file.path, from),
            folder,
            name,
            remark: remarks.join(", "),
            status: compared.then(|| status(file.status)),
            counts: file.counts.filter(|_| !alone).map(|counts| (counts.added, counts.removed)),
            size: size(file.size_bytes),
            findings: if found == 0 { String::new() } else { count(found as u64, "finding") },
        }
    }
}

/// What the mode of a file says that people have to know.
fn mode(file: &FileEntry) -> Option<&'static str> {
    match (file.mode_change(), file.before, file.after) {
        (Some(true), ..) => Some("can be run as a program now"),
        (Some(false), ..) => Some("can no longer be run as a program"),
        (None, None, Some(after)) if after.executable => Some("can be run as a program"),
        (None, ..) => None,
    }
}

/// "3 changed, 1 added, 140 the same".
fn summary(files: &[FileEntry], alone: bool) -> String {
    if alone {
        return count(files.len() as u64, "file");
    }
    let counted = counted(files);
    numbers(&STATUSES, |status| counted.get(&status).copied().unwrap_or_default())
}

/// In the order in which they are told.
const STATUSES: [Status; 6] = [
    Status::Changed,
    Status::Added,
    Status::Removed,
    Status::Moved,
    Status::Mode,
    Status::Unchanged,
];

/// "3 changed, 1 added, 140 the same", without those of which there is none.
pub(in crate::web::pages::releases) fn numbers(
    statuses: &[Status],
    number: impl Fn(Status) -> u64,
) -> String {
    let told = statuses.iter().map(|status| (number(*status), *status));
    let told = told.filter(|(number, _)| *number > 0);
    let word = |status| match status {
        Status::Changed => "changed",
        Status::Added => "added",
        Status::Removed => "removed",
        Status::Moved => "moved",
        Status::Mode => "with another mode",
        Status::Unchanged => "the same",
    };
    told.map(|(number, status)| format!("{number} {}", word(status))).collect::<Vec<_>>().join(", ")
}

/// How a file changed: shape, word and colour.
pub(super) fn status(status: Status) -> Badge {
    match status {
        Status::Changed => Badge::new(Tone::Note, "file-diff", "Changed"),
        Status::Added => Badge::new(Tone::Ok, "plus", "Added"),
        Status::Removed => Badge::new(Tone::Bad, "ban", "Removed"),
        Status::Moved => Badge::new(Tone::Plain, "arrow-right", "Moved"),
        Status::Mode => Badge::new(Tone::Warn, "key-round", "Mode"),
        Status::Unchanged => Badge::new(Tone::Plain, "check", "The same"),
    }
}
