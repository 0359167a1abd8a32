//! Hold: a person pauses a release without deciding about it (Q10).
//!
//! It needs a session and no passkey, because it can only keep bytes back. While it lasts nothing is
//! sent; people may still sign, and the next signed decision ends it, as does whoever began it by
//! taking it back. Whether a release is on hold is read from the log and never kept as a flag.

use jiff::Timestamp;

use crate::domain::authorise::{Standing, standing};
use crate::domain::event::Event;
use crate::domain::ids::{PersonId, ReleaseId};
use crate::pipeline::approval::{HELD_MEANWHILE, end_hold, locked, remark, signs};
use crate::pipeline::{Error, Kind, Refusal, Result, refuse, transaction};
use crate::store::Store;
use crate::store::releases::ReleaseRecord;

/// Why a person cannot put a release on hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotHold {
    /// Not sealed yet, on its way, or over.
    #[error("only a release that waits for people or for its turn can be put on hold")]
    State,
    /// One hold is enough.
    #[error("the release is on hold already")]
    Held,
    /// Their role does not sign.
    #[error("your role reads and does not sign")]
    Role,
}

/// Whether `person` may put the release on hold: everybody whose role signs, whether or not the
/// policy names them, as long as no bytes have left.
pub fn may_hold(
    record: &ReleaseRecord,
    standing: &Standing,
    person: PersonId,
    now: Timestamp,
) -> std::result::Result<(), CannotHold> {
    if !record.state.waits() || now >= standing.expires_at {
        return Err(CannotHold::State);
    }
    if !signs(standing, person) {
        return Err(CannotHold::Role);
    }
    if standing.hold.is_some() {
        return Err(CannotHold::Held);
    }
    Ok(())
}

/// Whether `person` may take the hold back: whoever began it. Everybody else ends it by signing.
pub fn may_resume(record: &ReleaseRecord, standing: &Standing, person: PersonId) -> bool {
    record.state.waits() && standing.hold.as_ref().is_some_and(|hold| hold.by == person)
}

/// Puts a release on hold.
pub async fn begin(
    store: &Store,
    release: ReleaseId,
    person: PersonId,
    note: Option<String>,
    now: Timestamp,
) -> Result<()> {
    let note = remark(note)?;
    transaction(store, move |tx| {
        Box::pin(async move {
            // The forwarder locks the same row before it sends: it sees this hold, or this sees
            // that bytes have left.
            let (record, standing) = locked(tx, release, now).await?;
            may_hold(&record, &standing, person, now).map_err(refusal)?;
            tx.append(now, Event::ReleaseHeld { release, by: person, note }).await?;
            Ok(())
        })
    })
    .await
}

/// Takes a hold back.
pub async fn resume(
    store: &Store,
    release: ReleaseId,
    person: PersonId,
    now: Timestamp,
) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            let (record, standing) = locked(tx, release, now).await?;
            if standing.hold.is_none() {
                return refuse(Kind::Conflict, "the release is not on hold");
            }
            if !may_resume(&record, &standing, person) {
                return refuse(
                    Kind::Forbidden,
                    "only whoever put the release on hold takes that back; others end it by signing",
                );
            }
            end_hold(tx, release, person, now).await
        })
    })
    .await
}

/// Refuses somebody who wants to approve on a page that did not show the hold there is now: an
/// approval ends it, and nobody does that unknowingly. `shown` is [`Hold::sequence`].
///
/// [`Hold::sequence`]: crate::domain::release::Hold::sequence
pub async fn check_shown(
    store: &Store,
    release: ReleaseId,
    shown: Option<u64>,
    now: Timestamp,
) -> Result<()> {
    let log = store.snapshot().await?.log_for_release(release).await?;
    // A release that does not stand at all is refused by whoever is asked next, with its reason.
    let hold = standing(&log, release, now).ok().and_then(|standing| standing.hold);
    match hold {
        Some(hold) if shown != Some(hold.sequence) => refuse(Kind::Conflict, HELD_MEANWHILE),
        _ => Ok(()),
    }
}

fn refusal(why: CannotHold) -> Error {
    let kind = match why {
        CannotHold::State => Kind::Gone,
        CannotHold::Held => Kind::Conflict,
        CannotHold::Role => Kind::Forbidden,
    };
    Refusal::new(kind, why.to_string()).into()
}
