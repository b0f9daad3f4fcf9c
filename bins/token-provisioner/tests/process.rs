//! The binary against an admin listener of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path as FilePath,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::{get, put},
};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
};

/// Tenants and workspaces that are not bound yet; a bound one leaves.
type Unbound = Arc<Mutex<Vec<(&'static str, &'static str)>>>;

/// Tenant, workspace and what it was bound with.
type Bound = (String, String, Value);

#[derive(Clone)]
struct Admin {
    unbound: Unbound,
    bound: mpsc::UnboundedSender<Bound>,
}

impl Admin {
    /// Listens, with these waiting; what is bound comes out of the channel.
    async fn start(unbound: &[(&'static str, &'static str)]) -> (Self, SocketAddr, mpsc::UnboundedReceiver<Bound>) {
        let (bound, seen) = mpsc::unbounded_channel();
        let admin = Self { unbound: Arc::new(Mutex::new(unbound.to_vec())), bound };
        let router = Router::new()
            .route("/admin/v1/workspaces", get(list))
            .route("/admin/v1/tenants/{tenant}/workspaces/{workspace}/providers/hetzner", put(bind))
            .with_state(admin.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (admin, address, seen)
    }

    fn add(&self, tenant: &'static str, workspace: &'static str) {
        self.unbound.lock().unwrap().push((tenant, workspace));
    }
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
        .map(|(tenant, name)| json!({"tenant": tenant, "region": "nbg1", "name": name, "state": "creating", "binding": "none"}))
        .collect();
    (StatusCode::OK, Json(json!({"items": items})))
}

async fn bind(
    State(admin): State<Admin>,
    Path((tenant, workspace)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    assert_eq!(query, [("region".to_owned(), "nbg1".to_owned())]);
    if workspace == "bad" {
        return (StatusCode::CONFLICT, Json(json!({"status": 409, "title": "conflict", "detail": "no"})));
    }
    admin.unbound.lock().unwrap().retain(|waiting| *waiting != (tenant.as_str(), workspace.as_str()));
    admin.bound.send((tenant, workspace, body)).unwrap();
    (StatusCode::OK, Json(json!({"status": "active", "provider": "hetzner"})))
}

fn provisioner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-provisioner"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// SIGTERM, and all that it said.
async fn terminate(child: Child) -> Output {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    child.wait_with_output().await.unwrap()
}

#[tokio::test]
async fn it_binds_what_is_unbound_goes_on_after_a_refusal_and_ends_with_a_signal() {
    let (admin, address, mut seen) = Admin::start(&[("dev", "bad"), ("dev", "web")]).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("hetzner.token");
    fs::write(&token, "hetzner-token\n").unwrap();
    let child = provisioner()
        .env("SECA_ADMIN_TOKEN", "admin-token")
        .env("SECA_ADMIN_BASE_URL", format!("http://{address}/"))
        .env("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE", &token)
        .env("SECA_TOKEN_PROVISIONER_INTERVAL", "50ms")
        .env("HCLOUD_ENDPOINT", "http://127.0.0.1:8082/v1/")
        .env("HCLOUD_PROJECT_REF", "my project")
        .spawn()
        .unwrap();

    let (tenant, workspace, body) = seen.recv().await.unwrap();
    assert_eq!((tenant.as_str(), workspace.as_str()), ("dev", "web"));
    assert_eq!(
        body,
        json!({"apiToken": "hetzner-token", "apiEndpoint": "http://127.0.0.1:8082/v1", "projectRef": "my project"})
    );
    admin.add("dev", "late");
    assert_eq!(seen.recv().await.unwrap().1, "late");

    let output = terminate(child).await;
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

#[tokio::test]
async fn a_level_that_is_none_ends_it_with_2_and_does_not_silence_the_log() {
    let output = provisioner().env("SECA_LOG_LEVEL", "warning").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("SECA_LOG_LEVEL is \"warning\": it must be error, warn, info"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

fn secret(folder: &FilePath, name: &str, text: &str) {
    // In one step, as those do who rotate secrets: it is never read half.
    let beside = folder.join("new");
    fs::write(&beside, text).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(beside, folder.join(name)).unwrap();
}

#[tokio::test]
async fn a_pool_gives_tenants_tokens_of_their_own_and_leaves_the_others_unbound() {
    let (admin, address, mut seen) = Admin::start(&[("acme", "prod-1"), ("acme", "test"), ("stranger", "web")]).await;
    let folder = tempfile::tempdir().unwrap();
    let pool = folder.path().join("pool.json");
    let entries = json!({"tokens": [
        {"tenant": "acme", "workspace": "prod-*", "token_file": "prod.token", "project_ref": "Acme"},
        {"tenant": "acme", "workspace": "*", "token_file": folder.path().join("rest.token")},
    ]});
    fs::write(&pool, entries.to_string()).unwrap();
    secret(folder.path(), "prod.token", "prod-secret\n");
    secret(folder.path(), "rest.token", "rest-secret\n");
    let child = provisioner()
        .env("SECA_ADMIN_TOKEN", "admin-token")
        .env("SECA_ADMIN_BASE_URL", format!("http://{address}/"))
        .env("SECA_TOKEN_PROVISIONER_TOKENS_FILE", &pool)
        .env("SECA_TOKEN_PROVISIONER_INTERVAL", "50ms")
        .env("HCLOUD_PROJECT_REF", "the common one")
        .spawn()
        .unwrap();

    let mut next = async || {
        let (tenant, workspace, body) = seen.recv().await.unwrap();
        (format!("{tenant}/{workspace}"), body)
    };
    let with = |token: &str, project: &str| json!({"apiToken": token, "projectRef": project});
    assert_eq!(next().await, ("acme/prod-1".to_owned(), with("prod-secret", "Acme")));
    assert_eq!(next().await, ("acme/test".to_owned(), with("rest-secret", "the common one")));
    secret(folder.path(), "prod.token", "rotated-secret\n");
    admin.add("acme", "prod-2");
    assert_eq!(next().await, ("acme/prod-2".to_owned(), with("rotated-secret", "Acme")));
    assert_eq!(*admin.unbound.lock().unwrap(), [("stranger", "web")]);

    let output = terminate(child).await;
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("no token of the pool is for this workspace").count(), 1, "{log}");
    assert!(!log.contains("-secret"), "{log}");
}

#[tokio::test]
async fn one_token_and_a_pool_together_end_it_with_2_and_a_sentence() {
    let output = provisioner()
        .env("SECA_ADMIN_TOKEN", "admin-token")
        .env("SECA_TOKEN_PROVISIONER_HETZNER_TOKEN", "hetzner-token")
        .env("SECA_TOKEN_PROVISIONER_TOKENS_FILE", "/etc/pool.json")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("are both set") && text.lines().count() == 1, "{text}");
}
