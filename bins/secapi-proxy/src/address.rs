//! Listening addresses, as the predecessor's users write them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Where a listener is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// One address.
    One(SocketAddr),
    /// All interfaces, IPv6 and IPv4: `:8080`.
    All(u16),
}

impl Address {
    /// Reads `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` and `:8080`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(port) = text.strip_prefix(':') {
            return port.parse().ok().map(Self::All);
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            return port.parse().ok().map(|port| Self::One((Ipv4Addr::LOCALHOST, port).into()));
        }
        text.parse().ok().map(Self::One)
    }

    /// The port; 0 for a free one.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::One(address) => address.port(),
            Self::All(port) => port,
        }
    }

    /// Whether only this machine can reach it.
    pub(crate) const fn is_loopback(self) -> bool {
        match self {
            Self::One(address) => address.ip().to_canonical().is_loopback(),
            Self::All(_) => false,
        }
    }

    /// The addresses to try, the first that can be had counts: a machine without IPv6 has no `[::]`.
    pub(crate) fn candidates(self) -> Vec<SocketAddr> {
        match self {
            Self::One(address) => vec![address],
            Self::All(port) => {
                vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(address) => address.fmt(f),
            Self::All(port) => write!(f, ":{port}"),
        }
    }
}

/// The URL under which this machine reaches a listener.
pub(crate) fn local_url(scheme: &str, address: SocketAddr) -> String {
    match address.ip() {
        ip if !ip.is_unspecified() => format!("{scheme}://{address}"),
        IpAddr::V4(_) => format!("{scheme}://{}:{}", Ipv4Addr::LOCALHOST, address.port()),
        IpAddr::V6(_) => format!("{scheme}://localhost:{}", address.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_in_every_spelling_and_know_whether_they_are_local() {
        let cases = [
            ("127.0.0.1:8080", Some(("127.0.0.1:8080", true))),
            ("localhost:0", Some(("127.0.0.1:0", true))),
            ("[::1]:80", Some(("[::1]:80", true))),
            ("[::ffff:127.0.0.1]:80", Some(("[::ffff:127.0.0.1]:80", true))),
            (":8080", Some((":8080", false))),
            ("0.0.0.0:8080", Some(("0.0.0.0:8080", false))),
            ("[::]:8080", Some(("[::]:8080", false))),
            ("10.0.0.1:8080", Some(("10.0.0.1:8080", false))),
            ("8080", None),
            ("127.0.0.1", None),
            (":x", None),
            (":65536", None),
            ("example.org:80", None),
            ("", None),
        ];
        for (text, want) in cases {
            let got = Address::parse(text).map(|a| (a.to_string(), a.is_loopback()));
            assert_eq!(got, want.map(|(shown, local)| (shown.to_owned(), local)), "{text:?}");
        }
    }
}
