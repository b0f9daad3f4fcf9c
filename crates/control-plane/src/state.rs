//! The state machine: what accepted writes and observations do to a row. Pure; every store calls these
//! functions inside its transactions, so that no two stores can disagree.
//!
//! | happens | in | conditions |
//! |---|---|---|
//! | created | – | `pending` |
//! | first work | `pending` | prepends `creating` |
//! | converged | `pending` | prepends `creating`, then `active` |
//! | converged | `creating`, `updating`, `error` | prepends `active` |
//! | PUT or action accepted | `active`, `error` | prepends `updating` (`creating` if never active) |
//! | PUT or action accepted | `pending`, `creating`, `updating` | nothing; the generation rises |
//! | a role of an assignment left | any but `deleting` | as for a PUT |
//! | failed for good | any but `error`, `deleting` | prepends `error` |
//! | DELETE accepted | any | prepends `deleting` |
//! | anything else worth knowing | any | reason and message of the newest entry, in place |

use seca_api::{InstanceStatus, PowerState, ResourceState, StatusCondition, Timestamp};
use serde_json::{Map, Value};

use crate::{
    ports::{Commit, Mark, Note, Put, Verdict},
    resource::{ActionKind, ActionState, ProjectId, Resource},
};

/// Why a power action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionRefusal {
    /// It is to be on already (start), or off already (stop, restart).
    Power {
        /// What was asked for.
        asked: ActionKind,
        /// Whether it is on, or is to be.
        is_on: bool,
    },
    /// The instance is being deleted.
    Deleting,
}

/// A new row.
pub fn create(put: Put, project: ProjectId) -> Resource {
    let mut action = ActionState::default();
    if put.start {
        action = ActionState { kind: Some(ActionKind::Start), seq: 1, done_seq: 0 };
    }
    Resource {
        uid: put.uid,
        key: put.key,
        project,
        labels: put.labels,
        annotations: put.annotations,
        extensions: put.extensions,
        spec: put.spec,
        status: put.initial_status,
        state: ResourceState::Pending,
        conditions: vec![StatusCondition::new(ResourceState::Pending, put.now)],
        resource_version: 1,
        generation: 1,
        observed_generation: 0,
        revision: 1,
        created_at: put.now,
        last_modified_at: put.now,
        deleted_at: None,
        facts: Map::new(),
        holder: None,
        action,
    }
}

/// An accepted PUT on an existing row.
pub fn update(row: &mut Resource, put: &Put) {
    row.labels.clone_from(&put.labels);
    row.annotations.clone_from(&put.annotations);
    row.extensions.clone_from(&put.extensions);
    row.spec.clone_from(&put.spec);
    if put.start && !row.action.desired_on() {
        row.action = ActionState { kind: Some(ActionKind::Start), seq: row.action.seq + 1, ..row.action };
    }
    accept_change(row, put.now);
}

/// A specification that is another one because of what happened to something else ([`crate::assigned`]).
pub fn respecify(row: &mut Resource, spec: String, now: Timestamp) {
    row.spec = spec;
    accept_change(row, now);
}

/// Judges a power action by what the client knows of the power: what the last accepted action asks for while that is not
/// done, so that bursts are refused; else what the status shows, so that what a person did at the console can be
/// answered.
///
/// # Errors
/// When the action does not fit.
pub fn judge_action(row: &Resource, asked: ActionKind) -> Result<(), ActionRefusal> {
    if row.is_deleting() {
        return Err(ActionRefusal::Deleting);
    }
    let is_on = match row.action.pending() {
        Some(pending) => pending.powers_on(),
        None => row.status::<InstanceStatus>().is_ok_and(|status| status.power_state == PowerState::On),
    };
    let needs_on = !matches!(asked, ActionKind::Start);
    if is_on == needs_on { Ok(()) } else { Err(ActionRefusal::Power { asked, is_on }) }
}

/// An accepted power action.
pub fn act(row: &mut Resource, action: ActionKind, now: Timestamp) {
    row.action = ActionState { kind: Some(action), seq: row.action.seq + 1, ..row.action };
    accept_change(row, now);
}

fn accept_change(row: &mut Resource, now: Timestamp) {
    touch(row, now);
    row.generation += 1;
    if matches!(row.state, ResourceState::Active | ResourceState::Error) {
        let next = if row.was_active() { ResourceState::Updating } else { ResourceState::Creating };
        enter(row, next, now, None);
    }
}

