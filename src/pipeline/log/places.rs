//! The outside places: who has which checkpoint, and giving them the newest.
//!
//! What a place took is remembered by this process alone. A row in the database would have to be
//! believed, and whoever can write there could keep checkpoints from leaving.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use crate::domain::causes::with_causes;
use crate::domain::log::note::Note;
use crate::domain::log::tree::consistency_proof;
use crate::domain::log::witness::{Place, Witness};
use crate::pipeline::log::notary::{Notary, Signed};
use crate::pipeline::log::{Trouble, proof};
use crate::pipeline::{self, Fault, transaction};
use crate::store::Tx;
use crate::witness::{self, Answer, Cosigner, WitnessError};

/// Longest pause between two tries at a place that took nothing.
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(1);

/// How things stand with one place since this process started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The largest checkpoint it took; zero when it took none.
    pub size: u64,
    /// When it took that.
    pub taken_at: Option<Timestamp>,
    /// When it was tried last.
    pub tried_at: Option<Timestamp>,
    /// Tries in a row that failed.
    pub failures: u32,
    /// Why the last one did.
    pub message: Option<String>,
}

impl Standing {
    /// Whether it should get a checkpoint of this size now: failures are followed by a pause of 1,
    /// 2, 4 … seconds.
    fn is_due(&self, size: u64, now: Timestamp) -> bool {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = SignedDuration::from_secs(1 << doublings).min(PAUSE_MAX);
        let waited = self.failures == 0 || self.tried_at.is_none_or(|at| now >= at + pause);
        self.size < size && waited
    }
}

/// The configured places, shared with the pages that show them.
#[derive(Debug, Clone)]
pub struct Places {
    witnesses: Arc<[Witness]>,
    standings: Arc<Mutex<Vec<Standing>>>,
}

impl Places {
    /// Places of which nothing is known yet.
    pub fn new(witnesses: Vec<Witness>) -> Self {
        let standings = vec![Standing::default(); witnesses.len()];
        Self { witnesses: witnesses.into(), standings: Arc::new(Mutex::new(standings)) }
    }

    /// The places as configured.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// How things stand with each, in their order.
    pub fn standings(&self) -> Vec<Standing> {
        self.lock().clone()
    }

    /// Whether any of them took a checkpoint after `since`.
    pub fn took_since(&self, since: Timestamp) -> bool {
        self.lock().iter().filter_map(|standing| standing.taken_at).any(|at| at > since)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_down(&self, index: usize, size: u64, message: Option<String>, now: Timestamp) {
        let mut standings = self.lock();
        let Some(standing) = standings.get_mut(index) else { return };
        standing.tried_at = Some(now);
        match message {
            None => {
                standing.size = standing.size.max(size);
                standing.taken_at = Some(now);
                standing.failures = 0;
            }
            Some(_) => standing.failures += 1,
        }
        standing.message = message;
    }
}

/// What came of giving a checkpoint to the places.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// One of them took it just now.
    pub(super) taken: bool,
    /// The words of one that saw another log under our name.
    pub(super) dispute: Option<String>,
    /// Why another one took nothing.
    pub(super) failure: Option<String>,
}

/// Why a place does not have a checkpoint.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Witness(#[from] WitnessError),
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// The witness has a newer checkpoint, by another replica.
    #[error("the witness has {0} entries of this log already, which are being signed here")]
    Late(u64),
    /// The witness saw another log under our name. It cannot prove that, so it stops only what
    /// cannot be undone: sending.
    #[error("the witness {0}: this log was rolled back, or somebody else has its key")]
    Disputed(String),
}

impl Notary {
    /// Gives a checkpoint to all places, or only to those that do not have it and are due.
    pub(super) async fn spread(
        &self,
        signed: &Signed,
        all: bool,
        now: Timestamp,
    ) -> pipeline::Result<Spread> {
        let (size, standings) = (signed.tree.size, self.places.standings());
        let places = self.places.witnesses().iter().zip(standings).enumerate();
        let places = places.filter(|(_, (_, standing))| all || standing.is_due(size, now));
        let tries = places.map(async |(index, (witness, standing))| {
            (index, witness, self.give(witness, standing.size, signed).await)
        });
        let mut spread = Spread::default();
        for (index, witness, given) in join_all(tries).await {
            let message = match given {
                Ok(cosigned) => {
                    self.add_signatures(size, cosigned).await?;
                    spread.taken = true;
                    None
                }
                Err(NotTaken::Trouble(broken @ Trouble::Broken(_))) => self.alarm(Err(broken))?,
                Err(error) => {
                    let message = with_causes(&error);
                    if let NotTaken::Disputed(_) = error {
                        let place = &witness.name;
                        tracing::error!(alarm = "integrity", place, message, "the log is disputed");
                        spread.dispute = Some(message.clone());
                    }
                    spread.failure = Some(message.clone());
                    Some(message)
                }
            };
            self.places.note_down(index, size, message, now);
        }
        Ok(spread)
    }

