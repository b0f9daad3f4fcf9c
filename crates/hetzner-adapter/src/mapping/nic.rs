//! A NIC is a reservation of addresses in its subnet, which become an interface of the server of the instance that has it.
//! The reservations of a subnet are its address plan; of two NICs that want the same address the later one waits. It
//! publishes where it is to be attached, its public IPs, and what its security groups come to.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use control_plane::{
    Reason, Resource,
    facts::{Facts, InstanceFacts, NicAttachment, NicFacts, NicGroups, NicPublicIp, PublicIpFacts, SubnetFacts},
    ports::{Plan, Planned, Related, Tie},
};
use hcloud_client::types::{Id, PrimaryIp, Server};
use ipnet::Ipv4Net;
use seca_api::{Kind, NicSpec, NicStatus, PublicIpSpec, Reference, ResourceState, SubnetSpec};
use serde_json::json;

use super::{
    Checked, Context, Mapping, PUBLIC_ROUTER, PlannedExt, map, missing_targets, noted, public_ip, referrers,
    remembered, settled, shape::group_use, wait, zone,
};
use crate::{objects::ObjectType, owner::Owner};

/// The field that names the subnet.
const SUBNET: &str = "/spec/subnetRef";
/// The fields that name public IPs.
const PUBLIC_IPS: &str = "/spec/publicIpRefs/";
/// The fields that name security groups.
const GROUPS: &str = "/spec/securityGroupRefs/";
/// How often a NIC looks whether the address that it waits for is free: its holder does not know of it.
const AGAIN: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct NicMapping;

impl Mapping for NicMapping {
    fn kind(&self) -> Kind {
        Kind::Nic
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context)
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        match is_attached(context) {
            Ok(false) => settled(),
            Ok(true) => wait(Reason::WaitingForDependency, "The instance that has the NIC still lets it go."),
            Err(look) => *look,
        }
    }
}

fn alive(context: &Context<'_>) -> Checked<Planned> {
    let spec: NicSpec = context.spec()?;
    let row = context.resource();
    let before: NicStatus = row.status().unwrap_or_default();
    let ties = ties(context)?;
    if !ties.is_empty() {
        return Ok(Planned::new(Plan::Tie(ties)));
    }
    let subnet = context.bundle().target(SUBNET).and_then(|target| target.resource.as_ref());
    let block = match subnet.filter(|subnet| !subnet.is_deleting()) {
        // What is missing is named below.
        None => None,
        Some(subnet) if !is_ready(subnet) && is_new(row) => {
            let message = format!("The subnet `{}` is not ready.", subnet.key.name);
            return Ok(wait(Reason::WaitingForDependency, message));
        }
        Some(subnet) => {
            subnet.spec::<SubnetSpec>().ok().and_then(|spec| spec.cidr.ipv4_net()).map(|block| block.trunc())
        }
    };
    let mut status = map(&[]);
    let addresses: Vec<Ipv4Addr> = match block {
        None => parse(&before.addresses).collect(),
        Some(block) => match reserve(&spec, &before, block, &context.bundle().peers, &nat_addresses(subnet)) {
            Ok(addresses) => addresses,
            Err(why) => {
                let wait = Planned::new(Plan::Wait { retry: Some(AGAIN) }).note(Reason::AddressConflict, why);
                return Ok(wait.remember(row, |facts: &mut NicFacts| facts.settled = false));
            }
        },
    };
    let shown =
        if block.is_none() { before.addresses.clone() } else { addresses.iter().map(Ipv4Addr::to_string).collect() };
    if !shown.is_empty() {
        status.insert("addresses".to_owned(), json!(shown));
    }
    if let Some(mac) = mac(context).or(before.mac_address) {
        status.insert("macAddress".to_owned(), json!(mac));
    }
    let own = public_ips(context);
    if !own.published.is_empty() {
        status.insert("publicIpRefs".to_owned(), json!(own.references));
    }
    let published = subnet.map(SubnetFacts::of).and_then(|facts| facts.network_id);
    let attachment = published.filter(|_| !addresses.is_empty() && block.is_some()).zip(subnet);
    let is_known = attachment.is_some() || addresses.is_empty() || block.is_none();
    let planned = settled().status(status).remember(row, |facts: &mut NicFacts| {
        facts.settled = is_known && own.is_complete;
        facts.attachment = attachment.map(|(network_id, subnet)| NicAttachment {
            network_id,
            subnet: subnet.key.resource(),
            addresses,
        });
        facts.public_ips = own.published;
        facts.groups = groups(context);
        facts.zone = instance(context).filter(|instance| !instance.is_deleting()).and_then(zone::of_instance);
    });
    Ok(noted(planned, own.notes.into_iter().chain(notes(context, &spec))))
}

