//! Which database rules a project: restored backups and clones.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    catalog::Catalog,
    engine::{AdoptionParts, Does, epoch},
    ports::{Epoch, Marker, OrphanOrder, Portion, ProjectEpoch},
};

fn project() -> ProjectId {
    ProjectId("project-1".into())
}

impl World {
    /// Another database over the same cloud: with the same workspace and instances, as they are now.
    async fn twin(&self, instances: &[&str]) -> Self {
        let mut twin = World::new(self.cloud.clone(), 2);
        twin.clock = self.clock.clone();
        twin.put_as(self, &self.workspace()).await;
        for name in instances {
            twin.put_as(self, &self.instance(name)).await;
        }
        twin.bind().await;
        twin
    }

    async fn put_as(&self, other: &World, key: &ResourceKey) {
        let row = other.get(key).await.unwrap();
        self.store.put(Put::create(key.clone(), row.uid, row.spec.clone(), self.clock.now())).await.unwrap();
    }

    /// Has the store believe that it raised the epoch to this one: it is a copy of the database that did.
    async fn copy_epoch(&self, epoch: &Epoch) {
        let leases = self.store.lease("copy", MINUTE, ENGINE_VERSION, 10, Portion::All).await.unwrap();
        let lease = leases.iter().find(|lease| lease.project == project()).unwrap();
        assert!(self.store.want_epoch(lease, epoch).await.unwrap());
        assert!(self.store.confirm_epoch(lease).await.unwrap());
        for lease in &leases {
            self.store.release(lease).await.unwrap();
        }
    }

    /// The same world, whose engines reach the store through a connection that breaks after so many calls.
    fn breaking(&mut self, calls: usize) -> Arc<AtomicUsize> {
        let (store, left) = self.store.breaking(calls);
        self.engines = Arc::new(store);
        left
    }

    async fn paused(&self) -> Option<ProjectEpoch> {
        let paused = self.store.oversight().paused_projects().await.unwrap();
        paused.into_iter().find(|(id, _)| *id == project()).map(|(_, epoch)| epoch)
    }

    async fn says(&self, key: &ResourceKey, reason: &str) {
        eventually(&format!("{key} says {reason}"), 10 * MINUTE, async || {
            self.reason(key).await.as_deref() == Some(reason)
        })
        .await;
    }

    fn marker_epoch(&self) -> Epoch {
        self.cloud.marker().unwrap().epoch.unwrap()
    }

    async fn made(&self, name: &str, size: i64) -> ResourceKey {
        let key = self.instance(name);
        self.put(&key, size).await;
        self.is(&key, ResourceState::Active).await;
        key
    }
}

