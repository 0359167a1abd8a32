//! The rule for any other issuer: typed equalities over the claims it names (O24).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::ref_pattern::RefPattern;
use super::rule::{FIELD_MAX_BYTES, RuleError, field_error, require_text};
use crate::domain::claims::{Scalar, TOKEN_CLAIMS};

/// Most claims a generic rule may name.
pub const GENERIC_CLAIMS_MAX: usize = 32;

/// A checked rule of typed equalities (O24).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Scalar>", into = "BTreeMap<String, Scalar>")]
pub struct GenericRule {
    equalities: BTreeMap<String, Scalar>,
    pattern: Option<RefPattern>,
}

impl TryFrom<BTreeMap<String, Scalar>> for GenericRule {
    type Error = RuleError;

    fn try_from(mut claims: BTreeMap<String, Scalar>) -> Result<Self, RuleError> {
        if claims.len() > GENERIC_CLAIMS_MAX {
            return Err(field_error("claims", "at most 32 claims", &claims.len().to_string()));
        }
        let mut pattern = None;
        for (name, value) in &claims {
            let own = TOKEN_CLAIMS.iter().any(|(known, _)| known == name) && name != "sub";
            if own || name.is_empty() || name.len() > FIELD_MAX_BYTES {
                let expected = "names of claims that are not the token's own";
                return Err(field_error("claims", expected, name));
            }
            let Scalar::Text(text) = value else {
                continue;
            };
            require_text(name, Some(text))?;
            if text.contains('*') && name == "ref" {
                pattern = Some(RefPattern::parse(name, text)?);
            } else if text.contains('*') {
                return Err(field_error(name, "an exact value, as only ref may have `*`", text));
            }
        }
        if pattern.is_some() {
            claims.remove("ref");
        }
        if claims.is_empty() {
            return Err(RuleError::Empty);
        }
        Ok(Self { equalities: claims, pattern })
    }
}

impl From<GenericRule> for BTreeMap<String, Scalar> {
    fn from(rule: GenericRule) -> Self {
        let mut claims = rule.equalities;
        claims.extend(
            rule.pattern
                .map(|pattern| ("ref".to_owned(), Scalar::Text(pattern.as_str().to_owned()))),
        );
        claims
    }
}

impl GenericRule {
    /// The typed equalities, without a `ref` pattern.
    pub const fn equalities(&self) -> &BTreeMap<String, Scalar> {
        &self.equalities
    }

    pub(super) fn compare(
        &self,
        claims: &BTreeMap<String, Scalar>,
        subject: &str,
        table: &mut Comparison,
    ) {
        for (name, expected) in &self.equalities {
            let subject = (name == "sub").then(|| Scalar::Text(subject.to_owned()));
            let received = subject.as_ref().or_else(|| claims.get(name));
            let holds = received == Some(expected);
            let shown = received.map(ToString::to_string);
            table.require(name, expected.to_string(), shown.as_deref(), holds);
        }
        if let Some(pattern) = &self.pattern {
            let received = match claims.get("ref") {
                Some(Scalar::Text(text)) => Some(text.as_str()),
                _ => None,
            };
            let holds = received.is_some_and(|name| pattern.matches(name));
            table.require("ref", pattern.as_str(), received, holds);
        }
    }
}
