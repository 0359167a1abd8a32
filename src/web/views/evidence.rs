//! The evidence page: what a bundle shows, to read, print and take along.

use askama::Template;

use super::home::ReleaseName;
use super::shell::{Fact, HistoryItem, Layout};
use crate::domain::attestation::Practice;
use crate::web::display::grouped;

/// `/releases/{id}/evidence`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/evidence.html")]
pub struct EvidencePage {
    /// The frame.
    pub layout: Layout,
    /// Which release.
    pub release: ReleaseName,
    /// Where it went, when, what came of it, and the log that says so.
    pub facts: Vec<Fact>,
    /// The approvals that counted.
    pub approvals: Vec<HistoryItem>,
    /// The files.
    pub files: Vec<EvidenceFile>,
    /// Practices it bears on.
    pub practices: Vec<Practice>,
    /// Path of the file with it.
    pub download: String,
    /// Path of the in-toto statement.
    pub in_toto: String,
    /// Path of `practices` as a file.
    pub ssdf: String,
    /// Checks the file, with the log's key.
    pub command: String,
}

/// One file that was sent.
#[derive(Clone, Debug)]
pub struct EvidenceFile {
    /// File name.
    pub name: String,
    /// "131 KB".
    pub size: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

impl EvidenceFile {
    /// In groups of eight, for comparing.
    pub fn grouped(&self) -> String {
        grouped(&self.sha256)
    }
}
