//! Lookups that come together.

use std::sync::Arc;

use control_plane::ports::{Put, PutOutcome};
use seca_api::{Kind, ResourceKey};
use tokio::task::JoinSet;

use super::{World, before, key, within, workspace};

/// Each finds what it asks for, however many come at once, and whoever is gone before its answer.
pub async fn each_of_many_lookups_finds_what_it_asks_for(world: &World) {
    world.create(&workspace("w")).await;
    let mut keys = vec![workspace("w"), workspace("none")];
    for number in 0..40 {
        let volume = key(Kind::BlockStorage, &format!("b{number}"));
        world.create(&volume).await;
        // What is there, what is there by this name alone, and what is not.
        keys.push(volume.clone());
        keys.push(within(Kind::BlockStorage, "v", &volume.name));
        keys.push(ResourceKey { kind: Kind::Instance, ..volume });
    }
    world.mark_deleted(&key(Kind::BlockStorage, "b7")).await;
    let mut expected = Vec::new();
    for key in &keys {
        expected.push(world.store.look(key).await.unwrap());
    }
    let (keys, expected) = (Arc::new(keys), Arc::new(expected));
    let before = world.sql.as_ref().map_or(0, persistence::SqlStore::statements);
    let (mut asked, mut gone) = (JoinSet::new(), JoinSet::new());
    for number in 0..600 {
        let (store, keys, expected) = (world.store.clone(), keys.clone(), expected.clone());
        // Some ask for the same at once.
        let at = number / 2 % keys.len();
        let asks = async move { assert_eq!(store.look(&keys[at]).await.unwrap(), expected[at], "{}", keys[at]) };
        if number % 5 == 0 {
            gone.spawn(asks);
        } else {
            asked.spawn(asks);
        }
    }
    gone.abort_all();
    asked.join_all().await;
    if let Some(store) = &world.sql {
        let statements = store.statements() - before;
        assert!(statements < 480, "480 lookups need fewer statements than {statements}");
    }
}

/// A client reads what it has written, though others look at the same and elsewhere all the time.
pub async fn a_lookup_sees_what_was_written_before_it(world: &World) {
    world.create(&workspace("w")).await;
    let mut clients = JoinSet::new();
    for number in 0..24 {
        let volume = key(Kind::BlockStorage, &format!("b{}", number % 8));
        if number < 8 {
            world.create(&volume).await;
        }
        let (store, template) = (world.store.clone(), world.new_put(&volume));
        clients.spawn(async move {
            let version = || async { store.look(&volume).await.unwrap().found.unwrap().resource.resource_version };
            for _ in 0..20 {
                let seen = version().await;
                let mut written = seen;
                if number < 8 {
                    let row = store.get(&volume).await.unwrap().unwrap();
                    let before = Some(before(store.as_ref(), &row).await);
                    match store.put(Put { before, ..template.clone() }).await.unwrap() {
                        PutOutcome::Updated { after, .. } => written = after.resource_version,
                        other => panic!("{other:?}"),
                    }
                }
                assert!(version().await >= written, "{volume}");
            }
        });
    }
    clients.join_all().await;
}
