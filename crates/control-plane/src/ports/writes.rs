//! What handlers write.
//!
//! What a write does to a row is decided by the pure functions of [`crate::state`]; a store brings the transaction around
//! them: lock parents and targets for sharing and the row itself for writing, in uid order, judge by what these are
//! then, write. A deletion asks for rows that may have come meanwhile, so that it judges in a statement after its locks.

use async_trait::async_trait;
use seca_api::ResourceKey;

use super::{Act, ActOutcome, Admission, AdmissionQuery, Delete, DeleteOutcome, Put, PutOutcome, StoreResult};

/// A turn at some rows ([`WriteStore::turn`]): nobody else changes them until it ends. It ends without a change when it is
/// dropped.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait Turn: Send {
    /// What a PUT is judged by, at this moment.
    async fn admission(&mut self, query: &AdmissionQuery) -> StoreResult<Admission>;

    /// Writes it. [`PutOutcome::Stale`] when something else got in its way: the row was made meanwhile, or what it depends on
    /// went.
    async fn put(self: Box<Self>, put: Put) -> StoreResult<PutOutcome>;
}

/// What handlers write. Every method is one transaction.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait WriteStore: Send + Sync {
    /// Creates or updates. The row is queued for its project: its parent's, else its home's ([`Put::home`]), else
    /// `local`. A row that stays without a project of the provider moves to its home's with the first PUT that finds it.
    /// A store may write what arrives together in one transaction, as long as one that fails harms no other.
    async fn put(&self, put: Put) -> StoreResult<PutOutcome>;

    /// Locks those of these rows that exist, for a PUT that is judged and written while nobody else changes them: one that
    /// lost against others again and again, or that counts its siblings, which all who do lock their parent for. Few turns
    /// are given at once; the others wait.
    async fn turn(&self, keys: &[ResourceKey]) -> StoreResult<Box<dyn Turn>>;

    /// Accepts a deletion; cascades are set in the same transaction. A second one is accepted and changes
    /// nothing. Everything touched is queued.
    async fn delete(&self, delete: Delete) -> StoreResult<DeleteOutcome>;

    /// Accepts a power action.
    async fn act(&self, act: Act) -> StoreResult<ActOutcome>;
}
