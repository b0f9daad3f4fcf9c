//! What going on would do in a paused project: every resource is planned against the project as it is now, and nothing
//! is done.
//!
//! A database that was restored from a backup believes in a past. Before an operator says that it rules all the same, it
//! shows what it would delete and change.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use seca_api::{ResourceState, Timestamp};
use serde::Serialize;
use url::Url;

use super::epoch::above;
use crate::{
    catalog::Catalog,
    ports::{
        Access, Bundle, Clock, CloudProvider, Desired, Epoch, Marker, OrphanOrder, OwnedObject, Plan, ProjectEpoch,
        Rng, Store, StoreResult, Vault,
    },
    resource::{ProjectId, Uid},
    service::seal_context,
};

/// What is needed to look.
pub struct AdoptionParts<P> {
    /// Storage.
    pub store: Arc<dyn Store>,
    /// The cloud; it is only read.
    pub provider: Arc<P>,
    /// Opens tokens.
    pub vault: Arc<dyn Vault>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Nonces.
    pub rng: Arc<dyn Rng>,
    /// The catalogue to plan with.
    pub catalog: Catalog,
    /// The provider's endpoint where a binding names none.
    pub default_endpoint: Url,
    /// How long a graceful stop may take before the power is cut.
    pub stop_grace: Duration,
}

/// A paused project, and what going on would do in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// The project.
    pub project: ProjectId,
    /// Why it is paused.
    pub paused: String,
    /// The epoch of this database.
    pub epoch: i64,
    /// The epoch on the marker; none when there is no marker, or no epoch on it.
    pub marker_epoch: Option<i64>,
    /// What would be deleted or changed, resources first.
    pub consequences: Vec<Consequence>,
    /// Why that cannot be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The epoch with which this database goes on; none when the marker could not be read.
    #[serde(skip)]
    pub next: Option<Epoch>,
}

/// One thing that going on would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consequence {
    /// What it does to.
    pub subject: String,
    /// `call`, `sweep` (an object that a deleted resource left), `forget` (a row that leaves), `error` (a resource that
    /// fails), `wait`.
    pub does: Does,
    /// What exactly: the provider's call and its object, or a sentence.
    pub what: String,
}

/// What going on does to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Does {
    /// A call to the provider that changes something.
    Call,
    /// Something is deleted at the provider that a deleted resource left.
    Sweep,
    /// The row of a deleted resource leaves.
    Forget,
    /// The resource fails.
    Error,
    /// It waits for something else and may act after that.
    Wait,
}

impl Does {
    /// The word for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Sweep => "sweep",
            Self::Forget => "forget",
            Self::Error => "error",
            Self::Wait => "wait",
        }
    }
}

