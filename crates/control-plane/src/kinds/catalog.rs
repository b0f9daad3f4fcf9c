//! What nobody here wrote: what the provider offers, the same for every tenant, and the system roles, which every
//! tenant has. Clients only read it.

use std::{collections::BTreeMap, sync::LazyLock};

use seca_api::{Kind, ResourceKey, SYSTEM_ROLES, Scope, SystemRole};
use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, CatalogEntry};

/// The kinds of which the catalogue holds entries. Images may be rows as well.
pub const KINDS: &[Kind] = &[Kind::Region, Kind::StorageSku, Kind::InstanceSku, Kind::NetworkSku, Kind::Image];

/// The tenants that stand for the catalogue itself: its entries are served and referred to under them as well
/// as under the caller's own.
pub const TENANTS: [&str; 2] = ["seca", "public"];

/// The system roles, by name.
static ROLES: LazyLock<BTreeMap<&str, CatalogEntry>> =
    LazyLock::new(|| SYSTEM_ROLES.iter().map(|role| (role.name, role_entry(role))).collect());

fn role_entry(role: &SystemRole) -> CatalogEntry {
    let members = |value: Result<Value, serde_json::Error>| match value {
        Ok(Value::Object(members)) => members,
        // Texts and lists of texts can always be written.
        _ => Map::new(),
    };
    CatalogEntry {
        kind: Kind::Role,
        region: String::new(),
        name: role.name.to_owned(),
        labels: BTreeMap::new(),
        spec: members(serde_json::to_value(role.spec())),
        facts: members(Ok(json!({ANNOTATIONS: role.annotations()}))),
        listed: true,
    }
}

/// The fact that holds the annotations of an entry.
pub(crate) const ANNOTATIONS: &str = "annotations";

/// Whether the catalogue holds entries of a kind, which are served under [`TENANTS`], too.
pub fn is_shared(kind: Kind) -> bool {
    KINDS.contains(&kind)
}

/// Whether there are resources of a kind that nobody wrote.
pub fn has_entries(kind: Kind) -> bool {
    is_shared(kind) || kind == Kind::Role
}

/// What an entry of a kind is, in a sentence about why it cannot be written.
pub fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Role => "is a system role, which is the same in every tenant and which nobody can change",
        _ => "belongs to the catalogue, which nobody can change",
    }
}

/// The entry that a key means, under whatever tenant.
pub fn find<'a>(catalog: &'a Catalog, key: &ResourceKey) -> Option<&'a CatalogEntry> {
    match key.kind {
        Kind::Role => ROLES.get(key.name.as_str()),
        kind if !is_shared(kind) => None,
        kind => {
            let region = if kind.scope() == Scope::Global { &key.name } else { &key.region };
            catalog.get(kind, region, &key.name)
        }
    }
}

/// The entries of a collection that lists show, in their order: regions in the operator's, all others by name.
/// `after` is a name that all of them follow.
pub fn following<'a>(catalog: &'a Catalog, collection: &ResourceKey, after: &str) -> Vec<&'a CatalogEntry> {
    match collection.kind {
        Kind::Region => regions_after(catalog, after),
        Kind::Role => ROLES.values().filter(|entry| entry.name.as_str() > after).collect(),
        kind if !KINDS.contains(&kind) => Vec::new(),
        kind => catalog.list(kind, &collection.region).filter(|entry| entry.name.as_str() > after).collect(),
    }
}

fn regions_after<'a>(catalog: &'a Catalog, after: &str) -> Vec<&'a CatalogEntry> {
    let names = catalog.regions();
    let first = match names.iter().position(|name| name == after) {
        Some(index) => index + 1,
        None if after.is_empty() => 0,
        None => names.len(),
    };
    names.iter().skip(first).filter_map(|name| catalog.get(Kind::Region, name, name)).collect()
}
