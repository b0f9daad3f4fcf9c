//! Disks that outlive their instances. A block storage keeps the server of a deleted instance, switched off and stripped
//! of all that others may want, so that the next instance can have it at once. After a while, or when the next instance
//! asks for what this server was not made with, the disk becomes a snapshot, and the server goes. The snapshot goes when a
//! server that was made from it has started. Nothing is removed before what replaces it was observed.

use std::time::Duration;

use control_plane::{
    Reason, Resource,
    disk::{self, Disk},
    facts::{BlockStorageFacts, Facts, InstanceFacts},
    ports::{Auxiliary, Plan, Planned},
};
use hcloud_client::types::{Id, Image, ImageStatus, Server, ServerStatus};
use seca_api::{BlockStorageSpec, InstanceSpec, Kind, Timestamp};
use serde_json::Value;

use super::{
    Checked, Context, PlannedExt, act, auxiliary,
    block_storage::{Backing, holder, lost, size_on, status},
    fail, image, instance, noted,
    origin::whole,
    power, settled, wait,
};
use crate::{
    call::{Call, StepExt, Until, millis},
    catalog, naming,
    objects::{CREATE_IMAGE, ImageCall, ObjectId, ObjectType, ServerCall, timestamp},
    owner::{Owner, Role},
};

/// The role of the snapshot that a disk is kept in.
const PARKED: Role = Role::fixed("parked");
/// How the role of a server begins whose disk was copied, and that somebody switched on while the copy was used. Its id follows.
const SET_ASIDE: &str = "set-aside-";
/// How long a held server is kept: a duration, or `never`.
const HOLD_EXTENSION: &str = "hetzner.cloud/disk-hold";
/// `"always"`: the held server is used whatever it was made with.
const REUSE_EXTENSION: &str = "hetzner.cloud/reuse-server";
/// How often a kept server is looked at: whether its time is over, and whether its room is needed. It asks nobody.
const ROOM: Duration = Duration::from_secs(30);
/// When it is looked again at a snapshot that somebody else decides about. It asks nobody.
const LOST_AGAIN: Duration = Duration::from_secs(1);

/// The snapshot of a block storage's disk: the one that it is, or the one that is to be. One that it was, and uses still
/// because that is not removed yet, is neither.
pub(super) fn snapshot_of<'a>(context: &Context<'a>) -> Option<&'a Image> {
    let row = context.resource();
    let id = BlockStorageFacts::of(row).image_id.and_then(|id| id.parse::<Id<Image>>().ok());
    let known = id.and_then(|id| context.snapshot.get(id));
    let was_it = |image: &Image| auxiliary::snapshots(context).any(|(old, _)| old == image.id);
    known.or_else(|| snapshot_in_making(context, row).filter(|image| !was_it(image)))
}

/// Whether a snapshot was ordered since the block storage keeps its server. One that was ordered before is of an earlier
/// time, when another instance took the server back in the middle of it: the disk has changed since.
pub(super) fn is_of_this_hold(row: &Resource, image: &Image) -> bool {
    ordered_at(image).is_some_and(|ordered| BlockStorageFacts::of(row).held_since.is_some_and(|since| since <= ordered))
}

/// When a snapshot was ordered, in milliseconds.
fn ordered_at(image: &Image) -> Option<i64> {
    image.labels.get(naming::STEP)?.rsplit('.').next()?.parse().ok()
}

/// Whether somebody started a server after its snapshot was made, or at all while the block storage kept it: then the disk may be
/// newer. What was read of the server may be minutes old, and somebody may have switched it off again, so it and its actions are
/// read. Just before that the snapshot is read: somebody may have deleted it.
fn is_outdated(context: &Context<'_>, image: &Image, server: &Server) -> Checked<bool> {
    let object = ObjectId::Server(server.id);
    let after = ordered_at(image).unwrap_or_default();
    let told = context.snapshot.usage_since(object, context.bundle().attempts, after);
    context
        .prove_there_at(ObjectId::Image(image.id), told.map_or(context.now, |told| Timestamp::from_millis(told.at)))?;
    if told.is_none() {
        return Err(Box::new(context.ask(context.history(object))));
    }
    let usage = context.prove_there(object)?;
    let since = BlockStorageFacts::of(context.resource()).held_since.map(Timestamp::from_millis);
    let is_later = |started: Timestamp| {
        let made = image.created.and_then(timestamp);
        made.is_some_and(|made| started >= made) || since.is_some_and(|since| started > since)
    };
    Ok(usage.newest.map(Timestamp::from_millis).is_some_and(is_later))
}

