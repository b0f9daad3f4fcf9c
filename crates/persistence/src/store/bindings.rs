//! Which project stands behind a workspace.

use std::sync::Arc;

use control_plane::{
    ProjectId, Resource, kinds,
    ports::{BindOutcome, Binding, Credential, UnbindOutcome, WorkspaceBinding},
};
use seca_api::{Kind, ResourceKey};

use super::{relations::WAKE, together::Question};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
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
     WHERE " (within "m" "$2" "$3" "$4") " \
     UNION SELECT g.uid FROM " (rows 6) " JOIN resource_references e ON e.field = j.value->>1 AND e.tenant = $2 \
     AND e.region = $3 AND e.workspace = $4 JOIN resources g ON g.uid = e.uid AND g.kind = j.value->>0 \
     WHERE g.project = $5 AND g.project <> 'local') ORDER BY r.uid" change
);
const COUNT_TOUCHED: Sql = sql!("SELECT count(DISTINCT s.uid) FROM steps s WHERE s.uid IN " (list 1));
const MOVE_ROWS: Sql = sql!("UPDATE resources SET project = $2 WHERE uid IN " (list 1) " AND project <> $2");
const MOVE_WORK: Sql = sql!("UPDATE work SET project = $2 WHERE uid IN " (list 1) " AND project <> $2");
/// A project that was declared gone, and how much of it is still there. Nobody declares it until the transaction ends.
const LEAVING: Sql = sql!(
    "SELECT p.abandoned_at, (SELECT count(*) FROM resources r WHERE r.project = p.uid) AS resources FROM projects p WHERE p.uid = $1"
    fence
);
const TAKE_BACK: Sql = sql!("UPDATE projects SET abandoned_at = NULL WHERE uid = $1 AND abandoned_at IS NOT NULL");
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
    "SELECT " credential " WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name = $6 \
     AND c.deleted_at IS NULL"
);
const BY_PROJECTS: Sql = sql!(
    "SELECT " credential " WHERE c.project IN " (list 1) " AND c.deleted_at IS NULL AND (r.uid IS NOT NULL \
     OR c.retired_at IS NOT NULL) ORDER BY CASE WHEN c.retired_at IS NULL THEN 0 ELSE 1 END, c.bound_at DESC"
);
const ALL: Sql = sql!(
    "SELECT " credential " WHERE c.deleted_at IS NULL AND (r.uid IS NOT NULL OR c.retired_at IS NOT NULL) \
     ORDER BY CASE WHEN c.retired_at IS NULL THEN 0 ELSE 1 END, c.bound_at DESC"
);
const RESEAL: Sql = sql!(
    "UPDATE credentials SET sealed = $3 WHERE workspace_uid = $1 AND sealed = $2 AND deleted_at IS NULL \
     RETURNING workspace_uid"
);
/// Keeps the credential of a workspace that leaves, for what of its tenant ($2) lives in the project and in no workspace.
const RETIRE: Sql = sql!(
    "UPDATE credentials SET retired_at = " now ", tenant = $2, region = $3, workspace = $4 WHERE workspace_uid = $1 \
     AND deleted_at IS NULL AND EXISTS (SELECT 1 FROM resources r WHERE r.project = credentials.project \
     AND r.tenant = $2 AND " homeless ")"
);
/// The retired credentials of a tenant (2) in a project (1), unless they serve something there.
const LET_GO: Sql = sql!(
    "DELETE FROM credentials WHERE project = $1 AND tenant = $2 AND retired_at IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM resources r WHERE r.project = $1 AND r.tenant = $2 AND " homeless ")"
);
pub(super) const PRUNE: Sql = sql!(
    "DELETE FROM credentials WHERE retired_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM resources r \
     WHERE r.project = credentials.project AND r.tenant = credentials.tenant AND " homeless ")"
);
const RETIRED: Sql = sql!(
    "SELECT c.project FROM credentials c WHERE c.tenant = $1 AND c.region = $2 AND c.workspace = $3 \
     AND c.retired_at IS NOT NULL ORDER BY c.workspace_uid" lock
);
const DROP_RETIRED: Sql =
    sql!("DELETE FROM credentials WHERE tenant = $1 AND region = $2 AND workspace = $3 AND retired_at IS NOT NULL");
