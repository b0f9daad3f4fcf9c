//! Actions of the provider that take much longer than they used to. What waits for one says so: otherwise nothing would
//! be told for as long as it takes.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::project::{Flight, Project, Standing};
use crate::{
    ports::{Bundle, CloudProvider, Plan, Planned, StoreResult, Verdict},
    resource::Uid,
};

/// How often it is looked whether an action is overdue.
const LOOK: Duration = Duration::from_secs(1);
/// How often the notice is written again. A change that a client asks for meanwhile begins a new condition without it.
const AGAIN: Duration = Duration::from_secs(30);

/// The actions that resources wait for.
#[derive(Debug)]
pub(super) struct Silence {
    waits: BTreeMap<Uid, Wait>,
    looked: Instant,
}

#[derive(Clone, Debug)]
struct Wait {
    action: String,
    /// See [`Flight`]: what woke the resource since is not slept through.
    wake: i64,
    begun: Instant,
    told: Option<Instant>,
}

impl Silence {
    pub(super) fn new() -> Self {
        Self { waits: BTreeMap::new(), looked: Instant::now() }
    }

    /// A flight waits for an action.
    pub(super) fn begins(&mut self, flight: &Flight, action: &str) {
        if flight.key.is_some() {
            let wait = Wait { action: action.to_owned(), wake: flight.wake, begun: Instant::now(), told: None };
            self.waits.insert(flight.uid, wait);
        }
    }

    /// It landed: how long it waited, if it did.
    pub(super) fn ends(&mut self, uid: Uid) -> Option<Duration> {
        Some(self.waits.remove(&uid)?.begun.elapsed())
    }

    /// What may have to be told now; nothing between two looks.
    fn due(&mut self) -> Vec<(Uid, Wait)> {
        if self.looked.elapsed() < LOOK {
            return Vec::new();
        }
        self.looked = Instant::now();
        let is_due = |wait: &Wait| wait.told.is_none_or(|told| told.elapsed() >= AGAIN);
        self.waits.iter().filter(|(_, wait)| is_due(wait)).map(|(uid, wait)| (*uid, wait.clone())).collect()
    }
}

impl<P: CloudProvider> Project<P> {
    /// Tells of the actions that are overdue.
    pub(super) async fn tell_overdue(&mut self) -> StoreResult<Standing> {
        for (uid, wait) in self.silence.due() {
            let Some(note) = self.shared.provider.overdue(&self.lease.project, &wait.action) else { continue };
            if let Some(wait) = self.silence.waits.get_mut(&uid) {
                wait.told = Some(Instant::now());
            }
            let Some(bundle) = self.shared.store.bundle(uid).await? else { continue };
            let bundle = Bundle { wake: wait.wake, ..bundle };
            let planned = Planned { note: Some(note), ..Planned::new(Plan::Wait { retry: None }) };
            if self.commit(&bundle, planned, Verdict::Working, None).await? == Standing::Lost {
                return Ok(Standing::Lost);
            }
        }
        Ok(Standing::Held)
    }
}
