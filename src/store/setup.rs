//! What owners configure: issuers, upstreams, policies, packages and publishers.
//!
//! Sealed credentials pass through here as opaque bytes; this module could not open one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::digest::Sha256;
use crate::domain::event::{PackageRecord, UpstreamRecord};
use crate::domain::ids::{InstanceId, IssuerId, PackageId, PolicyId, PublisherId, UpstreamId};
use crate::domain::issuer::Issuer;
use crate::domain::manifest::{Access, Destination};
use crate::domain::package::{Ecosystem, PackageName};
use crate::domain::policy::Policy;
use crate::domain::publisher::{Publisher, Rule};
use crate::domain::upstream::{Upstream, UpstreamFields};
use crate::store::{StoreError, Tx, micros, sound, timestamp, timestamp_opt};

/// What governs a release of one package when it is sealed now.
#[derive(Debug, Clone)]
pub struct SealingTerms {
    /// This installation.
    pub instance: InstanceId,
    /// Where the package is published.
    pub destination: Destination,
    /// The policy in force.
    pub policy: Policy,
}

/// An upstream as configured, and which credentials it has.
#[derive(Debug, Clone)]
pub struct StoredUpstream {
    /// Addresses and protocol.
    pub upstream: Upstream,
    /// The user name that goes with the publish credential (PyPI).
    pub username: String,
    /// A publish credential was sealed.
    pub can_publish: bool,
    /// A read credential was sealed.
    pub can_read: bool,
    /// When a credential was sealed last.
    pub sealed_at: Option<Timestamp>,
}

impl StoredUpstream {
    /// The record for the log.
    pub fn record(&self) -> UpstreamRecord {
        UpstreamRecord {
            id: self.upstream.id(),
            kind: self.upstream.kind(),
            url: self.upstream.url().to_string(),
            simple_url: self.upstream.simple_url().map(ToString::to_string),
            files_url: self.upstream.files_url().map(ToString::to_string),
            allow_private: self.upstream.allow_private(),
        }
    }
}

/// A package that gets releases here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPackage {
    /// Names it.
    pub id: PackageId,
    /// Its name and whose rules it follows.
    pub name: PackageName,
    /// Where its releases go.
    pub upstream: UpstreamId,
    /// Which rule applies.
    pub policy: PolicyId,
    /// The access a first version gets; npm only.
    pub access: Option<Access>,
}

impl StoredPackage {
    /// The record for the log.
    pub fn record(&self) -> PackageRecord {
        PackageRecord {
            id: self.id,
            ecosystem: self.name.ecosystem(),
            name: self.name.as_str().to_owned(),
            upstream: self.upstream,
            policy: self.policy,
            access: self.access,
        }
    }
}

/// A publisher that was not removed, and when it last staged.
#[derive(Debug, Clone)]
pub struct StoredPublisher {
    /// Its rule and packages.
    pub publisher: Publisher,
    /// When a token last met its rule.
    pub last_used_at: Option<Timestamp>,
}

row! {
    struct TermsRow {
        instance_id: Vec<u8>,
        upstream_id: Vec<u8>,
        url: String,
        policy: String,
    }
}

impl TermsRow {
    fn parse(self) -> Result<SealingTerms, StoreError> {
        let upstream = sound(UpstreamId::from_slice(&self.upstream_id), "upstreams", "id")?;
        Ok(SealingTerms {
            instance: sound(InstanceId::from_slice(&self.instance_id), "instance", "id")?,
            destination: Destination { upstream, url: self.url },
            policy: read_policy(&self.policy)?,
        })
    }
}

row! {
    struct IssuerRow { id: Vec<u8>, body: String }
}

row! {
    struct UpstreamRow {
        id: Vec<u8>,
        kind: String,
        name: String,
        url: String,
        simple_url: Option<String>,
        files_url: Option<String>,
        allow_private: i64,
        username: String,
        can_publish: i64,
        can_read: i64,
        sealed_at: Option<i64>,
    }
}

row! {
    struct PackageRow {
        id: Vec<u8>,
        ecosystem: String,
        name: String,
        upstream_id: Vec<u8>,
        policy_id: Vec<u8>,
        access: Option<String>,
    }
}

row! {
    struct PublisherRow {
        id: Vec<u8>,
        issuer_id: Vec<u8>,
        name: String,
        rule: String,
        last_used_at: Option<i64>,
    }
}

