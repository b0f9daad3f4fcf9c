//! Two regions at once, in one `secapi-proxy dev`: the same names in both, an empty `metadata.region`, and a client in
//! the manner of go-sdk beside one in the manner of curl. Each region is a world of its own; roles belong to none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    sync::{Arc, Weak},
};

use common::{PATIENCE, ask, binary, http, process::Process, proxy::read_ready, until};
use reqwest::{Method, Url};
use seca_api::Problem;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

const DEFAULT: &str = "fsn1";
const OTHER: &str = "nbg1";
const REGIONS: [&str; 2] = [DEFAULT, OTHER];
/// One for each test, so that none sees what another makes.
const TENANTS: &str = "sdk,curl,skus,aliases,claims,references,roles";

// --- the product ---------------------------------------------------------------------------------------------------

/// Simulator, proxy, database and provisioner in one process.
struct Dev {
    _process: Process,
    public: String,
    sim: String,
    token: String,
    project_token: String,
    _home: TempDir,
}

/// The one that other tests use at the moment, or a new one. It ends with its last user.
async fn dev() -> Arc<Dev> {
    static SHARED: Mutex<Weak<Dev>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(dev) = shared.upgrade() {
        return dev;
    }
    let dev = Arc::new(Dev::start().await);
    *shared = Arc::downgrade(&dev);
    dev
}

impl Dev {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (folder, ready) = (home.path().join("dev"), home.path().join("ready.json"));
        let mut command = Command::new(binary("secapi-proxy"));
        command.env_clear().arg("dev").arg("--dir").arg(&folder).arg("--ready-file").arg(&ready);
        for flag in ["--listen", "--admin-listen", "--sim-listen"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.args(["--sim-speed", "0", "--tenants", TENANTS]);
        let mut process = Process::start("dev", home.path(), &mut command);
        let ready = read_ready(&mut process, &ready).await;
        let secret = |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        let (public, sim) = (text("public"), text("sim"));
        Self { _process: process, public, sim, token: secret("token"), project_token: secret("sim.token"), _home: home }
    }

    async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Answer {
        let asked = format!("{method} {url}");
        let (status, text) = ask(&http(), method, url, &self.token, body).await;
        Answer { asked, status, text }
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(Method::GET, url, None).await
    }

    /// Where the provider keeps what belongs to a tenant: the locations of its servers, volumes and addresses.
    async fn locations(&self, tenant: &str) -> BTreeMap<&'static str, Vec<String>> {
        let mut found = BTreeMap::new();
        for collection in ["servers", "volumes", "primary_ips"] {
            let url = format!("{}/v1/{collection}?label_selector=seca.tenant%3D{tenant}", self.sim);
            let answer = http().get(&url).bearer_auth(&self.project_token).send().await.unwrap();
            let list: Value = serde_json::from_str(&answer.error_for_status().unwrap().text().await.unwrap()).unwrap();
            let location = |object: &Value| object["location"]["name"].as_str().unwrap().to_owned();
            let mut all: Vec<_> = list[collection].as_array().unwrap().iter().map(location).collect();
            all.sort();
            found.insert(collection, all);
        }
        found
    }
}

#[derive(Debug)]
struct Answer {
    asked: String,
    status: u16,
    text: String,
}

impl Answer {
    #[track_caller]
    fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text))
    }

    /// 202 without a body.
    #[track_caller]
    fn accepted(&self) {
        assert_eq!((self.status, self.text.as_str()), (202, ""), "{}", self.asked);
    }

    /// A violation: it points at a place of the body, and its detail holds these texts.
    #[track_caller]
    fn refused_at(&self, pointer: &str, texts: &[&str]) {
        let problem: Problem = serde_json::from_value(self.expect(422)).unwrap();
        let points = problem.sources.iter().any(|source| source.pointer == pointer);
        assert!(points, "{}: nothing points at {pointer}: {}", self.asked, self.text);
        for text in texts {
            assert!(problem.detail.contains(text), "{}: it does not say {text}: {}", self.asked, problem.detail);
        }
    }

    /// The names in a list.
    #[track_caller]
    fn names(&self) -> Vec<String> {
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        self.expect(200)["items"].as_array().unwrap().iter().map(name).collect()
    }
}

// --- clients -------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Sdk,
    Curl,
}

/// A region, as a client of a tenant finds it.
struct View {
    dev: Arc<Dev>,
    manner: Manner,
    tenant: &'static str,
    region: &'static str,
    /// The base URL of each provider, with the version and a slash at its end.
    bases: BTreeMap<String, Url>,
}

