//! The client: TLS with ring, and what no client of ours does.

use std::sync::Arc;

use reqwest::{ClientBuilder, redirect, retry};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Mozilla's roots, chosen over the platform's store because a container image often has none.
pub fn mozilla_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// rustls with ring, for HTTP/2 and HTTP/1.1, without a certificate of the client's own.
///
/// # Errors
/// When the backend lacks the protocol versions.
pub fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A client that follows no redirect, which would carry a token elsewhere or turn a POST into a GET, and repeats nothing,
/// which would repeat a change.
pub fn builder(tls: ClientConfig) -> ClientBuilder {
    reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(redirect::Policy::none()).retry(retry::never())
}
