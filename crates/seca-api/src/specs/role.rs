//! Roles: named sets of permissions.

use serde::{Deserialize, Serialize};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{Resource, Status},
    schema::{Field, Type, text},
};

const PERMISSION: Type = Type::Object(&[
    Field::required("provider", text(1, 64), "The provider with its version, `seca.storage/v1`."),
    Field::required(
        "resources",
        Type::List { items: &text(1, 256), min: 1, max: 256 },
        "Resources of the provider, `images/my-image`, `images/*` or `*`.",
    ),
    Field::required(
        "verb",
        Type::List { items: &text(1, 7), min: 1, max: 16 },
        "What may be done: `get`, `list`, `put`, `delete` or `post`, in any case.",
    ),
]);

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "role",
    collection: "roles",
    noun: "role",
    provider: Provider::Authorization,
    scope: Scope::GlobalTenant,
    schema: &SCHEMA,
    status: Some(&[]),
    short_name: true,
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[Field::required(
    "permissions",
    Type::List { items: &PERMISSION, min: 1, max: 256 },
    "What the role allows.",
)]);

/// A role.
pub type Role = Resource<RoleSpec, Status>;

/// What a role allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// Each allows its verbs on its resources.
    pub permissions: Vec<Permission>,
}

/// Verbs on resources of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The provider with its version, `seca.storage/v1`.
    pub provider: String,
    /// Resources of the provider, `images/my-image`, `images/*` or `*`.
    pub resources: Vec<String>,
    /// What may be done: `get`, `list`, `put`, `delete` or `post`, in any case.
    pub verb: Vec<String>,
}
