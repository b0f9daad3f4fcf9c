//! What becomes of calls: those that landed, and those that a crash or a lost answer left open.

use std::time::Duration;

use futures::future::try_join_all;
use tracing::{info, warn};

use super::{
    backoff, meter,
    project::{Call, Flight, Project, Purpose, Standing},
};
use crate::{
    ports::{Bundle, CloudProvider, Note, Outcome, Plan, Planned, StepRecord, StepState, StoreResult, Verdict},
    reason::Reason,
};

/// What becomes of a recorded step, and the action or the message that is written with it.
type End<'a> = (StepState, Option<&'a str>, Option<&'a str>);

/// What a call's outcome makes of its step; none where more is to be known first.
fn end<'a, O>(purpose: Purpose, outcome: &'a Outcome<O>) -> Option<End<'a>> {
    let failed = |message| Some((StepState::Failed, None, Some(message)));
    match outcome {
        Outcome::Done(_) => Some((StepState::Done, None, None)),
        Outcome::Running { action, .. } => Some((StepState::Running, Some(action), None)),
        Outcome::Unknown(message) => Some((StepState::Unknown, None, Some(message))),
        Outcome::Retry { .. } if matches!(purpose, Purpose::Verify { .. }) => None,
        Outcome::Refuted { retry: None, .. } => failed("it was planned by what is not so"),
        Outcome::Retry { note, .. } | Outcome::Refuted { retry: Some((_, note)), .. } | Outcome::Terminal(note) => {
            failed(&note.message)
        }
    }
}

impl<P: CloudProvider> Project<P> {
    /// Calls came back. What was observed, and what became of their steps, is taken in of all before anything follows from it.
    pub(super) async fn landed(&mut self, landed: Vec<(Flight, Outcome<P::Observation>)>) -> StoreResult<Standing> {
        let mut all = Vec::with_capacity(landed.len());
        for (flight, outcome) in landed {
            self.flying.remove(&flight.uid);
            match self.silence.ends(flight.uid) {
                Some(took) => self.waits.awaited(&flight, took),
                None => self.waits.asked(&flight),
            }
            self.free(&flight.step);
            self.log(&flight, &outcome).await;
            let (word, again) = meter::outcome(&outcome);
            self.shared.meter.stepped(&flight.step.operation, word, again);
            all.push((flight, outcome.map(|observation| self.absorb(observation))));
        }
        let recorded = all.iter().filter(|(flight, _)| flight.purpose != Purpose::Order);
        let ends = recorded.filter_map(|(flight, outcome)| Some((flight.id?, end(flight.purpose, outcome)?)));
        let (store, lease) = (&self.shared.store, &self.lease);
        let written = ends.map(|(id, (state, action, error))| store.finish_step(lease, id, state, action, error));
        if !try_join_all(written).await?.into_iter().all(|held| held) {
            return Ok(Standing::Lost);
        }
        let is_over = all.iter().any(|(_, outcome)| !matches!(outcome, Outcome::Running { .. }));
        for (flight, outcome) in all {
            let standing = match flight.purpose {
                Purpose::Order => self.discarded(flight, outcome).await?,
                _ => self.follow(flight, outcome).await?,
            };
            if standing == Standing::Lost {
                return Ok(Standing::Lost);
            }
        }
        if is_over { self.unpark().await } else { Ok(Standing::Held) }
    }

    /// Goes on after a call of which is written down what became of it.
    async fn follow(&mut self, flight: Flight, outcome: Outcome<()>) -> StoreResult<Standing> {
        match outcome {
            Outcome::Done(()) => self.done(&flight).await,
            Outcome::Running { action, .. } => {
                // Seen to be running, also by a look-up: how it ends is known then.
                let purpose = if flight.purpose == Purpose::Sweep { Purpose::Sweep } else { Purpose::Act };
                self.launch(Flight { purpose, ..flight }, Call::Await(action));
                Ok(Standing::Held)
            }
            Outcome::Unknown(_) => self.unknown(&flight).await,
            Outcome::Retry { after, note } => match flight.purpose {
                Purpose::Act | Purpose::Sweep | Purpose::Order => self.retry(&flight, after, note).await,
                Purpose::Verify { last } => self.not_seen(&flight, last).await,
            },
            Outcome::Refuted { retry: Some((after, note)), .. } => self.retry(&flight, after, note).await,
            Outcome::Refuted { retry: None, .. } => self.again(&flight).await,
            Outcome::Terminal(note) => self.refused(&flight, note).await,
        }
    }

