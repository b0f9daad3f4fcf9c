//! An instance is a server, created off. Its disk is its boot volume's blocks, which decides what becomes of the
//! server when the instance is deleted: one that ever ran is handed over to the block storage, powered off, with
//! the block storage's name and labels; any other is deleted.

use control_plane::{
    CatalogEntry, Reason, Resource,
    catalog::zone_name,
    kinds::instance::user_data_for_provider,
    ports::{Plan, Planned, Tie},
};
use hcloud_client::types::{CreateServer, CreateServerFirewall, CreateServerPublicNet, Server, ServerStatus};
use seca_api::{InstanceSpec, Kind, ResourceState, reference::Target};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    Checked, Context, Mapping, Owned, PlannedExt, act, block_storage, deny_all, facts, fail, mark, missing_targets,
    noted, origin::boot_image, power, settled, wait,
};
use crate::{
    call::{Call, StepExt, Until},
    naming,
    objects::{ObjectId, ObjectType, ServerCall},
};

/// The field that names the boot volume.
const BOOT_VOLUME: &str = "/spec/bootVolume/deviceRef";

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
            Some(server) => delete(context, server),
            None => deny_all::release(context).unwrap_or_else(settled),
        }
    }

    fn objects(&self) -> &'static [Owned] {
        &[Owned { kind: ObjectType::Server, id: facts::SERVER_ID, made: true }]
    }
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
    let made_from = context.resource().fact(facts::BOOT_VOLUME);
    let is_other = made_from.is_some_and(|name| name != target.key.name);
    let is_live = target.resource.as_ref().is_some_and(|volume| !volume.is_deleting());
    is_other || is_live && disk(context).is_none()
}

/// A server that bears the labels of the boot volume although the instance is there: the database is older than the
/// hand-over, because it was restored.
fn handed_over<'a>(context: &Context<'a>) -> Option<(&'a Server, &'a Resource)> {
    let volume = disk(context).filter(|volume| volume.fact(facts::BACKING) != Some(facts::SERVER))?;
    Some((context.snapshot.server_labelled(context.installation(), volume.uid)?, volume))
}

/// The server is the instance's again. Only servers that ran are handed over.
fn take_back(context: &Context<'_>, server: &Server, volume: &Resource) -> Planned {
    if power::is_busy(server) {
        return context.watch_server(server, Until::Settled);
    }
    let row = context.resource();
    let call =
        ServerCall::Update { server: server.id, name: context.object_name(), labels: context.labels("take_back") };
    let started = (facts::EVER_STARTED, Value::Bool(true));
    let own = [(facts::BOOT_VOLUME, volume.key.name.clone().into()), started.clone()];
    let disk = [(facts::DISK_OF, row.uid.to_string().into()), started];
    act(call.step(&server.name).frees(&server.name).mark(mark(row, &own)).mark(mark(volume, &disk)))
}

/// What is said instead of what could lose the disk of a volume, or make nobody remember that it holds data.
pub(super) fn wrong_volume(context: &Context<'_>) -> Planned {
    let named = context.bundle().target(BOOT_VOLUME).map_or("none", |target| target.key.name.as_str());
    let real = context.resource().fact(facts::BOOT_VOLUME).unwrap_or("another one");
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
    match row.marked(facts::EVER_STARTED) {
        true => context.prove(row, ObjectType::Server, facts::SERVER_ID)?,
        false => context.prove_lost(ObjectType::Server, facts::SERVER_ID)?,
    }
    if row.marked(facts::EVER_STARTED) {
        return Ok(fail(
            Reason::BackingLost,
            "The server was deleted at Hetzner Cloud, and its disk with it. It is not made again empty: delete the \
             instance and its boot volume, and restore a backup into new ones.",
        ));
    }
    let sku = sku(context, &spec)?;
    let volume = held_volume(context)?;
    let image = boot_image(context, volume, sku)?;
    let firewall = deny_all::ready(context)?;
    let name = context.object_name();
    let body = CreateServer {
        name: name.clone(),
        server_type: sku.fact("serverType").unwrap_or(&sku.name).to_owned(),
        image: image.id,
        // Zones are locations.
        location: Some(zone_name(&spec.zone).to_owned()),
        firewalls: vec![CreateServerFirewall { firewall: firewall.id }],
        labels: context.labels("create_server"),
        start_after_create: Some(false),
        public_net: Some(CreateServerPublicNet { enable_ipv4: false, enable_ipv6: true, ipv4: None, ipv6: None }),
        ..CreateServer::default()
    };
    let made_with = [
        (facts::USER_DATA, hash_of(spec.user_data.as_ref())),
        (facts::DEFAULT_IMAGE, image.defaulted.map_or(Value::Null, Value::String)),
        (facts::BOOT_VOLUME, volume.key.name.clone().into()),
    ];
    let disk_of = [
        (facts::SOURCE_IMAGE, block_storage::source_image(volume)),
        (facts::DISK_OF, context.resource().uid.to_string().into()),
    ];
    let step = ServerCall::Create(Box::new(body))
        .step(name)
        .mark(mark(context.resource(), &made_with))
        .mark(mark(volume, &disk_of))
        .secret(spec.user_data.map(|text| SecretString::from(sendable(text))));
    Ok(act(step))
}