/// Public IPs that it names and nobody has are its own from now on, but for one whose zone only the instance of a NIC can
/// tell: that waits for a NIC which has an instance, so that one which never gets any does not keep it. And what an instance had that names it no longer, or is
/// being deleted, that has no more once the server lets go.
fn ties(context: &Context<'_>) -> Checked<Vec<Tie>> {
    let can_tell = context.resource().holder.is_some();
    let is_free = |ip: &&Resource| ip.holder.is_none() && (can_tell || !zone::is_awaited(context, ip));
    let free = live(context, PUBLIC_IPS).filter(is_free);
    let mut ties: Vec<Tie> = free.map(|ip| Tie::Claim(ip.uid)).collect();
    let is_wanted = instance(context).is_some_and(|instance| !instance.is_deleting());
    if let Some(holder) = context.resource().holder.filter(|_| !is_wanted)
        && !is_attached(context)?
    {
        ties.push(Tie::Release(holder));
    }
    Ok(ties)
}

/// The instance that has it, as far as it still names it.
fn instance<'a>(context: &Context<'a>) -> Option<&'a Resource> {
    context.holder()?.resource.as_ref()
}

/// Whether the server of its instance has its addresses. A server that is not seen is asked for.
fn is_attached(context: &Context<'_>) -> Checked<bool> {
    let row = context.resource();
    let (Some(holder), Some(attachment)) = (row.holder, NicFacts::of(row).attachment) else { return Ok(false) };
    let Some(server) = context.snapshot.server_labelled(context.installation(), holder) else {
        // A server that is handed over bears other labels.
        let is_taken = attachment.network_id.parse().is_ok_and(|network| {
            attachment.addresses.iter().any(|address| context.snapshot.is_address_taken(network, *address))
        });
        let server = instance(context).and_then(|row| remembered(row, ObjectType::Server));
        let is_seen = server.is_some_and(|id| context.snapshot.get(Id::<Server>::new(id)).is_some());
        if !is_taken && !is_seen {
            context.prove_none(ObjectType::Server, Owner::main(holder), None)?;
        }
        return Ok(is_taken);
    };
    Ok(has_address(server, &attachment))
}

fn has_address(server: &Server, attachment: &NicAttachment) -> bool {
    let Some(net) = attachment.network_id.parse().ok().and_then(|network| server.attachment(network)) else {
        return false;
    };
    let has = |address: &Ipv4Addr| net.ip == Some(*address) || net.alias_ips.contains(address);
    attachment.addresses.iter().any(has)
}

/// The address of the hardware that it has on its instance's server.
fn mac(context: &Context<'_>) -> Option<String> {
    let attachment = NicFacts::of(context.resource()).attachment?;
    let interfaces = InstanceFacts::of(instance(context)?).interfaces;
    interfaces.into_iter().find(|interface| interface.network_id == attachment.network_id)?.mac
}

/// What it names under some fields, as far as that exists.
fn live<'a>(context: &Context<'a>, fields: &'static str) -> impl Iterator<Item = &'a Resource> {
    let targets = context.bundle().targets.iter().filter(move |target| target.field.starts_with(fields));
    targets.filter_map(|target| target.resource.as_ref()).filter(|row| !row.is_deleting())
}

/// The public IPs of a NIC.
struct PublicIps {
    /// Those that are its own and have an address.
    published: Vec<NicPublicIp>,
    references: Vec<Reference>,
    /// Whether each that it can have has an address.
    is_complete: bool,
    notes: Vec<(Reason, String)>,
}

fn public_ips(context: &Context<'_>) -> PublicIps {
    let mut all = PublicIps { published: Vec::new(), references: Vec::new(), is_complete: true, notes: Vec::new() };
    for row in live(context, PUBLIC_IPS) {
        let name = &row.key.name;
        if row.holder.is_none() {
            // It is claimed when an instance has the NIC.
            all.is_complete = false;
            continue;
        }
        if row.holder != Some(context.resource().uid) {
            let text = format!("The public IP `{name}` is another NIC's; it is this one's when that lets it go.");
            all.notes.push((Reason::AddressInUse, text));
            continue;
        }
        let facts = PublicIpFacts::of(row);
        let address = facts.address.and_then(|address| address.parse().ok());
        let (Some(primary_ip_id), Some(address), Ok(spec)) = (facts.primary_ip_id, address, row.spec::<PublicIpSpec>())
        else {
            all.is_complete = false;
            continue;
        };
        let primary_ip = primary_ip_id.parse().ok().and_then(|id: Id<PrimaryIp>| context.snapshot.get(id));
        all.references.push(Reference::to(&row.key));
        all.published.push(NicPublicIp {
            name: name.clone(),
            uid: row.uid,
            version: spec.version,
            leads: primary_ip.is_some_and(|ip| public_ip::leads(context, context.resource(), ip)),
            primary_ip_id,
            address,
        });
    }
    all
}

