//! Security groups: rules that filter the packets of instances.

use serde::{Deserialize, Serialize};

use super::security_group_rule::{self, SecurityGroupRuleSpec};
use crate::{
    kind::{KindRow, Provider, Scope},
    reference::Reference,
    resource::{Resource, Status, status},
    schema::{Field, Type, list},
    serial, status,
};

/// What the kind is known by.
pub(crate) const ROW: KindRow = KindRow {
    word: "security-group",
    collection: "security-groups",
    noun: "security group",
    provider: Provider::Network,
    scope: Scope::Workspace,
    schema: &SCHEMA,
    status: Some(STATUS),
    ..KindRow::PLAIN
};

/// What the specification may hold.
pub(crate) static SCHEMA: Type = Type::Object(&[
    Field::optional(
        "rules",
        list(&security_group_rule::SCHEMA, 500),
        "Rules of its own. What no rule allows is dropped.",
    ),
    Field::optional("ruleRefs", list(&Type::Reference, 500), "Security group rules that apply beside its own."),
]);

/// What the status holds beside its conditions.
pub(crate) const STATUS: &[Field] =
    &[Field::optional("rules", list(&Type::Object(status::FIELDS), 500), "The status of each rule.")];

/// A security group.
pub type SecurityGroup = Resource<SecurityGroupSpec, SecurityGroupStatus>;

/// What is wanted of a security group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityGroupSpec {
    /// Rules of its own.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<SecurityGroupRuleSpec>,
    /// Security group rules that apply beside its own.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
    pub rule_refs: Vec<Reference>,
}

status! {
    /// The status of a security group.
    SecurityGroupStatus {
        /// The status of each rule.
        #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Vec::is_empty")]
        rules: Vec<Status>,
    }
}
