//! What is known of a project: every object of the types in use, ours or not, because a foreign one may have the
//! name that ours needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use control_plane::{Resource, Uid};
use hcloud_client::types::{Firewall, Id, Image, Labels, Network, PrimaryIp, Server, ServerStatus, SshKey, Volume};
use ipnet::Ipv4Net;
use seca_api::Timestamp;

use crate::{
    absence::Absent,
    call::Call,
    mapping::remembered,
    naming,
    objects::{NetworkCall, Object, ObjectId, ObjectType, Objects, ProviderObject, Stored, has_subnet, is_same_key},
    owner::{Owner, Role},
};

/// A project's objects, by id, and what only the calls of this process could tell.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) objects: Objects,
    pub(crate) learnt: Learnt,
    /// What was asked for since the lists were read, and does not exist.
    absent: Absent,
    /// What the actions of an object told since then: whether a server ever ran, whether a volume was ever attached.
    used: BTreeMap<ObjectId, Usage>,
    /// When its lists were read, in milliseconds.
    read_at: Option<i64>,
    /// Lives as long as somebody has the snapshot: see [`Memory`](crate::memory::Memory).
    pub(crate) life: Option<Arc<()>>,
}

/// What no list shows, and only the answers to calls told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Learnt {
    /// Servers whose guest was asked to shut down, with the number of the power action.
    shutdowns: BTreeMap<i64, i64>,
    /// The last reboot of a server that is known, by its action.
    reboots: BTreeMap<i64, i64>,
    /// Who added a subnet: it bears no label.
    subnet_owners: BTreeMap<(i64, Ipv4Net), Uid>,
    /// No room was left for another server when one was last to be made.
    is_full: bool,
    /// Server types that a location had no capacity for, and when that was said.
    no_capacity: BTreeMap<(String, String), Timestamp>,
    /// When the objects of a type were last read that resources of a kind own, in milliseconds.
    watched: BTreeMap<(ObjectType, String), i64>,
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
                self.is_full = false;
            }
            Change::NoRoomForServer => self.is_full = true,
            Change::NoCapacity { server_type, location, at } => {
                self.no_capacity.insert((server_type.clone(), location.clone()), *at);
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
            Change::Ended(call) => {
                if let Call::Network(NetworkCall::DeleteSubnet { network, ip_range }) = &**call {
                    self.subnet_owners.remove(&(network.get(), *ip_range));
                }
            }
            Change::Watched { kind, of, at, .. } => drop(self.watched.insert((*kind, of.clone()), *at)),
            Change::Seen(_) | Change::Gone(_) | Change::Absent { .. } | Change::Used(..) => {}
        }
    }
}

/// What the actions of a server or a volume told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whether the server ever ran, or the volume was ever attached.
    pub ever: bool,
    /// When that last began, in milliseconds, by the provider's clock.
    pub newest: Option<i64>,
    /// How often in a row the resource that asked had been tried.
    pub attempt: u32,
    /// When the question was planned, in milliseconds.
    pub at: i64,
    /// When it was answered, in milliseconds.
    pub answered: i64,
}

