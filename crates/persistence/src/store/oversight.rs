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
    "SELECT p.uid, p.owner, p.until - " now " AS leased_for, \
     (SELECT count(*) FROM work w WHERE w.project = p.uid AND w.next_run_at <= " now ") AS due, \
     (SELECT count(*) FROM work w WHERE w.project = p.uid AND w.next_run_at IS NOT NULL) AS queued, \
     (SELECT count(*) FROM resources r WHERE r.project = p.uid AND r.state NOT IN ('active', 'error')) AS in_transition, \
     (SELECT count(*) FROM resources r WHERE r.project = p.uid) AS resources, p.budget, " now " - p.budget_at AS budget_age, \
     p.abandoned_at FROM projects p ORDER BY p.uid"
);
const BACKLOG: Sql = sql!(
    "SELECT count(*) AS due, " now " - min(w.next_run_at) AS oldest, (SELECT count(*) FROM orphans) AS orphans, \
     (SELECT count(*) FROM projects p WHERE p.paused IS NOT NULL) AS paused_projects FROM work w WHERE w.next_run_at <= " now
);
const OCCUPANCY: Sql = sql!(
    "SELECT r.region, NULL AS location, count(*) AS resources FROM resources r WHERE r.region <> '' GROUP BY r.region \
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
        let uid = found.text("uid")?;
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
            workspace: row::named_key(row)?,
            uid: row.parse("uid")?,
            paused_at: Timestamp::from_millis(row.int("paused_at")?),
            paused_by: row.text("paused_by")?,
        })
    };
    db.fetch(Lane::Read, PAUSED, &[]).await?.iter().map(paused).collect()
}

pub(super) async fn projects(db: &Database) -> Result<Vec<ProjectOverview>, Fault> {
    let overview = |row: &Row| {
        Ok(ProjectOverview {
            project: ProjectId(row.text("uid")?),
            owner: row.maybe_text("owner")?,
            leased_for: row.maybe_int("leased_for")?.map(row::span),
            due: row.int("due")?,
            queued: row.int("queued")?,
            in_transition: row.int("in_transition")?,
            resources: row.int("resources")?,
            budget: budget(row)?,
            abandoned: row.maybe_int("abandoned_at")?.is_some(),
        })
    };
    db.fetch(Lane::Read, PROJECTS, &[]).await?.iter().map(overview).collect()
}

pub(super) async fn occupancy(db: &Database) -> Result<Vec<Occupancy>, Fault> {
    let occupancy = |row: &Row| {
        let (region, location) = (row.text("region")?, row.maybe_text("location")?);
        Ok(Occupancy { region, location, resources: row.int("resources")? })
    };
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
        due: row.int("due")?,
        oldest: row.maybe_int("oldest")?.map(row::span),
        orphans: row.int("orphans")?,
        paused_projects: row.int("paused_projects")?,
    })
}

fn budget(row: &Row) -> Result<Option<KnownBudget>, Fault> {
    let (Some(text), Some(age)) = (row.maybe_text("budget")?, row.maybe_int("budget_age")?) else { return Ok(None) };
    let broken = |_| Fault::Corrupt("the request budget of a project cannot be read".to_owned());
    Ok(Some(KnownBudget { budget: serde_json::from_str(&text).map_err(broken)?, age: row::span(age) }))
}
