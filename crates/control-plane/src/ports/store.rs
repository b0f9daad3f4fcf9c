//! Storage: the truth about everything that a client asked for.
//!
//! Three implementations (PostgreSQL, SQLite, memory), one suite that all of them pass. The port is a trait for each
//! aggregate, over the same transactions; [`Store`] is all of them, for who is handed a store.

use super::{AccessStore, BindingStore, OversightStore, QueueStore, ReadStore, WriteStore};

/// Why the store could not do as told. Callers cannot repair any of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is not reachable, or stayed busy through all retries.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row does not make sense: written by other hands or another release.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// A defect in a statement.
    #[error("the database refused a statement: {0}")]
    Refused(String),
}

/// Results of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// The store, whole.
///
/// # Errors
/// Every method of its parts fails with a [`StoreError`] when the database cannot be asked, when a stored row cannot be read,
/// and when a statement has a defect. A write whose connection broke may have been committed nevertheless; every other write
/// that failed has changed nothing.
pub trait Store: ReadStore + WriteStore + BindingStore + QueueStore + 'static {
    /// Who may do what.
    fn access(&self) -> &dyn AccessStore;

    /// What operators look at.
    fn oversight(&self) -> &dyn OversightStore;
}
