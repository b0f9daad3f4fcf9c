//! The OpenAPI document of the admin API: what stands around the operations, which their handlers describe.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{
        ComponentsBuilder, ContentBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, Ref, RefOr, Response,
        ResponseBuilder, Server,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

const SECURITY: &str = "bearerAuth";
const ERROR: &str = "Error";

/// The document without its operations.
pub(super) fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("secapi-proxy-hetzner: admin API")
        .version("v1")
        .description(Some(
            "For operators: tenants, revoked tokens, bindings, and what happened. It is no part of SECA. Every operation \
             takes `?pretty=true`, which indents its answer.",
        ))
        .license(Some(License::new("Apache-2.0")));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = ComponentsBuilder::new()
        .schema(ERROR, seca_api::openapi::error())
        .security_scheme(SECURITY, SecurityScheme::Http(bearer));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(SECURITY, [])]))
        .components(Some(components.build()))
        .build()
}

/// The answer of whatever is refused.
pub(super) struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ERROR))).build();
        let refused = ResponseBuilder::new()
            .description("Any refusal; its status and detail say what is wrong.")
            .content("application/json", content)
            .build();
        BTreeMap::from([("default".to_owned(), refused.into())])
    }
}
