//! What becomes of disks when people at the console, or lists that shift, come between.

use super::*;

/// A world whose block storage `v` has just ordered the snapshot that it is to be, for an instance `j` with another key.
fn copying() -> World {
    let mut world = held();
    world.put(Kind::Instance, "j", spec(|spec| spec["sshKeys"] = json!([KEY])));
    while world.model.images.is_empty() {
        for uid in world.rows.keys().copied().collect::<Vec<_>>() {
            world.look(uid);
        }
    }
    world
}

#[test]
fn a_copy_that_nobody_wants_any_more_is_dropped_and_nobody_waits_for_it() {
    let mut world = copying();
    world.model.images[0].status = "creating".into();
    world.forget();
    let image = world.image("m", "v");
    world.look(image);
    world.check(Kind::Image, "m", CREATING, Some("WaitingForDependency"));
    world.delete(Kind::Instance, "j");
    world.model.images[0].status = "available".into();
    world.forget();
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    world.check(Kind::Image, "m", ACTIVE, None);
    let snapshots: Vec<_> = world.model.images.iter().map(|image| image.labels["seca.uid"].clone()).collect();
    assert_eq!(snapshots, [image.to_string()], "it is the image's alone");
}

#[test]
fn a_server_that_was_made_from_a_snapshot_that_somebody_deleted_is_the_disk() {
    for is_deleted_at_once in [false, true] {
        let mut world = held();
        wait_out_the_hold(&mut world);
        world.instance("j", "v");
        world.settle();
        let server = world.model.servers[0].id;
        world.model.images.clear();
        world.forget();
        if !is_deleted_at_once {
            world.settle();
            world.check(Kind::BlockStorage, "v", ACTIVE, None);
        }
        // It never ran, and has all that is left of what was written before.
        world.delete(Kind::Instance, "j");
        world.settle();
        world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
        assert_eq!(world.model.servers[0].id, server);
    }
}

#[test]
fn a_kept_server_without_labels_is_known_by_its_id() {
    let mut world = held();
    let server = world.model.servers[0].id;
    world.model.servers[0].labels.clear();
    world.forget();
    world.instance("j", "v");
    world.settle();
    world.check(Kind::Instance, "j", ACTIVE, Some("PlaceholderInterface"));
    assert_eq!(world.model.servers[0].id, server);
    assert!(world.model.servers[0].labels.contains_key("seca.uid"), "it bears them again");

    let mut world = held();
    world.model.servers[0].labels.clear();
    world.forget();
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.model.is_empty(), "{:?}", world.model);
}

#[test]
fn the_disk_of_a_server_without_labels_is_not_told_lost() {
    for is_refused in [false, true] {
        let mut world = held();
        world.model.servers[0].labels.clear();
        world.forget();
        if is_refused {
            // The call that is to give the server to the instance.
            world.fates = [Fate::Refused].into();
        }
        world.instance("j", "v");
        world.settle();
        world.act("j", ActionKind::Start);
        world.settle();
        world.model.servers[0].labels.clear();
        world.forget();
        world.settle();
        world.check(Kind::BlockStorage, "v", ACTIVE, None);
        world.delete(Kind::Instance, "j");
        world.settle();
        world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    }
}

/// What it shares with others is let go of after the server that the lists did not show.
#[test]
fn a_server_that_no_list_shows_takes_the_closed_firewall_with_it() {
    let mut kept = held();
    kept.shift(&[0]);
    kept.delete(Kind::BlockStorage, "v");
    let mut running = World::default();
    running.volume("v", Some("ubuntu-24.04"));
    running.put_with(Kind::Instance, "i", World::instance_spec("v"), true);
    running.settle();
    running.delete(Kind::Instance, "i");
    running.delete(Kind::BlockStorage, "v");
    running.shift(&[0]);
    for mut world in [kept, running] {
        world.settle();
        assert!(world.model.is_empty(), "{:?}", world.model);
    }
}

