//! A strict ZIP reader: local and central structure must tell one story with no byte left over.
//!
//! Reproduces the refusals of PyPI and uv (security.md 2.10, rows Z01-Z30) so that an approved
//! wheel is neither read in two ways nor bounced later. ZIP64 is outside the subset: our bounds
//! lie below its use.

use std::io::{Read, Seek, SeekFrom};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::domain::package::excerpt;
use crate::inspect::failure::{Failure, LimitRefusal};
use crate::inspect::gzip::{PACKED_BYTES, PLAIN_BYTES, below, read_some};
use crate::inspect::limits::Limits;
use crate::inspect::names::{self, NameTree};

/// Why a ZIP archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZipRefusal {
    /// The last 22 bytes are no end record: not a ZIP, cut short, or followed by other bytes or a
    /// comment (Z02, Z04).
    #[error("expected the file to end with a ZIP end record without comment, received other bytes")]
    NoEndRecord,
    /// More than one disk (Z28).
    #[error("expected a ZIP archive on one disk, received a part of several")]
    MultiDisk,
    /// ZIP64 records or sizes (Z15-Z17).
    #[error("expected a ZIP archive without ZIP64 records, received one in `{place}`")]
    Zip64 {
        /// An entry's path, escaped and cut, or the end of the archive.
        place: String,
    },
    /// The central directory is not where or as long as the end record says (Z01, Z03, Z29, Z30).
    #[error(
        "expected the central directory to fill the space before the end record, received {problem}"
    )]
    CentralDirectory {
        /// What does not add up.
        problem: &'static str,
    },
    /// A record does not start with its signature.
    #[error("expected a ZIP {record} record at offset {offset}, received other bytes")]
    Signature {
        /// `central` or `local`.
        record: &'static str,
        /// Byte offset in the file or, for central records, in the directory.
        offset: u64,
    },
    /// The local records do not follow each other from the first byte to the central directory
    /// (Z01, Z07, Z10, Z11).
    #[error(
        "expected `{entry}` at offset {expected}, received {offset}: entries overlap or hide bytes"
    )]
    Layout {
        /// Where the record before ended.
        expected: u64,
        /// Where the central directory says it starts.
        offset: u64,
        /// The path, escaped and cut.
        entry: String,
    },
    /// Local and central record differ (Z05, Z06, Z08).
    #[error("expected the same {field} in both records of `{entry}`, received two")]
    Disagreement {
        /// The field.
        field: &'static str,
        /// The central path, escaped and cut.
        entry: String,
    },
    /// Encryption, a data descriptor or another flag (Z12, Z14).
    #[error("expected a plain entry, received {flag} in `{entry}`")]
    Flag {
        /// What the flag means.
        flag: &'static str,
        /// The path, escaped and cut.
        entry: String,
    },
    /// A format version above 4.5, at which readers give up, or a hint at a feature.
    #[error("expected an entry for ZIP 4.5 or earlier, received version {version} in `{entry}`")]
    Version {
        /// Version times ten, as the record holds it.
        version: u16,
        /// The path, escaped and cut.
        entry: String,
    },
    /// Neither stored nor deflated (Z13).
    #[error("expected compression method 0 or 8, received {method} in `{entry}`")]
    Method {
        /// The method's number.
        method: u16,
        /// The path, escaped and cut.
        entry: String,
    },
    /// A malformed extra field, or one that renames the entry (Z15, Z18).
    #[error("expected harmless extra fields, received `{field:#06x}` in `{entry}`")]
    Extra {
        /// The field's identifier, 0 when the list is malformed.
        field: u16,
        /// The path, escaped and cut.
        entry: String,
    },
    /// A comment on an entry.
    #[error("expected no comment on an entry, received one on `{entry}`")]
    Comment {
        /// The path, escaped and cut.
        entry: String,
    },
    /// A name outside ASCII without the UTF-8 flag: readers would guess its encoding (Z19).
    #[error("expected the UTF-8 flag on a name outside ASCII, received none on `{entry}`")]
    NameEncoding {
        /// The path, escaped and cut.
        entry: String,
    },
    /// External attributes of a link or device, or of a directory on a file's name (Z22).
    #[error("expected files and directories only, received mode `{mode:#o}` on `{entry}`")]
    FileType {
        /// The Unix mode, file type bits included.
        mode: u32,
        /// The path, escaped and cut.
        entry: String,
    },
    /// A directory that carries data (Z23).
    #[error("expected an empty directory entry, received data in `{entry}`")]
    DirectoryWithBytes {
        /// The path, escaped and cut.
        entry: String,
    },
    /// The deflate stream is broken, or longer or shorter than stated (Z06, Z25).
    #[error("expected {size} bytes from `{entry}`, received a stream that gives others")]
    Stream {
        /// The stated size, in bytes.
        size: u64,
        /// The path, escaped and cut.
        entry: String,
    },
    /// The checksum is not that of the content (Z24).
    #[error("expected CRC {stated:08x} of `{entry}`, received content with `{computed:08x}`")]
    Crc {
        /// What the records say.
        stated: u32,
        /// CRC-32 of the content.
        computed: u32,
        /// The path, escaped and cut.
        entry: String,
    },
    /// The first block is also a tar header (Z27).
    #[error("expected a ZIP archive only, received a file that is also a tar archive")]
    AlsoTar,
}

