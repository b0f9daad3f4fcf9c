//! What a client may do, and what may happen.

use control_plane::ActionKind;
use proptest::prelude::*;
use seca_api::Kind;

use super::{console::Hand, happen::happen};
use crate::world::{World, weather::Fate};

/// What a client may do, and what may happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Volume {
        name: u8,
        blank: bool,
    },
    /// A volume of an image of a user.
    Copy {
        name: u8,
        image: u8,
    },
    /// An image is made, or is to be one of another volume.
    Image {
        name: u8,
        volume: u8,
    },
    DeleteImage(u8),
    /// With a key and another SKU, or none of them: a kept server may fit or not.
    Instance {
        name: u8,
        volume: u8,
        start: bool,
        key: bool,
        large: bool,
    },
    /// An instance is pointed at another boot volume.
    Retarget {
        name: u8,
        volume: u8,
    },
    Power {
        name: u8,
        action: ActionKind,
    },
    DeleteVolume(u8),
    DeleteInstance(u8),
    Network {
        size: u8,
    },
    Subnet {
        name: u8,
        block: u8,
    },
    DeleteSubnet(u8),
    /// A blank volume for data.
    Data(u8),
    PublicIp {
        name: u8,
        v6: bool,
    },
    /// A group is made, or lets another port in.
    Group {
        name: u8,
        port: u16,
    },
    /// A NIC is made, or is to have another address, public IP or group.
    Nic {
        name: u8,
        subnet: u8,
        addresses: u8,
        ip: Option<u8>,
        group: Option<u8>,
    },
    /// An instance is to have a NIC, data, a group, a key and neighbours, or none of them.
    Equip {
        name: u8,
        nic: Option<u8>,
        data: Option<u8>,
        group: Option<u8>,
        key: bool,
        apart: bool,
    },
    /// What an instance may name goes, unless something names it.
    DeletePart {
        kind: Kind,
        name: u8,
    },
    /// A few resources are looked at, in some order; calls are under way when the next event comes.
    Look(Vec<u8>),
    /// All resources are looked at so many times.
    Rounds(u8),
    /// Another process takes over.
    Forget,
    /// The same, and the lists that it reads miss some objects, because pages shifted.
    Shift(Vec<usize>),
    /// Minutes pass.
    Pass(u8),
    /// For how long a block storage keeps a server.
    Hold {
        name: u8,
        hold: Option<&'static str>,
    },
    /// An instance takes a kept server whatever that was made with, or not.
    Reuse {
        name: u8,
        always: bool,
    },
    /// What becomes of the next calls.
    Fates(Vec<Fate>),
    /// How many seconds the next snapshot takes, and whether it can be used then.
    Slow {
        seconds: u16,
        is_usable: bool,
    },
    /// Somebody does something at the console. `seen`: lists are read after it.
    Console {
        what: Hand,
        which: u8,
        seen: bool,
    },
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let small = 0..3_u8;
    let maybe = || proptest::option::of(0..3_u8);
    let part = prop_oneof![Just(Kind::PublicIp), Just(Kind::SecurityGroup), Just(Kind::Nic), Just(Kind::BlockStorage),];
    let action = prop_oneof![Just(ActionKind::Start), Just(ActionKind::Stop), Just(ActionKind::Restart)];
    prop_oneof![
        2 => (small.clone(), any::<bool>()).prop_map(|(name, blank)| Event::Volume { name, blank }),
        1 => (small.clone(), small.clone()).prop_map(|(name, image)| Event::Copy { name, image }),
        2 => (small.clone(), small.clone()).prop_map(|(name, volume)| Event::Image { name, volume }),
        1 => small.clone().prop_map(Event::DeleteImage),
        4 => instance(),
        2 => (small.clone(), small.clone()).prop_map(|(name, volume)| Event::Retarget { name, volume }),
        3 => (small.clone(), action).prop_map(|(name, action)| Event::Power { name, action }),
        1 => small.clone().prop_map(Event::DeleteVolume),
        2 => small.clone().prop_map(Event::DeleteInstance),
        1 => (14..20_u8).prop_map(|size| Event::Network { size }),
        2 => (small.clone(), 0..4_u8).prop_map(|(name, block)| Event::Subnet { name, block }),
        1 => small.clone().prop_map(Event::DeleteSubnet),
        1 => small.clone().prop_map(Event::Data),
        2 => (small.clone(), any::<bool>()).prop_map(|(name, v6)| Event::PublicIp { name, v6 }),
        2 => (small.clone(), 1_u16..4).prop_map(|(name, port)| Event::Group { name, port }),
        4 => (small.clone(), small.clone(), 1..3_u8, maybe(), maybe()).prop_map(|(name, subnet, addresses, ip, group)| {
            Event::Nic { name, subnet, addresses, ip, group }
        }),
        4 => (small.clone(), maybe(), maybe(), maybe(), any::<bool>(), any::<bool>()).prop_map(
            |(name, nic, data, group, key, apart)| Event::Equip { name, nic, data, group, key, apart }
        ),
        2 => (part, small).prop_map(|(kind, name)| Event::DeletePart { kind, name }),
        3 => proptest::collection::vec(any::<u8>(), 1..12).prop_map(Event::Look),
        5 => (1..12_u8).prop_map(Event::Rounds),
        1 => Just(Event::Forget),
        2 => proptest::collection::vec(0..6_usize, 1..6).prop_map(Event::Shift),
        3 => passing(),
        6 => trouble(),
    ]
}

