//! What several suites share.

pub(crate) mod authenticator;
pub(crate) mod database;
pub(crate) mod der;
pub(crate) mod desk;
pub(crate) mod faults;
pub(crate) mod gateway;
pub(crate) mod governing;
pub(crate) mod history;
pub(crate) mod house;
pub(crate) mod http;
pub(crate) mod issuer;
pub(crate) mod npm_registry;
pub(crate) mod pypi_registry;
pub(crate) mod repository;
pub(crate) mod setup;
pub(crate) mod sigstore;
pub(crate) mod site;
pub(crate) mod timestamps;
pub(crate) mod tools;
pub(crate) mod witness;
pub(crate) mod world;
