//! What ties resources to each other, and to the objects that several of them use. The store alone keeps it.

use serde::{Deserialize, Serialize};

use crate::resource::Uid;

/// A tie that a plan makes or ends. One that stands already, or ended already, is no error: nothing changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tie {
    /// The planned resource becomes the holder of this one, if nobody is.
    Claim(Uid),
    /// The planned resource has this holder no longer.
    Release(Uid),
    /// The planned resource uses an auxiliary from now on.
    Use(Auxiliary),
    /// The planned resource does not use an auxiliary any more.
    Drop(Auxiliary),
}

impl Tie {
    /// The resource that it changes beside the planned one.
    pub const fn other(&self) -> Option<Uid> {
        match self {
            Self::Claim(uid) => Some(*uid),
            Self::Release(_) | Self::Use(_) | Self::Drop(_) => None,
        }
    }
}

/// A provider's object that belongs to no single resource: an SSH key, a placement group. The first user makes it, the
/// last one removes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Auxiliary {
    /// What it is for: `ssh-key`.
    pub purpose: String,
    /// A hash of what is in it, so that equal ones are one; empty where there is one alone.
    pub content: String,
}

/// An auxiliary that a resource uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuxiliaryUse {
    /// The auxiliary.
    pub auxiliary: Auxiliary,
    /// How many other resources of the project use it.
    pub others: i64,
}
