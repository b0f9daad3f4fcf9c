//! Problem documents: what every refused request is answered with.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    schema::{Field, Type, list, text},
    serial,
    violation::Violation,
};

/// What went wrong, as far as the status code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// 400: not JSON, or a parameter that cannot be read.
    InvalidRequest,
    /// 401: no credential, or one that does not count.
    Unauthorized,
    /// 403: not allowed.
    Forbidden,
    /// 404: no such thing.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 406: no answer in an accepted media type.
    NotAcceptable,
    /// 409: the state of things forbids it.
    Conflict,
    /// 412: the version is stale (or, under the conformance profile, any violation or conflict).
    PreconditionFailed,
    /// 413: the body is too large.
    PayloadTooLarge,
    /// 415: the body's media type is not JSON.
    UnsupportedMediaType,
    /// 422: a rule of the schema or of admission is broken.
    Validation,
    /// 429: too many requests.
    TooManyRequests,
    /// 500: our mistake.
    Internal,
    /// 503: not now.
    Unavailable,
}

impl ProblemKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::Validation,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    const fn facts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (400, "invalid-request", "Bad Request"),
            Self::Unauthorized => (401, "unauthorized", "Unauthorized"),
            Self::Forbidden => (403, "forbidden", "Forbidden"),
            Self::NotFound => (404, "resource-not-found", "Not Found"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "Method Not Allowed"),
            Self::NotAcceptable => (406, "not-acceptable", "Not Acceptable"),
            Self::Conflict => (409, "resource-conflict", "Conflict"),
            Self::PreconditionFailed => (412, "precondition-failed", "Precondition Failed"),
            Self::PayloadTooLarge => (413, "payload-too-large", "Payload Too Large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Unsupported Media Type"),
            Self::Validation => (422, "validation-error", "Unprocessable Entity"),
            Self::TooManyRequests => (429, "too-many-requests", "Too Many Requests"),
            Self::Internal => (500, "internal-server-error", "Internal Server Error"),
            Self::Unavailable => (503, "service-unavailable", "Service Unavailable"),
        }
    }

    /// The HTTP status code.
    pub const fn status(self) -> u16 {
        self.facts().0
    }

    /// The title, which is the code's own.
    pub const fn title(self) -> &'static str {
        self.facts().2
    }

    /// The URI in `type`.
    pub fn uri(self) -> String {
        format!("http://secapi.cloud/errors/{}", self.facts().1)
    }

    /// Finds the kind of a status code.
    pub fn of_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.status() == status)
    }
}

/// One place that a problem is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorSource {
    /// The JSON pointer into the body; `/` for parameters.
    #[serde(deserialize_with = "serial::lenient")]
    pub pointer: String,
    /// The parameter or member.
    #[serde(deserialize_with = "serial::lenient")]
    pub parameter: String,
}

/// A problem document. The constructors keep it within the schema's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The URI of the kind of problem.
    #[serde(deserialize_with = "serial::lenient")]
    pub r#type: String,
    /// The status code's title.
    #[serde(deserialize_with = "serial::lenient")]
    pub title: String,
    /// The HTTP status code.
    #[serde(deserialize_with = "serial::status_code")]
    pub status: u16,
    /// What is wrong and what helps.
    #[serde(deserialize_with = "serial::lenient")]
    pub detail: String,
    /// The path of the request.
    #[serde(deserialize_with = "serial::lenient")]
    pub instance: String,
    /// The places that it is about.
    #[serde(deserialize_with = "serial::lenient")]
    pub sources: Vec<ErrorSource>,
    /// Anything else, the request id for one.
    #[serde(deserialize_with = "serial::lenient", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Problem {$(
            $(#[$doc])*
            pub fn $name(detail: impl Into<String>, instance: &str) -> Self {
                Self::new(ProblemKind::$kind, detail, instance)
            }
        )*}
    };
}

constructors! {
    /// 400.
    invalid_request => InvalidRequest;
    /// 401.
    unauthorized => Unauthorized;
    /// 403.
    forbidden => Forbidden;
    /// 404.
    not_found => NotFound;
    /// 405.
    method_not_allowed => MethodNotAllowed;
    /// 406.
    not_acceptable => NotAcceptable;
    /// 409.
    conflict => Conflict;
    /// 412.
    precondition_failed => PreconditionFailed;
    /// 413.
    payload_too_large => PayloadTooLarge;
    /// 415.
    unsupported_media_type => UnsupportedMediaType;
    /// 422.
    validation => Validation;
    /// 429.
    too_many_requests => TooManyRequests;
    /// 500.
    internal => Internal;
    /// 503.
    unavailable => Unavailable;
}

const SOURCE: Type = Type::Object(&[
    Field::required("pointer", text(1, Problem::POINTER_MAX), "The JSON pointer into the body; `/` for parameters."),
    Field::required("parameter", text(1, Problem::PARAMETER_MAX), "The parameter or member."),
]);

