//! What an instance with keys, NICs, addresses, groups, volumes and neighbours comes to, told by rows and snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

#[path = "mapping_instances/changes.rs"]
mod changes;
#[path = "mapping_instances/cycles.rs"]
mod cycles;
#[path = "mapping_instances/limits.rs"]
mod limits;
#[path = "mapping_instances/shared.rs"]
mod shared;
#[path = "mapping_instances/upgrade.rs"]
mod upgrade;

use control_plane::ActionKind;
use hcloud_client::types::{Server, ServerStatus};
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::World;

const ACTIVE: ResourceState = ResourceState::Active;
const CREATING: ResourceState = ResourceState::Creating;
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6 ann@laptop";

/// References to resources of a collection.
fn refs(collection: &str, names: &[&str]) -> Value {
    names.iter().map(|name| json!({"resource": format!("{collection}/{name}")})).collect()
}

/// Changes members of a specification; null removes one.
fn patched(mut spec: Value, patch: &Value) -> Value {
    for (name, value) in patch.as_object().unwrap() {
        match value {
            Value::Null => drop(spec.as_object_mut().unwrap().remove(name)),
            value => drop(spec.as_object_mut().unwrap().insert(name.clone(), value.clone())),
        }
    }
    spec
}

/// A network `n` with the subnets `a` (10.0.1.0/24) and `b` (10.0.2.0/24).
fn networked() -> World {
    let mut world = World::default();
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "x"}));
    world.put(Kind::Subnet, "n/a", json!({"cidr": {"ipv4": "10.0.1.0/24"}, "zone": "fsn1"}));
    world.put(Kind::Subnet, "n/b", json!({"cidr": {"ipv4": "10.0.2.0/24"}, "zone": "fsn1"}));
    world
}

fn nic(world: &mut World, name: &str, addresses: &[&str], patch: &Value) {
    let spec = json!({"addresses": addresses, "subnetRef": {"resource": "networks/n/subnets/a"}});
    world.put(Kind::Nic, name, patched(spec, patch));
}

fn public_ip(world: &mut World, name: &str, version: &str) {
    world.put(Kind::PublicIp, name, json!({"version": version}));
}

/// A group that lets TCP in to one port.
fn group(world: &mut World, name: &str, port: u16) {
    let rule = json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": port}});
    world.put(Kind::SecurityGroup, name, json!({"rules": [rule]}));
}

/// An instance of that name, which boots from a volume of its own.
fn instance(world: &mut World, name: &str, patch: &Value) {
    let volume = format!("boot-{name}");
    if world.find(Kind::BlockStorage, &volume).is_none() {
        world.volume(&volume, Some("ubuntu-24.04"));
    }
    world.put(Kind::Instance, name, patched(World::instance_spec(&volume), patch));
}

/// The same, settled, then switched on.
fn running(world: &mut World, name: &str, patch: &Value) {
    instance(world, name, patch);
    world.settle();
    power(world, name, ActionKind::Start);
}

fn power(world: &mut World, name: &str, action: ActionKind) {
    assert!(world.act(name, action), "{name}: {action:?}");
    world.settle();
}

/// The server of an instance.
fn server(world: &World, name: &str) -> Server {
    let uid = world.row(Kind::Instance, name).uid;
    let is_its = |server: &&Server| hetzner_adapter::naming::uid_of(&server.labels) == Some(uid);
    world.model.servers.iter().find(is_its).unwrap_or_else(|| panic!("no server of {name}")).clone()
}

/// What a server has, in the names of the resources that it has it by.
fn has(world: &World, name: &str) -> Value {
    let server = server(world, name);
    let named = |labels: &hcloud_client::types::Labels| match labels.get("seca.name") {
        Some(name) => name.clone(),
        None => labels.get("seca.purpose").cloned().unwrap_or_else(|| "foreign".to_owned()),
    };
    let address = |id: Option<hcloud_client::types::Id<_>>| {
        let ip = world.model.primary_ips.iter().find(|ip| Some(ip.id) == id);
        ip.map_or_else(
            || "made with it".to_owned(),
            |ip| ip.labels.get("seca.role").cloned().unwrap_or(named(&ip.labels)),
        )
    };
    let mut firewalls: Vec<String> = server
        .public_net
        .firewalls
        .iter()
        .map(|applied| named(&world.model.firewalls.iter().find(|f| f.id == applied.id).unwrap().labels))
        .collect();
    firewalls.sort();
    let mut volumes: Vec<String> = server
        .volumes
        .iter()
        .map(|id| named(&world.model.volumes.iter().find(|volume| volume.id == *id).unwrap().labels))
        .collect();
    volumes.sort();
    let nets: Vec<Value> = server.private_net.iter().map(|net| json!([net.ip, net.alias_ips])).collect();
    json!({
        "ipv4": server.public_net.ipv4.as_ref().map(|ip| address(ip.id)),
        "ipv6": server.public_net.ipv6.as_ref().map(|ip| address(ip.id)),
        "firewalls": firewalls, "volumes": volumes, "nets": nets,
        "group": server.placement_group.as_ref().map(|group| named(&group.labels)),
        "on": server.status == ServerStatus::Running,
    })
}

