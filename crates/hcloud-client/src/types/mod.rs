//! The wire types of the endpoints in use.
//!
//! They are tolerant: unknown fields are ignored, enums are open (`Unknown(text)` keeps what the
//! provider sent), what the provider may omit or null is an `Option` or has a default. A list must
//! never fail because the provider learned a new word.

mod action;
mod firewall;
mod id;
mod image;
mod location;
mod network;
pub(crate) mod open_enum;
mod placement_group;
mod primary_ip;
mod server;
mod server_type;
mod ssh_key;
mod volume;
pub(crate) mod wire;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use open_enum::open_enum;

pub use action::{Action, ActionError, ActionResource, ActionStatus};
pub(crate) use firewall::{ApplyTo, RemoveFrom, SetRules};
pub use firewall::{
    CreateFirewall, Firewall, FirewallResource, FirewallResourceServer, FirewallRule, FirewallSelector, FirewallTarget,
    RuleDirection, RuleProtocol, UpdateFirewall,
};
pub use id::Id;
pub use image::{CreateImage, CreatedFrom, Image, ImageStatus, ImageType, UpdateImage};
pub use location::Location;
pub(crate) use network::IpRange;
pub use network::{AddSubnet, CreateNetwork, Network, Route, Subnet, SubnetType, UpdateNetwork};
pub use placement_group::{CreatePlacementGroup, PlacementGroup, PlacementGroupType, UpdatePlacementGroup};
pub(crate) use primary_ip::AssignPrimaryIp;
pub use primary_ip::{AssigneeType, CreatePrimaryIp, IpType, PrimaryIp, UpdatePrimaryIp};
pub(crate) use server::{AddToPlacementGroup, DetachFromNetwork};
pub use server::{
    AttachToNetwork, ChangeAliasIps, ChangeType, CreateServer, CreateServerFirewall, CreateServerPublicNet, PrivateNet,
    PublicIpv4, PublicIpv6, PublicNet, Server, ServerFirewall, ServerFirewallStatus, ServerProtection, ServerStatus,
    UpdateServer, UserData,
};
pub use server_type::{Architecture, CpuType, Deprecation, ServerType, ServerTypeLocation};
pub use ssh_key::{CreateSshKey, SshKey};
pub(crate) use volume::ResizeVolume;
pub use volume::{AttachVolume, CreateVolume, UpdateVolume, Volume, VolumeFormat, VolumeStatus};

/// User-defined labels. A `PUT` replaces the whole set.
pub type Labels = BTreeMap<String, String>;

/// A resource of the API: how its JSON envelope names it, and its id.
pub trait Resource: DeserializeOwned + Send + 'static {
    /// Key of one resource in an answer (`server`).
    const SINGULAR: &'static str;
    /// Key of a list of them, which is also the collection's path segment (`servers`).
    const PLURAL: &'static str;
    /// Whether the list accepts `sort` (some catalogs do not).
    const SORTABLE: bool = true;

    /// The resource's id as a bare number.
    fn raw_id(&self) -> i64;
}

macro_rules! resource {
    ($($type:ident $singular:literal $plural:literal $sortable:literal),+ $(,)?) => {
        $(impl Resource for $type {
            const SINGULAR: &'static str = $singular;
            const PLURAL: &'static str = $plural;
            const SORTABLE: bool = $sortable;

            fn raw_id(&self) -> i64 {
                self.id.get()
            }
        })+
    };
}

resource! {
    Action "action" "actions" true,
    Firewall "firewall" "firewalls" true,
    Image "image" "images" true,
    Location "location" "locations" true,
    Network "network" "networks" true,
    PlacementGroup "placement_group" "placement_groups" true,
    PrimaryIp "primary_ip" "primary_ips" true,
    Server "server" "servers" true,
    ServerType "server_type" "server_types" false,
    SshKey "ssh_key" "ssh_keys" true,
    Volume "volume" "volumes" true,
}

/// Protection of a resource that can only be protected from deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteProtection {
    /// `DELETE` is refused with `protected`.
    #[serde(default)]
    pub delete: bool,
}

/// Name of a reverse-DNS entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsPtr {
    /// The address.
    pub ip: String,
    /// Its name.
    pub dns_ptr: String,
}
