//! Answers: problem documents, and the status that a refusal has under a tenant's error profile.

use std::fmt::Display;

use authentication::AuthError;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Response, StatusCode, header},
    response::IntoResponse,
};
use control_plane::{
    ports::StoreError,
    service::{Refusal, Tenant},
};
use seca_api::{Problem, ProblemKind, Violation};
use serde_json::{Value, json};

use crate::{observe::Trace, route::RouteError};

/// Which status codes a tenant's refusals have. It changes the code and with it `type` and `title`, never the
/// decision, the detail or the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As the specification says.
    Specification,
    /// As the conformance tool asserts: 412 for violations and conflicts, and for a PUT into a missing parent.
    Conformance,
}

impl Profile {
    pub(crate) fn of_tenant(tenant: Option<&Tenant>) -> Self {
        if tenant.is_some_and(|tenant| tenant.conformance) { Self::Conformance } else { Self::Specification }
    }

    /// Whether the status of a refusal depends on it.
    pub(crate) const fn matters_to(refusal: &Refusal) -> bool {
        matches!(refusal, Refusal::MissingParent(_) | Refusal::Violations { .. } | Refusal::Conflict(_))
    }

    const fn pick(self, specification: ProblemKind) -> ProblemKind {
        match self {
            Self::Specification => specification,
            Self::Conformance => ProblemKind::PreconditionFailed,
        }
    }
}

/// A request that is not served, on its way to become a problem document.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log, where the client is told less.
    cause: Option<String>,
    /// Whether the log has the cause already, once for all the requests that it fails.
    is_logged: bool,
}

/// What to do about a request that could not be served for now. Sent again, a PUT or a DELETE changes nothing twice; an
/// action does: a reboot is one more reboot.
const fn try_again(method: &Method) -> &'static str {
    match *method {
        Method::PUT | Method::DELETE => {
            "the server cannot serve this request now; what it asks for may or may not have been accepted: send it \
             again, which changes nothing twice"
        }
        Method::POST => {
            "the server cannot serve this request now; the action may or may not have been accepted: read the \
             resource before you send it again"
        }
        _ => "the server cannot serve this request now; send it again",
    }
}

const OURS: &str =
    "the request could not be served because of a defect of the server; its log says more under this request id";

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), headers: Vec::new(), cause: None, is_logged: false }
    }
}

/// A request whose caller is not known.
impl From<&AuthError> for Failure {
    fn from(error: &AuthError) -> Self {
        let challenge = match error {
            AuthError::Unavailable(_) => {
                let detail = format!("{error}; send the request again in some seconds");
                let unavailable = Self::new(ProblemKind::Unavailable, detail);
                // An issuer that does not answer is asked again so soon, and what fails there is logged there.
                let unavailable = unavailable.header(header::RETRY_AFTER, HeaderValue::from_static("10"));
                return Self { is_logged: true, ..unavailable };
            }
            AuthError::Missing => "Bearer",
            AuthError::Malformed => r#"Bearer error="invalid_request""#,
            AuthError::Rejected | AuthError::Invalid(_) => r#"Bearer error="invalid_token""#,
        };
        Self::unauthorized(error.to_string(), challenge)
    }
}

