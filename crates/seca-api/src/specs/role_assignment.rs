//! Role assignments: who has which roles, and where.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{Resource, Status},
    schema::{Field, Type, list, text},
    serial,
};

const SCOPE: Type = Type::Object(&[
    Field::optional(
        "tenants",
        list(&text(1, 64), 64),
        "The tenants, `*` for all; the assignment's own where it is not set.",
    ),
    Field::optional("regions", list(&text(1, 64), 64), "The regions; all where not set."),
    Field::optional("workspaces", list(&text(1, 64), 256), "The workspaces; all where it is not set."),
]);

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "role-assignment",
    collection: "role-assignments",
    noun: "role assignment",
    provider: Provider::Authorization,
    scope: Scope::GlobalTenant,
    schema: &SCHEMA,
    status: Some(&[]),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::required(
        "subs",
        Type::List { items: &text(1, 128), min: 1, max: 256 },
        "The subjects of tokens; `*` is everybody in the tenants of the scopes.",
    ),
    Field::required("scopes", Type::List { items: &SCOPE, min: 1, max: 256 }, "Where the roles count."),
    Field::required("roles", Type::List { items: &text(1, 64), min: 1, max: 32 }, "The names of the roles."),
]);

/// A role assignment.
pub type RoleAssignment = Resource<RoleAssignmentSpec, Status>;

/// Who has which roles, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignmentSpec {
    /// The subjects of tokens; `*` is everybody in the tenants of the scopes.
    pub subs: Vec<String>,
    /// Where the roles count.
    pub scopes: Vec<RoleAssignmentScope>,
    /// The names of the roles.
    pub roles: Vec<String>,
}

/// Where roles count: what is set restricts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleAssignmentScope {
    /// The tenants, `*` for all; the assignment's own where there is none.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// The regions; all where there is none.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// The workspaces; all where there is none.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<String>,
}
