//! One leased project: its snapshot, its queue, and the calls under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use seca_api::Kind;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{Shared, backoff};
use crate::{
    ports::{
        Access, Bundle, CloudProvider, Commit, CommitOutcome, Desired, Lease, Note, Outcome, Plan, Planned,
        SealContext, Step, StepState, StoreResult, Verdict,
    },
    reason::Reason,
    resource::Uid,
    state,
};

/// How many due resources are read at once.
const BATCH: usize = 50;
/// How often one resource is looked at before the others, and the answers, get their turn: resources wake each
/// other, and a pair that never agrees must not stop the rest.
const LOOKS: u8 = 4;
/// How long credentials are believed before they are read again.
const CREDENTIALS_FRESH: Duration = Duration::from_millis(500);

/// Whether the worker may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The lease is held.
    Held,
    /// The lease is lost: stop at once, and write nothing.
    Lost,
}

/// A call under way, and what it is for.
pub(super) struct Flight<O> {
    pub(super) uid: Uid,
    pub(super) step: Step,
    /// None for a call that is not recorded: one that only reads, or the sweep's, which serves no row.
    pub(super) id: Option<i64>,
    pub(super) purpose: Purpose,
    pub(super) outcome: Outcome<O>,
}

/// Why a call is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To take effect.
    Act,
    /// To remove what a resource left that is gone.
    Sweep,
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
    wake: Arc<Notify>,
    access: Option<Arc<Access>>,
    access_read: Option<Instant>,
    pub(super) snapshot: Option<P::Snapshot>,
    /// The provider said no to reading the project: not before this, and meanwhile this is the reason.
    blocked: Option<(Instant, Note)>,
    failures: u32,
    resync_at: Instant,
    /// Each a task of its own, so that a call goes on while the worker reads or writes.
    pub(super) flights: JoinSet<Flight<P::Observation>>,
    /// Resources with a call under way.
    pub(super) flying: BTreeSet<Uid>,
    /// What calls under way must not share time with.
    pub(super) busy: BTreeSet<String>,
    /// Resources that wait for a busy key, to be looked at when a call ends.
    parked: BTreeSet<Uid>,
    /// Steps of unknown outcome that were looked up and not seen.
    pub(super) unseen: BTreeSet<i64>,
    /// Renewal of the lease and refreshes of the catalogue; ends with the worker.
    pub(super) background: JoinSet<()>,
    pub(super) catalog_at: Instant,
}