/// What a problem document holds.
pub static SCHEMA: Type = Type::Object(&[
    Field::required("type", text(1, 4_000), "The URI of the kind of problem."),
    Field::required("title", text(1, 1_024), "The status code's title."),
    Field::required("status", Type::Integer { min: 100, max: 599 }, "The HTTP status code."),
    Field::required("detail", text(1, Problem::DETAIL_MAX), "What is wrong and what helps."),
    Field::required("instance", text(1, Problem::INSTANCE_MAX), "The path of the request."),
    Field::required("sources", list(&SOURCE, Problem::SOURCES_MAX), "The places that it is about."),
    Field::optional("meta", Type::OpenObject, "Anything else, the request id for one."),
]);

impl Problem {
    const SOURCES_MAX: usize = 32;
    const DETAIL_MAX: usize = 32_768;
    const INSTANCE_MAX: usize = 256;
    const POINTER_MAX: usize = 256;
    const PARAMETER_MAX: usize = 64;

    /// A problem of a kind. `instance` is the path of the request.
    pub fn new(kind: ProblemKind, detail: impl Into<String>, instance: &str) -> Self {
        Self {
            r#type: kind.uri(),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: at_least_one(bounded(&detail.into(), Self::DETAIL_MAX), kind.title()),
            instance: at_least_one(bounded(instance, Self::INSTANCE_MAX), "/"),
            sources: Vec::new(),
            meta: None,
        }
    }

    /// A problem whose detail lists the broken rules and whose sources point at them. The schema allows 32
    /// sources; the detail says how many more rules are broken.
    pub fn violations(kind: ProblemKind, violations: &[Violation], instance: &str) -> Self {
        let shown = &violations[..violations.len().min(Self::SOURCES_MAX)];
        let mut detail = shown.iter().map(|v| v.rule.as_str()).collect::<Vec<_>>().join("; ");
        let more = violations.len() - shown.len();
        if more > 0 {
            let note = format!("; and {more} more broken rules");
            detail = bounded(&detail, Self::DETAIL_MAX - note.len()) + &note;
        }
        let mut problem = Self::new(kind, detail, instance);
        problem.sources = shown
            .iter()
            .map(|violation| ErrorSource {
                pointer: at_least_one(bounded(&violation.pointer, Self::POINTER_MAX), "/"),
                parameter: at_least_one(bounded(&violation.parameter, Self::PARAMETER_MAX), "body"),
            })
            .collect();
        problem
    }

    /// The same with one more member of `meta`.
    #[must_use]
    pub fn with_meta(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.meta.get_or_insert_default().insert(name.to_owned(), value.into());
        self
    }

    /// The kind that the status code tells.
    pub fn kind(&self) -> Option<ProblemKind> {
        ProblemKind::of_status(self.status)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.title, self.detail)
    }
}

fn bounded(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

fn at_least_one(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_of_its_own() {
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::of_status(kind.status()), Some(kind));
            assert_eq!(Problem::new(kind, "x", "/y").kind(), Some(kind));
        }
    }

    #[test]
    fn a_problem_has_all_members_that_the_schema_requires() {
        let problem = Problem::not_found("no such workspace", "/providers/seca.workspace/v1/x");
        insta::assert_json_snapshot!(problem, @r#"
        {
          "type": "http://secapi.cloud/errors/resource-not-found",
          "title": "Not Found",
          "status": 404,
          "detail": "no such workspace",
          "instance": "/providers/seca.workspace/v1/x",
          "sources": []
        }
        "#);
    }

    #[test]
    fn it_stays_within_the_limits_and_says_what_was_left_out() {
        let one = Violation { pointer: "p".repeat(300), parameter: String::new(), rule: "r".repeat(2_000) };
        let problem = Problem::violations(ProblemKind::Validation, &vec![one; 40], &"i".repeat(300));
        assert_eq!(problem.sources.len(), 32);
        assert_eq!(problem.sources[0].pointer.len(), 256);
        assert_eq!(problem.sources[0].parameter, "body");
        assert_eq!(problem.instance.len(), 256);
        assert!(problem.detail.chars().count() <= 32_768);
        assert!(problem.detail.ends_with("; and 8 more broken rules"));
        assert_eq!(Problem::internal("", "").detail, "Internal Server Error");
    }

    #[test]
    fn a_client_reads_what_other_servers_leave_out() {
        let problem: Problem = serde_json::from_str(r#"{"status":4.04e2,"detail":null,"sources":null}"#).unwrap();
        assert_eq!((problem.status, problem.sources.len()), (404, 0));
        assert_eq!(serde_json::from_str::<Problem>(r#"{"title":"x","meta":{"id":1}}"#).unwrap().status, 0);
    }
}