fn instance() -> impl Strategy<Value = Event> {
    let often = || prop_oneof![4 => Just(false), 1 => Just(true)];
    let mostly = prop_oneof![1 => Just(false), 3 => Just(true)];
    (0..2_u8, 0..2_u8, mostly, often(), often()).prop_map(|(name, volume, start, key, large)| Event::Instance {
        name,
        volume,
        start,
        key,
        large,
    })
}

/// Time passes, and extensions say what becomes of disks by that.
fn passing() -> impl Strategy<Value = Event> {
    let hold = prop_oneof![Just(None), Just(Some("0s")), Just(Some("5m")), Just(Some("never"))];
    prop_oneof![
        3 => (1..60_u8).prop_map(Event::Pass),
        1 => (0..3_u8, hold).prop_map(|(name, hold)| Event::Hold { name, hold }),
        1 => (0..3_u8, any::<bool>()).prop_map(|(name, always)| Event::Reuse { name, always }),
    ]
}

/// What the provider, the wire and people at the console do.
fn trouble() -> impl Strategy<Value = Event> {
    let late = proptest::option::of(0..85_u8);
    let fate = prop_oneof![2 => Just(Fate::Done), 1 => Just(Fate::Refused), 1 => late.prop_map(Fate::Lost)];
    prop_oneof![
        3 => proptest::collection::vec(fate, 1..5).prop_map(Event::Fates),
        1 => (1..600_u16, any::<bool>()).prop_map(|(seconds, is_usable)| Event::Slow { seconds, is_usable }),
        4 => (Hand::any(), any::<u8>(), any::<bool>())
            .prop_map(|(what, which, seen)| Event::Console { what, which, seen }),
    ]
}

/// What happens to disks alone.
pub(super) fn event_of_disks() -> impl Strategy<Value = Event> {
    let small = 0..2_u8;
    let action = prop_oneof![2 => Just(ActionKind::Start), 1 => Just(ActionKind::Stop)];
    prop_oneof![
        1 => small.clone().prop_map(|name| Event::Volume { name, blank: false }),
        2 => (small.clone(), small.clone()).prop_map(|(name, volume)| Event::Image { name, volume }),
        1 => small.clone().prop_map(Event::DeleteImage),
        1 => (small.clone(), small.clone()).prop_map(|(name, image)| Event::Copy { name, image }),
        4 => instance(),
        3 => (small.clone(), action).prop_map(|(name, action)| Event::Power { name, action }),
        1 => small.clone().prop_map(Event::DeleteVolume),
        3 => small.prop_map(Event::DeleteInstance),
        4 => proptest::collection::vec(any::<u8>(), 1..12).prop_map(Event::Look),
        8 => (1..12_u8).prop_map(Event::Rounds),
        1 => Just(Event::Forget),
        1 => proptest::collection::vec(0..6_usize, 1..6).prop_map(Event::Shift),
        4 => passing(),
        8 => trouble(),
    ]
}

/// How a story begins, so that it need not be long to come to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Beginning {
    Nothing,
    /// `i0` runs with a NIC, a public IP, a group and data.
    Connected,
    /// `i0` has run from `v0`.
    Running,
    /// The same, and `v0` keeps its server.
    Held,
    /// The same, and the time of that is over.
    Parking,
    /// `v0` is a snapshot.
    Parked,
}

impl Beginning {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            2 => Just(Self::Nothing),
            2 => Just(Self::Connected),
            2 => Just(Self::Running),
            2 => Just(Self::Held),
            2 => Just(Self::Parking),
            1 => Just(Self::Parked),
        ]
    }

    pub(super) fn happen(self, world: &mut World) {
        if self == Self::Nothing {
            return;
        }
        world.volume("v0", Some("ubuntu-24.04"));
        world.put_with(Kind::Instance, "i0", World::instance_spec("v0"), true);
        world.settle();
        if self == Self::Connected {
            let parts = [
                Event::Network { size: 16 },
                Event::Subnet { name: 0, block: 0 },
                Event::PublicIp { name: 0, v6: false },
                Event::Group { name: 0, port: 1 },
                Event::Nic { name: 0, subnet: 0, addresses: 2, ip: Some(0), group: Some(0) },
                Event::Data(0),
                Event::Equip { name: 0, nic: Some(0), data: Some(0), group: None, key: false, apart: false },
                Event::Rounds(20),
                Event::Power { name: 0, action: ActionKind::Stop },
                Event::Rounds(20),
                Event::Power { name: 0, action: ActionKind::Start },
            ];
            parts.iter().for_each(|event| happen(world, event));
            world.settle();
        }
        if self >= Self::Held {
            world.delete(Kind::Instance, "i0");
            world.settle();
        }
        if self >= Self::Parking {
            world.pass(15 * 60_000);
        }
        if self >= Self::Parked {
            world.settle();
        }
    }
}
