//! A strict tar reader: regular files and directories below one top directory, nothing else.
//!
//! Accepts POSIX ustar with pax `x` headers and GNU headers with `L` long names, as the publishing
//! tools write them. Everything on which tar readers are known to differ is refused (security.md
//! 2.10, rows A13-A40).

use std::io::{self, BufRead, Read};

use crate::domain::package::excerpt;
use crate::inspect::failure::{Failure, LimitRefusal};
use crate::inspect::gzip::{below, read_some};
use crate::inspect::limits::Limits;
use crate::inspect::names::{self, NameTree};

/// Why a tar archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TarRefusal {
    /// The data ends inside a header, a file or before the two end blocks (A03, A40).
    #[error("expected two zero blocks at the end of the tar archive, received the end of the data")]
    Truncated,
    /// One zero block with a header after it (A40).
    #[error("expected a second zero block at the end of the tar archive, received other bytes")]
    SingleEndBlock,
    /// Bytes other than zero after the end blocks (A40).
    #[error("expected only zero bytes after the end of the tar archive, received others")]
    AfterEnd,
    /// The header's checksum is not the unsigned sum of its bytes (A02, A39).
    #[error("expected tar header checksum {computed}, received {stated}")]
    Checksum {
        /// The unsigned sum.
        computed: u64,
        /// What the header states.
        stated: u64,
    },
    /// Neither the ustar nor the GNU signature.
    #[error("expected a ustar or GNU tar header, received another format for `{entry}`")]
    Format {
        /// The header's name field, escaped and cut.
        entry: String,
    },
    /// A numeric field that is not plain octal (A38).
    #[error("expected octal digits in the {field} of `{entry}`, received other bytes")]
    Number {
        /// The header field.
        field: &'static str,
        /// The header's name field, escaped and cut.
        entry: String,
    },
    /// A text field with bytes behind its NUL, or a field that must be empty and is not (A21, A37).
    #[error("expected nothing behind the {field} of `{entry}`, received hidden bytes")]
    Hidden {
        /// The header field.
        field: &'static str,
        /// The header's name field, escaped and cut.
        entry: String,
    },
    /// A link, device, FIFO, sparse file, multi-volume part, global header or unknown type
    /// (A29-A31, A35, A37).
    #[error("expected files and directories only, received {kind} `{entry}`")]
    Type {
        /// What it is, in words.
        kind: &'static str,
        /// The header's name field, escaped and cut.
        entry: String,
    },
    /// A directory that carries data (A28).
    #[error("expected an empty directory entry, received {size} bytes in `{entry}`")]
    DirectoryWithBytes {
        /// The stated size, in bytes.
        size: u64,
        /// The path, escaped and cut.
        entry: String,
    },
    /// The bytes that fill a file's last block are not zero.
    #[error("expected zero bytes after the end of `{entry}`, received others")]
    Padding {
        /// The path, escaped and cut.
        entry: String,
    },
    /// Two extension headers before one entry, or one before the end (A33, A34).
    #[error("expected one extension header before an entry, received two or no entry")]
    Extensions,
    /// A pax record that is not `LENGTH KEY=VALUE` and a line feed (A36).
    #[error("expected pax records of the form `length key=value`, received `{record}`")]
    PaxRecord {
        /// The start of the bad record, escaped and cut.
        record: String,
    },
    /// A pax key outside the accepted list, or one key twice (A37).
    #[error("expected each known pax key once, received `{key}`")]
    PaxKey {
        /// The key, escaped and cut.
        key: String,
    },
    /// pax and header disagree about the size (A32).
    #[error("expected size {header} as the header of `{entry}` says, received {pax} from pax")]
    PaxSize {
        /// The header's size, in bytes.
        header: u64,
        /// The pax record's size, in bytes.
        pax: u64,
        /// The path, escaped and cut.
        entry: String,
    },
    /// All pax headers together pass [`Limits::pax_total_bytes`].
    #[error("expected at most {limit} bytes of extension headers, received more")]
    PaxBytes {
        /// The bound, in bytes.
        limit: u64,
    },
    /// A file beside the top directory, or a second top directory (A26).
    #[error("expected every entry in one top directory, received `{entry}`")]
    TopDirectory {
        /// The path, escaped and cut.
        entry: String,
    },
}

/// Bytes of a tar block.
const BLOCK: usize = 512;

