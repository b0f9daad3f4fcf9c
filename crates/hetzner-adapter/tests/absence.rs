//! What lives is never called dead: what a list misses is asked for, what others did counts, and a restored database
//! finds its disks again.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::{ActionKind, Reason, Resource, ports::Plan};
use hetzner_adapter::{call::Call, objects::ObjectId};
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::World;

const ACTIVE: ResourceState = ResourceState::Active;
const ERROR: ResourceState = ResourceState::Error;

/// An instance `i` of a volume `v`, started or not.
fn with_instance(start: bool) -> World {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.put_with(Kind::Instance, "i", World::instance_spec("v"), start);
    world.settle();
    world.operations();
    world
}

/// Everything that owns an object, each beside a second one.
fn everything() -> World {
    let mut world = with_instance(true);
    world.volume("data", None);
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "x"}));
    world.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.0.1.0/24"}}));
    let route = json!({"destinationCidrBlock": "192.168.0.0/24", "targetRef": {"resource": "10.0.1.9"}});
    world.put(Kind::RouteTable, "n/t", json!({"routes": [route]}));
    world.put(Kind::PublicIp, "ip", json!({"version": "IPv4"}));
    world.image("m", "v");
    world.volume("kept", Some("debian-12"));
    world.put_with(Kind::Instance, "old", World::instance_spec("kept"), true);
    world.settle();
    world.delete(Kind::Instance, "old");
    world.settle();
    world.operations();
    world
}

/// Whether a call changes something.
fn changing(operation: &&'static str) -> bool {
    !matches!(*operation, "read" | "find" | "read_actions")
}

#[test]
fn what_no_list_shows_is_asked_for_and_nothing_else_happens() {
    let mut world = everything();
    let objects = world.model.servers.len() + world.model.volumes.len() + 4;
    for hidden in 0..objects {
        let before: Vec<Resource> = world.rows.values().cloned().collect();
        world.shift(&[hidden]);
        world.settle();
        let operations = world.operations();
        assert!(!operations.iter().any(changing), "object {hidden} is hidden: {operations:?}");
        for row in before {
            assert_eq!(world.rows[&row.uid], row, "object {hidden} is hidden");
        }
    }
}

#[test]
fn what_is_deleted_goes_though_no_list_shows_it() {
    let everything_hidden: Vec<usize> = (0..20).collect();
    let mut world = everything();
    world.shift(&everything_hidden);
    let rows: Vec<_> = world.rows.values().map(|row| row.key.clone()).collect();
    for key in rows {
        let name = if key.network.is_empty() { key.name } else { format!("{}/{}", key.network, key.name) };
        world.delete(key.kind, &name);
    }
    world.settle();
    assert!(world.rows.is_empty());
    // The shared firewall has no row that could ask for it; the next list shows it.
    world.model.firewalls.clear();
    assert!(world.model.is_empty(), "{:?}", world.model);
}

#[test]
fn what_was_made_and_not_yet_remembered_is_found_by_its_label() {
    for kind in [Kind::BlockStorage, Kind::Network, Kind::PublicIp] {
        let mut world = World::default();
        let uid = match kind {
            Kind::BlockStorage => world.volume("x", None),
            Kind::Network => world.put(kind, "x", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "x"})),
            _ => world.put(kind, "x", json!({"version": "IPv4"})),
        };
        // It is made, and its maker dies before the row says so.
        world.look(uid);
        world.operations();
        world.shift(&[0]);
        world.delete(kind, "x");
        world.settle();
        let operations = world.operations();
        assert_eq!(operations[0], "find", "{kind}");
        assert!(operations.iter().any(changing) && world.model.is_empty(), "{kind}: {operations:?}");
    }
}

#[test]
fn what_had_no_step_leaves_without_a_question() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.put(Kind::PublicIp, "ip", json!({"version": "IPv4"}));
    world.delete(Kind::BlockStorage, "v");
    world.delete(Kind::PublicIp, "ip");
    world.settle();
    assert!(world.operations().is_empty());
}

