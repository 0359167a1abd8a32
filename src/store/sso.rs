//! Accounts of the single sign-on that are somebody's.

use jiff::Timestamp;

use crate::domain::ids::PersonId;
use crate::store::{StoreError, Tx, micros, sound, timestamp};

const ACCOUNTS: &str = "sso_accounts";

impl Tx {
    /// Whose an account is; nobody's after they left.
    pub async fn sso_owner(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<PersonId>, StoreError> {
        let person: Option<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- sso_accounts: whose one is
                select a.person_id from sso_accounts a join people p on p.id = a.person_id
                where a.issuer_url = $1 and a.subject = $2 and p.left_at is null",
            )
            .bind(issuer)
            .bind(subject)
            .fetch_optional(c)
            .await?
        });
        person.map(|id| sound(PersonId::from_slice(&id), ACCOUNTS, "person_id")).transpose()
    }

    /// Since when a person's account at an issuer is linked.
    pub async fn sso_linked_at(
        &mut self,
        issuer: &str,
        person: PersonId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = on!(self, c, {
            sqlx::query_scalar(
                "-- sso_accounts: a person's
                select linked_at from sso_accounts where issuer_url = $1 and person_id = $2",
            )
            .bind(issuer)
            .bind(person.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        at.map(|at| timestamp(at, ACCOUNTS, "linked_at")).transpose()
    }

    /// Links an account to a person. `false` when it is somebody's already.
    pub async fn link_sso(
        &mut self,
        (issuer, subject): (&str, &str),
        person: PersonId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let linked = on!(self, c, {
            sqlx::query(
                "-- sso_accounts: link one
                insert into sso_accounts (issuer_url, subject, person_id, linked_at)
                values ($1, $2, $3, $4)
                on conflict (issuer_url, subject) do nothing",
            )
            .bind(issuer)
            .bind(subject)
            .bind(person.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(linked == 1)
    }

    /// Forgets a person's accounts.
    pub async fn unlink_sso_of(&mut self, person: PersonId) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- sso_accounts: forget a person's
                delete from sso_accounts where person_id = $1",
            )
            .bind(person.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }
}
