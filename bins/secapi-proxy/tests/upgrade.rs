//! A database of the release before, which attached nothing of what an instance names, and the project that belongs to it: both
//! stored, as that release left them (`release-before`). Nothing changes until somebody writes; then it is what it names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use common::{
    PATIENCE, ask, http, life,
    proxy::{BEARER, Proxy, REGION, Setup, TENANT},
    sim::{Entry, Sim},
    until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// Simulated tokens are made up by whoever starts the simulator.
const PROJECT_TOKEN: &str = "a-token-of-the-simulated-project-and-of-no-other-one-0000000000";
const SPEED: f64 = 0.01;
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDKzGcCbXLwDoU0uhqVXkGbKPpSKHZ4kTYjOZkgtGXgC somebody";

fn stored(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/release-before")).join(name)
}

/// What both releases are asked.
struct Api {
    base: String,
    http: reqwest::Client,
}

impl Api {
    fn of(proxy: &Proxy) -> Self {
        Self { base: format!("{}/providers", proxy.public), http: http() }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, String) {
        let (provider, rest) = path.split_once('/').unwrap();
        let place = format!("v1/tenants/{TENANT}/workspaces/{}", life::WORKSPACE);
        ask(&self.http, method, &format!("{}/seca.{provider}/{place}/{rest}", self.base), BEARER, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, text) = self.ask(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn put(&self, path: &str, spec: Value) {
        let body = json!({"metadata": {"region": REGION}, "spec": spec});
        self.send(Method::PUT, path, Some(&body)).await;
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await
    }

    /// Waits until it is as is wanted.
    async fn wait(&self, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{path} {what}"), PATIENCE, async || {
            let found = self.get(path).await;
            assert_ne!(found["status"]["state"], "error", "{found}");
            (found["status"]["state"] == "active" && is(&found)).then_some(found)
        })
        .await
    }

    async fn says(&self, path: &str, reason: &str) -> Value {
        self.wait(path, reason, |found| found["status"]["conditions"][0]["reason"] == reason).await
    }

    async fn power(&self, action: &str, state: &str) {
        self.send(Method::POST, &format!("compute/instances/{}/{action}", life::INSTANCE), None).await;
        self.wait(&web(), state, |found| found["status"]["powerState"] == state).await;
    }
}

fn web() -> String {
    format!("compute/instances/{}", life::INSTANCE)
}

fn to(resource: &str) -> Value {
    json!({"resource": resource})
}

/// Everything that an instance can name, and that.
fn resources() -> Vec<(String, Value)> {
    let instance = json!({
        "antiAffinityGroup": "apart",
        "bootVolume": {"deviceRef": to("block-storages/boot")},
        "dataVolumes": [{"deviceRef": to("block-storages/data")}],
        "primaryNicRef": to("nics/front"),
        "securityGroupRef": to("security-groups/web"),
        "skuRef": to("skus/cx23"),
        "sshKeys": [KEY],
        "userData": "#!/bin/sh\necho hello\n",
        "zone": REGION,
    });
    let group = |port: u16| json!({"rules": [{"direction": "ingress", "protocol": "tcp", "ports": {"from": port, "to": port}, "sourceRef": ["203.0.113.7"]}]});
    let all = [
        ("network/networks/net", json!({"cidr": {"ipv4": "10.42.0.0/16"}, "skuRef": to("skus/hcloud-network")})),
        ("network/networks/net/subnets/front", json!({"cidr": {"ipv4": "10.42.1.0/24"}, "zone": ""})),
        ("network/security-groups/web", group(22)),
        ("network/security-groups/front", group(443)),
        ("network/public-ips/front", json!({"version": "IPv4"})),
        (
            "network/nics/front",
            json!({
                "addresses": ["10.42.1.10", "10.42.1.11"],
                "publicIpRefs": [to("public-ips/front")],
                "securityGroupRefs": [to("security-groups/front")],
                "subnetRef": to("networks/net/subnets/front"),
            }),
        ),
        (
            "storage/block-storages/boot",
            json!({"sizeGB": 20, "skuRef": to("skus/hcloud-volume"), "sourceImageRef": to("images/ubuntu-24.04")}),
        ),
        ("storage/block-storages/data", json!({"sizeGB": 10, "skuRef": to("skus/hcloud-volume")})),
    ];
    all.into_iter().map(|(path, spec)| (path.to_owned(), spec)).chain([(web(), instance)]).collect()
}

fn changing(entry: &Entry) -> bool {
    // A takeover writes its epoch to the project's marker.
    !entry.is_get() && entry.shape != "/placement_groups/*"
}

