//! The NICs of an instance: what a provider can attach to one server.
//!
//! A server has one interface in each of few networks. The first NIC of a network is that interface, the
//! others in its subnet are further addresses of it.

use std::collections::{BTreeMap, BTreeSet};

use seca_api::{Kind, Reference, ResourceKey, Target, violation::Violation};
use serde_json::Value;

use super::{ADDITIONAL_NICS, PRIMARY_NIC};
use crate::{
    facts::{Facts as _, NicFacts},
    kinds::{Judgement, Named, nic, spelled},
    ports::Provider,
    resource::{Resource, Uid},
};

/// A NIC that the document names, and where it is.
struct Placed<'a> {
    named: Named<'a>,
    /// Its subnet, with the network's name.
    subnet: ResourceKey,
    /// How many IPv4 addresses it asks for.
    addresses: usize,
}

pub(super) fn violations(judgement: &Judgement<'_>) -> Vec<Violation> {
    let named = judgement.named(&[PRIMARY_NIC, ADDITIONAL_NICS]);
    let mut found = Vec::new();
    let mut first: BTreeMap<Uid, &Named<'_>> = BTreeMap::new();
    for nic in &named {
        match first.get(&nic.row.uid) {
            Some(other) if nic.is_new => found.push(twice(nic, other)),
            Some(_) => {}
            None => {
                first.insert(nic.row.uid, nic);
            }
        }
    }
    let mut seen = BTreeSet::new();
    let once = named.into_iter().filter(|nic| seen.insert(nic.row.uid));
    let placed: Vec<Placed<'_>> = once.filter_map(place).collect();
    found.extend(other_subnets(&placed, judgement.provider));
    found.extend(too_many_networks(&placed, judgement.provider));
    found.extend(too_many_addresses(&placed, judgement.provider));
    found
}

/// Where a NIC is. None if its subnet is spelled without the network and it has not published yet which one that is: then
/// the status of the instance tells what becomes of it.
fn place(named: Named<'_>) -> Option<Placed<'_>> {
    let spec: Value = serde_json::from_str(&named.row.spec).ok()?;
    let references = spelled(nic::RULES.references, &named.row.key, &spec);
    let subnet = references.into_iter().find(|reference| reference.pointer == nic::SUBNET)?;
    let Ok(Target::Resource(mut subnet)) = subnet.target else { return None };
    if subnet.network.is_empty() {
        subnet = published(named.row).filter(|published| published.name == subnet.name)?;
    }
    Some(Placed { subnet, addresses: nic::ipv4_addresses(&spec), named })
}

/// The subnet that a NIC says it is in.
fn published(row: &Resource) -> Option<ResourceKey> {
    let subnet = Reference::new(NicFacts::of(row).attachment?.subnet);
    match subnet.resolve(&row.key, &[Kind::Subnet]) {
        Ok(Target::Resource(subnet)) if !subnet.network.is_empty() => Some(subnet),
        _ => None,
    }
}

fn twice(nic: &Named<'_>, other: &Named<'_>) -> Violation {
    let mut violation = Violation::at(&nic.pointer, "");
    violation.rule = format!(
        "{} names NIC {} like {} does, and an instance has each NIC once; remove one of the two",
        violation.parameter,
        nic.row.key.name,
        Violation::at(&other.pointer, "").parameter
    );
    violation
}

/// NICs in one network but in different subnets.
fn other_subnets(placed: &[Placed<'_>], provider: &Provider) -> Vec<Violation> {
    let mut interfaces: BTreeMap<&str, &Placed<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    for nic in placed {
        let interface = *interfaces.entry(&nic.subnet.network).or_insert(nic);
        if interface.subnet == nic.subnet {
            continue;
        }
        let (at, other) = if nic.named.is_new { (nic, interface) } else { (interface, nic) };
        if !at.named.is_new {
            continue;
        }
        let mut violation = Violation::at(&at.named.pointer, "");
        violation.rule = format!(
            "{} names NIC {} in subnet {}, but NIC {} is in subnet {} of the same network {}, and a server of {} \
             has one interface in a network; name a NIC in the same subnet, or in another network",
            violation.parameter,
            at.named.row.key.name,
            at.subnet.name,
            other.named.row.key.name,
            other.subnet.name,
            nic.subnet.network,
            provider.name
        );
        found.push(violation);
    }
    found
}

fn too_many_networks(placed: &[Placed<'_>], provider: &Provider) -> Option<Violation> {
    let mut networks: Vec<&str> = Vec::new();
    for nic in placed {
        if !networks.contains(&nic.subnet.network.as_str()) {
            networks.push(&nic.subnet.network);
        }
    }
    let most = provider.limits.networks_per_server;
    if networks.len() <= most {
        return None;
    }
    // One whose network is not added by this write is no matter of it.
    let is_old = |network: &str| placed.iter().any(|nic| !nic.named.is_new && nic.subnet.network == network);
    let last = placed.iter().rfind(|nic| nic.named.is_new && !is_old(&nic.subnet.network))?;
    let mut violation = Violation::at(&last.named.pointer, "");
    violation.rule = format!(
        "{} names NIC {} in network {}, and with it the NICs are in {} networks ({}), but {} attaches a server \
         to at most {most}; name NICs in at most {most} networks",
        violation.parameter,
        last.named.row.key.name,
        last.subnet.network,
        networks.len(),
        networks.join(", "),
        provider.name
    );
    Some(violation)
}

/// All NICs of a network share its interface, and that has one address and few aliases.
fn too_many_addresses(placed: &[Placed<'_>], provider: &Provider) -> Vec<Violation> {
    let mut networks: BTreeMap<&str, Vec<&Placed<'_>>> = BTreeMap::new();
    for nic in placed {
        networks.entry(&nic.subnet.network).or_default().push(nic);
    }
    let crowded = networks.into_iter().filter_map(|(network, nics)| {
        let addresses: usize = nics.iter().map(|nic| nic.addresses).sum();
        let last = nics.iter().rfind(|nic| nic.named.is_new && nic.addresses > 0)?;
        (addresses > provider.limits.addresses_per_network).then(|| {
            let mut violation = Violation::at(&last.named.pointer, "");
            violation.rule = format!(
                "{} names NIC {}, and with it the NICs in network {network} have {addresses} IPv4 addresses, but {} \
                 gives a server at most {} in a network; name fewer NICs, or NICs with fewer addresses",
                violation.parameter, last.named.row.key.name, provider.name, provider.limits.addresses_per_network
            );
            violation
        })
    });
    crowded.collect()
}
