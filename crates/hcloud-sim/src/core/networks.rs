//! Networks: a private range with subnets and one flat set of routes.
//!
//! A network has no lock. A change to its shape (subnets, routes, range) while another runs is a `conflict`, and so is
//! a change while servers are being attached or an attachment while the shape changes. Attachments of different
//! servers run side by side.

use super::actions::{Effect, Kind, Start};
use super::catalog::LOCATIONS;
use super::clock::Time;
use super::http::{Api, ApiError, Reply};
use super::input::Input;
use super::labels::Labels;
use super::query::ListSpec;
use super::server_networks::taken;
use super::servers;
use super::state::{Cx, Project, check_name};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const MAX_SUBNETS: usize = 50;
const MAX_ROUTES: usize = 100;
/// The gateway of the public interface; no private address may be it.
pub(crate) const PUBLIC_GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subnet {
    kind: String,
    pub(crate) range: Ipv4Net,
    pub(crate) zone: String,
    vswitch: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    destination: Ipv4Net,
    gateway: Ipv4Addr,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    created: Time,
    pub(crate) range: Ipv4Net,
    pub(crate) subnets: Vec<Subnet>,
    routes: Vec<Route>,
    expose_routes: bool,
    pub(crate) protected: bool,
}

/// What a finished action does to a network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    AddSubnet(Subnet),
    DeleteSubnet(Ipv4Net),
    AddRoute(Route),
    DeleteRoute(Route),
    Range(Ipv4Net),
    Protect(bool),
}

impl Network {
    /// The first address of the range: the network's router.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.range.network()).saturating_add(1))
    }

    fn json(&self, project: &Project) -> Value {
        let servers: Vec<i64> = project
            .servers
            .values()
            .filter(|server| server.private_net.iter().any(|net| net.network == self.id && net.ready))
            .map(|server| server.id)
            .collect();
        let subnet = |subnet: &Subnet| {
            json!({
                "type": subnet.kind, "ip_range": subnet.range.to_string(), "network_zone": subnet.zone,
                "gateway": self.gateway().to_string(), "vswitch_id": subnet.vswitch,
            })
        };
        let route =
            |route: &Route| json!({"destination": route.destination.to_string(), "gateway": route.gateway.to_string()});
        json!({
            "id": self.id, "name": self.name, "ip_range": self.range.to_string(),
            "subnets": self.subnets.iter().map(subnet).collect::<Vec<_>>(),
            "routes": self.routes.iter().map(route).collect::<Vec<_>>(),
            "servers": servers, "load_balancers": [], "protection": {"delete": self.protected},
            "labels": self.labels, "created": self.created.rfc3339(),
            "expose_routes_to_vswitch": self.expose_routes,
        })
    }

    fn check_subnet(&self, subnet: &Subnet) -> Api<()> {
        let refuse = |message: &str| Err(ApiError::invalid("ip_range", message));
        if !self.range.contains(&subnet.range) {
            return refuse("subnet must be inside the network's ip_range");
        }
        if subnet.range.prefix_len() > 30 {
            return refuse("minimum subnet size is /30");
        }
        if self.subnets.iter().any(|other| overlap(&other.range, &subnet.range)) {
            return refuse("subnet overlaps with an existing subnet");
        }
        if self.routes.iter().any(|route| !is_default(&route.destination) && overlap(&route.destination, &subnet.range))
        {
            return refuse("subnet overlaps with the destination of a route");
        }
        if self.subnets.len() >= MAX_SUBNETS {
            return Err(ApiError::limit("network_subnet_limit"));
        }
        Ok(())
    }

    fn check_route(&self, route: &Route) -> Api<()> {
        let refuse = |field: &str, message: &str| Err(ApiError::invalid(field, message));
        let to = &route.destination;
        if !is_default(to) && !is_private(to) {
            return refuse("destination", "must be in a private range of RFC 1918 or 0.0.0.0/0");
        }
        if !is_default(to) && self.subnets.iter().any(|subnet| overlap(&subnet.range, to)) {
            return refuse("destination", "overlaps with a subnet");
        }
        let taken = |other: &Route| {
            other.destination == *to
                || (!is_default(to) && !is_default(&other.destination) && overlap(&other.destination, to))
        };
        if self.routes.iter().any(taken) {
            return refuse("destination", "overlaps with the destination of another route");
        }
        if !is_default(to) && to.contains(&PUBLIC_GATEWAY) {
            return refuse("destination", "overlaps with 172.31.1.1");
        }
        if route.gateway == self.gateway() || route.gateway == PUBLIC_GATEWAY {
            return refuse("gateway", "must be neither the first IP of the network nor 172.31.1.1");
        }
        if !self.range.contains(&route.gateway) {
            return refuse("gateway", "must be inside the network's ip_range");
        }
        if self.routes.len() >= MAX_ROUTES {
            return Err(ApiError::limit("network_route_limit"));
        }
        Ok(())
    }

    /// The first /24 of the range that overlaps nothing.
    fn free_subnet(&self) -> Option<Ipv4Net> {
        self.range.subnets(24).ok()?.find(|range| {
            !self.subnets.iter().any(|subnet| overlap(&subnet.range, range))
                && !self
                    .routes
                    .iter()
                    .any(|route| !is_default(&route.destination) && overlap(&route.destination, range))
        })
    }
}

