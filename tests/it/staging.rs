//! Staging.
