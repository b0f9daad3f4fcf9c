//! The range that NAT servers stand in: a subnet at the provider that is no subnet of SECA's. The network owns it, so it
//! goes with the network at the latest.

use std::net::Ipv4Addr;

use control_plane::{
    Resource,
    facts::{Facts, InternetGatewayFacts, NetworkFacts, SubnetFacts},
    ports::Planned,
};
use hcloud_client::types::{self as hcloud, AddSubnet, Server};
use igw_polyfill::plan::Place;
use ipnet::Ipv4Net;
use seca_api::Kind;

use super::{
    super::{Context, act},
    Judgement,
};
use crate::{
    call::StepExt,
    objects::{NetworkCall, has_subnet, overlapping},
};

/// The ranges that were, or may have been, added for NAT servers.
pub(in super::super) fn own_ranges(network: &Resource) -> Vec<Ipv4Net> {
    NetworkFacts::of(network).gateway_ranges
}

/// Adds the range that is wanted, and removes one in which no server stands any more.
pub(in super::super) fn keep(
    context: &Context<'_>,
    network: &hcloud::Network,
    judgement: Option<&Judgement>,
) -> Option<Planned> {
    let row = context.resource();
    let want = judgement.and_then(|judgement| judgement.want.as_ref()).filter(|want| want.foreign.is_none());
    let wanted = want.and_then(|want| match want.place {
        Place::Range(range) => Some(range),
        Place::Subnet { .. } => None,
    });
    let own = own_ranges(row);
    let name = |range: Ipv4Net| format!("{} {range}", network.name);
    let is_stale = |range: &&Ipv4Net| {
        Some(**range) != wanted && has_subnet(network, **range) && !is_used(context, network, **range)
    };
    if let Some(range) = own.iter().find(is_stale) {
        return Some(act(NetworkCall::DeleteSubnet { network: network.id, ip_range: *range }.step(name(*range))));
    }
    let missing = wanted.filter(|range| !has_subnet(network, *range) && overlapping(network, *range).is_none())?;
    let zone = context.region_fact("networkZone")?;
    let call = NetworkCall::AddSubnet { network: network.id, subnet: AddSubnet::cloud(missing, zone), owner: row.uid };
    let added = NetworkFacts::trial(row, |facts| {
        facts.gateway_ranges.retain(|range| *range != missing);
        facts.gateway_ranges.push(missing);
    });
    Some(act(call.step(name(missing)).mark(added)))
}

/// Whether a server stands in a range, is to stand there, or a subnet of SECA's has it by now.
fn is_used(context: &Context<'_>, network: &hcloud::Network, range: Ipv4Net) -> bool {
    let has = |address: &Ipv4Addr| range.contains(address);
    let attached = context.snapshot.all::<Server>().filter_map(|server| server.attachment(network.id));
    let is_attached = attached.into_iter().any(|net| net.ip.as_ref().is_some_and(has));
    let here = |row: &Resource| {
        let parts = InternetGatewayFacts::of(row).networks.into_iter();
        let parts = parts.filter(|part| part.network == context.resource().uid);
        parts.flat_map(|part| part.servers).any(|server| has(&server.private_address))
    };
    let is_subnet = |row: &Resource| row.key.kind == Kind::Subnet && SubnetFacts::of(row).ip_range == Some(range);
    is_attached || context.bundle().peers.iter().any(here) || context.bundle().children.iter().any(is_subnet)
}
