//! Lookups that wait for a connection are answered together.
//!
//! There are two lanes. Whoever gets one takes all that wait and asks for them by one statement; alone, by the plain
//! one. There is no timer, so that an idle server is not slower, and no statement begins before a request that it
//! answers. One that is left behind, because its leader was dropped or failed, asks for itself.

use std::sync::{Arc, Mutex, PoisonError};

use control_plane::ports::Look;
use seca_api::ResourceKey;
use tokio::sync::{Semaphore, oneshot};

use crate::{database::Database, fault::Fault};

const LANES: usize = 2;
const MOST: usize = 64;

type Waiter = (ResourceKey, oneshot::Sender<Look>);

#[derive(Clone, Debug)]
pub(crate) struct Together(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Vec<Waiter>>,
    lanes: Semaphore,
}

impl Default for Together {
    fn default() -> Self {
        Self(Arc::new(Shared { waiting: Mutex::default(), lanes: Semaphore::new(LANES) }))
    }
}

impl Together {
    pub(crate) async fn look(&self, db: &Database, key: &ResourceKey) -> Result<Look, Fault> {
        let Shared { waiting, lanes } = &*self.0;
        let (tell, mut told) = oneshot::channel();
        waiting.lock().unwrap_or_else(PoisonError::into_inner).push((key.clone(), tell));
        loop {
            tokio::select! {
                biased;
                answer = &mut told => return match answer {
                    Ok(look) => Ok(look),
                    Err(_) => super::read::look(db, key).await,
                },
                Ok(_lane) = lanes.acquire() => {
                    let batch: Vec<Waiter> = {
                        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        let count = waiting.len().min(MOST);
                        waiting.drain(..count).collect()
                    };
                    if let [(only, _)] = &batch[..] {
                        let look = super::read::look(db, only).await?;
                        for (_, tell) in batch { drop(tell.send(look)); break; }
                    } else if !batch.is_empty() {
                        let mut found = super::read::look_many(db, batch.iter().map(|(key, _)| key)).await?;
                        for (key, tell) in batch {
                            drop(tell.send(found.remove(&key).unwrap_or_default()));
                        }
                    }
                }
            }
        }
    }
}
