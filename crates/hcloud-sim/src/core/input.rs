//! Request bodies: typed access that collects what is wrong, so that one answer names every bad field.

use super::http::{Api, ApiError};
use super::labels::{self, Labels};
use serde_json::{Map, Value};

/// An object named by id or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ref {
    Id(i64),
    Name(String),
}

impl Ref {
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().map(Self::Id),
            Value::String(text) => Some(text.parse().map_or_else(|_| Self::Name(text.clone()), Self::Id)),
            _ => None,
        }
    }

    pub(crate) fn is(&self, id: i64, name: &str) -> bool {
        match self {
            Self::Id(wanted) => *wanted == id,
            Self::Name(wanted) => wanted == name,
        }
    }
}

impl std::fmt::Display for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A JSON object with the errors found in it so far. `null` counts as absent.
pub(crate) struct Input {
    fields: Map<String, Value>,
    errors: Vec<(String, String)>,
}

impl Input {
    pub(crate) const fn new(fields: Map<String, Value>) -> Self {
        Self { fields, errors: Vec::new() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn reject(&mut self, name: &str, message: &str) {
        self.errors.push((name.to_owned(), message.to_owned()));
    }

    /// Fails with every error found.
    pub(crate) fn check(&self) -> Api<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::invalid_fields(&self.errors)) }
    }

    fn typed<T>(&mut self, name: &str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.reject(name, &format!("must be {what}"));
        }
        read
    }

    fn required<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        if value.is_none() && self.get(name).is_none() {
            self.reject(name, "Missing data for required field.");
        }
        value.unwrap_or_default()
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn required_text(&mut self, name: &str) -> String {
        let text = self.text(name);
        self.required(name, text)
    }

    pub(crate) fn integer(&mut self, name: &str) -> Option<i64> {
        // Clients send ids as numbers; 10.0 is a number without a fraction too.
        self.typed(name, "an integer", |value| {
            value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        })
    }

    pub(crate) fn required_integer(&mut self, name: &str) -> i64 {
        let number = self.integer(name);
        self.required(name, number)
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    pub(crate) fn reference(&mut self, name: &str) -> Option<Ref> {
        self.typed(name, "an ID or a name", Ref::of)
    }

    pub(crate) fn required_reference(&mut self, name: &str) -> Ref {
        let reference = self.reference(name);
        if reference.is_none() && self.get(name).is_none() {
            self.reject(name, "Missing data for required field.");
        }
        reference.unwrap_or(Ref::Id(0))
    }

    pub(crate) fn array(&mut self, name: &str) -> Option<Vec<Value>> {
        self.typed(name, "a list", |value| value.as_array().cloned())
    }

    pub(crate) fn integers(&mut self, name: &str) -> Vec<i64> {
        let values = self.array(name).unwrap_or_default();
        let numbers: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
        if numbers.len() != values.len() {
            self.reject(name, "must be a list of integers");
        }
        numbers
    }

    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let values = self.array(name)?;
        let texts: Vec<String> = values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
        if texts.len() != values.len() {
            self.reject(name, "must be a list of strings");
        }
        Some(texts)
    }

    pub(crate) fn object(&mut self, name: &str) -> Option<Self> {
        self.typed(name, "an object", |value| value.as_object().cloned()).map(Self::new)
    }

    pub(crate) fn labels(&mut self) -> Option<Labels> {
        let object = self.typed("labels", "an object", |value| value.as_object().cloned())?;
        let mut read = Labels::new();
        for (key, value) in object {
            match value.as_str() {
                Some(text) => {
                    read.insert(key, text.to_owned());
                }
                None => self.reject("labels", &format!("label value of '{key}' must be a string")),
            }
        }
        if let Err(why) = labels::check(&read) {
            self.reject("labels", &why);
        }
        Some(read)
    }

    /// Takes over the errors of a nested object, under its name.
    pub(crate) fn adopt(&mut self, name: &str, nested: &Self) {
        for (field, message) in &nested.errors {
            self.errors.push((format!("{name}.{field}"), message.clone()));
        }
    }
}
