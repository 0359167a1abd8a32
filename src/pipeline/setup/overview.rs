//! What the pages about packages, policies, registries and publishers show.
//!
//! Every signed-in person may read these (viewer and up); no credential is among them (K3).

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::ids::{PackageId, PersonId, PolicyId, UpstreamId};
use crate::domain::issuer::Issuer;
use crate::domain::package::PackageName;
use crate::domain::policy::Policy;
use crate::domain::simulation::{Simulation, simulate};
use crate::pipeline::{Kind, Result, refuse};
use crate::store::{Store, Tx};

pub use crate::store::ci::RefusedToken;
pub use crate::store::setup::{StoredPackage, StoredPublisher, StoredUpstream};

/// Most refused tokens on a package's page.
const REFUSED_SHOWN: i64 = 20;

/// One row of the list of packages.
#[derive(Debug, Clone)]
pub struct PackageOverview {
    /// The package.
    pub package: StoredPackage,
    /// Where its releases go.
    pub upstream_name: String,
    /// The registry can be sent to: a publish credential was sealed.
    pub can_publish: bool,
    /// Which rule applies.
    pub policy: Policy,
    /// How many publishers may stage it.
    pub publishers: usize,
}

/// One package's page.
#[derive(Debug, Clone)]
pub struct PackageDetails {
    /// The package.
    pub package: StoredPackage,
    /// Where its releases go.
    pub upstream: StoredUpstream,
    /// Which rule applies.
    pub policy: Policy,
    /// Who may stage it, oldest first.
    pub publishers: Vec<PublisherOverview>,
    /// Tokens that nobody trusted for it lately, newest first.
    pub refused: Vec<RefusedTokenOverview>,
}

/// A publisher with its issuer's name.
#[derive(Debug, Clone)]
pub struct PublisherOverview {
    /// Its rule, packages and last use.
    pub stored: StoredPublisher,
    /// What its issuer is called.
    pub issuer_name: String,
}

/// A refused token with its issuer's name.
#[derive(Debug, Clone)]
pub struct RefusedTokenOverview {
    /// When, and which claim made the difference.
    pub refused: RefusedToken,
    /// What its issuer is called.
    pub issuer_name: String,
}

/// A policy and where it applies.
#[derive(Debug, Clone)]
pub struct PolicyOverview {
    /// The revision in force.
    pub policy: Policy,
    /// Its members, by name.
    pub members: Vec<PolicyMember>,
    /// Packages under it.
    pub packages: Vec<StoredPackage>,
    /// Who can release under it today.
    pub today: Simulation,
    /// The same for a release in which something was found.
    pub findings: Simulation,
}

/// A member of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMember {
    /// Who.
    pub id: PersonId,
    /// What they are called.
    pub name: String,
    /// Their signature would count now.
    pub able: bool,
    /// They were invited and have no passkey yet.
    pub invited: bool,
}

/// One policy's page.
#[derive(Debug, Clone)]
pub struct PolicyDetails {
    /// The revision in force, its members and packages.
    pub overview: PolicyOverview,
    /// Every revision with the time it came into force, newest first.
    pub history: Vec<(Timestamp, Policy)>,
}

/// A registry and what goes there.
#[derive(Debug, Clone)]
pub struct UpstreamOverview {
    /// Its addresses, and whether it has credentials.
    pub stored: StoredUpstream,
    /// Packages that go there.
    pub packages: Vec<PackageName>,
}

/// Every package, by ecosystem and name.
pub async fn packages(store: &Store) -> Result<Vec<PackageOverview>> {
    let mut tx = store.snapshot().await?;
    let upstreams = upstreams_by_id(&mut tx).await?;
    let policies: BTreeMap<PolicyId, Policy> =
        tx.policies().await?.into_iter().map(|policy| (policy.id(), policy)).collect();
    let publishers = tx.publishers().await?;
    let mut rows = Vec::new();
    for package in tx.packages().await? {
        let upstream = found(upstreams.get(&package.upstream).cloned(), "registry")?;
        let policy = found(policies.get(&package.policy).cloned(), "policy")?;
        let may_stage = |known: &&StoredPublisher| known.publisher.packages().contains(&package.id);
        rows.push(PackageOverview {
            upstream_name: upstream.upstream.name().to_owned(),
            can_publish: upstream.can_publish,
            policy,
            publishers: publishers.iter().filter(may_stage).count(),
            package,
        });
    }
    Ok(rows)
}

