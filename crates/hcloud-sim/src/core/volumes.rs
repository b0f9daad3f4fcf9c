//! Volumes: block storage of 10 to 10240 GB in one location, attached to at most one server.

use super::actions::{Effect, Kind, Start};
use super::catalog::{find_location, location_json};
use super::clock::Time;
use super::content::Content;
use super::http::{Api, ApiError, Reply};
use super::labels::Labels;
use super::query::ListSpec;
use super::state::{Cx, check_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Volumes on one server (csi-driver, `MaxVolumesPerNode`).
pub(crate) const MAX_PER_SERVER: usize = 16;

#[derive(Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    created: Time,
    pub(crate) size: i64,
    pub(crate) location: String,
    pub(crate) server: Option<i64>,
    /// The server that a running action attaches it to.
    pub(crate) attaching_to: Option<i64>,
    available: bool,
    format: Option<String>,
    pub(crate) protected: bool,
    /// What was written to it.
    #[serde(default)]
    pub(crate) content: Content,
}

/// What a finished action does to a volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Created,
    Attached(i64),
    Detached,
    Resized(i64),
    Protect(bool),
}

impl Volume {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "labels": self.labels, "created": self.created.rfc3339(),
            "size": self.size, "location": location_json(&self.location), "server": self.server,
            "linux_device": format!("/dev/disk/by-id/scsi-0HC_Volume_{}", self.id),
            "protection": {"delete": self.protected}, "format": self.format,
            "status": if self.available { "available" } else { "creating" },
        })
    }
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec =
        ListSpec { key: "volumes", filters: &["name", "status"], sorts: &["id", "name", "created"], labels: true };
    cx.list(&spec, cx.project.volumes.values().map(Volume::json).collect())
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    Ok(Reply::ok(json!({"volume": find(cx, id)?.json()})))
}

fn find<'a>(cx: &'a Cx<'_>, id: i64) -> Api<&'a Volume> {
    cx.project.volumes.get(&id).ok_or_else(|| ApiError::not_found("volume", id))
}

/// As the API document has it: letters, digits, dashes, underscores and dots, at most 64.
fn check_volume_name(name: &str) -> Api<()> {
    let bytes = name.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let valid = bytes.len() <= 64
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b));
    if valid { Ok(()) } else { Err(ApiError::invalid("name", "is not a valid volume name")) }
}

pub(crate) fn create(cx: &mut Cx<'_>) -> Api<Reply> {
    let mut input = cx.input();
    let name = input.required_text("name");
    let size = input.required_integer("size");
    let (location, server) = (input.reference("location"), input.integer("server"));
    let (format, automount) = (input.text("format"), input.flag("automount").unwrap_or(false));
    let labels = input.labels().unwrap_or_default();
    if location.is_some() == server.is_some() {
        input.reject("location", "exactly one of location and server must be given");
    }
    if !(10..=10_240).contains(&size) {
        input.reject("size", "must be between 10 and 10240");
    }
    if format.as_deref().is_some_and(|format| !["ext4", "xfs"].contains(&format)) {
        input.reject("format", "must be one of ext4, xfs");
    }
    if automount && server.is_none() {
        input.reject("automount", "needs a server");
    }
    input.check()?;
    check_volume_name(&name)?;
    let location = match (&location, server) {
        (_, Some(server)) => attachable_server(cx, server)?,
        (Some(location), None) => find_location(location)
            .map(|location| location.name.to_owned())
            .ok_or_else(|| ApiError::invalid("location", "location not found"))?,
        (None, None) => return Err(ApiError::invalid("location", "location not found")),
    };
    let volumes = &cx.project.volumes;
    check_name(volumes.values().map(|volume| (volume.id, volume.name.as_str())), None, &name, "volume")?;
    cx.project.check_limit("volume_limit", volumes.len())?;
    let id = cx.shared.id();
    let volume = Volume {
        id,
        name,
        labels,
        created: cx.now,
        size,
        location,
        server: None,
        attaching_to: server,
        available: false,
        format,
        protected: false,
        content: Content::default(),
    };
    cx.project.volumes.insert(id, volume);
    let action = cx.start(Start::new("create_volume", Effect::Volume(id, Change::Created)).on(Kind::Volume, id));
    let next: Vec<Value> = server
        .map(|server| start_attach(cx, id, server, Some(action)))
        .map(|next| cx.action_json(next))
        .into_iter()
        .collect();
    let volume = find(cx, id)?.json();
    Ok(Reply::created(json!({"volume": volume, "action": cx.action_json(action), "next_actions": next})))
}

/// Fails unless one more volume can be attached to the server; returns its location.
fn attachable_server(cx: &Cx<'_>, id: i64) -> Api<String> {
    let server = cx.project.servers.get(&id).ok_or_else(|| ApiError::invalid("server", "server not found"))?;
    cx.project.check_unlocked(Kind::Server, id)?;
    let attached =
        cx.project.volumes.values().filter(|volume| volume.server == Some(id) || volume.attaching_to == Some(id));
    if attached.count() >= MAX_PER_SERVER {
        return Err(ApiError::limit("server_volume_limit"));
    }
    Ok(server.location.clone())
}

