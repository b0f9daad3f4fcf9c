//! What an internet gateway remembers of its NAT servers.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Facts, lenient, mark};
use crate::resource::Uid;

/// What an internet gateway remembers and publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InternetGatewayFacts {
    /// A mark: its firewall exists, or may exist.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub firewall: bool,
    /// What it has, or may have, in each network.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<GatewayNetwork>,
}

impl Facts for InternetGatewayFacts {}

/// An internet gateway in one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayNetwork {
    /// The network.
    pub network: Uid,
    /// Its name.
    pub name: String,
    /// A mark: the location of the addresses and the servers, which never move.
    pub location: String,
    /// A mark: the addresses that exist, or may exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NatAddress>,
    /// A mark: the servers that exist, or may exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<NatServer>,
    /// A mark: the group that keeps two servers on different hosts exists, or may exist.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// The private address of the server that the route is to lead to, once one was up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<Ipv4Addr>,
    /// Since when no route leads to it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwanted_since: Option<i64>,
}

/// A public address of an internet gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatAddress {
    /// Its role.
    pub role: String,
    /// What it is, once that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
}

/// A NAT server of an internet gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatServer {
    /// Its role.
    pub role: String,
    /// The role of its public address.
    pub address_role: String,
    /// Its address in the network.
    pub private_address: Ipv4Addr,
    /// Where it stands, as the adapter reads it.
    pub place: Value,
    /// What its user data was made of, as the adapter reads it.
    pub made_with: Value,
    /// The version of its user data.
    pub version: u32,
    /// The provider's name of its type.
    pub server_type: String,
    /// When it was made, in milliseconds.
    pub made_at: i64,
    /// A mark: it was switched on for the first time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// Since when it is seen running, attached and with its address, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well_since: Option<i64>,
    /// When it was brought back, in milliseconds, within the last hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<i64>,
    /// Since when it takes over the addresses of another one, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_since: Option<i64>,
    /// A mark: it did not come up in time, and gives the addresses back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gives_back: bool,
    /// When its replacement was last given up, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at: Option<i64>,
}
