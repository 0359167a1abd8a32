//! The log as something to rely on: nothing here believes what the database says about itself.
//!
//! `notary` signs checkpoints, after computing the tree again from the entries' own bytes, and has
//! outside places keep them. `reading` serves the public log. `verify` checks all of it.

pub mod notary;
pub mod places;
pub mod reading;
pub mod verify;

use std::ops::Range;

use crate::domain::digest::Sha256;
use crate::domain::event::LogEntry;
use crate::domain::ids::ReleaseId;
use crate::domain::log::tile::{Content, HEIGHT, Tile, Tiles};
use crate::domain::log::tree::{self, Frontier, Node, Span, TreeHead};
use crate::pipeline::{Error, Fault};
use crate::store::log::StoredEntry;
use crate::store::{StoreError, Tx};

/// Entries read at once: a tile's worth.
const PAGE: u64 = 256;

/// What is wrong with a log: somebody changed the database, or it is older than it was (K5, K6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Entries are missing at the end.
    #[error("the log has {found} entries, but {held} were signed and kept in {place}")]
    RolledBack {
        /// How many there are.
        found: u64,
        /// How many there were.
        held: u64,
        /// Who says so.
        place: String,
    },
    /// The entries are others than they were.
    #[error("the first {size} entries are not those that were signed and kept in {place}")]
    Forked {
        /// How many should be the same.
        size: u64,
        /// Who says so.
        place: String,
    },
    /// What a place holds was not signed by this log.
    #[error("the checkpoint kept in {place} is not one of this log: {reason}")]
    Foreign {
        /// Where it is.
        place: String,
        /// Why not.
        reason: String,
    },
    /// Body and leaf of an entry disagree, or one is missing.
    #[error("entry {sequence} is not what was appended")]
    Entry {
        /// Which.
        sequence: u64,
    },
    /// A kept hash is not that of the entries below it.
    #[error("the kept hash {position} of level {level} is not that of its entries")]
    Hash {
        /// Level of tiles.
        level: u8,
        /// Position on it.
        position: u64,
    },
    /// The head of the log is not that of its entries.
    #[error("the head of the log does not fit its entries")]
    Head,
    /// A kept checkpoint is not one of this log.
    #[error("the checkpoint of size {size} in the database is not one of this log")]
    Checkpoint {
        /// Which.
        size: u64,
    },
}

impl Broken {
    /// A log is shorter than what was signed before.
    fn rolled_back(found: u64, signed: &TreeHead, place: String) -> Self {
        Self::RolledBack { found, held: signed.size, place }
    }
}

/// Why the log could not be worked with.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It is not to be trusted.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It could not be read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Fault(Fault::new("using the log", error))
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Broken(broken) => Self::Fault(Fault::new("checking the log", broken)),
            Trouble::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// Every entry that governs a release, in order, for `domain::authorise`: what is about no release
/// and what is about this one.
///
/// Unlike `Tx::log_for_release`, no column decides what is left out: all bodies are read, and the
/// tree over them must be the one whose head was signed, so an entry cannot be changed, hidden or
/// moved. Most of that needs no lock; only what was appended since is read by whoever holds it.
#[derive(Debug, Clone)]
pub struct Replay {
    release: ReleaseId,
    /// The tree over all entries read so far.
    frontier: Frontier,
    governing: Vec<LogEntry>,
}

impl Replay {
    /// Reads the log up to a signed head. It takes time in proportion to the log.
    pub async fn up_to(
        tx: &mut Tx,
        signed: &TreeHead,
        release: ReleaseId,
    ) -> Result<Self, Trouble> {
        let place = || "the signed checkpoint".to_owned();
        let found = tx.log_frontier().await?.size();
        if found < signed.size {
            return Err(Broken::rolled_back(found, signed, place()).into());
        }
        let beginning = Self { release, frontier: Frontier::default(), governing: Vec::new() };
        let replay = beginning.read(tx, signed.size).await?;
        if replay.frontier.head() != *signed {
            return Err(Broken::Forked { size: signed.size, place: place() }.into());
        }
        Ok(replay)
    }

    /// The entries with those that were appended since; these are only as old as the transaction.
    pub async fn to_the_end(&self, tx: &mut Tx) -> Result<Vec<LogEntry>, Trouble> {
        let head = tx.log_frontier().await?;
        let replay = self.clone().read(tx, head.size()).await?;
        if replay.frontier != head {
            return Err(Broken::Head.into());
        }
        Ok(replay.governing)
    }

    async fn read(self, tx: &mut Tx, end: u64) -> Result<Self, Trouble> {
        let Self { release, frontier, mut governing } = self;
        let frontier = extend(tx, frontier, end, |entry| {
            if entry.event.release().is_none_or(|about| about == release) {
                governing.push(entry);
            }
        })
        .await?;
        Ok(Self { release, frontier, governing })
    }
}

