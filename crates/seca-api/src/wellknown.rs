//! The well-known document: where each provider answers.

use serde::{Deserialize, Serialize};

use crate::{
    schema::{Field, Type, UNLIMITED, text},
    serial,
};

/// Its path under the host. It is the specification's; [`ALIAS`] is what RFC 8615 makes of it.
pub const PATH: &str = "/.wellknown/secapi";
/// The same with the hyphen of RFC 8615.
pub const ALIAS: &str = "/.well-known/secapi";

const ENDPOINT: Type = Type::Object(&[
    Field::required("provider", text(1, UNLIMITED), "The provider with its version, `seca.region/v1`."),
    Field::required("url", text(1, UNLIMITED), "The absolute URL, without the version."),
]);

/// What the document holds.
pub static SCHEMA: Type = Type::Object(&[
    Field::required("version", text(1, UNLIMITED), "The version of the document, `v1`."),
    Field::required("endpoints", Type::List { items: &ENDPOINT, min: 1, max: 64 }, "Where each provider answers."),
]);

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wellknown {
    /// The version of the document, `v1`.
    #[serde(deserialize_with = "serial::lenient")]
    pub version: String,
    /// Where each provider answers.
    #[serde(deserialize_with = "serial::lenient")]
    pub endpoints: Vec<WellknownEndpoint>,
}

/// Where a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WellknownEndpoint {
    /// The provider with its version, `seca.region/v1`.
    pub provider: String,
    /// The absolute URL, without the version.
    pub url: String,
}
