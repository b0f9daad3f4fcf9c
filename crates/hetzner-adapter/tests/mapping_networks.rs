//! What networks, subnets, route tables and workspaces come to at the provider, told by rows and snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::ports::Plan;
use seca_api::{Kind, ResourceState};
use serde_json::json;
use world::World;

const ACTIVE: ResourceState = ResourceState::Active;
const CREATING: ResourceState = ResourceState::Creating;

fn network(world: &mut World, cidr: &str) {
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": cidr}, "skuRef": "hcloud-network"}));
    world.settle();
}

fn subnet(world: &mut World, name: &str, cidr: &str) {
    world.put(Kind::Subnet, name, json!({"cidr": {"ipv4": cidr}}));
    world.settle();
}

#[test]
fn a_network_grows_in_place_and_is_replaced_only_while_it_is_empty() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/24");
    network(&mut world, "10.0.0.0/16");
    network(&mut world, "10.9.0.0/16");
    assert_eq!(world.operations(), ["create_network", "change_ip_range", "delete_network", "create_network"]);
    subnet(&mut world, "n/a", "10.9.1.0/24");
    network(&mut world, "10.8.0.0/16");
    world.check(Kind::Network, "n", ACTIVE, Some("AppliesOnRecreate"));
    assert_eq!(world.status(Kind::Network, "n")["cidr"]["ipv4"], "10.9.0.0/16", "the status shows what is");
}

#[test]
fn a_network_repeats_its_blocks_and_names_what_carries_nothing() {
    for (cidr, more, reason) in [
        (json!({"ipv4": "10.0.0.0/16", "ipv6": "fd00::/56"}), json!(null), Some("IPv6Unsupported")),
        (json!({"ipv6": "fd00::/56"}), json!(null), Some("IPv6Unsupported")),
        (json!({"ipv4": "10.0.0.0/16"}), json!([{"ipv4": "10.5.0.0/16"}]), Some("PartlySupported")),
        (json!({"ipv4": "10.0.0.0/16"}), json!(null), None),
    ] {
        let mut world = World::default();
        world.put(Kind::Network, "n", json!({"cidr": cidr, "additionalCidrs": more, "skuRef": "x"}));
        world.settle();
        world.check(Kind::Network, "n", ACTIVE, reason);
        assert_eq!(world.status(Kind::Network, "n")["cidr"], cidr);
        assert_eq!(world.status(Kind::Network, "n").get("additionalCidrs").cloned().unwrap_or_default(), more);
    }
}

#[test]
fn of_two_subnets_with_overlapping_blocks_the_second_waits_across_takeovers() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    subnet(&mut world, "n/a", "10.0.1.0/24");
    for block in ["10.0.1.0/24", "10.0.0.0/22"] {
        subnet(&mut world, "n/b", block);
        world.check(Kind::Subnet, "n/b", CREATING, Some("AddressConflict"));
        world.forget();
        world.settle();
        world.check(Kind::Subnet, "n/b", CREATING, Some("AddressConflict"));
        world.check(Kind::Subnet, "n/a", ACTIVE, None);
    }
    // The one that waits owns nothing: its deletion takes nothing away.
    world.operations();
    world.delete(Kind::Subnet, "n/b");
    world.settle();
    assert!(world.operations().is_empty());
    subnet(&mut world, "n/b", "10.0.1.0/24");
    world.delete(Kind::Subnet, "n/a");
    world.settle();
    world.check(Kind::Subnet, "n/b", ACTIVE, None);
    assert_eq!(world.operations(), ["delete_subnet", "add_subnet"]);
}

#[test]
fn two_subnets_that_were_tried_at_once_do_not_both_get_the_block() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    subnet(&mut world, "n/a", "10.0.1.0/24");
    let range = json!("10.0.1.0/24");
    world.put(Kind::Subnet, "n/b", json!({"cidr": {"ipv4": range}}));
    // It was planned before the other's answer came: its mark is set, its call was refused.
    world.row_mut(Kind::Subnet, "n/b").facts.insert("ipRange".into(), range);
    world.settle();
    world.check(Kind::Subnet, "n/b", CREATING, Some("AddressConflict"));
    assert_eq!(world.facts(Kind::Subnet, "n/b").get("ipRange"), None);
}

#[test]
fn a_block_that_its_subnet_left_goes_to_the_one_that_waits() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    subnet(&mut world, "n/a", "10.0.1.0/24");
    subnet(&mut world, "n/b", "10.0.1.0/24");
    subnet(&mut world, "n/a", "10.0.2.0/24");
    world.check(Kind::Subnet, "n/a", ACTIVE, None);
    world.check(Kind::Subnet, "n/b", ACTIVE, None);
}

#[test]
fn a_subnet_moves_and_comes_back_when_it_vanishes() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    subnet(&mut world, "n/a", "10.0.1.0/24");
    subnet(&mut world, "n/a", "10.0.2.0/24");
    assert_eq!(world.operations(), ["create_network", "add_subnet", "delete_subnet", "add_subnet"]);
    world.model.networks[0].subnets.clear();
    world.forget();
    world.settle();
    assert_eq!(world.operations(), ["add_subnet"]);
    // A whole network is removed with one call.
    world.delete(Kind::Subnet, "n/a");
    world.delete(Kind::Network, "n");
    world.settle();
    assert_eq!(world.operations(), ["delete_network"]);
}

