//! stub
use crate::app::App;
use axum::Router;
use std::sync::Arc;
/// r
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
}