/// One file or directory; its content is read from the [`Reader`] that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    path: String,
    top: usize,
    size: u64,
    is_directory: bool,
    is_executable: bool,
}

impl Entry {
    /// The whole path, `/` between parts, without a trailing slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path below the top directory, as installers that strip it see it; empty for the top
    /// directory itself.
    pub fn inside(&self) -> &str {
        self.path.get(self.top + 1..).unwrap_or_default()
    }

    /// The top directory's name.
    pub fn top(&self) -> &str {
        &self.path[..self.top]
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

/// Reads entries in archive order; `Read` gives the content of the entry returned last.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    limits: Limits,
    names: NameTree,
    top: Option<String>,
    entries: u32,
    extension_bytes: u64,
    /// Content of the current entry not read yet, in bytes.
    left: u64,
    /// Zero bytes that must follow the content.
    padding: usize,
    current: String,
}

impl<R: BufRead> Reader<R> {
    /// Starts at the first header of an uncompressed archive.
    pub fn new(source: R, limits: &Limits) -> Self {
        Self {
            source,
            limits: limits.clone(),
            names: NameTree::default(),
            top: None,
            entries: 0,
            extension_bytes: 0,
            left: 0,
            padding: 0,
            current: String::new(),
        }
    }

    /// The next entry, skipping what was not read of the one before; `None` after the end blocks
    /// when the source is exhausted.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Failure> {
        self.finish_entry()?;
        let mut extension = None;
        loop {
            let Some(header) = self.header()? else {
                if extension.is_some() {
                    return Err(TarRefusal::Extensions.into());
                }
                self.only_zeros_follow()?;
                return Ok(None);
            };
            match header.kind {
                Kind::Pax | Kind::LongName if extension.is_some() => {
                    return Err(TarRefusal::Extensions.into());
                }
                Kind::Pax => {
                    let body = self.extension_body(&header)?;
                    extension = Some(pax_records(&body)?);
                }
                Kind::LongName => {
                    let body = self.extension_body(&header)?;
                    let path = without_final_nul(&body).to_vec();
                    extension = Some(Extension { path: Some(path), size: None });
                }
                Kind::File | Kind::Directory => {
                    return self.entry(header, extension.unwrap_or_default()).map(Some);
                }
            }
        }
    }

    /// Content of the current entry, all of it, if it is at most `limit` bytes.
    pub fn content(&mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        if self.left > limit {
            let (size, entry) = (self.left, excerpt(&self.current));
            return Err(LimitRefusal::EntryBytes { limit, size, entry }.into());
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn entry(&mut self, header: Header, extension: Extension) -> Result<Entry, Failure> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(LimitRefusal::Entries { limit: self.limits.entries }.into());
        }
        let raw = extension.path.unwrap_or(header.name);
        let is_directory = header.kind == Kind::Directory;
        let path = names::parse(&raw, is_directory, &self.limits)?.to_owned();
        let size = header.size;
        if let Some(pax) = extension.size.filter(|pax| *pax != size) {
            return Err(TarRefusal::PaxSize { header: size, pax, entry: excerpt(&path) }.into());
        }
        if is_directory && size != 0 {
            return Err(TarRefusal::DirectoryWithBytes { size, entry: excerpt(&path) }.into());
        }
        if size > self.limits.entry_bytes {
            let (limit, entry) = (self.limits.entry_bytes, excerpt(&path));
            return Err(LimitRefusal::EntryBytes { limit, size, entry }.into());
        }
        let top = path.split('/').next().unwrap_or(&path);
        let alone = top.len() == path.len() && !is_directory;
        if alone || self.top.as_deref().is_some_and(|known| known != top) {
            return Err(TarRefusal::TopDirectory { entry: excerpt(&path) }.into());
        }
        self.names.insert(&path, is_directory, &self.limits)?;
        let top = top.len();
        self.top.get_or_insert_with(|| path[..top].to_owned());
        self.current.clone_from(&path);
        self.left = size;
        self.padding = padding_of(size);
        let is_executable = !is_directory && header.mode & 0o111 != 0;
        Ok(Entry { path, top, size, is_directory, is_executable })
    }

