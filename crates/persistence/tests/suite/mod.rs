//! What all rules share: a world with a store, a clock that moves with every look, and short ways to write.

pub mod abandoned;
pub mod access;
pub mod bindings;
pub mod bound;
pub mod crowds;
pub mod databases;
pub mod deletes;
pub mod engine;
pub mod epochs;
pub mod hammer;
pub mod hangups;
pub mod lists;
pub mod looks;
pub mod orphans;
pub mod oversight;
pub mod queue;
pub mod races;
pub mod retired;
pub mod roles;
pub mod scale;
pub mod statements;
pub mod together;
pub mod trouble;
pub mod waits;
pub mod writes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use control_plane::{
    ActionKind, ProjectId, Resource, Uid,
    engine::ENGINE_VERSION,
    ports::{
        Act, ActOutcome, AdmissionQuery, Before, BindOutcome, Commit, CommitOutcome, Credential, Delete, DeleteOutcome,
        DeleteRules, Edge, Lease, Portion, Put, PutOutcome, Step, Store, StoreResult, Verdict,
    },
    testing::MemoryStore,
};
use persistence::SqlStore;
use seca_api::{Kind, ResourceKey, Timestamp};
use serde_json::Map;

pub const TTL: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub enum Backend {
    Memory,
    Sqlite,
    Postgres,
}

pub struct World {
    pub store: Arc<dyn Store>,
    /// The same as a database, where it is one.
    pub sql: Option<SqlStore>,
    memory: Arc<MemoryStore>,
    /// Where that is.
    pub url: String,
    clock: AtomicI64,
    uids: AtomicU64,
    _directory: Option<tempfile::TempDir>,
}

impl World {
    pub async fn open(backend: Backend) -> Self {
        let options = persistence::Options { read_connections: 4, write_connections: 6, ..Default::default() };
        let mut directory = None;
        let url = match backend {
            Backend::Memory => String::new(),
            Backend::Sqlite => {
                let made = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", made.path().join("proxy.db").display());
                directory = Some(made);
                url
            }
            Backend::Postgres => persistence::testing::postgres_url().await.unwrap_or_else(|error| panic!("{error}")),
        };
        let sql = match backend {
            Backend::Memory => None,
            _ => Some(persistence::connect(&url, &options).await.unwrap()),
        };
        let memory = Arc::new(MemoryStore::default());
        let store: Arc<dyn Store> = match &sql {
            Some(store) => Arc::new(store.clone()),
            None => memory.clone(),
        };
        store.ping().await.unwrap();
        Self { store, sql, memory, url, clock: AtomicI64::new(1_000), uids: AtomicU64::new(1), _directory: directory }
    }

