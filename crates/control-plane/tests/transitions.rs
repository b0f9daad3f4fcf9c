//! The transition table (at the top of `state.rs`, and in ARCHITECTURE.md §5) against the state machine: random
//! interleavings of what clients write and what the engine finds.
//!
//! [`Model`] is a second reading of that table, with fields of its own: it looks at nothing that the state machine
//! computes, so that a mistake would have to be made twice.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;

use control_plane::{
    ActionKind, ProjectId, Reason, Resource, Uid,
    ports::{Commit, Note, Put, Verdict},
    state::{self, ActionRefusal},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use seca_api::{Kind, ResourceKey, ResourceState, Timestamp};
use serde_json::{Map, Value, json};

/// How many conditions a status keeps (the specification's limit).
const KEPT: usize = 32;
const START: i64 = 1_700_000_000_000;

/// Which generation, or which action, the engine looked at: 0 is the newest one, 1 the one before it.
type Age = i64;

#[derive(Clone, Debug)]
enum Event {
    /// A PUT; without a change it is the same document again. `start`: with the extension that powers on.
    Put {
        change: bool,
        start: bool,
    },
    Action(ActionKind),
    /// What happens to an assignment when one of its roles leaves.
    RoleLeft,
    Delete,
    Commit {
        verdict: Verdict,
        generation: Age,
        action: Age,
        done: Option<Age>,
        note: Option<u8>,
        status: Option<u8>,
    },
}

/// An event, and by how many milliseconds the clock moved before it: it may stand still or go back.
type Moment = (i64, Event);

fn event() -> impl Strategy<Value = Event> {
    let action = prop_oneof![Just(ActionKind::Start), Just(ActionKind::Stop), Just(ActionKind::Restart)];
    let verdict = prop_oneof![
        1 => Just(Verdict::Waiting),
        2 => Just(Verdict::Working),
        4 => Just(Verdict::Converged),
        1 => Just(Verdict::Failed),
    ];
    let age = || prop_oneof![5 => Just(0), 1 => 1..3_i64];
    let commit = (
        verdict,
        age(),
        age(),
        proptest::option::weighted(0.7, age()),
        proptest::option::of(0..3_u8),
        proptest::option::of(0..2_u8),
    )
        .prop_map(|(verdict, generation, action, done, note, status)| Event::Commit {
            verdict,
            generation,
            action,
            done,
            note,
            status,
        });
    prop_oneof![
        80 => any::<(bool, bool)>().prop_map(|(change, start)| Event::Put { change, start: start && change }),
        60 => action.prop_map(Event::Action),
        10 => Just(Event::RoleLeft),
        5 => Just(Event::Delete),
        240 => commit,
    ]
}

fn story() -> impl Strategy<Value = Vec<Moment>> {
    let step = prop_oneof![3 => 0..500_i64, 1 => Just(0), 1 => -300..0_i64];
    // Short ones too: of those, many end early in a resource's life.
    let length = prop_oneof![1_usize..12, 12..160_usize];
    length.prop_flat_map(move |length| proptest::collection::vec((step.clone(), event()), length))
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    state: ResourceState,
    at: i64,
    said: Option<(String, String)>,
}

/// The table, read by a person. One line of it is one arm.
#[derive(Clone, Debug)]
struct Model {
    /// Newest first.
    history: Vec<Entry>,
    status: String,
    was_active: bool,
    version: i64,
    revision: i64,
    generation: i64,
    agreed_with: i64,
    modified: i64,
    deleted: Option<i64>,
    /// Every accepted action, oldest first.
    actions: Vec<ActionKind>,
    actions_done: usize,
    /// Which lines of the table were used, as (state before, what happened).
    used: BTreeSet<(&'static str, &'static str)>,
    was_full: bool,
}

impl Model {
    fn create(now: i64) -> Self {
        Self {
            history: vec![Entry { state: ResourceState::Pending, at: now, said: None }],
            status: "{}".to_owned(),
            was_active: false,
            version: 1,
            revision: 1,
            generation: 1,
            agreed_with: 0,
            modified: now,
            deleted: None,
            actions: Vec::new(),
            actions_done: 0,
            used: BTreeSet::new(),
            was_full: false,
        }
    }

    fn state(&self) -> ResourceState {
        self.history[0].state
    }

    fn is_on(&self) -> bool {
        matches!(self.actions.last(), Some(ActionKind::Start | ActionKind::Restart))
    }

    fn note_use(&mut self, what: &'static str) {
        self.used.insert((self.state().as_str(), what));
    }

    fn prepend(&mut self, state: ResourceState, now: i64, said: Option<(String, String)>) {
        let at = now.max(self.history[0].at);
        self.history.insert(0, Entry { state, at, said });
        self.was_full |= self.history.len() > KEPT;
        self.history.truncate(KEPT);
        self.was_active |= state == ResourceState::Active;
    }

    /// Any accepted write: a new version, a new rendering, something new to reconcile, a later time.
    fn write(&mut self, now: i64) {
        self.version += 1;
        self.revision += 1;
        self.generation += 1;
        self.modified = if now > self.modified { now } else { self.modified + 1 };
    }

    /// PUT or action accepted.
    fn change(&mut self, now: i64) {
        self.note_use("change");
        self.write(now);
        match self.state() {
            ResourceState::Active => self.prepend(ResourceState::Updating, now, None),
            ResourceState::Error if self.was_active => self.prepend(ResourceState::Updating, now, None),
            ResourceState::Error => self.prepend(ResourceState::Creating, now, None),
            ResourceState::Pending | ResourceState::Creating | ResourceState::Updating => {}
            ResourceState::Deleting => unreachable!("a conflict"),
        }
    }

    fn put(&mut self, start: bool, now: i64) {
        if start && !self.is_on() {
            self.actions.push(ActionKind::Start);
        }
        self.change(now);
    }

    /// Start needs off; stop and restart need on: as is asked for while that is not done, else as is shown. Nothing works
    /// on what is being deleted.
    fn allows(&self, asked: ActionKind) -> Result<(), ActionRefusal> {
        if self.deleted.is_some() {
            return Err(ActionRefusal::Deleting);
        }
        let is_done = self.actions_done == self.actions.len();
        let is_on = if is_done { self.status.contains(r#""on""#) } else { self.is_on() };
        match (asked, is_on) {
            (ActionKind::Start, false) | (ActionKind::Stop | ActionKind::Restart, true) => Ok(()),
            (_, is_on) => Err(ActionRefusal::Power { asked, is_on }),
        }
    }

    fn delete(&mut self, now: i64) -> bool {
        self.note_use("delete");
        if self.deleted.is_some() {
            return false;
        }
        self.write(now);
        self.deleted = Some(self.modified);
        self.prepend(ResourceState::Deleting, now, None);
        true
    }

    fn commit(&mut self, commit: &Commit) {
        use ResourceState::{Active, Creating, Deleting, Error, Pending, Updating};
        let now = commit.now.as_millis();
        let said = commit.note.as_ref().map(|note| (note.reason.as_str().to_owned(), note.message.clone()));
        let before = (self.history.clone(), self.status.clone());
        if let Some(status) = &commit.status {
            self.status = Value::Object(status.clone()).to_string();
        }
        if let Some(done) = commit.action_done {
            let done = usize::try_from(done).unwrap().min(self.actions.len());
            self.actions_done = self.actions_done.max(done);
        }
        let seq = i64::try_from(self.actions.len()).unwrap();
        let is_newest = commit.generation == self.generation && commit.action_seq == seq;
        let agrees = match commit.verdict {
            Verdict::Converged => is_newest && self.actions_done == self.actions.len(),
            // The action that is not done waits for somebody else.
            Verdict::Deferred => is_newest,
            _ => false,
        };
        self.note_use(match commit.verdict {
            Verdict::Waiting => "waiting",
            Verdict::Working => "working",
            Verdict::Failed => "failed",
            Verdict::Converged | Verdict::Deferred if agrees => "converged",
            Verdict::Converged | Verdict::Deferred => "converged with what is no longer asked for",
        });
        if agrees {
            self.agreed_with = self.generation;
        }
        match (commit.verdict, self.state()) {
            (Verdict::Working, Pending) => self.prepend(Creating, now, said),
            (Verdict::Converged | Verdict::Deferred, Pending) if agrees => {
                self.prepend(Creating, now, None);
                self.prepend(Active, now, said);
            }
            (Verdict::Converged | Verdict::Deferred, Creating | Updating | Error) if agrees => {
                self.prepend(Active, now, said)
            }
            (Verdict::Failed, Pending | Creating | Updating | Active) => self.prepend(Error, now, said),
            // Waiting, retries, a convergence with what is old, and all that happens to what is being deleted.
            (_, Pending | Creating | Updating | Active | Error | Deleting) => self.history[0].said = said,
        }
        if before != (self.history.clone(), self.status.clone()) {
            self.revision += 1;
        }
    }
}

/// The state machine and its model, side by side.
struct Pair {
    now: i64,
    row: Resource,
    model: Model,
}

fn put(start: bool, spec: &str, now: i64) -> Put {
    let workspace = ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", "shop");
    let key = ResourceKey { workspace: "shop".to_owned(), ..workspace }.sibling(Kind::Instance, "web");
    Put { start, ..Put::create(key, Uid(uuid::Uuid::from_u128(7)), spec, Timestamp::from_millis(now)) }
}

impl Pair {
    fn new() -> Self {
        let row = state::create(put(false, r#"{"n":0}"#, START), ProjectId::local());
        Self { now: START, row, model: Model::create(START) }
    }

    fn happen(&mut self, (step, event): &Moment) {
        self.now += step;
        let now = self.now;
        match event {
            // Refused before the state machine is asked: a conflict.
            Event::Put { .. } if self.model.deleted.is_some() => {}
            Event::Put { change, start } => {
                let spec = if *change { format!(r#"{{"n":{}}}"#, self.model.version) } else { self.row.spec.clone() };
                state::update(&mut self.row, &put(*start, &spec, now));
                assert_eq!(self.row.spec, spec);
                self.model.put(*start, now);
            }
            Event::Action(action) => {
                let verdict = state::judge_action(&self.row, *action);
                assert_eq!(verdict, self.model.allows(*action));
                if verdict.is_ok() {
                    state::act(&mut self.row, *action, Timestamp::from_millis(now));
                    self.model.actions.push(*action);
                    self.model.change(now);
                }
            }
            Event::RoleLeft if self.model.deleted.is_some() => {}
            Event::RoleLeft => {
                state::respecify(&mut self.row, "{}".to_owned(), Timestamp::from_millis(now));
                self.model.change(now);
            }
            Event::Delete => {
                let accepted = state::delete(&mut self.row, Timestamp::from_millis(now));
                assert_eq!(accepted, self.model.delete(now), "only the first DELETE changes anything");
            }
            Event::Commit { verdict, generation, action, done, note, status } => {
                let seq = i64::try_from(self.model.actions.len()).unwrap();
                let commit = Commit {
                    uid: self.row.uid,
                    generation: (self.model.generation - generation).max(1),
                    action_seq: (seq - action).max(0),
                    wake: 0,
                    verdict: *verdict,
                    note: note.map(|n| Note::new(Reason::ALL[usize::from(n)], format!("try {n}"))),
                    status: status
                        .map(|n| Map::from_iter([("powerState".to_owned(), json!(["off", "on"][usize::from(n)]))])),
                    facts: Map::new(),
                    action_done: done.map(|age| (seq - age).max(0)),
                    next: None,
                    attempts: 0,
                    now: Timestamp::from_millis(now),
                };
                let before = self.row.clone();
                let changed = state::commit(&mut self.row, &commit);
                assert_eq!(changed.row, before != self.row, "a store writes what changed, and only that");
                let moved = before.state != self.row.state || before.status != self.row.status;
                assert!(changed.relevant || !moved, "what is related hears of a new state");
                self.model.commit(&commit);
            }
        }
        self.compare();
    }

    fn compare(&self) {
        let (row, model) = (&self.row, &self.model);
        let history: Vec<_> = row
            .conditions
            .iter()
            .map(|c| Entry {
                state: c.state,
                at: c.last_transition_at.as_millis(),
                said: c.reason.clone().zip(c.message.clone()),
            })
            .collect();
        assert_eq!(history, model.history);
        assert_eq!(row.state, model.state());
        assert_eq!(row.status, model.status);
        assert!(history.len() <= KEPT && history.is_sorted_by(|newer, older| newer.at >= older.at), "{history:?}");
        assert_eq!(
            (row.resource_version, row.revision, row.generation, row.observed_generation),
            (model.version, model.revision, model.generation, model.agreed_with),
            "version, revision, generation, observed generation"
        );
        assert_eq!(row.created_at.as_millis(), START);
        assert_eq!(row.last_modified_at.as_millis(), model.modified);
        assert_eq!(row.deleted_at.map(Timestamp::as_millis), model.deleted);
        assert_eq!(row.action.kind, model.actions.last().copied());
        assert_eq!(usize::try_from(row.action.seq).unwrap(), model.actions.len());
        assert_eq!(usize::try_from(row.action.done_seq).unwrap(), model.actions_done);
        let active = row.state == ResourceState::Active;
        assert!(!active || row.observed_generation == row.generation, "active means: agrees with the newest write");
    }
}

fn play(story: &[Moment]) -> Pair {
    let mut pair = Pair::new();
    pair.compare();
    for moment in story {
        let (version, modified) = (pair.row.resource_version, pair.row.last_modified_at);
        pair.happen(moment);
        let written = pair.row.resource_version > version;
        assert_eq!(written, pair.row.last_modified_at > modified, "every accepted write is later than the one before");
    }
    pair
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_writes_and_findings_follows_the_transition_table(story in story()) {
        play(&story);
    }
}

/// The property is worth what its stories reach.
#[test]
fn the_stories_reach_every_line_of_the_table_and_a_full_history() {
    let mut runner = TestRunner::deterministic();
    let (mut used, mut full) = (BTreeSet::new(), 0);
    for _ in 0..512 {
        let pair = play(&story().new_tree(&mut runner).unwrap().current());
        used.extend(pair.model.used);
        full += usize::from(pair.model.was_full);
    }
    let states = ["pending", "creating", "active", "updating", "error", "deleting"];
    let happens =
        ["change", "delete", "waiting", "working", "failed", "converged", "converged with what is no longer asked for"];
    let missed: Vec<_> = states
        .into_iter()
        .flat_map(|state| happens.map(|what| (state, what)))
        .filter(|line| *line != ("deleting", "change") && !used.contains(line))
        .collect();
    assert!(missed.is_empty(), "never happened: {missed:?}");
    assert!(full > 10, "only {full} stories filled the history");
}
