//! Why somebody may or may not do something.

use std::sync::Arc;

use axum::{extract::State, http::Method};
use control_plane::{kinds, service::ExplainView};
use seca_api::names::SUBJECT_MAX;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin,
    extract::{Answer, Call, Query, ok},
    openapi::Refused,
    query::{Parameters, Values},
    refused,
};
use crate::{
    answer::{Failure, Profile},
    route::{self, Route, RouteError, Routing, Target},
};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::default().routes(routes!(explain))
}

/// What is to be explained.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Question {
    /// The subject of the token.
    #[param(example = "ada", max_length = 128)]
    sub: String,
    /// The method of a request: GET, PUT, DELETE or POST.
    #[param(example = "GET")]
    method: String,
    /// Its path, or a reference as metadata.ref shows it.
    #[param(example = "/providers/seca.workspace/v1/tenants/acme/workspaces/w")]
    path: String,
}

impl Parameters for Question {
    fn take(values: &mut Values) -> Result<Self, Failure> {
        let sub = values.required("sub", "the subject of the token, for example ada")?;
        if sub.chars().count() > SUBJECT_MAX {
            return Err(Failure::parameter("sub", "`sub` must be at most 128 characters"));
        }
        let method = values.required("method", "GET, PUT, DELETE or POST")?;
        let path = values.required("path", "the path of a request, or a reference as metadata.ref has it")?;
        Ok(Self { sub, method, path })
    }
}

/// Say who may do what, and why
#[utoipa::path(
    get,
    path = "/admin/v1/explain",
    tag = "Oversight",
    params(Question),
    responses((status = 200, description = "The decision as it would be now.", body = ExplainView), Refused)
)]
async fn explain(
    State(admin): State<Arc<Admin>>,
    _: Call,
    Query(Question { sub, method, path }): Query<Question>,
) -> Result<Answer<ExplainView>, Failure> {
    let routing = Routing {
        default_region: &admin.config.default_region,
        written: &admin.config.served,
        read: kinds::catalog::KINDS,
    };
    let route = parse(&path, routing)?;
    let verb = verb(&method, &route.target, routing)?;
    admin.administration.explain(&sub, verb, route.target.key()).await.map(ok).map_err(refused)
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
