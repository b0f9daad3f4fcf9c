//! Power: what the last accepted action still needs, and what a client sees of it.
//!
//! Start and stop are done when the server is seen on or off. A reboot leaves nothing to be seen, so it is done
//! when its step is. What a person does at the console changes the status only.

use std::time::Duration;

use control_plane::{
    ActionKind, disk,
    facts::{BlockStorageFacts, Facts, InstanceFacts},
    ports::Planned,
};
use hcloud_client::types::{Server, ServerStatus};
use seca_api::{InstanceStatus, PowerState, Timestamp};
use serde_json::{Map, Value, json};

use super::{Context, PlannedExt, act, cycle, instance, map, seen};
use crate::{
    call::{StepExt, Until, millis},
    objects::{ObjectId, ServerCall},
};

/// How often a reboot is tried before the server is reset.
const REBOOTS: u32 = 3;

/// In place of a power action's number: the guest was asked because its instance is deleted.
const DELETED: i64 = -1;
/// How long a guest has at most to shut down when its instance is deleted.
const LAST_GRACE: Duration = Duration::from_secs(20);

/// What power still needs.
pub(super) enum Next {
    /// This.
    Act(Box<Planned>),
    /// Nothing; the number of the action that is seen to be done.
    Settled(Option<i64>),
}

impl Next {
    fn act(planned: Planned) -> Self {
        Self::Act(Box::new(planned))
    }
}

/// The power of a server that is in neither transition.
pub(super) fn observed(server: &Server) -> Option<PowerState> {
    match server.status {
        ServerStatus::Running => Some(PowerState::On),
        ServerStatus::Off => Some(PowerState::Off),
        _ => None,
    }
}

/// Whether something is under way with a server, so that the provider would refuse a change.
pub(super) fn is_busy(server: &Server) -> bool {
    server.locked
        || matches!(
            server.status,
            ServerStatus::Initializing
                | ServerStatus::Starting
                | ServerStatus::Stopping
                | ServerStatus::Deleting
                | ServerStatus::Migrating
                | ServerStatus::Rebuilding
        )
}

/// Whether a server runs, so that it has run.
pub(super) fn has_run(server: &Server) -> bool {
    matches!(server.status, ServerStatus::Running | ServerStatus::Starting | ServerStatus::Stopping)
}

/// What the last accepted action still needs of a server that nothing is under way with.
pub(super) fn next(context: &Context<'_>, server: &Server) -> Next {
    let action = context.resource().action;
    match (action.pending(), observed(server)) {
        (None, _) => Next::Settled(None),
        (Some(ActionKind::Start | ActionKind::Restart), Some(PowerState::On)) if is_shutting_down(context) => {
            Next::act(end_shutdown(context, server))
        }
        (Some(ActionKind::Start), Some(PowerState::On)) | (Some(ActionKind::Stop), Some(PowerState::Off)) => {
            Next::Settled(Some(action.seq))
        }
        (Some(ActionKind::Start), _) => Next::act(power_on(context, server, None, |_| {})),
        (Some(ActionKind::Stop), _) => {
            Next::act(switch_off(context, server, action.seq, context.desired.stop_grace, |_| {}))
        }
        // It went off by other hands: a restart brings it up all the same.
        (Some(ActionKind::Restart), Some(PowerState::Off)) => {
            Next::act(power_on(context, server, Some(action.seq), |_| {}))
        }
        (Some(ActionKind::Restart), _) => Next::act(restart(context, server)),
    }
}

/// Whether the guest was asked to shut down for an earlier action and was not seen off since: it is on only for now.
fn is_shutting_down(context: &Context<'_>) -> bool {
    InstanceFacts::of(context.resource()).shutdown_seq.is_some_and(|seq| seq < context.resource().action.seq)
}

/// The stop ends as it would have ended; then the server is off, and is started.
fn end_shutdown(context: &Context<'_>, server: &Server) -> Planned {
    let asked_at = InstanceFacts::of(context.resource()).shutdown_at;
    let waited = asked_at.map(|at| context.now.since(Timestamp::from_millis(at)));
    if waited.is_none_or(|waited| waited >= context.desired.stop_grace) {
        return act(ServerCall::Poweroff { server: server.id }.step(&server.name));
    }
    act(context.watch(ObjectId::Server(server.id), Until::Off).step(&server.name))
}

/// Ends a server whose instance is deleted and whose disk stays: the guest is asked, and its power is cut a little later.
pub(super) fn end(context: &Context<'_>, server: &Server) -> Planned {
    switch_off(context, server, DELETED, context.desired.stop_grace.min(LAST_GRACE), |_| {})
}

/// Asks the guest to shut down, under a number, and looks now and then; the power is cut when the grace period is over.
pub(super) fn switch_off(
    context: &Context<'_>,
    server: &Server,
    seq: i64,
    grace: Duration,
    also: impl FnOnce(&mut InstanceFacts),
) -> Planned {
    let row = context.resource();
    let facts = InstanceFacts::of(row);
    let asked_at = facts.shutdown_at.filter(|_| facts.shutdown_seq == Some(seq)).map(Timestamp::from_millis);
    if asked_at.is_some_and(|asked_at| context.now.since(asked_at) >= grace) {
        return act(ServerCall::Poweroff { server: server.id }.step(&server.name));
    }
    if asked_at.is_some() && context.snapshot.was_asked_to_shut_down(server.id, seq) {
        return act(context.watch(ObjectId::Server(server.id), Until::Off).step(&server.name));
    }
    // Asking a guest twice does no harm, and after a restart of ours nobody knows whether it was asked.
    let first = asked_at.unwrap_or(context.now);
    let asked = InstanceFacts::mark(row, |facts| {
        facts.shutdown_seq = Some(seq);
        facts.shutdown_at = Some(millis(first));
        also(facts);
    });
    let call = ServerCall::Shutdown { server: server.id, seq, issued_at: millis(context.now) };
    act(call.step(&server.name).mark(asked))
}

