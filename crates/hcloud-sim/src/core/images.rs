//! Images: the provider's systems, and snapshots and backups of servers. Only systems have names.

use super::actions::{Effect, Kind, Start};
use super::clock::Time;
use super::content::Content;
use super::http::{Api, ApiError, Reply};
use super::input::Ref;
use super::labels::Labels;
use super::query::ListSpec;
use super::state::{Cx, Project};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) id: i64,
    /// `system`, `snapshot` or `backup`.
    pub(crate) kind: String,
    pub(crate) available: bool,
    pub(crate) name: Option<String>,
    pub(crate) description: String,
    /// Compressed size in GB, known once a snapshot is taken.
    pub(crate) image_size: Option<f64>,
    /// The smallest disk that can hold it, in GB.
    pub(crate) disk_size: i64,
    pub(crate) created: Time,
    pub(crate) created_from: Option<(i64, String)>,
    pub(crate) bound_to: Option<i64>,
    pub(crate) os_flavor: String,
    pub(crate) os_version: Option<String>,
    pub(crate) protected: bool,
    pub(crate) deprecated: Option<Time>,
    /// Set when it is gone from the lists but a server still shows it as its image.
    pub(crate) deleted: Option<Time>,
    pub(crate) labels: Labels,
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) content: Content,
}

/// What a finished action does to an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Available,
    Protect(bool),
}

/// 2026-01-01.
const PUBLISHED: Time = Time(1_767_225_600_000);

/// `(x86 id, arm id, flavor, version)`; an arm id of 0: there is no arm image.
const SYSTEMS: [(i64, i64, &str, &str); 13] = [
    (67_794_396, 103_908_130, "ubuntu", "22.04"),
    (161_547_269, 161_547_270, "ubuntu", "24.04"),
    (311_000_001, 311_000_002, "ubuntu", "26.04"),
    (114_690_387, 114_690_389, "debian", "12"),
    (310_000_001, 310_000_002, "debian", "13"),
    (305_000_001, 305_000_002, "fedora", "41"),
    (308_000_001, 308_000_002, "fedora", "43"),
    (145_000_001, 145_000_002, "rocky", "9"),
    (309_000_001, 309_000_002, "rocky", "10"),
    (146_000_001, 146_000_002, "alma", "9"),
    (309_100_001, 309_100_002, "alma", "10"),
    (307_000_001, 307_000_002, "centos", "stream-10"),
    (306_000_001, 0, "opensuse", "15"),
];

/// The provider's images, for both architectures.
pub(crate) fn systems() -> impl Iterator<Item = Image> {
    SYSTEMS.iter().flat_map(|(x86, arm, flavor, version)| {
        [(*x86, "x86"), (*arm, "arm")]
            .into_iter()
            .filter(|(id, _)| *id != 0)
            .map(|(id, architecture)| system(id, architecture, flavor, version))
    })
}

fn system(id: i64, architecture: &str, flavor: &str, version: &str) -> Image {
    let deprecated = flavor == "fedora" && version == "41";
    Image {
        id,
        kind: "system".to_owned(),
        available: true,
        name: Some(format!("{flavor}-{version}")),
        description: format!("{}{} {version}", flavor[..1].to_uppercase(), &flavor[1..]),
        image_size: None,
        disk_size: 5,
        created: PUBLISHED,
        created_from: None,
        bound_to: None,
        os_flavor: flavor.to_owned(),
        os_version: Some(version.to_owned()),
        protected: false,
        deprecated: deprecated.then_some(PUBLISHED),
        deleted: None,
        labels: Labels::new(),
        architecture: architecture.to_owned(),
        content: Content::default(),
    }
}

impl Image {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "type": self.kind, "status": if self.available { "available" } else { "creating" },
            "name": self.name, "description": self.description, "image_size": self.image_size,
            "disk_size": self.disk_size, "created": self.created.rfc3339(),
            "created_from": self.created_from.as_ref().map(|(id, name)| json!({"id": id, "name": name})),
            "bound_to": self.bound_to, "os_flavor": self.os_flavor, "os_version": self.os_version,
            "rapid_deploy": self.kind == "system", "protection": {"delete": self.protected},
            "deprecated": self.deprecated.map(Time::rfc3339), "deleted": self.deleted.map(Time::rfc3339),
            "labels": self.labels, "architecture": self.architecture,
        })
    }
}

impl Project {
    /// The JSON of an image, also of a deleted one; `null` when it was never there.
    pub(crate) fn image_json(&self, id: Option<i64>) -> Value {
        id.and_then(|id| self.image_by_id(id)).map_or(Value::Null, |image| image.json())
    }

