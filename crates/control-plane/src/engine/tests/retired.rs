//! Tokens that outlive their workspace, and what they serve.

use super::*;
use crate::ports::{Edge, UnbindOutcome};

/// An image of the tenant, made from a volume of the workspace, which is gone with the workspace by now.
async fn left_behind(world: &World) -> ResourceKey {
    let volume = ResourceKey { kind: Kind::BlockStorage, ..world.instance("boot") };
    world.put(&volume, 1).await;
    let image = ResourceKey::tenant(Kind::Image, "fsn1", "t", "golden");
    let edges = vec![Edge { field: "/spec/blockStorageRef".to_owned(), target: volume.clone(), strict: false }];
    let put = Put::create(image.clone(), world.ids.uid(), r#"{"sizeGB":1}"#, world.clock.now());
    world.store.put(Put { edges, home: Some(volume.clone()), ..put }).await.unwrap();
    world.is(&image, ResourceState::Active).await;
    for key in [&volume, &world.workspace()] {
        world.delete(key).await;
        world.gone(key).await;
    }
    image
}

#[tokio::test(start_paused = true)]
async fn an_image_outlives_its_workspace_and_says_what_it_waits_for_without_a_token() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    let image = left_behind(&world).await;
    world.put(&image, 2).await;
    world.is(&image, ResourceState::Active).await;
    assert_eq!(world.cloud.things().values().map(|thing| thing.size).collect::<Vec<_>>(), [2]);

    assert_eq!(world.store.unbind(&world.workspace(), true).await.unwrap(), UnbindOutcome::Done);
    world.delete(&image).await;
    eventually("a reason", MINUTE, async || world.reason(&image).await.as_deref() == Some("CredentialMissing")).await;
    let message = world.get(&image).await.unwrap().conditions[0].message.clone().unwrap();
    assert!(message.contains("project project-1") && message.contains("any workspace of the tenant"), "{message}");
    assert_eq!(world.cloud.things().len(), 1);
    // As told: any workspace of the tenant will do.
    let other = ResourceKey { name: "other".to_owned(), ..world.workspace() };
    world.put(&other, 0).await;
    world.bind_as(&other).await;
    let begun = tokio::time::Instant::now();
    world.gone(&image).await;
    assert!(begun.elapsed() < MINUTE, "not only at the next resync");
    assert!(world.cloud.things().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_lives_in_a_workspace_is_not_served_by_a_token_that_outlived_another() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    let other = ResourceKey { name: "other".to_owned(), ..world.workspace() };
    world.put(&other, 0).await;
    world.bind_as(&other).await;
    world.is(&other, ResourceState::Active).await;
    let image = left_behind(&world).await;
    assert_eq!(world.store.unbind(&other, true).await.unwrap(), UnbindOutcome::Done);
    let instance = ResourceKey { workspace: "other".to_owned(), ..world.instance("i") };
    let calls = world.cloud.calls().len();
    world.put(&instance, 1).await;
    eventually("a reason", MINUTE, async || world.reason(&instance).await.as_deref() == Some("CredentialMissing"))
        .await;
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(world.cloud.calls().len(), calls);
    world.delete(&image).await;
    world.gone(&image).await;
    assert_eq!(world.store.credentials().await.unwrap(), [], "it served nothing else");
}
