//! Regions of several zones: where volumes and public IPs are made, and what becomes of those that lie elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::ActionKind;
use hcloud_client::types::ServerStatus;
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::World;

const LOCATION_EXTENSION: &str = hetzner_adapter::PROVIDER.location_extension;
const ACTIVE: ResourceState = ResourceState::Active;
const ZONES: [&str; 3] = ["fsn1", "nbg1", "hel1"];

fn to(resource: &str) -> Value {
    json!({"resource": resource})
}

fn volume() -> Value {
    json!({"skuRef": to("skus/hcloud-volume"), "sizeGB": 20})
}

fn address() -> Value {
    json!({"version": "IPv4"})
}

fn nic(address: &str, ip: &str) -> Value {
    json!({"addresses": [address], "subnetRef": to("networks/n/subnets/s"), "publicIpRefs": [to(&format!("public-ips/{ip}"))]})
}

fn instance(zone: &str, boot: &str, nic: &str, data: &str) -> Value {
    json!({
        "skuRef": to("skus/cx23"), "zone": zone,
        "bootVolume": {"deviceRef": to(&format!("block-storages/{boot}"))},
        "primaryNicRef": to(&format!("nics/{nic}")),
        "dataVolumes": [{"deviceRef": to(&format!("block-storages/{data}"))}],
    })
}

fn world(zones: &[&str]) -> World {
    let mut world = World::of_zones(zones);
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "hcloud-network"}));
    world.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.0.1.0/24"}}));
    world.settle();
    world.operations();
    world
}

/// Everything that an instance uses.
fn parts(world: &mut World) {
    world.put(Kind::PublicIp, "ip", address());
    world.put(Kind::BlockStorage, "data", volume());
    world.put(Kind::BlockStorage, "boot", volume());
    world.put(Kind::Nic, "nic", nic("10.0.1.7", "ip"));
}

fn locations(world: &World) -> Vec<String> {
    let model = &world.model;
    let volumes = model.volumes.iter().map(|volume| &volume.location);
    let servers = model.servers.iter().map(|server| &server.location);
    let all = volumes.chain(servers).chain(model.primary_ips.iter().map(|ip| &ip.location));
    all.map(|location| location.name.clone()).collect()
}

#[test]
fn in_a_region_of_one_zone_everything_is_made_at_once() {
    let mut world = world(&["fsn1"]);
    world.put(Kind::PublicIp, "ip", address());
    world.put(Kind::BlockStorage, "data", volume());
    world.settle();
    let mut made = world.operations();
    made.sort_unstable();
    assert_eq!(made, ["create_primary_ip", "create_volume"]);
    assert_eq!(locations(&world), ["fsn1", "fsn1"]);
}

#[test]
fn what_nobody_uses_is_active_and_awaits_its_zone() {
    let mut world = world(&ZONES);
    parts(&mut world);
    world.settle();
    assert!(world.operations().is_empty(), "nothing is made");
    for (kind, name) in [(Kind::PublicIp, "ip"), (Kind::BlockStorage, "data"), (Kind::BlockStorage, "boot")] {
        world.check(kind, name, ACTIVE, Some("AwaitingZone"));
        assert!(world.message(kind, name).contains("fsn1, nbg1, hel1"), "{}", world.message(kind, name));
    }
    world.check(Kind::Nic, "nic", ACTIVE, Some("NotInEffect"));
    assert_eq!(world.status(Kind::BlockStorage, "data")["sizeGB"], 20);
    assert_eq!(world.status(Kind::PublicIp, "ip").get("ipAddress"), None);
    // Nothing stands behind it, so nothing is in the way of its end.
    for (kind, name) in
        [(Kind::Nic, "nic"), (Kind::PublicIp, "ip"), (Kind::BlockStorage, "data"), (Kind::BlockStorage, "boot")]
    {
        world.delete(kind, name);
    }
    world.settle();
    assert!(world.find(Kind::PublicIp, "ip").is_none() && world.find(Kind::BlockStorage, "data").is_none());
    assert!(world.operations().is_empty());
}

