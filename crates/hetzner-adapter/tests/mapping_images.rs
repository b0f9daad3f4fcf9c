//! What images come to at the provider, and what is made from them, told by rows and snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::{ActionKind, ProjectId, Reason, ports::Plan};
use hetzner_adapter::{
    call::{Call, Until},
    objects::{ImageCall, ObjectId, ServerCall},
};
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::World;

const ACTIVE: ResourceState = ResourceState::Active;
const CREATING: ResourceState = ResourceState::Creating;
const UPDATING: ResourceState = ResourceState::Updating;
const ERROR: ResourceState = ResourceState::Error;
const DELETING: ResourceState = ResourceState::Deleting;

/// An instance `i` that runs from the volume `v`.
fn running() -> World {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.instance("i", "v");
    world.settle();
    world.act("i", ActionKind::Start);
    world.settle();
    world.operations();
    world
}

/// The same, and an image `m` of `v`.
fn imaged() -> World {
    let mut world = running();
    world.image("m", "v");
    world.settle();
    assert_eq!(world.operations(), ["create_image"]);
    world
}

/// What the server of an instance was made from.
fn booted(world: &World, instance: &str) -> Option<String> {
    world.calls.iter().find_map(|(name, call)| match call {
        Call::Server(ServerCall::Create(body)) if name == instance => Some(body.image.clone()),
        _ => None,
    })
}

// -- what an image is -------------------------------------------------------------------------------------------

#[test]
fn an_image_of_a_blank_volume_is_empty_and_stays_so() {
    let mut world = World::default();
    world.volume("v", None);
    world.image("m", "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("EmptySource"));
    world.instance("i", "v");
    world.settle();
    world.act("i", ActionKind::Start);
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("EmptySource"));
    assert!(world.model.images.is_empty());
    world.row_mut(Kind::BlockStorage, "v").facts.clear();
    world.delete(Kind::Instance, "i");
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("DependencyMissing"));
}

#[test]
fn an_image_may_precede_its_volume() {
    let mut world = World::default();
    world.image("m", "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("DependencyMissing"));
    world.volume("v", None);
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("EmptySource"));
}

#[test]
fn an_image_of_a_disk_is_a_snapshot_of_its_server_which_may_run() {
    let mut world = running();
    let uid = world.image("m", "v");
    let Call::Image(ImageCall::Create { server, description, labels }) = world.planned_call(Kind::Image, "m") else {
        panic!()
    };
    assert_eq!(server, world.model.servers[0].id);
    assert!(description.contains('m') && description.contains('v'), "{description}");
    let label = |name: &str| labels[name].as_str();
    assert_eq!((label("seca.installation"), label("seca.kind"), label("seca.name")), ("inst-1", "image", "m"));
    assert_eq!(label("seca.uid"), uid.to_string());
    world.settle();
    assert_eq!(world.operations(), ["create_image"]);
    world.check(Kind::Image, "m", ACTIVE, None);
    assert_eq!(world.status(Kind::Image, "m"), json!({"sizeMB": 1500}));
    world.delete(Kind::Image, "m");
    world.settle();
    assert_eq!(world.operations(), ["delete_image"]);
    assert!(world.model.images.is_empty() && world.find(Kind::Image, "m").is_none());
}

#[test]
fn that_an_image_is_a_copy_of_its_source_is_committed_before_the_call() {
    let mut world = running();
    world.image("m", "v");
    let Plan::Act(step) = world.plan_of(Kind::Image, "m").plan else { panic!("no step") };
    let [mark] = &step.marks[..] else { panic!("{:?}", step.marks) };
    assert_eq!(mark.uid, world.row(Kind::Image, "m").uid);
    let source = world.row(Kind::BlockStorage, "v").uid.to_string();
    assert_eq!((&mark.facts["takenFrom"], &mark.facts["takenFromName"]), (&json!(source), &json!("v")));
    // The server is locked meanwhile: nothing else is sent to it.
    assert_eq!(step.serial, [format!("server:{}", world.model.servers[0].id)]);
}

