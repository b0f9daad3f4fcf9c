//! What the tests of whole processes share: processes that end with the test, the simulator and the proxy as
//! processes of their own, a client, and the steps of an instance's life.
//!
//! Everything waits on state with a deadline. Nothing of the shell's environment reaches a process.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

pub mod counting;
pub mod life;
pub mod process;
pub mod proxy;
pub mod signed;
pub mod sim;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use reqwest::{Client, Method};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long anything may take that should take a moment: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again every few milliseconds until there is an answer; panics with `what` after the limit.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", limit.as_secs_f32());
        sleep(Duration::from_millis(20)).await;
    }
}

/// An HTTP client that reads no proxy variables. One per test: connections belong to the test's runtime.
pub fn http() -> reqwest::Client {
    http_builder().build().unwrap()
}

/// The same, to be built with more.
pub fn http_builder() -> reqwest::ClientBuilder {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE)
}

/// Asks for JSON with a token: the status, and the text of the answer.
pub async fn ask(http: &Client, method: Method, url: &str, token: &str, body: Option<&Value>) -> (u16, String) {
    let asked = format!("{method} {url}");
    let mut request = http.request(method, url).bearer_auth(token).header("accept", "application/json");
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The path of a binary of this workspace: ours, or one that cargo brings up to date beside it.
pub fn binary(name: &str) -> PathBuf {
    static OURS: OnceLock<PathBuf> = OnceLock::new();
    static OTHERS: OnceLock<PathBuf> = OnceLock::new();
    let ours = OURS.get_or_init(|| option_env!("CARGO_BIN_EXE_secapi-proxy").map_or_else(build_ours, PathBuf::from));
    if name == "secapi-proxy" {
        return ours.clone();
    }
    let others = ["-p", "hcloud-sim", "-p", "token-provisioner"];
    OTHERS.get_or_init(|| build(ours.parent().unwrap(), &others)).join(name)
}

/// Ours, for an example: cargo built it for tests alone. With the example, so that nothing is built a second time with
/// other features. An example lies one folder below the binaries.
fn build_ours() -> PathBuf {
    let example = std::env::current_exe().unwrap();
    let name = example.file_name().unwrap().to_string_lossy().into_owned();
    let what = ["-p", "secapi-proxy", "--bins", "--example", &name];
    build(example.ancestors().nth(2).unwrap(), &what).join("secapi-proxy")
}

fn build(folder: &Path, what: &[&str]) -> PathBuf {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet"]).args(what);
    cargo.arg("--target-dir").arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    // What cargo tells a program that it runs is not for the cargo that this one runs: build scripts that look at it
    // would be run again, and half of the dependencies be built again, every time.
    let told = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if told.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().expect("cargo can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo build {} failed:\n{errors}", what.join(" "));
    folder.to_path_buf()
}
