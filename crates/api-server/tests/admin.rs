//! The admin API through its real router.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use api_server::{Readiness, admin_router};
use async_trait::async_trait;
use axum::{Router, body::Body, http::Request};
use common::{admin_config, administration, ask, bindings_of, request, with};
use control_plane::{
    ProjectId, Uid,
    ports::{
        Access, BindError, BindingStore, Credential, Delete, DeleteOutcome, DeleteRules, Found, OwnedObject, Portion,
        ProjectFinder, Put, QueueStore, SealContext, Vault, VaultError, WriteStore,
    },
    testing::{MemoryStore, environment::PlainVault, fake_cloud::FakeCloud},
};
use seca_api::{Kind, ResourceKey, Timestamp};
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct World {
    store: Arc<MemoryStore>,
    router: Router,
}

/// Tenant `acme` with the workspace `w` in three regions and the workspace `unbound`; all tokens open one project.
async fn world() -> World {
    world_of(Arc::new(FakeCloud::new(Duration::ZERO)), Arc::new(PlainVault)).await
}

async fn world_of(finder: Arc<dyn ProjectFinder>, vault: Arc<dyn Vault>) -> World {
    let store = Arc::new(MemoryStore::new("test").with_tenants(&["acme"]));
    for (id, (region, name)) in
        [("fsn1", "w"), ("nbg1", "w"), ("hel1", "w"), ("fsn1", "unbound")].into_iter().enumerate()
    {
        let uid = Uid(Uuid::from_u128(id as u128));
        store.put(Put::create(workspace(region, name), uid, "{}", Timestamp::from_millis(0))).await.unwrap();
    }
    let readiness = Readiness::new(store.clone(), CancellationToken::new());
    let bindings = bindings_of(store.clone(), finder, vault);
    let router = admin_router(bindings, administration(store.clone()), readiness, admin_config());
    World { store, router }
}

fn workspace(region: &str, name: &str) -> ResourceKey {
    ResourceKey::tenant(Kind::Workspace, region, "acme", name)
}

impl World {
    async fn credential(&self, region: &str) -> Option<Credential> {
        self.store.credential(&workspace(region, "w")).await.unwrap()
    }

    async fn is_bound(&self) -> bool {
        !self.store.credentials().await.unwrap().is_empty()
    }
}

const BINDING: &str = "/admin/v1/tenants/acme/workspaces/w/providers/hetzner";
const WORKSPACES: &str = "/admin/v1/workspaces";
const ORPHANS: &str = "/admin/v1/orphans";
const TOKEN_BODY: &str = r#"{"apiToken":"hunter2"}"#;

fn admin(method: &str, path: &str, body: Option<&str>) -> Request<Body> {
    with(request(method, path, body), "authorization", "Bearer admin-secret")
}

