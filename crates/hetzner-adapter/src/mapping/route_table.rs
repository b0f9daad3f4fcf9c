//! A Hetzner network has one set of routes, and its route tables are parts of it. A route by an address of the network
//! is made there; one by a gateway, or by an instance, which has no address in the network yet, is kept as intent.
//! Routes bear no labels: whose one is, the rows remember, and one that two tables want stays until neither does.

use std::collections::BTreeSet;

use control_plane::{
    Reason, Resource,
    facts::{Facts, RouteTableFacts},
    ports::Planned,
};
use hcloud_client::types::{self as hcloud, Route};
use igw_polyfill::{Effect, NextHop};
use ipnet::Ipv4Net;
use seca_api::{Kind, ResourceState, RouteSpec, RouteStatus, RouteTableSpec, RouteTableStatus, reference::Target};
use serde_json::json;

use super::{
    Checked, Context, Mapping, PUBLIC_ROUTER, PlannedExt, act, map, missing_targets, noted, part_status, settled, wait,
};
use crate::{
    call::{StepExt, Until},
    objects::{NetworkCall, ObjectId, overlap, route_to},
};

/// What a route may name.
const TARGETS: &[Kind] = &[Kind::InternetGateway, Kind::Instance, Kind::Nic];
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
    let wanted: BTreeSet<Route> = match network {
        Some(network) => {
            by_address(context.resource(), &spec).filter(|made| refusal(network, made).is_none()).collect()
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
    } else if by_address(context.resource(), &spec).next().is_some() {
        let name = &context.resource().key.network;
        return Ok(wait(Reason::WaitingForDependency, format!("The network `{name}` is not ready.")));
    }
    let planned = settled_with(context, network, &spec);
    Ok(planned.remember(context.resource(), |facts: &mut RouteTableFacts| facts.routes = texts(&wanted)))
}

/// The routes of a table that name an address.
fn by_address<'a>(table: &'a Resource, spec: &'a RouteTableSpec) -> impl Iterator<Item = Route> + 'a {
    spec.routes.iter().filter_map(|route| made(table, route))
}

fn made(table: &Resource, route: &RouteSpec) -> Option<Route> {
    let Ok(Target::Address(text)) = route.target_ref.resolve_or_address(&table.key, TARGETS) else { return None };
    let destination: Ipv4Net = route.destination_cidr_block.parse().ok()?;
    Some(Route { destination: destination.trunc(), gateway: text.parse().ok()? })
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
    let remembered = RouteTableFacts::of(context.resource()).routes;
    let remembered = remembered.iter().filter_map(|text| {
        let (destination, gateway) = text.split_once(' ')?;
        Some(Route { destination: destination.parse().ok()?, gateway: gateway.parse().ok()? })
    });
    remembered.filter(|made| network.routes.contains(made)).collect()
}

/// A route as facts remember it.
fn text(route: &Route) -> String {
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

fn settled_with(context: &Context<'_>, network: Option<&hcloud::Network>, spec: &RouteTableSpec) -> Planned {
    let before: RouteTableStatus = context.resource().status().unwrap_or_default();
    let effects: Vec<Effect> = spec.routes.iter().map(|route| effect(context, network, route)).collect();
    let status = |(index, (route, effect)): (usize, (&RouteSpec, &Effect))| {
        let is_made = made(context.resource(), route)
            .is_some_and(|made| network.is_some_and(|network| network.routes.contains(&made)));
        route_status(context, effect, is_made, before.routes.get(index))
    };
    let statuses: Vec<RouteStatus> = spec.routes.iter().zip(&effects).enumerate().map(status).collect();
    let idle: Vec<&Effect> = effects.iter().filter(|effect| !effect.routed).collect();
    let idle = idle.first().map(|first| {
        let text = format!("{} of {} routes are not in effect. {}", idle.len(), effects.len(), first.message);
        (Reason::NotInEffect, text)
    });
    let planned = settled().status(map(&[("routes", json!(statuses))]));
    noted(planned, missing_targets(context).into_iter().chain(idle))
}

fn effect(context: &Context<'_>, network: Option<&hcloud::Network>, route: &RouteSpec) -> Effect {
    let target = &route.target_ref;
    let hop = match target.resolve_or_address(&context.resource().key, TARGETS) {
        Ok(Target::Address(_)) => address_hop(context, network, route),
        Ok(Target::Resource(key)) => {
            let row = context.bundle().targets.iter().find(|t| t.key == key).and_then(|t| t.resource.as_ref());
            match (row.filter(|row| !row.is_deleting()), key.kind) {
                (None, _) => NextHop::Missing,
                (Some(_), Kind::InternetGateway) => NextHop::Gateway,
                (Some(_), Kind::Instance) => NextHop::Instance,
                (Some(_), kind) => NextHop::Other(kind),
            }
        }
        Ok(Target::Unset) | Err(_) => NextHop::Missing,
    };
    igw_polyfill::route(&route.destination_cidr_block, &target.resource, &hop)
}

fn address_hop(context: &Context<'_>, network: Option<&hcloud::Network>, route: &RouteSpec) -> NextHop {
    let Some(made) = made(context.resource(), route) else {
        return NextHop::Refused("Hetzner networks route IPv4 by single IPv4 addresses only".to_owned());
    };
    let Some(network) = network else {
        return NextHop::Refused("nothing stands behind the network at Hetzner Cloud".to_owned());
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

/// A route's own state and its transitions.
fn route_status(context: &Context<'_>, effect: &Effect, is_made: bool, before: Option<&RouteStatus>) -> RouteStatus {
    let state = if is_made { ResourceState::Active } else { ResourceState::Pending };
    let reason = if is_made { Reason::NotInEffect } else { Reason::RouteNotProgrammed };
    let note = (!effect.routed).then(|| (reason, Some(effect.message.clone())));
    part_status(state, note, before, context.now)
}
