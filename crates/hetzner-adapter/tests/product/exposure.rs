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
    all.collect()
}

/// Rules of a group as the firewall's.
fn rules(rules: &Value) -> Vec<FirewallRule> {
    let rules: Vec<SecurityGroupRuleSpec> = serde_json::from_value(rules.clone()).unwrap();
    let key = key(Kind::SecurityGroup, "g");
    let compiled: Vec<_> = rules.iter().map(|rule| compile_rule(rule, &key)).collect();
    expand(&compiled, &|_| None).shards.into_iter().flat_map(|shard| shard.rules).collect()
}

/// Checks that nothing was ever reachable that none of the groups' rules let in.
pub(crate) async fn never_open(product: &Product, groups: &[Value], story: &str) {
    let allowed: Vec<Vec<FirewallRule>> = groups.iter().map(rules).collect();
    let mut packets = packets();
    packets.retain(|packet| !allowed.iter().any(|rules| allows(rules, packet)));
    let timeline = product.cloud.control(Method::GET, "/_sim/exposure?project=p", &json!({})).await;
    let entries = timeline["entries"].as_array().unwrap();
    for entry in entries.iter().filter(|entry| entry["gone"] != true) {
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