#[tokio::test]
async fn each_operation_does_what_it_says_and_answers_in_json() {
    let world = world().await;
    let check = async |method: &str, path: &str, body: Option<&str>, status: u16, expected: serde_json::Value| {
        let answer = ask(&world.router, admin(method, path, body)).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (status, expected), "{method} {path}");
    };
    let body = r#"{"apiToken":"t0ken","apiEndpoint":"http://127.0.0.1:1/v1","projectRef":"billing","other":1}"#;
    let active = json!({"status": "active", "provider": "hetzner"});
    check("PUT", &format!("{BINDING}?region=nbg1"), Some(body), 200, active.clone()).await;
    check("PUT", BINDING, Some(TOKEN_BODY), 200, active).await;
    let told = |credential: Option<Credential>| {
        let Credential { sealed, endpoint, project_ref, .. } = credential.expect("it is bound");
        (sealed.rsplit('/').next().unwrap().to_owned(), endpoint, project_ref)
    };
    let [endpoint, note] = ["http://127.0.0.1:1/v1", "billing"].map(|text| Some(text.to_owned()));
    assert_eq!(told(world.credential("nbg1").await), ("t0ken".to_owned(), endpoint, note));
    assert_eq!(told(world.credential("fsn1").await), ("hunter2".to_owned(), None, None));

    let project = world.credential("fsn1").await.unwrap().project;
    let binding = json!({"provider": "hetzner", "apiEndpoint": "https://api.hetzner.cloud/v1", "hasToken": true,
        "project": project});
    check("GET", BINDING, None, 200, binding).await;
    let unbound = ["fsn1", "hel1"].map(|region| {
        let name = if region == "fsn1" { "unbound" } else { "w" };
        json!({"tenant": "acme", "region": region, "name": name, "state": "pending", "binding": "none"})
    });
    check("GET", &format!("{WORKSPACES}?binding=none"), None, 200, json!({ "items": unbound })).await;

    let object = OwnedObject {
        object_type: "server".into(),
        id: "42".into(),
        name: "web-1".into(),
        uid: Some(Uid(Uuid::from_u128(7))),
        created: Some(Timestamp::from_millis(0)),
        ..OwnedObject::default()
    };
    let leases = world.store.lease("replica", Duration::from_secs(60), 9, 9, Portion::All).await.unwrap();
    let lease = leases.iter().find(|lease| lease.project == project).expect("it has a bound workspace");
    assert!(world.store.save_orphans(lease, &[object]).await.unwrap());
    let orphan = json!({"project": project, "type": "server", "id": "42", "name": "web-1",
        "uid": "00000000-0000-0000-0000-000000000007", "created": "1970-01-01T00:00:00.000Z"});
    check("GET", ORPHANS, None, 200, json!({ "items": [orphan] })).await;

    check("DELETE", BINDING, None, 202, json!({"status": "accepted"})).await;
    assert!(world.credential("fsn1").await.is_none() && world.credential("nbg1").await.is_some());
    check("DELETE", &format!("{BINDING}?force=true&region=nbg1"), None, 202, json!({"status": "accepted"})).await;
    assert!(!world.is_bound().await);
}

