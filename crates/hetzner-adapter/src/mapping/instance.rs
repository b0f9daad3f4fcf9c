//! An instance is a server, created off and shaped before it first runs: see [`super::shape`] and [`super::diff`]. Its disk
//! is its boot volume's blocks, which decides what becomes of the server when the instance is deleted: one that ever ran is
//! handed over to the block storage, powered off, with the block storage's name and labels; any other is deleted.

use std::time::Duration;

use control_plane::{
    CatalogEntry, Reason, Resource,
    catalog::zone_name,
    disk::{self, Disk},
    facts::{Backing, BlockStorageFacts, Facts, InstanceFacts, MadeWith},
    ports::{Mark, Plan, Planned, Tie},
};
use hcloud_client::types::{
    CreateServer, CreateServerFirewall, CreateServerPublicNet, Firewall, Id, PrimaryIp, Server, ServerStatus,
};
use seca_api::{InstanceSpec, Kind, ResourceState, reference::Target};

use super::{
    Checked, Context, Mapping, Owned, PlannedExt, act, auxiliary, block_storage, cycle,
    diff::{Diff, Rest, is_guarded},
    fail, guest,
    keys::Keys,
    noted,
    origin::boot_image,
    parking::{self, Fit},
    power, seen, settled,
    shape::{Guard, Shape, names_interface, shape},
    wait,
};
use crate::{
    call::{StepExt, Until, millis},
    naming,
    objects::{ObjectId, ObjectType, PrimaryIpCall, ServerCall},
};

/// How often it is looked whether another server let go of what is ours.
const AGAIN: Duration = Duration::from_secs(2);
/// The field that names the boot volume.
pub(super) const BOOT_VOLUME: &str = "/spec/bootVolume/deviceRef";

/// See the module.
pub(super) struct InstanceMapping;

impl Mapping for InstanceMapping {
    fn kind(&self) -> Kind {
        Kind::Instance
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        match context.snapshot.server_of(context.installation(), context.resource()) {
            Some(server) => keep(context, server),
            None => match handed_over(context) {
                Some((server, volume)) => Ok(take_back(context, server, volume)),
                None => Ok(without_server(context, create(context).unwrap_or_else(|stopped| *stopped))),
            },
        }
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        match context.snapshot.server_of(context.installation(), context.resource()) {
            Some(server) => delete(context, server).unwrap_or_else(|step| *step),
            None => without_placeholder(context).or_else(|| auxiliary::release(context, &[])).unwrap_or_else(settled),
        }
    }

    fn objects(&self) -> &'static [Owned] {
        &[Owned { kind: ObjectType::Server, made: true }]
    }
}

/// Removes the address of a placeholder that outlived its server.
fn without_placeholder(context: &Context<'_>) -> Option<Planned> {
    let ip = context.left_placeholder()?;
    Some(act(PrimaryIpCall::Delete { primary_ip: ip.id }.step(&ip.name)))
}

/// The row of the block storage that it boots from.
pub(super) fn boot_volume<'a>(context: &Context<'a>) -> Option<&'a Resource> {
    context.bundle().target(BOOT_VOLUME)?.resource.as_ref()
}

/// The same, if it is held: then the server's disk is its blocks.
pub(super) fn disk<'a>(context: &Context<'a>) -> Option<&'a Resource> {
    boot_volume(context).filter(|volume| volume.holder == Some(context.resource().uid))
}

/// Whether the server's disk may be the blocks of another volume than the one that is named now. Admission refuses
/// to name another one, but a volume may become the server's disk at the very moment.
fn boots_from_another(context: &Context<'_>) -> bool {
    let Some(target) = context.bundle().target(BOOT_VOLUME) else { return true };
    let made_from = InstanceFacts::of(context.resource()).boot_volume;
    let is_other = made_from.is_some_and(|name| name != target.key.name);
    let is_live = target.resource.as_ref().is_some_and(|volume| !volume.is_deleting());
    is_other || is_live && disk(context).is_none()
}

/// A server that bears the labels of the boot volume although the instance is there: the database is older than the
/// hand-over, because it was restored. A server whose disk became a snapshot is none: its removal may be under way, and
/// with it in hand nobody would remember the snapshot.
fn handed_over<'a>(context: &Context<'a>) -> Option<(&'a Server, &'a Resource)> {
    let volume = disk(context).filter(|volume| !Disk::of(volume).is_held())?;
    let server = context.snapshot.server_labelled(context.installation(), volume.uid)?;
    (!parking::is_leaving(volume, server)).then_some((server, volume))
}

