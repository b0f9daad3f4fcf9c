//! A security group rule is intent: it becomes rules of a Hetzner firewall with the groups that name it. It publishes what
//! it comes to, with the public addresses of what it names as sources.

use std::net::IpAddr;

use control_plane::{
    Reason,
    facts::{Facts, InstanceFacts, NicFacts, SecurityGroupFacts, SecurityGroupRuleFacts},
    ports::{Planned, Related},
};
use ipnet::IpNet;
use seca_api::{Kind, Protocol, SecurityGroupRuleSpec};

use super::{Checked, Context, Mapping, PlannedExt, missing_targets, noted, referrers, settled};
use crate::firewall_rules::{CompiledRule, compile_rule, is_of};

/// See the module.
pub(super) struct SecurityGroupRuleMapping;

impl Mapping for SecurityGroupRuleMapping {
    fn kind(&self) -> Kind {
        Kind::SecurityGroupRule
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context)
    }
}

fn alive(context: &Context<'_>) -> Checked<Planned> {
    let spec: SecurityGroupRuleSpec = context.spec()?;
    let row = context.resource();
    let compiled = resolved(context, compile_rule(&spec, &row.key));
    let mut notes = Vec::from_iter(missing_targets(context));
    notes.extend(idle_member(&spec).map(|text| (Reason::PartlySupported, text)));
    notes.extend(idle(context).map(|text| (Reason::NotInEffect, text)));
    notes.extend(compiled.notes.iter().map(|note| (Reason::PartlySupported, note.to_string())));
    let planned = settled().remember(row, |facts: &mut SecurityGroupRuleFacts| {
        // It has no maps: writing it cannot fail.
        facts.compiled = serde_json::to_value(&compiled).ok();
    });
    Ok(noted(planned, notes))
}

/// Why a rule filters nothing.
fn idle(context: &Context<'_>) -> Option<String> {
    let groups = context.bundle().referrers.iter().filter_map(|related| related.resource.as_ref());
    let mut groups = groups.filter(|row| row.key.kind == Kind::SecurityGroup);
    if groups.any(|group| !SecurityGroupFacts::of(group).firewalls.is_empty()) {
        return None;
    }
    Some(match referrers(context, &[Kind::SecurityGroup]) {
        None => "No security group names it, so it filters nothing.".to_owned(),
        Some(groups) => format!("It is named by {groups}, which no instance and no NIC names, so it filters nothing."),
    })
}

/// A rule with the addresses of what it names. What is not known yet stays named, and lets nothing pass.
pub(super) fn resolved(context: &Context<'_>, rule: CompiledRule) -> CompiledRule {
    let known = |reference: &String| {
        let target = context.bundle().targets.iter().find(|target| target.key.urn() == **reference)?;
        addresses(target)
    };
    let (mut blocks, mut references) = (rule.blocks, Vec::new());
    for reference in rule.references {
        match known(&reference) {
            Some(addresses) => {
                blocks.extend(addresses.into_iter().map(IpNet::from).filter(|block| is_of(rule.version, block)));
            }
            None => references.push(reference),
        }
    }
    blocks.sort_unstable();
    blocks.dedup();
    CompiledRule { blocks, references, ..rule }
}

/// The public addresses of what a rule names as a source; none while they are not known.
fn addresses(target: &Related) -> Option<Vec<IpAddr>> {
    let row = target.resource.as_ref().filter(|row| !row.is_deleting())?;
    Some(match target.key.kind {
        Kind::SecurityGroup => SecurityGroupFacts::of(row).members,
        Kind::Instance => InstanceFacts::of(row).public_addresses,
        Kind::Nic => NicFacts::of(row).public_ips.iter().map(|ip| ip.address).collect(),
        _ => return None,
    })
}

/// What a rule says that does not apply to its protocol.
pub(super) fn idle_member(rule: &SecurityGroupRuleSpec) -> Option<String> {
    let idle = match rule.protocol? {
        Protocol::Icmp if rule.ports.is_some() => "ports do not apply to icmp",
        Protocol::Tcp | Protocol::Udp | Protocol::TcpUdp if rule.icmp.is_some() => {
            "icmp applies to the protocol icmp only"
        }
        _ => return None,
    };
    Some(format!("A part of the rule has no effect: {idle}."))
}
