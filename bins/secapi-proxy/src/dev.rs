//! `secapi-proxy dev`: simulator, proxy, database and provisioner in one process.
//!
//! It reads no settings but its flags, so that a shell prepared for the real cloud cannot leak into it, and keeps
//! everything in one folder: delete the folder to begin anew.

mod guide;

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ::settings::files;
use anyhow::{Context as _, bail};
use control_plane::ports::Rng as _;
use hcloud_sim::{CoreConfig, SeedProject, Sim, SimClock, SimConfig};
use ring::digest::{SHA256, digest};
use seca_client::AdminClient;
use secrecy::{ExposeSecret as _, SecretString};
use token_provisioner::Provisioner;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    address::local_url,
    cli::DevArgs,
    config, database,
    edge::SystemRng,
    proxy::{Proxy, listen},
    serve::{Ready, Signals},
    settings::{Setting, Settings},
};

/// The simulated project that all workspaces share.
const PROJECT: &str = "dev";

/// How often the provisioner looks for new workspaces: soon enough that nobody waits for it.
const PROVISIONER_INTERVAL: Duration = Duration::from_millis(100);

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(arguments: DevArgs) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let rng = SystemRng::new();
    let folder = Folder::open(&arguments.dir, &rng)?;

    let simulator = Simulator::start(&arguments, &folder).await?;
    let config = match config::serve(&settings(&arguments, &folder, simulator.address)) {
        Ok(config) => config,
        Err(problems) => bail!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    };
    config.notes.iter().for_each(|note| tracing::warn!("{note}"));
    let store = database::open(&config.database_url, database::Prepare::Always).await?;
    let mut proxy = Proxy::start(&config, &store, rng.clone(), Some(&folder.hetzner_token)).await?;
    let provisioner = Task::provisioner(&proxy, &folder, rng)?;

    let ready = Ready {
        sim: Some(local_url("http", simulator.address)),
        token_file: Some(absolute(&folder.path("token"))?),
        admin_token_file: Some(absolute(&folder.path("admin.token"))?),
        ..Ready::of(&proxy)
    };
    // Found by the demo, and by whoever knows the folder.
    let found = folder.path("ready.json");
    ready.write(Some(&found))?;
    ready.write(arguments.ready_file.as_deref())?;
    print!("{}", guide::text(&ready, &std::path::absolute(&arguments.dir)?, first_tenant(&arguments.tenants)));
    let result = tokio::select! {
        () = signals.next() => Ok(()),
        () = proxy.failed() => Err(anyhow::anyhow!("a part of the proxy ended that must not; see the log")),
    };
    println!("\nstopping");
    drop(fs::remove_file(found));
    provisioner.stop().await;
    proxy.stop().await;
    store.close().await;
    simulator.task.stop().await;
    result
}

/// The settings of the proxy inside. What is not named here has its default.
fn settings(arguments: &DevArgs, folder: &Folder, simulator: SocketAddr) -> Settings {
    let mut values = vec![
        (Setting::ListenAddr, arguments.listen.to_string()),
        (Setting::AdminListenAddr, arguments.admin_listen.to_string()),
        (Setting::DatabaseUrl, sqlite_url(&folder.path("secapi.db"))),
        (Setting::AdminToken, folder.admin_token.expose_secret().to_owned()),
        (Setting::CredentialsKey, folder.credentials_key.expose_secret().to_owned()),
        (Setting::AuthMode, "static".to_owned()),
        (Setting::AuthTokensFile, folder.path("tokens.json").display().to_string()),
        (Setting::Tenants, arguments.tenants.clone()),
        (Setting::ProviderEndpoint, format!("{}/v1", local_url("http", simulator))),
        // The simulated cloud costs nothing.
        (Setting::InternetGatewayNatVm, "true".to_owned()),
        // Whoever uses it is alone with it.
        (Setting::WriteRate, "off".to_owned()),
        (Setting::ReadRate, "off".to_owned()),
        // One process on one machine: after a crash the next one need not wait long.
        (Setting::LeaseTtl, "2s".to_owned()),
        (Setting::BootstrapAdmin, admins(&arguments.tenants)),
    ];
    values.extend(arguments.regions.clone().map(|regions| (Setting::Regions, regions)));
    values.extend(arguments.public_base_url.clone().map(|url| (Setting::PublicBaseUrl, url)));
    Settings::of(values)
}

/// The subject of the bearer token, an administrator of all tenants.
const SUBJECT: &str = "dev";

