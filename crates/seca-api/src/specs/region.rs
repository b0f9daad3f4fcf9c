//! Regions: where resources live, and where each provider answers.

use serde::{Deserialize, Serialize};

use crate::{
    resource::{NoStatus, Resource},
    serial,
};

/// A region.
pub type Region = Resource<RegionSpec, NoStatus>;

/// The zones and providers of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegionSpec {
    /// The zones that instances and subnets may name.
    #[serde(deserialize_with = "serial::lenient")]
    pub available_zones: Vec<String>,
    /// Where each provider answers.
    #[serde(deserialize_with = "serial::lenient")]
    pub providers: Vec<RegionProvider>,
}

/// Where a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionProvider {
    /// `seca.compute`.
    pub name: String,
    /// `v1`.
    pub version: String,
    /// The absolute URL, without the version.
    pub url: String,
}
