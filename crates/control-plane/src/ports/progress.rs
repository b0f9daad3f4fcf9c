//! What the engine reads of the store, and what it writes down: leases, resources with their relations, steps, findings.

use std::time::Duration;

use seca_api::{Kind, ResourceKey, Timestamp};
use serde_json::{Map, Value};

use crate::{
    ports::{AuxiliaryUse, Note, Step},
    resource::{ProjectId, Resource, Uid},
};

/// A lease on a project. Its token fences every write of its holder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// The project.
    pub project: ProjectId,
    /// The fencing token: higher than that of every lease before.
    pub token: i64,
}

/// A number that rises whenever somebody takes a project over, and at times besides. The database and the marker in the
/// provider's project bear it, so that a database that was restored, or copied, is told from the one that went on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// The number: 0 before it was ever raised.
    pub number: i64,
    /// What tells two epochs of the same number apart: chance; empty before it was ever raised.
    pub nonce: String,
}

/// What a database knows of a project's epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectEpoch {
    /// The epoch that the marker bore for certain.
    pub current: Epoch,
    /// The one that it was about to bear: whether it does was not written down.
    pub wanted: Option<Epoch>,
    /// How long ago the epoch was last raised, by the database's time; none if never.
    pub raised: Option<Duration>,
    /// Why the project is paused: another database rules it.
    pub paused: Option<String>,
    /// Whether an operator declared the project gone for good: its rows leave without the provider.
    pub abandoned: bool,
}

/// A related resource, and the field that relates it.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// The referring field, as a JSON pointer.
    pub field: String,
    /// What it names.
    pub key: ResourceKey,
    /// The row, where it exists.
    pub resource: Option<Resource>,
}

/// A resource with all that a decision about it may look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The resource.
    pub resource: Resource,
    /// Its network (for subnets and route tables) and its workspace, nearest first.
    pub parents: Vec<Resource>,
    /// What it refers to.
    pub targets: Vec<Related>,
    /// What refers to it; `key` is the referrer's.
    pub referrers: Vec<Related>,
    /// Its children, for networks; none are loaded for a workspace.
    pub children: Vec<Resource>,
    /// The live resources that it must know of beside its relations ([`crate::kinds::KindRules::peers`]), oldest first.
    pub peers: Vec<Resource>,
    /// How many children it has, those that are being deleted included.
    pub child_count: i64,
    /// The auxiliaries that it uses.
    pub auxiliaries: Vec<AuxiliaryUse>,
    /// Its steps that are not known to be over, oldest first.
    pub open_steps: Vec<StepRecord>,
    /// Whether a step was ever recorded for it, whatever became of that: something may exist at the provider.
    pub touched: bool,
    /// How often in a row it was retried.
    pub attempts: u32,
    /// How often it was woken until now; a [`Commit`] hands it back, so that no later wake-up is lost.
    pub wake: i64,
}

impl Bundle {
    /// The target of a field.
    pub fn target(&self, field: &str) -> Option<&Related> {
        self.targets.iter().find(|t| t.field == field)
    }

    /// The parent of a kind.
    pub fn parent(&self, kind: Kind) -> Option<&Resource> {
        self.parents.iter().find(|p| p.key.kind == kind)
    }
}

/// What was written before a step is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The id of the step.
    pub id: i64,
    /// Its resource, as it is now.
    pub resource: Resource,
}

/// A recorded step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// Its id: rising.
    pub id: i64,
    /// Its resource.
    pub resource: Uid,
    /// The generation that it served.
    pub generation: i64,
    /// What was called.
    pub step: Step,
    /// What is known of it.
    pub state: StepState,
    /// The provider's action, when it answered with one.
    pub action: Option<String>,
    /// For how long its effect may have been late, by the database's time: since the intent was recorded, and anew
    /// since its answer was found to be missing, because a call may wait for the rate budget before it is sent.
    pub age: Duration,
}

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Recorded; the call may or may not have been made. After a crash: unknown.
    Intended,
    /// The provider works on it.
    Running,
    /// The answer was lost: it may take effect until the late window is over.
    Unknown,
    /// It took effect.
    Done,
    /// It did not.
    Failed,
}

impl StepState {
    /// The database's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Finds a state by its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Intended, Self::Running, Self::Unknown, Self::Done, Self::Failed]
            .into_iter()
            .find(|s| s.as_str() == text)
    }

    /// Whether nothing more can come of it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// What the engine found, to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The resource.
    pub uid: Uid,
    /// The generation that was looked at: convergence counts only if it is still the newest.
    pub generation: i64,
    /// The action number that was looked at.
    pub action_seq: i64,
    /// The [`Bundle::wake`] that was looked at: when it was woken since, it stays due whatever `next` says.
    pub wake: i64,
    /// What it amounts to.
    pub verdict: Verdict,
    /// Reason and sentence for the newest condition; none clears it.
    pub note: Option<Note>,
    /// Status members as observed; none leaves them.
    pub status: Option<Map<String, Value>>,
    /// Facts to merge; a null removes one.
    pub facts: Map<String, Value>,
    /// The last power action that is seen to be done.
    pub action_done: Option<i64>,
    /// When to look again; none: when woken.
    pub next: Option<Duration>,
    /// How often in a row it was retried by now: the measure of the backoff.
    pub attempts: u32,
    /// The engine's wall clock.
    pub now: Timestamp,
}

/// A look that found a resource as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The resource.
    pub uid: Uid,
    /// See [`Commit::wake`].
    pub wake: i64,
    /// See [`Commit::attempts`].
    pub attempts: u32,
    /// See [`Commit::next`].
    pub next: Option<Duration>,
}

/// What an observation amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was tried: it waits for something else.
    Waiting,
    /// It is being worked on.
    Working,
    /// What is, is what is asked for.
    Converged,
    /// The same, but that the last power action waits for another resource.
    Deferred,
    /// It cannot be had as it is.
    Failed,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum CommitOutcome {
    /// Written, or nothing to write. The row as it is.
    Done(Box<Resource>),
    /// The row is gone.
    Gone,
    /// The lease is lost: stop.
    Fenced,
}
