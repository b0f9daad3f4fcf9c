//! The firewall behind which instances without a NIC have their placeholder interface. It belongs to no single
//! resource: the first that needs it makes it, the last that used it removes it.

use control_plane::{Reason, ports::Planned};
use hcloud_client::types::{
    CreateFirewall, Firewall, FirewallRule, RuleDirection, RuleProtocol, Server, ServerFirewallStatus,
};
use ipnet::IpNet;

use super::{Checked, Context, act, facts, mark};
use crate::{
    call::StepExt,
    naming,
    objects::{FirewallCall, has_firewall},
};

const PURPOSE: &str = "deny-all";

/// The firewall, if it exists.
fn find<'a>(context: &Context<'a>) -> Option<&'a Firewall> {
    context.snapshot.shared(context.installation(), PURPOSE, None)
}

/// The firewall as it must be; else what makes it so.
pub(super) fn ready<'a>(context: &Context<'a>) -> Checked<&'a Firewall> {
    let Some(firewall) = find(context) else {
        return Err(Box::new(create(context)));
    };
    // Somebody opened it: no further server gets behind it like that.
    if firewall.rules.len() != 1 || !firewall.rules.iter().all(is_rule) {
        let call = FirewallCall::SetRules { firewall: firewall.id, rules: vec![rule()] };
        return Err(Box::new(act(call.step(&firewall.name))));
    }
    Ok(firewall)
}

/// Puts the firewall before a server that has none of it any more, and closes it if somebody opened it.
pub(super) fn stand_before(context: &Context<'_>, server: &Server) -> Checked<()> {
    let firewall = ready(context)?;
    if has_firewall(server, firewall.id) {
        return Ok(());
    }
    Err(Box::new(act(FirewallCall::Apply { firewall: firewall.id, server: server.id }.step(&server.name))))
}

/// Whether the firewall is seen to be in force before a server.
pub(super) fn is_in_force(context: &Context<'_>, server: &Server) -> bool {
    let firewalls = &server.public_net.firewalls;
    find(context)
        .is_some_and(|own| firewalls.iter().any(|f| f.id == own.id && f.status == ServerFirewallStatus::Applied))
}

fn create(context: &Context<'_>) -> Planned {
    let name = naming::shared_name(PURPOSE, context.installation());
    let body = CreateFirewall {
        name: name.clone(),
        labels: naming::shared_labels(context.installation(), PURPOSE),
        rules: vec![rule()],
        apply_to: Vec::new(),
    };
    act(FirewallCall::Create(Box::new(body)).step(name))
}

/// No rule inwards lets nothing in; outwards a rule is needed, or everything gets out: one to an address that exists
/// nowhere (RFC 5737).
fn rule() -> FirewallRule {
    FirewallRule {
        description: Some("Lets nothing out: without a rule everything may leave".to_owned()),
        direction: RuleDirection::Out,
        source_ips: Vec::new(),
        destination_ips: vec![nowhere()],
        protocol: RuleProtocol::Tcp,
        port: Some("1".to_owned()),
    }
}

fn is_rule(rule: &FirewallRule) -> bool {
    rule.direction == RuleDirection::Out && rule.destination_ips == [nowhere()]
}

fn nowhere() -> IpNet {
    IpNet::new_assert([192, 0, 2, 1].into(), 32)
}

/// Removes it if nothing is behind it any more. A resource removes one at most: another one is that of somebody who
/// is just about to use it. After some refusals it is left to the next one who deletes: the provider knows of a
/// user that its lists do not show.
pub(super) fn release(context: &Context<'_>) -> Option<Planned> {
    const TRIES: u32 = 10;
    let firewall = find(context)?;
    let id = firewall.id.to_string();
    let is_other = context.resource().fact(facts::RELEASED_FIREWALL).is_some_and(|released| released != id);
    if is_other || context.snapshot.is_firewall_used(firewall) || context.bundle().attempts > TRIES {
        return None;
    }
    let released = mark(context.resource(), &[(facts::RELEASED_FIREWALL, id.into())]);
    let planned = act(FirewallCall::Delete { firewall: firewall.id }.step(&firewall.name).mark(released));
    Some(planned.note(
        Reason::WaitingForDependency,
        "The firewall of the placeholder interface, which nothing uses any more, is being removed.",
    ))
}