pub(crate) fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

fn is_default(range: &Ipv4Net) -> bool {
    range.prefix_len() == 0
}

fn is_private(range: &Ipv4Net) -> bool {
    let network = range.network();
    let least = match network.octets() {
        [10, ..] => 8,
        [172, second, ..] if (16..32).contains(&second) => 12,
        [192, 168, ..] => 16,
        _ => return false,
    };
    range.prefix_len() >= least
}

/// A range without host bits.
fn parse_range(field: &str, text: &str) -> Api<Ipv4Net> {
    let range: Ipv4Net =
        text.parse().map_err(|_| ApiError::invalid(field, "must be an IPv4 range in CIDR notation"))?;
    if range.addr() != range.network() {
        return Err(ApiError::invalid(field, "must have no host bits set"));
    }
    Ok(range)
}

fn parse_network_range(text: &str) -> Api<Ipv4Net> {
    let range = parse_range("ip_range", text)?;
    if !is_private(&range) {
        return Err(ApiError::invalid("ip_range", "must be in a private range of RFC 1918"));
    }
    if range.prefix_len() > 24 {
        return Err(ApiError::invalid("ip_range", "minimum network size is /24"));
    }
    Ok(range)
}

fn parse_subnet(network: &Network, input: &mut Input) -> Api<Subnet> {
    let (kind, zone) = (input.required_text("type"), input.required_text("network_zone"));
    let (range, vswitch) = (input.text("ip_range"), input.integer("vswitch_id"));
    if !["cloud", "server", "vswitch"].contains(&kind.as_str()) {
        input.reject("type", "must be one of cloud, server, vswitch");
    }
    if !LOCATIONS.iter().any(|location| location.zone == zone) {
        input.reject("network_zone", "network zone not found");
    }
    if kind == "vswitch" && vswitch.is_none() {
        input.reject("vswitch_id", "Missing data for required field.");
    }
    input.check()?;
    let range = match range {
        Some(text) => parse_range("ip_range", &text)?,
        None => network.free_subnet().ok_or_else(|| ApiError::invalid("ip_range", "no free /24 range left"))?,
    };
    Ok(Subnet { kind, range, zone, vswitch })
}

fn parse_route(input: &mut Input) -> Api<Route> {
    let (destination, gateway) = (input.required_text("destination"), input.required_text("gateway"));
    input.check()?;
    Ok(Route {
        destination: parse_range("destination", &destination)?,
        gateway: gateway.parse().map_err(|_| ApiError::invalid("gateway", "must be an IPv4 address"))?,
    })
}

fn nested(value: &Value) -> Input {
    Input::new(value.as_object().cloned().unwrap_or_default())
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec { key: "networks", filters: &["name"], sorts: &["id", "name", "created"], labels: true };
    cx.list(&spec, cx.project.networks.values().map(|network| network.json(cx.project)).collect())
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    Ok(Reply::ok(json!({"network": find(cx, id)?.json(cx.project)})))
}

fn find<'a>(cx: &'a Cx<'_>, id: i64) -> Api<&'a Network> {
    cx.project.networks.get(&id).ok_or_else(|| ApiError::not_found("network", id))
}

pub(crate) fn create(cx: &mut Cx<'_>) -> Api<Reply> {
    let mut input = cx.input();
    let (name, range) = (input.required_text("name"), input.required_text("ip_range"));
    let (subnets, routes) = (input.array("subnets").unwrap_or_default(), input.array("routes").unwrap_or_default());
    let expose_routes = input.flag("expose_routes_to_vswitch").unwrap_or(false);
    let labels = input.labels().unwrap_or_default();
    if name.is_empty() && input.get("name").is_some() {
        input.reject("name", "must not be empty");
    }
    input.check()?;
    let range = parse_network_range(&range)?;
    let networks = &cx.project.networks;
    check_name(networks.values().map(|network| (network.id, network.name.as_str())), None, &name, "network")?;
    cx.project.check_limit("network_limit", networks.len())?;
    let mut network = Network {
        id: 0,
        name,
        labels,
        created: cx.now,
        range,
        subnets: Vec::new(),
        routes: Vec::new(),
        expose_routes,
        protected: false,
    };
    for subnet in &subnets {
        let subnet = parse_subnet(&network, &mut nested(subnet))?;
        network.check_subnet(&subnet)?;
        network.subnets.push(subnet);
    }
    for route in &routes {
        let route = parse_route(&mut nested(route))?;
        network.check_route(&route)?;
        check_gateway(cx, network.id, &route)?;
        network.routes.push(route);
    }
    network.id = cx.shared.id();
    let reply = Reply::created(json!({"network": network.json(cx.project)}));
    cx.project.networks.insert(network.id, network);
    Ok(reply)
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (name, labels, expose) = (input.text("name"), input.labels(), input.flag("expose_routes_to_vswitch"));
    input.check()?;
    find(cx, id)?;
    cx.project.check_network_shape(id)?;
    if let Some(name) = &name {
        let networks = cx.project.networks.values();
        check_name(networks.map(|network| (network.id, network.name.as_str())), Some(id), name, "network")?;
    }
    if let Some(network) = cx.project.networks.get_mut(&id) {
        network.name = name.unwrap_or_else(|| network.name.clone());
        network.labels = labels.unwrap_or_else(|| network.labels.clone());
        network.expose_routes = expose.unwrap_or(network.expose_routes);
    }
    get(cx, id)
}