row! {
    struct PublisherPackageRow { publisher_id: Vec<u8>, package_id: Vec<u8> }
}

impl IssuerRow {
    fn parse(self) -> Result<Issuer, StoreError> {
        let id = sound(IssuerId::from_slice(&self.id), "issuers", "id")?;
        let config = sound(serde_json::from_str(&self.body).ok(), "issuers", "body")?;
        sound(Issuer::parse(id, config).ok(), "issuers", "body")
    }
}

impl UpstreamRow {
    fn parse(self) -> Result<StoredUpstream, StoreError> {
        let fields = UpstreamFields {
            id: sound(UpstreamId::from_slice(&self.id), "upstreams", "id")?,
            name: &self.name,
            kind: sound(Ecosystem::parse(&self.kind), "upstreams", "kind")?,
            url: &self.url,
            simple_url: self.simple_url.as_deref(),
            files_url: self.files_url.as_deref(),
            allow_private: self.allow_private == 1,
        };
        Ok(StoredUpstream {
            upstream: sound(Upstream::parse(fields).ok(), "upstreams", "url")?,
            username: self.username,
            can_publish: self.can_publish == 1,
            can_read: self.can_read == 1,
            sealed_at: timestamp_opt(self.sealed_at, "upstreams", "sealed_at")?,
        })
    }
}

impl PackageRow {
    fn parse(self) -> Result<StoredPackage, StoreError> {
        let ecosystem = sound(Ecosystem::parse(&self.ecosystem), "packages", "ecosystem")?;
        let name = PackageName::parse(ecosystem, &self.name).ok();
        let access = match self.access {
            Some(text) => Some(sound(Access::parse(&text), "packages", "access")?),
            None => None,
        };
        Ok(StoredPackage {
            id: sound(PackageId::from_slice(&self.id), "packages", "id")?,
            name: sound(name, "packages", "name")?,
            upstream: sound(UpstreamId::from_slice(&self.upstream_id), "packages", "upstream_id")?,
            policy: sound(PolicyId::from_slice(&self.policy_id), "packages", "policy_id")?,
            access,
        })
    }
}

impl PublisherRow {
    fn parse(
        self,
        packages: &BTreeMap<PublisherId, BTreeSet<PackageId>>,
    ) -> Result<StoredPublisher, StoreError> {
        let id = sound(PublisherId::from_slice(&self.id), "publishers", "id")?;
        let issuer = sound(IssuerId::from_slice(&self.issuer_id), "publishers", "issuer_id")?;
        let rule: Rule = sound(serde_json::from_str(&self.rule).ok(), "publishers", "rule")?;
        let packages = packages.get(&id).cloned().unwrap_or_default();
        let publisher = Publisher::parse(id, &self.name, issuer, rule, packages).ok();
        Ok(StoredPublisher {
            publisher: sound(publisher, "publishers", "name")?,
            last_used_at: timestamp_opt(self.last_used_at, "publishers", "last_used_at")?,
        })
    }
}

/// Canonical bytes as the text a column holds.
fn text(bytes: Vec<u8>, table: &'static str, column: &'static str) -> Result<String, StoreError> {
    sound(String::from_utf8(bytes).ok(), table, column)
}

