//! Parameters: how values are handed to either database.

use std::borrow::Cow;

use control_plane::{ProjectId, Uid};
use seca_api::{Kind, ResourceKey, Timestamp};

use super::args;

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Int(Option<i64>),
    /// A column of texts, for PostgreSQL's `unnest`: as an array it costs neither side what JSON does.
    Texts(Vec<Option<Cow<'a, str>>>),
    /// A column of numbers.
    Ints(Vec<Option<i64>>),
}

impl<'a> Value<'a> {
    /// A column of texts.
    pub(crate) fn texts(texts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self::Texts(texts.into_iter().map(|text| text.map(without_nul)).collect())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    /// PostgreSQL has no NUL in a text. Nothing that is stored has one, so what holds one finds nothing.
    fn from(text: &'a str) -> Self {
        Self::Text(Some(without_nul(text)))
    }
}

fn without_nul(text: &str) -> Cow<'_, str> {
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

/// Parameters as a row of texts.
pub(crate) fn cells<const N: usize>(args: [Value<'_>; N]) -> [Option<String>; N] {
    args.map(|value| match value {
        Value::Text(text) => text.map(Cow::into_owned),
        Value::Int(number) => number.map(|number| number.to_string()),
        // No row has a column in a cell.
        Value::Texts(_) | Value::Ints(_) => None,
    })
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

/// Rows as columns, for PostgreSQL's `unnest`. All cells of a column are of one type; without a row all are texts.
pub(crate) fn columns<'a, const N: usize>(rows: impl IntoIterator<Item = [Value<'a>; N]>) -> [Value<'a>; N] {
    let mut columns: Option<[Value<'a>; N]> = None;
    for row in rows {
        let columns = columns.get_or_insert_with(|| {
            row.each_ref().map(|cell| match cell {
                Value::Int(_) | Value::Ints(_) => Value::Ints(Vec::new()),
                Value::Text(_) | Value::Texts(_) => Value::Texts(Vec::new()),
            })
        });
        for (column, cell) in columns.iter_mut().zip(row) {
            match (column, cell) {
                (Value::Texts(texts), Value::Text(text)) => texts.push(text),
                (Value::Ints(numbers), Value::Int(number)) => numbers.push(number),
                // No row has a column in a cell.
                _ => {}
            }
        }
    }
    columns.unwrap_or_else(|| std::array::from_fn(|_| Value::Texts(Vec::new())))
}

/// The parts of a key as a row.
pub(crate) fn key_row(key: &ResourceKey) -> [Option<String>; 6] {
    [&key.tenant, &key.region, key.kind.as_str(), &key.workspace, &key.network, &key.name]
        .map(|part: &str| Some(part.to_owned()))
}

/// A key as `resource_labels.resource` has it: texts that sort as the names of a place do.
pub(crate) fn key_path(key: &ResourceKey) -> String {
    [&place_path(key), "/", &key.name].concat()
}

/// The place of a key as [`key_path`] begins with it.
pub(crate) fn place_path(key: &ResourceKey) -> String {
    [&key.tenant, &key.region, key.kind.as_str(), &key.workspace, &key.network].join("/")
}

/// A list as one JSON parameter.
pub(crate) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> Value<'static> {
    let items: serde_json::Value = items.into_iter().map(|item| item.to_string()).collect();
    Value::Text(Some(Cow::Owned(items.to_string())))
}
