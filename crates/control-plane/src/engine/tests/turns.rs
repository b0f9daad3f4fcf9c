//! Whose turn it is in a project where there is always something to do.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_begun_goes_on_while_something_new_is_due_all_the_time() {
    let mut world = calm();
    world.engines = Arc::new(world.store.slow(Duration::from_millis(50)));
    let _engine = world.start("a");
    world.ready().await;
    let begun = tokio::time::Instant::now();
    let first = world.instance("i0");
    world.put(&first, 1).await;
    // Each takes longer than until the next one comes.
    let newer = async {
        for number in 1.. {
            world.put(&world.instance(&format!("i{number}")), 1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = newer => {}
        () = world.is(&first, ResourceState::Active) => {}
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "its call came back long ago: {:?}", begun.elapsed());
}
