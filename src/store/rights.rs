//! What people who left may still be able to do at registries, and who saw that it is gone.

use jiff::Timestamp;

use crate::domain::ids::{PersonId, RightId};
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// What a right is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightKind {
    /// An owner or maintainer of a package at a registry.
    OwnerRow,
    /// A token of theirs that a registry would take.
    Token,
    /// A publisher that they set up here, and perhaps at the registry.
    Publisher,
    /// A credential that they entered here, and may have kept.
    Credential,
}

impl RightKind {
    const ALL: [Self; 4] = [Self::OwnerRow, Self::Token, Self::Publisher, Self::Credential];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnerRow => "owner_row",
            Self::Token => "token",
            Self::Publisher => "publisher",
            Self::Credential => "credential",
        }
    }
}

/// A right to insert.
#[derive(Debug, Clone)]
pub struct NewRight {
    /// Its id.
    pub id: RightId,
    /// Who may hold it.
    pub person: PersonId,
    /// What it is.
    pub kind: RightKind,
    /// The package, the publisher, or what the credential is for.
    pub thing: String,
    /// The registry; empty for a publisher.
    pub place: String,
}

/// A right as stored.
#[derive(Debug, Clone)]
pub struct RightRecord {
    /// Its id.
    pub id: RightId,
    /// What it is.
    pub kind: RightKind,
    /// The package, the publisher, or what the credential is for.
    pub thing: String,
    /// The registry; empty for a publisher.
    pub place: String,
    /// When somebody saw that it is gone.
    pub confirmed_at: Option<Timestamp>,
    /// What whoever saw it is called.
    pub confirmed_by: Option<String>,
}

/// Somebody who left and may still hold something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    /// Who.
    pub person: PersonId,
    /// What they were called.
    pub name: String,
    /// When they left.
    pub left_at: Timestamp,
    /// How many rights nobody saw to be gone.
    pub unconfirmed: u64,
}

row! {
    struct RightRow {
        id: Vec<u8>,
        kind: String,
        thing: String,
        place: String,
        confirmed_at: Option<i64>,
        confirmed_by: Option<String>,
    }
}

const RIGHTS: &str = "leaver_rights";

impl RightRow {
    fn record(self) -> Result<RightRecord, StoreError> {
        let kind = RightKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind);
        Ok(RightRecord {
            id: sound(RightId::from_slice(&self.id), RIGHTS, "id")?,
            kind: sound(kind, RIGHTS, "kind")?,
            thing: self.thing,
            place: self.place,
            confirmed_at: timestamp_opt(self.confirmed_at, RIGHTS, "confirmed_at")?,
            confirmed_by: self.confirmed_by,
        })
    }
}

row! {
    struct LeaverRow {
        id: Vec<u8>,
        name: String,
        left_at: i64,
        unconfirmed: i64,
    }
}

impl LeaverRow {
    fn record(self) -> Result<Leaver, StoreError> {
        const PEOPLE: &str = "people";
        Ok(Leaver {
            person: sound(PersonId::from_slice(&self.id), PEOPLE, "id")?,
            name: self.name,
            left_at: timestamp(self.left_at, PEOPLE, "left_at")?,
            unconfirmed: sound(u64::try_from(self.unconfirmed).ok(), RIGHTS, "id")?,
        })
    }
}

impl Tx {
    /// Inserts a right that nobody confirmed yet.
    pub async fn insert_right(
        &mut self,
        right: &NewRight,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- leaver_rights: add one
                insert into leaver_rights (id, person_id, created_at, kind, thing, place)
                values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(right.id.as_bytes().to_vec())
            .bind(right.person.as_bytes().to_vec())
            .bind(micros(now))
            .bind(right.kind.as_str())
            .bind(&right.thing)
            .bind(&right.place)
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// What one leaver may hold, by registry.
    pub async fn rights_of(&mut self, person: PersonId) -> Result<Vec<RightRecord>, StoreError> {
        let rows: Vec<RightRow> = on!(self, c, {
            sqlx::query_as(
                "-- leaver_rights: one person's
                select r.id, r.kind, r.thing, r.place, r.confirmed_at, p.name as confirmed_by
                from leaver_rights r left join people p on p.id = r.confirmed_by
                where r.person_id = $1
                order by r.place, r.kind, r.thing, r.id",
            )
            .bind(person.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(RightRow::record).collect()
    }

    /// Everybody with rights that nobody confirmed to be gone, who left first before the others.
    pub async fn leavers_with_rights(&mut self) -> Result<Vec<Leaver>, StoreError> {
        let rows: Vec<LeaverRow> = on!(self, c, {
            sqlx::query_as(
                "-- leaver_rights: who may still hold some
                select p.id, p.name, p.left_at, count(*) as unconfirmed
                from leaver_rights r join people p on p.id = r.person_id
                where r.confirmed_at is null and p.left_at is not null
                group by p.id, p.name, p.left_at
                order by p.left_at, p.id",
            )
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(LeaverRow::record).collect()
    }

    /// Notes that somebody saw that a right is gone; the first who did stays.
    pub async fn confirm_right(
        &mut self,
        right: RightId,
        by: PersonId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- leaver_rights: confirm one
                update leaver_rights set confirmed_at = $2, confirmed_by = $3
                where id = $1 and confirmed_at is null",
            )
            .bind(right.as_bytes().to_vec())
            .bind(micros(now))
            .bind(by.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }
}
