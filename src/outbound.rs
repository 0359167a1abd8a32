//! Small requests to addresses that operators configured: CI issuers, witnesses, webhooks (O4).
//!
//! Names are resolved here and filtered before connecting, and the connection is made to exactly
//! what passed the filter, so an answer that changes between check and use changes nothing.
//! Registries have a client of their own in `upstream`, since sending a release needs more.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use crate::domain::address;
use crate::domain::causes::with_causes;

/// Largest answer in bytes, such as a discovery document or a key set (O4).
pub const BODY_MAX_BYTES: usize = 64 * 1024;

/// How others are reached.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Longest wait for a connection, TLS included (O4).
    pub connect_timeout: Duration,
    /// Longest wait for a whole answer (O4).
    pub timeout: Duration,
    /// Certificates in PEM to trust besides the system's, such as a test authority's.
    pub extra_roots: Vec<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(5),
            extra_roots: Vec::new(),
        }
    }
}

/// The HTTP clients could not be built: a fault of the configuration or the system.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No usable root certificates, or an extra one does not parse.
    #[error("the client for issuers and witnesses could not be built")]
    Build(#[from] reqwest::Error),
    /// An entry of `extra_roots` holds no certificate at all.
    #[error("expected certificates in PEM as extra root {position}, found none")]
    NoCertificate {
        /// Which entry, counted from 1.
        position: usize,
    },
}

/// Why there was no answer to use. For logs: callers of ours see one text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The host is, or leads only to, an address we do not connect to.
    #[error("expected a host with an allowed address, received `{host}`")]
    Address {
        /// The host in the address.
        host: String,
    },
    /// Redirects and errors alike: only 200 is an answer.
    #[error("expected status 200, received `{received}`")]
    Status {
        /// The status.
        received: u16,
    },
    /// The answer is longer than [`BODY_MAX_BYTES`].
    #[error("expected at most {BODY_MAX_BYTES} bytes")]
    TooLarge,
    /// The answer is compressed although nothing was asked for.
    #[error("expected no content-encoding, received `{received}`")]
    Encoding {
        /// The header's value.
        received: String,
    },
    /// No connection, a TLS failure, or no whole answer in time.
    #[error("no answer: {reason}")]
    Transport {
        /// The chain of causes.
        reason: String,
    },
}

/// Two clients that differ in which addresses they connect to.
#[derive(Debug, Clone)]
pub struct Http {
    public: reqwest::Client,
    private: reqwest::Client,
}

impl Http {
    /// Builds the clients; connects to nobody yet.
    pub fn new(settings: &HttpSettings) -> Result<Self, ClientError> {
        // Whoever came first wins; both would have installed the same one.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = |allow_private: bool| -> Result<reqwest::Client, ClientError> {
            let mut builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .https_only(!allow_private)
                .connect_timeout(settings.connect_timeout)
                .timeout(settings.timeout)
                .pool_max_idle_per_host(0)
                .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Vetted { allow_private });
            for (index, pem) in settings.extra_roots.iter().enumerate() {
                let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes())?;
                if roots.is_empty() {
                    return Err(ClientError::NoCertificate { position: index + 1 });
                }
                builder = builder.tls_certs_merge(roots);
            }
            Ok(builder.build()?)
        };
        Ok(Self { public: client(false)?, private: client(true)? })
    }

    /// Gets a small JSON document. Bounded in time by the settings and in size by
    /// [`BODY_MAX_BYTES`]; sends nothing at all to an address that is not allowed.
    pub async fn get(&self, url: &Url, allow_private: bool) -> Result<Vec<u8>, FetchError> {
        let request = self.client(url, allow_private)?.get(url.clone());
        let (status, body) = answer(url, request.header(ACCEPT, "application/json")).await?;
        if status != 200 {
            return Err(FetchError::Status { received: status });
        }
        Ok(body)
    }

    /// Posts a text and gives the status with the answer, which is bounded like that of
    /// [`Self::get`]. Redirects are not followed; what a status means is the caller's question.
    pub async fn post(
        &self,
        url: &Url,
        allow_private: bool,
        text: String,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        let request = self.client(url, allow_private)?.post(url.clone());
        let request = request.header(CONTENT_TYPE, "text/plain; charset=utf-8").body(text);
        answer(url, request).await
    }

    /// Posts a form, with a name and secret of ours if the other side gave us one, and gives the
    /// status with the answer. Bounded like [`Self::get`].
    pub async fn post_form(
        &self,
        url: &Url,
        allow_private: bool,
        form: String,
        credential: Option<(&str, &SecretString)>,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        let request = self.client(url, allow_private)?.post(url.clone());
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form);
        let request = match credential {
            Some((name, secret)) => request.basic_auth(name, Some(secret.expose_secret())),
            None => request,
        };
        answer(url, request).await
    }

    fn client(&self, url: &Url, allow_private: bool) -> Result<&reqwest::Client, FetchError> {
        // Literal addresses never reach the resolver.
        let literal: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(v4)) => Some(v4.into()),
            Some(Host::Ipv6(v6)) => Some(v6.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(refused(url)),
        };
        if literal.is_some_and(|ip| !address::may_connect(ip, allow_private)) {
            return Err(refused(url));
        }
        Ok(if allow_private { &self.private } else { &self.public })
    }
}

