//! The catalogue: regions, SKUs and system images, as the provider has them.
//!
//! Handlers read it from memory, so that no GET of a SKU asks the database or the provider. The engine
//! refreshes it through any bound project; other replicas follow by its version.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use seca_api::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The zone that a spelling means: datacenters are gone, and `fsn1-dc14` still means `fsn1` to those who wrote it.
pub fn zone_name(spelling: &str) -> &str {
    match spelling.rsplit_once("-dc") {
        Some((zone, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => zone,
        _ => spelling,
    }
}

/// The fact of an instance SKU that lists the zones where it is offered, in a region of several zones.
pub const OFFERED_IN: &str = "offeredIn";

/// One entry: a region, a SKU or a system image of one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// `Region`, one of the SKU kinds, or `Image`.
    pub kind: Kind,
    /// The region that offers it; for a region, its own name.
    pub region: String,
    /// The name.
    pub name: String,
    /// Labels, among them the tier.
    pub labels: BTreeMap<String, String>,
    /// The specification as it is rendered. A region's lacks the providers, which depend on the listener.
    pub spec: Map<String, Value>,
    /// What the adapter needs to use it: `{"serverType": "cx23", …}`.
    pub facts: Map<String, Value>,
    /// Whether lists show it. What was listed once stays resolvable.
    pub listed: bool,
}

impl CatalogEntry {
    /// Whether it is offered in a zone of its region. What says nothing of zones is offered in all of them.
    pub fn is_offered_in(&self, zone: &str) -> bool {
        let Some(zones) = self.facts.get(OFFERED_IN).and_then(Value::as_array) else { return true };
        zones.iter().any(|offered| offered.as_str() == Some(zone))
    }

    /// A fact as text.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name)?.as_str()
    }
}

/// The catalogue of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Rises with every refresh; 0 is the embedded fallback.
    pub version: i64,
    entries: BTreeMap<(Kind, String, String), CatalogEntry>,
    regions: Vec<String>,
}

impl Catalog {
    /// From entries; regions are listed by name, the default region first.
    pub fn new(version: i64, entries: Vec<CatalogEntry>, default_region: &str) -> Self {
        let mut regions: Vec<String> =
            entries.iter().filter(|e| e.kind == Kind::Region && e.listed).map(|e| e.name.clone()).collect();
        regions.sort_by_key(|name| (name != default_region, name.clone()));
        let entries = entries.into_iter().map(|e| ((e.kind, e.region.clone(), e.name.clone()), e)).collect();
        Self { version, entries, regions }
    }

    /// The regions, the default one first.
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Whether a region is served.
    pub fn has_region(&self, name: &str) -> bool {
        self.regions.iter().any(|r| r == name)
    }

    /// Finds an entry, listed or not.
    pub fn get(&self, kind: Kind, region: &str, name: &str) -> Option<&CatalogEntry> {
        self.entries.get(&(kind, region.to_owned(), name.to_owned()))
    }

    /// The listed entries of a kind in a region, by name.
    pub fn list(&self, kind: Kind, region: &str) -> impl Iterator<Item = &CatalogEntry> {
        let region = region.to_owned();
        self.entries.values().filter(move |e| e.kind == kind && e.region == region && e.listed)
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &CatalogEntry> {
        self.entries.values()
    }

    /// The zones of a region.
    pub fn zones(&self, region: &str) -> Vec<String> {
        let zones = self.get(Kind::Region, region, region).and_then(|r| r.spec.get("availableZones"));
        zones
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default()
    }

    /// The entries after a refresh: what is listed now, and what was listed once, unlisted.
    pub fn merge(&self, fresh: Vec<CatalogEntry>) -> Vec<CatalogEntry> {
        let mut merged = self.entries.clone();
        for entry in merged.values_mut() {
            entry.listed = false;
        }
        merged.extend(fresh.into_iter().map(|e| ((e.kind, e.region.clone(), e.name.clone()), e)));
        merged.into_values().collect()
    }
}

/// The catalogue as handlers and engine share it.
#[derive(Clone, Debug, Default)]
pub struct CatalogCache(Arc<ArcSwap<Catalog>>);

impl CatalogCache {
    /// A cache that starts with a catalogue.
    pub fn new(catalog: Catalog) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(catalog)))
    }

    /// The catalogue of the moment.
    pub fn load(&self) -> Arc<Catalog> {
        self.0.load_full()
    }

    /// Replaces it, unless a later one is there already: several take in what they read at the same time.
    pub fn store(&self, catalog: Catalog) {
        let catalog = Arc::new(catalog);
        self.0.rcu(|now| Arc::clone(if now.version > catalog.version { now } else { &catalog }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, region: &str, name: &str) -> CatalogEntry {
        CatalogEntry {
            kind,
            region: region.into(),
            name: name.into(),
            labels: BTreeMap::new(),
            spec: Map::new(),
            facts: Map::new(),
            listed: true,
        }
    }

    #[test]
    fn the_default_region_is_first_and_the_others_follow_by_name() {
        let entries = ["fsn1", "nbg1", "hel1"].map(|r| entry(Kind::Region, r, r)).to_vec();
        assert_eq!(Catalog::new(1, entries, "nbg1").regions(), ["nbg1", "fsn1", "hel1"]);
    }

    #[test]
    fn a_former_datacenter_means_its_zone() {
        for (spelling, zone) in [("fsn1", "fsn1"), ("fsn1-dc14", "fsn1"), ("fsn1-dc", "fsn1-dc"), ("a-dcx1", "a-dcx1")]
        {
            assert_eq!(zone_name(spelling), zone);
        }
    }

    #[test]
    fn an_earlier_catalogue_never_replaces_a_later_one() {
        let cache = CatalogCache::default();
        for (version, then) in [(1, 1), (3, 3), (2, 3), (4, 4)] {
            cache.store(Catalog::new(version, Vec::new(), "fsn1"));
            assert_eq!(cache.load().version, then);
        }
    }

    #[test]
    fn what_was_listed_once_stays_resolvable() {
        let old = Catalog::new(1, vec![entry(Kind::InstanceSku, "fsn1", "cx22")], "fsn1");
        let merged = Catalog::new(2, old.merge(vec![entry(Kind::InstanceSku, "fsn1", "cx23")]), "fsn1");
        assert_eq!(merged.list(Kind::InstanceSku, "fsn1").map(|e| e.name.as_str()).collect::<Vec<_>>(), ["cx23"]);
        assert!(merged.get(Kind::InstanceSku, "fsn1", "cx22").is_some());
    }
}
