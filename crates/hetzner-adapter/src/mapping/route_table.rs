//! A Hetzner network has one set of routes, and its route tables are parts of it. A route by an address of the network
//! is made there, one by an instance or a NIC leads to the address that this has there, and one by a gateway leads to the gateway's NAT server once that is up: what becomes of those the network
//! says (see [`super::gateway`]). Routes bear no labels: whose one is, the rows remember, and one that two tables want stays
//! until neither does.

use std::{collections::BTreeSet, net::Ipv4Addr};

use control_plane::{
    Reason, Resource,
    facts::{Facts, InstanceFacts, NicFacts, RouteTableFacts},
    ports::Planned,
};
use hcloud_client::types::{self as hcloud, Id, Route};
use igw_polyfill::{Effect, NextHop};
use ipnet::Ipv4Net;
use seca_api::{Kind, ResourceState, RouteSpec, RouteStatus, RouteTableSpec, RouteTableStatus, reference::Target};
use serde_json::json;

use super::{
    Checked, Context, Mapping, PUBLIC_ROUTER, PlannedExt, act,
    gateway::routes::{self, Gateways},
    map, missing_targets, noted, part_status, settled, wait,
};
use crate::{
    call::{StepExt, Until},
    objects::{NetworkCall, ObjectId, overlap, route_to},
};

/// What a route may name.
pub(super) const TARGETS: &[Kind] = &[Kind::InternetGateway, Kind::Instance, Kind::Nic];
/// The most routes of a Hetzner network.
const MOST: usize = 100;

/// See the module.
pub(super) struct RouteTableMapping;

impl Mapping for RouteTableMapping {
    fn kind(&self) -> Kind {
        Kind::RouteTable
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context, context.network()?)
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        match context.lasting_network() {
            Ok(network) => {
                network.and_then(|network| remove(context, network, &BTreeSet::new())).unwrap_or_else(settled)
            }
            Err(look) => *look,
        }
    }
}

fn alive(context: &Context<'_>, network: Option<&hcloud::Network>) -> Checked<Planned> {
    let spec: RouteTableSpec = context.spec()?;
    let row = context.resource();
    let gateways = Gateways::of(context, &spec);
    let wanted: BTreeSet<Route> = match network {
        Some(network) => {
            let made = spec.routes.iter().filter_map(|route| made(context, network, route));
            let made = made.filter(|made| refusal(network, made).is_none() && !gateways.is_refused(made));
            made.chain(gateways.made()).collect()
        }
        None => BTreeSet::new(),
    };
    if let Some(network) = network {
        if let Some(planned) = remove(context, network, &wanted) {
            return Ok(planned);
        }
        if let Some(made) = wanted.iter().find(|made| !network.routes.contains(made)) {
            return Ok(add(context, network, &wanted, made));
        }
    } else if by_address(row, &spec).next().is_some() {
        let name = &row.key.network;
        return Ok(wait(Reason::WaitingForDependency, format!("The network `{name}` is not ready.")));
    }
    let planned = match gateways.pending() {
        Some((reason, why)) if context.is_converging() => wait(reason, why),
        _ => settled_with(context, network, &spec, &gateways),
    };
    Ok(planned.remember(row, |facts: &mut RouteTableFacts| {
        facts.routes = texts(&wanted);
        facts.generation = gateways.has_any.then_some(row.generation);
    }))
}

/// The routes of a table that name an address.
fn by_address<'a>(table: &'a Resource, spec: &'a RouteTableSpec) -> impl Iterator<Item = Route> + 'a {
    spec.routes.iter().filter_map(|route| {
        let Ok(Target::Address(text)) = route.target_ref.resolve_or_address(&table.key, TARGETS) else { return None };
        Some(Route { destination: destination(route)?, gateway: text.parse().ok()? })
    })
}

fn destination(route: &RouteSpec) -> Option<Ipv4Net> {
    route.destination_cidr_block.parse::<Ipv4Net>().ok().map(|block| block.trunc())
}

/// A route as it is made: by an address, or by what has one in the network.
fn made(context: &Context<'_>, network: &hcloud::Network, route: &RouteSpec) -> Option<Route> {
    let gateway = match route.target_ref.resolve_or_address(&context.resource().key, TARGETS).ok()? {
        Target::Address(text) => text.parse().ok()?,
        Target::Resource(key) => {
            let row = context.bundle().targets.iter().find(|target| target.key == key)?.resource.as_ref()?;
            address_of(row, network.id).filter(|_| !row.is_deleting())?
        }
        Target::Unset => return None,
    };
    Some(Route { destination: destination(route)?, gateway })
}

