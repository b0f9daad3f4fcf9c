//! The engine: turns rows into resources and keeps them that way.
//!
//! One owner per project: a replica leases it, because rate budget, serial order and address plan need a single
//! hand. Code is level-triggered: no hint carries data, so a restart and a wake-up run the same path.
//!
//! Per due resource: **observe** (the project's snapshot, refreshed by every answer) → **plan** (pure, the
//! adapter's) → **record** the step → **act** once → **commit**, fenced by the lease's token and the generation.
//! Fencing protects our rows only; what protects the cloud is that nothing is called before its intent is
//! recorded, that an unknown outcome is looked up before anything else is decided, that a deleted resource keeps
//! its row until no call of it can take effect any more, and that resync and sweep look at everything again.

mod adoption;
mod backoff;
mod catalog;
mod epoch;
mod gate;
mod lease;
mod look;
mod meter;
mod notice;
mod orders;
mod pauses;
mod project;
mod reading;
mod sharing;
mod silence;
mod step;
mod sweep;
#[cfg(test)]
mod tests;
mod vitals;
mod waits;
mod without;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

pub use self::{
    adoption::{Adoption, AdoptionParts, Consequence, Does},
    epoch::above,
    meter::Meter,
    vitals::{STALLED_AFTER, Vitals},
};
use self::{
    catalog::CatalogKeeper,
    pauses::Pauses,
    project::{Project, Standing},
    sharing::{LEASES_PER_SCAN, Sharing, Surplus},
};
use crate::{
    catalog::CatalogCache,
    causes::Causes,
    ports::{Clock, CloudProvider, Lease, Rng, Store, Vault},
    resource::ProjectId,
    watch::Watchers,
};

/// The version of this engine, which a project's row keeps of who last took its lease: no engine takes the lease of a
/// project that a newer one had. Raise it with every release that writes rows (facts, steps, states) which the release
/// before would misread; then replicas of that release leave a project alone once a newer one had it.
///
/// 2: instances have what they name, and disks outlive them. An engine of version 1 knows neither roles of objects nor
/// auxiliaries nor snapshots of disks, and would take a data volume that is claimed for a boot volume.
///
/// 3: images share the snapshot of a disk, which an engine of version 2 would remove with the disk; a server may have
/// another type than its instance until that is started; and gateways have servers.
pub const ENGINE_VERSION: i64 = 3;

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Who holds the leases: unique per process.
    pub owner: String,
    /// How long a lease lasts without renewal; renewed at a third.
    pub lease_ttl: Duration,
    /// How often the queue is read without a wake-up: the delay of work that another replica accepted.
    pub scan_interval: Duration,
    /// How often a project is read anew from lists.
    pub resync_interval: Duration,
    /// How long a project's epoch lasts without a takeover.
    pub epoch_interval: Duration,
    /// How long after its intent a call of unknown outcome may still take effect: the request timeout and 60 s.
    pub late_window: Duration,
    /// How long a graceful stop may take before the power is cut.
    pub stop_grace: Duration,
    /// How often the catalogue is read; zero: at every resync.
    pub catalog_refresh: Duration,
    /// The region that is listed first.
    pub default_region: String,
    /// The provider's endpoint where a binding names none.
    pub default_endpoint: Url,
    /// How many calls of one project may be under way at once, those that wait for the rate budget included.
    pub max_in_flight: usize,
    /// See [`ENGINE_VERSION`].
    pub engine_version: i64,
}

impl EngineSettings {
    /// The defaults, for an owner and an endpoint.
    pub fn new(owner: impl Into<String>, default_endpoint: Url) -> Self {
        Self {
            owner: owner.into(),
            lease_ttl: Duration::from_secs(15),
            scan_interval: Duration::from_millis(200),
            resync_interval: Duration::from_secs(300),
            epoch_interval: Duration::from_secs(24 * 3600),
            late_window: Duration::from_secs(90),
            stop_grace: Duration::from_secs(90),
            catalog_refresh: Duration::from_secs(60),
            default_region: "fsn1".to_owned(),
            default_endpoint,
            max_in_flight: 512,
            engine_version: ENGINE_VERSION,
        }
    }
}

