//! The part of `/_sim` that looks at objects and changes them out of band, as a person at the provider's console would.

use super::actions::{Kind, abort};
use super::clock::Time;
use super::http::{Api, ApiError, Reply};
use super::input::{Input, Ref};
use super::query::Query;
use super::servers::{self, Power, Server};
use super::state::{Cx, Project};
use super::{Simulator, firewalls, networks, volumes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use std::io::Read as _;

/// The project that a query names, or the first.
pub(super) fn project<'a>(sim: &'a mut Simulator, query: &Query, now: Time) -> Api<Cx<'a>> {
    let name = match query.first("project") {
        Some(name) => name.to_owned(),
        None => sim.state.projects.keys().next().cloned().unwrap_or_default(),
    };
    sim.cx(&name, now, "").ok_or_else(|| ApiError::new(404, "not_found", format!("no project '{name}'")))
}

/// `GET /_sim/inventory?project=…`: every object of a project, by type.
pub(super) fn inventory(sim: &mut Simulator, query: &Query, now: Time) -> Api<Reply> {
    let cx = project(sim, query, now)?;
    let objects = objects(&cx);
    let counts: Map<String, Value> =
        objects.iter().map(|(kind, list)| (kind.clone(), json!(list.as_array().map_or(0, Vec::len)))).collect();
    Ok(Reply::ok(
        json!({"project": cx.project.name, "counts": counts, "running_actions": cx.project.running.len(), "objects": objects}),
    ))
}

fn objects(cx: &Cx<'_>) -> Map<String, Value> {
    fn rows<'a>(list: impl Iterator<Item = (i64, &'a str, &'a super::labels::Labels, Value)>) -> Value {
        list.map(|(id, name, labels, more)| {
            let mut row = json!({"id": id, "name": name, "labels": labels});
            if let (Some(row), Some(more)) = (row.as_object_mut(), more.as_object()) {
                row.extend(more.clone());
            }
            row
        })
        .collect()
    }
    let project = &*cx.project;
    let none = || json!({});
    let server = |s: &Server| json!({"status": s.power.name(), "locked": project.is_locked(Kind::Server, s.id), "image": s.image});
    [
        ("servers", rows(project.servers.values().map(|s| (s.id, s.name.as_str(), &s.labels, server(s))))),
        (
            "volumes",
            rows(project.volumes.values().map(|v| (v.id, v.name.as_str(), &v.labels, json!({"server": v.server})))),
        ),
        ("networks", rows(project.networks.values().map(|n| (n.id, n.name.as_str(), &n.labels, none())))),
        (
            "primary_ips",
            rows(
                project
                    .primary_ips
                    .values()
                    .map(|p| (p.id, p.name.as_str(), &p.labels, json!({"assignee_id": p.server}))),
            ),
        ),
        ("firewalls", rows(project.firewalls.values().map(|f| (f.id, f.name.as_str(), &f.labels, none())))),
        (
            "placement_groups",
            rows(project.placement_groups.values().map(|g| (g.id, g.name.as_str(), &g.labels, none()))),
        ),
        ("ssh_keys", rows(project.ssh_keys.values().map(|k| (k.id, k.name.as_str(), &k.labels, none())))),
        (
            "images",
            rows(
                project
                    .images
                    .values()
                    .filter(|image| image.deleted.is_none())
                    .map(|i| (i.id, i.description.as_str(), &i.labels, json!({"available": i.available}))),
            ),
        ),
    ]
    .into_iter()
    .map(|(kind, list)| (kind.to_owned(), list))
    .collect()
}

fn server_mut<'a>(sim: &'a mut Simulator, id: &str) -> Api<&'a mut Server> {
    let number: i64 = id.parse().map_err(|_| ApiError::not_found("server", id))?;
    sim.state
        .projects
        .values_mut()
        .find_map(|project| project.servers.get_mut(&number))
        .ok_or_else(|| ApiError::not_found("server", id))
}

/// User data as cloud-init reads it: base64 is undone, then gzip. What is neither stays as it is.
fn decode(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text.split_whitespace().collect::<String>()).ok()?;
    let mut plain = String::new();
    match GzDecoder::new(bytes.as_slice()).read_to_string(&mut plain) {
        Ok(_) => Some(plain),
        Err(_) => String::from_utf8(bytes).ok(),
    }
}

/// The user data as sent, and decoded.
pub(super) fn user_data(sim: &mut Simulator, id: &str) -> Api<Reply> {
    let raw = server_mut(sim, id)?.user_data.clone();
    let decoded = raw.as_ref().map(|text| decode(text).unwrap_or_else(|| text.clone()));
    Ok(Reply::ok(json!({"user_data": raw, "decoded": decoded})))
}

/// What the guest is like: whether it obeys the power button, and the public keys that it got.
pub(super) fn guest(sim: &mut Simulator, id: &str) -> Api<Reply> {
    let server = server_mut(sim, id)?;
    let acpi = if server.ignores_acpi { "ignore" } else { "obey" };
    Ok(Reply::ok(json!({"acpi": acpi, "authorized_keys": server.authorized_keys})))
}

/// `{"acpi": "obey" | "ignore"}`: whether the guest goes off when asked to.
pub(super) fn set_guest(sim: &mut Simulator, mut input: Input, id: &str) -> Api<Reply> {
    let acpi = input.required_text("acpi");
    if !["obey", "ignore"].contains(&acpi.as_str()) {
        input.reject("acpi", "must be 'obey' or 'ignore'");
    }
    input.check()?;
    server_mut(sim, id)?.ignores_acpi = acpi == "ignore";
    Ok(Reply::ok(json!({"acpi": acpi})))
}

