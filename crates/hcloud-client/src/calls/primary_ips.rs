//! Primary IPs.

use crate::error::Error;
use crate::project::{ListFilter, Mutated, ProjectClient};
use crate::types::{Action, AssignPrimaryIp, AssigneeType, CreatePrimaryIp, Id, PrimaryIp, Server, UpdatePrimaryIp};

impl ProjectClient {
    /// Primary IPs, all pages.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_primary_ips(&self, filter: &ListFilter) -> Result<Vec<PrimaryIp>, Error> {
        self.list("/primary_ips", filter.query()).await
    }

    /// One primary IP.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_primary_ip(&self, id: Id<PrimaryIp>) -> Result<PrimaryIp, Error> {
        self.get(format!("/primary_ips/{id}")).await
    }

    /// Makes a primary IP.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_primary_ip(&self, body: &CreatePrimaryIp) -> Result<Mutated<PrimaryIp>, Error> {
        self.create("/primary_ips".to_owned(), body).await
    }

    /// Changes a primary IP; labels are replaced as a whole.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn update_primary_ip(&self, id: Id<PrimaryIp>, body: &UpdatePrimaryIp) -> Result<PrimaryIp, Error> {
        self.update(format!("/primary_ips/{id}"), body).await
    }

    /// Deletes a primary IP. It must be unassigned (since 2026-05-01).
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_primary_ip(&self, id: Id<PrimaryIp>) -> Result<(), Error> {
        self.delete(format!("/primary_ips/{id}")).await
    }

    /// Assigns a primary IP to a server that is off.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn assign_primary_ip(&self, id: Id<PrimaryIp>, server: Id<Server>) -> Result<Action, Error> {
        self.act(
            format!("/primary_ips/{id}/actions/assign"),
            &AssignPrimaryIp { assignee_type: AssigneeType::Server, assignee_id: server.get() },
        )
        .await
    }

    /// Takes a primary IP from its server, which must be off.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn unassign_primary_ip(&self, id: Id<PrimaryIp>) -> Result<Action, Error> {
        self.act_bare(format!("/primary_ips/{id}/actions/unassign")).await
    }
}