/// One thing that is known better now.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is so.
    Seen(Object),
    /// There is no such object any more: the answer to its removal, or to a look by its id, says so.
    Gone(ObjectId),
    /// A look by label and name found no object of a type that is an owner's.
    Absent {
        /// The type.
        kind: ObjectType,
        /// The owner.
        owner: Owner,
    },
    /// The actions of a server tell whether it ever ran, those of a volume whether it was ever attached.
    Used(ObjectId, Usage),
    /// The actions of a call went well that says what it makes of its object.
    Ended(Box<Call>),
    /// The project's limit of servers is reached: another one was refused.
    NoRoomForServer,
    /// A location had no capacity for a server type.
    NoCapacity {
        /// The provider's name of the type.
        server_type: String,
        /// The location.
        location: String,
        /// When it said so.
        at: Timestamp,
    },
    /// All objects of a type were read that resources of a kind own. What was not shown is to be asked for.
    Watched {
        /// The type.
        kind: ObjectType,
        /// The installation.
        installation: String,
        /// The word of the resources' kind.
        of: String,
        /// When it was planned, in milliseconds.
        at: i64,
        /// The numbers of those that were shown.
        shown: BTreeSet<i64>,
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

impl Snapshot {
    /// From complete lists.
    pub(crate) fn from_lists(objects: Objects) -> Self {
        Self { objects, ..Self::default() }
    }

    /// Whether it shows what another one does. What was proven or asked since the lists were read counts for nothing: by
    /// that something was decided, and it stays decided.
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        self.objects == other.objects && self.learnt == other.learnt
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
        let Self { learnt, objects: Objects { servers, networks, .. }, .. } = self;
        learnt.shutdowns.retain(|id, _| servers.get(id).is_some_and(|server| server.status != ServerStatus::Off));
        learnt.reboots.retain(|id, _| servers.contains_key(id));
        learnt.subnet_owners.retain(|(id, range), _| networks.get(id).is_some_and(|n| has_subnet(n, *range)));
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Seen(object) => {
                let id = object.object_id();
                self.absent.disprove(id, object.owner());
                self.used.remove(&id);
                self.objects.keep(object);
            }
            Change::Gone(id) => {
                let owner = self.objects.labels(id).and_then(Owner::of);
                self.objects.remove(id);
                self.absent.prove(id, owner.filter(|owner| !self.objects.has_owner(id.kind(), owner)));
            }
            Change::Absent { kind, owner } => {
                if !self.objects.has_owner(kind, &owner) {
                    self.absent.prove_owned(kind, owner);
                }
            }
            Change::Watched { kind, installation, of, shown, .. } => {
                let is_watched = |labels: &Labels| {
                    naming::is_of(labels, &installation) && labels.get(naming::KIND).is_some_and(|word| *word == of)
                };
                let known = self.objects.ids_where(kind, is_watched);
                known.into_iter().filter(|id| !shown.contains(&id.number())).for_each(|id| self.objects.remove(id));
            }
            Change::Used(object, usage) => drop(self.used.insert(object, usage)),
            Change::Ended(call) => {
                let known = call.object().and_then(|id| self.objects.get(id));
                if let (Some(mut object), Some(call)) = (known, call.of_type()) {
                    call.foretell(&mut object);
                    self.apply(Change::Seen(object));
                }
            }
            Change::NoRoomForServer
            | Change::NoCapacity { .. }
            | Change::ShutdownSent { .. }
            | Change::Rebooted { .. }
            | Change::SubnetAdded { .. } => {}
        }
    }

    /// Whether it is known what became of an object: it was seen, or it is proven not to exist.
    pub fn is_known(&self, id: ObjectId) -> bool {
        self.absent.has(id) || self.objects.labels(id).is_some()
    }

    /// Whether it is proven that no object of a type is an owner's.
    pub fn owns_none(&self, kind: ObjectType, owner: &Owner) -> bool {
        self.absent.has_owned(kind, owner)
    }

    /// Whether a server ever ran, or a volume was ever attached, as its actions told since it was last seen. If not, somebody
    /// may have used it meanwhile.
    pub fn was_used(&self, id: ObjectId) -> bool {
        self.used.get(&id).is_some_and(|usage| usage.ever)
    }

    /// What the actions of an object told, if somebody asked after a time, in milliseconds, and the resource that asks tried
    /// nothing since: no earlier answer will do.
    pub fn usage_since(&self, id: ObjectId, attempt: u32, after: i64) -> Option<Usage> {
        self.used.get(&id).copied().filter(|usage| usage.attempt == attempt && usage.at >= after)
    }

    /// The objects of a type, whoever has made them.
    pub fn all<T: Stored>(&self) -> impl Iterator<Item = &T> {
        T::all(&self.objects).values()
    }

    /// An object by its id.
    pub fn get<T: Stored>(&self, id: Id<T>) -> Option<&T> {
        T::all(&self.objects).get(&id.get())
    }

    /// The object of an owner, by its labels.
    pub fn owned_by<T: Stored>(&self, installation: &str, owner: &Owner) -> Option<&T> {
        self.all::<T>().find(|object| owner.has(installation, object.labels()))
    }

    /// The object of a resource in a role, by its labels; of the main object else by the id that the row remembers, if
    /// somebody only took the labels away.
    pub fn object_of<T: Stored>(&self, installation: &str, resource: &Resource, role: Option<&Role>) -> Option<&T> {
        let owner = Owner::Resource { uid: resource.uid, role: role.cloned() };
        let id = remembered(resource, T::TYPE).filter(|_| role.is_none());
        let known = id.and_then(|id| self.get(Id::<T>::new(id)));
        // Mostly it is the one that is remembered: thousands of others need not be looked through for each resource.
        if let Some(known) = known.filter(|object| owner.has(installation, object.labels())) {
            return Some(known);
        }
        self.owned_by(installation, &owner).or(known.filter(|object| !object.labels().contains_key(naming::UID)))
    }

    /// All objects of a type that are a resource's, each with its role.
    pub fn objects_of<T: Stored>(&self, installation: &str, uid: Uid) -> impl Iterator<Item = (Option<Role>, &T)> {
        let ours = self.all::<T>().filter(move |object| naming::is_of(object.labels(), installation));
        ours.filter_map(move |object| match Owner::of(object.labels())? {
            Owner::Resource { uid: of, role } if of == uid => Some((role, object)),
            _ => None,
        })
    }

    /// The object of a purpose and, where there are several of it, a content.
    pub fn shared<T: Stored>(&self, installation: &str, purpose: &str, content: Option<&str>) -> Option<&T> {
        self.owned_by(installation, &Owner::shared(purpose, content))
    }

    /// The SSH key of a text in OpenSSH's format, whoever put it there.
    pub fn ssh_key(&self, public_key: &str) -> Option<&SshKey> {
        self.all::<SshKey>().find(|key| is_same_key(&key.public_key, public_key))
    }

    /// The server of a resource.
    pub(crate) fn server_of(&self, installation: &str, resource: &Resource) -> Option<&Server> {
        self.object_of(installation, resource, None)
    }

    /// The server whose label names a resource.
    pub(crate) fn server_labelled(&self, installation: &str, uid: Uid) -> Option<&Server> {
        self.owned_by(installation, &Owner::main(uid))
    }

    /// The volume of a resource.
    pub(crate) fn volume_of(&self, installation: &str, resource: &Resource) -> Option<&Volume> {
        self.object_of(installation, resource, None)
    }

    /// The network of a resource.
    pub(crate) fn network_of(&self, installation: &str, resource: &Resource) -> Option<&Network> {
        self.object_of(installation, resource, None)
    }

    /// The primary IP of a resource.
    pub(crate) fn primary_ip_of(&self, installation: &str, resource: &Resource) -> Option<&PrimaryIp> {
        self.object_of(installation, resource, None)
    }

    /// The snapshot of a resource.
    pub(crate) fn image_of(&self, installation: &str, resource: &Resource) -> Option<&Image> {
        self.object_of(installation, resource, None)
    }

    /// Whether anything is behind a firewall.
    pub(crate) fn is_firewall_used(&self, firewall: &Firewall) -> bool {
        firewall.is_used(&self.objects)
    }

    /// Whether a server's guest was asked to shut down for a power action.
    pub(crate) fn was_asked_to_shut_down(&self, server: Id<Server>, seq: i64) -> bool {
        self.learnt.shutdowns.get(&server.get()) == Some(&seq)
    }

    /// Whether there was no room for another server when one was last to be made, and none went since.
    pub(crate) fn has_no_room_for_servers(&self) -> bool {
        self.learnt.is_full
    }

    /// When a location last said that it has no capacity for a server type.
    pub(crate) fn had_no_capacity(&self, server_type: &str, location: &str) -> Option<Timestamp> {
        self.learnt.no_capacity.get(&(server_type.to_owned(), location.to_owned())).copied()
    }

    /// When the objects of a type were last read that resources of a kind own, in milliseconds.
    pub(crate) fn watched(&self, kind: ObjectType, of: &str) -> Option<i64> {
        self.learnt.watched.get(&(kind, of.to_owned())).copied().max(self.read_at)
    }

    /// Its lists were read at this time, in milliseconds.
    pub(crate) fn read_at(self, at: i64) -> Self {
        Self { read_at: Some(at), ..self }
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
        let nets = self.all::<Server>().filter_map(|server| server.attachment(network));
        nets.into_iter().any(|net| net.ip == Some(address) || net.alias_ips.contains(&address))
    }
}
