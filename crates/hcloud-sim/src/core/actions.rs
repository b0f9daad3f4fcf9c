//! The action engine: what runs, when it ends, what it does when it ends, what it locks meanwhile.
//!
//! An action changes objects when it *finishes*, so an action that fails has changed nothing. Follow-up actions of a
//! create wait for the one before them and fail with it, as the API's `next_actions` do.

use super::clock::Time;
use super::http::{Api, ApiError, Reply};
use super::query::ListSpec;
use super::servers::Power;
use super::state::{Cx, Project};
use super::{firewalls, images, networks, primary_ips, servers, volumes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A kind of object that an action concerns or locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Server,
    Volume,
    Network,
    PrimaryIp,
    Firewall,
    Image,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::PrimaryIp => "primary_ip",
            Self::Firewall => "firewall",
            Self::Image => "image",
        }
    }
}

/// What a finished action does; the owner of the object applies it, and undoes what a failed one had prepared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Effect {
    None,
    Server(i64, servers::Change),
    Volume(i64, volumes::Change),
    Network(i64, networks::Change),
    PrimaryIp(i64, primary_ips::Change),
    Firewall(i64, firewalls::Change),
    Image(i64, images::Change),
}

/// What a fault does to an action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Twist {
    Stuck,
    Fail { code: String, message: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Running,
    Success,
    Error,
}

/// One action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Action {
    pub(crate) id: i64,
    pub(crate) command: String,
    pub(crate) status: Status,
    started: Time,
    finished: Option<Time>,
    /// When it will finish; `None` while it waits for `after` or is stuck.
    finish_at: Option<Time>,
    duration_ms: i64,
    after: Option<i64>,
    pub(crate) resources: Vec<(Kind, i64)>,
    locks: Vec<(Kind, i64)>,
    error: Option<(String, String)>,
    twist: Option<Twist>,
    pub(crate) effect: Effect,
}

impl Action {
    pub(crate) fn json(&self, now: Time) -> Value {
        let status = match self.status {
            Status::Running => "running",
            Status::Success => "success",
            Status::Error => "error",
        };
        json!({
            "id": self.id,
            "command": self.command,
            "status": status,
            "progress": self.progress(now),
            "started": self.started.rfc3339(),
            "finished": self.finished.map(Time::rfc3339),
            "resources": self.resources.iter().map(|(kind, id)| json!({"id": id, "type": kind.name()})).collect::<Vec<_>>(),
            "error": self.error.as_ref().map(|(code, message)| json!({"code": code, "message": message})),
        })
    }

    /// Whether it adds a server to the placement group when it ends.
    pub(crate) fn joins_group(&self, id: i64) -> bool {
        matches!(self.effect, Effect::Server(_, servers::Change::Group(Some(group))) if group == id)
    }

    /// Coarse, in tens, and 100 only for success: clients must not read it as a promise.
    fn progress(&self, now: Time) -> i64 {
        match (self.status, self.finish_at) {
            (Status::Running, Some(end)) => {
                let left = end.since_ms(now).min(self.duration_ms);
                ((self.duration_ms - left) * 10 / self.duration_ms.max(1) * 10).min(90)
            }
            (Status::Running, None) => 0,
            (Status::Success | Status::Error, _) => 100,
        }
    }
}

/// Something that happens by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    at: Time,
    kind: JobKind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum JobKind {
    Finish(i64),
    /// The guest of a server powers off, unless its power was touched since.
    GuestOff {
        server: i64,
        epoch: u64,
    },
    /// Label selectors of firewalls are evaluated.
    Reselect,
}

/// An action to be started.
pub(crate) struct Start<'a> {
    command: &'a str,
    resources: Vec<(Kind, i64)>,
    locks: Vec<(Kind, i64)>,
    effect: Effect,
    after: Option<i64>,
}

impl<'a> Start<'a> {
    pub(crate) const fn new(command: &'a str, effect: Effect) -> Self {
        Self { command, resources: Vec::new(), locks: Vec::new(), effect, after: None }
    }

    /// Concerns an object and locks it while it runs.
    pub(crate) fn on(mut self, kind: Kind, id: i64) -> Self {
        self.resources.push((kind, id));
        self.locks.push((kind, id));
        self
    }

    /// Concerns an object without locking it.
    pub(crate) fn about(mut self, kind: Kind, id: i64) -> Self {
        self.resources.push((kind, id));
        self
    }