/// Bytes of the end record without comment.
const END_BYTES: u64 = 22;
/// Bytes of a central record without its variable part.
const CENTRAL_BYTES: usize = 46;
/// Bytes of a local record without its variable part.
const LOCAL_BYTES: usize = 30;
/// Longest central directory, in bytes: 50,000 entries with long names fit.
const DIRECTORY_MAX: u64 = 64 << 20;
/// Flag bits that change nothing: deflate hints and the UTF-8 mark.
const FLAGS_ACCEPTED: u16 = UTF8_FLAG | 0x0006;
const UTF8_FLAG: u16 = 0x0800;
/// Highest version needed to extract, times ten.
const VERSION_MAX: u16 = 45;

/// One file or directory of an [`Archive`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    path: String,
    is_directory: bool,
    is_executable: bool,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
    content: u64,
}

impl Entry {
    /// The path, `/` between parts, without a trailing slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes of content; 0 for directories.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// True for directories.
    pub const fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Whether installers let somebody run it as a program.
    pub const fn is_executable(&self) -> bool {
        self.is_executable
    }
}

/// A ZIP archive whose structure has been checked; contents are checked as they are read.
#[derive(Debug)]
pub struct Archive<R> {
    source: R,
    entries: Vec<Entry>,
    inflater: Inflater,
}

/// What inflating an entry takes, kept from one entry to the next.
#[derive(Debug)]
struct Inflater {
    packed: Box<[u8]>,
    plain: Box<[u8]>,
    state: Decompress,
}