impl<P: CloudProvider> AdoptionParts<P> {
    /// The paused projects, each with what going on would do in it.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn look(&self) -> StoreResult<Vec<Adoption>> {
        let installation = self.store.installation().await?;
        let mut adoptions = Vec::new();
        for (project, epoch) in self.store.oversight().paused_projects().await? {
            adoptions.push(self.look_at(project, epoch, &installation).await?);
        }
        Ok(adoptions)
    }

    /// Goes on with a project; false when it is not paused any more.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn adopt(&self, project: &ProjectId, epoch: &Epoch) -> StoreResult<bool> {
        self.store.oversight().resume_project(project, epoch).await
    }

    async fn look_at(&self, project: ProjectId, epoch: ProjectEpoch, installation: &str) -> StoreResult<Adoption> {
        let mut adoption = Adoption {
            paused: epoch.paused.clone().unwrap_or_default(),
            epoch: epoch.current.number,
            marker_epoch: None,
            consequences: Vec::new(),
            problem: None,
            next: None,
            project,
        };
        let Some(access) = self.access(&adoption.project).await? else {
            adoption.problem =
                Some("no workspace of it has a token that can be opened; bind one, or give the key".into());
            return Ok(adoption);
        };
        let read = async {
            let snapshot = self.provider.observe(&access).await?;
            let marker = match self.provider.marker(&snapshot, installation) {
                None => self.provider.read_marker(&access, installation).await?,
                listed => listed,
            };
            Ok::<_, crate::ports::CloudError>((snapshot, marker))
        };
        let (snapshot, marker) = match read.await {
            Ok(read) => read,
            Err(error) => {
                adoption.problem = Some(error.to_string());
                return Ok(adoption);
            }
        };
        if let Some(other) =
            marker.as_ref().and_then(|m| m.project.as_ref()).filter(|named| **named != adoption.project)
        {
            adoption.problem = Some(format!("its token opens project {other}; bind a token of the right one"));
            return Ok(adoption);
        }
        let seen = marker.and_then(|marker: Marker| marker.epoch);
        adoption.marker_epoch = seen.as_ref().map(|epoch| epoch.number);
        // Above all that either database may have written, or may yet.
        let numbers = [Some(&epoch.current), epoch.wanted.as_ref(), seen.as_ref()];
        let highest = numbers.into_iter().flatten().map(|epoch| epoch.number).max().unwrap_or_default();
        adoption.next = Some(above(highest, self.rng.as_ref()));
        for uid in self.store.project_uids(&adoption.project).await? {
            if let Some(bundle) = self.store.bundle(uid).await? {
                adoption.consequences.extend(self.consequence(&bundle, &snapshot, installation, self.clock.now()));
            }
        }
        adoption.consequences.extend(self.swept(&adoption.project, &snapshot, installation).await?);
        Ok(adoption)
    }

    fn consequence(
        &self,
        bundle: &Bundle,
        snapshot: &P::Snapshot,
        installation: &str,
        now: Timestamp,
    ) -> Option<Consequence> {
        let desired = Desired { bundle, catalog: &self.catalog, installation, stop_grace: self.stop_grace };
        let planned = self.provider.plan(&desired, snapshot, now);
        let resource = &bundle.resource;
        let said = planned.note.map(|note| note.message);
        let (does, what) = match planned.plan {
            Plan::Act(step) if step.reads => (Does::Wait, said.unwrap_or_else(|| step.operation.clone())),
            Plan::Act(step) => (Does::Call, format!("{} {}", step.operation, step.target)),
            Plan::Tie(_) => (Does::Wait, "notes in the database what it uses, and acts after that".to_owned()),
            Plan::Fail => (Does::Error, said.unwrap_or_default()),
            Plan::Nothing if resource.is_deleting() => (Does::Forget, "it is deleted, and its row leaves".to_owned()),
            Plan::Wait { .. } if resource.is_deleting() => (
                Does::Wait,
                said.map_or_else(|| "it is deleted later".to_owned(), |said| format!("it is deleted later: {said}")),
            ),
            Plan::Wait { .. } if resource.state != ResourceState::Active => (Does::Wait, said.unwrap_or_default()),
            Plan::Nothing | Plan::Defer | Plan::Wait { .. } => return None,
        };
        Some(Consequence { subject: resource.key.to_string(), does, what })
    }

    /// What the sweep would remove, and what an operator ordered to be removed.
    async fn swept(
        &self,
        project: &ProjectId,
        snapshot: &P::Snapshot,
        installation: &str,
    ) -> StoreResult<Vec<Consequence>> {
        let objects = self.provider.owned(snapshot, installation);
        let uids: Vec<Uid> = objects.iter().filter_map(|object| object.uid).collect();
        let existing: BTreeSet<Uid> = self.store.existing(&uids).await?.into_iter().collect();
        let removed: BTreeSet<Uid> = self.store.removed(&uids).await?.into_iter().collect();
        let goes = |uid: &Uid| removed.contains(uid) && !existing.contains(uid);
        let orders = self.store.oversight().orders().await?;
        let is_ordered = |object: &OwnedObject| {
            let is_it = |order: &OrphanOrder| order.is_about(project, &object.object_type, &object.id);
            orders.iter().any(|(order, _)| order.into.is_none() && !order.refused && is_it(order))
        };
        let swept = objects.into_iter().filter_map(|object| {
            let why = match object.uid.as_ref().is_some_and(goes) {
                true => "it is deleted: its resource is gone in this database",
                false if is_ordered(&object) => "it is deleted: an operator ordered it",
                false => return None,
            };
            let subject = format!("{} {} ({})", object.object_type, object.name, object.id);
            Some(Consequence { subject, does: Does::Sweep, what: why.to_owned() })
        });
        Ok(swept.collect())
    }

    /// The newest credential of a project that opens.
    async fn access(&self, project: &ProjectId) -> StoreResult<Option<Access>> {
        let opened = self.store.project_credentials(project).await?.into_iter().find_map(|credential| {
            let endpoint = match &credential.endpoint {
                None => self.default_endpoint.clone(),
                Some(text) => text.parse().ok()?,
            };
            let token = self
                .vault
                .open(&credential.sealed, &seal_context(&credential.workspace, self.provider.identity()))
                .ok()?;
            Some(Access { project: project.clone(), endpoint, token })
        });
        Ok(opened)
    }
}
