//! `/.well-known/jwks.json`, through the real router, without a credential.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::{fs, sync::Arc};

use api_server::{ApiConfig, public_router_over};
use authentication::{Followed, KeySet, StaticTokens};
use axum::{Router, body::Body, http::Request};
use common::{Stub, TOKENS, ask, config, request, router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const PATH: &str = "/.well-known/jwks.json";

fn anonymous(method: &str) -> Request<Body> {
    let mut request = request(method, PATH, None);
    request.headers_mut().remove("authorization");
    request
}

fn publishing(keys: Followed<KeySet>) -> Router {
    let config = ApiConfig { jwks: Some(Arc::new(keys)), ..config() };
    let tokens = Arc::new(StaticTokens::parse(TOKENS).unwrap());
    public_router_over(Arc::<Stub>::default(), tokens, config, CancellationToken::new())
}

#[tokio::test]
async fn the_keys_of_a_file_are_shown_to_everybody_and_nothing_is_there_without_one() {
    ask(&router(Arc::default()), anonymous("GET")).await.problem(404, PATH);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "a",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    fs::write(&path, json!({"keys": [key]}).to_string()).unwrap();
    let router = publishing(Followed::open(&path, KeySet::load_published).unwrap());
    let answer = ask(&router, anonymous("GET")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap(), json!({"keys": [key]}));
    assert_eq!(ask(&router, anonymous("HEAD")).await.status, 200);
    let refused = ask(&router, anonymous("PUT")).await;
    refused.problem(405, PATH);
    assert_eq!(refused.header("allow"), "GET, HEAD");
}
