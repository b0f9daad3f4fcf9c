//! Placement groups: servers of one group run on different hosts. The marker of a project is one too: see `marker`.

use async_trait::async_trait;
use control_plane::ports::Step;
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{Action, CreatePlacementGroup, Id, Labels, PlacementGroup},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{ObjectCall, ObjectId, Objects, ProviderObject, Sent};
use crate::call::Call;

impl ProviderObject for PlacementGroup {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        Some(self.created)
    }

    fn is_used(&self, objects: &Objects) -> bool {
        let is_in = |group: &PlacementGroup| group.id == self.id;
        !self.servers.is_empty() || objects.servers.values().any(|s| s.placement_group.as_ref().is_some_and(is_in))
    }

    fn seen(&self, others: &mut Objects) {
        for server in others.servers.values_mut() {
            match self.servers.contains(&server.id) {
                true => server.placement_group = Some(self.clone()),
                false => server.placement_group = server.placement_group.take().filter(|group| group.id != self.id),
            }
        }
    }

    fn gone(id: Id<Self>, others: &mut Objects) {
        for server in others.servers.values_mut() {
            server.placement_group = server.placement_group.take().filter(|group| group.id != id);
        }
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        client.list_placement_groups(filter).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_placement_group(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_placement_group(id).await.map(|()| None)
    }
}

/// What is done to placement groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum PlacementGroupCall {
    #[serde(rename = "create_placement_group")]
    Create(Box<CreatePlacementGroup>),
    #[serde(rename = "delete_placement_group")]
    Delete { placement_group: Id<PlacementGroup> },
}

impl PlacementGroupCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }
}

#[async_trait]
impl ObjectCall for PlacementGroupCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_placement_group",
            Self::Delete { .. } => "delete_placement_group",
        }
    }

    fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::Delete { placement_group } => Some(ObjectId::PlacementGroup(*placement_group)),
        }
    }

    fn creates(&self) -> Option<(&str, &Labels)> {
        match self {
            Self::Create(body) => Some((&body.name, &body.labels)),
            Self::Delete { .. } => None,
        }
    }

    fn is_removal(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }

    async fn send(&self, client: &ProjectClient, _secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create(body) => Sent::made(client.create_placement_group(body).await?),
            Self::Delete { .. } => Sent::default(),
        })
    }
}
