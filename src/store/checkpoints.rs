//! Signed checkpoints of the log, as readers get them.

use jiff::Timestamp;

use crate::store::{StoreError, Tx, micros, sound, timestamp};

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// The tree's size.
    pub size: u64,
    /// When it was signed.
    pub at: Timestamp,
    /// The whole note.
    pub note: String,
}

row! {
    struct CheckpointRow {
        size: i64,
        at: i64,
        note: String,
    }
}

const CHECKPOINTS: &str = "log_checkpoints";

impl CheckpointRow {
    fn record(self) -> Result<CheckpointRecord, StoreError> {
        Ok(CheckpointRecord {
            size: sound(u64::try_from(self.size).ok(), CHECKPOINTS, "size")?,
            at: timestamp(self.at, CHECKPOINTS, "at")?,
            note: self.note,
        })
    }
}

impl Tx {
    /// The checkpoint of the largest tree.
    pub async fn newest_checkpoint(&mut self) -> Result<Option<CheckpointRecord>, StoreError> {
        let row: Option<CheckpointRow> = on!(self, c, {
            sqlx::query_as(
                "-- log_checkpoints: the newest
                select size, at, note from log_checkpoints order by size desc limit 1",
            )
            .fetch_optional(c)
            .await?
        });
        row.map(CheckpointRow::record).transpose()
    }

    /// The checkpoints of trees larger than `size`, smallest first.
    pub async fn checkpoints_after(
        &mut self,
        size: u64,
        count: u32,
    ) -> Result<Vec<CheckpointRecord>, StoreError> {
        let rows: Vec<CheckpointRow> = on!(self, c, {
            sqlx::query_as(
                "-- log_checkpoints: in order
                select size, at, note from log_checkpoints where size > $1 order by size limit $2",
            )
            .bind(i64::try_from(size).unwrap_or(i64::MAX))
            .bind(i64::from(count))
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(CheckpointRow::record).collect()
    }

    /// Keeps a signed checkpoint. One of the same size is there already when another replica was
    /// faster; it says the same.
    pub async fn insert_checkpoint(&mut self, record: &CheckpointRecord) -> Result<(), StoreError> {
        let size = sound(i64::try_from(record.size).ok(), CHECKPOINTS, "size")?;
        on!(self, c, {
            sqlx::query(
                "-- log_checkpoints: keep
                insert into log_checkpoints (size, at, note) values ($1, $2, $3)
                on conflict (size) do nothing",
            )
            .bind(size)
            .bind(micros(record.at))
            .bind(&record.note)
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The note of a size, locked until the transaction ends, to add a signature to it.
    pub async fn checkpoint_locked(&mut self, size: u64) -> Result<Option<String>, StoreError> {
        let select = self.pick(
            "-- log_checkpoints: one
            select note from log_checkpoints where size = $1",
            "-- log_checkpoints: one, locked
            select note from log_checkpoints where size = $1 for update",
        );
        Ok(on!(self, c, {
            sqlx::query_scalar(select)
                .bind(i64::try_from(size).unwrap_or(i64::MAX))
                .fetch_optional(c)
                .await?
        }))
    }

    /// Replaces a note by the same with another signature.
    pub async fn update_checkpoint(&mut self, size: u64, note: &str) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- log_checkpoints: add a signature
                update log_checkpoints set note = $2 where size = $1",
            )
            .bind(i64::try_from(size).unwrap_or(i64::MAX))
            .bind(note)
            .execute(c)
            .await?;
        });
        Ok(())
    }
}