/// Checks what a server has; members that are left out are empty.
fn check(world: &World, name: &str, wanted: &Value) {
    let empty =
        json!({"ipv4": null, "ipv6": null, "firewalls": [], "volumes": [], "nets": [], "group": null, "on": false});
    let mut all = empty;
    all.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
    let message = world.message(Kind::Instance, name);
    assert_eq!(has(world, name), all, "{name}: {message}");
}

/// Nothing but looks.
fn nothing_changes(operations: &[&str]) -> bool {
    operations.iter().all(|operation| matches!(*operation, "read" | "find" | "read_actions"))
}

fn firewall_of<'a>(world: &'a World, name: &str) -> Option<&'a hcloud_client::types::Firewall> {
    world.model.firewalls.iter().find(|f| f.labels.get("seca.name").is_some_and(|of| of == name))
}

#[test]
fn the_walk_of_the_usage_page_comes_to_exactly_what_it_names() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    let rules = json!([
        {"direction": "ingress", "version": "IPv4", "protocol": "tcp", "ports": {"from": 22},
         "sourceRef": [{"resource": "192.0.2.1"}]},
        {"direction": "ingress", "protocol": "tcp", "ports": {"list": [80, 443]}},
    ]);
    world.put(Kind::SecurityGroup, "g", json!({"rules": rules}));
    let more =
        json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", &["g"])});
    nic(&mut world, "k", &["10.0.1.20", "0.0.0.0"], &more);
    world.volume("d", None);
    let all = json!({
        "sshKeys": [KEY], "antiAffinityGroup": "apart", "primaryNicRef": {"resource": "nics/k"},
        "dataVolumes": [{"deviceRef": {"resource": "block-storages/d"}}],
    });
    running(&mut world, "i", &all);

    let aliases = server(&world, "i").private_net[0].alias_ips.clone();
    assert_eq!(aliases.len(), 1);
    check(
        &world,
        "i",
        &json!({"ipv4": "p", "firewalls": ["g"], "volumes": ["d"], "nets": [["10.0.1.20", aliases]],
                "group": "placement-group", "on": true}),
    );
    world.check(Kind::Instance, "i", ACTIVE, None);
    world.check(Kind::SecurityGroup, "g", ACTIVE, None);
    world.check(Kind::BlockStorage, "d", ACTIVE, Some("Attached"));
    world.check(Kind::PublicIp, "p", ACTIVE, None);
    world.check(Kind::Nic, "k", ACTIVE, Some("NotEnforcedOnPrivateNic"));
    let volume = world.model.volumes[0].id;
    let message = world.message(Kind::BlockStorage, "d");
    assert!(message.contains(&format!("/dev/disk/by-id/scsi-0HC_Volume_{volume}")), "{message}");
    assert!(world.status(Kind::BlockStorage, "d")["attachedTo"]["resource"].as_str().unwrap().ends_with("instances/i"));
    let ip = world.status(Kind::PublicIp, "p");
    assert!(ip["attachedTo"]["resource"].as_str().unwrap().ends_with("nics/k"), "{ip}");
    assert_eq!(ip["ipAddress"], world.model.primary_ips[0].ip);
    let nic = world.status(Kind::Nic, "k");
    assert_eq!(nic["addresses"], json!(["10.0.1.20", aliases[0]]));
    assert_eq!(nic["macAddress"], json!(server(&world, "i").private_net[0].mac_address));
    assert!(nic["publicIpRefs"][0]["resource"].as_str().unwrap().ends_with("public-ips/p"), "{nic}");
    let firewall = firewall_of(&world, "g").unwrap();
    let ins: Vec<(Option<String>, usize)> = firewall
        .rules
        .iter()
        .filter(|rule| rule.direction == hcloud_client::types::RuleDirection::In)
        .map(|rule| (rule.port.clone(), rule.source_ips.len()))
        .collect();
    let port = |port: &str| Some(port.to_owned());
    assert_eq!(ins, [(port("22"), 1), (port("80"), 2), (port("443"), 2)]);
    assert_eq!((world.model.firewalls.len(), world.model.ssh_keys.len(), world.model.servers.len()), (1, 1, 1));

    let made = world.operations();
    let position = |wanted: &str| made.iter().position(|operation| *operation == wanted);
    assert!(position("attach_to_network") < position("poweron"), "{made:?}");

    for kind in [Kind::Instance, Kind::BlockStorage, Kind::Nic, Kind::PublicIp, Kind::SecurityGroup, Kind::Subnet] {
        let names: Vec<String> =
            world.rows.values().filter(|row| row.key.kind == kind).map(|row| row.key.name.clone()).collect();
        for name in names {
            world.delete(kind, if kind == Kind::Subnet { format!("n/{name}") } else { name }.as_str());
        }
    }
    world.delete(Kind::Network, "n");
    world.settle();
    world.delete(Kind::Workspace, "w");
    world.settle();
    assert!(world.rows.is_empty() && world.model.is_empty(), "{:?}", world.model);
}

