//! Why somebody may or may not do something.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{Method, Response, StatusCode},
};
use control_plane::kinds;
use seca_api::names::SUBJECT_MAX;
use serde_json::json;

use super::{Admin, answer, query::parameters, refused};
use crate::{
    answer::{Failure, Profile},
    route::{self, Route, RouteError, Routing, Target},
};

impl Admin {
    pub(super) async fn explain(&self, query: &str) -> Result<Response<Body>, Failure> {
        let [subject, method, path] = parameters(query, ["sub", "method", "path"])?;
        let required = |name: &str, value: Option<Cow<'_, str>>, rule: &str| {
            let value = value.filter(|value| !value.is_empty()).map(Cow::into_owned);
            value.ok_or_else(|| Failure::parameter(name, format!("`{name}` is required: {rule}")))
        };
        let subject = required("sub", subject, "the subject of the token, for example ada")?;
        if subject.chars().count() > SUBJECT_MAX {
            return Err(Failure::parameter("sub", "`sub` must be at most 128 characters"));
        }
        let method = required("method", method, "GET, PUT, DELETE or POST")?;
        let path = required("path", path, "the path of a request, or a reference as metadata.ref has it")?;
        let routing = Routing {
            default_region: &self.config.default_region,
            written: &self.config.served,
            read: kinds::catalog::KINDS,
        };
        let route = parse(&path, routing)?;
        let verb = verb(&method, &route.target, routing)?;
        let view = self.administration.explain(&subject, verb, route.target.key()).await.map_err(refused)?;
        Ok(answer(StatusCode::OK, &json!(view)))
    }
}

/// Reads a path as clients have it at hand: of a request, with or without scheme and host or a query, or a reference.
fn parse(text: &str, routing: Routing<'_>) -> Result<Route, Failure> {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => text,
    };
    let path = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
    // Below the URL of a proxy in front, and a reference, which begins with its provider.
    let below = ["/regions/", "/providers/"].iter().filter_map(|word| path.find(word)).min();
    let candidates = [Some(path.clone()), below.map(|at| path[at..].to_owned()), Some(format!("/providers{path}"))];
    let mut refusal = RouteError::Unknown;
    for candidate in candidates.into_iter().flatten() {
        match route::parse(&candidate, routing) {
            Ok(route) => return Ok(route),
            Err(RouteError::Unknown) => {}
            Err(error) => refusal = error,
        }
    }
    Err(match refusal {
        RouteError::Segment { .. } => Failure::of_route(&refusal, Profile::Specification, &Method::GET),
        _ => Failure::parameter("path", refusal.to_string()),
    })
}

/// The verb of a method on what the path names, as permissions have it.
fn verb(method: &str, target: &Target, routing: Routing<'_>) -> Result<&'static str, Failure> {
    let method = method.to_ascii_uppercase();
    let allowed = target.methods(routing);
    if !allowed.iter().any(|known| known.as_str() == method) {
        let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        return Err(Failure::parameter("method", format!("`method` must be one of what this path knows: {list}")));
    }
    Ok(match (target, method.as_str()) {
        (Target::Collection(_), _) => "list",
        (Target::Action(..), _) => "post",
        // The other right that it asks for is one to an instance, which the path does not name.
        (Target::Attachment(..), _) => "get",
        (Target::Item(_), "PUT") => "put",
        (Target::Item(_), "DELETE") => "delete",
        (Target::Item(_), _) => "get",
    })
}
