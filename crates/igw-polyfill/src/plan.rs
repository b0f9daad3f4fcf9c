//! What a network's gateway comes to: which tables count, where its servers stand, whose packets they forward.
//!
//! A network has one route to `0.0.0.0/0` at Hetzner Cloud, so it has one gateway: that of the oldest table that a live
//! subnet names and that has such a route. Everything here follows from that.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{
    lifecycle::Side,
    nat::{self, FirewallRule, NatConfig},
    ranges::{highest_addresses, highest_free, overlap, without},
};

/// The one destination that can point to a gateway.
pub const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// The length of the range that a network's gateway gets of its own.
const RANGE_PREFIX: u8 = 28;

/// What an operator chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether new servers are made. Existing ones stay whatever it says.
    pub enabled: bool,
    /// The server types, the first choice first.
    pub server_types: Vec<String>,
    /// The blocks that may reach the servers' SSH port.
    pub ssh_from: Vec<Ipv4Net>,
    /// The blocks that may probe the servers.
    pub health_from: Vec<Ipv4Net>,
}

impl Default for Settings {
    fn default() -> Self {
        let server_types = ["cx23", "cax11", "cpx12", "cpx11", "cpx22"].map(str::to_owned).to_vec();
        Self { enabled: false, server_types, ssh_from: Vec::new(), health_from: Vec::new() }
    }
}

/// A network and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name, for sentences.
    pub name: String,
    /// Its identity, for roles: the UID, with or without dashes.
    pub uid: String,
    /// Its range at Hetzner Cloud.
    pub range: Ipv4Net,
    /// Its subnets.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// Its route tables.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// Ranges at Hetzner Cloud that are neither a SECA subnet nor the gateway's own, such as a person's.
    #[serde(default)]
    pub foreign_ranges: Vec<Ipv4Net>,
    /// Addresses that something has or that are promised to it, without those of the gateway's servers.
    #[serde(default)]
    pub taken: Vec<Ipv4Addr>,
    /// Where the servers stand now, as the network or the subnet published it.
    #[serde(default)]
    pub standing: Option<Place>,
    /// Whether it is being deleted, or its workspace is.
    #[serde(default)]
    pub deleting: bool,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its name.
    pub name: String,
    /// Its range.
    pub range: Ipv4Net,
    /// The name of its route table. Without one it has local routes only.
    #[serde(default)]
    pub table: Option<String>,
    /// Whether it is being deleted.
    #[serde(default)]
    pub deleting: bool,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// When it was made, in any unit: the lower, the older. Names decide between equals.
    pub made: i64,
    /// Its routes.
    pub routes: Vec<Route>,
    /// Whether it is being deleted.
    #[serde(default)]
    pub deleting: bool,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its destination.
    pub destination: Ipv4Net,
    /// Where it leads.
    pub target: Target,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The internet gateway of this name.
    Gateway(String),
    /// Something else, as it was written.
    Other(String),
}

impl Target {
    fn text(&self) -> &str {
        match self {
            Self::Gateway(name) | Self::Other(name) => name,
        }
    }
}

/// An internet gateway of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGateway {
    /// Its name.
    pub name: String,
    /// Whether it has two servers (extension `hetzner.cloud/gateway-ha: "true"`).
    #[serde(default)]
    pub pair: bool,
    /// Whether it is being deleted.
    #[serde(default)]
    pub deleting: bool,
}

/// Where the servers of a network's gateway stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a range of their own, which the network publishes.
    Range(Ipv4Net),
    /// At addresses of a subnet, which that subnet publishes as taken.
    Subnet {
        /// The subnet's name.
        name: String,
        /// The addresses, that of the first server first.
        addresses: Vec<Ipv4Addr>,
    },
}

impl Place {
    /// The addresses of the first and the second server.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        match self {
            // The first host is left alone: in a subnet it looks like a router's address.
            Self::Range(range) => range.hosts().skip(1).take(2).collect(),
            Self::Subnet { addresses, .. } => addresses.clone(),
        }
    }
}

/// What a network's gateway comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What is wanted of servers and what belongs to them. None: nothing is wanted.
    pub serving: Option<Serving>,
    /// Why nothing can be wanted although a route asks for it.
    pub obstacle: Option<Obstacle>,
    /// Every route to a gateway, or to everywhere, in the order of tables and routes.
    pub routes: Vec<PlannedRoute>,
}

