//! A public IP is a Hetzner primary IP of its own, which outlives the server that has it. Hetzner gives the address:
//! one that a client asks for is not honoured, and the status shows the real one.

use control_plane::{Reason, ports::Planned};
use hcloud_client::types::{CreatePrimaryIp, IpType, PrimaryIp};
use ipnet::Ipv6Net;
use seca_api::{IpVersion, Kind, PublicIpSpec};
use serde_json::{Value, json};

use super::{Checked, Context, Mapping, Owned, PlannedExt, act, facts, fail, map, mark, noted, referrers, settled};
use crate::{
    call::{StepExt, Until},
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
        &[Owned { kind: ObjectType::PrimaryIp, id: facts::PRIMARY_IP_ID, made: true }]
    }
}

/// Hetzner refuses to delete what is assigned, and nothing here assigns it.
fn remove(context: &Context<'_>, ip: &PrimaryIp) -> Planned {
    if let Some(server) = ip.assignee_id {
        let text =
            format!("The address {} is assigned to the server {server} at Hetzner Cloud; unassign it there.", ip.ip);
        return context.await_person(ObjectId::PrimaryIp(ip.id), Until::Free, Reason::WaitingForDependency, text);
    }
    let forget = mark(context.resource(), &[(facts::ADDRESS, Value::Null), (facts::LOST_ADDRESS, Value::Null)]);
    act(PrimaryIpCall::Delete { primary_ip: ip.id }.step(&ip.name).mark(forget))
}

fn alive(context: &Context<'_>, ip: Option<&PrimaryIp>) -> Checked<Planned> {
    let spec: PublicIpSpec = context.spec()?;
    let wanted = match spec.version {
        IpVersion::IPv4 => IpType::Ipv4,
        IpVersion::IPv6 => IpType::Ipv6,
    };
    match ip {
        None => {
            context.prove_lost(ObjectType::PrimaryIp, facts::PRIMARY_IP_ID)?;
            Ok(create(context, wanted))
        }
        // Another family is another address.
        Some(ip) if ip.kind != wanted => Ok(remove(context, ip)),
        Some(ip) => Ok(keep(context, &spec, ip)),
    }
}

fn create(context: &Context<'_>, kind: IpType) -> Planned {
    let Some(location) = context.region_fact("location") else {
        return fail(Reason::Unsupported, format!("The region `{}` has no location.", context.region()));
    };
    let name = context.object_name();
    let body = CreatePrimaryIp {
        name: name.clone(),
        kind,
        location: Some(location.to_owned()),
        assignee_type: None,
        assignee_id: None,
        auto_delete: Some(false),
        labels: context.labels("create_primary_ip"),
    };
    act(PrimaryIpCall::Create(Box::new(body)).step(name))
}

fn keep(context: &Context<'_>, spec: &PublicIpSpec, ip: &PrimaryIp) -> Planned {
    let row = context.resource();
    let address = address(ip);
    let before = row.fact(facts::ADDRESS).filter(|before| *before != address);
    let lost = before.or_else(|| row.fact(facts::LOST_ADDRESS));
    let mut notes = Vec::new();
    if let Some(asked) = spec.address.as_deref().filter(|asked| !asked.is_empty() && *asked != address) {
        let text =
            format!("Hetzner Cloud gives addresses itself: it is {address}, not the {asked} that was asked for.");
        notes.push((Reason::AddressNotHonoured, text));
    }
    if let Some(lost) = lost {
        let text = format!("{lost}, which it had before, was deleted at Hetzner Cloud; it has {address} instead.");
        notes.push((Reason::AddressNotHonoured, text));
    }
    let idle = match referrers(context, &[Kind::Nic]) {
        None => "Nothing uses the address.".to_owned(),
        Some(nics) => format!(
            "The address is named by {nics}, but leads nowhere yet: attaching public IPs to instances comes with a later \
             release."
        ),
    };
    notes.push((Reason::NotInEffect, idle));
    let planned = settled()
        .fact(facts::PRIMARY_IP_ID, ip.id.to_string())
        .fact(facts::LOST_ADDRESS, lost.map_or(Value::Null, Value::from))
        .fact(facts::ADDRESS, address.clone())
        .status(map(&[("ipAddress", json!(address))]));
    noted(planned, notes)
}

/// The address that a server would have: of an IPv6 block, which Hetzner gives as a whole, the first host.
fn address(ip: &PrimaryIp) -> String {
    match ip.ip.parse::<Ipv6Net>() {
        Ok(block) => block.hosts().nth(1).map_or_else(|| ip.ip.clone(), |host| host.to_string()),
        Err(_) => ip.ip.clone(),
    }
}
