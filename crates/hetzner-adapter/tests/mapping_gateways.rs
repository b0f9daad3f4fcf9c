//! What internet gateways come to at the provider, told by rows and snapshots: when there is a server, where, of which
//! type, whose packets it forwards, where the route leads, and what people read.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::ports::Plan;
use hcloud_client::types::{Id, Server, ServerStatus};
use hetzner_adapter::{Observation, call::Call, objects::ServerCall, snapshot::Change};
use seca_api::{Kind, ResourceState};
use secrecy::ExposeSecret;
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

/// The names of the calls since the last time that changed something.
fn changes(world: &mut World) -> Vec<&'static str> {
    world.operations().into_iter().filter(|name| !matches!(*name, "read" | "find" | "watch")).collect()
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
    assert_eq!(changes(&mut world), ["create_network", "add_subnet"]);
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
    let operations = changes(&mut world);
    assert_eq!(operations[..2], ["create_network", "add_subnet"]);
    let (last, made) = operations[2..].split_last().unwrap();
    assert_eq!(*last, "add_route");
    let mut made = made.to_vec();
    made.sort_unstable();
    let mut expected = MADE[..7].to_vec();
    expected.sort_unstable();
    assert_eq!(made, expected);
    // Its system boots yet: whoever reads the gateway's message knows.
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("NotInEffect"));
    assert!(gateway_message(&world).contains("a cx23, is starting"), "{}", gateway_message(&world));
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    later(&mut world, 31);
    assert!(changes(&mut world).is_empty());
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
    assert!(changes(&mut world).is_empty(), "nothing is left to do");
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
    changes(&mut world);
    world.delete(Kind::InternetGateway, "g");
    world.settle();
    let operations = changes(&mut world);
    assert!(operations.len() <= 6, "{operations:?}");
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
    changes(&mut world);
    world.delete(Kind::RouteTable, "n/t");
    later(&mut world, 1);
    assert_eq!(changes(&mut world), ["delete_route"]);
    assert!(gateway_message(&world).contains("it goes in 10 minutes"), "{}", gateway_message(&world));
    later(&mut world, 590);
    assert!(changes(&mut world).is_empty());
    later(&mut world, 20);
    let operations = changes(&mut world);
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
    changes(&mut world);
    table(&mut world, "n/t", to_gateway("g"));
    world.settle();
    assert_eq!(changes(&mut world), ["add_route"]);
}

#[test]
fn without_the_operators_leave_nothing_is_made_and_everybody_says_so() {
    let mut world = World::default();
    used(&mut world);
    assert_eq!(changes(&mut world), ["create_network", "add_subnet"]);
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
    changes(&mut world);
    world.settle();
    assert_eq!(changes(&mut world), ["poweron"]);
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
    changes(&mut world);
    world.settle();
    let operations = changes(&mut world);
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
    changes(&mut world);
    later(&mut world, 60);
    assert!(changes(&mut world).is_empty());
    world.check(Kind::InternetGateway, "g", ResourceState::Error, Some("GatewayUnhealthy"));
    later(&mut world, 3_600);
    assert_eq!(changes(&mut world), ["poweron"]);
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
    assert!(!changes(&mut world).contains(&"create_server"));
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("RouteConflict"));
    assert!(gateway_message(&world).contains("10.0.9.9"), "{}", gateway_message(&world));
    assert!(world.message(Kind::RouteTable, "n/t").contains("10.0.9.9"));
    world.model.networks[0].routes.clear();
    world.forget();
    world.settle();
    later(&mut world, 31);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
}

#[test]
fn a_subnet_that_must_not_leave_has_the_server_made_again_with_the_same_addresses() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    let (address, before) = (world.model.primary_ips[0].ip.clone(), world.model.servers[0].id);
    changes(&mut world);
    subnet(&mut world, "n/vault", "10.0.2.0/24", None);
    later(&mut world, 1);
    // Not more often than every ten minutes.
    assert!(!changes(&mut world).contains(&"create_server"));
    assert!(gateway_message(&world).contains("`vault` can leave by it"), "{}", gateway_message(&world));
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("GatewayReplacing"));
    assert!(world.message(Kind::Subnet, "n/vault").contains("can leave by it until"));
    later(&mut world, 600);
    let expected = [
        "create_server",
        "poweroff",
        "unassign_primary_ip",
        "detach_from_network",
        "assign_primary_ip",
        "apply_firewall",
        "attach_to_network",
        "poweron",
    ];
    assert_eq!(changes(&mut world), expected);
    later(&mut world, 31);
    assert_eq!(changes(&mut world), ["delete_server"]);
    assert_eq!(world.model.servers.len(), 1);
    assert_ne!(world.model.servers[0].id, before);
    assert_eq!(world.model.primary_ips[0].ip, address);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("GatewayServing"));
    later(&mut world, 3_600);
    assert!(changes(&mut world).is_empty());
}

