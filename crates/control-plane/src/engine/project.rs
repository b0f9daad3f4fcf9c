//! One leased project: its snapshot, its queue, and the calls under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::FutureExt;
use seca_api::ResourceKey;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Shared, backoff,
    epoch::Rule,
    gate::Mandate,
    lease::keep,
    look::Review,
    notice, pauses,
    reading::{Read, Reading},
    silence::Silence,
    waits::Waits,
    without::{leaves_without_access, plan_local, unable, unreadable},
};
use crate::{
    kinds,
    ports::{
        Bundle, CloudError, CloudProvider, Commit, CommitOutcome, Desired, Epoch, Gate, Lease, Note, Outcome, Plan,
        Planned, Step, StoreResult, Verdict,
    },
    reason::Reason,
    resource::Uid,
    state,
};

/// How long giving back a lease may take that was lost.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);
/// How many calls that came back are taken up at once.
const LANDINGS: usize = 50;
/// How often a power action that waits for another resource is looked at without being woken.
const DEFERRED: Duration = Duration::from_secs(30);

/// Whether the worker may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The lease is held.
    Held,
    /// The lease is lost: stop at once, and write nothing.
    Lost,
}

/// A call under way, and what it is for.
pub(super) struct Flight {
    pub(super) uid: Uid,
    /// None for the sweep's and an operator's: there is no such resource.
    pub(super) key: Option<ResourceKey>,
    /// What it was launched for: what was asked for or woken since is judged anew.
    pub(super) generation: i64,
    pub(super) wake: i64,
    pub(super) step: Step,
    /// None for a call that is not recorded: one that only reads, or the sweep's, which serves no row.
    pub(super) id: Option<i64>,
    pub(super) purpose: Purpose,
    /// Other recorded calls, exactly like this one, of which a last look tells as much.
    pub(super) also: Vec<i64>,
    /// The requests that were sent for it; known when it landed.
    pub(super) requests: u32,
}

impl Flight {
    pub(super) fn of(bundle: &Bundle, id: Option<i64>, step: Step, purpose: Purpose) -> Self {
        let resource = &bundle.resource;
        let (uid, generation, key) = (resource.uid, resource.generation, Some(resource.key.clone()));
        Self { uid, key, generation, wake: bundle.wake, step, id, purpose, also: Vec::new(), requests: 0 }
    }
}

/// Why a call is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To take effect.
    Act,
    /// To remove what a resource left that is gone.
    Sweep,
    /// To remove an orphan, because an operator ordered it.
    Order,
    /// To see whether an earlier one of unknown outcome did.
    Verify {
        /// Whether the late window was over when it began: what is not seen now never happened.
        last: bool,
    },
}

/// The worker of one project.
pub(super) struct Project<P: CloudProvider> {
    pub(super) shared: Arc<Shared<P>>,
    pub(super) lease: Lease,
    pub(super) wake: Arc<Notify>,
    pub(super) snapshot: Option<P::Snapshot>,
    pub(super) reading: Reading<P::Snapshot>,
    /// The store failed, or something else was dropped on the way: everything is to be looked at again.
    pub(super) is_behind: bool,
    /// What is looked at behind what is due.
    pub(super) review: Review,
    /// Rows that cannot be read, each left alone for a while so that it stops nobody else.
    pub(super) unreadable: BTreeMap<Uid, Instant>,
    /// Each a task of its own, so that a call goes on while the worker reads or writes.
    pub(super) flights: JoinSet<(Flight, Outcome<P::Observation>)>,
    /// Resources with a call under way.
    pub(super) flying: BTreeSet<Uid>,
    /// What calls under way must not share time with, and how many hold it.
    pub(super) busy: BTreeMap<String, usize>,
    /// Resources that wait for a busy key, to be looked at when a call ends.
    pub(super) parked: BTreeSet<Uid>,
    /// Steps of unknown outcome that were looked up and not seen.
    pub(super) unseen: BTreeSet<i64>,
    /// Actions that are waited for.
    pub(super) silence: Silence,
    pub(super) waits: Waits,
    /// What may be done in the project, by its marker.
    pub(super) rule: Rule,
    /// The same for the gates of calls.
    pub(super) mandate: Arc<Mandate>,
    /// The marker is being written.
    pub(super) marking: JoinSet<(Epoch, Result<(), CloudError>)>,
    /// Whether this lease has raised the epoch.
    pub(super) raised: bool,
    /// Whether an operator declared the project gone for good, and when the store was asked.
    pub(super) abandoned: Option<(bool, Instant)>,
    /// The requests that asked for what calls are made for, each by its resource and generation, for the log.
    pub(super) causes: BTreeMap<Uid, (i64, String)>,
    /// Renewal of the lease and refreshes of the catalogue; ends with the worker.
    pub(super) background: JoinSet<()>,
}

