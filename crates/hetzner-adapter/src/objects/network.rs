//! Networks, with the subnets and routes in them, which are no objects of their own.

use async_trait::async_trait;
use control_plane::{Uid, ports::Step};
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{Action, AddSubnet, CreateNetwork, Id, Labels, Network, Route, Subnet},
};
use ipnet::Ipv4Net;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Effect, Object, ObjectCall, ObjectId, Objects, ProviderObject, Sent};
use crate::{
    call::{Call, Until},
    snapshot::Change,
};

impl ProviderObject for Network {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        Some(self.created)
    }

    fn is(&self, until: Until) -> bool {
        match until {
            Until::NoSubnet(range) => overlapping(self, range).is_none(),
            Until::NoRoute(destination) => route_to(self, destination).is_none(),
            _ => true,
        }
    }

    /// The network does not tell the addresses of a server that is in it: only that one is not.
    fn seen(&self, others: &mut Objects) {
        for server in others.servers.values_mut().filter(|server| !self.servers.contains(&server.id)) {
            server.private_net.retain(|net| net.network != self.id);
        }
    }

    fn gone(id: Id<Self>, others: &mut Objects) {
        for server in others.servers.values_mut() {
            server.private_net.retain(|net| net.network != id);
        }
    }

    async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Self>, Error> {
        client.list_networks(filter).await
    }

    async fn get(client: &ProjectClient, id: Id<Self>) -> Result<Self, Error> {
        client.get_network(id).await
    }

    async fn delete(client: &ProjectClient, id: Id<Self>) -> Result<Option<Action>, Error> {
        client.delete_network(id).await.map(|()| None)
    }
}

pub(crate) fn has_subnet(network: &Network, range: Ipv4Net) -> bool {
    network.subnets.iter().any(|subnet| subnet.ip_range == Some(range))
}

/// A subnet of a network that overlaps a block.
pub(crate) fn overlapping(network: &Network, range: Ipv4Net) -> Option<Ipv4Net> {
    network.subnets.iter().filter_map(|subnet| subnet.ip_range).find(|other| overlap(*other, range))
}

/// The route of a network to a destination.
pub(crate) fn route_to(network: &Network, destination: Ipv4Net) -> Option<&Route> {
    network.routes.iter().find(|route| route.destination == destination)
}

pub(crate) fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// What is done to networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum NetworkCall {
    #[serde(rename = "create_network")]
    Create(Box<CreateNetwork>),
    #[serde(rename = "change_ip_range")]
    ChangeIpRange { network: Id<Network>, ip_range: Ipv4Net },
    #[serde(rename = "delete_network")]
    Delete { network: Id<Network> },
    #[serde(rename = "add_subnet")]
    AddSubnet {
        network: Id<Network>,
        subnet: AddSubnet,
        /// The resource that it is for.
        owner: Uid,
    },
    #[serde(rename = "delete_subnet")]
    DeleteSubnet { network: Id<Network>, ip_range: Ipv4Net },
    #[serde(rename = "add_route")]
    AddRoute { network: Id<Network>, route: Route },
    #[serde(rename = "delete_route")]
    DeleteRoute { network: Id<Network>, route: Route },
}

impl NetworkCall {
    /// The call as a step. `target` names the object for people.
    pub fn step(&self, target: impl Into<String>) -> Step {
        Call::from(self.clone()).step(target)
    }
}