/// Servers of a gateway in a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Serving {
    /// The gateway.
    pub gateway: String,
    /// The table that the route belongs to.
    pub table: String,
    /// Where the servers stand.
    pub place: Place,
    /// The Primary IPv4 addresses, by role, which outlive the servers.
    pub addresses: Vec<String>,
    /// The role of the firewall.
    pub firewall: String,
    /// Its rules.
    pub firewall_rules: Vec<FirewallRule>,
    /// The role of the spread placement group, where there are two servers.
    pub placement_group: Option<String>,
    /// The servers. The first is the route's target as long as it is up.
    pub servers: Vec<Server>,
    /// What differs between NAT servers. Its text is the user data of each of them.
    pub config: NatConfig,
    /// Live subnets that use it.
    pub users: Vec<String>,
}

impl Serving {
    /// The route at Hetzner Cloud, destination and next hop, when this side has the traffic. It belongs to the table.
    pub fn route(&self, side: Side) -> Option<(Ipv4Net, Ipv4Addr)> {
        let server = match side {
            Side::A => self.servers.first(),
            Side::B => self.servers.get(1),
        };
        server.map(|server| (EVERYWHERE, server.private_address))
    }
}

/// A NAT server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its role.
    pub role: String,
    /// The role of its Primary IPv4.
    pub address_role: String,
    /// Its address in the network.
    pub private_address: Ipv4Addr,
    /// Its image.
    pub image: &'static str,
}

/// Why there is no server although one is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// The operator does not let the proxy run NAT servers.
    Disabled,
    /// Neither the network nor a subnet that uses the gateway has a free address (two for a pair).
    NoAddress,
}

/// A route, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRoute {
    /// Its table.
    pub table: String,
    /// Its place in the table.
    pub index: usize,
    /// Its target as it was written.
    pub target: String,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It leads to the gateway's servers. It is in effect when one is up and Hetzner's route leads there.
    Served,
    /// It is not the gateway's, and is judged elsewhere.
    Elsewhere,
    /// No live subnet names its table.
    NotNamed,
    /// An older table sends the same destination elsewhere.
    Conflict {
        /// The older table.
        table: String,
        /// Its target.
        target: String,
    },
    /// Only everywhere can point to a gateway.
    NotEverywhere,
    /// The gateway does not exist.
    Missing,
    /// The gateway or the network is being deleted.
    Ending,
    /// Nothing serves it.
    Blocked(Obstacle),
}

/// What the gateway of a network comes to.
pub fn plan(network: &Network, gateways: &[InternetGateway], settings: &Settings) -> Plan {
    let mut tables: Vec<&Table> = network.tables.iter().collect();
    tables.sort_by_key(|table| (table.made, &table.name));
    let winner = tables.iter().find_map(|table| claim(network, gateways, table));
    let gateway = winner.and_then(|claim| claim.gateway);
    let serving = winner.zip(gateway).map(|(claim, gateway)| serve(network, claim.table, gateway, settings));
    let (serving, obstacle) = match serving {
        None => (None, None),
        Some(Ok(serving)) => (Some(serving), None),
        Some(Err(obstacle)) => (None, Some(obstacle)),
    };
    let routes = tables.iter().flat_map(|table| {
        table.routes.iter().enumerate().filter_map(move |(index, route)| {
            let verdict = verdict(network, gateways, table, route, winner, obstacle)?;
            let target = route.target.text().to_owned();
            Some(PlannedRoute { table: table.name.clone(), index, target, verdict })
        })
    });
    Plan { serving, obstacle, routes: routes.collect() }
}

/// A table's claim to the network's route to everywhere.
#[derive(Clone, Copy)]
struct Claim<'a> {
    table: &'a Table,
    target: &'a Target,
    /// None where the target is no gateway.
    gateway: Option<&'a InternetGateway>,
}

fn claim<'a>(network: &Network, gateways: &'a [InternetGateway], table: &'a Table) -> Option<Claim<'a>> {
    if network.deleting || !is_named(network, table) {
        return None;
    }
    table.routes.iter().filter(|route| route.destination.trunc() == EVERYWHERE).find_map(|route| {
        let target = &route.target;
        match target {
            Target::Other(_) => Some(Claim { table, target, gateway: None }),
            // A gateway that is not there, or is leaving, claims nothing.
            Target::Gateway(name) => {
                let gateway = gateways.iter().find(|gateway| gateway.name == *name && !gateway.deleting)?;
                Some(Claim { table, target, gateway: Some(gateway) })
            }
        }
    })
}

/// Whether a live subnet names a table that stays.
fn is_named(network: &Network, table: &Table) -> bool {
    let names = |subnet: &&Subnet| subnet.table.as_ref() == Some(&table.name);
    !table.deleting && network.subnets.iter().filter(names).any(|subnet| !subnet.deleting)
}

