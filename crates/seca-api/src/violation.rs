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
    /// A violation in the body; the parameter is the last segment of the pointer, with the list before an index.
    pub fn at(pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        let pointer = pointer.into();
        let unescape = |text: &str| text.replace("~1", "/").replace("~0", "~");
        let mut segments = pointer.rsplit('/');
        let parameter = match (segments.next().unwrap_or_default(), segments.next().unwrap_or_default()) {
            ("", _) => "body".to_owned(),
            // Two levels down it is a list's item, which has no name of its own; maps stand at the top.
            (index, list) if segments.next().is_some_and(|above| !above.is_empty()) && index.parse::<u32>().is_ok() => {
                format!("{}[{index}]", unescape(list))
            }
            (member, _) => unescape(member),
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
        assert_eq!(Violation::at("/labels/0", "x").parameter, "0");
        assert_eq!(Violation::at("/spec/routes/0/targetRef", "x").parameter, "targetRef");
        assert_eq!(Violation::at("/spec/addresses/12", "x").parameter, "addresses[12]");
        assert_eq!(Violation::at("", "x").pointer, "/");
        assert_eq!(Violation::at("", "x").parameter, "body");
    }

    #[test]
    fn long_texts_are_clipped_between_characters() {
        assert_eq!(clip(&"ä".repeat(70)).chars().count(), 65);
        assert_eq!(clip("short"), "short");
    }
}