/// What of a tenant lives in these projects and in no workspace.
const HOMELESS: Sql = sql!(
    "SELECT r.uid, r.tenant, r.region, r.kind, r.workspace, r.network, r.name FROM resources r \
     WHERE r.project IN " (list 1) " AND r.tenant = $2 AND " homeless " ORDER BY r.region, r.kind, r.name"
);
/// Other credentials of a tenant in a project.
const OTHERS: Sql = sql!(
    "SELECT c.workspace_uid FROM credentials c LEFT JOIN resources r ON r.uid = c.workspace_uid \
     WHERE c.project = $1 AND c.deleted_at IS NULL AND COALESCE(r.tenant, c.tenant) = $2 AND c.workspace_uid <> $3 LIMIT 1"
);
const WORKSPACES: Sql = sql!(
    "SELECT " columns ", c.workspace_uid AS credential, c.deleted_at AS unbound_at FROM resources r \
     LEFT JOIN credentials c ON c.workspace_uid = r.uid \
     WHERE r.kind = 'workspace' AND r.deleted_at IS NULL ORDER BY r.tenant, r.region, r.name"
);

pub(super) struct Bind<'a>(pub(super) &'a Credential);

impl Operation for Bind<'_> {
    type Output = BindOutcome;

    async fn run(&self, tx: &mut Tx) -> Result<BindOutcome, Fault> {
        let credential = self.0;
        let key = &credential.workspace;
        let leaving = tx.first(LEAVING, &args![&credential.project]).await?;
        let Some(found) = tx.first(WORKSPACE, &key_args(key)).await? else { return Ok(BindOutcome::NotFound) };
        let project = ProjectId(found.text("project")?);
        // One that is being deleted may need a new token to get there, and nothing else.
        let goes_elsewhere = found.maybe_int("deleted_at")?.is_some() && project != credential.project;
        if goes_elsewhere || found.text("uid")? != credential.workspace_uid.to_string() {
            return Ok(BindOutcome::NotFound);
        }
        if let Some(declared) = leaving
            && declared.maybe_int("abandoned_at")?.is_some()
            && declared.int("resources")? > 0
        {
            return Ok(BindOutcome::Abandoned(declared.int("resources")?));
        }
        let members = members(tx, &found, key).await?;
        if project != credential.project && count_touched(tx, &members).await? > 0 {
            return Ok(BindOutcome::OtherProject(project));
        }
        tx.execute(MOVE_ROWS, &[list(&members), (&credential.project).into()]).await?;
        let served = homeless(tx, &[&credential.project], &key.tenant).await?;
        tx.execute(WAKE, &[list(members.iter().chain(served.iter().map(|(uid, _)| uid)))]).await?;
        tx.execute(MOVE_WORK, &[list(&members), (&credential.project).into()]).await?;
        tx.execute(ADD_PROJECT, &args![&credential.project]).await?;
        tx.execute(TAKE_BACK, &args![&credential.project]).await?;
        let bound = args![
            credential.workspace_uid,
            &credential.project,
            &credential.sealed,
            &credential.endpoint,
            &credential.project_ref
        ];
        tx.execute(BIND, &bound).await?;
        if project != credential.project {
            tx.execute(LET_GO, &args![&project, &key.tenant]).await?;
        }
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
        let Some(found) = tx.first(WORKSPACE, &key_args(self.workspace)).await? else { return self.let_go(tx).await };
        if tx.first(IS_BOUND, &args![found.text("uid")?]).await?.is_none() {
            return Ok(UnbindOutcome::NotFound);
        }
        let mut members = members(tx, &found, self.workspace).await?;
        let project = ProjectId(found.text("project")?);
        if tx.first(OTHERS, &args![&project, &self.workspace.tenant, found.text("uid")?]).await?.is_none() {
            let served = homeless(tx, &[&project], &self.workspace.tenant).await?;
            members.extend(served.into_iter().map(|(uid, _)| uid));
        }
        let touched = count_touched(tx, &members).await?;
        if touched > 0 && !self.force {
            return Ok(UnbindOutcome::InUse(touched));
        }
        tx.execute(UNBIND, &args![found.text("uid")?]).await?;
        tx.execute(WAKE, &[list(&members)]).await?;
        Ok(UnbindOutcome::Done)
    }
}

impl Unbind<'_> {
    /// Removes what was retired when the workspace left.
    async fn let_go(&self, tx: &mut Tx) -> Result<UnbindOutcome, Fault> {
        let key = args![&self.workspace.tenant, &self.workspace.region, &self.workspace.name];
        let retired = tx.fetch(RETIRED, &key).await?;
        let retired = retired.iter().map(|row| row.text(0).map(ProjectId)).collect::<Result<Vec<_>, _>>()?;
        let Some(project) = retired.first().cloned() else { return Ok(UnbindOutcome::NotFound) };
        let served = homeless(tx, &retired.iter().collect::<Vec<_>>(), &self.workspace.tenant).await?;
        if !served.is_empty() && !self.force {
            let count = i64::try_from(served.len()).unwrap_or(i64::MAX);
            let first = served.into_iter().map(|(_, key)| key).take(Credential::SHOWN).collect();
            return Ok(UnbindOutcome::Retired { project, count, first });
        }
        tx.execute(DROP_RETIRED, &key).await?;
        tx.execute(WAKE, &[list(served.iter().map(|(uid, _)| uid))]).await?;
        Ok(UnbindOutcome::Done)
    }
}

