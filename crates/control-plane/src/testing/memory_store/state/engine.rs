//! What the engine does: leases, the queue, steps, commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use seca_api::{Kind, ResourceKey, Scope};

use super::{Project, Recorded, Replica, Row, State, outer_first};
use crate::{
    assigned::without_role,
    kinds::{self, Peers},
    ports::{
        Attendance, Auxiliary, AuxiliaryUse, Bundle, Commit, CommitOutcome, Intent, LEASE_SLACK, Lease, Mark,
        OwnedObject, Portion, Related, RequestBudget, Settled, Step, StepRecord, StepState, Tie,
    },
    resource::{ProjectId, Resource, Uid},
    state,
};

impl State {
    /// Makes rows due now, whatever is being done about them.
    pub(super) fn wake(&mut self, uids: impl IntoIterator<Item = Uid>) {
        let now = self.now();
        for uid in uids {
            if let Some(work) = self.work.get_mut(&uid) {
                work.next = Some(work.next.map_or(now, |next| next.min(now)));
                work.wakes += 1;
            }
        }
    }

    /// Wakes a row because a client wants something else of it: a new row of attempts begins.
    pub(super) fn accept(&mut self, uid: Uid) {
        if let Some(work) = self.work.get_mut(&uid) {
            work.attempts = 0;
        }
        self.wake([uid]);
    }

    /// Referrers, targets, parents and children of a row.
    /// What may decide otherwise when a resource changed. Its workspace looks at the number of its resources and at nothing of
    /// them.
    fn roused(&self, uid: Uid) -> BTreeSet<Uid> {
        let mut found = self.related(uid);
        let workspace = self.resource(uid).and_then(|row| row.key.workspace_key()).and_then(|key| self.keys.get(&key));
        if let Some(workspace) = workspace {
            found.remove(workspace);
        }
        found
    }

