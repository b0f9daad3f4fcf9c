//! A network is a Hetzner network of its IPv4 block. It holds no data: a vanished one is made again, and one whose
//! block cannot be extended to the new one is replaced while it is empty. It says what its route tables come to, and where
//! the NAT servers of a gateway are to stand: see [`super::gateway`].

use control_plane::{Reason, facts::NetworkFacts, ports::Planned};
use hcloud_client::types::{self as hcloud, CreateNetwork};
use ipnet::Ipv4Net;
use seca_api::{Kind, NetworkSpec};
use serde_json::{Value, json};

use super::{Checked, Context, Mapping, Owned, PlannedExt, act, gateway, map, settled, wait};
use crate::objects::{NetworkCall, ObjectType, has_subnet};

/// See the module.
pub(super) struct NetworkMapping;

impl Mapping for NetworkMapping {
    fn kind(&self) -> Kind {
        Kind::Network
    }

    fn alive(&self, context: &Context<'_>) -> Checked<Planned> {
        alive(context, context.snapshot.network_of(context.installation(), context.resource()))
    }

    fn delete(&self, context: &Context<'_>) -> Planned {
        delete(context, context.snapshot.network_of(context.installation(), context.resource()))
    }

    fn objects(&self) -> &'static [Owned] {
        &[Owned { kind: ObjectType::Network, made: true }]
    }
}

fn delete(context: &Context<'_>, network: Option<&hcloud::Network>) -> Planned {
    let children = context.bundle().child_count;
    match network {
        _ if children > 0 => wait(
            Reason::WaitingForChildren,
            format!("{children} subnets or route tables of the network are still being deleted."),
        ),
        Some(network) => act(NetworkCall::Delete { network: network.id }.step(&network.name)),
        None => settled(),
    }
}

fn alive(context: &Context<'_>, network: Option<&hcloud::Network>) -> Checked<Planned> {
    let spec: NetworkSpec = context.spec()?;
    let Some(asked) = spec.cidr.ipv4_net() else {
        return Ok(settled()
            .status(status(&spec, None))
            .note(Reason::IPv6Unsupported, "Hetzner Cloud has no IPv6 networks, so nothing stands behind this one."));
    };
    let asked = asked.trunc();
    let Some(network) = network else {
        context.prove_lost(ObjectType::Network)?;
        return Ok(create(context, asked));
    };
    if network.ip_range != asked {
        return Ok(change(context, network, &spec, asked));
    }
    let judgement = gateway::judge(context, network);
    if let Some(planned) = gateway::keep(context, network, judgement.as_ref()) {
        return Ok(published(planned, context, judgement.as_ref()));
    }
    let planned = published(seen(context, network), context, judgement.as_ref());
    Ok(with_intent(planned.status(status(&spec, None)), &spec))
}

/// A plan that publishes what the route tables come to.
fn published(planned: Planned, context: &Context<'_>, judgement: Option<&gateway::Judgement>) -> Planned {
    planned.remember(context.resource(), |facts: &mut NetworkFacts| {
        // It is a structure of texts, numbers and lists.
        facts.gateway = judgement.map(|judgement| json!(judgement));
    })
}

/// What is remembered of a network that is there.
fn seen(context: &Context<'_>, network: &hcloud::Network) -> Planned {
    settled().remember(context.resource(), |facts: &mut NetworkFacts| {
        facts.network_id = Some(network.id.to_string());
        facts.range = Some(network.ip_range);
        facts.gateway_ranges.retain(|range| has_subnet(network, *range));
    })
}

fn create(context: &Context<'_>, ip_range: Ipv4Net) -> Planned {
    let body = CreateNetwork {
        name: context.object_name(),
        ip_range,
        labels: context.labels("create_network"),
        subnets: Vec::new(),
        routes: Vec::new(),
        expose_routes_to_vswitch: None,
    };
    act(NetworkCall::Create(Box::new(body)).step(context.object_name()))
}

/// The block was changed: extended where the provider can, replaced while nothing is in it.
fn change(context: &Context<'_>, network: &hcloud::Network, spec: &NetworkSpec, wanted: Ipv4Net) -> Planned {
    let real = network.ip_range;
    if wanted.addr() == real.addr() && wanted.prefix_len() < real.prefix_len() {
        return act(NetworkCall::ChangeIpRange { network: network.id, ip_range: wanted }.step(&network.name));
    }
    let is_empty = network.subnets.is_empty() && network.servers.is_empty() && network.load_balancers.is_empty();
    if is_empty && context.is_converging() {
        return act(NetworkCall::Delete { network: network.id }.step(&network.name));
    }
    seen(context, network).status(status(spec, Some(real))).note(
        Reason::AppliesOnRecreate,
        format!("The network keeps the block {real}: it can be replaced by {wanted} only while it is empty."),
    )
}

/// What Hetzner Cloud has no place for is kept and named.
fn with_intent(planned: Planned, spec: &NetworkSpec) -> Planned {
    let (reason, kept) = match (spec.cidr.ipv6.is_some(), spec.additional_cidrs.is_empty()) {
        (false, true) => return planned,
        (true, true) => (Reason::IPv6Unsupported, "the IPv6 block is kept as intent and carries"),
        (true, false) => (Reason::PartlySupported, "the IPv6 and the additional blocks are kept as intent and carry"),
        (false, false) => (Reason::PartlySupported, "the additional blocks are kept as intent and carry"),
    };
    planned.note(reason, format!("A Hetzner network has one IPv4 block; {kept} nothing."))
}

/// Repeats the specification, with the real block where that is another one.
fn status(spec: &NetworkSpec, real: Option<Ipv4Net>) -> serde_json::Map<String, Value> {
    let mut cidr = json!(spec.cidr);
    if let Some(real) = real {
        cidr["ipv4"] = Value::String(real.to_string());
    }
    let mut members = map(&[("cidr", cidr)]);
    if !spec.additional_cidrs.is_empty() {
        members.insert("additionalCidrs".to_owned(), json!(spec.additional_cidrs));
    }
    members
}
