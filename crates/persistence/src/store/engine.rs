//! What the engine writes. Every transaction holds the project's row first: while it does, nobody takes the lease
//! over, so a former holder can write nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use control_plane::{
    CatalogEntry, ProjectId, Resource, Uid,
    ports::{Commit, CommitOutcome, Lease, Mark, OwnedObject, Step, StepState, Tie},
    state,
};
use seca_api::{Kind, Scope};
use serde_json::Map;

use super::{
    bindings, orphans,
    queue::{self, holds},
    relations::{WAKE, related, wake_related},
    roles,
};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Sql, Value, args, cells, identity, list, rows, sql},
};

const ROWS: Sql = sql!("SELECT " columns " FROM resources r WHERE r.uid IN " (list 1) " ORDER BY r.uid" change);
/// With all that names it, if it is a role.
const ROW_TO_REMOVE: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.uid IN (SELECT $1 UNION ALL SELECT e.uid FROM resources r \
     JOIN resource_references e ON " joined " WHERE r.uid = $1 AND r.kind = 'role') ORDER BY r.uid" exclusive
);
const CHILD: Sql = sql!(
    "SELECT r.uid FROM resources r WHERE " in_network " UNION ALL SELECT r.uid FROM resources r WHERE " in_workspace
    " LIMIT 1"
);
/// What became of several rows.
const UPDATE_OUTCOMES: Sql = sql!(
    "UPDATE resources AS r SET status = x.status, state = x.state, conditions = x.conditions, \
     resource_version = x.resource_version, generation = x.generation, observed_generation = x.observed_generation, \
     revision = x.revision, last_modified_at = x.last_modified_at, deleted_at = x.deleted_at, facts = x.facts, \
     holder = x.holder, action_kind = x.action_kind, action_seq = x.action_seq, action_done_seq = x.action_done_seq \
     FROM (SELECT j.value->>0 AS uid, j.value->>1 AS status, j.value->>2 AS state, j.value->>3 AS conditions, \
     CAST(j.value->>4 AS BIGINT) AS resource_version, CAST(j.value->>5 AS BIGINT) AS generation, \
     CAST(j.value->>6 AS BIGINT) AS observed_generation, CAST(j.value->>7 AS BIGINT) AS revision, \
     CAST(j.value->>8 AS BIGINT) AS last_modified_at, CAST(j.value->>9 AS BIGINT) AS deleted_at, \
     j.value->>10 AS facts, j.value->>11 AS holder, j.value->>12 AS action_kind, \
     CAST(j.value->>13 AS BIGINT) AS action_seq, CAST(j.value->>14 AS BIGINT) AS action_done_seq FROM "
    (parsed_rows 1) ") x WHERE r.uid = x.uid"
);
const UPDATE_FACTS: Sql = sql!("UPDATE resources SET facts = $2 WHERE uid = $1");
const ADD_STEP: Sql = sql!(
    "INSERT INTO steps (uid, project, generation, operation, target, step, state, since, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, 'intended', " now ", " now ") RETURNING id"
);
/// The marks of a step that may yet be undone: what is of unknown outcome may have taken effect.
const UNDOABLE: Sql = sql!(
    "SELECT uid, step FROM steps WHERE id = $1 AND project = $2 AND state IN ('intended', 'running')" lock
);
const FINISH_STEP: Sql = sql!(
    "UPDATE steps SET since = CASE WHEN $2 = 'unknown' AND state <> 'unknown' THEN " now " ELSE since END, \
     state = $2, action = COALESCE($3, action), error = $4, updated_at = " now " WHERE id = $1 AND project = $5"
);
/// What took effect ends a row of retries.
const END_RETRIES: Sql = sql!("UPDATE work SET attempts = 0 WHERE uid = (SELECT uid FROM steps WHERE id = $1)");
const FREE: Sql = sql!("UPDATE resources SET holder = NULL WHERE uid = $1");
const HOLD: Sql = sql!("UPDATE resources SET holder = $2 WHERE uid = $1");
const USE: Sql = sql!(
    "INSERT INTO auxiliary_users (uid, purpose, content, project) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING uid"
);
const DROP: Sql = sql!("DELETE FROM auxiliary_users WHERE uid = $1 AND purpose = $2 AND content = $3 RETURNING uid");
const HELD: Sql = sql!("SELECT " columns " FROM resources r WHERE r.holder = $1 ORDER BY r.uid" change);
/// What lies in the same network and may have waited for the room that one left.
const SIBLINGS: Sql = sql!("SELECT r.uid FROM resources r WHERE " (within "r" "$1" "$2" "$3") " AND r.network = $4");
const LET_GO: Sql = sql!("UPDATE resources SET holder = NULL WHERE holder = $1");
/// Whose project was declared gone leaves no tombstone: what exists of it nevertheless is not swept.
const BURY: Sql = sql!(
    "INSERT INTO tombstones (uid, removed_at) SELECT p.buried, " now " FROM (SELECT $1 AS buried, abandoned_at \
     FROM projects WHERE uid = $2) p WHERE p.abandoned_at IS NULL ON CONFLICT DO NOTHING"
);
const REMOVE: [Sql; 6] = [
    sql!("DELETE FROM auxiliary_users WHERE uid = $1"),
    sql!("DELETE FROM resource_labels WHERE uid = $1"),
    sql!("DELETE FROM resource_references WHERE uid = $1"),
    sql!("DELETE FROM credentials WHERE workspace_uid = $1 AND retired_at IS NULL"),
    sql!("DELETE FROM resources WHERE uid = $1"),
    sql!("DELETE FROM work WHERE uid = $1"),
];
const DROP_ORPHANS: Sql = sql!("DELETE FROM orphans WHERE project = $1");
const ADD_ORPHANS: Sql = sql!(
    "INSERT INTO orphans (project, position, object) SELECT $1, CAST(j.value->>0 AS BIGINT), j.value->>1 FROM " (rows 2)
);
const ORPHANS: Sql = sql!("SELECT project, object FROM orphans ORDER BY project, position");
/// Each statement has a time of its own, so the second one is told what the first one found.
const PRUNE_TOMBSTONES: Sql = sql!("DELETE FROM tombstones WHERE removed_at < " now " - $1 RETURNING uid");
const PRUNE_STEPS: Sql = sql!("DELETE FROM steps WHERE uid IN " (list 1));
/// What left without a tombstone.
const PRUNE_LEFT: Sql = sql!(
    "DELETE FROM steps WHERE updated_at < " now " - $1 AND NOT EXISTS (SELECT 1 FROM resources r WHERE r.uid = steps.uid) \
     AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.uid = steps.uid)"
);
/// The last step of a resource stays: it tells that something may exist at the provider.
const PRUNE_FAILED: Sql = sql!(
    "DELETE FROM steps WHERE state = 'failed' AND updated_at < " now " - $1 \
     AND EXISTS (SELECT 1 FROM steps later WHERE later.uid = steps.uid AND later.id > steps.id)"
);
const CATALOG: Sql = sql!("SELECT version, entries FROM catalog");
const CATALOG_VERSION: Sql = sql!("SELECT version FROM catalog");
const SAVE_CATALOG: Sql =
    sql!("UPDATE catalog SET version = version + 1, entries = $2 WHERE version = $1 RETURNING version");