/// Resources are detached by the delete.
pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    if find(cx, id)?.protected {
        return Err(ApiError::protected("network"));
    }
    cx.project.check_quiet_network(id)?;
    remove(cx, id);
    Ok(Reply::no_content())
}

/// Takes the network away from everything that uses it.
pub(crate) fn remove(cx: &mut Cx<'_>, id: i64) {
    cx.project.networks.remove(&id);
    for server in cx.project.servers.values_mut() {
        server.private_net.retain(|net| net.network != id);
    }
}

impl Project {
    /// Fails while the shape of the network is being changed.
    pub(crate) fn check_network_shape(&self, id: i64) -> Api<()> {
        if self.is_locked(Kind::Network, id) { Err(ApiError::conflict("network")) } else { Ok(()) }
    }

    /// Fails while anything is being changed on the network, attachments included.
    fn check_quiet_network(&self, id: i64) -> Api<()> {
        let busy = self.running.iter().any(|action| self.actions[action].resources.contains(&(Kind::Network, id)));
        if busy { Err(ApiError::conflict("network")) } else { Ok(()) }
    }
}

/// Routes `POST /networks/{id}/actions/{name}`; `None` when there is no such action.
pub(crate) fn action(cx: &mut Cx<'_>, id: i64, name: &str) -> Option<Api<Reply>> {
    let plan: fn(&Cx<'_>, i64, &mut Input) -> Api<Change> = match name {
        "add_subnet" => add_subnet,
        "delete_subnet" => delete_subnet,
        "add_route" => add_route,
        "delete_route" => delete_route,
        "change_ip_range" => change_ip_range,
        "change_protection" => change_protection,
        _ => return None,
    };
    let mut input = cx.input();
    Some(plan(cx, id, &mut input).and_then(|change| {
        cx.project.check_quiet_network(id)?;
        Ok(cx.action_reply(Start::new(name, Effect::Network(id, change)).on(Kind::Network, id)))
    }))
}

fn add_subnet(cx: &Cx<'_>, id: i64, input: &mut Input) -> Api<Change> {
    let network = find(cx, id)?;
    let subnet = parse_subnet(network, input)?;
    network.check_subnet(&subnet)?;
    Ok(Change::AddSubnet(subnet))
}

fn delete_subnet(cx: &Cx<'_>, id: i64, input: &mut Input) -> Api<Change> {
    let range = input.required_text("ip_range");
    input.check()?;
    let range = parse_range("ip_range", &range)?;
    if !find(cx, id)?.subnets.iter().any(|subnet| subnet.range == range) {
        return Err(ApiError::new(404, "not_found", format!("subnet {range} not found")));
    }
    if servers::any_in(cx, id, &range) {
        return Err(ApiError::unprocessable("service_error", "servers are attached"));
    }
    Ok(Change::DeleteSubnet(range))
}

fn add_route(cx: &Cx<'_>, id: i64, input: &mut Input) -> Api<Change> {
    let network = find(cx, id)?;
    let route = parse_route(input)?;
    network.check_route(&route)?;
    check_gateway(cx, id, &route)?;
    Ok(Change::AddRoute(route))
}

/// Fails when the switch wants a server that has the gateway's address, and there is none.
fn check_gateway(cx: &Cx<'_>, network: i64, route: &Route) -> Api<()> {
    let required = cx.shared.switches.route_gateway_must_exist;
    if required && !taken(cx.project, network, None).contains(&route.gateway) {
        return Err(ApiError::invalid("gateway", "no server of the network has this address"));
    }
    Ok(())
}

