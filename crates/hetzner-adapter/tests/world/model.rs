//! A tiny Hetzner Cloud: just enough that planned calls have their effect on a snapshot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use control_plane::CatalogEntry;
use hcloud_client::types::{
    Firewall, FirewallResource, Id, Image, ImageStatus, IpType, Network, PlacementGroup, PrimaryIp, Server,
    ServerStatus, SshKey, Volume,
};
use hetzner_adapter::{
    Observation,
    call::Call,
    objects::{
        FirewallCall, ImageCall, NetworkCall, Object, ObjectId, PlacementGroupCall, PrimaryIpCall, ServerCall,
        SshKeyCall, VolumeCall,
    },
    snapshot::{Change, Usage},
};
use serde_json::json;
use time::OffsetDateTime;

use super::contents::Contents;
pub use super::make::*;

/// What the provider says, or why it refuses.
type Refused<T = ()> = Result<T, String>;

/// A rule of the provider: what breaks it is refused.
macro_rules! rule {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

/// The same for two values that must be equal.
macro_rules! rule_eq {
    ($left:expr, $right:expr, $($why:tt)+) => {
        rule!($left == $right, $($why)+)
    };
}

/// The objects, and how many were ever made.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub servers: Vec<Server>,
    pub volumes: Vec<Volume>,
    pub networks: Vec<Network>,
    pub firewalls: Vec<Firewall>,
    pub primary_ips: Vec<PrimaryIp>,
    pub placement_groups: Vec<PlacementGroup>,
    pub ssh_keys: Vec<SshKey>,
    /// Snapshots.
    pub images: Vec<Image>,
    /// Servers that ever ran and volumes that were ever attached, as their actions tell.
    pub used: BTreeSet<ObjectId>,
    /// When servers were last started, in milliseconds.
    pub started: BTreeMap<ObjectId, i64>,
    /// Whether a server whose type was changed stays off.
    pub retyped_stays_off: bool,
    /// What is on disks.
    pub contents: Contents,
    /// The time, in milliseconds.
    pub now: i64,
    /// How long the next snapshots take in milliseconds, and whether they can be used then; all others are complete at once.
    pub slow: VecDeque<(i64, bool)>,
    /// Snapshots that are not complete: when they are, and whether they can be used then.
    pub making: BTreeMap<i64, (i64, bool)>,
    last_id: i64,
}

impl Model {
    fn id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    fn server(&mut self, id: Id<Server>) -> Refused<&mut Server> {
        self.servers.iter_mut().find(|server| server.id == id).ok_or_else(|| format!("no server {id}"))
    }

    fn network(&mut self, id: Id<Network>) -> Refused<&mut Network> {
        self.networks.iter_mut().find(|network| network.id == id).ok_or_else(|| format!("no network {id}"))
    }

    fn firewall(&mut self, id: Id<Firewall>) -> Refused<&mut Firewall> {
        self.firewalls.iter_mut().find(|firewall| firewall.id == id).ok_or_else(|| format!("no firewall {id}"))
    }

    fn image(&mut self, id: Id<Image>) -> Refused<&mut Image> {
        self.images.iter_mut().find(|image| image.id == id).ok_or_else(|| format!("no snapshot {id}"))
    }

