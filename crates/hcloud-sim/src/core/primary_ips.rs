//! Primary IPs: the public addresses of servers, objects of their own that outlive a server when they are told to.

use super::actions::{Effect, Kind, Start};
use super::catalog::{find_location, location_json};
use super::clock::Time;
use super::firewalls;
use super::http::{Api, ApiError, Reply};
use super::labels::Labels;
use super::query::ListSpec;
use super::servers::Power;
use super::state::{Cx, Project, check_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
pub(crate) struct PrimaryIp {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    created: Time,
    pub(crate) v4: bool,
    pub(crate) ip: String,
    pub(crate) location: String,
    pub(crate) auto_delete: bool,
    pub(crate) server: Option<i64>,
    pub(crate) protected: bool,
    dns_ptr: BTreeMap<String, String>,
}

/// What a finished action does to a primary IP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Created,
    Assign(i64),
    Unassign,
    DnsPtr(String, Option<String>),
    Protect(bool),
}

impl PrimaryIp {
    fn dns_json(&self) -> Value {
        self.dns_ptr.iter().map(|(ip, name)| json!({"ip": ip, "dns_ptr": name})).collect()
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "labels": self.labels, "created": self.created.rfc3339(),
            "type": if self.v4 { "ipv4" } else { "ipv6" }, "ip": self.ip, "location": location_json(&self.location),
            "auto_delete": self.auto_delete, "blocked": false, "protection": {"delete": self.protected},
            "dns_ptr": self.dns_json(), "assignee_id": self.server,
            "assignee_type": if self.server.is_some() { "server" } else { "unassigned" },
        })
    }

    /// As a server shows it.
    pub(crate) fn public_net_json(&self) -> Value {
        if self.v4 {
            let name = self.dns_ptr.get(&self.ip).cloned().unwrap_or_default();
            json!({"id": self.id, "ip": self.ip, "blocked": false, "dns_ptr": name})
        } else {
            json!({"id": self.id, "ip": self.ip, "blocked": false, "dns_ptr": self.dns_json()})
        }
    }

    /// Whether a reverse name can be set for the address.
    pub(crate) fn covers(&self, ip: &str) -> bool {
        if self.v4 {
            return ip == self.ip;
        }
        let inside = |range: ipnet::Ipv6Net, ip: std::net::Ipv6Addr| range.contains(&ip);
        matches!((self.ip.parse(), ip.parse()), (Ok(range), Ok(ip)) if inside(range, ip))
    }
}

impl Project {
    pub(crate) fn primary_ip_of(&self, server: i64, v4: bool) -> Option<&PrimaryIp> {
        self.primary_ips.values().find(|ip| ip.server == Some(server) && ip.v4 == v4)
    }
}

/// Makes a new address. Addresses come from ranges that are routed nowhere.
pub(crate) fn make(cx: &mut Cx<'_>, name: Option<String>, v4: bool, location: &str, auto_delete: bool) -> i64 {
    let id = cx.shared.id();
    let number = cx.shared.address();
    let mut dns_ptr = BTreeMap::new();
    let ip = if v4 {
        // 198.18.0.0/15, the range for benchmarks.
        let address = std::net::Ipv4Addr::from(0xc612_0000_u32 + number % 0x1_ffff);
        let [a, b, c, d] = address.octets();
        dns_ptr.insert(address.to_string(), format!("static.{d}.{c}.{b}.{a}.clients.your-server.de"));
        address.to_string()
    } else {
        format!("2001:db8:{:x}:{:x}::/64", number >> 16, number & 0xffff)
    };
    let ip = PrimaryIp {
        id,
        name: name.unwrap_or_else(|| format!("primary_ip-{id}")),
        labels: Labels::new(),
        created: cx.now,
        v4,
        ip,
        location: location.to_owned(),
        auto_delete,
        server: None,
        protected: false,
        dns_ptr,
    };
    cx.project.primary_ips.insert(id, ip);
    id
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec { key: "primary_ips", filters: &["name", "ip"], sorts: &["id", "created"], labels: true };
    cx.list(&spec, cx.project.primary_ips.values().map(PrimaryIp::json).collect())
}

