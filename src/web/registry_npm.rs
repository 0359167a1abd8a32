//! Countersign as an npm registry: publish and stage go to the intake, reads pass through to the
//! upstream, everything that would change a registry in another way is refused (wire.md 3).
//!
//! Cookies are not looked at (O26). Paths are matched raw, because clients write a scope's slash as
//! `%2f`, `%2F` or `/`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::domain::package::PackageName;
use crate::pipeline::ci::{self, Scope, UploadSession};
use crate::pipeline::intake::{self, Upload};
use crate::pipeline::staging::{Staged, Stager};
use crate::pipeline::{Kind, Result, detached, refuse, review};
use crate::web::client_error::{npm_error, with_notice};
use crate::web::extract::Now;
use crate::web::routes::Routes;
use crate::web::token_exchange::npm_name;
use crate::web::upload::{bearer, check_length, client, review_url, turn};

/// Base64 makes a tarball four thirds as long; the document around it is bounded by the readers.
const LENGTH_NUMERATOR: u64 = 140;
const LENGTH_DENOMINATOR: u64 = 100;
const LENGTH_SLACK: u64 = 1024 * 1024;

/// The routes below `/npm`.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/npm/-/ping", ping)
        .get("/npm/-/whoami", whoami)
        .get("/npm/-/stage", staged_list)
        .post("/npm/-/stage/package/{*package}", stage)
        .get("/npm/-/stage/{id}", staged_one)
        .delete("/npm/-/stage/{id}", refuse_decision)
        .post("/npm/-/stage/{id}/approve", refuse_decision)
        .get("/npm/-/stage/{id}/tarball", refuse_other)
        .any("/npm/-/package/{*rest}", package_endpoint)
        .any("/npm/-/{*rest}", refuse_other)
        .any("/npm/{*package}", package)
}

async fn ping() -> Response {
    Json(json!({})).into_response()
}

/// Tools that preflight ask who they are.
async fn whoami(State(app): State<Arc<App>>, Now(now): Now, headers: HeaderMap) -> Response {
    let who = async {
        let credential = bearer(&headers)?;
        let caller = ci::identify(&app.exchange, &credential, now).await?;
        Ok(Json(json!({ "username": caller.name })).into_response())
    };
    who.await.unwrap_or_else(|error| npm_error(&error))
}

/// `GET` passes the packument through, `PUT` publishes, anything else is refused.
async fn package(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path(raw): Path<String>,
    request: Request,
) -> Response {
    let answer = async {
        let name = name(&request, &raw)?;
        match *request.method() {
            Method::GET | Method::HEAD => {
                review::packument(app.registries(), &name, &asked(request.headers()))
                    .await
                    .map(passed_through)
            }
            Method::PUT => {
                let staged = publish(&app, &name, request, now).await?;
                Ok(accepted(&app, &name, &staged))
            }
            _ => refuse(Kind::Unsupported, UNSUPPORTED),
        }
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}

/// `npm stage publish`: the same intake, and the answer names what was staged.
async fn stage(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path(raw): Path<String>,
    request: Request,
) -> Response {
    let answer = async {
        let name = name(&request, &raw)?;
        let staged = publish(&app, &name, request, now).await?;
        let url = review_url(&app, staged.release);
        let body = json!({ "ok": true, "success": true, "stageId": staged.release });
        let response = (StatusCode::CREATED, Json(body)).into_response();
        Ok(with_notice(response, &notice(&name, &url)))
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}

async fn publish(
    app: &Arc<App>,
    name: &PackageName,
    request: Request,
    now: jiff::Timestamp,
) -> Result<Staged> {
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse(Kind::Unsupported, "expected a body without content encoding");
    }
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.split(';').next() == Some("application/json"))
    });
    if !json {
        return refuse(Kind::Unsupported, "expected the content type application/json");
    }
    let max = app.config.limits.npm_tarball_bytes / LENGTH_DENOMINATOR * LENGTH_NUMERATOR;
    check_length(headers, max + LENGTH_SLACK)?;
    let credential = bearer(headers)?;
    let client = client(headers);
    let body = request.into_body().into_data_stream();
    let session =
        ci::authenticate(&app.exchange, &credential, Scope::Npm(name.clone()), now).await?;
    let turn = turn(app)?;
    let (app, name) = (Arc::clone(app), name.clone());
    detached(async move {
        let upload = upload(session, client);
        let staged = intake::npm(&app.intake, &upload, &name, body, now).await?;
        app.progress.announce(staged.release);
        drop(turn);
        Ok(staged)
    })
    .await
}

