//! What decisions are made of. Versions, tenants that are opened, bindings to workspaces and departures are kept by
//! triggers (migration 3), so that no statement can forget them; here they are read. Which tenants an assignment opens, and
//! with which workspace it ends, is described in [`control_plane::scopes`], of which the views and triggers are copies.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use control_plane::ports::{
    AuthorizationSnapshot, BoundWorkspace, DeniedToken, DepartedGrant, Departure, StoredAssignment, StoredRole, Until,
};
use seca_api::{ResourceKey, Timestamp};

use super::{tenants, together::Question};
use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    row,
    sql::{Row, Sql, Value, args, key_args, rows, sql},
};

const VERSION: Sql = sql!("SELECT " (authorization_version "$1"));
const VERSIONS: Sql = sql!("SELECT j.value->>0, " (authorization_version "j.value->>0") " FROM " (rows 1));
/// The tenant (0), its roles (1) and assignments (2), those of other tenants that open it with the roles there, and
/// revoked tokens (3): one statement, so that the version is that of the rest.
const SNAPSHOT: Sql = sql!(
    "SELECT CAST(0 AS BIGINT) AS what, t.name AS tenant, t.name, '' AS uid, '' AS spec, \
     CAST(NULL AS TEXT) AS workspace_uid, CAST(NULL AS TEXT) AS workspace_region, t.conformance, t.late_references, t.suspended, \
     t.authorization_version + e.version AS version, t.created_at FROM tenants t, authorization_epoch e WHERE t.name = $1 \
     UNION ALL SELECT CASE r.kind WHEN 'role' THEN 1 ELSE 2 END, r.tenant, r.name, r.uid, r.spec, b.workspace_uid, \
     b.workspace_region, 0, 0, 0, 0, 0 FROM resources r LEFT JOIN bound_assignments b ON b.uid = r.uid \
     WHERE r.tenant = $1 AND r.region = '' AND r.kind IN ('role', 'role-assignment') AND r.deleted_at IS NULL \
     UNION ALL SELECT 2, r.tenant, r.name, r.uid, r.spec, NULL, NULL, 0, 0, 0, 0, 0 FROM resources r \
     WHERE r.uid IN (SELECT o.uid FROM opened_tenants o WHERE o.tenant IN ($1, '*') AND o.home <> $1) \
     UNION ALL SELECT 1, r.tenant, r.name, r.uid, r.spec, NULL, NULL, 0, 0, 0, 0, 0 FROM resources r \
     WHERE r.tenant IN (SELECT o.home FROM opened_tenants o WHERE o.tenant IN ($1, '*') AND o.home <> $1) \
     AND r.region = '' AND r.kind = 'role' AND r.deleted_at IS NULL \
     UNION ALL SELECT 3, '', d.jti, '', '', NULL, NULL, 0, 0, 0, 0, 0 FROM denied_tokens d"
);
const DENY: Sql = sql!(
    "INSERT INTO denied_tokens (jti, expires_at, denied_at, denied_by, reason) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (jti) DO UPDATE SET expires_at = CASE WHEN excluded.expires_at > denied_tokens.expires_at \
     THEN excluded.expires_at ELSE denied_tokens.expires_at END, denied_at = excluded.denied_at, \
     denied_by = excluded.denied_by, reason = excluded.reason"
);
const ALLOW: Sql = sql!("DELETE FROM denied_tokens WHERE jti = $1");
const RAISE_ALL: Sql = sql!("UPDATE authorization_epoch SET version = version + 1");
const DENIED: Sql = sql!("SELECT jti, expires_at, denied_at, denied_by, reason FROM denied_tokens ORDER BY jti");
const DEPARTED: Sql = sql!(
    "SELECT r.uid, r.deleted_at, r.left_at FROM departures r WHERE " own " AND r.left_at >= " now " - $7 \
     ORDER BY r.left_at DESC, r.uid DESC LIMIT 1"
);
const DEPARTED_GRANTS: Sql = sql!(
    "SELECT d.kind, d.tenant, d.name, d.uid, d.spec, d.workspace_uid, d.workspace_region, \
     COALESCE(d.deleted_at, d.left_at) AS until, d.deleted_at FROM departures d WHERE d.spec IS NOT NULL AND d.left_at >= " now " - $1 \
     UNION ALL SELECT r.kind, r.tenant, r.name, r.uid, r.spec, b.workspace_uid, b.workspace_region, r.deleted_at, \
     r.deleted_at FROM resources r LEFT JOIN bound_assignments b ON b.uid = r.uid \
     WHERE r.kind IN ('role', 'role-assignment') AND r.deleted_at IS NOT NULL ORDER BY until, uid"
);
const PRUNE_DEPARTURES: Sql = sql!("DELETE FROM departures WHERE left_at < " now " - $1");
const PRUNE_DENIED: Sql = sql!("DELETE FROM denied_tokens WHERE expires_at + $1 < $2");

/// The authorization version of a tenant, by its name.
#[derive(Debug)]
pub(crate) struct VersionOf(pub(crate) String);

impl Question for VersionOf {
    type Answer = Option<i64>;

    const NAME: &'static str = "authorization_version";

    const LANES: usize = 2;

