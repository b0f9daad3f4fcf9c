//! Members of a JSON body: known ones, all mistakes told at once.

use seca_api::{ProblemKind, Violation, json};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::Failure;

/// A member that a body may have.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// What its value must be, in words.
    pub(super) rule: &'static str,
    pub(super) is_required: bool,
    /// Whether a value is that.
    pub(super) holds: fn(&Value) -> bool,
}

/// Whether a value can be read as this.
pub(super) fn is<T: DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}

/// Reads a body that may have these members. serde would tell of the first mistake alone.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], known: &[Member]) -> Result<T, Failure> {
    let body = json::object(bytes).map_err(|error| Failure::malformed(error.to_string()))?;
    let Value::Object(members) = &body else { return Err(Failure::malformed("the body must be a JSON object")) };
    let names: Vec<&str> = known.iter().map(|member| member.name).collect();
    let unknown = members.keys().filter(|name| !names.contains(&name.as_str())).map(|name| {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let rule = format!("there is no member `{shown}` here; known: {}", names.join(", "));
        Violation::at(format!("/{shown}"), rule)
    });
    let wrong = known.iter().filter_map(|Member { name, rule, is_required, holds }| {
        let broken = match members.get(*name) {
            None if *is_required => format!("`{name}` is required: {rule}"),
            Some(value) if !holds(value) => format!("`{name}` must be {rule}"),
            _ => return None,
        };
        Some(Violation::at(format!("/{name}"), broken))
    });
    let violations: Vec<Violation> = unknown.chain(wrong).collect();
    if !violations.is_empty() {
        return Err(Failure::violations(ProblemKind::InvalidRequest, &violations));
    }
    serde_json::from_value(body).map_err(Failure::internal)
}
