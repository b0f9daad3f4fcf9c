//! Placement groups: servers of one group run on different hosts.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::open_enum::open_enum;
use super::wire::null_default;
use super::{Id, Labels, Server};

open_enum! {
    /// How members are placed.
    PlacementGroupType { Spread = "spread" }
}

/// A placement group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementGroup {
    /// Id.
    pub id: Id<PlacementGroup>,
    /// Name, unique in the project.
    pub name: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_default")]
    pub labels: Labels,
    /// How members are placed.
    #[serde(rename = "type")]
    pub kind: PlacementGroupType,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// Members, at most ten.
    #[serde(default, deserialize_with = "null_default")]
    pub servers: Vec<Id<Server>>,
}

/// Body of `POST /placement_groups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePlacementGroup {
    /// Name, unique in the project.
    pub name: String,
    /// How members are placed.
    #[serde(rename = "type")]
    pub kind: PlacementGroupType,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Body of `PUT /placement_groups/{id}`. `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatePlacementGroup {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The whole new set of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}
