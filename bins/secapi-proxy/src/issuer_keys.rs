//! Fetches the key sets of issuers, for `api-server`, which has no HTTP client.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use authentication::JwksFetcher;
use http_support::is_loopback;
use reqwest::{Client, StatusCode};
use url::Url;

use crate::http;

/// How long a fetch may take altogether.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Over HTTP: no redirects, which could lead to keys of somebody else, and no answer longer than asked for.
pub(crate) struct HttpFetcher {
    /// For issuers on this machine, past the shell's proxy variables.
    direct: Client,
    proxied: Client,
}

impl HttpFetcher {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { direct: http::client(TIMEOUT, true)?, proxied: http::client(TIMEOUT, false)? })
    }
}

#[async_trait]
impl JwksFetcher for HttpFetcher {
    async fn fetch(&self, url: &Url, limit: usize) -> Result<Vec<u8>, String> {
        let client = if is_loopback(url) { &self.direct } else { &self.proxied };
        let mut answer = client.get(url.clone()).send().await.map_err(cause)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answers {}; the URL must be that of the key set itself", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(cause)? {
            if body.len() + chunk.len() > limit {
                return Err(format!("its answer is longer than {limit} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// The innermost cause: the outer ones say that a request failed.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers every request with these bytes.
    async fn server(answer: String) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        });
        url
    }

    async fn fetch(head: &str, body: &str) -> Result<String, String> {
        let url = server(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}")).await;
        let fetched = HttpFetcher::new().unwrap().fetch(&url, 16).await;
        fetched.map(|body| String::from_utf8(body).unwrap())
    }

    #[tokio::test]
    async fn a_key_set_is_the_body_of_a_200_of_bounded_length_at_this_very_url() {
        assert_eq!(fetch("200 OK", "{\"keys\":[]}").await.as_deref(), Ok("{\"keys\":[]}"));
        assert_eq!(fetch("200 OK\r\nContent-Length: 16", "0123456789abcdef").await.map(|body| body.len()), Ok(16));
        let endless = "x".repeat(1024 * 1024);
        assert!(fetch("200 OK", &endless).await.unwrap_err().contains("16 bytes"));
        let elsewhere = server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}".to_owned()).await;
        let redirect = format!("302 Found\r\nLocation: {elsewhere}");
        assert!(fetch(&redirect, "").await.unwrap_err().contains("302"));
        assert!(fetch("404 Not Found", "{}").await.unwrap_err().contains("404"));
        assert!(fetch("500 Oops", "{}").await.unwrap_err().contains("500"));
    }

    #[tokio::test]
    async fn an_issuer_that_is_not_there_is_an_error_with_its_cause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let error = HttpFetcher::new().unwrap().fetch(&url, 16).await.unwrap_err();
        assert!(error.contains("refused"), "{error}");
    }
}