#[test]
fn a_subnet_over_the_servers_place_makes_them_move() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    subnet(&mut world, "n/top", "10.0.255.0/24", Some("t"));
    world.settle();
    world.check(Kind::Subnet, "n/top", CREATING, Some("WaitingForDependency"));
    later(&mut world, 31);
    later(&mut world, 31);
    world.check(Kind::Subnet, "n/top", ACTIVE, None);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.254.242"]);
    let ranges: Vec<String> =
        world.model.networks[0].subnets.iter().filter_map(|s| s.ip_range).map(|range| range.to_string()).collect();
    assert_eq!(ranges, ["10.0.1.0/24", "10.0.254.240/28", "10.0.255.0/24"]);
}

#[test]
fn a_full_network_has_its_server_in_a_subnet_and_a_tiny_one_none() {
    let mut world = enabled();
    world.put(Kind::InternetGateway, "g", json!({"egressOnly": true}));
    network(&mut world, "n", "10.0.0.0/24");
    table(&mut world, "n/t", to_gateway("g"));
    subnet(&mut world, "n/s", "10.0.0.0/24", Some("t"));
    world.settle();
    later(&mut world, 31);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.0.254"]);
    // A NIC does not get the address of the server, and the server moves for none.
    let nic = json!({"addresses": ["10.0.0.254"], "subnetRef": {"resource": "networks/n/subnets/s"}});
    world.put(Kind::Nic, "k", nic);
    world.settle();
    world.check(Kind::Nic, "k", CREATING, Some("AddressConflict"));
    // Where somebody has the only address there is none for a server.
    let mut world = enabled();
    world.put(Kind::InternetGateway, "g", json!({"egressOnly": true}));
    network(&mut world, "n", "10.0.0.0/30");
    subnet(&mut world, "n/s", "10.0.0.0/30", None);
    let nic = json!({"addresses": ["10.0.0.2"], "subnetRef": {"resource": "networks/n/subnets/s"}});
    world.put(Kind::Nic, "k", nic);
    world.settle();
    table(&mut world, "n/t", to_gateway("g"));
    subnet(&mut world, "n/s", "10.0.0.0/30", Some("t"));
    world.settle();
    let operations = changes(&mut world);
    assert!(!operations.contains(&"create_primary_ip"), "{operations:?}");
    assert!(gateway_message(&world).contains("has a free address"), "{}", gateway_message(&world));
    world.check(Kind::RouteTable, "n/t", ACTIVE, Some("NotInEffect"));
}

#[test]
fn a_pair_fails_over_and_each_side_keeps_its_address() {
    let mut world = enabled();
    world.put_extended(Kind::InternetGateway, "g", json!({"egressOnly": true}), ("hetzner.cloud/gateway-ha", "true"));
    network(&mut world, "n", "10.0.0.0/16");
    table(&mut world, "n/t", to_gateway("g"));
    subnet(&mut world, "n/s", "10.0.1.0/24", Some("t"));
    world.settle();
    later(&mut world, 31);
    assert_eq!((world.model.servers.len(), world.model.primary_ips.len()), (2, 2));
    assert!(world.model.servers.iter().all(|server| server.placement_group.is_some()));
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    for ip in &world.model.primary_ips {
        assert!(gateway_message(&world).contains(&ip.ip), "{}", gateway_message(&world));
    }
    changes(&mut world);
    let first = world.model.servers.iter().position(|s| s.private_net[0].ip == "10.0.255.242".parse().ok()).unwrap();
    power(&mut world, first, ServerStatus::Off);
    world.settle();
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.243"]);
    let operations = changes(&mut world);
    assert!(operations.contains(&"delete_route") && operations.contains(&"add_route"), "{operations:?}");
    assert!(gateway_message(&world).contains("the second NAT server"), "{}", gateway_message(&world));
    // The first comes back, and takes nothing back.
    later(&mut world, 31);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.243"]);
    // One server again: the second one's parts go.
    world.row_mut(Kind::InternetGateway, "g").extensions = None;
    later(&mut world, 31);
    later(&mut world, 31);
    assert_eq!((world.model.servers.len(), world.model.primary_ips.len()), (1, 1));
    assert!(world.model.placement_groups.is_empty());
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    world.delete(Kind::InternetGateway, "g");
    world.settle();
    assert!(world.model.servers.is_empty() && world.find(Kind::InternetGateway, "g").is_none());
}

