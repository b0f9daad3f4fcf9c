//! The `CloudProvider` over Hetzner Cloud: reads, plans, acts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use control_plane::{
    CatalogEntry, ProjectId, Reason,
    ports::{
        Access, Clock, CloudError, CloudProvider, Desired, Epoch, Gate, Marker, Note, Outcome, OwnedObject, Planned,
        Provider, RequestBudget, Rng, Step,
    },
};
use hcloud_client::{
    Hcloud, HcloudApi, ImageFilter, ListFilter, ProjectClient, ProjectFigures, RetryPolicy, environment,
    types::PlacementGroup,
};
use seca_api::Timestamp;
use time::OffsetDateTime;

use crate::{
    admission::PROVIDER,
    call::Call,
    catalog,
    executor::Executor,
    mapping::{self, gateway::GatewaySettings},
    marker::{self, Asked},
    memory::Memory,
    objects::{Objects, ServerCall},
    outcome::{self, unreadable},
    owner::Owner,
    regions::Regions,
    snapshot::{Change, Observation, Snapshot},
};

/// What an operator may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSettings {
    /// The system image of boot volumes that name none.
    pub default_image: String,
    /// Whether nothing reaches an instance with a public address that names no security group; else everything does.
    pub ungrouped_closed: bool,
    /// How long a block storage keeps the server of a deleted instance, before its disk becomes a snapshot; none: for ever.
    pub disk_hold: Option<Duration>,
    /// Which regions are served, and of which locations each is made.
    pub regions: Regions,
    /// What stands behind internet gateways.
    pub gateway: GatewaySettings,
}

impl Default for AdapterSettings {
    fn default() -> Self {
        Self {
            default_image: "ubuntu-24.04".to_owned(),
            ungrouped_closed: false,
            regions: Regions::default(),
            disk_hold: Some(Duration::from_secs(900)),
            gateway: GatewaySettings::default(),
        }
    }
}

/// SECA on Hetzner Cloud. One serves all projects; what the calls of a project share (budget, poller, learned
/// latencies) is kept by project, whatever token an access brings.
pub struct HetznerProvider {
    hcloud: Hcloud,
    pub(crate) finder: Hcloud,
    clock: Arc<dyn Clock>,
    settings: AdapterSettings,
    memories: Mutex<HashMap<ProjectId, Arc<Memory>>>,
    /// What of the choice of regions did not fit the provider's locations, as it was last told.
    unfit: Mutex<Vec<String>>,
}

impl HetznerProvider {
    /// Over a door to the provider.
    pub fn new(api: Arc<dyn HcloudApi>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>, settings: AdapterSettings) -> Self {
        let wall = Arc::clone(&clock);
        let environment = environment(move || wall_time(wall.now()), move || rng.fraction());
        // A person waits for the finder's answer: it gives up sooner.
        let hasty = RetryPolicy { tries: 2, base: Duration::from_millis(300), cap: Duration::from_secs(1) };
        Self {
            hcloud: Hcloud::new(Arc::clone(&api), Arc::clone(&environment)),
            finder: Hcloud::new(api, environment).with_retry(hasty),
            clock,
            settings,
            memories: Mutex::default(),
            unfit: Mutex::default(),
        }
    }

    /// How long a call takes at most: after that and the provider's own delay, a lost one cannot commit any more.
    pub fn request_timeout(&self) -> Duration {
        self.hcloud.request_timeout()
    }

    /// The client of a project, for figures about its budget and its actions.
    pub fn client(&self, access: &Access) -> ProjectClient {
        self.hcloud.project(client_access(access, access.project.0.clone()))
    }

    /// How each project stands of which something was asked, by id.
    pub fn figures(&self) -> Vec<ProjectFigures> {
        self.hcloud.figures()
    }

    fn memory(&self, project: &ProjectId) -> Arc<Memory> {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(memories.entry(project.clone()).or_default())
    }

    /// Tells once what of the choice of regions does not fit, and again when that changes.
    fn warn_of_unfit(&self, unfit: Vec<String>) {
        let mut told = self.unfit.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != unfit {
            unfit.iter().for_each(|sentence| tracing::warn!("SECA_REGIONS: {sentence}"));
            *told = unfit;
        }
    }

    /// A server in a role is of a type of ours, not of a person's choice: where there is no capacity for it, the plan knows
    /// at once, and takes another one.
    fn with_other_types(&self, step: &Step, outcome: Outcome<Observation>) -> Outcome<Observation> {
        let (Outcome::Retry { note, .. } | Outcome::Refuted { retry: Some((_, note)), .. }) = &outcome else {
            return outcome;
        };
        let Ok(Call::Server(ServerCall::Create(body))) = Call::of(step) else { return outcome };
        let has_role = matches!(Owner::of(&body.labels), Some(Owner::Resource { role: Some(_), .. }));
        let Some(location) = body.location.filter(|_| has_role && note.reason == Reason::CapacityUnavailable) else {
            return outcome;
        };
        let told = Change::NoCapacity { server_type: body.server_type, location, at: self.clock.now() };
        let observation = match outcome {
            Outcome::Refuted { observation, .. } => observation,
            _ => Observation::default(),
        };
        Outcome::Refuted { observation: observation.and(told), retry: None }
    }

    fn executor<'a>(&self, access: &Access, memory: &'a Memory, gate: &Arc<dyn Gate>) -> Executor<'a> {
        Executor { client: self.gated(access, gate), memory, clock: Arc::clone(&self.clock) }
    }

    /// The client of a project whose changes ask a gate.
    fn gated(&self, access: &Access, gate: &Arc<dyn Gate>) -> ProjectClient {
        self.client(access).gated(Arc::new(Asked(Arc::clone(gate))))
    }
}

