//! What handlers read.

use async_trait::async_trait;
use seca_api::ResourceKey;

use super::{Admission, AdmissionQuery, Edition, ListQuery, Look, Outlines, Page, StoreResult};
use crate::resource::{Representation, Resource, Uid};

/// What handlers read: no writes, one round trip. Every method is one transaction.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait ReadStore: Send + Sync {
    /// One resource, deleting ones included.
    async fn get(&self, key: &ResourceKey) -> StoreResult<Option<Resource>>;

    /// One resource with all that is shown of it. A store may answer lookups that arrive together by one statement, as
    /// long as that begins after all of them: a client reads what it has written. A caller that knows the text of an edition
    /// is only told whether it still is that one.
    async fn look(&self, key: &ResourceKey, known: Option<Edition>) -> StoreResult<Look>;

    /// What a PUT is judged by.
    async fn admission(&self, query: &AdmissionQuery) -> StoreResult<Admission>;

    /// Several resources in any order; absent ones are left out.
    async fn get_many(&self, keys: &[ResourceKey]) -> StoreResult<Vec<Resource>>;

    /// A page.
    async fn list(&self, query: &ListQuery) -> StoreResult<Page>;

    /// The same page, without what it shows.
    async fn outline(&self, query: &ListQuery) -> StoreResult<Outlines>;

    /// What is shown of resources of one collection, a key with an empty name, with their identities; those that are gone
    /// are left out.
    async fn shown(&self, collection: &ResourceKey, uids: &[Uid]) -> StoreResult<Vec<Representation>>;

    /// Whether the database answers, is of this release's schema, and takes writes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable) says which of these is not so.
    async fn ping(&self) -> StoreResult<()>;

    /// The id of this installation, made by the first migration.
    async fn installation(&self) -> StoreResult<String>;
}
