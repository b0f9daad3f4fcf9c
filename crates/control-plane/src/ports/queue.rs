//! Leases on projects, the queue of their resources, and what the engine finds.
//!
//! Leases and the queue run on the database's time; methods take durations and the database adds them.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Bundle, Commit, CommitOutcome, Epoch, Intent, Lease, OwnedObject, ProjectEpoch, RequestBudget, Settled, Step,
    StepState, StoreResult, Tie,
};
use crate::{
    catalog::CatalogEntry,
    resource::{ProjectId, Uid},
};

/// How long a lease may last whose duration is not known.
pub const UNKNOWN_TTL: Duration = Duration::from_secs(10 * 60);

/// By how much the end of a lease may lie behind what its duration allows: clocks are put back by a little now and then.
pub const LEASE_SLACK: Duration = Duration::from_secs(1);

/// How many engines share how many projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attendance {
    /// The engine itself, and all others of its version or a later one that have told of themselves for as long as a lease lasts.
    /// One that has just begun may end as soon.
    pub lasting: usize,
    /// The projects that the engine may take, or has.
    pub projects: usize,
}

/// How many of the free projects an engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// Until it has its share. All engines share alike that are of its version or a later one and have told of themselves within
    /// the time that a lease lasts, and so does the one that asks.
    Share,
    /// Those too that the others have left.
    All,
}

