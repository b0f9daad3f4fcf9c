//! Security group rules: which packets pass.

use std::net::IpAddr;

use ipnet::IpNet;
use seca_api::{Kind, Ports, Protocol, Reference, SecurityGroupRuleSpec, violation::Violation};
use serde::Deserialize;
use serde_json::Value;

use super::{Judgement, KindRules, ReferenceField};

/// What differs about security group rules.
pub const RULES: KindRules = KindRules {
    references: &[ReferenceField::new("/spec/sourceRef/*", PEERS).or_address()],
    judge,
    ..KindRules::new(Kind::SecurityGroupRule)
};

/// What may stand on the other side, beside addresses and blocks.
pub(super) const PEERS: &[Kind] = &[Kind::SecurityGroup, Kind::Instance, Kind::InternetGateway];

/// What Hetzner lets one server have: a rule counts once for each range of ports and each address or block.
const MAX_EFFECTIVE_RULES: usize = 500;

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    violations("/spec", judgement.subject.spec)
}

/// What can be told of one rule alone: it contradicts itself, or no server could have it.
pub(super) fn violations(pointer: &str, rule: &Value) -> Vec<Violation> {
    let mut found = contradictions(pointer, rule);
    found.extend(too_many(pointer, rule));
    found
}

/// Where a rule contradicts itself. What it leaves out means any, what does not apply to its protocol is kept and said
/// to be idle, and what Hetzner Cloud cannot do is kept as intent.
fn contradictions(pointer: &str, rule: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let port = |name: &str| rule.get("ports")?.get(name)?.as_i64();
    if let Some((from, to)) = port("from").zip(port("to")).filter(|(from, to)| from > to) {
        let text = format!("ports must begin before they end, but from is {from} and to is {to}; swap them");
        found.push(Violation::at(format!("{pointer}/ports/from"), text));
    }
    found.extend(other_family(pointer, rule));
    found
}

/// Addresses and blocks of the family that the rule is not about.
fn other_family(pointer: &str, rule: &Value) -> Vec<Violation> {
    let Some(version) = rule.get("version").and_then(Value::as_str).filter(|v| matches!(*v, "IPv4" | "IPv6")) else {
        return Vec::new();
    };
    let sources = rule.get("sourceRef").and_then(Value::as_array).into_iter().flatten().enumerate();
    let odd = sources.filter_map(|(index, source)| {
        let source = Reference::from_value(source)?.resource;
        (family(&source)? != version).then(|| {
            let text = format!("sourceRef names {source}, but version is {version}; correct one of the two");
            Violation::at(format!("{pointer}/sourceRef/{index}"), text)
        })
    });
    odd.collect()
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
             Hetzner Cloud can have, but {ranges} ranges of ports for {words} and {blocks} blocks of addresses come to \
             {count}; join ports to ranges, name fewer or wider blocks, or split the rule over groups of different \
             instances"
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

fn family(text: &str) -> Option<&'static str> {
    Some(if block(text)?.addr().is_ipv4() { "IPv4" } else { "IPv6" })
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
        violations("/spec/rules/3", rule).into_iter().map(|found| (found.pointer, found.rule)).collect()
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

    #[test]
    fn a_rule_that_contradicts_itself_is_told_so_beside() {
        let rule = json!({"direction": "ingress", "version": "IPv6", "protocol": "tcp", "ports": ports(51), "sourceRef": sources(10)});
        let pointers: Vec<_> = told(&rule).into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(pointers.len(), 11, "{pointers:?}");
        assert_eq!(pointers[10], "/spec/rules/3/ports");
    }
}
