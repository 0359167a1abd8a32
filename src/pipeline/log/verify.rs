//! Checks the whole log: bodies against leaves, leaves against the tree, the tree against what was
//! signed.

use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::note::{Note, NoteError, VerifierKey};
use crate::domain::log::tree::{Frontier, TreeHead};
use crate::pipeline::log::{Broken, Trouble, extend};
use crate::store::checkpoints::CheckpointRecord;
use crate::store::{Store, Tx};

/// Checkpoints read at once.
const CHECKPOINTS: u32 = 256;

/// What a whole check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The tree over all entries.
    pub head: TreeHead,
    /// How many checkpoints of this key it agrees with.
    pub checkpoints: u64,
    /// How many it agrees with whose signature cannot be checked: they are of a key before.
    pub of_other_keys: u64,
}

/// Reads every entry once and compares everything that is kept about it. Takes time in proportion
/// to the log, and memory for a page of it.
pub async fn verify(store: &Store, key: &VerifierKey) -> Result<Checked, Trouble> {
    let mut tx = store.snapshot().await?;
    let head = tx.log_frontier().await?;
    let mut frontier = Frontier::default();
    let (mut checkpoints, mut of_other_keys) = (0, 0);
    loop {
        let page = tx.checkpoints_after(frontier.size(), CHECKPOINTS).await?;
        let Some(last) = page.last().map(|checkpoint| checkpoint.size) else { break };
        if last > head.size() {
            return Err(Broken::Checkpoint { size: last }.into());
        }
        for checkpoint in page {
            frontier = grow(&mut tx, frontier, checkpoint.size).await?;
            if signed(&checkpoint, &frontier.head(), key)? {
                checkpoints += 1;
            } else {
                of_other_keys += 1;
            }
        }
    }
    frontier = grow(&mut tx, frontier, head.size()).await?;
    if frontier != head {
        return Err(Broken::Head.into());
    }
    Ok(Checked { head: frontier.head(), checkpoints, of_other_keys })
}

async fn grow(tx: &mut Tx, frontier: Frontier, end: u64) -> Result<Frontier, Trouble> {
    extend(tx, frontier, end, |_| {}).await
}

/// Whether the log's key signed a checkpoint, which must be about this tree in any case.
fn signed(record: &CheckpointRecord, tree: &TreeHead, key: &VerifierKey) -> Result<bool, Broken> {
    let refused = || Broken::Checkpoint { size: record.size };
    let note = Note::parse(record.note.as_bytes()).map_err(|_| refused())?;
    let expected = Checkpoint { origin: key.name().to_owned(), tree: *tree };
    if note.text() != expected.to_string() {
        return Err(refused());
    }
    match note.verify(key) {
        Ok(_) => Ok(true),
        Err(NoteError::NotSigned) => Ok(false),
        Err(_) => Err(refused()),
    }
}
