//! A power cycle of ours: what Hetzner Cloud changes only while a server is off is changed at once where the owner of the
//! instance allows it. The guest is asked to shut down, the change is made, and the server is switched on again. The status
//! goes on showing the instance as on. An action that a client sends meanwhile takes the place of the cycle. What somebody
//! else undid at the server is never a reason for one.

use control_plane::{
    Reason, Resource,
    facts::{Facts, InstanceFacts, PowerCycle},
    ports::{Plan, Planned},
};
use hcloud_client::types::{Server, ServerStatus};
use seca_api::{PowerState, ResourceState};

use super::{
    Checked, Context, act,
    diff::{Diff, Rest, is_guarded},
    power,
    shape::Shape,
};
use crate::{
    call::{Until, millis},
    naming,
    objects::ObjectId,
};

/// `"allow"`: a server that runs is switched off and on for a change that needs it.
const DISRUPTIVE_EXTENSION: &str = "hetzner.cloud/disruptive";
/// After how many tries in a row of a change the server is switched on without it.
const TRIES: u32 = 3;

/// The cycle that an instance is in. One that a later action took the place of is none.
pub(super) fn under_way(row: &Resource) -> Option<PowerCycle> {
    InstanceFacts::of(row).power_cycle.filter(|cycle| cycle.action == row.action.seq && !row.is_deleting())
}

/// What a cycle needs next; one begins where something waits for it. The shape is complete but for that.
pub(super) fn next(diff: &Diff<'_, '_>, rest: &Rest) -> Checked<Option<Planned>> {
    let (context, server) = (diff.context, diff.server);
    let is_on = power::observed(server) == Some(PowerState::On);
    let cycle = match under_way(context.resource()) {
        // It is over.
        Some(cycle) if cycle.ending && is_on => return Ok(None),
        Some(_) if !is_on => return switch_on(diff, rest.awaits_another()).map(Some),
        Some(cycle) => cycle,
        None if is_on && is_wanted(diff, rest) => {
            PowerCycle { action: context.resource().action.seq, since: millis(context.now), ending: false }
        }
        None => return Ok(None),
    };
    // No power action has a number like this.
    let off = power::switch_off(context, server, -cycle.since, context.desired.stop_grace, |facts| {
        facts.power_cycle = Some(cycle);
    });
    let what = if rest.when_off.is_empty() { "a change".to_owned() } else { rest.when_off.join(", ") };
    let text = format!("It is switched off and on again, as the extension {DISRUPTIVE_EXTENSION} allows, for: {what}.");
    Ok(Some(off.note(Reason::AppliesWhenOff, text)))
}

/// Whether somebody asked for a change that could be made if the server were off.
fn is_wanted(diff: &Diff<'_, '_>, rest: &Rest) -> bool {
    let context = diff.context;
    let row = context.resource();
    let is_allowed = row.extension(DISRUPTIVE_EXTENSION).as_deref() == Some("allow");
    let is_settled = !diff.shape.unsettled && context.bundle().attempts == 0;
    if !is_allowed || !is_settled || rest.when_off.is_empty() {
        return false;
    }
    if InstanceFacts::of(row).complete.is_some_and(|complete| complete == hash(diff.shape)) {
        return false;
    }
    let off = Server { status: ServerStatus::Off, ..diff.server.clone() };
    let step = Diff { context, server: &off, shape: diff.shape }.next();
    step.err().is_some_and(|planned| matches!(&planned.plan, Plan::Act(step) if !step.reads))
}

/// A change that was refused again and again is left for a later stop: the server is switched on without it.
pub(super) fn given_up(diff: &Diff<'_, '_>) -> Checked<Option<Planned>> {
    let context = diff.context;
    let row = context.resource();
    let Some(cycle) = under_way(row) else { return Ok(None) };
    let is_refused = row.state == ResourceState::Error || context.bundle().attempts >= TRIES;
    let is_off = power::observed(diff.server) == Some(PowerState::Off);
    if !is_off || !(cycle.ending || is_refused) {
        return Ok(None);
    }
    switch_on(diff, false).map(Some)
}

/// Ends a cycle. What waits for another instance (`again`) is a reason for the next one.
fn switch_on(diff: &Diff<'_, '_>, again: bool) -> Checked<Planned> {
    let (context, server) = (diff.context, diff.server);
    diff.interface()?;
    if !is_guarded(server) {
        return Err(Box::new(act(context.watch(ObjectId::Server(server.id), Until::Applied).step(&server.name))));
    }
    let tried = Some(hash(diff.shape)).filter(|_| !again);
    Ok(power::power_on(context, server, None, |facts| {
        facts.power_cycle = facts.power_cycle.map(|cycle| PowerCycle { ending: true, ..cycle });
        facts.complete = tried;
    }))
}

/// What is remembered when the server is seen: a cycle is over when it runs again, or when an action took its place.
pub(super) fn remember(facts: &mut InstanceFacts, context: &Context<'_>, server: &Server) {
    let is_over = |cycle: &PowerCycle| cycle.ending && server.status == ServerStatus::Running;
    facts.power_cycle = under_way(context.resource()).filter(|cycle| !is_over(cycle));
}

/// Notes the shape that a server has in full: what differs from it later while it stays the same, others did. Only those
/// remember it that may be switched off.
pub(super) fn complete(facts: &mut InstanceFacts, context: &Context<'_>, shape: &Shape<'_>) {
    let is_allowed = context.resource().extension(DISRUPTIVE_EXTENSION).as_deref() == Some("allow");
    facts.complete = is_allowed.then(|| hash(shape));
}

/// Tells shapes apart by what changes only while a server is off.
fn hash(shape: &Shape<'_>) -> String {
    let addresses = [&shape.ipv4, &shape.ipv6].map(|ip| ip.as_ref().map(|ip| ip.primary_ip));
    let nets: Vec<_> = shape.attachments.iter().map(|net| (net.network, net.address)).collect();
    naming::hash(&format!("{addresses:?} {nets:?} {:?}", shape.group), 26)
}
