//! Writers of archives: byte by byte what no tool would write, and small packages.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};
use serde_json::{Value, json};
use sha2::Digest as _;

/// One gzip member around `bytes`.
pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A ustar header with a right checksum.
pub(crate) fn header(name: &[u8], kind: u8, size: usize) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut block);
    block
}

/// Writes the checksum a header should have.
pub(crate) fn sum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let total: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{total:06o}\0 ").as_bytes());
}

/// A header changed by `change`, with the checksum made right again.
pub(crate) fn header_with(
    name: &[u8],
    kind: u8,
    size: usize,
    change: impl FnOnce(&mut [u8; 512]),
) -> Vec<u8> {
    let mut block = header(name, kind, size);
    change(&mut block);
    sum(&mut block);
    block.to_vec()
}

/// Content filled up to whole blocks.
pub(crate) fn padded(body: &[u8]) -> Vec<u8> {
    let mut out = body.to_vec();
    out.resize(body.len().next_multiple_of(512), 0);
    out
}

/// A header and its content.
pub(crate) fn entry(name: &str, kind: u8, body: &[u8]) -> Vec<u8> {
    [header(name.as_bytes(), kind, body.len()).to_vec(), padded(body)].concat()
}

/// A regular file.
pub(crate) fn file(name: &str, body: &[u8]) -> Vec<u8> {
    entry(name, b'0', body)
}

/// A pax extension header with records whose lengths are right.
pub(crate) fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        writeln!(body, "{length} {key}={value}").unwrap();
    }
    entry("PaxHeader/x", b'x', body.as_bytes())
}

/// The two zero blocks.
pub(crate) fn end() -> Vec<u8> {
    vec![0; 1024]
}

/// A gzipped tar of whole entries.
pub(crate) fn tgz(entries: &[Vec<u8>]) -> Vec<u8> {
    gz(&[entries.concat(), end()].concat())
}

/// One file of a ZIP archive and everything the two records say about it.
#[derive(Clone)]
pub(crate) struct Zipped {
    pub(crate) name: Vec<u8>,
    pub(crate) local_name: Option<Vec<u8>>,
    pub(crate) packed: Vec<u8>,
    pub(crate) size: u32,
    pub(crate) local_size: Option<u32>,
    pub(crate) crc: u32,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) extra: Vec<u8>,
    pub(crate) comment: Vec<u8>,
    pub(crate) attributes: u32,
    pub(crate) disk: u16,
}

/// A stored file.
pub(crate) fn stored(name: &str, body: &[u8]) -> Zipped {
    let mut crc = Crc::new();
    crc.update(body);
    Zipped {
        name: name.into(),
        local_name: None,
        packed: body.to_vec(),
        size: u32::try_from(body.len()).unwrap(),
        local_size: None,
        crc: crc.sum(),
        flags: 0,
        method: 0,
        extra: Vec::new(),
        comment: Vec::new(),
        attributes: 0o100_644 << 16,
        disk: 0,
    }
}

/// A deflated file.
pub(crate) fn deflated(name: &str, body: &[u8]) -> Zipped {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    Zipped { packed: encoder.finish().unwrap(), method: 8, ..stored(name, body) }
}

impl Zipped {
    pub(crate) fn local(&self) -> Vec<u8> {
        let name = self.local_name.as_ref().unwrap_or(&self.name);
        let size = self.local_size.unwrap_or(self.size);
        let mut out = b"PK\x03\x04\x14\0".to_vec();
        for field in [self.flags, self.method, 0, 0x21] {
            out.extend(field.to_le_bytes());
        }
        for field in [self.crc, u32::try_from(self.packed.len()).unwrap(), size] {
            out.extend(field.to_le_bytes());
        }
        for field in [name.len(), self.extra.len()] {
            out.extend(u16::try_from(field).unwrap().to_le_bytes());
        }
        [&out[..], name, &self.extra, &self.packed].concat()
    }

