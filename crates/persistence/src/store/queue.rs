//! Leases on projects and the queue of their resources, on the database's time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use control_plane::{
    ProjectId, Uid,
    ports::{Attendance, LEASE_SLACK, Lease, Portion, RequestBudget, UNKNOWN_TTL},
};

use super::together::Question;
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Dialect, Sql, Value, args, list, millis, rows, sql},
};

/// A lease that ends later than its duration ($6 if that is not known, and $5 of slack) allows is not believed. Compared
/// with the time of that very moment: who holds it may have prolonged it since the statement began. Of a share ($7 is 1) what is
/// left is taken: all projects, by all engines and rounded up, without those that the owner has.
const TAKE: Sql = sql!(
    "WITH engines AS MATERIALIZED (SELECT count(*) + 1 AS many FROM replicas r WHERE r.owner <> $1 AND " shares "), \
     share AS MATERIALIZED (SELECT CASE WHEN $7 = 0 THEN $4 \
     ELSE (count(*) + (SELECT many FROM engines) - 1) / (SELECT many FROM engines) \
     - COALESCE(sum(CASE WHEN p.owner = $1 AND p.until > " now " THEN 1 ELSE 0 END), 0) END AS rest \
     FROM projects p WHERE COALESCE(p.engine_version, 0) <= $3), \
     free AS MATERIALIZED (SELECT p.uid FROM projects p WHERE COALESCE(p.engine_version, 0) <= $3 \
     AND (p.until IS NULL OR p.until <= " now " OR p.until > " moment " + $5 \
     + CASE WHEN p.lease_ttl_token = p.token THEN p.lease_ttl ELSE $6 END) \
     ORDER BY CASE WHEN EXISTS (SELECT 1 FROM work w WHERE w.project = p.uid AND w.next_run_at <= " now
    ") THEN 0 ELSE 1 END, p.uid LIMIT (SELECT CASE WHEN rest < 0 THEN 0 WHEN rest < $4 THEN rest ELSE $4 END FROM share)" skip ") \
     UPDATE projects SET owner = $1, token = token + 1, until = " now " + $2, lease_ttl = $2, \
     lease_ttl_token = token + 1, engine_version = $3 \
     WHERE uid IN (SELECT uid FROM free) RETURNING uid, token"
);
const RENEW: Sql = sql!(
    "UPDATE projects SET until = " now " + $3, lease_ttl = $3, lease_ttl_token = token, budget = COALESCE($4, budget), \
     budget_at = CASE WHEN $4 IS NULL THEN budget_at ELSE " now " END \
     WHERE uid = $1 AND token = $2 AND until IS NOT NULL RETURNING uid"
);
const RELEASE: Sql = sql!("UPDATE projects SET owner = NULL, until = NULL WHERE uid = $1 AND token = $2");
/// One that was away begins afresh.
const ATTEND: Sql = sql!(
    "INSERT INTO replicas (owner, engine_version, since, seen_at) VALUES ($1, $3, " now ", " now ") ON CONFLICT (owner) DO UPDATE \
     SET engine_version = excluded.engine_version, seen_at = excluded.seen_at, \
     since = CASE WHEN replicas.seen_at <= " now " - $2 THEN excluded.since ELSE replicas.since END"
);
const ATTENDANCE: Sql = sql!(
    "SELECT COALESCE(sum(CASE WHEN r.since <= " now " - $2 THEN 1 ELSE 0 END), 0) AS lasting, \
     (SELECT count(*) FROM projects p WHERE COALESCE(p.engine_version, 0) <= $3) AS projects \
     FROM replicas r WHERE r.owner <> $1 AND " shares
);
const LEAVE: Sql = sql!("DELETE FROM replicas WHERE owner = $1");
/// Each process has a name of its own, so that old names never come again.
const FORGET_REPLICAS: Sql = sql!("DELETE FROM replicas WHERE seen_at <= " now " - 10 * $1");
/// For how long steps have been recorded, whose holders may still send their calls (1: lease, step, and place among those that
/// ask).
const MAY_SEND: Sql = sql!(
    "SELECT CAST(j.value->>3 AS BIGINT) AS place, " now " - s.since AS age FROM " (rows 1) " JOIN projects p ON p.uid = j.value->>0 AND p.token = CAST(j.value->>1 AS BIGINT) AND p.until > " now " \
     LEFT JOIN steps s ON s.id = CAST(j.value->>2 AS BIGINT) AND s.project = p.uid AND s.state = 'intended'"
);
const DUE: Sql = sql!(
    "SELECT uid FROM work WHERE project = $1 AND next_run_at <= " now " ORDER BY next_run_at LIMIT $2"
);
/// The same of several projects (1), of each so many at most (2).
const DUE_OF_MANY: Sql = Sql {
    postgres: sql!(
        "SELECT x.position, w.uid FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS x(project, most, position) \
         CROSS JOIN LATERAL (SELECT w.uid, w.next_run_at FROM work w WHERE w.project = x.project AND w.next_run_at <= " now " \
         ORDER BY w.next_run_at LIMIT x.most) w ORDER BY x.position, w.next_run_at"
    )
    .postgres,
    // Never asked: no trip is saved there.
    sqlite: "",
};
const PROJECT_UIDS: Sql = sql!("SELECT uid FROM resources WHERE project = $1 ORDER BY uid");
const RESTING: Sql = sql!(
    "SELECT r.uid FROM resources r WHERE r.project = $1 AND NOT EXISTS (SELECT 1 FROM work w WHERE w.uid = r.uid \
     AND w.next_run_at <= " now " + $2) ORDER BY r.uid"
);
const EXISTING: Sql = sql!("SELECT uid FROM resources WHERE uid IN " (list 1));
const REMOVED: Sql = sql!("SELECT uid FROM tombstones WHERE uid IN " (list 1));
/// Counts as a wake-up only when it is for now.
const REQUEUE: Sql = sql!(
    "UPDATE work SET wakes = wakes + CASE WHEN $2 = 0 THEN 1 ELSE 0 END, \
     next_run_at = CASE WHEN next_run_at <= " now " + $2 THEN next_run_at ELSE " now " + $2 END WHERE uid = $1 \
     AND EXISTS (SELECT 1 FROM projects p WHERE p.uid = $3 AND p.token = $4 AND p.until IS NOT NULL)"
);
/// What was looked at (1: uid, wakes, attempts, and in how long again) leaves the queue. A row that was woken since, or
/// that has no wakes here, stays due.
pub(super) const SETTLE: Sql = sql!(
    "WITH looked AS MATERIALIZED (SELECT j.value->>0 AS uid, CAST(j.value->>1 AS BIGINT) AS wakes, \
     CAST(j.value->>2 AS BIGINT) AS attempts, CAST(j.value->>3 AS BIGINT) AS next FROM " (rows 1) "), \
     held AS MATERIALIZED (SELECT w.uid, l.wakes, l.attempts, l.next FROM looked l CROSS JOIN work w \
     WHERE w.uid = l.uid ORDER BY w.uid" lock_work ") \
     UPDATE work SET attempts = CASE WHEN work.wakes = h.wakes THEN h.attempts ELSE work.attempts END, \
     next_run_at = CASE WHEN work.wakes = h.wakes THEN " now " + h.next \
     WHEN work.next_run_at <= " now " THEN work.next_run_at ELSE " now " END FROM held h WHERE work.uid = h.uid"
);
const FENCE: Sql = sql!("SELECT uid FROM projects WHERE uid = $1 AND token = $2 AND until IS NOT NULL" fence);
/// Of several (1), those that nobody is about to take over.
const FENCE_FREE: Sql = sql!(
    "SELECT p.uid, p.token FROM " (rows 1) " JOIN projects p ON p.uid = j.value->>0 AND p.token = CAST(j.value->>1 AS BIGINT) \
     WHERE p.until IS NOT NULL ORDER BY p.uid" fence_free
);