#[test]
fn a_type_without_capacity_is_passed_over_and_none_left_is_told() {
    let mut world = enabled();
    let refuse = |world: &mut World, name: &str| {
        let at = world.time();
        let (server_type, location) = (name.to_owned(), "fsn1".to_owned());
        world.snapshot.absorb(Observation::new(vec![Change::NoCapacity { server_type, location, at }]));
    };
    refuse(&mut world, "cx23");
    used(&mut world);
    assert_eq!(world.model.servers[0].server_type.name, "cax11");
    later(&mut world, 31);
    delete_servers(&mut world);
    let types = world.settings.gateway.nat.server_types.clone();
    for name in &types {
        refuse(&mut world, name);
    }
    changes(&mut world);
    world.settle();
    assert!(changes(&mut world).is_empty());
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("CapacityUnavailable"));
    later(&mut world, 61);
    assert!(changes(&mut world).contains(&"create_server"));
    // A location that sells none of the list.
    let mut world = enabled();
    world.settings.gateway.nat.server_types = vec!["nothing".to_owned()];
    used(&mut world);
    let operations = changes(&mut world);
    assert!(!operations.contains(&"create_primary_ip"), "{operations:?}");
    assert!(gateway_message(&world).contains("SECA_GATEWAY_SERVER_TYPES"), "{}", gateway_message(&world));
}

#[test]
fn two_tables_share_a_route_and_of_two_gateways_the_older_tables_wins() {
    let mut world = enabled();
    used(&mut world);
    table(&mut world, "n/u", to_gateway("g"));
    subnet(&mut world, "n/b", "10.0.2.0/24", Some("u"));
    world.settle();
    later(&mut world, 31);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    for name in ["n/t", "n/u"] {
        world.check(Kind::RouteTable, name, ACTIVE, None);
    }
    world.put(Kind::InternetGateway, "h", json!({}));
    table(&mut world, "n/v", to_gateway("h"));
    subnet(&mut world, "n/c", "10.0.3.0/24", Some("v"));
    world.settle();
    world.check(Kind::RouteTable, "n/v", ACTIVE, Some("RouteConflict"));
    assert!(world.message(Kind::RouteTable, "n/v").contains("older route table `t`"));
    assert_eq!(world.model.servers.len(), 1);
    // The route passes to the other table without a break.
    changes(&mut world);
    world.delete(Kind::RouteTable, "n/t");
    world.settle();
    assert!(!changes(&mut world).contains(&"delete_route"));
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.255.242"]);
    world.delete(Kind::RouteTable, "n/u");
    world.settle();
    later(&mut world, 31);
    later(&mut world, 31);
    world.check(Kind::RouteTable, "n/v", ACTIVE, None);
    world.check(Kind::InternetGateway, "h", ACTIVE, Some("GatewayServing"));
    assert_eq!(world.model.servers.len(), 1, "the other one's server gave its place up");
}

#[test]
fn what_somebody_changed_by_hand_is_mended() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    changes(&mut world);
    world.model.networks[0].routes.clear();
    world.forget();
    world.settle();
    assert_eq!(changes(&mut world), ["add_route"]);
    world.model.firewalls[0].rules.clear();
    world.forget();
    world.settle();
    assert_eq!(changes(&mut world), ["set_firewall_rules"]);
    world.model.servers[0].private_net.clear();
    world.forget();
    world.settle();
    assert_eq!(changes(&mut world), ["attach_to_network"]);
    world.model.servers[0].public_net.firewalls.clear();
    world.forget();
    world.settle();
    assert_eq!(changes(&mut world), ["apply_firewall"]);
}

#[test]
fn a_server_that_the_row_does_not_know_is_not_taken_for_its_own() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    let before = world.model.servers[0].id;
    // A database of before the server was made.
    let row = world.row_mut(Kind::InternetGateway, "g");
    row.facts["networks"][0]["servers"] = json!([]);
    world.settle();
    later(&mut world, 31);
    assert_eq!(world.model.servers.len(), 1);
    assert_ne!(world.model.servers[0].id, before, "nobody knows what it was made with");
}