    pub(crate) fn central(&self, offset: usize) -> Vec<u8> {
        let mut out = b"PK\x01\x02\x14\x03\x14\0".to_vec();
        for field in [self.flags, self.method, 0, 0x21] {
            out.extend(field.to_le_bytes());
        }
        for field in [self.crc, u32::try_from(self.packed.len()).unwrap(), self.size] {
            out.extend(field.to_le_bytes());
        }
        for field in [self.name.len(), self.extra.len(), self.comment.len()] {
            out.extend(u16::try_from(field).unwrap().to_le_bytes());
        }
        out.extend(self.disk.to_le_bytes());
        out.extend([0, 0]);
        out.extend(self.attributes.to_le_bytes());
        out.extend(u32::try_from(offset).unwrap().to_le_bytes());
        [&out[..], &self.name, &self.extra, &self.comment].concat()
    }
}

/// The record at the end.
pub(crate) fn end_record(entries: u16, directory: usize, offset: usize) -> Vec<u8> {
    let mut out = b"PK\x05\x06\0\0\0\0".to_vec();
    out.extend(entries.to_le_bytes());
    out.extend(entries.to_le_bytes());
    out.extend(u32::try_from(directory).unwrap().to_le_bytes());
    out.extend(u32::try_from(offset).unwrap().to_le_bytes());
    out.extend([0, 0]);
    out
}

/// A ZIP archive of the given files in order.
pub(crate) fn zip(files: &[Zipped]) -> Vec<u8> {
    let (mut locals, mut directory) = (Vec::new(), Vec::new());
    for file in files {
        directory.extend(file.central(locals.len()));
        locals.extend(file.local());
    }
    let last = end_record(u16::try_from(files.len()).unwrap(), directory.len(), locals.len());
    [locals, directory, last].concat()
}

/// The files of a small good wheel of `hello_wire` 1.0.0, RECORD left out.
pub(crate) fn wheel_files() -> Vec<(String, Vec<u8>)> {
    let info = "hello_wire-1.0.0.dist-info";
    let text = |name: &str, body: &str| (name.to_owned(), body.as_bytes().to_vec());
    vec![
        text("hello_wire/__init__.py", "x = 1\n"),
        text(
            &format!("{info}/METADATA"),
            "Metadata-Version: 2.4\nName: Hello.Wire\nVersion: 1.0.0\nRequires-Python: >=3.8\n\
             Requires-Dist: attrs\nLicense-File: LICENSE\n\nHello\n",
        ),
        text(&format!("{info}/WHEEL"), "Wheel-Version: 1.0\nTag: py3-none-any\n"),
        text(&format!("{info}/licenses/LICENSE"), "MIT\n"),
    ]
}

/// RECORD lines for the given files of `hello_wire` 1.0.0, and one for itself.
pub(crate) fn record(files: &[(String, Vec<u8>)]) -> String {
    record_of(files, "hello_wire-1.0.0.dist-info")
}

/// The same for a wheel whose metadata is in another folder.
pub(crate) fn record_of(files: &[(String, Vec<u8>)], info: &str) -> String {
    let mut out = String::new();
    for (name, body) in files {
        let hash = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(body));
        writeln!(out, "{name},sha256={hash},{}", body.len()).unwrap();
    }
    out + &format!("{info}/RECORD,,\n")
}

/// A wheel of the given files with the given RECORD.
pub(crate) fn wheel(files: &[(String, Vec<u8>)], record: &str) -> Vec<u8> {
    let mut all: Vec<Zipped> = files.iter().map(|(name, body)| deflated(name, body)).collect();
    all.push(deflated("hello_wire-1.0.0.dist-info/RECORD", record.as_bytes()));
    zip(&all)
}

/// An npm tarball of a manifest and files.
pub(crate) fn npm(manifest: &Value, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut entries = vec![file("package/package.json", manifest.to_string().as_bytes())];
    entries.extend(files.iter().map(|(name, body)| file(&format!("package/{name}"), body)));
    tgz(&entries)
}

/// A manifest of `hello-wire`.
pub(crate) fn manifest(version: &str, rest: Value) -> Value {
    with(json!({ "name": "hello-wire", "version": version, "main": "index.js" }), rest)
}

/// An object with more members, which replace those of the same name.
pub(crate) fn with(mut object: Value, more: Value) -> Value {
    let (Value::Object(all), Value::Object(more)) = (&mut object, more) else { unreachable!() };
    all.extend(more);
    object
}
