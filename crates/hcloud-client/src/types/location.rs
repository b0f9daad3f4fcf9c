//! Locations: where servers, volumes and primary IPs live.

use serde::{Deserialize, Serialize};

use super::Id;

/// A location (`fsn1`), which lies in a network zone (`eu-central`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Id.
    pub id: Id<Location>,
    /// Short unique name (`fsn1`).
    pub name: String,
    /// Human-readable description.
    #[serde(default)]
    pub description: String,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(default)]
    pub country: String,
    /// City.
    #[serde(default)]
    pub city: String,
    /// Latitude in degrees.
    #[serde(default)]
    pub latitude: f64,
    /// Longitude in degrees.
    #[serde(default)]
    pub longitude: f64,
    /// Network zone: subnets belong to one.
    #[serde(default)]
    pub network_zone: String,
}
