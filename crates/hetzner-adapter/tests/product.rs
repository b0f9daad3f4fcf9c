//! The product in process: admission, engine, this adapter, the client and the simulated Hetzner Cloud, under
//! paused time. What holds here holds with the real mappings, executor and poller.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cloud;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cloud::{Cloud, TOKEN};
use control_plane::{
    ActionKind, Catalog, CatalogCache, Resource,
    engine::{Engine, EngineParts, EngineSettings},
    ports::{Clock, CloudProvider, Ids, Rng, Store},
    service::{BindRequest, Bindings, Caller, Context, ControlPlane, EndpointPolicy, Enforcement, Parts, PutRequest},
    testing::{
        MemoryStore,
        environment::{PlainVault, SeededRng, TokioClock},
        fake_cloud::eventually,
    },
};
use hcloud_sim::SimRequest;
use http::Method;
use seca_api::{Kind, ResourceKey, ResourceState};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(30 * 60);
const ACTIVE: ResourceState = ResourceState::Active;
const SYSTEM: &str = "ubuntu-24.04";

struct Product {
    cloud: Cloud,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    catalog: CatalogCache,
    wake: Arc<Notify>,
    control: ControlPlane,
    caller: Caller,
    bindings: Bindings,
    engines: Mutex<Vec<JoinHandle<()>>>,
}

