//! A small cloud for tests of the engine: named things with a size and a power switch, requests that are
//! detached from their sender, lost answers, late effects, locks.
//!
//! It is not Hetzner; mappings are tested against the simulator. Here only the engine's protocol counts: that
//! there is never more than one thing per resource, and nothing without one in the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use seca_api::{PowerState, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::environment::SeededRng;
use crate::{
    catalog::CatalogEntry,
    ports::{
        Access, BindError, CloudError, CloudProvider, Desired, Epoch, Found, Gate, Marker, Note, Outcome, OwnedObject,
        Plan, Planned, ProjectFinder, Provider, RequestBudget, Step,
    },
    reason::Reason,
    resource::{ProjectId, Uid},
};

/// How long reading the catalogue takes.
const CATALOG_TIME: Duration = Duration::from_millis(300);

/// A thing in the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// Whose it is.
    pub uid: Uid,
    /// What it was made or changed to.
    pub size: i64,
    /// Whether it is on.
    pub on: bool,
    /// How often it was rebooted.
    pub reboots: u32,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    None,
    /// An error, and nothing happens.
    Error,
    /// It takes effect, and the answer is lost.
    LostReply,
    /// The answer is lost, and it takes effect after this time.
    Late(Duration),
    /// A final refusal.
    Terminal,
}

#[derive(Debug, Default)]
struct World {
    things: BTreeMap<String, Thing>,
    sent: usize,
    calls: Vec<String>,
    script: Vec<Fault>,
    /// Of the one project that it has, by an empty name; else of each project.
    markers: BTreeMap<String, Marker>,
    has_many_projects: bool,
    marker_script: Vec<Fault>,
    /// The epochs that were written to the marker, in order.
    epochs: Vec<Epoch>,
    /// How long a call waits for its turn.
    turn: Duration,
    budget: Option<RequestBudget>,
    /// Whatever is done, something else is to be done.
    is_restless: bool,
}

impl World {
    /// Where the marker of a project lies.
    fn place(&self, project: &ProjectId) -> String {
        if self.has_many_projects { project.0.clone() } else { String::new() }
    }

    fn marker_of(&self, project: &ProjectId) -> Option<Marker> {
        self.markers.get(&self.place(project)).cloned()
    }
}

/// The cloud. Clones share the world, as replicas share a provider.
#[derive(Clone)]
pub struct FakeCloud {
    world: Arc<Mutex<World>>,
    rng: Arc<SeededRng>,
    chaos: bool,
    latency: Duration,
}

impl FakeCloud {
    /// A cloud where everything takes `latency` and nothing fails unless scripted.
    pub fn new(latency: Duration) -> Self {
        Self { world: Arc::default(), rng: Arc::new(SeededRng::new(0)), chaos: false, latency }
    }

    /// A cloud where calls fail, lose their answers and come late, by the seed.
    pub fn chaotic(seed: u64) -> Self {
        let rng = Arc::new(SeededRng::new(seed));
        Self { world: Arc::default(), rng, chaos: true, latency: Duration::from_millis(50) }
    }

    /// Plans never end, or do again: whatever a size is, it is to be another one.
    pub fn be_restless(&self, is_restless: bool) {
        self.lock().is_restless = is_restless;
    }

    /// The next mutating calls go wrong like this, in this order.
    pub fn script(&self, faults: &[Fault]) {
        self.lock().script = faults.iter().rev().copied().collect();
    }

    /// The next writes of the marker go wrong like this, in this order.
    pub fn script_marker(&self, faults: &[Fault]) {
        self.lock().marker_script = faults.iter().rev().copied().collect();
    }

    /// From now on a call waits so long for its turn before it is sent.
    pub fn hold_turns(&self, turn: Duration) {
        self.lock().turn = turn;
    }

    /// The marker of its one project.
    pub fn marker(&self) -> Option<Marker> {
        self.lock().markers.get("").cloned()
    }

    /// Puts another marker in its place, or takes it away, as somebody at the provider's console would.
    pub fn put_marker(&self, marker: Option<Marker>) {
        self.lock().markers = marker.into_iter().map(|marker| (String::new(), marker)).collect();
    }

    /// The same cloud, where the token of each project opens a project of its own.
    #[must_use]
    pub fn with_many_projects(self) -> Self {
        self.lock().has_many_projects = true;
        self
    }

    /// The epochs that were written to the marker, in order.
    pub fn epochs(&self) -> Vec<Epoch> {
        self.lock().epochs.clone()
    }