/// Removes the address of a placeholder that was taken off the server. Lists that are older than the server do not show it.
fn taken_off(context: &Context<'_>, server: &Server) -> Checked<Option<Planned>> {
    let on_server = server.public_net.ipv6.as_ref().and_then(|ip| ip.id);
    let remembered = InstanceFacts::of(context.resource()).placeholder.and_then(|id| id.parse().ok());
    let Some(id) = remembered.filter(|id: &Id<PrimaryIp>| on_server != Some(*id)) else { return Ok(None) };
    if context.snapshot.get(id).is_none() {
        context.prove_gone(ObjectId::PrimaryIp(id))?;
    }
    Ok(without_placeholder(context))
}

/// The server is the instance's again. Only servers that ran are handed over.
fn take_back(context: &Context<'_>, server: &Server, volume: &Resource) -> Planned {
    if power::is_busy(server) {
        return context.watch_server(server, Until::Settled);
    }
    let row = context.resource();
    let call =
        ServerCall::Update { server: server.id, name: context.object_name(), labels: context.labels("take_back") };
    let own = InstanceFacts::mark(row, |facts| {
        facts.boot_volume = Some(volume.key.name.clone());
        facts.ever_started = true;
    });
    let disk = BlockStorageFacts::mark(volume, |facts| disk::give_back(facts, row.uid));
    act(call.step(&server.name).frees(&server.name).mark(own).mark(disk))
}

/// What is said instead of what could lose the disk of a volume, or make nobody remember that it holds data.
pub(super) fn wrong_volume(context: &Context<'_>) -> Planned {
    let named = context.bundle().target(BOOT_VOLUME).map_or("none", |target| target.key.name.as_str());
    let real = InstanceFacts::of(context.resource()).boot_volume;
    let real = real.as_deref().unwrap_or("another one");
    let remedy = if context.resource().is_deleting() {
        "The server is kept, because its disk may hold data; when that is not needed any more, delete the server at \
         Hetzner Cloud."
    } else {
        "Set bootVolume.deviceRef back."
    };
    fail(
        Reason::Unsupported,
        format!(
            "The instance names the boot volume `{named}`, but its server's disk belongs to the block storage `{real}`. \
             {remedy}"
        ),
    )
}

/// A server that is proven not to exist is off, whatever becomes of the plan.
fn without_server(context: &Context<'_>, planned: Planned) -> Planned {
    let is_asked_for = matches!(&planned.plan, Plan::Act(step) if step.reads);
    Planned { status: power::status_without_server(context).filter(|_| !is_asked_for), ..planned }
}

// -- creating ---------------------------------------------------------------------------------------------------

