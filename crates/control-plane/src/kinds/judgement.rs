//! What a kind's own rules look at.

use std::collections::BTreeSet;

use seca_api::{Kind, ResourceKey, violation::Violation};
use serde_json::Value;

use super::{KindRules, ReferenceField, is_set, spelled};
use crate::{
    catalog::{Catalog, CatalogEntry, zone_name},
    ports::Provider,
    resource::Resource,
};

/// A document, and what it replaces.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What is written.
    pub key: &'a ResourceKey,
    /// Its specification, as it would be stored.
    pub spec: &'a Value,
    /// The row that it replaces, and its specification.
    pub old: Option<(&'a Resource, &'a Value)>,
}

impl Subject<'_> {
    /// Whether a member differs from what is replaced; true for a new resource. Unset members are alike.
    pub fn changed(&self, pointer: &str) -> bool {
        let Some((_, old)) = self.old else { return true };
        let (old, new) = (old.pointer(pointer), self.spec.pointer(pointer));
        if !is_set(old) && !is_set(new) { false } else { old != new }
    }
}

/// What a reference was found to name.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "short-lived, a few per request")]
pub enum Found {
    /// A live resource.
    Row {
        /// The resource.
        row: Resource,
        /// Who holds it, for exclusive fields.
        holder: Option<Resource>,
        /// The network, for what lives in one.
        parent: Option<Resource>,
    },
    /// An entry of the catalogue.
    Entry(CatalogEntry),
    /// An IP address, or a block.
    Address(String),
    /// Nothing that exists, or something that is being deleted: reported unless it may be late.
    Missing(ResourceKey),
    /// The resource that is written.
    Itself,
}

impl Found {
    /// The resource.
    pub const fn row(&self) -> Option<&Resource> {
        match self {
            Self::Row { row, .. } => Some(row),
            _ => None,
        }
    }

    /// The entry of the catalogue.
    pub const fn entry(&self) -> Option<&CatalogEntry> {
        match self {
            Self::Entry(entry) => Some(entry),
            _ => None,
        }
    }
}

/// A reference that could be understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Its field.
    pub field: ReferenceField,
    /// Its place.
    pub pointer: String,
    /// What it names.
    pub found: Found,
}

/// A live resource that a document names in a list of references, or in one of several fields.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// Its place.
    pub pointer: String,
    /// The resource.
    pub row: &'a Resource,
    /// Whether the write added it: what these fields named before does not count it. Moved within them, it is not new.
    pub is_new: bool,
}

/// All that a kind's own rules look at. Pure: nothing is read from here on.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    /// The document, and what it replaces.
    pub subject: Subject<'a>,
    /// Its extensions, an object.
    pub extensions: Option<&'a Value>,
    /// Its kind.
    pub rules: &'a KindRules,
    /// Its parents, nearest first, all of them live.
    pub parents: &'a [Resource],
    /// Its references, as far as they could be understood.
    pub references: &'a [Resolved],
    /// The rows that exclusive references named before and no longer do, each with its place.
    pub left: &'a [(String, Resource)],
    /// What [`KindRules::relatives`] asked for.
    pub relatives: &'a [Resource],
    /// The catalogue of the moment.
    pub catalog: &'a Catalog,
    /// The provider, and what it takes.
    pub provider: &'a Provider,
    /// Of the tenants that the document names, those that its writer may know.
    pub tenants: &'a BTreeSet<String>,
}

impl Judgement<'_> {
    /// A text of the specification, if it is set.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.subject.spec.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The value of an extension.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions?.get(name)?.as_str()
    }

    /// A whole number of the specification.
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.subject.spec.pointer(pointer).and_then(Value::as_i64)
    }

    /// Whether there was such a resource before.
    pub const fn is_update(&self) -> bool {
        self.subject.old.is_some()
    }

    /// The parent of a kind.
    pub fn parent(&self, kind: Kind) -> Option<&Resource> {
        self.parents.iter().find(|parent| parent.key.kind == kind)
    }

    /// What the reference at a place names.
    pub fn found(&self, pointer: &str) -> Option<&Found> {
        self.references.iter().find(|resolved| resolved.pointer == pointer).map(|resolved| &resolved.found)
    }

    /// What the exclusive reference at a place named before, if it names something else now.
    pub fn left(&self, pointer: &str) -> Option<&Resource> {
        self.left.iter().find(|(at, _)| at == pointer).map(|(_, row)| row)
    }

    /// Whether the reference at a place names something else than before; true for a new resource. Another
    /// spelling of the same is no change.
    pub fn retargeted(&self, pointer: &str) -> bool {
        let Some((row, old)) = self.subject.old else { return true };
        let identity = |spec: &Value| {
            let all = spelled(self.rules.references, &row.key, spec);
            all.iter().find(|reference| reference.pointer == pointer).and_then(super::Spelled::identity)
        };
        identity(old) != identity(self.subject.spec)
    }

    /// The live resources that some fields name, in the order of the fields and of their lists.
    pub fn named(&self, fields: &[&str]) -> Vec<Named<'_>> {
        let identities = |key: &ResourceKey, spec: &Value| {
            let mut all = spelled(self.rules.references, key, spec);
            all.retain(|reference| fields.contains(&reference.field.pointer));
            all.into_iter().map(|reference| (reference.identity(), reference.pointer)).collect::<Vec<_>>()
        };
        let old = self.subject.old.map(|(row, old)| identities(&row.key, old)).unwrap_or_default();
        let mut old: Vec<_> = old.into_iter().map(|(identity, _)| identity).collect();
        let now = identities(self.subject.key, self.subject.spec).into_iter().filter_map(|(identity, pointer)| {
            let before = old.iter().position(|known| *known == identity);
            if let Some(index) = before {
                old.swap_remove(index);
            }
            Some(Named { row: self.found(&pointer)?.row()?, pointer, is_new: before.is_none() })
        });
        now.collect()
    }

    /// A violation unless the zone at a place is one of the region's.
    pub fn unknown_zone(&self, pointer: &str) -> Option<Violation> {
        let zone = self.text(pointer)?;
        let zones = self.catalog.zones(&self.subject.key.region);
        if zones.iter().any(|known| known == zone_name(zone)) || !self.subject.changed(pointer) {
            return None;
        }
        let region = &self.subject.key.region;
        let rule = format!(
            "zone must be a zone of region {region}, but is `{}`; use {}",
            clip(zone),
            if zones.is_empty() { "another region, this one has none".to_owned() } else { zones.join(" or ") }
        );
        Some(Violation::at(format!("/spec{pointer}"), rule))
    }
}

/// The first characters of a text that a client sent, for a sentence about it.
pub fn clip(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
