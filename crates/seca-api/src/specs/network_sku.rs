//! Network SKUs.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{NoStatus, Resource},
    schema::{Field, Type},
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "network-sku",
    collection: "skus",
    noun: "network SKU",
    provider: Provider::Network,
    scope: Scope::Tenant,
    schema: &SCHEMA,
    status: None,
    ..KindRow::PLAIN
};

/// What the specification holds.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("bandwidth", Type::Integer { min: 1, max: 800_000 }, "Megabits per second."),
    Field::required("packets", Type::Integer { min: 1, max: 200_000_000_000 }, "Packets per second."),
]);

/// A network SKU.
pub type NetworkSku = Resource<NetworkSkuSpec, NoStatus>;

/// What a network interface does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSkuSpec {
    /// Megabits per second.
    pub bandwidth: u32,
    /// Packets per second.
    pub packets: u64,
}
