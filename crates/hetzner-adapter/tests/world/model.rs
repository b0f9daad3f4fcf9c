//! A tiny Hetzner Cloud: just enough that planned calls have their effect on a snapshot.

use std::collections::BTreeSet;

use control_plane::CatalogEntry;
use hcloud_client::types::{Firewall, FirewallResource, Id, Image, Network, PrimaryIp, Server, Volume};
use hetzner_adapter::{
    Observation,
    call::Call,
    objects::{FirewallCall, ImageCall, NetworkCall, Object, ObjectId, PrimaryIpCall, ServerCall, VolumeCall},
    snapshot::Change,
};
use serde_json::{Value, json};

pub const CREATED: &str = "2026-01-01T00:00:00Z";

/// The objects, and how many were ever made.
#[derive(Debug, Default)]
pub struct Model {
    pub servers: Vec<Server>,
    pub volumes: Vec<Volume>,
    pub networks: Vec<Network>,
    pub firewalls: Vec<Firewall>,
    pub primary_ips: Vec<PrimaryIp>,
    /// Snapshots.
    pub images: Vec<Image>,
    /// Servers that ever ran and volumes that were ever attached, as their actions tell.
    pub used: BTreeSet<ObjectId>,
    last_id: i64,
}

pub fn server(id: i64, name: &str, status: &str, labels: &Value, firewalls: &[i64]) -> Server {
    let firewalls: Vec<Value> = firewalls.iter().map(|id| json!({"id": id, "status": "applied"})).collect();
    serde_json::from_value(json!({
        "id": id, "name": name, "status": status, "primary_disk_size": 40, "created": CREATED, "labels": labels,
        "public_net": {"firewalls": firewalls},
        "server_type": {"id": 114, "name": "cx23", "cores": 2, "memory": 4.0, "disk": 40,
                        "cpu_type": "shared", "architecture": "x86"},
        "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
    }))
    .unwrap()
}

pub fn volume(id: i64, name: &str, size: u64, labels: &Value) -> Volume {
    serde_json::from_value(json!({
        "id": id, "name": name, "status": "available", "created": CREATED, "labels": labels, "size": size,
        "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"},
    }))
    .unwrap()
}

pub fn network(id: i64, name: &str, ip_range: &str, labels: &Value) -> Network {
    serde_json::from_value(json!({
        "id": id, "name": name, "created": CREATED, "labels": labels, "ip_range": ip_range,
    }))
    .unwrap()
}

pub fn snapshot(id: i64, description: &str, server: &Server, labels: &Value) -> Image {
    serde_json::from_value(json!({
        "id": id, "type": "snapshot", "status": "available", "description": description, "created": CREATED,
        "labels": labels, "image_size": 1.5, "disk_size": server.primary_disk_size,
        "created_from": {"id": server.id, "name": server.name}, "architecture": server.server_type.architecture,
    }))
    .unwrap()
}

impl Model {
    fn id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    fn server(&mut self, id: Id<Server>) -> &mut Server {
        self.servers.iter_mut().find(|server| server.id == id).expect("a call names a server that exists")
    }

    fn network(&mut self, id: Id<Network>) -> &mut Network {
        self.networks.iter_mut().find(|network| network.id == id).expect("a call names a network that exists")
    }

    fn seen(&mut self, id: Id<Server>) -> Observation {
        Observation::new(vec![Change::Seen(Object::from(self.server(id).clone()))])
    }

    /// The firewalls, each with the servers that it stands before.
    pub fn firewalls_in_use(&self) -> Vec<Firewall> {
        let behind = |f: &Firewall, s: &Server| s.public_net.firewalls.iter().any(|applied| applied.id == f.id);
        let applied = |f: &Firewall| {
            let servers = self.servers.iter().filter(|s| behind(f, s));
            servers.map(|s| FirewallResource::server(s.id)).collect()
        };
        self.firewalls.iter().map(|f| Firewall { applied_to: applied(f), ..f.clone() }).collect()
    }

