//! Disks that outlive their instances: kept with their server, used again, turned into snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

#[path = "mapping_disks/before.rs"]
mod before;
#[path = "mapping_disks/console.rs"]
mod console;
#[path = "mapping_disks/starts.rs"]
mod starts;

use control_plane::{ActionKind, Reason, Resource, ports::Plan, state};
use hcloud_client::types::ServerStatus;
use hetzner_adapter::{Observation, call::Call, objects::ObjectId, snapshot::Change};
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::{
    World,
    weather::{Fate, WINDOW},
};

const ACTIVE: ResourceState = ResourceState::Active;
const CREATING: ResourceState = ResourceState::Creating;
const ERROR: ResourceState = ResourceState::Error;
const MINUTE: i64 = 60_000;
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6 ann@laptop";

/// A world whose block storage `v` keeps the server of the deleted instance `i`, which ran.
fn held() -> World {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.instance("i", "v");
    world.settle();
    world.act("i", ActionKind::Start);
    world.settle();
    world.delete(Kind::Instance, "i");
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert!(world.find(Kind::Instance, "i").is_none());
    world.operations();
    world
}

fn spec(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = World::instance_spec("v");
    change(&mut spec);
    spec
}

fn wait_out_the_hold(world: &mut World) {
    world.now += 15 * MINUTE;
    world.settle();
}

fn extend(world: &mut World, name: &str, value: &str) {
    let extensions: Value = json!({name: value});
    world.row_mut(Kind::BlockStorage, "v").extensions = Some(extensions.to_string());
}

fn boot_volume(world: &World) -> &Resource {
    world.row(Kind::BlockStorage, "v")
}

#[test]
fn the_next_instance_has_the_same_server_if_it_asks_for_the_same() {
    let mut world = held();
    let server = world.model.servers[0].id;
    let said = world.message(Kind::BlockStorage, "v");
    assert!(said.contains("a switched-off cx23, billed until 2"), "{said}");
    world.instance("j", "v");
    world.settle();
    assert_eq!(world.operations(), ["update_server"], "nothing is made and nothing is lost");
    assert_eq!((world.model.servers.len(), world.model.servers[0].id), (1, server));
    assert_eq!(
        world.status(Kind::BlockStorage, "v")["attachedTo"]["resource"],
        "seca.compute/v1/tenants/t/workspaces/w/instances/j"
    );
    world.act("j", ActionKind::Start);
    world.settle();
    assert_eq!(world.status(Kind::Instance, "j")["powerState"], "on");
    // And so on.
    world.delete(Kind::Instance, "j");
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert_eq!(world.model.servers[0].id, server);
}

#[test]
fn an_instance_that_asks_for_something_else_is_made_from_a_snapshot() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 2] = [
        ("user data", |spec| spec["userData"] = json!("#!/bin/sh\ntrue\n")),
        ("keys", |spec| {
            spec["sshKeys"] =
                json!(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a"])
        }),
    ];
    for (what, change) in changes {
        let mut world = held();
        let first = world.model.servers[0].id;
        world.put(Kind::Instance, "j", spec(change));
        world.settle();
        let calls = world.operations();
        let at = |call: &str| {
            calls.iter().position(|made| *made == call).unwrap_or_else(|| panic!("{what}: {call}: {calls:?}"))
        };
        assert!(
            at("create_image") < at("delete_server") && at("delete_server") < at("create_server"),
            "{what}: {calls:?}"
        );
        assert_eq!(world.model.servers.len(), 1);
        assert_ne!(world.model.servers[0].id, first);
        // Until it has started, the snapshot is what the disk is.
        assert_eq!(world.model.images.len(), 1, "{what}");
        world.act("j", ActionKind::Start);
        world.settle();
        assert!(world.model.images.is_empty(), "{what}");
        world.check(Kind::BlockStorage, "v", ACTIVE, None);
        world.delete(Kind::Instance, "j");
        world.delete(Kind::BlockStorage, "v");
        world.settle();
        assert!(world.model.is_empty(), "{what}");
    }
}

fn larger() -> Value {
    spec(|spec| spec["skuRef"] = json!({"resource": "skus/cx33"}))
}

