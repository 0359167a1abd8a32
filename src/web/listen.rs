//! The accept loop: plain HTTP or TLS, with the time-outs that a framework's own loop lacks.
//!
//! Bounds (security.md 2.9): a connection gets [`HELLO`] for TLS and its first headers, at most
//! [`CONNECTIONS_MAX`] are open at once, headers are at most [`HEADERS_MAX`] bytes in
//! [`HEADER_COUNT_MAX`] fields. Certificates are read again when their files change.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::{Listen, TlsFiles};

/// Time for the TLS handshake, and again for complete request headers.
const HELLO: Duration = Duration::from_secs(10);
/// Connections at once per listener; the next ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// Bytes of all headers of one request.
const HEADERS_MAX: usize = 64 * 1024;
/// Header fields of one request.
const HEADER_COUNT_MAX: usize = 100;
/// How often certificate files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_mins(1);
/// How long open requests may go on after shutdown began.
const DRAIN: Duration = Duration::from_secs(25);

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
}

struct Tls {
    files: TlsFiles,
    acceptor: RwLock<TlsAcceptor>,
}

impl Listener {
    /// Binds the address and loads the certificate.
    pub async fn bind(listen: &Listen) -> Result<Self, ListenError> {
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
        Ok(Self { socket, tls })
    }

    /// The address that was bound, with the port the system chose for port 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` is cancelled, then lets open requests finish for [`DRAIN`].
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let listener = Arc::new(self);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = TaskTracker::new();
        if listener.tls.is_some() {
            tokio::spawn(watch_certificate(Arc::clone(&listener), stop.clone()));
        }
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = listener.socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                // Out of descriptors or an aborted handshake: pause instead of spinning.
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (listener, router, stop) = (Arc::clone(&listener), router.clone(), stop.clone());
            connections.spawn(async move {
                listener.connection(stream, peer, router, stop).await;
                drop(permit);
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
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return converse(stream, peer, router, stop).await;
        };
        let acceptor = match tls.acceptor.read() {
            Ok(acceptor) => acceptor.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        };
        match tokio::time::timeout(HELLO, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, peer, router, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }
}

/// Speaks HTTP on one connection until it ends.
async fn converse<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HELLO)
        .max_buf_size(HEADERS_MAX.max(128 * 1024))
        .max_headers(HEADER_COUNT_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .max_header_list_size(u32::try_from(HEADERS_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(100);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
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
