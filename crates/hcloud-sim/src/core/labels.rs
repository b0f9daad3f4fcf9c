//! Labels: what keys and values may look like, and the selector language of the API.
//!
//! Source: the "Labels" and "Label Selector" sections of the API document and `labels.go` of hcloud-go.

use std::collections::BTreeMap;

pub(crate) type Labels = BTreeMap<String, String>;

/// Checks every key and value; the error says which is wrong and why.
pub(crate) fn check(labels: &Labels) -> Result<(), String> {
    for (key, value) in labels {
        if !is_key(key) {
            return Err(format!("label key '{key}' is not correctly formatted"));
        }
        if key.starts_with("hetzner.cloud/") {
            return Err(format!("label key '{key}' uses the reserved prefix hetzner.cloud/"));
        }
        if !is_value(value) {
            return Err(format!("label value '{value}' (key: {key}) is not correctly formatted"));
        }
    }
    Ok(())
}

fn is_name(text: &str, limit: usize) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= limit
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name(key, 63),
        Some((prefix, name)) => {
            prefix.len() <= 253 && prefix.split('.').all(|part| is_name(part, 63)) && is_name(name, 63)
        }
    }
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value, 63)
}

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    Has(String),
    Lacks(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

/// A parsed label selector: all terms must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Term>);

impl Selector {
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|term| match term {
            Term::Has(key) => labels.contains_key(key),
            Term::Lacks(key) => !labels.contains_key(key),
            Term::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            // As in Kubernetes: an object without the key satisfies `!=` and `notin`.
            Term::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
        })
    }

    /// Parses a selector. The empty text selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        split_terms(text)?.into_iter().map(parse_term).collect::<Result<Vec<_>, _>>().map(Self)
    }
}

/// Splits at commas outside parentheses.
fn split_terms(text: &str) -> Result<Vec<&str>, String> {
    let (mut terms, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or("unbalanced parenthesis")?,
            ',' if depth == 0 => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err("unbalanced parenthesis".to_owned());
    }
    terms.push(&text[start..]);
    Ok(terms)
}

fn parse_term(term: &str) -> Result<Term, String> {
    let term = term.trim();
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(Term::NotIn(key_of(key)?, vec![value_of(value)?]));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Term::In(key_of(key)?, vec![value_of(value)?]));
    }
    if let Some(key) = term.strip_prefix('!') {
        return Ok(Term::Lacks(key_of(key)?));
    }
    if let Some((head, list)) = term.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(|| format!("'{term}' has text after its list"))?;
        let values = list.split(',').map(value_of).collect::<Result<Vec<_>, _>>()?;
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(Term::In(key_of(key)?, values)),
            (Some(key), Some("notin"), None) => Ok(Term::NotIn(key_of(key)?, values)),
            _ => Err(format!("'{term}' is neither 'key in (…)' nor 'key notin (…)'")),
        };
    }
    Ok(Term::Has(key_of(term)?))
}

fn key_of(text: &str) -> Result<String, String> {
    let key = text.trim();
    // A reserved prefix may be selected by, it just cannot be set.
    if is_key(key) { Ok(key.to_owned()) } else { Err(format!("'{key}' is not a label key")) }
}

fn value_of(text: &str) -> Result<String, String> {
    let value = text.trim();
    if is_value(value) { Ok(value.to_owned()) } else { Err(format!("'{value}' is not a label value")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(text: &str) -> Labels {
        text.split_whitespace()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_selector_selects_what_the_document_says() {
        for (selector, set, expected) in [
            ("", "", true),
            ("env", "env=prod", true),
            ("env", "", false),
            ("!env", "env=", false),
            ("!env", "", true),
            ("env=prod", "env=prod", true),
            ("env==prod", "env=prod", true),
            ("env=prod", "env=test", false),
            ("env=", "env=", true),
            ("env!=prod", "env=test", true),
            ("env!=prod", "", true),
            ("env!=prod", "env=prod", false),
            ("env in (test, prod)", "env=prod", true),
            ("env in (test,prod)", "", false),
            ("env notin (test,prod)", "env=prod", false),
            ("env notin (test,prod)", "", true),
            ("env=prod,!type", "env=prod", true),
            ("env=prod,!type", "env=prod type=db", false),
            ("env in (a,b),type=db", "env=b type=db", true),
            ("example.com/my=label", "example.com/my=label", true),
        ] {
            let parsed = Selector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&labels(set)), expected, "{selector} on {set}");
        }
    }

    #[test]
    fn a_selector_outside_the_grammar_is_refused() {
        for selector in ["=a", "a b", "a in b", "a in (b", "a in (b))", "a,,b", "!", "a=b c", "-a", "a in (b) c", "ä"]
        {
            assert!(Selector::parse(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn a_label_outside_the_grammar_is_refused() {
        for (key, value, valid) in [
            ("a", "b", true),
            ("a.b/c", "", true),
            ("hetzner.cloud/x", "y", false),
            ("a/b/c", "x", false),
            ("a", "b/c", false),
            ("", "x", false),
            ("-a", "x", false),
        ] {
            assert_eq!(check(&Labels::from([(key.to_owned(), value.to_owned())])).is_ok(), valid, "{key}={value}");
        }
        assert!(check(&Labels::from([("k".repeat(64), String::new())])).is_err());
        assert!(check(&Labels::from([("k".to_owned(), "v".repeat(64))])).is_err());
    }

    proptest! {
        #[test]
        fn equality_and_its_negation_never_both_hold(key in "[a-z]{1,3}", value in "[a-z]{1,3}", other in "[a-z]{1,3}") {
            let set = Labels::from([(key.clone(), value)]);
            let is = Selector::parse(&format!("{key}={other}")).unwrap().matches(&set);
            let is_not = Selector::parse(&format!("{key}!={other}")).unwrap().matches(&set);
            prop_assert_ne!(is, is_not);
        }

        #[test]
        fn no_text_panics_the_parser(text in ".{0,40}") {
            let _ = Selector::parse(&text);
        }
    }
}
