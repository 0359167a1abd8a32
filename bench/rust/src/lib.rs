//! What the benchmark programs share: archives of any size whose digests cost almost nothing per
//! request, the requests that real clients make of them, a small HTTP client, measuring.
//!
//! These are tools for one machine and one operator: they end with a message when something is
//! wrong, and refuse every address that is not loopback.

pub mod archive;
pub mod arguments;
pub mod digests;
pub mod http;
pub mod measure;
pub mod requests;
pub mod unpack;
