//! Calls that fail, calls whose answer is lost, and what the engine makes of that: a step that may yet take effect stays
//! open, and is looked for at once and when its time is over.

use std::{collections::BTreeSet, time::Duration};

use control_plane::{
    Resource, Uid,
    facts::{BlockStorageFacts, Facts},
    ports::{Plan, Planned, Step, StepRecord, StepState, Verdict},
    state,
};
use hcloud_client::types::{Id, Labels, Server, ServerStatus};
use hetzner_adapter::{
    Observation,
    call::Call,
    naming,
    objects::{ImageCall, NetworkCall, Object, ObjectId, ServerCall},
    snapshot::Change,
};
use seca_api::Kind;

use super::{World, model::Model};

/// For how long a call may take effect whose answer was lost, in milliseconds.
pub const WINDOW: i64 = 90_000;

/// What becomes of a call that changes something.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Done,
    /// The provider refuses it for the moment.
    Refused,
    /// Its answer is lost. It takes effect after so many seconds, or never.
    Lost(Option<u8>),
}

/// A call whose answer was lost.
#[derive(Debug)]
pub struct Open {
    id: i64,
    resource: Uid,
    generation: i64,
    step: Step,
    at: i64,
    /// When it takes effect; none once it has, and if it never will.
    due: Option<i64>,
    has_effect: bool,
    is_looked_for: bool,
    /// What was known to be written when it was sent.
    known: BTreeSet<usize>,
}

impl World {
    /// The steps of a resource that are not over.
    pub(super) fn open_steps(&self, uid: Uid) -> Vec<StepRecord> {
        let own = self.open.iter().filter(|open| open.resource == uid);
        let record = |open: &Open| StepRecord {
            id: open.id,
            resource: uid,
            generation: open.generation,
            step: open.step.clone(),
            state: StepState::Unknown,
            action: None,
            age: Duration::from_millis((self.now - open.at).unsigned_abs()),
        };
        own.map(record).collect()
    }

    /// Makes a call that changes something, or has it fail. Whether it is answered, and took effect.
    pub(super) fn send(&mut self, uid: Uid, step: &Step, call: &Call) -> bool {
        if let Call::Image(ImageCall::Create { description, labels, .. }) = call {
            // Snapshots have no names: the provider makes a second one.
            let is_other =
                |other: &Labels| ["seca.uid", "seca.role"].iter().all(|name| other.get(*name) == labels.get(*name));
            let is_ordered = |open: &Open| {
                let order = Call::of(&open.step).unwrap();
                open.due.is_some() && order.creates().is_some_and(|(_, labels)| is_other(labels))
            };
            let is_there = self.model.images.iter().any(|image| is_other(&image.labels));
            assert!(!is_there && !self.open.iter().any(is_ordered), "two snapshots: {description}");
        }
        // No two calls are of one moment.
        self.now += 1;
        if matches!(call, Call::Image(ImageCall::Create { .. })) {
            // A copy takes its time, and the provider tells times in seconds.
            self.pass(1_000);
        }
        match self.fates.pop_front().unwrap_or(Fate::Done) {
            Fate::Done => match self.effect(call, None) {
                Ok(observation) => {
                    if let Call::Server(ServerCall::Poweron { server } | ServerCall::ChangeType { server, .. }) = call {
                        self.model.contents.know(*server);
                    }
                    self.attempts.remove(&uid);
                    self.snapshot.absorb(observation);
                    return true;
                }
                Err(_) => {
                    self.refuse(uid, step);
                    self.reread();
                }
            },
            Fate::Refused => self.refuse(uid, step),
            Fate::Lost(after) => {
                // It is looked for, and not seen.
                *self.attempts.entry(uid).or_default() += 1;
                self.next_step += 1;
                self.open.push(Open {
                    id: self.next_step,
                    resource: uid,
                    generation: self.rows[&uid].generation,
                    step: step.clone(),
                    at: self.now,
                    due: after.map(|after| self.now + i64::from(after) * 1_000),
                    has_effect: false,
                    is_looked_for: false,
                    known: self.model.contents.known(),
                });
                self.pass(0);
            }
        }
        false
    }

    /// The block storage whose disk the server of an instance is.
    fn disk_of(&self, labels: &Labels) -> Option<Uid> {
        let instance = naming::uid_of(labels);
        let is_its = |row: &&Resource| row.holder == instance && BlockStorageFacts::of(row).disk_of == instance;
        self.rows.values().find(is_its).map(|row| row.uid)
    }

    fn refuse(&mut self, uid: Uid, step: &Step) {
        for mark in &step.marks {
            if let Some(row) = self.rows.get_mut(&mark.uid) {
                state::undo(&mut row.facts, mark);
            }
        }
        *self.attempts.entry(uid).or_default() += 1;
    }

