//! The archive and document readers against real packages, hostile rows and Python's own readers.

pub(crate) mod build;
mod differential;
mod envelope_rows;
mod npm_rows;
mod real_packages;
mod sdist_rows;
mod tar_rows;
mod wheel_rows;
mod zip_rows;