/// The address that an instance's server, or a NIC, has in a network.
fn address_of(row: &Resource, network: Id<hcloud::Network>) -> Option<Ipv4Addr> {
    let is_here = |id: &str| id == network.to_string();
    match row.key.kind {
        Kind::Instance => {
            let interfaces = InstanceFacts::of(row).interfaces;
            interfaces.into_iter().find(|interface| is_here(&interface.network_id))?.address
        }
        Kind::Nic => {
            let attachment = NicFacts::of(row).attachment.filter(|attachment| is_here(&attachment.network_id))?;
            attachment.addresses.first().copied()
        }
        _ => None,
    }
}

/// Why Hetzner Cloud would refuse a route (its API reference, `add_route`).
fn refusal(network: &hcloud::Network, made: &Route) -> Option<String> {
    let Route { destination, gateway } = made;
    let is_default = destination.prefix_len() == 0;
    let is_private = destination.addr().is_private() && destination.broadcast().is_private();
    if !is_default && !is_private {
        return Some("Hetzner Cloud routes to private blocks and to 0.0.0.0/0 only".to_owned());
    }
    let subnets = network.subnets.iter().filter_map(|subnet| subnet.ip_range);
    if let Some(subnet) = subnets.into_iter().find(|subnet| !is_default && overlap(*subnet, *destination)) {
        return Some(format!("its destination overlaps the subnet {subnet}, which is reached without a route"));
    }
    if !network.ip_range.contains(gateway) {
        return Some(format!("{gateway} is not an address of the network, which is {}", network.ip_range));
    }
    if network.ip_range.hosts().next() == Some(*gateway) {
        return Some(format!("{gateway} is the network's own gateway at Hetzner Cloud"));
    }
    if *gateway == PUBLIC_ROUTER {
        return Some(format!("{gateway} is Hetzner's router for the public interfaces of servers"));
    }
    let is_made = network.routes.contains(made);
    (!is_made && network.routes.len() >= MOST)
        .then(|| format!("a Hetzner network has at most {MOST} routes, and this one has them already"))
}

/// What was made for this table, as far as it is still there.
fn own(context: &Context<'_>, network: &hcloud::Network) -> BTreeSet<Route> {
    remembered(context.resource()).into_iter().filter(|made| network.routes.contains(made)).collect()
}

/// What was, or may have been, made for a table.
fn remembered(table: &Resource) -> Vec<Route> {
    let remembered = RouteTableFacts::of(table).routes;
    let remembered = remembered.iter().filter_map(|text| {
        let (destination, gateway) = text.split_once(' ')?;
        Some(Route { destination: destination.parse().ok()?, gateway: gateway.parse().ok()? })
    });
    remembered.collect()
}

/// A route as facts remember it.
pub(super) fn text(route: &Route) -> String {
    format!("{} {}", route.destination, route.gateway)
}

fn texts(routes: &BTreeSet<Route>) -> Vec<String> {
    routes.iter().map(text).collect()
}

/// Takes away what was made for this table and what neither it nor another one wants.
fn remove(context: &Context<'_>, network: &hcloud::Network, wanted: &BTreeSet<Route>) -> Option<Planned> {
    let own = own(context, network);
    let others: BTreeSet<Route> = context
        .bundle()
        .peers
        .iter()
        .filter_map(|table| Some((table, table.spec::<RouteTableSpec>().ok()?)))
        .flat_map(|(table, spec)| by_address(table, &spec).collect::<Vec<_>>())
        .chain(context.bundle().peers.iter().flat_map(remembered))
        .chain(routes::of_others(context))
        .collect();
    let made = own.iter().find(|made| !wanted.contains(made) && !others.contains(made))?;
    let call = NetworkCall::DeleteRoute { network: network.id, route: made.clone() };
    Some(act(call.step(format!("{} {}", network.name, text(made)))))
}

fn add(context: &Context<'_>, network: &hcloud::Network, wanted: &BTreeSet<Route>, made: &Route) -> Planned {
    if let Some(other) = route_to(network, made.destination) {
        let text = format!(
            "The network sends {} to {} already, not to {}; remove that route, or use the same target.",
            other.destination, other.gateway, made.gateway
        );
        let until = Until::NoRoute(made.destination);
        return context.await_person(ObjectId::Network(network.id), until, Reason::AddressConflict, text);
    }
    let mut own = own(context, network);
    own.retain(|made| wanted.contains(made));
    own.insert(made.clone());
    let call = NetworkCall::AddRoute { network: network.id, route: made.clone() };
    let step = call.step(format!("{} {}", network.name, text(made)));
    act(step.mark(RouteTableFacts::trial(context.resource(), |facts| facts.routes = texts(&own))))
}

