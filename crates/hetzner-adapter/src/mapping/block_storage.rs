//! A block storage is a Hetzner volume while it is blank, and the local disk of a server once an instance boots
//! from it, because Hetzner servers boot from nothing else. Only this mapping makes and releases what backs it.
//!
//! | it is | backing |
//! |---|---|
//! | blank, nobody boots from it | `volume`: a Hetzner volume |
//! | made from an image, or somebody boots from it | `none`: nothing yet, or the disk of the holder's server |
//! | left behind by an instance that ran | `server`: a server that is off and bears its name |

use control_plane::{Reason, Resource, Uid, ports::Planned};
use hcloud_client::types::{CreateVolume, Server, Volume, VolumeStatus};
use seca_api::{BlockStorageSpec, Kind, Reference};
use serde_json::{Map, Value, json};

use super::{
    Checked, Context, Mapping, Owned, PlannedExt, act, deny_all, facts, fail, map, mark, missing_targets, noted,
    origin::Origin, power, settled, wait,
};
use crate::{
    call::{Call, StepExt, Until},
    objects::{ObjectId, ObjectType, ServerCall, VolumeCall},
};

/// The smallest Hetzner volume in GB.
const SMALLEST_GB: u64 = 10;
/// The largest Hetzner volume in GB.
const LARGEST_GB: u64 = 10_240;

/// See the module.
pub(super) struct BlockStorageMapping;

impl Mapping for BlockStorageMapping {
    fn kind(&self) -> Kind {
        Kind::BlockStorage
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context, &Backing::observe(context))
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        delete(context, &Backing::observe(context))
    }

    fn objects(&self) -> &'static [Owned] {
        &[
            Owned { kind: ObjectType::Volume, id: facts::VOLUME_ID, made: true },
            Owned { kind: ObjectType::Server, id: facts::SERVER_ID, made: false },
        ]
    }
}

/// What is there of a block storage.
struct Backing<'a> {
    volume: Option<&'a Volume>,
    /// The server that it keeps for itself.
    kept: Option<&'a Server>,
    /// The server of the instance that boots from it.
    holders: Option<&'a Server>,
}

impl<'a> Backing<'a> {
    fn observe(context: &Context<'a>) -> Self {
        let row = context.resource();
        let labelled = |uid: Uid| context.snapshot.server_labelled(context.installation(), uid);
        Self {
            volume: context.snapshot.volume_of(context.installation(), row),
            kept: labelled(row.uid),
            holders: row.holder.and_then(labelled),
        }
    }
}

/// The instance that boots from it, if its row is still there.
fn holder<'a>(context: &Context<'a>) -> Option<&'a Resource> {
    let uid = context.resource().holder?;
    context.bundle().referrers.iter().filter_map(|r| r.resource.as_ref()).find(|row| row.uid == uid)
}

fn delete(context: &Context<'_>, backing: &Backing<'_>) -> Planned {
    if let Some(server) = backing.kept {
        return act(ServerCall::Delete { server: server.id }.step(&server.name));
    }
    if backing.holders.is_some() {
        return wait(Reason::WaitingForDependency, "The instance that boots from it is still being deleted.");
    }
    if let Some(volume) = backing.volume {
        let Some(server) = volume.server else {
            return act(VolumeCall::Delete { volume: volume.id }.step(&volume.name));
        };
        let text = format!(
            "The volume is attached to the server {server} at Hetzner Cloud; detach it there, and it is deleted."
        );
        return context.await_person(ObjectId::Volume(volume.id), Until::Free, Reason::WaitingForDependency, text);
    }
    // Only the last server can have left its firewall behind.
    let kept_a_server = context.resource().fact(facts::SERVER_ID).is_some();
    kept_a_server.then(|| deny_all::release(context)).flatten().unwrap_or_else(settled)
}

