//! What CI asks with its upload credential in `Authorization`. Cookies are not looked at (O26).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::idempotency;
use super::releases::{ReleaseState, parse_id, parse_package};
use crate::app::App;
use crate::domain::package::{Ecosystem, excerpt};
use crate::domain::words::check_words;
use crate::pipeline::ci::{self, Scope};
use crate::pipeline::review::ReleaseRecord;
use crate::pipeline::{Fault, Kind, Refusal, submission};
use crate::web::error::WebError;
use crate::web::extract::Now;
use crate::web::upload::{bearer, review_url};

/// Longest version text accepted in a query, in bytes.
const VERSION_MAX: usize = 256;
/// The route that seals.
const SEAL: &str = "POST /api/v1/ci/releases/{id}/seal";

/// One of the publisher's own releases.
#[derive(Debug, Serialize, ToSchema)]
pub struct CiRelease {
    /// Names it.
    pub id: String,
    /// `npm` or `pypi`.
    pub ecosystem: String,
    /// The package as registered.
    pub package: String,
    /// The version as the files say it.
    pub version: String,
    /// Where it stands.
    pub state: ReleaseState,
    /// Nothing will ever happen to it again.
    pub is_final: bool,
    /// Where people review it.
    pub review_url: String,
    /// SHA-256 of the manifest in hex, once sealed.
    pub manifest_sha256: Option<String>,
    /// Eight words for that digest, once sealed; the review page shows the same.
    pub check_words: Option<Vec<String>>,
    /// Nobody can approve it after this time, once sealed (RFC 3339).
    pub expires_at: Option<String>,
    /// The newer candidate that took its place.
    pub superseded_by: Option<String>,
    /// The registry's own words, or the reason it ended.
    pub message: Option<String>,
}

/// The publisher's own releases.
#[derive(Debug, Serialize, ToSchema)]
pub struct CiReleaseList {
    /// Newest first, at most fifty.
    pub releases: Vec<CiRelease>,
}

/// Which releases.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CiQuery {
    /// `npm:NAME` or `pypi:NAME`.
    pub package: String,
    /// Only this version, as the files say it.
    pub version: Option<String>,
}

fn ci_release(app: &App, record: ReleaseRecord) -> CiRelease {
    let digest = record.seal.as_ref().map(|seal| seal.manifest.digest());
    CiRelease {
        id: record.id.to_string(),
        ecosystem: record.ecosystem.as_str().to_owned(),
        package: record.package_name,
        version: record.version,
        state: record.state.into(),
        is_final: record.state.is_final(),
        review_url: review_url(app, record.id),
        manifest_sha256: digest.map(|digest| digest.to_string()),
        check_words: digest.map(|digest| check_words::<8>(&digest).map(str::to_owned).to_vec()),
        expires_at: record.seal.map(|seal| seal.expires_at.to_string()),
        superseded_by: record.superseded_by.map(|id| id.to_string()),
        message: record.message,
    }
}

/// Lists the releases that the caller's publisher staged.
#[utoipa::path(
    get, path = "/api/v1/ci/releases", tag = "ci", params(CiQuery),
    security(("upload_credential" = [])),
    responses(
        (status = 200, body = CiReleaseList),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Now(now): Now,
    query: Result<Query<CiQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<CiReleaseList>, WebError> {
    let credential = bearer(&headers)?;
    let Query(query) = query.map_err(|error| {
        let received = excerpt(&error.body_text());
        Refusal::new(Kind::BadInput, format!("expected `package`, received `{received}`"))
    })?;
    if let Some(version) = query.version.as_ref().filter(|text| text.len() > VERSION_MAX) {
        let message = format!("expected a version, received `{}`", excerpt(version));
        return Err(Refusal::new(Kind::BadInput, message).into());
    }
    let name = parse_package(&query.package)?;
    let scope = match name.ecosystem() {
        Ecosystem::Npm => Scope::Npm(name.clone()),
        Ecosystem::Pypi => Scope::Pypi,
    };
    let session = ci::authenticate(&app.exchange, &credential, scope, now).await?;
    let version = query.version.as_deref();
    let found = submission::submissions(&app.store, session.publisher, &name, version).await?;
    let releases = found.into_iter().map(|record| ci_release(&app, record)).collect();
    Ok(Json(CiReleaseList { releases }))
}

/// Seals a release that is complete, so that people can decide at once. Sealing again answers with
/// the release as it is.
#[utoipa::path(
    post, path = "/api/v1/ci/releases/{id}/seal", tag = "ci",
    params(
        ("id" = String, Path, description = "The release"),
        ("Idempotency-Key" = Option<String>, Header,
         description = "The same key and request get the same answer for 24 hours"),
    ),
    security(("upload_credential" = [])),
    responses(
        (status = 200, body = CiRelease),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn seal(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (parts, body) = request.into_parts();
    let credential = bearer(&parts.headers)?;
    let id = parse_id(&id)?;
    let session = submission::session_for(&app.exchange, &credential, id, now).await?;
    let key = idempotency::key(&parts.headers)?
        .map(|key| idempotency::key_digest(session.publisher, SEAL, key));
    let body = idempotency::empty_body(body).await?;
    let request = idempotency::request_digest("POST", parts.uri.path(), &body);
    if let Some(key) = key
        && let Some(answer) = submission::kept(&app.store, key, request, now).await?
    {
        return Ok(idempotency::response(answer)?);
    }
    let sealed = submission::seal_own(&app.store, id, session.publisher, now).await?;
    app.progress.announce(id);
    let body = serde_json::to_vec(&ci_release(&app, sealed))
        .map_err(|error| Fault::new("writing an answer", error))?;
    let answer = match key {
        Some(key) => {
            let answer = idempotency::success(request, body);
            idempotency::response(submission::keep(&app.store, key, answer, now).await?)?
        }
        None => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
    };
    Ok(answer)
}
