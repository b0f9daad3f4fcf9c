//! The shape of an instance's server: what is to be attached to it and to stand before it, put together from what the
//! resources that the instance names publish. Pure, and without a look at the server.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use control_plane::{
    Reason, Resource, Uid,
    disk::Disk,
    facts::{Backing, BlockStorageFacts, Facts, GroupUse, NicFacts, NicPublicIp, SecurityGroupFacts},
    ports::{Auxiliary, Plan, Planned, Related, Tie},
};
use hcloud_client::types::{Firewall, Id, IpType, Network, PrimaryIp, Volume};
use seca_api::{InstanceSpec, IpVersion, Kind, ResourceState};

use super::{Checked, Context, auxiliary, guest, wait, zone};
use crate::firewall_rules::Excess;

/// The field that names the first NIC.
const PRIMARY_NIC: &str = "/spec/primaryNicRef";
/// The fields that name further NICs.
const MORE_NICS: &str = "/spec/additionalNicRefs/";
/// The field that names the security group of all interfaces.
const GROUP: &str = "/spec/securityGroupRef";
/// The fields that name data volumes.
const DATA_VOLUMES: &str = "/spec/dataVolumes/";

/// What a server is to have.
#[derive(Debug, Default)]
pub(super) struct Shape<'a> {
    /// Its private networks; the one of the primary NIC first.
    pub(super) attachments: Vec<Attachment>,
    /// Its public IPs.
    pub(super) ipv4: Option<PublicAddress>,
    pub(super) ipv6: Option<PublicAddress>,
    /// What stands before its public interfaces.
    pub(super) guard: Guard,
    /// Its data volumes.
    pub(super) volumes: Vec<(Id<Volume>, &'a Resource)>,
    /// Its placement group.
    pub(super) group: Option<Auxiliary>,
    /// What a person must know of what is not in the shape.
    pub(super) notes: Vec<(Reason, String)>,
    /// Something that it names is in use elsewhere: the server is not started for the first time without it.
    pub(super) lacks: bool,
    /// A NIC that it has is being changed: no network is taken away meanwhile.
    pub(super) unsettled: bool,
    /// It has a closed public interface beside its private ones: see [`super::guest::keeps_placeholder`].
    pub(super) keeps_placeholder: bool,
}

/// A private network of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) network: Id<Network>,
    /// The name of the NIC that owns the interface.
    pub(super) nic: String,
    subnet: String,
    pub(super) address: Ipv4Addr,
    /// Further addresses, which the guest must add itself.
    pub(super) aliases: Vec<Ipv4Addr>,
}

/// A public IP of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicAddress {
    pub(super) primary_ip: Id<PrimaryIp>,
    pub(super) text: String,
}

/// What filters the packets of public interfaces, if there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing: no group is named.
    #[default]
    Open,
    /// The firewalls of the groups that are named. `closed`: not all of them can be had, and nothing else passes.
    Groups {
        firewalls: BTreeSet<Id<Firewall>>,
        closed: bool,
        /// Whether all of them have the rules that their groups ask for now.
        ready: bool,
    },
    /// Nothing passes.
    Closed,
    /// More than the provider takes: what stands there stays.
    Kept,
}

impl Shape<'_> {
    /// Whether the server has an interface of its own, once it is so.
    pub(super) fn has_interface(&self) -> bool {
        !self.attachments.is_empty() || self.is_public()
    }

    /// Whether it has a closed public interface of its own, because it needs one.
    pub(super) fn has_placeholder(&self) -> bool {
        !self.has_interface() || self.keeps_placeholder && !self.is_public()
    }

    /// Whether it has a public IP, once it is so.
    pub(super) const fn is_public(&self) -> bool {
        self.ipv4.is_some() || self.ipv6.is_some()
    }

    /// The auxiliaries that it uses beside keys and the closed firewall.
    pub(super) fn auxiliaries(&self) -> impl Iterator<Item = &Auxiliary> {
        self.group.iter()
    }
}

