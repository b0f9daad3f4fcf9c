//! What a disk begins with. An image passes it on to the block storages that are made from it, and they to the
//! servers that boot from them. Each remembers it in a fact, because a plan sees no further than the next resource.

use control_plane::{
    Catalog, CatalogEntry, Reason, Resource,
    disk::Disk,
    facts::{BlockStorageFacts, Facts, ImageFacts, Origin},
};
use hcloud_client::types::{Id, Image, ImageStatus};
use seca_api::{BlockStorageSpec, CpuArchitecture, Kind, reference::Target};
use serde_json::Value;

use super::{Checked, Context, block_storage::source_image, fail, parking, wait};
use crate::{catalog, objects::ObjectId};

/// The field of a block storage that names its image.
const SOURCE_IMAGE: &str = "/spec/sourceImageRef";

/// What a disk made for a block storage begins with, as far as it is known.
pub(super) fn origin_of_volume(catalog: &Catalog, volume: &Resource) -> Option<Origin> {
    let facts = BlockStorageFacts::of(volume);
    let Some(reference) = source_image(volume) else { return Some(Origin::Blank { architecture: None }) };
    if facts.origin_of.as_ref() == Some(&reference) {
        return facts.origin;
    }
    let spec: BlockStorageSpec = volume.spec().ok()?;
    match spec.source_image_ref?.resolve(&volume.key, &[Kind::Image]) {
        Ok(Target::Resource(key)) => {
            catalog.get(Kind::Image, &key.region, &key.name).map(|entry| Origin::System(entry.name.clone()))
        }
        _ => None,
    }
}

/// What the image of a user passes on to the block storage that is planned; none if it names no such image.
pub(super) fn origin_from_image(context: &Context<'_>) -> Checked<Option<Origin>> {
    let Some(target) = context.bundle().target(SOURCE_IMAGE) else { return Ok(None) };
    let (row, name) = (context.resource(), &target.key.name);
    let image = target.resource.as_ref().filter(|image| !image.is_deleting());
    let facts = BlockStorageFacts::of(row);
    let is_remembered = facts.origin_of == source_image(row);
    let origin = match image {
        Some(image) => ImageFacts::of(image).origin,
        None => facts.origin.filter(|_| is_remembered),
    };
    let Some(origin) = origin else {
        let (reason, what) = match image {
            Some(_) => (Reason::WaitingForDependency, "is not ready; its status says why"),
            None => (Reason::DependencyMissing, "does not exist any more; create it, or change the reference"),
        };
        return Err(Box::new(wait(reason, format!("The image `{name}` {what}."))));
    };
    match &origin {
        Origin::Snapshot { project, .. } if *project != row.project => {
            let message = format!(
                "The image `{name}` is a snapshot in another Hetzner Cloud project than this block storage, and \
                 snapshots stay in their project; use an image of a block storage of the same project."
            );
            Err(Box::new(fail(Reason::Unsupported, message)))
        }
        Origin::Snapshot { id, .. } if context.snapshot.get(Id::<Image>::new(*id)).is_none() => {
            context.prove_gone(ObjectId::Image(Id::new(*id)))?;
            let message = format!(
                "The snapshot behind the image `{name}` was deleted before an instance booted from this block \
                 storage; name another image, or delete the block storage."
            );
            Err(Box::new(fail(Reason::BackingLost, message)))
        }
        _ => Ok(Some(origin)),
    }
}

/// The processors that it runs on, as far as they are known.
pub(super) fn architecture(origin: &Origin, context: &Context<'_>) -> Option<&'static str> {
    match origin {
        Origin::Blank { architecture } => architecture.map(word),
        Origin::System(name) => {
            let entry = context.desired.catalog.get(Kind::Image, context.region(), name)?;
            entry.fact("architecture").and_then(known_word)
        }
        Origin::Snapshot { id, .. } => {
            let image = context.snapshot.get(Id::<Image>::new(*id))?;
            catalog::architecture(&image.architecture)
        }
    }
}

/// SECA's word for processors.
pub(super) fn word(architecture: CpuArchitecture) -> &'static str {
    match architecture {
        CpuArchitecture::Amd64 => "amd64",
        CpuArchitecture::Arm64 => "arm64",
    }
}

