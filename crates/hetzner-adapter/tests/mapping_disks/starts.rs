//! The first start of a server that was made from a snapshot.

use super::*;

/// The facts say that a server runs from before the call that starts it, and that call may fail.
#[test]
fn a_snapshot_stays_until_the_server_that_was_made_from_it_is_seen_to_have_run() {
    let mut world = held();
    wait_out_the_hold(&mut world);
    let volume = boot_volume(&world).uid;
    world.put(Kind::Instance, "j", spec(|_| {}));
    world.settle();
    assert_eq!((world.model.servers.len(), world.model.images.len()), (1, 1));
    world.act("j", ActionKind::Start);
    let Plan::Act(step) = world.plan_of(Kind::Instance, "j").plan else { panic!("nothing is done") };
    assert_eq!(step.operation, "poweron");
    // It is recorded, and its answer is lost.
    let before = world.rows.clone();
    for mark in &step.marks {
        state::merge(&mut world.rows.get_mut(&mark.uid).unwrap().facts, &mark.facts);
    }
    world.operations();
    for _ in 0..5 {
        world.look(volume);
    }
    assert!(!world.operations().contains(&"delete_image"), "nobody saw it run");
    assert_eq!(world.model.images.len(), 1);
    // It did not happen, and is sent again.
    world.rows = before;
    world.settle();
    assert!(world.operations().ends_with(&["poweron", "read_actions", "delete_image"]));
    assert_eq!((world.model.servers[0].status.clone(), world.model.images.len()), (ServerStatus::Running, 0));
}
