//! What the soak runs on: a PostgreSQL, the simulator with its projects, and replicas of the proxy as processes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use seca_client::{AdminClient, SecaClient};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    Arguments,
    common::{
        self,
        process::Process,
        proxy::{ADMIN_TOKEN, BEARER, REGION, Setup, TENANT},
        sim::Sim,
    },
    fleet::Routes,
};

/// How much faster than life the simulator is: a server takes half a second.
const SPEED: f64 = 0.02;
/// How long a replica may take to be ready, and to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a call whose answer was lost may still take effect; the simulator's late commits come sooner.
pub(crate) const LATE_WINDOW: Duration = Duration::from_secs(8);
/// How long a disk keeps its server: so short that many become snapshots.
const DISK_HOLD: &str = "5s";
/// By these names the journal tells the product's calls from those of a person.
pub(crate) const PROXY: &str = "proxy";
pub(crate) const PERSON: &str = "person";

/// A project at the provider.
#[derive(Clone, Debug)]
pub(crate) struct CloudProject {
    pub(crate) name: String,
    /// Tokens to bind workspaces with.
    pub(crate) tokens: Vec<String>,
    /// The token of the person who works beside the product.
    pub(crate) person: String,
}

/// How a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Up,
    Paused,
    Down,
}

/// A replica: its settings, and its process while it has one.
pub(crate) struct Replica {
    pub(crate) name: String,
    setup: Setup,
    process: Option<Process>,
    pub(crate) life: Life,
    public: String,
    admin: String,
    client: Option<SecaClient>,
    /// Another release is not started again: it may refuse the schema.
    is_of_this_release: bool,
}

impl Replica {
    fn new(setup: Setup, name: &str, is_of_this_release: bool) -> Self {
        let setup = setup.named(name).on_fixed_ports();
        let address = |setting: &str| format!("http://{}", setup.setting(setting).unwrap_or_default());
        let (public, admin) = (address("SECA_LISTEN_ADDR"), address("SECA_ADMIN_LISTEN_ADDR"));
        Self {
            name: name.to_owned(),
            setup,
            process: None,
            life: Life::Down,
            public,
            admin,
            client: None,
            is_of_this_release,
        }
    }

    /// Starts the process, without waiting.
    pub(crate) fn launch(&mut self, folder: &Path) {
        let ready = folder.join(format!("{}.ready.json", self.name));
        drop(fs::remove_file(&ready));
        let mut command = self.setup.command(&["serve", "--ready-file"]);
        self.process = Some(Process::start(&self.name, folder, command.arg(ready)));
        self.life = Life::Up;
    }

    /// Starts it and waits until it is ready. One that ends at once because the database is away is started again.
    pub(crate) async fn start(&mut self, folder: &Path) -> anyhow::Result<()> {
        let http = common::http();
        let deadline = Instant::now() + PATIENCE;
        self.launch(folder);
        loop {
            if self.ended() {
                self.launch(folder);
            }
            let answer = http.get(format!("{}/readyz", self.public)).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                if self.client.is_none() {
                    let token = Some(BEARER.into());
                    self.client = Some(SecaClient::connect(&self.public, TENANT, REGION, token).await?);
                }
                return Ok(());
            }
            if Instant::now() > deadline {
                let output = self.process.as_ref().map(Process::output).unwrap_or_default();
                let lines: Vec<&str> = output.lines().collect();
                bail!("{} was not ready: {}", self.name, lines[lines.len().saturating_sub(5)..].join(" | "));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the process ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_some())
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
        self.life = Life::Down;
    }

    pub(crate) fn pause(&mut self) {
        self.signal("STOP");
        self.life = Life::Paused;
    }

    pub(crate) fn resume(&mut self) {
        self.signal("CONT");
        self.life = Life::Up;
    }

