//! What to set between two sets of rules.

use std::slice::from_ref;

use hcloud_client::types::FirewallRule;

use super::{
    MAX_EFFECTIVE_RULES,
    allowance::Allowance,
    compare::same_rules,
    expand::{effective_rules, split},
};

/// Rules of one firewall that let pass only what both others let pass: for a firewall whose rules change while servers
/// join it. What is open for a moment is then open before and after, for old and new members.
///
/// They let pass all that both let pass, if that fits one firewall; else what stands in both in the same words, and of
/// that as much as fits. They always have a rule outwards.
pub fn narrowing(before: &[FirewallRule], after: &[FirewallRule]) -> Vec<FirewallRule> {
    let both = Allowance::of(before).intersection(&Allowance::of(after)).rules();
    let mut firewalls = split(both);
    if firewalls.len() > 1 || firewalls.iter().any(|rules| effective_rules(rules) > MAX_EFFECTIVE_RULES) {
        firewalls = split(in_both(before, after));
    }
    firewalls.into_iter().next().unwrap_or_default()
}

/// The rules that stand in both, those that come in first.
fn in_both(before: &[FirewallRule], after: &[FirewallRule]) -> Vec<FirewallRule> {
    let stands = |rule: &&FirewallRule| after.iter().any(|other| same_rules(from_ref(*rule), from_ref(other)));
    let mut rules: Vec<_> = before.iter().filter(stands).cloned().collect();
    rules.sort_by(|one, two| one.direction.cmp(&two.direction));
    rules
}