    /// What a call does to the provider, or why that refuses it. `known` is told for one that takes effect late: what was
    /// known to be written when it was sent.
    fn effect(&mut self, call: &Call, known: Option<&BTreeSet<usize>>) -> Result<Observation, String> {
        let kept = self.rows.values().filter(|row| row.key.kind == Kind::BlockStorage && !row.is_deleting());
        let had: Vec<_> = kept.map(|row| (row.uid, self.model.lost(row.uid))).collect();
        // What is planned by what is old may be refused, and a refused call has no effect.
        let may_be_refused = self.is_stale || known.is_some() || is_in_use(&self.model, call);
        let before = may_be_refused.then(|| self.model.clone());
        self.model.now = self.now;
        let observation = match (self.model.answer(call), before) {
            (Ok(observation), _) => observation,
            (Err(why), Some(before)) => {
                self.model = before;
                return Err(why);
            }
            (Err(why), None) => panic!("{call:?} is refused: {why}"),
        };
        if let Call::Server(ServerCall::Create(body)) = call
            && let Some(disk) = self.disk_of(&body.labels)
        {
            let made = self.model.servers.iter().find(|server| server.name == body.name).unwrap().id;
            self.model.contents.is_disk(made, disk);
        }
        if let Some(known) = known {
            self.model.contents.excuse_but(known);
        }
        if let Call::Image(ImageCall::Delete { image }) = call {
            let id = image.to_string();
            let uses = |row: &&Resource| row.key.kind == Kind::Image && row.fact("imageId") == Some(&id);
            for row in self.rows.values().filter(uses).filter(|row| !row.is_deleting()) {
                self.losses.push(format!("{} loses its snapshot by {call:?}", row.key.name));
            }
        }
        for (uid, had) in had {
            if self.model.lost(uid).iter().any(|token| !had.contains(token)) {
                self.losses.push(format!("{} loses what was written by {call:?}", self.rows[&uid].key.name));
            }
        }
        Ok(observation)
    }

    /// Time passes: calls take effect late, and snapshots are complete.
    pub fn pass(&mut self, millis: i64) {
        let until = self.now + millis;
        let next = |open: &[Open]| {
            let due = open.iter().enumerate().filter_map(|(index, open)| Some((open.due?, index)));
            due.filter(|(due, _)| *due <= until).min()
        };
        while let Some((due, index)) = next(&self.open) {
            self.wait_until(due);
            let open = &mut self.open[index];
            open.due = None;
            let (step, known) = (open.step.clone(), open.known.clone());
            let call = Call::of(&step).unwrap();
            if self.effect(&call, Some(&known)).is_ok() {
                self.open[index].has_effect = true;
                self.is_stale = true;
            }
        }
        self.wait_until(until);
    }

    fn wait_until(&mut self, until: i64) {
        self.now = self.now.max(until);
        if self.model.pass(self.now) {
            self.is_stale = true;
            self.excuse();
        }
    }

    /// What others took away is nobody's loss. A snapshot that images share may be theirs alone by now.
    pub fn excuse(&mut self) {
        let shared: BTreeSet<ObjectId> = self
            .model
            .images
            .iter()
            .filter(|image| image.labels.contains_key("seca.purpose"))
            .map(|image| ObjectId::Image(image.id))
            .collect();
        let rows = &self.rows;
        let remembers = |of: Uid, object: ObjectId| {
            let id = rows.get(&of).and_then(|row| BlockStorageFacts::of(row).image_id);
            id.is_some_and(|id| object == ObjectId::Image(Id::new(id.parse().unwrap())))
        };
        self.model.contents.excuse(|of, object| !shared.contains(&object) || remembers(of, object));
    }

    /// Somebody deletes a disk. Nobody can keep a copy that a call on its way removes.
    pub fn lose(&mut self, object: ObjectId, seen: bool) {
        let contents = &self.model.contents;
        let goes = |open: &Open| match Call::of(&open.step).unwrap() {
            Call::Server(ServerCall::Delete { server }) => contents.whose(server.into()) == contents.whose(object),
            Call::Image(ImageCall::Delete { image }) => contents.whose(image.into()) == contents.whose(object),
            _ => false,
        };
        let is_last = self.open.iter().filter(|open| open.due.is_some()).any(goes);
        self.model.contents.lose(object, seen && !is_last);
    }

    /// Whether something is still to come by itself.
    pub(super) fn is_under_way(&self) -> bool {
        !self.open.is_empty() || !self.model.making.is_empty()
    }

    /// Looks for a call of the resource whose answer was lost. Whether there is one to look for.
    pub(super) fn resolve(&mut self, uid: Uid) -> bool {
        let now = self.now;
        let is_last = |open: &Open| now - open.at >= WINDOW;
        let is_sought = |open: &Open| open.resource == uid && (is_last(open) || !open.is_looked_for);
        let Some(index) = self.open.iter().position(is_sought) else { return false };
        let open = &mut self.open[index];
        let call = Call::of(&open.step).unwrap();
        if !is_seen(&self.model.objects(), open, &call) {
            match is_last(open) {
                true => drop(self.open.remove(index)),
                false => {
                    open.is_looked_for = true;
                    *self.attempts.entry(uid).or_default() += 1;
                }
            }
            return true;
        }
        let open = self.open.remove(index);
        self.attempts.remove(&uid);
        let shown = match call.object() {
            Some(id) => {
                let found = self.model.objects().into_iter().find(|object| object.object_id() == id);
                found.map_or(Change::Gone(id), Change::Seen)
            }
            None => Change::Seen(self.model.objects().into_iter().find(|object| is_made_by(object, &call)).unwrap()),
        };
        self.snapshot.absorb(Observation::new(vec![shown]));
        if let Some(seq) = open.step.action_seq {
            let done = Planned { action_done: Some(seq), ..Planned::new(Plan::Nothing) };
            self.commit(uid, &done, Verdict::Working);
        }
        true
    }

