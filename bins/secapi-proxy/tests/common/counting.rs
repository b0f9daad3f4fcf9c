//! A store that counts what it is asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use control_plane::{
    CatalogEntry, ProjectId, Representation, Resource, Uid,
    ports::{
        AccessStore, Act, ActOutcome, Admission, AdmissionQuery, Attendance, BindOutcome, Binding, BindingStore,
        Bundle, Commit, CommitOutcome, Credential, Delete, DeleteOutcome, Edition, Epoch, Intent, Lease, ListQuery,
        Look, Outlines, OversightStore, OwnedObject, Page, Portion, ProjectEpoch, Put, PutOutcome, QueueStore,
        ReadStore, RequestBudget, Settled, Step, StepState, Store, StoreResult, Tie, Turn, UnbindOutcome,
        WorkspaceBinding, WriteStore,
    },
};
use seca_client::seca_api::ResourceKey;

/// Hands everything on to another store.
pub struct Counting {
    inner: Arc<dyn Store>,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl Counting {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, reads: AtomicUsize::new(0), writes: AtomicUsize::new(0) }
    }

    /// Reads and writes since the last time it was asked for them.
    pub fn take(&self) -> (usize, usize) {
        (self.reads.swap(0, Ordering::SeqCst), self.writes.swap(0, Ordering::SeqCst))
    }
}

impl Store for Counting {
    fn access(&self) -> &dyn AccessStore {
        self.inner.access()
    }

    fn oversight(&self) -> &dyn OversightStore {
        self.inner.oversight()
    }
}

/// Every method of the port, and what it counts as.
macro_rules! hand_on {
    ($($port:ident { $($counter:ident $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)* })*) => {
        $(
            #[async_trait::async_trait]
            impl $port for Counting {
                $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$result> {
                    self.$counter.fetch_add(1, Ordering::SeqCst);
                    self.inner.$name($($argument),*).await
                })*
            }
        )*
    };
}

hand_on! {
    ReadStore {
        reads get(key: &ResourceKey) -> Option<Resource>;
        reads look(key: &ResourceKey, known: Option<Edition>) -> Look;
        reads admission(query: &AdmissionQuery) -> Admission;
        reads get_many(keys: &[ResourceKey]) -> Vec<Resource>;
        reads list(query: &ListQuery) -> Page;
        reads outline(query: &ListQuery) -> Outlines;
        reads shown(collection: &ResourceKey, uids: &[Uid]) -> Vec<Representation>;
        reads ping() -> ();
        reads installation() -> String;
    }
    WriteStore {
        writes put(put: Put) -> PutOutcome;
        writes turn(keys: &[ResourceKey]) -> Box<dyn Turn>;
        writes delete(delete: Delete) -> DeleteOutcome;
        writes act(act: Act) -> ActOutcome;
    }
    BindingStore {
        writes bind(credential: Credential) -> BindOutcome;
        reads credential(workspace: &ResourceKey) -> Option<Credential>;
        writes unbind(workspace: &ResourceKey, force: bool) -> UnbindOutcome;
        reads project_credentials(project: &ProjectId) -> Vec<Credential>;
        reads credentials() -> Vec<Credential>;
        writes reseal(credential: &Credential, sealed: &str) -> bool;
        reads workspaces(binding: Option<Binding>) -> Vec<WorkspaceBinding>;
        reads project_of(uids: &[Uid]) -> Vec<ProjectId>;
    }
    QueueStore {
        writes lease(owner: &str, ttl: Duration, engine: i64, limit: usize, portion: Portion) -> Vec<Lease>;
        writes renew(lease: &Lease, ttl: Duration, budget: Option<RequestBudget>) -> bool;
        writes release(lease: &Lease) -> ();
        writes attend(owner: &str, ttl: Duration, engine: i64) -> Attendance;
        writes leave(owner: &str) -> ();
        reads may_send(lease: &Lease, step: Option<i64>) -> Option<Duration>;
        reads epoch(lease: &Lease) -> Option<ProjectEpoch>;
        writes want_epoch(lease: &Lease, wanted: &Epoch) -> bool;
        writes confirm_epoch(lease: &Lease) -> bool;
        writes pause_project(lease: &Lease, why: &str) -> bool;
        reads due(lease: &Lease, limit: usize) -> Vec<Uid>;
        reads project_uids(project: &ProjectId) -> Vec<Uid>;
        reads resting(project: &ProjectId, within: Duration) -> Vec<Uid>;
        reads existing(uids: &[Uid]) -> Vec<Uid>;
        reads removed(uids: &[Uid]) -> Vec<Uid>;
        reads bundles(uids: &[Uid]) -> Vec<Bundle>;
        writes intend(
            lease: &Lease, resource: Uid, generation: i64, step: &Step, found: Option<Commit>
        ) -> Option<Intent>;
        writes finish_step(lease: &Lease, id: i64, state: StepState, action: Option<&str>, error: Option<&str>) -> bool;
        writes tie(lease: &Lease, resource: Uid, ties: &[Tie]) -> bool;
        writes commit_all(lease: &Lease, commits: &[Commit]) -> Option<Vec<CommitOutcome>>;
        writes settle(lease: &Lease, looks: &[Settled]) -> bool;
        writes remove(lease: &Lease, uid: Uid) -> CommitOutcome;
        writes requeue(lease: &Lease, uid: Uid, after: Duration) -> ();
        writes save_orphans(lease: &Lease, orphans: &[OwnedObject]) -> bool;
        reads orphans() -> Vec<(ProjectId, OwnedObject)>;
        writes prune(older: Duration) -> ();
        reads catalog() -> (i64, Vec<CatalogEntry>);
        reads catalog_version() -> i64;
        writes save_catalog(expected: i64, entries: &[CatalogEntry]) -> Option<i64>;
    }
}
