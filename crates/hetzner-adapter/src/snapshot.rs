//! What is known of a project: every object of the types in use, ours or not, because a foreign one may have the
//! name that ours needs.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use control_plane::{Resource, Uid, ports::OwnedObject};
use hcloud_client::types::{
    Firewall, Id, Image, Labels, Network, PlacementGroup, PrimaryIp, Server, ServerStatus, Volume,
};
use ipnet::Ipv4Net;
use seca_api::Timestamp;
use time::OffsetDateTime;

use crate::{
    absence::{Absent, ObjectType},
    effect::has_subnet,
    mapping::facts,
    naming,
};

/// A project's objects, by id, and what only the calls of this process could tell.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) servers: BTreeMap<i64, Server>,
    pub(crate) volumes: BTreeMap<i64, Volume>,
    pub(crate) networks: BTreeMap<i64, Network>,
    pub(crate) firewalls: BTreeMap<i64, Firewall>,
    pub(crate) primary_ips: BTreeMap<i64, PrimaryIp>,
    pub(crate) placement_groups: BTreeMap<i64, PlacementGroup>,
    /// Snapshots, and no other images.
    pub(crate) images: BTreeMap<i64, Image>,
    pub(crate) learnt: Learnt,
    /// What was asked for since the lists were read, and does not exist.
    absent: Absent,
    /// What the actions of an object told since then: whether a server ever ran, whether a volume was ever attached.
    used: BTreeMap<ObjectId, bool>,
    /// Lives as long as somebody has the snapshot: see [`Memory`](crate::memory::Memory).
    pub(crate) life: Option<Arc<()>>,
}

/// What no list shows, and only the answers to calls told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learnt {
    /// Servers whose guest was asked to shut down, with the number of the power action.
    shutdowns: BTreeMap<i64, i64>,
    /// The last reboot of a server that is known, by its action.
    reboots: BTreeMap<i64, i64>,
    /// Who added a subnet: it bears no label.
    subnet_owners: BTreeMap<(i64, Ipv4Net), Uid>,
}

impl Learnt {
    /// Takes a later observation in.
    pub(crate) fn absorb(&mut self, observation: &Observation) {
        for change in observation.changes() {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Seen(Object::Server(server)) if server.status == ServerStatus::Off => {
                self.shutdowns.remove(&server.id.get());
            }
            Change::Seen(Object::Network(network)) => {
                let id = network.id.get();
                self.subnet_owners.retain(|(of, range), _| *of != id || has_subnet(network, *range));
            }
            Change::Gone(ObjectId::Server(id)) => {
                self.shutdowns.remove(&id.get());
                self.reboots.remove(&id.get());
            }
            Change::Gone(ObjectId::Network(id)) => self.subnet_owners.retain(|(of, _), _| *of != id.get()),
            Change::ShutdownSent { server, seq } => drop(self.shutdowns.insert(server.get(), *seq)),
            Change::Rebooted { server, action } => {
                let last = self.reboots.entry(server.get()).or_insert(*action);
                *last = (*last).max(*action);
            }
            // The first one known stays: a second crash victim must not take a subnet over.
            Change::SubnetAdded { network, range, owner } => {
                self.subnet_owners.entry((network.get(), *range)).or_insert(*owner);
            }
            Change::Seen(_) | Change::Gone(_) | Change::Absent { .. } | Change::Used { .. } => {}
        }
    }
}

/// An object as an answer showed it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the types are the documentation")]
pub enum Object {
    Server(Box<Server>),
    Volume(Box<Volume>),
    Network(Box<Network>),
    Firewall(Box<Firewall>),
    PrimaryIp(Box<PrimaryIp>),
    PlacementGroup(Box<PlacementGroup>),
    Image(Box<Image>),
}

impl Object {
    /// The resource that its label names.
    pub(crate) fn uid(&self) -> Option<Uid> {
        naming::uid_of(self.labels())
    }

    /// Its labels.
    pub(crate) fn labels(&self) -> &Labels {
        match self {
            Self::Server(server) => &server.labels,
            Self::Volume(volume) => &volume.labels,
            Self::Network(network) => &network.labels,
            Self::Firewall(firewall) => &firewall.labels,
            Self::PrimaryIp(ip) => &ip.labels,
            Self::PlacementGroup(group) => &group.labels,
            Self::Image(image) => &image.labels,
        }
    }

