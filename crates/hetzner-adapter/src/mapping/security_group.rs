//! A security group is one Hetzner firewall while an instance or a NIC names it, or several where its rules are more than
//! one firewall takes. The instance puts them before its server; the group keeps their rules. A rule that goes, goes
//! before others come: what neither the rules before nor those after let pass never passes.

use std::{collections::BTreeSet, net::IpAddr};

use control_plane::{
    Reason, Resource,
    facts::{Facts, GroupFirewall, InstanceFacts, NicFacts, SecurityGroupFacts, SecurityGroupRuleFacts},
    ports::Planned,
};
use hcloud_client::types::{CreateFirewall, Firewall, Server, ServerStatus};
use seca_api::{Kind, ResourceState, SecurityGroupSpec, SecurityGroupStatus};
use serde_json::json;

use super::{
    Checked, Context, Mapping, Owned, PlannedExt, act, map, missing_targets, noted, part_status,
    security_group_rule::{idle_member, resolved},
    seen, settled, wait,
};
use crate::{
    firewall_rules::{Compiled, CompiledRule, Shard, compile_rule, expand, same_rules},
    naming,
    objects::{FirewallCall, ObjectType, has_firewall},
    owner::{Owner, Role},
};

/// The fields that name rules.
const RULES: &str = "/spec/ruleRefs/";

/// See the module.
pub(super) struct SecurityGroupMapping;

impl Mapping for SecurityGroupMapping {
    fn kind(&self) -> Kind {
        Kind::SecurityGroup
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context)
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        let rules = context.spec().ok().map(|spec| compiled(context, &spec)).filter(|rules| rules.excess().is_none());
        let shards = rules.map(|rules| rules.shards).unwrap_or_default();
        remove(context, &BTreeSet::new(), &shards).unwrap_or_else(settled)
    }

    fn objects(&self) -> &'static [Owned] {
        &[Owned { kind: ObjectType::Firewall, made: true }]
    }
}

/// The role of the firewall that holds a part of the rules: the first one has none.
fn role(part: usize) -> Option<Role> {
    (part > 0).then(|| Role::parse(&format!("part-{part}")).ok()).flatten()
}

fn owner(context: &Context<'_>, part: usize) -> Owner {
    Owner::Resource { uid: context.resource().uid, role: role(part) }
}

fn firewall<'a>(context: &Context<'a>, part: usize) -> Option<&'a Firewall> {
    context.snapshot.owned_by(context.installation(), &owner(context, part))
}

/// The instances and NICs that name it.
fn users<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Resource> {
    let rows = context.bundle().referrers.iter().filter_map(|related| related.resource.as_ref());
    rows.filter(|row| matches!(row.key.kind, Kind::Instance | Kind::Nic))
}

/// Whether a group has been as it is since the release before, which made no firewalls and told no rules.
fn is_of_release_before(row: &Resource) -> bool {
    SecurityGroupFacts::of(row).rules.is_none() && row.observed_generation == row.generation
}

/// Whether a user of such a group has been written to since: an instance itself, a NIC too by the instance that has it.
fn is_written(user: &Resource) -> bool {
    match user.key.kind {
        Kind::Instance => seen::is_shaped(user),
        _ => user.holder.is_some() || user.observed_generation != user.generation,
    }
}

fn alive(context: &Context<'_>) -> Checked<Planned> {
    let spec: SecurityGroupSpec = context.spec()?;
    let row = context.resource();
    let compiled = compiled(context, &spec);
    let is_waiting = is_of_release_before(row) && !users(context).any(is_written);
    let is_used = users(context).next().is_some() && !is_waiting;
    let shards: &[Shard] = if is_used { &compiled.shards } else { &[] };
    let members = members(context);
    let excess = compiled.excess();
    let mut firewalls = Vec::new();
    if excess.is_none() {
        for (part, shard) in shards.iter().enumerate() {
            match firewall(context, part) {
                None => return Ok(publish(create(context, part, shard), row, None, &members)),
                Some(found) if !same_rules(&shard.rules, &found.rules) => {
                    return Ok(publish(set_rules(found, shard), row, None, &members));
                }
                Some(found) => firewalls.push(GroupFirewall { id: found.id.to_string(), hash: shard.hash.clone() }),
            }
        }
    }
    let known = Known { firewalls, ready: excess.is_none(), rules: compiled.effective_rules };
    let planned = publish(settled(), row, (excess.is_none() && !is_waiting).then_some(known), &members);
    // Those that are not needed any more go when no instance has them: those that have are told first.
    if excess.is_none()
        && let Some(removal) = remove(context, &(0..shards.len()).collect(), &compiled.shards)
    {
        return Ok(Planned { facts: planned.facts, ..removal });
    }
    let mut notes = Vec::from_iter(missing_targets(context));
    if let Some(excess) = excess {
        notes.push((Reason::RulesTooMany, format!("The former rules stay in force: {excess}.")));
    }
    match users(context).next() {
        None => notes.push((Reason::NotInEffect, "Nothing names it, so it filters nothing.".to_owned())),
        Some(_) if is_waiting => notes.push((
            Reason::AppliesOnNextWrite,
            "An earlier release made the instances that it is to filter. It stands before them when they are sent again, \
             started or restarted."
                .to_owned(),
        )),
        Some(_) => {}
    }
    notes.extend(compiled.notes.iter().map(|note| (Reason::PartlySupported, note.to_string())));
    Ok(noted(planned.status(status(context, &spec, is_used)), notes))
}

