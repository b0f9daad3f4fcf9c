//! The facts of the two specifications that our tests compare with, and nothing that they say in prose.
//!
//! `README.md` of this crate says where the files come from and how they are made again. Only tests depend on it.

mod seca;

use serde_json::{Map, Value};

pub use seca::{Documents, Folded};

/// The OpenAPI document of the Hetzner Cloud API: every operation by path and method, and what is sent and answered
/// by those that the client or the simulator has. The answers `4xx` and `5xx`, which all operations share, stand in
/// `responses`.
///
/// # Panics
/// When the file is not what `scripts/distil-specifications` writes.
#[must_use]
pub fn hetzner_cloud() -> Value {
    let mut document = parse("hetzner-cloud.json", include_str!("../facts/hetzner-cloud.json"));
    let schemas = document.as_object_mut().and_then(|members| members.shift_remove("schemas"));
    let Some(Value::Object(schemas)) = schemas else { panic!("hetzner-cloud.json has no schemas") };
    put_in_place(&mut document, &schemas);
    document
}

/// Replaces the references to repeated schemas with what they name.
fn put_in_place(value: &mut Value, schemas: &Map<String, Value>) {
    let named = value.get("$ref").and_then(Value::as_str).map(|reference| {
        let name = reference.strip_prefix("#/schemas/").and_then(|name| schemas.get(name));
        name.unwrap_or_else(|| panic!("hetzner-cloud.json: nothing at {reference}")).clone()
    });
    if let Some(named) = named {
        *value = named;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| put_in_place(member, schemas)),
        Value::Array(items) => items.iter_mut().for_each(|item| put_in_place(item, schemas)),
        _ => {}
    }
}

fn parse(name: &str, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{name} is not JSON: {error}; `make distil` writes it"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Calls `check` with every reference in a value.
    fn references(value: &Value, check: &mut impl FnMut(&Value)) {
        if value.get("$ref").is_some_and(Value::is_string) {
            check(value);
        }
        match value {
            Value::Object(members) => members.values().for_each(|member| references(member, check)),
            Value::Array(items) => items.iter().for_each(|item| references(item, check)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_of_seca_leads_to_something() {
        let (documents, mut count) = (Documents::seca(), 0);
        for file in ["foundation.compute.v1.yaml", "foundation.network.v1.yaml", "resource.yaml", "errors.yaml"] {
            references(&documents.get(file), &mut |value| {
                assert!(documents.follow(value).1.is_object(), "{value}");
                count += 1;
            });
        }
        assert!(count > 300, "only {count} references");
    }

    #[test]
    fn a_folded_schema_has_what_stands_beside_the_reference() {
        let mut documents = Documents::seca();
        let base = json!({"type": "object", "required": ["a"], "properties": {"a": {"maxLength": 3}, "b": {}}});
        let whole = json!({
            "allOf": [{"$ref": "#/Base"}, {"required": ["b"], "properties": {"b": {"type": "string"}}}],
            "x-cel-rules": ["self == oldSelf"],
            "readOnly": true
        });
        documents.insert("ours", json!({"Base": base, "Whole": whole}));
        let folded = documents.fold(&json!({"$ref": "ours#/Whole", "readOnly": false}));
        assert_eq!(folded.name.as_deref(), Some("Whole"));
        assert_eq!(folded.rules().collect::<Vec<_>>(), ["self == oldSelf"]);
        assert_eq!(folded.members["required"], json!(["a", "b"]));
        assert_eq!(folded.members["readOnly"], json!(false));
        assert_eq!(folded.members["properties"]["a"], json!({"maxLength": 3, "x-place": "Base/a"}));
        assert_eq!(folded.members["properties"]["b"], json!({"type": "string"}));
        let single = documents.fold(&json!({"allOf": [{"$ref": "ours#/Base"}]}));
        assert_eq!(single.name.as_deref(), Some("Base"), "described once more, it is the same schema");
    }

    #[test]
    fn hetzners_document_has_its_repeated_schemas_in_place() {
        let document = hetzner_cloud();
        references(&document, &mut |value| panic!("{value} is left"));
        let list = &document["paths"]["/servers"]["get"]["responses"]["200"]["content"]["application/json"];
        let server = &list["schema"]["properties"]["servers"]["items"]["properties"];
        assert!(server["status"]["enum"].as_array().unwrap().contains(&json!("running")), "{server}");
        assert_eq!(server["image"]["properties"]["type"]["type"], "string");
    }
}
