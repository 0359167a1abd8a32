//! What several suites share.

pub(crate) mod authenticator;
pub(crate) mod database;
pub(crate) mod site;