    /// What it knows of every project's request budget.
    pub fn with_budget(self, budget: RequestBudget) -> Self {
        self.lock().budget = Some(budget);
        self
    }

    /// What exists, by name.
    pub fn things(&self) -> BTreeMap<String, Thing> {
        self.lock().things.clone()
    }

    /// The mutating calls that took effect so far.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// How many mutating calls were sent, those that had no effect (yet) included.
    pub fn sent(&self) -> usize {
        self.lock().sent
    }

    /// Changes the world as somebody at the provider's console would.
    pub fn meddle(&self, change: impl FnOnce(&mut BTreeMap<String, Thing>)) {
        change(&mut self.lock().things);
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> Fault {
        if let Some(fault) = self.lock().script.pop() {
            return fault;
        }
        if !self.chaos {
            return Fault::None;
        }
        match self.rng.below(100) {
            0..5 => Fault::Error,
            5..13 => Fault::LostReply,
            13..16 => Fault::Late(Duration::from_millis(5_000 + self.rng.below(15_000))),
            _ => Fault::None,
        }
    }

    /// Waits for its turn, and asks the gate then.
    async fn turn(&self, gate: &Arc<dyn Gate>) -> Result<(), Note> {
        let turn = self.lock().turn;
        sleep(turn).await;
        gate.may_send().await.map_err(|why| busy(&format!("not sent: {why}")))
    }

    fn mark(&self, project: &ProjectId, epoch: Option<&Epoch>) {
        let mut world = self.lock();
        world.epochs.extend(epoch.cloned());
        let known = world.marker_of(project);
        let epoch = epoch.cloned().or_else(|| known.and_then(|marker| marker.epoch));
        let marker = Marker { id: "marker".into(), project: Some(project.clone()), epoch, labels: BTreeMap::new() };
        let place = world.place(project);
        world.markers.insert(place, marker);
    }

    fn effect(&self, name: &str, call: &Call) -> Outcome<Seen> {
        let mut world = self.lock();
        world.calls.push(format!("{} {name}", call.verb()));
        let seen = match (call, world.things.get_mut(name)) {
            (Call::Create { uid, .. }, Some(thing)) if thing.uid == *uid => Some(thing.clone()),
            (Call::Create { .. }, Some(_)) => {
                return Outcome::Terminal(Note::new(Reason::NameTaken, format!("{name} belongs to somebody else")));
            }
            (Call::Create { uid, size }, None) => {
                let thing = Thing { uid: *uid, size: *size, on: false, reboots: 0 };
                world.things.insert(name.to_owned(), thing.clone());
                Some(thing)
            }
            (Call::Delete, _) => {
                world.things.remove(name);
                None
            }
            (_, None) => return Outcome::Retry { after: None, note: busy("it does not exist") },
            (Call::Resize { size }, Some(thing)) => {
                thing.size = *size;
                Some(thing.clone())
            }
            (Call::Power { on }, Some(thing)) => {
                thing.on = *on;
                Some(thing.clone())
            }
            (Call::Reboot, Some(thing)) => {
                thing.reboots += 1;
                Some(thing.clone())
            }
        };
        Outcome::Done(Seen { name: name.to_owned(), thing: seen })
    }
}

fn busy(what: &str) -> Note {
    Note::new(Reason::ProviderBusy, what)
}

/// What an answer showed.
#[derive(Clone, Debug)]
pub struct Seen {
    name: String,
    thing: Option<Thing>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Create { uid: Uid, size: i64 },
    Delete,
    Resize { size: i64 },
    Power { on: bool },
    Reboot,
}

impl Call {
    const fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete => "delete",
            Self::Resize { .. } => "resize",
            Self::Power { .. } => "power",
            Self::Reboot => "reboot",
        }
    }
}

fn step(name: &str, call: &Call, action_seq: Option<i64>) -> Plan {
    Plan::Act(Box::new(Step {
        serial: vec![name.to_owned()],
        action_seq,
        sets: match call {
            Call::Resize { size } => Some((format!("size:{name}"), size.to_string())),
            Call::Power { on } => Some((format!("power:{name}"), on.to_string())),
            Call::Create { .. } | Call::Delete | Call::Reboot => None,
        },
        ..Step::new(call.verb(), name, serde_json::to_value(call).unwrap_or_default())
    }))
}

/// What lists showed.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    things: BTreeMap<String, Thing>,
    marker: Option<Marker>,
}

#[async_trait]
impl CloudProvider for FakeCloud {
    type Snapshot = Shown;
    type Observation = Seen;

