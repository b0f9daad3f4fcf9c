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

/// Refuses all parameters that are not known.
pub(crate) fn check(query: &str, known: &[&str]) -> Result<(), Failure> {
    let mut unknown: Vec<String> = Vec::new();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        if !known.contains(&name.as_ref()) && !unknown.contains(&shown) && unknown.len() < SHOWN {
            unknown.push(shown);
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let there_are =
        if known.is_empty() { "there are none here".to_owned() } else { format!("known: {}", known.join(", ")) };
    let rule = |name: &String| format!("there is no query parameter `{name}` here; {there_are}. Leave it out");
    let violations: Vec<_> = unknown
        .iter()
        .map(|name| Violation::parameter(if name.is_empty() { "query" } else { name }, rule(name)))
        .collect();
    Err(Failure::violations(ProblemKind::InvalidRequest, &violations))
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
    }
}
