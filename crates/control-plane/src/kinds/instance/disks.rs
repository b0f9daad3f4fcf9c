//! The disks of an instance: the block storage that it boots from, and those that are attached to it.

use std::collections::BTreeMap;

use seca_api::{BlockStorageSpec, CpuArchitecture, Kind, ResourceKey, Target, violation::Violation};
use serde_json::{Value, json};

use super::{BOOT_VOLUME, DATA_VOLUMES, SKU};
use crate::{
    catalog::CatalogEntry,
    disk::Disk,
    facts::{BlockStorageFacts, Facts, Origin},
    kinds::{Found, Judgement, Named, catalog, is_set, spelled},
    resource::{Resource, Uid},
};

pub(super) fn violations(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    // A volume that grew, or that another instance left, is no reason to refuse a change that is not about it.
    if judgement.retargeted(BOOT_VOLUME) {
        found.extend(disk_in_use(judgement));
        found.extend(disk_too_small(judgement));
        found.extend(other_architecture(judgement));
    }
    found.extend(too_many_volumes(judgement));
    found.extend(data_volumes(judgement));
    found
}

/// The specification of an instance with one data volume more; none if it names that already.
pub(crate) fn with_data_volume(instance: &ResourceKey, spec: &Value, volume: &ResourceKey) -> Option<Value> {
    if !places(instance, spec, volume).is_empty() {
        return None;
    }
    let mut spec = spec.clone();
    let item = json!({"deviceRef": {"resource": format!("{}/{}", volume.kind.collection(), volume.name)}});
    match spec.get_mut("dataVolumes").and_then(Value::as_array_mut) {
        Some(volumes) => volumes.push(item),
        None => drop(spec.as_object_mut()?.insert("dataVolumes".to_owned(), json!([item]))),
    }
    Some(spec)
}

/// The specification of an instance without a data volume; none if it does not name that. The list goes with its last
/// item.
pub(crate) fn without_data_volume(instance: &ResourceKey, spec: &Value, volume: &ResourceKey) -> Option<Value> {
    let places = places(instance, spec, volume);
    if places.is_empty() {
        return None;
    }
    let mut spec = spec.clone();
    let volumes = spec.get_mut("dataVolumes")?.as_array_mut()?;
    let mut index = 0;
    volumes.retain(|_| {
        index += 1;
        !places.contains(&format!("/spec/dataVolumes/{}/deviceRef", index - 1))
    });
    if volumes.is_empty() {
        spec.as_object_mut()?.shift_remove("dataVolumes");
    }
    Some(spec)
}

/// Where the data volumes of an instance name a block storage.
fn places(instance: &ResourceKey, spec: &Value, volume: &ResourceKey) -> Vec<String> {
    let mut references = spelled(super::RULES.references, instance, spec);
    references.retain(|reference| reference.field.pointer == DATA_VOLUMES);
    references.retain(|reference| matches!(&reference.target, Ok(Target::Resource(key)) if key == volume));
    references.into_iter().map(|reference| reference.pointer).collect()
}

fn too_many_volumes(judgement: &Judgement<'_>) -> Option<Violation> {
    let count = |spec: &Value| spec.get("dataVolumes").and_then(Value::as_array).map_or(0, Vec::len);
    let now = count(judgement.subject.spec);
    let before = judgement.subject.old.map_or(0, |(_, old)| count(old));
    let (most, provider) = (judgement.provider.limits.volumes_per_server, judgement.provider.name);
    (now > most && now > before).then(|| {
        let rule = format!(
            "dataVolumes names {now} volumes, but {provider} attaches at most {most} to a server; use fewer and \
             larger block storages"
        );
        Violation::at("/spec/dataVolumes", rule)
    })
}

/// What cannot be attached as a volume.
fn data_volumes(judgement: &Judgement<'_>) -> Vec<Violation> {
    let boot = judgement.found(BOOT_VOLUME).and_then(Found::row);
    let changes_boot = judgement.retargeted(BOOT_VOLUME);
    let named = judgement.named(&[DATA_VOLUMES]);
    let mut first: BTreeMap<Uid, &Named<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    for volume in &named {
        let is_boot = boot.is_some_and(|boot| boot.uid == volume.row.uid);
        let why = match first.get(&volume.row.uid) {
            Some(other) if volume.is_new => Some(twice(other)),
            Some(_) => None,
            None if is_boot => (volume.is_new || changes_boot).then(boots),
            None => volume.is_new.then(|| unusable(volume.row, judgement.provider.name)).flatten(),
        };
        first.entry(volume.row.uid).or_insert(volume);
        found.extend(why.map(|why| {
            let mut violation = Violation::at(&volume.pointer, "");
            violation.rule = format!("{} names block storage {}, {why}", violation.parameter, volume.row.key.name);
            violation
        }));
    }
    found
}

