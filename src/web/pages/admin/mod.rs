//! What owners set up: packages, publishers, policies, registries, issuers, people.
//!
//! A form that is refused for what was typed comes back with the reason and the fields as they
//! were, with status 422; after a success the browser is sent to the thing that was made.

mod leaving;
mod packages;
pub(in crate::web::pages) mod people;
pub(in crate::web::pages) mod policies;
mod policy_check;
mod policy_editor;
pub(in crate::web::pages) mod publishers;
pub(in crate::web::pages) mod registries;

use std::sync::Arc;

use crate::app::App;
use crate::web::routes::Routes;

/// These routes.
pub fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .merge(packages::routes())
        .merge(publishers::routes())
        .merge(policies::routes())
        .merge(registries::routes())
        .merge(people::routes())
        .merge(leaving::routes())
}
