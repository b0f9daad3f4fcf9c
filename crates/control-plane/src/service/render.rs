//! Rendering: from a row or an entry of the catalogue to the JSON that clients see. Pure.
//!
//! What a client sent is copied as stored text: no number is read and written again, no member moves. What a
//! client did not send is not there.

use seca_api::{Kind, Modification, Provider, ResourceKey, ResourceState, Scope, StatusCondition, Timestamp, metadata};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{catalog::CatalogEntry, kinds::catalog, resource::Representation};

/// A row, as a text of its own.
pub(super) fn row(row: &Representation, verb: &str, children: Option<i64>) -> String {
    // Most documents are shorter than this, in bytes.
    let mut text = String::with_capacity(1_536);
    write_row(&mut text, row, verb, children);
    text
}

/// The text of a row without what is counted, with what was counted: the status is its last member.
pub(super) fn counting(text: &str, children: Option<i64>) -> String {
    // Room for the number, and for the newline at the end of an answer.
    let mut counting = String::with_capacity(text.len() + 40);
    match (children, text.strip_suffix("}}")) {
        (Some(count), Some(open)) => {
            counting.push_str(open);
            counting.push_str(",\"resourceCount\":");
            counting.push_str(&count.to_string());
            counting.push_str("}}");
        }
        _ => counting.push_str(text),
    }
    counting
}

/// Writes a row behind a text. `verb` is the HTTP method; `children` is what was counted, for kinds that show it.
pub(super) fn write_row(text: &mut String, row: &Representation, verb: &str, children: Option<i64>) {
    let times = Modification {
        created_at: row.created_at,
        last_modified_at: row.last_modified_at,
        deleted_at: row.deleted_at,
        resource_version: row.resource_version,
    };
    let mut document = Document::begin(text);
    document.user_map("labels", row.labels.as_deref());
    document.user_map("annotations", row.annotations.as_deref());
    document.user_map("extensions", row.extensions.as_deref());
    document.metadata(&row.key, verb, Some(times));
    document.member("spec", &row.spec);
    document.object("status", |document| {
        document.value("state", &row.state);
        document.member("conditions", &row.conditions);
        document.splice(&row.status);
        if let Some(count) = children {
            document.value("resourceCount", &count);
        }
    });
    document.end();
}

/// An entry of the catalogue as a tenant sees it. `version` is the catalogue's.
pub(super) fn entry(entry: &CatalogEntry, tenant: &str, version: i64, base_url: &str) -> String {
    let mut text = String::new();
    let mut document = Document::begin(&mut text);
    if !entry.labels.is_empty() && entry.kind.scope() != Scope::Global {
        document.value("labels", &entry.labels);
    }
    if let Some(annotations) = entry.facts.get(catalog::ANNOTATIONS) {
        document.value("annotations", annotations);
    }
    let (key, times) = (entry_key(entry, tenant), entry_times(entry.kind, version));
    document.metadata(&key, "GET", times);
    let mut spec = entry.spec.clone();
    if entry.kind.scope() == Scope::Global {
        spec.insert("providers".to_owned(), providers(&entry.name, base_url));
    }
    document.value("spec", &spec);
    // What clients can write as well has a status wherever it comes from; the other kinds of the catalogue have none.
    if !entry.kind.is_catalog() {
        let conditions = [StatusCondition::new(ResourceState::Active, Timestamp::default())];
        document.value("status", &json!({"state": ResourceState::Active, "conditions": conditions}));
    }
    document.end();
    text
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
    (!kind.is_sku()).then(|| Modification {
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

/// A JSON object in the making, behind a text, from members whose text is JSON already and from values.
struct Document<'a>(&'a mut String);

impl<'a> Document<'a> {
    fn begin(text: &'a mut String) -> Self {
        text.push('{');
        Self(text)
    }

    fn end(self) {
        self.0.push('}');
    }

    fn name(&mut self, name: &str) {
        self.next();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// The comma before all members but the first.
    fn next(&mut self) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
    }

    /// A member whose text is known.
    fn member(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    fn value<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.name(name);
        // Texts, numbers and maps keyed by texts: none of them can fail to be written.
        self.0.push_str(&serde_json::to_string(value).unwrap_or_default());
    }

    /// A member that is an object itself.
    fn object(&mut self, name: &str, members: impl FnOnce(&mut Document<'_>)) {
        self.name(name);
        let mut object = Document::begin(self.0);
        members(&mut object);
        object.end();
    }

    fn metadata(&mut self, key: &ResourceKey, verb: &str, times: Option<Modification>) {
        self.name("metadata");
        metadata::write(self.0, key, verb, times);
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
            self.next();
            self.0.push_str(inner);
        }
    }
}
