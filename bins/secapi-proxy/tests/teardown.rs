//! `terraform destroy` of a whole configuration: what nobody needs any more first, ten at a time, each deletion after
//! everything that names it is gone. What is in use is protected all the while, and no deletion in this order meets
//! the protection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{future::Future, sync::Arc};

use common::{
    PATIENCE, ask, http, life,
    proxy::{BEARER, Proxy, REGION, Setup, TENANT},
    sim::Sim,
    until,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

/// How many operations Terraform has under way.
const AT_ONCE: usize = 10;
/// How much faster than life the simulator is: a server takes half a second.
const SPEED: f64 = 0.02;
const NETWORKS: usize = 2;
const INSTANCES: usize = 5;

// --- the configuration ---------------------------------------------------------------------------------------------

/// A resource: its provider, its path below the tenant, and what is asked for.
struct Item {
    provider: &'static str,
    path: String,
    spec: Value,
}

fn to(resource: &str) -> Value {
    json!({"resource": resource})
}

/// Networks with their routes and subnets, groups, and instances with an address, an interface and two disks each.
fn configuration() -> Vec<Item> {
    let mut items = Vec::new();
    let mut add = |provider, path: String, spec| items.push(Item { provider, path, spec });
    let shop = |path: &str| format!("workspaces/shop/{path}");
    let sku = to("skus/hcloud-volume");
    add("workspace", "workspaces/shop".to_owned(), json!({}));
    for n in 0..NETWORKS {
        let cidr = json!({"ipv4": format!("10.{n}.0.0/16")});
        add("network", shop(&format!("networks/net-{n}")), json!({"cidr": cidr, "skuRef": to("skus/hcloud-network")}));
        add("network", shop(&format!("internet-gateways/out-{n}")), json!({}));
        let routes =
            json!([{"destinationCidrBlock": "0.0.0.0/0", "targetRef": to(&format!("internet-gateways/out-{n}"))}]);
        add("network", shop(&format!("networks/net-{n}/route-tables/main-{n}")), json!({"routes": routes}));
        let table = to(&format!("networks/net-{n}/route-tables/main-{n}"));
        let subnet = json!({"cidr": {"ipv4": format!("10.{n}.1.0/24")}, "zone": "", "routeTableRef": table});
        add("network", shop(&format!("networks/net-{n}/subnets/front-{n}")), subnet);
        let rule = json!({"direction": "ingress", "protocol": "tcp", "ports": {"list": [80 + n]}});
        add("network", shop(&format!("security-group-rules/rule-{n}")), rule);
        let rules = json!({"ruleRefs": [to(&format!("security-group-rules/rule-{n}"))]});
        add("network", shop(&format!("security-groups/group-{n}")), rules);
    }
    for i in 0..INSTANCES {
        let n = i % NETWORKS;
        add("network", shop(&format!("public-ips/ip-{i}")), json!({"version": "IPv4"}));
        let nic = json!({
            "addresses": [format!("10.{n}.1.{}", 10 + i)],
            "publicIpRefs": [to(&format!("public-ips/ip-{i}"))],
            "securityGroupRefs": [to(&format!("security-groups/group-{n}"))],
            "subnetRef": to(&format!("networks/net-{n}/subnets/front-{n}"))
        });
        add("network", shop(&format!("nics/nic-{i}")), nic);
        let boot = json!({"sizeGB": 20, "skuRef": sku, "sourceImageRef": to("images/ubuntu-24.04")});
        add("storage", shop(&format!("block-storages/boot-{i}")), boot);
        add("storage", shop(&format!("block-storages/data-{i}")), json!({"sizeGB": 10, "skuRef": sku}));
        let disk = |name: &str| json!({"deviceRef": to(&format!("block-storages/{name}-{i}"))});
        let instance = json!({
            "antiAffinityGroup": "apart",
            "bootVolume": disk("boot"),
            "dataVolumes": [disk("data")],
            "primaryNicRef": to(&format!("nics/nic-{i}")),
            "securityGroupRef": to(&format!("security-groups/group-{n}")),
            "skuRef": to("skus/cx23"),
            "zone": REGION
        });
        add("compute", shop(&format!("instances/web-{i}")), instance);
    }
    add("storage", shop("block-storages/blank"), json!({"sizeGB": 10, "skuRef": sku}));
    let source = to("workspaces/shop/block-storages/blank");
    add("storage", "images/golden".to_owned(), json!({"blockStorageRef": source, "cpuArchitecture": "amd64"}));
    let permission = json!({"provider": "seca.compute/v1", "resources": ["instances/*"], "verb": ["get"]});
    add("authorization", "roles/reader".to_owned(), json!({"permissions": [permission]}));
    let scopes = json!([{"workspaces": ["shop"]}]);
    let assignment = json!({"subs": ["ann"], "scopes": scopes, "roles": ["reader"]});
    add("authorization", "role-assignments/readers".to_owned(), assignment);
    items
}

/// For each resource those that it names, or is in: what Terraform finds in the expressions of a configuration.
fn needs(items: &[Item]) -> Vec<Vec<usize>> {
    let names = |item: &Item, other: &Item| {
        let spec = item.spec.to_string();
        let (collection, name) = other.path.rsplit_once('/').unwrap();
        let collection = collection.rsplit('/').next().unwrap();
        item.path.starts_with(&format!("{}/", other.path))
            || spec.contains(&format!("{collection}/{name}\""))
            || spec.contains(&format!("\"{collection}\":[\"{name}\"]"))
    };
    items.iter().map(|item| (0..items.len()).filter(|at| names(item, &items[*at])).collect()).collect()
}

/// The same the other way round.
fn needed_by(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    (0..needs.len()).map(|at| (0..needs.len()).filter(|other| needs[*other].contains(&at)).collect()).collect()
}

/// Does a job with each resource, some at a time, and with none before its predecessors are done.
async fn walk<F>(before: &[Vec<usize>], job: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (done, turns) = (watch::Sender::new(vec![false; before.len()]), Arc::new(Semaphore::new(AT_ONCE)));
    let mut tasks = JoinSet::new();
    for (at, before) in before.iter().cloned().enumerate() {
        let (work, turns, done, mut seen) = (job(at), turns.clone(), done.clone(), done.subscribe());
        tasks.spawn(async move {
            seen.wait_for(|done| before.iter().all(|at| done[*at])).await.unwrap();
            let _turn = turns.acquire().await.unwrap();
            work.await;
            done.send_modify(|done| done[at] = true);
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

// --- the client ----------------------------------------------------------------------------------------------------

struct Terraform {
    public: String,
    http: reqwest::Client,
    items: Vec<Item>,
}

impl Terraform {
    fn url(&self, at: usize) -> String {
        let Item { provider, path, .. } = &self.items[at];
        format!("{}/providers/seca.{provider}/v1/tenants/{TENANT}/{path}", self.public)
    }

    async fn send(&self, method: Method, url: &str, body: Option<Value>) -> (u16, String) {
        ask(&self.http, method, url, BEARER, body.as_ref()).await
    }

    async fn read(&self, at: usize) -> (u16, Value) {
        let (status, text) = self.send(Method::GET, &self.url(at), None).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// Writes one and reads it until it is active, whatever its message says.
    async fn create(self: Arc<Self>, at: usize) {
        let url = self.url(at);
        let body = json!({"spec": self.items[at].spec});
        let (status, text) = self.send(Method::PUT, &url, Some(body)).await;
        assert!(matches!(status, 200 | 201), "PUT {url}: {status} {text}");
        self.settled(at).await;
    }

    async fn settled(&self, at: usize) {
        until(&format!("{} active", self.url(at)), PATIENCE, async || {
            let (status, shown) = self.read(at).await;
            assert_eq!(status, 200, "{shown}");
            assert_ne!(shown["status"]["state"], "error", "{shown}");
            (shown["status"]["state"] == "active").then_some(())
        })
        .await;
    }

    /// Deletes one and reads it until it is gone. Whatever else is answered ends a `destroy`.
    async fn delete(self: Arc<Self>, at: usize) {
        let url = self.url(at);
        let (status, text) = self.send(Method::DELETE, &url, None).await;
        assert_eq!((status, text.as_str()), (202, ""), "DELETE {url}");
        self.gone(at).await;
    }

    /// The same without knowing the order: a conflict is tried again, and what is gone already is fine.
    async fn insist(self: Arc<Self>, at: usize) {
        let url = self.url(at);
        until(&format!("DELETE {url}"), PATIENCE, async || {
            let (status, text) = self.send(Method::DELETE, &url, None).await;
            assert!(matches!(status, 202 | 404 | 409), "DELETE {url}: {status} {text}");
            (status != 409).then_some(())
        })
        .await;
        self.gone(at).await;
    }

    async fn gone(&self, at: usize) {
        until(&format!("{} gone", self.url(at)), PATIENCE, async || {
            let (status, shown) = self.read(at).await;
            assert!(matches!(status, 200 | 404), "{status} {shown}");
            assert!(status == 404 || shown["status"]["state"] == "deleting", "{shown}");
            (status == 404).then_some(())
        })
        .await;
    }
}

/// Simulator and proxy with everything in place, the first instance running.
struct World {
    sim: Sim,
    proxy: Proxy,
    terraform: Arc<Terraform>,
    needs: Vec<Vec<usize>>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn applied() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), SPEED).await;
        let proxy = Setup::new(folder.path(), &sim.endpoint()).serve().await;
        life::workspace(&proxy.client().await, &proxy.admin(), &sim.token).await.unwrap();
        let terraform = Arc::new(Terraform { public: proxy.public.clone(), http: http(), items: configuration() });
        let needs = needs(&terraform.items);
        let started = Instant::now();
        walk(&needs, |at| terraform.clone().create(at)).await;
        println!("apply: {} resources in {:?}", needs.len(), started.elapsed());
        let first = terraform.items.iter().position(|item| item.path.ends_with("instances/web-0")).unwrap();
        let (status, text) = terraform.send(Method::POST, &format!("{}/start", terraform.url(first)), None).await;
        assert_eq!(status, 202, "{text}");
        terraform.settled(first).await;
        Self { sim, proxy, terraform, needs, _folder: folder }
    }

    async fn destroyed(mut self) {
        self.sim.assert_only_the_marker().await;
        for at in 0..self.needs.len() {
            assert_eq!(self.terraform.read(at).await.0, 404, "{}", self.terraform.url(at));
        }
        assert_eq!(self.proxy.stop().await, Some(0));
    }
}

// --- tests ---------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_destroyed_in_terraforms_order_while_what_is_used_is_protected() {
    let world = World::applied().await;
    let terraform = &world.terraform;
    let before = needed_by(&world.needs);
    // What others need is refused to go as long as they are there.
    let protected = ["/net-0", "/front-0", "/nic-0", "/ip-0", "/boot-0", "/data-0", "/group-0", "workspaces/shop"];
    for end in protected {
        let at = terraform.items.iter().position(|item| item.path.ends_with(end)).unwrap();
        assert!(!before[at].is_empty(), "{end}");
        let (status, text) = terraform.send(Method::DELETE, &terraform.url(at), None).await;
        assert_eq!(status, 409, "DELETE {}: {text}", terraform.url(at));
        assert_eq!(terraform.read(at).await.1["status"]["state"], "active");
    }
    let started = Instant::now();
    walk(&before, |at| terraform.clone().delete(at)).await;
    println!("destroy: {} resources in {:?}", before.len(), started.elapsed());
    world.destroyed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_no_order_and_repeats_what_is_refused_comes_to_the_same_end() {
    let world = World::applied().await;
    let terraform = &world.terraform;
    let mut tasks = JoinSet::new();
    (0..world.needs.len()).for_each(|at| drop(tasks.spawn(terraform.clone().insist(at))));
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    world.destroyed().await;
}

#[test]
fn the_configuration_is_one_that_terraform_knows() {
    let items = configuration();
    let needs = needs(&items);
    let of = |end: &str| {
        let at = items.iter().position(|item| item.path.ends_with(end)).unwrap();
        let mut named: Vec<_> = needs[at].iter().map(|at| items[*at].path.rsplit('/').next().unwrap()).collect();
        named.sort_unstable();
        named
    };
    assert_eq!(of("/web-1"), ["boot-1", "data-1", "group-1", "nic-1", "shop"]);
    assert_eq!(of("/front-0"), ["main-0", "net-0", "shop"]);
    assert_eq!(of("/nic-0"), ["front-0", "group-0", "ip-0", "shop"]);
    assert_eq!(of("/readers"), ["reader", "shop"]);
    assert_eq!(of("/golden"), ["blank"]);
}