/// The live row of what is named; a note otherwise.
fn live<'a>(related: &'a Related, noun: &str, notes: &mut Vec<(Reason, String)>) -> Option<&'a Resource> {
    let row = related.resource.as_ref().filter(|row| !row.is_deleting());
    if row.is_none() {
        let name = &related.key.name;
        notes.push((Reason::DependencyMissing, format!("The {noun} `{name}` does not exist, or is being deleted.")));
    }
    row
}

/// What is known of a claim.
enum Claim {
    Own,
    Free,
    Other,
}

fn claim(row: &Resource, own: Uid) -> Claim {
    match row.holder {
        Some(holder) if holder == own => Claim::Own,
        Some(_) => Claim::Other,
        None => Claim::Free,
    }
}

/// Whether an instance names an interface. Without any it has a placeholder.
pub(super) fn names_interface(context: &Context<'_>) -> bool {
    let is_interface = |field: &str| field.starts_with(PRIMARY_NIC) || field.starts_with(MORE_NICS);
    context.bundle().targets.iter().any(|target| is_interface(&target.field))
}

/// The shape that an instance asks for. Claims come first: what nobody has is claimed before anything is attached. A server
/// that is about to be made (`is_new`) waits for what the resources that it names have yet to publish.
pub(super) fn shape<'a>(context: &Context<'a>, spec: &InstanceSpec, is_new: bool) -> Checked<Shape<'a>> {
    let mut shape = Shape { keeps_placeholder: guest::keeps_placeholder(context), ..Shape::default() };
    let mut ties = Vec::new();
    let mut groups = Vec::new();
    let targets = &context.bundle().targets;
    let fields = |prefix: &'static str| targets.iter().filter(move |target| target.field.starts_with(prefix));
    if let Some(related) = targets.iter().find(|target| target.field == GROUP) {
        groups.push(group_use(related));
    }
    for related in fields(PRIMARY_NIC).chain(fields(MORE_NICS)) {
        nic(context, related, is_new, &mut shape, &mut ties, &mut groups)?;
    }
    for related in fields(DATA_VOLUMES) {
        data_volume(context, related, is_new, &mut shape, &mut ties)?;
    }
    shape.group = spec.anti_affinity_group.as_deref().filter(|group| !group.is_empty()).map(|group| {
        let workspace = context.resource().key.workspace_key().map(|key| key.resource()).unwrap_or_default();
        auxiliary::of_content(
            auxiliary::PLACEMENT_GROUP,
            &format!("{}/{workspace}/{group}", context.resource().key.tenant),
        )
    });
    ties.extend(auxiliary::missing(context, shape.group.as_ref()));
    if !ties.is_empty() {
        return Err(Box::new(Planned::new(Plan::Tie(ties))));
    }
    shape.guard = guard(context, &groups);
    if shape.is_public() && matches!(shape.guard, Guard::Kept) {
        let (firewalls, rules) = total(&groups);
        if let Some(excess) = Excess::of(firewalls, rules) {
            shape.notes.push((Reason::RulesTooMany, format!("Of its security groups together, {excess}.")));
        }
    }
    Ok(shape)
}

/// What a group comes to for one that names it.
pub(super) fn group_use(related: &Related) -> GroupUse {
    let name = related.key.name.clone();
    match related.resource.as_ref().filter(|row| !row.is_deleting()) {
        None => GroupUse { name, ..GroupUse::default() },
        Some(row) => {
            let facts = SecurityGroupFacts::of(row);
            GroupUse {
                name,
                firewalls: facts.firewalls.into_iter().map(|firewall| firewall.id).collect(),
                ready: facts.ready && row.observed_generation == row.generation,
                rules: facts.rules.unwrap_or_default(),
            }
        }
    }
}

/// Whether the instance, or a NIC that it names, names a security group.
pub(super) fn names_group(context: &Context<'_>) -> bool {
    let is_group = |target: &Related| match target.key.kind {
        Kind::SecurityGroup => true,
        Kind::Nic => target.resource.as_ref().is_some_and(|nic| NicFacts::of(nic).groups.is_some()),
        _ => false,
    };
    context.bundle().targets.iter().any(is_group)
}

