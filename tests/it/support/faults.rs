//! The wire under both fake registries: a loopback listener that can also misbehave.
//!
//! Faults follow security.md 3.4; most come in two flavours, with the artifact stored or not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

/// A body of any kind.
pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Reads the request, stores it or not, and answers this whatever happened.
    Answer { status: u16, headers: Vec<(&'static str, &'static str)>, body: String, store: bool },
    /// Reads this share of the request and closes the connection.
    CutWhileReading { percent: u64 },
    /// Reads the request, stores it or not, and closes the connection.
    NoAnswer { store: bool },
    /// Reads the request, stores it or not, and answers as usual after a pause.
    Late { pause: Duration, store: bool },
    /// Answers before it has read the request.
    Early { status: u16 },
    /// Answers with a body that never ends.
    Endless { status: u16 },
    /// Answers with one byte now and then.
    Drip { status: u16 },
    /// Answers with this many bytes.
    Huge { status: u16, bytes: usize },
}

impl Fault {
    /// An answer without headers.
    pub(crate) fn answer(status: u16, body: &str, store: bool) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.to_owned(), store }
    }
}

/// One request as the registry saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    /// Bytes of the body that arrived.
    pub(crate) received: u64,
    /// The body came to its announced end.
    pub(crate) complete: bool,
}

impl Seen {
    /// A header as text; empty when absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What a registry does with a whole request: answers, having stored what it accepts.
pub(crate) trait Registry: Send + Sync + 'static {
    fn write(&self, seen: &Seen, body: &[u8]) -> http::Response<Body>;
    fn read(&self, seen: &Seen) -> http::Response<Body>;
}

/// What a listener remembers.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) seen: Vec<Seen>,
    pub(crate) connections: usize,
    pub(crate) write_faults: VecDeque<Fault>,
    pub(crate) read_faults: VecDeque<Fault>,
}

/// A running registry; it stops when dropped.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) record: Arc<Mutex<Record>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Serves plain HTTP/1.1, or TLS with an acceptor, on a port the system chooses.
    pub(crate) async fn start(
        registry: Arc<dyn Registry>,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Mutex::new(Record::default()));
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                let (registry, record) = (Arc::clone(&registry), Arc::clone(&shared));
                let tls = tls.clone();
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, registry, record).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, registry, record).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, record, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.lock().unwrap().seen.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.record.lock().unwrap().connections
    }

    /// The next write goes wrong like this; several queue up.
    pub(crate) fn fail_next_write(&self, fault: Fault) {
        self.record.lock().unwrap().write_faults.push_back(fault);
    }

    /// The next read goes wrong like this; several queue up.
    pub(crate) fn fail_next_read(&self, fault: Fault) {
        self.record.lock().unwrap().read_faults.push_back(fault);
    }
}

/// Closing the connection instead of answering.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}
impl std::error::Error for Cut {}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    registry: Arc<dyn Registry>,
    record: Arc<Mutex<Record>>,
) {
    let answering = hyper::service::service_fn(move |request| {
        answer(request, Arc::clone(&registry), Arc::clone(&record))
    });
    // A cut connection is what some tests are about.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answering)
        .await;
}

async fn answer(
    request: http::Request<Incoming>,
    registry: Arc<dyn Registry>,
    record: Arc<Mutex<Record>>,
) -> Result<http::Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let reads = parts.method == http::Method::GET;
    let (index, fault) = {
        let mut record = record.lock().unwrap();
        record.seen.push(Seen {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            received: 0,
            complete: false,
        });
        let queue = if reads { &mut record.read_faults } else { &mut record.write_faults };
        let fault = queue.pop_front();
        (record.seen.len() - 1, fault)
    };
    if let Some(Fault::Early { status }) = fault {
        return Ok(reply(status, "answered early"));
    }
    let percent = match fault {
        Some(Fault::CutWhileReading { percent }) => Some(percent),
        _ => None,
    };
    let (body, complete) = collect(body, percent).await;
    let seen = {
        let mut record = record.lock().unwrap();
        let seen = &mut record.seen[index];
        seen.received = body.len() as u64;
        seen.complete = complete;
        seen.clone()
    };
    if !complete {
        return Err(Cut);
    }
    let usual = || if reads { registry.read(&seen) } else { registry.write(&seen, &body) };
    misbehave(fault, usual).await
}

async fn misbehave(
    fault: Option<Fault>,
    usual: impl Fn() -> http::Response<Body>,
) -> Result<http::Response<Body>, Cut> {
    match fault {
        None => Ok(usual()),
        Some(Fault::Answer { status, headers, body, store }) => {
            if store {
                usual();
            }
            let mut response = reply(status, &body);
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok(response)
        }
        Some(Fault::NoAnswer { store }) => {
            if store {
                usual();
            }
            Err(Cut)
        }
        Some(Fault::Late { pause, store }) => {
            let response = if store { usual() } else { reply(500, "late") };
            tokio::time::sleep(pause).await;
            Ok(response)
        }
        Some(Fault::Endless { status }) => {
            let pieces =
                futures_util::stream::repeat_with(|| Ok(Frame::data(vec![b'x'; 65536].into())));
            Ok(streamed(status, pieces))
        }
        Some(Fault::Drip { status }) => {
            let drops = futures_util::stream::repeat(()).then(|()| async {
                tokio::time::sleep(Duration::from_millis(40)).await;
                Ok(Frame::data(Bytes::from_static(b"x")))
            });
            Ok(streamed(status, drops))
        }
        Some(Fault::Huge { status, bytes }) => Ok(reply_bytes(status, &vec![b'x'; bytes])),
        Some(Fault::CutWhileReading { .. } | Fault::Early { .. }) => Err(Cut),
    }
}

/// Reads the body, or the given share of its announced length; true when it came to its end.
async fn collect(mut body: Incoming, percent: Option<u64>) -> (Bytes, bool) {
    let announced = body.size_hint().exact().unwrap_or(0);
    let enough = percent.map(|percent| announced * percent / 100);
    let mut out = BytesMut::new();
    loop {
        if enough.is_some_and(|enough| out.len() as u64 >= enough) {
            return (out.freeze(), false);
        }
        match body.frame().await {
            None => return (out.freeze(), true),
            Some(Err(_)) => return (out.freeze(), false),
            Some(Ok(frame)) => out.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
        }
    }
}

fn streamed(
    status: u16,
    pieces: impl futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static,
) -> http::Response<Body> {
    let body = StreamBody::new(pieces).boxed_unsync();
    http::Response::builder().status(status).body(body).unwrap()
}

/// An answer with a text body.
pub(crate) fn reply(status: u16, body: &str) -> http::Response<Body> {
    reply_bytes(status, body.as_bytes())
}

/// An answer with any body.
pub(crate) fn reply_bytes(status: u16, body: &[u8]) -> http::Response<Body> {
    let body =
        Full::new(Bytes::copy_from_slice(body)).map_err(|never| match never {}).boxed_unsync();
    http::Response::builder().status(status).body(body).unwrap()
}

/// An answer with a content type.
pub(crate) fn reply_as(status: u16, media_type: &str, body: &str) -> http::Response<Body> {
    let mut response = reply(status, body);
    response.headers_mut().insert("content-type", media_type.parse().unwrap());
    response
}
