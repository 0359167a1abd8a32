//! Getting in: claim, invitation, sign-in, own keys, health, the theme.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;
use crate::web::error::WebError;

/// These routes.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}

/// The page that an unclaimed installation shows everybody; `None` once it is claimed.
pub async fn neutral(_app: &App, _headers: &HeaderMap) -> Result<Option<Response>, WebError> {
    Ok(None)
}
