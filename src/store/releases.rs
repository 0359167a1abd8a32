//! Releases with their artifacts and decisions: one aggregate, one row lock.
//!
//! State changes are single guarded statements; a caller that lost a race sees `false` and
//! re-reads. Rows are decoded into typed records here, and a row that cannot be is a fault that
//! names its table and column.

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::artifact::{ArtifactKind, Digests, Facts};
use crate::domain::decision::Decision;
use crate::domain::digest::Sha256;
use crate::domain::ids::{ArtifactId, PackageId, PasskeyId, PolicyId, PublisherId, ReleaseId};
use crate::domain::manifest::{Access, SealedManifest};
use crate::domain::package::Ecosystem;
use crate::domain::release::State;
use crate::domain::roster::CiIdentity;
use crate::domain::statement::Statement;
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// A release to insert. It starts out open.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Its id.
    pub id: ReleaseId,
    /// Which package.
    pub package: PackageId,
    /// The version as the files say it.
    pub version: String,
    /// Which publisher staged it.
    pub publisher: PublisherId,
    /// Names the CI run.
    pub run_key: String,
    /// Canonical JSON of the verified claims.
    pub claims: String,
    /// Digest of `claims`.
    pub claims_sha256: Sha256,
    /// Who started the run.
    pub actor: CiIdentity,
    /// What the CI system calls them.
    pub actor_name: String,
    /// The uploading client's user agent.
    pub client: String,
    /// npm only.
    pub dist_tag: Option<String>,
    /// npm only.
    pub access: Option<Access>,
    /// When an open release is sealed by quiet.
    pub seal_after: Timestamp,
}

/// What sealing fixed.
#[derive(Debug, Clone)]
pub struct Seal {
    /// Exactly what it consists of.
    pub manifest: SealedManifest,
    /// The policy in force then.
    pub policy: PolicyId,
    /// Its revision.
    pub policy_revision: u32,
    /// When.
    pub sealed_at: Timestamp,
    /// Nothing is sent after this.
    pub expires_at: Timestamp,
}

/// A release as stored.
#[derive(Debug, Clone)]
pub struct ReleaseRecord {
    /// Its id.
    pub id: ReleaseId,
    /// Which package.
    pub package: PackageId,
    /// The package's ecosystem.
    pub ecosystem: Ecosystem,
    /// The package's name as registered.
    pub package_name: String,
    /// The version as the files say it.
    pub version: String,
    /// Which publisher staged it.
    pub publisher: PublisherId,
    /// Names the CI run.
    pub run_key: String,
    /// Canonical JSON of the verified claims.
    pub claims: String,
    /// Digest of `claims`.
    pub claims_sha256: Sha256,
    /// Who started the run.
    pub actor: CiIdentity,
    /// What the CI system calls them.
    pub actor_name: String,
    /// The uploading client's user agent.
    pub client: String,
    /// npm only.
    pub dist_tag: Option<String>,
    /// npm only.
    pub access: Option<Access>,
    /// When the first file came.
    pub created_at: Timestamp,
    /// Set once, when sealed.
    pub seal: Option<Seal>,
    /// Where it stands.
    pub state: State,
    /// When an open release is sealed by quiet.
    pub seal_after: Timestamp,
    /// The last change of state.
    pub changed_at: Timestamp,
    /// When it reached its end.
    pub finished_at: Option<Timestamp>,
    /// The newer candidate, if superseded.
    pub superseded_by: Option<ReleaseId>,
    /// The registry's own words, or our reason.
    pub message: Option<String>,
}

/// One file as stored.
#[derive(Debug, Clone)]
pub struct ArtifactRecord {
    /// Its id.
    pub id: ArtifactId,
    /// Its release.
    pub release: ReleaseId,
    /// The file name at the registry.
    pub filename: String,
    /// What sort of file.
    pub kind: ArtifactKind,
    /// Size in bytes.
    pub size_bytes: u64,
    /// All digests computed while it streamed in.
    pub digests: Digests,
    /// What the file itself says.
    pub facts: Facts,
    /// JSON of claimed-against-embedded differences, for people.
    pub differences: String,
    /// Digest of the rebuilt publish document.
    pub document_sha256: Sha256,
    /// When it arrived.
    pub staged_at: Timestamp,
    /// When the registry was seen to hold it.
    pub forwarded_at: Option<Timestamp>,
}

