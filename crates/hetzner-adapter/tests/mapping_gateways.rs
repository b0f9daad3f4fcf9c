//! What internet gateways come to at the provider, told by rows and snapshots: when there is a server, where, of which
//! type, whose packets it forwards, where the route leads, and what people read.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use hcloud_client::types::{Id, Server, ServerStatus};
use hetzner_adapter::{call::Call, objects::ServerCall};
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::World;

const ACTIVE: ResourceState = ResourceState::Active;
const CREATING: ResourceState = ResourceState::Creating;
/// What makes a gateway's first server in a network.
const MADE: [&str; 8] = [
    "add_subnet",
    "create_primary_ip",
    "create_firewall",
    "create_ssh_key",
    "create_server",
    "attach_to_network",
    "poweron",
    "add_route",
];

fn enabled() -> World {
    let mut world = World::default();
    world.settings.gateway.nat.enabled = true;
    world
}

fn network(world: &mut World, name: &str, cidr: &str) {
    world.put(Kind::Network, name, json!({"cidr": {"ipv4": cidr}, "skuRef": "hcloud-network"}));
}

fn to_gateway(gateway: &str) -> Value {
    json!([{"destinationCidrBlock": "0.0.0.0/0", "targetRef": {"resource": format!("internet-gateways/{gateway}")}}])
}

fn table(world: &mut World, name: &str, routes: Value) {
    world.put(Kind::RouteTable, name, json!({"routes": routes}));
}

fn subnet(world: &mut World, name: &str, cidr: &str, table: Option<&str>) {
    let table = table
        .map(|table| json!({"resource": format!("networks/{}/route-tables/{table}", name.split('/').next().unwrap())}));
    world.put(Kind::Subnet, name, json!({"cidr": {"ipv4": cidr}, "routeTableRef": table}));
}

/// A network whose subnet leaves by the gateway.
fn used(world: &mut World) {
    world.put(Kind::InternetGateway, "g", json!({"egressOnly": true}));
    network(world, "n", "10.0.0.0/16");
    table(world, "n/t", to_gateway("g"));
    subnet(world, "n/s", "10.0.1.0/24", Some("t"));
    world.settle();
}

/// Seconds pass.
fn later(world: &mut World, seconds: i64) {
    world.now += seconds * 1_000;
    world.settle();
}

fn routes(world: &World) -> Vec<String> {
    world.model.networks[0].routes.iter().map(|route| format!("{} {}", route.destination, route.gateway)).collect()
}

fn gateway_message(world: &World) -> String {
    world.message(Kind::InternetGateway, "g")
}

#[test]
fn a_gateway_that_nothing_leads_to_costs_nothing() {
    let mut world = enabled();
    world.put(Kind::InternetGateway, "g", json!({"egressOnly": true}));
    network(&mut world, "n", "10.0.0.0/16");
    table(&mut world, "n/t", to_gateway("g"));
    subnet(&mut world, "n/s", "10.0.1.0/24", None);
    world.settle();
    assert_eq!(world.operations(), ["create_network", "add_subnet"]);
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("NotInEffect"));
    assert!(gateway_message(&world).contains("No subnet's route table sends"), "{}", gateway_message(&world));
    world.check(Kind::RouteTable, "n/t", ACTIVE, Some("NotInEffect"));
    let route = world.status(Kind::RouteTable, "n/t")["routes"][0].clone();
    assert_eq!((&route["state"], &route["conditions"][0]["reason"]), (&json!("pending"), &json!("NotInEffect")));
    assert!(route["conditions"][0]["message"].as_str().unwrap().contains("no subnet names this route table"));
}

