//! What a request of the admin API holds, as types: its sender, the names in its path, its parameters and its body.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{self, FromRequest, FromRequestParts, Request},
    http::{Method, Response, StatusCode, request::Parts},
    response::IntoResponse,
};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::{Admin, query::Parameters};
use crate::{
    answer::{Failure, Profile, json_text},
    body,
    observe::Trace,
    route::Segment,
};

/// The sender of a request.
#[derive(Clone)]
pub(super) struct Actor(pub(super) String);

/// What a path is about, in a word, for metrics.
#[derive(Clone, Copy)]
pub(super) struct About(pub(super) &'static str);

/// A request whose sender is known. Every handler takes it first: from then on metrics know what is asked for.
pub(super) struct Call {
    pub(super) actor: String,
    pub(super) trace: Arc<Trace>,
}

impl FromRequestParts<Arc<Admin>> for Call {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Admin>) -> Result<Self, Failure> {
        let trace = Trace::of(&parts.extensions);
        let Some(Actor(actor)) = parts.extensions.get::<Actor>().cloned() else {
            return Err(Failure::internal("a request came to a handler without its sender"));
        };
        let kind = parts.extensions.get::<About>().map_or("none", |about| about.0);
        trace.about(word(&parts.method), kind);
        Ok(Self { actor, trace })
    }
}

/// A method as metrics tell it.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::POST => "post",
        _ => "get",
    }
}

/// What the path names.
pub(super) struct Path<T>(pub(super) T);

/// The names in a path, decoded.
pub(super) trait Named: IntoParams + DeserializeOwned + Send {
    /// Refuses what cannot be a name.
    fn check(&self) -> Result<(), Failure>;
}

impl<T: Named> FromRequestParts<Arc<Admin>> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Failure> {
        // Its encoding was checked, so that only a defect is left to be refused.
        let named = extract::Path::<T>::from_request_parts(parts, admin).await;
        let extract::Path(named) = named.map_err(Failure::internal)?;
        named.check().map(|()| Self(named))
    }
}

/// Refuses what can be no name of a tenant or a workspace at all. Its own rule is checked where it is used.
pub(super) fn check_name(what: &str, text: &str) -> Result<(), Failure> {
    let named = Segment::decoded(text).name(what, "");
    named.map(drop).map_err(|error| Failure::of_route(&error, Profile::Specification, &Method::GET))
}

/// The parameters of the query: those that the document of the API names, each at most once, and no other.
pub(super) struct Query<T>(pub(super) T);

impl<T: Parameters> FromRequestParts<Arc<Admin>> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Admin>) -> Result<Self, Failure> {
        T::parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// A body that says something.
pub(super) struct Json<T>(pub(super) T);

/// What a body says.
pub(super) trait Document: ToSchema + Sized {
    /// Reads it.
    fn read(bytes: &[u8]) -> Result<Self, Failure>;
}

impl<T: Document> FromRequest<Arc<Admin>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, admin: &Arc<Admin>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = body::read_json(&parts.headers, body, admin.config.limits).await?;
        T::read(&bytes).map(Self)
    }
}

/// A body that need not be there. What is there says nothing.
pub(super) struct NoBody;

impl FromRequest<Arc<Admin>> for NoBody {
    type Rejection = Failure;

    async fn from_request(request: Request, admin: &Arc<Admin>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        body::discard(&parts.headers, body, admin.config.limits).await.map(|()| Self)
    }
}

/// An answer of this status.
pub(super) struct Answer<T>(pub(super) StatusCode, pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response<Body> {
        match serde_json::to_string(&self.1) {
            Ok(text) => json_text(self.0, text),
            Err(error) => Failure::internal(error).into_response(),
        }
    }
}

/// An answer that is good.
pub(super) const fn ok<T>(document: T) -> Answer<T> {
    Answer(StatusCode::OK, document)
}

/// All that there is of something.
#[derive(Serialize, ToSchema)]
pub(super) struct Items<T> {
    /// Each of them.
    items: Vec<T>,
}

impl<T> FromIterator<T> for Items<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { items: items.into_iter().collect() }
    }
}
