//! Which rules a document breaks: all of them at once, each with its place.

use std::net::IpAddr;

use serde_json::{Map, Number, Value};

use super::{Field, REFERENCE_FIELDS, TextRule, Type, is_unset};
use crate::{
    names, status,
    timestamp::Timestamp,
    violation::{Violation, clip, join},
};

/// Every rule that a value breaks. `pointer` is the place of the value in the request body, `/spec`.
///
/// An empty text is unset as the value of an object's member, and so is a reference to one. Inside a list it
/// stays, and breaks the item's smallest length. A wrong JSON type is a violation like any other.
pub fn check(ty: &Type, value: &Value, pointer: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    check_value(ty, value, pointer, &mut found);
    found
}

fn check_value(ty: &Type, value: &Value, pointer: &str, found: &mut Vec<Violation>) {
    match (ty, value) {
        (Type::Object(fields), Value::Object(members)) => check_members(fields, members, pointer, found),
        (Type::AnyOf(fields), Value::Object(members)) => {
            check_members(fields, members, pointer, found);
            check_any(fields, members, pointer, found);
        }
        (Type::OpenObject, Value::Object(_)) | (Type::Boolean, Value::Bool(_)) => {}
        (Type::Text { min, max, rule }, Value::String(text)) => {
            check_length(text, *min, *max, pointer, found);
            check_text(*rule, text, pointer, found);
        }
        (Type::OneOf(words), Value::String(word)) if words.contains(&word.as_str()) => {}
        (Type::OneOf(_), Value::String(word)) => {
            report(found, pointer, format!("must be {}, but is `{}`; pick one of them", describe(ty), clip(word)));
        }
        (Type::Integer { min, max }, Value::Number(number)) => check_integer(*min, *max, number, pointer, found),
        (Type::List { items, min, max }, Value::Array(values)) => {
            check_count(values.len(), *min, *max, pointer, found);
            // The excess of a list that is too long is not looked at: its length is the violation.
            for (index, item) in values.iter().take(*max).enumerate() {
                check_value(items, item, &format!("{pointer}/{index}"), found);
            }
        }
        (Type::TextMap { max_value }, Value::Object(members)) => check_map(*max_value, members, pointer, found),
        (Type::Reference, Value::Object(members)) => check_members(REFERENCE_FIELDS, members, pointer, found),
        (Type::Reference, Value::String(resource)) => check_length(resource, 1, 256, pointer, found),
        (_, other) => {
            report(found, pointer, format!("must be {}, but is {}; send that instead", describe(ty), json_type(other)));
        }
    }
}

fn check_members(fields: &[Field], members: &Map<String, Value>, pointer: &str, found: &mut Vec<Violation>) {
    for field in fields {
        let place = join(pointer, field.name);
        match members.get(field.name) {
            Some(value) if !is_unset(&field.ty, value) => check_value(&field.ty, value, &place, found),
            Some(Value::Object(reference)) if !field.required && field.ty == Type::Reference => {
                check_unset_reference(reference, &place, found);
            }
            _ if field.required => {
                report(found, &place, format!("is missing; set it to {}", describe(&field.ty)));
            }
            _ => {}
        }
    }
}

/// A reference without a `resource` names nothing; what it says beside that still has its limits.
fn check_unset_reference(members: &Map<String, Value>, pointer: &str, found: &mut Vec<Violation>) {
    let before = found.len();
    check_members(REFERENCE_FIELDS, members, pointer, found);
    let missing = join(pointer, "resource");
    let kept: Vec<_> = found.drain(before..).filter(|violation| violation.pointer != missing).collect();
    found.extend(kept);
}

fn check_any(fields: &[Field], members: &Map<String, Value>, pointer: &str, found: &mut Vec<Violation>) {
    // An empty list says no more than its absence: Go leaves either out.
    let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let set =
        |field: &&Field| members.get(field.name).is_some_and(|value| !is_unset(&field.ty, value) && !empty(value));
    if !fields.iter().any(|field| set(&field)) {
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        report(found, pointer, format!("is empty; set at least one of {}", names.join(", ")));
    }
}

fn check_length(text: &str, min: usize, max: usize, pointer: &str, found: &mut Vec<Violation>) {
    let length = text.chars().count();
    if length < min {
        report(found, pointer, format!("must be {} long, but has {length}; lengthen it", span(min, max, "character")));
    } else if length > max {
        report(found, pointer, format!("must be {} long, but has {length}; shorten it", span(min, max, "character")));
    }
}

