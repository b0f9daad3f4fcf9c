//! What a store tells of its work, for metrics: it knows nobody who counts.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Takes down what a store tells.
pub trait Meter: Send + Sync + 'static {
    /// How long a question waited for a lane to the database, its statement not included.
    fn waited(&self, _questions: &'static str, _waited: Duration) {}

    /// How many questions one statement answers.
    fn asked_together(&self, _questions: &'static str, _count: usize) {}

    /// How long a transaction took on connections of a pool (`read`, `write`, `engine`), with all its attempts, and
    /// whether it was done.
    fn transacted(&self, _pool: &'static str, _took: Duration, _is_done: bool) {}
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `read`, `write` or `engine`.
    pub name: &'static str,
    /// How many are open.
    pub open: u32,
    /// How many of them nobody uses.
    pub idle: u32,
    /// How many there may be.
    pub most: u32,
}

/// The meter of a store, shared by all that speak to its database; there is none until one is set.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<OnceLock<Arc<dyn Meter>>>);

impl Told {
    /// The first one counts.
    pub(crate) fn set(&self, meter: Arc<dyn Meter>) {
        drop(self.0.set(meter));
    }

    pub(crate) fn get(&self) -> Option<&dyn Meter> {
        self.0.get().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("is_set", &self.0.get().is_some()).finish()
    }
}
