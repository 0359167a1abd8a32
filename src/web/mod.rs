//! The HTTP side: what clients, browsers and the API see.

pub mod client_error;