fn check_count(count: usize, min: usize, max: usize, pointer: &str, found: &mut Vec<Violation>) {
    if count < min {
        report(found, pointer, format!("must hold {}, but holds {count}; add some", span(min, max, "item")));
    } else if count > max {
        report(found, pointer, format!("must hold {}, but holds {count}; remove some", span(min, max, "item")));
    }
}

fn check_text(rule: TextRule, text: &str, pointer: &str, found: &mut Vec<Violation>) {
    let fine = match rule {
        TextRule::Any => true,
        TextRule::Name => names::is_name(text),
        TextRule::Cidr4 => parse_cidr(text).is_some_and(|(address, _)| address.is_ipv4()),
        TextRule::Cidr6 => parse_cidr(text).is_some_and(|(address, _)| address.is_ipv6()),
        TextRule::Cidr => parse_cidr(text).is_some(),
        TextRule::Ip => parse_ip(text).is_some(),
        TextRule::Time => text.parse::<Timestamp>().is_ok(),
        TextRule::Reason => status::is_reason(text),
    };
    if !fine {
        report(found, pointer, format!("must be {}, but is `{}`; correct it", describe_text(rule), clip(text)));
    }
}

fn check_integer(min: i64, max: i64, number: &Number, pointer: &str, found: &mut Vec<Violation>) {
    let fine = number.as_i64().is_some_and(|value| (min..=max).contains(&value));
    if !fine {
        let rule = describe(&Type::Integer { min, max });
        report(found, pointer, format!("must be {rule}, but is {}; correct it", clip(&number.to_string())));
    }
}

fn check_map(max_value: Option<usize>, members: &Map<String, Value>, pointer: &str, found: &mut Vec<Violation>) {
    for (key, value) in members {
        let place = join(pointer, key);
        match value {
            Value::String(text) => check_length(text, 0, max_value.unwrap_or(usize::MAX), &place, found),
            // Nulls go when the document is stored.
            Value::Null => {}
            other => {
                report(found, &place, format!("must be a text, but is {}; write it in quotes", json_type(other)));
            }
        }
    }
}

fn report(found: &mut Vec<Violation>, pointer: &str, rule: String) {
    let mut violation = Violation::at(pointer, "");
    violation.rule = format!("{} {rule}", clip(&violation.parameter));
    found.push(violation);
}

/// Reads an address as the specification's rules do: no leading zeros, no zone, no IPv4 in IPv6 clothes.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    match text.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => None,
        other => other.ok(),
    }
}

/// Reads a block: an address, a slash, and a prefix length in plain digits. Host bits may be set.
pub(crate) fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse_ip(address)?;
    let plain = length.bytes().all(|byte| byte.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    let length: u8 = if plain { length.parse().ok()? } else { return None };
    let most = if address.is_ipv4() { 32 } else { 128 };
    (length <= most).then_some((address, length))
}

fn describe(ty: &Type) -> String {
    match ty {
        Type::Object(_) | Type::AnyOf(_) | Type::OpenObject => "an object".to_owned(),
        Type::Text { min, max, rule: TextRule::Any } => format!("a text of {}", span(*min, *max, "character")),
        Type::Text { rule, .. } => describe_text(*rule).to_owned(),
        Type::OneOf([word]) => format!("`{word}`"),
        Type::OneOf(words) => format!("one of `{}`", words.join("`, `")),
        Type::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Type::Boolean => "true or false".to_owned(),
        Type::List { min, max, .. } => format!("a list of {}", span(*min, *max, "item")),
        Type::TextMap { .. } => "an object whose values are texts".to_owned(),
        Type::Reference => "a reference, like {\"resource\": \"<type>/<name>\"}".to_owned(),
    }
}

const fn describe_text(rule: TextRule) -> &'static str {
    match rule {
        TextRule::Any => "a text",
        TextRule::Name => names::NAME_RULE,
        TextRule::Cidr4 => "an IPv4 block like 10.0.0.0/16",
        TextRule::Cidr6 => "an IPv6 block like fd00::/56",
        TextRule::Cidr => "a block like 10.0.0.0/16 or fd00::/56",
        TextRule::Ip => "an address like 10.0.0.1 or fd00::1",
        TextRule::Time => "a time like 2026-07-01T09:30:00Z",
        TextRule::Reason => "a word in CamelCase",
    }
}

/// `at most 64 characters`, `1 to 32 items`.
fn span(min: usize, max: usize, unit: &str) -> String {
    match (min, max) {
        (0, most) => format!("at most {most} {unit}s"),
        (least, most) if least == most => format!("exactly {least} {unit}s"),
        (least, most) => format!("{least} to {most} {unit}s"),
    }
}

const fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