    pub(super) fn related(&self, uid: Uid) -> BTreeSet<Uid> {
        let Some(row) = self.rows.get(&uid) else { return BTreeSet::new() };
        let key = &row.resource.key;
        let mut found: BTreeSet<Uid> = self.referrers(key).map(|(_, referrer)| referrer.uid).collect();
        found.extend(row.edges.iter().filter_map(|edge| self.keys.get(&edge.target)));
        found.extend(outer_first(key).iter().filter_map(|parent| self.keys.get(parent)));
        found.extend(self.children(key).map(|child| child.uid));
        found.extend(self.rows.values().filter(|held| held.resource.holder == Some(uid)).map(|held| held.resource.uid));
        if let Some(kind) = Peers::woken_by(key.kind) {
            found.extend(self.in_workspace_of(key, kind).map(|peer| peer.uid));
        }
        found.remove(&uid);
        found
    }

    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.projects.get(&lease.project).is_some_and(|p| p.token == lease.token && p.until.is_some())
    }

    pub(in super::super) fn lease(
        &mut self,
        owner: &str,
        ttl: Duration,
        engine: i64,
        limit: usize,
        portion: Portion,
    ) -> Vec<Lease> {
        let now = self.now();
        let among = 1 + self.others(owner, ttl, engine).count();
        let own = |project: &&Project| {
            project.owner.as_deref() == Some(owner) && project.until.is_some_and(|until| until > now)
        };
        let share = self.projects.values().filter(|project| project.engine <= engine).count().div_ceil(among);
        let own = self.projects.values().filter(own).count();
        let limit = if portion == Portion::Share { limit.min(share.saturating_sub(own)) } else { limit };
        let is_free = |project: &Project| {
            let ended = |until| until <= now || until > now + project.ttl + LEASE_SLACK;
            project.until.is_none_or(ended) && project.engine <= engine
        };
        let free = self.projects.iter().filter(|(_, project)| is_free(project));
        let mut free: Vec<(bool, ProjectId)> = free.map(|(id, _)| (self.due(id, 1).is_empty(), id.clone())).collect();
        free.sort();
        let mut leases = Vec::new();
        for (_, id) in free.into_iter().take(limit) {
            if let Some(project) = self.projects.get_mut(&id) {
                project.owner = Some(owner.to_owned());
                project.token += 1;
                (project.until, project.ttl) = (Some(now + ttl), ttl);
                project.engine = engine;
                leases.push(Lease { project: id, token: project.token });
            }
        }
        leases
    }

    pub(in super::super) fn renew(&mut self, lease: &Lease, ttl: Duration, budget: Option<RequestBudget>) -> bool {
        let now = self.now();
        let held = self.holds(lease);
        if let Some(project) = self.projects.get_mut(&lease.project).filter(|_| held) {
            (project.until, project.ttl) = (Some(now + ttl), ttl);
            project.budget = budget.map(|budget| (budget, now)).or(project.budget);
        }
        held
    }

    pub(in super::super) fn release(&mut self, lease: &Lease) {
        let held = self.holds(lease);
        if let Some(project) = self.projects.get_mut(&lease.project).filter(|_| held) {
            (project.owner, project.until) = (None, None);
        }
    }

    /// The other engines that share with this one.
    fn others(&self, owner: &str, ttl: Duration, engine: i64) -> impl Iterator<Item = &Replica> {
        let now = self.now();
        let others = self.replicas.iter().filter(move |(name, _)| *name != owner).map(|(_, replica)| replica);
        others.filter(move |replica| replica.engine >= engine && replica.seen + ttl > now)
    }

    pub(in super::super) fn attend(&mut self, owner: &str, ttl: Duration, engine: i64) -> Attendance {
        let now = self.now();
        let told = self.replicas.entry(owner.to_owned()).or_insert(Replica { engine, since: now, seen: now });
        if told.seen + ttl <= now {
            told.since = now;
        }
        (told.engine, told.seen) = (engine, now);
        self.replicas.retain(|_, replica| replica.seen + ttl * 10 > now);
        let lasting = self.others(owner, ttl, engine).filter(|replica| replica.since + ttl <= now);
        Attendance {
            lasting: 1 + lasting.count(),
            projects: self.projects.values().filter(|project| project.engine <= engine).count(),
        }
    }

    pub(in super::super) fn leave(&mut self, owner: &str) {
        self.replicas.remove(owner);
    }

    pub(in super::super) fn may_send(&self, lease: &Lease, step: Option<i64>) -> Option<Duration> {
        let now = self.now();
        let project = self.projects.get(&lease.project)?;
        if project.token != lease.token || project.until.is_none_or(|until| until <= now) {
            return None;
        }
        let Some(id) = step else { return Some(Duration::ZERO) };
        let recorded = self.steps.iter().find(|s| s.step.id == id && s.step.state == StepState::Intended)?;
        (recorded.project == lease.project).then(|| now.saturating_sub(recorded.at))
    }

    pub(in super::super) fn project_of(&self, uids: &[Uid]) -> Vec<ProjectId> {
        let rows = uids.iter().filter_map(|uid| Some(&self.resource(*uid)?.project));
        let steps = self.steps.iter().filter(|s| uids.contains(&s.step.resource)).map(|s| &s.project);
        let found: BTreeSet<&ProjectId> = rows.chain(steps).filter(|project| !project.is_local()).collect();
        found.into_iter().cloned().collect()
    }

    pub(in super::super) fn due(&self, project: &ProjectId, limit: usize) -> Vec<Uid> {
        let now = self.now();
        let queued = self.work.iter().filter(|(_, work)| work.project == *project);
        let mut due: Vec<(Duration, Uid)> =
            queued.filter_map(|(uid, work)| Some((work.next?, *uid))).filter(|(next, _)| *next <= now).collect();
        due.sort();
        due.into_iter().take(limit).map(|(_, uid)| uid).collect()
    }

    pub(in super::super) fn next_due(&self, project: &ProjectId) -> Option<Duration> {
        let now = self.now();
        let queued = self.work.values().filter(|work| work.project == *project);
        queued.filter_map(|work| work.next).min().map(|next| next.saturating_sub(now))
    }

    pub(in super::super) fn project_uids(&self, project: &ProjectId) -> Vec<Uid> {
        let mine = self.rows.values().filter(|row| row.resource.project == *project);
        mine.map(|row| row.resource.uid).collect()
    }

    pub(in super::super) fn resting(&self, project: &ProjectId, within: Duration) -> Vec<Uid> {
        let until = self.now() + within;
        let is_due = |uid: &Uid| self.work.get(uid).and_then(|work| work.next).is_some_and(|next| next <= until);
        self.project_uids(project).into_iter().filter(|uid| !is_due(uid)).collect()
    }

    pub(in super::super) fn exists(&self, uid: Uid) -> bool {
        self.rows.contains_key(&uid)
    }

    pub(in super::super) fn was_removed(&self, uid: Uid) -> bool {
        self.tombstones.contains_key(&uid)
    }

    pub(in super::super) fn bundle(&self, uid: Uid) -> Option<Bundle> {
        let row = self.rows.get(&uid)?;
        let work = self.work.get(&uid)?;
        let key = &row.resource.key;
        let target = |edge: &crate::ports::Edge| Related {
            field: edge.field.clone(),
            key: edge.target.clone(),
            resource: self.find(&edge.target).cloned(),
        };
        let referrers = self.referrers(key).map(|(edge, referrer)| Related {
            field: edge.field.clone(),
            key: referrer.key.clone(),
            resource: Some(referrer.clone()),
        });
        let children = self.children(key).filter(|_| key.kind == Kind::Network).cloned().collect();
        let now = self.now();
        let open = self.steps.iter().filter(|s| s.step.resource == uid && !s.step.state.is_over());
        Some(Bundle {
            resource: row.resource.clone(),
            parents: outer_first(key).iter().rev().filter_map(|parent| self.find(parent).cloned()).collect(),
            targets: row.edges.iter().map(target).collect(),
            referrers: referrers.collect(),
            children,
            peers: self.peers(row),
            child_count: i64::try_from(self.children(key).count()).unwrap_or(i64::MAX),
            auxiliaries: self.auxiliaries(uid),
            open_steps: open.map(|s| StepRecord { age: now.saturating_sub(s.at), ..s.step.clone() }).collect(),
            touched: self.steps.iter().any(|s| s.step.resource == uid),
            attempts: work.attempts,
            wake: work.wakes,
        })
    }

    /// The resources of a kind in the workspace of a key.
    fn in_workspace_of(&self, key: &ResourceKey, kind: Kind) -> impl Iterator<Item = &Resource> {
        let place = (key.tenant.clone(), key.region.clone(), key.workspace.clone());
        let rows = self.rows.values().map(|row| &row.resource).filter(move |row| row.key.kind == kind);
        rows.filter(move |row| (&row.key.tenant, &row.key.region, &row.key.workspace) == (&place.0, &place.1, &place.2))
    }

    /// The live resources that it must know of beside its relations.
    fn peers(&self, row: &Row) -> Vec<Resource> {
        let key = &row.resource.key;
        let is_peer =
            |peer: &&Resource| peer.key.kind == key.kind && peer.uid != row.resource.uid && !peer.is_deleting();
        match kinds::rules(key.kind).map_or(Peers::None, |rules| rules.peers) {
            Peers::None => Vec::new(),
            Peers::OfTarget(field) => {
                let Some(edge) = row.edges.iter().find(|edge| edge.field == field) else { return Vec::new() };
                let named = self.referrers(&edge.target).filter(|(other, _)| other.field == field);
                named.map(|(_, peer)| peer).filter(is_peer).cloned().collect()
            }
            Peers::Siblings => {
                let same = |peer: &&Resource| ResourceKey { name: key.name.clone(), ..peer.key.clone() } == *key;
                self.rows.values().map(|row| &row.resource).filter(is_peer).filter(same).cloned().collect()
            }
            Peers::InWorkspace(kind) => {
                self.in_workspace_of(key, kind).filter(|peer| !peer.is_deleting()).cloned().collect()
            }
        }
    }

    pub(in super::super) fn intend(
        &mut self,
        lease: &Lease,
        resource: Uid,
        generation: i64,
        step: &Step,
        found: Option<Commit>,
    ) -> Option<Intent> {
        let is_here = self.resource(resource).is_some_and(|row| row.project == lease.project);
        if !is_here || !self.holds(lease) {
            return None;
        }
        if let Some(found) = found {
            self.commit_all(lease, &[found]);
        }
        for mark in &step.marks {
            let Some(row) = self.rows.get_mut(&mark.uid) else { continue };
            let before = row.resource.facts.clone();
            state::merge(&mut row.resource.facts, &mark.facts);
            if row.resource.facts != before && mark.uid != resource {
                self.wake([mark.uid]);
            }
        }
        let id = self.steps.last().map_or(0, |last| last.step.id) + 1;
        let step = StepRecord {
            id,
            resource,
            generation,
            step: Step { secret: None, ..step.clone() },
            state: StepState::Intended,
            action: None,
            age: Duration::ZERO,
        };
        self.steps.push(Recorded { project: lease.project.clone(), step, at: self.now() });
        Some(Intent { id, resource: self.resource(resource)?.clone() })
    }

    pub(in super::super) fn finish_step(
        &mut self,
        lease: &Lease,
        id: i64,
        state: StepState,
        action: Option<&str>,
    ) -> bool {
        let held = self.holds(lease);
        let now = self.now();
        let Some(recorded) = self.steps.iter_mut().find(|s| s.step.id == id).filter(|_| held) else { return held };
        if state == StepState::Unknown && recorded.step.state != StepState::Unknown {
            recorded.at = now;
        }
        let before = std::mem::replace(&mut recorded.step.state, state);
        recorded.step.action = action.map(str::to_owned).or(recorded.step.action.take());
        let (uid, marks) = (recorded.step.resource, recorded.step.step.marks.clone());
        if state == StepState::Done
            && let Some(work) = self.work.get_mut(&uid)
        {
            work.attempts = 0;
        }
        if state == StepState::Failed && matches!(before, StepState::Intended | StepState::Running) {
            self.undo(uid, &marks);
        }
        held
    }

    /// Takes the marks of a step back.
    fn undo(&mut self, resource: Uid, marks: &[Mark]) {
        for mark in marks {
            let Some(row) = self.rows.get_mut(&mark.uid) else { continue };
            let before = row.resource.facts.clone();
            state::undo(&mut row.resource.facts, mark);
            if row.resource.facts != before && mark.uid != resource {
                self.wake([mark.uid]);
            }
        }
    }

    pub(in super::super) fn tie(&mut self, lease: &Lease, resource: Uid, ties: &[Tie]) -> bool {
        if !self.holds(lease) {
            return false;
        }
        if !self.exists(resource) {
            return true;
        }
        for tie in ties {
            let changed = match tie {
                Tie::Claim(held) => self.hold(*held, None, Some(resource)),
                Tie::Release(holder) => self.hold(resource, Some(*holder), None),
                Tie::Use(auxiliary) => {
                    self.auxiliaries.insert((lease.project.clone(), auxiliary.clone(), resource)).then_some(resource)
                }
                Tie::Drop(auxiliary) => {
                    self.auxiliaries.remove(&(lease.project.clone(), auxiliary.clone(), resource)).then_some(resource)
                }
            };
            if let Some(changed) = changed {
                let roused = self.roused(changed);
                self.wake(roused.into_iter().chain([changed]));
            }
        }
        true
    }

    /// Changes the holder of a resource from one to another.
    fn hold(&mut self, held: Uid, from: Option<Uid>, to: Option<Uid>) -> Option<Uid> {
        let row = self.rows.get_mut(&held).filter(|row| row.resource.holder == from)?;
        row.resource.holder = to;
        Some(held)
    }

    fn auxiliaries(&self, uid: Uid) -> Vec<AuxiliaryUse> {
        let used = self.auxiliaries.iter().filter(|(_, _, user)| *user == uid);
        used.map(|(project, auxiliary, _)| {
            let same = |other: &&(ProjectId, Auxiliary, Uid)| other.0 == *project && other.1 == *auxiliary;
            let all = self.auxiliaries.iter().filter(same).count();
            AuxiliaryUse { auxiliary: auxiliary.clone(), others: i64::try_from(all - 1).unwrap_or(i64::MAX) }
        })
        .collect()
    }

    pub(in super::super) fn commit_all(&mut self, lease: &Lease, commits: &[Commit]) -> Option<Vec<CommitOutcome>> {
        if !self.holds(lease) {
            return None;
        }
        let (mut outcomes, mut relevant, mut looked) = (Vec::new(), Vec::new(), Vec::new());
        for commit in commits {
            let Some(row) = self.rows.get_mut(&commit.uid) else {
                outcomes.push(CommitOutcome::Gone);
                continue;
            };
            if row.resource.project == lease.project {
                let changed = state::commit(&mut row.resource, commit);
                let is_newest =
                    row.resource.generation == commit.generation && row.resource.action.seq == commit.action_seq;
                looked.push((commit.uid, is_newest.then_some(commit.wake), commit.attempts, commit.next));
                relevant.extend(changed.relevant.then_some(commit.uid));
            }
            outcomes.push(CommitOutcome::Done(Box::new(row.resource.clone())));
        }
        for uid in relevant {
            let roused = self.roused(uid);
            self.wake(roused);
        }
        looked.into_iter().for_each(|(uid, wake, attempts, next)| self.looked_at(uid, wake, attempts, next));
        Some(outcomes)
    }

    pub(in super::super) fn settle(&mut self, lease: &Lease, looks: &[Settled]) -> bool {
        let held = self.holds(lease);
        if held {
            looks.iter().for_each(|look| self.looked_at(look.uid, Some(look.wake), look.attempts, look.next));
        }
        held
    }

    /// Changes the place in the queue of what was looked at.
    fn looked_at(&mut self, uid: Uid, wake: Option<i64>, attempts: u32, next: Option<Duration>) {
        let now = self.now();
        let Some(work) = self.work.get_mut(&uid) else { return };
        if Some(work.wakes) == wake {
            work.attempts = attempts;
            work.next = next.map(|after| now + after);
        } else {
            work.next = Some(work.next.map_or(now, |next| next.min(now)));
        }
    }

    pub(in super::super) fn remove(&mut self, lease: &Lease, uid: Uid) -> CommitOutcome {
        if !self.holds(lease) {
            return CommitOutcome::Fenced;
        }
        let Some(row) = self.resource(uid) else { return CommitOutcome::Gone };
        if !row.is_deleting() || row.project != lease.project || self.children(&row.key).next().is_some() {
            return CommitOutcome::Done(Box::new(row.clone()));
        }
        let mut woken = self.related(uid);
        if row.key.kind.scope() == Scope::Network
            && let Some(network) = row.key.parent()
        {
            woken.extend(self.children(&network).map(|sibling| sibling.uid));
        }
        let held: Vec<Uid> =
            self.rows.values().filter(|r| r.resource.holder == Some(uid)).map(|r| r.resource.uid).collect();
        for held in held {
            // Whoever waited to hold it next refers to it.
            woken.extend(self.related(held));
            woken.insert(held);
            if let Some(row) = self.rows.get_mut(&held) {
                row.resource.holder = None;
            }
        }
        self.unassign(uid);
        self.auxiliaries.retain(|(_, _, user)| *user != uid);
        let row = self.rows.remove(&uid);
        self.work.remove(&uid);
        self.retire(uid);
        if !self.is_abandoned(&lease.project) {
            self.tombstones.insert(uid, self.now());
        }
        self.wake(woken);
        match row {
            Some(row) => {
                self.keys.remove(&row.resource.key);
                self.left(&row.resource);
                CommitOutcome::Done(Box::new(row.resource))
            }
            None => CommitOutcome::Gone,
        }
    }

    /// Takes a role that leaves from all assignments that name it.
    fn unassign(&mut self, role: Uid) {
        let Some(role) = self.resource(role).filter(|row| row.key.kind == Kind::Role).cloned() else { return };
        let naming: BTreeSet<Uid> = self.referrers(&role.key).map(|(_, referrer)| referrer.uid).collect();
        for uid in naming {
            let Some(row) = self.rows.get_mut(&uid) else { continue };
            let Some((after, edges)) = without_role(&role, &row.resource, &row.edges) else { continue };
            let before = std::mem::replace(&mut row.resource, after.clone());
            row.edges = edges;
            self.changed(&before, &after);
        }
    }

    pub(in super::super) fn requeue(&mut self, lease: &Lease, uid: Uid, after: Duration) {
        if !self.holds(lease) {
            return;
        }
        if after.is_zero() {
            return self.wake([uid]);
        }
        let at = self.now() + after;
        if let Some(work) = self.work.get_mut(&uid) {
            work.next = Some(work.next.map_or(at, |next| next.min(at)));
        }
    }

    pub(in super::super) fn save_orphans(&mut self, lease: &Lease, orphans: &[OwnedObject]) -> bool {
        let held = self.holds(lease);
        if held {
            self.orphans.insert(lease.project.clone(), orphans.to_vec());
        }
        held
    }

    pub(in super::super) fn orphans(&self) -> Vec<(ProjectId, OwnedObject)> {
        let each = |(project, found): (&ProjectId, &Vec<OwnedObject>)| {
            found.iter().map(|object| (project.clone(), object.clone())).collect::<Vec<_>>()
        };
        self.orphans.iter().flat_map(each).collect()
    }

    pub(in super::super) fn prune(&mut self, older: Duration) {
        let Some(before) = self.now().checked_sub(older) else { return };
        let gone: BTreeSet<Uid> = self.tombstones.iter().filter(|(_, at)| **at < before).map(|(uid, _)| *uid).collect();
        let last: BTreeMap<Uid, i64> = self.steps.iter().map(|s| (s.step.resource, s.step.id)).collect();
        let (rows, tombstones) = (&self.rows, &self.tombstones);
        self.steps.retain(|s| {
            let uid = s.step.resource;
            let is_last = last.get(&uid) == Some(&s.step.id);
            let is_over = s.step.state == StepState::Failed && !is_last;
            let is_left = !rows.contains_key(&uid) && !tombstones.contains_key(&uid);
            !gone.contains(&uid) && !(s.at < before && (is_over || is_left))
        });
        self.tombstones.retain(|uid, _| !gone.contains(uid));
        self.prune_orders(before);
    }
}
