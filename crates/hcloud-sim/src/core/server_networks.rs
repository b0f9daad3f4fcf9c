//! Servers in networks: address allocation, attach, detach, alias addresses.

use super::actions::{Effect, Kind, Start};
use super::catalog::zone_of;
use super::http::{Api, ApiError, Reply};
use super::networks::{Network, PUBLIC_GATEWAY, overlap};
use super::servers::{Change, PrivateNet, Server, find};
use super::state::{Cx, Project};
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Networks one server can be attached to.
pub(crate) const MAX_NETWORKS: usize = 3;
/// Resources in one network.
const MAX_RESOURCES: usize = 100;

/// Addresses of a network that servers have, aliases included.
pub(crate) fn taken(project: &Project, network: i64, except: Option<i64>) -> BTreeSet<Ipv4Addr> {
    project
        .servers
        .values()
        .filter(|server| Some(server.id) != except)
        .flat_map(|server| &server.private_net)
        .filter(|net| net.network == network)
        .flat_map(|net| std::iter::once(net.ip).chain(net.alias_ips.iter().copied()))
        .collect()
}

/// Whether a server may have the address: not the router's and, unless the edges are free, not the first or last of its
/// subnet.
fn assignable(network: &Network, subnet: &Ipv4Net, ip: Ipv4Addr, edges: bool) -> bool {
    subnet.contains(&ip)
        && ip != network.gateway()
        && ip != PUBLIC_GATEWAY
        && (edges || (ip != subnet.network() && ip != subnet.broadcast()))
}

/// The address asked for, or the first free one of a subnet in the zone; with the subnet it is in.
pub(crate) fn pick_address(
    cx: &Cx<'_>,
    network: i64,
    zone: &str,
    ip: Option<Ipv4Addr>,
    range: Option<Ipv4Net>,
) -> Api<(Ipv4Addr, Ipv4Net)> {
    let none = |message: &str| ApiError::unprocessable("no_subnet_available", message);
    let found = cx.project.networks.get(&network).ok_or_else(|| ApiError::not_found("network", network))?;
    let taken = taken(cx.project, network, None);
    let edges = cx.shared.switches.subnet_edges_assignable;
    let mut subnets = found
        .subnets
        .iter()
        .filter(|subnet| subnet.zone == zone && range.is_none_or(|range| range == subnet.range))
        .map(|subnet| subnet.range)
        .peekable();
    if subnets.peek().is_none() {
        return Err(none("no subnet of the network is in the server's network zone"));
    }
    match ip {
        Some(ip) => {
            let subnet =
                subnets.find(|subnet| assignable(found, subnet, ip, edges)).ok_or_else(|| not_available(ip))?;
            if taken.contains(&ip) { Err(not_available(ip)) } else { Ok((ip, subnet)) }
        }
        None => subnets
            .find_map(|subnet| {
                let mut all = (u32::from(subnet.network())..=u32::from(subnet.broadcast())).map(Ipv4Addr::from);
                all.find(|ip| assignable(found, &subnet, *ip, edges) && !taken.contains(ip)).map(|ip| (ip, subnet))
            })
            .ok_or_else(|| none("no address is free in the network")),
    }
}

fn not_available(ip: Ipv4Addr) -> ApiError {
    ApiError::unprocessable("ip_not_available", format!("IP {ip} is not available in the network"))
}

/// Gives the server the address, not yet shown; the MAC address is known from now on.
pub(crate) fn reserve(cx: &mut Cx<'_>, server: i64, network: i64, ip: Ipv4Addr, alias_ips: Vec<Ipv4Addr>) {
    let random = cx.shared.rng.next().to_be_bytes();
    let mac = format!("86:00:00:{:02x}:{:02x}:{:02x}", random[0], random[1], random[2]);
    if let Some(server) = cx.project.servers.get_mut(&server) {
        server.private_net.push(PrivateNet { network, ip, alias_ips, mac, ready: false });
    }
}

fn parse_ip(field: &str, text: &str) -> Api<Ipv4Addr> {
    text.parse().map_err(|_| ApiError::invalid(field, "must be an IPv4 address"))
}

