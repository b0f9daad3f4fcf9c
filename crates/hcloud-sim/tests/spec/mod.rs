//! The provider's API document as a validator of answers.

use hcloud_sim::SimResponse;
use http::Method;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

pub(crate) struct Spec {
    document: Value,
    overlay: Vec<Value>,
}

impl Spec {
    /// The facts of the document. Only the file is ours here: the simulator knows no crate of the workspace.
    pub(crate) fn load() -> Self {
        let facts = include_str!("../../../specifications/facts/hetzner-cloud.json");
        let overlay = include_str!("../data/spec_overlay.json");
        Self { document: serde_json::from_str(facts).unwrap(), overlay: serde_json::from_str(overlay).unwrap() }
    }

    /// Every operation of the document: method and path template.
    pub(crate) fn operations(&self) -> Vec<(Method, String)> {
        let mut operations = Vec::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                if ["get", "post", "put", "delete"].contains(&method.as_str()) {
                    operations.push((method.to_uppercase().parse().unwrap(), path.clone()));
                }
            }
        }
        operations
    }

    /// Panics unless the answer is one that the document has for the operation.
    pub(crate) fn validate(&self, method: &Method, template: &str, response: &SimResponse) {
        for header in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-correlation-id"] {
            assert!(response.header(header).is_some(), "{method} {template}: no {header}");
        }
        let operation = &self.document["paths"][template][method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{method} {template} is not documented");
        let status = response.status.as_u16();
        let documented = match status {
            400..500 => &self.document["responses"]["4xx"],
            500..600 => &self.document["responses"]["5xx"],
            _ => &operation["responses"][status.to_string()],
        };
        assert!(documented.is_object(), "{method} {template}: {status} is not documented");
        let schema = &documented["content"]["application/json"]["schema"];
        if schema.is_null() {
            assert!(response.body.is_empty(), "{method} {template}: {status} has a body");
            return;
        }
        assert_eq!(response.header("content-type"), Some("application/json"));
        let schema = self.convert(schema, "");
        let validator = Validator::new(&schema).unwrap();
        // Through text: the workspace keeps numbers as written, the validator wants plain ones.
        let body = response.json();
        let errors: Vec<String> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{method} {template} {status}: {errors:#?}\n{body:#}");
    }

    /// OpenAPI 3.0 to JSON Schema, with the dated changes, and with no properties but those named.
    fn convert(&self, schema: &Value, name: &str) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let named = self.document.pointer(reference.trim_start_matches('#'));
            return self.convert(named.unwrap_or_else(|| panic!("nothing at {reference}")), name);
        }
        let Some(object) = schema.as_object() else { return schema.clone() };
        let mut converted: Map<String, Value> = object
            .iter()
            .filter(|(key, _)| !["example", "description", "nullable", "deprecated"].contains(&key.as_str()))
            .map(|(key, value)| {
                let value = match key.as_str() {
                    "items" => self.convert(value, name),
                    "allOf" | "oneOf" | "anyOf" => {
                        value.as_array().unwrap().iter().map(|part| self.convert(part, name)).collect()
                    }
                    _ => value.clone(),
                };
                (key.clone(), value)
            })
            .collect();
        if object.get("properties").is_some() {
            self.convert_properties(&mut converted, name);
        }
        if object.get("nullable") == Some(&json!(true)) {
            converted["type"] = json!([converted["type"], "null"]);
            if let Some(values) = converted.get_mut("enum").and_then(Value::as_array_mut) {
                values.push(Value::Null);
            }
        }
        Value::Object(converted)
    }

    fn convert_properties(&self, schema: &mut Map<String, Value>, name: &str) {
        let mut properties: Map<String, Value> = schema["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.clone(), self.convert(value, key)))
            .collect();
        let mut required: Vec<Value> = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for change in &self.overlay {
            let property = change["property"].as_str().unwrap();
            let here = change["inside"].as_str().is_none_or(|inside| inside == name);
            let here = here && change["beside"].as_str().is_none_or(|beside| properties.contains_key(beside));
            if !here || !properties.contains_key(property) {
                continue;
            }
            match change["change"].as_str().unwrap() {
                "remove" => {
                    properties.remove(property);
                    required.retain(|name| name != property);
                }
                "allow_value" => {
                    properties[property]["enum"].as_array_mut().unwrap().push(change["value"].clone());
                }
                "allow_null" => properties[property]["type"] = json!(["object", "null"]),
                "add_siblings" => {
                    for (key, value) in change["value"].as_object().unwrap() {
                        properties.entry(key).or_insert_with(|| value.clone());
                    }
                }
                other => panic!("spec_overlay.json: unknown change {other}"),
            }
        }
        // The error schema and label maps are open; everything else is as the document lists it.
        if !schema.contains_key("additionalProperties") {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        schema.insert("properties".to_owned(), Value::Object(properties));
        schema.insert("required".to_owned(), Value::Array(required));
    }
}
