//! The append-only log and its tree: one row lock gives positions without gaps, nothing updates or
//! deletes.
//!
//! Nothing here is believed by whoever signs: `pipeline::log` computes the tree again from bodies.

use std::ops::Range;

use jiff::Timestamp;
use sqlx::QueryBuilder;

use crate::domain::digest::Sha256;
use crate::domain::event::{Event, LogEntry};
use crate::domain::ids::ReleaseId;
use crate::domain::log::tile::HEIGHT;
use crate::domain::log::tree::{self, Frontier, Node};
use crate::store::{StoreError, Tx, micros, sound};

/// An entry as stored: its leaf, and the bytes that the leaf names.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    /// What is hashed into the tree.
    pub leaf: Vec<u8>,
    /// What happened.
    pub body: Vec<u8>,
    /// What it is about, by the column that queries use.
    pub release: Option<Vec<u8>>,
}

row! {
    struct HeadRow {
        next_sequence: i64,
        edge: Vec<u8>,
    }
}

row! {
    struct EntryRow {
        leaf: Vec<u8>,
        body: Vec<u8>,
        release_id: Option<Vec<u8>>,
    }
}

impl HeadRow {
    fn frontier(&self) -> Result<Frontier, StoreError> {
        let size = sound(u64::try_from(self.next_sequence).ok(), "log_head", "next_sequence")?;
        sound(Frontier::from_edge_bytes(size, &self.edge), "log_head", "edge")
    }
}

impl Tx {
    /// Appends an event and returns its entry. The position is that of `log_head`, whose row stays
    /// locked until the transaction ends, so positions are in commit order, and the tree grows
    /// with the entry or not at all (I7, K5).
    pub async fn append(&mut self, now: Timestamp, event: Event) -> Result<LogEntry, StoreError> {
        let mut entries = self.append_all(now, vec![event]).await?;
        sound(entries.pop(), "log_entries", "sequence")
    }

    /// Appends events of one moment in this order, with as many statements as for one event.
    pub async fn append_all(
        &mut self,
        now: Timestamp,
        events: Vec<Event>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let take = self.pick(
            "-- log: take the next position
            select next_sequence, edge from log_head",
            "-- log: take the next position
            select next_sequence, edge from log_head for update",
        );
        let head: HeadRow = on!(self, c, { sqlx::query_as(take).fetch_one(c).await? });
        let mut frontier = head.frontier()?;
        let (mut entries, mut rows, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            let entry = LogEntry { sequence: frontier.size(), at: now, event };
            let body = entry.to_bytes();
            let leaf = entry.leaf(&body).to_bytes();
            let completed = frontier.append(tree::leaf_hash(&leaf));
            hashes.extend(completed.into_iter().filter(|(node, _)| node.height % HEIGHT == 0));
            let release = entry.event.release().map(|id| id.as_bytes().to_vec());
            rows.push((entry.sequence, entry.event.kind(), StoredEntry { leaf, body, release }));
            entries.push(entry);
        }
        self.insert_entries(now, rows).await?;
        self.insert_log_hashes(hashes).await?;
        on!(self, c, {
            sqlx::query(
                "-- log: move the head
                update log_head set next_sequence = $1, edge = $2",
            )
            .bind(position(frontier.size()))
            .bind(frontier.edge_bytes())
            .execute(c)
            .await?;
        });
        Ok(entries)
    }

    async fn insert_entries(
        &mut self,
        now: Timestamp,
        rows: Vec<(u64, &'static str, StoredEntry)>,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            QueryBuilder::new(
                "-- log: append
                insert into log_entries (sequence, at, release_id, kind, leaf, body) ",
            )
            .push_values(rows, |mut row, (sequence, kind, entry)| {
                row.push_bind(position(sequence))
                    .push_bind(micros(now))
                    .push_bind(entry.release)
                    .push_bind(kind)
                    .push_bind(entry.leaf)
                    .push_bind(entry.body);
            })
            .build()
            .execute(c)
            .await?;
        });
        Ok(())
    }

    async fn insert_log_hashes(&mut self, hashes: Vec<(Node, Sha256)>) -> Result<(), StoreError> {
        on!(self, c, {
            QueryBuilder::new(
                "-- log: keep hashes of the tree
                insert into log_hashes (level, position, hash) ",
            )
            .push_values(hashes, |mut row, (node, hash)| {
                row.push_bind(i64::from(node.height / HEIGHT))
                    .push_bind(position(node.index))
                    .push_bind(hash.as_bytes().to_vec());
            })
            .build()
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The right edge of the tree over all entries; that of the empty tree before the founding.
    pub async fn log_frontier(&mut self) -> Result<Frontier, StoreError> {
        let row: Option<HeadRow> = on!(self, c, {
            sqlx::query_as(
                "-- log: the head
                select next_sequence, edge from log_head",
            )
            .fetch_optional(c)
            .await?
        });
        row.map_or_else(|| Ok(Frontier::default()), |row| row.frontier())
    }

    /// The hashes of one level of tiles at these positions, in order; fewer when some are missing.
    pub async fn log_hashes(
        &mut self,
        level: u8,
        positions: Range<u64>,
    ) -> Result<Vec<Sha256>, StoreError> {
        let hashes: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- log: hashes of a tile
                select hash from log_hashes
                where level = $1 and position >= $2 and position < $3
                order by position",
            )
            .bind(i64::from(level))
            .bind(position(positions.start))
            .bind(position(positions.end))
            .fetch_all(c)
            .await?
        });
        let read = |hash: &Vec<u8>| sound(Sha256::from_slice(hash), "log_hashes", "hash");
        hashes.iter().map(read).collect()
    }

    /// The leaves at these positions, in order; fewer when some are missing.
    pub async fn log_leaves(&mut self, positions: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(on!(self, c, {
            sqlx::query_scalar(
                "-- log: leaves
                select leaf from log_entries
                where sequence >= $1 and sequence < $2
                order by sequence",
            )
            .bind(position(positions.start))
            .bind(position(positions.end))
            .fetch_all(c)
            .await?
        }))
    }

    /// Leaves with bodies at these positions, in order; fewer when some are missing.
    pub async fn stored_entries(
        &mut self,
        positions: Range<u64>,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let rows: Vec<EntryRow> = on!(self, c, {
            sqlx::query_as(
                "-- log: leaves and bodies
                select leaf, body, release_id from log_entries
                where sequence >= $1 and sequence < $2
                order by sequence",
            )
            .bind(position(positions.start))
            .bind(position(positions.end))
            .fetch_all(c)
            .await?
        });
        let entry =
            |EntryRow { leaf, body, release_id }| StoredEntry { leaf, body, release: release_id };
        Ok(rows.into_iter().map(entry).collect())
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

/// A position as stored. One past what the column holds finds what no log has: nothing.
fn position(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