/// Before it lets go of a snapshot that others use: as long as that bears its labels, it would go with it.
pub(super) fn to_the_others(context: &Context<'_>) -> Option<Planned> {
    let image = snapshot_in_making(context, context.resource())?;
    let (id, _) = auxiliary::snapshots(context).find(|(id, others)| *id == image.id && *others > 0)?;
    let labels = auxiliary::shared_labels(context, &auxiliary::disk_snapshot(id));
    Some(act(ImageCall::Update { image: id, labels }.step(&image.description)))
}

/// Proves that no snapshot is left that was to be its disk, and that the row does not remember. None was ordered before its
/// first step.
pub(super) fn prove_no_copy(context: &Context<'_>) -> Checked<()> {
    let row = context.resource();
    let may_be = context.bundle().touched && Disk::held_a_system(row);
    if may_be && snapshot_in_making(context, row).is_none() {
        context.prove_none(ObjectType::Image, Owner::in_role(row.uid, PARKED), None)?;
    }
    Ok(())
}

/// The snapshot that a block storage's disk becomes.
pub(super) fn snapshot_in_making<'a>(context: &Context<'a>, volume: &Resource) -> Option<&'a Image> {
    context.snapshot.owned_by(context.installation(), &Owner::in_role(volume.uid, PARKED))
}

/// The processors of a server, in SECA's words.
pub(super) fn processors(server: &Server) -> Option<String> {
    catalog::architecture(&server.server_type.architecture).map(str::to_owned)
}