#[tokio::test]
async fn only_the_admin_token_opens_it() {
    let world = world().await;
    for (method, path) in
        [("PUT", BINDING), ("GET", BINDING), ("DELETE", BINDING), ("GET", WORKSPACES), ("GET", ORPHANS), ("GET", "/x")]
    {
        let body = (method == "PUT").then_some(TOKEN_BODY);
        let mut none = admin(method, path, body);
        none.headers_mut().remove("authorization");
        let mut twice = admin(method, path, body);
        twice.headers_mut().append("authorization", "Bearer admin-secret".parse().unwrap());
        // The public API's token does not count.
        let public = request(method, path, body);
        for bad in [none, twice, public, with(admin(method, path, body), "authorization", "Basic x")] {
            let answer = ask(&world.router, bad).await;
            answer.problem(401, path);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    assert!(!world.is_bound().await);
}

#[tokio::test]
async fn bad_input_is_refused_before_the_service_is_asked_and_no_token_is_repeated() {
    let world = world().await;
    let put = |body: &str| admin("PUT", BINDING, Some(body));
    let slash = "/admin/v1/tenants/acme/workspaces/w%2Fv/providers/hetzner";
    let large = format!(r#"{{"apiToken":"{}"}}"#, "hunter2".repeat(200));
    let cases = [
        (404, "/admin/v1", admin("GET", "/admin/v1", None), "no resource of the admin API"),
        (404, "/metrics", admin("GET", "/metrics", None), "switched off"),
        (404, "/v1/regions", admin("GET", "/v1/regions", None), "no resource of the admin API"),
        (400, slash, admin("GET", slash, None), "contains a slash"),
        (405, BINDING, admin("POST", BINDING, Some(TOKEN_BODY)), "use GET, PUT, DELETE"),
        (405, ORPHANS, admin("DELETE", ORPHANS, None), "use GET"),
        (415, BINDING, with(put(TOKEN_BODY), "content-type", "text/plain"), "application/json"),
        (413, BINDING, put(&large), "larger than"),
        (400, BINDING, admin("PUT", BINDING, None), "empty"),
        (400, BINDING, put(r#"{"apiToken":"hunter2""#), "ends too early"),
        (400, BINDING, put(r#"{"apiToken":["hunter2"]}"#), "of another type"),
        (400, BINDING, put(r#"{"apiToken":"hunter2","apiToken":"hunter2"}"#), "of another type"),
        (400, BINDING, put(r#"{"api_token":"hunter2"}"#), "`apiToken` is required"),
        (400, BINDING, put(r#"{"apiToken":""}"#), "1 to 512"),
        (400, BINDING, put(r#"{"apiToken":"hunter2 \n"}"#), "1 to 512"),
        (400, BINDING, admin("GET", &format!("{BINDING}?regoin=nbg1"), None), "no parameter `regoin`"),
        (400, BINDING, admin("GET", &format!("{BINDING}?region=a&region=b"), None), "at most once"),
        (400, BINDING, admin("GET", &format!("{BINDING}?region=a%00"), None), "no control characters"),
        (400, BINDING, admin("DELETE", &format!("{BINDING}?force=yes"), None), "`true` or `false`"),
        (400, BINDING, admin("GET", &format!("{BINDING}?force=true"), None), "DELETE only"),
        (400, WORKSPACES, admin("GET", &format!("{WORKSPACES}?binding=maybe"), None), "`unbound`"),
        (400, ORPHANS, admin("GET", &format!("{ORPHANS}?x=1"), None), "known: none"),
    ];
    for (status, path, request, part) in cases {
        let line = format!("{} {}", request.method(), request.uri());
        let answer = ask(&world.router, request).await;
        let detail = answer.problem(status, path);
        assert!(detail.contains(part), "{line}: {detail}");
        assert!(!answer.text.contains("hunter2"), "{line} repeats the token: {}", answer.text);
    }
    assert!(!world.is_bound().await);
}

/// A provider that answers to each token with this.
struct Refusing(BindError);

#[async_trait]
impl ProjectFinder for Refusing {
    async fn find(&self, _: &Access, _: &str) -> Result<Found, BindError> {
        Err(self.0.clone())
    }

    async fn mark(&self, _: &Access, _: &str, _: &ProjectId, _: &Found) -> Result<ProjectId, BindError> {
        Err(self.0.clone())
    }
}

/// A vault that seals nothing, and says too much of it.
struct Broken;

impl Vault for Broken {
    fn seal(&self, _: &SecretString, _: &SealContext) -> Result<String, VaultError> {
        Err(VaultError::UnknownKey("hunter2".to_owned()))
    }

    fn open(&self, _: &str, _: &SealContext) -> Result<SecretString, VaultError> {
        Err(VaultError::Form)
    }

    fn is_current(&self, _: &str) -> bool {
        true
    }
}

#[tokio::test]
async fn refusals_have_the_specifications_status_and_a_provider_failure_is_502() {
    let refusing = async |error| world_of(Arc::new(Refusing(error)), Arc::new(PlainVault)).await;
    let deleting = world().await;
    let delete = Delete {
        key: workspace("fsn1", "w"),
        expected_version: None,
        rules: DeleteRules::default(),
        now: Timestamp::from_millis(1),
    };
    assert!(matches!(deleting.store.delete(delete).await.unwrap(), DeleteOutcome::Accepted(_)));
    let ghost = BINDING.replace("/w/", "/ghost/");
    let cases = [
        (400, "PUT", BINDING, refusing(BindError::ReadOnly).await),
        (404, "PUT", &ghost, world().await),
        (404, "GET", &ghost, world().await),
        (404, "DELETE", &ghost, world().await),
        (409, "PUT", BINDING, deleting),
        (502, "PUT", BINDING, refusing(BindError::Unavailable("gone".to_owned())).await),
        (500, "PUT", BINDING, world_of(Arc::new(FakeCloud::new(Duration::ZERO)), Arc::new(Broken)).await),
    ];
    for (status, method, path, world) in cases {
        let answer = ask(&world.router, admin(method, path, (method == "PUT").then_some(TOKEN_BODY))).await;
        answer.problem(status, path);
        assert!(!answer.text.contains("hunter2"), "{}", answer.text);
        assert!(!world.is_bound().await);
    }
}

#[tokio::test]
async fn health_needs_no_credential() {
    let router = world().await.router;
    for (path, word) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let answer = ask(&router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "status": word })), "{path}");
    }
}

#[tokio::test]
async fn a_workspace_that_is_not_bound_is_404_and_told_how_to_bind() {
    let path = "/admin/v1/tenants/acme/workspaces/unbound/providers/hetzner";
    for method in ["GET", "DELETE"] {
        let answer = ask(&world().await.router, admin(method, path, None)).await;
        let detail = answer.problem(404, path);
        assert!(detail.contains("is not bound") && detail.contains("PUT") && detail.contains("apiToken"), "{detail}");
        assert!(!detail.contains("does not exist"), "{method}: {detail}");
    }
}