/// Whether the lease still holds; it does until the transaction ends.
pub(super) async fn holds(tx: &mut Tx, lease: &Lease) -> Result<bool, Fault> {
    Ok(tx.first(FENCE, &args![&lease.project, lease.token]).await?.is_some())
}

/// Those leases that still hold, until the transaction ends. It waits for who is about to take one over, or leaves that out.
pub(super) async fn held<'a>(
    tx: &mut Tx,
    leases: impl Iterator<Item = &'a Lease>,
    waits: bool,
) -> Result<BTreeSet<Lease>, Fault> {
    let asked: BTreeSet<&Lease> = leases.collect();
    let mut held = BTreeSet::new();
    if waits {
        for lease in asked {
            if holds(tx, lease).await? {
                held.insert(lease.clone());
            }
        }
        return Ok(held);
    }
    let asked = rows(asked.iter().map(|lease| [Some(lease.project.0.clone()), Some(lease.token.to_string())]));
    for row in tx.fetch(FENCE_FREE, &[asked]).await? {
        held.insert(Lease { project: ProjectId(row.text("uid")?), token: row.int("token")? });
    }
    Ok(held)
}

pub(super) async fn take(
    db: &Database,
    owner: &str,
    ttl: Duration,
    engine: i64,
    limit: usize,
    portion: Portion,
) -> Result<Vec<Lease>, Fault> {
    let args = args![owner, ttl, engine, limit, LEASE_SLACK, UNKNOWN_TTL, i64::from(portion == Portion::Share)];
    let taken = db.execute(Lane::Engine, TAKE, &args).await?;
    taken.iter().map(|row| Ok(Lease { project: ProjectId(row.text("uid")?), token: row.int("token")? })).collect()
}