#[test]
fn an_image_of_a_disk_that_a_volume_kept_is_a_snapshot_of_the_kept_server() {
    let mut world = running();
    world.delete(Kind::Instance, "i");
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("BootVolumeHeld"));
    world.operations();
    world.image("m", "v");
    world.settle();
    assert_eq!(world.operations(), ["create_image"]);
    world.check(Kind::Image, "m", ACTIVE, None);
    // The image outlives its disk, and says so.
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("DependencyMissing"));
    assert!(world.model.servers.is_empty() && world.model.images.len() == 1);
}

#[test]
fn an_image_waits_for_the_server_whose_disk_its_source_becomes() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.settle();
    let instance = world.instance("i", "v");
    world.look(instance);
    assert_eq!(world.row(Kind::BlockStorage, "v").holder, Some(instance));
    let image = world.image("m", "v");
    world.look(image);
    world.check(Kind::Image, "m", CREATING, Some("WaitingForDependency"));
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, None);
    assert_eq!(world.model.images.len(), 1);
}

#[test]
fn a_server_that_boots_from_another_volume_is_not_taken_for_the_disk() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.volume("w", Some("debian-12"));
    world.settle();
    // It claimed one volume, was pointed at another at that very moment, and booted from that.
    let instance = world.instance("i", "v");
    world.look(instance);
    world.instance("i", "w");
    world.settle();
    assert_eq!(world.row(Kind::BlockStorage, "v").holder, None, "it is not named any more, and nothing was made of it");
    assert_eq!(booted(&world, "i").as_deref(), Some("114690387"));
    world.image("m", "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("UnwrittenSource"));
    assert!(world.model.images.is_empty());
}

#[test]
fn an_image_of_what_nobody_booted_from_is_the_image_behind_it() {
    let mut world = World::default();
    world.volume("v", Some("debian-12"));
    world.settle();
    world.image("m", "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("UnwrittenSource"));
    assert!(world.operations().is_empty());
    // What is written later is not in it.
    world.instance("i", "v");
    world.settle();
    world.act("i", ActionKind::Start);
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("UnwrittenSource"));
    assert!(world.model.images.is_empty());
    world.volume("copy", Some("m"));
    world.instance("j", "copy");
    world.settle();
    assert_eq!(booted(&world, "j").as_deref(), Some("114690387"));
    world.check(Kind::Instance, "j", ACTIVE, Some("PlaceholderInterface"));
}

#[test]
fn what_cannot_be_copied_is_refused_and_not_made_empty() {
    // A data volume.
    let mut world = World::default();
    world.volume("v", None);
    world.settle();
    world.row_mut(Kind::BlockStorage, "v").facts.insert("everAttached".into(), json!(true));
    world.image("m", "v");
    world.settle();
    world.check(Kind::Image, "m", ERROR, Some("Unsupported"));
    // A disk that is gone.
    for kept in [false, true] {
        let mut world = running();
        if kept {
            world.delete(Kind::Instance, "i");
            world.settle();
        }
        world.model.servers.clear();
        world.forget();
        world.image("m", "v");
        world.settle();
        world.check(Kind::Image, "m", ERROR, Some("BackingLost"));
    }
}

#[test]
fn a_later_change_takes_no_other_copy() {
    let mut world = imaged();
    world.volume("w", Some("debian-12"));
    world.settle();
    world.put(Kind::Image, "m", World::image_spec("w"));
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("AppliesOnRecreate"));
    assert!(world.message(Kind::Image, "m").contains("copy of the block storage `v`"));
    world.put(Kind::Image, "m", World::image_spec("v"));
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, None);
    // Another volume under the old name is another one.
    world.delete(Kind::Instance, "i");
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    world.volume("v", Some("debian-12"));
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("AppliesOnRecreate"));
    assert!(!world.operations().iter().any(|operation| operation.ends_with("_image")));
}

#[test]
fn processors_that_the_copy_is_not_for_are_told() {
    let mut world = imaged();
    let mut spec = World::image_spec("v");
    spec["cpuArchitecture"] = json!("arm64");
    world.put(Kind::Image, "m", spec.clone());
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("PartlySupported"));
    world.volume("w", Some("debian-12"));
    spec["blockStorageRef"]["resource"] = json!("workspaces/w/block-storages/w");
    world.put(Kind::Image, "n", spec);
    world.settle();
    world.check(Kind::Image, "n", ACTIVE, Some("PartlySupported"));
    assert!(world.message(Kind::Image, "n").contains("amd64"));
}

