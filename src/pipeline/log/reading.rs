//! What the public log serves: checkpoint, tiles, bundles of leaves, proofs.
//!
//! Nothing after the newest checkpoint is served: a reader could not check it.

use crate::domain::digest::Sha256;
use crate::domain::log::tile::{Content, Tile, bundle};
use crate::domain::log::tree::inclusion_proof;
use crate::pipeline::log::{proof, proofs};
use crate::pipeline::{Fault, Result};
use crate::store::{Store, Tx};

/// The newest signed checkpoint; `None` before the first.
pub async fn checkpoint(store: &Store) -> Result<Option<String>> {
    let newest = store.snapshot().await?.newest_checkpoint().await?;
    Ok(newest.map(|checkpoint| checkpoint.note))
}

/// The bytes of a tile or bundle; `None` when no checkpoint covers all of it.
pub async fn tile(store: &Store, tile: Tile) -> Result<Option<Vec<u8>>> {
    let mut tx = store.snapshot().await?;
    let size = tx.newest_checkpoint().await?.map_or(0, |checkpoint| checkpoint.size);
    if !tile.is_in(size) {
        return Ok(None);
    }
    let positions = tile.start()..tile.end();
    let (found, bytes) = match tile.content {
        Content::Hashes { level } => {
            let hashes = tx.log_hashes(level, positions).await?;
            let bytes = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            (hashes.len(), Some(bytes))
        }
        Content::Entries => {
            let leaves = tx.log_leaves(positions).await?;
            (leaves.len(), bundle(&leaves))
        }
    };
    let whole = bytes.filter(|_| found as u64 == tile.width);
    let missing = || Fault::new("reading a tile", "the database does not have all of it");
    Ok(Some(whole.ok_or_else(missing)?))
}

/// The proofs of several entries in the tree of the first `size`, in the same order.
pub async fn inclusions(tx: &mut Tx, sequences: &[u64], size: u64) -> Result<Vec<Vec<Sha256>>> {
    let spans: Option<_> =
        sequences.iter().map(|sequence| inclusion_proof(*sequence, size)).collect();
    let spans = spans.ok_or_else(|| Fault::new("proving entries", "the tree is too small"))?;
    Ok(proofs(tx, spans, size).await?)
}

/// A leaf, and why it is in the log.
#[derive(Debug, Clone)]
pub struct Inclusion {
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// Size of the tree that the checkpoint is about.
    pub size: u64,
    /// The proof, the leaf's side first.
    pub proof: Vec<Sha256>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// The leaf of an entry with its proof in the newest checkpoint's tree; `None` when that does not
/// have it yet.
pub async fn inclusion(store: &Store, sequence: u64) -> Result<Option<Inclusion>> {
    let mut tx = store.snapshot().await?;
    let Some(checkpoint) = tx.newest_checkpoint().await? else { return Ok(None) };
    let size = checkpoint.size;
    let Some(spans) = inclusion_proof(sequence, size) else { return Ok(None) };
    let proof = proof(&mut tx, spans, size).await?;
    let leaf = tx.log_leaves(sequence..sequence + 1).await?.pop();
    let leaf = leaf.ok_or_else(|| Fault::new("proving an entry", "the entry is gone"))?;
    Ok(Some(Inclusion { leaf, size, proof, checkpoint: checkpoint.note }))
}