    fn seen(&mut self, id: Id<Server>) -> Refused<Observation> {
        Ok(Observation::new(vec![Change::Seen(Object::from(self.server(id)?.clone()))]))
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

    /// The placement groups, each with its servers.
    pub fn groups_in_use(&self) -> Vec<PlacementGroup> {
        let is_in = |s: &&Server, id| s.placement_group.as_ref().is_some_and(|group| group.id == id);
        let servers = |id| self.servers.iter().filter(|s| is_in(s, id)).map(|s| s.id).collect();
        self.placement_groups.iter().map(|g| PlacementGroup { servers: servers(g.id), ..g.clone() }).collect()
    }

    /// The primary IPs: those with a life of their own, and those that were made with servers.
    pub fn all_primary_ips(&self) -> Vec<PrimaryIp> {
        let mut all = self.primary_ips.clone();
        for server in &self.servers {
            let id = server.public_net.ipv6.as_ref().and_then(|ip| ip.id).map(Id::get);
            if let Some(id) = id.filter(|id| *id > MADE_WITH) {
                all.push(primary_ip(id, "made-with-server", "ipv6", &json!({}), true, Some(server.id.get())));
            }
        }
        all
    }

    fn primary_ip(&mut self, id: Id<PrimaryIp>) -> Refused<&mut PrimaryIp> {
        self.primary_ips.iter_mut().find(|ip| ip.id == id).ok_or_else(|| format!("no primary IP {id}"))
    }

    /// Puts an address on a server, or takes it away.
    pub fn assign(&mut self, id: Id<PrimaryIp>, server: Option<Id<Server>>) -> Refused {
        for found in &mut self.servers {
            found.public_net.ipv4 = found.public_net.ipv4.take().filter(|ip| ip.id != Some(id));
            found.public_net.ipv6 = found.public_net.ipv6.take().filter(|ip| ip.id != Some(id));
        }
        let Some(server) = server else {
            match self.primary_ips.iter_mut().find(|ip| ip.id == id) {
                Some(ip) => ip.assignee_id = None,
                // One that was made with its server stays until somebody deletes it.
                None => self.primary_ips.push(primary_ip(id.get(), "made-with-server", "ipv6", &json!({}), true, None)),
            }
            return Ok(());
        };
        let there = self.server(server)?.location.name.clone();
        let ip = self.primary_ip(id)?;
        rule_eq!(ip.assignee_id, None, "the address is another server's");
        rule_eq!(ip.location.name, there, "the address lies elsewhere");
        ip.assignee_id = Some(server.get());
        let (kind, shown) = (ip.kind.clone(), json!({"id": id, "ip": ip.ip}));
        let net = &mut self.server(server)?.public_net;
        match kind {
            IpType::Ipv4 => {
                rule!(net.ipv4.is_none(), "the server has an IPv4 address");
                net.ipv4 = serde_json::from_value(shown).unwrap();
            }
            _ => {
                rule!(net.ipv6.is_none(), "the server has an IPv6 address");
                net.ipv6 = serde_json::from_value(shown).unwrap();
            }
        }
        Ok(())
    }

    fn volume(&mut self, id: Id<Volume>) -> Refused<&mut Volume> {
        self.volumes.iter_mut().find(|volume| volume.id == id).ok_or_else(|| format!("no volume {id}"))
    }

    /// Attaches a volume to a server, or detaches it.
    pub fn attach(&mut self, id: Id<Volume>, server: Option<Id<Server>>) -> Refused {
        for found in &mut self.servers {
            found.volumes.retain(|volume| *volume != id);
        }
        if let Some(server) = server {
            rule_eq!(self.volume(id)?.server, None, "the volume is another server's");
            let there = self.server(server)?.location.name.clone();
            rule_eq!(self.volume(id)?.location.name, there, "the volume lies elsewhere");
            self.server(server)?.volumes.push(id);
            self.used.insert(ObjectId::Volume(id));
        }
        self.volume(id)?.server = server;
        Ok(())
    }

    /// Servers, and what is told of them elsewhere, go together.
    pub fn remove_server(&mut self, id: Id<Server>) {
        self.servers.retain(|server| server.id != id);
        self.contents.end(ObjectId::Server(id));
        for network in &mut self.networks {
            network.servers.retain(|server| *server != id);
        }
        for volume in &mut self.volumes {
            volume.server = volume.server.filter(|server| *server != id);
        }
        self.primary_ips.retain(|ip| !(ip.auto_delete && ip.assignee_id == Some(id.get())));
        for ip in &mut self.primary_ips {
            ip.assignee_id = ip.assignee_id.filter(|server| *server != id.get());
        }
    }

    pub fn remove_image(&mut self, id: Id<Image>) {
        self.images.retain(|image| image.id != id);
        self.making.remove(&id.get());
        self.contents.end(ObjectId::Image(id));
    }

    /// Time passes: snapshots are complete, or failed. Whether any is.
    pub fn pass(&mut self, now: i64) -> bool {
        self.now = now;
        let is_due = |_: &i64, (due, _): &mut (i64, bool)| *due <= now;
        let due: Vec<_> = self.making.extract_if(.., is_due).collect();
        for (id, (_, is_usable)) in &due {
            let Ok(image) = self.image(Id::new(*id)) else { continue };
            image.status = if *is_usable { "available" } else { "unavailable" }.into();
            if !is_usable {
                self.contents.end(ObjectId::Image(Id::new(*id)));
            }
        }
        !due.is_empty()
    }

    /// What was written to a block storage's disk and no complete disk of it has.
    pub fn lost(&self, of: control_plane::Uid) -> Vec<usize> {
        let is_complete = |object: ObjectId| match object {
            ObjectId::Image(image) => !self.making.contains_key(&image.get()),
            _ => true,
        };
        self.contents.lost(of, is_complete)
    }

    /// All objects.
    pub fn objects(&self) -> Vec<Object> {
        let mut all: Vec<Object> = self.servers.iter().cloned().map(Object::from).collect();
        all.extend(self.volumes.iter().cloned().map(Object::from));
        all.extend(self.networks.iter().cloned().map(Object::from));
        all.extend(self.firewalls_in_use().into_iter().map(Object::from));
        all.extend(self.all_primary_ips().into_iter().map(Object::from));
        all.extend(self.groups_in_use().into_iter().map(Object::from));
        all.extend(self.ssh_keys.iter().cloned().map(Object::from));
        all.extend(self.images.iter().cloned().map(Object::from));
        all
    }

    /// Switches a server on or off, whoever does it.
    pub fn power(&mut self, id: Id<Server>, status: &str) -> Refused<Observation> {
        let before = std::mem::replace(&mut self.server(id)?.status, status.into());
        if before != ServerStatus::Running && status == "running" {
            self.contents.write(id);
        }
        self.used.insert(ObjectId::Server(id));
        if status != "off" {
            self.started.insert(ObjectId::Server(id), self.now);
        }
        self.seen(id)
    }

    /// Has a call's effect and tells what it shows. Breaking a rule of the provider is a defect of the plan.
    pub fn apply(&mut self, call: &Call) -> Observation {
        self.answer(call).unwrap_or_else(|why| panic!("{call:?} is refused: {why}"))
    }

    /// The same for a call that was planned by what is old, and is refused then. A refused call may leave half of its effect.
    pub fn answer(&mut self, call: &Call) -> Refused<Observation> {
        let one = |change| Observation::new(vec![change]);
        Ok(match call {
            Call::Server(ServerCall::Create(body)) => {
                if let Some(own) = self
                    .servers
                    .iter()
                    .find(|o| o.name == body.name && o.labels.get("seca.uid") == body.labels.get("seca.uid"))
                {
                    // The name is taken, by us: it is adopted.
                    return Ok(one(Change::Seen(own.clone().into())));
                }
                rule!(body.user_data.is_none(), "user data is recorded");
                rule!(!body.ssh_keys.is_empty(), "the provider would make a root password");
                for key in &body.ssh_keys {
                    rule!(self.ssh_keys.iter().any(|known| known.id.to_string() == *key), "no SSH key {key}");
                }
                let net = body.public_net.ok_or("the provider would make addresses")?;
                let is_public = net.enable_ipv4 || net.enable_ipv6;
                rule!(is_public || body.firewalls.is_empty(), "only a public interface has firewalls");
                rule_eq!(body.start_after_create, Some(false), "it would start by itself");
                rule!(self.servers.iter().all(|s| s.name != body.name), "two servers named {}", body.name);
                let image: i64 = body.image.parse().unwrap_or_default();
                // The provider resolves the names of its own images.
                let named = |e: &CatalogEntry| e.fact("imageName") == Some(&body.image);
                let is_system = image > 1_000_000 || hetzner_adapter::catalog::fallback().iter().any(named);
                rule!(is_system || self.images.iter().any(|i| i.id.get() == image), "no image {}", body.image);
                for wanted in &body.firewalls {
                    rule!(self.firewalls.iter().any(|f| f.id == wanted.firewall), "no such firewall");
                }
                let firewalls: Vec<i64> = body.firewalls.iter().map(|f| f.firewall.get()).collect();
                let mut made = server(self.id(), &body.name, "off", &json!(body.labels), &firewalls);
                made.server_type.name.clone_from(&body.server_type);
                made.location.name = body.location.clone().ok_or("the provider would choose a location")?;
                let id = made.id;
                if !net.enable_ipv6 || net.ipv6.is_some() {
                    made.public_net.ipv6 = None;
                }
                if let Some(group) = body.placement_group {
                    made.placement_group = self.placement_groups.iter().find(|known| known.id == group).cloned();
                    rule!(made.placement_group.is_some(), "no placement group {group}");
                }
                self.servers.push(made);
                self.contents.copy(ObjectId::Image(Id::new(image)), ObjectId::Server(id));
                for ip in [net.ipv4, net.ipv6].into_iter().flatten() {
                    self.assign(ip, Some(id))?;
                }
                for volume in &body.volumes {
                    self.attach(*volume, Some(id))?;
                }
                self.seen(id)?
            }
            Call::Server(ServerCall::Update { server, name, labels }) => {
                rule!(self.servers.iter().all(|s| s.id == *server || s.name != *name), "{name} is taken");
                let found = self.server(*server)?;
                (found.name, found.labels) = (name.clone(), labels.clone());
                self.seen(*server)?
            }
            Call::Server(ServerCall::Delete { server }) => {
                self.server(*server)?;
                self.remove_server(*server);
                one(Change::Gone(ObjectId::Server(*server)))
            }
            Call::Server(ServerCall::Poweron { server }) => {
                let found = self.server(*server)?;
                let net = &found.public_net;
                let has_interface = net.ipv4.is_some() || net.ipv6.is_some() || !found.private_net.is_empty();
                rule!(has_interface, "a server without an interface cannot be switched on");
                self.power(*server, "running")?
            }
            Call::Server(ServerCall::ChangeType { server, server_type, upgrade_disk }) => {
                let found = self.server(*server)?;
                rule!(found.status == ServerStatus::Off && !upgrade_disk, "it stays as it is, and its disk too");
                rule!(found.server_type.name != *server_type, "the type changes");
                found.server_type.name.clone_from(server_type);
                // The provider starts it, or does not.
                match self.retyped_stays_off {
                    true => self.seen(*server)?,
                    false => self.power(*server, "running")?,
                }
            }
            Call::Server(ServerCall::AttachToNetwork { server, network, ip, alias_ips }) => {
                rule!(self.network(*network)?.ip_range.contains(ip), "{ip} is not in the network");
                let taken = |s: &Server| {
                    s.attachment(*network).is_some_and(|net| net.ip == Some(*ip) || net.alias_ips.contains(ip))
                };
                rule!(!self.servers.iter().any(taken), "{ip} is taken");
                let found = self.server(*server)?;
                rule!(found.attachment(*network).is_none(), "it is in the network already");
                let mac = format!("86:00:00:00:{:02x}:{:02x}", server.get() % 256, network.get() % 256);
                let net = json!({"network": network, "ip": ip, "alias_ips": alias_ips, "mac_address": mac});
                found.private_net.push(serde_json::from_value(net).unwrap());
                self.network(*network)?.servers.push(*server);
                self.seen(*server)?
            }
            Call::Server(ServerCall::DetachFromNetwork { server, network }) => {
                self.server(*server)?.private_net.retain(|net| net.network != *network);
                self.network(*network)?.servers.retain(|other| other != server);
                self.seen(*server)?
            }
            Call::Server(ServerCall::ChangeAliasIps { server, network, alias_ips }) => {
                let found = self.server(*server)?;
                let net = found.private_net.iter_mut().find(|net| net.network == *network).ok_or("no attachment")?;
                net.alias_ips.clone_from(alias_ips);
                self.seen(*server)?
            }
            Call::Server(ServerCall::AddToPlacementGroup { server, placement_group }) => {
                let group = self.placement_groups.iter().find(|known| known.id == *placement_group).cloned();
                let found = self.server(*server)?;
                rule_eq!(found.status, ServerStatus::Off, "only a server that is off joins a placement group");
                found.placement_group = Some(group.ok_or("no placement group")?);
                self.seen(*server)?
            }
            Call::Server(ServerCall::RemoveFromPlacementGroup { server, .. }) => {
                self.server(*server)?.placement_group = None;
                self.seen(*server)?
            }
            Call::Server(ServerCall::Poweroff { server }) => self.power(*server, "off")?,
            // The guest does not listen: the grace period runs out.
            Call::Server(ServerCall::Shutdown { server, seq, .. }) => {
                let sent = Change::ShutdownSent { server: *server, seq: *seq };
                let object = Object::from(self.server(*server)?.clone());
                Observation::new(vec![Change::Seen(object), sent])
            }
            Call::Server(ServerCall::Reboot { server, .. }) | Call::Server(ServerCall::Reset { server, .. }) => {
                let action = self.id();
                let object = Object::from(self.server(*server)?.clone());
                Observation::new(vec![Change::Rebooted { server: *server, action }, Change::Seen(object)])
            }
            Call::Volume(VolumeCall::Create(body)) => {
                if let Some(own) = self
                    .volumes
                    .iter()
                    .find(|o| o.name == body.name && o.labels.get("seca.uid") == body.labels.get("seca.uid"))
                {
                    // The name is taken, by us: it is adopted.
                    return Ok(one(Change::Seen(own.clone().into())));
                }
                rule!((10..=10_240).contains(&body.size) && body.location.is_some(), "no such size, or no location");
                let mut made = volume(self.id(), &body.name, body.size, &json!(body.labels));
                made.location.name = body.location.clone().unwrap_or_default();
                self.volumes.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Volume(VolumeCall::Resize { volume, size }) => {
                let found = self.volume(*volume)?;
                rule!(found.size < *size, "a volume only grows");
                found.size = *size;
                one(Change::Seen(found.clone().into()))
            }
            Call::Volume(VolumeCall::Attach { volume, server }) => {
                self.attach(*volume, Some(*server))?;
                self.seen(*server)?
            }
            Call::Volume(VolumeCall::Detach { volume, server }) => {
                self.attach(*volume, None)?;
                self.seen(*server)?
            }
            Call::Volume(VolumeCall::Delete { volume }) => {
                rule_eq!(self.volume(*volume)?.server, None, "the volume is attached");
                self.volumes.retain(|v| v.id != *volume);
                one(Change::Gone(ObjectId::Volume(*volume)))
            }
            Call::Network(NetworkCall::Create(body)) => {
                if let Some(own) = self
                    .networks
                    .iter()
                    .find(|o| o.name == body.name && o.labels.get("seca.uid") == body.labels.get("seca.uid"))
                {
                    // The name is taken, by us: it is adopted.
                    return Ok(one(Change::Seen(own.clone().into())));
                }
                rule!(self.networks.iter().all(|n| n.name != body.name), "two networks named {}", body.name);
                let made = network(self.id(), &body.name, &body.ip_range.to_string(), &json!(body.labels));
                self.networks.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Network(NetworkCall::Delete { network }) => {
                self.network(*network)?;
                self.networks.retain(|n| n.id != *network);
                one(Change::Gone(ObjectId::Network(*network)))
            }
            Call::Network(NetworkCall::ChangeIpRange { network, ip_range }) => {
                self.network(*network)?.ip_range = *ip_range;
                one(Change::Seen(self.network(*network)?.clone().into()))
            }
            Call::Network(NetworkCall::AddSubnet { network, subnet, owner }) => {
                let range = subnet.ip_range.unwrap();
                let found = self.network(*network)?;
                let taken = |other: &hcloud_client::types::Subnet| {
                    other.ip_range.is_some_and(|other| other.contains(&range) || range.contains(&other))
                };
                rule!(!found.subnets.iter().any(taken), "{range} overlaps");
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
                let inside = |ip: &std::net::Ipv4Addr| ip_range.contains(ip);
                let attached = |s: &Server| s.attachment(*network).is_some_and(|net| net.ip.iter().any(inside));
                rule!(!self.servers.iter().any(attached), "servers are attached to the subnet {ip_range}");
                let found = self.network(*network)?;
                found.subnets.retain(|subnet| subnet.ip_range != Some(*ip_range));
                one(Change::Seen(found.clone().into()))
            }
            Call::Network(NetworkCall::AddRoute { network, route }) => {
                let found = self.network(*network)?;
                rule!(found.routes.iter().all(|other| other.destination != route.destination), "{route:?} is taken");
                rule!(found.ip_range.contains(&route.gateway), "{route:?} leaves the network");
                found.routes.push(route.clone());
                one(Change::Seen(found.clone().into()))
            }
            Call::Network(NetworkCall::DeleteRoute { network, route }) => {
                let found = self.network(*network)?;
                rule!(found.routes.contains(route), "no route {route:?}");
                found.routes.retain(|other| other != route);
                one(Change::Seen(found.clone().into()))
            }
            Call::Firewall(FirewallCall::Create(body)) => {
                if let Some(own) = self.firewalls.iter().find(|f| f.name == body.name) {
                    return Ok(one(Change::Seen(own.clone().into())));
                }
                rule!(self.firewalls.iter().all(|f| f.name != body.name), "two firewalls named {}", body.name);
                let made: Firewall = serde_json::from_value(json!({
                    "id": self.id(), "name": body.name, "created": CREATED, "labels": body.labels, "rules": body.rules,
                }))
                .unwrap();
                self.firewalls.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Firewall(FirewallCall::SetRules { firewall, rules }) => {
                let found = self.firewall(*firewall)?;
                found.rules.clone_from(rules);
                let found = self.firewalls_in_use().into_iter().find(|f| f.id == *firewall).ok_or("no firewall")?;
                one(Change::Seen(found.into()))
            }
            Call::Firewall(FirewallCall::Remove { firewall, server }) => {
                self.server(*server)?.public_net.firewalls.retain(|applied| applied.id != *firewall);
                self.seen(*server)?
            }
            Call::Firewall(FirewallCall::Apply { firewall, server }) => {
                let net = &self.server(*server)?.public_net;
                rule!(net.ipv4.is_some() || net.ipv6.is_some(), "only a public interface has firewalls");
                let applied = serde_json::from_value(json!({"id": firewall, "status": "applied"})).unwrap();
                self.server(*server)?.public_net.firewalls.push(applied);
                self.seen(*server)?
            }
            Call::Firewall(FirewallCall::Delete { firewall }) => {
                let used = |s: &Server| s.public_net.firewalls.iter().any(|f| f.id == *firewall);
                rule!(!self.servers.iter().any(used), "the firewall is in use");
                self.firewalls.retain(|f| f.id != *firewall);
                one(Change::Gone(ObjectId::Firewall(*firewall)))
            }
            Call::PrimaryIp(PrimaryIpCall::Create(body)) => {
                if let Some(own) = self
                    .primary_ips
                    .iter()
                    .find(|o| o.name == body.name && o.labels.get("seca.uid") == body.labels.get("seca.uid"))
                {
                    // The name is taken, by us: it is adopted.
                    return Ok(one(Change::Seen(own.clone().into())));
                }
                rule!(self.primary_ips.iter().all(|ip| ip.name != body.name), "two primary IPs named {}", body.name);
                let is_placeholder = body.labels.get("seca.role").is_some_and(|role| role == "placeholder");
                rule!(body.location.is_some() && body.auto_delete == Some(is_placeholder), "it outlives servers");
                let kind = if body.kind == IpType::Ipv6 { "ipv6" } else { "ipv4" };
                let mut made = primary_ip(self.id(), &body.name, kind, &json!(body.labels), is_placeholder, None);
                made.location.name = body.location.clone().unwrap_or_default();
                self.primary_ips.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::PrimaryIp(PrimaryIpCall::Assign { primary_ip, server }) => {
                rule_eq!(self.server(*server)?.status, ServerStatus::Off, "addresses come while a server is off");
                self.assign(*primary_ip, Some(*server))?;
                self.seen(*server)?
            }
            Call::PrimaryIp(PrimaryIpCall::Unassign { primary_ip, server }) => {
                rule_eq!(self.server(*server)?.status, ServerStatus::Off, "addresses go while a server is off");
                self.assign(*primary_ip, None)?;
                self.seen(*server)?
            }
            Call::PrimaryIp(PrimaryIpCall::Delete { primary_ip }) => {
                let found = self.primary_ip(*primary_ip)?;
                rule_eq!(found.assignee_id, None, "it must be unassigned first");
                self.primary_ips.retain(|ip| ip.id != *primary_ip);
                one(Change::Gone(ObjectId::PrimaryIp(*primary_ip)))
            }
            Call::SshKey(SshKeyCall::Create(body)) => {
                let same = |key: &&SshKey| key.name == body.name || key.public_key == body.public_key;
                if let Some(known) = self.ssh_keys.iter().find(same) {
                    return Ok(one(Change::Seen(known.clone().into())));
                }
                let made: SshKey = serde_json::from_value(json!({
                    "id": self.id(), "name": body.name, "created": CREATED, "labels": body.labels, "fingerprint": "",
                    "public_key": body.public_key,
                }))
                .unwrap();
                self.ssh_keys.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::SshKey(SshKeyCall::Delete { ssh_key }) => {
                self.ssh_keys.retain(|key| key.id != *ssh_key);
                one(Change::Gone(ObjectId::SshKey(*ssh_key)))
            }
            Call::PlacementGroup(PlacementGroupCall::Create(body)) => {
                if let Some(known) = self.placement_groups.iter().find(|group| group.name == body.name) {
                    return Ok(one(Change::Seen(known.clone().into())));
                }
                let made: PlacementGroup = serde_json::from_value(json!({
                    "id": self.id(), "name": body.name, "created": CREATED, "labels": body.labels, "type": "spread",
                    "servers": [],
                }))
                .unwrap();
                self.placement_groups.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::PlacementGroup(PlacementGroupCall::Delete { placement_group }) => {
                let used = |s: &Server| s.placement_group.as_ref().is_some_and(|group| group.id == *placement_group);
                rule!(!self.servers.iter().any(used), "the placement group is in use");
                self.placement_groups.retain(|group| group.id != *placement_group);
                one(Change::Gone(ObjectId::PlacementGroup(*placement_group)))
            }
            Call::Image(ImageCall::Create { server, description, labels }) => {
                let source = self.server(*server)?.clone();
                let mut made = snapshot(self.id(), description, &source, &json!(labels));
                made.created = OffsetDateTime::from_unix_timestamp(self.now / 1_000).ok();
                self.contents.copy(ObjectId::Server(*server), ObjectId::Image(made.id));
                self.contents.keep(ObjectId::Image(made.id), labels);
                if let Some((takes, is_usable)) = self.slow.pop_front() {
                    made.status = "creating".into();
                    self.making.insert(made.id.get(), (self.now + takes, is_usable));
                }
                self.images.push(made.clone());
                one(Change::Seen(made.into()))
            }
            Call::Image(ImageCall::Update { image, labels }) => {
                let found = self.image(*image)?;
                found.labels = labels.clone();
                one(Change::Seen(found.clone().into()))
            }
            Call::Image(ImageCall::Delete { image }) => {
                rule!(self.image(*image)?.status != ImageStatus::Creating, "the snapshot is not complete");
                self.remove_image(*image);
                one(Change::Gone(ObjectId::Image(*image)))
            }
            Call::Sweep { .. } | Call::Discard { .. } => panic!("no plan of a resource sweeps"),
            Call::Adopt { object, name, labels, .. } => {
                let given = match object {
                    ObjectId::Volume(id) => {
                        let volume = self.volume(*id)?;
                        (volume.name, volume.labels) = (name.clone(), labels.clone());
                        volume.clone().into()
                    }
                    ObjectId::PrimaryIp(id) => {
                        let ip = self.primary_ip(*id)?;
                        (ip.name, ip.labels, ip.auto_delete) = (name.clone(), labels.clone(), false);
                        ip.clone().into()
                    }
                    ObjectId::Image(id) => {
                        let image = self.images.iter_mut().find(|image| image.id == *id).unwrap();
                        (image.description, image.labels) = (name.clone(), labels.clone());
                        image.clone().into()
                    }
                    other => panic!("no {other} is given to anybody"),
                };
                one(Change::Seen(given))
            }
            Call::Read { object, .. } => {
                let found = self.objects().into_iter().find(|found| found.object_id() == *object);
                one(found.map_or(Change::Gone(*object), Change::Seen))
            }
            Call::Find { kind, owner, .. } => {
                let own = |found: &Object| found.object_id().kind() == *kind && found.owner().as_ref() == Some(owner);
                let found = self.objects().into_iter().filter(own).map(Change::Seen);
                Observation::new(found.chain([Change::Absent { kind: *kind, owner: owner.clone() }]).collect())
            }
            Call::Watch { kind, installation, of, at } => {
                rule_eq!(*kind, hetzner_adapter::objects::ObjectType::Server, "only servers are watched");
                let is_it = |s: &&Server| s.labels.get("seca.kind").is_some_and(|kind| kind == of);
                let found: Vec<Server> = self.servers.iter().filter(is_it).cloned().collect();
                let watched = Change::Watched {
                    kind: *kind,
                    installation: installation.clone(),
                    of: of.clone(),
                    at: *at,
                    shown: found.iter().map(|server| server.id.get()).collect(),
                };
                Observation::new(found.into_iter().map(|s| Change::Seen(s.into())).chain([watched]).collect())
            }
            Call::History { object, attempt, at } => {
                let (ever, newest) = (self.used.contains(object), self.started.get(object).copied());
                match self.objects().into_iter().find(|seen| seen.object_id() == *object) {
                    Some(seen) => {
                        let usage = Usage { ever, newest, attempt: *attempt, at: *at, answered: *at };
                        Observation::new(vec![Change::Seen(seen), Change::Used(*object, usage)])
                    }
                    None => Observation::new(vec![Change::Gone(*object)]),
                }
            }
        })
    }

    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
            && self.volumes.is_empty()
            && self.networks.is_empty()
            && self.firewalls.is_empty()
            && self.primary_ips.is_empty()
            && self.placement_groups.is_empty()
            && self.ssh_keys.is_empty()
            && self.images.is_empty()
    }
}
