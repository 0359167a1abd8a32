//! Proposals as the pages list them. The log decides what becomes of one.

use jiff::Timestamp;

use crate::domain::ids::ProposalId;
use crate::domain::proposal::Proposal;
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// Where a proposal is, as last recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposalRow {
    /// It waits.
    Open,
    /// It took effect.
    Enacted,
    /// It was taken back.
    Withdrawn,
    /// Somebody objected.
    Rejected,
    /// Not enough people signed in time.
    Expired,
    /// It did not fit any more.
    Stale,
}

impl ProposalRow {
    const ALL: [Self; 6] =
        [Self::Open, Self::Enacted, Self::Withdrawn, Self::Rejected, Self::Expired, Self::Stale];

    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Enacted => "enacted",
            Self::Withdrawn => "withdrawn",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Stale => "stale",
        }
    }
}

/// A proposal as stored.
#[derive(Debug, Clone)]
pub struct StoredProposal {
    /// What is proposed.
    pub proposal: Proposal,
    /// What carrying it out needs beside, JSON.
    pub details: String,
    /// Since when.
    pub at: Timestamp,
    /// Where it is.
    pub state: ProposalRow,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it takes effect, if the recovery key signed it.
    pub recovered_until: Option<Timestamp>,
}

row! {
    struct Row {
        body: String,
        details: String,
        at: i64,
        state: String,
        ended_at: Option<i64>,
        recovered_until: Option<i64>,
    }
}

const PROPOSALS: &str = "proposals";

impl Row {
    fn parse(self) -> Result<StoredProposal, StoreError> {
        let state = ProposalRow::ALL.into_iter().find(|state| state.as_str() == self.state);
        Ok(StoredProposal {
            proposal: sound(serde_json::from_str(&self.body).ok(), PROPOSALS, "body")?,
            details: self.details,
            at: timestamp(self.at, PROPOSALS, "at")?,
            state: sound(state, PROPOSALS, "state")?,
            ended_at: timestamp_opt(self.ended_at, PROPOSALS, "ended_at")?,
            recovered_until: timestamp_opt(self.recovered_until, PROPOSALS, "recovered_until")?,
        })
    }
}

impl Tx {
    /// Keeps a new proposal.
    pub async fn add_proposal(
        &mut self,
        proposal: &Proposal,
        details: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let body = sound(String::from_utf8(proposal.to_bytes()).ok(), PROPOSALS, "body")?;
        on!(self, c, {
            sqlx::query(
                "-- proposals: add one
                insert into proposals (id, proposed_by, at, body, details, state)
                values ($1, $2, $3, $4, $5, 'open')",
            )
            .bind(proposal.id.as_bytes().to_vec())
            .bind(proposal.by.as_bytes().to_vec())
            .bind(micros(now))
            .bind(body)
            .bind(details)
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// One proposal.
    pub async fn proposal(&mut self, id: ProposalId) -> Result<Option<StoredProposal>, StoreError> {
        let row: Option<Row> = on!(self, c, {
            sqlx::query_as(
                "-- proposals: one
                select body, details, at, state, ended_at, recovered_until from proposals
                where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(Row::parse).transpose()
    }

    /// The newest proposals, those that wait first.
    pub async fn proposals(&mut self, limit: u32) -> Result<Vec<StoredProposal>, StoreError> {
        let rows: Vec<Row> = on!(self, c, {
            sqlx::query_as(
                "-- proposals: the newest
                select body, details, at, state, ended_at, recovered_until from proposals
                order by case state when 'open' then 0 else 1 end, at desc, id desc limit $1",
            )
            .bind(i64::from(limit))
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(Row::parse).collect()
    }

    /// Notes that the recovery key signed a proposal, and when it takes effect.
    pub async fn mark_recovered(
        &mut self,
        id: ProposalId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- proposals: the recovery key signed one
                update proposals set recovered_until = $2 where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(until))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Proposals that wait because the recovery key signed them, oldest first.
    pub async fn waiting_recoveries(&mut self) -> Result<Vec<StoredProposal>, StoreError> {
        let rows: Vec<Row> = on!(self, c, {
            sqlx::query_as(
                "-- proposals: those that wait by the recovery key
                select body, details, at, state, ended_at, recovered_until from proposals
                where state = 'open' and recovered_until is not null
                order by at, id",
            )
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(Row::parse).collect()
    }

    /// Proposals that wait, oldest first.
    pub async fn waiting_proposals(&mut self) -> Result<Vec<ProposalId>, StoreError> {
        let ids: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- proposals: those that wait
                select id from proposals where state = 'open' order by at, id",
            )
            .fetch_all(c)
            .await?
        });
        ids.iter().map(|id| sound(ProposalId::from_slice(id), PROPOSALS, "id")).collect()
    }

    /// Ends a proposal that waits. `false` when it does not.
    pub async fn end_proposal(
        &mut self,
        id: ProposalId,
        state: ProposalRow,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let ended = on!(self, c, {
            sqlx::query(
                "-- proposals: end one
                update proposals set state = $2, ended_at = $3 where id = $1 and state = 'open'",
            )
            .bind(id.as_bytes().to_vec())
            .bind(state.as_str())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(ended == 1)
    }
}
