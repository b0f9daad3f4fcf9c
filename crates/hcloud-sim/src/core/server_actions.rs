//! `POST /servers/{id}/actions/…`: power, type, image, protection, rescue, placement.

use super::actions::{Effect, Kind, Start};
use super::catalog::find_type;
use super::content::Content;
use super::http::{Api, ApiError, Reply};
use super::images::{self, Image};
use super::input::Ref;
use super::server_create::unavailable;
use super::servers::{Change, Power, find};
use super::state::Cx;
use super::{primary_ips, server_networks};
use serde_json::json;

/// Routes one action; `None` when there is no such action.
pub(crate) fn action(cx: &mut Cx<'_>, id: i64, name: &str) -> Option<Api<Reply>> {
    Some(match name {
        "poweron" => poweron(cx, id),
        "poweroff" => poweroff(cx, id),
        "shutdown" => shutdown(cx, id),
        "reboot" => restart(cx, id, "reboot_server"),
        "reset" => restart(cx, id, "reset_server"),
        "rebuild" => rebuild(cx, id),
        "change_type" => change_type(cx, id),
        "create_image" => create_image(cx, id),
        "attach_to_network" => server_networks::attach(cx, id),
        "detach_from_network" => server_networks::detach(cx, id),
        "change_alias_ips" => server_networks::change_alias_ips(cx, id),
        "change_protection" => change_protection(cx, id),
        "change_dns_ptr" => change_dns_ptr(cx, id),
        "add_to_placement_group" => add_to_placement_group(cx, id),
        "remove_from_placement_group" => remove_from_placement_group(cx, id),
        "reset_password" => reset_password(cx, id),
        "enable_rescue" => rescue(cx, id, true),
        "disable_rescue" => rescue(cx, id, false),
        _ => return None,
    })
}

/// The power state of a server that no action holds.
fn free(cx: &Cx<'_>, id: i64) -> Api<Power> {
    let power = find(cx, id)?.power;
    cx.project.check_unlocked(Kind::Server, id)?;
    Ok(power)
}

fn stopped(cx: &Cx<'_>, id: i64) -> Api<()> {
    if free(cx, id)? == Power::Off {
        Ok(())
    } else {
        Err(ApiError::unprocessable("server_not_stopped", "server must be powered off"))
    }
}

fn set_power(cx: &mut Cx<'_>, id: i64, power: Power) -> u64 {
    cx.project.servers.get_mut(&id).map_or(0, |server| {
        server.power = power;
        server.epoch += 1;
        server.epoch
    })
}

fn power_action(cx: &mut Cx<'_>, id: i64, command: &str, to: Power, otherwise: Power) -> Reply {
    let effect = Effect::Server(id, Change::Power { to, otherwise });
    cx.action_reply(Start::new(command, effect).on(Kind::Server, id))
}

fn poweron(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let power = free(cx, id)?;
    if !cx.project.is_connected(id) {
        return Err(ApiError::new(422, "invalid_input", "server has no public or private network interfaces"));
    }
    if power == Power::Running {
        // Nothing to do, and the API says so with a successful action.
        return Ok(power_action(cx, id, "start_server", power, power));
    }
    set_power(cx, id, Power::Starting);
    Ok(power_action(cx, id, "start_server", Power::Running, Power::Off))
}

fn poweroff(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let power = free(cx, id)?;
    if power == Power::Running {
        set_power(cx, id, Power::Stopping);
    }
    Ok(power_action(cx, id, "stop_server", Power::Off, power))
}

/// An ACPI signal: the action ends when it is sent, the guest goes off later or never.
fn shutdown(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let power = free(cx, id)?;
    if power == Power::Off {
        return Ok(power_action(cx, id, "shutdown_server", power, power));
    }
    let epoch = set_power(cx, id, power);
    let effect = Effect::Server(id, Change::ShutdownSent { epoch });
    Ok(cx.action_reply(Start::new("shutdown_server", effect).on(Kind::Server, id)))
}

