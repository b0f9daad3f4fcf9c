//! What handlers read: one statement each, no writes.

use control_plane::{
    Resource,
    ports::{Deleted, ListQuery, Page},
};
use seca_api::{Kind, ResourceKey};
use sqlx::AssertSqlSafe;

use crate::{
    database::{Database, Lane},
    fault::Fault,
    row,
    selector::Writer,
    sql::{Sql, Value, args, key_args, key_row, rows, sql},
};

const GET: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 \
     AND r.network = $5 AND r.name = $6"
);
const GET_MANY: Sql = sql!(
    "SELECT " columns " FROM " (rows 1) " JOIN resources r ON r.tenant = j.value->>0 AND r.region = j.value->>1 \
     AND r.kind = j.value->>2 AND r.workspace = j.value->>3 AND r.network = j.value->>4 AND r.name = j.value->>5"
);
const COUNT_IN_WORKSPACE: Sql = sql!(
    "SELECT count(*) FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.workspace = $3 \
     AND r.deleted_at IS NULL"
);
const COUNT_IN_NETWORK: Sql = sql!(
    "SELECT count(*) FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.workspace = $3 AND r.network = $4 \
     AND r.deleted_at IS NULL"
);
const LIST: Sql = sql!(
    "SELECT " columns " FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 \
     AND r.network = $5 AND r.name > $6"
);
const INSTALLATION: Sql = sql!("SELECT id FROM installation");

pub(crate) async fn get(db: &Database, key: &ResourceKey) -> Result<Option<Resource>, Fault> {
    row::first(&db.fetch(Lane::Read, GET, &key_args(key)).await?)
}

pub(crate) async fn get_many(db: &Database, keys: &[ResourceKey]) -> Result<Vec<Resource>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    row::all(&db.fetch(Lane::Read, GET_MANY, &[rows(keys.iter().map(key_row))]).await?)
}

/// A page: the key's prefix and the name behind which it begins lead straight to it in the index of the key.
pub(crate) async fn list(db: &Database, query: &ListQuery) -> Result<Page, Fault> {
    let mut text = LIST.text(db.dialect()).to_owned();
    let mut args: Vec<Value<'_>> =
        args![&query.tenant, &query.region, query.kind, &query.workspace, &query.network, &query.after].into();
    text.push_str(match query.deleted {
        Deleted::Exclude => " AND r.deleted_at IS NULL",
        Deleted::Include => "",
        Deleted::Only => " AND r.deleted_at IS NOT NULL",
    });
    if let Some(selector) = &query.selector {
        Writer { dialect: db.dialect(), text: &mut text, args: &mut args }.selector(selector);
    }
    args.push(Value::from(query.limit.saturating_add(1)));
    text.push_str(&format!(" ORDER BY r.name LIMIT ${}", args.len()));
    // A statement of its own for every selector would only push the others out of the cache of prepared ones.
    let persistent = query.selector.is_none();
    let found = db.fetch_text(Lane::Read, AssertSqlSafe(text), &args, persistent).await?;
    let more = found.len() > query.limit;
    let mut items = row::all(&found)?;
    items.truncate(query.limit);
    Ok(Page { items, more })
}

pub(crate) async fn count_children(db: &Database, parent: &ResourceKey) -> Result<i64, Fault> {
    let found = match parent.kind {
        Kind::Workspace => {
            db.fetch(Lane::Read, COUNT_IN_WORKSPACE, &args![&parent.tenant, &parent.region, &parent.name]).await?
        }
        Kind::Network => {
            let args = args![&parent.tenant, &parent.region, &parent.workspace, &parent.name];
            db.fetch(Lane::Read, COUNT_IN_NETWORK, &args).await?
        }
        _ => return Ok(0),
    };
    found.first().map_or(Ok(0), |row| row.int(0))
}

pub(crate) async fn installation(db: &Database) -> Result<String, Fault> {
    let found = db.fetch(Lane::Read, INSTALLATION, &[]).await?;
    found.first().map_or_else(|| Err(Fault::Corrupt("the installation has no id".to_owned())), |row| row.text(0))
}

/// The newest migration in the database.
pub(crate) async fn schema_version(db: &Database) -> Result<i64, Fault> {
    const VERSION: Sql = sql!("SELECT max(version) FROM _sqlx_migrations WHERE success");
    let found = db.fetch(Lane::Read, VERSION, &[]).await?;
    Ok(found.first().map(|row| row.maybe_int(0)).transpose()?.flatten().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;

    #[test]
    fn statements_are_the_same_but_for_the_databases_words() {
        assert!(GET.text(Dialect::Postgres) == GET.text(Dialect::Sqlite));
        assert!(GET_MANY.postgres.contains("json_array_elements($1::json) AS j(value)"));
        assert!(GET_MANY.sqlite.contains("json_each($1) AS j"));
    }
}