    /// Waits for another action.
    pub(crate) const fn after(mut self, action: i64) -> Self {
        self.after = Some(action);
        self
    }
}

impl Cx<'_> {
    /// Starts an action and returns its id.
    pub(crate) fn start(&mut self, start: Start<'_>) -> i64 {
        let id = self.shared.action_id();
        let duration_ms = self.latency(start.command).max(self.project.wait_for_firewall(&start.effect, self.now));
        let stuck = matches!(self.twist, Some(Twist::Stuck));
        self.touch(&start.resources);
        let finish_at = (start.after.is_none() && !stuck).then(|| self.now.plus_ms(duration_ms));
        self.project.actions.insert(
            id,
            Action {
                id,
                command: start.command.to_owned(),
                status: Status::Running,
                started: self.now,
                finished: None,
                finish_at,
                duration_ms,
                after: start.after,
                resources: start.resources,
                locks: start.locks,
                error: None,
                twist: self.twist.clone(),
                effect: start.effect,
            },
        );
        self.project.running.insert(id);
        if let Some(at) = finish_at {
            self.project.schedule(at, JobKind::Finish(id));
        }
        id
    }

    pub(crate) fn action_json(&self, id: i64) -> Value {
        self.project.actions.get(&id).map_or(Value::Null, |action| action.json(self.now))
    }

    /// 201 with one action.
    pub(crate) fn action_reply(&mut self, start: Start<'_>) -> Reply {
        let id = self.start(start);
        Reply::created(json!({"action": self.action_json(id)}))
    }

    /// Lets everything happen that is due by `self.now`, in its order and at its time.
    pub(crate) fn advance(&mut self) {
        let now = self.now;
        while let Some(job) = self.project.jobs.pop_if(|job| job.at <= now) {
            self.now = job.at;
            match job.kind {
                JobKind::Finish(id) => self.finish(id),
                JobKind::GuestOff { server, epoch } => {
                    servers::guest_off(self, server, epoch);
                    self.touched.insert(server);
                }
                JobKind::Reselect => {
                    firewalls::reselect(self);
                    self.touch_all();
                }
            }
            self.note_exposure();
        }
        self.now = now;
        self.project.forget_old_actions();
    }

    fn finish(&mut self, id: i64) {
        let Some(action) = self.project.actions.get_mut(&id).filter(|action| action.status == Status::Running) else {
            return;
        };
        action.finished = Some(self.now);
        self.project.running.remove(&id);
        if let Some(Twist::Fail { code, message }) = action.twist.clone() {
            action.status = Status::Error;
            action.error = Some((code, message));
        } else {
            action.status = Status::Success;
        }
        let (effect, success) = (action.effect.clone(), action.status == Status::Success);
        let resources = action.resources.clone();
        self.touch(&resources);
        self.settle(&effect, success);
        self.release_followers(id, success);
    }

    fn settle(&mut self, effect: &Effect, success: bool) {
        match effect {
            Effect::None => {}
            Effect::Server(id, change) => servers::settle(self, *id, change, success),
            Effect::Volume(id, change) => volumes::settle(self, *id, change, success),
            Effect::Network(id, change) => networks::settle(self, *id, change, success),
            Effect::PrimaryIp(id, change) => primary_ips::settle(self, *id, change, success),
            Effect::Firewall(id, change) => firewalls::settle(self, *id, change, success),
            Effect::Image(id, change) => images::settle(self, *id, change, success),
        }
    }

    /// Those that waited for `id` start now, or fail with it.
    fn release_followers(&mut self, id: i64, success: bool) {
        let followers: Vec<i64> = self
            .project
            .running
            .iter()
            .filter(|other| self.project.actions[other].after == Some(id))
            .copied()
            .collect();
        for follower in followers {
            let Some(action) = self.project.actions.get_mut(&follower) else { continue };
            if success {
                if matches!(action.twist, Some(Twist::Stuck)) {
                    continue;
                }
                let at = self.now.plus_ms(action.duration_ms);
                action.finish_at = Some(at);
                // The start that belongs to a creation begins.
                if let Effect::Server(server, servers::Change::Power { to: Power::Running, .. }) = action.effect
                    && let Some(server) = self.project.servers.get_mut(&server)
                {
                    server.power = Power::Starting;
                }
                self.project.schedule(at, JobKind::Finish(follower));
            } else {
                action.twist = Some(Twist::Fail {
                    code: "action_failed".to_owned(),
                    message: "a preceding action failed".to_owned(),
                });
                self.finish(follower);
            }
        }
    }
}

