//! What handlers read: one statement each, no writes.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use control_plane::{
    Representation, Resource, Uid, kinds,
    ports::{Deleted, Edition, ListQuery, Look, Looked, Outlines, Page, Shown},
};
use seca_api::{Kind, ResourceKey, Timestamp, selector::Term};
use sqlx::AssertSqlSafe;

use super::{pages, together::Question};
use crate::{
    database::{Database, Lane},
    fault::Fault,
    row,
    selector::Writer,
    sql::{Dialect, Row, Sql, Value, args, key_args, key_row, list as list_of, rows, sql},
};

const GET: Sql = sql!("SELECT " columns " FROM resources r WHERE " own);
/// Several keys at once. A key that names nothing has a tenant as well, and that a version. Most ask for one tenant, so
/// that the version of the first is read once. What is shown is read unless who asks knows it: keys with what is known of
/// them are in the parameters 1 to 10 (PostgreSQL) or 1 (SQLite), the first tenant in the last.
const LOOK: Sql = Sql {
    postgres: sql!(
        "SELECT w.position, o.uid, CASE WHEN w.tenant = $11 THEN " (authorization_version "$11") " ELSE "
        (authorization_version "w.tenant") " END, " (live_children "o") ", " shown " FROM unnest($1::text[], $2::text[], \
         $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[]) \
         WITH ORDINALITY AS w(tenant, region, kind, workspace, network, name, uid, resource_version, revision, \
         last_modified_at, position) \
         LEFT JOIN LATERAL (SELECT o.* FROM resources o WHERE o.tenant = w.tenant AND o.region = w.region \
         AND o.kind = w.kind AND o.workspace = w.workspace AND o.network = w.network AND o.name = w.name LIMIT 1) o ON TRUE \
         LEFT JOIN LATERAL (SELECT o.* WHERE (o.uid = w.uid AND o.resource_version = w.resource_version \
         AND o.revision = w.revision AND o.last_modified_at = w.last_modified_at) IS NOT TRUE) r ON TRUE"
    )
    .postgres,
    sqlite: sql!(
        "SELECT j.key + 1, o.uid, CASE WHEN j.value->>0 = $2 THEN " (authorization_version "$2") " ELSE "
        (authorization_version "j.value->>0") " END, " (live_children "o") ", " shown " FROM " (rows 1)
        " LEFT JOIN resources o ON o.tenant = j.value->>0 AND o.region = j.value->>1 AND o.kind = j.value->>2 \
         AND o.workspace = j.value->>3 AND o.network = j.value->>4 AND o.name = j.value->>5 \
         LEFT JOIN resources r ON r.rowid = o.rowid AND (o.uid = j.value->>6 \
         AND o.resource_version = CAST(j.value->>7 AS INTEGER) AND o.revision = CAST(j.value->>8 AS INTEGER) \
         AND o.last_modified_at = CAST(j.value->>9 AS INTEGER)) IS NOT TRUE"
    )
    .sqlite,
};
const GET_MANY: Sql = sql!("SELECT " columns " FROM " (rows 1) at_listed);
const LIST: Sql = sql!(
    "SELECT " (authorization_version "$1") ", " shown " FROM resources r WHERE r.tenant = $1 AND r.region = $2 \
     AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name > $6"
);
const LIST_AND_COUNT: Sql = sql!(
    "SELECT " (authorization_version "$1") ", " shown ", " (live_children "r") " FROM resources r WHERE r.tenant = $1 \
     AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name > $6"
);
const OUTLINE: Sql = sql!(
    "SELECT " (authorization_version "$1") ", r.uid, r.name, r.revision FROM resources r WHERE r.tenant = $1 \
     AND r.region = $2 AND r.kind = $3 AND r.workspace = $4 AND r.network = $5 AND r.name > $6"
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

/// A lookup of one resource, by who may know its text already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lookup {
    pub(crate) key: ResourceKey,
    pub(crate) known: Option<Edition>,
}

impl Question for Lookup {
    type Answer = Look;

    const NAME: &'static str = "lookup";

    const LANES: usize = 2;

    async fn ask(&self, db: &Database) -> Result<Look, Fault> {
        Ok(look(db, &[self]).await?.pop().unwrap_or_default())
    }

    /// What several ask for is looked up once.
    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Look>, Fault> {
        let mut positions: HashMap<&Self, usize> = HashMap::with_capacity(all.len());
        let mut distinct: Vec<&Self> = Vec::with_capacity(all.len());
        let asked = |one| {
            *positions.entry(one).or_insert_with(|| {
                distinct.push(one);
                distinct.len() - 1
            })
        };
        let places: Vec<usize> = all.iter().map(AsRef::as_ref).map(asked).collect();
        let looks = look(db, &distinct).await?;
        if looks.len() == all.len() {
            return Ok(looks);
        }
        Ok(places.into_iter().map(|place| looks.get(place).cloned().unwrap_or_default()).collect())
    }
}

/// The columns of [`LOOK`] before what is shown. Looks and pages are read by position (see [`crate::sql::Column`]).
const LOOKED: usize = 4;

async fn look(db: &Database, lookups: &[&Lookup]) -> Result<Vec<Look>, Fault> {
    let mut looks = vec![Look::default(); lookups.len()];
    for row in db.fetch(Lane::Read, LOOK, &looked_for(db.dialect(), lookups)).await? {
        let position = usize::try_from(row.int(0)? - 1).unwrap_or(usize::MAX);
        let (Some(look), Some(Lookup { key, .. })) = (looks.get_mut(position), lookups.get(position)) else { continue };
        look.authorization = row.maybe_int(2)?;
        if row.is_empty(1)? {
            continue;
        }
        let children = if counts_children(key.kind) { row.maybe_int(3)? } else { None };
        look.found = Some(match row.is_empty(LOOKED)? {
            true => Looked::Same { children },
            false => Looked::Shown(Shown { resource: row::shown(&row, LOOKED, Some(row.parse(1)?), key)?, children }),
        });
    }
    Ok(looks)
}

