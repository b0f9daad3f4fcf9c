//! How fast the instance came, without what is not the proxy's.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use seca_client::seca_api::Instance;

use crate::{
    simulator::{Seen, Simulator},
    steps::Steps,
};

/// More than this the proxy must not add to what the simulated actions take.
const LIMIT: Duration = Duration::from_secs(1);

/// From the accepted PUT to `active`, by the server's own times, without what actions took and without the time in
/// which one had ended and the next poll was still to come.
pub(crate) async fn judge(steps: &Steps, simulator: &Simulator, made: &Instance, seen: &Seen) -> anyhow::Result<()> {
    let accepted = made.metadata.created_at.context("the instance has no creation time")?;
    let active = made.newest_condition().context("the instance has no conditions")?.last_transition_at;
    ensure!(!seen.ended.is_empty(), "no simulated action was seen");
    let total = active.since(accepted);
    let noticed = simulator.noticed_after(&seen.ended).await?;
    let added = total.saturating_sub(seen.busy).saturating_sub(noticed);
    let ms = |duration: Duration| duration.as_millis();
    steps.say(format!(
        "    active {} ms after the accepted PUT: {} ms simulated actions, {} ms until they were asked for, {} ms added by the proxy",
        ms(total),
        ms(seen.busy),
        ms(noticed),
        ms(added)
    ));
    if added > LIMIT {
        bail!("the proxy added {} ms to the creation of an instance; at most {} ms are allowed", ms(added), ms(LIMIT));
    }
    Ok(())
}
