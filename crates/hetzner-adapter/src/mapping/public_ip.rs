//! A public IP is a Hetzner primary IP of its own, which outlives the server that has it. Hetzner gives the address:
//! one that a client asks for is not honoured, and the status shows the real one.

use control_plane::{
    Reason, Resource,
    facts::{Facts, NicFacts, PublicIpFacts},
    ports::{Plan, Planned, Tie},
};
use hcloud_client::types::{CreatePrimaryIp, Id, IpType, PrimaryIp, Server, ServerStatus};
use ipnet::Ipv6Net;
use seca_api::{IpVersion, Kind, PublicIpSpec, Reference};
use serde_json::json;

use super::{
    Checked, Context, Mapping, Owned, PlannedExt, act, map, noted, referrers, settled, wait,
    zone::{self, Place},
};
use crate::{
    call::{StepExt, Until},
    naming,
    objects::{ObjectId, ObjectType, PrimaryIpCall},
};

/// See the module.
pub(super) struct PublicIpMapping;

impl Mapping for PublicIpMapping {
    fn kind(&self) -> Kind {
        Kind::PublicIp
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context, context.snapshot.primary_ip_of(context.installation(), context.resource()))
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        let ip = context.snapshot.primary_ip_of(context.installation(), context.resource());
        ip.map_or_else(settled, |ip| remove(context, ip))
    }

    fn objects(&self) -> &'static [Owned] {
        &[Owned { kind: ObjectType::PrimaryIp, made: true }]
    }
}

/// Hetzner refuses to delete what is assigned. An instance of ours lets it go when it is off; what somebody assigned by
/// hand, a person unassigns.
fn remove(context: &Context<'_>, ip: &PrimaryIp) -> Planned {
    if let Some(server) = ip.assignee_id {
        let ours = context.snapshot.get(Id::<Server>::new(server));
        if let Some(server) = ours.filter(|server| naming::is_of(&server.labels, context.installation())) {
            let name = server.labels.get(naming::NAME).map_or(server.name.as_str(), String::as_str);
            let (reason, text) = match server.status {
                ServerStatus::Off => (Reason::WaitingForDependency, format!("The instance `{name}` still lets it go.")),
                _ => (
                    Reason::AppliesWhenOff,
                    format!(
                        "The instance `{name}` has the address {}, and a Hetzner server lets an address go only while it \
                         is off; stop the instance.",
                        ip.ip
                    ),
                ),
            };
            return wait(reason, text);
        }
        let text =
            format!("The address {} is assigned to the server {server} at Hetzner Cloud; unassign it there.", ip.ip);
        return context.await_person(ObjectId::PrimaryIp(ip.id), Until::Free, Reason::WaitingForDependency, text);
    }
    let forget = PublicIpFacts::mark(context.resource(), |facts| {
        facts.address = None;
        facts.lost_address = None;
        facts.location = None;
    });
    act(PrimaryIpCall::Delete { primary_ip: ip.id }.step(&ip.name).mark(forget))
}

fn alive(context: &Context<'_>, ip: Option<&PrimaryIp>) -> Checked<Planned> {
    let spec: PublicIpSpec = context.spec()?;
    // The claim of a NIC that names it no longer ends when it leads nowhere.
    let is_wanted = context.holder().is_some_and(|nic| nic.resource.as_ref().is_some_and(|nic| !nic.is_deleting()));
    if let Some(holder) =
        context.resource().holder.filter(|_| !is_wanted && ip.is_none_or(|ip| ip.assignee_id.is_none()))
    {
        return Ok(Planned::new(Plan::Tie(vec![Tie::Release(holder)])));
    }
    let wanted = match spec.version {
        IpVersion::IPv4 => IpType::Ipv4,
        IpVersion::IPv6 => IpType::Ipv6,
    };
    match ip {
        None => {
            context.prove_lost(ObjectType::PrimaryIp)?;
            Ok(create(context, wanted))
        }
        // Another family is another address.
        Some(ip) if ip.kind != wanted => Ok(remove(context, ip)),
        Some(ip) => Ok(keep(context, &spec, ip)),
    }
}