impl Inflater {
    fn new() -> Self {
        Self {
            packed: vec![0; PACKED_BYTES].into_boxed_slice(),
            plain: vec![0; PLAIN_BYTES].into_boxed_slice(),
            state: Decompress::new(false),
        }
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads and checks both directories of a file.
    pub fn open(mut source: R, limits: &Limits) -> Result<Self, Failure> {
        let length = source.seek(SeekFrom::End(0))?;
        refuse_tar(&mut source, length)?;
        let end = End::read(&mut source, length)?;
        let mut directory = vec![0; below(end.directory_bytes, usize::MAX)];
        source.seek(SeekFrom::Start(end.directory_offset))?;
        fill(&mut source, &mut directory)?;
        let mut entries = central_entries(&directory, end.entries, limits)?;
        let unpacked = entries.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.size));
        within_limits(unpacked, length, limits)?;
        check_locals(&mut source, &mut entries, end.directory_offset)?;
        Ok(Self { source, entries, inflater: Inflater::new() })
    }

    /// The entries in central directory order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Passes an entry's content to `sink` piece by piece, then checks size and CRC.
    ///
    /// What `sink` saw must not be used before this returns `Ok`.
    pub fn copy(
        &mut self,
        entry: &Entry,
        mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.source.seek(SeekFrom::Start(entry.content))?;
        let mut crc = Crc::new();
        let mut checked = |piece: &[u8]| {
            crc.update(piece);
            sink(piece)
        };
        if entry.method == 0 {
            self.copy_stored(entry, &mut checked)?;
        } else {
            self.copy_deflated(entry, &mut checked)?;
        }
        if crc.sum() != entry.crc {
            let (stated, computed) = (entry.crc, crc.sum());
            return Err(ZipRefusal::Crc { stated, computed, entry: excerpt(&entry.path) }.into());
        }
        Ok(())
    }

    /// An entry's whole content, if it is at most `limit` bytes.
    pub fn content(&mut self, entry: &Entry, limit: u64) -> Result<Vec<u8>, Failure> {
        if entry.size > limit {
            let (size, entry) = (entry.size, excerpt(&entry.path));
            return Err(LimitRefusal::EntryBytes { limit, size, entry }.into());
        }
        let mut bytes = Vec::new();
        self.copy(entry, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn copy_stored(
        &mut self,
        entry: &Entry,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let buffer = &mut self.inflater.packed;
        let mut left = entry.packed;
        while left > 0 {
            let wanted = below(left, buffer.len());
            fill(&mut self.source, &mut buffer[..wanted])?;
            sink(&buffer[..wanted])?;
            left -= wanted as u64;
        }
        Ok(())
    }

    fn copy_deflated(
        &mut self,
        entry: &Entry,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let broken = || ZipRefusal::Stream { size: entry.size, entry: excerpt(&entry.path) };
        let Inflater { packed, plain, state: inflate } = &mut self.inflater;
        let (mut start, mut end, mut left) = (0, 0, entry.packed);
        inflate.reset(false);
        loop {
            if start == end && left > 0 {
                (start, end) = (0, below(left, packed.len()));
                fill(&mut self.source, &mut packed[..end])?;
                left -= end as u64;
            }
            let (taken, made) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(&packed[start..end], plain, FlushDecompress::None)
                .map_err(|_| broken())?;
            start += below(inflate.total_in() - taken, end - start);
            let made = below(inflate.total_out() - made, plain.len());
            if inflate.total_out() > entry.size {
                return Err(broken().into());
            }
            sink(&plain[..made])?;
            if status == Status::StreamEnd {
                break;
            }
            if made == 0 && start == end && left == 0 {
                return Err(broken().into());
            }
        }
        let exact = start == end && left == 0 && inflate.total_out() == entry.size;
        if exact { Ok(()) } else { Err(broken().into()) }
    }
}

fn within_limits(unpacked: u64, packed: u64, limits: &Limits) -> Result<(), LimitRefusal> {
    if unpacked > limits.unpacked_bytes {
        return Err(LimitRefusal::Unpacked { limit: limits.unpacked_bytes });
    }
    let allowed = packed.saturating_mul(limits.ratio).max(limits.ratio_free_bytes);
    if unpacked > allowed {
        return Err(LimitRefusal::Ratio { limit: limits.ratio, unpacked, packed });
    }
    Ok(())
}

/// Reads exactly `out.len()` bytes that the structure promised.
fn fill(source: &mut impl Read, mut out: &mut [u8]) -> Result<(), Failure> {
    while !out.is_empty() {
        let read = read_some(source, out)?;
        if read == 0 {
            return Err(ZipRefusal::NoEndRecord.into());
        }
        out = &mut out[read..];
    }
    Ok(())
}

fn refuse_tar(source: &mut (impl Read + Seek), length: u64) -> Result<(), Failure> {
    if length < 512 {
        return Ok(());
    }
    let mut signature = [0; 5];
    source.seek(SeekFrom::Start(257))?;
    fill(source, &mut signature)?;
    if &signature == b"ustar" {
        return Err(ZipRefusal::AlsoTar.into());
    }
    Ok(())
}

/// Little-endian fields at fixed offsets of a record long enough to hold them.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }
}

struct End {
    entries: u16,
    directory_bytes: u64,
    directory_offset: u64,
}

impl End {
    fn read(source: &mut (impl Read + Seek), length: u64) -> Result<Self, Failure> {
        let start = length.checked_sub(END_BYTES).ok_or(ZipRefusal::NoEndRecord)?;
        source.seek(SeekFrom::Start(start))?;
        let mut bytes = [0; 22];
        fill(source, &mut bytes)?;
        let fields = Fields(&bytes);
        if !bytes.starts_with(b"PK\x05\x06") || fields.u16(20) != 0 {
            return Err(ZipRefusal::NoEndRecord.into());
        }
        let place = || "the end of the archive".to_owned();
        if fields.u16(8) == u16::MAX || fields.u32(12) == u32::MAX || fields.u32(16) == u32::MAX {
            return Err(ZipRefusal::Zip64 { place: place() }.into());
        }
        if fields.u16(4) != 0 || fields.u16(6) != 0 || fields.u16(8) != fields.u16(10) {
            return Err(ZipRefusal::MultiDisk.into());
        }
        let end = Self {
            entries: fields.u16(8),
            directory_bytes: fields.u32(12).into(),
            directory_offset: fields.u32(16).into(),
        };
        // A ZIP64 locator would lie in between, as would a second end record.
        if end.directory_offset + end.directory_bytes != start {
            let problem = "a gap, an overlap or bytes in front of the archive";
            return Err(ZipRefusal::CentralDirectory { problem }.into());
        }
        if end.directory_bytes > DIRECTORY_MAX {
            let problem = "more than 64 MiB";
            return Err(ZipRefusal::CentralDirectory { problem }.into());
        }
        Ok(end)
    }
}

