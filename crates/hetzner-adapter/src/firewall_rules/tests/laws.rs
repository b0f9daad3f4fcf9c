//! What passes is what the SECA rules allow: rules and packets by chance from a universe that is small enough for them
//! to meet, judged by a reading of the specification that shares nothing with the compiler.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hcloud_client::types::{FirewallRule, RuleDirection};
use ipnet::IpNet;
use proptest::{collection::vec, option, prelude::*, sample::select};
use seca_api::{Direction, IcmpConfig, IpVersion, Ports, Protocol, Reference, SecurityGroupRuleSpec};

use super::{
    super::{
        Compiled, CompiledRule, Packet, PacketProtocol, allowance::Allowance, allows, compile_rule, effective_rules,
        expand, expand::split, narrowing, rules_hash, same_rules,
    },
    MAX_ADDRESSES_PER_RULE, MAX_RULES_PER_FIREWALL, group,
};

/// What references name, and the public addresses of their members.
const MEMBERS: &[(&str, &[&str])] = &[
    ("security-groups/db", &["198.51.100.3/32", "198.51.100.4/32", "2001:db8::10/124"]),
    ("instances/one", &["198.51.100.200/32"]),
    ("nics/empty", &[]),
];
/// Names whose addresses are not known.
const UNKNOWN: &str = "security-groups/unknown";

fn members(resource: &str) -> Option<Vec<IpNet>> {
    let (_, blocks) = MEMBERS.iter().find(|(name, _)| resource.ends_with(name))?;
    Some(blocks.iter().map(|block| block.parse().unwrap()).collect())
}

fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = |n: u8| IpAddr::from(Ipv4Addr::new(198, 51, 100, n));
    let v6 = |n: u8| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()));
    let far = select(vec!["203.0.113.9", "2001:db8:ffff::1"]).prop_map(|text: &str| text.parse().unwrap());
    prop_oneof![4 => any::<u8>().prop_map(v4), 4 => any::<u8>().prop_map(v6), 1 => far]
}

/// Addresses, blocks with and without host bits, and references.
fn source() -> impl Strategy<Value = String> {
    let block = (address(), 0_u8..=8).prop_map(|(address, bits)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        format!("{address}/{}", most - bits)
    });
    let wide = select(vec!["0.0.0.0/0", "::/0", "198.51.0.0/16"]).prop_map(str::to_owned);
    let named = select(vec!["security-groups/db", "instances/one", "nics/empty", UNKNOWN]).prop_map(str::to_owned);
    prop_oneof![6 => block, 2 => address().prop_map(|address| address.to_string()), 1 => wide, 2 => named]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 1_u16..=16, 1 => Just(65_534_u16), 1 => Just(65_535_u16)]
}

fn ports() -> impl Strategy<Value = Ports> {
    (option::of(port()), option::of(port()), vec(port(), 0..4)).prop_map(|(from, to, list)| Ports { from, to, list })
}

