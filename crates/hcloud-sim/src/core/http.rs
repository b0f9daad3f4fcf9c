//! Requests and responses as values, and the API's error document.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// A request to the simulator, already read: no I/O happens in the core.
#[derive(Clone)]
pub struct SimRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path from the root, such as `/v1/servers/42`.
    pub path: String,
    /// The raw query string without its question mark; empty when there is none.
    pub query: String,
    /// The bearer token, when one was sent.
    pub token: Option<String>,
    /// The body; empty when there is none.
    pub body: Bytes,
}

impl SimRequest {
    /// A request without query, token and body.
    #[must_use]
    pub fn new(method: Method, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self { method, path: path.to_owned(), query: query.to_owned(), token: None, body: Bytes::new() }
    }

    /// The same request with a bearer token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The same request with a JSON body.
    #[must_use]
    pub fn with_json(mut self, body: &Value) -> Self {
        self.body = Bytes::from(body.to_string());
        self
    }
}

impl std::fmt::Debug for SimRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out: requests end up in test output.
        write!(f, "{} {}?{}", self.method, self.path, self.query)
    }
}

/// The simulator's answer.
#[derive(Debug, Clone)]
pub struct SimResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body; empty for 204.
    pub body: Bytes,
    /// The reply is lost: whoever transports it closes the connection and sends nothing.
    pub lost: bool,
}

impl SimResponse {
    /// The value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` when it is empty or not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn from_json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from(body.to_string()),
            lost: false,
        }
    }

    /// A reply that never arrives.
    pub(crate) fn lost() -> Self {
        Self { status: StatusCode::BAD_GATEWAY, headers: Vec::new(), body: Bytes::new(), lost: true }
    }
}

/// What a handler answers when it succeeds.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
    pub(crate) link: Option<String>,
}

impl Reply {
    pub(crate) const fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), link: None }
    }

    pub(crate) const fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, body: Some(body), link: None }
    }

    pub(crate) const fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, link: None }
    }

    pub(crate) fn into_response(self) -> SimResponse {
        let mut response = match self.body {
            Some(body) => SimResponse::from_json(self.status, &body),
            None => SimResponse { status: self.status, headers: Vec::new(), body: Bytes::new(), lost: false },
        };
        if let Some(link) = self.link {
            response.headers.push(("link".to_owned(), link));
        }
        response
    }
}

/// An error of the API: HTTP status, code, message, details.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Option<Box<Value>>,
}

pub(crate) type Api<T> = Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: code.to_owned(),
            message: message.into(),
            details: None,
        }
    }

    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// 422 with any code.
    pub(crate) fn unprocessable(code: &str, message: impl Into<String>) -> Self {
        Self::new(422, code, message)
    }

    /// 422 `invalid_input` for one field.
    pub(crate) fn invalid(field: &str, message: &str) -> Self {
        Self::invalid_fields(&[(field.to_owned(), message.to_owned())])
    }

    pub(crate) fn invalid_fields(fields: &[(String, String)]) -> Self {
        let first = fields
            .first()
            .map_or_else(String::new, |(name, message)| format!("invalid input in field '{name}': {message}"));
        let fields: Vec<Value> =
            fields.iter().map(|(name, message)| json!({"name": name, "messages": [message]})).collect();
        Self::new(422, "invalid_input", first).with_details(json!({"fields": fields}))
    }

    pub(crate) fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(404, "not_found", format!("{what} with ID '{id}' not found"))
    }

    pub(crate) fn not_unique(field: &str, message: &str) -> Self {
        Self::new(409, "uniqueness_error", message).with_details(json!({"fields": [{"name": field}]}))
    }

    pub(crate) fn locked(what: &str) -> Self {
        Self::new(423, "locked", format!("cannot perform operation because {what} is locked"))
    }

    /// 409 because another change of the same object is under way.
    pub(crate) fn conflict(what: &str) -> Self {
        Self::new(409, "conflict", format!("the {what} is being changed by another action, please retry"))
    }

    pub(crate) fn protected(what: &str) -> Self {
        Self::new(423, "protected", format!("{what} deletion is protected"))
    }

    pub(crate) fn limit(name: &str) -> Self {
        let words = name.replace('_', " ");
        Self::new(403, "resource_limit_exceeded", format!("{words} exceeded"))
            .with_details(json!({"limits": [{"name": name}]}))
    }

    pub(crate) fn document(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message, "details": self.details}})
    }

    pub(crate) fn into_response(self) -> SimResponse {
        SimResponse::from_json(self.status, &self.document())
    }
}
