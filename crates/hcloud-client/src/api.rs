//! The one door to the provider: [`HcloudApi::send`]. Over HTTP it is [`crate::HcloudClient`];
//! a simulator implements it in process, so that everything above runs unchanged and under paused time.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use secrecy::SecretString;
use thiserror::Error;
use url::Url;

/// Sends one request and hands back whatever came. No retries, no budget, no meaning:
/// those live in [`crate::ProjectClient`].
#[async_trait]
pub trait HcloudApi: Send + Sync {
    /// Sends the request.
    ///
    /// # Errors
    /// [`TransportError`] if no whole answer arrived; its kind tells whether the request may have
    /// reached the provider.
    async fn send(&self, request: ApiRequest) -> Result<ApiResponse, TransportError>;

    /// How long [`send`](Self::send) takes at most before it gives up. Whoever decides when a
    /// call of unknown outcome can no longer commit starts from this.
    fn request_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// A request: a whole call, credentials included, because nothing here stores them.
#[derive(Clone)]
pub struct ApiRequest {
    /// Method.
    pub method: Method,
    /// Base address (`https://api.hetzner.cloud/v1`).
    pub endpoint: Url,
    /// Path below the base, with its leading slash (`/servers/42`).
    pub path: String,
    /// Query pairs, unescaped; names repeat (`id`, `sort`).
    pub query: Vec<(String, String)>,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// Bearer token.
    pub token: SecretString,
}

impl ApiRequest {
    /// The operation for messages: method and path, without query, body or token.
    #[must_use]
    pub fn operation(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The full address.
    ///
    /// # Errors
    /// If base and path do not make an address.
    pub fn url(&self) -> Result<Url, url::ParseError> {
        let base = self.endpoint.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}{}", self.path))?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

impl fmt::Debug for ApiRequest {
    /// Shows neither token nor body: bodies carry user data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRequest")
            .field("method", &self.method)
            .field("endpoint", &self.endpoint.as_str())
            .field("path", &self.path)
            .field("query", &self.query)
            .field("body_bytes", &self.body.as_ref().map_or(0, Vec::len))
            .finish_non_exhaustive()
    }
}

/// An answer of the provider, of any status.
#[derive(Clone)]
pub struct ApiResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers: the rate limit and the correlation id are among them.
    pub headers: HeaderMap,
    /// Body, as received.
    pub body: Vec<u8>,
}

impl fmt::Debug for ApiResponse {
    /// Shows no body: a new server's carries its root password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What happened to a request that got no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportErrorKind {
    /// No connection, or the request could not be built: the provider saw nothing.
    NotSent,
    /// No answer in time: the provider may have acted.
    Timeout,
    /// The connection broke on the way: the provider may have acted.
    Broken,
    /// An answer came that is longer than 16 MiB and was not read to its end: the provider may have acted.
    TooLong,
}

/// No whole answer arrived.
#[derive(Clone, Debug, Error)]
#[error("{}: {message}", .kind.phrase())]
pub struct TransportError {
    /// What happened.
    pub kind: TransportErrorKind,
    /// Detail, without address, token or body.
    pub message: String,
}

impl TransportError {
    /// A transport error.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl TransportErrorKind {
    const fn phrase(self) -> &'static str {
        match self {
            Self::NotSent => "no connection to the provider, nothing was sent",
            Self::Timeout => "the provider did not answer in time",
            Self::Broken => "the connection to the provider broke before the answer was complete",
            Self::TooLong => "the provider's answer is too long",
        }
    }
}

/// Access to one project: passed with every call.
#[derive(Clone)]
pub struct Access {
    /// Base address.
    pub endpoint: Url,
    /// Token of the project.
    pub token: SecretString,
    /// Key of the project, which shares one rate budget whatever tokens are used for it.
    pub project: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("endpoint", &self.endpoint.as_str())
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}