/// What the engine works by. Every method is one transaction. A write that takes a [`Lease`] does nothing when that is lost,
/// and says so; that is no error.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait QueueStore: Send + Sync {
    // -- leases -------------------------------------------------------------------------------------------

    /// Takes the leases of up to `limit` projects that nobody holds, those with due work first, and writes down that an
    /// engine of this version did ([`crate::engine::ENGINE_VERSION`]). Not those that a newer engine took before.
    ///
    /// A lease is free when it was given back or has run out, and when it ends later than it can: after its own duration
    /// from now, which is kept with it. The clock was ahead then when it was taken. A lease of a release that keeps no
    /// duration may last [`UNKNOWN_TTL`].
    async fn lease(
        &self,
        owner: &str,
        ttl: Duration,
        engine: i64,
        limit: usize,
        portion: Portion,
    ) -> StoreResult<Vec<Lease>>;

    /// Prolongs a lease, which lasts `ttl` from now on, and writes down what its holder knows of the request budget; false
    /// when it is lost.
    async fn renew(&self, lease: &Lease, ttl: Duration, budget: Option<RequestBudget>) -> StoreResult<bool>;

    /// Gives a lease back.
    async fn release(&self, lease: &Lease) -> StoreResult<()>;

    /// Tells that an engine works, for the time that a lease lasts, and counts the others. One that told nothing for longer begins
    /// afresh.
    async fn attend(&self, owner: &str, ttl: Duration, engine: i64) -> StoreResult<Attendance>;

    /// Tells that an engine works no more.
    async fn leave(&self, owner: &str) -> StoreResult<()>;

    /// Whether a call may be sent now, and for how long the intent of its step has been recorded (zero without a step), by
    /// the database's time. None when the lease is lost or has run out, and when the step is not
    /// [`StepState::Intended`] any more. A look without a lock.
    async fn may_send(&self, lease: &Lease, step: Option<i64>) -> StoreResult<Option<Duration>>;

    // -- epochs -------------------------------------------------------------------------------------------

    /// The epochs of a leased project; none when the lease is lost.
    async fn epoch(&self, lease: &Lease) -> StoreResult<Option<ProjectEpoch>>;

    /// Writes down the epoch that the marker is about to bear; false when the lease is lost.
    async fn want_epoch(&self, lease: &Lease, wanted: &Epoch) -> StoreResult<bool>;

    /// Writes down that the marker bears the wanted epoch: it is the current one now, raised at this moment. False when
    /// the lease is lost, or when none was wanted.
    async fn confirm_epoch(&self, lease: &Lease) -> StoreResult<bool>;

    /// Pauses a leased project: another database rules it. False when the lease is lost. See
    /// [`resume_project`](super::OversightStore::resume_project).
    async fn pause_project(&self, lease: &Lease, why: &str) -> StoreResult<bool>;

    // -- what is due --------------------------------------------------------------------------------------

    /// The resources of a leased project that are due, the longest overdue first.
    async fn due(&self, lease: &Lease, limit: usize) -> StoreResult<Vec<Uid>>;

    /// Takes what was looked at, and found as it is written, from the queue, or puts it there for later. What was woken
    /// since stays due. False when the lease is lost.
    async fn settle(&self, lease: &Lease, looks: &[Settled]) -> StoreResult<bool>;

    /// Queues a resource. Earlier wins.
    async fn requeue(&self, lease: &Lease, uid: Uid, after: Duration) -> StoreResult<()>;

    // -- resources ----------------------------------------------------------------------------------------

    /// All resources of a project, for resync and sweep.
    async fn project_uids(&self, project: &ProjectId) -> StoreResult<Vec<Uid>>;

    /// The resources of a project that are not due within a time.
    async fn resting(&self, project: &ProjectId, within: Duration) -> StoreResult<Vec<Uid>>;

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

    // -- what is done, and what was found -----------------------------------------------------------------

    /// Writes down what was found of a resource, records the intent of a step, and commits its marks. None when the lease is
    /// lost, or when the resource is not in its project any more: then nothing is written.
    async fn intend(
        &self,
        lease: &Lease,
        resource: Uid,
        generation: i64,
        step: &Step,
        found: Option<Commit>,
    ) -> StoreResult<Option<Intent>>;

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
    /// everything related (referrers, targets, network, children) is queued, but for the workspace, which looks at the number of its
    /// resources and at nothing of them.
    async fn commit(&self, lease: &Lease, commit: Commit) -> StoreResult<CommitOutcome> {
        let written = self.commit_all(lease, &[commit]).await?;
        Ok(written.map_or(CommitOutcome::Fenced, |mut written| written.pop().unwrap_or(CommitOutcome::Gone)))
    }

    /// The same of several resources, each at most once, fenced once; what became of each, in their order. None when the
    /// lease is lost: then nothing is written. What one of them wakes of the others stays due.
    async fn commit_all(&self, lease: &Lease, commits: &[Commit]) -> StoreResult<Option<Vec<CommitOutcome>>>;

    /// Removes the row of a deleted resource: labels, references and queue with it, its holds on others are
    /// ended, everything related is queued. Steps stay for their time; a tombstone of the uid stays with them. A role is
    /// taken from all assignments that name it ([`crate::assigned`]). The credential of a workspace is retired while its
    /// project has resources of the tenant that live in no workspace (images), and goes with the last of them.
    async fn remove(&self, lease: &Lease, uid: Uid) -> StoreResult<CommitOutcome>;

    /// Removes steps and tombstones older than this whose resources are gone, and failed steps of that age of those
    /// that are not, but for the last one of each; and retired credentials that serve nothing, which the release before
    /// leaves behind.
    async fn prune(&self, older: Duration) -> StoreResult<()>;

    // -- reports of sweeps --------------------------------------------------------------------------------

    /// Replaces the sweep's report of a project: objects of this installation that no row claims.
    async fn save_orphans(&self, lease: &Lease, orphans: &[OwnedObject]) -> StoreResult<bool>;

    /// The reports of all projects.
    async fn orphans(&self) -> StoreResult<Vec<(ProjectId, OwnedObject)>>;

    // -- the catalogue ------------------------------------------------------------------------------------

    /// The stored catalogue and its version; version 0 and nothing before the first refresh.
    async fn catalog(&self) -> StoreResult<(i64, Vec<CatalogEntry>)>;

    /// The version alone.
    async fn catalog_version(&self) -> StoreResult<i64>;

    /// Replaces the stored catalogue if the version is still `expected`; the new version.
    async fn save_catalog(&self, expected: i64, entries: &[CatalogEntry]) -> StoreResult<Option<i64>>;
}