/// What an engine is made of.
pub struct EngineParts<P> {
    /// Storage.
    pub store: Arc<dyn Store>,
    /// The cloud.
    pub provider: Arc<P>,
    /// Opens tokens.
    pub vault: Arc<dyn Vault>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub rng: Arc<dyn Rng>,
    /// The catalogue that handlers read.
    pub catalog: CatalogCache,
    /// Rung by handlers after a write.
    pub wake: Arc<Notify>,
    /// Settings.
    pub settings: EngineSettings,
}

/// How many projects look at once at what nobody waits for: enough for a database with some processors.
const REVIEWS: usize = 8;

/// What all projects of one engine share.
pub(crate) struct Shared<P> {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) provider: Arc<P>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) catalog: CatalogCache,
    pub(crate) keeper: CatalogKeeper,
    pub(crate) settings: EngineSettings,
    pub(crate) installation: String,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) surplus: Surplus,
    pub(crate) pauses: Pauses,
    /// Places for looks at what nobody waits for.
    pub(crate) reviews: Semaphore,
    pub(crate) meter: Arc<dyn Meter>,
    pub(crate) causes: Arc<Causes>,
}

/// The reconciler of one process.
pub struct Engine<P> {
    parts: EngineParts<P>,
    watchers: Arc<Watchers>,
    vitals: Arc<Vitals>,
    meter: Arc<dyn Meter>,
    causes: Arc<Causes>,
}

impl<P: CloudProvider> Engine<P> {
    /// Puts the parts together.
    pub fn new(parts: EngineParts<P>) -> Self {
        Self { parts, watchers: Arc::default(), vitals: Arc::default(), meter: Arc::new(()), causes: Arc::default() }
    }

    /// Whether it can work, for readiness.
    pub fn vitals(&self) -> Arc<Vitals> {
        self.vitals.clone()
    }

    /// The same, telling of every commit those who read patiently in this process.
    #[must_use]
    pub fn watched_by(self, watchers: Arc<Watchers>) -> Self {
        Self { watchers, ..self }
    }

    /// The same, telling of its work whoever counts it.
    #[must_use]
    pub fn metered_by(self, meter: Arc<dyn Meter>) -> Self {
        Self { meter, ..self }
    }

    /// The same, naming in the log the requests that are under way in this process.
    #[must_use]
    pub fn caused_by(self, causes: Arc<Causes>) -> Self {
        Self { causes, ..self }
    }

    /// Works until cancelled; then finishes nothing new, gives the leases back and returns. Failures of the store
    /// are logged and tried again: the engine outlives its database.
    pub async fn run(self, cancel: CancellationToken) {
        let wake = self.parts.wake.clone();
        let Some(shared) = self.prepare(&cancel).await else { return };
        let mut workers = Workers {
            shared,
            cancel: cancel.clone(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            sharing: Sharing::default(),
        };
        let mut scan = tokio::time::interval(workers.shared.settings.scan_interval);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(ended) = workers.tasks.join_next(), if !workers.tasks.is_empty() => workers.ended(ended),
                () = wake.notified() => workers.wake().await,
                _ = scan.tick() => workers.scan().await,
            }
        }
        while workers.tasks.join_next().await.is_some() {}
        let shared = &workers.shared;
        if let Err(error) = shared.store.leave(&shared.settings.owner).await {
            warn!(%error, "the others could not be told that this engine ends; they notice");
        }
    }

    async fn prepare(self, cancel: &CancellationToken) -> Option<Arc<Shared<P>>> {
        let parts = self.parts;
        let installation = loop {
            match parts.store.installation().await {
                Ok(id) => break id,
                Err(error) => {
                    warn!(%error, "the engine waits for the database");
                    self.vitals.note(None, false);
                    self.vitals.beat();
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => return None,
                        () = tokio::time::sleep(parts.settings.scan_interval) => {}
                    }
                }
            }
        };
        Some(Arc::new(Shared {
            store: parts.store,
            provider: parts.provider,
            vault: parts.vault,
            clock: parts.clock,
            rng: parts.rng,
            catalog: parts.catalog,
            keeper: CatalogKeeper::default(),
            settings: parts.settings,
            installation,
            watchers: self.watchers,
            vitals: self.vitals,
            surplus: Surplus::default(),
            pauses: Pauses::default(),
            reviews: Semaphore::new(REVIEWS),
            meter: self.meter,
            causes: self.causes,
        }))
    }
}

