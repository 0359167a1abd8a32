//! Previews: a sealed release below a secret address, as `npm` and `pip` read a registry.
//!
//! No session is looked at and no address is logged. Whatever is not there is a 404 with a sentence
//! that npm prints.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::app::App;
use crate::pipeline::{Fault, Kind, Result, preview, refuse};
use crate::web::client_error::npm_error;
use crate::web::extract::Now;
use crate::web::routes::Routes;
use crate::web::security::held_file;

/// The media type of PEP 691.
const SIMPLE_JSON: HeaderValue = HeaderValue::from_static("application/vnd.pypi.simple.v1+json");

/// The routes below `/preview`.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/preview/{token}/simple/{project}/", simple)
        .get("/preview/{token}/files/{filename}", file)
        .any("/preview/{token}/{*package}", package)
}

/// The address of a preview, ending in `/`.
pub fn base(app: &App, token: &SecretString) -> Result<Url> {
    let text = format!("{}/preview/{}/", app.config.origin_text(), token.expose_secret());
    // The error would repeat nothing of the text, and neither does this.
    Url::parse(&text).map_err(|error| Fault::new("writing the address of a preview", error).into())
}

async fn simple(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path((token, project)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let page = preview::open(&app.store, &token, now).await?.simple_page(&project)?;
        Ok(([(header::CONTENT_TYPE, SIMPLE_JSON)], page.to_string()).into_response())
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}

/// The exact bytes that were sealed; a client may store them and nothing else (S7).
async fn file(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path((token, filename)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let previewed = preview::open(&app.store, &token, now).await?;
        let (artifact, reader) = previewed.file(&app.intake.blobs, &filename).await?;
        held_file(artifact, Body::from_stream(reader.into_stream()))
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}

/// A packument. Audits, log-ins and whatever else clients try here is not there.
async fn package(
    State(app): State<Arc<App>>,
    Now(now): Now,
    Path((token, name)): Path<(String, String)>,
    method: Method,
) -> Response {
    let answer = async {
        let previewed = preview::open(&app.store, &token, now).await?;
        if !matches!(method, Method::GET | Method::HEAD) {
            return refuse(Kind::NotFound, "a preview is read and nothing else");
        }
        let base = base(&app, &SecretString::from(token))?;
        Ok(Json(previewed.packument(&name, &base)?).into_response())
    };
    answer.await.unwrap_or_else(|error| npm_error(&error))
}
