//! Approving several releases of one CI run with one touch.

use askama::Template;

use super::home::ReleaseName;
use super::release::{Attention, FileRow, StatementView};
use super::shell::{Layout, Tone};
use crate::web::display::{capitalised, in_words};

/// `/releases/{id}/together`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/together.html")]
pub struct TogetherPage {
    /// The frame.
    pub layout: Layout,
    /// What is signed together, in the order in which it is sent.
    pub releases: Vec<TogetherRow>,
    /// What the same run staged and has to be signed alone, and why.
    pub alone: Vec<(ReleaseName, String)>,
    /// Base of the ceremony.
    pub ceremony: String,
    /// Identifiers of `releases` in that order, with commas.
    pub ids: String,
}

impl TogetherPage {
    /// "Three releases of one CI run".
    pub fn heading(&self) -> String {
        match self.releases.len() {
            0 => "Nothing here can be approved together".to_owned(),
            number => format!("{} releases of one CI run", capitalised(&in_words(number))),
        }
    }
}

/// One release of the batch.
#[derive(Clone, Debug)]
pub struct TogetherRow {
    /// Which.
    pub release: ReleaseName,
    /// What to look at.
    pub attention: Vec<Attention>,
    /// Its files.
    pub files: Vec<FileRow>,
    /// The whole statement whose digest the batch lists.
    pub statement: StatementView,
    /// SHA-256 of the manifest, in groups.
    pub manifest: String,
}

impl TogetherRow {
    /// Whether there is something to look at, rather than a reassurance.
    pub fn noted(&self) -> bool {
        self.attention.iter().any(|item| item.tone != Tone::Ok)
    }
}