/// One decision as stored.
#[derive(Debug, Clone)]
pub struct DecisionRecord {
    /// The whole decision.
    pub decision: Decision,
    /// With which passkey.
    pub passkey: PasskeyId,
    /// The passkey's name.
    pub passkey_name: String,
    /// The person's name.
    pub person_name: String,
    /// Note or reason.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The model of the passkey.
    pub aaguid: Uuid,
    /// Where it came from, as far as that is known: alike with another one's or not (W19).
    pub place: Option<Sha256>,
}

/// Which releases to list.
#[derive(Debug, Clone, Default)]
pub struct ReleaseFilter {
    /// Only these states; all when empty.
    pub states: Vec<State>,
    /// Only packages whose name contains this.
    pub search: Option<String>,
    /// Only this package.
    pub package: Option<PackageId>,
    /// Only what this CI run staged.
    pub run_key: Option<String>,
    /// Only releases older than this one (cursor).
    pub before: Option<ReleaseId>,
    /// At most this many.
    pub limit: u32,
}

row! {
    struct ReleaseRow {
        id: Vec<u8>,
        package_id: Vec<u8>,
        ecosystem: String,
        package_name: String,
        version: String,
        publisher_id: Vec<u8>,
        run_key: String,
        claims: String,
        claims_sha256: Vec<u8>,
        actor_issuer: String,
        actor_id: String,
        actor_name: String,
        client: String,
        dist_tag: Option<String>,
        access: Option<String>,
        created_at: i64,
        manifest: Option<Vec<u8>>,
        policy_id: Option<Vec<u8>>,
        policy_revision: Option<i64>,
        sealed_at: Option<i64>,
        expires_at: Option<i64>,
        state: String,
        seal_after: i64,
        changed_at: i64,
        finished_at: Option<i64>,
        superseded_by: Option<Vec<u8>>,
        message: Option<String>,
    }
}

const RELEASES: &str = "releases";

const HOLDING: &str = "-- releases: the one that holds a version
    select r.*, p.ecosystem, p.name as package_name
    from releases r join packages p on p.id = r.package_id
    where r.package_id = $1 and r.version = $2
      and r.state not in ('rejected', 'expired', 'superseded', 'failed')";

impl ReleaseRow {
    fn record(self) -> Result<ReleaseRecord, StoreError> {
        let at = |value, column| timestamp(value, RELEASES, column);
        let access = match self.access.as_deref() {
            Some(text) => Some(sound(Access::parse(text), RELEASES, "access")?),
            None => None,
        };
        let seal = match (self.manifest, self.policy_id, self.policy_revision) {
            (Some(manifest), Some(policy), Some(revision)) => Some(Seal {
                manifest: sound(SealedManifest::from_bytes(manifest).ok(), RELEASES, "manifest")?,
                policy: sound(PolicyId::from_slice(&policy), RELEASES, "policy_id")?,
                policy_revision: sound(u32::try_from(revision).ok(), RELEASES, "policy_revision")?,
                sealed_at: at(sound(self.sealed_at, RELEASES, "sealed_at")?, "sealed_at")?,
                expires_at: at(sound(self.expires_at, RELEASES, "expires_at")?, "expires_at")?,
            }),
            _ => None,
        };
        let superseded_by = match self.superseded_by {
            Some(id) => Some(sound(ReleaseId::from_slice(&id), RELEASES, "superseded_by")?),
            None => None,
        };
        Ok(ReleaseRecord {
            id: sound(ReleaseId::from_slice(&self.id), RELEASES, "id")?,
            package: sound(PackageId::from_slice(&self.package_id), RELEASES, "package_id")?,
            ecosystem: sound(Ecosystem::parse(&self.ecosystem), "packages", "ecosystem")?,
            package_name: self.package_name,
            version: self.version,
            publisher: sound(
                PublisherId::from_slice(&self.publisher_id),
                RELEASES,
                "publisher_id",
            )?,
            run_key: self.run_key,
            claims: self.claims,
            claims_sha256: sound(
                Sha256::from_slice(&self.claims_sha256),
                RELEASES,
                "claims_sha256",
            )?,
            actor: CiIdentity { issuer: self.actor_issuer, actor_id: self.actor_id },
            actor_name: self.actor_name,
            client: self.client,
            dist_tag: self.dist_tag,
            access,
            created_at: at(self.created_at, "created_at")?,
            seal,
            state: sound(State::parse(&self.state), RELEASES, "state")?,
            seal_after: at(self.seal_after, "seal_after")?,
            changed_at: at(self.changed_at, "changed_at")?,
            finished_at: timestamp_opt(self.finished_at, RELEASES, "finished_at")?,
            superseded_by,
            message: self.message,
        })
    }
}

