//! What a row remembers of its objects at the provider, and what it publishes to its neighbours: one type per kind.
//!
//! Provider ids are caches. Marks ([`InstanceFacts::ever_started`] and the like) are committed before the call that makes
//! them true, because after a crash nobody could tell. What a neighbour reads is published: a plan sees the facts of a
//! neighbour's row, and nothing that lies behind that row.
//!
//! The names of the members are stored. They are only ever added to, and rows without them are read, so that the release
//! before and this one can work on the same database.

mod gateway;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use seca_api::{CpuArchitecture, IpVersion};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    ports::Mark,
    resource::{ProjectId, Resource, Uid},
};

pub use gateway::{GatewayNetwork, InternetGatewayFacts, NatAddress, NatServer};

/// The facts of one kind.
pub trait Facts: Clone + Default + Serialize + DeserializeOwned {
    /// What a row remembers. A member that cannot be read is taken for unset, and a mark that cannot be read for set.
    fn of(row: &Resource) -> Self {
        Self::read(&row.facts)
    }

    /// The same of facts that are in no row.
    fn read(facts: &Map<String, Value>) -> Self {
        Self::deserialize(facts).unwrap_or_default()
    }

    /// A change as it is merged into the facts of a row: the members that differ, null for those that it removes.
    fn changes(&self, change: impl FnOnce(&mut Self)) -> Map<String, Value> {
        let mut changed = self.clone();
        change(&mut changed);
        let (before, after) = (members(self), members(&changed));
        let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
        let removed: Vec<(String, Value)> = removed.collect();
        after.into_iter().filter(|(name, value)| before.get(name) != Some(value)).chain(removed).collect()
    }

    /// A change of a row's facts to commit with the intent of a step.
    fn mark(row: &Resource, change: impl FnOnce(&mut Self)) -> Mark {
        Mark { uid: row.uid, facts: Self::of(row).changes(change), undo: Map::new() }
    }

    /// The same, taken back when the call certainly fails: what was so before is so again.
    fn trial(row: &Resource, change: impl FnOnce(&mut Self)) -> Mark {
        let mark = Self::mark(row, change);
        let before = |name: &String| row.facts.get(name).cloned().unwrap_or_default();
        let undo = mark.facts.keys().map(|name| (name.clone(), before(name))).collect();
        Mark { undo, ..mark }
    }
}

fn members(facts: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(facts) {
        Ok(Value::Object(members)) => members,
        // They are structures of texts, numbers, lists and words: writing one cannot fail.
        _ => Map::new(),
    }
}

/// What cannot be read is unset.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(T::deserialize(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// A mark is set unless it is certain that it is not.
fn mark<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(!matches!(Value::deserialize(deserializer)?, Value::Null | Value::Bool(false)))
}

/// The provider's ids that rows of any kind remember of their main objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectIds {
    /// Of the server.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Of the volume.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// Of the network.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub network_id: Option<String>,
    /// Of the primary IP.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub primary_ip_id: Option<String>,
    /// Of the snapshot.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
}

impl Facts for ObjectIds {}

impl ObjectIds {
    /// That of an object of a type, by the provider's word: `volume`.
    pub fn of_type(&self, object_type: &str) -> Option<&str> {
        match object_type {
            "server" => self.server_id.as_deref(),
            "volume" => self.volume_id.as_deref(),
            "network" => self.network_id.as_deref(),
            "primary_ip" => self.primary_ip_id.as_deref(),
            "image" => self.image_id.as_deref(),
            _ => None,
        }
    }
}

/// What rows of any kind remember of an object that an operator gave to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AdoptionFacts {
    /// The object, until the row has it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

impl Facts for AdoptionFacts {}

/// An object that a row is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// The provider's word for its type.
    #[serde(rename = "type")]
    pub object_type: String,
    /// The provider's id.
    pub id: String,
    /// The resource, now gone, that its labels name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
    /// Why the row does not get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What a network remembers and publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkFacts {
    /// The provider's id of the network.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub network_id: Option<String>,
    /// The block that it really has.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub range: Option<Ipv4Net>,
    /// A mark: the blocks that were, or may have been, added to it for NAT servers.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub gateway_ranges: Vec<Ipv4Net>,
    /// What its route tables come to, and what it wants of which gateway, as the adapter reads it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Value>,
}

