//! JSON as clients must send it: what `serde_json` reads, without members that stand twice and without U+0000.
//!
//! Of two members of one name a parser keeps the last, silently: the client would never learn which of its
//! intents counted. U+0000 is JSON, but no text that a database stores.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::{Value, error::Category};

/// Why a body is not JSON that can be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// There is nothing.
    #[error("the body is empty; send a JSON object")]
    Empty,
    /// Other bytes than text.
    #[error("the body is not UTF-8, which JSON must be")]
    NotUtf8,
    /// No JSON; what is wrong and where.
    #[error("the body cannot be read: {0}")]
    Unreadable(String),
    /// A member twice.
    #[error("the member `{0}` stands twice in one object; send it once")]
    Duplicate(String),
    /// A character that cannot be stored.
    #[error("the body contains the character U+0000, which cannot be stored; remove it")]
    Nul,
    /// A name that means something else to the parser.
    #[error("member names that begin with `{RESERVED}` are not allowed; choose another")]
    Reserved,
    /// Another value than an object.
    #[error("the body must be a JSON object, but is {0}")]
    NotAnObject(&'static str),
    /// More values than [`NODES`].
    #[error(
        "the body has more than {NODES} values, objects and lists counted; send less of what no resource needs so much of"
    )]
    TooMany,
}

/// How many values a body may have. What is made of a value takes a hundred times the two bytes that it may be written in.
pub const NODES: usize = 10_000;

/// `serde_json` takes an object with such a member for a number or for more text to parse.
const RESERVED: &str = "$serde_json::private::";

/// What each value of a body takes beside its text, in bytes: its place in the tree and in the maps around it.
const NODE_BYTES: usize = 128;

/// A text that is JSON, of which nothing was made yet.
pub struct Measured<'a> {
    text: &'a str,
    nodes: usize,
}

/// Reads an object.
///
/// # Errors
/// [`JsonError`].
pub fn object(bytes: &[u8]) -> Result<Value, JsonError> {
    measure(bytes)?.object()
}

/// Looks at a text without making anything of it.
///
/// # Errors
/// [`JsonError`].
pub fn measure(bytes: &[u8]) -> Result<Measured<'_>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    if text.trim().is_empty() {
        return Err(JsonError::Empty);
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| unreadable(&error))?;
    let nodes = nodes(text);
    if nodes > NODES { Err(JsonError::TooMany) } else { Ok(Measured { text, nodes }) }
}

impl Measured<'_> {
    /// What it takes when it is parsed, about, in bytes.
    #[must_use]
    pub const fn takes(&self) -> usize {
        self.text.len() + self.nodes * NODE_BYTES
    }

    /// The object that it is.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn object(&self) -> Result<Value, JsonError> {
        let value: Value = serde_json::from_str(self.text).map_err(|error| unreadable(&error))?;
        scan(self.text)?;
        match value {
            Value::Object(_) => Ok(value),
            Value::Null => Err(JsonError::NotAnObject("null")),
            Value::Bool(_) => Err(JsonError::NotAnObject("a boolean")),
            Value::Number(_) => Err(JsonError::NotAnObject("a number")),
            Value::String(_) => Err(JsonError::NotAnObject("a string")),
            Value::Array(_) => Err(JsonError::NotAnObject("an array")),
        }
    }
}

/// A body that serde does not read.
pub fn unreadable(error: &serde_json::Error) -> JsonError {
    JsonError::Unreadable(fault(error))
}

/// What is wrong with a text and where, never what stands there: it may hold secrets.
pub fn fault(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Eof => "it is no JSON, for it ends too early",
        Category::Data => "a member is missing, unknown, there twice or of another type",
        Category::Io | Category::Syntax => "it is no JSON, for there is a syntax error",
    };
    format!("{what}, at line {}, column {}", error.line(), error.column())
}

/// The values in text that is known to be JSON: one, and one for each comma and each bracket with something behind it.
fn nodes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut nodes, mut at) = (1, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b',' => nodes += 1,
            b'{' | b'[' => {
                let next = bytes[at + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
                nodes += usize::from(!matches!(next, Some(b'}' | b']')));
            }
            _ => {}
        }
        at += 1;
    }
    nodes
}

