//! What is wrong when all is quiet. Pure: rows, objects and what is known of both go in, violations come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use seca_client::seca_api::{Kind, ResourceState};
use serde_json::Value;

use crate::{
    cloud::Object,
    ledger::Life,
    model::{Key, Wanted},
    rows::{OpenStep, Row},
    shape,
};

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    /// The rule's word: `stuck`, `untrue`, `lost`, `doubled`, `left`, `error`, `foreign`, `marker`.
    pub(crate) rule: &'static str,
    pub(crate) text: String,
    pub(crate) uid: Option<String>,
    pub(crate) objects: Vec<i64>,
}

/// An image for one of these reasons need be no snapshot. The last one hides what it is.
const LOGICAL: [&str; 4] = ["EmptySource", "UnwrittenSource", "DependencyMissing", "CredentialMissing"];

/// All that is looked at.
pub(crate) struct Scene<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) objects: &'a [Object],
    pub(crate) open: &'a [OpenStep],
    pub(crate) wanted: &'a BTreeMap<Key, Wanted>,
    pub(crate) lives: &'a BTreeMap<String, Life>,
    /// Resources whose objects a person destroyed.
    pub(crate) destroyed: &'a BTreeSet<String>,
    /// Project, path and name of what persons made and left.
    pub(crate) foreign: &'a [(String, String, String)],
    /// The projects that are bound, by the provider's name, and the id that the marker of each had.
    pub(crate) bound: &'a [(String, String)],
}

/// Every violation.
pub(crate) fn judge(scene: &Scene<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for row in scene.rows {
        found.extend(scene.settled(row));
        if row.is(ResourceState::Active) {
            found.extend(
                scene.untrue(row).into_iter().map(|why| violation("untrue", format!("{}: {why}", row.words()), row)),
            );
        }
    }
    found.extend(scene.open.iter().map(|step| Violation {
        rule: "stuck",
        text: step.words.clone(),
        uid: Some(step.uid.clone()),
        objects: Vec::new(),
    }));
    found.extend(scene.lost());
    found.extend(doubled(scene.objects));
    found.extend(scene.left());
    found.extend(scene.foreign());
    found.extend(scene.markers());
    found
}

fn violation(rule: &'static str, text: String, row: &Row) -> Violation {
    Violation { rule, text, uid: Some(row.uid.clone()), objects: Vec::new() }
}

pub(crate) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The last part of a reference: a name.
pub(crate) fn name_of(value: &Value) -> &str {
    let reference = value.as_str().unwrap_or_else(|| text(value, "/resource"));
    reference.rsplit('/').next().unwrap_or_default()
}

/// Every name that a specification refers to.
pub(crate) fn names_in(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (member, inner) in members {
                let is_text = (member.ends_with("Ref") || member.ends_with("Refs")) && inner.is_string();
                if member == "resource" || is_text {
                    found.insert(name_of(inner).to_owned());
                }
                names_in(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, found)),
        _ => {}
    }
}