fn settled_with(
    context: &Context<'_>,
    network: Option<&hcloud::Network>,
    spec: &RouteTableSpec,
    gateways: &Gateways<'_>,
) -> Planned {
    let before: RouteTableStatus = context.resource().status().unwrap_or_default();
    let effect =
        |(index, route)| gateways.effect(network, index, route).unwrap_or_else(|| effect(context, network, route));
    let effects: Vec<(Effect, Reason)> = spec.routes.iter().enumerate().map(effect).collect();
    let status = |(index, (route, effect)): (usize, (&RouteSpec, &(Effect, Reason)))| {
        let is_made = network
            .is_some_and(|network| made(context, network, route).is_some_and(|made| network.routes.contains(&made)));
        route_status(context, effect, is_made, before.routes.get(index))
    };
    let statuses: Vec<RouteStatus> = spec.routes.iter().zip(&effects).enumerate().map(status).collect();
    let idle: Vec<_> = effects.iter().filter(|(effect, _)| !effect.routed).collect();
    let idle = idle.first().map(|(first, reason)| {
        let text = format!("{} of {} routes are not in effect. {}", idle.len(), effects.len(), first.message);
        let reason = if *reason == Reason::RouteConflict { *reason } else { Reason::NotInEffect };
        (reason, text)
    });
    let planned = settled().status(map(&[("routes", json!(statuses))]));
    noted(planned, missing_targets(context).into_iter().chain(idle))
}

/// What a route does that is not a gateway's matter.
fn effect(context: &Context<'_>, network: Option<&hcloud::Network>, route: &RouteSpec) -> (Effect, Reason) {
    let target = &route.target_ref;
    let hop = match target.resolve_or_address(&context.resource().key, TARGETS) {
        Ok(Target::Address(_)) => address_hop(context, network, route),
        Ok(Target::Resource(_)) if network.is_some_and(|network| made(context, network, route).is_some()) => {
            address_hop(context, network, route)
        }
        Ok(Target::Resource(key)) => {
            let row = context.bundle().targets.iter().find(|t| t.key == key).and_then(|t| t.resource.as_ref());
            match (row.filter(|row| !row.is_deleting()), key.kind) {
                (None, _) => NextHop::Missing,
                (Some(_), Kind::InternetGateway) if network.is_none() => {
                    NextHop::Refused("nothing stands behind the network at Hetzner Cloud".to_owned())
                }
                (Some(_), Kind::InternetGateway) => {
                    NextHop::Refused("the network is about to find out what it needs for the gateway".to_owned())
                }
                (Some(_), Kind::Instance) => NextHop::Instance,
                (Some(_), kind) => NextHop::Other(kind),
            }
        }
        Ok(Target::Unset) | Err(_) => NextHop::Missing,
    };
    (igw_polyfill::route(&route.destination_cidr_block, &target.resource, &hop), Reason::RouteNotProgrammed)
}

fn address_hop(context: &Context<'_>, network: Option<&hcloud::Network>, route: &RouteSpec) -> NextHop {
    let Some(network) = network else {
        return NextHop::Refused("nothing stands behind the network at Hetzner Cloud".to_owned());
    };
    let Some(made) = made(context, network, route) else {
        return NextHop::Refused("Hetzner networks route IPv4 by single IPv4 addresses only".to_owned());
    };
    match refusal(network, &made) {
        Some(why) => NextHop::Refused(why),
        None => {
            let gateway = made.gateway;
            let taken = context.snapshot.is_address_taken(network.id, gateway);
            NextHop::Address { address: gateway.into(), taken }
        }
    }
}

/// A route's own state and its transitions. One that is made and leads to nobody is `active`, and says so.
fn route_status(
    context: &Context<'_>,
    (effect, why): &(Effect, Reason),
    is_made: bool,
    before: Option<&RouteStatus>,
) -> RouteStatus {
    let state = if is_made || effect.routed { ResourceState::Active } else { ResourceState::Pending };
    let reason = if is_made { Reason::NotInEffect } else { *why };
    let note = (!effect.routed).then(|| (reason, Some(effect.message.clone())));
    part_status(state, note, before, context.now)
}
