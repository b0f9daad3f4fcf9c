//! Actions: what the provider does after it said yes.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Id;
use super::open_enum::open_enum;
use super::wire::{null_default, short, whole};

open_enum! {
    /// Status of an action.
    ActionStatus { Running = "running", Success = "success", Error = "error" }
}

/// An action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Id.
    pub id: Id<Action>,
    /// What is being done (`create_server`).
    pub command: String,
    /// Status.
    pub status: ActionStatus,
    /// Progress in percent; coarse.
    #[serde(default, deserialize_with = "whole")]
    pub progress: u64,
    /// When it started; `None` if the provider omits it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub started: Option<OffsetDateTime>,
    /// When it finished.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub finished: Option<OffsetDateTime>,
    /// What it touches.
    #[serde(default, deserialize_with = "null_default")]
    pub resources: Vec<ActionResource>,
    /// Why it failed; these codes are not those of the HTTP errors.
    #[serde(default)]
    pub error: Option<ActionError>,
}

impl Action {
    /// Whether the action ended, well or badly. An unknown status counts as running.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.status, ActionStatus::Success | ActionStatus::Error)
    }

    /// Whether the action ended well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == ActionStatus::Success
    }
}

/// A resource that an action touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResource {
    /// Its id, in the number space of its type.
    pub id: i64,
    /// Its type (`server`).
    #[serde(rename = "type")]
    pub kind: String,
}

/// Why an action failed: the change did not happen. Never terminal by its code alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionError {
    /// Code (`action_failed`).
    #[serde(deserialize_with = "short")]
    pub code: String,
    /// Message.
    #[serde(default, deserialize_with = "short")]
    pub message: String,
}
