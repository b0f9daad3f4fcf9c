//! Signed tokens, through the real binary: an operator without an identity provider, and an issuer with a JWKS URL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{
    PATIENCE, http,
    proxy::{BEARER, Proxy, Setup, TENANT},
    signed::{ISSUER, answer, issue, issuers, jwt, token},
    until,
};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const UNUSED: &str = "http://127.0.0.1:9/v1";
/// Signs what the command refuses to issue.
fn sign(folder: &Path, header: &Value, claims: &Value) -> String {
    let jwk: Value = serde_json::from_slice(&fs::read(folder.join("key.json")).unwrap()).unwrap();
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let pair = Ed25519KeyPair::from_seed_and_public_key(&member("d"), &member("x")).unwrap();
    let mut header = header.clone();
    header["kid"] = jwk["kid"].clone();
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
}

/// The status of a list of workspaces, and the challenge.
async fn list(proxy: &Proxy, token: Option<&str>) -> (u16, String) {
    let url = format!("{}/providers/seca.workspace/v1/tenants/{TENANT}/workspaces", proxy.public);
    let request = http().get(url);
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    let answer = request.send().await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), challenge)
}

async fn assert_refused(proxy: &Proxy, token: &str, what: &str) {
    let expected = (401, r#"Bearer error="invalid_token""#.to_owned());
    assert_eq!(list(proxy, Some(token)).await, expected, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_an_identity_provider_issues_tokens_and_rotates_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let setup = jwt(Setup::new(folder.path(), UNUSED)).with("SECA_JWKS_FILE", "jwks.json");
    let keygen = |name: &str| answer(&setup, &["token", "keygen", "--out", name]);
    let first = keygen("key.json");
    write("jwks.json", &first);
    write("issuers.json", &issuers(&json!({"keys_file": "jwks.json"})));
    let good = token(&setup, &issue("key.json", ISSUER, "seca"));

    let mut proxy = setup.serve().await;
    assert_eq!(list(&proxy, Some(&good)).await.0, 200);
    let narrow = [&issue("key.json", ISSUER, "seca")[..], &["--tenants", TENANT, "--expires", "24h"]].concat();
    assert_eq!(list(&proxy, Some(&token(&setup, &narrow))).await.0, 200);
    let published = http().get(format!("{}/.well-known/jwks.json", proxy.public)).send().await.unwrap();
    assert_eq!(published.json::<Value>().await.unwrap(), serde_json::from_str::<Value>(&first).unwrap());

    assert_eq!(list(&proxy, None).await, (401, "Bearer".to_owned()));
    assert_refused(&proxy, &token(&setup, &issue("key.json", "https://other.example.org", "seca")), "issuer").await;
    assert_refused(&proxy, &token(&setup, &issue("key.json", ISSUER, "other")), "audience").await;
    let claims = json!({"iss": ISSUER, "aud": "seca", "sub": "ada", "exp": 4_000_000_000_u64});
    let sign = |header: Value, claims: &Value| sign(folder.path(), &header, claims);
    assert_eq!(list(&proxy, Some(&sign(json!({"alg": "EdDSA"}), &claims))).await.0, 200);
    let mut expired = claims.clone();
    expired["exp"] = json!(1_600_000_000);
    assert_refused(&proxy, &sign(json!({"alg": "EdDSA"}), &expired), "expired").await;
    assert_refused(&proxy, &sign(json!({"alg": "none"}), &claims), "alg none").await;
    assert_refused(&proxy, &sign(json!({"alg": "HS256"}), &claims), "alg HS256").await;
    assert_refused(&proxy, &sign(json!({"alg": "EdDSA", "crit": ["x"]}), &claims), "crit").await;
    assert_refused(&proxy, &format!("{good}x"), "signature").await;
    assert_refused(&proxy, BEARER, "an opaque token").await;

    // A new key joins, and the former one goes: without a restart.
    let both = |one: &str, two: &str| {
        let keys = [one, two].map(|text| serde_json::from_str::<Value>(text).unwrap()["keys"][0].clone());
        json!({"keys": keys}).to_string()
    };
    let second = keygen("key-2.json");
    write("jwks.json", &both(&first, &second));
    let new = token(&setup, &issue("key-2.json", ISSUER, "seca"));
    let passes = async |token: &str, expected: u16| {
        until("the keys of the changed file", PATIENCE, async || {
            (list(&proxy, Some(token)).await.0 == expected).then_some(())
        })
        .await;
    };
    passes(&new, 200).await;
    assert_eq!(list(&proxy, Some(&good)).await.0, 200);
    write("jwks.json", &second);
    passes(&good, 401).await;
    assert_eq!(list(&proxy, Some(&new)).await.0, 200);
    assert_eq!(proxy.stop().await, Some(0));
    let said = proxy.process.output();
    assert!(!said.contains(&good) && !said.contains(&new), "no token is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_and_the_tokens_stay_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), UNUSED);
    let jwks = answer(&setup, &["token", "keygen", "--out", "key.json"]);
    assert!(!jwks.contains("\"d\""), "{jwks}");
    let secret: Value = serde_json::from_slice(&fs::read(folder.path().join("key.json")).unwrap()).unwrap();
    let secret = secret["d"].as_str().unwrap();
    fs::write(folder.path().join("jwks.json"), &jwks).unwrap();
    fs::write(folder.path().join("issuers.json"), issuers(&json!({"keys_file": "jwks.json"}))).unwrap();
    let good = token(&setup, &issue("key.json", ISSUER, "seca"));
    fs::write(folder.path().join("good"), format!("{good}\n")).unwrap();
    fs::write(folder.path().join("other"), token(&setup, &issue("key.json", ISSUER, "other"))).unwrap();
    let endless = json!({"iss": ISSUER, "aud": "seca", "sub": "ada", "exp": 253_402_300_799_u64});
    fs::write(folder.path().join("endless"), sign(folder.path(), &json!({"alg": "EdDSA"}), &endless)).unwrap();
    fs::write(folder.path().join("garbage"), "t0p-secret").unwrap();
    fs::write(folder.path().join("broken.json"), "{}").unwrap();

    let long = [&issue("key.json", ISSUER, "seca")[..], &["--expires", "25h"]].concat();
    let table: &[(&[&str], i32, &[&str])] = &[
        (&["token", "keygen", "--out", "key.json"], 2, &["exists already"]),
        (&["token", "keygen", "--out", "nowhere/key.json"], 2, &["cannot be written"]),
        (&issue("missing.json", ISSUER, "seca"), 2, &["missing.json", "keygen"]),
        (&issue("jwks.json", ISSUER, "seca"), 2, &["jwks.json"]),
        (&issue("key.json", ISSUER, ""), 2, &["--audience"]),
        (&long, 2, &["24h"]),
        (&["token", "inspect", "--file", "good"], 0, &["\"EdDSA\"", "\"ada\"", "not verified"]),
        (&["token", "inspect", "--file", "good", "--issuers", "issuers.json"], 0, &["valid: subject ada, until"]),
        (
            &["token", "inspect", "--file", "endless", "--issuers", "issuers.json"],
            0,
            &["until 9999-12-31T23:59:59.999Z"],
        ),
        (&["token", "inspect", "--file", "other", "--issuers", "issuers.json"], 1, &["invalid", "`aud`"]),
        (&["token", "inspect", "--file", "garbage"], 2, &["no signed JWT"]),
        (&["token", "inspect", "--file", "missing"], 2, &["cannot be read"]),
        (&["token", "inspect", "--file", "good", "--issuers", "broken.json"], 2, &["broken.json", "must be like"]),
        (&["token", "inspect", &good], 2, &["a token is no argument"]),
        (&["token", "issue", "--help"], 0, &["Examples", "--expires", "Exit codes"]),
    ];
    for (arguments, code, parts) in table {
        let (got, said) = setup.run(arguments);
        assert_eq!(got, Some(*code), "{arguments:?}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
        for hidden in [secret, "t0p-secret", &good] {
            assert!(!said.contains(hidden), "{arguments:?}: {said}");
        }
    }
    // From the standard input, too.
    let mut command = setup.command(&["token", "inspect"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(good.as_bytes()).unwrap();
    assert!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().contains("\"ada\""));
}

/// An issuer's key URL: answers with what it holds, or with 500 while it holds nothing.
#[derive(Clone, Default)]
struct KeyUrl {
    keys: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl KeyUrl {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                this.asked.fetch_add(1, Ordering::SeqCst);
                let answer = match this.keys.lock().unwrap().as_deref() {
                    Some(keys) => format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{keys}"),
                    None => "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n".to_owned(),
                };
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        });
        url
    }

    fn publish(&self, keys: &str) {
        *self.keys.lock().unwrap() = Some(keys.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_does_not_answer_passes_nobody_and_its_keys_hold_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let setup = jwt(Setup::new(folder.path(), UNUSED));
    let keys = answer(&setup, &["token", "keygen", "--out", "key.json"]);
    let good = token(&setup, &issue("key.json", ISSUER, "seca"));
    let url = KeyUrl::default();
    fs::write(folder.path().join("issuers.json"), issuers(&json!({"jwks_url": url.listen().await}))).unwrap();
    let (_, said) = setup.run(&["doctor"]);
    assert!(said.contains("gives no keys"), "{said}");
    let mut proxy = setup.serve().await;
    assert_eq!(list(&proxy, Some(&good)).await, (503, String::new()));
    assert_refused(&proxy, BEARER, "what is no token needs no keys").await;
    url.publish(&keys);
    until("the keys", PATIENCE, async || (list(&proxy, Some(&good)).await.0 == 200).then_some(())).await;

    // A flood of garbage keys asks at most once in ten seconds, and holds nobody else up.
    let asked = url.asked.load(Ordering::SeqCst);
    for at in 0..200 {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": format!("garbage-{at}")}).to_string());
        assert_refused(&proxy, &format!("{header}{}", &good[good.find('.').unwrap()..]), "garbage").await;
    }
    assert!(url.asked.load(Ordering::SeqCst) <= asked + 2, "200 garbage keys reached the issuer");
    *url.keys.lock().unwrap() = None;
    assert_eq!(list(&proxy, Some(&good)).await.0, 200, "the former keys go on");
    assert_eq!(proxy.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_static_token_ends_without_a_restart_and_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxy = Setup::new(folder.path(), UNUSED).serve().await;
    let tokens = folder.path().join("tokens.json");
    assert_eq!(list(&proxy, Some(BEARER)).await.0, 200);
    fs::write(&tokens, "{").unwrap();
    let logged = || proxy.process.output().contains("the changed file is not used");
    // It is looked at when a token comes.
    until("the broken file", PATIENCE, async || {
        assert_eq!(list(&proxy, Some(BEARER)).await.0, 200);
        logged().then_some(())
    })
    .await;
    let other = format!(r#"{{"tokens": [{{"sha256": "{}", "subject": "other"}}]}}"#, "0".repeat(64));
    fs::write(&tokens, other).unwrap();
    until("the withdrawal", PATIENCE, async || (list(&proxy, Some(BEARER)).await.0 == 401).then_some(())).await;
    assert_eq!(proxy.stop().await, Some(0));
}
