//! A call is sent by its holder only, and only while its decision is fresh.

use super::*;
use crate::ports::{Lease, Portion};

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_when_another_holds_the_project_is_not_sent() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    // Shorter than the time in which a holder notices by itself that it lost its lease.
    world.cloud.hold_turns(Duration::from_secs(2));
    let instance = world.instance("i");
    world.put(&instance, 1).await;
    let uid = world.get(&instance).await.unwrap().uid;
    eventually("a call waits for its turn", MINUTE, async || {
        !world.store.bundle(uid).await.unwrap().unwrap().open_steps.is_empty()
    })
    .await;
    let project = ProjectId("project-1".into());
    for token in 1..10 {
        world.store.release(&Lease { project: project.clone(), token }).await.unwrap();
    }
    let taken = world.store.lease("another", 10 * MINUTE, ENGINE_VERSION, 10, Portion::All).await.unwrap();
    assert!(taken.iter().any(|lease| lease.project == project), "{taken:?}");
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!((world.cloud.sent(), world.cloud.calls()), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_too_late_is_not_sent_and_decided_again() {
    let world = calm();
    let _engine = world.start("a");
    world.ready().await;
    world.cloud.hold_turns(Duration::from_secs(31));
    let instance = world.instance("i");
    world.put(&instance, 1).await;
    eventually("it says that nothing was sent", 2 * MINUTE, async || {
        let row = world.get(&instance).await.unwrap();
        row.conditions[0].message.as_deref().is_some_and(|message| message.contains("not sent"))
    })
    .await;
    assert_eq!(world.cloud.sent(), 0);
    world.cloud.hold_turns(Duration::ZERO);
    world.is(&instance, ResourceState::Active).await;
    assert_eq!((world.cloud.sent(), world.cloud.calls().len()), (1, 1));
}
