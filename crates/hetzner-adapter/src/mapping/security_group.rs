//! A security group is intent: it becomes a Hetzner firewall with the first instance that uses it. Until then no rule
//! of it filters anything, and each says so in its own status.

use control_plane::{Reason, ports::Planned};
use seca_api::{Kind, ResourceState, SecurityGroupSpec, SecurityGroupStatus};
use serde_json::json;

use super::{
    Checked, Context, Mapping, PlannedExt, map, missing_targets, noted, part_status, referrers,
    security_group_rule::idle_member, settled,
};

/// See the module.
pub(super) struct SecurityGroupMapping;

impl Mapping for SecurityGroupMapping {
    fn kind(&self) -> Kind {
        Kind::SecurityGroup
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context)
    }
}

fn alive(context: &Context<'_>) -> Checked<Planned> {
    let spec: SecurityGroupSpec = context.spec()?;
    let before: SecurityGroupStatus = context.resource().status().unwrap_or_default();
    let status = |(index, rule)| {
        let idle = Some((Reason::NotInEffect, idle_member(rule)));
        part_status(ResourceState::Pending, idle, before.rules.get(index), context.now)
    };
    let rules: Vec<_> = spec.rules.iter().enumerate().map(status).collect();
    let members = if rules.is_empty() { map(&[]) } else { map(&[("rules", json!(rules))]) };
    let planned = settled().status(members);
    let idle = match referrers(context, &[Kind::Instance, Kind::Nic]) {
        None => "Nothing names it, so it filters nothing.".to_owned(),
        Some(users) => format!(
            "It is named by {users}, but filters nothing yet: putting security groups in front of instances comes with \
             a later release."
        ),
    };
    Ok(noted(planned, missing_targets(context).into_iter().chain([(Reason::NotInEffect, idle)])))
}