    /// Whether an earlier call may yet undo what a step does.
    pub(super) fn is_contradicted(&self, uid: Uid, step: &Step) -> bool {
        let Some((what, to)) = &step.sets else { return false };
        let undoes = |open: &Open| open.step.sets.as_ref().is_some_and(|(other, value)| other == what && value != to);
        self.open.iter().any(|open| open.resource == uid && self.now - open.at < WINDOW && undoes(open))
    }

    /// Whether the provider refuses a step until a person does something: renames an object of nobody's that has the name of
    /// what is to be made, or switches off a server that has what is to be removed.
    pub fn awaits_person(&self, step: &Step) -> bool {
        let call = Call::of(step).unwrap();
        self.is_name_taken(&call) || is_in_use(&self.model, &call)
    }

    pub(super) fn is_name_taken(&self, call: &Call) -> bool {
        let (Some((name, _)), Some(kind)) = (call.creates(), call.makes()) else { return false };
        let is_it = |object: &Object| object.object_id().kind() == kind && object.name() == name;
        self.model.objects().iter().any(|object| is_it(object) && object.owner().is_none())
    }

    /// All that is at the provider is seen; what was learnt stays.
    pub fn reread(&mut self) {
        let there = self.model.objects();
        let known: Vec<ObjectId> = known(&self.snapshot);
        let gone = known.into_iter().filter(|id| there.iter().all(|object| object.object_id() != *id));
        let changes = gone.map(Change::Gone).chain(there.iter().cloned().map(Change::Seen)).collect();
        self.snapshot.absorb(Observation::new(changes));
        self.is_stale = false;
    }
}

fn known(snapshot: &hetzner_adapter::Snapshot) -> Vec<ObjectId> {
    use hcloud_client::types::{Firewall, Image, Network, PlacementGroup, PrimaryIp, Server, SshKey, Volume};
    let mut known: Vec<ObjectId> = snapshot.all::<Server>().map(|object| object.id.into()).collect();
    known.extend(snapshot.all::<Volume>().map(|object| ObjectId::from(object.id)));
    known.extend(snapshot.all::<Network>().map(|object| ObjectId::from(object.id)));
    known.extend(snapshot.all::<Firewall>().map(|object| ObjectId::from(object.id)));
    known.extend(snapshot.all::<PrimaryIp>().map(|object| ObjectId::from(object.id)));
    known.extend(snapshot.all::<PlacementGroup>().map(|object| ObjectId::from(object.id)));
    known.extend(snapshot.all::<SshKey>().map(|object| ObjectId::from(object.id)));
    known.extend(snapshot.all::<Image>().map(|object| ObjectId::from(object.id)));
    known
}

/// Whether an object is what a call made: its labels tell the step.
fn is_made_by(object: &Object, call: &Call) -> bool {
    let told = |labels: &Labels| {
        ["seca.uid", "seca.role", "seca.purpose", "seca.content", "seca.step"].map(|name| labels.get(name).cloned())
    };
    call.creates().is_some_and(|(_, labels)| told(labels) == told(object.labels()))
}

/// Whether servers have what a call is to remove, so that it is tried again until they let it go.
fn is_in_use(model: &Model, call: &Call) -> bool {
    let Call::Network(NetworkCall::DeleteSubnet { network, ip_range }) = call else { return false };
    let has = |server: &Server| {
        server.attachment(*network).is_some_and(|net| net.ip.is_some_and(|ip| ip_range.contains(&ip)))
    };
    model.servers.iter().any(has)
}

/// Whether what is there shows that a call took effect.
fn is_seen(there: &[Object], open: &Open, call: &Call) -> bool {
    let Some(id) = call.object() else {
        return there.iter().any(|object| is_made_by(object, call));
    };
    let Some(found) = there.iter().find(|object| object.object_id() == id) else { return true };
    match (call, found) {
        _ if call.is_removal() => false,
        (Call::Server(ServerCall::Poweron { .. }), Object::Server(server)) => server.status == ServerStatus::Running,
        (Call::Server(ServerCall::Poweroff { .. } | ServerCall::Shutdown { .. }), Object::Server(server)) => {
            server.status == ServerStatus::Off
        }
        (
            Call::Server(ServerCall::Update { labels, .. })
            | Call::Image(ImageCall::Update { labels, .. })
            | Call::Adopt { labels, .. },
            _,
        ) => found.labels() == labels,
        _ => open.has_effect,
    }
}
