//! Storage: the truth about everything that a client asked for.
//!
//! One trait, three implementations (PostgreSQL, SQLite, memory), one suite that all of them pass. What a write
//! does to a row is decided by the pure functions of [`crate::state`]; a store brings the transaction around
//! them: lock parents and targets for sharing and the row itself for writing, in uid order, check again in a
//! new statement what depends on them, write.
//!
//! Leases and the queue run on the database's time; methods take durations and the database adds them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use seca_api::{Kind, ResourceKey, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    catalog::CatalogEntry,
    ports::{Note, OwnedObject, Step},
    resource::{ActionKind, ProjectId, Resource, Uid},
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

/// Results of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// A page of a list: keyset paging over the name (and what precedes it in the key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The kind.
    pub kind: Kind,
    /// The tenant.
    pub tenant: String,
    /// The region; empty for global kinds.
    pub region: String,
    /// The workspace; empty for kinds without.
    pub workspace: String,
    /// The network; empty for kinds without.
    pub network: String,
    /// Whether resources whose deletion was accepted are shown.
    pub deleted: Deleted,
    /// Only what matches. Filtered in the database, before the limit.
    pub selector: Option<seca_api::selector::Selector>,
    /// Names greater than this; empty for the first page.
    pub after: String,
    /// At most this many, 1 or more.
    pub limit: usize,
}

/// Which resources a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// Only those that nobody deleted.
    #[default]
    Exclude,
    /// All.
    Include,
    /// Only those on their way out.
    Only,
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The resources, by name.
    pub items: Vec<Resource>,
    /// How many live children each item has, in their order; empty for kinds that do not count them.
    pub children: Vec<i64>,
    /// Whether more follow the last item.
    pub more: bool,
}

/// A reference from a resource to another: stored by the target's key, so that it may precede its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The field, as a JSON pointer: `/spec/bootVolume/deviceRef`.
    pub field: String,
    /// What it names.
    pub target: ResourceKey,
    /// Whether the write is refused when the target does not exist (or is being deleted) at commit.
    pub strict: bool,
}

/// An accepted PUT, as admission decided it.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// What is written.
    pub key: ResourceKey,
    /// What admission judged against; none for a creation. The write is [`PutOutcome::Stale`] when the row is another
    /// by now: of another life, version or revision.
    pub before: Option<Before>,
    /// The identity if it is created.
    pub uid: Uid,
    /// The user's maps and the specification, as stored.
    pub labels: Option<String>,
    /// See [`Resource::annotations`].
    pub annotations: Option<String>,
    /// See [`Resource::extensions`].
    pub extensions: Option<String>,
    /// See [`Resource::spec`].
    pub spec: String,
    /// The labels again, for selectors.
    pub label_pairs: BTreeMap<String, String>,
    /// All references to rows; they replace the former ones.
    pub edges: Vec<Edge>,
    /// Status members of a new resource.
    pub initial_status: String,
    /// The resource whose project does the work, for kinds without a parent that need one: an image's block
    /// storage. It is one of the edges' targets. While it does not exist, and for all other kinds without a
    /// parent, that is `local`; a row that is in `local` moves to it with a later write.
    pub home: Option<ResourceKey>,
    /// Whether the write also asks for power on (the extension `hetzner.cloud/start-after-create`).
    pub start: bool,
    /// The handler's wall clock.
    pub now: Timestamp,
}

/// The row that a PUT replaces, as admission read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// The row.
    pub row: Resource,
    /// Its references, in their order. A PUT that changes them locks parents and targets; another does not, because
    /// what is in use cannot have gone.
    pub edges: Vec<Edge>,
}

/// What one PUT is judged by: all of it is read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionQuery {
    /// What is written.
    pub key: ResourceKey,
    /// Its parents, and what the document names.
    pub named: Vec<ResourceKey>,
    /// The collections whose live resources matter.
    pub relatives: Vec<Collection>,
}

