//! Servers.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::{maybe_parsed, null_default, whole};
use super::{DnsPtr, Firewall, Id, Image, Labels, Location, Network, PlacementGroup, PrimaryIp, ServerType, Volume};

open_enum! {
    /// Status of a server. The provider's own word `unknown` reads as `Unknown("unknown")`.
    ServerStatus {
        Running = "running",
        Initializing = "initializing",
        Starting = "starting",
        Stopping = "stopping",
        Off = "off",
        Deleting = "deleting",
        Migrating = "migrating",
        Rebuilding = "rebuilding",
    }
}
open_enum! {
    /// Whether a firewall is in force on a server.
    ServerFirewallStatus { Applied = "applied", Pending = "pending" }
}

/// A server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Id.
    pub id: Id<Server>,
    /// Name: a host name of RFC 1123, unique in the project.
    pub name: String,
    /// Status.
    pub status: ServerStatus,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Public addresses and firewalls.
    #[serde(default, deserialize_with = "null_default")]
    pub public_net: PublicNet,
    /// Attachments to networks.
    #[serde(default, deserialize_with = "null_default")]
    pub private_net: Vec<PrivateNet>,
    /// Server type, whole.
    pub server_type: ServerType,
    /// Where it is.
    pub location: Location,
    /// Image it was made from; `None` if that is gone.
    #[serde(default)]
    pub image: Option<Image>,
    /// Rescue system is armed.
    #[serde(default)]
    pub rescue_enabled: bool,
    /// Another change is in progress; mutations answer `locked`.
    #[serde(default)]
    pub locked: bool,
    /// Protection.
    #[serde(default, deserialize_with = "null_default")]
    pub protection: ServerProtection,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// Attached volumes.
    #[serde(default, deserialize_with = "null_default")]
    pub volumes: Vec<Id<Volume>>,
    /// Local disk in GB; stays small after a change of type without `upgrade_disk`.
    #[serde(default, deserialize_with = "whole")]
    pub primary_disk_size: u64,
    /// Placement group, whole.
    #[serde(default)]
    pub placement_group: Option<PlacementGroup>,
}

impl Server {
    /// The attachment to this network.
    #[must_use]
    pub fn attachment(&self, network: Id<Network>) -> Option<&PrivateNet> {
        self.private_net.iter().find(|net| net.network == network)
    }
}

/// Protection of a server; the provider wants both values equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerProtection {
    /// `DELETE` is refused.
    #[serde(default)]
    pub delete: bool,
    /// `rebuild` is refused.
    #[serde(default)]
    pub rebuild: bool,
}

/// Public side of a server; without addresses it has no public interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PublicNet {
    /// IPv4 address.
    #[serde(default)]
    pub ipv4: Option<PublicIpv4>,
    /// IPv6 network.
    #[serde(default)]
    pub ipv6: Option<PublicIpv6>,
    /// Floating IPs.
    #[serde(default, deserialize_with = "null_default")]
    pub floating_ips: Vec<i64>,
    /// Firewalls.
    #[serde(default, deserialize_with = "null_default")]
    pub firewalls: Vec<ServerFirewall>,
}

/// Public IPv4 address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIpv4 {
    /// The primary IP.
    #[serde(default)]
    pub id: Option<Id<PrimaryIp>>,
    /// The address.
    pub ip: Ipv4Addr,
    /// Blocked by the provider.
    #[serde(default)]
    pub blocked: bool,
    /// Reverse DNS.
    #[serde(default)]
    pub dns_ptr: Option<String>,
}

/// Public IPv6 network of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIpv6 {
    /// The primary IP.
    #[serde(default)]
    pub id: Option<Id<PrimaryIp>>,
    /// The network, a /64.
    pub ip: Ipv6Net,
    /// Blocked by the provider.
    #[serde(default)]
    pub blocked: bool,
    /// Reverse DNS.
    #[serde(default, deserialize_with = "null_default")]
    pub dns_ptr: Vec<DnsPtr>,
}

/// A firewall on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFirewall {
    /// Its id.
    pub id: Id<Firewall>,
    /// Whether it is in force.
    pub status: ServerFirewallStatus,
}

/// Attachment of a server to a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateNet {
    /// The network.
    pub network: Id<Network>,
    /// Address; `None` while it is being assigned.
    #[serde(default, deserialize_with = "maybe_parsed")]
    pub ip: Option<Ipv4Addr>,
    /// Further addresses.
    #[serde(default, deserialize_with = "null_default")]
    pub alias_ips: Vec<Ipv4Addr>,
    /// MAC address; `None` while it is being assigned.
    #[serde(default)]
    pub mac_address: Option<String>,
}

/// cloud-init user data, at most 32 KiB. It often carries secrets, so `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserData(String);

impl UserData {
    /// Wraps the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({} bytes)", self.0.len())
    }
}

/// Body of `POST /servers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateServer {
    /// Name: a host name of RFC 1123, unique in the project.
    pub name: String,
    /// Id or name of the server type.
    pub server_type: String,
    /// Id or name of the image; a name is resolved for the type's architecture.
    pub image: String,
    /// Name of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Names or ids of SSH keys. Without one the provider makes a root password.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// Volumes of the same location to attach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Id<Volume>>,
    /// Networks to attach; address and subnet cannot be chosen here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Id<Network>>,
    /// Firewalls to apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firewalls: Vec<CreateServerFirewall>,
    /// Placement group to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_group: Option<Id<PlacementGroup>>,
    /// cloud-init user data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<UserData>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Mount attached volumes in the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount: Option<bool>,
    /// Start it once made; the provider's default is yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_after_create: Option<bool>,
    /// Public addresses; without this the provider makes both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_net: Option<CreateServerPublicNet>,
}

/// A firewall of a new server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateServerFirewall {
    /// Its id.
    pub firewall: Id<Firewall>,
}

/// Public addresses of a new server. An enabled version without an id makes a new primary IP
/// that is deleted with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateServerPublicNet {
    /// Have an IPv4 address.
    #[serde(default = "yes")]
    pub enable_ipv4: bool,
    /// Have an IPv6 network.
    #[serde(default = "yes")]
    pub enable_ipv6: bool,
    /// Primary IP to use for IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Id<PrimaryIp>>,
    /// Primary IP to use for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Id<PrimaryIp>>,
}

const fn yes() -> bool {
    true
}

impl CreateServerPublicNet {
    /// No public interface at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { enable_ipv4: false, enable_ipv6: false, ipv4: None, ipv6: None }
    }
}

/// Body of `PUT /servers/{id}`. `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateServer {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The whole new set of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// Body of `change_type`; the server must be off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeType {
    /// Id or name of the new type.
    pub server_type: String,
    /// Grow the disk too; then the type can never go back to one with a smaller disk.
    pub upgrade_disk: bool,
}

/// Body of `attach_to_network`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachToNetwork {
    /// The network.
    pub network: Id<Network>,
    /// Address; the provider chooses one if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// Subnet to take the address from (since 2025-08); not together with `ip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<Ipv4Net>,
    /// Further addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alias_ips: Vec<Ipv4Addr>,
}

/// Body of `change_alias_ips`: the whole new set, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAliasIps {
    /// The network.
    pub network: Id<Network>,
    /// The whole new set.
    pub alias_ips: Vec<Ipv4Addr>,
}

/// Body of `detach_from_network`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DetachFromNetwork {
    pub(crate) network: Id<Network>,
}

/// Body of `add_to_placement_group`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddToPlacementGroup {
    pub(crate) placement_group: Id<PlacementGroup>,
}