impl Project {
    /// How long earlier changes of a firewall still take: changes of one take effect in the order of their requests.
    fn wait_for_firewall(&self, effect: &Effect, now: Time) -> i64 {
        let Effect::Firewall(id, _) = effect else { return 0 };
        let earlier = |action: &Action| matches!(action.effect, Effect::Firewall(of, _) if of == *id);
        let running = self.running.iter().map(|action| &self.actions[action]).filter(|action| earlier(action));
        running.filter_map(|action| action.finish_at).map(|end| end.since_ms(now)).max().unwrap_or(0)
    }

    pub(crate) fn schedule(&mut self, at: Time, kind: JobKind) {
        // Soonest last; of equal times the one scheduled first runs first.
        let index = self.jobs.partition_point(|job| job.at > at);
        self.jobs.insert(index, Job { at, kind });
    }

    /// Whether a running action holds the object.
    pub(crate) fn is_locked(&self, kind: Kind, id: i64) -> bool {
        self.running.iter().any(|action| self.actions[action].locks.contains(&(kind, id)))
    }

    pub(crate) fn check_unlocked(&self, kind: Kind, id: i64) -> Api<()> {
        if self.is_locked(kind, id) { Err(ApiError::locked(kind.name())) } else { Ok(()) }
    }

    /// Ends every action that holds the object, as a person at the provider would. Effects are undone.
    pub(crate) fn running_on(&self, kind: Kind, id: i64) -> Vec<i64> {
        self.running.iter().filter(|action| self.actions[*action].locks.contains(&(kind, id))).copied().collect()
    }

    fn forget_old_actions(&mut self) {
        const KEPT: usize = 1000;
        if self.actions.len() > 2 * KEPT {
            let finished: Vec<i64> = self.actions.keys().filter(|id| !self.running.contains(id)).copied().collect();
            for id in finished.iter().take(finished.len().saturating_sub(KEPT)) {
                self.actions.remove(id);
            }
        }
    }
}

/// Fails a running action at once.
pub(crate) fn abort(cx: &mut Cx<'_>, id: i64) {
    if let Some(action) = cx.project.actions.get_mut(&id) {
        action.twist = Some(Twist::Fail { code: "action_failed".to_owned(), message: "aborted".to_owned() });
        cx.finish(id);
    }
}

const LIST: ListSpec = ListSpec {
    key: "actions",
    filters: &["status"],
    sorts: &["id", "command", "status", "started", "finished"],
    labels: false,
};

/// `GET /actions?id=…`: the rows that exist among those asked for.
pub(crate) fn batch(cx: &Cx<'_>) -> Api<Reply> {
    let ids = cx.query.ids()?;
    if ids.is_empty() {
        return Err(ApiError::new(
            410,
            "deprecated_api_endpoint",
            "listing all actions was removed; pass the ids as ?id=",
        )
        .with_details(json!({"announcement":
                "https://docs.hetzner.cloud/changelog#2023-07-20-actions-list-endpoint-is-deprecated"})));
    }
    let items = ids.iter().filter_map(|id| cx.project.actions.get(id)).map(|action| action.json(cx.now)).collect();
    cx.list(&LIST, items)
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    match cx.project.actions.get(&id) {
        Some(action) => Ok(Reply::ok(json!({"action": action.json(cx.now)}))),
        None => Err(ApiError::not_found("action", id)),
    }
}

/// Actions of a kind of object, or of one object.
pub(crate) fn list_of(cx: &Cx<'_>, kind: Kind, object: Option<i64>) -> Api<Reply> {
    let ids = cx.query.ids()?;
    let items = cx
        .project
        .actions
        .values()
        .filter(|action| concerns(action, kind, object) && (ids.is_empty() || ids.contains(&action.id)))
        .map(|action| action.json(cx.now))
        .collect();
    cx.list(&LIST, items)
}

pub(crate) fn get_of(cx: &Cx<'_>, kind: Kind, object: Option<i64>, id: i64) -> Api<Reply> {
    match cx.project.actions.get(&id) {
        Some(action) if concerns(action, kind, object) => get(cx, id),
        _ => Err(ApiError::not_found("action", id)),
    }
}

fn concerns(action: &Action, kind: Kind, object: Option<i64>) -> bool {
    action.resources.iter().any(|(of, id)| *of == kind && object.is_none_or(|object| object == *id))
}
