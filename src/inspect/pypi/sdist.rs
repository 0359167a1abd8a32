//! Source distributions: one top directory with PKG-INFO in it (P8, P29).

use std::collections::HashSet;
use std::io::Read;

use crate::domain::artifact::{ArtifactKind, Filename, PypiFacts};
use crate::inspect::failure::Failure;
use crate::inspect::limits::Limits;
use crate::inspect::pypi::metadata::Metadata;
use crate::inspect::pypi::{self, PypiRefusal};
use crate::inspect::{gzip, tar};

/// Reads the facts of a source distribution that was uploaded under `filename`.
pub fn read_sdist(
    file: impl Read,
    filename: &Filename,
    limits: &Limits,
) -> Result<PypiFacts, Failure> {
    if filename.kind() != ArtifactKind::Sdist {
        let received = filename.as_str().to_owned();
        return Err(PypiRefusal::Kind { expected: "a source distribution", received }.into());
    }
    let mut archive = tar::Reader::new(gzip::Member::new(file, limits), limits);
    let (mut metadata, mut top) = (None, None);
    let mut files = HashSet::new();
    let mut unpacked_bytes = 0;
    while let Some(entry) = archive.next_entry()? {
        if top.is_none() {
            top = Some(entry.top().to_owned());
        }
        if entry.is_directory() {
            continue;
        }
        unpacked_bytes += entry.size();
        if entry.inside() == "PKG-INFO" {
            metadata = Some(archive.content(pypi::text_limit(limits))?);
        }
        files.insert(entry.inside().to_owned());
    }
    let metadata = metadata.ok_or(PypiRefusal::Missing { file: "PKG-INFO" })?;
    same_top(filename, &top.unwrap_or_default())?;
    let metadata = Metadata::parse(&metadata).map_err(PypiRefusal::from)?;
    let mut facts = pypi::facts(filename, metadata, "PKG-INFO")?;
    pypi::license_files_present(&facts, |file| files.contains(file))?;
    // The tar reader stops far below 2^32 entries.
    facts.file_count = u32::try_from(files.len()).unwrap_or(u32::MAX);
    facts.unpacked_bytes = unpacked_bytes;
    Ok(facts)
}

/// The top directory is `name-version`; older tools keep the name's own spelling.
fn same_top(filename: &Filename, top: &str) -> Result<(), PypiRefusal> {
    let place = "the top directory";
    let (name, version) = top.rsplit_once('-').unwrap_or((top, ""));
    pypi::same_name(filename, place, name)?;
    pypi::same_version(filename, place, version)
}
