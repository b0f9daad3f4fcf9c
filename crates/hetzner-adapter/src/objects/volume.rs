//! Volumes.

use async_trait::async_trait;
use control_plane::ports::Step;
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{Action, AttachVolume, CreateVolume, Id, Labels, Server, Volume, VolumeStatus},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Effect, Object, ObjectCall, ObjectId, Objects, ProviderObject, Sent};
use crate::call::{Call, Until};

impl ProviderObject for Volume {
    const MADE_BY: Option<&'static str> = Some("create_volume");
    /// The provider's words for what is done to a volume that is, or was, attached.
    const USED_BY: &'static [&'static str] = &["attach_volume", "detach_volume"];
    const BEGUN_BY: &'static [&'static str] = &["attach_volume"];

    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        Some(self.created)
    }

    fn size_gb(&self) -> Option<u64> {
        Some(self.size)
    }

    fn location(&self) -> Option<&str> {
        Some(&self.location.name)
    }

    fn server(&self) -> Option<i64> {
        self.server.map(Id::get)
    }

    fn is(&self, until: Until) -> bool {
        match until {
            Until::Settled => self.status != VolumeStatus::Creating,
            Until::Free => self.server.is_none(),
            _ => true,
        }
    }

    fn seen(&self, others: &mut Objects) {
        attach_in(others, self.id, self.server);
    }

    fn gone(id: Id<Self>, others: &mut Objects) {
        attach_in(others, id, None);
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        client.list_volumes(filter).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_volume(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_volume(id).await.map(|()| None)
    }

    async fn actions(client: &ProjectClient, id: Id<Self>) -> Result<Vec<Action>, Error> {
        client.list_volume_actions(id).await
    }
}

/// A volume is on this server and on no other.
fn attach_in(others: &mut Objects, id: Id<Volume>, to: Option<Id<Server>>) {
    for server in others.servers.values_mut() {
        let is_here = to == Some(server.id);
        if is_here && !server.volumes.contains(&id) {
            server.volumes.push(id);
        }
        server.volumes.retain(|volume| is_here || *volume != id);
    }
}

/// What is done to volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum VolumeCall {
    #[serde(rename = "create_volume")]
    Create(Box<CreateVolume>),
    #[serde(rename = "resize_volume")]
    Resize { volume: Id<Volume>, size: u64 },
    /// Attaches it as it is: nothing mounts it.
    #[serde(rename = "attach_volume")]
    Attach { volume: Id<Volume>, server: Id<Server> },
    /// From the server that it is on.
    #[serde(rename = "detach_volume")]
    Detach { volume: Id<Volume>, server: Id<Server> },
    #[serde(rename = "delete_volume")]
    Delete { volume: Id<Volume> },
}

impl VolumeCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }
}

#[async_trait]
impl ObjectCall for VolumeCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_volume",
            Self::Resize { .. } => "resize_volume",
            Self::Attach { .. } => "attach_volume",
            Self::Detach { .. } => "detach_volume",
            Self::Delete { .. } => "delete_volume",
        }
    }

    fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::Resize { volume, .. }
            | Self::Attach { volume, .. }
            | Self::Detach { volume, .. }
            | Self::Delete { volume } => Some(ObjectId::Volume(*volume)),
        }
    }

    fn names(&self) -> Vec<ObjectId> {
        match self {
            Self::Attach { server, .. } | Self::Detach { server, .. } => vec![ObjectId::Server(*server)],
            _ => Vec::new(),
        }
    }

    fn holds(&self) -> Vec<ObjectId> {
        self.object().into_iter().chain(self.names()).collect()
    }

    fn creates(&self) -> Option<(&str, &Labels)> {
        match self {
            Self::Create(body) => Some((&body.name, &body.labels)),
            _ => None,
        }
    }

    fn is_removal(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }

    fn is_ending(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::Detach { .. })
    }

    fn sets(&self) -> Option<(String, String)> {
        match self {
            Self::Attach { volume, server } => Some((format!("volume:{volume}"), server.to_string())),
            Self::Detach { volume, .. } => Some((format!("volume:{volume}"), "free".to_owned())),
            _ => None,
        }
    }

    fn is_rechecked(&self) -> bool {
        matches!(self, Self::Attach { .. } | Self::Detach { .. })
    }

    fn is_refuted_by(&self, object: &Object) -> bool {
        match (self, object) {
            (Self::Attach { server, .. } | Self::Detach { server, .. }, Object::Volume(volume)) => {
                volume.server.is_some_and(|other| other != *server)
            }
            _ => false,
        }
    }

    fn judge(&self, object: &Object, _acted: bool) -> Effect {
        let Object::Volume(volume) = object else { return Effect::seen() };
        match self {
            Self::Resize { size, .. } => {
                Effect::when(volume.size >= *size, "The volume does not have its new size yet.")
            }
            Self::Attach { server, .. } => {
                Effect::when(volume.server == Some(*server), "The volume is not attached to its server yet.")
            }
            Self::Detach { server, .. } => {
                Effect::when(volume.server != Some(*server), "The volume is still attached to the server.")
            }
            Self::Create(_) | Self::Delete { .. } => Effect::seen(),
        }
    }

    fn is_foretold(&self) -> bool {
        matches!(self, Self::Resize { .. } | Self::Attach { .. } | Self::Detach { .. })
    }

    fn foretell(&self, object: &mut Object) {
        let Object::Volume(volume) = object else { return };
        match self {
            Self::Resize { size, .. } => volume.size = *size,
            Self::Attach { server, .. } => volume.server = Some(*server),
            Self::Detach { .. } => volume.server = None,
            Self::Create(_) | Self::Delete { .. } => {}
        }
    }

    async fn send(&self, client: &ProjectClient, _secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create(body) => Sent::made(client.create_volume(body).await?),
            Self::Resize { volume, size } => Sent::action(client.resize_volume(*volume, *size).await?),
            Self::Attach { volume, server } => {
                let body = AttachVolume { server: *server, automount: Some(false) };
                Sent::action(client.attach_volume(*volume, &body).await?)
            }
            Self::Detach { volume, .. } => Sent::action(client.detach_volume(*volume).await?),
            Self::Delete { .. } => Sent::default(),
        })
    }
}