fn restart(cx: &mut Cx<'_>, id: i64, command: &str) -> Api<Reply> {
    let power = free(cx, id)?;
    if power != Power::Running {
        return Err(ApiError::unprocessable("invalid_input", "server is not running"));
    }
    set_power(cx, id, power);
    Ok(power_action(cx, id, command, Power::Running, Power::Running))
}

fn rebuild(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (image, user_data) = (input.required_reference("image"), input.text("user_data"));
    input.check()?;
    free(cx, id)?;
    let server = find(cx, id)?;
    if server.protect_rebuild {
        return Err(ApiError::new(423, "protected", "server rebuild is protected"));
    }
    let keyless = server.ssh_keys.is_empty();
    let architecture = architecture(&server.server_type);
    let image = cx.project.usable_image(&image, architecture, server.primary_disk_size)?;
    let password = keyless.then(|| cx.shared.rng.text(20));
    set_power(cx, id, Power::Rebuilding);
    let effect =
        Effect::Server(id, Change::Rebuilt { image: image.id, user_data, content: Content::from_image(&image) });
    let action = cx.start(Start::new("rebuild_server", effect).on(Kind::Server, id));
    Ok(Reply::created(json!({"action": cx.action_json(action), "root_password": password})))
}

fn architecture(server_type: &str) -> &'static str {
    find_type(&Ref::Name(server_type.to_owned())).map_or("x86", super::catalog::ServerType::architecture)
}

/// Copies the disk and, as the API document says, starts the server.
fn change_type(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let wanted = input.required_reference("server_type");
    let upgrade_disk = input.flag("upgrade_disk").unwrap_or(false);
    input.check()?;
    stopped(cx, id)?;
    let server = find(cx, id)?;
    let invalid = |message: &str| Err(ApiError::unprocessable("invalid_server_type", message));
    let Some(to) = find_type(&wanted) else {
        return Err(ApiError::invalid("server_type", &format!("server type {wanted} not found")));
    };
    if to.name == server.server_type {
        return invalid("server is already of this type");
    }
    if to.architecture() != architecture(&server.server_type) {
        return invalid("server type has another architecture");
    }
    if to.disk < server.primary_disk_size {
        return invalid("server type has a smaller disk than the server");
    }
    if to.is_over() || !to.is_in(&server.location) {
        return invalid("unsupported location for server type");
    }
    if !cx.shared.availability(to.name, &server.location).orderable {
        return Err(unavailable());
    }
    let disk = if upgrade_disk { to.disk } else { server.primary_disk_size };
    set_power(cx, id, Power::Migrating);
    let effect = Effect::Server(id, Change::Type { name: to.name.to_owned(), disk });
    Ok(cx.action_reply(Start::new("change_server_type", effect).on(Kind::Server, id)))
}

fn create_image(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let kind = input.text("type").unwrap_or_else(|| "snapshot".to_owned());
    let description = input.text("description").filter(|text| !text.is_empty());
    let labels = input.labels().unwrap_or_default();
    if kind != "snapshot" {
        input.reject("type", "must be 'snapshot': the simulator has no backups");
    }
    input.check()?;
    free(cx, id)?;
    let snapshots = cx.project.images.values().filter(|image| image.deleted.is_none()).count();
    cx.project.check_limit("snapshot_limit", snapshots)?;
    let image_id = cx.shared.id();
    let server = find(cx, id)?;
    let of_type = find_type(&Ref::Name(server.server_type.clone())).map(|known| known.disk);
    let disk_size =
        of_type.filter(|_| cx.shared.switches.snapshot_has_disk_of_type).unwrap_or(server.primary_disk_size);
    let base = server.image.and_then(|image| cx.project.image_by_id(image));
    let image = Image {
        id: image_id,
        kind,
        available: false,
        name: None,
        description: description.unwrap_or_else(|| format!("{} {}", server.name, cx.now.rfc3339())),
        image_size: None,
        disk_size,
        created: cx.now,
        created_from: Some((id, server.name.clone())),
        bound_to: None,
        os_flavor: base.as_ref().map_or_else(|| "unknown".to_owned(), |base| base.os_flavor.clone()),
        os_version: base.and_then(|base| base.os_version),
        protected: false,
        deprecated: None,
        deleted: None,
        labels,
        architecture: architecture(&server.server_type).to_owned(),
        content: server.content.snapshot_on(id),
    };
    cx.project.images.insert(image_id, image);
    let start = Start::new("create_image", Effect::Image(image_id, images::Change::Available));
    let action = cx.start(start.on(Kind::Server, id).on(Kind::Image, image_id));
    let image = cx.project.image_json(Some(image_id));
    Ok(Reply::created(json!({"image": image, "action": cx.action_json(action)})))
}

