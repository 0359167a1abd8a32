//! Wheels: one `.dist-info`, a RECORD that is complete and true, nothing hidden (P4-P7).

use std::collections::HashSet;
use std::io::{Read, Seek};

use crate::domain::artifact::{ArtifactKind, Filename, PypiFacts};
use crate::domain::package::excerpt;
use crate::inspect::failure::Failure;
use crate::inspect::limits::Limits;
use crate::inspect::pypi::metadata::{self, Metadata};
use crate::inspect::pypi::record::Record;
use crate::inspect::pypi::{self, PypiRefusal, entry_points};
use crate::inspect::zip;

/// Install schemes a `.data` directory may hold (PEP 427).
const SCHEMES: [&str; 5] = ["purelib", "platlib", "headers", "scripts", "data"];

/// Reads the facts of a wheel that was uploaded under `filename`, verifying every file's hash.
pub fn read_wheel(
    file: impl Read + Seek,
    filename: &Filename,
    limits: &Limits,
) -> Result<PypiFacts, Failure> {
    if filename.kind() != ArtifactKind::Wheel {
        let received = filename.as_str().to_owned();
        return Err(PypiRefusal::Kind { expected: "a wheel", received }.into());
    }
    let mut archive = zip::Archive::open(file, limits)?;
    let entries = archive.entries().to_vec();
    let files: HashSet<&str> =
        entries.iter().filter(|entry| !entry.is_directory()).map(zip::Entry::path).collect();
    let dist_info = dist_info(&entries, filename)?;
    check_data_paths(&files, filename)?;
    check_bytecode_has_source(&files)?;

    let mut embedded = |name: &'static str, limit: u64| {
        let path = format!("{dist_info}/{name}");
        match entries.iter().find(|entry| entry.path() == path && !entry.is_directory()) {
            Some(entry) => archive.content(entry, limit).map(Some),
            None => Ok(None),
        }
    };
    let text = pypi::text_limit(limits);
    let required = |bytes: Option<Vec<u8>>, file| bytes.ok_or(PypiRefusal::Missing { file });
    let wheel = required(embedded("WHEEL", text)?, "WHEEL")?;
    check_wheel_version(&wheel)?;
    let metadata = required(embedded("METADATA", text)?, "METADATA")?;
    let metadata = Metadata::parse(&metadata).map_err(PypiRefusal::from)?;
    let mut facts = pypi::facts(filename, metadata, "METADATA")?;
    if let Some(bytes) = embedded("entry_points.txt", text)? {
        entry_points::parse(&bytes).map_err(PypiRefusal::from)?;
    }
    let record = required(embedded("RECORD", limits.record_bytes)?, "RECORD")?;
    let record = Record::parse(&record).map_err(PypiRefusal::from)?;
    let licenses = format!("{dist_info}/licenses/");
    pypi::license_files_present(&facts, |file| files.contains(&*format!("{licenses}{file}")))?;

    verify(&mut archive, &entries, record, &dist_info)?;
    // The reader stops far below 2^32 entries.
    facts.file_count = u32::try_from(files.len()).unwrap_or(u32::MAX);
    facts.unpacked_bytes = entries.iter().map(zip::Entry::size).sum();
    Ok(facts)
}

/// The one top-level `.dist-info` directory, which must be this project's (P5).
fn dist_info(entries: &[zip::Entry], filename: &Filename) -> Result<String, PypiRefusal> {
    let tops: HashSet<&str> = entries
        .iter()
        .filter_map(|entry| entry.path().split('/').next())
        .filter(|top| top.to_ascii_lowercase().ends_with(".dist-info"))
        .collect();
    let count = tops.len();
    let mut tops = tops.into_iter();
    let (Some(top), None) = (tops.next(), tops.next()) else {
        return Err(PypiRefusal::DistInfo { count });
    };
    same_directory(filename, "the `.dist-info` directory", top, ".dist-info")?;
    Ok(top.to_owned())
}

