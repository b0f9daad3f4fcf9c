//! The disk that a block storage is, and how it becomes another one. Pure: a row's facts say what it is, and a transition
//! says how the facts change. A provider's servers boot from local disks only, so a block storage that an instance boots from
//! is a part of a server, and has to outlive it.
//!
//! | the block storage | the disk | becomes |
//! |---|---|---|
//! | is blank, and nobody boots from it | [`Disk::Blank`] | `Logical`, when it is to boot and was never attached |
//! | was made from an image, or is to boot | [`Disk::Logical`] | `OnServer`, when a server is made for its holder |
//! | is the disk of its holder's server | [`Disk::OnServer`] | `Held`, when an instance that ran is deleted; else what it was before |
//! | keeps the server of a deleted instance | [`Disk::Held`] | `OnServer`, when the next instance fits; else `Parked` |
//! | is a snapshot | [`Disk::Parked`] | `OnServer`, when a server is made from it; the snapshot goes when that has started. `Held` again, when somebody starts the old server before that is gone |
//!
//! Each removal at the provider comes after what replaces the disk was observed.

use seca_api::BlockStorageSpec;

use crate::{
    facts::{Backing, BlockStorageFacts, Facts, MadeWith},
    resource::{Resource, Uid},
};

/// What a block storage is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// A volume of the provider's, or nothing yet.
    Blank {
        /// The provider's id of the volume, once there is one.
        volume: Option<String>,
    },
    /// Nothing of its own: what it begins with is written when a server is made.
    Logical,
    /// The disk of an instance's server.
    OnServer {
        /// The instance.
        instance: Uid,
        /// Whether the server may have run, so that the disk may hold data.
        ever_started: bool,
    },
    /// The disk of a server that is off and serves nobody, after its instance was deleted.
    Held {
        /// The provider's id of the server.
        server: Option<String>,
    },
    /// A snapshot, which the next server is made from.
    Parked {
        /// The provider's id of the snapshot.
        image: Option<String>,
    },
}

impl Disk {
    /// What the row of a block storage says that it is.
    pub fn of(row: &Resource) -> Self {
        let facts = BlockStorageFacts::of(row);
        let is_logical = || row.spec::<BlockStorageSpec>().is_ok_and(|spec| spec.source_image_ref.is_some());
        match (facts.backing, row.holder.filter(|holder| facts.disk_of == Some(*holder))) {
            (Some(Backing::Server), _) => Self::Held { server: facts.server_id },
            // It is on a server as well, once one was made from it, and stays what it was until that has started.
            (Some(Backing::Snapshot), _) => Self::Parked { image: facts.image_id },
            (Some(Backing::None), Some(instance)) => Self::OnServer { instance, ever_started: facts.ever_started },
            (Some(Backing::None | Backing::Releasing), None) => Self::Logical,
            (None, _) if is_logical() => Self::Logical,
            _ => Self::Blank { volume: facts.volume_id },
        }
    }

    /// Whether it is the disk of a server that no instance has, so that no other server can boot from it as it is.
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Whether a block storage may hold what a system wrote: it can be no data volume.
    pub fn held_a_system(row: &Resource) -> bool {
        let facts = BlockStorageFacts::of(row);
        facts.ever_started || matches!(facts.backing, Some(Backing::Server | Backing::Snapshot))
    }
}

/// A server is about to be made whose disk its blocks are.
pub fn take(facts: &mut BlockStorageFacts, instance: Uid, source_image: Option<String>) {
    facts.source_image = source_image;
    facts.disk_of = Some(instance);
}

/// The server whose disk it is may run from now on.
pub fn start(facts: &mut BlockStorageFacts) {
    facts.ever_started = true;
}

/// The server of its instance is its own now.
pub fn hold(facts: &mut BlockStorageFacts, server: String, made_with: Option<MadeWith>, since: i64) {
    facts.backing = Some(Backing::Server);
    facts.server_id = Some(server);
    // The one that the server was made from is old.
    facts.image_id = None;
    facts.lends = None;
    facts.ever_started = true;
    facts.made_with = made_with;
    facts.held_since = Some(since);
}

/// Its server ran again after its snapshot was made: the server's disk is newer.
pub fn keep_again(facts: &mut BlockStorageFacts, server: String, since: i64) {
    let made_with = facts.made_with.take();
    hold(facts, server, made_with, since);
}

/// The server that it kept is an instance's: again, or the next one's.
pub fn give_back(facts: &mut BlockStorageFacts, instance: Uid) {
    facts.backing = Some(Backing::None);
    facts.server_id = None;
    facts.held_since = None;
    facts.made_with = None;
    facts.placeholder = None;
    facts.disk_of = Some(instance);
    facts.ever_started = true;
}

/// Its disk is in a snapshot that is proven to be complete, and its server is about to go: until that is gone it is
/// remembered, so that whoever waits for the snapshot is woken by its end. Whatever a server made from it
/// does, the snapshot stays as it is.
pub fn park(facts: &mut BlockStorageFacts, image: String, disk_gb: u64, architecture: Option<String>) {
    facts.backing = Some(Backing::Snapshot);
    facts.image_id = Some(image);
    facts.disk_gb = Some(disk_gb);
    facts.architecture = architecture;
    facts.lends = None;
    facts.held_since = None;
    facts.made_with = None;
    facts.placeholder = None;
    facts.disk_of = None;
    facts.ever_started = false;
    // Snapshots lie in no location.
    facts.location = None;
}

/// The server that was made from its snapshot has started, so that the snapshot is old.
pub fn leave_snapshot(facts: &mut BlockStorageFacts) {
    facts.backing = Some(Backing::None);
    facts.image_id = None;
    facts.lends = None;
    facts.ever_started = true;
}

/// Its blank volume is not needed: it is to boot, and was never attached.
pub fn release(facts: &mut BlockStorageFacts) {
    facts.backing = Some(Backing::Releasing);
    facts.volume_id = None;
}
