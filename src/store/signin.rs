//! Passkeys, sessions and ceremonies: what it takes to know who is there.
//!
//! Everything one-shot is consumed by one guarded statement, so two requests that race cannot both
//! have it (I9).

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::assertion::{CoseKey, CredentialId, Nonce};
use crate::domain::digest::Sha256;
use crate::domain::ids::{
    CeremonyId, InvitationId, PasskeyId, PersonId, ProposalId, ReleaseId, SessionId,
};
use crate::domain::roster::Role;
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// A passkey as stored.
#[derive(Debug, Clone)]
pub struct PasskeyRecord {
    /// Names the row.
    pub id: PasskeyId,
    /// Whose.
    pub person: PersonId,
    /// WebAuthn credential id.
    pub credential_id: CredentialId,
    /// The public key.
    pub public_key: CoseKey,
    /// The authenticator's model, all zero when it does not say.
    pub aaguid: Uuid,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// Its signatures count from here on.
    pub counts_from: Timestamp,
    /// What its owner calls it.
    pub name: String,
    /// The verifier's own form, JSON.
    pub stored: String,
    /// The last accepted signature counter.
    pub counter: u32,
    /// BE: it may be copied to other devices.
    pub backup_eligible: bool,
    /// BS: it is copied to other devices.
    pub backed_up: bool,
    /// The last accepted assertion.
    pub last_used_at: Option<Timestamp>,
    /// When an alarm suspended it; it does not count since.
    pub suspended_at: Option<Timestamp>,
    /// Who else was signed in where it was enrolled (Q21).
    pub beside: Option<PersonId>,
}

/// A passkey to insert.
#[derive(Debug, Clone)]
pub struct NewPasskeyRow {
    /// Names the row.
    pub id: PasskeyId,
    /// Whose.
    pub person: PersonId,
    /// WebAuthn credential id.
    pub credential_id: CredentialId,
    /// The public key.
    pub public_key: CoseKey,
    /// The authenticator's model.
    pub aaguid: Uuid,
    /// A maker that this installation trusts vouched for the model.
    pub attested: bool,
    /// How the authenticator can be reached.
    pub transports: Vec<String>,
    /// The browser's bytes, for evidence.
    pub attestation_object: Vec<u8>,
    /// The browser's bytes, for evidence.
    pub client_data_json: Vec<u8>,
    /// Its signatures count from here on.
    pub counts_from: Timestamp,
    /// What its owner calls it.
    pub name: String,
    /// The verifier's own form, JSON.
    pub stored: String,
    /// The signature counter at enrolment.
    pub counter: u32,
    /// BE.
    pub backup_eligible: bool,
    /// BS.
    pub backed_up: bool,
    /// Who else was signed in where it was enrolled.
    pub beside: Option<PersonId>,
}

/// A live session with its person.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// What pages call it.
    pub id: SessionId,
    /// SHA-256 of the cookie's value; names the session inside the gateway.
    pub hash: Sha256,
    /// Who is signed in.
    pub person: PersonId,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What opened it: the passkey's name, or the issuer that vouched.
    pub opened_with: String,
    /// Browser and system, as they call themselves.
    pub browser: String,
    /// It reads and changes nothing.
    pub reads_only: bool,
    /// The synchroniser token that every change carries.
    pub csrf: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// Idle time counts from here.
    pub seen_at: Timestamp,
}

/// A session to insert.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What pages call it.
    pub id: SessionId,
    /// SHA-256 of the cookie's value.
    pub hash: Sha256,
    /// Who signed in.
    pub person: PersonId,
    /// What opened it: the passkey's name, or the issuer that vouched.
    pub opened_with: String,
    /// Browser and system, as they call themselves.
    pub browser: String,
    /// It reads and changes nothing.
    pub reads_only: bool,
    /// The synchroniser token.
    pub csrf: String,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
}

