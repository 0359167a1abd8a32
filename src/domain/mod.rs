//! Values and rules. Nothing here does I/O, waits, reads a clock or draws a random number.
//!
//! Nothing of ours outside `domain` may be imported here, which is what lets the publish decision
//! and the offline verifier be read on their own.

pub mod address;
pub mod artifact;
pub mod assertion;
pub mod attestation;
pub mod authorise;
pub mod batch;
pub mod causes;
pub mod claims;
pub mod decision;
pub mod digest;
pub mod document;
pub mod event;
pub mod evidence;
pub mod founding;
pub mod governed;
pub mod ids;
pub mod issuer;
pub mod json;
pub mod listing;
pub mod log;
pub mod manifest;
pub mod package;
pub mod place;
pub mod policy;
pub mod proposal;
pub mod publisher;
pub mod quorum;
pub mod recovery;
pub mod release;
pub mod repository;
pub mod review;
pub mod roster;
pub mod simulation;
pub mod statement;
pub mod upstream;
pub mod visible;
pub mod words;

/// Serialises a document into the bytes that are stored, hashed and signed.
///
/// Documents are plain structs whose field order is their encoding; whoever needs the bytes later
/// keeps them instead of serialising again.
pub(crate) fn canonical<T: serde::Serialize>(document: &T) -> Vec<u8> {
    // Serialising to memory fails only for maps with non-string keys and for failing `Serialize`
    // implementations; documents have neither. An empty document verifies against nothing.
    serde_json::to_vec(document).unwrap_or_default()
}
