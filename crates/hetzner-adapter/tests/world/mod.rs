//! Rows, relations and a tiny provider: plans are made and carried out until nothing is left to do, with the
//! control plane's own state machine and no engine.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod contents;
pub mod make;
pub mod model;
pub mod weather;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use control_plane::{
    ActionKind, Catalog, CatalogEntry, ProjectId, Reason, Resource, Uid,
    kinds::{self, Peers},
    ports::{
        Auxiliary, AuxiliaryUse, Bundle, Commit, Desired, Plan, Planned, Put, Related, Step, StepRecord, StepState,
        Tie, Verdict,
    },
    state,
};
use hetzner_adapter::{
    AdapterSettings, Regions, Snapshot,
    call::{Call, Until},
    mapping::{self, Context},
    snapshot::Change,
};
use model::Model;
use seca_api::{Kind, ResourceKey, ResourceState, Scope, Timestamp, reference::Target};
use serde_json::{Map, Value, json};

pub const INSTALLATION: &str = "inst-1";
pub const GRACE: Duration = Duration::from_secs(60);

/// Fields, and what they name.
type Named = Vec<(String, ResourceKey)>;

pub struct World {
    pub rows: BTreeMap<Uid, Resource>,
    pub model: Model,
    pub snapshot: Snapshot,
    pub catalog: Catalog,
    pub now: i64,
    /// Steps under way, per resource; `settle` carries them out.
    pub calls: Vec<(String, Call)>,
    /// Resources for which a step was ever recorded.
    pub touched: BTreeSet<Uid>,
    /// Who uses which auxiliary.
    pub auxiliaries: BTreeSet<(Auxiliary, Uid)>,
    /// The operator's choices.
    pub settings: AdapterSettings,
    /// What each row names, by its specification: that is read again and again.
    named: RefCell<BTreeMap<Uid, (String, Named)>>,
    /// What becomes of the next calls; all others are done.
    pub fates: VecDeque<weather::Fate>,
    /// Calls whose answer was lost.
    open: Vec<weather::Open>,
    next_step: i64,
    attempts: BTreeMap<Uid, u32>,
    /// Whether others changed something that was not seen yet: what is planned now may be refused.
    pub is_stale: bool,
    /// Calls that took away what was written.
    pub losses: Vec<String>,
    next_uid: u128,
}

fn image(region: &str, name: &str, image: &str, architecture: &str, id: &str) -> CatalogEntry {
    let map = |value: Value| value.as_object().unwrap().clone();
    CatalogEntry {
        kind: Kind::Image,
        region: region.into(),
        name: name.into(),
        labels: BTreeMap::new(),
        spec: map(json!({"cpuArchitecture": architecture})),
        facts: map(json!({"imageId": id, "imageName": image, "architecture": architecture})),
        listed: true,
    }
}

impl Default for World {
    fn default() -> Self {
        Self::of(&Regions::default())
    }
}

impl World {
    /// The region of the world has these zones.
    pub fn of_zones(zones: &[&str]) -> Self {
        Self::of(&Regions::parse(&format!("fsn1={}", zones.join(","))).unwrap())
    }

    fn of(regions: &Regions) -> Self {
        let mut entries = hetzner_adapter::catalog::fallback_of(regions);
        entries.push(image("fsn1", "ubuntu-24.04", "ubuntu-24.04", "amd64", "161547269"));
        entries.push(image("fsn1", "ubuntu-24.04-arm64", "ubuntu-24.04", "arm64", "161547270"));
        entries.push(image("fsn1", "debian-12", "debian-12", "amd64", "114690387"));
        let mut world = Self {
            rows: BTreeMap::new(),
            model: Model::default(),
            snapshot: Snapshot::default(),
            catalog: Catalog::new(1, entries, "fsn1"),
            now: 1_790_000_000_000,
            calls: Vec::new(),
            touched: BTreeSet::new(),
            auxiliaries: BTreeSet::new(),
            settings: AdapterSettings::default(),
            named: RefCell::default(),
            fates: VecDeque::new(),
            open: Vec::new(),
            next_step: 0,
            attempts: BTreeMap::new(),
            is_stale: false,
            losses: Vec::new(),
            next_uid: 0x018f_4e9c_0000_7000_8000_0000_0000_0000,
        };
        world.put(Kind::Workspace, "w", json!({}));
        world
    }
}

