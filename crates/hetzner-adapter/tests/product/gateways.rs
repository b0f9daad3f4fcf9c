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
    every_request_spoiled_on(|| with_gateways(0.05), effect, 14, async |product, _| product.gateway_lives().await)
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
        14,
        async |product, _| {
            product.gateway_lives().await;
        },
    )
    .await;
}
