//! Volumes: network block storage, at most sixteen per server, in the server's location.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::{null_default, whole};
use super::{DeleteProtection, Id, Labels, Location, Server};

open_enum! {
    /// Status of a volume.
    VolumeStatus { Available = "available", Creating = "creating" }
}
open_enum! {
    /// File system that the provider makes on a new volume.
    VolumeFormat { Ext4 = "ext4", Xfs = "xfs" }
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Id.
    pub id: Id<Volume>,
    /// Name, unique in the project.
    pub name: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// The server it is attached to.
    #[serde(default)]
    pub server: Option<Id<Server>>,
    /// Where it is.
    pub location: Location,
    /// Size in GB (10^9 bytes as the provider counts).
    #[serde(deserialize_with = "whole")]
    pub size: u64,
    /// Device path inside a server that has it attached.
    #[serde(default)]
    pub linux_device: Option<String>,
    /// Protection.
    #[serde(default, deserialize_with = "null_default")]
    pub protection: DeleteProtection,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// Status.
    pub status: VolumeStatus,
    /// File system, if the provider made one.
    #[serde(default)]
    pub format: Option<VolumeFormat>,
}

/// Body of `POST /volumes`: give either `location` or `server`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// Size in GB, 10 to 10240.
    pub size: u64,
    /// Name, unique in the project.
    pub name: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Name of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Server to attach to at once; the volume is made in its location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Id<Server>>,
    /// Mount it in the guest; needs `format` and `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount: Option<bool>,
    /// File system to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<VolumeFormat>,
}

/// Body of `PUT /volumes/{id}`. `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolume {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The whole new set of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// Body of `POST /volumes/{id}/actions/attach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachVolume {
    /// The server.
    pub server: Id<Server>,
    /// Mount it in the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount: Option<bool>,
}

/// Body of `POST /volumes/{id}/actions/resize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResizeVolume {
    pub(crate) size: u64,
}
