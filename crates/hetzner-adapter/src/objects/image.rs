//! Snapshots: images of a project. They have no names, so that only labels tell whose one is.

use async_trait::async_trait;
use control_plane::ports::Step;
use hcloud_client::{
    Error, ImageFilter, ListFilter, ProjectClient,
    types::{Action, CreateImage, Id, Image, ImageStatus, ImageType, Labels, Server, UpdateImage},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Effect, Object, ObjectCall, ObjectId, ProviderObject, Sent};
use crate::call::{Call, Until};

/// The provider's word for taking a snapshot: a step that is never sent again while its outcome is unknown.
pub(crate) const CREATE_IMAGE: &str = "create_image";

impl ProviderObject for Image {
    const IS_NAMED: bool = false;

    fn name(&self) -> &str {
        &self.description
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        self.created
    }

    /// A server that is made from it needs a disk of this size.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are small and positive")]
    fn size_gb(&self) -> Option<u64> {
        Some(self.disk_size.ceil().max(0.0) as u64)
    }

    /// The provider remembers a deleted one for the servers that were made from it.
    fn is_gone(&self) -> bool {
        self.deleted.is_some()
    }

    fn is(&self, until: Until) -> bool {
        until != Until::Settled || self.status != ImageStatus::Creating
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        let label_selector = filter.label_selector.clone();
        let snapshots = ImageFilter { kind: Some(ImageType::Snapshot), label_selector, ..ImageFilter::default() };
        client.list_images(&snapshots).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_image(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_image(id).await.map(|()| None)
    }
}

/// What is done to snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum ImageCall {
    /// Takes a snapshot of a server's disk.
    #[serde(rename = "create_image")]
    Create { server: Id<Server>, description: String, labels: Labels },
    /// Changes whose it is.
    #[serde(rename = "update_image")]
    Update { image: Id<Image>, labels: Labels },
    #[serde(rename = "delete_image")]
    Delete { image: Id<Image> },
}

impl ImageCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }
}

#[async_trait]
impl ObjectCall for ImageCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create { .. } => CREATE_IMAGE,
            Self::Update { .. } => "update_image",
            Self::Delete { .. } => "delete_image",
        }
    }

    fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Create { .. } => None,
            Self::Update { image, .. } | Self::Delete { image } => Some(ObjectId::Image(*image)),
        }
    }

    fn sent_at(&self) -> Option<ObjectId> {
        match self {
            Self::Create { server, .. } => Some(ObjectId::Server(*server)),
            Self::Update { .. } | Self::Delete { .. } => self.object(),
        }
    }

    /// The server is locked meanwhile.
    fn holds(&self) -> Vec<ObjectId> {
        self.sent_at().into_iter().collect()
    }

    fn creates(&self) -> Option<(&str, &Labels)> {
        match self {
            Self::Create { description, labels, .. } => Some((description, labels)),
            Self::Update { .. } | Self::Delete { .. } => None,
        }
    }

    fn judge(&self, object: &Object, _acted: bool) -> Effect {
        match (self, object) {
            (Self::Update { labels, .. }, Object::Image(image)) if image.labels != *labels => {
                Effect::NotYet(0, "The snapshot does not bear its new labels yet.")
            }
            _ => Effect::seen(),
        }
    }

    fn is_removal(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }

    async fn send(&self, client: &ProjectClient, _secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create { server, description, labels } => {
                let kind = Some(ImageType::Snapshot);
                let body = CreateImage { description: Some(description.clone()), kind, labels: labels.clone() };
                Sent::made(client.create_image(*server, &body).await?)
            }
            Self::Update { image, labels } => {
                let body = UpdateImage { labels: Some(labels.clone()), ..UpdateImage::default() };
                Sent::object(client.update_image(*image, &body).await?)
            }
            Self::Delete { .. } => Sent::default(),
        })
    }
}
