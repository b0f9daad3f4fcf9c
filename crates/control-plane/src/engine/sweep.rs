//! The sweep: looking at all objects of a project instead of at all resources.

use std::collections::BTreeSet;

use tracing::{info, warn};

use super::{
    epoch::Rule,
    project::{Call, Flight, Project, Purpose, Standing},
};
use crate::{
    ports::{CloudProvider, OwnedObject, StoreResult},
    resource::Uid,
};

impl<P: CloudProvider> Project<P> {
    /// Removes objects of this installation whose resource is gone, and reports those that nobody claims.
    pub(super) async fn sweep(&mut self) -> StoreResult<Standing> {
        let Some(snapshot) = &self.snapshot else { return Ok(Standing::Held) };
        let objects = self.shared.provider.owned(snapshot, &self.shared.installation);
        let uids: Vec<Uid> = objects.iter().filter_map(|o| o.uid).collect();
        let existing = self.shared.store.existing(&uids).await?;
        let removed = self.shared.store.removed(&uids).await?;
        let (claimed, unclaimed): (Vec<OwnedObject>, Vec<OwnedObject>) =
            objects.into_iter().partition(|o| o.uid.is_some_and(|uid| existing.contains(&uid)));
        // The provider removes nothing that one of these has.
        let kept: BTreeSet<String> = claimed.iter().map(OwnedObject::word).collect();
        let (ours, orphans): (Vec<OwnedObject>, Vec<OwnedObject>) =
            unclaimed.into_iter().partition(|o| o.uid.is_some_and(|uid| removed.contains(&uid)));
        if !orphans.is_empty() {
            warn!(seca.project = %self.lease.project, count = orphans.len(), "objects that no resource claims");
        }
        // Written first, because that is refused when the lease is lost: who holds it now may have handed an object
        // on to another resource.
        if !self.shared.store.save_orphans(&self.lease, &orphans).await? {
            return Ok(Standing::Lost);
        }
        // While another database rules, or may, nothing is removed.
        if self.rule == Rule::Ours {
            let is_free = |object: &&OwnedObject| object.used_by.as_ref().is_none_or(|user| !kept.contains(user));
            ours.iter().filter(is_free).for_each(|object| self.remove_object(object));
        }
        Ok(Standing::Held)
    }

    fn remove_object(&mut self, object: &OwnedObject) {
        let (Some(uid), Some(step)) = (object.uid, self.shared.provider.removal(object)) else { return };
        if self.flying.contains(&uid) || step.serial.iter().any(|key| self.busy.contains_key(key)) {
            return;
        }
        info!(seca.uid = %uid, provider.type = object.object_type, provider.name = object.name, "sweeping what a deleted resource left");
        let (key, purpose) = (None, Purpose::Sweep);
        let flight =
            Flight { uid, key, generation: 0, wake: 0, step, id: None, purpose, also: Vec::new(), requests: 0 };
        self.launch(flight, Call::Execute);
    }
}