fn find<'a>(cx: &'a Cx<'_>, id: i64) -> Api<&'a PrimaryIp> {
    cx.project.primary_ips.get(&id).ok_or_else(|| ApiError::not_found("primary IP", id))
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    Ok(Reply::ok(json!({"primary_ip": find(cx, id)?.json()})))
}

/// Fails unless an address of the family can be assigned to the server now; returns its location.
fn assignable(cx: &Cx<'_>, server: i64, v4: bool) -> Api<String> {
    let found = cx.project.servers.get(&server).ok_or_else(|| ApiError::invalid("assignee_id", "server not found"))?;
    cx.project.check_unlocked(Kind::Server, server)?;
    if found.power != Power::Off {
        return Err(ApiError::unprocessable("server_not_stopped", "server must be powered off"));
    }
    if cx.project.primary_ip_of(server, v4).is_some() {
        let family = if v4 { "ipv4" } else { "ipv6" };
        return Err(ApiError::unprocessable(
            &format!("server_has_{family}"),
            format!("the server already has an {family} address"),
        ));
    }
    Ok(found.location.clone())
}

pub(crate) fn create(cx: &mut Cx<'_>) -> Api<Reply> {
    let mut input = cx.input();
    let (name, kind) = (input.required_text("name"), input.required_text("type"));
    let (location, assignee) = (input.reference("location"), input.integer("assignee_id"));
    let auto_delete = input.flag("auto_delete").unwrap_or(false);
    let labels = input.labels().unwrap_or_default();
    if !["ipv4", "ipv6"].contains(&kind.as_str()) {
        input.reject("type", "must be one of ipv4, ipv6");
    }
    if input.text("assignee_type").is_some_and(|kind| !["server", "unassigned"].contains(&kind.as_str())) {
        input.reject("assignee_type", "must be 'server'");
    }
    if input.get("datacenter").is_some() {
        input.reject("datacenter", "was removed on 2026-07-01; use location");
    }
    if location.is_some() == assignee.is_some() {
        input.reject("location", "exactly one of location and assignee_id must be given");
    }
    if name.is_empty() {
        input.reject("name", "must not be empty");
    }
    input.check()?;
    let v4 = kind == "ipv4";
    let location = match (&location, assignee) {
        (_, Some(server)) => assignable(cx, server, v4)?,
        (location, None) => location
            .as_ref()
            .and_then(find_location)
            .map(|location| location.name.to_owned())
            .ok_or_else(|| ApiError::invalid("location", "location not found"))?,
    };
    let ips = &cx.project.primary_ips;
    check_name(ips.values().map(|ip| (ip.id, ip.name.as_str())), None, &name, "primary IP")?;
    cx.project.check_limit("primary_ip_limit", ips.len())?;
    let id = make(cx, Some(name), v4, &location, auto_delete);
    if let Some(ip) = cx.project.primary_ips.get_mut(&id) {
        ip.labels = labels;
    }
    let start =
        Start::new("create_primary_ip", Effect::PrimaryIp(id, assignee.map_or(Change::Created, Change::Assign)));
    let start = start.on(Kind::PrimaryIp, id);
    let action = assignee.map(|server| cx.start(start.on(Kind::Server, server)));
    let action = action.map_or(Value::Null, |action| cx.action_json(action));
    Ok(Reply::created(json!({"primary_ip": find(cx, id)?.json(), "action": action})))
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (name, labels, auto_delete) = (input.text("name"), input.labels(), input.flag("auto_delete"));
    input.check()?;
    find(cx, id)?;
    if cx.project.is_locked(Kind::PrimaryIp, id) {
        return Err(ApiError::conflict("primary IP"));
    }
    if let Some(name) = &name {
        let ips = cx.project.primary_ips.values();
        check_name(ips.map(|ip| (ip.id, ip.name.as_str())), Some(id), name, "primary IP")?;
    }
    if let Some(ip) = cx.project.primary_ips.get_mut(&id) {
        ip.name = name.unwrap_or_else(|| ip.name.clone());
        ip.labels = labels.unwrap_or_else(|| ip.labels.clone());
        ip.auto_delete = auto_delete.unwrap_or(ip.auto_delete);
    }
    get(cx, id)
}

pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let ip = find(cx, id)?;
    if ip.protected {
        return Err(ApiError::protected("primary IP"));
    }
    if ip.server.is_some() {
        return Err(ApiError::unprocessable(
            "must_be_unassigned",
            "primary IP must be unassigned before it is deleted",
        ));
    }
    cx.project.check_unlocked(Kind::PrimaryIp, id)?;
    cx.project.primary_ips.remove(&id);
    Ok(Reply::no_content())
}

/// Routes `POST /primary_ips/{id}/actions/{name}`; `None` when there is no such action.
pub(crate) fn action(cx: &mut Cx<'_>, id: i64, name: &str) -> Option<Api<Reply>> {
    Some(match name {
        "assign" => assign(cx, id),
        "unassign" => unassign(cx, id),
        "change_dns_ptr" => change_dns_ptr(cx, id),
        "change_protection" => change_protection(cx, id),
        _ => return None,
    })
}

fn assign(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let server = input.required_integer("assignee_id");
    if input.text("assignee_type").is_some_and(|kind| kind != "server") {
        input.reject("assignee_type", "must be 'server'");
    }
    input.check()?;
    let (v4, location, assigned) = find(cx, id).map(|ip| (ip.v4, ip.location.clone(), ip.server))?;
    if assigned.is_some() {
        return Err(ApiError::unprocessable("primary_ip_already_assigned", "primary IP is already assigned"));
    }
    cx.project.check_unlocked(Kind::PrimaryIp, id)?;
    if assignable(cx, server, v4)? != location {
        return Err(ApiError::unprocessable("primary_ip_datacenter_mismatch", "primary IP is in another location"));
    }
    let start = Start::new("assign_primary_ip", Effect::PrimaryIp(id, Change::Assign(server)));
    Ok(cx.action_reply(start.on(Kind::PrimaryIp, id).on(Kind::Server, server)))
}

fn unassign(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let server = find(cx, id)?
        .server
        .ok_or_else(|| ApiError::unprocessable("primary_ip_not_assigned", "primary IP is not assigned"))?;
    cx.project.check_unlocked(Kind::PrimaryIp, id)?;
    cx.project.check_unlocked(Kind::Server, server)?;
    if cx.project.servers.get(&server).is_some_and(|server| server.power != Power::Off) {
        return Err(ApiError::unprocessable("server_not_stopped", "server must be powered off"));
    }
    let start = Start::new("unassign_primary_ip", Effect::PrimaryIp(id, Change::Unassign));
    Ok(cx.action_reply(start.on(Kind::PrimaryIp, id).on(Kind::Server, server)))
}

fn change_dns_ptr(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (ip, name) = (input.required_text("ip"), input.text("dns_ptr"));
    input.check()?;
    if !find(cx, id)?.covers(&ip) {
        return Err(ApiError::invalid("ip", "does not belong to the primary IP"));
    }
    cx.project.check_unlocked(Kind::PrimaryIp, id)?;
    let start = Start::new("change_dns_ptr", Effect::PrimaryIp(id, Change::DnsPtr(ip, name)));
    Ok(cx.action_reply(start.on(Kind::PrimaryIp, id)))
}

fn change_protection(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let protect = input.flag("delete");
    input.check()?;
    let protect = protect.unwrap_or(find(cx, id)?.protected);
    cx.project.check_unlocked(Kind::PrimaryIp, id)?;
    let start = Start::new("change_protection", Effect::PrimaryIp(id, Change::Protect(protect)));
    Ok(cx.action_reply(start.on(Kind::PrimaryIp, id)))
}

pub(crate) fn settle(cx: &mut Cx<'_>, id: i64, change: &Change, success: bool) {
    let Some(ip) = cx.project.primary_ips.get_mut(&id).filter(|_| success) else { return };
    let held_by = ip.server;
    match change {
        Change::Created => {}
        Change::Assign(server) => ip.server = Some(*server),
        Change::Unassign => ip.server = None,
        Change::DnsPtr(address, Some(name)) => {
            ip.dns_ptr.insert(address.clone(), name.clone());
        }
        Change::DnsPtr(address, None) => {
            ip.dns_ptr.remove(address);
        }
        Change::Protect(protect) => ip.protected = *protect,
    }
    if let (Change::Unassign, Some(server), true) = (change, held_by, cx.shared.switches.last_address_drops_firewalls)
        && !cx.project.is_public(server)
    {
        firewalls::drop_all(cx.project, server);
    }
}
