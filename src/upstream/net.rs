//! Connections: one pool per upstream, no redirects, no proxies, no decompression, filtered
//! addresses, and a limit on every wait and every body (U2).

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderValue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::answer::{self, Answer};
use super::{Client, ClientError, POOLS_MAX, Passthrough, PoolKey, READ_MAX, ReadFault, SendFault};
use crate::domain::address;
use crate::domain::causes::causes;
use crate::domain::upstream::{Outcome, RefusedFor, Upstream};

/// What requests call themselves.
const USER_AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));
/// Idle connections are dropped before common registries drop them, which spares broken sends.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// Longest text of one error in a chain that is repeated, in characters.
const CAUSE_MAX: usize = 200;

impl Client {
    /// The connections of one upstream.
    pub(super) fn pool(&self, upstream: &Upstream) -> Result<reqwest::Client, ClientError> {
        let key = PoolKey {
            upstream: upstream.id(),
            publish_origin: upstream.publish_origin(),
            read_origin: upstream.read_origin(),
            files_url: upstream.files_url().cloned(),
            allow_private: upstream.allow_private(),
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let pool = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .connect_timeout(self.settings.connect)
            .pool_idle_timeout(POOL_IDLE)
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .tls_certs_merge(self.roots.clone())
            .dns_resolver(Filter { allow_private: upstream.allow_private() })
            .build()
            .map_err(|error| ClientError::Build(last_cause(&error)))?;
        if pools.len() >= POOLS_MAX {
            pools.clear();
        }
        pools.insert(key, pool.clone());
        Ok(pool)
    }

    /// One bounded GET. Statuses other than 2xx, 304 and 404 are faults.
    pub(super) async fn get(
        &self,
        upstream: &Upstream,
        url: Url,
        headers: HeaderMap,
    ) -> Result<Got, ReadFault> {
        if !may_connect(&url, upstream.allow_private()) {
            return Err(ReadFault::PrivateAddress);
        }
        let request = self.pool(upstream)?.get(url).headers(headers);
        let read = async {
            let response = timeout(self.settings.connect + self.settings.idle, request.send())
                .await
                .map_err(|_| ReadFault::TimedOut)?
                .map_err(|error| Broken::of(&error).into_read_fault())?;
            Got::read(response, self.settings.idle).await
        };
        timeout(self.settings.read_total, read).await.map_err(|_| ReadFault::TimedOut)?
    }
}

/// An IP address in the URL itself never reaches the resolver, so it is judged here.
pub(super) fn may_connect(url: &Url, allow_private: bool) -> bool {
    let judged = |ip| address::may_connect(ip, allow_private);
    match url.host() {
        Some(Host::Ipv4(ip)) => judged(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => judged(IpAddr::V6(ip)),
        Some(Host::Domain(_)) => true,
        None => false,
    }
}

/// A bearer or basic `Authorization` that logs do not show.
pub(super) fn authorization(scheme: &str, secret: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("{scheme} {secret}"));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `Basic` with user name and password; a colon in the user name would move the border.
pub(super) fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    if username.contains(':') {
        return None;
    }
    let pair = Zeroizing::new(format!("{username}:{password}"));
    authorization("Basic", &Zeroizing::new(STANDARD.encode(pair.as_bytes())))
}

/// Adds the credential of a read, if there is one.
pub(super) fn authorize_read(
    headers: &mut HeaderMap,
    credential: Option<&SecretString>,
    scheme: impl FnOnce(&str) -> Option<HeaderValue>,
) -> Result<(), ReadFault> {
    if let Some(secret) = credential {
        let value = scheme(secret.expose_secret()).ok_or(ReadFault::Credential)?;
        headers.insert(AUTHORIZATION, value);
    }
    Ok(())
}

/// A whole answer to a GET.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    async fn read(response: reqwest::Response, idle: Duration) -> Result<Self, ReadFault> {
        let status = response.status().as_u16();
        if !matches!(status, 200..=299 | 304 | 404) {
            return Err(fault_of(response, idle).await);
        }
        let encoded = response
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| encoding.as_bytes() != b"identity");
        if encoded {
            return Err(ReadFault::Malformed("compressed without being asked".into()));
        }
        let headers = response.headers().clone();
        let (body, ending) = read_body(response, READ_MAX, idle).await;
        match ending {
            Ending::Whole => Ok(Self { status, headers, body }),
            Ending::TooLarge => Err(ReadFault::TooLarge),
            Ending::TimedOut => Err(ReadFault::TimedOut),
            Ending::Broken(message) => Err(ReadFault::Unreachable(message)),
        }
    }

    /// The body if it is a JSON object; derived readers would take an array for one.
    pub(super) fn json_object(&self) -> Result<&[u8], ReadFault> {
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'{') {
            Ok(&self.body)
        } else {
            Err(ReadFault::Malformed("expected a JSON object".into()))
        }
    }

    /// The media type without parameters, lower case.
    pub(super) fn media_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = value.unwrap_or_default().split(';').next().unwrap_or_default();
        media_type.trim().to_ascii_lowercase()
    }

    pub(super) fn into_passthrough(self) -> Passthrough {
        let mut headers = HeaderMap::new();
        for name in [CONTENT_TYPE, ETAG, CACHE_CONTROL, LAST_MODIFIED, VARY] {
            if let Some(value) = self.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        Passthrough { status: self.status, headers, body: self.body }
    }
}