pub(super) struct RecordStep<'a> {
    pub(super) lease: &'a Lease,
    pub(super) resource: Uid,
    pub(super) generation: i64,
    pub(super) step: &'a Step,
}

impl Operation for RecordStep<'_> {
    type Output = Option<i64>;

    async fn run(&self, tx: &mut Tx) -> Result<Option<i64>, Fault> {
        if !holds(tx, self.lease).await? {
            return Ok(None);
        }
        let uids = self.step.marks.iter().map(|mark| mark.uid).chain([self.resource]);
        let mut found = row::all(&tx.fetch(ROWS, &[list(uids)]).await?)?;
        // A resource that moved to another project has another holder.
        if !found.iter().any(|row| row.uid == self.resource && row.project == self.lease.project) {
            return Ok(None);
        }
        mark(tx, &mut found, self.resource, &self.step.marks, |facts, mark| state::merge(facts, &mark.facts)).await?;
        let step = self.step;
        let args =
            args![self.resource, &self.lease.project, self.generation, &step.operation, &step.target, row::json(step)?];
        tx.first(ADD_STEP, &args).await?.map(|row| row.int(0)).transpose()
    }
}

/// Changes the facts of locked rows by the marks of a step, and wakes whose facts changed, but for the step's resource.
async fn mark(
    tx: &mut Tx,
    rows: &mut [Resource],
    resource: Uid,
    marks: &[Mark],
    change: fn(&mut Map<String, serde_json::Value>, &Mark),
) -> Result<(), Fault> {
    let mut woken = Vec::new();
    for row in rows {
        let before = row.facts.clone();
        for mark in marks.iter().filter(|mark| mark.uid == row.uid) {
            change(&mut row.facts, mark);
        }
        if row.facts != before {
            tx.execute(UPDATE_FACTS, &args![row.uid, row::json(&row.facts)?]).await?;
            woken.extend((row.uid != resource).then_some(row.uid));
        }
    }
    if !woken.is_empty() {
        tx.execute(WAKE, &[list(&woken)]).await?;
    }
    Ok(())
}

