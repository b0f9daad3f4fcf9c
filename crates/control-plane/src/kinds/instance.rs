//! Instances: virtual machines.

use seca_api::{Kind, violation::Violation};
use serde_json::{Map, Value, json};

use super::{Judgement, KindRules, ReferenceField, Relatives, clip};
use crate::catalog::zone_name;

mod disks;
mod nics;

pub(crate) use disks::{with_data_volume, without_data_volume};

/// What differs about instances.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new(SKU, &[Kind::InstanceSku]).immutable(),
        ReferenceField::new(BOOT_VOLUME, &[Kind::BlockStorage]).exclusive(),
        ReferenceField::new(DATA_VOLUMES, &[Kind::BlockStorage]),
        ReferenceField::new(PRIMARY_NIC, &[Kind::Nic]),
        ReferenceField::new(ADDITIONAL_NICS, &[Kind::Nic]),
        ReferenceField::new("/spec/securityGroupRef", &[Kind::SecurityGroup]),
    ],
    powered: true,
    // Who else is in the group is counted.
    relatives: |subject| match group(subject.spec) {
        Some(_) => vec![Relatives::Siblings],
        None => Vec::new(),
    },
    initial_status: |_| Map::from_iter([("powerState".to_owned(), json!("off"))]),
    judge,
    ..KindRules::new(Kind::Instance)
};

/// The field that names the block storage that it boots from.
pub(crate) const BOOT_VOLUME: &str = "/spec/bootVolume/deviceRef";
const DATA_VOLUMES: &str = "/spec/dataVolumes/*/deviceRef";
const PRIMARY_NIC: &str = "/spec/primaryNicRef";
const ADDITIONAL_NICS: &str = "/spec/additionalNicRefs/*";
const SKU: &str = "/spec/skuRef";

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut found = Vec::from_iter(judgement.unknown_zone("/zone"));
    found.extend(not_offered(judgement));
    found.extend(full_group(judgement));
    found.extend(nics::violations(judgement));
    found.extend(disks::violations(judgement));
    found
}

/// Not every zone of a region has every server type.
fn not_offered(judgement: &Judgement<'_>) -> Option<Violation> {
    let zone = zone_name(judgement.text("/zone")?);
    let region = &judgement.subject.key.region;
    let zones = judgement.catalog.zones(region);
    let sku = judgement.found(SKU)?.entry()?;
    let is_zone = zones.iter().any(|known| known == zone);
    if judgement.is_update() || !is_zone || sku.is_offered_in(zone) {
        return None;
    }
    let offered: Vec<&str> = zones.iter().map(String::as_str).filter(|zone| sku.is_offered_in(zone)).collect();
    let rule = format!(
        "zone must be one that has the SKU {}, but {zone} has it not; use {}, or another SKU",
        sku.name,
        if offered.is_empty() { "another region".to_owned() } else { offered.join(" or ") }
    );
    Some(Violation::at("/spec/zone", rule))
}

/// The anti-affinity group of a specification.
fn group(spec: &Value) -> Option<&str> {
    spec.get("antiAffinityGroup")?.as_str().filter(|group| !group.is_empty())
}

/// The instances of a group run on different hosts, and a provider promises that for a few only.
fn full_group(judgement: &Judgement<'_>) -> Option<Violation> {
    let group = group(judgement.subject.spec).filter(|_| judgement.subject.changed("/antiAffinityGroup"))?;
    let is_member = |row: &&crate::resource::Resource| {
        let spec: Option<Value> = serde_json::from_str(&row.spec).ok();
        spec.is_some_and(|spec| self::group(&spec) == Some(group))
    };
    let members = judgement.relatives.iter().filter(is_member).count();
    let (most, provider) = (judgement.provider.limits.servers_apart, judgement.provider.name);
    (members >= most).then(|| {
        let rule = format!(
            "antiAffinityGroup `{}` has {members} instances already, and {provider} keeps at most {most} \
             apart; use another group",
            clip(group)
        );
        Violation::at("/spec/antiAffinityGroup", rule)
    })
}
