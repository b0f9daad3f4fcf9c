//! Rendering: from a row or an entry of the catalogue to the JSON that clients see. Pure.
//!
//! What a client sent is copied as stored text: no number is read and written again, no member moves. What a
//! client did not send is not there.

use std::collections::BTreeMap;

use seca_api::{Kind, Modification, Provider, ResourceKey, ResourceState, Scope, StatusCondition, Timestamp, metadata};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{catalog::CatalogEntry, kinds::catalog, resource::Representation};

/// A row. `verb` is the HTTP method; `status` holds members that no row has, in addition to the row's own.
pub(super) fn row(row: &Representation, verb: &str, status: &Map<String, Value>) -> String {
    let times = Modification {
        created_at: row.created_at,
        last_modified_at: row.last_modified_at,
        deleted_at: row.deleted_at,
        resource_version: row.resource_version,
    };
    let mut document = Document::default();
    document.user_map("labels", row.labels.as_deref());
    document.user_map("annotations", row.annotations.as_deref());
    document.user_map("extensions", row.extensions.as_deref());
    document.member("metadata", &text(&metadata::render(&row.key, verb, Some(times))));
    document.member("spec", &row.spec);
    document.member("status", &status_text(row, status));
    document.finish()
}

fn status_text(row: &Representation, more: &Map<String, Value>) -> String {
    let mut status = Document::default();
    status.member("state", &text(&row.state));
    status.member("conditions", &row.conditions);
    status.splice(&row.status);
    for (name, value) in more {
        status.member(name, &value.to_string());
    }
    status.finish()
}

/// An entry of the catalogue as a tenant sees it. `version` is the catalogue's.
pub(super) fn entry(entry: &CatalogEntry, tenant: &str, version: i64, base_url: &str) -> String {
    let mut document = Document::default();
    if !entry.labels.is_empty() && entry.kind != Kind::Region {
        document.member("labels", &text::<BTreeMap<_, _>>(&entry.labels));
    }
    if let Some(annotations) = entry.facts.get(catalog::ANNOTATIONS) {
        document.member("annotations", &annotations.to_string());
    }
    let (key, times) = (entry_key(entry, tenant), entry_times(entry.kind, version));
    document.member("metadata", &text(&metadata::render(&key, "GET", times)));
    let mut spec = entry.spec.clone();
    if entry.kind == Kind::Region {
        spec.insert("providers".to_owned(), providers(&entry.name, base_url));
    }
    document.member("spec", &text(&spec));
    // What clients can write as well has a status wherever it comes from; the other kinds of the catalogue have none.
    if !entry.kind.is_catalog() {
        let conditions = [StatusCondition::new(ResourceState::Active, Timestamp::default())];
        document.member("status", &json!({"state": ResourceState::Active, "conditions": conditions}).to_string());
    }
    document.finish()
}

fn entry_key(entry: &CatalogEntry, tenant: &str) -> ResourceKey {
    let (region, tenant) = match entry.kind.scope() {
        Scope::Global => ("", ""),
        _ => (entry.region.as_str(), tenant),
    };
    ResourceKey::tenant(entry.kind, region, tenant, &entry.name)
}

/// The specification wants times and a version of regions, images and roles, which nobody here makes or changes. They
/// date from the epoch, and their version is the catalogue's.
fn entry_times(kind: Kind, version: i64) -> Option<Modification> {
    (kind == Kind::Region || !kind.is_catalog()).then(|| Modification {
        created_at: Timestamp::default(),
        last_modified_at: Timestamp::from_millis(version),
        deleted_at: None,
        resource_version: version.max(1),
    })
}

/// Where each provider answers for a region. The URLs have no version: clients append it.
fn providers(region: &str, base_url: &str) -> Value {
    let url = |provider: Provider| match provider.is_global() {
        true => format!("{base_url}/providers/{}", provider.name()),
        false => format!("{base_url}/regions/{region}/providers/{}", provider.name()),
    };
    Provider::ALL
        .into_iter()
        .map(|provider| json!({"name": provider.name(), "version": provider.version(), "url": url(provider)}))
        .collect()
}

/// A JSON object in the making, from members whose text is JSON already.
#[derive(Default)]
struct Document(String);

impl Document {
    fn member(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&text(name));
        self.0.push(':');
        self.0.push_str(json);
    }

    fn user_map(&mut self, name: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.member(name, json);
        }
    }

    /// All members of another object.
    fn splice(&mut self, object: &str) {
        let inner = object.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default().trim();
        if !inner.is_empty() {
            self.0.push(if self.0.is_empty() { '{' } else { ',' });
            self.0.push_str(inner);
        }
    }

    fn finish(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    // Texts, numbers and maps keyed by texts: none of them can fail to be written.
    serde_json::to_string(value).unwrap_or_default()
}
