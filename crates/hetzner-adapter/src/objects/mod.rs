//! The types of objects at the provider, one file each: how they are listed, read and removed, what their calls are
//! and what shows the effect of each, and what one object tells about others.
//!
//! The macro `each_type` lists the types once, and what is needed for each of them is made from that list. A new type is
//! a file here, with its `mod` and `use`, and a line there.

mod calls;
mod firewall;
mod image;
mod network;
mod placement_group;
mod primary_ip;
mod server;
mod ssh_key;
mod volume;

use std::{collections::BTreeMap, fmt, future::Future};

use control_plane::ports::OwnedObject;
use hcloud_client::{
    Error, ListFilter, ProjectClient,
    types::{
        Action, Firewall, Id, Image, Labels, Network, PlacementGroup, PrimaryIp, Resource, Server, SshKey, Volume,
    },
};
use seca_api::Timestamp;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{call::Until, naming, owner::Owner};

pub use firewall::FirewallCall;
pub use image::ImageCall;
pub use network::NetworkCall;
pub use placement_group::PlacementGroupCall;
pub use primary_ip::PrimaryIpCall;
pub use server::ServerCall;
pub use ssh_key::SshKeyCall;
pub use volume::VolumeCall;

pub(crate) use calls::{Effect, ObjectCall, Sent, Trace};
pub(crate) use image::CREATE_IMAGE;
pub(crate) use network::{has_subnet, overlap, overlapping, route_to};
pub(crate) use server::has_firewall;
pub(crate) use ssh_key::is_same_key;

/// What is to be known of a type. The provider's word for it is [`Resource::SINGULAR`].
pub trait ProviderObject: Resource + Clone + Into<Object> {
    /// Whether its objects have names, each only once in a project; else only labels tell them apart.
    const IS_NAMED: bool = true;
    /// The action that makes one, where that may fail and leave a part behind.
    const MADE_BY: Option<&'static str> = None;
    /// The actions that show that one was ever used.
    const USED_BY: &'static [&'static str] = &[];
    /// Of these, the ones that begin a use.
    const BEGUN_BY: &'static [&'static str] = &[];

    /// Its name; where it has none, what people see in place of it.
    fn name(&self) -> &str;

    /// Its labels.
    fn labels(&self) -> &Labels;

    /// When it was made.
    fn created(&self) -> Option<OffsetDateTime>;

    /// The data that it can hold, in GB.
    fn size_gb(&self) -> Option<u64> {
        None
    }

    /// The location in which it lies.
    fn location(&self) -> Option<&str> {
        None
    }

    /// The server that has it.
    fn server(&self) -> Option<i64> {
        None
    }

    /// Its address, if it is one.
    fn address(&self) -> Option<&str> {
        None
    }

    /// Whether the provider only remembers it.
    fn is_gone(&self) -> bool {
        false
    }

    /// Whether it is as it is waited for.
    fn is(&self, _until: Until) -> bool {
        true
    }

    /// Whether one that serves several resources is in use, as far as the provider tells.
    fn is_used(&self, _objects: &Objects) -> bool {
        true
    }

    /// Corrects what is known of other objects by what this one shows for certain.
    fn seen(&self, _others: &mut Objects) {}

    /// The same when it is gone.
    fn gone(_id: Id<Self>, _others: &mut Objects) {}

    /// All pages of a list.
    fn list(client: &ProjectClient, filter: &ListFilter) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;

    /// One object.
    fn get(client: &ProjectClient, id: Id<Self>) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Removes it; without an action it is gone when that answers.
    fn delete(client: &ProjectClient, id: Id<Self>) -> impl Future<Output = Result<Option<Action>, Error>> + Send;

    /// Its actions, oldest first; none of a type of which no decision needs them.
    fn actions(_client: &ProjectClient, _id: Id<Self>) -> impl Future<Output = Result<Vec<Action>, Error>> + Send {
        std::future::ready(Ok(Vec::new()))
    }
}

/// A type whose objects a snapshot keeps.
pub trait Stored: ProviderObject {
    /// The type as data.
    const TYPE: ObjectType;

    /// Its id as data.
    fn object_id(&self) -> ObjectId;

    /// Those that are known, by id.
    fn all(objects: &Objects) -> &BTreeMap<i64, Self>;
}

/// The types: the provider's type, the objects of it that are known, its calls. Lists are read in this order.
macro_rules! each_type {
    ($then:ident) => {
        $then! {
            Server servers ServerCall,
            Volume volumes VolumeCall,
            Network networks NetworkCall,
            Firewall firewalls FirewallCall,
            PrimaryIp primary_ips PrimaryIpCall,
            PlacementGroup placement_groups PlacementGroupCall,
            Image images ImageCall,
            SshKey ssh_keys SshKeyCall,
        }
    };
}
pub(crate) use each_type;