fn change_protection(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (delete, rebuild) = (input.flag("delete"), input.flag("rebuild"));
    input.check()?;
    free(cx, id)?;
    let server = find(cx, id)?;
    let delete = delete.unwrap_or(server.protect_delete);
    let rebuild = rebuild.unwrap_or(server.protect_rebuild);
    if delete != rebuild {
        return Err(ApiError::invalid("delete", "delete and rebuild protection must be equal"));
    }
    let effect = Effect::Server(id, Change::Protect { delete, rebuild });
    Ok(cx.action_reply(Start::new("change_protection", effect).on(Kind::Server, id)))
}

fn change_dns_ptr(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (ip, name) = (input.required_text("ip"), input.text("dns_ptr"));
    input.check()?;
    free(cx, id)?;
    let address = cx
        .project
        .primary_ips
        .values()
        .find(|address| address.server == Some(id) && address.covers(&ip))
        .map(|address| address.id)
        .ok_or_else(|| ApiError::invalid("ip", "does not belong to the server"))?;
    let effect = Effect::PrimaryIp(address, primary_ips::Change::DnsPtr(ip, name));
    Ok(cx.action_reply(Start::new("change_dns_ptr", effect).on(Kind::Server, id)))
}

fn add_to_placement_group(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let group = input.required_integer("placement_group");
    input.check()?;
    stopped(cx, id)?;
    if find(cx, id)?.placement_group.is_some() {
        return Err(ApiError::unprocessable(
            "already_in_placement_group",
            "server is already part of a placement group",
        ));
    }
    cx.check_placement(group)?;
    let effect = Effect::Server(id, Change::Group(Some(group)));
    Ok(cx.action_reply(Start::new("add_to_placement_group", effect).on(Kind::Server, id)))
}

fn remove_from_placement_group(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    free(cx, id)?;
    if find(cx, id)?.placement_group.is_none() {
        return Err(ApiError::unprocessable("not_in_placement_group", "server is not part of a placement group"));
    }
    let effect = Effect::Server(id, Change::Group(None));
    Ok(cx.action_reply(Start::new("remove_from_placement_group", effect).on(Kind::Server, id)))
}

fn reset_password(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    if free(cx, id)? != Power::Running {
        return Err(ApiError::unprocessable("invalid_input", "server is not running"));
    }
    let password = cx.shared.rng.text(20);
    let action = cx.start(Start::new("reset_password", Effect::None).on(Kind::Server, id));
    Ok(Reply::created(json!({"root_password": password, "action": cx.action_json(action)})))
}

fn rescue(cx: &mut Cx<'_>, id: i64, enable: bool) -> Api<Reply> {
    free(cx, id)?;
    let effect = Effect::Server(id, Change::Rescue(enable));
    if !enable {
        return Ok(cx.action_reply(Start::new("disable_rescue", effect).on(Kind::Server, id)));
    }
    let password = cx.shared.rng.text(20);
    let action = cx.start(Start::new("enable_rescue", effect).on(Kind::Server, id));
    Ok(Reply::created(json!({"root_password": password, "action": cx.action_json(action)})))
}