/// What its rules come to: its own, and those that it names.
fn compiled(context: &Context<'_>, spec: &SecurityGroupSpec) -> Compiled {
    let row = context.resource();
    let own = spec.rules.iter().map(|rule| resolved(context, compile_rule(rule, &row.key)));
    let targets = context.bundle().targets.iter().filter(|target| target.field.starts_with(RULES));
    let named = targets.filter_map(|target| target.resource.as_ref()).filter(|row| !row.is_deleting());
    let named = named.filter_map(published);
    let rules: Vec<CompiledRule> = own.chain(named).collect();
    // What a reference comes to is in the rule already.
    expand(&rules, &|_| None)
}

fn published(rule: &Resource) -> Option<CompiledRule> {
    serde_json::from_value(SecurityGroupRuleFacts::of(rule).compiled?).ok()
}

/// The public addresses of the instances that are in the group, by their own word or by a NIC's.
fn members(context: &Context<'_>) -> Vec<IpAddr> {
    let addresses = users(context).flat_map(|row| match row.key.kind {
        Kind::Instance => InstanceFacts::of(row).public_addresses,
        _ => NicFacts::of(row).public_ips.iter().map(|ip| ip.address).collect(),
    });
    addresses.collect::<BTreeSet<_>>().into_iter().collect()
}

fn create(context: &Context<'_>, part: usize, shard: &Shard) -> Planned {
    let name = owner(context, part).object_name(context.installation(), &context.resource().key.name);
    let labels = match role(part) {
        None => context.labels("create_firewall"),
        Some(role) => context.labels_in_role("create_firewall", &role),
    };
    let body = CreateFirewall { name: name.clone(), labels, rules: shard.rules.clone(), apply_to: Vec::new() };
    act(FirewallCall::Create(Box::new(body)).step(name))
}

fn set_rules(firewall: &Firewall, shard: &Shard) -> Planned {
    act(FirewallCall::SetRules { firewall: firewall.id, rules: shard.rules.clone() }.step(&firewall.name))
}

/// Removes the firewalls that hold no part of the rules; first those have to stand before no server any more. Until then
/// each filters what it stands before, so its part of `shards`, the rules that the group has, is kept in it.
fn remove(context: &Context<'_>, parts: &BTreeSet<usize>, shards: &[Shard]) -> Option<Planned> {
    for (part, shard) in shards.iter().enumerate().filter(|(part, _)| !parts.contains(part)) {
        if let Some(firewall) = firewall(context, part)
            && context.snapshot.is_firewall_used(firewall)
            && !same_rules(&shard.rules, &firewall.rules)
        {
            return Some(set_rules(firewall, shard));
        }
    }
    let all = context.snapshot.objects_of::<Firewall>(context.installation(), context.resource().uid);
    let wanted: BTreeSet<Option<Role>> = parts.iter().map(|part| role(*part)).collect();
    let (_, firewall) = all.into_iter().find(|(role, _)| !wanted.contains(role))?;
    if context.snapshot.is_firewall_used(firewall) {
        return Some(still_used(context, firewall));
    }
    Some(act(FirewallCall::Delete { firewall: firewall.id }.step(&firewall.name)))
}

/// An instance lets a firewall go at once, but for one that filters an address which goes when the instance is off.
fn still_used(context: &Context<'_>, firewall: &Firewall) -> Planned {
    let behind =
        |server: &&Server| naming::is_of(&server.labels, context.installation()) && has_firewall(server, firewall.id);
    let is_named = users(context).next().is_some();
    match context.snapshot.all::<Server>().find(|server| behind(server) && server.status != ServerStatus::Off) {
        Some(server) if !is_named => {
            let name = server.labels.get(naming::NAME).map_or(server.name.as_str(), String::as_str);
            let text = format!(
                "The group filters an address that the instance `{name}` is to lose, and a Hetzner server lets an address \
                 go only while it is off; stop the instance."
            );
            wait(Reason::AppliesWhenOff, text)
        }
        _ => {
            let text = "A firewall of its former rules still stands before an instance, which lets it go.";
            wait(Reason::WaitingForDependency, text)
        }
    }
}

/// What is known of its firewalls.
struct Known {
    firewalls: Vec<GroupFirewall>,
    ready: bool,
    rules: usize,
}

/// A plan that publishes who is in the group and, if that is known, its firewalls.
fn publish(planned: Planned, row: &Resource, known: Option<Known>, members: &[IpAddr]) -> Planned {
    planned.remember(row, |facts: &mut SecurityGroupFacts| {
        facts.members = members.to_vec();
        facts.ready = known.as_ref().is_some_and(|known| known.ready);
        if let Some(known) = known {
            facts.firewalls = known.firewalls;
            facts.rules = u32::try_from(known.rules).ok();
        }
    })
}

fn status(
    context: &Context<'_>,
    spec: &SecurityGroupSpec,
    is_used: bool,
) -> serde_json::Map<String, serde_json::Value> {
    let before: SecurityGroupStatus = context.resource().status().unwrap_or_default();
    let status = |(index, rule)| {
        let idle = idle_member(rule).map(|text| (Reason::PartlySupported, Some(text)));
        let state = if is_used { ResourceState::Active } else { ResourceState::Pending };
        let idle = idle.or_else(|| (!is_used).then_some((Reason::NotInEffect, None)));
        part_status(state, idle, before.rules.get(index), context.now)
    };
    let rules: Vec<_> = spec.rules.iter().enumerate().map(status).collect();
    if rules.is_empty() { map(&[]) } else { map(&[("rules", json!(rules))]) }
}
