//! The port, on top of a database.

mod abandon;
mod activity;
mod admission;
mod assignments;
mod authorization;
mod bindings;
mod create;
mod engine;
mod epochs;
mod orphans;
mod oversight;
mod pages;
mod ports;
mod progress;
mod put;
mod queue;
mod read;
mod relations;
mod roles;
mod tenants;
mod together;
mod turn;
mod write;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use control_plane::{
    CatalogEntry, ProjectId, Representation, Resource, Uid,
    ports::{
        AccessStore, Act, ActOutcome, Admission, AdmissionQuery, Attendance, BindOutcome, Binding, BindingStore,
        Bundle, Commit, CommitOutcome, Credential, Delete, DeleteOutcome, Edition, Epoch, Intent, Lease, ListQuery,
        Look, Outlines, OversightStore, OwnedObject, Page, Portion, ProjectEpoch, Put, PutOutcome, QueueStore,
        ReadStore, RequestBudget, Settled, Step, StepState, Store, StoreError, StoreResult, Tie, Turn, UnbindOutcome,
        WorkspaceBinding, WriteStore,
    },
};
use progress::{Progress, What, Written};
use seca_api::{ResourceKey, Timestamp};
use together::Together;
use tokio::sync::Semaphore;

use crate::{
    database::{Database, Lane},
    meter::{Meter, Pool},
    migrate,
};

/// The store over PostgreSQL or SQLite. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct SqlStore {
    db: Database,
    lookups: Together<read::Lookup>,
    pages: Together<pages::IndexedPage>,
    versions: Together<authorization::VersionOf>,
    admissions: Together<AdmissionQuery>,
    puts: put::Gathered,
    readings: Together<relations::Reading>,
    credentials: Together<bindings::CredentialsOf>,
    due: Together<queue::Due>,
    permissions: Together<queue::MaySend>,
    progress: Together<Progress>,
    turns: Arc<Semaphore>,
}

impl SqlStore {
    pub(crate) fn new(db: Database) -> Self {
        Self {
            lookups: Together::new(&db),
            pages: Together::new(&db),
            versions: Together::new(&db),
            admissions: Together::new(&db),
            puts: put::Gathered::new(&db),
            readings: Together::new(&db),
            credentials: Together::new(&db),
            due: Together::new(&db),
            permissions: Together::new(&db),
            progress: Together::new(&db),
            turns: Arc::new(Semaphore::new(turn::TURNS)),
            db,
        }
    }

    /// Writes what the holder of a lease did or found, together with what other holders did.
    async fn write(&self, lease: &Lease, what: What) -> StoreResult<Written> {
        let progress = Arc::new(Progress { lease: lease.clone(), what });
        Ok(self.progress.ask(&self.db, &progress).await?)
    }

    /// Waits until no connection is in use, and closes them all.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// How many statements were sent so far: round trips, without BEGIN and COMMIT.
    pub fn statements(&self) -> u64 {
        self.db.statements()
    }

    /// Tells of its work whoever counts it. The first meter stays; clones share it.
    pub fn metered_by(&self, meter: Arc<dyn Meter>) {
        self.db.told.set(meter);
    }

    /// The database's time.
    ///
    /// # Errors
    /// As for all that is asked of it.
    pub async fn now(&self) -> StoreResult<Timestamp> {
        Ok(read::now(&self.db).await?)
    }

    /// Its connections.
    pub fn pools(&self) -> Vec<Pool> {
        self.db.pools()
    }

    /// How the database finds a page, and what that costs it.
    ///
    /// # Errors
    /// As for [`ReadStore::list`].
    #[cfg(feature = "testing")]
    pub async fn explain_list(&self, query: &ListQuery) -> StoreResult<crate::testing::Explained> {
        Ok(read::explain_list(&self.db, query).await?)
    }

    /// How the database finds a resource, and what that costs it.
    ///
    /// # Errors
    /// As for [`ReadStore::look`].
    #[cfg(feature = "testing")]
    pub async fn explain_look(&self, key: &ResourceKey) -> StoreResult<crate::testing::Explained> {
        Ok(read::explain_look(&self.db, key).await?)
    }