/// The type changes with the first start and no sooner, and the disk never grows, so that each later SKU fits it.
#[test]
fn a_server_gets_another_type_by_the_start_of_the_instance_that_asks_for_one() {
    for stays_off in [false, true] {
        let mut world = held();
        world.model.retyped_stays_off = stays_off;
        let server = world.model.servers[0].id;
        world.put(Kind::Instance, "j", larger());
        world.settle();
        assert_eq!(world.operations(), ["update_server"]);
        world.check(Kind::Instance, "j", ACTIVE, Some("AppliesOnStart"));
        let said = world.message(Kind::Instance, "j");
        assert!(said.contains("is a cx23 still") && said.contains("makes it a cx33"), "{said}");
        assert_eq!(world.status(Kind::Instance, "j")["powerState"], "off");
        world.act("j", ActionKind::Start);
        world.settle();
        let made: Vec<&str> = world.operations().into_iter().filter(|call| *call != "read").collect();
        assert_eq!(made, if stays_off { vec!["change_type", "poweron"] } else { vec!["change_type"] });
        let now = &world.model.servers[0];
        assert_eq!(
            (now.id, now.server_type.name.as_str(), now.status.clone()),
            (server, "cx33", ServerStatus::Running)
        );
        assert_eq!(world.status(Kind::Instance, "j")["powerState"], "on");
        assert_eq!(world.facts(Kind::Instance, "j").get("retype"), None);
        // A later start changes nothing more, and the smaller SKU fits again.
        world.act("j", ActionKind::Stop);
        world.settle();
        world.act("j", ActionKind::Start);
        world.settle();
        assert!(!world.operations().contains(&"change_type"));
        world.delete(Kind::Instance, "j");
        world.settle();
        assert!(world.message(Kind::BlockStorage, "v").contains("a switched-off cx33"));
        world.instance("k", "v");
        world.settle();
        world.act("k", ActionKind::Start);
        world.settle();
        let now = &world.model.servers[0];
        assert_eq!((now.id, now.server_type.name.as_str(), now.primary_disk_size), (server, "cx23", 40));
        assert!(world.model.images.is_empty());
    }
}

#[test]
fn a_server_that_is_given_back_before_it_got_its_type_has_the_one_it_had() {
    let mut world = held();
    world.put(Kind::Instance, "j", larger());
    world.settle();
    world.delete(Kind::Instance, "j");
    world.settle();
    assert_eq!(world.model.servers[0].server_type.name, "cx23");
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert!(world.message(Kind::BlockStorage, "v").contains("a switched-off cx23"));
    world.instance("k", "v");
    world.settle();
    world.act("k", ActionKind::Start);
    world.settle();
    assert!(!world.operations().contains(&"change_type"));
}

/// Admission refuses it while it can tell; what comes too late waits, and nothing becomes of the disk.
#[test]
fn a_sku_that_cannot_have_the_disk_waits_and_the_server_stays() {
    type Change = fn(&mut World) -> Value;
    let cases: [(&str, &str, Change); 2] = [
        ("less disk", "has 80 GB", |world| {
            world.model.servers[0].primary_disk_size = 80;
            World::instance_spec("v")
        }),
        ("other processors", "is for amd64", |_| spec(|spec| spec["skuRef"] = json!({"resource": "skus/cax11"}))),
    ];
    for (what, told, change) in cases {
        let mut world = held();
        let spec = change(&mut world);
        world.forget();
        world.put(Kind::Instance, "j", spec);
        world.settle();
        wait_out_the_hold(&mut world);
        world.check(Kind::Instance, "j", CREATING, Some("ProviderRefused"));
        for (kind, name) in [(Kind::Instance, "j"), (Kind::BlockStorage, "v")] {
            assert!(world.message(kind, name).contains(told), "{what}: {}", world.message(kind, name));
        }
        assert!(world.operations().is_empty(), "{what}");
        // It ends with the instance.
        world.delete(Kind::Instance, "j");
        world.settle();
        world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
    }
}

#[test]
fn the_old_user_data_is_accepted_where_somebody_says_so() {
    let mut world = held();
    let server = world.model.servers[0].id;
    world.put(Kind::Instance, "j", spec(|spec| spec["userData"] = json!("#!/bin/sh\ntrue\n")));
    let extensions: Value = json!({"hetzner.cloud/reuse-server": "always"});
    world.row_mut(Kind::Instance, "j").extensions = Some(extensions.to_string());
    world.settle();
    assert_eq!(world.model.servers[0].id, server);
    world.check(Kind::Instance, "j", ACTIVE, Some("AppliesOnRecreate"));
}

