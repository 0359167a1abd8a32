//! Publish documents, rebuilt from what the artifact itself says (D7) and never relayed from CI.
//!
//! npm: the JSON document of a PUT with the tarball's base64 left open between a prefix and a
//! suffix. PyPI: the text fields of the upload form. [`PublishDocument::digest`] is what the
//! statement commits to. `document/npm.rs` and `document/pypi.rs` hold the two shapes.

mod npm;
mod pypi;

pub use npm::{NpmDocument, NpmOrder, npm_document, npm_manifest};
pub use pypi::{CORE_FIELDS, PypiForm, pypi_form};

use sha2::Digest as _;
use url::Url;

use crate::domain::artifact::{Digests, Facts};
use crate::domain::digest::Sha256;
use crate::domain::manifest::Access;

/// Starts the encoding that [`PublishDocument::digest`] hashes.
const DIGEST_TAG: &[u8] = b"countersign publish document v1\0";

/// A document that cannot be built because a digest was never computed for this artifact.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum DocumentError {
    /// npm's `dist` needs this digest; the intake computes it for every tarball.
    #[error("expected the artifact's digest `{0}`")]
    DigestMissing(&'static str),
    /// The digest names a file of a kind that this document does not describe.
    #[error("expected facts of a wheel or sdist")]
    KindMismatch,
}

/// Everything sent upstream with an artifact, except the artifact's bytes and the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishDocument {
    /// The body of npm's PUT.
    Npm(NpmDocument),
    /// The form of PyPI's POST.
    Pypi(PypiForm),
}

/// What only npm's document needs besides the file.
#[derive(Debug, Clone, Copy)]
pub struct NpmParts<'a> {
    /// The one dist-tag.
    pub dist_tag: &'a str,
    /// The access a first version gets.
    pub access: Option<Access>,
    /// The commit for `gitHead`.
    pub git_head: Option<&'a str>,
}

/// One stored file, as far as its document is concerned.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// The file name at the registry.
    pub filename: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// All its digests.
    pub digests: &'a Digests,
    /// What it says itself.
    pub facts: &'a Facts,
}

impl PublishDocument {
    /// Builds the document of one file for the upstream at `registry` from what the file itself
    /// says; `npm` is given exactly for npm.
    pub fn build(
        registry: &Url,
        file: File<'_>,
        npm: Option<NpmParts<'_>>,
    ) -> Result<Self, DocumentError> {
        match (file.facts, npm) {
            (Facts::Npm(facts), Some(npm)) => npm_document(&NpmOrder {
                facts,
                digests: file.digests,
                size: file.size,
                registry,
                tag: npm.dist_tag,
                access: npm.access,
                git_head: npm.git_head,
            })
            .map(Self::Npm),
            (Facts::Pypi(facts), None) => {
                pypi_form(facts, file.digests, file.filename).map(Self::Pypi)
            }
            (Facts::Npm(_), None) | (Facts::Pypi(_), Some(_)) => Err(DocumentError::KindMismatch),
        }
    }

    /// The digest the statement commits to.
    ///
    /// SHA-256 over `"countersign publish document v1" 0x00`, then these items, each preceded by its
    /// length as eight bytes, big-endian:
    ///
    /// - npm: `"npm"`, the prefix, the tarball's SHA-256 (32 bytes), the suffix. Prefix and suffix
    ///   are the exact bytes sent around the base64 text; the size stands in the suffix.
    /// - PyPI: `"pypi"`, for each field in the order sent its name and its value, an empty item,
    ///   the file name, the file's SHA-256 (32 bytes). No field name is empty, so the empty item
    ///   ends the list.
    pub fn digest(&self, artifact: &Sha256) -> Sha256 {
        let mut hash = sha2::Sha256::new_with_prefix(DIGEST_TAG);
        let mut item = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        match self {
            Self::Npm(document) => {
                item(b"npm");
                item(document.prefix());
                item(artifact.as_bytes());
                item(document.suffix());
            }
            Self::Pypi(form) => {
                item(b"pypi");
                for (name, value) in form.fields() {
                    item(name.as_bytes());
                    item(value.as_bytes());
                }
                item(b"");
                item(form.filename().as_bytes());
                item(artifact.as_bytes());
            }
        }
        Sha256::from_bytes(hash.finalize().into())
    }
}
