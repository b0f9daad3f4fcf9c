//! The cloud: what a provider's adapter does for the engine.
//!
//! Planning is pure and lives behind this port, because only the adapter knows its objects; the engine knows
//! when to plan, what to record before acting, and what to make of an outcome.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use seca_api::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::{
    catalog::{Catalog, CatalogEntry},
    ports::{Bundle, Epoch, Provider, Tie},
    reason::Reason,
    resource::{ProjectId, Resource, Uid},
};

/// The right to speak to one project.
#[derive(Clone, Debug)]
pub struct Access {
    /// The project.
    pub project: ProjectId,
    /// The API's base URL, with its version.
    pub endpoint: Url,
    /// The project's token.
    pub token: SecretString,
}

/// Everything that a decision about one resource may look at.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    /// The resource, its parents, its targets, its referrers, and its unfinished steps.
    pub bundle: &'a Bundle,
    /// The catalogue of the moment.
    pub catalog: &'a Catalog,
    /// The id of this installation, which marks what is ours.
    pub installation: &'a str,
    /// How long a graceful stop may take before the power is cut.
    pub stop_grace: Duration,
}

/// What to do next about one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The observation agrees with what is desired; for a resource that is being deleted: nothing is left.
    Nothing,
    /// The observation agrees with what is desired, but for the last power action, which waits until another resource lets
    /// something go. The resource is `active` meanwhile.
    Defer,
    /// Something else must happen first. Looked at again when a related resource changes, and after `retry`.
    Wait {
        /// When to look again without being woken.
        retry: Option<Duration>,
    },
    /// Make one call.
    Act(Box<Step>),
    /// Make or end ties in the store, all of them or none; then it is planned again.
    Tie(Vec<Tie>),
    /// What is desired cannot be had as it is; tried again slowly.
    Fail,
}

/// A plan, and what a person and the row must know along with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What to do.
    pub plan: Plan,
    /// Reason and sentence for the newest condition; none clears it.
    pub note: Option<Note>,
    /// The kind's status members as observed; none leaves them.
    pub status: Option<Map<String, Value>>,
    /// Facts to remember, merged into the row's; a null removes one.
    pub facts: Map<String, Value>,
    /// The last power action that is seen to be done, by its number.
    pub action_done: Option<i64>,
    /// When to look again at what agrees ([`Plan::Nothing`]), though nothing wakes it; none: when woken.
    pub again: Option<Duration>,
}

impl Planned {
    /// A plan without a word.
    pub fn new(plan: Plan) -> Self {
        Self { plan, note: None, status: None, facts: Map::new(), action_done: None, again: None }
    }

    /// The same plan with a note.
    #[must_use]
    pub fn note(mut self, reason: Reason, message: impl Into<String>) -> Self {
        self.note = Some(Note::new(reason, message));
        self
    }
}

/// What the newest condition says beyond its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A word of the closed vocabulary.
    pub reason: Reason,
    /// A sentence: what is so, and what helps.
    pub message: String,
    /// For how long from now it is so, where that is known: the engine ends the sentence with the time, `until 10:15:20Z`.
    pub lasts: Option<Duration>,
}

impl Note {
    /// What the newest condition of a resource says now.
    pub fn of(resource: &Resource) -> Option<Self> {
        let newest = resource.conditions.first()?;
        let word = newest.reason.as_deref()?;
        let reason = Reason::ALL.iter().find(|reason| reason.as_str() == word)?;
        Some(Self::new(*reason, newest.message.clone().unwrap_or_default()))
    }

    /// A note.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), lasts: None }
    }

    /// The same note, which holds for so long from now.
    #[must_use]
    pub fn lasting(self, left: Duration) -> Self {
        Self { lasts: Some(left), ..self }
    }
}

