//! Networks. Parallel changes of one network are refused with `conflict`.

use ipnet::Ipv4Net;

use crate::error::Error;
use crate::project::{ListFilter, Mutated, ProjectClient};
use crate::types::{Action, AddSubnet, CreateNetwork, Id, IpRange, Network, Route, UpdateNetwork};

impl ProjectClient {
    /// Networks, all pages.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_networks(&self, filter: &ListFilter) -> Result<Vec<Network>, Error> {
        self.list("/networks", filter.query()).await
    }

    /// One network.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_network(&self, id: Id<Network>) -> Result<Network, Error> {
        self.get(format!("/networks/{id}")).await
    }

    /// Makes a network. Subnets and routes come along in the one call, done when it answers.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_network(&self, body: &CreateNetwork) -> Result<Mutated<Network>, Error> {
        self.create("/networks".to_owned(), body).await
    }

    /// Changes a network; labels are replaced as a whole.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn update_network(&self, id: Id<Network>, body: &UpdateNetwork) -> Result<Network, Error> {
        self.update(format!("/networks/{id}"), body).await
    }

    /// Deletes a network. Resources in it are detached.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_network(&self, id: Id<Network>) -> Result<(), Error> {
        self.delete(format!("/networks/{id}")).await
    }

    /// Adds a subnet.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn add_subnet(&self, id: Id<Network>, body: &AddSubnet) -> Result<Action, Error> {
        self.act(format!("/networks/{id}/actions/add_subnet"), body).await
    }

    /// Deletes the subnet of this range; nothing may be attached to it.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_subnet(&self, id: Id<Network>, ip_range: Ipv4Net) -> Result<Action, Error> {
        self.act(format!("/networks/{id}/actions/delete_subnet"), &IpRange { ip_range }).await
    }

    /// Adds a route.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn add_route(&self, id: Id<Network>, route: &Route) -> Result<Action, Error> {
        self.act(format!("/networks/{id}/actions/add_route"), route).await
    }

    /// Deletes a route.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_route(&self, id: Id<Network>, route: &Route) -> Result<Action, Error> {
        self.act(format!("/networks/{id}/actions/delete_route"), route).await
    }

    /// Extends the range; its base address stays.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn change_ip_range(&self, id: Id<Network>, ip_range: Ipv4Net) -> Result<Action, Error> {
        self.act(format!("/networks/{id}/actions/change_ip_range"), &IpRange { ip_range }).await
    }
}
