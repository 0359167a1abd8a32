//! A least rate for request bodies, whatever route they go to.
//!
//! Only the time counts that we wait for the client: a slow disk of ours slows nobody down to a
//! refusal.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// How fast a body has to come.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// In so much waiting …
    pub window: Duration,
    /// … at least so many bytes come, or the rest of the body.
    pub bytes: u64,
    /// And all of it in this time.
    pub total: Duration,
}

impl Default for Pace {
    /// 16 KiB a second in any half minute, and half an hour at most.
    fn default() -> Self {
        let window = Duration::from_secs(30);
        Self { window, bytes: 30 * 16 * 1024, total: Duration::from_mins(30) }
    }
}

/// Why a body stopped.
#[derive(Debug, thiserror::Error)]
pub enum PaceError<E> {
    /// The connection broke or the framing is wrong.
    #[error(transparent)]
    Broken(E),
    /// It came too slowly.
    #[error("the body came too slowly")]
    Slow,
}

/// A body that has to keep up.
#[derive(Debug)]
pub struct Paced<B> {
    body: B,
    pace: Pace,
    /// Nothing is waited for after this.
    end: Instant,
    /// In this window so far: bytes, and time spent waiting for them.
    received: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    /// The same body at this pace, from now on.
    pub fn new(body: B, pace: Pace) -> Self {
        Self {
            body,
            pace,
            end: Instant::now() + pace.total,
            received: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
        }
    }

    /// Ready when the client used up its time.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        self.waiting_since = Some(now);
        loop {
            let left = self.pace.window.saturating_sub(self.waited);
            let late = (now + left).min(self.end);
            if late <= now {
                return Poll::Ready(());
            }
            // A timer that rings early costs one more look; setting it anew for every piece costs
            // more.
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(late)));
            ready!(timer.as_mut().poll(context));
            timer.as_mut().reset(late);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = PaceError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Some(since) = this.waiting_since.take() {
            this.waited += since.elapsed();
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if this.received >= this.pace.bytes {
                    (this.received, this.waited) = (0, Duration::ZERO);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(PaceError::Broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(this.poll_late(context));
                Poll::Ready(Some(Err(PaceError::Slow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