/// Grows a tree by the entries up to `end`, computed from their bodies, and compares all that the
/// database keeps about them.
async fn extend(
    tx: &mut Tx,
    mut frontier: Frontier,
    end: u64,
    mut each: impl FnMut(LogEntry),
) -> Result<Frontier, Trouble> {
    while frontier.size() < end {
        let page = frontier.size()..end.min(frontier.size() + PAGE);
        let stored = tx.stored_entries(page.clone()).await?;
        let mut completed = Vec::new();
        for (sequence, stored) in in_order(page, &stored) {
            let entry = stored.and_then(|stored| sound(sequence, stored));
            let (entry, leaf) = entry.ok_or(Broken::Entry { sequence })?;
            completed.extend(frontier.append(leaf));
            each(entry);
        }
        compare_hashes(tx, completed).await?;
    }
    Ok(frontier)
}

/// Positions with what was found there.
fn in_order<T>(page: Range<u64>, found: &[T]) -> impl Iterator<Item = (u64, Option<&T>)> {
    page.enumerate().map(|(index, position)| (position, found.get(index)))
}

/// The entry and its leaf's hash, if body and leaf belong together and to this position.
fn sound(sequence: u64, stored: &StoredEntry) -> Option<(LogEntry, Sha256)> {
    let entry = LogEntry::from_bytes(&stored.body)?;
    let leaf = entry.leaf(&stored.body).to_bytes();
    let release = entry.event.release().map(|id| id.as_bytes().to_vec());
    let fits = entry.sequence == sequence && leaf == stored.leaf && release == stored.release;
    fits.then(|| (entry, tree::leaf_hash(&leaf)))
}

/// Compares the hashes that the database keeps with those of subtrees just completed.
async fn compare_hashes(tx: &mut Tx, completed: Vec<(Node, Sha256)>) -> Result<(), Trouble> {
    for level in 0..=u8::MAX / HEIGHT {
        let on_level = completed.iter().filter(|(node, _)| node.height == level * HEIGHT);
        let on_level: Vec<&(Node, Sha256)> = on_level.collect();
        let Some((first, _)) = on_level.first() else { break };
        let page = first.index..first.index + on_level.len() as u64;
        let kept = tx.log_hashes(level, page.clone()).await?;
        for ((position, kept), (_, computed)) in in_order(page, &kept).zip(on_level) {
            if kept != Some(computed) {
                return Err(Broken::Hash { level, position }.into());
            }
        }
    }
    Ok(())
}

/// Reads the tiles that have these subtrees of a tree of `size` leaves in them.
async fn tiles(tx: &mut Tx, nodes: Vec<Node>, size: u64) -> Result<Tiles, StoreError> {
    let mut tiles = Tiles::default();
    for tile in nodes.into_iter().filter_map(|node| Tile::holding(node, size)) {
        let Content::Hashes { level } = tile.content else { continue };
        if !tiles.has(level, tile.index) {
            let hashes = tx.log_hashes(level, tile.start()..tile.end()).await?;
            tiles.insert(level, tile.index, hashes);
        }
    }
    Ok(tiles)
}

/// The right edge of the first entries, from kept hashes; it must have the root that was signed.
async fn frontier_at(tx: &mut Tx, head: &TreeHead, place: &str) -> Result<Frontier, Trouble> {
    let tiles = tiles(tx, Span::tree(head.size).nodes(), head.size).await?;
    let frontier = Frontier::at(head.size, |node| tiles.node(node));
    let same = frontier.filter(|frontier| frontier.head() == *head);
    Ok(same.ok_or_else(|| Broken::Forked { size: head.size, place: place.to_owned() })?)
}

/// The hashes of a proof in a tree of `size` leaves.
async fn proof(tx: &mut Tx, spans: Vec<Span>, size: u64) -> Result<Vec<Sha256>, Trouble> {
    Ok(proofs(tx, vec![spans], size).await?.pop().unwrap_or_default())
}

/// The hashes of several proofs in one tree of `size` leaves; each tile is read once.
async fn proofs(
    tx: &mut Tx,
    proofs: Vec<Vec<Span>>,
    size: u64,
) -> Result<Vec<Vec<Sha256>>, Trouble> {
    let nodes = proofs.iter().flatten().flat_map(|span| span.nodes()).collect();
    let tiles = tiles(tx, nodes, size).await?;
    let hashes = |spans: Vec<Span>| -> Option<Vec<Sha256>> {
        spans.into_iter().map(|span| span.hash(|node| tiles.node(node))).collect()
    };
    let hashes: Option<_> = proofs.into_iter().map(hashes).collect();
    Ok(hashes.ok_or(Broken::Head)?)
}