/// What stands at the provider behind the instance.
async fn shape(sim: &Sim) -> Value {
    let list = async |collection: &str| {
        let url = format!("{}/{collection}", sim.endpoint());
        let (status, text) = ask(&http(), Method::GET, &url, PROJECT_TOKEN, None).await;
        assert_eq!(status, 200, "{collection}: {text}");
        let list: Value = serde_json::from_str(&text).unwrap();
        list[collection].as_array().unwrap().clone()
    };
    let servers = list("servers").await;
    assert_eq!(servers.len(), 1, "{servers:?}");
    let server = &servers[0];
    let nets = server["private_net"].as_array().unwrap();
    let own = list("primary_ips").await;
    let address = own.iter().find(|ip| ip["assignee_id"] == server["id"] && ip["type"] == "ipv4");
    json!({
        "status": server["status"],
        "nets": nets.iter().map(|net| json!([net["ip"], net["alias_ips"]])).collect::<Vec<_>>(),
        "volumes": server["volumes"].as_array().unwrap().len(),
        "address": address.map(|ip| ip["labels"]["seca.name"].clone()),
        "firewalls": server["public_net"]["firewalls"].as_array().unwrap().len(),
        "group": !server["placement_group"].is_null(),
    })
}

/// Migrates a copy of what is stored, and starts the proxy on it.
async fn restored(folder: &Path) -> (Sim, Proxy) {
    for name in ["secapi.db", "sim.json"] {
        fs::copy(stored(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join("sim.token"), PROJECT_TOKEN).unwrap();
    let sim = Sim::start_from(folder, SPEED, Some(&folder.join("sim.json"))).await;
    let setup = Setup::new(folder, &sim.endpoint());
    let (code, said) = setup.run(&["serve"]);
    assert!(code != Some(0) && said.contains("migrate up"), "{said}");
    let (code, said) = setup.run(&["migrate", "up"]);
    assert_eq!(code, Some(0), "{said}");
    let proxy = setup.serve().await;
    (sim, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_release_before_made_stays_until_somebody_writes() {
    if let Ok(program) = env::var("RELEASE_BEFORE") {
        store(Path::new(&program)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (sim, proxy) = restored(folder.path()).await;
    let before = shape(&sim).await;
    let api = Api::of(&proxy);
    api.says(&web(), "AppliesOnNextWrite").await;
    for (path, _) in resources() {
        api.wait(&path, "active", |_| true).await;
    }
    let changes: Vec<Entry> = sim.journal().await.into_iter().filter(changing).collect();
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(shape(&sim).await, before);

    // The write that changes nothing but asks.
    let spec = resources().pop().unwrap().1;
    api.put(&web(), spec).await;
    api.says(&web(), "AppliesWhenOff").await;
    api.power("stop", "off").await;
    api.power("start", "on").await;
    let whole = json!({
        "status": "running",
        "nets": [["10.42.1.10", ["10.42.1.11"]]],
        "volumes": 1,
        "address": "front",
        "firewalls": 2,
        "group": true,
    });
    until("the server has all that the instance names", PATIENCE, async || (shape(&sim).await == whole).then_some(()))
        .await;

    // It goes as one that this release made.
    for (path, _) in resources().into_iter().rev() {
        api.send(Method::DELETE, &path, None).await;
        until(&format!("{path} is gone"), PATIENCE, async || {
            let (status, _) = api.ask(Method::GET, &path, None).await;
            (status == 404).then_some(())
        })
        .await;
    }
    sim.assert_only_the_marker().await;
}

/// Lets the release before make what is stored: `RELEASE_BEFORE=PROGRAM cargo test -p secapi-proxy --test upgrade`.
async fn store(program: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("sim.token"), PROJECT_TOKEN).unwrap();
    let state = folder.join("sim.json");
    let mut sim = Sim::start_from(folder, SPEED, Some(&state)).await;
    let mut proxy = Setup::new(folder, &sim.endpoint()).with_binary(program).serve().await;
    let seca = proxy.client().await;
    life::workspace(&seca, &proxy.admin(), PROJECT_TOKEN).await.unwrap();
    let api = Api::of(&proxy);
    for (path, spec) in resources() {
        api.put(&path, spec).await;
        api.wait(&path, "active", |_| true).await;
    }
    api.power("start", "on").await;
    assert_eq!(proxy.stop().await, Some(0));
    sim.process.signal("TERM");
    assert_eq!(sim.process.wait(PATIENCE).await, Some(0));
    assert!(!folder.join("secapi.db-wal").exists(), "the database is whole");
    fs::create_dir_all(stored("")).unwrap();
    for name in ["secapi.db", "sim.json"] {
        fs::copy(folder.join(name), stored(name)).unwrap();
    }
}
