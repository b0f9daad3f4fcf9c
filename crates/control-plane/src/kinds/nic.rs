//! NICs: the network interfaces of instances.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use seca_api::{Kind, violation::Violation};
use serde_json::Value;

use super::{FREELY, Found, Judgement, KindRules, Peers, ReferenceField, expand, network::ipv4};
use crate::{ports::DeleteRules, resource::Resource};

/// What differs about NICs.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new("/spec/securityGroupRefs/*", &[Kind::SecurityGroup]),
        ReferenceField::new("/spec/publicIpRefs/*", &[Kind::PublicIp]).late_by_policy(),
        ReferenceField::new("/spec/skuRef", &[Kind::NetworkSku]).immutable(),
        ReferenceField::new(SUBNET, &[Kind::Subnet]),
    ],
    delete: DeleteRules { refused_by_referrers: &[Kind::Instance], ..FREELY },
    // Two may ask for the same address; the later one waits for it.
    peers: Peers::OfTarget(SUBNET),
    judge,
    ..KindRules::new(Kind::Nic)
};

const SUBNET: &str = "/spec/subnetRef";

/// The router of the public interfaces of all servers at Hetzner Cloud, which no private network can hold as well.
const PUBLIC_ROUTER: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let Some(Found::Row { row: subnet, parent, .. }) = judgement.found(SUBNET) else { return Vec::new() };
    // A subnet whose block changed since is no reason to refuse a change that is not about it.
    if !judgement.subject.changed("/addresses") && !judgement.retargeted(SUBNET) {
        return Vec::new();
    }
    let blocks = Blocks::of(subnet, parent.as_ref());
    let addresses = expand("/spec/addresses/*", judgement.subject.spec);
    let parsed = addresses.into_iter().filter_map(|(pointer, text)| Some((pointer, text.as_str()?.parse().ok()?)));
    let wrong = parsed.filter_map(|(pointer, address): (String, IpAddr)| {
        let why = blocks.refuse(address)?;
        let rule = format!("the address {address} {why}; choose another one, or leave the choice open with 0.0.0.0");
        Some(Violation::at(pointer, rule))
    });
    wrong.collect()
}

/// Where the addresses of a subnet come from.
struct Blocks {
    subnet: String,
    v4: Option<Ipv4Net>,
    v6: Option<Ipv6Net>,
    /// The first address of the network, which is its gateway.
    gateway: Option<Ipv4Addr>,
}

impl Blocks {
    fn of(subnet: &Resource, network: Option<&Resource>) -> Self {
        let spec = |row: &Resource| serde_json::from_str::<Value>(&row.spec).unwrap_or_default();
        let own = spec(subnet);
        Self {
            subnet: subnet.key.resource(),
            v4: ipv4(&own),
            v6: own.pointer("/cidr/ipv6").and_then(Value::as_str).and_then(|block| block.parse().ok()),
            gateway: network.and_then(|network| ipv4(&spec(network))?.hosts().next()),
        }
    }

    /// Why an address cannot be had here.
    fn refuse(&self, address: IpAddr) -> Option<String> {
        if address.is_unspecified() {
            return None;
        }
        let outside = |block: &dyn std::fmt::Display| format!("is not in {block}, the block of {}", self.subnet);
        match address {
            IpAddr::V4(address) => {
                let block = self.v4?;
                if !block.contains(&address) {
                    Some(outside(&block))
                } else if address == block.network() || address == block.broadcast() {
                    Some(format!("is the first or the last one of {block}, which no interface can have"))
                } else if Some(address) == self.gateway {
                    Some("is the network's own gateway at Hetzner Cloud".to_owned())
                } else if address == PUBLIC_ROUTER {
                    Some("is Hetzner's router for the public interfaces of servers, in every network".to_owned())
                } else {
                    None
                }
            }
            // The networks of Hetzner Cloud carry no IPv6: it is kept as intent, and held to the intent's block.
            IpAddr::V6(address) => {
                let block = self.v6.filter(|block| !block.addr().is_unspecified())?;
                (!block.contains(&address)).then(|| outside(&block))
            }
        }
    }
}
