//! A route table is the network's set of routes. Routes by gateways and by instances without an address, which are
//! all that there are today, are kept as intent; each says so in its own status.

use control_plane::{Reason, ports::Planned};
use igw_polyfill::{Effect, NextHop};
use seca_api::{Kind, ResourceState, RouteSpec, RouteStatus, RouteTableSpec, RouteTableStatus, reference::Target};
use serde_json::json;

use super::{Checked, Context, Mapping, PlannedExt, map, missing_targets, next_hop, noted, part_status, settled};

/// What a route may name.
const TARGETS: &[Kind] = &[Kind::InternetGateway, Kind::Instance, Kind::Nic];

/// See the module.
pub(super) struct RouteTableMapping;

impl Mapping for RouteTableMapping {
    fn kind(&self) -> Kind {
        Kind::RouteTable
    }

    fn plan(&self, context: &Context<'_>) -> Planned {
        if context.resource().is_deleting() {
            return settled();
        }
        alive(context).unwrap_or_else(|plan| *plan)
    }
}

fn alive(context: &Context<'_>) -> Checked<Planned> {
    let spec: RouteTableSpec = context.spec()?;
    let before: RouteTableStatus = context.resource().status().unwrap_or_default();
    let effects: Vec<Effect> = spec.routes.iter().map(|route| effect(context, route)).collect();
    let statuses: Vec<RouteStatus> = effects
        .iter()
        .enumerate()
        .map(|(index, effect)| route_status(context, effect, before.routes.get(index)))
        .collect();
    let planned = settled().status(map(&[("routes", json!(statuses))]));
    let idle: Vec<&Effect> = effects.iter().filter(|effect| !effect.routed).collect();
    let idle = idle.first().map(|first| {
        let text = format!("{} of {} routes are not in effect. {}", idle.len(), effects.len(), first.message);
        (Reason::NotInEffect, text)
    });
    Ok(noted(planned, missing_targets(context).into_iter().chain(idle)))
}

fn effect(context: &Context<'_>, route: &RouteSpec) -> Effect {
    let target = &route.target_ref;
    let hop = match target.resolve_or_address(&context.resource().key, TARGETS) {
        Ok(Target::Address(text)) => next_hop(&text).unwrap_or(NextHop::Missing),
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

/// A route's own state and its transitions.
fn route_status(context: &Context<'_>, effect: &Effect, before: Option<&RouteStatus>) -> RouteStatus {
    let state = if effect.routed { ResourceState::Active } else { ResourceState::Pending };
    let note = (!effect.routed).then(|| (Reason::RouteNotProgrammed, Some(effect.message.clone())));
    part_status(state, note, before, context.now)
}