#[test]
fn the_answer_to_an_own_removal_is_proof_enough() {
    let mut world = World::default();
    world.volume("v", None);
    world.put(Kind::PublicIp, "ip", json!({"version": "IPv4"}));
    world.settle();
    world.operations();
    world.delete(Kind::BlockStorage, "v");
    world.delete(Kind::PublicIp, "ip");
    world.settle();
    assert_eq!(world.operations(), ["delete_volume", "delete_primary_ip"]);
}

// -- what others did --------------------------------------------------------------------------------------------

fn held(world: &World) -> bool {
    world.facts(Kind::BlockStorage, "v").get("backing") == Some(&json!("server"))
}

#[test]
fn a_server_that_somebody_switched_on_is_not_deleted_with_its_instance() {
    for (is_seen_on, is_off_by_now) in [(true, false), (true, true), (false, true)] {
        let mut world = with_instance(false);
        let server = world.model.servers[0].id;
        world.model.used.insert(ObjectId::Server(server));
        if is_seen_on {
            world.model.servers[0].status = "running".into();
            world.forget();
            world.settle();
            assert!(world.row(Kind::Instance, "i").marked("everStarted"));
            assert!(world.row(Kind::BlockStorage, "v").marked("everStarted"));
        }
        if is_off_by_now {
            world.model.servers[0].status = "off".into();
            world.forget();
        }
        world.delete(Kind::Instance, "i");
        world.settle();
        assert!(world.model.servers.iter().any(|kept| kept.id == server), "{is_seen_on} {is_off_by_now}");
        assert!(held(&world) && world.find(Kind::Instance, "i").is_none());
    }
}

#[test]
fn a_server_that_never_ran_goes_with_its_instance() {
    let mut world = with_instance(false);
    world.delete(Kind::Instance, "i");
    world.settle();
    assert_eq!(world.operations(), ["read_actions", "delete_server", "delete_firewall", "delete_ssh_key"]);
}

