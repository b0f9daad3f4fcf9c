//! The network's half: what its tables, its subnets and the workspace's gateways come to.

use std::{collections::BTreeSet, net::Ipv4Addr};

use control_plane::{
    Resource,
    facts::{Facts, GatewayNetwork, InternetGatewayFacts, NatServer, RouteTableFacts, SubnetFacts},
};
use hcloud_client::types::{self as hcloud, Server};
use igw_polyfill::plan::{self as polyfill, EVERYWHERE, InternetGateway, Place, Route, Subnet, Table, Target};
use ipnet::Ipv4Net;
use seca_api::{Kind, RouteTableSpec, SubnetSpec, reference};

use super::{super::Context, JudgedTable, Judgement, Want, is_pair, own_ranges};
use crate::{
    mapping::route_table,
    objects::{has_subnet, route_to},
};

/// What the route tables of the planned network come to; none where no route leads to a gateway, or to everywhere.
pub(in super::super) fn judge(context: &Context<'_>, network: &hcloud::Network) -> Option<Judgement> {
    let standing = Standing::of(context);
    let input = input(context, network, &standing);
    let is_a_matter = input.tables.iter().any(|table| table.routes.iter().any(is_a_matter));
    if !is_a_matter && standing.servers.is_empty() {
        return None;
    }
    let gateways: Vec<InternetGateway> = context.bundle().peers.iter().map(gateway).collect();
    let settings = &context.settings.gateway.nat;
    let plan = polyfill::plan(&input, &gateways, settings);
    let rows = || children(context, Kind::RouteTable);
    let uid_of = |name: &str| rows().find(|row| row.key.name == name).map(|row| row.uid);
    let gateway_uid = |name: &str| context.bundle().peers.iter().find(|row| row.key.name == name).map(|row| row.uid);
    let tables = rows().filter_map(|row| {
        let routes: Vec<_> = plan.routes.iter().filter(|route| route.table == row.key.name).collect();
        let routes: Vec<_> = routes.into_iter().map(|route| (route.index, route.verdict.clone())).collect();
        (!routes.is_empty()).then_some(JudgedTable { table: row.uid, generation: row.generation, routes })
    });
    let served = |route: &&polyfill::PlannedRoute| route.verdict == polyfill::Verdict::Served;
    let blocked = plan.routes.iter().find_map(|route| match &route.verdict {
        polyfill::Verdict::Blocked(why) => Some((gateway_uid(&route.target)?, *why)),
        _ => None,
    });
    let want = plan.serving.as_ref().and_then(|serving| {
        let mut tables: Vec<_> = plan.routes.iter().filter(served).filter_map(|route| uid_of(&route.table)).collect();
        tables.dedup();
        let addresses = serving.servers.iter().map(|server| server.private_address).collect::<Vec<_>>();
        let gateway = gateway_uid(&serving.gateway)?;
        let servers = standing.servers.iter().filter(|(of, _)| *of == gateway).map(|(_, server)| server);
        let due = servers.filter_map(|server| {
            let place: Place = serde_json::from_value(server.place.clone()).ok()?;
            let made = serde_json::from_value(server.made_with.clone()).ok()?;
            Some((server.role.clone(), polyfill::due(&input, serving, &made, &place, server.version)?))
        });
        Some(Want {
            gateway,
            name: serving.gateway.clone(),
            tables,
            ready: is_ready(context, network, &serving.place),
            foreign: foreign_route(context, network, &addresses),
            place: serving.place.clone(),
            addresses,
            config: serving.config.clone(),
            due: due.collect(),
        })
    });
    let is_crowded = want.as_ref().is_some_and(|want| matches!(want.place, Place::Subnet { .. }))
        || blocked.is_some_and(|(_, why)| why == polyfill::Obstacle::NoAddress);
    let wanted = want.iter().flat_map(|want| want.addresses.iter().copied());
    let addresses: BTreeSet<Ipv4Addr> =
        standing.servers.iter().map(|(_, server)| server.private_address).chain(wanted).collect();
    Some(Judgement {
        tables: tables.collect(),
        want,
        blocked,
        addresses: addresses.into_iter().collect(),
        crowded: is_crowded,
    })
}

/// Whether a route is judged at all.
fn is_a_matter(route: &Route) -> bool {
    matches!(route.target, Target::Gateway(_)) || route.destination.trunc() == EVERYWHERE
}

fn children<'a>(context: &Context<'a>, kind: Kind) -> impl Iterator<Item = &'a Resource> {
    context.bundle().children.iter().filter(move |row| row.key.kind == kind)
}

fn gateway(row: &Resource) -> InternetGateway {
    InternetGateway { name: row.key.name.clone(), pair: is_pair(row), deleting: row.is_deleting() }
}

/// The NAT servers that stand in the planned network, or may.
struct Standing {
    servers: Vec<(control_plane::Uid, NatServer)>,
}

impl Standing {
    fn of(context: &Context<'_>) -> Self {
        let network = context.resource().uid;
        let here = |row: &Resource| -> Vec<GatewayNetwork> {
            InternetGatewayFacts::of(row).networks.into_iter().filter(|part| part.network == network).collect()
        };
        let all = context.bundle().peers.iter().flat_map(|row| here(row).into_iter().map(|part| (row.uid, part)));
        Self {
            servers: all.flat_map(|(uid, part)| part.servers.into_iter().map(move |server| (uid, server))).collect(),
        }
    }

