//! Public IPs: addresses that the internet can reach.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Resource, status},
    schema::{Field, TextRule, Type},
    serial,
};

/// A family of addresses.
pub(super) const IP_VERSION: Type = Type::OneOf(&["IPv4", "IPv6"]);

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "public-ip",
    collection: "public-ips",
    noun: "public IP",
    provider: Provider::Network,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(STATUS),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required("version", IP_VERSION, "The family of the address."),
    Field::optional(
        "address",
        Type::Text { min: 0, max: 39, rule: TextRule::Ip },
        "The address, where the client brings its own; any of the family where it is not set.",
    ),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] = &[
    Field::optional("attachedTo", Type::Reference, "What it leads to."),
    Field::optional("ipAddress", Type::Text { min: 0, max: 39, rule: TextRule::Ip }, "The address, once known."),
];

/// A public IP.
pub type PublicIp = Resource<PublicIpSpec, PublicIpStatus>;

/// What is wanted of a public IP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIpSpec {
    /// The family of the address.
    pub version: IpVersion,
    /// The address, where the client brings its own.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

status! {
    /// The status of a public IP.
    PublicIpStatus {
        /// What it leads to.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        attached_to: Option<Reference>,
        /// The address, once known.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        ip_address: Option<String>,
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IpVersion {
    /// 32 bits.
    IPv4,
    /// 128 bits.
    IPv6,
}
