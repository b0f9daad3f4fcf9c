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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub private_address: Ipv4Addr,
    /// The address that packets leave with, once that was seen.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use seca_api::ResourceKey;

    use super::*;
    use crate::{ports::Put, resource::Uid, state};

    #[test]
    fn each_server_is_told_with_its_network_and_its_address() {
        let (network, uid) = (Uid(uuid::Uuid::from_u128(7)), Uid(uuid::Uuid::from_u128(1)));
        let server = |role: &str, private: &str| {
            json!({"role": format!("nat.7.{role}"), "addressRole": format!("nat-ip.7.{role}"), "privateAddress": private,
                   "place": {}, "madeWith": {}, "version": 1, "serverType": "cx23", "madeAt": 5_000})
        };
        let networks = json!([{
            "network": network, "name": "net", "location": "fsn1", "nextHop": "10.0.255.242", "unwantedSince": 6_000,
            "addresses": [{"role": "nat-ip.7.a", "address": "203.0.113.7"}, {"role": "nat-ip.7.b"}],
            "servers": [server("a", "10.0.255.242"), server("b", "10.0.255.243")],
        }]);
        let key = ResourceKey::tenant(Kind::Workspace, "fsn1", "acme", "shop");
        let key = ResourceKey { workspace: "shop".to_owned(), ..key }.sibling(Kind::InternetGateway, "out");
        let mut gateway = state::create(Put::create(key, uid, "{}", Timestamp::from_millis(1_000)), ProjectId::local());
        gateway.facts.insert("networks".to_owned(), networks);
        let told: Vec<Value> =
            NatServer::of(&gateway).iter().map(|server| serde_json::to_value(server).unwrap()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0]["gateway"], "out");
        let of = |name: &str| told.iter().map(|server| server[name].clone()).collect::<Vec<_>>();
        assert_eq!(of("privateAddress"), ["10.0.255.242", "10.0.255.243"]);
        assert_eq!(of("publicAddress"), [json!("203.0.113.7"), Value::Null]);
        assert_eq!(of("serves"), [true, false]);
        assert_eq!(of("madeAt"), ["1970-01-01T00:00:05.000Z", "1970-01-01T00:00:05.000Z"]);
        assert_eq!(told[0]["unwantedSince"], "1970-01-01T00:00:06.000Z");
    }
}
