//! The OpenAPI documents of the providers, made from the tables that requests are checked against.
//!
//! There is nothing to keep in step: paths and parameters come from [`Operation`], limits from the tables of
//! [`crate::schema`]. A test compares the documents with those of the specification.

mod examples;
mod operations;
mod schemas;

use utoipa::openapi::{
    Components, ComponentsBuilder, Info, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Paths, PathsBuilder,
    RefOr, Schema, Server,
    path::{HttpMethod, OperationBuilder},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use crate::{
    kind::{Kind, Provider},
    operation::Operation,
    problem::ProblemKind,
    wellknown,
};

pub use self::examples::example;

const SECURITY: &str = "bearerAuth";

/// The document of a provider. Paths are relative to `/providers/{provider}`, which is its only server.
pub fn document(provider: Provider) -> OpenApi {
    let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.provider() == provider).collect();
    let document = OpenApiBuilder::new()
        .info(info(title(provider), describe(provider)))
        .servers(Some([Server::new(format!("/providers/{}", provider.name()))]))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(SECURITY, [])]))
        .paths(paths(&kinds))
        .components(Some(components(&kinds)))
        .build();
    pruned(document)
}

/// Without the common schemas that nothing in the document refers to.
fn pruned(mut document: OpenApi) -> OpenApi {
    loop {
        // A document of texts, numbers and maps keyed by texts can always be written.
        let text = document.to_json().unwrap_or_default();
        let Some(components) = &mut document.components else { return document };
        let all = components.schemas.len();
        components.schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
        if components.schemas.len() == all {
            return document;
        }
    }
}

/// The document of the well-known resource. It is served without authentication under the root of the host.
pub fn wellknown_document() -> OpenApi {
    let schemas = [("Wellknown".to_owned(), schemas::wellknown())].into_iter().chain(schemas::common());
    let responses = operations::refusals([ProblemKind::Internal]);
    let get = |id: &str| {
        PathItem::new(
            HttpMethod::Get,
            OperationBuilder::new()
                .tag("Wellknown")
                .operation_id(Some(id))
                .summary(Some("Get wellknown endpoints"))
                .responses(operations::wellknown()),
        )
    };
    let paths = PathsBuilder::new()
        .path(wellknown::PATH, get("getWellknown"))
        .path(wellknown::ALIAS, get("getWellKnown"))
        .build();
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).responses_from_iter(responses).build();
    let document = OpenApiBuilder::new()
        .info(info("SECA: where to begin", "Where each provider answers."))
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components))
        .build();
    pruned(document)
}

/// The schema of a problem document, for documents that are made elsewhere.
pub fn error() -> RefOr<Schema> {
    schemas::error()
}

/// All documents, each with the name of its file: `seca.compute.v1`.
pub fn documents() -> Vec<(String, OpenApi)> {
    let name = |provider: Provider| format!("{}.{}", provider.name(), provider.version());
    let mut documents: Vec<_> =
        Provider::ALL.into_iter().map(|provider| (name(provider), document(provider))).collect();
    documents.push(("wellknown.v1".to_owned(), wellknown_document()));
    documents
}

fn info(title: &str, description: &str) -> Info {
    InfoBuilder::new()
        .title(title)
        .version("v1")
        .description(Some(description))
        .license(Some(License::new("Apache-2.0")))
        .build()
}

const fn title(provider: Provider) -> &'static str {
    match provider {
        Provider::Region => "SECA: regions",
        Provider::Authorization => "SECA: authorization",
        Provider::Workspace => "SECA: workspaces",
        Provider::Storage => "SECA: storage",
        Provider::Compute => "SECA: compute",
        Provider::Network => "SECA: network",
    }
}

const fn describe(provider: Provider) -> &'static str {
    match provider {
        Provider::Region => "Regions, their zones, and where each provider answers.",
        Provider::Authorization => "Roles and role assignments.",
        Provider::Workspace => "Workspaces, which hold most resources.",
        Provider::Storage => "Block storages, images and storage SKUs.",
        Provider::Compute => "Instances and instance SKUs.",
        Provider::Network => {
            "Networks with their subnets and route tables, gateways, NICs, public IPs and security groups."
        }
    }
}

fn paths(kinds: &[Kind]) -> Paths {
    let mut paths = Paths::new();
    for kind in kinds {
        for operation in Operation::of(*kind) {
            let method = match operation {
                Operation::List | Operation::Get => HttpMethod::Get,
                Operation::Put => HttpMethod::Put,
                Operation::Delete => HttpMethod::Delete,
                Operation::Action(_) => HttpMethod::Post,
            };
            paths.add_path_operation(operation.path(*kind), vec![method], operations::operation(operation, *kind));
        }
    }
    paths
}

fn components(kinds: &[Kind]) -> Components {
    let operations = kinds.iter().flat_map(|kind| Operation::of(*kind));
    let refused: Vec<_> = operations.flat_map(|operation| operation.refusals()).copied().collect();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    ComponentsBuilder::new()
        .schemas_from_iter(schemas::common().chain(kinds.iter().flat_map(|kind| schemas::of(*kind))))
        .responses_from_iter(operations::refusals(refused))
        .security_scheme(SECURITY, SecurityScheme::Http(bearer))
        .build()
}

/// `BlockStorage`: the specification's name of a kind's schemas.
fn type_name(kind: Kind) -> String {
    if kind.is_sku() { camel(kind.as_str()) } else { operation_noun(kind) }
}

/// `BlockStorage`, and `Sku` for SKUs of all providers: what operations are named after.
fn operation_noun(kind: Kind) -> String {
    camel(kind.collection().trim_end_matches('s'))
}

/// `block-storages` becomes `BlockStorages`.
fn camel(words: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    words.split('-').map(word).collect()
}