#[test]
fn a_server_that_never_started_leaves_the_snapshot_as_it_was() {
    let mut world = held();
    wait_out_the_hold(&mut world);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
    assert!(world.model.servers.is_empty() && world.model.images.len() == 1);
    world.operations();
    world.instance("j", "v");
    world.settle();
    let booted_from = world.model.images[0].id;
    assert_eq!((world.model.servers.len(), world.model.images.len()), (1, 1));
    world.delete(Kind::Instance, "j");
    world.settle();
    assert!(world.model.servers.is_empty(), "it never ran: the snapshot has all that it had");
    assert_eq!(world.model.images[0].id, booted_from);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.model.is_empty());
}

#[test]
fn a_held_server_becomes_a_snapshot_after_its_time_and_no_sooner() {
    let mut world = held();
    world.now += 14 * MINUTE;
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert_eq!(world.operations(), [] as [&str; 0]);
    let again = world.plan_of(Kind::BlockStorage, "v").again.unwrap();
    assert!(again.as_secs() > 0 && again.as_secs() <= 30, "{again:?}");
    world.now += 2 * MINUTE;
    world.settle();
    assert_eq!(world.operations().last(), Some(&"delete_firewall"));
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
    for (hold, kept) in [("never", true), ("0s", false), ("1h", true), ("some time", false)] {
        let mut world = held();
        extend(&mut world, "hetzner.cloud/disk-hold", hold);
        wait_out_the_hold(&mut world);
        assert_eq!(world.model.servers.len(), usize::from(kept), "{hold}");
        assert_eq!(world.model.images.len(), usize::from(!kept), "{hold}");
    }
}

#[test]
fn the_oldest_kept_server_makes_room_when_there_is_none() {
    let mut world = held();
    world.volume("w", Some("ubuntu-24.04"));
    world.instance("later", "w");
    world.settle();
    world.act("later", ActionKind::Start);
    world.settle();
    world.delete(Kind::Instance, "later");
    world.settle();
    assert_eq!(world.model.servers.len(), 2);
    world.snapshot.absorb(Observation::new(vec![Change::NoRoomForServer]));
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
    world.check(Kind::BlockStorage, "w", ACTIVE, Some("BootVolumeHeld"));
}

#[test]
fn a_server_goes_only_after_its_snapshot_is_complete() {
    let mut world = held();
    world.now += 15 * MINUTE;
    let uid = boot_volume(&world).uid;
    while world.model.images.is_empty() {
        world.look(uid);
    }
    // It takes its time.
    world.model.images[0].status = "creating".into();
    world.forget();
    for _ in 0..3 {
        assert_eq!(world.planned_call(Kind::BlockStorage, "v").operation(), "read");
        world.look(uid);
    }
    assert_eq!(world.model.servers.len(), 1);
    // And fails: the disk stays where it is, and another snapshot is taken.
    world.model.images[0].status = "unavailable".into();
    world.forget();
    world.operations();
    world.look(uid);
    assert_eq!(world.operations(), ["delete_image"]);
    assert_eq!(world.model.servers.len(), 1);
    world.settle();
    assert_eq!((world.model.servers.len(), world.model.images.len()), (0, 1));
}

#[test]
fn a_claim_while_the_disk_becomes_a_snapshot_waits_for_it() {
    let mut world = held();
    world.now += 15 * MINUTE;
    let uid = boot_volume(&world).uid;
    while world.model.images.is_empty() {
        world.look(uid);
    }
    world.model.images[0].status = "creating".into();
    world.forget();
    let instance = world.put(Kind::Instance, "j", spec(|spec| spec["userData"] = json!("other")));
    for _ in 0..6 {
        world.look(instance);
        world.look(uid);
    }
    world.check(Kind::Instance, "j", CREATING, Some("WaitingForDependency"));
    assert_eq!((world.model.servers.len(), world.model.images.len()), (1, 1));
    world.model.images[0].status = "available".into();
    world.forget();
    world.settle();
    assert_eq!((world.model.servers.len(), world.model.images.len()), (1, 1));
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
}

