//! Whether what is read after a call shows that the call took effect.

use control_plane::{
    Reason,
    ports::{Note, Outcome},
};
use hcloud_client::types::{Action, Firewall, Id, ImageStatus, Network, Server, ServerStatus, VolumeStatus};
use ipnet::Ipv4Net;

use crate::{
    call::{Call, Until, from_millis},
    snapshot::{Change, Object, ObjectId, Observation},
};

type Made = Outcome<Observation>;

/// Whether an object shows the effect of a call.
pub(crate) fn judge_effect(call: &Call, object: Object, actions: &[Action]) -> Made {
    let not_yet = |after_ms: u64, message: &str| Outcome::Retry {
        after: Some(from_millis(after_ms)),
        note: Note::new(Reason::ProviderBusy, message),
    };
    let acted = !actions.is_empty();
    match (call, &object) {
        // The provider remembers it for the servers that were made from it.
        (_, Object::Image(image)) if image.deleted.is_some() => {
            Outcome::Done(Observation::gone(ObjectId::Image(image.id)))
        }
        (Call::Read { until, retry_ms, .. }, _) => {
            if is_there(*until, &object) {
                Outcome::Done(Observation::seen(object))
            } else {
                not_yet(*retry_ms, waiting_for(*until))
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
        (Until::Known, _) => true,
        (_, Object::Volume(volume)) => volume.status != VolumeStatus::Creating,
        (_, Object::Image(image)) => image.status != ImageStatus::Creating,
        _ => true,
    }
}

fn waiting_for(until: Until) -> &'static str {
    match until {
        Until::Settled => "Another action on the object is under way at Hetzner Cloud.",
        Until::Known => "It is being looked for at Hetzner Cloud.",
        Until::Off => "The guest was asked to shut down; its power is cut when the grace period is over.",
    }
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
