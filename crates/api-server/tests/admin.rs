//! The admin API through its real router.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::result_large_err, reason = "the refusal is control-plane's")]

mod common;

use std::sync::{Arc, Mutex};

use api_server::{BindingService, Readiness, admin_router_over};
use async_trait::async_trait;
use axum::{Router, body::Body, http::Request};
use common::{admin_config, administration, ask, request, with};
use control_plane::{
    ProjectId, Uid,
    ports::{Binding, OwnedObject},
    service::{BindRequest, BindingView, Refusal, WorkspaceView},
    testing::MemoryStore,
};
use seca_api::{ResourceKey, Timestamp};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Default)]
struct Stub {
    asked: Mutex<Vec<String>>,
    refuse: Option<fn() -> Refusal>,
}

impl Stub {
    fn ask(&self, asked: String) -> Result<(), Refusal> {
        self.asked.lock().unwrap().push(asked);
        self.refuse.map_or(Ok(()), |refuse| Err(refuse()))
    }
}

#[async_trait]
impl BindingService for Stub {
    async fn bind(&self, workspace: &ResourceKey, request: BindRequest) -> Result<(), Refusal> {
        let BindRequest { token, endpoint, project_ref } = request;
        self.ask(format!(
            "bind {workspace}@{} {} {endpoint:?} {project_ref:?}",
            workspace.region,
            token.expose_secret()
        ))
    }

    async fn find(&self, workspace: &ResourceKey) -> Result<Option<BindingView>, Refusal> {
        self.ask(format!("get {workspace}@{}", workspace.region))?;
        Ok((workspace.name != "unbound").then(|| BindingView {
            provider: "hetzner",
            project_ref: None,
            api_endpoint: "https://api.hetzner.cloud/v1".into(),
            has_token: true,
            project: "p1".into(),
        }))
    }

    async fn unbind(&self, workspace: &ResourceKey, force: bool) -> Result<bool, Refusal> {
        self.ask(format!("unbind {workspace}@{} {force}", workspace.region))?;
        Ok(workspace.name != "unbound")
    }

    async fn workspaces(&self, binding: Option<Binding>) -> Result<Vec<WorkspaceView>, Refusal> {
        self.ask(format!("workspaces {binding:?}"))?;
        let [tenant, region, name] = ["acme", "fsn1", "w"].map(str::to_owned);
        Ok(vec![WorkspaceView { tenant, region, name, state: "creating", binding: Binding::None }])
    }

    async fn orphans(&self) -> Result<Vec<(ProjectId, OwnedObject)>, Refusal> {
        self.ask("orphans".into())?;
        let object = OwnedObject {
            object_type: "server".into(),
            id: "42".into(),
            name: "web-1".into(),
            uid: Some(Uid(Uuid::from_u128(7))),
            created: Some(Timestamp::from_millis(0)),
        };
        Ok(vec![(ProjectId("p1".into()), object)])
    }
}

const BINDING: &str = "/admin/v1/tenants/acme/workspaces/w/providers/hetzner";
const WORKSPACES: &str = "/admin/v1/workspaces";
const ORPHANS: &str = "/admin/v1/orphans";
const TOKEN_BODY: &str = r#"{"apiToken":"hunter2"}"#;

fn router(stub: Arc<Stub>) -> Router {
    let store = Arc::new(MemoryStore::default());
    let readiness = Readiness::new(store.clone(), CancellationToken::new());
    admin_router_over(stub, administration(store), readiness, admin_config())
}

fn admin(method: &str, path: &str, body: Option<&str>) -> Request<Body> {
    with(request(method, path, body), "authorization", "Bearer admin-secret")
}

