//! Servers: what they are and show, and what a finished action does to them.

use super::actions::{Effect, JobKind, Kind, Start};
use super::catalog::{find_type, location_json};
use super::clock::Time;
use super::content::Content;
use super::firewalls::{self, Applied};
use super::http::{Api, ApiError, Reply};
use super::input::Ref;
use super::labels::Labels;
use super::primary_ips::PrimaryIp;
use super::query::ListSpec;
use super::state::{Cx, Project, check_name};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Power {
    Initializing,
    Starting,
    Running,
    Stopping,
    Off,
    Deleting,
    Migrating,
    Rebuilding,
}

impl Power {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Off => "off",
            Self::Deleting => "deleting",
            Self::Migrating => "migrating",
            Self::Rebuilding => "rebuilding",
        }
    }
}

/// A server's interface in a network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PrivateNet {
    pub(crate) network: i64,
    pub(crate) ip: Ipv4Addr,
    pub(crate) alias_ips: Vec<Ipv4Addr>,
    pub(crate) mac: String,
    /// False while the action that attaches it runs: the address is taken, the server does not show it yet.
    pub(crate) ready: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) created: Time,
    pub(crate) power: Power,
    /// Changes with every power action, so that a guest's late shutdown does not hit a server started since.
    pub(crate) epoch: u64,
    pub(crate) server_type: String,
    pub(crate) location: String,
    pub(crate) image: Option<i64>,
    pub(crate) primary_disk_size: i64,
    pub(crate) placement_group: Option<i64>,
    pub(crate) private_net: Vec<PrivateNet>,
    pub(crate) firewalls: Vec<Applied>,
    pub(crate) user_data: Option<String>,
    pub(crate) ssh_keys: Vec<i64>,
    pub(crate) protect_delete: bool,
    pub(crate) protect_rebuild: bool,
    pub(crate) rescue: bool,
    /// The guest ignores the ACPI power button.
    pub(crate) ignores_acpi: bool,
    /// The public keys that the guest got at its creation; the objects they came from may be gone.
    #[serde(default)]
    pub(crate) authorized_keys: Vec<String>,
    /// What its local disk holds.
    #[serde(default)]
    pub(crate) content: Content,
}

/// What a finished action does to a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Created,
    /// The power state after success, and after failure.
    Power {
        to: Power,
        otherwise: Power,
    },
    ShutdownSent {
        epoch: u64,
    },
    Deleted,
    NetworkReady(i64),
    NetworkGone(i64),
    AliasIps {
        network: i64,
        ips: Vec<Ipv4Addr>,
    },
    Type {
        name: String,
        disk: i64,
    },
    Rebuilt {
        image: i64,
        user_data: Option<String>,
        /// What the image held when it was asked for.
        #[serde(default)]
        content: Content,
    },
    Group(Option<i64>),
    Protect {
        delete: bool,
        rebuild: bool,
    },
    Rescue(bool),
}

impl Server {
    pub(crate) fn has_firewall(&self, id: i64) -> bool {
        self.firewalls.iter().any(|applied| applied.firewall == id)
    }
}

impl Project {
    /// Whether the server has a public interface.
    pub(crate) fn is_public(&self, id: i64) -> bool {
        self.primary_ips.values().any(|ip| ip.server == Some(id))
    }

    /// Whether the server has any interface, public or private; without one it cannot be powered on.
    pub(crate) fn is_connected(&self, id: i64) -> bool {
        self.is_public(id) || self.servers.get(&id).is_some_and(|server| !server.private_net.is_empty())
    }
}

