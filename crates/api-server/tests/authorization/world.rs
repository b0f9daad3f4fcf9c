//! Two tenants with the same in each, a signer of tokens, and a clock that is set by hand.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use api_server::{ApiConfig, Limits, Rates, Service, public_router, public_router_over};
use async_trait::async_trait;
use authentication::{Issuers, JwksFetcher, Jwt, RING};
use axum::{Router, body::Body, http::Request};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use control_plane::{
    ActionKind, Catalog, CatalogCache, CatalogEntry, Watchers,
    ports::{BootstrapOutcome, Clock, Deleted, DeniedToken, Ids, ListQuery, Put, ReadStore, Store, StoreError},
    service::{
        Caller, Context, ControlPlane, Enforcement, ListRequest, ListView, Parts, PutRequest, PutView, Refusal, Tenant,
        View,
    },
    testing::{MemoryStore, environment::SeededRng},
    watch::Patience,
};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use seca_api::{Kind, ResourceKey, Scope, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    common::{self, Answer, config, request, with},
    operations::{HERE, Operation, Place, WRITTEN, operations, place},
};

pub const TENANTS: [&str; 2] = ["acme", "other"];
pub const WORKSPACES: [&str; 2] = ["w", "v"];

/// The subjects that have a role, with the tenant, the scope and the role of each. `ann` and `far` are there from the
/// beginning.
const ASSIGNED: &[(&str, &str, &str, &str)] = &[
    ("region-admin", "acme", "{}", "seca.region-admin"),
    ("workspace-admin", "acme", r#"{"workspaces":["w"]}"#, "seca.workspace-admin"),
    ("workspace-editor", "acme", r#"{"workspaces":["w"]}"#, "seca.workspace-editor"),
    ("workspace-viewer", "acme", r#"{"workspaces":["w"]}"#, "seca.workspace-viewer"),
    ("workspace-admin-of-all", "acme", "{}", "seca.workspace-admin"),
    ("workspace-editor-of-all", "acme", "{}", "seca.workspace-editor"),
    ("workspace-viewer-of-all", "acme", "{}", "seca.workspace-viewer"),
    ("vera", "acme", r#"{"workspaces":["v"]}"#, "seca.workspace-admin"),
    ("mia", "acme", "{}", "seca.admin"),
    ("mia", "other", "{}", "seca.admin"),
];

/// The administrator of `acme`.
pub const ANN: &str = "ann";

/// The administrator of `other`.
pub const FAR: &str = "far";

/// Set by hand.
pub struct Hand(AtomicI64);

impl Hand {
    pub fn forward(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn seconds(&self) -> i64 {
        self.0.load(Ordering::SeqCst) / 1000
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A key of an issuer.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    #[expect(clippy::disallowed_methods, reason = "test keys are made at run time")]
    pub fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": base64url(self.public())})
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature = base64url(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The keys are in a file.
struct Nowhere;

#[async_trait]
impl JwksFetcher for Nowhere {
    async fn fetch(&self, url: &Url, _: usize) -> Result<Vec<u8>, String> {
        Err(format!("{url} was asked for"))
    }
}

pub struct World {
    pub router: Router,
    /// The same, and how often it asked for anything but a name that is known without the store.
    pub counted: Router,
    pub asked: Arc<AtomicUsize>,
    pub store: Arc<MemoryStore>,
    pub clock: Arc<Hand>,
    pub watchers: Arc<Watchers>,
    pub ids: Ids,
    pub signer: Signer,
    _keys: TempDir,
}

impl World {
    /// Nothing is held.
    pub async fn new() -> Self {
        Self::patient(Patience { hold: Duration::ZERO, ..Patience::default() }).await
    }

    pub async fn patient(patience: Patience) -> Self {
        // The first test installs it, the others find it.
        let _ = RING.install_default();
        let clock = Arc::new(Hand(AtomicI64::new(1_790_000_000_000)));
        let (signer, keys) = (Signer::new(), tempfile::tempdir().unwrap());
        let authenticator = || Arc::new(jwt(&signer, &keys, clock.clone()));
        let store = Arc::new(MemoryStore::new("test").with_tenants(&TENANTS));
        let ids = Ids::new(clock.clone(), Arc::new(SeededRng::new(1)));
        for (subject, tenant) in [(ANN, "acme"), (FAR, "other")] {
            let assignment = administrator(&ids, subject, tenant, "administrator", &json!({}));
            let made = store.access().bootstrap(subject, assignment).await.unwrap();
            assert_eq!(made, BootstrapOutcome::Made);
        }
        let watchers = Arc::new(Watchers::new(patience));
        let plane = ControlPlane::new(Parts {
            store: store.clone(),
            catalog: CatalogCache::new(catalog()),
            rules: Arc::new(control_plane::testing::LimitsOnly),
            enforcement: Enforcement::Roles,
            clock: clock.clone(),
            ids: ids.clone(),
            wake: Arc::default(),
        });
        let plane = plane.watched_by(watchers.clone());
        let rates = Rates { writes: None, reads: None };
        let config = ApiConfig { limits: Limits { rates, ..Limits::default() }, ..config() };
        let asked = Arc::<AtomicUsize>::default();
        let counting = Counting { plane: plane.clone(), asked: asked.clone() };
        let drain = CancellationToken::new();
        let counted = public_router_over(Arc::new(counting), authenticator(), config.clone(), drain.clone());
        let router = public_router(plane, authenticator(), config, drain);
        let world = Self { router, counted, asked, store, clock, watchers, ids, signer, _keys: keys };
        world.populate(HERE).await;
        for (at, (subject, tenant, scope, role)) in ASSIGNED.iter().enumerate() {
            let scope: Value = serde_json::from_str(scope).unwrap();
            let answer = world.assign(administrator_of(tenant), tenant, &format!("a{at}"), subject, scope, role).await;
            assert_eq!(answer.status, 201, "{subject}: {}", answer.text);
        }
        world
    }

    /// Something of this name of every kind, in every tenant and workspace.
    pub async fn populate(&self, name: &str) {
        let operations = operations();
        for collection in WRITTEN {
            let put = operations.iter().find(|o| o.method == "PUT" && o.collection() == *collection).unwrap();
            for tenant in TENANTS {
                let has_many = put.has("{workspace}") || (*collection == "workspaces" && name == HERE);
                let workspaces = if has_many { &WORKSPACES[..] } else { &WORKSPACES[..1] };
                for workspace in workspaces {
                    let place = Place { name, ..place(tenant, workspace) };
                    let answer = self.perform(&self.token(administrator_of(tenant)), put, place).await;
                    assert_eq!(answer.status, 201, "{collection} {name}: {}", answer.text);
                }
            }
        }
    }

    /// Gives somebody a role.
    pub async fn assign(&self, by: &str, tenant: &str, name: &str, to: &str, scope: Value, role: &str) -> Answer {
        let path = format!("/providers/seca.authorization/v1/tenants/{tenant}/role-assignments/{name}");
        let spec = json!({"spec": {"subs": [to], "scopes": [scope], "roles": [role]}});
        self.ask(&self.token(by), "PUT", &path, Some(&spec)).await
    }

    /// The claims of a good token for an hour.
    pub fn claims(&self, subject: &str) -> Value {
        json!({"iss": "https://corp.example.org", "aud": "seca", "sub": subject, "exp": self.clock.seconds() + 3600})
    }

    pub fn token(&self, subject: &str) -> String {
        self.sign(&self.claims(subject))
    }

    /// The same with other claims, or more.
    pub fn token_with(&self, subject: &str, changes: Value) -> String {
        let mut claims = self.claims(subject);
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.sign(&claims)
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.signer.sign(&json!({"alg": "EdDSA", "typ": "JWT", "kid": "a"}), claims)
    }

    pub async fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        common::ask(&self.router, bearing(token, method, path, body)).await
    }

    pub async fn perform(&self, token: &str, operation: &Operation, place: Place<'_>) -> Answer {
        self.ask(token, &operation.method, &operation.path(place), operation.body(place).as_ref()).await
    }

    /// Everything that is stored, what is being deleted included.
    pub async fn dump(&self) -> String {
        let mut text = String::new();
        for tenant in TENANTS {
            writeln!(text, "{:?}", self.store.access().authorization(tenant).await.unwrap()).unwrap();
            for kind in Kind::ALL {
                for (workspace, network) in containers(kind) {
                    let query = ListQuery {
                        kind,
                        tenant: tenant.to_owned(),
                        region: if kind.provider().is_global() { "" } else { "fsn1" }.to_owned(),
                        workspace: workspace.to_owned(),
                        network: network.to_owned(),
                        deleted: Deleted::Include,
                        selector: None,
                        after: String::new(),
                        limit: 1_000,
                    };
                    writeln!(text, "{:?}", self.store.list(&query).await.unwrap().items).unwrap();
                }
            }
        }
        text
    }

    pub async fn deny(&self, jti: &str) {
        let token = DeniedToken {
            id: jti.to_owned(),
            expires_at: self.clock.now().plus(Duration::from_secs(3600)),
            denied_at: self.clock.now(),
            denied_by: "operator".to_owned(),
            reason: None,
        };
        self.store.access().deny_token(&token).await.unwrap();
    }
}

fn containers(kind: Kind) -> Vec<(&'static str, &'static str)> {
    let workspaces = ["w", "v", "gone"].into_iter();
    match kind.scope() {
        Scope::Workspace => workspaces.map(|workspace| (workspace, "")).collect(),
        Scope::Network => workspaces.flat_map(|workspace| [(workspace, "here"), (workspace, "gone")]).collect(),
        _ => vec![("", "")],
    }
}

pub fn administrator_of(tenant: &str) -> &'static str {
    if tenant == "acme" { ANN } else { FAR }
}

/// A request with a token; with an empty one, without.
pub fn bearing(token: &str, method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let body = body.map(Value::to_string);
    let mut request = request(method, path, body.as_deref());
    if token.is_empty() {
        request.headers_mut().remove("authorization");
        return request;
    }
    with(request, "authorization", &format!("Bearer {token}"))
}

fn jwt(signer: &Signer, keys: &TempDir, clock: Arc<dyn Clock>) -> Jwt {
    fs::write(keys.path().join("keys"), json!({"keys": [signer.jwk()]}).to_string()).unwrap();
    let issuer = json!({
        "name": "corp", "issuer": "https://corp.example.org", "audience": "seca", "algorithms": ["EdDSA"],
        "keys_file": "keys",
    });
    let issuers = Issuers::parse(&json!({"issuers": [issuer]}).to_string(), keys.path()).unwrap();
    let fetcher: Arc<dyn JwksFetcher> = Arc::new(Nowhere);
    Jwt::start(&issuers, &fetcher, clock).unwrap()
}

/// An assignment as a configuration makes it.
pub fn administrator(ids: &Ids, subject: &str, tenant: &str, name: &str, scope: &Value) -> Put {
    Put::create(
        ResourceKey::tenant(Kind::RoleAssignment, "", tenant, name),
        ids.uid(),
        json!({"subs": [subject], "scopes": [scope], "roles": ["seca.admin"]}).to_string(),
        Timestamp::default(),
    )
}

fn catalog() -> Catalog {
    let mut entries = Vec::new();
    for region in ["fsn1", "nbg1"] {
        let entry = |kind, name: &str, spec: Value, facts: Value| CatalogEntry {
            kind,
            region: region.to_owned(),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            spec: spec.as_object().unwrap().clone(),
            facts: facts.as_object().unwrap().clone(),
            listed: true,
        };
        entries.push(entry(Kind::Region, region, json!({"availableZones": [region]}), json!({})));
        entries.push(entry(Kind::InstanceSku, "cx23", json!({"vCPU": 2, "ram": 4}), json!({"disk": 40})));
        let volume = json!({"iops": 5000, "type": "remote-durable", "minVolumeSize": 10});
        entries.push(entry(Kind::StorageSku, "hcloud-volume", volume, json!({})));
        let network = json!({"bandwidth": 1000, "packets": 1000});
        entries.push(entry(Kind::NetworkSku, "hcloud-network", network, json!({})));
    }
    Catalog::new(1, entries, "fsn1")
}

/// The control plane, and how often it was called.
struct Counting {
    plane: ControlPlane,
    asked: Arc<AtomicUsize>,
}

impl Counting {
    fn plane(&self) -> &dyn Service {
        self.asked.fetch_add(1, Ordering::SeqCst);
        &self.plane
    }
}

#[async_trait]
impl Service for Counting {
    async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        self.plane().tenant(name).await
    }

    fn takes_part(&self, caller: &Caller, tenant: &str) -> bool {
        self.plane().takes_part(caller, tenant)
    }

    fn regions(&self) -> Vec<String> {
        self.plane().regions()
    }

    async fn get(&self, context: Context<'_>, key: &ResourceKey) -> Result<View, Refusal> {
        self.plane().get(context, key).await
    }

    async fn list(&self, context: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal> {
        self.plane().list(context, request).await
    }

    async fn put(&self, context: Context<'_>, request: PutRequest) -> Result<PutView, Refusal> {
        self.plane().put(context, request).await
    }

    async fn delete(&self, context: Context<'_>, key: &ResourceKey, if_version: Option<i64>) -> Result<(), Refusal> {
        self.plane().delete(context, key, if_version).await
    }

    async fn act(
        &self,
        context: Context<'_>,
        key: &ResourceKey,
        action: ActionKind,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        self.plane().act(context, key, action, if_version).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.plane().ping().await
    }
}
