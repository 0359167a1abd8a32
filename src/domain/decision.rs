//! A recorded decision: one person, one verdict, one statement, one assertion.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::assertion::{self, Assertion, Intent, Nonce, Purpose, RelyingParty};
use crate::domain::batch::Batch;
use crate::domain::digest::Sha256;
use crate::domain::ids::{DecisionId, PersonId};
use crate::domain::quorum::Verdict;
use crate::domain::review::report::Unanswered;
use crate::domain::roster::{Authenticator, Roster};

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
    /// The exact bytes signed when several releases were approved with one touch; they list this
    /// statement's digest (W17). `None` when the statement itself was signed.
    pub batch: Option<String>,
    /// Fresh for this ceremony; part of the challenge (Q13).
    pub nonce: Nonce,
    /// What the authenticator returned.
    pub assertion: Assertion,
}

/// Why a recorded decision does not count.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Discount {
    /// The signed statement is not the one this subject, person, policy and roster give.
    #[error("the signed statement is about something else")]
    Statement,
    /// The release was inspected again since (A14).
    #[error("it was made over another report than the last one")]
    AnotherReport,
    /// It does not answer what the report asks (A14).
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The key was not this person's, or could not say this yet, when they signed.
    #[error("the key did not count when it signed")]
    KeyThen,
    /// The key or the person is no longer on the roster (A4).
    #[error("the key no longer counts")]
    KeyNow,
    /// The signature does not verify.
    #[error("the signature does not verify: {0}")]
    Signature(String),
}

impl Decision {
    /// Verifies the signature over the recorded statement by a key that was this person's and
    /// counted when they signed, and is still theirs. A key on probation objects and does not
    /// approve (W13). What the statement says is the caller's to compare. Returns what holds the key.
    pub fn verify(
        &self,
        relying_party: &RelyingParty,
        purpose: Purpose,
        (then, signed_at): (&Roster, Timestamp),
        now: &Roster,
    ) -> Result<Authenticator, Discount> {
        let credential = self.assertion.credential_id();
        let (person, key) = then.key(credential).ok_or(Discount::KeyThen)?;
        let in_time = match self.verdict {
            Verdict::Approve => key.counts_from <= signed_at,
            Verdict::Reject => true,
        };
        if person.id != self.person || !person.role.may_sign() || !in_time {
            return Err(Discount::KeyThen);
        }
        let (person_now, key_now) = now.key(credential).ok_or(Discount::KeyNow)?;
        if person_now.id != person.id || key_now.public_key != key.public_key {
            return Err(Discount::KeyNow);
        }
        let intent = self.intent(purpose)?;
        // The counter was compared when the decision was recorded; a replay has none to compare.
        assertion::verify(
            relying_party,
            &key.public_key,
            &intent,
            &self.nonce,
            &self.assertion,
            None,
        )
        .map_err(|refusal| Discount::Signature(refusal.to_string()))?;
        Ok(key_now.authenticator)
    }

    /// What was signed: the statement, or a batch that lists it.
    fn intent(&self, purpose: Purpose) -> Result<Intent, Discount> {
        let Some(bytes) = self.batch.as_deref().map(str::as_bytes) else {
            return Ok(Intent { purpose, statement: Sha256::of(self.statement.as_bytes()) });
        };
        let batch = Batch::from_bytes(bytes).ok_or(Discount::Statement)?;
        // Releases alone are approved so; nothing is rejected and nothing governed by the dozen.
        let lists =
            purpose == Purpose::Approve && batch.contains(self.person, self.statement.as_bytes());
        if !lists {
            return Err(Discount::Statement);
        }
        Ok(Intent { purpose: Purpose::ApproveBatch, statement: Sha256::of(bytes) })
    }
}