fn total(groups: &[GroupUse]) -> (usize, usize) {
    let firewalls: BTreeSet<&String> = groups.iter().flat_map(|group| &group.firewalls).collect();
    let mut seen = BTreeSet::new();
    let once = groups.iter().filter(|group| seen.insert(&group.firewalls));
    (firewalls.len(), once.map(|group| group.rules as usize).sum())
}

fn guard(context: &Context<'_>, groups: &[GroupUse]) -> Guard {
    if groups.is_empty() {
        return if context.settings.ungrouped_closed { Guard::Closed } else { Guard::Open };
    }
    let (firewalls, rules) = total(groups);
    if Excess::of(firewalls, rules).is_some() {
        return Guard::Kept;
    }
    let ids = groups.iter().flat_map(|group| &group.firewalls).filter_map(|id| id.parse().ok());
    Guard::Groups {
        firewalls: ids.collect(),
        closed: groups.iter().any(|group| group.firewalls.is_empty()),
        ready: groups.iter().all(|group| group.ready),
    }
}

fn nic<'a>(
    context: &Context<'a>,
    related: &'a Related,
    is_new: bool,
    shape: &mut Shape<'a>,
    ties: &mut Vec<Tie>,
    groups: &mut Vec<GroupUse>,
) -> Checked<()> {
    let name = &related.key.name;
    let Some(row) = live(related, "NIC", &mut shape.notes) else { return Ok(()) };
    let facts = NicFacts::of(row);
    match claim(row, context.resource().uid) {
        Claim::Own => {}
        Claim::Free => {
            ties.push(Tie::Claim(row.uid));
            return Ok(());
        }
        Claim::Other => {
            shape.lacks = true;
            let text = format!("The NIC `{name}` is another instance's; it is attached here when that lets it go.");
            shape.notes.push((Reason::NicInUse, text));
            return Ok(());
        }
    }
    let is_settled = facts.settled && row.observed_generation == row.generation;
    if !is_settled {
        shape.unsettled = true;
        if is_new {
            let text = format!("The NIC `{name}` is not ready; its status says why.");
            return Err(Box::new(wait(Reason::WaitingForDependency, text)));
        }
    }
    groups.extend(facts.groups.iter().flat_map(|groups| &groups.groups).cloned());
    attach(name, &facts, shape);
    for ip in &facts.public_ips {
        public_ip(context, name, ip, shape);
    }
    Ok(())
}

/// The first NIC of a network owns the interface; others of the same subnet are aliases.
fn attach(name: &str, facts: &NicFacts, shape: &mut Shape<'_>) {
    let Some(wanted) = &facts.attachment else { return };
    let (Ok(network), Some((first, rest))) = (wanted.network_id.parse(), wanted.addresses.split_first()) else {
        return;
    };
    match shape.attachments.iter_mut().find(|attachment| attachment.network == network) {
        None => shape.attachments.push(Attachment {
            network,
            nic: name.to_owned(),
            subnet: wanted.subnet.clone(),
            address: *first,
            aliases: rest.to_vec(),
        }),
        Some(shared) if shared.subnet == wanted.subnet => {
            shared.aliases.extend(&wanted.addresses);
            let text = format!(
                "The NIC `{name}` shares the interface of `{}`, which is of the same subnet; the guest must add its \
                 addresses itself.",
                shared.nic
            );
            shape.notes.push((Reason::AliasNic, text));
        }
        Some(other) => {
            let text = format!(
                "The NIC `{name}` is in another subnet of the network that `{}` is in, and a Hetzner server has one \
                 interface in a network.",
                other.nic
            );
            shape.notes.push((Reason::Unsupported, text));
        }
    }
}

