//! Artifacts: one file each, and the facts read from inside it.
//!
//! Facts come from the bytes alone, never from what CI claimed (D7). `inspect` makes them; the
//! publish document and the review page are built from them.

use serde::{Deserialize, Serialize};

use crate::domain::digest::{Blake2b256, Md5, Sha1, Sha256, Sha512};
use crate::domain::package::Ecosystem;

/// What sort of file an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// An npm package tarball, `.tgz`.
    NpmTarball,
    /// A Python wheel, `.whl` (PEP 427).
    Wheel,
    /// A Python source distribution, `.tar.gz` (PEP 625).
    Sdist,
}

impl ArtifactKind {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NpmTarball => "npm_tarball",
            Self::Wheel => "wheel",
            Self::Sdist => "sdist",
        }
    }

    /// Reads the word written by [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::NpmTarball, Self::Wheel, Self::Sdist].into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whose artifact this is.
    pub const fn ecosystem(self) -> Ecosystem {
        match self {
            Self::NpmTarball => Ecosystem::Npm,
            Self::Wheel | Self::Sdist => Ecosystem::Pypi,
        }
    }
}

/// Digests of one file's bytes, all computed here while the file streamed in.
///
/// SHA-256 is the identity; the others exist because a registry wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The content address.
    pub sha256: Sha256,
    /// npm's `dist.integrity`; computed for npm tarballs.
    pub sha512: Option<Sha512>,
    /// npm's `dist.shasum`; computed for npm tarballs.
    pub sha1: Option<Sha1>,
    /// Computed for PyPI files when the form names it.
    pub md5: Option<Md5>,
    /// Computed for PyPI files when the form names it.
    pub blake2b256: Option<Blake2b256>,
}

/// What a strict reader found inside one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ecosystem", rename_all = "lowercase")]
pub enum Facts {
    /// From an npm tarball.
    Npm(NpmFacts),
    /// From a wheel or sdist.
    Pypi(PypiFacts),
}

/// What `package/package.json` and the file list of an npm tarball say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NpmFacts {
    /// `name`, already checked to be a valid npm name.
    pub name: String,
    /// `version`, already checked to be a canonical semantic version.
    pub version: String,
    /// The whole of `package.json`, at most 1 MiB, no duplicate keys, depth at most 32 (N3).
    pub package_json: serde_json::Map<String, serde_json::Value>,
    /// The root README's text, if any, cut to 64 KiB on a character boundary.
    pub readme: Option<String>,
    /// The root README's file name, if any.
    pub readme_filename: Option<String>,
    /// A root `binding.gyp` exists, which makes npm run `node-gyp rebuild` (N7).
    pub has_binding_gyp: bool,
    /// A root `npm-shrinkwrap.json` exists.
    pub has_shrinkwrap: bool,
    /// Number of files.
    pub file_count: u32,
    /// Sum of the files' sizes, in bytes.
    pub unpacked_bytes: u64,
}

/// What METADATA or PKG-INFO and the file name of a Python distribution say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PypiFacts {
    /// Wheel or sdist.
    pub kind: ArtifactKind,
    /// `Name`, as written in the metadata.
    pub name: String,
    /// `Version`, as written in the metadata.
    pub version: String,
    /// The form's `pyversion`: `source` for sdists, the wheel's Python tag otherwise.
    pub pyversion: String,
    /// Core metadata header fields in file order, names as the specification writes them.
    pub fields: Vec<(String, String)>,
    /// The message body, which is the `Description` since Metadata 2.1.
    pub description: Option<String>,
    /// Number of files.
    pub file_count: u32,
    /// Sum of the files' sizes, in bytes.
    pub unpacked_bytes: u64,
}

impl PypiFacts {
    /// All values of one core metadata field, in file order.
    pub fn values<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(field))
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a single-use field.
    pub fn value<'a>(&'a self, field: &'a str) -> Option<&'a str> {
        self.values(field).next()
    }
}
