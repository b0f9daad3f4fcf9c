//! A subnet is a cloud subnet of the network. It has no id and no label at the provider, only its range: whose it
//! is, the row remembers. Of two subnets with overlapping ranges the second one waits.

use std::{collections::BTreeSet, net::Ipv4Addr};

use control_plane::{
    Reason, Uid,
    facts::{Facts, SubnetFacts},
    ports::Planned,
};
use hcloud_client::types::{self as hcloud, AddSubnet};
use ipnet::Ipv4Net;
use seca_api::{Kind, NicStatus, SubnetSpec};
use serde_json::{Map, Value, json};

use super::{Checked, Context, Mapping, PlannedExt, act, fail, gateway, map, missing_targets, noted, settled, wait};
use crate::{
    call::{StepExt, Until},
    objects::{NetworkCall, ObjectId, has_subnet, overlapping},
};

/// See the module.
pub(super) struct SubnetMapping;

impl Mapping for SubnetMapping {
    fn kind(&self) -> Kind {
        Kind::Subnet
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context, context.network()?)
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        match context.lasting_network() {
            Ok(network) => network.map_or_else(settled, |network| delete(context, network)),
            Err(look) => *look,
        }
    }
}

/// The range that was added for this resource: the mark says that it was tried, the snapshot whether another of the
/// same range was first.
fn own_range(context: &Context<'_>, network: &hcloud::Network) -> Option<Ipv4Net> {
    let remembered = SubnetFacts::of(context.resource()).ip_range?;
    let first = owner(context, network, remembered);
    (has_subnet(network, remembered) && first.is_none_or(|uid| uid == context.resource().uid)).then_some(remembered)
}

fn owner(context: &Context<'_>, network: &hcloud::Network, range: Ipv4Net) -> Option<Uid> {
    context.snapshot.subnet_owner(network.id, range)
}

fn delete(context: &Context<'_>, network: &hcloud::Network) -> Planned {
    match own_range(context, network) {
        Some(ip_range) => {
            act(NetworkCall::DeleteSubnet { network: network.id, ip_range }
                .step(format!("{} {ip_range}", network.name)))
        }
        None => settled(),
    }
}

fn alive(context: &Context<'_>, network: Option<&hcloud::Network>) -> Checked<Planned> {
    let spec: SubnetSpec = context.spec()?;
    let missing = missing_targets(context);
    let Some(range) = spec.cidr.ipv4_net().map(|range| range.trunc()) else {
        let text = "Hetzner Cloud has no IPv6 subnets, so nothing stands behind this one.";
        let notes = missing.into_iter().chain([(Reason::IPv6Unsupported, text.to_owned())]);
        return Ok(noted(settled().status(status(&spec)), notes));
    };
    let Some(network) = network else {
        return Ok(wait(
            Reason::WaitingForDependency,
            format!("The network `{}` is not ready.", context.resource().key.network),
        ));
    };
    let row = context.resource();
    match own_range(context, network) {
        Some(own) if own == range => {
            let planned = settled().status(status(&spec)).remember(row, |facts: &mut SubnetFacts| {
                facts.ip_range = Some(own);
                facts.network_id = Some(network.id.to_string());
                (facts.nat_addresses, facts.reserved) = nat_addresses(context, own);
            });
            let text = "Hetzner networks carry no IPv6; the IPv6 block is kept as intent and carries nothing.";
            let intent = spec.cidr.ipv6.is_some().then(|| (Reason::IPv6Unsupported, text.to_owned()));
            let network = context.bundle().parent(Kind::Network).map(gateway::Judgement::of).unwrap_or_default();
            let open = network.of_open_subnet(&row.key.name).map(|text| (Reason::GatewayReplacing, text));
            Ok(noted(planned, missing.into_iter().chain(open).chain(intent)))
        }
        Some(_) => Ok(delete(context, network)),
        None => Ok(add(context, network, range)),
    }
}

/// The addresses that NAT servers have here, and those that they cannot have, if they may have to stand here.
fn nat_addresses(context: &Context<'_>, range: Ipv4Net) -> (Vec<Ipv4Addr>, Vec<Ipv4Addr>) {
    let Some(network) = context.bundle().parent(Kind::Network) else { return Default::default() };
    let judgement = gateway::Judgement::of(network);
    let here = judgement.addresses.into_iter().filter(|address| range.contains(address)).collect();
    let nics = context.bundle().referrers.iter().filter_map(|nic| nic.resource.as_ref()).filter(|_| judgement.crowded);
    let reserved = nics.filter(|nic| nic.key.kind == Kind::Nic).filter_map(|nic| nic.status::<NicStatus>().ok());
    let reserved: BTreeSet<Ipv4Addr> =
        reserved.flat_map(|status| status.addresses).filter_map(|address| address.parse().ok()).collect();
    (here, reserved.into_iter().collect())
}

fn add(context: &Context<'_>, network: &hcloud::Network, range: Ipv4Net) -> Planned {
    let own = context.bundle().parent(Kind::Network).map(gateway::own_ranges).unwrap_or_default();
    if let Some(other) = overlapping(network, range).filter(|other| own.contains(other)) {
        let text = format!(
            "The NAT servers of the network's internet gateway stand in {other}, and move to another place first."
        );
        return wait(Reason::WaitingForDependency, text);
    }
    if let Some(other) = overlapping(network, range) {
        let text =
            format!("{range} overlaps the subnet {other} of the same network; delete that, or choose another block.");
        let until = Until::NoSubnet(range);
        return context
            .await_person(ObjectId::Network(network.id), until, Reason::AddressConflict, text)
            .remember(context.resource(), |facts: &mut SubnetFacts| *facts = SubnetFacts::default());
    }
    let Some(zone) = context.region_fact("networkZone") else {
        return fail(Reason::Unsupported, format!("The region `{}` has no network zone.", context.region()));
    };
    let call = NetworkCall::AddSubnet {
        network: network.id,
        subnet: AddSubnet::cloud(range, zone),
        owner: context.resource().uid,
    };
    let added = SubnetFacts::trial(context.resource(), |facts| facts.ip_range = Some(range));
    act(call.step(format!("{} {range}", network.name)).mark(added))
}

fn status(spec: &SubnetSpec) -> Map<String, Value> {
    let mut members = map(&[("cidr", json!(spec.cidr))]);
    if let Some(table) = &spec.route_table_ref {
        members.insert("routeTableRef".to_owned(), json!(table));
    }
    members
}
