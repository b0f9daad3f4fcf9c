//! What operators order about orphans. A removal is queued under an identity of its own, so that whoever holds the project's
//! lease carries it out, like all that is done in a project, and the next holder goes on with it.
//!
//! Its call is not recorded as a step: it serves no row, and made twice it comes to the same. An id is never given a second
//! time, and the adapter looks whose the object is before each try.

use std::time::Duration;

use tracing::{info, warn};

use super::{
    epoch::Rule,
    project::{Call, Flight, Project, Purpose, Standing},
};
use crate::{
    ports::{CloudProvider, OrderEnd, Outcome, OwnedObject, StoreResult},
    resource::Uid,
};

/// When a removal is tried again that could not be done now.
const AGAIN: Duration = Duration::from_secs(30);
/// When it is tried again while the project is not known yet.
const SOON: Duration = Duration::from_secs(2);

impl<P: CloudProvider> Project<P> {
    /// Carries out the removal of an orphan, if one is queued under this identity.
    pub(super) async fn carry_out(&mut self, uid: Uid) -> StoreResult<Standing> {
        let store = self.shared.store.clone();
        let Some(order) = store.oversight().removal(&self.lease, uid).await? else { return Ok(Standing::Held) };
        if let Some((after, why)) = self.not_now().await? {
            return self.tried(uid, OrderEnd::Again(after, why.to_owned())).await;
        }
        let owner: Vec<Uid> = order.object.uid.into_iter().collect();
        if !store.existing(&owner).await?.is_empty() {
            return self.tried(uid, OrderEnd::Refused("a resource claims it by now".to_owned())).await;
        }
        let Some(step) = self.shared.provider.discard(&order.object, &self.shared.installation) else {
            let why = format!("this release removes no {}", order.object.object_type);
            return self.tried(uid, OrderEnd::Refused(why)).await;
        };
        if step.serial.iter().any(|key| self.busy.contains_key(key)) {
            self.parked.insert(uid);
            return Ok(Standing::Held);
        }
        let OwnedObject { object_type, id, name, .. } = &order.object;
        info!(seca.project = %self.lease.project, provider.type = object_type, provider.id = id, provider.name = name,
            "removing an orphan, as an operator ordered");
        let (key, purpose) = (None, Purpose::Order);
        let flight =
            Flight { uid, key, generation: 0, wake: 0, step, id: None, purpose, also: Vec::new(), requests: 0 };
        self.launch(flight, Call::Execute);
        Ok(Standing::Held)
    }

    /// Why nothing can be removed now, and when to try again.
    async fn not_now(&mut self) -> StoreResult<Option<(Duration, &'static str)>> {
        let has_token = self.access().await?.is_some();
        Ok(match &self.rule {
            _ if self.is_abandoned() => Some((AGAIN, "the project was declared gone")),
            Rule::Paused(_) => Some((AGAIN, "another database rules the project")),
            _ if !has_token => Some((AGAIN, "no token of the project is bound")),
            Rule::Ours if self.snapshot.is_some() => None,
            Rule::Ours | Rule::Unread | Rule::Marking => Some((SOON, "the project is being read")),
        })
    }

    /// The call of a removal came back.
    pub(super) async fn discarded(&mut self, flight: Flight, outcome: Outcome<()>) -> StoreResult<Standing> {
        let end = match outcome {
            Outcome::Done(()) => OrderEnd::Done,
            Outcome::Running { action, .. } => {
                self.launch(flight, Call::Await(action));
                return Ok(Standing::Held);
            }
            Outcome::Unknown(message) => OrderEnd::Again(SOON, message),
            Outcome::Retry { after, note } => OrderEnd::Again(after.unwrap_or(AGAIN), note.message),
            Outcome::Refuted { .. } => OrderEnd::Refused("its labels changed since a sweep saw it".to_owned()),
            Outcome::Terminal(note) => OrderEnd::Refused(note.message),
        };
        match &end {
            OrderEnd::Done => info!(provider.name = flight.step.target, "an orphan was removed"),
            OrderEnd::Refused(why) | OrderEnd::Again(_, why) => {
                warn!(provider.name = flight.step.target, why, "an orphan was not removed");
            }
        }
        let is_done = end == OrderEnd::Done;
        if self.tried(flight.uid, end).await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        if is_done {
            self.wake_limited().await?;
        }
        Ok(Standing::Held)
    }

    async fn tried(&self, uid: Uid, end: OrderEnd) -> StoreResult<Standing> {
        let held = self.shared.store.oversight().tried(&self.lease, uid, &end).await?;
        Ok(if held { Standing::Held } else { Standing::Lost })
    }
}
