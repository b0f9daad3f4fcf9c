//! The OpenAPI document of the admin API, made from a table that a test holds against the paths that are served.

use serde_json::{Map, Value, json};

use crate::docs::Document;

/// A path below `/admin/v1` and what can be asked of it.
struct Route {
    path: &'static str,
    tag: &'static str,
    operations: &'static [Operation],
}

/// What can be asked of a path.
struct Operation {
    method: &'static str,
    summary: &'static str,
    /// The names of query parameters, and what each is.
    query: &'static [(&'static str, &'static str)],
    /// A body that may be sent as it stands, as JSON.
    body: Option<&'static str>,
    /// The status of success, and what it says.
    success: (&'static str, &'static str),
}

const fn get(summary: &'static str, query: &'static [(&'static str, &'static str)]) -> Operation {
    Operation { method: "get", summary, query, body: None, success: ("200", "What there is.") }
}

const REGION: (&str, &str) = ("region", "The region of the workspace; the default region where it is not set.");

const ROUTES: &[Route] = &[
    Route { path: "/tenants", tag: "Tenants", operations: &[get("List tenants", &[])] },
    Route {
        path: "/tenants/{tenant}",
        tag: "Tenants",
        operations: &[
            get("Get tenant", &[]),
            Operation {
                method: "put",
                summary: "Register tenant",
                query: &[],
                body: Some(r#"{"references": "strict", "conformance": false}"#),
                success: ("201", "Registered; 200: it is there with the same settings."),
            },
            Operation {
                method: "patch",
                summary: "Change tenant",
                query: &[],
                body: Some(r#"{"suspended": true}"#),
                success: ("200", "The tenant as it is now."),
            },
        ],
    },
    Route {
        path: "/tenants/{tenant}/admins/{subject}",
        tag: "Tenants",
        operations: &[Operation {
            method: "put",
            summary: "Make a subject an administrator of the tenant",
            query: &[],
            body: None,
            success: ("201", "The assignment that makes it one; 200: it is there already."),
        }],
    },
    Route { path: "/denied-tokens", tag: "Revoked tokens", operations: &[get("List revoked tokens", &[])] },
    Route {
        path: "/denied-tokens/{jti}",
        tag: "Revoked tokens",
        operations: &[
            Operation {
                method: "put",
                summary: "Revoke a signed token by its id",
                query: &[],
                body: Some(r#"{"expiresAt": "2036-12-31T12:00:00Z", "reason": "laptop lost"}"#),
                success: ("200", "The entry."),
            },
            Operation {
                method: "delete",
                summary: "Take that back",
                query: &[],
                body: None,
                success: ("204", "Taken back."),
            },
        ],
    },
    Route {
        path: "/explain",
        tag: "Oversight",
        operations: &[get(
            "Say who may do what, and why",
            &[
                ("sub", "The subject."),
                ("method", "The method of a request."),
                ("path", "Its path, or a reference as metadata.ref shows it."),
            ],
        )],
    },
    Route {
        path: "/activity",
        tag: "Oversight",
        operations: &[get(
            "List who did what, newest first",
            &[
                ("tenant", "Those of one tenant."),
                ("before", "Those with smaller ids, to go on."),
                ("limit", "At most so many."),
            ],
        )],
    },
    Route { path: "/projects", tag: "Oversight", operations: &[get("List how the Hetzner projects fare", &[])] },
    Route {
        path: "/projects/{project}/gone",
        tag: "Oversight",
        operations: &[Operation {
            method: "put",
            summary: "Declare a Hetzner project gone for good: all resources in it leave",
            query: &[],
            body: None,
            success: ("200", "What was in it."),
        }],
    },
    Route {
        path: "/orphans",
        tag: "Oversight",
        operations: &[get("List objects of ours that no resource claims", &[])],
    },
    Route {
        path: "/workspaces",
        tag: "Workspaces",
        operations: &[get("List workspaces and their bindings", &[("binding", "none, bound, unbound or all.")])],
    },
    Route { path: "/paused-workspaces", tag: "Workspaces", operations: &[get("List paused workspaces", &[])] },
    Route {
        path: "/tenants/{tenant}/workspaces/{workspace}/pause",
        tag: "Workspaces",
        operations: &[
            Operation {
                method: "put",
                summary: "Pause a workspace: nothing is asked of Hetzner Cloud for it",
                query: &[REGION],
                body: None,
                success: ("200", "Paused."),
            },
            Operation {
                method: "delete",
                summary: "Resume a workspace",
                query: &[REGION],
                body: None,
                success: ("200", "Resumed."),
            },
        ],
    },
    Route {
        path: "/tenants/{tenant}/workspaces/{workspace}/providers/hetzner",
        tag: "Workspaces",
        operations: &[
            get("Get the binding of a workspace, without its token", &[REGION]),
            Operation {
                method: "put",
                summary: "Bind a workspace to a Hetzner Cloud project by a read-write token of it",
                query: &[REGION],
                body: Some(r#"{"apiToken": "<a read-write token>", "projectRef": "shop"}"#),
                success: ("200", "The token was proven and is kept."),
            },
            Operation {
                method: "delete",
                summary: "Remove the token of a workspace",
                query: &[REGION, ("force", "true: also while objects may exist at Hetzner Cloud.")],
                body: None,
                success: ("202", "Removed."),
            },
        ],
    },
];

/// The document, to be shown.
pub(super) fn documents() -> Result<Vec<Document>, String> {
    let text = serde_json::to_string_pretty(&document()).map_err(|error| error.to_string())? + "\n";
    Ok(vec![Document { name: "admin.v1".to_owned(), text: text.into() }])
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let item: Map<String, Value> = route
            .operations
            .iter()
            .map(|operation| (operation.method.to_owned(), described(route, operation)))
            .collect();
        paths.insert(format!("/admin/v1{}", route.path), item.into());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "secapi-proxy-hetzner: admin API",
            "version": "v1",
            "description": "For operators: tenants, revoked tokens, bindings, and what happened. It is no part of SECA.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearerAuth": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": {
                "type": "object",
                "description": "A problem document (RFC 9457).",
                "properties": {
                    "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                    "detail": {"type": "string"}, "instance": {"type": "string"},
                },
            }},
        },
    })
}