/// One package.
pub async fn package(store: &Store, id: PackageId) -> Result<PackageDetails> {
    let mut tx = store.snapshot().await?;
    let package = found(tx.package(id).await?, "package")?;
    let issuers = tx.issuers().await?;
    let issuer_name = |id| {
        let issuer = issuers.iter().find(|issuer: &&Issuer| issuer.id() == id);
        issuer.map(|issuer| issuer.name().to_owned()).unwrap_or_default()
    };
    let mut publishers = Vec::new();
    for stored in tx.publishers().await? {
        if stored.publisher.packages().contains(&id) {
            let issuer_name = issuer_name(stored.publisher.issuer());
            publishers.push(PublisherOverview { stored, issuer_name });
        }
    }
    let mut refused = Vec::new();
    for row in tx.refused_tokens(id, REFUSED_SHOWN).await? {
        refused.push(RefusedTokenOverview { issuer_name: issuer_name(row.issuer), refused: row });
    }
    Ok(PackageDetails {
        upstream: found(tx.upstream(package.upstream).await?, "registry")?,
        policy: found(tx.policy(package.policy).await?, "policy")?,
        publishers,
        refused,
        package,
    })
}

/// Every policy, by name.
pub async fn policies(store: &Store, now: Timestamp) -> Result<Vec<PolicyOverview>> {
    let mut tx = store.snapshot().await?;
    let mut rows = Vec::new();
    for policy in tx.policies().await? {
        rows.push(policy_overview(&mut tx, policy, now).await?);
    }
    Ok(rows)
}

/// One policy.
pub async fn policy(store: &Store, id: PolicyId, now: Timestamp) -> Result<PolicyDetails> {
    let mut tx = store.snapshot().await?;
    let policy = found(tx.policy(id).await?, "policy")?;
    let overview = policy_overview(&mut tx, policy, now).await?;
    Ok(PolicyDetails { overview, history: tx.policy_history(id).await? })
}

/// Every registry, by name.
pub async fn upstreams(store: &Store) -> Result<Vec<UpstreamOverview>> {
    let mut tx = store.snapshot().await?;
    let packages = tx.packages().await?;
    let overview = |stored: StoredUpstream| {
        let goes_there = |package: &&StoredPackage| package.upstream == stored.upstream.id();
        let packages = packages.iter().filter(goes_there).map(|known| known.name.clone());
        UpstreamOverview { packages: packages.collect(), stored }
    };
    Ok(tx.upstreams().await?.into_iter().map(overview).collect())
}

/// Every issuer, by name.
pub async fn issuers(store: &Store) -> Result<Vec<Issuer>> {
    Ok(store.snapshot().await?.issuers().await?)
}

async fn upstreams_by_id(tx: &mut Tx) -> Result<BTreeMap<UpstreamId, StoredUpstream>> {
    let upstreams = tx.upstreams().await?;
    Ok(upstreams.into_iter().map(|known| (known.upstream.id(), known)).collect())
}

async fn policy_overview(tx: &mut Tx, policy: Policy, now: Timestamp) -> Result<PolicyOverview> {
    let roster = tx.roster().await?.unwrap_or_default();
    let able = roster.able_to_sign(&policy.named(), now);
    let approvers = roster.approvers(&policy, now);
    let mut members = Vec::new();
    for id in policy.named() {
        let Some(person) = tx.person(id).await? else {
            continue;
        };
        members.push(PolicyMember {
            id,
            able: able.contains(&id),
            invited: person.joined_at.is_none() && person.left_at.is_none(),
            name: person.name,
        });
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let mut packages = tx.packages().await?;
    packages.retain(|package| package.policy == policy.id());
    let [today, findings] = [false, true].map(|found| simulate(&policy, &approvers, found));
    Ok(PolicyOverview { policy, members, packages, today, findings })
}

fn found<T>(value: Option<T>, what: &str) -> Result<T> {
    match value {
        Some(value) => Ok(value),
        None => refuse(Kind::NotFound, format!("there is no such {what}")),
    }
}
