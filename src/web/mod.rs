//! The HTTP face: pages for people, registry paths for CI.
//!
//! `views` are the pages, `display` turns values into words, `assets` are the embedded files and
//! `security` the headers of every answer. `extract` is what handlers take from a request and
//! `error` how refusals leave.

pub mod assets;
pub mod ceremonies;
pub mod client_error;
pub mod display;
pub mod error;
pub mod extract;
pub mod security;
pub mod token_exchange;
pub mod views;
pub mod ceremonies;
pub mod display;
pub mod error;
pub mod extract;
pub mod security;
pub mod views;