#[tokio::test]
async fn each_operation_reaches_the_service_and_answers_in_json() {
    let stub = Arc::new(Stub::default());
    let router = router(Arc::clone(&stub));
    let body = r#"{"apiToken":"t0ken","apiEndpoint":"http://127.0.0.1:1/v1","projectRef":"billing","other":1}"#;
    let cases = [
        ("PUT", format!("{BINDING}?region=nbg1"), Some(body), 200, json!({"status": "active", "provider": "hetzner"})),
        ("PUT", BINDING.to_owned(), Some(TOKEN_BODY), 200, json!({"status": "active", "provider": "hetzner"})),
        (
            "GET",
            BINDING.to_owned(),
            None,
            200,
            json!({"provider": "hetzner", "apiEndpoint": "https://api.hetzner.cloud/v1", "hasToken": true, "project": "p1"}),
        ),
        ("DELETE", BINDING.to_owned(), None, 202, json!({"status": "accepted"})),
        ("DELETE", format!("{BINDING}?force=true&region=hel1"), None, 202, json!({"status": "accepted"})),
        (
            "GET",
            format!("{WORKSPACES}?binding=none"),
            None,
            200,
            json!({"items": [{"tenant": "acme", "region": "fsn1", "name": "w", "state": "creating", "binding": "none"}]}),
        ),
        (
            "GET",
            ORPHANS.to_owned(),
            None,
            200,
            json!({"items": [{"project": "p1", "type": "server", "id": "42", "name": "web-1",
                "uid": "00000000-0000-0000-0000-000000000007", "created": "1970-01-01T00:00:00.000Z"}]}),
        ),
    ];
    for (method, path, body, status, expected) in cases {
        let answer = ask(&router, admin(method, &path, body)).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (status, expected), "{method} {path}");
    }
    let workspace = "seca.workspace/v1/tenants/acme/workspaces/w";
    let expected = [
        format!("bind {workspace}@nbg1 t0ken Some(\"http://127.0.0.1:1/v1\") Some(\"billing\")"),
        format!("bind {workspace}@fsn1 hunter2 None None"),
        format!("get {workspace}@fsn1"),
        format!("unbind {workspace}@fsn1 false"),
        format!("unbind {workspace}@hel1 true"),
        "workspaces Some(None)".to_owned(),
        "orphans".to_owned(),
    ];
    assert_eq!(*stub.asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn only_the_admin_token_opens_it() {
    let stub = Arc::new(Stub::default());
    let router = router(Arc::clone(&stub));
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
            let answer = ask(&router, bad).await;
            answer.problem(401, path);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    assert!(stub.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_input_is_refused_before_the_service_is_asked_and_no_token_is_repeated() {
    let stub = Arc::new(Stub::default());
    let router = router(Arc::clone(&stub));
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
        let answer = ask(&router, request).await;
        let detail = answer.problem(status, path);
        assert!(detail.contains(part), "{line}: {detail}");
        assert!(!answer.text.contains("hunter2"), "{line} repeats the token: {}", answer.text);
    }
    assert!(stub.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_have_the_specifications_status_and_a_provider_failure_is_502() {
    let table: [(u16, fn() -> Refusal); 5] = [
        (400, || Refusal::Malformed("this token is read-only".into())),
        (404, || Refusal::NotFound(ResourceKey::tenant(seca_api::Kind::Workspace, "fsn1", "acme", "w"))),
        (409, || Refusal::Conflict("in use".into())),
        (502, || Refusal::Provider("Hetzner Cloud could not be asked".into())),
        (500, || Refusal::Internal("hunter2".into())),
    ];
    for (status, refuse) in table {
        let router = router(Arc::new(Stub { refuse: Some(refuse), ..Stub::default() }));
        for (method, body) in [("PUT", Some(TOKEN_BODY)), ("GET", None), ("DELETE", None)] {
            let answer = ask(&router, admin(method, BINDING, body)).await;
            answer.problem(status, BINDING);
            assert!(!answer.text.contains("hunter2"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn health_needs_no_credential() {
    let router = router(Arc::default());
    for (path, word) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let answer = ask(&router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "status": word })), "{path}");
    }
}

#[tokio::test]
async fn a_workspace_that_is_not_bound_is_404_and_told_how_to_bind() {
    let path = "/admin/v1/tenants/acme/workspaces/unbound/providers/hetzner";
    for method in ["GET", "DELETE"] {
        let answer = ask(&router(Arc::new(Stub::default())), admin(method, path, None)).await;
        let detail = answer.problem(404, path);
        assert!(detail.contains("is not bound") && detail.contains("PUT") && detail.contains("apiToken"), "{detail}");
        assert!(!detail.contains("does not exist"), "{method}: {detail}");
    }
}
