//! What NICs, public IPs, security groups, roles and role assignments come to at the provider, told by rows
//! and snapshots. Most of it is intent, and the status must not claim more.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use hcloud_client::types::IpType;
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::World;

const ACTIVE: ResourceState = ResourceState::Active;
const CREATING: ResourceState = ResourceState::Creating;
const UPDATING: ResourceState = ResourceState::Updating;

fn with_subnet(cidr: &str) -> World {
    let mut world = World::default();
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "hcloud-network"}));
    world.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": cidr}}));
    world.settle();
    world.operations();
    world
}

fn nic_spec(addresses: &[&str]) -> Value {
    json!({"addresses": addresses, "subnetRef": {"resource": "networks/n/subnets/s"}})
}

fn nic(world: &mut World, name: &str, addresses: &[&str]) {
    world.put(Kind::Nic, name, nic_spec(addresses));
    world.settle();
}

fn addresses(world: &World, name: &str) -> Value {
    world.status(Kind::Nic, name).get("addresses").cloned().unwrap_or_default()
}

fn message(world: &World, kind: Kind, name: &str) -> String {
    world.row(kind, name).conditions[0].message.clone().unwrap_or_default()
}

// -- NICs -------------------------------------------------------------------------------------------------------

#[test]
fn a_nic_reserves_what_it_asks_for_and_makes_nothing() {
    let mut world = with_subnet("10.0.1.0/24");
    nic(&mut world, "a", &["10.0.1.7", "10.0.1.9"]);
    world.check(Kind::Nic, "a", ACTIVE, Some("NotInEffect"));
    assert_eq!(addresses(&world, "a"), json!(["10.0.1.7", "10.0.1.9"]));
    assert!(world.operations().is_empty());
    world.delete(Kind::Nic, "a");
    world.settle();
    assert!(world.find(Kind::Nic, "a").is_none());
}

#[test]
fn of_two_nics_that_want_an_address_the_later_one_waits_until_it_is_free() {
    let mut world = with_subnet("10.0.1.0/24");
    nic(&mut world, "a", &["10.0.1.7"]);
    nic(&mut world, "b", &["10.0.1.7"]);
    world.check(Kind::Nic, "b", CREATING, Some("AddressConflict"));
    assert!(message(&world, Kind::Nic, "b").contains("`a`"));
    assert_eq!(addresses(&world, "b"), Value::Null, "nothing is claimed");
    nic(&mut world, "a", &["10.0.1.8"]);
    world.check(Kind::Nic, "b", ACTIVE, Some("NotInEffect"));
    assert_eq!(addresses(&world, "b"), json!(["10.0.1.7"]));
}

#[test]
fn an_open_choice_takes_a_free_address_and_keeps_it() {
    let mut world = with_subnet("10.0.1.0/29");
    nic(&mut world, "a", &["0.0.0.0", "10.0.1.2", "0.0.0.0"]);
    // The first host is the network's own where the subnet begins with the network, so it is never chosen.
    assert_eq!(addresses(&world, "a"), json!(["10.0.1.3", "10.0.1.2", "10.0.1.4"]));
    nic(&mut world, "b", &["0.0.0.0"]);
    assert_eq!(addresses(&world, "b"), json!(["10.0.1.5"]));
    nic(&mut world, "a", &["0.0.0.0"]);
    assert_eq!(addresses(&world, "a"), json!(["10.0.1.3"]));
    nic(&mut world, "c", &["10.0.1.6"]);
    nic(&mut world, "d", &["0.0.0.0", "0.0.0.0"]);
    nic(&mut world, "e", &["0.0.0.0"]);
    world.check(Kind::Nic, "e", CREATING, Some("AddressConflict"));
    assert!(message(&world, Kind::Nic, "e").contains("No address is left in 10.0.1.0/29"));
    nic(&mut world, "b", &["0.0.0.0"]);
    assert_eq!(addresses(&world, "b"), json!(["10.0.1.5"]), "a change about something else moves nobody");
}

