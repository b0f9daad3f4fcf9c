//! Route tables: where packets that leave a subnet go.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;
use seca_api::{Kind, ResourceKey, Target, violation::Violation};
use serde_json::Value;

use super::{Found, Judgement, KindRules, Peers, ReferenceField, Relatives, spelled};

/// What differs about route tables.
pub const RULES: KindRules = KindRules {
    references: REFERENCES,
    relatives: |_| vec![Relatives::Siblings],
    // They share the network's one set of routes.
    peers: Peers::Siblings,
    judge,
    ..KindRules::new(Kind::RouteTable)
};

const REFERENCES: &[ReferenceField] =
    &[ReferenceField::new("/spec/routes/*/targetRef", &[Kind::InternetGateway, Kind::Instance, Kind::Nic])
        .or_address()
        .late(&[Kind::Instance, Kind::Nic])];

/// Where a route leads, to see whether two agree.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    table: String,
    index: usize,
    destination: IpNet,
    target: Hop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hop {
    Resource(ResourceKey),
    Address(Option<IpAddr>),
}

fn judge(judgement: &Judgement<'_>) -> Vec<Violation> {
    let mut found: Vec<_> = judgement.references.iter().filter_map(block_as_target).collect();
    // A network has one set of routes at the provider: the union of its tables must not contradict itself.
    let mut known: HashMap<IpNet, Route> = HashMap::new();
    for sibling in judgement.relatives {
        let spec = serde_json::from_str(&sibling.spec).unwrap_or_default();
        for route in routes(&sibling.key, &spec) {
            known.entry(route.destination).or_insert(route);
        }
    }
    for route in routes(judgement.subject.key, judgement.subject.spec) {
        match known.get(&route.destination) {
            Some(other) if other.target != route.target => found.push(contradiction(&route, other)),
            Some(_) => {}
            None => {
                known.insert(route.destination, route);
            }
        }
    }
    found
}

fn block_as_target(resolved: &super::Resolved) -> Option<Violation> {
    let Found::Address(text) = &resolved.found else { return None };
    text.contains('/').then(|| {
        let rule = format!(
            "targetRef must name a gateway, an instance, a NIC or an address, but `{text}` is a block; name one address"
        );
        Violation::at(&resolved.pointer, rule)
    })
}

fn contradiction(route: &Route, other: &Route) -> Violation {
    let place = if route.table == other.table {
        format!("route {} of this table", other.index)
    } else {
        format!("route table {}, which shares the network's one set of routes,", other.table)
    };
    let rule = format!(
        "{place} already sends {} to another target; use the same target in both, or remove one of the two",
        route.destination
    );
    Violation::at(format!("/spec/routes/{}/targetRef", route.index), rule)
}

/// The routes of a table that can be understood.
fn routes(key: &ResourceKey, spec: &Value) -> Vec<Route> {
    let mut found = Vec::new();
    for reference in spelled(REFERENCES, key, spec) {
        let Some(index) = reference.pointer.split('/').nth(3).and_then(|index| index.parse::<usize>().ok()) else {
            continue;
        };
        let destination = spec
            .pointer(&format!("/routes/{index}/destinationCidrBlock"))
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<IpNet>().ok());
        let target = match reference.target {
            Ok(Target::Resource(key)) => Hop::Resource(key),
            Ok(Target::Address(text)) => Hop::Address(text.parse().ok()),
            Ok(Target::Unset) | Err(_) => continue,
        };
        let Some(destination) = destination else { continue };
        found.push(Route { table: key.name.clone(), index, destination: destination.trunc(), target });
    }
    found
}