/// What a ceremony was begun for. One begun for a purpose never finishes another (W4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CeremonyPurpose {
    /// A first passkey, by invitation.
    Enrol,
    /// One more passkey, by a session.
    AddKey,
    /// A new session.
    SignIn,
    /// Agreeing to a release.
    Approve,
    /// Agreeing to several releases of one CI run.
    ApproveBatch,
    /// Objecting to a release.
    Reject,
    /// Signing the founding, or deciding about a proposal.
    Governance,
    /// Signing in by single sign-on, or linking an account of it in a session.
    SingleSignOn,
}

impl CeremonyPurpose {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::AddKey => "add-key",
            Self::SignIn => "sign-in",
            Self::Approve => "approve",
            Self::ApproveBatch => "approve-batch",
            Self::Reject => "reject",
            Self::Governance => "governance",
            Self::SingleSignOn => "single-sign-on",
        }
    }
}

/// One WebAuthn exchange between begin and finish.
#[derive(Debug, Clone)]
pub struct Ceremony {
    /// Its id, which the browser brings back.
    pub id: CeremonyId,
    /// What for.
    pub purpose: CeremonyPurpose,
    /// Who must answer; `None` for a sign-in.
    pub person: Option<PersonId>,
    /// The session it was begun in.
    pub session: Option<Sha256>,
    /// The invitation it was begun by.
    pub invitation: Option<InvitationId>,
    /// The release it is about.
    pub release: Option<ReleaseId>,
    /// The proposal it is about.
    pub proposal: Option<ProposalId>,
    /// Part of the challenge.
    pub nonce: Option<Nonce>,
    /// The exact bytes to be signed.
    pub statement: Option<Vec<u8>>,
    /// The verifier's own state, JSON.
    pub state: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// It cannot finish from then on.
    pub expires_at: Timestamp,
}

row! {
    struct PasskeyRow {
        id: Vec<u8>,
        person_id: Vec<u8>,
        credential_id: Vec<u8>,
        public_key: Vec<u8>,
        aaguid: Vec<u8>,
        created_at: i64,
        counts_from: i64,
        name: String,
        stored: String,
        counter: i64,
        backup_eligible: i64,
        backed_up: i64,
        last_used_at: Option<i64>,
        suspended_at: Option<i64>,
        beside_id: Option<Vec<u8>>,
    }
}

const PASSKEYS: &str = "passkeys";

impl PasskeyRow {
    fn record(self) -> Result<PasskeyRecord, StoreError> {
        let credential_id = CredentialId::from_bytes(self.credential_id).ok();
        Ok(PasskeyRecord {
            id: sound(PasskeyId::from_slice(&self.id), PASSKEYS, "id")?,
            person: sound(PersonId::from_slice(&self.person_id), PASSKEYS, "person_id")?,
            credential_id: sound(credential_id, PASSKEYS, "credential_id")?,
            public_key: sound(CoseKey::parse(&self.public_key).ok(), PASSKEYS, "public_key")?,
            aaguid: sound(Uuid::from_slice(&self.aaguid).ok(), PASSKEYS, "aaguid")?,
            created_at: timestamp(self.created_at, PASSKEYS, "created_at")?,
            counts_from: timestamp(self.counts_from, PASSKEYS, "counts_from")?,
            name: self.name,
            stored: self.stored,
            counter: sound(u32::try_from(self.counter).ok(), PASSKEYS, "counter")?,
            backup_eligible: self.backup_eligible != 0,
            backed_up: self.backed_up != 0,
            last_used_at: timestamp_opt(self.last_used_at, PASSKEYS, "last_used_at")?,
            suspended_at: timestamp_opt(self.suspended_at, PASSKEYS, "suspended_at")?,
            beside: self
                .beside_id
                .map(|id| sound(PersonId::from_slice(&id), PASSKEYS, "beside_id"))
                .transpose()?,
        })
    }
}

