//! The expected-and-received table: what was compared, what was knowingly not, and what a
//! reviewer should know.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::rule::Runner;
use crate::domain::claims::{ABSENT, AGE_ORDINARY, Claims, TOKEN_CLAIMS, Treatment, table};
use crate::domain::ids::PublisherId;
use crate::domain::issuer::Preset;
use crate::domain::package::excerpt;

/// One row of the expected-and-received table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The claim.
    pub claim: String,
    /// The value it has to have, or what values do.
    pub expected: String,
    /// The value it has, or `(absent)`.
    pub received: String,
    /// Whether that is good.
    pub holds: bool,
}

/// A claim that was knowingly not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// The claim.
    pub claim: &'static str,
    /// Why it does not matter here.
    pub reason: &'static str,
}

/// Something a reviewer should know about claims that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Same id, other name: the repository or project was renamed (O14).
    Renamed {
        /// The name in the rule.
        expected: String,
        /// The name in the token.
        received: String,
    },
    /// The run was started again; its bytes may differ from the first time (O22).
    Rerun {
        /// `run_attempt`.
        attempt: String,
    },
    /// The job ran on one's own machine (O21).
    SelfHosted,
    /// The rule names no environment, so anybody who may push can reach it (O20).
    NoEnvironment,
    /// The rule pins no pipeline definition.
    NoPipelineDefinition,
    /// The token was older than ten minutes (O9).
    OldToken {
        /// Whole minutes between `iat` and verification.
        minutes: i64,
    },
    /// The token has claims that no table of ours mentions.
    Unaccounted {
        /// Their names.
        claims: BTreeSet<String>,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed { expected, received } => {
                write!(f, "renamed from {expected} to {received} since the publisher was set up")
            }
            Self::Rerun { attempt } => write!(f, "attempt {attempt} of this run"),
            Self::SelfHosted => f.write_str("built on a self-hosted runner"),
            Self::NoEnvironment => f.write_str("the publisher names no environment"),
            Self::NoPipelineDefinition => {
                f.write_str("the publisher pins no pipeline definition file")
            }
            Self::OldToken { minutes } => write!(f, "the token was {minutes} minutes old"),
            Self::Unaccounted { claims } => {
                let names: Vec<&str> = claims.iter().map(String::as_str).collect();
                write!(f, "claims we do not know yet: {}", names.join(", "))
            }
        }
    }
}

/// Proof that claims met a publisher's rule; only [`Publisher::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    publisher: PublisherId,
    checks: Vec<Check>,
    ignored: Vec<Ignored>,
    notes: Vec<Note>,
}

impl Matched {
    /// Whose rule was met.
    pub const fn publisher(&self) -> PublisherId {
        self.publisher
    }

    /// What was compared.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What was knowingly not compared.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// What a reviewer should know.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Claims that do not meet a rule; its message names the first difference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimMismatch {
    /// The trusted name or id now belongs to another owner or repository: raise an alarm (O14).
    #[error("{0}")]
    Resurrection(Mismatches),
    /// Any other difference.
    #[error("{0}")]
    Different(Mismatches),
}

/// A table with at least one row that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatches {
    first: Check,
    rows: Vec<Check>,
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { claim, expected, received, .. } = &self.first;
        write!(f, "expected {expected} in the claim {claim}, received `{received}`")
    }
}

impl ClaimMismatch {
    fn table(&self) -> &Mismatches {
        match self {
            Self::Resurrection(table) | Self::Different(table) => table,
        }
    }

    /// True when an alarm is due, not just a refusal.
    pub const fn is_resurrection(&self) -> bool {
        matches!(self, Self::Resurrection(_))
    }

    /// The first claim that differs.
    pub fn claim(&self) -> &str {
        &self.table().first.claim
    }

    /// What it should have been.
    pub fn expected(&self) -> &str {
        &self.table().first.expected
    }

    /// What it was.
    pub fn received(&self) -> &str {
        &self.table().first.received
    }

    /// All rows that do not hold, the first included.
    pub fn mismatches(&self) -> Vec<&Check> {
        self.table().rows.iter().filter(|row| !row.holds).collect()
    }

    /// The whole table, rows that hold included.
    pub fn checks(&self) -> &[Check] {
        &self.table().rows
    }
}

/// The table while it is filled.
#[derive(Default)]
pub(super) struct Comparison {
    rows: Vec<Check>,
    pub(super) notes: Vec<Note>,
    /// The trusted name or id now belongs to somebody else.
    pub(super) changed_hands: bool,
}

impl Comparison {
    pub(super) fn require(
        &mut self,
        claim: &str,
        expected: impl Into<String>,
        received: Option<&str>,
        holds: bool,
    ) {
        self.rows.push(Check {
            claim: claim.to_owned(),
            expected: expected.into(),
            received: received.map_or_else(|| ABSENT.to_owned(), excerpt),
            holds,
        });
    }

    pub(super) fn equal(&mut self, claim: &str, expected: &str, received: Option<&str>) {
        self.require(claim, expected, received, received == Some(expected));
    }

    pub(super) fn one_of(&mut self, claim: &str, expected: &BTreeSet<String>, received: &str) {
        let words: Vec<&str> = expected.iter().map(String::as_str).collect();
        self.require(claim, words.join(" or "), Some(received), expected.contains(received));
    }

    pub(super) fn environment(&mut self, expected: Option<&str>, received: Option<&str>) {
        match expected {
            // ASCII only: look-alikes in other scripts are other names (O20).
            Some(expected) => {
                let holds = received.is_some_and(|name| name.eq_ignore_ascii_case(expected));
                self.require("environment", expected, received, holds);
            }
            None => self.notes.push(Note::NoEnvironment),
        }
    }

    pub(super) fn runner(&mut self, expected: Runner, received: Option<&str>) {
        if expected != Runner::Any {
            self.equal("runner_environment", expected.as_str(), received);
        }
        // An absent claim is not a hosted runner either.
        if !matches!(received, Some("github-hosted" | "gitlab-hosted")) {
            self.notes.push(Note::SelfHosted);
        }
    }

    pub(super) fn conclude(
        mut self,
        publisher: PublisherId,
        preset: Preset,
        claims: &Claims,
    ) -> Result<Matched, ClaimMismatch> {
        if let Some(first) = self.rows.iter().find(|row| !row.holds).cloned() {
            let changed_hands = self.changed_hands;
            let table = Mismatches { first, rows: self.rows };
            return Err(if changed_hands {
                ClaimMismatch::Resurrection(table)
            } else {
                ClaimMismatch::Different(table)
            });
        }
        let age: SignedDuration = claims.verified_at().duration_since(claims.issued_at());
        if age > AGE_ORDINARY {
            self.notes.push(Note::OldToken { minutes: age.as_mins() });
        }
        if !claims.unaccounted().is_empty() {
            self.notes.push(Note::Unaccounted { claims: claims.unaccounted().clone() });
        }
        let compared: BTreeSet<&str> = self.rows.iter().map(|row| row.claim.as_str()).collect();
        let known = TOKEN_CLAIMS.iter().chain(table(preset));
        let ignored = known
            .filter(|(claim, _)| !compared.contains(claim))
            .filter_map(|(claim, treatment)| match treatment {
                Treatment::Token => None,
                Treatment::Rule => Some(Ignored { claim, reason: "the rule does not ask for it" }),
                Treatment::Kept(reason) | Treatment::Ignored(reason) => {
                    Some(Ignored { claim, reason })
                }
            })
            .collect();
        Ok(Matched { publisher, checks: self.rows, ignored, notes: self.notes })
    }
}
