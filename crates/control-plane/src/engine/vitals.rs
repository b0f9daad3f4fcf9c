//! Whether an engine can work: what readiness asks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::resource::ProjectId;

/// How long an engine may be unable to work before readiness says so: a database that is started anew is back by then.
pub const STALLED_AFTER: Duration = Duration::from_secs(60);

/// The vital signs of one engine: when it last came round, and what it has been unable to do since when.
#[derive(Debug)]
pub struct Vitals(Mutex<State>);

#[derive(Debug)]
struct State {
    round: Instant,
    /// Since when the store fails: for a project, or (none) for the leases.
    failing: BTreeMap<Option<ProjectId>, Instant>,
}

impl Default for Vitals {
    fn default() -> Self {
        Self(Mutex::new(State { round: Instant::now(), failing: BTreeMap::new() }))
    }
}

impl Vitals {
    /// Why the engine cannot work, if it could not for [`STALLED_AFTER`]. It names no part of the database's own words,
    /// which are in the log: whoever asks is not known.
    pub fn stalled(&self) -> Option<String> {
        let state = self.lock();
        let silent = state.round.elapsed();
        if silent >= STALLED_AFTER {
            return Some(format!("the engine has not come round for {} s; the log may say why", silent.as_secs()));
        }
        let (of, since) = state.failing.iter().min_by_key(|(_, since)| **since)?;
        let failing = since.elapsed();
        let what = of.as_ref().map_or_else(|| "take leases".to_owned(), |project| format!("work on project {project}"));
        (failing >= STALLED_AFTER).then(|| {
            format!(
                "the engine cannot {what}: the database has failed it for {} s; the log says how",
                failing.as_secs()
            )
        })
    }

    /// The engine came round.
    pub(super) fn beat(&self) {
        self.lock().round = Instant::now();
    }

    /// The store did as told, or did not, for a project or (none) for the leases.
    pub(super) fn note(&self, of: Option<&ProjectId>, is_well: bool) {
        let mut state = self.lock();
        if is_well {
            state.failing.remove(&of.cloned());
        } else {
            state.failing.entry(of.cloned()).or_insert_with(Instant::now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_engine_is_stalled_when_it_could_not_work_for_a_minute_and_until_it_can() {
        let vitals = Vitals::default();
        let project = ProjectId("p".into());
        let pass = async |seconds: u64| {
            for _ in 0..seconds {
                tokio::time::advance(Duration::from_secs(1)).await;
                vitals.beat();
            }
        };
        vitals.note(None, false);
        pass(59).await;
        assert_eq!(vitals.stalled(), None);
        vitals.note(None, false);
        vitals.note(Some(&project), false);
        pass(1).await;
        assert!(vitals.stalled().unwrap().contains("take leases"));
        vitals.note(None, true);
        assert_eq!(vitals.stalled(), None);
        pass(60).await;
        assert!(vitals.stalled().unwrap().contains("work on project p"));
        vitals.note(Some(&project), true);
        assert_eq!(vitals.stalled(), None);
        tokio::time::advance(STALLED_AFTER).await;
        assert!(vitals.stalled().unwrap().contains("not come round"));
    }
}
