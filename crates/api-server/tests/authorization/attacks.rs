//! Credentials that prove nothing, as they come over the wire: refused before anything is looked up. What the
//! verification of tokens says of each by itself is tested beside it; here none of them may reach the control plane.

use std::sync::atomic::Ordering;

use axum::{
    body::Body,
    http::{HeaderName, Request},
};
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    common,
    operations::{document, place},
    world::{ANN, Signer, World, base64url, bearing},
};

const NETWORK: &str = "/providers/seca.network/v1/tenants/acme/workspaces/w/networks/here";

const NONE: &str = "Bearer";
const REQUEST: &str = "Bearer error=\"invalid_request\"";
const TOKEN: &str = "Bearer error=\"invalid_token\"";

/// A request of a method to a path, with exactly these headers for credentials.
fn asking(method: &str, path: &str, headers: &[(&str, String)]) -> Request<Body> {
    let body = (method == "PUT").then(|| document("networks"));
    let mut request = bearing("", method, path, body.as_ref());
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    request
}

struct Attack {
    name: &'static str,
    headers: Vec<(&'static str, String)>,
    query: String,
    challenge: &'static str,
}

fn attack(name: &'static str, values: &[&str], challenge: &'static str) -> Attack {
    let headers = values.iter().map(|value| ("authorization", (*value).to_owned())).collect();
    Attack { name, headers, query: String::new(), challenge }
}

fn token(name: &'static str, token: &str) -> Attack {
    attack(name, &[&format!("Bearer {token}")], TOKEN)
}

/// Around the header.
fn of_headers(good: &str) -> Vec<Attack> {
    let bearer = format!("Bearer {good}");
    let beside = |name: &'static str, header: &'static str, value: String| Attack {
        headers: vec![(header, value)],
        ..attack(name, &[], NONE)
    };
    let query = |name: &'static str, query: String| Attack { query, ..attack(name, &[], NONE) };
    vec![
        attack("twice", &[&bearer, &bearer], REQUEST),
        attack("a bad one before a good one", &["Bearer x", &bearer], REQUEST),
        attack("a good one before a bad one", &[&bearer, "Bearer x"], REQUEST),
        attack("Basic before it", &["Basic YTph", &bearer], REQUEST),
        attack("an empty one before it", &["", &bearer], REQUEST),
        attack("two in one header", &[&format!("{bearer}, {bearer}")], REQUEST),
        attack("no scheme", &[good], REQUEST),
        attack("another scheme", &[&format!("Basic {good}")], REQUEST),
        attack("a longer scheme", &[&format!("Bearers {good}")], REQUEST),
        attack("two schemes", &[&format!("Basic Bearer {good}")], REQUEST),
        attack("a scheme alone", &["Bearer"], REQUEST),
        attack("no token", &["Bearer "], REQUEST),
        attack("a blank in the token", &[&bearer.replace('.', " ")], REQUEST),
        attack("a tab instead of the blank", &[&format!("Bearer\t{good}")], REQUEST),
        query("in the query", format!("?access_token={good}")),
        query("in the query, as a header", format!("?Authorization=Bearer%20{good}")),
        beside("in a cookie", "cookie", format!("access_token={good}; token={good}")),
        beside("for a proxy", "proxy-authorization", bearer.clone()),
        beside("forwarded", "x-forwarded-authorization", bearer.clone()),
        beside("said by a proxy", "x-forwarded-user", ANN.to_owned()),
        beside("said by a mesh", "x-remote-user", ANN.to_owned()),
    ]
}

/// Around the token.
fn of_tokens(world: &World, good: &str) -> Vec<Attack> {
    let claims = world.claims(ANN);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let unsigned = |header: Value| format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let hmac = |secret: &[u8]| {
        let message = unsigned(json!({"alg": "HS256", "typ": "JWT", "kid": "a"}));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", base64url(tag))
    };
    let public = world.signer.public();
    let kid = |kid: Value| world.signer.sign(&json!({"alg": "EdDSA", "kid": kid}), &claims);
    let attacker = Signer::new();
    let own_key = |header: Value| attacker.sign(&header, &claims);
    let mighty = base64url(world.claims("region-admin").to_string());
    vec![
        token("longer than any token", &"x".repeat(8 * 1024 + 1)),
        token("much longer", &"x".repeat(256 * 1024)),
        token("signed, and too long", &world.token_with(ANN, json!({"pad": "x".repeat(16 * 1024)}))),
        token("alg none", &format!("{}.", unsigned(json!({"alg": "none"})))),
        token("alg none with a signature", &format!("{}.{signature}", unsigned(json!({"alg": "none", "kid": "a"})))),
        token("alg nOnE", &format!("{}.", unsigned(json!({"alg": "nOnE", "typ": "JWT"})))),
        token("no alg", &format!("{}.", unsigned(json!({"typ": "JWT"})))),
        token("HS256 with the public key", &hmac(public)),
        token("HS256 with the key's text", &hmac(base64url(public).as_bytes())),
        token("HS256 with the JWK", &hmac(world.signer.jwk().to_string().as_bytes())),
        token("HS256 with nothing", &hmac(b"")),
        token("kid up the tree", &kid(json!("../../../../dev/null"))),
        token("kid of a file", &kid(json!("file:///dev/null"))),
        token("kid of a URL", &kid(json!("https://evil.example.org/jwks.json"))),
        token("kid of a query", &kid(json!("a' OR '1'='1"))),
        token("kid with an end", &kid(json!("a\u{0}b"))),
        token("kid of no text", &kid(json!(["a"]))),
        token("no kid", &world.signer.sign(&json!({"alg": "EdDSA"}), &claims)),
        token("its own key", &own_key(json!({"alg": "EdDSA", "kid": "a", "jwk": attacker.jwk()}))),
        token("its own keys", &own_key(json!({"alg": "EdDSA", "kid": "a", "jku": "https://evil.example.org/"}))),
        token("an extension", &world.signer.sign(&json!({"alg": "EdDSA", "kid": "a", "crit": ["b64"]}), &claims)),
        token("another use", &world.signer.sign(&json!({"alg": "EdDSA", "kid": "a", "typ": "dpop+jwt"}), &claims)),
        token("another's claims", &format!("{header}.{mighty}.{signature}")),
        token("no signature", &format!("{header}.{payload}.")),
        token("two parts", &format!("{header}.{payload}")),
        token("for others", &world.token_with(ANN, json!({"aud": "elsewhere"}))),
        token("for nobody", &world.token_with(ANN, json!({"aud": null}))),
        token("not yet", &world.token_with(ANN, json!({"nbf": world.clock.seconds() + 3600}))),
        token("without an end", &world.token_with(ANN, json!({"exp": null}))),
        token("ends as a text", &world.token_with(ANN, json!({"exp": "9999999999"}))),
        token("without a subject", &world.token_with("", json!({}))),
        token("a list of subjects", &world.token_with(ANN, json!({"sub": [ANN]}))),
        token("the subject that means all", &world.token_with(ANN, json!({"sub": "*", "iss": "*"}))),
    ]
}

#[tokio::test]
async fn what_proves_nothing_does_not_get_past_the_door() {
    let world = World::new().await;
    let good = world.token(ANN);
    let before = world.dump().await;
    let asked = world.asked.load(Ordering::SeqCst);
    for attack in of_headers(&good).into_iter().chain(of_tokens(&world, &good)) {
        for method in ["GET", "PUT", "DELETE"] {
            let path = format!("{NETWORK}{}", attack.query);
            for router in [&world.counted, &world.router] {
                let answer = common::ask(router, asking(method, &path, &attack.headers)).await;
                assert_eq!(answer.status, 401, "{}: {}", attack.name, answer.text);
                answer.problem(401, &path);
                assert_eq!(answer.header("www-authenticate"), attack.challenge, "{}", attack.name);
                assert!(!answer.text.contains(&good) && !answer.text.contains("evil"), "{}", answer.text);
            }
        }
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), asked, "the control plane was asked for something");
    assert_eq!(world.dump().await, before);
}

