//! What the store holds, and what requests do to it.

mod access;
mod engine;
mod epochs;
mod orphans;
mod oversight;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use seca_api::{Kind, ResourceKey};
use tokio::time::Instant;

use crate::{
    catalog::CatalogEntry,
    kinds,
    ports::{
        Act, ActOutcome, Auxiliary, Before, BindOutcome, Binding, Credential, Delete, DeleteOutcome, DeleteRules, Edge,
        OrphanOrder, OwnedObject, Put, PutOutcome, RequestBudget, StepRecord, UnbindOutcome, Users, WorkspaceBinding,
    },
    resource::{ProjectId, Resource, Uid},
    state,
};

/// All tables.
pub(super) struct State {
    pub(super) installation: String,
    pub(super) catalog: (i64, Vec<CatalogEntry>),
    start: Instant,
    rows: BTreeMap<Uid, Row>,
    keys: BTreeMap<ResourceKey, Uid>,
    work: BTreeMap<Uid, Work>,
    credentials: BTreeMap<Uid, Bound>,
    bindings: i64,
    projects: BTreeMap<ProjectId, Project>,
    replicas: BTreeMap<String, Replica>,
    steps: Vec<Recorded>,
    tombstones: BTreeMap<Uid, Duration>,
    auxiliaries: BTreeSet<(ProjectId, Auxiliary, Uid)>,
    orphans: BTreeMap<ProjectId, Vec<OwnedObject>>,
    orders: Vec<(OrphanOrder, Duration)>,
    access: access::Access,
    activities: Vec<oversight::Recorded>,
    last_activity: i64,
    paused: BTreeMap<Uid, oversight::Paused>,
}

struct Row {
    resource: Resource,
    label_pairs: BTreeMap<String, String>,
    edges: Vec<Edge>,
}

struct Work {
    project: ProjectId,
    next: Option<Duration>,
    attempts: u32,
    wakes: i64,
}

/// A credential, or none after it was removed on purpose.
struct Bound {
    order: i64,
    credential: Option<Credential>,
}

#[derive(Default)]
struct Project {
    owner: Option<String>,
    token: i64,
    until: Option<Duration>,
    /// How long its lease lasts.
    ttl: Duration,
    /// The engine that last took its lease.
    engine: i64,
    budget: Option<(RequestBudget, Duration)>,
    epoch: epochs::Epochs,
}

struct Recorded {
    project: ProjectId,
    step: StepRecord,
    at: Duration,
}

/// An engine that told of itself.
struct Replica {
    engine: i64,
    since: Duration,
    seen: Duration,
}

