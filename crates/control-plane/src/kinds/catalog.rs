//! The kinds that clients only read: what the provider offers, the same for every tenant.

use seca_api::{Kind, ResourceKey, Scope};

use crate::catalog::{Catalog, CatalogEntry};

/// The kinds of which the catalogue holds entries. Images may be rows as well, once clients may write them.
pub const KINDS: &[Kind] = &[Kind::Region, Kind::StorageSku, Kind::InstanceSku, Kind::NetworkSku, Kind::Image];

/// The tenants that stand for the catalogue itself: its entries are served and referred to under them as well
/// as under the caller's own.
pub const TENANTS: [&str; 2] = ["seca", "public"];

/// Whether the catalogue holds entries of a kind.
pub fn is_listed(kind: Kind) -> bool {
    KINDS.contains(&kind)
}

/// The entry that a key means, under whatever tenant.
pub fn find<'a>(catalog: &'a Catalog, key: &ResourceKey) -> Option<&'a CatalogEntry> {
    if !is_listed(key.kind) {
        return None;
    }
    let region = if key.kind.scope() == Scope::Global { &key.name } else { &key.region };
    catalog.get(key.kind, region, &key.name)
}
