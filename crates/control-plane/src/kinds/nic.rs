//! NICs: the network interfaces of instances.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use seca_api::{Kind, violation::Violation};
use serde_json::Value;

use super::{FREELY, Found, Judgement, KindRules, Peers, ReferenceField, expand, network::ipv4};
use crate::{
    ports::{DeleteRules, Provider},
    resource::{Resource, Uid},
};

/// What differs about NICs.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new("/spec/securityGroupRefs/*", &[Kind::SecurityGroup]),
        ReferenceField::new(PUBLIC_IPS, &[Kind::PublicIp]).late_by_policy(),
        ReferenceField::new("/spec/skuRef", &[Kind::NetworkSku]).immutable(),
        ReferenceField::new(SUBNET, &[Kind::Subnet]),
    ],
    delete: DeleteRules { refused_by_referrers: &[Kind::Instance], ..FREELY },
    // Two may ask for the same address; the later one waits for it.
    peers: Peers::OfTarget(SUBNET),
    judge,
    ..KindRules::new(Kind::Nic)
};

/// The field that names its subnet.
pub(super) const SUBNET: &str = "/spec/subnetRef";
const PUBLIC_IPS: &str = "/spec/publicIpRefs/*";
const ADDRESSES: &str = "/spec/addresses/*";

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut found = repeated_public_ips(judgement);
    if judgement.subject.changed("/addresses") {
        found.extend(repeated_addresses(judgement.subject.spec));
        found.extend(too_many_addresses(judgement));
    }
    found.extend(unusable_addresses(judgement));
    found
}

fn unusable_addresses(judgement: &Judgement<'_>) -> Vec<Violation> {
    let Some(Found::Row { row: subnet, parent, .. }) = judgement.found(SUBNET) else { return Vec::new() };
    // A subnet whose block changed since is no reason to refuse a change that is not about it.
    if !judgement.subject.changed("/addresses") && !judgement.retargeted(SUBNET) {
        return Vec::new();
    }
    let blocks = Blocks::of(subnet, parent.as_ref(), judgement.provider);
    let wrong = addresses(judgement.subject.spec).into_iter().filter_map(|(pointer, address)| {
        let why = blocks.refuse(address)?;
        let rule = format!("the address {address} {why}; choose another one, or leave the choice open with 0.0.0.0");
        Some(Violation::at(pointer, rule))
    });
    wrong.collect()
}

/// The addresses of a specification, each with its place.
fn addresses(spec: &Value) -> Vec<(String, IpAddr)> {
    let texts = expand(ADDRESSES, spec).into_iter();
    texts.filter_map(|(pointer, text)| Some((pointer, text.as_str()?.parse().ok()?))).collect()
}

/// How many IPv4 addresses a specification asks for. A provider's networks carry no others.
pub(super) fn ipv4_addresses(spec: &Value) -> usize {
    addresses(spec).iter().filter(|(_, address)| address.is_ipv4()).count()
}

/// Any free address can be asked for again and again, a certain one is had once.
fn repeated_addresses(spec: &Value) -> Vec<Violation> {
    let mut known: BTreeMap<IpAddr, String> = BTreeMap::new();
    let mut found = Vec::new();
    for (pointer, address) in addresses(spec).into_iter().filter(|(_, address)| !address.is_unspecified()) {
        match known.get(&address) {
            Some(first) => found.push(repetition(&pointer, first, &format!("is {address}"))),
            None => {
                known.insert(address, pointer);
            }
        }
    }
    found
}

fn repeated_public_ips(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut known: BTreeMap<Uid, String> = BTreeMap::new();
    let mut found = Vec::new();
    for named in judgement.named(&[PUBLIC_IPS]) {
        match known.get(&named.row.uid) {
            Some(first) if named.is_new => {
                found.push(repetition(&named.pointer, first, &format!("names public IP {}", named.row.key.name)));
            }
            Some(_) => {}
            None => {
                known.insert(named.row.uid, named.pointer);
            }
        }
    }
    found
}

fn repetition(pointer: &str, first: &str, what: &str) -> Violation {
    let mut violation = Violation::at(pointer, "");
    let first = Violation::at(first, "").parameter;
    violation.rule = format!("{} {what} like {first}; remove one of the two", violation.parameter);
    violation
}

fn too_many_addresses(judgement: &Judgement<'_>) -> Option<Violation> {
    let count = ipv4_addresses(judgement.subject.spec);
    let before = judgement.subject.old.map_or(0, |(_, old)| ipv4_addresses(old));
    let (most, provider) = (judgement.provider.limits.addresses_per_network, judgement.provider.name);
    (count > most && count > before).then(|| {
        let rule = format!(
            "addresses asks for {count} IPv4 addresses, but a server of {provider} has at most {most} in a \
             network, its own and {} aliases; use fewer",
            most - 1
        );
        Violation::at("/spec/addresses", rule)
    })
}

/// Where the addresses of a subnet come from.
struct Blocks<'a> {
    provider: &'a Provider,
    subnet: String,
    v4: Option<Ipv4Net>,
    v6: Option<Ipv6Net>,
    /// The first address of the network, which is its gateway.
    gateway: Option<Ipv4Addr>,
}

impl<'a> Blocks<'a> {
    fn of(subnet: &Resource, network: Option<&Resource>, provider: &'a Provider) -> Self {
        let spec = |row: &Resource| serde_json::from_str::<Value>(&row.spec).unwrap_or_default();
        let own = spec(subnet);
        Self {
            provider,
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
                    Some(format!("is the network's own gateway at {}", self.provider.name))
                } else {
                    let mut reserved = self.provider.limits.reserved_addresses.iter();
                    reserved.find(|(known, _)| *known == address).map(|(_, what)| format!("is {what}"))
                }
            }
            // No provider's network carries IPv6: it is kept as intent, and held to the intent's block.
            IpAddr::V6(address) => {
                let block = self.v6.filter(|block| !block.addr().is_unspecified())?;
                (!block.contains(&address)).then(|| outside(&block))
            }
        }
    }
}
