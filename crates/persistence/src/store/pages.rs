//! Pages that are read straight from an index: all of a collection, or what bears one label of it, without what is on its
//! way out. In PostgreSQL those that wait are asked for together, because a trip costs as much as the rows of some pages.

use std::sync::Arc;

use control_plane::ports::{Deleted, ListQuery, Outline, Outlines};
use seca_api::{ResourceKey, selector::Term};

use super::together::Question;
use crate::{
    database::{Database, Lane},
    fault::Fault,
    sql::{Dialect, Row, Sql, Value, args, key_path, place_path, sql},
};

/// The most rows that a page has which is asked for with others: all pages of a statement are in memory at once.
const MOST: usize = 100;

/// Pages of collections, each behind a name (6), of so many rows at most (7). The version of a tenant stands with each row.
const PAGES: Sql = Sql {
    postgres: sql!(
        "SELECT w.position, w.version, r.uid, r.name, r.revision FROM \
         (SELECT x.*, " (authorization_version "x.tenant") " AS version FROM unnest($1::text[], $2::text[], $3::text[], \
         $4::text[], $5::text[], $6::text[], $7::bigint[]) WITH ORDINALITY AS x(tenant, region, kind, workspace, network, \
         after, most, position) OFFSET 0) w CROSS JOIN LATERAL (SELECT r.* FROM resources r WHERE r.tenant = w.tenant \
         AND r.region = w.region AND r.kind = w.kind AND r.workspace = w.workspace AND r.network = w.network \
         AND r.name > w.after AND r.deleted_at IS NULL ORDER BY r.name LIMIT w.most) r"
    )
    .postgres,
    // Never asked: `read.rs` walks through the same index there.
    sqlite: "",
};
/// Pages of what bears a label (2 and 3): of a tenant (1), between two places in the order of keys (4, 5), of so many rows at
/// most (6).
const LABELLED: Sql = Sql {
    postgres: sql!(
        "SELECT w.position, w.version, r.uid, r.name, r.revision FROM \
         (SELECT x.*, " (authorization_version "x.tenant") " AS version FROM unnest($1::text[], $2::text[], $3::text[], \
         $4::text[], $5::text[], $6::bigint[]) WITH ORDINALITY AS x(tenant, label, value, after, before, most, position) \
         OFFSET 0) w CROSS JOIN LATERAL (SELECT r.* FROM (SELECT l.uid, l.resource FROM resource_labels l \
         WHERE l.name = w.label AND l.value = w.value AND l.resource > w.after AND l.resource < w.before \
         ORDER BY l.resource OFFSET 0) l CROSS JOIN LATERAL (SELECT r.* FROM resources r WHERE r.uid = l.uid LIMIT 1) r \
         WHERE r.deleted_at IS NULL ORDER BY l.resource LIMIT w.most) r"
    )
    .postgres,
    sqlite: sql!(
        "SELECT 1, " (authorization_version "$1") ", r.uid, r.name, r.revision \
         FROM resource_labels l CROSS JOIN resources r ON r.uid = l.uid WHERE l.name = $2 AND l.value = $3 \
         AND l.resource > $4 AND l.resource < $5 AND r.deleted_at IS NULL ORDER BY l.resource LIMIT $6"
    )
    .sqlite,
};

/// A page that is read from an index.
#[derive(Clone, Debug)]
pub(crate) struct IndexedPage {
    query: ListQuery,
    /// The label, name and value, that all of it bears.
    label: Option<(String, String)>,
}

impl IndexedPage {
    /// The page, if an index has it.
    pub(crate) fn of(query: &ListQuery, dialect: Dialect) -> Option<Self> {
        let label = match query.selector.as_ref().map(|selector| selector.terms.as_slice()) {
            None | Some([]) => None,
            Some([Term::Equals(name, value)]) => Some((name.literal()?.to_owned(), value.literal()?.to_owned())),
            Some(_) => return None,
        };
        let is_read_here = dialect == Dialect::Postgres || label.is_some();
        let is_indexed = is_read_here && query.deleted == Deleted::Exclude && query.limit <= MOST;
        is_indexed.then(|| Self { query: query.clone(), label })
    }

    /// How many rows are read: one more than are shown tells whether there are more.
    fn rows(&self) -> usize {
        self.query.limit + 1
    }

    /// Between what keys the rest of what bears its label lies.
    fn bounds(&self) -> (String, String) {
        let collection = self.query.collection();
        // A name follows the last slash, and '0' comes right after a slash.
        let before = place_path(&collection) + "0";
        (key_path(&ResourceKey { name: self.query.after.clone(), ..collection }), before)
    }
}

impl Question for IndexedPage {
    type Answer = Outlines;

    const NAME: &'static str = "page";

    const LANES: usize = 2;

    /// No trip is saved in SQLite.
    fn is_alone(&self, db: &Database) -> bool {
        db.dialect() == Dialect::Sqlite
    }

