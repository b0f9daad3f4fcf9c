//! SECA's documents, with every reference made absolute, and schemas with what they refer to folded in.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

/// OpenAPI documents by the name of their file, without its folder.
#[derive(Debug)]
pub struct Documents {
    files: BTreeMap<String, Arc<Value>>,
}

/// A schema whose references and `allOf` are folded into it. Its members are folded when they are looked at.
#[derive(Clone, Debug)]
pub struct Folded {
    /// The name of the outermost schema that was referred to.
    pub name: Option<String>,
    /// What the schema says: limits, type, members.
    pub members: Map<String, Value>,
}

impl Documents {
    /// The documents of the SECA specification.
    ///
    /// # Panics
    /// When the file is not what `scripts/distil-specifications` writes.
    #[must_use]
    pub fn seca() -> Self {
        let mut facts = crate::parse("seca.json", include_str!("../facts/seca.json"));
        let Value::Object(documents) = facts["documents"].take() else { panic!("seca.json has no documents") };
        Self { files: documents.into_iter().map(|(file, document)| (file, Arc::new(document))).collect() }
    }

    /// Adds a document, whose references may name its own parts.
    pub fn insert(&mut self, file: &str, mut document: Value) {
        make_absolute(&mut document, file);
        self.files.insert(file.to_owned(), Arc::new(document));
    }

    /// A document by the name of its file.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, file: &str) -> Arc<Value> {
        Arc::clone(self.files.get(file).unwrap_or_else(|| panic!("the facts of SECA have no {file}")))
    }

    /// What a value refers to, or the value itself, and the name by which it was referred to.
    ///
    /// # Panics
    /// When it refers to nothing.
    #[must_use]
    pub fn follow(&self, value: &Value) -> (Option<String>, Value) {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return (None, value.clone()) };
        let target = reference.split_once('#').map(|(file, pointer)| self.get(file).pointer(pointer).cloned());
        let target = target.flatten().unwrap_or_else(|| panic!("nothing at {reference}"));
        let name = reference.rsplit('/').next().map(str::to_owned);
        (name, self.follow(&target).1)
    }

    /// Folds references and `allOf` of a schema. What stands beside them wins over what they name.
    ///
    /// # Panics
    /// When the value is no schema.
    #[must_use]
    pub fn fold(&self, schema: &Value) -> Folded {
        let (mut name, target) = self.follow(schema);
        let mut members = Map::new();
        let parts = target.get("allOf").and_then(Value::as_array).cloned().unwrap_or_default();
        for part in &parts {
            let mut part = self.fold(part);
            part.mark_members();
            // A single part that is described once more is still the same schema.
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
    /// The rules in CEL.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let rules = self.members.get("x-cel-rules").and_then(Value::as_array);
        rules.into_iter().flatten().filter_map(Value::as_str)
    }

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

/// Gives every reference the name of the file that it stands in.
fn make_absolute(value: &mut Value, file: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(reference) if name == "$ref" && reference.starts_with('#') => {
                        reference.insert_str(0, file);
                    }
                    member => make_absolute(member, file),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| make_absolute(item, file)),
        _ => {}
    }
}
