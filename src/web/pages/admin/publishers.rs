//! stub
use std::sync::Arc;
use axum::Router;
use crate::app::App;
use crate::domain::publisher::Rule;
use crate::web::views::shell::Fact;
pub(super) fn routes() -> Router<Arc<App>> { Router::new() }
pub(super) fn rule_facts(_rule: &Rule) -> Vec<Fact> { Vec::new() }