impl Facts for NetworkFacts {}

/// What a subnet remembers and publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubnetFacts {
    /// A mark: the block that was, or may have been, added for it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<Ipv4Net>,
    /// The provider's id of its network, once the subnet is there.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub network_id: Option<String>,
    /// Addresses in it that NAT servers have, or are to have.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub nat_addresses: Vec<Ipv4Addr>,
    /// The addresses that its NICs reserve, while its network has no other room for NAT servers.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<Ipv4Addr>,
}

impl Facts for SubnetFacts {}

/// What a route table remembers and publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteTableFacts {
    /// A mark: the routes that were, or may have been, made for it, destination and next hop of each.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// The generation whose routes by gateways its network is to judge.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

impl Facts for RouteTableFacts {}

/// What a public IP remembers and publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PublicIpFacts {
    /// The provider's id of the primary IP.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub primary_ip_id: Option<String>,
    /// The address that the primary IP has.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The address that it had, if that was deleted at the provider.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub lost_address: Option<String>,
    /// A mark: the location in which the primary IP lies, or may lie.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl Facts for PublicIpFacts {}

/// What a NIC publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NicFacts {
    /// Whether all that it names is known, so that what it publishes is what it asks for.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Where it is attached; none while its addresses are not settled.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub attachment: Option<NicAttachment>,
    /// The public IPs that are its own, in the order in which it names them.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub public_ips: Vec<NicPublicIp>,
    /// What the security groups that it names come to; none if it names none.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub groups: Option<NicGroups>,
    /// The zone of the instance that has it, in which its public IPs are to lie.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Facts for NicFacts {}

/// What a rule of a security group publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityGroupRuleFacts {
    /// The rule with its sources resolved, as the adapter reads it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub compiled: Option<Value>,
}

impl Facts for SecurityGroupRuleFacts {}

/// What a security group publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityGroupFacts {
    /// The firewalls that hold its rules, in their order.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub firewalls: Vec<GroupFirewall>,
    /// Whether the firewalls have the rules that it asks for now.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
    /// How many rules of the provider it comes to.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub rules: Option<u32>,
    /// The public addresses of the instances that are in it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<IpAddr>,
}

impl Facts for SecurityGroupFacts {}

/// What a block storage remembers and publishes. What it amounts to is a [`crate::disk::Disk`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlockStorageFacts {
    /// What its blocks live on.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub backing: Option<Backing>,
    /// The provider's id of the volume.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// The provider's id of the server that it keeps.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// A mark: the volume may have been attached to a server, so that it may hold data.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub ever_attached: bool,
    /// A mark: the server whose disk it is may have run, so that the disk may hold data.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub ever_started: bool,
    /// A mark: the image that the server's disk was made from; none for the default one.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub source_image: Option<String>,
    /// A mark: the instance whose server's disk is its blocks.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub disk_of: Option<Uid>,
    /// Since when it keeps the server, in milliseconds.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub held_since: Option<i64>,
    /// What the server was made with that it keeps.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub made_with: Option<MadeWith>,
    /// The provider's id of the public address that the server has only because it needs an interface.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// The provider's id of the snapshot that its disk is kept in.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// The same, once the block storage is noted among the users of the snapshot, so that images may share it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub lends: Option<String>,
    /// The size in GB that the disk really has, which a server needs at least.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<u64>,
    /// The processors that the system on the disk is for.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// What a disk begins with that is made for it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The reference to the image that it has its origin from.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub origin_of: Option<String>,
    /// A mark: the location in which the volume lies or may lie, or the server whose disk it is.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl Facts for BlockStorageFacts {}

/// What an image remembers and publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ImageFacts {
    /// The provider's id of the snapshot that it is, once that could be used.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// A mark: the identity of the block storage that it is a copy of.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub taken_from: Option<String>,
    /// A mark: the name of that block storage.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub taken_from_name: Option<String>,
    /// What a disk begins with that is made from it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Facts for ImageFacts {}