    /// How the database finds what a PUT is judged by, and what that costs it.
    ///
    /// # Errors
    /// As for [`ReadStore::admission`].
    #[cfg(feature = "testing")]
    pub async fn explain_admission(&self, query: &AdmissionQuery) -> StoreResult<crate::testing::Explained> {
        Ok(admission::explain(&self.db, query).await?)
    }

    /// How long until the next resource of a project is due; none when nothing is queued.
    ///
    /// # Errors
    /// As for [`QueueStore::due`].
    #[cfg(feature = "testing")]
    pub async fn next_due(&self, project: &ProjectId) -> StoreResult<Option<Duration>> {
        Ok(queue::next_due(&self.db, project).await?)
    }

    /// How PostgreSQL writes creations that come together, and what that costs it. Nothing of it stays.
    ///
    /// # Errors
    /// As for [`WriteStore::put`].
    #[cfg(feature = "testing")]
    pub async fn explain_creations(&self, puts: Vec<Put>) -> StoreResult<crate::testing::Explained> {
        Ok(create::explain(&self.db, puts).await?)
    }
}

impl Store for SqlStore {
    fn access(&self) -> &dyn AccessStore {
        self
    }

    fn oversight(&self) -> &dyn OversightStore {
        self
    }
}

#[async_trait]
impl ReadStore for SqlStore {
    async fn get(&self, key: &ResourceKey) -> StoreResult<Option<Resource>> {
        Ok(read::get(&self.db, key).await?)
    }

    async fn look(&self, key: &ResourceKey, known: Option<Edition>) -> StoreResult<Look> {
        let lookup = Arc::new(read::Lookup { key: key.clone(), known });
        Ok(self.lookups.ask(&self.db, &lookup).await?)
    }

    async fn admission(&self, query: &AdmissionQuery) -> StoreResult<Admission> {
        Ok(self.admissions.ask(&self.db, &Arc::new(query.clone())).await?)
    }

    async fn get_many(&self, keys: &[ResourceKey]) -> StoreResult<Vec<Resource>> {
        Ok(read::get_many(&self.db, keys).await?)
    }

    async fn list(&self, query: &ListQuery) -> StoreResult<Page> {
        Ok(read::list(&self.db, query).await?)
    }

    async fn outline(&self, query: &ListQuery) -> StoreResult<Outlines> {
        Ok(match pages::IndexedPage::of(query, self.db.dialect()) {
            Some(page) => self.pages.ask(&self.db, &Arc::new(page)).await?,
            None => read::outline(&self.db, query).await?,
        })
    }

    async fn shown(&self, collection: &ResourceKey, uids: &[Uid]) -> StoreResult<Vec<Representation>> {
        Ok(read::shown(&self.db, collection, uids).await?)
    }

    async fn ping(&self) -> StoreResult<()> {
        let (found, needed) = (read::schema_version(&self.db).await?, migrate::latest(self.db.dialect()));
        // A later release may have migrated already; it keeps the schema usable for this one.
        if found < needed {
            return Err(StoreError::Unavailable(format!(
                "its schema is of version {found} and this release needs {needed}; run `secapi-proxy migrate`"
            )));
        }
        Ok(self.db.prove_writer().await?)
    }

    async fn installation(&self) -> StoreResult<String> {
        Ok(read::installation(&self.db).await?)
    }
}

#[async_trait]
impl WriteStore for SqlStore {
    async fn put(&self, put: Put) -> StoreResult<PutOutcome> {
        Ok(put::put(&self.db, &self.puts, put).await?)
    }

    async fn turn(&self, keys: &[ResourceKey]) -> StoreResult<Box<dyn Turn>> {
        Ok(Box::new(turn::SqlTurn::begin(&self.db, &self.turns, keys).await?))
    }

    async fn delete(&self, delete: Delete) -> StoreResult<DeleteOutcome> {
        Ok(self.db.transact(Lane::Write, &delete).await?)
    }