/// What an answer means that does not have what was asked for.
pub(super) async fn fault_of(response: reqwest::Response, idle: Duration) -> ReadFault {
    match response.status().as_u16() {
        status @ 300..=399 => ReadFault::Redirect(status),
        status @ (429 | 500..=599) => {
            ReadFault::Unavailable { status, after: answer::retry_after(response.headers()) }
        }
        status => {
            let answer = Answer::read(response, idle, None).await;
            ReadFault::Refused { status, message: answer.message }
        }
    }
}

/// How reading a body ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    TooLarge,
    TimedOut,
    Broken(String),
}

/// Reads at most `limit` bytes; what came before a bad ending is returned too.
pub(super) async fn read_body(
    mut response: reqwest::Response,
    limit: usize,
    idle: Duration,
) -> (Bytes, Ending) {
    let mut body = BytesMut::new();
    let ending = loop {
        match timeout(idle, response.chunk()).await {
            Err(_) => break Ending::TimedOut,
            Ok(Err(error)) => break Ending::Broken(last_cause(&error)),
            Ok(Ok(None)) => break Ending::Whole,
            Ok(Ok(Some(piece))) => {
                let room = limit - body.len();
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() > room {
                    break Ending::TooLarge;
                }
            }
        }
    };
    (body.freeze(), ending)
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The address is private and was not allowed; nothing was sent.
    PrivateAddress,
    /// TLS failed; nothing was sent.
    Tls(String),
    /// No connection; nothing was sent.
    Connect(String),
    /// The connection broke after the request had begun.
    Later(String),
}

impl Broken {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if causes(error).any(<dyn StdError>::is::<PrivateAddress>) {
            return Self::PrivateAddress;
        }
        if !error.is_connect() {
            return Self::Later(last_cause(error));
        }
        let tls = causes(error).find_map(tls_error).map(|cause| excerpt(&cause.to_string()));
        tls.map_or_else(|| Self::Connect(last_cause(error)), Self::Tls)
    }

    pub(super) fn into_outcome(self) -> Outcome {
        let refused = |reason, message| Outcome::Refused { reason, status: None, message };
        match self {
            Self::PrivateAddress => refused(
                RefusedFor::PrivateAddress,
                "the registry's name leads to a private address".into(),
            ),
            Self::Tls(message) => refused(RefusedFor::Tls, message),
            Self::Connect(message) => Outcome::Retry { after: None, message },
            Self::Later(message) => Outcome::Unknown { message },
        }
    }

    pub(super) fn into_read_fault(self) -> ReadFault {
        match self {
            Self::PrivateAddress => ReadFault::PrivateAddress,
            Self::Tls(message) => ReadFault::Tls(message),
            Self::Connect(message) | Self::Later(message) => ReadFault::Unreachable(message),
        }
    }
}

/// The cause's own TLS error. An `io::Error` hides what it wraps from `source`, and they nest.
fn tls_error<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = cause.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let inside: &'a (dyn StdError + 'static) = cause.downcast_ref::<io::Error>()?.get_ref()?;
    tls_error(inside)
}

/// An error's last cause in words; the URL in the first ones would only repeat the configuration.
pub(super) fn last_cause(error: &reqwest::Error) -> String {
    let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
    if last.is_empty() { "the connection failed".to_owned() } else { excerpt(&last) }
}

fn excerpt(text: &str) -> String {
    text.chars().take(CAUSE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A request that cannot be built; says nothing of its headers.
pub(super) fn request_fault(error: &reqwest::Error) -> SendFault {
    SendFault::Request(last_cause(error))
}

/// The system's resolver, refusing names that lead to any address the upstream may not have (U02).
#[derive(Debug)]
struct Filter {
    allow_private: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the name leads to a private address")]
struct PrivateAddress;

impl Resolve for Filter {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One refused address among good ones is how rebinding starts.
            if !found.iter().all(|found| address::may_connect(found.ip(), allow_private)) {
                return Err(Box::from(PrivateAddress));
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule K4: whoever prints the headers of a request prints no credential.
    #[test]
    fn a_credential_in_a_header_does_not_print() {
        for value in [authorization("Bearer", "npm_canary"), basic("__token__", "pypi-canary")] {
            assert_eq!(format!("{:?}", value.unwrap()), "Sensitive");
        }
    }
}