// -- what may go wrong ------------------------------------------------------------------------------------------

#[test]
fn a_snapshot_that_vanished_is_not_taken_again() {
    let mut world = imaged();
    world.model.images.clear();
    world.forget();
    world.settle();
    world.check(Kind::Image, "m", ERROR, Some("BackingLost"));
    assert_eq!(world.operations(), ["read"], "it is asked for by its id, once");
    world.delete(Kind::Image, "m");
    world.settle();
    assert!(world.find(Kind::Image, "m").is_none());
}

#[test]
fn labels_that_somebody_took_away_do_not_lose_the_snapshot() {
    let mut world = imaged();
    world.model.images[0].labels.clear();
    world.forget();
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, None);
    world.delete(Kind::Image, "m");
    world.settle();
    assert!(world.model.images.is_empty());
}

#[test]
fn a_snapshot_whose_answer_was_lost_is_never_ordered_again_while_it_may_come() {
    let mut world = running();
    world.image("m", "v");
    let call = world.planned_call(Kind::Image, "m");
    let planned = world.plan_bundle(&world.unseen(Kind::Image, "m", &call));
    assert_eq!(planned.note.unwrap().reason, Reason::OutcomeUnknown);
    assert!(matches!(planned.plan, Plan::Wait { retry: Some(_) }), "{:?}", planned.plan);
    // Nor if it is to be of another block storage by now.
    world.volume("w", Some("debian-12"));
    world.put(Kind::Image, "m", World::image_spec("w"));
    let planned = world.plan_bundle(&world.unseen(Kind::Image, "m", &call));
    assert!(matches!(planned.plan, Plan::Wait { .. }), "{:?}", planned.plan);
    // Once it came, it is what there is.
    let observation = world.model.apply(&call);
    world.snapshot.absorb(observation);
    let planned = world.plan_bundle(&world.unseen(Kind::Image, "m", &call));
    assert_eq!(planned.plan, Plan::Nothing);
    world.settle();
    assert_eq!(world.model.images.len(), 1);
}

#[test]
fn a_snapshot_is_active_when_it_is_available_and_removed_only_then() {
    let mut world = imaged();
    for delete in [false, true] {
        world.model.images[0].status = "creating".into();
        world.forget();
        if delete {
            world.delete(Kind::Image, "m");
        }
        let id = world.model.images[0].id;
        let Call::Read { object, until, .. } = world.planned_call(Kind::Image, "m") else { panic!("{delete}") };
        assert_eq!((object, until), (ObjectId::Image(id), Until::Settled));
    }
    world.look(world.row(Kind::Image, "m").uid);
    world.check(Kind::Image, "m", DELETING, None);
    world.model.images[0].status = "available".into();
    world.settle();
    assert!(world.operations().ends_with(&["delete_image"]));
}

#[test]
fn a_snapshot_that_never_could_be_used_is_taken_again_and_another_is_not() {
    let mut world = imaged();
    world.model.images[0].status = "unavailable".into();
    world.forget();
    world.settle();
    world.check(Kind::Image, "m", ERROR, Some("ProviderUnavailable"));
    assert!(world.operations().is_empty());
    world.row_mut(Kind::Image, "m").facts.retain(|name, _| !["imageId", "origin"].contains(&name.as_str()));
    world.settle();
    assert_eq!(world.operations(), ["delete_image", "create_image"]);
    world.check(Kind::Image, "m", ACTIVE, None);
}

#[test]
fn no_snapshot_is_ordered_of_a_server_that_is_busy() {
    let mut world = running();
    world.image("m", "v");
    let server = world.model.servers[0].id;
    for (status, locked) in [("running", true), ("starting", false), ("stopping", false)] {
        world.model.servers[0].status = status.into();
        world.model.servers[0].locked = locked;
        world.forget();
        let Call::Read { object, .. } = world.planned_call(Kind::Image, "m") else { panic!("{status}") };
        assert_eq!(object, ObjectId::Server(server));
    }
}

