//! States and conditions: what every resource with a status has in common.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    schema::{Field, TIME, TextRule, Type, UNLIMITED, text},
    timestamp::Timestamp,
};

const STATE: Type = Type::OneOf(&[
    ResourceState::Pending.as_str(),
    ResourceState::Creating.as_str(),
    ResourceState::Active.as_str(),
    ResourceState::Updating.as_str(),
    ResourceState::Deleting.as_str(),
    ResourceState::Error.as_str(),
]);

const CONDITION: Type = Type::Object(CONDITION_FIELDS);

/// What a condition holds.
pub const CONDITION_FIELDS: &[Field] = &[
    Field::required("state", STATE, "The state that was entered."),
    Field::required("lastTransitionAt", TIME, "When it was entered. A new reason or message does not change it."),
    Field::optional("type", text(0, UNLIMITED), "A group of conditions. It is not set here."),
    Field::optional(
        "reason",
        Type::Text { min: 0, max: 1024, rule: TextRule::Reason },
        "A word of the closed vocabulary, in CamelCase.",
    ),
    Field::optional("message", text(0, 32_768), "A sentence: what is so, and what helps."),
];

/// What every status holds; kinds add to it.
pub const FIELDS: &[Field] = &[
    Field::optional("state", STATE, "The state."),
    Field::required(
        "conditions",
        Type::List { items: &CONDITION, min: 0, max: StatusCondition::MAX },
        "Its transitions, newest first.",
    ),
];

/// The form of reasons as a regular expression.
pub const REASON_PATTERN: &str = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";

/// Whether a text has the form of a reason.
pub(crate) fn is_reason(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match text.as_bytes() {
        [] => false,
        [only] => only.is_ascii_alphabetic(),
        [first, inner @ .., last] => {
            first.is_ascii_alphabetic()
                && inner.iter().all(|byte| word(*byte) || matches!(byte, b',' | b':'))
                && word(*last)
        }
    }
}

/// The state of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceState {
    /// Accepted; nothing was tried yet.
    Pending,
    /// Being made for the first time.
    Creating,
    /// The last observation agrees with the specification.
    Active,
    /// A change was accepted and is being applied.
    Updating,
    /// Being removed; the row leaves when nothing is left.
    Deleting,
    /// The provider refused for good, or what backed it is lost; a slow retry goes on.
    Error,
}

impl ResourceState {
    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Updating => "updating",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }

    /// Whether something is still to happen without anybody asking for it.
    pub const fn is_transitional(self) -> bool {
        matches!(self, Self::Pending | Self::Creating | Self::Updating | Self::Deleting)
    }
}

impl fmt::Display for ResourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One transition of the state, with what a person must know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCondition {
    /// The state that was entered.
    pub state: ResourceState,
    /// When it was entered. A new reason or message does not change it.
    pub last_transition_at: Timestamp,
    /// A word of the closed vocabulary, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence: what is so, and what helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl StatusCondition {
    /// The most conditions that a status keeps; the oldest leave first.
    pub const MAX: usize = 32;

    /// A transition without a word about it.
    pub fn new(state: ResourceState, at: Timestamp) -> Self {
        Self { state, last_transition_at: at, reason: None, message: None }
    }
}
