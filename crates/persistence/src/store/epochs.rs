//! The epochs of projects, and the projects of identities.

use control_plane::{
    ProjectId, Uid,
    ports::{Epoch, Lease, ProjectEpoch},
};

use super::relations::WAKE;
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Row, Sql, args, list, sql},
};

const EPOCH: Sql = sql!(
    "SELECT p.uid, " epoch " FROM projects p WHERE p.uid = $1 AND p.token = $2 AND p.until IS NOT NULL"
);
const WANT: Sql = sql!(
    "UPDATE projects SET wanted_epoch = $3, wanted_nonce = $4 WHERE uid = $1 AND token = $2 AND until IS NOT NULL \
     RETURNING uid"
);
const CONFIRM: Sql = sql!(
    "UPDATE projects SET epoch = wanted_epoch, epoch_nonce = wanted_nonce, epoch_raised_at = " now
    ", wanted_epoch = NULL, wanted_nonce = NULL \
     WHERE uid = $1 AND token = $2 AND until IS NOT NULL AND wanted_epoch IS NOT NULL RETURNING uid"
);
const PAUSE: Sql =
    sql!("UPDATE projects SET paused = $3 WHERE uid = $1 AND token = $2 AND until IS NOT NULL RETURNING uid");
const PAUSED: Sql = sql!("SELECT p.uid, " epoch " FROM projects p WHERE p.paused IS NOT NULL ORDER BY p.uid");
const RESUME: Sql = sql!(
    "UPDATE projects SET epoch = CASE WHEN $2 >= COALESCE(epoch, 0) THEN $2 ELSE epoch END, \
     epoch_nonce = CASE WHEN $2 >= COALESCE(epoch, 0) THEN $3 ELSE epoch_nonce END, \
     wanted_epoch = NULL, wanted_nonce = NULL, paused = NULL, owner = NULL, until = NULL \
     WHERE uid = $1 AND paused IS NOT NULL RETURNING uid"
);
const PUT_OFF: Sql = sql!("SELECT w.uid FROM work w WHERE w.project = $1 AND w.next_run_at > " now);
const PROJECT_OF: Sql = sql!(
    "SELECT f.project FROM (SELECT r.project FROM resources r WHERE r.uid IN " (list 1)
    " UNION SELECT s.project FROM steps s WHERE s.uid IN " (list 1) ") f WHERE f.project <> 'local' ORDER BY f.project"
);

pub(super) async fn epoch(db: &Database, lease: &Lease) -> Result<Option<ProjectEpoch>, Fault> {
    let found = db.fetch(Lane::Engine, EPOCH, &args![&lease.project, lease.token]).await?;
    found.first().map(told).transpose()
}

pub(super) async fn want(db: &Database, lease: &Lease, wanted: &Epoch) -> Result<bool, Fault> {
    let args = args![&lease.project, lease.token, wanted.number, &wanted.nonce];
    Ok(!db.execute(Lane::Engine, WANT, &args).await?.is_empty())
}

pub(super) async fn confirm(db: &Database, lease: &Lease) -> Result<bool, Fault> {
    Ok(!db.execute(Lane::Engine, CONFIRM, &args![&lease.project, lease.token]).await?.is_empty())
}

pub(super) async fn pause(db: &Database, lease: &Lease, why: &str) -> Result<bool, Fault> {
    Ok(!db.execute(Lane::Engine, PAUSE, &args![&lease.project, lease.token, why]).await?.is_empty())
}

pub(super) async fn paused(db: &Database) -> Result<Vec<(ProjectId, ProjectEpoch)>, Fault> {
    let paused = |row: &Row| Ok((ProjectId(row.text("uid")?), told(row)?));
    db.fetch(Lane::Read, PAUSED, &[]).await?.iter().map(paused).collect()
}

/// Ends the pause of a project, and makes due now what was put off meanwhile.
pub(super) struct Resume<'a> {
    pub(super) project: &'a ProjectId,
    pub(super) epoch: &'a Epoch,
}

impl Operation for Resume<'_> {
    type Output = bool;

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let args = args![self.project, self.epoch.number, &self.epoch.nonce];
        if tx.first(RESUME, &args).await?.is_none() {
            return Ok(false);
        }
        let put_off = row::uids(&tx.fetch(PUT_OFF, &args![self.project]).await?)?;
        tx.execute(WAKE, &[list(&put_off)]).await?;
        Ok(true)
    }
}

pub(super) async fn project_of(db: &Database, uids: &[Uid]) -> Result<Vec<ProjectId>, Fault> {
    let found = db.fetch(Lane::Read, PROJECT_OF, &[list(uids)]).await?;
    found.iter().map(|row| row.text(0).map(ProjectId)).collect()
}

/// What `epoch` reads.
fn told(row: &Row) -> Result<ProjectEpoch, Fault> {
    let epoch = |number: &str, nonce: &str| -> Result<Option<Epoch>, Fault> {
        let Some(number) = row.maybe_int(number)? else { return Ok(None) };
        Ok(Some(Epoch { number, nonce: row.maybe_text(nonce)?.unwrap_or_default() }))
    };
    Ok(ProjectEpoch {
        current: epoch("epoch", "epoch_nonce")?.unwrap_or_default(),
        wanted: epoch("wanted_epoch", "wanted_nonce")?,
        raised: row.maybe_int("raised")?.map(row::span),
        paused: row.maybe_text("paused")?,
        abandoned: row.maybe_int("abandoned_at")?.is_some(),
    })
}