#[test]
fn an_image_without_a_project_of_the_provider_calls_nobody() {
    let mut world = running();
    world.volume("w", Some("debian-12"));
    for (name, volume) in [("m", "v"), ("n", "w")] {
        world.image(name, volume);
        world.row_mut(Kind::Image, name).project = ProjectId::local();
    }
    world.settle();
    world.check(Kind::Image, "m", CREATING, Some("WaitingForDependency"));
    world.check(Kind::Image, "n", ACTIVE, Some("UnwrittenSource"));
    assert!(world.operations().is_empty());
    // It was made for another project than its source is in.
    world.row_mut(Kind::Image, "m").project = ProjectId("q".into());
    world.settle();
    world.check(Kind::Image, "m", ERROR, Some("Unsupported"));
}

// -- what is made from images -----------------------------------------------------------------------------------

#[test]
fn a_volume_of_a_snapshot_waits_for_it_and_boots_it() {
    let mut world = running();
    let image = world.image("m", "v");
    let volume = world.volume("copy", Some("m"));
    let instance = world.instance("j", "copy");
    for uid in [volume, instance, instance] {
        world.look(uid);
    }
    world.check(Kind::BlockStorage, "copy", CREATING, Some("WaitingForDependency"));
    world.look(image);
    assert_eq!(world.operations(), ["create_image"]);
    world.look(volume);
    world.check(Kind::BlockStorage, "copy", CREATING, Some("WaitingForDependency"));
    world.settle();
    world.check(Kind::BlockStorage, "copy", ACTIVE, None);
    world.check(Kind::Instance, "j", ACTIVE, Some("PlaceholderInterface"));
    assert_eq!(booted(&world, "j"), Some(world.model.images[0].id.to_string()));
    // A disk of its own: what becomes of the image does not matter any more.
    world.delete(Kind::Image, "m");
    world.settle();
    world.check(Kind::BlockStorage, "copy", ACTIVE, Some("DependencyMissing"));
    world.check(Kind::Instance, "j", ACTIVE, Some("PlaceholderInterface"));
}

#[test]
fn a_volume_of_an_empty_image_boots_the_default_image() {
    let mut world = World::default();
    world.volume("v", None);
    world.image("m", "v");
    world.volume("copy", Some("m"));
    world.instance("j", "copy");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, Some("EmptySource"));
    world.check(Kind::BlockStorage, "copy", ACTIVE, None);
    world.check(Kind::Instance, "j", ACTIVE, Some("BootImageDefaulted"));
    assert_eq!(booted(&world, "j").as_deref(), Some("161547269"));
}

#[test]
fn images_of_images_pass_on_what_they_are() {
    let mut world = imaged();
    world.volume("copy", Some("m"));
    world.settle();
    world.image("n", "copy");
    world.volume("again", Some("n"));
    world.settle();
    world.check(Kind::Image, "n", ACTIVE, Some("UnwrittenSource"));
    world.instance("j", "again");
    world.settle();
    assert_eq!(booted(&world, "j"), Some(world.model.images[0].id.to_string()));
    assert_eq!(world.model.images.len(), 1, "a snapshot of a snapshot is that snapshot");
    // It shares its fate, too.
    world.delete(Kind::Image, "m");
    world.settle();
    world.check(Kind::Image, "n", ERROR, Some("BackingLost"));
}

#[test]
fn a_volume_whose_image_went_before_anybody_booted_says_so_and_takes_another() {
    let mut world = imaged();
    world.volume("copy", Some("m"));
    world.settle();
    world.delete(Kind::Image, "m");
    world.settle();
    world.check(Kind::BlockStorage, "copy", ERROR, Some("BackingLost"));
    world.instance("j", "copy");
    world.settle();
    world.check(Kind::Instance, "j", CREATING, Some("WaitingForDependency"));
    assert_eq!(booted(&world, "j"), None);
    world.volume("copy", Some("debian-12"));
    world.settle();
    world.check(Kind::BlockStorage, "copy", ACTIVE, None);
    assert_eq!(booted(&world, "j").as_deref(), Some("114690387"));
    // What is behind an image that nothing was written to is there without it.
    world.volume("plain", Some("debian-12"));
    world.image("n", "plain");
    world.volume("other", Some("n"));
    world.settle();
    world.delete(Kind::Image, "n");
    world.settle();
    world.check(Kind::BlockStorage, "other", ACTIVE, Some("DependencyMissing"));
    world.instance("k", "other");
    world.settle();
    assert_eq!(booted(&world, "k").as_deref(), Some("114690387"));
}

