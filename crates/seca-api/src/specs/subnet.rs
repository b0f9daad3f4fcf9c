//! Subnets: parts of a network's address space.

use serde::{Deserialize, Serialize};

use super::network::CIDR;
use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Cidr, Resource, status},
    schema::{Field, Type, text},
    serial,
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "subnet",
    collection: "subnets",
    noun: "subnet",
    provider: Provider::Network,
    scope: Scope::Network,
    schema: &SCHEMA,
    status: Some(STATUS),
    ..KindRow::PLAIN
};

/// What the specification may hold. The specification requires `zone` and `routeTableRef`; Terraform sends both
/// empty, so that they may be unset here.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("cidr", CIDR, "The block of addresses, within the network's."),
    Field::optional("zone", text(1, 32), "The zone; any zone of the region where it is not set."),
    Field::optional("routeTableRef", Type::Reference, "The route table; local routes only where it is not set."),
    Field::optional("skuRef", Type::Reference, "The network SKU of interfaces that name none."),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] = &[
    Field::optional("cidr", CIDR, "The block of addresses in use."),
    Field::optional("routeTableRef", Type::Reference, "The route table in use."),
];

/// A subnet.
pub type Subnet = Resource<SubnetSpec, SubnetStatus>;

/// What is wanted of a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSpec {
    /// The block of addresses.
    pub cidr: Cidr,
    /// The zone; any zone of the region where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The route table; local routes only where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub route_table_ref: Option<Reference>,
    /// The network SKU of interfaces that name none.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub sku_ref: Option<Reference>,
}

status! {
    /// The status of a subnet.
    SubnetStatus {
        /// The block of addresses in use.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        cidr: Option<Cidr>,
        /// The route table in use.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        route_table_ref: Option<Reference>,
    }
}