/// One provider call, as data: recorded before it is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What is called: `create_server`.
    pub operation: String,
    /// The name of the provider's object.
    pub target: String,
    /// What this call must not share time with: `server:42`, `network:7`. Steps with a common key run one
    /// after the other.
    pub serial: Vec<String>,
    /// The adapter's own description of the call.
    pub payload: Value,
    /// Facts that the call makes true, committed with the intent, because after a crash nobody could tell.
    pub marks: Vec<Mark>,
    /// The power action that is done when this step is done, by its number: the engine takes it as done then.
    /// None where the observation tells (`running` after a start), and the plan reports it instead.
    pub action_seq: Option<i64>,
    /// What the call sets, and to what (`power:42`, `off`): while the outcome of one call is unknown, another that
    /// sets the same to something else waits, because the first may yet take effect and undo it.
    #[serde(default)]
    pub sets: Option<(String, String)>,
    /// Whether the call only reads: then it is not recorded, and nobody minds a lost answer.
    #[serde(default)]
    pub reads: bool,
    /// Whether the call removes an object, so that what waits for a limit has room again.
    #[serde(default)]
    pub frees: bool,
    /// What the call needs and no record may hold: an instance's user data. It dies with the process, which is
    /// no loss, because a recorded step is looked up and never sent again.
    #[serde(skip)]
    pub secret: Option<SecretString>,
}

impl PartialEq for Step {
    /// A step equals its record, which has no secret.
    fn eq(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.target == other.target
            && self.serial == other.serial
            && self.payload == other.payload
            && self.marks == other.marks
            && self.action_seq == other.action_seq
            && self.sets == other.sets
            && self.reads == other.reads
            && self.frees == other.frees
    }
}

impl Step {
    /// A step without serial keys, marks and action.
    pub fn new(operation: &str, target: &str, payload: Value) -> Self {
        Self {
            operation: operation.to_owned(),
            target: target.to_owned(),
            serial: Vec::new(),
            payload,
            marks: Vec::new(),
            action_seq: None,
            sets: None,
            reads: false,
            frees: false,
            secret: None,
        }
    }
}

/// A fact to commit together with the intent of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The resource; not always the one that is planned.
    pub uid: Uid,
    /// Merged into its facts.
    pub facts: Map<String, Value>,
    /// Merged into its facts when the call certainly failed: what each of the facts was before, null for none. A fact
    /// that is not what the mark made it any more stays as it is.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub undo: Map<String, Value>,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub enum Outcome<O> {
    /// It took effect, as observed.
    Done(O),
    /// The provider works on it under this action id.
    Running {
        /// The id to wait for.
        action: String,
        /// What the answer showed already.
        observation: O,
    },
    /// It may have taken effect, or may yet: the answer was lost.
    Unknown(String),
    /// It did not take effect, and may the next time.
    Retry {
        /// Not before; none for the engine's own backoff.
        after: Option<Duration>,
        /// What a person should know meanwhile.
        note: Note,
    },
    /// It did not take effect, because what it was planned by is not so: this is. The plan begins with it, at once or,
    /// where a try failed, after a while.
    Refuted {
        /// What is so.
        observation: O,
        /// When to try again (none: the engine's own backoff), and what a person should know meanwhile.
        retry: Option<(Option<Duration>, Note)>,
    },
    /// It did not take effect and will not as it stands.
    Terminal(Note),
}

impl<O> Outcome<O> {
    /// The same with something else in place of what was observed.
    pub fn map<T>(self, change: impl FnOnce(O) -> T) -> Outcome<T> {
        match self {
            Self::Done(observation) => Outcome::Done(change(observation)),
            Self::Running { action, observation } => Outcome::Running { action, observation: change(observation) },
            Self::Unknown(message) => Outcome::Unknown(message),
            Self::Retry { after, note } => Outcome::Retry { after, note },
            Self::Refuted { observation, retry } => Outcome::Refuted { observation: change(observation), retry },
            Self::Terminal(note) => Outcome::Terminal(note),
        }
    }
}

