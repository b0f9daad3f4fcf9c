//! One text for two databases.
//!
//! A statement is written once, as string literals with words between them for the few things that differ:
//! `sql!("SELECT uid FROM work WHERE next_run_at <= " now " ORDER BY uid" lock)`. Both texts are put together by
//! the compiler, so that none is ever built out of data. Row sets travel as one JSON parameter (`rows`, `list`),
//! which keeps the text constant whatever their size.

use std::borrow::Cow;

use control_plane::{ProjectId, Uid};
use seca_api::{Kind, ResourceKey, Timestamp};
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use crate::fault::Fault;

/// A statement for both databases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

impl Sql {
    pub(crate) const fn text(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        }
    }
}

/// The words of both databases: `$db` says whose is meant.
macro_rules! word {
    // The database's time in milliseconds: of the statement's begin, so that an index can be searched for it.
    (postgres now) => {
        "(extract(epoch from statement_timestamp()) * 1000)::bigint"
    };
    (sqlite now) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
    // Nobody may remove or mark as deleted what was read, until the transaction ends.
    (postgres share) => {
        " FOR KEY SHARE OF r"
    };
    // Nobody may change what was read, nor begin to depend on it.
    (postgres exclusive) => {
        " FOR UPDATE OF r"
    };
    // Nobody may change what was read; others may depend on it.
    (postgres change) => {
        " FOR NO KEY UPDATE OF r"
    };
    // Nobody may take the lease over.
    (postgres fence) => {
        " FOR SHARE"
    };
    (postgres lock) => {
        " FOR UPDATE"
    };
    (postgres skip) => {
        " FOR UPDATE OF p SKIP LOCKED"
    };
    // SQLite has one writer, and it writes only inside BEGIN IMMEDIATE.
    (sqlite share) => {
        ""
    };
    (sqlite exclusive) => {
        ""
    };
    (sqlite change) => {
        ""
    };
    (sqlite fence) => {
        ""
    };
    (sqlite lock) => {
        ""
    };
    (sqlite skip) => {
        ""
    };
    // A JSON array of arrays as rows: columns are `j.value->>0` and so on.
    (postgres (rows $n:literal)) => {
        concat!("json_array_elements($", $n, "::json) AS j(value)")
    };
    (sqlite (rows $n:literal)) => {
        concat!("json_each($", $n, ") AS j")
    };
    // A JSON array of texts as a list to look into.
    (postgres (list $n:literal)) => {
        concat!("(SELECT json_array_elements_text($", $n, "::json))")
    };
    (sqlite (list $n:literal)) => {
        concat!("(SELECT value FROM json_each($", $n, "))")
    };
    // All columns of a resource, in the order that `row.rs` reads.
    ($db:ident columns) => {
        "r.uid, r.tenant, r.region, r.kind, r.workspace, r.network, r.name, r.project, r.labels, r.annotations, \
         r.extensions, r.spec, r.status, r.state, r.conditions, r.resource_version, r.generation, \
         r.observed_generation, r.revision, r.created_at, r.last_modified_at, r.deleted_at, r.facts, r.holder, \
         r.action_kind, r.action_seq, r.action_done_seq"
    };
    // Equal keys of `r` and `e`.
    ($db:ident joined) => {
        "r.tenant = e.tenant AND r.region = e.region AND r.kind = e.kind AND r.workspace = e.workspace \
         AND r.network = e.network AND r.name = e.name"
    };
    // References of `e` to the key in the parameters 2 to 7.
    ($db:ident referring) => {
        "e.tenant = $2 AND e.region = $3 AND e.kind = $4 AND e.workspace = $5 AND e.network = $6 AND e.name = $7"
    };
    // `r` is the network, or the workspace, of the key in the parameters 2 to 7.
    ($db:ident network) => {
        "r.tenant = $2 AND r.region = $3 AND r.kind = 'network' AND r.workspace = $5 AND r.network = '' \
         AND r.name = $6"
    };
    ($db:ident workspace) => {
        "r.tenant = $2 AND r.region = $3 AND r.kind = 'workspace' AND r.workspace = '' AND r.network = '' \
         AND r.name = $5"
    };
    // `r` is in the network, or in the workspace, of the key in the parameters 2 to 7.
    ($db:ident in_network) => {
        "$4 = 'network' AND r.tenant = $2 AND r.region = $3 AND r.workspace = $5 AND r.network = $7"
    };
    ($db:ident in_workspace) => {
        "$4 = 'workspace' AND r.tenant = $2 AND r.region = $3 AND r.workspace = $7"
    };
    ($db:ident $text:literal) => {
        $text
    };
}

