//! What handlers read: one statement each, no writes.

use std::{collections::HashMap, sync::Arc};

use control_plane::{
    Representation, Resource, Uid, kinds,
    ports::{Deleted, ListQuery, Look, Outline, Outlines, Page, Shown},
};
use seca_api::{Kind, ResourceKey, Timestamp, selector::Term};
use sqlx::AssertSqlSafe;

use super::together::Question;
use crate::{
    database::{Database, Lane},
    fault::Fault,
    row,
    selector::Writer,
    sql::{Dialect, Row, Sql, Value, args, key_args, key_row, list as list_of, rows, sql},
};

const GET: Sql = sql!("SELECT " columns " FROM resources r WHERE " own);
/// Also a row that is not there has a tenant, and that a version.
const LOOK: Sql = sql!(
    "SELECT r.uid, " shown ", NULL, a.version FROM (SELECT " (authorization_version "$1") " AS version) a \
     LEFT JOIN resources r ON " own
);
const LOOK_AND_COUNT: Sql = sql!(
    "SELECT r.uid, " shown ", " live_children ", a.version FROM (SELECT " (authorization_version "$1") " AS version) a \
     LEFT JOIN resources r ON " own
);
/// Counted once for each key, however many ask for it.
const LOOK_AND_COUNT_MANY: Sql = sql!(
    "SELECT r.uid, " shown ", CAST(j.value->>6 AS BIGINT), " (authorization_version "j.value->>0") ", " live_children
    " FROM " (rows 1) at_listed_or_not
);
const LOOK_MANY: Sql = sql!(
    "SELECT r.uid, " shown ", CAST(j.value->>6 AS BIGINT), " (authorization_version "j.value->>0") " FROM " (rows 1)
    at_listed_or_not
);
const GET_MANY: Sql = sql!("SELECT " columns " FROM " (rows 1) at_listed);
const COUNT_IN_WORKSPACE: Sql = sql!(
    "SELECT count(*) FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.workspace = $3 \
     AND r.deleted_at IS NULL"
);
const COUNT_IN_NETWORK: Sql = sql!(
    "SELECT count(*) FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.workspace = $3 AND r.network = $4 \
     AND r.deleted_at IS NULL"
);
const LIST: Sql = sql!(
    "SELECT " (authorization_version "$1") ", " shown " FROM resources r WHERE r.tenant = $1 AND r.region = $2 \
     AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name > $6"
);
const LIST_AND_COUNT: Sql = sql!(
    "SELECT " (authorization_version "$1") ", " shown ", " live_children " FROM resources r WHERE r.tenant = $1 \
     AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name > $6"
);
const OUTLINE: Sql = sql!(
    "SELECT " (authorization_version "$1") ", r.uid, r.name, r.resource_version, r.revision, r.last_modified_at \
     FROM resources r WHERE r.tenant = $1 AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 \
     AND r.name > $6"
);
const SHOWN: Sql = sql!("SELECT r.uid, " shown " FROM resources r WHERE r.uid IN " (list 1));
const INSTALLATION: Sql = sql!("SELECT id FROM installation");

pub(crate) async fn get(db: &Database, key: &ResourceKey) -> Result<Option<Resource>, Fault> {
    row::first(&db.fetch(Lane::Read, GET, &key_args(key)).await?)
}

/// Whether what is shown of a kind holds the number of its children.
pub(super) fn counts_children(kind: Kind) -> bool {
    kinds::rules(kind).is_some_and(|rules| rules.counts_children)
}

/// A lookup of one resource.
impl Question for ResourceKey {
    type Answer = Look;

    const NAME: &'static str = "lookup";

    const LANES: usize = 2;

    async fn ask(&self, db: &Database) -> Result<Look, Fault> {
        look(db, self).await
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Look>, Fault> {
        look_many(db, all, false).await
    }
}

/// A lookup of one resource whose children are counted: not together with others, which would wait for the count.
#[derive(Debug)]
pub(crate) struct Counted(pub(crate) ResourceKey);

impl Question for Counted {
    type Answer = Look;

    const NAME: &'static str = "counted_lookup";

    const LANES: usize = 2;

