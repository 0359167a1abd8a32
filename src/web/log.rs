//! The public log, for everybody: C2SP tlog-tiles below `/log`, and the key to check it with.
//!
//! What has a tile's name never changes and may be kept for ever; the checkpoint may not be kept at
//! all. Nothing here depends on who asks.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::domain::log::tile::Tile;
use crate::pipeline::log::reading;
use crate::pipeline::{Kind, Refusal};
use crate::web::error::WebError;
use crate::web::routes::Routes;

/// For what never changes: a year, without asking again.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For what changes with every entry.
const NEVER: &str = "no-cache";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// These routes.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/log/checkpoint", checkpoint)
        .get("/log/key", key)
        .get("/log/tile/{*path}", tile)
}

async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, WebError> {
    let note = reading::checkpoint(&app.store).await?;
    Ok(public(note.ok_or_else(nothing)?, TEXT, NEVER))
}

async fn key(State(app): State<Arc<App>>) -> Response {
    public(format!("{}\n", app.notary.verifier_key()), TEXT, NEVER)
}

async fn tile(State(app): State<Arc<App>>, Path(path): Path<String>) -> Result<Response, WebError> {
    let tile = Tile::parse(&path).ok_or_else(nothing)?;
    let bytes = reading::tile(&app.store, tile).await?.ok_or_else(nothing)?;
    Ok(public(bytes, BYTES, FOR_EVER))
}

fn nothing() -> Refusal {
    Refusal::new(Kind::NotFound, "no checkpoint of the log covers this")
}

/// An answer that any page and any cache may have.
fn public(body: impl Into<axum::body::Body>, kind: &'static str, cached: &'static str) -> Response {
    let mut response = body.into().into_response();
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cached),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
