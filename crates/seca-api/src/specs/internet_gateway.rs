//! Internet gateways: the way out of a network.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{Resource, Status},
    schema::{Field, Type},
    serial,
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "internet-gateway",
    collection: "internet-gateways",
    noun: "internet gateway",
    provider: Provider::Network,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(&[]),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[Field::optional(
    "egressOnly",
    Type::Boolean,
    "Whether connections can be opened from inside only.",
)
.default("false")]);

/// An internet gateway.
pub type InternetGateway = Resource<InternetGatewaySpec, Status>;

/// What is wanted of an internet gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InternetGatewaySpec {
    /// Whether connections can be opened from inside only.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "serial::is_default")]
    pub egress_only: bool,
}