/// An accepted DELETE. False when it was accepted before, and nothing changes.
pub fn delete(row: &mut Resource, now: Timestamp) -> bool {
    if row.is_deleting() {
        return false;
    }
    touch(row, now);
    row.generation += 1;
    row.deleted_at = Some(row.last_modified_at);
    enter(row, ResourceState::Deleting, now, None);
    true
}

/// What changed by a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The row must be written.
    pub row: bool,
    /// Others may decide otherwise now: wake what is related.
    pub relevant: bool,
}

/// What the engine found. The caller has checked the lease.
pub fn commit(row: &mut Resource, commit: &Commit) -> Changed {
    let before = row.clone();
    merge(&mut row.facts, &commit.facts);
    if let Some(status) = &commit.status {
        let text = Value::Object(status.clone()).to_string();
        row.status = text;
    }
    if let Some(done) = commit.action_done {
        row.action.done_seq = row.action.done_seq.max(done.min(row.action.seq));
    }
    let newest = row.generation == commit.generation && row.action.seq == commit.action_seq;
    let note = commit.note.as_ref();
    match commit.verdict {
        Verdict::Waiting => annotate(row, note),
        Verdict::Working => {
            if row.state == ResourceState::Pending {
                enter(row, ResourceState::Creating, commit.now, note);
            } else {
                annotate(row, note);
            }
        }
        Verdict::Converged if newest && row.action.pending().is_none() => converge(row, commit.now, note),
        Verdict::Deferred if newest => converge(row, commit.now, note),
        Verdict::Converged | Verdict::Deferred => annotate(row, note),
        Verdict::Failed => {
            if matches!(row.state, ResourceState::Error | ResourceState::Deleting) {
                annotate(row, note);
            } else {
                enter(row, ResourceState::Error, commit.now, note);
            }
        }
    }
    let rendered = row.status != before.status || row.conditions != before.conditions;
    if rendered {
        row.revision += 1;
    }
    let facts = row.facts != before.facts;
    let moved = row.state != before.state || row.status != before.status;
    Changed { row: *row != before, relevant: moved || facts }
}

fn converge(row: &mut Resource, now: Timestamp, note: Option<&Note>) {
    row.observed_generation = row.generation;
    match row.state {
        ResourceState::Active | ResourceState::Deleting => annotate(row, note),
        ResourceState::Pending => {
            enter(row, ResourceState::Creating, now, None);
            enter(row, ResourceState::Active, now, note);
        }
        ResourceState::Creating | ResourceState::Updating | ResourceState::Error => {
            enter(row, ResourceState::Active, now, note);
        }
    }
}

/// Merges facts; a null removes one.
pub fn merge(facts: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, value) in changes {
        if value.is_null() {
            facts.shift_remove(name);
        } else {
            facts.insert(name.clone(), value.clone());
        }
    }
}

/// Takes a mark back whose call certainly failed, as far as the facts are still what it made them.
pub fn undo(facts: &mut Map<String, Value>, mark: &Mark) {
    for (name, before) in &mark.undo {
        let made = mark.facts.get(name).filter(|value| !value.is_null());
        if mark.facts.contains_key(name) && facts.get(name) == made {
            merge(facts, &Map::from_iter([(name.clone(), before.clone())]));
        }
    }
}

fn touch(row: &mut Resource, now: Timestamp) {
    row.resource_version += 1;
    row.revision += 1;
    row.last_modified_at = now.after(row.last_modified_at);
}

fn enter(row: &mut Resource, state: ResourceState, now: Timestamp, note: Option<&Note>) {
    let last = row.conditions.first().map_or(now, |c| c.last_transition_at);
    let mut condition = StatusCondition::new(state, now.max(last));
    condition.reason = note.map(|n| n.reason.as_str().to_owned());
    condition.message = note.map(|n| n.message.clone());
    row.state = state;
    row.conditions.insert(0, condition);
    row.conditions.truncate(StatusCondition::MAX);
}

fn annotate(row: &mut Resource, note: Option<&Note>) {
    if let Some(newest) = row.conditions.first_mut() {
        newest.reason = note.map(|n| n.reason.as_str().to_owned());
        newest.message = note.map(|n| n.message.clone());
    }
}
