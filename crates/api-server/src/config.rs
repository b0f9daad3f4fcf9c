//! What the routers must be told.

use std::{sync::Arc, time::Duration};

use authentication::{AdminTokens, Followed, KeySet};
use control_plane::ports::{Clock, Ids};
use seca_api::Kind;
use url::Url;

use crate::{
    activity::Recorder,
    meter::{Meter, Metrics},
    throttle::Rates,
};

/// Bounds on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a body; above it the answer is 413.
    pub body_bytes: usize,
    /// How long a client may take to send a body; above it the answer is 408.
    pub body_timeout: Duration,
    /// How long an answer may take altogether; above it the answer is 503.
    pub request_timeout: Duration,
    /// The most bytes that bodies take together which are being parsed: the text of each, and 128 bytes for each value in
    /// it. What finds no room for 5 s is 429.
    pub parsed_bytes: usize,
    /// How fast subjects and tenants of the public API may go.
    pub rates: Rates,
}

impl Default for Limits {
    /// 1 MiB, 30 s, 60 s and 64 MiB, and the rates' own.
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            parsed_bytes: 64 * 1024 * 1024,
            rates: Rates::default(),
        }
    }
}

/// What becomes of a request with a query parameter that its operation does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownParameters {
    /// It is refused: `?dryRun=All` must not create anything.
    #[default]
    Refuse,
    /// They are passed over, for gateways that append some.
    Ignore,
}

/// The settings of the public router.
#[derive(Clone)]
pub struct ApiConfig {
    /// The region that paths without one mean.
    pub default_region: String,
    /// The URL under which clients reach us; none: scheme and Host of each request.
    pub public_base_url: Option<Url>,
    /// Signs skip tokens. Replicas share it, or a page asked for elsewhere is refused.
    pub signing_key: [u8; 32],
    /// The kinds that clients write in this release (`control_plane::kinds::served`). Those of the catalogue are
    /// read only; the collections of all others answer 404 and say so.
    pub served: Vec<Kind>,
    /// The keys that `/.well-known/jwks.json` shows to everybody; none: there is no such path.
    pub jwks: Option<Arc<Followed<KeySet>>>,
    /// What becomes of query parameters that nobody knows.
    pub unknown_parameters: UnknownParameters,
    /// Where mutations leave who did them.
    pub activity: Recorder,
    /// Makes request ids.
    pub ids: Ids,
    /// Bounds on one request.
    pub limits: Limits,
    /// Counts requests. `Arc::new(())` counts none.
    pub meter: Arc<dyn Meter>,
}

/// The settings of the admin router.
#[derive(Clone)]
pub struct AdminConfig {
    /// The operators' bearer tokens.
    pub tokens: AdminTokens,
    /// The time at which a client certificate must hold.
    pub clock: Arc<dyn Clock>,
    /// The region that paths without one mean, in the public API; and requests without `?region=`, here.
    pub default_region: String,
    /// The kinds that clients write, as [`ApiConfig::served`].
    pub served: Vec<Kind>,
    /// Where mutations leave who did them.
    pub activity: Recorder,
    /// Makes request ids.
    pub ids: Ids,
    /// Bounds on one request.
    pub limits: Limits,
    /// Counts requests. `Arc::new(())` counts none.
    pub meter: Arc<dyn Meter>,
    /// What `/metrics` shows; none: there is no such path.
    pub metrics: Option<Metrics>,
}