fn key(kind: Kind, name: &str) -> ResourceKey {
    let workspace = if matches!(kind.scope(), Scope::Workspace | Scope::Network) { "w" } else { "" };
    let region = if kind.provider().is_global() { "" } else { "fsn1" };
    let (network, name) = name.split_once('/').map_or(("", name), |(network, name)| (network, name));
    ResourceKey {
        tenant: "t".into(),
        region: region.into(),
        kind,
        workspace: workspace.into(),
        network: network.into(),
        name: name.into(),
    }
}

impl World {
    /// Makes or changes a resource. Subnets and route tables are named `network/name`.
    pub fn put(&mut self, kind: Kind, name: &str, spec: Value) -> Uid {
        self.put_with(kind, name, spec, false)
    }

    /// The same, with an extension.
    pub fn put_extended(&mut self, kind: Kind, name: &str, spec: Value, extension: (&str, &str)) -> Uid {
        let uid = self.put(kind, name, spec);
        let extensions = json!({extension.0: extension.1}).to_string();
        self.rows.get_mut(&uid).unwrap().extensions = Some(extensions);
        uid
    }

    pub fn put_with(&mut self, kind: Kind, name: &str, spec: Value, start: bool) -> Uid {
        self.now += 1;
        self.next_uid += 1;
        let put = Put {
            start,
            ..Put::create(key(kind, name), Uid(uuid::Uuid::from_u128(self.next_uid)), spec.to_string(), self.time())
        };
        if let Some(row) = self.rows.values_mut().find(|row| row.key == put.key) {
            state::update(row, &put);
            return row.uid;
        }
        let row = state::create(put, ProjectId("p".into()));
        let uid = row.uid;
        self.rows.insert(uid, row);
        uid
    }

    pub fn volume(&mut self, name: &str, image: Option<&str>) -> Uid {
        let mut spec = json!({"skuRef": {"resource": "skus/hcloud-volume"}, "sizeGB": 20});
        if let Some(image) = image {
            spec["sourceImageRef"] = json!({"resource": format!("images/{image}")});
        }
        self.put(Kind::BlockStorage, name, spec)
    }

    /// An image of a block storage.
    pub fn image(&mut self, name: &str, volume: &str) -> Uid {
        self.put(Kind::Image, name, Self::image_spec(volume))
    }

    pub fn image_spec(volume: &str) -> Value {
        let source = format!("workspaces/w/block-storages/{volume}");
        json!({"blockStorageRef": {"resource": source}, "cpuArchitecture": "amd64"})
    }

    pub fn instance_spec(volume: &str) -> Value {
        json!({
            "skuRef": {"resource": "skus/cx23"}, "zone": "fsn1",
            "bootVolume": {"deviceRef": {"resource": format!("block-storages/{volume}")}},
        })
    }

