//! What security groups amount to as rules of Hetzner firewalls. Pure, and known to no mapping.
//!
//! A rule is compiled alone ([`compile_rule`]), because it is published by the row that holds it. The rules of one
//! group are then united ([`expand`]), when the addresses of the groups, instances and NICs that they name are known.
//! Whatever is not understood or not known lets nothing pass: no step of this module ever widens, apart from the ICMP
//! types, which Hetzner cannot tell apart, and that is noted.
//!
//! Packets are compared with the *other side* of an instance: the source of what comes in, the destination of what
//! goes out. [`allows`] is the model of a firewall that the laws of this module are tested with.

mod allowance;
mod compare;
mod compile;
mod expand;
mod narrow;
mod packet;
mod ports;
#[cfg(test)]
mod tests;

pub use compare::{rules_hash, same_rules};
pub use compile::{CompiledRule, Note, Service, compile_rule, is_of};
pub use expand::{Compiled, Excess, Shard, effective_rules, expand, nothing_out};
pub use narrow::narrowing;
pub use packet::{Packet, PacketProtocol, allows};
pub use ports::{BadPortRange, PortRange};

/// Rules in one firewall (Hetzner's API reference, `POST /firewalls`: "limited to 50 entries per Firewall").
pub const MAX_RULES_PER_FIREWALL: usize = 50;
/// Addresses and blocks in one rule (Hetzner's API reference, `source_ips` and `destination_ips`).
pub const MAX_ADDRESSES_PER_RULE: usize = 100;
/// Firewalls in front of one server (docs.hetzner.com/cloud/firewalls/faq, "limitations").
pub const MAX_FIREWALLS_PER_SERVER: usize = 5;
/// Effective rules in front of one server: see [`effective_rules`] for how they count. Hetzner's FAQ
/// (docs.hetzner.com/cloud/firewalls/faq) says 500 "per Firewall". We hold the sum of a server's firewalls to it, which
/// is the careful reading.
pub const MAX_EFFECTIVE_RULES: usize = 500;
