//! Regions: where resources live, and where each provider answers.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{NoStatus, Resource},
    schema::{Field, Type, text},
    serial,
};

const PROVIDER: Type = Type::Object(&[
    Field::required("name", text(1, 64), "`seca.compute`."),
    Field::required("version", text(1, 16), "`v1`."),
    Field::required("url", text(1, 4_000), "The absolute URL, without the version."),
]);

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "region",
    collection: "regions",
    noun: "region",
    provider: Provider::Region,
    scope: Scope::Global,
    schema: &SCHEMA,
    status: None,
    ..KindRow::PLAIN
};

/// What the specification holds.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required(
        "availableZones",
        Type::List { items: &text(1, 32), min: 1, max: 32 },
        "The zones that instances and subnets may name.",
    ),
    Field::required("providers", Type::List { items: &PROVIDER, min: 1, max: 64 }, "Where each provider answers."),
]);

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
