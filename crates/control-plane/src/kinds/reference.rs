//! The fields of a kind that name other resources, as data, and what they say in a document.

use seca_api::{Kind, Reference, ReferenceError, ResourceKey, Target, name_violation, violation::join};
use serde_json::Value;

use super::clip;
use crate::service::ReferencePolicy;

/// How a field names its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// As a reference.
    Reference,
    /// As a reference, or as an IP address or a block instead.
    ReferenceOrAddress,
    /// By a bare name: a text that names a resource of the tenant.
    Name,
}

/// A field that names another resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceField {
    /// A JSON pointer into the document, with `*` for the items of a list: `/spec/routes/*/targetRef`.
    pub pointer: &'static str,
    /// The kinds that it may name.
    pub targets: &'static [Kind],
    /// Those of them that need not exist yet, under every policy.
    pub late: &'static [Kind],
    /// Whether the tenant's policy decides if targets must exist. All other targets must.
    pub late_by_policy: bool,
    /// How it names them.
    pub spelling: Spelling,
    /// Whether it may not change once it is set. It is compared as resolved, so that spellings may.
    pub immutable: bool,
    /// Whether the referrer wants to hold its target exclusively, so that its holder matters.
    pub exclusive: bool,
}

impl ReferenceField {
    /// A field that names an existing resource of these kinds.
    pub const fn new(pointer: &'static str, targets: &'static [Kind]) -> Self {
        Self {
            pointer,
            targets,
            late: &[],
            late_by_policy: false,
            spelling: Spelling::Reference,
            immutable: false,
            exclusive: false,
        }
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
        Self { spelling: Spelling::ReferenceOrAddress, ..self }
    }

    /// The same, and targets of these kinds need not exist yet.
    pub const fn late(self, late: &'static [Kind]) -> Self {
        Self { late, ..self }
    }

    /// The same, and the tenant's policy decides whether targets must exist.
    pub const fn late_by_policy(self) -> Self {
        Self { late_by_policy: true, ..self }
    }

    /// The same, and targets are named by a bare name.
    pub const fn by_name(self) -> Self {
        Self { spelling: Spelling::Name, ..self }
    }

    /// Whether a target of this kind must exist.
    pub fn is_strict(&self, target: Kind, policy: ReferencePolicy) -> bool {
        let is_late = self.late.contains(&target) || self.late_by_policy && policy == ReferencePolicy::Late;
        !is_late
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
                let is_listed = super::catalog::is_shared(key.kind);
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
            if let Some(target) = target(field, key, value) {
                found.push(Spelled { field: *field, pointer, target });
            }
        }
    }
    found
}

/// What one value means; none if it is unset, or has another form than the field's.
fn target(field: &ReferenceField, key: &ResourceKey, value: &Value) -> Option<Result<Target, ReferenceError>> {
    if field.spelling == Spelling::Name {
        let name = value.as_str().filter(|name| !name.is_empty())?;
        return field.targets.first().map(|kind| named(*kind, key, name));
    }
    let reference = Reference::from_value(value).filter(|reference| !reference.is_unset())?;
    Some(match field.spelling {
        Spelling::ReferenceOrAddress => reference.resolve_or_address(key, field.targets),
        _ => reference.resolve(key, field.targets),
    })
}

/// The resource of the tenant that a bare name means.
fn named(kind: Kind, key: &ResourceKey, name: &str) -> Result<Target, ReferenceError> {
    if name_violation(kind, name).is_some() {
        return Err(ReferenceError::BadName { part: "name", given: clip(name) });
    }
    let region = if kind.provider().is_global() { "" } else { &key.region };
    Ok(Target::Resource(ResourceKey::tenant(kind, region, &key.tenant, name)))
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