/// Starts attaching; the caller has checked that it can be.
pub(crate) fn start_attach(cx: &mut Cx<'_>, id: i64, server: i64, after: Option<i64>) -> i64 {
    if let Some(volume) = cx.project.volumes.get_mut(&id) {
        volume.attaching_to = Some(server);
    }
    let start = Start::new("attach_volume", Effect::Volume(id, Change::Attached(server)))
        .on(Kind::Server, server)
        .on(Kind::Volume, id);
    let start = match after {
        Some(action) => start.after(action),
        None => start,
    };
    cx.start(start)
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (name, labels) = (input.text("name"), input.labels());
    input.check()?;
    find(cx, id)?;
    if let Some(name) = &name {
        check_volume_name(name)?;
        let volumes = cx.project.volumes.values();
        check_name(volumes.map(|volume| (volume.id, volume.name.as_str())), Some(id), name, "volume")?;
    }
    if let Some(volume) = cx.project.volumes.get_mut(&id) {
        volume.name = name.unwrap_or_else(|| volume.name.clone());
        volume.labels = labels.unwrap_or_else(|| volume.labels.clone());
    }
    get(cx, id)
}

pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let volume = find(cx, id)?;
    if volume.protected {
        return Err(ApiError::protected("volume"));
    }
    if volume.server.is_some() {
        return Err(ApiError::unprocessable("service_error", "volume is attached to a server"));
    }
    cx.project.check_unlocked(Kind::Volume, id)?;
    remove(cx, id);
    Ok(Reply::no_content())
}

/// Takes the volume away with what it holds.
pub(crate) fn remove(cx: &mut Cx<'_>, id: i64) {
    if let Some(gone) = cx.project.volumes.remove(&id) {
        cx.project.content_gone("volume", id, &gone.content, cx.now);
    }
}

/// Routes `POST /volumes/{id}/actions/{name}`; `None` when there is no such action.
pub(crate) fn action(cx: &mut Cx<'_>, id: i64, name: &str) -> Option<Api<Reply>> {
    Some(match name {
        "attach" => attach(cx, id),
        "detach" => detach(cx, id),
        "resize" => resize(cx, id),
        "change_protection" => change_protection(cx, id),
        _ => return None,
    })
}

fn attach(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let server = input.required_integer("server");
    input.flag("automount");
    input.check()?;
    let (attached, location) = find(cx, id).map(|volume| (volume.server, volume.location.clone()))?;
    if attached.is_some() {
        return Err(ApiError::unprocessable("volume_already_attached", "volume is already attached to a server"));
    }
    cx.project.check_unlocked(Kind::Volume, id)?;
    if attachable_server(cx, server)? != location {
        return Err(ApiError::invalid("server", "server and volume must be in the same location"));
    }
    let action = start_attach(cx, id, server, None);
    Ok(Reply::created(json!({"action": cx.action_json(action)})))
}

fn detach(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let server = find(cx, id)?
        .server
        .ok_or_else(|| ApiError::unprocessable("service_error", "volume is not attached to a server"))?;
    cx.project.check_unlocked(Kind::Volume, id)?;
    cx.project.check_unlocked(Kind::Server, server)?;
    let start = Start::new("detach_volume", Effect::Volume(id, Change::Detached));
    Ok(cx.action_reply(start.on(Kind::Server, server).on(Kind::Volume, id)))
}

fn resize(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let size = input.required_integer("size");
    input.check()?;
    if size <= find(cx, id)?.size {
        return Err(ApiError::invalid("size", "must be bigger than the current size"));
    }
    if size > 10_240 {
        return Err(ApiError::invalid("size", "must be between 10 and 10240"));
    }
    cx.project.check_unlocked(Kind::Volume, id)?;
    Ok(cx.action_reply(Start::new("resize_volume", Effect::Volume(id, Change::Resized(size))).on(Kind::Volume, id)))
}

fn change_protection(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let protect = input.flag("delete");
    input.check()?;
    let protect = protect.unwrap_or(find(cx, id)?.protected);
    cx.project.check_unlocked(Kind::Volume, id)?;
    let start = Start::new("change_protection", Effect::Volume(id, Change::Protect(protect)));
    Ok(cx.action_reply(start.on(Kind::Volume, id)))
}

pub(crate) fn settle(cx: &mut Cx<'_>, id: i64, change: &Change, success: bool) {
    if let (Change::Created, false) = (change, success) {
        cx.project.volumes.remove(&id);
        return;
    }
    let Some(volume) = cx.project.volumes.get_mut(&id) else { return };
    match change {
        Change::Attached(server) => {
            volume.attaching_to = None;
            if success {
                volume.server = Some(*server);
            }
        }
        _ if !success => {}
        Change::Created => volume.available = true,
        Change::Detached => volume.server = None,
        Change::Resized(size) => volume.size = *size,
        Change::Protect(protect) => volume.protected = *protect,
    }
}