    async fn done(&mut self, flight: &Flight) -> StoreResult<Standing> {
        self.waits.end(flight.uid);
        if let Some(seq) = flight.step.action_seq
            && let Some(bundle) = self.shared.store.bundle(flight.uid).await?
        {
            let planned = Planned { action_done: Some(seq), ..Planned::new(Plan::Nothing) };
            if self.commit(&bundle, planned, Verdict::Working, None).await? == Standing::Lost {
                return Ok(Standing::Lost);
            }
        }
        if flight.step.frees {
            self.wake_limited().await?;
        }
        self.again(flight).await
    }

    /// What waits for a limit, a name or room looks again at once: something was removed.
    pub(super) async fn wake_limited(&mut self) -> StoreResult<()> {
        for uid in self.waits.limited() {
            self.shared.store.requeue(&self.lease, uid, Duration::ZERO).await?;
        }
        Ok(())
    }

    async fn unknown(&mut self, flight: &Flight) -> StoreResult<Standing> {
        if flight.purpose == Purpose::Act && flight.id.is_some() {
            // Look it up at once: mostly it did take effect.
            return self.again(flight).await;
        }
        let message = format!("the answer to {} was lost; it is looked for", flight.step.operation);
        let Some(bundle) = self.unchanged(flight).await? else { return self.again(flight).await };
        self.commit_retry(&bundle, flight, Note::new(Reason::OutcomeUnknown, message), None).await
    }

    async fn retry(&mut self, flight: &Flight, after: Option<Duration>, note: Note) -> StoreResult<Standing> {
        let Some(bundle) = self.unchanged(flight).await? else { return self.again(flight).await };
        self.commit_retry(&bundle, flight, note, after).await
    }

    async fn refused(&mut self, flight: &Flight, note: Note) -> StoreResult<Standing> {
        let Some(bundle) = self.unchanged(flight).await? else { return self.again(flight).await };
        let planned = Planned { note: Some(note), ..Planned::new(Plan::Fail) };
        self.commit(&bundle, planned, Verdict::Failed, Some(backoff::SLOW)).await
    }

    /// The resource, if it still is what the call was made for: a refusal of what is no longer asked for says
    /// nothing about what is. Wake-ups since the launch are not slept through.
    async fn unchanged(&mut self, flight: &Flight) -> StoreResult<Option<Bundle>> {
        let bundle = self.shared.store.bundle(flight.uid).await?;
        let bundle = bundle.filter(|bundle| bundle.resource.generation == flight.generation);
        Ok(bundle.map(|bundle| Bundle { wake: flight.wake, ..bundle }))
    }

    /// A call of unknown outcome was looked up and is not seen. After the late window it never happened; before,
    /// planning goes on with what is there, because every creation has a name that no second one can take.
    async fn not_seen(&mut self, flight: &Flight, last: bool) -> StoreResult<Standing> {
        if let Some(id) = flight.id {
            if last {
                for id in flight.also.iter().copied().chain([id]) {
                    self.unseen.remove(&id);
                    let why = Some("never took effect");
                    if !self.shared.store.finish_step(&self.lease, id, StepState::Failed, None, why).await? {
                        return Ok(Standing::Lost);
                    }
                }
            } else {
                self.unseen.insert(id);
                if !self.shared.store.finish_step(&self.lease, id, StepState::Unknown, None, None).await? {
                    return Ok(Standing::Lost);
                }
                let Some(bundle) = self.unchanged(flight).await? else { return self.again(flight).await };
                let message = format!("the answer to {} was lost, and it is not seen", flight.step.operation);
                return self.commit_retry(&bundle, flight, Note::new(Reason::ProviderUnavailable, message), None).await;
            }
        }
        self.again(flight).await
    }

