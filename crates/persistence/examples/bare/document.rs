//! A row, and the document that a client sees of it.

use std::fmt::Write as _;

use crate::database::{Place, Rows};

/// What an answer needs of a row, borrowed from what the driver received.
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Option<&'a str>,
    pub(crate) annotations: Option<&'a str>,
    pub(crate) extensions: Option<&'a str>,
    pub(crate) spec: &'a str,
    pub(crate) status: &'a str,
    pub(crate) state: &'a str,
    pub(crate) conditions: &'a str,
    pub(crate) resource_version: i64,
    pub(crate) revision: i64,
    pub(crate) created_at: i64,
    pub(crate) last_modified_at: i64,
    pub(crate) deleted_at: Option<i64>,
}

/// An answer: its text, and its ETag where it has one.
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) tag: Option<String>,
}

/// One resource.
pub(crate) fn one(place: &Place, row: &Row<'_>, verb: &str) -> Document {
    let mut text = String::with_capacity(2_048);
    resource(&mut text, place, row, verb);
    Document { text, tag: Some(format!("\"{}.{}\"", row.resource_version, row.revision)) }
}

/// A page; one row more than fits says that there is a next one.
pub(crate) fn page(place: &Place, rows: &Rows, limit: i64) -> Document {
    let limit = usize::try_from(limit).unwrap_or(0);
    let mut text = String::with_capacity(64 * 1_024);
    let mut last = None;
    text.push_str(r#"{"items":["#);
    rows.each(|index, row| {
        if index < limit {
            if index > 0 {
                text.push(',');
            }
            resource(&mut text, place, &row, "GET");
            last = Some(row.name.to_owned());
        }
    });
    let (provider, collection, _) = place.kind;
    write!(text, r#"],"metadata":{{"provider":"{provider}/v1","resource":"{collection}","verb":"GET""#).unwrap();
    if let Some(last) = last.filter(|_| rows.len() > limit) {
        write!(text, r#","skipToken":"{last}""#).unwrap();
    }
    text.push_str("}}");
    Document { text, tag: None }
}

fn resource(text: &mut String, Place { region, tenant, workspace, kind }: &Place, row: &Row<'_>, verb: &str) {
    let (provider, collection, kind) = kind;
    let name = row.name;
    text.push('{');
    for (member, map) in [("labels", row.labels), ("annotations", row.annotations), ("extensions", row.extensions)] {
        if let Some(map) = map {
            write!(text, r#""{member}":{map},"#).unwrap();
        }
    }
    write!(
        text,
        r#""metadata":{{"name":"{name}","provider":"{provider}/v1","resource":"{collection}/{name}","verb":"{verb}","createdAt":""#
    )
    .unwrap();
    time(text, row.created_at);
    if let Some(deleted_at) = row.deleted_at {
        text.push_str(r#"","deletedAt":""#);
        time(text, deleted_at);
    }
    text.push_str(r#"","lastModifiedAt":""#);
    time(text, row.last_modified_at);
    write!(
        text,
        r#"","resourceVersion":{},"apiVersion":"v1","kind":"{kind}","ref":"{provider}/v1/tenants/{tenant}/"#,
        row.resource_version
    )
    .unwrap();
    if !workspace.is_empty() {
        write!(text, "workspaces/{workspace}/").unwrap();
    }
    write!(text, r#"{collection}/{name}","tenant":"{tenant}""#).unwrap();
    if !workspace.is_empty() {
        write!(text, r#","workspace":"{workspace}""#).unwrap();
    }
    write!(
        text,
        r#","region":"{region}"}},"spec":{},"status":{{"state":"{}","conditions":{}"#,
        row.spec, row.state, row.conditions
    )
    .unwrap();
    let more = row.status.trim_start_matches('{').trim_end_matches('}');
    if !more.is_empty() {
        write!(text, ",{more}").unwrap();
    }
    text.push_str("}}");
}

/// Milliseconds since 1970 as RFC 3339, by the calendar's arithmetic (days from civil, H. Hinnant).
fn time(text: &mut String, millis: i64) {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted_month + 2) / 5 + 1, (shifted_month + 2) % 12 + 1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z").unwrap();
}
