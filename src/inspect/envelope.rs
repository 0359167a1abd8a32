//! npm's publish document: cut the tarball out of the JSON stream, then check what remains.
//!
//! The tarball arrives as base64 in `_attachments`, anywhere in the document (wire.md 3.3). It is
//! decoded while bytes arrive and never held; the rest is small and parsed strictly at the end.
//! The splitter's own reading of keys cannot disagree with that parse: keys it depends on may not
//! be escaped, and a document that is not JSON is refused whatever was cut from it.

use base64_simd::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value};

use crate::domain::artifact::Digests;
use crate::domain::digest::{Sha1, Sha512};
use crate::domain::json::{self, JsonRefusal};
use crate::domain::manifest::Access;
use crate::domain::package::{Ecosystem, NameError, PackageName, Version, excerpt};
use crate::inspect::limits::Limits;

/// Why a publish document is refused (rows N01-N08, N10, N11, N15, N16, N19).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeRefusal {
    /// The document without its tarball is not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonRefusal),
    /// The document without its tarball passes [`Limits::document_bytes`].
    #[error("expected at most {limit} bytes beside the tarball, received more")]
    DocumentTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The decoded tarball passes [`Limits::tarball_bytes`].
    #[error("expected a tarball of at most {limit} bytes, received more")]
    TarballTooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// The document ends inside the tarball.
    #[error("expected a whole document, received one that ends inside the tarball")]
    Truncated,
    /// A key that decides where the tarball is was written with escapes.
    #[error("expected keys without escapes, received `{key}`")]
    EscapedKey {
        /// The key as written, escaped and cut.
        key: String,
    },
    /// The attachment's data is not canonical, padded standard base64 (N06).
    #[error("expected padded standard base64 in `{attachment}`, received other characters")]
    Base64 {
        /// The attachment's name, escaped and cut.
        attachment: String,
    },
    /// No `_attachments`: a request to change metadata, not a publication.
    #[error("expected a publication with `_attachments`, received none")]
    NoAttachments,
    /// Not exactly one tarball, or one without data (N05).
    #[error("expected exactly one `.tgz` attachment with data, received {received}")]
    Tarballs {
        /// `none` or `a second one`.
        received: &'static str,
    },
    /// An attachment that is neither tarball nor provenance, or a second provenance (N05).
    #[error("expected one tarball and at most one `.sigstore` attachment, received `{attachment}`")]
    Attachment {
        /// The attachment's name, escaped and cut.
        attachment: String,
    },
    /// The stated length is not that of the data (N07).
    #[error("expected length {length} for `{attachment}`, received `{stated}`")]
    Length {
        /// Length of the data, in bytes.
        length: u64,
        /// What the document states, cut.
        stated: String,
        /// The attachment's name, escaped and cut.
        attachment: String,
    },
    /// The provenance bundle passes [`Limits::provenance_bytes`].
    #[error("expected a provenance bundle of at most {limit} bytes, received {length}")]
    ProvenanceTooLarge {
        /// The bound, in bytes.
        limit: usize,
        /// The bundle's length, in bytes.
        length: usize,
    },
    /// A member is missing or of another type.
    #[error("expected {expected}, received another value or none")]
    Shape {
        /// The member and its type.
        expected: &'static str,
    },
    /// Name or version is outside npm's rules (N10, N11).
    #[error(transparent)]
    Identity(#[from] NameError),
    /// Two places of the document name the package or version differently (N08, N15).
    #[error("expected {place} to be `{expected}`, received `{received}`")]
    Mismatch {
        /// Where, as npm names it.
        place: &'static str,
        /// What the document says elsewhere.
        expected: String,
        /// What came, escaped and cut.
        received: String,
    },
    /// A dist-tag that npm would read as a version range, or could not put in a URL (N16, N5).
    #[error("expected a dist-tag that is no version range, received `{tag}`")]
    DistTag {
        /// The tag, escaped and cut.
        tag: String,
    },
    /// A digest in `dist` is missing, malformed or not that of the bytes (N19, N4).
    #[error("expected `dist.{field}` of the uploaded bytes, received `{received}`")]
    Digest {
        /// `integrity` or `shasum`.
        field: &'static str,
        /// What came, escaped and cut.
        received: String,
    },
}