impl<P: CloudProvider> Project<P> {
    pub(super) fn new(shared: Arc<Shared<P>>, lease: Lease, wake: Arc<Notify>) -> Self {
        let is_local = lease.project.is_local();
        let mandate = Arc::new(Mandate::default());
        mandate.set(is_local);
        Self {
            shared,
            lease,
            wake,
            snapshot: None,
            reading: Reading::new(),
            // Whatever the former holder knew is gone: look at everything once.
            is_behind: true,
            review: Review::default(),
            unreadable: BTreeMap::new(),
            flights: JoinSet::new(),
            flying: BTreeSet::new(),
            busy: BTreeMap::new(),
            parked: BTreeSet::new(),
            unseen: BTreeSet::new(),
            silence: Silence::new(),
            waits: Waits::default(),
            // Nobody else has a project of the provider's that is none.
            rule: if is_local { Rule::Ours } else { Rule::Unread },
            mandate,
            marking: JoinSet::new(),
            raised: false,
            abandoned: None,
            causes: BTreeMap::new(),
            background: JoinSet::new(),
        }
    }

    /// Works until it is cancelled or loses its lease.
    pub(super) async fn run(mut self, cancel: CancellationToken) -> Standing {
        let lost = CancellationToken::new();
        self.background.spawn(keep(self.shared.clone(), self.lease.clone(), lost.clone()));
        let mut scan = tokio::time::interval(self.shared.settings.scan_interval);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.schedule_resync();
        loop {
            let wake = self.wake.clone();
            let event: Event<P> = tokio::select! {
                biased;
                () = cancel.cancelled() => Event::Cancelled,
                () = lost.cancelled() => Event::Lost,
                Some(Ok(flight)) = self.flights.join_next() => Event::Landed(Box::new(flight)),
                Some(Ok(read)) = self.reading.observing.join_next() => Event::Read(Box::new(read)),
                Some(Ok(raised)) = self.marking.join_next() => Event::Raised(raised),
                () = wake.notified() => Event::Look,
                _ = scan.tick() => Event::Look,
            };
            let standing = match event {
                Event::Cancelled => break,
                Event::Lost => Ok(Standing::Lost),
                Event::Landed(flight) => {
                    let mut landed = vec![*flight];
                    while landed.len() < LANDINGS
                        && let Some(Ok(next)) = self.flights.try_join_next()
                    {
                        landed.push(next);
                    }
                    self.landed(landed).await
                }
                Event::Read(read) => self.observed(*read).await,
                Event::Raised(raised) => self.raised(raised).await,
                Event::Look => Ok(Standing::Held),
            };
            let standing = match standing {
                Ok(Standing::Held) => self.work().await,
                other => other,
            };
            self.shared.vitals.note(Some(&self.lease.project), standing.is_ok());
            match standing {
                Ok(Standing::Held) if self.is_idle() && self.shared.surplus.take() => {
                    info!(seca.project = %self.lease.project, "another engine has fewer projects, and may have this one");
                    break;
                }
                Ok(Standing::Held) => {}
                Ok(Standing::Lost) => {
                    warn!(seca.project = %self.lease.project, "the lease is lost; its next holder goes on");
                    self.flights.shutdown().await;
                    self.marking.shutdown().await;
                    // Mostly somebody has it, and this says nothing. Else the next holder need not wait.
                    let release = self.shared.store.release(&self.lease);
                    drop(tokio::time::timeout(RELEASE_PATIENCE, release).await);
                    return Standing::Lost;
                }
                Err(error) => {
                    warn!(%error, seca.project = %self.lease.project, "the store failed; trying again");
                    self.is_behind = true;
                }
            }
        }
        // What this worker could not do is the next one's to say.
        self.shared.vitals.note(Some(&self.lease.project), true);
        // Not one goes out beside those of the next holder.
        self.flights.shutdown().await;
        self.marking.shutdown().await;
        // Calls under way are dropped: their intents are recorded, and the next holder looks them up.
        if let Err(error) = self.shared.store.release(&self.lease).await {
            warn!(%error, seca.project = %self.lease.project, "the lease could not be given back; it runs out");
        }
        Standing::Held
    }