fn rule() -> impl Strategy<Value = SecurityGroupRuleSpec> {
    let direction = select(vec![Direction::Ingress, Direction::Ingress, Direction::Egress]);
    let version = option::weighted(0.3, select(vec![IpVersion::IPv4, IpVersion::IPv6]));
    let protocols = vec![Protocol::Tcp, Protocol::Udp, Protocol::TcpUdp, Protocol::Icmp];
    let protocol = option::weighted(0.8, select(protocols));
    let icmp = option::weighted(0.2, (0_u8..=8, 0_u8..=5).prop_map(|(r#type, code)| IcmpConfig { r#type, code }));
    let sources = vec(source().prop_map(Reference::new), 0..5);
    (direction, version, protocol, option::weighted(0.7, ports()), icmp, sources).prop_map(
        |(direction, version, protocol, ports, icmp, source_ref)| SecurityGroupRuleSpec {
            annotations: None,
            direction,
            version,
            protocol,
            ports,
            icmp,
            source_ref,
        },
    )
}

fn packet() -> impl Strategy<Value = Packet> {
    let protocol = prop_oneof![
        4 => port().prop_map(PacketProtocol::Tcp),
        3 => port().prop_map(PacketProtocol::Udp),
        2 => (0_u8..=8, 0_u8..=5).prop_map(|(kind, code)| PacketProtocol::Icmp(kind, code)),
        1 => Just(PacketProtocol::Esp),
        1 => Just(PacketProtocol::Gre),
        1 => Just(PacketProtocol::Other(132)),
    ];
    let direction = select(vec![Direction::Ingress, Direction::Egress]);
    (direction, protocol, address()).prop_map(|(direction, protocol, peer)| Packet { direction, protocol, peer })
}

/// Whether SECA's words allow a packet, but for the types of ICMP.
fn seca_allows(rule: &SecurityGroupRuleSpec, packet: &Packet) -> bool {
    let family = if packet.peer.is_ipv4() { IpVersion::IPv4 } else { IpVersion::IPv6 };
    rule.direction == packet.direction
        && rule.version.is_none_or(|version| version == family)
        && carries(rule, packet.protocol)
        && (rule.source_ref.is_empty() || rule.source_ref.iter().any(|source| is_from(&source.resource, packet.peer)))
}

fn carries(rule: &SecurityGroupRuleSpec, protocol: PacketProtocol) -> bool {
    let names = |wanted: &[Protocol]| rule.protocol.is_some_and(|protocol| wanted.contains(&protocol));
    let is_any = rule.protocol.is_none();
    // Where no protocol is named, a member that only some have speaks of these.
    let (by_ports, by_icmp) = (is_any && rule.ports.is_some(), is_any && rule.icmp.is_some());
    let is_open = is_any && !by_ports && !by_icmp;
    let port_fits = |port: u16| rule.ports.as_ref().is_none_or(|ports| has_port(ports, port));
    match protocol {
        PacketProtocol::Tcp(port) => {
            (names(&[Protocol::Tcp, Protocol::TcpUdp]) || is_open || by_ports) && port_fits(port)
        }
        PacketProtocol::Udp(port) => {
            (names(&[Protocol::Udp, Protocol::TcpUdp]) || is_open || by_ports) && port_fits(port)
        }
        PacketProtocol::Icmp(..) => names(&[Protocol::Icmp]) || is_open || by_icmp,
        PacketProtocol::Esp | PacketProtocol::Gre => is_open,
        PacketProtocol::Other(_) => false,
    }
}

fn has_port(ports: &Ports, port: u16) -> bool {
    let in_range = match (ports.from, ports.to) {
        (Some(from), Some(to)) => (from..=to).contains(&port),
        (Some(one), None) | (None, Some(one)) => one == port,
        (None, None) => false,
    };
    in_range || ports.list.contains(&port)
}

fn is_from(source: &str, peer: IpAddr) -> bool {
    if let Ok(address) = source.parse::<IpAddr>() {
        return address == peer;
    }
    if let Ok(block) = source.parse::<IpNet>() {
        return block.contains(&peer);
    }
    members(source).is_some_and(|blocks| blocks.iter().any(|block| block.contains(&peer)))
}

fn compile(rules: &[SecurityGroupRuleSpec]) -> Vec<CompiledRule> {
    rules.iter().map(|rule| compile_rule(rule, &group())).collect()
}

fn united(rules: &[SecurityGroupRuleSpec]) -> Compiled {
    expand(&compile(rules), &members)
}

/// A server lets pass what one of its firewalls lets pass.
fn passes(compiled: &Compiled, packet: &Packet) -> bool {
    compiled.shards.iter().any(|shard| allows(&shard.rules, packet))
}

fn flat(compiled: &Compiled) -> Vec<FirewallRule> {
    compiled.rules().cloned().collect()
}

/// The same as one firewall, as far as it fits one.
fn one_firewall(rules: &[SecurityGroupRuleSpec]) -> Vec<FirewallRule> {
    united(rules).shards.swap_remove(0).rules
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_passes_of_many_rules_is_the_same_in_any_number_of_firewalls(
        rules in vec(rule(), 20..60), packets in vec(packet(), 40)
    ) {
        let compiled = united(&rules);
        for packet in packets {
            let wanted = rules.iter().any(|rule| seca_allows(rule, &packet));
            prop_assert_eq!(passes(&compiled, &packet), wanted);
            prop_assert_eq!(allows(&flat(&compiled), &packet), wanted);
        }
    }
}

proptest! {
    #[test]
    fn what_passes_is_what_the_rules_allow(rules in vec(rule(), 0..8), packets in vec(packet(), 40)) {
        let compiled = united(&rules);
        for packet in packets {
            let wanted = rules.iter().any(|rule| seca_allows(rule, &packet));
            prop_assert_eq!(passes(&compiled, &packet), wanted, "{:?} {:?}", packet, super::print(compiled.rules()));
        }
    }

    #[test]
    fn every_firewall_keeps_the_limits_and_denies_by_itself(rules in vec(rule(), 0..60)) {
        let compiled = united(&rules);
        let mut effective = 0;
        prop_assert!(!compiled.shards.is_empty());
        for shard in &compiled.shards {
            prop_assert!(shard.rules.len() <= MAX_RULES_PER_FIREWALL);
            prop_assert!(shard.rules.is_sorted_by_key(|rule| rule.direction.clone()), "in before out");
            prop_assert!(shard.rules.iter().any(|rule| rule.direction == RuleDirection::Out));
            for rule in &shard.rules {
                let addresses = rule.source_ips.iter().chain(&rule.destination_ips);
                prop_assert!((1..=MAX_ADDRESSES_PER_RULE).contains(&addresses.clone().count()));
                prop_assert!(addresses.clone().all(|block| block.trunc() == *block), "no host bits");
                prop_assert!(rule.source_ips.is_empty() == (rule.direction == RuleDirection::Out));
            }
            effective += effective_rules(&shard.rules);
        }
        prop_assert_eq!(compiled.effective_rules, effective);
    }

    #[test]
    fn uniting_needs_no_more_effective_rules_than_the_rules_had(rules in vec(rule(), 0..20)) {
        let apart: usize = rules.iter().map(|rule| united(std::slice::from_ref(rule)).effective_rules).sum();
        prop_assert!(united(&rules).effective_rules <= apart + 1);
    }

    #[test]
    fn the_order_of_rules_does_not_count(rules in vec(rule(), 0..20), by in 0_usize..20) {
        let mut turned = rules.clone();
        turned.rotate_left(by.min(rules.len()));
        turned.extend(rules.first().cloned());
        prop_assert_eq!(united(&rules), united(&turned));
    }

    #[test]
    fn what_a_row_publishes_is_read_back(rule in rule()) {
        let compiled = compile_rule(&rule, &group());
        let text = serde_json::to_string(&compiled).unwrap();
        prop_assert_eq!(serde_json::from_str::<CompiledRule>(&text).unwrap(), compiled);
    }

    #[test]
    fn only_unknown_references_are_unresolved(rules in vec(rule(), 0..8)) {
        let named = rules.iter().flat_map(|rule| &rule.source_ref).any(|source| source.resource == UNKNOWN);
        prop_assert_eq!(united(&rules).unresolved.len(), usize::from(named));
    }

    #[test]
    fn rules_in_another_order_are_the_same(rules in vec(rule(), 0..8), seed in any::<prop::sample::Index>()) {
        let (wanted, mut found) = (flat(&united(&rules)), flat(&united(&rules)));
        let by = seed.index(found.len());
        found.rotate_left(by);
        found.iter_mut().for_each(|rule| { rule.source_ips.reverse(); rule.description = None; });
        prop_assert!(same_rules(&wanted, &found));
        prop_assert_eq!(rules_hash(&wanted), rules_hash(&found));
    }

    #[test]
    fn rules_are_the_same_exactly_where_their_hashes_are(one in vec(rule(), 0..3), two in vec(rule(), 0..3)) {
        let (one, two) = (flat(&united(&one)), flat(&united(&two)));
        prop_assert_eq!(same_rules(&one, &two), rules_hash(&one) == rules_hash(&two));
    }

    #[test]
    fn what_passes_between_two_sets_passes_both(
        before in vec(rule(), 0..12), after in vec(rule(), 0..12), packets in vec(packet(), 40)
    ) {
        let (before, after) = (one_firewall(&before), one_firewall(&after));
        let narrow = narrowing(&before, &after);
        prop_assert!(narrow.len() <= MAX_RULES_PER_FIREWALL);
        let fits = split(Allowance::of(&before).intersection(&Allowance::of(&after)).rules()).len() == 1;
        for packet in packets {
            let both = allows(&before, &packet) && allows(&after, &packet);
            prop_assert!(!allows(&narrow, &packet) || both, "{packet:?} {:?}", super::print(&narrow));
            prop_assert!(!fits || allows(&narrow, &packet) || !both, "{packet:?} {:?}", super::print(&narrow));
        }
    }
}
