//! A resource as columns, and back.

use std::time::Duration;

use control_plane::{ActionKind, ActionState, ProjectId, Representation, Resource, Uid};
use seca_api::{Kind, ResourceKey, ResourceState, Timestamp};
use serde::{Deserialize, de::value::StrDeserializer};

use crate::{
    fault::Fault,
    sql::{Row, Value, args},
};

/// How many columns `columns` has.
pub(crate) const COLUMNS: usize = 27;

/// A resource, from the column on at which its `columns` begin: by position, because commits and admissions read it.
pub(crate) fn resource(row: &Row, at: usize) -> Result<Resource, Fault> {
    let uid: Uid = row.parse(at)?;
    let conditions = row.text(at + 14)?;
    let facts = row.text(at + 22)?;
    let broken = |what: &str| Fault::Corrupt(format!("the {what} of {uid} cannot be read"));
    Ok(Resource {
        uid,
        key: key(row, at + 1)?,
        project: ProjectId(row.text(at + 7)?),
        labels: row.maybe_text(at + 8)?,
        annotations: row.maybe_text(at + 9)?,
        extensions: row.maybe_text(at + 10)?,
        spec: row.text(at + 11)?,
        status: row.text(at + 12)?,
        state: state(&row.text(at + 13)?).ok_or_else(|| broken("state"))?,
        conditions: serde_json::from_str(&conditions).map_err(|_| broken("conditions"))?,
        resource_version: row.int(at + 15)?,
        generation: row.int(at + 16)?,
        observed_generation: row.int(at + 17)?,
        revision: row.int(at + 18)?,
        created_at: Timestamp::from_millis(row.int(at + 19)?),
        last_modified_at: Timestamp::from_millis(row.int(at + 20)?),
        deleted_at: row.maybe_int(at + 21)?.map(Timestamp::from_millis),
        facts: serde_json::from_str(&facts).map_err(|_| broken("facts"))?,
        holder: row.maybe_text(at + 23)?.map(|text| text.parse().map_err(|_| broken("holder"))).transpose()?,
        action: ActionState {
            kind: row.maybe_text(at + 24)?.and_then(|text| ActionKind::parse(&text)),
            seq: row.int(at + 25)?,
            done_seq: row.int(at + 26)?,
        },
    })
}

/// How many columns are read of what is shown.
pub(crate) const SHOWN: usize = 13;

/// What is shown of a resource of this collection, from the column on at which it begins.
pub(crate) fn shown(row: &Row, at: usize, uid: Option<Uid>, collection: &ResourceKey) -> Result<Representation, Fault> {
    let (name, word) = (row.text(at)?, row.text(at + 6)?);
    let broken = || Fault::Corrupt(format!("the state of {name} in {collection} cannot be read"));
    Ok(Representation {
        uid,
        labels: row.maybe_text(at + 1)?,
        annotations: row.maybe_text(at + 2)?,
        extensions: row.maybe_text(at + 3)?,
        spec: row.text(at + 4)?,
        status: row.text(at + 5)?,
        state: state(&word).ok_or_else(broken)?,
        conditions: row.text(at + 7)?,
        resource_version: row.int(at + 8)?,
        revision: row.int(at + 9)?,
        created_at: Timestamp::from_millis(row.int(at + 10)?),
        last_modified_at: Timestamp::from_millis(row.int(at + 11)?),
        deleted_at: row.maybe_int(at + 12)?.map(Timestamp::from_millis),
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
