//! What operators order about orphans.

use super::*;
use crate::{
    ports::{OrderOutcome, OrphanOrder},
    resource::Uid,
    testing::fake_cloud::Thing,
};

impl World {
    /// Orders the removal of the only orphan.
    pub(super) async fn remove_orphan(&self) -> OrphanOrder {
        eventually("an orphan", 5 * MINUTE, async || self.store.orphans().await.unwrap().len() == 1).await;
        let (project, object) = self.store.orphans().await.unwrap().remove(0);
        let order = OrphanOrder { uid: self.ids.uid(), project, object, into: None, told: None, refused: false };
        assert_eq!(self.store.oversight().order(&order).await.unwrap(), OrderOutcome::Accepted);
        self.wake.notify_one();
        order
    }

    /// What is known of the only order.
    pub(super) async fn ordered(&self) -> Option<OrphanOrder> {
        self.store.oversight().orders().await.unwrap().pop().map(|(order, _)| order)
    }

    /// Shows a thing that no resource claims.
    fn stray(&self, uid: Uid) {
        let thing = Thing { uid, size: 1, on: false, reboots: 0 };
        self.cloud.meddle(|things| {
            things.insert("stray".to_owned(), thing);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_removed_whatever_happens_to_the_call_and_to_its_holder() {
    let late = Fault::Late(Duration::from_secs(5));
    for faults in [vec![], vec![Fault::Error], vec![Fault::LostReply], vec![late, Fault::Error]] {
        for killed_after in
            [None, Some(Duration::ZERO), Some(Duration::from_millis(15)), Some(Duration::from_millis(60))]
        {
            let world = calm();
            let (engine, _) = world.start("a");
            world.ready().await;
            let kept = world.instance("kept");
            world.put(&kept, 1).await;
            world.is(&kept, ResourceState::Active).await;
            world.stray(world.ids.uid());
            world.cloud.script(&faults);
            world.remove_orphan().await;
            if let Some(after) = killed_after {
                tokio::time::sleep(after).await;
                engine.abort();
            }
            let _next = world.start("b");
            eventually("the order has ended", 10 * MINUTE, async || world.ordered().await.is_none()).await;
            let what = format!("{faults:?}, killed after {killed_after:?}");
            eventually(&what, MINUTE, async || world.cloud.things().len() == 1).await;
            assert_eq!(world.store.orphans().await.unwrap(), [], "{what}");
            world.is(&kept, ResourceState::Active).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_refuses_is_told_and_may_be_ordered_again() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    world.stray(world.ids.uid());
    world.cloud.script(&[Fault::Terminal]);
    let first = world.remove_orphan().await;
    eventually("it is refused", MINUTE, async || world.ordered().await.is_some_and(|order| order.refused)).await;
    assert!(world.ordered().await.unwrap().told.is_some());
    assert_eq!(world.cloud.things().len(), 1);
    let calls = world.cloud.sent();
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!((world.cloud.sent(), world.ordered().await.unwrap().uid), (calls, first.uid), "it is not tried again");
    world.remove_orphan().await;
    eventually("it is removed", MINUTE, async || world.cloud.things().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_resource_claims_by_now_is_not_removed() {
    let world = calm();
    let (engine, cancel) = world.start("a");
    world.ready().await;
    let uid = world.ids.uid();
    world.stray(uid);
    eventually("an orphan", 5 * MINUTE, async || world.store.orphans().await.unwrap().len() == 1).await;
    cancel.cancel();
    engine.await.unwrap();
    world.remove_orphan().await;
    // A resource of this identity comes between the order and whoever carries it out.
    let key = world.instance("late");
    world.store.put(Put::create(key.clone(), uid, "{\"sizeGB\":1}".to_owned(), world.clock.now())).await.unwrap();
    let _next = world.start("b");
    eventually("it is refused", MINUTE, async || world.ordered().await.is_some_and(|order| order.refused)).await;
    assert!(world.cloud.things().contains_key("stray"), "{:?}", world.cloud.things());
}
