//! Whose project it is: epochs, pauses, and what tells a project.

use control_plane::{
    ProjectId,
    ports::{Epoch, Lease, ProjectEpoch, Settled, StepState},
};
use seca_api::Kind;

use super::{TTL, World, engine::step, key, workspace};

fn epoch(number: i64, nonce: &str) -> Epoch {
    Epoch { number, nonce: nonce.to_owned() }
}

pub async fn an_epoch_is_wanted_before_it_is_current(world: &World) {
    let (_, lease) = world.bound("p").await;
    let read = async || world.store.epoch(&lease).await.unwrap().unwrap();
    assert_eq!(read().await, ProjectEpoch::default());
    assert!(!world.store.confirm_epoch(&lease).await.unwrap(), "none was wanted");
    assert!(world.store.want_epoch(&lease, &epoch(1, "lost")).await.unwrap());
    assert!(world.store.want_epoch(&lease, &epoch(1, "a")).await.unwrap());
    assert_eq!(read().await, ProjectEpoch { wanted: Some(epoch(1, "a")), ..ProjectEpoch::default() });

    assert!(world.store.confirm_epoch(&lease).await.unwrap());
    assert!(!world.store.confirm_epoch(&lease).await.unwrap());
    let ProjectEpoch { current, wanted, raised, paused, abandoned } = read().await;
    assert_eq!((current, wanted, paused, abandoned), (epoch(1, "a"), None, None, false));
    assert!(raised.unwrap() < TTL, "{raised:?}");

    // Other projects have epochs of their own, and a lease that is lost reads and writes none.
    let local = world.lease("local").await;
    assert_eq!(world.store.epoch(&local).await.unwrap(), Some(ProjectEpoch::default()));
    world.store.release(&lease).await.unwrap();
    let next = world.lease("p").await;
    for lost in [&lease, &Lease { token: next.token + 1, ..next.clone() }] {
        assert_eq!(world.store.epoch(lost).await.unwrap(), None);
        assert!(!world.store.want_epoch(lost, &epoch(2, "b")).await.unwrap());
        assert!(!world.store.confirm_epoch(lost).await.unwrap());
        assert!(!world.store.pause_project(lost, "no").await.unwrap());
    }
    let kept = world.store.epoch(&next).await.unwrap().unwrap();
    assert_eq!((kept.current, kept.wanted, kept.paused), (epoch(1, "a"), None, None));
}

pub async fn a_paused_project_goes_on_as_after_a_takeover(world: &World) {
    let (_, lease) = world.bound("p").await;
    let p = ProjectId("p".to_owned());
    let resume = async |number, nonce| world.store.oversight().resume_project(&p, &epoch(number, nonce)).await.unwrap();
    let current = async |lease: &Lease| world.store.epoch(lease).await.unwrap().unwrap();
    assert_eq!(world.store.oversight().paused_projects().await.unwrap(), []);
    assert!(!resume(9, "x").await, "it is not paused");

    world.store.want_epoch(&lease, &epoch(3, "own")).await.unwrap();
    world.store.confirm_epoch(&lease).await.unwrap();
    world.store.want_epoch(&lease, &epoch(4, "own")).await.unwrap();
    assert!(world.store.pause_project(&lease, "the marker says 7").await.unwrap());
    let paused = world.store.oversight().paused_projects().await.unwrap();
    assert_eq!(paused, [(p.clone(), ProjectEpoch { raised: paused[0].1.raised, ..current(&lease).await })]);
    assert_eq!(paused[0].1.paused.as_deref(), Some("the marker says 7"));
    assert_eq!(world.store.may_send(&lease, None).await.unwrap(), Some(std::time::Duration::ZERO), "it may observe");

    assert!(resume(7, "theirs").await);
    assert!(!resume(8, "again").await);
    assert_eq!(world.store.may_send(&lease, None).await.unwrap(), None, "its holder begins anew");
    assert!(!world.store.renew(&lease, TTL, None).await.unwrap());
    let lease = world.lease("p").await;
    let after = current(&lease).await;
    assert_eq!((after.current, after.wanted, after.paused), (epoch(7, "theirs"), None, None));

    // What is behind its own does not put it back.
    world.store.pause_project(&lease, "again").await.unwrap();
    assert!(resume(6, "old").await);
    assert_eq!(current(&world.lease("p").await).await.current, epoch(7, "theirs"));
    let nobody = ProjectId("nobody".to_owned());
    assert!(!world.store.oversight().resume_project(&nobody, &epoch(1, "x")).await.unwrap());
}

pub async fn what_a_pause_put_off_is_due_when_it_ends(world: &World) {
    let (_, lease) = world.bound("p").await;
    let put_off = world.create(&key(Kind::BlockStorage, "put-off")).await;
    world.create(&key(Kind::BlockStorage, "rests")).await;
    world.settle(&lease).await;
    let wake = world.store.bundle(put_off.uid).await.unwrap().unwrap().wake;
    let looked = Settled { uid: put_off.uid, wake, attempts: 0, next: Some(TTL) };
    assert!(world.store.settle(&lease, &[looked]).await.unwrap());
    assert!(world.store.pause_project(&lease, "the marker says 7").await.unwrap());
    assert!(world.store.due(&lease, 9).await.unwrap().is_empty());

    assert!(world.store.oversight().resume_project(&lease.project, &epoch(7, "theirs")).await.unwrap());
    let due = world.store.due(&world.lease("p").await, 9).await.unwrap();
    assert_eq!(due, [put_off.uid], "what rests is not woken");
}

pub async fn a_project_is_known_by_what_was_made_in_it(world: &World) {
    let (ws, lease) = world.bound("p").await;
    let (volume, gone) = (key(Kind::BlockStorage, "b"), key(Kind::BlockStorage, "gone"));
    let (volume, gone) = (world.create(&volume).await, world.create(&gone).await);
    let waiting = world.create(&workspace("waiting")).await;
    let elsewhere = world.create(&workspace("elsewhere")).await;
    world.store.bind(world.credential(&elsewhere, "a")).await.unwrap();
    let id = world.record_step(&lease, gone.uid, 1, &step("create_volume", &[])).await.unwrap().unwrap();
    world.store.finish_step(&lease, id, StepState::Done, None, None).await.unwrap();
    world.mark_deleted(&gone.key).await;
    world.store.remove(&lease, gone.uid).await.unwrap();

    let of = async |uids: &[control_plane::Uid]| {
        let found = world.store.project_of(uids).await.unwrap();
        found.into_iter().map(|project| project.0).collect::<Vec<_>>()
    };
    assert_eq!(of(&[ws.uid, volume.uid]).await, ["p"]);
    assert_eq!(of(&[gone.uid]).await, ["p"], "its steps tell");
    assert_eq!(of(&[volume.uid, elsewhere.uid]).await, ["a", "p"]);
    assert!(of(&[waiting.uid, world.uid()]).await.is_empty());
    assert!(of(&[]).await.is_empty());
}