    fn signal(&mut self, name: &str) {
        if let Some(process) = self.process.as_mut()
            && process.ended().is_none()
        {
            process.signal(name);
        }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        while !self.ended() {
            if Instant::now() > deadline {
                self.kill();
                bail!("{} had not ended {} s after SIGTERM", self.name, PATIENCE.as_secs());
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.process = None;
        self.life = Life::Down;
        Ok(())
    }

    pub(crate) fn admin(&self) -> anyhow::Result<AdminClient> {
        Ok(AdminClient::new(&self.admin, ADMIN_TOKEN.into())?)
    }
}

/// All of it.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    pub(crate) database: String,
    pub(crate) sim: Arc<Sim>,
    pub(crate) projects: Vec<CloudProject>,
    pub(crate) replicas: Vec<Replica>,
    /// Where users call.
    pub(crate) routes: Routes,
}

impl Stage {
    /// Starts PostgreSQL and the simulator, and makes the projects; no replica runs yet.
    pub(crate) async fn build(arguments: &Arguments, folder: &Path) -> anyhow::Result<Self> {
        let database = persistence::testing::postgres_url().await?;
        persistence::testing::postgres_durable(&database).await?;
        let sim = Sim::start(folder, SPEED).await;
        let mut projects = Vec::new();
        for (name, count) in [("alpha", 2), ("beta", 1), ("gamma", 1)] {
            let mut tokens = Vec::new();
            for number in 0..count {
                tokens.push(token(&sim, name, PROXY, number).await?);
            }
            projects.push(CloudProject { name: name.to_owned(), tokens, person: token(&sim, name, PERSON, 0).await? });
        }
        let setup = Setup::new(folder, &sim.endpoint())
            .with("SECA_DATABASE_URL", &database)
            .with("SECA_LEASE_TTL", "3s")
            .with("SECA_REQUEST_TIMEOUT", "3s")
            .with("SECA_LATE_WINDOW", &format!("{}s", LATE_WINDOW.as_secs()))
            .with("SECA_STOP_GRACE", "4s")
            .with("SECA_LOG_LEVEL", "info,control_plane=debug,hetzner_adapter=debug,hcloud_client=debug");
        // The release before does not know this setting.
        let newest = setup.clone().with("SECA_DISK_HOLD", DISK_HOLD);
        let replicas = match &arguments.old_binary {
            None => vec![Replica::new(newest.clone(), "replica-1", true), Replica::new(newest, "replica-2", true)],
            Some(old) => {
                // The processes run in another folder.
                let old = fs::canonicalize(old).with_context(|| format!("{} is no binary", old.display()))?;
                let of_old = |number| Replica::new(setup.clone().with_binary(&old), &format!("old-{number}"), false);
                let spares = arguments.hand_overs().div_ceil(2);
                [Replica::new(newest, "new", true)].into_iter().chain((1..=spares).map(of_old)).collect()
            }
        };
        Ok(Self {
            folder: folder.to_owned(),
            database,
            sim: Arc::new(sim),
            projects,
            replicas,
            routes: Routes::default(),
        })
    }

    /// A client for each replica; each was ready once.
    pub(crate) fn clients(&self) -> anyhow::Result<Vec<SecaClient>> {
        let client = |replica: &Replica| replica.client.clone().context("a replica was never ready");
        self.replicas.iter().map(client).collect()
    }

    /// Migrates the database to the schema of the first replica's release.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        let setup = self.replicas[0].setup.clone();
        let (code, output) = tokio::task::spawn_blocking(move || setup.run(&["migrate", "up"])).await?;
        if code == Some(0) { Ok(()) } else { bail!("the migration failed: {output}") }
    }

    /// Starts every replica that does not run, and resumes what is paused.
    pub(crate) async fn raise(&mut self) -> anyhow::Result<()> {
        for replica in &mut self.replicas {
            let ended = replica.ended();
            match replica.life {
                Life::Up if !ended => {}
                Life::Paused => replica.resume(),
                Life::Down if !replica.is_of_this_release => {}
                Life::Up | Life::Down => replica.start(&self.folder).await?,
            }
        }
        Ok(())
    }

    /// Ends every replica and starts it again, so that each project is read again and swept.
    pub(crate) async fn renew(&mut self) -> anyhow::Result<()> {
        for replica in &mut self.replicas {
            match replica.life {
                Life::Up => replica.stop().await?,
                Life::Paused => replica.kill(),
                Life::Down => {}
            }
        }
        self.raise().await
    }
}

/// Makes a token of a project, and the project with its first one.
async fn token(sim: &Sim, project: &str, client: &str, number: u32) -> anyhow::Result<String> {
    let token = format!("{project}-{client}-{number}-{}", "x".repeat(40));
    let body = json!({"name": project, "token": token, "client": client});
    sim.control("POST", "/projects", Some(body)).await;
    let limits = json!({"volume_limit": 2000, "server_limit": 1000, "firewall_limit": 500, "network_limit": 500});
    sim.control("PUT", &format!("/projects/{project}/limits"), Some(limits)).await;
    let rate = json!({"project": project, "limit": 36_000});
    sim.control("PUT", "/rate", Some(rate)).await;
    Ok(token)
}