    /// Whether nothing is under way, so that another engine can go on without a loss.
    fn is_idle(&self) -> bool {
        let knows = self.lease.project.is_local() || self.snapshot.is_some() && self.is_ruled();
        let is_looking = self.is_behind || !self.review.is_over() || !self.reading.observing.is_empty();
        let is_calling = !self.flights.is_empty() || !self.marking.is_empty() || !self.parked.is_empty();
        knows && !is_looking && !is_calling
    }

    /// Looks at one resource: until it acts, waits or agrees.
    pub(super) async fn reconcile(&mut self, uid: Uid) -> StoreResult<Standing> {
        if self.flying.contains(&uid) {
            return Ok(Standing::Held);
        }
        // Ties change what is planned next, and each plan makes all that it knows of.
        for _ in 0..8 {
            let Some(bundle) = self.shared.store.bundle(uid).await? else { return self.carry_out(uid).await };
            self.shared.meter.looked(bundle.resource.key.kind);
            // What is declared gone leaves, whoever paused it before.
            let pause = if self.is_abandoned() { None } else { self.paused(&bundle.resource.key).await? };
            if let Some(note) = pause {
                return self.commit(&bundle, unable(note, None), Verdict::Waiting, Some(pauses::RECHECK)).await;
            }
            let planned = match self.prepare(&bundle).await? {
                Prepared::Go => self.plan(&bundle),
                Prepared::Busy => {
                    if !self.flying.contains(&uid) {
                        self.review.add(uid);
                    }
                    return Ok(Standing::Held);
                }
                Prepared::Answer(planned) => *planned,
            };
            if let Some(note) = self.hold() {
                return self.report(&bundle, planned, note).await;
            }
            match planned.plan.clone() {
                Plan::Tie(ties) => {
                    if !self.shared.store.tie(&self.lease, uid, &ties).await? {
                        return Ok(Standing::Lost);
                    }
                }
                Plan::Act(step) => return self.act(&bundle, planned, *step).await,
                Plan::Nothing if bundle.resource.is_deleting() => return self.leave(&bundle, planned).await,
                Plan::Nothing => {
                    let again = planned.again;
                    return self.commit(&bundle, planned, Verdict::Converged, again).await;
                }
                Plan::Defer => return self.commit(&bundle, planned, Verdict::Deferred, Some(DEFERRED)).await,
                Plan::Wait { retry } => {
                    let verdict = self.waiting(&bundle);
                    return self.commit(&bundle, planned, verdict, retry).await;
                }
                Plan::Fail => return self.commit(&bundle, planned, Verdict::Failed, Some(backoff::SLOW)).await,
            }
        }
        self.shared.store.requeue(&self.lease, uid, Duration::from_secs(1)).await?;
        Ok(Standing::Held)
    }

    /// What a plan to wait amounts to.
    pub(super) fn waiting(&self, bundle: &Bundle) -> Verdict {
        match self.lease.project.is_local() && !kinds::founds(bundle.resource.key.kind) {
            true => Verdict::Waiting,
            false => Verdict::Working,
        }
    }

    /// What must be known before a plan: access, a snapshot, and the outcome of every earlier call.
    pub(super) async fn prepare(&mut self, bundle: &Bundle) -> StoreResult<Prepared> {
        let provider = self.shared.provider.identity().name;
        if self.lease.project.is_local() {
            let alone = kinds::rules(bundle.resource.key.kind).is_some_and(|rules| rules.local);
            return Ok(if alone { Prepared::Go } else { Prepared::Answer(Box::new(plan_local(bundle, provider))) });
        }
        if self.is_abandoned() {
            return Ok(Prepared::Answer(Box::new(plan_local(bundle, provider))));
        }
        if self.access().await?.is_none() || !self.reading.is_bound(&bundle.resource.key) {
            let planned = if leaves_without_access(bundle) {
                plan_local(bundle, provider)
            } else {
                unable(self.reading.missing(&bundle.resource), None)
            };
            return Ok(Prepared::Answer(Box::new(planned)));
        }
        if self.snapshot.is_none() || !self.is_ruled() {
            return Ok(match self.reading.blocked() {
                Some((left, note)) => Prepared::Answer(Box::new(unable(note, Some(left)))),
                None => Prepared::Busy,
            });
        }
        // Nothing of old is followed up while another database rules.
        if self.hold().is_some() {
            return Ok(Prepared::Go);
        }
        if self.resolve(bundle).await? { Ok(Prepared::Busy) } else { Ok(Prepared::Go) }
    }

