//! What people do at the console.

use hcloud_client::types::{Id, Network, Server, ServerStatus};
use proptest::prelude::*;
use serde_json::json;

use crate::world::{World, make, model::Model};

/// One thing that somebody does to one of the objects that are there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hand {
    SwitchOn,
    SwitchOff,
    DeleteServer,
    DeleteSnapshot,
    DeleteVolume,
    DeleteAddress,
    /// Of a server that is off.
    TakeAddress,
    TakeFirewall,
    TakeNetwork,
    TakeVolume,
    /// A volume that no server has is attached to one.
    PutVolume,
    /// The labels of a server.
    TakeLabels,
    /// A server of somebody's has an address of a network that others may want, as its own or as an alias.
    Occupy {
        alias: bool,
    },
    /// The rules of a firewall.
    TakeRules,
}

impl Hand {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            6 => Just(Self::SwitchOn),
            2 => Just(Self::SwitchOff),
            1 => Just(Self::DeleteServer),
            1 => Just(Self::DeleteSnapshot),
            1 => Just(Self::DeleteVolume),
            1 => Just(Self::DeleteAddress),
            1 => Just(Self::TakeAddress),
            1 => Just(Self::TakeFirewall),
            1 => Just(Self::TakeNetwork),
            1 => Just(Self::TakeVolume),
            1 => Just(Self::PutVolume),
            1 => Just(Self::TakeLabels),
            1 => any::<bool>().prop_map(|alias| Self::Occupy { alias }),
            1 => Just(Self::TakeRules),
        ]
    }

    /// Does it, if there is something to do it to.
    pub(super) fn act(self, world: &mut World, which: usize, seen: bool) {
        let rows: Vec<String> = world.rows.values().filter_map(|row| row.fact("serverId").map(str::to_owned)).collect();
        let model = &mut world.model;
        let server = pick(&model.servers, which).map(|server| server.id);
        match self {
            Self::SwitchOn => {
                if let Some(server) = pick(&model.servers, which).filter(|server| has_interface(server)) {
                    model.power(server.id, "running").unwrap();
                }
            }
            Self::SwitchOff => {
                let on = |server: &&Server| server.status == ServerStatus::Running;
                if let Some(server) = pick(&model.servers, which).filter(on).map(|server| server.id) {
                    model.power(server, "off").unwrap();
                }
            }
            Self::DeleteServer => {
                if let Some(server) = server {
                    world.lose(server.into(), seen);
                    world.model.remove_server(server);
                }
            }
            Self::DeleteSnapshot => {
                let complete: Vec<_> =
                    model.images.iter().filter(|image| image.status.to_string() != "creating").collect();
                if let Some(image) = pick(&complete, which).map(|image| image.id) {
                    world.lose(image.into(), seen);
                    world.model.remove_image(image);
                }
            }
            Self::DeleteVolume => {
                let free = |model: &Model, id| model.volumes.iter().any(|v| v.id == id && v.server.is_none());
                if let Some(volume) = pick(&model.volumes, which).map(|volume| volume.id)
                    && free(model, volume)
                {
                    model.volumes.retain(|other| other.id != volume);
                }
            }
            Self::DeleteAddress => {
                let free: Vec<_> = model.primary_ips.iter().filter(|ip| ip.assignee_id.is_none()).collect();
                if let Some(ip) = pick(&free, which).map(|ip| ip.id) {
                    model.primary_ips.retain(|other| other.id != ip);
                }
            }
            Self::TakeAddress => {
                if let Some(server) = pick(&model.servers, which).filter(|server| server.status == ServerStatus::Off) {
                    let net = &server.public_net;
                    let ips = [net.ipv4.as_ref().and_then(|ip| ip.id), net.ipv6.as_ref().and_then(|ip| ip.id)];
                    if let Some(ip) = ips.into_iter().flatten().next() {
                        model.assign(ip, None).unwrap();
                    }
                }
            }
            Self::TakeFirewall => {
                if let Some(server) = pick_mut(&mut model.servers, which) {
                    server.public_net.firewalls.pop();
                }
            }
            Self::TakeNetwork => {
                let Some(server) = pick_mut(&mut model.servers, which) else { return };
                let (id, left) = (server.id, server.private_net.pop());
                for network in
                    model.networks.iter_mut().filter(|n| left.as_ref().is_some_and(|left| left.network == n.id))
                {
                    network.servers.retain(|other| *other != id);
                }
            }
            Self::TakeVolume => {
                if let Some(volume) = pick(&model.volumes, which).map(|volume| volume.id) {
                    model.attach(volume, None).unwrap();
                }
            }
            Self::PutVolume => {
                let free: Vec<_> = model.volumes.iter().filter(|volume| volume.server.is_none()).collect();
                let volume = pick(&free, which / 7).map(|volume| (volume.id, volume.location.name.clone()));
                let Some(((volume, there), server)) = volume.zip(pick(&model.servers, which)) else { return };
                if there == server.location.name {
                    let server = server.id;
                    model.attach(volume, Some(server)).unwrap();
                }
            }
            Self::TakeLabels => {
                // One that no row remembers is nobody's from then on.
                let is_known = |server: &Server| rows.contains(&server.id.to_string());
                if let Some(server) = pick_mut(&mut model.servers, which).filter(|server| is_known(server)) {
                    server.labels.clear();
                }
            }
            Self::Occupy { alias } => {
                if let Some(network) = pick(&model.networks, which).map(|network| network.id) {
                    occupy(model, network, which, alias);
                }
            }
            Self::TakeRules => {
                if let Some(firewall) = pick_mut(&mut model.firewalls, which) {
                    firewall.rules.clear();
                }
            }
        }
    }
}

