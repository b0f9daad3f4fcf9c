//! What the provider offers: locations, server types, images. Changes rarely; keep it for an hour.

use crate::error::Error;
use crate::project::{ProjectClient, Query};
use crate::types::{Architecture, Id, Image, ImageStatus, ImageType, Location, Server, ServerType, UpdateImage};

/// Which images are wanted. The default is all that are not deprecated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFilter {
    /// Kind.
    pub kind: Option<ImageType>,
    /// Status.
    pub status: Option<ImageStatus>,
    /// Instruction set.
    pub architecture: Option<Architecture>,
    /// Exact name.
    pub name: Option<String>,
    /// Label selector.
    pub label_selector: Option<String>,
    /// Backups of this server.
    pub bound_to: Option<Id<Server>>,
    /// Deprecated ones too.
    pub include_deprecated: bool,
}

impl ImageFilter {
    /// The provider's own images.
    #[must_use]
    pub fn system() -> Self {
        Self { kind: Some(ImageType::System), ..Self::default() }
    }

    /// Snapshots that a label selector matches.
    #[must_use]
    pub fn snapshots(label_selector: impl Into<String>) -> Self {
        Self { kind: Some(ImageType::Snapshot), label_selector: Some(label_selector.into()), ..Self::default() }
    }

    pub(crate) fn query(&self) -> Query {
        let text = |name: &str, value: Option<&str>| Some((name.to_owned(), value?.to_owned()));
        let bound_to = self.bound_to.map(|id| id.to_string());
        [
            text("type", self.kind.as_ref().map(ImageType::as_str)),
            text("status", self.status.as_ref().map(ImageStatus::as_str)),
            text("architecture", self.architecture.as_ref().map(Architecture::as_str)),
            text("name", self.name.as_deref()),
            text("label_selector", self.label_selector.as_deref()),
            text("bound_to", bound_to.as_deref()),
            text("include_deprecated", self.include_deprecated.then_some("true")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl ProjectClient {
    /// All locations.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_locations(&self) -> Result<Vec<Location>, Error> {
        self.list("/locations", Query::new()).await
    }

    /// All server types.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_server_types(&self) -> Result<Vec<ServerType>, Error> {
        self.list("/server_types", Query::new()).await
    }

    /// Images.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_images(&self, filter: &ImageFilter) -> Result<Vec<Image>, Error> {
        self.list("/images", filter.query()).await
    }

    /// One image.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_image(&self, id: Id<Image>) -> Result<Image, Error> {
        self.get(format!("/images/{id}")).await
    }

    /// Changes description and labels of a snapshot or backup.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn update_image(&self, id: Id<Image>, body: &UpdateImage) -> Result<Image, Error> {
        self.update(format!("/images/{id}"), body).await
    }

    /// Deletes a snapshot or backup.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_image(&self, id: Id<Image>) -> Result<(), Error> {
        self.delete(format!("/images/{id}")).await
    }
}