impl Scene<'_> {
    pub(crate) fn of<'a>(&'a self, kind: &'a str, uid: &'a str) -> impl Iterator<Item = &'a Object> {
        let is = move |object: &&Object| object.kind == kind && object.uid() == Some(uid) && object.role().is_none();
        self.objects.iter().filter(is)
    }

    pub(crate) fn one<'a>(&'a self, kind: &'a str, uid: &'a str) -> Option<&'a Object> {
        self.of(kind, uid).next()
    }

    pub(crate) fn rows_of(&self, kind: Kind) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.key.kind == kind)
    }

    /// In a state that lasts: active, an error that has a cause outside of the product, or a wait for a person.
    fn settled(&self, row: &Row) -> Option<Violation> {
        let words = row.words();
        if row.is_in_transition() {
            return (!self.waits_for_a_person(row, 0)).then(|| violation("stuck", words, row));
        }
        (row.is(ResourceState::Error) && !self.has_an_excuse(row)).then(|| violation("error", words, row))
    }

    /// Waits that no product can end: the same disk, block or name is wanted twice, or what is named is not there.
    fn waits_for_a_person(&self, row: &Row, depth: u8) -> bool {
        match row.reason.as_str() {
            "BootVolumeHeld" | "BootVolumeInUse" | "AddressConflict" | "DependencyMissing" => true,
            // An address, or what filters it, goes when somebody stops the instance that has it.
            "AppliesWhenOff" => row.is(ResourceState::Deleting),
            // The release before accepts what this one would refuse.
            "ProviderRefused" => row.message.contains("create the instance with a larger SKU"),
            "WaitingForDependency" | "WaitingForChildren" if depth < 4 => {
                let mut names = BTreeSet::new();
                names_in(&row.spec, &mut names);
                names.insert(row.key.network.clone());
                let concerns = |other: &&Row| {
                    other.uid != row.uid
                        && (names.contains(&other.key.name) && self.is_near(row, other)
                            || other.key.network == row.key.name)
                };
                self.rows.iter().filter(concerns).any(|other| {
                    other.is(ResourceState::Error) && self.has_an_excuse(other)
                        // A person attached its volume, so that nothing boots from it any more.
                        || other.is(ResourceState::Active) && other.reason == "Unsupported"
                        || other.is_in_transition() && self.waits_for_a_person(other, depth + 1)
                })
            }
            _ => false,
        }
    }

    fn is_near(&self, row: &Row, other: &Row) -> bool {
        row.key.workspace == other.key.workspace || row.key.workspace.is_empty() || other.key.workspace.is_empty()
    }

    fn has_an_excuse(&self, row: &Row) -> bool {
        match row.reason.as_str() {
            "BackingLost" => self.was_destroyed(row),
            // An instance that was sent with another boot volume than its server has.
            "Unsupported" | "ProviderRefused" => true,
            _ => false,
        }
    }

    /// Whether a person destroyed what backed a row: its own object, that of an instance that booted from it, or that
    /// of what it was made from.
    fn was_destroyed(&self, row: &Row) -> bool {
        let Some(own) = self.lives.get(&row.uid) else { return self.destroyed.contains(&row.uid) };
        let mut near: BTreeMap<&str, &Life> = BTreeMap::from([(row.uid.as_str(), own)]);
        for _ in 0..2 {
            let joined = |life: &Life| near.values().any(|other| is_together(life, other) && is_kin(life, other));
            let more: Vec<(&str, &Life)> =
                self.lives.iter().filter(|(_, life)| joined(life)).map(|(uid, life)| (uid.as_str(), life)).collect();
            near.extend(more);
        }
        near.keys().any(|uid| self.destroyed.contains(*uid))
    }

    // -- truth --------------------------------------------------------------------------------------------------

    /// What an active row says that is not so.
    fn untrue(&self, row: &Row) -> Vec<String> {
        match row.key.kind {
            Kind::BlockStorage => self.storage(row),
            Kind::Instance => self.instance(row),
            Kind::Image => self.image(row),
            Kind::Network => self.network(row),
            Kind::Subnet => self.subnet(row),
            Kind::RouteTable => self.routes(row),
            Kind::PublicIp => self.address(row),
            Kind::Nic => self.nic(row),
            _ => Vec::new(),
        }
    }

    fn storage(&self, row: &Row) -> Vec<String> {
        let size = row.status["sizeGB"].as_i64().unwrap_or_default();
        if let Some(volume) = self.one("volumes", &row.uid) {
            let real = volume.json["size"].as_i64().unwrap_or_default();
            return if real == size { Vec::new() } else { vec![format!("it says {size} GB, but {volume} has {real}")] };
        }
        if self.one("servers", &row.uid).is_some() {
            return Vec::new();
        }
        let boots = |instance: &&Row| {
            instance.key.workspace == row.key.workspace
                && name_of(&instance.spec["bootVolume"]["deviceRef"]) == row.key.name
        };
        let is_blank = row.spec["sourceImageRef"].is_null() && !self.rows_of(Kind::Instance).any(|i| boots(&i));
        if row.reason == "BootVolumeParked" {
            let has = self.snapshot_of(row).is_some();
            return if has { Vec::new() } else { vec!["its disk is a snapshot, but there is none".to_owned()] };
        }
        if row.reason == "BootVolumeHeld" {
            return vec!["it keeps the disk of an instance, but no server bears its uid".to_owned()];
        }
        if is_blank { vec!["it is blank, but there is no volume".to_owned()] } else { Vec::new() }
    }

    fn instance(&self, row: &Row) -> Vec<String> {
        let Some(server) = self.one("servers", &row.uid) else { return vec!["there is no server".to_owned()] };
        let mut wrong = Vec::new();
        let (told, real) = (text(&row.status, "/powerState"), text(&server.json, "/status"));
        if (told == "on") != (real == "running") {
            wrong.push(format!("it says {told}, but {server} is {real}"));
        }
        let (sku, kind) = (name_of(&row.spec["skuRef"]), text(&server.json, "/server_type/name"));
        if sku != kind && row.reason != "AppliesOnStart" && !row.message.contains("the next start makes it") {
            wrong.push(format!("it is a {sku}, but {server} is a {kind}"));
        }
        if shape::IS_WHOLE.contains(&row.reason.as_str()) {
            wrong.extend(shape::of_instance(self, row, server));
        }
        wrong
    }

    /// The snapshot that the database remembers: its own, or one that it shares.
    fn snapshot_of(&self, row: &Row) -> Option<&Object> {
        let id: i64 = text(&row.facts, "/imageId").parse().ok()?;
        self.objects.iter().find(|object| object.kind == "images" && object.id == id)
    }

    fn image(&self, row: &Row) -> Vec<String> {
        match self.one("images", &row.uid).or_else(|| self.snapshot_of(row)) {
            Some(image) if image.json["status"] != "available" => vec![format!("{image} is {}", image.json["status"])],
            Some(_) => Vec::new(),
            // What was never written to is no snapshot, and what names nothing is not one yet.
            None if LOGICAL.contains(&row.reason.as_str()) => Vec::new(),
            None => vec!["there is no snapshot".to_owned()],
        }
    }

    fn network_of(&self, row: &Row) -> Option<&Object> {
        let is = |other: &&Row| other.key.workspace == row.key.workspace && other.key.name == row.key.network;
        self.rows_of(Kind::Network).find(is).and_then(|network| self.one("networks", &network.uid))
    }

    fn network(&self, row: &Row) -> Vec<String> {
        let Some(network) = self.one("networks", &row.uid) else { return vec!["there is no network".to_owned()] };
        let (told, real) = (text(&row.status, "/cidr/ipv4"), text(&network.json, "/ip_range"));
        if told == real { Vec::new() } else { vec![format!("it says {told}, but {network} has {real}")] }
    }

    fn subnet(&self, row: &Row) -> Vec<String> {
        let Some(network) = self.network_of(row) else { return vec!["its network is not there".to_owned()] };
        let told = text(&row.status, "/cidr/ipv4");
        let has = network.json["subnets"].as_array().into_iter().flatten().any(|subnet| subnet["ip_range"] == told);
        if has { Vec::new() } else { vec![format!("{network} has no subnet {told}")] }
    }

    fn routes(&self, row: &Row) -> Vec<String> {
        let Some(network) = self.network_of(row) else { return vec!["its network is not there".to_owned()] };
        let routes = row.spec["routes"].as_array().into_iter().flatten();
        let states = row.status["routes"].as_array().into_iter().flatten();
        let made = routes.zip(states).filter(|(_, status)| status["state"] == "active").map(|(route, _)| route);
        made.filter_map(|route| {
            let (destination, gateway) = (&route["destinationCidrBlock"], text(&route["targetRef"], "/resource"));
            let is = |real: &Value| real["destination"] == *destination && real["gateway"] == gateway;
            let has = network.json["routes"].as_array().into_iter().flatten().any(is);
            (!has).then(|| format!("{network} has no route {destination} to {gateway}"))
        })
        .collect()
    }

    fn address(&self, row: &Row) -> Vec<String> {
        let Some(ip) = self.one("primary_ips", &row.uid) else { return vec!["there is no primary IP".to_owned()] };
        let (told, real) = (text(&row.status, "/ipAddress"), text(&ip.json, "/ip"));
        let is_in = |block: &str| {
            let (block, told) = (block.parse::<IpNet>(), told.parse::<IpAddr>());
            matches!((block, told), (Ok(block), Ok(told)) if block.contains(&told))
        };
        if told == real || is_in(real) { Vec::new() } else { vec![format!("it says {told}, but {ip} is {real}")] }
    }

    /// Two NICs of a subnet have no address in common.
    fn nic(&self, row: &Row) -> Vec<String> {
        let addresses = |row: &Row| -> BTreeSet<String> {
            let list = row.status["addresses"].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let own = addresses(row);
        let is_peer = |other: &&Row| {
            other.uid > row.uid
                && other.key.workspace == row.key.workspace
                && other.spec["subnetRef"] == row.spec["subnetRef"]
                && other.is(ResourceState::Active)
        };
        let shared = self.rows_of(Kind::Nic).filter(is_peer).filter(|other| !own.is_disjoint(&addresses(other)));
        shared.map(|other| format!("{} has an address of it", other.key)).collect()
    }

    // -- what must be there, and what must not -------------------------------------------------------------------

    /// What users were promised: rows that are there with their last specification, and none that they deleted.
    fn lost(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (key, wanted) in self.wanted {
            let row = self.rows.iter().find(|row| row.key == *key);
            match (wanted, row) {
                (Wanted::Present(_), None) => found.push(Violation {
                    rule: "lost",
                    text: format!("{key} was accepted, never deleted, and is not there"),
                    uid: self.last_uid(key),
                    objects: Vec::new(),
                }),
                (Wanted::Present(_), Some(row)) if row.is(ResourceState::Deleting) => {
                    found.push(violation("lost", format!("{} although nobody deleted it", row.words()), row));
                }
                (Wanted::Present(spec), Some(row)) if !holds(&row.spec, spec) => {
                    let text = format!("{key} has the specification {} instead of {spec}", row.spec);
                    found.push(violation("lost", text, row));
                }
                (Wanted::Gone, Some(row)) if !row.is(ResourceState::Deleting) => {
                    found.push(violation("lost", format!("{} although it was deleted", row.words()), row));
                }
                _ => {}
            }
        }
        found
    }

    fn last_uid(&self, key: &Key) -> Option<String> {
        let key = key.to_string();
        self.lives.iter().filter(|(_, life)| life.key == key).map(|(uid, _)| uid.clone()).next_back()
    }

    /// Objects of ours that no row claims.
    fn left(&self) -> Vec<Violation> {
        let uids: BTreeSet<&str> = self.rows.iter().map(|row| row.uid.as_str()).collect();
        let is_of_none = |object: &Object| object.uid().is_some_and(|uid| !uids.contains(uid));
        // The address of a server that a block storage keeps goes with it.
        let is_kept = |object: &Object| {
            let server = object.json["assignee_id"].as_i64();
            self.objects.iter().any(|other| other.kind == "servers" && Some(other.id) == server && !is_of_none(other))
        };
        let is_left = |object: &&Object| is_of_none(object) && !is_kept(object);
        let of = |object: &Object| Violation {
            rule: "left",
            text: format!("{object} belongs to no row"),
            uid: object.uid().map(str::to_owned),
            objects: vec![object.id],
        };
        self.objects.iter().filter(is_left).map(of).collect()
    }

    fn foreign(&self) -> Vec<Violation> {
        let is_there = |(project, path, name): &&(String, String, String)| {
            let is = |object: &Object| object.project == *project && object.path() == *path;
            !self.objects.iter().any(|object| is(object) && object.name == *name && !object.is_managed())
        };
        let of = |(project, path, name): &(String, String, String)| Violation {
            rule: "foreign",
            text: format!("{path} `{name}` of a person in {project} is not as it was"),
            uid: None,
            objects: path.rsplit('/').next().and_then(|id| id.parse().ok()).into_iter().collect(),
        };
        self.foreign.iter().filter(is_there).map(of).collect()
    }

    fn markers(&self) -> Vec<Violation> {
        let ids = |project: &str| -> Vec<&str> {
            let markers = self.objects.iter().filter(|object| object.project == project && object.is_marker());
            markers.map(Object::project_id).collect()
        };
        let of = |(project, id): &(String, String)| Violation {
            rule: "marker",
            text: format!("{project} was marked as {id}, and is marked as {:?}", ids(project)),
            uid: None,
            objects: Vec::new(),
        };
        self.bound.iter().filter(|(project, id)| ids(project) != [id.as_str()]).map(of).collect()
    }
}