    async fn ask(&self, db: &Database) -> Result<Option<i64>, Fault> {
        version(db, &self.0).await
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Option<i64>>, Fault> {
        let tenants: BTreeSet<&str> = all.iter().map(|one| one.0.as_str()).collect();
        let asked = rows(tenants.iter().map(|tenant| [Some((*tenant).to_owned())]));
        let mut versions = HashMap::new();
        for row in db.fetch(Lane::Read, VERSIONS, &[asked]).await? {
            versions.insert(row.text(0)?, row.maybe_int(1)?);
        }
        Ok(all.iter().map(|one| versions.get(&one.0).copied().flatten()).collect())
    }
}

pub(super) async fn version(db: &Database, tenant: &str) -> Result<Option<i64>, Fault> {
    let found = db.fetch(Lane::Read, VERSION, &args![tenant]).await?;
    found.first().map_or(Ok(None), |row| row.maybe_int(0))
}

pub(super) async fn snapshot(db: &Database, tenant: &str) -> Result<Option<AuthorizationSnapshot>, Fault> {
    let (mut found, mut roles, mut assignments, mut denied) = (None, Vec::new(), Vec::new(), BTreeSet::new());
    for row in db.fetch(Lane::Read, SNAPSHOT, &args![tenant]).await? {
        let (tenant, name) = (row.text("tenant")?, row.text("name")?);
        match row.int("what")? {
            0 => found = Some(tenants::record(&row)?),
            1 => roles.push(StoredRole { tenant, name, uid: row.parse("uid")?, spec: row.text("spec")? }),
            2 => {
                let (uid, spec, bound) = (row.parse("uid")?, row.text("spec")?, bound(&row)?);
                assignments.push(StoredAssignment { tenant, name, uid, spec, bound });
            }
            _ => {
                denied.insert(name);
            }
        }
    }
    roles.sort_by(|a, b| (&a.tenant, &a.name).cmp(&(&b.tenant, &b.name)));
    assignments.sort_by(|a, b| (&a.tenant, &a.name).cmp(&(&b.tenant, &b.name)));
    Ok(found.map(|tenant| AuthorizationSnapshot { tenant, roles, assignments, denied }))
}

fn bound(row: &Row) -> Result<Option<BoundWorkspace>, Fault> {
    if row.maybe_text("workspace_uid")?.is_none() {
        return Ok(None);
    }
    Ok(Some(BoundWorkspace { uid: row.parse("workspace_uid")?, region: row.text("workspace_region")? }))
}

pub(super) struct Deny<'a>(pub(super) &'a DeniedToken);

impl Operation for Deny<'_> {
    type Output = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let DeniedToken { id, expires_at, denied_at, denied_by, reason } = self.0;
        tx.execute(DENY, &args![id, *expires_at, *denied_at, denied_by, reason]).await?;
        tx.execute(RAISE_ALL, &[]).await?;
        Ok(())
    }
}

pub(super) struct Allow<'a>(pub(super) &'a str);

impl Operation for Allow<'_> {
    type Output = bool;

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        if tx.execute(ALLOW, &args![self.0]).await? == 0 {
            return Ok(false);
        }
        tx.execute(RAISE_ALL, &[]).await?;
        Ok(true)
    }
}

pub(super) async fn denied(db: &Database) -> Result<Vec<DeniedToken>, Fault> {
    let token = |row: &Row| {
        Ok(DeniedToken {
            id: row.text("jti")?,
            expires_at: Timestamp::from_millis(row.int("expires_at")?),
            denied_at: Timestamp::from_millis(row.int("denied_at")?),
            denied_by: row.text("denied_by")?,
            reason: row.maybe_text("reason")?,
        })
    };
    db.fetch(Lane::Read, DENIED, &[]).await?.iter().map(token).collect()
}

pub(super) async fn departed(db: &Database, key: &ResourceKey, within: Duration) -> Result<Option<Departure>, Fault> {
    let mut args = key_args(key).to_vec();
    args.push(Value::from(within));
    let departure = |row: &Row| {
        Ok(Departure {
            uid: row.parse("uid")?,
            deleted_at: row.maybe_int("deleted_at")?.map(Timestamp::from_millis),
            left_at: Timestamp::from_millis(row.int("left_at")?),
        })
    };
    db.fetch(Lane::Read, DEPARTED, &args).await?.first().map(departure).transpose()
}

pub(super) async fn departed_grants(
    db: &Database,
    tenant: &str,
    within: Duration,
) -> Result<Vec<DepartedGrant>, Fault> {
    let mut all = Vec::new();
    for row in db.fetch(Lane::Read, DEPARTED_GRANTS, &args![within]).await? {
        let grant = DepartedGrant {
            kind: row::kind(&row.text("kind")?)?,
            tenant: row.text("tenant")?,
            name: row.text("name")?,
            uid: row.parse("uid")?,
            spec: row.text("spec")?,
            bound: bound(&row)?,
            until: until(&row)?,
        };
        all.extend(Some(grant).filter(|grant| grant.concerns(tenant)));
    }
    Ok(all)
}

fn until(row: &Row) -> Result<Until, Fault> {
    let at = Timestamp::from_millis(row.int("until")?);
    Ok(if row.maybe_int("deleted_at")?.is_some() { Until::Deleted(at) } else { Until::Left(at) })
}

pub(super) struct Prune {
    pub(super) departures: Duration,
    pub(super) tokens: Duration,
    pub(super) now: Timestamp,
}

impl Operation for Prune {
    type Output = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        tx.execute(PRUNE_DEPARTURES, &args![self.departures]).await?;
        tx.execute(PRUNE_DENIED, &args![self.tokens, self.now]).await?;
        Ok(())
    }
}