    fn identity(&self) -> &'static Provider {
        &super::PROVIDER
    }

    async fn observe(&self, access: &Access) -> Result<Shown, CloudError> {
        sleep(self.latency).await;
        let world = self.lock();
        Ok(Shown { things: world.things.clone(), marker: world.marker_of(&access.project) })
    }

    fn absorb(&self, snapshot: &mut Shown, seen: Seen) {
        match seen.thing {
            Some(thing) => snapshot.things.insert(seen.name, thing),
            None => snapshot.things.remove(&seen.name),
        };
    }

    fn overdue(&self, _project: &ProjectId, _action: &str) -> Option<Note> {
        None
    }

    fn marker(&self, snapshot: &Shown, _installation: &str) -> Option<Marker> {
        snapshot.marker.clone()
    }

    async fn read_marker(&self, access: &Access, _installation: &str) -> Result<Option<Marker>, CloudError> {
        sleep(self.latency).await;
        Ok(self.lock().marker_of(&access.project))
    }

    async fn write_marker(
        &self,
        access: &Access,
        _installation: &str,
        epoch: &Epoch,
        _known: Option<&Marker>,
        gate: &Arc<dyn Gate>,
    ) -> Result<(), CloudError> {
        let failed = |note: Note| CloudError { note, after: None };
        self.turn(gate).await.map_err(failed)?;
        let fault = {
            let scripted = self.lock().marker_script.pop();
            scripted.unwrap_or_else(|| if self.chaos { self.fault() } else { Fault::None })
        };
        // Detached, as every call.
        let (cloud, project, epoch, latency) = (self.clone(), access.project.clone(), epoch.clone(), self.latency);
        let request = tokio::spawn(async move {
            sleep(latency).await;
            match fault {
                Fault::None => {
                    cloud.mark(&project, Some(&epoch));
                    return Ok(());
                }
                Fault::Error | Fault::Terminal => {}
                Fault::LostReply => cloud.mark(&project, Some(&epoch)),
                Fault::Late(delay) => drop(tokio::spawn(async move {
                    sleep(delay).await;
                    cloud.mark(&project, Some(&epoch));
                })),
            }
            Err(busy("the marker was not written, as far as is known"))
        });
        request.await.unwrap_or_else(|_| Err(busy("the request died"))).map_err(failed)
    }

    fn plan(&self, desired: &Desired<'_>, snapshot: &Shown, _now: Timestamp) -> Planned {
        let resource = &desired.bundle.resource;
        if resource.key.kind == seca_api::Kind::Workspace {
            return Planned::new(if resource.is_deleting() && desired.bundle.child_count > 0 {
                Plan::Wait { retry: None }
            } else {
                Plan::Nothing
            });
        }
        let name = format!("thing-{}", resource.uid);
        let size = serde_json::from_str::<Value>(&resource.spec)
            .ok()
            .and_then(|spec| spec.get("sizeGB").and_then(Value::as_i64))
            .unwrap_or(0);
        let thing = snapshot.things.get(&name);
        let plan = match (resource.is_deleting(), thing) {
            (true, None) => Plan::Nothing,
            (true, Some(_)) => step(&name, &Call::Delete, None),
            (false, None) => step(&name, &Call::Create { uid: resource.uid, size }, None),
            (false, Some(thing)) if thing.size != size => step(&name, &Call::Resize { size }, None),
            (false, Some(thing)) if self.lock().is_restless => {
                step(&name, &Call::Resize { size: thing.size.saturating_add(1) }, None)
            }
            (false, Some(thing)) => match resource.action.pending() {
                Some(crate::ActionKind::Restart) => step(&name, &Call::Reboot, Some(resource.action.seq)),
                Some(kind) if kind.powers_on() != thing.on => step(&name, &Call::Power { on: kind.powers_on() }, None),
                _ => Plan::Nothing,
            },
        };
        let mut status = Map::new();
        let power = if thing.is_some_and(|t| t.on) { PowerState::On } else { PowerState::Off };
        status.insert("powerState".to_owned(), json!(power));
        let done = plan == Plan::Nothing && resource.action.pending().is_some();
        Planned { status: Some(status), action_done: done.then_some(resource.action.seq), ..Planned::new(plan) }
    }

    async fn execute(&self, _access: &Access, step: &Step, gate: &Arc<dyn Gate>) -> Outcome<Seen> {
        if let Err(note) = self.turn(gate).await {
            return Outcome::Retry { after: None, note };
        }
        let Ok(call) = serde_json::from_value::<Call>(step.payload.clone()) else {
            return Outcome::Terminal(busy("an unreadable step"));
        };
        let fault = self.fault();
        gate.sent();
        self.lock().sent += 1;
        // Detached: the sender may die, the request goes on.
        let (cloud, name, latency) = (self.clone(), step.target.clone(), self.latency);
        let request = tokio::spawn(async move {
            sleep(latency).await;
            match fault {
                Fault::None => cloud.effect(&name, &call),
                Fault::Error => Outcome::Retry { after: None, note: busy("an injected error") },
                Fault::Terminal => Outcome::Terminal(Note::new(Reason::ProviderRefused, "an injected refusal")),
                Fault::LostReply => {
                    cloud.effect(&name, &call);
                    Outcome::Unknown("the answer was lost".to_owned())
                }
                Fault::Late(delay) => {
                    tokio::spawn(async move {
                        sleep(delay).await;
                        cloud.effect(&name, &call);
                    });
                    Outcome::Unknown("the answer was lost".to_owned())
                }
            }
        });
        request.await.unwrap_or_else(|_| Outcome::Unknown("the request died".to_owned()))
    }

    async fn wait(&self, access: &Access, step: &Step, _action: &str, gate: &Arc<dyn Gate>) -> Outcome<Seen> {
        self.verify(access, step, gate).await
    }

    async fn verify(&self, _access: &Access, step: &Step, gate: &Arc<dyn Gate>) -> Outcome<Seen> {
        gate.sent();
        sleep(self.latency).await;
        let thing = self.things().get(&step.target).cloned();
        let call = serde_json::from_value::<Call>(step.payload.clone()).ok();
        let seen = match (&call, &thing) {
            (Some(Call::Create { uid, .. }), Some(thing)) => thing.uid == *uid,
            (Some(Call::Delete), None) => true,
            (Some(Call::Resize { size }), Some(thing)) => thing.size == *size,
            (Some(Call::Power { on }), Some(thing)) => thing.on == *on,
            (Some(Call::Reboot), Some(thing)) => thing.reboots > 0,
            _ => false,
        };
        if seen {
            Outcome::Done(Seen { name: step.target.clone(), thing })
        } else {
            Outcome::Retry { after: None, note: busy("not seen") }
        }
    }

    fn owned(&self, snapshot: &Shown, _installation: &str) -> Vec<OwnedObject> {
        let owned = |(name, thing): (&String, &Thing)| OwnedObject {
            object_type: "thing".to_owned(),
            id: name.clone(),
            name: name.clone(),
            uid: Some(thing.uid),
            ..OwnedObject::default()
        };
        snapshot.things.iter().map(owned).collect()
    }

    fn removal(&self, object: &OwnedObject) -> Option<Step> {
        match step(&object.name, &Call::Delete, None) {
            Plan::Act(step) => Some(*step),
            _ => None,
        }
    }

    fn discard(&self, object: &OwnedObject, _installation: &str) -> Option<Step> {
        self.removal(object)
    }

    fn budget(&self, _project: &ProjectId) -> Option<RequestBudget> {
        self.lock().budget
    }

    async fn catalog(&self, _access: &Access) -> Result<Vec<CatalogEntry>, CloudError> {
        sleep(CATALOG_TIME).await;
        Ok(Vec::new())
    }

    fn fallback_catalog(&self) -> Vec<CatalogEntry> {
        Vec::new()
    }
}

#[async_trait]
impl ProjectFinder for FakeCloud {
    async fn find(&self, access: &Access, _installation: &str) -> Result<Found, BindError> {
        let world = self.lock();
        Ok(Found {
            marker: world.marker_of(&access.project),
            uids: world.things.values().map(|thing| thing.uid).collect(),
        })
    }

    async fn mark(
        &self,
        _access: &Access,
        _installation: &str,
        project: &ProjectId,
        found: &Found,
    ) -> Result<ProjectId, BindError> {
        let project = found.project().unwrap_or(project);
        self.mark(project, None);
        Ok(project.clone())
    }
}

/// Waits until something holds, under paused time too. Fails after `limit` of tokio's time.
///
/// # Panics
/// When it does not hold in time.
#[expect(clippy::panic, reason = "a test's own deadline")]
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, limit: Duration, mut holds: F) {
    let begun = Instant::now();
    while !holds().await {
        let waited = begun.elapsed();
        if waited >= limit {
            panic!("not in time: {what}");
        }
        // Looking costs real time, also where time is paused: what takes minutes is not looked for all the time.
        sleep(Duration::from_millis(match waited.as_secs() {
            0..10 => 50,
            10..60 => 500,
            _ => 2_000,
        }))
        .await;
    }
}
