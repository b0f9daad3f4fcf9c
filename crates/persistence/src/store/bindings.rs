//! Which project stands behind a workspace.

use control_plane::{
    ProjectId, kinds,
    ports::{BindOutcome, Binding, Credential, UnbindOutcome, WorkspaceBinding},
};
use seca_api::ResourceKey;

use super::relations::WAKE;
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row::{self, COLUMNS},
    sql::{Row, Sql, args, key_args, list, rows, sql},
};

const WORKSPACE: Sql = sql!(
    "SELECT r.uid, r.project, r.deleted_at FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 \
     AND r.workspace = $4 AND r.network = $5 AND r.name = $6" exclusive
);
/// A workspace, all that is in it, and what has its home there (kinds and fields in $6) and lives in its project, if
/// that is one of the provider; locked, so that nobody records a step for it meanwhile.
const MEMBERS: Sql = sql!(
    "SELECT r.uid FROM resources r WHERE r.uid IN (SELECT $1 UNION SELECT m.uid FROM resources m \
     WHERE m.tenant = $2 AND m.region = $3 AND m.workspace = $4 \
     UNION SELECT g.uid FROM " (rows 6) " JOIN resource_references e ON e.field = j.value->>1 AND e.tenant = $2 \
     AND e.region = $3 AND e.workspace = $4 JOIN resources g ON g.uid = e.uid AND g.kind = j.value->>0 \
     WHERE g.project = $5 AND g.project <> 'local') ORDER BY r.uid" change
);
const COUNT_TOUCHED: Sql = sql!("SELECT count(DISTINCT s.uid) FROM steps s WHERE s.uid IN " (list 1));
const MOVE_ROWS: Sql = sql!("UPDATE resources SET project = $2 WHERE uid IN " (list 1) " AND project <> $2");
const MOVE_WORK: Sql = sql!("UPDATE work SET project = $2 WHERE uid IN " (list 1) " AND project <> $2");
const ADD_PROJECT: Sql =
    sql!("INSERT INTO projects (uid, owner, token, until) VALUES ($1, NULL, 0, NULL) ON CONFLICT DO NOTHING");
const BIND: Sql = sql!(
    "INSERT INTO credentials (workspace_uid, project, sealed, endpoint, project_ref, bound_at, deleted_at) \
     SELECT $1, $2, $3, $4, $5, CASE WHEN max(bound_at) >= " now " THEN max(bound_at) + 1 ELSE " now " END, NULL \
     FROM credentials WHERE true \
     ON CONFLICT (workspace_uid) DO UPDATE SET project = excluded.project, sealed = excluded.sealed, \
     endpoint = excluded.endpoint, project_ref = excluded.project_ref, bound_at = excluded.bound_at, \
     deleted_at = NULL"
);
const UNBIND: Sql = sql!(
    "UPDATE credentials SET sealed = '', deleted_at = " now " WHERE workspace_uid = $1 AND deleted_at IS NULL"
);
const IS_BOUND: Sql = sql!("SELECT workspace_uid FROM credentials WHERE workspace_uid = $1 AND deleted_at IS NULL");
const BY_KEY: Sql = sql!(
    "SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.uid, c.project, c.sealed, c.endpoint, \
     c.project_ref, c.retired_at FROM credentials c JOIN resources r ON r.uid = c.workspace_uid \
     WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name = $6 \
     AND c.deleted_at IS NULL"
);
const BY_PROJECT: Sql = sql!(
    "SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.uid, c.project, c.sealed, c.endpoint, \
     c.project_ref, c.retired_at FROM credentials c JOIN resources r ON r.uid = c.workspace_uid \
     WHERE c.project = $1 AND c.deleted_at IS NULL ORDER BY c.bound_at DESC"
);
const ALL: Sql = sql!(
    "SELECT r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.uid, c.project, c.sealed, c.endpoint, \
     c.project_ref, c.retired_at FROM credentials c JOIN resources r ON r.uid = c.workspace_uid \
     WHERE c.deleted_at IS NULL ORDER BY c.bound_at DESC"
);
const RESEAL: Sql = sql!(
    "UPDATE credentials SET sealed = $3 WHERE workspace_uid = $1 AND sealed = $2 AND deleted_at IS NULL \
     RETURNING workspace_uid"
);
const WORKSPACES: Sql = sql!(
    "SELECT " columns ", c.workspace_uid, c.deleted_at FROM resources r \
     LEFT JOIN credentials c ON c.workspace_uid = r.uid \
     WHERE r.kind = 'workspace' AND r.deleted_at IS NULL ORDER BY r.tenant, r.region, r.name"
);

pub(super) struct Bind<'a>(pub(super) &'a Credential);

