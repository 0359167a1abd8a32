//! Values and rules. Nothing here does I/O, waits, reads a clock or draws a random number.
//!
//! Nothing of ours outside `domain` may be imported here, which is what lets the publish decision
//! and the offline verifier be read on their own.

pub mod address;
pub mod artifact;
pub mod assertion;
pub mod authorise;
pub mod claims;
pub mod decision;
pub mod digest;
pub mod document;
pub mod event;
pub mod ids;
pub mod issuer;
pub mod manifest;
pub mod package;
pub mod policy;
pub mod publisher;
pub mod quorum;
pub mod release;
pub mod roster;
pub mod statement;
pub mod upstream;
pub mod words;
