//! NICs: the network interfaces of instances.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Resource, status},
    schema::{Field, TextRule, Type, list, text},
    serial,
};

/// An address of an interface. `0.0.0.0` and `::` ask for any of their family.
const NIC_IP: Type = Type::Text { min: 1, max: 39, rule: TextRule::Ip };

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "nic",
    collection: "nics",
    noun: "NIC",
    provider: Provider::Network,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(STATUS),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::optional("securityGroupRefs", list(&Type::Reference, 16), "The security groups that filter its packets."),
    Field::required(
        "addresses",
        Type::List { items: &NIC_IP, min: 1, max: 32 },
        "Its addresses, within the subnet's block; `0.0.0.0` and `::` ask for any free one.",
    ),
    Field::optional("publicIpRefs", list(&Type::Reference, 16), "The public IPs that lead to it."),
    Field::optional("skuRef", Type::Reference, "The network SKU; the subnet's where it is not set."),
    Field::required("subnetRef", Type::Reference, "The subnet that it is in."),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] = &[
    Field::optional("addresses", list(&NIC_IP, 32), "Its addresses, none of them a wish."),
    Field::optional("macAddress", text(0, 17), "The address of its hardware, once known."),
    Field::optional("publicIpRefs", list(&Type::Reference, 16), "The public IPs that lead to it."),
];

/// A NIC.
pub type Nic = Resource<NicSpec, NicStatus>;

/// What is wanted of a NIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicSpec {
    /// The security groups that filter its packets.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub security_group_refs: Vec<Reference>,
    /// Its addresses; `0.0.0.0` and `::` ask for any free one.
    pub addresses: Vec<String>,
    /// The public IPs that lead to it.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub public_ip_refs: Vec<Reference>,
    /// The network SKU; the subnet's where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub sku_ref: Option<Reference>,
    /// The subnet that it is in.
    pub subnet_ref: Reference,
}

status! {
    /// The status of a NIC.
    NicStatus {
        /// Its addresses, none of them a wish.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
        addresses: Vec<String>,
        /// The address of its hardware, once known.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        mac_address: Option<String>,
        /// The public IPs that lead to it.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
        public_ip_refs: Vec<Reference>,
    }
}