impl View {
    /// go-sdk asks the region for its providers of version `v1` and resolves `./v1/…` against their URLs.
    async fn sdk(dev: &Arc<Dev>, tenant: &'static str, region: &'static str) -> Self {
        let found = dev.get(&format!("{}/providers/seca.region/v1/regions/{region}", dev.public)).await.expect(200);
        assert_eq!(found["metadata"]["name"], region);
        let providers = found["spec"]["providers"].as_array().unwrap();
        let base = |provider: &Value| {
            assert_eq!(provider["version"], "v1", "{provider}");
            let url = Url::parse(&format!("{}/", provider["url"].as_str().unwrap())).unwrap();
            (provider["name"].as_str().unwrap().to_owned(), url.join("./v1/").unwrap())
        };
        let bases = providers.iter().map(base).collect();
        Self { dev: dev.clone(), manner: Manner::Sdk, tenant, region, bases }
    }

    /// Paths from a page of notes: those of the region, and of the default one those that name none.
    fn curl(dev: &Arc<Dev>, tenant: &'static str, region: &'static str) -> Self {
        let path = |provider: &str| match (provider, region) {
            ("network", DEFAULT) => "/providers/seca.network/v1/".to_owned(),
            (_, DEFAULT) => format!("/{provider}/v1/"),
            _ => format!("/regions/{region}/providers/seca.{provider}/v1/"),
        };
        let base = |provider: &str| {
            let url = Url::parse(&format!("{}{}", dev.public, path(provider))).unwrap();
            (format!("seca.{provider}"), url)
        };
        let bases = ["workspace", "storage", "compute", "network"].map(base).into_iter().collect();
        Self { dev: dev.clone(), manner: Manner::Curl, tenant, region, bases }
    }

    fn url(&self, item: &Item) -> String {
        self.bases[item.provider].join(&format!("tenants/{}/{}", self.tenant, item.path)).unwrap().to_string()
    }

    /// What the client sends: of go-sdk, everything that Go makes of members which nobody set.
    fn document(&self, item: &Item) -> Value {
        if self.manner == Manner::Curl {
            let spec = if item.spec.is_null() { json!({}) } else { item.spec.clone() };
            return json!({"labels": {"in": self.region}, "spec": spec});
        }
        let (year_1, name) = ("0001-01-01T00:00:00Z", item.path.rsplit('/').next());
        let mut metadata = json!({
            "apiVersion": "", "createdAt": year_1, "kind": "", "lastModifiedAt": year_1, "name": name, "provider": "",
            "ref": "", "region": "", "resource": "", "resourceVersion": 0, "tenant": self.tenant, "verb": ""
        });
        let parents = item.path.split('/').collect::<Vec<_>>();
        for (member, parent) in [("workspace", 1), ("network", 3)] {
            if parents.len() > parent + 1 {
                metadata[member] = json!(parents[parent]);
            }
        }
        json!({
            "labels": {"in": self.region},
            "metadata": metadata,
            "spec": item.spec,
            "status": {"conditions": null}
        })
    }

    async fn get(&self, item: &Item) -> Answer {
        self.dev.get(&self.url(item)).await
    }

    async fn put(&self, item: &Item) -> Answer {
        self.dev.send(Method::PUT, &self.url(item), Some(&self.document(item))).await
    }

    async fn delete(&self, item: &Item) -> Answer {
        self.dev.send(Method::DELETE, &self.url(item), None).await
    }

    /// Polls until it is active and in this region, with the specification that was sent.
    async fn active(&self, item: &Item) -> Value {
        let found = until(&format!("{} active", self.url(item)), PATIENCE, async || {
            let found = self.get(item).await.expect(200);
            assert_ne!(found["status"]["state"], "error", "{found}");
            (found["status"]["state"] == "active").then_some(found)
        })
        .await;
        let (metadata, name) = (&found["metadata"], item.path.rsplit('/').next().unwrap());
        assert_eq!([&metadata["region"], &metadata["tenant"], &metadata["name"]], [self.region, self.tenant, name]);
        assert_eq!(found["labels"]["in"], self.region, "{found}");
        if !item.spec.is_null() {
            assert_eq!(found["spec"], item.spec, "{}", self.url(item));
        }
        found
    }

    async fn make(&self, items: &[Item]) {
        for item in items {
            self.put(item).await.expect(201);
        }
        for item in items {
            self.active(item).await;
        }
    }

