//! What a network publishes for its gateway, its route tables and its subnets: which routes count, where NAT servers are to
//! stand, whose packets they forward. The network decides it, because it alone sees its subnets, its tables and the
//! workspace's gateways; `igw-polyfill` knows how.

mod judge;
mod range;
pub(super) mod routes;
mod servers;

use std::{net::Ipv4Addr, time::Duration};

use control_plane::{
    Resource, Uid,
    facts::{Facts, NetworkFacts},
};
use igw_polyfill::{
    lifecycle,
    nat::NatConfig,
    plan::{Due, Obstacle, Place, Settings, Verdict},
    sentences,
};
use serde::{Deserialize, Serialize};

pub(super) use judge::judge;
pub(super) use range::{keep, own_ranges};
pub(super) use servers::Servers;

/// What an operator chose of gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Whether there are NAT servers, of which types, and who may reach them.
    pub nat: Settings,
    /// How long they outlive the last route to them.
    pub linger: Duration,
    /// Whether a server without a public address keeps a closed public IPv6 interface, by which it reaches the metadata
    /// service when it starts for the first time.
    pub first_boot_ipv6: bool,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self { nat: Settings::default(), linger: lifecycle::LINGER, first_boot_ipv6: false }
    }
}

/// What a network makes of its route tables and of the gateways that they name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Judgement {
    /// The tables with a route to a gateway, or to everywhere.
    pub(super) tables: Vec<JudgedTable>,
    /// The gateway that is to have servers in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) want: Option<Want>,
    /// The gateway that nothing can be made for, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) blocked: Option<(Uid, Obstacle)>,
    /// The addresses that NAT servers have, or are to have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Whether there is no room for a range of their own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) crowded: bool,
}

/// What becomes of the routes of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JudgedTable {
    pub(super) table: Uid,
    /// Of what the table asked for.
    pub(super) generation: i64,
    /// By the route's place in the table.
    pub(super) routes: Vec<(usize, Verdict)>,
}

/// What a gateway is to have in a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Want {
    pub(super) gateway: Uid,
    /// Its name, for sentences.
    #[serde(default)]
    pub(super) name: String,
    /// The tables whose routes it serves. The first one owns the route.
    pub(super) tables: Vec<Uid>,
    pub(super) place: Place,
    /// The private addresses of the servers: two for a pair.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Whether the place is there, so that servers can be attached.
    pub(super) ready: bool,
    pub(super) config: NatConfig,
    /// The servers that must be made again, by role, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) due: Vec<(String, Due)>,
    /// Where somebody else's route to everywhere leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) foreign: Option<Ipv4Addr>,
}

impl Judgement {
    /// What a network published.
    pub(super) fn of(network: &Resource) -> Self {
        let published = NetworkFacts::of(network).gateway;
        published.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }

    /// What is said of a subnet that can leave by a gateway although its table does not say so.
    pub(super) fn of_open_subnet(&self, subnet: &str) -> Option<String> {
        let want = self.want.as_ref()?;
        let is_it = |due: &Due| matches!(due, Due::Open(names) if names.iter().any(|name| name == subnet));
        want.due.iter().any(|(_, due)| is_it(due)).then(|| sentences::open_subnet(&want.name))
    }

    /// What becomes of the routes of a table, if they were judged as they are asked for now.
    pub(super) fn of_table(&self, table: &Resource) -> Option<&JudgedTable> {
        self.tables.iter().find(|judged| judged.table == table.uid && judged.generation == table.generation)
    }
}

/// The extension that gives a gateway two servers.
const PAIR_EXTENSION: &str = "hetzner.cloud/gateway-ha";

/// Whether a gateway is to have two servers.
fn is_pair(gateway: &Resource) -> bool {
    gateway.extension(PAIR_EXTENSION).is_some_and(|value| value == "true")
}
