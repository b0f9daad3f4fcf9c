//! One broken rule: where, and what helps.

use serde::{Deserialize, Serialize};

/// One rule that a document or a parameter breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The JSON pointer into the body, `/spec/zone`; `/` for a parameter.
    pub pointer: String,
    /// The name of the parameter, or the last segment of the pointer.
    pub parameter: String,
    /// A sentence that names the thing, the rule and the remedy.
    pub rule: String,
}

impl Violation {
    /// A violation in the body; the parameter is the last segment of the pointer.
    pub fn at(pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        let pointer = pointer.into();
        let last = pointer.rsplit('/').next().unwrap_or_default();
        let parameter = match last {
            "" => "body".to_owned(),
            text => text.replace("~1", "/").replace("~0", "~"),
        };
        let pointer = if pointer.is_empty() { "/".to_owned() } else { pointer };
        Self { pointer, parameter, rule: rule.into() }
    }

    /// A violation in a path, query or header parameter.
    pub fn parameter(name: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { pointer: "/".to_owned(), parameter: name.into(), rule: rule.into() }
    }
}

/// Appends a member name or an index to a JSON pointer, escaped as RFC 6901 wants it.
pub fn join(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// The first characters of a text that a client sent, for a sentence about it.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_the_last_segment_unescaped() {
        let violation = Violation::at(join("/labels", "a/b~c"), "x");
        assert_eq!(violation.pointer, "/labels/a~1b~0c");
        assert_eq!(violation.parameter, "a/b~c");
        assert_eq!(Violation::at("", "x").pointer, "/");
        assert_eq!(Violation::at("", "x").parameter, "body");
    }

    #[test]
    fn long_texts_are_clipped_between_characters() {
        assert_eq!(clip(&"ä".repeat(70)).chars().count(), 65);
        assert_eq!(clip("short"), "short");
    }
}
