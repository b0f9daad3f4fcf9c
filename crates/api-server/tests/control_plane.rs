//! Both APIs over the real control plane and its in-memory store: what a client sees from the first PUT to the
//! last 404. The engine does not run, so that nothing becomes active here.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_server::{Readiness, admin_router, public_router};
use authentication::StaticTokens;
use axum::Router;
use common::{Answer, FixedClock, admin_config, administration, ask, config, ids, request, with};
use control_plane::{
    Catalog, CatalogCache, CatalogEntry, Watchers,
    ports::{Clock, Store},
    service::{ControlPlane, Enforcement, Parts},
    testing::MemoryStore,
    watch::Patience,
};
use seca_api::Kind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct World {
    public: Router,
    admin: Router,
}

fn entry(kind: Kind, region: &str, name: &str, spec: Value) -> CatalogEntry {
    CatalogEntry {
        kind,
        region: region.into(),
        name: name.into(),
        labels: BTreeMap::from([("tier".to_owned(), name.to_owned())]),
        spec: spec.as_object().unwrap().clone(),
        facts: json!({"disk": 40}).as_object().unwrap().clone(),
        listed: true,
    }
}

fn world() -> World {
    let mut entries = Vec::new();
    for region in ["fsn1", "nbg1"] {
        entries.push(entry(Kind::Region, region, region, json!({"availableZones": [region]})));
        entries.push(entry(Kind::InstanceSku, region, "cx23", json!({"vCPU": 2, "ram": 4})));
        entries.push(entry(Kind::InstanceSku, region, "cx33", json!({"vCPU": 4, "ram": 8})));
        let volume = json!({"iops": 5000, "type": "remote-durable", "minVolumeSize": 10});
        entries.push(entry(Kind::StorageSku, region, "hcloud-volume", volume));
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new("test").with_tenants(&["acme", "suite:conformance"]));
    let clock: Arc<dyn Clock> = Arc::new(FixedClock);
    let plane = ControlPlane::new(Parts {
        store: store.clone(),
        catalog: CatalogCache::new(Catalog::new(1, entries, "fsn1")),
        rules: Arc::new(control_plane::testing::LimitsOnly),
        enforcement: Enforcement::Off,
        clock,
        ids: ids(),
        wake: Arc::default(),
    });
    // Nothing would ever end a wait here.
    let patience = Patience { hold: Duration::ZERO, ..Patience::default() };
    let plane = plane.watched_by(Arc::new(Watchers::new(patience)));
    let bindings = common::bindings(store.clone());
    let drain = CancellationToken::new();
    let tokens = Arc::new(StaticTokens::parse(common::TOKENS).unwrap());
    World {
        public: public_router(plane, tokens, config(), drain.clone()),
        admin: admin_router(bindings, administration(store.clone()), Readiness::new(store, drain), admin_config()),
    }
}

impl World {
    async fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        ask(&self.public, request(method, path, body)).await
    }

    async fn admin(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        ask(&self.admin, with(request(method, path, body), "authorization", "Bearer admin-secret")).await
    }
}

const WORKSPACE: &str = "/providers/seca.workspace/v1/tenants/acme/workspaces/w";
const DISK: &str = "/providers/seca.storage/v1/tenants/acme/workspaces/w/block-storages/disk";
const VOLUME: &str = r#"{"labels":{"env":"prod"},"spec":{"sizeGB":20,"skuRef":{"resource":"skus/hcloud-volume"}}}"#;