pub(super) async fn renew(
    db: &Database,
    lease: &Lease,
    ttl: Duration,
    budget: Option<RequestBudget>,
) -> Result<bool, Fault> {
    let budget = budget.map(|budget| row::json(&budget)).transpose()?;
    Ok(!db.execute(Lane::Engine, RENEW, &args![&lease.project, lease.token, ttl, budget]).await?.is_empty())
}

pub(super) async fn release(db: &Database, lease: &Lease) -> Result<(), Fault> {
    db.execute(Lane::Engine, RELEASE, &args![&lease.project, lease.token]).await.map(drop)
}

/// Tells that an engine works, and counts the others.
pub(super) struct Attend<'a> {
    pub(super) owner: &'a str,
    pub(super) ttl: Duration,
    pub(super) engine: i64,
}

impl Operation for Attend<'_> {
    type Output = Attendance;

    async fn run(&self, tx: &mut Tx) -> Result<Attendance, Fault> {
        let args = args![self.owner, self.ttl, self.engine];
        tx.execute(ATTEND, &args).await?;
        tx.execute(FORGET_REPLICAS, &args![self.ttl]).await?;
        let found = tx.fetch(ATTENDANCE, &args).await?;
        let count = |name| -> Result<usize, Fault> {
            let count = found.first().map(|row| row.int(name)).transpose()?.unwrap_or_default();
            Ok(usize::try_from(count).unwrap_or_default())
        };
        Ok(Attendance { lasting: count("lasting")?.saturating_add(1), projects: count("projects")? })
    }
}

pub(super) async fn leave(db: &Database, owner: &str) -> Result<(), Fault> {
    db.execute(Lane::Engine, LEAVE, &args![owner]).await.map(drop)
}

/// Whether a call may be sent now.
#[derive(Debug)]
pub(crate) struct MaySend {
    pub(crate) lease: Lease,
    pub(crate) step: Option<i64>,
}

impl Question for MaySend {
    type Answer = Option<Duration>;

    const NAME: &'static str = "permission";

    const LANES: usize = 2;

