//! What people read: of a gateway, of a route, of a guest, of a refusal.

use std::{fmt::Write as _, net::Ipv4Addr, time::Duration};

use crate::{
    guest::{Refusal, Unmanaged},
    packing::MOST_BYTES,
    plan::{Due, Obstacle, PlannedRoute, Verdict},
};

/// How a gateway stands in one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its server is being made or is on its way up.
    Starting {
        /// The server type, where one was chosen.
        server_type: Option<String>,
    },
    /// It forwards.
    Up {
        /// The server type.
        server_type: String,
        /// Whether the second server of a pair has the traffic.
        failed_over: bool,
    },
    /// The server is replaced.
    Replacing(Due),
    /// Replacement is due, and waits.
    Due(Due),
    /// It was brought back too often.
    Unhealthy {
        /// How often within the last hour.
        recoveries: u32,
    },
    /// No type of the list can be had now.
    NoCapacity {
        /// The types that were tried. None: the location sells none of the list.
        tried: Vec<String>,
    },
    /// The provider's quota forbids the server.
    Quota,
    /// Somebody's route to everywhere stands in the way.
    ForeignRoute {
        /// Where it leads.
        gateway: Ipv4Addr,
    },
    /// No route needs it any more.
    Lingering(Duration),
    /// There can be none.
    Blocked(Obstacle),
}

/// A gateway in one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InNetwork {
    /// The network.
    pub network: String,
    /// How it stands.
    pub standing: Standing,
    /// The public addresses, that of the first server first.
    pub egress: Vec<Ipv4Addr>,
}

/// The message of a gateway.
pub fn gateway(egress_only: bool, networks: &[InNetwork]) -> String {
    let mut text = if networks.is_empty() {
        "No subnet's route table sends 0.0.0.0/0 to the gateway, so nothing runs for it.".to_owned()
    } else {
        networks.iter().map(in_network).collect::<Vec<_>>().join(" ")
    };
    if !egress_only {
        text += " Connections from outside reach an instance by its own public IP only, which Hetzner Cloud routes past \
                 every gateway.";
    }
    text
}

fn in_network(it: &InNetwork) -> String {
    let network = &it.network;
    let mut text = format!("In the network `{network}`: ");
    text += &match &it.standing {
        Standing::Starting { server_type: None } => "the NAT server is being made.".to_owned(),
        Standing::Starting { server_type: Some(name) } => format!("the NAT server, a {name}, is starting."),
        Standing::Up { server_type, failed_over: false } => format!("a NAT server, a {server_type}, forwards."),
        Standing::Up { server_type, failed_over: true } => {
            format!("the second NAT server, a {server_type}, forwards, because the first one is not up.")
        }
        Standing::Replacing(why) => {
            format!("the NAT server is being replaced, because {}; nothing gets out for 60 to 90 seconds.", due(why))
        }
        Standing::Due(why) => format!("the NAT server will be replaced, because {}.", due(why)),
        Standing::Unhealthy { recoveries } => format!(
            "the NAT server was brought back {recoveries} times within an hour and does not stay up; it is tried again \
             more slowly."
        ),
        Standing::NoCapacity { tried } if tried.is_empty() => {
            "the location sells no server type of SECA_GATEWAY_SERVER_TYPES; name one there that it sells.".to_owned()
        }
        Standing::NoCapacity { tried } => format!(
            "Hetzner Cloud has no capacity for a NAT server now ({} tried); it is tried again, and another type can be \
             named in SECA_GATEWAY_SERVER_TYPES.",
            tried.join(", ")
        ),
        Standing::Quota => {
            "the quota of the Hetzner project allows no further server or Primary IP; raise it, or remove something."
                .to_owned()
        }
        Standing::ForeignRoute { gateway } => format!(
            "somebody else's route sends 0.0.0.0/0 to {gateway}; the gateway takes over when that route is removed."
        ),
        Standing::Lingering(left) => format!(
            "no route needs the NAT server any more; it goes in {} minutes unless one does.",
            left.as_secs().div_ceil(60)
        ),
        Standing::Blocked(why) => format!("nothing runs, because {}.", obstacle(*why)),
    };
    match it.egress.as_slice() {
        [] => {}
        [one] => {
            let _ = write!(text, " Egress address: {one}.");
        }
        several => {
            let list = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let _ = write!(text, " Egress addresses, of which one is used at a time: {list}.");
        }
    }
    text
}