fn central_entries(directory: &[u8], stated: u16, limits: &Limits) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let mut names = NameTree::default();
    let mut at = 0;
    while at < directory.len() {
        if entries.len() >= below(limits.entries.into(), usize::MAX) {
            return Err(LimitRefusal::Entries { limit: limits.entries }.into());
        }
        let (entry, length) = central_entry(&directory[at..], at as u64, limits)?;
        names.insert(&entry.path, entry.is_directory, limits)?;
        entries.push(entry);
        at += length;
    }
    if entries.len() != usize::from(stated) {
        let problem = "another number of entries";
        return Err(ZipRefusal::CentralDirectory { problem }.into());
    }
    Ok(entries)
}

/// Reads one central record; also returns its length in bytes.
fn central_entry(record: &[u8], offset: u64, limits: &Limits) -> Result<(Entry, usize), Failure> {
    if record.len() < CENTRAL_BYTES || !record.starts_with(b"PK\x01\x02") {
        return Err(ZipRefusal::Signature { record: "central", offset }.into());
    }
    let fields = Fields(record);
    let name_end = CENTRAL_BYTES + usize::from(fields.u16(28));
    let extra_end = name_end + usize::from(fields.u16(30));
    let (Some(raw), Some(extra)) =
        (record.get(CENTRAL_BYTES..name_end), record.get(name_end..extra_end))
    else {
        let problem = "a record that reaches past its end";
        return Err(ZipRefusal::CentralDirectory { problem }.into());
    };
    let is_directory = raw.ends_with(b"/");
    let path = names::parse(raw, is_directory, limits)?.to_owned();
    let name = || excerpt(&path);
    if fields.u16(32) != 0 {
        return Err(ZipRefusal::Comment { entry: name() }.into());
    }
    if fields.u16(34) != 0 {
        return Err(ZipRefusal::MultiDisk.into());
    }
    check_extra(extra, &path)?;
    check_version(fields.u16(6), &path)?;
    let (flags, method) = (fields.u16(8), fields.u16(10));
    check_coding(flags, method, &path)?;
    let attributes = fields.u32(38);
    check_file_type(attributes, is_directory, &path)?;
    let (packed, size, start) = (fields.u32(20), fields.u32(24), fields.u32(42));
    if [packed, size, start].contains(&u32::MAX) {
        return Err(ZipRefusal::Zip64 { place: name() }.into());
    }
    let crc = fields.u32(16);
    if is_directory && (packed, size, crc) != (0, 0, 0) {
        return Err(ZipRefusal::DirectoryWithBytes { entry: name() }.into());
    }
    if method == 0 && packed != size {
        return Err(ZipRefusal::Stream { size: size.into(), entry: name() }.into());
    }
    if u64::from(size) > limits.entry_bytes {
        let (limit, size) = (limits.entry_bytes, size.into());
        return Err(LimitRefusal::EntryBytes { limit, size, entry: name() }.into());
    }
    let entry = Entry {
        path,
        is_directory,
        is_executable: !is_directory && is_run(attributes >> 16, fields.u16(4)),
        flags,
        method,
        crc,
        packed: packed.into(),
        size: size.into(),
        offset: start.into(),
        content: 0,
    };
    Ok((entry, extra_end))
}

fn check_version(version: u16, path: &str) -> Result<(), ZipRefusal> {
    if version > VERSION_MAX {
        return Err(ZipRefusal::Version { version, entry: excerpt(path) });
    }
    Ok(())
}

fn check_coding(flags: u16, method: u16, path: &str) -> Result<(), ZipRefusal> {
    let entry = || excerpt(path);
    let flag = match flags & !FLAGS_ACCEPTED {
        0 => None,
        other if other & 0x2041 != 0 => Some("encryption"),
        other if other & 0x0008 != 0 => Some("a data descriptor"),
        _ => Some("an unused flag"),
    };
    if let Some(flag) = flag {
        return Err(ZipRefusal::Flag { flag, entry: entry() });
    }
    if !matches!(method, 0 | 8) {
        return Err(ZipRefusal::Method { method, entry: entry() });
    }
    if !path.is_ascii() && flags & UTF8_FLAG == 0 {
        return Err(ZipRefusal::NameEncoding { entry: entry() });
    }
    Ok(())
}

