//! The provisioner as a process of its own: settings from the environment, work until a signal.
#![allow(clippy::print_stderr, reason = "settings are judged before there is a log")]

use std::{
    hash::{BuildHasher as _, RandomState},
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use ::settings::{Environment, Problem, Rule, parse_log_filter};
use clap::Parser;
use token_provisioner::{AdminSettings, Jitter, Provisioner, Settings, settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Binds workspaces that wait for a Hetzner Cloud token.
///
/// It asks the proxy's admin API for workspaces that were never bound and binds each to a project: one for all, or by
/// tenant and workspace. A workspace whose token was removed on purpose is left alone.
#[derive(Parser)]
#[command(name = "token-provisioner", version, after_help = HELP)]
struct Arguments {}

const HELP: &str = r#"Settings (environment; secrets also from the file that NAME_FILE names):
  SECA_TOKEN_PROVISIONER_HETZNER_TOKEN  a read-write API token of the project; required, secret
  SECA_TOKEN_PROVISIONER_TOKENS_FILE    instead of it: a JSON file that maps tenants and workspaces to token files
  SECA_ADMIN_TOKEN                      the proxy's admin token; required, secret
  SECA_ADMIN_BASE_URL                   the proxy's admin listener [http://127.0.0.1:8081]
  SECA_CA_FILE                          authorities of its certificate, in PEM [Mozilla's]
  SECA_TENANTS                          only these tenants: dev,prod [all]
  SECA_TOKEN_PROVISIONER_INTERVAL       pause between two looks: 1, 0.5s, 500ms [1]
  HCLOUD_ENDPOINT                       the API that bindings insist on [the proxy's own]
  HCLOUD_PROJECT_REF                    a note of which project it is
  SECA_LOG_LEVEL                        error, warn, info, debug or trace [info]
  SECA_PUBLIC_BASE_URL                  accepted and not used

Example:
  SECA_ADMIN_TOKEN_FILE=admin.token SECA_TOKEN_PROVISIONER_HETZNER_TOKEN_FILE=hetzner.token token-provisioner

A tokens file; the first entry that matches counts, * stands for anything, and a workspace without one stays unbound:
  {"tokens": [{"tenant": "acme", "workspace": "prod-*", "token_file": "/run/secrets/acme-prod"},
              {"tenant": "acme", "workspace": "*", "token_file": "/run/secrets/acme"}]}

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 failed, 2 a setting is missing or wrong."#;

const LOG_LEVEL: Rule =
    Rule { name: "SECA_LOG_LEVEL", rule: "error, warn, info, debug or trace, also per module", example: "info" };

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    let environment = Environment::of_process();
    let level = environment.get("SECA_LOG_LEVEL").unwrap_or("info");
    let Some(filter) = parse_log_filter(level) else {
        eprintln!("{}", Problem::wrong("SECA_LOG_LEVEL", LOG_LEVEL, level));
        return ExitCode::from(2);
    };
    let (settings, admin, notes) = match settings::from_environment(&environment) {
        Ok(settings) => settings,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    notes.iter().for_each(|note| info!("{note}"));
    match run(settings, admin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("token-provisioner: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(settings: Settings, admin: AdminSettings) -> anyhow::Result<()> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancel = CancellationToken::new();
    let base_url = admin.base_url.clone();
    let client = admin.client()?;
    info!(admin = %base_url, "looking for workspaces that wait for a token");
    let work = tokio::spawn(Provisioner::new(client, settings, jitter()).run(cancel.clone()));
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    info!("stopping");
    cancel.cancel();
    work.await?;
    Ok(())
}

/// Chance for pauses: what the standard library seeds its hash maps with. Nothing secret hangs on it.
fn jitter() -> Jitter {
    Box::new(|| {
        let drawn = RandomState::new().hash_one(());
        f64::from((drawn >> 32) as u32) / f64::from(u32::MAX)
    })
}
