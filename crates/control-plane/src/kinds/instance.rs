//! Instances: virtual machines.

use seca_api::{Kind, violation::Violation};
use serde_json::{Map, Value, json};

use super::{Found, Judgement, KindRules, ReferenceField};
use crate::catalog::CatalogEntry;

/// What differs about instances.
pub const RULES: KindRules = KindRules {
    references: &[
        ReferenceField::new("/spec/skuRef", &[Kind::InstanceSku]).immutable(),
        ReferenceField::new(BOOT_VOLUME, &[Kind::BlockStorage]).exclusive(),
    ],
    not_yet: &[
        ("primaryNicRef", "network interfaces of instances"),
        ("additionalNicRefs", "network interfaces of instances"),
        ("securityGroupRef", "security groups of instances"),
        ("sshKeys", "SSH keys of instances (put them into userData meanwhile)"),
        ("dataVolumes", "data volumes of instances"),
        ("antiAffinityGroup", "anti-affinity groups"),
    ],
    powered: true,
    initial_status: |_| Map::from_iter([("powerState".to_owned(), json!("off"))]),
    judge,
    ..KindRules::new(Kind::Instance)
};

const BOOT_VOLUME: &str = "/spec/bootVolume/deviceRef";

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
    // A volume that grew, or that another instance left, is no reason to refuse a change that is not about it.
    if judgement.retargeted(BOOT_VOLUME) {
        found.extend(disk_in_use(judgement));
        found.extend(held_server(judgement));
        found.extend(disk_too_small(judgement));
    }
    found
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
    let Some(Found::Row { row: volume, holder }) = judgement.found(BOOT_VOLUME) else { return None };
    let own = judgement.subject.old.map(|(row, _)| row.uid);
    let is_held = match holder {
        None => volume.fact("backing") == Some("server"),
        Some(holder) if Some(holder.uid) == own => false,
        Some(holder) => holder.is_deleting() && (holder.marked("everStarted") || volume.marked("everStarted")),
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