/// The instance finds everything active and made nowhere, as Terraform brings it, or all of it comes at once.
#[test]
fn what_an_instance_uses_is_made_in_its_zone() {
    for step_by_step in [true, false] {
        let mut world = world(&ZONES);
        parts(&mut world);
        if step_by_step {
            world.settle();
        }
        world.put_with(Kind::Instance, "i", instance("nbg1", "boot", "nic", "data"), true);
        world.settle();
        world.check(
            Kind::Instance,
            "i",
            ACTIVE,
            world.row(Kind::Instance, "i").conditions[0].reason.clone().as_deref(),
        );
        assert_eq!(locations(&world), ["nbg1", "nbg1", "nbg1"], "a volume, a server, an address");
        let (server, ip, disk) = (&world.model.servers[0], &world.model.primary_ips[0], &world.model.volumes[0]);
        assert_eq!((server.status.clone(), disk.server), (ServerStatus::Running, Some(server.id)));
        assert_eq!(ip.assignee_id, Some(server.id.get()));
        let made = world.operations();
        let creations: Vec<_> = made.iter().filter(|call| call.starts_with("create_")).collect();
        assert_eq!(creations.iter().filter(|call| ***call == "create_volume").count(), 1, "{made:?}");
        assert!(
            !made.contains(&"attach_volume") && !made.contains(&"assign_primary_ip"),
            "from the first call: {made:?}"
        );
        assert_eq!(world.facts(Kind::Nic, "nic")["zone"], "nbg1");
        for (kind, name) in [(Kind::PublicIp, "ip"), (Kind::BlockStorage, "data")] {
            assert_eq!(world.facts(kind, name)["location"], "nbg1");
        }
        assert_eq!(
            world.status(Kind::PublicIp, "ip")["attachedTo"]["resource"].as_str().map(|r| r.ends_with("nics/nic")),
            Some(true)
        );
        // A restart, which knows the lists alone, changes nothing.
        world.forget();
        world.settle();
        assert!(world.operations().iter().all(|call| call.starts_with("find") || call.starts_with("read")));
    }
}

