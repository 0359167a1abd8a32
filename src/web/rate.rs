//! How often one address may ask for what costs something or can be guessed at.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Extensions, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::pipeline::{Error, Kind, Refusal};
use crate::web::error::WebError;
use crate::web::room::network;

/// Addresses remembered before those without recent requests are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// Counts requests by the address of the connection. What a header claims about it is not looked
/// at (W17), so everybody behind one proxy is counted together. Clones share the count.
#[derive(Clone)]
pub struct AddressRate {
    addresses: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    /// What a caller beyond it did.
    message: &'static str,
}

/// An address asked more often than it may.
#[derive(Debug, Clone, Copy)]
pub struct TooOften {
    message: &'static str,
    /// When it may ask again.
    pub retry_after_secs: u64,
}

impl From<TooOften> for Error {
    fn from(TooOften { message, retry_after_secs }: TooOften) -> Self {
        let message = format!("{message}, try again in {retry_after_secs} s");
        Refusal::new(Kind::TooMany, message).into()
    }
}

impl fmt::Debug for AddressRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressRate").field("message", &self.message).finish_non_exhaustive()
    }
}

impl AddressRate {
    /// So many, with no address remembered.
    pub fn new(quota: Quota, message: &'static str) -> Self {
        Self { addresses: Arc::new(RateLimiter::keyed(quota)), message }
    }

    /// Counts one request. Without an address nothing is counted: our own accept loop always knows
    /// it.
    pub fn check(&self, extensions: &Extensions) -> Result<(), TooOften> {
        let Some(ConnectInfo(address)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Ok(());
        };
        if self.addresses.len() > ADDRESSES_MAX {
            self.addresses.retain_recent();
        }
        self.addresses.check_key(&network(address.ip())).map_err(|until| {
            let wait = until.wait_time_from(self.addresses.clock().now());
            // Rounded up: who comes at the second named is let in.
            TooOften { message: self.message, retry_after_secs: wait.as_secs() + 1 }
        })
    }
}

/// Middleware: `axum::middleware::from_fn_with_state(rate, rate::limit)`.
pub async fn limit(State(rate): State<AddressRate>, request: Request, next: Next) -> Response {
    match rate.check(request.extensions()) {
        Ok(()) => next.run(request).await,
        Err(too_often) => {
            let mut response = WebError(too_often.into()).into_response();
            let seconds = HeaderValue::from(too_often.retry_after_secs);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
    }
}
