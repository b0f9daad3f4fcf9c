//! Tenants, first administrators and named operators, through the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _};

use common::{
    http,
    proxy::{ADMIN_TOKEN, BEARER, Proxy, Setup, TENANT},
};
use reqwest::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::task::JoinSet;

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
    // Who was made what at the start is written down once, like everything that operators do.
    let (_, activity) = admin(&proxy, ADMIN_TOKEN, Method::GET, "/activity?tenant=prod", None).await;
    let column =
        |name: &str| activity["items"].as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("target"), ["tenants/prod/admins/https://id.example.org/ada", "tenants/prod/admins/test"]);
    assert_eq!(column("actor"), ["SECA_BOOTSTRAP_ADMIN"; 2]);
    assert_eq!((column("action"), column("result")), (vec![json!("make-admin"); 2], vec![json!("201"); 2]));
    // Stopping wrote down what the public API had accepted.
    let (_, activity) = admin(&proxy, ADMIN_TOKEN, Method::GET, "/activity?tenant=dev", None).await;
    let row = &activity["items"][0];
    assert_eq!((&row["actor"], &row["action"], &row["result"]), (&json!("test"), &json!("delete"), &json!("202")));
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_opens_a_tenant_that_nobody_administers_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxy = Setup::new(folder.path(), UNUSED).serve().await;
    assert_eq!(admin(&proxy, ADMIN_TOKEN, Method::PUT, "/tenants/new", Some(json!({}))).await.0, StatusCode::CREATED);
    let roles = format!("{}/providers/seca.authorization/v1/tenants/new/role-assignments", proxy.public);
    let asked = async || http().get(&roles).bearer_auth(BEARER).send().await.unwrap().status();
    assert_eq!(asked().await, StatusCode::FORBIDDEN);
    // Several at once make one.
    let path = format!("{}/admin/v1/tenants/new/admins/test", proxy.admin);
    let make = || http().put(&path).bearer_auth(ADMIN_TOKEN).send();
    let asking: JoinSet<_> = (0..8).map(|_| make()).collect();
    let statuses: Vec<_> = asking.join_all().await.into_iter().map(|answer| answer.unwrap().status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CREATED).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 7, "{statuses:?}");
    assert_eq!(asked().await, StatusCode::OK);
    let made = assignments(&proxy, "new").await;
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made[0]["annotations"]["description"].as_str().unwrap().contains("operator default"), "{made:?}");

    // The last one goes, and the operator lets somebody in again.
    let name = made[0]["metadata"]["name"].as_str().unwrap();
    let deleted = http().delete(format!("{roles}/{name}")).bearer_auth(BEARER).send().await.unwrap();
    assert_eq!((deleted.status(), asked().await), (StatusCode::ACCEPTED, StatusCode::FORBIDDEN));
    assert_eq!(make().await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(asked().await, StatusCode::OK);
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_somebody_took_keep_no_administrator_out_silently() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), UNUSED).with("SECA_WRITE_RATE", "off");
    let mut proxy = setup.serve().await;
    let roles = format!("{}/providers/seca.authorization/v1/tenants/{TENANT}/role-assignments", proxy.public);
    let take = async |name: &str| {
        let spec = json!({"spec": {"subs": ["eve"], "scopes": [{}], "roles": ["seca.workspace-viewer"]}});
        let answer = http().put(format!("{roles}/{name}")).bearer_auth(BEARER).json(&spec).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED, "{name}");
    };
    let (bob, carol) = (name_of("bob"), name_of("carol"));
    take(&bob).await;
    take(&carol).await;
    for at in 2..=100 {
        take(&format!("{carol}-{at}")).await;
    }
    proxy.stop().await;

    let named = format!("{TENANT}/test,{TENANT}/carol,{TENANT}/bob");
    let mut proxy = setup.with("SECA_BOOTSTRAP_ADMIN", &named).serve().await;
    let allowed = async |subject: &str| {
        let path = format!("/explain?sub={subject}&method=PUT&path=/v1/tenants/{TENANT}/roles/r");
        admin(&proxy, ADMIN_TOKEN, Method::GET, &path, None).await.1
    };
    let explained = allowed("bob").await;
    assert_eq!(explained["allowed"], true, "{explained}");
    assert_eq!(explained["roles"]["assignments"][0]["roleAssignment"], format!("{bob}-2"));
    assert_eq!(allowed("carol").await["allowed"], false);
    let path = format!("/tenants/{TENANT}/admins/carol");
    let (status, problem) = admin(&proxy, ADMIN_TOKEN, Method::PUT, &path, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains(&format!("{carol}-100")), "{problem}");
    proxy.stop().await;
    let log = proxy.process.output();
    let line = log.lines().find(|line| line.contains("could not be made")).unwrap();
    assert!(line.contains("WARN") && line.contains("carol") && line.contains("are all taken"), "{line}");
}

/// The name of the assignment that makes a subject an administrator.
fn name_of(subject: &str) -> String {
    let hash = digest(&SHA256, subject.as_bytes());
    let short: String = hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("bootstrap-admin-{short}")
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