fn refused(url: &Url) -> FetchError {
    FetchError::Address { host: url.host_str().unwrap_or("").to_owned() }
}

/// Sends a request and reads the whole answer, whatever its status.
async fn answer(url: &Url, request: RequestBuilder) -> Result<(u16, Vec<u8>), FetchError> {
    let sent = request.header(ACCEPT_ENCODING, "identity").send().await;
    let mut response =
        sent.map_err(|error| if error.is_dns() { refused(url) } else { transport(error) })?;
    let status = response.status().as_u16();
    if let Some(encoding) = response.headers().get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        let received = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
        return Err(FetchError::Encoding { received });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > BODY_MAX_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// The address is left out: a webhook's may hold a token.
fn transport(error: reqwest::Error) -> FetchError {
    FetchError::Transport { reason: with_causes(&error.without_url()) }
}

/// A resolver that only hands out addresses we may connect to.
struct Vetted {
    allow_private: bool,
}

/// A name has no address that passes the filter.
#[derive(Debug, thiserror::Error)]
#[error("no allowed address")]
struct NoAddress;

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|found| address::may_connect(found.ip(), allow_private)).collect();
            if allowed.is_empty() {
                return Err(NoAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(host: &str, allow_private: bool) -> Option<Vec<SocketAddr>> {
        let name = host.parse().unwrap();
        Vetted { allow_private }.resolve(name).await.ok().map(Iterator::collect)
    }

    #[test]
    fn an_extra_root_without_a_certificate_is_a_fault() {
        let settings = HttpSettings { extra_roots: vec!["no pem".into()], ..Default::default() };
        let fault = Http::new(&settings).unwrap_err();
        assert!(matches!(fault, ClientError::NoCertificate { position: 1 }), "{fault:?}");
    }

    /// Rule O4: a literal address never reaches the resolver, so it is judged before.
    #[tokio::test]
    async fn a_literal_private_address_is_not_connected_to() {
        let http = Http::new(&HttpSettings::default()).unwrap();
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "[::ffff:169.254.169.254]"] {
            let url = Url::parse(&format!("https://{host}:9/")).unwrap();
            let refused = http.get(&url, false).await;
            let received = url.host_str().unwrap().to_owned();
            assert_eq!(refused, Err(FetchError::Address { host: received }));
        }
    }

    /// Rule O4, rows J04 and J05: what connects is what was vetted.
    #[tokio::test]
    async fn a_name_with_private_addresses_only_does_not_resolve() {
        assert_eq!(resolve("localhost", false).await, None);
        let allowed = resolve("localhost", true).await.unwrap();
        assert!(!allowed.is_empty() && allowed.iter().all(|found| found.ip().is_loopback()));
    }
}
