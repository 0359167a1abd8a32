//! Publish documents, rebuilt from what the artifact itself says (D7) and never relayed from CI.
//!
//! npm: the JSON document of a PUT with the tarball's base64 left open between a prefix and a
//! suffix. PyPI: the text fields of the upload form. [`PublishDocument::digest`] is what the
//! statement commits to. `document/npm.rs` and `document/pypi.rs` hold the two shapes.

mod npm;
mod pypi;

pub use npm::{Access, NpmDocument, NpmOrder, npm_document, npm_manifest};
pub use pypi::{CORE_FIELDS, PypiForm, pypi_form};

use sha2::Digest as _;

use crate::domain::digest::Sha256;

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

impl PublishDocument {
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
