//! The specification's files, read once, with every reference made absolute.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// Documents by the name of their file.
pub(crate) struct Documents {
    dir: PathBuf,
    files: BTreeMap<String, Rc<Value>>,
}

/// A schema whose references and `allOf` are folded into it. Its members are folded when they are looked at.
pub(crate) struct Folded {
    /// The name of the outermost schema that was referred to.
    pub(crate) name: Option<String>,
    pub(crate) members: Map<String, Value>,
}

impl Documents {
    pub(crate) fn open() -> Self {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/spec/openapi");
        let dir = env::var_os("SECA_SPEC_DIR").map_or_else(|| PathBuf::from(default), PathBuf::from);
        assert!(
            dir.join("schemas/resource.yaml").is_file(),
            "the SECA specification is not in {}: set SECA_SPEC_DIR to the folder that holds schemas/resource.yaml",
            dir.display()
        );
        Self { dir, files: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, file: &str, mut document: Value) {
        make_absolute(&mut document, file);
        self.files.insert(file.to_owned(), Rc::new(document));
    }

    pub(crate) fn get(&mut self, file: &str) -> Rc<Value> {
        if !self.files.contains_key(file) {
            let schema = self.dir.join("schemas").join(file);
            let path = if schema.is_file() { schema } else { self.dir.join(file) };
            self.insert(file, load(&path));
        }
        Rc::clone(&self.files[file])
    }

    /// What a value refers to, or the value itself, and the name by which it was referred to.
    pub(crate) fn follow(&mut self, value: &Value) -> (Option<String>, Value) {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return (None, value.clone()) };
        let (file, pointer) = reference.split_once('#').unwrap();
        let target = self.get(file).pointer(pointer).unwrap_or_else(|| panic!("nothing at {reference}")).clone();
        let name = pointer.rsplit('/').next().map(str::to_owned);
        (name, self.follow(&target).1)
    }

    /// Folds references and `allOf` of a schema.
    pub(crate) fn fold(&mut self, schema: &Value) -> Folded {
        let (mut name, target) = self.follow(schema);
        let mut members = Map::new();
        let parts = target.get("allOf").and_then(Value::as_array).cloned().unwrap_or_default();
        for part in &parts {
            let mut part = self.fold(part);
            part.mark_members();
            // A single part that is described anew is still the same schema.
            if parts.len() == 1 && name.is_none() {
                name = part.name;
            }
            merge(&mut members, part.members);
        }
        for source in [&target, schema] {
            let mut own = source.as_object().unwrap_or_else(|| panic!("no schema: {source}")).clone();
            own.retain(|name, _| name != "allOf" && name != "$ref");
            merge(&mut members, own);
        }
        Folded { name, members }
    }
}

impl Folded {
    /// Members remember which schema declares them, when it is folded into others.
    fn mark_members(&mut self) {
        let Some(name) = &self.name else { return };
        let properties = self.members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
        for (member, schema) in properties {
            if let Some(schema) = schema.as_object_mut() {
                schema.entry("x-place").or_insert_with(|| format!("{name}/{member}").into());
            }
        }
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(properties)), Value::Object(more)) if name == "properties" => properties.extend(more),
            (Some(Value::Array(required)), Value::Array(more)) if name == "required" => {
                let more: Vec<_> = more.into_iter().filter(|word| !required.contains(word)).collect();
                required.extend(more);
            }
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// Files refer to each other by path; all of them have names of their own.
fn make_absolute(value: &mut Value, file: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(reference) if name == "$ref" => {
                        let (path, pointer) = reference.split_once('#').unwrap();
                        let path = if path.is_empty() { file } else { path.rsplit('/').next().unwrap() };
                        *reference = format!("{path}#{pointer}");
                    }
                    member => make_absolute(member, file),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| make_absolute(item, file)),
        _ => {}
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
            let name = |yaml: &Yaml| match yaml {
                Yaml::Integer(number) => number.to_string(),
                other => other.as_str().expect("members have names").to_owned(),
            };
            Value::Object(members.iter().map(|(key, value)| (name(key), to_json(value))).collect())
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => panic!("the specification uses YAML that is not read here"),
    }
}
