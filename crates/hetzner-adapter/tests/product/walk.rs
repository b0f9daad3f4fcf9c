//! The walk of the specification's usage page over the simulator, undisturbed, with every request spoiled, and with the
//! process dying at every request; and the deletion of everything, in order and in disorder.

use super::*;

/// A public key, and the same with its comment away.
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6 ann@laptop";

/// What the rules of the walk's group let in.
pub(crate) fn web_rules() -> Value {
    json!([
        {"direction": "ingress", "version": "IPv4", "protocol": "tcp", "ports": {"from": 22}, "sourceRef": ["192.0.2.1"]},
        {"direction": "ingress", "protocol": "tcp", "ports": {"list": [80, 443]}},
    ])
}

/// The kinds and names of a stack, each after what it names.
pub(crate) fn stack(of: &str) -> Vec<(Kind, String)> {
    [
        (Kind::Network, format!("n{of}")),
        (Kind::InternetGateway, format!("w{of}")),
        (Kind::RouteTable, format!("n{of}/r")),
        (Kind::Subnet, format!("n{of}/s")),
        (Kind::SecurityGroup, format!("g{of}")),
        (Kind::PublicIp, format!("p{of}")),
        (Kind::Nic, format!("k{of}")),
        (Kind::BlockStorage, format!("v{of}")),
        (Kind::BlockStorage, format!("d{of}")),
        (Kind::Instance, format!("i{of}")),
    ]
    .into()
}

/// What a resource of a stack is to be.
pub(crate) fn spec(kind: Kind, name: &str, of: &str) -> Value {
    match kind {
        Kind::Network => json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"}),
        Kind::InternetGateway => json!({}),
        Kind::RouteTable => json!({"routes": [
            {"destinationCidrBlock": "0.0.0.0/0", "targetRef": format!("internet-gateways/w{of}")},
        ]}),
        Kind::Subnet => {
            json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1", "routeTableRef": "route-tables/r"})
        }
        Kind::SecurityGroup => json!({"rules": web_rules()}),
        Kind::PublicIp => json!({"version": "IPv4"}),
        Kind::Nic => json!({
            "addresses": ["10.1.1.20", "0.0.0.0"], "subnetRef": format!("networks/n{of}/subnets/s"),
            "publicIpRefs": [format!("public-ips/p{of}")], "securityGroupRefs": [format!("security-groups/g{of}")],
        }),
        Kind::BlockStorage if name.starts_with('d') => json!({"skuRef": "skus/hcloud-volume", "sizeGB": 10}),
        Kind::BlockStorage => {
            json!({"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": format!("images/{SYSTEM}")})
        }
        Kind::Instance => json!({
            "skuRef": "skus/cx23", "zone": "fsn1", "userData": "#cloud-config", "sshKeys": [KEY],
            "antiAffinityGroup": "apart", "primaryNicRef": format!("nics/k{of}"),
            "bootVolume": {"deviceRef": format!("block-storages/v{of}")},
            "dataVolumes": [{"deviceRef": format!("block-storages/d{of}")}],
        }),
        other => panic!("no {other} is in a stack"),
    }
}

impl Product {
    /// Sends a stack, without waiting for anything.
    pub(crate) async fn send_stack(&self, of: &str) {
        for (kind, name) in stack(of) {
            self.put(kind, &name, spec(kind, &name, of)).await;
        }
    }

    pub(crate) async fn stack_is_active(&self, of: &str) {
        for (kind, name) in stack(of) {
            self.is(kind, &name, ACTIVE).await;
        }
    }

    /// Deletes, unless something is in the way.
    pub(crate) async fn try_delete(&self, kind: Kind, name: &str) -> Result<(), String> {
        if self.row(kind, name).await.is_none() {
            return Ok(());
        }
        let refused = self.control.delete(self.context(), &key(kind, name), None).await.err();
        refused.map_or(Ok(()), |refusal| Err(refusal.to_string()))
    }

