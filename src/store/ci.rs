//! What CI tokens opened: upload sessions, the minted tokens that lead to them, and refusals.
//!
//! No token is stored. A CI token is remembered by issuer and `jti` (Q1), a minted one by its
//! SHA-256.

use jiff::Timestamp;

use crate::domain::claims::Claims;
use crate::domain::digest::Sha256;
use crate::domain::ids::{IssuerId, PackageId, PublisherId, UploadSessionId};
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// Refused tokens kept per issuer: a page of them, and a bound on what strangers can make us store.
pub const REFUSED_TOKENS_MAX: i64 = 100;

/// An upload session as stored, ended or not.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// Names it.
    pub id: UploadSessionId,
    /// Whose rule the claims met.
    pub publisher: PublisherId,
    /// The one package it may stage (npm), or all of the publisher's.
    pub package: Option<PackageId>,
    /// What the CI provider said about the run.
    pub claims: Claims,
    /// The exact text of the claims.
    pub claims_json: String,
    /// SHA-256 of that text.
    pub claims_sha256: Sha256,
    /// Names the CI run.
    pub run_key: String,
    /// When the first token was presented.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When the client said that it is done.
    pub ended_at: Option<Timestamp>,
}

impl StoredSession {
    /// True while uploads are taken.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}

/// What a CI token is remembered by (Q1).
#[derive(Debug, Clone)]
pub struct TokenUse<'a> {
    /// The exact issuer.
    pub issuer_url: &'a str,
    /// The token's `jti`, or what stands for it.
    pub jti: &'a str,
    /// `npm:` and the package id, or `pypi:` and the publisher id.
    pub scope: &'a str,
    /// Nothing accepts the token after this time.
    pub keep_until: Timestamp,
}

/// A token of a known issuer that no publisher accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedToken {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub issuer: IssuerId,
    /// For which package, when the client named one that is registered here.
    pub package: Option<PackageId>,
    /// The claim that made the difference.
    pub claim: String,
    /// What the nearest publisher expects.
    pub expected: String,
    /// What the token says.
    pub received: String,
}

row! {
    struct SessionRow {
        id: Vec<u8>,
        publisher_id: Vec<u8>,
        package_id: Option<Vec<u8>>,
        claims: String,
        claims_sha256: Vec<u8>,
        run_key: String,
        created_at: i64,
        expires_at: i64,
        ended_at: Option<i64>,
    }
}

row! {
    struct RefusedRow {
        at: i64,
        issuer_id: Vec<u8>,
        package_id: Option<Vec<u8>>,
        claim: String,
        expected: String,
        received: String,
    }
}

fn package_id(
    bytes: Option<Vec<u8>>,
    table: &'static str,
) -> Result<Option<PackageId>, StoreError> {
    bytes.map(|bytes| sound(PackageId::from_slice(&bytes), table, "package_id")).transpose()
}

impl SessionRow {
    fn parse(self) -> Result<StoredSession, StoreError> {
        const TABLE: &str = "upload_sessions";
        let publisher = PublisherId::from_slice(&self.publisher_id);
        Ok(StoredSession {
            id: sound(UploadSessionId::from_slice(&self.id), TABLE, "id")?,
            publisher: sound(publisher, TABLE, "publisher_id")?,
            package: package_id(self.package_id, TABLE)?,
            claims: sound(serde_json::from_str(&self.claims).ok(), TABLE, "claims")?,
            claims_json: self.claims,
            claims_sha256: sound(Sha256::from_slice(&self.claims_sha256), TABLE, "claims_sha256")?,
            run_key: self.run_key,
            created_at: timestamp(self.created_at, TABLE, "created_at")?,
            expires_at: timestamp(self.expires_at, TABLE, "expires_at")?,
            ended_at: timestamp_opt(self.ended_at, TABLE, "ended_at")?,
        })
    }
}

impl RefusedRow {
    fn parse(self) -> Result<RefusedToken, StoreError> {
        const TABLE: &str = "refused_tokens";
        Ok(RefusedToken {
            at: timestamp(self.at, TABLE, "at")?,
            issuer: sound(IssuerId::from_slice(&self.issuer_id), TABLE, "issuer_id")?,
            package: package_id(self.package_id, TABLE)?,
            claim: self.claim,
            expected: self.expected,
            received: self.received,
        })
    }
}

impl Tx {
    /// Finds the session a CI token opened for this scope.
    pub async fn session_of_use(
        &mut self,
        token_use: &TokenUse<'_>,
    ) -> Result<Option<StoredSession>, StoreError> {
        let row: Option<SessionRow> = on!(self, c, {
            sqlx::query_as(
                "-- ci: the session a CI token opened
                select id, publisher_id, package_id, claims, claims_sha256, run_key, created_at,
                  expires_at, ended_at
                from upload_sessions where id =
                  (select session_id from token_uses
                   where issuer_url = $1 and jti = $2 and scope = $3)",
            )
            .bind(token_use.issuer_url)
            .bind(token_use.jti)
            .bind(token_use.scope)
            .fetch_optional(c)
            .await?
        });
        row.map(SessionRow::parse).transpose()
    }

