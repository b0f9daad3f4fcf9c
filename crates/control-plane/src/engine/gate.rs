//! The last look before a call is sent: only the holder of the lease sends, and only what was decided a moment ago.
//!
//! A call waits for its turn in the rate budget, and a process may be stopped meanwhile for as long as somebody likes.
//! So the database is asked between that turn and the sending: is the lease still ours and running, and how old is the
//! step by the database's clock. What happens between its answer and the socket cannot be closed: the provider checks no
//! tokens. An answer that took long to reach us is not believed, which leaves the moments after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::ports::{Gate, Lease, Store};

/// Whether this database rules a project, as its marker was last read.
#[derive(Debug, Default)]
pub(super) struct Mandate(AtomicBool);

impl Mandate {
    pub(super) fn set(&self, rules: bool) {
        self.0.store(rules, Ordering::SeqCst);
    }

    pub(super) fn is_given(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The gate of one call.
pub(super) struct StepGate {
    pub(super) store: Arc<dyn Store>,
    pub(super) lease: Lease,
    /// The recorded step; none for calls that serve no row.
    pub(super) step: Option<i64>,
    /// How long ago a step may have been decided.
    pub(super) window: Duration,
    /// How long the database may take to answer.
    pub(super) patience: Duration,
    /// None for the call that writes the marker, with which the mandate begins.
    pub(super) mandate: Option<Arc<Mandate>>,
    /// The requests that were sent for it.
    pub(super) requests: AtomicU32,
}

#[async_trait]
impl Gate for StepGate {
    async fn may_send(&self) -> Result<(), String> {
        let asked = Instant::now();
        let age = self.store.may_send(&self.lease, self.step).await;
        if asked.elapsed() > self.patience {
            return Err("the database took too long to say whether this process still holds the project".to_owned());
        }
        match age {
            Err(error) => return Err(format!("this process may not hold the project any more ({error})")),
            Ok(None) => return Err("this process does not hold the project any more".to_owned()),
            Ok(Some(age)) if age > self.window => {
                return Err(format!("it was decided {} s ago, and is decided again", age.as_secs()));
            }
            Ok(Some(_)) => {}
        }
        if self.mandate.as_ref().is_some_and(|mandate| !mandate.is_given()) {
            return Err("another database may rule the project".to_owned());
        }
        Ok(())
    }

    fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}
