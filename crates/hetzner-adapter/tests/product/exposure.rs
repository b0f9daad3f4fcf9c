//! Close before open: at no moment is a port reachable that neither the state before nor the state after allows.

use hcloud_client::types::FirewallRule;
use hetzner_adapter::firewall_rules::{Packet, PacketProtocol, allows, compile_rule, expand};
use seca_api::{Direction, SecurityGroupRuleSpec};

use super::{
    walk::{spec, web_rules},
    *,
};

/// The packets that are tried.
fn packets() -> Vec<Packet> {
    let peers = ["192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8:1::1"];
    let services = [
        PacketProtocol::Tcp(22),
        PacketProtocol::Tcp(80),
        PacketProtocol::Tcp(443),
        PacketProtocol::Tcp(5432),
        PacketProtocol::Udp(53),
        PacketProtocol::Icmp(8, 0),
        PacketProtocol::Esp,
    ];
    let all = peers.into_iter().flat_map(|peer| {
        services.map(|protocol| Packet { direction: Direction::Ingress, protocol, peer: peer.parse().unwrap() })
    });
    let ports = (0..120_u16).step_by(7).flat_map(|k| {
        [k, k + 1, k + 2, k + 3].map(|host| Packet {
            direction: Direction::Ingress,
            protocol: PacketProtocol::Tcp(1_000 + 2 * k),
            peer: format!("203.0.113.{host}").parse().unwrap(),
        })
    });
    all.chain(ports).collect()
}

/// Rules of a group as the firewall's.
fn rules(rules: &Value) -> Vec<FirewallRule> {
    let rules: Vec<SecurityGroupRuleSpec> = serde_json::from_value(rules.clone()).unwrap();
    let key = key(Kind::SecurityGroup, "g");
    let compiled: Vec<_> = rules.iter().map(|rule| compile_rule(rule, &key)).collect();
    expand(&compiled, &|_| None).shards.into_iter().flat_map(|shard| shard.rules).collect()
}

/// Checks that nothing was ever reachable of servers whose names begin so that none of the groups' rules let in.
pub(crate) async fn never_open(product: &Product, servers: &str, groups: &[Value], story: &str) {
    let allowed: Vec<Vec<FirewallRule>> = groups.iter().map(rules).collect();
    let mut packets = packets();
    packets.retain(|packet| !allowed.iter().any(|rules| allows(rules, packet)));
    assert!(packets.len() > 10, "nothing is left to try");
    let timeline = product.cloud.control(Method::GET, "/_sim/exposure?project=p", &json!({})).await;
    let entries = timeline["entries"].as_array().unwrap();
    let is_meant = |entry: &&Value| entry["name"].as_str().is_some_and(|name| name.starts_with(servers));
    for entry in entries.iter().filter(|entry| entry["gone"] != true).filter(is_meant) {
        for open in entry["open"].as_array().unwrap() {
            let is_v6 = open["address"].as_str().unwrap().contains(':');
            let in_force: Vec<FirewallRule> = open["rules"]
                .as_array()
                .unwrap()
                .iter()
                .map(|rule| {
                    let mut rule = rule.clone();
                    rule["direction"] = json!("in");
                    serde_json::from_value(rule).unwrap()
                })
                .collect();
            for packet in packets.iter().filter(|packet| packet.peer.is_ipv6() == is_v6) {
                let passes = open["everything"] == true || allows(&in_force, packet);
                assert!(!passes, "{story}: {packet:?} passed: {entry:#}");
            }
        }
    }
}

/// One port from one address.
fn one(port: u16, from: &str) -> Value {
    json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": port}, "sourceRef": [from]})
}

/// Rules that fill three firewalls, none of which can be joined with another.
fn many(shift: u16) -> Value {
    (0..120).map(|k| one(1_000 + 2 * k, &format!("203.0.113.{}", k + shift))).collect::<Vec<_>>().into()
}

fn db_rules() -> Value {
    json!([one(5432, "198.51.100.7")])
}

/// Who does what in a story, and what may be open meanwhile.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// The rules of a group change.
    Rules,
    /// So many change that they fill several firewalls.
    ManyRules,
    /// A NIC changes its group.
    OtherGroup,
    /// A group becomes narrower, and another instance joins it.
    NarrowerAndOneMore,
    /// A server that had only a placeholder gets a NIC with an address.
    FirstAddress,
    /// Two instances of different groups swap their addresses.
    SwapAddresses,
    /// An instance gives its address up, and another one gets it.
    MoveAddress,
    /// A running instance, which may be switched off, has another address at once, and then none.
    PowerCycle,
    /// An instance that runs is deleted, and its disk stays.
    Delete,
}