    fn extension_body(&mut self, header: &Header) -> Result<Vec<u8>, Failure> {
        let limit = self.limits.pax_bytes;
        if header.size > limit {
            let entry = excerpt(&String::from_utf8_lossy(&header.name));
            return Err(LimitRefusal::EntryBytes { limit, size: header.size, entry }.into());
        }
        self.extension_bytes += header.size;
        if self.extension_bytes > self.limits.pax_total_bytes {
            return Err(TarRefusal::PaxBytes { limit: self.limits.pax_total_bytes }.into());
        }
        self.current = String::from_utf8_lossy(&header.name).into_owned();
        self.left = header.size;
        self.padding = padding_of(header.size);
        let mut body = Vec::new();
        self.read_to_end(&mut body)?;
        self.finish_entry()?;
        Ok(body)
    }

    fn finish_entry(&mut self) -> Result<(), Failure> {
        while self.left > 0 {
            let available = self.source.fill_buf()?.len();
            if available == 0 {
                return Err(TarRefusal::Truncated.into());
            }
            let skipped = below(self.left, available);
            self.source.consume(skipped);
            self.left -= skipped as u64;
        }
        let mut padding = [0; BLOCK];
        let padding = &mut padding[..self.padding];
        read_whole(&mut self.source, padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(TarRefusal::Padding { entry: excerpt(&self.current) }.into());
        }
        self.padding = 0;
        Ok(())
    }

    /// The next header, or `None` after both end blocks.
    fn header(&mut self) -> Result<Option<Header>, Failure> {
        let mut block = [0; BLOCK];
        read_whole(&mut self.source, &mut block)?;
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(Header::parse(&block)?));
        }
        read_whole(&mut self.source, &mut block)?;
        if block.iter().any(|byte| *byte != 0) {
            return Err(TarRefusal::SingleEndBlock.into());
        }
        Ok(None)
    }

    fn only_zeros_follow(&mut self) -> Result<(), Failure> {
        loop {
            let rest = self.source.fill_buf()?;
            if rest.is_empty() {
                return Ok(());
            }
            if rest.iter().any(|byte| *byte != 0) {
                return Err(TarRefusal::AfterEnd.into());
            }
            let read = rest.len();
            self.source.consume(read);
        }
    }

    fn pull(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        let wanted = below(self.left, out.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = read_some(&mut self.source, &mut out[..wanted])?;
        if read == 0 {
            return Err(TarRefusal::Truncated.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.pull(out).map_err(io::Error::from)
    }
}

fn padding_of(size: u64) -> usize {
    below(size.wrapping_neg() % BLOCK as u64, BLOCK)
}

fn read_whole(source: &mut impl Read, mut out: &mut [u8]) -> Result<(), Failure> {
    while !out.is_empty() {
        let read = read_some(source, out)?;
        if read == 0 {
            return Err(TarRefusal::Truncated.into());
        }
        out = &mut out[read..];
    }
    Ok(())
}

fn without_final_nul(body: &[u8]) -> &[u8] {
    body.strip_suffix(b"\0").unwrap_or(body)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Pax,
    LongName,
}

#[derive(Debug)]
struct Header {
    name: Vec<u8>,
    kind: Kind,
    size: u64,
    mode: u64,
}

/// What an extension header changes about the entry after it.
#[derive(Debug, Default)]
struct Extension {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Header {
    fn parse(block: &[u8; BLOCK]) -> Result<Self, TarRefusal> {
        let entry = || excerpt(&String::from_utf8_lossy(until_nul(&block[..100])));
        let number = |field, range: std::ops::Range<usize>| {
            octal(&block[range]).ok_or_else(|| TarRefusal::Number { field, entry: entry() })
        };
        // The checksum comes first: without it the block is not a tar header at all.
        let stated = number("checksum", 148..156)?;
        let spaces = 8 * u64::from(b' ');
        let computed = block
            .iter()
            .enumerate()
            .filter(|(at, _)| !(148..156).contains(at))
            .fold(spaces, |sum, (_, byte)| sum + u64::from(*byte));
        if computed != stated {
            return Err(TarRefusal::Checksum { computed, stated });
        }
        let prefix = match &block[257..265] {
            b"ustar\x0000" => text(block, "name prefix", 345..500)?,
            // GNU keeps times and sparse maps there; some readers take them for a prefix.
            b"ustar  \0" if block[345..500].iter().all(|byte| *byte == 0) => &[][..],
            b"ustar  \0" => {
                return Err(TarRefusal::Hidden { field: "GNU fields", entry: entry() });
            }
            _ => return Err(TarRefusal::Format { entry: entry() }),
        };
        if block[500..].iter().any(|byte| *byte != 0) {
            return Err(TarRefusal::Hidden { field: "header", entry: entry() });
        }
        let kind = kind_of(block[156]).map_err(|kind| TarRefusal::Type { kind, entry: entry() })?;
        let size = number("size", 124..136)?;
        let mode = number("mode", 100..108)?;
        // Readers stop at a field they cannot parse, and would not see what follows.
        for (field, range) in [
            ("modification time", 136..148),
            ("device number", 329..337),
            ("device number", 337..345),
        ] {
            number(field, range)?;
        }
        for (field, range) in [("user", 108..116), ("group", 116..124)] {
            // Large account numbers are written base-256 by GNU tar; they are never used.
            if block[range.start] != 0x80 {
                number(field, range)?;
            }
        }
        if !text(block, "link name", 157..257)?.is_empty() {
            return Err(TarRefusal::Hidden { field: "link name", entry: entry() });
        }
        text(block, "user name", 265..297)?;
        text(block, "group name", 297..329)?;
        let name = text(block, "name", 0..100)?;
        let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        Ok(Self { name, kind, size, mode })
    }
}

fn kind_of(flag: u8) -> Result<Kind, &'static str> {
    Ok(match flag {
        b'0' | 0 => Kind::File,
        b'5' => Kind::Directory,
        b'x' => Kind::Pax,
        b'L' => Kind::LongName,
        b'1' => return Err("hard link"),
        b'2' => return Err("symbolic link"),
        b'3' | b'4' => return Err("device"),
        b'6' => return Err("FIFO"),
        b'7' => return Err("contiguous file"),
        b'g' => return Err("global pax header"),
        b'K' => return Err("long link name"),
        b'M' => return Err("multi-volume part"),
        b'S' => return Err("sparse file"),
        b'V' => return Err("volume label"),
        _ => return Err("entry of unknown type"),
    })
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A NUL-padded text field; bytes behind the first NUL are refused.
fn text<'b>(
    block: &'b [u8; BLOCK],
    field: &'static str,
    range: std::ops::Range<usize>,
) -> Result<&'b [u8], TarRefusal> {
    let bytes = &block[range];
    let value = until_nul(bytes);
    if bytes[value.len()..].iter().any(|byte| *byte != 0) {
        let entry = excerpt(&String::from_utf8_lossy(until_nul(&block[..100])));
        return Err(TarRefusal::Hidden { field, entry });
    }
    Ok(value)
}

/// Octal digits, then only NULs and spaces; an all-blank field is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    if field[digits..].iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    // At most 12 digits of 3 bits: no overflow.
    Some(field[..digits].iter().fold(0, |value, digit| value << 3 | u64::from(digit - b'0')))
}

