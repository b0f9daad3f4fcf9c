//! Instance SKUs.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{NoStatus, Resource},
    schema::{Field, Type},
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "instance-sku",
    collection: "skus",
    noun: "instance SKU",
    provider: Provider::Compute,
    scope: Scope::Tenant,
    schema: &SCHEMA,
    status: None,
    ..KindRow::PLAIN
};

/// What the specification holds.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("vCPU", Type::Integer { min: 1, max: 60 }, "The processors that its system sees."),
    Field::required("ram", Type::Integer { min: 1, max: 65_536 }, "Memory in GiB."),
]);

/// An instance SKU.
pub type InstanceSku = Resource<InstanceSkuSpec, NoStatus>;

/// The size of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSkuSpec {
    /// The processors that its system sees.
    #[serde(rename = "vCPU")]
    pub vcpu: u32,
    /// Memory in GiB.
    pub ram: u32,
}
