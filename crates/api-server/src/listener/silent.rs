//! Connections that have not sent a byte yet. A client needs nothing to open one, so they must not keep out those who do
//! send: when they are too many, the oldest ones go first.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// How many silent connections there may be, in all and of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentLimits {
    /// Of one address (IPv6: of one /64, which is one customer's); none: no limit.
    pub per_address: Option<usize>,
    /// The addresses for which that does not hold: proxies, behind which many clients are.
    pub trusted_proxies: Arc<[IpNet]>,
}

impl Default for SilentLimits {
    /// 256 of one address, and no proxies.
    fn default() -> Self {
        Self { per_address: Some(256), trusted_proxies: Arc::default() }
    }
}

/// The silent connections of a listener.
#[derive(Clone)]
pub(super) struct Silent(Arc<Shared>);

struct Shared {
    /// How many there may be in all.
    most: usize,
    limits: SilentLimits,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// By the order in which they came.
    connections: BTreeMap<u64, (IpAddr, CancellationToken)>,
    of_address: HashMap<IpAddr, usize>,
}

/// One connection among them, until it sends a byte or ends.
pub(super) struct Ticket {
    silent: Silent,
    number: u64,
    closed: CancellationToken,
}

impl Silent {
    /// Of a listener with so many connections: half of them may be silent.
    pub(super) fn new(connections: usize, limits: SilentLimits) -> Self {
        Self(Arc::new(Shared { most: (connections / 2).max(1), limits, waiting: Mutex::default() }))
    }

    /// Lets a connection in. Where it is one too many, the oldest of its address goes, or the oldest of all.
    pub(super) fn enter(&self, address: IpAddr) -> Ticket {
        let address = address.to_canonical();
        let is_trusted = self.0.limits.trusted_proxies.iter().any(|net| net.contains(&address));
        let per_address = self.0.limits.per_address.filter(|_| !is_trusted);
        let group = group(address);
        let closed = CancellationToken::new();
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(number, (group, closed.clone()));
        let of_address = waiting.of_address.entry(group).or_default();
        *of_address += 1;
        if per_address.is_some_and(|most| *of_address > most) {
            let oldest = waiting.connections.iter().find(|(_, (other, _))| *other == group).map(|(number, _)| *number);
            waiting.close(oldest);
        }
        while waiting.connections.len() > self.0.most {
            let oldest = waiting.connections.keys().next().copied();
            waiting.close(oldest);
        }
        drop(waiting);
        Ticket { silent: self.clone(), number, closed }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn close(&mut self, number: Option<u64>) {
        if let Some(closed) = number.and_then(|number| self.leave(number)) {
            closed.cancel();
        }
    }

    fn leave(&mut self, number: u64) -> Option<CancellationToken> {
        let (address, closed) = self.connections.remove(&number)?;
        if let Some(count) = self.of_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
        Some(closed)
    }
}

/// Whose connections count together.
fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

impl Ticket {
    /// Cancelled when the connection must go.
    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.silent.lock().leave(self.number);
    }
}

/// A socket that gives its ticket back with its first byte.
pub(super) struct Heard<S> {
    socket: S,
    ticket: Option<Ticket>,
}

impl<S> Heard<S> {
    pub(super) const fn new(socket: S, ticket: Ticket) -> Self {
        Self { socket, ticket: Some(ticket) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        if self.ticket.is_some() && buf.filled().len() > before {
            self.ticket = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limits(per_address: Option<usize>, trusted: &[&str]) -> SilentLimits {
        SilentLimits { per_address, trusted_proxies: trusted.iter().map(|net| net.parse().unwrap()).collect() }
    }

    fn closed(tickets: &[Ticket]) -> Vec<usize> {
        (0..tickets.len()).filter(|at| tickets[*at].closed().is_cancelled()).collect()
    }

    fn enter(silent: &Silent, addresses: &[&str]) -> Vec<Ticket> {
        addresses.iter().map(|text| silent.enter(address(text))).collect()
    }

    #[test]
    fn the_oldest_go_first_once_more_than_half_are_silent() {
        let silent = Silent::new(8, limits(None, &[]));
        let mut tickets = enter(&silent, &["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3"]);
        assert_eq!(closed(&tickets), [0; 0]);
        tickets.extend(enter(&silent, &["10.0.0.1", "10.0.0.4"]));
        assert_eq!(closed(&tickets), [0, 1]);
        // Who has sent something is not among them.
        drop(tickets.remove(2));
        tickets.extend(enter(&silent, &["10.0.0.1"]));
        assert_eq!(closed(&tickets), [0, 1]);
        drop(tickets);
        assert!(silent.lock().connections.is_empty() && silent.lock().of_address.is_empty());
    }

    #[test]
    fn one_address_has_a_share_and_a_proxy_in_front_of_many_clients_has_none() {
        let silent = Silent::new(1_000, limits(Some(2), &["10.1.0.0/16", "2001:db8::/32"]));
        let tickets = enter(&silent, &["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"]);
        assert_eq!(closed(&tickets), [0, 2]);
        let proxies =
            enter(&silent, &["10.1.0.1", "10.1.0.1", "10.1.0.1", "2001:db8::1", "2001:db8::1", "2001:db8::1"]);
        assert_eq!(closed(&proxies), [0; 0]);
        // The addresses of one IPv6 network are one customer's.
        let network = enter(&silent, &["2001:1::1", "2001:1::2", "2001:1::3", "2001:1:0:1::1"]);
        assert_eq!(closed(&network), [0]);
        assert_eq!(SilentLimits::default().per_address, Some(256));
    }

    #[test]
    fn the_only_connection_of_a_listener_may_be_silent() {
        let silent = Silent::new(1, limits(Some(1), &[]));
        assert_eq!(closed(&enter(&silent, &["10.0.0.1"])), [0; 0]);
    }
}
