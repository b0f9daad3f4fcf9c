//! What a connection is doing, as far as its deadlines depend on it.
//!
//! With HTTP/1 bytes tell: the first one begins a head, and every one that is taken shows that an answer goes on. With
//! HTTP/2 they tell nothing, for frames of many streams and of none come in between and are answered by frames (PING).
//! There only requests count: a connection has the idle limit since its last one was answered, whatever comes or goes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
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
    phase: watch::Sender<Phase>,
    /// Whether it speaks HTTP/2, whose bytes move no deadline.
    multiplexed: AtomicBool,
}

/// A request being answered.
pub(super) struct Busy(Activity);

impl Activity {
    pub(super) fn new() -> Self {
        let phase = watch::Sender::new(Phase::Idle(Instant::now()));
        Self(Arc::new(Shared { phase, multiplexed: false.into() }))
    }

    /// A request's head is complete.
    pub(super) fn begin(&self, version: Version) -> Busy {
        if version == Version::HTTP_2 {
            self.0.multiplexed.store(true, Ordering::Relaxed);
        }
        self.0.phase.send_modify(|phase| {
            *phase = match phase {
                Phase::Busy(requests) => Phase::Busy(*requests + 1),
                _ => Phase::Busy(1),
            }
        });
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
        self.0.phase.send_if_modified(|phase| {
            let idle = matches!(phase, Phase::Idle(_));
            if idle {
                *phase = next(Instant::now());
            }
            idle
        });
    }

    /// Ends when a deadline has passed; says which.
    pub(super) async fn expired(&self, header: Duration, idle: Duration) -> &'static str {
        let mut changes = self.0.phase.subscribe();
        loop {
            let phase = *changes.borrow_and_update();
            let deadline = match phase {
                Phase::Idle(since) => Some((since + idle, "idle")),
                Phase::Head(since) => Some((since + header, "head")),
                Phase::Busy(_) => None,
            };
            let passed = async {
                match deadline {
                    Some((at, name)) => {
                        sleep_until(at).await;
                        name
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // A change that came with the deadline counts.
                biased;
                _ = changes.changed() => {}
                name = passed => return name,
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.phase.send_modify(|phase| {
            *phase = match phase {
                Phase::Busy(requests) if *requests > 1 => Phase::Busy(*requests - 1),
                _ => Phase::Idle(Instant::now()),
            }
        });
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
