//! Previews: which addresses show one sealed release for a short time. Secrets are kept hashed.

use jiff::Timestamp;

use crate::domain::digest::Sha256;
use crate::domain::ids::{PersonId, PreviewId, ReleaseId};
use crate::store::{StoreError, Tx, micros, sound, timestamp};

/// A preview to insert.
#[derive(Debug, Clone)]
pub struct NewPreview {
    /// Its id.
    pub id: PreviewId,
    /// Digest of the secret in its address.
    pub token_hash: Sha256,
    /// What it shows.
    pub release: ReleaseId,
    /// Who made it.
    pub made_by: PersonId,
    /// It shows nothing from then on.
    pub expires_at: Timestamp,
}

/// A preview as stored.
#[derive(Debug, Clone)]
pub struct PreviewRecord {
    /// Its id.
    pub id: PreviewId,
    /// What it shows.
    pub release: ReleaseId,
    /// The name of who made it.
    pub made_by: String,
    /// It shows nothing from then on.
    pub expires_at: Timestamp,
}

row! {
    struct PreviewRow { id: Vec<u8>, release_id: Vec<u8>, made_by: String, expires_at: i64 }
}

const PREVIEWS: &str = "previews";

impl PreviewRow {
    fn record(self) -> Result<PreviewRecord, StoreError> {
        Ok(PreviewRecord {
            id: sound(PreviewId::from_slice(&self.id), PREVIEWS, "id")?,
            release: sound(ReleaseId::from_slice(&self.release_id), PREVIEWS, "release_id")?,
            made_by: self.made_by,
            expires_at: timestamp(self.expires_at, PREVIEWS, "expires_at")?,
        })
    }
}

impl Tx {
    /// Inserts a preview, and removes those of all releases that have expired.
    pub async fn insert_preview(
        &mut self,
        preview: &NewPreview,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- previews: forget what expired
                delete from previews where expires_at <= $1",
            )
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        on!(self, c, {
            sqlx::query(
                "-- previews: add one
                insert into previews (id, token_hash, release_id, made_by, created_at, expires_at)
                values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(preview.id.as_bytes().to_vec())
            .bind(preview.token_hash.as_bytes().to_vec())
            .bind(preview.release.as_bytes().to_vec())
            .bind(preview.made_by.as_bytes().to_vec())
            .bind(micros(now))
            .bind(micros(preview.expires_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The preview with this secret, unless it has expired.
    pub async fn preview_by_token(
        &mut self,
        token_hash: &Sha256,
        now: Timestamp,
    ) -> Result<Option<PreviewRecord>, StoreError> {
        let row: Option<PreviewRow> = on!(self, c, {
            sqlx::query_as(
                "-- previews: one by its secret
                select v.id, v.release_id, p.name as made_by, v.expires_at
                from previews v join people p on p.id = v.made_by
                where v.token_hash = $1 and v.expires_at > $2",
            )
            .bind(token_hash.as_bytes().to_vec())
            .bind(micros(now))
            .fetch_optional(c)
            .await?
        });
        row.map(PreviewRow::record).transpose()
    }

    /// The previews of a release that have not expired, oldest first.
    pub async fn previews_of(
        &mut self,
        release: ReleaseId,
        now: Timestamp,
    ) -> Result<Vec<PreviewRecord>, StoreError> {
        let rows: Vec<PreviewRow> = on!(self, c, {
            sqlx::query_as(
                "-- previews: of one release
                select v.id, v.release_id, p.name as made_by, v.expires_at
                from previews v join people p on p.id = v.made_by
                where v.release_id = $1 and v.expires_at > $2
                order by v.created_at",
            )
            .bind(release.as_bytes().to_vec())
            .bind(micros(now))
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(PreviewRow::record).collect()
    }

    /// Ends a preview. `false` when the release has none of this name.
    pub async fn remove_preview(
        &mut self,
        release: ReleaseId,
        preview: PreviewId,
    ) -> Result<bool, StoreError> {
        let done = on!(self, c, {
            sqlx::query(
                "-- previews: end one
                delete from previews where id = $1 and release_id = $2",
            )
            .bind(preview.as_bytes().to_vec())
            .bind(release.as_bytes().to_vec())
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(done == 1)
    }
}