#[test]
fn an_open_choice_leaves_others_what_they_wait_for() {
    let mut world = with_subnet("10.0.1.0/24");
    world.put(Kind::Nic, "b", nic_spec(&["10.0.1.2"]));
    world.put(Kind::Nic, "a", nic_spec(&["0.0.0.0"]));
    world.look(world.row(Kind::Nic, "a").uid);
    assert_eq!(addresses(&world, "a"), json!(["10.0.1.3"]));
}

#[test]
fn a_nic_waits_for_its_subnet_and_stays_when_that_is_gone() {
    let mut world = World::default();
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "x"}));
    world.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.0.1.0/24"}}));
    world.put(Kind::Nic, "a", nic_spec(&["0.0.0.0"]));
    world.look(world.row(Kind::Nic, "a").uid);
    world.check(Kind::Nic, "a", CREATING, Some("WaitingForDependency"));
    world.settle();
    world.check(Kind::Nic, "a", ACTIVE, Some("NotInEffect"));
    world.delete(Kind::Subnet, "n/s");
    world.settle();
    world.check(Kind::Nic, "a", ACTIVE, Some("DependencyMissing"));
    assert_eq!(addresses(&world, "a"), json!(["10.0.1.2"]));
    world.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.0.1.0/24"}}));
    world.settle();
    world.check(Kind::Nic, "a", ACTIVE, Some("NotInEffect"));
}

#[test]
fn a_nic_says_what_it_names_and_cannot_find_and_what_carries_nothing() {
    let mut world = with_subnet("10.0.1.0/24");
    let mut spec = nic_spec(&["10.0.1.7", "fd00::7"]);
    spec["publicIpRefs"] = json!([{"resource": "public-ips/later"}]);
    world.put(Kind::Nic, "a", spec);
    world.settle();
    world.check(Kind::Nic, "a", ACTIVE, Some("DependencyMissing"));
    let said = message(&world, Kind::Nic, "a");
    assert!(said.contains("`public-ips/later`") && said.contains("IPv6"), "{said}");
    assert_eq!(addresses(&world, "a"), json!(["10.0.1.7"]));
    assert!(world.status(Kind::Nic, "a").get("publicIpRefs").is_none(), "none leads to it");
    world.put(Kind::PublicIp, "later", json!({"version": "IPv4"}));
    world.settle();
    world.check(Kind::Nic, "a", ACTIVE, Some("IPv6Unsupported"));
}

// -- public IPs -------------------------------------------------------------------------------------------------

#[test]
fn a_public_ip_is_a_primary_ip_whose_address_the_provider_chooses() {
    let mut world = World::default();
    world.put(Kind::PublicIp, "p", json!({"version": "IPv4"}));
    world.settle();
    world.check(Kind::PublicIp, "p", ACTIVE, Some("NotInEffect"));
    assert_eq!(world.status(Kind::PublicIp, "p")["ipAddress"], world.model.primary_ips[0].ip);
    world.put(Kind::PublicIp, "p", json!({"version": "IPv4", "address": "198.51.100.1"}));
    world.settle();
    world.check(Kind::PublicIp, "p", ACTIVE, Some("AddressNotHonoured"));
    assert!(message(&world, Kind::PublicIp, "p").contains("198.51.100.1"));
    assert_eq!(world.operations(), ["create_primary_ip"], "a wish makes no new one");
    world.delete(Kind::PublicIp, "p");
    world.settle();
    assert_eq!(world.operations(), ["delete_primary_ip"]);
    assert!(world.model.is_empty() && world.find(Kind::PublicIp, "p").is_none());
}

#[test]
fn of_an_ipv6_block_the_first_host_is_the_address_and_another_family_is_another_object() {
    let mut world = World::default();
    world.put(Kind::PublicIp, "p", json!({"version": "IPv6"}));
    world.settle();
    assert_eq!(world.model.primary_ips[0].kind, IpType::Ipv6);
    assert_eq!(world.status(Kind::PublicIp, "p")["ipAddress"], "2001:db8:1::1");
    world.put(Kind::PublicIp, "p", json!({"version": "IPv4"}));
    world.settle();
    assert_eq!(world.operations(), ["create_primary_ip", "delete_primary_ip", "create_primary_ip"]);
    world.check(Kind::PublicIp, "p", ACTIVE, Some("NotInEffect"));
}

