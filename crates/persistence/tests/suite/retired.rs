//! Credentials that outlive their workspace, for what of the tenant lives in the project and in no workspace.

use std::time::Duration;

use control_plane::{
    ProjectId, Resource,
    ports::{
        BindOutcome, Binding, CommitOutcome, Credential, Lease, Put, StepState,
        UnbindOutcome::{self, Retired},
    },
};
use seca_api::{Kind, ResourceKey};

use super::{World, bindings::bind, created, edge, engine::step, within, workspace};

fn project(name: &str) -> ProjectId {
    ProjectId(name.to_owned())
}

/// A workspace bound to a project, and an image of the tenant whose block storage was there, with a snapshot.
async fn with_image(world: &World, name: &str, at: &str, image: &str) -> (Resource, Resource) {
    let ws = world.create(&workspace(name)).await;
    assert_eq!(bind(world, &ws.key, at).await, BindOutcome::Done);
    let volume = world.create(&within(Kind::BlockStorage, name, "boot")).await;
    let image = image_of(world, image, &volume.key).await;
    assert_eq!(image.project, project(at));
    let lease = world.lease(at).await;
    let id = world.record_step(&lease, image.uid, 1, &step("create_image", &[])).await.unwrap().unwrap();
    assert!(world.store.finish_step(&lease, id, StepState::Done, None, None).await.unwrap());
    world.mark_deleted(&volume.key).await;
    remove(world, &lease, &volume).await;
    world.store.release(&lease).await.unwrap();
    (world.read(&ws.key).await, image)
}

pub async fn image_of(world: &World, name: &str, volume: &ResourceKey) -> Resource {
    let image = ResourceKey { tenant: volume.tenant.clone(), ..ResourceKey::tenant(Kind::Image, "fsn1", "t", name) };
    let edges = vec![edge("/spec/blockStorageRef", volume, false)];
    created(world.put(Put { edges, home: Some(volume.clone()), ..world.new_put(&image) }).await)
}

async fn remove(world: &World, lease: &Lease, row: &Resource) {
    assert!(matches!(world.store.remove(lease, row.uid).await.unwrap(), CommitOutcome::Done(_)));
    assert_eq!(world.get(&row.key).await, None);
}

/// Deletes a resource, and lets its row leave.
async fn leave(world: &World, row: &Resource) {
    world.mark_deleted(&row.key).await;
    let lease = world.lease(&row.project.0).await;
    remove(world, &lease, row).await;
    world.store.release(&lease).await.unwrap();
}

/// The credentials of a project: of which workspaces, and whether they are retired.
async fn kept(world: &World, at: &str) -> Vec<(String, bool)> {
    let found = world.store.project_credentials(&project(at)).await.unwrap();
    let all = world.store.credentials().await.unwrap();
    assert!(found.iter().all(|credential| all.contains(credential)), "rotation knows them");
    found.into_iter().map(|credential| (credential.workspace.name, credential.retired)).collect()
}

fn names(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(name, retired)| ((*name).to_owned(), *retired)).collect()
}

