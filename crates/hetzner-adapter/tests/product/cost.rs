//! What a stack costs, counted where the requests arrive, and how long it takes.

use std::collections::BTreeMap;

use super::{
    walk::{spec, stack},
    *,
};

/// The simulator's default: how often an action is polled, and a guest that shuts down is looked at, is a matter of how
/// long they take, and no matter of the stack.
const SPEED: f64 = 0.05;

/// The requests since the journal was emptied.
struct Cost {
    all: usize,
    changing: usize,
    /// How often each request was made; ids are left out.
    by_request: BTreeMap<String, usize>,
}

impl Cost {
    #[allow(clippy::print_stderr, reason = "the figures are to be seen")]
    fn print(&self, of: &str) {
        eprintln!("{of}: {} requests, {} of them changing", self.all, self.changing);
        for (request, count) in &self.by_request {
            eprintln!("{count:6} {request}");
        }
    }
}

impl Product {
    fn now(&self) -> i64 {
        self.clock.now().as_millis()
    }

    async fn forget_journal(&self) {
        self.cloud.sim.call(SimRequest::new(Method::DELETE, "/_sim/journal")).await.unwrap();
    }

    async fn cost(&self) -> Cost {
        let journal = self.cloud.control(Method::GET, "/_sim/journal?project=p", &json!({})).await;
        let entries = journal["entries"].as_array().unwrap();
        let mut by_request = BTreeMap::new();
        for entry in entries {
            let path = entry["path"].as_str().unwrap();
            let path: Vec<&str> =
                path.split('/').map(|part| if part.parse::<i64>().is_ok() { "*" } else { part }).collect();
            let query = match entry["query"].as_str().unwrap() {
                "" => "",
                query if query.contains("label_selector") => "?label",
                query if query.contains("name=") => "?name",
                _ => "?..",
            };
            *by_request
                .entry(format!("{} {}{query}", entry["method"].as_str().unwrap(), path.join("/")))
                .or_default() += 1;
        }
        let changing = entries.iter().filter(|entry| entry["method"] != "GET").count();
        Cost { all: entries.len(), changing, by_request }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_alone_costs_at_most_45_requests_of_which_24_change_something() {
    let product = Product::start(Cloud::new(SPEED));
    product.ready().await;
    product.forget_journal().await;
    product.send_apart("").await;
    product.stack_is_active("").await;
    product.act("i", ActionKind::Start).await;
    product.act("i", ActionKind::Stop).await;
    product.delete_in_order("").await;
    let cost = product.cost().await;
    cost.print("a stack alone");
    assert!(cost.all <= 45 && cost.changing <= 24);
}

#[tokio::test(start_paused = true)]
async fn twenty_stacks_at_once_cost_at_most_20_requests_each_of_which_16_change_something() {
    const STACKS: usize = 20;
    let product = Product::start(Cloud::new(SPEED));
    product.ready().await;
    let limits = json!({"server_limit": 100, "volume_limit": 100, "primary_ip_limit": 100, "network_limit": 100,
                        "firewall_limit": 100});
    product.cloud.control(Method::PUT, "/_sim/projects/p/limits", &limits).await;
    product.forget_journal().await;
    let all: Vec<String> = (0..STACKS).map(|number| format!("-{number}")).collect();
    for of in &all {
        product.send_apart(of).await;
    }
    for of in &all {
        product.stack_is_active(of).await;
    }
    let power = async |action| {
        for of in &all {
            product
                .control
                .act(product.context(), &key(Kind::Instance, &format!("i{of}")), action, None)
                .await
                .unwrap();
        }
        for of in &all {
            product.is(Kind::Instance, &format!("i{of}"), ACTIVE).await;
        }
    };
    power(ActionKind::Start).await;
    power(ActionKind::Stop).await;
    let mut left: Vec<(Kind, String)> = all.iter().flat_map(|of| stack(of)).collect();
    while !left.is_empty() {
        let mut kept = Vec::new();
        for (kind, name) in left.into_iter().rev() {
            let refused = product.try_delete(kind, &name).await.is_err();
            if refused || product.row(kind, &name).await.is_some() {
                kept.insert(0, (kind, name));
            }
        }
        left = kept;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let cost = product.cost().await;
    cost.print("20 stacks at once");
    assert!(cost.all <= 20 * STACKS && cost.changing <= 16 * STACKS);
}

impl Product {
    /// A stack whose instance need not run apart from others: only ten of a group do.
    async fn send_apart(&self, of: &str) {
        for (kind, name) in stack(of) {
            let mut spec = spec(kind, &name, of);
            if kind == Kind::Instance {
                spec["antiAffinityGroup"] = json!(null);
            }
            self.put(kind, &name, spec).await;
        }
    }
}

/// From the accepted PUT to started and complete, without what the simulated actions take and the polls that see their
/// ends: what passes between an answer and the change that follows it.
#[tokio::test(start_paused = true)]
async fn an_instance_is_started_and_complete_soon_after_its_put() {
    let product = Product::start(Cloud::new(1.0));
    product.ready().await;
    let parts = || stack("").into_iter().filter(|(kind, _)| *kind != Kind::Instance);
    for (kind, name) in parts() {
        product.put(kind, &name, spec(kind, &name, "")).await;
    }
    for (kind, name) in parts() {
        product.is(kind, &name, ACTIVE).await;
    }
    product.forget_journal().await;
    let begun = product.now();
    let body =
        json!({"spec": spec(Kind::Instance, "i", ""), "extensions": {"hetzner.cloud/start-after-create": "true"}});
    let request = PutRequest { key: key(Kind::Instance, "i"), body, if_version: None };
    product.control.put(product.context(), request).await.unwrap();
    let is_on = async || {
        let row = product.row(Kind::Instance, "i").await.unwrap();
        row.state == ACTIVE && product.status(Kind::Instance, "i").await["powerState"] == "on"
    };
    eventually("it runs", LONG, is_on).await;
    let ended = product.row(Kind::Instance, "i").await.unwrap().conditions[0].last_transition_at.as_millis();
    let journal = product.cloud.control(Method::GET, "/_sim/journal?project=p", &json!({})).await;
    let (mut ours, mut before) = (0, begun);
    for entry in journal["entries"].as_array().unwrap() {
        let at = entry["time_ms"].as_i64().unwrap();
        // What began after it was complete is another matter.
        if at > ended {
            break;
        }
        if entry["method"] != "GET" {
            ours += at - before;
        }
        before = at;
    }
    ours += ended - before;
    eprintln!("{} ms, of which {ours} ms are no actions and no polls", ended - begun);
    assert!(ours < 500, "{ours} ms");
    product.is_complete().await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_a_hundred_instances_is_set_once_and_none_of_them_is_called() {
    const INSTANCES: usize = 100;
    let product = Product::start(Cloud::new(SPEED));
    product.ready().await;
    let limits = json!({"server_limit": 200, "primary_ip_limit": 200, "volume_limit": 200});
    product.cloud.control(Method::PUT, "/_sim/projects/p/limits", &limits).await;
    for kind in [Kind::Network, Kind::InternetGateway, Kind::RouteTable, Kind::Subnet, Kind::SecurityGroup] {
        let (_, name) = stack("").into_iter().find(|(of, _)| *of == kind).unwrap();
        product.put(kind, &name, spec(kind, &name, "")).await;
    }
    let names: Vec<String> = (0..INSTANCES).map(|number| format!("i{number}")).collect();
    for name in &names {
        product.put(Kind::PublicIp, &format!("p-{name}"), json!({"version": "IPv4"})).await;
        let nic = json!({
            "addresses": ["0.0.0.0"], "subnetRef": "networks/n/subnets/s", "publicIpRefs": [format!("public-ips/p-{name}")],
            "securityGroupRefs": ["security-groups/g"],
        });
        product.put(Kind::Nic, &format!("k-{name}"), nic).await;
        product.volume(&format!("v-{name}"), SYSTEM).await;
        let instance = json!({
            "skuRef": "skus/cx23", "zone": "fsn1", "primaryNicRef": format!("nics/k-{name}"),
            "bootVolume": {"deviceRef": format!("block-storages/v-{name}")},
        });
        product.put(Kind::Instance, name, instance).await;
    }
    for name in &names {
        product.is(Kind::Instance, name, ACTIVE).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    product.forget_journal().await;
    let rule = json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": 8443}});
    product.put(Kind::SecurityGroup, "g", json!({"rules": [rule]})).await;
    product.is(Kind::SecurityGroup, "g", ACTIVE).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let cost = product.cost().await;
    cost.print("a rule of 100 instances");
    assert_eq!(cost.by_request.get("POST /v1/firewalls/*/actions/set_rules"), Some(&1));
    assert_eq!(cost.changing, 1);
    assert!(cost.by_request.keys().all(|request| !request.contains("/servers")));
}
