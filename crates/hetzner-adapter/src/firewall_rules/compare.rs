//! Whether two sets of rules are the same.

use std::collections::BTreeSet;

use hcloud_client::types::{FirewallRule, RuleDirection, RuleProtocol};
use ipnet::IpNet;

use super::ports::PortRange;
use crate::naming;

/// The length of a hash of rules.
const HASH_LENGTH: usize = 32;

/// What one effective rule says: direction, protocol, ports in their one spelling, and one address.
type Said = (RuleDirection, RuleProtocol, Option<String>, Option<IpNet>);

/// Whether rules that were found let pass what rules that are wanted let pass, said in the same ports and blocks.
///
/// Hetzner returns what comes in first and promises no order, neither of rules nor of addresses. How addresses are
/// divided among rules of the same ports, host bits, and the spelling of a port do not count. Descriptions do not count
/// either: they filter nothing, and a person who writes one at the console has not changed what passes, so that the
/// rules need not be set again.
pub fn same_rules(wanted: &[FirewallRule], found: &[FirewallRule]) -> bool {
    said(wanted) == said(found)
}

/// A hash of rules, of 32 lower-case letters and digits: equal where [`same_rules`] holds.
pub fn rules_hash(rules: &[FirewallRule]) -> String {
    let line = |(direction, protocol, port, address): Said| {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        format!("{direction} {protocol} {} {address}\n", port.unwrap_or_default())
    };
    naming::hash(&said(rules).into_iter().map(line).collect::<String>(), HASH_LENGTH)
}

fn said(rules: &[FirewallRule]) -> BTreeSet<Said> {
    rules.iter().flat_map(said_by).collect()
}

fn said_by(rule: &FirewallRule) -> impl Iterator<Item = Said> + use<'_> {
    // The other list is empty at Hetzner; were it not, it would be a difference.
    let addresses = rule.source_ips.iter().chain(&rule.destination_ips).map(|address| Some(address.trunc()));
    let none = (rule.source_ips.is_empty() && rule.destination_ips.is_empty()).then_some(None);
    let port = rule.port.as_deref().map(|port| match port.parse::<PortRange>() {
        Ok(range) => range.to_string(),
        Err(_) => port.to_owned(),
    });
    addresses.chain(none).map(move |address| (rule.direction.clone(), rule.protocol.clone(), port.clone(), address))
}