struct Workers<P> {
    shared: Arc<Shared<P>>,
    cancel: CancellationToken,
    /// By project: the token of the lease, and how to wake its worker.
    running: BTreeMap<ProjectId, (i64, Arc<Notify>)>,
    tasks: JoinSet<Lease>,
    sharing: Sharing,
}

impl<P: CloudProvider> Workers<P> {
    async fn wake(&mut self) {
        for (_, notify) in self.running.values() {
            notify.notify_one();
        }
        self.lease().await;
    }

    async fn scan(&mut self) {
        self.attend().await;
        self.lease().await;
        let shared = &self.shared;
        if let Err(error) = shared.keeper.follow(shared.store.as_ref(), &shared.catalog, &shared.settings).await {
            warn!(%error, "the catalogue could not be followed");
        }
    }

    /// Tells the others of itself now and then, and gives back what is theirs.
    async fn attend(&mut self) {
        let settings = &self.shared.settings;
        let ttl = settings.lease_ttl;
        if self.sharing.is_due(ttl / 3, Instant::now()) {
            match self.shared.store.attend(&settings.owner, ttl, settings.engine_version).await {
                Ok(attendance) => self.sharing.attended(attendance, Instant::now()),
                Err(error) => warn!(%error, "the other engines could not be counted"),
            }
        }
        self.sharing.offer(self.running.len(), &self.shared.surplus, Instant::now());
    }

    async fn lease(&mut self) {
        let portion = self.sharing.portion(Instant::now());
        let settings = &self.shared.settings;
        let (ttl, version) = (settings.lease_ttl, settings.engine_version);
        let taken = self.shared.store.lease(&settings.owner, ttl, version, LEASES_PER_SCAN, portion).await;
        self.shared.vitals.beat();
        self.shared.vitals.note(None, taken.is_ok());
        match taken {
            Ok(leases) => leases.into_iter().for_each(|lease| self.start(lease)),
            Err(error) => warn!(%error, "leases could not be taken"),
        }
    }

    fn start(&mut self, lease: Lease) {
        let project = lease.project.clone();
        info!(seca.project = %project, lease.token = lease.token, "project leased");
        self.shared.meter.leased(&project);
        let wake = Arc::new(Notify::new());
        self.running.insert(project, (lease.token, wake.clone()));
        let worker = Project::new(self.shared.clone(), lease.clone(), wake);
        let (cancel, shared) = (self.cancel.clone(), self.shared.clone());
        self.tasks.spawn(async move {
            let standing = AssertUnwindSafe(worker.run(cancel)).catch_unwind().await;
            shared.meter.ended(&lease.project, matches!(standing, Ok(Standing::Lost) | Err(_)));
            if let Err(panic) = standing {
                resume_unwind(panic);
            }
            lease
        });
    }

    fn ended(&mut self, ended: Result<Lease, tokio::task::JoinError>) {
        match ended {
            // A lease that ran out may have been taken again by ourselves: then the entry is the new worker's.
            Ok(lease) => {
                self.sharing.let_go(Instant::now());
                if self.running.get(&lease.project).is_some_and(|(token, _)| *token == lease.token) {
                    self.running.remove(&lease.project);
                }
            }
            // The lease runs out by itself, and the project is taken again: by us, or by another.
            Err(error) => warn!(%error, "a project's task died"),
        }
    }
}
