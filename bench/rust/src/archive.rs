//! Valid npm tarballs and wheels of any size.
//!
//! An archive is a long beginning, made and hashed once, and a short end that holds the package's
//! own name and version. Every request so carries bytes of its own with true digests, and costs the
//! client next to nothing.

use std::io::Write as _;

use flate2::{Compress, Compression, FlushCompress, Status};
use ring::digest;

use crate::digests::{Finished, Running, Wanted};
use crate::measure::Sequence;
use crate::requests::{core_metadata, package_json};

/// What sort of archive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An npm tarball.
    Tarball,
    /// A wheel.
    Wheel,
}

/// The shared beginning of many archives of one size.
pub struct Archive {
    kind: Kind,
    beginning: Vec<u8>,
    /// The beginning as npm sends it; its length is a multiple of three bytes. Empty for wheels.
    base64: String,
    digests: Running,
    /// CRC and length of what the tarball's beginning unpacks to.
    crc: crc32fast::Hasher,
    unpacked_bytes: u64,
    /// What the wheel's beginning puts into the directory at its end and into RECORD.
    directory: Directory,
    record: String,
}

/// Space kept free for the end of an archive, in bytes.
const END_BYTES: usize = 2_600;
/// Largest file inside, before it is packed, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Block of a tar archive.
const BLOCK: usize = 512;

impl Archive {
    /// The beginning of archives of about `size` bytes.
    pub fn new(kind: Kind, size: usize) -> Self {
        match kind {
            Kind::Tarball => Self::tarball(size),
            Kind::Wheel => Self::wheel(size),
        }
    }

    /// The beginning, shared by all.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// The beginning of a tarball in base64.
    pub fn beginning_base64(&self) -> &str {
        &self.base64
    }

    /// The end for one package and version, and the digests of the whole.
    pub fn end(&self, name: &str, version: &str) -> (Vec<u8>, Finished) {
        let end = match self.kind {
            Kind::Tarball => self.tarball_end(name, version),
            Kind::Wheel => self.wheel_end(name, version),
        };
        let mut digests = self.digests.clone();
        digests.update(&end);
        (end, digests.finish())
    }

    fn tarball(size: usize) -> Self {
        let mut sequence = Sequence(0x9E37_79B9_7F4A_7C15 ^ size as u64);
        let room = size.saturating_sub(END_BYTES);
        let file_bytes = ((room * 3).min(FILE_BYTES_MAX) / BLOCK * BLOCK).max(BLOCK);
        let file = source_text(&mut sequence, file_bytes);
        let packed = deflate(&file, FlushCompress::Full);
        let mut packing = Packing::default();
        let mut count = 0;
        while packing.bytes.len() + packed.len() + BLOCK + 5 <= room {
            let header = tar_header(&format!("package/lib/file-{count:05}.js"), file.len());
            packing.stored(&header);
            packing.deflated(&packed, &file);
            count += 1;
        }
        let rest = room.saturating_sub(packing.bytes.len() + 1_100);
        if rest > 0 {
            let mut entry = tar_header("package/lib/blob.bin", rest).to_vec();
            entry.extend(sequence.bytes(rest));
            entry.resize(entry.len().next_multiple_of(BLOCK), 0);
            packing.stored(&entry);
        }
        while !packing.bytes.len().is_multiple_of(3) {
            packing.stored(&[]);
        }
        let mut digests = Running::new(Wanted::ALL);
        digests.update(&packing.bytes);
        Self {
            kind: Kind::Tarball,
            base64: base64_simd::STANDARD.encode_to_string(&packing.bytes),
            beginning: packing.bytes,
            digests,
            crc: packing.crc,
            unpacked_bytes: packing.unpacked_bytes,
            directory: Directory::default(),
            record: String::new(),
        }
    }