/// Why a project could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", note.message)]
pub struct CloudError {
    /// What the resources of the project say meanwhile.
    pub note: Note,
    /// Not before; none for the engine's own backoff.
    pub after: Option<Duration>,
}

/// An object of this installation in the provider's project, for the sweep. What the release before writes down lacks all
/// behind `created`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OwnedObject {
    /// The provider's word for its type: `server`.
    #[serde(rename = "type")]
    pub object_type: String,
    /// The provider's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The `uid` that its label bears; none when it is unreadable.
    pub uid: Option<Uid>,
    /// When the provider made it.
    pub created: Option<Timestamp>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The data that it can hold, in GB; of a server its disk. None where it holds none.
    #[serde(default, rename = "sizeGB", skip_serializing_if = "Option::is_none")]
    pub size_gb: Option<u64>,
    /// The location in which it lies; none where it lies in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The object that has it, as people name it: `server 42`. None: nothing has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
    /// Its address, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl OwnedObject {
    /// Its type and id, as [`used_by`](Self::used_by) names an object.
    pub fn word(&self) -> String {
        format!("{} {}", self.object_type, self.id)
    }
}

/// How many requests the provider still takes for a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestBudget {
    /// The most that may be there: requests.
    pub limit: i64,
    /// Requests that may be sent now.
    pub remaining: i64,
    /// Requests that come back in an hour.
    pub refill_per_hour: i64,
    /// Requests that wait for their turn.
    pub waiting: i64,
}

/// Asked between a call's turn in the rate budget and its sending: a call waits for that turn, and meanwhile its lease
/// may have gone to another holder.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Whether the call may still be sent.
    ///
    /// # Errors
    /// A sentence that says why it must not be. Then nothing was sent, for certain.
    async fn may_send(&self) -> Result<(), String>;

    /// Told of each request to the provider that is sent for the call, reads and repetitions too.
    fn sent(&self);
}

/// The object by which the project behind a token is known again. It bears the project's id, and the epoch of the
/// database that rules the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The provider's id.
    pub id: String,
    /// The project's id; none when somebody took the label away.
    pub project: Option<ProjectId>,
    /// The epoch; none on a marker of an older release.
    pub epoch: Option<Epoch>,
    /// All labels that it bears, so that what others put there stays.
    pub labels: BTreeMap<String, String>,
}

