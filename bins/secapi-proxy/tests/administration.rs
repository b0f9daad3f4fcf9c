//! Tenants, first administrators and named operators, through the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _};

use common::{
    http,
    proxy::{ADMIN_TOKEN, BEARER, Proxy, Setup},
};
use reqwest::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

const UNUSED: &str = "http://127.0.0.1:9/v1";

async fn admin(proxy: &Proxy, token: &str, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = http().request(method, format!("{}/admin/v1{path}", proxy.admin)).bearer_auth(token);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn assignments(proxy: &Proxy, tenant: &str) -> Vec<Value> {
    let url = format!("{}/providers/seca.authorization/v1/tenants/{tenant}/role-assignments", proxy.public);
    let list: Value = http().get(url).bearer_auth(BEARER).send().await.unwrap().json().await.unwrap();
    list["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_the_settings_is_made_an_administrator_once() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), UNUSED)
        .with("SECA_TENANTS", "dev,prod:late")
        .with("SECA_BOOTSTRAP_ADMIN", "dev/test,prod/test,prod/https://id.example.org/ada");
    let mut proxy = setup.serve().await;
    let made = assignments(&proxy, "prod").await;
    let subjects: Vec<_> = made.iter().map(|made| made["spec"]["subs"][0].as_str().unwrap()).collect();
    assert!(subjects.contains(&"test") && subjects.contains(&"https://id.example.org/ada"), "{made:?}");
    assert_eq!(made[0]["spec"]["roles"], json!(["seca.admin"]));
    assert!(made[0]["annotations"]["description"].as_str().unwrap().contains("SECA_BOOTSTRAP_ADMIN"), "{made:?}");

    // One that an administrator takes back stays away.
    let url = format!("{}/providers/seca.authorization/v1/tenants/dev/role-assignments", proxy.public);
    let name = assignments(&proxy, "dev").await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("bootstrap-admin-"), "{name}");
    let explain = "/explain?sub=test&method=PUT&path=/v1/tenants/dev/roles/r";
    assert_eq!(admin(&proxy, ADMIN_TOKEN, Method::GET, explain, None).await.1["allowed"], true);
    let deleted = http().delete(format!("{url}/{name}")).bearer_auth(BEARER).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    assert_eq!(proxy.stop().await, Some(0));

    let mut proxy = setup.serve().await;
    assert_eq!(admin(&proxy, ADMIN_TOKEN, Method::GET, explain, None).await.1["allowed"], false);
    // Stopping wrote down what the public API had accepted.
    let (_, activity) = admin(&proxy, ADMIN_TOKEN, Method::GET, "/activity?tenant=dev", None).await;
    let row = &activity["items"][0];
    assert_eq!((&row["actor"], &row["action"], &row["result"]), (&json!("test"), &json!("delete"), &json!("202")));
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_of_a_tenant_that_is_nowhere_is_a_wrong_setting() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), UNUSED).with("SECA_BOOTSTRAP_ADMIN", "ghost/test");
    let (code, said) = setup.run(&["serve"]);
    assert_eq!(code, Some(2), "{said}");
    let sentence = said.lines().find(|line| line.starts_with("SECA_BOOTSTRAP_ADMIN=ghost/test")).unwrap();
    assert!(sentence.contains("there is no tenant `ghost`") && sentence.contains("for example"), "{sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_tokens_and_names_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admins.json");
    let hash: String = digest(&SHA256, b"alice-token").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, json!({"tokens": [{"name": "alice", "sha256": hash}]}).to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let setup = Setup::new(folder.path(), UNUSED)
        .without("SECA_ADMIN_TOKEN")
        .with("SECA_ADMIN_TOKENS_FILE", path.to_str().unwrap());
    let mut proxy = setup.serve().await;
    let refused = admin(&proxy, ADMIN_TOKEN, Method::GET, "/tenants", None).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    let made = admin(&proxy, "alice-token", Method::PUT, "/tenants/new", Some(json!({}))).await;
    assert_eq!(made.0, StatusCode::CREATED);
    let (_, activity) = admin(&proxy, "alice-token", Method::GET, "/activity", None).await;
    assert_eq!(activity["items"][0]["actor"], "alice");
    proxy.stop().await;
    let log = proxy.process.output();
    assert!(log.contains("subject=\"alice\"") && !log.contains("alice-token"), "{log}");
}