    pub(super) fn plan(&self, bundle: &Bundle) -> Planned {
        let nothing = P::Snapshot::default();
        let snapshot = match &self.snapshot {
            None if self.lease.project.is_local() => &nothing,
            None => return unable(unreadable(), None),
            Some(snapshot) => snapshot,
        };
        // An action whose outcome is unknown is never sent again: it is waited for, or seen not to have happened.
        if let Some(open) = bundle.open_steps.iter().find(|s| s.step.action_seq.is_some()) {
            let left = self.shared.settings.late_window.saturating_sub(open.age).max(Duration::from_millis(50));
            let message =
                format!("the answer to {} was lost; it is never sent twice, and looked for", open.step.operation);
            return unable(Note::new(Reason::OutcomeUnknown, message).lasting(left), Some(left));
        }
        let catalog = self.shared.catalog.load();
        let desired = Desired {
            bundle,
            catalog: &catalog,
            installation: &self.shared.installation,
            stop_grace: self.shared.settings.stop_grace,
        };
        let now = self.shared.clock.now();
        let plan = AssertUnwindSafe(|| self.shared.provider.plan(&desired, snapshot, now));
        catch_unwind(plan).unwrap_or_else(|_| {
            error!(seca.resource = %bundle.resource.key, "planning panicked");
            let message = "a decision about this resource failed by a defect of the control plane";
            Planned::new(Plan::Fail).note(Reason::InternalError, message)
        })
    }

    /// Writes down what is seen of a resource while another database rules the project. What would need work says so.
    async fn report(&mut self, bundle: &Bundle, planned: Planned, note: Note) -> StoreResult<Standing> {
        if planned.plan == Plan::Nothing && !bundle.resource.is_deleting() {
            return self.commit(bundle, planned, Verdict::Converged, None).await;
        }
        let seen = Planned { note: Some(note), status: planned.status, ..Planned::new(Plan::Wait { retry: None }) };
        self.commit(bundle, seen, Verdict::Waiting, Some(pauses::RECHECK)).await
    }

    async fn act(&mut self, bundle: &Bundle, planned: Planned, step: Step) -> StoreResult<Standing> {
        let uid = bundle.resource.uid;
        if step.serial.iter().any(|key| self.busy.contains_key(key)) {
            self.parked.insert(uid);
            return Ok(Standing::Held);
        }
        if let Some((open, left)) = self.contradicted(bundle, &step) {
            let message = format!("the answer to {open} was lost; {}, which it could undo, waits", step.operation);
            let planned = Planned { note: Some(Note::new(Reason::OutcomeUnknown, message).lasting(left)), ..planned };
            return self.commit(bundle, planned, Verdict::Working, Some(left)).await;
        }
        let generation = bundle.resource.generation;
        if let (false, Err(left)) = (step.reads, self.waits.change(uid, generation)) {
            let message = format!("many changes did not make it what it is to be; {} is the next one", step.operation);
            warn!(seca.resource = %bundle.resource.key, "{message}");
            let note = Note::new(Reason::NeverSettles, message);
            return self.commit(bundle, Planned { note: Some(note), ..planned }, Verdict::Working, Some(left)).await;
        }
        // A step that only reads keeps the notice of the condition, and so does a change that is one of too many.
        let is_kept = |note: &Note| step.reads || note.reason == Reason::NeverSettles;
        let note = planned.note.clone().or_else(|| Note::of(&bundle.resource).filter(is_kept));
        let planned = Planned { note, ..planned };
        if step.reads {
            if self.commit(bundle, planned, Verdict::Working, None).await? == Standing::Lost {
                return Ok(Standing::Lost);
            }
            self.launch(Flight::of(bundle, None, step, Purpose::Act), Call::Execute);
            return Ok(Standing::Held);
        }
        let commit = self.finding(bundle, planned, Verdict::Working, None, tried(bundle, Verdict::Working));
        let found = found(&commit);
        let commit = says_anything(bundle, &commit).then_some(commit);
        let is_found = commit.is_some();
        let Some(intent) = self.shared.store.intend(&self.lease, uid, generation, &step, commit).await? else {
            return Ok(Standing::Lost);
        };
        if is_found {
            self.written(bundle, found, &CommitOutcome::Done(Box::new(intent.resource)));
        }
        self.launch(Flight::of(bundle, Some(intent.id), step, Purpose::Act), Call::Execute);
        Ok(Standing::Held)
    }