fn alive(context: &Context<'_>, backing: &Backing<'_>) -> Checked<Planned> {
    let spec: BlockStorageSpec = context.spec()?;
    let row = context.resource();
    if row.fact(facts::BACKING) == Some(facts::SERVER) {
        return kept(context, &spec, backing);
    }
    if let (Some(server), None) = (backing.kept, holder(context)) {
        // The database is older than the hand-over, because it was restored: the server says whose disk it is.
        let id = server.id.to_string();
        let planned = kept(context, &spec, backing)?;
        return Ok(planned
            .fact(facts::BACKING, facts::SERVER)
            .fact(facts::SERVER_ID, id)
            .fact(facts::EVER_STARTED, true));
    }
    if row.marked(facts::EVER_STARTED) && backing.holders.or(backing.kept).is_none() {
        match holder(context) {
            Some(instance) => context.prove(instance, ObjectType::Server, facts::SERVER_ID)?,
            None => context.prove(row, ObjectType::Server, facts::SERVER_ID)?,
        }
        return Ok(lost("The server whose disk it was"));
    }
    if row.holder.is_some() || spec.source_image_ref.is_some() {
        return logical(context, &spec, backing);
    }
    Ok(match backing.volume {
        Some(volume) => keep_volume(context, &spec, volume),
        None => {
            context.prove_lost(ObjectType::Volume, facts::VOLUME_ID)?;
            match row.fact(facts::VOLUME_ID) {
                Some(_) => lost("The Hetzner volume behind it"),
                None => create_volume(context, &spec),
            }
        }
    })
}

fn lost(what: &str) -> Planned {
    fail(
        Reason::BackingLost,
        format!(
            "{what} was deleted at Hetzner Cloud, and its data with it. It is not made again empty: delete this \
                 block storage and restore a backup into a new one."
        ),
    )
}

/// It keeps the disk of a deleted instance.
fn kept(context: &Context<'_>, spec: &BlockStorageSpec, backing: &Backing<'_>) -> Checked<Planned> {
    // While the instance hands its server over, that bears the instance's labels.
    let remembered = context.resource().fact(facts::SERVER_ID).and_then(|id| id.parse::<i64>().ok());
    let handed = remembered.and_then(|id| context.snapshot.objects.servers.get(&id));
    let Some(server) = backing.kept.or(backing.holders).or(handed) else {
        context.prove(context.resource(), ObjectType::Server, facts::SERVER_ID)?;
        return Ok(lost("The server whose disk it kept"));
    };
    let size = size_on(server, spec);
    Ok(settled().status(status(size, None)).note(
        Reason::BootVolumeHeld,
        "It keeps the disk of an instance that was deleted. Booting from it again comes with a later release; until \
         then use a new block storage.",
    ))
}

/// Nothing of its own stands behind it: its blocks are, or will be, the disk of a server.
fn logical(context: &Context<'_>, spec: &BlockStorageSpec, backing: &Backing<'_>) -> Checked<Planned> {
    let row = context.resource();
    if let Some(volume) = backing.volume {
        // Somebody may have attached it by hand, and detached it again.
        let object = ObjectId::Volume(volume.id);
        let attached = row.marked(facts::EVER_ATTACHED) || volume.server.is_some();
        let attached = match context.snapshot.was_used(object) {
            Some(ever) => attached || ever,
            None if attached => true,
            None => return Ok(context.ask(Call::History { object })),
        };
        if attached {
            return Ok(keep_volume(context, spec, volume).fact(facts::EVER_ATTACHED, true).note(
                Reason::Unsupported,
                "It has been used as a data volume, and Hetzner Cloud boots no server from a volume.",
            ));
        }
        let gone = [(facts::BACKING, facts::RELEASING.into()), (facts::VOLUME_ID, Value::Null)];
        return Ok(act(VolumeCall::Delete { volume: volume.id }.step(&volume.name).mark(mark(row, &gone))));
    }
    if row.fact(facts::BACKING) != Some(facts::NONE) {
        context.prove_unmade(ObjectType::Volume, facts::VOLUME_ID)?;
    }
    let user = backing.holders.and(holder(context)).filter(|instance| !instance.is_deleting());
    let settled = settled().fact(facts::BACKING, facts::NONE).fact(facts::VOLUME_ID, Value::Null);
    let Some(server) = backing.holders.or(backing.kept) else {
        // The instance that boots from it sees no image, so this one passes on what it is to be made from.
        let origin = Origin::from_image(context)?;
        let of = if origin.is_some() { source_image(row) } else { Value::Null };
        let planned = settled
            .fact(facts::ORIGIN, origin.map_or(Value::Null, |origin| origin.fact()))
            .fact(facts::ORIGIN_OF, of)
            .status(status(u64::from(spec.size_gb), user));
        return Ok(noted(planned, missing_targets(context)));
    };
    let size = size_on(server, spec);
    let mut missing = Vec::new();
    if size < u64::from(spec.size_gb) {
        missing.push(format!("the disk of the server has {size} GB and cannot grow"));
    }
    if row.facts.get(facts::SOURCE_IMAGE).cloned().unwrap_or_default() != source_image(row) {
        missing.push("the disk was made from another image".to_owned());
    }
    let kept = (!missing.is_empty()).then(|| {
        let message = format!(
            "An instance runs from it, so the change is kept as intent: {}. It applies to a new block storage that a \
             new instance boots from.",
            missing.join(", and ")
        );
        (Reason::AppliesOnRecreate, message)
    });
    let settled = if power::has_run(server) { settled.fact(facts::EVER_STARTED, true) } else { settled };
    Ok(noted(settled.status(status(size, user)), kept.into_iter().chain(missing_targets(context))))
}

