//! The proxy as a process: `serve`, with settings of the test's own.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use ring::digest::{SHA256, digest};
use seca_client::{AdminClient, SecaClient};
use serde_json::Value;

use super::{PATIENCE, binary, process::Process, until};

pub const ADMIN_TOKEN: &str = "admin-token-8c1f6e0b2d";
pub const BEARER: &str = "bearer-token-5a7d3c9e41";
/// 32 bytes in base64.
pub const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
pub const OTHER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
pub const TENANT: &str = "dev";
pub const REGION: &str = "fsn1";

/// What a proxy is started with: settings, and the folder of its files.
#[derive(Clone, Debug)]
pub struct Setup {
    folder: PathBuf,
    name: String,
    settings: BTreeMap<String, String>,
    open_files: Option<u32>,
    binary: Option<PathBuf>,
}

impl Setup {
    /// The least that `serve` needs, with SQLite in the folder and the provider at an endpoint.
    pub fn new(folder: &Path, endpoint: &str) -> Self {
        let tokens = folder.join("tokens.json");
        let hash: String = digest(&SHA256, BEARER.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        fs::write(&tokens, format!(r#"{{"tokens": [{{"sha256": "{hash}", "subject": "test"}}]}}"#)).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
        let setup = Self {
            folder: folder.to_owned(),
            name: "proxy".to_owned(),
            settings: BTreeMap::new(),
            open_files: None,
            binary: None,
        };
        setup
            .with("SECA_DATABASE_URL", &format!("sqlite:{}", folder.join("secapi.db").display()))
            .with("SECA_ADMIN_TOKEN", ADMIN_TOKEN)
            .with("SECA_CREDENTIALS_KEY", KEY)
            .with("SECA_AUTH_MODE", "static")
            .with("SECA_AUTH_TOKENS_FILE", &tokens.display().to_string())
            .with("SECA_BOOTSTRAP_ADMIN", &format!("{TENANT}/test"))
            .with("SECA_LISTEN_ADDR", "127.0.0.1:0")
            .with("SECA_ADMIN_LISTEN_ADDR", "127.0.0.1:0")
            .with("SECA_LEASE_TTL", "1s")
            .with("HCLOUD_ENDPOINT", endpoint)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.settings.remove(name);
        self
    }

    /// Another name for its output and its ready file: for a second one in the same folder.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Another binary than that of this workspace: of a release before.
    pub fn with_binary(mut self, path: &Path) -> Self {
        self.binary = Some(path.to_owned());
        self
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A hard limit of open files.
    pub fn with_open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// Fixed ports that were free a moment ago, so that a successor takes the place of a killed process.
    pub fn on_fixed_ports(self) -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        self.with("SECA_LISTEN_ADDR", &address()).with("SECA_ADMIN_LISTEN_ADDR", &address())
    }

    /// A command of the binary with these settings and nothing else of the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let binary = self.binary.clone().unwrap_or_else(|| binary("secapi-proxy"));
        let mut command = match self.open_files {
            None => Command::new(binary),
            Some(most) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit -n {most} && exec \"$@\""), "sh"]).arg(binary);
                shell
            }
        };
        command.env_clear().envs(&self.settings).args(arguments).current_dir(&self.folder);
        command
    }

    /// Runs a command to its end: exit code, and everything that it wrote.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    /// Starts serving and waits until it is ready.
    pub async fn serve(&self) -> Proxy {
        let ready = self.folder.join(format!("{}.ready.json", self.name));
        drop(fs::remove_file(&ready));
        let mut command = self.command(&["serve", "--ready-file"]);
        let mut process = Process::start(&self.name, &self.folder, command.arg(&ready));
        let ready = read_ready(&mut process, &ready).await;
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Proxy { public: text("public"), admin: text("admin"), process }
    }
}

/// Waits for a ready file. A process that ends instead is a failure at once.
pub async fn read_ready(process: &mut Process, path: &Path) -> Value {
    until("the ready file", PATIENCE, || {
        assert!(process.ended().is_none(), "the process ended before it was ready:\n{}", process.output());
        std::future::ready(fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()))
    })
    .await
}

/// A free port below those that the system gives to outgoing connections: none of them takes it meanwhile.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(15_000 + offset % 16_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A proxy that serves.
pub struct Proxy {
    pub process: Process,
    pub public: String,
    pub admin: String,
}

impl Proxy {
    pub async fn client(&self) -> SecaClient {
        SecaClient::connect(&self.public, TENANT, REGION, Some(BEARER.into())).await.unwrap()
    }

    pub fn admin(&self) -> AdminClient {
        AdminClient::new(&self.admin, ADMIN_TOKEN.into()).unwrap()
    }

    /// SIGTERM; the exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.wait(PATIENCE).await
    }
}
