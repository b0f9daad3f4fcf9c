//! An object that an operator gives to a resource because no resource claims it. What makes an object a resource's is its
//! labels: they are rewritten by one call, and from then on the resource finds it as any object of its own.
//!
//! An object is given as it is seen now, not as it was seen when that was ordered. What does not fit is not taken: the
//! resource says why, and the object stays an orphan.

use control_plane::{
    Reason,
    disk::Disk,
    facts::{Adopt, AdoptionFacts, BlockStorageFacts, Facts},
    ports::{Plan, Planned},
};
use hcloud_client::types::{ImageStatus, IpType, VolumeStatus};
use seca_api::{BlockStorageSpec, IpVersion, PublicIpSpec};

use super::{Checked, Context, Mapping, PlannedExt, act, auxiliary, block_storage, remembered};
use crate::{
    call::{Call, StepExt, Until},
    objects::{Object, ObjectId, ObjectType},
    orphans::is_still,
    owner::Owner,
};

/// What comes next about an object that the resource is to have.
enum Next {
    /// It has it.
    Has,
    /// It does not get it, because of this.
    Refused(String),
    /// This call.
    Do(Box<Planned>),
}

/// What to do next about a live resource that may have been given an object.
pub(super) fn plan(context: &Context<'_>, mapping: &dyn Mapping) -> Planned {
    let row = context.resource();
    let alive = || mapping.alive(context).unwrap_or_else(|stopped| *stopped);
    let Some(order) = AdoptionFacts::of(row).adopt else { return alive() };
    if let Some(why) = &order.refused {
        return told(alive(), &order, why);
    }
    match next(context, mapping, &order) {
        Err(stopped) => *stopped,
        Ok(Next::Do(planned)) => *planned,
        Ok(Next::Has) => alive().remember(row, |facts: &mut AdoptionFacts| facts.adopt = None),
        Ok(Next::Refused(why)) => {
            let refused = Adopt { refused: Some(why.clone()), ..order.clone() };
            told(alive(), &order, &why).remember(row, |facts: &mut AdoptionFacts| facts.adopt = Some(refused))
        }
    }
}

/// A plan with the word that an object was not given to the resource.
fn told(mut planned: Planned, order: &Adopt, why: &str) -> Planned {
    let text = format!("The {} {} was not given to it: {why}.", order.object_type.replace('_', " "), order.id);
    match &mut planned.note {
        Some(note) => note.message = format!("{} {text}", note.message),
        None if matches!(planned.plan, Plan::Nothing) => return planned.note(Reason::OrphanRefused, text),
        None => {}
    }
    planned
}

fn next(context: &Context<'_>, mapping: &dyn Mapping, order: &Adopt) -> Checked<Next> {
    let refused = |why: &str| Ok(Next::Refused(why.to_owned()));
    let made = |kind: &ObjectType| mapping.objects().iter().any(|owned| owned.made && owned.kind == *kind);
    let kind = ObjectType::of_word(&order.object_type).filter(made);
    let (Some(kind), Ok(id)) = (kind, order.id.parse::<i64>()) else {
        return refused("a resource of this kind has no such object");
    };
    let (object, owner) = (kind.id(id), Owner::main(context.resource().uid));
    let is_own = |labels: &_| owner.has(context.installation(), labels);
    let own = context.snapshot.objects.ids_where(kind, is_own);
    if own.contains(&object) {
        return Ok(Next::Has);
    }
    let remembered = remembered(context.resource(), kind).map(|id| kind.id(id)).filter(|own| *own != object);
    let remembered = remembered.filter(|own| context.snapshot.objects.get(*own).is_some());
    if let Some(own) = own.first().copied().or(remembered) {
        return Ok(Next::Refused(format!("it has the {} {}", order.object_type.replace('_', " "), own.number())));
    }
    // One that was made, and that nobody saw, would be left alone for ever.
    context.prove_unmade(kind)?;
    let Some(found) = context.snapshot.objects.get(object) else {
        context.prove_gone(object)?;
        return refused("it does not exist any more");
    };
    if !is_still(found.labels(), context.installation(), order.uid) {
        return refused("its labels name another resource by now");
    }
    if let Some(why) = unfit(context, &found)? {
        return Ok(Next::Refused(why));
    }
    let call = Call::Adopt {
        object,
        installation: context.installation().to_owned(),
        from: order.uid,
        name: context.object_name(),
        labels: context.labels("adopt"),
    };
    let step = call.step(found.name());
    Ok(Next::Do(Box::new(act(match kind {
        // It may hold data, whoever wrote them.
        ObjectType::Volume => {
            step.mark(BlockStorageFacts::mark(context.resource(), |facts| facts.ever_attached = true))
        }
        _ => step,
    }))))
}

/// Why the resource cannot have an object.
fn unfit(context: &Context<'_>, found: &Object) -> Checked<Option<String>> {
    let zones = context.desired.catalog.zones(context.region());
    let elsewhere = |location: &str| {
        let is_here = zones.iter().any(|zone| zone == location);
        (!is_here).then(|| {
            format!("it lies in {location}, and the region `{}` is made of {}", context.region(), zones.join(", "))
        })
    };
    let used = |server: Option<i64>| server.map(|server| format!("the server {server} has it"));
    Ok(match found {
        Object::Volume(volume) if volume.status == VolumeStatus::Creating => {
            let step = context.watch(ObjectId::Volume(volume.id), Until::Settled).step(&volume.name);
            return Err(Box::new(act(step)));
        }
        Object::Volume(volume) => {
            let spec: BlockStorageSpec = context.spec()?;
            let is_disk = !matches!(Disk::of(context.resource()), Disk::Blank { .. })
                || spec.source_image_ref.is_some()
                || block_storage::is_boot_volume(context);
            let disk = "an instance boots from the block storage, or it names an image; name a blank one";
            used(volume.server.map(|server| server.get()))
                .or_else(|| is_disk.then(|| disk.to_owned()))
                .or_else(|| elsewhere(&volume.location.name))
        }
        Object::PrimaryIp(ip) => {
            let spec: PublicIpSpec = context.spec()?;
            let is_other = (spec.version == IpVersion::IPv4) != (ip.kind == IpType::Ipv4);
            used(ip.assignee_id)
                .or_else(|| is_other.then(|| format!("it is of another family: {}", ip.ip)))
                .or_else(|| elsewhere(&ip.location.name))
        }
        Object::Image(image) => match image.status {
            ImageStatus::Creating => {
                let step = context.watch(ObjectId::Image(image.id), Until::Settled).step(&image.description);
                return Err(Box::new(act(step)));
            }
            ImageStatus::Available => {
                let shares = auxiliary::snapshots(context).next().is_some();
                shares.then(|| {
                    "the image shares a snapshot with a block storage; delete it and make another one".to_owned()
                })
            }
            _ => Some(format!("Hetzner Cloud calls the snapshot {}", image.status)),
        },
        _ => Some(format!("a {} has no such object", context.resource().key.kind.noun())),
    })
}
