//! `POST /servers`: checks everything first, then makes the server, its addresses and the chain of actions.

use super::actions::{Effect, Kind, Start};
use super::catalog::{LOCATIONS, ServerType, find_location, find_type, zone_of};
use super::content::Content;
use super::firewalls::Applied;
use super::http::{Api, ApiError, Reply};
use super::images::Image;
use super::input::{Input, Ref};
use super::labels::Labels;
use super::server_networks::{MAX_NETWORKS, pick_address, reserve};
use super::servers::{Change, Power, Server, check_hostname, find, render};
use super::state::{Cx, check_name};
use super::volumes::{MAX_PER_SERVER as MAX_VOLUMES, start_attach};
use super::{firewalls, primary_ips};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// 32 KiB.
const MAX_USER_DATA: usize = 32 * 1024;

struct Wanted {
    name: String,
    server_type: Ref,
    image: Ref,
    location: Option<Ref>,
    start: bool,
    labels: Labels,
    volumes: Vec<i64>,
    networks: Vec<i64>,
    firewalls: Vec<i64>,
    ssh_keys: Vec<Ref>,
    placement_group: Option<i64>,
    user_data: Option<String>,
    v4: Address,
    v6: Address,
}

/// What the request says of one address family.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Address {
    None,
    New,
    Existing(i64),
}

fn parse(mut input: Input) -> Api<Wanted> {
    let (v4, v6) = parse_public_net(&mut input);
    let firewalls = input.array("firewalls").unwrap_or_default();
    let ids: Vec<i64> = firewalls.iter().filter_map(|value| value["firewall"].as_i64()).collect();
    if ids.len() != firewalls.len() {
        input.reject("firewalls", "must be a list of {firewall: id}");
    }
    let keys = input.array("ssh_keys").unwrap_or_default();
    let wanted = Wanted {
        name: input.required_text("name"),
        server_type: input.required_reference("server_type"),
        image: input.required_reference("image"),
        location: input.reference("location"),
        start: input.flag("start_after_create").unwrap_or(true),
        labels: input.labels().unwrap_or_default(),
        volumes: input.integers("volumes"),
        networks: input.integers("networks"),
        firewalls: ids,
        ssh_keys: keys.iter().filter_map(Ref::of).collect(),
        placement_group: input.integer("placement_group"),
        user_data: input.text("user_data").filter(|text| !text.is_empty()),
        v4,
        v6,
    };
    if input.get("datacenter").is_some() {
        input.reject("datacenter", "was removed on 2026-07-01; use location");
    }
    if wanted.user_data.as_ref().is_some_and(|text| text.len() > MAX_USER_DATA) {
        input.reject("user_data", "must be at most 32 KiB");
    }
    input.check()?;
    check_hostname(&wanted.name)?;
    Ok(wanted)
}

fn parse_public_net(input: &mut Input) -> (Address, Address) {
    let Some(mut net) = input.object("public_net") else { return (Address::New, Address::New) };
    let address = |net: &mut Input, family: &str| {
        let enabled = net.flag(&format!("enable_{family}")).unwrap_or(true);
        match (enabled, net.integer(family)) {
            (false, _) => Address::None,
            (true, Some(id)) => Address::Existing(id),
            (true, None) => Address::New,
        }
    };
    let addresses = (address(&mut net, "ipv4"), address(&mut net, "ipv6"));
    input.adopt("public_net", &net);
    addresses
}

pub(crate) fn create(cx: &mut Cx<'_>) -> Api<Reply> {
    let input = cx.input();
    let wanted = parse(input)?;
    let servers = &cx.project.servers;
    check_name(servers.values().map(|server| (server.id, server.name.as_str())), None, &wanted.name, "server")?;
    cx.project.check_limit("server_limit", servers.len())?;
    let server_type = find_type(&wanted.server_type)
        .ok_or_else(|| ApiError::invalid("server_type", &format!("server type {} not found", wanted.server_type)))?;
    let location = choose_location(cx, &wanted, server_type)?;
    let image = cx.project.usable_image(&wanted.image, server_type.architecture(), server_type.disk)?;
    check_references(cx, &wanted, location)?;
    check_addresses(cx, &wanted, location)?;
    if let Some(group) = wanted.placement_group {
        cx.check_placement(group)?;
    }
    if !cx.shared.availability(server_type.name, location).orderable {
        return Err(unavailable());
    }
    build(cx, wanted, server_type, location, &image)
}

