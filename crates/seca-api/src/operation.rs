//! The operations of the API as data: paths, parameters, and what each may answer.
//!
//! A kind brings no operations of its own; they follow from what the kind table says of it.

use crate::{
    kind::{Kind, Scope},
    names,
    problem::ProblemKind,
    schema::{Field, TextRule, Type, UNLIMITED, text},
};

/// The most resources on a page. A larger `limit` asks for this many.
pub const LIMIT_MAX: i64 = 10_000;
/// How many resources are on a page where `limit` is not set.
pub const LIMIT_DEFAULT: i64 = 1_000;

/// The most bytes of the resources on a page, 8 MiB. A page ends before the resource that would pass it, whatever its
/// `limit`; the first one is always there.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// What can be done with the resources of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read a page of them.
    List,
    /// Read one.
    Get,
    /// Create one, or replace its specification.
    Put,
    /// Ask for the removal of one.
    Delete,
    /// Ask something else of one: the word in the path.
    Action(&'static str),
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A segment of the path.
    Path,
    /// The query.
    Query,
    /// A header.
    Header,
}

/// A parameter of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Where it stands.
    pub place: Place,
    /// Its name and limits.
    pub field: Field,
}

const LIST: [Parameter; 5] = [
    query(
        "labels",
        text(0, UNLIMITED),
        "What the labels of the resources must say: `env=prod,tier!=dev`, `*env*=*prod*`, `weight>3`.",
    ),
    query("labelSelector", text(0, UNLIMITED), "Another name of `labels`."),
    Parameter {
        place: Place::Query,
        field: Field::optional(
            "limit",
            Type::Integer { min: 1, max: LIMIT_MAX },
            "The most resources on the page. What lies outside of the bounds is read as the nearer one. A page may hold \
             fewer: it ends at 8 MiB, and `metadata.skipToken` tells that more follow.",
        )
        .default("1000"),
    },
    query("skipToken", text(0, UNLIMITED), "Where the page begins: the `skipToken` of the page before."),
    Parameter {
        place: Place::Header,
        field: Field::optional(
            "Accept",
            Type::OneOf(&["application/json", "application/json; deleted=true", "application/json; deleted=only"]),
            "Whether resources that are being removed are shown: `deleted=true` with the others, `deleted=only` alone.",
        )
        .default("\"application/json\""),
    },
];

const KNOWN: Parameter = header(
    "If-None-Match",
    text(0, UNLIMITED),
    "The `ETag` of the representation that the client has; the answer is 304 where it is current.",
);

const VERSION: [Parameter; 2] = [
    header(
        "if-unmodified-since",
        Type::Integer { min: i64::MIN, max: i64::MAX },
        "The `metadata.resourceVersion` that the client has seen; the answer is 412 where the resource has changed since.",
    ),
    header("If-Match", text(0, UNLIMITED), "The same with the `ETag` that the client has seen."),
];

const fn query(name: &'static str, ty: Type, description: &'static str) -> Parameter {
    Parameter { place: Place::Query, field: Field::optional(name, ty, description) }
}

const fn header(name: &'static str, ty: Type, description: &'static str) -> Parameter {
    Parameter { place: Place::Header, field: Field::optional(name, ty, description) }
}

const fn segment(name: &'static str, ty: Type, description: &'static str) -> Parameter {
    Parameter { place: Place::Path, field: Field::required(name, ty, description) }
}

impl Operation {
    /// The operations of a kind.
    pub fn of(kind: Kind) -> Vec<Self> {
        let mut operations = vec![Self::List, Self::Get];
        if !kind.is_catalog() {
            operations.extend([Self::Put, Self::Delete]);
        }
        operations.extend(kind.actions().iter().copied().map(Self::Action));
        operations
    }