pub(crate) fn attach(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let network = input.required_integer("network");
    let (ip, range) = (input.text("ip"), input.text("ip_range"));
    let aliases = input.texts("alias_ips").unwrap_or_default();
    input.check()?;
    let ip = ip.filter(|ip| !ip.is_empty() && ip != "0.0.0.0").map(|ip| parse_ip("ip", &ip)).transpose()?;
    let range = range
        .filter(|range| !range.is_empty())
        .map(|range| range.parse().map_err(|_| ApiError::invalid("ip_range", "must be an IPv4 range in CIDR notation")))
        .transpose()?;
    let zone = check_attach(cx, id, network)?;
    let (ip, subnet) = pick_address(cx, network, zone, ip, range)?;
    let aliases = check_aliases(cx, id, network, &subnet, ip, &aliases)?;
    reserve(cx, id, network, ip, aliases);
    let start = Start::new("attach_to_network", Effect::Server(id, Change::NetworkReady(network)));
    Ok(cx.action_reply(start.on(Kind::Server, id).about(Kind::Network, network)))
}

/// Fails unless the server can join the network now; returns the server's zone.
fn check_attach(cx: &Cx<'_>, id: i64, network: i64) -> Api<&'static str> {
    let project = &*cx.project;
    let server = find(cx, id)?;
    project.check_unlocked(Kind::Server, id)?;
    let wanted = project.networks.get(&network).ok_or_else(|| ApiError::not_found("network", network))?;
    if server.private_net.iter().any(|net| net.network == network) {
        return Err(ApiError::unprocessable("server_already_attached", "server is already attached to the network"));
    }
    if server.private_net.len() >= MAX_NETWORKS {
        return Err(ApiError::limit("server_network_limit"));
    }
    let joined: Vec<i64> = server.private_net.iter().map(|net| net.network).collect();
    project.check_join(&joined, wanted)?;
    Ok(zone_of(&server.location))
}

impl Project {
    /// Fails unless a server that is in `joined` already can be attached to the network now.
    pub(crate) fn check_join(&self, joined: &[i64], network: &Network) -> Api<()> {
        let mut joined = joined.iter().filter_map(|id| self.networks.get(id));
        if joined.any(|other| overlap(&other.range, &network.range)) {
            return Err(ApiError::unprocessable("networks_overlap", "the network overlaps with another of the server"));
        }
        let is_member = |server: &&Server| server.private_net.iter().any(|net| net.network == network.id);
        if self.servers.values().filter(is_member).count() >= MAX_RESOURCES {
            return Err(ApiError::limit("network_resource_limit"));
        }
        self.check_network_shape(network.id)
    }
}

fn check_aliases(
    cx: &Cx<'_>,
    server: i64,
    network: i64,
    subnet: &Ipv4Net,
    ip: Ipv4Addr,
    aliases: &[String],
) -> Api<Vec<Ipv4Addr>> {
    let found = cx.project.networks.get(&network).ok_or_else(|| ApiError::not_found("network", network))?;
    let mut seen = taken(cx.project, network, Some(server));
    seen.insert(ip);
    aliases
        .iter()
        .map(|text| {
            let alias = parse_ip("alias_ips", text)?;
            if !assignable(found, subnet, alias, cx.shared.switches.subnet_edges_assignable) || !seen.insert(alias) {
                return Err(not_available(alias));
            }
            Ok(alias)
        })
        .collect()
}

/// The server's interface in the network; fails when there is none or the server is locked.
fn interface<'a>(cx: &'a Cx<'_>, id: i64, network: i64) -> Api<&'a PrivateNet> {
    let server = find(cx, id)?;
    cx.project.check_unlocked(Kind::Server, id)?;
    server
        .private_net
        .iter()
        .find(|net| net.network == network)
        .ok_or_else(|| ApiError::new(404, "not_found", "server is not attached to the network"))
}

pub(crate) fn detach(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let network = input.required_integer("network");
    input.check()?;
    interface(cx, id, network)?;
    cx.project.check_network_shape(network)?;
    let start = Start::new("detach_from_network", Effect::Server(id, Change::NetworkGone(network)));
    Ok(cx.action_reply(start.on(Kind::Server, id).about(Kind::Network, network)))
}

pub(crate) fn change_alias_ips(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let network = input.required_integer("network");
    let aliases = input.texts("alias_ips").unwrap_or_default();
    input.check()?;
    let ip = interface(cx, id, network)?.ip;
    cx.project.check_network_shape(network)?;
    let subnet = cx
        .project
        .networks
        .get(&network)
        .and_then(|network| network.subnets.iter().find(|subnet| subnet.range.contains(&ip)))
        .map(|subnet| subnet.range)
        .ok_or_else(|| ApiError::unprocessable("no_subnet_available", "the server's subnet is gone"))?;
    let ips = check_aliases(cx, id, network, &subnet, ip, &aliases)?;
    let start = Start::new("change_alias_ips", Effect::Server(id, Change::AliasIps { network, ips }));
    Ok(cx.action_reply(start.on(Kind::Server, id).about(Kind::Network, network)))
}