    /// Runs a statement behind the store's back; false when it is no database.
    pub async fn execute(&self, statement: &'static str) -> bool {
        if self.sql.is_some() {
            databases::execute(&self.url, statement).await;
        }
        self.sql.is_some()
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.fetch_add(1, Ordering::Relaxed))
    }

    pub fn uid(&self) -> Uid {
        let number = u128::from(self.uids.fetch_add(1, Ordering::Relaxed));
        Uid(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number))
    }

    /// A creation of a key; change its fields for anything else.
    pub fn new_put(&self, key: &ResourceKey) -> Put {
        Put::create(key.clone(), self.uid(), "{}", self.now())
    }

    /// An update of a row as it is.
    pub async fn update_of(&self, row: &Resource) -> Put {
        let before = Some(before(self.store.as_ref(), row).await);
        Put { before, spec: row.spec.clone(), labels: row.labels.clone(), ..self.new_put(&row.key) }
    }

    pub async fn put(&self, put: Put) -> PutOutcome {
        self.store.put(put).await.unwrap()
    }

    pub async fn create(&self, key: &ResourceKey) -> Resource {
        created(self.put(self.new_put(key)).await)
    }

    /// Creates a resource with strict references.
    pub async fn create_with(&self, key: &ResourceKey, targets: &[(&str, &ResourceKey)]) -> Resource {
        let edges = targets.iter().map(|(field, target)| edge(field, target, true)).collect();
        created(self.put(Put { edges, ..self.new_put(key) }).await)
    }

    pub async fn get(&self, key: &ResourceKey) -> Option<Resource> {
        self.store.get(key).await.unwrap()
    }

    pub async fn read(&self, key: &ResourceKey) -> Resource {
        self.get(key).await.unwrap_or_else(|| panic!("{key} is there"))
    }

    pub async fn delete(&self, key: &ResourceKey, rules: DeleteRules) -> DeleteOutcome {
        let delete = Delete { key: key.clone(), expected_version: None, rules, now: self.now() };
        self.store.delete(delete).await.unwrap()
    }

    /// Deletes by no rules.
    pub async fn mark_deleted(&self, key: &ResourceKey) -> Resource {
        match self.delete(key, DeleteRules::default()).await {
            DeleteOutcome::Accepted(row) => row,
            other => panic!("{other:?}"),
        }
    }

    pub async fn act(&self, key: &ResourceKey, action: ActionKind, expected_version: Option<i64>) -> ActOutcome {
        let act = Act { key: key.clone(), action, expected_version, now: self.now() };
        self.store.act(act).await.unwrap()
    }

    /// Takes a lease that is free. A project whose row somebody still holds, a former holder's last write say, is
    /// passed over by a scan and taken by a later one.
    pub async fn lease(&self, project: &str) -> Lease {
        let begun = tokio::time::Instant::now();
        loop {
            let mut found = None;
            for lease in self.store.lease("me", TTL, ENGINE_VERSION, 100, Portion::All).await.unwrap() {
                if lease.project.0 == project {
                    found = Some(lease);
                } else {
                    self.store.release(&lease).await.unwrap();
                }
            }
            if let Some(lease) = found {
                return lease;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{project} is free");
            tokio::task::yield_now().await;
        }
    }

    /// What the engine writes about a row as it is in the queue now.
    pub async fn commit_of(&self, uid: Uid, verdict: Verdict) -> Commit {
        let bundle = self.store.bundle(uid).await.unwrap().unwrap();
        Commit {
            uid,
            generation: bundle.resource.generation,
            action_seq: bundle.resource.action.seq,
            wake: bundle.wake,
            verdict,
            note: None,
            status: None,
            facts: Map::new(),
            action_done: None,
            next: None,
            attempts: 0,
            now: self.now(),
        }
    }

    /// Records the intent of a step of which nothing else was found; its number.
    pub async fn record_step(
        &self,
        lease: &Lease,
        resource: Uid,
        generation: i64,
        step: &Step,
    ) -> StoreResult<Option<i64>> {
        Ok(self.store.intend(lease, resource, generation, step, None).await?.map(|intent| intent.id))
    }

    pub async fn commit(&self, lease: &Lease, commit: Commit) -> Resource {
        match self.store.commit(lease, commit).await.unwrap() {
            CommitOutcome::Done(row) => *row,
            other => panic!("{other:?}"),
        }
    }

    pub async fn converge(&self, lease: &Lease, uid: Uid) -> Resource {
        let commit = self.commit_of(uid, Verdict::Converged).await;
        self.commit(lease, commit).await
    }

    /// Brings all rows of a lease's project to rest.
    pub async fn settle(&self, lease: &Lease) {
        for _ in 0..20 {
            let due = self.due(lease).await;
            if due.is_empty() {
                return;
            }
            for uid in due {
                self.converge(lease, uid).await;
            }
        }
        panic!("the queue does not come to rest");
    }

    pub async fn due(&self, lease: &Lease) -> Vec<Uid> {
        self.store.due(lease, 1_000).await.unwrap()
    }

    /// How long until the next resource of a lease's project is due; none when nothing is queued.
    pub async fn next_due(&self, lease: &Lease) -> Option<Duration> {
        match &self.sql {
            Some(sql) => sql.next_due(&lease.project).await.unwrap(),
            None => self.memory.next_due(&lease.project).unwrap(),
        }
    }

    /// How many live children a workspace or a network has, counted one by one.
    pub async fn count_children(&self, parent: &ResourceKey) -> i64 {
        let mut live = 0;
        for kind in Kind::ALL {
            for row in self.store.oversight().of_kind(kind).await.unwrap() {
                let mut above = std::iter::successors(row.key.parent(), ResourceKey::parent);
                live += i64::from(!row.is_deleting() && above.any(|key| key == *parent));
            }
        }
        live
    }

    pub fn credential(&self, workspace: &Resource, project: &str) -> Credential {
        Credential {
            workspace: workspace.key.clone(),
            workspace_uid: workspace.uid,
            project: ProjectId(project.to_owned()),
            sealed: format!("enc:{project}"),
            endpoint: None,
            project_ref: Some("mine".to_owned()),
            retired: false,
        }
    }

    /// A workspace `w`, bound to a project, and the lease on that.
    pub async fn bound(&self, project: &str) -> (Resource, Lease) {
        let workspace = self.create(&workspace("w")).await;
        let bound = self.store.bind(self.credential(&workspace, project)).await.unwrap();
        assert_eq!(bound, BindOutcome::Done);
        (self.read(&workspace.key).await, self.lease(project).await)
    }
}

/// What a PUT that judged this row says of it.
pub async fn before(store: &dyn Store, row: &Resource) -> Before {
    let query = AdmissionQuery { key: row.key.clone(), named: Vec::new(), relatives: Vec::new() };
    let stored = store.admission(&query).await.unwrap().before;
    Before { row: row.clone(), edges: stored.map(|before| before.edges).unwrap_or_default() }
}

pub fn created(outcome: PutOutcome) -> Resource {
    match outcome {
        PutOutcome::Created(row) => row,
        other => panic!("not created: {other:?}"),
    }
}

pub fn updated(outcome: PutOutcome) -> Resource {
    match outcome {
        PutOutcome::Updated { after, .. } => after,
        other => panic!("not updated: {other:?}"),
    }
}

pub fn workspace(name: &str) -> ResourceKey {
    ResourceKey::tenant(Kind::Workspace, "fsn1", "t", name)
}

/// A key in workspace `w`.
pub fn key(kind: Kind, name: &str) -> ResourceKey {
    within(kind, "w", name)
}

pub fn within(kind: Kind, workspace: &str, name: &str) -> ResourceKey {
    ResourceKey { workspace: workspace.to_owned(), ..ResourceKey::tenant(kind, "fsn1", "t", name) }
}

/// A key in a network of workspace `w`.
pub fn in_network(kind: Kind, network: &str, name: &str) -> ResourceKey {
    ResourceKey { network: network.to_owned(), ..key(kind, name) }
}

pub fn edge(field: &str, target: &ResourceKey, strict: bool) -> Edge {
    Edge { field: field.to_owned(), target: target.clone(), strict }
}

/// What stands in the way of a deletion, as the kind says it.
pub fn rules(kind: Kind) -> DeleteRules {
    control_plane::kinds::rules(kind).unwrap().delete
}

pub fn sorted(mut uids: Vec<Uid>) -> Vec<Uid> {
    uids.sort();
    uids
}