/// Two objects of one type, resource and role. Shared ones bear no uid.
fn doubled(objects: &[Object]) -> Vec<Violation> {
    let mut seen: BTreeMap<(&str, &str, Option<&str>), Vec<&Object>> = BTreeMap::new();
    for object in objects {
        if let Some(uid) = object.uid() {
            seen.entry((object.kind, uid, object.role())).or_default().push(object);
        }
    }
    let of = |((_, uid, _), list): ((&str, &str, Option<&str>), Vec<&Object>)| Violation {
        rule: "doubled",
        text: list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        uid: Some(uid.to_owned()),
        objects: list.iter().map(|object| object.id).collect(),
    };
    seen.into_iter().filter(|(_, list)| list.len() > 1).map(of).collect()
}

/// Whether a specification has all that was sent: what is unset may be left out.
fn holds(has: &Value, sent: &Value) -> bool {
    match (has, sent) {
        (Value::Object(has), Value::Object(sent)) => {
            sent.iter().all(|(member, value)| has.get(member).is_some_and(|has| holds(has, value)))
        }
        (Value::Array(has), Value::Array(sent)) => {
            has.len() == sent.len() && has.iter().zip(sent).all(|(has, sent)| holds(has, sent))
        }
        _ => has == sent,
    }
}

/// Whether one of two lives ever referred to the other.
fn is_kin(one: &Life, other: &Life) -> bool {
    one.names.contains(&other.name) || other.names.contains(&one.name)
}

/// Whether two lives were in one workspace; images are in none.
fn is_together(one: &Life, other: &Life) -> bool {
    one.workspace.is_empty() || other.workspace.is_empty() || one.workspace == other.workspace
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
