//! Limits as data: one table per kind says what its specification may hold.
//!
//! One table, because four things read it and must agree: the check of what clients send, the rewriting of what
//! is stored, the references that admission follows, and the API description. Control flow lives in `check` and
//! `normalize`; a kind adds a constant and nothing else.

mod check;
mod normalize;

pub use check::check;
pub use normalize::{Normalized, normalize};
use serde_json::Value;

use crate::{kind::Kind, violation};

/// What a JSON value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// An object with these members and no others.
    Object(&'static [Field]),
    /// An object with these members and no others, at least one of which is set.
    AnyOf(&'static [Field]),
    /// An object with any members: a workspace's specification.
    OpenObject,
    /// A text whose length in characters lies between two bounds.
    Text {
        /// The fewest characters.
        min: usize,
        /// The most characters.
        max: usize,
        /// What the text says.
        rule: TextRule,
    },
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// A whole number between two bounds.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// A list.
    List {
        /// What each item is.
        items: &'static Type,
        /// The fewest items.
        min: usize,
        /// The most items.
        max: usize,
    },
    /// An object whose members are texts: labels, annotations, extensions.
    TextMap {
        /// The most characters of a value, where there is a limit.
        max_value: Option<usize>,
    },
    /// A reference to another resource: a text, or an object with `resource` and what narrows it.
    Reference,
}

/// What a text says, beyond its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRule {
    /// Anything.
    Any,
    /// A resource name.
    Name,
    /// An IPv4 block, `10.0.0.0/16`.
    Cidr4,
    /// An IPv6 block, `fd00::/56`.
    Cidr6,
    /// A block of either family.
    Cidr,
    /// An address of either family.
    Ip,
    /// A time, `2026-07-01T09:30:00Z`.
    Time,
    /// The reason of a condition, a word in CamelCase.
    Reason,
}

/// The place of a limit where there is none.
pub const UNLIMITED: usize = usize::MAX;

/// A member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub ty: Type,
    /// Whether it must be set. An empty text, and a reference to an empty text, are unset.
    pub required: bool,
    /// Whether it may not change once the resource exists, compared as text. SKU references are not marked: they
    /// are compared as resolved.
    pub immutable: bool,
    /// What an unset member means, as JSON.
    pub default: Option<&'static str>,
    /// What it is for, with its unit.
    pub description: &'static str,
}

impl Field {
    /// A member that must be set.
    pub const fn required(name: &'static str, ty: Type, description: &'static str) -> Self {
        Self { name, ty, required: true, immutable: false, default: None, description }
    }

    /// A member that may be left out.
    pub const fn optional(name: &'static str, ty: Type, description: &'static str) -> Self {
        Self { required: false, ..Self::required(name, ty, description) }
    }

    /// The same, and it may not change.
    pub const fn immutable(self) -> Self {
        Self { immutable: true, ..self }
    }

    /// The same, and unset means this JSON.
    pub const fn default(self, json: &'static str) -> Self {
        Self { default: Some(json), ..self }
    }
}

/// What a reference may hold, once a text has become an object.
pub static REFERENCE: Type = Type::Object(REFERENCE_FIELDS);

const REFERENCE_FIELDS: &[Field] = &[
    Field::optional("region", text(0, 64), "The region; the referrer's where it is not set."),
    Field::optional("provider", text(0, 64), "The provider, `seca.compute/v1`; inferred where it is not set."),
    Field::optional("tenant", text(0, 64), "The tenant; the referrer's where it is not set."),
    Field::optional("workspace", text(0, 64), "The workspace; the referrer's where it is not set."),
    Field::required("resource", text(1, 256), "`<type>/<name>`, a path, or a whole URN."),
];

/// Notes for people and tools.
pub(crate) const ANNOTATIONS: Type = Type::TextMap { max_value: Some(1024) };

/// What clients own beside the specification: labels, annotations and extensions.
pub static USER_METADATA: Type = Type::Object(USER_METADATA_FIELDS);

pub(crate) const USER_METADATA_FIELDS: &[Field] = &[
    Field::optional("labels", Type::TextMap { max_value: Some(63) }, "Words to select by."),
    Field::optional("annotations", ANNOTATIONS, "Notes for people and tools."),
    Field::optional("extensions", Type::TextMap { max_value: None }, "Settings that only some providers know."),
];

/// The schema of a kind's specification; none for kinds that clients do not write.
pub fn spec_schema(kind: Kind) -> Option<&'static Type> {
    (!kind.is_catalog()).then(|| served_spec(kind))
}

/// What the specification of a kind holds, whether clients write it or the provider does.
pub const fn served_spec(kind: Kind) -> &'static Type {
    kind.row().schema
}

/// What the status of a kind holds beside [`status::FIELDS`](crate::status::FIELDS); none for kinds without a status.
pub const fn served_status(kind: Kind) -> Option<&'static [Field]> {
    kind.row().status
}

/// The top-level members of a kind's specification that may not change, compared as text.
pub fn immutable_fields(kind: Kind) -> impl Iterator<Item = &'static str> {
    fields(spec_schema(kind)).iter().filter(|field| field.immutable).map(|field| field.name)
}

/// Every reference in a value, with its JSON pointer, in the order of the document. Unset ones are left out.
pub fn references<'a>(ty: &Type, value: &'a Value, pointer: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    collect_references(ty, value, pointer, &mut found);
    found
}

fn collect_references<'a>(ty: &Type, value: &'a Value, pointer: &str, found: &mut Vec<(String, &'a Value)>) {
    match (ty, value) {
        (Type::Reference, value) if !is_unset(ty, value) => found.push((pointer.to_owned(), value)),
        (Type::Object(fields) | Type::AnyOf(fields), Value::Object(members)) => {
            for (name, member) in members {
                if let Some(field) = fields.iter().find(|field| field.name == name) {
                    collect_references(&field.ty, member, &violation::join(pointer, name), found);
                }
            }
        }
        (Type::List { items, .. }, Value::Array(values)) => {
            for (index, item) in values.iter().enumerate() {
                collect_references(items, item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Whether a member with this value counts as not set.
pub(crate) fn is_unset(ty: &Type, value: &Value) -> bool {
    match (ty, value) {
        (_, Value::Null) => true,
        (_, Value::String(text)) => text.is_empty(),
        (Type::Reference, Value::Object(members)) => match members.get("resource") {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(_) => false,
        },
        _ => false,
    }
}

/// Whether a text is an address or a block of addresses.
pub(crate) fn is_address(text: &str) -> bool {
    check::parse_ip(text).is_some() || check::parse_cidr(text).is_some()
}

fn fields(ty: Option<&'static Type>) -> &'static [Field] {
    match ty {
        Some(Type::Object(fields) | Type::AnyOf(fields)) => fields,
        _ => &[],
    }
}

/// A list of any number of items up to a limit.
pub(crate) const fn list(items: &'static Type, max: usize) -> Type {
    Type::List { items, min: 0, max }
}

/// A time.
pub(crate) const TIME: Type = Type::Text { min: 0, max: UNLIMITED, rule: TextRule::Time };

/// A text without a rule.
pub(crate) const fn text(min: usize, max: usize) -> Type {
    Type::Text { min, max, rule: TextRule::Any }
}
