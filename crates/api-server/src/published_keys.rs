//! `/.well-known/jwks.json`: the public keys of an operator who issues tokens without an identity provider, for
//! whoever checks them elsewhere. Without a file of keys there is no such path.

use std::sync::Arc;

use authentication::{Followed, KeySet};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
    routing::get,
};

use crate::answer::json_text;

/// Where they are.
const PATH: &str = "/.well-known/jwks.json";

/// How long others may keep them: no longer than this server keeps those of other issuers.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The path.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(keys: Arc<Followed<KeySet>>) -> Router<S> {
    Router::new().route(PATH, get(published)).with_state(keys)
}

async fn published(State(keys): State<Arc<Followed<KeySet>>>) -> Response<Body> {
    let mut response = json_text(StatusCode::OK, keys.current().to_json());
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    response
}
