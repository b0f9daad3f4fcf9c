//! Writing: PUT, DELETE and power actions.

use seca_api::ResourceKey;
use serde_json::Value;

use super::{Context, ControlPlane, Refusal, View};
use crate::resource::ActionKind;

/// A PUT.
#[derive(Clone, Debug)]
pub struct PutRequest {
    /// What the path names. Names are checked here, not before.
    pub key: ResourceKey,
    /// The document as sent.
    pub body: Value,
    /// The version that the client insists on.
    pub if_version: Option<i64>,
}

/// What a PUT answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutView {
    /// Created (201) or updated (200).
    pub created: bool,
    /// The resource.
    pub view: View,
    /// Sentences for `Warning` headers: members that were dropped.
    pub warnings: Vec<String>,
}

impl ControlPlane {
    /// Creates or updates.
    ///
    /// # Errors
    /// Every refusal but [`Refusal::NotFound`] and [`Refusal::Provider`].
    pub async fn put(&self, context: Context<'_>, request: PutRequest) -> Result<PutView, Refusal> {
        let _ = (context, request);
        Err(Refusal::Internal("writing is being built".to_owned()))
    }

    /// Accepts a deletion.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Conflict`], [`Refusal::Stale`], and failures of the store.
    pub async fn delete(&self, context: Context<'_>, key: &ResourceKey, if_version: Option<i64>) -> Result<(), Refusal> {
        let _ = (context, key, if_version);
        Err(Refusal::Internal("deleting is being built".to_owned()))
    }

    /// Accepts a power action.
    ///
    /// # Errors
    /// As for [`Self::delete`].
    pub async fn act(
        &self,
        context: Context<'_>,
        key: &ResourceKey,
        action: ActionKind,
        if_version: Option<i64>,
    ) -> Result<(), Refusal> {
        let _ = (context, key, action, if_version);
        Err(Refusal::Internal("acting is being built".to_owned()))
    }
}
