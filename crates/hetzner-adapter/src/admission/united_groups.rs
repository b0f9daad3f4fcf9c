//! How much security groups come to before one server: a group by itself, and the groups of an instance and of its NICs
//! together. What the resources that are named have published is counted. What is not known yet counts for nothing: then
//! the instance says it (`RulesTooMany`), and the former rules stay.

use std::collections::BTreeMap;

use control_plane::{
    facts::{Facts, GroupUse, NicFacts, SecurityGroupFacts, SecurityGroupRuleFacts},
    kinds::{Judgement, Named, expand},
};
use seca_api::{Kind, SecurityGroupRuleSpec, violation::Violation};
use serde::Deserialize;
use serde_json::Value;

use crate::firewall_rules::{self, Compiled, CompiledRule, Excess, compile_rule};

const RULES: &str = "/spec/rules/*";
const RULE_REFS: &str = "/spec/ruleRefs/*";
const GROUP: &str = "/spec/securityGroupRef";
const GROUPS: &str = "/spec/securityGroupRefs/*";
const NICS: &[&str] = &["/spec/primaryNicRef", "/spec/additionalNicRefs/*"];

pub(super) fn violations(judgement: &Judgement<'_>) -> Vec<Violation> {
    let found = match judgement.rules.kind {
        Kind::SecurityGroup => group(judgement),
        Kind::Instance => instance(judgement),
        Kind::Nic => nic(judgement),
        _ => None,
    };
    Vec::from_iter(found)
}

/// A group that is too much for any server. One that was so before may become smaller.
fn group(judgement: &Judgement<'_>) -> Option<Violation> {
    let named = judgement.named(&[RULE_REFS]);
    let published = |rule: &Named<'_>| -> Option<CompiledRule> {
        serde_json::from_value(SecurityGroupRuleFacts::of(rule.row).compiled?).ok()
    };
    let compiled = |spec: &Value, is_named: fn(&&Named<'_>) -> bool| -> Compiled {
        let own = expand(RULES, spec).into_iter();
        let own = own.filter_map(|(_, rule)| SecurityGroupRuleSpec::deserialize(rule).ok());
        let own = own.map(|rule| compile_rule(&rule, judgement.subject.key));
        let named = named.iter().filter(is_named).filter_map(published);
        // What a reference comes to is not known here, so that it is more in the end and never less.
        firewall_rules::expand(&own.chain(named).collect::<Vec<_>>(), &|_| None)
    };
    let now = compiled(judgement.subject.spec, |_| true);
    let excess = now.excess()?;
    let before = judgement.subject.old.map(|(_, old)| compiled(old, |rule| !rule.is_new));
    if before.is_some_and(|before| before.excess().is_some() && before.effective_rules >= now.effective_rules) {
        return None;
    }
    let place = if expand(RULES, judgement.subject.spec).is_empty() { "/spec/ruleRefs" } else { "/spec/rules" };
    Some(too_much(place, &excess))
}

/// The groups of an instance and of its NICs.
fn instance(judgement: &Judgement<'_>) -> Option<Violation> {
    let (groups, nics) = (judgement.named(&[GROUP]), judgement.named(NICS));
    let newest = groups.iter().chain(&nics).rfind(|named| named.is_new)?;
    let of_nics = nics.iter().filter_map(|nic| NicFacts::of(nic.row).groups).flat_map(|groups| groups.groups);
    together(groups.iter().map(of_group).chain(of_nics), &newest.pointer)
}

/// The groups of a NIC, which the instance that has it adds its own to.
fn nic(judgement: &Judgement<'_>) -> Option<Violation> {
    let groups = judgement.named(&[GROUPS]);
    let newest = groups.iter().rfind(|group| group.is_new)?;
    together(groups.iter().map(of_group), &newest.pointer)
}

fn of_group(group: &Named<'_>) -> GroupUse {
    let facts = SecurityGroupFacts::of(group.row);
    GroupUse {
        name: group.row.key.name.clone(),
        firewalls: facts.firewalls.into_iter().map(|firewall| firewall.id).collect(),
        ready: facts.ready,
        rules: facts.rules.unwrap_or_default(),
    }
}

/// Each group once. One that has no firewall yet will have one at least.
fn together(groups: impl Iterator<Item = GroupUse>, pointer: &str) -> Option<Violation> {
    let each: BTreeMap<String, GroupUse> = groups.map(|group| (group.name.clone(), group)).collect();
    let firewalls = each.values().map(|group| group.firewalls.len().max(1)).sum();
    let rules = each.values().map(|group| group.rules as usize).sum();
    Excess::of(firewalls, rules).map(|excess| too_much(pointer, &excess))
}

fn too_much(pointer: &str, excess: &Excess) -> Violation {
    let mut violation = Violation::at(pointer, "");
    violation.rule = format!("{} is more than one server takes: {excess}", violation.parameter);
    violation
}
