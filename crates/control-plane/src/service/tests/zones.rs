//! A region of several zones: what may be asked for where.

use serde_json::{Value, json};

use super::*;
use crate::catalog::OFFERED_IN;

/// The region of the tests, with three zones; one SKU is missing in one of them.
async fn three_zones() -> World {
    let catalog = catalog();
    let entries = catalog.entries().cloned().map(|mut entry| {
        let is = |kind, name: &str| entry.kind == kind && entry.region == "fsn1" && entry.name == name;
        if is(Kind::Region, "fsn1") {
            entry.spec.insert("availableZones".to_owned(), json!(["fsn1", "nbg1", "hel1"]));
        } else if is(Kind::InstanceSku, "cx23") {
            entry.facts.insert(OFFERED_IN.to_owned(), json!(["fsn1", "nbg1"]));
        }
        entry
    });
    let world = world_over(Catalog::new(3, entries.collect(), "fsn1"));
    world.create(Kind::Workspace, "w", json!({"spec": null})).await;
    world.create(Kind::BlockStorage, "disk", volume(20)).await;
    world
}

fn in_zone(zone: &str, sku: &str) -> Value {
    with(with(instance(), "/spec/zone", json!(zone)), "/spec/skuRef", json!(sku))
}

#[tokio::test]
async fn an_instance_is_in_a_zone_that_has_its_sku() {
    let world = three_zones().await;
    for (zone, sku, words) in [
        ("hel1", "cx23", "must be one that has the SKU cx23, but hel1 has it not; use fsn1 or nbg1"),
        ("hel1-dc2", "cx23", "but hel1 has it not"),
        ("ash", "cx23", "must be a zone of region fsn1, but is `ash`; use fsn1 or nbg1 or hel1"),
    ] {
        let found = world.violations(Kind::Instance, "i", in_zone(zone, sku)).await;
        assert!(matches!(&*found, [only] if only.pointer == "/spec/zone" && only.rule.contains(words)), "{found:?}");
    }
    world.create(Kind::Instance, "i", in_zone("nbg1", "cx23")).await;
    world.create(Kind::BlockStorage, "other", volume(20)).await;
    let boot = json!({"deviceRef": {"resource": "block-storages/other"}});
    world.create(Kind::Instance, "j", with(in_zone("hel1", "cx33"), "/spec/bootVolume", boot)).await;
}

#[tokio::test]
async fn a_chosen_location_is_a_zone_of_the_region() {
    let address = || json!({"spec": {"version": "IPv4"}});
    let chosen = |body: Value, zone: &str| with(body, "/extensions", json!({"hetzner.cloud/location": zone}));
    let several = three_zones().await;
    let one = world().await;
    for (kind, body) in [(Kind::BlockStorage, volume(20)), (Kind::PublicIp, address())] {
        for (world, zone, words) in [
            (&several, "ash", "must be a zone of region fsn1, but is `ash`; use fsn1 or nbg1 or hel1"),
            (&several, "eu-central", "use fsn1 or nbg1 or hel1"),
            (&one, "nbg1", "must be a zone of region fsn1, but is `nbg1`; use fsn1"),
        ] {
            let found = world.violations(kind, "x", chosen(body.clone(), zone)).await;
            let [only] = &*found else { panic!("{kind} {zone}: {found:?}") };
            assert_eq!(only.pointer, "/extensions/hetzner.cloud~1location");
            assert!(only.rule.contains(words), "{kind} {zone}: {}", only.rule);
        }
        several.create(kind, "x", chosen(body.clone(), "hel1-dc2")).await;
        one.create(kind, "x", chosen(body.clone(), "fsn1")).await;
    }
    // It says nothing about what has no place of its own.
    several.put(&key(Kind::Workspace, "v"), chosen(json!({"spec": null}), "ash")).await.unwrap();
}
