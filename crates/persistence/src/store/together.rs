//! Lookups that come while others are under way are answered together: a trip to the database costs far more than a
//! row.
//!
//! There are a few lanes. Who finds one free takes it and asks alone, as if there were nothing here. Who finds none
//! waits, and the next lane that comes free takes all that wait and asks for them by one statement. There is no timer,
//! so that an idle server is no slower, and a statement begins after every request that it answers, so that what a
//! client has written is what it reads. Who is left without an answer, because the statement failed, asks alone.

use std::sync::Arc;

use control_plane::ports::Look;
use seca_api::ResourceKey;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::read;
use crate::{database::Database, fault::Fault};

/// Fewer make larger batches under load; more answer the first ones of a burst without a wait.
const LANES: usize = 4;
/// The most lookups that one statement answers.
const MOST: usize = 64;

/// The lookups of a store.
#[derive(Clone, Debug)]
pub(crate) struct Together {
    lanes: Arc<Semaphore>,
    waiting: mpsc::UnboundedSender<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    key: ResourceKey,
    tell: oneshot::Sender<Look>,
}

impl Together {
    /// Begins to lead who waits; ends with the last clone of what it gives.
    pub(crate) fn new(db: &Database) -> Self {
        let lanes = Arc::new(Semaphore::new(LANES));
        let (waiting, waiters) = mpsc::unbounded_channel();
        tokio::spawn(lead(db.clone(), lanes.clone(), waiters));
        Self { lanes, waiting }
    }

    pub(crate) async fn look(&self, db: &Database, key: &ResourceKey) -> Result<Look, Fault> {
        // Counting children is the work of the database, and no less of it if it is asked for many at once.
        if read::counts_children(key.kind) {
            return read::look(db, key).await;
        }
        if let Ok(_lane) = self.lanes.try_acquire() {
            return read::look(db, key).await;
        }
        let (tell, told) = oneshot::channel();
        // One that cannot be sent is dropped, and left without an answer.
        drop(self.waiting.send(Waiter { key: key.clone(), tell }));
        match told.await {
            Ok(look) => Ok(look),
            Err(_) => read::look(db, key).await,
        }
    }
}

async fn lead(db: Database, lanes: Arc<Semaphore>, mut waiters: mpsc::UnboundedReceiver<Waiter>) {
    while let Some(first) = waiters.recv().await {
        let Ok(lane) = lanes.clone().acquire_owned().await else { return };
        let mut batch = vec![first];
        while batch.len() < MOST
            && let Ok(next) = waiters.try_recv()
        {
            batch.push(next);
        }
        let db = db.clone();
        tokio::spawn(async move {
            answer(&db, batch).await;
            drop(lane);
        });
    }
}

async fn answer(db: &Database, batch: Vec<Waiter>) {
    let keys: Vec<&ResourceKey> = batch.iter().map(|waiter| &waiter.key).collect();
    let Ok(looks) = read::look_many(db, &keys).await else { return };
    for (waiter, look) in batch.into_iter().zip(looks) {
        // Who is gone needs no answer.
        drop(waiter.tell.send(look));
    }
}