row! {
    struct SessionRow {
        id: Vec<u8>,
        token_hash: Vec<u8>,
        person_id: Vec<u8>,
        name: String,
        role: String,
        opened_with: String,
        browser: String,
        reads_only: i64,
        csrf: String,
        created_at: i64,
        expires_at: i64,
        seen_at: i64,
    }
}

const SESSIONS: &str = "sessions";

impl SessionRow {
    fn record(self) -> Result<SessionRecord, StoreError> {
        Ok(SessionRecord {
            id: sound(SessionId::from_slice(&self.id), SESSIONS, "id")?,
            hash: sound(Sha256::from_slice(&self.token_hash), SESSIONS, "token_hash")?,
            person: sound(PersonId::from_slice(&self.person_id), SESSIONS, "person_id")?,
            name: self.name,
            role: sound(Role::parse(&self.role), "people", "role")?,
            opened_with: self.opened_with,
            browser: self.browser,
            reads_only: self.reads_only != 0,
            csrf: self.csrf,
            created_at: timestamp(self.created_at, SESSIONS, "created_at")?,
            expires_at: timestamp(self.expires_at, SESSIONS, "expires_at")?,
            seen_at: timestamp(self.seen_at, SESSIONS, "seen_at")?,
        })
    }
}

row! {
    struct CeremonyRow {
        id: Vec<u8>,
        purpose: String,
        person_id: Option<Vec<u8>>,
        session_hash: Option<Vec<u8>>,
        invitation_id: Option<Vec<u8>>,
        release_id: Option<Vec<u8>>,
        proposal_id: Option<Vec<u8>>,
        nonce: Option<Vec<u8>>,
        statement: Option<Vec<u8>>,
        state: String,
        created_at: i64,
        expires_at: i64,
    }
}

const CEREMONIES: &str = "ceremonies";

impl CeremonyRow {
    fn record(self, purpose: CeremonyPurpose) -> Result<Ceremony, StoreError> {
        fn parse<T>(
            bytes: Option<&Vec<u8>>,
            column: &'static str,
            parse: impl Fn(&[u8]) -> Option<T>,
        ) -> Result<Option<T>, StoreError> {
            bytes.map(|bytes| sound(parse(bytes), CEREMONIES, column)).transpose()
        }
        Ok(Ceremony {
            id: sound(CeremonyId::from_slice(&self.id), CEREMONIES, "id")?,
            purpose,
            person: parse(self.person_id.as_ref(), "person_id", PersonId::from_slice)?,
            session: parse(self.session_hash.as_ref(), "session_hash", Sha256::from_slice)?,
            invitation: parse(
                self.invitation_id.as_ref(),
                "invitation_id",
                InvitationId::from_slice,
            )?,
            release: parse(self.release_id.as_ref(), "release_id", ReleaseId::from_slice)?,
            proposal: parse(self.proposal_id.as_ref(), "proposal_id", ProposalId::from_slice)?,
            nonce: parse(self.nonce.as_ref(), "nonce", Nonce::from_slice)?,
            statement: self.statement,
            state: self.state,
            created_at: timestamp(self.created_at, CEREMONIES, "created_at")?,
            expires_at: timestamp(self.expires_at, CEREMONIES, "expires_at")?,
        })
    }
}