/// The size that a boot volume has on a server's disk, which may be larger, but is never smaller than is told.
fn size_on(server: &Server, spec: &BlockStorageSpec) -> u64 {
    let asked = u64::from(spec.size_gb);
    // Some answers leave the disk out.
    if server.primary_disk_size == 0 { asked } else { asked.min(server.primary_disk_size) }
}

/// The image that a boot volume names, as text; null for none.
pub(super) fn source_image(row: &Resource) -> Value {
    let spec = row.spec::<BlockStorageSpec>().ok();
    let reference = spec.and_then(|spec| spec.source_image_ref).filter(|reference| !reference.is_unset());
    reference.map_or(Value::Null, |reference| Value::String(reference.resource))
}

fn create_volume(context: &Context<'_>, spec: &BlockStorageSpec) -> Planned {
    let size = u64::from(spec.size_gb).max(SMALLEST_GB);
    if size > LARGEST_GB {
        return too_large(spec);
    }
    let Some(location) = context.region_fact("location") else {
        return fail(Reason::Unsupported, format!("The region `{}` has no location.", context.region()));
    };
    let name = context.object_name();
    let body = CreateVolume {
        size,
        name: name.clone(),
        labels: context.labels("create_volume"),
        location: Some(location.to_owned()),
        server: None,
        automount: None,
        format: None,
    };
    let mark = mark(context.resource(), &[(facts::BACKING, facts::VOLUME.into())]);
    act(VolumeCall::Create(Box::new(body)).step(name).mark(mark))
}

fn too_large(spec: &BlockStorageSpec) -> Planned {
    fail(
        Reason::ProviderRefused,
        format!("{} GB are more than the {LARGEST_GB} GB that a Hetzner volume can have; ask for less.", spec.size_gb),
    )
}

fn keep_volume(context: &Context<'_>, spec: &BlockStorageSpec, volume: &Volume) -> Planned {
    if volume.status == VolumeStatus::Creating {
        return act(context.watch(ObjectId::Volume(volume.id), Until::Settled).step(&volume.name));
    }
    let wanted = u64::from(spec.size_gb);
    if wanted > LARGEST_GB {
        return too_large(spec);
    }
    if volume.size < wanted {
        return act(VolumeCall::Resize { volume: volume.id, size: wanted }.step(&volume.name));
    }
    let planned = settled()
        .fact(facts::BACKING, facts::VOLUME)
        .fact(facts::VOLUME_ID, volume.id.to_string())
        .status(status(volume.size, None));
    // Whoever attached it: it may hold data.
    let planned = if volume.server.is_some() { planned.fact(facts::EVER_ATTACHED, true) } else { planned };
    if volume.size == wanted {
        return planned;
    }
    let why = if wanted < SMALLEST_GB { "the smallest Hetzner volume" } else { "volumes never shrink" };
    planned.note(Reason::SizeAdjusted, format!("{} GB instead of {wanted} GB: {why}.", volume.size))
}

fn status(size: u64, user: Option<&Resource>) -> Map<String, Value> {
    let mut members = map(&[("sizeGB", size.into())]);
    if let Some(instance) = user {
        members.insert("attachedTo".to_owned(), json!(Reference::to(&instance.key)));
    }
    members
}