#[test]
fn a_claim_while_the_parked_server_is_being_removed_does_not_take_it() {
    let mut world = held();
    let leaving = world.model.servers[0].clone();
    wait_out_the_hold(&mut world);
    world.operations();
    // The answer to its removal was lost, and it is still there.
    world.model.servers.push(leaving.clone());
    world.row_mut(Kind::BlockStorage, "v").facts.insert("serverId".to_owned(), json!(leaving.id.to_string()));
    world.forget();
    let instance = world.instance("j", "v");
    while world.look(instance) {}
    world.settle();
    let calls = world.operations();
    assert!(!calls.contains(&"update_server"), "its disk is in the snapshot: {calls:?}");
    assert_eq!(calls.iter().filter(|call| **call == "create_server").count(), 1, "{calls:?}");
    assert_eq!(world.model.servers.len(), 1);
    assert_ne!(world.model.servers[0].id, leaving.id);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
}

/// A world whose block storage `v` is a snapshot, while its server is still there: the call that was to remove it was lost.
fn parked_with_its_server() -> (World, String) {
    let mut world = held();
    world.now += 15 * MINUTE;
    world.fates.extend([Fate::Done, Fate::Lost(None)]);
    let uid = boot_volume(&world).uid;
    while !world.operations().contains(&"delete_server") {
        world.look(uid);
    }
    let id = world.model.servers[0].id.to_string();
    (world, id)
}

#[test]
fn a_server_that_somebody_starts_after_its_copy_was_made_is_the_disk_again() {
    let (mut world, id) = parked_with_its_server();
    world.model.servers[0].status = ServerStatus::Running;
    world.forget();
    // The removal may still take effect, and then the snapshot is all that is left.
    let planned = world.plan_of(Kind::BlockStorage, "v");
    assert!(matches!(planned.plan, Plan::Wait { retry: Some(_) }), "{:?}", planned.plan);
    assert_eq!(planned.note.unwrap().reason, Reason::OutcomeUnknown);
    world.pass(WINDOW);
    world.settle();
    assert_eq!(world.operations(), ["read_actions", "delete_image", "poweroff"], "it is older than the disk");
    assert_eq!(world.model.servers[0].id.to_string(), id);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    // And it becomes a snapshot once more, with what was written since.
    wait_out_the_hold(&mut world);
    assert_eq!(world.operations()[..4], ["create_image", "read_actions", "read_actions", "delete_server"]);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
}

/// An answer counts for seconds: somebody may run the server between it and the plan that follows.
#[test]
fn an_answer_about_a_server_is_not_used_after_some_seconds() {
    let mut world = held();
    world.now += 15 * MINUTE;
    let uid = boot_volume(&world).uid;
    while world.operations() != ["read_actions"] {
        world.look(uid);
    }
    world.look(uid);
    let server = ObjectId::Server(world.model.servers[0].id);
    assert!(matches!(&world.calls[..], [(_, Call::History { object, .. })] if *object == server));
    world.operations();
    world.now += 6_000;
    world.model.started.insert(server, world.now);
    world.settle();
    assert_eq!(world.operations().last(), Some(&"delete_image"));
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
}

/// What is known of a server may be minutes old: its actions are asked for before it is removed.
#[test]
fn a_server_that_somebody_ran_since_its_copy_is_copied_again_although_it_is_off_by_now() {
    let mut world = held();
    world.now += 15 * MINUTE;
    let uid = boot_volume(&world).uid;
    while world.model.images.is_empty() {
        world.look(uid);
    }
    let (first, server) = (world.model.images[0].id, ObjectId::Server(world.model.servers[0].id));
    world.operations();
    // It ran for a while, and no list shows that.
    world.now += 2_000;
    world.model.started.insert(server, world.now);
    world.settle();
    // The snapshot is read, and then the server with its actions.
    assert_eq!(world.operations(), ["read_actions", "read_actions", "delete_image"]);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    wait_out_the_hold(&mut world);
    assert_eq!(world.operations()[..4], ["create_image", "read_actions", "read_actions", "delete_server"]);
    assert_ne!(world.model.images[0].id, first);
    // It runs still, and no list shows that: it is switched off before it is copied again.
    let mut world = held();
    world.now += 15 * MINUTE;
    while world.model.images.is_empty() {
        world.look(boot_volume(&world).uid);
    }
    let server = ObjectId::Server(world.model.servers[0].id);
    world.now += 2_000;
    world.model.started.insert(server, world.now);
    world.model.servers[0].status = ServerStatus::Running;
    world.operations();
    world.settle();
    assert_eq!(world.operations(), ["read_actions", "read_actions", "delete_image", "poweroff"]);
    // The same after the removal failed.
    let (mut world, id) = parked_with_its_server();
    world.now += 2_000;
    world.model.started.insert(ObjectId::Server(id.parse().unwrap()), world.now);
    world.pass(WINDOW);
    world.settle();
    assert_eq!(world.operations(), ["read_actions", "read_actions", "delete_image"]);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
}

