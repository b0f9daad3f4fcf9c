//! An image is a copy of a block storage as it was when the image was made. A later change of the source takes no
//! other copy, and a copy that vanished is not taken again.
//!
//! | the block storage | the image |
//! |---|---|
//! | is blank | nothing at the provider: it is empty as well (`EmptySource`) |
//! | was made from an image, and nobody booted from it | nothing at the provider: it is that image (`UnwrittenSource`) |
//! | is the disk of a server | a snapshot of it |
//! | is a snapshot, because no instance boots from it | the same snapshot, which goes with the last one that uses it |
//!
//! Snapshots have no names, so that nothing keeps the provider from making two: a snapshot whose answer was lost is
//! looked for by its label, and waited for until it cannot come any more.

use std::time::Duration;

use control_plane::{
    Reason, Resource, Uid,
    disk::Disk,
    facts::{BlockStorageFacts, Facts, ImageFacts, Origin},
    ports::{Plan, Planned},
};
use hcloud_client::types::{Id, Image, ImageStatus, Server};
use seca_api::{ImageSpec, Kind};

use super::{
    Checked, Context, Mapping, Owned, PlannedExt, act, auxiliary, fail, map, missing_targets, noted,
    origin::{architecture, origin_of_volume, whole, word},
    parking, power, settled, wait,
};
use crate::{
    call::{Call, StepExt, Until},
    naming,
    objects::{CREATE_IMAGE, ImageCall, ObjectId, ObjectType},
    owner::Owner,
};

/// The field that names the source.
const SOURCE: &str = "/spec/blockStorageRef";
/// How often it is looked whether a lost snapshot came, or cannot come any more. It asks nobody.
const LOST_AGAIN: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct ImageMapping;

impl Mapping for ImageMapping {
    fn kind(&self) -> Kind {
        Kind::Image
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context, own(context))
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        if auxiliary::snapshots(context).next().is_some() {
            return auxiliary::release(context, &[]).unwrap_or_else(settled);
        }
        own(context).map_or_else(settled, remove)
    }

    fn objects(&self) -> &'static [Owned] {
        &[Owned { kind: ObjectType::Image, made: true }]
    }
}

/// The snapshot that is its alone. One that it shared, and remembers, is not.
fn own<'a>(context: &Context<'a>) -> Option<&'a Image> {
    let known = context.snapshot.image_of(context.installation(), context.resource());
    known.filter(|image| !image.labels.contains_key(naming::PURPOSE))
}

/// Reads an object again until nothing is under way with it.
pub(super) fn watch(object: ObjectId, name: &str) -> Planned {
    act(Call::Read { object, until: Until::Settled, why: None }.step(name))
}

/// Removes a snapshot, once it is complete.
pub(super) fn remove(image: &Image) -> Planned {
    match image.status {
        ImageStatus::Creating => watch(ObjectId::Image(image.id), &image.description),
        _ => act(ImageCall::Delete { image: image.id }.step(&image.description)),
    }
}

fn alive(context: &Context<'_>, image: Option<&Image>) -> Checked<Planned> {
    let spec: ImageSpec = context.spec()?;
    let row = context.resource();
    let was_usable = ImageFacts::of(row).image_id.is_some();
    if let Some(shared) = shared(context) {
        return share(context, &spec, shared);
    }
    if let Some(released) = auxiliary::release(context, &[]) {
        return Ok(released);
    }
    if let Some(image) = image {
        return Ok(keep(context, &spec, image));
    }
    if !was_usable && is_lost(context) {
        let message = "The answer to the order of the snapshot was lost; it is looked for, and not ordered again before \
                       it is certain that there is none.";
        let again = Planned::new(Plan::Wait { retry: Some(LOST_AGAIN) });
        return Ok(again.note(Reason::OutcomeUnknown, message));
    }
    // Snapshots have no names: nothing else keeps the provider from making a second one.
    context.prove_unmade(ObjectType::Image)?;
    if was_usable {
        return Ok(lost("The snapshot was deleted at Hetzner Cloud"));
    }
    match ImageFacts::of(row).origin {
        Some(origin) => alias(context, &spec, origin, &Copied::of(row)),
        None => take(context, &spec),
    }
}

