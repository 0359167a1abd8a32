//! A recorded decision: one person, one verdict, one statement, one assertion.

use serde::{Deserialize, Serialize};

use crate::domain::assertion::{Assertion, Nonce};
use crate::domain::ids::{DecisionId, PersonId};
use crate::domain::quorum::Verdict;

/// A decision with everything needed to verify it again, by us or by anybody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decision {
    /// Names this decision.
    pub id: DecisionId,
    /// Whose.
    pub person: PersonId,
    /// What.
    pub verdict: Verdict,
    /// The exact statement bytes shown and signed; they are UTF-8 JSON.
    pub statement: String,
    /// Fresh for this ceremony; part of the challenge (Q13).
    pub nonce: Nonce,
    /// What the authenticator returned.
    pub assertion: Assertion,
}
