//! Security group rules: which packets pass.

use std::net::IpAddr;

use ipnet::IpNet;
use seca_api::{Kind, Reference, violation::Violation};
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

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    violations("/spec", judgement.subject.spec)
}

/// Where a rule contradicts itself. What it leaves out means any, what does not apply to its protocol is kept and said
/// to be idle, and what a provider cannot do is kept as intent.
pub(super) fn violations(pointer: &str, rule: &Value) -> Vec<Violation> {
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

    #[test]
    fn a_rule_that_contradicts_itself_is_told_so() {
        let sources: Vec<_> = (0..10).map(|n| format!("192.0.2.{}", n * 2)).collect();
        let rule = json!({"direction": "ingress", "version": "IPv6", "protocol": "tcp", "ports": {"from": 2, "to": 1},
            "sourceRef": sources});
        let found = violations("/spec/rules/3", &rule);
        assert_eq!(found.len(), 11, "{found:?}");
        assert_eq!(found[0].pointer, "/spec/rules/3/ports/from");
        assert_eq!(found[10].pointer, "/spec/rules/3/sourceRef/9");
    }
}