/// How an instance gets the disk of a held server.
pub(super) enum Fit {
    /// With the server.
    Server {
        /// The type that the server is to get when it is started, if it has another.
        retype: Option<String>,
    },
    /// From a snapshot, because of this.
    Snapshot(&'static str),
    /// Not with the SKU that it asks for, because of this: nothing becomes of the server meanwhile.
    Never(String),
}

/// How an instance gets the disk of a held server. The type of a server can be changed, what it was made with cannot.
pub(super) fn fit(context: &Context<'_>, instance: &Resource, volume: &Resource, server: &Server) -> Fit {
    let spec = instance.spec::<InstanceSpec>().ok();
    let sku = spec.as_ref().and_then(|spec| instance::sku_of(context, instance, spec));
    let Some((sku, spec)) = sku.zip(spec) else { return Fit::Never("its SKU is not known".to_owned()) };
    let wanted = instance::made_with(context, sku, &spec);
    let disk = sku.facts.get("disk").and_then(Value::as_u64);
    if let Some(disk) = disk.filter(|disk| server.primary_disk_size > *disk) {
        return Fit::Never(format!(
            "the disk has {} GB, and a server of the SKU `{}` has {disk} GB; create the instance with a larger SKU",
            server.primary_disk_size, sku.name
        ));
    }
    let (ours, theirs) = (processors(server), sku.fact("architecture"));
    if let Some((ours, theirs)) = ours.as_deref().zip(theirs).filter(|(ours, theirs)| ours != theirs) {
        return Fit::Never(format!(
            "the system on the disk is for {ours}, and the SKU `{}` has {theirs} processors; create the instance with \
             another SKU",
            sku.name
        ));
    }
    if wanted.location != server.location.name {
        return Fit::Snapshot("the server is in another zone");
    }
    let retype = Some(wanted.server_type).filter(|wanted| *wanted != server.server_type.name);
    if instance.extension(REUSE_EXTENSION).as_deref() == Some("always") {
        return Fit::Server { retype };
    }
    let Some(made) = BlockStorageFacts::of(volume).made_with else {
        return Fit::Snapshot("nobody knows what the server was made with");
    };
    match (made.user_data_hash == wanted.user_data_hash, made.keys_hash == wanted.keys_hash) {
        (true, true) => Fit::Server { retype },
        (false, _) => Fit::Snapshot("the server was made with other user data"),
        (true, false) => Fit::Snapshot("the server was made with other SSH keys"),
    }
}

/// Somebody switched it on at the console; it serves nobody. What was ordered before is of an earlier time, also if it is not
/// seen yet, or not complete.
pub(super) fn kept_on(context: &Context<'_>, backing: &Backing<'_>, server: &Server) -> Checked<Planned> {
    let row = context.resource();
    let planned = match backing.snapshot {
        Some(image) => without(context, image, server)?,
        None => act(ServerCall::Poweroff { server: server.id }.step(&server.name)).note(
            Reason::BootVolumeHeld,
            "Somebody switched the server on that keeps its disk; it is switched off again, and its disk stays.",
        ),
    };
    if backing.snapshot.is_some_and(|image| !is_of_this_hold(row, image)) {
        return Ok(planned);
    }
    Ok(planned.remember(row, |facts: &mut BlockStorageFacts| facts.held_since = Some(millis(context.now))))
}

/// It keeps a server that is off and has nothing of anybody's.
pub(super) fn hold(
    context: &Context<'_>,
    spec: &BlockStorageSpec,
    backing: &Backing<'_>,
    server: &Server,
) -> Checked<Planned> {
    let row = context.resource();
    if let Some(instance) = holder(context).filter(|instance| !instance.is_deleting()) {
        let name = &instance.key.name;
        let held =
            |text: String| settled().status(status(size_on(server, spec), None)).note(Reason::BootVolumeHeld, text);
        return match fit(context, instance, row, server) {
            Fit::Server { .. } => {
                Ok(held(format!("The instance `{name}` is about to have the server that keeps its disk.")))
            }
            Fit::Never(why) => {
                let held = held(format!("The instance `{name}` cannot boot from it: {why}."));
                without_copy(context, backing.snapshot, server, held)
            }
            Fit::Snapshot(why) => {
                park(context, backing.snapshot, server, &format!("The instance `{name}` is to boot from it, and {why}"))
            }
        };
    }
    let since = BlockStorageFacts::of(row).held_since.map_or(context.now, Timestamp::from_millis);
    let until = hold_of(context).map(|hold| since.plus(hold));
    if until.is_some_and(|until| until <= context.now) {
        return park(context, backing.snapshot, server, "It kept its server for as long as it may");
    }
    if context.snapshot.has_no_room_for_servers() && is_oldest(context, server) {
        return park(context, backing.snapshot, server, "The Hetzner Cloud project has no room for another server");
    }
    let text = format!(
        "It keeps the disk of an instance that was deleted: a switched-off {}, billed {}. The next instance that boots from \
         it has the server at once, if it asks for the same zone, user data and SSH keys.",
        server.server_type.name,
        until.map_or_else(|| "until it is used or deleted".to_owned(), |until| format!("until {until}"))
    );
    let planned = settled().status(status(size_on(server, spec), None)).note(Reason::BootVolumeHeld, text);
    let planned = planned.remember(row, |facts: &mut BlockStorageFacts| {
        facts.held_since = Some(millis(since));
        facts.disk_gb = Some(server.primary_disk_size).filter(|size| *size > 0);
        facts.architecture = processors(server);
        facts.location = Some(server.location.name.clone());
    });
    let left = until.map_or(ROOM, |until| until.since(context.now));
    without_copy(context, backing.snapshot, server, Planned { again: Some(left.min(ROOM)), ..planned })
}

/// It keeps its server, and what wanted a snapshot of it wants none any more. A later snapshot has what is written until then,
/// and images that wait for this one are copies of their own.
fn without_copy(context: &Context<'_>, snapshot: Option<&Image>, server: &Server, kept: Planned) -> Checked<Planned> {
    snapshot.map_or(Ok(kept), |image| without(context, image, server))
}

/// Removes a snapshot of a disk that a server has. If somebody has deleted that server, the snapshot is all that is left.
pub(super) fn without(context: &Context<'_>, image: &Image, server: &Server) -> Checked<Planned> {
    // One that is being made is waited for first.
    if image.status != ImageStatus::Creating {
        context.prove_there(ObjectId::Server(server.id))?;
    }
    Ok(image::remove(image))
}

/// Whether no server that a block storage keeps was made before this one.
fn is_oldest(context: &Context<'_>, server: &Server) -> bool {
    let is_kept = |other: &&Server| {
        naming::is_of(&other.labels, context.installation())
            && other.labels.get(naming::KIND).is_some_and(|kind| kind == Kind::BlockStorage.as_str())
    };
    context.snapshot.all::<Server>().filter(is_kept).all(|other| server.id <= other.id)
}

/// How long a server is kept; none for ever.
fn hold_of(context: &Context<'_>) -> Option<Duration> {
    match context.resource().extension(HOLD_EXTENSION).as_deref() {
        None => context.settings.disk_hold,
        Some("never") => None,
        // What cannot be read is as if it were not there.
        Some(text) => settings::parse_duration(text).or(context.settings.disk_hold),
    }
}

/// Takes a snapshot of the disk, and removes the server when that is proven to be complete.
fn park(context: &Context<'_>, snapshot: Option<&Image>, server: &Server, why: &str) -> Checked<Planned> {
    let row = context.resource();
    let told = |planned: Planned, what: &str| planned.note(Reason::BootVolumeHeld, format!("{why}: {what}."));
    let Some(image) = snapshot else {
        if context.bundle().open_steps.iter().any(|open| open.step.operation == CREATE_IMAGE) {
            let again = Planned::new(Plan::Wait { retry: Some(LOST_AGAIN) });
            return Ok(told(again, "the answer to the order of the snapshot was lost, and the snapshot is looked for"));
        }
        // Snapshots have no names: nothing else keeps the provider from making a second one.
        context.prove_none(ObjectType::Image, Owner::in_role(row.uid, PARKED), None)?;
        let description = format!("disk of block storage {}", row.key.name);
        let labels = context.labels_in_role(CREATE_IMAGE, &PARKED);
        let call = ImageCall::Create { server: server.id, description, labels };
        // The release before did not write down when it began to keep the server. Without that time the snapshot would be
        // dropped, and ordered again.
        let since = BlockStorageFacts::mark(row, |facts| {
            facts.held_since = facts.held_since.or(Some(millis(context.now)));
        });
        return Ok(told(act(call.step(&row.key.name).mark(since)), "its disk is becoming a snapshot"));
    };
    Ok(match image.status {
        ImageStatus::Creating => {
            told(image::watch(ObjectId::Image(image.id), &image.description), "its disk is becoming a snapshot")
        }
        ImageStatus::Available if is_outdated(context, image, server)? => keep_again(context, server),
        ImageStatus::Available => {
            let size = whole(image.disk_size).max(server.primary_disk_size);
            let architecture = processors(server);
            let parked =
                BlockStorageFacts::mark(row, |facts| disk::park(facts, image.id.to_string(), size, architecture));
            let call = ServerCall::Delete { server: server.id };
            told(act(call.step(&server.name).mark(parked)), "its server is being removed")
        }
        // Nothing comes of it any more, and nobody ever used it.
        _ => told(act(ImageCall::Delete { image: image.id }.step(&image.description)), "its snapshot failed"),
    })
}

/// Its server is gone, whoever deleted it, and a snapshot of its disk was ordered before: that is the disk.
pub(super) fn copied_before(context: &Context<'_>, image: &Image) -> Planned {
    match image.status {
        ImageStatus::Creating => image::watch(ObjectId::Image(image.id), &image.description),
        ImageStatus::Available => {
            let parked = settled().remember(context.resource(), |facts: &mut BlockStorageFacts| {
                let (size, architecture) = (facts.disk_gb.unwrap_or_default(), facts.architecture.clone());
                disk::park(facts, image.id.to_string(), whole(image.disk_size).max(size), architecture);
            });
            Planned { again: Some(LOST_AGAIN), ..parked }
        }
        _ => lost("The server whose disk it kept"),
    }
}

/// Whether a block storage became a snapshot of the disk of this server, which is to go since then.
pub(super) fn is_leaving(volume: &Resource, server: &Server) -> bool {
    let is_parked = matches!(Disk::of(volume), Disk::Parked { .. });
    is_parked && BlockStorageFacts::of(volume).server_id == Some(server.id.to_string())
}

/// Whether a block storage is a snapshot that somebody deleted: a server that was made from it has all that is left.
pub(super) fn lost_its_snapshot(context: &Context<'_>, volume: &Resource) -> Checked<bool> {
    let Disk::Parked { image: Some(image) } = Disk::of(volume) else { return Ok(false) };
    let Ok(image) = image.parse::<Id<Image>>() else { return Ok(false) };
    if context.snapshot.get(image).is_some() {
        context.prove_there(image.into())?;
        return Ok(false);
    }
    context.prove_gone(image.into())?;
    Ok(true)
}

/// Whether a server is there, and was seen to have run. That somebody means to start it is no proof: the facts say so from
/// before the call that may yet fail.
fn is_seen_to_have_run(context: &Context<'_>, server: &Server) -> Checked<bool> {
    let object = ObjectId::Server(server.id);
    let told = context.prove_there(object)?;
    Ok(told.ever || power::has_run(server) || context.snapshot.was_used(object))
}

/// It is a snapshot, and perhaps the disk of a server that was made from that.
pub(super) fn parked(context: &Context<'_>, spec: &BlockStorageSpec, backing: &Backing<'_>) -> Checked<Planned> {
    let row = context.resource();
    let facts = BlockStorageFacts::of(row);
    let made_of_it = backing.holders.filter(|_| row.holder.is_some() && facts.disk_of == row.holder);
    let Some(image) = backing.snapshot else {
        if let Some(id) = facts.image_id.and_then(|id| id.parse().ok()) {
            context.prove_gone(ObjectId::Image(id))?;
        }
        let again = |planned| Planned { again: Some(LOST_AGAIN), ..planned };
        return Ok(match (made_of_it, backing.kept) {
            // A server was made from it before.
            (Some(_), _) => again(settled().remember(row, disk::leave_snapshot)),
            // The server that it was taken of is still there.
            (None, Some(server)) => keep_again(context, server),
            (None, None) => lost("The snapshot that kept its disk"),
        });
    };
    if let Some(server) = backing.kept {
        // The call that was to remove it was lost, or failed.
        return Ok(match &image.status {
            _ if power::is_busy(server) => context.watch_server(server, Until::Settled),
            _ if server.status != ServerStatus::Off => ran_since(context, backing, server),
            ImageStatus::Available if is_outdated(context, image, server)? => ran_since(context, backing, server),
            ImageStatus::Available => act(ServerCall::Delete { server: server.id }.step(&server.name)),
            _ => fail(Reason::ProviderUnavailable, "Its snapshot is not complete, and its server is kept."),
        });
    }
    let own = auxiliary::disk_snapshot(image.id);
    let ties = auxiliary::missing(context, [&own]);
    if !ties.is_empty() {
        return Ok(Planned::new(Plan::Tie(ties)));
    }
    let used: Vec<_> = used_by_set_aside(context).chain([own]).collect();
    if let Some(released) = auxiliary::release(context, &used) {
        return Ok(released);
    }
    let user = holder(context).filter(|instance| !instance.is_deleting());
    // The server of an instance that is being deleted may be about to go: see [`instance`].
    let is_leaving = holder(context).is_some_and(Resource::is_deleting);
    // It may have run, and be off again by now.
    let started =
        facts.ever_started || holder(context).is_some_and(|instance| InstanceFacts::of(instance).ever_started);
    if let Some(server) = made_of_it.filter(|server| (started || power::has_run(server)) && !is_leaving)
        && is_seen_to_have_run(context, server)?
    {
        if let Some(told) = to_the_others(context) {
            return Ok(told);
        }
        if auxiliary::snapshots(context).any(|(id, others)| id == image.id && others > 0) {
            // It is the images' from now on.
            return Ok(Planned { again: Some(LOST_AGAIN), ..settled().remember(row, disk::leave_snapshot) });
        }
        let old = BlockStorageFacts::mark(row, disk::leave_snapshot);
        return Ok(act(ImageCall::Delete { image: image.id }.step(&image.description).mark(old)));
    }
    let told = match user {
        Some(instance) => format!("The instance `{}` boots from its snapshot.", instance.key.name),
        None => format!(
            "Its disk is kept in a snapshot of {} GB, which is billed; the next instance is made from it and needs a disk of \
             {} GB.",
            image.image_size.map_or(0, whole).max(1),
            facts.disk_gb.unwrap_or_default().max(whole(image.disk_size))
        ),
    };
    let planned = settled().status(status(u64::from(spec.size_gb), made_of_it.and(user))).remember(
        row,
        |facts: &mut BlockStorageFacts| {
            facts.server_id = None;
            facts.lends = Some(image.id.to_string());
        },
    );
    Ok(noted(planned, [(Reason::BootVolumeParked, told)].into_iter().chain(told_of_set_aside(context))))
}

/// Somebody switched its server on before that was removed: the server's disk is newer than the snapshot. The block storage
/// keeps the server again. If somebody has begun to use the snapshot, the server is set aside for a person to decide about.
fn ran_since(context: &Context<'_>, backing: &Backing<'_>, server: &Server) -> Planned {
    let row = context.resource();
    let facts = BlockStorageFacts::of(row);
    if facts.disk_of.is_some() || facts.lends.is_some() || backing.holders.is_some() {
        let role = match Role::parse(&format!("{SET_ASIDE}{}", server.id)) {
            Ok(role) => role,
            Err(error) => return fail(Reason::InternalError, error.to_string()),
        };
        let labels = context.labels_in_role("set_aside", &role);
        let name = Owner::in_role(row.uid, role).object_name(context.installation(), &row.key.name);
        return act(ServerCall::Update { server: server.id, name, labels }.step(&server.name));
    }
    keep_again(context, server)
}

/// Whether a removal of a server, whose answer was lost, may yet take effect.
pub(super) fn may_yet_go(context: &Context<'_>, server: &Server) -> bool {
    let removes = |call: Call| call.removed() == Some(ObjectId::Server(server.id));
    context.bundle().open_steps.iter().any(|open| Call::of(&open.step).is_ok_and(removes))
}

/// The server that it kept is the disk again, and is kept for its time since somebody asked for its actions: what began later is
/// not known. A removal whose answer was lost may still take effect, and then the snapshot is the disk.
fn keep_again(context: &Context<'_>, server: &Server) -> Planned {
    if may_yet_go(context, server) {
        let text = "The answer to the removal of its server was lost; its snapshot is kept until it is certain that the server \
                    stays.";
        return Planned::new(Plan::Wait { retry: Some(LOST_AGAIN) }).note(Reason::OutcomeUnknown, text);
    }
    let asked = context.snapshot.usage_since(ObjectId::Server(server.id), context.bundle().attempts, 0);
    let (id, since) = (server.id.to_string(), asked.map_or_else(|| millis(context.now), |usage| usage.at));
    let held =
        settled().remember(context.resource(), |facts: &mut BlockStorageFacts| disk::keep_again(facts, id, since));
    Planned { again: Some(LOST_AGAIN), ..held }
}

/// The servers that were set aside. They go with the block storage.
pub(super) fn set_aside<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Server> {
    let is_set_aside =
        |server: &&Server| server.labels.get(naming::ROLE).is_some_and(|role| role.starts_with(SET_ASIDE));
    let uid = context.resource().uid;
    let ours = |server: &&Server| naming::is_of(&server.labels, context.installation());
    context
        .snapshot
        .all::<Server>()
        .filter(is_set_aside)
        .filter(ours)
        .filter(move |server| naming::uid_of(&server.labels) == Some(uid))
}

/// What they use, as long as they are there.
pub(super) fn used_by_set_aside(context: &Context<'_>) -> impl Iterator<Item = Auxiliary> {
    let is_closed = set_aside(context).any(|server| auxiliary::closed_before(context, server).is_some());
    is_closed.then(auxiliary::deny_all).into_iter()
}

/// What is said of them.
pub(super) fn told_of_set_aside(context: &Context<'_>) -> Option<(Reason, String)> {
    let server = set_aside(context).next()?;
    let text = format!(
        "Somebody switched on the server `{}` after its disk was copied. What was written there since is in no snapshot, so the \
         server is kept, and billed: delete it at Hetzner Cloud when nobody needs it.",
        server.name
    );
    Some((Reason::BootVolumeHeld, text))
}

/// What an instance is made from whose boot volume is a snapshot.
pub(super) fn boot_image(context: &Context<'_>, volume: &Resource, disk_of_sku: Option<u64>) -> Checked<String> {
    let facts = BlockStorageFacts::of(volume);
    let name = &volume.key.name;
    let id: Option<Id<Image>> = facts.image_id.as_deref().and_then(|id| id.parse().ok());
    let image = id.and_then(|id| context.snapshot.get(id)).filter(|image| image.status == ImageStatus::Available);
    let Some(image) = image else {
        if let Some(id) = id {
            context.prove_gone(ObjectId::Image(id))?;
        }
        let text = format!("The snapshot that keeps the disk of the block storage `{name}` cannot be used.");
        return Err(Box::new(wait(Reason::WaitingForDependency, text)));
    };
    let needed = whole(image.disk_size).max(facts.disk_gb.unwrap_or_default());
    match disk_of_sku.filter(|disk| needed > *disk) {
        Some(disk) => {
            let text = format!(
                "The disk of the block storage `{name}` has {needed} GB, and a server of the SKU has one of {disk} GB; create \
                 the instance with a larger SKU."
            );
            Err(Box::new(wait(Reason::ProviderRefused, text)))
        }
        None => Ok(image.id.to_string()),
    }
}
