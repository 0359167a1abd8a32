//! Countersign: a release gateway whose publish right takes k of n signatures to use.
//!
//! The modules in reading order; imports point down this list only (`tests/it/tidy.rs`).

pub mod domain;

pub mod blobs;
pub mod config;
pub mod entropy;
pub mod inspect;
pub mod keyfile;
pub mod oidc;
pub mod outbound;
pub mod passkeys;
pub mod store;
pub mod upstream;
pub mod vault;
pub mod witness;

pub mod inspector;

pub mod pipeline;

pub mod app;
pub mod web;
pub mod workers;

pub mod cli;
