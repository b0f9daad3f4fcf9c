//! Internet gateways: the way out of a network.

use std::net::Ipv4Addr;

use seca_api::{Kind, Timestamp};
use serde::Serialize;

use super::{KindRules, Peers};
use crate::{
    facts::{self, Facts as _, GatewayNetwork, InternetGatewayFacts},
    resource::{ProjectId, Resource},
};

/// What differs about internet gateways.
pub const RULES: KindRules = KindRules {
    // Each network says what it wants of which gateway.
    peers: Peers::InWorkspace(Kind::Network),
    located: true,
    ..KindRules::new(Kind::InternetGateway)
};

/// A server that routes for an internet gateway, as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NatServer {
    /// The tenant of the gateway.
    pub tenant: String,
    /// Its region.
    pub region: String,
    /// Its workspace.
    pub workspace: String,
    /// Its name.
    pub gateway: String,
    /// The project that pays.
    pub project: ProjectId,
    /// The network that it serves.
    pub network: String,
    /// Where it stands.
    pub location: String,
    /// The provider's name of its type.
    pub server_type: String,
    /// Its address in the network.
    pub private_address: Ipv4Addr,
    /// The address that packets leave with, once that was seen.
    pub public_address: Option<Ipv4Addr>,
    /// Whether the route leads to it.
    pub serves: bool,
    /// When it was made.
    pub made_at: Timestamp,
    /// Since when it is seen running with both addresses.
    pub well_since: Option<Timestamp>,
    /// Since when no route leads to it: it is about to go.
    pub unwanted_since: Option<Timestamp>,
}

impl NatServer {
    /// The kind that has them.
    pub(crate) const GATEWAY: Kind = Kind::InternetGateway;

    pub(crate) fn of(gateway: &Resource) -> Vec<Self> {
        let view = |network: &GatewayNetwork, server: &facts::NatServer| {
            let address = network.addresses.iter().find(|address| address.role == server.address_role);
            Self {
                tenant: gateway.key.tenant.clone(),
                region: gateway.key.region.clone(),
                workspace: gateway.key.workspace.clone(),
                gateway: gateway.key.name.clone(),
                project: gateway.project.clone(),
                network: network.name.clone(),
                location: network.location.clone(),
                server_type: server.server_type.clone(),
                private_address: server.private_address,
                public_address: address.and_then(|address| address.address),
                serves: network.next_hop == Some(server.private_address),
                made_at: Timestamp::from_millis(server.made_at),
                well_since: server.well_since.map(Timestamp::from_millis),
                unwanted_since: network.unwanted_since.map(Timestamp::from_millis),
            }
        };
        let facts = InternetGatewayFacts::of(gateway);
        facts
            .networks
            .iter()
            .flat_map(|network| network.servers.iter().map(move |server| view(network, server)))
            .collect()
    }
}