/// Passkeys.
impl Tx {
    /// Inserts a passkey. `false` when the credential id is enrolled already, by anybody (W7).
    pub async fn insert_passkey(
        &mut self,
        passkey: &NewPasskeyRow,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let transports = serde_json::to_string(&passkey.transports).ok();
        let transports = sound(transports, PASSKEYS, "transports")?;
        let inserted = on!(self, c, {
            sqlx::query(
                "-- passkeys: add one
                insert into passkeys (id, person_id, credential_id, public_key, aaguid, attested,
                  transports, attestation_object, client_data_json, created_at, counts_from, name,
                  stored, counter, backup_eligible, backed_up, beside_id)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
                on conflict (credential_id) do nothing",
            )
            .bind(passkey.id.as_bytes().to_vec())
            .bind(passkey.person.as_bytes().to_vec())
            .bind(passkey.credential_id.as_bytes().to_vec())
            .bind(passkey.public_key.as_bytes().to_vec())
            .bind(passkey.aaguid.as_bytes().to_vec())
            .bind(i64::from(passkey.attested))
            .bind(transports)
            .bind(passkey.attestation_object.clone())
            .bind(passkey.client_data_json.clone())
            .bind(micros(now))
            .bind(micros(passkey.counts_from))
            .bind(&passkey.name)
            .bind(&passkey.stored)
            .bind(i64::from(passkey.counter))
            .bind(i64::from(passkey.backup_eligible))
            .bind(i64::from(passkey.backed_up))
            .bind(passkey.beside.map(|person| person.as_bytes().to_vec()))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(inserted == 1)
    }

    /// A person's passkeys that can be used now, in order of enrolment: neither suspended nor
    /// revoked.
    pub async fn passkeys_of(
        &mut self,
        person: PersonId,
    ) -> Result<Vec<PasskeyRecord>, StoreError> {
        let mut passkeys = self.kept_passkeys_of(person).await?;
        passkeys.retain(|passkey| passkey.suspended_at.is_none());
        Ok(passkeys)
    }

    /// A person's passkeys that are not revoked, suspended ones included.
    pub async fn kept_passkeys_of(
        &mut self,
        person: PersonId,
    ) -> Result<Vec<PasskeyRecord>, StoreError> {
        let rows: Vec<PasskeyRow> = on!(self, c, {
            sqlx::query_as(
                "-- passkeys: a person's
                select id, person_id, credential_id, public_key, aaguid, created_at, counts_from,
                  name, stored, counter, backup_eligible, backed_up, last_used_at, suspended_at,
                  beside_id
                from passkeys
                where person_id = $1 and revoked_at is null
                order by created_at, id",
            )
            .bind(person.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(PasskeyRow::record).collect()
    }

    /// What browser and authenticator said when a key was enrolled, also of one that was revoked
    /// since: the attestation object and the client data.
    pub async fn enrolment(
        &mut self,
        credential_id: &CredentialId,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError> {
        Ok(on!(self, c, {
            sqlx::query_as(
                "-- passkeys: how one was enrolled
                select attestation_object, client_data_json from passkeys where credential_id = $1",
            )
            .bind(credential_id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        }))
    }

    /// Every passkey that is not revoked of everybody who has not left, in order of enrolment.
    pub async fn kept_passkeys(&mut self) -> Result<Vec<PasskeyRecord>, StoreError> {
        let rows: Vec<PasskeyRow> = on!(self, c, {
            sqlx::query_as(
                "-- passkeys: everybody's
                select k.id, k.person_id, k.credential_id, k.public_key, k.aaguid, k.created_at,
                  k.counts_from, k.name, k.stored, k.counter, k.backup_eligible, k.backed_up,
                  k.last_used_at, k.suspended_at, k.beside_id
                from passkeys k join people p on p.id = k.person_id
                where k.revoked_at is null and p.left_at is null
                order by k.created_at, k.id",
            )
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(PasskeyRow::record).collect()
    }

    /// The passkey with this credential id if it can be used now and its owner has not left. Its
    /// row stays locked until the transaction ends.
    pub async fn usable_passkey_locked(
        &mut self,
        credential_id: &CredentialId,
    ) -> Result<Option<PasskeyRecord>, StoreError> {
        let sql = self.pick(
            "-- passkeys: a usable one by credential id
            select k.id, k.person_id, k.credential_id, k.public_key, k.aaguid, k.created_at,
              k.counts_from, k.name, k.stored, k.counter, k.backup_eligible, k.backed_up,
              k.last_used_at, k.suspended_at, k.beside_id
            from passkeys k join people p on p.id = k.person_id
            where k.credential_id = $1 and k.suspended_at is null and k.revoked_at is null
              and p.left_at is null",
            "-- passkeys: a usable one by credential id, locked
            select k.id, k.person_id, k.credential_id, k.public_key, k.aaguid, k.created_at,
              k.counts_from, k.name, k.stored, k.counter, k.backup_eligible, k.backed_up,
              k.last_used_at, k.suspended_at, k.beside_id
            from passkeys k join people p on p.id = k.person_id
            where k.credential_id = $1 and k.suspended_at is null and k.revoked_at is null
              and p.left_at is null
            for update of k",
        );
        let row: Option<PasskeyRow> = on!(self, c, {
            sqlx::query_as(sql).bind(credential_id.as_bytes().to_vec()).fetch_optional(c).await?
        });
        row.map(PasskeyRow::record).transpose()
    }

    /// Records an accepted assertion if the counter still is `from` (W9). `stored` is the
    /// verifier's form with the counter `to`. `false` when another assertion came first, or the
    /// key was suspended or revoked meanwhile: nothing may follow from this one.
    pub async fn advance_counter(
        &mut self,
        passkey: PasskeyId,
        from: u32,
        to: u32,
        stored: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let advanced = on!(self, c, {
            sqlx::query(
                "-- passkeys: advance the counter
                update passkeys set counter = $3, stored = $4, last_used_at = $5
                where id = $1 and counter = $2 and suspended_at is null and revoked_at is null",
            )
            .bind(passkey.as_bytes().to_vec())
            .bind(i64::from(from))
            .bind(i64::from(to))
            .bind(stored)
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(advanced == 1)
    }

    /// Suspends a passkey. `false` when it was suspended before.
    pub async fn suspend_passkey(
        &mut self,
        passkey: PasskeyId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let suspended = on!(self, c, {
            sqlx::query(
                "-- passkeys: suspend one
                update passkeys set suspended_at = $2 where id = $1 and suspended_at is null",
            )
            .bind(passkey.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(suspended == 1)
    }

    /// Revokes one passkey of a person. `false` when they have none with this id.
    pub async fn revoke_passkey(
        &mut self,
        person: PersonId,
        passkey: PasskeyId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let revoked = on!(self, c, {
            sqlx::query(
                "-- passkeys: revoke one
                update passkeys set revoked_at = $3
                where id = $1 and person_id = $2 and revoked_at is null",
            )
            .bind(passkey.as_bytes().to_vec())
            .bind(person.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(revoked == 1)
    }

    /// Revokes the passkey of a credential, whose ever it is.
    pub async fn revoke_credential(
        &mut self,
        credential_id: &CredentialId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- passkeys: revoke one by its credential
                update passkeys set revoked_at = $2
                where credential_id = $1 and revoked_at is null",
            )
            .bind(credential_id.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Lets the passkey of a credential count from a time on.
    pub async fn let_credential_count(
        &mut self,
        credential_id: &CredentialId,
        from: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- passkeys: say from when one counts
                update passkeys set counts_from = $2 where credential_id = $1",
            )
            .bind(credential_id.as_bytes().to_vec())
            .bind(micros(from))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Revokes every passkey of a person.
    pub async fn revoke_passkeys_of(
        &mut self,
        person: PersonId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- passkeys: revoke a person's
                update passkeys set revoked_at = $2 where person_id = $1 and revoked_at is null",
            )
            .bind(person.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }
}

/// Sessions.
impl Tx {
    /// Inserts a session; of the person's others, the `others` youngest stay (S1).
    pub async fn insert_session(
        &mut self,
        session: &NewSession,
        others: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- sessions: end a person's oldest
                delete from sessions where person_id = $1 and token_hash not in (
                  select token_hash from sessions where person_id = $1
                  order by created_at desc, token_hash
                  limit $2)",
            )
            .bind(session.person.as_bytes().to_vec())
            .bind(i64::from(others))
            .execute(c)
            .await?;
        });
        on!(self, c, {
            sqlx::query(
                "-- sessions: begin one
                insert into sessions (id, token_hash, person_id, opened_with, browser, reads_only,
                  csrf, created_at, expires_at, seen_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8)",
            )
            .bind(session.id.as_bytes().to_vec())
            .bind(session.hash.as_bytes().to_vec())
            .bind(session.person.as_bytes().to_vec())
            .bind(&session.opened_with)
            .bind(&session.browser)
            .bind(i64::from(session.reads_only))
            .bind(&session.csrf)
            .bind(micros(now))
            .bind(micros(session.expires_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The session with this hash if it has not ended, was seen after `idle_since` and its person
    /// has not left.
    pub async fn live_session(
        &mut self,
        hash: &Sha256,
        idle_since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let row: Option<SessionRow> = on!(self, c, {
            sqlx::query_as(
                "-- sessions: a live one
                select s.id, s.token_hash, s.person_id, p.name, p.role, s.opened_with, s.browser,
                  s.reads_only, s.csrf, s.created_at, s.expires_at, s.seen_at
                from sessions s join people p on p.id = s.person_id
                where s.token_hash = $1 and s.seen_at > $2 and s.expires_at > $3
                  and p.left_at is null",
            )
            .bind(hash.as_bytes().to_vec())
            .bind(micros(idle_since))
            .bind(micros(now))
            .fetch_optional(c)
            .await?
        });
        row.map(SessionRow::record).transpose()
    }

    /// A person's live sessions, the one last used first.
    pub async fn live_sessions_of(
        &mut self,
        person: PersonId,
        idle_since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let rows: Vec<SessionRow> = on!(self, c, {
            sqlx::query_as(
                "-- sessions: a person's live ones
                select s.id, s.token_hash, s.person_id, p.name, p.role, s.opened_with, s.browser,
                  s.reads_only, s.csrf, s.created_at, s.expires_at, s.seen_at
                from sessions s join people p on p.id = s.person_id
                where s.person_id = $1 and s.seen_at > $2 and s.expires_at > $3
                  and p.left_at is null
                order by s.seen_at desc, s.id",
            )
            .bind(person.as_bytes().to_vec())
            .bind(micros(idle_since))
            .bind(micros(now))
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(SessionRow::record).collect()
    }

    /// Notes that a session was used. One that ended meanwhile stays ended, and time does not run
    /// backwards.
    pub async fn touch_session(&mut self, hash: &Sha256, now: Timestamp) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- sessions: note a use
                update sessions set seen_at = $2 where token_hash = $1 and seen_at < $2",
            )
            .bind(hash.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Ends a session and the ceremonies begun in it.
    pub async fn end_session(&mut self, hash: &Sha256) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- ceremonies: drop a session's
                delete from ceremonies where session_hash = $1",
            )
            .bind(hash.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        on!(self, c, {
            sqlx::query(
                "-- sessions: end one
                delete from sessions where token_hash = $1",
            )
            .bind(hash.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Ends every session of a person and every ceremony they have to answer.
    pub async fn end_sessions_of(&mut self, person: PersonId) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- ceremonies: drop a person's
                delete from ceremonies where person_id = $1",
            )
            .bind(person.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        on!(self, c, {
            sqlx::query(
                "-- sessions: end a person's
                delete from sessions where person_id = $1",
            )
            .bind(person.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Ends the sessions of a person that only read.
    pub async fn end_reading_sessions_of(&mut self, person: PersonId) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- sessions: end a person's that read
                delete from sessions where person_id = $1 and reads_only = 1",
            )
            .bind(person.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Deletes sessions that are over. Nothing depends on it; it keeps the table small.
    pub async fn sweep_sessions(
        &mut self,
        idle_since: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let swept = on!(self, c, {
            sqlx::query(
                "-- sessions: sweep
                delete from sessions where seen_at <= $1 or expires_at <= $2",
            )
            .bind(micros(idle_since))
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(swept)
    }
}

/// Most ceremonies open in one session or by one invitation; a sixth ends the oldest (W3).
pub const CEREMONIES_OPEN_MAX: u32 = 5;

/// Ceremonies.
impl Tx {
    /// Inserts a ceremony. Expired ones are deleted, and of those open in the same session or by
    /// the same invitation only the youngest stay, [`CEREMONIES_OPEN_MAX`] with this one.
    pub async fn insert_ceremony(&mut self, ceremony: &Ceremony) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- ceremonies: sweep
                delete from ceremonies where expires_at <= $1",
            )
            .bind(micros(ceremony.created_at))
            .execute(c)
            .await?;
        });
        let session = ceremony.session.map(|hash| hash.as_bytes().to_vec());
        let invitation = ceremony.invitation.map(|id| id.as_bytes().to_vec());
        on!(self, c, {
            sqlx::query(
                "-- ceremonies: end the oldest of a session or invitation
                delete from ceremonies
                where (session_hash = $1 or invitation_id = $2) and id not in (
                  select id from ceremonies where session_hash = $1 or invitation_id = $2
                  order by created_at desc, id
                  limit $3)",
            )
            .bind(session.clone())
            .bind(invitation.clone())
            .bind(i64::from(CEREMONIES_OPEN_MAX - 1))
            .execute(c)
            .await?;
        });
        on!(self, c, {
            sqlx::query(
                "-- ceremonies: begin one
                insert into ceremonies (id, purpose, person_id, session_hash, invitation_id,
                  release_id, proposal_id, nonce, statement, state, created_at, expires_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            )
            .bind(ceremony.id.as_bytes().to_vec())
            .bind(ceremony.purpose.as_str())
            .bind(ceremony.person.map(|id| id.as_bytes().to_vec()))
            .bind(session)
            .bind(invitation)
            .bind(ceremony.release.map(|id| id.as_bytes().to_vec()))
            .bind(ceremony.proposal.map(|id| id.as_bytes().to_vec()))
            .bind(ceremony.nonce.map(|nonce| nonce.as_bytes().to_vec()))
            .bind(ceremony.statement.clone())
            .bind(&ceremony.state)
            .bind(micros(ceremony.created_at))
            .bind(micros(ceremony.expires_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// How many sign-ins are open at `now`; they belong to nobody yet.
    pub async fn open_sign_ins(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let open: i64 = on!(self, c, {
            sqlx::query_scalar(
                "-- ceremonies: count the open sign-ins
                select count(*) from ceremonies
                where purpose in ('sign-in', 'single-sign-on') and expires_at > $1",
            )
            .bind(micros(now))
            .fetch_one(c)
            .await?
        });
        sound(u64::try_from(open).ok(), CEREMONIES, "id")
    }

    /// Takes a ceremony out, whatever comes of it (W3). `None` when there is none with this id,
    /// it was begun for another purpose (W4), or it has expired; it is gone in every case, once
    /// the caller commits. The caller compares session, invitation, person and release.
    pub async fn take_ceremony(
        &mut self,
        id: CeremonyId,
        purpose: CeremonyPurpose,
        now: Timestamp,
    ) -> Result<Option<Ceremony>, StoreError> {
        let row: Option<CeremonyRow> = on!(self, c, {
            sqlx::query_as(
                "-- ceremonies: consume one
                delete from ceremonies where id = $1
                returning id, purpose, person_id, session_hash, invitation_id, release_id,
                  proposal_id, nonce,
                  statement, state, created_at, expires_at",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        let row = row.filter(|row| row.purpose == purpose.as_str() && micros(now) < row.expires_at);
        row.map(|row| row.record(purpose)).transpose()
    }
}
