//! Outside places that keep our checkpoints, and what is said to them.
//!
//! A copy of a checkpoint outside the database is what tells a rolled-back or replaced log from
//! the real one (K6). A witness that speaks C2SP tlog-witness also signs what it saw, which tells
//! everybody else that they are shown the same log as it was.

use std::fmt::Write as _;
use std::path::PathBuf;

use url::Url;

use crate::domain::digest::Sha256;
use crate::domain::log::checkpoint::decimal;
use crate::domain::log::note::{Note, NoteError, SIGNATURES_MAX, SignatureLine, VerifierKey};

/// Longest answer of a witness that is read, in bytes.
pub const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// One outside place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// For people, and for the row that remembers what it took.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

/// What sort of place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder, best on another host's disk. It can be read back at start.
    Directory(PathBuf),
    /// An address that takes each checkpoint in a POST.
    Webhook {
        /// Where to.
        url: Url,
        /// Private and loopback addresses are allowed (Q15).
        allow_private: bool,
    },
    /// A witness that signs what is consistent with all it saw before (C2SP tlog-witness).
    Cosigner {
        /// The submission prefix.
        url: Url,
        /// The key of its cosignatures.
        key: VerifierKey,
        /// Private and loopback addresses are allowed (Q15).
        allow_private: bool,
    },
}

/// The body of `add-checkpoint`: the size the witness knows, a proof from there, the checkpoint.
pub fn add_checkpoint(old: u64, proof: &[Sha256], note: &Note) -> String {
    let mut body = format!("old {old}\n");
    for hash in proof {
        // Writing to a string does not fail.
        let _ = writeln!(body, "{}", hash.to_base64());
    }
    format!("{body}\n{note}")
}

/// The size that a witness says it knows, from its answer of status 409.
pub fn known_size(body: &[u8]) -> Option<u64> {
    decimal(str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

/// The cosignature by `key` among the lines of a witness's answer. Lines of other keys are ignored,
/// a false one of this key spoils the answer.
pub fn cosignature(body: &[u8], text: &str, key: &VerifierKey) -> Result<SignatureLine, NoteError> {
    let lines = str::from_utf8(body).map_err(|_| NoteError::Text)?;
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape)?;
    let mut found = Err(NoteError::NotSigned);
    for line in lines.split('\n').take(SIGNATURES_MAX) {
        let line = SignatureLine::parse(line)?;
        match Note::new(text.to_owned(), line.clone()).verify(key) {
            Ok(_) => found = Ok(line),
            Err(NoteError::NotSigned) => {}
            Err(error) => return Err(error),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::note::{Signer, Signs};

    const TEXT: &str = "log.example/log\n2\nq83v\n";

    fn signer(name: &str, signs: Signs, seed: u8) -> Signer {
        Signer::from_seed(name, signs, &[seed; 32]).unwrap()
    }

    #[test]
    fn a_submission_is_written_as_the_specification_says() {
        let log = signer("log.example/log", Signs::Text, 1);
        let note = Note::new(TEXT.to_owned(), log.sign(TEXT, 0));
        let proof = [Sha256::of(b"a"), Sha256::of(b"b")];
        let body = add_checkpoint(1, &proof, &note);
        let expected =
            format!("old 1\n{}\n{}\n\n{note}", proof[0].to_base64(), proof[1].to_base64());
        assert_eq!(body, expected);
        assert_eq!(add_checkpoint(0, &[], &note), format!("old 0\n\n{note}"));
    }

    #[test]
    fn a_known_size_is_one_strict_line() {
        assert_eq!(known_size(b"20852014\n"), Some(20_852_014));
        assert_eq!(known_size(b"0\n"), Some(0));
        for body in ["", "\n", "1", "01\n", "1\n\n", " 1\n", "-1\n", "9223372036854775808\n"] {
            assert_eq!(known_size(body.as_bytes()), None, "{body:?}");
        }
    }

    #[test]
    fn of_an_answer_only_the_witnesss_own_true_cosignature_is_taken() {
        let witness = signer("w.example/1", Signs::TextAtTime, 2);
        let stranger = signer("x.example/1", Signs::TextAtTime, 3);
        let key = witness.verifier_key();
        let line = |signer: &Signer, text: &str| format!("{}\n", signer.sign(text, 1_700_000_000));
        let answer = |body: String| cosignature(body.as_bytes(), TEXT, key);
        let good = line(&witness, TEXT);
        let both = answer(line(&stranger, TEXT) + &good).unwrap();
        assert_eq!(format!("{both}\n"), good);
        assert_eq!(answer(line(&stranger, TEXT)), Err(NoteError::NotSigned));
        assert_eq!(answer(line(&witness, "another\n")), Err(NoteError::FalseSignature));
        let spoiled = good.clone() + &line(&witness, "another\n");
        assert_eq!(answer(spoiled), Err(NoteError::FalseSignature));
        assert_eq!(answer(String::new()), Err(NoteError::Shape));
        assert_eq!(answer(good.trim_end().to_owned()), Err(NoteError::Shape));
        assert_eq!(answer(format!("{good}thanks\n")), Err(NoteError::SignatureLine));
    }
}
