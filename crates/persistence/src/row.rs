//! A resource as columns, and back.

use std::time::Duration;

use control_plane::{ActionKind, ActionState, ProjectId, Representation, Resource, Uid};
use seca_api::{Kind, ResourceKey, ResourceState, Timestamp};
use serde::{Deserialize, de::value::StrDeserializer};

use crate::{
    fault::Fault,
    sql::{Row, Value, args},
};

/// The columns of the word `columns`, in its order.
const ALL: [&str; 27] = [
    "uid",
    "tenant",
    "region",
    "kind",
    "workspace",
    "network",
    "name",
    "project",
    "labels",
    "annotations",
    "extensions",
    "spec",
    "status",
    "state",
    "conditions",
    "resource_version",
    "generation",
    "observed_generation",
    "revision",
    "created_at",
    "last_modified_at",
    "deleted_at",
    "facts",
    "holder",
    "action_kind",
    "action_seq",
    "action_done_seq",
];

/// How many columns `columns` has.
pub(crate) const COLUMNS: usize = ALL.len();

/// The columns of the word `shown`, in its order.
const OF_SHOWN: [&str; 13] = [
    "name",
    "labels",
    "annotations",
    "extensions",
    "spec",
    "status",
    "state",
    "conditions",
    "resource_version",
    "revision",
    "created_at",
    "last_modified_at",
    "deleted_at",
];

/// How many columns are read of what is shown.
pub(crate) const SHOWN: usize = OF_SHOWN.len();

/// The position of a column, found by the compiler: to look for a name in each row would cost some of what a row costs.
macro_rules! position {
    ($columns:ident, $name:literal) => {
        const { position(&$columns, $name) }
    };
}