pub async fn a_credential_outlives_its_workspace_while_an_image_needs_it(world: &World) {
    let (ws, image) = with_image(world, "w", "p", "golden").await;
    let bound = world.store.credential(&ws.key).await.unwrap().unwrap();
    leave(world, &ws).await;
    let expected = Credential { retired: true, ..bound };
    assert_eq!(world.store.project_credentials(&project("p")).await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(world.store.credential(&ws.key).await.unwrap(), None);
    assert_eq!(world.store.workspaces(None).await.unwrap(), []);
    // It is rotated like any other.
    assert!(world.store.reseal(&expected, "enc:rotated").await.unwrap());
    assert_eq!(world.store.project_credentials(&project("p")).await.unwrap()[0].sealed, "enc:rotated");
    world.store.prune(Duration::ZERO).await.unwrap();
    assert_eq!(kept(world, "p").await, names(&[("w", true)]), "it is needed");

    world.mark_deleted(&image.key).await;
    assert_eq!(kept(world, "p").await, names(&[("w", true)]), "until the row has left");
    let lease = world.lease("p").await;
    remove(world, &lease, &image).await;
    assert_eq!(kept(world, "p").await, []);
    assert_eq!(world.store.credentials().await.unwrap(), []);
}

pub async fn a_credential_that_nothing_needs_leaves_with_its_workspace(world: &World) {
    // The image went before.
    let (ws, image) = with_image(world, "w", "p", "golden").await;
    leave(world, &image).await;
    leave(world, &ws).await;
    assert_eq!(kept(world, "p").await, []);

    // The images live elsewhere, or are another tenant's.
    let (_, elsewhere) = with_image(world, "other", "q", "elsewhere").await;
    let foreign = ResourceKey { tenant: "u".to_owned(), ..workspace("foreign") };
    let foreign = world.create(&foreign).await;
    world.store.bind(world.credential(&foreign, "p")).await.unwrap();
    let volume = ResourceKey { tenant: "u".to_owned(), ..within(Kind::BlockStorage, "foreign", "b") };
    let volume = world.create(&volume).await;
    assert_eq!(image_of(world, "foreign", &volume.key).await.project, project("p"));
    let ws = world.create(&ws.key).await;
    assert_eq!(bind(world, &ws.key, "p").await, BindOutcome::Done);
    let ws = world.read(&ws.key).await;
    leave(world, &ws).await;
    assert_eq!(kept(world, "p").await, names(&[("foreign", false)]));
    assert_eq!(elsewhere.project, project("q"));

    // A token that was removed on purpose does not come back.
    let (ws, _) = with_image(world, "unbound", "r", "mine").await;
    assert_eq!(world.store.unbind(&ws.key, true).await.unwrap(), UnbindOutcome::Done);
    leave(world, &ws).await;
    assert_eq!(kept(world, "r").await, []);
    assert_eq!(world.store.unbind(&ws.key, true).await.unwrap(), UnbindOutcome::NotFound);
}

pub async fn several_retired_credentials_go_with_the_last_image(world: &World) {
    let (first, image) = with_image(world, "a", "p", "one").await;
    let (second, other) = with_image(world, "b", "p", "two").await;
    let third = world.create(&workspace("c")).await;
    assert_eq!(bind(world, &third.key, "p").await, BindOutcome::Done);
    leave(world, &first).await;
    leave(world, &second).await;
    let all = names(&[("c", false), ("b", true), ("a", true)]);
    assert_eq!(kept(world, "p").await, all, "the living first");
    leave(world, &image).await;
    assert_eq!(kept(world, "p").await, all, "there is another image");
    leave(world, &other).await;
    assert_eq!(kept(world, "p").await, names(&[("c", false)]));
}

pub async fn a_workspace_made_again_has_nothing_of_the_former_token(world: &World) {
    let (former, image) = with_image(world, "w", "p", "golden").await;
    leave(world, &former).await;
    let again = world.create(&former.key).await;
    assert!(again.project.is_local());
    assert_eq!(world.store.credential(&again.key).await.unwrap(), None);
    let listed = world.store.workspaces(Some(Binding::None)).await.unwrap();
    assert_eq!(listed.len(), 1, "it was never bound");
    assert_eq!(world.store.unbind(&again.key, true).await.unwrap(), UnbindOutcome::NotFound);
    assert_eq!(kept(world, "p").await, names(&[("w", true)]));

    // Bound to another project it leaves the image where it is, and its own token leaves with it.
    assert_eq!(bind(world, &again.key, "q").await, BindOutcome::Done);
    assert_eq!(world.read(&image.key).await.project, project("p"));
    let moved = world.read(&again.key).await;
    leave(world, &moved).await;
    assert_eq!(kept(world, "q").await, []);
    // Bound to the same project it has a token of its own.
    world.create(&former.key).await;
    assert_eq!(bind(world, &former.key, "p").await, BindOutcome::Done);
    assert_eq!(kept(world, "p").await, names(&[("w", false), ("w", true)]));
    let third = world.read(&former.key).await;
    leave(world, &third).await;
    assert_eq!(kept(world, "p").await, names(&[("w", true), ("w", true)]));
    let Retired { project: at, count, first } = world.store.unbind(&former.key, false).await.unwrap() else {
        panic!("it is needed")
    };
    assert_eq!((at, count, first), (project("p"), 1, vec![image.key.clone()]));
    leave(world, &image).await;
    assert_eq!(world.store.credentials().await.unwrap(), []);
}

pub async fn removing_a_retired_credential_is_refused_while_something_needs_it(world: &World) {
    let (ws, image) = with_image(world, "w", "p", "i0").await;
    let other = world.create(&workspace("other")).await;
    assert_eq!(bind(world, &other.key, "p").await, BindOutcome::Done);
    let volume = world.create(&within(Kind::BlockStorage, "other", "b")).await;
    for n in 1..7 {
        image_of(world, &format!("i{n}"), &volume.key).await;
    }
    leave(world, &ws).await;
    let Retired { project: at, count, first } = world.store.unbind(&ws.key, false).await.unwrap() else {
        panic!("it is needed")
    };
    let first: Vec<_> = first.iter().map(|key| key.name.as_str()).collect();
    assert_eq!((at, count, first), (project("p"), 7, vec!["i0", "i1", "i2", "i3", "i4"]));
    assert_eq!(kept(world, "p").await.len(), 2);

    let lease = world.lease("p").await;
    world.settle(&lease).await;
    assert_eq!(world.store.unbind(&ws.key, true).await.unwrap(), UnbindOutcome::Done);
    assert_eq!(world.due(&lease).await.len(), 7, "all of them have to say so");
    assert_eq!(kept(world, "p").await, names(&[("other", false)]));
    assert_eq!(world.store.unbind(&ws.key, true).await.unwrap(), UnbindOutcome::NotFound);

    // The last token of the tenant in the project is not removed either: the image would be out of reach.
    assert_eq!(world.store.unbind(&other.key, false).await.unwrap(), UnbindOutcome::InUse(1));
    let helper = world.create(&workspace("helper")).await;
    assert_eq!(bind(world, &helper.key, "p").await, BindOutcome::Done);
    assert_eq!(world.store.unbind(&other.key, false).await.unwrap(), UnbindOutcome::Done, "there is another");
    assert_eq!(world.store.unbind(&helper.key, false).await.unwrap(), UnbindOutcome::InUse(1));
    world.settle(&lease).await;
    assert_eq!(world.store.unbind(&helper.key, true).await.unwrap(), UnbindOutcome::Done);
    assert!(world.due(&lease).await.contains(&image.uid), "it says so");
    // Binding any workspace of the tenant to the project lets it go on.
    world.settle(&lease).await;
    world.create(&workspace("again")).await;
    assert_eq!(bind(world, &workspace("again"), "p").await, BindOutcome::Done);
    assert!(world.due(&lease).await.contains(&image.uid));
}

/// The release before removes rows without a look at what is retired, and sees nothing of it.
pub async fn what_the_release_before_leaves_behind_is_removed(world: &World) {
    const AS_BEFORE: [&str; 2] =
        ["DELETE FROM resources WHERE kind = 'image'", "DELETE FROM work WHERE uid NOT IN (SELECT uid FROM resources)"];
    for name in ["first", "second"] {
        let (ws, _) = with_image(world, name, name, name).await;
        leave(world, &ws).await;
        for statement in AS_BEFORE {
            if !world.execute(statement).await {
                return;
            }
        }
        assert_eq!(kept(world, name).await, names(&[(name, true)]));
    }
    assert_eq!(world.store.unbind(&workspace("first"), false).await.unwrap(), UnbindOutcome::Done, "nothing needs it");
    assert_eq!(kept(world, "first").await, []);
    world.store.prune(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(kept(world, "second").await, []);
}
