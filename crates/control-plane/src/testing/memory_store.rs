//! The store in memory: the same rules as the databases, under tokio's time, which tests can pause.
//!
//! It passes the suite that the databases pass; without that, a simulation on top of it would prove nothing.
//! One lock stands for the transaction: every method takes it once and awaits nothing while it has it.

mod ports;
mod state;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use seca_api::ResourceKey;
use state::State;

use super::environment::SeededRng;
use crate::{
    catalog::CatalogEntry,
    ports::{
        AccessStore, Act, ActOutcome, Admission, AdmissionQuery, Attendance, BindOutcome, Binding, BindingStore,
        Bundle, Commit, CommitOutcome, Credential, Delete, DeleteOutcome, Edition, Epoch, Intent, Lease, ListQuery,
        Look, Outlines, OversightStore, OwnedObject, Page, Portion, ProjectEpoch, Put, PutOutcome, QueueStore,
        ReadStore, RequestBudget, Settled, Step, StepState, Store, StoreError, StoreResult, Tie, Turn, UnbindOutcome,
        WorkspaceBinding, WriteStore,
    },
    resource::{ProjectId, Representation, Resource, Uid},
    service::Tenant,
};

/// A store that lives as long as its process.
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    /// Held by who changes rows that a turn may be about.
    turns: Arc<tokio::sync::Mutex<()>>,
    reads: Arc<Mutex<Reads>>,
    trouble: Option<SeededRng>,
    /// How many calls are still answered; none: all of them.
    calls_left: Option<Arc<AtomicUsize>>,
    /// How long it takes to read what a plan looks at.
    bundle_time: Duration,
}

/// What handlers read: what a request costs, and what it tells by the time that it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// How often each method was called.
    pub calls: BTreeMap<&'static str, usize>,
    /// The most resources that one answer to a list had.
    pub most_rows: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new("memory")
    }
}

impl MemoryStore {
    /// An empty store of an installation.
    pub fn new(installation: &str) -> Self {
        let state = Arc::new(Mutex::new(State::new(installation)));
        Self {
            state,
            turns: Arc::default(),
            reads: Arc::default(),
            trouble: None,
            calls_left: None,
            bundle_time: Duration::ZERO,
        }
    }

    /// The same store with these tenants: `acme`, or `acme:conformance`.
    #[must_use]
    pub fn with_tenants(self, tenants: &[&str]) -> Self {
        if let Ok(mut state) = self.state() {
            for tenant in tenants {
                let name = tenant.trim_end_matches(":conformance");
                state.add_tenant(name, &Tenant { conformance: name != *tenant, ..Tenant::default() });
            }
        }
        self
    }

    /// The same store through a connection that breaks now and then, before anything is done: one call in forty.
    #[must_use]
    pub fn shaky(&self, seed: u64) -> Self {
        Self { trouble: Some(SeededRng::new(seed)), ..self.shared() }
    }

    /// The same store through a connection that breaks after this many calls, and stays broken until it is mended: the
    /// number is how many are left.
    #[must_use]
    pub fn breaking(&self, calls: usize) -> (Self, Arc<AtomicUsize>) {
        let left = Arc::new(AtomicUsize::new(calls));
        (Self { calls_left: Some(left.clone()), ..self.shared() }, left)
    }

    /// The same store, of which it takes so long to read what a plan looks at.
    #[must_use]
    pub fn slow(&self, bundle_time: Duration) -> Self {
        Self { bundle_time, ..self.shared() }
    }

    fn shared(&self) -> Self {
        let (state, turns, reads) = (self.state.clone(), self.turns.clone(), self.reads.clone());
        Self { state, turns, reads, trouble: None, calls_left: None, bundle_time: Duration::ZERO }
    }

    /// What was read since the last time that this was asked for.
    pub fn take_reads(&self) -> Reads {
        std::mem::take(&mut *self.reads())
    }

    /// How long until the next resource of a project is due; none when nothing is queued.
    ///
    /// # Errors
    /// An injected outage.
    pub fn next_due(&self, project: &ProjectId) -> StoreResult<Option<Duration>> {
        Ok(self.state()?.next_due(project))
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, method: &'static str) -> StoreResult<MutexGuard<'_, State>> {
        *self.reads().calls.entry(method).or_default() += 1;
        self.state()
    }

    fn state(&self) -> StoreResult<MutexGuard<'_, State>> {
        if self.trouble.as_ref().is_some_and(|dice| dice.one_in(40)) {
            return Err(StoreError::Unavailable("an injected outage".to_owned()));
        }
        let answered = |left: &Arc<AtomicUsize>| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        };
        if !self.calls_left.as_ref().is_none_or(answered) {
            return Err(StoreError::Unavailable("the connection is broken".to_owned()));
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A turn at all rows.
struct MemoryTurn {
    state: Arc<Mutex<State>>,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

#[async_trait]
impl Turn for MemoryTurn {
    async fn admission(&mut self, query: &AdmissionQuery) -> StoreResult<Admission> {
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner).admission(query))
    }

    async fn put(self: Box<Self>, put: Put) -> StoreResult<PutOutcome> {
        let written = self.state.lock().unwrap_or_else(PoisonError::into_inner).put(put);
        Ok(if matches!(written, PutOutcome::Missing(_)) { PutOutcome::Stale } else { written })
    }
}

impl Store for MemoryStore {
    fn access(&self) -> &dyn AccessStore {
        self
    }

