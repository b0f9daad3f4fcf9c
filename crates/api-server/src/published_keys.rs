//! `/.well-known/jwks.json`: the public keys of an operator who issues tokens without an identity provider, for
//! whoever checks them elsewhere. Without a file of keys there is no such path.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, StatusCode, header},
};

use crate::{
    answer::{Failure, json_text},
    auth::{Followed, KeySet},
};

/// Where they are.
pub(crate) const PATH: &str = "/.well-known/jwks.json";

/// How long others may keep them: no longer than this server keeps those of other issuers.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The answer at [`PATH`]. HEAD is answered as GET is; hyper leaves the body out.
pub(crate) fn answer(keys: &Arc<Followed<KeySet>>, method: &Method) -> Result<Response<Body>, Failure> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Failure::method(&[Method::GET, Method::HEAD], method));
    }
    let mut response = json_text(StatusCode::OK, keys.current().to_json());
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    Ok(response)
}
