//! The accept loop: hyper's connections under our own clock.
//!
//! `axum::serve` sets no timer, so that a client which sends its head byte by byte holds a connection for ever.
//! hyper's own `header_read_timeout` also runs while a kept-alive connection is idle, and does not run while the
//! protocol is being detected; so each connection is watched here instead: a head must be complete within
//! seconds of its first byte, an idle connection may stay for minutes (Go's clients drop theirs at 90 s and
//! repeat no PUT that met a closed one).

mod activity;
mod silent;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tower::Service as _;

use crate::tls::{ClientCertificate, Encrypted, Tls};
use activity::{Activity, Watched};
pub use silent::SilentLimits;
use silent::{Heard, Silent};

/// Bounds on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most connections at a time, TLS handshakes among them; further ones wait to be accepted. When more than half
    /// of so many have not sent a byte, the oldest of these are closed.
    pub connections: usize,
    /// How many of those that have not sent a byte may come from one address.
    pub silent: SilentLimits,
    /// How long a request's head may take from its first byte, and a TLS handshake altogether.
    pub header_timeout: Duration,
    /// How long a connection may do nothing: no request under way, no byte taken of an answer. With HTTP/2 bytes do
    /// not count, so that an answer must be taken within this time, unless other requests follow.
    pub idle_timeout: Duration,
    /// How long requests may go on after draining begins; then their connections are cut.
    pub drain_timeout: Duration,
}

impl Default for Options {
    /// 4,096 connections, 256 silent ones of one address, 10 s, 150 s, 10 s.
    fn default() -> Self {
        Self {
            connections: 4096,
            silent: SilentLimits::default(),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(150),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// The most bytes of a head (HTTP/1: of the read buffer).
const HEAD_BYTES: u32 = 64 * 1024;

/// Serves until `cancel` is cancelled: then nothing is accepted any more, idle connections are closed, requests
/// under way are finished, and after [`Options::drain_timeout`] what is left is cut. Returns how many were cut.
pub async fn serve(listener: TcpListener, router: Router, options: Options, cancel: CancellationToken) -> usize {
    accept_all(listener, None, router, options, cancel).await
}

/// The same over TLS, with HTTP/1.1 and HTTP/2. The certificate files are taken anew when they change.
pub async fn serve_tls(
    listener: TcpListener,
    tls: Tls,
    router: Router,
    options: Options,
    cancel: CancellationToken,
) -> usize {
    let _following = AbortOnDropHandle::new(tokio::spawn(tls.clone().follow()));
    accept_all(listener, Some(tls), router, options, cancel).await
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    options: Options,
    cancel: CancellationToken,
) -> usize {
    let slots = Arc::new(Semaphore::new(options.connections));
    let silent = Silent::new(options.connections, options.silent.clone());
    let deadlines = Deadlines { head: options.header_timeout, idle: options.idle_timeout };
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    while let Some((stream, address, slot)) = accept(&listener, &slots, &cancel).await {
        let (tls, router, cancel, cut) = (tls.clone(), router.clone(), cancel.clone(), cut.clone());
        let ticket = silent.enter(address);
        let closed = ticket.closed();
        connections.spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            tokio::select! {
                () = establish(Heard::new(stream, ticket), tls, router, deadlines, &cancel) => {}
                () = closed.cancelled() => tracing::debug!("a connection that sent nothing makes room for others"),
                () = cut.cancelled() => {}
            }
            drop(slot);
        });
    }
    // Closes the socket: clients are told at once that nobody listens.
    drop(listener);
    connections.close();
    if timeout(options.drain_timeout, connections.wait()).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    tracing::warn!(connections = left, "cutting connections whose requests did not end in time");
    cut.cancel();
    connections.wait().await;
    left
}

/// The next connection and its slot; none when draining begins.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    cancel: &CancellationToken,
) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    const OUT_OF_FILES: Duration = Duration::from_millis(200);
    let next = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, address)) => return Some((stream, SocketAddr::ip(&address), slot)),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: others must end first.
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    sleep(OUT_OF_FILES).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        accepted = next => accepted,
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// How long a connection may take for what it does.
#[derive(Clone, Copy)]
struct Deadlines {
    head: Duration,
    idle: Duration,
}

/// What is known of a connection's other end.
#[derive(Clone, Default)]
struct Peer {
    encrypted: bool,
    certificate: Option<ClientCertificate>,
}

/// Shakes hands where that is to be done, then serves.
async fn establish(
    stream: Heard<TcpStream>,
    tls: Option<Tls>,
    router: Router,
    deadlines: Deadlines,
    cancel: &CancellationToken,
) {
    let Some(tls) = tls else { return connection(stream, Peer::default(), router, deadlines, cancel).await };
    let acceptor = TlsAcceptor::from(tls.current());
    let shaken = tokio::select! {
        shaken = timeout(deadlines.head, acceptor.accept(stream)) => shaken,
        // Nothing was asked yet.
        () = cancel.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let certificate = ClientCertificate::of(stream.get_ref().1, &tls);
            connection(stream, Peer { encrypted: true, certificate }, router, deadlines, cancel).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    deadlines: Deadlines,
    cancel: &CancellationToken,
) {
    let activity = Activity::new();
    let service = service_fn(|mut request: http::Request<Incoming>| {
        if peer.encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        if let Some(certificate) = &peer.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        let busy = activity.begin(request.version());
        let mut router = router.clone();
        async move {
            let response = router.call(request.map(Body::new)).await;
            drop(busy);
            response
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES as usize);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEAD_BYTES);
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let mut served = pin!(builder.serve_connection(io, service));
    let mut draining = false;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = cancel.cancelled(), if !draining => {
                draining = true;
                served.as_mut().graceful_shutdown();
            }
            phase = activity.expired(deadlines.head, deadlines.idle) => {
                tracing::debug!(phase, "a connection took too long");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
