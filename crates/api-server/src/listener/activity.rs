//! What a connection is doing, as far as its deadlines depend on it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
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
    /// Nothing is under way since then.
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
    /// Frames of HTTP/2 also come between requests; there, bytes alone begin no head.
    multiplexed: std::sync::atomic::AtomicBool,
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
            self.0.multiplexed.store(true, std::sync::atomic::Ordering::Relaxed);
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
        let multiplexed = self.0.multiplexed.load(std::sync::atomic::Ordering::Relaxed);
        self.0.phase.send_if_modified(|phase| match phase {
            Phase::Idle(_) => {
                *phase = if multiplexed { Phase::Idle(Instant::now()) } else { Phase::Head(Instant::now()) };
                true
            }
            Phase::Head(_) | Phase::Busy(_) => false,
        });
    }

    fn sent(&self) {
        self.0.phase.send_if_modified(|phase| match phase {
            Phase::Idle(since) => {
                *since = Instant::now();
                true
            }
            Phase::Head(_) | Phase::Busy(_) => false,
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
