//! A finding: one result of the checks, with what it rests on.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::review::checks;
use crate::domain::review::survey::EXCERPT_MAX;

/// How much a finding asks of a reviewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Note,
    /// To be looked at, one by one, before signing.
    Look,
    /// Stops approval until it is overridden in words, by two people where the policy names two.
    Block,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Look => "look",
            Self::Block => "block",
        })
    }
}

/// How a finding stands against the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// There is no baseline: everything is new.
    FirstRelease,
    /// The baseline does not have it.
    New,
    /// The baseline has it differently.
    Changed,
    /// The baseline has the same.
    Unchanged,
}

/// A kind of finding. Numbers are those of the list of checks in `docs/checks.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// `HK-01`.
    pub id: &'static str,
    /// What was found, as the beginning of a sentence that names the subject.
    pub title: &'static str,
    /// What it means for those who install the package.
    pub why: &'static str,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Of which check; written as its id.
    #[serde(serialize_with = "id_of", deserialize_with = "by_id")]
    pub check: &'static Check,
    /// What it asks.
    pub severity: Severity,
    /// In which file, if in one.
    pub file: Option<String>,
    /// In which line of it, from 1.
    pub line: Option<u32>,
    /// The thing itself: a value, a line, a name. Untrusted text, cut.
    pub evidence: String,
    /// Against the baseline.
    pub since: Since,
}

impl Finding {
    /// About the whole artifact or release. The evidence is cut to [`EXCERPT_MAX`].
    pub(in crate::domain::review) fn new(
        check: &'static Check,
        severity: Severity,
        since: Since,
        evidence: &str,
    ) -> Self {
        let evidence = evidence.chars().take(EXCERPT_MAX).collect();
        Self { check, severity, file: None, line: None, evidence, since }
    }

    /// The same about one file, in one line of it if that is known.
    pub(in crate::domain::review) fn at(self, path: &str, line: Option<u32>) -> Self {
        Self { file: Some(path.to_owned()), line, ..self }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference to the member")]
fn id_of<S: Serializer>(check: &&'static Check, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(check.id)
}

fn by_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Check, D::Error> {
    let id = String::deserialize(deserializer)?;
    checks::by_id(&id).ok_or_else(|| D::Error::custom(format_args!("no check is called `{id}`")))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.check.id, self.check.title)?;
        if !self.evidence.is_empty() {
            write!(f, " `{}`", self.evidence.escape_debug())?;
        }
        if let Some(file) = &self.file {
            write!(f, " in {}", file.escape_debug())?;
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        Ok(())
    }
}
