//! Tests of the service over the in-memory store: what clients may send, and what they get.

mod access;
mod administrators;
mod attach;
mod attachments;
mod bindings;
mod delete;
mod put;
mod read;
mod violations;
mod zones;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use seca_api::{Kind, ResourceKey, ResourceState, Scope};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::*;
use crate::{
    catalog::{Catalog, CatalogEntry},
    ports::{Commit, Portion, Put, PutOutcome, Tie, Verdict},
    resource::{ActionKind, Resource},
    testing::{
        LimitsOnly, MemoryStore,
        environment::{SeededRng, TokioClock},
    },
    watch::{Held, Patience},
};

/// A control plane with a workspace `w`, a network `net` (10.0.0.0/16) and a block storage `disk`.
struct World {
    plane: ControlPlane,
    store: Arc<dyn Store>,
    /// The same, to be asked what was read.
    memory: Arc<MemoryStore>,
    caller: Caller,
    ids: Ids,
    clock: Arc<dyn Clock>,
}

const BASE: &str = "https://api.example.com";

fn entry(kind: Kind, region: &str, name: &str, labels: Value, spec: Value, facts: Value) -> CatalogEntry {
    let map = |value: Value| value.as_object().cloned().unwrap_or_default();
    let labels = map(labels).into_iter().map(|(k, v)| (k, v.as_str().unwrap().to_owned())).collect::<BTreeMap<_, _>>();
    CatalogEntry {
        kind,
        region: region.into(),
        name: name.into(),
        labels,
        spec: map(spec),
        facts: map(facts),
        listed: true,
    }
}

fn catalog() -> Catalog {
    let mut entries = Vec::new();
    for region in ["fsn1", "nbg1", "hel1"] {
        entries.push(entry(Kind::Region, region, region, json!({}), json!({"availableZones": [region]}), json!({})));
        let tiers = [("cx23", "D2XS", 40), ("cx33", "DS", 80), ("seca.d2xs", "D2XS", 40)];
        for (name, tier, disk) in tiers {
            let labels = json!({"tier": tier, "Tier": tier, "provider": "seca"});
            let spec = json!({"vCPU": 2, "ram": 4});
            let facts = json!({"disk": disk, "architecture": "amd64"});
            entries.push(entry(Kind::InstanceSku, region, name, labels, spec, facts));
        }
        let spec = json!({"iops": 5000, "type": "remote-durable", "minVolumeSize": 10});
        entries.push(entry(Kind::StorageSku, region, "hcloud-volume", json!({}), spec, json!({})));
        let spec = json!({"bandwidth": 1000, "packets": 1000});
        entries.push(entry(Kind::NetworkSku, region, "hcloud-network", json!({}), spec, json!({})));
        let image = |processors: &str| json!({"blockStorageRef": {"resource": "block-storages/ubuntu"}, "cpuArchitecture": processors});
        entries.push(entry(Kind::Image, region, "ubuntu-24.04", json!({"os": "ubuntu"}), image("amd64"), json!({})));
        // Offered once, so that they can be named and no list shows them.
        let facts = json!({"disk": 40, "architecture": "arm64"});
        let sku = entry(Kind::InstanceSku, region, "cax11", json!({}), json!({"vCPU": 2, "ram": 4}), facts);
        let image = entry(Kind::Image, region, "ubuntu-24.04-arm64", json!({}), image("arm64"), json!({}));
        entries.extend([sku, image].map(|entry| CatalogEntry { listed: false, ..entry }));
    }
    Catalog::new(3, entries, "nbg1")
}

/// A key in workspace `w` (and network `net`) of tenant `t`, region `fsn1`.
fn key(kind: Kind, name: &str) -> ResourceKey {
    let part = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
    ResourceKey {
        tenant: part(kind.scope() != Scope::Global, "t"),
        region: part(!kind.provider().is_global(), "fsn1"),
        kind,
        workspace: part(matches!(kind.scope(), Scope::Workspace | Scope::Network), "w"),
        network: part(kind.scope() == Scope::Network, "net"),
        name: name.into(),
    }
}

fn empty_world() -> World {
    world_over(catalog())
}

fn world_over(catalog: Catalog) -> World {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
    let ids = Ids::new(clock.clone(), Arc::new(SeededRng::new(1)));
    let memory = Arc::new(MemoryStore::new("test").with_tenants(&["t", "other"]));
    let store: Arc<dyn Store> = memory.clone();
    let plane = ControlPlane::new(Parts {
        store: store.clone(),
        catalog: CatalogCache::new(catalog),
        rules: Arc::new(LimitsOnly),
        enforcement: Enforcement::Off,
        clock: clock.clone(),
        ids: ids.clone(),
        wake: Arc::new(Notify::new()),
    });
    World { plane, store, memory, caller: Caller::new("ann"), ids, clock }
}

async fn world() -> World {
    let world = empty_world();
    world.create(Kind::Workspace, "w", json!({"spec": null})).await;
    world.create(Kind::Network, "net", network("10.0.0.0/16")).await;
    world.create(Kind::BlockStorage, "disk", volume(20)).await;
    world
}