impl Failure {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self::from(Problem::new(kind, detail, "/"))
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::InvalidRequest, detail)
    }

    /// A parameter of query or header that cannot be read.
    pub(crate) fn parameter(name: &str, rule: impl Into<String>) -> Self {
        Self::violations(ProblemKind::InvalidRequest, &[Violation::parameter(name, rule)])
    }

    pub(crate) fn violations(kind: ProblemKind, violations: &[Violation]) -> Self {
        Self::from(Problem::violations(kind, violations, "/"))
    }

    /// A status that the specification has no type for.
    pub(crate) fn other(status: StatusCode, word: &str, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(ProblemKind::Internal, detail, "/");
        problem.status = status.as_u16();
        problem.r#type = format!("http://secapi.cloud/errors/{word}");
        status.canonical_reason().unwrap_or("Error").clone_into(&mut problem.title);
        Self::from(problem)
    }

    pub(crate) fn internal(cause: impl Display) -> Self {
        Self::new(ProblemKind::Internal, OURS).because(cause)
    }

    pub(crate) fn unavailable(method: &Method, cause: impl Display) -> Self {
        Self::new(ProblemKind::Unavailable, try_again(method))
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .because(cause)
    }

    pub(crate) fn method(allowed: &[Method], method: &Method) -> Self {
        let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let detail = format!("{method} is not a method of this resource; use {list}");
        let failure = Self::new(ProblemKind::MethodNotAllowed, detail);
        match HeaderValue::from_str(&list) {
            Ok(value) => failure.header(header::ALLOW, value),
            Err(_) => failure,
        }
    }

    /// A request without a good credential.
    pub(crate) fn unauthorized(detail: impl Into<String>, challenge: &'static str) -> Self {
        Self::new(ProblemKind::Unauthorized, detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Records for the log what the client is not told.
    pub(crate) fn because(mut self, cause: impl Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The status of a service's refusal, for a request of this method under this profile.
    pub(crate) fn of(refusal: &Refusal, profile: Profile, method: &Method) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Malformed(_) => Self::malformed(detail),
            Refusal::Parameter(violation) => {
                Self::violations(ProblemKind::InvalidRequest, std::slice::from_ref(violation))
            }
            Refusal::Forbidden { .. }
            | Refusal::CannotGrant { .. }
            | Refusal::NameIsAssigned { .. }
            | Refusal::SystemRole(_) => Self::new(ProblemKind::Forbidden, detail),
            Refusal::Revoked => Self::unauthorized(detail, r#"Bearer error="invalid_token""#),
            Refusal::NotFound(_) => Self::new(ProblemKind::NotFound, detail),
            Refusal::MissingParent(_) if *method == Method::PUT => {
                Self::new(profile.pick(ProblemKind::NotFound), detail)
            }
            Refusal::MissingParent(_) => Self::new(ProblemKind::NotFound, detail),
            Refusal::Violations { violations, .. } => {
                Self::violations(profile.pick(ProblemKind::Validation), violations)
            }
            Refusal::Conflict(_) => Self::new(profile.pick(ProblemKind::Conflict), detail),
            Refusal::Stale { .. } => Self::new(ProblemKind::PreconditionFailed, detail),
            Refusal::Provider(_) => Self::other(StatusCode::BAD_GATEWAY, "bad-gateway", detail),
            Refusal::Store(StoreError::Unavailable(cause)) => Self::unavailable(method, cause),
            Refusal::Store(error) => Self::internal(error),
            Refusal::Internal(cause) => Self::internal(cause),
        }
    }

    /// The status of a path that names nothing.
    pub(crate) fn of_route(error: &RouteError, profile: Profile, method: &Method) -> Self {
        match error {
            RouteError::Unknown | RouteError::TrailingSlash(_) | RouteError::NotServed(_) => {
                Self::new(ProblemKind::NotFound, error.to_string())
            }
            RouteError::Segment { violation, .. } => {
                let kind = match profile {
                    Profile::Conformance if *method == Method::PUT => ProblemKind::PreconditionFailed,
                    _ => ProblemKind::InvalidRequest,
                };
                Self::violations(kind, std::slice::from_ref(violation))
            }
        }
    }

    /// The answer. The trace learns what the log must say.
    pub(crate) fn respond(self, path: &str, trace: &Trace) -> Response<Body> {
        const INSTANCE_MAX: usize = 256;
        trace.reason(self.cause.as_deref().unwrap_or(&self.problem.detail));
        if self.is_logged {
            trace.has_logged_cause();
        }
        let status = self.status();
        let mut problem = self.problem.with_meta("requestId", trace.id());
        problem.instance = path.chars().take(INSTANCE_MAX).collect();
        let mut response = json_text(status, json!(problem).to_string());
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A handler's refusal travels outwards in the extensions of its answer. [`finished`] makes a document of it, where the
/// path and the id of the request are known.
impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = empty(self.status());
        response.extensions_mut().insert(self);
        response
    }
}

/// The answer as its client gets it: a refusal as a problem document, and indented for who wants that.
pub(crate) async fn finished(
    mut response: Response<Body>,
    path: &str,
    is_pretty: bool,
    trace: &Trace,
) -> Response<Body> {
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = failure.respond(path, trace);
    }
    if is_pretty { indented(response).await } else { response }
}

/// What is only read is read by these methods.
pub(crate) const READS: [Method; 2] = [Method::GET, Method::HEAD];

/// The refusal of all other methods.
pub(crate) async fn only_reads(method: Method) -> Failure {
    Failure::method(&READS, &method)
}

/// A JSON answer. It ends with a newline: the prompt of a shell comes after it.
pub(crate) fn json_text(status: StatusCode, mut text: String) -> Response<Body> {
    text.push('\n');
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The same answer, its JSON indented for people; what holds no JSON stays as it is.
async fn indented(response: Response<Body>) -> Response<Body> {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The answers of this server are in memory already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
    let pretty = serde_json::from_slice::<Value>(&bytes).and_then(|document| serde_json::to_string_pretty(&document));
    parts.headers.remove(header::CONTENT_LENGTH);
    match pretty {
        Ok(text) => Response::from_parts(parts, Body::from(text + "\n")),
        Err(_) => Response::from_parts(parts, Body::from(bytes)),
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn keys_that_cannot_be_fetched_are_no_defect_and_logged_elsewhere() {
        let cause = "the keys of the issuer `corp` cannot be fetched at the moment";
        let trace = Trace::of(&http::Extensions::new());
        let answer = Failure::from(&AuthError::Unavailable(cause.to_owned())).respond("/x", &trace);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "10");
        assert!(!answer.headers().contains_key(header::WWW_AUTHENTICATE), "the token may be good");
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: Problem = serde_json::from_slice(&text).unwrap();
        assert!(problem.detail.contains(cause), "{}", problem.detail);
        assert!(!trace.is_fault(503), "a line of the log at ERROR for each would be a flood");

        let trace = Trace::of(&http::Extensions::new());
        Failure::unavailable(&Method::GET, "the database is away").respond("/x", &trace);
        assert!(trace.is_fault(503) && trace.is_fault(500) && !trace.is_fault(499));
    }

    #[test]
    fn only_what_can_be_sent_twice_is_said_to_change_nothing_twice() {
        let said = |method: &Method| Failure::unavailable(method, "the database is away").problem.detail;
        for method in [Method::PUT, Method::DELETE] {
            assert!(said(&method).contains("send it again, which changes nothing twice"), "{method}");
        }
        assert!(!said(&Method::POST).contains("twice") && said(&Method::POST).contains("read the resource before"));
        assert!(!said(&Method::GET).contains("twice") && said(&Method::GET).contains("send it again"));
    }
}
