//! What the provider offers, as the catalogue tells it.

use control_plane::Catalog;

use super::*;

fn skus(region: &str) -> Vec<String> {
    let catalog = Catalog::new(0, fallback(), "fsn1");
    catalog.list(Kind::InstanceSku, region).map(|e| e.name.clone()).collect()
}

#[test]
fn the_fallback_offers_in_each_region_only_what_can_be_ordered_there() {
    let catalog = Catalog::new(0, fallback(), "nbg1");
    let mut regions = catalog.regions().to_vec();
    assert_eq!(regions[0], "nbg1");
    regions.sort();
    assert_eq!(regions, ["ash", "fsn1", "hel1", "hil", "nbg1", "sin"]);
    assert!(skus("fsn1").contains(&"cx23".to_owned()) && skus("fsn1").contains(&"cax11".to_owned()));
    assert!(!skus("ash").contains(&"cx23".to_owned()) && skus("ash").contains(&"cpx11".to_owned()));
    assert!(!skus("sin").contains(&"cax11".to_owned()) && skus("sin").contains(&"ccx13".to_owned()));
    let mut names: Vec<_> = fallback().into_iter().map(|e| (e.kind, e.region, e.name)).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn the_fallback_knows_the_system_images_of_each_region_by_name_and_not_by_id() {
    let catalog = Catalog::new(0, fallback(), "fsn1");
    for region in catalog.regions() {
        for (name, image, architecture) in [
            ("ubuntu-24.04", "ubuntu-24.04", "amd64"),
            ("ubuntu-24.04-arm64", "ubuntu-24.04", "arm64"),
            ("debian-12", "debian-12", "amd64"),
        ] {
            let entry = catalog.get(Kind::Image, region, name).unwrap();
            let facts = ["imageName", "architecture", "imageId"].map(|fact| entry.fact(fact));
            assert_eq!(facts, [Some(image), Some(architecture), None], "{region} {name}");
        }
        assert!(catalog.get(Kind::Image, region, "opensuse-15-arm64").is_none());
    }
}

#[test]
fn a_tier_is_never_smaller_than_it_promises() {
    let catalog = Catalog::new(0, fallback(), "fsn1");
    for region in catalog.regions() {
        for (tier, cores, memory, dedicated) in TIERS {
            let name = format!("seca.{}", tier.to_ascii_lowercase());
            let Some(sku) = catalog.get(Kind::InstanceSku, region, &name) else { continue };
            assert!(sku.spec["vCPU"].as_u64().unwrap() >= cores, "{name}");
            assert!(sku.spec["ram"].as_f64().unwrap() >= memory, "{name}");
            assert_eq!(sku.labels["cpu"], if dedicated { "dedicated" } else { "shared" });
            assert_eq!((&*sku.labels["tier"], &*sku.labels["Tier"]), (tier, tier));
        }
    }
}

#[test]
fn the_smallest_tier_that_conformance_asks_for_exists_in_every_region() {
    let catalog = Catalog::new(0, fallback(), "fsn1");
    for region in catalog.regions() {
        assert_eq!(catalog.get(Kind::InstanceSku, region, "seca.d2xs").unwrap().fact("serverType"), Some("ccx13"));
        assert!(catalog.get(Kind::InstanceSku, region, "seca.s2xs").is_some(), "{region}");
        assert_eq!(catalog.list(Kind::StorageSku, region).count(), 1);
        assert_eq!(catalog.list(Kind::NetworkSku, region).count(), 1);
        assert_eq!(catalog.zones(region), [region.as_str()]);
    }
    assert!(catalog.get(Kind::InstanceSku, "fsn1", "seca.s2xl").is_none(), "nothing shared has 32 cores");
}

#[test]
fn portable_names_mean_the_real_skus_and_no_list_shows_them() {
    let catalog = Catalog::new(0, fallback(), "fsn1");
    for region in catalog.regions() {
        for (kind, name, real, figure, least) in [
            (Kind::StorageSku, "seca.rd100", "hcloud-volume", "iops", 100),
            (Kind::StorageSku, "seca.rd500", "hcloud-volume", "iops", 500),
            (Kind::StorageSku, "seca.rd2k", "hcloud-volume", "iops", 2_000),
            (Kind::NetworkSku, "seca.n1k", "hcloud-network", "bandwidth", 1_000),
        ] {
            let (alias, real) = (catalog.get(kind, region, name).unwrap(), catalog.get(kind, region, real).unwrap());
            assert_eq!((&alias.spec, &alias.facts), (&real.spec, &real.facts), "{region} {name}");
            assert!(alias.spec[figure].as_u64().unwrap() >= least, "{name} promises more than there is");
            assert_eq!(alias.labels["sku"], real.name);
            assert_eq!(format!("seca.{}", alias.labels["tier"].to_ascii_lowercase()), name);
            assert_eq!(catalog.list(kind, region).map(|sku| &sku.name).collect::<Vec<_>>(), [&real.name]);
        }
        for (kind, name) in [
            (Kind::StorageSku, "seca.rd10k"),
            (Kind::StorageSku, "seca.ld100"),
            (Kind::StorageSku, "seca.le100"),
            (Kind::NetworkSku, "seca.n5k"),
        ] {
            assert_eq!(catalog.get(kind, region, name), None, "{region} {name} is not reached");
        }
    }
}

#[test]
fn portable_names_stay_unlisted_after_a_refresh() {
    let before = Catalog::new(0, fallback(), "fsn1");
    let after = Catalog::new(1, before.merge(fallback()), "fsn1");
    assert!(after.get(Kind::StorageSku, "fsn1", "seca.rd500").is_some());
    assert_eq!(after.list(Kind::StorageSku, "fsn1").count(), 1);
    assert_eq!(after.list(Kind::NetworkSku, "fsn1").count(), 1);
}

#[test]
fn withdrawn_and_unavailable_types_are_not_listed() {
    let (locations, mut types, _) = serde_json::from_str::<Known>(FALLBACK).unwrap().into_api();
    let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    let gone = |days| {
        Some(Deprecation { announced: OffsetDateTime::UNIX_EPOCH, unavailable_after: now + time::Duration::days(days) })
    };
    let place = |types: &mut Vec<ServerType>, name: &str| {
        let t = types.iter_mut().find(|t| t.name == name).unwrap();
        t.locations.iter().position(|l| l.name == "fsn1").map(|i| (t.id, i)).unwrap()
    };
    for (name, deprecation, available) in
        [("cx23", gone(-1), None), ("cx33", gone(1), None), ("cx43", None, Some(false)), ("cx53", None, Some(true))]
    {
        let (id, i) = place(&mut types, name);
        let location = &mut types.iter_mut().find(|t| t.id == id).unwrap().locations[i];
        location.deprecation = deprecation;
        location.available = available;
    }
    let catalog = Catalog::new(1, entries(&Regions::default(), &locations, &types, &[], now), "fsn1");
    let listed = |name: &str| catalog.get(Kind::InstanceSku, "fsn1", name).is_some();
    assert_eq!(["cx23", "cx33", "cx43", "cx53"].map(listed), [false, true, false, true]);
    assert!(catalog.get(Kind::InstanceSku, "nbg1", "cx23").is_some(), "deprecation is per location");
}

#[test]
fn a_region_of_several_locations_has_them_as_zones_and_offers_what_any_of_them_has() {
    let regions = Regions::parse("eu-central=fsn1,nbg1,hel1;ash").unwrap();
    let (locations, mut types, _) = known().unwrap();
    let withdraw = |types: &mut Vec<ServerType>, name: &str, from: &[&str]| {
        let t = types.iter_mut().find(|t| t.name == name).unwrap();
        t.locations.retain(|l| !from.contains(&l.name.as_str()));
    };
    withdraw(&mut types, "cx23", &["hel1"]);
    withdraw(&mut types, "cx33", &["fsn1", "nbg1", "hel1"]);
    let stock = |types: &mut Vec<ServerType>, name: &str, location: &str| {
        let t = types.iter_mut().find(|t| t.name == name).unwrap();
        t.locations.iter_mut().find(|l| l.name == location).unwrap().available = Some(false);
    };
    stock(&mut types, "cx43", "nbg1");
    let catalog = Catalog::new(1, entries(&regions, &locations, &types, &[], OffsetDateTime::UNIX_EPOCH), "eu-central");
    assert_eq!(catalog.regions(), ["eu-central", "ash"]);
    assert_eq!(catalog.zones("eu-central"), ["fsn1", "nbg1", "hel1"]);
    let region = catalog.get(Kind::Region, "eu-central", "eu-central").unwrap();
    assert_eq!((region.fact("networkZone"), region.fact("location")), (Some("eu-central"), None));
    assert_eq!(region.labels.get("country"), None, "it is in two");
    let sku = |name: &str| catalog.get(Kind::InstanceSku, "eu-central", name);
    let zones = |name: &str| {
        let labels = sku(name).unwrap().labels.keys();
        labels.filter_map(|label| label.strip_prefix("zone-").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(zones("cx23"), ["fsn1", "nbg1"]);
    assert_eq!(zones("cx43"), ["fsn1", "hel1"]);
    assert_eq!(sku("cx43").unwrap().facts[OFFERED], json!(["fsn1", "nbg1", "hel1"]), "stock goes by");
    assert!(sku("cx33").is_none());
    // The smallest type with two shared cores is missing in hel1, so the tier means one that all zones have.
    let tier = sku("seca.s2xs").unwrap();
    assert_ne!(tier.fact("serverType"), Some("cx23"));
    assert_eq!(zones("seca.s2xs"), ["fsn1", "hel1", "nbg1"]);
    let alone = catalog.get(Kind::InstanceSku, "ash", "ccx13").unwrap();
    assert!(!alone.labels.contains_key("zone-ash") && !alone.facts.contains_key(OFFERED));
}

#[test]
fn stored_entries_tell_by_which_choice_of_regions_they_were_made() {
    let choices = ["eu-central=fsn1,nbg1,hel1", "eu-central=fsn1,nbg1", "fsn1"].map(|c| Regions::parse(c).unwrap());
    let all = [&Regions::default(), &choices[0], &choices[1], &choices[2]];
    for (made, by) in all.iter().enumerate() {
        for (asked, choice) in all.iter().enumerate() {
            assert_eq!(is_made_by(&fallback_of(by), choice), made == asked, "{by:?} {choice:?}");
        }
    }
}
