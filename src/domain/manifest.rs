//! The release manifest: exactly what a sealed release consists of.
//!
//! A manifest is serialised once, when the release is sealed; from then on its bytes are kept and
//! hashed, never produced again (I1).

use serde::{Deserialize, Serialize};

use crate::domain::artifact::ArtifactKind;
use crate::domain::digest::{Sha256, Sha512};
use crate::domain::ids::{InstanceId, PackageId, ReleaseId, UpstreamId};
use crate::domain::package::Ecosystem;

/// The only value of [`Manifest::format`].
pub const FORMAT: &str = "countersign/manifest/v1";

/// npm's package access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody may install.
    Public,
    /// Members of the scope may install.
    Restricted,
}

impl Access {
    /// The word in the publish document, the database and set-up files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Restricted => "restricted",
        }
    }

    /// Reads the word written by [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "public" => Some(Self::Public),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}

/// Where the release goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Names the upstream.
    pub upstream: UpstreamId,
    /// The address that bytes are sent to, as configured when the release was sealed.
    pub url: String,
}

/// What only npm asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NpmPublication {
    /// The one dist-tag that will point to this version.
    pub dist_tag: String,
    /// The access the package gets if this is its first version.
    pub access: Option<Access>,
    /// The commit that goes into `gitHead`, from the verified CI claims.
    pub git_head: Option<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// The file name at the registry.
    pub name: String,
    /// What sort of file.
    pub kind: ArtifactKind,
    /// Size in bytes.
    pub size_bytes: u64,
    /// The content address.
    pub sha256: Sha256,
    /// npm's integrity; absent for Python files.
    pub sha512: Option<Sha512>,
    /// Digest of the publish document rebuilt from the file itself (A13, `domain::document`).
    pub document_sha256: Sha256,
}

/// What a sealed release consists of. Field order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The installation that sealed it.
    pub instance: InstanceId,
    /// The release.
    pub release: ReleaseId,
    /// Whose rules apply.
    pub ecosystem: Ecosystem,
    /// Names the package here.
    pub package_id: PackageId,
    /// The package's name as registered here.
    pub package: String,
    /// The version as the files say it.
    pub version: String,
    /// Where it goes.
    pub destination: Destination,
    /// Present exactly for npm.
    pub npm: Option<NpmPublication>,
    /// Sorted by name; at least one.
    pub files: Vec<ManifestFile>,
    /// What there is to look at in the files and the run, one name each, sorted (A14).
    pub findings: Vec<String>,
    /// Digest of the verified CI claims the release was staged with.
    pub claims_sha256: Sha256,
}

/// A manifest whose bytes and digest are fixed. Only sealing or reading a sealed one makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedManifest {
    manifest: Manifest,
    bytes: Vec<u8>,
    digest: Sha256,
}

/// Bytes that are not a manifest this version understands.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("expected a release manifest of format `{FORMAT}`")]
pub struct ManifestError;

impl Manifest {
    /// Fixes the bytes. Files and findings are sorted first, so that the digest does not depend on
    /// the order of arrival.
    pub fn seal(mut self) -> SealedManifest {
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        self.findings.sort();
        let bytes = super::canonical(&self);
        let digest = Sha256::of(&bytes);
        SealedManifest { manifest: self, bytes, digest }
    }
}

impl SealedManifest {
    /// Reads the bytes of a sealed manifest back.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ManifestError> {
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| ManifestError)?;
        let npm_fits = manifest.npm.is_some() == (manifest.ecosystem == Ecosystem::Npm);
        if manifest.format != FORMAT || manifest.files.is_empty() || !npm_fits {
            return Err(ManifestError);
        }
        let digest = Sha256::of(&bytes);
        Ok(Self { manifest, bytes, digest })
    }

    /// What was sealed.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the exact bytes.
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }
}
