//! Workspaces that are paused, and how the projects fare.

use control_plane::{
    ProjectId, Resource,
    ports::{Backlog, KnownBudget, Occupancy, PausedWorkspace, ProjectOverview},
};
use seca_api::{Kind, ResourceKey, Timestamp};

use super::relations::WAKE;
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Row, Sql, args, key_args, list, sql},
};

/// Locked, so that it does not leave before the mark is there, which leaves with it.
const WORKSPACE: Sql = sql!("SELECT r.uid FROM resources r WHERE " own share);
const PAUSE: Sql = sql!(
    "INSERT INTO paused_workspaces (uid, paused_at, paused_by) VALUES ($1, " now ", $2) ON CONFLICT DO NOTHING"
);
const RESUME: Sql = sql!("DELETE FROM paused_workspaces WHERE uid = $1");
const MEMBERS: Sql = sql!(
    "SELECT r.uid FROM resources r WHERE " own
    " UNION SELECT r.uid FROM resources r WHERE " (within "r" "$1" "$2" "$6")
);
const PAUSED: Sql = sql!(
    "SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.uid, p.paused_at, p.paused_by \
     FROM paused_workspaces p JOIN resources r ON r.uid = p.uid ORDER BY r.tenant, r.region, r.name"
);
const PROJECTS: Sql = sql!(
    "SELECT p.uid, p.owner, p.until - " now ", \
     (SELECT count(*) FROM work w WHERE w.project = p.uid AND w.next_run_at <= " now "), \
     (SELECT count(*) FROM work w WHERE w.project = p.uid AND w.next_run_at IS NOT NULL), \
     (SELECT count(*) FROM resources r WHERE r.project = p.uid AND r.state NOT IN ('active', 'error')), \
     (SELECT count(*) FROM resources r WHERE r.project = p.uid), p.budget, " now " - p.budget_at, \
     CASE WHEN p.abandoned_at IS NULL THEN 0 ELSE 1 END FROM projects p ORDER BY p.uid"
);
const BACKLOG: Sql = sql!(
    "SELECT count(*), " now " - min(w.next_run_at), (SELECT count(*) FROM orphans), \
     (SELECT count(*) FROM projects p WHERE p.paused IS NOT NULL) FROM work w WHERE w.next_run_at <= " now
);
const OCCUPANCY: Sql = sql!(
    "SELECT r.region, NULL, count(*) FROM resources r WHERE r.region <> '' GROUP BY r.region \
     UNION ALL SELECT l.region, l.location, count(*) FROM (SELECT r.region, " location " AS location FROM resources r \
     WHERE r.kind IN ('instance', 'block-storage', 'public-ip')) l WHERE l.location <> '' GROUP BY l.region, l.location"
);

const OF_KIND: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.kind = $1 ORDER BY r.tenant, r.region, r.workspace, r.network, r.name"
);

/// Pauses a workspace, or ends that (`by` is none).
pub(super) struct Pause<'a> {
    pub(super) workspace: &'a ResourceKey,
    pub(super) by: Option<&'a str>,
}

impl Operation for Pause<'_> {
    type Output = bool;

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let key = key_args(self.workspace);
        let Some(found) = tx.first(WORKSPACE, &key).await? else { return Ok(false) };
        let uid = found.text(0)?;
        if let Some(by) = self.by {
            tx.execute(PAUSE, &args![uid, by]).await?;
        } else if tx.execute(RESUME, &args![uid]).await? > 0 {
            let members = row::uids(&tx.fetch(MEMBERS, &key).await?)?;
            tx.execute(WAKE, &[list(&members)]).await?;
        }
        Ok(true)
    }
}

pub(super) async fn paused(db: &Database) -> Result<Vec<PausedWorkspace>, Fault> {
    let paused = |row: &Row| {
        Ok(PausedWorkspace {
            workspace: row::key(row, 0)?,
            uid: row.parse(6)?,
            paused_at: Timestamp::from_millis(row.int(7)?),
            paused_by: row.text(8)?,
        })
    };
    db.fetch(Lane::Read, PAUSED, &[]).await?.iter().map(paused).collect()
}

pub(super) async fn projects(db: &Database) -> Result<Vec<ProjectOverview>, Fault> {
    let overview = |row: &Row| {
        Ok(ProjectOverview {
            project: ProjectId(row.text(0)?),
            owner: row.maybe_text(1)?,
            leased_for: row.maybe_int(2)?.map(row::span),
            due: row.int(3)?,
            queued: row.int(4)?,
            in_transition: row.int(5)?,
            resources: row.int(6)?,
            budget: budget(row)?,
            abandoned: row.int(9)? != 0,
        })
    };
    db.fetch(Lane::Read, PROJECTS, &[]).await?.iter().map(overview).collect()
}

pub(super) async fn occupancy(db: &Database) -> Result<Vec<Occupancy>, Fault> {
    let occupancy =
        |row: &Row| Ok(Occupancy { region: row.text(0)?, location: row.maybe_text(1)?, resources: row.int(2)? });
    db.fetch(Lane::Read, OCCUPANCY, &[]).await?.iter().map(occupancy).collect()
}

pub(super) async fn of_kind(db: &Database, kind: Kind) -> Result<Vec<Resource>, Fault> {
    let found = db.fetch(Lane::Read, OF_KIND, &args![kind.as_str()]).await?;
    found.iter().map(|row| row::resource(row, 0)).collect()
}

pub(super) async fn backlog(db: &Database) -> Result<Backlog, Fault> {
    let found = db.fetch(Lane::Read, BACKLOG, &[]).await?;
    let Some(row) = found.first() else { return Ok(Backlog::default()) };
    Ok(Backlog {
        due: row.int(0)?,
        oldest: row.maybe_int(1)?.map(row::span),
        orphans: row.int(2)?,
        paused_projects: row.int(3)?,
    })
}

fn budget(row: &Row) -> Result<Option<KnownBudget>, Fault> {
    let (Some(text), Some(age)) = (row.maybe_text(7)?, row.maybe_int(8)?) else { return Ok(None) };
    let broken = |_| Fault::Corrupt("the request budget of a project cannot be read".to_owned());
    Ok(Some(KnownBudget { budget: serde_json::from_str(&text).map_err(broken)?, age: row::span(age) }))
}