#[test]
fn a_vanished_address_is_replaced_and_the_loss_is_told() {
    let mut world = World::default();
    world.put(Kind::PublicIp, "p", json!({"version": "IPv4"}));
    world.settle();
    let lost = world.model.primary_ips[0].ip.clone();
    world.model.primary_ips.clear();
    world.forget();
    world.settle();
    world.settle();
    world.check(Kind::PublicIp, "p", ACTIVE, Some("AddressNotHonoured"));
    assert!(message(&world, Kind::PublicIp, "p").contains(&lost));
    assert_eq!(world.model.primary_ips.len(), 1);
}

#[test]
fn an_address_that_somebody_assigned_by_hand_is_not_taken_from_its_server() {
    let mut world = World::default();
    world.put(Kind::PublicIp, "p", json!({"version": "IPv4"}));
    world.settle();
    world.operations();
    world.model.primary_ips[0].assignee_id = Some(4711);
    world.forget();
    world.delete(Kind::PublicIp, "p");
    world.settle();
    world.check(Kind::PublicIp, "p", ResourceState::Deleting, Some("WaitingForDependency"));
    assert!(world.operations().is_empty());
    world.model.primary_ips[0].assignee_id = None;
    world.forget();
    world.settle();
    assert_eq!(world.operations(), ["delete_primary_ip"]);
}

// -- security groups --------------------------------------------------------------------------------------------

#[test]
fn a_group_and_its_rules_never_claim_to_filter() {
    let mut world = World::default();
    world.put(Kind::SecurityGroupRule, "r", json!({"direction": "ingress"}));
    let rules = json!({"rules": [{"direction": "ingress"}], "ruleRefs": [{"resource": "security-group-rules/r"}]});
    world.put(Kind::SecurityGroup, "g", rules);
    world.settle();
    for (kind, name) in [(Kind::SecurityGroup, "g"), (Kind::SecurityGroupRule, "r")] {
        world.check(kind, name, ACTIVE, Some("NotInEffect"));
    }
    assert!(message(&world, Kind::SecurityGroupRule, "r").contains("`security-groups/g`"));
    assert_eq!(world.status(Kind::SecurityGroup, "g")["rules"][0]["state"], "pending");
    world.delete(Kind::SecurityGroupRule, "r");
    world.settle();
    world.check(Kind::SecurityGroup, "g", ACTIVE, Some("DependencyMissing"));
    assert_eq!(world.status(Kind::SecurityGroup, "g")["rules"].as_array().unwrap().len(), 1);
    assert!(world.operations().is_empty());
}

// -- roles ------------------------------------------------------------------------------------------------------

#[test]
fn an_assignment_says_which_of_its_roles_are_missing() {
    let mut world = World::default();
    let permission = json!({"provider": "seca.storage/v1", "resources": ["*"], "verb": ["GET"]});
    let assignment = |role: &str| json!({"subs": ["a"], "scopes": [{}], "roles": [role]});
    world.put(Kind::RoleAssignment, "a", assignment("r"));
    world.settle();
    world.check(Kind::RoleAssignment, "a", ACTIVE, Some("DependencyMissing"));
    world.put(Kind::Role, "r", json!({"permissions": [permission]}));
    world.settle();
    world.check(Kind::Role, "r", ACTIVE, None);
    world.check(Kind::RoleAssignment, "a", ACTIVE, None);
    world.put(Kind::RoleAssignment, "a", assignment("seca.admin"));
    world.check(Kind::RoleAssignment, "a", UPDATING, None);
    world.settle();
    world.check(Kind::RoleAssignment, "a", ACTIVE, None);
}
