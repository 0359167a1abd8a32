//! What CI claimed beside what the bytes say (Q3).

use crate::domain::package::excerpt;

/// One field that differs between the upload's claim and the artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, named as the protocol names it.
    pub field: String,
    /// What CI claimed, after normalisation, escaped and cut; `None` when it claimed nothing.
    pub claimed: Option<String>,
    /// What the artifact says, after normalisation, escaped and cut; `None` when it says nothing.
    pub embedded: Option<String>,
}

impl Difference {
    /// Builds a difference from untrusted text.
    pub fn new(field: &str, claimed: Option<&str>, embedded: Option<&str>) -> Self {
        Self {
            field: excerpt(field),
            claimed: claimed.map(excerpt),
            embedded: embedded.map(excerpt),
        }
    }
}

/// The outcome of comparing a claim with an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Differences in identity, dependencies or code that runs: the upload is refused.
    pub refused: Vec<Difference>,
    /// Every other difference: shown to the reviewer.
    pub shown: Vec<Difference>,
}
