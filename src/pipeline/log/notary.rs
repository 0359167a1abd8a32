//! Signs checkpoints, and stops everything when the log is not what was signed before.
//!
//! The log must never sign two trees of which one does not extend the other. So what was signed
//! last is kept in a file of its own, outside the database, and a new signature needs a tree that
//! was computed from there: from that tree's right edge and the bodies of the entries since.
//!
//! In order, and what is true if the process dies in between:
//!
//! 1. The tree is checked. Nothing has happened.
//! 2. The checkpoint is signed and its file replaced. The next run finds the tree of that size
//!    signed already and goes on with 3 (C29).
//! 3. The checkpoint is inserted in the database, where readers get it.
//! 4. Outside places get it (`places`). After a start all of them get the newest one (C30).

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::domain::attestation;
use crate::domain::causes::with_causes;
use crate::domain::evidence::{Bundle, Proven};
use crate::domain::ids::ReleaseId;
use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::note::{Note, Signer, VerifierKey};
use crate::domain::log::tree::{Frontier, TreeHead};
use crate::domain::log::witness::{Place, Witness};
use crate::outbound::Http;
use crate::pipeline::log::places::Places;
use crate::pipeline::log::{Broken, Replay, Trouble, extend, frontier_at};
use crate::pipeline::{self, Fault, transaction};
use crate::store::Store;
use crate::store::checkpoints::CheckpointRecord;
use crate::witness;

/// The file beside the key that holds the newest checkpoint.
pub const KEPT_FILE: &str = "log-checkpoint";

/// Signs what the log is, and tells outside places.
#[derive(Debug)]
pub struct Notary {
    pub(super) store: Store,
    pub(super) http: Http,
    pub(super) places: Places,
    signer: Signer,
    kept: PathBuf,
    grace: SignedDuration,
    /// One at a time signs and tells the places, so that none is told less than before.
    turn: Mutex<()>,
}

/// What a notary works with.
#[derive(Debug)]
pub struct NotarySettings {
    /// Signs for the log.
    pub signer: Signer,
    /// Reaches webhooks and witnesses.
    pub http: Http,
    /// The folder of [`KEPT_FILE`].
    pub folder: PathBuf,
    /// The outside places.
    pub witnesses: Vec<Witness>,
    /// How long releases may go out while no place takes checkpoints.
    pub grace: SignedDuration,
}

/// Whether what the log says now is kept outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witnessed {
    /// It is signed up to here, and an outside place has it, or had an earlier one a moment ago.
    Yes(TreeHead),
    /// It is not, and why; nothing may be sent.
    Not(String),
}

/// A signed checkpoint.
pub(super) struct Signed {
    pub(super) tree: TreeHead,
    pub(super) note: Note,
}

impl Notary {
    /// A notary of this log.
    pub fn new(store: Store, settings: NotarySettings) -> Self {
        let NotarySettings { signer, http, folder, witnesses, grace } = settings;
        let (kept, places) = (folder.join(KEPT_FILE), Places::new(witnesses));
        Self { store, http, places, signer, kept, grace, turn: Mutex::new(()) }
    }

    /// The key that verifies this log's checkpoints.
    pub const fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    /// The outside places and how things stand with them.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Whether the log is at least what was signed and kept before: in the file, and in every
    /// folder that can be read (K6). When it is not, nothing is written from now on.
    pub async fn check(&self) -> Result<(), Trouble> {
        let result = self.check_kept().await;
        self.alarm(result)
    }

    async fn check_kept(&self) -> Result<(), Trouble> {
        if let Some(kept) = self.read(&self.kept).await? {
            self.check_against(&kept.tree, &self.kept).await?;
        }
        for witness in self.places.witnesses() {
            let Place::Directory(folder) = &witness.place else { continue };
            let path = folder.join(witness::FILE);
            match self.read(&path).await {
                Ok(Some(held)) => self.check_against(&held.tree, &path).await?,
                Ok(None) => {}
                Err(Trouble::Fault(fault)) => {
                    let (place, cause) = (&witness.name, with_causes(&fault));
                    tracing::warn!(place, cause, "a place that keeps checkpoints cannot be read");
                }
                Err(broken @ Trouble::Broken(_)) => return Err(broken),
            }
        }
        Ok(())
    }

    /// Whether the log extends a tree that was signed before.
    pub(super) async fn check_against(&self, held: &TreeHead, path: &Path) -> Result<(), Trouble> {
        let mut tx = self.store.snapshot().await?;
        let (found, place) = (tx.log_frontier().await?.size(), path.display().to_string());
        if found < held.size {
            return Err(Broken::rolled_back(found, held, place).into());
        }
        frontier_at(&mut tx, held, &place).await?;
        Ok(())
    }

    /// Signs a checkpoint if the tree grew, and gives the newest to the places that are due.
    pub async fn run(&self, now: Timestamp) -> pipeline::Result<()> {
        let _turn = self.turn.lock().await;
        if let Some(signed) = self.sign(now).await? {
            self.spread(&signed, false, now).await?;
        }
        Ok(())
    }

