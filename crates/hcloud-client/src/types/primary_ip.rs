//! Primary IPs: public addresses that outlive servers.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::null_default;
use super::{DeleteProtection, DnsPtr, Id, Labels, Location};

open_enum! {
    /// Version of a primary IP.
    IpType { Ipv4 = "ipv4", Ipv6 = "ipv6" }
}
open_enum! {
    /// What a primary IP is assigned to; `unassigned` when free (since 2026-08-01).
    AssigneeType { Server = "server", Unassigned = "unassigned" }
}

/// A primary IP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrimaryIp {
    /// Id.
    pub id: Id<PrimaryIp>,
    /// Name, unique in the project.
    pub name: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Blocked by the provider.
    #[serde(default)]
    pub blocked: bool,
    /// Where it is.
    pub location: Location,
    /// The address (IPv4) or the network in CIDR notation (IPv6).
    pub ip: String,
    /// Reverse DNS.
    #[serde(default, deserialize_with = "null_default")]
    pub dns_ptr: Vec<DnsPtr>,
    /// Protection.
    #[serde(default, deserialize_with = "null_default")]
    pub protection: DeleteProtection,
    /// Version.
    #[serde(rename = "type")]
    pub kind: IpType,
    /// Deleted together with the server it is assigned to.
    #[serde(default)]
    pub auto_delete: bool,
    /// What it is assigned to.
    #[serde(default)]
    pub assignee_type: Option<AssigneeType>,
    /// Id of what it is assigned to.
    #[serde(default)]
    pub assignee_id: Option<i64>,
}

/// Body of `POST /primary_ips`: give either `location` or `assignee_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePrimaryIp {
    /// Name, unique in the project.
    pub name: String,
    /// Version.
    #[serde(rename = "type")]
    pub kind: IpType,
    /// Name of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What to assign it to; optional since 2026-04-27.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee_type: Option<AssigneeType>,
    /// Id of a server that is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee_id: Option<i64>,
    /// Delete it together with its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_delete: Option<bool>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Body of `PUT /primary_ips/{id}`. `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatePrimaryIp {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The whole new set of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Delete it together with its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_delete: Option<bool>,
}

/// Body of `POST /primary_ips/{id}/actions/assign`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AssignPrimaryIp {
    pub(crate) assignee_type: AssigneeType,
    pub(crate) assignee_id: i64,
}