fn admins(tenants: &str) -> String {
    let names = tenants.split(',').map(|tenant| tenant.split(':').next().unwrap_or_default().trim());
    names.map(|name| format!("{name}/{SUBJECT}")).collect::<Vec<_>>().join(",")
}

/// The name of the first tenant of a list that was read before.
fn first_tenant(tenants: &str) -> &str {
    tenants.split([',', ':']).next().unwrap_or_default().trim()
}

/// In a URL, a percent sign and a question mark mean something else than in a path.
fn sqlite_url(path: &Path) -> String {
    format!("sqlite:{}", path.display().to_string().replace('%', "%25").replace('?', "%3F"))
}

fn absolute(path: &Path) -> anyhow::Result<String> {
    Ok(std::path::absolute(path)?.display().to_string())
}

/// The folder: what it holds, made once, and the lock that keeps a second process out.
struct Folder {
    path: PathBuf,
    credentials_key: SecretString,
    admin_token: SecretString,
    hetzner_token: SecretString,
    _lock: File,
}

impl Folder {
    fn open(path: &Path, rng: &SystemRng) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("the folder {shown} cannot be made; choose another with --dir"))?;
        let lock = File::create(path.join("lock")).with_context(|| format!("the folder {shown} cannot be written"))?;
        if lock.try_lock().is_err() {
            bail!("another `secapi-proxy dev` uses the folder {shown}; stop it, or choose another folder with --dir");
        }
        let secret = |name: &str, make: &dyn Fn() -> String| -> anyhow::Result<SecretString> {
            let path = path.join(name);
            let text = files::secret_once(&path, make).with_context(|| format!("{} cannot be used", path.display()))?;
            Ok(text.into())
        };
        let credentials_key = secret("credentials.key", &|| {
            let mut key = [0; 32];
            rng.fill(&mut key);
            config::base64(&key)
        })?;
        let admin_token = secret("admin.token", &|| rng.token(32))?;
        let hetzner_token = secret("sim.token", &|| rng.token(32))?;
        let bearer = secret("token", &|| rng.token(32))?;
        files::replace(&path.join("tokens.json"), token_file(&bearer).as_bytes(), 0o600)?;
        Ok(Self { path: path.to_owned(), credentials_key, admin_token, hetzner_token, _lock: lock })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The token file of the public listener: hashes alone.
fn token_file(bearer: &SecretString) -> String {
    let hash = digest(&SHA256, bearer.expose_secret().as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{\"tokens\": [{{\"sha256\": \"{hex}\", \"subject\": \"{SUBJECT}\"}}]}}\n")
}

struct Simulator {
    address: SocketAddr,
    task: Task,
}

impl Simulator {
    async fn start(arguments: &DevArgs, folder: &Folder) -> anyhow::Result<Self> {
        let listener = listen(arguments.sim_listen, "the simulator", "--sim-listen").await?;
        let address = listener.local_addr()?;
        let sim = Sim::new(SimConfig {
            core: CoreConfig {
                speed: arguments.sim_speed,
                base_url: format!("{}/v1", local_url("http", address)),
                ..CoreConfig::default()
            },
            state_file: Some(folder.path("sim.json")),
            projects: vec![SeedProject {
                name: PROJECT.to_owned(),
                token: folder.hetzner_token.expose_secret().to_owned(),
                read_only_token: None,
            }],
            clock: SimClock::system(),
        })?;
        let cancel = CancellationToken::new();
        let serving = hcloud_sim::serve(listener, sim, cancel.clone());
        let handle = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(error = &error as &dyn std::error::Error, "the simulator stopped");
            }
        });
        Ok(Self { address, task: Task { cancel, handle } })
    }
}

/// A task, and how to end it.
struct Task {
    cancel: CancellationToken,
    handle: JoinHandle<()>,
}

impl Task {
    fn provisioner(proxy: &Proxy, folder: &Folder, rng: SystemRng) -> anyhow::Result<Self> {
        let admin = AdminClient::new(&proxy.admin, folder.admin_token.clone())?;
        let settings = token_provisioner::Settings {
            tokens: token_provisioner::Tokens::One(folder.hetzner_token.clone()),
            tenants: None,
            interval: PROVISIONER_INTERVAL,
            endpoint: None,
            project_ref: Some(PROJECT.to_owned()),
        };
        let cancel = CancellationToken::new();
        let work = Provisioner::new(admin, settings, Box::new(move || rng.fraction())).run(cancel.clone());
        Ok(Self { cancel, handle: tokio::spawn(work) })
    }

    async fn stop(self) {
        self.cancel.cancel();
        drop(self.handle.await);
    }
}
