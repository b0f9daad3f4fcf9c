//! One rule by itself: what its row publishes.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use seca_api::{Direction, IpVersion, Kind, Ports, Protocol, Reference, ResourceKey, SecurityGroupRuleSpec, Target};
use serde::{Deserialize, Serialize};

use super::ports::{PortRange, PortSet};

/// What may stand on the other side of a rule, beside addresses and blocks.
const SOURCES: &[Kind] = &[Kind::SecurityGroup, Kind::Instance, Kind::Nic, Kind::InternetGateway];

/// A rule in Hetzner's terms, as far as one rule can be without its neighbours. It passes what any of its services
/// exchanges with any of its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompiledRule {
    /// Whether it lets packets in or out.
    pub direction: Direction,
    /// The family of the addresses; both where it is not set. It limits what references resolve to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<IpVersion>,
    /// What it lets pass: sorted, ports merged. Empty lets nothing pass.
    pub services: Vec<Service>,
    /// The blocks on the other side, sorted, without host bits and without what another one contains. A rule without
    /// sources has the blocks of all addresses here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<IpNet>,
    /// The resources on the other side, sorted: URNs of security groups, instances, NICs and gateways. A reference that
    /// cannot be understood stands here as it was sent; it resolves to nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// What differs from the words of the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// A protocol that Hetzner filters by, with the ports of those that have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// TCP.
    Tcp(PortRange),
    /// UDP.
    Udp(PortRange),
    /// ICMP, every type and code.
    Icmp,
    /// IPsec's encapsulated payload.
    Esp,
    /// Generic routing encapsulation.
    Gre,
}

/// How a compiled rule differs from the words of its specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Note {
    /// One message of ICMP was asked for, and all of ICMP passes.
    IcmpWidened {
        /// The type that was asked for.
        r#type: u8,
        /// The code that was asked for.
        code: u8,
    },
    /// Every protocol was asked for, and five pass.
    OtherProtocols,
    /// No protocol was named, so `ports` and `icmp` choose the protocols.
    ImpliedProtocols,
    /// A source is of the family that the rule is not about, and is left out.
    OtherFamily {
        /// The source as sent.
        source: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IcmpWidened { r#type, code } => write!(
                f,
                "All of ICMP passes, not only type {type} code {code}: Hetzner Cloud cannot tell ICMP messages apart."
            ),
            Self::OtherProtocols => {
                f.write_str("Of all protocols tcp, udp, icmp, esp and gre pass: Hetzner Cloud knows no others.")
            }
            Self::ImpliedProtocols => f.write_str(
                "The rule names no protocol: ports let tcp and udp pass, icmp lets icmp pass, and nothing else passes.",
            ),
            Self::OtherFamily { source } => {
                write!(f, "The source {source} is of the other IP version than the rule, and is left out.")
            }
        }
    }
}

/// Compiles one rule. `from` is the resource that holds it and gives what its references leave out.
///
/// A rule without a protocol but with `ports` or `icmp` is about the protocols that have these, since no other packet
/// has a port or a message type that could be compared. What does not apply to the named protocol is ignored.
pub fn compile_rule(spec: &SecurityGroupRuleSpec, from: &ResourceKey) -> CompiledRule {
    let mut notes = BTreeSet::new();
    let services = services(spec, &mut notes);
    let (blocks, references) = sources(spec, from, &mut notes);
    CompiledRule {
        direction: spec.direction,
        version: spec.version,
        services,
        blocks,
        references,
        notes: notes.into_iter().collect(),
    }
}

