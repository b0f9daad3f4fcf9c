//! A block storage is a Hetzner volume while it is blank, and the local disk of a server once an instance boots
//! from it, because Hetzner servers boot from nothing else. Only this mapping makes and releases what backs it.
//!
//! | it is | backing |
//! |---|---|
//! | blank, nobody boots from it | `volume`: a Hetzner volume |
//! | made from an image, or somebody boots from it | `none`: nothing yet, or the disk of the holder's server |
//! | left behind by an instance that ran | `server`: a server that is off and bears its name |
//! | left behind a while ago, or wanted by an instance that this server does not fit | `snapshot`: of that server's disk |

use control_plane::{
    Reason, Resource, Uid,
    disk::{self, Disk},
    facts::{self, BlockStorageFacts, Facts},
    ports::{Plan, Planned, Tie},
};
use hcloud_client::types::{CreateVolume, Image, Server, ServerStatus, Volume, VolumeStatus};
use seca_api::{BlockStorageSpec, Kind, Reference};
use serde_json::{Map, Value, json};

use super::{
    Checked, Context, Mapping, Owned, PlannedExt, act, auxiliary, fail, image, instance, map, missing_targets, noted,
    origin::origin_from_image,
    parking, power, settled, wait,
    zone::{self, Place},
};
use crate::{
    admission::PROVIDER,
    call::{StepExt, Until, millis},
    objects::{ObjectId, ObjectType, ServerCall, VolumeCall},
};

/// The smallest Hetzner volume in GB.
const SMALLEST_GB: u64 = 10;
/// The largest Hetzner volume in GB.
const LARGEST_GB: u64 = PROVIDER.limits.volume_gb.unsigned_abs();

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
            Owned { kind: ObjectType::Volume, made: true },
            Owned { kind: ObjectType::Server, made: false },
            Owned { kind: ObjectType::Image, made: false },
        ]
    }
}

/// What is there of a block storage.
pub(super) struct Backing<'a> {
    pub(super) volume: Option<&'a Volume>,
    /// The server that it keeps for itself.
    pub(super) kept: Option<&'a Server>,
    /// The server of the instance that boots from it.
    pub(super) holders: Option<&'a Server>,
    /// The snapshot of its disk.
    pub(super) snapshot: Option<&'a Image>,
}

impl<'a> Backing<'a> {
    fn observe(context: &Context<'a>) -> Self {
        let row = context.resource();
        let holders = |uid: Uid| match holder(context) {
            // Somebody may have taken its labels away.
            Some(instance) => context.snapshot.server_of(context.installation(), instance),
            None => context.snapshot.server_labelled(context.installation(), uid),
        };
        Self {
            volume: context.snapshot.volume_of(context.installation(), row),
            kept: context.snapshot.server_of(context.installation(), row),
            holders: row.holder.and_then(holders),
            snapshot: parking::snapshot_of(context),
        }
    }
}

/// The instance that has it, if its row is still there and names it.
pub(super) fn holder<'a>(context: &Context<'a>) -> Option<&'a Resource> {
    context.holder().and_then(|related| related.resource.as_ref())
}

/// Whether its holder boots from it, and does not use it as a data volume.
pub(super) fn is_boot_volume(context: &Context<'_>) -> bool {
    let row = context.resource();
    let is_disk = row.holder.is_some() && BlockStorageFacts::of(row).disk_of == row.holder;
    is_disk || context.holder().is_some_and(|related| related.field == instance::BOOT_VOLUME)
}

/// Ends the claim of an instance that names it no longer, or is being deleted, once it has no volume of it any more.
fn release(context: &Context<'_>, volume: Option<&Volume>) -> Option<Planned> {
    let user = context.resource().holder.filter(|_| !is_boot_volume(context))?;
    let is_wanted = holder(context).is_some_and(|instance| !instance.is_deleting());
    let is_attached = volume.is_some_and(|volume| volume.server.is_some());
    (!is_wanted && !is_attached).then(|| Planned::new(Plan::Tie(vec![Tie::Release(user)])))
}

