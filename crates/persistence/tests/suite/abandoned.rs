//! Projects that are declared gone for good.

use control_plane::{
    ProjectId,
    ports::{Abandoned, BindOutcome, CommitOutcome, Epoch, Put, PutOutcome, StepState},
};
use seca_api::{Kind, ResourceState};

use super::{
    TTL, World, bindings::bind, edge, engine::step, in_network, key, retired::image_of, sorted, within, workspace,
};

pub async fn a_project_that_is_declared_gone_is_deleted_with_all_that_is_in_it(world: &World) {
    let p = ProjectId("p".to_owned());
    let abandon = async |project: &ProjectId| {
        let now = world.now();
        world.store.oversight().abandon(project, now).await.unwrap()
    };
    let (ws, lease) = world.bound("p").await;
    let volume = world.create(&key(Kind::BlockStorage, "b")).await;
    let network = world.create(&key(Kind::Network, "n")).await;
    let subnet = world.create(&in_network(Kind::Subnet, "n", "s")).await;
    let image = image_of(world, "golden", &volume.key).await;
    let second = world.create(&workspace("second")).await;
    assert_eq!(bind(world, &second.key, "p").await, BindOutcome::Done);
    let elsewhere = world.create(&workspace("elsewhere")).await;
    assert_eq!(bind(world, &elsewhere.key, "q").await, BindOutcome::Done);
    let named = [("/spec/sourceImageRef", &image.key)];
    let user = world.create_with(&within(Kind::BlockStorage, "elsewhere", "user"), &named).await;
    for state in [StepState::Intended, StepState::Running, StepState::Unknown, StepState::Done] {
        let id = world.record_step(&lease, volume.uid, 1, &step("create_volume", &[])).await.unwrap().unwrap();
        world.store.finish_step(&lease, id, state, None, None).await.unwrap();
    }
    world.store.want_epoch(&lease, &Epoch { number: 3, nonce: "a".to_owned() }).await.unwrap();
    world.store.pause_project(&lease, "another database").await.unwrap();
    world.settle(&lease).await;
    let other = world.lease("q").await;
    world.settle(&other).await;
    world.mark_deleted(&subnet.key).await;
    let subnet = world.read(&subnet.key).await;

    for none in ["local", "nobody"] {
        assert_eq!(abandon(&ProjectId(none.to_owned())).await, None, "{none}");
    }
    let expected = Abandoned { workspaces: vec![(second.key.clone(), 1), (ws.key.clone(), 4)], others: 1 };
    assert_eq!(abandon(&p).await, Some(expected.clone()));
    let all = [&ws, &volume, &network, &subnet, &image, &second];
    for row in all {
        let row = world.read(&row.key).await;
        assert_eq!((row.state, row.is_deleting()), (ResourceState::Deleting, true), "{}", row.key);
    }
    assert_eq!(world.read(&subnet.key).await, subnet, "it was being deleted before");
    let stays = world.read(&user.key).await;
    assert!(!stays.is_deleting() && world.due(&other).await == [user.uid], "it names what goes");
    assert_eq!(world.store.oversight().paused_projects().await.unwrap(), []);

    // Its lease has ended; the next holder is told.
    assert_eq!(world.store.may_send(&lease, None).await.unwrap(), None);
    assert!(!world.store.renew(&lease, TTL, None).await.unwrap());
    let lease = world.lease("p").await;
    let told = world.store.epoch(&lease).await.unwrap().unwrap();
    assert_eq!((told.abandoned, told.wanted, told.paused), (true, None, None));
    assert_eq!(sorted(world.due(&lease).await), sorted(all.iter().map(|row| row.uid).collect()));
    let bundle = world.store.bundle(volume.uid).await.unwrap().unwrap();
    assert!(bundle.open_steps.is_empty() && bundle.touched);
    assert_eq!(abandon(&p).await, Some(expected), "the second time changes nothing");

    // No token of it is bound until the rows have left, which they do without a tombstone.
    let late = world.create(&workspace("late")).await;
    assert_eq!(bind(world, &late.key, "p").await, BindOutcome::Abandoned(6));
    assert_eq!(bind(world, &ws.key, "p").await, BindOutcome::Abandoned(6));
    let lease = world.lease("p").await;
    for row in [&volume, &subnet, &network, &image, &ws, &second] {
        assert!(matches!(world.store.remove(&lease, row.uid).await.unwrap(), CommitOutcome::Done(_)));
        assert_eq!(world.get(&row.key).await, None, "{}", row.key);
    }
    let uids: Vec<_> = all.iter().map(|row| row.uid).collect();
    assert_eq!(world.store.removed(&uids).await.unwrap(), [], "what may exist nevertheless is not swept");
    assert_eq!(
        world.store.project_of(&uids).await.unwrap(),
        std::slice::from_ref(&p),
        "its steps are kept for their time"
    );
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    world.store.prune(std::time::Duration::from_millis(1)).await.unwrap();
    assert_eq!(world.store.project_of(&uids).await.unwrap(), []);
    assert!(world.store.project_credentials(&p).await.unwrap().is_empty());

    assert_eq!(bind(world, &late.key, "p").await, BindOutcome::Done);
    assert!(!world.store.epoch(&lease).await.unwrap().unwrap().abandoned, "it is there after all");
}

/// Whatever comes at the same moment: nothing lives in a project that was declared gone.
pub async fn nothing_is_left_alive_in_a_project_that_is_declared_gone(world: &World) {
    for round in 0..12 {
        let (name, project) = (format!("w{round}"), format!("p{round}"));
        world.create(&workspace(&name)).await;
        assert_eq!(bind(world, &workspace(&name), &project).await, BindOutcome::Done);
        let network = world.create(&within(Kind::Network, &name, "n")).await;
        let guest = world.create(&workspace(&format!("guest{round}"))).await;
        let create = async |kind, item: String| {
            let put = match kind {
                Kind::Nic => Put {
                    edges: vec![edge("/spec/network", &network.key, true)],
                    ..world.new_put(&within(kind, &name, &item))
                },
                _ => world.new_put(&within(kind, &name, &item)),
            };
            match world.put(put).await {
                PutOutcome::Created(_) | PutOutcome::Missing(_) => {}
                other => panic!("{other:?}"),
            }
        };
        let creations = async {
            for n in 0..6 {
                create(Kind::BlockStorage, format!("b{n}")).await;
                create(Kind::Nic, format!("n{n}")).await;
            }
        };
        let binding = async { bind(world, &guest.key, &project).await };
        let gone = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            world.store.oversight().abandon(&ProjectId(project.clone()), world.now()).await.unwrap().unwrap()
        };
        let (told, bound, ()) = tokio::join!(gone, binding, creations);
        let mut left = 0;
        for uid in world.store.project_uids(&ProjectId(project)).await.unwrap() {
            let row = world.store.bundle(uid).await.unwrap().unwrap().resource;
            assert!(row.is_deleting(), "{} was born in a project that is gone", row.key);
            left += 1;
        }
        assert_eq!(told.workspaces.iter().map(|(_, count)| count).sum::<i64>(), left);
        let taken = world.read(&guest.key).await.is_deleting();
        assert_eq!(taken, bound == BindOutcome::Done, "{bound:?}");
    }
}
