//! Lists of files inside artifacts, kept so that a page only reads them, and what people have read of
//! them.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::digest::Sha256;
use crate::domain::ids::{PersonId, ReleaseId};
use crate::store::{StoreError, Tx, micros, sound};

/// A candidate and its baseline, by their content addresses.
pub type Pair = (Sha256, Option<Sha256>);

fn baseline((_, baseline): &Pair) -> Vec<u8> {
    baseline.as_ref().map_or_else(Vec::new, |sha256| sha256.as_bytes().to_vec())
}

impl Tx {
    /// Keeps the list of a pair, and forgets those from before `since`. Another one of the same pair
    /// is replaced.
    pub async fn keep_file_list(
        &mut self,
        pair: &Pair,
        body: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- file lists: forget old ones
                delete from file_lists where made_at < $1",
            )
            .bind(micros(since))
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "-- file lists: keep one
                insert into file_lists (candidate, baseline, made_at, body)
                values ($1, $2, $3, $4)
                on conflict (candidate, baseline)
                do update set made_at = excluded.made_at, body = excluded.body",
            )
            .bind(pair.0.as_bytes().to_vec())
            .bind(baseline(pair))
            .bind(micros(now))
            .bind(body)
            .execute(&mut *c)
            .await?;
        });
        Ok(())
    }

    /// The list of a pair, as long as it is kept.
    pub async fn file_list(&mut self, pair: &Pair) -> Result<Option<String>, StoreError> {
        Ok(on!(self, c, {
            sqlx::query_scalar(
                "-- file lists: one
                select body from file_lists where candidate = $1 and baseline = $2",
            )
            .bind(pair.0.as_bytes().to_vec())
            .bind(baseline(pair))
            .fetch_optional(c)
            .await?
        }))
    }

    /// Notes that somebody read a difference. Noting it again changes nothing.
    pub async fn add_viewed(
        &mut self,
        (release, person): (ReleaseId, PersonId),
        difference: &Sha256,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- viewed: note one
                insert into viewed (release_id, person_id, difference, at)
                values ($1, $2, $3, $4)
                on conflict (release_id, person_id, difference) do nothing",
            )
            .bind(release.as_bytes().to_vec())
            .bind(person.as_bytes().to_vec())
            .bind(difference.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Takes back that somebody read a difference.
    pub async fn remove_viewed(
        &mut self,
        (release, person): (ReleaseId, PersonId),
        difference: &Sha256,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- viewed: take one back
                delete from viewed
                where release_id = $1 and person_id = $2 and difference = $3",
            )
            .bind(release.as_bytes().to_vec())
            .bind(person.as_bytes().to_vec())
            .bind(difference.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// What somebody has read of a release.
    pub async fn viewed(
        &mut self,
        (release, person): (ReleaseId, PersonId),
    ) -> Result<BTreeSet<Sha256>, StoreError> {
        let rows: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- viewed: by one person
                select difference from viewed where release_id = $1 and person_id = $2",
            )
            .bind(release.as_bytes().to_vec())
            .bind(person.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        rows.iter().map(|row| sound(Sha256::from_slice(row), "viewed", "difference")).collect()
    }
}