/// What an instance remembers and publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InstanceFacts {
    /// The provider's id of the server.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// A mark: the server may have run, so that its disk may hold data.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub ever_started: bool,
    /// A mark: the name of the block storage whose blocks the server's disk is.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub boot_volume: Option<String>,
    /// A hash of the user data that the server was made with.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub user_data_hash: Option<String>,
    /// The version of the bootstrap that the server was made with before its user data; none if it was made with none.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub guest: Option<u32>,
    /// The server was made from the default image, by this name.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub default_image: Option<String>,
    /// The power action that the guest was asked to shut down for.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub shutdown_seq: Option<i64>,
    /// When it was first asked, in milliseconds.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub shutdown_at: Option<i64>,
    /// The power action that a reboot was sent for.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reboot_seq: Option<i64>,
    /// The provider's id of the last reboot of the server that is known: a later one is another.
    #[serde(rename = "lastRebootAction", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_reboot: Option<i64>,
    /// A mark: its NICs, volumes, groups and keys are its server's. Servers of the release before have none of them
    /// until they are written to.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub shaped: bool,
    /// A hash of the SSH keys that the server was made with.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub keys_hash: Option<String>,
    /// A mark: the server was made with a public address only because it needs an interface.
    #[serde(deserialize_with = "mark", skip_serializing_if = "std::ops::Not::not")]
    pub made_closed: bool,
    /// The provider's id of the public address that its server has only because it needs an interface.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// The interfaces that its server has in private networks.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// The public addresses that lead to it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub public_addresses: Vec<IpAddr>,
    /// A mark: its server is switched off, and on again, for a change that needs it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub power_cycle: Option<PowerCycle>,
    /// A hash of what its server had in full, of what changes only while it is off.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub complete: Option<String>,
    /// A mark: the provider's name of the server type that its server is to get when it is started.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub retype: Option<String>,
}

impl Facts for InstanceFacts {}

/// A server is switched off for a change, and on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PowerCycle {
    /// The number of the last power action before it: a later one takes its place.
    pub action: i64,
    /// When it began, in milliseconds.
    pub since: i64,
    /// The server is being switched on again.
    #[serde(default)]
    pub ending: bool,
}

/// What a block storage's blocks live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backing {
    /// Nothing yet, or the disk of the holder's server.
    None,
    /// A volume of the provider's.
    Volume,
    /// The disk of a server that it keeps for itself, after its instance was deleted.
    Server,
    /// A volume that is being removed.
    Releasing,
    /// A snapshot of the disk of a server that is gone.
    Snapshot,
}

/// What a server was made with that cannot be changed: another instance can have it only if it asks for the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MadeWith {
    /// A hash of the user data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data_hash: Option<String>,
    /// The version of the bootstrap that stands before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<u32>,
    /// A hash of the SSH keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_hash: Option<String>,
    /// The provider's name of the server type.
    pub server_type: String,
    /// The provider's name of the location.
    pub location: String,
}

/// What a disk begins with. An image passes it on to the block storages that are made from it, and they to the servers that
/// boot from them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// Nothing, so that the operator's default image boots: on these processors, if an image says so.
    Blank {
        /// The processors.
        architecture: Option<CpuArchitecture>,
    },
    /// A system image, by its name in the catalogue.
    System(String),
    /// A snapshot.
    Snapshot {
        /// The provider's id of it.
        id: i64,
        /// The project that it is in: no other can use it.
        project: ProjectId,
    },
}

/// Where a NIC is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicAttachment {
    /// The provider's id of the network.
    pub network_id: String,
    /// The subnet, as the key of its row: NICs of one network share its interface, if they are of one subnet.
    pub subnet: String,
    /// Its IPv4 addresses, in the order in which it asks for them.
    pub addresses: Vec<Ipv4Addr>,
}

/// A public IP that is a NIC's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicPublicIp {
    /// The name of the public IP.
    pub name: String,
    /// Its identity.
    pub uid: Uid,
    /// The family of its address.
    pub version: IpVersion,
    /// The provider's id of the primary IP.
    pub primary_ip_id: String,
    /// Its address.
    pub address: IpAddr,
    /// Whether it leads to the server of the NIC's instance. The public IP does not see that server change, and looks again when
    /// this does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leads: bool,
}