impl Product {
    async fn group(&self, name: &str, rules: &Value) {
        self.put(Kind::SecurityGroup, name, json!({"rules": rules})).await;
    }

    async fn nic(&self, name: &str, of: &str, ips: &[&str], group: &str) {
        let mut spec = spec(Kind::Nic, name, of);
        spec["publicIpRefs"] = ips.iter().map(|ip| json!(format!("public-ips/{ip}"))).collect();
        spec["securityGroupRefs"] = json!([format!("security-groups/{group}")]);
        self.put(Kind::Nic, name, spec).await;
    }

    /// An accepted power action; what was accepted before has ended.
    async fn power(&self, name: &str, action: ActionKind) {
        self.is(Kind::Instance, name, ACTIVE).await;
        self.act(name, action).await;
    }

    async fn restarted(&self, name: &str) {
        self.power(name, ActionKind::Stop).await;
        self.power(name, ActionKind::Start).await;
    }

    /// Two running instances, `i` behind the web rules and `ib` behind the database's.
    async fn two(&self) {
        self.ready().await;
        for of in ["", "b"] {
            self.send_stack(of).await;
        }
        self.group("gb", &db_rules()).await;
        for of in ["", "b"] {
            self.stack_is_active(of).await;
            self.power(&format!("i{of}"), ActionKind::Start).await;
        }
    }

    async fn happen(&self, story: Story) {
        match story {
            Story::Rules => self.group("g", &db_rules()).await,
            Story::ManyRules => {
                self.group("g", &many(1)).await;
                self.firewall_has("g", "203.0.113.1/32").await;
                self.group("g", &many(2)).await;
            }
            Story::OtherGroup => self.nic("k", "", &["p"], "gb").await,
            Story::NarrowerAndOneMore => {
                self.group("g", &json!([one(443, "192.0.2.1")])).await;
                self.nic("kb", "b", &["pb"], "g").await;
            }
            Story::FirstAddress => {
                self.volume("v-late", SYSTEM).await;
                self.instance("i-late", "v-late").await;
                self.power("i-late", ActionKind::Start).await;
                self.put(Kind::PublicIp, "p-late", json!({"version": "IPv4"})).await;
                let mut nic = spec(Kind::Nic, "k-late", "");
                nic["addresses"] = json!(["0.0.0.0"]);
                nic["publicIpRefs"] = json!(["public-ips/p-late"]);
                self.put(Kind::Nic, "k-late", nic).await;
                let mut late = self.row(Kind::Instance, "i-late").await.unwrap().spec::<Value>().unwrap();
                late["primaryNicRef"] = json!("nics/k-late");
                self.put(Kind::Instance, "i-late", late).await;
                self.restarted("i-late").await;
            }
            Story::SwapAddresses => {
                self.nic("k", "", &["pb"], "g").await;
                self.nic("kb", "b", &["p"], "gb").await;
                self.power("i", ActionKind::Stop).await;
                self.power("ib", ActionKind::Stop).await;
                self.leads_to("p", "kb").await;
                self.leads_to("pb", "k").await;
                self.power("i", ActionKind::Start).await;
                self.power("ib", ActionKind::Start).await;
            }
            Story::MoveAddress => {
                self.nic("k", "", &[], "g").await;
                self.power("i", ActionKind::Stop).await;
                self.nic("kb", "b", &["p"], "gb").await;
                self.power("ib", ActionKind::Stop).await;
                self.leads_to("p", "kb").await;
                self.power("i", ActionKind::Start).await;
                self.power("ib", ActionKind::Start).await;
            }
            Story::PowerCycle => {
                let spec = self.row(Kind::Instance, "i").await.unwrap().spec::<Value>().unwrap();
                let allowed = json!({"hetzner.cloud/disruptive": "allow"});
                self.put_extended(Kind::Instance, "i", spec, allowed).await;
                self.is(Kind::Instance, "i", ACTIVE).await;
                let since = self.status(Kind::Instance, "i").await["powerStateSince"].clone();
                self.put(Kind::PublicIp, "p-other", json!({"version": "IPv4"})).await;
                self.nic("k", "", &["p-other"], "g").await;
                self.leads_to("p-other", "k").await;
                self.nic("k", "", &[], "g").await;
                let is_free = async || self.status(Kind::PublicIp, "p-other").await["attachedTo"].is_null();
                eventually("it has no address", LONG, is_free).await;
                let is_over = async || !self.row(Kind::Instance, "i").await.unwrap().facts.contains_key("powerCycle");
                eventually("it runs again", LONG, is_over).await;
                let status = self.status(Kind::Instance, "i").await;
                assert_eq!((&status["powerState"], &status["powerStateSince"]), (&json!("on"), &since));
            }
            Story::Delete => {
                self.delete(Kind::Instance, "i").await;
                self.gone(Kind::Instance, "i").await;
            }
        }
    }

