//! Internet gateways from the PUT to the simulator's objects and back, whatever happens on the way.

use super::*;

/// A cloud whose operator lets NAT servers be made.
fn with_gateways(speed: f64) -> Cloud {
    let mut cloud = Cloud::new(speed);
    cloud.settings.gateway.nat.enabled = true;
    cloud
}

impl Product {
    /// A network whose subnet leaves by a gateway.
    async fn gateway_is_used(&self) {
        self.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"})).await;
        self.put(Kind::InternetGateway, "g", json!({"egressOnly": true})).await;
        let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/g"});
        self.put(Kind::RouteTable, "n/r", json!({"routes": [route]})).await;
        let subnet = json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1", "routeTableRef": "route-tables/r"});
        self.put(Kind::Subnet, "n/s", subnet).await;
        self.is(Kind::Subnet, "n/s", ACTIVE).await;
        self.route_is_in_effect().await;
    }

    async fn route_is_in_effect(&self) {
        let is_routed = async || {
            let status = self.status(Kind::RouteTable, "n/r").await;
            status["routes"][0]["state"] == "active" && status["routes"][0]["conditions"][0]["reason"].is_null()
        };
        eventually("the route is in effect", LONG, is_routed).await;
        self.is(Kind::RouteTable, "n/r", ACTIVE).await;
    }

    /// One server, one address, one route, each as it must be.
    async fn has_one_nat_server(&self) {
        let only = async |what: &str| {
            let all = self.cloud.hetzner(Method::GET, &format!("/{what}"), &json!({})).await[what].clone();
            assert_eq!(all.as_array().unwrap().len(), 1, "{what}: {all:?}");
            all[0].clone()
        };
        let (server, address, network) = (only("servers").await, only("primary_ips").await, only("networks").await);
        assert_eq!(server["status"], "running");
        assert_eq!(address["assignee_id"], server["id"]);
        let routes = network["routes"].as_array().unwrap();
        assert_eq!(routes.len(), 1, "{routes:?}");
        assert_eq!(routes[0]["destination"], "0.0.0.0/0");
        assert_eq!(routes[0]["gateway"], server["private_net"][0]["ip"], "{server}");
        only("firewalls").await;
        let message = self.row(Kind::InternetGateway, "g").await.unwrap().conditions[0].message.clone().unwrap();
        assert!(message.contains(address["ip"].as_str().unwrap()), "{message}");
    }

    async fn gateway_goes(&self) {
        for (kind, name) in [(Kind::RouteTable, "n/r"), (Kind::InternetGateway, "g"), (Kind::Network, "n")] {
            self.delete(kind, name).await;
        }
        for (kind, name) in [(Kind::RouteTable, "n/r"), (Kind::InternetGateway, "g"), (Kind::Network, "n")] {
            self.gone(kind, name).await;
        }
        self.gone(Kind::Subnet, "n/s").await;
    }