/// What of a tenant lives in these projects and in no workspace; none of it is `local`'s.
async fn homeless(tx: &mut Tx, projects: &[&ProjectId], tenant: &str) -> Result<Vec<(String, ResourceKey)>, Fault> {
    let projects = list(projects.iter().filter(|project| !project.is_local()));
    let found = tx.fetch(HOMELESS, &[projects, tenant.into()]).await?;
    found.iter().map(|row| Ok((row.text("uid")?, row::named_key(row)?))).collect()
}

/// A row leaves: retires the credential of a workspace that is needed still, before the others are removed.
pub(super) async fn retire(tx: &mut Tx, leaving: &Resource) -> Result<(), Fault> {
    let key = &leaving.key;
    if key.kind == Kind::Workspace {
        tx.execute(RETIRE, &args![leaving.uid, &key.tenant, &key.region, &key.name]).await?;
    }
    Ok(())
}

/// A row has left: retired credentials that served it and nothing else go along.
pub(super) async fn let_go(tx: &mut Tx, left: &Resource) -> Result<(), Fault> {
    if left.key.kind != Kind::Workspace && left.key.workspace.is_empty() && !left.project.is_local() {
        tx.execute(LET_GO, &args![&left.project, &left.key.tenant]).await?;
    }
    Ok(())
}

async fn members(tx: &mut Tx, workspace: &Row, key: &ResourceKey) -> Result<Vec<String>, Fault> {
    let homes = kinds::ALL.iter().filter_map(|rules| Some((rules.kind, rules.home?)));
    let homes = rows(homes.map(|(kind, field)| [Some(kind.as_str().to_owned()), Some(field.to_owned())]));
    let mut args =
        args![workspace.text("uid")?, &key.tenant, &key.region, &key.name, workspace.text("project")?].to_vec();
    args.push(homes);
    tx.fetch(MEMBERS, &args).await?.iter().map(|row| row.text(0)).collect()
}

async fn count_touched(tx: &mut Tx, members: &[String]) -> Result<i64, Fault> {
    tx.first(COUNT_TOUCHED, &[list(members)]).await?.map_or(Ok(0), |row| row.int(0))
}

pub(super) async fn credential(db: &Database, workspace: &ResourceKey) -> Result<Option<Credential>, Fault> {
    db.fetch(Lane::Engine, BY_KEY, &key_args(workspace)).await?.first().map(from_row).transpose()
}

/// Which credentials a project has.
#[derive(Debug)]
pub(crate) struct CredentialsOf(pub(crate) ProjectId);

impl Question for CredentialsOf {
    type Answer = Vec<Credential>;

    const NAME: &'static str = "credentials";

    const LANES: usize = 1;

    async fn ask(&self, db: &Database) -> Result<Vec<Credential>, Fault> {
        of_projects(db, [&self.0]).await
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Vec<Credential>>, Fault> {
        let found = of_projects(db, all.iter().map(|one| &one.0)).await?;
        let of = |one: &Arc<Self>| found.iter().filter(|credential| credential.project == one.0).cloned().collect();
        Ok(all.iter().map(of).collect())
    }
}

async fn of_projects<'a>(
    db: &Database,
    projects: impl IntoIterator<Item = &'a ProjectId>,
) -> Result<Vec<Credential>, Fault> {
    let projects = list(projects.into_iter().map(|project| &project.0));
    db.fetch(Lane::Engine, BY_PROJECTS, &[projects]).await?.iter().map(from_row).collect()
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
        let binding = match (found.maybe_text("credential")?, found.maybe_int("unbound_at")?) {
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
        workspace: ResourceKey::tenant(Kind::Workspace, &row.text("region")?, &row.text("tenant")?, &row.text("name")?),
        workspace_uid: row.parse("workspace_uid")?,
        project: ProjectId(row.text("project")?),
        sealed: row.text("sealed")?,
        endpoint: row.maybe_text("endpoint")?,
        project_ref: row.maybe_text("project_ref")?,
        retired: row.maybe_int("retired_at")?.is_some(),
    })
}