fn create(context: &Context<'_>) -> Checked<Planned> {
    let spec: InstanceSpec = context.spec()?;
    let row = context.resource();
    let ever_started = InstanceFacts::of(row).ever_started;
    match ever_started {
        true => context.prove(row, ObjectType::Server)?,
        false => context.prove_lost(ObjectType::Server)?,
    }
    if ever_started {
        return Ok(fail(
            Reason::BackingLost,
            "The server was deleted at Hetzner Cloud, and its disk with it. It is not made again empty: delete the \
             instance and its boot volume, and restore a backup into new ones.",
        ));
    }
    let sku = sku(context, &spec)?;
    let keys = Keys::of(&spec, context.installation());
    let volume = held_volume(context, &keys)?;
    let image = boot_image(context, volume, sku)?;
    let source_image = match Disk::of(volume) {
        // What its disk was once made from.
        Disk::Parked { .. } => BlockStorageFacts::of(volume).source_image,
        _ => block_storage::source_image(volume),
    };
    let shape = shape(context, &spec, true)?;
    let ssh_keys = keys.ready(context)?;
    let group = match &shape.group {
        Some(group) => Some(auxiliary::placement_group(context, group)?.id),
        None => None,
    };
    let name = context.object_name();
    // Zones are locations.
    let location = zone_name(&spec.zone).to_owned();
    let body = CreateServer {
        name: name.clone(),
        server_type: server_type(sku),
        image: image.id,
        location: Some(location.clone()),
        ssh_keys,
        volumes: volumes(context, &shape, &location),
        firewalls: firewalls(context, &shape)?.into_iter().map(|firewall| CreateServerFirewall { firewall }).collect(),
        placement_group: group,
        labels: context.labels("create_server"),
        automount: Some(false),
        start_after_create: Some(false),
        public_net: Some(public_net(context, &shape, &location)),
        ..CreateServer::default()
    };
    let attached = shape.volumes.iter().filter(|(volume, _)| body.volumes.contains(volume));
    let attached: Vec<Mark> =
        attached.map(|(_, row)| BlockStorageFacts::trial(row, |facts| facts.ever_attached = true)).collect();
    let (user_data, bootstrap) = guest::user_data(context, &spec, &shape)?;
    let made_with = InstanceFacts::mark(row, |facts| {
        facts.user_data_hash = hash_of(spec.user_data.as_ref());
        facts.guest = bootstrap;
        facts.keys_hash = Some(keys.hash());
        facts.default_image = image.defaulted;
        facts.boot_volume = Some(volume.key.name.clone());
        facts.shaped = true;
        facts.made_closed = shape.has_placeholder();
        // Those of a server that is gone.
        facts.placeholder = None;
        facts.interfaces.clear();
    });
    let disk_of = BlockStorageFacts::mark(volume, |facts| disk::take(facts, row.uid, source_image));
    let mut step = ServerCall::Create(Box::new(body)).step(name).mark(made_with).mark(disk_of);
    for mark in attached {
        step = step.mark(mark);
    }
    Ok(act(step.secret(user_data)))
}

/// The public interfaces of a new server. Without any interface of its own it has one that nothing gets through.
fn public_net(context: &Context<'_>, shape: &Shape<'_>, location: &str) -> CreateServerPublicNet {
    if shape.has_placeholder() {
        return CreateServerPublicNet { enable_ipv4: false, enable_ipv6: true, ipv4: None, ipv6: None };
    }
    // What lies elsewhere, or is another server's still, would make the provider refuse the whole server.
    let usable = |address: &Option<super::shape::PublicAddress>| {
        let wanted = address.as_ref()?.primary_ip;
        let ip = context.snapshot.get(wanted)?;
        (ip.assignee_id.is_none() && ip.location.name == location).then_some(wanted)
    };
    let (ipv4, ipv6) = (usable(&shape.ipv4), usable(&shape.ipv6));
    CreateServerPublicNet { enable_ipv4: ipv4.is_some(), enable_ipv6: ipv6.is_some(), ipv4, ipv6 }
}

/// The data volumes that a new server can have from its beginning.
fn volumes(context: &Context<'_>, shape: &Shape<'_>, location: &str) -> Vec<Id<hcloud_client::types::Volume>> {
    let is_free = |id: &Id<hcloud_client::types::Volume>| {
        context.snapshot.get(*id).is_some_and(|volume| volume.server.is_none() && volume.location.name == location)
    };
    shape.volumes.iter().map(|(volume, _)| *volume).filter(is_free).collect()
}

/// The firewalls of a new server: the provider refuses them for one without a public interface.
fn firewalls(context: &Context<'_>, shape: &Shape<'_>) -> Checked<Vec<Id<Firewall>>> {
    let closed = || auxiliary::closed(context).map(|firewall| vec![firewall.id]);
    match &shape.guard {
        _ if shape.has_placeholder() => closed(),
        _ if !shape.is_public() => Ok(Vec::new()),
        Guard::Open => Ok(Vec::new()),
        Guard::Groups { firewalls, closed: false, ready: true } => Ok(firewalls.iter().copied().collect()),
        Guard::Groups { .. } | Guard::Closed | Guard::Kept => closed(),
    }
}

fn sku<'a>(context: &Context<'a>, spec: &InstanceSpec) -> Checked<&'a CatalogEntry> {
    sku_of(context, context.resource(), spec).ok_or_else(|| {
        let message = format!("The region `{}` has no instance SKU `{}`.", context.region(), spec.sku_ref);
        Box::new(fail(Reason::DependencyMissing, message))
    })
}

