//! Label selectors: the grammar, what each term means, and that printing and parsing agree.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use seca_api::{Selector, SelectorError};

fn labels() -> BTreeMap<String, String> {
    let pairs =
        [("env", "prod"), ("tier", "12"), ("ns:team", "a b"), ("Tier", "D2XS"), ("empty", ""), ("my-env-2", "preprod")];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn terms_select_by_presence_value_number_and_set() {
    let table = [
        ("", true),
        ("  ", true),
        ("env=prod", true),
        ("env==prod", true),
        ("env = prod , tier = 12", true),
        ("env=test", false),
        ("ENV=prod", false),
        ("Tier=D2XS", true),
        ("env!=test", true),
        ("env!=prod", false),
        ("absent!=x", true),
        ("env", true),
        ("absent", false),
        ("!absent", true),
        ("! env", false),
        ("empty=", true),
        ("env=", false),
        ("ns:team=a b", true),
        ("tier>11.5", true),
        ("tier>=12", true),
        ("tier>12", false),
        ("tier<-1", false),
        ("tier<=12.0", true),
        ("env>0", false),
        ("absent<1", false),
        ("env in (test, prod)", true),
        ("env in(test)", false),
        ("env notin (test)", true),
        ("env notin (prod,test)", false),
        ("absent notin (x)", true),
        ("*env*=*prod*", true),
        ("*env*=pre*", true),
        ("*env*!=pre*", false),
        ("e*v=p*d", true),
        ("e*v=p*x*d", false),
        ("*=*", true),
        ("zz*", false),
        ("!zz*", true),
        ("in", false),
        ("env,tier>1,!absent", true),
        ("env,tier>1,absent", false),
    ];
    for (text, expect) in table {
        assert_eq!(Selector::parse(text).unwrap().matches(&labels()), expect, "{text}");
    }
}

#[test]
fn what_breaks_the_grammar_names_the_place() {
    let table = [
        ("env=prod,", 9),
        (",env", 1),
        ("=x", 1),
        ("env=a=b", 6),
        ("tier>x", 6),
        ("a in b", 6),
        ("a in (b", 8),
        ("a b", 3),
        ("!", 2),
        ("ä=1", 1),
        ("a>", 3),
        ("a=\u{0}", 3),
        ("a!b", 2),
    ];
    for (text, expect) in table {
        match Selector::parse(text) {
            Err(SelectorError::Malformed { at }) => assert_eq!(at, expect, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(Selector::parse(&"a".repeat(5_000)), Err(SelectorError::TooLong));
    assert_eq!(Selector::parse(&vec!["a"; 65].join(",")), Err(SelectorError::TooLong));
}

#[test]
fn printing_is_canonical() {
    let printed = Selector::parse(" a == b , c in ( d , e ) ,! f , g  >=  1.50 ").unwrap().to_string();
    assert_eq!(printed, "a=b,c in (d,e),!f,g>=1.50");
}

fn term() -> impl Strategy<Value = String> {
    let key = || "[A-Za-z0-9_.:/*-]{1,10}";
    let value = || "[ a-zA-Z0-9äß*._:/;+\"'-]{0,10}";
    let blank = || " {0,2}";
    prop_oneof![
        (blank(), key(), blank()).prop_map(|(a, key, b)| format!("{a}{key}{b}")),
        (key(), blank()).prop_map(|(key, a)| format!("!{a}{key}")),
        (key(), blank(), prop_oneof!["=", "==", "!="], value())
            .prop_map(|(key, a, op, value)| format!("{key}{a}{op}{value}")),
        (key(), prop_oneof!["<", ">", "<=", ">="], blank(), "-?[0-9]{1,9}(\\.[0-9]{1,3})?")
            .prop_map(|(key, op, a, number)| format!("{key}{op}{a}{number}")),
        (key(), prop_oneof!["in", "notin"], blank(), proptest::collection::vec(value(), 1..4))
            .prop_map(|(key, word, a, values)| format!("{key} {word}{a}({})", values.join(","))),
    ]
}

proptest! {
    #[test]
    fn parsing_what_was_printed_yields_the_same(terms in proptest::collection::vec(term(), 1..6)) {
        let selector = Selector::parse(&terms.join(",")).unwrap();
        prop_assert_eq!(selector.terms.len(), terms.len());
        let printed = selector.to_string();
        prop_assert_eq!(Selector::parse(&printed).unwrap(), selector.clone());
        prop_assert_eq!(Selector::parse(&printed).unwrap().to_string(), printed);
        selector.matches(&labels());
    }

    #[test]
    fn nothing_panics(text in "[a*=!<>(), in0-9é\\PC]{0,60}") {
        if let Ok(selector) = Selector::parse(&text) {
            selector.matches(&labels());
            prop_assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
        }
    }

    #[test]
    fn a_glob_matches_what_its_parts_make(parts in proptest::collection::vec("[ab]{0,3}", 1..5), fill in "[ab]{0,3}") {
        let text = parts.join(&fill);
        let selector = Selector::parse(&format!("k={}", parts.join("*"))).unwrap();
        prop_assert!(selector.matches([("k", text.as_str())]));
    }
}
