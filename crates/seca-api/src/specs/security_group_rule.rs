//! Security group rules: which packets pass. They stand alone, or inside a security group.

use serde::{Deserialize, Serialize};

use super::public_ip::{IP_VERSION, IpVersion};
use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Resource, Status, TextMap},
    schema::{ANNOTATIONS, Field, Type, list},
    serial,
};

const PORT: Type = Type::Integer { min: 1, max: 65_535 };

/// The specification asks for no member; a rule for no port at all is a mistake (§3.13: `ports: {}` is refused).
const PORTS: Type = Type::AnyOf(&[
    Field::optional("from", PORT, "The first port of a range; `to` where it is not set."),
    Field::optional("to", PORT, "The last port of a range; `from` where it is not set."),
    Field::optional("list", list(&PORT, 100), "Further ports."),
]);

const ICMP: Type = Type::Object(&[
    Field::required("type", Type::Integer { min: 0, max: 8 }, "The ICMP type; 8 is an echo request."),
    Field::required("code", Type::Integer { min: 0, max: 5 }, "The ICMP code."),
]);

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "security-group-rule",
    collection: "security-group-rules",
    noun: "security group rule",
    provider: Provider::Network,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(&[]),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::optional("annotations", ANNOTATIONS, "Notes for people and tools."),
    Field::required("direction", Type::OneOf(&["ingress", "egress"]), "Whether it lets packets in or out."),
    Field::optional("version", IP_VERSION, "The family of the addresses; both where it is not set."),
    Field::optional(
        "protocol",
        Type::OneOf(&["tcp", "udp", "tcp+udp", "icmp"]),
        "The protocol; all where it is not set.",
    ),
    Field::optional("ports", PORTS, "The ports of TCP and UDP; all where it is not set."),
    Field::optional("icmp", ICMP, "The messages of ICMP; all where it is not set."),
    Field::optional(
        "sourceRef",
        list(&Type::Reference, 32),
        "The other side: blocks, addresses, gateways, instances, security groups; all where it is not set.",
    ),
]);

/// A security group rule.
pub type SecurityGroupRule = Resource<SecurityGroupRuleSpec, Status>;

/// Which packets pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupRuleSpec {
    /// Notes for people and tools.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub annotations: Option<TextMap>,
    /// Whether it lets packets in or out.
    pub direction: Direction,
    /// The family of the addresses; both where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub version: Option<IpVersion>,
    /// The protocol; all where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The ports of TCP and UDP; all where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
    /// The messages of ICMP; all where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpConfig>,
    /// The other side; all where it is not set.
    #[serde(default, deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub source_ref: Vec<Reference>,
}

/// Where packets go that a rule lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the instance.
    Ingress,
    /// From the instance.
    Egress,
}

/// What a rule lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "tcp")]
    Tcp,
    /// UDP.
    #[serde(rename = "udp")]
    Udp,
    /// TCP and UDP.
    #[serde(rename = "tcp+udp")]
    TcpUdp,
    /// ICMP.
    #[serde(rename = "icmp")]
    Icmp,
}

/// Ports: a range, single ones, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ports {
    /// The first port of a range; `to` where it is not set.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub from: Option<u16>,
    /// The last port of a range; `from` where it is not set.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub to: Option<u16>,
    /// Further ports.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<u16>,
}

/// A message of ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IcmpConfig {
    /// Its type; 8 is an echo request.
    pub r#type: u8,
    /// Its code.
    pub code: u8,
}
