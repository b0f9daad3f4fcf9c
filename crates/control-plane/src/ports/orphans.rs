//! What operators order about orphans: objects of this installation at the provider that no resource claims.

use std::time::Duration;

use async_trait::async_trait;
use seca_api::ResourceKey;

use super::{Lease, OwnedObject, StoreResult};
use crate::{
    facts::{Adopt, AdoptionFacts, Facts, ObjectIds},
    resource::{ProjectId, Resource, Uid},
};

/// What is to become of an orphan. An object has one order at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanOrder {
    /// Its identity. A removal is queued under it, like a resource.
    pub uid: Uid,
    /// The project that the object is in.
    pub project: ProjectId,
    /// The object, as a sweep saw it.
    pub object: OwnedObject,
    /// The resource that is to have it; none: it is to be removed.
    pub into: Option<Uid>,
    /// What the last try of a removal came to; none before it.
    pub told: Option<String>,
    /// Whether the removal was refused: it is not tried any more.
    pub refused: bool,
}

impl OrphanOrder {
    /// Whether it is about an object of a project.
    pub fn is_about(&self, project: &ProjectId, object_type: &str, id: &str) -> bool {
        self.project == *project && self.object.object_type == object_type && self.object.id == id
    }

    /// What the resource remembers that is to have the object.
    pub fn adopt(&self) -> Adopt {
        let OwnedObject { object_type, id, uid, .. } = self.object.clone();
        Adopt { object_type, id, uid, refused: None }
    }

    /// What a resource remembers of the object, if it is to have it or was refused it.
    pub fn remembered_by(&self, row: &Resource) -> Option<Adopt> {
        let adopt = AdoptionFacts::of(row).adopt?;
        (adopt.object_type == self.object.object_type && adopt.id == self.object.id).then_some(adopt)
    }

    /// Whether something is still to be done about it; `into` is the resource that is to have the object.
    pub fn stands(&self, into: Option<&Resource>) -> bool {
        match self.into {
            None => !self.refused,
            Some(_) => into.and_then(|row| self.remembered_by(row)).is_some_and(|adopt| adopt.refused.is_none()),
        }
    }

    /// Whether a resource of the project has the object, by its labels or by what it remembers. That of which the order is
    /// may have lost it.
    pub fn is_claimed_by(&self, row: &Resource) -> bool {
        let OwnedObject { object_type, id, uid, .. } = &self.object;
        let remembers = ObjectIds::of(row).of_type(object_type) == Some(id) && self.into != Some(row.uid);
        *uid == Some(row.uid) || remembers
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    /// It stands, and stood already if it is the same.
    Accepted,
    /// The last sweep of the project saw no such orphan.
    Unknown,
    /// A resource claims the object.
    Claimed(ResourceKey),
    /// Something else was ordered about the object; the resource that is to have it, if there is one.
    Ordered(Option<ResourceKey>),
    /// The resource that was to have it left its project, or is being deleted.
    Left,
}

/// What a try of a removal came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    /// The object is gone.
    Done,
    /// It is not removed, because of this.
    Refused(String),
    /// It is tried again after a while, because of this.
    Again(Duration, String),
}

/// Storage of orders. Every method is one transaction.
///
/// # Errors
/// Of every method: see [`Store`](super::Store).
#[async_trait]
pub trait OrphanStore: Send + Sync {
    /// Orders something about an orphan. A removal is queued for the holder of the project's lease. A resource that is to
    /// have an object remembers that ([`crate::facts::AdoptionFacts`]) and is queued. What was refused, and what led to an
    /// end, makes room for another order.
    async fn order(&self, order: &OrphanOrder) -> StoreResult<OrderOutcome>;

    /// All orders, by project, type and id, each with the resource that is to have the object, while there is one.
    async fn orders(&self) -> StoreResult<Vec<(OrphanOrder, Option<Resource>)>>;

    /// The removal of an identity in a leased project that is still to be done.
    async fn removal(&self, lease: &Lease, uid: Uid) -> StoreResult<Option<OrphanOrder>>;

    /// Writes down what a try of a removal came to. False when the lease is lost.
    async fn tried(&self, lease: &Lease, uid: Uid, end: &OrderEnd) -> StoreResult<bool>;
}