    async fn ask(&self, db: &Database) -> Result<Option<Duration>, Fault> {
        Ok(may_send(db, &[self]).await?.pop().flatten())
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Option<Duration>>, Fault> {
        may_send(db, &all.iter().map(AsRef::as_ref).collect::<Vec<_>>()).await
    }
}
async fn may_send(db: &Database, asked: &[&MaySend]) -> Result<Vec<Option<Duration>>, Fault> {
    let row = |(place, one): (usize, &&MaySend)| {
        let Lease { project, token } = &one.lease;
        let step = one.step.map(|step| step.to_string());
        [Some(project.0.clone()), Some(token.to_string()), step, Some(place.to_string())]
    };
    let mut answers = vec![None; asked.len()];
    for row in db.fetch(Lane::Engine, MAY_SEND, &[rows(asked.iter().enumerate().map(row))]).await? {
        let place = usize::try_from(row.int("place")?).unwrap_or(usize::MAX);
        let (Some(answer), Some(one)) = (answers.get_mut(place), asked.get(place)) else { continue };
        let age = row.maybe_int("age")?.map(row::span);
        *answer = if one.step.is_none() { Some(Duration::ZERO) } else { age };
    }
    Ok(answers)
}

/// What of a project is due.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) project: ProjectId,
    pub(crate) most: usize,
}

impl Question for Due {
    type Answer = Vec<Uid>;

    const NAME: &'static str = "due";

    const LANES: usize = 2;

    fn is_alone(&self, db: &Database) -> bool {
        db.dialect() == Dialect::Sqlite
    }

    async fn ask(&self, db: &Database) -> Result<Vec<Uid>, Fault> {
        row::uids(&db.fetch(Lane::Engine, DUE, &args![&self.project, self.most]).await?)
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Vec<Uid>>, Fault> {
        let projects = Value::texts(all.iter().map(|one| Some(one.project.0.as_str())));
        let most = Value::Ints(all.iter().map(|one| i64::try_from(one.most).ok()).collect());
        let mut due = vec![Vec::new(); all.len()];
        for row in db.fetch(Lane::Engine, DUE_OF_MANY, &[projects, most]).await? {
            let position = usize::try_from(row.int(0)? - 1).unwrap_or(usize::MAX);
            if let Some(mine) = due.get_mut(position) {
                mine.push(row.parse(1)?);
            }
        }
        Ok(due)
    }
}

#[cfg(feature = "testing")]
pub(super) async fn next_due(db: &Database, project: &ProjectId) -> Result<Option<Duration>, Fault> {
    const NEXT_DUE: Sql = sql!(
        "SELECT min(next_run_at) - " now " FROM work WHERE project = $1 AND next_run_at IS NOT NULL"
    );
    let found = db.fetch(Lane::Engine, NEXT_DUE, &args![project]).await?;
    let left = found.first().map(|row| row.maybe_int(0)).transpose()?.flatten();
    Ok(left.map(row::span))
}

pub(super) async fn project_uids(db: &Database, project: &ProjectId) -> Result<Vec<Uid>, Fault> {
    row::uids(&db.fetch(Lane::Engine, PROJECT_UIDS, &args![project]).await?)
}

pub(super) async fn resting(db: &Database, project: &ProjectId, within: Duration) -> Result<Vec<Uid>, Fault> {
    row::uids(&db.fetch(Lane::Engine, RESTING, &args![project, within]).await?)
}

pub(super) async fn existing(db: &Database, uids: &[Uid]) -> Result<Vec<Uid>, Fault> {
    row::uids(&db.fetch(Lane::Engine, EXISTING, &[list(uids)]).await?)
}

pub(super) async fn removed(db: &Database, uids: &[Uid]) -> Result<Vec<Uid>, Fault> {
    row::uids(&db.fetch(Lane::Engine, REMOVED, &[list(uids)]).await?)
}

pub(super) async fn requeue(db: &Database, lease: &Lease, uid: Uid, after: Duration) -> Result<(), Fault> {
    db.execute(Lane::Engine, REQUEUE, &args![uid, after, &lease.project, lease.token]).await.map(drop)
}

/// A row of [`SETTLE`].
pub(super) fn look(uid: Uid, wake: Option<i64>, attempts: u32, next: Option<Duration>) -> [Option<String>; 4] {
    let next = next.map(|next| millis(next).to_string());
    [Some(uid.to_string()), wake.map(|wake| wake.to_string()), Some(attempts.to_string()), next]
}