#[test]
fn the_first_use_makes_one_server_and_then_the_route() {
    let mut world = enabled();
    used(&mut world);
    let operations = world.operations();
    assert_eq!(operations[..2], ["create_network", "add_subnet"]);
    let mut made = operations[2..].to_vec();
    made.sort_unstable();
    let mut expected = MADE[..7].to_vec();
    expected.sort_unstable();
    assert_eq!(made, expected);
    // It is active at once; the table waits for its route.
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("NotInEffect"));
    assert!(gateway_message(&world).contains("a cx23, is starting"), "{}", gateway_message(&world));
    world.check(Kind::RouteTable, "n/t", CREATING, Some("WaitingForDependency"));
    assert!(routes(&world).is_empty(), "nothing leads to a server that is not up");
    later(&mut world, 31);
    assert_eq!(world.operations(), ["add_route"]);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    world.check(Kind::RouteTable, "n/t", ACTIVE, None);
    assert_eq!(world.status(Kind::RouteTable, "n/t")["routes"][0]["state"], "active");
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("GatewayServing"));
    let message = gateway_message(&world);
    let address = world.model.primary_ips[0].ip.clone();
    assert!(message.contains("a cx23, forwards") && message.contains(&address), "{message}");
    let server = &world.model.servers[0];
    assert_eq!(server.status, ServerStatus::Running);
    assert!(world.model.networks[0].subnets.iter().any(|s| s.ip_range == "10.0.255.240/28".parse().ok()));
    later(&mut world, 3_600);
    assert!(world.operations().is_empty(), "nothing is left to do");
}

#[test]
fn a_server_is_made_off_with_its_address_its_firewall_and_nobodys_key() {
    let mut world = enabled();
    used(&mut world);
    let body = world.calls.iter().find_map(|(_, call)| match call {
        Call::Server(ServerCall::Create(body)) => Some(body.clone()),
        _ => None,
    });
    let body = body.unwrap();
    let public = body.public_net.unwrap();
    assert_eq!((body.server_type.as_str(), body.start_after_create), ("cx23", Some(false)));
    assert_eq!((public.enable_ipv4, public.enable_ipv6), (true, false));
    assert_eq!(public.ipv4, Some(world.model.primary_ips[0].id));
    assert_eq!(body.firewalls.len(), 1);
    assert_eq!(body.ssh_keys.len(), 1);
    assert_eq!(body.image, "114690387", "debian-12 for its processors");
    assert!(!world.model.primary_ips[0].auto_delete);
    let uid = world.row(Kind::Network, "n").uid.to_string().replace('-', "");
    assert_eq!(body.labels["seca.role"], format!("nat.{uid}"));
    let firewall = &world.model.firewalls[0];
    let rules: Vec<String> =
        firewall.rules.iter().map(|rule| format!("{:?} {:?}", rule.direction, rule.protocol)).collect();
    assert_eq!(rules, ["In Icmp"]);
}

#[test]
fn everything_goes_with_the_gateway_and_the_network() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    world.operations();
    world.delete(Kind::InternetGateway, "g");
    world.settle();
    let operations = world.operations();
    let changing: Vec<_> = operations.iter().filter(|name| !matches!(**name, "read" | "find")).collect();
    assert!(changing.len() <= 6, "{changing:?}");
    assert!(world.find(Kind::InternetGateway, "g").is_none());
    assert!(world.model.servers.is_empty() && world.model.primary_ips.is_empty() && world.model.firewalls.is_empty());
    assert!(world.model.ssh_keys.is_empty() && routes(&world).is_empty());
    world.delete(Kind::RouteTable, "n/t");
    world.delete(Kind::Subnet, "n/s");
    world.delete(Kind::Network, "n");
    world.settle();
    assert!(world.find(Kind::Network, "n").is_none() && world.model.networks.is_empty());
}

#[test]
fn servers_linger_after_the_last_route_and_the_address_stays() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    let address = world.model.primary_ips[0].ip.clone();
    world.operations();
    world.delete(Kind::RouteTable, "n/t");
    later(&mut world, 1);
    assert_eq!(world.operations(), ["delete_route"]);
    assert!(gateway_message(&world).contains("it goes in 10 minutes"), "{}", gateway_message(&world));
    later(&mut world, 590);
    assert!(world.operations().is_empty());
    later(&mut world, 20);
    let operations = world.operations();
    assert!(operations.contains(&"delete_server") && operations.contains(&"delete_firewall"), "{operations:?}");
    assert!(operations.contains(&"delete_subnet"), "the place goes as well: {operations:?}");
    assert_eq!(world.model.primary_ips.len(), 1, "who was told the address keeps it");
    // The next table has it again.
    table(&mut world, "n/t", to_gateway("g"));
    world.settle();
    later(&mut world, 31);
    assert_eq!(world.model.primary_ips[0].ip, address);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
}

