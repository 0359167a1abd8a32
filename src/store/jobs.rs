//! Background work: leased with a fencing token, so that a worker that lost its lease cannot write.

use jiff::Timestamp;

use crate::domain::ids::{ArtifactId, AttemptId, JobId, ReleaseId};
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// A job this worker may carry out until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which job.
    pub job: JobId,
    /// On which release.
    pub release: ReleaseId,
    /// Rises with every lease; every later write names it (R1).
    pub fence: i64,
    /// Times it was leased so far, this one included.
    pub attempts: u32,
    /// When the job was queued: when enough people approved, or somebody asked for another try.
    pub queued_at: Timestamp,
}

/// One try at sending one file.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    /// Names it.
    pub id: AttemptId,
    /// Which file.
    pub artifact: ArtifactId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` after a crash means nobody knows what the registry did.
    pub ended_at: Option<Timestamp>,
    /// The classified outcome in one word.
    pub outcome: Option<String>,
    /// The registry's own words.
    pub message: Option<String>,
}

row! {
    struct LeaseRow {
        id: Vec<u8>,
        release_id: Vec<u8>,
        fence: i64,
        attempts: i64,
        created_at: i64,
    }
}

row! {
    struct AttemptRow {
        id: Vec<u8>,
        artifact_id: Vec<u8>,
        started_at: i64,
        ended_at: Option<i64>,
        outcome: Option<String>,
        message: Option<String>,
    }
}

impl Tx {
    /// Queues work on a release. Work that is queued already stays as it is.
    pub async fn queue_job(
        &mut self,
        job: JobId,
        release: ReleaseId,
        run_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- jobs: queue
                insert into jobs (id, release_id, created_at, run_at) values ($1, $2, $3, $4)
                on conflict do nothing",
            )
            .bind(job.as_bytes().to_vec())
            .bind(release.as_bytes().to_vec())
            .bind(micros(now))
            .bind(micros(run_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Leases the job that has been due longest, if any. Replicas never get the same one.
    pub async fn lease_job(
        &mut self,
        owner: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let sql = self.pick(
            "-- jobs: lease the next due
            update jobs set lease_owner = $1, lease_until = $2, fence = fence + 1,
              attempts = attempts + 1
            where id = (
              select id from jobs
              where finished_at is null and run_at <= $3
                and (lease_until is null or lease_until <= $3)
              order by run_at, id limit 1)
            returning id, release_id, fence, attempts, created_at",
            "-- jobs: lease the next due
            update jobs set lease_owner = $1, lease_until = $2, fence = fence + 1,
              attempts = attempts + 1
            where id = (
              select id from jobs
              where finished_at is null and run_at <= $3
                and (lease_until is null or lease_until <= $3)
              order by run_at, id limit 1
              for update skip locked)
            returning id, release_id, fence, attempts, created_at",
        );
        let row: Option<LeaseRow> = on!(self, c, {
            sqlx::query_as(sql)
                .bind(owner)
                .bind(micros(until))
                .bind(micros(now))
                .fetch_optional(c)
                .await?
        });
        row.map(|row| {
            Ok(Lease {
                job: sound(JobId::from_slice(&row.id), "jobs", "id")?,
                release: sound(ReleaseId::from_slice(&row.release_id), "jobs", "release_id")?,
                fence: row.fence,
                attempts: sound(u32::try_from(row.attempts).ok(), "jobs", "attempts")?,
                queued_at: timestamp(row.created_at, "jobs", "created_at")?,
            })
        })
        .transpose()
    }

    /// Prolongs a lease and thereby proves that it is still held; locks the job's row until the
    /// transaction ends. `false` means that another worker has it: stop (R1, R3).
    pub async fn keep_lease(
        &mut self,
        lease: &Lease,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = on!(self, c, {
            sqlx::query(
                "-- jobs: keep the lease
                update jobs set lease_until = $3
                where id = $1 and fence = $2 and finished_at is null",
            )
            .bind(lease.job.as_bytes().to_vec())
            .bind(lease.fence)
            .bind(micros(until))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(done == 1)
    }

    /// Gives a job back to run again later.
    pub async fn postpone_job(
        &mut self,
        lease: &Lease,
        run_at: Timestamp,
        message: &str,
    ) -> Result<bool, StoreError> {
        let done = on!(self, c, {
            sqlx::query(
                "-- jobs: try again later
                update jobs set lease_owner = null, lease_until = null, run_at = $3, message = $4
                where id = $1 and fence = $2 and finished_at is null",
            )
            .bind(lease.job.as_bytes().to_vec())
            .bind(lease.fence)
            .bind(micros(run_at))
            .bind(message)
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(done == 1)
    }

    /// Has the open job of a release looked at again now, unless a worker has it.
    pub async fn hasten_job(
        &mut self,
        release: ReleaseId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- jobs: do not wait any longer
                update jobs set run_at = $2
                where release_id = $1 and finished_at is null and lease_until is null",
            )
            .bind(release.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Has every open job looked at again now, but those that a worker has.
    pub async fn hasten_jobs(&mut self, now: Timestamp) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- jobs: none waits any longer
                update jobs set run_at = $1
                where run_at > $1 and finished_at is null and lease_until is null",
            )
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Ends a job.
    pub async fn finish_job(
        &mut self,
        lease: &Lease,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = on!(self, c, {
            sqlx::query(
                "-- jobs: done
                update jobs set finished_at = $3, message = $4
                where id = $1 and fence = $2 and finished_at is null",
            )
            .bind(lease.job.as_bytes().to_vec())
            .bind(lease.fence)
            .bind(micros(now))
            .bind(message)
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(done == 1)
    }

    /// Notes that sending is about to begin. Committed before the first byte leaves.
    pub async fn begin_attempt(
        &mut self,
        attempt: AttemptId,
        artifact: ArtifactId,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- attempts: about to send
                insert into attempts (id, release_id, artifact_id, fence, started_at)
                values ($1, $2, $3, $4, $5)",
            )
            .bind(attempt.as_bytes().to_vec())
            .bind(lease.release.as_bytes().to_vec())
            .bind(artifact.as_bytes().to_vec())
            .bind(lease.fence)
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Notes what came of an attempt.
    pub async fn end_attempt(
        &mut self,
        attempt: AttemptId,
        outcome: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- attempts: ended
                update attempts set ended_at = $2, outcome = $3, message = $4
                where id = $1 and ended_at is null",
            )
            .bind(attempt.as_bytes().to_vec())
            .bind(micros(now))
            .bind(outcome)
            .bind(message)
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// All tries at sending the files of a release, oldest first.
    pub async fn attempts(&mut self, release: ReleaseId) -> Result<Vec<AttemptRecord>, StoreError> {
        let rows: Vec<AttemptRow> = on!(self, c, {
            sqlx::query_as(
                "-- attempts: of one release
                select id, artifact_id, started_at, ended_at, outcome, message
                from attempts where release_id = $1 order by started_at, id",
            )
            .bind(release.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        rows.into_iter()
            .map(|row| {
                Ok(AttemptRecord {
                    id: sound(AttemptId::from_slice(&row.id), "attempts", "id")?,
                    artifact: sound(
                        ArtifactId::from_slice(&row.artifact_id),
                        "attempts",
                        "artifact_id",
                    )?,
                    started_at: timestamp(row.started_at, "attempts", "started_at")?,
                    ended_at: timestamp_opt(row.ended_at, "attempts", "ended_at")?,
                    outcome: row.outcome,
                    message: row.message,
                })
            })
            .collect()
    }
}