/// A collection: all resources of a kind in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The kind.
    pub kind: Kind,
    /// The tenant.
    pub tenant: String,
    /// The region; empty for global kinds.
    pub region: String,
    /// The workspace; empty for kinds without.
    pub workspace: String,
    /// The network; empty for kinds without.
    pub network: String,
}

/// The answer to an [`AdmissionQuery`], all of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    /// The row itself.
    pub before: Option<Before>,
    /// What the document names, what the row named until now, and who holds any of these; each once.
    pub rows: Vec<Resource>,
    /// The live resources of the collections, but for the row itself.
    pub relatives: Vec<Resource>,
}

/// A resource as handlers show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The resource.
    pub resource: Resource,
    /// How many live children it has, for kinds that count them ([`crate::kinds::KindRules::counts_children`]).
    pub children: Option<i64>,
}

/// What one look at a key finds. Whatever else a handler must know of the same moment (the version of the roles, say)
/// joins it as a field, so that it costs no second round trip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// The resource, deleting ones included.
    pub found: Option<Shown>,
}

/// What became of a PUT.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, one per request")]
pub enum PutOutcome {
    /// A new resource.
    Created(Resource),
    /// A new version of an existing one.
    Updated {
        /// As it was: its status is what the answer shows.
        before: Resource,
        /// As it is.
        after: Resource,
    },
    /// Somebody else wrote, created or removed it meanwhile: admit again.
    Stale,
    /// A parent or a strict target does not exist, or is being deleted.
    Missing(ResourceKey),
    /// The resource itself is being deleted.
    Deleting,
}

/// What stands in the way of a deletion, and what goes along. Data of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteRules {
    /// Live children of these kinds refuse it.
    pub refused_by_children: &'static [Kind],
    /// Live resources of these kinds that refer to it refuse it; for cascading children, that refer to them.
    pub refused_by_referrers: &'static [Kind],
    /// Children of these kinds are deleted with it, unless a referrer of theirs of these kinds refuses.
    pub cascades: &'static [(Kind, &'static [Kind])],
}

impl DeleteRules {
    /// How many of those that stand in the way a refusal names.
    pub const SHOWN: usize = 8;
}

/// A DELETE.
#[derive(Clone, Debug)]
pub struct Delete {
    /// What is deleted.
    pub key: ResourceKey,
    /// The version the client insists on.
    pub expected_version: Option<i64>,
    /// The rules of its kind.
    pub rules: DeleteRules,
    /// The handler's wall clock.
    pub now: Timestamp,
}

/// What became of a DELETE.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, one per request")]
pub enum DeleteOutcome {
    /// Accepted, now or before.
    Accepted(Resource),
    /// There is no such resource.
    NotFound,
    /// The client insisted on another version than this one.
    Stale(i64),
    /// These live resources stand in the way (the first few).
    Refused(Vec<ResourceKey>),
}

/// A power action.
#[derive(Clone, Debug)]
pub struct Act {
    /// The instance.
    pub key: ResourceKey,
    /// What it is asked for.
    pub action: ActionKind,
    /// The version the client insists on.
    pub expected_version: Option<i64>,
    /// The handler's wall clock.
    pub now: Timestamp,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, one per request")]
pub enum ActOutcome {
    /// Accepted.
    Accepted(Resource),
    /// There is no such resource.
    NotFound,
    /// The client insisted on another version than this one.
    Stale(i64),
    /// The desired power, or the state, does not allow it.
    Refused(crate::state::ActionRefusal),
}

/// Where a sealed token belongs, and what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The workspace.
    pub workspace: ResourceKey,
    /// Its life: a workspace made again has no credential.
    pub workspace_uid: Uid,
    /// The project behind the token.
    pub project: ProjectId,
    /// The sealed token.
    pub sealed: String,
    /// The endpoint that this binding insists on; none for the environment's.
    pub endpoint: Option<String>,
    /// The operator's own note of which project it is.
    pub project_ref: Option<String>,
}

/// The binding of a workspace, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// It was never bound.
    None,
    /// It is bound.
    Bound,
    /// It was bound; its token was removed on purpose.
    Unbound,
}

