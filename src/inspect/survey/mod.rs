//! Says what is in an artifact, for the comparison with another version.
//!
//! The artifact is read twice: the facts come from the same strict readers that let an upload in;
//! the second pass hashes every file, tells formats apart, and searches texts. Nothing is extracted,
//! and no more of a file is held than one line, except what is parsed whole and bounded: JavaScript,
//! TypeScript and Python, and what says how Python builds and installs it (`pyproject.toml`,
//! `entry_points.txt`).

mod code;
mod content;
mod javascript;
pub(super) mod magic;
mod nesting;
mod python;

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use sha2::Digest as _;

use crate::domain::artifact::{ArtifactKind, Facts, Filename};
use crate::domain::digest::{Sha1, Sha256};
use crate::domain::review::binding::is_only_version;
use crate::domain::review::survey::{
    Code, Format, NPM_DEPENDENCIES, Parsed, PythonParts, Survey, SurveyedFile, place,
};
use crate::inspect::failure::Failure;
use crate::inspect::limits::Limits;
use crate::inspect::pypi::entry_points;
use crate::inspect::{gzip, npm, pypi, tar, zip};

use code::PARSE_BYTES;
use content::{Language, Names, Scanner};

/// Longest part of a line that is held, in bytes. A longer line is searched in parts.
const LINE_BYTES: usize = 64 * 1024;

/// Stack for the parsers, which descend with every level that [`nesting`] lets through.
const PARSER_STACK_BYTES: usize = 64 << 20;

/// What kind of artifact is read.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// An npm tarball.
    Npm,
    /// A wheel or an sdist under its file name.
    Python(&'a Filename),
}

/// Surveys an artifact.
pub fn survey(
    file: impl Read + Seek,
    source: Source<'_>,
    limits: &Limits,
) -> Result<Survey, Failure> {
    read(file, source, limits, None)
}

/// Surveys what a candidate is compared with. What stands out in a file that both have is known from
/// the candidate, and which dependencies its files name is not asked.
pub fn survey_baseline(
    file: impl Read + Seek,
    source: Source<'_>,
    limits: &Limits,
    candidate: &Survey,
) -> Result<Survey, Failure> {
    read(file, source, limits, Some(candidate))
}

fn read(
    mut file: impl Read + Seek,
    source: Source<'_>,
    limits: &Limits,
    candidate: Option<&Survey>,
) -> Result<Survey, Failure> {
    let facts = match source {
        Source::Npm => Facts::Npm(npm::read(&mut file, limits)?),
        Source::Python(name) => Facts::Pypi(match name.kind() {
            ArtifactKind::Wheel => pypi::read_wheel(&mut file, name, limits)?,
            ArtifactKind::Sdist | ArtifactKind::NpmTarball => {
                pypi::read_sdist(&mut file, name, limits)?
            }
        }),
    };
    file.seek(SeekFrom::Start(0))?;
    let names = if candidate.is_none() { dependencies(&facts) } else { Names::default() };
    let mut reading = Reading { candidate, names, ..Reading::default() };
    // One stack for all files: taking one costs more than parsing most of them.
    stacker::grow(PARSER_STACK_BYTES, || match source {
        Source::Python(name) if name.kind() == ArtifactKind::Wheel => {
            wheel(file, limits, &mut reading)
        }
        Source::Python(_) | Source::Npm => tarball(file, limits, &mut reading),
    })?;
    reading.files.sort_by(|a, b| a.place.cmp(&b.place));
    let Reading { files, python, names, .. } = reading;
    Ok(Survey { facts, files, python, named: names.named })
}

/// The names of everything a `package.json` says it needs.
fn dependencies(facts: &Facts) -> Names {
    let Facts::Npm(facts) = facts else { return Names::default() };
    let tables = NPM_DEPENDENCIES.iter();
    let entries = tables.filter_map(|table| facts.package_json.get(*table)?.as_object());
    Names::of(entries.flat_map(|table| table.keys().map(String::as_str)))
}

#[derive(Debug, Default)]
struct Reading<'c> {
    candidate: Option<&'c Survey>,
    files: Vec<SurveyedFile>,
    python: PythonParts,
    names: Names,
}

impl<'c> Reading<'c> {
    /// What the candidate has under a path.
    fn beside(&self, path: &str) -> Option<&'c SurveyedFile> {
        self.candidate?.at(&place(path)).filter(|file| file.path == path)
    }
}