    fn oversight(&self) -> &dyn OversightStore {
        self
    }
}

#[async_trait]
impl ReadStore for MemoryStore {
    async fn get(&self, key: &ResourceKey) -> StoreResult<Option<Resource>> {
        Ok(self.read("get")?.find(key).cloned())
    }

    async fn look(&self, key: &ResourceKey, known: Option<Edition>) -> StoreResult<Look> {
        Ok(self.read("look")?.look(key, known))
    }

    async fn admission(&self, query: &AdmissionQuery) -> StoreResult<Admission> {
        Ok(self.read("admission")?.admission(query))
    }

    async fn get_many(&self, keys: &[ResourceKey]) -> StoreResult<Vec<Resource>> {
        let state = self.state()?;
        Ok(keys.iter().filter_map(|key| state.find(key).cloned()).collect())
    }

    async fn list(&self, query: &ListQuery) -> StoreResult<Page> {
        let page = self.read("list")?.list(query);
        let mut reads = self.reads();
        reads.most_rows = reads.most_rows.max(page.items.len());
        Ok(page)
    }

    async fn outline(&self, query: &ListQuery) -> StoreResult<Outlines> {
        Ok(self.read("outline")?.outline(query))
    }

    async fn shown(&self, _collection: &ResourceKey, uids: &[Uid]) -> StoreResult<Vec<Representation>> {
        let rows: Vec<Representation> = {
            let state = self.read("shown")?;
            uids.iter().filter_map(|uid| state.resource(*uid)).map(|row| row.clone().into()).collect()
        };
        let mut reads = self.reads();
        reads.most_rows = reads.most_rows.max(rows.len());
        Ok(rows)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn installation(&self) -> StoreResult<String> {
        Ok(self.state()?.installation.clone())
    }
}

#[async_trait]
impl WriteStore for MemoryStore {
    async fn put(&self, put: Put) -> StoreResult<PutOutcome> {
        let _turn = self.turns.lock().await;
        Ok(self.state()?.put(put))
    }

    async fn turn(&self, _: &[ResourceKey]) -> StoreResult<Box<dyn Turn>> {
        Ok(Box::new(MemoryTurn { state: self.state.clone(), _turn: self.turns.clone().lock_owned().await }))
    }

    async fn delete(&self, delete: Delete) -> StoreResult<DeleteOutcome> {
        let _turn = self.turns.lock().await;
        Ok(self.state()?.delete(&delete))
    }

    async fn act(&self, act: Act) -> StoreResult<ActOutcome> {
        let _turn = self.turns.lock().await;
        Ok(self.state()?.act(&act))
    }
}

#[async_trait]
impl BindingStore for MemoryStore {
    async fn bind(&self, credential: Credential) -> StoreResult<BindOutcome> {
        Ok(self.state()?.bind(credential))
    }

    async fn credential(&self, workspace: &ResourceKey) -> StoreResult<Option<Credential>> {
        let state = self.state()?;
        Ok(state.find(workspace).and_then(|row| state.credential(row.uid)).cloned())
    }

    async fn unbind(&self, workspace: &ResourceKey, force: bool) -> StoreResult<UnbindOutcome> {
        Ok(self.state()?.unbind(workspace, force))
    }

    async fn project_credentials(&self, project: &ProjectId) -> StoreResult<Vec<Credential>> {
        Ok(self.state()?.credentials().into_iter().filter(|c| c.project == *project).collect())
    }

    async fn credentials(&self) -> StoreResult<Vec<Credential>> {
        Ok(self.state()?.credentials())
    }

    async fn reseal(&self, credential: &Credential, sealed: &str) -> StoreResult<bool> {
        Ok(self.state()?.reseal(credential, sealed))
    }

    async fn workspaces(&self, binding: Option<Binding>) -> StoreResult<Vec<WorkspaceBinding>> {
        Ok(self.state()?.workspaces(binding))
    }

    async fn project_of(&self, uids: &[Uid]) -> StoreResult<Vec<ProjectId>> {
        Ok(self.state()?.project_of(uids))
    }
}

#[async_trait]
impl QueueStore for MemoryStore {
    async fn lease(
        &self,
        owner: &str,
        ttl: Duration,
        engine: i64,
        limit: usize,
        portion: Portion,
    ) -> StoreResult<Vec<Lease>> {
        Ok(self.state()?.lease(owner, ttl, engine, limit, portion))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration, budget: Option<RequestBudget>) -> StoreResult<bool> {
        Ok(self.state()?.renew(lease, ttl, budget))
    }

