//! People: who they are, who invited them, which CI identities are theirs, and the roster that
//! the log gets when any of it changes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::assertion::{CoseKey, CredentialId};
use crate::domain::digest::Sha256;
use crate::domain::ids::{InvitationId, PersonId};
use crate::domain::roster::{CiIdentity, Role, Roster, RosterKey, RosterPerson};
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// A person as stored.
#[derive(Debug, Clone)]
pub struct PersonRecord {
    /// Stable, pseudonymous.
    pub id: PersonId,
    /// What people call them; unique.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they enrolled their first passkey.
    pub joined_at: Option<Timestamp>,
    /// When they left.
    pub left_at: Option<Timestamp>,
}

/// An invitation as stored; its secret is not.
#[derive(Debug, Clone)]
pub struct InvitationRecord {
    /// Its id.
    pub id: InvitationId,
    /// Whom it is for.
    pub person: PersonId,
    /// What they are called.
    pub person_name: String,
    /// What they will be.
    pub role: Role,
    /// They have joined before: what they enrol replaces the keys they lost.
    pub replaces: bool,
    /// Who invited them; `None` when a set-up file or the claim did.
    pub invited_by: Option<PersonId>,
    /// What the inviter is called.
    pub inviter_name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// It cannot be used from then on.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl InvitationRecord {
    /// Whether it can be used at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// An invitation to insert.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// Its id.
    pub id: InvitationId,
    /// SHA-256 of its secret.
    pub token_hash: Sha256,
    /// Whom it is for.
    pub person: PersonId,
    /// Who invites; `None` for a set-up file or the claim.
    pub invited_by: Option<PersonId>,
    /// It cannot be used from then on.
    pub expires_at: Timestamp,
}

/// A settled CI identity.
#[derive(Debug, Clone)]
pub struct LinkedIdentity {
    /// Issuer and immutable id.
    pub identity: CiIdentity,
    /// What the CI system called the actor when it was linked; for people only.
    pub actor_name: String,
    /// Whose it is; `None` for a bot.
    pub person: Option<PersonId>,
    /// Since when.
    pub linked_at: Timestamp,
}

row! {
    struct PersonRow {
        id: Vec<u8>,
        created_at: i64,
        name: String,
        role: String,
        joined_at: Option<i64>,
        left_at: Option<i64>,
    }
}

const PEOPLE: &str = "people";

impl PersonRow {
    fn record(self) -> Result<PersonRecord, StoreError> {
        Ok(PersonRecord {
            id: sound(PersonId::from_slice(&self.id), PEOPLE, "id")?,
            name: self.name,
            role: sound(Role::parse(&self.role), PEOPLE, "role")?,
            created_at: timestamp(self.created_at, PEOPLE, "created_at")?,
            joined_at: timestamp_opt(self.joined_at, PEOPLE, "joined_at")?,
            left_at: timestamp_opt(self.left_at, PEOPLE, "left_at")?,
        })
    }
}

row! {
    struct InvitationRow {
        id: Vec<u8>,
        person_id: Vec<u8>,
        person_name: String,
        role: String,
        joined_at: Option<i64>,
        invited_by: Option<Vec<u8>>,
        inviter_name: Option<String>,
        created_at: i64,
        expires_at: i64,
        used_at: Option<i64>,
        revoked_at: Option<i64>,
    }
}

const INVITATIONS: &str = "invitations";

impl InvitationRow {
    fn record(self) -> Result<InvitationRecord, StoreError> {
        Ok(InvitationRecord {
            id: sound(InvitationId::from_slice(&self.id), INVITATIONS, "id")?,
            person: sound(PersonId::from_slice(&self.person_id), INVITATIONS, "person_id")?,
            person_name: self.person_name,
            role: sound(Role::parse(&self.role), PEOPLE, "role")?,
            replaces: self.joined_at.is_some(),
            invited_by: person_opt(self.invited_by, INVITATIONS, "invited_by")?,
            inviter_name: self.inviter_name,
            created_at: timestamp(self.created_at, INVITATIONS, "created_at")?,
            expires_at: timestamp(self.expires_at, INVITATIONS, "expires_at")?,
            used_at: timestamp_opt(self.used_at, INVITATIONS, "used_at")?,
            revoked_at: timestamp_opt(self.revoked_at, INVITATIONS, "revoked_at")?,
        })
    }
}

row! {
    struct IdentityRow {
        issuer_url: String,
        actor_id: String,
        actor_name: String,
        person_id: Option<Vec<u8>>,
        linked_at: i64,
    }
}

const CI_IDENTITIES: &str = "ci_identities";