    fn wheel(size: usize) -> Self {
        let mut sequence = Sequence(0xD1B5_4A32_D192_ED03 ^ size as u64);
        let room = size.saturating_sub(END_BYTES);
        let file = source_text(&mut sequence, (room * 3).clamp(BLOCK, FILE_BYTES_MAX));
        let packed = deflate(&file, FlushCompress::Finish);
        let mut bytes = Vec::new();
        let mut directory = Directory::default();
        let mut record = String::new();
        let used = |bytes: &Vec<u8>, directory: &Directory, record: &String| {
            bytes.len() + directory.bytes.len() + record.len() + 300
        };
        while used(&bytes, &directory, &record) + packed.len() <= room {
            let name = format!("payload/file_{:05}.py", directory.count);
            directory.add(&mut bytes, 0, &Entry::deflated(&name, &packed, &file));
            record += &record_line(&name, &file);
        }
        let rest = room.saturating_sub(used(&bytes, &directory, &record));
        if rest > 0 {
            let file = sequence.bytes(rest);
            directory.add(&mut bytes, 0, &Entry::stored("payload/blob.bin", &file));
            record += &record_line("payload/blob.bin", &file);
        }
        let mut digests = Running::new(Wanted::ALL);
        digests.update(&bytes);
        Self {
            kind: Kind::Wheel,
            beginning: bytes,
            base64: String::new(),
            digests,
            crc: crc32fast::Hasher::new(),
            unpacked_bytes: 0,
            directory,
            record,
        }
    }

    fn tarball_end(&self, name: &str, version: &str) -> Vec<u8> {
        let manifest = package_json(name, version).to_string();
        let mut entry = tar_header("package/package.json", manifest.len()).to_vec();
        entry.extend_from_slice(manifest.as_bytes());
        entry.resize(entry.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
        let mut end = Vec::with_capacity(2 * END_BYTES);
        stored_blocks(&mut end, &entry, true);
        let mut crc = self.crc.clone();
        crc.update(&entry);
        end.extend_from_slice(&crc.finalize().to_le_bytes());
        let unpacked = self.unpacked_bytes + entry.len() as u64;
        // gzip keeps the length modulo 2^32.
        end.extend_from_slice(&(unpacked as u32).to_le_bytes());
        end
    }

    fn wheel_end(&self, name: &str, version: &str) -> Vec<u8> {
        let folder = format!("{}-{version}.dist-info", name.replace('-', "_"));
        let metadata = core_metadata(name, version);
        let wheel = "Wheel-Version: 1.0\nGenerator: countersign-bench\nRoot-Is-Purelib: true\n\
                     Tag: py3-none-any\n";
        let mut record = self.record.clone();
        for (file, text) in [("METADATA", metadata.as_str()), ("WHEEL", wheel)] {
            record += &record_line(&format!("{folder}/{file}"), text.as_bytes());
        }
        record += &format!("{folder}/RECORD,,\n");
        let mut end = Vec::with_capacity(2 * END_BYTES + self.directory.bytes.len());
        let mut directory = self.directory.clone();
        let files =
            [("METADATA", metadata.as_str()), ("WHEEL", wheel), ("RECORD", record.as_str())];
        for (file, text) in files {
            let name = format!("{folder}/{file}");
            directory.add(&mut end, self.beginning.len(), &Entry::stored(&name, text.as_bytes()));
        }
        directory.close(&mut end, self.beginning.len());
        end
    }
}

/// A gzip stream under construction.
struct Packing {
    bytes: Vec<u8>,
    crc: crc32fast::Hasher,
    unpacked_bytes: u64,
}

impl Default for Packing {
    fn default() -> Self {
        // RFC 1952 2.3: no name, no time, unknown system.
        let bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        Self { bytes, crc: crc32fast::Hasher::new(), unpacked_bytes: 0 }
    }
}

impl Packing {
    fn stored(&mut self, plain: &[u8]) {
        stored_blocks(&mut self.bytes, plain, false);
        self.count(plain);
    }

    fn deflated(&mut self, packed: &[u8], plain: &[u8]) {
        self.bytes.extend_from_slice(packed);
        self.count(plain);
    }

    fn count(&mut self, plain: &[u8]) {
        self.crc.update(plain);
        self.unpacked_bytes += plain.len() as u64;
    }
}

/// The central directory of a zip archive under construction.
#[derive(Clone, Default)]
struct Directory {
    bytes: Vec<u8>,
    count: u16,
}

/// One file of a zip archive.
struct Entry<'a> {
    name: &'a str,
    method: u16,
    crc: u32,
    packed: &'a [u8],
    plain_bytes: usize,
}

impl<'a> Entry<'a> {
    fn stored(name: &'a str, plain: &'a [u8]) -> Self {
        let crc = crc32fast::hash(plain);
        Self { name, method: 0, crc, packed: plain, plain_bytes: plain.len() }
    }

    fn deflated(name: &'a str, packed: &'a [u8], plain: &[u8]) -> Self {
        let crc = crc32fast::hash(plain);
        Self { name, method: 8, crc, packed, plain_bytes: plain.len() }
    }

