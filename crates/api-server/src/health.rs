//! Liveness and readiness, which both listeners answer without a credential.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, StatusCode},
    routing::get,
};
use control_plane::{
    ProjectId,
    engine::Vitals,
    ports::{Store, StoreError},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{answer::json_text, service::Service};

/// Whether the process lives.
pub(crate) const ALIVE: &str = "/healthz";
/// Whether it serves.
pub(crate) const READY: &str = "/readyz";

/// How what stands behind the listeners fares.
#[async_trait]
pub(crate) trait Behind: Send + Sync {
    async fn ping(&self) -> Result<(), StoreError>;
    async fn paused_projects(&self) -> Result<Vec<ProjectId>, StoreError>;
    fn stalled(&self) -> Option<String>;
}

struct OfStore {
    store: Arc<dyn Store>,
    vitals: Option<Arc<Vitals>>,
}

#[async_trait]
impl Behind for OfStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    async fn paused_projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        let paused = self.store.oversight().paused_projects().await?;
        Ok(paused.into_iter().map(|(project, _)| project).collect())
    }

    fn stalled(&self) -> Option<String> {
        self.vitals.as_ref()?.stalled()
    }
}

struct OfService(Arc<dyn Service>);

#[async_trait]
impl Behind for OfService {
    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }

    async fn paused_projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        self.0.paused_projects().await
    }

    fn stalled(&self) -> Option<String> {
        self.0.stalled()
    }
}

/// Both paths.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(readiness: Readiness) -> Router<S> {
    Router::new().route(ALIVE, get(alive)).route(READY, get(ready)).with_state(readiness)
}

async fn alive(State(readiness): State<Readiness>) -> Response<Body> {
    json_text(StatusCode::OK, readiness.alive().to_string())
}

async fn ready(State(readiness): State<Readiness>) -> Response<Body> {
    let (status, body) = readiness.ready().await;
    json_text(status, body.to_string())
}

/// What `/readyz` looks at: the store, the engine, and whether the process is draining. Paused projects are named and
/// keep nobody from being ready: the API serves on.
#[derive(Clone)]
pub struct Readiness {
    behind: Arc<dyn Behind>,
    drain: CancellationToken,
    build: Option<Build>,
}

/// Of which build a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Build {
    version: &'static str,
    commit: &'static str,
}

impl Readiness {
    /// From the store and the token that is cancelled when the process begins to drain.
    pub fn new(store: Arc<dyn Store>, drain: CancellationToken) -> Self {
        Self { behind: Arc::new(OfStore { store, vitals: None }), drain, build: None }
    }

    /// The same with the engine of the process.
    pub fn with_engine(store: Arc<dyn Store>, vitals: Arc<Vitals>, drain: CancellationToken) -> Self {
        Self { behind: Arc::new(OfStore { store, vitals: Some(vitals) }), drain, build: None }
    }

    /// The same, which tells under `/healthz` of which build the process is. For the listener of operators alone.
    #[must_use]
    pub fn telling(self, version: &'static str, commit: &'static str) -> Self {
        Self { build: Some(Build { version, commit }), ..self }
    }

    pub(crate) fn of_service(service: Arc<dyn Service>, drain: CancellationToken) -> Self {
        Self { behind: Arc::new(OfService(service)), drain, build: None }
    }

    fn alive(&self) -> Value {
        match self.build {
            Some(Build { version, commit }) => json!({ "status": "ok", "version": version, "commit": commit }),
            None => json!({ "status": "ok" }),
        }
    }

    async fn ready(&self) -> (StatusCode, Value) {
        if self.drain.is_cancelled() {
            return (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "draining" }));
        }
        let asked = async {
            self.behind.ping().await?;
            self.behind.paused_projects().await
        };
        let paused = match asked.await {
            Ok(paused) => paused,
            Err(error) => {
                tracing::warn!(%error, "the store does not answer");
                return (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "db_unavailable" }));
            }
        };
        let (status, mut body) = match self.behind.stalled() {
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "engine_stalled", "reason": reason })),
            None => (StatusCode::OK, json!({ "status": "ready" })),
        };
        if !paused.is_empty() {
            body["pausedProjects"] = json!(paused);
        }
        (status, body)
    }
}
