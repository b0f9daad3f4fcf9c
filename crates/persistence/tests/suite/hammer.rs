//! Races: what must never come of two writes at once, tried some hundred times.

use std::{sync::Arc, time::Duration};

use control_plane::{
    Resource, Uid,
    ports::{BindOutcome, Commit, CommitOutcome, Delete, DeleteOutcome, DeleteRules, Put, PutOutcome, Store, Verdict},
};
use seca_api::{Kind, ResourceKey, ResourceState};
use tokio::task::{JoinHandle, JoinSet};

use super::{
    World, before,
    deletes::{NETWORK_RULES, VOLUME_RULES, WORKSPACE_RULES},
    edge, in_network, key, within, workspace,
};

const ROUNDS: usize = 300;

fn put(world: &World, put: Put) -> JoinHandle<PutOutcome> {
    let store = world.store.clone();
    tokio::spawn(async move { store.put(put).await.unwrap() })
}

fn delete(world: &World, key: &ResourceKey, rules: DeleteRules) -> JoinHandle<DeleteOutcome> {
    let (store, delete) =
        (world.store.clone(), Delete { key: key.clone(), expected_version: None, rules, now: world.now() });
    tokio::spawn(async move { store.delete(delete).await.unwrap() })
}

fn accepted(outcome: &DeleteOutcome) -> bool {
    matches!(outcome, DeleteOutcome::Accepted(_))
}

fn is_created(outcome: &PutOutcome) -> bool {
    matches!(outcome, PutOutcome::Created(_))
}

/// Both ways it can go must have been seen, or the race was none.
fn assert_both(what: &str, deleted: usize) {
    assert!(deleted > 0 && deleted < ROUNDS, "{what}: the deletion won {deleted} of {ROUNDS} times");
}

pub async fn no_child_is_born_under_a_parent_that_goes(world: &World) {
    let mut won = 0;
    for round in 0..ROUNDS {
        let parent = workspace(&format!("w{round}"));
        world.create(&parent).await;
        let child = |name: &str| within(Kind::Network, &parent.name, name);
        let (first, second) = (world.new_put(&child("a")), world.new_put(&child("b")));
        let (one, gone, two) = if round % 2 == 0 {
            let gone = delete(world, &parent, WORKSPACE_RULES);
            (put(world, first), gone, put(world, second))
        } else {
            (put(world, first), delete(world, &parent, WORKSPACE_RULES), put(world, second))
        };
        let (one, gone, two) = (one.await.unwrap(), gone.await.unwrap(), two.await.unwrap());
        let live = world.store.count_children(&parent).await.unwrap();
        if accepted(&gone) {
            won += 1;
            assert_eq!(live, 0, "round {round}: an orphan ({one:?}, {two:?})");
            assert_eq!((one, two), (PutOutcome::Missing(parent.clone()), PutOutcome::Missing(parent)));
        } else {
            assert!(is_created(&one) || is_created(&two));
            assert!(live > 0 && !world.read(&parent).await.is_deleting(), "round {round}");
        }
    }
    assert_both("parents", won);
}

pub async fn no_reference_is_made_to_a_target_that_goes(world: &World) {
    world.create(&workspace("w")).await;
    let mut won = 0;
    for round in 0..ROUNDS {
        let volume = key(Kind::BlockStorage, &format!("b{round}"));
        world.create(&volume).await;
        let edges = vec![edge("/spec/bootVolume", &volume, true)];
        let instance = Put { edges, ..world.new_put(&key(Kind::Instance, &format!("i{round}"))) };
        let (refers, gone) = if round % 2 == 0 {
            let gone = delete(world, &volume, VOLUME_RULES);
            (put(world, instance), gone)
        } else {
            (put(world, instance), delete(world, &volume, VOLUME_RULES))
        };
        let (refers, gone) = (refers.await.unwrap(), gone.await.unwrap());
        assert_ne!(is_created(&refers), accepted(&gone), "round {round}: {refers:?} and {gone:?}");
        won += usize::from(accepted(&gone));
    }
    assert_both("targets", won);
}

pub async fn no_cascade_overlooks_what_came_meanwhile(world: &World) {
    world.create(&workspace("w")).await;
    let mut won = 0;
    for round in 0..ROUNDS {
        let name = format!("n{round}");
        let network = key(Kind::Network, &name);
        let subnet = |subnet: &str| in_network(Kind::Subnet, &name, subnet);
        world.create(&network).await;
        world.create(&subnet("old")).await;
        let nic = Put {
            edges: vec![edge("/spec/subnetRef", &subnet("old"), true)],
            ..world.new_put(&key(Kind::Nic, &format!("nic{round}")))
        };
        let (late, nic_key) = (world.new_put(&subnet("new")), nic.key.clone());
        let (nic, gone, late) = match round % 3 {
            0 => {
                let gone = delete(world, &network, NETWORK_RULES);
                (put(world, nic), gone, put(world, late))
            }
            1 => (put(world, nic), delete(world, &network, NETWORK_RULES), put(world, late)),
            _ => {
                let late = put(world, late);
                (put(world, nic), delete(world, &network, NETWORK_RULES), late)
            }
        };
        let (nic, gone, late) = (nic.await.unwrap(), gone.await.unwrap(), late.await.unwrap());
        let mut subnets = vec![world.read(&subnet("old")).await];
        subnets.extend(world.get(&subnet("new")).await);
        if accepted(&gone) {
            won += 1;
            assert!(subnets.iter().all(Resource::is_deleting), "round {round}: a live subnet ({late:?})");
            assert_eq!(world.get(&nic_key).await, None, "round {round}: a NIC without a subnet ({nic:?})");
        } else {
            assert!(is_created(&nic), "round {round}: refused by whom? {gone:?}");
            assert!(!subnets.iter().any(Resource::is_deleting), "round {round}");
        }
    }
    assert_both("cascades", won);
}

