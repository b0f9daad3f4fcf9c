//! The route table's half: which of its routes a gateway serves, and where they lead.

use std::net::Ipv4Addr;

use control_plane::{
    Reason, Resource,
    facts::{Facts, InternetGatewayFacts},
};
use hcloud_client::types::{self as hcloud, Route};
use igw_polyfill::{
    Effect,
    plan::{EVERYWHERE, PlannedRoute, Verdict},
    sentences,
};
use seca_api::{Kind, RouteSpec, RouteTableSpec, reference::Target};

use super::{super::Context, JudgedTable, Judgement};
use crate::mapping::route_table;

/// The routes of a table that are a gateway's matter.
pub(in super::super) struct Gateways<'a> {
    context: &'a Context<'a>,
    judgement: Judgement,
    /// What the network says of the table as it is now.
    judged: Option<JudgedTable>,
    /// Whether any route names a gateway.
    pub(in super::super) has_any: bool,
}

impl<'a> Gateways<'a> {
    pub(in super::super) fn of(context: &'a Context<'a>, spec: &RouteTableSpec) -> Self {
        let row = context.resource();
        let judgement = context.bundle().parent(Kind::Network).map(Judgement::of).unwrap_or_default();
        let judged = judgement.of_table(row).cloned();
        let has_any = spec.routes.iter().any(|route| is_gateways(row, route));
        Self { context, judgement, judged, has_any }
    }

    /// The route that is to be made for the table now.
    pub(in super::super) fn made(&self) -> Option<Route> {
        let want = self.judgement.want.as_ref()?;
        let is_served = want.tables.contains(&self.context.resource().uid);
        let gateway = next_hop(self.context, &self.judgement).filter(|_| is_served && want.foreign.is_none())?;
        Some(Route { destination: EVERYWHERE, gateway })
    }

    /// Whether an older table sends the same destination elsewhere.
    pub(in super::super) fn is_refused(&self, route: &Route) -> bool {
        let is_conflict = |(_, verdict): &(usize, Verdict)| matches!(verdict, Verdict::Conflict { .. });
        route.destination == EVERYWHERE
            && self.judged.as_ref().is_some_and(|table| table.routes.iter().any(is_conflict))
    }

    fn verdict(&self, index: usize) -> Option<&Verdict> {
        let routes = &self.judged.as_ref()?.routes;
        routes.iter().find(|(place, _)| *place == index).map(|(_, verdict)| verdict)
    }

    /// What a table waits for that asks for something new: that the network judges it, and, if a subnet uses it, that its
    /// routes are in effect.
    pub(in super::super) fn pending(&self) -> Option<(Reason, String)> {
        if !self.has_any {
            return None;
        }
        let network = self.context.bundle().parent(Kind::Network).filter(|row| !row.is_deleting())?;
        let name = &network.key.name;
        let Some(judged) = &self.judged else {
            let text = format!("The network `{name}` is about to find out what it needs for the routes.");
            return Some((Reason::WaitingForDependency, text));
        };
        let is_served = judged.routes.iter().any(|(_, verdict)| *verdict == Verdict::Served);
        let is_foreign = self.judgement.want.as_ref().is_some_and(|want| want.foreign.is_some());
        (is_served && !is_foreign && self.made().is_none()).then(|| {
            let text = "The NAT server of the internet gateway is being made; the message of the gateway tells more.";
            (Reason::WaitingForDependency, text.to_owned())
        })
    }

    /// What a route does; none if it is no gateway's matter.
    pub(in super::super) fn effect(
        &self,
        network: Option<&hcloud::Network>,
        index: usize,
        route: &RouteSpec,
    ) -> Option<(Effect, Reason)> {
        let verdict = self.verdict(index)?;
        let destination = &route.destination_cidr_block;
        let target = &route.target_ref.resource;
        if let Some(foreign) =
            self.judgement.want.as_ref().and_then(|want| want.foreign).filter(|_| *verdict == Verdict::Served)
        {
            let message = format!(
                "The route to {destination} by `{target}` is not in effect: somebody else's route sends it to {foreign}; \
                 remove that one."
            );
            return Some((Effect { routed: false, message }, Reason::RouteConflict));
        }
        let is_made = self.made().is_some_and(|made| network.is_some_and(|network| network.routes.contains(&made)));
        let planned = PlannedRoute {
            table: self.context.resource().key.name.clone(),
            index,
            target: target.clone(),
            verdict: verdict.clone(),
        };
        let reason = match verdict {
            Verdict::Elsewhere => return None,
            Verdict::Conflict { .. } => Reason::RouteConflict,
            Verdict::NotNamed => Reason::NotInEffect,
            _ => Reason::RouteNotProgrammed,
        };
        let text = sentences::route(&planned, destination, is_made);
        let message = text.unwrap_or_else(|| format!("The route to {destination} by `{target}` is in effect."));
        Some((Effect { routed: is_made && *verdict == Verdict::Served, message }, reason))
    }
}

/// The routes that another table of the network takes over, because the same gateway serves it.
pub(in super::super) fn of_others(context: &Context<'_>) -> Vec<Route> {
    let judgement = context.bundle().parent(Kind::Network).map(Judgement::of);
    let Some(want) = judgement.and_then(|judgement| judgement.want) else { return Vec::new() };
    let is_served = context.bundle().peers.iter().any(|table| want.tables.contains(&table.uid));
    let addresses = want.addresses.into_iter().filter(|_| is_served);
    addresses.map(|gateway| Route { destination: EVERYWHERE, gateway }).collect()
}

fn is_gateways(table: &Resource, route: &RouteSpec) -> bool {
    let target = route.target_ref.resolve_or_address(&table.key, route_table::TARGETS);
    matches!(target, Ok(Target::Resource(key)) if key.kind == Kind::InternetGateway)
}

/// Where the gateway that the network wants sends packets, as the planned table sees it.
fn next_hop(context: &Context<'_>, judgement: &Judgement) -> Option<Ipv4Addr> {
    let want = judgement.want.as_ref()?;
    let network = context.bundle().parent(Kind::Network)?.uid;
    let rows = context.bundle().targets.iter().filter_map(|target| target.resource.as_ref());
    let gateway = rows.into_iter().find(|row| row.uid == want.gateway && !row.is_deleting())?;
    let own = InternetGatewayFacts::of(gateway).networks.into_iter().find(|own| own.network == network)?;
    own.next_hop
}