#[test]
fn a_server_without_a_group_is_open_or_closed_as_the_operator_chooses() {
    for closed in [false, true] {
        let mut world = networked();
        world.settings.ungrouped_closed = closed;
        public_ip(&mut world, "p", "IPv4");
        nic(&mut world, "k", &["0.0.0.0"], &json!({"publicIpRefs": refs("public-ips", &["p"])}));
        running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
        let firewalls = if closed { json!(["deny-all"]) } else { json!([]) };
        check(&world, "i", &json!({"ipv4": "p", "firewalls": firewalls, "nets": [["10.0.1.2", []]], "on": true}));
        let told = if closed { "ClosedWithoutGroup" } else { "Unfiltered" };
        world.check(Kind::Instance, "i", ACTIVE, Some(told));
    }
}

#[test]
fn a_private_server_has_no_public_interface_and_one_without_any_a_closed_one() {
    let mut world = networked();
    nic(&mut world, "k", &["0.0.0.0"], &json!({}));
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    check(&world, "i", &json!({"nets": [["10.0.1.2", []]], "on": true}));
    running(&mut world, "j", &json!({}));
    check(&world, "j", &json!({"ipv6": "made with it", "firewalls": ["deny-all"], "on": true}));
    world.check(Kind::Instance, "j", ACTIVE, Some("PlaceholderInterface"));
}

#[test]
fn where_a_group_is_named_the_server_is_never_without_a_firewall_of_ours() {
    // Its rules are not known yet, it does not exist, it is being deleted.
    for gone in [false, true] {
        let mut world = networked();
        public_ip(&mut world, "p", "IPv4");
        group(&mut world, "g", 22);
        nic(&mut world, "k", &["0.0.0.0"], &json!({"publicIpRefs": refs("public-ips", &["p"])}));
        let named =
            json!({"primaryNicRef": {"resource": "nics/k"}, "securityGroupRef": {"resource": "security-groups/g"}});
        if gone {
            world.delete(Kind::SecurityGroup, "g");
            world.settle();
            // What is missing is told, whatever the operator does with instances that name none.
            world.settings.ungrouped_closed = true;
        }
        running(&mut world, "i", &named);
        let firewalls = if gone { json!(["deny-all"]) } else { json!(["g"]) };
        let nets = json!([["10.0.1.2", []]]);
        check(&world, "i", &json!({"ipv4": "p", "firewalls": firewalls, "nets": nets, "on": true}));
        if gone {
            world.check(Kind::Instance, "i", ACTIVE, Some("DependencyMissing"));
            group(&mut world, "g", 22);
        } else {
            world.delete(Kind::SecurityGroup, "g");
        }
        world.settle();
        let firewalls = if gone { json!(["g"]) } else { json!(["deny-all"]) };
        check(&world, "i", &json!({"ipv4": "p", "firewalls": firewalls, "nets": nets, "on": true}));
        assert_eq!(world.model.firewalls.len(), 1, "{:?}", world.model.firewalls);
    }
}

#[test]
fn groups_of_the_instance_and_of_its_nics_are_united() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    public_ip(&mut world, "q", "IPv6");
    for (name, port) in [("g", 22), ("h", 80), ("x", 443)] {
        group(&mut world, name, port);
    }
    let of = |ip: &str, group: &str| json!({"publicIpRefs": refs("public-ips", &[ip]), "securityGroupRefs": refs("security-groups", &[group])});
    nic(&mut world, "k", &["0.0.0.0"], &of("p", "h"));
    nic(&mut world, "l", &["0.0.0.0"], &of("q", "x"));
    let all = json!({
        "primaryNicRef": {"resource": "nics/k"}, "additionalNicRefs": refs("nics", &["l"]),
        "securityGroupRef": {"resource": "security-groups/g"},
    });
    running(&mut world, "i", &all);
    check(
        &world,
        "i",
        &json!({"ipv4": "p", "ipv6": "q", "firewalls": ["g", "h", "x"], "nets": [["10.0.1.2", ["10.0.1.3"]]], "on": true}),
    );
    world.check(Kind::Instance, "i", ACTIVE, Some("AliasNic"));
    let mac = world.status(Kind::Nic, "k")["macAddress"].clone();
    assert_eq!(world.status(Kind::Nic, "l")["macAddress"], mac, "they share an interface");
    for (ip, nic) in [("p", "k"), ("q", "l")] {
        let status = world.status(Kind::PublicIp, ip);
        assert!(status["attachedTo"]["resource"].as_str().unwrap().ends_with(&format!("nics/{nic}")), "{status}");
    }
}
