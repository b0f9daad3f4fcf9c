//! What the listeners tell of requests, for metrics; and how metrics are shown. Neither names a tenant, a workspace or a
//! resource: what is counted by such a name grows with the customers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use authentication::{AuthError, Authenticator, TokenHash};
use axum::http::HeaderMap;
use control_plane::service::Caller;
use secrecy::{ExposeSecret as _, SecretString};

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// `public` or `admin`.
    pub listener: &'static str,
    /// `list`, `get`, `put`, `delete`, an action's word; `other` for what is no resource's or was refused before that
    /// was known.
    pub operation: &'static str,
    /// The kind of the resource, of the admin API the word of the path; `none` where there is none.
    pub kind: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// How long the answer took, without what was held on purpose.
    pub took: Duration,
    /// How long the request was held on purpose; zero: it was not.
    pub held: Duration,
}

/// Takes down what the listeners tell. Each method does nothing unless it is implemented.
pub trait Meter: Send + Sync + 'static {
    /// A request was answered.
    fn answered(&self, _answered: &Answered) {}

    /// The sender of a request was looked for at a listener: `accepted`, or why not ([`AuthError::word`]).
    fn authenticated(&self, _listener: &'static str, _outcome: &'static str) {}
}

/// Takes nothing down.
impl Meter for () {}

/// An authenticator whose decisions are told.
pub(crate) struct Metered {
    authenticator: Arc<dyn Authenticator>,
    meter: Arc<dyn Meter>,
}

impl Metered {
    pub(crate) fn new(authenticator: Arc<dyn Authenticator>, meter: Arc<dyn Meter>) -> Self {
        Self { authenticator, meter }
    }
}

#[async_trait]
impl Authenticator for Metered {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        let result = self.authenticator.authenticate(headers).await;
        self.meter.authenticated("public", result.as_ref().err().map_or("accepted", AuthError::word));
        result
    }
}

/// Writes the metrics of the process.
#[async_trait]
pub trait Exposition: Send + Sync + 'static {
    /// The metrics now, in the text form of OpenMetrics 1.0.
    ///
    /// # Errors
    /// What is wrong, for the log.
    async fn text(&self) -> Result<String, String>;
}

/// The metrics that the admin listener shows under `/metrics`, and a token that opens them and nothing else.
#[derive(Clone)]
pub struct Metrics {
    token: Option<TokenHash>,
    pub(crate) exposition: Arc<dyn Exposition>,
}

impl Metrics {
    /// From what writes them and the token; admin tokens and client certificates open them too.
    pub fn new(exposition: Arc<dyn Exposition>, token: Option<&SecretString>) -> Self {
        Self { token: token.map(|token| TokenHash::of(token.expose_secret())), exposition }
    }

    /// Whether a bearer token is the one that opens the metrics.
    pub(crate) fn opens(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|hash| hash.matches(&TokenHash::of(token)))
    }
}