#[test]
fn what_is_made_stays_where_it_is_when_its_instance_goes() {
    let mut world = world(&ZONES);
    parts(&mut world);
    world.put_with(Kind::Instance, "i", instance("nbg1", "boot", "nic", "data"), false);
    world.settle();
    world.delete(Kind::Instance, "i");
    world.settle();
    assert!(world.find(Kind::Instance, "i").is_none());
    assert_eq!(locations(&world), ["nbg1", "nbg1"], "the volume and the address");
    assert_eq!(world.facts(Kind::Nic, "nic").get("zone"), None);
    world.operations();
    // Another one in another zone does without them, and says why.
    world.put(Kind::BlockStorage, "boot2", volume());
    world.put_with(Kind::Instance, "j", instance("hel1", "boot2", "nic", "data"), true);
    world.settle();
    world.check(Kind::Instance, "j", ACTIVE, Some("InOtherZone"));
    let message = world.message(Kind::Instance, "j");
    for part in ["public IP `ip` lies in nbg1", "block storage `data` lies in nbg1", "in hel1"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    for (kind, name) in [(Kind::PublicIp, "ip"), (Kind::BlockStorage, "data")] {
        world.check(kind, name, ACTIVE, Some("InOtherZone"));
    }
    assert_eq!(world.model.servers[0].status, ServerStatus::Off, "it has not all that it is to have");
    assert_eq!(locations(&world), ["nbg1", "hel1", "nbg1"], "nothing moved");
    // What lies there takes its place.
    world.put(Kind::BlockStorage, "data2", volume());
    world.put(Kind::PublicIp, "ip2", address());
    world.put(Kind::Nic, "nic2", nic("10.0.1.8", "ip2"));
    world.put(Kind::Instance, "j", instance("hel1", "boot2", "nic2", "data2"));
    world.settle();
    let server = &world.model.servers[0];
    assert_eq!(
        (server.status.clone(), server.volumes.len()),
        (ServerStatus::Running, 1),
        "{}",
        world.message(Kind::Instance, "j")
    );
    assert!(server.public_net.ipv4.is_some());
    assert_eq!(world.row(Kind::BlockStorage, "data").holder, None, "the claim ends");
    assert!(world.find(Kind::Nic, "nic").unwrap().holder.is_none());
}

#[test]
fn a_chosen_location_counts_before_any_instance() {
    let mut world = world(&ZONES);
    world.put_extended(Kind::PublicIp, "ip", address(), (LOCATION_EXTENSION, "hel1"));
    world.put_extended(Kind::BlockStorage, "data", volume(), (LOCATION_EXTENSION, "hel1-dc2"));
    world.settle();
    assert_eq!(locations(&world), ["hel1", "hel1"]);
    world.check(Kind::BlockStorage, "data", ACTIVE, None);
    // Chosen later, it moves nothing, and is told.
    for (kind, name, spec) in [(Kind::PublicIp, "ip", address()), (Kind::BlockStorage, "data", volume())] {
        world.put_extended(kind, name, spec, (LOCATION_EXTENSION, "nbg1"));
        world.settle();
        world.check(kind, name, ACTIVE, Some("InOtherZone"));
        assert!(
            world.message(kind, name).contains("It lies in hel1, and stays there"),
            "{}",
            world.message(kind, name)
        );
    }
    assert_eq!(locations(&world), ["hel1", "hel1"]);
}

/// A NIC that no instance has keeps an address from nobody, whoever named it first.
#[test]
fn an_address_without_a_zone_is_the_nics_that_an_instance_has() {
    let mut world = world(&ZONES);
    world.put(Kind::PublicIp, "ip", address());
    world.put(Kind::Nic, "idle", nic("10.0.1.8", "ip"));
    world.settle();
    world.check(Kind::PublicIp, "ip", ACTIVE, Some("AwaitingZone"));
    world.check(Kind::Nic, "idle", ACTIVE, Some("NotInEffect"));
    parts(&mut world);
    world.put_with(Kind::Instance, "i", instance("nbg1", "boot", "nic", "data"), true);
    world.settle();
    let (server, ip) = (&world.model.servers[0], &world.model.primary_ips[0]);
    assert_eq!((ip.location.name.as_str(), ip.assignee_id), ("nbg1", Some(server.id.get())));
    world.check(Kind::Nic, "idle", ACTIVE, Some("AddressInUse"));
    // It is a resource of its own from now on: whoever comes next has it.
    world.delete(Kind::Instance, "i");
    world.delete(Kind::Nic, "nic");
    world.settle();
    let uid = world.row(Kind::Nic, "idle").uid;
    assert_eq!(world.row(Kind::PublicIp, "ip").holder, Some(uid));
}

#[test]
fn two_instances_that_name_one_address_in_two_zones_end_with_one_of_them_having_it() {
    let mut world = world(&ZONES);
    parts(&mut world);
    world.put(Kind::Nic, "other", nic("10.0.1.8", "ip"));
    world.put(Kind::BlockStorage, "boot2", volume());
    world.put(Kind::BlockStorage, "data2", volume());
    world.settle();
    world.put_with(Kind::Instance, "i", instance("nbg1", "boot", "nic", "data"), true);
    world.put_with(Kind::Instance, "j", instance("hel1", "boot2", "other", "data2"), true);
    world.settle();
    let ip = &world.model.primary_ips[0];
    let user = world.model.servers.iter().find(|server| Some(server.id.get()) == ip.assignee_id).unwrap();
    assert_eq!(user.location.name, ip.location.name);
    assert_eq!(world.model.servers.len(), 2, "the other one is made without it");
    assert!(world.act("i", ActionKind::Stop) && world.act("j", ActionKind::Stop));
    world.settle();
    assert!(world.model.servers.iter().all(|server| server.status == ServerStatus::Off));
}