#[async_trait]
impl ObjectCall for NetworkCall {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create_network",
            Self::ChangeIpRange { .. } => "change_ip_range",
            Self::Delete { .. } => "delete_network",
            Self::AddSubnet { .. } => "add_subnet",
            Self::DeleteSubnet { .. } => "delete_subnet",
            Self::AddRoute { .. } => "add_route",
            Self::DeleteRoute { .. } => "delete_route",
        }
    }

    fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Create(_) => None,
            Self::ChangeIpRange { network, .. }
            | Self::Delete { network }
            | Self::AddSubnet { network, .. }
            | Self::DeleteSubnet { network, .. }
            | Self::AddRoute { network, .. }
            | Self::DeleteRoute { network, .. } => Some(ObjectId::Network(*network)),
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
        matches!(self, Self::Delete { .. } | Self::DeleteSubnet { .. } | Self::DeleteRoute { .. })
    }

    fn is_rechecked(&self) -> bool {
        matches!(self, Self::AddSubnet { .. } | Self::AddRoute { .. })
    }

    /// The addresses of a subnet or a route may be taken: by another, or by itself, when an earlier call came through
    /// late. The plan knows which, once it sees the network as it is.
    fn is_refuted_by(&self, object: &Object) -> bool {
        match (self, object) {
            (Self::AddSubnet { subnet, .. }, Object::Network(network)) => {
                subnet.ip_range.is_some_and(|range| overlapping(network, range).is_some())
            }
            (Self::AddRoute { route, .. }, Object::Network(network)) => route_to(network, route.destination).is_some(),
            _ => false,
        }
    }

    fn judge(&self, object: &Object, _acted: bool) -> Effect {
        let Object::Network(network) = object else { return Effect::seen() };
        match self {
            Self::ChangeIpRange { ip_range, .. } => {
                Effect::when(network.ip_range == *ip_range, "The network does not have its new range yet.")
            }
            Self::AddSubnet { network: id, subnet, owner } => {
                match subnet.ip_range.filter(|range| has_subnet(network, *range)) {
                    Some(range) => Effect::Seen(Some(Change::SubnetAdded { network: *id, range, owner: *owner })),
                    None => Effect::when(false, "The subnet does not exist yet."),
                }
            }
            Self::DeleteSubnet { ip_range, .. } => {
                Effect::when(!has_subnet(network, *ip_range), "The subnet still exists.")
            }
            Self::AddRoute { route, .. } => {
                Effect::when(network.routes.contains(route), "The route does not exist yet.")
            }
            Self::DeleteRoute { route, .. } => Effect::when(!network.routes.contains(route), "The route still exists."),
            Self::Create(_) | Self::Delete { .. } => Effect::seen(),
        }
    }

    fn is_foretold(&self) -> bool {
        match self {
            // Without a range the provider chooses one.
            Self::AddSubnet { subnet, .. } => subnet.ip_range.is_some(),
            Self::DeleteSubnet { .. } | Self::AddRoute { .. } | Self::DeleteRoute { .. } => true,
            Self::Create(_) | Self::ChangeIpRange { .. } | Self::Delete { .. } => false,
        }
    }

    fn ended(&self) -> Option<Change> {
        let Self::AddSubnet { network, subnet, owner } = self else { return None };
        Some(Change::SubnetAdded { network: *network, range: subnet.ip_range?, owner: *owner })
    }

    fn foretell(&self, object: &mut Object) {
        let Object::Network(network) = object else { return };
        match self {
            Self::AddSubnet { subnet, .. } if !subnet.ip_range.is_some_and(|range| has_subnet(network, range)) => {
                network.subnets.push(Subnet {
                    kind: subnet.kind.clone(),
                    ip_range: subnet.ip_range,
                    network_zone: subnet.network_zone.clone(),
                    // Nothing asks for it.
                    gateway: None,
                    vswitch_id: subnet.vswitch_id,
                });
            }
            Self::DeleteSubnet { ip_range, .. } => network.subnets.retain(|other| other.ip_range != Some(*ip_range)),
            Self::AddRoute { route, .. } if !network.routes.contains(route) => network.routes.push(route.clone()),
            Self::DeleteRoute { route, .. } => network.routes.retain(|other| other != route),
            _ => {}
        }
    }

    async fn send(&self, client: &ProjectClient, _secret: Option<&SecretString>) -> Result<Sent, Error> {
        Ok(match self {
            Self::Create(body) => Sent::made(client.create_network(body).await?),
            Self::ChangeIpRange { network, ip_range } => {
                Sent::action(client.change_ip_range(*network, *ip_range).await?)
            }
            Self::AddSubnet { network, subnet, .. } => Sent::action(client.add_subnet(*network, subnet).await?),
            Self::DeleteSubnet { network, ip_range } => Sent::action(client.delete_subnet(*network, *ip_range).await?),
            Self::AddRoute { network, route } => Sent::action(client.add_route(*network, route).await?),
            Self::DeleteRoute { network, route } => Sent::action(client.delete_route(*network, route).await?),
            Self::Delete { .. } => Sent::default(),
        })
    }
}