fn services(spec: &SecurityGroupRuleSpec, notes: &mut BTreeSet<Note>) -> Vec<Service> {
    let (has_ports, has_icmp) = (spec.ports.is_some(), spec.icmp.is_some());
    let implied = spec.protocol.is_none() && (has_ports || has_icmp);
    let (tcp, udp, icmp, others) = match spec.protocol {
        Some(Protocol::Tcp) => (true, false, false, false),
        Some(Protocol::Udp) => (false, true, false, false),
        Some(Protocol::TcpUdp) => (true, true, false, false),
        Some(Protocol::Icmp) => (false, false, true, false),
        None if implied => (has_ports, has_ports, has_icmp, false),
        None => (true, true, true, true),
    };
    if implied {
        notes.insert(Note::ImpliedProtocols);
    }
    if others {
        notes.insert(Note::OtherProtocols);
    }
    if let Some(message) = spec.icmp.filter(|_| icmp) {
        notes.insert(Note::IcmpWidened { r#type: message.r#type, code: message.code });
    }
    let ports = spec.ports.as_ref().map_or_else(|| PortSet::from_iter([PortRange::ALL]), port_set);
    let of = |wanted: bool, service: fn(PortRange) -> Service| {
        ports.ranges().iter().filter(move |_| wanted).map(move |range| service(*range))
    };
    let plain = [(icmp, Service::Icmp), (others, Service::Esp), (others, Service::Gre)];
    of(tcp, Service::Tcp)
        .chain(of(udp, Service::Udp))
        .chain(plain.into_iter().filter_map(|(wanted, service)| wanted.then_some(service)))
        .collect()
}

/// The ports of a rule. One bound alone is a single port.
fn port_set(ports: &Ports) -> PortSet {
    let range = match (ports.from, ports.to) {
        (Some(from), Some(to)) => PortRange::new(from, to),
        (Some(port), None) | (None, Some(port)) => PortRange::new(port, port),
        (None, None) => None,
    };
    range.into_iter().chain(ports.list.iter().filter_map(|port| PortRange::new(*port, *port))).collect()
}

fn sources(spec: &SecurityGroupRuleSpec, from: &ResourceKey, notes: &mut BTreeSet<Note>) -> (Vec<IpNet>, Vec<String>) {
    let (mut blocks, mut references) = (Vec::new(), BTreeSet::new());
    // Only a list that was never written means all. A list of unset references means nobody.
    if spec.source_ref.is_empty() {
        blocks.extend(everywhere().into_iter().filter(|block| is_of(spec.version, block)));
    }
    for source in spec.source_ref.iter().filter(|source| !source.is_unset()) {
        match block(&source.resource) {
            Some(block) if is_of(spec.version, &block) => blocks.push(block),
            Some(_) => _ = notes.insert(Note::OtherFamily { source: source.resource.clone() }),
            None => _ = references.insert(urn(source, from)),
        }
    }
    (tidy(blocks), references.into_iter().collect())
}

/// The canonical spelling of a reference; the text as sent where it cannot be understood.
fn urn(source: &Reference, from: &ResourceKey) -> String {
    match source.resolve(from, SOURCES) {
        Ok(Target::Resource(key)) => key.urn(),
        _ => source.resource.clone(),
    }
}

/// An address or a block as a block without host bits. IPv4 addresses in IPv6's clothes are neither, as everywhere.
fn block(text: &str) -> Option<IpNet> {
    let block = text.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))?;
    (!is_mapped(&block)).then(|| block.trunc())
}

fn is_mapped(block: &IpNet) -> bool {
    matches!(block.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// Blocks sorted, without what another one contains. Neighbours stay two blocks, as the user wrote them.
fn tidy(blocks: Vec<IpNet>) -> Vec<IpNet> {
    let sorted: BTreeSet<_> = blocks.into_iter().collect();
    let contained = |block: &IpNet| sorted.iter().any(|other| other != block && other.contains(block));
    sorted.iter().filter(|block| !contained(block)).copied().collect()
}

/// Whether a block is of a family; every block is where none is named.
pub fn is_of(version: Option<IpVersion>, block: &IpNet) -> bool {
    match version {
        None => true,
        Some(IpVersion::IPv4) => matches!(block, IpNet::V4(_)),
        Some(IpVersion::IPv6) => matches!(block, IpNet::V6(_)),
    }
}

/// All addresses.
pub(super) fn everywhere() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}
