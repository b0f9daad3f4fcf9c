//! A region of several locations, in `secapi-proxy dev`: what is made where, what settings can no longer be taken back, and
//! how a location is added.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    PATIENCE, ask, binary, http,
    process::Process,
    proxy::{Setup, read_ready},
    until,
};
use reqwest::Method;
use serde_json::{Value, json};

const REGION: &str = "eu-central";

/// A `dev` that keeps its folder when it ends.
struct Dev {
    process: Process,
    public: String,
    sim: String,
    token: String,
    project_token: String,
}

impl Dev {
    fn command(folder: &Path, regions: &str) -> Command {
        let mut command = Command::new(binary("secapi-proxy"));
        command.env_clear().arg("dev").arg("--dir").arg(folder);
        for flag in ["--listen", "--admin-listen", "--sim-listen"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.args(["--sim-speed", "0", "--regions", regions]);
        command
    }

    async fn start(home: &Path, regions: &str) -> Self {
        let (folder, ready) = (folder(home), home.join("ready.json"));
        drop(fs::remove_file(&ready));
        let mut command = Self::command(&folder, regions);
        command.arg("--ready-file").arg(&ready);
        let mut process = Process::start("dev", home, &mut command);
        let ready = read_ready(&mut process, &ready).await;
        let secret = |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        let (public, sim) = (text("public"), text("sim"));
        Self { process, public, sim, token: secret("token"), project_token: secret("sim.token") }
    }

    async fn stop(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.wait(PATIENCE).await, Some(0));
    }

