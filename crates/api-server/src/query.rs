//! Query parameters of the public API: those of the operation, as its OpenAPI document has them, and no other.
//!
//! A parameter that is passed over does something else than its sender meant: `?dryRun=All` would create.

use seca_api::{
    ProblemKind, Violation,
    operation::{Operation, Parameter, Place},
};
use url::form_urlencoded;

use crate::{answer::Failure, route::Target};

/// The names of the parameters that a target knows. Only lists have any.
pub(crate) fn known(target: &Target) -> Vec<&'static str> {
    let Target::Collection(key) = target else { return Vec::new() };
    let is_in_query = |parameter: &Parameter| parameter.place == Place::Query;
    let parameters = Operation::List.parameters(key.kind).into_iter().filter(is_in_query);
    parameters.map(|parameter| parameter.field.name).collect()
}

/// The parameter that every operation knows: `?pretty=true` indents the answer, for people.
pub(crate) const PRETTY: &str = "pretty";

/// Whether the answer is to be indented. Another value than `true` and `false` is refused where parameters are.
pub(crate) fn is_pretty(query: &str) -> bool {
    // Most requests have no query at all, and hardly any this parameter.
    query.contains(PRETTY)
        && form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == PRETTY && value == "true")
}

/// What is wrong with a value of [`PRETTY`], if something is.
pub(crate) fn wrong_pretty(value: &str) -> Option<Violation> {
    let is_good = matches!(value, "true" | "false");
    (!is_good).then(|| Violation::parameter(PRETTY, "`pretty` must be `true` or `false`"))
}

/// Refuses all parameters that are not known, and values of [`PRETTY`] that mean nothing.
pub(crate) fn check(query: &str, known: &[&str]) -> Result<(), Failure> {
    if query.is_empty() {
        return Ok(());
    }
    let there_are =
        if known.is_empty() { "there are none here".to_owned() } else { format!("known: {}", known.join(", ")) };
    let mut told: Vec<String> = Vec::new();
    let mut violations = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        if violations.len() >= SHOWN || known.contains(&name.as_ref()) || told.contains(&shown) {
            continue;
        }
        let violation = match name.as_ref() {
            PRETTY => wrong_pretty(&value),
            _ => Some(Violation::parameter(
                if shown.is_empty() { "query" } else { &shown },
                format!("there is no query parameter `{shown}` here; {there_are}. Leave it out"),
            )),
        };
        if let Some(violation) = violation {
            violations.push(violation);
            told.push(shown);
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Failure::violations(ProblemKind::InvalidRequest, &violations)) }
}

/// How many unknown parameters an answer names.
const SHOWN: usize = 16;

#[cfg(test)]
mod tests {
    use seca_api::{Kind, ResourceKey};

    use super::*;

    #[test]
    fn lists_know_what_the_specification_has_and_nothing_else_knows_any() {
        let key = ResourceKey::tenant(Kind::Image, "fsn1", "t", "");
        assert_eq!(known(&Target::Collection(key.clone())), ["labels", "labelSelector", "limit", "skipToken"]);
        assert_eq!(known(&Target::Item(key)), [""; 0]);
    }

    #[test]
    fn what_is_not_known_is_refused_and_an_empty_query_is_none() {
        let list = ["labels", "limit"];
        for good in ["", "&", "limit=1", "limit=1&labels=a%3Db", "labels", "%6cimit=1"] {
            assert!(check(good, &list).is_ok(), "{good}");
        }
        for bad in ["dryRun=All", "limit=1&x", "Limit=1", "=1", "limit%00=1", "%ff=1"] {
            assert!(check(bad, &list).is_err(), "{bad}");
        }
        assert!(check("limit=1", &[]).is_err());
        assert!(check("pretty=true", &[]).is_ok());
    }

    #[test]
    fn an_answer_is_indented_when_it_is_asked_for() {
        for (query, want) in [
            ("", false),
            ("limit=1", false),
            ("pretty=true", true),
            ("limit=1&pretty=true", true),
            ("pretty=false", false),
            // A value of another parameter is none.
            ("labels=pretty%3Dtrue", false),
        ] {
            assert_eq!(is_pretty(query), want, "{query}");
        }
        for bad in ["pretty", "pretty=", "pretty=1", "pretty=TRUE"] {
            assert!(check(bad, &[]).is_err() && !is_pretty(bad), "{bad}");
        }
    }
}