    async fn act(&self, act: Act) -> StoreResult<ActOutcome> {
        Ok(self.db.transact(Lane::Write, &act).await?)
    }
}

#[async_trait]
impl BindingStore for SqlStore {
    async fn bind(&self, credential: Credential) -> StoreResult<BindOutcome> {
        Ok(self.db.transact(Lane::Write, &bindings::Bind(&credential)).await?)
    }

    async fn credential(&self, workspace: &ResourceKey) -> StoreResult<Option<Credential>> {
        Ok(bindings::credential(&self.db, workspace).await?)
    }

    async fn unbind(&self, workspace: &ResourceKey, force: bool) -> StoreResult<UnbindOutcome> {
        Ok(self.db.transact(Lane::Write, &bindings::Unbind { workspace, force }).await?)
    }

    async fn project_credentials(&self, project: &ProjectId) -> StoreResult<Vec<Credential>> {
        Ok(self.credentials.ask(&self.db, &Arc::new(bindings::CredentialsOf(project.clone()))).await?)
    }

    async fn credentials(&self) -> StoreResult<Vec<Credential>> {
        Ok(bindings::all(&self.db).await?)
    }

    async fn reseal(&self, credential: &Credential, sealed: &str) -> StoreResult<bool> {
        Ok(bindings::reseal(&self.db, credential, sealed).await?)
    }

    async fn workspaces(&self, binding: Option<Binding>) -> StoreResult<Vec<WorkspaceBinding>> {
        Ok(bindings::workspaces(&self.db, binding).await?)
    }

    async fn project_of(&self, uids: &[Uid]) -> StoreResult<Vec<ProjectId>> {
        Ok(epochs::project_of(&self.db, uids).await?)
    }
}

#[async_trait]
impl QueueStore for SqlStore {
    async fn lease(
        &self,
        owner: &str,
        ttl: Duration,
        engine: i64,
        limit: usize,
        portion: Portion,
    ) -> StoreResult<Vec<Lease>> {
        Ok(queue::take(&self.db, owner, ttl, engine, limit, portion).await?)
    }

    async fn renew(&self, lease: &Lease, ttl: Duration, budget: Option<RequestBudget>) -> StoreResult<bool> {
        Ok(queue::renew(&self.db, lease, ttl, budget).await?)
    }

    async fn release(&self, lease: &Lease) -> StoreResult<()> {
        Ok(queue::release(&self.db, lease).await?)
    }

    async fn attend(&self, owner: &str, ttl: Duration, engine: i64) -> StoreResult<Attendance> {
        Ok(self.db.transact(Lane::Engine, &queue::Attend { owner, ttl, engine }).await?)
    }

    async fn leave(&self, owner: &str) -> StoreResult<()> {
        Ok(queue::leave(&self.db, owner).await?)
    }

    async fn may_send(&self, lease: &Lease, step: Option<i64>) -> StoreResult<Option<Duration>> {
        let asked = queue::MaySend { lease: lease.clone(), step };
        Ok(self.permissions.ask(&self.db, &Arc::new(asked)).await?)
    }

    async fn epoch(&self, lease: &Lease) -> StoreResult<Option<ProjectEpoch>> {
        Ok(epochs::epoch(&self.db, lease).await?)
    }

    async fn want_epoch(&self, lease: &Lease, wanted: &Epoch) -> StoreResult<bool> {
        Ok(epochs::want(&self.db, lease, wanted).await?)
    }

    async fn confirm_epoch(&self, lease: &Lease) -> StoreResult<bool> {
        Ok(epochs::confirm(&self.db, lease).await?)
    }

    async fn pause_project(&self, lease: &Lease, why: &str) -> StoreResult<bool> {
        Ok(epochs::pause(&self.db, lease, why).await?)
    }

    async fn due(&self, lease: &Lease, limit: usize) -> StoreResult<Vec<Uid>> {
        let due = queue::Due { project: lease.project.clone(), most: limit };
        Ok(self.due.ask(&self.db, &Arc::new(due)).await?)
    }