/// The snapshot that it shares with a block storage whose disk that is, or shared with it.
fn shared(context: &Context<'_>) -> Option<Id<Image>> {
    let row = context.resource();
    let facts = ImageFacts::of(row);
    let own = facts.image_id.and_then(|id| id.parse().ok());
    if let Some(own) = own {
        return auxiliary::snapshots(context).map(|(id, _)| id).find(|id| *id == own);
    }
    // What it is already, it stays.
    let is_undecided = facts.origin.is_none() && !is_lost(context);
    let can_share = is_undecided && self::own(context).is_none();
    let source = source(context).filter(|source| can_share && source.project == row.project)?;
    lent(source)
}

/// The snapshot of a block storage that is one, once the block storage cannot remove it while others use it.
fn lent(source: &Resource) -> Option<Id<Image>> {
    let Disk::Parked { image: Some(image) } = Disk::of(source) else { return None };
    BlockStorageFacts::of(source).lends.filter(|lent| *lent == image)?.parse().ok()
}

/// It shares a snapshot, which is no single resource's from now on.
fn share(context: &Context<'_>, spec: &ImageSpec, id: Id<Image>) -> Checked<Planned> {
    let auxiliary = auxiliary::disk_snapshot(id);
    let ties = auxiliary::missing(context, [&auxiliary]);
    if !ties.is_empty() {
        return Ok(Planned::new(Plan::Tie(ties)));
    }
    let row = context.resource();
    let Some(image) = context.snapshot.get(id) else {
        context.prove_gone(ObjectId::Image(id))?;
        return Ok(lost("The snapshot was deleted at Hetzner Cloud"));
    };
    let labels = auxiliary::shared_labels(context, &auxiliary);
    // Each says so itself: whoever sent a call may have something in the project.
    if image.labels == labels && ImageFacts::of(row).image_id.is_some() {
        return Ok(keep(context, spec, image));
    }
    let copied = source(context).map(|source| Copied { uid: source.uid.to_string(), name: source.key.name.clone() });
    let own = ImageFacts::mark(row, |facts| {
        if facts.image_id.is_none()
            && let Some(copied) = copied
        {
            copied.remember(facts);
        }
        facts.image_id = Some(id.to_string());
    });
    Ok(act(ImageCall::Update { image: id, labels }.step(&image.description).mark(own)))
}

/// Whether a snapshot may yet come of a call of unknown outcome.
fn is_lost(context: &Context<'_>) -> bool {
    context.bundle().open_steps.iter().any(|open| open.step.operation == CREATE_IMAGE)
}

fn lost(what: &str) -> Planned {
    fail(
        Reason::BackingLost,
        format!(
            "{what}, and the copy with it. It is not taken again, because the block storage may have other data by \
             now: delete this image, and make another one."
        ),
    )
}

/// The block storage that it names, unless that is on its way out.
fn source<'a>(context: &Context<'a>) -> Option<&'a Resource> {
    context.bundle().target(SOURCE)?.resource.as_ref().filter(|source| !source.is_deleting())
}

// -- taking -----------------------------------------------------------------------------------------------------

