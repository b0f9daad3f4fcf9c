//! What a route does that leads to something else than a gateway, and the sentence that says so.

use std::net::IpAddr;

use ipnet::IpNet;
use seca_api::Kind;
use serde::{Deserialize, Serialize};

/// What something does to packets, and the sentence that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Whether packets take this way.
    pub routed: bool,
    /// A sentence for the person who asked for it.
    pub message: String,
}

impl Effect {
    fn not_yet(message: String) -> Self {
        Self { routed: false, message }
    }
}

/// Where a route sends packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// An instance, which has no address in the network.
    Instance,
    /// A NIC or another thing, which has no address in the network.
    Other(Kind),
    /// An address that the provider routes to.
    Address {
        /// The address.
        address: IpAddr,
        /// Whether a server has it.
        taken: bool,
    },
    /// An address that the provider does not route to, and why.
    Refused(String),
    /// A block of addresses, which is no next hop.
    Block(IpNet),
    /// Something that does not exist.
    Missing,
}

/// What a route does. `target` is the reference as it was written, `destination` the block that it is for.
pub fn route(destination: &str, target: &str, hop: &NextHop) -> Effect {
    let by = format!("The route to {destination} by `{target}`");
    let why = match hop {
        NextHop::Address { taken: true, .. } => return Effect { routed: true, message: format!("{by} is in effect.") },
        NextHop::Address { address, taken: false } => {
            return Effect::not_yet(format!(
                "{by} is made, but no server has the address {address} in this network yet, so nothing gets there."
            ));
        }
        NextHop::Refused(why) => why.clone(),
        NextHop::Instance => "the instance has no address in this network".to_owned(),
        NextHop::Other(kind) => format!("the {} has no address in this network", kind.noun()),
        NextHop::Block(block) => format!("{block} is a block of addresses, not one of them"),
        NextHop::Missing => "it does not exist".to_owned(),
    };
    Effect::not_yet(format!("{by} is kept, but routes nothing yet: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_says_what_its_target_lacks() {
        let check = |hop, expected: &str| {
            let effect = route("0.0.0.0/0", "x/y", &hop);
            assert!(!effect.routed);
            assert!(effect.message.contains("0.0.0.0/0") && effect.message.contains("`x/y`"), "{}", effect.message);
            assert!(effect.message.contains(expected), "{}", effect.message);
        };
        check(NextHop::Instance, "no address");
        check(NextHop::Other(Kind::Nic), "the NIC has no address");
        check(
            NextHop::Address { address: "10.0.0.9".parse().unwrap(), taken: false },
            "no server has the address 10.0.0.9",
        );
        check(NextHop::Refused("it is outside".to_owned()), "it is outside");
        check(NextHop::Block("10.0.0.0/8".parse().unwrap()), "10.0.0.0/8");
        check(NextHop::Missing, "does not exist");
        let effect =
            route("0.0.0.0/0", "10.0.0.9", &NextHop::Address { address: "10.0.0.9".parse().unwrap(), taken: true });
        assert!(effect.routed && effect.message.ends_with("is in effect."), "{}", effect.message);
    }
}
