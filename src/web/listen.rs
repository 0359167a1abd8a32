//! The accept loop: plain HTTP or TLS, with the time-outs that a framework's own loop lacks.
//!
//! [`Bounds`] hold before any handler runs: time for TLS and headers, connections at once, the size
//! of headers and the pace of bodies. Certificates are read again when their files change.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::http::{StatusCode, Version, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::{Listen, TlsFiles};
use crate::web::pace::{Pace, Paced};
use crate::web::room::Room;

/// Bytes of the address and all headers of one request.
const HEADERS_MAX: usize = 64 * 1024;
/// Header fields of one request.
const HEADER_COUNT_MAX: usize = 100;
/// How often certificate files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_mins(1);
/// How long open requests may go on after shutdown began.
const DRAIN: Duration = Duration::from_secs(25);

/// What one listener takes from the other side.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From the connection to its first complete headers, TLS included; later requests on the same
    /// connection get as long from the end of the one before.
    pub hello: Duration,
    /// Connections at once; the next ones wait in the system's queue.
    pub connections: usize,
    /// Connections at once from one address; the next ones are closed. A proxy is one address.
    pub connections_each: usize,
    /// How fast bodies have to come.
    pub pace: Pace,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            connections: 4_096,
            connections_each: 1_024,
            pace: Pace::default(),
        }
    }
}

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate or key is missing or not usable.
    #[error("cannot use the certificate `{certificate}`: {why}")]
    Certificate {
        /// Which file.
        certificate: String,
        /// Why.
        why: String,
    },
}

/// A bound listener.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    bounds: Bounds,
}

struct Tls {
    files: TlsFiles,
    acceptor: RwLock<TlsAcceptor>,
}

impl Listener {
    /// Binds the address and loads the certificate.
    pub async fn bind(listen: &Listen, bounds: Bounds) -> Result<Self, ListenError> {
        let socket = TcpListener::bind(listen.address)
            .await
            .map_err(|source| ListenError::Bind { address: listen.address, source })?;
        let tls = match &listen.tls {
            Some(files) => {
                let acceptor = RwLock::new(load(files)?);
                Some(Tls { files: files.clone(), acceptor })
            }
            None => None,
        };
        Ok(Self { socket, tls, bounds })
    }

    /// The address that was bound, with the port the system chose for port 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` is cancelled, then lets open requests finish for [`DRAIN`].
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let room = Arc::new(Room::new(self.bounds.connections, self.bounds.connections_each));
        let listener = Arc::new(self);
        let connections = TaskTracker::new();
        if listener.tls.is_some() {
            tokio::spawn(watch_certificate(Arc::clone(&listener), stop.clone()));
        }
        loop {
            let next = async { Some((room.free().await?, listener.socket.accept().await)) };
            let next = tokio::select! {
                next = next => next,
                () = stop.cancelled() => None,
            };
            let Some((free, accepted)) = next else { break };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                // Out of descriptors or an aborted handshake: pause instead of spinning.
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = room.take(free, peer.ip()) else {
                tracing::debug!(%peer, "too many connections from one address");
                continue;
            };
            let (listener, router, stop) = (Arc::clone(&listener), router.clone(), stop.clone());
            connections.spawn(async move {
                listener.connection(stream, peer, router, stop).await;
                drop(place);
            });
        }
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!("some connections did not finish in time");
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        router: Router,
        stop: CancellationToken,
    ) {
        let until = Instant::now() + self.bounds.hello;
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.converse(stream, peer, until, router, stop).await;
        };
        let acceptor = match tls.acceptor.read() {
            Ok(acceptor) => acceptor.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        };
        match tokio::time::timeout_at(until, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream, peer, until, router, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    /// Speaks HTTP on one connection until it ends. `until` is when its first headers must be there.
    async fn converse<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        until: Instant,
        router: Router,
        stop: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (pace, heard) = (self.bounds.pace, Arc::new(AtomicBool::new(false)));
        let first = Arc::clone(&heard);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            first.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(peer));
            let router = router.clone();
            async move {
                if let Some(status) = malformed(&request) {
                    return Ok(status.into_response());
                }
                router.oneshot(request.map(|body| Body::new(Paced::new(body, pace)))).await
            }
        });
        let builder = http(self.bounds.hello);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silence(until, &heard) => {
                return tracing::debug!(%peer, "a connection asked for nothing in time");
            }
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

/// Both versions of HTTP with their bounds.
fn http(hello: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(hello)
        // Twice the headers, so that bodies are read in long pieces.
        .max_buf_size(2 * HEADERS_MAX)
        .max_headers(HEADER_COUNT_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .max_header_list_size(u32::try_from(HEADERS_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(100);
    builder
}

/// Ends when the time is over and no request was heard. Without it a connection that sends nothing,
/// or only the preface of HTTP/2, would stay open for ever.
async fn silence(until: Instant, heard: &AtomicBool) {
    tokio::time::sleep_until(until).await;
    if heard.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// What HTTP does not allow and hyper lets pass: headers that are too long, and a request that does
/// not say once which host it is for (RFC 9112, 3.2).
fn malformed<B>(request: &hyper::Request<B>) -> Option<StatusCode> {
    let headers = request.headers();
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let address = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    if address + fields > HEADERS_MAX || headers.len() > HEADER_COUNT_MAX {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    let named = match request.version() {
        Version::HTTP_11 => hosts == 1,
        // HTTP/2 names it in the address.
        _ => hosts <= 1,
    };
    (!named).then_some(StatusCode::BAD_REQUEST)
}

fn load(files: &TlsFiles) -> Result<TlsAcceptor, ListenError> {
    let refused = |why: String| ListenError::Certificate {
        certificate: files.certificate.display().to_string(),
        why,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| refused(error.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refused(error.to_string()))?;
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refused(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Loads the certificate again when one of its files changed; a bad one leaves the old in place.
async fn watch_certificate(listener: Arc<Listener>, stop: CancellationToken) {
    let Some(tls) = &listener.tls else { return };
    let changed = || [changed_at(&tls.files.certificate), changed_at(&tls.files.key)];
    let mut known = changed();
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATE_CHECK) => {}
            () = stop.cancelled() => return,
        }
        let now = changed();
        if now == known {
            continue;
        }
        known = now;
        match load(&tls.files) {
            Ok(fresh) => {
                match tls.acceptor.write() {
                    Ok(mut acceptor) => *acceptor = fresh,
                    Err(poisoned) => *poisoned.into_inner() = fresh,
                }
                tracing::info!("the TLS certificate was loaded again");
            }
            Err(error) => tracing::error!(%error, "the changed TLS certificate is not usable"),
        }
    }
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
