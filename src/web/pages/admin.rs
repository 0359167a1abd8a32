//! What owners set up: packages, publishers, policies, registries, issuers, people.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// These routes.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}
