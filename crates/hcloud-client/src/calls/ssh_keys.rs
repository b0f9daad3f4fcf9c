//! SSH keys. All calls are done when they answer.

use crate::error::Error;
use crate::project::{ListFilter, Mutated, ProjectClient};
use crate::types::{CreateSshKey, Id, SshKey};

impl ProjectClient {
    /// SSH keys, all pages.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_ssh_keys(&self, filter: &ListFilter) -> Result<Vec<SshKey>, Error> {
        self.list("/ssh_keys", filter.query()).await
    }

    /// One SSH key.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_ssh_key(&self, id: Id<SshKey>) -> Result<SshKey, Error> {
        self.get(format!("/ssh_keys/{id}")).await
    }

    /// Makes an SSH key.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_ssh_key(&self, body: &CreateSshKey) -> Result<Mutated<SshKey>, Error> {
        self.create("/ssh_keys".to_owned(), body).await
    }

    /// Deletes an SSH key.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_ssh_key(&self, id: Id<SshKey>) -> Result<(), Error> {
        self.delete(format!("/ssh_keys/{id}")).await
    }
}
