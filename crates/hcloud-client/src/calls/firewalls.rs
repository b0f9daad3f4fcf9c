//! Firewalls.

use crate::error::Error;
use crate::project::{ListFilter, Mutated, ProjectClient};
use crate::types::{
    Action, ApplyTo, CreateFirewall, Firewall, FirewallResource, FirewallRule, Id, RemoveFrom, SetRules, UpdateFirewall,
};

impl ProjectClient {
    /// Firewalls, all pages.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn list_firewalls(&self, filter: &ListFilter) -> Result<Vec<Firewall>, Error> {
        self.list("/firewalls", filter.query()).await
    }

    /// One firewall.
    ///
    /// # Errors
    /// As of any read; see [`Error::class`].
    pub async fn get_firewall(&self, id: Id<Firewall>) -> Result<Firewall, Error> {
        self.get(format!("/firewalls/{id}")).await
    }

    /// Makes a firewall.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn create_firewall(&self, body: &CreateFirewall) -> Result<Mutated<Firewall>, Error> {
        self.create("/firewalls".to_owned(), body).await
    }

    /// Changes a firewall; labels are replaced as a whole.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn update_firewall(&self, id: Id<Firewall>, body: &UpdateFirewall) -> Result<Firewall, Error> {
        self.update(format!("/firewalls/{id}"), body).await
    }

    /// Deletes a firewall. It must not be applied to anything.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn delete_firewall(&self, id: Id<Firewall>) -> Result<(), Error> {
        self.delete(format!("/firewalls/{id}")).await
    }

    /// Replaces all rules.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn set_firewall_rules(&self, id: Id<Firewall>, rules: &[FirewallRule]) -> Result<Vec<Action>, Error> {
        self.act_many(format!("/firewalls/{id}/actions/set_rules"), &SetRules { rules: rules.to_vec() }).await
    }

    /// Applies a firewall to resources.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn apply_firewall(&self, id: Id<Firewall>, resources: &[FirewallResource]) -> Result<Vec<Action>, Error> {
        self.act_many(format!("/firewalls/{id}/actions/apply_to_resources"), &ApplyTo { apply_to: resources.to_vec() })
            .await
    }

    /// Removes a firewall from resources.
    ///
    /// # Errors
    /// As of any change; see [`Error::class`].
    pub async fn remove_firewall(
        &self,
        id: Id<Firewall>,
        resources: &[FirewallResource],
    ) -> Result<Vec<Action>, Error> {
        self.act_many(
            format!("/firewalls/{id}/actions/remove_from_resources"),
            &RemoveFrom { remove_from: resources.to_vec() },
        )
        .await
    }
}
