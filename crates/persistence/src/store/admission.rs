//! What a PUT is judged by: one statement, whatever the document names, and for however many wait.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use control_plane::{
    Resource, Uid,
    ports::{Admission, AdmissionQuery, Before, Collection, Edge},
};
use seca_api::ResourceKey;

use super::together::Question;
use crate::{
    database::{Database, Lane, Tx},
    fault::Fault,
    row,
    sql::{Row, Sql, Value, key_row, rows, sql},
};

/// Resources (1), who holds any of them (1), references (2), relatives (3), and tenants with their versions (4).
/// Parameter 1 is the keys, those that are written with a mark; 2 is the collections. SQLite keeps the order of a CROSS
/// JOIN; it knows nothing of how long a CTE is, and would rather read all resources than look a few up.
const ADMISSION: Sql = sql!(
    "WITH edges AS MATERIALIZED (SELECT e.uid, e.position, e.field, e.strict, e.tenant, e.region, e.kind, \
     e.workspace, e.network, e.name FROM " (rows 1) at_listed " CROSS JOIN resource_references e \
     WHERE j.value->>6 = '1' AND e.uid = r.uid), \
     keys AS MATERIALIZED (SELECT j.value->>0 AS tenant, j.value->>1 AS region, j.value->>2 AS kind, \
     j.value->>3 AS workspace, j.value->>4 AS network, j.value->>5 AS name FROM " (rows 1)
    " UNION SELECT tenant, region, kind, workspace, network, name FROM edges), \
     named AS MATERIALIZED (SELECT " columns " FROM keys e" at_joined ") \
     SELECT CAST(1 AS BIGINT) AS role, '', 0, '', 0, '', '', '', '', '', '', " columns " FROM named r \
     UNION ALL SELECT 1, '', 0, '', 0, '', '', '', '', '', '', " columns
    " FROM named n CROSS JOIN resources r WHERE r.uid = n.holder \
     UNION ALL SELECT 2, e.uid, e.position, e.field, e.strict, e.tenant, e.region, e.kind, e.workspace, e.network, \
     e.name, " no_columns " FROM edges e \
     UNION ALL SELECT 3, '', 0, '', 0, '', '', '', '', '', '', " columns " FROM " (rows 2)
    at_collection
    " UNION ALL SELECT 4, asked.tenant, " (authorization_version "asked.tenant") ", '', 0, '', '', '', '', '', '', " no_columns
    " FROM (SELECT DISTINCT j.value->>0 AS tenant FROM " (rows 1) " WHERE j.value->>6 = '1') asked"
);

impl Question for AdmissionQuery {
    type Answer = Admission;

    const NAME: &'static str = "admission";

    const LANES: usize = 1;

    /// Relatives may be many, and nobody else's.
    fn is_alone(&self, _: &Database) -> bool {
        !self.relatives.is_empty()
    }

    async fn ask(&self, db: &Database) -> Result<Admission, Fault> {
        let mut answers = admissions(db, &[self]).await?;
        Ok(answers.pop().unwrap_or_default())
    }

    async fn ask_all(db: &Database, all: &[Arc<Self>]) -> Result<Vec<Admission>, Fault> {
        admissions(db, &all.iter().map(AsRef::as_ref).collect::<Vec<_>>()).await
    }
}

async fn admissions(db: &Database, queries: &[&AdmissionQuery]) -> Result<Vec<Admission>, Fault> {
    let found = Found::read(&db.fetch(Lane::Read, ADMISSION, &judged_by(queries)).await?)?;
    Ok(queries.iter().map(|query| found.admission(query)).collect())
}

/// The same inside a transaction.
pub(super) async fn within(tx: &mut Tx, query: &AdmissionQuery) -> Result<Admission, Fault> {
    let found = Found::read(&tx.fetch(ADMISSION, &judged_by(&[query])).await?)?;
    Ok(found.admission(query))
}

/// All that one statement found, for all that it was asked for.
#[derive(Default)]
struct Found {
    by_key: HashMap<ResourceKey, Resource>,
    by_uid: HashMap<Uid, ResourceKey>,
    /// By the referrer and their position: two may ask for the same row.
    edges: HashMap<Uid, BTreeMap<i64, Edge>>,
    relatives: Vec<Resource>,
    /// By the tenant.
    versions: HashMap<String, Option<i64>>,
}

impl Found {
    /// By position (see [`crate::sql::Column`]).
    fn read(answer: &[Row]) -> Result<Self, Fault> {
        const EDGE: usize = 1;
        const RESOURCE: usize = 11;
        let mut found = Self::default();
        for row in answer {
            match row.int(0)? {
                2 => {
                    let (field, strict) = (row.text(EDGE + 2)?, row.int(EDGE + 3)? == 1);
                    let edge = Edge { field, strict, target: row::key(row, EDGE + 4)? };
                    found.edges.entry(row.parse(EDGE)?).or_default().insert(row.int(EDGE + 1)?, edge);
                }
                4 => drop(found.versions.insert(row.text(1)?, row.maybe_int(2)?)),
                3 => found.relatives.push(row::resource(row, RESOURCE)?),
                _ => {
                    let resource = row::resource(row, RESOURCE)?;
                    found.by_uid.insert(resource.uid, resource.key.clone());
                    found.by_key.insert(resource.key.clone(), resource);
                }
            }
        }
        Ok(found)
    }

    /// What one of the queries gets of it.
    fn admission(&self, query: &AdmissionQuery) -> Admission {
        let own = self.by_key.get(&query.key);
        let edges = || own.and_then(|row| self.edges.get(&row.uid)).into_iter().flat_map(BTreeMap::values);
        let named = query.named.iter().chain(edges().map(|edge| &edge.target));
        let named = named.filter_map(|key| self.by_key.get(key));
        let holder = |row: &Resource| self.by_key.get(self.by_uid.get(&row.holder?)?);
        let others: BTreeMap<Uid, &Resource> = named
            .flat_map(|row| [Some(row), holder(row)])
            .flatten()
            .filter(|row| row.key != query.key)
            .map(|row| (row.uid, row))
            .collect();
        let relatives = self.relatives.iter().filter(|row| row.key != query.key).map(|row| (row.uid, row));
        Admission {
            before: own.map(|row| Before { row: row.clone(), edges: edges().cloned().collect() }),
            rows: others.into_values().cloned().collect(),
            relatives: relatives.collect::<BTreeMap<_, _>>().into_values().cloned().collect(),
            authorization: self.versions.get(&query.key.tenant).copied().flatten(),
        }
    }
}

/// The parameters of [`ADMISSION`].
fn judged_by(queries: &[&AdmissionQuery]) -> [Value<'static>; 2] {
    let keys = queries.iter().flat_map(|query| {
        let named = query.named.iter().map(|key| (key, None));
        std::iter::once((&query.key, Some("1".to_owned()))).chain(named)
    });
    let keys = keys.map(|(key, mark)| {
        let [tenant, region, kind, workspace, network, name] = key_row(key);
        [tenant, region, kind, workspace, network, name, mark]
    });
    let collections = queries.iter().flat_map(|query| &query.relatives).map(|collection| {
        let Collection { kind, tenant, region, workspace, network } = collection;
        [tenant.as_str(), region, kind.as_str(), workspace, network].map(|part| Some(part.to_owned()))
    });
    [rows(keys), rows(collections)]
}

#[cfg(feature = "testing")]
pub(crate) async fn explain(db: &Database, query: &AdmissionQuery) -> Result<crate::testing::Explained, Fault> {
    db.explain(Lane::Read, ADMISSION.text(db.dialect()), &judged_by(&[query]), true).await
}
