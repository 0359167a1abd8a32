//! The offline recovery key (Q19): printed once at the founding, kept in a safe, used when so many
//! keys are lost that no quorum is left.
//!
//! A recovery is a proposal about keys that this key signs instead of a quorum. It still waits for
//! the delay, everybody is told, and one objection by a signer who is not its subject ends it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;

/// What is signed is this, a zero byte and the digest of the proposal.
pub const TAG: &str = "countersign/recovery/v1";
/// Bytes of an Ed25519 public key.
const KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecoveryKey([u8; KEY_BYTES]);

/// A signature by the recovery key over one proposal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecoverySignature([u8; SIGNATURE_BYTES]);

/// Text that is no key or signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes in base64url without padding")]
pub struct RecoveryText {
    expected: usize,
}

/// The bytes a recovery signature is over.
pub fn message(proposal: &Sha256) -> Vec<u8> {
    [TAG.as_bytes(), &[0], proposal.as_bytes()].concat()
}

impl RecoveryKey {
    /// Wraps a public key.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Whether the key signed this proposal.
    pub fn signed(&self, proposal: &Sha256, signature: &RecoverySignature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(&message(proposal), &signature.0).is_ok()
    }
}

impl RecoverySignature {
    /// Wraps a signature.
    pub const fn from_bytes(bytes: [u8; SIGNATURE_BYTES]) -> Self {
        Self(bytes)
    }
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], RecoveryText> {
    let refusal = RecoveryText { expected: N };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refusal)?;
    bytes.try_into().map_err(|_| refusal)
}

impl TryFrom<String> for RecoveryKey {
    type Error = RecoveryText;

    fn try_from(text: String) -> Result<Self, RecoveryText> {
        decode(&text).map(Self)
    }
}
impl From<RecoveryKey> for String {
    fn from(key: RecoveryKey) -> Self {
        URL_SAFE_NO_PAD.encode(key.0)
    }
}
impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryKey({})", String::from(*self))
    }
}
impl TryFrom<String> for RecoverySignature {
    type Error = RecoveryText;

    fn try_from(text: String) -> Result<Self, RecoveryText> {
        decode(&text).map(Self)
    }
}
impl From<RecoverySignature> for String {
    fn from(signature: RecoverySignature) -> Self {
        URL_SAFE_NO_PAD.encode(signature.0)
    }
}
impl fmt::Debug for RecoverySignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoverySignature({})", String::from(*self))
    }
}
