//! Files read out of artifacts: one of them beside the baseline's, or all that changed, counted.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::domain::artifact::ArtifactKind;
use crate::domain::digest::Sha256;
use crate::domain::review::delta::{Comparison, FileChange};
use crate::domain::review::diff::{Content, Counts, FileDiff, Side, Wanted};
use crate::domain::review::survey::{Format, place};
use crate::inspect::diff::{self, FILE_BYTES};
use crate::inspect::failure::Failure;
use crate::inspect::limits::Limits;
use crate::inspect::survey::{Source, magic};
use crate::inspect::{gzip, tar, zip};

/// Largest file whose changed rows are counted, in bytes; larger ones are counted where they are read.
const COUNTED_BYTES: u64 = 2 << 20;
/// Bytes of the baseline's files that are held to be counted; what changed beyond is not counted.
const HELD_BYTES: u64 = 64 << 20;

/// An artifact to read from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a, F> {
    /// Its bytes.
    pub file: F,
    /// What kind it is.
    pub source: Source<'a>,
}

/// One file of the candidate beside the baseline's; `None` when neither has it.
pub fn file<F: Read + Seek>(
    candidate: Origin<'_, F>,
    baseline: Option<Origin<'_, F>>,
    wanted: &Wanted,
    limits: &Limits,
) -> Result<Option<FileDiff>, Failure> {
    let after = find(candidate, &wanted.place, limits)?;
    let earlier = wanted.from.as_ref().unwrap_or(&wanted.place);
    let before = baseline.map(|origin| find(origin, earlier, limits)).transpose()?.flatten();
    if after.is_none() && before.is_none() {
        return Ok(None);
    }
    let content = content(before.as_ref(), after.as_ref(), wanted);
    let side = |found: Found| found.side();
    Ok(Some(FileDiff { before: before.map(side), after: after.map(side), content }))
}

/// How many rows changed, by place, of every file whose rows can be counted quickly.
pub fn counts<F: Read + Seek>(
    candidate: Origin<'_, F>,
    baseline: Origin<'_, F>,
    comparison: &Comparison<'_>,
    limits: &Limits,
) -> Result<BTreeMap<String, Counts>, Failure> {
    let mut left = HELD_BYTES;
    let mut held: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for change in comparison.files() {
        let FileChange::Changed(before, after) = change else { continue };
        let text = before.format == Format::Text && after.format == Format::Text;
        let size_bytes = before.size_bytes.max(after.size_bytes);
        if text && size_bytes <= COUNTED_BYTES && size_bytes <= left {
            left -= size_bytes;
            held.insert(after.place.as_str(), Vec::new());
        }
    }
    each(baseline, limits, |seen, read| {
        if let Some(bytes) = held.get_mut(place(seen.path).as_str()) {
            *bytes = read(COUNTED_BYTES)?;
        }
        Ok(Going::On)
    })?;
    let mut counts = BTreeMap::new();
    each(candidate, limits, |seen, read| {
        let place = place(seen.path);
        if let Some(before) = held.get(place.as_str()) {
            let counted = diff::counts(before, &read(COUNTED_BYTES)?);
            counts.extend(counted.map(|counted| (place, counted)));
        }
        Ok(Going::On)
    })?;
    Ok(counts)
}

fn content<'a>(before: Option<&'a Found>, after: Option<&'a Found>, wanted: &Wanted) -> Content {
    let both = [before, after].into_iter().flatten();
    if both.clone().any(|found| found.bytes.is_none()) {
        return Content::TooLarge { limit: FILE_BYTES };
    }
    let text = wanted.as_text || both.clone().all(|found| found.format == Format::Text);
    let bytes = |found: Option<&'a Found>| found.and_then(|found| found.bytes.as_deref());
    let (old, new) = (bytes(before).unwrap_or_default(), bytes(after).unwrap_or_default());
    match (before, after) {
        (Some(_), Some(_)) if old == new => Content::Same,
        _ if !text => diff::binary(old, new),
        (Some(_), Some(_)) => diff::difference(old, new, wanted.at),
        (Some(_), None) => diff::whole(old, wanted.at),
        (None, _) => diff::whole(new, wanted.at),
    }
}

/// A file that was asked for.
struct Found {
    path: String,
    size_bytes: u64,
    format: Format,
    executable: bool,
    /// `None` when it is larger than [`FILE_BYTES`].
    bytes: Option<Vec<u8>>,
}

impl Found {
    fn new(seen: &Seen<'_>, bytes: Option<Vec<u8>>) -> Self {
        let Seen { path, size_bytes, executable } = *seen;
        let format = bytes.as_deref().map_or(Format::Opaque, |bytes| {
            let known = magic::format(&bytes[..bytes.len().min(magic::HEAD_BYTES)], path);
            let text =
                || if diff::reads_as_text(bytes, path) { Format::Text } else { Format::Opaque };
            known.unwrap_or_else(text)
        });
        Self { path: path.to_owned(), size_bytes, format, executable, bytes }
    }

    fn side(self) -> Side {
        Side {
            path: self.path,
            size_bytes: self.size_bytes,
            sha256: self.bytes.as_deref().map(Sha256::of),
            format: self.format,
            executable: self.executable,
        }
    }
}

fn find<F: Read + Seek>(
    origin: Origin<'_, F>,
    wanted: &str,
    limits: &Limits,
) -> Result<Option<Found>, Failure> {
    let mut found = None;
    each(origin, limits, |seen, read| {
        if place(seen.path) != wanted {
            return Ok(Going::On);
        }
        let bytes = (seen.size_bytes <= FILE_BYTES).then(|| read(FILE_BYTES)).transpose()?;
        found = Some(Found::new(seen, bytes));
        Ok(Going::Enough)
    })?;
    Ok(found)
}

/// Whether more files are wanted.
#[derive(PartialEq, Eq)]
enum Going {
    On,
    Enough,
}

/// Reads the content of the current file, if it is at most so many bytes.
type Reader<'a> = &'a mut dyn FnMut(u64) -> Result<Vec<u8>, Failure>;

/// A file of an artifact on its way past.
struct Seen<'a> {
    path: &'a str,
    size_bytes: u64,
    executable: bool,
}

/// Shows every file of an artifact, with what reads it.
fn each<F: Read + Seek>(
    Origin { mut file, source }: Origin<'_, F>,
    limits: &Limits,
    mut see: impl FnMut(&Seen<'_>, Reader<'_>) -> Result<Going, Failure>,
) -> Result<(), Failure> {
    file.seek(SeekFrom::Start(0))?;
    if matches!(source, Source::Python(name) if name.kind() == ArtifactKind::Wheel) {
        let mut archive = zip::Archive::open(file, limits)?;
        for entry in archive.entries().to_vec() {
            let mut read = |limit| archive.content(&entry, limit);
            let (path, executable) = (entry.path(), entry.is_executable());
            let seen = Seen { path, size_bytes: entry.size(), executable };
            if !entry.is_directory() && see(&seen, &mut read)? == Going::Enough {
                break;
            }
        }
        return Ok(());
    }
    let mut archive = tar::Reader::new(gzip::Member::new(BufReader::new(file), limits), limits);
    while let Some(entry) = archive.next_entry()? {
        let mut read = |limit| archive.content(limit);
        let (path, executable) = (entry.inside(), entry.is_executable());
        let seen = Seen { path, size_bytes: entry.size(), executable };
        if !entry.is_directory() && see(&seen, &mut read)? == Going::Enough {
            break;
        }
    }
    Ok(())
}
