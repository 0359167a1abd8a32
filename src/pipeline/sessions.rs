//! Sessions as people see them: where one is signed in, and ending that (S1).

use jiff::Timestamp;

use crate::domain::event::Actor;
use crate::domain::ids::{PersonId, SessionId};
use crate::pipeline::people::{require_owner, standing_person};
use crate::pipeline::signin::{SESSION_IDLE, Session, still_live};
use crate::pipeline::{Kind, Result, refuse, transaction};
use crate::store::Store;

/// A person's own sessions, the one last used first.
pub async fn mine(store: &Store, person: PersonId, now: Timestamp) -> Result<Vec<Session>> {
    let mut tx = store.snapshot().await?;
    Ok(tx.live_sessions_of(person, now - SESSION_IDLE, now).await?)
}

/// Ends one of one's own sessions.
pub async fn end(store: &Store, session: &Session, id: SessionId, now: Timestamp) -> Result<()> {
    let session = session.clone();
    transaction(store, move |tx| {
        Box::pin(async move {
            let person = still_live(tx, &session, now).await?.person;
            let own = tx.live_sessions_of(person, now - SESSION_IDLE, now).await?;
            match own.iter().find(|own| own.id == id) {
                Some(own) => Ok(tx.end_session(&own.hash).await?),
                None => refuse(
                    Kind::NotFound,
                    format!("expected one of your sessions, received `{id}`"),
                ),
            }
        })
    })
    .await
}

/// Ends every session of one's own but the one that asks.
pub async fn end_others(store: &Store, session: &Session, now: Timestamp) -> Result<()> {
    let session = session.clone();
    transaction(store, move |tx| {
        Box::pin(async move {
            let session = still_live(tx, &session, now).await?;
            for own in tx.live_sessions_of(session.person, now - SESSION_IDLE, now).await? {
                if own.id != session.id {
                    tx.end_session(&own.hash).await?;
                }
            }
            Ok(())
        })
    })
    .await
}

/// Ends every session of somebody. Owners may; it only takes away, and they can sign in again.
pub async fn end_all_of(store: &Store, by: Actor, person: PersonId) -> Result<()> {
    transaction(store, move |tx| {
        Box::pin(async move {
            require_owner(tx, &by).await?;
            standing_person(tx, person).await?;
            Ok(tx.end_sessions_of(person).await?)
        })
    })
    .await
}