/// `name-version` and a suffix, with the name in any spelling of the project.
fn same_directory(
    filename: &Filename,
    place: &'static str,
    directory: &str,
    suffix: &str,
) -> Result<(), PypiRefusal> {
    let stem = directory.strip_suffix(suffix).unwrap_or_default();
    let (name, version) = stem.split_once('-').unwrap_or((stem, ""));
    pypi::same_name(filename, place, name)?;
    pypi::same_version(filename, place, version)
}

fn check_data_paths(files: &HashSet<&str>, filename: &Filename) -> Result<(), PypiRefusal> {
    for path in files {
        let mut parts = path.split('/');
        let top = parts.next().unwrap_or_default();
        if !top.to_ascii_lowercase().ends_with(".data") {
            continue;
        }
        same_directory(filename, "the `.data` directory", top, ".data")?;
        let scheme = parts.next().unwrap_or_default();
        let rest = parts.count();
        let scripts_are_flat = scheme != "scripts" || rest == 1;
        if !SCHEMES.contains(&scheme) || rest == 0 || !scripts_are_flat {
            return Err(PypiRefusal::DataPath { entry: excerpt(path) });
        }
    }
    Ok(())
}

fn is_bytecode(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".pyc")
}

/// `a/__pycache__/b.cpython-311.pyc` and `a/b.pyc` both need `a/b.py` (P22).
fn check_bytecode_has_source(files: &HashSet<&str>) -> Result<(), PypiRefusal> {
    for path in files.iter().filter(|path| is_bytecode(path)) {
        let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
        let source = match directory.strip_suffix("__pycache__") {
            Some(parent) => format!("{parent}{}.py", file.split('.').next().unwrap_or_default()),
            None => path[..path.len() - 1].to_owned(),
        };
        if !files.contains(&*source) {
            return Err(PypiRefusal::OrphanBytecode { entry: excerpt(path) });
        }
    }
    Ok(())
}

fn check_wheel_version(bytes: &[u8]) -> Result<(), PypiRefusal> {
    let (fields, _) = metadata::headers(bytes)?;
    let mut versions = fields.iter().filter(|(name, _)| name == "Wheel-Version");
    match (versions.next(), versions.next()) {
        (Some((_, version)), None) if version.starts_with("1.") => Ok(()),
        (version, _) => {
            let received = version.map_or("nothing", |(_, version)| version);
            Err(PypiRefusal::WheelVersion { received: excerpt(received) })
        }
    }
}

/// Reads every file once: CRC, size, RECORD's hash, and the header of compiled code.
fn verify(
    archive: &mut zip::Archive<impl Read + Seek>,
    entries: &[zip::Entry],
    mut record: Record,
    dist_info: &str,
) -> Result<(), Failure> {
    let exempt = ["RECORD", "RECORD.jws", "RECORD.p7s"].map(|name| format!("{dist_info}/{name}"));
    for entry in entries.iter().filter(|entry| !entry.is_directory()) {
        let path = entry.path();
        let is_exempt = exempt.iter().any(|name| name == path);
        let mut check = record.start(path, entry.size(), is_exempt).map_err(PypiRefusal::from)?;
        let mut head = Vec::with_capacity(BYTECODE_HEAD);
        archive.copy(entry, |piece| {
            check.update(piece);
            let missing = BYTECODE_HEAD - head.len();
            head.extend_from_slice(&piece[..piece.len().min(missing)]);
            Ok(())
        })?;
        record.end(path, check).map_err(PypiRefusal::from)?;
        if is_bytecode(path) && is_unchecked(&head) {
            return Err(PypiRefusal::UncheckedBytecode { entry: excerpt(path) }.into());
        }
    }
    record.finish().map_err(PypiRefusal::from)?;
    Ok(())
}

/// Bytes of a `.pyc` file up to the end of its flags.
const BYTECODE_HEAD: usize = 8;

/// PEP 552: bit 0 says hash-based, bit 1 that Python compares the hash.
fn is_unchecked(head: &[u8]) -> bool {
    head.get(4).is_none_or(|flags| flags & 0b11 == 0b01)
}
