//! The server that the demo talks to: a named one, a running `dev`, or a `dev` of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{Arguments, http, steps::Steps};

/// How long a `dev` may take to be ready, and to stop.
const DEV_PATIENCE: Duration = Duration::from_secs(20);

/// A server, and what is known of it.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) token: Option<SecretString>,
    pub(crate) simulator: Option<Door>,
    own: Option<Own>,
}

/// Where the simulator is, and the token of the simulated project, which its own door does not need.
pub(crate) struct Door {
    pub(crate) url: String,
    pub(crate) token: Option<SecretString>,
}

/// A `dev` that the demo started.
struct Own {
    child: Child,
    folder: TempDir,
}

/// What `dev` writes when it is ready.
#[derive(Deserialize)]
struct Ready {
    public: String,
    sim: String,
    token_file: PathBuf,
}

impl Server {
    /// The server that the flags mean.
    pub(crate) async fn find(arguments: &Arguments, steps: &mut Steps) -> anyhow::Result<Self> {
        if let Some(url) = &arguments.url {
            let token = arguments.token_file.as_deref().map(read_token).transpose()?;
            steps.say(format!("Using {url}"));
            let sim_token = arguments.sim_token_file.as_deref().map(read_token).transpose()?;
            let simulator = arguments.sim.clone().map(|url| Door { url, token: sim_token });
            return Ok(Self { url: url.clone(), token, simulator, own: None });
        }
        if !arguments.own
            && let Some(server) = Self::running(&arguments.dir).await
        {
            steps.say(format!("Using the dev server at {}", server.url));
            return Ok(server);
        }
        Self::start(steps).await
    }

    /// The `dev` of a folder, if it is alive.
    async fn running(folder: &Path) -> Option<Self> {
        let server = Self::ready(&folder.join("ready.json"), None).ok()?;
        let client = http::client(Duration::from_secs(2), true).ok()?;
        let answer = client.get(format!("{}/readyz", server.url)).send().await.ok()?;
        answer.status().is_success().then_some(server)
    }

    fn ready(path: &Path, own: Option<Own>) -> anyhow::Result<Self> {
        let ready: Ready = serde_json::from_str(&fs::read_to_string(path)?)?;
        let token = Some(read_token(&ready.token_file)?);
        // `dev` keeps its tokens in one folder.
        let sim_token = read_token(&ready.token_file.with_file_name("sim.token"))?;
        let simulator = Some(Door { url: ready.sim, token: Some(sim_token) });
        Ok(Self { url: ready.public, token, simulator, own })
    }

    async fn start(steps: &mut Steps) -> anyhow::Result<Self> {
        steps.say("No dev server runs: starting one on free ports");
        let binary = steps.run("build secapi-proxy", |_| async { Ok((build().await?, String::new())) }).await?;
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("dev.log"))?;
        let ready = folder.path().join("ready.json");
        let child = Command::new(&binary)
            .args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--sim-listen", "127.0.0.1:0"])
            .arg("--dir")
            .arg(folder.path().join("state"))
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let mut own = Own { child, folder };
        steps
            .run("start secapi-proxy dev", |_| async {
                own.wait(&ready).await?;
                let server = Self::ready(&ready, Some(own))?;
                let url = server.url.clone();
                Ok((server, url))
            })
            .await
    }

    /// Stops the demo's own server, which must end well.
    pub(crate) async fn stop(self, steps: &mut Steps) -> anyhow::Result<()> {
        let Some(mut own) = self.own else { return Ok(()) };
        steps
            .run("stop secapi-proxy dev", |_| async {
                let status = own.interrupt().await?;
                if status.success() { Ok(((), String::new())) } else { bail!("it ended with {status}\n{}", own.log()) }
            })
            .await
    }

    /// Stops it after a failure, and adds what it logged.
    pub(crate) async fn abandon(self, error: anyhow::Error) -> anyhow::Error {
        let Some(mut own) = self.own else { return error };
        drop(own.interrupt().await);
        let log = own.log();
        if log.is_empty() { error } else { anyhow::anyhow!("{error:#}\n\nThe server's log ends with:\n{log}") }
    }
}

impl Own {
    async fn wait(&mut self, ready: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + DEV_PATIENCE;
        while !ready.exists() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("it was not ready after {} s\n{}", DEV_PATIENCE.as_secs(), self.log());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ctrl-C.
    async fn interrupt(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        if let Some(id) = self.child.id() {
            Command::new("kill").args(["-INT", &id.to_string()]).status().await.context("kill cannot be run")?;
        }
        let ended = tokio::time::timeout(DEV_PATIENCE, self.child.wait()).await;
        Ok(ended.with_context(|| format!("it had not ended after {} s", DEV_PATIENCE.as_secs()))??)
    }

    /// The end of its output.
    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("dev.log")).unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR") || line.starts_with("secapi-proxy:"))
            .collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

fn read_token(path: &Path) -> anyhow::Result<SecretString> {
    let text = fs::read_to_string(path).with_context(|| format!("the token file {} cannot be read", path.display()))?;
    Ok(text.trim().into())
}

/// The binary beside this example, built now, so that the demo never shows an old one.
async fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--bin", "secapi-proxy", "--manifest-path", manifest]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What cargo tells this program of itself makes build scripts run again, and dependencies be built again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // Its progress, and what it finds wrong, are for the person who waits.
    let built = command.stdin(Stdio::null()).status().await.context("cargo cannot be run")?;
    if !built.success() {
        bail!("the build failed; cargo says why above");
    }
    let example = std::env::current_exe()?;
    let folder = example.ancestors().nth(2).context("this example is in no target folder")?;
    Ok(folder.join("secapi-proxy"))
}