    async fn ask(&self, db: &Database) -> Result<Look, Fault> {
        look(db, &self.0).await
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Look>, Fault> {
        let keys: Vec<Arc<ResourceKey>> = all.iter().map(|one| Arc::new(one.0.clone())).collect();
        look_many(db, &keys, true).await
    }
}

async fn look(db: &Database, key: &ResourceKey) -> Result<Look, Fault> {
    let statement = if counts_children(key.kind) { LOOK_AND_COUNT } else { LOOK };
    let found = db.fetch(Lane::Read, statement, &key_args(key)).await?;
    found.first().map_or_else(|| Ok(Look::default()), |row| looked(row, key, row.maybe_int(CHILDREN)?))
}

/// Behind what is shown: the number of children, or the position of the key among several.
const CHILDREN: usize = 1 + row::SHOWN;

/// What a look found, with the version in the last column. A row that is not there has no uid.
fn looked(row: &Row, key: &ResourceKey, children: Option<i64>) -> Result<Look, Fault> {
    let found = match row.maybe_text(0)? {
        Some(_) => Some(Shown { resource: row::shown(row, Some(row.parse(0)?), key)?, children }),
        None => None,
    };
    Ok(Look { found, authorization: row.maybe_int(CHILDREN + 1)? })
}

/// The same for several keys at once, in their order. What several ask for is looked up once.
async fn look_many(db: &Database, keys: &[Arc<ResourceKey>], counted: bool) -> Result<Vec<Look>, Fault> {
    let mut positions: HashMap<&ResourceKey, usize> = HashMap::with_capacity(keys.len());
    let mut distinct: Vec<&ResourceKey> = Vec::with_capacity(keys.len());
    for key in keys {
        positions.entry(key).or_insert_with(|| {
            distinct.push(key);
            distinct.len() - 1
        });
    }
    let mut looks = vec![Look::default(); distinct.len()];
    let listed = distinct.iter().enumerate().map(|(position, key)| {
        let [tenant, region, kind, workspace, network, name] = key_row(key);
        [tenant, region, kind, workspace, network, name, Some(position.to_string())]
    });
    let statement = if counted { LOOK_AND_COUNT_MANY } else { LOOK_MANY };
    for row in db.fetch(Lane::Read, statement, &[rows(listed)]).await? {
        let position = usize::try_from(row.int(CHILDREN)?).unwrap_or(usize::MAX);
        if let (Some(look), Some(key)) = (looks.get_mut(position), distinct.get(position)) {
            *look = looked(&row, key, if counted { row.maybe_int(CHILDREN + 2)? } else { None })?;
        }
    }
    let of = |key: &Arc<ResourceKey>| positions.get(&**key).and_then(|position| looks.get(*position)).cloned();
    Ok(keys.iter().map(|key| of(key).unwrap_or_default()).collect())
}

pub(crate) async fn get_many(db: &Database, keys: &[ResourceKey]) -> Result<Vec<Resource>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    row::all(&db.fetch(Lane::Read, GET_MANY, &[rows(keys.iter().map(key_row))]).await?)
}

/// A page: the key's prefix and the name behind which it begins lead straight to it in the index of the key, so
/// that it costs what it shows, wherever it lies. With a selector it costs what it passes over as well: a label that
/// few have is searched for to the end of the collection, unless PostgreSQL finds it by the labels.
pub(crate) async fn list(db: &Database, query: &ListQuery) -> Result<Page, Fault> {
    let statement = if counts_children(query.kind) { LIST_AND_COUNT } else { LIST };
    let (text, args) = page(statement, db.dialect(), query, few(db, query).await?);
    // A statement of its own for every selector would only push the others out of the cache of prepared ones.
    let persistent = query.selector.is_none();
    let mut found = db.fetch_text(Lane::Read, AssertSqlSafe(text), &args, persistent).await?;
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let collection = query.collection();
    let counts = counts_children(query.kind);
    let item = |row: &Row| {
        let children = if counts { row.maybe_int(CHILDREN)? } else { None };
        Ok(Shown { resource: row::shown(row, None, &collection)?, children })
    };
    let items = found.iter().map(item).collect::<Result<_, Fault>>()?;
    let authorization = found.first().map_or(Ok(None), |row| row.maybe_int(0))?;
    Ok(Page { items, more, authorization })
}

/// The same page, without what it shows.
pub(crate) async fn outline(db: &Database, query: &ListQuery) -> Result<Outlines, Fault> {
    let (text, args) = page(OUTLINE, db.dialect(), query, few(db, query).await?);
    let mut found = db.fetch_text(Lane::Read, AssertSqlSafe(text), &args, query.selector.is_none()).await?;
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let item = |row: &Row| {
        Ok(Outline {
            uid: row.parse(1)?,
            name: row.text(2)?,
            resource_version: row.int(3)?,
            revision: row.int(4)?,
            last_modified_at: Timestamp::from_millis(row.int(5)?),
        })
    };
    let items = found.iter().map(item).collect::<Result<_, Fault>>()?;
    let authorization = found.first().map_or(Ok(None), |row| row.maybe_int(0))?;
    Ok(Outlines { items, more, authorization })
}

/// What is shown of resources of a collection.
pub(crate) async fn shown(db: &Database, collection: &ResourceKey, uids: &[Uid]) -> Result<Vec<Representation>, Fault> {
    let found = db.fetch(Lane::Read, SHOWN, &[list_of(uids)]).await?;
    found.iter().map(|row| row::shown(row, Some(row.parse(0)?), collection)).collect()
}

/// Those few resources, wherever they are, that have a label which a selector wants, where SQLite is asked: it would walk
/// through the whole collection for them. None where many have it, or no value is named. PostgreSQL knows its tables.
async fn few(db: &Database, query: &ListQuery) -> Result<Option<Value<'static>>, Fault> {
    let wanted = |term: &Term| match term {
        Term::Equals(name, value) => Some((name.literal()?.to_owned(), value.literal()?.to_owned())),
        _ => None,
    };
    let terms = query.selector.iter().flat_map(|selector| &selector.terms);
    if db.dialect() == Dialect::Postgres {
        return Ok(None);
    }
    for (name, value) in terms.filter_map(wanted) {
        let found = db.fetch(Lane::Read, LABELLED, &args![name, value, FEW + 1]).await?;
        if found.len() <= FEW {
            return Ok(Some(list_of(row::uids(&found)?)));
        }
    }
    Ok(None)
}

