//! Checkpoints (C2SP tlog-checkpoint): what the log signs about its tree.
//!
//! Ours have three lines: the log's origin, the number of leaves, the root hash in base64. Extension
//! lines are refused, since nobody can audit them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::digest::Sha256;
use crate::domain::log::note::{Note, NoteError, VerifierKey};
use crate::domain::log::tree::TreeHead;

/// Text that is not a checkpoint of the expected log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a note, or not one that the log signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not exactly three lines.
    #[error("expected three lines: origin, size and root hash")]
    Lines,
    /// Not a decimal number, or one with leading zeros.
    #[error("expected a tree size without leading zeros")]
    Size,
    /// Not 32 bytes of base64.
    #[error("expected a root hash of 32 bytes in base64")]
    Root,
    /// It is about another log.
    #[error("expected the origin of the key that signed it")]
    Origin,
}

/// What is said about a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log; also the name of its key.
    pub origin: String,
    /// Its tree.
    pub tree: TreeHead,
}

impl Checkpoint {
    /// Reads the text of a note.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> =
            text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n').collect();
        let [origin, size, root] = lines[..] else { return Err(CheckpointError::Lines) };
        if origin.is_empty() {
            return Err(CheckpointError::Origin);
        }
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let root = hash_line(root).ok_or(CheckpointError::Root)?;
        Ok(Self { origin: origin.to_owned(), tree: TreeHead { size, root } })
    }

    /// Reads a signed checkpoint of the log that `key` belongs to.
    pub fn open(bytes: &[u8], key: &VerifierKey) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        note.verify(key)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin);
        }
        Ok((checkpoint, note))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TreeHead { size, root } = self.tree;
        write!(f, "{}\n{size}\n{}\n", self.origin, root.to_base64())
    }
}

/// A number as these formats write it: digits without leading zeros, below 2^63.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text && i64::try_from(number).is_ok()).then_some(number)
}

/// A hash as these formats write it.
fn hash_line(text: &str) -> Option<Sha256> {
    Sha256::from_slice(&STANDARD.decode(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::note::{Signer, Signs};

    /// The text of the specification's example.
    const TEXT: &str = "example.com/behind-the-sofa\n20852163\n\
                        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_specifications_example_is_read_and_written_alike() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
        assert_eq!(checkpoint.tree.size, 20_852_163);
        assert_eq!(checkpoint.to_string(), TEXT);
    }

    #[test]
    fn anything_but_three_strict_lines_is_refused() {
        let refused = |text: &str| Checkpoint::parse(text).unwrap_err();
        assert_eq!(refused(TEXT.trim_end()), CheckpointError::Lines);
        assert_eq!(refused(&format!("{TEXT}extension\n")), CheckpointError::Lines);
        assert_eq!(refused("a\n1\n"), CheckpointError::Lines);
        assert_eq!(refused(&TEXT.replacen("example", "\nexample", 1)), CheckpointError::Lines);
        for size in ["020852163", "+20852163", "-1", "", "9223372036854775808", "1e3", " 1"] {
            assert_eq!(refused(&TEXT.replace("20852163", size)), CheckpointError::Size, "{size}");
        }
        for root in ["CsUY", "", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=", "!"] {
            let text = TEXT.replace("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", root);
            assert_eq!(refused(&text), CheckpointError::Root, "{root}");
        }
        assert_eq!(
            refused(&TEXT.replace("example.com/behind-the-sofa", "")),
            CheckpointError::Origin
        );
    }

    #[test]
    fn a_checkpoint_counts_only_when_its_own_log_signed_it() {
        let signer = |name| Signer::from_seed(name, Signs::Text, &[1; 32]).unwrap();
        let (ours, other) = (signer("example.com/behind-the-sofa"), signer("example.com/other"));
        let note = |by: &Signer| Note::new(TEXT.to_owned(), by.sign(TEXT, 0)).to_string();
        assert!(Checkpoint::open(note(&ours).as_bytes(), ours.verifier_key()).is_ok());
        let result = Checkpoint::open(note(&other).as_bytes(), ours.verifier_key());
        assert_eq!(result, Err(CheckpointError::Note(NoteError::NotSigned)));
        let result = Checkpoint::open(note(&other).as_bytes(), other.verifier_key());
        assert_eq!(result, Err(CheckpointError::Origin));
    }
}