    /// An earlier call that may still take effect after this other one and undo it, and how long it may. That holds
    /// for a deletion too, which may leave something to another resource; what only removes sets nothing.
    fn contradicted(&self, bundle: &Bundle, step: &Step) -> Option<(String, Duration)> {
        let (what, to) = step.sets.as_ref()?;
        let undoes = |(other, value): &(String, String)| other == what && value != to;
        let open = bundle.open_steps.iter().find(|open| open.step.sets.as_ref().is_some_and(undoes))?;
        let left = self.shared.settings.late_window.checked_sub(open.age)?;
        Some((open.step.operation.clone(), left.max(Duration::from_millis(50))))
    }

    /// A deleted resource of which nothing is left: its row goes, unless a lost call may still make something.
    async fn leave(&mut self, bundle: &Bundle, planned: Planned) -> StoreResult<Standing> {
        let window = self.shared.settings.late_window;
        if let Some(open) = bundle.open_steps.iter().filter(|s| s.age < window).min_by_key(|s| s.age) {
            let message = format!("the answer to {} was lost, and it may still take effect", open.step.operation);
            let left = window.saturating_sub(open.age);
            let planned = Planned { note: Some(Note::new(Reason::OutcomeUnknown, message).lasting(left)), ..planned };
            return self.commit(bundle, planned, Verdict::Waiting, Some(left)).await;
        }
        match self.shared.store.remove(&self.lease, bundle.resource.uid).await? {
            CommitOutcome::Fenced => Ok(Standing::Lost),
            CommitOutcome::Done(_) | CommitOutcome::Gone => {
                self.shared.watchers.gone(bundle.resource.uid);
                self.waits.forget(bundle.resource.uid);
                self.causes.remove(&bundle.resource.uid);
                info!(seca.resource = %bundle.resource.key, seca.uid = %bundle.resource.uid, "gone");
                Ok(Standing::Held)
            }
        }
    }

    /// Writes a finding down, if it says anything new. What converges ends a row of retries; acting does not, or a
    /// call that is refused again and again would never be made more slowly.
    pub(super) async fn commit(
        &mut self,
        bundle: &Bundle,
        planned: Planned,
        verdict: Verdict,
        next: Option<Duration>,
    ) -> StoreResult<Standing> {
        if matches!(verdict, Verdict::Converged | Verdict::Deferred) {
            self.waits.forget(bundle.resource.uid);
        }
        self.write(bundle, planned, verdict, next, tried(bundle, verdict)).await
    }

    pub(super) async fn write(
        &mut self,
        bundle: &Bundle,
        planned: Planned,
        verdict: Verdict,
        next: Option<Duration>,
        attempts: u32,
    ) -> StoreResult<Standing> {
        let acts = matches!(planned.plan, Plan::Act(_)) && next.is_none();
        let commit = self.finding(bundle, planned, verdict, next, attempts);
        let found = found(&commit);
        if acts && !says_anything(bundle, &commit) {
            return Ok(Standing::Held);
        }
        let written = self.shared.store.commit(&self.lease, commit).await?;
        Ok(self.written(bundle, found, &written))
    }

    /// A finding, to be written down.
    pub(super) fn finding(
        &self,
        bundle: &Bundle,
        planned: Planned,
        verdict: Verdict,
        next: Option<Duration>,
        attempts: u32,
    ) -> Commit {
        let (resource, now) = (&bundle.resource, self.shared.clock.now());
        Commit {
            uid: resource.uid,
            generation: resource.generation,
            action_seq: resource.action.seq,
            wake: bundle.wake,
            verdict,
            note: planned.note.map(|note| notice::timed(note, resource.conditions.first(), now)),
            status: planned.status,
            facts: planned.facts,
            action_done: planned.action_done,
            next,
            attempts,
            now,
        }
    }

