//! Which request asked for what is being done, while that is not written down yet: the log names it beside each step.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The requests under way in this process, each by the reference of what it changes. An entry ends when the activity of the
/// request is written down, or when the request was refused.
#[derive(Debug, Default)]
pub struct Causes(Mutex<HashMap<String, String>>);

impl Causes {
    /// A request is about to change something. The last one counts.
    pub fn begin(&self, target: &str, request_id: &str) {
        self.lock().insert(target.to_owned(), request_id.to_owned());
    }

    /// It is written down, or changed nothing.
    pub fn end(&self, target: &str, request_id: &str) {
        let mut under_way = self.lock();
        if under_way.get(target).is_some_and(|last| last == request_id) {
            under_way.remove(target);
        }
    }

    /// The last request that changes something, if it is under way.
    pub fn of(&self, target: &str) -> Option<String> {
        self.lock().get(target).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_request_counts_until_it_ends() {
        let causes = Causes::default();
        causes.begin("x", "1");
        causes.begin("x", "2");
        causes.end("x", "1");
        assert_eq!(causes.of("x").as_deref(), Some("2"));
        causes.end("x", "2");
        assert_eq!((causes.of("x"), causes.of("y")), (None, None));
    }
}
