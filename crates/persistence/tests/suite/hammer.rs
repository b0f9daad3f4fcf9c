//! Races: what must never come of two writes at once, tried some hundred times.

use std::{sync::Arc, time::Duration};

use control_plane::{
    Resource, Uid, kinds,
    ports::{BindOutcome, Commit, CommitOutcome, Delete, DeleteOutcome, DeleteRules, Put, PutOutcome, Store, Verdict},
};
use seca_api::{Kind, ResourceKey, ResourceState, Scope};
use tokio::task::{JoinHandle, JoinSet};

use super::{World, before, edge, in_network, key, rules, within, workspace};

const ROUNDS: usize = 300;

fn put(world: &World, put: Put) -> JoinHandle<PutOutcome> {
    let store = world.store.clone();
    tokio::spawn(async move { store.put(put).await.unwrap() })
}

/// A deletion by the rules of the kind.
fn delete(world: &World, key: &ResourceKey) -> JoinHandle<DeleteOutcome> {
    let (store, rules) = (world.store.clone(), rules(key.kind));
    let delete = Delete { key: key.clone(), expected_version: None, rules, now: world.now() };
    tokio::spawn(async move { store.delete(delete).await.unwrap() })
}

fn accepted(outcome: &DeleteOutcome) -> bool {
    matches!(outcome, DeleteOutcome::Accepted(_))
}

fn is_created(outcome: &PutOutcome) -> bool {
    matches!(outcome, PutOutcome::Created(_))
}

/// Both ways it can go must have been seen, or the race was none.
fn assert_both(what: &str, deleted: usize, rounds: usize) {
    assert!(deleted > 0 && deleted < rounds, "{what}: the deletion won {deleted} of {rounds} times");
}

/// Every pair of kinds by which the rules refuse a deletion: what is deleted, and what keeps it.
fn refusals(by: fn(&DeleteRules) -> &'static [Kind]) -> Vec<(Kind, Kind)> {
    kinds::ALL.iter().flat_map(|rules| by(&rules.delete).iter().map(|other| (rules.kind, *other))).collect()
}

/// A key of a kind in workspace `w`, and in its network `n` if it lives in one.
fn place(kind: Kind, name: &str) -> ResourceKey {
    match kind.scope() {
        Scope::Network => in_network(kind, "n", name),
        Scope::Workspace => key(kind, name),
        Scope::GlobalTenant => ResourceKey::tenant(kind, "", "t", name),
        _ => ResourceKey::tenant(kind, "fsn1", "t", name),
    }
}

async fn make_places(world: &World) {
    world.create(&workspace("w")).await;
    world.create(&key(Kind::Network, "n")).await;
}

pub async fn no_child_is_born_under_a_parent_that_goes(world: &World) {
    let pairs = refusals(|rules| rules.refused_by_children);
    assert_eq!(pairs.len(), 9, "eight kinds in a workspace, and route tables in a network: {pairs:?}");
    world.create(&workspace("w")).await;
    let (mut won, rounds) = (0, ROUNDS / pairs.len());
    for (parent, child) in &pairs {
        for round in 0..rounds {
            let name = format!("{}-{round}", child.as_str());
            let parent = place(*parent, &name);
            world.create(&parent).await;
            let born = |name: &str| match parent.kind {
                Kind::Workspace => within(*child, &parent.name, name),
                _ => in_network(*child, &parent.name, name),
            };
            let (first, second) = (world.new_put(&born("a")), world.new_put(&born("b")));
            let (one, gone, two) = if round % 2 == 0 {
                let gone = delete(world, &parent);
                (put(world, first), gone, put(world, second))
            } else {
                (put(world, first), delete(world, &parent), put(world, second))
            };
            let (one, gone, two) = (one.await.unwrap(), gone.await.unwrap(), two.await.unwrap());
            let live = world.count_children(&parent).await;
            let kept = world.store.look(&parent, None).await.unwrap().shown().unwrap().children;
            assert!(kept.is_none_or(|kept| kept == live), "{parent}: {kept:?} are kept, and {live} live");
            if accepted(&gone) {
                won += 1;
                assert_eq!(live, 0, "{parent}: an orphan ({one:?}, {two:?})");
                assert_eq!((one, two), (PutOutcome::Missing(parent.clone()), PutOutcome::Missing(parent)));
            } else {
                assert!(is_created(&one) || is_created(&two));
                assert!(live > 0 && !world.read(&parent).await.is_deleting(), "{parent}");
            }
        }
    }
    assert_both("parents", won, rounds * pairs.len());
}

