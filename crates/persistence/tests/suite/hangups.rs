//! What callers leave behind who do not wait for their answer.

use std::{future::poll_fn, pin::pin, task::Poll};

use control_plane::ports::{QueueStore as _, ReadStore as _};
use persistence::{Options, connect};

use super::{World, sorted, workspace};

/// Asks a future so many times, and drops it.
async fn hung_up<F: Future>(future: F, times: usize) {
    let mut future = pin!(future);
    let mut asked = 0;
    poll_fn(|context| {
        asked += 1;
        let is_over = future.as_mut().poll(context).is_ready() || asked > times;
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A transaction that nobody waits for must not stay open on a connection of the pool: what others write there next
/// would not be committed when they are told so.
pub async fn what_is_acknowledged_after_a_hang_up_is_committed(world: &World) {
    if world.sql.is_none() {
        return;
    }
    let elsewhere = connect(&world.url, &Options::default()).await.unwrap();
    let paused = world.create(&workspace("paused")).await.key;
    let mut written = Vec::new();
    for round in 0..40 {
        hung_up(world.store.oversight().pause(&paused, "me"), round % 10).await;
        let row = world.create(&workspace(&format!("w-{round}"))).await;
        assert!(elsewhere.get(&row.key).await.unwrap().is_some(), "{} is acknowledged and not there", row.key);
        written.push(row.uid);
    }
    let found = elsewhere.existing(&written).await.unwrap();
    assert_eq!(sorted(found), sorted(written));
    elsewhere.close().await;
}
