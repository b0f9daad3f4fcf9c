//! Networks: private address space of a workspace.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Cidr, Resource, status},
    schema::{Field, TextRule, Type, list},
    serial,
};

/// What a block of addresses may hold: a block in one family or both.
pub(super) const CIDR: Type = Type::AnyOf(&[
    Field::optional("ipv4", Type::Text { min: 9, max: 18, rule: TextRule::Cidr4 }, "The IPv4 block."),
    Field::optional("ipv6", Type::Text { min: 4, max: 43, rule: TextRule::Cidr6 }, "The IPv6 block."),
]);

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "network",
    collection: "networks",
    noun: "network",
    provider: Provider::Network,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(STATUS),
    short_name: true,
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("cidr", CIDR, "The block of addresses; `0.0.0.0/16` asks for any of that size."),
    Field::optional("additionalCidrs", Type::List { items: &CIDR, min: 0, max: 32 }, "Further blocks."),
    Field::required("skuRef", Type::Reference, "The network SKU. It cannot be changed."),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] = &[
    Field::required("cidr", CIDR, "The block of addresses in use."),
    Field::optional("additionalCidrs", list(&CIDR, 32), "Further blocks in use."),
];

/// A network.
pub type Network = Resource<NetworkSpec, NetworkStatus>;

/// What is wanted of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// The block of addresses.
    pub cidr: Cidr,
    /// Further blocks.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub additional_cidrs: Vec<Cidr>,
    /// The network SKU.
    pub sku_ref: Reference,
}

status! {
    /// The status of a network.
    NetworkStatus {
        /// The block of addresses in use.
        #[serde(deserialize_with = "serial::lenient")]
        cidr: Cidr,
        /// Further blocks in use.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
        additional_cidrs: Vec<Cidr>,
    }
}