/// The same router counts, and knows a good token.
#[tokio::test]
async fn a_scheme_is_written_in_any_case() {
    let world = World::new().await;
    let good = world.token(ANN);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let asked = world.asked.load(Ordering::SeqCst);
        let request = asking("GET", NETWORK, &[("authorization", format!("{scheme} {good}"))]);
        assert_eq!(common::ask(&world.counted, request).await.status, 200, "{scheme}");
        assert!(world.asked.load(Ordering::SeqCst) > asked);
    }
}

/// A subject is a text like any other: none of these is somebody else.
#[tokio::test]
async fn a_subject_that_looks_like_another_is_nobody() {
    let world = World::new().await;
    let list = crate::operations::operations().into_iter().find(|o| o.collection() == "roles").unwrap();
    for subject in ["*", "Ann", "ANN", "corp:ann", "ann,far", "ann/", "seca.admin", "ännn", "аnn"] {
        let answer = world.perform(&world.token(subject), &list, place("acme", "w")).await;
        assert_eq!(answer.status, 403, "{subject}: {}", answer.text);
    }
    for subject in [" ann", "ann ", "ann\u{0}", "ann\n"] {
        let answer = world.perform(&world.token(subject), &list, place("acme", "w")).await;
        assert!([401, 403].contains(&answer.status.as_u16()), "{subject:?}: {}", answer.text);
    }
}