    async fn again(&mut self, flight: &Flight) -> StoreResult<Standing> {
        match flight.purpose {
            Purpose::Sweep | Purpose::Order => Ok(Standing::Held),
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
        for open in &bundle.open_steps {
            let flight = |purpose| Flight::of(bundle, Some(open.id), open.step.clone(), purpose);
            if let (StepState::Running, Some(action)) = (open.state, open.action.clone()) {
                self.launch(flight(Purpose::Act), Call::Await(action));
                return Ok(true);
            }
            if open.state != StepState::Unknown {
                // Its sender died, or lost its lease, at most a moment ago: from now on it may be late.
                let held = self.shared.store.finish_step(&self.lease, open.id, StepState::Unknown, None, None).await?;
                if !held {
                    return Ok(true);
                }
                self.launch(flight(Purpose::Verify { last: false }), Call::Verify);
                return Ok(true);
            }
            let last = open.age >= window;
            if last || !self.unseen.contains(&open.id) {
                let is_like = |other: &&StepRecord| {
                    last && other.id != open.id
                        && other.state == StepState::Unknown
                        && other.age >= window
                        && other.step == open.step
                };
                let also = bundle.open_steps.iter().filter(is_like).map(|other| other.id).collect();
                self.launch(Flight { also, ..flight(Purpose::Verify { last }) }, Call::Verify);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Writes a line about a step: of which resource it is, and which request asked for that.
macro_rules! tell {
    ($level:ident, $flight:ident, $cause:ident, $($fields:tt)*) => {
        $level!(
            seca.resource = $flight.key.as_ref().map(tracing::field::display),
            seca.tenant = $flight.key.as_ref().map(|key| key.tenant.as_str()),
            seca.workspace = $flight.key.as_ref().and_then(|key| Some(key.workspace_key()?.name)),
            seca.uid = %$flight.uid,
            request_id = $cause,
            step = $flight.step.operation,
            provider.name = $flight.step.target,
            $($fields)*
        )
    };
}

impl<P: CloudProvider> Project<P> {
    async fn log(&mut self, flight: &Flight, outcome: &Outcome<P::Observation>) {
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let cause = self.cause(flight).await;
        match outcome {
            Outcome::Done(_) => tell!(info, flight, cause, "step done"),
            Outcome::Running { action, .. } => {
                tell!(info, flight, cause, provider.action_id = action, "step running");
            }
            Outcome::Unknown(message) => tell!(warn, flight, cause, message, "the outcome of a call is unknown"),
            Outcome::Refuted { retry: None, .. } => {
                tell!(info, flight, cause, "step was planned by what is not so");
            }
            Outcome::Retry { note, .. } | Outcome::Refuted { retry: Some((_, note)), .. } | Outcome::Terminal(note) => {
                let reason = note.reason.as_str();
                tell!(info, flight, cause, reason, message = note.message, "step did not take effect");
            }
        }
    }

    /// The request that asked for what a call is made for: one under way, or the last one that is written down. None where
    /// nobody asked, or where it cannot be told.
    async fn cause(&mut self, flight: &Flight) -> Option<String> {
        let key = flight.key.as_ref()?;
        self.remember_cause(flight);
        if let Some((generation, id)) = self.causes.get(&flight.uid)
            && *generation == flight.generation
        {
            return Some(id.clone());
        }
        let id = self.shared.store.oversight().last_request(key).await.ok().flatten()?;
        self.caused(flight, id.clone());
        Some(id)
    }

    /// Takes down the request that is under way for a call, so that it need not be read when the call comes back.
    pub(super) fn remember_cause(&mut self, flight: &Flight) {
        if let Some(id) = flight.key.as_ref().and_then(|key| self.shared.causes.of(&key.urn())) {
            self.caused(flight, id);
        }
    }

    fn caused(&mut self, flight: &Flight, id: String) {
        const MOST: usize = 10_000;
        if self.causes.len() >= MOST {
            self.causes.clear();
        }
        self.causes.insert(flight.uid, (flight.generation, id));
    }
}
