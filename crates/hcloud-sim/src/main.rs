//! `hcloud-sim`: the simulator as a server.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its terminal")]

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use hcloud_sim::{CoreConfig, SeedProject, Sim, SimClock, SimConfig, serve};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The Hetzner Cloud API, simulated: stateful, with actions that take time, and faults on request.
#[derive(Parser)]
#[command(version, after_long_help = EXAMPLE)]
struct Arguments {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, default_value = "127.0.0.1:8082", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// How long actions take: 0 is instant, 1 lifelike (a server takes 25 s). The rate limit refills faster by the same
    /// factor
    #[arg(long, default_value_t = 0.05, value_parser = speed, value_name = "FACTOR")]
    speed: f64,

    /// Keep the state in this file over restarts; without it, it is lost at the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// The file with the token of the project "default"; made with a random token when it is not there
    #[arg(long, default_value = ".sim/token", value_name = "FILE")]
    token_file: PathBuf,

    /// Repeats jitter, addresses and invented names; random when not given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Cut per_page above 50 to 50 instead of refusing it
    #[arg(long)]
    clamp_per_page: bool,
}

const EXAMPLE: &str = "\
Example:
  hcloud-sim --speed 0.1 --state .sim/state.json
  export HCLOUD_ENDPOINT=http://127.0.0.1:8082/v1 HCLOUD_TOKEN=$(cat .sim/token)
  hcloud server create --name web --type cx23 --image ubuntu-24.04
  curl -s http://127.0.0.1:8082/_sim/journal      # every call that was made
  curl -s http://127.0.0.1:8082/_sim/inventory    # every object that is there";

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.0..=100.0).contains(&speed) => Ok(speed),
        _ => Err("must be a number from 0 (instant) over 1 (lifelike) to 100, such as 0.1".to_owned()),
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let token = token(&arguments.token_file)?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("--listen {}: cannot listen there; choose another port, or 0", arguments.listen))?;
    let address = listener.local_addr()?;
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => u64::from_ne_bytes(random()?),
    };
    let sim = Sim::new(SimConfig {
        core: CoreConfig {
            speed: arguments.speed,
            seed,
            clamp_per_page: arguments.clamp_per_page,
            base_url: format!("http://{address}/v1"),
            ..CoreConfig::default()
        },
        state_file: arguments.state.clone(),
        projects: vec![SeedProject { name: "default".to_owned(), token, read_only_token: None }],
        clock: SimClock::system(),
    })?;
    if !address.ip().is_loopback() {
        eprintln!("warning: {address} is not loopback, and /_sim asks for no token: whoever reaches it controls it");
    }
    println!("hcloud-sim listens on http://{address}/v1");
    println!("  token of project \"default\": in {}", arguments.token_file.display());
    println!("  speed {}, seed {seed}, control at http://{address}/_sim", arguments.speed);
    std::io::stdout().flush()?;
    let shutdown = CancellationToken::new();
    tokio::spawn(stop_on_signal(shutdown.clone()));
    serve(listener, sim, shutdown).await?;
    Ok(())
}

async fn stop_on_signal(shutdown: CancellationToken) {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        _ = interrupt => {}
        () = terminate => {}
    }
    shutdown.cancel();
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("/dev/urandom: cannot be read")?;
    Ok(bytes)
}

/// The token in the file; a fresh file with a random one of 64 characters when there is none.
fn token(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            bail!("--token-file {}: is empty; delete it to get a new token", path.display())
        }
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("--token-file {}: cannot be read", path.display())),
    }
    let token: String = random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    write_secret(path, &token).with_context(|| format!("--token-file {}: cannot be written", path.display()))?;
    Ok(token)
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