impl Tx {
    /// Adds an issuer. A name or address that is taken is a [`StoreError::Conflict`].
    pub async fn add_issuer(&mut self, issuer: &Issuer, now: Timestamp) -> Result<(), StoreError> {
        let body = crate::domain::canonical(issuer.config());
        let body = text(body, "issuers", "body")?;
        on!(self, c, {
            sqlx::query(
                "-- setup: add an issuer
                insert into issuers (id, name, url, body, created_at) values ($1, $2, $3, $4, $5)",
            )
            .bind(issuer.id().as_bytes().to_vec())
            .bind(issuer.name())
            .bind(issuer.url())
            .bind(body)
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Every issuer, by name.
    pub async fn issuers(&mut self) -> Result<Vec<Issuer>, StoreError> {
        let rows: Vec<IssuerRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: every issuer
                select id, body from issuers order by name",
            )
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(IssuerRow::parse).collect()
    }

    /// Adds an upstream without credentials. A name that is taken is a [`StoreError::Conflict`].
    pub async fn add_upstream(
        &mut self,
        upstream: &Upstream,
        username: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- setup: add an upstream
                insert into upstreams
                  (id, created_at, kind, name, url, simple_url, files_url, allow_private, username)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(upstream.id().as_bytes().to_vec())
            .bind(micros(now))
            .bind(upstream.kind().as_str())
            .bind(upstream.name())
            .bind(upstream.url().as_str())
            .bind(upstream.simple_url().map(ToString::to_string))
            .bind(upstream.files_url().map(ToString::to_string))
            .bind(i64::from(upstream.allow_private()))
            .bind(username)
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Every upstream, by name.
    pub async fn upstreams(&mut self) -> Result<Vec<StoredUpstream>, StoreError> {
        let rows: Vec<UpstreamRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: every upstream
                select id, kind, name, url, simple_url, files_url, allow_private, username,
                  sealed_at,
                  cast(case when publish_credential is null then 0 else 1 end as bigint)
                    as can_publish,
                  cast(case when read_credential is null then 0 else 1 end as bigint) as can_read
                from upstreams order by name",
            )
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(UpstreamRow::parse).collect()
    }

    /// One upstream.
    pub async fn upstream(&mut self, id: UpstreamId) -> Result<Option<StoredUpstream>, StoreError> {
        let row: Option<UpstreamRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: one upstream
                select id, kind, name, url, simple_url, files_url, allow_private, username,
                  sealed_at,
                  cast(case when publish_credential is null then 0 else 1 end as bigint)
                    as can_publish,
                  cast(case when read_credential is null then 0 else 1 end as bigint) as can_read
                from upstreams where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(UpstreamRow::parse).transpose()
    }

    /// Keeps a sealed publish credential in place of the one before.
    pub async fn set_publish_credential(
        &mut self,
        id: UpstreamId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- setup: keep a sealed publish credential
                update upstreams set publish_credential = $2, sealed_at = $3 where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .bind(sealed.to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Keeps a sealed read credential in place of the one before.
    pub async fn set_read_credential(
        &mut self,
        id: UpstreamId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- setup: keep a sealed read credential
                update upstreams set read_credential = $2, sealed_at = $3 where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .bind(sealed.to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The sealed publish credential, if there is one.
    pub async fn publish_credential(
        &mut self,
        id: UpstreamId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<Option<Vec<u8>>> = on!(self, c, {
            sqlx::query_scalar(
                "-- setup: the sealed publish credential
                select publish_credential from upstreams where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        Ok(sealed.flatten())
    }

    /// The sealed read credential, if there is one.
    pub async fn read_credential(&mut self, id: UpstreamId) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<Option<Vec<u8>>> = on!(self, c, {
            sqlx::query_scalar(
                "-- setup: the sealed read credential
                select read_credential from upstreams where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        Ok(sealed.flatten())
    }

    /// SHA-256 of the exact bytes of the genesis entry, to which credentials are bound (Q18); none
    /// before the installation was founded.
    pub async fn genesis_sha256(&mut self) -> Result<Option<Sha256>, StoreError> {
        let body: Option<Vec<u8>> = on!(self, c, {
            sqlx::query_scalar(
                "-- setup: the genesis entry
                select body from log_entries where sequence = 0",
            )
            .fetch_optional(c)
            .await?
        });
        Ok(body.map(|body| Sha256::of(&body)))
    }

    /// Puts a revision of a policy in force: the first one of a new policy, or the one that follows
    /// the revision in force. Another first revision under a name that is taken, or two second
    /// revisions, are a [`StoreError::Conflict`].
    pub async fn put_policy(&mut self, policy: &Policy, now: Timestamp) -> Result<(), StoreError> {
        let body = text(policy.to_bytes(), "policy_revisions", "body")?;
        on!(self, c, {
            sqlx::query(
                "-- setup: name the policy revision in force
                insert into policies (id, name, revision) values ($1, $2, $3)
                on conflict (id) do update
                set name = excluded.name, revision = excluded.revision
                where policies.revision = excluded.revision - 1",
            )
            .bind(policy.id().as_bytes().to_vec())
            .bind(policy.name())
            .bind(i64::from(policy.revision()))
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "-- setup: keep a policy revision
                insert into policy_revisions (policy_id, revision, at, body, sha256)
                values ($1, $2, $3, $4, $5)",
            )
            .bind(policy.id().as_bytes().to_vec())
            .bind(i64::from(policy.revision()))
            .bind(micros(now))
            .bind(body)
            .bind(policy.digest().as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// The revisions in force of all policies, by name.
    pub async fn policies(&mut self) -> Result<Vec<Policy>, StoreError> {
        let bodies: Vec<String> = on!(self, c, {
            sqlx::query_scalar(
                "-- setup: every policy in force
                select policy_revisions.body from policies
                join policy_revisions on policy_revisions.policy_id = policies.id
                  and policy_revisions.revision = policies.revision
                order by policies.name",
            )
            .fetch_all(c)
            .await?
        });
        bodies.iter().map(|body| read_policy(body)).collect()
    }

    /// The revision in force of one policy.
    pub async fn policy(&mut self, id: PolicyId) -> Result<Option<Policy>, StoreError> {
        let body: Option<String> = on!(self, c, {
            sqlx::query_scalar(
                "-- setup: one policy in force
                select policy_revisions.body from policies
                join policy_revisions on policy_revisions.policy_id = policies.id
                  and policy_revisions.revision = policies.revision
                where policies.id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        body.map(|body| read_policy(&body)).transpose()
    }

    /// What governs a release of a package that is sealed in this transaction. One statement,
    /// because every npm upload is sealed in the transaction for which the next one waits.
    pub async fn sealing_terms(
        &mut self,
        package: PackageId,
    ) -> Result<Option<SealingTerms>, StoreError> {
        let row: Option<TermsRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: what governs a release that is sealed now
                select instance.id as instance_id, upstreams.id as upstream_id, upstreams.url,
                  policy_revisions.body as policy
                from packages
                join upstreams on upstreams.id = packages.upstream_id
                join policies on policies.id = packages.policy_id
                join policy_revisions on policy_revisions.policy_id = policies.id
                  and policy_revisions.revision = policies.revision
                cross join instance
                where packages.id = $1",
            )
            .bind(package.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(TermsRow::parse).transpose()
    }

    /// Every revision of one policy and since when it was in force, newest first.
    pub async fn policy_history(
        &mut self,
        id: PolicyId,
    ) -> Result<Vec<(Timestamp, Policy)>, StoreError> {
        let rows: Vec<(i64, String)> = on!(self, c, {
            sqlx::query_as(
                "-- setup: every revision of one policy
                select at, body from policy_revisions where policy_id = $1
                order by revision desc",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        rows.iter()
            .map(|(at, body)| Ok((timestamp(*at, "policy_revisions", "at")?, read_policy(body)?)))
            .collect()
    }

    /// Adds a package. A name that is registered is a [`StoreError::Conflict`].
    pub async fn add_package(
        &mut self,
        package: &StoredPackage,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- setup: add a package
                insert into packages
                  (id, ecosystem, name, normalized, created_at, upstream_id, policy_id, access)
                values ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(package.id.as_bytes().to_vec())
            .bind(package.name.ecosystem().as_str())
            .bind(package.name.as_str())
            .bind(package.name.normalized())
            .bind(micros(now))
            .bind(package.upstream.as_bytes().to_vec())
            .bind(package.policy.as_bytes().to_vec())
            .bind(package.access.map(Access::as_str))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Puts a package under another policy or upstream.
    pub async fn set_package(&mut self, package: &PackageRecord) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- setup: put a package under a policy and an upstream
                update packages set policy_id = $2, upstream_id = $3, access = $4 where id = $1",
            )
            .bind(package.id.as_bytes().to_vec())
            .bind(package.policy.as_bytes().to_vec())
            .bind(package.upstream.as_bytes().to_vec())
            .bind(package.access.map(Access::as_str))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Every package, by ecosystem and name.
    pub async fn packages(&mut self) -> Result<Vec<StoredPackage>, StoreError> {
        let rows: Vec<PackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: every package
                select id, ecosystem, name, upstream_id, policy_id, access from packages
                order by ecosystem, normalized",
            )
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(PackageRow::parse).collect()
    }

    /// One package.
    pub async fn package(&mut self, id: PackageId) -> Result<Option<StoredPackage>, StoreError> {
        let row: Option<PackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: one package
                select id, ecosystem, name, upstream_id, policy_id, access from packages
                where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(PackageRow::parse).transpose()
    }

    /// The package with this name, compared as its ecosystem compares names.
    pub async fn package_named(
        &mut self,
        name: &PackageName,
    ) -> Result<Option<StoredPackage>, StoreError> {
        let row: Option<PackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: the package with a name
                select id, ecosystem, name, upstream_id, policy_id, access from packages
                where ecosystem = $1 and normalized = $2",
            )
            .bind(name.ecosystem().as_str())
            .bind(name.normalized())
            .fetch_optional(c)
            .await?
        });
        row.map(PackageRow::parse).transpose()
    }

    /// The packages of one ecosystem that a publisher may stage, by name.
    pub async fn publishers_packages(
        &mut self,
        publisher: PublisherId,
        ecosystem: Ecosystem,
    ) -> Result<Vec<StoredPackage>, StoreError> {
        let rows: Vec<PackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: the packages of a publisher
                select id, ecosystem, name, upstream_id, policy_id, access
                from publisher_packages join packages on id = package_id
                where publisher_id = $1 and ecosystem = $2 order by normalized",
            )
            .bind(publisher.as_bytes().to_vec())
            .bind(ecosystem.as_str())
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(PackageRow::parse).collect()
    }

    /// One package, if a publisher may stage it. However many others there are, one row is read:
    /// every npm upload asks this.
    pub async fn publishers_package(
        &mut self,
        publisher: PublisherId,
        package: PackageId,
    ) -> Result<Option<StoredPackage>, StoreError> {
        let row: Option<PackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: one package of a publisher
                select id, ecosystem, name, upstream_id, policy_id, access
                from publisher_packages join packages on id = package_id
                where publisher_id = $1 and package_id = $2",
            )
            .bind(publisher.as_bytes().to_vec())
            .bind(package.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        });
        row.map(PackageRow::parse).transpose()
    }

    /// Adds a publisher and its packages.
    pub async fn add_publisher(
        &mut self,
        publisher: &Publisher,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rule = crate::domain::canonical(publisher.rule());
        let rule = text(rule, "publishers", "rule")?;
        on!(self, c, {
            sqlx::query(
                "-- setup: add a publisher
                insert into publishers (id, issuer_id, created_at, name, rule)
                values ($1, $2, $3, $4, $5)",
            )
            .bind(publisher.id().as_bytes().to_vec())
            .bind(publisher.issuer().as_bytes().to_vec())
            .bind(micros(now))
            .bind(publisher.name())
            .bind(rule)
            .execute(c)
            .await?;
        });
        self.add_publisher_packages(publisher.id(), publisher.packages()).await
    }

    /// Lets a publisher stage these packages and no others.
    pub async fn set_publisher_packages(
        &mut self,
        id: PublisherId,
        packages: &BTreeSet<PackageId>,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- setup: forget a publisher's packages
                delete from publisher_packages where publisher_id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .execute(c)
            .await?;
        });
        self.add_publisher_packages(id, packages).await
    }

    async fn add_publisher_packages(
        &mut self,
        id: PublisherId,
        packages: &BTreeSet<PackageId>,
    ) -> Result<(), StoreError> {
        for package in packages {
            on!(self, c, {
                sqlx::query(
                    "-- setup: let a publisher stage a package
                    insert into publisher_packages (publisher_id, package_id) values ($1, $2)",
                )
                .bind(id.as_bytes().to_vec())
                .bind(package.as_bytes().to_vec())
                .execute(c)
                .await?;
            });
        }
        Ok(())
    }

    /// Removes a publisher; its rows stay for the releases that name it. False when there is none,
    /// or it was removed before.
    pub async fn remove_publisher(
        &mut self,
        id: PublisherId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = on!(self, c, {
            sqlx::query(
                "-- setup: remove a publisher
                update publishers set removed_at = $2 where id = $1 and removed_at is null",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?
            .rows_affected()
        });
        Ok(changed == 1)
    }

    /// Notes that a token met a publisher's rule.
    pub async fn touch_publisher(
        &mut self,
        id: PublisherId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, c, {
            sqlx::query(
                "-- setup: a publisher was used
                update publishers set last_used_at = $2 where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .bind(micros(now))
            .execute(c)
            .await?;
        });
        Ok(())
    }

    /// Every publisher that was not removed, oldest first.
    pub async fn publishers(&mut self) -> Result<Vec<StoredPublisher>, StoreError> {
        let rows: Vec<PublisherRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: every publisher
                select id, issuer_id, name, rule, last_used_at from publishers
                where removed_at is null order by created_at, name",
            )
            .fetch_all(c)
            .await?
        });
        let packages: Vec<PublisherPackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: every publisher's packages
                select publisher_id, package_id from publisher_packages",
            )
            .fetch_all(c)
            .await?
        });
        parse_publishers(rows, packages)
    }

    /// The publishers of one issuer that were not removed, oldest first (O2).
    pub async fn publishers_of(
        &mut self,
        issuer: IssuerId,
    ) -> Result<Vec<StoredPublisher>, StoreError> {
        let rows: Vec<PublisherRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: one issuer's publishers
                select id, issuer_id, name, rule, last_used_at from publishers
                where removed_at is null and issuer_id = $1 order by created_at, name",
            )
            .bind(issuer.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        let packages: Vec<PublisherPackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: packages of one issuer's publishers
                select publisher_id, package_id from publisher_packages
                where publisher_id in (select id from publishers where issuer_id = $1)",
            )
            .bind(issuer.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        parse_publishers(rows, packages)
    }

    /// One publisher, unless it was removed.
    pub async fn publisher(
        &mut self,
        id: PublisherId,
    ) -> Result<Option<StoredPublisher>, StoreError> {
        let rows: Vec<PublisherRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: one publisher
                select id, issuer_id, name, rule, last_used_at from publishers
                where removed_at is null and id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        let packages: Vec<PublisherPackageRow> = on!(self, c, {
            sqlx::query_as(
                "-- setup: one publisher's packages
                select publisher_id, package_id from publisher_packages where publisher_id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_all(c)
            .await?
        });
        Ok(parse_publishers(rows, packages)?.pop())
    }

    /// The name of a publisher, unless it was removed.
    pub async fn active_publisher_name(
        &mut self,
        id: PublisherId,
    ) -> Result<Option<String>, StoreError> {
        Ok(on!(self, c, {
            sqlx::query_scalar(
                "-- setup: the name of a publisher that is in use
                select name from publishers where id = $1 and removed_at is null",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        }))
    }

    /// The name of a publisher, removed or not, for pages about its releases.
    pub async fn publisher_name(&mut self, id: PublisherId) -> Result<Option<String>, StoreError> {
        Ok(on!(self, c, {
            sqlx::query_scalar(
                "-- setup: a publisher's name
                select name from publishers where id = $1",
            )
            .bind(id.as_bytes().to_vec())
            .fetch_optional(c)
            .await?
        }))
    }
}

impl Tx {
    /// What publishers are called, removed ones included.
    pub async fn publisher_names(&mut self) -> Result<BTreeMap<PublisherId, String>, StoreError> {
        let rows: Vec<(Vec<u8>, String)> = on!(self, c, {
            sqlx::query_as(
                "-- setup: names of publishers, also of removed ones
                select id, name from publishers",
            )
            .fetch_all(c)
            .await?
        });
        let named = |(id, name): (Vec<u8>, String)| {
            Ok((sound(PublisherId::from_slice(&id), "publishers", "id")?, name))
        };
        rows.into_iter().map(named).collect()
    }
}

fn read_policy(body: &str) -> Result<Policy, StoreError> {
    sound(Policy::from_bytes(body.as_bytes()), "policy_revisions", "body")
}

fn parse_publishers(
    rows: Vec<PublisherRow>,
    packages: Vec<PublisherPackageRow>,
) -> Result<Vec<StoredPublisher>, StoreError> {
    let mut by_publisher: BTreeMap<PublisherId, BTreeSet<PackageId>> = BTreeMap::new();
    for row in packages {
        let publisher = PublisherId::from_slice(&row.publisher_id);
        let publisher = sound(publisher, "publisher_packages", "publisher_id")?;
        let package = PackageId::from_slice(&row.package_id);
        let package = sound(package, "publisher_packages", "package_id")?;
        by_publisher.entry(publisher).or_default().insert(package);
    }
    rows.into_iter().map(|row| row.parse(&by_publisher)).collect()
}