    /// Signs what the log is now and gives it to every place at once. To be asked immediately
    /// before something is sent that cannot be taken back (K5).
    pub async fn witnessed(&self, now: Timestamp) -> pipeline::Result<Witnessed> {
        let _turn = self.turn.lock().await;
        let Some(signed) = self.sign(now).await? else {
            return Ok(Witnessed::Not("the log is empty".to_owned()));
        };
        let spread = self.spread(&signed, true, now).await?;
        if let Some(dispute) = spread.dispute {
            return Ok(Witnessed::Not(dispute));
        }
        let alone = self.places.witnesses().is_empty();
        if alone || spread.taken || self.places.took_since(now - self.grace) {
            return Ok(Witnessed::Yes(signed.tree));
        }
        let last = spread.failure.unwrap_or_default();
        Ok(Witnessed::Not(format!("no outside place takes the log's checkpoints: {last}")))
    }

    /// Signs what is shown about a release.
    pub fn sign_evidence(&self, bundle: Bundle) -> Vec<u8> {
        bundle.sign(&self.signer)
    }

    /// Signs the same as an in-toto statement.
    pub fn sign_in_toto(&self, proven: &Proven) -> Vec<u8> {
        attestation::in_toto(proven, &self.signer)
    }

    /// What governs a release, read up to a signed head.
    pub async fn replay(&self, signed: &TreeHead, release: ReleaseId) -> pipeline::Result<Replay> {
        let mut tx = self.store.snapshot().await?;
        Ok(self.alarm(Replay::up_to(&mut tx, signed, release).await)?)
    }

    /// The checkpoint of the log as it is now, signed if it was not; `None` for an empty log.
    async fn sign(&self, now: Timestamp) -> pipeline::Result<Option<Signed>> {
        let signed = self.sign_now(now).await;
        let Some(Signed { tree, note }) = self.alarm(signed)? else { return Ok(None) };
        self.publish(&tree, &note, now).await?;
        Ok(Some(Signed { tree, note }))
    }

    /// Puts a signed checkpoint where readers get it, unless it is there.
    async fn publish(&self, tree: &TreeHead, note: &Note, now: Timestamp) -> pipeline::Result<()> {
        let newest = self.store.snapshot().await?.newest_checkpoint().await?;
        let newest = newest.filter(|newest| newest.size == tree.size);
        let ours = |note: &str| Checkpoint::open(note.as_bytes(), self.verifier_key()).is_ok();
        if newest.as_ref().is_some_and(|newest| ours(&newest.note)) {
            return Ok(());
        }
        // One that is not ours was signed by the key before the present one.
        let replaces = newest.is_some();
        let record = CheckpointRecord { size: tree.size, at: now, note: note.to_string() };
        transaction(&self.store, move |tx| {
            Box::pin(async move {
                if replaces {
                    return Ok(tx.update_checkpoint(record.size, &record.note).await?);
                }
                Ok(tx.insert_checkpoint(&record).await?)
            })
        })
        .await
    }

    async fn sign_now(&self, now: Timestamp) -> Result<Option<Signed>, Trouble> {
        let kept = self.read(&self.kept).await?;
        let mut tx = self.store.snapshot().await?;
        let head = tx.log_frontier().await?;
        let tree = head.head();
        let edge = match kept {
            Some(kept) if kept.tree == tree => return Ok(Some(kept)),
            Some(kept) if kept.tree.size > tree.size => {
                let place = self.kept.display().to_string();
                return Err(Broken::rolled_back(tree.size, &kept.tree, place).into());
            }
            Some(kept) => {
                frontier_at(&mut tx, &kept.tree, &self.kept.display().to_string()).await?
            }
            None => Frontier::default(),
        };
        if extend(&mut tx, edge, tree.size, |_| {}).await? != head {
            return Err(Broken::Head.into());
        }
        drop(tx);
        if tree.size == 0 {
            return Ok(None);
        }
        let origin = self.verifier_key().name().to_owned();
        let text = Checkpoint { origin, tree }.to_string();
        let note = Note::new(text.clone(), self.signer.sign(&text, now.as_second()));
        self.keep(&self.kept, &note).await?;
        tracing::debug!(size = tree.size, "signed a checkpoint of the log");
        Ok(Some(Signed { tree, note }))
    }

    /// A checkpoint of this log kept in a file.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<Signed>, Trouble> {
        let file = path.to_owned();
        let Some(bytes) = blocking(move || witness::read(&file)).await? else { return Ok(None) };
        let opened = Checkpoint::open(&bytes, self.verifier_key());
        let (checkpoint, note) = opened.map_err(|error| Broken::Foreign {
            place: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(Some(Signed { tree: checkpoint.tree, note }))
    }

    /// Keeps a checkpoint in a file, in place of the one before.
    pub(super) async fn keep(&self, path: &Path, note: &Note) -> Result<(), Trouble> {
        let (path, note) = (path.to_owned(), note.clone());
        Ok(blocking(move || witness::keep(&path, &note)).await?)
    }

    /// Ends all writing when the log is broken, and says so once.
    pub fn alarm<T>(&self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if let Err(Trouble::Broken(broken)) = &result
            && !self.store.is_read_only()
        {
            self.store.refuse_writes();
            tracing::error!(
                alarm = "integrity",
                cause = %broken,
                "the log is broken: nothing is written or sent until this is resolved"
            );
        }
        result
    }
}

/// Runs file work away from the tasks that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    const CONTEXT: &str = "using a file that keeps checkpoints";
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| Fault::new(CONTEXT, error)),
        Err(error) => Err(Fault::new(CONTEXT, error)),
    }
}