    async fn firewall_has(&self, group: &str, source: &str) {
        let has = async || {
            self.objects("firewalls").await.iter().any(|firewall| {
                firewall["labels"]["seca.name"] == group && firewall["rules"].to_string().contains(source)
            })
        };
        eventually(&format!("{source} in {group}"), LONG, has).await;
    }

    async fn leads_to(&self, ip: &str, nic: &str) {
        let leads = async || {
            let status = self.status(Kind::PublicIp, ip).await;
            status["attachedTo"]["resource"].as_str().is_some_and(|to| to.ends_with(&format!("nics/{nic}")))
        };
        eventually(&format!("{ip} leads to {nic}"), LONG, leads).await;
    }

    /// Nothing is left to do: every firewall has its rules, and stands where it is to stand.
    async fn rests(&self) {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            // Each process writes to the marker.
            let changes = self.cloud.changes().await.into_iter().filter(|change| !change.starts_with("PUT")).count();
            if changes == before {
                return;
            }
            before = changes;
        }
    }
}

async fn told(story: Story, seed: Option<u64>) {
    let mut cloud = Cloud::new(0.3);
    cloud.chaos = seed.map(|seed| (Arc::new(SeededRng::new(seed)), 9 + seed % 5));
    let product = Product::start(cloud);
    let telling = async {
        product.two().await;
        product.cloud.sim.call(SimRequest::new(Method::DELETE, "/_sim/exposure")).await.unwrap();
        product.happen(story).await;
        product.rests().await;
    };
    let dying = async {
        let rng = SeededRng::new(seed.unwrap_or_default() ^ 0xdead);
        loop {
            tokio::time::sleep(Duration::from_millis(500 + rng.below(30_000))).await;
            if seed.is_some() {
                product.kill_engine();
                product.start_engine(&format!("engine {}", rng.next()));
            }
        }
    };
    tokio::select! {
        told = tokio::time::timeout(LONG * 4, telling) => assert!(told.is_ok(), "{story:?} {seed:?} never ends"),
        () = dying => {}
    }
    let (first, second) = match story {
        Story::Rules => (vec![web_rules(), db_rules()], vec![db_rules()]),
        Story::ManyRules => (vec![web_rules(), many(1), many(2)], vec![db_rules()]),
        Story::OtherGroup => (vec![web_rules(), db_rules()], vec![db_rules()]),
        Story::NarrowerAndOneMore => {
            let narrow = json!([one(443, "192.0.2.1")]);
            (vec![web_rules()], vec![db_rules(), narrow])
        }
        _ => (vec![web_rules()], vec![db_rules()]),
    };
    let name = format!("{story:?} {seed:?}");
    never_open(&product, "i-", &first, &name).await;
    never_open(&product, "ib-", &second, &name).await;
}

async fn told_often(story: Story) {
    for seed in [None, Some(1), Some(2), Some(3), Some(4)] {
        told(story, seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_opens_while_the_rules_of_a_group_change() {
    told_often(Story::Rules).await;
    told_often(Story::ManyRules).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_opens_while_a_nic_changes_its_group() {
    told_often(Story::OtherGroup).await;
    told_often(Story::NarrowerAndOneMore).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_opens_when_the_first_address_comes() {
    told_often(Story::FirstAddress).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_opens_while_addresses_move() {
    told_often(Story::SwapAddresses).await;
    told_often(Story::MoveAddress).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_opens_while_a_server_is_switched_off_and_on_for_a_change() {
    told_often(Story::PowerCycle).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_opens_while_an_instance_is_deleted() {
    told_often(Story::Delete).await;
}
