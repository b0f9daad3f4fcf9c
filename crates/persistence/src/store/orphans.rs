//! What operators order about orphans.

use std::collections::BTreeMap;

use control_plane::{
    ProjectId, Resource, Uid,
    facts::{AdoptionFacts, Facts},
    ports::{Lease, OrderEnd, OrderOutcome, OrphanOrder, OwnedObject},
};

use super::{queue::holds, relations::WAKE};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Row, Sql, args, list, sql},
};

/// Two orders come one after the other, and a sweep before or behind both.
const PROJECT: Sql = sql!("SELECT uid FROM projects WHERE uid = $1" lock);
/// Rows that may remember an object of this id; which of them do, is judged by their facts.
const CLAIMANTS: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.uid = $3 OR r.project = $1 AND r.facts LIKE $2 ORDER BY r.uid"
);
const SEEN: Sql = sql!("SELECT object, position FROM orphans WHERE project = $1 ORDER BY position");
const FORGET: Sql = sql!("DELETE FROM orphans WHERE project = $1 AND position = $2");
const FORMER: Sql = sql!(
    "SELECT uid, project, object, into_uid, told, refused FROM orphan_orders \
     WHERE project = $1 AND object_type = $2 AND object_id = $3"
);
const ALL: Sql = sql!(
    "SELECT uid, project, object, into_uid, told, refused FROM orphan_orders ORDER BY project, object_type, object_id"
);
const ONE: Sql = sql!(
    "SELECT o.uid, o.project, o.object, o.into_uid, o.told, o.refused FROM orphan_orders o \
     JOIN projects p ON p.uid = o.project WHERE o.uid = $1 AND o.project = $2 AND o.into_uid IS NULL AND o.refused = 0 \
     AND p.token = $3 AND p.until IS NOT NULL"
);
const ROWS: Sql = sql!("SELECT " columns " FROM resources r WHERE r.uid IN " (list 1) " ORDER BY r.uid");
const LOCKED: Sql = sql!("SELECT " columns " FROM resources r WHERE r.uid = $1" change);
const REMEMBER: Sql = sql!("UPDATE resources SET facts = $2 WHERE uid = $1");
const REPLACE: Sql = sql!("DELETE FROM orphan_orders WHERE project = $1 AND object_type = $2 AND object_id = $3");
const ADD: Sql = sql!(
    "INSERT INTO orphan_orders (project, object_type, object_id, uid, object, into_uid, told, refused, ordered_at) \
     VALUES ($1, $2, $3, $4, $5, $6, NULL, 0, " now ")"
);
const QUEUE: Sql = sql!("INSERT INTO work (uid, project, next_run_at, attempts, wakes) VALUES ($1, $2, " now ", 0, 0)");
const LEAVE_QUEUE: Sql = sql!("DELETE FROM work WHERE uid = $1");
const LATER: Sql = sql!("UPDATE work SET next_run_at = " now " + $2 WHERE uid = $1");
const TELL: Sql = sql!("UPDATE orphan_orders SET told = $2, refused = $3 WHERE uid = $1");
/// What was refused or given: the object may have another order by then, and the resource tells the rest itself.
pub(super) const PRUNE: Sql = sql!(
    "DELETE FROM orphan_orders WHERE ordered_at < " now " - $1 AND (refused <> 0 OR into_uid IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM resources r WHERE r.uid = orphan_orders.into_uid AND r.facts LIKE '%\"adopt\"%'))"
);
const END: Sql = sql!("DELETE FROM orphan_orders WHERE uid = $1 AND project = $2 RETURNING object");

fn order(row: &Row) -> Result<OrphanOrder, Fault> {
    Ok(OrphanOrder {
        uid: row.parse("uid")?,
        project: ProjectId(row.text("project")?),
        object: object(&row.text("object")?)?,
        into: row.maybe_text("into_uid")?.map(|uid| uid.parse()).transpose().map_err(|_| unreadable())?,
        told: row.maybe_text("told")?,
        refused: row.int("refused")? != 0,
    })
}

fn object(text: &str) -> Result<OwnedObject, Fault> {
    serde_json::from_str(text).map_err(|_| unreadable())
}

fn unreadable() -> Fault {
    Fault::Corrupt("an order about an orphan cannot be read".to_owned())
}

/// Orders something.
pub(super) struct Order<'a>(pub(super) &'a OrphanOrder);