#[test]
fn routes_tell_each_for_itself_why_they_carry_nothing() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.instance("i", "v");
    network(&mut world, "10.0.0.0/16");
    world.put(Kind::InternetGateway, "g", json!({"egressOnly": true}));
    let route = |target: &str| json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": {"resource": target}});
    let targets = ["internet-gateways/g", "instances/i", "instances/none", "10.0.0.9"];
    world.put(Kind::RouteTable, "n/r", json!({"routes": targets.map(route)}));
    world.settle();
    // The weightiest is what does not exist at all.
    world.check(Kind::RouteTable, "n/r", ACTIVE, Some("DependencyMissing"));
    let status = world.status(Kind::RouteTable, "n/r");
    let routes = status["routes"].as_array().unwrap();
    let idle = ("pending", "RouteNotProgrammed");
    let expected = [
        (("pending", "NotInEffect"), "no subnet names this route table"),
        (idle, "no address"),
        (idle, "does not exist"),
        (("active", "NotInEffect"), "no server has the address 10.0.0.9"),
    ];
    for (route, ((state, reason), expected)) in routes.iter().zip(expected) {
        assert_eq!((&route["state"], &route["conditions"][0]["reason"]), (&json!(state), &json!(reason)));
        assert!(route["conditions"][0]["message"].as_str().unwrap().contains(expected), "{route}");
    }
    assert_eq!(routes.len(), 4);
    let message = world.row(Kind::InternetGateway, "g").conditions[0].message.clone().unwrap();
    assert!(message.contains("nothing runs for it"), "{message}");
    world.now += 1_000;
    world.settle();
    assert_eq!(world.status(Kind::RouteTable, "n/r"), status, "looking again changes nothing");
}

#[test]
fn a_workspace_waits_for_its_children() {
    let mut world = World::default();
    world.volume("v", None);
    world.delete(Kind::Workspace, "w");
    assert!(matches!(world.plan_of(Kind::Workspace, "w").plan, Plan::Wait { .. }));
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.rows.is_empty());
}

fn table(world: &mut World, name: &str, routes: &[(&str, &str)]) {
    let routes: Vec<_> =
        routes.iter().map(|(to, by)| json!({"destinationCidrBlock": to, "targetRef": {"resource": by}})).collect();
    world.put(Kind::RouteTable, name, json!({"routes": routes}));
    world.settle();
}

fn routes(world: &World) -> Vec<String> {
    let routes = world.model.networks[0].routes.iter();
    let mut routes: Vec<_> = routes.map(|route| format!("{} {}", route.destination, route.gateway)).collect();
    routes.sort();
    routes
}

#[test]
fn a_route_by_an_address_is_made_changed_and_taken_away() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    table(&mut world, "n/t", &[("0.0.0.0/0", "10.0.1.9"), ("192.168.0.0/24", "10.0.1.10")]);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.1.9", "192.168.0.0/24 10.0.1.10"]);
    // Nobody has the addresses, which is said.
    world.check(Kind::RouteTable, "n/t", ACTIVE, Some("NotInEffect"));
    assert_eq!(world.status(Kind::RouteTable, "n/t")["routes"][0]["state"], "active");
    table(&mut world, "n/t", &[("0.0.0.0/0", "10.0.1.11")]);
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.1.11"]);
    world.forget();
    world.settle();
    world.operations();
    world.delete(Kind::RouteTable, "n/t");
    world.settle();
    assert_eq!(world.operations(), ["delete_route"]);
    assert!(routes(&world).is_empty() && world.find(Kind::RouteTable, "n/t").is_none());
}

#[test]
fn a_route_that_two_tables_want_stays_until_neither_does() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    table(&mut world, "n/a", &[("0.0.0.0/0", "10.0.1.9")]);
    table(&mut world, "n/b", &[("0.0.0.0/0", "10.0.1.9")]);
    assert_eq!(world.operations(), ["create_network", "add_route"]);
    world.delete(Kind::RouteTable, "n/a");
    world.settle();
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.1.9"]);
    assert!(world.operations().is_empty());
}

