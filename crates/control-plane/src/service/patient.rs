//! Patient reads: what a handler asks between two reads of one resource. See [`crate::watch`].

use std::{sync::Arc, time::Duration};

use super::{Caller, ControlPlane};
use crate::{
    resource::Resource,
    watch::{Held, Transition, Watchers},
};

impl ControlPlane {
    /// The same with the watchers that the engine of this process tells of its commits.
    #[must_use]
    pub fn watched_by(self, watchers: Arc<Watchers>) -> Self {
        Self { watchers, ..self }
    }

    /// The reads that are held.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// A write was accepted: there is work for the engine, and news for who waits for the row. Who wrote knows what
    /// was written: its next read waits for what becomes of that.
    pub(super) fn written(&self, caller: &Caller, row: &Resource) {
        self.wake.notify_one();
        self.watchers.changed(row);
        if let Some(transition) = Transition::of_row(row) {
            self.told(caller, &transition);
        }
    }

    /// Whether a caller's read that found this is held; see [`Watchers::hold`].
    pub fn hold(&self, caller: &Caller, transition: &Transition, wish: Option<Duration>) -> Held {
        self.watchers.hold(&self.store, &caller.subject, transition, wish)
    }

    /// Remembers that a caller was answered with this; see [`Watchers::told`].
    pub fn told(&self, caller: &Caller, transition: &Transition) {
        self.watchers.told(&caller.subject, transition);
    }
}
