//! Whether an instance's server has exactly what the instance names. Pure.

use std::collections::BTreeSet;

use seca_client::seca_api::{Kind, ResourceState};
use serde_json::Value;

use crate::{
    cloud::Object,
    judge::{Scene, name_of, text},
    rows::Row,
};

/// With one of these reasons, the heaviest of all that is said, an instance has all that it names.
pub(crate) const IS_WHOLE: [&str; 7] = [
    "",
    "AppliesOnRecreate",
    "AppliesOnStart",
    "BootImageDefaulted",
    "ClosedWithoutGroup",
    "PlaceholderInterface",
    "Unfiltered",
];
/// With one of these a NIC is to be attached where its instance is.
const IS_SETTLED: [&str; 3] = ["", "NotEnforcedOnPrivateNic", "NotInEffect"];

fn ids(value: &Value) -> BTreeSet<i64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_i64).collect()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The active row that an instance, or what is in its workspace, names.
fn named<'a>(scene: &'a Scene<'_>, row: &Row, kind: Kind, reference: &Value) -> Option<&'a Row> {
    let name = name_of(reference);
    let is = |other: &&Row| other.key.workspace == row.key.workspace && other.key.name == name;
    scene.rows_of(kind).find(is).filter(|found| found.is(ResourceState::Active))
}

/// What a server has that it should not, and the other way round.
pub(crate) fn of_instance(scene: &Scene<'_>, row: &Row, server: &Object) -> Vec<String> {
    let mut wrong = volumes(scene, row, server);
    let nics: Vec<&Row> = [&row.spec["primaryNicRef"]]
        .into_iter()
        .chain(items(&row.spec["additionalNicRefs"]))
        .filter(|reference| !name_of(reference).is_empty())
        .filter_map(|reference| named(scene, row, Kind::Nic, reference))
        .filter(|nic| IS_SETTLED.contains(&nic.reason.as_str()))
        .collect();
    for nic in &nics {
        wrong.extend(interface(scene, nic, server));
        wrong.extend(addresses(scene, nic, server));
    }
    wrong.extend(firewalls(scene, row, &nics, server));
    wrong
}

fn volumes(scene: &Scene<'_>, row: &Row, server: &Object) -> Vec<String> {
    let has = ids(&server.json["volumes"]);
    let rows = items(&row.spec["dataVolumes"])
        .filter_map(|volume| named(scene, row, Kind::BlockStorage, &volume["deviceRef"]))
        .filter_map(|volume| Some((volume, scene.one("volumes", &volume.uid)?)));
    let wanted: Vec<(&Row, &Object)> = rows.collect();
    let missing = wanted.iter().filter(|(_, volume)| !has.contains(&volume.id));
    let mut wrong: Vec<String> =
        missing.map(|(row, volume)| format!("{server} has not {volume} of {}", row.key)).collect();
    let is_extra = |object: &&Object| {
        object.kind == "volumes"
            && object.project == server.project
            && has.contains(&object.id)
            && object.uid().is_some()
            && wanted.iter().all(|(_, volume)| volume.id != object.id)
    };
    wrong.extend(
        scene.objects.iter().filter(is_extra).map(|extra| format!("{server} has {extra}, which it does not name")),
    );
    wrong
}

fn interface(scene: &Scene<'_>, nic: &Row, server: &Object) -> Option<String> {
    let reference = text(&nic.spec["subnetRef"], "/resource");
    let network = reference.split('/').skip_while(|part| *part != "networks").nth(1)?;
    let is = |row: &&Row| row.key.workspace == nic.key.workspace && row.key.name == network;
    let network = scene.one("networks", &scene.rows_of(Kind::Network).find(is)?.uid)?;
    let address = nic.status["addresses"].get(0)?.as_str()?;
    let has = items(&server.json["private_net"]).any(|net| {
        net["network"] == network.id && (net["ip"] == address || items(&net["alias_ips"]).any(|alias| alias == address))
    });
    (!has).then(|| format!("{server} has not the address {address} of {}", nic.key))
}

fn addresses(scene: &Scene<'_>, nic: &Row, server: &Object) -> Vec<String> {
    let rows = items(&nic.spec["publicIpRefs"]).filter_map(|reference| named(scene, nic, Kind::PublicIp, reference));
    let ips = rows.filter_map(|row| scene.one("primary_ips", &row.uid).map(|ip| (row, ip)));
    let elsewhere = ips.filter(|(_, ip)| ip.json["assignee_id"] != server.id);
    elsewhere.map(|(row, ip)| format!("{ip} of {} does not lead to {server}", row.key)).collect()
}

/// The groups of a server with a public address of ours stand before it, and no others of ours.
fn firewalls(scene: &Scene<'_>, row: &Row, nics: &[&Row], server: &Object) -> Option<String> {
    let groups = [&row.spec["securityGroupRef"]]
        .into_iter()
        .chain(nics.iter().flat_map(|nic| items(&nic.spec["securityGroupRefs"])))
        .filter(|reference| !name_of(reference).is_empty());
    let groups: BTreeSet<&str> = groups
        .filter_map(|reference| named(scene, row, Kind::SecurityGroup, reference))
        .map(|row| row.uid.as_str())
        .collect();
    let is_public = scene.objects.iter().any(|object| {
        object.kind == "primary_ips"
            && object.json["assignee_id"] == server.id
            && object.uid().is_some()
            && object.role().is_none()
    });
    if groups.is_empty() || !is_public {
        return None;
    }
    let applied: BTreeSet<i64> =
        items(&server.json["public_net"]["firewalls"]).filter_map(|f| f["id"].as_i64()).collect();
    let before: BTreeSet<&str> = scene
        .objects
        .iter()
        .filter(|object| object.kind == "firewalls" && applied.contains(&object.id))
        .filter_map(Object::uid)
        .collect();
    (before != groups).then(|| format!("before {server} stand the firewalls of {before:?} instead of {groups:?}"))
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