/// What the engine needs of a provider.
#[async_trait]
pub trait CloudProvider: Send + Sync + 'static {
    /// All that is known of a project: belongs to the lease holder, lives in memory, is rebuilt on takeover.
    /// The default is what a project without objects shows, and what is planned with where no project is needed.
    type Snapshot: Default + Send + Sync + 'static;
    /// What one answer showed.
    type Observation: Send + Sync + 'static;

    /// The provider, in words and numbers.
    fn identity(&self) -> &'static Provider;

    /// Reads the whole project from lists.
    async fn observe(&self, access: &Access) -> Result<Self::Snapshot, CloudError>;

    /// Whether plans by one reading of a project come out as by the other, so that nobody need be looked at again. False
    /// where that is not known.
    fn shows_the_same(&self, _one: &Self::Snapshot, _other: &Self::Snapshot) -> bool {
        false
    }

    /// Takes a later observation into the snapshot.
    fn absorb(&self, snapshot: &mut Self::Snapshot, observation: Self::Observation);

    /// Decides about one resource. Pure.
    fn plan(&self, desired: &Desired<'_>, snapshot: &Self::Snapshot, now: Timestamp) -> Planned;

    /// Makes one call, once, if its gate lets it.
    async fn execute(&self, access: &Access, step: &Step, gate: &Arc<dyn Gate>) -> Outcome<Self::Observation>;

    /// Waits for an action that a call started. An action that the provider no longer knows is looked through:
    /// the object itself is read.
    async fn wait(
        &self,
        access: &Access,
        step: &Step,
        action: &str,
        gate: &Arc<dyn Gate>,
    ) -> Outcome<Self::Observation>;

    /// What to say of an action that is being waited for, once it takes much longer than it used to: its name, its id, and
    /// since when it runs.
    fn overdue(&self, project: &ProjectId, action: &str) -> Option<Note>;

    /// Reads what a call of unknown outcome was about, by name. `Done` when the effect is seen, `Retry` when it
    /// is not (yet).
    async fn verify(&self, access: &Access, step: &Step, gate: &Arc<dyn Gate>) -> Outcome<Self::Observation>;

    /// The marker as the lists showed it. None proves nothing: pages shift while others delete.
    fn marker(&self, snapshot: &Self::Snapshot, installation: &str) -> Option<Marker>;

    /// Looks for the marker, by its labels and by its name. None proves that there is none.
    async fn read_marker(&self, access: &Access, installation: &str) -> Result<Option<Marker>, CloudError>;

    /// Writes the access's project and an epoch to the marker, which is made when `known` is none or is gone.
    async fn write_marker(
        &self,
        access: &Access,
        installation: &str,
        epoch: &Epoch,
        known: Option<&Marker>,
        gate: &Arc<dyn Gate>,
    ) -> Result<(), CloudError>;

    /// The objects of an installation in a snapshot, but for its marker.
    fn owned(&self, snapshot: &Self::Snapshot, installation: &str) -> Vec<OwnedObject>;

    /// The call that removes an object whose resource is gone; none when it removes itself with another.
    fn removal(&self, object: &OwnedObject) -> Option<Step>;

    /// The call that removes an object that no resource claims, because an operator says so. It looks first whether the
    /// object still bears the installation's mark and is the same resource's as it was when a sweep saw it
    /// ([`Outcome::Refuted`]). None: its type is not known.
    fn discard(&self, object: &OwnedObject, installation: &str) -> Option<Step>;

    /// What is known of a project's request budget; none until the provider has answered for the project.
    fn budget(&self, project: &ProjectId) -> Option<RequestBudget>;

    /// Reads regions, SKUs and system images.
    async fn catalog(&self, access: &Access) -> Result<Vec<CatalogEntry>, CloudError>;

    /// What the catalogue is until it was first read.
    fn fallback_catalog(&self) -> Vec<CatalogEntry>;
}

/// What is found behind a token of which nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The marker of this installation.
    pub marker: Option<Marker>,
    /// Whose objects are there, by the labels of this installation. Read only where no marker names the project.
    pub uids: Vec<Uid>,
}

impl Found {
    /// The project, if its marker names it.
    pub fn project(&self) -> Option<&ProjectId> {
        self.marker.as_ref()?.project.as_ref()
    }
}

/// Finds the project behind a token, when a workspace is bound to it. The one use of the provider by a handler.
/// The `project` of an access is what is to be found out, and is ignored.
#[async_trait]
pub trait ProjectFinder: Send + Sync {
    /// Proves that the token is good, and looks for what tells the project: the marker of this installation, else its
    /// objects.
    async fn find(&self, access: &Access, installation: &str) -> Result<Found, BindError>;

    /// Writes the project's id to the marker, or makes the marker: that proves that the token may write. Gives the
    /// project that the marker names then: of two that make it at once, the other may have been first.
    async fn mark(
        &self,
        access: &Access,
        installation: &str,
        project: &ProjectId,
        found: &Found,
    ) -> Result<ProjectId, BindError>;
}

/// Why a token could not be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The provider does not know the token.
    #[error("the provider does not accept this token; create a read-write API token in the project and bind it again")]
    Rejected,
    /// The token may only read.
    #[error("this token is read-only; create a read-write API token in the project and bind it again")]
    ReadOnly,
    /// The provider could not be asked.
    #[error("the provider could not be asked about this token: {0}; try again")]
    Unavailable(String),
}
