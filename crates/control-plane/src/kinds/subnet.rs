//! Subnets: parts of a network's address space.

use seca_api::{Kind, violation::Violation};
use serde_json::{Map, Value};

use super::{
    FREELY, Judgement, KindRules, ReferenceField, is_set,
    network::{host_bits, ipv4, ipv6_alone},
    repeat,
};
use crate::ports::DeleteRules;

/// What differs about subnets.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new("/spec/routeTableRef", &[Kind::RouteTable]),
        ReferenceField::new("/spec/skuRef", &[Kind::NetworkSku]),
    ],
    delete: DeleteRules { refused_by_referrers: &[Kind::Nic], ..FREELY },
    initial_status: |spec| {
        let mut status = Map::new();
        repeat(&mut status, spec, "cidr");
        repeat(&mut status, spec, "routeTableRef");
        status
    },
    judge,
    ..KindRules::new(Kind::Subnet)
};

/// The longest prefix of a subnet.
const LONGEST_PREFIX: u8 = 30;

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut found = Vec::from_iter(judgement.unknown_zone("/zone"));
    found.extend(block_violation(judgement));
    found
}

fn block_violation(judgement: &Judgement<'_>) -> Option<Violation> {
    let spec = judgement.subject.spec;
    if !is_set(spec.pointer("/cidr/ipv4")) {
        return ipv6_alone(judgement, "subnet");
    }
    let block = ipv4(spec)?;
    let violation = |rule: String| Some(Violation::at("/spec/cidr/ipv4", rule));
    if block.prefix_len() > LONGEST_PREFIX {
        return violation(format!(
            "ipv4 must be a /{LONGEST_PREFIX} or larger, but is a /{}; use a larger one",
            block.prefix_len()
        ));
    }
    if let Some(violation) = host_bits(block) {
        return Some(violation);
    }
    let network = judgement.parent(Kind::Network)?;
    let whole = ipv4(&serde_json::from_str::<Value>(&network.spec).ok()?)?;
    (!whole.contains(&block)).then(|| {
        let rule = format!(
            "ipv4 must lie within {whole}, the block of network {} (additional blocks are kept as intent: networks of \
             {} have one), but is {block}; choose one within",
            network.key.name, judgement.provider.name
        );
        Violation::at("/spec/cidr/ipv4", rule)
    })
}
