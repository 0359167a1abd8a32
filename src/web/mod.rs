//! The HTTP face: pages for people, registry paths for CI.

pub mod ceremonies;
pub mod error;
pub mod extract;