pub(crate) fn render(cx: &Cx<'_>, server: &Server) -> Value {
    let project = &*cx.project;
    let volumes: Vec<i64> =
        project.volumes.values().filter(|volume| volume.server == Some(server.id)).map(|volume| volume.id).collect();
    let address = |v4| project.primary_ip_of(server.id, v4).map(PrimaryIp::public_net_json);
    let firewall = |applied: &Applied| json!({"id": applied.firewall, "status": if applied.active { "applied" } else { "pending" }});
    let private = |net: &PrivateNet| {
        json!({"network": net.network, "ip": net.ip.to_string(), "mac_address": net.mac,
            "alias_ips": net.alias_ips.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>()})
    };
    json!({
        "id": server.id, "name": server.name, "status": server.power.name(), "created": server.created.rfc3339(),
        "public_net": {
            "ipv4": address(true), "ipv6": address(false), "floating_ips": [],
            "firewalls": server.firewalls.iter().map(firewall).collect::<Vec<_>>(),
        },
        "private_net": server.private_net.iter().filter(|net| net.ready).map(private).collect::<Vec<_>>(),
        "server_type": find_type(&Ref::Name(server.server_type.clone())).map(|known| known.json(cx.shared)),
        "location": location_json(&server.location),
        "image": project.image_json(server.image),
        "iso": null, "rescue_enabled": server.rescue,
        "locked": project.is_locked(Kind::Server, server.id),
        "backup_window": null, "outgoing_traffic": 0, "ingoing_traffic": 0, "included_traffic": 21_990_232_555_520_i64,
        "protection": {"delete": server.protect_delete, "rebuild": server.protect_rebuild},
        "labels": server.labels, "volumes": volumes, "load_balancers": [],
        "primary_disk_size": server.primary_disk_size,
        "placement_group": server.placement_group.map(|id| project.placement_group_json(id)),
    })
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec =
        ListSpec { key: "servers", filters: &["name", "status"], sorts: &["id", "name", "created"], labels: true };
    // A page is chosen by this much of each; only what is on it is put together, because a project may have a thousand.
    let head = |s: &Server| json!({"id": s.id, "name": s.name, "status": s.power.name(), "created": s.created.rfc3339(), "labels": s.labels});
    let mut reply = cx.list(&spec, cx.project.servers.values().map(head).collect())?;
    let shown = reply.body.as_mut().and_then(|body| body["servers"].as_array_mut());
    for item in shown.into_iter().flatten() {
        *item = render(cx, find(cx, item["id"].as_i64().unwrap_or_default())?);
    }
    Ok(reply)
}

pub(crate) fn find<'a>(cx: &'a Cx<'_>, id: i64) -> Api<&'a Server> {
    cx.project.servers.get(&id).ok_or_else(|| ApiError::not_found("server", id))
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    Ok(Reply::ok(json!({"server": render(cx, find(cx, id)?)})))
}

/// RFC 1123: labels of letters, digits and inner dashes, joined by dots.
pub(crate) fn check_hostname(name: &str) -> Api<()> {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(())
    } else {
        Err(ApiError::invalid("name", "is not a valid hostname"))
    }
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (name, labels) = (input.text("name"), input.labels());
    input.check()?;
    find(cx, id)?;
    if let Some(name) = &name {
        check_hostname(name)?;
        let servers = cx.project.servers.values();
        check_name(servers.map(|server| (server.id, server.name.as_str())), Some(id), name, "server")?;
    }
    if let Some(server) = cx.project.servers.get_mut(&id) {
        server.name = name.unwrap_or_else(|| server.name.clone());
        if let Some(labels) = labels {
            server.labels = labels;
            firewalls::labels_changed(cx);
        }
    }
    get(cx, id)
}

/// 200 with an action, unlike every other delete.
pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    if find(cx, id)?.protect_delete {
        return Err(ApiError::protected("server"));
    }
    cx.project.check_unlocked(Kind::Server, id)?;
    if let Some(server) = cx.project.servers.get_mut(&id) {
        server.power = Power::Deleting;
        server.epoch += 1;
    }
    let action = cx.start(Start::new("delete_server", Effect::Server(id, Change::Deleted)).on(Kind::Server, id));
    Ok(Reply::ok(json!({"action": cx.action_json(action)})))
}

/// Takes the server away with what goes with it: volumes are detached, addresses unassigned or deleted, backups deleted.
pub(crate) fn remove(cx: &mut Cx<'_>, id: i64) {
    let (now, project) = (cx.now, &mut *cx.project);
    let Some(gone) = project.servers.remove(&id) else { return };
    for volume in project.volumes.values_mut() {
        volume.server = volume.server.filter(|server| *server != id);
        volume.attaching_to = volume.attaching_to.filter(|server| *server != id);
    }
    project.primary_ips.retain(|_, ip| ip.server != Some(id) || !ip.auto_delete);
    for ip in project.primary_ips.values_mut().filter(|ip| ip.server == Some(id)) {
        ip.server = None;
    }
    for firewall in project.firewalls.values_mut() {
        firewall.servers.remove(&id);
    }
    project.images.retain(|_, image| image.bound_to != Some(id));
    // Images that were kept only because a server showed them.
    let unused: Vec<i64> = project
        .images
        .values()
        .filter(|image| image.deleted.is_some() && !project.servers.values().any(|s| s.image == Some(image.id)))
        .map(|image| image.id)
        .collect();
    for image in unused {
        project.images.remove(&image);
    }
    project.content_gone("server", id, &gone.content, now);
}