/// By a new resource, and by an old one that names the target from now on.
pub async fn no_reference_is_made_to_a_target_that_goes(world: &World) {
    let pairs = refusals(|rules| rules.refused_by_referrers);
    let expected = [
        (Kind::BlockStorage, Kind::Instance),
        (Kind::Subnet, Kind::Nic),
        (Kind::Nic, Kind::Instance),
        (Kind::PublicIp, Kind::Nic),
        (Kind::SecurityGroup, Kind::Instance),
    ];
    assert_eq!(pairs, expected);
    make_places(world).await;
    let (mut won, rounds) = (0, ROUNDS / pairs.len());
    for (target, referrer) in &pairs {
        for round in 0..rounds {
            let name = format!("{}-{round}", target.as_str());
            let target = place(*target, &name);
            world.create(&target).await;
            let old = world.create(&place(*referrer, &format!("old-{name}"))).await;
            let edges = vec![edge("/spec/field", &target, true)];
            let new = Put { edges: edges.clone(), ..world.new_put(&place(*referrer, &format!("new-{name}"))) };
            let changed = Put { edges, ..world.update_of(&old).await };
            let (new, gone, changed) = match round % 3 {
                0 => {
                    let gone = delete(world, &target);
                    (put(world, new), gone, put(world, changed))
                }
                1 => (put(world, new), delete(world, &target), put(world, changed)),
                _ => {
                    let changed = put(world, changed);
                    let gone = delete(world, &target);
                    (put(world, new), gone, changed)
                }
            };
            let (new, gone, changed) = (new.await.unwrap(), gone.await.unwrap(), changed.await.unwrap());
            let now = before(world.store.as_ref(), &world.read(&old.key).await).await;
            let is_changed = matches!(changed, PutOutcome::Updated { .. });
            assert_eq!(is_changed, !now.edges.is_empty(), "{target}: {changed:?}");
            if accepted(&gone) {
                won += 1;
                assert_eq!(new, PutOutcome::Missing(target.clone()), "{target} goes");
                assert_eq!(changed, PutOutcome::Missing(target.clone()), "{target} goes");
            } else {
                assert!(is_created(&new) || is_changed, "{target}: refused by whom? {gone:?}");
                assert!(!world.read(&target).await.is_deleting());
            }
        }
    }
    assert_both("targets", won, rounds * pairs.len());
}

/// What no rule holds goes while it is used; who comes later finds it missing.
pub async fn what_no_rule_holds_goes_while_it_is_used(world: &World) {
    let pairs = [
        (Kind::SecurityGroupRule, Kind::SecurityGroup),
        (Kind::InternetGateway, Kind::RouteTable),
        (Kind::RouteTable, Kind::Subnet),
        (Kind::BlockStorage, Kind::Image),
        (Kind::Role, Kind::RoleAssignment),
    ];
    make_places(world).await;
    for (target, referrer) in pairs {
        for round in 0..ROUNDS / 20 {
            let name = format!("{}-{round}", target.as_str());
            let target = place(target, &name);
            world.create(&target).await;
            let refers = |who: &str| Put {
                edges: vec![edge("/spec/field", &target, true)],
                ..world.new_put(&place(referrer, &format!("{who}-{name}")))
            };
            assert!(is_created(&world.put(refers("early")).await), "{target}");
            let (gone, beside) = (delete(world, &target), put(world, refers("beside")));
            let (gone, beside) = (gone.await.unwrap(), beside.await.unwrap());
            assert!(accepted(&gone), "{target}: {gone:?}");
            let missing = PutOutcome::Missing(target.clone());
            assert!(is_created(&beside) || beside == missing, "{target}: {beside:?}");
            assert_eq!(world.put(refers("late")).await, missing);
            assert!(!world.read(&place(referrer, &format!("early-{name}"))).await.is_deleting());
        }
    }
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
                let gone = delete(world, &network);
                (put(world, nic), gone, put(world, late))
            }
            1 => (put(world, nic), delete(world, &network), put(world, late)),
            _ => {
                let late = put(world, late);
                (put(world, nic), delete(world, &network), late)
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
    assert_both("cascades", won, ROUNDS);
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
            let projects = store.oversight().projects().await.unwrap();
            if due.is_empty() && projects.iter().all(|one| one.project != held.project || one.queued == 0) {
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
