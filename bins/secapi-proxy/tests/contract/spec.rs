//! The specification's schemas, folded one level deep, as the suite walks them.

use serde_json::{Map, Value, json};
use specifications::{Documents, Folded};

/// The documents of the specification.
pub struct Spec(Documents);

/// A schema, folded one level deep.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The name of the schema that it came from, if it is one of another place.
    pub name: Option<String>,
    pub properties: Vec<(String, Value)>,
    pub required: Vec<String>,
    pub items: Option<Value>,
    pub values: Option<Value>,
    /// The rules in CEL.
    pub rules: Vec<String>,
    /// All other members: limits, type, enum.
    pub rest: Map<String, Value>,
}

impl Spec {
    pub fn read() -> Self {
        Self(Documents::seca())
    }

    /// A schema by its file and name.
    pub fn schema(&self, file: &str, name: &str) -> Schema {
        self.fold(&json!({"$ref": format!("{file}#/components/schemas/{name}")}))
    }

    /// The schema of a parameter.
    pub fn parameter(&self, name: &str) -> Schema {
        let reference = json!({"$ref": format!("parameters.yaml#/components/parameters/{name}")});
        self.fold(&self.0.follow(&reference).1["schema"])
    }

    /// Folds a schema as it stands in another one.
    pub fn fold(&self, schema: &Value) -> Schema {
        let folded = self.0.fold(schema);
        let rules = folded.rules().map(str::to_owned).collect();
        let Folded { name, members: mut rest } = folded;
        let properties = rest.shift_remove("properties").map_or_else(Vec::new, |properties| match properties {
            Value::Object(members) => members.into_iter().collect(),
            other => panic!("properties are {other}"),
        });
        let required =
            rest.shift_remove("required").map_or_else(Vec::new, |names| serde_json::from_value(names).unwrap());
        let items = rest.shift_remove("items");
        let values = rest.shift_remove("additionalProperties").filter(Value::is_object);
        Schema { name, properties, required, items, values, rules, rest }
    }
}

impl Schema {
    pub fn number(&self, name: &str) -> Option<i64> {
        self.rest.get(name).map(|value| value.as_i64().unwrap_or_else(|| panic!("{name} is {value}")))
    }

    pub fn count(&self, name: &str) -> Option<usize> {
        self.number(name).map(|number| usize::try_from(number).unwrap())
    }

    pub fn word(&self, name: &str) -> Option<&str> {
        self.rest.get(name).and_then(Value::as_str)
    }

    /// The rules in CEL.
    pub fn cel(&self) -> Vec<&str> {
        self.rules.iter().map(String::as_str).collect()
    }
}