/// What is remembered of a shutdown ends when the server is seen off.
fn without_shutdown(planned: Planned, context: &Context<'_>, server: &Server) -> Planned {
    match observed(server) {
        Some(PowerState::Off) => planned.remember(context.resource(), |facts: &mut InstanceFacts| {
            facts.shutdown_seq = None;
            facts.shutdown_at = None;
        }),
        _ => planned,
    }
}

/// Switches a server on; one that was taken over for another SKU gets its type with that.
pub(super) fn power_on(
    context: &Context<'_>,
    server: &Server,
    completes: Option<i64>,
    also: impl FnOnce(&mut InstanceFacts),
) -> Planned {
    // A volume that nobody marks would not inherit the disk, and one that is not the disk must not be marked.
    let Some(volume) = instance::disk(context) else { return instance::wrong_volume(context) };
    let (call, completes) = match retype(context, server) {
        // The provider starts the server after it; where it does not, that is the next step.
        Some(server_type) => (ServerCall::ChangeType { server: server.id, server_type, upgrade_disk: false }, None),
        None => (ServerCall::Poweron { server: server.id }, completes),
    };
    let ran = |facts: &mut InstanceFacts| {
        facts.ever_started = true;
        also(facts);
    };
    let step = call.step(&server.name);
    let step =
        step.mark(InstanceFacts::trial(context.resource(), ran)).mark(BlockStorageFacts::trial(volume, disk::start));
    act(match completes {
        Some(seq) => step.completes(seq),
        None => step,
    })
}

/// The type that a server of another instance is to get when it is started; none once it has it.
pub(super) fn retype(context: &Context<'_>, server: &Server) -> Option<String> {
    InstanceFacts::of(context.resource()).retype.filter(|wanted| *wanted != server.server_type.name)
}

fn restart(context: &Context<'_>, server: &Server) -> Planned {
    let row = context.resource();
    let seq = row.action.seq;
    let was_sent = InstanceFacts::of(row).reboot_seq == Some(seq);
    let (server_id, issued_at) = (server.id, millis(context.now));
    let after_action = last_reboot(context, server);
    let call = if was_sent && context.bundle().attempts >= REBOOTS {
        ServerCall::Reset { server: server_id, issued_at, after_action }
    } else {
        ServerCall::Reboot { server: server_id, issued_at, after_action }
    };
    act(call.step(&server.name).mark(InstanceFacts::mark(row, |facts| facts.reboot_seq = Some(seq))).completes(seq))
}

/// The last reboot that anybody knows of: the action list of the server has it among the new ones.
fn last_reboot(context: &Context<'_>, server: &Server) -> Option<i64> {
    InstanceFacts::of(context.resource()).last_reboot.max(context.snapshot.last_reboot(server.id))
}

/// A plan with all that is seen of a server.
pub(super) fn with_status(planned: Planned, context: &Context<'_>, server: &Server) -> Planned {
    let last_reboot = last_reboot(context, server);
    let planned = planned.status(status(context, server)).remember(context.resource(), |facts: &mut InstanceFacts| {
        facts.server_id = Some(server.id.to_string());
        facts.last_reboot = last_reboot;
        // Whoever switched it on: its disk may hold data.
        facts.ever_started |= has_run(server);
        facts.retype = retype(context, server);
        cycle::remember(facts, context, server);
        seen::remember(facts, context, server);
    });
    without_shutdown(planned, context, server)
}

/// Whether the server runs, and the last action is to end that.
pub(super) fn is_to_stop(context: &Context<'_>, server: &Server) -> bool {
    let is_on = observed(server) == Some(PowerState::On);
    is_on && matches!(context.resource().action.pending(), Some(ActionKind::Stop | ActionKind::Restart))
}

/// Whether the server is off, and the last action is to end that.
pub(super) fn is_to_start(context: &Context<'_>, server: &Server) -> bool {
    let is_off = observed(server) == Some(PowerState::Off);
    is_off && context.resource().action.pending().is_some_and(ActionKind::powers_on)
}

/// The status members: the power, and since when it is so. None while it was never on.
fn status(context: &Context<'_>, server: &Server) -> Map<String, Value> {
    let before: InstanceStatus = context.resource().status().unwrap_or_default();
    // A power cycle of ours is none of the client's.
    let is_cycled = cycle::under_way(context.resource()).is_some();
    let power = observed(server).filter(|_| !is_cycled).unwrap_or(before.power_state);
    let since = if power == before.power_state { before.power_state_since } else { Some(context.now) };
    let mut members = map(&[("powerState", json!(power))]);
    if let Some(since) = since {
        members.insert("powerStateSince".to_owned(), json!(since));
    }
    members
}

/// The status of an instance that has no server: it is off.
pub(super) fn status_without_server(context: &Context<'_>) -> Option<Map<String, Value>> {
    let before: InstanceStatus = context.resource().status().unwrap_or_default();
    (before.power_state != PowerState::Off)
        .then(|| map(&[("powerState", json!(PowerState::Off)), ("powerStateSince", json!(context.now))]))
}