fn network(block: &str) -> Value {
    json!({"spec": {"cidr": {"ipv4": block}, "skuRef": {"resource": "skus/hcloud-network"}}})
}

fn volume(size: i64) -> Value {
    json!({"spec": {"sizeGB": size, "skuRef": {"resource": "skus/hcloud-volume"}}})
}

fn subnet(block: &str) -> Value {
    json!({"spec": {"cidr": {"ipv4": block}, "zone": "fsn1", "routeTableRef": {"resource": ""}}})
}

fn instance() -> Value {
    json!({"spec": {
        "skuRef": {"resource": "skus/cx23"}, "zone": "fsn1",
        "bootVolume": {"deviceRef": {"resource": "block-storages/disk"}},
    }})
}

fn table(routes: &[(&str, &str)]) -> Value {
    let routes: Vec<_> = routes
        .iter()
        .map(|(destination, target)| json!({"destinationCidrBlock": destination, "targetRef": {"resource": target}}))
        .collect();
    json!({"spec": {"routes": routes}})
}

/// A document with one member set or, with null, removed.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    if value.is_null() {
        parent.shift_remove(member);
    } else {
        parent.insert(member.to_owned(), value);
    }
    document
}

fn role(name: &str) -> ResourceKey {
    ResourceKey::tenant(Kind::Role, "", "t", name)
}

fn assignment(name: &str) -> ResourceKey {
    ResourceKey::tenant(Kind::RoleAssignment, "", "t", name)
}

impl World {
    /// From now on roles decide.
    fn enforce(&mut self) {
        self.plane.access = Arc::new(Authorization::new(Arc::clone(&self.store), Enforcement::Roles));
    }

    /// The same control plane for somebody else.
    fn as_seen_by(&self, subject: &str) -> Self {
        Self {
            plane: self.plane.clone(),
            store: Arc::clone(&self.store),
            memory: Arc::clone(&self.memory),
            caller: Caller::new(subject),
            ids: self.ids.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    async fn assign(&self, name: &str, subject: &str, scopes: Value, roles: &[&str]) -> Result<PutView, Refusal> {
        let spec = json!({"subs": [subject], "scopes": scopes, "roles": roles});
        self.put(&assignment(name), json!({"spec": spec})).await
    }

    fn context(&self) -> Context<'_> {
        Context { caller: &self.caller, base_url: BASE }
    }

    async fn put(&self, key: &ResourceKey, body: Value) -> Result<PutView, Refusal> {
        self.plane.put(self.context(), PutRequest { key: key.clone(), body, if_version: None }).await
    }

    async fn create(&self, kind: Kind, name: &str, body: Value) -> Value {
        let answer =
            self.put(&key(kind, name), body).await.unwrap_or_else(|refusal| panic!("{kind} {name}: {refusal:?}"));
        assert!(answer.created, "{kind} {name} existed");
        serde_json::from_str(&answer.view.body).unwrap()
    }

    async fn violations(&self, kind: Kind, name: &str, body: Value) -> Vec<Violation> {
        match self.put(&key(kind, name), body).await {
            Err(Refusal::Violations { violations, .. }) => violations,
            other => panic!("{kind} {name}: no violations but {other:?}"),
        }
    }

    async fn get(&self, key: &ResourceKey) -> Value {
        serde_json::from_str(&self.plane.get(self.context(), key).await.unwrap().body).unwrap()
    }

    async fn row(&self, key: &ResourceKey) -> Resource {
        self.store.get(key).await.unwrap().unwrap()
    }

    async fn delete(&self, key: &ResourceKey) -> Result<(), Refusal> {
        self.plane.delete(self.context(), key, None).await
    }

    /// What the engine would write down.
    async fn commit(&self, key: &ResourceKey, verdict: Verdict, facts: Value) {
        let row = self.row(key).await;
        let wake = self.store.bundle(row.uid).await.unwrap().unwrap().wake;
        let lease = self.store.lease("test", Duration::from_secs(60), 1, 1, Portion::All).await.unwrap().remove(0);
        let commit = Commit {
            uid: row.uid,
            generation: row.generation,
            action_seq: row.action.seq,
            wake,
            verdict,
            note: None,
            status: None,
            facts: facts.as_object().cloned().unwrap_or_default(),
            action_done: Some(row.action.seq),
            next: None,
            attempts: 0,
            now: self.clock.now(),
        };
        self.store.commit(&lease, commit).await.unwrap();
        self.store.release(&lease).await.unwrap();
    }

    async fn claim(&self, held: &ResourceKey, holder: &ResourceKey) {
        let (held, holder) = (self.row(held).await.uid, self.row(holder).await.uid);
        let lease = self.store.lease("test", Duration::from_secs(60), 1, 1, Portion::All).await.unwrap().remove(0);
        assert!(self.store.tie(&lease, holder, &[Tie::Claim(held)]).await.unwrap());
        self.store.release(&lease).await.unwrap();
    }
}

fn states(document: &Value) -> Vec<&str> {
    let conditions = document["status"]["conditions"].as_array().unwrap();
    conditions.iter().map(|condition| condition["state"].as_str().unwrap()).collect()
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}