    pub fn instance(&mut self, name: &str, volume: &str) -> Uid {
        self.put(Kind::Instance, name, Self::instance_spec(volume))
    }

    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    pub fn row(&self, kind: Kind, name: &str) -> &Resource {
        self.find(kind, name).unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    pub fn find(&self, kind: Kind, name: &str) -> Option<&Resource> {
        self.rows.values().find(|row| row.key == key(kind, name))
    }

    pub fn row_mut(&mut self, kind: Kind, name: &str) -> &mut Resource {
        self.rows.values_mut().find(|row| row.key == key(kind, name)).unwrap()
    }

    /// Accepts a power action if it fits, as the API does.
    pub fn act(&mut self, name: &str, action: ActionKind) -> bool {
        self.now += 1;
        let now = self.time();
        let row = self.row_mut(Kind::Instance, name);
        let accepted = state::judge_action(row, action).is_ok();
        if accepted {
            state::act(row, action, now);
        }
        accepted
    }

    pub fn delete(&mut self, kind: Kind, name: &str) {
        self.now += 1;
        let now = self.time();
        state::delete(self.row_mut(kind, name), now);
    }

    /// What a row names beside the catalogue, as its kind's table of references says.
    fn targets(&self, row: &Resource) -> Vec<Related> {
        let mut named = self.named.borrow_mut();
        let (spec, named) = named.entry(row.uid).or_default();
        if *spec != row.spec {
            (*spec, *named) = (row.spec.clone(), self.named_by(row));
        }
        let related = |(field, key): &(String, ResourceKey)| {
            let resource = self.rows.values().find(|row| row.key == *key).cloned();
            Related { field: field.clone(), key: key.clone(), resource }
        };
        named.iter().map(related).collect()
    }

    fn named_by(&self, row: &Resource) -> Named {
        let spec: Value = row.spec().unwrap();
        let fields = kinds::rules(row.key.kind).unwrap().references;
        let named = kinds::spelled(fields, &row.key, &spec).into_iter();
        let named = named.filter_map(|reference| match reference.target {
            Ok(Target::Resource(key)) if kinds::catalog::find(&self.catalog, &key).is_none() => {
                Some((reference.pointer, key))
            }
            _ => None,
        });
        named.collect()
    }

    /// Whether a row may name another one.
    fn names(row: &Resource, key: &ResourceKey) -> bool {
        row.spec.contains(key.name.as_str())
    }

    /// Live rows of the kind that this one must know of.
    fn peers(&self, row: &Resource) -> Vec<Resource> {
        let peers = kinds::rules(row.key.kind).unwrap().peers;
        if let Peers::InWorkspace(kind) = peers {
            let is_peer = |other: &&Resource| other.key.kind == kind && !other.is_deleting();
            let same = |other: &&Resource| other.key.workspace == row.key.workspace;
            return self.rows.values().filter(is_peer).filter(same).cloned().collect();
        }
        let common = |row: &Resource| match peers {
            Peers::None | Peers::InWorkspace(_) => None,
            Peers::OfTarget(field) => self.targets(row).into_iter().find(|t| t.field == field).map(|t| t.key),
            Peers::Siblings => row.key.parent(),
        };
        let own = common(row);
        let is_peer = |other: &&Resource| {
            other.uid != row.uid && other.key.kind == row.key.kind && !other.is_deleting() && common(other) == own
        };
        self.rows.values().filter(|_| own.is_some()).filter(is_peer).cloned().collect()
    }

    pub fn bundle(&self, uid: Uid) -> Bundle {
        let resource = self.rows[&uid].clone();
        let mut parents = Vec::new();
        let mut parent = resource.key.parent();
        while let Some(found) = parent.and_then(|key| self.rows.values().find(|row| row.key == key)) {
            parents.push(found.clone());
            parent = found.key.parent();
        }
        let referrers = self.rows.values().filter(|row| Self::names(row, &resource.key)).flat_map(|row| {
            let named = self.targets(row).into_iter().filter(|target| target.key == resource.key);
            named.map(|target| Related { field: target.field, key: row.key.clone(), resource: Some(row.clone()) })
        });
        let children: Vec<Resource> =
            self.rows.values().filter(|row| row.key.parent().as_ref() == Some(&resource.key)).cloned().collect();
        Bundle {
            parents,
            targets: self.targets(&resource),
            referrers: referrers.collect(),
            child_count: children.len() as i64,
            children,
            peers: self.peers(&resource),
            auxiliaries: self.auxiliaries(uid),
            open_steps: self.open_steps(uid),
            attempts: self.attempts.get(&uid).copied().unwrap_or_default(),
            wake: 0,
            touched: self.touched.contains(&uid),
            resource,
        }
    }

    /// A row as it is while the answer to a call is lost and its effect is not seen.
    pub fn unseen(&self, kind: Kind, name: &str, call: &Call) -> Bundle {
        let mut bundle = self.bundle(self.row(kind, name).uid);
        bundle.open_steps.push(StepRecord {
            id: 1,
            resource: bundle.resource.uid,
            generation: bundle.resource.generation,
            step: call.step("x"),
            state: StepState::Unknown,
            action: None,
            age: Duration::from_secs(5),
        });
        bundle
    }

    pub fn plan(&self, uid: Uid) -> Planned {
        let bundle = self.bundle(uid);
        self.plan_bundle(&bundle)
    }

    pub fn plan_bundle(&self, bundle: &Bundle) -> Planned {
        self.plan_by(bundle, &self.snapshot)
    }

    /// By what another process sees.
    pub fn plan_by(&self, bundle: &Bundle, snapshot: &Snapshot) -> Planned {
        let desired = Desired { bundle, catalog: &self.catalog, installation: INSTALLATION, stop_grace: GRACE };
        let settings = &self.settings;
        mapping::plan(&Context { desired: &desired, snapshot, now: self.time(), settings })
    }

    pub fn plan_of(&self, kind: Kind, name: &str) -> Planned {
        self.plan(self.row(kind, name).uid)
    }

    /// The call that is planned.
    pub fn planned_call(&self, kind: Kind, name: &str) -> Call {
        match self.plan_of(kind, name).plan {
            Plan::Act(step) => Call::of(&step).unwrap(),
            other => panic!("{kind} {name}: {other:?}"),
        }
    }

    fn commit(&mut self, uid: Uid, planned: &Planned, verdict: Verdict) -> bool {
        let now = self.time();
        let Some(row) = self.rows.get_mut(&uid) else { return false };
        let commit = Commit {
            uid,
            generation: row.generation,
            action_seq: row.action.seq,
            wake: 0,
            verdict,
            note: planned.note.clone(),
            status: planned.status.clone(),
            facts: planned.facts.clone(),
            action_done: planned.action_done,
            next: None,
            attempts: 0,
            now,
        };
        state::commit(row, &commit).row
    }

    fn tie(&mut self, uid: Uid, tie: Tie) {
        match tie {
            Tie::Claim(target) => {
                let target = self.rows.get_mut(&target).unwrap();
                assert_eq!(target.holder, None, "a claim of what is held");
                target.holder = Some(uid);
            }
            Tie::Release(holder) => {
                let row = self.rows.get_mut(&uid).unwrap();
                assert_eq!(row.holder, Some(holder), "a release from another holder");
                row.holder = None;
            }
            Tie::Use(auxiliary) => {
                assert!(self.auxiliaries.insert((auxiliary, uid)), "it is used already");
            }
            Tie::Drop(auxiliary) => assert!(self.auxiliaries.remove(&(auxiliary, uid)), "it is not used"),
        }
    }

    fn auxiliaries(&self, uid: Uid) -> Vec<AuxiliaryUse> {
        let used = self.auxiliaries.iter().filter(|(_, user)| *user == uid).map(|(auxiliary, _)| auxiliary);
        let others = |used: &Auxiliary| self.auxiliaries.iter().filter(|(a, user)| a == used && *user != uid).count();
        used.map(|used| AuxiliaryUse { auxiliary: used.clone(), others: others(used) as i64 }).collect()
    }

    /// Looks at one resource, once. Whether anything changed.
    pub fn look(&mut self, uid: Uid) -> bool {
        if self.resolve(uid) {
            return true;
        }
        let steps = self.open_steps(uid);
        if steps.iter().any(|open| open.step.action_seq.is_some()) {
            // An action of unknown outcome is never sent again.
            return self.commit(uid, &Planned::new(Plan::Wait { retry: None }), Verdict::Working);
        }
        let planned = self.plan(uid);
        match planned.plan.clone() {
            Plan::Nothing if self.rows[&uid].is_deleting() && steps.is_empty() => {
                self.rows.remove(&uid);
                for row in self.rows.values_mut() {
                    row.holder = row.holder.filter(|holder| *holder != uid);
                }
                self.auxiliaries.retain(|(_, user)| *user != uid);
                true
            }
            Plan::Nothing if self.rows[&uid].is_deleting() => self.commit(uid, &planned, Verdict::Waiting),
            Plan::Nothing => self.commit(uid, &planned, Verdict::Converged),
            Plan::Defer => self.commit(uid, &planned, Verdict::Deferred),
            Plan::Wait { .. } => self.commit(uid, &planned, Verdict::Working),
            Plan::Fail => self.commit(uid, &planned, Verdict::Failed),
            Plan::Tie(ties) => {
                assert!(!ties.is_empty(), "no tie to make");
                for tie in ties {
                    self.tie(uid, tie);
                }
                true
            }
            Plan::Act(step) if self.is_contradicted(uid, &step) => self.commit(uid, &planned, Verdict::Working),
            Plan::Act(step) if self.is_name_taken(&Call::of(&step).unwrap()) => {
                let reason = Reason::NameTaken;
                self.commit(uid, &planned.note(reason, "Somebody's has the name."), Verdict::Failed)
            }
            Plan::Act(step) => {
                let before = self.rows[&uid].clone();
                self.commit(uid, &planned, Verdict::Working);
                let is_held_back = self.awaits_person(&step);
                let (call_until, is_done) = self.perform(uid, &step);
                if is_held_back && !is_done {
                    return self.rows[&uid] != before;
                }
                let waits = matches!(call_until, Some(Until::Free | Until::NoSubnet(_) | Until::NoRoute(_)));
                if waits && self.plan(uid).plan == planned.plan {
                    // It waits for a person.
                    self.calls.pop();
                    return self.rows[&uid] != before;
                }
                if let Some(seq) = step.action_seq.filter(|_| is_done) {
                    let done = Planned { action_done: Some(seq), ..Planned::new(Plan::Nothing) };
                    self.commit(uid, &done, Verdict::Working);
                }
                true
            }
        }
    }

    /// Carries a step out, with all that goes well with it. What a call that only reads waits for is the answer, and whether
    /// the call is answered.
    pub fn perform(&mut self, uid: Uid, step: &Step) -> (Option<Until>, bool) {
        let call = Call::of(step).unwrap();
        let call_until = if let Call::Read { until, .. } = &call { Some(*until) } else { None };
        assert_eq!(call.step(&step.target).payload, step.payload, "a call survives its record");
        for mark in &step.marks {
            if let Some(row) = self.rows.get_mut(&mark.uid) {
                state::merge(&mut row.facts, &mark.facts);
            }
        }
        self.calls.push((self.rows[&uid].key.name.clone(), call.clone()));
        if !step.reads {
            self.touched.insert(uid);
            return (call_until, self.send(uid, step, &call));
        }
        self.model.now = self.now;
        let observation = self.model.apply(&call);
        if matches!(call, Call::Read { until, .. } if until != Until::Known) {
            // Time passes between looks.
            self.pass(GRACE.as_millis() as i64 / 4);
        }
        self.snapshot.absorb(observation);
        (call_until, true)
    }

    /// Looks at one resource. What was done to an object counts for seconds, so the next look follows the answer at once.
    fn look_until_known(&mut self, uid: Uid) -> bool {
        /// A plan asks for the history of a disk's server, and of its snapshot.
        const ANSWERS: usize = 3;
        let mut changed = false;
        for _ in 0..=ANSWERS {
            if !self.rows.contains_key(&uid) || !self.look(uid) {
                break;
            }
            changed = true;
            if !matches!(self.calls.last(), Some((_, Call::History { .. }))) {
                break;
            }
        }
        changed
    }

    /// Until nothing changes any more, and nothing is still to come.
    pub fn settle(&mut self) {
        for _ in 0..500 {
            let uids: Vec<Uid> = self.rows.keys().copied().collect();
            let mut changed = false;
            for uid in uids {
                changed |= self.look_until_known(uid);
            }
            match changed {
                true => {}
                // The lists are read again and again.
                false if self.is_stale => self.reread(),
                false if self.is_under_way() => self.pass(weather::WINDOW),
                false => return,
            }
        }
        // The loop: what was called again and again.
        let mut counts = BTreeMap::<_, u32>::new();
        for (name, call) in self.calls.iter().rev().take(60) {
            *counts.entry((name, call.operation())).or_default() += 1;
        }
        panic!("it never settles: {counts:?}, {:?}", self.calls.iter().rev().take(6).collect::<Vec<_>>());
    }

    /// Until nothing changes for the resources of a kind.
    pub fn settle_kind(&mut self, kind: Kind) {
        let uids: Vec<Uid> = self.rows.values().filter(|row| row.key.kind == kind).map(|row| row.uid).collect();
        while uids.iter().any(|uid| self.rows.contains_key(uid) && self.look(*uid)) {}
    }

    /// The names of the calls since the last time.
    pub fn operations(&mut self) -> Vec<&'static str> {
        self.calls.drain(..).map(|(_, call)| call.operation()).collect()
    }