/// pax keys that the publishing tools write; only `path` and `size` have a meaning here.
const PAX_KEYS: [&[u8]; 14] = [
    b"path",
    b"linkpath",
    b"size",
    b"mtime",
    b"atime",
    b"ctime",
    b"uid",
    b"gid",
    b"uname",
    b"gname",
    b"comment",
    b"SCHILY.dev",
    b"SCHILY.ino",
    b"SCHILY.nlink",
];

fn pax_records(body: &[u8]) -> Result<Extension, TarRefusal> {
    let mut extension = Extension::default();
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let bad = || TarRefusal::PaxRecord { record: excerpt(&String::from_utf8_lossy(rest)) };
        let (key, value, after) = pax_record(rest).ok_or_else(bad)?;
        if !PAX_KEYS.contains(&key) || seen.contains(&key) {
            return Err(TarRefusal::PaxKey { key: excerpt(&String::from_utf8_lossy(key)) });
        }
        seen.push(key);
        match key {
            b"path" => extension.path = Some(value.to_vec()),
            b"size" => extension.size = Some(decimal(value).ok_or_else(bad)?),
            _ => {}
        }
        rest = after;
    }
    Ok(extension)
}

/// Splits the first record of `LENGTH KEY=VALUE\n` into key, value and the bytes after it.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|byte| *byte == b' ')?;
    let digits = &bytes[..space];
    if digits.starts_with(b"0") {
        return None;
    }
    let length = usize::try_from(decimal(digits)?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    let hidden = value.is_empty() || value.iter().any(|byte| matches!(byte, 0 | b'\n'));
    (!hidden).then_some((key, value, &bytes[length..]))
}

/// Decimal digits and nothing else, at most 2^63.
fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 18 || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(bytes.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}
