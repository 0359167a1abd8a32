//! The artifact on its way out: read, hashed again, encoded and sent piece by piece (I5, D12).
//!
//! The last piece is held back until the digest of all of them is right. With wrong bytes the
//! request therefore never becomes complete, and the registry has nothing to store.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sha2::Digest as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::SendFault;
use crate::domain::digest::Sha256;

/// Where the artifact's bytes come from: a plain blocking reader, such as an opened blob.
pub type Source = Box<dyn Read + Send>;

/// Bytes read at once: a multiple of three, so that base64 has no padding inside.
const PIECE: usize = 192 * 1024;

/// How the artifact is written into the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Plain,
    /// Standard base64 with padding.
    Base64,
}

impl Encoding {
    /// The encoded length of `size` bytes.
    pub(super) const fn length(self, size: u64) -> u64 {
        match self {
            Self::Plain => size,
            Self::Base64 => size.div_ceil(3) * 4,
        }
    }
}

/// What is sent: the artifact between a head and a tail.
pub(super) struct Parcel {
    pub(super) head: Bytes,
    pub(super) tail: Bytes,
    pub(super) encoding: Encoding,
    pub(super) source: Source,
    pub(super) size: u64,
    pub(super) sha256: Sha256,
    pub(super) progress: Option<watch::Sender<u64>>,
    pub(super) until: Option<watch::Receiver<Instant>>,
}

impl Parcel {
    /// Length of the whole body in bytes.
    pub(super) fn length(&self) -> u64 {
        self.head.len() as u64 + self.encoding.length(self.size) + self.tail.len() as u64
    }

    /// The body, and a view of how it goes.
    pub(super) fn open(self) -> (Outgoing, Watch) {
        let length = self.length();
        let (moved, seen) = watch::channel(Stage::default());
        let fault = Arc::new(Mutex::new(None));
        let reader = Reader {
            source: self.source,
            hash: sha2::Sha256::new(),
            remaining: self.size,
            encoding: self.encoding,
            sha256: self.sha256,
        };
        let body = Outgoing {
            held: Some(self.head),
            tail: Some(self.tail),
            step: Some(reader.start()),
            remaining: length,
            size: self.size,
            moved,
            progress: self.progress,
            until: self.until,
            fault: Arc::clone(&fault),
        };
        (body, Watch { seen, fault })
    }
}

/// How far a body is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stage {
    pieces: u64,
    complete: bool,
}

/// The sender's view of a body that the connection owns.
pub(super) struct Watch {
    seen: watch::Receiver<Stage>,
    fault: Arc<Mutex<Option<SendFault>>>,
}

impl Watch {
    /// Why the body was cut short, if it was.
    pub(super) fn fault(&self) -> Option<SendFault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// True once the last byte was handed to the connection.
    pub(super) fn complete(&self) -> bool {
        self.seen.borrow().complete
    }

    /// Ends when nothing moved for `idle`, or no answer came within `answer` after the last byte.
    pub(super) async fn stalled(&self, idle: Duration, answer: Duration) {
        let mut seen = self.seen.clone();
        loop {
            let limit = if seen.borrow_and_update().complete { answer } else { idle };
            match timeout(limit, seen.changed()).await {
                Ok(Ok(())) => {}
                // The connection dropped the body; the answer may still be on its way.
                Ok(Err(_)) => return tokio::time::sleep(limit).await,
                Err(_) => return,
            }
        }
    }
}

/// Reads, hashes and encodes on a blocking thread, one piece ahead of the connection.
struct Reader {
    source: Source,
    hash: sha2::Sha256,
    remaining: u64,
    encoding: Encoding,
    sha256: Sha256,
}

enum Step {
    Piece(Reader, Bytes),
    End,
}

impl Reader {
    fn start(self) -> JoinHandle<Result<Step, SendFault>> {
        tokio::task::spawn_blocking(move || self.step())
    }

    fn step(mut self) -> Result<Step, SendFault> {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut self.source).take(PIECE as u64).read_to_end(&mut piece);
        read.map_err(SendFault::Source)?;
        self.hash.update(&piece);
        let tampered = SendFault::Tampered(self.sha256);
        let Some(remaining) = self.remaining.checked_sub(piece.len() as u64) else {
            return Err(tampered);
        };
        self.remaining = remaining;
        if piece.is_empty() {
            let found = Sha256::from_bytes(self.hash.finalize().into());
            let right = remaining == 0 && found == self.sha256;
            return if right { Ok(Step::End) } else { Err(tampered) };
        }
        let piece = match self.encoding {
            Encoding::Plain => Bytes::from(piece),
            Encoding::Base64 => Bytes::from(base64_simd::STANDARD.encode_to_string(&piece)),
        };
        Ok(Step::Piece(self, piece))
    }
}

/// The body of one publish request, of known length.
pub(super) struct Outgoing {
    /// The youngest piece, which goes once a younger one or a right digest is there.
    held: Option<Bytes>,
    tail: Option<Bytes>,
    step: Option<JoinHandle<Result<Step, SendFault>>>,
    remaining: u64,
    size: u64,
    moved: watch::Sender<Stage>,
    progress: Option<watch::Sender<u64>>,
    until: Option<watch::Receiver<Instant>>,
    fault: Arc<Mutex<Option<SendFault>>>,
}

impl Outgoing {
    fn overdue(&self) -> bool {
        self.until.as_ref().is_some_and(|until| *until.borrow() <= Instant::now())
    }

    fn cut(&mut self, fault: SendFault) -> io::Error {
        self.step = None;
        self.held = None;
        self.tail = None;
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        io::Error::other("the artifact was cut short")
    }

    fn give(&mut self, piece: Bytes) -> Frame<Bytes> {
        self.remaining = self.remaining.saturating_sub(piece.len() as u64);
        let complete = self.remaining == 0;
        self.moved.send_modify(|stage| {
            stage.pieces += 1;
            stage.complete = complete;
        });
        Frame::data(piece)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            if this.remaining > 0 && this.overdue() {
                let error = this.cut(SendFault::Overdue);
                return Poll::Ready(Some(Err(error)));
            }
            let Some(step) = this.step.as_mut() else {
                let next = this.held.take().or_else(|| this.tail.take());
                return Poll::Ready(next.map(|piece| Ok(this.give(piece))));
            };
            let stopped = |_| Err(SendFault::Source(io::ErrorKind::Interrupted.into()));
            match ready!(Pin::new(step).poll(context)).unwrap_or_else(stopped) {
                Err(fault) => {
                    let error = this.cut(fault);
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(Step::End) => this.step = None,
                Ok(Step::Piece(reader, piece)) => {
                    if let Some(progress) = &this.progress {
                        progress.send_replace(this.size - reader.remaining);
                    }
                    this.step = Some(reader.start());
                    if let Some(earlier) = this.held.replace(piece) {
                        return Poll::Ready(Some(Ok(this.give(earlier))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