    /// Its id as a number.
    pub(crate) fn id(&self) -> i64 {
        match self {
            Self::Server(server) => server.id.get(),
            Self::Volume(volume) => volume.id.get(),
            Self::Network(network) => network.id.get(),
            Self::Firewall(firewall) => firewall.id.get(),
            Self::PrimaryIp(ip) => ip.id.get(),
            Self::PlacementGroup(group) => group.id.get(),
            Self::Image(image) => image.id.get(),
        }
    }

    /// Its name; of a snapshot the description.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Server(server) => &server.name,
            Self::Volume(volume) => &volume.name,
            Self::Network(network) => &network.name,
            Self::Firewall(firewall) => &firewall.name,
            Self::PrimaryIp(ip) => &ip.name,
            Self::PlacementGroup(group) => &group.name,
            Self::Image(image) => &image.description,
        }
    }

    /// Its id; none for a type that no resource owns.
    pub(crate) fn object_id(&self) -> Option<ObjectId> {
        Some(match self {
            Self::Server(server) => ObjectId::Server(server.id),
            Self::Volume(volume) => ObjectId::Volume(volume.id),
            Self::Network(network) => ObjectId::Network(network.id),
            Self::Firewall(firewall) => ObjectId::Firewall(firewall.id),
            Self::PrimaryIp(ip) => ObjectId::PrimaryIp(ip.id),
            Self::Image(image) => ObjectId::Image(image.id),
            Self::PlacementGroup(_) => return None,
        })
    }
}

/// An object by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the types are the documentation")]
pub enum ObjectId {
    Server(Id<Server>),
    Volume(Id<Volume>),
    Network(Id<Network>),
    Firewall(Id<Firewall>),
    PrimaryIp(Id<PrimaryIp>),
    Image(Id<Image>),
}

/// One thing that is known better now.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is so.
    Seen(Object),
    /// There is no such object any more: the answer to its removal, or to a look by its id, says so.
    Gone(ObjectId),
    /// A look by label and name found no object of a type that belongs to a resource.
    Absent {
        /// The type.
        kind: ObjectType,
        /// The resource.
        uid: Uid,
    },
    /// The actions of a server tell whether it ever ran, those of a volume whether it was ever attached.
    Used {
        /// The server or the volume.
        object: ObjectId,
        /// Whether it was.
        ever: bool,
    },
    /// A guest was asked to shut down by a power action of this number.
    ShutdownSent {
        /// The server.
        server: Id<Server>,
        /// The power action's number.
        seq: i64,
    },
    /// A server was rebooted by this action.
    Rebooted {
        /// The server.
        server: Id<Server>,
        /// The provider's action.
        action: i64,
    },
    /// A subnet was added for this resource.
    SubnetAdded {
        /// The network.
        network: Id<Network>,
        /// The subnet's range.
        range: Ipv4Net,
        /// The resource.
        owner: Uid,
    },
}

/// What one answer showed, in order.
#[derive(Clone, Debug, Default)]
pub struct Observation(Vec<Change>);

impl Observation {
    /// From changes, in order.
    pub fn new(changes: Vec<Change>) -> Self {
        Self(changes)
    }

    pub(crate) fn seen(object: impl Into<Object>) -> Self {
        Self(vec![Change::Seen(object.into())])
    }

    pub(crate) fn gone(object: ObjectId) -> Self {
        Self(vec![Change::Gone(object)])
    }

    pub(crate) fn and(mut self, change: Change) -> Self {
        self.0.push(change);
        self
    }

    /// Whether it says that an object does not exist.
    pub(crate) fn shows_gone(&self, object: ObjectId) -> bool {
        self.0.iter().any(|change| matches!(change, Change::Gone(gone) if *gone == object))
    }

    /// The changes, in order.
    pub fn changes(&self) -> &[Change] {
        &self.0
    }
}

/// What all objects have.
pub(crate) trait Labelled {
    const TYPE: &'static str;
    fn id(&self) -> i64;
    fn name(&self) -> &str;
    fn labels(&self) -> &Labels;
    fn created(&self) -> Option<OffsetDateTime>;
}