fn described(route: &Route, operation: &Operation) -> Value {
    let parameter = |place: &str, name: &str, says: &str| {
        json!({
            "name": name, "in": place, "required": place == "path", "description": says, "schema": {"type": "string"},
        })
    };
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = names.map(|name| parameter("path", name, "")).collect();
    parameters.extend(operation.query.iter().map(|(name, says)| parameter("query", name, says)));
    let error = json!({
        "description": "Any refusal; its status and detail say what is wrong.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    });
    let (status, says) = operation.success;
    let mut described = json!({
        "tags": [route.tag],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {status: {"description": says}, "default": error},
    });
    if let Some(body) = operation.body {
        let example: Value = serde_json::from_str(body).unwrap_or_default();
        described["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": {"type": "object"}, "example": example}}});
    }
    described
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use axum::http::Method;

    use super::{super::place::Place, *};

    #[test]
    fn the_document_has_the_paths_and_methods_that_are_served() {
        let mut kinds = HashSet::new();
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "");
            let place = Place::parse(&format!("/admin/v1{path}")).unwrap_or_else(|_| panic!("{path} is not served"));
            let served: BTreeSet<String> = place.methods().iter().map(Method::to_string).collect();
            let told: BTreeSet<String> =
                route.operations.iter().map(|operation| operation.method.to_uppercase()).collect();
            assert_eq!(told, served, "{path}");
            kinds.insert(std::mem::discriminant(&place));
            for operation in route.operations {
                let body = operation.body.map(|body| serde_json::from_str::<Value>(body).unwrap());
                assert!(body.is_none_or(|body| body.is_object()), "{path}");
            }
        }
        // What the sentence about unknown paths lists is all there is.
        let listed = super::super::place::UNKNOWN.split("there are ").nth(1).unwrap();
        assert_eq!(listed.replace(" and ", ", ").split(", ").count(), ROUTES.len(), "{listed}");
        assert_eq!(kinds.len(), ROUTES.len());
    }
}