    async fn project_uids(&self, project: &ProjectId) -> StoreResult<Vec<Uid>> {
        Ok(queue::project_uids(&self.db, project).await?)
    }

    async fn resting(&self, project: &ProjectId, within: Duration) -> StoreResult<Vec<Uid>> {
        Ok(queue::resting(&self.db, project, within).await?)
    }

    async fn existing(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>> {
        Ok(queue::existing(&self.db, uids).await?)
    }

    async fn removed(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>> {
        Ok(queue::removed(&self.db, uids).await?)
    }

    async fn bundles(&self, uids: &[Uid]) -> StoreResult<Vec<Bundle>> {
        Ok(self.readings.ask(&self.db, &Arc::new(relations::Reading(uids.to_vec()))).await?)
    }

    async fn intend(
        &self,
        lease: &Lease,
        resource: Uid,
        generation: i64,
        step: &Step,
        found: Option<Commit>,
    ) -> StoreResult<Option<Intent>> {
        let (step, found) = (Box::new(step.clone()), found.map(Box::new));
        Ok(match self.write(lease, What::Intent { resource, generation, step, found }).await? {
            Written::Intent(intent) => Some(*intent),
            _ => None,
        })
    }

    async fn finish_step(
        &self,
        lease: &Lease,
        id: i64,
        state: StepState,
        action: Option<&str>,
        error: Option<&str>,
    ) -> StoreResult<bool> {
        let (action, error) = (action.map(str::to_owned), error.map(str::to_owned));
        let written = self.write(lease, What::End { step: id, state, action, error }).await?;
        Ok(!matches!(written, Written::Fenced))
    }

    async fn tie(&self, lease: &Lease, resource: Uid, ties: &[Tie]) -> StoreResult<bool> {
        let written = self.write(lease, What::Ties { resource, ties: ties.to_vec() }).await?;
        Ok(!matches!(written, Written::Fenced))
    }

    async fn settle(&self, lease: &Lease, looks: &[Settled]) -> StoreResult<bool> {
        let looked = What::Findings { commits: Vec::new(), looks: looks.to_vec() };
        Ok(!matches!(self.write(lease, looked).await?, Written::Fenced))
    }

    async fn commit_all(&self, lease: &Lease, commits: &[Commit]) -> StoreResult<Option<Vec<CommitOutcome>>> {
        let found = What::Findings { commits: commits.to_vec(), looks: Vec::new() };
        Ok(match self.write(lease, found).await? {
            Written::Findings(outcomes) => Some(outcomes),
            _ => None,
        })
    }

    async fn remove(&self, lease: &Lease, uid: Uid) -> StoreResult<CommitOutcome> {
        Ok(engine::remove(&self.db, lease, uid).await?)
    }

    async fn requeue(&self, lease: &Lease, uid: Uid, after: Duration) -> StoreResult<()> {
        Ok(queue::requeue(&self.db, lease, uid, after).await?)
    }

    async fn save_orphans(&self, lease: &Lease, orphans: &[OwnedObject]) -> StoreResult<bool> {
        Ok(self.db.transact(Lane::Engine, &engine::SaveOrphans { lease, orphans }).await?)
    }

    async fn orphans(&self) -> StoreResult<Vec<(ProjectId, OwnedObject)>> {
        Ok(engine::orphans(&self.db).await?)
    }

    async fn prune(&self, older: Duration) -> StoreResult<()> {
        Ok(self.db.transact(Lane::Engine, &engine::Prune(older)).await?)
    }

    async fn catalog(&self) -> StoreResult<(i64, Vec<CatalogEntry>)> {
        Ok(engine::catalog(&self.db).await?)
    }

    async fn catalog_version(&self) -> StoreResult<i64> {
        Ok(engine::catalog_version(&self.db).await?)
    }

    async fn save_catalog(&self, expected: i64, entries: &[CatalogEntry]) -> StoreResult<Option<i64>> {
        Ok(engine::save_catalog(&self.db, expected, entries).await?)
    }
}