pub(crate) fn unavailable() -> ApiError {
    ApiError::new(
        412,
        "resource_unavailable",
        "error during placement: the requested resource is currently unavailable",
    )
}

/// The location asked for, or the one that volumes and addresses are in, or the first that sells the type.
fn choose_location(cx: &Cx<'_>, wanted: &Wanted, server_type: &ServerType) -> Api<&'static str> {
    let given = match &wanted.location {
        Some(location) => {
            Some(find_location(location).ok_or_else(|| ApiError::invalid("location", "location not found"))?)
        }
        None => {
            let volume = wanted.volumes.iter().filter_map(|id| cx.project.volumes.get(id)).map(|v| &v.location);
            let addresses = [wanted.v4, wanted.v6].into_iter().filter_map(|address| match address {
                Address::Existing(id) => cx.project.primary_ips.get(&id).map(|ip| &ip.location),
                Address::None | Address::New => None,
            });
            volume.chain(addresses).next().and_then(|name| find_location(&Ref::Name(name.clone())))
        }
    };
    let location = match given {
        Some(location) => location.name,
        None => LOCATIONS
            .iter()
            .map(|location| location.name)
            .find(|name| server_type.is_in(name) && cx.shared.availability(server_type.name, name).orderable)
            .ok_or_else(unavailable)?,
    };
    if server_type.is_over() {
        return Err(ApiError::invalid("server_type", "server type is deprecated and can no longer be ordered"));
    }
    if !server_type.is_in(location) {
        return Err(ApiError::invalid("server_type", "unsupported location for server type"));
    }
    Ok(location)
}

fn check_references(cx: &Cx<'_>, wanted: &Wanted, location: &str) -> Api<()> {
    let project = &*cx.project;
    check_unique("volumes", &wanted.volumes)?;
    check_unique("firewalls", &wanted.firewalls)?;
    check_unique("networks", &wanted.networks)?;
    for id in &wanted.volumes {
        let volume = project.volumes.get(id).ok_or_else(|| ApiError::invalid("volumes", "volume not found"))?;
        if volume.location != location {
            return Err(ApiError::invalid("volumes", "volume and server must be in the same location"));
        }
        if volume.server.is_some() {
            return Err(ApiError::unprocessable("volume_already_attached", "volume is already attached to a server"));
        }
        project.check_unlocked(Kind::Volume, *id)?;
    }
    if wanted.volumes.len() > MAX_VOLUMES {
        return Err(ApiError::limit("server_volume_limit"));
    }
    for id in &wanted.firewalls {
        if !project.firewalls.contains_key(id) {
            return Err(ApiError::invalid("firewalls", &format!("firewall with ID '{id}' not found")));
        }
    }
    firewalls::check_new_server(cx, &wanted.firewalls)?;
    for key in &wanted.ssh_keys {
        if !project.ssh_keys.values().any(|known| key.is(known.id, &known.name)) {
            return Err(ApiError::invalid("ssh_keys", &format!("SSH key '{key}' not found")));
        }
    }
    if wanted.networks.len() > MAX_NETWORKS {
        return Err(ApiError::limit("server_network_limit"));
    }
    for (index, id) in wanted.networks.iter().enumerate() {
        let network = project
            .networks
            .get(id)
            .ok_or_else(|| ApiError::invalid("networks", &format!("network with ID '{id}' not found")))?;
        project.check_join(&wanted.networks[..index], network)?;
        pick_address(cx, *id, zone_of(location), None, None)?;
    }
    Ok(())
}

/// Fails when a list of ids names one twice.
fn check_unique(field: &str, ids: &[i64]) -> Api<()> {
    let unique: BTreeSet<&i64> = ids.iter().collect();
    if unique.len() == ids.len() { Ok(()) } else { Err(ApiError::invalid(field, "must not name an ID twice")) }
}

fn check_addresses(cx: &Cx<'_>, wanted: &Wanted, location: &str) -> Api<()> {
    let project = &*cx.project;
    for (address, v4) in [(wanted.v4, true), (wanted.v6, false)] {
        match address {
            Address::None => {}
            Address::New => project.check_limit("primary_ip_limit", project.primary_ips.len())?,
            Address::Existing(id) => {
                let ip = project
                    .primary_ips
                    .get(&id)
                    .ok_or_else(|| ApiError::invalid("public_net", &format!("primary IP with ID '{id}' not found")))?;
                if ip.v4 != v4 {
                    return Err(ApiError::unprocessable(
                        "primary_ip_version_mismatch",
                        "primary IP has the wrong IP version",
                    ));
                }
                if ip.server.is_some() {
                    return Err(ApiError::unprocessable(
                        "primary_ip_assigned",
                        "primary IP is already assigned to a server",
                    ));
                }
                if ip.location != location {
                    return Err(ApiError::unprocessable(
                        "primary_ip_datacenter_mismatch",
                        "primary IP is in another location",
                    ));
                }
                project.check_unlocked(Kind::PrimaryIp, id)?;
            }
        }
    }
    let public = wanted.v4 != Address::None || wanted.v6 != Address::None;
    if !public && !wanted.firewalls.is_empty() && !cx.shared.switches.firewalls_at_private_creation {
        return Err(ApiError::unprocessable(
            "private_net_only_server",
            "firewalls cannot be applied to a server without a public interface",
        ));
    }
    if !public && wanted.networks.is_empty() && wanted.start {
        return Err(ApiError::invalid("public_net", "server has no public or private network interfaces"));
    }
    Ok(())
}

fn build(cx: &mut Cx<'_>, wanted: Wanted, server_type: &ServerType, location: &str, image: &Image) -> Api<Reply> {
    let id = cx.shared.id();
    let keys = cx.project.ssh_keys.values();
    let keys = keys.filter(|key| wanted.ssh_keys.iter().any(|k| k.is(key.id, &key.name)));
    let (ssh_keys, authorized_keys): (Vec<i64>, Vec<String>) = keys.map(|key| (key.id, key.public_key.clone())).unzip();
    let password = if ssh_keys.is_empty() { Value::from(cx.shared.rng.text(20)) } else { Value::Null };
    let server = Server {
        id,
        name: wanted.name,
        labels: wanted.labels,
        created: cx.now,
        power: Power::Initializing,
        epoch: 0,
        server_type: server_type.name.to_owned(),
        location: location.to_owned(),
        image: Some(image.id),
        primary_disk_size: server_type.disk,
        placement_group: wanted.placement_group,
        private_net: Vec::new(),
        firewalls: wanted.firewalls.iter().map(|id| Applied::pending(*id)).collect(),
        user_data: wanted.user_data,
        ssh_keys,
        protect_delete: false,
        protect_rebuild: false,
        rescue: false,
        ignores_acpi: false,
        authorized_keys,
        content: Content::from_image(image),
    };
    cx.project.servers.insert(id, server);
    for firewall in &wanted.firewalls {
        if let Some(firewall) = cx.project.firewalls.get_mut(firewall) {
            firewall.servers.insert(id);
        }
    }
    assign_addresses(cx, id, location, wanted.v4, wanted.v6);
    let create = cx.start(Start::new("create_server", Effect::Server(id, Change::Created)).on(Kind::Server, id));
    if cx.shared.switches.creation_firewalls_late {
        for firewall in &wanted.firewalls {
            firewalls::start_apply(cx, *firewall, id, Some(create));
        }
    }
    let (mut last, mut next) = (create, Vec::new());
    for network in &wanted.networks {
        let (ip, _) = pick_address(cx, *network, zone_of(location), None, None)?;
        reserve(cx, id, *network, ip, Vec::new());
        last = cx.start(
            Start::new("attach_to_network", Effect::Server(id, Change::NetworkReady(*network)))
                .on(Kind::Server, id)
                .about(Kind::Network, *network)
                .after(last),
        );
        next.push(last);
    }
    for volume in &wanted.volumes {
        last = start_attach(cx, *volume, id, Some(last));
        next.push(last);
    }
    if wanted.start {
        let power = Change::Power { to: Power::Running, otherwise: Power::Off };
        last = cx.start(Start::new("start_server", Effect::Server(id, power)).on(Kind::Server, id).after(last));
        next.push(last);
    }
    firewalls::labels_changed(cx);
    let next: Vec<Value> = next.into_iter().map(|action| cx.action_json(action)).collect();
    Ok(Reply::created(json!({
        "server": render(cx, find(cx, id)?), "action": cx.action_json(create), "next_actions": next,
        "root_password": password,
    })))
}

/// New addresses are made and go with the server; existing ones stay when it goes.
fn assign_addresses(cx: &mut Cx<'_>, server: i64, location: &str, v4: Address, v6: Address) {
    for (address, is_v4) in [(v4, true), (v6, false)] {
        let id = match address {
            Address::None => continue,
            Address::New => primary_ips::make(cx, None, is_v4, location, true),
            Address::Existing(id) => id,
        };
        if let Some(ip) = cx.project.primary_ips.get_mut(&id) {
            ip.server = Some(server);
        }
    }
}