    /// Gives a checkpoint to one place; a witness's signature comes back.
    async fn give(
        &self,
        witness: &Witness,
        known: u64,
        signed: &Signed,
    ) -> Result<Option<Note>, NotTaken> {
        match &witness.place {
            Place::Directory(folder) => {
                let path = folder.join(witness::FILE);
                if let Some(held) = self.read(&path).await? {
                    self.check_against(&held.tree, &path).await?;
                    // Another replica was faster; a place never goes back.
                    if held.tree.size >= signed.tree.size {
                        return Ok(None);
                    }
                }
                self.keep(&path, &signed.note).await?;
                Ok(None)
            }
            Place::Webhook { url, allow_private } => {
                witness::post(&self.http, url, *allow_private, &signed.note).await?;
                Ok(None)
            }
            Place::Cosigner { url, key, allow_private } => {
                let cosigner = Cosigner { url, key, allow_private: *allow_private };
                Ok(Some(self.submit(cosigner, known, signed).await?))
            }
        }
    }

    /// Submits to a witness, once more when it knows another size than we thought.
    async fn submit(
        &self,
        cosigner: Cosigner<'_>,
        known: u64,
        signed: &Signed,
    ) -> Result<Note, NotTaken> {
        let disputed = |words: String| Err(NotTaken::Disputed(words));
        let ours = signed.tree.size;
        let mut answer = self.submit_from(cosigner, known, signed).await?;
        if let Answer::Knows(size) = answer {
            if size > ours {
                let now = self.store.snapshot().await.map_err(Trouble::from)?.log_frontier().await;
                if now.map_err(Trouble::from)?.size() >= size {
                    return Err(NotTaken::Late(size));
                }
                return disputed(format!("saw {size} entries where we have {ours}"));
            }
            answer = self.submit_from(cosigner, size, signed).await?;
        }
        match answer {
            Answer::Signed(line) => Ok(signed.note.clone().with_signature(line)),
            Answer::Knows(size) => disputed(format!("first saw fewer entries, then {size}")),
            Answer::Inconsistent => disputed(format!("saw others than our {ours} entries")),
        }
    }

    async fn submit_from(
        &self,
        cosigner: Cosigner<'_>,
        old: u64,
        signed: &Signed,
    ) -> Result<Answer, NotTaken> {
        let spans = consistency_proof(old, signed.tree.size).unwrap_or_default();
        let mut tx = self.store.snapshot().await.map_err(Trouble::from)?;
        let proof = proof(&mut tx, spans, signed.tree.size).await?;
        drop(tx);
        Ok(witness::submit(&self.http, cosigner, old, &proof, &signed.note).await?)
    }

    /// Adds a witness's signature to the checkpoint that readers get.
    async fn add_signatures(&self, size: u64, cosigned: Option<Note>) -> pipeline::Result<()> {
        let Some(cosigned) = cosigned else { return Ok(()) };
        transaction(&self.store, move |tx| Box::pin(add_to_stored(tx, size, cosigned))).await
    }
}

async fn add_to_stored(tx: &mut Tx, size: u64, cosigned: Note) -> pipeline::Result<()> {
    let Some(stored) = tx.checkpoint_locked(size).await? else { return Ok(()) };
    let stored = Note::parse(stored.as_bytes())
        .map_err(|error| Fault::new("adding a signature to a checkpoint", error))?;
    let lines = cosigned.signatures().iter().cloned();
    let note = lines.fold(stored, Note::with_signature);
    Ok(tx.update_checkpoint(size, &note.to_string()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_fails_is_tried_again_after_growing_pauses() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let standing = |failures| Standing { failures, tried_at: Some(now), ..Standing::default() };
        assert!(Standing::default().is_due(1, now));
        assert!(!Standing { size: 1, ..Standing::default() }.is_due(1, now));
        assert!(standing(0).is_due(1, now));
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (7, 60), (u32::MAX, 60)] {
            let due = |after| standing(failures).is_due(1, now + SignedDuration::from_secs(after));
            assert!(!due(seconds - 1) && due(seconds), "{failures}");
        }
    }
}
