//! The registry of tenants.

use control_plane::{
    ports::{TenantChange, TenantRecord},
    service::{ReferencePolicy, Tenant},
};
use seca_api::Timestamp;

use crate::{
    database::{Database, Lane, Operation, Tx},
    fault::Fault,
    sql::{Row, Sql, args, rows, sql},
};

const ALL: Sql = sql!(
    "SELECT t.name, t.conformance, t.late_references, t.suspended, t.authorization_version + e.version AS version, t.created_at \
     FROM tenants t, authorization_epoch e ORDER BY t.name"
);
const ONE: Sql = sql!(
    "SELECT t.name, t.conformance, t.late_references, t.suspended, t.authorization_version + e.version AS version, t.created_at \
     FROM tenants t, authorization_epoch e WHERE t.name = $1"
);
const ADD: Sql = sql!(
    "INSERT INTO tenants (name, conformance, late_references, created_at) SELECT j.value->>0, \
     CAST(j.value->>1 AS BIGINT), CAST(j.value->>2 AS BIGINT), " now " FROM " (rows 1) " WHERE true \
     ON CONFLICT DO NOTHING RETURNING name"
);
const CHANGE: Sql = sql!(
    "UPDATE tenants SET suspended = COALESCE($2, suspended), conformance = COALESCE($3, conformance), \
     late_references = COALESCE($4, late_references), authorization_version = authorization_version + 1 \
     WHERE name = $1 AND (suspended <> COALESCE($2, suspended) OR conformance <> COALESCE($3, conformance) \
     OR late_references <> COALESCE($4, late_references))"
);

pub(super) async fn all(db: &Database) -> Result<Vec<TenantRecord>, Fault> {
    db.fetch(Lane::Read, ALL, &[]).await?.iter().map(record).collect()
}

pub(super) async fn one(db: &Database, name: &str) -> Result<Option<TenantRecord>, Fault> {
    db.fetch(Lane::Read, ONE, &args![name]).await?.first().map(record).transpose()
}

/// Registers those that are not there; how many.
pub(super) async fn add<'a>(
    db: &Database,
    tenants: impl IntoIterator<Item = (&'a str, &'a Tenant)>,
) -> Result<usize, Fault> {
    let added = rows(tenants.into_iter().map(|(name, tenant)| {
        let number = |is: bool| Some(i64::from(is).to_string());
        [Some(name.to_owned()), number(tenant.conformance), number(is_late(tenant.references))]
    }));
    Ok(db.execute(Lane::Write, ADD, &[added]).await?.len())
}

pub(super) struct Change<'a> {
    pub(super) name: &'a str,
    pub(super) change: &'a TenantChange,
}

impl Operation for Change<'_> {
    type Output = Option<TenantRecord>;

    async fn run(&self, tx: &mut Tx) -> Result<Option<TenantRecord>, Fault> {
        let TenantChange { suspended, conformance, references } = self.change;
        let number = |is: &Option<bool>| is.map(i64::from);
        let late = references.map(is_late);
        tx.execute(CHANGE, &args![self.name, number(suspended), number(conformance), number(&late)]).await?;
        tx.first(ONE, &args![self.name]).await?.map(|row| record(&row)).transpose()
    }
}

const fn is_late(references: ReferencePolicy) -> bool {
    matches!(references, ReferencePolicy::Late)
}

/// A tenant.
pub(super) fn record(row: &Row) -> Result<TenantRecord, Fault> {
    let references = if row.int("late_references")? == 0 { ReferencePolicy::Strict } else { ReferencePolicy::Late };
    Ok(TenantRecord {
        name: row.text("name")?,
        settings: Tenant { conformance: row.int("conformance")? != 0, references },
        suspended: row.int("suspended")? != 0,
        version: row.int("version")?,
        created_at: Timestamp::from_millis(row.int("created_at")?),
    })
}
