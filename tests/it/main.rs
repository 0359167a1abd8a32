//! The integration tests: one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod exchange;
mod log;
mod log_public;
mod log_vectors;
mod oidc;
mod pages;
mod passkeys;
mod people;
mod readers;
mod schema;
mod setup;
mod statement;
mod store_people;
mod support;
mod tidy;
mod upstream;