    /// The HTTP method, in upper case.
    pub const fn method(self) -> &'static str {
        match self {
            Self::List | Self::Get => "GET",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Action(_) => "POST",
        }
    }

    /// The path under the base URL of the provider: `/v1/tenants/{tenant}/skus`.
    pub fn path(self, kind: Kind) -> String {
        let mut path = format!("/{}", kind.provider().version());
        for parent in parents(kind.scope()) {
            path += &format!("/{parent}s/{{{parent}}}");
        }
        path += &format!("/{}", kind.collection());
        match self {
            Self::List => path,
            Self::Action(action) => format!("{path}/{{name}}/{action}"),
            Self::Get | Self::Put | Self::Delete => path + "/{name}",
        }
    }

    /// The parameters, in the order path, query, header.
    pub fn parameters(self, kind: Kind) -> Vec<Parameter> {
        let short = text(1, names::SHORT_NAME_MAX);
        let named = |parent: &&'static str| segment(parent, short, describe_parent(parent));
        let mut parameters: Vec<_> = parents(kind.scope()).iter().map(named).collect();
        let name = Type::Text { min: 1, max: names::name_max(kind), rule: TextRule::Name };
        match self {
            Self::List => parameters.extend(LIST),
            Self::Get => parameters.extend([segment("name", name, "The name of the resource."), KNOWN]),
            Self::Put | Self::Delete | Self::Action(_) => {
                parameters.push(segment("name", name, "The name of the resource."));
                parameters.extend(VERSION);
            }
        }
        parameters
    }

    /// The status codes of success, with what each says.
    pub const fn successes(self) -> &'static [(u16, &'static str)] {
        match self {
            Self::List => &[(200, "A page of resources.")],
            Self::Get => &[(200, "The resource."), (304, "The client has the current representation.")],
            Self::Put => &[
                (200, "Changed; that says nothing of the provisioning."),
                (201, "Created; that says nothing of the provisioning."),
            ],
            Self::Delete => &[(202, "The removal goes on; the resource can be read until it is gone.")],
            Self::Action(_) => &[(202, "The action goes on.")],
        }
    }

    /// The refusals that belong to the operation. Others (405, 406, 413, 415, 429, 503) can meet any request.
    pub const fn refusals(self) -> &'static [ProblemKind] {
        use ProblemKind as P;
        match self {
            Self::List => &[P::InvalidRequest, P::Unauthorized, P::Forbidden, P::Internal],
            Self::Get => &[P::InvalidRequest, P::Unauthorized, P::Forbidden, P::NotFound, P::Internal],
            Self::Put => &[
                P::InvalidRequest,
                P::Unauthorized,
                P::Forbidden,
                P::NotFound,
                P::Conflict,
                P::PreconditionFailed,
                P::Validation,
                P::Internal,
            ],
            Self::Delete | Self::Action(_) => &[
                P::InvalidRequest,
                P::Unauthorized,
                P::Forbidden,
                P::NotFound,
                P::Conflict,
                P::PreconditionFailed,
                P::Internal,
            ],
        }
    }
}

/// What holds the resources of a scope, the outermost first.
const fn parents(scope: Scope) -> &'static [&'static str] {
    match scope {
        Scope::Global => &[],
        Scope::GlobalTenant | Scope::Tenant => &["tenant"],
        Scope::Workspace => &["tenant", "workspace"],
        Scope::Network => &["tenant", "workspace", "network"],
    }
}

fn describe_parent(parent: &str) -> &'static str {
    match parent {
        "tenant" => "The tenant.",
        "workspace" => "The name of the workspace.",
        _ => "The name of the network.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foundation_has_sixty_seven_operations() {
        let count = |wanted: fn(Operation) -> bool| {
            Kind::ALL.into_iter().flat_map(Operation::of).filter(|operation| wanted(*operation)).count()
        };
        assert_eq!(count(|o| o == Operation::List), 18);
        assert_eq!(count(|o| o == Operation::Get), 18);
        assert_eq!(count(|o| o == Operation::Put), 14);
        assert_eq!(count(|o| o == Operation::Delete), 14);
        assert_eq!(count(|o| matches!(o, Operation::Action(_))), 3);
    }

    #[test]
    fn every_parameter_of_a_path_stands_in_it() {
        for kind in Kind::ALL {
            for operation in Operation::of(kind) {
                let path = operation.path(kind);
                let parameters = operation.parameters(kind);
                let named: Vec<_> = parameters.iter().filter(|p| p.place == Place::Path).collect();
                assert_eq!(path.matches('{').count(), named.len(), "{path}");
                assert!(named.iter().all(|p| p.field.required && path.contains(&format!("{{{}}}", p.field.name))));
            }
        }
        let path = Operation::Action("start").path(Kind::Instance);
        assert_eq!(path, "/v1/tenants/{tenant}/workspaces/{workspace}/instances/{name}/start");
        let path = Operation::List.path(Kind::Subnet);
        assert_eq!(path, "/v1/tenants/{tenant}/workspaces/{workspace}/networks/{network}/subnets");
    }

    #[test]
    fn the_default_of_limit_is_the_constant() {
        let limit = LIST.iter().find(|parameter| parameter.field.name == "limit").unwrap();
        assert_eq!(limit.field.default, Some(LIMIT_DEFAULT.to_string().as_str()));
    }
}
