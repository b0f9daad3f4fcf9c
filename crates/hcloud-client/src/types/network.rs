//! Networks with their subnets and routes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::{maybe_parsed, null_default};
use super::{DeleteProtection, Id, Labels, Server};

open_enum! {
    /// Kind of subnet; only `cloud` takes cloud servers today.
    SubnetType { Cloud = "cloud", Server = "server", Vswitch = "vswitch" }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Id.
    pub id: Id<Network>,
    /// Name, unique in the project.
    pub name: String,
    /// Range that holds all subnets; it can only be extended.
    pub ip_range: Ipv4Net,
    /// Subnets.
    #[serde(default, deserialize_with = "null_default")]
    pub subnets: Vec<Subnet>,
    /// Routes, at most one hundred.
    #[serde(default, deserialize_with = "null_default")]
    pub routes: Vec<Route>,
    /// Servers in it.
    #[serde(default, deserialize_with = "null_default")]
    pub servers: Vec<Id<Server>>,
    /// Load balancers in it.
    #[serde(default, deserialize_with = "null_default")]
    pub load_balancers: Vec<i64>,
    /// Protection.
    #[serde(default, deserialize_with = "null_default")]
    pub protection: DeleteProtection,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Whether routes are shown to a vSwitch.
    #[serde(default)]
    pub expose_routes_to_vswitch: bool,
}

/// A subnet of a network; it has no id and is named by its range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Kind.
    #[serde(rename = "type")]
    pub kind: SubnetType,
    /// Range; on creation the provider chooses one if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<Ipv4Net>,
    /// Network zone (`eu-central`).
    pub network_zone: String,
    /// Gateway, chosen by the provider.
    #[serde(default, deserialize_with = "maybe_parsed", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// The vSwitch of a `vswitch` subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vswitch_id: Option<i64>,
}

/// A route of a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub destination: Ipv4Net,
    /// Next hop: an address inside the network.
    pub gateway: Ipv4Addr,
}

/// Body of `POST /networks`: the one call that makes a network with subnets and routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateNetwork {
    /// Name, unique in the project.
    pub name: String,
    /// Range, from the private blocks, at least a /24.
    pub ip_range: Ipv4Net,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Subnets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<AddSubnet>,
    /// Routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Whether routes are shown to a vSwitch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_routes_to_vswitch: Option<bool>,
}

/// Body of `PUT /networks/{id}`. `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateNetwork {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The whole new set of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Whether routes are shown to a vSwitch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_routes_to_vswitch: Option<bool>,
}

/// Body of `POST /networks/{id}/actions/add_subnet`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddSubnet {
    /// Kind.
    #[serde(rename = "type")]
    pub kind: SubnetType,
    /// Range; the provider chooses one if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<Ipv4Net>,
    /// Network zone (`eu-central`).
    pub network_zone: String,
    /// The vSwitch of a `vswitch` subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vswitch_id: Option<i64>,
}

impl AddSubnet {
    /// A `cloud` subnet of this range in this network zone.
    #[must_use]
    pub fn cloud(ip_range: Ipv4Net, network_zone: impl Into<String>) -> Self {
        Self { kind: SubnetType::Cloud, ip_range: Some(ip_range), network_zone: network_zone.into(), vswitch_id: None }
    }
}

/// Body of `delete_subnet` and `change_ip_range`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IpRange {
    pub(crate) ip_range: Ipv4Net,
}
