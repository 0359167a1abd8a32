//! Recovery: the offline key signs a proposal about keys when no quorum is left to do it (Q19).
//!
//! It is for the host alone, since whoever is locked out has no page. What it signs waits for the
//! delay of the founding under everybody's eyes, and one objection ends it.

use jiff::Timestamp;

use super::founding::RecoverySecret;
use super::{append, governed, governed_alone, unsound};
use crate::domain::digest::Sha256;
use crate::domain::event::Event;
use crate::domain::governed::{Open, ProposalState};
use crate::domain::ids::{PersonId, ProposalId};
use crate::domain::proposal::Change;
use crate::pipeline::{Kind, Result, refuse, transaction};
use crate::store::{Store, Tx};

/// A proposal that would give people keys, for whoever holds the recovery key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recoverable {
    /// Which.
    pub id: ProposalId,
    /// Whose keys it would add, with what identifies each.
    pub adds: Vec<(String, Sha256)>,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it takes effect, if the recovery key signed it already.
    pub until: Option<Timestamp>,
}

/// A recovery that waits, for the alarm on every page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// What was signed.
    pub proposal: ProposalId,
    /// Whose keys it is about.
    pub people: Vec<String>,
    /// When it takes effect unless somebody objects.
    pub until: Timestamp,
}

/// Proposals that the recovery key can sign or has signed, oldest first.
pub async fn recoverable(store: &Store) -> Result<Vec<Recoverable>> {
    let mut tx = store.snapshot().await?;
    let governed = governed(&mut tx).await?;
    let mut found = Vec::new();
    for open in governed.proposals().filter(|open| open.proposal.is_about_keys()) {
        let mut adds = Vec::new();
        for change in &open.proposal.changes {
            if let Change::AddKey { person, key } = change {
                adds.push((name(&mut tx, *person).await?, key.fingerprint()));
            }
        }
        let Open { proposal, .. } = open;
        let until = tx.proposal(proposal.id).await?.and_then(|row| row.recovered_until);
        found.push(Recoverable { id: proposal.id, adds, expires_at: proposal.expires_at, until });
    }
    Ok(found)
}

/// Signs a proposal about keys with the recovery key. Returns when it takes effect.
pub async fn sign(
    store: &Store,
    secret: RecoverySecret,
    id: ProposalId,
    now: Timestamp,
) -> Result<Timestamp> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let before = governed_alone(tx).await?;
            if before.founded().is_none() {
                return refuse(Kind::Conflict, "before the founding nothing has to be recovered");
            }
            let Some(open) = before.proposal(id) else {
                return refuse(Kind::Gone, "this proposal does not wait any more");
            };
            if !open.proposal.is_about_keys() {
                return refuse(
                    Kind::Forbidden,
                    "the recovery key gives people keys and changes nothing else",
                );
            }
            if open.recovered_at().is_some() {
                return refuse(Kind::Conflict, "the recovery key signed this proposal already");
            }
            let digest = open.proposal.digest();
            let signature = secret.sign(&digest)?;
            if !before.is_of_recovery_key(&digest, &signature) {
                return refuse(
                    Kind::Forbidden,
                    "this is not the recovery secret of this installation's founding",
                );
            }
            let event = Event::ProposalRecovered { proposal: id, signature };
            let after = append(tx, now, event).await?;
            let until = match after.proposal(id).map(|open| after.assess(open, now)).transpose() {
                Ok(Some(standing)) => match standing.state {
                    ProposalState::Waiting { until } => until,
                    // It does not fit any more; nothing of it is kept.
                    ProposalState::Stale(why) => return refuse(Kind::Conflict, why.to_string()),
                    _ => {
                        return refuse(
                            Kind::Gone,
                            "somebody objected to this proposal, or it expired",
                        );
                    }
                },
                Ok(None) => return refuse(Kind::Gone, "this proposal does not wait any more"),
                Err(error) => return Err(unsound(error)),
            };
            tx.mark_recovered(id, until).await?;
            tracing::error!(proposal = %id, %until, "the recovery key was used");
            Ok(until)
        })
    })
    .await
}

/// Recoveries that wait, for every page.
pub async fn alarms(store: &Store) -> Result<Vec<Alarm>> {
    let mut tx = store.snapshot().await?;
    let mut alarms = Vec::new();
    for row in tx.waiting_recoveries().await? {
        let mut people = Vec::new();
        for subject in row.proposal.subjects() {
            people.push(name(&mut tx, subject).await?);
        }
        let Some(until) = row.recovered_until else { continue };
        alarms.push(Alarm { proposal: row.proposal.id, people, until });
    }
    Ok(alarms)
}

async fn name(tx: &mut Tx, person: PersonId) -> Result<String> {
    Ok(tx.person(person).await?.map_or_else(|| person.to_string(), |known| known.name))
}