/// A workspace and its binding.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkspaceBinding {
    /// The workspace.
    pub workspace: Resource,
    /// Its binding.
    pub binding: Binding,
}

/// What became of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindOutcome {
    /// Done.
    Done,
    /// There is no such workspace, or it is being deleted.
    NotFound,
    /// The workspace's resources live in another project; they would be lost to it.
    OtherProject(ProjectId),
}

/// What became of removing a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnbindOutcome {
    /// Done.
    Done,
    /// There is no such workspace, or it is not bound.
    NotFound,
    /// This many resources may have provider objects; they would be out of reach.
    InUse(i64),
}

/// A lease on a project. Its token fences every write of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The project.
    pub project: ProjectId,
    /// The fencing token: higher than that of every lease before.
    pub token: i64,
}

/// A related resource, and the field that relates it.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// The referring field, as a JSON pointer.
    pub field: String,
    /// What it names.
    pub key: ResourceKey,
    /// The row, where it exists.
    pub resource: Option<Resource>,
}

/// A resource with all that a decision about it may look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The resource.
    pub resource: Resource,
    /// Its network (for subnets and route tables) and its workspace, nearest first.
    pub parents: Vec<Resource>,
    /// What it refers to.
    pub targets: Vec<Related>,
    /// What refers to it; `key` is the referrer's.
    pub referrers: Vec<Related>,
    /// Its children, for networks; none are loaded for a workspace.
    pub children: Vec<Resource>,
    /// The other live resources of its kind that it must know of ([`crate::kinds::KindRules::peers`]), oldest first.
    pub peers: Vec<Resource>,
    /// How many children it has, those that are being deleted included.
    pub child_count: i64,
    /// Its steps that are not known to be over, oldest first.
    pub open_steps: Vec<StepRecord>,
    /// How often in a row it was retried.
    pub attempts: u32,
    /// How often it was woken until now; a [`Commit`] hands it back, so that no later wake-up is lost.
    pub wake: i64,
}

impl Bundle {
    /// The target of a field.
    pub fn target(&self, field: &str) -> Option<&Related> {
        self.targets.iter().find(|t| t.field == field)
    }

    /// The parent of a kind.
    pub fn parent(&self, kind: Kind) -> Option<&Resource> {
        self.parents.iter().find(|p| p.key.kind == kind)
    }
}

/// A recorded step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// Its id: rising.
    pub id: i64,
    /// Its resource.
    pub resource: Uid,
    /// The generation that it served.
    pub generation: i64,
    /// What was called.
    pub step: Step,
    /// What is known of it.
    pub state: StepState,
    /// The provider's action, when it answered with one.
    pub action: Option<String>,
    /// For how long its effect may have been late, by the database's time: since the intent was recorded, and anew
    /// since its answer was found to be missing, because a call may wait for the rate budget before it is sent.
    pub age: Duration,
}

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Recorded; the call may or may not have been made. After a crash: unknown.
    Intended,
    /// The provider works on it.
    Running,
    /// The answer was lost: it may take effect until the late window is over.
    Unknown,
    /// It took effect.
    Done,
    /// It did not.
    Failed,
}

impl StepState {
    /// The database's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Finds a state by its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Intended, Self::Running, Self::Unknown, Self::Done, Self::Failed]
            .into_iter()
            .find(|s| s.as_str() == text)
    }

    /// Whether nothing more can come of it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// What the engine found, to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The resource.
    pub uid: Uid,
    /// The generation that was looked at: convergence counts only if it is still the newest.
    pub generation: i64,
    /// The action number that was looked at.
    pub action_seq: i64,
    /// The [`Bundle::wake`] that was looked at: when it was woken since, it stays due whatever `next` says.
    pub wake: i64,
    /// What it amounts to.
    pub verdict: Verdict,
    /// Reason and sentence for the newest condition; none clears it.
    pub note: Option<Note>,
    /// Status members as observed; none leaves them.
    pub status: Option<Map<String, Value>>,
    /// Facts to merge; a null removes one.
    pub facts: Map<String, Value>,
    /// The last power action that is seen to be done.
    pub action_done: Option<i64>,
    /// When to look again; none: when woken.
    pub next: Option<Duration>,
    /// How often in a row it was retried by now: the measure of the backoff.
    pub attempts: u32,
    /// The engine's wall clock.
    pub now: Timestamp,
}

