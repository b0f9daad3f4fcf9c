//! What becomes of calls: those that landed, and those that a crash or a lost answer left open.

use std::time::Duration;

use tracing::{info, warn};

use super::{
    backoff,
    project::{Call, Flight, Project, Purpose, Standing},
};
use crate::{
    ports::{Bundle, CloudProvider, Note, Outcome, Plan, Planned, StepRecord, StepState, StoreResult, Verdict},
    reason::Reason,
    resource::Uid,
};

impl<P: CloudProvider> Project<P> {
    /// A call came back.
    pub(super) async fn landed(&mut self, mut flight: Flight<P::Observation>) -> StoreResult<Standing> {
        let uid = flight.uid;
        self.flying.remove(&uid);
        for key in &flight.step.serial {
            self.busy.remove(key);
        }
        log(&flight);
        let outcome = std::mem::replace(&mut flight.outcome, Outcome::Unknown(String::new()));
        let standing = match outcome {
            Outcome::Done(observation) => {
                self.absorb(observation);
                self.done(&flight).await?
            }
            Outcome::Running { action, observation } => {
                self.absorb(observation);
                let standing = self.finish(&flight, StepState::Running, Some(&action), None).await?;
                if standing == Standing::Held {
                    self.launch(uid, flight.id, flight.step, flight.purpose, Call::Await(action));
                }
                return Ok(standing);
            }
            Outcome::Unknown(message) => self.unknown(&flight, &message).await?,
            Outcome::Retry { after, note } => match flight.purpose {
                Purpose::Act | Purpose::Sweep => self.retry(&flight, after, note).await?,
                Purpose::Verify { last } => self.not_seen(&flight, last).await?,
            },
            Outcome::Terminal(note) => self.refused(&flight, note).await?,
        };
        if standing == Standing::Lost {
            return Ok(Standing::Lost);
        }
        self.unpark().await
    }

    async fn done(&mut self, flight: &Flight<P::Observation>) -> StoreResult<Standing> {
        if self.finish(flight, StepState::Done, None, None).await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        if let Some(seq) = flight.step.action_seq
            && let Some(bundle) = self.shared.store.bundle(flight.uid).await?
        {
            let planned = Planned { action_done: Some(seq), ..Planned::new(Plan::Nothing) };
            if self.commit(&bundle, planned, Verdict::Working, None).await? == Standing::Lost {
                return Ok(Standing::Lost);
            }
        }
        self.again(flight).await
    }

    async fn unknown(&mut self, flight: &Flight<P::Observation>, message: &str) -> StoreResult<Standing> {
        warn!(seca.uid = %flight.uid, step = flight.step.operation, message, "the outcome of a call is unknown");
        if self.finish(flight, StepState::Unknown, None, Some(message)).await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        if flight.purpose == Purpose::Act && flight.id.is_some() {
            // Look it up at once: mostly it did take effect.
            return self.again(flight).await;
        }
        let Some(bundle) = self.shared.store.bundle(flight.uid).await? else { return Ok(Standing::Held) };
        let wait = backoff::transient(bundle.attempts, self.shared.rng.as_ref());
        let message = format!("the answer to {} was lost; it is looked for", flight.step.operation);
        self.commit_retry(&bundle, Note::new(Reason::OutcomeUnknown, message), wait).await
    }

    async fn retry(
        &mut self,
        flight: &Flight<P::Observation>,
        after: Option<Duration>,
        note: Note,
    ) -> StoreResult<Standing> {
        if self.finish(flight, StepState::Failed, None, Some(&note.message)).await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        let Some(bundle) = self.shared.store.bundle(flight.uid).await? else { return Ok(Standing::Held) };
        let wait = after.unwrap_or_else(|| backoff::transient(bundle.attempts, self.shared.rng.as_ref()));
        self.commit_retry(&bundle, note, wait).await
    }

    async fn refused(&mut self, flight: &Flight<P::Observation>, note: Note) -> StoreResult<Standing> {
        if self.finish(flight, StepState::Failed, None, Some(&note.message)).await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        let Some(bundle) = self.shared.store.bundle(flight.uid).await? else { return Ok(Standing::Held) };
        let planned = Planned { note: Some(note), ..Planned::new(Plan::Fail) };
        self.commit(&bundle, planned, Verdict::Failed, Some(backoff::SLOW)).await
    }

    /// A call of unknown outcome was looked up and is not seen. After the late window it never happened; before,
    /// planning goes on with what is there, because every creation has a name that no second one can take.
    async fn not_seen(&mut self, flight: &Flight<P::Observation>, last: bool) -> StoreResult<Standing> {
        if let Some(id) = flight.id {
            if last {
                self.unseen.remove(&id);
                if self.finish(flight, StepState::Failed, None, Some("never took effect")).await? == Standing::Lost {
                    return Ok(Standing::Lost);
                }
            } else {
                self.unseen.insert(id);
                if self.finish(flight, StepState::Unknown, None, None).await? == Standing::Lost {
                    return Ok(Standing::Lost);
                }
            }
        }
        self.again(flight).await
    }

    async fn again(&mut self, flight: &Flight<P::Observation>) -> StoreResult<Standing> {
        match flight.purpose {
            Purpose::Sweep => Ok(Standing::Held),
            Purpose::Act | Purpose::Verify { .. } => self.reconcile(flight.uid).await,
        }
    }

    pub(super) fn absorb(&mut self, observation: P::Observation) {
        if let Some(snapshot) = &mut self.snapshot {
            self.shared.provider.absorb(snapshot, observation);
        }
    }

    /// Looks after the open steps of a resource: waits for what runs, looks up what is unknown. True when a call
    /// is under way for it and planning must wait.
    pub(super) async fn resolve(&mut self, bundle: &Bundle) -> StoreResult<bool> {
        let window = self.shared.settings.late_window;
        let uid = bundle.resource.uid;
        for open in &bundle.open_steps {
            if let (StepState::Running, Some(action)) = (open.state, open.action.clone()) {
                self.launch(uid, Some(open.id), open.step.clone(), Purpose::Act, Call::Await(action));
                return Ok(true);
            }
            let over = open.age >= window;
            if over || !self.unseen.contains(&open.id) {
                self.verify(uid, open, over);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn verify(&mut self, uid: Uid, open: &StepRecord, last: bool) {
        self.launch(uid, Some(open.id), open.step.clone(), Purpose::Verify { last }, Call::Verify);
    }
}

fn log<O>(flight: &Flight<O>) {
    let (uid, operation, target) = (flight.uid, &flight.step.operation, &flight.step.target);
    match &flight.outcome {
        Outcome::Done(_) => info!(seca.uid = %uid, step = operation, hcloud.name = target, "step done"),
        Outcome::Running { action, .. } => {
            info!(seca.uid = %uid, step = operation, hcloud.name = target, hcloud.action_id = action, "step running");
        }
        Outcome::Unknown(_) => {}
        Outcome::Retry { note, .. } | Outcome::Terminal(note) => {
            let reason = note.reason.as_str();
            info!(seca.uid = %uid, step = operation, hcloud.name = target, reason, message = note.message, "step did not take effect");
        }
    }
}