    pub fn message(&self, kind: Kind, name: &str) -> String {
        self.row(kind, name).conditions[0].message.clone().unwrap_or_default()
    }

    pub fn check(&self, kind: Kind, name: &str, state: ResourceState, reason: Option<&str>) {
        let row = self.row(kind, name);
        let newest = &row.conditions[0];
        assert_eq!((row.state, newest.reason.as_deref()), (state, reason), "{kind} {name}: {:?}", newest.message);
    }

    pub fn status(&self, kind: Kind, name: &str) -> Value {
        serde_json::from_str(&self.row(kind, name).status).unwrap()
    }

    pub fn facts(&self, kind: Kind, name: &str) -> &Map<String, Value> {
        &self.row(kind, name).facts
    }

    /// What the provider's lists show: everything that only this process knew is gone.
    pub fn forget(&mut self) {
        self.shift(&[]);
    }

    /// The same, while somebody deletes: the pages of the lists shift, and some objects are on none that was read.
    pub fn shift(&mut self, hidden: &[usize]) {
        self.snapshot = self.listed(hidden);
        self.is_stale = false;
    }

    /// What the provider's lists show, but for some objects.
    pub fn listed(&self, hidden: &[usize]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let shown = self.model.objects().into_iter().enumerate().filter(|(index, _)| !hidden.contains(index));
        let changes = shown.map(|(_, object)| Change::Seen(object)).collect();
        snapshot.absorb(hetzner_adapter::Observation::new(changes));
        snapshot
    }
}