/// One pass over text that is known to be JSON.
fn scan(text: &str) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    // The names seen in each open object; none for an open array.
    let mut open: Vec<Option<HashSet<String>>> = Vec::new();
    let mut expects_name = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => {
                open.push(Some(HashSet::new()));
                expects_name = true;
            }
            b'[' => {
                open.push(None);
                expects_name = false;
            }
            b'}' | b']' => {
                open.pop();
                expects_name = false;
            }
            b',' => expects_name = matches!(open.last(), Some(Some(_))),
            b'"' => {
                let end = string_end(bytes, at);
                let literal = &text[at..end];
                let decoded: String = serde_json::from_str(literal).map_err(|error| unreadable(&error))?;
                if decoded.contains('\0') {
                    return Err(JsonError::Nul);
                }
                if expects_name && let Some(Some(names)) = open.last_mut() {
                    expects_name = false;
                    if decoded.starts_with(RESERVED) {
                        return Err(JsonError::Reserved);
                    }
                    if !names.insert(decoded.clone()) {
                        return Err(JsonError::Duplicate(decoded.chars().take(64).collect()));
                    }
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The position behind the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_one_json_object_and_says_each_thing_once() {
        let duplicate = |name: &str| JsonError::Duplicate(name.to_owned());
        let cases: [(&[u8], JsonError); 14] = [
            (b"", JsonError::Empty),
            (b" \n", JsonError::Empty),
            (b"\xff{}", JsonError::NotUtf8),
            (b"{", JsonError::Unreadable("it is no JSON, for it ends too early, at line 1, column 1".to_owned())),
            (
                b"{\n x}",
                JsonError::Unreadable("it is no JSON, for there is a syntax error, at line 2, column 2".to_owned()),
            ),
            (b"[]", JsonError::NotAnObject("an array")),
            (b"null", JsonError::NotAnObject("null")),
            (br#""x""#, JsonError::NotAnObject("a string")),
            (br#"{"a":1,"a":2}"#, duplicate("a")),
            (br#"{"a":[{"b":{},"\u0062":[]}]}"#, duplicate("b")),
            (br#"{"a":"x\u0000y"}"#, JsonError::Nul),
            (br#"{"a\u0000":1}"#, JsonError::Nul),
            (br#"{"a":{"$serde_json::private::Number":"5"}}"#, JsonError::Reserved),
            (br#"{"a":{"$serde_json::private::RawValue":"{\"b\":1}"}}"#, JsonError::Reserved),
        ];
        for (body, expected) in cases {
            assert_eq!(object(body), Err(expected), "{}", String::from_utf8_lossy(body));
        }
        let fine = r#" {"a":{"a":1},"b":["a","a",{"a":"}\",\"a\":"}],"c":1.50,"\\":"a"} "#;
        assert_eq!(object(fine.as_bytes()).unwrap()["c"].to_string(), "1.50");
    }

    #[test]
    fn deep_nesting_is_refused_not_a_crash() {
        let body = "[".repeat(100_000);
        assert!(matches!(object(body.as_bytes()), Err(JsonError::Unreadable(_))));
    }

    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(members) => members.values().map(count).sum(),
            _ => 0,
        }
    }

    #[test]
    fn a_body_of_very_many_values_is_refused_before_anything_is_made_of_it() {
        let list = |values: usize| format!(r#"{{"a":[{}]}}"#, vec!["1"; values].join(","));
        assert!(object(list(NODES - 2).as_bytes()).is_ok());
        assert_eq!(object(list(NODES - 1).as_bytes()), Err(JsonError::TooMany));
        let objects = format!(r#"{{"a":[{}]}}"#, vec!["{}"; NODES].join(" ,"));
        assert_eq!(object(objects.as_bytes()), Err(JsonError::TooMany));
        // What is no JSON is told so, however much there is of it.
        assert!(matches!(object(",".repeat(20_000).as_bytes()), Err(JsonError::Unreadable(_))));
        for text in [r#"{}"#, r#"{ "a" : [ ] , "b" : { "c,{[" : "\",[{" , "d" : [ [ ] , null ] } }"#] {
            assert_eq!(nodes(text), count(&serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_values_of_what_serde_prints_are_counted(names in proptest::collection::vec(".{0,3}", 0..6), text in ".*") {
            let list: Vec<Value> = names.iter().map(|name| serde_json::json!({name.clone(): [name, text, {}, []]})).collect();
            let value = serde_json::json!({"list": list, "text": text});
            prop_assert_eq!(nodes(&value.to_string()), count(&value));
            prop_assert_eq!(nodes(&serde_json::to_string_pretty(&value).unwrap()), count(&value));
        }

        #[test]
        fn what_serde_prints_is_read_unless_it_holds_nul(names in proptest::collection::hash_set(".{0,6}", 0..8), text in ".*") {
            let map: serde_json::Map<String, Value> = names.iter().map(|n| (n.clone(), Value::from(text.clone()))).collect();
            let value = Value::Object(map);
            let read = object(value.to_string().as_bytes());
            let nul = names.iter().any(|n| n.contains('\0')) || (!names.is_empty() && text.contains('\0'));
            prop_assert_eq!(read, if nul { Err(JsonError::Nul) } else { Ok(value) });
        }
    }
}
