//! The kinds that clients write: one file each, all of it data and pure functions.
//!
//! Admission, storage, listing and deletion are written once and read what differs from here. The other half of
//! a kind, its mapping to the provider, is a file of the same name in the provider's adapter; a kind without an object
//! there has none. `docs/adding-a-kind.md` says what a new kind touches.

pub mod block_storage;
pub mod catalog;
pub mod image;
pub mod instance;
pub mod internet_gateway;
mod judgement;
pub mod network;
pub mod nic;
pub mod public_ip;
mod reference;
pub mod role;
pub mod role_assignment;
pub mod route_table;
pub mod security_group;
pub mod security_group_rule;
pub mod subnet;
pub mod workspace;

use seca_api::{Kind, Type, spec_schema, violation::Violation};
use serde_json::{Map, Value};

pub use judgement::{Found, Judgement, Named, Resolved, Subject, clip};
pub use reference::{ReferenceField, Spelled, Spelling, expand, is_catalog_tenant, spelled};

use crate::ports::DeleteRules;

/// The kinds that clients write.
pub const ALL: &[&KindRules] = &[
    &role::RULES,
    &role_assignment::RULES,
    &workspace::RULES,
    &image::RULES,
    &block_storage::RULES,
    &instance::RULES,
    &network::RULES,
    &subnet::RULES,
    &route_table::RULES,
    &internet_gateway::RULES,
    &nic::RULES,
    &public_ip::RULES,
    &security_group::RULES,
    &security_group_rule::RULES,
];

const SERVED: [Kind; ALL.len()] = {
    let mut kinds = [Kind::Workspace; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        kinds[index] = ALL[index].kind;
        index += 1;
    }
    kinds
};

/// The kinds that clients write, as words. [`catalog::KINDS`] names those that the provider offers.
pub const fn served() -> &'static [Kind] {
    &SERVED
}

/// What differs about a kind; none for kinds that clients do not write.
pub fn rules(kind: Kind) -> Option<&'static KindRules> {
    ALL.iter().copied().find(|rules| rules.kind == kind)
}

/// What a kind hands out.
pub fn grant(kind: Kind) -> Option<Grant> {
    rules(kind)?.grants
}

/// Whether a kind founds a place of its own ([`KindRules::founds`]).
pub fn founds(kind: Kind) -> bool {
    rules(kind).is_some_and(|rules| rules.founds)
}

/// What differs about a kind that clients write.
#[derive(Clone, Copy, Debug)]
pub struct KindRules {
    /// The kind.
    pub kind: Kind,
    /// The fields that name other resources.
    pub references: &'static [ReferenceField],
    /// What stands in the way of a deletion, and what goes along.
    pub delete: DeleteRules,
    /// Whether it has a power switch: actions, and the extension [`crate::ports::Provider::start_extension`].
    pub powered: bool,
    /// Whether its object lies in a zone that the extension
    /// [`crate::ports::Provider::location_extension`] may choose.
    pub located: bool,
    /// Whether its status counts its children, all of which keep it from being deleted.
    pub counts_children: bool,
    /// Whether something stands behind it at the provider, or it says what is made there: then the adapter has a mapping
    /// of it. Else it is a row and nothing more.
    pub has_object: bool,
    /// The provider's word for the type of object that an operator may give to it, where nothing claims that: `volume`.
    pub adopts: Option<&'static str>,
    /// What it hands out.
    pub grants: Option<Grant>,
    /// Whether it founds a place of its own: a project of the provider is bound to it, and who makes it becomes its
    /// administrator.
    pub founds: bool,
    /// Whether who names one sees what is in it, because its content is copied.
    pub discloses: bool,
    /// Below which places of the document a member that nobody knows is refused, not dropped.
    pub strict: &'static [&'static str],
    /// Whether it can be made without a provider's project: then project `local` makes it, from an empty snapshot.
    pub local: bool,
    /// The field whose target's project makes it, for kinds without a parent.
    pub home: Option<&'static str>,
    /// Which other resources a decision about one looks at beside its relations: its [`crate::ports::Bundle::peers`].
    pub peers: Peers,
    /// The status members of a new resource, from its specification.
    pub initial_status: fn(&Value) -> Map<String, Value>,
    /// Which lists of related resources the judgement needs beside parents and targets. They are read together with
    /// the row that is replaced, so [`Subject::old`] is none.
    pub relatives: fn(&Subject<'_>) -> Vec<Relatives>,
    /// The rules that limits and references alone do not hold. It is called for documents that break limits,
    /// too, so that all violations are told at once: what cannot be read is passed over.
    pub judge: fn(&Judgement<'_>) -> Vec<Violation>,
}

impl KindRules {
    /// A kind without references and rules of its own, that nothing keeps from being deleted.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            references: &[],
            delete: FREELY,
            powered: false,
            located: false,
            counts_children: false,
            has_object: true,
            adopts: None,
            grants: None,
            founds: false,
            discloses: false,
            strict: &[],
            local: false,
            home: None,
            peers: Peers::None,
            initial_status: |_| Map::new(),
            relatives: |_| Vec::new(),
            judge: |_| Vec::new(),
        }
    }

    /// The limits of its specification.
    pub fn schema(&self) -> &'static Type {
        // A kind without a schema would be a mistake in the table, which a test rules out.
        spec_schema(self.kind).unwrap_or(&Type::OpenObject)
    }
}