    /// The fields that the local header and the directory share (APPNOTE 4.3.7).
    fn shared_fields(&self) -> Vec<u8> {
        // Version 2.0, no flags, method, no time, 1 January 1980.
        let mut fields = vec![20, 0, 0, 0];
        fields.extend_from_slice(&self.method.to_le_bytes());
        fields.extend_from_slice(&[0, 0, 0x21, 0]);
        fields.extend_from_slice(&self.crc.to_le_bytes());
        for length in [self.packed.len(), self.plain_bytes] {
            fields.extend_from_slice(&(length as u32).to_le_bytes());
        }
        fields.extend_from_slice(&(self.name.len() as u16).to_le_bytes());
        fields.extend_from_slice(&[0, 0]);
        fields
    }
}

impl Directory {
    /// Writes the file to `out`, whose first byte is at `base` of the archive.
    fn add(&mut self, out: &mut Vec<u8>, base: usize, entry: &Entry<'_>) {
        let offset = (base + out.len()) as u32;
        let fields = entry.shared_fields();
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&fields);
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(entry.packed);
        // Made by version 2.0 on Unix; no comment, disk 0, no internal attributes, -rw-r--r--.
        self.bytes.extend_from_slice(b"PK\x01\x02\x14\x03");
        self.bytes.extend_from_slice(&fields);
        self.bytes.extend_from_slice(&[0; 6]);
        self.bytes.extend_from_slice(&(0o100_644_u32 << 16).to_le_bytes());
        self.bytes.extend_from_slice(&offset.to_le_bytes());
        self.bytes.extend_from_slice(entry.name.as_bytes());
        self.count += 1;
    }

    fn close(self, out: &mut Vec<u8>, base: usize) {
        let offset = (base + out.len()) as u32;
        let length = self.bytes.len() as u32;
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

fn record_line(name: &str, plain: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, plain);
    let digest = base64_simd::URL_SAFE_NO_PAD.encode_to_string(digest.as_ref());
    format!("{name},sha256={digest},{}\n", plain.len())
}

/// Text that looks like source code and deflates about four to one.
fn source_text(sequence: &mut Sequence, bytes: usize) -> Vec<u8> {
    const WORDS: usize = 900;
    let letter = |sequence: &mut Sequence| char::from(b'a' + sequence.below(26) as u8);
    let words: Vec<String> = (0..WORDS)
        .map(|_| (0..3 + sequence.below(9)).map(|_| letter(sequence)).collect())
        .collect();
    let signs = ["const ", "return ", "function ", "if (", ") {\n  ", ";\n", " = ", "(", ")", ", "];
    let mut text = Vec::with_capacity(bytes + 64);
    while text.len() < bytes {
        // The lower of two draws, squared: few words are frequent, as in real code.
        let low = sequence.below(WORDS).min(sequence.below(WORDS));
        text.extend_from_slice(words[low * low / WORDS].as_bytes());
        text.extend_from_slice(signs[sequence.below(signs.len())].as_bytes());
    }
    text.truncate(bytes);
    text
}

/// Deflates, ending with a block boundary (`Full`) or with the end of the stream (`Finish`).
fn deflate(plain: &[u8], ending: FlushCompress) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(6), false);
    let mut packed = Vec::with_capacity(plain.len() + 1_024);
    loop {
        packed.reserve(64 * 1_024);
        let at = compress.total_in() as usize;
        let status = compress.compress_vec(&plain[at..], &mut packed, ending).expect("deflate");
        let all_read = compress.total_in() as usize == plain.len();
        let has_room = packed.len() < packed.capacity();
        let is_full = matches!(ending, FlushCompress::Full);
        if status == Status::StreamEnd || (is_full && all_read && has_room) {
            return packed;
        }
    }
}

/// Deflate blocks that are stored as they are (RFC 1951 3.2.4).
fn stored_blocks(out: &mut Vec<u8>, plain: &[u8], last: bool) {
    let blocks: Vec<&[u8]> =
        if plain.is_empty() { vec![plain] } else { plain.chunks(usize::from(u16::MAX)).collect() };
    for (index, block) in blocks.iter().enumerate() {
        let length = block.len() as u16;
        out.push(u8::from(last && index + 1 == blocks.len()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

/// A ustar header as npm writes it.
fn tar_header(name: &str, bytes: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    write!(&mut header[124..136], "{bytes:011o}").expect("room");
    // npm's fixed time, 26 October 1985.
    header[136..147].copy_from_slice(b"03560116604");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    write!(&mut header[148..156], "{sum:06o}\0 ").expect("room");
    header
}
