//! Whether what is read after a call shows that the call took effect.

use std::time::Duration;

use control_plane::{
    Reason,
    ports::{Note, Outcome},
};
use hcloud_client::types::{Action, Firewall, Id, ImageStatus, Network, Route, Server, ServerStatus, VolumeStatus};
use ipnet::Ipv4Net;

use crate::{
    call::{Call, Until},
    snapshot::{Change, Object, ObjectId, Observation},
};

type Made = Outcome<Observation>;

/// Whether an object shows the effect of a call.
pub(crate) fn judge_effect(call: &Call, object: Object, actions: &[Action]) -> Made {
    let not_yet = |after_ms: u64, message: &str| Outcome::Retry {
        after: Some(Duration::from_millis(after_ms)),
        note: Note::new(Reason::ProviderBusy, message),
    };
    let acted = !actions.is_empty();
    match (call, &object) {
        // The provider remembers it for the servers that were made from it.
        (_, Object::Image(image)) if image.deleted.is_some() => {
            Outcome::Done(Observation::gone(ObjectId::Image(image.id)))
        }
        (Call::Read { until, why, .. }, _) => {
            if is_there(*until, &object) {
                Outcome::Done(Observation::seen(object))
            } else {
                waiting_for(*until, why.as_deref())
            }
        }
        (call, _) if call.is_removal() => not_yet(1_000, "The provider is still removing it."),
        (Call::UpdateServer { labels, .. }, Object::Server(server)) if server.labels != *labels => {
            not_yet(0, "The server does not bear its new labels yet.")
        }
        (Call::Poweron { .. }, Object::Server(server)) if !acted && !is_on(server) => {
            not_yet(500, "The server is not running yet.")
        }
        (Call::Poweroff { .. }, Object::Server(server)) if server.status != ServerStatus::Off => {
            not_yet(500, "The server is not off yet.")
        }
        (Call::Shutdown { server: id, seq, .. }, Object::Server(server)) => {
            if acted || server.status == ServerStatus::Off {
                let sent = Change::ShutdownSent { server: *id, seq: *seq };
                Outcome::Done(Observation::seen(object).and(sent))
            } else {
                not_yet(0, "The guest may not have been asked to shut down; it is asked again.")
            }
        }
        (Call::Reboot { .. } | Call::Reset { .. }, _) => {
            Outcome::Done(rebooted(call, actions, Observation::seen(object)))
        }
        (Call::SetFirewallRules { rules, .. }, Object::Firewall(firewall)) if !firewall.has_rules(rules) => {
            not_yet(500, "The firewall does not have its rules yet.")
        }
        (Call::ApplyFirewall { firewall, .. }, Object::Server(server)) if !has_firewall(server, *firewall) => {
            not_yet(500, "The server is not behind the firewall yet.")
        }
        (Call::ResizeVolume { size, .. }, Object::Volume(volume)) if volume.size < *size => {
            not_yet(500, "The volume does not have its new size yet.")
        }
        (Call::ChangeIpRange { ip_range, .. }, Object::Network(network)) if network.ip_range != *ip_range => {
            not_yet(500, "The network does not have its new range yet.")
        }
        (Call::AddSubnet { network: id, subnet, owner }, Object::Network(network)) => {
            match subnet.ip_range.filter(|range| has_subnet(network, *range)) {
                Some(range) => {
                    let added = Change::SubnetAdded { network: *id, range, owner: *owner };
                    Outcome::Done(Observation::seen(object).and(added))
                }
                None => not_yet(500, "The subnet does not exist yet."),
            }
        }
        (Call::DeleteSubnet { ip_range, .. }, Object::Network(network)) if has_subnet(network, *ip_range) => {
            not_yet(500, "The subnet still exists.")
        }
        (Call::AddRoute { route, .. }, Object::Network(network)) if !network.routes.contains(route) => {
            not_yet(500, "The route does not exist yet.")
        }
        (Call::DeleteRoute { route, .. }, Object::Network(network)) if network.routes.contains(route) => {
            not_yet(500, "The route still exists.")
        }
        _ => Outcome::Done(Observation::seen(object)),
    }
}

/// Whether a firewall stands before a server, or is about to.
pub(crate) fn has_firewall(server: &Server, firewall: Id<Firewall>) -> bool {
    server.public_net.firewalls.iter().any(|applied| applied.id == firewall)
}

pub(crate) fn has_subnet(network: &Network, range: Ipv4Net) -> bool {
    network.subnets.iter().any(|subnet| subnet.ip_range == Some(range))
}

/// Whether a server is on, or will be without anybody's doing.
fn is_on(server: &Server) -> bool {
    matches!(server.status, ServerStatus::Running | ServerStatus::Starting)
}

/// Whether nothing is under way with a server: only then it can be changed.
pub(crate) fn is_settled(server: &Server) -> bool {
    !server.locked && matches!(server.status, ServerStatus::Running | ServerStatus::Off)
}

fn is_there(until: Until, object: &Object) -> bool {
    match (until, object) {
        (Until::Settled, Object::Server(server)) => is_settled(server),
        (Until::Off, Object::Server(server)) => server.status == ServerStatus::Off,
        (Until::Free, Object::Volume(volume)) => volume.server.is_none(),
        (Until::Free, Object::PrimaryIp(ip)) => ip.assignee_id.is_none(),
        (Until::NoSubnet(range), Object::Network(network)) => overlapping(network, range).is_none(),
        (Until::NoRoute(destination), Object::Network(network)) => route_to(network, destination).is_none(),
        (Until::Settled, Object::Volume(volume)) => volume.status != VolumeStatus::Creating,
        (Until::Settled, Object::Image(image)) => image.status != ImageStatus::Creating,
        _ => true,
    }
}

/// What is said of an object that is not as it is waited for. What a person must change is looked at every 30 s; how long
/// the rest takes, the engine learns.
fn waiting_for(until: Until, why: Option<&str>) -> Made {
    const PERSON: Duration = Duration::from_secs(30);
    let (after, reason, told) = match until {
        Until::Free => (Some(PERSON), Reason::WaitingForDependency, "It is in use at Hetzner Cloud."),
        Until::NoSubnet(_) | Until::NoRoute(_) => {
            (Some(PERSON), Reason::AddressConflict, "It is taken in the network.")
        }
        Until::Settled | Until::Known => {
            (None, Reason::ProviderBusy, "Another action on the object is under way at Hetzner Cloud.")
        }
        Until::Off => (
            None,
            Reason::ProviderBusy,
            "The guest was asked to shut down; its power is cut when the grace period is over.",
        ),
    };
    Outcome::Retry { after, note: Note::new(reason, why.unwrap_or(told)) }
}

/// A subnet of a network that overlaps a block.
pub(crate) fn overlapping(network: &Network, range: Ipv4Net) -> Option<Ipv4Net> {
    network.subnets.iter().filter_map(|subnet| subnet.ip_range).find(|other| overlap(*other, range))
}

/// The route of a network to a destination.
pub(crate) fn route_to(network: &Network, destination: Ipv4Net) -> Option<&Route> {
    network.routes.iter().find(|route| route.destination == destination)
}

/// Remembers which action a reboot was.
pub(crate) fn rebooted(call: &Call, actions: &[Action], observation: Observation) -> Observation {
    match (call, actions.first()) {
        (Call::Reboot { server, .. } | Call::Reset { server, .. }, Some(action)) => {
            observation.and(Change::Rebooted { server: *server, action: action.id.get() })
        }
        _ => observation,
    }
}

pub(crate) fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}
