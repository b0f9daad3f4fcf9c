//! Objects that an operator gives to resources: what fits is relabelled, what does not is left alone, and the resource says
//! why.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::{
    facts::{Adopt, AdoptionFacts, Facts as _},
    state,
};
use hetzner_adapter::{Observation, naming, objects::Object, snapshot::Change};
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::{
    INSTALLATION, World,
    model::{primary_ip, server, snapshot, volume},
};

const ACTIVE: ResourceState = ResourceState::Active;
const ERROR: ResourceState = ResourceState::Error;
/// Of a resource that no row is.
const GONE: &str = "018f4e9c-0000-7000-8000-0000000000ff";

fn labels(uid: &str) -> Value {
    json!({naming::MANAGED: "true", naming::INSTALLATION: INSTALLATION, naming::UID: uid})
}

/// Shows an object to the world.
fn see(world: &mut World, object: impl Into<Object>) {
    world.snapshot.absorb(Observation::new(vec![Change::Seen(object.into())]));
}

fn with_volume(world: &mut World, uid: &str, server: Option<i64>) {
    let mut orphan = volume(70, "old", 10, &labels(uid));
    orphan.server = server.map(Into::into);
    world.model.volumes.push(orphan.clone());
    see(world, orphan);
}

fn order(world: &mut World, kind: Kind, name: &str, object_type: &str, id: &str) {
    let (object_type, id) = (object_type.to_owned(), id.to_owned());
    let adopt = Some(Adopt { object_type, id, uid: Some(GONE.parse().unwrap()), refused: None });
    let row = world.row_mut(kind, name);
    let change = AdoptionFacts::of(row).changes(|facts| facts.adopt = adopt);
    state::merge(&mut row.facts, &change);
}

fn adopt(world: &World, kind: Kind, name: &str) -> Option<Adopt> {
    AdoptionFacts::of(world.row(kind, name)).adopt
}

/// A world whose block storage lost its volume.
fn lost() -> World {
    let mut world = World::default();
    world.volume("v", None);
    world.settle();
    world.model.volumes.clear();
    world.forget();
    world.settle();
    world.check(Kind::BlockStorage, "v", ERROR, Some("BackingLost"));
    world.operations();
    world
}

#[test]
fn a_block_storage_that_lost_its_volume_has_the_one_that_is_given_to_it() {
    let mut world = lost();
    with_volume(&mut world, GONE, None);
    order(&mut world, Kind::BlockStorage, "v", "volume", "70");
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, None);
    assert_eq!(world.operations(), ["adopt", "resize_volume"]);
    let row = world.row(Kind::BlockStorage, "v");
    assert_eq!((row.fact("volumeId"), row.marked("everAttached")), (Some("70"), true), "it may hold data");
    assert_eq!(adopt(&world, Kind::BlockStorage, "v"), None);
    let given = &world.model.volumes[0];
    assert_eq!((given.size, naming::uid_of(&given.labels)), (20, Some(row.uid)));
    assert_eq!(given.name, naming::object_name("v", row.uid));
    // From then on it is like any other.
    world.delete(Kind::BlockStorage, "v");
    world.settle();
    assert!(world.model.volumes.is_empty());
}

#[test]
fn what_does_not_fit_is_left_alone_and_the_resource_says_why() {
    type Prepare = fn(&mut World);
    let cases: [(&str, Prepare, &str); 4] = [
        (
            "somebody else's by now",
            |world| with_volume(world, "018f4e9c-0000-7000-8000-0000000000ee", None),
            "another resource",
        ),
        ("attached", |world| with_volume(world, GONE, Some(9)), "the server 9 has it"),
        ("not there", |_| {}, "does not exist any more"),
        (
            "elsewhere",
            |world| {
                with_volume(world, GONE, None);
                world.model.volumes[0].location.name = "ash".to_owned();
                let moved = world.model.volumes[0].clone();
                see(world, moved);
            },
            "lies in ash",
        ),
    ];
    for (what, prepare, why) in cases {
        let mut world = lost();
        prepare(&mut world);
        let before = world.model.volumes.clone();
        order(&mut world, Kind::BlockStorage, "v", "volume", "70");
        world.settle();
        world.check(Kind::BlockStorage, "v", ERROR, Some("BackingLost"));
        assert!(
            world.message(Kind::BlockStorage, "v").contains(why),
            "{what}: {}",
            world.message(Kind::BlockStorage, "v")
        );
        assert!(adopt(&world, Kind::BlockStorage, "v").unwrap().refused.unwrap().contains(why), "{what}");
        assert!(!world.operations().contains(&"adopt"), "{what}");
        assert_eq!(world.model.volumes, before, "{what}");
    }
}

