//! The specification's documents, read: schemas with their references and `allOf` folded in.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// The documents of a folder, by file name.
pub struct Spec(HashMap<String, Value>);

/// A schema as it stands in a file, whose name its relative references need.
#[derive(Clone, Debug)]
pub struct Place {
    file: String,
    text: Value,
}

/// A schema, folded one level deep.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The name of the schema that it came from, if it is one of another place.
    pub name: Option<String>,
    pub properties: Vec<(String, Place)>,
    pub required: Vec<String>,
    pub items: Option<Place>,
    pub values: Option<Place>,
    /// All other members: limits, type, enum, tags.
    pub rest: Map<String, Value>,
}

impl Spec {
    /// Reads `schemas` of the specification.
    pub fn read() -> Self {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/spec/openapi");
        let folder = env::var_os("SECA_SPEC_DIR").map_or_else(|| PathBuf::from(default), PathBuf::from).join("schemas");
        let listed = fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!(
                "the SECA specification is not in {}: {error}; set SECA_SPEC_DIR to the folder that holds schemas/resource.yaml",
                folder.display()
            )
        });
        let paths =
            listed.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "yaml"));
        Self(paths.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), load(&path))).collect())
    }

    /// A schema by its file and name.
    pub fn schema(&self, file: &str, name: &str) -> Schema {
        self.fold(&self.find(file, "schemas", name))
    }

    /// The schema of a parameter.
    pub fn parameter(&self, name: &str) -> Schema {
        let mut place = self.find("parameters.yaml", "parameters", name);
        place.text = place.text["schema"].take();
        self.fold(&place)
    }

    fn find(&self, file: &str, section: &str, name: &str) -> Place {
        let text =
            self.0.get(file).map(|document| &document["components"][section][name]).filter(|text| text.is_object());
        let text =
            text.unwrap_or_else(|| panic!("the specification has no {section} {name} in schemas/{file}")).clone();
        Place { file: file.to_owned(), text }
    }

    /// Folds `$ref` and `allOf` of one level. What stands beside a reference wins over what it names.
    pub fn fold(&self, place: &Place) -> Schema {
        let mut folded = Schema::default();
        let at = |text: &Value| Place { file: place.file.clone(), text: text.clone() };
        for (name, value) in place.text.as_object().unwrap() {
            match name.as_str() {
                "$ref" => folded.add(self.follow(&place.file, value.as_str().unwrap())),
                "allOf" => value.as_array().unwrap().iter().for_each(|part| folded.add(self.fold(&at(part)))),
                "properties" => {
                    let members = value.as_object().unwrap().iter();
                    folded.properties.extend(members.map(|(name, text)| (name.clone(), at(text))));
                }
                "required" => {
                    folded.required.extend(value.as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()));
                }
                "items" => folded.items = Some(at(value)),
                "additionalProperties" if value.is_object() => folded.values = Some(at(value)),
                _ => drop(folded.rest.insert(name.clone(), value.clone())),
            }
        }
        folded
    }

    fn follow(&self, file: &str, reference: &str) -> Schema {
        let (path, name) = reference.split_once("#/components/schemas/").unwrap();
        let file = if path.is_empty() { file } else { path.trim_start_matches("./") };
        Schema { name: Some(name.to_owned()), ..self.schema(file, name) }
    }
}

impl Schema {
    fn add(&mut self, other: Self) {
        self.name = other.name.or(self.name.take());
        self.properties.extend(other.properties);
        self.required.extend(other.required);
        self.items = other.items.or(self.items.take());
        self.values = other.values.or(self.values.take());
        self.rest.extend(other.rest);
    }

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
        let tags = self.rest.get("x-oapi-codegen-extra-tags").and_then(Value::as_object).into_iter().flatten();
        tags.filter(|(name, _)| name.starts_with("x-cel-rule")).filter_map(|(_, rule)| rule.as_str()).collect()
    }
}

fn load(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    to_json(&documents[0])
}

fn to_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Value::String(text.clone()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Boolean(value) => Value::Bool(*value),
        Yaml::Array(items) => items.iter().map(to_json).collect(),
        Yaml::Hash(members) => {
            let name = |name: &Yaml| name.as_str().unwrap_or_default().to_owned();
            Value::Object(members.iter().map(|(key, value)| (name(key), to_json(value))).collect())
        }
        Yaml::Null | Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}
