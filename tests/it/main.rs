//! The integration tests: one binary.

mod passkeys;
mod support;