const fn position(columns: &[&str], name: &str) -> usize {
    let mut at = 0;
    while at < columns.len() {
        if is_same(columns[at].as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("there is no such column");
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// A resource, from the column on at which its `columns` begin: by position, because commits and admissions read it.
pub(crate) fn resource(row: &Row, at: usize) -> Result<Resource, Fault> {
    let uid: Uid = row.parse(at + position!(ALL, "uid"))?;
    let conditions = row.text(at + position!(ALL, "conditions"))?;
    let facts = row.text(at + position!(ALL, "facts"))?;
    let broken = |what: &str| Fault::Corrupt(format!("the {what} of {uid} cannot be read"));
    Ok(Resource {
        uid,
        key: key(row, at + position!(ALL, "tenant"))?,
        project: ProjectId(row.text(at + position!(ALL, "project"))?),
        labels: row.maybe_text(at + position!(ALL, "labels"))?,
        annotations: row.maybe_text(at + position!(ALL, "annotations"))?,
        extensions: row.maybe_text(at + position!(ALL, "extensions"))?,
        spec: row.text(at + position!(ALL, "spec"))?,
        status: row.text(at + position!(ALL, "status"))?,
        state: state(&row.text(at + position!(ALL, "state"))?).ok_or_else(|| broken("state"))?,
        conditions: serde_json::from_str(&conditions).map_err(|_| broken("conditions"))?,
        resource_version: row.int(at + position!(ALL, "resource_version"))?,
        generation: row.int(at + position!(ALL, "generation"))?,
        observed_generation: row.int(at + position!(ALL, "observed_generation"))?,
        revision: row.int(at + position!(ALL, "revision"))?,
        created_at: Timestamp::from_millis(row.int(at + position!(ALL, "created_at"))?),
        last_modified_at: Timestamp::from_millis(row.int(at + position!(ALL, "last_modified_at"))?),
        deleted_at: row.maybe_int(at + position!(ALL, "deleted_at"))?.map(Timestamp::from_millis),
        facts: serde_json::from_str(&facts).map_err(|_| broken("facts"))?,
        holder: row
            .maybe_text(at + position!(ALL, "holder"))?
            .map(|text| text.parse().map_err(|_| broken("holder")))
            .transpose()?,
        action: ActionState {
            kind: row.maybe_text(at + position!(ALL, "action_kind"))?.and_then(|text| ActionKind::parse(&text)),
            seq: row.int(at + position!(ALL, "action_seq"))?,
            done_seq: row.int(at + position!(ALL, "action_done_seq"))?,
        },
    })
}

/// What is shown of a resource of this collection, from the column on at which it begins.
pub(crate) fn shown(row: &Row, at: usize, uid: Option<Uid>, collection: &ResourceKey) -> Result<Representation, Fault> {
    let (name, word) = (row.text(at + position!(OF_SHOWN, "name"))?, row.text(at + position!(OF_SHOWN, "state"))?);
    let broken = || Fault::Corrupt(format!("the state of {name} in {collection} cannot be read"));
    Ok(Representation {
        uid,
        labels: row.maybe_text(at + position!(OF_SHOWN, "labels"))?,
        annotations: row.maybe_text(at + position!(OF_SHOWN, "annotations"))?,
        extensions: row.maybe_text(at + position!(OF_SHOWN, "extensions"))?,
        spec: row.text(at + position!(OF_SHOWN, "spec"))?,
        status: row.text(at + position!(OF_SHOWN, "status"))?,
        state: state(&word).ok_or_else(broken)?,
        conditions: row.text(at + position!(OF_SHOWN, "conditions"))?,
        resource_version: row.int(at + position!(OF_SHOWN, "resource_version"))?,
        revision: row.int(at + position!(OF_SHOWN, "revision"))?,
        created_at: Timestamp::from_millis(row.int(at + position!(OF_SHOWN, "created_at"))?),
        last_modified_at: Timestamp::from_millis(row.int(at + position!(OF_SHOWN, "last_modified_at"))?),
        deleted_at: row.maybe_int(at + position!(OF_SHOWN, "deleted_at"))?.map(Timestamp::from_millis),
        key: ResourceKey { name, ..collection.clone() },
    })
}

/// The first row of an answer as a resource.
pub(crate) fn first(rows: &[Row]) -> Result<Option<Resource>, Fault> {
    rows.first().map(|row| resource(row, 0)).transpose()
}

/// The rows of an answer as resources.
pub(crate) fn all(rows: &[Row]) -> Result<Vec<Resource>, Fault> {
    rows.iter().map(|row| resource(row, 0)).collect()
}

/// A key, by the names of its columns.
pub(crate) fn named_key(row: &Row) -> Result<ResourceKey, Fault> {
    Ok(ResourceKey {
        tenant: row.text("tenant")?,
        region: row.text("region")?,
        kind: kind(&row.text("kind")?)?,
        workspace: row.text("workspace")?,
        network: row.text("network")?,
        name: row.text("name")?,
    })
}

/// A kind, by its word.
pub(crate) fn kind(word: &str) -> Result<Kind, Fault> {
    Kind::parse(word).ok_or_else(|| Fault::Corrupt(format!("there is no kind {word:?}")))
}

/// A key, from the column of its tenant on.
pub(crate) fn key(row: &Row, at: usize) -> Result<ResourceKey, Fault> {
    Ok(ResourceKey {
        tenant: row.text(at)?,
        region: row.text(at + 1)?,
        kind: kind(&row.text(at + 2)?)?,
        workspace: row.text(at + 3)?,
        network: row.text(at + 4)?,
        name: row.text(at + 5)?,
    })
}

/// The only column of an answer as identities.
pub(crate) fn uids(rows: &[Row]) -> Result<Vec<Uid>, Fault> {
    rows.iter().map(|row| row.parse(0)).collect()
}

fn state(text: &str) -> Option<ResourceState> {
    ResourceState::deserialize(StrDeserializer::<serde::de::value::Error>::new(text)).ok()
}

/// All columns, in the order of the table.
pub(crate) fn insert_args(row: &Resource) -> Result<[Value<'_>; COLUMNS], Fault> {
    let key = &row.key;
    Ok(args![
        row.uid,
        &key.tenant,
        &key.region,
        key.kind,
        &key.workspace,
        &key.network,
        &key.name,
        &row.project,
        &row.labels,
        &row.annotations,
        &row.extensions,
        &row.spec,
        &row.status,
        row.state.as_str(),
        json(&row.conditions)?,
        row.resource_version,
        row.generation,
        row.observed_generation,
        row.revision,
        row.created_at,
        row.last_modified_at,
        row.deleted_at.map(Timestamp::as_millis),
        json(&row.facts)?,
        row.holder.map(|uid| uid.to_string()),
        row.action.kind.map(ActionKind::as_str),
        row.action.seq,
        row.action.done_seq,
    ])
}

/// What became of it: the parameters of an update.
pub(crate) fn outcome_args(row: &Resource) -> Result<[Value<'_>; 15], Fault> {
    Ok(args![
        row.uid,
        &row.status,
        row.state.as_str(),
        json(&row.conditions)?,
        row.resource_version,
        row.generation,
        row.observed_generation,
        row.revision,
        row.last_modified_at,
        row.deleted_at.map(Timestamp::as_millis),
        json(&row.facts)?,
        row.holder.map(|uid| uid.to_string()),
        row.action.kind.map(ActionKind::as_str),
        row.action.seq,
        row.action.done_seq,
    ])
}

/// A difference of two times of the database, in milliseconds; none is negative but by a hair.
pub(crate) fn span(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// A value as the JSON text that a column keeps.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Corrupt(format!("not to be written as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Sql, sql};

    #[test]
    fn the_words_have_the_columns_that_are_read_in_their_order() {
        const COLUMNS_WORD: Sql = sql!(columns);
        const SHOWN_WORD: Sql = sql!(shown);
        const EMPTY: Sql = sql!(no_columns);
        let word = |columns: &[&str]| columns.iter().map(|name| format!("r.{name}")).collect::<Vec<_>>().join(", ");
        for (Sql { postgres, sqlite }, expected) in
            [(COLUMNS_WORD, word(&ALL)), (SHOWN_WORD, word(&OF_SHOWN)), (EMPTY, ["NULL"; COLUMNS].join(", "))]
        {
            assert_eq!((postgres, sqlite), (expected.as_str(), expected.as_str()));
        }
        const INSERTS: [Sql; 2] = [sql!(insert), sql!(add_assignment)];
        let into = format!("INSERT INTO resources ({}) ", ALL.join(", "));
        assert!(INSERTS.iter().all(|insert| insert.postgres.starts_with(&into) && insert.sqlite.starts_with(&into)));
        // A key is read from its tenant on.
        let key = ["tenant", "region", "kind", "workspace", "network", "name"];
        assert_eq!(ALL[position!(ALL, "tenant")..][..key.len()], key);
    }
}
