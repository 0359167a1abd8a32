//! What the gateway found inside a release, and how whoever approves answers it.

use super::shell::{Badge, Tone};
use crate::domain::review::finding::Severity;
use crate::web::display::count;

/// The card about what was found inside.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Whether somebody looked inside already.
    pub reported: bool,
    /// "2 blocks, 3 to look at".
    pub summary: Badge,
    /// `/releases/{id}/live` while it goes on.
    pub live: Option<String>,
    /// What stops the approval until it is overridden, and what is ticked one by one.
    pub asked: Vec<FindingCard>,
    /// For the record.
    pub notes: Vec<FindingCard>,
    /// Whole sentences about what is not listed, and about what was accepted before.
    pub asides: Vec<String>,
    /// What was looked for and is not new, in one line; empty where a file could not be read.
    pub assurance: String,
    /// Whole sentences.
    pub not_checked: Vec<String>,
    /// Where another inspection is asked for; `None` when that would change nothing.
    pub again: Option<String>,
}

impl Inspection {
    /// Nobody looked inside yet; the address says when that is over.
    pub fn being_checked(live: String) -> Self {
        Self {
            reported: false,
            summary: Badge::new(Tone::Note, "loader", "Being checked"),
            live: Some(live),
            asked: Vec::new(),
            notes: Vec::new(),
            asides: Vec::new(),
            assurance: String::new(),
            not_checked: Vec::new(),
            again: None,
        }
    }

    /// How much of it asks something of whoever signs.
    pub fn asks(&self) -> usize {
        rows(&self.asked)
    }

    /// Whether nobody has looked inside yet.
    pub fn is_first(&self) -> bool {
        !self.reported
    }

    /// "3 notes".
    pub fn notes_counted(&self) -> String {
        count(rows(&self.notes) as u64, "note")
    }
}

fn rows(cards: &[FindingCard]) -> usize {
    cards.iter().map(|card| card.rows.len()).sum()
}

/// One finding, or several about one file.
#[derive(Clone, Debug)]
pub struct FindingCard {
    /// The file that several are about.
    pub about: Option<About>,
    /// The gravest first.
    pub rows: Vec<FindingRow>,
}

/// A file inside that several findings are about.
#[derive(Clone, Debug)]
pub struct About {
    /// Its path.
    pub path: String,
    /// "in aurora_client-4.2.0.tar.gz"; empty when the release has one file.
    pub inside: String,
    /// Where its difference is read.
    pub href: String,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct FindingRow {
    /// Its name, which is signed.
    pub name: String,
    /// What it asks.
    pub severity: Severity,
    /// What was found.
    pub title: String,
    /// The thing itself; may be empty.
    pub evidence: String,
    /// "in `lib/a.js`, line 3", without the file below its name; may be empty.
    pub place: String,
    /// Where that place is read; `None` for what is about the whole artifact.
    pub href: Option<String>,
    /// What it means, and since when it is so.
    pub why: String,
}

impl FindingRow {
    /// Shape and colour of what it asks.
    pub const fn icon(&self) -> (&'static str, Tone) {
        match self.severity {
            Severity::Block => ("octagon-x", Tone::Bad),
            Severity::Look => ("triangle-alert", Tone::Warn),
            Severity::Note => ("info", Tone::Plain),
        }
    }
}

/// The card about what changed, in numbers.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Each file to publish.
    pub artifacts: Vec<ArtifactChange>,
    /// `/releases/{id}/files`.
    pub files: String,
    /// "12 of 40 viewed"; empty as long as the files are not listed.
    pub viewed: String,
}

/// What changed in one file to publish.
#[derive(Clone, Debug)]
pub struct ArtifactChange {
    /// Its name.
    pub name: String,
    /// What it was compared with, as a sentence.
    pub against: String,
    /// The numbers; none when it could not be read.
    pub tiles: Vec<Tile>,
}

/// One number.
#[derive(Clone, Debug)]
pub struct Tile {
    /// "Dependencies".
    pub label: &'static str,
    /// "1 new".
    pub value: String,
    /// "2 added, 1 removed"; may be empty.
    pub aside: String,
    /// It is worth a look.
    pub stands_out: bool,
}
