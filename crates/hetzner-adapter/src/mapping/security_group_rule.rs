//! A security group rule is intent: it becomes a rule of a Hetzner firewall with the groups that name it.

use control_plane::{Reason, ports::Planned};
use seca_api::{Kind, Protocol, SecurityGroupRuleSpec};

use super::{Checked, Context, Mapping, missing_targets, noted, referrers, settled};

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
    let mut notes = Vec::from_iter(missing_targets(context));
    notes.extend(idle_member(&spec).map(|text| (Reason::PartlySupported, text)));
    let idle = match referrers(context, &[Kind::SecurityGroup]) {
        None => "No security group names it, so it filters nothing.".to_owned(),
        Some(groups) => format!(
            "It is named by {groups}, but filters nothing yet: putting security groups in front of instances comes \
             with a later release."
        ),
    };
    notes.push((Reason::NotInEffect, idle));
    Ok(noted(settled(), notes))
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