row! {
    struct ArtifactRow {
        id: Vec<u8>,
        release_id: Vec<u8>,
        filename: String,
        kind: String,
        size_bytes: i64,
        digests: String,
        facts: String,
        differences: String,
        document_sha256: Vec<u8>,
        staged_at: i64,
        forwarded_at: Option<i64>,
    }
}

const ARTIFACTS: &str = "artifacts";

impl ArtifactRow {
    fn record(self) -> Result<ArtifactRecord, StoreError> {
        Ok(ArtifactRecord {
            id: sound(ArtifactId::from_slice(&self.id), ARTIFACTS, "id")?,
            release: sound(ReleaseId::from_slice(&self.release_id), ARTIFACTS, "release_id")?,
            filename: self.filename,
            kind: sound(ArtifactKind::parse(&self.kind), ARTIFACTS, "kind")?,
            size_bytes: sound(u64::try_from(self.size_bytes).ok(), ARTIFACTS, "size_bytes")?,
            digests: sound(serde_json::from_str(&self.digests).ok(), ARTIFACTS, "digests")?,
            facts: sound(serde_json::from_str(&self.facts).ok(), ARTIFACTS, "facts")?,
            differences: self.differences,
            document_sha256: sound(
                Sha256::from_slice(&self.document_sha256),
                ARTIFACTS,
                "document_sha256",
            )?,
            staged_at: timestamp(self.staged_at, ARTIFACTS, "staged_at")?,
            forwarded_at: timestamp_opt(self.forwarded_at, ARTIFACTS, "forwarded_at")?,
        })
    }
}

row! {
    struct DecisionRow {
        passkey_id: Vec<u8>,
        passkey_name: String,
        person_name: String,
        reason: Option<String>,
        body: String,
        at: i64,
        aaguid: Vec<u8>,
        place: Option<Vec<u8>>,
    }
}

impl DecisionRow {
    fn record(self) -> Result<DecisionRecord, StoreError> {
        Ok(DecisionRecord {
            decision: sound(serde_json::from_str(&self.body).ok(), "decisions", "body")?,
            passkey: sound(PasskeyId::from_slice(&self.passkey_id), "decisions", "passkey_id")?,
            passkey_name: self.passkey_name,
            person_name: self.person_name,
            reason: self.reason,
            at: timestamp(self.at, "decisions", "at")?,
            aaguid: sound(Uuid::from_slice(&self.aaguid).ok(), "passkeys", "aaguid")?,
            place: self
                .place
                .map(|place| sound(Sha256::from_slice(&place), "decisions", "place"))
                .transpose()?,
        })
    }
}