    async fn ask(&self, db: &Database) -> Result<Outlines, Fault> {
        Ok(ask(db, &[self]).await?.pop().unwrap_or_default())
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Outlines>, Fault> {
        let mut answers = vec![Outlines::default(); all.len()];
        let places = 0..all.len();
        let (labelled, plain): (Vec<usize>, Vec<usize>) = places.partition(|place| all[*place].label.is_some());
        for places in [plain, labelled].into_iter().filter(|places| !places.is_empty()) {
            let pages: Vec<&Self> = places.iter().map(|place| all[*place].as_ref()).collect();
            for (place, answer) in places.into_iter().zip(ask(db, &pages).await?) {
                answers[place] = answer;
            }
        }
        Ok(answers)
    }
}

/// Pages that either all bear a label or none.
async fn ask(db: &Database, pages: &[&IndexedPage]) -> Result<Vec<Outlines>, Fault> {
    let (statement, args) = statement(db.dialect(), pages);
    let found = db.fetch(Lane::Read, statement, &args).await?;
    let mut answers = vec![Outlines::default(); pages.len()];
    for row in &found {
        let position = usize::try_from(row.int(0)? - 1).unwrap_or(usize::MAX);
        let Some(answer) = answers.get_mut(position) else { continue };
        if answer.items.is_empty() {
            answer.authorization = row.maybe_int(1)?;
        }
        answer.items.push(outline_of(row, 2)?);
    }
    for (answer, page) in answers.iter_mut().zip(pages) {
        // They come in this order, which costs a glance to make sure of: no statement promises the order of a join.
        answer.items.sort_by(|one, other| one.name.cmp(&other.name));
        answer.more = answer.items.len() > page.query.limit;
        answer.items.truncate(page.query.limit);
    }
    Ok(answers)
}

/// What a page has of a resource, from a column on.
pub(super) fn outline_of(row: &Row, at: usize) -> Result<Outline, Fault> {
    Ok(Outline { uid: row.parse(at)?, name: row.text(at + 1)?, revision: row.int(at + 2)? })
}

fn column<'a>(pages: &[&'a IndexedPage], part: fn(&'a IndexedPage) -> &'a str) -> Value<'a> {
    Value::texts(pages.iter().map(|page| Some(part(page))))
}

fn rows_of(pages: &[&IndexedPage]) -> Value<'static> {
    Value::Ints(pages.iter().map(|page| i64::try_from(page.rows()).ok()).collect())
}

/// The parameters of [`PAGES`] in PostgreSQL.
fn collections<'a>(pages: &[&'a IndexedPage]) -> Vec<Value<'a>> {
    vec![
        column(pages, |page| &page.query.tenant),
        column(pages, |page| &page.query.region),
        column(pages, |page| page.query.kind.as_str()),
        column(pages, |page| &page.query.workspace),
        column(pages, |page| &page.query.network),
        column(pages, |page| &page.query.after),
        rows_of(pages),
    ]
}

/// The parameters of [`LABELLED`] in PostgreSQL.
fn labelled<'a>(pages: &[&'a IndexedPage]) -> Vec<Value<'a>> {
    let (after, before): (Vec<_>, Vec<_>) = pages.iter().map(|page| page.bounds()).unzip();
    let owned = |texts: Vec<String>| Value::Texts(texts.into_iter().map(|text| Some(text.into())).collect());
    vec![
        column(pages, |page| &page.query.tenant),
        column(pages, |page| page.label.as_ref().map_or("", |(name, _)| name)),
        column(pages, |page| page.label.as_ref().map_or("", |(_, value)| value)),
        owned(after),
        owned(before),
        rows_of(pages),
    ]
}

/// The parameters of [`LABELLED`] in SQLite, where a page is asked for alone.
fn labelled_alone(page: &IndexedPage) -> Vec<Value<'_>> {
    let (label, value) = page.label.as_ref().map_or(("", ""), |(label, value)| (label, value));
    let (after, before) = page.bounds();
    args![&page.query.tenant, label, value, after, before, page.rows()].into()
}

/// What is asked for pages that either all bear a label or none.
fn statement<'a>(dialect: Dialect, pages: &[&'a IndexedPage]) -> (Sql, Vec<Value<'a>>) {
    match (dialect, pages) {
        (Dialect::Sqlite, [page, ..]) => (LABELLED, labelled_alone(page)),
        (_, [page, ..]) if page.label.is_some() => (LABELLED, labelled(pages)),
        _ => (PAGES, collections(pages)),
    }
}

#[cfg(feature = "testing")]
pub(crate) async fn explain(db: &Database, page: &IndexedPage) -> Result<crate::testing::Explained, Fault> {
    let (statement, args) = statement(db.dialect(), &[page]);
    db.explain(Lane::Read, statement.text(db.dialect()), &args, true).await
}
