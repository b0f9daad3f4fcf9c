//! The simulator as something to call: the core behind a lock, with a clock, a state file and held replies.

use crate::core::{CoreConfig, SimRequest, SimResponse, Simulator, Step, Time};
use http::Method;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A project that is there from the start.
#[derive(Clone)]
pub struct SeedProject {
    /// Its name.
    pub name: String,
    /// The token that may do everything.
    pub token: String,
    /// A token that may only read.
    pub read_only_token: Option<String>,
}

/// Settings of a simulator.
#[derive(Clone)]
pub struct SimConfig {
    /// Settings of the state machine.
    pub core: CoreConfig,
    /// Where the state is kept over restarts; `None`: in memory only.
    pub state_file: Option<PathBuf>,
    /// Projects made at the start, unless the state file has them.
    pub projects: Vec<SeedProject>,
    /// The clock.
    pub clock: SimClock,
}

impl SimConfig {
    /// An instant cloud in memory, with the computer's time and one project.
    #[must_use]
    pub fn instant(project: &str, token: &str) -> Self {
        Self {
            core: CoreConfig::default(),
            state_file: None,
            projects: vec![SeedProject { name: project.to_owned(), token: token.to_owned(), read_only_token: None }],
            clock: SimClock::system(),
        }
    }
}

/// Wall time that follows tokio's clock, so that paused time pauses the simulator too.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    base: Time,
    started: Instant,
}

impl SimClock {
    /// A clock that shows `time` now.
    #[must_use]
    pub fn starting_at(time: Time) -> Self {
        Self { base: time, started: Instant::now() }
    }

    /// A clock that shows the computer's time.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the edge: the one place where the simulator reads the clock")]
    pub fn system() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(Time(i64::try_from(since.as_millis()).unwrap_or(0)))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.base.plus_ms(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// What can go wrong around the core.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The state file cannot be read or written.
    #[error("state file {path}: cannot be {what}; check the path and its permissions")]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The state file is not a state of this version.
    #[error("state file {path}: not a state of this version; move it away to start empty")]
    NotAState {
        /// The file.
        path: PathBuf,
        /// Why it was refused.
        source: serde_json::Error,
    },
    /// The listener failed.
    #[error("the listener failed")]
    Listener(#[source] std::io::Error),
}

struct Inner {
    core: Mutex<Simulator>,
    clock: SimClock,
    state_file: Option<PathBuf>,
    released: Notify,
}

/// A running simulator; clones are the same one.
#[derive(Clone)]
pub struct Sim(Arc<Inner>);

impl Sim {
    /// Starts a simulator, from its state file when there is one. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Fails when the state file is there and cannot be used.
    pub fn new(config: SimConfig) -> Result<Self, SimError> {
        let mut core = Simulator::new(config.core);
        if let Some(path) = &config.state_file {
            restore(&mut core, path)?;
        }
        let now = config.clock.now();
        for project in &config.projects {
            core.add_project(&project.name, &project.token, project.read_only_token.as_deref(), now);
        }
        Ok(Self(Arc::new(Inner {
            core: Mutex::new(core),
            clock: config.clock,
            state_file: config.state_file,
            released: Notify::new(),
        })))
    }

    /// The state machine, for direct use by tests.
    pub fn core(&self) -> MutexGuard<'_, Simulator> {
        self.0.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The simulator's clock.
    #[must_use]
    pub fn clock(&self) -> SimClock {
        self.0.clock
    }

    /// Sends a request and waits for its reply, through holds. `None`: the reply was lost.
    pub async fn call(&self, request: SimRequest) -> Option<SimResponse> {
        let step = self.step(&request);
        let response = match step {
            Step::Reply(response) => response,
            Step::Held(ticket) => self.wait(ticket).await,
        };
        (!response.lost).then_some(response)
    }

    /// One request under the lock; the state is on disk before its reply is known.
    fn step(&self, request: &SimRequest) -> Step {
        let mut core = self.core();
        let mut step = core.begin(request, self.0.clock.now());
        if request.method != Method::GET
            && let Err(error) = self.persist(&core)
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the state was not written");
            if let Step::Reply(response) = &mut step
                && !response.lost
            {
                *response = Simulator::not_kept(&error.to_string());
            }
        }
        drop(core);
        if request.path.starts_with("/_sim") {
            self.0.released.notify_waiters();
        }
        step
    }

    async fn wait(&self, ticket: u64) -> SimResponse {
        // Dropped when the sender goes away; the request itself stays with the core.
        let _waiting = Waiting { sim: self, ticket };
        loop {
            let released = self.0.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            let (reply, held) = {
                let mut core = self.core();
                (core.take_released(ticket), core.is_held(ticket))
            };
            match reply {
                Some(reply) => return reply,
                None if held => released.await,
                None => return SimResponse::lost(),
            }
        }
    }

    fn persist(&self, core: &Simulator) -> Result<(), SimError> {
        let Some(path) = &self.0.state_file else { return Ok(()) };
        let text = core.snapshot().map_err(|source| SimError::NotAState { path: path.clone(), source })?;
        write(path, &text).map_err(|source| SimError::StateFile { path: path.clone(), what: "written", source })
    }
}

/// Tells the core when the sender of a held request is gone.
struct Waiting<'a> {
    sim: &'a Sim,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.sim.core().abandon(self.ticket);
    }
}

fn restore(core: &mut Simulator, path: &Path) -> Result<(), SimError> {
    match std::fs::read(path) {
        Ok(text) => core.restore(&text).map_err(|source| SimError::NotAState { path: path.to_owned(), source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SimError::StateFile { path: path.to_owned(), what: "read", source }),
    }
}

/// Writes beside the file and renames, so that a reader or a crash finds the old or the new state, never half of one.
/// No fsync: a simulator need not survive a power cut. Readable by the owner only, since it holds tokens.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("tmp");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&beside)?.write_all(text)?;
    std::fs::rename(&beside, path)
}