fn take(context: &Context<'_>, spec: &ImageSpec) -> Checked<Planned> {
    let Some(source) = source(context) else { return Ok(noted(settled(), missing_targets(context))) };
    let copied = Copied { uid: source.uid.to_string(), name: source.key.name.clone() };
    let Some(server) = disk(context, source)? else {
        let Some(origin) = origin_of_volume(context.desired.catalog, source) else {
            let message = format!("The image that the block storage `{}` is made from is not ready.", copied.name);
            return Err(Box::new(wait(Reason::WaitingForDependency, message)));
        };
        return alias(context, spec, origin, &copied);
    };
    if power::is_busy(server) {
        return Ok(watch(ObjectId::Server(server.id), &server.name));
    }
    let name = &context.resource().key.name;
    let description = format!("{name} (of block storage {})", copied.name);
    let call = ImageCall::Create { server: server.id, description, labels: context.labels(CREATE_IMAGE) };
    Ok(act(call.step(name).mark(ImageFacts::mark(context.resource(), |facts| copied.remember(facts)))))
}

/// The server whose disk is the blocks of a block storage; none if nothing was ever written to it.
fn disk<'a>(context: &Context<'a>, source: &Resource) -> Checked<Option<&'a Server>> {
    let stop = |planned: Planned| Err(Box::new(planned));
    let name = &source.key.name;
    let labelled = |uid| context.snapshot.server_labelled(context.installation(), uid);
    let facts = BlockStorageFacts::of(source);
    let (started, attached) = (facts.ever_started, facts.ever_attached);
    let kept = match Disk::of(source) {
        Disk::Held { server } => Some(server),
        _ => None,
    };
    let keeps = kept.is_some();
    let project = &context.resource().project;
    if *project != source.project {
        return match (keeps || started || attached, project.is_local()) {
            (false, _) => Ok(None),
            // It was made before its block storage was, and nobody looked until now.
            (true, true) => stop(wait(
                Reason::WaitingForDependency,
                format!("The image has no Hetzner Cloud project yet; send it again, and `{name}` is copied."),
            )),
            (true, false) => stop(fail(
                Reason::Unsupported,
                format!(
                    "The block storage `{name}` is in another Hetzner Cloud project than the image was made for; make \
                     another image of it."
                ),
            )),
        };
    }
    if keeps && parking::snapshot_in_making(context, source).is_some() {
        let text = format!("The disk of the block storage `{name}` is becoming a snapshot, which the image shares.");
        let again = Planned::new(Plan::Wait { retry: Some(LOST_AGAIN) });
        return stop(again.note(Reason::WaitingForDependency, text));
    }
    if let Some(server) = labelled(source.uid) {
        return Ok(Some(server));
    }
    // While the instance hands its server over, that bears the instance's labels.
    if let Some(server) = kept.flatten().and_then(|id| id.parse().ok()).and_then(|id| context.snapshot.get(id)) {
        return Ok(Some(server));
    }
    // An instance may hold a volume that it did not boot from after all.
    let made = |holder: &Uid| facts.disk_of == Some(*holder);
    if let Some(server) = source.holder.filter(made).and_then(labelled) {
        return Ok(Some(server));
    }
    if let Disk::Parked { .. } = Disk::of(source) {
        return stop(wait(
            Reason::WaitingForDependency,
            format!("The disk of the block storage `{name}` is kept in a snapshot, which the image is about to share."),
        ));
    }
    if keeps || started {
        match source.holder.filter(made) {
            Some(holder) => context.prove_none(ObjectType::Server, Owner::main(holder), None)?,
            None => context.prove(source, ObjectType::Server)?,
        }
        return stop(fail(
            Reason::BackingLost,
            format!(
                "The disk of the block storage `{name}` was deleted at Hetzner Cloud, so that nothing can be copied."
            ),
        ));
    }
    if attached {
        return stop(fail(
            Reason::Unsupported,
            format!(
                "The block storage `{name}` was used as a data volume, and Hetzner Cloud copies only disks that a \
                 server boots from; delete the image, or name such a block storage."
            ),
        ));
    }
    match source.holder {
        Some(_) => stop(wait(
            Reason::WaitingForDependency,
            format!("The instance that boots from the block storage `{name}` has no server yet."),
        )),
        None => Ok(None),
    }
}

// -- keeping ----------------------------------------------------------------------------------------------------