/// Puts a [`Sql`] together out of literals and the words above.
macro_rules! sql {
    ($($part:tt)+) => {
        $crate::sql::Sql {
            postgres: concat!($($crate::sql::word!(postgres $part)),+),
            sqlite: concat!($($crate::sql::word!(sqlite $part)),+),
        }
    };
}

/// The parameters of a statement.
macro_rules! args {
    ($($value:expr),* $(,)?) => { [$($crate::sql::Value::from($value)),*] };
}

pub(crate) use {args, sql, word};

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Int(Option<i64>),
}

impl<'a> From<&'a str> for Value<'a> {
    /// PostgreSQL has no NUL in a text. Nothing that is stored has one, so what holds one finds nothing.
    fn from(text: &'a str) -> Self {
        Self::Text(Some(without_nul(text)))
    }
}

pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text })))
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::from(text.as_deref())
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Int(Some(i64::from(yes)))
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Self::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<std::time::Duration> for Value<'_> {
    fn from(duration: std::time::Duration) -> Self {
        Self::Int(Some(millis(duration)))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(at: Timestamp) -> Self {
        Self::Int(Some(at.as_millis()))
    }
}

impl From<Uid> for Value<'_> {
    fn from(uid: Uid) -> Self {
        Self::from(uid.to_string())
    }
}

impl From<Kind> for Value<'_> {
    fn from(kind: Kind) -> Self {
        Self::from(kind.as_str())
    }
}

impl<'a> From<&'a ProjectId> for Value<'a> {
    fn from(project: &'a ProjectId) -> Self {
        Self::from(project.0.as_str())
    }
}

/// A duration as the databases have it.
pub(crate) fn millis(duration: std::time::Duration) -> i64 {
    // A century is for ever, and leaves room for the addition.
    const CENTURY: u128 = 100 * 366 * 86_400_000;
    i64::try_from(duration.as_millis().min(CENTURY)).unwrap_or(i64::MAX)
}

/// The parameters 1 to 7 of the statements about relations: a uid and its key.
pub(crate) fn identity<'a>(uid: Uid, key: &'a ResourceKey) -> [Value<'a>; 7] {
    let [tenant, region, kind, workspace, network, name] = key_args(key);
    [Value::from(uid), tenant, region, kind, workspace, network, name]
}

/// The parts of a key as parameters.
pub(crate) fn key_args(key: &ResourceKey) -> [Value<'_>; 6] {
    args![&key.tenant, &key.region, key.kind, &key.workspace, &key.network, &key.name]
}

/// Rows as one JSON parameter.
pub(crate) fn rows<const N: usize>(rows: impl IntoIterator<Item = [Option<String>; N]>) -> Value<'static> {
    let clean = |row: [Option<String>; N]| -> serde_json::Value {
        row.into_iter()
            .map(|cell| cell.map_or(serde_json::Value::Null, |text| without_nul(&text).into_owned().into()))
            .collect()
    };
    Value::Text(Some(Cow::Owned(rows.into_iter().map(clean).collect::<serde_json::Value>().to_string())))
}

/// The parts of a key as a row.
pub(crate) fn key_row(key: &ResourceKey) -> [Option<String>; 6] {
    [&key.tenant, &key.region, key.kind.as_str(), &key.workspace, &key.network, &key.name]
        .map(|part: &str| Some(part.to_owned()))
}

/// A list as one JSON parameter.
pub(crate) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> Value<'static> {
    let items: serde_json::Value = items.into_iter().map(|item| item.to_string()).collect();
    Value::Text(Some(Cow::Owned(items.to_string())))
}

/// A row of an answer, read by position.
pub(crate) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Row {
    pub(crate) fn maybe_text(&self, at: usize) -> Result<Option<String>, Fault> {
        Ok(match self {
            Self::Postgres(row) => row.try_get(at)?,
            Self::Sqlite(row) => row.try_get(at)?,
        })
    }

    pub(crate) fn maybe_int(&self, at: usize) -> Result<Option<i64>, Fault> {
        Ok(match self {
            Self::Postgres(row) => row.try_get(at)?,
            Self::Sqlite(row) => row.try_get(at)?,
        })
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, Fault> {
        self.maybe_text(at)?.ok_or_else(|| Fault::Corrupt(format!("column {at} is empty")))
    }

    pub(crate) fn int(&self, at: usize) -> Result<i64, Fault> {
        self.maybe_int(at)?.ok_or_else(|| Fault::Corrupt(format!("column {at} is empty")))
    }

    /// A column that holds another type's text.
    pub(crate) fn parse<T: std::str::FromStr>(&self, at: usize) -> Result<T, Fault> {
        let text = self.text(at)?;
        text.parse().map_err(|_| Fault::Corrupt(format!("column {at} holds {text:?}")))
    }
}