impl EnvelopeRefusal {
    /// True when the upload is well-formed so far but larger than this installation takes.
    pub const fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::DocumentTooLarge { .. }
                | Self::TarballTooLarge { .. }
                | Self::ProvenanceTooLarge { .. }
        )
    }
}

/// A file carried in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its key in `_attachments`.
    pub name: String,
    /// Its `content_type`.
    pub content_type: String,
    /// Bytes after decoding; equals its stated `length`.
    pub length: u64,
}

/// A provenance bundle, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Its key in `_attachments`.
    pub name: String,
    /// Its `content_type`, the bundle's media type.
    pub content_type: String,
    /// The bundle's JSON text as sent.
    pub text: String,
}

/// A publish document taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The document without `_attachments`.
    pub document: Map<String, Value>,
    /// The tarball, whose bytes went to the caller.
    pub tarball: Attachment,
    /// The provenance bundle, if one came.
    pub provenance: Option<Provenance>,
}

/// One publication as CI claims it; nothing here is compared with the tarball yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NpmPublish {
    /// The package, the same in every place of the document.
    pub name: PackageName,
    /// The version, the same in every place of the document.
    pub version: Version,
    /// The one dist-tag to point at the version.
    pub dist_tag: String,
    /// The access asked for, if any.
    pub access: Option<Access>,
    /// `versions[version]`.
    pub manifest: Map<String, Value>,
    /// `dist.integrity`, which must be one SHA-512.
    pub integrity: Sha512,
    /// `dist.shasum`, if sent.
    pub shasum: Option<Sha1>,
    /// Bytes of the tarball.
    pub length: u64,
    /// The provenance bundle, if one came.
    pub provenance: Option<Provenance>,
}

/// Where the splitter stands between two pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between strings.
    Plain,
    /// Inside a string that is kept.
    Kept { is_key: bool, start: usize, escape: bool },
    /// Inside the tarball's data.
    Cut { escape: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// Takes a publish document in pieces of any size.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    document: Vec<u8>,
    state: State,
    stack: Vec<Container>,
    key_next: bool,
    /// The current keys of the three outermost objects, as written.
    keys: [Vec<u8>; 3],
    tarball: Option<Vec<u8>>,
    decoded: u64,
    /// Up to four base64 characters held back, because the last four may be padded.
    carry: Vec<u8>,
}