impl Operation for Bind<'_> {
    type Output = BindOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<BindOutcome, Fault> {
        let credential = self.0;
        let key = &credential.workspace;
        let Some(found) = tx.first(WORKSPACE, &key_args(key)).await? else { return Ok(BindOutcome::NotFound) };
        let project = ProjectId(found.text(1)?);
        // One that is being deleted may need a new token to get there, and nothing else.
        let goes_elsewhere = found.maybe_int(2)?.is_some() && project != credential.project;
        if goes_elsewhere || found.text(0)? != credential.workspace_uid.to_string() {
            return Ok(BindOutcome::NotFound);
        }
        let members = members(tx, &found, key).await?;
        if project != credential.project && count_touched(tx, &members).await? > 0 {
            return Ok(BindOutcome::OtherProject(project));
        }
        tx.execute(MOVE_ROWS, &[list(&members), (&credential.project).into()]).await?;
        tx.execute(WAKE, &[list(&members)]).await?;
        tx.execute(MOVE_WORK, &[list(&members), (&credential.project).into()]).await?;
        tx.execute(ADD_PROJECT, &args![&credential.project]).await?;
        let bound = args![
            credential.workspace_uid,
            &credential.project,
            &credential.sealed,
            &credential.endpoint,
            &credential.project_ref
        ];
        tx.execute(BIND, &bound).await?;
        Ok(BindOutcome::Done)
    }
}

pub(super) struct Unbind<'a> {
    pub(super) workspace: &'a ResourceKey,
    pub(super) force: bool,
}

impl Operation for Unbind<'_> {
    type Output = UnbindOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<UnbindOutcome, Fault> {
        let Some(found) = tx.first(WORKSPACE, &key_args(self.workspace)).await? else {
            return Ok(UnbindOutcome::NotFound);
        };
        if tx.first(IS_BOUND, &args![found.text(0)?]).await?.is_none() {
            return Ok(UnbindOutcome::NotFound);
        }
        let members = members(tx, &found, self.workspace).await?;
        let touched = count_touched(tx, &members).await?;
        if touched > 0 && !self.force {
            return Ok(UnbindOutcome::InUse(touched));
        }
        tx.execute(UNBIND, &args![found.text(0)?]).await?;
        tx.execute(WAKE, &[list(&members)]).await?;
        Ok(UnbindOutcome::Done)
    }
}

async fn members(tx: &mut Tx, workspace: &Row, key: &ResourceKey) -> Result<Vec<String>, Fault> {
    let homes = kinds::ALL.iter().filter_map(|rules| Some((rules.kind, rules.home?)));
    let homes = rows(homes.map(|(kind, field)| [Some(kind.as_str().to_owned()), Some(field.to_owned())]));
    let mut args = args![workspace.text(0)?, &key.tenant, &key.region, &key.name, workspace.text(1)?].to_vec();
    args.push(homes);
    tx.fetch(MEMBERS, &args).await?.iter().map(|row| row.text(0)).collect()
}

async fn count_touched(tx: &mut Tx, members: &[String]) -> Result<i64, Fault> {
    tx.first(COUNT_TOUCHED, &[list(members)]).await?.map_or(Ok(0), |row| row.int(0))
}

pub(super) async fn credential(db: &Database, workspace: &ResourceKey) -> Result<Option<Credential>, Fault> {
    db.fetch(Lane::Engine, BY_KEY, &key_args(workspace)).await?.first().map(from_row).transpose()
}

pub(super) async fn of_project(db: &Database, project: &ProjectId) -> Result<Vec<Credential>, Fault> {
    db.fetch(Lane::Engine, BY_PROJECT, &args![project]).await?.iter().map(from_row).collect()
}

pub(super) async fn all(db: &Database) -> Result<Vec<Credential>, Fault> {
    db.fetch(Lane::Read, ALL, &[]).await?.iter().map(from_row).collect()
}

pub(super) async fn reseal(db: &Database, credential: &Credential, sealed: &str) -> Result<bool, Fault> {
    let args = args![credential.workspace_uid, &credential.sealed, sealed];
    Ok(!db.execute(Lane::Write, RESEAL, &args).await?.is_empty())
}

pub(super) async fn workspaces(db: &Database, wanted: Option<Binding>) -> Result<Vec<WorkspaceBinding>, Fault> {
    let mut all = Vec::new();
    for found in db.fetch(Lane::Read, WORKSPACES, &[]).await? {
        let binding = match (found.maybe_text(COLUMNS)?, found.maybe_int(COLUMNS + 1)?) {
            (None, _) => Binding::None,
            (Some(_), None) => Binding::Bound,
            (Some(_), Some(_)) => Binding::Unbound,
        };
        if wanted.is_none_or(|wanted| wanted == binding) {
            all.push(WorkspaceBinding { workspace: row::resource(&found, 0)?, binding });
        }
    }
    Ok(all)
}

fn from_row(row: &Row) -> Result<Credential, Fault> {
    Ok(Credential {
        workspace: row::key(row, 0)?,
        workspace_uid: row.parse(6)?,
        project: ProjectId(row.text(7)?),
        sealed: row.text(8)?,
        endpoint: row.maybe_text(9)?,
        project_ref: row.maybe_text(10)?,
        retired: row.maybe_int(11)?.is_some(),
    })
}
