//! Members of a JSON body: known ones, all mistakes told at once.

use seca_api::{ProblemKind, Violation};
use serde_json::{Map, Value};

use crate::{answer::Failure, json};

/// The members of a body, and what is wrong with them so far.
pub(super) struct Members {
    members: Map<String, Value>,
    violations: Vec<Violation>,
}

impl Members {
    /// Reads a body that may have these members.
    pub(super) fn read(bytes: &[u8], known: &[&str]) -> Result<Self, Failure> {
        let body = json::object(bytes).map_err(|error| Failure::malformed(error.to_string()))?;
        let Value::Object(members) = body else { return Err(Failure::malformed("the body must be a JSON object")) };
        let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
        let violation = |name: &String| {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            let rule = format!("there is no member `{shown}` here; known: {}", known.join(", "));
            Violation::at(format!("/{shown}"), rule)
        };
        let violations = unknown.map(violation).collect();
        Ok(Self { members, violations })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Notes that a member must be there, if it is not.
    pub(super) fn required(&mut self, name: &str, rule: &str) {
        if !self.members.contains_key(name) {
            self.violations.push(Violation::at(format!("/{name}"), format!("`{name}` is required: {rule}")));
        }
    }

    /// A member that may be absent, as `parse` reads it; else the rule.
    pub(super) fn value<T>(&mut self, name: &str, rule: &str, parse: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let parsed = parse(self.members.get(name)?);
        if parsed.is_none() {
            self.violations.push(Violation::at(format!("/{name}"), format!("`{name}` must be {rule}")));
        }
        parsed
    }

    /// The value that was made of them, if nothing is wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Failure> {
        if self.violations.is_empty() {
            return Ok(value);
        }
        Err(Failure::violations(ProblemKind::InvalidRequest, &self.violations))
    }
}
