//! Images: what block storages are copied from.

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
    word: "image",
    collection: "images",
    noun: "image",
    provider: Provider::Storage,
    scope: Scope::Tenant,
    schema: &SCHEMA,
    status: Some(STATUS),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("blockStorageRef", Type::Reference, "The block storage that the image is taken from."),
    Field::required("cpuArchitecture", Type::OneOf(&["amd64", "arm64"]), "The processors that it runs on."),
    Field::optional("initializer", Type::OneOf(&["none", "cloudinit-22"]), "What sets it up at the first start.")
        .default("\"none\""),
    Field::optional("boot", Type::OneOf(&["UEFI", "BIOS"]), "How it boots.").default("\"UEFI\""),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] =
    &[Field::optional("sizeMB", Type::Integer { min: 1, max: i64::MAX }, "The size in MB, once known.")];

/// An image.
pub type Image = Resource<ImageSpec, ImageStatus>;

/// What is wanted of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// The block storage that the image is taken from.
    pub block_storage_ref: Reference,
    /// The processors that it runs on.
    pub cpu_architecture: CpuArchitecture,
    /// What sets it up at the first start.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "serial::is_default")]
    pub initializer: Initializer,
    /// How it boots.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "serial::is_default")]
    pub boot: Boot,
}

status! {
    /// The status of an image.
    ImageStatus {
        /// The size in MB, once known.
        #[serde(rename = "sizeMB", deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        size_mb: Option<u64>,
    }
}

/// The processors that an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuArchitecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

/// What sets an image up at the first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Initializer {
    /// Nothing.
    #[default]
    #[serde(rename = "none")]
    None,
    /// cloud-init 22 or later.
    #[serde(rename = "cloudinit-22")]
    CloudInit22,
}

/// How an image boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Boot {
    /// From UEFI firmware.
    #[default]
    Uefi,
    /// From a BIOS.
    Bios,
}