fn delete(context: &Context<'_>, backing: &Backing<'_>) -> Planned {
    if let Some(server) = backing.kept.or_else(|| parking::set_aside(context).next()) {
        // The instance that handed it over has left what closes it to the block storage.
        if let Some(tied) = auxiliary::tie_closed(context, server) {
            return tied;
        }
        return act(ServerCall::Delete { server: server.id }.step(&server.name));
    }
    // An instance that used it as a data volume stays, and has nothing of it any more.
    if let Some(released) = release(context, backing.volume) {
        return released;
    }
    if backing.holders.is_some() && is_boot_volume(context) {
        return wait(Reason::WaitingForDependency, "The instance that boots from it is still being deleted.");
    }
    if let Some(volume) = backing.volume {
        let Some(server) = volume.server else {
            return act(VolumeCall::Delete { volume: volume.id }.step(&volume.name));
        };
        if context.resource().holder.is_some() {
            return wait(Reason::WaitingForDependency, "The instance that has it attached still lets it go.");
        }
        let text = format!(
            "The volume is attached to the server {server} at Hetzner Cloud; detach it there, and it is deleted."
        );
        return context.await_person(ObjectId::Volume(volume.id), Until::Free, Reason::WaitingForDependency, text);
    }
    if let Some(told) = parking::to_the_others(context) {
        return told;
    }
    let is_used = |image: &Image| auxiliary::snapshots(context).any(|(id, _)| id == image.id);
    if let Some(unused) = parking::snapshot_in_making(context, context.resource()).filter(|image| !is_used(image)) {
        return image::remove(unused);
    }
    if let Err(look) = parking::prove_no_copy(context) {
        return *look;
    }
    // The last user of a snapshot removes it.
    auxiliary::release(context, &[]).unwrap_or_else(settled)
}

fn alive(context: &Context<'_>, backing: &Backing<'_>) -> Checked<Planned> {
    let spec: BlockStorageSpec = context.spec()?;
    let row = context.resource();
    match Disk::of(row) {
        Disk::Held { .. } => return kept(context, &spec, backing),
        Disk::Parked { .. } => return parking::parked(context, &spec, backing),
        _ => {}
    }
    if let (Some(server), None) = (backing.kept, holder(context)) {
        // The database is older than the hand-over, because it was restored: the server says whose disk it is.
        let id = server.id.to_string();
        let planned = kept(context, &spec, backing)?;
        let now = millis(context.now);
        return Ok(planned.remember(row, |facts: &mut BlockStorageFacts| disk::hold(facts, id, None, now)));
    }
    if BlockStorageFacts::of(row).ever_started && backing.holders.or(backing.kept).is_none() {
        match holder(context) {
            Some(instance) => context.prove(instance, ObjectType::Server)?,
            None => context.prove(row, ObjectType::Server)?,
        }
        return Ok(lost("The server whose disk it was"));
    }
    // An instance took the server in the middle of a parking: what was copied is not the disk any more.
    let has_disk = BlockStorageFacts::of(row).backing == Some(facts::Backing::None);
    if let Some((old, server)) = backing.snapshot.zip(backing.holders).filter(|_| has_disk) {
        return parking::without(context, old, server);
    }
    // It keeps no server, or no longer.
    let used: Vec<_> = parking::used_by_set_aside(context).collect();
    if let Some(released) = auxiliary::release(context, &used).or_else(|| release(context, backing.volume)) {
        return Ok(released);
    }
    if is_boot_volume(context) || spec.source_image_ref.is_some() {
        return logical(context, &spec, backing);
    }
    Ok(match backing.volume {
        Some(volume) => keep_volume(context, &spec, volume),
        None => {
            context.prove_lost(ObjectType::Volume)?;
            match BlockStorageFacts::of(row).volume_id {
                Some(_) => lost("The Hetzner volume behind it"),
                None => create_volume(context, &spec),
            }
        }
    })
}