/// Whether anything makes the file executable when it unpacks it: pip when the mode says that it is a
/// regular file, whatever made the archive; unzip and uv without that, where it was made on Unix.
const fn is_run(mode: u32, made_by: u16) -> bool {
    const UNIX: u16 = 3;
    let is_regular = mode & 0o170_000 == 0o100_000;
    mode & 0o111 != 0 && (is_regular || made_by >> 8 == UNIX)
}

/// The upper half of the external attributes is a Unix mode, bit 4 of the lower one DOS's
/// directory mark.
fn check_file_type(attributes: u32, is_directory: bool, path: &str) -> Result<(), ZipRefusal> {
    let mode = attributes >> 16;
    let accepted = match mode & 0o170_000 {
        0 => true,
        0o100_000 => !is_directory,
        0o040_000 => is_directory,
        _ => false,
    };
    if !accepted || (attributes & 0x10 != 0 && !is_directory) {
        return Err(ZipRefusal::FileType { mode, entry: excerpt(path) });
    }
    Ok(())
}

fn check_extra(mut extra: &[u8], path: &str) -> Result<(), ZipRefusal> {
    let entry = || excerpt(path);
    while !extra.is_empty() {
        if extra.len() < 4 {
            return Err(ZipRefusal::Extra { field: 0, entry: entry() });
        }
        let fields = Fields(extra);
        let (field, end) = (fields.u16(0), 4 + usize::from(fields.u16(2)));
        if end > extra.len() {
            return Err(ZipRefusal::Extra { field: 0, entry: entry() });
        }
        match field {
            0x0001 => return Err(ZipRefusal::Zip64 { place: entry() }),
            // Unicode path and comment, encryption headers: they change name or content.
            0x7075 | 0x6375 | 0x9901 | 0x0017 => {
                return Err(ZipRefusal::Extra { field, entry: entry() });
            }
            _ => {}
        }
        extra = &extra[end..];
    }
    Ok(())
}

/// Checks that local records repeat the central ones and fill the file up to the directory.
fn check_locals(
    source: &mut (impl Read + Seek),
    entries: &mut [Entry],
    directory_offset: u64,
) -> Result<(), Failure> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|index| entries[*index].offset);
    let mut expected = 0;
    for index in order {
        let entry = &mut entries[index];
        if entry.offset != expected {
            let (offset, entry) = (entry.offset, excerpt(&entry.path));
            return Err(ZipRefusal::Layout { expected, offset, entry }.into());
        }
        expected = check_local(source, entry)?;
        if expected > directory_offset {
            let (offset, entry) = (entry.offset, excerpt(&entry.path));
            return Err(ZipRefusal::Layout { expected: directory_offset, offset, entry }.into());
        }
    }
    if expected != directory_offset {
        let problem = "bytes between the last entry and the directory";
        return Err(ZipRefusal::CentralDirectory { problem }.into());
    }
    Ok(())
}

/// Checks one local record, notes where its content starts and returns where it ends.
fn check_local(source: &mut (impl Read + Seek), entry: &mut Entry) -> Result<u64, Failure> {
    source.seek(SeekFrom::Start(entry.offset))?;
    let mut fixed = [0; LOCAL_BYTES];
    fill(source, &mut fixed)?;
    if !fixed.starts_with(b"PK\x03\x04") {
        return Err(ZipRefusal::Signature { record: "local", offset: entry.offset }.into());
    }
    let fields = Fields(&fixed);
    let name_bytes = usize::from(fields.u16(26));
    let mut variable = vec![0; name_bytes + usize::from(fields.u16(28))];
    fill(source, &mut variable)?;
    let (name, extra) = variable.split_at(name_bytes);
    let same_name = match name.strip_suffix(b"/") {
        Some(bare) => entry.is_directory && bare == entry.path.as_bytes(),
        None => !entry.is_directory && name == entry.path.as_bytes(),
    };
    let same = [
        ("name", same_name),
        ("flags", fields.u16(6) == entry.flags),
        ("method", fields.u16(8) == entry.method),
        ("checksum", fields.u32(14) == entry.crc),
        ("packed size", u64::from(fields.u32(18)) == entry.packed),
        ("size", u64::from(fields.u32(22)) == entry.size),
    ];
    if let Some((field, _)) = same.into_iter().find(|(_, same)| !same) {
        return Err(ZipRefusal::Disagreement { field, entry: excerpt(&entry.path) }.into());
    }
    check_extra(extra, &entry.path)?;
    check_version(fields.u16(4), &entry.path)?;
    entry.content = entry.offset + (LOCAL_BYTES + variable.len()) as u64;
    Ok(entry.content + entry.packed)
}
