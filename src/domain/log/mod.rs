//! The transparency log: a Merkle tree over the entries, and what is said about it in public.
//!
//! `tree` hashes (RFC 6962), `tile` cuts the tree into files that never change (C2SP tlog-tiles),
//! `note` signs text (C2SP signed-note), `checkpoint` is the text that the log signs (C2SP
//! tlog-checkpoint), and `witness` has others sign it, too (C2SP tlog-witness, tlog-cosignature).

pub mod checkpoint;
pub mod note;
pub mod tile;
pub mod tree;
pub mod witness;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Sha256;

/// Where below the origin the log is served; a part of its name in checkpoints.
pub const PUBLIC_PATH: &str = "/log";

/// The name of the log of an installation: its origin without the scheme, and where the log is;
/// `None` when that is no origin.
pub fn name(origin: &str) -> Option<String> {
    let (_, address) = origin.split_once("://")?;
    Some(format!("{address}{PUBLIC_PATH}"))
}

/// The public face of one entry: a leaf of the tree. Field order is the encoding.
///
/// It names the entry's body by digest only. Bodies may be larger than a tile's entries can be and
/// may hold words that are nobody else's business; an evidence bundle reveals those it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Position in the log, from zero, without gaps.
    pub sequence: u64,
    /// When the entry was appended.
    pub at: Timestamp,
    /// What sort of event it is.
    pub kind: String,
    /// SHA-256 of the entry's exact bytes.
    pub sha256: Sha256,
}

impl Leaf {
    /// The bytes that are hashed into the tree; UTF-8 JSON without white space, below 300 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        super::canonical(self)
    }

    /// Reads a leaf back; `None` when the bytes are not exactly one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let leaf: Self = serde_json::from_slice(bytes).ok()?;
        (leaf.to_bytes() == bytes).then_some(leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_has_one_encoding_that_names_the_body_by_digest() {
        let leaf = Leaf {
            sequence: 7,
            at: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
            kind: "decided".to_owned(),
            sha256: Sha256::of(b"body"),
        };
        let text = "{\"sequence\":7,\"at\":\"2026-01-02T03:04:05.000006Z\",\"kind\":\"decided\",\
                    \"sha256\":\"230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5\"}";
        assert_eq!(String::from_utf8(leaf.to_bytes()).unwrap(), text);
        assert_eq!(Leaf::from_bytes(text.as_bytes()), Some(leaf));
        for other in [text.replace("7,", "7, "), text.replace("230d", "230D"), format!("{text} ")] {
            assert_eq!(Leaf::from_bytes(other.as_bytes()), None, "{other}");
        }
    }
}
