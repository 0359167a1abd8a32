//! Reaches the outside places that keep our checkpoints: a folder, a webhook, a witness.
//!
//! What a place may be told, and what its answer means for the log, is `pipeline::log`'s business.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use url::Url;

use crate::domain::digest::Sha256;
use crate::domain::log::note::{NOTE_MAX_BYTES, Note, NoteError, SignatureLine, VerifierKey};
use crate::domain::log::witness::{add_checkpoint, cosignature, known_size};
use crate::outbound::{FetchError, Http};

/// The newest checkpoint's name in a folder.
pub const FILE: &str = "checkpoint";
/// Longest text of a refusal that is repeated, in characters.
const WORDS_MAX: usize = 200;

/// Why a place took nothing.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// There was no answer.
    #[error(transparent)]
    NoAnswer(#[from] FetchError),
    /// The answer says no.
    #[error("expected status 200, received {status} `{words}`")]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of the answer.
        words: String,
    },
    /// The answer is no cosignature of the configured key.
    #[error("the answer is not a cosignature")]
    Cosignature(#[from] NoteError),
    /// Status 409 without the size that has to come with it.
    #[error("the answer does not say which size is known")]
    KnownSize,
    /// The address cannot have a path.
    #[error("expected an address that can have a path")]
    Address,
}

/// What a witness answered to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It signed.
    Signed(SignatureLine),
    /// It knows a tree of another size than the proof began with (status 409).
    Knows(u64),
    /// It does not find that the tree extends what it saw (status 422).
    Inconsistent,
}

/// Posts a checkpoint to a webhook; any status of success means that it was taken.
pub async fn post(
    http: &Http,
    url: &Url,
    allow_private: bool,
    note: &Note,
) -> Result<(), WitnessError> {
    match http.post(url, allow_private, note.to_string()).await? {
        (200..=299, _) => Ok(()),
        (status, body) => Err(refused(status, &body)),
    }
}

/// Where a witness is and how its signatures are known.
#[derive(Debug, Clone, Copy)]
pub struct Cosigner<'a> {
    /// The submission prefix.
    pub url: &'a Url,
    /// The key of its cosignatures.
    pub key: &'a VerifierKey,
    /// Private and loopback addresses are allowed (Q15).
    pub allow_private: bool,
}

/// Submits a checkpoint with a proof that it extends the tree of size `old` (C2SP tlog-witness).
pub async fn submit(
    http: &Http,
    cosigner: Cosigner<'_>,
    old: u64,
    proof: &[Sha256],
    note: &Note,
) -> Result<Answer, WitnessError> {
    let mut url = cosigner.url.clone();
    url.path_segments_mut()
        .map_err(|()| WitnessError::Address)?
        .pop_if_empty()
        .push("add-checkpoint");
    let submission = add_checkpoint(old, proof, note);
    match http.post(&url, cosigner.allow_private, submission).await? {
        (200, body) => Ok(Answer::Signed(cosignature(&body, note.text(), cosigner.key)?)),
        (409, body) => known_size(&body).map(Answer::Knows).ok_or(WitnessError::KnownSize),
        (422, _) => Ok(Answer::Inconsistent),
        (status, body) => Err(refused(status, &body)),
    }
}

fn refused(status: u16, body: &[u8]) -> WitnessError {
    let words = String::from_utf8_lossy(body).chars().take(WORDS_MAX).collect::<String>();
    let words = words.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    WitnessError::Refused { status, words }
}

/// Reads a kept note; `None` when there is none yet. Blocks.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    // One byte more than a note may have, so that a longer file is not taken for its beginning.
    file.take(NOTE_MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Keeps a note under a name, in place of the one before. Blocks.
///
/// Dying on the way leaves the old note, or the new one: the name never stands for half of one.
pub fn keep(path: &Path, note: &Note) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(note.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::note::{Signer, Signs};

    #[test]
    fn a_kept_note_replaces_the_one_before_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path).unwrap(), None);
        let signer = Signer::from_seed("log.example/log", Signs::Text, &[1; 32]).unwrap();
        for text in ["one\n", "two\n"] {
            let note = Note::new(text.to_owned(), signer.sign(text, 0));
            keep(&path, &note).unwrap();
            assert_eq!(read(&path).unwrap(), Some(note.to_string().into_bytes()));
        }
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
        let missing = folder.path().join("missing").join(FILE);
        let note = Note::new("x\n".to_owned(), signer.sign("x\n", 0));
        assert!(keep(&missing, &note).is_err());
    }

    #[test]
    fn a_refusal_repeats_little_and_no_control_characters() {
        let error = refused(500, format!("\u{1b}[2J{}", "x".repeat(1000)).as_bytes());
        let text = error.to_string();
        assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
    }
}