    fn has(&self, address: Ipv4Addr) -> bool {
        self.servers.iter().any(|(_, server)| server.private_address == address)
    }
}

fn input(context: &Context<'_>, network: &hcloud::Network, standing: &Standing) -> polyfill::Network {
    let row = context.resource();
    let subnets: Vec<Subnet> = children(context, Kind::Subnet).filter_map(subnet).collect();
    let workspace = context.bundle().parent(Kind::Workspace);
    // Servers that are to be made stand where the network said before.
    let said = Judgement::of(row).want.map(|want| want.place);
    let place = standing.servers.last().and_then(|(_, server)| serde_json::from_value(server.place.clone()).ok());
    let is_enabled = context.settings.gateway.nat.enabled;
    polyfill::Network {
        name: row.key.name.clone(),
        uid: row.uid.to_string(),
        range: network.ip_range,
        tables: children(context, Kind::RouteTable).map(table).collect(),
        foreign_ranges: foreign_ranges(context, network, &subnets),
        taken: taken(context, network, standing),
        standing: place.or(said.filter(|_| is_enabled)),
        deleting: row.is_deleting() || workspace.is_some_and(Resource::is_deleting),
        subnets,
    }
}

fn subnet(row: &Resource) -> Option<Subnet> {
    let spec: SubnetSpec = row.spec().ok()?;
    let table = spec.route_table_ref.and_then(|table| match table.resolve(&row.key, &[Kind::RouteTable]) {
        Ok(reference::Target::Resource(key)) if key.network == row.key.network => Some(key.name),
        _ => None,
    });
    let range = spec.cidr.ipv4_net()?.trunc();
    Some(Subnet { name: row.key.name.clone(), range, table, deleting: row.is_deleting() })
}

fn table(row: &Resource) -> Table {
    let spec: RouteTableSpec = row.spec().unwrap_or_default();
    // What cannot be read keeps its place: verdicts name routes by it.
    let nowhere = Ipv4Net::from(Ipv4Addr::BROADCAST);
    let routes = spec.routes.iter().map(|route| {
        let target = match route.target_ref.resolve_or_address(&row.key, route_table::TARGETS) {
            Ok(reference::Target::Resource(key))
                if key.kind == Kind::InternetGateway && key.workspace == row.key.workspace =>
            {
                Target::Gateway(key.name)
            }
            _ => Target::Other(route.target_ref.resource.clone()),
        };
        Route { destination: route.destination_cidr_block.parse().unwrap_or(nowhere), target }
    });
    let made = row.created_at.as_millis();
    Table { name: row.key.name.clone(), made, routes: routes.collect(), deleting: row.is_deleting() }
}

/// Subnets at the provider that are nobody's here.
fn foreign_ranges(context: &Context<'_>, network: &hcloud::Network, subnets: &[Subnet]) -> Vec<Ipv4Net> {
    let own = own_ranges(context.resource());
    let remembered: Vec<_> = children(context, Kind::Subnet).filter_map(|row| SubnetFacts::of(row).ip_range).collect();
    let ranges = network.subnets.iter().filter_map(|subnet| subnet.ip_range);
    let is_ours = |range: &Ipv4Net| {
        own.contains(range) || remembered.contains(range) || subnets.iter().any(|subnet| subnet.range == *range)
    };
    ranges.filter(|range| !is_ours(range)).collect()
}

/// The addresses that servers have in the network or that NICs reserve, but for those of the NAT servers.
fn taken(context: &Context<'_>, network: &hcloud::Network, standing: &Standing) -> Vec<Ipv4Addr> {
    let nets = context.snapshot.all::<Server>().filter_map(|server| server.attachment(network.id));
    let all = nets.flat_map(|net| net.ip.into_iter().chain(net.alias_ips.iter().copied()));
    let reserved = children(context, Kind::Subnet).flat_map(|row| SubnetFacts::of(row).reserved);
    all.chain(reserved).filter(|address| !standing.has(*address)).collect()
}

fn is_ready(context: &Context<'_>, network: &hcloud::Network, place: &Place) -> bool {
    match place {
        Place::Range(range) => has_subnet(network, *range),
        // The subnet has to keep them out of its address plan, and to say what its NICs reserve.
        Place::Subnet { name, addresses } => {
            let row = children(context, Kind::Subnet).find(|row| row.key.name == *name);
            row.map(SubnetFacts::of).is_some_and(|facts| {
                let is_there = facts.ip_range.is_some_and(|range| has_subnet(network, range));
                is_there && addresses.iter().all(|address| facts.nat_addresses.contains(address))
            })
        }
    }
}

/// Where the network's route to everywhere leads, if no table made it.
fn foreign_route(context: &Context<'_>, network: &hcloud::Network, own: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    let route = route_to(network, EVERYWHERE).filter(|route| !own.contains(&route.gateway))?;
    let text = route_table::text(route);
    let is_made = children(context, Kind::RouteTable).any(|row| RouteTableFacts::of(row).routes.contains(&text));
    (!is_made).then_some(route.gateway)
}