    /// Deletes the last one first, each after the other is gone.
    async fn destroy(&self, items: &[Item]) {
        for item in items.iter().rev() {
            self.delete(item).await.accepted();
            until(&format!("{} gone", self.url(item)), PATIENCE, async || match self.get(item).await {
                answer if answer.status == 404 => Some(()),
                answer => {
                    assert_eq!(answer.expect(200)["status"]["state"], "deleting", "{}", answer.text);
                    None
                }
            })
            .await;
        }
    }
}

// --- what they work with -------------------------------------------------------------------------------------------

/// A resource: its provider, its path below the tenant, and what is asked for.
struct Item {
    provider: &'static str,
    path: String,
    spec: Value,
}

fn item(provider: &'static str, path: &str, spec: Value) -> Item {
    Item { provider, path: path.to_owned(), spec }
}

fn workspace() -> Item {
    item("seca.workspace", "workspaces/shop", Value::Null)
}

fn in_shop(provider: &'static str, path: &str, spec: Value) -> Item {
    item(provider, &format!("workspaces/shop/{path}"), spec)
}

fn to(resource: &str) -> Value {
    json!({"resource": resource})
}

/// The same in every region but for the zone and one name, in an order in which it can be made.
fn configuration(region: &str) -> Vec<Item> {
    let network = |path, spec| in_shop("seca.network", path, spec);
    let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": to("internet-gateways/out")});
    let rule = json!({"direction": "ingress", "version": "IPv4", "protocol": "tcp", "ports": {"from": 80, "to": 80}});
    let subnet = json!({"cidr": {"ipv4": "10.0.1.0/24"}, "routeTableRef": to("route-tables/main"), "zone": ""});
    let nic = json!({
        "addresses": ["10.0.1.9"],
        "publicIpRefs": [to("public-ips/front")],
        "securityGroupRefs": [to("security-groups/web")],
        "subnetRef": to("subnets/front")
    });
    let boot = json!({"sizeGB": 20, "skuRef": to("skus/hcloud-volume"), "sourceImageRef": to("images/ubuntu-24.04")});
    let blank = json!({"sizeGB": 10, "skuRef": to("skus/hcloud-volume")});
    let instance = json!({
        "bootVolume": {"deviceRef": to("block-storages/boot")},
        "primaryNicRef": to("nics/front"),
        "skuRef": to("skus/cx23"),
        "zone": region
    });
    let image = json!({"blockStorageRef": to("workspaces/shop/block-storages/data"), "cpuArchitecture": "amd64"});
    vec![
        workspace(),
        network("networks/net", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": to("skus/hcloud-network")})),
        network("internet-gateways/out", json!({})),
        network("networks/net/route-tables/main", json!({"routes": [route]})),
        network("networks/net/subnets/front", subnet),
        network("security-group-rules/http", rule),
        network("security-groups/web", json!({"ruleRefs": [to("security-group-rules/http")]})),
        network("public-ips/front", json!({"version": "IPv4"})),
        network("nics/front", nic),
        in_shop("seca.storage", "block-storages/boot", boot),
        in_shop("seca.storage", "block-storages/data", blank.clone()),
        in_shop("seca.storage", &format!("block-storages/only-{region}"), blank),
        in_shop("seca.compute", "instances/web", instance),
        item("seca.storage", "images/golden", image),
    ]
}

/// The collection of a resource.
fn collection(of: &Item) -> Item {
    item(of.provider, of.path.rsplit_once('/').unwrap().0, Value::Null)
}

// --- tests ---------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_client_like_go_sdk_keeps_the_same_names_in_two_regions() {
    let dev = dev().await;
    live(View::sdk(&dev, "sdk", DEFAULT).await, View::sdk(&dev, "sdk", OTHER).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_like_curl_keeps_the_same_names_in_two_regions() {
    let dev = dev().await;
    live(View::curl(&dev, "curl", DEFAULT), View::curl(&dev, "curl", OTHER)).await;
}

async fn live(one: View, other: View) {
    let (dev, tenant) = (one.dev.clone(), one.tenant);
    let things = [configuration(one.region), configuration(other.region)];
    tokio::join!(one.make(&things[0]), other.make(&things[1]));
    for (view, own, stranger, theirs) in
        [(&one, &things[0], &other, &things[1]), (&other, &things[1], &one, &things[0])]
    {
        sees_its_own_alone(view, own, stranger).await;
        // What exists in the other region only is not there, and nothing can name it.
        let only = theirs.iter().find(|item| item.path.contains("only-")).unwrap();
        let problem: Problem = serde_json::from_value(view.get(only).await.expect(404)).unwrap();
        assert!(problem.detail.ends_with(&format!("does not exist in region {}", view.region)), "{problem}");
        let mut instance = own.iter().find(|item| item.provider == "seca.compute").unwrap().spec.clone();
        instance["bootVolume"]["deviceRef"] = to(&format!("block-storages/only-{}", stranger.region));
        let stray = in_shop("seca.compute", "instances/stray", instance);
        view.put(&stray).await.refused_at("/spec/bootVolume/deviceRef", &["there is no such block storage"]);
    }
    // In each region two volumes, an instance with its address, and the gateway's server with its own.
    let where_it_is = |regions: &[&str]| {
        let twice: Vec<_> = regions.iter().flat_map(|region| [*region, *region].map(str::to_owned)).collect();
        BTreeMap::from([("primary_ips", twice.clone()), ("servers", twice.clone()), ("volumes", twice)])
    };
    assert_eq!(dev.locations(tenant).await, where_it_is(&REGIONS));

    // What is done in one region does nothing to the other.
    let web = things[1].iter().find(|item| item.provider == "seca.compute").unwrap();
    let before = snapshot(&one, &things[0]).await;
    dev.send(Method::POST, &format!("{}/start", other.url(web)), None).await.accepted();
    assert_eq!(other.active(web).await["status"]["powerState"], "on");
    other.destroy(&things[1]).await;
    assert_eq!(snapshot(&one, &things[0]).await, before);
    assert_eq!(dev.locations(tenant).await, where_it_is(&[one.region]));
    sees_its_own_alone(&one, &things[0], &other).await;
    one.destroy(&things[0]).await;
    assert_eq!(dev.locations(tenant).await, where_it_is(&[]));
}

/// The lists of a region have what was made there and nothing of the other one.
async fn sees_its_own_alone(view: &View, own: &[Item], stranger: &View) {
    for item in own {
        let list = view.get(&collection(item)).await.expect(200);
        for found in list["items"].as_array().unwrap() {
            assert_eq!(found["metadata"]["region"], view.region, "{found}");
            // Images of the catalogue are nobody's.
            let of = found["labels"]["in"].as_str();
            assert_ne!(of, Some(stranger.region), "{found}");
        }
        let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|found| &found["metadata"]["name"]).collect();
        let name = item.path.rsplit('/').next().unwrap();
        assert_eq!(names.iter().filter(|found| **found == name).count(), 1, "{name} among {names:?}");
    }
}

/// Everything of a region, byte by byte.
async fn snapshot(view: &View, items: &[Item]) -> Vec<String> {
    let mut found = Vec::new();
    for item in items {
        found.push(view.get(item).await.text);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn skus_and_images_are_those_of_the_region_that_is_asked() {
    let dev = dev().await;
    for region in [DEFAULT, OTHER, "ash"] {
        let view = View::sdk(&dev, "skus", region).await;
        let catalogue = [("seca.compute", "skus"), ("seca.storage", "skus"), ("seca.network", "skus")];
        for (provider, path) in catalogue.into_iter().chain([("seca.storage", "images")]) {
            let list = view.get(&item(provider, path, Value::Null)).await.expect(200);
            let items = list["items"].as_array().unwrap();
            assert!(!items.is_empty(), "{region}: {provider} {path}");
            for found in items {
                assert_eq!(found["metadata"]["region"], region, "{found}");
                let path = format!("{path}/{}", found["metadata"]["name"].as_str().unwrap());
                assert_eq!(view.get(&item(provider, &path, Value::Null)).await.expect(200), *found);
            }
        }
        // Hetzner sells cx23 in Europe alone, and cpx11 in the United States.
        let (here, elsewhere) = if region == "ash" { ("cpx11", "cx23") } else { ("cx23", "cpx11") };
        let names = view.get(&item("seca.compute", "skus", Value::Null)).await.names();
        assert!(names.iter().any(|name| name == here), "{region}: {names:?}");
        assert!(!names.iter().any(|name| name == elsewhere), "{region}: {names:?}");
        view.get(&item("seca.compute", &format!("skus/{elsewhere}"), Value::Null)).await.expect(404);
        let boot = json!({"deviceRef": to("block-storages/boot")});
        let spec = json!({"bootVolume": boot, "skuRef": to(&format!("skus/{elsewhere}")), "zone": region});
        view.put(&workspace()).await.expect(201);
        let refused = view.put(&in_shop("seca.compute", "instances/web", spec)).await;
        refused.refused_at("/spec/skuRef", &[&format!("region {region} has no such instance SKU")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_without_a_region_means_the_default_one() {
    let dev = dev().await;
    let things: Vec<_> = configuration(DEFAULT)
        .into_iter()
        .filter(|item| ["shop", "net", "data", "golden"].contains(&item.path.rsplit('/').next().unwrap()))
        .collect();
    let there = View::sdk(&dev, "aliases", DEFAULT).await;
    there.make(&things).await;
    for item in &things {
        let short = item.provider.trim_start_matches("seca.");
        for prefix in [format!("providers/{}", item.provider), short.to_owned()] {
            let url = format!("{}/{prefix}/v1/tenants/aliases/{}", dev.public, item.path);
            assert_eq!(dev.get(&url).await.text, there.get(item).await.text, "{url}");
            // A document that says which region it means is right here, and wrong when it means another one.
            let told = |region: &str| json!({"metadata": {"region": region}, "spec": item.spec});
            dev.send(Method::PUT, &url, Some(&told(OTHER))).await.refused_at("/metadata/region", &[OTHER, DEFAULT]);
            dev.send(Method::PUT, &url, Some(&there.document(item))).await.expect(200);
            there.active(item).await;
        }
        let elsewhere =
            format!("{}/regions/{OTHER}/providers/{}/v1/tenants/aliases/{}", dev.public, item.provider, item.path);
        dev.get(&elsewhere).await.expect(404);
    }
    let regions = dev.get(&format!("{}/v1/regions", dev.public)).await;
    assert_eq!(regions.names()[0], DEFAULT, "the default region stands first");
    for path in ["", "/nbg1"] {
        let asked = ["providers/seca.region/", "regions/nbg1/providers/seca.region/", ""]
            .map(|prefix| format!("{}/{prefix}v1/regions{path}", dev.public));
        let (one, other, third) = tokio::join!(dev.get(&asked[0]), dev.get(&asked[1]), dev.get(&asked[2]));
        one.expect(200);
        assert_eq!([&other.text, &third.text], [&one.text, &one.text]);
    }
    there.destroy(&things).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_insists_on_another_region_is_told_the_right_url() {
    let dev = dev().await;
    // A workspace, and a network in it.
    let things: Vec<_> = configuration(DEFAULT).into_iter().take(2).collect();
    let views = [View::sdk(&dev, "claims", DEFAULT).await, View::sdk(&dev, "claims", OTHER).await];
    for (view, wanted) in [(&views[0], &views[1]), (&views[1], &views[0])] {
        for item in &things {
            let mut document = view.document(item);
            document["metadata"]["region"] = json!(wanted.region);
            let send = async |url: &str| dev.send(Method::PUT, url, Some(&document)).await;
            let right = format!("{}/regions/{}/providers/{}", dev.public, wanted.region, item.provider);
            let before = view.get(item).await;
            send(&view.url(item)).await.refused_at("/metadata/region", &[view.region, wanted.region, &right]);
            assert_eq!(view.get(item).await.status, before.status, "nothing was made");
            let made = send(&format!("{right}/v1/tenants/claims/{}", item.path)).await.expect(201);
            assert_eq!(made["metadata"]["region"], wanted.region);
        }
        let mut document = view.document(&things[0]);
        document["metadata"]["region"] = json!("atlantis");
        let nowhere = dev.send(Method::PUT, &view.url(&things[0]), Some(&document)).await;
        nowhere.refused_at("/metadata/region", &["`atlantis` does not exist", DEFAULT, OTHER]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_does_not_cross_into_another_region() {
    let dev = dev().await;
    let tenant = "references";
    let views = [View::sdk(&dev, tenant, DEFAULT).await, View::sdk(&dev, tenant, OTHER).await];
    for view in &views {
        view.make(&configuration(view.region)).await;
    }
    let fields = [
        ("instances/web", "/spec/primaryNicRef", "seca.network/v1/tenants/references/workspaces/shop/nics/front"),
        ("instances/web", "/spec/bootVolume/deviceRef", "workspaces/shop/block-storages/boot"),
        ("instances/web", "/spec/skuRef", "seca.compute/v1/tenants/references/skus/cx23"),
        ("nics/front", "/spec/subnetRef", "workspaces/shop/networks/net/subnets/front"),
        ("nics/front", "/spec/publicIpRefs/0", "seca.network/v1/tenants/references/workspaces/shop/public-ips/front"),
        ("subnets/front", "/spec/routeTableRef", "networks/net/route-tables/main"),
        ("block-storages/boot", "/spec/sourceImageRef", "seca.storage/v1/tenants/references/images/ubuntu-24.04"),
        (
            "images/golden",
            "/spec/blockStorageRef",
            "seca.storage/v1/tenants/references/workspaces/shop/block-storages/data",
        ),
    ];
    for (view, stranger) in [(&views[0], &views[1]), (&views[1], &views[0])] {
        for (path, pointer, resource) in fields {
            let things = configuration(view.region);
            let mut thing = things.into_iter().find(|item| item.path.ends_with(path)).unwrap();
            let mut spell = |region: &str| {
                let spelled = json!({"region": region, "resource": resource});
                *thing.spec.pointer_mut(pointer.trim_start_matches("/spec")).unwrap() = spelled;
                (view.url(&thing), view.document(&thing))
            };
            let (url, document) = spell(stranger.region);
            let says = [format!("in region `{}`", stranger.region), format!("must be in region `{}`", view.region)];
            let refused = dev.send(Method::PUT, &url, Some(&document)).await;
            refused.refused_at(pointer, &says.each_ref().map(String::as_str));
            // Spelled with its own region it is what it was.
            let (url, document) = spell(view.region);
            assert_eq!(dev.send(Method::PUT, &url, Some(&document)).await.expect(200)["spec"], document["spec"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_their_assignments_are_the_same_from_everywhere() {
    let dev = dev().await;
    let global = format!("{}/providers/seca.authorization/v1/tenants/roles", dev.public);
    let mut from = vec![global.clone(), format!("{}/v1/tenants/roles", dev.public)];
    from.extend(
        REGIONS.map(|region| format!("{}/regions/{region}/providers/seca.authorization/v1/tenants/roles", dev.public)),
    );
    for region in REGIONS {
        let view = View::sdk(&dev, "roles", region).await;
        assert_eq!(format!("{}tenants/roles", view.bases["seca.authorization"]), global);
    }
    let permission = json!({"provider": "seca.compute/v1", "resources": ["instances/*"], "verb": ["get"]});
    let scope = json!({"tenants": ["roles"], "regions": [OTHER]});
    let things = [
        ("roles/operator", json!({"permissions": [permission]})),
        ("role-assignments/operators", json!({"subs": ["ann"], "scopes": [scope], "roles": ["operator"]})),
    ];
    let year_1 = "0001-01-01T00:00:00Z";
    for (at, (path, spec)) in things.iter().enumerate() {
        // Written through one URL, changed through the next ones.
        for (through, round) in from.iter().cycle().skip(at).zip(0..=from.len()) {
            let document = json!({
                "labels": {"round": round.to_string()},
                "metadata": {"createdAt": year_1, "lastModifiedAt": year_1, "resourceVersion": 0, "tenant": "roles"},
                "spec": spec
            });
            let status = if round == 0 { 201 } else { 200 };
            dev.send(Method::PUT, &format!("{through}/{path}"), Some(&document)).await.expect(status);
            let active = until(&format!("{path} active"), PATIENCE, async || {
                let answer = dev.get(&format!("{global}/{path}")).await;
                (answer.expect(200)["status"]["state"] == "active").then_some(answer)
            })
            .await;
            let shown = active.expect(200);
            assert_eq!(shown["labels"]["round"], round.to_string());
            assert!(shown["metadata"].get("region").is_none(), "{}", active.text);
            let (collection, name) = path.split_once('/').unwrap();
            for base in &from {
                assert_eq!(dev.get(&format!("{base}/{path}")).await.text, active.text, "{base}");
                let names = dev.get(&format!("{base}/{collection}")).await.names();
                assert_eq!(names.iter().filter(|found| *found == name).count(), 1, "{base}: {names:?}");
            }
        }
    }
    for ((path, _), through) in things.iter().rev().zip(&from[2..]) {
        dev.send(Method::DELETE, &format!("{through}/{path}"), None).await.accepted();
        for base in &from {
            let what = format!("{base}/{path} gone");
            until(&what, PATIENCE, async || (dev.get(&format!("{base}/{path}")).await.status == 404).then_some(()))
                .await;
        }
    }
}
