//! Storage: the truth about everything that a client asked for.
//!
//! One trait, three implementations (PostgreSQL, SQLite, memory), one suite that all of them pass. What a write
//! does to a row is decided by the pure functions of [`crate::state`]; a store brings the transaction around
//! them: lock parents and targets for sharing and the row itself for writing, in uid order, judge by what these are
//! then, write. A deletion asks for rows that may have come meanwhile, so that it judges in a statement after its locks.
//!
//! Leases and the queue run on the database's time; methods take durations and the database adds them.

use std::time::Duration;

use async_trait::async_trait;
use seca_api::ResourceKey;

use super::{
    AccessStore, Act, ActOutcome, Admission, AdmissionQuery, BindOutcome, Binding, Bundle, Commit, CommitOutcome,
    Credential, Delete, DeleteOutcome, Edition, Epoch, Lease, ListQuery, Look, Outlines, OversightStore, OwnedObject,
    Page, ProjectEpoch, Put, PutOutcome, RequestBudget, Settled, Step, StepState, Tie, UnbindOutcome, WorkspaceBinding,
};
use crate::{
    catalog::CatalogEntry,
    resource::{ProjectId, Representation, Resource, Uid},
};

/// Why the store could not do as told. Callers cannot repair any of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is not reachable, or stayed busy through all retries.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A row does not make sense: written by other hands or another release.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// A defect in a statement.
    #[error("the database refused a statement: {0}")]
    Refused(String),
}

/// How long a lease may last whose duration is not known.
pub const UNKNOWN_TTL: Duration = Duration::from_secs(10 * 60);

/// By how much the end of a lease may lie behind what its duration allows: clocks are put back by a little now and then.
pub const LEASE_SLACK: Duration = Duration::from_secs(1);

/// Results of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// A turn at some rows ([`Store::turn`]): nobody else changes them until it ends. It ends without a change when it is
/// dropped.
#[async_trait]
pub trait Turn: Send {
    /// What a PUT is judged by, at this moment.
    async fn admission(&mut self, query: &AdmissionQuery) -> StoreResult<Admission>;

    /// Writes it. [`PutOutcome::Stale`] when something else got in its way: the row was made meanwhile, or what it depends on
    /// went.
    async fn put(self: Box<Self>, put: Put) -> StoreResult<PutOutcome>;
}