/// What its security groups come to; none if it names none.
fn groups(context: &Context<'_>) -> Option<NicGroups> {
    let named: Vec<&Related> =
        context.bundle().targets.iter().filter(|target| target.field.starts_with(GROUPS)).collect();
    (!named.is_empty()).then(|| NicGroups { groups: named.into_iter().map(group_use).collect() })
}

fn is_ready(subnet: &Resource) -> bool {
    matches!(subnet.state, ResourceState::Active | ResourceState::Updating)
}

fn is_new(nic: &Resource) -> bool {
    matches!(nic.state, ResourceState::Pending | ResourceState::Creating)
}

fn notes(context: &Context<'_>, spec: &NicSpec) -> Vec<(Reason, String)> {
    let mut notes = Vec::from_iter(missing_targets(context));
    if spec.addresses.iter().any(|address| address.contains(':')) {
        let text = "Hetzner networks carry no IPv6; the IPv6 addresses are kept as intent and lead nowhere.";
        notes.push((Reason::IPv6Unsupported, text.to_owned()));
    }
    if context.bundle().targets.iter().any(|target| target.field.starts_with(GROUPS)) {
        let text = "Hetzner Cloud filters public interfaces only: the security groups filter what comes by a public IP, and \
                    nothing on the private network.";
        notes.push((Reason::NotEnforcedOnPrivateNic, text.to_owned()));
    }
    let is_attached = is_attached(context).unwrap_or_default();
    let idle = match (instance(context), referrers(context, &[Kind::Instance])) {
        _ if is_attached => return notes,
        (Some(instance), _) => format!("The instance `{}` has the NIC, and is about to attach it.", instance.key.name),
        (None, Some(instances)) => format!("The NIC is reserved, and {instances} is to have it."),
        (None, None) => "The NIC is reserved; no instance names it.".to_owned(),
    };
    notes.push((Reason::NotInEffect, idle));
    notes
}

/// The IPv4 addresses that a NIC reserves, in the order in which it asks for them; else what stands in the way. What
/// it was once given it keeps, as long as it is in the block.
fn reserve(
    spec: &NicSpec,
    before: &NicStatus,
    block: Ipv4Net,
    peers: &[Resource],
    nat: &[Ipv4Addr],
) -> Result<Vec<Ipv4Addr>, String> {
    let asked: Vec<Ipv4Addr> = parse(&spec.addresses).collect();
    let fixed: BTreeSet<Ipv4Addr> = asked.iter().copied().filter(|address| !address.is_unspecified()).collect();
    let is_new = |address: &&Ipv4Addr| !parse(&before.addresses).any(|held| held == **address);
    if let Some(address) = nat.iter().filter(|address| fixed.contains(address)).find(is_new) {
        return Err(format!("A NAT server of the internet gateway has the address {address}; choose another."));
    }
    let mut taken = fixed.clone();
    taken.extend(nat.iter().filter(is_new));
    for peer in peers {
        let held = peer.status::<NicStatus>().map(|status| status.addresses).unwrap_or_default();
        if let Some(address) = parse(&held).find(|address| fixed.contains(address)) {
            return Err(format!(
                "The NIC `{}` has the address {address}; delete it, or choose another.",
                peer.key.name
            ));
        }
        let wished = peer.spec::<NicSpec>().map(|spec| spec.addresses).unwrap_or_default();
        taken.extend(parse(&held).chain(parse(&wished)));
    }
    // Hetzner Cloud itself has the first address of a network.
    taken.extend(block.hosts().next());
    taken.insert(PUBLIC_ROUTER);
    let given: Vec<Ipv4Addr> = parse(&before.addresses).filter(|address| block.contains(address)).collect();
    let mut free = given.into_iter().chain(block.hosts());
    asked
        .into_iter()
        .map(|address| {
            if !address.is_unspecified() {
                return Ok(address);
            }
            let found = free.find(|candidate| taken.insert(*candidate));
            found.ok_or_else(|| format!("No address is left in {block}; delete a NIC, or use another subnet."))
        })
        .collect()
}

/// The addresses of a subnet that NAT servers have, or are to have.
fn nat_addresses(subnet: Option<&Resource>) -> Vec<Ipv4Addr> {
    subnet.map(SubnetFacts::of).unwrap_or_default().nat_addresses
}

fn parse(addresses: &[String]) -> impl Iterator<Item = Ipv4Addr> {
    addresses.iter().filter_map(|address| address.parse().ok())
}