fn verdict(
    network: &Network,
    gateways: &[InternetGateway],
    table: &Table,
    route: &Route,
    winner: Option<Claim<'_>>,
    obstacle: Option<Obstacle>,
) -> Option<Verdict> {
    let is_everywhere = route.destination.trunc() == EVERYWHERE;
    let conflict = winner
        .filter(|winner| is_everywhere && *winner.target != route.target)
        .map(|winner| Verdict::Conflict { table: winner.table.name.clone(), target: winner.target.text().to_owned() });
    let Target::Gateway(name) = &route.target else {
        let is_live = is_everywhere && is_named(network, table);
        return is_live.then(|| conflict.unwrap_or(Verdict::Elsewhere));
    };
    let gateway = gateways.iter().find(|gateway| gateway.name == *name);
    Some(match gateway {
        _ if !is_everywhere => Verdict::NotEverywhere,
        None => Verdict::Missing,
        Some(gateway) if gateway.deleting || network.deleting => Verdict::Ending,
        Some(_) if !is_named(network, table) => Verdict::NotNamed,
        Some(_) => conflict.or(obstacle.map(Verdict::Blocked)).unwrap_or(Verdict::Served),
    })
}

fn serve(
    network: &Network,
    table: &Table,
    gateway: &InternetGateway,
    settings: &Settings,
) -> Result<Serving, Obstacle> {
    if !settings.enabled && network.standing.is_none() {
        return Err(Obstacle::Disabled);
    }
    let users: Vec<&Subnet> = network.subnets.iter().filter(|subnet| uses(network, subnet, &gateway.name)).collect();
    let count = if gateway.pair { 2 } else { 1 };
    let place = place(network, &users, count).ok_or(Obstacle::NoAddress)?;
    let config = NatConfig {
        sources: sources(network, &users, &place),
        ssh_from: settings.ssh_from.clone(),
        health_from: settings.health_from.clone(),
    };
    let roles = Roles::of(network);
    let servers: Vec<Server> = if gateway.pair {
        let sides = [(roles.server_a(), roles.address()), (roles.server_b(), roles.address_b())];
        sides.into_iter().zip(place.addresses()).map(|((role, ip), address)| server(role, ip, address)).collect()
    } else {
        place.addresses().into_iter().take(1).map(|it| server(roles.server(), roles.address(), it)).collect()
    };
    Ok(Serving {
        gateway: gateway.name.clone(),
        table: table.name.clone(),
        addresses: servers.iter().map(|server| server.address_role.clone()).collect(),
        firewall: roles.firewall(),
        firewall_rules: config.firewall(),
        placement_group: gateway.pair.then(|| roles.placement_group()),
        servers,
        config,
        users: users.iter().filter(|subnet| !subnet.deleting).map(|subnet| subnet.name.clone()).collect(),
        place,
    })
}

fn server(role: String, address_role: String, private_address: Ipv4Addr) -> Server {
    Server { role, address_role, private_address, image: nat::IMAGE }
}

/// Whether a subnet's own table sends everything to this gateway. A subnet that is leaving still has guests.
fn uses(network: &Network, subnet: &Subnet, gateway: &str) -> bool {
    let Some(table) = network.tables.iter().find(|table| Some(&table.name) == subnet.table.as_ref()) else {
        return false;
    };
    let is_to = |route: &Route| route.destination.trunc() == EVERYWHERE;
    let to = table.routes.iter().find(|route| is_to(route)).map(|route| &route.target);
    !table.deleting && matches!(to, Some(Target::Gateway(name)) if name == gateway)
}

/// Where the servers stand: where they are, as long as nothing takes that place; else in a range of their own; else in
/// a subnet that uses the gateway and stays.
fn place(network: &Network, users: &[&Subnet], count: usize) -> Option<Place> {
    let taken: Vec<Ipv4Net> =
        network.subnets.iter().map(|subnet| subnet.range).chain(network.foreign_ranges.iter().copied()).collect();
    match &network.standing {
        Some(Place::Range(range)) if !taken.iter().any(|block| overlap(*block, *range)) => {
            return network.standing.clone();
        }
        Some(Place::Subnet { name, addresses }) if addresses.len() >= count => {
            let subnet = users.iter().find(|subnet| subnet.name == *name && !subnet.deleting);
            let is_free = |address: &Ipv4Addr| {
                subnet.is_some_and(|subnet| subnet.range.contains(address)) && !network.taken.contains(address)
            };
            if addresses.iter().take(count).all(is_free) {
                return network.standing.clone();
            }
        }
        _ => {}
    }
    // An address outside of every subnet blocks its range as well.
    let lone = network.taken.iter().copied().map(Ipv4Net::from);
    let blocks: Vec<Ipv4Net> = taken.iter().copied().chain(lone).collect();
    if let Some(range) = highest_free(network.range, RANGE_PREFIX, &blocks) {
        return Some(Place::Range(range));
    }
    users.iter().filter(|subnet| !subnet.deleting).find_map(|subnet| {
        let addresses = highest_addresses(subnet.range, network.range, &network.taken, count);
        (addresses.len() == count).then(|| Place::Subnet { name: subnet.name.clone(), addresses })
    })
}

