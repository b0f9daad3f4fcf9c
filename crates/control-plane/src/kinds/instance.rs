//! Instances: virtual machines.

use seca_api::{Kind, violation::Violation};
use serde_json::{Map, Value, json};

use super::{Found, Judgement, KindRules, ReferenceField, Relatives, clip};
use crate::{
    catalog::CatalogEntry,
    disk::Disk,
    facts::{BlockStorageFacts, Facts, InstanceFacts},
};

/// What differs about instances.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new("/spec/skuRef", &[Kind::InstanceSku]).immutable(),
        ReferenceField::new(BOOT_VOLUME, &[Kind::BlockStorage]).exclusive(),
        ReferenceField::new("/spec/dataVolumes/*/deviceRef", &[Kind::BlockStorage]),
        ReferenceField::new("/spec/primaryNicRef", &[Kind::Nic]),
        ReferenceField::new("/spec/additionalNicRefs/*", &[Kind::Nic]),
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

const BOOT_VOLUME: &str = "/spec/bootVolume/deviceRef";

/// The most servers that a spread placement group of Hetzner Cloud holds.
const LARGEST_GROUP: usize = 10;

/// The most bytes of user data that Hetzner Cloud takes.
const MOST_USER_DATA: usize = 32 * 1024;

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut found = Vec::from_iter(judgement.unknown_zone("/zone"));
    if let Some(data) = judgement.text("/userData").filter(|data| data.len() > MOST_USER_DATA) {
        let rule = format!(
            "userData must be at most {MOST_USER_DATA} bytes long, because Hetzner Cloud takes no more, but has {}; \
             shorten it, or let it fetch the rest",
            data.len()
        );
        found.push(Violation::at("/spec/userData", rule));
    }
    found.extend(full_group(judgement));
    // A volume that grew, or that another instance left, is no reason to refuse a change that is not about it.
    if judgement.retargeted(BOOT_VOLUME) {
        found.extend(disk_in_use(judgement));
        found.extend(held_server(judgement));
        found.extend(disk_too_small(judgement));
    }
    found
}

/// The anti-affinity group of a specification.
fn group(spec: &Value) -> Option<&str> {
    spec.get("antiAffinityGroup")?.as_str().filter(|group| !group.is_empty())
}

/// The instances of a group run on different hosts, and Hetzner Cloud promises that for a few only.
fn full_group(judgement: &Judgement<'_>) -> Option<Violation> {
    let group = group(judgement.subject.spec).filter(|_| judgement.subject.changed("/antiAffinityGroup"))?;
    let is_member = |row: &&crate::resource::Resource| {
        let spec: Option<Value> = serde_json::from_str(&row.spec).ok();
        spec.is_some_and(|spec| self::group(&spec) == Some(group))
    };
    let members = judgement.relatives.iter().filter(is_member).count();
    (members >= LARGEST_GROUP).then(|| {
        let rule = format!(
            "antiAffinityGroup `{}` has {members} instances already, and Hetzner Cloud keeps at most {LARGEST_GROUP} \
             apart; use another group",
            clip(group)
        );
        Violation::at("/spec/antiAffinityGroup", rule)
    })
}

/// The disk of an existing server is the former volume's blocks: with another one, its data would have no owner.
fn disk_in_use(judgement: &Judgement<'_>) -> Option<Violation> {
    let (instance, _) = judgement.subject.old?;
    let former = judgement.left(BOOT_VOLUME).filter(|volume| volume.holder == Some(instance.uid))?;
    let volume = judgement.found(BOOT_VOLUME)?.row()?;
    let rule = format!(
        "deviceRef names block storage {}, but the instance boots from {}; changing the boot volume of an instance \
         whose server exists is not supported yet and comes with a later release; keep {}, or create another instance",
        volume.key.name, former.key.name, former.key.name
    );
    Some(Violation::at(BOOT_VOLUME, rule))
}

/// A volume that keeps the server of a deleted instance, or is about to, cannot boot another one yet.
fn held_server(judgement: &Judgement<'_>) -> Option<Violation> {
    let Some(Found::Row { row: volume, holder, .. }) = judgement.found(BOOT_VOLUME) else { return None };
    let own = judgement.subject.old.map(|(row, _)| row.uid);
    let is_held = match holder {
        None => Disk::of(volume).is_held(),
        Some(holder) if Some(holder.uid) == own => false,
        Some(holder) => {
            let ran = InstanceFacts::of(holder).ever_started || BlockStorageFacts::of(volume).ever_started;
            holder.is_deleting() && ran
        }
    };
    is_held.then(|| {
        let rule = format!(
            "deviceRef names block storage {}, which holds the disk of an instance that was deleted; booting another \
             instance from it is not supported yet and comes with a later release; use a new block storage",
            volume.key.name
        );
        Violation::at(BOOT_VOLUME, rule)
    })
}

/// The boot volume becomes the server's own disk, which comes with the SKU.
fn disk_too_small(judgement: &Judgement<'_>) -> Option<Violation> {
    let volume = judgement.found(BOOT_VOLUME)?.row()?;
    let sku = judgement.found("/spec/skuRef")?.entry()?;
    let disk = disk(sku)?;
    let size = serde_json::from_str::<Value>(&volume.spec).ok()?.get("sizeGB")?.as_i64()?;
    (size > disk).then(|| {
        let rule = format!(
            "deviceRef names block storage {} of {size} GB, but the disk of SKU {} has {disk} GB; use a SKU with a \
             larger disk, or a block storage of at most {disk} GB",
            volume.key.name, sku.name
        );
        Violation::at(BOOT_VOLUME, rule)
    })
}

/// The size of a SKU's disk in GB.
fn disk(sku: &CatalogEntry) -> Option<i64> {
    sku.facts.get("disk").and_then(|disk| disk.as_i64().or_else(|| disk.as_str()?.parse().ok()))
}
