//! What the provider remembers of a project in this process, none of it needed for correctness.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use hcloud_client::types::{Action, Id};

use crate::{
    objects::{Object, ObjectId, ObjectType},
    snapshot::{Learnt, Observation, Snapshot},
};

/// Actions under way, what many instances want at once, what was seen during an observation, and what one snapshot
/// leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    actions: HashMap<i64, Action>,
    /// Objects of no single resource that this process made, by type and name.
    shared: HashMap<(ObjectType, String), Object>,
    /// Observations that are running, and what was seen since the first of them began.
    observing: usize,
    seen: Vec<Observation>,
    /// What no list shows, for the next snapshot. It ends with the last snapshot: meanwhile another process may
    /// have worked on the project.
    learnt: Learnt,
    life: Weak<()>,
}

impl Memory {
    /// Keeps actions that were just accepted.
    pub(crate) fn remember_actions(&self, actions: Vec<Action>) {
        /// Actions that nobody came to wait for must not pile up.
        const MOST: usize = 10_000;
        let mut state = self.lock();
        if state.actions.len() > MOST {
            state.actions.clear();
        }
        state.actions.extend(actions.into_iter().map(|action| (action.id.get(), action)));
    }

    /// The action, if this process saw it begin.
    pub(crate) fn take_action(&self, id: Id<Action>) -> Option<Action> {
        self.lock().actions.remove(&id.get())
    }

    /// An object of no single resource that this process made.
    pub(crate) fn shared(&self, kind: ObjectType, name: &str) -> Option<Object> {
        self.lock().shared.get(&(kind, name.to_owned())).cloned()
    }

    pub(crate) fn remember_shared(&self, object: Object) {
        let key = (object.object_id().kind(), object.name().to_owned());
        self.lock().shared.insert(key, object);
    }

    pub(crate) fn forget_shared(&self, id: ObjectId) {
        self.lock().shared.retain(|_, object| object.object_id() != id);
    }

    /// Notes what an answer showed: what no list shows, and all of it while lists are being read.
    pub(crate) fn note(&self, observation: &Observation) {
        let mut state = self.lock();
        state.shared.retain(|_, object| !observation.shows_gone(object.object_id()));
        state.learnt.absorb(observation);
        if state.observing > 0 {
            state.seen.push(observation.clone());
        }
    }

    /// Begins an observation.
    pub(crate) fn observe(&self) -> Observing<'_> {
        let mut state = self.lock();
        state.observing += 1;
        if state.observing == 1 && state.life.strong_count() == 0 {
            state.learnt = Learnt::default();
        }
        Observing { memory: self, since: state.seen.len() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An observation under way. Lists are read one after the other, while calls go on: what their answers showed
/// since is newer than a list that was read before.
pub(crate) struct Observing<'a> {
    memory: &'a Memory,
    since: usize,
}

impl Observing<'_> {
    /// Completes lists by what was seen while they were read.
    pub(crate) fn complete(self, mut snapshot: Snapshot) -> Snapshot {
        let mut state = self.memory.lock();
        for observation in state.seen.iter().skip(self.since) {
            snapshot.absorb(observation.clone());
        }
        snapshot.learn(&state.learnt);
        state.learnt = snapshot.learnt.clone();
        let life = state.life.upgrade().unwrap_or_default();
        state.life = Arc::downgrade(&life);
        snapshot.life = Some(life);
        state.shared.retain(|_, object| snapshot.objects.labels(object.object_id()).is_some());
        drop(state);
        snapshot
    }
}

impl Drop for Observing<'_> {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        state.observing -= 1;
        if state.observing == 0 {
            state.seen.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use hcloud_client::types::Server;
    use serde_json::json;

    use super::*;
    use crate::{objects::Objects, snapshot::Change};

    fn server(id: i64, status: &str) -> Server {
        serde_json::from_value(json!({
            "id": id, "name": "srv", "status": status, "created": "2026-01-01T00:00:00Z", "labels": {},
            "public_net": {"firewalls": []},
            "server_type": {"id": 1, "name": "cx23", "cores": 2, "memory": 4.0, "disk": 40,
                            "cpu_type": "shared", "architecture": "x86"},
            "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
        }))
        .unwrap()
    }

    fn lists(servers: Vec<Server>) -> Snapshot {
        let mut objects = Objects::default();
        servers.into_iter().for_each(|server| objects.keep(server.into()));
        Snapshot::from_lists(objects)
    }

    #[test]
    fn what_no_list_shows_passes_from_snapshot_to_snapshot() {
        let memory = Memory::default();
        let first = memory.observe().complete(lists(vec![server(1, "running"), server(2, "running")]));
        let told = |id: i64| {
            let server = Id::new(id);
            vec![Change::ShutdownSent { server, seq: 7 }, Change::Rebooted { server, action: 70 + id }]
        };
        memory.note(&Observation::new(told(1)));
        // While lists are read, a second one is told of, and the first one is seen off.
        let observing = memory.observe();
        memory.note(&Observation::new(told(2)));
        memory.note(&Observation::new(vec![Change::Seen(Object::from(server(1, "off")))]));
        let second = observing.complete(lists(vec![server(1, "running"), server(2, "running")]));
        drop(first);
        let third = memory.observe().complete(lists(vec![server(1, "off"), server(2, "running")]));
        drop(second);
        for (id, asked) in [(1, false), (2, true)] {
            assert_eq!(third.was_asked_to_shut_down(Id::new(id), 7), asked, "{id}");
            assert_eq!(third.last_reboot(Id::new(id)), Some(70 + id));
        }
        let fourth = memory.observe().complete(lists(vec![server(2, "running")]));
        assert_eq!((fourth.last_reboot(Id::new(1)), fourth.last_reboot(Id::new(2))), (None, Some(72)));
    }

    #[test]
    fn what_was_learnt_ends_with_the_last_snapshot() {
        let memory = Memory::default();
        let first = memory.observe().complete(lists(vec![server(1, "running")]));
        memory.note(&Observation::new(vec![Change::Rebooted { server: Id::new(1), action: 5 }]));
        drop(first);
        let second = memory.observe().complete(lists(vec![server(1, "running")]));
        assert_eq!(second.last_reboot(Id::new(1)), None, "another process may have worked on it meanwhile");
    }
}