/// User data as the provider takes it. Admission let nothing longer pass, so that what fits in no form is refused there.
fn sendable(text: String) -> String {
    user_data_for_provider(&text).unwrap_or(text)
}

fn sku<'a>(context: &Context<'a>, spec: &InstanceSpec) -> Checked<&'a CatalogEntry> {
    let found = match spec.sku_ref.resolve(&context.resource().key, &[Kind::InstanceSku]) {
        Ok(Target::Resource(key)) => context.desired.catalog.get(Kind::InstanceSku, &key.region, &key.name),
        _ => None,
    };
    found.ok_or_else(|| {
        let message = format!("The region `{}` has no instance SKU `{}`.", context.region(), spec.sku_ref);
        Box::new(fail(Reason::DependencyMissing, message))
    })
}

/// The boot volume, once this instance holds it and nothing of its own stands behind it.
fn held_volume<'a>(context: &Context<'a>) -> Checked<&'a Resource> {
    let stop = |planned: Planned| Err(Box::new(planned));
    let Some(volume) = boot_volume(context) else {
        return stop(wait(Reason::DependencyMissing, "The block storage to boot from does not exist any more."));
    };
    let name = &volume.key.name;
    if volume.is_deleting() {
        return stop(wait(Reason::DependencyMissing, format!("The block storage `{name}` is being deleted.")));
    }
    if volume.fact(facts::BACKING) == Some(facts::SERVER) {
        return stop(wait(
            Reason::BootVolumeHeld,
            format!(
                "The block storage `{name}` keeps the disk of an instance that was deleted. Booting from it again \
                 comes with a later release; use a new block storage."
            ),
        ));
    }
    match volume.holder {
        None => return stop(Planned::new(Plan::Tie(vec![Tie::Claim(volume.uid)]))),
        Some(holder) if holder != context.resource().uid => {
            return stop(wait(
                Reason::BootVolumeInUse,
                format!("Another instance boots from the block storage `{name}`; delete it, or use another volume."),
            ));
        }
        Some(_) => {}
    }
    let is_ready = matches!(volume.state, ResourceState::Active | ResourceState::Updating);
    if !is_ready || volume.fact(facts::BACKING) != Some(facts::NONE) {
        return stop(wait(
            Reason::WaitingForDependency,
            format!("The block storage `{name}` is not ready to boot from."),
        ));
    }
    Ok(volume)
}

/// A hash of a text; null for none. Facts are no place for user data.
fn hash_of(text: Option<&String>) -> Value {
    text.map_or(Value::Null, |text| Value::String(naming::hash(&naming::hash(text, 52), 26)))
}

// -- keeping ----------------------------------------------------------------------------------------------------

fn keep(context: &Context<'_>, server: &Server) -> Checked<Planned> {
    let spec: InstanceSpec = context.spec()?;
    let with_status = |planned: Planned| {
        let planned = power::with_last_reboot(planned, context, server)
            .fact(facts::SERVER_ID, server.id.to_string())
            .status(power::status(context, server));
        let planned = power::without_shutdown(planned, server);
        // Whoever switched it on: its disk may hold data.
        if power::has_run(server) { planned.fact(facts::EVER_STARTED, true) } else { planned }
    };
    if power::is_busy(server) && context.is_converging() {
        return Ok(with_status(context.watch_server(server, Until::Settled)));
    }
    if !power::is_busy(server)
        && let Err(closing) = deny_all::stand_before(context, server)
    {
        return Ok(with_status(*closing));
    }
    match power::next(context, server) {
        power::Next::Act(planned) => Ok(with_status(*planned)),
        power::Next::Settled(done) => {
            let mut planned = with_status(with_notes(settled(), context, server, &spec));
            planned.action_done = done;
            Ok(planned)
        }
    }
}