pub(super) struct FinishStep<'a> {
    pub(super) lease: &'a Lease,
    pub(super) id: i64,
    pub(super) state: StepState,
    pub(super) action: Option<&'a str>,
    pub(super) error: Option<&'a str>,
}

impl Operation for FinishStep<'_> {
    type Output = bool;

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        if !holds(tx, self.lease).await? {
            return Ok(false);
        }
        if self.state == StepState::Failed {
            undo(tx, self.id, &self.lease.project).await?;
        }
        let args = args![self.id, self.state.as_str(), self.action, self.error, &self.lease.project];
        tx.execute(FINISH_STEP, &args).await?;
        if self.state == StepState::Done {
            tx.execute(END_RETRIES, &args![self.id]).await?;
        }
        Ok(true)
    }
}

/// Takes the marks of a step back whose call certainly failed.
async fn undo(tx: &mut Tx, id: i64, project: &ProjectId) -> Result<(), Fault> {
    let Some(found) = tx.first(UNDOABLE, &args![id, project]).await? else { return Ok(()) };
    let resource: Uid = found.parse("uid")?;
    let step: Step = serde_json::from_str(&found.text("step")?)
        .map_err(|_| Fault::Corrupt(format!("the call of step {id} cannot be read")))?;
    if step.marks.iter().all(|mark| mark.undo.is_empty()) {
        return Ok(());
    }
    let mut rows = row::all(&tx.fetch(ROWS, &[list(step.marks.iter().map(|mark| mark.uid))]).await?)?;
    mark(tx, &mut rows, resource, &step.marks, state::undo).await
}

pub(super) struct MakeTies<'a> {
    pub(super) lease: &'a Lease,
    pub(super) resource: Uid,
    pub(super) ties: &'a [Tie],
}

impl Operation for MakeTies<'_> {
    type Output = bool;

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        if !holds(tx, self.lease).await? {
            return Ok(false);
        }
        // The holder's row is locked too: one that is gone could never let go.
        let uids = self.ties.iter().filter_map(Tie::other).chain([self.resource]);
        let found = row::all(&tx.fetch(ROWS, &[list(uids)]).await?)?;
        let row = |uid: Uid| found.iter().find(|row| row.uid == uid);
        let Some(planned) = row(self.resource) else { return Ok(true) };
        let mut woken = Vec::new();
        for tie in self.ties {
            let changed = match tie {
                Tie::Claim(uid) => match row(*uid).filter(|held| held.holder.is_none()) {
                    Some(held) => {
                        tx.execute(HOLD, &args![held.uid, planned.uid]).await?;
                        Some(held)
                    }
                    None => None,
                },
                Tie::Release(holder) if planned.holder == Some(*holder) => {
                    tx.execute(FREE, &args![planned.uid]).await?;
                    Some(planned)
                }
                Tie::Release(_) => None,
                Tie::Use(auxiliary) => {
                    let args = args![planned.uid, &auxiliary.purpose, &auxiliary.content, &self.lease.project];
                    tx.first(USE, &args).await?.map(|_| planned)
                }
                Tie::Drop(auxiliary) => {
                    let args = args![planned.uid, &auxiliary.purpose, &auxiliary.content];
                    tx.first(DROP, &args).await?.map(|_| planned)
                }
            };
            if let Some(changed) = changed {
                woken.extend(related(tx, changed).await?);
                woken.push(changed.uid);
            }
        }
        if !woken.is_empty() {
            woken.sort();
            woken.dedup();
            tx.execute(WAKE, &[list(&woken)]).await?;
        }
        Ok(true)
    }
}