#[test]
fn a_resource_that_has_an_object_keeps_it() {
    let mut world = World::default();
    world.volume("v", None);
    world.volume("boots", Some("ubuntu-24.04"));
    world.settle();
    with_volume(&mut world, GONE, None);
    for name in ["v", "boots"] {
        order(&mut world, Kind::BlockStorage, name, "volume", "70");
    }
    world.operations();
    world.settle();
    world.check(Kind::BlockStorage, "v", ACTIVE, Some("OrphanRefused"));
    assert!(world.message(Kind::BlockStorage, "v").contains("it has the volume"));
    world.check(Kind::BlockStorage, "boots", ACTIVE, Some("OrphanRefused"));
    assert!(world.message(Kind::BlockStorage, "boots").contains("name a blank one"));
    assert!(!world.operations().contains(&"adopt"));
    assert_eq!(world.model.volumes.len(), 2);
}

#[test]
fn of_two_that_are_to_have_an_object_one_has_it() {
    let mut world = lost();
    world.volume("w", None);
    world.settle();
    let keep = world.model.volumes.len();
    world.model.volumes.clear();
    world.forget();
    world.settle();
    assert_eq!(keep, 1);
    with_volume(&mut world, GONE, None);
    order(&mut world, Kind::BlockStorage, "v", "volume", "70");
    order(&mut world, Kind::BlockStorage, "w", "volume", "70");
    world.settle();
    let states: Vec<ResourceState> = ["v", "w"].map(|name| world.row(Kind::BlockStorage, name).state).into();
    assert_eq!(states.iter().filter(|state| **state == ACTIVE).count(), 1, "{states:?}");
    assert_eq!(world.model.volumes.len(), 1);
}

#[test]
fn a_public_ip_that_waits_for_its_zone_has_the_address_that_is_given_to_it() {
    let mut world = World::of_zones(&["fsn1", "nbg1"]);
    world.put(Kind::PublicIp, "front", json!({"version": "IPv4"}));
    world.put(Kind::PublicIp, "six", json!({"version": "IPv6"}));
    world.settle();
    world.check(Kind::PublicIp, "front", ACTIVE, Some("AwaitingZone"));
    let orphan = primary_ip(71, "old", "ipv4", &labels(GONE), true, None);
    world.model.primary_ips.push(orphan.clone());
    see(&mut world, orphan);
    order(&mut world, Kind::PublicIp, "six", "primary_ip", "71");
    world.settle();
    assert!(
        world.message(Kind::PublicIp, "six").contains("another family"),
        "{}",
        world.message(Kind::PublicIp, "six")
    );
    order(&mut world, Kind::PublicIp, "front", "primary_ip", "71");
    world.settle();
    assert_eq!(world.status(Kind::PublicIp, "front")["ipAddress"], "203.0.113.71");
    let ip = &world.model.primary_ips[0];
    assert!(!ip.auto_delete, "it outlives the servers that have it");
    assert_eq!(naming::uid_of(&ip.labels), Some(world.row(Kind::PublicIp, "front").uid));
}

#[test]
fn an_image_that_lost_its_snapshot_has_the_one_that_is_given_to_it() {
    let mut world = World::default();
    world.volume("v", Some("ubuntu-24.04"));
    world.instance("i", "v");
    world.settle();
    world.act("i", control_plane::ActionKind::Start);
    world.settle();
    world.image("m", "v");
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, None);
    world.model.images.clear();
    world.forget();
    world.settle();
    world.check(Kind::Image, "m", ERROR, Some("BackingLost"));
    let orphan = snapshot(72, "old", &server(1, "s", "off", &json!({}), &[]), &labels(GONE));
    world.model.images.push(orphan.clone());
    see(&mut world, orphan);
    order(&mut world, Kind::Image, "m", "image", "72");
    world.operations();
    world.settle();
    world.check(Kind::Image, "m", ACTIVE, None);
    assert_eq!(world.operations(), ["adopt"]);
    assert_eq!(world.row(Kind::Image, "m").fact("imageId"), Some("72"));
}