macro_rules! objects {
    ($($Type:ident $all:ident $Call:ident),+ $(,)?) => {
        /// An object as an answer showed it.
        #[derive(Clone, Debug)]
        #[expect(missing_docs, reason = "the types are the documentation")]
        pub enum Object {
            $($Type(Box<$Type>)),+
        }

        /// An object by its id.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the types are the documentation")]
        pub enum ObjectId {
            $($Type(Id<$Type>)),+
        }

        /// The types of objects.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the names are the provider's own")]
        pub enum ObjectType {
            $($Type),+
        }

        /// All that is known of a project, by type and id. Of images these are the snapshots.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Objects {
            $(pub(crate) $all: BTreeMap<i64, $Type>),+
        }

        $(
            impl From<$Type> for Object {
                fn from(object: $Type) -> Self {
                    Self::$Type(Box::new(object))
                }
            }

            impl From<Id<$Type>> for ObjectId {
                fn from(id: Id<$Type>) -> Self {
                    Self::$Type(id)
                }
            }

            impl Stored for $Type {
                const TYPE: ObjectType = ObjectType::$Type;

                fn object_id(&self) -> ObjectId {
                    ObjectId::$Type(self.id)
                }

                fn all(objects: &Objects) -> &BTreeMap<i64, Self> {
                    &objects.$all
                }
            }
        )+

        impl Object {
            /// Its id.
            pub fn object_id(&self) -> ObjectId {
                match self {
                    $(Self::$Type(object) => ObjectId::$Type(object.id)),+
                }
            }

            /// Its labels.
            pub fn labels(&self) -> &Labels {
                match self {
                    $(Self::$Type(object) => object.labels()),+
                }
            }

            /// Its name; of a snapshot the description.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$Type(object) => ProviderObject::name(&**object)),+
                }
            }

            /// Whether the provider only remembers it.
            pub(crate) fn is_gone(&self) -> bool {
                match self {
                    $(Self::$Type(object) => object.is_gone()),+
                }
            }

            /// Whether it is as it is waited for.
            pub(crate) fn is(&self, until: Until) -> bool {
                match self {
                    $(Self::$Type(object) => object.is(until)),+
                }
            }
        }

        impl ObjectId {
            /// Its type.
            pub fn kind(self) -> ObjectType {
                match self {
                    $(Self::$Type(_) => ObjectType::$Type),+
                }
            }

            /// Its number among the objects of its type.
            pub fn number(self) -> i64 {
                match self {
                    $(Self::$Type(id) => id.get()),+
                }
            }

            /// Reads it.
            pub(crate) async fn get(self, client: &ProjectClient) -> Result<Object, Error> {
                match self {
                    $(Self::$Type(id) => $Type::get(client, id).await.map(Object::from)),+
                }
            }

            /// Removes it; without an action it is gone when that answers.
            pub(crate) async fn delete(self, client: &ProjectClient) -> Result<Option<Action>, Error> {
                match self {
                    $(Self::$Type(id) => $Type::delete(client, id).await),+
                }
            }

            /// Its actions, oldest first; none of a type of which no decision needs them.
            pub(crate) async fn actions(self, client: &ProjectClient) -> Result<Vec<Action>, Error> {
                match self {
                    $(Self::$Type(id) => $Type::actions(client, id).await),+
                }
            }
        }

        impl ObjectType {
            /// All types.
            pub const ALL: &'static [Self] = &[$(Self::$Type),+];

            /// The provider's word for it.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$Type => $Type::SINGULAR),+
                }
            }

            /// The object of this type with an id.
            pub fn id(self, id: i64) -> ObjectId {
                match self {
                    $(Self::$Type => ObjectId::$Type(id.into())),+
                }
            }

            /// Whether its objects have names, each only once in a project.
            pub fn is_named(self) -> bool {
                match self {
                    $(Self::$Type => $Type::IS_NAMED),+
                }
            }

            /// The action that makes one, where that may fail and leave a part behind.
            pub(crate) fn made_by(self) -> Option<&'static str> {
                match self {
                    $(Self::$Type => $Type::MADE_BY),+
                }
            }

            /// The actions that show that one was ever used.
            pub(crate) fn used_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$Type => $Type::USED_BY),+
                }
            }

            /// Of these, the ones that begin a use.
            pub(crate) fn begun_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$Type => $Type::BEGUN_BY),+
                }
            }

            /// The objects of the type that a filter lets through.
            pub(crate) async fn list(self, client: &ProjectClient, filter: &ListFilter) -> Result<Vec<Object>, Error> {
                match self {
                    $(Self::$Type => {
                        let found = $Type::list(client, filter).await?;
                        Ok(found.into_iter().filter(|object| !object.is_gone()).map(Object::from).collect())
                    })+
                }
            }
        }

        impl Objects {
            /// Reads the lists of all types, one after the other.
            pub(crate) async fn list(client: &ProjectClient, filter: &ListFilter) -> Result<Self, Error> {
                Ok(Self {
                    $($all: by_id($Type::list(client, filter).await?)),+
                })
            }

            /// Takes an object as it is, and corrects what others show of it.
            pub(crate) fn keep(&mut self, object: Object) {
                match object {
                    $(Object::$Type(object) => {
                        object.seen(self);
                        self.$all.insert(object.id.get(), *object);
                    }),+
                }
            }

            /// An object is gone, and so is what others show of it.
            pub(crate) fn remove(&mut self, id: ObjectId) {
                match id {
                    $(ObjectId::$Type(id) => {
                        self.$all.remove(&id.get());
                        $Type::gone(id, self);
                    }),+
                }
            }

            /// An object that is known.
            pub(crate) fn get(&self, id: ObjectId) -> Option<Object> {
                match id {
                    $(ObjectId::$Type(id) => self.$all.get(&id.get()).cloned().map(Object::from)),+
                }
            }

            /// The labels of an object that is known.
            pub(crate) fn labels(&self, id: ObjectId) -> Option<&Labels> {
                match id {
                    $(ObjectId::$Type(id) => self.$all.get(&id.get()).map(ProviderObject::labels)),+
                }
            }

            /// The objects of a type whose labels pass.
            pub(crate) fn ids_where(&self, kind: ObjectType, is_it: impl Fn(&Labels) -> bool) -> Vec<ObjectId> {
                match kind {
                    $(ObjectType::$Type => {
                        let found = self.$all.values().filter(|object| is_it(object.labels()));
                        found.map(|object| ObjectId::$Type(object.id)).collect()
                    })+
                }
            }

            /// Whether an object of a type is an owner's, of whichever installation.
            pub(crate) fn has_owner(&self, kind: ObjectType, owner: &Owner) -> bool {
                match kind {
                    $(ObjectType::$Type => {
                        self.$all.values().any(|object| Owner::of(object.labels()).as_ref() == Some(owner))
                    })+
                }
            }

            /// The labels of all objects.
            pub(crate) fn all_labels(&self) -> Vec<&Labels> {
                let all = std::iter::empty();
                $(let all = all.chain(self.$all.values().map(ProviderObject::labels));)+
                all.collect()
            }

            /// The objects of an installation but for its marker, and for what serves several resources while it is
            /// used.
            pub(crate) fn owned(&self, installation: &str) -> Vec<OwnedObject> {
                let mut owned = Vec::new();
                $(collect(&mut owned, self, installation, &self.$all);)+
                owned
            }
        }
    };
}
each_type!(objects);

