//! Reading: single resources and lists, from the store and from the catalogue alike.

use seca_api::ResourceKey;

use super::{Context, ControlPlane, Refusal, View};
use crate::ports::Deleted;

/// A list request.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The collection: a key with an empty name.
    pub collection: ResourceKey,
    /// The label selector as sent.
    pub labels: Option<String>,
    /// The page size as sent; 1,000 when absent, clamped to 1..=10,000.
    pub limit: Option<i64>,
    /// Names after this one.
    pub after: String,
    /// Which resources are shown.
    pub deleted: Deleted,
}

/// A page as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListView {
    /// The items, each a JSON document.
    pub items: Vec<String>,
    /// The name after which the next page begins; none on the last page.
    pub next: Option<String>,
}

impl ControlPlane {
    /// One resource. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Forbidden`], and failures of the store.
    pub async fn get(&self, context: Context<'_>, key: &ResourceKey) -> Result<View, Refusal> {
        let _ = (context, key);
        Err(Refusal::Internal("reading is being built".to_owned()))
    }

    /// A page. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] for a selector that is none, and as for [`Self::get`].
    pub async fn list(&self, context: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal> {
        let _ = (context, request);
        Err(Refusal::Internal("listing is being built".to_owned()))
    }
}