    /// A finding was written down.
    pub(super) fn written(&self, bundle: &Bundle, (verdict, reason): Found, written: &CommitOutcome) -> Standing {
        let (resource, before) = (&bundle.resource, bundle.resource.state);
        match written {
            CommitOutcome::Fenced => return Standing::Lost,
            CommitOutcome::Gone => self.shared.watchers.gone(resource.uid),
            CommitOutcome::Done(row) => {
                self.shared.meter.found(row.key.kind, verdict, reason);
                self.shared.watchers.changed(row);
                if row.state != before {
                    info!(seca.resource = %row.key, seca.uid = %row.uid, from = %before, to = %row.state, "state");
                } else {
                    debug!(seca.resource = %row.key, state = %row.state, "looked at");
                }
            }
        }
        Standing::Held
    }

    /// Looks at what waited for a key that a landed call held.
    pub(super) async fn unpark(&mut self) -> StoreResult<Standing> {
        for uid in std::mem::take(&mut self.parked) {
            if self.reconcile(uid).await? == Standing::Lost {
                return Ok(Standing::Lost);
            }
        }
        Ok(Standing::Held)
    }

    /// Starts a call, in the order of its serial keys.
    pub(super) fn launch(&mut self, flight: Flight, call: Call) {
        let Some(access) = self.reading.current() else {
            // The token went since it was looked at: what the call was for is found again.
            self.is_behind = true;
            return;
        };
        self.flying.insert(flight.uid);
        self.remember_cause(&flight);
        if let Call::Await(action) = &call {
            self.silence.begins(&flight, action);
        }
        for key in &flight.step.serial {
            *self.busy.entry(key.clone()).or_default() += 1;
        }
        // A step is sent once. What is waited for or looked up may have to remove what it left, whenever that is.
        let step = flight.id.filter(|_| matches!(call, Call::Execute));
        let (provider, sent) = (self.shared.provider.clone(), self.gate(step, false));
        self.flights.spawn(async move {
            let step = &flight.step;
            let gate: Arc<dyn Gate> = sent.clone();
            let calling = async {
                match &call {
                    Call::Execute => provider.execute(&access, step, &gate).await,
                    Call::Await(action) => provider.wait(&access, step, action, &gate).await,
                    Call::Verify => provider.verify(&access, step, &gate).await,
                }
            };
            let outcome = AssertUnwindSafe(calling).catch_unwind().await;
            let flight = Flight { requests: sent.requests.load(Ordering::Relaxed), ..flight };
            (flight, outcome.unwrap_or_else(|_| Outcome::Unknown("the call panicked".to_owned())))
        });
    }

    /// Frees the serial keys of a landed call.
    pub(super) fn free(&mut self, step: &Step) {
        for key in &step.serial {
            if let Some(holders) = self.busy.get_mut(key) {
                *holders -= 1;
                if *holders == 0 {
                    self.busy.remove(key);
                }
            }
        }
    }
}

/// What a finding comes to, in words for metrics.
pub(super) type Found = (Verdict, Option<Reason>);

pub(super) fn found(commit: &Commit) -> Found {
    (commit.verdict, commit.note.as_ref().map(|note| note.reason))
}

/// Whether a finding changes the row that it was made of.
fn says_anything(bundle: &Bundle, commit: &Commit) -> bool {
    state::commit(&mut bundle.resource.clone(), commit).row
}

/// How often in a row a resource was tried by then.
pub(super) fn tried(bundle: &Bundle, verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Converged | Verdict::Deferred => 0,
        Verdict::Waiting | Verdict::Working => bundle.attempts,
        Verdict::Failed => bundle.attempts.saturating_add(1),
    }
}

/// Which of the provider's calls.
pub(super) enum Call {
    Execute,
    Await(String),
    Verify,
}

enum Event<P: CloudProvider> {
    Cancelled,
    Lost,
    Landed(Box<(Flight, Outcome<P::Observation>)>),
    Read(Box<Result<Read<P::Snapshot>, CloudError>>),
    Raised((Epoch, Result<(), CloudError>)),
    Look,
}

pub(super) enum Prepared {
    /// Plan.
    Go,
    /// An earlier call is being looked up first.
    Busy,
    /// There is nothing to plan with; this is what to say.
    Answer(Box<Planned>),
}