    async fn release(&self, lease: &Lease) -> StoreResult<()> {
        self.state()?.release(lease);
        Ok(())
    }

    async fn attend(&self, owner: &str, ttl: Duration, engine: i64) -> StoreResult<Attendance> {
        Ok(self.state()?.attend(owner, ttl, engine))
    }

    async fn leave(&self, owner: &str) -> StoreResult<()> {
        self.state()?.leave(owner);
        Ok(())
    }

    async fn may_send(&self, lease: &Lease, step: Option<i64>) -> StoreResult<Option<Duration>> {
        Ok(self.state()?.may_send(lease, step))
    }

    async fn epoch(&self, lease: &Lease) -> StoreResult<Option<ProjectEpoch>> {
        Ok(self.state()?.epoch(lease))
    }

    async fn want_epoch(&self, lease: &Lease, wanted: &Epoch) -> StoreResult<bool> {
        Ok(self.state()?.want_epoch(lease, wanted))
    }

    async fn confirm_epoch(&self, lease: &Lease) -> StoreResult<bool> {
        Ok(self.state()?.confirm_epoch(lease))
    }

    async fn pause_project(&self, lease: &Lease, why: &str) -> StoreResult<bool> {
        Ok(self.state()?.pause_project(lease, why))
    }

    async fn due(&self, lease: &Lease, limit: usize) -> StoreResult<Vec<Uid>> {
        Ok(self.state()?.due(&lease.project, limit))
    }

    async fn project_uids(&self, project: &ProjectId) -> StoreResult<Vec<Uid>> {
        Ok(self.state()?.project_uids(project))
    }

    async fn resting(&self, project: &ProjectId, within: Duration) -> StoreResult<Vec<Uid>> {
        Ok(self.state()?.resting(project, within))
    }

    async fn existing(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>> {
        let state = self.state()?;
        Ok(uids.iter().copied().filter(|uid| state.exists(*uid)).collect())
    }

    async fn removed(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>> {
        let state = self.state()?;
        Ok(uids.iter().copied().filter(|uid| state.was_removed(*uid)).collect())
    }

    async fn bundles(&self, uids: &[Uid]) -> StoreResult<Vec<Bundle>> {
        if !self.bundle_time.is_zero() {
            tokio::time::sleep(self.bundle_time).await;
        }
        let state = self.state()?;
        Ok(uids.iter().filter_map(|uid| state.bundle(*uid)).collect())
    }

    async fn intend(
        &self,
        lease: &Lease,
        resource: Uid,
        generation: i64,
        step: &Step,
        found: Option<Commit>,
    ) -> StoreResult<Option<Intent>> {
        Ok(self.state()?.intend(lease, resource, generation, step, found))
    }

    async fn finish_step(
        &self,
        lease: &Lease,
        id: i64,
        state: StepState,
        action: Option<&str>,
        _error: Option<&str>,
    ) -> StoreResult<bool> {
        Ok(self.state()?.finish_step(lease, id, state, action))
    }

    async fn tie(&self, lease: &Lease, resource: Uid, ties: &[Tie]) -> StoreResult<bool> {
        Ok(self.state()?.tie(lease, resource, ties))
    }

    async fn commit_all(&self, lease: &Lease, commits: &[Commit]) -> StoreResult<Option<Vec<CommitOutcome>>> {
        let _turn = self.turns.lock().await;
        Ok(self.state()?.commit_all(lease, commits))
    }

    async fn settle(&self, lease: &Lease, looks: &[Settled]) -> StoreResult<bool> {
        Ok(self.state()?.settle(lease, looks))
    }

    async fn remove(&self, lease: &Lease, uid: Uid) -> StoreResult<CommitOutcome> {
        Ok(self.state()?.remove(lease, uid))
    }

    async fn requeue(&self, lease: &Lease, uid: Uid, after: Duration) -> StoreResult<()> {
        self.state()?.requeue(lease, uid, after);
        Ok(())
    }

    async fn save_orphans(&self, lease: &Lease, orphans: &[OwnedObject]) -> StoreResult<bool> {
        Ok(self.state()?.save_orphans(lease, orphans))
    }

    async fn orphans(&self) -> StoreResult<Vec<(ProjectId, OwnedObject)>> {
        Ok(self.state()?.orphans())
    }

    async fn prune(&self, older: Duration) -> StoreResult<()> {
        self.state()?.prune(older);
        Ok(())
    }

    async fn catalog(&self) -> StoreResult<(i64, Vec<CatalogEntry>)> {
        Ok(self.state()?.catalog.clone())
    }

    async fn catalog_version(&self) -> StoreResult<i64> {
        Ok(self.state()?.catalog.0)
    }

    async fn save_catalog(&self, expected: i64, entries: &[CatalogEntry]) -> StoreResult<Option<i64>> {
        let catalog = &mut self.state()?.catalog;
        if catalog.0 != expected {
            return Ok(None);
        }
        *catalog = (expected + 1, entries.to_vec());
        Ok(Some(catalog.0))
    }
}