/// It was copied, somebody switched it on, and deleted it then: no list shows that yet, and the copy is all that is left.
#[test]
fn the_copy_of_a_server_that_is_gone_is_the_disk_whatever_the_lists_show() {
    let mut world = held();
    world.now += 15 * MINUTE;
    while world.model.images.is_empty() {
        world.look(boot_volume(&world).uid);
    }
    world.model.servers[0].status = ServerStatus::Running;
    world.forget();
    world.operations();
    world.model.servers.clear();
    world.settle();
    assert!(!world.operations().contains(&"delete_image"));
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
    assert_eq!(world.model.images.len(), 1);
}

#[test]
fn a_server_that_somebody_starts_while_its_copy_is_used_is_set_aside() {
    let (mut world, id) = parked_with_its_server();
    // An instance is about to be made from the snapshot.
    let instance = world.instance("j", "v");
    while world.model.servers.len() < 2 {
        assert!(world.look(instance), "no server was made");
    }
    world.model.servers[0].status = ServerStatus::Running;
    world.forget();
    world.settle();
    world.act("j", ActionKind::Start);
    world.settle();
    let calls = world.operations();
    assert!(!calls.contains(&"delete_server"), "{calls:?}");
    assert_eq!(world.model.servers[0].id.to_string(), id);
    let note = world.message(Kind::BlockStorage, "v");
    assert!(note.contains(&format!("`{}`", world.model.servers[0].name)), "{note}");
    // The instance ends, and what the server that was set aside uses stays as long as that.
    world.model.servers.retain(|server| server.id.to_string() == id);
    world.forget();
    world.delete(Kind::Instance, "j");
    world.settle();
    assert_eq!((world.model.servers.len(), world.model.firewalls.len()), (1, 1));
    // Its user removes the block storage, and both go with that.
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.model.is_empty(), "{:?}", world.model);
}

#[test]
fn a_server_that_somebody_deletes_after_its_copy_was_made_leaves_the_copy() {
    for status in ["available", "creating", "unavailable"] {
        let mut world = held();
        world.now += 15 * MINUTE;
        let uid = boot_volume(&world).uid;
        while world.model.images.is_empty() {
            world.look(uid);
        }
        world.model.images[0].status = status.into();
        world.model.servers.clear();
        world.forget();
        for _ in 0..4 {
            world.look(uid);
        }
        if status == "unavailable" {
            world.check(Kind::BlockStorage, "v", ERROR, Some("BackingLost"));
            continue;
        }
        world.model.images[0].status = "available".into();
        world.forget();
        world.settle();
        world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
        world.instance("j", "v");
        world.settle();
        assert_eq!((world.model.servers.len(), world.model.images.len()), (1, 1), "{status}");
    }
}

/// An instance takes the server in the middle of the parking. The copy is of that moment, and never becomes the disk.
#[test]
fn a_copy_of_a_parking_that_ended_otherwise_is_dropped() {
    for is_late in [false, true] {
        let mut world = held();
        world.now += 15 * MINUTE;
        let uid = boot_volume(&world).uid;
        while world.model.images.is_empty() {
            world.look(uid);
        }
        let (copy, server) = (world.model.images[0].id, world.model.servers[0].id);
        let instance = world.instance("j", "v");
        // Nobody looks at the block storage.
        let look = |world: &mut World| {
            for _ in 0..40 {
                if world.rows.contains_key(&instance) {
                    world.now += 5_000;
                    world.look(instance);
                }
            }
        };
        look(&mut world);
        assert_eq!((world.row(Kind::Instance, "j").state, world.model.servers[0].id), (ACTIVE, server));
        if is_late {
            // Until the instance has come and gone.
            world.act("j", ActionKind::Start);
            look(&mut world);
            assert_eq!(world.model.servers[0].status, ServerStatus::Running);
            world.delete(Kind::Instance, "j");
            look(&mut world);
            assert!(world.find(Kind::Instance, "j").is_none());
            assert_eq!(world.model.images[0].id, copy);
        } else {
            world.settle();
            assert!(world.model.images.is_empty());
            world.act("j", ActionKind::Start);
            world.settle();
            world.delete(Kind::Instance, "j");
        }
        world.settle();
        world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
        wait_out_the_hold(&mut world);
        assert_eq!((world.model.servers.len(), world.model.images.len()), (0, 1));
        assert_ne!(world.model.images[0].id, copy);
    }
}

