//! What is known not to exist.
//!
//! A list proves nothing: it is read page by page, and pages shift while somebody deletes. So an object that a list
//! does not show is asked for by its id, or by its label and name, before anything is decided by its absence. The
//! answer to our own removal is a proof as well. Proofs end with the snapshot: the next one asks again.

use std::collections::BTreeSet;

use control_plane::Uid;
use serde::{Deserialize, Serialize};

use crate::snapshot::ObjectId;

/// The types of objects that resources own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the provider's own")]
pub enum ObjectType {
    Server,
    Volume,
    Network,
    Firewall,
    PrimaryIp,
    Image,
}

impl ObjectType {
    /// The provider's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Firewall => "firewall",
            Self::PrimaryIp => "primary_ip",
            Self::Image => "image",
        }
    }

    /// The object of this type with an id.
    pub fn id(self, id: i64) -> ObjectId {
        match self {
            Self::Server => ObjectId::Server(id.into()),
            Self::Volume => ObjectId::Volume(id.into()),
            Self::Network => ObjectId::Network(id.into()),
            Self::Firewall => ObjectId::Firewall(id.into()),
            Self::PrimaryIp => ObjectId::PrimaryIp(id.into()),
            Self::Image => ObjectId::Image(id.into()),
        }
    }
}

impl ObjectId {
    /// Its type.
    pub fn kind(self) -> ObjectType {
        match self {
            Self::Server(_) => ObjectType::Server,
            Self::Volume(_) => ObjectType::Volume,
            Self::Network(_) => ObjectType::Network,
            Self::Firewall(_) => ObjectType::Firewall,
            Self::PrimaryIp(_) => ObjectType::PrimaryIp,
            Self::Image(_) => ObjectType::Image,
        }
    }
}

/// The proofs of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absent {
    /// There is no object with this id.
    ids: BTreeSet<ObjectId>,
    /// No object of this type belongs to this resource.
    owned: BTreeSet<(ObjectType, Uid)>,
}

impl Absent {
    /// An object is there.
    pub(crate) fn disprove(&mut self, object: ObjectId, owner: Option<Uid>) {
        self.ids.remove(&object);
        if let Some(owner) = owner {
            self.owned.remove(&(object.kind(), owner));
        }
    }

    /// An object is gone; `owner` had no other one of its type.
    pub(crate) fn prove(&mut self, object: ObjectId, owner: Option<Uid>) {
        self.ids.insert(object);
        self.owned.extend(owner.map(|owner| (object.kind(), owner)));
    }

    /// A resource has no object of a type.
    pub(crate) fn prove_owned(&mut self, kind: ObjectType, owner: Uid) {
        self.owned.insert((kind, owner));
    }

    pub(crate) fn has(&self, object: ObjectId) -> bool {
        self.ids.contains(&object)
    }

    pub(crate) fn has_owned(&self, kind: ObjectType, owner: Uid) -> bool {
        self.owned.contains(&(kind, owner))
    }
}