impl Operation for Order<'_> {
    type Output = OrderOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<OrderOutcome, Fault> {
        let Self(order) = self;
        let OrphanOrder { project, object, uid, into, .. } = order;
        if tx.first(PROJECT, &args![project]).await?.is_none() {
            return Ok(OrderOutcome::Unknown);
        }
        let pattern = format!("%\"{}\"%", object.id);
        let claimants =
            row::all(&tx.fetch(CLAIMANTS, &args![project, pattern, object.uid.map(|uid| uid.to_string())]).await?)?;
        if let Some(claimant) = claimants.iter().find(|row| order.is_claimed_by(row)) {
            return Ok(OrderOutcome::Claimed(claimant.key.clone()));
        }
        if find(tx, project, object).await?.is_none() {
            return Ok(OrderOutcome::Unknown);
        }
        let place = args![project, &object.object_type, &object.id];
        if let Some(former) = tx.first(FORMER, &place).await?.map(|row| self::order(&row)).transpose()? {
            let rows = row::all(&tx.fetch(ROWS, &[list(former.into)]).await?)?;
            if former.stands(rows.first()) {
                return Ok(match former.into == *into {
                    true => OrderOutcome::Accepted,
                    false => OrderOutcome::Ordered(rows.first().map(|row| row.key.clone())),
                });
            }
        }
        match into {
            None => drop(tx.execute(QUEUE, &args![*uid, project]).await?),
            Some(into) => {
                let found = row::first(&tx.fetch(LOCKED, &args![*into]).await?)?;
                let Some(mut row) = found.filter(|row| !row.is_deleting() && row.project == *project) else {
                    return Ok(OrderOutcome::Left);
                };
                let change = AdoptionFacts::of(&row).changes(|facts| facts.adopt = Some(order.adopt()));
                control_plane::state::merge(&mut row.facts, &change);
                tx.execute(REMEMBER, &args![row.uid, row::json(&row.facts)?]).await?;
                tx.execute(WAKE, &[list([row.uid])]).await?;
            }
        }
        tx.execute(REPLACE, &place).await?;
        let whole = row::json(object)?;
        let into = into.map(|uid| uid.to_string());
        tx.execute(ADD, &args![project, &object.object_type, &object.id, *uid, whole, into]).await?;
        Ok(OrderOutcome::Accepted)
    }
}

/// The place of an orphan in the report of the last sweep.
async fn find(tx: &mut Tx, project: &ProjectId, orphan: &OwnedObject) -> Result<Option<i64>, Fault> {
    for row in tx.fetch(SEEN, &args![project]).await? {
        let seen = object(&row.text("object")?)?;
        if (&seen.object_type, &seen.id) == (&orphan.object_type, &orphan.id) {
            return Ok(Some(row.int("position")?));
        }
    }
    Ok(None)
}

pub(super) async fn all(db: &Database) -> Result<Vec<(OrphanOrder, Option<Resource>)>, Fault> {
    let orders = db.fetch(Lane::Read, ALL, &[]).await?.iter().map(order).collect::<Result<Vec<_>, _>>()?;
    let into: Vec<Uid> = orders.iter().filter_map(|order| order.into).collect();
    let rows = match into.is_empty() {
        true => Vec::new(),
        false => row::all(&db.fetch(Lane::Read, ROWS, &[list(&into)]).await?)?,
    };
    let rows: BTreeMap<Uid, Resource> = rows.into_iter().map(|row| (row.uid, row)).collect();
    let with_row = |order: OrphanOrder| {
        let row = order.into.and_then(|uid| rows.get(&uid)).cloned();
        (order, row)
    };
    Ok(orders.into_iter().map(with_row).collect())
}

pub(super) async fn removal(db: &Database, lease: &Lease, uid: Uid) -> Result<Option<OrphanOrder>, Fault> {
    let found = db.fetch(Lane::Engine, ONE, &args![uid, &lease.project, lease.token]).await?;
    found.first().map(order).transpose()
}

/// Writes down what a try of a removal came to.
pub(super) struct Tried<'a> {
    pub(super) lease: &'a Lease,
    pub(super) uid: Uid,
    pub(super) end: &'a OrderEnd,
}

impl Operation for Tried<'_> {
    type Output = bool;

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        if !holds(tx, self.lease).await? {
            return Ok(false);
        }
        match self.end {
            OrderEnd::Again(after, why) => {
                tx.execute(TELL, &args![self.uid, why, 0_i64]).await?;
                tx.execute(LATER, &args![self.uid, *after]).await?;
            }
            OrderEnd::Refused(why) => {
                tx.execute(TELL, &args![self.uid, why, 1_i64]).await?;
                tx.execute(LEAVE_QUEUE, &args![self.uid]).await?;
            }
            OrderEnd::Done => {
                let project = &self.lease.project;
                if let Some(ended) = tx.first(END, &args![self.uid, project]).await? {
                    if let Some(position) = find(tx, project, &object(&ended.text("object")?)?).await? {
                        tx.execute(FORGET, &args![project, position]).await?;
                    }
                    tx.execute(LEAVE_QUEUE, &args![self.uid]).await?;
                }
            }
        }
        Ok(true)
    }
}
