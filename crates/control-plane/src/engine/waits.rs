//! Resources that wait, and what looking at them may cost.
//!
//! How long one has waited is kept in memory, because it matters for a minute. The next holder of a lease reads it from
//! the row: what waits for the same as its newest condition tells has waited since that condition began, or since
//! somebody asked for something.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use seca_api::ResourceState;
use tokio::time::Instant;

use super::{
    backoff::{self, Cost, Waiting},
    project::{Flight, Project, Standing},
};
use crate::{
    ports::{Bundle, CloudProvider, Note, Plan, Planned, StoreResult, Verdict},
    reason::Reason,
    resource::{Resource, Uid},
};

/// How many changes of one resource are made without a pause before it is what it is to be. Somebody else who undoes them, or a
/// plan that never ends, would else use up the requests of the whole project. A route table of 100 routes that are all
/// replaced needs 200.
const CHANGES: u32 = 250;

/// The changes of a resource that does not agree yet.
#[derive(Clone, Copy, Debug)]
struct Changes {
    generation: i64,
    made: u32,
    newest: Instant,
}

/// The waits of one lease.
#[derive(Debug)]
pub(super) struct Waits {
    /// When the lease was taken.
    begun: Instant,
    /// Resources whose calls are tried again, until one takes effect.
    waiting: BTreeMap<Uid, Waiting>,
    /// What resources have cost that do not agree yet.
    costs: BTreeMap<Uid, Cost>,
    /// What was changed of resources that do not agree yet.
    changes: BTreeMap<Uid, Changes>,
    /// Resources that got on under this lease: what they wait for now began under it.
    moved: BTreeSet<Uid>,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            waiting: BTreeMap::new(),
            costs: BTreeMap::new(),
            changes: BTreeMap::new(),
            moved: BTreeSet::new(),
        }
    }
}

impl Waits {
    /// A call for a resource came back.
    pub(super) fn asked(&mut self, flight: &Flight) {
        if flight.key.is_some() {
            self.cost(flight.uid, flight.generation).add(flight.requests);
        }
    }

    /// An action of a resource ended. Its polls serve others too, so what they cost is told by how long it took.
    pub(super) fn awaited(&mut self, flight: &Flight, took: Duration) {
        self.cost(flight.uid, flight.generation).add(backoff::awaited(took));
    }

    fn cost(&mut self, uid: Uid, generation: i64) -> &mut Cost {
        let new = Cost::begun(generation, Duration::ZERO);
        let cost = self.costs.entry(uid).or_insert(new);
        if cost.generation != generation {
            *cost = new;
        }
        cost
    }

    /// The pause before the next look at a resource, and what it waits for is noted.
    fn pause(
        &mut self,
        resource: &Resource,
        reason: Reason,
        waited: Duration,
        rng: &dyn crate::ports::Rng,
    ) -> Duration {
        let (uid, generation) = (resource.uid, resource.generation);
        let is_old = !self.moved.contains(&uid) && Note::of(resource).is_some_and(|note| note.reason == reason);
        // Under the former holder of the lease it may have asked for something else, and has had the requests of this minute.
        let is_in_transition = !matches!(resource.state, ResourceState::Active | ResourceState::Error);
        let is_older = is_in_transition && self.begun.elapsed() < waited && !self.moved.contains(&uid);
        if !self.waiting.contains_key(&uid) && (is_old || is_older) {
            self.costs.insert(uid, Cost::begun(generation, waited));
        }
        let waited = if is_old { waited } else { Duration::ZERO };
        let begun = Waiting::begun(generation, reason, waited);
        let waiting = self.waiting.entry(uid).or_insert(begun);
        if waiting.generation != generation {
            *waiting = Waiting::begun(generation, reason, Duration::ZERO);
        }
        waiting.reason = reason;
        let pause = waiting.pause(rng);
        pause.max(self.cost(uid, generation).room())
    }

    /// Whether a resource waits, and has room for a request only when its turn comes.
    pub(super) fn keeps_its_turn(&self, uid: &Uid) -> bool {
        self.waiting.contains_key(uid) && self.costs.get(uid).is_some_and(Cost::is_full)
    }

    /// A change of a resource is about to be made; or how long it must wait, because so many came to nothing.
    pub(super) fn change(&mut self, uid: Uid, generation: i64) -> Result<(), Duration> {
        let now = Instant::now();
        let none = Changes { generation, made: 0, newest: now };
        let changes = self.changes.entry(uid).or_insert(none);
        if changes.generation != generation {
            *changes = none;
        }
        let left = backoff::SLOW.saturating_sub(changes.newest.elapsed());
        if changes.made >= CHANGES && !left.is_zero() {
            return Err(left);
        }
        (changes.made, changes.newest) = (changes.made.saturating_add(1), now);
        Ok(())
    }

    /// A call took effect: what comes next has not waited yet. The first minute of what was asked for is one, though.
    pub(super) fn end(&mut self, uid: Uid) {
        self.waiting.remove(&uid);
        self.moved.insert(uid);
        match self.costs.get_mut(&uid) {
            Some(cost) if cost.is_old() => drop(self.costs.remove(&uid)),
            Some(cost) => cost.took_effect(),
            None => {}
        }
    }

    /// A resource agrees, or is gone.
    pub(super) fn forget(&mut self, uid: Uid) {
        self.waiting.remove(&uid);
        self.costs.remove(&uid);
        self.changes.remove(&uid);
        self.moved.remove(&uid);
    }

    /// What waits for a limit, a name or room.
    pub(super) fn limited(&self) -> Vec<Uid> {
        let is_limit = |reason| {
            matches!(
                reason,
                Reason::QuotaExceeded | Reason::CapacityUnavailable | Reason::NameTaken | Reason::AddressConflict
            )
        };
        self.waiting.iter().filter(|(_, waiting)| is_limit(waiting.reason)).map(|(uid, _)| *uid).collect()
    }
}

impl<P: CloudProvider> Project<P> {
    /// Writes down that a call is tried again after a while. Looking again at what is under way is no retry.
    pub(super) async fn commit_retry(
        &mut self,
        bundle: &Bundle,
        flight: &Flight,
        note: Note,
        after: Option<Duration>,
    ) -> StoreResult<Standing> {
        let resource = &bundle.resource;
        let changed = resource.conditions.first().map(|newest| newest.last_transition_at);
        let changed = changed.max(Some(resource.last_modified_at)).unwrap_or_default();
        let waited = self.shared.clock.now().since(changed);
        let pause = self.waits.pause(resource, note.reason, waited, self.shared.rng.as_ref());
        // How long something takes that is only watched, nobody knows, but that a person takes longer.
        let wait = match flight.step.reads {
            true => after.map_or(pause, |after| after.max(pause)),
            false => backoff::retry(note.reason, after, pause),
        };
        let attempts = if flight.step.reads { bundle.attempts } else { bundle.attempts.saturating_add(1) };
        let planned = Planned { note: Some(note), ..Planned::new(Plan::Wait { retry: Some(wait) }) };
        self.write(bundle, planned, Verdict::Working, Some(wait), attempts).await
    }
}
