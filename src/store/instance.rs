//! This installation: one row that says who it is and whether somebody has claimed it.
//!
//! The row, the head of the log and the genesis entry appear together or not at all.

use jiff::Timestamp;

use crate::domain::digest::Sha256;
use crate::domain::event::Event;
use crate::domain::ids::InstanceId;
use crate::domain::log::tree::Frontier;
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// This installation as stored.
#[derive(Debug, Clone)]
pub struct InstanceRecord {
    /// Its id.
    pub id: InstanceId,
    /// Origin as browsers see it, the one in the genesis entry.
    pub origin: String,
    /// When it was founded.
    pub created_at: Timestamp,
    /// Wrong claim codes since the present code was written.
    pub claim_tries: u32,
    /// When its first person was named; `None` while it waits for one.
    pub claimed_at: Option<Timestamp>,
}

/// An installation to found.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// Its id.
    pub id: InstanceId,
    /// Origin as browsers see it.
    pub origin: String,
    /// SHA-256 of the claim code.
    pub claim_hash: Sha256,
}

row! {
    struct InstanceRow {
        id: Vec<u8>,
        origin: String,
        created_at: i64,
        claim_tries: i64,
        claimed_at: Option<i64>,
    }
}

const INSTANCE: &str = "instance";

impl InstanceRow {
    fn record(self) -> Result<InstanceRecord, StoreError> {
        Ok(InstanceRecord {
            id: sound(InstanceId::from_slice(&self.id), INSTANCE, "id")?,
            origin: self.origin,
            created_at: timestamp(self.created_at, INSTANCE, "created_at")?,
            claim_tries: sound(u32::try_from(self.claim_tries).ok(), INSTANCE, "claim_tries")?,
            claimed_at: timestamp_opt(self.claimed_at, INSTANCE, "claimed_at")?,
        })
    }
}

impl Tx {
    /// This installation; `None` before it was founded.
    pub async fn instance(&mut self) -> Result<Option<InstanceRecord>, StoreError> {
        let row: Option<InstanceRow> = on!(self, c, {
            sqlx::query_as(
                "-- instance: the one row
                select id, origin, created_at, claim_tries, claimed_at from instance",
            )
            .fetch_optional(c)
            .await?
        });
        row.map(InstanceRow::record).transpose()
    }

    /// Writes the row, the head of the log and the genesis entry. `false`, and nothing written,
    /// when the installation is there already: another replica was faster.
    pub async fn found(
        &mut self,
        instance: &NewInstance,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let founded = on!(self, c, {
            sqlx::query(
                "-- instance: found
                insert into instance (singleton, id, origin, created_at, claim_hash)
                values (1, $1, $2, $3, $4)
                on conflict (singleton) do nothing",
            )
            .bind(instance.id.as_bytes().to_vec())
            .bind(&instance.origin)
            .bind(micros(now))
            .bind(instance.claim_hash.as_bytes().to_vec())
            .execute(c)
            .await?
            .rows_affected()
        });
        if founded == 0 {
            return Ok(false);
        }
        on!(self, c, {
            sqlx::query(
                "-- log: begin
                insert into log_head (singleton, next_sequence, edge) values (1, 0, $1)",
            )
            .bind(Frontier::default().edge_bytes())
            .execute(c)
            .await?;
        });
        let genesis = Event::Genesis { instance: instance.id, origin: instance.origin.clone() };
        self.append(now, genesis).await?;
        Ok(true)
    }

    /// Puts another claim code in place and forgets the wrong tries. `false` once claimed.
    pub async fn replace_claim_code(&mut self, claim_hash: &Sha256) -> Result<bool, StoreError> {
        let replaced = on!(self, c, {
            sqlx::query(
                "-- instance: replace the claim code
                update instance set claim_hash = $1, claim_tries = 0 where claimed_at is null",
            )
            .bind(claim_hash.as_bytes().to_vec())
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(replaced == 1)
    }

    /// Consumes the claim code. `false` when it is another one, or the installation is claimed.
    pub async fn use_claim_code(
        &mut self,
        claim_hash: &Sha256,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let used = on!(self, c, {
            sqlx::query(
                "-- instance: consume the claim code
                update instance set claimed_at = $2, claim_hash = null
                where claimed_at is null and claim_hash = $1",
            )
            .bind(claim_hash.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(used == 1)
    }

    /// Counts a wrong claim code and returns how many there were since the present code was
    /// written; `None` once claimed.
    pub async fn count_claim_try(&mut self) -> Result<Option<u32>, StoreError> {
        let tries: Option<i64> = on!(self, c, {
            sqlx::query_scalar(
                "-- instance: count a wrong claim code
                update instance set claim_tries = claim_tries + 1
                where claimed_at is null
                returning claim_tries",
            )
            .fetch_optional(c)
            .await?
        });
        tries.map(|tries| sound(u32::try_from(tries).ok(), INSTANCE, "claim_tries")).transpose()
    }

    /// Marks the installation as claimed without a code, for set-up files applied on the host.
    /// `false` when it is claimed already.
    pub async fn mark_claimed(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let marked = on!(self, c, {
            sqlx::query(
                "-- instance: mark as claimed
                update instance set claimed_at = $1, claim_hash = null where claimed_at is null",
            )
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(marked == 1)
    }
}
