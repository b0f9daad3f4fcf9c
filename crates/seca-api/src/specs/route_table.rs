//! Route tables: where packets that leave a subnet go.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Resource, Status, status},
    schema::{Field, TextRule, Type, list},
    serial, status,
};

const ROUTE: Type = Type::Object(&[
    Field::required(
        "destinationCidrBlock",
        Type::Text { min: 1, max: 43, rule: TextRule::Cidr },
        "The block of destinations.",
    ),
    Field::required("targetRef", Type::Reference, "An instance, a gateway, or an address in the network."),
]);

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "routing-table",
    collection: "route-tables",
    noun: "route table",
    provider: Provider::Network,
    scope: Scope::Network,
    schema: &SCHEMA,
    status: Some(STATUS),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type =
    Type::Object(&[Field::required("routes", Type::List { items: &ROUTE, min: 1, max: 1_000 }, "The routes.")]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] = &[Field::optional(
    "routes",
    list(&Type::Object(status::FIELDS), 1_000),
    "The status of each route, in the order of the specification.",
)];

/// A route table.
pub type RouteTable = Resource<RouteTableSpec, RouteTableStatus>;

/// What is wanted of a route table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteTableSpec {
    /// The routes.
    #[serde(deserialize_with = "serial::lenient")]
    pub routes: Vec<RouteSpec>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// The block of destinations.
    pub destination_cidr_block: String,
    /// An instance, a gateway, or an address in the network.
    pub target_ref: Reference,
}

status! {
    /// The status of a route table.
    RouteTableStatus {
        /// The status of each route, in the order of the specification.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
        routes: Vec<RouteStatus>,
    }
}

/// The status of one route.
pub type RouteStatus = Status;