macro_rules! labelled {
    ($($type:ident $word:literal),+) => {$(
        impl Labelled for $type {
            const TYPE: &'static str = $word;

            fn id(&self) -> i64 {
                self.id.get()
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn labels(&self) -> &Labels {
                &self.labels
            }

            fn created(&self) -> Option<OffsetDateTime> {
                Some(self.created)
            }
        }

        impl From<$type> for Object {
            fn from(object: $type) -> Self {
                Self::$type(Box::new(object))
            }
        }
    )+};
}

labelled!(
    Server "server",
    Volume "volume",
    Network "network",
    Firewall "firewall",
    PrimaryIp "primary_ip",
    PlacementGroup "placement_group"
);

impl Labelled for Image {
    const TYPE: &'static str = "image";

    fn id(&self) -> i64 {
        self.id.get()
    }

    /// Snapshots have none but their description.
    fn name(&self) -> &str {
        &self.description
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn created(&self) -> Option<OffsetDateTime> {
        self.created
    }
}

impl From<Image> for Object {
    fn from(image: Image) -> Self {
        Self::Image(Box::new(image))
    }
}

/// Complete lists of all that a project has of the types in use.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) servers: Vec<Server>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) networks: Vec<Network>,
    pub(crate) firewalls: Vec<Firewall>,
    pub(crate) primary_ips: Vec<PrimaryIp>,
    pub(crate) placement_groups: Vec<PlacementGroup>,
    /// Snapshots.
    pub(crate) images: Vec<Image>,
}

impl Snapshot {
    /// From complete lists.
    pub(crate) fn from_lists(lists: Lists) -> Self {
        Self {
            servers: by_id(lists.servers),
            volumes: by_id(lists.volumes),
            networks: by_id(lists.networks),
            firewalls: by_id(lists.firewalls),
            primary_ips: by_id(lists.primary_ips),
            placement_groups: by_id(lists.placement_groups),
            // The provider remembers a deleted one for the servers that were made from it.
            images: by_id(lists.images.into_iter().filter(|image| image.deleted.is_none()).collect()),
            ..Self::default()
        }
    }

    /// Takes a later observation in.
    pub fn absorb(&mut self, observation: Observation) {
        for change in observation.0 {
            self.learnt.apply(&change);
            self.apply(change);
        }
    }

    /// Takes over what was learnt before the lists were read, as far as they do not contradict it.
    pub(crate) fn learn(&mut self, learnt: &Learnt) {
        self.learnt = learnt.clone();
        let Self { learnt, servers, networks, .. } = self;
        learnt.shutdowns.retain(|id, _| servers.get(id).is_some_and(|server| server.status != ServerStatus::Off));
        learnt.reboots.retain(|id, _| servers.contains_key(id));
        learnt.subnet_owners.retain(|(id, range), _| networks.get(id).is_some_and(|n| has_subnet(n, *range)));
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Seen(object) => {
                if let Some(id) = object.object_id() {
                    self.absent.disprove(id, object.uid());
                    self.used.remove(&id);
                }
                self.keep(object);
            }
            Change::Gone(id) => {
                let owner = self.owner(id);
                self.drop(id);
                self.absent.prove(id, owner.filter(|owner| !self.has_owned(id.kind(), *owner)));
            }
            Change::Absent { kind, uid } if !self.has_owned(kind, uid) => self.absent.prove_owned(kind, uid),
            Change::Used { object, ever } => drop(self.used.insert(object, ever)),
            Change::Absent { .. }
            | Change::ShutdownSent { .. }
            | Change::Rebooted { .. }
            | Change::SubnetAdded { .. } => {}
        }
    }

    fn keep(&mut self, object: Object) {
        match object {
            Object::Server(server) => drop(self.servers.insert(server.id.get(), *server)),
            Object::Volume(volume) => drop(self.volumes.insert(volume.id.get(), *volume)),
            Object::Network(network) => drop(self.networks.insert(network.id.get(), *network)),
            Object::Firewall(firewall) => drop(self.firewalls.insert(firewall.id.get(), *firewall)),
            Object::PrimaryIp(ip) => drop(self.primary_ips.insert(ip.id.get(), *ip)),
            Object::PlacementGroup(group) => drop(self.placement_groups.insert(group.id.get(), *group)),
            Object::Image(image) => drop(self.images.insert(image.id.get(), *image)),
        }
    }

    fn drop(&mut self, id: ObjectId) {
        match id {
            ObjectId::Server(id) => self.forget_server(id),
            ObjectId::Volume(id) => drop(self.volumes.remove(&id.get())),
            ObjectId::Network(id) => drop(self.networks.remove(&id.get())),
            ObjectId::Firewall(id) => drop(self.firewalls.remove(&id.get())),
            ObjectId::PrimaryIp(id) => drop(self.primary_ips.remove(&id.get())),
            ObjectId::Image(id) => drop(self.images.remove(&id.get())),
        }
    }

    /// The labels of an object that was seen.
    fn labels(&self, id: ObjectId) -> Option<&Labels> {
        Some(match id {
            ObjectId::Server(id) => &self.servers.get(&id.get())?.labels,
            ObjectId::Volume(id) => &self.volumes.get(&id.get())?.labels,
            ObjectId::Network(id) => &self.networks.get(&id.get())?.labels,
            ObjectId::Firewall(id) => &self.firewalls.get(&id.get())?.labels,
            ObjectId::PrimaryIp(id) => &self.primary_ips.get(&id.get())?.labels,
            ObjectId::Image(id) => &self.images.get(&id.get())?.labels,
        })
    }

    fn owner(&self, id: ObjectId) -> Option<Uid> {
        naming::uid_of(self.labels(id)?)
    }

    fn has_owned(&self, kind: ObjectType, uid: Uid) -> bool {
        fn any<T: Labelled>(all: &BTreeMap<i64, T>, uid: Uid) -> bool {
            all.values().any(|object| naming::uid_of(object.labels()) == Some(uid))
        }
        match kind {
            ObjectType::Server => any(&self.servers, uid),
            ObjectType::Volume => any(&self.volumes, uid),
            ObjectType::Network => any(&self.networks, uid),
            ObjectType::Firewall => any(&self.firewalls, uid),
            ObjectType::PrimaryIp => any(&self.primary_ips, uid),
            ObjectType::Image => any(&self.images, uid),
        }
    }

    /// Whether it is known what became of an object: it was seen, or it is proven not to exist.
    pub(crate) fn is_known(&self, id: ObjectId) -> bool {
        self.absent.has(id) || self.labels(id).is_some()
    }

    /// Whether it is proven that no object of a type belongs to a resource.
    pub(crate) fn owns_none(&self, kind: ObjectType, uid: Uid) -> bool {
        self.absent.has_owned(kind, uid)
    }

    /// Whether a server ever ran, or a volume was ever attached, as its actions told; none if nobody asked since it was
    /// last seen.
    pub(crate) fn was_used(&self, id: ObjectId) -> Option<bool> {
        self.used.get(&id).copied()
    }

    /// The provider detaches everything from a server that is deleted.
    fn forget_server(&mut self, id: Id<Server>) {
        self.servers.remove(&id.get());
        for volume in self.volumes.values_mut() {
            volume.server = volume.server.filter(|server| *server != id);
        }
        for network in self.networks.values_mut() {
            network.servers.retain(|server| *server != id);
        }
        for firewall in self.firewalls.values_mut() {
            firewall.applied_to.retain(|target| target.server.is_none_or(|server| server.id != id));
        }
        for group in self.placement_groups.values_mut() {
            group.servers.retain(|server| *server != id);
        }
        for ip in self.primary_ips.values_mut() {
            ip.assignee_id = ip.assignee_id.filter(|assignee| *assignee != id.get());
        }
    }

    /// The server of a resource.
    pub(crate) fn server_of(&self, installation: &str, resource: &Resource) -> Option<&Server> {
        find(&self.servers, installation, resource, facts::SERVER_ID)
    }

    /// The server whose label names a resource.
    pub(crate) fn server_labelled(&self, installation: &str, uid: Uid) -> Option<&Server> {
        labelled_with(&self.servers, installation, uid)
    }

    /// The volume of a resource.
    pub(crate) fn volume_of(&self, installation: &str, resource: &Resource) -> Option<&Volume> {
        find(&self.volumes, installation, resource, facts::VOLUME_ID)
    }

    /// The network of a resource.
    pub(crate) fn network_of(&self, installation: &str, resource: &Resource) -> Option<&Network> {
        find(&self.networks, installation, resource, facts::NETWORK_ID)
    }

    /// The primary IP of a resource.
    pub(crate) fn primary_ip_of(&self, installation: &str, resource: &Resource) -> Option<&PrimaryIp> {
        find(&self.primary_ips, installation, resource, facts::PRIMARY_IP_ID)
    }

    /// The snapshot of a resource.
    pub(crate) fn image_of(&self, installation: &str, resource: &Resource) -> Option<&Image> {
        find(&self.images, installation, resource, facts::IMAGE_ID)
    }

    /// The firewall of an installation that serves a purpose.
    pub(crate) fn shared_firewall(&self, installation: &str, purpose: &str) -> Option<&Firewall> {
        self.firewalls.values().find(|firewall| {
            naming::is_of(&firewall.labels, installation)
                && firewall.labels.get(naming::PURPOSE).is_some_and(|p| p == purpose)
        })
    }

    /// Whether anything is behind a firewall.
    pub(crate) fn is_firewall_used(&self, firewall: &Firewall) -> bool {
        let on_server = |server: &Server| server.public_net.firewalls.iter().any(|f| f.id == firewall.id);
        self.servers.values().any(on_server) || !firewall.applied_to.is_empty()
    }

    /// Whether a server's guest was asked to shut down for a power action.
    pub(crate) fn was_asked_to_shut_down(&self, server: Id<Server>, seq: i64) -> bool {
        self.learnt.shutdowns.get(&server.get()) == Some(&seq)
    }

    /// The last reboot of a server that is known.
    pub(crate) fn last_reboot(&self, server: Id<Server>) -> Option<i64> {
        self.learnt.reboots.get(&server.get()).copied()
    }

    /// Who added a subnet, as far as this process saw it.
    pub(crate) fn subnet_owner(&self, network: Id<Network>, range: Ipv4Net) -> Option<Uid> {
        self.learnt.subnet_owners.get(&(network.get(), range)).copied()
    }

    /// Whether a server has an address in a network, of its own or as an alias.
    pub(crate) fn is_address_taken(&self, network: Id<Network>, address: Ipv4Addr) -> bool {
        let nets = self.servers.values().filter_map(|server| server.attachment(network));
        nets.into_iter().any(|net| net.ip == Some(address) || net.alias_ips.contains(&address))
    }

    /// The objects of an installation but for its marker, and for what serves all while it is used.
    pub(crate) fn owned(&self, installation: &str) -> Vec<OwnedObject> {
        let firewalls = self
            .firewalls
            .values()
            .filter(|firewall| !(firewall.labels.contains_key(naming::PURPOSE) && self.is_firewall_used(firewall)));
        let groups = self.placement_groups.values().filter(|group| !group.labels.contains_key(naming::PROJECT));
        let mut owned = Vec::new();
        collect(&mut owned, installation, self.servers.values());
        collect(&mut owned, installation, self.volumes.values());
        collect(&mut owned, installation, self.networks.values());
        collect(&mut owned, installation, firewalls);
        collect(&mut owned, installation, self.primary_ips.values());
        collect(&mut owned, installation, groups);
        collect(&mut owned, installation, self.images.values());
        owned
    }
}