/// The SKU that an instance names, if the catalogue has it.
pub(super) fn sku_of<'a>(context: &Context<'a>, row: &Resource, spec: &InstanceSpec) -> Option<&'a CatalogEntry> {
    match spec.sku_ref.resolve(&row.key, &[Kind::InstanceSku]) {
        Ok(Target::Resource(key)) => context.desired.catalog.get(Kind::InstanceSku, &key.region, &key.name),
        _ => None,
    }
}

/// The provider's name of the server type behind a SKU.
fn server_type(sku: &CatalogEntry) -> String {
    sku.fact("serverType").unwrap_or(&sku.name).to_owned()
}

/// The ties that the server will need whatever becomes of the rest: made with the claim, they cost no look of their own.
fn foreseen(context: &Context<'_>, keys: &Keys) -> Vec<Tie> {
    let closed = auxiliary::deny_all();
    let closed = (!names_interface(context)).then_some(&closed);
    keys.missing(context).into_iter().chain(auxiliary::missing(context, closed)).collect()
}

/// The boot volume, once this instance holds it and nothing of its own stands behind it.
fn held_volume<'a>(context: &Context<'a>, keys: &Keys) -> Checked<&'a Resource> {
    let stop = |planned: Planned| Err(Box::new(planned));
    let Some(volume) = boot_volume(context) else {
        return stop(wait(Reason::DependencyMissing, "The block storage to boot from does not exist any more."));
    };
    let name = &volume.key.name;
    if volume.is_deleting() {
        return stop(wait(Reason::DependencyMissing, format!("The block storage `{name}` is being deleted.")));
    }
    match volume.holder {
        None => {
            let mut ties = vec![Tie::Claim(volume.uid)];
            ties.extend(foreseen(context, keys));
            return stop(Planned::new(Plan::Tie(ties)));
        }
        Some(holder) if holder != context.resource().uid => {
            return stop(wait(
                Reason::BootVolumeInUse,
                format!("Another instance boots from the block storage `{name}`; delete it, or use another volume."),
            ));
        }
        Some(_) => {}
    }
    if Disk::of(volume).is_held() {
        return stop(take_over(context, volume));
    }
    let is_ready = matches!(volume.state, ResourceState::Active | ResourceState::Updating);
    let is_parked = matches!(Disk::of(volume), Disk::Parked { .. });
    let is_logical = BlockStorageFacts::of(volume).backing == Some(Backing::None);
    let is_usable = is_parked || is_ready && is_logical;
    if !is_usable {
        return stop(wait(
            Reason::WaitingForDependency,
            format!("The block storage `{name}` is not ready to boot from."),
        ));
    }
    Ok(volume)
}

/// Takes the server that a block storage keeps, if it is what the instance asks for; else its disk becomes a snapshot first.
fn take_over(context: &Context<'_>, volume: &Resource) -> Planned {
    let name = &volume.key.name;
    let Some(server) = context.snapshot.server_of(context.installation(), volume) else {
        return wait(Reason::WaitingForDependency, format!("The block storage `{name}` is not ready to boot from."));
    };
    let row = context.resource();
    let retype = match parking::fit(context, row, volume, server) {
        Fit::Server { retype } => retype,
        Fit::Never(why) => {
            let text = format!("The block storage `{name}` keeps the disk of a deleted instance: {why}.");
            return wait(Reason::ProviderRefused, text);
        }
        Fit::Snapshot(why) => {
            let text = format!(
                "The block storage `{name}` keeps the server of a deleted instance, and {why}: its disk becomes a snapshot, \
                 which this instance is made from. That takes some minutes."
            );
            return wait(Reason::WaitingForDependency, text);
        }
    };
    if power::is_busy(server) || server.status != ServerStatus::Off {
        // Its block storage switches it off.
        return wait(
            Reason::WaitingForDependency,
            format!("The server that keeps the disk of `{name}` is not off yet."),
        );
    }
    let kept = BlockStorageFacts::of(volume);
    let call = ServerCall::Update { server: server.id, name: context.object_name(), labels: context.labels("reuse") };
    let own = InstanceFacts::mark(row, |facts| {
        facts.server_id = Some(server.id.to_string());
        facts.boot_volume = Some(name.clone());
        facts.ever_started = true;
        facts.shaped = true;
        facts.retype = retype;
        facts.placeholder = kept.placeholder.clone();
        facts.user_data_hash = kept.made_with.as_ref().and_then(|made| made.user_data_hash.clone());
        facts.guest = kept.made_with.as_ref().and_then(|made| made.guest);
        facts.keys_hash = kept.made_with.as_ref().and_then(|made| made.keys_hash.clone());
    });
    let disk = BlockStorageFacts::mark(volume, |facts| disk::give_back(facts, row.uid));
    act(call.step(&server.name).frees(&server.name).mark(own).mark(disk))
}

