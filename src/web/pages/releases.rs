//! Where people decide.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// These routes.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}
