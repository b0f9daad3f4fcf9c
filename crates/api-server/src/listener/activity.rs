//! What a connection is doing, as far as its deadlines depend on it.
//!
//! With HTTP/1 bytes tell: the first one begins a head, and every one that is taken shows that an answer goes on. With
//! HTTP/2 they tell nothing, for frames of many streams and of none come in between and are answered by frames (PING).
//! There only requests count: a connection has the idle limit since its last one was answered, whatever comes or goes.
//!
//! What a connection does changes several times in each request, and a deadline passes hardly ever. So a change sets no timer
//! and wakes nobody: the watcher looks now and then, never later than the next deadline.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No request is under way since then; with HTTP/1, no byte of an answer was taken since then either.
    Idle(Instant),
    /// A request's head began then.
    Head(Instant),
    /// This many requests are being answered; their own deadlines count.
    Busy(usize),
}

/// The phase of one connection, shared by its socket, its requests and its watcher.
#[derive(Clone)]
pub(super) struct Activity(Arc<Shared>);

struct Shared {
    phase: Mutex<Phase>,
    /// Whether it speaks HTTP/2, whose bytes move no deadline.
    multiplexed: AtomicBool,
}

/// A request being answered.
pub(super) struct Busy(Activity);

impl Activity {
    pub(super) fn new() -> Self {
        let phase = Mutex::new(Phase::Idle(Instant::now()));
        Self(Arc::new(Shared { phase, multiplexed: false.into() }))
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's head is complete.
    pub(super) fn begin(&self, version: Version) -> Busy {
        if version == Version::HTTP_2 {
            self.0.multiplexed.store(true, Ordering::Relaxed);
        }
        let mut phase = self.phase();
        *phase = match *phase {
            Phase::Busy(requests) => Phase::Busy(requests + 1),
            _ => Phase::Busy(1),
        };
        drop(phase);
        Busy(self.clone())
    }

    fn received(&self) {
        self.bytes(Phase::Head);
    }

    fn sent(&self) {
        self.bytes(Phase::Idle);
    }

    /// What bytes make of a connection on which no request is under way.
    fn bytes(&self, next: impl FnOnce(Instant) -> Phase) {
        if self.0.multiplexed.load(Ordering::Relaxed) {
            return;
        }
        let mut phase = self.phase();
        if matches!(*phase, Phase::Idle(_)) {
            *phase = next(Instant::now());
        }
    }

    /// Ends when a deadline has passed; says which.
    pub(super) async fn expired(&self, header: Duration, idle: Duration) -> &'static str {
        loop {
            let now = Instant::now();
            let phase = *self.phase();
            let deadline = match phase {
                Phase::Idle(since) => Some((since + idle, "idle")),
                Phase::Head(since) => Some((since + header, "head")),
                Phase::Busy(_) => None,
            };
            // Whatever begins while this sleeps has its deadline behind this moment.
            let look = now + header.min(idle);
            match deadline {
                Some((at, name)) if at <= now => return name,
                Some((at, _)) => sleep_until(at.min(look)).await,
                None => sleep_until(look).await,
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut phase = self.0.phase();
        *phase = match *phase {
            Phase::Busy(requests) if requests > 1 => Phase::Busy(requests - 1),
            _ => Phase::Idle(Instant::now()),
        };
    }
}

/// A socket whose traffic is noted.
pub(super) struct Watched<S> {
    socket: S,
    activity: Activity,
}

impl<S> Watched<S> {
    pub(super) fn new(socket: S, activity: Activity) -> Self {
        Self { socket, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        if matches!(polled, Poll::Ready(Ok(()))) && buf.filled().len() > before {
            self.activity.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.activity.sent();
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.activity.sent();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
