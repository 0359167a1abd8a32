//! Signed notes (C2SP signed-note): text, and lines that say who signed it with Ed25519.
//!
//! A note proves nothing until [`Note::verify`] names the key. Two sorts of signature are known:
//! over the text alone, which is how the log signs, and over the text with a time (C2SP
//! tlog-cosignature), which is how witnesses do.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::domain::digest::Sha256;

/// Largest note in bytes. Sixteen signatures of the largest known sort fit twice.
pub const NOTE_MAX_BYTES: usize = 128 * 1024;
/// Most signatures of a note; at least 16 have to be accepted.
pub const SIGNATURES_MAX: usize = 32;
/// Longest name of a key in bytes.
pub const KEY_NAME_MAX_BYTES: usize = 255;
/// What a signature line starts with.
const SIGNATURE_MARK: &str = "\u{2014} ";
/// Bytes of the time before a cosignature.
const TIME_BYTES: usize = 8;

/// Text that is not a note, a signature line or a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Larger than any note we or a witness would write.
    #[error("expected a note of at most {NOTE_MAX_BYTES} bytes")]
    TooLarge,
    /// Control characters, or not UTF-8.
    #[error("expected a note of UTF-8 text without control characters")]
    Text,
    /// No empty line between text and signatures, or nothing after it.
    #[error("expected a text, an empty line and signature lines")]
    Shape,
    /// More signatures than [`SIGNATURES_MAX`].
    #[error("expected at most {SIGNATURES_MAX} signatures")]
    Signatures,
    /// Not a dash, a name, and base64 of a key id and a signature.
    #[error("expected signature lines of a dash, a name and base64")]
    SignatureLine,
    /// Empty, too long, or with spaces, control characters or a plus sign.
    #[error("expected a key name without spaces and plus signs")]
    KeyName,
    /// Not `name+id+base64`, of a sort that is not known, or with an id that is not the key's.
    #[error("expected a verifier key, `name+id+base64`, of an Ed25519 key")]
    VerifierKey,
    /// The key did not sign the note.
    #[error("the note is not signed by the expected key")]
    NotSigned,
    /// There is a signature of that key, and it is wrong.
    #[error("the note carries a false signature of the expected key")]
    FalseSignature,
}

/// What a key signs. The number is the signature type of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// The text.
    Text = 1,
    /// The text after a line that names a time: a witness's cosignature.
    TextAtTime = 4,
}

/// The public half of a key, and all there is to know to check what it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    signs: Signs,
    public: [u8; 32],
}

impl VerifierKey {
    /// A key with its name.
    pub fn new(name: &str, signs: Signs, public: [u8; 32]) -> Result<Self, NoteError> {
        check_key_name(name)?;
        Ok(Self { name: name.to_owned(), signs, public })
    }

    /// Reads `name+id+base64`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let refused = NoteError::VerifierKey;
        let (name, rest) = text.split_once('+').ok_or(refused)?;
        // The base64 may hold plus signs of its own.
        let (id, key) = rest.split_once('+').ok_or(refused)?;
        let key = STANDARD.decode(key).map_err(|_| refused)?;
        let (sort, public) = key.split_first().ok_or(refused)?;
        let signs = match sort {
            1 => Signs::Text,
            4 => Signs::TextAtTime,
            _ => return Err(refused),
        };
        let key = Self::new(name, signs, public.try_into().map_err(|_| refused)?)?;
        if format!("{:08x}", key.id()) == id { Ok(key) } else { Err(refused) }
    }

    /// Whose it is; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub const fn signs(&self) -> Signs {
        self.signs
    }

    /// The number that tells keys of one name apart.
    pub fn id(&self) -> u32 {
        let bytes = [self.name.as_bytes(), b"\n", &[self.signs as u8], &self.public].concat();
        let [a, b, c, d, ..] = *Sha256::of(&bytes).as_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether a line claims to be signed by this key.
    fn claims(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.id == self.id()
    }

    /// Checks a signature over `text` and gives the time in it, if it has one.
    fn check(&self, text: &str, signature: &[u8]) -> Option<Verified> {
        let key = UnparsedPublicKey::new(&ED25519, &self.public);
        match self.signs {
            Signs::Text => {
                key.verify(text.as_bytes(), signature).ok()?;
                Some(Verified { unix_seconds: None })
            }
            Signs::TextAtTime => {
                let (time, signature) = signature.split_at_checked(TIME_BYTES)?;
                let seconds = u64::from_be_bytes(time.try_into().ok()?);
                let seconds = i64::try_from(seconds).ok()?;
                key.verify(cosigned(text, seconds).as_bytes(), signature).ok()?;
                Some(Verified { unix_seconds: Some(seconds) })
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.signs as u8], &self.public[..]].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(key))
    }
}

/// What a witness signs: the note's text, as it was seen at a time.
fn cosigned(text: &str, unix_seconds: i64) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}")
}

/// A signature was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// When a witness says it signed.
    pub unix_seconds: Option<i64>,
}

