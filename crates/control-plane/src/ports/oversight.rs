//! Storage for operators: what was done by whom, workspaces that are paused, and how the projects fare.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use seca_api::{Kind, ResourceKey, Timestamp};

use super::{Epoch, OrphanStore, ProjectEpoch, RequestBudget, StoreResult};
use crate::resource::{ProjectId, Resource, Uid};

/// Where something was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// At the SECA API.
    Public,
    /// At the admin API.
    Admin,
}

impl Listener {
    /// The database's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
        }
    }

    /// Finds a listener by its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Public, Self::Admin].into_iter().find(|listener| listener.as_str() == text)
    }
}

/// What somebody did, or was kept from doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Where.
    pub listener: Listener,
    /// Who.
    pub actor: String,
    /// What: `put`, `delete`, `bind`.
    pub action: String,
    /// To what: a resource's reference, a tenant, a token's id.
    pub target: String,
    /// In which tenant.
    pub tenant: Option<String>,
    /// The request's id, which the logs repeat.
    pub request_id: Option<String>,
    /// What became of it: a status code, or a word.
    pub result: String,
    /// What else there is to say.
    pub detail: Option<String>,
}

/// An activity as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityRecord {
    /// Rising.
    pub id: i64,
    /// What was done.
    pub activity: Activity,
}

/// Which activities are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Those of one tenant; none for all.
    pub tenant: Option<String>,
    /// Those with smaller ids; none for the newest.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// A workspace that the engine leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedWorkspace {
    /// The workspace.
    pub workspace: ResourceKey,
    /// Its identity.
    pub uid: Uid,
    /// Since when, by the database's time.
    pub paused_at: Timestamp,
    /// By whom.
    pub paused_by: String,
}

/// What the holder of a project's lease knew of its request budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownBudget {
    /// The budget.
    pub budget: RequestBudget,
    /// How long ago that was.
    pub age: Duration,
}

/// How a project fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectOverview {
    /// The project.
    pub project: ProjectId,
    /// The holder of its lease, or the last one if that has not given it back.
    pub owner: Option<String>,
    /// For how long it is leased; zero when the lease has run out, none when nobody has one.
    pub leased_for: Option<Duration>,
    /// How many resources are due.
    pub due: i64,
    /// How many will be, now or later, without being woken; not those that a holder works on at the moment.
    pub queued: i64,
    /// How many are on the way from one state to the next: what is asked of the provider, or will be.
    pub in_transition: i64,
    /// How many resources it has.
    pub resources: i64,
    /// What is left to ask of the provider; none until a holder knew.
    pub budget: Option<KnownBudget>,
    /// Whether it was declared gone for good ([`OversightStore::abandon`]): its resources leave.
    pub abandoned: bool,
}

/// How much there is in a region, or in one of its locations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occupancy {
    /// The region.
    pub region: String,
    /// The location, as the rows spell it; none for the whole region.
    pub location: Option<String>,
    /// How many resources: all of the region, or those that have an object in the location, or are to have one.
    pub resources: i64,
}

/// What was in a project that was declared gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// Its workspaces, by key, each with the number of its resources, itself included.
    pub workspaces: Vec<(ResourceKey, i64)>,
    /// How many of its resources live in no workspace: images.
    pub others: i64,
}

impl Abandoned {
    /// Counts the resources of a project, by their keys.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a ResourceKey>) -> Self {
        let mut workspaces = BTreeMap::<ResourceKey, i64>::new();
        let mut others = 0;
        for key in keys {
            match key.workspace_key() {
                Some(workspace) => *workspaces.entry(workspace).or_default() += 1,
                None => others += 1,
            }
        }
        Self { workspaces: workspaces.into_iter().collect(), others }
    }
}

/// What waits and what stands still, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many resources are due.
    pub due: i64,
    /// For how long the one is due that is due longest; none: nothing is.
    pub oldest: Option<Duration>,
    /// How many objects the last sweeps found that nobody claims.
    pub orphans: i64,
    /// How many projects are paused because another database rules them.
    pub paused_projects: i64,
}

/// Storage for operators. Every method is one transaction.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait OversightStore: OrphanStore {
    /// Writes down what was done, in this order.
    async fn record_activities(&self, activities: &[Activity]) -> StoreResult<()>;

    /// Activities, newest first.
    async fn activities(&self, query: &ActivityQuery) -> StoreResult<Vec<ActivityRecord>>;

    /// Forgets activities that were written down longer ago than this.
    async fn prune_activities(&self, older: Duration) -> StoreResult<()>;

    /// Pauses a workspace; false when there is none. Pausing it again changes nothing.
    async fn pause(&self, workspace: &ResourceKey, by: &str) -> StoreResult<bool>;

    /// Ends that, and queues all that is in the workspace; false when there is no such workspace.
    async fn resume(&self, workspace: &ResourceKey) -> StoreResult<bool>;

    /// The paused workspaces, by key. A workspace made again is not paused.
    async fn paused(&self) -> StoreResult<Vec<PausedWorkspace>>;

    /// The projects that are paused because another database rules them ([`super::QueueStore::pause_project`]), by id.
    async fn paused_projects(&self) -> StoreResult<Vec<(ProjectId, ProjectEpoch)>>;

    /// Ends that: this database rules the project from now on. Its epoch is this one if that is at least as high, and none
    /// is wanted. The lease ends, so that the next holder begins as after any other takeover, and what was put off is due
    /// now. False when there is no such paused project.
    async fn resume_project(&self, project: &ProjectId, epoch: &Epoch) -> StoreResult<bool>;

    /// Declares a project gone for good. All that is in it is being deleted from now on, its workspaces too; calls of
    /// unknown outcome have failed, and everything is queued. Its rows leave without the provider, and without a tombstone:
    /// what exists there nevertheless is nobody's, and is reported, not swept. The project is paused no more, and its lease
    /// ends. A token of it can be bound again once all rows have left, which takes the declaration back. None when there is
    /// no such project of the provider.
    async fn abandon(&self, project: &ProjectId, now: Timestamp) -> StoreResult<Option<Abandoned>>;

    /// Where there is something: the regions that have resources, and the locations in which instances, volumes and public
    /// IPs lie. It reads every row.
    async fn occupancy(&self) -> StoreResult<Vec<Occupancy>>;

    /// Every resource of a kind, also one that is being deleted, by key. It reads all of them.
    async fn of_kind(&self, kind: Kind) -> StoreResult<Vec<Resource>>;

    /// All projects, by name.
    async fn projects(&self) -> StoreResult<Vec<ProjectOverview>>;

    /// The id of the request that changed a resource last. None when it is not among the last thousand of the tenant: it is
    /// for people who read the log.
    async fn last_request(&self, resource: &ResourceKey) -> StoreResult<Option<String>>;

    /// What waits and what stands still, at the cost of one statement.
    async fn backlog(&self) -> StoreResult<Backlog>;
}