#[test]
fn what_somebody_does_to_a_kept_disk_loses_nothing_and_is_told() {
    // Switched on at the console: it is switched off, and is the volume's.
    let mut world = held();
    world.model.servers[0].status = ServerStatus::Running;
    world.forget();
    world.settle();
    assert_eq!(world.operations(), ["poweroff"]);
    // The same while its disk is becoming a snapshot: that is taken again.
    world.now += 15 * MINUTE;
    let uid = boot_volume(&world).uid;
    while world.model.images.is_empty() {
        world.look(uid);
    }
    let first = world.model.images[0].id;
    world.model.servers[0].status = ServerStatus::Running;
    world.forget();
    world.operations();
    world.settle();
    let made = world.operations();
    assert_eq!(made, ["read_actions", "delete_image", "poweroff"]);
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    wait_out_the_hold(&mut world);
    assert_eq!(world.operations()[..2], ["create_image", "read_actions"]);
    assert_ne!(world.model.images[0].id, first);
    let mut world = held();
    // Deleted at the console: it is lost, and is not made again empty.
    world.model.servers.clear();
    world.forget();
    world.settle();
    world.check(Kind::BlockStorage, "v", ERROR, Some("BackingLost"));
    world.instance("j", "v");
    world.settle();
    assert!(world.model.servers.is_empty());
    // The same of a snapshot.
    let mut world = held();
    wait_out_the_hold(&mut world);
    world.model.images.clear();
    world.forget();
    world.settle();
    world.check(Kind::BlockStorage, "v", ERROR, Some("BackingLost"));
    world.instance("j", "v");
    world.settle();
    assert!(world.model.servers.is_empty());
}

#[test]
fn a_snapshot_needs_a_disk_of_its_size() {
    let mut world = held();
    wait_out_the_hold(&mut world);
    world.model.images[0].disk_size = 100.0;
    world.forget();
    world.instance("j", "v");
    world.settle();
    world.check(Kind::Instance, "j", CREATING, Some("ProviderRefused"));
    assert!(world.model.servers.is_empty() && world.model.images.len() == 1, "it waits, and nothing is lost");
}

#[test]
fn a_kept_server_has_nothing_that_others_may_want() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.volume("data", None);
    world.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "x"}));
    world.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.0.1.0/24"}}));
    world.put(Kind::PublicIp, "ip", json!({"version": "IPv4"}));
    world.put(
        Kind::SecurityGroup,
        "g",
        json!({"rules": [{"direction": "ingress", "protocol": "tcp", "ports": {"from": 22}}]}),
    );
    world.put(
        Kind::Nic,
        "a",
        json!({"addresses": ["10.0.1.7"], "subnetRef": {"resource": "networks/n/subnets/s"},
               "publicIpRefs": [{"resource": "public-ips/ip"}], "securityGroupRefs": [{"resource": "security-groups/g"}]}),
    );
    let full = spec(|spec| {
        spec["primaryNicRef"] = json!({"resource": "nics/a"});
        spec["dataVolumes"] = json!([{"deviceRef": {"resource": "block-storages/data"}}]);
        spec["antiAffinityGroup"] = json!("apart");
    });
    world.put_with(Kind::Instance, "i", full.clone(), true);
    world.settle();
    let server = world.model.servers[0].clone();
    assert_eq!(server.status, ServerStatus::Running);
    assert!(server.public_net.ipv4.is_some() && server.private_net.len() == 1 && server.volumes.len() == 1);
    world.delete(Kind::Instance, "i");
    world.settle();
    let kept = &world.model.servers[0];
    assert_eq!(kept.id, server.id);
    assert!(kept.public_net.ipv4.is_none() && kept.private_net.is_empty() && kept.volumes.is_empty());
    assert!(kept.public_net.firewalls.is_empty() && kept.placement_group.is_none());
    for (kind, name) in [(Kind::Nic, "a"), (Kind::PublicIp, "ip"), (Kind::BlockStorage, "data")] {
        let holder = world.row(kind, name).holder;
        assert!(holder.is_none() || kind == Kind::PublicIp, "{kind} {name}");
    }
    // The next one has all of it again.
    world.put_with(Kind::Instance, "j", full, true);
    world.settle();
    let again = &world.model.servers[0];
    assert_eq!((again.id, &again.status), (server.id, &ServerStatus::Running));
    assert!(again.public_net.ipv4.is_some() && again.private_net.len() == 1 && again.volumes.len() == 1);
    for name in
        ["i", "j"].into_iter().filter_map(|name| world.find(Kind::Instance, name).map(|_| name)).collect::<Vec<_>>()
    {
        world.delete(Kind::Instance, name);
    }
    world.settle();
    for (kind, name) in [
        (Kind::Nic, "a"),
        (Kind::PublicIp, "ip"),
        (Kind::BlockStorage, "data"),
        (Kind::BlockStorage, "v"),
        (Kind::SecurityGroup, "g"),
        (Kind::Subnet, "n/s"),
        (Kind::Network, "n"),
    ] {
        world.delete(kind, name);
    }
    world.settle();
    assert!(world.model.is_empty(), "{:?}", world.model);
}

