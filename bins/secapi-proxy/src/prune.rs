//! Forgets what need not be remembered any more. Any replica may do it, and all do: a statement that finds nothing is
//! cheap, and nobody must be elected.

use std::{sync::Arc, time::Duration};

use control_plane::ports::{Clock, DENIED_KEPT, DEPARTURES_KEPT, Store, StoreResult};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often: often enough that what is kept for a quarter of an hour does not pile up.
const INTERVAL: Duration = Duration::from_secs(300);

/// Forgets, now and then, until cancelled.
pub(crate) async fn run(store: Arc<dyn Store>, clock: Arc<dyn Clock>, retention: Duration, cancel: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = prune(store.as_ref(), clock.as_ref(), retention).await {
            tracing::warn!(%error, "old rows could not be removed; trying again later");
        }
    }
}

async fn prune(store: &dyn Store, clock: &dyn Clock, retention: Duration) -> StoreResult<()> {
    store.access().prune_access(DEPARTURES_KEPT, DENIED_KEPT, clock.now()).await?;
    store.oversight().prune_activities(retention).await
}

#[cfg(test)]
mod tests {
    use control_plane::{
        ports::{Activity, ActivityQuery, Listener},
        testing::{MemoryStore, environment::TokioClock},
    };
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn activities_go_when_their_time_is_over_and_not_before() {
        let store = Arc::new(MemoryStore::new("test"));
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
        let text = || "x".to_owned();
        let activity = Activity {
            at: clock.now(),
            listener: Listener::Admin,
            actor: text(),
            action: text(),
            target: text(),
            tenant: None,
            request_id: None,
            result: text(),
            detail: None,
        };
        store.oversight().record_activities(&[activity]).await.unwrap();
        let count = async || {
            let query = ActivityQuery { limit: 10, ..ActivityQuery::default() };
            store.oversight().activities(&query).await.unwrap().len()
        };
        let cancel = CancellationToken::new();
        let hour = Duration::from_secs(3600);
        let task = tokio::spawn(run(store.clone(), clock, hour, cancel.clone()));
        sleep(hour - INTERVAL).await;
        assert_eq!(count().await, 1);
        sleep(3 * INTERVAL).await;
        assert_eq!(count().await, 0);
        cancel.cancel();
        task.await.unwrap();
    }
}
