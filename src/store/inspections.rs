//! Which sealed releases are to be looked into, and what was found in them.

use jiff::Timestamp;

use crate::domain::digest::Sha256;
use crate::domain::ids::{PackageId, ReleaseId};
use crate::store::{StoreError, Tx, micros, sound};

/// A release that is to be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueInspection {
    /// Which.
    pub release: ReleaseId,
    /// Tries that began, this one too.
    pub tries: u32,
}

row! {
    struct InspectionRow {
        release_id: Vec<u8>,
        tries: i64,
    }
}

const INSPECTIONS: &str = "inspections";

impl InspectionRow {
    fn record(self) -> Result<DueInspection, StoreError> {
        Ok(DueInspection {
            release: sound(ReleaseId::from_slice(&self.release_id), INSPECTIONS, "release_id")?,
            tries: sound(u32::try_from(self.tries).ok(), INSPECTIONS, "tries")?,
        })
    }
}

impl Tx {
    /// Has a release looked into from `due_at` on, with all its tries before it.
    pub async fn queue_inspection(
        &mut self,
        release: ReleaseId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- inspections: queue
                insert into inspections (release_id, due_at) values ($1, $2)
                on conflict (release_id) do update set due_at = excluded.due_at, tries = 0",
            )
            .bind(release.as_bytes().to_vec())
            .bind(micros(due_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Takes the release that has been due longest, if any: another replica takes it no sooner
    /// than `until`. One that ends meanwhile is done twice, which does no harm.
    pub async fn take_inspection(
        &mut self,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<DueInspection>, StoreError> {
        let sql = self.pick(
            "-- inspections: take the next due
            update inspections set due_at = $1, tries = tries + 1
            where release_id = (
              select release_id from inspections where due_at <= $2
              order by due_at, release_id limit 1)
            returning release_id, tries",
            "-- inspections: take the next due
            update inspections set due_at = $1, tries = tries + 1
            where release_id = (
              select release_id from inspections where due_at <= $2
              order by due_at, release_id limit 1
              for update skip locked)
            returning release_id, tries",
        );
        let row: Option<InspectionRow> = on!(self, c, {
            sqlx::query_as(sql).bind(micros(until)).bind(micros(now)).fetch_optional(c).await?
        });
        row.map(InspectionRow::record).transpose()
    }

    /// Has another try begin later.
    pub async fn postpone_inspection(
        &mut self,
        release: ReleaseId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- inspections: try again later
                update inspections set due_at = $2 where release_id = $1",
            )
            .bind(release.as_bytes().to_vec())
            .bind(micros(due_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// There is nothing more to look into.
    pub async fn end_inspection(&mut self, release: ReleaseId) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- inspections: done
                delete from inspections where release_id = $1",
            )
            .bind(release.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Whether a release is looked into now, or will be.
    pub async fn is_to_be_inspected(&mut self, release: ReleaseId) -> Result<bool, StoreError> {
        let found: Option<i64> = on!(self, c, {
            sqlx::query_scalar(
                "-- inspections: whether there is one of a release
                select tries from inspections where release_id = $1",
            )
            .bind(release.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        Ok(found.is_some())
    }

    /// Keeps a report. The same one again is the last one again.
    pub async fn keep_report(
        &mut self,
        release: ReleaseId,
        (sha256, body): (Sha256, &str),
        source: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- reports: keep one
                insert into reports (release_id, sha256, at, body, source) values ($1, $2, $3, $4, $5)
                on conflict (release_id, sha256) do update set at = excluded.at",
            )
            .bind(release.as_bytes().to_vec())
            .bind(sha256.as_bytes().to_vec())
            .bind(micros(now))
            .bind(body)
            .bind(source)
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The exact bytes of a report.
    pub async fn report(
        &mut self,
        release: ReleaseId,
        sha256: Sha256,
    ) -> Result<Option<String>, StoreError> {
        Ok(on!(self, c, {
            sqlx::query_scalar(
                "-- reports: one
                select body from reports where release_id = $1 and sha256 = $2",
            )
            .bind(release.as_bytes().to_vec())
            .bind(sha256.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        }))
    }

    /// What was found in the source repository when a release was looked into last.
    pub async fn last_source(&mut self, release: ReleaseId) -> Result<Option<String>, StoreError> {
        let source: Option<Option<String>> = on!(self, c, {
            sqlx::query_scalar(
                "-- reports: the last look at the source
                select source from reports where release_id = $1 order by at desc limit 1",
            )
            .bind(release.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        Ok(source.flatten())
    }

    /// The releases of a package that were published, whose findings people accepted, the last
    /// one first.
    pub async fn last_published(
        &mut self,
        package: PackageId,
        count: u32,
    ) -> Result<Vec<ReleaseId>, StoreError> {
        let ids: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- releases: the last ones published
                select id from releases where package_id = $1 and state = 'published'
                order by changed_at desc, id desc limit $2",
            )
            .bind(package.as_bytes().to_vec())
            .bind(i64::from(count))
            .fetch_all(c)
            .await?
        });
        ids.iter().map(|id| sound(ReleaseId::from_slice(id), "releases", "id")).collect()
    }
}
