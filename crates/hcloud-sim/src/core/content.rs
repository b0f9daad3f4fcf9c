//! What disks, volumes and snapshots hold: no bytes, but where the content came from and the tokens that a test wrote.
//!
//! A snapshot is a copy of the moment in which it was asked for; what is written while it is being made is not in it.
//! A token that no copy is left of is noted as lost.

use super::clock::Time;
use super::http::{Api, ApiError, Reply};
use super::images::Image;
use super::input::Input;
use super::query::Query;
use super::servers::Power;
use super::state::{Cx, Project};
use super::{Simulator, control_objects};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The content of a server's disk, of a volume or of an image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Content {
    /// `image/ID` and `server/ID` that it came through, oldest first, without the place that it is in now.
    lineage: Vec<String>,
    /// What was written, oldest first.
    tokens: Vec<String>,
}

impl Content {
    fn copied_from(&self, place: String) -> Self {
        let lineage = self.lineage.iter().cloned().chain([place]).collect();
        Self { lineage, tokens: self.tokens.clone() }
    }

    /// The disk of a server that is made from the image.
    pub(crate) fn from_image(image: &Image) -> Self {
        image.content.copied_from(format!("image/{}", image.id))
    }

    /// A snapshot of the disk as it is now, on the server with this id.
    pub(crate) fn snapshot_on(&self, id: i64) -> Self {
        self.copied_from(format!("server/{id}"))
    }

    fn json(&self, kind: &str, id: i64) -> Value {
        json!({"type": kind, "id": id, "lineage": self.lineage, "tokens": self.tokens})
    }
}

/// Tokens that were deleted or overwritten with no copy left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lost {
    time: Time,
    /// `server/ID`, `volume/ID` or `image/ID`, where they were last.
    place: String,
    tokens: Vec<String>,
}

impl Project {
    /// Everything that holds content: a server or a snapshot that is still being made holds nothing yet.
    fn contents(&self) -> impl Iterator<Item = (&'static str, i64, &Content)> {
        let servers = self.servers.values().filter(|server| server.power != Power::Initializing);
        let servers = servers.map(|server| ("server", server.id, &server.content));
        let volumes = self.volumes.values().map(|volume| ("volume", volume.id, &volume.content));
        let images = self.images.values().filter(|image| image.available && image.deleted.is_none());
        servers.chain(volumes).chain(images.map(|image| ("image", image.id, &image.content)))
    }

    /// Notes what of a content that has just gone is left nowhere.
    pub(crate) fn content_gone(&mut self, kind: &str, id: i64, content: &Content, now: Time) {
        let left: BTreeSet<&str> =
            self.contents().flat_map(|(_, _, other)| &other.tokens).map(String::as_str).collect();
        let tokens: Vec<String> =
            content.tokens.iter().filter(|token| !left.contains(token.as_str())).cloned().collect();
        if !tokens.is_empty() {
            self.lost.push(Lost { time: now, place: format!("{kind}/{id}"), tokens });
        }
    }
}

/// `GET /_sim/content?project=&token=`: every content, or those with the token, and what was lost.
pub(super) fn list(sim: &mut Simulator, query: &Query, now: Time) -> Api<Reply> {
    let cx = control_objects::project(sim, query, now)?;
    let wanted = query.first("token");
    let has = |tokens: &[String]| wanted.is_none_or(|token| tokens.iter().any(|other| other == token));
    let contents: Vec<Value> = cx
        .project
        .contents()
        .filter(|(_, _, content)| has(&content.tokens))
        .map(|(kind, id, content)| content.json(kind, id))
        .collect();
    let lost: Vec<Value> = cx
        .project
        .lost
        .iter()
        .filter(|lost| has(&lost.tokens))
        .map(|lost| json!({"time_ms": lost.time.0, "place": lost.place, "tokens": lost.tokens}))
        .collect();
    Ok(Reply::ok(json!({"project": cx.project.name, "contents": contents, "lost": lost})))
}

/// Runs something on the project that has the object.
fn within<T>(sim: &mut Simulator, kind: &str, id: &str, run: impl Fn(&mut Project, i64) -> Option<T>) -> Api<T> {
    let unknown = || ApiError::not_found(kind.trim_end_matches('s'), id);
    let number: i64 = id.parse().map_err(|_| unknown())?;
    sim.state.projects.values_mut().find_map(|project| run(project, number)).ok_or_else(unknown)
}

/// `GET /_sim/{servers,volumes,images}/{id}/content`; of an image also while it is being made.
pub(super) fn show(sim: &mut Simulator, kind: &str, id: &str) -> Api<Reply> {
    within(sim, kind, id, |project, id| match kind {
        "servers" => project.servers.get(&id).map(|server| server.content.json("server", id)),
        "volumes" => project.volumes.get(&id).map(|volume| volume.content.json("volume", id)),
        _ => {
            let image = project.images.get(&id).filter(|image| image.deleted.is_none());
            image.map(|image| image.content.json("image", id))
        }
    })
    .map(|content| Reply::ok(json!({"content": content})))
}

/// `POST /_sim/{servers,volumes}/{id}/content` `{token}`: writes, as the guest would.
pub(super) fn write(sim: &mut Simulator, mut input: Input, kind: &str, id: &str) -> Api<Reply> {
    let token = input.required_text("token");
    if token.is_empty() {
        input.reject("token", "must not be empty");
    }
    input.check()?;
    let written = within(sim, kind, id, |project, id| {
        if kind == "volumes" {
            project.volumes.get_mut(&id)?.content.tokens.push(token.clone());
            return Some(true);
        }
        let server = project.servers.get_mut(&id)?;
        let has_disk = matches!(server.power, Power::Off | Power::Starting | Power::Running | Power::Stopping);
        if has_disk {
            server.content.tokens.push(token.clone());
        }
        Some(has_disk)
    })?;
    if !written {
        return Err(ApiError::new(409, "conflict", "the server's disk is being made, replaced, copied or deleted"));
    }
    show(sim, kind, id)
}

impl Cx<'_> {
    /// Takes an image out of the lists; it stays known to servers that show it.
    pub(crate) fn drop_image(&mut self, id: i64) {
        let Some(image) = self.project.images.get_mut(&id) else { return };
        let content = std::mem::take(&mut image.content);
        let available = image.available;
        if self.project.servers.values().any(|server| server.image == Some(id)) {
            if let Some(image) = self.project.images.get_mut(&id) {
                image.deleted = Some(self.now);
            }
        } else {
            self.project.images.remove(&id);
        }
        if available {
            self.project.content_gone("image", id, &content, self.now);
        }
    }
}