#[test]
fn a_gateway_whose_database_knew_nothing_of_it_keeps_its_address() {
    let mut world = enabled();
    used(&mut world);
    later(&mut world, 31);
    let (server, address) = (world.model.servers[0].id, world.model.primary_ips[0].id);
    // Partners may have the address in their lists.
    world.row_mut(Kind::InternetGateway, "g").facts.clear();
    world.settle();
    later(&mut world, 31);
    assert_eq!(world.model.primary_ips.iter().map(|ip| ip.id).collect::<Vec<_>>(), [address]);
    assert_eq!(world.model.servers.len(), 1);
    assert_ne!(world.model.servers[0].id, server);
    world.check(Kind::InternetGateway, "g", ACTIVE, Some("GatewayServing"));
    assert_eq!(world.model.networks[0].routes.len(), 1);
}

// -- guests -----------------------------------------------------------------------------------------------------

/// The user data with which the server of an instance in a private network would be made.
fn user_data(world: &mut World, user: Option<&str>, extension: Option<(&str, &str)>) -> Option<String> {
    network(world, "n", "10.0.0.0/16");
    subnet(world, "n/s", "10.0.1.0/24", None);
    let nic = json!({"addresses": ["0.0.0.0"], "subnetRef": {"resource": "networks/n/subnets/s"}});
    world.put(Kind::Nic, "k", nic);
    world.volume("v", Some("ubuntu-24.04"));
    let mut spec = World::instance_spec("v");
    spec["primaryNicRef"] = json!({"resource": "nics/k"});
    spec["userData"] = json!(user);
    match extension {
        Some(extension) => world.put_extended(Kind::Instance, "i", spec, extension),
        None => world.put(Kind::Instance, "i", spec),
    };
    for _ in 0..200 {
        let names: Vec<_> = world.rows.keys().copied().collect();
        for uid in names {
            if world.row(Kind::Instance, "i").uid == uid
                && let Plan::Act(step) = world.plan(uid).plan
                && step.operation == "create_server"
            {
                return step.secret.map(|secret| secret.expose_secret().to_owned());
            }
            world.look(uid);
        }
    }
    panic!("no server is planned: {}", world.message(Kind::Instance, "i"));
}

#[test]
fn a_guest_with_a_private_network_gets_the_bootstrap_before_its_own() {
    let own = "#!/bin/sh\ntrue\n";
    for user in [None, Some(own)] {
        let sent = user_data(&mut enabled(), user, None).unwrap();
        assert!(sent.contains("/usr/local/sbin/seca-net"), "{sent}");
        assert!(user.is_none_or(|own| sent.find(own.trim_end()) > sent.find("seca-net")), "{sent}");
        assert_eq!(user_data(&mut World::default(), user, None).as_deref(), user, "without gateways it is as sent");
    }
    let off = Some(("hetzner.cloud/guest-bootstrap", "off"));
    assert_eq!(user_data(&mut enabled(), Some(own), off).as_deref(), Some(own));
}

#[test]
fn a_guest_without_the_bootstrap_reads_the_two_commands() {
    for (extension, words) in [(Some(("hetzner.cloud/guest-bootstrap", "off")), "guest-bootstrap"), (None, "")] {
        let mut world = enabled();
        world.settings.gateway.nat.enabled = extension.is_some();
        user_data(&mut world, None, extension);
        world.settle();
        // An operator turns the bootstrap on after the server was made.
        world.settings.gateway.nat.enabled = true;
        world.settle();
        let message = world.message(Kind::Instance, "i");
        assert!(message.contains("ip route add default") && message.contains(words), "{message}");
        assert_eq!(world.facts(Kind::Instance, "i").get("guest"), None);
    }
    let mut world = enabled();
    user_data(&mut world, None, None);
    world.settle();
    assert!(!world.message(Kind::Instance, "i").contains("ip route add"));
    assert_eq!(world.facts(Kind::Instance, "i")["guest"], 1);
}

#[test]
fn a_first_boot_by_public_ipv6_is_closed_and_stays() {
    let mut world = enabled();
    world.settings.gateway.first_boot_ipv6 = true;
    user_data(&mut world, None, None);
    world.settle();
    assert!(world.act("i", control_plane::ActionKind::Start));
    world.settle();
    let server = &world.model.servers[0];
    assert!(server.public_net.ipv6.is_some() && !server.private_net.is_empty());
    assert_eq!(server.public_net.firewalls.len(), 1, "nothing gets in");
    assert!(world.act("i", control_plane::ActionKind::Stop));
    world.settle();
    assert!(world.model.servers[0].public_net.ipv6.is_some(), "its disk may boot for the first time elsewhere");
}
