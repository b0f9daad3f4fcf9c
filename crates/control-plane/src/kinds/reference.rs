//! The fields of a kind that name other resources, as data, and what they say in a document.

use seca_api::{Kind, Reference, ReferenceError, ResourceKey, Target, violation::join};
use serde_json::Value;

/// A field that names another resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceField {
    /// A JSON pointer into the document, with `*` for the items of a list: `/spec/routes/*/targetRef`.
    pub pointer: &'static str,
    /// The kinds that it may name.
    pub targets: &'static [Kind],
    /// Those of them that need not exist yet. All others are strict.
    pub late: &'static [Kind],
    /// Whether it may be an IP address instead.
    pub address: bool,
    /// Whether it may not change once it is set. It is compared as resolved, so that spellings may.
    pub immutable: bool,
    /// Whether the referrer wants to hold its target exclusively, so that its holder matters.
    pub exclusive: bool,
}

impl ReferenceField {
    /// A field that names an existing resource of these kinds.
    pub const fn new(pointer: &'static str, targets: &'static [Kind]) -> Self {
        Self { pointer, targets, late: &[], address: false, immutable: false, exclusive: false }
    }

    /// The same, and it may not change.
    pub const fn immutable(self) -> Self {
        Self { immutable: true, ..self }
    }

    /// The same, and the target's holder is looked at.
    pub const fn exclusive(self) -> Self {
        Self { exclusive: true, ..self }
    }

    /// The same, and it may be an IP address.
    pub const fn or_address(self) -> Self {
        Self { address: true, ..self }
    }

    /// The same, and targets of these kinds need not exist yet.
    pub const fn late(self, late: &'static [Kind]) -> Self {
        Self { late, ..self }
    }

    /// Whether a target of this kind must exist.
    pub fn is_strict(&self, target: Kind) -> bool {
        !self.late.contains(&target)
    }
}

/// A reference as a document has it, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spelled {
    /// Its field.
    pub field: ReferenceField,
    /// Its place.
    pub pointer: String,
    /// What it means, or why nobody can tell.
    pub target: Result<Target, ReferenceError>,
}

impl Spelled {
    /// What is compared to see whether a reference changed: the tenant of the catalogue's resources does not
    /// matter.
    pub fn identity(&self) -> Option<Target> {
        match self.target.clone().ok()? {
            Target::Resource(mut key) => {
                let is_listed = super::catalog::is_listed(key.kind);
                if key.kind.is_catalog() || is_listed && is_catalog_tenant(&key.tenant) {
                    key.tenant.clear();
                }
                Some(Target::Resource(key))
            }
            other => Some(other),
        }
    }
}

/// Whether a tenant's name stands for the catalogue itself.
pub fn is_catalog_tenant(tenant: &str) -> bool {
    super::catalog::TENANTS.contains(&tenant)
}

/// What the references of a specification mean, seen from the resource that holds them. Unset ones are left out,
/// and so is what has another form than a reference: the limits tell of it.
pub fn spelled(fields: &[ReferenceField], key: &ResourceKey, spec: &Value) -> Vec<Spelled> {
    let mut found = Vec::new();
    for field in fields {
        for (pointer, value) in expand(field.pointer, spec) {
            let Some(reference) = Reference::from_value(value).filter(|reference| !reference.is_unset()) else {
                continue;
            };
            let resolve = if field.address { Reference::resolve_or_address } else { Reference::resolve };
            found.push(Spelled { field: *field, pointer, target: resolve(&reference, key, field.targets) });
        }
    }
    found
}

/// The values at a pointer pattern of a document whose specification this is, each with its own pointer.
pub fn expand<'a>(pattern: &str, spec: &'a Value) -> Vec<(String, &'a Value)> {
    let mut found = vec![("/spec".to_owned(), spec)];
    for segment in pattern.split('/').skip(2) {
        found = found.into_iter().flat_map(|(pointer, value)| descend(&pointer, value, segment)).collect();
    }
    found
}

fn descend<'a>(pointer: &str, value: &'a Value, segment: &str) -> Vec<(String, &'a Value)> {
    match value {
        Value::Array(items) if segment == "*" => {
            items.iter().enumerate().map(|(index, item)| (format!("{pointer}/{index}"), item)).collect()
        }
        Value::Object(members) => {
            members.get(segment).map(|member| (join(pointer, segment), member)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_finds_all_items_of_lists() {
        let spec = json!({"routes": [{"targetRef": "a"}, {"other": 1}, {"targetRef": {"resource": "b"}}]});
        let found: Vec<_> = expand("/spec/routes/*/targetRef", &spec).into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(found, ["/spec/routes/0/targetRef", "/spec/routes/2/targetRef"]);
        assert!(expand("/spec/routes/*/targetRef", &json!({"routes": "none"})).is_empty());
        assert!(expand("/spec/routes/*/targetRef", &json!("none")).is_empty());
    }
}