#[test]
fn a_copy_that_no_list_shows_goes_with_its_block_storage() {
    let mut world = copying();
    world.delete(Kind::Instance, "j");
    world.delete(Kind::BlockStorage, "v");
    let is_copy = |object: &hetzner_adapter::objects::Object| object.labels().contains_key("seca.role");
    let hidden = world.model.objects().iter().position(is_copy).unwrap();
    world.shift(&[hidden]);
    world.settle();
    assert!(world.model.is_empty(), "{:?}", world.model);
}

/// The call that was to remove the server failed, and somebody deleted the snapshot before the next try.
#[test]
fn a_server_whose_copy_somebody_deletes_before_it_is_removed_is_the_disk_again() {
    let (mut world, id) = parked_with_its_server();
    world.model.images.clear();
    world.forget();
    // Both are asked for by their ids.
    world.look(boot_volume(&world).uid);
    world.look(boot_volume(&world).uid);
    let planned = world.plan_of(Kind::BlockStorage, "v");
    assert!(matches!(planned.plan, Plan::Wait { retry: Some(_) }), "{:?}", planned.plan);
    world.pass(WINDOW);
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert_eq!(world.model.servers[0].id.to_string(), id);
}

/// Somebody switched on, and off again, the server that was made from the snapshot, so that it is kept in its turn.
#[test]
fn images_keep_the_snapshot_that_a_disk_was_before() {
    let mut world = shared();
    let snapshot = world.model.images[0].id;
    world.instance("j", "v");
    world.settle();
    world.model.used.insert(world.model.servers[0].id.into());
    world.delete(Kind::Instance, "j");
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    assert_eq!(world.model.images.iter().map(|image| image.id).collect::<Vec<_>>(), [snapshot]);
    for name in ["m", "l"] {
        world.check(Kind::Image, name, ACTIVE, None);
        world.delete(Kind::Image, name);
    }
    world.settle();
    assert!(world.model.images.is_empty(), "it goes with the last image");
}

/// What is written after a snapshot was ordered is not in it, whether the snapshot is seen by then or not.
#[test]
fn a_copy_that_was_ordered_before_somebody_switched_the_server_on_is_never_the_disk() {
    for is_seen in [false, true] {
        let mut world = held();
        world.now += 15 * MINUTE;
        let uid = boot_volume(&world).uid;
        if is_seen {
            world.model.slow = [(MINUTE, true)].into();
        } else {
            // The question whether there is one, and the order, which takes effect late.
            world.fates = [Fate::Lost(Some(30))].into();
        }
        for _ in 0..3 {
            world.look(uid);
        }
        let server = world.model.servers[0].id;
        world.model.power(server, "running").unwrap();
        world.reread();
        world.look(uid);
        world.model.power(server, "off").unwrap();
        world.pass(MINUTE);
        world.reread();
        let old = world.model.images[0].id;
        world.settle();
        wait_out_the_hold(&mut world);
        world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeParked"));
        assert!(world.model.images[0].id != old, "{is_seen}");
    }
}

/// The removal of a server that never ran is lost, and somebody switches the server on before that takes effect.
#[test]
fn a_snapshot_stays_while_the_server_made_from_it_may_yet_go() {
    for takes_effect in [false, true] {
        let mut world = held();
        wait_out_the_hold(&mut world);
        let instance = world.instance("j", "v");
        world.settle();
        world.delete(Kind::Instance, "j");
        world.fates = [Fate::Lost(takes_effect.then_some(30))].into();
        while !world.fates.is_empty() {
            world.look(instance);
        }
        let server = world.model.servers[0].id;
        world.model.power(server, "running").unwrap();
        world.reread();
        for _ in 0..10 {
            for uid in world.rows.keys().copied().collect::<Vec<_>>() {
                world.look(uid);
            }
        }
        assert_eq!(world.model.images.len(), 1, "it may be all that is left");
        world.settle();
        let reason = if takes_effect { "BootVolumeParked" } else { "BootVolumeHeld" };
        world.check(Kind::BlockStorage, "v", ACTIVE, Some(reason));
    }
}
