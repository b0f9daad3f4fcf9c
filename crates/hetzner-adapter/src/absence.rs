//! What is known not to exist.
//!
//! A list proves nothing: it is read page by page, and pages shift while somebody deletes. So an object that a list
//! does not show is asked for by its id, or by its label and name, before anything is decided by its absence. The
//! answer to our own removal is a proof as well. Proofs end with the snapshot: the next one asks again.

use std::collections::BTreeSet;

use crate::{
    objects::{ObjectId, ObjectType},
    owner::Owner,
};

/// The proofs of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absent {
    /// There is no object with this id.
    ids: BTreeSet<ObjectId>,
    /// No object of this type is this owner's.
    owned: BTreeSet<(ObjectType, Owner)>,
}

impl Absent {
    /// An object is there.
    pub(crate) fn disprove(&mut self, object: ObjectId, owner: Option<Owner>) {
        self.ids.remove(&object);
        if let Some(owner) = owner {
            self.owned.remove(&(object.kind(), owner));
        }
    }

    /// An object is gone; `owner` had no other one of its type.
    pub(crate) fn prove(&mut self, object: ObjectId, owner: Option<Owner>) {
        self.ids.insert(object);
        self.owned.extend(owner.map(|owner| (object.kind(), owner)));
    }

    /// An owner has no object of a type.
    pub(crate) fn prove_owned(&mut self, kind: ObjectType, owner: Owner) {
        self.owned.insert((kind, owner));
    }

    pub(crate) fn has(&self, object: ObjectId) -> bool {
        self.ids.contains(&object)
    }

    pub(crate) fn has_owned(&self, kind: ObjectType, owner: &Owner) -> bool {
        self.owned.contains(&(kind, owner.clone()))
    }
}
