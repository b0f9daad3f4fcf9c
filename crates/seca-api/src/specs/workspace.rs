//! Workspaces: what holds most resources, and what a provider's project is bound to.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{
    kind::{KindRow, Provider, Scope},
    resource::{Resource, status},
    schema::{Field, Type},
    serial,
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "workspace",
    collection: "workspaces",
    noun: "workspace",
    provider: Provider::Workspace,
    scope: Scope::Tenant,
    schema: &SCHEMA,
    status: Some(STATUS),
    short_name: true,
    ..KindRow::PLAIN
};

/// What the specification may hold: anything.
pub(crate) static SCHEMA: Type = Type::OpenObject;

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] =
    &[Field::optional("resourceCount", Type::Integer { min: 0, max: i64::MAX }, "How many resources are in it.")];

/// A workspace.
pub type Workspace = Resource<WorkspaceSpec, WorkspaceStatus>;

/// A free-form object; null is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WorkspaceSpec(pub Map<String, Value>);

impl<'de> Deserialize<'de> for WorkspaceSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

status! {
    /// The status of a workspace.
    WorkspaceStatus {
        /// How many resources are in it.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
        resource_count: Option<u64>,
    }
}