impl Splitter {
    /// Starts at the first byte of a document.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            document: Vec::new(),
            state: State::Plain,
            stack: Vec::new(),
            key_next: false,
            keys: [Vec::new(), Vec::new(), Vec::new()],
            tarball: None,
            decoded: 0,
            carry: Vec::with_capacity(4),
        }
    }

    /// Takes the next bytes and appends what they hold of the decoded tarball to `out`.
    ///
    /// After a refusal the splitter must be dropped, and all decoded bytes with it.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), EnvelopeRefusal> {
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = match self.state {
                State::Plain => self.plain(rest)?,
                State::Kept { is_key, start, escape } => self.kept(rest, is_key, start, escape)?,
                State::Cut { escape } => self.cut(rest, escape, out)?,
            };
        }
        Ok(())
    }

    /// Ends the document: parses what was kept and pairs it with the tarball that was cut.
    pub fn finish(self) -> Result<Envelope, EnvelopeRefusal> {
        if matches!(self.state, State::Cut { .. }) {
            return Err(EnvelopeRefusal::Truncated);
        }
        let depth = self.depth();
        let mut document = json::parse_object(&self.document, usize::MAX, depth)?;
        let attachments = document.remove("_attachments").ok_or(EnvelopeRefusal::NoAttachments)?;
        let Value::Object(attachments) = attachments else {
            return Err(EnvelopeRefusal::Shape { expected: "an object `_attachments`" });
        };
        let (mut tarball, mut provenance) = (None, None);
        for (name, attachment) in attachments {
            if name.ends_with(TARBALL) && tarball.is_none() {
                tarball = Some(self.tarball(name, &attachment)?);
            } else if name.ends_with(PROVENANCE) && provenance.is_none() {
                provenance = Some(self.provenance(name, &attachment)?);
            } else {
                return Err(EnvelopeRefusal::Attachment { attachment: excerpt(&name) });
            }
        }
        let tarball = tarball.ok_or(EnvelopeRefusal::Tarballs { received: "none" })?;
        Ok(Envelope { document, tarball, provenance })
    }

    fn tarball(&self, name: String, value: &Value) -> Result<Attachment, EnvelopeRefusal> {
        let (content_type, _) = typed_text(value)?;
        if self.decoded == 0 || self.tarball.as_deref() != Some(name.as_bytes()) {
            return Err(EnvelopeRefusal::Tarballs { received: "none" });
        }
        let length = self.decoded;
        if value["length"].as_u64() != Some(length) {
            return Err(wrong_length(&name, length, &value["length"]));
        }
        Ok(Attachment { name, content_type, length })
    }

    fn provenance(&self, name: String, value: &Value) -> Result<Provenance, EnvelopeRefusal> {
        let (content_type, text) = typed_text(value)?;
        let limit = self.limits.provenance_bytes;
        if text.len() > limit {
            return Err(EnvelopeRefusal::ProvenanceTooLarge { limit, length: text.len() });
        }
        // npm counts UTF-16 units; a client in another language would count bytes.
        let lengths = [text.encode_utf16().count() as u64, text.len() as u64];
        if !value["length"].as_u64().is_some_and(|stated| lengths.contains(&stated)) {
            return Err(wrong_length(&name, lengths[0], &value["length"]));
        }
        Ok(Provenance { name, content_type, text })
    }

    /// Levels of nesting allowed: a `package.json` lies two levels deep in the document.
    fn depth(&self) -> usize {
        self.limits.json_depth + 2
    }

    fn plain<'c>(&mut self, chunk: &'c [u8]) -> Result<&'c [u8], EnvelopeRefusal> {
        for (at, byte) in chunk.iter().enumerate() {
            match byte {
                b'"' => {
                    let (before, after) = chunk.split_at(at + 1);
                    self.keep(before)?;
                    self.open_string()?;
                    return Ok(after);
                }
                b'{' => self.open(Container::Object)?,
                b'[' => self.open(Container::Array)?,
                b'}' | b']' => {
                    self.stack.pop();
                    self.key_next = false;
                }
                b',' => self.key_next = self.stack.last() == Some(&Container::Object),
                b':' => self.key_next = false,
                _ => {}
            }
        }
        self.keep(chunk)?;
        Ok(&[])
    }

    fn open(&mut self, container: Container) -> Result<(), EnvelopeRefusal> {
        if self.stack.len() >= self.depth() {
            return Err(JsonRefusal::TooDeep { limit: self.depth() }.into());
        }
        for key in self.keys.iter_mut().skip(self.stack.len()) {
            key.clear();
        }
        self.stack.push(container);
        self.key_next = container == Container::Object;
        Ok(())
    }

    /// Decides what becomes of the string whose opening quote was just kept.
    fn open_string(&mut self) -> Result<(), EnvelopeRefusal> {
        let start = self.document.len();
        self.state = State::Kept { is_key: self.key_next, start, escape: false };
        let in_data = !self.key_next
            && self.stack == [Container::Object; 3]
            && self.in_attachments()
            && self.keys[2] == b"data";
        if !in_data || self.keys[1].ends_with(PROVENANCE.as_bytes()) {
            return Ok(());
        }
        if !self.keys[1].ends_with(TARBALL.as_bytes()) {
            return Err(EnvelopeRefusal::Attachment { attachment: excerpt_bytes(&self.keys[1]) });
        }
        if self.tarball.is_some() {
            return Err(EnvelopeRefusal::Tarballs { received: "a second one" });
        }
        self.tarball = Some(self.keys[1].clone());
        self.state = State::Cut { escape: false };
        Ok(())
    }

    fn in_attachments(&self) -> bool {
        self.keys[0] == b"_attachments"
    }

    fn kept<'c>(
        &mut self,
        chunk: &'c [u8],
        is_key: bool,
        start: usize,
        escape: bool,
    ) -> Result<&'c [u8], EnvelopeRefusal> {
        if escape {
            self.state = State::Kept { is_key, start, escape: false };
            return self.keep_until(chunk, 1);
        }
        match memchr::memchr2(b'"', b'\\', chunk) {
            None => self.keep_until(chunk, chunk.len()),
            Some(at) if chunk[at] == b'\\' => {
                self.state = State::Kept { is_key, start, escape: true };
                self.keep_until(chunk, at + 1)
            }
            Some(at) => {
                let rest = self.keep_until(chunk, at + 1)?;
                self.state = State::Plain;
                if is_key {
                    self.key_ended(start)?;
                }
                Ok(rest)
            }
        }
    }

    /// Remembers the key that starts at `start` and ends before the last kept byte.
    fn key_ended(&mut self, start: usize) -> Result<(), EnvelopeRefusal> {
        let depth = self.stack.len();
        if depth == 0 || depth > self.keys.len() || (depth > 1 && !self.in_attachments()) {
            return Ok(());
        }
        let key = self.document.get(start..self.document.len() - 1).unwrap_or_default();
        if key.contains(&b'\\') {
            return Err(EnvelopeRefusal::EscapedKey { key: excerpt_bytes(key) });
        }
        self.keys[depth - 1] = key.to_vec();
        Ok(())
    }

    fn keep_until<'c>(&mut self, chunk: &'c [u8], at: usize) -> Result<&'c [u8], EnvelopeRefusal> {
        let (before, after) = chunk.split_at(at);
        self.keep(before)?;
        Ok(after)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), EnvelopeRefusal> {
        if self.document.len() + bytes.len() > self.limits.document_bytes {
            return Err(EnvelopeRefusal::DocumentTooLarge { limit: self.limits.document_bytes });
        }
        self.document.extend_from_slice(bytes);
        Ok(())
    }

    fn cut<'c>(
        &mut self,
        chunk: &'c [u8],
        escape: bool,
        out: &mut Vec<u8>,
    ) -> Result<&'c [u8], EnvelopeRefusal> {
        if escape {
            // `\/` is JSON's one way to write a base64 character differently.
            if chunk[0] != b'/' {
                return Err(self.not_base64());
            }
            self.state = State::Cut { escape: false };
            self.decode(&chunk[..1], out)?;
            return Ok(&chunk[1..]);
        }
        let Some(at) = memchr::memchr2(b'"', b'\\', chunk) else {
            self.decode(chunk, out)?;
            return Ok(&[]);
        };
        self.decode(&chunk[..at], out)?;
        if chunk[at] == b'\\' {
            self.state = State::Cut { escape: true };
        } else {
            self.decode_last(out)?;
            self.keep(b"\"")?;
            self.state = State::Plain;
        }
        Ok(&chunk[at + 1..])
    }

    /// Decodes all but the last one to four characters, which wait for what follows.
    fn decode(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), EnvelopeRefusal> {
        if piece.is_empty() {
            return Ok(());
        }
        if !self.carry.is_empty() {
            let (head, tail) = piece.split_at(piece.len().min(4 - self.carry.len()));
            self.carry.extend_from_slice(head);
            piece = tail;
            if piece.is_empty() {
                return Ok(());
            }
            let quad = std::mem::take(&mut self.carry);
            self.decode_unpadded(&quad, out)?;
        }
        let (bulk, held) = piece.split_at((piece.len() - 1) / 4 * 4);
        self.decode_unpadded(bulk, out)?;
        self.carry.extend_from_slice(held);
        Ok(())
    }

    fn decode_unpadded(&mut self, quads: &[u8], out: &mut Vec<u8>) -> Result<(), EnvelopeRefusal> {
        self.count(quads.len() / 4 * 3)?;
        STANDARD_NO_PAD.decode_append(quads, out).map_err(|_| self.not_base64())
    }

    fn decode_last(&mut self, out: &mut Vec<u8>) -> Result<(), EnvelopeRefusal> {
        let quad = std::mem::take(&mut self.carry);
        let before = out.len();
        STANDARD.decode_append(&quad, out).map_err(|_| self.not_base64())?;
        self.count(out.len() - before)
    }

    fn count(&mut self, decoded: usize) -> Result<(), EnvelopeRefusal> {
        self.decoded += decoded as u64;
        if self.decoded > self.limits.tarball_bytes {
            return Err(EnvelopeRefusal::TarballTooLarge { limit: self.limits.tarball_bytes });
        }
        Ok(())
    }

    fn not_base64(&self) -> EnvelopeRefusal {
        EnvelopeRefusal::Base64 { attachment: excerpt_bytes(&self.keys[1]) }
    }
}