/// The block storage that it is a copy of.
struct Copied {
    uid: String,
    name: String,
}

impl Copied {
    /// As the image remembers it.
    fn of(row: &Resource) -> Self {
        let facts = ImageFacts::of(row);
        Self { uid: facts.taken_from.unwrap_or_default(), name: facts.taken_from_name.unwrap_or_default() }
    }

    fn remember(&self, facts: &mut ImageFacts) {
        facts.taken_from = Some(self.uid.clone());
        facts.taken_from_name = Some(self.name.clone());
    }
}

fn keep(context: &Context<'_>, spec: &ImageSpec, image: &Image) -> Planned {
    let row = context.resource();
    match image.status {
        ImageStatus::Creating => return watch(ObjectId::Image(image.id), &image.description),
        ImageStatus::Available => {}
        // It never was of use to anybody, and nothing comes of it any more.
        ImageStatus::Unavailable if ImageFacts::of(row).image_id.is_none() => return remove(image),
        _ => {
            let message = format!("Hetzner Cloud calls the snapshot {}, so nothing can be made from it.", image.status);
            return fail(Reason::ProviderUnavailable, message);
        }
    }
    let origin = Origin::Snapshot { id: image.id.get(), project: row.project.clone() };
    let planned = settled().remember(row, |facts: &mut ImageFacts| {
        facts.image_id = Some(image.id.to_string());
        facts.origin = Some(origin.clone());
    });
    let planned = match image.image_size {
        Some(gb) => planned.status(map(&[("sizeMB", whole(gb * 1_000.0).max(1).into())])),
        None => planned,
    };
    noted(planned, notes(context, spec, &origin, &Copied::of(row)))
}

/// It is the same as what its source was made from, and nothing stands behind it.
fn alias(context: &Context<'_>, spec: &ImageSpec, origin: Origin, copied: &Copied) -> Checked<Planned> {
    let name = &copied.name;
    let (origin, own) = match origin {
        Origin::Blank { .. } => (
            // Nothing else tells which processors it is for.
            Origin::Blank { architecture: Some(spec.cpu_architecture) },
            (Reason::EmptySource, format!("Nothing was written to the block storage `{name}`, so the image is empty.")),
        ),
        Origin::Snapshot { id, project }
            if project == context.resource().project && context.snapshot.get(Id::<Image>::new(id)).is_none() =>
        {
            context.prove_gone(ObjectId::Image(Id::new(id)))?;
            return Ok(lost("The snapshot that the image is the same as was deleted"));
        }
        origin => (
            origin,
            (
                Reason::UnwrittenSource,
                format!(
                    "The block storage `{name}` was not written to since it was made from an image, so this image is a \
                     copy of that one."
                ),
            ),
        ),
    };
    let planned = settled().remember(context.resource(), |facts: &mut ImageFacts| {
        facts.origin = Some(origin.clone());
        copied.remember(facts);
    });
    let mut notes = notes(context, spec, &origin, copied);
    notes.push(own);
    Ok(noted(planned, notes))
}

/// What a person must know of a copy, whatever it is.
fn notes(context: &Context<'_>, spec: &ImageSpec, origin: &Origin, copied: &Copied) -> Vec<(Reason, String)> {
    let mut notes = Vec::from_iter(missing_targets(context));
    if let Some(other) = source(context).filter(|source| source.uid.to_string() != copied.uid) {
        let text = format!(
            "It is a copy of the block storage `{}` that it was made of, and stays so; make another image to copy the \
             block storage `{}`.",
            copied.name, other.key.name
        );
        notes.push((Reason::AppliesOnRecreate, text));
    }
    let told = word(spec.cpu_architecture);
    if let Some(real) = architecture(origin, context).filter(|real| *real != told) {
        let text = format!("cpuArchitecture is {told}, but what was copied is for {real}.");
        notes.push((Reason::PartlySupported, text));
    }
    notes
}