/// What the server of an instance is made with.
pub(super) fn made_with(context: &Context<'_>, sku: &CatalogEntry, spec: &InstanceSpec) -> MadeWith {
    MadeWith {
        user_data_hash: hash_of(spec.user_data.as_ref()),
        guest: None,
        keys_hash: Some(Keys::of(spec, context.installation()).hash()),
        server_type: server_type(sku),
        location: zone_name(&spec.zone).to_owned(),
    }
}

/// A hash of a text. Facts are no place for user data.
pub(super) fn hash_of(text: Option<&String>) -> Option<String> {
    text.map(|text| naming::hash(&naming::hash(text, 52), 26))
}

// -- keeping ----------------------------------------------------------------------------------------------------

fn keep(context: &Context<'_>, server: &Server) -> Checked<Planned> {
    let spec: InstanceSpec = context.spec()?;
    let row = context.resource();
    let with_status = |planned: Planned| power::with_status(planned, context, server);
    if power::is_busy(server) {
        if context.is_converging() || cycle::under_way(row).is_some() {
            return Ok(with_status(context.watch_server(server, Until::Settled)));
        }
        return Ok(with_status(noted(settled(), seen::notes(context, server, &spec, Rest::default()))));
    }
    if let Some(tied) = auxiliary::tie_closed(context, server) {
        return Ok(with_status(tied));
    }
    if !seen::is_shaped(row) {
        return Ok(with_status(unshaped(context, server, &spec)));
    }
    // What switches a server off waits for nothing.
    if power::is_to_stop(context, server)
        && let power::Next::Act(planned) = power::next(context, server)
    {
        return Ok(with_status(*planned));
    }
    let shape = match shape(context, &spec, false) {
        Ok(shape) => shape,
        Err(planned) => return Ok(with_status(*planned)),
    };
    let diff = Diff { context, server, shape: &shape };
    let mut rest = match diff.next() {
        Ok(rest) => rest,
        Err(planned) => return Ok(with_status(cycle::given_up(&diff)?.unwrap_or(*planned))),
    };
    // Nobody tells when another server lets go of what is ours; the plan sees it, and asks nobody.
    let again = rest.awaits_another().then_some(AGAIN);
    rest.notes.splice(0..0, shape.notes.iter().cloned());
    rest.notes.extend(guest::note(context, &spec, &shape));
    let keys = Keys::of(&spec, context.installation());
    let mut used: Vec<_> = keys.auxiliaries().chain(shape.auxiliaries()).cloned().collect();
    if diff.is_about_to_close() || auxiliary::closed_before(context, server).is_some() {
        used.push(auxiliary::deny_all());
    }
    if let Some(released) = auxiliary::release(context, &used) {
        return Ok(with_status(released));
    }
    let planned = match power::next(context, server) {
        power::Next::Act(planned) if power::is_to_start(context, server) => match may_start(&diff, &shape, server) {
            Ok(true) => return Ok(with_status(*planned)),
            Ok(false) => Planned::new(Plan::Defer),
            Err(step) => return Ok(with_status(*step)),
        },
        power::Next::Act(planned) => return Ok(with_status(*planned)),
        power::Next::Settled(done) => {
            if let Some(planned) = cycle::next(&diff, &rest)? {
                return Ok(with_status(Planned { action_done: done, ..planned }));
            }
            Planned { action_done: done, ..settled() }
        }
    };
    let is_complete = rest.when_off.is_empty() && !rest.awaits_another();
    let planned = Planned { again, ..planned };
    let notes = seen::notes(context, server, &spec, rest);
    Ok(with_status(noted(planned, notes)).remember(row, |facts: &mut InstanceFacts| {
        seen::remember_aliases(facts, server, &shape);
        if is_complete {
            cycle::complete(facts, context, &shape);
        }
    }))
}