#[tokio::test(start_paused = true)]
async fn the_epoch_rises_at_every_takeover_and_once_in_its_interval() {
    let mut world = calm();
    world.epoch_interval = 20 * MINUTE;
    let (engine, cancel) = world.start("a");
    world.ready().await;
    assert_eq!(world.cloud.epochs().len(), 1);
    tokio::time::sleep(15 * MINUTE).await;
    assert_eq!(world.cloud.epochs().len(), 1, "not at a resync");
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(world.cloud.epochs().len(), 2);
    cancel.cancel();
    engine.await.unwrap();
    let _engine = world.start("b");
    world.made("i", 1).await;
    let numbers: Vec<i64> = world.cloud.epochs().iter().map(|epoch| epoch.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_lone_database_never_pauses_wherever_it_is_killed_and_whatever_comes_late() {
    let late = Fault::Late(Duration::from_secs(20));
    for faults in [vec![], vec![Fault::LostReply], vec![late], vec![late, Fault::Error, late]] {
        for calls in (0..30).step_by(stride()) {
            let mut world = calm();
            world.put(&world.workspace(), 0).await;
            world.bind().await;
            let key = world.instance("i");
            world.put(&key, 1).await;
            world.cloud.script_marker(&faults);
            for (owner, calls) in [("first", calls), ("second", calls / 2)] {
                let left = world.breaking(calls);
                let (engine, _) = world.start(owner);
                eventually("it is killed", 5 * MINUTE, async || left.load(Ordering::SeqCst) == 0).await;
                engine.abort();
            }
            world.engines = world.store.clone();
            let (engine, _) = world.start("third");
            world.is(&key, ResourceState::Active).await;
            // Past what comes late, and a resync.
            tokio::time::sleep(3 * MINUTE).await;
            engine.abort();
            let what = format!("{faults:?}, killed after {calls} calls");
            assert_eq!(world.paused().await, None, "{what}");
            assert_eq!(world.cloud.things().len(), 1, "{what}");
            let written = world.cloud.epochs();
            let numbers: BTreeMap<i64, Epoch> = written.iter().map(|epoch| (epoch.number, epoch.clone())).collect();
            assert!(written.iter().all(|epoch| numbers[&epoch.number] == *epoch), "{what}: two nonces: {written:?}");
            assert_eq!(Some(&world.marker_epoch()), numbers.values().last(), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_observes_replays_nothing_and_deletes_nothing_until_an_operator_decides() {
    let world = calm();
    let engine = world.start("a");
    world.ready().await;
    let [kept, grown, dropped] = ["kept", "grown", "dropped"].map(|name| world.instance(name));
    for key in [&kept, &grown, &dropped] {
        world.made(&key.name, 1).await;
    }
    let old = world.twin(&["kept", "grown", "dropped"]).await;
    // What the backup does not know: one grew, one is gone, one is new.
    world.made("grown", 2).await;
    world.delete(&dropped).await;
    world.gone(&dropped).await;
    world.made("new", 1).await;
    engine.0.abort();
    let (calls, things) = (world.cloud.calls(), world.cloud.things());

    let _old = old.start("restored");
    for key in [&grown, &dropped] {
        old.says(key, "ProjectPaused").await;
    }
    old.is(&kept, ResourceState::Active).await;
    old.delete(&grown).await;
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(old.states(&grown).await[0], "deleting", "no row leaves");
    old.put(&dropped, 5).await;
    old.put(&old.instance("more"), 1).await;
    old.says(&old.instance("more"), "ProjectPaused").await;
    assert_eq!((world.cloud.calls(), world.cloud.things()), (calls, things.clone()), "nothing is sent");
    assert_eq!(world.cloud.epochs().len(), 1, "nor is the marker written");
    let orphans = old.store.orphans().await.unwrap();
    assert_eq!(orphans.len(), 1, "the sweep reports what it does not know: {orphans:?}");
    old.remove_orphan().await;
    let rules = |order: OrphanOrder| order.told.is_some_and(|told| told.contains("another database rules"));
    eventually("it waits", MINUTE, async || old.ordered().await.is_some_and(rules)).await;
    assert_eq!(world.cloud.things(), things, "nor is anything removed that an operator ordered");

    let paused = old.paused().await.unwrap();
    assert!(paused.paused.unwrap().contains("epoch 1"));
    let rng = SeededRng::new(9);
    assert!(old.store.oversight().resume_project(&project(), &epoch::above(1, &rng)).await.unwrap());
    old.gone(&grown).await;
    old.is(&dropped, ResourceState::Active).await;
    eventually("the order has ended", MINUTE, async || old.ordered().await.is_none()).await;
    assert!(!world.cloud.things().keys().any(|name| name.contains("new")), "{:?}", world.cloud.things());
    assert!(world.marker_epoch().number > 2);

    // Now the other one is the one that must keep still.
    let _engine = world.start("a again");
    eventually("the other one is paused", 3 * MINUTE, async || world.paused().await.is_some()).await;
    let sent = world.cloud.sent();
    world.put(&kept, 3).await;
    world.says(&kept, "ProjectPaused").await;
    assert_eq!(world.cloud.sent(), sent);
}

#[tokio::test(start_paused = true)]
async fn of_two_databases_that_run_at_once_the_overtaken_one_pauses_at_its_next_resync() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    let kept = world.made("kept", 1).await;
    let clone = world.twin(&["kept"]).await;
    clone.copy_epoch(&world.marker_epoch()).await;
    let _clone = clone.start("clone");
    clone.is(&kept, ResourceState::Active).await;
    assert_eq!((world.paused().await, world.marker_epoch().number), (None, 2));
    eventually("a resync", 3 * MINUTE, async || world.paused().await.is_some()).await;
    let sent = world.cloud.sent();
    world.put(&world.instance("new"), 1).await;
    world.delete(&kept).await;
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(world.cloud.sent(), sent);
    assert_eq!(clone.paused().await, None);
    clone.made("kept", 2).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_lease_that_ran_out_the_marker_is_read_before_anything_is_sent() {
    let mut world = calm();
    let left = world.breaking(usize::MAX);
    let _engine = world.start("a");
    world.ready().await;
    let kept = world.made("kept", 1).await;
    let clone = world.twin(&["kept"]).await;
    clone.copy_epoch(&world.marker_epoch()).await;
    // The process is as good as stopped, and meanwhile there is work for it.
    left.store(0, Ordering::SeqCst);
    world.put(&world.instance("new"), 1).await;
    world.delete(&kept).await;
    let _clone = clone.start("clone");
    clone.is(&kept, ResourceState::Active).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (sent, woken) = (world.cloud.sent(), tokio::time::Instant::now());
    left.store(usize::MAX, Ordering::SeqCst);
    world.says(&world.instance("new"), "ProjectPaused").await;
    world.says(&kept, "ProjectPaused").await;
    assert!(woken.elapsed() < Duration::from_secs(30), "not only at the next resync");
    assert_eq!(world.cloud.sent(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_vanished_is_made_again_for_the_same_project() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    let before = world.marker_epoch();
    world.cloud.put_marker(None);
    eventually("it is made again", 3 * MINUTE, async || world.cloud.marker().is_some()).await;
    assert_eq!(world.cloud.marker().unwrap().project, Some(project()));
    assert!(world.marker_epoch().number > before.number);
    world.made("i", 1).await;
    assert_eq!(world.paused().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_marker_of_an_older_release_or_of_an_earlier_epoch_is_taken_over() {
    for epoch in [None, Some(Epoch { number: 0, nonce: "late".into() })] {
        let world = calm();
        let (engine, cancel) = world.start("a");
        world.ready().await;
        cancel.cancel();
        engine.await.unwrap();
        world.cloud.put_marker(Some(Marker { epoch, ..world.cloud.marker().unwrap() }));
        let _engine = world.start("b");
        world.made("i", 1).await;
        assert_eq!(world.marker_epoch().number, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_with_a_token_that_opens_another_project() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    let kept = world.made("kept", 1).await;
    let marker = world.cloud.marker().unwrap();
    let other = Some(ProjectId("project-2".into()));
    world.cloud.put_marker(Some(Marker { project: other, ..marker.clone() }));
    world.says(&kept, "CredentialOfOtherProject").await;
    let sent = world.cloud.sent();
    world.put(&kept, 2).await;
    world.put(&world.instance("new"), 1).await;
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(world.cloud.sent(), sent);
    world.cloud.put_marker(Some(marker));
    world.is(&kept, ResourceState::Active).await;
    world.is(&world.instance("new"), ResourceState::Active).await;
}

#[tokio::test(start_paused = true)]
async fn the_rows_of_a_project_that_is_gone_leave_without_the_provider() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    let (kept, workspace) = (world.made("kept", 1).await, world.workspace());
    assert!(world.store.oversight().pause(&workspace, "ops").await.unwrap());
    world.cloud.hold_turns(MINUTE);
    let (sent, epochs) = (world.cloud.sent(), world.cloud.epochs());
    let abandoned = world.store.oversight().abandon(&project(), world.clock.now()).await.unwrap().unwrap();
    assert_eq!(abandoned.workspaces, [(workspace.clone(), 2)]);
    for key in [&kept, &workspace] {
        world.gone(key).await;
    }
    assert_eq!((world.cloud.sent(), world.cloud.epochs()), (sent, epochs), "nothing is asked of the provider");

    // Bound again, it is worked on again.
    world.cloud.hold_turns(Duration::ZERO);
    world.ready().await;
    world.made("new", 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_going_on_would_do_is_told_without_doing_it() {
    let world = calm();
    let engine = world.start("a");
    world.ready().await;
    let [kept, grown, dropped] = ["kept", "grown", "dropped"].map(|name| world.instance(name));
    for key in [&kept, &grown, &dropped] {
        world.made(&key.name, 1).await;
    }
    let old = world.twin(&["kept", "grown", "dropped"]).await;
    world.made("grown", 2).await;
    world.delete(&dropped).await;
    world.gone(&dropped).await;
    engine.0.abort();
    let _old = old.start("restored");
    old.says(&grown, "ProjectPaused").await;
    old.delete(&kept).await;

    let parts = AdoptionParts {
        store: old.store.clone(),
        provider: Arc::new(old.cloud.clone()),
        vault: Arc::new(PlainVault),
        clock: old.clock.clone(),
        rng: old.rng.clone(),
        catalog: Catalog::default(),
        default_endpoint: "http://127.0.0.1:1/v1".parse().unwrap(),
        stop_grace: MINUTE,
    };
    let sent = old.cloud.sent();
    let [adoption] = &parts.look().await.unwrap()[..] else { panic!() };
    assert_eq!((adoption.epoch, adoption.marker_epoch, adoption.problem.as_deref()), (0, Some(1), None));
    let mut told: Vec<_> =
        adoption.consequences.iter().map(|c| (c.subject.clone(), c.does, c.what.split(' ').next().unwrap())).collect();
    told.sort();
    let mut expected = vec![
        (dropped.to_string(), Does::Call, "create"),
        (grown.to_string(), Does::Call, "resize"),
        (kept.to_string(), Does::Call, "delete"),
    ];
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(old.cloud.sent(), sent, "nothing is done");

    assert!(parts.adopt(&project(), adoption.next.as_ref().unwrap()).await.unwrap());
    old.gone(&kept).await;
    assert_eq!(parts.look().await.unwrap(), []);
    assert!(!parts.adopt(&project(), adoption.next.as_ref().unwrap()).await.unwrap(), "it is not paused any more");
}
