//! A service that does as it is told, and the shortest way to ask the real routers something.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api_server::{AdminConfig, ApiConfig, Limits, Recorder, Service, UnknownParameters, public_router_over};
use async_trait::async_trait;
use authentication::{AdminTokens, StaticTokens};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use control_plane::{
    ActionKind, ProjectId, kinds,
    ports::{Clock, Ids, ProjectFinder, Rng, Store, StoreError, Vault},
    service::{
        Administration, Bindings, Caller, Context, EndpointPolicy, ListRequest, ListView, PutRequest, PutView, Refusal,
        Tenant, View,
    },
    testing::{MemoryStore, PROVIDER, environment::PlainVault, fake_cloud::FakeCloud},
};
use http_body_util::BodyExt as _;
use seca_api::{ResourceKey, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

/// Not random, but never the same.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Rng for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (byte, value) in buffer.iter_mut().rev().zip(next.into_iter().rev().cycle()) {
            *byte = value;
        }
    }
}

pub fn ids() -> Ids {
    Ids::new(Arc::new(FixedClock), Arc::new(Counter::default()))
}

type Refuse = Box<dyn Fn() -> Option<Refusal> + Send + Sync>;

/// What the service was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Get(ResourceKey),
    List(ListRequestView),
    Put { key: ResourceKey, body: Value, if_version: Option<i64>, base_url: String, subject: String },
    Delete(ResourceKey, Option<i64>),
    Act(ResourceKey, ActionKind, Option<i64>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ListRequestView {
    pub collection: ResourceKey,
    pub labels: Option<String>,
    pub limit: Option<i64>,
    pub after: String,
}

/// A service with two tenants, `acme` and `suite` (conformance).
#[derive(Default)]
pub struct Stub {
    pub refuse: Mutex<Option<Refuse>>,
    pub asked: Mutex<Vec<Asked>>,
    pub created: bool,
    pub warnings: Vec<String>,
    pub down: Mutex<bool>,
    /// Whether the roles forbid everything.
    pub forbids: bool,
    /// Why the engine cannot work.
    pub stalled: Mutex<Option<String>>,
    /// The projects that another database rules.
    pub paused: Mutex<Vec<ProjectId>>,
    /// A call that never ends, or panics.
    pub hang: bool,
    pub panic: bool,
}

impl Stub {
    pub fn refusing(refuse: impl Fn() -> Option<Refusal> + Send + Sync + 'static) -> Arc<Self> {
        let stub = Self::default();
        *stub.refuse.lock().unwrap() = Some(Box::new(refuse));
        Arc::new(stub)
    }

    async fn ask(&self, asked: Asked) -> Result<(), Refusal> {
        self.asked.lock().unwrap().push(asked);
        if self.hang {
            std::future::pending::<()>().await;
        }
        assert!(!self.panic, "the secret inside of a panic");
        let refusal = self.refuse.lock().unwrap().as_ref().and_then(|refuse| refuse());
        refusal.map_or(Ok(()), Err)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn view() -> View {
    View { body: r#"{"spec":{"n":1.50}}"#.to_owned(), tag: Some("3.7".to_owned()), transition: None }
}

#[async_trait]
impl Service for Stub {
    async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        let tenants = BTreeMap::from([("acme", false), ("suite", true)]);
        Ok(tenants.get(name).map(|conformance| Tenant { conformance: *conformance, ..Tenant::default() }))
    }

    fn takes_part(&self, _: &Caller, tenant: &str) -> bool {
        matches!(tenant, "acme" | "suite")
    }

    async fn permits(&self, caller: &Caller, verb: &'static str, key: &ResourceKey) -> Result<(), Refusal> {
        let refusal = Refusal::Forbidden { subject: caller.subject.clone(), verb, resource: key.to_string() };
        if self.forbids { Err(refusal) } else { Ok(()) }
    }

    fn regions(&self) -> Vec<String> {
        vec!["fsn1".to_owned(), "nbg1".to_owned()]
    }

    async fn get(&self, _: Context<'_>, key: &ResourceKey) -> Result<View, Refusal> {
        self.ask(Asked::Get(key.clone())).await.map(|()| view())
    }

    async fn list(&self, _: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal> {
        let ListRequest { collection, labels, limit, after, .. } = request.clone();
        self.ask(Asked::List(ListRequestView { collection, labels, limit, after: after.clone() })).await?;
        // Two pages.
        let next = after.is_empty().then(|| "a".to_owned());
        Ok(ListView { text: format!(r#"{}{{"n":1.50}}"#, ListView::HEAD), next })
    }

    async fn put(&self, context: Context<'_>, request: PutRequest) -> Result<PutView, Refusal> {
        let PutRequest { key, body, if_version } = request;
        let (base_url, subject) = (context.base_url.to_owned(), context.caller.subject.clone());
        self.ask(Asked::Put { key, body, if_version, base_url, subject }).await?;
        Ok(PutView { created: self.created, view: view(), warnings: self.warnings.clone() })
    }

    async fn delete(&self, _: Context<'_>, key: &ResourceKey, if_version: Option<i64>) -> Result<(), Refusal> {
        self.ask(Asked::Delete(key.clone(), if_version)).await
    }

    async fn act(
        &self,
        _: Context<'_>,
        key: &ResourceKey,
        action: ActionKind,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        self.ask(Asked::Act(key.clone(), action, if_version)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if *self.down.lock().unwrap() { Err(StoreError::Unavailable("gone".into())) } else { Ok(()) }
    }

    async fn paused_projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        Ok(self.paused.lock().unwrap().clone())
    }

    fn stalled(&self) -> Option<String> {
        self.stalled.lock().unwrap().clone()
    }
}

/// The token `secret` of the subject `dev`.
pub const TOKENS: &str =
    r#"{"tokens":[{"sha256":"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b","subject":"dev"}]}"#;

pub fn limits() -> Limits {
    Limits {
        body_bytes: 1024,
        body_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(20),
        ..Limits::default()
    }
}

pub fn config() -> ApiConfig {
    ApiConfig {
        default_region: "fsn1".into(),
        public_base_url: None,
        jwks: None,
        signing_key: [1; 32],
        served: kinds::served().to_vec(),
        unknown_parameters: UnknownParameters::Refuse,
        activity: recorder(Arc::new(MemoryStore::default())),
        ids: ids(),
        limits: limits(),
        meter: Arc::new(()),
    }
}

pub fn admin_config() -> AdminConfig {
    AdminConfig {
        tokens: AdminTokens::open(Some(&"admin-secret".to_owned().into()), None).unwrap(),
        clock: Arc::new(FixedClock),
        default_region: "fsn1".into(),
        served: kinds::served().to_vec(),
        activity: recorder(Arc::new(MemoryStore::default())),
        ids: ids(),
        limits: limits(),
        meter: Arc::new(()),
        metrics: None,
    }
}

pub fn administration(store: Arc<dyn Store>) -> Administration {
    Administration::new(store, Arc::new(FixedClock), ids(), Arc::default())
}

/// Bindings over a store, of tokens that all open one project.
pub fn bindings(store: Arc<dyn Store>) -> Bindings {
    bindings_of(store, Arc::new(FakeCloud::new(Duration::ZERO)), Arc::new(PlainVault))
}

/// The same with another look at tokens and another vault.
pub fn bindings_of(store: Arc<dyn Store>, finder: Arc<dyn ProjectFinder>, vault: Arc<dyn Vault>) -> Bindings {
    let endpoints = EndpointPolicy {
        provider: &PROVIDER,
        default: "https://api.hetzner.cloud/v1".parse().unwrap(),
        allowed: Vec::new(),
    };
    Bindings::new(store, vault, finder, ids(), endpoints, Arc::default())
}

/// Writes activities into a store, for as long as the test's runtime lives.
pub fn recorder(store: Arc<dyn Store>) -> Recorder {
    Recorder::start(store, Arc::new(FixedClock)).0
}

pub fn router(stub: Arc<Stub>) -> Router {
    router_draining(stub, CancellationToken::new())
}

pub fn router_draining(stub: Arc<Stub>, drain: CancellationToken) -> Router {
    public_router_over(stub, Arc::new(StaticTokens::parse(TOKENS).unwrap()), config(), drain)
}

/// A request with host and credential; a body is JSON.
pub fn request(method: &str, path: &str, body: Option<&str>) -> Request<Body> {
    let mut request = Request::new(body.map_or(Body::empty(), |text| Body::from(text.to_owned())));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = path.parse().unwrap();
    request.headers_mut().insert("host", "api.test:8080".parse().unwrap());
    request.headers_mut().insert("authorization", "Bearer secret".parse().unwrap());
    if body.is_some() {
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    }
    request
}

pub fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a problem document as the schema wants it, and returns its detail.
    pub fn problem(&self, status: u16, path: &str) -> String {
        assert_eq!(self.status, status, "{path}: {}", self.text);
        assert_eq!(self.header("content-type"), "application/json", "{path}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        let text = |name: &str| {
            problem[name].as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{name}")).to_owned()
        };
        assert!(text("type").starts_with("http://secapi.cloud/errors/"));
        assert_eq!(text("title"), self.status.canonical_reason().unwrap());
        assert_eq!(text("instance"), path.split('?').next().unwrap());
        assert_eq!(problem["meta"]["requestId"], self.header("x-request-id"));
        for source in problem["sources"].as_array().unwrap() {
            assert!(source["pointer"].as_str().is_some_and(|text| !text.is_empty()), "{source}");
            assert!(source["parameter"].as_str().is_some_and(|text| !text.is_empty()), "{source}");
        }
        text("detail")
    }
}

pub async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}
