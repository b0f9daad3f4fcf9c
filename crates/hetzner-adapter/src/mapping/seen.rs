//! What is seen of an instance's server, and what a person is told of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use control_plane::{
    ActionKind, Reason, Resource,
    facts::{Facts, InstanceFacts, Interface},
};
use hcloud_client::types::{Id, PrimaryIp, Server, ServerFirewallStatus};
use seca_api::InstanceSpec;

use super::{
    Checked, Context, act, auxiliary,
    diff::{Rest, is_placeholder},
    instance::hash_of,
    keys::Keys,
    missing_targets, power,
    shape::{Shape, names_group},
};
use crate::objects::{FirewallCall, has_firewall};

/// Whether an instance's server is to be what the instance names. One of the release before has nothing of it, and is left
/// as it is until somebody writes to the instance, or starts or restarts it. A stop alone only switches it off.
pub(super) fn is_shaped(row: &Resource) -> bool {
    let writes = row.generation - row.observed_generation;
    let is_stop_alone = writes == 1 && row.action.pending() == Some(ActionKind::Stop);
    InstanceFacts::of(row).shaped || writes != 0 && !is_stop_alone
}

/// What the row remembers of a server that is seen.
pub(super) fn remember(facts: &mut InstanceFacts, context: &Context<'_>, server: &Server) {
    facts.shaped |= is_shaped(context.resource());
    if let Some(id) = placeholder(context, server) {
        facts.placeholder = Some(id.to_string());
    }
    let net = &server.public_net;
    let ipv4 = net.ipv4.iter().map(|ip| IpAddr::V4(ip.ip));
    let ipv6 = net.ipv6.iter().filter(|ip| ip.id.is_none_or(|id| Some(id) != placeholder(context, server)));
    facts.public_addresses = ipv4.chain(ipv6.filter_map(|ip| ip.ip.hosts().nth(1).map(IpAddr::V6))).collect();
    let before = std::mem::take(&mut facts.interfaces);
    facts.interfaces = server
        .private_net
        .iter()
        .map(|net| {
            let network_id = net.network.to_string();
            let known = before.iter().find(|interface| interface.network_id == network_id);
            let ours = known.map(|interface| interface.aliases.clone()).unwrap_or_default();
            Interface {
                address: net.ip,
                aliases: ours.into_iter().filter(|address| net.alias_ips.contains(address)).collect(),
                mac: net.mac_address.clone(),
                network_id,
            }
        })
        .collect();
}

/// Of the further addresses of a server's interfaces, those are ours that its shape has; what else is there, others added.
pub(super) fn remember_aliases(facts: &mut InstanceFacts, server: &Server, shape: &Shape<'_>) {
    for interface in &mut facts.interfaces {
        let wanted = shape.attachments.iter().find(|wanted| wanted.network.to_string() == interface.network_id);
        let net = server.private_net.iter().find(|net| net.network.to_string() == interface.network_id);
        let (Some(wanted), Some(net)) = (wanted, net) else { continue };
        let ours: BTreeSet<Ipv4Addr> = wanted.aliases.iter().copied().collect();
        interface.aliases = net.alias_ips.iter().copied().filter(|address| ours.contains(address)).collect();
    }
}

/// The address that a server has only because it needs an interface.
fn placeholder(context: &Context<'_>, server: &Server) -> Option<Id<PrimaryIp>> {
    let id = server.public_net.ipv6.as_ref()?.id?;
    is_placeholder(context, id).then_some(id)
}

/// Puts the firewall that lets nothing through before a server that has nothing but the placeholder.
pub(super) fn stand_closed(context: &Context<'_>, server: &Server) -> Checked<()> {
    let firewall = auxiliary::closed(context)?;
    if has_firewall(server, firewall.id) {
        return Ok(());
    }
    Err(Box::new(act(FirewallCall::Apply { firewall: firewall.id, server: server.id }.step(&server.name))))
}