    /// Adds a session and remembers the CI token that opened it. False when the token opened one
    /// already, perhaps a moment ago in another transaction; then nothing was added.
    pub async fn add_upload_session(
        &mut self,
        session: &StoredSession,
        token_use: &TokenUse<'_>,
    ) -> Result<bool, StoreError> {
        let first = on!(self, c, {
            sqlx::query(
                "-- ci: add an upload session
                insert into upload_sessions (id, publisher_id, package_id, claims, claims_sha256,
                  run_key, created_at, expires_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(session.id.as_bytes().to_vec())
            .bind(session.publisher.as_bytes().to_vec())
            .bind(session.package.map(|id| id.as_bytes().to_vec()))
            .bind(&session.claims_json)
            .bind(session.claims_sha256.as_bytes().to_vec())
            .bind(&session.run_key)
            .bind(micros(session.created_at))
            .bind(micros(session.expires_at))
            .execute(&mut *c)
            .await?;
            // Waits for another transaction that is inserting the same key, then does nothing.
            sqlx::query(
                "-- ci: remember a CI token
                insert into token_uses (issuer_url, jti, scope, session_id, keep_until)
                values ($1, $2, $3, $4, $5) on conflict (issuer_url, jti, scope) do nothing",
            )
            .bind(token_use.issuer_url)
            .bind(token_use.jti)
            .bind(token_use.scope)
            .bind(session.id.as_bytes().to_vec())
            .bind(micros(token_use.keep_until))
            .execute(&mut *c)
            .await?
            .rows_affected()
        }) == 1;
        if !first {
            on!(self, c, {
                sqlx::query(
                    "-- ci: take back an upload session
                    delete from upload_sessions where id = $1",
                )
                .bind(session.id.as_bytes().to_vec())
                .execute(c)
                .await?;
            });
        }
        Ok(first)
    }

    /// Keeps the digest of a minted token.
    pub async fn add_upload_token(
        &mut self,
        token_sha256: Sha256,
        session: UploadSessionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- ci: keep a minted token's digest
                insert into upload_tokens (token_hash, session_id, created_at)
                values ($1, $2, $3)",
            )
            .bind(token_sha256.as_bytes().to_vec())
            .bind(session.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Finds the session a minted token leads to, ended or not.
    pub async fn session_of_token(
        &mut self,
        token_sha256: Sha256,
    ) -> Result<Option<StoredSession>, StoreError> {
        let row: Option<SessionRow> = on!(self, c, {
            sqlx::query_as(
                "-- ci: the session a minted token leads to
                select id, publisher_id, package_id, claims, claims_sha256, run_key, created_at,
                  expires_at, ended_at
                from upload_sessions where id =
                  (select session_id from upload_tokens where token_hash = $1)",
            )
            .bind(token_sha256.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(SessionRow::parse).transpose()
    }

    /// Ends a session. False when it ended before.
    pub async fn end_upload_session(
        &mut self,
        id: UploadSessionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = on!(self, c, {
            sqlx::query(
                "-- ci: end an upload session
                update upload_sessions set ended_at = $2 where id = $1 and ended_at is null",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(changed == 1)
    }

    /// Forgets CI tokens that nothing accepts any more, and the sessions and minted tokens that
    /// only they led to. Returns how many sessions went.
    pub async fn sweep_upload_sessions(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        Ok(on!(self, c, {
            sqlx::query(
                "-- ci: forget expired CI tokens
                delete from token_uses where keep_until < $1",
            )
            .bind(micros(now))
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "-- ci: forget the minted tokens of forgotten sessions
                delete from upload_tokens where session_id in
                  (select id from upload_sessions where expires_at < $1
                   and id not in (select session_id from token_uses))",
            )
            .bind(micros(now))
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "-- ci: forget sessions nothing leads to
                delete from upload_sessions where expires_at < $1
                  and id not in (select session_id from token_uses)
                  and id not in (select session_id from upload_tokens)",
            )
            .bind(micros(now))
            .execute(&mut *c)
            .await?
            .rows_affected()
        }))
    }

    /// Notes a token that no publisher accepted, and forgets all but the newest
    /// [`REFUSED_TOKENS_MAX`] of its issuer.
    pub async fn add_refused_token(
        &mut self,
        id: uuid::Uuid,
        refused: &RefusedToken,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- ci: note a refused token
                insert into refused_tokens
                  (id, at, issuer_id, package_id, claim, expected, received)
                values ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(refused.at))
            .bind(refused.issuer.as_bytes().to_vec())
            .bind(refused.package.map(|id| id.as_bytes().to_vec()))
            .bind(&refused.claim)
            .bind(&refused.expected)
            .bind(&refused.received)
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "-- ci: forget old refused tokens
                delete from refused_tokens where issuer_id = $1 and id not in
                  (select id from refused_tokens where issuer_id = $1
                   order by at desc, id desc limit $2)",
            )
            .bind(refused.issuer.as_bytes().to_vec())
            .bind(REFUSED_TOKENS_MAX)
            .execute(&mut *c)
            .await?;
        });
        Ok(())
    }

    /// The newest refused tokens that were for one package or named none, newest first.
    pub async fn refused_tokens(
        &mut self,
        package: PackageId,
        limit: i64,
    ) -> Result<Vec<RefusedToken>, StoreError> {
        let rows: Vec<RefusedRow> = on!(self, c, {
            sqlx::query_as(
                "-- ci: the newest refused tokens
                select at, issuer_id, package_id, claim, expected, received from refused_tokens
                where package_id is null or package_id = $1 order by at desc, id desc limit $2",
            )
            .bind(package.as_bytes().to_vec())
            .bind(limit)
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(RefusedRow::parse).collect()
    }
}