#[tokio::test]
async fn a_resource_lives_from_201_to_202() {
    let world = world();
    let created = world.ask("PUT", WORKSPACE, Some(r#"{"spec":null}"#)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let location = created.header("location").to_owned();
    assert_eq!(location, "http://api.test:8080/regions/fsn1/providers/seca.workspace/v1/tenants/acme/workspaces/w");
    let disk = world.ask("PUT", DISK, Some(VOLUME)).await;
    assert_eq!(disk.status, 201, "{}", disk.text);
    assert_eq!(disk.json()["metadata"]["verb"], "PUT");
    assert!(disk.json()["status"]["state"].is_string(), "{}", disk.text);

    // The same under all three spellings of its path, and nothing new for whoever has its tag.
    let got = world.ask("GET", DISK, None).await;
    let regional = DISK.replace("/providers", "/regions/fsn1/providers");
    for path in [regional.as_str(), "/storage/v1/tenants/acme/workspaces/w/block-storages/disk"] {
        assert_eq!(world.ask("GET", path, None).await.text, got.text);
    }
    let again = ask(&world.public, with(request("GET", DISK, None), "if-none-match", got.header("etag"))).await;
    assert_eq!(again.status, 304);
    let elsewhere = DISK.replace("/providers", "/regions/nbg1/providers");
    world.ask("GET", &elsewhere, None).await.problem(404, &elsewhere);

    let update = world.ask("PUT", DISK, Some(&VOLUME.replace("prod", "test"))).await;
    assert_eq!((update.status.as_u16(), update.header("location")), (200, ""), "{}", update.text);
    assert_eq!(update.json()["labels"], json!({"env": "test"}));

    // The version that was read first is stale by now.
    let stale = with(request("PUT", DISK, Some(VOLUME)), "if-match", got.header("etag"));
    ask(&world.public, stale).await.problem(412, DISK);
    let stale = with(request("DELETE", DISK, None), "if-unmodified-since", "1");
    ask(&world.public, stale).await.problem(412, DISK);

    world.ask("DELETE", WORKSPACE, None).await.problem(409, WORKSPACE);
    assert_eq!(world.ask("DELETE", DISK, None).await.status, 202);
    assert_eq!(world.ask("DELETE", DISK, None).await.status, 202);
    let deleting = world.ask("GET", DISK, None).await.json();
    assert_eq!(deleting["status"]["state"], "deleting");
    assert!(deleting["metadata"]["deletedAt"].is_string());
}

#[tokio::test]
async fn the_predecessors_calls_attach_and_detach_a_disk() {
    let world = world();
    world.ask("PUT", WORKSPACE, Some(r#"{"spec":null}"#)).await;
    let boot = DISK.replace("disk", "boot");
    for path in [DISK, &boot] {
        assert_eq!(world.ask("PUT", path, Some(VOLUME)).await.status, 201);
    }
    let instance = "/providers/seca.compute/v1/tenants/acme/workspaces/w/instances/i";
    let body = r#"{"spec":{"skuRef":"skus/cx23","zone":"fsn1","bootVolume":{"deviceRef":"block-storages/boot"}}}"#;
    assert_eq!(world.ask("PUT", instance, Some(body)).await.status, 201);
    let call = |name: &str| format!("/storage/v1/tenants/acme/workspaces/w/block-storages/{name}");
    let volumes = async || world.ask("GET", instance, None).await.json()["spec"]["dataVolumes"].clone();

    let to = |name: &str| format!(r#"{{"instanceRef":{{"resource":"{name}"}}}}"#);
    let attach = call("disk/attach");
    let answer = world.ask("POST", &attach, Some(&to("instances/i"))).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, "{\"status\":\"accepted\"}\n"));
    assert_eq!(volumes().await, json!([{"deviceRef": {"resource": "block-storages/disk"}}]));
    world.ask("POST", &call("none/attach"), Some(&to("i"))).await.problem(404, &call("none/attach"));
    world.ask("POST", &attach, Some(&to("instances/none"))).await.problem(404, &attach);
    world.ask("POST", &attach, Some("{}")).await.problem(422, &attach);
    world.ask("POST", &attach, Some("{")).await.problem(400, &attach);
    world.ask("POST", &call("boot/attach"), Some(&to("i"))).await.problem(422, &call("boot/attach"));
    world.ask("POST", &call("boot/detach"), None).await.problem(409, &call("boot/detach"));
    let stale = with(request("POST", &call("disk/detach"), None), "if-unmodified-since", "7");
    ask(&world.public, stale).await.problem(412, &call("disk/detach"));

    for _ in 0..2 {
        let answer = world.ask("POST", &call("disk/detach"), None).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, "{\"status\":\"accepted\"}\n"));
        assert_eq!(volumes().await, Value::Null);
    }
    world.ask("GET", &attach, None).await.problem(405, &attach);
    // They are the predecessor's alone.
    let ours = format!("{DISK}/attach");
    world.ask("POST", &ours, Some(&to("i"))).await.problem(404, &ours);
}

#[tokio::test]
async fn violations_are_listed_all_at_once_and_nothing_is_stored() {
    let world = world();
    world.ask("PUT", WORKSPACE, Some("{}")).await;
    let bad = r#"{"spec":{"sizeGB":0,"skuRef":{"resource":"skus/none"}}}"#;
    let answer = world.ask("PUT", DISK, Some(bad)).await;
    answer.problem(422, DISK);
    let pointers: Vec<_> = answer.json()["sources"].as_array().unwrap().iter().map(|s| s["pointer"].clone()).collect();
    assert!(pointers.contains(&json!("/spec/sizeGB")) && pointers.contains(&json!("/spec/skuRef")), "{pointers:?}");
    world.ask("GET", DISK, None).await.problem(404, DISK);
}

#[tokio::test]
async fn the_conformance_profile_changes_the_code_and_not_the_reason() {
    let world = world();
    let bad = r#"{"spec":{"sizeGB":0,"skuRef":{"resource":"skus/hcloud-volume"}}}"#;
    let mut details = Vec::new();
    for (tenant, missing_parent, violation) in [("acme", 404, 422), ("suite", 412, 412)] {
        let (disk, workspace) = (DISK.replace("acme", tenant), WORKSPACE.replace("acme", tenant));
        world.ask("PUT", &disk, Some(VOLUME)).await.problem(missing_parent, &disk);
        world.ask("GET", &disk, None).await.problem(404, &disk);
        world.ask("DELETE", &disk, None).await.problem(404, &disk);
        assert_eq!(world.ask("PUT", &workspace, Some("{}")).await.status, 201);
        details.push(world.ask("PUT", &disk, Some(bad)).await.problem(violation, &disk));
        let shouting = format!("{workspace}-SHOUTING");
        world.ask("PUT", &shouting, Some("{}")).await.problem(violation, &shouting);
    }
    assert_eq!(details[0], details[1]);
}

#[tokio::test]
async fn a_tenant_that_does_not_exist_is_refused_like_a_forbidden_one() {
    let world = world();
    let (disk, list) = (DISK.replace("acme", "ghost"), "/workspace/v1/tenants/ghost/workspaces");
    for (method, path, body) in
        [("GET", disk.as_str(), None), ("PUT", &disk, Some(VOLUME)), ("DELETE", &disk, None), ("GET", list, None)]
    {
        let detail = world.ask(method, path, body).await.problem(403, path);
        assert!(detail.starts_with("dev may not"), "{detail}");
    }
}

#[tokio::test]
async fn the_catalogue_is_walked_page_by_page_and_belongs_to_nobody() {
    let world = world();
    for tenant in ["acme", "seca", "public"] {
        let skus = format!("/compute/v1/tenants/{tenant}/skus");
        let first = world.ask("GET", &format!("{skus}?limit=1"), None).await.json();
        let token = first["metadata"]["skipToken"].as_str().unwrap();
        let last = world.ask("GET", &format!("{skus}?limit=1&skipToken={token}"), None).await.json();
        let names: Vec<_> = [&first, &last].map(|page| page["items"][0]["metadata"]["name"].clone()).to_vec();
        assert_eq!(names, ["cx23", "cx33"]);
        assert_eq!(last["metadata"].get("skipToken"), None);
        let picked = world.ask("GET", &format!("{skus}?labels=tier%3Dcx33"), None).await.json();
        assert_eq!(picked["items"].as_array().unwrap().len(), 1);
    }
    world
        .ask("GET", "/compute/v1/tenants/acme/skus?labels=%3D", None)
        .await
        .problem(400, "/compute/v1/tenants/acme/skus");

    let region = world.ask("GET", "/v1/regions/nbg1", None).await.json();
    let urls: Vec<_> =
        region["spec"]["providers"].as_array().unwrap().iter().map(|p| p["url"].as_str().unwrap()).collect();
    assert!(urls.contains(&"http://api.test:8080/regions/nbg1/providers/seca.compute"), "{urls:?}");
    let first = world.ask("GET", "/regions/nbg1/providers/seca.region/v1/regions", None).await.json();
    assert_eq!(first["items"][0]["metadata"]["name"], "fsn1");
}

#[tokio::test]
async fn an_operator_binds_a_workspace_and_finds_it_bound() {
    let world = world();
    let path = "/admin/v1/tenants/acme/workspaces/w/providers/hetzner";
    let bind = Some(r#"{"apiToken":"t0ken"}"#);
    world.admin("PUT", path, bind).await.problem(404, path);
    world.ask("PUT", WORKSPACE, Some("{}")).await;
    world.admin("GET", path, None).await.problem(404, path);
    let list = async |binding: &str| {
        let answer = world.admin("GET", &format!("/admin/v1/workspaces?binding={binding}"), None).await;
        answer.json()["items"].as_array().unwrap().len()
    };
    assert_eq!((list("none").await, list("bound").await), (1, 0));
    let bound = world.admin("PUT", path, bind).await;
    assert_eq!((bound.status.as_u16(), bound.json()), (200, json!({"status": "active", "provider": "hetzner"})));
    assert_eq!((list("none").await, list("bound").await), (0, 1));
    let view = world.admin("GET", path, None).await;
    assert_eq!(view.json()["hasToken"], true);
    assert!(!view.text.contains("t0ken"), "{}", view.text);
    let elsewhere = Some(r#"{"apiToken":"t0ken","apiEndpoint":"https://evil.example/v1"}"#);
    world.admin("PUT", path, elsewhere).await.problem(400, path);
    assert_eq!(world.admin("DELETE", path, None).await.status, 202);
    assert_eq!(list("unbound").await, 1);
    world.admin("DELETE", path, None).await.problem(404, path);
}