impl Tx {
    /// Inserts an open release. A second one that would hold the same version is a
    /// [`StoreError::Conflict`].
    pub async fn insert_release(
        &mut self,
        release: &NewRelease,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- releases: open one
                insert into releases (id, package_id, version, publisher_id, run_key, claims,
                  claims_sha256, actor_issuer, actor_id, actor_name, client, dist_tag, access,
                  created_at, state, seal_after, changed_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'open', $15, $14)",
            )
            .bind(release.id.as_bytes().to_vec())
            .bind(release.package.as_bytes().to_vec())
            .bind(&release.version)
            .bind(release.publisher.as_bytes().to_vec())
            .bind(&release.run_key)
            .bind(&release.claims)
            .bind(release.claims_sha256.as_bytes().to_vec())
            .bind(&release.actor.issuer)
            .bind(&release.actor.actor_id)
            .bind(&release.actor_name)
            .bind(&release.client)
            .bind(&release.dist_tag)
            .bind(release.access.map(Access::as_str))
            .bind(micros(now))
            .bind(micros(release.seal_after))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// One release.
    pub async fn release(&mut self, id: ReleaseId) -> Result<Option<ReleaseRecord>, StoreError> {
        let row: Option<ReleaseRow> = on!(self, c, {
            sqlx::query_as(
                "-- releases: one by id
                select r.*, p.ecosystem, p.name as package_name
                from releases r join packages p on p.id = r.package_id
                where r.id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(ReleaseRow::record).transpose()
    }

    /// One release, its row locked until the transaction ends. On SQLite the writer is alone.
    pub async fn release_locked(
        &mut self,
        id: ReleaseId,
    ) -> Result<Option<ReleaseRecord>, StoreError> {
        let sql = self.pick(
            "-- releases: one by id
            select r.*, p.ecosystem, p.name as package_name
            from releases r join packages p on p.id = r.package_id
            where r.id = $1",
            "-- releases: one by id, locked
            select r.*, p.ecosystem, p.name as package_name
            from releases r join packages p on p.id = r.package_id
            where r.id = $1
            for update of r",
        );
        let row: Option<ReleaseRow> = on!(self, c, {
            sqlx::query_as(sql).bind(id.as_bytes().to_vec()).fetch_optional(c).await?
        });
        row.map(ReleaseRow::record).transpose()
    }

    /// The release that holds a version, its row locked until the transaction ends.
    pub async fn release_holding(
        &mut self,
        package: PackageId,
        version: &str,
    ) -> Result<Option<ReleaseRecord>, StoreError> {
        let sql = self.pick(
            HOLDING,
            "-- releases: the one that holds a version, locked
            select r.*, p.ecosystem, p.name as package_name
            from releases r join packages p on p.id = r.package_id
            where r.package_id = $1 and r.version = $2
              and r.state not in ('rejected', 'expired', 'superseded', 'failed')
            for update of r",
        );
        let row: Option<ReleaseRow> = on!(self, c, {
            sqlx::query_as(sql)
                .bind(package.as_bytes().to_vec())
                .bind(version)
                .fetch_optional(c)
                .await?
        });
        row.map(ReleaseRow::record).transpose()
    }

    /// The release that holds a version, as a snapshot sees it.
    pub async fn release_seen_holding(
        &mut self,
        package: PackageId,
        version: &str,
    ) -> Result<Option<ReleaseRecord>, StoreError> {
        let row: Option<ReleaseRow> = on!(self, c, {
            sqlx::query_as(HOLDING)
                .bind(package.as_bytes().to_vec())
                .bind(version)
                .fetch_optional(c)
                .await?
        });
        row.map(ReleaseRow::record).transpose()
    }

    /// The versions of a package that registries were seen to hold.
    pub async fn published_versions(
        &mut self,
        package: PackageId,
    ) -> Result<Vec<String>, StoreError> {
        Ok(on!(self, c, {
            sqlx::query_scalar(
                "-- releases: published versions of a package
                select version from releases
                where package_id = $1 and state = 'published' order by id",
            )
            .bind(package.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        }))
    }

    /// Moves the quiet deadline of an open release.
    pub async fn postpone_seal(
        &mut self,
        id: ReleaseId,
        seal_after: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- releases: a file came, wait again
                update releases set seal_after = $2 where id = $1 and state = 'open'",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(seal_after))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Fixes an open release for good. `false` when it is not open any more.
    pub async fn seal_release(&mut self, id: ReleaseId, seal: &Seal) -> Result<bool, StoreError> {
        let done = on!(self, c, {
            sqlx::query(
                "-- releases: seal
                update releases set manifest = $2, manifest_sha256 = $3, policy_id = $4,
                  policy_revision = $5, sealed_at = $6, expires_at = $7, changed_at = $6,
                  state = 'awaiting'
                where id = $1 and state = 'open'",
            )
            .bind(id.as_bytes().to_vec())
            .bind(seal.manifest.bytes().to_vec())
            .bind(seal.manifest.digest().as_bytes().to_vec())
            .bind(seal.policy.as_bytes().to_vec())
            .bind(i64::from(seal.policy_revision))
            .bind(micros(seal.sealed_at))
            .bind(micros(seal.expires_at))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(done == 1)
    }

    /// Moves a release from one state to another. `false` when it is not in `from` any more.
    pub async fn move_release(
        &mut self,
        id: ReleaseId,
        from: State,
        to: State,
        message: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let finished = to.is_final().then(|| micros(now));
        let done = on!(self, c, {
            sqlx::query(
                "-- releases: change state
                update releases set state = $3, message = $4, changed_at = $5, finished_at = $6
                where id = $1 and state = $2",
            )
            .bind(id.as_bytes().to_vec())
            .bind(from.as_str())
            .bind(to.as_str())
            .bind(message)
            .bind(micros(now))
            .bind(finished)
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(done == 1)
    }

    /// Notes what a release waits for, in words for people. Its state stays.
    pub async fn set_release_message(
        &mut self,
        id: ReleaseId,
        message: &str,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- releases: what it waits for
                update releases set message = $2 where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .bind(message)
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Notes which newer candidate took a release's place.
    pub async fn set_superseded_by(
        &mut self,
        id: ReleaseId,
        by: ReleaseId,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- releases: name the newer candidate
                update releases set superseded_by = $2 where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .bind(by.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Open releases whose quiet time is over.
    pub async fn releases_to_seal(&mut self, now: Timestamp) -> Result<Vec<ReleaseId>, StoreError> {
        let ids: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- releases: quiet for long enough
                select id from releases where state = 'open' and seal_after <= $1
                order by seal_after limit 100",
            )
            .bind(micros(now))
            .fetch_all(c)
            .await?
        });
        ids.iter().map(|id| sound(ReleaseId::from_slice(id), RELEASES, "id")).collect()
    }

    /// Sealed, undecided releases whose time is over.
    pub async fn releases_to_expire(
        &mut self,
        now: Timestamp,
    ) -> Result<Vec<ReleaseId>, StoreError> {
        let ids: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- releases: out of time
                select id from releases
                where state in ('awaiting', 'approved') and expires_at <= $1
                order by expires_at limit 100",
            )
            .bind(micros(now))
            .fetch_all(c)
            .await?
        });
        ids.iter().map(|id| sound(ReleaseId::from_slice(id), RELEASES, "id")).collect()
    }

    /// Releases that wait for people or for their turn, oldest first.
    pub async fn releases_that_wait(&mut self) -> Result<Vec<ReleaseId>, StoreError> {
        let ids: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- releases: those that wait
                select id from releases where state in ('awaiting', 'approved') order by id",
            )
            .fetch_all(c)
            .await?
        });
        ids.iter().map(|id| sound(ReleaseId::from_slice(id), RELEASES, "id")).collect()
    }

    /// Releases of one CI run that may still take files.
    pub async fn open_releases_of_run(
        &mut self,
        publisher: PublisherId,
        run_key: &str,
    ) -> Result<Vec<ReleaseId>, StoreError> {
        let ids: Vec<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- releases: open ones of a run
                select id from releases
                where publisher_id = $1 and run_key = $2 and state = 'open' order by id",
            )
            .bind(publisher.as_bytes().to_vec())
            .bind(run_key)
            .fetch_all(c)
            .await?
        });
        ids.iter().map(|id| sound(ReleaseId::from_slice(id), RELEASES, "id")).collect()
    }

