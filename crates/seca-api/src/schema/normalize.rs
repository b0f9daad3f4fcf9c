//! What is stored of a received document: the document itself, but for three rewrites.

use serde_json::{Map, Value};

use super::{Field, REFERENCE, Type};
use crate::violation::join;

/// A document as it is stored and echoed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized {
    /// The document.
    pub value: Value,
    /// JSON pointers, relative to the document, of members that the schema does not know and that were dropped.
    pub dropped: Vec<String>,
}

/// Rewrites a document for storing: a text in the place of a reference becomes `{"resource": text}`, members
/// whose value is null go, and so do members that a closed schema does not know. Order, texts and the digits of
/// numbers stay. A document that is null as a whole is an empty one.
///
/// It never fails: what has the wrong type stays as it is, for [`super::check`] to name.
pub fn normalize(ty: &Type, value: Value) -> Normalized {
    let value = if value.is_null() { Value::Object(Map::new()) } else { value };
    let mut dropped = Vec::new();
    let value = rewrite(ty, value, "", &mut dropped);
    Normalized { value, dropped }
}

fn rewrite(ty: &Type, value: Value, pointer: &str, dropped: &mut Vec<String>) -> Value {
    match (ty, value) {
        (Type::Reference, Value::String(resource)) => {
            Value::Object(Map::from_iter([("resource".to_owned(), Value::String(resource))]))
        }
        (Type::Reference, value @ Value::Object(_)) => rewrite(&REFERENCE, value, pointer, dropped),
        (Type::Object(fields) | Type::AnyOf(fields), Value::Object(members)) => {
            Value::Object(rewrite_members(fields, members, pointer, dropped))
        }
        (Type::List { items, .. }, Value::Array(values)) => Value::Array(
            values
                .into_iter()
                .enumerate()
                .map(|(index, item)| rewrite(items, item, &format!("{pointer}/{index}"), dropped))
                .collect(),
        ),
        (Type::OpenObject | Type::TextMap { .. }, value) => without_nulls(value),
        (_, value) => value,
    }
}

fn rewrite_members(
    fields: &[Field],
    members: Map<String, Value>,
    pointer: &str,
    dropped: &mut Vec<String>,
) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in members {
        let place = join(pointer, &name);
        match fields.iter().find(|field| field.name == name) {
            None => dropped.push(place),
            Some(_) if value.is_null() => {}
            Some(field) => {
                let value = rewrite(&field.ty, value, &place, dropped);
                kept.insert(name, value);
            }
        }
    }
    kept
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kind::Kind, schema::spec_schema};

    fn check(kind: Kind, input: &str, expect: &str, dropped: &[&str]) {
        let normalized = normalize(spec_schema(kind).unwrap(), serde_json::from_str(input).unwrap());
        assert_eq!(serde_json::to_string(&normalized.value).unwrap(), expect);
        assert_eq!(normalized.dropped, dropped);
        let again = normalize(spec_schema(kind).unwrap(), normalized.value.clone());
        assert_eq!(again.value, normalized.value);
        assert!(again.dropped.is_empty());
    }

    #[test]
    fn texts_become_references_and_nulls_and_strangers_go() {
        check(
            Kind::BlockStorage,
            r#"{"sizeGB":2e+1,"skuRef":"skus/x","sourceImageRef":null,"colour":"red"}"#,
            r#"{"sizeGB":2e+1,"skuRef":{"resource":"skus/x"}}"#,
            &["/colour"],
        );
        check(
            Kind::Instance,
            r#"{"bootVolume":{"type":"","deviceRef":{"ref":"x","tenant":null,"resource":"b"}},"additionalNicRefs":["a",null],"a/b":1}"#,
            r#"{"bootVolume":{"type":"","deviceRef":{"resource":"b"}},"additionalNicRefs":[{"resource":"a"},null]}"#,
            &["/bootVolume/deviceRef/ref", "/a~1b"],
        );
    }

    #[test]
    fn numbers_keep_their_digits_and_unset_texts_stay() {
        check(
            Kind::Subnet,
            r#"{"zone":"","routeTableRef":{"resource":""},"cidr":{"ipv6":"","ipv4":"10.0.0.0/24"}}"#,
            r#"{"zone":"","routeTableRef":{"resource":""},"cidr":{"ipv6":"","ipv4":"10.0.0.0/24"}}"#,
            &[],
        );
        check(
            Kind::BlockStorage,
            r#"{"sizeGB":10.00000000000000000001}"#,
            r#"{"sizeGB":10.00000000000000000001}"#,
            &[],
        );
    }

    #[test]
    fn an_open_specification_keeps_everything_but_nulls() {
        check(
            Kind::Workspace,
            r#"{"b":{"x":null,"y":[null,{"z":null}]},"a":1}"#,
            r#"{"b":{"y":[null,{}]},"a":1}"#,
            &[],
        );
        check(Kind::Workspace, "null", "{}", &[]);
    }

    #[test]
    fn what_has_the_wrong_type_stays() {
        check(Kind::RouteTable, r#"{"routes":"none"}"#, r#"{"routes":"none"}"#, &[]);
        check(Kind::Network, "[]", "[]", &[]);
    }
}