fn known_word(text: &str) -> Option<&'static str> {
    [CpuArchitecture::Amd64, CpuArchitecture::Arm64].map(word).into_iter().find(|word| *word == text)
}

/// What a server is made from.
pub(super) struct BootImage {
    /// The provider's id, or a name that it resolves for the server type's architecture.
    pub(super) id: String,
    /// The name, if there was nothing on the boot volume.
    pub(super) defaulted: Option<String>,
}

/// What a server of a SKU is made from, to boot from a block storage.
pub(super) fn boot_image(context: &Context<'_>, volume: &Resource, sku: &CatalogEntry) -> Checked<BootImage> {
    let refuse = |message: String| Err(Box::new(fail(Reason::ProviderRefused, message)));
    let name = &volume.key.name;
    let spec: BlockStorageSpec = volume.spec().map_err(|error| {
        let message = format!("The specification of the block storage `{name}` cannot be read: {error}.");
        Box::new(fail(Reason::Unsupported, message))
    })?;
    let disk = sku.facts.get("disk").and_then(Value::as_u64);
    if let Some(disk) = disk.filter(|disk| u64::from(spec.size_gb) > *disk) {
        return refuse(format!(
            "The boot volume is to have {} GB, and a server of the SKU `{}` has a disk of {disk} GB; choose a larger \
             SKU or a smaller volume.",
            spec.size_gb, sku.name
        ));
    }
    if let Disk::Parked { .. } = Disk::of(volume) {
        return Ok(BootImage { id: parking::boot_image(context, volume, disk)?, defaulted: None });
    }
    let Some(origin) = origin_of_volume(context.desired.catalog, volume) else {
        return Err(Box::new(match volume.observed_generation == volume.generation {
            true => fail(Reason::Unsupported, format!("The region has no image for the block storage `{name}`.")),
            false => wait(Reason::WaitingForDependency, format!("The block storage `{name}` is not ready.")),
        }));
    };
    let wanted = sku.fact("architecture").unwrap_or("amd64");
    if let Some(other) = architecture(&origin, context).filter(|architecture| *architecture != wanted) {
        return refuse(format!(
            "The image behind the block storage `{name}` is for {other}, and the SKU `{}` is {wanted}; choose another \
             of them.",
            sku.name
        ));
    }
    match origin {
        Origin::Blank { .. } => Ok(default_image(context, wanted)),
        Origin::System(image) => {
            let entry = context.desired.catalog.get(Kind::Image, &volume.key.region, &image);
            let id = entry.and_then(|entry| entry.fact("imageId").or_else(|| entry.fact("imageName")));
            Ok(BootImage { id: id.unwrap_or(&image).to_owned(), defaulted: None })
        }
        Origin::Snapshot { id, .. } => {
            let image =
                context.snapshot.get(Id::<Image>::new(id)).filter(|image| image.status == ImageStatus::Available);
            let Some(image) = image else {
                context.prove_gone(ObjectId::Image(Id::new(id)))?;
                let message = format!("The snapshot that the block storage `{name}` is made from cannot be used.");
                return Err(Box::new(wait(Reason::WaitingForDependency, message)));
            };
            let needed = whole(image.disk_size);
            match disk.filter(|disk| needed > *disk) {
                Some(disk) => refuse(format!(
                    "The image behind the block storage `{name}` needs a disk of {needed} GB, and a server of the SKU \
                     `{}` has one of {disk} GB; choose a larger SKU.",
                    sku.name
                )),
                None => Ok(BootImage { id: image.id.to_string(), defaulted: None }),
            }
        }
    }
}

fn default_image(context: &Context<'_>, architecture: &str) -> BootImage {
    let name = context.settings.default_image.as_str();
    let fits = |entry: &&CatalogEntry| {
        entry.fact("imageName") == Some(name) && entry.fact("architecture") == Some(architecture)
    };
    let entry = context.desired.catalog.list(Kind::Image, context.region()).find(fits);
    BootImage {
        id: entry.and_then(|entry| entry.fact("imageId")).unwrap_or(name).to_owned(),
        defaulted: Some(name.to_owned()),
    }
}

/// The provider's figures have fractions; what needs room needs all of it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are small and positive")]
pub(super) fn whole(size: f64) -> u64 {
    size.ceil().max(0.0) as u64
}
