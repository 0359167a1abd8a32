//! Strict, bounded readers of untrusted bytes: archives, publish documents and their metadata.
//!
//! Every reader accepts only the subset that real tools produce and refuses the rest (security.md
//! 2.10), so what a reviewer is shown is what every other reader of the same bytes will see.
//! Nothing is ever extracted to disk, and nothing here waits, sends or reads a clock. Readers take
//! `Read` (and `Seek` for ZIP) so that they run the same in a short-lived child process.

pub mod difference;
pub mod envelope;
pub mod failure;
pub mod gzip;
pub mod limits;
pub mod names;
pub mod npm;
pub mod pypi;
pub mod request;
pub mod survey;
pub mod tar;
pub mod zip;

pub use difference::{Comparison, Difference};
pub use failure::{Failure, Refusal};
pub use limits::Limits;
