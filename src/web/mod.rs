//! The HTTP face: pages for people, registry paths for CI.
//!
//! `views` are the pages, `display` turns values into words, `assets` are the embedded files and
//! `security` the headers of every answer. `extract` is what handlers take from a request and
//! `error` how refusals leave. `preview` shows one release as a registry. `listen` accepts connections;
//! `room`, `pace` and `rate` bound what comes over them. `routes` keeps the list of every door.

pub mod api;
pub mod assets;
pub mod ceremonies;
pub mod client_error;
pub mod display;
pub mod error;
pub mod extract;
pub mod listen;
pub mod log;
pub mod pace;
pub mod pages;
pub mod preview;
pub mod rate;
pub mod registry_npm;
pub mod registry_pypi;
pub mod room;
pub mod routes;
pub mod security;
pub mod sso;
pub mod token_exchange;
pub mod upload;
pub mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::app::App;
use crate::web::routes::Routes;
use crate::web::security::SecurityHeaders;
use crate::web::token_exchange::TokenExchange;

/// The gateway.
pub fn router(app: &Arc<App>) -> Router {
    routes(app).into_router()
}

/// Every route of the gateway.
pub fn routes(app: &Arc<App>) -> Routes<()> {
    let exchange =
        TokenExchange::new(app.exchange.clone(), &app.config.audience, app.clock.clone());
    let headers = SecurityHeaders::new(app.config.origin.scheme() == "https");
    // Uploads are bounded where they stream, by configuration; everything else reads its own body
    // with its own bound.
    let uploads = registry_npm::routes()
        .merge(registry_pypi::routes())
        .within(|router| router.layer(DefaultBodyLimit::disable()));
    let previews = preview::routes()
        .within(|router| router.layer(from_fn_with_state(headers.clone(), security::add)));
    let log = log::routes().within(|router| {
        router
            .layer(from_fn(error::render))
            .layer(from_fn_with_state(headers.clone(), security::add))
    });
    let pages = ceremonies::routes().merge(sso::routes()).merge(pages::routes()).within(|router| {
        router
            .fallback(pages::not_found)
            .layer(from_fn_with_state(Arc::clone(app), pages::access::gate))
            .layer(from_fn(error::render))
            .layer(from_fn_with_state(headers.clone(), security::add))
    });
    Routes::new()
        .get("/healthz", async || "alive\n")
        .get("/readyz", ready)
        .get("/static/{name}", assets::serve)
        .merge(uploads)
        .merge(previews)
        .merge(api::routes(headers))
        .merge(log)
        .merge(pages)
        .with_state(Arc::clone(app))
        .merge(token_exchange::routes(exchange))
}

/// Ready means that the database answers and takes changes.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.store.is_read_only() {
        let words = "read-only: the log is not what was signed and kept, see docs/log.md\n";
        return (StatusCode::SERVICE_UNAVAILABLE, words);
    }
    match app.store.snapshot().await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}