fn tarball(file: impl Read, limits: &Limits, reading: &mut Reading<'_>) -> Result<(), Failure> {
    let mut archive = tar::Reader::new(gzip::Member::new(file, limits), limits);
    while let Some(entry) = archive.next_entry()? {
        if entry.is_directory() {
            continue;
        }
        let (path, size) = (entry.inside().to_owned(), entry.size());
        let surveyed = if path == "pyproject.toml" {
            let bytes = archive.content(pypi::text_limit(limits))?;
            build_system(&bytes, &mut reading.python);
            one(path, size, &bytes[..], reading)?
        } else {
            one(path, size, &mut archive, reading)?
        };
        let executable = entry.is_executable();
        reading.files.push(SurveyedFile { executable, ..surveyed });
    }
    Ok(())
}

fn wheel(
    file: impl Read + Seek,
    limits: &Limits,
    reading: &mut Reading<'_>,
) -> Result<(), Failure> {
    let mut archive = zip::Archive::open(file, limits)?;
    for entry in archive.entries().to_vec() {
        if entry.is_directory() {
            continue;
        }
        let path = entry.path().to_owned();
        if path.ends_with(".dist-info/entry_points.txt") {
            let bytes = archive.content(&entry, pypi::text_limit(limits))?;
            reading.python.entry_points = names(&bytes);
        }
        let mut pass = Pass::new(&path, entry.size(), reading);
        archive.copy(&entry, |piece| {
            pass.piece(&path, piece);
            Ok(())
        })?;
        let (surveyed, executable) = (pass.finish(path), entry.is_executable());
        reading.files.push(SurveyedFile { executable, ..surveyed });
    }
    Ok(())
}

/// Group and name of every entry point. The file was parsed strictly before.
fn names(bytes: &[u8]) -> Vec<(String, String)> {
    let Ok(parsed) = entry_points::parse(bytes) else { return Vec::new() };
    let mut names: Vec<(String, String)> = parsed
        .into_iter()
        .flat_map(|(group, entries)| entries.into_keys().map(move |name| (group.clone(), name)))
        .collect();
    names.sort();
    names
}

/// The `build-system` table; what is no TOML says nothing, and pip will say so.
fn build_system(bytes: &[u8], parts: &mut PythonParts) {
    let Some(table) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .and_then(|table| table.get("build-system").and_then(|b| b.as_table().cloned()))
    else {
        return;
    };
    parts.build_backend = table.get("build-backend").and_then(|b| b.as_str()).map(str::to_owned);
    parts.backend_inside = table.contains_key("backend-path");
    let requires = table.get("requires").and_then(|requires| requires.as_array());
    parts.build_requires = requires
        .into_iter()
        .flatten()
        .filter_map(|requirement| requirement.as_str().map(str::to_owned))
        .collect();
    parts.build_requires.sort();
}

fn one(
    path: String,
    size: u64,
    content: impl Read,
    reading: &mut Reading<'_>,
) -> Result<SurveyedFile, Failure> {
    let mut pass = Pass::new(&path, size, reading);
    let mut content = BufReader::with_capacity(LINE_BYTES, content);
    loop {
        let piece = content.fill_buf()?;
        if piece.is_empty() {
            return Ok(pass.finish(path));
        }
        let length = piece.len();
        pass.piece(&path, piece);
        content.consume(length);
    }
}

/// One file on its way past.
struct Pass<'n> {
    sha256: sha2::Sha256,
    git_blob: sha1::Sha1,
    size_bytes: u64,
    head: Vec<u8>,
    /// Set as long as everything so far was UTF-8 without control characters.
    text: bool,
    line: Vec<u8>,
    line_bytes: u64,
    longest_line: u64,
    lines: u32,
    scanner: Scanner,
    /// All of a file that a parser is to read; nothing once it is larger than that.
    held: Vec<u8>,
    too_large: bool,
    names: &'n mut Names,
    /// What the candidate has under the same path.
    beside: Option<&'n SurveyedFile>,
}

impl<'n> Pass<'n> {
    /// The size comes first in what git hashes, so it is known beforehand: readers refuse an entry
    /// that holds more or less than it says.
    fn new(path: &str, size: u64, reading: &'n mut Reading<'_>) -> Self {
        Self {
            sha256: sha2::Sha256::new(),
            git_blob: sha1::Sha1::new_with_prefix(format!("blob {size}\0")),
            size_bytes: 0,
            head: Vec::with_capacity(magic::HEAD_BYTES),
            text: true,
            line: Vec::new(),
            line_bytes: 0,
            longest_line: 0,
            lines: 0,
            scanner: Scanner::new(path, Language::of(path)),
            held: Vec::new(),
            too_large: false,
            beside: reading.beside(path),
            names: &mut reading.names,
        }
    }

