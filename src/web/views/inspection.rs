//! What the gateway found inside a release, and how whoever approves answers it.

use super::shell::{Badge, Tone};
use crate::web::display::count;

/// The card about what was found inside.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// "2 blocks, 3 to look at".
    pub summary: Badge,
    /// `/releases/{id}/live` while it goes on.
    pub live: Option<String>,
    /// What stops the approval until it is overridden.
    pub blocks: Vec<FindingRow>,
    /// What is ticked one by one.
    pub looks: Vec<FindingRow>,
    /// For the record.
    pub notes: Vec<FindingRow>,
    /// Whole sentences about what is not listed, and about what was accepted before.
    pub asides: Vec<String>,
    /// Each file, and what it was compared with.
    pub compared: Vec<(String, String)>,
    /// Whole sentences.
    pub not_checked: Vec<String>,
    /// Where another inspection is asked for; `None` when that would change nothing.
    pub again: Option<String>,
}

impl Inspection {
    /// Nobody looked inside yet; the address says when that is over.
    pub fn being_checked(live: String) -> Self {
        Self {
            summary: Badge::new(Tone::Note, "loader", "Being checked"),
            live: Some(live),
            blocks: Vec::new(),
            looks: Vec::new(),
            notes: Vec::new(),
            asides: Vec::new(),
            compared: Vec::new(),
            not_checked: Vec::new(),
            again: None,
        }
    }

    /// How much of it asks something of whoever signs.
    pub fn asked(&self) -> usize {
        self.blocks.len() + self.looks.len()
    }

    /// Whether it goes on, and there is no report yet.
    pub fn is_first(&self) -> bool {
        self.live.is_some() && self.compared.is_empty()
    }

    /// "3 notes".
    pub fn notes_counted(&self) -> String {
        count(self.notes.len() as u64, "note")
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub struct FindingRow {
    /// Its name, which is signed.
    pub name: String,
    /// What was found.
    pub title: String,
    /// The thing itself; may be empty.
    pub evidence: String,
    /// "in `lib/a.js`, line 3"; may be empty.
    pub place: String,
    /// Where that place is read; `None` for what is about the whole artifact.
    pub href: Option<String>,
    /// What it means, and since when it is so.
    pub why: String,
}
