//! What a registry lists of a whole package: its versions with their files, and what tags point at.
//!
//! Everything here is the registry's claim, made of untrusted text.

use std::collections::BTreeMap;

use url::Url;

use crate::domain::artifact::ArtifactKind;
use crate::domain::package::Version;
use crate::domain::upstream::ObservedFile;

/// A package at a registry. An unknown one lists nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files of versions that could be read, in the registry's order.
    pub files: Vec<ListedFile>,
    /// npm's dist-tags.
    pub dist_tags: BTreeMap<String, String>,
    /// PyPI's project status marker (PEP 792), such as `quarantined`; none means active.
    pub project_status: Option<String>,
}

/// One file of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Which version it is of.
    pub version: Version,
    /// What sort of file, by its name.
    pub kind: ArtifactKind,
    /// Its name and digests.
    pub file: ObservedFile,
    /// Where it is; none when the registry gives no address.
    pub url: Option<Url>,
    /// Whether the registry has provenance of it; none when it does not say.
    pub provenance: Option<bool>,
}
