//! What the engine writes. Every transaction holds the project's row first: while it does, nobody takes the lease
//! over, so a former holder can write nothing.

use std::time::Duration;

use control_plane::{
    CatalogEntry, ProjectId, Resource, Uid,
    ports::{CommitOutcome, Lease, OwnedObject},
};
use seca_api::{Kind, Scope};

use super::{
    bindings, orphans,
    queue::holds,
    relations::{WAKE, related},
    roles,
};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Sql, Value, args, identity, list, rows, sql},
};

/// With all that names it, if it is a role.
const ROW_TO_REMOVE: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.uid IN (SELECT $1 UNION ALL SELECT e.uid FROM resources r \
     JOIN resource_references e ON " joined " WHERE r.uid = $1 AND r.kind = 'role') ORDER BY r.uid" exclusive
);
const CHILD: Sql = sql!(
    "SELECT r.uid FROM resources r WHERE " in_network " UNION ALL SELECT r.uid FROM resources r WHERE " in_workspace
    " LIMIT 1"
);
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
