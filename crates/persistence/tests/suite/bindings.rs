//! Which project stands behind a workspace.

use control_plane::{
    ProjectId,
    ports::{BindOutcome, Binding, Credential, UnbindOutcome},
};
use seca_api::{Kind, ResourceKey};

use super::{World, engine::step, in_network, key, sorted, within, workspace};

fn project(name: &str) -> ProjectId {
    ProjectId(name.to_owned())
}

pub async fn bind(world: &World, key: &ResourceKey, project: &str) -> BindOutcome {
    let row = world.read(key).await;
    world.store.bind(world.credential(&row, project)).await.unwrap()
}

pub async fn a_binding_moves_the_workspace_and_all_that_is_in_it(world: &World) {
    let local = world.lease("local").await;
    let ws = world.create(&workspace("w")).await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let subnet = world.create(&in_network(Kind::Subnet, "n", "s")).await;
    let other = world.create(&workspace("v")).await;
    let elsewhere = world.create(&within(Kind::Network, "v", "n")).await;
    world.settle(&local).await;

    assert_eq!(bind(world, &ws.key, "p").await, BindOutcome::Done);
    let lease = world.lease("p").await;
    assert_eq!(sorted(world.due(&lease).await), [ws.uid, network.uid, subnet.uid]);
    assert_eq!(world.due(&local).await, []);
    for row in [&ws, &network, &subnet] {
        let moved = world.read(&row.key).await;
        assert_eq!((moved.project, moved.revision), (project("p"), world.read(&row.key).await.revision));
    }
    assert_eq!(world.store.project_uids(&ProjectId::local()).await.unwrap(), [other.uid, elsewhere.uid]);
    assert_eq!(world.create(&key(Kind::Instance, "later")).await.project, project("p"));

    // What the former holder still writes does not count, and does not take the row out of the queue.
    let stale = world.commit_of(network.uid, control_plane::ports::Verdict::Failed).await;
    let kept = world.commit(&local, stale).await;
    assert_eq!(kept, world.read(&network.key).await);
    assert!(world.due(&lease).await.contains(&network.uid));
    assert_eq!(world.record_step(&local, network.uid, 1, &step("x", &[])).await.unwrap(), None);
}

pub async fn a_workspace_with_provider_objects_stays_in_its_project(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    assert_eq!(bind(world, &ws.key, "q").await, BindOutcome::Done, "nothing would be lost");
    assert_eq!(bind(world, &ws.key, "p").await, BindOutcome::Done);
    world.record_step(&lease, volume.uid, 1, &step("create_volume", &[])).await.unwrap().unwrap();
    assert_eq!(bind(world, &ws.key, "q").await, BindOutcome::OtherProject(project("p")));
    assert_eq!(world.read(&volume.key).await.project, project("p"));
    assert_eq!(bind(world, &ws.key, "p").await, BindOutcome::Done, "a new token of the same project");
}

pub async fn unbinding_is_refused_while_provider_objects_may_exist(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    world.create(&key(Kind::Network, "n")).await;
    world.record_step(&lease, volume.uid, 1, &step("create_volume", &[])).await.unwrap().unwrap();
    let unbind = async |force| world.store.unbind(&ws.key, force).await.unwrap();
    assert_eq!(unbind(false).await, UnbindOutcome::InUse(1));
    assert!(world.store.credential(&ws.key).await.unwrap().is_some());
    world.settle(&lease).await;
    assert_eq!(unbind(true).await, UnbindOutcome::Done);
    assert_eq!(world.due(&lease).await.len(), 3, "all of them have to say so");
    assert_eq!(world.store.credential(&ws.key).await.unwrap(), None);
    assert_eq!(world.read(&volume.key).await.project, project("p"));
    assert_eq!(unbind(true).await, UnbindOutcome::NotFound);
    assert_eq!(world.store.unbind(&workspace("none"), true).await.unwrap(), UnbindOutcome::NotFound);
    assert_eq!(bind(world, &ws.key, "p").await, BindOutcome::Done);
    assert!(world.store.credential(&ws.key).await.unwrap().is_some());
}