fn by_id<T: Labelled>(all: Vec<T>) -> BTreeMap<i64, T> {
    all.into_iter().map(|object| (object.id(), object)).collect()
}

fn labelled_with<'a, T: Labelled>(all: &'a BTreeMap<i64, T>, installation: &str, uid: Uid) -> Option<&'a T> {
    all.values()
        .find(|object| naming::is_of(object.labels(), installation) && naming::uid_of(object.labels()) == Some(uid))
}

/// By label; else by the id that the row remembers, if somebody only took the labels away.
fn find<'a, T: Labelled>(
    all: &'a BTreeMap<i64, T>,
    installation: &str,
    resource: &Resource,
    fact: &str,
) -> Option<&'a T> {
    labelled_with(all, installation, resource.uid).or_else(|| {
        let id = resource.fact(fact)?.parse().ok()?;
        all.get(&id).filter(|object| !object.labels().contains_key(naming::UID))
    })
}

fn collect<'a, T: Labelled + 'a>(
    owned: &mut Vec<OwnedObject>,
    installation: &str,
    objects: impl Iterator<Item = &'a T>,
) {
    owned.extend(objects.filter(|object| naming::is_of(object.labels(), installation)).map(|object| OwnedObject {
        object_type: T::TYPE.to_owned(),
        id: object.id().to_string(),
        name: object.name().to_owned(),
        uid: naming::uid_of(object.labels()),
        created: object.created().and_then(timestamp),
    }));
}

fn timestamp(at: OffsetDateTime) -> Option<Timestamp> {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp::from_millis)
}
