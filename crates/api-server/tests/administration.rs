//! The admin API beyond bindings, and the activities that both APIs leave, through the real routers over the in-memory
//! store.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use api_server::{
    AdminConfig, ApiConfig, Readiness, Recorder, admin_assignment_name, admin_router, public_router_over,
};
use authentication::{AdminTokens, StaticTokens};
use axum::Router;
use common::{Answer, Stub, admin_config, administration, ask, config, recorder, request, with};
use control_plane::{
    ProjectId, Uid,
    ports::{
        BindOutcome, BindingStore, Credential, Portion, Put, QueueStore, ReadStore, RequestBudget, Store, WriteStore,
    },
    service::{Bootstrapped, Refusal, Tenant},
    testing::MemoryStore,
};
use seca_api::{Kind, ResourceKey, TenantName, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct World {
    stub: Arc<Stub>,
    public: Router,
    admin: Router,
    store: Arc<MemoryStore>,
    recorder: Recorder,
    token: &'static str,
}

async fn world() -> World {
    world_with(Stub { created: true, ..Stub::default() }, admin_config().tokens).await
}

/// Tenant `acme`, where `ada` is an administrator and workspace `w` stands, and tenant `other`.
async fn world_with(stub: Stub, tokens: AdminTokens) -> World {
    let store = Arc::new(MemoryStore::new("test"));
    for name in ["acme", "other"] {
        assert!(store.access().create_tenant(name, &Tenant::default()).await.unwrap());
    }
    store.put(workspace("w")).await.unwrap();
    let administration = administration(store.clone());
    let acme = TenantName::parse("acme").unwrap();
    let made = administration.bootstrap_admin(&acme, "ada", "first-admin").await.unwrap();
    assert_eq!(made, Bootstrapped::Made("first-admin".to_owned()));

    let (recorder, drain) = (recorder(store.clone()), CancellationToken::new());
    let bindings = common::bindings(store.clone());
    let admin_config = AdminConfig { activity: recorder.clone(), tokens, ..admin_config() };
    let readiness = Readiness::new(store.clone(), drain.clone());
    let config = ApiConfig { activity: recorder.clone(), ..config() };
    let stub = Arc::new(stub);
    let authenticator = Arc::new(StaticTokens::parse(common::TOKENS).unwrap());
    World {
        public: public_router_over(stub.clone(), authenticator, config, drain),
        admin: admin_router(bindings, administration, readiness, admin_config),
        store,
        stub,
        recorder,
        token: "admin-secret",
    }
}

fn workspace(name: &str) -> Put {
    Put::create(
        ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", name),
        Uid(Uuid::from_u128(7)),
        "{}",
        Timestamp::from_millis(0),
    )
}

impl World {
    async fn admin(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.admin_as(self.token, method, path, body).await
    }

    async fn admin_as(&self, token: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
        let path = format!("/admin/v1{path}");
        ask(&self.admin, with(request(method, &path, body), "authorization", &format!("Bearer {token}"))).await
    }

    async fn public(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        ask(&self.public, request(method, path, body)).await
    }

    /// Checks status and document.
    async fn check(&self, method: &str, path: &str, body: Option<&str>, status: u16, expected: Value) {
        let answer = self.admin(method, path, body).await;
        let document = if answer.text.is_empty() { Value::Null } else { answer.json() };
        assert_eq!((answer.status.as_u16(), document), (status, expected), "{method} {path}");
    }

    /// Checks that it is refused, and with what in the sentence or in what is wrong.
    async fn check_refused(&self, method: &str, path: &str, body: Option<&str>, status: u16, part: &str) {
        let answer = self.admin(method, path, body).await;
        answer.problem(status, &format!("/admin/v1{path}"));
        assert!(answer.text.contains(part), "{method} {path} {body:?}: {}", answer.text);
    }

    /// The activities, oldest first: listener, actor, action, target, result.
    async fn activities(&self) -> Vec<[String; 5]> {
        self.recorder.flush().await;
        let page = self.admin("GET", "/activity?limit=1000", None).await.json();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let row = |item| ["listener", "actor", "action", "target", "result"].map(|name| text(item, name));
        page["items"].as_array().unwrap().iter().rev().map(row).collect()
    }
}

fn tenant(name: &str, suspended: bool, conformance: bool, references: &str, version: i64) -> Value {
    json!({"name": name, "suspended": suspended, "conformance": conformance, "references": references,
        "authorizationVersion": version})
}

fn without_time(mut tenant: Value) -> Value {
    assert!(tenant["createdAt"].is_string(), "{tenant}");
    tenant.as_object_mut().unwrap().remove("createdAt");
    tenant
}

#[tokio::test]
async fn a_tenant_is_registered_changed_suspended_and_resumed() {
    let world = world().await;
    let set = async |method: &str, body: &str, status: u16| {
        let answer = world.admin(method, "/tenants/new", Some(body)).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {body}: {}", answer.text);
        if answer.status.is_success() { without_time(answer.json()) } else { answer.json()["detail"].clone() }
    };
    world.check_refused("GET", "/tenants/new", None, 404, "PUT").await;
    for taken in ["/tenants/seca", "/tenants/public"] {
        world.check_refused("PUT", taken, Some("{}"), 409, "stands for the catalogue").await;
    }
    assert_eq!(
        set("PATCH", r#"{"suspended":true}"#, 404).await,
        json!("there is no tenant new; register it with a PUT of {} to /admin/v1/tenants/new")
    );
    assert_eq!(set("PUT", r#"{"references":"late"}"#, 201).await, tenant("new", false, false, "late", 1));
    assert_eq!(
        set("PUT", r#"{"references":"late","conformance":false}"#, 200).await,
        tenant("new", false, false, "late", 1)
    );
    assert!(set("PUT", "{}", 409).await.as_str().unwrap().contains("PATCH"));
    assert_eq!(set("PATCH", r#"{"suspended":true}"#, 200).await, tenant("new", true, false, "late", 2));
    assert_eq!(set("PATCH", r#"{"suspended":true}"#, 200).await, tenant("new", true, false, "late", 2));
    let both = r#"{"conformance":true,"references":"strict"}"#;
    assert_eq!(set("PATCH", both, 200).await, tenant("new", true, true, "strict", 3));
    assert_eq!(set("PATCH", r#"{"suspended":false}"#, 200).await, tenant("new", false, true, "strict", 4));
    let found = world.admin("GET", "/tenants/new", None).await.json();
    assert_eq!(without_time(found), tenant("new", false, true, "strict", 4));
    let list = world.admin("GET", "/tenants", None).await.json();
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["acme", "new", "other"]);
}

#[tokio::test]
async fn a_token_is_denied_until_its_end_and_allowed_again() {
    let world = world().await;
    let entry = |until: &str, reason: Value| json!({"jti": "id/1 é", "expiresAt": until, "deniedAt": "2027-01-15T08:00:00.000Z", "deniedBy": "default", "reason": reason});
    // An id may hold what no name may.
    let path = "/denied-tokens/id%2F1%20%C3%A9";
    world.check_refused("DELETE", path, None, 404, "no token of this id").await;
    let body = |until: &str| format!(r#"{{"expiresAt":"{until}","reason":"laptop lost"}}"#);
    let (sooner, later) = ("2027-01-15T09:00:00.000Z", "2027-01-15T10:00:00.000Z");
    world.check("PUT", path, Some(&body(later)), 200, entry(later, json!("laptop lost"))).await;
    let again = format!(r#"{{"expiresAt":"{sooner}"}}"#);
    world.check("PUT", path, Some(&again), 200, entry(later, Value::Null)).await;
    world.check("GET", "/denied-tokens", None, 200, json!({"items": [entry(later, Value::Null)]})).await;
    world.check_refused("PUT", path, Some(&body("2027-01-15T08:00:00Z")), 409, "ended").await;
    world.check("DELETE", path, None, 204, Value::Null).await;
    world.check("GET", "/denied-tokens", None, 200, json!({"items": []})).await;
}

#[tokio::test]
async fn an_operator_makes_an_administrator_of_a_tenant() {
    let world = world().await;
    let subject = "https://id.example.org/é 1";
    let path = "/tenants/other/admins/https%3A%2F%2Fid.example.org%2F%C3%A9%201";
    let name = admin_assignment_name(subject);
    let view = |name: &str| json!({"tenant": "other", "subject": subject, "roleAssignment": name});
    world
        .check_refused("PUT", &path.replace("other", "ghost"), None, 404, "PUT of {} to /admin/v1/tenants/ghost")
        .await;
    world.check("PUT", path, None, 201, view(&name)).await;
    world.check("PUT", path, Some("{}"), 200, view(&name)).await;
    let explain = "/explain?sub=https://id.example.org/%C3%A9%201&method=PUT&path=/v1/tenants/other/roles/r";
    assert_eq!(world.admin("GET", explain, None).await.json()["allowed"], true);

    // Somebody foresaw the name of the next one. A suspended tenant is made ready before it is resumed.
    let (foreseen, rule) = (admin_assignment_name("bob"), r#"{"subs":["eve"],"scopes":[{}],"roles":["r"]}"#);
    let key = ResourceKey::tenant(Kind::RoleAssignment, "", "other", &foreseen);
    world.store.put(Put::create(key.clone(), Uid(Uuid::from_u128(8)), rule, Timestamp::from_millis(0))).await.unwrap();
    world.admin("PATCH", "/tenants/other", Some(r#"{"suspended":true}"#)).await;
    let second = format!("{foreseen}-2");
    let bob = json!({"tenant": "other", "subject": "bob", "roleAssignment": second});
    world.check("PUT", "/tenants/other/admins/bob", None, 201, bob).await;
    assert_eq!(world.store.get(&key).await.unwrap().unwrap().spec, rule);

    let target = format!("tenants/other/admins/{subject}");
    let expected = [
        ["admin", "default", "make-admin", &target, "201"],
        ["admin", "default", "make-admin", &target, "200"],
        ["admin", "default", "suspend-tenant", "tenants/other", "200"],
        ["admin", "default", "make-admin", "tenants/other/admins/bob", "201"],
    ];
    assert_eq!(world.activities().await, expected);
    assert_eq!(world.admin("GET", "/activity?tenant=other", None).await.json()["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn an_explanation_names_the_grant_or_what_was_missing() {
    let world = world().await;
    world.admin("PATCH", "/tenants/other", Some(r#"{"suspended":true}"#)).await;
    let instance = "/providers/seca.compute/v1/tenants/acme/workspaces/w/instances/web-1";
    let reference = "seca.compute/v1/tenants/acme/workspaces/w/instances/web-1";
    let url = format!("https://seca.example.org/below/regions/nbg1{instance}?x=1");
    let action = format!("{instance}/start");
    let other = "/storage/v1/tenants/other/workspaces/w/block-storages";
    let unknown = "/storage/v1/tenants/ghost/workspaces/w/block-storages";
    let cases = [
        ("ada", "GET", instance, true, "lets ada get"),
        ("ada", "put", reference, true, "lets ada put"),
        ("ada", "DELETE", url.as_str(), true, "lets ada delete"),
        ("ada", "POST", action.as_str(), true, "lets ada post"),
        ("ada", "GET", "/v1/tenants/acme/roles", true, "lets ada list"),
        ("bob", "GET", instance, false, "names bob"),
        ("ada", "GET", other, false, "suspended"),
        ("ada", "GET", unknown, false, "there is no tenant `ghost`"),
        ("bob", "GET", "/v1/regions/fsn1", true, "catalogue"),
        ("bob", "GET", "/compute/v1/tenants/public/skus", true, "catalogue"),
        // What is refused to everybody is not explained by who may read it, or by roles.
        ("ada", "PUT", "/storage/v1/tenants/public/images/x", false, "nobody writes"),
        ("ada", "DELETE", "/storage/v1/tenants/seca/images/x", false, "nobody writes"),
        ("ada", "GET", "/v1/tenants/acme/roles/seca.admin", true, "lets ada get"),
        ("ada", "DELETE", "/v1/tenants/acme/roles/seca.admin", false, "role of the specification"),
    ];
    for (subject, method, path, allowed, part) in cases {
        let encoded = path.replace('?', "%3F").replace('&', "%26");
        let answer = world.admin("GET", &format!("/explain?sub={subject}&method={method}&path={encoded}"), None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let explained = answer.json();
        assert_eq!(explained["allowed"], allowed, "{subject} {method} {path}: {explained}");
        let because = explained["because"].as_str().unwrap();
        assert!(because.contains(part), "{subject} {method} {path}: {because}");
    }
    let grant = world.admin("GET", &format!("/explain?sub=ada&method=GET&path={instance}"), None).await.json();
    assert_eq!(grant["tenant"], "active");
    assert_eq!(grant["roles"]["assignments"][0]["roleAssignment"], "first-admin");
    assert_eq!(grant["roles"]["assignments"][0]["allows"]["role"], "seca.admin");
}

#[tokio::test]
async fn a_workspace_is_paused_and_resumed_and_projects_are_counted() {
    let world = world().await;
    let path = "/tenants/acme/workspaces/w/pause";
    world.check("PUT", path, None, 200, json!({"status": "paused"})).await;
    world.check("PUT", &format!("{path}?region=fsn1"), None, 200, json!({"status": "paused"})).await;
    let mut list = world.admin("GET", "/paused-workspaces", None).await.json();
    assert!(list["items"][0].as_object_mut().unwrap().remove("pausedAt").unwrap().is_string());
    assert_eq!(list, json!({"items": [{"tenant": "acme", "region": "fsn1", "name": "w", "pausedBy": "default"}]}));
    world.check_refused("PUT", &format!("{path}?region=nbg1"), None, 404, "does not exist in region nbg1").await;
    world.check_refused("PUT", "/tenants/acme/workspaces/W_W/pause", None, 404, "does not exist").await;
    world.check("DELETE", path, None, 200, json!({"status": "resumed"})).await;
    world.check("GET", "/paused-workspaces", None, 200, json!({"items": []})).await;
    let projects = json!({"items": [
        {"project": "local", "owner": null, "leasedForSeconds": null, "due": 2, "queued": 2, "resources": 2,
         "inTransition": 2, "budget": null, "paused": null, "gone": false}]});
    world.check("GET", "/projects", None, 200, projects).await;

    let lease = world.store.lease("replica-a", Duration::from_secs(60), 1, 1, Portion::All).await.unwrap().remove(0);
    let budget = RequestBudget { limit: 3600, remaining: 361, refill_per_hour: 3601, waiting: 4 };
    assert!(world.store.renew(&lease, Duration::from_secs(60), Some(budget)).await.unwrap());
    let shown = world.admin("GET", "/projects", None).await.json();
    let mut budget = shown["items"][0]["budget"].clone();
    assert!(budget.as_object_mut().unwrap().remove("ageSeconds").unwrap().as_u64().unwrap() < 60, "{shown}");
    assert_eq!(budget, json!({"limit": 3600, "remaining": 361, "refillPerHour": 3601, "waiting": 4}));
    assert_eq!(shown["items"][0]["owner"], "replica-a");
}

#[tokio::test]
async fn a_project_that_is_gone_is_declared_so_and_lists_what_was_in_it() {
    let world = world().await;
    let key = ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", "w");
    let row = world.store.get(&key).await.unwrap().unwrap();
    let credential = Credential {
        workspace: key,
        workspace_uid: row.uid,
        project: ProjectId("p".into()),
        sealed: "w/token".into(),
        endpoint: None,
        project_ref: None,
        retired: false,
    };
    assert_eq!(world.store.bind(credential).await.unwrap(), BindOutcome::Done);
    for id in ["none", "local"] {
        world
            .check_refused("PUT", &format!("/projects/{id}/gone"), None, 404, "there is no Hetzner Cloud project")
            .await;
    }
    let workspaces = json!([{"tenant": "acme", "region": "fsn1", "name": "w", "resources": 1}]);
    let gone = json!({"status": "gone", "workspaces": workspaces, "otherResources": 0});
    for _ in 0..2 {
        world.check("PUT", "/projects/p/gone", None, 200, gone.clone()).await;
    }
    let shown = world.admin("GET", "/projects", None).await.json();
    let shown = shown["items"].as_array().unwrap().iter().find(|item| item["project"] == "p").unwrap().clone();
    assert_eq!((&shown["gone"], &shown["resources"]), (&json!(true), &json!(1)));
    world.check_refused("DELETE", "/projects/p/gone", None, 405, "PUT").await;
}

#[tokio::test]
async fn bad_input_is_refused_and_says_what_is_right() {
    let world = world().await;
    let long = "a".repeat(129);
    let large = format!(r#"{{"references":"{}"}}"#, "x".repeat(2000));
    let deny = Some(r#"{"expiresAt":"2027-01-16T00:00:00Z"}"#);
    let cases: Vec<(&str, String, Option<&str>, u16, &str)> = vec![
        ("GET", "/tenant".into(), None, 404, "denied-tokens/{jti}"),
        ("GET", "/tenants/".into(), None, 404, "no resource"),
        ("GET", "/denied-tokens/".into(), None, 404, "no resource"),
        ("DELETE", "/tenants/acme".into(), None, 405, "GET, PUT, PATCH"),
        ("GET", "/denied-tokens/x".into(), None, 405, "PUT, DELETE"),
        ("POST", "/explain".into(), None, 405, "use GET"),
        ("GET", "/tenants?limit=1".into(), None, 400, "known: none"),
        ("GET", "/tenants/a%2Fb".into(), None, 400, "slash"),
        ("GET", "/tenants/a%2Fb".into(), None, 400, "letters, digits, hyphens, underscores and dots"),
        ("GET", "/tenants/a%20b".into(), None, 400, "the tenant name `a b` must be"),
        ("PUT", "/tenants/x".into(), None, 400, "empty"),
        ("PUT", "/tenants/x".into(), Some("[]"), 400, "object"),
        ("PUT", "/tenants/x".into(), Some(r#"{"suspended":true}"#), 400, "no member `suspended`"),
        ("PUT", "/tenants/x".into(), Some(r#"{"references":"lax"}"#), 400, "`references` must be `strict` or `late`"),
        ("PUT", "/tenants/x".into(), Some(r#"{"conformance":1}"#), 400, "`conformance` must be true or false"),
        ("PUT", "/tenants/x".into(), Some(r#"{"conformance":true,"conformance":true}"#), 400, "twice"),
        ("PUT", "/tenants/x".into(), Some(&large), 413, "larger"),
        ("PATCH", "/tenants/acme".into(), Some("{}"), 400, "changes nothing"),
        ("PATCH", "/tenants/acme".into(), Some(r#"{"suspended":null}"#), 400, "`suspended` must be"),
        ("PUT", format!("/denied-tokens/{long}"), deny, 400, "1 to 128"),
        ("PUT", "/denied-tokens/a%0Ab".into(), deny, 400, "1 to 128"),
        ("PUT", "/denied-tokens/%ff".into(), deny, 400, "the path has a percent-encoding"),
        ("DELETE", "/denied-tokens/%zz".into(), None, 400, "the path has a percent-encoding"),
        ("PUT", "/tenants/%ff".into(), Some("{}"), 400, "the path has a percent-encoding"),
        ("PUT", "/tenants/acme/admins/%C3".into(), None, 400, "the path has a percent-encoding"),
        ("PUT", "/tenants/acme/workspaces/%f/pause".into(), None, 400, "the path has a percent-encoding"),
        ("GET", "/tenants/acme/workspaces/%ff/providers/hetzner".into(), None, 400, "the path has a percent-encoding"),
        ("GET", "/%ff".into(), None, 400, "the path has a percent-encoding"),
        ("GET", "/explain?sub=%ff&method=GET&path=/v1/regions".into(), None, 400, "the query has a percent-encoding"),
        ("PUT", "/tenants/acme/workspaces/w/pause?region=%".into(), None, 400, "the query has a percent-encoding"),
        ("PUT", format!("/tenants/acme/admins/{long}"), None, 400, "1 to 128"),
        ("PUT", "/tenants/acme/admins/a%0Ab".into(), None, 400, "1 to 128"),
        ("PUT", "/tenants/acme/admins/*".into(), None, 400, "and not `*`"),
        ("PUT", "/tenants/acme/admins/%2A".into(), None, 400, "and not `*`"),
        ("PUT", "/tenants/a*/admins/ada".into(), None, 400, "tenant name"),
        ("PUT", "/tenants/acme/admins/".into(), None, 404, "tenants/{tenant}/admins/{subject}"),
        ("GET", "/tenants/acme/admins/ada".into(), None, 405, "use PUT"),
        ("PUT", "/tenants/acme/admins/ada?name=x".into(), None, 400, "known: none"),
        ("PUT", "/denied-tokens/a".into(), Some("{}"), 400, "`expiresAt` is required"),
        ("PUT", "/denied-tokens/a".into(), Some(r#"{"expiresAt":"tomorrow"}"#), 400, "2026-12-31T12:00:00Z"),
        ("PUT", "/denied-tokens/a".into(), Some(r#"{"expiresAt":"9999-12-31T23:59:59-00:01"}"#), 400, "2026-12-31"),
        ("PUT", "/denied-tokens/a".into(), Some(r#"{"expiresAt":17,"why":1,"reason":""}"#), 400, "no member `why`"),
        ("GET", "/explain".into(), None, 400, "`sub` is required"),
        ("GET", "/explain?sub=a".into(), None, 400, "`method` is required"),
        ("GET", "/explain?sub=a&method=GET".into(), None, 400, "`path` is required"),
        ("GET", "/explain?sub=a&method=GET&path=/nowhere".into(), None, 400, "no resource has this path"),
        ("GET", "/explain?sub=a&method=PATCH&path=/v1/regions".into(), None, 400, "knows: GET"),
        ("GET", "/explain?subject=a".into(), None, 400, "known: sub, method, path"),
        ("GET", "/activity?limit=0".into(), None, 400, "from 1 to 1000"),
        ("GET", "/activity?limit=1001".into(), None, 400, "from 1 to 1000"),
        ("GET", "/activity?before=x".into(), None, 400, "`before` must be"),
        ("GET", "/activity?tenant=*".into(), None, 400, "tenant name"),
        ("PUT", "/tenants/acme/workspaces/w/pause?regoin=x".into(), None, 400, "no parameter `regoin`"),
    ];
    for (method, path, body, status, part) in cases {
        let answer = world.admin(method, &path, body).await;
        answer.problem(status, &format!("/admin/v1{path}"));
        assert!(answer.text.contains(part), "{method} {path} {body:?}: {}", answer.text);
    }
    assert_eq!(world.activities().await, Vec::<[String; 5]>::new(), "what is refused for its form leaves nothing");
}

#[tokio::test]
async fn what_changes_something_leaves_an_activity_and_what_reads_leaves_none() {
    let world = world().await;
    let workspaces = "/workspace/v1/tenants/acme/workspaces";
    let (item, secret) = (format!("{workspaces}/w"), "S3CRET-user-data");
    let instance = "/compute/v1/tenants/acme/workspaces/w/instances/web-1";
    let user_data = format!(r#"{{"spec":{{"userData":"{secret}"}}}}"#);
    for path in [workspaces, item.as_str()] {
        assert_eq!(world.public("GET", path, None).await.status, 200);
    }
    world.public("PUT", instance, Some(&user_data)).await;
    world.public("POST", &format!("{instance}/start"), None).await;
    world.public("DELETE", instance, None).await;
    world.public("PUT", instance, Some("not json")).await;
    let forbid = || Some(Refusal::Forbidden { subject: "dev".into(), verb: "put", resource: "x".into() });
    *world.stub.refuse.lock().unwrap() = Some(Box::new(forbid));
    world.public("PUT", instance, Some(&user_data)).await.problem(403, instance);
    world.public("GET", instance, None).await.problem(403, instance);
    *world.stub.refuse.lock().unwrap() = Some(Box::new(|| Some(Refusal::Conflict("in use".into()))));
    world.public("DELETE", instance, None).await.problem(409, instance);
    // Nobody is known to have asked.
    ask(&world.public, with(request("DELETE", instance, None), "authorization", "Bearer wrong")).await;

    let binding = "/tenants/acme/workspaces/w/providers/hetzner";
    let token = format!(r#"{{"apiToken":"{secret}"}}"#);
    assert_eq!(world.admin("PUT", binding, Some(&token)).await.status, 200);
    world.admin("GET", binding, None).await;
    assert_eq!(world.admin("DELETE", &format!("{binding}?force=true"), None).await.status, 202);
    world.admin("PUT", "/tenants/new", Some("{}")).await;
    world.admin("PATCH", "/tenants/new", Some(r#"{"suspended":true}"#)).await;
    world.admin("PATCH", "/tenants/new", Some(r#"{"suspended":false}"#)).await;
    world.admin("PATCH", "/tenants/new", Some(r#"{"conformance":true}"#)).await;
    world.admin("PUT", "/denied-tokens/t1", Some(r#"{"expiresAt":"2027-01-16T00:00:00Z"}"#)).await;
    world.admin("DELETE", "/denied-tokens/t1", None).await;
    world.admin("DELETE", "/denied-tokens/t1", None).await.problem(404, "/admin/v1/denied-tokens/t1");
    world.admin("PUT", "/tenants/acme/workspaces/w/pause", None).await;
    world.admin("DELETE", "/tenants/acme/workspaces/w/pause", None).await;
    for path in
        ["/tenants", "/denied-tokens", "/projects", "/paused-workspaces", "/workspaces", "/orphans", "/nat-servers"]
    {
        assert_eq!(world.admin("GET", path, None).await.status, 200, "{path}");
    }

    let urn = "seca.compute/v1/tenants/acme/workspaces/w/instances/web-1";
    let w = "seca.workspace/v1/tenants/acme/workspaces/w";
    let expected = [
        ["public", "dev", "put", urn, "201"],
        ["public", "dev", "start", urn, "202"],
        ["public", "dev", "delete", urn, "202"],
        ["public", "dev", "put", urn, "403"],
        ["admin", "default", "bind", w, "200"],
        ["admin", "default", "unbind", w, "202"],
        ["admin", "default", "create-tenant", "tenants/new", "201"],
        ["admin", "default", "suspend-tenant", "tenants/new", "200"],
        ["admin", "default", "resume-tenant", "tenants/new", "200"],
        ["admin", "default", "change-tenant", "tenants/new", "200"],
        ["admin", "default", "deny-token", "denied-tokens/t1", "200"],
        ["admin", "default", "allow-token", "denied-tokens/t1", "204"],
        ["admin", "default", "pause", w, "200"],
        ["admin", "default", "resume", w, "200"],
    ];
    assert_eq!(world.activities().await, expected);

    let all = world.admin("GET", "/activity", None).await;
    assert!(!all.text.contains(secret), "{}", all.text);
    assert_eq!(all.json().get("nextBefore"), None);
    let first = &all.json()["items"][0];
    assert_eq!((&first["tenant"], &first["detail"]), (&json!("acme"), &json!("region fsn1")));
    assert!(first["requestId"].as_str().unwrap().len() > 8 && first["at"].is_string(), "{first}");

    // By tenant, and page by page.
    let ids = async |query: &str| {
        let page = world.admin("GET", &format!("/activity?{query}"), None).await.json();
        let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect();
        (ids, page["nextBefore"].as_i64())
    };
    assert_eq!(ids("tenant=new").await, (vec![10, 9, 8, 7], None));
    assert_eq!(ids("tenant=new&limit=3").await, (vec![10, 9, 8], Some(8)));
    assert_eq!(ids("tenant=new&limit=3&before=8").await, (vec![7], None));
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_an_activity_of_unknown_outcome() {
    let world = world_with(Stub { hang: true, ..Stub::default() }, admin_config().tokens).await;
    let instance = "/compute/v1/tenants/acme/workspaces/w/instances/web-1";
    let mut put = Box::pin(world.public("PUT", instance, Some("{}")));
    while world.stub.asked().is_empty() {
        tokio::select! {
            biased;
            answer = &mut put => panic!("{}", answer.text),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(put);
    let urn = "seca.compute/v1/tenants/acme/workspaces/w/instances/web-1";
    assert_eq!(world.activities().await, [["public", "dev", "put", urn, "unknown"]]);
}

#[tokio::test(start_paused = true)]
async fn named_tokens_are_told_apart_and_change_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admins.json");
    // sha256("alice-secret"), sha256("bob-secret")
    let write = |tokens: &[(&str, &str)]| write_tokens(&path, tokens);
    let alice = ("alice", "alice-secret");
    write(&[alice]);
    let tokens = AdminTokens::open(Some(&"admin-secret".to_owned().into()), Some(&path)).unwrap();
    let world = world_with(Stub::default(), tokens).await;
    let status = async |token: &str| world.admin_as(token, "GET", "/tenants", None).await.status.as_u16();
    let found = [
        status("alice-secret").await,
        status("admin-secret").await,
        status("bob-secret").await,
        status("secret").await,
    ];
    assert_eq!(found, [200, 200, 401, 401]);
    write(&[("bob", "bob-secret")]);
    tokio::time::advance(Duration::from_secs(1)).await;
    let found = [status("alice-secret").await, status("admin-secret").await, status("bob-secret").await];
    assert_eq!(found, [401, 200, 200]);

    let refused = world.admin_as("alice-secret", "PUT", "/tenants/x", Some("{}")).await;
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    let detail = refused.problem(401, "/admin/v1/tenants/x");
    assert!(detail.contains("SECA_ADMIN_TOKENS_FILE") && !refused.text.contains("alice"), "{}", refused.text);
    world.admin_as("bob-secret", "PUT", "/tenants/x", Some("{}")).await;
    world.admin("PUT", "/tenants/y", Some("{}")).await;
    let actors: Vec<_> = world.activities().await.into_iter().map(|[_, actor, _, target, _]| (actor, target)).collect();
    let expected = [("bob", "tenants/x"), ("default", "tenants/y")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(actors, expected);
}

fn write_tokens(path: &Path, tokens: &[(&str, &str)]) {
    let hash = |token: &str| -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let tokens: Vec<_> = tokens.iter().map(|(name, token)| json!({"name": name, "sha256": hash(token)})).collect();
    fs::write(path, json!({ "tokens": tokens }).to_string()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn every_route_needs_an_admin_token() {
    let world = world().await;
    let routes = [
        ("GET", "/tenants"),
        ("PUT", "/tenants/x"),
        ("PATCH", "/tenants/acme"),
        ("PUT", "/tenants/acme/admins/ada"),
        ("GET", "/denied-tokens"),
        ("PUT", "/denied-tokens/a"),
        ("DELETE", "/denied-tokens/a"),
        ("GET", "/explain"),
        ("GET", "/activity"),
        ("GET", "/projects"),
        ("GET", "/paused-workspaces"),
        ("PUT", "/tenants/acme/workspaces/w/pause"),
        ("DELETE", "/tenants/acme/workspaces/w/pause"),
    ];
    for (method, path) in routes {
        // `secret` opens the public API.
        for token in ["secret", "admin-secre", "admin-secrets"] {
            world.admin_as(token, method, path, None).await.problem(401, &format!("/admin/v1{path}"));
        }
    }
    assert_eq!(world.activities().await, Vec::<[String; 5]>::new());
}