/// How many rows are looked at by themselves rather than walked to.
const FEW: usize = 500;
const LABELLED: Sql = sql!("SELECT uid FROM resource_labels WHERE name = $1 AND value = $2 LIMIT $3");

fn page<'q>(
    statement: Sql,
    dialect: Dialect,
    query: &'q ListQuery,
    few: Option<Value<'q>>,
) -> (String, Vec<Value<'q>>) {
    let mut text = statement.text(dialect).to_owned();
    let mut args: Vec<Value<'_>> =
        args![&query.tenant, &query.region, query.kind, &query.workspace, &query.network, &query.after].into();
    text.push_str(match query.deleted {
        Deleted::Exclude => " AND r.deleted_at IS NULL",
        Deleted::Include => "",
        Deleted::Only => " AND r.deleted_at IS NOT NULL",
    });
    if let Some(few) = few {
        args.push(few);
        let found = format!(" FROM json_each(${}) f CROSS JOIN resources r WHERE r.uid = f.value AND ", args.len());
        text = text.replacen(" FROM resources r WHERE ", &found, 1);
    }
    if let Some(selector) = &query.selector {
        Writer { dialect, text: &mut text, args: &mut args }.selector(selector);
    }
    args.push(Value::from(query.limit.saturating_add(1)));
    text.push_str(&format!(" ORDER BY r.name LIMIT ${}", args.len()));
    (text, args)
}

#[cfg(feature = "testing")]
pub(crate) async fn explain_list(db: &Database, query: &ListQuery) -> Result<crate::testing::Explained, Fault> {
    let statement = if counts_children(query.kind) { LIST_AND_COUNT } else { LIST };
    let (text, args) = page(statement, db.dialect(), query, None);
    db.explain(&text, &args, query.selector.is_none()).await
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

/// The database's time.
pub(crate) async fn now(db: &Database) -> Result<Timestamp, Fault> {
    const NOW: Sql = sql!("SELECT " now);
    let found = db.fetch(Lane::Read, NOW, &[]).await?;
    let row = found.first().ok_or_else(|| Fault::Corrupt("the database tells no time".to_owned()))?;
    Ok(Timestamp::from_millis(row.int(0)?))
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

    #[test]
    fn statements_are_the_same_but_for_the_databases_words() {
        assert!(GET.text(Dialect::Postgres) == GET.text(Dialect::Sqlite));
        assert!(GET_MANY.postgres.contains("json_array_elements($1::json))) AS j(value)"));
        assert!(GET_MANY.sqlite.contains("json_each($1) AS j"));
    }
}
