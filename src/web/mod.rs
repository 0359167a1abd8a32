//! The HTTP face: pages for people, registry paths for CI.
//!
//! `views` are the pages, `display` turns values into words, `assets` are the embedded files and
//! `security` the headers of every answer.

pub mod assets;
pub mod client_error;
pub mod display;
pub mod security;
pub mod views;
pub mod ceremonies;
pub mod error;
pub mod extract;