fn twice(other: &Named<'_>) -> String {
    let item = other.pointer.trim_end_matches("/deviceRef");
    let other = Violation::at(item, "").parameter;
    format!("like {other} does, and a volume is attached once; remove one of the two")
}

fn boots() -> String {
    "which the instance boots from; remove it from the data volumes, or boot from another one".to_owned()
}

/// Why a block storage can never be attached as a volume.
fn unusable(volume: &Resource, provider: &str) -> Option<String> {
    if Disk::held_a_system(volume) {
        return Some(format!(
            "which is the system disk of an instance, and {provider} cannot attach the disk of one server to another; \
             use another block storage, and copy the data"
        ));
    }
    let spec: Value = serde_json::from_str(&volume.spec).ok()?;
    is_set(spec.get("sourceImageRef")).then(|| {
        format!(
            "which is made from an image and can only be booted from, because {provider} cannot write an image to a \
             volume; use a block storage without sourceImageRef"
        )
    })
}

/// The image of the boot volume and the SKU must be for the same processors.
fn other_architecture(judgement: &Judgement<'_>) -> Option<Violation> {
    let volume = judgement.found(BOOT_VOLUME)?.row()?;
    let sku = judgement.found(SKU)?.entry()?;
    let ours = sku.fact("architecture")?;
    if let Some(theirs) = BlockStorageFacts::of(volume).architecture.filter(|theirs| theirs != ours) {
        let rule = format!(
            "deviceRef names block storage {} with a system for {theirs} on it, but SKU {} has {ours} processors; use a SKU \
             with {theirs} processors",
            volume.key.name, sku.name
        );
        return Some(Violation::at(BOOT_VOLUME, rule));
    }
    let (image, theirs) = source_image(judgement, volume)?;
    (theirs != ours).then(|| {
        let rule = format!(
            "deviceRef names block storage {} with image {image} for {theirs}, but SKU {} has {ours} processors; use a SKU \
             with {theirs} processors, or an image for {ours}",
            volume.key.name, sku.name
        );
        Violation::at(BOOT_VOLUME, rule)
    })
}

/// The image that a block storage is made from, and the processors that it is for, as far as they are known: the block
/// storage publishes what the image of a user passes on, and the catalogue tells of its own.
fn source_image(judgement: &Judgement<'_>, volume: &Resource) -> Option<(String, String)> {
    let spec: BlockStorageSpec = volume.spec().ok()?;
    let reference = spec.source_image_ref.filter(|reference| !reference.is_unset())?;
    let facts = BlockStorageFacts::of(volume);
    let origin = facts.origin.filter(|_| facts.origin_of.as_ref() == Some(&reference.resource));
    let Ok(Target::Resource(image)) = reference.resolve(&volume.key, &[Kind::Image]) else { return None };
    let system = |key: &ResourceKey| {
        let entry = catalog::find(judgement.catalog, key)?;
        entry.spec.get("cpuArchitecture")?.as_str().map(str::to_owned)
    };
    let processors = match origin {
        None => system(&image),
        Some(Origin::System(name)) => system(&ResourceKey { name, ..image.clone() }),
        Some(Origin::Blank { architecture }) => architecture.map(|architecture| word(architecture).to_owned()),
        // Which processors a snapshot is for is known to the provider alone.
        Some(Origin::Snapshot { .. }) => None,
    };
    Some((image.name, processors?))
}

/// The catalogue's word.
const fn word(architecture: CpuArchitecture) -> &'static str {
    match architecture {
        CpuArchitecture::Amd64 => "amd64",
        CpuArchitecture::Arm64 => "arm64",
    }
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

/// The boot volume becomes the server's own disk, which comes with the SKU.
fn disk_too_small(judgement: &Judgement<'_>) -> Option<Violation> {
    let volume = judgement.found(BOOT_VOLUME)?.row()?;
    let sku = judgement.found(SKU)?.entry()?;
    let disk = disk(sku)?;
    let asked = serde_json::from_str::<Value>(&volume.spec).ok()?.get("sizeGB")?.as_i64()?;
    // A disk that a system was on may have more than was asked for, and never gets less.
    let real = BlockStorageFacts::of(volume).disk_gb.and_then(|size| i64::try_from(size).ok());
    let size = real.unwrap_or_default().max(asked);
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
