//! The integration tests: one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::large_futures, reason = "a test holds a whole world, once")]

mod api;
mod approval;
mod authorise;
mod batch;
mod bounds;
mod canary;
mod doors;
mod evidence;
mod exchange;
mod forwarding;
mod governance;
mod governance_model;
mod governance_pages;
mod governed;
mod hold;
mod inspector;
mod leaving;
mod log;
mod log_public;
mod log_vectors;
mod lost_keys;
mod oidc;
mod pages;
mod passkeys;
mod people;
mod policy;
mod policy_desk;
mod policy_votes;
mod readers;
mod review;
mod schema;
mod sessions;
mod setup;
mod sso;
mod staging;
mod statement;
mod store_people;
mod support;
mod tampering;
mod tidy;
mod transactions;
mod upstream;