    /// An image, also a deleted one.
    pub(crate) fn image_by_id(&self, id: i64) -> Option<Image> {
        self.images.get(&id).cloned().or_else(|| systems().find(|image| image.id == id))
    }

    /// An image that can be used now: by id, or by name for an architecture.
    pub(crate) fn find_image(&self, wanted: &Ref, architecture: &str) -> Option<Image> {
        let own = self.images.values().filter(|image| image.deleted.is_none()).cloned();
        systems().chain(own).find(|image| match wanted {
            Ref::Id(id) => image.id == *id,
            Ref::Name(name) => image.name.as_deref() == Some(name) && image.architecture == architecture,
        })
    }

    /// Fails unless the image fits the architecture and the disk.
    pub(crate) fn usable_image(&self, wanted: &Ref, architecture: &str, disk: i64) -> Api<Image> {
        let image =
            self.find_image(wanted, architecture).ok_or_else(|| ApiError::invalid("image", "image not found"))?;
        if !image.available {
            return Err(ApiError::invalid("image", "image is not available yet"));
        }
        if image.architecture != architecture {
            return Err(ApiError::invalid("image", "image architecture does not match the server type"));
        }
        if image.disk_size > disk {
            return Err(ApiError::invalid(
                "image",
                &format!("image disk is bigger than server type disk ({} GB > {disk} GB)", image.disk_size),
            ));
        }
        Ok(image)
    }
}

pub(crate) fn list(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec {
        key: "images",
        filters: &["name", "type", "status", "bound_to", "architecture"],
        sorts: &["id", "name", "created"],
        labels: true,
    };
    let deprecated = cx.query.first("include_deprecated") == Some("true");
    let own = cx.project.images.values().filter(|image| image.deleted.is_none()).map(Image::json);
    let systems = systems().filter(|image| deprecated || image.deprecated.is_none()).map(|image| image.json());
    cx.list(&spec, systems.chain(own).collect())
}

pub(crate) fn get(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    match cx.project.find_image(&Ref::Id(id), "") {
        Some(image) => Ok(Reply::ok(json!({"image": image.json()}))),
        None => Err(ApiError::not_found("image", id)),
    }
}

/// The project's own image; the provider's are not to be changed.
fn own<'a>(cx: &'a mut Cx<'_>, id: i64) -> Api<&'a mut Image> {
    if systems().any(|image| image.id == id) {
        return Err(ApiError::new(403, "forbidden", "system images cannot be changed"));
    }
    cx.project
        .images
        .get_mut(&id)
        .filter(|image| image.deleted.is_none())
        .ok_or_else(|| ApiError::not_found("image", id))
}

pub(crate) fn update(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let (description, kind, labels) = (input.text("description"), input.text("type"), input.labels());
    input.check()?;
    let image = own(cx, id)?;
    match kind.as_deref() {
        None => {}
        Some("snapshot") => {
            "snapshot".clone_into(&mut image.kind);
            image.bound_to = None;
        }
        Some(_) => return Err(ApiError::invalid("type", "must be 'snapshot'")),
    }
    image.description = description.unwrap_or_else(|| image.description.clone());
    image.labels = labels.unwrap_or_else(|| image.labels.clone());
    Ok(Reply::ok(json!({"image": image.json()})))
}

pub(crate) fn delete(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    if own(cx, id)?.protected {
        return Err(ApiError::protected("image"));
    }
    cx.project.check_unlocked(Kind::Image, id)?;
    cx.drop_image(id);
    Ok(Reply::no_content())
}

pub(crate) fn change_protection(cx: &mut Cx<'_>, id: i64) -> Api<Reply> {
    let mut input = cx.input();
    let protect = input.flag("delete");
    input.check()?;
    let protect = protect.unwrap_or(own(cx, id)?.protected);
    cx.project.check_unlocked(Kind::Image, id)?;
    Ok(cx
        .action_reply(Start::new("change_protection", Effect::Image(id, Change::Protect(protect))).on(Kind::Image, id)))
}

pub(crate) fn settle(cx: &mut Cx<'_>, id: i64, change: &Change, success: bool) {
    match (change, success) {
        (Change::Available, true) => {
            if let Some(image) = cx.project.images.get_mut(&id) {
                image.available = true;
                // A fresh system compresses to a part of what its disk holds.
                image.image_size = Some(1.5);
            }
        }
        // A snapshot that failed is not there.
        (Change::Available, false) => {
            cx.project.images.remove(&id);
        }
        (Change::Protect(protect), true) => {
            if let Some(image) = cx.project.images.get_mut(&id) {
                image.protected = *protect;
            }
        }
        (Change::Protect(_), false) => {}
    }
}
