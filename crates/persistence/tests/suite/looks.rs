//! Looks at single resources: what was known already, and what is counted.

use control_plane::ports::{CommitOutcome, Edition, Looked, Shown};
use seca_api::{Kind, ResourceKey};
use tokio::task::JoinSet;

use super::{World, key, within, workspace};

async fn shown(world: &World, key: &ResourceKey) -> Shown {
    world.store.look(key, None).await.unwrap().shown().unwrap()
}

async fn edition(world: &World, key: &ResourceKey) -> Edition {
    shown(world, key).await.edition().unwrap()
}

/// Whether a look by who knows an edition is told that it still is that one.
async fn is_same(world: &World, key: &ResourceKey, known: Edition) -> bool {
    match world.store.look(key, Some(known)).await.unwrap().found.unwrap() {
        Looked::Same { .. } => true,
        Looked::Shown(found) => {
            assert_eq!(found.resource, shown(world, key).await.resource);
            false
        }
    }
}

pub async fn a_text_that_is_known_is_not_read_again_while_it_is_the_same(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let gateway = key(Kind::InternetGateway, "g");
    let made = world.create(&gateway).await;
    let first = edition(world, &gateway).await;
    assert!(is_same(world, &gateway, first).await);
    assert!(!is_same(world, &ws.key, first).await, "another's");
    let row = world.read(&gateway).await;
    world.put(world.update_of(&row).await).await;
    assert!(!is_same(world, &gateway, first).await, "a PUT");
    let second = edition(world, &gateway).await;
    world.converge(&lease, made.uid).await;
    assert!(!is_same(world, &gateway, second).await, "what became of it");
    let third = edition(world, &gateway).await;
    world.mark_deleted(&gateway).await;
    assert!(!is_same(world, &gateway, third).await, "its deletion");
    world.settle(&lease).await;
    assert!(matches!(world.store.remove(&lease, made.uid).await.unwrap(), CommitOutcome::Done(_)));
    let known = Some(third);
    assert_eq!(world.store.look(&gateway, known).await.unwrap().found, None);
    world.create(&gateway).await;
    for old in [first, second, third] {
        assert!(!is_same(world, &gateway, old).await, "a former life");
    }
}

/// Several of one tenant and another are asked for at once, each by who knows something else.
pub async fn each_look_is_told_by_what_it_knows(world: &World) {
    world.create(&workspace("w")).await;
    let mut looks = JoinSet::new();
    for number in 0..64 {
        let volume = key(Kind::BlockStorage, &format!("b{}", number / 2));
        if number % 2 == 0 {
            world.create(&volume).await;
        }
        let (store, known) = (world.store.clone(), edition(world, &volume).await);
        let known = (number % 2 == 0).then_some(known);
        looks.spawn(async move {
            let found = store.look(&volume, known).await.unwrap().found.unwrap();
            match found {
                Looked::Same { .. } => assert!(known.is_some(), "{volume}"),
                Looked::Shown(found) => assert!(known.is_none() && found.resource.key == volume, "{volume}"),
            }
        });
    }
    looks.join_all().await;
}

async fn children(world: &World, name: &str) -> Option<i64> {
    let counted = shown(world, &workspace(name)).await.children;
    assert_eq!(counted, Some(world.count_children(&workspace(name)).await), "kept, and counted");
    counted
}

/// By many at once, in two workspaces, and in the next life of one.
pub async fn live_children_are_counted_whatever_becomes_of_them(world: &World) {
    let (ws, lease) = world.bound("p").await;
    world.create(&workspace("v")).await;
    assert_eq!((children(world, "w").await, children(world, "v").await), (Some(0), Some(0)));
    let mut writers = JoinSet::new();
    for number in 0..24 {
        let place = if number % 3 == 0 { "v" } else { "w" };
        let keys: Vec<ResourceKey> =
            (0..4).map(|n| within(Kind::InternetGateway, place, &format!("g{number}-{n}"))).collect();
        let puts: Vec<_> = keys.iter().map(|key| world.new_put(key)).collect();
        let (store, now) = (world.store.clone(), world.now());
        writers.spawn(async move {
            for put in puts {
                store.put(put).await.unwrap();
            }
            let rules = super::rules(Kind::InternetGateway);
            let delete = |key: &ResourceKey| control_plane::ports::Delete {
                key: key.clone(),
                expected_version: None,
                rules,
                now,
            };
            store.delete(delete(&keys[1])).await.unwrap();
            store.delete(delete(&keys[3])).await.unwrap();
        });
    }
    writers.join_all().await;
    assert_eq!((children(world, "w").await, children(world, "v").await), (Some(32), Some(16)));
    // Those that are gone had been counted out when they were deleted.
    world.settle(&lease).await;
    let gone = world.read(&within(Kind::InternetGateway, "w", "g1-1")).await;
    assert!(matches!(world.store.remove(&lease, gone.uid).await.unwrap(), CommitOutcome::Done(_)));
    assert_eq!(children(world, "w").await, Some(32));

    for number in (0..24).filter(|number| number % 3 != 0) {
        for n in [0, 2] {
            world.mark_deleted(&within(Kind::InternetGateway, "w", &format!("g{number}-{n}"))).await;
        }
    }
    assert_eq!(children(world, "w").await, Some(0));
    world.settle(&lease).await;
    for uid in world.store.project_uids(&lease.project).await.unwrap() {
        if uid != ws.uid {
            world.store.remove(&lease, uid).await.unwrap();
        }
    }
    world.mark_deleted(&ws.key).await;
    world.settle(&lease).await;
    assert!(matches!(world.store.remove(&lease, ws.uid).await.unwrap(), CommitOutcome::Done(_)));
    world.create(&ws.key).await;
    assert_eq!(children(world, "w").await, Some(0));
    world.create(&key(Kind::InternetGateway, "g")).await;
    assert_eq!((children(world, "w").await, children(world, "v").await), (Some(1), Some(16)));
}