    /// A page of releases, newest first.
    pub async fn list_releases(
        &mut self,
        filter: &ReleaseFilter,
    ) -> Result<Vec<ReleaseRecord>, StoreError> {
        // One bit mask instead of a list keeps the statement static; the words are our own.
        let wanted = |state: State| filter.states.is_empty() || filter.states.contains(&state);
        let mut states = String::new();
        for state in State::ALL.iter().filter(|state| wanted(**state)) {
            states.push(',');
            states.push_str(state.as_str());
            states.push(',');
        }
        let search = filter.search.as_deref().map(str::to_lowercase);
        let rows: Vec<ReleaseRow> = on!(self, c, {
            sqlx::query_as(
                "-- releases: a page, newest first
                select r.*, p.ecosystem, p.name as package_name
                from releases r join packages p on p.id = r.package_id
                where $1 like '%,' || r.state || ',%'
                  and ($2 is null or replace(lower(p.name), $2, '') <> lower(p.name))
                  and ($3 is null or r.package_id = $3)
                  and ($4 is null or r.id < $4)
                  and ($5 is null or r.run_key = $5)
                order by r.id desc
                limit $6",
            )
            .bind(states)
            .bind(search.as_deref())
            .bind(filter.package.map(|id| id.as_bytes().to_vec()))
            .bind(filter.before.map(|id| id.as_bytes().to_vec()))
            .bind(filter.run_key.as_deref())
            .bind(i64::from(filter.limit))
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(ReleaseRow::record).collect()
    }

    /// Inserts a file. The same name twice in one release is a [`StoreError::Conflict`].
    pub async fn insert_artifact(&mut self, artifact: &ArtifactRecord) -> Result<(), StoreError> {
        let digests = serde_json::to_string(&artifact.digests).unwrap_or_default();
        let facts = serde_json::to_string(&artifact.facts).unwrap_or_default();
        on!(self, c, {
            sqlx::query(
                "-- artifacts: stage one
                insert into artifacts (id, release_id, filename, kind, size_bytes, sha256, digests,
                  facts, differences, document_sha256, staged_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(artifact.id.as_bytes().to_vec())
            .bind(artifact.release.as_bytes().to_vec())
            .bind(&artifact.filename)
            .bind(artifact.kind.as_str())
            .bind(i64::try_from(artifact.size_bytes).unwrap_or(i64::MAX))
            .bind(artifact.digests.sha256.as_bytes().to_vec())
            .bind(digests)
            .bind(facts)
            .bind(&artifact.differences)
            .bind(artifact.document_sha256.as_bytes().to_vec())
            .bind(micros(artifact.staged_at))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The files of a release, in order of arrival.
    pub async fn artifacts(
        &mut self,
        release: ReleaseId,
    ) -> Result<Vec<ArtifactRecord>, StoreError> {
        let rows: Vec<ArtifactRow> = on!(self, c, {
            sqlx::query_as(
                "-- artifacts: of one release
                select * from artifacts where release_id = $1 order by staged_at, id",
            )
            .bind(release.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(ArtifactRow::record).collect()
    }

    /// Notes that the registry was seen to hold a file.
    pub async fn mark_forwarded(
        &mut self,
        artifact: ArtifactId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- artifacts: the registry holds it
                update artifacts set forwarded_at = coalesce(forwarded_at, $2) where id = $1",
            )
            .bind(artifact.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Keeps an attestation or provenance bundle that CI sent (Q2).
    pub async fn insert_attachment(
        &mut self,
        id: ArtifactId,
        artifact: ArtifactId,
        kind: &str,
        body: &[u8],
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- attachments: keep as evidence
                insert into attachments (id, artifact_id, kind, body) values ($1, $2, $3, $4)",
            )
            .bind(id.as_bytes().to_vec())
            .bind(artifact.as_bytes().to_vec())
            .bind(kind)
            .bind(body.to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// What CI sent along with a file: kind and body, in order of arrival.
    pub async fn attachments(
        &mut self,
        artifact: ArtifactId,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows: Vec<(String, Vec<u8>)> = on!(self, c, {
            sqlx::query_as(
                "-- attachments: of one file
                select kind, body from attachments where artifact_id = $1 order by id",
            )
            .bind(artifact.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        Ok(rows)
    }

    /// Records a decision. A second one by the same person is a [`StoreError::Conflict`] (I3).
    pub async fn insert_decision(
        &mut self,
        release: ReleaseId,
        decision: &Decision,
        (passkey, place): (PasskeyId, Option<Sha256>),
        statement: &Statement,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let body = serde_json::to_string(decision).unwrap_or_default();
        let report = statement.report_sha256.map_or_else(Vec::new, |it| it.as_bytes().to_vec());
        on!(self, c, {
            sqlx::query(
                "-- decisions: record one
                insert into decisions (id, release_id, person_id, passkey_id, report_sha256, verdict,
                  reason, body, at, place)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(decision.id.as_bytes().to_vec())
            .bind(release.as_bytes().to_vec())
            .bind(decision.person.as_bytes().to_vec())
            .bind(passkey.as_bytes().to_vec())
            .bind(report)
            .bind(decision.verdict.as_str())
            .bind(statement.reason.as_deref())
            .bind(body)
            .bind(micros(now))
            .bind(place.map(|place| place.as_bytes().to_vec()))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The decisions on a release, oldest first.
    pub async fn decisions(
        &mut self,
        release: ReleaseId,
    ) -> Result<Vec<DecisionRecord>, StoreError> {
        let rows: Vec<DecisionRow> = on!(self, c, {
            sqlx::query_as(
                "-- decisions: of one release
                select d.passkey_id, k.name as passkey_name, p.name as person_name, d.reason,
                  d.body, d.at, k.aaguid, d.place
                from decisions d
                join people p on p.id = d.person_id
                join passkeys k on k.id = d.passkey_id
                where d.release_id = $1
                order by d.at, d.id",
            )
            .bind(release.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(DecisionRow::record).collect()
    }
}
