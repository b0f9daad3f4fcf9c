//! [`HcloudApi`] over HTTPS.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, USER_AGENT};
use http_support::{builder, error_chain, mozilla_roots, tls};
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::api::{ApiRequest, ApiResponse, HcloudApi, TransportError, TransportErrorKind};
use crate::bounds::MAX_BODY;

/// Settings of the HTTP client.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time of a whole call. After it, a call may still commit at the provider: whoever waits out
    /// late commits adds to this.
    pub request_timeout: Duration,
    /// How long an unused connection is kept.
    pub pool_idle_timeout: Duration,
    /// Unused connections kept per host.
    pub pool_max_idle_per_host: usize,
    /// `User-Agent`: name and version of the product.
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            pool_idle_timeout: Duration::from_secs(90),
            pool_max_idle_per_host: 16,
            user_agent: concat!("hcloud-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The client could not be built.
#[derive(Debug, Error)]
#[error("the HTTP client cannot be built: {0}; check the HTTP settings")]
pub struct BuildError(String);

/// [`HcloudApi`] over `reqwest`. It holds connections and no credentials, so one serves all projects.
#[derive(Clone)]
pub struct HcloudClient {
    client: reqwest::Client,
    user_agent: HeaderValue,
    request_timeout: Duration,
}

impl HcloudClient {
    /// A client with its own connections: rustls with ring and the Mozilla roots (chosen over the
    /// platform's store because a container image often has none), no redirects, because they would
    /// carry the token elsewhere or turn a `POST` into a `GET`.
    ///
    /// # Errors
    /// [`BuildError`] if the settings are not usable.
    pub fn new(settings: &HttpSettings) -> Result<Self, BuildError> {
        let tls = tls(mozilla_roots()).map_err(|error| BuildError(error.to_string()))?;
        let client = builder(tls)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(settings.pool_idle_timeout)
            .pool_max_idle_per_host(settings.pool_max_idle_per_host)
            .build()
            .map_err(|error| BuildError(error_chain(&error)))?;
        Self::with_client(client, settings)
    }

    /// A client over a `reqwest::Client` of the caller's: its TLS, proxy and pool are the caller's
    /// choice; only `request_timeout` and `user_agent` of the settings apply. It must not follow
    /// redirects or retry by itself.
    ///
    /// # Errors
    /// [`BuildError`] if the user agent is not a header value.
    pub fn with_client(client: reqwest::Client, settings: &HttpSettings) -> Result<Self, BuildError> {
        let user_agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|_| BuildError("the user agent must be visible ASCII".to_owned()))?;
        Ok(Self { client, user_agent, request_timeout: settings.request_timeout })
    }
}

impl fmt::Debug for HcloudClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HcloudClient")
            .field("user_agent", &self.user_agent)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HcloudApi for HcloudClient {
    async fn send(&self, request: ApiRequest) -> Result<ApiResponse, TransportError> {
        let not_sent = |message: &str| TransportError::new(TransportErrorKind::NotSent, message);
        let url = request.url().map_err(|_| not_sent("endpoint and path do not make an address"))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", request.token.expose_secret()))
            .map_err(|_| not_sent("the token holds characters that no header can carry"))?;
        bearer.set_sensitive(true);

        let mut builder = self
            .client
            .request(request.method, url)
            .timeout(self.request_timeout)
            .header(AUTHORIZATION, bearer)
            .header(USER_AGENT, self.user_agent.clone());
        if let Some(body) = request.body {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
        }
        let mut response = builder.send().await.map_err(transport_error)?;
        let body = read_body(&mut response).await?;
        Ok(ApiResponse { status: response.status(), headers: std::mem::take(response.headers_mut()), body })
    }

    fn request_timeout(&self) -> Duration {
        self.request_timeout
    }
}

/// Reads a body piece by piece, and no further than the bound.
async fn read_body(response: &mut reqwest::Response) -> Result<Vec<u8>, TransportError> {
    let too_long = || {
        let message = format!("it has more than {} MiB, the most that is read of one", MAX_BODY >> 20);
        TransportError::new(TransportErrorKind::TooLong, message)
    };
    let announced = response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| too_long())?;
    if announced > MAX_BODY {
        return Err(too_long());
    }
    let mut body = Vec::with_capacity(announced);
    while let Some(piece) = response.chunk().await.map_err(transport_error)? {
        if piece.len() > MAX_BODY - body.len() {
            return Err(too_long());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Header that names a request in the provider's logs.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

fn transport_error(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let kind = if error.is_connect() || error.is_builder() {
        TransportErrorKind::NotSent
    } else if error.is_timeout() {
        TransportErrorKind::Timeout
    } else {
        TransportErrorKind::Broken
    };
    TransportError::new(kind, error_chain(&error))
}
