//! What passes, as a set: which blocks of addresses exchange which ports of which protocol in which direction. Rules
//! are read into it and written from it, so that equal sets have equal rules.

use std::collections::BTreeMap;

use hcloud_client::types::{FirewallRule, RuleDirection, RuleProtocol};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use seca_api::Direction;

use super::{
    MAX_ADDRESSES_PER_RULE,
    compile::{Service, everywhere},
    ports::{PortRange, PortSet},
};

/// A protocol that Hetzner filters by, in the order of the rules. Those without ports have all of them here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transport {
    Tcp,
    Udp,
    Icmp,
    Esp,
    Gre,
}

impl Transport {
    pub(super) const fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }

    fn of(protocol: &RuleProtocol) -> Option<Self> {
        Some(match protocol {
            RuleProtocol::Tcp => Self::Tcp,
            RuleProtocol::Udp => Self::Udp,
            RuleProtocol::Icmp => Self::Icmp,
            RuleProtocol::Esp => Self::Esp,
            RuleProtocol::Gre => Self::Gre,
            RuleProtocol::Unknown(_) => return None,
        })
    }

    const fn word(self) -> RuleProtocol {
        match self {
            Self::Tcp => RuleProtocol::Tcp,
            Self::Udp => RuleProtocol::Udp,
            Self::Icmp => RuleProtocol::Icmp,
            Self::Esp => RuleProtocol::Esp,
            Self::Gre => RuleProtocol::Gre,
        }
    }
}

impl Service {
    const fn parts(self) -> (Transport, PortRange) {
        match self {
            Self::Tcp(range) => (Transport::Tcp, range),
            Self::Udp(range) => (Transport::Udp, range),
            Self::Icmp => (Transport::Icmp, PortRange::ALL),
            Self::Esp => (Transport::Esp, PortRange::ALL),
            Self::Gre => (Transport::Gre, PortRange::ALL),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowance(BTreeMap<(Direction, Transport), BTreeMap<IpNet, PortSet>>);

impl Allowance {
    /// Lets services pass between the instance and blocks.
    pub(super) fn add(&mut self, direction: Direction, services: &[Service], blocks: &[IpNet]) {
        let mut ranges: BTreeMap<Transport, Vec<PortRange>> = BTreeMap::new();
        for (transport, range) in services.iter().map(|service| service.parts()) {
            ranges.entry(transport).or_default().push(range);
        }
        for (transport, ranges) in ranges {
            let sources = self.0.entry((direction, transport)).or_default();
            for block in blocks {
                sources.entry(block.trunc()).or_default().extend(ranges.iter().copied());
            }
        }
    }

    /// What a firewall lets pass. What of it cannot be understood lets nothing pass.
    pub(super) fn of(rules: &[FirewallRule]) -> Self {
        let mut all = Self::default();
        for rule in rules {
            let (direction, addresses) = match rule.direction {
                RuleDirection::In => (Direction::Ingress, &rule.source_ips),
                RuleDirection::Out => (Direction::Egress, &rule.destination_ips),
                RuleDirection::Unknown(_) => continue,
            };
            if let Some(service) = service(rule) {
                all.add(direction, &[service], addresses);
            }
        }
        // Without a rule outwards Hetzner lets everything out.
        if rules.iter().all(|rule| rule.direction != RuleDirection::Out) {
            let range = PortRange::ALL;
            let services = [Service::Tcp(range), Service::Udp(range), Service::Icmp, Service::Esp, Service::Gre];
            all.add(Direction::Egress, &services, &everywhere());
        }
        all
    }

    /// What both let pass.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (key, one) in &self.0 {
            let Some(two) = other.0.get(key) else { continue };
            let sources = both.0.entry(*key).or_default();
            for (block, ports) in one {
                for (other, others) in two {
                    let Some(smaller) = overlap(*block, *other) else { continue };
                    sources.entry(smaller).or_default().extend(ports.intersection(others).ranges().iter().copied());
                }
            }
        }
        both
    }

    /// The rules that let exactly this pass: `in` before `out`, then by protocol, ports and addresses, none for a
    /// direction in which nothing passes.
    pub(super) fn rules(&self) -> Vec<FirewallRule> {
        self.0.iter().flat_map(|((direction, transport), sources)| rules_of(*direction, *transport, sources)).collect()
    }
}

/// The part of two blocks that both have: two blocks lie inside each other or apart.
fn overlap(one: IpNet, two: IpNet) -> Option<IpNet> {
    match () {
        () if one.contains(&two) => Some(two),
        () if two.contains(&one) => Some(one),
        () => None,
    }
}

fn service(rule: &FirewallRule) -> Option<Service> {
    let ports = || rule.port.as_deref()?.parse().ok();
    Some(match Transport::of(&rule.protocol)? {
        Transport::Tcp => Service::Tcp(ports()?),
        Transport::Udp => Service::Udp(ports()?),
        Transport::Icmp => Service::Icmp,
        Transport::Esp => Service::Esp,
        Transport::Gre => Service::Gre,
    })
}

/// The rules of one direction and protocol: for each range of ports the blocks that have it, a hundred a rule.
fn rules_of(direction: Direction, transport: Transport, sources: &BTreeMap<IpNet, PortSet>) -> Vec<FirewallRule> {
    let mut blocks: BTreeMap<PortRange, Vec<IpNet>> = BTreeMap::new();
    for (block, ports) in without_covered(sources) {
        for range in ports.ranges() {
            blocks.entry(*range).or_default().push(block);
        }
    }
    let rule = |range: PortRange, addresses: &[IpNet]| {
        let port = transport.has_ports().then(|| range.to_string());
        rule(direction, transport.word(), port, addresses.to_vec())
    };
    blocks
        .into_iter()
        .flat_map(|(range, blocks)| {
            // Joins neighbours, and sorts.
            let blocks = IpNet::aggregate(&blocks);
            blocks.chunks(MAX_ADDRESSES_PER_RULE).map(|chunk| rule(range, chunk)).collect::<Vec<_>>()
        })
        .collect()
}

/// Blocks with the ranges that no block around them has already.
fn without_covered(sources: &BTreeMap<IpNet, PortSet>) -> BTreeMap<IpNet, PortSet> {
    let lengths = |block: &IpNet| 0..block.prefix_len();
    let around = |block: &IpNet| -> PortSet {
        lengths(block)
            .filter_map(|length| sources.get(&wider(block, length)?))
            .flat_map(PortSet::ranges)
            .copied()
            .collect()
    };
    let kept = |(block, ports): (&IpNet, &PortSet)| {
        let (around, mut ports) = (around(block), ports.clone());
        ports.retain(|range| !around.covers(*range));
        (!ports.is_empty()).then_some((*block, ports))
    };
    sources.iter().filter_map(kept).collect()
}

/// The block of a shorter prefix around a block.
fn wider(block: &IpNet, length: u8) -> Option<IpNet> {
    Some(match block {
        IpNet::V4(block) => IpNet::V4(Ipv4Net::new(block.addr(), length).ok()?.trunc()),
        IpNet::V6(block) => IpNet::V6(Ipv6Net::new(block.addr(), length).ok()?.trunc()),
    })
}

fn rule(direction: Direction, protocol: RuleProtocol, port: Option<String>, addresses: Vec<IpNet>) -> FirewallRule {
    let (direction, source_ips, destination_ips) = match direction {
        Direction::Ingress => (RuleDirection::In, addresses, Vec::new()),
        Direction::Egress => (RuleDirection::Out, Vec::new(), addresses),
    };
    FirewallRule { description: None, direction, source_ips, destination_ips, protocol, port }
}
