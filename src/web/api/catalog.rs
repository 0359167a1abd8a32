//! Packages, policies and people, as every signed-in person may read them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Reader;
use crate::app::App;
use crate::pipeline::people::{self, PersonOverview};
use crate::pipeline::setup::overview;
use crate::web::error::WebError;
use crate::web::extract::Now;

/// A package.
#[derive(Debug, Serialize, ToSchema)]
pub struct Package {
    /// Names it.
    pub id: String,
    /// `npm` or `pypi`.
    pub ecosystem: String,
    /// As registered.
    pub name: String,
    /// The registry its releases go to.
    pub upstream: String,
    /// A publish credential was sealed for that registry.
    pub can_publish: bool,
    /// The policy that applies.
    pub policy_id: String,
    /// What that policy is called.
    pub policy: String,
    /// How many publishers may stage it.
    pub publishers: u64,
    /// `public` or `restricted`; npm only.
    pub access: Option<String>,
}

/// Every package.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageList {
    /// By ecosystem and name.
    pub packages: Vec<Package>,
}

/// Somebody who may approve under a policy.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member {
    /// Names them.
    pub id: String,
    /// What they are called.
    pub name: String,
    /// Their signature would count now.
    pub able: bool,
}

/// A policy, in the revision in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyItem {
    /// Names it.
    pub id: String,
    /// Counts up with every change.
    pub revision: u32,
    /// What it is called.
    pub name: String,
    /// How many people must approve.
    pub required: u32,
    /// Life of a sealed release in hours.
    pub expires_hours: i64,
    /// Whether the person who started the CI run counts.
    pub triggering_actor_counts: bool,
    /// Whether people count who wrote some of what changed.
    pub authors_count: bool,
    /// Minutes between the last approval needed and sending.
    pub cooling_off_minutes: i64,
    /// The whole rule as one sentence.
    pub sentence: String,
    /// Who is named.
    pub members: Vec<Member>,
    /// Packages under it, `npm:NAME` or `pypi:NAME`.
    pub packages: Vec<String>,
}

/// Every policy.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyList {
    /// In the order of their page.
    pub policies: Vec<PolicyItem>,
}

/// A CI identity that is somebody's.
#[derive(Debug, Serialize, ToSchema)]
pub struct CiIdentityItem {
    /// The exact issuer.
    pub issuer: String,
    /// The immutable id there.
    pub actor_id: String,
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Person {
    /// Stable, pseudonymous.
    pub id: String,
    /// What they are called.
    pub name: String,
    /// `owner`, `maintainer` or `viewer`.
    pub role: String,
    /// When they enrolled their first passkey (RFC 3339).
    pub joined_at: Option<String>,
    /// How many passkeys they have.
    pub passkeys: u64,
    /// CI identities that are theirs.
    pub ci_identities: Vec<CiIdentityItem>,
}

/// Everybody.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonList {
    /// Everybody who has not left, by name.
    pub people: Vec<Person>,
}

/// Lists the packages.
#[utoipa::path(
    get, path = "/api/v1/packages", tag = "catalog", security(("session" = [])),
    responses(
        (status = 200, body = PackageList),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn packages(
    State(app): State<Arc<App>>,
    Reader(_): Reader,
) -> Result<Json<PackageList>, WebError> {
    let rows = overview::packages(&app.store).await?.into_iter();
    let packages = rows
        .map(|row| Package {
            id: row.package.id.to_string(),
            ecosystem: row.package.name.ecosystem().as_str().to_owned(),
            name: row.package.name.as_str().to_owned(),
            upstream: row.upstream_name,
            can_publish: row.can_publish,
            policy_id: row.policy.id().to_string(),
            policy: row.policy.name().to_owned(),
            publishers: row.publishers as u64,
            access: row.package.access.map(|access| access.as_str().to_owned()),
        })
        .collect();
    Ok(Json(PackageList { packages }))
}

/// Lists the policies.
#[utoipa::path(
    get, path = "/api/v1/policies", tag = "catalog", security(("session" = [])),
    responses(
        (status = 200, body = PolicyList),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn policies(
    State(app): State<Arc<App>>,
    Reader(_): Reader,
    Now(now): Now,
) -> Result<Json<PolicyList>, WebError> {
    let rows = overview::policies(&app.store, now).await?.into_iter();
    let policies = rows
        .map(|row| PolicyItem {
            id: row.policy.id().to_string(),
            revision: row.policy.revision(),
            name: row.policy.name().to_owned(),
            required: row.policy.required(),
            expires_hours: row.policy.expiry().as_hours(),
            triggering_actor_counts: row.policy.triggering_actor_counts(),
            authors_count: row.policy.authors_count(),
            cooling_off_minutes: row.policy.cooling_off().as_mins(),
            sentence: row.policy.sentence(),
            members: row
                .members
                .into_iter()
                .map(|member| Member {
                    id: member.id.to_string(),
                    name: member.name,
                    able: member.able,
                })
                .collect(),
            packages: row
                .packages
                .iter()
                .map(|package| {
                    format!("{}:{}", package.name.ecosystem().as_str(), package.name.as_str())
                })
                .collect(),
        })
        .collect();
    Ok(Json(PolicyList { policies }))
}

/// Lists the people.
#[utoipa::path(
    get, path = "/api/v1/people", tag = "catalog", security(("session" = [])),
    responses(
        (status = 200, body = PersonList),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn people(
    State(app): State<Arc<App>>,
    Reader(_): Reader,
    Now(now): Now,
) -> Result<Json<PersonList>, WebError> {
    let overview = people::people_overview(&app.store, now).await?;
    Ok(Json(PersonList { people: overview.people.into_iter().map(person).collect() }))
}

fn person(overview: PersonOverview) -> Person {
    let PersonOverview { person, keys, ci_identities, .. } = overview;
    Person {
        id: person.id.to_string(),
        name: person.name,
        role: person.role.as_str().to_owned(),
        joined_at: person.joined_at.map(|at| at.to_string()),
        passkeys: keys.len() as u64,
        ci_identities: ci_identities
            .into_iter()
            .map(|linked| CiIdentityItem {
                issuer: linked.identity.issuer,
                actor_id: linked.identity.actor_id,
            })
            .collect(),
    }
}