fn pick<T>(all: &[T], which: usize) -> Option<&T> {
    all.get(which % all.len().max(1))
}

fn pick_mut<T>(all: &mut [T], which: usize) -> Option<&mut T> {
    let count = all.len().max(1);
    all.get_mut(which % count)
}

fn has_interface(server: &Server) -> bool {
    let net = &server.public_net;
    net.ipv4.is_some() || net.ipv6.is_some() || !server.private_net.is_empty()
}

const FOREIGN: &str = "somebodys";

fn occupy(model: &mut Model, network: Id<Network>, which: usize, alias: bool) {
    let wanted = std::net::Ipv4Addr::new(10, 0, (which % 3) as u8, 2 + (which % 2) as u8);
    let own = std::net::Ipv4Addr::new(10, 0, (which % 3) as u8, 200);
    let has = |server: &Server, ip: std::net::Ipv4Addr| {
        server.attachment(network).is_some_and(|net| net.ip == Some(ip) || net.alias_ips.contains(&ip))
    };
    let addresses = if alias { vec![own, wanted] } else { vec![wanted] };
    if addresses.iter().any(|ip| model.servers.iter().any(|server| has(server, *ip))) {
        return;
    }
    let id = 2_000_000 + model.servers.len() as i64 + which as i64 * 100;
    if model.servers.iter().any(|server| server.id.get() == id) {
        return;
    }
    let mut server = make::server(id, &format!("{FOREIGN}-{id}"), "off", &json!({}), &[]);
    server.public_net.ipv6 = None;
    let net = json!({"network": network, "ip": addresses[0], "alias_ips": addresses[1..], "mac_address": "86:00:00:00:ff:ff"});
    server.private_net.push(serde_json::from_value(net).unwrap());
    let id = server.id;
    model.servers.push(server);
    model.networks.iter_mut().filter(|other| other.id == network).for_each(|network| network.servers.push(id));
}

/// Somebody removes what is nobody's, and takes back what was put somewhere by hand.
pub(super) fn put_right(model: &mut Model) {
    let foreign: Vec<_> =
        model.servers.iter().filter(|server| server.labels.is_empty()).map(|server| server.id).collect();
    for server in foreign {
        model.remove_server(server);
    }
    model.primary_ips.retain(|ip| ip.assignee_id.is_some() || !ip.labels.is_empty());
    let attached: Vec<_> =
        model.volumes.iter().filter(|volume| volume.server.is_some()).map(|volume| volume.id).collect();
    for volume in attached {
        model.attach(volume, None).unwrap();
    }
}