pub(super) fn lost(what: &str) -> Planned {
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
    let remembered = BlockStorageFacts::of(context.resource()).server_id.and_then(|id| id.parse().ok());
    let handed = remembered.and_then(|id| context.snapshot.get(id));
    let Some(server) = backing.kept.or(backing.holders).or(handed) else {
        context.prove(context.resource(), ObjectType::Server)?;
        let copy = backing.snapshot.filter(|image| parking::is_of_this_hold(context.resource(), image));
        return Ok(
            copy.map_or_else(|| lost("The server whose disk it kept"), |image| parking::copied_before(context, image))
        );
    };
    let is_own = backing.kept.is_some();
    if !is_own {
        return Ok(settled().status(status(size_on(server, spec), None)));
    }
    if let Some(tied) = auxiliary::tie_closed(context, server) {
        return Ok(tied);
    }
    if power::is_busy(server) {
        return Ok(context.watch_server(server, Until::Settled));
    }
    if server.status != ServerStatus::Off {
        return parking::kept_on(context, backing, server);
    }
    if let Some(old) = backing.snapshot.filter(|image| !parking::is_of_this_hold(context.resource(), image)) {
        return parking::without(context, old, server);
    }
    // The snapshot that it was before.
    if let Some(told) = parking::to_the_others(context) {
        return Ok(told);
    }
    let stays: Vec<_> = context.bundle().auxiliaries.iter().map(|tied| tied.auxiliary.clone()).collect();
    let stays: Vec<_> = stays.into_iter().filter(|used| used.purpose != auxiliary::DISK_SNAPSHOT).collect();
    if let Some(released) = auxiliary::release(context, &stays) {
        return Ok(released);
    }
    // What an earlier release, or somebody else, left on it.
    instance::strip(context, server)?;
    parking::hold(context, spec, backing, server)
}