/// All that a person must know about an instance that is as asked for; the weightiest gives the reason.
fn with_notes(planned: Planned, context: &Context<'_>, server: &Server, spec: &InstanceSpec) -> Planned {
    let row = context.resource();
    let mut notes = Vec::from_iter(missing_targets(context));
    if row.facts.get(facts::USER_DATA).cloned().unwrap_or_default() != hash_of(spec.user_data.as_ref()) {
        notes.push((
            Reason::AppliesOnRecreate,
            "The server was made with other user data; the change applies when the instance is created again."
                .to_owned(),
        ));
    }
    if let Some(names) = not_attached(spec) {
        notes.push((
            Reason::NotAttached,
            format!("The instance names {names}, which this release does not attach to its server yet."),
        ));
    }
    if let Some(image) = row.fact(facts::DEFAULT_IMAGE) {
        notes.push((
            Reason::BootImageDefaulted,
            format!("Nothing that boots was on the boot volume, so it was made from `{image}`."),
        ));
    }
    let closed = match deny_all::is_in_force(context, server) {
        true => "that a firewall closes in both directions.",
        false => "that a firewall is about to close in both directions.",
    };
    let text = format!("No NIC is attached, so the server has an IPv6 interface {closed}");
    notes.push((Reason::PlaceholderInterface, text));
    noted(planned, notes)
}

/// What an instance names and this release does not attach.
fn not_attached(spec: &InstanceSpec) -> Option<String> {
    let count = |count: usize, noun: &str| match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        many => Some(format!("{many} {noun}s")),
    };
    let nics = spec.primary_nic_ref.iter().chain(&spec.additional_nic_refs).filter(|nic| !nic.is_unset()).count();
    let group = spec.security_group_ref.iter().filter(|group| !group.is_unset()).count();
    let placement = spec.anti_affinity_group.iter().filter(|group| !group.is_empty()).count();
    let named: Vec<String> = [
        count(nics, "NIC"),
        (nics > 0).then(|| "the public IPs of its NICs".to_owned()),
        count(group, "security group"),
        count(spec.data_volumes.len(), "data volume"),
        count(spec.ssh_keys.len(), "SSH key"),
        count(placement, "anti-affinity group"),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!named.is_empty()).then(|| named.join(", "))
}

// -- deleting ---------------------------------------------------------------------------------------------------

fn delete(context: &Context<'_>, server: &Server) -> Planned {
    if power::is_busy(server) {
        return context.watch_server(server, Until::Settled);
    }
    let started = |row: &Resource| row.marked(facts::EVER_STARTED);
    let disk = disk(context);
    let stays = disk.filter(|volume| !volume.is_deleting());
    let mut ran = started(context.resource()) || disk.is_some_and(started) || power::has_run(server);
    if !ran && stays.is_some() {
        // Somebody may have switched it on at the console, and off again.
        let object = ObjectId::Server(server.id);
        match context.snapshot.was_used(object) {
            Some(ever) => ran = ever,
            None => return context.ask(Call::History { object }),
        }
    }
    if ran && boots_from_another(context) {
        return wrong_volume(context);
    }
    let heir = stays
        .filter(|_| ran)
        // It has its disk already: this server came of a lost call, after the name was free again.
        .filter(|volume| volume.fact(facts::BACKING) != Some(facts::SERVER) || inherits(volume, server));
    match heir {
        None => act(ServerCall::Delete { server: server.id }.step(&server.name)),
        Some(_) if server.status != ServerStatus::Off => {
            act(ServerCall::Poweroff { server: server.id }.step(&server.name))
        }
        Some(volume) => hand_over(context, server, volume),
    }
}

fn inherits(volume: &Resource, server: &Server) -> bool {
    volume.fact(facts::SERVER_ID) == Some(server.id.to_string().as_str())
}

/// The disk is the block storage's: the server passes to it with name and labels.
fn hand_over(context: &Context<'_>, server: &Server, volume: &Resource) -> Planned {
    let call = ServerCall::Update {
        server: server.id,
        name: naming::object_name(&volume.key.name, volume.uid),
        labels: naming::labels(context.installation(), volume, "hand_over", context.now),
    };
    let inherits = [
        (facts::BACKING, facts::SERVER.into()),
        (facts::SERVER_ID, server.id.to_string().into()),
        (facts::EVER_STARTED, Value::Bool(true)),
    ];
    act(call.step(&server.name).frees(&server.name).mark(mark(volume, &inherits)))
}