/// The snapshot that a disk was is never taken for the one that it is to be, though its removal was never seen to work.
#[test]
fn a_snapshot_that_was_left_and_is_not_removed_yet_is_not_the_next_one() {
    let mut world = held();
    wait_out_the_hold(&mut world);
    let old = world.model.images[0].id;
    world.instance("j", "v");
    world.settle();
    world.act("j", ActionKind::Start);
    let uid = boot_volume(&world).uid;
    let removal = loop {
        match world.plan(uid).plan {
            Plan::Act(step) if step.operation == "delete_image" => break step,
            Plan::Act(step) if step.operation == "read_actions" => assert!(world.look(uid)),
            _ => {
                for uid in world.rows.keys().copied().collect::<Vec<_>>() {
                    if uid != boot_volume(&world).uid {
                        world.look(uid);
                    }
                }
            }
        }
    };
    // The intent is committed, and the call is refused.
    for mark in &removal.marks {
        state::merge(&mut world.rows.get_mut(&mark.uid).unwrap().facts, &mark.facts);
    }
    world.delete(Kind::Instance, "j");
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert!(world.model.images.is_empty(), "it goes before the next one is made");
    wait_out_the_hold(&mut world);
    assert_eq!((world.model.servers.len(), world.model.images.len()), (0, 1));
    assert_ne!(world.model.images[0].id, old);
}

/// A parked disk `v`, and images `m` and `l` of it.
fn shared() -> World {
    let mut world = held();
    wait_out_the_hold(&mut world);
    world.image("m", "v");
    world.image("l", "v");
    world.settle();
    for name in ["m", "l"] {
        world.check(Kind::Image, name, ACTIVE, None);
    }
    assert_eq!(world.model.images.len(), 1, "they share it");
    world
}