#[test]
fn what_was_asked_before_a_removal_was_tried_is_asked_again_before_the_next_try() {
    let mut world = with_instance(false);
    let uid = world.row(Kind::Instance, "i").uid;
    world.delete(Kind::Instance, "i");
    world.look(uid);
    assert_eq!(world.operations(), ["read_actions"]);
    let operation = |world: &World, attempts: u32| {
        let mut bundle = world.bundle(uid);
        bundle.attempts = attempts;
        match world.plan_bundle(&bundle).plan {
            Plan::Act(step) => step.operation,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(operation(&world, 0), "delete_server");
    // The removal was refused, and meanwhile somebody may have switched the server on, and off again.
    assert_eq!(operation(&world, 1), "read_actions");
}

#[test]
fn a_power_on_that_certainly_failed_leaves_no_mark() {
    let mut world = with_instance(false);
    assert!(world.act("i", ActionKind::Start));
    let started = |world: &World| {
        let Plan::Act(step) = world.plan_of(Kind::Instance, "i").plan else { panic!("it is to start") };
        step.marks.iter().map(|mark| (mark.facts.clone(), mark.undo.clone())).collect::<Vec<_>>()
    };
    let marks = started(&world);
    assert_eq!(marks.len(), 2, "the instance and its boot volume");
    for (facts, undo) in marks {
        assert_eq!((facts["everStarted"].clone(), undo["everStarted"].clone()), (json!(true), Value::Null));
    }
    // What an earlier try of unknown outcome may have made true stays.
    for (kind, name) in [(Kind::Instance, "i"), (Kind::BlockStorage, "v")] {
        world.row_mut(kind, name).facts.insert("everStarted".into(), json!(true));
    }
    assert!(started(&world).iter().all(|(_, undo)| undo.is_empty()));
}

#[test]
fn a_volume_that_somebody_attached_is_not_released() {
    for is_attached_now in [true, false] {
        let mut world = World::default();
        world.volume("v", None);
        world.settle();
        let volume = world.model.volumes[0].id;
        world.model.used.insert(ObjectId::Volume(volume));
        if is_attached_now {
            world.model.volumes[0].server = Some(4_711.into());
            world.forget();
            world.settle();
            assert!(world.row(Kind::BlockStorage, "v").marked("everAttached"));
        }
        world.instance("i", "v");
        world.settle();
        assert_eq!(world.model.volumes.len(), 1, "attached now: {is_attached_now}");
        world.check(Kind::BlockStorage, "v", ACTIVE, Some("Unsupported"));
    }
}

// -- restored databases -----------------------------------------------------------------------------------------

#[test]
fn an_instance_of_an_older_database_takes_its_server_back() {
    let mut world = with_instance(true);
    let backup = world.rows.clone();
    world.delete(Kind::Instance, "i");
    world.settle();
    assert!(held(&world));
    world.rows = backup;
    world.forget();
    world.operations();
    world.settle();
    assert_eq!(world.operations(), ["update_server"]);
    world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
    world.check(Kind::BlockStorage, "v", ACTIVE, None);
    assert_eq!(world.model.servers.len(), 1);
}

#[test]
fn a_volume_of_a_database_that_is_older_than_the_instance_keeps_the_disk() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.settle();
    let backup = world.rows.clone();
    world.put_with(Kind::Instance, "i", World::instance_spec("v"), true);
    world.settle();
    world.delete(Kind::Instance, "i");
    world.settle();
    world.rows = backup;
    world.forget();
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert!(held(&world) && world.model.servers.len() == 1);
    // A new instance does not get a second, empty disk.
    world.instance("j", "v");
    world.settle();
    assert_eq!(world.model.servers.len(), 1);
}

// -- drift of the firewall, power -------------------------------------------------------------------------------

#[test]
fn the_placeholder_is_closed_again_whatever_somebody_did_to_its_firewall() {
    type Change = fn(&mut World);
    let changes: [(Change, &[&str]); 3] = [
        (|world| world.model.firewalls[0].rules.clear(), &["set_firewall_rules"]),
        (|world| world.model.servers[0].public_net.firewalls.clear(), &["apply_firewall"]),
        (
            |world| {
                world.model.servers[0].public_net.firewalls.clear();
                world.model.firewalls.clear();
            },
            &["find", "create_firewall", "apply_firewall"],
        ),
    ];
    for (change, expected) in changes {
        let mut world = with_instance(false);
        change(&mut world);
        world.forget();
        world.settle();
        assert_eq!(world.operations(), expected);
        world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
    }
}

#[test]
fn a_start_after_a_stop_that_is_still_shutting_down_ends_on() {
    for guest_obeys in [true, false] {
        let mut world = with_instance(true);
        assert!(world.act("i", ActionKind::Stop));
        let uid = world.row(Kind::Instance, "i").uid;
        world.look(uid);
        assert!(world.act("i", ActionKind::Start), "the stop is not done, so it is to be off");
        world.look(uid);
        assert_eq!(world.operations(), ["shutdown", "read"]);
        if guest_obeys {
            world.model.servers[0].status = "off".into();
        }
        world.settle();
        let operations = world.operations();
        assert_eq!(operations.last(), Some(&"poweron"), "{operations:?}");
        assert_eq!(operations.contains(&"poweroff"), !guest_obeys, "the power is cut when the grace period is over");
        assert_eq!(world.status(Kind::Instance, "i")["powerState"], "on");
        world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
        // It is on for good: a shutdown of the guest is not waited for any more.
        assert!(world.act("i", ActionKind::Restart));
        world.settle();
        assert_eq!(world.operations(), ["reboot"]);
    }
}

#[test]
fn a_server_that_does_not_exist_is_off() {
    let mut world = with_instance(true);
    world.model.servers.clear();
    world.forget();
    world.settle();
    world.check(Kind::Instance, "i", ERROR, Some("BackingLost"));
    assert_eq!(world.status(Kind::Instance, "i")["powerState"], "off");
    assert_eq!(world.plan_of(Kind::Instance, "i").note.unwrap().reason, Reason::BackingLost);
    assert!(
        !matches!(world.plan_of(Kind::Instance, "i").plan, Plan::Act(step) if !matches!(Call::of(&step).unwrap(), Call::Read { .. }))
    );
}
