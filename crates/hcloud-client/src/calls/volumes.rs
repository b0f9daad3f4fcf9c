//! Volumes.

use crate::error::Error;
use crate::project::{ListFilter, Mutated, ProjectClient, Query};
use crate::types::{Action, AttachVolume, CreateVolume, Id, ResizeVolume, UpdateVolume, Volume};

impl ProjectClient {
    /// Volumes, all pages.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_volumes(&self, filter: &ListFilter) -> Result<Vec<Volume>, Error> {
        self.list("/volumes", filter.query()).await
    }

    /// One volume.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_volume(&self, id: Id<Volume>) -> Result<Volume, Error> {
        self.get(format!("/volumes/{id}")).await
    }

    /// Makes a volume.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_volume(&self, body: &CreateVolume) -> Result<Mutated<Volume>, Error> {
        self.create("/volumes".to_owned(), body).await
    }

    /// Changes a volume; labels are replaced as a whole.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn update_volume(&self, id: Id<Volume>, body: &UpdateVolume) -> Result<Volume, Error> {
        self.update(format!("/volumes/{id}"), body).await
    }

    /// Deletes a volume. It must be detached and unprotected.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_volume(&self, id: Id<Volume>) -> Result<(), Error> {
        self.delete(format!("/volumes/{id}")).await
    }

    /// The actions of a volume, oldest first: whether it was ever attached, whoever did it.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_volume_actions(&self, id: Id<Volume>) -> Result<Vec<Action>, Error> {
        self.list(&format!("/volumes/{id}/actions"), Query::new()).await
    }

    /// Attaches a volume to a server of its location.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn attach_volume(&self, id: Id<Volume>, body: &AttachVolume) -> Result<Action, Error> {
        self.act(format!("/volumes/{id}/actions/attach"), body).await
    }

    /// Detaches a volume; unmount it in the guest first, or data may be lost.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn detach_volume(&self, id: Id<Volume>) -> Result<Action, Error> {
        self.act_bare(format!("/volumes/{id}/actions/detach")).await
    }

    /// Grows a volume to `size` GB; it never shrinks.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn resize_volume(&self, id: Id<Volume>, size: u64) -> Result<Action, Error> {
        self.act(format!("/volumes/{id}/actions/resize"), &ResizeVolume { size }).await
    }
}
