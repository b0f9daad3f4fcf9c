//! Many PUTs of the same moment, through the service of two replicas.

use std::{collections::BTreeMap, sync::Arc};

use control_plane::{
    Catalog, CatalogCache, CatalogEntry,
    ports::{AdmissionQuery, Ids, PutOutcome, Store},
    service::{Caller, Context, ControlPlane, Enforcement, Parts, PutRequest, PutView, Refusal, Tenant},
    testing::environment::{SeededRng, TokioClock},
};
use persistence::{Options, connect};
use seca_api::{Kind, ResourceKey};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet};

use super::{World, before, created, key, updated, workspace};

fn entry(kind: Kind, name: &str, spec: Value, facts: Value) -> CatalogEntry {
    let members = |value: Value| value.as_object().cloned().unwrap();
    let (labels, name) = (BTreeMap::from([("tier".to_owned(), "DS".to_owned())]), name.to_owned());
    CatalogEntry {
        kind,
        region: "fsn1".to_owned(),
        name,
        labels,
        spec: members(spec),
        facts: members(facts),
        listed: true,
    }
}

fn plane(store: Arc<dyn Store>, seed: u64) -> Arc<ControlPlane> {
    let clock: Arc<dyn control_plane::ports::Clock> = Arc::new(TokioClock::default());
    let entries = vec![
        entry(Kind::Region, "fsn1", json!({"availableZones": ["fsn1"]}), json!({})),
        entry(Kind::InstanceSku, "cx23", json!({"vCPU": 2, "ram": 4}), json!({"disk": 40})),
        entry(Kind::StorageSku, "hcloud-volume", json!({"iops": 5000, "minVolumeSize": 10}), json!({})),
    ];
    Arc::new(ControlPlane::new(Parts {
        store,
        catalog: CatalogCache::new(Catalog::new(3, entries, "fsn1")),
        rules: Arc::new(control_plane::testing::LimitsOnly),
        enforcement: Enforcement::Off,
        ids: Ids::new(clock.clone(), Arc::new(SeededRng::new(seed))),
        clock,
        wake: Arc::new(Notify::new()),
    }))
}

/// Two replicas on one database; memory has one.
async fn replicas(world: &World) -> Vec<Arc<ControlPlane>> {
    world.store.access().create_tenant("t", &Tenant::default()).await.unwrap();
    let second: Arc<dyn Store> = match &world.sql {
        Some(_) => Arc::new(connect(&world.url, &Options::default()).await.unwrap()),
        None => world.store.clone(),
    };
    vec![plane(world.store.clone(), 1), plane(second, 2)]
}

async fn put(plane: &ControlPlane, key: &ResourceKey, body: Value) -> Result<PutView, Refusal> {
    let caller = Caller::new("ann");
    let context = Context { caller: &caller, base_url: "https://api.example.com" };
    plane.put(context, PutRequest { key: key.clone(), body, if_version: None }).await
}

/// Sends all of them at once, by turns to each replica.
async fn at_once(planes: &[Arc<ControlPlane>], puts: Vec<(ResourceKey, Value)>) -> Vec<Result<PutView, Refusal>> {
    let mut all = JoinSet::new();
    for (number, (key, body)) in puts.into_iter().enumerate() {
        let plane = planes[number % planes.len()].clone();
        all.spawn(async move { put(&plane, &key, body).await });
    }
    all.join_all().await
}

pub async fn no_put_without_a_precondition_is_refused_for_the_others(world: &World) {
    const WRITERS: usize = 200;
    let planes = replicas(world).await;
    for name in ["new", "changes its row", "changes its labels"] {
        let key = workspace(&name.replace(' ', "-"));
        let mut writes = WRITERS;
        if name != "new" {
            world.create(&key).await;
            writes += 1;
        }
        let body = |n: usize| match name {
            "changes its labels" => json!({"labels": {"n": n.to_string()}, "spec": {}}),
            _ => json!({"spec": {}, "annotations": {"n": n.to_string()}}),
        };
        let puts = (0..WRITERS).map(|n| (key.clone(), body(n))).collect();
        let answers = at_once(&planes, puts).await;
        for answer in &answers {
            assert!(answer.is_ok(), "{name}: {answer:?}");
        }
        let made = answers.iter().flatten().filter(|answer| answer.created).count();
        assert_eq!(made, usize::from(name == "new"));
        assert_eq!(world.read(&key).await.resource_version, i64::try_from(writes).unwrap(), "{name}: each counts");
    }
}

pub async fn a_group_keeps_its_limit_though_many_join_at_once(world: &World) {
    let planes = replicas(world).await;
    world.create(&workspace("w")).await;
    let mut puts = Vec::new();
    for n in 0..24 {
        let disk = key(Kind::BlockStorage, &format!("disk-{n}"));
        let body = json!({"spec": {"sizeGB": 20, "skuRef": "skus/hcloud-volume"}});
        put(&planes[0], &disk, body).await.unwrap();
        let instance = json!({"spec": {
            "skuRef": "skus/cx23", "zone": "fsn1", "antiAffinityGroup": "apart",
            "bootVolume": {"deviceRef": format!("block-storages/disk-{n}")},
        }});
        puts.push((key(Kind::Instance, &format!("i-{n}")), instance));
    }
    let answers = at_once(&planes, puts).await;
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(format!("{refused:?}").contains("has 10 instances already"), "{refused:?}");
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
}

pub async fn who_has_a_turn_is_not_overtaken(world: &World) {
    let row = world.create(&workspace("w")).await;
    let query = AdmissionQuery { key: row.key.clone(), named: Vec::new(), relatives: Vec::new() };
    let keys = [row.key.clone(), workspace("none")];
    let rival = world.update_of(&row).await;
    let mut turn = world.store.turn(&keys).await.unwrap();
    let judged = turn.admission(&query).await.unwrap().before;
    assert_eq!(judged, Some(before(world.store.as_ref(), &row).await));
    let own = world.update_of(&row).await;
    let (own, rival) = tokio::join!(turn.put(own), world.store.put(rival));
    assert_eq!(updated(own.unwrap()).resource_version, 2);
    assert_eq!(rival.unwrap(), PutOutcome::Stale);

    // A turn that is given up leaves everything as it was, and in nobody's way.
    let mut turn = world.store.turn(&keys).await.unwrap();
    turn.admission(&query).await.unwrap();
    drop(turn);
    let row = world.read(&row.key).await;
    assert_eq!(row.resource_version, 2);
    assert_eq!(updated(world.put(world.update_of(&row).await).await).resource_version, 3);
    // One that comes to nothing says so.
    let turn = world.store.turn(&keys).await.unwrap();
    assert_eq!(turn.put(world.new_put(&row.key)).await.unwrap(), PutOutcome::Stale, "it is there");
    let turn = world.store.turn(&keys).await.unwrap();
    let lost = world.update_of(&row).await;
    assert_eq!(turn.put(lost).await.unwrap(), PutOutcome::Stale, "it judged another version");
    let turn = world.store.turn(&[workspace("made")]).await.unwrap();
    created(turn.put(world.new_put(&workspace("made"))).await.unwrap());
    assert!(world.get(&workspace("made")).await.is_some());
}