/// Whether a server has an address of the range in the network, or is getting one.
pub(crate) fn any_in(cx: &Cx<'_>, network: i64, range: &Ipv4Net) -> bool {
    cx.project
        .servers
        .values()
        .any(|server| server.private_net.iter().any(|net| net.network == network && range.contains(&net.ip)))
}

/// The guest obeys the power button, unless its power was touched since.
pub(crate) fn guest_off(cx: &mut Cx<'_>, id: i64, epoch: u64) {
    if let Some(server) = cx.project.servers.get_mut(&id)
        && server.epoch == epoch
        && server.power == Power::Running
    {
        server.power = Power::Off;
    }
}

pub(crate) fn settle(cx: &mut Cx<'_>, id: i64, change: &Change, success: bool) {
    if let (Change::Deleted, true) = (change, success) {
        return remove(cx, id);
    }
    if let (Change::ShutdownSent { epoch }, true) = (change, success) {
        let wait = cx.latency("guest_shutdown");
        let at = cx.now.plus_ms(wait);
        let obeys = cx.project.servers.get(&id).is_some_and(|server| !server.ignores_acpi);
        if obeys {
            cx.project.schedule(at, JobKind::GuestOff { server: id, epoch: *epoch });
        }
        return;
    }
    let starts = cx.shared.switches.change_type_starts && cx.project.is_connected(id);
    let late = cx.shared.switches.creation_firewalls_late;
    let Some(server) = cx.project.servers.get_mut(&id) else { return };
    match (change, success) {
        (Change::Created, ok) => {
            server.power = Power::Off;
            if !ok {
                server.content = Content::default();
            }
            for applied in server.firewalls.iter_mut().filter(|applied| ok && !late && !applied.by_selector) {
                if let Some(firewall) = cx.project.firewalls.get(&applied.firewall) {
                    applied.activate(&firewall.rules);
                }
            }
            firewalls::labels_changed(cx);
        }
        (Change::Power { to, otherwise }, ok) => server.power = if ok { *to } else { *otherwise },
        (Change::Deleted, false) => server.power = Power::Off,
        (Change::NetworkReady(network), true) => {
            server.private_net.iter_mut().filter(|net| net.network == *network).for_each(|net| net.ready = true);
        }
        (Change::NetworkReady(network), false) | (Change::NetworkGone(network), true) => {
            server.private_net.retain(|net| net.network != *network);
        }
        (Change::AliasIps { network, ips }, true) => {
            for net in server.private_net.iter_mut().filter(|net| net.network == *network) {
                net.alias_ips.clone_from(ips);
            }
        }
        (Change::Type { name, disk }, true) => {
            server.server_type.clone_from(name);
            server.primary_disk_size = *disk;
            server.power = if starts { Power::Running } else { Power::Off };
            server.epoch += 1;
        }
        (Change::Type { .. }, false) => server.power = Power::Off,
        (Change::Rebuilt { image, user_data, content }, true) => {
            server.image = Some(*image);
            let before = std::mem::replace(&mut server.content, content.clone());
            if user_data.is_some() {
                server.user_data.clone_from(user_data);
            }
            server.power = Power::Running;
            cx.project.content_gone("server", id, &before, cx.now);
        }
        (Change::Rebuilt { .. }, false) => server.power = Power::Off,
        (Change::Group(group), true) => server.placement_group = *group,
        (Change::Protect { delete, rebuild }, true) => {
            server.protect_delete = *delete;
            server.protect_rebuild = *rebuild;
        }
        (Change::Rescue(rescue), true) => server.rescue = *rescue,
        _ => {}
    }
}
