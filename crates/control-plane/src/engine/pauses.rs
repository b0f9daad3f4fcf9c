//! Paused workspaces: an operator keeps the engine from them.
//!
//! The set is read once per scan and only while something is looked at, so that a pause costs one statement and an idle
//! project none. What is due in a paused workspace is not planned: no call begins, a deletion waits. Calls under way
//! land as always. Resuming queues everything in the workspace.

use std::{collections::BTreeSet, time::Duration};

use seca_api::ResourceKey;
use tokio::time::Instant;

use super::project::Project;
use crate::{
    ports::{CloudProvider, Note, StoreResult},
    reason::Reason,
};

/// When what is paused is looked at again, should its resumption have been missed: it came between two readings.
pub(super) const RECHECK: Duration = Duration::from_secs(30);

/// The paused workspaces, as they were a moment ago.
#[derive(Default)]
pub(super) struct Pauses {
    workspaces: BTreeSet<ResourceKey>,
    read: Option<Instant>,
}

impl<P: CloudProvider> Project<P> {
    /// Whether a resource is to be left alone, and what its condition says then.
    pub(super) async fn paused(&mut self, key: &ResourceKey) -> StoreResult<Option<Note>> {
        let Some(workspace) = key.workspace_key() else { return Ok(None) };
        let interval = self.shared.settings.scan_interval;
        if self.pauses.read.is_none_or(|read| read.elapsed() >= interval) {
            let paused = self.shared.store.oversight().paused().await?;
            self.pauses.workspaces = paused.into_iter().map(|paused| paused.workspace).collect();
            self.pauses.read = Some(Instant::now());
        }
        Ok(self.pauses.workspaces.contains(&workspace).then(|| {
            let name = &workspace.name;
            Note::new(
                Reason::Paused,
                format!("workspace {name} is paused by an operator; work goes on when it is resumed"),
            )
        }))
    }
}