pub async fn no_child_misses_the_move_of_its_workspace(world: &World) {
    for round in 0..ROUNDS / 3 {
        let ws = world.create(&workspace(&format!("w{round}"))).await;
        let network = ResourceKey { workspace: ws.key.name.clone(), ..key(Kind::Network, "n") };
        world.create(&network).await;
        let subnet = ResourceKey { network: "n".to_owned(), ..within(Kind::Subnet, &ws.key.name, "s") };
        let (store, credential) = (world.store.clone(), world.credential(&ws, "p"));
        let (one, two) = (world.new_put(&within(Kind::Instance, &ws.key.name, "i")), world.new_put(&subnet));
        let one = put(world, one);
        let bound = tokio::spawn(async move { store.bind(credential).await.unwrap() });
        let two = put(world, two);
        assert!(is_created(&one.await.unwrap()) && is_created(&two.await.unwrap()));
        assert_eq!(bound.await.unwrap(), BindOutcome::Done);
    }
    assert_eq!(world.store.project_uids(&control_plane::ProjectId::local()).await.unwrap(), []);
    let lease = world.lease("p").await;
    assert_eq!(world.due(&lease).await.len(), ROUNDS / 3 * 4, "the queue moved as well");
}

/// Whoever holds the lease reads what is, and nothing that the former holder began changes it any more.
pub async fn no_write_of_a_former_holder_lands_behind_the_new_one(world: &World) {
    let (ws, mut lease) = world.bound("p").await;
    let mut landed = 0;
    for round in 0..ROUNDS / 3 {
        let mut former = JoinSet::new();
        for writer in 0..4 {
            let base = world.commit_of(ws.uid, Verdict::Working).await;
            let fact = serde_json::json!({ "writer": format!("{round}-{writer}") });
            let commit = Commit { facts: fact.as_object().unwrap().clone(), ..base };
            let (store, held) = (world.store.clone(), lease.clone());
            former.spawn(async move { store.commit(&held, commit).await.unwrap() });
        }
        world.store.release(&lease).await.unwrap();
        lease = world.lease("p").await;
        let taken_over = world.read(&ws.key).await;
        for outcome in former.join_all().await {
            landed += usize::from(outcome != CommitOutcome::Fenced);
        }
        assert_eq!(world.read(&ws.key).await, taken_over, "round {round}");
    }
    assert!(landed < ROUNDS / 3 * 4, "some must have come too late");
}

/// An engine and clients at once: nothing fails, nothing is lost, and all comes to rest.
pub async fn commits_and_writes_go_side_by_side(world: &World) {
    let (_, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let names: Vec<ResourceKey> = (0..4).map(|n| key(Kind::Instance, &format!("i{n}"))).collect();
    for name in &names {
        world.create_with(name, &[("/spec/bootVolume", &volume.key)]).await;
    }
    let mut clients = JoinSet::new();
    for name in names.clone() {
        let store = world.store.clone();
        let (template, volume) = (world.new_put(&name), volume.key.clone());
        clients.spawn(async move { write_twenty_times(store, template, volume).await });
    }
    let store = world.store.clone();
    let held = lease.clone();
    let engine = tokio::spawn(async move {
        loop {
            let due = store.due(&held, 10).await.unwrap();
            if due.is_empty() && store.next_due(&held).await.unwrap().is_none() {
                return;
            }
            for uid in due {
                converge(store.as_ref(), &held, uid).await;
            }
        }
    });
    let written: usize = clients.join_all().await.into_iter().sum();
    assert_eq!(written, 80);
    tokio::time::timeout(Duration::from_secs(60), engine).await.expect("it comes to rest").unwrap();
    world.settle(&lease).await;
    for name in &names {
        let row = world.read(name).await;
        assert_eq!((row.state, row.resource_version, row.generation), (ResourceState::Active, 21, 21));
        assert_eq!(row.observed_generation, row.generation);
    }
}

async fn write_twenty_times(store: Arc<dyn Store>, template: Put, volume: ResourceKey) -> usize {
    let mut written = 0;
    while written < 20 {
        let row = store.get(&template.key).await.unwrap().unwrap();
        let before = Some(before(store.as_ref(), &row).await);
        // Every other write drops or restores the reference, so that edges and wake-ups race too.
        let edges = if written % 2 == 0 { vec![] } else { vec![edge("/spec/bootVolume", &volume, true)] };
        match store.put(Put { before, edges, ..template.clone() }).await.unwrap() {
            PutOutcome::Updated { .. } => written += 1,
            PutOutcome::Stale => {}
            other => panic!("{other:?}"),
        }
    }
    written
}

async fn converge(store: &dyn Store, lease: &control_plane::ports::Lease, uid: Uid) {
    let bundle = store.bundle(uid).await.unwrap().unwrap();
    let commit = Commit {
        uid,
        generation: bundle.resource.generation,
        action_seq: bundle.resource.action.seq,
        wake: bundle.wake,
        verdict: Verdict::Converged,
        note: None,
        status: None,
        facts: serde_json::Map::new(),
        action_done: None,
        next: None,
        attempts: 0,
        now: bundle.resource.last_modified_at,
    };
    store.commit(lease, commit).await.unwrap();
}