impl IdentityRow {
    fn record(self) -> Result<LinkedIdentity, StoreError> {
        Ok(LinkedIdentity {
            identity: CiIdentity { issuer: self.issuer_url, actor_id: self.actor_id },
            actor_name: self.actor_name,
            person: person_opt(self.person_id, CI_IDENTITIES, "person_id")?,
            linked_at: timestamp(self.linked_at, CI_IDENTITIES, "linked_at")?,
        })
    }
}

row! {
    struct RosterKeyRow {
        person_id: Vec<u8>,
        credential_id: Vec<u8>,
        public_key: Vec<u8>,
        counts_from: i64,
    }
}

impl RosterKeyRow {
    fn key(self) -> Result<(PersonId, RosterKey), StoreError> {
        const PASSKEYS: &str = "passkeys";
        let id = CredentialId::from_bytes(self.credential_id).ok();
        let key = CoseKey::parse(&self.public_key).ok();
        let key = RosterKey {
            credential_id: sound(id, PASSKEYS, "credential_id")?,
            public_key: sound(key, PASSKEYS, "public_key")?,
            counts_from: timestamp(self.counts_from, PASSKEYS, "counts_from")?,
        };
        Ok((sound(PersonId::from_slice(&self.person_id), PASSKEYS, "person_id")?, key))
    }
}

fn person_opt(
    id: Option<Vec<u8>>,
    table: &'static str,
    column: &'static str,
) -> Result<Option<PersonId>, StoreError> {
    id.map(|id| sound(PersonId::from_slice(&id), table, column)).transpose()
}

