//! Firewalls.

use async_trait::async_trait;
use control_plane::ports::Step;
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{Action, CreateFirewall, Firewall, FirewallResource, FirewallRule, FirewallTarget, Id, Labels, Server},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Effect, Object, ObjectCall, ObjectId, Objects, ProviderObject, Sent, has_firewall};
use crate::{call::Call, naming};

impl ProviderObject for Firewall {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        Some(self.created)
    }

    /// Whether anything is behind it.
    fn is_used(&self, objects: &Objects) -> bool {
        objects.servers.values().any(|server| has_firewall(server, self.id)) || !self.applied_to.is_empty()
    }

    /// It names every server that it stands before, but for those that a selector matches. Whether it is in force
    /// there, only the server tells.
    fn seen(&self, others: &mut Objects) {
        if self.applied_to.iter().any(|target| target.kind != FirewallTarget::Server) {
            return;
        }
        let names = |id| self.applied_to.iter().any(|target| target.server.is_some_and(|server| server.id == id));
        for server in others.servers.values_mut().filter(|server| !names(server.id)) {
            server.public_net.firewalls.retain(|applied| applied.id != self.id);
        }
    }

    fn gone(id: Id<Self>, others: &mut Objects) {
        for server in others.servers.values_mut() {
            server.public_net.firewalls.retain(|applied| applied.id != id);
        }
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        client.list_firewalls(filter).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_firewall(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_firewall(id).await.map(|()| None)
    }
}

/// What is done to firewalls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum FirewallCall {
    #[serde(rename = "create_firewall")]
    Create(Box<CreateFirewall>),
    /// All rules: those and no others.
    #[serde(rename = "set_firewall_rules")]
    SetRules { firewall: Id<Firewall>, rules: Vec<FirewallRule> },
    /// Puts it before a server.
    #[serde(rename = "apply_firewall")]
    Apply { firewall: Id<Firewall>, server: Id<Server> },
    /// Takes it from a server.
    #[serde(rename = "remove_firewall")]
    Remove { firewall: Id<Firewall>, server: Id<Server> },
    #[serde(rename = "delete_firewall")]
    Delete { firewall: Id<Firewall> },
}

impl FirewallCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }
}

#[async_trait]
impl ObjectCall for FirewallCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_firewall",
            Self::SetRules { .. } => "set_firewall_rules",
            Self::Apply { .. } => "apply_firewall",
            Self::Remove { .. } => "remove_firewall",
            Self::Delete { .. } => "delete_firewall",
        }
    }

    /// Where a firewall stands and whether it is in force, the server tells.
    fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::Apply { server, .. } | Self::Remove { server, .. } => Some(ObjectId::Server(*server)),
            Self::SetRules { firewall, .. } | Self::Delete { firewall } => Some(ObjectId::Firewall(*firewall)),
        }
    }

    fn sent_at(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::SetRules { firewall, .. }
            | Self::Apply { firewall, .. }
            | Self::Remove { firewall, .. }
            | Self::Delete { firewall } => Some(ObjectId::Firewall(*firewall)),
        }
    }

    fn holds(&self) -> Vec<ObjectId> {
        match self {
            Self::Apply { firewall, server } | Self::Remove { firewall, server } => {
                vec![ObjectId::Server(*server), ObjectId::Firewall(*firewall)]
            }
            _ => self.object().into_iter().collect(),
        }
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
        matches!(self, Self::Delete { .. } | Self::Remove { .. })
    }

    fn sets(&self) -> Option<(String, String)> {
        match self {
            Self::SetRules { firewall, rules } => {
                let rules = serde_json::to_string(rules).unwrap_or_default();
                Some((format!("rules:{firewall}"), naming::hash(&rules, 26)))
            }
            Self::Apply { firewall, server } => Some((format!("firewall:{firewall}:{server}"), "on".to_owned())),
            Self::Remove { firewall, server } => Some((format!("firewall:{firewall}:{server}"), "off".to_owned())),
            Self::Create(_) | Self::Delete { .. } => None,
        }
    }

    fn is_rechecked(&self) -> bool {
        matches!(self, Self::Apply { .. } | Self::Remove { .. })
    }

    fn judge(&self, object: &Object, _acted: bool) -> Effect {
        match (self, object) {
            (Self::SetRules { rules, .. }, Object::Firewall(firewall)) => {
                Effect::when(firewall.has_rules(rules), "The firewall does not have its rules yet.")
            }
            (Self::Apply { firewall, .. }, Object::Server(server)) => {
                Effect::when(has_firewall(server, *firewall), "The server is not behind the firewall yet.")
            }
            (Self::Remove { firewall, .. }, Object::Server(server)) => {
                Effect::when(!has_firewall(server, *firewall), "The server is still behind the firewall.")
            }
            _ => Effect::seen(),
        }
    }

    /// Whether a firewall is in force that was put before a server, the server tells.
    fn is_foretold(&self) -> bool {
        matches!(self, Self::SetRules { .. } | Self::Remove { .. })
    }

    fn foretell(&self, object: &mut Object) {
        match (self, object) {
            (Self::SetRules { rules, .. }, Object::Firewall(firewall)) => firewall.rules.clone_from(rules),
            (Self::Remove { firewall, .. }, Object::Server(server)) => {
                server.public_net.firewalls.retain(|applied| applied.id != *firewall);
            }
            _ => {}
        }
    }

    async fn send(&self, client: &ProjectClient, _secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create(body) => {
                let made = client.create_firewall(body).await?;
                match body.apply_to.is_empty() {
                    // Its actions put the rules on servers, and there are none yet: nothing to wait for.
                    true => Sent::object(made.resource),
                    false => Sent::made(made),
                }
            }
            Self::SetRules { firewall, rules } => Sent::actions(client.set_firewall_rules(*firewall, rules).await?),
            Self::Apply { firewall, server } => {
                Sent::actions(client.apply_firewall(*firewall, &[FirewallResource::server(*server)]).await?)
            }
            Self::Remove { firewall, server } => {
                Sent::actions(client.remove_firewall(*firewall, &[FirewallResource::server(*server)]).await?)
            }
            Self::Delete { .. } => Sent::default(),
        })
    }
}
