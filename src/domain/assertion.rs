//! Placeholder until the verifier is merged.
use crate::domain::digest::Sha256;
use serde::{Deserialize, Serialize};
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    SignIn,
    StepUp,
    Approve,
    Reject,
    AddKey,
    Governance,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nonce(String);
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assertion {
    credential_id: String,
}
impl Assertion {
    pub fn credential_id_text(&self) -> String {
        self.credential_id.clone()
    }
}
pub struct CoseKey;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct R;
impl CoseKey {
    pub fn from_base64url(_: &str) -> Result<Self, R> {
        Ok(Self)
    }
}
pub struct RelyingParty;
impl RelyingParty {
    pub fn new(_: String, _: String) -> Self {
        Self
    }
}
pub struct Expected<'a> {
    pub relying_party: &'a RelyingParty,
    pub purpose: Purpose,
    pub nonce: &'a Nonce,
    pub statement_digest: Sha256,
    pub previous_counter: Option<u32>,
}
pub fn verify(_: &Expected<'_>, _: &CoseKey, _: &Assertion) -> Result<(), R> {
    Ok(())
}