/// How a tarball's key ends.
const TARBALL: &str = ".tgz";
/// How a provenance bundle's key ends.
const PROVENANCE: &str = ".sigstore";

fn excerpt_bytes(bytes: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(bytes))
}

/// `content_type` and `data` of an attachment.
fn typed_text(value: &Value) -> Result<(String, String), EnvelopeRefusal> {
    let text = |member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    text("content_type")
        .zip(text("data"))
        .filter(|_| value.is_object())
        .ok_or(EnvelopeRefusal::Shape { expected: "`content_type` and `data` of an attachment" })
}

fn wrong_length(attachment: &str, length: u64, stated: &Value) -> EnvelopeRefusal {
    EnvelopeRefusal::Length {
        length,
        stated: excerpt(&stated.to_string()),
        attachment: excerpt(attachment),
    }
}

impl Envelope {
    /// Checks that the document publishes one version of one package consistently (N1, N5).
    pub fn check(self) -> Result<NpmPublish, EnvelopeRefusal> {
        let Self { mut document, tarball, provenance } = self;
        let name = text(&document, "name", "a text `name`")?;
        let name = PackageName::parse(Ecosystem::Npm, name)?;
        same(&document, "_id", name.as_str())?;
        let (version, manifest) = only_version(document.remove("versions"))?;
        let version = Version::parse(Ecosystem::Npm, &version)?;
        for (member, expected) in [("name", name.as_str()), ("version", version.as_str())] {
            text(&manifest, member, "`name` and `version` of the manifest")?;
            same(&manifest, member, expected)?;
        }
        same(&manifest, "_id", &format!("{name}@{version}"))?;
        let dist_tag = only_tag(&document, &version)?;
        let access = match document.get("access") {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) if word == "public" => Some(Access::Public),
            Some(Value::String(word)) if word == "restricted" => Some(Access::Restricted),
            Some(_) => {
                return Err(EnvelopeRefusal::Shape { expected: "`access` public or restricted" });
            }
        };
        let stem = format!("{name}-{version}");
        file_name(&tarball.name, &format!("{stem}{TARBALL}"))?;
        if tarball.content_type != TARBALL_TYPE {
            return Err(EnvelopeRefusal::Mismatch {
                place: "the tarball's content type",
                expected: TARBALL_TYPE.to_owned(),
                received: excerpt(&tarball.content_type),
            });
        }
        if let Some(provenance) = &provenance {
            file_name(&provenance.name, &format!("{stem}{PROVENANCE}"))?;
        }
        let (integrity, shasum) = dist_digests(&manifest)?;
        let length = tarball.length;
        Ok(NpmPublish {
            name,
            version,
            dist_tag,
            access,
            manifest,
            integrity,
            shasum,
            length,
            provenance,
        })
    }
}

