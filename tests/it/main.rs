//! The integration tests: one binary.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "outside of #[test] functions clippy does not know that this is test code"
)]

mod readers;
