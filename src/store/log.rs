//! The append-only log: one row lock gives positions without gaps, nothing updates or deletes.

use jiff::Timestamp;

use crate::domain::event::{Event, LogEntry};
use crate::domain::ids::ReleaseId;
use crate::store::{StoreError, Tx, micros, sound};

impl Tx {
    /// Appends an event and returns its entry. The position is taken from `log_head`, whose row
    /// stays locked until the transaction ends, so positions are in commit order (I7).
    pub async fn append(&mut self, now: Timestamp, event: Event) -> Result<LogEntry, StoreError> {
        let next: i64 = on!(self, c, {
            sqlx::query_scalar(
                "-- log: take the next position
                update log_head set next_sequence = next_sequence + 1 returning next_sequence",
            )
            .fetch_one(c)
            .await?
        });
        let sequence = sound(u64::try_from(next - 1).ok(), "log_head", "next_sequence")?;
        let entry = LogEntry { sequence, at: now, event };
        let release = entry.event.release().map(|id| id.as_bytes().to_vec());
        on!(self, c, {
            sqlx::query(
                "-- log: append
                insert into log_entries (sequence, at, release_id, kind, body)
                values ($1, $2, $3, $4, $5)",
            )
            .bind(next - 1)
            .bind(micros(now))
            .bind(release)
            .bind(entry.event.kind())
            .bind(entry.to_bytes())
            .execute(c)
            .await?;
        });
        Ok(entry)
    }

    /// The entries that govern one release: everything that is about no release, and its own, in
    /// order. What `domain::authorise` needs, and no more as the installation ages.
    pub async fn log_for_release(
        &mut self,
        release: ReleaseId,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let bodies: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- log: entries that govern one release
                select body from log_entries
                where release_id is null or release_id = $1
                order by sequence",
            )
            .bind(release.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        bodies.iter().map(|body| sound(LogEntry::from_bytes(body), "log_entries", "body")).collect()
    }

    /// Every entry that is about no release, in order: what governs this installation.
    pub async fn log_of_governance(&mut self) -> Result<Vec<LogEntry>, StoreError> {
        let bodies: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- log: entries about people, rules and places
                select body from log_entries where release_id is null order by sequence",
            )
            .fetch_all(c)
            .await?
        });
        bodies.iter().map(|body| sound(LogEntry::from_bytes(body), "log_entries", "body")).collect()
    }

    /// The entries about one release, newest last, for "what happened so far".
    pub async fn release_history(
        &mut self,
        release: ReleaseId,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let bodies: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- log: entries about one release
                select body from log_entries where release_id = $1 order by sequence",
            )
            .bind(release.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        bodies.iter().map(|body| sound(LogEntry::from_bytes(body), "log_entries", "body")).collect()
    }
}