/// Who uploads what.
pub fn upload(session: UploadSession, client: String) -> Upload {
    let stager = Stager { publisher: session.publisher, claims: session.claims, client };
    Upload { stager, packages: session.packages }
}

fn accepted(app: &App, name: &PackageName, staged: &Staged) -> Response {
    let url = review_url(app, staged.release);
    let body = json!({ "ok": true, "success": true, "id": staged.release, "review": url });
    with_notice((StatusCode::CREATED, Json(body)).into_response(), &notice(name, &url))
}

fn notice(name: &PackageName, url: &str) -> String {
    format!("{name} is staged and not published yet. Maintainers approve it at {url}")
}

/// Visibility is the upstream's; owners, dist-tags and trust are changed elsewhere.
async fn package_endpoint(
    State(app): State<Arc<App>>,
    Path(rest): Path<String>,
    request: Request,
) -> Response {
    let raw = raw_after(&request, "/npm/-/package/").unwrap_or(rest);
    let reading = request.method() == Method::GET;
    let answer = async {
        let Some(raw) = raw.strip_suffix("/visibility").filter(|_| reading) else {
            return refuse(Kind::Unsupported, UNSUPPORTED);
        };
        let name = parse(raw)?;
        let public = review::npm_is_public(&app.store, &name).await?;
        Ok(Json(json!({ "public": public })).into_response())
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}

#[derive(Deserialize)]
struct StagedQuery {
    package: Option<String>,
}

async fn staged_list(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Query(query): Query<StagedQuery>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let caller = ci::identify(&app.exchange, &bearer(&headers)?, now).await?;
        let items: Vec<_> = review::staged_of(&app.store, &caller, None)
            .await?
            .into_iter()
            .filter(|item| query.package.as_ref().is_none_or(|name| *name == item.package))
            .collect();
        Ok(Json(json!({ "total": items.len(), "items": items })).into_response())
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}

async fn staged_one(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let caller = ci::identify(&app.exchange, &bearer(&headers)?, now).await?;
        let id = id.parse().ok();
        let found = review::staged_of(&app.store, &caller, id).await?;
        match found.into_iter().next().filter(|_| id.is_some()) {
            Some(item) => Ok(Json(item).into_response()),
            None => refuse(Kind::NotFound, "no such staged version"),
        }
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}

/// No API call decides a release without an assertion (A15).
async fn refuse_decision() -> Response {
    let message = "expected maintainers to decide in the browser with their passkeys; a client \
                   cannot approve or reject here";
    npm_error(&crate::pipeline::Refusal::new(Kind::Unsupported, message).into())
}

const UNSUPPORTED: &str = "this gateway only stages new versions; deprecating, unpublishing, \
                           dist-tags, owners and log-in are done at the registry itself";

async fn refuse_other() -> Response {
    npm_error(&crate::pipeline::Refusal::new(Kind::Unsupported, UNSUPPORTED).into())
}

/// The package of a raw path below `/npm/` or `/npm/-/stage/package/`.
fn name(request: &Request, decoded: &str) -> Result<PackageName> {
    let raw = raw_after(request, "/npm/-/stage/package/").or_else(|| raw_after(request, "/npm/"));
    let raw = raw.as_deref().unwrap_or(decoded);
    // `name/-rev/…` and `name/-/file.tgz/-rev/…` change what is published.
    if raw.contains("/-") {
        return refuse(Kind::Unsupported, UNSUPPORTED);
    }
    parse(raw)
}

fn raw_after(request: &Request, prefix: &str) -> Option<String> {
    request.uri().path().strip_prefix(prefix).map(str::to_owned)
}

fn parse(raw: &str) -> Result<PackageName> {
    npm_name(raw)
        .map_err(|error| crate::pipeline::Refusal::new(Kind::BadInput, error.to_string()).into())
}

/// What a read that is passed through asks for.
pub fn asked(headers: &HeaderMap) -> review::Asked {
    review::Asked {
        accept: headers.get(header::ACCEPT).cloned(),
        if_none_match: headers.get(header::IF_NONE_MATCH).cloned(),
    }
}

/// A registry's own answer, handed on with its safe headers.
pub fn passed_through(passed: review::PassedThrough) -> Response {
    let mut response = Response::new(Body::from(passed.body));
    *response.status_mut() = StatusCode::from_u16(passed.status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().extend(passed.headers);
    response
}