/// Whoever goes first, the snapshot goes with the last one, also when processes die all the time.
#[test]
fn images_of_a_parked_disk_share_its_snapshot_and_the_last_one_removes_it() {
    #[derive(Clone, Copy)]
    enum Leaves {
        Image(&'static str),
        Volume,
        Started,
    }
    let (m, l) = (Leaves::Image("m"), Leaves::Image("l"));
    let orders = [
        [m, l, Leaves::Volume],
        [m, Leaves::Volume, l],
        [Leaves::Volume, m, l],
        [m, l, Leaves::Started],
        [m, Leaves::Started, l],
        [Leaves::Started, m, l],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        for deaths in [7, 11, 17, 1_000] {
            let mut world = shared();
            let snapshot = world.model.images[0].id;
            for (at, leaves) in order.into_iter().enumerate() {
                match leaves {
                    Leaves::Image(name) => world.delete(Kind::Image, name),
                    Leaves::Volume => world.delete(Kind::BlockStorage, "v"),
                    Leaves::Started => {
                        world.put_with(Kind::Instance, "j", World::instance_spec("v"), true);
                    }
                }
                let mut looks = 0;
                for _ in 0..40 {
                    for uid in world.rows.keys().copied().collect::<Vec<_>>() {
                        if world.rows.contains_key(&uid) {
                            world.look(uid);
                            looks += 1;
                            if looks % deaths == 0 {
                                world.forget();
                            }
                        }
                    }
                }
                let left = world.model.images.iter().map(|image| image.id).collect::<Vec<_>>();
                let wanted = if at < 2 { vec![snapshot] } else { Vec::new() };
                assert_eq!(left, wanted, "order {number}, {at}, {deaths}");
            }
            if let Some(volume) = world.find(Kind::BlockStorage, "v") {
                assert_eq!(volume.state, ACTIVE);
                assert_eq!(world.model.servers[0].status, ServerStatus::Running);
            }
            assert!(world.auxiliaries.iter().all(|(used, _)| used.purpose != "disk-snapshot"));
        }
    }
}

/// The image has noted its use, and its call was not made yet: whoever leaves first makes it instead.
#[test]
fn a_block_storage_that_leaves_first_leaves_the_snapshot_to_the_image_that_wants_it() {
    for is_started in [false, true] {
        let mut world = held();
        wait_out_the_hold(&mut world);
        let snapshot = world.model.images[0].id;
        let image = world.image("m", "v");
        while !matches!(world.plan(image).plan, Plan::Act(step) if step.operation == "update_image") {
            world.look(image);
        }
        match is_started {
            true => drop(world.put_with(Kind::Instance, "j", World::instance_spec("v"), true)),
            false => world.delete(Kind::BlockStorage, "v"),
        }
        for _ in 0..30 {
            for uid in world.rows.keys().copied().filter(|uid| *uid != image).collect::<Vec<_>>() {
                world.look(uid);
            }
        }
        assert_eq!(world.model.images[0].id, snapshot);
        assert_eq!(world.model.images[0].labels["seca.purpose"], "disk-snapshot");
        world.settle();
        if is_started {
            // What it was when the image was made is over, and the image is of the disk as it is.
            world.check(Kind::Image, "m", ACTIVE, None);
            assert_ne!(world.model.images[0].id, snapshot);
            assert_eq!(world.model.images.len(), 1);
        } else {
            world.check(Kind::Image, "m", ACTIVE, Some("DependencyMissing"));
            assert!(world.model.images.is_empty());
        }
    }
}

/// An image keeps what it shares whatever it names later, and what is made of it is that.
#[test]
fn an_image_keeps_a_shared_snapshot_whatever_it_names_later() {
    let mut world = shared();
    let snapshot = world.model.images[0].id;
    world.volume("other", None);
    world.put(Kind::Image, "m", World::image_spec("other"));
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("AppliesOnRecreate"));
    world.delete(Kind::Image, "l");
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert_eq!(world.model.images.len(), 1);
    world.volume("copy", Some("m"));
    world.instance("j", "copy");
    world.settle();
    let made_from = world.facts(Kind::BlockStorage, "copy")["origin"]["snapshot"]["id"].clone();
    assert_eq!(made_from, json!(snapshot));
    world.delete(Kind::Image, "m");
    world.settle();
    assert!(world.model.images.is_empty());
}

#[test]
fn an_image_of_a_disk_that_becomes_a_snapshot_waits_and_shares_it() {
    let mut world = held();
    world.now += 15 * MINUTE;
    let uid = boot_volume(&world).uid;
    while world.model.images.is_empty() {
        world.look(uid);
    }
    world.model.images[0].status = "creating".into();
    world.forget();
    let image = world.image("m", "v");
    for _ in 0..4 {
        world.look(image);
        world.look(uid);
    }
    world.check(Kind::Image, "m", CREATING, Some("WaitingForDependency"));
    world.model.images[0].status = "available".into();
    world.forget();
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, None);
    assert_eq!((world.model.servers.len(), world.model.images.len()), (0, 1));
}

#[test]
fn a_shared_snapshot_that_somebody_deleted_is_lost_to_all() {
    let mut world = shared();
    world.model.images.clear();
    world.forget();
    world.settle();
    for (kind, name) in [(Kind::BlockStorage, "v"), (Kind::Image, "m"), (Kind::Image, "l")] {
        world.check(kind, name, ERROR, Some("BackingLost"));
        world.delete(kind, name);
    }
    world.settle();
    assert_eq!(world.rows.len(), 1);
}

#[test]
fn an_image_of_a_kept_disk_is_a_copy_of_its_own() {
    let mut world = held();
    world.image("m", "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, None);
    assert_eq!(world.model.images.len(), 1);
    wait_out_the_hold(&mut world);
    assert_eq!((world.model.servers.len(), world.model.images.len()), (0, 2));
    world.delete(Kind::Image, "m");
    world.settle();
    assert_eq!(world.model.images.len(), 1);
}
