//! Block storages: the disks of instances.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Resource, status},
    schema::{Field, Type},
    serial,
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "block-storage",
    collection: "block-storages",
    noun: "block storage",
    provider: Provider::Storage,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(STATUS),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("skuRef", Type::Reference, "The storage SKU. It cannot be changed."),
    Field::required("sizeGB", Type::Integer { min: 1, max: 1_000_000 }, "The size in GB. It can only grow."),
    Field::optional("sourceImageRef", Type::Reference, "The image that the blocks are copied from."),
]);

/// What the connection of an instance to a block storage may hold.
pub(super) const VOLUME_REFERENCE: Type = Type::Object(&[
    Field::required("deviceRef", Type::Reference, "The block storage."),
    Field::optional("type", Type::OneOf(&["virtio"]), "How it is connected.").default("\"virtio\""),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] = &[
    Field::required("sizeGB", Type::Integer { min: 0, max: 1_000_000 }, "The size in GB; 0 until it is known."),
    Field::optional("attachedTo", Type::Reference, "The instance that uses it."),
];

/// A block storage.
pub type BlockStorage = Resource<BlockStorageSpec, BlockStorageStatus>;

/// What is wanted of a block storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockStorageSpec {
    /// The storage SKU.
    pub sku_ref: Reference,
    /// The size in GB.
    #[serde(rename = "sizeGB")]
    pub size_gb: u32,
    /// The image that the blocks are copied from.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub source_image_ref: Option<Reference>,
}

status! {
    /// The status of a block storage.
    BlockStorageStatus {
        /// The size in GB; 0 until it is known.
        #[serde(rename = "sizeGB", deserialize_with = "serial::lenient")]
        size_gb: u32,
        /// The instance that uses it.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        attached_to: Option<Reference>,
    }
}

/// The connection of an instance to a block storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeReference {
    /// The block storage.
    pub device_ref: Reference,
    /// How it is connected.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "serial::is_default")]
    pub r#type: VolumeType,
}

impl VolumeReference {
    /// A connection of the only type there is.
    pub const fn new(device_ref: Reference) -> Self {
        Self { device_ref, r#type: VolumeType::Virtio }
    }
}

/// How a block storage is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeType {
    /// A virtio disk.
    #[default]
    Virtio,
}
