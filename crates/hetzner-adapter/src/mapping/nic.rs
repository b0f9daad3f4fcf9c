//! A NIC is a reservation of addresses in its subnet: at Hetzner Cloud an interface exists only with its server, and
//! this release attaches none. The reservations of a subnet are its address plan; of two NICs that want the same
//! address the later one waits.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use control_plane::{
    Reason, Resource,
    ports::{Plan, Planned},
};
use ipnet::Ipv4Net;
use seca_api::{Kind, NicSpec, NicStatus, ResourceState, SubnetSpec};
use serde_json::json;

use super::{
    Checked, Context, Mapping, PUBLIC_ROUTER, PlannedExt, map, missing_targets, noted, referrers, settled, wait,
};

/// The field that names the subnet.
const SUBNET: &str = "/spec/subnetRef";
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
}

fn alive(context: &Context<'_>) -> Checked<Planned> {
    let spec: NicSpec = context.spec()?;
    let before: NicStatus = context.resource().status().unwrap_or_default();
    let subnet = context.bundle().target(SUBNET).and_then(|target| target.resource.as_ref());
    let block = match subnet.filter(|subnet| !subnet.is_deleting()) {
        // What is missing is named below.
        None => None,
        Some(subnet) if !is_ready(subnet) && is_new(context.resource()) => {
            let message = format!("The subnet `{}` is not ready.", subnet.key.name);
            return Ok(wait(Reason::WaitingForDependency, message));
        }
        Some(subnet) => {
            subnet.spec::<SubnetSpec>().ok().and_then(|spec| spec.cidr.ipv4_net()).map(|block| block.trunc())
        }
    };
    let addresses = match block {
        None => before.addresses.clone(),
        Some(block) => match reserve(&spec, &before, block, &context.bundle().peers) {
            Ok(addresses) => addresses.iter().map(Ipv4Addr::to_string).collect(),
            Err(why) => return Ok(Planned::new(Plan::Wait { retry: Some(AGAIN) }).note(Reason::AddressConflict, why)),
        },
    };
    let mut status = map(&[]);
    if !addresses.is_empty() {
        status.insert("addresses".to_owned(), json!(addresses));
    }
    if let Some(mac) = before.mac_address {
        status.insert("macAddress".to_owned(), json!(mac));
    }
    Ok(noted(settled().status(status), notes(context, &spec)))
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
        let text = "Hetzner networks carry no IPv6, so the IPv6 addresses are kept as intent and reserve nothing.";
        notes.push((Reason::IPv6Unsupported, text.to_owned()));
    }
    let idle = match referrers(context, &[Kind::Instance]) {
        None => "No instance uses it; its addresses are reserved.".to_owned(),
        Some(instances) => format!(
            "It is named by {instances}, but carries nothing yet: attaching NICs comes with a later release. Its \
             addresses are reserved."
        ),
    };
    notes.push((Reason::NotInEffect, idle));
    notes
}

/// The IPv4 addresses that a NIC reserves, in the order in which it asks for them; else what stands in the way. What
/// it was once given it keeps, as long as it is in the block.
fn reserve(spec: &NicSpec, before: &NicStatus, block: Ipv4Net, peers: &[Resource]) -> Result<Vec<Ipv4Addr>, String> {
    let asked: Vec<Ipv4Addr> = parse(&spec.addresses).collect();
    let fixed: BTreeSet<Ipv4Addr> = asked.iter().copied().filter(|address| !address.is_unspecified()).collect();
    let mut taken = fixed.clone();
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

fn parse(addresses: &[String]) -> impl Iterator<Item = Ipv4Addr> {
    addresses.iter().filter_map(|address| address.parse().ok())
}
