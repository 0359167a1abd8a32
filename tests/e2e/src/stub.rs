//! A recording stand-in for the gateway's client-facing paths (wire.md 0.1), over plain HTTP and over TLS. It says yes to
//! everything and keeps what came, so that the client drivers are proven against something that is not the product.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ca::Ca;

/// The largest body kept, in bytes. Test projects are a few kilobytes.
const BODY_LIMIT: usize = 16 << 20;

/// What a mint or exchange answers.
pub const MINTED: &str = "pypi-minted-by-the-stub";

/// One request as it came.
#[derive(Clone)]
pub struct Recorded {
    /// `POST`, …
    pub method: String,
    /// Path and query, exactly as sent (`%2f` kept).
    pub target: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Recorded {
    /// A header as text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// Whether the body holds these bytes.
    pub fn holds(&self, needle: &[u8]) -> bool {
        self.body.windows(needle.len()).any(|window| window == needle)
    }
}

#[derive(Clone)]
struct Shared {
    requests: Arc<Mutex<Vec<Recorded>>>,
    audience: String,
}

/// The running stand-in.
pub struct Stub {
    /// `http://localhost:PORT`
    pub http: String,
    /// `https://localhost:PORT`
    pub https: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

impl Stub {
    /// Listens on two free loopback ports.
    pub async fn start(ca: &Ca) -> Stub {
        let requests = Arc::<Mutex<Vec<Recorded>>>::default();
        let shared = Shared { requests: requests.clone(), audience: "localhost".to_string() };
        let routes = Router::new().fallback(answer).with_state(shared);
        let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let secret = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let stub = Stub {
            http: format!("http://localhost:{}", port(&plain)),
            https: format!("https://localhost:{}", port(&secret)),
            requests,
        };
        let tls = Tls { listener: secret, acceptor: TlsAcceptor::from(ca.server()) };
        let over_tls = routes.clone();
        tokio::spawn(async move { axum::serve(plain, routes).await.expect("serving") });
        tokio::spawn(async move { axum::serve(tls, over_tls).await.expect("serving") });
        stub
    }

    /// Everything so far, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().expect("requests").clone()
    }

    /// Those with this method whose target contains `part`.
    pub fn with(&self, method: &str, part: &str) -> Vec<Recorded> {
        self.requests()
            .into_iter()
            .filter(|r| r.method == method && r.target.contains(part))
            .collect()
    }

    /// `POST /path`, one line each, for messages of failed checks.
    pub fn summary(&self) -> String {
        self.requests().iter().map(|r| format!("{} {}\n", r.method, r.target)).collect()
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else { continue };
            // A client that does not trust us hangs up here; the next one is served.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.expect("a body within the limit").to_vec();
    let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let (status, content) = match (head.method.as_str(), target.as_str()) {
        ("GET", "/_/oidc/audience") => (200, json!({ "audience": shared.audience })),
        ("POST", t) if t.ends_with("/mint-token") => (
            200,
            json!({ "success": true, "token": MINTED, "expires": crate::clock::unix_seconds() + 900 }),
        ),
        ("POST", t) if t.ends_with("/burn-token") => (202, json!({ "message": "Accepted" })),
        ("POST", t) if t.contains("/oidc/token/exchange/package/") => {
            (201, json!({ "token_type": "oidc", "token": MINTED }))
        }
        ("POST", t) if t.contains("/-/stage/package/") => {
            (201, json!({ "ok": true, "stageId": "0193a0de-0000-7000-8000-000000000001" }))
        }
        ("PUT", _) => (201, json!({ "ok": true, "success": true })),
        ("POST", t) if t.starts_with("/pypi/legacy") => (200, json!({})),
        _ => (404, json!({ "error": "not found" })),
    };
    let recorded =
        Recorded { method: head.method.to_string(), target, headers: head.headers, body };
    shared.requests.lock().expect("requests").push(recorded);
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header("content-type", "application/json")
        .header("npm-notice", "waiting for approval (stub)")
        .body(Body::from(content.to_string()))
        .expect("a response")
}
