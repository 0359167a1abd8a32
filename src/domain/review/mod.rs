//! What changed between the version people run today and a candidate, and what of it to look at.
//!
//! `inspect::survey` reads both artifacts and says what is in them; everything here is computed
//! from the two surveys, so it can be repeated by anybody who has the files. Checks are relative to
//! the baseline: what a package always did is quiet, what it does for the first time is not.

pub mod baseline;
pub mod binding;
pub mod checks;
pub mod closure;
pub mod compared;
pub mod delta;
pub mod diff;
pub mod files;
pub mod finding;
pub mod modules;
pub mod path;
pub mod provenance;
pub mod report;
pub mod survey;
pub mod workflow;
