//! The rules of one group, united, as the content of its firewalls.

use std::collections::BTreeSet;

use hcloud_client::types::{FirewallRule, RuleDirection, RuleProtocol};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    MAX_EFFECTIVE_RULES, MAX_FIREWALLS_PER_SERVER, MAX_RULES_PER_FIREWALL,
    allowance::Allowance,
    compare::rules_hash,
    compile::{CompiledRule, Note, is_of},
};

/// What the rules of one group come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The firewalls, at least one. Each denies by itself what its rules do not allow, in both directions.
    pub shards: Vec<Shard>,
    /// How many effective rules all of them have: see [`effective_rules`].
    pub effective_rules: usize,
    /// The references whose addresses are not known, sorted. Nothing passes on their behalf yet.
    pub unresolved: Vec<String>,
    /// What differs from the words of the rules, sorted.
    pub notes: Vec<Note>,
}

/// The content of one firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its rules, at most [`MAX_RULES_PER_FIREWALL`], `in` before `out`. One of them is for what goes out.
    pub rules: Vec<FirewallRule>,
    /// A hash of them: see [`rules_hash`].
    pub hash: String,
}

/// More than Hetzner takes in front of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Excess {
    /// More firewalls than one server may have.
    #[error(
        "the rules need {firewalls} firewalls, and a Hetzner server has at most {MAX_FIREWALLS_PER_SERVER} of them with \
         {MAX_RULES_PER_FIREWALL} rules each; join ports to ranges, or name fewer"
    )]
    Firewalls {
        /// How many it would be.
        firewalls: usize,
    },
    /// More effective rules than one server may have.
    #[error(
        "the rules come to {effective} effective rules, and a Hetzner server has at most {MAX_EFFECTIVE_RULES}, counted \
         once for each range of ports and each block of addresses; name fewer ports or fewer sources"
    )]
    EffectiveRules {
        /// How many it would be.
        effective: usize,
    },
}

impl Excess {
    /// What is too much about the firewalls of one server, those of all its groups together.
    pub fn of(firewalls: usize, effective: usize) -> Option<Self> {
        match () {
            () if effective > MAX_EFFECTIVE_RULES => Some(Self::EffectiveRules { effective }),
            () if firewalls > MAX_FIREWALLS_PER_SERVER => Some(Self::Firewalls { firewalls }),
            () => None,
        }
    }
}

impl Compiled {
    /// What is too much for a server that has these firewalls alone.
    pub fn excess(&self) -> Option<Excess> {
        Excess::of(self.shards.len(), self.effective_rules)
    }

    /// The rules of all firewalls.
    pub fn rules(&self) -> impl Iterator<Item = &FirewallRule> {
        self.shards.iter().flat_map(|shard| &shard.rules)
    }
}

/// Unites the rules of one group. `resolve` gives the public addresses of what a reference names, or None where they
/// are not known (yet); both let nothing pass that is not there.
///
/// The result depends on the set of rules, not on their order. It keeps to the limits of one rule and one firewall;
/// what a server may have together is [`Compiled::excess`], because other groups count too.
pub fn expand(rules: &[CompiledRule], resolve: &dyn Fn(&str) -> Option<Vec<IpNet>>) -> Compiled {
    let (mut all, mut unresolved) = (Allowance::default(), BTreeSet::new());
    for rule in rules {
        all.add(rule.direction, &rule.services, &rule.blocks);
        for reference in &rule.references {
            match resolve(reference) {
                Some(mut addresses) => {
                    addresses.retain(|address| is_of(rule.version, address));
                    all.add(rule.direction, &rule.services, &addresses);
                }
                None => _ = unresolved.insert(reference.clone()),
            }
        }
    }
    let shards: Vec<_> = split(all.rules()).into_iter().map(Shard::new).collect();
    let notes: BTreeSet<_> = rules.iter().flat_map(|rule| &rule.notes).cloned().collect();
    Compiled {
        effective_rules: shards.iter().map(|shard| effective_rules(&shard.rules)).sum(),
        shards,
        unresolved: unresolved.into_iter().collect(),
        notes: notes.into_iter().collect(),
    }
}

impl Shard {
    fn new(rules: Vec<FirewallRule>) -> Self {
        Self { hash: rules_hash(&rules), rules }
    }
}

/// How many rules Hetzner makes of rules: one for each address or block of each. Hetzner's pages
/// (docs.hetzner.com/cloud/firewalls/overview#limits, and the FAQ beside it) name the number and not how it counts; that
/// each source counts is what users with large sets of rules found out by the error `firewall limit exceeded`.
pub fn effective_rules(rules: &[FirewallRule]) -> usize {
    rules.iter().map(|rule| (rule.source_ips.len() + rule.destination_ips.len()).max(1)).sum()
}

/// Cuts sorted rules into firewalls. Each has a rule outwards: a firewall without one lets everything out, and Hetzner
/// does not say how it unites that with other firewalls. A rule that comes or goes moves at most one rule over each cut,
/// of which there are four at most in front of a server.
pub(super) fn split(mut rules: Vec<FirewallRule>) -> Vec<Vec<FirewallRule>> {
    let is_out = |rule: &FirewallRule| rule.direction == RuleDirection::Out;
    if !rules.iter().any(is_out) {
        rules.push(nothing_out());
    }
    let (mut shards, mut rest) = (Vec::new(), &rules[..]);
    while !rest.is_empty() {
        let most = rest.len().min(MAX_RULES_PER_FIREWALL);
        let has_out = rest[..most].iter().any(is_out);
        // The last rule of all is outwards. So a piece without one is a full one, and gives up its last place.
        let (piece, left) = rest.split_at(if has_out { most } else { most - 1 });
        let mut shard = piece.to_vec();
        if !has_out {
            shard.push(nothing_out());
        }
        shards.push(shard);
        rest = left;
    }
    shards
}

/// A rule outwards to an address that exists nowhere (RFC 5737): nothing gets out.
pub fn nothing_out() -> FirewallRule {
    FirewallRule {
        description: Some("Lets nothing out: without a rule everything may leave".to_owned()),
        direction: RuleDirection::Out,
        source_ips: Vec::new(),
        destination_ips: vec![IpNet::new_assert([192, 0, 2, 1].into(), 32)],
        protocol: RuleProtocol::Tcp,
        port: Some("1".to_owned()),
    }
}