#[test]
fn an_image_that_was_never_there_is_waited_for() {
    let mut world = World::default();
    world.volume("copy", Some("m"));
    world.settle();
    world.check(Kind::BlockStorage, "copy", CREATING, Some("DependencyMissing"));
    world.volume("v", Some("debian-12"));
    world.image("m", "v");
    world.settle();
    world.check(Kind::BlockStorage, "copy", ACTIVE, None);
}

#[test]
fn a_snapshot_of_another_project_cannot_be_used() {
    let mut world = imaged();
    let uid = world.volume("copy", Some("m"));
    world.rows.get_mut(&uid).unwrap().project = ProjectId("q".into());
    world.settle();
    world.check(Kind::BlockStorage, "copy", ERROR, Some("Unsupported"));
    assert!(world.message(Kind::BlockStorage, "copy").contains("another Hetzner Cloud project"));
    // What is the same everywhere can be used everywhere.
    world.volume("w", Some("debian-12"));
    world.image("n", "w");
    let uid = world.volume("other", Some("n"));
    world.rows.get_mut(&uid).unwrap().project = ProjectId("q".into());
    world.settle();
    world.check(Kind::BlockStorage, "other", ACTIVE, None);
}

#[test]
fn a_server_that_the_image_does_not_fit_is_refused() {
    let refused = |world: &mut World, sku: &str, volume: &str, words: &str| {
        let mut spec = World::instance_spec(volume);
        spec["skuRef"]["resource"] = json!(format!("skus/{sku}"));
        world.put(Kind::Instance, "j", spec);
        world.settle();
        world.check(Kind::Instance, "j", ERROR, Some("ProviderRefused"));
        let said = world.message(Kind::Instance, "j");
        assert!(said.contains(words), "{said}");
        assert_eq!(booted(world, "j"), None);
    };
    let mut world = imaged();
    world.volume("copy", Some("m"));
    world.settle();
    refused(&mut world, "cax11", "copy", "is for amd64");
    world.model.images[0].disk_size = 80.0;
    world.forget();
    refused(&mut world, "cx23", "copy", "a disk of 80 GB");
    // An empty image says what it is for, and one that nothing was written to is for what is behind it.
    let mut world = World::default();
    world.volume("v", None);
    world.volume("w", Some("ubuntu-24.04-arm64"));
    world.image("m", "v");
    world.image("n", "w");
    world.volume("blank", Some("m"));
    world.volume("copy", Some("n"));
    world.settle();
    refused(&mut world, "cax11", "blank", "is for amd64");
    world.put(Kind::Instance, "j", World::instance_spec("blank"));
    world.delete(Kind::Instance, "j");
    world.settle();
    refused(&mut world, "cx23", "copy", "is for arm64");
}

#[test]
fn a_volume_that_is_pointed_at_another_image_boots_that() {
    let mut world = imaged();
    world.volume("copy", Some("m"));
    world.settle();
    let uid = world.volume("copy", Some("n"));
    let instance = world.instance("j", "copy");
    for _ in 0..3 {
        world.look(instance);
    }
    world.check(Kind::Instance, "j", CREATING, Some("WaitingForDependency"));
    world.look(uid);
    world.check(Kind::BlockStorage, "copy", UPDATING, Some("DependencyMissing"));
    world.volume("w", Some("debian-12"));
    world.image("n", "w");
    world.settle();
    assert_eq!(booted(&world, "j").as_deref(), Some("114690387"));
    let facts = world.facts(Kind::BlockStorage, "copy");
    assert_eq!((&facts["originOf"], &facts["origin"]), (&json!("images/n"), &json!({"system": "debian-12"})));
    assert_ne!(facts.get("sourceImage"), None::<&Value>);
}