#[test]
fn a_route_that_comes_back_while_servers_linger_costs_one_call() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    world.delete(Kind::RouteTable, "n/t");
    later(&mut world, 60);
    world.operations();
    table(&mut world, "n/t", to_gateway("g"));
    world.settle();
    assert_eq!(world.operations(), ["add_route"]);
}

#[test]
fn without_the_operators_leave_nothing_is_made_and_everybody_says_so() {
    let mut world = World::default();
    used(&mut world);
    assert_eq!(world.operations(), ["create_network", "add_subnet"]);
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("NotInEffect"));
    for message in [gateway_message(&world), world.message(Kind::RouteTable, "n/t")] {
        assert!(message.contains("SECA_INTERNET_GATEWAY_NAT_VM=true"), "{message}");
    }
    world.check(Kind::RouteTable, "n/t", ACTIVE, Some("NotInEffect"));
    world.settings.gateway.nat.enabled = true;
    world.settle();
    later(&mut world, 31);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    // What stands stays, is healed, and goes with its route.
    world.settings.gateway.nat.enabled = false;
    world.settle();
    power(&mut world, 0, ServerStatus::Off);
    world.operations();
    world.settle();
    assert_eq!(world.operations(), ["poweron"]);
    later(&mut world, 31);
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("GatewayServing"));
    world.delete(Kind::RouteTable, "n/t");
    later(&mut world, 0);
    later(&mut world, 601);
    assert!(world.model.servers.is_empty());
}

/// Somebody deletes all servers at the console.
fn delete_servers(world: &mut World) {
    world.model.servers.clear();
    world.model.primary_ips.iter_mut().for_each(|ip| ip.assignee_id = None);
    world.forget();
}

/// Somebody switches a server at the console.
fn power(world: &mut World, index: usize, status: ServerStatus) {
    world.model.servers[index].status = status;
    world.forget();
}

#[test]
fn a_server_that_is_gone_is_made_again_with_both_addresses() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    let before: Id<Server> = world.model.servers[0].id;
    delete_servers(&mut world);
    world.operations();
    world.settle();
    let operations: Vec<_> = world.operations().into_iter().filter(|name| *name != "find").collect();
    assert_eq!(operations, ["create_server", "attach_to_network", "poweron"]);
    assert_ne!(world.model.servers[0].id, before);
    later(&mut world, 31);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    assert_eq!(world.model.primary_ips.len(), 1);
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("GatewayServing"));
}

#[test]
fn a_server_that_does_not_stay_up_is_an_error_and_is_tried_again_later() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    for _ in 0..3 {
        power(&mut world, 0, ServerStatus::Off);
        later(&mut world, 60);
    }
    power(&mut world, 0, ServerStatus::Off);
    world.operations();
    later(&mut world, 60);
    assert!(world.operations().is_empty());
    world.check(Kind::InternetGateway, "g", ResourceState::Error, Some("GatewayUnhealthy"));
    later(&mut world, 3_600);
    assert_eq!(world.operations(), ["poweron"]);
    later(&mut world, 31);
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("GatewayServing"));
}

#[test]
fn somebody_elses_default_route_is_named_and_no_server_is_made() {
    let mut world = enabled();
    network(&mut world, "n", "10.0.0.0/16");
    world.settle();
    let foreign = serde_json::from_value(json!({"destination": "0.0.0.0/0", "gateway": "10.0.9.9"})).unwrap();
    world.model.networks[0].routes.push(foreign);
    world.forget();
    used(&mut world);
    assert!(!world.operations().contains(&"create_server"));
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("RouteConflict"));
    assert!(gateway_message(&world).contains("10.0.9.9"), "{}", gateway_message(&world));
    assert!(world.message(Kind::RouteTable, "n/t").contains("10.0.9.9"));
    world.model.networks[0].routes.clear();
    world.forget();
    world.settle();
    later(&mut world, 31);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
}