/// Exactly the ranges that use the gateway, and range that no subnet has: so a subnet that is made later and uses the
/// gateway can leave at once, and the servers need not be made again for it.
fn sources(network: &Network, users: &[&Subnet], place: &Place) -> Vec<Ipv4Net> {
    let is_user = |subnet: &&Subnet| users.iter().any(|user| user.name == subnet.name);
    let others = network.subnets.iter().filter(|subnet| !is_user(subnet)).map(|subnet| subnet.range);
    let own = match place {
        Place::Range(range) => Some(*range),
        Place::Subnet { .. } => None,
    };
    let holes: Vec<Ipv4Net> = others.chain(network.foreign_ranges.iter().copied()).chain(own).collect();
    without(network.range, &holes)
}

/// Why the servers must be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// These subnets use the gateway, and their packets are not forwarded.
    Closed(Vec<String>),
    /// These subnets do not use the gateway, and can leave by it.
    Open(Vec<String>),
    /// The lists of who may reach the servers changed.
    AllowLists,
    /// The texts are older than this release's.
    Version,
    /// Something took their place.
    Place,
}

/// Whether servers that were made with `made`, at `place`, of this version of the texts, must be made again. Sources
/// that grew because a subnet left are no reason.
pub fn due(network: &Network, serving: &Serving, made: &NatConfig, place: &Place, version: u32) -> Option<Due> {
    if *place != serving.place {
        return Some(Due::Place);
    }
    let (users, others): (Vec<&Subnet>, Vec<&Subnet>) =
        network.subnets.iter().partition(|subnet| uses(network, subnet, &serving.gateway));
    let names = |subnets: Vec<&Subnet>| subnets.iter().map(|subnet| subnet.name.clone()).collect::<Vec<_>>();
    let is_open = |subnet: &&Subnet| made.sources.iter().any(|source| overlap(*source, subnet.range));
    let is_closed = |subnet: &&Subnet| !without(subnet.range, &made.sources).is_empty();
    let closed = names(users.into_iter().filter(is_closed).collect());
    if !closed.is_empty() {
        return Some(Due::Closed(closed));
    }
    let open = names(others.into_iter().filter(is_open).collect());
    if !open.is_empty() {
        return Some(Due::Open(open));
    }
    if made.ssh_from != serving.config.ssh_from || made.health_from != serving.config.health_from {
        return Some(Due::AllowLists);
    }
    (version < nat::VERSION).then_some(Due::Version)
}

/// The server types to try, the first choice first: those that the location sells and that were not refused for lack of
/// capacity in this round.
pub fn candidates<'a>(settings: &'a Settings, sold: &[String], refused: &[String]) -> Vec<&'a str> {
    settings
        .server_types
        .iter()
        .filter(|name| sold.contains(name) && !refused.contains(name))
        .map(String::as_str)
        .collect()
}

/// The names of a network's parts of a gateway, as roles of the gateway's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(String);

impl Roles {
    /// Those of this network.
    pub fn of(network: &Network) -> Self {
        Self::of_uid(&network.uid)
    }

    /// Those of the network of this identity, with or without dashes.
    pub fn of_uid(uid: &str) -> Self {
        Self(uid.chars().filter(|letter| *letter != '-').collect())
    }

    /// A single server.
    pub fn server(&self) -> String {
        format!("nat.{}", self.0)
    }

    /// The first server of a pair, and a replacement's other side.
    pub fn server_a(&self) -> String {
        format!("nat.{}.a", self.0)
    }

    /// The second server of a pair.
    pub fn server_b(&self) -> String {
        format!("nat.{}.b", self.0)
    }

    /// The Primary IPv4 of a single server, and of the first of a pair.
    pub fn address(&self) -> String {
        format!("nat-ip.{}", self.0)
    }

    /// The Primary IPv4 of the second server of a pair.
    pub fn address_b(&self) -> String {
        format!("nat-ip.{}.b", self.0)
    }

    /// The firewall. Its rules are the same in every network, so a gateway has one.
    pub fn firewall(&self) -> String {
        "nat-fw".to_owned()
    }

    /// The placement group of a pair.
    pub fn placement_group(&self) -> String {
        format!("nat-pg.{}", self.0)
    }
}
