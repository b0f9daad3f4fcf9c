//! Networks: private address space of a workspace.

use ipnet::Ipv4Net;
use seca_api::{Kind, violation::Violation};
use serde_json::{Map, Value};

use super::{FREELY, Judgement, KindRules, Peers, ReferenceField, Relatives, is_set, repeat};
use crate::ports::{DeleteRules, Provider};

/// What differs about networks.
pub const RULES: KindRules = KindRules {
    references: &[ReferenceField::new("/spec/skuRef", &[Kind::NetworkSku]).immutable()],
    delete: DeleteRules {
        refused_by_children: &[Kind::RouteTable],
        cascades: &[(Kind::Subnet, &[Kind::Nic])],
        ..FREELY
    },
    initial_status: |spec| {
        let mut status = Map::new();
        repeat(&mut status, spec, "cidr");
        repeat(&mut status, spec, "additionalCidrs");
        status
    },
    relatives: |_| vec![Relatives::Children(Kind::Subnet), Relatives::Children(Kind::RouteTable)],
    // A gateway lives in the networks whose routes lead to it.
    peers: Peers::InWorkspace(Kind::InternetGateway),
    judge,
    ..KindRules::new(Kind::Network)
};

/// The private blocks of RFC 1918.
const PRIVATE: [(&str, u8); 3] = [("10.0.0.0", 8), ("172.16.0.0", 12), ("192.168.0.0", 16)];

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let spec = judgement.subject.spec;
    if !is_set(spec.pointer("/cidr/ipv4")) {
        return Vec::from_iter(ipv6_alone(judgement, "network"));
    }
    let Some(block) = ipv4(spec) else { return Vec::new() };
    let mut found = Vec::from_iter(unusable(block, judgement.provider));
    if found.is_empty() {
        found.extend(in_use(judgement, block));
    }
    found
}

/// A provider's networks carry IPv4 only; IPv6 beside it is kept as intent.
pub(super) fn ipv6_alone(judgement: &Judgement<'_>, noun: &str) -> Option<Violation> {
    is_set(judgement.subject.spec.pointer("/cidr/ipv6")).then(|| {
        let rule = format!(
            "ipv4 is missing, and a {noun} with IPv6 alone cannot be had, because networks of {} carry \
             IPv4 only; set an IPv4 block as well",
            judgement.provider.name
        );
        Violation::at("/spec/cidr/ipv4", rule)
    })
}

/// The IPv4 block of a specification.
pub(super) fn ipv4(spec: &Value) -> Option<Ipv4Net> {
    spec.pointer("/cidr/ipv4")?.as_str()?.parse().ok()
}

/// A violation when host bits of a block are set.
pub(super) fn host_bits(block: Ipv4Net) -> Option<Violation> {
    (block.addr() != block.network()).then(|| {
        Violation::at("/spec/cidr/ipv4", format!("ipv4 is {block}, but the block is {}; write that", block.trunc()))
    })
}

fn unusable(block: Ipv4Net, provider: &Provider) -> Option<Violation> {
    let violation = |rule: String| Some(Violation::at("/spec/cidr/ipv4", rule));
    if block.addr().is_unspecified() {
        return violation(format!(
            "ipv4 is {block}, which asks for any free block of that size; that is not supported yet, name a block like \
             10.0.0.0/16"
        ));
    }
    let is_private = PRIVATE.iter().any(|(address, prefix)| {
        address.parse().ok().and_then(|address| Ipv4Net::new(address, *prefix).ok()).is_some_and(|n| n.contains(&block))
    });
    if !is_private {
        return violation(format!(
            "ipv4 must lie within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, the private blocks of RFC 1918, but is \
             {block}; choose one within"
        ));
    }
    let longest = provider.limits.network_prefix;
    if block.prefix_len() > longest {
        return violation(format!(
            "ipv4 must be a /{longest} or larger, because smaller networks cannot be had at {}, but \
             is a /{}; use a larger one",
            provider.name,
            block.prefix_len()
        ));
    }
    host_bits(block)
}

/// While something lives in the network, its block can only grow at the end.
fn in_use(judgement: &Judgement<'_>, block: Ipv4Net) -> Option<Violation> {
    let before = judgement.subject.old.and_then(|(_, old)| ipv4(old))?;
    let user = judgement.relatives.first()?;
    let grows = block.network() == before.network() && block.prefix_len() <= before.prefix_len();
    (!grows).then(|| {
        let rule = format!(
            "cidr is immutable while the network is in use (by {}), but would go from {before} to {block}; only a \
             larger block that begins at {} can be set; delete what uses the network, or create another one",
            user.key.resource(),
            before.network()
        );
        Violation::at("/spec/cidr/ipv4", rule)
    })
}