fn create(context: &Context<'_>, kind: IpType) -> Planned {
    let location = match Place::of(context, user_zone(context)).location(context) {
        Ok(location) => location,
        Err(planned) => return *planned,
    };
    let name = context.object_name();
    let body = CreatePrimaryIp {
        name: name.clone(),
        kind,
        location: Some(location),
        assignee_type: None,
        assignee_id: None,
        auto_delete: Some(false),
        labels: context.labels("create_primary_ip"),
    };
    let mark = PublicIpFacts::mark(context.resource(), |facts| facts.location.clone_from(&body.location));
    act(PrimaryIpCall::Create(Box::new(body)).step(name).mark(mark))
}

fn keep(context: &Context<'_>, spec: &PublicIpSpec, ip: &PrimaryIp) -> Planned {
    let row = context.resource();
    let address = address(ip);
    let facts = PublicIpFacts::of(row);
    let before = facts.address.filter(|before| *before != address);
    let lost = before.or(facts.lost_address);
    let mut notes = Vec::from_iter(zone::elsewhere(context, &ip.location.name, user_zone(context)));
    if let Some(asked) = spec.address.as_deref().filter(|asked| !asked.is_empty() && *asked != address) {
        let text =
            format!("Hetzner Cloud gives addresses itself: it is {address}, not the {asked} that was asked for.");
        notes.push((Reason::AddressNotHonoured, text));
    }
    if let Some(lost) = &lost {
        let text = format!("{lost}, which it had before, was deleted at Hetzner Cloud; it has {address} instead.");
        notes.push((Reason::AddressNotHonoured, text));
    }
    let mut status = map(&[("ipAddress", json!(address))]);
    let user = user(context, ip);
    match user {
        Some(nic) => drop(status.insert("attachedTo".to_owned(), json!(Reference::to(&nic.key)))),
        None => notes.push((Reason::NotInEffect, idle(context))),
    }
    let planned = settled().status(status).remember(row, |facts: &mut PublicIpFacts| {
        facts.primary_ip_id = Some(ip.id.to_string());
        facts.lost_address = lost;
        facts.address = Some(address);
        facts.location = Some(ip.location.name.clone());
    });
    noted(planned, notes)
}

/// The zone of the instance that has the NIC that has it.
fn user_zone(context: &Context<'_>) -> Option<String> {
    NicFacts::of(context.holder()?.resource.as_ref()?).zone
}

/// The NIC that has it, once it leads to the server that the NIC is attached to.
fn user<'a>(context: &Context<'a>, ip: &PrimaryIp) -> Option<&'a Resource> {
    let nic = context.holder()?.resource.as_ref()?;
    leads(context, nic, ip).then_some(nic)
}

/// Whether a primary IP leads to the server that a NIC is attached to.
pub(super) fn leads(context: &Context<'_>, nic: &Resource, ip: &PrimaryIp) -> bool {
    let server = nic.holder.and_then(|instance| context.snapshot.server_labelled(context.installation(), instance));
    server.is_some_and(|server| ip.assignee_id == Some(server.id.get()))
}

/// Why it leads nowhere.
fn idle(context: &Context<'_>) -> String {
    match (context.holder(), referrers(context, &[Kind::Nic])) {
        (_, None) => "Nothing uses the address.".to_owned(),
        (Some(nic), Some(_)) => {
            let name = &nic.key.name;
            format!(
                "The address is the NIC `{name}`'s, and leads nowhere until an instance has that and was off since."
            )
        }
        (None, Some(nics)) => format!("The address is named by {nics}, and leads nowhere yet."),
    }
}

/// The address that a server would have: of an IPv6 block, which Hetzner gives as a whole, the first host.
fn address(ip: &PrimaryIp) -> String {
    match ip.ip.parse::<Ipv6Net>() {
        Ok(block) => block.hosts().nth(1).map_or_else(|| ip.ip.clone(), |host| host.to_string()),
        Err(_) => ip.ip.clone(),
    }
}
