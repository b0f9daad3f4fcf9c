//! The HTTP client that carries provider calls.

use std::time::Duration;

use anyhow::Context as _;
use http_support::{builder, mozilla_roots, tls};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client whose calls end after a while. `direct` keeps the shell's proxy variables out: a simulator on this machine is
/// behind no proxy.
pub(crate) fn client(timeout: Duration, direct: bool) -> anyhow::Result<reqwest::Client> {
    let builder = builder(tls(mozilla_roots())?)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(16);
    let builder = if direct { builder.no_proxy() } else { builder };
    builder.build().context("the HTTP client cannot be set up")
}