impl Product {
    fn start(cloud: Cloud) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(cloud::INSTALLATION).with_tenants(&["t"]));
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(3));
        let ids = Ids::new(clock.clone(), rng.clone());
        let wake = Arc::new(Notify::new());
        let provider = cloud.provider();
        let catalog = CatalogCache::new(Catalog::new(0, provider.fallback_catalog(), "fsn1"));
        let endpoint: url::Url = "http://sim.invalid/v1".parse().unwrap();
        let control = ControlPlane::new(Parts {
            store: store.clone(),
            catalog: catalog.clone(),
            rules: Arc::new(hetzner_adapter::HetznerRules::default()),
            enforcement: Enforcement::Off,
            clock: clock.clone(),
            ids: ids.clone(),
            wake: wake.clone(),
        });
        let endpoints =
            EndpointPolicy { provider: &hetzner_adapter::PROVIDER, default: endpoint.clone(), allowed: Vec::new() };
        let bindings = Bindings::new(store.clone(), Arc::new(PlainVault), provider, ids, endpoints, wake.clone());
        let caller = Caller::new("test");
        let engines = Mutex::default();
        let product = Self { cloud, store, clock, rng, catalog, wake, control, caller, bindings, engines };
        product.start_engine("first");
        product
    }

    /// A process's engine, with a provider that remembers nothing.
    fn start_engine(&self, owner: &str) {
        let mut settings = EngineSettings::new(owner, "http://sim.invalid/v1".parse().unwrap());
        settings.late_window = Duration::from_secs(70);
        let engine = Engine::new(EngineParts {
            store: self.store.clone(),
            provider: self.cloud.provider(),
            vault: Arc::new(PlainVault),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            catalog: self.catalog.clone(),
            wake: self.wake.clone(),
            settings,
        });
        self.engines.lock().unwrap().push(tokio::spawn(engine.run(CancellationToken::new())));
    }

    /// The process dies: its lease stays until it runs out.
    fn kill_engine(&self) {
        self.engines.lock().unwrap().drain(..).for_each(|engine| engine.abort());
    }

    fn context(&self) -> Context<'_> {
        Context { caller: &self.caller, base_url: "http://localhost" }
    }

    async fn put(&self, kind: Kind, name: &str, spec: Value) {
        self.put_extended(kind, name, spec, json!({})).await;
    }

    async fn put_extended(&self, kind: Kind, name: &str, spec: Value, extensions: Value) {
        let body = json!({"spec": spec, "extensions": extensions});
        let request = PutRequest { key: key(kind, name), body, if_version: None };
        self.control.put(self.context(), request).await.unwrap_or_else(|refusal| panic!("{kind} {name}: {refusal}"));
    }

    async fn row(&self, kind: Kind, name: &str) -> Option<Resource> {
        self.store.get(&key(kind, name)).await.unwrap()
    }

    async fn is(&self, kind: Kind, name: &str, state: ResourceState) {
        let seen = async || self.row(kind, name).await.is_some_and(|row| row.state == state);
        let begun = Instant::now();
        while !seen().await {
            let newest = self.row(kind, name).await.map(|row| row.conditions[0].clone());
            assert!(begun.elapsed() < LONG, "{kind} {name} is not {state}: {newest:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn status(&self, kind: Kind, name: &str) -> Value {
        serde_json::from_str(&self.row(kind, name).await.unwrap().status).unwrap()
    }

    async fn act(&self, name: &str, action: ActionKind) {
        self.control.act(self.context(), &key(Kind::Instance, name), action, None).await.unwrap();
        self.is(Kind::Instance, name, ACTIVE).await;
    }

    async fn delete(&self, kind: Kind, name: &str) {
        self.control.delete(self.context(), &key(kind, name), None).await.unwrap();
    }

    async fn gone(&self, kind: Kind, name: &str) {
        eventually(&format!("{kind} {name} gone"), LONG, async || self.row(kind, name).await.is_none()).await;
    }

    /// A workspace with a token, and the catalogue as the provider has it.
    async fn ready(&self) {
        self.put(Kind::Workspace, "w", json!({})).await;
        // A person binds again when the provider could not be asked.
        let bound = async || {
            let request = BindRequest { token: TOKEN.to_owned().into(), endpoint: None, project_ref: None };
            self.bindings.bind(&key(Kind::Workspace, "w"), request).await.is_ok()
        };
        eventually("a binding", LONG, bound).await;
        self.is(Kind::Workspace, "w", ACTIVE).await;
        let has_images = async || self.control.catalog().load().list(Kind::Image, "fsn1").next().is_some();
        eventually("a catalogue", LONG, has_images).await;
    }

    async fn volume(&self, name: &str, image: &str) {
        let spec = json!({"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": format!("images/{image}")});
        self.put(Kind::BlockStorage, name, spec).await;
    }

    async fn image(&self, name: &str, volume: &str) {
        let source = format!("workspaces/w/block-storages/{volume}");
        self.put(Kind::Image, name, json!({"blockStorageRef": source, "cpuArchitecture": "amd64"})).await;
    }

    async fn instance(&self, name: &str, volume: &str) {
        let spec = json!({"skuRef": "skus/cx23", "zone": "fsn1", "userData": "#cloud-config",
                          "bootVolume": {"deviceRef": format!("block-storages/{volume}")}});
        self.put(Kind::Instance, name, spec).await;
    }

    /// What the demo does.
    async fn lifecycle(&self) {
        self.ready().await;
        self.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"})).await;
        self.put(Kind::InternetGateway, "g", json!({})).await;
        let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/g"});
        self.put(Kind::RouteTable, "n/r", json!({"routes": [route]})).await;
        let subnet = json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1", "routeTableRef": "route-tables/r"});
        self.put(Kind::Subnet, "n/s", subnet).await;
        self.put(Kind::BlockStorage, "d", json!({"skuRef": "skus/hcloud-volume", "sizeGB": 10})).await;
        self.volume("v", SYSTEM).await;
        for (kind, name) in [
            (Kind::Network, "n"),
            (Kind::InternetGateway, "g"),
            (Kind::RouteTable, "n/r"),
            (Kind::Subnet, "n/s"),
            (Kind::BlockStorage, "d"),
            (Kind::BlockStorage, "v"),
        ] {
            self.is(kind, name, ACTIVE).await;
        }
        self.instance("i", "v").await;
        self.is(Kind::Instance, "i", ACTIVE).await;
        assert_eq!(self.status(Kind::Instance, "i").await["powerState"], "off");
        let servers = |count: usize| async move {
            assert_eq!(self.cloud.inventory().await["objects"]["servers"].as_array().unwrap().len(), count);
        };
        servers(1).await;
        self.act("i", ActionKind::Start).await;
        assert_eq!(self.status(Kind::Instance, "i").await["powerState"], "on");
        self.act("i", ActionKind::Restart).await;
        self.image("m", "v").await;
        self.is(Kind::Image, "m", ACTIVE).await;
        assert!(self.status(Kind::Image, "m").await["sizeMB"].as_u64() >= Some(1));
        // What comes late comes now.
        tokio::time::sleep(Duration::from_secs(10)).await;
        self.put(Kind::BlockStorage, "d", json!({"skuRef": "skus/hcloud-volume", "sizeGB": 12})).await;
        self.is(Kind::BlockStorage, "d", ACTIVE).await;
        assert_eq!(self.status(Kind::BlockStorage, "d").await["sizeGB"], 12);
        self.act("i", ActionKind::Stop).await;
        assert_eq!(self.status(Kind::Instance, "i").await["powerState"], "off");
        servers(1).await;

        self.delete(Kind::Instance, "i").await;
        self.gone(Kind::Instance, "i").await;
        servers(1).await;

        // Another instance boots from the copy.
        self.volume("c", "m").await;
        self.instance("j", "c").await;
        self.is(Kind::Instance, "j", ACTIVE).await;
        let objects = self.cloud.inventory().await["objects"].clone();
        let (servers, snapshots) = (objects["servers"].as_array().unwrap(), objects["images"].as_array().unwrap());
        assert_eq!((servers.len(), snapshots.len()), (2, 1), "{objects}");
        assert!(servers.iter().any(|server| server["image"] == snapshots[0]["id"]), "{objects}");
        self.delete(Kind::Image, "m").await;
        self.gone(Kind::Image, "m").await;
        assert!(!self.cloud.counts().await.iter().any(|(name, _)| name == "images"), "the snapshot is gone first");
        self.delete(Kind::Instance, "j").await;
        self.gone(Kind::Instance, "j").await;
        for (kind, name) in [
            (Kind::BlockStorage, "c"),
            (Kind::BlockStorage, "v"),
            (Kind::BlockStorage, "d"),
            (Kind::RouteTable, "n/r"),
            (Kind::InternetGateway, "g"),
        ] {
            self.delete(kind, name).await;
            self.gone(kind, name).await;
        }
        self.delete(Kind::Network, "n").await;
        self.gone(Kind::Network, "n").await;
        self.gone(Kind::Subnet, "n/s").await;
        self.delete(Kind::Workspace, "w").await;
        self.gone(Kind::Workspace, "w").await;
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        self.kill_engine();
    }
}

fn key(kind: Kind, name: &str) -> ResourceKey {
    let (network, name) = name.split_once('/').unwrap_or(("", name));
    let in_none = matches!(kind, Kind::Workspace | Kind::Image | Kind::Role | Kind::RoleAssignment);
    let workspace = if in_none { "" } else { "w" };
    let region = if kind.provider().is_global() { "" } else { "fsn1" };
    ResourceKey { workspace: workspace.into(), network: network.into(), ..ResourceKey::tenant(kind, region, "t", name) }
}

fn only_the_marker() -> Vec<(String, i64)> {
    vec![("placement_groups".to_owned(), 1)]
}

#[tokio::test(start_paused = true)]
async fn a_lifecycle_works_and_leaves_only_the_marker() {
    let product = Product::start(Cloud::new(1.0));
    product.lifecycle().await;
    assert_eq!(product.cloud.counts().await, only_the_marker());
    let changes = product.cloud.changes().await;
    let count = |what: &str| changes.iter().filter(|change| change.contains(what)).count();
    assert_eq!(count("POST /v1/servers/"), 4 + count("poweroff"), "{changes:?}");
    assert_eq!((count("create_image"), count("DELETE /v1/images/")), (1, 1), "{changes:?}");
    for once in ["POST /v1/networks", "POST /v1/volumes", "POST /v1/firewalls", "POST /v1/placement_groups"] {
        assert_eq!(changes.iter().filter(|change| *change == once).count(), 1, "{once}: {changes:?}");
    }
}

/// Spoils the first changing request, then the second and so on, until a whole story has no more of them. Each ends with
/// nothing left but the marker. `least` is how many requests a story has at least.
async fn every_request_spoiled(effect: Value, least: usize, story: impl AsyncFn(&Product, &str)) {
    every_request_spoiled_on(|| Cloud::new(0.05), effect, 1.., least, story).await;
}

/// The same on another cloud, for the requests of these numbers.
async fn every_request_spoiled_on(
    cloud: impl Fn() -> Cloud,
    effect: Value,
    numbers: impl Iterator<Item = usize>,
    least: usize,
    story: impl AsyncFn(&Product, &str),
) {
    for nth in numbers {
        let cloud = cloud();
        cloud.fault(json!({"mutating": true, "nth": nth}), effect.clone()).await;
        let product = Product::start(cloud);
        let told = tokio::time::timeout(LONG, story(&product, &format!("{effect} {nth}"))).await;
        let changes = product.cloud.changes().await;
        assert!(told.is_ok(), "{effect} {nth}: {changes:#?}");
        assert_eq!(product.cloud.counts().await, only_the_marker(), "{effect} {nth}: {changes:#?}");
        if product.cloud.fired().await == 0 {
            assert!(nth > least, "only {nth} requests change anything");
            return;
        }
    }
}

async fn lifecycle_spoiled(effect: Value) {
    every_request_spoiled(effect, 12, async |product, _| product.lifecycle().await).await;
}

#[tokio::test(start_paused = true)]
async fn every_reply_may_be_lost_after_the_commit() {
    lifecycle_spoiled(json!({"type": "lose_reply_after_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn every_request_may_be_lost_before_the_commit() {
    lifecycle_spoiled(json!({"type": "lose_reply_before_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn every_request_may_commit_late() {
    lifecycle_spoiled(json!({"type": "late_commit", "delay_ms": 7_000})).await;
}

#[tokio::test(start_paused = true)]
async fn every_request_may_be_refused_for_a_lock() {
    lifecycle_spoiled(json!({"type": "error", "status": 423, "code": "locked", "message": "locked"})).await;
}

#[tokio::test(start_paused = true)]
async fn every_action_may_fail_once() {
    lifecycle_spoiled(json!({"type": "action_error", "code": "action_failed", "message": "no luck"})).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_limit_is_woken_by_what_is_removed() {
    let product = Product::start(Cloud::new(0.02));
    product.ready().await;
    let blank = json!({"skuRef": "skus/hcloud-volume", "sizeGB": 10});
    product.put(Kind::BlockStorage, "old", blank.clone()).await;
    product.is(Kind::BlockStorage, "old", ACTIVE).await;
    let limit = json!({"type": "error", "status": 403, "code": "resource_limit_exceeded", "message": "limit reached"});
    product.cloud.fault(json!({"method": "POST", "path": "/volumes", "count": 0}), limit).await;
    product.put(Kind::BlockStorage, "new", blank).await;
    let waits = async || {
        let row = product.row(Kind::BlockStorage, "new").await.unwrap();
        row.conditions[0].reason.as_deref() == Some("QuotaExceeded")
    };
    eventually("the limit is told", LONG, waits).await;
    product.cloud.clear_faults().await;
    let begun = Instant::now();
    product.delete(Kind::BlockStorage, "old").await;
    product.is(Kind::BlockStorage, "new", ACTIVE).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}: without a wake-up it looks again after 30 s",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_creation_left_is_removed_and_made_again_also_by_the_next_process() {
    for is_killed in [false, true] {
        let product = Product::start(Cloud::new(1.0));
        product.ready().await;
        let failing = json!({"type": "action_error", "code": "action_failed", "message": "no luck"});
        product.cloud.fault(json!({"method": "POST", "path": "/servers"}), failing).await;
        product.volume("v", SYSTEM).await;
        product.instance("i", "v").await;
        eventually("a server is being made", LONG, async || product.cloud.fired().await > 0).await;
        if is_killed {
            product.kill_engine();
            // Its action fails while nobody looks.
            tokio::time::sleep(Duration::from_secs(120)).await;
            product.start_engine("second");
        }
        product.is(Kind::Instance, "i", ACTIVE).await;
        let changes = product.cloud.changes().await;
        let position = |wanted: &str| changes.iter().position(|change| change.starts_with(wanted));
        let made = changes.iter().filter(|change| *change == "POST /v1/servers").count();
        assert_eq!(made, 2, "{changes:?}");
        assert!(position("DELETE /v1/servers/").unwrap() > position("POST /v1/servers").unwrap(), "{changes:?}");
        let inventory = product.cloud.inventory().await;
        assert_eq!(inventory["counts"]["servers"], 1);
        let server = &inventory["objects"]["servers"][0];
        assert!(!changes.contains(&format!("DELETE /v1/servers/{}", server["id"])), "{changes:?}");
    }
}

/// The process dies while a request is held, the first, then the second and so on, and another process goes on.
async fn killed_at_every_request(effect: &str, least: usize, story: impl AsyncFn(&Product, &str)) {
    killed_at_every_request_on(|| Cloud::new(0.05), effect, 1.., least, story).await;
}

/// The same on another cloud, for the requests of these numbers.
async fn killed_at_every_request_on(
    cloud: impl Fn() -> Cloud,
    effect: &str,
    numbers: impl Iterator<Item = usize>,
    least: usize,
    story: impl AsyncFn(&Product, &str),
) {
    for nth in numbers {
        let cloud = cloud();
        cloud.fault(json!({"mutating": true, "nth": nth}), json!({"type": effect})).await;
        let product = Product::start(cloud);
        let kill = async {
            eventually("a held request", LONG, async || product.cloud.is_holding().await).await;
            product.kill_engine();
            product.cloud.clear_faults().await;
            product.start_engine("second");
            std::future::pending::<()>().await;
        };
        let what = format!("{effect} {nth}");
        tokio::select! {
            () = story(&product, &what) => {}
            () = kill => {}
        }
        assert_eq!(product.cloud.counts().await, only_the_marker(), "{what}");
        if !product.cloud.faults().await.is_empty() {
            assert!(nth > least, "only {nth} requests change anything");
            return;
        }
    }
}

/// Requests and replies are lost at random, and processes die at random, in many seeded histories.
#[tokio::test(start_paused = true)]
async fn a_bad_network_and_dying_processes_lose_and_double_nothing() {
    for seed in 0..24 {
        let mut cloud = Cloud::new(0.3);
        cloud.chaos = Some((Arc::new(SeededRng::new(seed)), 7 + seed % 5));
        let product = Product::start(cloud);
        let dying = async {
            let rng = SeededRng::new(seed ^ 0xdead);
            loop {
                tokio::time::sleep(Duration::from_millis(500 + rng.below(60_000))).await;
                product.kill_engine();
                product.start_engine(&format!("engine {}", rng.next()));
            }
        };
        tokio::select! {
            () = product.lifecycle() => {}
            () = dying => {}
        }
        assert_eq!(product.cloud.counts().await, only_the_marker(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_process_may_die_before_any_commit() {
    killed_at_every_request("hold_before_commit", 12, async |product, _| product.lifecycle().await).await;
}

#[tokio::test(start_paused = true)]
async fn the_process_may_die_after_any_commit() {
    killed_at_every_request("hold_after_commit", 12, async |product, _| product.lifecycle().await).await;
}

/// A running instance, and an image of its disk whose order is answered with an error and taken later.
async fn late_snapshot() -> Product {
    let product = Product::start(Cloud::new(0.05));
    product.ready().await;
    product.volume("v", SYSTEM).await;
    product.instance("i", "v").await;
    product.is(Kind::Instance, "i", ACTIVE).await;
    product.act("i", ActionKind::Start).await;
    let late = json!({"type": "late_commit", "delay_ms": 20_000});
    product.cloud.fault(json!({"path": "/servers/*/actions/create_image"}), late).await;
    product.image("m", "v").await;
    eventually("a lost order", LONG, async || product.cloud.fired().await == 1).await;
    product
}

impl Product {
    async fn orders(&self) -> usize {
        self.cloud.changes().await.iter().filter(|change| change.ends_with("/actions/create_image")).count()
    }

    async fn snapshots(&self) -> usize {
        self.cloud.inventory().await["objects"]["images"].as_array().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_comes_late_is_waited_for_and_not_ordered_again() {
    for dies in [false, true] {
        let product = late_snapshot().await;
        assert_eq!(product.orders().await, 1);
        if dies {
            product.kill_engine();
            product.start_engine("second");
        }
        product.is(Kind::Image, "m", ACTIVE).await;
        assert_eq!(product.orders().await, 1);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(product.snapshots().await, 1, "{dies}");
        product.is(Kind::Image, "m", ACTIVE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_whose_snapshot_may_yet_come_leaves_only_with_it() {
    let product = late_snapshot().await;
    product.delete(Kind::Image, "m").await;
    product.gone(Kind::Image, "m").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(product.snapshots().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_being_copied_goes_when_the_copy_is_made() {
    let product = Product::start(Cloud::new(0.05));
    product.ready().await;
    product.volume("v", SYSTEM).await;
    product.instance("i", "v").await;
    product.is(Kind::Instance, "i", ACTIVE).await;
    product.act("i", ActionKind::Start).await;
    product.image("m", "v").await;
    eventually("a snapshot", LONG, async || product.snapshots().await == 1).await;
    product.delete(Kind::Instance, "i").await;
    product.delete(Kind::BlockStorage, "v").await;
    product.is(Kind::Image, "m", ACTIVE).await;
    product.gone(Kind::BlockStorage, "v").await;
    product.gone(Kind::Instance, "i").await;
    assert_eq!(product.snapshots().await, 1);
    product.delete(Kind::Image, "m").await;
    product.gone(Kind::Image, "m").await;
    assert_eq!(product.cloud.counts().await, only_the_marker());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_instances_never_meet_the_rate_limit() {
    const INSTANCES: usize = 100;
    let product = Product::start(Cloud::new(1.0));
    product.ready().await;
    product.cloud.control(Method::PUT, "/_sim/rate", &json!({"project": "p", "limit": 600, "remaining": 50})).await;
    product.cloud.control(Method::PUT, "/_sim/projects/p/limits", &json!({"server_limit": 200})).await;
    product.cloud.sim.call(SimRequest::new(Method::DELETE, "/_sim/journal")).await.unwrap();
    let begun = Instant::now();
    for index in 0..INSTANCES {
        product.volume(&format!("v{index}"), SYSTEM).await;
        product.instance(&format!("i{index}"), &format!("v{index}")).await;
    }
    for index in 0..INSTANCES {
        product.is(Kind::Instance, &format!("i{index}"), ACTIVE).await;
    }
    let journal = product.cloud.control(Method::GET, "/_sim/journal?project=p", &json!({})).await;
    let entries = journal["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["status"] != 429), "a 429 was met");
    let created = entries.iter().filter(|e| e["method"] == "POST" && e["path"] == "/v1/servers").count();
    let firewalls = entries.iter().filter(|e| e["method"] == "POST" && e["path"] == "/v1/firewalls").count();
    assert_eq!((created, firewalls), (INSTANCES, 1));
    let calls = entries.len();
    assert!(calls <= 6 * INSTANCES, "{calls} calls for {INSTANCES} instances");
    eprintln!("{calls} calls for {INSTANCES} instances in {:?}", begun.elapsed());
}

/// What the proxy adds to what the provider's actions take, when the polls between them are left out: from the PUT
/// to the order, and from the poll that saw the end to `active`.
#[tokio::test(start_paused = true)]
async fn an_instance_is_active_soon_after_its_server_is_there() {
    let product = Product::start(Cloud::new(1.0));
    product.ready().await;
    product.volume("v", SYSTEM).await;
    product.is(Kind::BlockStorage, "v", ACTIVE).await;
    product.instance("i", "v").await;
    product.is(Kind::Instance, "i", ACTIVE).await;
    let row = product.row(Kind::Instance, "i").await.unwrap();
    let journal = product.cloud.control(Method::GET, "/_sim/journal?project=p", &json!({})).await;
    let entries = journal["entries"].as_array().unwrap();
    let last = |method: &str, path: &str| {
        let found = entries.iter().rev().find(|entry| entry["method"] == method && entry["path"] == path);
        found.unwrap()["time_ms"].as_i64().unwrap()
    };
    let ordered = last("POST", "/v1/servers") - row.created_at.as_millis();
    let told = row.conditions[0].last_transition_at.as_millis() - last("GET", "/v1/actions");
    assert!(ordered + told < 250, "{ordered} ms until the order, {told} ms after the last poll");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_role_is_taken_from_its_assignments_and_these_are_active_again() {
    let product = Product::start(Cloud::new(1.0));
    let permission = json!({"provider": "seca.storage/v1", "resources": ["*"], "verb": ["get"]});
    for role in ["r", "x"] {
        product.put(Kind::Role, role, json!({"permissions": [permission]})).await;
        product.is(Kind::Role, role, ACTIVE).await;
    }
    let assign = |roles: &[&str]| json!({"subs": ["ann"], "scopes": [{}], "roles": roles});
    product.put(Kind::RoleAssignment, "both", assign(&["r", "x"])).await;
    product.put(Kind::RoleAssignment, "one", assign(&["r"])).await;
    for name in ["both", "one"] {
        product.is(Kind::RoleAssignment, name, ACTIVE).await;
    }
    product.delete(Kind::Role, "r").await;
    product.gone(Kind::Role, "r").await;
    for (name, rest) in [("both", &["x"][..]), ("one", &[])] {
        product.is(Kind::RoleAssignment, name, ACTIVE).await;
        let row = product.row(Kind::RoleAssignment, name).await.unwrap();
        assert_eq!(row.spec, assign(rest).to_string());
        assert_eq!((row.resource_version, row.conditions[0].reason.as_deref()), (2, None), "{name}");
    }
    product.put(Kind::RoleAssignment, "one", assign(&["x"])).await;
    product.is(Kind::RoleAssignment, "one", ACTIVE).await;
}

#[path = "product/chaos.rs"]
mod chaos;
#[path = "product/cost.rs"]
mod cost;
#[path = "product/disks.rs"]
mod disks;
#[path = "product/exposure.rs"]
mod exposure;
#[path = "product/gateways.rs"]
mod gateways;
#[path = "product/groups.rs"]
mod groups;
#[path = "product/idle.rs"]
mod idle;
#[path = "product/requests.rs"]
mod requests;
#[path = "product/walk.rs"]
mod walk;