/// The parameters of [`LOOK`].
fn looked_for<'a>(dialect: Dialect, lookups: &[&'a Lookup]) -> Vec<Value<'a>> {
    let known = |number: fn(&Edition) -> i64| move |one: &&'a Lookup| one.known.as_ref().map(number);
    let uid = |one: &&'a Lookup| one.known.as_ref().map(|known| known.uid.to_string());
    let numbers = [
        known(|known| known.resource_version),
        known(|known| known.revision),
        known(|known| known.last_modified_at.as_millis()),
    ];
    let first = Value::from(lookups.first().map(|one| one.key.tenant.as_str()));
    if dialect == Dialect::Sqlite {
        let row = |one: &&'a Lookup| {
            let [tenant, region, kind, workspace, network, name] = key_row(&one.key);
            let [version, revision, time] = numbers.map(|number| number(one).map(|number| number.to_string()));
            [tenant, region, kind, workspace, network, name, uid(one), version, revision, time]
        };
        return vec![rows(lookups.iter().map(row)), first];
    }
    let part = |part: fn(&ResourceKey) -> &str| Value::texts(lookups.iter().map(|one| Some(part(&one.key))));
    let mut args = vec![
        part(|key| &key.tenant),
        part(|key| &key.region),
        part(|key| key.kind.as_str()),
        part(|key| &key.workspace),
        part(|key| &key.network),
        part(|key| &key.name),
        Value::Texts(lookups.iter().map(|one| uid(one).map(Cow::Owned)).collect()),
    ];
    args.extend(numbers.map(|number| Value::Ints(lookups.iter().map(number).collect())));
    args.push(first);
    args
}

pub(crate) async fn get_many(db: &Database, keys: &[ResourceKey]) -> Result<Vec<Resource>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    row::all(&db.fetch(Lane::Read, GET_MANY, &[rows(keys.iter().map(key_row))]).await?)
}

/// Behind what is shown: the number of children.
const CHILDREN: usize = 1 + row::SHOWN;

/// A page: the key's prefix and the name behind which it begins lead straight to it in the index of the key, so
/// that it costs what it shows, wherever it lies. With a selector it costs what it passes over as well: a label that
/// few have is searched for to the end of the collection, unless PostgreSQL finds it by the labels.
pub(crate) async fn list(db: &Database, query: &ListQuery) -> Result<Page, Fault> {
    let statement = if counts_children(query.kind) { LIST_AND_COUNT } else { LIST };
    let (text, args) = page(statement, db.dialect(), query, few(db, query).await?);
    let mut found = db.fetch_text(lane(query), AssertSqlSafe(text), &args, is_common(query)).await?;
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let collection = query.collection();
    let counts = counts_children(query.kind);
    let item = |row: &Row| {
        let children = if counts { row.maybe_int(CHILDREN)? } else { None };
        Ok(Shown { resource: row::shown(row, 1, None, &collection)?, children })
    };
    let items = found.iter().map(item).collect::<Result<_, Fault>>()?;
    let authorization = found.first().map_or(Ok(None), |row| row.maybe_int(0))?;
    Ok(Page { items, more, authorization })
}

/// The same page, without what it shows. Most are read by [`pages`] instead.
pub(crate) async fn outline(db: &Database, query: &ListQuery) -> Result<Outlines, Fault> {
    let (text, args) = page(OUTLINE, db.dialect(), query, few(db, query).await?);
    let mut found = db.fetch_text(lane(query), AssertSqlSafe(text), &args, is_common(query)).await?;
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let items = found.iter().map(|row| pages::outline_of(row, 1)).collect::<Result<_, Fault>>()?;
    let authorization = found.first().map_or(Ok(None), |row| row.maybe_int(0))?;
    Ok(Outlines { items, more, authorization })
}

const fn lane(query: &ListQuery) -> Lane {
    if query.selector.is_some() { Lane::Search } else { Lane::Read }
}

/// Whether a statement is worth to stay prepared. One of its own for every selector would only push the others out of the
/// cache of prepared ones, but most selectors ask for a label or two.
fn is_common(query: &ListQuery) -> bool {
    let is_plain = |term: &Term| match term {
        Term::Equals(name, value) => name.literal().is_some() && value.literal().is_some(),
        _ => false,
    };
    query.selector.as_ref().is_none_or(|selector| selector.terms.len() <= 2 && selector.terms.iter().all(is_plain))
}

/// What is shown of resources of a collection.
pub(crate) async fn shown(db: &Database, collection: &ResourceKey, uids: &[Uid]) -> Result<Vec<Representation>, Fault> {
    let found = db.fetch(Lane::Read, SHOWN, &[list_of(uids)]).await?;
    found.iter().map(|row| row::shown(row, 1, Some(row.parse(0)?), collection)).collect()
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
    let counts = counts_children(query.kind);
    if let Some(page) = pages::IndexedPage::of(query, db.dialect()).filter(|_| !counts) {
        return pages::explain(db, &page).await;
    }
    let statement = if counts { LIST_AND_COUNT } else { OUTLINE };
    let (text, args) = page(statement, db.dialect(), query, None);
    db.explain(lane(query), &text, &args, query.selector.is_none()).await
}

#[cfg(feature = "testing")]
pub(crate) async fn explain_look(db: &Database, key: &ResourceKey) -> Result<crate::testing::Explained, Fault> {
    let lookup = Lookup { key: key.clone(), known: None };
    db.explain(Lane::Read, LOOK.text(db.dialect()), &looked_for(db.dialect(), &[&lookup]), true).await
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