/// The access of the client's crate.
pub(crate) fn client_access(access: &Access, project: String) -> hcloud_client::Access {
    hcloud_client::Access { endpoint: access.endpoint.clone(), token: access.token.clone(), project }
}

fn wall_time(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_millis()) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn noted(memory: &Memory, step: &Step, outcome: Outcome<Observation>) -> Outcome<Observation> {
    let word = match &outcome {
        Outcome::Done(observation) | Outcome::Running { observation, .. } => {
            memory.note(observation);
            if matches!(outcome, Outcome::Done(_)) { "done" } else { "running" }
        }
        Outcome::Unknown(_) => "unknown",
        Outcome::Retry { note, .. } => note.reason.as_str(),
        Outcome::Refuted { observation, .. } => {
            memory.note(observation);
            "refuted"
        }
        Outcome::Terminal(_) => "refused",
    };
    tracing::debug!(hcloud.step = %step.operation, hcloud.target = %step.target, outcome = word, "step");
    outcome
}

#[async_trait]
impl CloudProvider for HetznerProvider {
    type Snapshot = Snapshot;
    type Observation = Observation;

    fn identity(&self) -> &'static Provider {
        &PROVIDER
    }

    async fn observe(&self, access: &Access) -> Result<Snapshot, CloudError> {
        let memory = self.memory(&access.project);
        let observing = memory.observe();
        let begun = self.clock.now().as_millis();
        let client = self.client(access);
        let objects = Objects::list(&client, &ListFilter::all()).await.map_err(|error| unreadable(&error))?;
        Ok(observing.complete(Snapshot::from_lists(objects)).read_at(begun))
    }

    fn shows_the_same(&self, one: &Snapshot, other: &Snapshot) -> bool {
        one.shows_the_same(other)
    }

    fn absorb(&self, snapshot: &mut Snapshot, observation: Observation) {
        snapshot.absorb(observation);
    }

    fn plan(&self, desired: &Desired<'_>, snapshot: &Snapshot, now: Timestamp) -> Planned {
        mapping::plan(&mapping::Context { desired, snapshot, now, settings: &self.settings })
    }

    async fn execute(&self, access: &Access, step: &Step, gate: &Arc<dyn Gate>) -> Outcome<Observation> {
        let memory = self.memory(&access.project);
        let outcome = self.executor(access, &memory, gate).execute(step).await;
        noted(&memory, step, self.with_other_types(step, outcome))
    }

    async fn wait(&self, access: &Access, step: &Step, action: &str, gate: &Arc<dyn Gate>) -> Outcome<Observation> {
        let memory = self.memory(&access.project);
        let outcome = self.executor(access, &memory, gate).wait(step, action).await;
        noted(&memory, step, self.with_other_types(step, outcome))
    }

    async fn verify(&self, access: &Access, step: &Step, gate: &Arc<dyn Gate>) -> Outcome<Observation> {
        let memory = self.memory(&access.project);
        let outcome = self.executor(access, &memory, gate).verify(step).await;
        noted(&memory, step, self.with_other_types(step, outcome))
    }

    fn overdue(&self, project: &ProjectId, action: &str) -> Option<Note> {
        let ids = action.split(',').filter_map(|id| id.parse().ok());
        ids.filter_map(|id| self.hcloud.overdue(&project.0, id)).map(|action| outcome::overdue(&action)).next()
    }

    fn marker(&self, snapshot: &Snapshot, installation: &str) -> Option<Marker> {
        marker::among(snapshot.all::<PlacementGroup>(), installation)
    }

    async fn read_marker(&self, access: &Access, installation: &str) -> Result<Option<Marker>, CloudError> {
        self.look_for_marker(&self.client(access), installation).await
    }

    async fn write_marker(
        &self,
        access: &Access,
        installation: &str,
        epoch: &Epoch,
        known: Option<&Marker>,
        gate: &Arc<dyn Gate>,
    ) -> Result<(), CloudError> {
        self.put_marker(&self.gated(access, gate), installation, &access.project, epoch, known).await
    }

    fn owned(&self, snapshot: &Snapshot, installation: &str) -> Vec<OwnedObject> {
        snapshot.objects.owned(installation)
    }

    fn removal(&self, object: &OwnedObject) -> Option<Step> {
        Call::removing(object).map(|call| call.step(&object.name))
    }

    fn discard(&self, object: &OwnedObject, installation: &str) -> Option<Step> {
        Call::discarding(object, installation).map(|call| call.step(&object.name))
    }

    fn budget(&self, project: &ProjectId) -> Option<RequestBudget> {
        let known = self.hcloud.budget(&project.0).filter(|known| known.probed)?;
        #[allow(clippy::cast_possible_truncation, reason = "some thousands, and not below zero")]
        let whole = |number: f64| number.floor() as i64;
        Some(RequestBudget {
            limit: whole(known.limit),
            remaining: whole(known.remaining),
            refill_per_hour: whole(known.refill_per_second * 3600.0),
            waiting: i64::try_from(known.waiting).unwrap_or(i64::MAX),
        })
    }

    async fn catalog(&self, access: &Access) -> Result<Vec<CatalogEntry>, CloudError> {
        let client = self.client(access);
        let read = async {
            Ok((
                client.list_locations().await?,
                client.list_server_types().await?,
                client.list_images(&ImageFilter::system()).await?,
            ))
        };
        let (locations, types, images) = read.await.map_err(|error| unreadable(&error))?;
        self.warn_of_unfit(self.settings.regions.unfit(&locations));
        Ok(catalog::entries(&self.settings.regions, &locations, &types, &images, wall_time(self.clock.now())))
    }

    fn fallback_catalog(&self) -> Vec<CatalogEntry> {
        catalog::fallback_of(&self.settings.regions)
    }
}
