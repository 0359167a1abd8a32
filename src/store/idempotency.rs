//! Answers to API calls that carried an `Idempotency-Key`, kept for a day.

use jiff::Timestamp;

use crate::domain::digest::Sha256;
use crate::store::{StoreError, Tx, micros, sound};

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// SHA-256 of the request that got it.
    pub request: Sha256,
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: String,
    /// The exact body.
    pub body: Vec<u8>,
}

row! {
    struct AnswerRow {
        request_hash: Vec<u8>,
        status: i64,
        content_type: String,
        body: Vec<u8>,
    }
}

impl Tx {
    /// The answer kept under a key since `since` or later.
    pub async fn kept_answer(
        &mut self,
        key: Sha256,
        since: Timestamp,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        const TABLE: &str = "idempotency";
        let row: Option<AnswerRow> = on!(self, c, {
            sqlx::query_as(
                "-- idempotency: the kept answer
                select request_hash, status, content_type, body from idempotency
                where key_hash = $1 and at >= $2",
            )
            .bind(key.as_bytes().to_vec())
            .bind(micros(since))
            .fetch_optional(c)
            .await?
        });
        row.map(|row| {
            Ok(KeptAnswer {
                request: sound(Sha256::from_slice(&row.request_hash), TABLE, "request_hash")?,
                status: sound(u16::try_from(row.status).ok(), TABLE, "status")?,
                content_type: row.content_type,
                body: row.body,
            })
        })
        .transpose()
    }

    /// Keeps an answer and forgets those from before `since`. False when another answer is kept
    /// under the key already; then that one stays.
    pub async fn keep_answer(
        &mut self,
        key: Sha256,
        answer: &KeptAnswer,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let kept = on!(self, c, {
            sqlx::query(
                "-- idempotency: forget old answers
                delete from idempotency where at < $1",
            )
            .bind(micros(since))
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "-- idempotency: keep an answer
                insert into idempotency (key_hash, request_hash, at, status, content_type, body)
                values ($1, $2, $3, $4, $5, $6) on conflict (key_hash) do nothing",
            )
            .bind(key.as_bytes().to_vec())
            .bind(answer.request.as_bytes().to_vec())
            .bind(micros(now))
            .bind(i64::from(answer.status))
            .bind(&answer.content_type)
            .bind(&answer.body)
            .execute(&mut *c)
            .await?
            .rows_affected()
        });
        Ok(kept == 1)
    }
}