impl State {
    pub(super) fn new(installation: &str) -> Self {
        Self {
            installation: installation.to_owned(),
            catalog: (0, Vec::new()),
            start: Instant::now(),
            rows: BTreeMap::new(),
            keys: BTreeMap::new(),
            work: BTreeMap::new(),
            credentials: BTreeMap::new(),
            bindings: 0,
            projects: BTreeMap::from([(ProjectId::local(), Project::default())]),
            replicas: BTreeMap::new(),
            steps: Vec::new(),
            tombstones: BTreeMap::new(),
            auxiliaries: BTreeSet::new(),
            orphans: BTreeMap::new(),
            orders: Vec::new(),
            access: access::Access::default(),
            activities: Vec::new(),
            last_activity: 0,
            paused: BTreeMap::new(),
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn find(&self, key: &ResourceKey) -> Option<&Resource> {
        self.keys.get(key).and_then(|uid| self.resource(*uid))
    }

    pub(super) fn resource(&self, uid: Uid) -> Option<&Resource> {
        self.rows.get(&uid).map(|row| &row.resource)
    }

    fn is_live(&self, key: &ResourceKey) -> bool {
        self.find(key).is_some_and(|row| !row.is_deleting())
    }

    /// Everything in a workspace or in a network, those being deleted included.
    pub(super) fn children<'a>(&'a self, parent: &'a ResourceKey) -> impl Iterator<Item = &'a Resource> {
        self.rows.values().map(|row| &row.resource).filter(move |row| {
            let key = &row.key;
            key.tenant == parent.tenant
                && key.region == parent.region
                && match parent.kind {
                    Kind::Workspace => key.workspace == parent.name,
                    Kind::Network => key.workspace == parent.workspace && key.network == parent.name,
                    _ => false,
                }
        })
    }

    /// What refers to a key, by age.
    fn referrers<'a>(&'a self, key: &'a ResourceKey) -> impl Iterator<Item = (&'a Edge, &'a Resource)> {
        self.rows
            .values()
            .flat_map(|row| row.edges.iter().map(move |edge| (edge, &row.resource)))
            .filter(move |(edge, _)| edge.target == *key)
    }

    pub(super) fn put(&mut self, mut put: Put) -> PutOutcome {
        if put.judged_at.is_some() && put.judged_at != self.tenant(&put.key.tenant).map(|tenant| tenant.version) {
            return PutOutcome::Stale;
        }
        let current = self.find(&put.key);
        match (current, &put.before) {
            (None, None) => {}
            (Some(row), _) if row.is_deleting() && put.before.as_ref().is_none_or(|b| b.row.uid == row.uid) => {
                return PutOutcome::Deleting;
            }
            (Some(row), Some(before)) if version(row) == version(&before.row) => {}
            _ => return PutOutcome::Stale,
        }
        // What is in use cannot have gone: only a reference that is new needs a look at its target.
        if put.before.as_ref().is_none_or(|before| before.edges != put.edges) {
            let parents = outer_first(&put.key);
            let strict = put.edges.iter().filter(|edge| edge.strict).map(|edge| &edge.target);
            if let Some(missing) = parents.iter().chain(strict).find(|key| !self.is_live(key)) {
                return PutOutcome::Missing(missing.clone());
            }
        }
        match put.before.clone() {
            None => {
                let grant = put.grant.take();
                let made = self.create(put);
                if let Some(grant) = grant {
                    self.create(*grant);
                }
                PutOutcome::Created(made)
            }
            Some(before) => self.update(before, put),
        }
    }

    /// The project of a row without a parent: that of its home's workspace, in which the home lives.
    fn home(&self, put: &Put) -> Option<ProjectId> {
        let home = self.find(put.home.as_ref()?)?;
        let owner = home.key.workspace_key().and_then(|workspace| self.find(&workspace)).unwrap_or(home);
        Some(owner.project.clone())
    }

    fn create(&mut self, put: Put) -> Resource {
        let parent = outer_first(&put.key).first().and_then(|parent| self.find(parent));
        let project = parent.map(|row| row.project.clone()).or_else(|| self.home(&put));
        let (label_pairs, edges) = (put.label_pairs.clone(), put.edges.clone());
        let resource = state::create(put, project.unwrap_or_else(ProjectId::local));
        self.keys.insert(resource.key.clone(), resource.uid);
        self.rows.insert(resource.uid, Row { resource: resource.clone(), label_pairs, edges });
        let work = Work { project: resource.project.clone(), next: Some(self.now()), attempts: 0, wakes: 1 };
        self.work.insert(resource.uid, work);
        let referrers: BTreeSet<Uid> = self.referrers(&resource.key).map(|(_, row)| row.uid).collect();
        self.wake(referrers);
        self.made(&resource);
        resource
    }

    fn update(&mut self, before: Before, put: Put) -> PutOutcome {
        let uid = before.row.uid;
        let Some(row) = self.rows.get(&uid) else { return PutOutcome::Stale };
        // The judged row may lack what the engine notes for itself.
        let mut after = row.resource.clone();
        if after.project.is_local()
            && let Some(project) = self.home(&put)
        {
            after.project = project;
        }
        let (label_pairs, edges) = (put.label_pairs.clone(), put.edges.clone());
        state::update(&mut after, &put);
        if before.edges != edges {
            let former = before.edges.iter().filter_map(|edge| self.keys.get(&edge.target).copied());
            let targets: BTreeSet<Uid> = former.filter(|target| *target != uid).collect();
            self.wake(targets);
        }
        if let Some(work) = self.work.get_mut(&uid) {
            work.project = after.project.clone();
        }
        self.rows.insert(uid, Row { resource: after.clone(), label_pairs, edges });
        self.accept(uid);
        self.changed(&before.row, &after);
        PutOutcome::Updated { before: before.row, after }
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> DeleteOutcome {
        let Some(row) = self.find(&delete.key) else { return DeleteOutcome::NotFound };
        if row.is_deleting() {
            return DeleteOutcome::Accepted(row.clone());
        }
        if delete.expected_version.is_some_and(|version| version != row.resource_version) {
            return DeleteOutcome::Stale(row.resource_version);
        }
        let uid = row.uid;
        let cascade = self.cascade(&delete.key, &delete.rules);
        let blockers = self.blockers(&delete.key, &delete.rules, &cascade);
        if !blockers.shown.is_empty() {
            return DeleteOutcome::Refused(blockers);
        }
        for (uid, _) in cascade.iter().chain([&(uid, &[][..])]) {
            let related = self.related(*uid);
            if let Some(row) = self.rows.get_mut(uid) {
                let before = row.resource.clone();
                state::delete(&mut row.resource, delete.now);
                let after = row.resource.clone();
                self.changed(&before, &after);
            }
            self.wake(related);
            self.accept(*uid);
        }
        self.resource(uid).map_or(DeleteOutcome::NotFound, |row| DeleteOutcome::Accepted(row.clone()))
    }

    /// The live children that go along, each with the kinds that may not refer to it.
    fn cascade(&self, key: &ResourceKey, rules: &DeleteRules) -> Vec<(Uid, &'static [Kind])> {
        let live = self.children(key).filter(|child| !child.is_deleting());
        live.filter_map(|child| {
            let rule = rules.cascades.iter().find(|(kind, _)| *kind == child.key.kind);
            rule.map(|(_, referrers)| (child.uid, *referrers))
        })
        .collect()
    }

    fn blockers(&self, key: &ResourceKey, rules: &DeleteRules, cascade: &[(Uid, &'static [Kind])]) -> Users {
        let mut found: Vec<&Resource> = Vec::new();
        found.extend(self.children(key).filter(|child| rules.refused_by_children.contains(&child.key.kind)));
        found.extend(self.referring(key, rules.refused_by_referrers));
        for (uid, kinds) in cascade {
            if let Some(child) = self.resource(*uid) {
                found.extend(self.referring(&child.key, kinds));
            }
        }
        let stays = |row: &Resource| !row.is_deleting() && !cascade.iter().any(|(uid, _)| *uid == row.uid);
        let mut keys: Vec<ResourceKey> =
            found.into_iter().filter(|row| stays(row)).map(|row| row.key.clone()).collect();
        keys.sort_by_key(|k| (k.kind.as_str(), k.workspace.clone(), k.network.clone(), k.name.clone()));
        keys.dedup();
        let more = keys.len().saturating_sub(DeleteRules::SHOWN) as u64;
        keys.truncate(DeleteRules::SHOWN);
        Users { shown: keys, more }
    }

    fn referring<'a>(&'a self, key: &'a ResourceKey, kinds: &'a [Kind]) -> impl Iterator<Item = &'a Resource> {
        self.referrers(key).map(|(_, row)| row).filter(|row| kinds.contains(&row.key.kind))
    }

    pub(super) fn act(&mut self, act: &Act) -> ActOutcome {
        let Some(row) = self.keys.get(&act.key).and_then(|uid| self.rows.get_mut(uid)) else {
            return ActOutcome::NotFound;
        };
        let row = &mut row.resource;
        if act.expected_version.is_some_and(|version| version != row.resource_version) {
            return ActOutcome::Stale(row.resource_version);
        }
        if let Err(refusal) = state::judge_action(row, act.action) {
            return ActOutcome::Refused(refusal);
        }
        state::act(row, act.action, act.now);
        let row = row.clone();
        self.accept(row.uid);
        ActOutcome::Accepted(row)
    }

    pub(super) fn bind(&mut self, credential: Credential) -> BindOutcome {
        let Some(workspace) = self.find(&credential.workspace) else { return BindOutcome::NotFound };
        let moves = workspace.project != credential.project;
        // One that is being deleted may need a new token to get there, and nothing else.
        if workspace.is_deleting() && moves || workspace.uid != credential.workspace_uid {
            return BindOutcome::NotFound;
        }
        let leaving = self.project_uids(&credential.project).len();
        if self.is_abandoned(&credential.project) && leaving > 0 {
            return BindOutcome::Abandoned(i64::try_from(leaving).unwrap_or(i64::MAX));
        }
        let members = self.members(&credential.workspace, &workspace.project);
        if moves && self.count_touched(&members) > 0 {
            return BindOutcome::OtherProject(workspace.project.clone());
        }
        for uid in &members {
            if let Some(row) = self.rows.get_mut(uid) {
                row.resource.project = credential.project.clone();
            }
            if let Some(work) = self.work.get_mut(uid) {
                work.project = credential.project.clone();
            }
        }
        let served = self.homeless(&credential.project, &credential.workspace.tenant);
        self.wake(members.into_iter().chain(served));
        self.projects.entry(credential.project.clone()).or_default().epoch.abandoned = false;
        self.bindings += 1;
        let bound = Bound { order: self.bindings, credential: Some(credential.clone()) };
        self.credentials.insert(credential.workspace_uid, bound);
        self.let_go();
        BindOutcome::Done
    }

    /// A workspace, all that is in it, and what has its home there and its project.
    fn members(&self, workspace: &ResourceKey, project: &ProjectId) -> BTreeSet<Uid> {
        let own = self.keys.get(workspace).copied();
        let at_home = |row: &&Row| {
            let field = kinds::rules(row.resource.key.kind).and_then(|rules| rules.home);
            let mut homes = row.edges.iter().filter(|edge| field == Some(&edge.field));
            !project.is_local()
                && row.resource.project == *project
                && homes.any(|edge| edge.target.workspace_key().as_ref() == Some(workspace))
        };
        let guests = self.rows.values().filter(at_home).map(|row| row.resource.uid);
        self.children(workspace).map(|child| child.uid).chain(own).chain(guests).collect()
    }

    /// How many of them ever had a step.
    fn count_touched(&self, uids: &BTreeSet<Uid>) -> usize {
        uids.iter().filter(|uid| self.steps.iter().any(|s| s.step.resource == **uid)).count()
    }

    pub(super) fn unbind(&mut self, workspace: &ResourceKey, force: bool) -> UnbindOutcome {
        let Some(uid) = self.keys.get(workspace).copied() else { return self.drop_retired(workspace, force) };
        if self.credential(uid).is_none() {
            return UnbindOutcome::NotFound;
        }
        let project = self.resource(uid).map_or_else(ProjectId::local, |row| row.project.clone());
        let mut members = self.members(workspace, &project);
        let is_other =
            |c: &Credential| c.project == project && c.workspace.tenant == workspace.tenant && c.workspace_uid != uid;
        if !self.credentials().iter().any(is_other) {
            members.extend(self.homeless(&project, &workspace.tenant));
        }
        let touched = self.count_touched(&members);
        if touched > 0 && !force {
            return UnbindOutcome::InUse(i64::try_from(touched).unwrap_or(i64::MAX));
        }
        if let Some(bound) = self.credentials.get_mut(&uid) {
            bound.credential = None;
        }
        self.wake(members);
        UnbindOutcome::Done
    }

    /// What of a tenant lives in a project of the provider and in no workspace.
    fn homeless(&self, project: &ProjectId, tenant: &str) -> Vec<Uid> {
        let is_homeless = |row: &&Resource| {
            let key = &row.key;
            key.tenant == tenant && key.workspace.is_empty() && key.kind != Kind::Workspace && row.project == *project
        };
        let rows = self.rows.values().map(|row| &row.resource).filter(|_| !project.is_local());
        rows.filter(is_homeless).map(|row| row.uid).collect()
    }

    /// A workspace has left: its credential is retired while it is needed.
    fn retire(&mut self, workspace: Uid) {
        if let Some(credential) = self.credentials.get_mut(&workspace).and_then(|bound| bound.credential.as_mut()) {
            credential.retired = true;
        } else {
            self.credentials.remove(&workspace);
        }
        self.let_go();
    }

    /// Removes retired credentials that serve nothing any more.
    fn let_go(&mut self) {
        let serves = |c: &Credential| !c.retired || !self.homeless(&c.project, &c.workspace.tenant).is_empty();
        let idle = |bound: &Bound| bound.credential.as_ref().is_some_and(|credential| !serves(credential));
        let gone: Vec<Uid> = self.credentials.iter().filter(|(_, bound)| idle(bound)).map(|(uid, _)| *uid).collect();
        gone.iter().for_each(|uid| drop(self.credentials.remove(uid)));
    }

    /// Removes what was retired when a workspace left.
    fn drop_retired(&mut self, workspace: &ResourceKey, force: bool) -> UnbindOutcome {
        let mut retired = self.credentials();
        retired.retain(|credential| credential.retired && credential.workspace == *workspace);
        retired.sort_by_key(|credential| credential.workspace_uid);
        let Some(project) = retired.first().map(|credential| credential.project.clone()) else {
            return UnbindOutcome::NotFound;
        };
        let projects: BTreeSet<&ProjectId> = retired.iter().map(|credential| &credential.project).collect();
        let served: Vec<Uid> = projects.iter().flat_map(|id| self.homeless(id, &workspace.tenant)).collect();
        if !served.is_empty() && !force {
            let mut first: Vec<ResourceKey> =
                served.iter().filter_map(|uid| self.resource(*uid)).map(|row| row.key.clone()).collect();
            first.sort_by_key(|key| (key.region.clone(), key.kind.as_str(), key.name.clone()));
            first.truncate(Credential::SHOWN);
            return UnbindOutcome::Retired { project, count: i64::try_from(served.len()).unwrap_or(i64::MAX), first };
        }
        for credential in &retired {
            self.credentials.remove(&credential.workspace_uid);
        }
        self.wake(served);
        UnbindOutcome::Done
    }

    pub(super) fn credential(&self, workspace: Uid) -> Option<&Credential> {
        self.credentials.get(&workspace)?.credential.as_ref()
    }

    /// All credentials, newest first, those that are retired behind the others.
    pub(super) fn credentials(&self) -> Vec<Credential> {
        let mut all: Vec<(&Bound, &Credential)> =
            self.credentials.values().filter_map(|bound| Some((bound, bound.credential.as_ref()?))).collect();
        all.sort_by_key(|(bound, credential)| (credential.retired, std::cmp::Reverse(bound.order)));
        all.into_iter().map(|(_, credential)| credential.clone()).collect()
    }

    pub(super) fn reseal(&mut self, credential: &Credential, sealed: &str) -> bool {
        let stored = self.credentials.get_mut(&credential.workspace_uid).and_then(|b| b.credential.as_mut());
        match stored.filter(|stored| stored.sealed == credential.sealed) {
            Some(stored) => {
                stored.sealed = sealed.to_owned();
                true
            }
            None => false,
        }
    }

    pub(super) fn workspaces(&self, binding: Option<Binding>) -> Vec<WorkspaceBinding> {
        let mut all: Vec<WorkspaceBinding> = Vec::new();
        for row in self.keys.values().filter_map(|uid| self.resource(*uid)) {
            if row.key.kind != Kind::Workspace || row.is_deleting() {
                continue;
            }
            let found = match self.credentials.get(&row.uid) {
                None => Binding::None,
                Some(Bound { credential: None, .. }) => Binding::Unbound,
                Some(_) => Binding::Bound,
            };
            if binding.is_none_or(|wanted| wanted == found) {
                all.push(WorkspaceBinding { workspace: row.clone(), binding: found });
            }
        }
        all
    }
}

/// What a PUT compares to know that nobody else wrote.
fn version(row: &Resource) -> (Uid, i64, i64) {
    (row.uid, row.resource_version, row.revision)
}

/// The parents of a key, the workspace before the network.
fn outer_first(key: &ResourceKey) -> Vec<ResourceKey> {
    let network = key.parent();
    let workspace = network.as_ref().and_then(ResourceKey::parent);
    workspace.into_iter().chain(network).collect()
}
