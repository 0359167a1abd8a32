//! Which fetched files are kept already, by the digest that a registry names them by.
//!
//! Blobs are found by SHA-256 and npm names files by SHA-512; this says which is which, so that a
//! baseline is fetched once.

use jiff::Timestamp;

use crate::domain::digest::{Sha256, Sha512};
use crate::store::{StoreError, Tx, micros, sound};

impl Tx {
    /// The content address of a file that was fetched before.
    pub async fn fetched_file(&mut self, sha512: &Sha512) -> Result<Option<Sha256>, StoreError> {
        let found: Option<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- fetched files: one by the registry's digest
                select sha256 from fetched_files where sha512 = $1",
            )
            .bind(sha512.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        found.map(|bytes| sound(Sha256::from_slice(&bytes), "fetched_files", "sha256")).transpose()
    }

    /// Notes a fetched file, whose bytes have both digests. Noting it again changes nothing.
    pub async fn add_fetched_file(
        &mut self,
        sha512: &Sha512,
        sha256: &Sha256,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- fetched files: note one
                insert into fetched_files (sha512, sha256, fetched_at) values ($1, $2, $3)
                on conflict (sha512) do nothing",
            )
            .bind(sha512.as_bytes().to_vec())
            .bind(sha256.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }
}