fn public_ip(context: &Context<'_>, nic: &str, ip: &NicPublicIp, shape: &mut Shape<'_>) {
    let Ok(primary_ip) = ip.primary_ip_id.parse() else { return };
    let found = context.snapshot.get::<PrimaryIp>(primary_ip);
    if lies_elsewhere(context, &format!("public IP `{}`", ip.name), found.map(|ip| &*ip.location.name), shape) {
        return;
    }
    let (place, family) = match ip.version {
        IpVersion::IPv4 => (&mut shape.ipv4, IpType::Ipv4),
        IpVersion::IPv6 => (&mut shape.ipv6, IpType::Ipv6),
    };
    if found.is_some_and(|found| found.kind != family) {
        let text = format!(
            "The public IP `{}` is to be of the other family: its address is let go, and the next one follows.",
            ip.name
        );
        shape.notes.push((Reason::WaitingForDependency, text));
        return;
    }
    if place.is_none() {
        *place = Some(PublicAddress { primary_ip, text: ip.address.to_string() });
        return;
    }
    let text = format!(
        "The public IP `{}` of the NIC `{nic}` leads nowhere: a Hetzner server has one address of each family, and this \
         one has another.",
        ip.name
    );
    shape.notes.push((Reason::AddressInUse, text));
}

/// Whether something lies in another zone than the instance, which then does without it, and is not started for the first
/// time until that is put right.
fn lies_elsewhere(context: &Context<'_>, what: &str, location: Option<&str>, shape: &mut Shape<'_>) -> bool {
    let Some((location, zone)) = location.zip(zone::of_instance(context.resource())) else { return false };
    if location == zone {
        return false;
    }
    shape.lacks = true;
    let text = format!(
        "The {what} lies in {location}, and the instance in {zone}; nothing moves between zones, so use one in {zone}."
    );
    shape.notes.push((Reason::InOtherZone, text));
    true
}

fn data_volume<'a>(
    context: &Context<'a>,
    related: &'a Related,
    is_new: bool,
    shape: &mut Shape<'a>,
    ties: &mut Vec<Tie>,
) -> Checked<()> {
    if related.key.kind != Kind::BlockStorage {
        return Ok(());
    }
    let name = &related.key.name;
    let Some(row) = live(related, "block storage", &mut shape.notes) else { return Ok(()) };
    match claim(row, context.resource().uid) {
        Claim::Own => {}
        Claim::Other => {
            shape.lacks = true;
            let text =
                format!("The block storage `{name}` is another instance's; it is attached here when that lets it go.");
            shape.notes.push((Reason::VolumeInUse, text));
            return Ok(());
        }
        Claim::Free if Disk::held_a_system(row) => {
            let text = format!(
                "The block storage `{name}` holds the disk of a system, which Hetzner Cloud attaches to no other server."
            );
            shape.notes.push((Reason::Unsupported, text));
            return Ok(());
        }
        Claim::Free => {
            ties.push(Tie::Claim(row.uid));
            return Ok(());
        }
    }
    let facts = BlockStorageFacts::of(row);
    let is_to_come = facts.volume_id.is_none()
        && matches!(facts.backing, None | Some(Backing::Volume))
        && row.state != ResourceState::Error;
    match facts.volume_id.as_deref().filter(|_| facts.backing == Some(Backing::Volume)).and_then(|id| id.parse().ok()) {
        Some(volume) => {
            let found = context.snapshot.get::<Volume>(volume);
            let location = found.map(|volume| &*volume.location.name);
            if !lies_elsewhere(context, &format!("block storage `{name}`"), location, shape) {
                shape.volumes.push((volume, row));
            }
        }
        // One that waited for its zone is active, and about to be made where this instance is.
        None if is_new && (!row.was_active() || is_to_come) => {
            let text = format!("The block storage `{name}` is not ready; its status says why.");
            return Err(Box::new(wait(Reason::WaitingForDependency, text)));
        }
        None => {
            shape.lacks = true;
            let text = format!("The block storage `{name}` has no volume that could be attached; its status says why.");
            shape.notes.push((Reason::WaitingForDependency, text));
        }
    }
    Ok(())
}