    /// Made, used, ended.
    async fn gateway_lives(&self) {
        self.ready().await;
        self.gateway_is_used().await;
        self.has_one_nat_server().await;
        self.gateway_goes().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_made_used_and_leaves_only_the_marker() {
    let product = Product::start(with_gateways(1.0));
    product.gateway_lives().await;
    assert_eq!(product.cloud.counts().await, only_the_marker());
    let changes = product.cloud.changes().await;
    for once in ["POST /v1/servers", "POST /v1/primary_ips", "POST /v1/firewalls", "POST /v1/ssh_keys"] {
        assert_eq!(changes.iter().filter(|change| *change == once).count(), 1, "{once}: {changes:?}");
    }
}

/// Spoils the first changing request, then the second and so on.
async fn spoiled(effect: Value) {
    every_request_spoiled_on(|| with_gateways(0.05), effect, 1.., 14, async |product, _| product.gateway_lives().await)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_lost_by_no_lost_reply() {
    spoiled(json!({"type": "lose_reply_after_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_lost_by_no_lost_request() {
    spoiled(json!({"type": "lose_reply_before_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_lost_by_no_late_commit() {
    spoiled(json!({"type": "late_commit", "delay_ms": 7_000})).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_lost_by_no_failed_action() {
    spoiled(json!({"type": "action_error", "code": "action_failed", "message": "no luck"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_lost_by_no_process_that_dies_before_a_commit() {
    killed_at_every_request_on(
        || with_gateways(0.05),
        "hold_before_commit",
        1..,
        14,
        async |product, _| {
            product.gateway_lives().await;
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_lost_by_no_process_that_dies_after_a_commit() {
    killed_at_every_request_on(
        || with_gateways(0.05),
        "hold_after_commit",
        1..,
        14,
        async |product, _| {
            product.gateway_lives().await;
        },
    )
    .await;
}

impl Product {
    /// The requests since the journal was emptied: all, and those that change something.
    async fn requests(&self) -> (usize, Vec<String>) {
        let journal = self.cloud.control(Method::GET, "/_sim/journal?project=p", &json!({})).await;
        let entries = journal["entries"].as_array().unwrap();
        let changing = entries.iter().filter(|entry| entry["method"] != "GET");
        let line = |entry: &Value| format!("{} {}", entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
        (entries.len(), changing.map(line).collect())
    }

    async fn forget_requests(&self) {
        self.cloud.sim.call(SimRequest::new(Method::DELETE, "/_sim/journal")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_costs_few_requests_made_idle_and_removed() {
    let product = Product::start(with_gateways(1.0));
    product.ready().await;
    // What an hour costs, by request.
    let idle = async || {
        product.forget_requests().await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let journal = product.cloud.control(Method::GET, "/_sim/journal?project=p", &json!({})).await;
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for entry in journal["entries"].as_array().unwrap() {
            *counts.entry(format!("{} {}?{}", entry["method"], entry["path"], entry["query"])).or_default() += 1;
        }
        counts
    };
    let without = idle().await;
    product.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"})).await;
    product.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1"})).await;
    product.is(Kind::Subnet, "n/s", ACTIVE).await;
    product.forget_requests().await;
    product.gateway_is_used().await;
    let (_, made) = product.requests().await;
    assert!(made.len() <= 9, "{made:#?}");
    let with = idle().await;
    // How often the project is read as a whole in an hour is a matter of chance.
    let more: usize = with.iter().filter(|(request, _)| !without.contains_key(*request)).map(|(_, count)| count).sum();
    eprintln!("gateways cost {more} requests an hour while nothing happens");
    assert!(more <= 120, "{with:#?}");
    product.forget_requests().await;
    for (kind, name) in [(Kind::RouteTable, "n/r"), (Kind::InternetGateway, "g")] {
        product.delete(kind, name).await;
        product.gone(kind, name).await;
    }
    let servers_range = async || product.cloud.hetzner(Method::GET, "/networks", &json!({})).await;
    eventually("the range is gone", LONG, async || {
        servers_range().await["networks"][0]["subnets"].as_array().unwrap().len() == 1
    })
    .await;
    let (_, removed) = product.requests().await;
    assert!(removed.len() <= 6, "{removed:#?}");
}

/// At the simulator's lifelike speed: from the moment at which its server runs, and from the end of that.
#[tokio::test(start_paused = true)]
async fn a_gateway_is_usable_half_a_minute_after_its_server_and_again_soon_after_that_is_gone() {
    let product = Product::start(with_gateways(1.0));
    product.ready().await;
    let ordered = async || !product.nat_servers().await.is_empty();
    let runs = async || product.nat_servers().await.iter().any(|server| server["status"] == "running");
    let made = async {
        eventually("a server is ordered", LONG, ordered).await;
        let ordered = Instant::now();
        eventually("the server runs", LONG, runs).await;
        (ordered.elapsed(), Instant::now())
    };
    let ((creation, running), ()) = tokio::join!(made, product.gateway_is_used());
    eprintln!("the server runs {creation:?} after its order, the gateway is usable {:?} later", running.elapsed());
    assert!(running.elapsed() <= Duration::from_secs(30), "{:?}", running.elapsed());

    let old = product.nat_servers().await[0].clone();
    tokio::time::sleep(Duration::from_secs(90)).await;
    product.goes_at_the_console(&old).await;
    let gone = Instant::now();
    let is_replaced = async || {
        let servers = product.nat_servers().await;
        let is_new = |server: &Value| {
            server["id"] != old["id"]
                && server["status"] == "running"
                && server["private_net"][0]["ip"] == old["private_net"][0]["ip"]
                && server["public_net"]["ipv4"]["ip"] == old["public_net"]["ipv4"]["ip"]
        };
        servers.iter().any(is_new)
    };
    eventually("another server has its two addresses", LONG, is_replaced).await;
    eprintln!("another server has its two addresses {:?} after its end", gone.elapsed());
    assert!(gone.elapsed() <= creation + Duration::from_secs(90), "{:?}", gone.elapsed());
    product.has_one_nat_server().await;
    product.gateway_goes().await;
    assert_eq!(product.cloud.counts().await, only_the_marker());
}

/// At the simulator's lifelike speed.
#[tokio::test(start_paused = true)]
async fn a_pair_fails_over_within_a_minute() {
    let product = Product::start(with_gateways(1.0));
    let took = product.gateway_fails_over().await;
    eprintln!("failed over after {took:?}");
    assert!(took <= Duration::from_secs(60), "{took:?}");
    assert_eq!(product.cloud.counts().await, only_the_marker());
}

// -- replaced and failed over, whatever happens on the way ----------------------------------------------------------

impl Product {
    async fn nat_servers(&self) -> Vec<Value> {
        self.cloud.hetzner(Method::GET, "/servers", &json!({})).await["servers"].as_array().unwrap().clone()
    }

    /// Somebody deletes a server.
    async fn goes_at_the_console(&self, server: &Value) {
        let gone = json!({"project": "p", "type": "server", "id": server["id"], "op": "delete"});
        self.cloud.control(Method::POST, "/_sim/mutate", &gone).await;
    }

    /// The server is replaced by another one with the same two addresses, because a subnet came that must not leave.
    async fn gateway_is_replaced(&self) {
        self.ready().await;
        self.gateway_is_used().await;
        let before = self.nat_servers().await[0].clone();
        self.put(Kind::Subnet, "n/vault", json!({"cidr": {"ipv4": "10.1.2.0/24"}, "zone": "fsn1"})).await;
        let is_replaced = async || {
            let servers = self.nat_servers().await;
            servers.len() == 1 && servers[0]["id"] != before["id"] && servers[0]["status"] == "running"
        };
        eventually("the server is another one", LONG, is_replaced).await;
        let after = self.nat_servers().await[0].clone();
        for what in ["/public_net/ipv4/ip", "/private_net/0/ip"] {
            assert_eq!(after.pointer(what), before.pointer(what), "{what}");
        }
        self.route_is_in_effect().await;
        self.has_one_nat_server().await;
        self.gateway_goes().await;
    }

    /// Of a pair the first server is deleted at the console; the other one has the route then, and the first is made again.
    /// How long nothing left.
    async fn gateway_fails_over(&self) -> Duration {
        self.ready().await;
        let body = json!({"spec": {"egressOnly": true}, "extensions": {"hetzner.cloud/gateway-ha": "true"}});
        let request = PutRequest { key: key(Kind::InternetGateway, "g"), body, if_version: None };
        self.control.put(self.context(), request).await.unwrap();
        self.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"})).await;
        let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/g"});
        self.put(Kind::RouteTable, "n/r", json!({"routes": [route]})).await;
        let subnet = json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1", "routeTableRef": "route-tables/r"});
        self.put(Kind::Subnet, "n/s", subnet).await;
        self.route_is_in_effect().await;
        let both = async || {
            let servers = self.nat_servers().await;
            servers.len() == 2
                && servers.iter().all(|it| it["status"] == "running" && it["private_net"][0]["ip"].is_string())
        };
        eventually("both servers run", LONG, both).await;
        tokio::time::sleep(Duration::from_secs(90)).await;
        let hop = async || {
            let networks = self.cloud.hetzner(Method::GET, "/networks", &json!({})).await;
            networks["networks"][0]["routes"][0]["gateway"].as_str().map(str::to_owned)
        };
        let before = hop().await.unwrap();
        let servers = self.nat_servers().await;
        let first = servers.iter().find(|server| server["private_net"][0]["ip"] == before.as_str()).unwrap();
        self.goes_at_the_console(first).await;
        let gone = Instant::now();
        eventually("the other one has the route", LONG, async || hop().await.is_some_and(|now| now != before)).await;
        let took = gone.elapsed();
        eventually("both servers run again", LONG, both).await;
        self.gateway_goes().await;
        took
    }
}

/// The numbers of every fifth request, from this one on: the stories are long, so the five effects share their requests.
/// `CRASHES=all` makes it every request for every effect.
fn shared(first: usize) -> impl Iterator<Item = usize> {
    match std::env::var("CRASHES").as_deref() {
        Ok("all") => (1..).step_by(1),
        _ => (first..).step_by(5),
    }
}

async fn replaced_spoiled(first: usize, effect: Value) {
    let story = async |it: &Product, _: &str| it.gateway_is_replaced().await;
    every_request_spoiled_on(|| with_gateways(0.05), effect, shared(first), 20, story).await;
}

async fn failed_over_spoiled(first: usize, effect: Value) {
    let story = async |it: &Product, _: &str| {
        it.gateway_fails_over().await;
    };
    every_request_spoiled_on(|| with_gateways(0.05), effect, shared(first), 20, story).await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_ended_after_every_lost_reply() {
    replaced_spoiled(1, json!({"type": "lose_reply_after_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_ended_after_every_lost_request() {
    replaced_spoiled(2, json!({"type": "lose_reply_before_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_ended_after_every_late_commit() {
    replaced_spoiled(3, json!({"type": "late_commit", "delay_ms": 7_000})).await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_ended_by_the_next_process() {
    for (first, effect) in [(4, "hold_before_commit"), (5, "hold_after_commit")] {
        let story = async |it: &Product, _: &str| it.gateway_is_replaced().await;
        killed_at_every_request_on(|| with_gateways(0.05), effect, shared(first), 20, story).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_fails_over_after_every_lost_reply() {
    failed_over_spoiled(1, json!({"type": "lose_reply_after_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_fails_over_after_every_lost_request() {
    failed_over_spoiled(2, json!({"type": "lose_reply_before_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_fails_over_after_every_late_commit() {
    failed_over_spoiled(3, json!({"type": "late_commit", "delay_ms": 7_000})).await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_fails_over_by_the_next_process() {
    for (first, effect) in [(4, "hold_before_commit"), (5, "hold_after_commit")] {
        let story = async |it: &Product, _: &str| {
            it.gateway_fails_over().await;
        };
        killed_at_every_request_on(|| with_gateways(0.05), effect, shared(first), 20, story).await;
    }
}