pub async fn never_bound_and_unbound_are_different(world: &World) {
    for name in ["bound", "going", "never", "unbound"] {
        world.create(&workspace(name)).await;
        if name != "never" {
            assert_eq!(bind(world, &workspace(name), "p").await, BindOutcome::Done);
        }
    }
    world.store.unbind(&workspace("unbound"), false).await.unwrap();
    world.mark_deleted(&workspace("going")).await;
    let cases = [
        (None, &["bound", "never", "unbound"][..]),
        (Some(Binding::Bound), &["bound"]),
        (Some(Binding::None), &["never"]),
        (Some(Binding::Unbound), &["unbound"]),
    ];
    for (binding, expected) in cases {
        let found = world.store.workspaces(binding).await.unwrap();
        let names: Vec<_> = found.iter().map(|w| w.workspace.key.name.as_str()).collect();
        assert_eq!(names, expected, "{binding:?}");
    }
    let going = world.store.credential(&workspace("going")).await.unwrap();
    assert!(going.is_some(), "what is being deleted still needs its token");
}

pub async fn credentials_are_found_newest_first_and_resealed(world: &World) {
    for name in ["a", "b", "c"] {
        world.create(&workspace(name)).await;
        assert_eq!(bind(world, &workspace(name), if name == "b" { "q" } else { "p" }).await, BindOutcome::Done);
    }
    let names = |found: &[Credential]| found.iter().map(|c| c.workspace.name.clone()).collect::<Vec<_>>();
    let of_project = world.store.project_credentials(&project("p")).await.unwrap();
    assert_eq!(names(&of_project), ["c", "a"]);
    assert_eq!(names(&world.store.credentials().await.unwrap()), ["c", "b", "a"]);
    let row = world.read(&workspace("c")).await;
    assert_eq!(of_project[0], world.credential(&row, "p"));

    let credential = &of_project[0];
    assert!(world.store.reseal(credential, "enc:new").await.unwrap());
    assert!(!world.store.reseal(credential, "enc:newer").await.unwrap(), "it is no longer the former one");
    let stored = world.store.credential(&credential.workspace).await.unwrap().unwrap();
    assert_eq!(stored.sealed, "enc:new");
    bind(world, &workspace("a"), "p").await;
    assert_eq!(names(&world.store.project_credentials(&project("p")).await.unwrap()), ["a", "c"]);
}

pub async fn a_token_of_a_former_life_cannot_be_bound(world: &World) {
    let ws = world.create(&workspace("w")).await;
    let former = Credential { workspace_uid: world.uid(), ..world.credential(&ws, "p") };
    assert_eq!(world.store.bind(former).await.unwrap(), BindOutcome::NotFound);
    let nowhere = Credential { workspace: workspace("none"), ..world.credential(&ws, "p") };
    assert_eq!(world.store.bind(nowhere).await.unwrap(), BindOutcome::NotFound);
    world.mark_deleted(&ws.key).await;
    assert_eq!(bind(world, &ws.key, "p").await, BindOutcome::NotFound);
    assert_eq!(world.store.credentials().await.unwrap(), []);
}

pub async fn what_is_being_deleted_takes_a_new_token_of_its_project_alone(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    world.mark_deleted(&volume.key).await;
    world.mark_deleted(&ws.key).await;
    world.settle(&lease).await;
    let renewed = Credential { sealed: "enc:renewed".to_owned(), ..world.credential(&ws, "p") };
    assert_eq!(world.store.bind(renewed.clone()).await.unwrap(), BindOutcome::Done);
    assert_eq!(world.store.credential(&ws.key).await.unwrap(), Some(renewed.clone()));
    assert_eq!(sorted(world.due(&lease).await), [ws.uid, volume.uid], "they go on");
    assert_eq!(bind(world, &ws.key, "q").await, BindOutcome::NotFound);
    assert_eq!(world.read(&volume.key).await.project, project("p"));
    // Also when the former token was removed on purpose.
    assert_eq!(world.store.unbind(&ws.key, true).await.unwrap(), UnbindOutcome::Done);
    assert_eq!(world.store.bind(renewed).await.unwrap(), BindOutcome::Done);
}