    /// All objects.
    fn objects(&self) -> Vec<Object> {
        let mut all: Vec<Object> = self.servers.iter().cloned().map(Object::from).collect();
        all.extend(self.volumes.iter().cloned().map(Object::from));
        all.extend(self.networks.iter().cloned().map(Object::from));
        all.extend(self.firewalls.iter().cloned().map(Object::from));
        all.extend(self.primary_ips.iter().cloned().map(Object::from));
        all.extend(self.images.iter().cloned().map(Object::from));
        all
    }

    fn power(&mut self, id: Id<Server>, status: &str) -> Observation {
        self.used.insert(ObjectId::Server(id));
        self.server(id).status = status.into();
        self.seen(id)
    }

    /// Has a call's effect and tells what it shows. Breaking a rule of the provider is a defect of the plan.
    pub fn apply(&mut self, call: &Call) -> Observation {
        let one = |change| Observation::new(vec![change]);
        match call {
            Call::Server(ServerCall::Create(body)) => {
                if let Some(own) =
                    self.servers.iter().find(|o| o.name == body.name && o.labels["seca.uid"] == body.labels["seca.uid"])
                {
                    // The name is taken, by us: it is adopted.
                    return one(Change::Seen(own.clone().into()));
                }
                assert!(body.user_data.is_none(), "user data is recorded");
                assert_eq!(body.start_after_create, Some(false));
                assert!(self.servers.iter().all(|s| s.name != body.name), "two servers named {}", body.name);
                let id: i64 = body.image.parse().unwrap_or_default();
                // The provider resolves the names of its own images.
                let named = |e: &CatalogEntry| e.fact("imageName") == Some(&body.image);
                let is_system = id > 1_000_000 || hetzner_adapter::catalog::fallback().iter().any(named);
                assert!(is_system || self.images.iter().any(|i| i.id.get() == id), "no image {}", body.image);
                for wanted in &body.firewalls {
                    assert!(self.firewalls.iter().any(|f| f.id == wanted.firewall), "no such firewall");
                }
                let firewalls: Vec<i64> = body.firewalls.iter().map(|f| f.firewall.get()).collect();
                let made = server(self.id(), &body.name, "off", &json!(body.labels), &firewalls);
                self.servers.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Server(ServerCall::Update { server, name, labels }) => {
                assert!(self.servers.iter().all(|s| s.id == *server || s.name != *name), "{name} is taken");
                let found = self.server(*server);
                (found.name, found.labels) = (name.clone(), labels.clone());
                self.seen(*server)
            }
            Call::Server(ServerCall::Delete { server }) => {
                self.server(*server);
                self.servers.retain(|s| s.id != *server);
                one(Change::Gone(ObjectId::Server(*server)))
            }
            Call::Server(ServerCall::Poweron { server }) => self.power(*server, "running"),
            Call::Server(ServerCall::Poweroff { server }) => self.power(*server, "off"),
            // The guest does not listen: the grace period runs out.
            Call::Server(ServerCall::Shutdown { server, seq, .. }) => {
                let sent = Change::ShutdownSent { server: *server, seq: *seq };
                let object = Object::from(self.server(*server).clone());
                Observation::new(vec![Change::Seen(object), sent])
            }
            Call::Server(ServerCall::Reboot { server, .. }) | Call::Server(ServerCall::Reset { server, .. }) => {
                let action = self.id();
                let object = Object::from(self.server(*server).clone());
                Observation::new(vec![Change::Rebooted { server: *server, action }, Change::Seen(object)])
            }
            Call::Volume(VolumeCall::Create(body)) => {
                if let Some(own) =
                    self.volumes.iter().find(|o| o.name == body.name && o.labels["seca.uid"] == body.labels["seca.uid"])
                {
                    // The name is taken, by us: it is adopted.
                    return one(Change::Seen(own.clone().into()));
                }
                assert!((10..=10_240).contains(&body.size) && body.location.is_some());
                let made = volume(self.id(), &body.name, body.size, &json!(body.labels));
                self.volumes.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Volume(VolumeCall::Resize { volume, size }) => {
                let found = self.volumes.iter_mut().find(|v| v.id == *volume).expect("a volume to resize");
                assert!(found.size < *size, "a volume only grows");
                found.size = *size;
                one(Change::Seen(found.clone().into()))
            }
            Call::Volume(VolumeCall::Delete { volume }) => {
                self.volumes.retain(|v| v.id != *volume);
                one(Change::Gone(ObjectId::Volume(*volume)))
            }
            Call::Network(NetworkCall::Create(body)) => {
                if let Some(own) = self
                    .networks
                    .iter()
                    .find(|o| o.name == body.name && o.labels["seca.uid"] == body.labels["seca.uid"])
                {
                    // The name is taken, by us: it is adopted.
                    return one(Change::Seen(own.clone().into()));
                }
                assert!(self.networks.iter().all(|n| n.name != body.name), "two networks named {}", body.name);
                let made = network(self.id(), &body.name, &body.ip_range.to_string(), &json!(body.labels));
                self.networks.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Network(NetworkCall::Delete { network }) => {
                self.network(*network);
                self.networks.retain(|n| n.id != *network);
                one(Change::Gone(ObjectId::Network(*network)))
            }
            Call::Network(NetworkCall::ChangeIpRange { network, ip_range }) => {
                self.network(*network).ip_range = *ip_range;
                one(Change::Seen(self.network(*network).clone().into()))
            }
            Call::Network(NetworkCall::AddSubnet { network, subnet, owner }) => {
                let range = subnet.ip_range.unwrap();
                let found = self.network(*network);
                let taken = |other: &hcloud_client::types::Subnet| {
                    other.ip_range.is_some_and(|other| other.contains(&range) || range.contains(&other))
                };
                assert!(!found.subnets.iter().any(taken), "{range} overlaps");
                found.subnets.push(
                    serde_json::from_value(
                        json!({"type": "cloud", "ip_range": range, "network_zone": subnet.network_zone}),
                    )
                    .unwrap(),
                );
                let added = Change::SubnetAdded { network: *network, range, owner: *owner };
                Observation::new(vec![Change::Seen(found.clone().into()), added])
            }
            Call::Network(NetworkCall::DeleteSubnet { network, ip_range }) => {
                let found = self.network(*network);
                found.subnets.retain(|subnet| subnet.ip_range != Some(*ip_range));
                one(Change::Seen(found.clone().into()))
            }
            Call::Network(NetworkCall::AddRoute { network, route }) => {
                let found = self.network(*network);
                assert!(found.routes.iter().all(|other| other.destination != route.destination), "{route:?} is taken");
                assert!(found.ip_range.contains(&route.gateway), "{route:?} leaves the network");
                found.routes.push(route.clone());
                one(Change::Seen(found.clone().into()))
            }
            Call::Network(NetworkCall::DeleteRoute { network, route }) => {
                let found = self.network(*network);
                assert!(found.routes.contains(route), "no route {route:?}");
                found.routes.retain(|other| other != route);
                one(Change::Seen(found.clone().into()))
            }
            Call::Firewall(FirewallCall::Create(body)) => {
                if let Some(own) = self.firewalls.iter().find(|f| f.name == body.name) {
                    return one(Change::Seen(own.clone().into()));
                }
                assert!(self.firewalls.iter().all(|f| f.name != body.name), "two firewalls named {}", body.name);
                let made: Firewall = serde_json::from_value(json!({
                    "id": self.id(), "name": body.name, "created": CREATED, "labels": body.labels, "rules": body.rules,
                }))
                .unwrap();
                self.firewalls.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Firewall(FirewallCall::SetRules { firewall, rules }) => {
                let found = self.firewalls.iter_mut().find(|f| f.id == *firewall).expect("a firewall");
                found.rules.clone_from(rules);
                let found = self.firewalls_in_use().into_iter().find(|f| f.id == *firewall).expect("a firewall");
                one(Change::Seen(found.into()))
            }
            Call::Firewall(FirewallCall::Apply { firewall, server }) => {
                let applied = serde_json::from_value(json!({"id": firewall, "status": "applied"})).unwrap();
                self.server(*server).public_net.firewalls.push(applied);
                self.seen(*server)
            }
            Call::Firewall(FirewallCall::Delete { firewall }) => {
                let used = |s: &Server| s.public_net.firewalls.iter().any(|f| f.id == *firewall);
                assert!(!self.servers.iter().any(used), "the firewall is in use");
                self.firewalls.retain(|f| f.id != *firewall);
                one(Change::Gone(ObjectId::Firewall(*firewall)))
            }
            Call::PrimaryIp(PrimaryIpCall::Create(body)) => {
                if let Some(own) = self
                    .primary_ips
                    .iter()
                    .find(|o| o.name == body.name && o.labels["seca.uid"] == body.labels["seca.uid"])
                {
                    // The name is taken, by us: it is adopted.
                    return one(Change::Seen(own.clone().into()));
                }
                assert!(self.primary_ips.iter().all(|ip| ip.name != body.name), "two primary IPs named {}", body.name);
                assert!(body.location.is_some() && body.auto_delete == Some(false), "it outlives servers");
                let id = self.id();
                let address = match body.kind {
                    hcloud_client::types::IpType::Ipv6 => format!("2001:db8:{id}::/64"),
                    _ => format!("203.0.113.{id}"),
                };
                let made: PrimaryIp = serde_json::from_value(json!({
                    "id": id, "name": body.name, "created": CREATED, "labels": body.labels, "type": body.kind,
                    "ip": address, "location": {"id": 1, "name": body.location, "network_zone": "eu-central"},
                }))
                .unwrap();
                self.primary_ips.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::PrimaryIp(PrimaryIpCall::Delete { primary_ip }) => {
                let found = self.primary_ips.iter().find(|ip| ip.id == *primary_ip).expect("a primary IP to delete");
                assert_eq!(found.assignee_id, None, "it must be unassigned first");
                self.primary_ips.retain(|ip| ip.id != *primary_ip);
                one(Change::Gone(ObjectId::PrimaryIp(*primary_ip)))
            }
            Call::Image(ImageCall::Create { server, description, labels }) => {
                let source = self.server(*server).clone();
                let uid = |labels: &hcloud_client::types::Labels| labels.get("seca.uid").cloned().expect("a label");
                assert!(self.images.iter().all(|i| uid(&i.labels) != uid(labels)), "two snapshots: {description}");
                let made = snapshot(self.id(), description, &source, &json!(labels));
                self.images.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Image(ImageCall::Delete { image }) => {
                assert!(self.images.iter().any(|i| i.id == *image), "no snapshot {image}");
                self.images.retain(|i| i.id != *image);
                one(Change::Gone(ObjectId::Image(*image)))
            }
            Call::Sweep { .. } => panic!("no plan of a resource sweeps"),
            Call::Read { object, .. } => {
                let found = self.objects().into_iter().find(|found| found.object_id() == *object);
                one(found.map_or(Change::Gone(*object), Change::Seen))
            }
            Call::Find { kind, owner, .. } => {
                let own = |found: &Object| found.object_id().kind() == *kind && found.owner().as_ref() == Some(owner);
                let found = self.objects().into_iter().filter(own).map(Change::Seen);
                Observation::new(found.chain([Change::Absent { kind: *kind, owner: owner.clone() }]).collect())
            }
            Call::History { object } => one(Change::Used { object: *object, ever: self.used.contains(object) }),
            other => panic!("no plan makes this call: {other:?}"),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
            && self.volumes.is_empty()
            && self.networks.is_empty()
            && self.firewalls.is_empty()
            && self.primary_ips.is_empty()
            && self.images.is_empty()
    }
}