/// What a kind hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Rights: what may be done.
    Role,
    /// Roles: who has which rights, and where.
    Assignment,
}

/// Live resources that a judgement looks at beside parents and targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relatives {
    /// Resources of the same kind in the same parent, without the one that is written.
    Siblings,
    /// Its children of a kind.
    Children(Kind),
}

/// Which live resources must know of each other that neither name nor contain each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// None.
    None,
    /// Those of its kind that name the same target in this field.
    OfTarget(&'static str),
    /// Those of its kind in the same parent.
    Siblings,
    /// Those of another kind in the same workspace. Each wakes the others when it changes.
    InWorkspace(Kind),
}

impl Peers {
    /// The kind of those that a resource of this kind wakes when it changes, although nothing relates them.
    pub fn woken_by(kind: Kind) -> Option<Kind> {
        match rules(kind)?.peers {
            Self::InWorkspace(other) => Some(other),
            Self::None | Self::OfTarget(_) | Self::Siblings => None,
        }
    }
}

/// Nothing stands in the way.
const FREELY: DeleteRules = DeleteRules { refused_by_children: &[], refused_by_referrers: &[], cascades: &[] };

/// Whether a member of an object is set, in the sense of the API: neither absent, null nor empty.
pub(crate) fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => match members.get("resource") {
            Some(resource) => is_set(Some(resource)),
            None => !members.is_empty(),
        },
        Some(_) => true,
    }
}

/// The status member that repeats a member of the specification, if it is set.
fn repeat(status: &mut Map<String, Value>, spec: &Value, member: &str) {
    if let Some(value) = spec.get(member).filter(|value| is_set(Some(value))) {
        status.insert(member.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use seca_api::schema::references;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_a_schema_and_is_registered_once() {
        for rules in ALL {
            assert!(spec_schema(rules.kind).is_some(), "{}", rules.kind);
            assert_eq!(served().iter().filter(|kind| **kind == rules.kind).count(), 1);
            assert!(!rules.kind.is_catalog());
        }
    }

    /// A document with every member set, made from the schema.
    fn full(ty: &Type) -> Value {
        match ty {
            Type::Object(fields) | Type::AnyOf(fields) => {
                Value::Object(fields.iter().map(|f| (f.name.to_owned(), full(&f.ty))).collect())
            }
            Type::List { items, .. } => json!([full(items), full(items)]),
            Type::Reference => json!({"resource": "x"}),
            Type::OpenObject | Type::TextMap { .. } => json!({}),
            _ => json!("x"),
        }
    }

    #[test]
    fn every_reference_of_a_schema_is_followed() {
        for rules in ALL {
            let spec = full(rules.schema());
            let mut known: Vec<String> = rules
                .references
                .iter()
                .filter(|field| field.spelling != Spelling::Name)
                .flat_map(|field| expand(field.pointer, &spec))
                .map(|(pointer, _)| pointer)
                .collect();
            for (pointer, _) in references(rules.schema(), &spec, "/spec") {
                let at =
                    known.iter().position(|p| *p == pointer).unwrap_or_else(|| panic!("{pointer} is not followed"));
                known.swap_remove(at);
            }
            assert!(known.is_empty(), "{}: {known:?} is no reference", rules.kind);
        }
    }

    /// Else one of them would miss what the other published.
    #[test]
    fn kinds_that_look_at_each_other_wake_each_other() {
        for rules in ALL {
            if let Some(other) = Peers::woken_by(rules.kind) {
                assert_eq!(Peers::woken_by(other), Some(rules.kind), "{}", rules.kind);
            }
        }
    }

    #[test]
    fn unset_has_many_spellings() {
        for unset in [json!(null), json!(""), json!([]), json!({}), json!({"resource": ""})] {
            assert!(!is_set(Some(&unset)), "{unset}");
        }
        for set in [json!("x"), json!(["x"]), json!({"resource": "x"}), json!({"a": 1}), json!(0), json!(false)] {
            assert!(is_set(Some(&set)), "{set}");
        }
    }
}