fn delete_route(cx: &Cx<'_>, id: i64, input: &mut Input) -> Api<Change> {
    let network = find(cx, id)?;
    let route = parse_route(input)?;
    if !network.routes.contains(&route) {
        return Err(ApiError::new(404, "not_found", format!("route to {} not found", route.destination)));
    }
    Ok(Change::DeleteRoute(route))
}

fn change_ip_range(cx: &Cx<'_>, id: i64, input: &mut Input) -> Api<Change> {
    let network = find(cx, id)?;
    let text = input.required_text("ip_range");
    input.check()?;
    let range = parse_network_range(&text)?;
    if range.network() != network.range.network() || range.prefix_len() > network.range.prefix_len() {
        return Err(ApiError::invalid("ip_range", "a network can only be extended, from the same first address"));
    }
    Ok(Change::Range(range))
}

fn change_protection(cx: &Cx<'_>, id: i64, input: &mut Input) -> Api<Change> {
    let protect = input.flag("delete");
    input.check()?;
    Ok(Change::Protect(protect.unwrap_or(find(cx, id)?.protected)))
}

pub(crate) fn settle(cx: &mut Cx<'_>, id: i64, change: &Change, success: bool) {
    let Some(network) = cx.project.networks.get_mut(&id).filter(|_| success) else { return };
    match change {
        Change::AddSubnet(subnet) => network.subnets.push(subnet.clone()),
        Change::DeleteSubnet(range) => network.subnets.retain(|subnet| subnet.range != *range),
        Change::AddRoute(route) => network.routes.push(route.clone()),
        Change::DeleteRoute(route) => network.routes.retain(|other| other != route),
        Change::Range(range) => network.range = *range,
        Change::Protect(protect) => network.protected = *protect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network {
            id: 1,
            name: "n".to_owned(),
            labels: Labels::new(),
            created: Time(0),
            range: "10.0.0.0/16".parse().unwrap(),
            subnets: vec![Subnet {
                kind: "cloud".to_owned(),
                range: "10.0.1.0/24".parse().unwrap(),
                zone: "eu-central".to_owned(),
                vswitch: None,
            }],
            routes: vec![Route { destination: "10.9.0.0/16".parse().unwrap(), gateway: "10.0.1.9".parse().unwrap() }],
            expose_routes: false,
            protected: false,
        }
    }

    #[test]
    fn a_network_range_is_private_and_a_24_or_larger() {
        for (range, valid) in [
            ("10.0.0.0/8", true),
            ("10.0.0.0/24", true),
            ("172.16.0.0/12", true),
            ("192.168.0.0/16", true),
            ("10.0.0.0/25", false),
            ("10.0.0.1/24", false),
            ("172.0.0.0/12", false),
            ("172.16.0.0/11", false),
            ("192.168.0.0/15", false),
            ("8.8.8.0/24", false),
            ("fc00::/24", false),
            ("x", false),
        ] {
            assert_eq!(parse_network_range(range).is_ok(), valid, "{range}");
        }
    }

    #[test]
    fn a_subnet_lies_inside_and_overlaps_neither_subnets_nor_routes() {
        for (range, valid) in [
            ("10.0.2.0/24", true),
            ("10.0.2.0/30", true),
            ("10.0.2.0/31", false),
            ("10.0.1.128/25", false),
            ("10.0.0.0/16", false),
            ("10.1.0.0/24", false),
        ] {
            let subnet = Subnet {
                kind: "cloud".to_owned(),
                range: range.parse().unwrap(),
                zone: "eu-central".to_owned(),
                vswitch: None,
            };
            assert_eq!(network().check_subnet(&subnet).is_ok(), valid, "{range}");
        }
        assert_eq!(network().free_subnet(), Some("10.0.0.0/24".parse().unwrap()));
    }

    #[test]
    fn a_route_leads_to_private_ranges_or_everywhere_and_not_to_the_gateway() {
        for (destination, gateway, valid) in [
            ("0.0.0.0/0", "10.0.1.2", true),
            ("192.168.0.0/16", "10.0.1.2", true),
            ("10.0.1.0/25", "10.0.1.2", false),
            ("10.9.1.0/24", "10.0.1.2", false),
            ("8.8.8.0/24", "10.0.1.2", false),
            ("172.16.0.0/12", "10.0.1.2", false),
            ("192.168.0.0/16", "10.0.0.1", false),
            ("192.168.0.0/16", "172.31.1.1", false),
            ("192.168.0.0/16", "10.5.0.1", false),
        ] {
            let route = Route { destination: destination.parse().unwrap(), gateway: gateway.parse().unwrap() };
            assert_eq!(network().check_route(&route).is_ok(), valid, "{destination} via {gateway}");
        }
        let mut network = network();
        let default = Route { destination: "0.0.0.0/0".parse().unwrap(), gateway: "10.0.1.2".parse().unwrap() };
        network.routes.push(default.clone());
        assert!(network.check_route(&default).is_err(), "the same destination twice");
    }
}