impl NpmPublish {
    /// Compares the claimed digests with those computed while the tarball streamed in (N4).
    pub fn check_digests(&self, computed: &Digests) -> Result<(), EnvelopeRefusal> {
        if computed.sha512 != Some(self.integrity) {
            let received = self.integrity.to_base64();
            return Err(EnvelopeRefusal::Digest { field: "integrity", received });
        }
        match self.shasum {
            Some(claimed) if computed.sha1 != Some(claimed) => {
                Err(EnvelopeRefusal::Digest { field: "shasum", received: claimed.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// The content type every client gives the tarball.
const TARBALL_TYPE: &str = "application/octet-stream";
/// Longest dist-tag, in bytes.
const TAG_MAX: usize = 128;

fn text<'m>(
    map: &'m Map<String, Value>,
    member: &str,
    expected: &'static str,
) -> Result<&'m str, EnvelopeRefusal> {
    map.get(member).and_then(Value::as_str).ok_or(EnvelopeRefusal::Shape { expected })
}

/// A member that, when it is there, must be one exact text.
fn same(
    map: &Map<String, Value>,
    member: &'static str,
    expected: &str,
) -> Result<(), EnvelopeRefusal> {
    match map.get(member) {
        Some(received) if received.as_str() != Some(expected) => Err(EnvelopeRefusal::Mismatch {
            place: member,
            expected: expected.to_owned(),
            received: excerpt(&received.to_string()),
        }),
        _ => Ok(()),
    }
}

fn file_name(received: &str, expected: &str) -> Result<(), EnvelopeRefusal> {
    if received == expected {
        return Ok(());
    }
    Err(EnvelopeRefusal::Mismatch {
        place: "the attachment's name",
        expected: expected.to_owned(),
        received: excerpt(received),
    })
}

fn only_version(versions: Option<Value>) -> Result<(String, Map<String, Value>), EnvelopeRefusal> {
    let refused = EnvelopeRefusal::Shape { expected: "exactly one version in `versions`" };
    let Some(Value::Object(versions)) = versions else { return Err(refused) };
    let mut versions = versions.into_iter();
    match (versions.next(), versions.next()) {
        (Some((version, Value::Object(manifest))), None) => Ok((version, manifest)),
        _ => Err(refused),
    }
}

fn only_tag(document: &Map<String, Value>, version: &Version) -> Result<String, EnvelopeRefusal> {
    let refused = EnvelopeRefusal::Shape { expected: "exactly one tag in `dist-tags`" };
    let Some(Value::Object(tags)) = document.get("dist-tags") else { return Err(refused) };
    let mut all = tags.iter();
    let (Some((tag, target)), None) = (all.next(), all.next()) else { return Err(refused) };
    if target.as_str() != Some(version.as_str()) {
        return Err(EnvelopeRefusal::Mismatch {
            place: "the dist-tag's version",
            expected: version.to_string(),
            received: excerpt(&target.to_string()),
        });
    }
    let in_url = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
    let range = nodejs_semver::Range::parse(tag).is_ok();
    if tag.is_empty() || tag.len() > TAG_MAX || !in_url || range {
        return Err(EnvelopeRefusal::DistTag { tag: excerpt(tag) });
    }
    Ok(tag.clone())
}

fn dist_digests(manifest: &Map<String, Value>) -> Result<(Sha512, Option<Sha1>), EnvelopeRefusal> {
    let dist = manifest.get("dist").unwrap_or(&Value::Null);
    let bad = |field, value: &Value| {
        let received = value.as_str().map_or_else(|| "nothing".to_owned(), excerpt);
        EnvelopeRefusal::Digest { field, received }
    };
    let integrity = dist["integrity"]
        .as_str()
        .and_then(|text| text.strip_prefix("sha512-"))
        .and_then(|text| STANDARD.decode_to_vec(text).ok())
        .and_then(|bytes| Sha512::from_slice(&bytes))
        .ok_or_else(|| bad("integrity", &dist["integrity"]))?;
    let shasum = match &dist["shasum"] {
        Value::Null => None,
        Value::String(hex) => {
            Some(Sha1::parse_hex(hex).map_err(|_| bad("shasum", &dist["shasum"]))?)
        }
        other => return Err(bad("shasum", other)),
    };
    Ok((integrity, shasum))
}