pub(super) struct WriteAll<'a> {
    pub(super) lease: &'a Lease,
    pub(super) commits: &'a [Commit],
}

impl Operation for WriteAll<'_> {
    /// None when the lease is lost.
    type Output = Option<Vec<CommitOutcome>>;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        if !holds(tx, self.lease).await? {
            return Ok(None);
        }
        let found = row::all(&tx.fetch(ROWS, &[list(self.commits.iter().map(|commit| commit.uid))]).await?)?;
        let mut found: BTreeMap<Uid, Resource> = found.into_iter().map(|row| (row.uid, row)).collect();
        let (mut changed, mut relevant, mut looked) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for commit in self.commits {
            let Some(row) = found.get_mut(&commit.uid).filter(|row| row.project == self.lease.project) else {
                continue;
            };
            let what = state::commit(row, commit);
            changed.extend(what.row.then_some(commit.uid));
            relevant.extend(what.relevant.then_some(commit.uid));
            let is_newest = row.generation == commit.generation && row.action.seq == commit.action_seq;
            looked.push(queue::look(commit.uid, is_newest.then_some(commit.wake), commit.attempts, commit.next));
        }
        if !changed.is_empty() {
            let outcomes = changed.iter().filter_map(|uid| found.get(uid)).map(|row| row::outcome_args(row).map(cells));
            tx.execute(UPDATE_OUTCOMES, &[rows(outcomes.collect::<Result<Vec<_>, _>>()?)]).await?;
        }
        if !relevant.is_empty() {
            wake_related(tx, found.values().map(|row| (row, relevant.contains(&row.uid)))).await?;
        }
        if !looked.is_empty() {
            tx.execute(queue::SETTLE, &[rows(looked)]).await?;
        }
        let outcome = |commit: &Commit| match found.get(&commit.uid) {
            Some(row) => CommitOutcome::Done(Box::new(row.clone())),
            None => CommitOutcome::Gone,
        };
        Ok(Some(self.commits.iter().map(outcome).collect()))
    }
}

/// Removes the row of a deleted resource.
pub(super) async fn remove(db: &Database, lease: &Lease, uid: Uid) -> Result<CommitOutcome, Fault> {
    loop {
        if let Some(outcome) = db.transact(Lane::Engine, &Remove { lease, uid }).await? {
            return Ok(outcome);
        }
    }
}

struct Remove<'a> {
    lease: &'a Lease,
    uid: Uid,
}

impl Operation for Remove<'_> {
    /// None, and nothing is done, when there is more to lock than there was at the beginning. All is locked anew then:
    /// one that is locked out of its order would be waited for by who holds the next.
    type Output = Option<CommitOutcome>;

    async fn run(&self, tx: &mut Tx) -> Result<Option<CommitOutcome>, Fault> {
        if !holds(tx, self.lease).await? {
            return Ok(Some(CommitOutcome::Fenced));
        }
        let mut locked = row::all(&tx.fetch(ROW_TO_REMOVE, &args![self.uid]).await?)?;
        let Some(own) = locked.iter().position(|row| row.uid == self.uid) else {
            return Ok(Some(CommitOutcome::Gone));
        };
        let row = locked.swap_remove(own);
        if !row.is_deleting() || row.project != self.lease.project || has_children(tx, &row).await? {
            return Ok(Some(CommitOutcome::Done(Box::new(row))));
        }
        let mut woken = related(tx, &row).await?;
        if !roles::unassign(tx, &row, &locked).await? {
            return Ok(None);
        }
        let held = row::all(&tx.fetch(HELD, &args![self.uid]).await?)?;
        if !held.is_empty() {
            tx.execute(LET_GO, &args![self.uid]).await?;
            for held in &held {
                // Whoever waited to hold it next refers to it.
                woken.extend(related(tx, held).await?);
                woken.push(held.uid);
            }
        }
        if row.key.kind.scope() == Scope::Network {
            let network = args![&row.key.tenant, &row.key.region, &row.key.workspace, &row.key.network];
            woken.extend(row::uids(&tx.fetch(SIBLINGS, &network).await?)?);
        }
        woken.sort();
        woken.dedup();
        tx.execute(BURY, &args![self.uid, &self.lease.project]).await?;
        tx.execute(WAKE, &[list(woken.iter().chain([&self.uid]))]).await?;
        bindings::retire(tx, &row).await?;
        for statement in REMOVE {
            tx.execute(statement, &args![self.uid]).await?;
        }
        bindings::let_go(tx, &row).await?;
        Ok(Some(CommitOutcome::Done(Box::new(row))))
    }
}