impl<P: CloudProvider> Project<P> {
    pub(super) fn new(shared: Arc<Shared<P>>, lease: Lease, wake: Arc<Notify>) -> Self {
        Self {
            shared,
            lease,
            wake,
            access: None,
            access_read: None,
            snapshot: None,
            blocked: None,
            failures: 0,
            resync_at: Instant::now(),
            flights: JoinSet::new(),
            flying: BTreeSet::new(),
            busy: BTreeSet::new(),
            parked: BTreeSet::new(),
            unseen: BTreeSet::new(),
            background: JoinSet::new(),
            catalog_at: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let lost = CancellationToken::new();
        self.background.spawn(keep(self.shared.clone(), self.lease.clone(), lost.clone()));
        let mut scan = tokio::time::interval(self.shared.settings.scan_interval);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.schedule_resync();
        // Whatever the former holder knew is gone: look at everything once.
        if let Err(error) = self.shared.store.requeue_project(&self.lease.project).await {
            warn!(%error, seca.project = %self.lease.project, "the project could not be queued on takeover");
        }
        loop {
            let wake = self.wake.clone();
            let event = tokio::select! {
                biased;
                () = cancel.cancelled() => Event::Cancelled,
                () = lost.cancelled() => Event::Lost,
                Some(Ok(flight)) = self.flights.join_next() => Event::Landed(Box::new(flight)),
                () = wake.notified() => Event::Look,
                _ = scan.tick() => Event::Look,
            };
            let standing = match event {
                Event::Cancelled => break,
                Event::Lost => Ok(Standing::Lost),
                Event::Landed(flight) => self.landed(*flight).await,
                Event::Look => Ok(Standing::Held),
            };
            let standing = match standing {
                Ok(Standing::Held) => self.work().await,
                other => other,
            };
            match standing {
                Ok(Standing::Held) => {}
                Ok(Standing::Lost) => {
                    warn!(seca.project = %self.lease.project, "the lease is lost; its new holder goes on");
                    return;
                }
                Err(error) => warn!(%error, seca.project = %self.lease.project, "the store failed; trying again"),
            }
        }
        // Calls under way are dropped: their intents are recorded, and the next holder looks them up.
        if let Err(error) = self.shared.store.release(&self.lease).await {
            warn!(%error, seca.project = %self.lease.project, "the lease could not be given back; it runs out");
        }
    }

    /// Does what is due: resync, then the queue, until nothing is left that can be done now.
    async fn work(&mut self) -> StoreResult<Standing> {
        if !self.lease.project.is_local() {
            self.refresh_catalog().await?;
            if Instant::now() >= self.resync_at {
                self.schedule_resync();
                if self.resync().await? == Standing::Lost {
                    return Ok(Standing::Lost);
                }
            }
        }
        let mut looked: BTreeMap<Uid, u8> = BTreeMap::new();
        loop {
            let limit = BATCH + self.flying.len() + self.parked.len();
            let due = self.shared.store.due(&self.lease, limit).await?;
            let fresh: Vec<Uid> = due
                .into_iter()
                .filter(|uid| !self.flying.contains(uid) && !self.parked.contains(uid))
                .filter(|uid| looked.get(uid).is_none_or(|times| *times < LOOKS))
                .collect();
            if fresh.is_empty() || self.flying.len() >= self.shared.settings.max_in_flight {
                return Ok(Standing::Held);
            }
            for uid in fresh {
                *looked.entry(uid).or_default() += 1;
                if self.reconcile(uid).await? == Standing::Lost {
                    return Ok(Standing::Lost);
                }
            }
            if looked.len() >= BATCH {
                // Let answers in between.
                self.wake.notify_one();
                return Ok(Standing::Held);
            }
        }
    }

    /// Looks at one resource: until it acts, waits or agrees.
    pub(super) async fn reconcile(&mut self, uid: Uid) -> StoreResult<Standing> {
        if self.flying.contains(&uid) {
            return Ok(Standing::Held);
        }
        // A claim changes what is planned next; a resource claims at most one thing at a time.
        for _ in 0..4 {
            let Some(bundle) = self.shared.store.bundle(uid).await? else { return Ok(Standing::Held) };
            let planned = match self.prepare(&bundle).await? {
                Prepared::Go => self.plan(&bundle),
                Prepared::Busy => return Ok(Standing::Held),
                Prepared::Answer(planned) => *planned,
            };
            match planned.plan.clone() {
                Plan::Claim(target) => {
                    let claimed = self.shared.store.claim(&self.lease, target, uid).await?;
                    if claimed.is_none() {
                        return Ok(Standing::Lost);
                    }
                }
                Plan::Act(step) => return self.act(&bundle, planned, *step).await,
                Plan::Nothing if bundle.resource.is_deleting() => return self.leave(&bundle, planned).await,
                Plan::Nothing => return self.commit(&bundle, planned, Verdict::Converged, None).await,
                Plan::Wait { retry } => {
                    let verdict = if self.lease.project.is_local() && bundle.resource.key.kind != Kind::Workspace {
                        Verdict::Waiting
                    } else {
                        Verdict::Working
                    };
                    return self.commit(&bundle, planned, verdict, retry).await;
                }
                Plan::Fail => return self.commit(&bundle, planned, Verdict::Failed, Some(backoff::SLOW)).await,
            }
        }
        self.shared.store.requeue(&self.lease, uid, Duration::from_secs(1)).await?;
        Ok(Standing::Held)
    }

    /// What must be known before a plan: access, a snapshot, and the outcome of every earlier call.
    async fn prepare(&mut self, bundle: &Bundle) -> StoreResult<Prepared> {
        if self.lease.project.is_local() {
            return Ok(Prepared::Answer(Box::new(plan_local(bundle))));
        }
        let Some(access) = self.access().await? else {
            if leaves_without_access(bundle) {
                return Ok(Prepared::Answer(Box::new(plan_local(bundle))));
            }
            let note = Note::new(
                Reason::CredentialMissing,
                "the workspace has no token; what exists stays as it is until one of the same project is bound",
            );
            return Ok(Prepared::Answer(Box::new(unable(note, None))));
        };
        if self.snapshot.is_none() && !self.observe(&access).await {
            let (until, note) = self.blocked.clone().unwrap_or_else(|| (Instant::now(), unreadable()));
            let retry = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
            return Ok(Prepared::Answer(Box::new(unable(note, Some(retry)))));
        }
        if self.resolve(bundle).await? { Ok(Prepared::Busy) } else { Ok(Prepared::Go) }
    }

    fn plan(&self, bundle: &Bundle) -> Planned {
        let Some(snapshot) = &self.snapshot else { return unable(unreadable(), None) };
        // An action whose outcome is unknown is never sent again: it is waited for, or seen not to have happened.
        if let Some(open) = bundle.open_steps.iter().find(|s| s.step.action_seq.is_some()) {
            let message =
                format!("the answer to {} was lost; it is looked for and never sent twice", open.step.operation);
            return unable(Note::new(Reason::OutcomeUnknown, message), Some(Duration::from_secs(1)));
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

    async fn act(&mut self, bundle: &Bundle, planned: Planned, step: Step) -> StoreResult<Standing> {
        let uid = bundle.resource.uid;
        if step.serial.iter().any(|key| self.busy.contains(key)) {
            self.parked.insert(uid);
            return Ok(Standing::Held);
        }
        if let Some((open, left)) = self.contradicted(bundle, &step) {
            let message =
                format!("the answer to {open} was lost; {} waits until it can no longer undo it", step.operation);
            let planned = planned.note(Reason::OutcomeUnknown, message);
            return self.commit(bundle, planned, Verdict::Working, Some(left)).await;
        }
        if self.commit(bundle, planned, Verdict::Working, None).await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        if step.reads {
            self.launch(uid, None, step, Purpose::Act, Call::Execute);
            return Ok(Standing::Held);
        }
        let generation = bundle.resource.generation;
        let Some(id) = self.shared.store.record_step(&self.lease, uid, generation, &step).await? else {
            return Ok(Standing::Lost);
        };
        self.launch(uid, Some(id), step, Purpose::Act, Call::Execute);
        Ok(Standing::Held)
    }

    /// An earlier call that may still take effect after this other one and undo it, and how long it may. After a
    /// deletion there is nothing left to undo.
    fn contradicted(&self, bundle: &Bundle, step: &Step) -> Option<(String, Duration)> {
        if bundle.resource.is_deleting() {
            return None;
        }
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
            let planned = Planned { note: Some(Note::new(Reason::OutcomeUnknown, message)), ..planned };
            return self.commit(bundle, planned, Verdict::Waiting, Some(window - open.age)).await;
        }
        match self.shared.store.remove(&self.lease, bundle.resource.uid).await? {
            CommitOutcome::Fenced => Ok(Standing::Lost),
            CommitOutcome::Done(_) | CommitOutcome::Gone => {
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
        let attempts = match verdict {
            Verdict::Converged => 0,
            Verdict::Waiting | Verdict::Working => bundle.attempts,
            Verdict::Failed => bundle.attempts.saturating_add(1),
        };
        self.write(bundle, planned, verdict, next, attempts).await
    }

    /// Writes down that it is tried again after a while.
    pub(super) async fn commit_retry(&mut self, bundle: &Bundle, note: Note, wait: Duration) -> StoreResult<Standing> {
        let planned = Planned { note: Some(note), ..Planned::new(Plan::Wait { retry: Some(wait) }) };
        self.write(bundle, planned, Verdict::Working, Some(wait), bundle.attempts.saturating_add(1)).await
    }

    async fn write(
        &mut self,
        bundle: &Bundle,
        planned: Planned,
        verdict: Verdict,
        next: Option<Duration>,
        attempts: u32,
    ) -> StoreResult<Standing> {
        let resource = &bundle.resource;
        let commit = Commit {
            uid: resource.uid,
            generation: resource.generation,
            action_seq: resource.action.seq,
            wake: bundle.wake,
            verdict,
            note: planned.note,
            status: planned.status,
            facts: planned.facts,
            action_done: planned.action_done,
            next,
            attempts,
            now: self.shared.clock.now(),
        };
        let before = resource.state;
        let acts = matches!(planned.plan, Plan::Act(_)) && next.is_none();
        if acts && !state::commit(&mut resource.clone(), &commit).row {
            return Ok(Standing::Held);
        }
        match self.shared.store.commit(&self.lease, commit).await? {
            CommitOutcome::Fenced => Ok(Standing::Lost),
            CommitOutcome::Gone => Ok(Standing::Held),
            CommitOutcome::Done(row) => {
                if row.state != before {
                    info!(seca.resource = %row.key, seca.uid = %row.uid, from = %before, to = %row.state, "state");
                } else {
                    debug!(seca.resource = %row.key, state = %row.state, "looked at");
                }
                Ok(Standing::Held)
            }
        }
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

    /// Reads the project from lists. False when it could not be read, or not so soon again.
    pub(super) async fn observe(&mut self, access: &Access) -> bool {
        if self.blocked.as_ref().is_some_and(|(until, _)| *until > Instant::now()) {
            return false;
        }
        match self.shared.provider.observe(access).await {
            Ok(snapshot) => {
                self.snapshot = Some(snapshot);
                self.blocked = None;
                self.failures = 0;
                true
            }
            Err(error) => {
                warn!(%error, seca.project = %self.lease.project, "the project could not be read");
                let wait = error.after.unwrap_or_else(|| backoff::transient(self.failures, self.shared.rng.as_ref()));
                self.failures = self.failures.saturating_add(1);
                self.blocked = Some((Instant::now() + wait, error.note));
                false
            }
        }
    }

    /// The newest credential of the project, opened.
    pub(super) async fn access(&mut self) -> StoreResult<Option<Arc<Access>>> {
        // Only a token is remembered: of one that is missing nobody would say that it is there by now.
        if self.access.is_some() && self.access_read.is_some_and(|at| at.elapsed() < CREDENTIALS_FRESH) {
            return Ok(self.access.clone());
        }
        self.access = None;
        for credential in self.shared.store.project_credentials(&self.lease.project).await? {
            let context = SealContext {
                tenant: credential.workspace.tenant.clone(),
                region: credential.workspace.region.clone(),
                workspace: credential.workspace.name.clone(),
                provider: "hetzner".to_owned(),
            };
            let endpoint = match credential.endpoint.as_deref().map(str::parse) {
                None => self.shared.settings.default_endpoint.clone(),
                Some(Ok(url)) => url,
                Some(Err(_)) => continue,
            };
            match self.shared.vault.open(&credential.sealed, &context) {
                Ok(token) => {
                    self.access = Some(Arc::new(Access { project: self.lease.project.clone(), endpoint, token }));
                    break;
                }
                Err(error) => warn!(%error, seca.workspace = %credential.workspace, "a token could not be opened"),
            }
        }
        self.access_read = Some(Instant::now());
        Ok(self.access.clone())
    }

    fn schedule_resync(&mut self) {
        let interval = self.shared.settings.resync_interval;
        self.resync_at = Instant::now() + interval.mul_f64(0.9 + 0.2 * self.shared.rng.fraction());
    }

    /// Starts a call, in the order of its serial keys.
    pub(super) fn launch(&mut self, uid: Uid, id: Option<i64>, step: Step, purpose: Purpose, call: Call) {
        let Some(access) = self.access.clone() else { return };
        self.flying.insert(uid);
        self.busy.extend(step.serial.iter().cloned());
        let provider = self.shared.provider.clone();
        self.flights.spawn(async move {
            let calling = async {
                match &call {
                    Call::Execute => provider.execute(&access, &step).await,
                    Call::Await(action) => provider.wait(&access, &step, action).await,
                    Call::Verify => provider.verify(&access, &step).await,
                }
            };
            let outcome = AssertUnwindSafe(calling).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Outcome::Unknown("the call panicked".to_owned()));
            Flight { uid, step, id, purpose, outcome }
        });
    }

    pub(super) async fn finish(
        &mut self,
        flight: &Flight<P::Observation>,
        state: StepState,
        action: Option<&str>,
        error: Option<&str>,
    ) -> StoreResult<Standing> {
        let Some(id) = flight.id else { return Ok(Standing::Held) };
        let held = self.shared.store.finish_step(&self.lease, id, state, action, error).await?;
        Ok(if held { Standing::Held } else { Standing::Lost })
    }
}

/// Which of the provider's calls.
pub(super) enum Call {
    Execute,
    Await(String),
    Verify,
}

enum Event<O> {
    Cancelled,
    Lost,
    Landed(Box<Flight<O>>),
    Look,
}

enum Prepared {
    /// Plan.
    Go,
    /// An earlier call is being looked up first.
    Busy,
    /// There is nothing to plan with; this is what to say.
    Answer(Box<Planned>),
}

fn unreadable() -> Note {
    Note::new(Reason::ProviderUnavailable, "the project could not be read; it is tried again")
}

/// A plan for when nothing can be done: what is active stays so, what is not says why.
fn unable(note: Note, retry: Option<Duration>) -> Planned {
    Planned { note: Some(note), ..Planned::new(Plan::Wait { retry }) }
}

/// Whether a deleted resource may leave although its project cannot be reached: nothing was ever made for it.
fn leaves_without_access(bundle: &Bundle) -> bool {
    let resource = &bundle.resource;
    let untouched = resource.facts.is_empty() && bundle.open_steps.is_empty() && !resource.was_active();
    resource.is_deleting() && (untouched || resource.key.kind == Kind::Workspace)
}

/// Renews a lease at a third of its time, whatever the worker is doing; says when it is lost.
async fn keep<P: CloudProvider>(shared: Arc<Shared<P>>, lease: Lease, lost: CancellationToken) {
    let ttl = shared.settings.lease_ttl;
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(ttl / 3).await;
        let asked = Instant::now();
        match shared.store.renew(&lease, ttl).await {
            Ok(true) => renewed = asked,
            Ok(false) => break,
            // Without an answer the lease is as good as lost when its time is over.
            Err(_) if renewed.elapsed() >= ttl => break,
            Err(error) => warn!(%error, seca.project = %lease.project, "the lease could not be renewed; trying again"),
        }
    }
    lost.cancel();
}

/// What becomes of a resource that no project backs: it waits, or it leaves.
fn plan_local(bundle: &Bundle) -> Planned {
    let resource = &bundle.resource;
    if resource.is_deleting() {
        if bundle.child_count == 0 {
            return Planned::new(Plan::Nothing);
        }
        let message = format!("{} resource(s) inside it are still being deleted", bundle.child_count);
        return Planned::new(Plan::Wait { retry: None }).note(Reason::WaitingForChildren, message);
    }
    let wait = Planned::new(Plan::Wait { retry: None });
    if resource.key.kind == Kind::Workspace {
        return wait.note(Reason::WaitingForCredential, "no Hetzner Cloud token is bound to the workspace yet");
    }
    wait.note(
        Reason::WaitingForWorkspace,
        format!("workspace {} has no Hetzner Cloud token yet", resource.key.workspace),
    )
}