/// A server of the release before is left as it is until somebody writes to the instance.
fn unshaped(context: &Context<'_>, server: &Server, spec: &InstanceSpec) -> Planned {
    if let Err(closing) = seen::stand_closed(context, server) {
        return *closing;
    }
    match power::next(context, server) {
        power::Next::Act(planned) => *planned,
        power::Next::Settled(done) => {
            let planned = Planned { action_done: done, ..settled() };
            noted(planned, seen::notes_unshaped(context, server, spec))
        }
    }
}

/// Whether a server may be switched on: its firewalls are in force, and it has an interface. The first time it has all that
/// it is to have; later it waits for nobody.
fn may_start(diff: &Diff<'_, '_>, shape: &Shape<'_>, server: &Server) -> Checked<bool> {
    let first = !InstanceFacts::of(diff.context.resource()).ever_started;
    if first && shape.lacks {
        return Ok(false);
    }
    diff.interface()?;
    match is_guarded(server) {
        true => Ok(true),
        false => Err(Box::new(act(diff.context.watch(ObjectId::Server(server.id), Until::Applied).step(&server.name)))),
    }
}

// -- deleting ---------------------------------------------------------------------------------------------------

fn delete(context: &Context<'_>, server: &Server) -> Checked<Planned> {
    if power::is_busy(server) {
        return Ok(context.watch_server(server, Until::Settled));
    }
    // A block storage that kept it has left what closes it to the instance.
    if let Some(tied) = auxiliary::tie_closed(context, server) {
        return Ok(tied);
    }
    if let Some(removed) = taken_off(context, server)? {
        return Ok(removed);
    }
    let row = context.resource();
    let disk = disk(context);
    let stays = disk.filter(|volume| !volume.is_deleting());
    let mut ran = InstanceFacts::of(row).ever_started
        || disk.is_some_and(|volume| BlockStorageFacts::of(volume).ever_started)
        || power::has_run(server);
    if !ran && let Some(volume) = stays {
        ran = parking::lost_its_snapshot(context, volume)?;
    }
    if !ran && stays.is_some() {
        // Somebody may have switched it on at the console, and off again.
        ran = context.was_used(ObjectId::Server(server.id))?;
    }
    if ran && boots_from_another(context) {
        return Ok(wrong_volume(context));
    }
    let heir = stays
        .filter(|_| ran)
        // It has its disk already: this server came of a lost call, after the name was free again.
        .filter(|volume| !Disk::of(volume).is_held() || inherits(volume, server));
    match heir {
        None => Ok(act(ServerCall::Delete { server: server.id }.step(&server.name))),
        Some(_) if server.status != ServerStatus::Off => Ok(power::end(context, server)),
        Some(_) if parking::may_yet_go(context, server) => Ok(wait(
            Reason::OutcomeUnknown,
            "Somebody switched the server on, and the answer to its removal was lost; it is kept when it is certain that it \
             stays.",
        )),
        Some(volume) => {
            strip(context, server)?;
            hand_over(context, server, volume)
        }
    }
}

fn inherits(volume: &Resource, server: &Server) -> bool {
    BlockStorageFacts::of(volume).server_id.is_some_and(|id| id == server.id.to_string())
}

/// Frees what others may want of a server that is off and serves nobody. Its placeholder, and what closes that, stay.
pub(super) fn strip(context: &Context<'_>, server: &Server) -> Checked<()> {
    let shape = Shape::default();
    Diff { context, server, shape: &shape }.strip()
}

/// The disk is the block storage's: the server passes to it with name and labels.
fn hand_over(context: &Context<'_>, server: &Server, volume: &Resource) -> Checked<Planned> {
    let call = ServerCall::Update {
        server: server.id,
        name: naming::object_name(&volume.key.name, volume.uid),
        labels: naming::labels(context.installation(), volume, "hand_over", context.now),
    };
    let facts = InstanceFacts::of(context.resource());
    let made_with = MadeWith {
        user_data_hash: facts.user_data_hash,
        guest: facts.guest,
        // Those of the release before had none.
        keys_hash: facts.keys_hash,
        server_type: server.server_type.name.clone(),
        location: server.location.name.clone(),
    };
    let inherits = BlockStorageFacts::mark(volume, |kept| {
        disk::hold(kept, server.id.to_string(), Some(made_with), millis(context.now));
        kept.placeholder = facts.placeholder;
    });
    Ok(act(call.step(&server.name).frees(&server.name).mark(inherits)))
}
