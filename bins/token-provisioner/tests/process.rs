//! The binary against an admin listener of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::{get, put},
};
use serde_json::{Value, json};
use tokio::{process::Command, sync::mpsc};

/// The workspaces that are not bound yet; a bound one leaves.
type Unbound = Arc<Mutex<Vec<&'static str>>>;

#[derive(Clone)]
struct Admin {
    unbound: Unbound,
    bound: mpsc::UnboundedSender<(String, Value)>,
}

async fn list(
    State(admin): State<Admin>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    if headers.get("authorization").is_none_or(|value| value != "Bearer admin-token") {
        return (StatusCode::UNAUTHORIZED, Json(json!({"status": 401, "title": "unauthorized"})));
    }
    assert_eq!(query, [("binding".to_owned(), "none".to_owned())]);
    let unbound = admin.unbound.lock().unwrap();
    let items: Vec<Value> = unbound
        .iter()
        .map(|name| json!({"tenant": "dev", "region": "nbg1", "name": name, "state": "creating", "binding": "none"}))
        .collect();
    (StatusCode::OK, Json(json!({"items": items})))
}

async fn bind(
    State(admin): State<Admin>,
    Path((tenant, workspace)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    assert_eq!((tenant.as_str(), query), ("dev", vec![("region".to_owned(), "nbg1".to_owned())]));
    if workspace == "bad" {
        return (StatusCode::CONFLICT, Json(json!({"status": 409, "title": "conflict", "detail": "no"})));
    }
    admin.unbound.lock().unwrap().retain(|name| *name != workspace);
    admin.bound.send((workspace, body)).unwrap();
    (StatusCode::OK, Json(json!({"status": "active", "provider": "hetzner"})))
}

fn provisioner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-provisioner"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn it_binds_what_is_unbound_goes_on_after_a_refusal_and_ends_with_a_signal() {
    let (bound, mut seen) = mpsc::unbounded_channel();
    let admin = Admin { unbound: Arc::new(Mutex::new(vec!["bad", "web"])), bound };
    let router = Router::new()
        .route("/admin/v1/workspaces", get(list))
        .route("/admin/v1/tenants/{tenant}/workspaces/{workspace}/providers/hetzner", put(bind))
        .with_state(admin.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("hetzner.token");
    std::fs::write(&token, "hetzner-token\n").unwrap();
    let child = provisioner()
        .env("SECA_ADMIN_TOKEN", "admin-token")
        .env("SECA_ADMIN_BASE_URL", format!("http://{address}/"))
        .env("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE", &token)
        .env("SECA_TOKEN_PROVISIONER_INTERVAL", "50ms")
        .env("HCLOUD_ENDPOINT", "http://127.0.0.1:8082/v1/")
        .env("HCLOUD_PROJECT_REF", "my project")
        .spawn()
        .unwrap();

    let (workspace, body) = seen.recv().await.unwrap();
    assert_eq!(workspace, "web");
    assert_eq!(
        body,
        json!({"apiToken": "hetzner-token", "apiEndpoint": "http://127.0.0.1:8082/v1", "projectRef": "my project"})
    );
    admin.unbound.lock().unwrap().push("late");
    assert_eq!(seen.recv().await.unwrap().0, "late");

    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("workspace could not be bound") && log.contains("workspace bound"), "{log}");
    assert!(!log.contains("hetzner-token") && !log.contains("admin-token"), "{log}");
}

#[tokio::test]
async fn a_missing_setting_ends_it_with_2_and_a_sentence() {
    let output = provisioner().env("SECA_ADMIN_TOKEN", "admin-token").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN is not set: it must be "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}
