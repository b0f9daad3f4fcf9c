//! What was done by whom.

use std::time::Duration;

use control_plane::ports::{Activity, ActivityQuery, ActivityRecord, Listener};
use seca_api::{ResourceKey, Timestamp};

use crate::{
    database::{Database, Lane},
    fault::Fault,
    sql::{Row, Sql, args, rows, sql},
};

const RECORD: Sql = sql!(
    "INSERT INTO activity (at, recorded_at, listener, actor, action, target, tenant, request_id, result, detail) \
     SELECT CAST(j.value->>0 AS BIGINT), " now ", j.value->>1, j.value->>2, j.value->>3, j.value->>4, j.value->>5, \
     j.value->>6, j.value->>7, j.value->>8 FROM " (parsed_rows 1)
);
const ALL: Sql = sql!(
    "SELECT id, at, listener, actor, action, target, tenant, request_id, result, detail FROM activity \
     WHERE id < $1 ORDER BY id DESC LIMIT $2"
);
/// A text of its own, so that it walks an index of its own.
const OF_TENANT: Sql = sql!(
    "SELECT id, at, listener, actor, action, target, tenant, request_id, result, detail FROM activity \
     WHERE id < $1 AND tenant = $3 ORDER BY id DESC LIMIT $2"
);
/// However long a tenant's list is, only its end is looked at.
const LAST_REQUEST: Sql = sql!(
    "SELECT a.request_id FROM (SELECT id, target, request_id, result FROM activity WHERE tenant = $1 \
     ORDER BY id DESC LIMIT 1000) a WHERE a.target = $2 AND a.request_id IS NOT NULL AND a.result LIKE '2%' \
     ORDER BY a.id DESC LIMIT 1"
);
const PRUNE: Sql = sql!("DELETE FROM activity WHERE recorded_at < " now " - $1");

pub(super) async fn record(db: &Database, activities: &[Activity]) -> Result<(), Fault> {
    if activities.is_empty() {
        return Ok(());
    }
    let all = rows(activities.iter().map(|activity| {
        let text = |text: &str| Some(text.to_owned());
        [
            Some(activity.at.as_millis().to_string()),
            text(activity.listener.as_str()),
            text(&activity.actor),
            text(&activity.action),
            text(&activity.target),
            activity.tenant.clone(),
            activity.request_id.clone(),
            text(&activity.result),
            activity.detail.clone(),
        ]
    }));
    db.execute(Lane::Write, RECORD, &[all]).await.map(drop)
}

pub(super) async fn list(db: &Database, query: &ActivityQuery) -> Result<Vec<ActivityRecord>, Fault> {
    let before = query.before.unwrap_or(i64::MAX);
    let found = match &query.tenant {
        None => db.fetch(Lane::Read, ALL, &args![before, query.limit]).await?,
        Some(tenant) => db.fetch(Lane::Read, OF_TENANT, &args![before, query.limit, tenant]).await?,
    };
    found.iter().map(read).collect()
}

pub(super) async fn last_request(db: &Database, resource: &ResourceKey) -> Result<Option<String>, Fault> {
    let found = db.fetch(Lane::Engine, LAST_REQUEST, &args![&resource.tenant, resource.urn()]).await?;
    found.first().map(|row| row.text(0)).transpose()
}

fn read(row: &Row) -> Result<ActivityRecord, Fault> {
    let listener = row.text("listener")?;
    Ok(ActivityRecord {
        id: row.int("id")?,
        activity: Activity {
            at: Timestamp::from_millis(row.int("at")?),
            listener: Listener::parse(&listener)
                .ok_or_else(|| Fault::Corrupt(format!("there is no listener {listener:?}")))?,
            actor: row.text("actor")?,
            action: row.text("action")?,
            target: row.text("target")?,
            tenant: row.maybe_text("tenant")?,
            request_id: row.maybe_text("request_id")?,
            result: row.text("result")?,
            detail: row.maybe_text("detail")?,
        },
    })
}

pub(super) async fn prune(db: &Database, older: Duration) -> Result<(), Fault> {
    db.execute(Lane::Engine, PRUNE, &args![older]).await.map(drop)
}