/// The store. Every method is one transaction.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // -- what else is stored, each of it a port of its own, over the same transactions -----------------------

    /// Who may do what.
    fn access(&self) -> &dyn AccessStore;

    /// What operators look at.
    fn oversight(&self) -> &dyn OversightStore;

    // -- reading, for handlers: no writes, one round trip ---------------------------------------------------

    /// One resource, deleting ones included.
    async fn get(&self, key: &ResourceKey) -> StoreResult<Option<Resource>>;

    /// One resource with all that is shown of it. A store may answer lookups that arrive together by one statement, as
    /// long as that begins after all of them: a client reads what it has written. Who knows the text of an edition is only
    /// told whether it still is that one.
    async fn look(&self, key: &ResourceKey, known: Option<Edition>) -> StoreResult<Look>;

    /// What a PUT is judged by.
    async fn admission(&self, query: &AdmissionQuery) -> StoreResult<Admission>;

    /// Several resources in any order; absent ones are left out.
    async fn get_many(&self, keys: &[ResourceKey]) -> StoreResult<Vec<Resource>>;

    /// A page.
    async fn list(&self, query: &ListQuery) -> StoreResult<Page>;

    /// The same page, without what it shows.
    async fn outline(&self, query: &ListQuery) -> StoreResult<Outlines>;

    /// What is shown of resources of one collection, a key with an empty name, with their identities; those that are gone
    /// are left out.
    async fn shown(&self, collection: &ResourceKey, uids: &[Uid]) -> StoreResult<Vec<Representation>>;

    /// Whether the database answers, is of this release's schema, and takes writes.
    async fn ping(&self) -> StoreResult<()>;

    /// The id of this installation, made by the first migration.
    async fn installation(&self) -> StoreResult<String>;

    // -- writing, for handlers ------------------------------------------------------------------------------

    /// Creates or updates. The row is queued for its project: its parent's, else its home's ([`Put::home`]), else
    /// `local`. A row that stays without a project of the provider moves to its home's with the first PUT that finds it.
    /// A store may write what arrives together in one transaction, as long as one that fails harms no other.
    async fn put(&self, put: Put) -> StoreResult<PutOutcome>;

    /// Locks those of these rows that exist, for a PUT that is judged and written while nobody else changes them: one that
    /// lost against others again and again, or that counts its siblings, which all who do lock their parent for. Few turns
    /// are given at once; the others wait.
    async fn turn(&self, keys: &[ResourceKey]) -> StoreResult<Box<dyn Turn>>;

    /// Accepts a deletion; cascades are set in the same transaction. A second one is accepted and changes
    /// nothing. Everything touched is queued.
    async fn delete(&self, delete: Delete) -> StoreResult<DeleteOutcome>;

    /// Accepts a power action.
    async fn act(&self, act: Act) -> StoreResult<ActOutcome>;

    // -- bindings -------------------------------------------------------------------------------------------

    /// Binds a live workspace to a project: keeps the sealed token, moves the workspace and all its children
    /// (rows and queue) to the project, queues them, and makes the project's row. What has its home in the workspace and
    /// lives in the project that the workspace leaves goes along ([`Put::home`]). What of the tenant lives in the project
    /// and in no workspace is queued: it may have waited for a token.
    async fn bind(&self, credential: Credential) -> StoreResult<BindOutcome>;

    /// The credential of a workspace.
    async fn credential(&self, workspace: &ResourceKey) -> StoreResult<Option<Credential>>;

    /// Removes the credential; the rows stay in their project. `force` also when resources may have provider
    /// objects (any child that ever had a step, and what of the tenant lives in the project and in no workspace, when this
    /// is the tenant's last credential there). Of a workspace that is gone, `force` removes what was retired.
    async fn unbind(&self, workspace: &ResourceKey, force: bool) -> StoreResult<UnbindOutcome>;

    /// The credentials of a project, newest first; behind them those that are retired, newest first.
    async fn project_credentials(&self, project: &ProjectId) -> StoreResult<Vec<Credential>>;

    /// All credentials, for rotation; those that are retired behind the others.
    async fn credentials(&self) -> StoreResult<Vec<Credential>>;

    /// Replaces the sealed form, if it still is the former one.
    async fn reseal(&self, credential: &Credential, sealed: &str) -> StoreResult<bool>;

    /// Workspaces that nobody deleted, with their bindings, by key; only those of one binding if given.
    async fn workspaces(&self, binding: Option<Binding>) -> StoreResult<Vec<WorkspaceBinding>>;

    // -- engine ---------------------------------------------------------------------------------------------

    /// Takes the leases of up to `limit` projects that nobody holds, those with due work first, and writes down that an
    /// engine of this version did ([`crate::engine::ENGINE_VERSION`]). Not those that a newer engine took before.
    ///
    /// A lease is free when it was given back or has run out, and when it ends later than it can: after its own duration
    /// from now, which is kept with it. The clock was ahead then when it was taken. A lease of a release that keeps no
    /// duration may last [`UNKNOWN_TTL`].
    async fn lease(&self, owner: &str, ttl: Duration, engine: i64, limit: usize) -> StoreResult<Vec<Lease>>;

    /// Prolongs a lease, which lasts `ttl` from now on, and writes down what its holder knows of the request budget; false
    /// when it is lost.
    async fn renew(&self, lease: &Lease, ttl: Duration, budget: Option<RequestBudget>) -> StoreResult<bool>;

    /// Gives a lease back.
    async fn release(&self, lease: &Lease) -> StoreResult<()>;

    /// Whether a call may be sent now, and for how long the intent of its step has been recorded (zero without a step), by
    /// the database's time. None when the lease is lost or has run out, and when the step is not
    /// [`StepState::Intended`] any more. A look without a lock.
    async fn may_send(&self, lease: &Lease, step: Option<i64>) -> StoreResult<Option<Duration>>;

    /// The epochs of a leased project; none when the lease is lost.
    async fn epoch(&self, lease: &Lease) -> StoreResult<Option<ProjectEpoch>>;

    /// Writes down the epoch that the marker is about to bear; false when the lease is lost.
    async fn want_epoch(&self, lease: &Lease, wanted: &Epoch) -> StoreResult<bool>;

    /// Writes down that the marker bears the wanted epoch: it is the current one now, raised at this moment. False when
    /// the lease is lost, or when none was wanted.
    async fn confirm_epoch(&self, lease: &Lease) -> StoreResult<bool>;

    /// Pauses a leased project: another database rules it. False when the lease is lost. See
    /// [`OversightStore::resume_project`].
    async fn pause_project(&self, lease: &Lease, why: &str) -> StoreResult<bool>;

    /// The projects of the provider that these identities belong to, or belonged to when a step was recorded for them; by
    /// id. A project is known by our objects in it.
    async fn project_of(&self, uids: &[Uid]) -> StoreResult<Vec<ProjectId>>;

    /// The resources of a leased project that are due, the longest overdue first.
    async fn due(&self, lease: &Lease, limit: usize) -> StoreResult<Vec<Uid>>;

    /// All resources of a project, for resync and sweep.
    async fn project_uids(&self, project: &ProjectId) -> StoreResult<Vec<Uid>>;

    /// Of these identities, those that have a row.
    async fn existing(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>>;

    /// Of these identities, those that this database once had a row for, now gone.
    async fn removed(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>>;

    /// A resource with its relations.
    async fn bundle(&self, uid: Uid) -> StoreResult<Option<Bundle>> {
        Ok(self.bundles(&[uid]).await?.pop())
    }

    /// Several resources with their relations, in any order; those without a row are left out.
    async fn bundles(&self, uids: &[Uid]) -> StoreResult<Vec<Bundle>>;

    /// Records the intent of a step and commits its marks. None when the lease is lost, or when the resource is not in its
    /// project any more.
    async fn record_step(&self, lease: &Lease, resource: Uid, generation: i64, step: &Step)
    -> StoreResult<Option<i64>>;

    /// Writes down what is known of a step. False when the lease is lost. When it certainly failed, which is when its
    /// outcome was not unknown before, its marks are undone ([`crate::ports::Mark::undo`]), and whose facts changed by that
    /// is queued, but for the step's own resource: who finishes the step looks at that anyway.
    async fn finish_step(
        &self,
        lease: &Lease,
        id: i64,
        state: StepState,
        action: Option<&str>,
        error: Option<&str>,
    ) -> StoreResult<bool>;

    /// Makes or ends ties of a resource, all of them at once. Of what is held already the holder stays, and a row that is
    /// gone is passed over: it could never let go. What changed is queued, with everything related. False when the lease
    /// is lost.
    async fn tie(&self, lease: &Lease, resource: Uid, ties: &[Tie]) -> StoreResult<bool>;

    /// Writes down what was found. When the rendered representation, the facts or the holder changed,
    /// everything related (referrers, targets, parent, children) is queued.
    async fn commit(&self, lease: &Lease, commit: Commit) -> StoreResult<CommitOutcome> {
        let written = self.commit_all(lease, &[commit]).await?;
        Ok(written.map_or(CommitOutcome::Fenced, |mut written| written.pop().unwrap_or(CommitOutcome::Gone)))
    }

    /// The same of several resources, each at most once, fenced once; what became of each, in their order. None when the
    /// lease is lost: then nothing is written. What one of them wakes of the others stays due.
    async fn commit_all(&self, lease: &Lease, commits: &[Commit]) -> StoreResult<Option<Vec<CommitOutcome>>>;

    /// Takes what was looked at, and found as it is written, from the queue, or puts it there for later. What was woken
    /// since stays due. False when the lease is lost.
    async fn settle(&self, lease: &Lease, looks: &[Settled]) -> StoreResult<bool>;

    /// Removes the row of a deleted resource: labels, references and queue with it, its holds on others are
    /// ended, everything related is queued. Steps stay for their time; a tombstone of the uid stays with them. A role is
    /// taken from all assignments that name it ([`crate::assigned`]). The credential of a workspace is retired while its
    /// project has resources of the tenant that live in no workspace (images), and goes with the last of them.
    async fn remove(&self, lease: &Lease, uid: Uid) -> StoreResult<CommitOutcome>;

    /// Queues a resource. Earlier wins.
    async fn requeue(&self, lease: &Lease, uid: Uid, after: Duration) -> StoreResult<()>;

    /// Replaces the sweep's report of a project: objects of this installation that no row claims.
    async fn save_orphans(&self, lease: &Lease, orphans: &[OwnedObject]) -> StoreResult<bool>;

    /// The reports of all projects.
    async fn orphans(&self) -> StoreResult<Vec<(ProjectId, OwnedObject)>>;

    /// Removes steps and tombstones older than this whose resources are gone, and failed steps of that age of those
    /// that are not, but for the last one of each; and retired credentials that serve nothing, which the release before
    /// leaves behind.
    async fn prune(&self, older: Duration) -> StoreResult<()>;

    // -- catalogue ------------------------------------------------------------------------------------------

    /// The stored catalogue and its version; version 0 and nothing before the first refresh.
    async fn catalog(&self) -> StoreResult<(i64, Vec<CatalogEntry>)>;

    /// The version alone.
    async fn catalog_version(&self) -> StoreResult<i64>;

    /// Replaces the stored catalogue if the version is still `expected`; the new version.
    async fn save_catalog(&self, expected: i64, entries: &[CatalogEntry]) -> StoreResult<Option<i64>>;
}
