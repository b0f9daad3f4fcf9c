//! Resync and sweep: reading a project anew, looking at all its resources, and at all its objects.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    catalog::FIRST_RETRY,
    project::{Call, Project, Purpose, Standing},
};
use crate::{
    ports::{Access, CloudProvider, OwnedObject, StoreResult},
    resource::Uid,
};

impl<P: CloudProvider> Project<P> {
    /// Reads the project from lists and looks at everything in it.
    pub(super) async fn resync(&mut self) -> StoreResult<Standing> {
        let Some(access) = self.access().await? else { return Ok(Standing::Held) };
        if !self.observe(&access).await {
            return Ok(Standing::Held);
        }
        let shared = self.shared.clone();
        shared.store.requeue_project(&self.lease.project).await?;
        if self.sweep().await? == Standing::Lost {
            return Ok(Standing::Lost);
        }
        self.read_catalog(&access, true);
        shared.store.prune(STEPS_KEPT).await?;
        Ok(Standing::Held)
    }

    /// Reads the catalogue if it is time.
    pub(super) async fn refresh_catalog(&mut self) -> StoreResult<()> {
        if Instant::now() < self.catalog_at {
            return Ok(());
        }
        let interval = self.shared.settings.catalog_refresh;
        // With an interval of zero, resyncs do it; the first look at a project does it in any case.
        self.catalog_at =
            Instant::now() + if interval.is_zero() { self.shared.settings.resync_interval } else { interval };
        if let Some(access) = self.access().await? {
            if self.shared.catalog.load().version > 0 {
                self.read_catalog(&access, false);
            } else {
                self.read_first_catalog(&access).await?;
            }
        } else {
            self.catalog_at = Instant::now() + Duration::from_secs(1);
        }
        Ok(())
    }

    /// Before any work: a workspace that is active may be used, and nobody can name an image before that is read.
    async fn read_first_catalog(&mut self, access: &Arc<Access>) -> StoreResult<()> {
        let shared = &self.shared;
        let (store, cache, settings) = (shared.store.as_ref(), &shared.catalog, &shared.settings);
        shared.keeper.refresh(shared.provider.as_ref(), access, store, cache, settings, false).await?;
        if cache.load().version == 0 {
            self.catalog_at = Instant::now() + FIRST_RETRY;
        }
        Ok(())
    }

    /// In the background: answers of the project's own calls do not wait for it.
    fn read_catalog(&mut self, access: &Arc<Access>, resync: bool) {
        let (shared, access) = (self.shared.clone(), access.clone());
        while self.background.try_join_next().is_some() {}
        self.background.spawn(async move {
            let (store, cache, settings) = (shared.store.as_ref(), &shared.catalog, &shared.settings);
            let refreshed = shared.keeper.refresh(shared.provider.as_ref(), &access, store, cache, settings, resync);
            if let Err(error) = refreshed.await {
                warn!(%error, "the catalogue could not be kept");
            }
        });
    }

    /// Removes objects of this installation whose resource is gone, and reports those that nobody claims.
    async fn sweep(&mut self) -> StoreResult<Standing> {
        let Some(snapshot) = &self.snapshot else { return Ok(Standing::Held) };
        let objects = self.shared.provider.owned(snapshot, &self.shared.installation);
        let uids: Vec<Uid> = objects.iter().filter_map(|o| o.uid).collect();
        let existing = self.shared.store.existing(&uids).await?;
        let removed = self.shared.store.removed(&uids).await?;
        let unclaimed = objects.into_iter().filter(|o| o.uid.is_none_or(|uid| !existing.contains(&uid)));
        let (ours, orphans): (Vec<OwnedObject>, Vec<OwnedObject>) =
            unclaimed.partition(|o| o.uid.is_some_and(|uid| removed.contains(&uid)));
        for object in ours {
            self.remove_object(&object);
        }
        if !orphans.is_empty() {
            warn!(seca.project = %self.lease.project, count = orphans.len(), "objects that no resource claims");
        }
        let held = self.shared.store.save_orphans(&self.lease, &orphans).await?;
        Ok(if held { Standing::Held } else { Standing::Lost })
    }

    fn remove_object(&mut self, object: &OwnedObject) {
        let (Some(uid), Some(step)) = (object.uid, self.shared.provider.removal(object)) else { return };
        if self.flying.contains(&uid) || step.serial.iter().any(|key| self.busy.contains(key)) {
            return;
        }
        info!(seca.uid = %uid, hcloud.type = object.object_type, hcloud.name = object.name, "sweeping what a deleted resource left");
        self.launch(uid, None, step, Purpose::Sweep, Call::Execute);
    }
}

/// How long steps and tombstones outlive their resource.
const STEPS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
