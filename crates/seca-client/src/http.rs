//! One call: address, token, answer.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http_support::{is_loopback, mozilla_roots, tls};
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use seca_api::Problem;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait that a call asks for, and that our server grants.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const _: () = assert!(LONGEST_WAIT.as_secs() < REQUEST_TIMEOUT.as_secs(), "an answer that was waited for must arrive");

/// Calls a server with a token.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    token: Option<SecretString>,
    sent: Arc<AtomicU64>,
}

/// One request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Vec<u8>>,
}

/// An answer with a status in the 200s.
pub(crate) struct Answer {
    pub(crate) call: String,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) const fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// `Prefer: wait=n` (RFC 7240): answer when something changed, or after so many whole seconds, at most 30; after
    /// none, at once.
    pub(crate) fn prefer_wait(self, wait: Duration) -> Self {
        match HeaderValue::from_str(&format!("wait={}", wait.min(LONGEST_WAIT).as_secs())) {
            Ok(value) => self.header("prefer", value),
            Err(_) => self,
        }
    }

    /// Only if the resource still has a version. The API's header is a number, not a date.
    pub(crate) fn if_unmodified_since(self, version: Option<i64>) -> Self {
        match version {
            Some(version) => self.header("if-unmodified-since", HeaderValue::from(version)),
            None => self,
        }
    }

    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// Method and path, as errors name it.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}

impl Answer {
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|source| Error::Decode { call: self.call, source })
    }
}

impl Http {
    pub(crate) fn new(client: reqwest::Client, token: Option<SecretString>) -> Self {
        Self { client, token, sent: Arc::default() }
    }

    /// How many calls were sent; clones count together.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends a call. Statuses outside the 200s are errors.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Error> {
        let name = call.name();
        let request = self.request(call)?;
        let transport = |source: reqwest::Error| Error::Transport { call: name.clone(), source: source.without_url() };
        self.sent.fetch_add(1, Ordering::Relaxed);
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        for warning in response.headers().get_all("warning") {
            tracing::warn!(seca.call = %name, "{}", String::from_utf8_lossy(warning.as_bytes()));
        }
        let body = response.bytes().await.map_err(transport)?.to_vec();
        tracing::debug!(seca.call = %name, http.status = status.as_u16(), "answered");
        if status.is_success() { Ok(Answer { call: name, body }) } else { Err(refusal(name, status, &body)) }
    }

    fn request(&self, call: Call) -> Result<reqwest::RequestBuilder, Error> {
        let mut request = self.client.request(call.method, call.url).timeout(REQUEST_TIMEOUT);
        request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| Error::Token)?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        Ok(match call.body {
            Some(body) => request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body),
            None => request,
        })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

fn refusal(call: String, status: StatusCode, body: &[u8]) -> Error {
    match serde_json::from_slice::<Problem>(body) {
        Ok(mut problem) if !problem.title.is_empty() || !problem.detail.is_empty() => {
            problem.status = status.as_u16();
            Error::Problem { call, problem: Box::new(problem) }
        }
        _ => {
            let excerpt = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect();
            Error::Unexpected { call, status: status.as_u16(), excerpt }
        }
    }
}

/// A client for servers whose certificates these authorities (PEM) signed, and for no others: for
/// [`SecaClient::with_client`](crate::SecaClient::with_client) and
/// [`AdminClient::with_client`](crate::AdminClient::with_client).
///
/// # Errors
/// [`Error::Address`]; [`Error::Setup`] for authorities that cannot be read, or none.
pub fn client_trusting(base_url: &str, authorities: &[u8]) -> Result<reqwest::Client, Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|source| Error::Setup(Box::new(source)))?;
        roots.add(certificate).map_err(|source| Error::Setup(Box::new(source)))?;
    }
    if roots.is_empty() {
        return Err(Error::Setup("no certificate in PEM was given to trust".into()));
    }
    build(&parse_base(base_url)?, roots)
}

/// A client for an address, with Mozilla's roots.
pub(crate) fn client_for(base: &Url) -> Result<reqwest::Client, Error> {
    build(base, mozilla_roots())
}

/// Without a proxy on the way to this machine itself.
fn build(base: &Url, roots: rustls::RootCertStore) -> Result<reqwest::Client, Error> {
    let tls = tls(roots).map_err(|source| Error::Setup(Box::new(source)))?;
    let mut builder = http_support::builder(tls).connect_timeout(CONNECT_TIMEOUT);
    if is_loopback(base) {
        builder = builder.no_proxy();
    } else if base.scheme() == "http" {
        tracing::warn!(url = %base, "the bearer token travels unencrypted; use https outside this machine");
    }
    builder.build().map_err(|source| Error::Setup(Box::new(source)))
}

/// Parses an address that paths can be appended to. One with a user name or a password is refused, and stays out
/// of the error.
pub(crate) fn parse_base(text: &str) -> Result<Url, Error> {
    let shown = if text.contains('@') { "(an address with a user name)" } else { text };
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| Error::Address { url: shown.to_owned() })
}

/// Appends segments to an address, each percent-encoded.
pub(crate) fn join<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, Error> {
    let mut url = base.clone();
    {
        let mut path = url.path_segments_mut().map_err(|()| Error::Address { url: base.to_string() })?;
        path.pop_if_empty();
        for segment in segments {
            // `push` would drop these two, and the call would go to another place.
            if matches!(segment, "" | "." | "..") {
                return Err(Error::Name(segment.to_owned()));
            }
            path.push(segment);
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded_and_cannot_climb() {
        let base = parse_base("http://h/providers/x/").unwrap();
        let url = join(&base, ["v1", "a/b", "c d", "ä%"]).unwrap();
        assert_eq!(url.as_str(), "http://h/providers/x/v1/a%2Fb/c%20d/%C3%A4%25");
        for bad in ["", ".", ".."] {
            assert!(matches!(join(&base, ["v1", bad]), Err(Error::Name(..))), "{bad}");
        }
    }

    #[test]
    fn addresses_with_passwords_stay_out_of_errors() {
        for bad in ["ftp://h", "h:80", "", "mailto:x", "unix:/run/x"] {
            assert!(matches!(parse_base(bad), Err(Error::Address { url }) if url == bad), "{bad}");
        }
        assert!(!parse_base("http://u:secret@h").unwrap_err().to_string().contains("secret"));
        assert!(is_loopback(&parse_base("http://[::1]:80").unwrap()));
        assert!(!is_loopback(&parse_base("http://localhost.example").unwrap()));
    }
}