async fn has_children(tx: &mut Tx, row: &Resource) -> Result<bool, Fault> {
    if !matches!(row.key.kind, Kind::Workspace | Kind::Network) {
        return Ok(false);
    }
    Ok(tx.first(CHILD, &identity(row.uid, &row.key)).await?.is_some())
}

pub(super) struct SaveOrphans<'a> {
    pub(super) lease: &'a Lease,
    pub(super) orphans: &'a [OwnedObject],
}

impl Operation for SaveOrphans<'_> {
    type Output = bool;

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        if !holds(tx, self.lease).await? {
            return Ok(false);
        }
        tx.execute(DROP_ORPHANS, &args![&self.lease.project]).await?;
        let mut all = Vec::with_capacity(self.orphans.len());
        for (position, object) in self.orphans.iter().enumerate() {
            all.push([Some(position.to_string()), Some(row::json(object)?)]);
        }
        if !all.is_empty() {
            tx.execute(ADD_ORPHANS, &[Value::from(&self.lease.project), rows(all)]).await?;
        }
        Ok(true)
    }
}

pub(super) async fn orphans(db: &Database) -> Result<Vec<(ProjectId, OwnedObject)>, Fault> {
    let mut all = Vec::new();
    for row in db.fetch(Lane::Read, ORPHANS, &[]).await? {
        let object = serde_json::from_str(&row.text("object")?);
        all.push((
            ProjectId(row.text("project")?),
            object.map_err(|_| Fault::Corrupt("an orphan cannot be read".to_owned()))?,
        ));
    }
    Ok(all)
}

pub(super) struct Prune(pub(super) Duration);

impl Operation for Prune {
    type Output = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let gone = row::uids(&tx.fetch(PRUNE_TOMBSTONES, &args![self.0]).await?)?;
        if !gone.is_empty() {
            tx.execute(PRUNE_STEPS, &[list(&gone)]).await?;
        }
        tx.execute(PRUNE_LEFT, &args![self.0]).await?;
        tx.execute(PRUNE_FAILED, &args![self.0]).await?;
        tx.execute(bindings::PRUNE, &[]).await?;
        tx.execute(orphans::PRUNE, &args![self.0]).await?;
        Ok(())
    }
}

pub(super) async fn catalog(db: &Database) -> Result<(i64, Vec<CatalogEntry>), Fault> {
    let found = db.fetch(Lane::Engine, CATALOG, &[]).await?;
    let Some(row) = found.first() else { return Ok((0, Vec::new())) };
    let entries = serde_json::from_str(&row.text("entries")?);
    Ok((row.int("version")?, entries.map_err(|_| Fault::Corrupt("the catalogue cannot be read".to_owned()))?))
}

pub(super) async fn catalog_version(db: &Database) -> Result<i64, Fault> {
    let found = db.fetch(Lane::Engine, CATALOG_VERSION, &[]).await?;
    found.first().map_or(Ok(0), |row| row.int(0))
}

pub(super) async fn save_catalog(db: &Database, expected: i64, entries: &[CatalogEntry]) -> Result<Option<i64>, Fault> {
    let entries = row::json(&entries)?;
    let saved = db.execute(Lane::Engine, SAVE_CATALOG, &args![expected, &entries]).await?;
    saved.first().map(|row| row.int(0)).transpose()
}
