//! The integration tests: one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod oidc;
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod exchange;
mod passkeys;
mod schema;
mod setup;
mod store_people;
mod support;
mod upstream;
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "outside of #[test] functions clippy does not know that this is test code"
)]
mod readers;