/// Why a server is replaced, as a clause.
fn due(why: &Due) -> String {
    match why {
        Due::Closed(subnets) => format!("it does not forward for {} yet", subnets_of(subnets)),
        Due::Open(subnets) => {
            format!("{} can leave by it without a route to it", subnets_of(subnets))
        }
        Due::AllowLists => "the list of who may reach it changed".to_owned(),
        Due::Version => "this release has a newer text for it".to_owned(),
        Due::Place => "something else needs its address in the network".to_owned(),
    }
}

fn subnets_of(names: &[String]) -> String {
    match names {
        [one] => format!("the subnet `{one}`"),
        several => format!("the subnets `{}`", several.join("`, `")),
    }
}

/// What a subnet reads while the gateway's server forwards for it although its table does not say so.
pub fn open_subnet(gateway: &str) -> String {
    format!(
        "The subnet does not use the gateway `{gateway}`, but its instances can leave by it until the NAT server is \
         replaced, which is due."
    )
}

fn obstacle(why: Obstacle) -> &'static str {
    match why {
        Obstacle::Disabled => {
            "this installation runs no NAT servers; its operator can allow them with SECA_INTERNET_GATEWAY_NAT_VM=true"
        }
        Obstacle::NoAddress => {
            "neither the network nor a subnet that uses the gateway has a free address; make room, or use a larger range"
        }
    }
}

/// What a route reads that is not in effect. None: it is served, or judged elsewhere. `up` says whether a server takes
/// packets and Hetzner's route leads to it.
pub fn route(route: &PlannedRoute, destination: &str, up: bool) -> Option<String> {
    let target = &route.target;
    let why = match &route.verdict {
        Verdict::Elsewhere => return None,
        Verdict::Served if up => return None,
        Verdict::Served => "the NAT server is not up yet".to_owned(),
        Verdict::NotNamed => "no subnet names this route table".to_owned(),
        Verdict::Conflict { table, target } => {
            format!(
                "the older route table `{table}` sends the same destination to `{target}`, and a network has one route to it"
            )
        }
        Verdict::NotEverywhere => "only 0.0.0.0/0 can point to an internet gateway".to_owned(),
        Verdict::Missing => "the gateway does not exist".to_owned(),
        Verdict::Ending => "the gateway or the network is being deleted".to_owned(),
        Verdict::Blocked(why) => obstacle(*why).to_owned(),
    };
    Some(format!("The route to {destination} by `{target}` is not in effect: {why}."))
}

/// What an instance reads whose way out is its user's matter.
pub fn unmanaged(why: Unmanaged) -> String {
    let why = match why {
        Unmanaged::OptedOut => "the extension `hetzner.cloud/guest-bootstrap` is \"off\"",
        Unmanaged::UnknownForm => "cloud-init does not read its user data",
        Unmanaged::Unreadable => "its user data cannot be unpacked, or is a MIME message that is not UTF-8",
    };
    format!("The proxy sets up no default route in this instance, because {why}. {}", by_hand())
}

/// What an instance reads that was made without the bootstrap: by an earlier release, or before it had a NIC.
pub fn made_without(why: &str) -> String {
    format!("The proxy sets up no default route in this instance, because {why}. {}", by_hand())
}

/// The two commands that do by hand what the bootstrap does.
fn by_hand() -> &'static str {
    "To use an internet gateway, run in it, with the network's first address and the private interface: `ip route add \
     default via GATEWAY dev INTERFACE onlink metric 4096 mtu 1450` and `echo nameserver 185.12.64.1 >>/etc/resolv.conf`."
}

/// Why user data is refused, as a rule for a violation at `/spec/userData`.
pub fn refusal(why: Refusal) -> String {
    match why {
        Refusal::Include => "userData must not be fetched from elsewhere (`#include`) on an instance without a public IPv4 \
                             address, because cloud-init fetches it before anything sets up a way out; send the content \
                             itself, or give the instance a public IP"
            .to_owned(),
        Refusal::TooLong { whole, own, bootstrap } => format!(
            "userData must fit into {MOST_BYTES} bytes together with the bootstrap for private networks, as it is or as \
             base64 of gzip, because Hetzner Cloud takes no more, but its {own} bytes and the bootstrap's {bootstrap} are \
             {} bytes, and {} as base64 of gzip; shorten it, let it fetch the rest, or turn the bootstrap off with the \
             extension `hetzner.cloud/guest-bootstrap: \"off\"`",
            whole.bytes, whole.packed
        ),
        Refusal::TooLongAsSent(long) => format!(
            "userData must be at most {MOST_BYTES} bytes long, as it is or as base64 of gzip, because Hetzner Cloud takes \
             no more, but has {} bytes, and {} as base64 of gzip; shorten it, or let it fetch the rest",
            long.bytes, long.packed
        ),
    }
}