/// Nothing of its own stands behind it: its blocks are, or will be, the disk of a server.
fn logical(context: &Context<'_>, spec: &BlockStorageSpec, backing: &Backing<'_>) -> Checked<Planned> {
    let row = context.resource();
    if let Some(volume) = backing.volume {
        // Somebody may have attached it by hand, and detached it again.
        let attached = BlockStorageFacts::of(row).ever_attached || volume.server.is_some();
        let attached = attached || context.was_used(ObjectId::Volume(volume.id))?;
        if attached {
            let kept = keep_volume(context, spec, volume);
            return Ok(kept.remember(row, |facts: &mut BlockStorageFacts| facts.ever_attached = true).note(
                Reason::Unsupported,
                "It has been used as a data volume, and Hetzner Cloud boots no server from a volume.",
            ));
        }
        let gone = BlockStorageFacts::mark(row, disk::release);
        return Ok(act(VolumeCall::Delete { volume: volume.id }.step(&volume.name).mark(gone)));
    }
    if BlockStorageFacts::of(row).backing != Some(facts::Backing::None) {
        context.prove_unmade(ObjectType::Volume)?;
    }
    let user = backing.holders.and(holder(context)).filter(|instance| !instance.is_deleting());
    let on = backing.holders.or(backing.kept);
    let settled = settled().remember(row, |facts: &mut BlockStorageFacts| {
        facts.backing = Some(facts::Backing::None);
        facts.volume_id = None;
        facts.disk_gb = on.map(|server| server.primary_disk_size).filter(|size| *size > 0);
        facts.architecture = on.and_then(parking::processors);
        facts.location = on.map(|server| server.location.name.clone());
    });
    let Some(server) = on else {
        // The instance that boots from it sees no image, so this one passes on what it is to be made from.
        let origin = origin_from_image(context)?;
        let planned = settled
            .remember(row, |facts: &mut BlockStorageFacts| {
                facts.origin_of = source_image(row).filter(|_| origin.is_some());
                facts.origin = origin;
            })
            .status(status(u64::from(spec.size_gb), user));
        return Ok(noted(planned, missing_targets(context)));
    };
    let size = size_on(server, spec);
    let mut missing = Vec::new();
    if size < u64::from(spec.size_gb) {
        missing.push(format!("the disk of the server has {size} GB and cannot grow"));
    }
    if BlockStorageFacts::of(row).source_image != source_image(row) {
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
    let settled = match power::has_run(server) {
        true => settled.remember(row, disk::start),
        false => settled,
    };
    Ok(noted(
        settled.status(status(size, user)),
        kept.into_iter().chain(missing_targets(context)).chain(parking::told_of_set_aside(context)),
    ))
}

/// The size that a boot volume has on a server's disk, which may be larger, but is never smaller than is told.
pub(super) fn size_on(server: &Server, spec: &BlockStorageSpec) -> u64 {
    let asked = u64::from(spec.size_gb);
    // Some answers leave the disk out.
    if server.primary_disk_size == 0 { asked } else { asked.min(server.primary_disk_size) }
}

/// The image that a boot volume names, as text.
pub(super) fn source_image(row: &Resource) -> Option<String> {
    let spec = row.spec::<BlockStorageSpec>().ok();
    let reference = spec.and_then(|spec| spec.source_image_ref).filter(|reference| !reference.is_unset());
    reference.map(|reference| reference.resource)
}

fn create_volume(context: &Context<'_>, spec: &BlockStorageSpec) -> Planned {
    let size = u64::from(spec.size_gb).max(SMALLEST_GB);
    if size > LARGEST_GB {
        return too_large(spec);
    }
    let location = match Place::of(context, holder(context).and_then(zone::of_instance)).location(context) {
        Ok(location) => location,
        Err(planned) => return planned.status(status(u64::from(spec.size_gb), None)),
    };
    let name = context.object_name();
    let body = CreateVolume {
        size,
        name: name.clone(),
        labels: context.labels("create_volume"),
        location: Some(location),
        server: None,
        automount: None,
        format: None,
    };
    let mark = BlockStorageFacts::mark(context.resource(), |facts| {
        facts.backing = Some(facts::Backing::Volume);
        facts.location.clone_from(&body.location);
    });
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
    let user = holder(context).filter(|instance| is_on(context, volume, instance.uid));
    let planned =
        settled().status(status(volume.size, user)).remember(context.resource(), |facts: &mut BlockStorageFacts| {
            facts.backing = Some(facts::Backing::Volume);
            facts.volume_id = Some(volume.id.to_string());
            facts.location = Some(volume.location.name.clone());
            // Whoever attached it: it may hold data.
            facts.ever_attached |= volume.server.is_some();
        });
    let user_zone = holder(context).and_then(zone::of_instance);
    let mut notes = Vec::from_iter(zone::elsewhere(context, &volume.location.name, user_zone));
    if volume.size != wanted {
        let why = if wanted < SMALLEST_GB { "the smallest Hetzner volume" } else { "volumes never shrink" };
        notes.push((Reason::SizeAdjusted, format!("{} GB instead of {wanted} GB: {why}.", volume.size)));
    }
    let attached = user.map(|instance| {
        format!(
            "The instance `{}` has it as /dev/disk/by-id/scsi-0HC_Volume_{}; it is neither formatted nor mounted.",
            instance.key.name, volume.id
        )
    });
    noted(planned, notes.into_iter().chain(attached.map(|text| (Reason::Attached, text))))
}

/// Whether a volume is attached to the server of an instance.
fn is_on(context: &Context<'_>, volume: &Volume, instance: Uid) -> bool {
    let server = context.snapshot.server_labelled(context.installation(), instance);
    server.is_some_and(|server| volume.server == Some(server.id))
}

pub(super) fn status(size: u64, user: Option<&Resource>) -> Map<String, Value> {
    let mut members = map(&[("sizeGB", size.into())]);
    if let Some(instance) = user {
        members.insert("attachedTo".to_owned(), json!(Reference::to(&instance.key)));
    }
    members
}