#[test]
fn what_hetzner_would_refuse_is_kept_and_named_and_a_foreign_route_stays() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    subnet(&mut world, "n/s", "10.0.1.0/24");
    world.operations();
    for (to, by, words) in [
        ("8.8.8.0/24", "10.0.1.9", "private blocks"),
        ("10.0.1.0/25", "10.0.2.9", "overlaps the subnet 10.0.1.0/24"),
        ("192.168.0.0/24", "192.168.1.1", "is not an address of the network"),
        ("192.168.0.0/24", "10.0.0.1", "own gateway"),
        ("192.168.0.0/24", "172.31.1.1", "is not an address of the network"),
        ("fd00::/64", "10.0.1.9", "IPv4"),
        ("192.168.0.0/24", "fd00::1", "IPv4"),
    ] {
        table(&mut world, "n/t", &[(to, by)]);
        world.check(Kind::RouteTable, "n/t", ACTIVE, Some("NotInEffect"));
        let status = world.status(Kind::RouteTable, "n/t");
        let condition = &status["routes"][0]["conditions"][0];
        assert_eq!(
            (&status["routes"][0]["state"], &condition["reason"]),
            (&json!("pending"), &json!("RouteNotProgrammed"))
        );
        assert!(condition["message"].as_str().unwrap().contains(words), "{condition}");
    }
    assert!(world.operations().is_empty());
    let foreign = serde_json::from_value(json!({"destination": "192.168.0.0/24", "gateway": "10.0.1.7"})).unwrap();
    world.model.networks[0].routes.push(foreign);
    world.forget();
    table(&mut world, "n/t", &[("192.168.0.0/24", "10.0.1.9")]);
    world.check(Kind::RouteTable, "n/t", ResourceState::Updating, Some("AddressConflict"));
    world.delete(Kind::RouteTable, "n/t");
    world.settle();
    assert_eq!(routes(&world), ["192.168.0.0/24 10.0.1.7"], "what somebody else made stays");
}

#[test]
fn the_router_of_the_public_interfaces_is_no_gateway_of_a_network() {
    let mut world = World::default();
    network(&mut world, "172.16.0.0/12");
    table(&mut world, "n/t", &[("192.168.0.0/24", "172.31.1.1")]);
    let message = &world.status(Kind::RouteTable, "n/t")["routes"][0]["conditions"][0]["message"];
    let words = "172.31.1.1 is Hetzner's router for the public interfaces of servers";
    assert!(message.as_str().unwrap().contains(words), "{message}");
}

#[test]
fn routes_come_back_with_their_network_and_go_along_with_it() {
    let mut world = World::default();
    table(&mut world, "n/t", &[("0.0.0.0/0", "10.0.1.9")]);
    world.check(Kind::RouteTable, "n/t", CREATING, Some("WaitingForDependency"));
    network(&mut world, "10.0.0.0/16");
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.1.9"]);
    world.model.networks.clear();
    world.forget();
    world.settle();
    assert_eq!(routes(&world), ["0.0.0.0/0 10.0.1.9"]);
    world.operations();
    world.delete(Kind::Network, "n");
    world.delete(Kind::RouteTable, "n/t");
    world.settle();
    assert_eq!(world.operations(), ["delete_network"]);
}

#[test]
fn a_subnet_says_that_its_route_table_is_gone_and_when_it_is_back() {
    let mut world = World::default();
    network(&mut world, "10.0.0.0/16");
    table(&mut world, "n/t", &[]);
    let spec = json!({"cidr": {"ipv4": "10.0.1.0/24"}, "routeTableRef": {"resource": "route-tables/t"}});
    world.put(Kind::Subnet, "n/s", spec);
    world.settle();
    world.check(Kind::Subnet, "n/s", ACTIVE, None);
    world.delete(Kind::RouteTable, "n/t");
    world.settle();
    world.check(Kind::Subnet, "n/s", ACTIVE, Some("DependencyMissing"));
    table(&mut world, "n/t", &[]);
    world.check(Kind::Subnet, "n/s", ACTIVE, None);
}

#[test]
fn a_route_by_an_instance_or_a_nic_follows_the_address_that_this_has() {
    for target in ["instances/i", "nics/k"] {
        let mut world = World::default();
        network(&mut world, "10.0.0.0/16");
        subnet(&mut world, "n/s", "10.0.1.0/24");
        table(&mut world, "n/t", &[("192.168.0.0/24", target)]);
        assert!(routes(&world).is_empty(), "{target}");
        world.check(Kind::RouteTable, "n/t", ACTIVE, Some("DependencyMissing"));
        let nic = |address: &str| json!({"addresses": [address], "subnetRef": {"resource": "networks/n/subnets/s"}});
        world.put(Kind::Nic, "k", nic("10.0.1.7"));
        world.volume("v", Some("ubuntu-24.04"));
        let mut spec = World::instance_spec("v");
        spec["primaryNicRef"] = json!({"resource": "nics/k"});
        world.put(Kind::Instance, "i", spec);
        world.settle();
        assert_eq!(routes(&world), ["192.168.0.0/24 10.0.1.7"], "{target}");
        world.check(Kind::RouteTable, "n/t", ACTIVE, None);
        assert_eq!(world.status(Kind::RouteTable, "n/t")["routes"][0]["state"], "active");
        world.put(Kind::Nic, "k", nic("10.0.1.8"));
        world.settle();
        assert_eq!(routes(&world), ["192.168.0.0/24 10.0.1.8"], "{target}");
        world.delete(Kind::Instance, "i");
        world.settle();
        world.delete(Kind::Nic, "k");
        world.settle();
        assert!(routes(&world).is_empty(), "{target}");
        world.check(Kind::RouteTable, "n/t", ACTIVE, Some("DependencyMissing"));
    }
}
