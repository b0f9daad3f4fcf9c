//! Liveness and readiness, which both listeners answer without a credential.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    body::Body,
    http::{Method, Response, StatusCode},
};
use control_plane::ports::{Store, StoreError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::{Failure, json_text},
    service::Service,
};

/// Whether what stands behind the listeners answers.
#[async_trait]
pub(crate) trait Ping: Send + Sync {
    async fn ping(&self) -> Result<(), StoreError>;
}

struct OfStore(Arc<dyn Store>);

#[async_trait]
impl Ping for OfStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

struct OfService(Arc<dyn Service>);

#[async_trait]
impl Ping for OfService {
    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

/// What `/readyz` looks at: the store, and whether the process is draining.
#[derive(Clone)]
pub struct Readiness {
    ping: Arc<dyn Ping>,
    drain: CancellationToken,
}

impl Readiness {
    /// From the store and the token that is cancelled when the process begins to drain.
    pub fn new(store: Arc<dyn Store>, drain: CancellationToken) -> Self {
        Self { ping: Arc::new(OfStore(store)), drain }
    }

    pub(crate) fn of_service(service: Arc<dyn Service>, drain: CancellationToken) -> Self {
        Self { ping: Arc::new(OfService(service)), drain }
    }

    /// The answer, if the path is one of ours.
    pub(crate) async fn answer(&self, method: &Method, path: &str) -> Option<Result<Response<Body>, Failure>> {
        if path != "/healthz" && path != "/readyz" {
            return None;
        }
        if *method != Method::GET && *method != Method::HEAD {
            return Some(Err(Failure::method(&[Method::GET, Method::HEAD], method)));
        }
        let (status, word) = match path {
            "/healthz" => (StatusCode::OK, "ok"),
            _ if self.drain.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            _ => match self.ping.ping().await {
                Ok(()) => (StatusCode::OK, "ready"),
                Err(error) => {
                    tracing::warn!(%error, "the store does not answer");
                    (StatusCode::SERVICE_UNAVAILABLE, "db_unavailable")
                }
            },
        };
        Some(Ok(json_text(status, json!({ "status": word }).to_string())))
    }
}