/// All that a person must know about an instance that is as asked for; the weightiest gives the reason.
pub(super) fn notes(context: &Context<'_>, server: &Server, spec: &InstanceSpec, rest: Rest) -> Vec<(Reason, String)> {
    let mut notes = Vec::from_iter(missing_targets(context));
    notes.extend(rest.notes);
    if !rest.when_off.is_empty() {
        let text = format!(
            "Hetzner Cloud changes this only while the server is off, and it is done after the next stop (a restart does \
             not do): {}.",
            rest.when_off.join(", ")
        );
        notes.push((Reason::AppliesWhenOff, text));
    }
    if let Some(wanted) = power::retype(context, server) {
        let text = format!(
            "Its server was another instance's and is a {} still; the next start makes it a {wanted}. Its disk stays as it is.",
            server.server_type.name
        );
        notes.push((Reason::AppliesOnStart, text));
    }
    notes.extend(made_with(context, spec));
    notes.extend(interfaces(context, server));
    notes
}

/// The same about a server of the release before.
pub(super) fn notes_unshaped(context: &Context<'_>, server: &Server, spec: &InstanceSpec) -> Vec<(Reason, String)> {
    let mut notes = Vec::from_iter(missing_targets(context));
    if names_anything(spec) {
        let text = "An earlier release made the server, and attached nothing of what the instance names. That is done when \
                    the instance is sent again, started or restarted.";
        notes.push((Reason::AppliesOnNextWrite, text.to_owned()));
    }
    notes.extend(made_with(context, spec));
    notes.extend(interfaces(context, server));
    notes
}

fn names_anything(spec: &InstanceSpec) -> bool {
    let nics = spec.primary_nic_ref.iter().chain(&spec.additional_nic_refs).chain(&spec.security_group_ref);
    let named = nics.filter(|reference| !reference.is_unset()).count();
    named > 0
        || !spec.data_volumes.is_empty()
        || !spec.ssh_keys.is_empty()
        || spec.anti_affinity_group.as_ref().is_some_and(|group| !group.is_empty())
}

/// What a server keeps that it was made with.
fn made_with(context: &Context<'_>, spec: &InstanceSpec) -> Vec<(Reason, String)> {
    let facts = InstanceFacts::of(context.resource());
    let mut notes = Vec::new();
    let mut other = Vec::new();
    if facts.user_data_hash != hash_of(spec.user_data.as_ref()) {
        other.push("user data");
    }
    if facts.keys_hash.is_some_and(|hash| hash != Keys::of(spec, context.installation()).hash()) {
        other.push("SSH keys");
    }
    if !other.is_empty() {
        let text = format!(
            "The server was made with other {}; the change applies when the instance is created again.",
            other.join(" and ")
        );
        notes.push((Reason::AppliesOnRecreate, text));
    }
    if let Some(image) = facts.default_image {
        let text = format!("Nothing that boots was on the boot volume, so it was made from `{image}`.");
        notes.push((Reason::BootImageDefaulted, text));
    }
    notes
}

/// What a person must know of a server's interfaces.
fn interfaces(context: &Context<'_>, server: &Server) -> Vec<(Reason, String)> {
    let net = &server.public_net;
    let placeholder = placeholder(context, server);
    let is_public = net.ipv4.is_some() || net.ipv6.as_ref().is_some_and(|ip| ip.id.is_none() || ip.id != placeholder);
    if is_public && net.firewalls.is_empty() {
        let text = "No security group is named, so everything reaches the instance by its public address.";
        return vec![(Reason::Unfiltered, text.to_owned())];
    }
    let closed = auxiliary::closed_before(context, server);
    if is_public && closed.is_some() && context.settings.ungrouped_closed && !names_group(context) {
        let text =
            "No security group is named, and the operator closes such instances: nothing passes by its public address.";
        return vec![(Reason::ClosedWithoutGroup, text.to_owned())];
    }
    if is_public || placeholder.is_none() {
        return Vec::new();
    }
    let is_closed = net.firewalls.iter().any(|f| Some(f.id) == closed && f.status == ServerFirewallStatus::Applied);
    let closed = match is_closed {
        true => "that a firewall closes in both directions.",
        false => "that a firewall is about to close in both directions.",
    };
    let text = match server.private_net.is_empty() {
        true => format!("No NIC is attached, so the server has an IPv6 interface {closed}"),
        false => format!("Until it is off the server keeps an IPv6 interface {closed}"),
    };
    vec![(Reason::PlaceholderInterface, text)]
}
