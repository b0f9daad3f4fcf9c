//! Paused workspaces: an operator keeps the engine from them.
//!
//! The set is read once per scan for all projects, and only while something is looked at, so that a pause costs one statement
//! and an idle engine none. What is due in a paused workspace is not planned: no call begins, a deletion waits. Calls under way
//! land as always. Resuming queues everything in the workspace.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use seca_api::ResourceKey;
use tokio::{sync::Mutex, time::Instant};

use super::project::Project;
use crate::{
    ports::{CloudProvider, Note, Store, StoreResult},
    reason::Reason,
};

/// When what is paused is looked at again, should its resumption have been missed: it came between two readings.
pub(super) const RECHECK: Duration = Duration::from_secs(30);

/// The paused workspaces, as they were a moment ago, and when that was.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<Option<(Instant, Arc<BTreeSet<ResourceKey>>)>>);

impl Pauses {
    /// The set, if it is younger than this; else it is read. Projects that ask meanwhile wait for that reading.
    async fn within(&self, age: Duration, store: &dyn Store) -> StoreResult<Arc<BTreeSet<ResourceKey>>> {
        let mut known = self.0.lock().await;
        if let Some((read, paused)) = known.as_ref()
            && read.elapsed() < age
        {
            return Ok(Arc::clone(paused));
        }
        let read = Instant::now();
        let paused = store.oversight().paused().await?;
        let paused = Arc::new(paused.into_iter().map(|paused| paused.workspace).collect());
        *known = Some((read, Arc::clone(&paused)));
        Ok(paused)
    }
}

impl<P: CloudProvider> Project<P> {
    /// Whether a resource is to be left alone, and what its condition says then.
    pub(super) async fn paused(&self, key: &ResourceKey) -> StoreResult<Option<Note>> {
        let Some(workspace) = key.workspace_key() else { return Ok(None) };
        let shared = &self.shared;
        let paused = shared.pauses.within(shared.settings.scan_interval, shared.store.as_ref()).await?;
        Ok(paused.contains(&workspace).then(|| {
            let name = &workspace.name;
            Note::new(
                Reason::Paused,
                format!("workspace {name} is paused by an operator; work goes on when it is resumed"),
            )
        }))
    }
}