/// `{"project", "type", "id" or "name", "op": delete|poweroff|poweron|relabel|rename|unlock, …}`.
pub(super) fn mutate(sim: &mut Simulator, mut input: Input, now: Time) -> Api<Reply> {
    let (project, kind) = (input.required_text("project"), input.required_text("type"));
    let op = input.required_text("op");
    let wanted = match input.reference("id") {
        Some(id) => id,
        None => Ref::Name(input.required_text("name")),
    };
    let (labels, new_name) = (input.labels(), input.text("new_name"));
    input.check()?;
    let mut cx =
        sim.cx(&project, now, "").ok_or_else(|| ApiError::new(404, "not_found", format!("no project '{project}'")))?;
    let id = find(cx.project, &kind, &wanted).ok_or_else(|| ApiError::not_found(&kind, &wanted))?;
    match (op.as_str(), kind.as_str()) {
        ("delete", _) => delete(&mut cx, &kind, id),
        ("poweroff" | "poweron", "server") => {
            if let Some(server) = cx.project.servers.get_mut(&id) {
                server.power = if op == "poweron" { Power::Running } else { Power::Off };
                server.epoch += 1;
            }
        }
        ("unlock", _) => unlock(&mut cx, &kind, id),
        ("relabel", _) => {
            let labels = labels.ok_or_else(|| ApiError::invalid("labels", "Missing data for required field."))?;
            relabel(cx.project, &kind, id, &labels);
            firewalls::labels_changed(&mut cx);
        }
        ("rename", "server") => {
            let name = new_name.ok_or_else(|| ApiError::invalid("new_name", "Missing data for required field."))?;
            if let Some(server) = cx.project.servers.get_mut(&id) {
                server.name = name;
            }
        }
        _ => return Err(ApiError::invalid("op", "is not known for this type")),
    }
    cx.touch_all();
    cx.note_exposure();
    Ok(Reply::ok(json!({"id": id})))
}

fn find(project: &Project, kind: &str, wanted: &Ref) -> Option<i64> {
    fn among<'a>(mut list: impl Iterator<Item = (i64, &'a str)>, wanted: &Ref) -> Option<i64> {
        list.find(|(id, name)| wanted.is(*id, name)).map(|(id, _)| id)
    }
    match kind {
        "server" => among(project.servers.values().map(|o| (o.id, o.name.as_str())), wanted),
        "volume" => among(project.volumes.values().map(|o| (o.id, o.name.as_str())), wanted),
        "network" => among(project.networks.values().map(|o| (o.id, o.name.as_str())), wanted),
        "primary_ip" => among(project.primary_ips.values().map(|o| (o.id, o.name.as_str())), wanted),
        "firewall" => among(project.firewalls.values().map(|o| (o.id, o.name.as_str())), wanted),
        "placement_group" => among(project.placement_groups.values().map(|o| (o.id, o.name.as_str())), wanted),
        "ssh_key" => among(project.ssh_keys.values().map(|o| (o.id, o.name.as_str())), wanted),
        "image" => among(project.images.values().map(|o| (o.id, o.description.as_str())), wanted),
        _ => None,
    }
}

fn unlock(cx: &mut Cx<'_>, kind: &str, id: i64) {
    let kinds = [Kind::Server, Kind::Volume, Kind::Network, Kind::PrimaryIp, Kind::Firewall, Kind::Image];
    if let Some(kind) = kinds.into_iter().find(|known| known.name() == kind) {
        for action in cx.project.running_on(kind, id) {
            abort(cx, action);
        }
    }
}

/// Whatever runs on the object fails first, then the object is gone, protected or not.
fn delete(cx: &mut Cx<'_>, kind: &str, id: i64) {
    unlock(cx, kind, id);
    match kind {
        "server" => servers::remove(cx, id),
        "network" => networks::remove(cx, id),
        "volume" => volumes::remove(cx, id),
        "primary_ip" => drop(cx.project.primary_ips.remove(&id)),
        "placement_group" => {
            cx.project.placement_groups.remove(&id);
            cx.project.servers.values_mut().for_each(|server| {
                server.placement_group = server.placement_group.filter(|group| *group != id);
            });
        }
        "firewall" => {
            cx.project.firewalls.remove(&id);
            cx.project.servers.values_mut().for_each(|server| server.firewalls.retain(|f| f.firewall != id));
        }
        "ssh_key" => drop(cx.project.ssh_keys.remove(&id)),
        "image" => cx.drop_image(id),
        _ => {}
    }
}

fn relabel(project: &mut Project, kind: &str, id: i64, labels: &super::labels::Labels) {
    let place = match kind {
        "server" => project.servers.get_mut(&id).map(|o| &mut o.labels),
        "volume" => project.volumes.get_mut(&id).map(|o| &mut o.labels),
        "network" => project.networks.get_mut(&id).map(|o| &mut o.labels),
        "primary_ip" => project.primary_ips.get_mut(&id).map(|o| &mut o.labels),
        "firewall" => project.firewalls.get_mut(&id).map(|o| &mut o.labels),
        "placement_group" => project.placement_groups.get_mut(&id).map(|o| &mut o.labels),
        "ssh_key" => project.ssh_keys.get_mut(&id).map(|o| &mut o.labels),
        "image" => project.images.get_mut(&id).map(|o| &mut o.labels),
        _ => None,
    };
    if let Some(place) = place {
        place.clone_from(labels);
    }
}
