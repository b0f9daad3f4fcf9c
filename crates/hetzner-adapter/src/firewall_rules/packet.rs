//! A model of Hetzner's firewalls, to judge rules by: which packets they let pass.

use std::net::IpAddr;

use hcloud_client::types::{FirewallRule, RuleDirection, RuleProtocol};
use seca_api::Direction;

use super::ports::PortRange;

/// The first packet of a connection. Answers pass by themselves, since the firewalls are stateful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Whether it comes in or goes out.
    pub direction: Direction,
    /// What it carries.
    pub protocol: PacketProtocol,
    /// The other side: the source of what comes in, the destination of what goes out.
    pub peer: IpAddr,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketProtocol {
    /// TCP to a port.
    Tcp(u16),
    /// UDP to a port.
    Udp(u16),
    /// ICMP of a type and a code.
    Icmp(u8, u8),
    /// IPsec's encapsulated payload.
    Esp,
    /// Generic routing encapsulation.
    Gre,
    /// Another protocol, by its number.
    Other(u8),
}

/// Whether the rules of one firewall let a packet pass: what comes in needs a rule, and what goes out needs one if there
/// is any rule outwards. In front of a server, each of its firewalls may let a packet pass.
pub fn allows(rules: &[FirewallRule], packet: &Packet) -> bool {
    let mut own = rules.iter().filter(|rule| rule.direction == word(packet.direction)).peekable();
    if own.peek().is_none() {
        return packet.direction == Direction::Egress;
    }
    own.any(|rule| passes(rule, packet))
}

const fn word(direction: Direction) -> RuleDirection {
    match direction {
        Direction::Ingress => RuleDirection::In,
        Direction::Egress => RuleDirection::Out,
    }
}

fn passes(rule: &FirewallRule, packet: &Packet) -> bool {
    let addresses = match packet.direction {
        Direction::Ingress => &rule.source_ips,
        Direction::Egress => &rule.destination_ips,
    };
    let has_port = |port: u16| {
        let range = rule.port.as_deref().and_then(|text| text.parse::<PortRange>().ok());
        range.is_some_and(|range| range.has(port))
    };
    let carries = match (packet.protocol, &rule.protocol) {
        (PacketProtocol::Tcp(port), RuleProtocol::Tcp) | (PacketProtocol::Udp(port), RuleProtocol::Udp) => {
            has_port(port)
        }
        (PacketProtocol::Icmp(..), RuleProtocol::Icmp)
        | (PacketProtocol::Esp, RuleProtocol::Esp)
        | (PacketProtocol::Gre, RuleProtocol::Gre) => true,
        _ => false,
    };
    carries && addresses.iter().any(|block| block.contains(&packet.peer))
}
