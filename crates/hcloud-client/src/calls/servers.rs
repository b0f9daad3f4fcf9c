//! Servers. One change at a time per server: others are refused with `locked`.

use http::Method;

use crate::error::Error;
use crate::project::{ListFilter, Mutated, ProjectClient, Query};
use crate::types::{
    Action, AddToPlacementGroup, AttachToNetwork, ChangeAliasIps, ChangeType, CreateImage, CreateServer,
    DetachFromNetwork, Id, Image, Network, PlacementGroup, Resource, Server, UpdateServer,
};

impl ProjectClient {
    /// Servers, all pages.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_servers(&self, filter: &ListFilter) -> Result<Vec<Server>, Error> {
        self.list("/servers", filter.query()).await
    }

    /// One server.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_server(&self, id: Id<Server>) -> Result<Server, Error> {
        self.get(format!("/servers/{id}")).await
    }

    /// Makes a server. Wait for `action` and all `next_actions` before the next change of it.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_server(&self, body: &CreateServer) -> Result<Mutated<Server>, Error> {
        self.create("/servers".to_owned(), body).await
    }

    /// Changes a server; labels are replaced as a whole.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn update_server(&self, id: Id<Server>, body: &UpdateServer) -> Result<Server, Error> {
        self.update(format!("/servers/{id}"), body).await
    }

    /// Deletes a server: volumes, addresses, firewalls, networks and group let go of it by themselves.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_server(&self, id: Id<Server>) -> Result<Action, Error> {
        let answer = self.change::<()>(Method::DELETE, format!("/servers/{id}"), None).await?;
        answer.required(&answer.envelope()?, Action::SINGULAR)
    }

    /// The actions of a server, oldest first: what became of a power action whose answer was lost.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_server_actions(&self, id: Id<Server>) -> Result<Vec<Action>, Error> {
        self.list(&format!("/servers/{id}/actions"), Query::new()).await
    }

    /// Powers a server on.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn power_on(&self, id: Id<Server>) -> Result<Action, Error> {
        self.act_bare(format!("/servers/{id}/actions/poweron")).await
    }

    /// Cuts the power.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn power_off(&self, id: Id<Server>) -> Result<Action, Error> {
        self.act_bare(format!("/servers/{id}/actions/poweroff")).await
    }

    /// Asks the guest to shut down (ACPI). Success of the action does not mean that it is off.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn shutdown(&self, id: Id<Server>) -> Result<Action, Error> {
        self.act_bare(format!("/servers/{id}/actions/shutdown")).await
    }

    /// Asks the guest to reboot (ACPI).
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn reboot(&self, id: Id<Server>) -> Result<Action, Error> {
        self.act_bare(format!("/servers/{id}/actions/reboot")).await
    }

    /// Cuts the power and turns it on again.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn reset(&self, id: Id<Server>) -> Result<Action, Error> {
        self.act_bare(format!("/servers/{id}/actions/reset")).await
    }

    /// Changes the type of a server that is off.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn change_server_type(&self, id: Id<Server>, body: &ChangeType) -> Result<Action, Error> {
        self.act(format!("/servers/{id}/actions/change_type"), body).await
    }

    /// Makes an image of a server's disk.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_image(&self, id: Id<Server>, body: &CreateImage) -> Result<Mutated<Image>, Error> {
        self.create(format!("/servers/{id}/actions/create_image"), body).await
    }

    /// Attaches a server to a network.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn attach_to_network(&self, id: Id<Server>, body: &AttachToNetwork) -> Result<Action, Error> {
        self.act(format!("/servers/{id}/actions/attach_to_network"), body).await
    }

    /// Detaches a server from a network.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn detach_from_network(&self, id: Id<Server>, network: Id<Network>) -> Result<Action, Error> {
        self.act(format!("/servers/{id}/actions/detach_from_network"), &DetachFromNetwork { network }).await
    }

    /// Replaces all alias addresses of a server in a network.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn change_alias_ips(&self, id: Id<Server>, body: &ChangeAliasIps) -> Result<Action, Error> {
        self.act(format!("/servers/{id}/actions/change_alias_ips"), body).await
    }

    /// Adds a server that is off to a placement group.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn add_to_placement_group(&self, id: Id<Server>, group: Id<PlacementGroup>) -> Result<Action, Error> {
        self.act(
            format!("/servers/{id}/actions/add_to_placement_group"),
            &AddToPlacementGroup { placement_group: group },
        )
        .await
    }

    /// Takes a server out of its placement group.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn remove_from_placement_group(&self, id: Id<Server>) -> Result<Action, Error> {
        self.act_bare(format!("/servers/{id}/actions/remove_from_placement_group")).await
    }
}
