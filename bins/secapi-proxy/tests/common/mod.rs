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

/// The path of a binary of this workspace. Cargo brings it up to date, but for ours in a test, which cargo built before.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let ours = option_env!("CARGO_BIN_EXE_secapi-proxy").map(Path::new);
    match ours {
        Some(ours) if name == "secapi-proxy" => ours.to_path_buf(),
        Some(ours) => BUILT.get_or_init(|| build(ours.parent().unwrap(), &[])).join(name),
        // An example lies one folder below the binaries.
        None => BUILT
            .get_or_init(|| {
                let example = std::env::current_exe().unwrap();
                build(example.ancestors().nth(2).unwrap(), &["-p", "secapi-proxy", "--bins"])
            })
            .join(name),
    }
}

fn build(folder: &Path, more: &[&str]) -> PathBuf {
    let folder = folder.to_path_buf();
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "hcloud-sim", "-p", "token-provisioner"]).args(more);
    cargo.arg("--target-dir").arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo can be run");
    assert!(output.status.success(), "the simulator cannot be built:\n{}", String::from_utf8_lossy(&output.stderr));
    folder
}
