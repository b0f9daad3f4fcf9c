//! Images: the provider's own, and snapshots and backups of a project.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::null_default;
use super::{Architecture, DeleteProtection, Id, Labels, Server};

open_enum! {
    /// Kind of image.
    ImageType { System = "system", App = "app", Snapshot = "snapshot", Backup = "backup" }
}
open_enum! {
    /// Whether an image can be used.
    ImageStatus { Available = "available", Creating = "creating", Unavailable = "unavailable" }
}

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Id.
    pub id: Id<Image>,
    /// Kind.
    #[serde(rename = "type")]
    pub kind: ImageType,
    /// Status.
    pub status: ImageStatus,
    /// Name; only system and app images have one, and it is unique only per architecture.
    #[serde(default)]
    pub name: Option<String>,
    /// Description; the only text of a snapshot.
    #[serde(default)]
    pub description: String,
    /// Size of the stored image in GB; `None` for system images.
    #[serde(default)]
    pub image_size: Option<f64>,
    /// Size of the disk inside in GB: a server's disk must be at least as large.
    #[serde(default)]
    pub disk_size: f64,
    /// When it was made; `None` if the provider omits it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created: Option<OffsetDateTime>,
    /// The server it was made from.
    #[serde(default)]
    pub created_from: Option<CreatedFrom>,
    /// The server whose backup it is.
    #[serde(default)]
    pub bound_to: Option<Id<Server>>,
    /// Flavor of operating system (`ubuntu`).
    #[serde(default)]
    pub os_flavor: String,
    /// Version of the operating system.
    #[serde(default)]
    pub os_version: Option<String>,
    /// Whether servers made from it deploy fast.
    #[serde(default)]
    pub rapid_deploy: bool,
    /// Protection.
    #[serde(default, deserialize_with = "null_default")]
    pub protection: DeleteProtection,
    /// When it was deprecated.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub deprecated: Option<OffsetDateTime>,
    /// When it was deleted; a deleted image stays visible while servers refer to it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub deleted: Option<OffsetDateTime>,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// Instruction set.
    pub architecture: Architecture,
}

/// The server an image was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedFrom {
    /// Its id.
    pub id: Id<Server>,
    /// Its name at that time.
    #[serde(default)]
    pub name: String,
}

/// Body of `PUT /images/{id}`. `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateImage {
    /// New description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `snapshot`: makes one of a backup.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ImageType>,
    /// The whole new set of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// Body of `POST /servers/{id}/actions/create_image`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateImage {
    /// Description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `snapshot` (the default) or `backup`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ImageType>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}
