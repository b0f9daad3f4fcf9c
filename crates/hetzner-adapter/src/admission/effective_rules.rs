//! How much one security group rule comes to: a rule counts once for each range of ports and each address or block.

use std::net::IpAddr;

use control_plane::kinds::{Judgement, expand};
use ipnet::IpNet;
use seca_api::{Kind, Ports, Protocol, SecurityGroupRuleSpec, violation::Violation};
use serde::Deserialize;
use serde_json::Value;

use super::PROVIDER;
use crate::firewall_rules::MAX_EFFECTIVE_RULES;

/// The rules of a document that no server could have.
pub(super) fn violations(judgement: &Judgement<'_>) -> Vec<Violation> {
    let spec = judgement.subject.spec;
    match judgement.rules.kind {
        Kind::SecurityGroupRule => Vec::from_iter(too_many("/spec", spec)),
        _ => {
            let rules = expand("/spec/rules/*", spec).into_iter();
            rules.filter_map(|(pointer, rule)| too_many(&pointer, rule)).collect()
        }
    }
}

/// A rule that has more effective rules than a server may have, whatever its references come to.
fn too_many(pointer: &str, rule: &Value) -> Option<Violation> {
    let rule = SecurityGroupRuleSpec::deserialize(rule).ok()?;
    let ranges = ranges(rule.ports.as_ref()?);
    let (protocols, words) = match rule.protocol {
        Some(Protocol::Tcp) => (1, "tcp"),
        Some(Protocol::Udp) => (1, "udp"),
        // Without a protocol, ports are about both.
        Some(Protocol::TcpUdp) | None => (2, "tcp and udp"),
        Some(Protocol::Icmp) => return None,
    };
    let blocks = blocks(&rule);
    let count = ranges * protocols * blocks;
    (count > MAX_EFFECTIVE_RULES).then(|| {
        let text = format!(
            "ports and sourceRef must come to at most {MAX_EFFECTIVE_RULES} effective rules, which is what a server of \
             {} can have, but {ranges} ranges of ports for {words} and {blocks} blocks of addresses come to \
             {count}; join ports to ranges, name fewer or wider blocks, or split the rule over groups of different \
             instances",
            PROVIDER.name
        );
        Violation::at(format!("{pointer}/ports"), text)
    })
}

/// How many ranges ports are, those that overlap or touch as one.
fn ranges(ports: &Ports) -> usize {
    let bounds = ports.from.or(ports.to).zip(ports.to.or(ports.from));
    let mut ranges: Vec<_> = ports.list.iter().map(|port| (*port, *port)).chain(bounds).collect();
    ranges.sort_unstable();
    let (mut count, mut end) = (0, None);
    for (first, last) in ranges {
        count += usize::from(end.is_none_or(|end: u16| first > end.saturating_add(1)));
        end = end.max(Some(last));
    }
    count
}

/// How many blocks of addresses sources are for certain, neighbours as one: what references come to is not known.
fn blocks(rule: &SecurityGroupRuleSpec) -> usize {
    if rule.source_ref.is_empty() {
        return if rule.version.is_some() { 1 } else { 2 };
    }
    let blocks = rule.source_ref.iter().filter_map(|source| block(&source.resource));
    IpNet::aggregate(&blocks.map(|block| block.trunc()).collect::<Vec<_>>()).len()
}

fn block(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Ports two apart, so that none touches another.
    fn ports(count: u16) -> Value {
        json!({"list": (1..=count).map(|n| n * 2).collect::<Vec<_>>()})
    }

    /// Addresses two apart.
    fn sources(count: u8) -> Value {
        json!((0..count).map(|n| format!("192.0.2.{}", n * 2)).collect::<Vec<_>>())
    }

    fn told(rule: &Value) -> Vec<(String, String)> {
        too_many("/spec/rules/3", rule).into_iter().map(|found| (found.pointer, found.rule)).collect()
    }

    #[test]
    fn a_rule_fits_a_server_by_itself() {
        let rule = |protocol: &str, ports: Value, sources: Value| json!({"direction": "ingress", "protocol": protocol, "ports": ports, "sourceRef": sources});
        for (rule, count) in [
            (rule("tcp", ports(20), sources(25)), None),
            (rule("tcp", ports(21), sources(24)), Some(504)),
            (rule("udp", ports(100), sources(32)), Some(3200)),
            (rule("tcp+udp", ports(10), sources(25)), None),
            (rule("tcp+udp", ports(11), sources(25)), Some(550)),
            (rule("", ports(11), sources(25)), Some(550)),
            // All addresses are two blocks.
            (rule("tcp+udp", ports(100), json!([])), None),
            // Ports do not apply.
            (rule("icmp", ports(100), sources(32)), None),
            // What touches or overlaps is one.
            (rule("tcp", json!({"list": (1..=100).collect::<Vec<_>>()}), sources(32)), None),
            (rule("tcp", json!({"from": 1, "to": 300, "list": ports(100)["list"]}), sources(32)), None),
            (rule("tcp", ports(100), json!(["192.0.2.0/25", "192.0.2.128/25", "192.0.2.7", "10.0.0.0/8"])), None),
            // What references come to is not known.
            (rule("tcp", ports(100), json!(vec!["security-groups/db"; 32])), None),
            (rule("tcp", json!({}), sources(32)), None),
        ] {
            let found = told(&rule);
            assert_eq!(found.len(), usize::from(count.is_some()), "{rule} {found:?}");
            for ((pointer, text), count) in found.iter().zip(count) {
                assert_eq!(pointer, "/spec/rules/3/ports", "{rule}");
                assert!(text.contains("at most 500 effective rules"), "{text}");
                assert!(text.contains(&format!("come to {count}; join ports")), "{text}");
            }
        }
    }
}