    async fn send(&self, method: Method, url: &str, body: Option<Value>) -> (u16, Value) {
        let (status, text) = ask(&http(), method, url, &self.token, body.as_ref()).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    fn url(&self, provider: &str, path: &str) -> String {
        format!("{}/regions/{REGION}/providers/seca.{provider}/v1/tenants/dev/workspaces/shop{path}", self.public)
    }

    async fn put(&self, provider: &str, path: &str, document: Value) {
        let (status, answer) = self.send(Method::PUT, &self.url(provider, path), Some(document)).await;
        assert!(matches!(status, 200 | 201), "{path}: {status} {answer}");
    }

    /// Waits until it is active, and says so with this reason, if one is expected.
    async fn active(&self, provider: &str, path: &str, reason: Option<&str>) -> Value {
        until(&format!("{path} active, {reason:?}"), PATIENCE, async || {
            let (status, found) = self.send(Method::GET, &self.url(provider, path), None).await;
            assert_eq!(status, 200, "{path}: {found}");
            assert_ne!(found["status"]["state"], "error", "{found}");
            let said = found["status"]["conditions"][0]["reason"].as_str();
            let is_said = reason.is_none() || said == reason;
            (found["status"]["state"] == "active" && is_said).then_some(found)
        })
        .await
    }

    /// Where the provider keeps what this installation made.
    async fn locations(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut found = BTreeMap::new();
        for collection in ["servers", "volumes", "primary_ips"] {
            let url = format!("{}/v1/{collection}?label_selector=seca.tenant%3Ddev", self.sim);
            let answer = http().get(&url).bearer_auth(&self.project_token).send().await.unwrap();
            let list: Value = serde_json::from_str(&answer.error_for_status().unwrap().text().await.unwrap()).unwrap();
            let location = |object: &Value| object["location"]["name"].as_str().unwrap().to_owned();
            found.insert(collection, list[collection].as_array().unwrap().iter().map(location).collect());
        }
        found
    }
}

fn folder(home: &Path) -> PathBuf {
    home.join("dev")
}

fn to(resource: &str) -> Value {
    json!({"resource": resource})
}

fn volume() -> Value {
    json!({"spec": {"sizeGB": 10, "skuRef": to("skus/hcloud-volume")}})
}

/// A client that waits for each resource before it sends the next, as Terraform does.
async fn walk(dev: &Dev) {
    dev.put("workspace", "", json!({})).await;
    dev.active("workspace", "", None).await;
    let network = json!({"spec": {"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": to("skus/hcloud-network")}});
    dev.put("network", "/networks/net", network).await;
    dev.put("network", "/networks/net/subnets/front", json!({"spec": {"cidr": {"ipv4": "10.0.1.0/24"}, "zone": ""}}))
        .await;
    dev.active("network", "/networks/net/subnets/front", None).await;
    dev.put("network", "/public-ips/front", json!({"spec": {"version": "IPv4"}})).await;
    dev.active("network", "/public-ips/front", Some("AwaitingZone")).await;
    let nic = json!({"spec": {
        "addresses": ["10.0.1.9"],
        "publicIpRefs": [to("public-ips/front")],
        "subnetRef": to("networks/net/subnets/front")
    }});
    dev.put("network", "/nics/front", nic).await;
    dev.active("network", "/nics/front", None).await;
    for name in ["boot", "data"] {
        dev.put("storage", &format!("/block-storages/{name}"), volume()).await;
        dev.active("storage", &format!("/block-storages/{name}"), Some("AwaitingZone")).await;
    }
    let nothing = Vec::<String>::new();
    assert!(dev.locations().await.values().all(|found| *found == nothing), "{:?}", dev.locations().await);
    let instance = json!({
        "extensions": {"hetzner.cloud/start-after-create": "true"},
        "spec": {
            "bootVolume": {"deviceRef": to("block-storages/boot")},
            "dataVolumes": [{"deviceRef": to("block-storages/data")}],
            "primaryNicRef": to("nics/front"),
            "skuRef": to("skus/cx23"),
            "zone": "nbg1"
        }
    });
    dev.put("compute", "/instances/web", instance).await;
    until("the instance runs", PATIENCE, async || {
        let found = dev.active("compute", "/instances/web", None).await;
        (found["status"]["powerState"] == "on").then_some(())
    })
    .await;
    for (collection, found) in dev.locations().await {
        assert_eq!(found, ["nbg1"], "{collection}");
    }
    let found = dev.active("storage", "/block-storages/data", Some("Attached")).await;
    assert!(found["status"]["attachedTo"].to_string().contains("instances/web"), "{found}");
    let shown = until("the address leads to the NIC", PATIENCE, async || {
        let found = dev.active("network", "/public-ips/front", None).await;
        found["status"]["attachedTo"].to_string().contains("nics/front").then_some(found)
    })
    .await;
    assert!(shown["status"]["ipAddress"].is_string(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_several_locations_is_one_place_with_zones() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let dev = Dev::start(home, &format!("{REGION}=fsn1,nbg1;ash")).await;
    let region = format!("{}/providers/seca.region/v1/regions", dev.public);
    let (_, listed) = dev.send(Method::GET, &region, None).await;
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|r| r["metadata"]["name"].clone()).collect();
    assert_eq!(names, [REGION, "ash"]);
    walk(&dev).await;
    let (database, count) = (format!("sqlite:{}", folder(home).join("secapi.db").display()), dev.locations().await);
    dev.stop().await;

    // What is in use cannot be left out, and nothing is changed by trying.
    for (regions, part) in [
        (Some(format!("{REGION}=fsn1,hel1")), "the location nbg1 of the region eu-central"),
        (Some("fsn1;nbg1;ash".to_owned()), "the region eu-central ("),
        (None, "the region eu-central ("),
    ] {
        let setup = Setup::new(home, "http://127.0.0.1:1/v1").with("SECA_DATABASE_URL", &database);
        let setup = match &regions {
            Some(regions) => setup.with("SECA_REGIONS", regions),
            None => setup,
        };
        let (code, output) = setup.run(&["serve"]);
        assert_eq!(code, Some(2), "{regions:?}: {output}");
        for part in ["SECA_REGIONS", part, "for example"] {
            assert!(output.contains(part), "{regions:?}: {part}: {output}");
        }
    }

    // A region that nothing is in may go, and a location may come; what is there stays as it is.
    let dev = Dev::start(home, &format!("{REGION}=fsn1,nbg1,hel1")).await;
    let (_, found) = dev.send(Method::GET, &format!("{}/providers/seca.region/v1/regions", dev.public), None).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["items"][0]["spec"]["availableZones"], json!(["fsn1", "nbg1", "hel1"]));
    let mut chosen = volume();
    chosen["extensions"] = json!({"hetzner.cloud/location": "hel1"});
    dev.put("storage", "/block-storages/north", chosen).await;
    dev.active("storage", "/block-storages/north", None).await;
    let mut expected = count;
    expected.get_mut("volumes").unwrap().push("hel1".to_owned());
    assert_eq!(dev.locations().await, expected);

    // One that lies elsewhere waits, and says why.
    let (_, mut web) = dev.send(Method::GET, &dev.url("compute", "/instances/web"), None).await;
    web["spec"]["dataVolumes"] = json!([{"deviceRef": to("block-storages/north")}]);
    dev.put("compute", "/instances/web", json!({"extensions": web["extensions"], "spec": web["spec"]})).await;
    dev.active("compute", "/instances/web", Some("InOtherZone")).await;
    dev.active("storage", "/block-storages/north", Some("InOtherZone")).await;
    assert_eq!(dev.locations().await, expected, "nothing moved");
    dev.stop().await;
}
