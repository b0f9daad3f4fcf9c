//! Operations: parameters, bodies and answers.

use serde_json::Value;
use utoipa::openapi::{
    Content, ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Responses,
    path::{Operation as Described, OperationBuilder, Parameter as DescribedParameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
};

use super::{camel, example, operation_noun, schemas, type_name};
use crate::{
    kind::Kind,
    operation::{Operation, Parameter, Place},
    problem::ProblemKind,
};

const JSON: &str = "application/json";
/// The answer of every request that no operation can foresee.
const OTHER: &str = "ErrorDefault";

pub(super) fn operation(operation: Operation, kind: Kind) -> Described {
    let mut described = OperationBuilder::new()
        .tag(operation_noun(kind))
        .operation_id(Some(id(operation, kind)))
        .summary(Some(summary(operation, kind)));
    for declared in operation.parameters(kind) {
        described = described.parameter(parameter(&declared));
    }
    if operation == Operation::Put {
        let body = RequestBodyBuilder::new()
            .description(Some("`metadata` is not read but for its region, `status` not at all."))
            .content(JSON, with_example(&type_name(kind), example(kind)))
            .required(Some(Required::True))
            .build();
        described = described.request_body(Some(body));
    }
    for (status, says) in operation.successes() {
        described = described.response(status.to_string(), success(operation, kind, *status, says));
    }
    for refusal in operation.refusals() {
        described = described.response(refusal.status().to_string(), refused(&response_name(*refusal)));
    }
    described.response("default", refused(OTHER)).build()
}

/// The answers of the well-known resource.
pub(super) fn wellknown() -> Responses {
    let mut responses = Responses::new();
    let found = ResponseBuilder::new().description("The document.").content(JSON, content("Wellknown")).build();
    responses.responses.insert("200".to_owned(), found.into());
    let internal = response_name(ProblemKind::Internal);
    responses.responses.insert(ProblemKind::Internal.status().to_string(), refused(&internal));
    responses.responses.insert("default".to_owned(), refused(OTHER));
    responses
}

/// The answers that operations refer to.
pub(super) fn refusals(kinds: impl IntoIterator<Item = ProblemKind>) -> Vec<(String, Response)> {
    let response = |description: &str| ResponseBuilder::new().description(description).content(JSON, content("Error"));
    let mut refusals: Vec<_> =
        kinds.into_iter().map(|kind| (response_name(kind), response(kind.title()).build())).collect();
    let other = "Any other refusal, whose status code tells its kind: 405, 406, 412, 413, 415, 429, 503.";
    refusals.push((OTHER.to_owned(), response(other).build()));
    refusals
}

fn id(operation: Operation, kind: Kind) -> String {
    let noun = operation_noun(kind);
    match operation {
        Operation::List => format!("list{}", camel(kind.collection())),
        Operation::Get => format!("get{noun}"),
        Operation::Put => format!("createOrUpdate{noun}"),
        Operation::Delete => format!("delete{noun}"),
        Operation::Action(action) => format!("{}{noun}", camel(action)),
    }
}

fn summary(operation: Operation, kind: Kind) -> String {
    let noun = kind.noun();
    match operation {
        Operation::List => format!("List {noun}s"),
        Operation::Get => format!("Get {noun}"),
        Operation::Put => format!("Create or update {noun}"),
        Operation::Delete => format!("Delete {noun}"),
        Operation::Action(action) => format!("{} {noun}", camel(action)),
    }
}

fn parameter(declared: &Parameter) -> DescribedParameter {
    let Parameter { place, field } = declared;
    ParameterBuilder::new()
        .name(field.name)
        .parameter_in(match place {
            Place::Path => ParameterIn::Path,
            Place::Query => ParameterIn::Query,
            Place::Header => ParameterIn::Header,
        })
        .required(if field.required { Required::True } else { Required::False })
        .description(Some(field.description))
        .schema(Some(schemas::limits(field)))
        .build()
}

fn success(operation: Operation, kind: Kind, status: u16, says: &str) -> Response {
    let body = match (operation, status) {
        (Operation::List, _) => Some(schemas::page_name(kind)),
        (Operation::Get | Operation::Put, 200 | 201) => Some(type_name(kind)),
        _ => None,
    };
    let response = ResponseBuilder::new().description(says);
    match body {
        Some(name) => response.content(JSON, content(&name)).build(),
        None => response.build(),
    }
}

fn with_example(name: &str, example: Option<Value>) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).example(example).build()
}

fn content(name: &str) -> Content {
    Content::new(Some(Ref::from_schema_name(name)))
}

fn response_name(kind: ProblemKind) -> String {
    format!("Error{}", kind.status())
}

fn refused(name: &str) -> RefOr<Response> {
    RefOr::Ref(Ref::from_response_name(name))
}