/// What an observation amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was tried: it waits for something else.
    Waiting,
    /// It is being worked on.
    Working,
    /// What is, is what is asked for.
    Converged,
    /// It cannot be had as it is.
    Failed,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum CommitOutcome {
    /// Written, or nothing to write. The row as it is.
    Done(Box<Resource>),
    /// The row is gone.
    Gone,
    /// The lease is lost: stop.
    Fenced,
}

/// The store. Every method is one transaction.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // -- reading, for handlers: no writes, one round trip ---------------------------------------------------

    /// One resource, deleting ones included. A store may answer lookups that arrive together by one statement, as long
    /// as none begins before the request that it answers.
    async fn get(&self, key: &ResourceKey) -> StoreResult<Option<Resource>>;

    /// One resource with all that is shown of it.
    async fn look(&self, key: &ResourceKey) -> StoreResult<Look>;

    /// What a PUT is judged by.
    async fn admission(&self, query: &AdmissionQuery) -> StoreResult<Admission>;

    /// Several resources in any order; absent ones are left out.
    async fn get_many(&self, keys: &[ResourceKey]) -> StoreResult<Vec<Resource>>;

    /// A page.
    async fn list(&self, query: &ListQuery) -> StoreResult<Page>;

    /// The number of live children of a workspace or a network.
    async fn count_children(&self, parent: &ResourceKey) -> StoreResult<i64>;

    /// Whether the database answers and is of this release's schema.
    async fn ping(&self) -> StoreResult<()>;

    /// The id of this installation, made by the first migration.
    async fn installation(&self) -> StoreResult<String>;

    // -- writing, for handlers ------------------------------------------------------------------------------

    /// Creates or updates. The row is queued for its project: its parent's, else its home's ([`Put::home`]), else
    /// `local`. A row that stays without a project of the provider moves to its home's with the first PUT that finds it.
    async fn put(&self, put: Put) -> StoreResult<PutOutcome>;

    /// Accepts a deletion; cascades are set in the same transaction. A second one is accepted and changes
    /// nothing. Everything touched is queued.
    async fn delete(&self, delete: Delete) -> StoreResult<DeleteOutcome>;

    /// Accepts a power action.
    async fn act(&self, act: Act) -> StoreResult<ActOutcome>;

    // -- bindings -------------------------------------------------------------------------------------------

    /// Binds a live workspace to a project: keeps the sealed token, moves the workspace and all its children
    /// (rows and queue) to the project, queues them, and makes the project's row. What has its home in the workspace and
    /// lives in the project that the workspace leaves goes along ([`Put::home`]).
    async fn bind(&self, credential: Credential) -> StoreResult<BindOutcome>;

    /// The credential of a workspace.
    async fn credential(&self, workspace: &ResourceKey) -> StoreResult<Option<Credential>>;

    /// Removes the credential; the rows stay in their project. `force` also when resources may have provider
    /// objects (any child that ever had a step).
    async fn unbind(&self, workspace: &ResourceKey, force: bool) -> StoreResult<UnbindOutcome>;

    /// The credentials of a project, newest first.
    async fn project_credentials(&self, project: &ProjectId) -> StoreResult<Vec<Credential>>;

    /// All credentials, for rotation.
    async fn credentials(&self) -> StoreResult<Vec<Credential>>;

    /// Replaces the sealed form, if it still is the former one.
    async fn reseal(&self, credential: &Credential, sealed: &str) -> StoreResult<bool>;

    /// Workspaces that nobody deleted, with their bindings, by key; only those of one binding if given.
    async fn workspaces(&self, binding: Option<Binding>) -> StoreResult<Vec<WorkspaceBinding>>;

    // -- engine ---------------------------------------------------------------------------------------------

    /// Takes the leases of up to `limit` projects that nobody holds, those with due work first.
    async fn lease(&self, owner: &str, ttl: Duration, limit: usize) -> StoreResult<Vec<Lease>>;

    /// Prolongs a lease; false when it is lost.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> StoreResult<bool>;

    /// Gives a lease back.
    async fn release(&self, lease: &Lease) -> StoreResult<()>;

    /// The resources of a leased project that are due, the longest overdue first.
    async fn due(&self, lease: &Lease, limit: usize) -> StoreResult<Vec<Uid>>;

    /// How long until the next one is due; none when nothing is queued.
    async fn next_due(&self, lease: &Lease) -> StoreResult<Option<Duration>>;

    /// All resources of a project, for resync and sweep.
    async fn project_uids(&self, project: &ProjectId) -> StoreResult<Vec<Uid>>;

    /// Of these identities, those that have a row.
    async fn existing(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>>;

    /// Of these identities, those that this database once had a row for, now gone.
    async fn removed(&self, uids: &[Uid]) -> StoreResult<Vec<Uid>>;

    /// A resource with its relations.
    async fn bundle(&self, uid: Uid) -> StoreResult<Option<Bundle>>;

    /// Records the intent of a step and commits its marks. None when the lease is lost.
    async fn record_step(&self, lease: &Lease, resource: Uid, generation: i64, step: &Step)
    -> StoreResult<Option<i64>>;

    /// Writes down what is known of a step. False when the lease is lost.
    async fn finish_step(
        &self,
        lease: &Lease,
        id: i64,
        state: StepState,
        action: Option<&str>,
        error: Option<&str>,
    ) -> StoreResult<bool>;

    /// Becomes the holder of a resource, if nobody is. None when the lease is lost; else whether it is held by
    /// `holder` now.
    async fn claim(&self, lease: &Lease, resource: Uid, holder: Uid) -> StoreResult<Option<bool>>;

    /// Writes down what was found. When the rendered representation, the facts or the holder changed,
    /// everything related (referrers, targets, parent, children) is queued.
    async fn commit(&self, lease: &Lease, commit: Commit) -> StoreResult<CommitOutcome>;

    /// Removes the row of a deleted resource: labels, references and queue with it, its holds on others are
    /// ended, everything related is queued. Steps stay for their time; a tombstone of the uid stays with them.
    async fn remove(&self, lease: &Lease, uid: Uid) -> StoreResult<CommitOutcome>;

    /// Queues a resource. Earlier wins.
    async fn requeue(&self, lease: &Lease, uid: Uid, after: Duration) -> StoreResult<()>;

    /// Queues all resources of a project now.
    async fn requeue_project(&self, project: &ProjectId) -> StoreResult<()>;

    /// Replaces the sweep's report of a project: objects of this installation that no row claims.
    async fn save_orphans(&self, lease: &Lease, orphans: &[OwnedObject]) -> StoreResult<bool>;

    /// The reports of all projects.
    async fn orphans(&self) -> StoreResult<Vec<(ProjectId, OwnedObject)>>;

    /// Removes steps and tombstones older than this whose resources are gone, and failed steps of that age of those
    /// that are not, but for the last one of each.
    async fn prune(&self, older: Duration) -> StoreResult<()>;

    // -- catalogue ------------------------------------------------------------------------------------------

    /// The stored catalogue and its version; version 0 and nothing before the first refresh.
    async fn catalog(&self) -> StoreResult<(i64, Vec<CatalogEntry>)>;

    /// The version alone.
    async fn catalog_version(&self) -> StoreResult<i64>;

    /// Replaces the stored catalogue if the version is still `expected`; the new version.
    async fn save_catalog(&self, expected: i64, entries: &[CatalogEntry]) -> StoreResult<Option<i64>>;
}