impl fmt::Display for ObjectId {
    /// As steps name what they must not share time with: `server:42`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind().word(), self.number())
    }
}

impl Object {
    /// Whose it is, as its labels tell.
    pub fn owner(&self) -> Option<Owner> {
        Owner::of(self.labels())
    }
}

impl ObjectType {
    /// The type of the provider's word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }
}

fn by_id<T: ProviderObject>(all: Vec<T>) -> BTreeMap<i64, T> {
    all.into_iter().filter(|object| !object.is_gone()).map(|object| (object.raw_id(), object)).collect()
}

fn collect<T: ProviderObject>(
    owned: &mut Vec<OwnedObject>,
    objects: &Objects,
    installation: &str,
    all: &BTreeMap<i64, T>,
) {
    let is_left_out = |object: &T| {
        let labels = object.labels();
        let is_shared = matches!(Owner::of(labels), Some(Owner::Shared { .. }));
        labels.contains_key(naming::PROJECT) || (is_shared && object.is_used(objects))
    };
    let ours = all.values().filter(|object| naming::is_of(object.labels(), installation) && !is_left_out(object));
    owned.extend(ours.map(|object| OwnedObject {
        object_type: T::SINGULAR.to_owned(),
        id: object.raw_id().to_string(),
        name: object.name().to_owned(),
        uid: naming::uid_of(object.labels()),
        created: object.created().and_then(timestamp),
        labels: object.labels().clone(),
        size_gb: object.size_gb(),
        location: object.location().map(str::to_owned),
        used_by: object.server().map(|server| format!("server {server}")),
        address: object.address().map(str::to_owned),
    }));
}

/// A time of the provider's.
pub(crate) fn timestamp(at: OffsetDateTime) -> Option<Timestamp> {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_word_and_its_id() {
        for kind in ObjectType::ALL {
            assert_eq!(ObjectType::of_word(kind.word()), Some(*kind));
            assert_eq!(kind.id(7).kind(), *kind);
            assert_eq!(kind.id(7).to_string(), format!("{}:7", kind.word()));
            // Words of records: the same in all three.
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(serde_json::to_value(kind.id(7)).unwrap()[kind.word()], 7);
        }
        assert_eq!(ObjectType::of_word("load_balancer"), None);
    }
}