/// What the security groups of a NIC come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NicGroups {
    /// The groups, each with its firewalls.
    pub groups: Vec<GroupUse>,
}

/// A security group that stands before an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupUse {
    /// The name of the group.
    pub name: String,
    /// Its firewalls: the provider's ids. None while the group is missing, is being deleted, or is not compiled.
    pub firewalls: Vec<String>,
    /// Whether they have the rules that the group asks for now, so that they may be opened to another instance.
    pub ready: bool,
    /// How many rules of the provider they have.
    pub rules: u32,
}

/// A firewall that holds rules of a security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupFirewall {
    /// The provider's id of the firewall.
    pub id: String,
    /// A hash of its rules.
    pub hash: String,
}

/// An interface of a server in a private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// The provider's id of the network.
    pub network_id: String,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// Further addresses, which the guest must add itself.
    pub aliases: Vec<Ipv4Addr>,
    /// The address of its hardware.
    pub mac: Option<String>,
}

#[cfg(test)]
mod tests {
    use seca_api::{Kind, ResourceKey, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::{ports::Put, state};

    fn row(facts: Value) -> Resource {
        let key = ResourceKey::tenant(Kind::BlockStorage, "r", "t", "n");
        let put = Put::create(key, Uid(uuid::Uuid::from_u128(1)), "{}".to_owned(), Timestamp::from_millis(1));
        let mut row = state::create(put, ProjectId("p".to_owned()));
        row.facts = facts.as_object().cloned().unwrap_or_default();
        row
    }

    #[test]
    fn what_cannot_be_read_is_unset_and_a_mark_is_set() {
        let facts = BlockStorageFacts::of(&row(
            json!({"backing": "tape", "volumeId": 7, "everAttached": "yes", "everStarted": false}),
        ));
        assert_eq!(facts, BlockStorageFacts { ever_attached: true, ..BlockStorageFacts::default() });
    }

    #[test]
    fn a_change_names_what_differs_and_leaves_what_others_wrote() {
        let row = row(json!({"backing": "volume", "volumeId": "7", "later": [1], "everAttached": true}));
        let mark = BlockStorageFacts::trial(&row, |facts| {
            facts.backing = Some(Backing::Releasing);
            facts.volume_id = None;
            facts.ever_started = true;
        });
        assert_eq!(
            Value::Object(mark.facts.clone()),
            json!({"backing": "releasing", "everStarted": true, "volumeId": null})
        );
        assert_eq!(
            Value::Object(mark.undo.clone()),
            json!({"backing": "volume", "everStarted": null, "volumeId": "7"})
        );
        let mut facts = row.facts.clone();
        state::merge(&mut facts, &mark.facts);
        state::undo(&mut facts, &mark);
        assert_eq!(facts, row.facts);
    }

    /// Rows of every release so far have these members.
    #[test]
    fn the_names_of_members_stay() {
        let stored = json!({
            "backing": "server", "volumeId": "1", "serverId": "2", "everAttached": true, "everStarted": true,
            "sourceImage": "images/x", "diskOf": "00000000-0000-0000-0000-000000000001",
            "origin": {"snapshot": {"id": 3, "project": "p"}}, "originOf": "images/x",
        });
        let facts = BlockStorageFacts::of(&row(stored.clone()));
        assert_eq!(serde_json::to_value(&facts).unwrap(), stored);
        let stored = json!({
            "serverId": "2", "everStarted": true, "bootVolume": "b", "userDataHash": "h", "defaultImage": "d",
            "shutdownSeq": 1, "shutdownAt": 2, "rebootSeq": 3, "lastRebootAction": 4,
        });
        assert_eq!(serde_json::to_value(InstanceFacts::of(&row(stored.clone()))).unwrap(), stored);
        let stored = json!({"imageId": "3", "takenFrom": "u", "takenFromName": "n", "origin": {"system": "ubuntu"}});
        assert_eq!(serde_json::to_value(ImageFacts::of(&row(stored.clone()))).unwrap(), stored);
        let stored = json!({"primaryIpId": "3", "address": "192.0.2.1", "lostAddress": "192.0.2.2"});
        assert_eq!(serde_json::to_value(PublicIpFacts::of(&row(stored.clone()))).unwrap(), stored);
    }
}
