//! `secapi-proxy serve`: from settings to a running proxy, until a signal.

use std::path::Path;

use ::settings::files;
use anyhow::Context as _;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::{LogConfig, ServeConfig},
    database,
    edge::SystemRng,
    proxy::Proxy,
};

/// Where a process listens, for scripts: what `--ready-file` holds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ready {
    pub(crate) public: String,
    pub(crate) admin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_token_file: Option<String>,
    pub(crate) pid: u32,
}

impl Ready {
    /// Of a proxy alone.
    pub(crate) fn of(proxy: &Proxy) -> Self {
        Self { public: proxy.public.clone(), admin: proxy.admin.clone(), pid: std::process::id(), ..Self::default() }
    }

    /// Writes the file in one step: whoever waits for it never reads half of it.
    pub(crate) fn write(&self, path: Option<&Path>) -> anyhow::Result<()> {
        let Some(path) = path else { return Ok(()) };
        let text = serde_json::to_string_pretty(self)?;
        files::replace(path, format!("{text}\n").as_bytes(), 0o644)
            .with_context(|| format!("the ready file {} cannot be written", path.display()))
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(config: ServeConfig, log: LogConfig, ready_file: Option<&Path>) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    config.notes.iter().for_each(|note| tracing::warn!("{note}"));
    let store = database::open(&config.database_url, database::Prepare::IfEmpty).await?;
    let mut proxy = Proxy::start(&config, &store, SystemRng::new(), None).await?;
    let ready = Ready::of(&proxy);
    // With JSON the first line is JSON already, and the log tells the same.
    if !log.json {
        println!("secapi-proxy listens: public {}, admin {}", ready.public, ready.admin);
    }
    ready.write(ready_file)?;
    tokio::select! {
        () = signals.next() => {}
        () = proxy.failed() => anyhow::bail!("a part of the proxy ended that must not; see the log"),
    }
    proxy.stop().await;
    store.close().await;
    Ok(())
}

/// The signals that end a process.
pub(crate) struct Signals {
    terminated: Signal,
    interrupted: Signal,
}

impl Signals {
    /// Listens for them from now on.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Self { terminated: listen(SignalKind::terminate())?, interrupted: listen(SignalKind::interrupt())? })
    }

    /// Waits for one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminated.recv() => {}
            _ = self.interrupted.recv() => {}
        }
    }
}
