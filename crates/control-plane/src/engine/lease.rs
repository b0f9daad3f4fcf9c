//! Keeping a lease.

use std::{sync::Arc, time::Duration};

use seca_api::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Shared;
use crate::ports::{CloudProvider, Lease};

/// Renews a lease at a third of its time, whatever the worker is doing; says when it is lost.
///
/// A lease that was renewed later than it lasted is as good as lost: somebody may have had the project meanwhile, in this
/// database or in another. So it is taken again, which reads the marker before anything is done. Both clocks are asked,
/// because the monotonic one stands still while a machine sleeps.
pub(super) async fn keep<P: CloudProvider>(shared: Arc<Shared<P>>, lease: Lease, lost: CancellationToken) {
    let ttl = shared.settings.lease_ttl;
    let now = || (Instant::now(), shared.clock.now());
    let since = |(instant, wall): (Instant, Timestamp)| {
        let slept = shared.clock.now().as_millis().saturating_sub(wall.as_millis());
        instant.elapsed().max(Duration::from_millis(u64::try_from(slept).unwrap_or(0)))
    };
    let mut renewed = now();
    loop {
        tokio::time::sleep(ttl / 3).await;
        let asked = now();
        let left = ttl.saturating_sub(since(renewed));
        if left.is_zero() {
            break;
        }
        let budget = shared.provider.budget(&lease.project);
        match tokio::time::timeout(left, shared.store.renew(&lease, ttl, budget)).await {
            Ok(Ok(true)) if since(renewed) <= ttl => renewed = asked,
            // Without an answer the lease is as good as lost when its time is over.
            Ok(Ok(_)) | Err(_) => break,
            Ok(Err(_)) if since(renewed) >= ttl => break,
            Ok(Err(error)) => {
                warn!(%error, seca.project = %lease.project, "the lease could not be renewed; trying again")
            }
        }
    }
    lost.cancel();
}