/// People.
impl Tx {
    /// Inserts a person who has not joined yet. `false` when the name is taken.
    pub async fn insert_person(
        &mut self,
        id: PersonId,
        name: &str,
        role: Role,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let inserted = on!(self, c, {
            sqlx::query(
                "-- people: add one
                insert into people (id, created_at, name, role) values ($1, $2, $3, $4)
                on conflict (name) do nothing",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .bind(name)
            .bind(role.as_str())
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(inserted == 1)
    }

    /// One person, whether they left or not.
    pub async fn person(&mut self, id: PersonId) -> Result<Option<PersonRecord>, StoreError> {
        let row: Option<PersonRow> = on!(self, c, {
            sqlx::query_as(
                "-- people: one by id
                select id, created_at, name, role, joined_at, left_at from people where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(PersonRow::record).transpose()
    }

    /// One person by their exact name, whether they left or not.
    pub async fn person_named(&mut self, name: &str) -> Result<Option<PersonRecord>, StoreError> {
        let row: Option<PersonRow> = on!(self, c, {
            sqlx::query_as(
                "-- people: one by name
                select id, created_at, name, role, joined_at, left_at from people where name = $1",
            )
            .bind(name)
            .fetch_optional(c)
            .await?
        });
        row.map(PersonRow::record).transpose()
    }

    /// Everybody who has not left, by name.
    pub async fn people(&mut self) -> Result<Vec<PersonRecord>, StoreError> {
        let rows: Vec<PersonRow> = on!(self, c, {
            sqlx::query_as(
                "-- people: all who have not left
                select id, created_at, name, role, joined_at, left_at from people
                where left_at is null
                order by name, id",
            )
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(PersonRow::record).collect()
    }

    /// What everybody is called, those who left included.
    pub async fn names(&mut self) -> Result<BTreeMap<PersonId, String>, StoreError> {
        let rows: Vec<(Vec<u8>, String)> = on!(self, c, {
            sqlx::query_as(
                "-- people: names, also of those who left
                select id, name from people",
            )
            .fetch_all(c)
            .await?
        });
        let named = |(id, name): (Vec<u8>, String)| {
            Ok((sound(PersonId::from_slice(&id), "people", "id")?, name))
        };
        rows.into_iter().map(named).collect()
    }

    /// Notes that a person enrolled their first passkey. `false` when they did before, or left.
    pub async fn mark_joined(&mut self, id: PersonId, now: Timestamp) -> Result<bool, StoreError> {
        let marked = on!(self, c, {
            sqlx::query(
                "-- people: join
                update people set joined_at = $2
                where id = $1 and joined_at is null and left_at is null",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(marked == 1)
    }

    /// Gives a person another role. `false` when they left or have it already.
    pub async fn set_role(&mut self, id: PersonId, role: Role) -> Result<bool, StoreError> {
        let changed = on!(self, c, {
            sqlx::query(
                "-- people: change the role
                update people set role = $2 where id = $1 and left_at is null and role <> $2",
            )
            .bind(id.as_bytes().to_vec())
            .bind(role.as_str())
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(changed == 1)
    }

    /// Notes that a person left. `false` when they had before.
    pub async fn mark_left(&mut self, id: PersonId, now: Timestamp) -> Result<bool, StoreError> {
        let marked = on!(self, c, {
            sqlx::query(
                "-- people: leave
                update people set left_at = $2 where id = $1 and left_at is null",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(marked == 1)
    }
}

/// Invitations.
impl Tx {
    /// Inserts an invitation.
    pub async fn insert_invitation(
        &mut self,
        invitation: &NewInvitation,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- invitations: add one
                insert into invitations (id, token_hash, person_id, invited_by, created_at, expires_at)
                values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(invitation.id.as_bytes().to_vec())
            .bind(invitation.token_hash.as_bytes().to_vec())
            .bind(invitation.person.as_bytes().to_vec())
            .bind(invitation.invited_by.map(|id| id.as_bytes().to_vec()))
            .bind(micros(now))
            .bind(micros(invitation.expires_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The invitation with this secret, in whatever state. Reading consumes nothing (W12).
    pub async fn invitation_by_token(
        &mut self,
        token_hash: &Sha256,
    ) -> Result<Option<InvitationRecord>, StoreError> {
        let row: Option<InvitationRow> = on!(self, c, {
            sqlx::query_as(
                "-- invitations: one by its secret
                select i.id, i.person_id, p.name as person_name, p.role, p.joined_at,
                  i.invited_by, b.name as inviter_name, i.created_at, i.expires_at, i.used_at,
                  i.revoked_at
                from invitations i
                join people p on p.id = i.person_id
                left join people b on b.id = i.invited_by
                where i.token_hash = $1 and p.left_at is null",
            )
            .bind(token_hash.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(InvitationRow::record).transpose()
    }

    /// Invitations that can be used at `now`, soonest expiry first.
    pub async fn open_invitations(
        &mut self,
        now: Timestamp,
    ) -> Result<Vec<InvitationRecord>, StoreError> {
        let rows: Vec<InvitationRow> = on!(self, c, {
            sqlx::query_as(
                "-- invitations: the open ones
                select i.id, i.person_id, p.name as person_name, p.role, p.joined_at,
                  i.invited_by, b.name as inviter_name, i.created_at, i.expires_at, i.used_at,
                  i.revoked_at
                from invitations i
                join people p on p.id = i.person_id
                left join people b on b.id = i.invited_by
                where i.used_at is null and i.revoked_at is null and i.expires_at > $1
                  and p.left_at is null
                order by i.expires_at, i.id",
            )
            .bind(micros(now))
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(InvitationRow::record).collect()
    }

    /// Consumes an invitation and returns whom it was for; `None` when it is not open (W12).
    pub async fn use_invitation(
        &mut self,
        id: InvitationId,
        now: Timestamp,
    ) -> Result<Option<PersonId>, StoreError> {
        let person: Option<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- invitations: consume one
                update invitations set used_at = $2
                where id = $1 and used_at is null and revoked_at is null and expires_at > $2
                returning person_id",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .fetch_optional(c)
            .await?
        });
        person_opt(person, INVITATIONS, "person_id")
    }

    /// Takes an unused invitation back. `false` when it was used or taken back before.
    pub async fn revoke_invitation(
        &mut self,
        id: InvitationId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let revoked = on!(self, c, {
            sqlx::query(
                "-- invitations: take one back
                update invitations set revoked_at = $2
                where id = $1 and used_at is null and revoked_at is null",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(revoked == 1)
    }

    /// Takes every unused invitation of a person back.
    pub async fn revoke_invitations_of(
        &mut self,
        person: PersonId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- invitations: take a person's back
                update invitations set revoked_at = $2
                where person_id = $1 and used_at is null and revoked_at is null",
            )
            .bind(person.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }
}

/// CI identities (Q16).
impl Tx {
    /// Settles whose a CI identity is. `false` when that was settled before.
    pub async fn link_ci_identity(&mut self, linked: &LinkedIdentity) -> Result<bool, StoreError> {
        let inserted = on!(self, c, {
            sqlx::query(
                "-- ci_identities: settle one
                insert into ci_identities (issuer_url, actor_id, actor_name, person_id, linked_at)
                values ($1, $2, $3, $4, $5)
                on conflict (issuer_url, actor_id) do nothing",
            )
            .bind(&linked.identity.issuer)
            .bind(&linked.identity.actor_id)
            .bind(&linked.actor_name)
            .bind(linked.person.map(|id| id.as_bytes().to_vec()))
            .bind(micros(linked.linked_at))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(inserted == 1)
    }

    /// Forgets whose a CI identity is. `false` when that was not settled.
    pub async fn unlink_ci_identity(&mut self, identity: &CiIdentity) -> Result<bool, StoreError> {
        let deleted = on!(self, c, {
            sqlx::query(
                "-- ci_identities: unsettle one
                delete from ci_identities where issuer_url = $1 and actor_id = $2",
            )
            .bind(&identity.issuer)
            .bind(&identity.actor_id)
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(deleted == 1)
    }

    /// Forgets which CI identities are a person's.
    pub async fn unlink_ci_identities_of(&mut self, person: PersonId) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- ci_identities: unsettle a person's
                delete from ci_identities where person_id = $1",
            )
            .bind(person.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Every settled CI identity, sorted by issuer and id.
    pub async fn ci_identities(&mut self) -> Result<Vec<LinkedIdentity>, StoreError> {
        let rows: Vec<IdentityRow> = on!(self, c, {
            sqlx::query_as(
                "-- ci_identities: all
                select issuer_url, actor_id, actor_name, person_id, linked_at from ci_identities",
            )
            .fetch_all(c)
            .await?
        });
        let mut identities =
            rows.into_iter().map(IdentityRow::record).collect::<Result<Vec<_>, _>>()?;
        // Sorted here, because the databases collate texts differently.
        identities.sort_by(|a, b| a.identity.cmp(&b.identity));
        Ok(identities)
    }
}

/// The roster.
impl Tx {
    /// Makes this transaction the only one that appends to the log until it ends, so that nobody
    /// changes people or rules beside it. On SQLite the writer is alone anyway.
    pub async fn lock_log(&mut self) -> Result<(), StoreError> {
        let Self::Postgres(transaction) = self else { return Ok(()) };
        sqlx::query(
            "-- log: lock the head
            select next_sequence from log_head for update",
        )
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// The roster that people, keys and CI identities give now, as the next revision. Keys that
    /// are suspended or revoked and people who left are not in it. Call [`Self::lock_log`]
    /// before.
    pub async fn compose_roster(&mut self) -> Result<Roster, StoreError> {
        let last: Option<i64> = on!(self, c, {
            sqlx::query_scalar(
                "-- roster_revisions: the newest number
                select max(revision) from roster_revisions",
            )
            .fetch_one(c)
            .await?
        });
        let revision = u64::try_from(last.unwrap_or(0) + 1).ok();
        let key_rows: Vec<RosterKeyRow> = on!(self, c, {
            sqlx::query_as(
                "-- passkeys: those that count
                select person_id, credential_id, public_key, counts_from from passkeys
                where suspended_at is null and revoked_at is null
                order by created_at, id",
            )
            .fetch_all(c)
            .await?
        });
        let mut people: BTreeMap<PersonId, RosterPerson> = BTreeMap::new();
        for PersonRecord { id, role, .. } in self.people().await? {
            let person = RosterPerson { id, role, keys: Vec::new(), ci_identities: Vec::new() };
            people.insert(id, person);
        }
        for row in key_rows {
            let (owner, key) = row.key()?;
            if let Some(person) = people.get_mut(&owner) {
                person.keys.push(key);
            }
        }
        let mut bots = Vec::new();
        for LinkedIdentity { identity, person, .. } in self.ci_identities().await? {
            match person {
                None => bots.push(identity),
                Some(owner) => {
                    if let Some(person) = people.get_mut(&owner) {
                        person.ci_identities.push(identity);
                    }
                }
            }
        }
        Ok(Roster {
            revision: sound(revision, "roster_revisions", "revision")?,
            people: people.into_values().collect(),
            bots,
        })
    }

    /// Stores a roster revision.
    pub async fn insert_roster(
        &mut self,
        roster: &Roster,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let revision = sound(i64::try_from(roster.revision).ok(), "roster_revisions", "revision")?;
        let body = String::from_utf8(roster.to_bytes()).ok();
        let body = sound(body, "roster_revisions", "body")?;
        on!(self, c, {
            sqlx::query(
                "-- roster_revisions: add one
                insert into roster_revisions (revision, at, body, sha256) values ($1, $2, $3, $4)",
            )
            .bind(revision)
            .bind(micros(now))
            .bind(body)
            .bind(roster.digest().as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The roster in force; `None` before there is anybody.
    pub async fn roster(&mut self) -> Result<Option<Roster>, StoreError> {
        let body: Option<String> = on!(self, c, {
            sqlx::query_scalar(
                "-- roster_revisions: the newest
                select body from roster_revisions order by revision desc limit 1",
            )
            .fetch_optional(c)
            .await?
        });
        body.map(|body| sound(serde_json::from_str(&body).ok(), "roster_revisions", "body"))
            .transpose()
    }
}