    /// As Terraform deletes: what names others first, each when those that name it are gone.
    pub(crate) async fn delete_in_order(&self, of: &str) {
        for (kind, name) in stack(of).into_iter().rev() {
            self.delete(kind, &name).await;
            self.gone(kind, &name).await;
        }
    }

    /// The walk; what it comes to is looked at.
    pub(crate) async fn walk(&self) {
        self.ready().await;
        self.send_stack("").await;
        self.stack_is_active("").await;
        self.act("i", ActionKind::Start).await;
        self.is_complete().await;
        self.act("i", ActionKind::Stop).await;
        self.delete_in_order("").await;
        self.delete(Kind::Workspace, "w").await;
        self.gone(Kind::Workspace, "w").await;
    }

    pub(crate) async fn objects(&self, path: &str) -> Vec<Value> {
        let answer = self.cloud.hetzner(Method::GET, &format!("/{path}"), &json!({})).await;
        answer[path].as_array().unwrap().clone()
    }

    /// The server is exactly what the walk asks for, and the statuses say so.
    pub(crate) async fn is_complete(&self) {
        let servers = self.objects("servers").await;
        let [server] = &servers[..] else { panic!("{servers:?}") };
        assert_eq!((&server["status"], &server["image"]["name"]), (&json!("running"), &json!(SYSTEM)));
        let net = &server["public_net"];
        assert_eq!(net["ipv6"], json!(null), "{net}");
        let ips = self.objects("primary_ips").await;
        assert_eq!((ips.len(), &ips[0]["id"], &ips[0]["assignee_id"]), (1, &net["ipv4"]["id"], &server["id"]));
        let firewalls = self.objects("firewalls").await;
        assert_eq!(net["firewalls"], json!([{"id": firewalls[0]["id"], "status": "applied"}]));
        assert_eq!(firewalls.len(), 1, "no closed one is made where nothing is to be closed: {firewalls:?}");
        let rules = firewalls[0]["rules"].as_array().unwrap().iter();
        let mut ports: Vec<String> =
            rules.map(|rule| format!("{} {}", rule["direction"].as_str().unwrap(), rule["port"])).collect();
        ports.sort();
        assert_eq!(ports[..3], ["in \"22\"", "in \"443\"", "in \"80\""], "{firewalls:?}");
        let networks = self.objects("networks").await;
        let [attached] = server["private_net"].as_array().unwrap().as_slice() else { panic!("{server}") };
        assert_eq!((&attached["network"], &attached["ip"]), (&networks[0]["id"], &json!("10.1.1.20")));
        assert_eq!(attached["alias_ips"].as_array().unwrap().len(), 1);
        let volumes = self.objects("volumes").await;
        assert_eq!((volumes.len(), &server["volumes"]), (1, &json!([volumes[0]["id"]])));
        let groups = self.objects("placement_groups").await;
        let group = groups.iter().find(|group| group["servers"] == json!([server["id"]])).expect("a placement group");
        assert_eq!((&server["placement_group"]["id"], &group["type"]), (&group["id"], &json!("spread")));
        let keys = self.objects("ssh_keys").await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        let guest = format!("/_sim/servers/{}/guest", server["id"]);
        let guest = self.cloud.control(Method::GET, &guest, &json!({})).await;
        assert_eq!(guest["authorized_keys"], json!([keys[0]["public_key"]]));

        // The statuses follow at once, but they follow.
        let told = async || {
            let nic = self.status(Kind::Nic, "k").await;
            let ip = self.status(Kind::PublicIp, "p").await;
            let volume = self.row(Kind::BlockStorage, "d").await.unwrap();
            let message = volume.conditions[0].message.clone().unwrap_or_default();
            let device = format!("/dev/disk/by-id/scsi-0HC_Volume_{}", volumes[0]["id"]);
            nic["addresses"] == json!(["10.1.1.20", attached["alias_ips"][0]])
                && nic["macAddress"] == attached["mac_address"]
                && nic["publicIpRefs"].as_array().is_some_and(|refs| refs.len() == 1)
                && ip["ipAddress"] == net["ipv4"]["ip"]
                && ip["attachedTo"]["resource"].as_str().is_some_and(|to| to.ends_with("nics/k"))
                && self.status(Kind::BlockStorage, "d").await["attachedTo"]["resource"]
                    .as_str()
                    .is_some_and(|to| to.ends_with("instances/i"))
                && message.contains(&device)
                && self.status(Kind::Instance, "i").await["powerState"] == "on"
        };
        let begun = Instant::now();
        while !told().await {
            assert!(
                begun.elapsed() < LONG,
                "{} {} {}",
                self.status(Kind::Nic, "k").await,
                self.status(Kind::PublicIp, "p").await,
                self.status(Kind::BlockStorage, "d").await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_walk_ends_with_exactly_what_it_asks_for_and_leaves_only_the_marker() {
    let product = Product::start(Cloud::new(1.0));
    product.walk().await;
    assert_eq!(product.cloud.counts().await, only_the_marker());
}

/// The walk, at no moment of which a port was open that no rule opens.
async fn never_open_walk(product: &Product, what: &str) {
    product.walk().await;
    exposure::never_open(product, "", &[web_rules()], what).await;
}

async fn walk_spoiled(effect: Value) {
    every_request_spoiled(effect, 20, never_open_walk).await;
}

#[tokio::test(start_paused = true)]
async fn every_reply_of_the_walk_may_be_lost_after_the_commit() {
    walk_spoiled(json!({"type": "lose_reply_after_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn every_request_of_the_walk_may_be_lost_before_the_commit() {
    walk_spoiled(json!({"type": "lose_reply_before_commit"})).await;
}

#[tokio::test(start_paused = true)]
async fn every_request_of_the_walk_may_commit_late() {
    walk_spoiled(json!({"type": "late_commit", "delay_ms": 7_000})).await;
}

#[tokio::test(start_paused = true)]
async fn every_request_of_the_walk_may_be_refused_for_a_lock() {
    walk_spoiled(json!({"type": "error", "status": 423, "code": "locked", "message": "locked"})).await;
}

#[tokio::test(start_paused = true)]
async fn every_action_of_the_walk_may_fail_once() {
    walk_spoiled(json!({"type": "action_error", "code": "action_failed", "message": "no luck"})).await;
}

#[tokio::test(start_paused = true)]
async fn the_process_may_die_before_any_commit_of_the_walk() {
    killed_at_every_request("hold_before_commit", 20, never_open_walk).await;
}

#[tokio::test(start_paused = true)]
async fn the_process_may_die_after_any_commit_of_the_walk() {
    killed_at_every_request("hold_after_commit", 20, never_open_walk).await;
}

#[tokio::test(start_paused = true)]
async fn everything_deleted_at_once_in_any_order_and_again_leaves_only_the_marker() {
    for seed in 0..16 {
        let product = Product::start(Cloud::new(0.05));
        product.ready().await;
        for of in ["", "b"] {
            product.send_stack(of).await;
        }
        for of in ["", "b"] {
            product.stack_is_active(of).await;
            product.act(&format!("i{of}"), ActionKind::Start).await;
        }
        let rng = SeededRng::new(seed);
        let mut left: Vec<(Kind, String)> = ["", "b"].into_iter().flat_map(stack).collect();
        left.push((Kind::Workspace, "w".to_owned()));
        let begun = Instant::now();
        while !left.is_empty() {
            assert!(begun.elapsed() < LONG, "{seed}: {left:?}");
            let index = (rng.next() % left.len() as u64) as usize;
            let (kind, name) = &left[index];
            match product.row(*kind, name).await {
                None => drop(left.swap_remove(index)),
                Some(_) => {
                    if let Err(refusal) = product.try_delete(*kind, name).await {
                        let named = left.iter().any(|(_, other)| refusal.contains(other.rsplit('/').next().unwrap()));
                        assert!(named, "{kind} {name}: the refusal names what is in the way: {refusal}");
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(rng.next() % 200)).await;
        }
        assert_eq!(product.cloud.counts().await, only_the_marker(), "{seed}");
    }
}
