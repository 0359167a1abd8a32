//! What the rules of all providers have in common: what a field may hold, and what is said about
//! one that holds something else.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::claims::is_numeric_id;
use crate::domain::package::excerpt;

/// Longest text of one field of a rule, in bytes.
pub const FIELD_MAX_BYTES: usize = 512;

/// Why a rule cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// One field does not hold what it has to.
    #[error("expected {expected} as {field}, received `{received}`")]
    Field {
        /// The field, under its configuration name.
        field: String,
        /// What would have been accepted.
        expected: &'static str,
        /// What came, cut to a printable length.
        received: String,
    },
    /// Nothing would be compared that a stranger cannot also have (O24).
    #[error("expected at least one exact claim besides the token's own, received `none`")]
    Empty,
    /// A publisher has exactly one rule.
    #[error("expected exactly one of github, gitlab and claims, received `{received}`")]
    Shape {
        /// How many rules came.
        received: usize,
    },
}

pub(super) fn field_error(field: &str, expected: &'static str, received: &str) -> RuleError {
    RuleError::Field { field: field.to_owned(), expected, received: excerpt(received) }
}

/// Where the job may run (O21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Runner {
    /// Machines of GitHub.
    #[default]
    #[serde(rename = "github-hosted")]
    GitHubHosted,
    /// Machines of the GitLab instance's operator.
    #[serde(rename = "gitlab-hosted")]
    GitLabHosted,
    /// The organization's own machines; a finding each time.
    #[serde(rename = "self-hosted")]
    SelfHosted,
    /// Either; a finding when it was one's own.
    #[serde(rename = "any")]
    Any,
}

impl Runner {
    /// The word in configuration, and the claim's value except for `any`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHubHosted => "github-hosted",
            Self::GitLabHosted => "gitlab-hosted",
            Self::SelfHosted => "self-hosted",
            Self::Any => "any",
        }
    }
}

pub(super) fn require_id(field: &str, text: &str) -> Result<(), RuleError> {
    let expected = "a numeric id without leading zeros";
    if is_numeric_id(text) { Ok(()) } else { Err(field_error(field, expected, text)) }
}

pub(super) fn require_text(field: &str, text: Option<&str>) -> Result<(), RuleError> {
    match text {
        Some(text)
            if text.is_empty()
                || text.len() > FIELD_MAX_BYTES
                || text.chars().any(char::is_control) =>
        {
            Err(field_error(field, "1 to 512 bytes of text without control characters", text))
        }
        _ => Ok(()),
    }
}

pub(super) fn require_words(
    field: &str,
    words: &BTreeSet<String>,
    allowed: &[&str],
    expected: &'static str,
) -> Result<(), RuleError> {
    if words.is_empty() {
        return Err(field_error(field, expected, "none"));
    }
    match words.iter().find(|word| !allowed.contains(&word.as_str())) {
        Some(word) => Err(field_error(field, expected, word)),
        None => Ok(()),
    }
}
