//! A resource as the store keeps it: what was asked for, what became of it, and the counters between the two.

use std::{fmt, str::FromStr};

use seca_api::{ResourceKey, ResourceState, StatusCondition, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The identity of one life of a resource (UUIDv7): a resource made again under an old name has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = "uuid"))]
#[serde(transparent)]
pub struct Uid(pub Uuid);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Uid {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// A provider project: the unit of leases, budgets and address plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct ProjectId(pub String);

impl ProjectId {
    /// The project that needs no provider: it owns what lives in the database alone, and workspaces (with
    /// their children) that wait for a token.
    pub const LOCAL: &'static str = "local";

    /// The local project.
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }

    /// Whether this is the local project.
    pub fn is_local(&self) -> bool {
        self.0 == Self::LOCAL
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A power action on an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Off to on.
    Start,
    /// On to off: a shutdown, after a grace period a power-off.
    Stop,
    /// On to on, through a reboot.
    Restart,
}

impl ActionKind {
    /// The path segment and the database's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// Finds an action by its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Start, Self::Stop, Self::Restart].into_iter().find(|a| a.as_str() == text)
    }

    /// The power that the action asks for.
    pub const fn powers_on(self) -> bool {
        matches!(self, Self::Start | Self::Restart)
    }
}

/// The last accepted power action of an instance: a row, not a hint, so that no crash loses or repeats it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionState {
    /// The last accepted action; none for an instance that was never asked for anything.
    pub kind: Option<ActionKind>,
    /// How many actions were accepted.
    pub seq: i64,
    /// The number of the last action that is done.
    pub done_seq: i64,
}

impl ActionState {
    /// The power that was last asked for; a new instance is off.
    pub fn desired_on(self) -> bool {
        self.kind.is_some_and(ActionKind::powers_on)
    }

    /// The action that is still to be done.
    pub fn pending(self) -> Option<ActionKind> {
        if self.seq > self.done_seq { self.kind } else { None }
    }
}

/// A resource: the row of any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// This life's identity.
    pub uid: Uid,
    /// What names it.
    pub key: ResourceKey,
    /// The project whose lease holder reconciles it.
    pub project: ProjectId,
    /// The user's labels as received, a JSON object.
    pub labels: Option<String>,
    /// The user's annotations as received, a JSON object.
    pub annotations: Option<String>,
    /// The user's extensions as received, a JSON object.
    pub extensions: Option<String>,
    /// The specification as received, after the three rewrites of [`seca_api::schema`]: a JSON object.
    pub spec: String,
    /// The kind's own status members, a JSON object without `state` and `conditions`.
    pub status: String,
    /// The state.
    pub state: ResourceState,
    /// The transitions of the state, newest first.
    pub conditions: Vec<StatusCondition>,
    /// +1 per accepted PUT, DELETE or action, and when a role of an assignment leaves: what clients see and compare.
    pub resource_version: i64,
    /// +1 whenever there is something new to reconcile.
    pub generation: i64,
    /// The generation that the last convergence agreed with.
    pub observed_generation: i64,
    /// +1 whenever the rendered representation changes.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last modified by a client; strictly rising.
    pub last_modified_at: Timestamp,
    /// When its deletion was accepted.
    pub deleted_at: Option<Timestamp>,
    /// What the provider's adapter remembers about it, a JSON object of its own. A cache, but for the marks
    /// that are set before a call makes them true.
    pub facts: Map<String, Value>,
    /// Who holds it exclusively: the instance that boots from a block storage.
    pub holder: Option<Uid>,
    /// The last accepted power action.
    pub action: ActionState,
}

/// A row as clients are shown it. Texts are as they are stored: rendering copies them.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// See [`Resource::uid`]. None in a list: it is not shown, and nobody waits for an item of a list.
    pub uid: Option<Uid>,
    /// See [`Resource::key`].
    pub key: ResourceKey,
    /// See [`Resource::labels`].
    pub labels: Option<String>,
    /// See [`Resource::annotations`].
    pub annotations: Option<String>,
    /// See [`Resource::extensions`].
    pub extensions: Option<String>,
    /// See [`Resource::spec`].
    pub spec: String,
    /// See [`Resource::status`].
    pub status: String,
    /// See [`Resource::state`].
    pub state: ResourceState,
    /// The transitions of the state, newest first, a JSON array.
    pub conditions: String,
    /// See [`Resource::resource_version`].
    pub resource_version: i64,
    /// See [`Resource::revision`].
    pub revision: i64,
    /// See [`Resource::created_at`].
    pub created_at: Timestamp,
    /// See [`Resource::last_modified_at`].
    pub last_modified_at: Timestamp,
    /// See [`Resource::deleted_at`].
    pub deleted_at: Option<Timestamp>,
}

impl Representation {
    /// When its newest transition was.
    pub fn since(&self) -> Option<Timestamp> {
        let conditions: Vec<StatusCondition> = serde_json::from_str(&self.conditions).ok()?;
        conditions.first().map(|newest| newest.last_transition_at)
    }
}

impl From<Resource> for Representation {
    fn from(row: Resource) -> Self {
        Self {
            uid: Some(row.uid),
            key: row.key,
            labels: row.labels,
            annotations: row.annotations,
            extensions: row.extensions,
            spec: row.spec,
            status: row.status,
            state: row.state,
            // Texts, numbers and words can always be written.
            conditions: serde_json::to_string(&row.conditions).unwrap_or_default(),
            resource_version: row.resource_version,
            revision: row.revision,
            created_at: row.created_at,
            last_modified_at: row.last_modified_at,
            deleted_at: row.deleted_at,
        }
    }
}

impl Resource {
    /// The specification as the kind's type.
    ///
    /// # Errors
    /// When the stored text does not fit the type: the row was written by a release with other rules.
    pub fn spec<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.spec)
    }

    /// The status members as the kind's type.
    ///
    /// # Errors
    /// As for [`Self::spec`].
    pub fn status<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.status)
    }

    /// The value of one user extension.
    pub fn extension(&self, name: &str) -> Option<String> {
        let all: Map<String, Value> = serde_json::from_str(self.extensions.as_deref()?).ok()?;
        all.get(name)?.as_str().map(str::to_owned)
    }

    /// Whether its deletion was accepted.
    pub const fn is_deleting(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// Whether it was ever active.
    pub fn was_active(&self) -> bool {
        self.observed_generation > 0
    }

    /// A fact as text.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name)?.as_str()
    }

    /// Whether a mark is set.
    pub fn marked(&self, name: &str) -> bool {
        self.facts.get(name) == Some(&Value::Bool(true))
    }
}