    fn piece(&mut self, path: &str, piece: &[u8]) {
        if self.size_bytes == 0
            && let Some(language) = Language::of_program(piece)
            && self.scanner.language() == Language::Other
        {
            self.scanner = Scanner::new(path, language);
        }
        self.sha256.update(piece);
        self.git_blob.update(piece);
        self.size_bytes += piece.len() as u64;
        let missing = magic::HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(missing)]);
        if self.text {
            self.hold(piece);
            self.text_piece(piece);
        }
    }

    /// Keeps what a parser is to read. What is too large for one is searched as it comes, from its
    /// beginning.
    fn hold(&mut self, piece: &[u8]) {
        if !self.scanner.waits {
            return;
        }
        if self.held.len() + piece.len() <= PARSE_BYTES {
            self.held.extend_from_slice(piece);
            return;
        }
        (self.scanner.waits, self.too_large) = (false, true);
        let held = std::mem::take(&mut self.held);
        self.scanner.text(&String::from_utf8_lossy(&held), false, self.names);
    }

    fn text_piece(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line_bytes += part.len() as u64;
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_of_line();
            } else if self.line.len() >= LINE_BYTES {
                self.search();
            }
            if !self.text {
                return;
            }
        }
    }

    fn end_of_line(&mut self) {
        self.search();
        self.lines = self.lines.saturating_add(1);
        self.longest_line = self.longest_line.max(self.line_bytes);
        self.line_bytes = 0;
    }

    /// Searches what is held of a line; a character that was cut stays for the next part.
    fn search(&mut self) {
        let line = std::mem::take(&mut self.line);
        let whole = line.strip_suffix(b"\n").unwrap_or(&line);
        let valid = match std::str::from_utf8(whole) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() && whole.len() == line.len() => {
                let (valid, cut) = whole.split_at(error.valid_up_to());
                self.line.extend_from_slice(cut);
                std::str::from_utf8(valid).unwrap_or_default()
            }
            Err(_) => {
                self.text = false;
                return;
            }
        };
        if valid.contains('\0') {
            self.text = false;
            return;
        }
        let number = self.lines.saturating_add(1);
        self.scanner.line(number, valid.trim_end_matches('\r'), self.names);
    }

    fn finish(mut self, path: String) -> SurveyedFile {
        // All of a long last line may have been searched already.
        if self.text && self.line_bytes > 0 {
            self.end_of_line();
            // Half a character at the end is none.
            self.text &= self.line.is_empty();
        }
        let sha256 = Sha256::from_bytes(self.sha256.finalize_reset().into());
        if let Some(same) = self.beside.filter(|beside| beside.sha256 == sha256) {
            return same.clone();
        }
        let format = match magic::format(&self.head, &path) {
            Some(format) => format,
            None if self.text => Format::Text,
            None => Format::Opaque,
        };
        let is_text = format == Format::Text;
        let text = std::str::from_utf8(&self.held);
        let only_version = is_text && text.is_ok_and(|text| is_only_version(&path, text));
        let code = if is_text { self.parse(&path) } else { None };
        let git_blob: [u8; 20] = self.git_blob.finalize().into();
        SurveyedFile {
            place: place(&path),
            path,
            size_bytes: self.size_bytes,
            sha256,
            git_blob: Sha1::from_bytes(git_blob),
            format,
            // The archive says it, not the content.
            executable: false,
            lines: if is_text { self.lines } else { 0 },
            longest_line: if is_text { self.longest_line } else { 0 },
            only_version,
            marks: if is_text { self.scanner.finish() } else { Vec::new() },
            code,
        }
    }

    /// Has a parser read what was held for it, and patterns what it leaves to them.
    fn parse(&mut self, path: &str) -> Option<Code> {
        let language = self.scanner.language();
        if !language.is_parsed() {
            return None;
        }
        if self.too_large {
            return Some(Code { parsed: Parsed::TooLarge, ..Code::default() });
        }
        let held = std::mem::take(&mut self.held);
        let text = std::str::from_utf8(&held).unwrap_or_default();
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let reading = match language {
            _ if !nesting::is_bearable(text, language) => Err(Parsed::TooDeep),
            Language::Python => python::read(text).ok_or(Parsed::Broken),
            _ => javascript::read(path, text),
        };
        let reading = match reading {
            Ok(reading) => reading,
            Err(parsed) => {
                self.scanner.text(text, false, self.names);
                return Some(Code { parsed, ..Code::default() });
            }
        };
        self.scanner.text(&reading.without_prose(), true, self.names);
        self.scanner.add(reading.marks);
        Some(reading.code)
    }
}
