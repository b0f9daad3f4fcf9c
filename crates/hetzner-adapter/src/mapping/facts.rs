//! The facts that mappings remember in rows. Ids are caches; marks are committed before the call that makes them
//! true, because after a crash nobody could tell.

/// What a block storage's blocks live on: one of the four below.
pub(crate) const BACKING: &str = "backing";
/// Nothing yet, or the disk of the holder's server.
pub(crate) const NONE: &str = "none";
/// A Hetzner volume.
pub(crate) const VOLUME: &str = "volume";
/// The disk of a server that it keeps for itself, after its instance was deleted.
pub(crate) const SERVER: &str = "server";
/// A Hetzner volume that is being removed.
pub(crate) const RELEASING: &str = "releasing";

/// A mark: the volume may have been attached to a server, so that it may hold data.
pub(crate) const EVER_ATTACHED: &str = "everAttached";
/// A mark of an instance and of its boot volume: the server may have run, so that its disk may hold data.
pub(crate) const EVER_STARTED: &str = "everStarted";

/// A mark: the name of the block storage whose blocks the server's disk is.
pub(crate) const BOOT_VOLUME: &str = "bootVolume";

/// A mark of a boot volume: the image that the server's disk was made from; absent for the default one.
pub(crate) const SOURCE_IMAGE: &str = "sourceImage";

/// A mark of a boot volume: the identity of the instance whose server's disk is its blocks.
pub(crate) const DISK_OF: &str = "diskOf";

/// The provider's id of the server.
pub(crate) const SERVER_ID: &str = "serverId";
/// The provider's id of the volume.
pub(crate) const VOLUME_ID: &str = "volumeId";
/// The provider's id of the network.
pub(crate) const NETWORK_ID: &str = "networkId";
/// The provider's id of the primary IP.
pub(crate) const PRIMARY_IP_ID: &str = "primaryIpId";
/// The address that the primary IP has.
pub(crate) const ADDRESS: &str = "address";
/// The address that it had, if that was deleted at the provider.
pub(crate) const LOST_ADDRESS: &str = "lostAddress";
/// The routes that were made for this route table: destination and next hop of each.
pub(crate) const ROUTES: &str = "routes";
/// The range of the subnet that was added for this resource.
pub(crate) const IP_RANGE: &str = "ipRange";

/// A hash of the user data that the server was made with.
pub(crate) const USER_DATA: &str = "userDataHash";
/// The server was made from the default image, by this name.
pub(crate) const DEFAULT_IMAGE: &str = "defaultImage";

/// A mark: the identity of the block storage that an image is a copy of.
pub(crate) const TAKEN_FROM: &str = "takenFrom";
/// A mark: the name of that block storage.
pub(crate) const TAKEN_NAME: &str = "takenFromName";
/// The provider's id of the snapshot that an image is, once that could be used.
pub(crate) const IMAGE_ID: &str = "imageId";
/// What a disk made from an image, or for a block storage, begins with: see the module `origin`.
pub(crate) const ORIGIN: &str = "origin";
/// The reference to the image that a block storage has its origin from.
pub(crate) const ORIGIN_OF: &str = "originOf";

/// The power action that the guest was asked to shut down for.
pub(crate) const SHUTDOWN_SEQ: &str = "shutdownSeq";
/// When it was first asked, in milliseconds.
pub(crate) const SHUTDOWN_AT: &str = "shutdownAt";
/// The power action that a reboot was sent for.
pub(crate) const REBOOT_SEQ: &str = "rebootSeq";

/// The provider's id of the last reboot of the server that is known: a later one is another.
pub(crate) const LAST_REBOOT: &str = "lastRebootAction";

/// The shared firewall that was removed on behalf of this resource.
pub(crate) const RELEASED_FIREWALL: &str = "releasedFirewall";