/// The private half of a key.
pub struct Signer {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The key that belongs to a seed (RFC 8032). The seed is all that has to be kept.
    pub fn from_seed(name: &str, signs: Signs, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let refused = NoteError::VerifierKey;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| refused)?;
        Ok(Self { key: VerifierKey::new(name, signs, public)?, pair })
    }

    /// The public half.
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a text. The time counts for keys that sign one.
    pub fn sign(&self, text: &str, unix_seconds: i64) -> SignatureLine {
        let signature = match self.key.signs {
            Signs::Text => self.pair.sign(text.as_bytes()).as_ref().to_vec(),
            Signs::TextAtTime => {
                let signature = self.pair.sign(cosigned(text, unix_seconds).as_bytes());
                [&unix_seconds.to_be_bytes(), signature.as_ref()].concat()
            }
        };
        SignatureLine { name: self.key.name.clone(), id: self.key.id(), signature }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, secret)", self.key)
    }
}

/// One signature as the note carries it. Nothing about it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    id: u32,
    signature: Vec<u8>,
}

impl SignatureLine {
    /// Reads a line without its end.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let refused = NoteError::SignatureLine;
        let (name, encoded) = line
            .strip_prefix(SIGNATURE_MARK)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(refused)?;
        check_key_name(name)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| refused)?;
        let (id, signature) = bytes.split_first_chunk().ok_or(refused)?;
        if signature.is_empty() {
            return Err(refused);
        }
        let id = u32::from_be_bytes(*id);
        Ok(Self { name: name.to_owned(), id, signature: signature.to_vec() })
    }

    /// The signature itself.
    pub fn bytes(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.to_be_bytes(), &self.signature[..]].concat();
        write!(f, "{SIGNATURE_MARK}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A text with signatures. Its text counts for nothing before [`Self::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Note {
    /// A text that ends in a newline, with one signature.
    pub fn new(text: String, signature: SignatureLine) -> Self {
        Self { text, signatures: vec![signature] }
    }

    /// Reads a whole note.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_MAX_BYTES {
            return Err(NoteError::TooLarge);
        }
        let whole = str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        if whole.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Text);
        }
        let border = whole.rfind("\n\n").ok_or(NoteError::Shape)?;
        let (text, signatures) = (&whole[..=border], &whole[border + 2..]);
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Shape)?;
        if lines.split('\n').count() > SIGNATURES_MAX {
            return Err(NoteError::Signatures);
        }
        let signatures: Result<_, _> = lines.split('\n').map(SignatureLine::parse).collect();
        Ok(Self { text: text.to_owned(), signatures: signatures? })
    }

    /// Checks that `key` signed the text. Signatures by other keys are not looked at.
    pub fn verify(&self, key: &VerifierKey) -> Result<Verified, NoteError> {
        let mut verified = Err(NoteError::NotSigned);
        for line in self.signatures.iter().filter(|line| key.claims(line)) {
            verified =
                Ok(key.check(&self.text, &line.signature).ok_or(NoteError::FalseSignature)?);
        }
        verified
    }

    /// What was signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in their order.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The same text with one more signature; one of the same key is replaced.
    pub fn with_signature(mut self, signature: SignatureLine) -> Self {
        self.signatures.retain(|line| line.name != signature.name || line.id != signature.id);
        self.signatures.push(signature);
        self
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn check_key_name(name: &str) -> Result<(), NoteError> {
    let unfit = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > KEY_NAME_MAX_BYTES || name.contains(unfit) {
        return Err(NoteError::KeyName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and notes that the tests of Go's `golang.org/x/mod/sumdb/note` publish.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
    const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const PETER_LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const ENOCH_LINE: &str = "\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

    fn key(text: &str) -> VerifierKey {
        VerifierKey::parse(text).unwrap()
    }

    fn note(text: &str) -> Note {
        Note::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_specifications_own_example_verifies() {
        let key = key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
        let text = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
        assert_eq!(note(text).verify(&key), Ok(Verified { unix_seconds: None }));
        assert_eq!(note(text).to_string(), text);
        assert_eq!(note(text).text(), "This is an example message.\n");
    }

    #[test]
    fn signatures_by_another_implementation_verify_and_ours_are_the_same_bytes() {
        let both = format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}");
        for known in [PETER, ENOCH] {
            assert!(note(&both).verify(&key(known)).is_ok());
            assert_eq!(key(known).to_string(), known);
        }
        let seed = STANDARD.decode(PETER_SEED).unwrap().try_into().unwrap();
        let peter = Signer::from_seed("PeterNeumann", Signs::Text, &seed).unwrap();
        assert_eq!(peter.verifier_key(), &key(PETER));
        assert_eq!(format!("{}\n", peter.sign(TEXT, 0)), PETER_LINE);
        assert!(!format!("{peter:?}").contains(&STANDARD.encode(seed)));
        let signed = Note::new(TEXT.to_owned(), peter.sign(TEXT, 0));
        assert_eq!(signed.to_string(), format!("{TEXT}\n{PETER_LINE}"));
        let enoch = SignatureLine::parse(ENOCH_LINE.trim_end()).unwrap();
        assert_eq!(signed.clone().with_signature(enoch).to_string(), both);
        assert_eq!(signed.clone().with_signature(peter.sign(TEXT, 0)), signed);
    }

    #[test]
    fn a_note_counts_only_with_a_true_signature_of_the_expected_key() {
        let peter = key(PETER);
        let unsigned = note(&format!("{TEXT}\n{ENOCH_LINE}"));
        assert_eq!(unsigned.verify(&peter), Err(NoteError::NotSigned));
        let other_text = note(&format!("another text\n\n{PETER_LINE}"));
        assert_eq!(other_text.verify(&peter), Err(NoteError::FalseSignature));
        // One false signature of the key spoils a true one beside it.
        let forged = PETER_LINE.replace("ZJkuBS", "ZJkvBS");
        for lines in [format!("{PETER_LINE}{forged}"), format!("{forged}{PETER_LINE}")] {
            let result = note(&format!("{TEXT}\n{lines}")).verify(&peter);
            assert_eq!(result, Err(NoteError::FalseSignature));
        }
        // The same public key under another name is another key.
        let renamed = VerifierKey::new("Peter", Signs::Text, peter.public).unwrap();
        let signed = note(&format!("{TEXT}\n{PETER_LINE}"));
        assert_eq!(signed.verify(&renamed), Err(NoteError::NotSigned));
    }

    #[test]
    fn a_cosignature_covers_text_and_time_and_is_no_signature_of_the_text() {
        let witness = Signer::from_seed("w.example/1", Signs::TextAtTime, &[7; 32]).unwrap();
        let log = Signer::from_seed("w.example/1", Signs::Text, &[7; 32]).unwrap();
        let text = "log.example\n1\nq83v\n";
        let line = witness.sign(text, 1_679_315_147);
        let signed = Note::new(text.to_owned(), line.clone());
        let verified = signed.verify(witness.verifier_key());
        assert_eq!(verified, Ok(Verified { unix_seconds: Some(1_679_315_147) }));
        assert_eq!(signed.verify(log.verifier_key()), Err(NoteError::NotSigned));
        let mut later = line.clone();
        later.signature[7] ^= 1;
        let result = Note::new(text.to_owned(), later).verify(witness.verifier_key());
        assert_eq!(result, Err(NoteError::FalseSignature));
        let mut short = line;
        short.signature.truncate(7);
        let result = Note::new(text.to_owned(), short).verify(witness.verifier_key());
        assert_eq!(result, Err(NoteError::FalseSignature));
    }

    #[test]
    fn every_cut_and_every_change_of_a_verifier_key_is_refused() {
        for start in 0..PETER.len() {
            for end in start..=PETER.len() {
                if (start, end) != (0, PETER.len()) {
                    assert!(VerifierKey::parse(&PETER[start..end]).is_err(), "{start}..{end}");
                }
            }
        }
        for at in 0..PETER.len() {
            let mut bytes = PETER.as_bytes().to_vec();
            bytes[at] += 1;
            assert!(VerifierKey::parse(str::from_utf8(&bytes).unwrap()).is_err(), "{at}");
        }
        // A longer key and an unknown sort, each with its own right id.
        for text in [
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert_eq!(VerifierKey::parse(text), Err(NoteError::VerifierKey));
        }
    }

    #[test]
    fn what_is_not_a_note_is_refused_by_its_first_fault() {
        let refused = |text: &str| Note::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refused(TEXT), NoteError::Shape);
        assert_eq!(refused(&format!("{TEXT}\n")), NoteError::Shape);
        let signed = format!("{TEXT}\n{PETER_LINE}");
        assert_eq!(refused(signed.trim_end()), NoteError::Shape);
        assert_eq!(refused(&format!("\u{1}{signed}")), NoteError::Text);
        assert_eq!(Note::parse(&[b"\xff", signed.as_bytes()].concat()), Err(NoteError::Text));
        assert_eq!(refused(&format!("{signed}more\n")), NoteError::SignatureLine);
        assert_eq!(refused(&signed.replace("PeterN", "Peter N")), NoteError::SignatureLine);
        assert_eq!(refused(&signed.replace("PeterN", "Peter+N")), NoteError::KeyName);
        assert_eq!(refused(&signed.replace("PeterN", "Peter\u{a0}N")), NoteError::KeyName);
        assert_eq!(refused(&format!("{TEXT}\n\u{2014} a AAAAAA==\n")), NoteError::SignatureLine);
        let many = |count| format!("{TEXT}\n{}", PETER_LINE.repeat(count));
        assert_eq!(note(&many(SIGNATURES_MAX)).signatures().len(), SIGNATURES_MAX);
        assert_eq!(refused(&many(SIGNATURES_MAX + 1)), NoteError::Signatures);
        let large = format!("{}{signed}", "x".repeat(NOTE_MAX_BYTES));
        assert_eq!(refused(&large), NoteError::TooLarge);
        // Empty lines belong to the text; only the last one divides.
        let verse = note(&format!("a\n\nb\n\n{PETER_LINE}"));
        assert_eq!(verse.text(), "a\n\nb\n");
    }
}
