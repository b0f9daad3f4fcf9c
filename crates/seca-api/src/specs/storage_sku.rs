//! Storage SKUs.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{NoStatus, Resource},
    schema::{Field, Type},
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "storage-sku",
    collection: "skus",
    noun: "storage SKU",
    provider: Provider::Storage,
    scope: Scope::Tenant,
    schema: &SCHEMA,
    status: None,
    ..KindRow::PLAIN
};

/// What the specification holds.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("iops", Type::Integer { min: 1, max: 45_000 }, "Reads and writes per second."),
    Field::required(
        "type",
        Type::OneOf(&["local-ephemeral", "local-durable", "remote-durable"]),
        "Where the blocks are and whether they outlive the instance.",
    ),
    Field::required(
        "minVolumeSize",
        Type::Integer { min: 1, max: i64::MAX },
        "The smallest size in GB at which the figures hold.",
    ),
]);

/// A storage SKU.
pub type StorageSku = Resource<StorageSkuSpec, NoStatus>;

/// What a block storage of the SKU does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageSkuSpec {
    /// Operations per second.
    pub iops: u32,
    /// Where the blocks live.
    pub r#type: StorageType,
    /// The size in GB from which the operations are promised; smaller ones may be made.
    pub min_volume_size: u32,
}

/// Where blocks live, and whether they outlive the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageType {
    /// On the machine, gone with it.
    LocalEphemeral,
    /// On the machine, kept.
    LocalDurable,
    /// On the network, kept.
    RemoteDurable,
}
