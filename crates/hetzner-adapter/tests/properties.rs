//! Laws of planning, over random stories: what is carried out is not planned again, no disk with data is lost, no
//! snapshot is taken twice, and what is deleted leaves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod world;

use control_plane::{ActionKind, ports::Plan};
use hetzner_adapter::{
    call::Call,
    objects::{ObjectId, ServerCall, VolumeCall},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use seca_api::{Kind, ResourceState};
use serde_json::{Value, json};
use world::World;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6 ann@laptop";
const ERROR: ResourceState = ResourceState::Error;

/// What a client may do, and what may happen.
#[derive(Clone, Debug)]
enum Event {
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
    /// Somebody deletes a snapshot at the provider.
    LoseSnapshot,
    Instance {
        name: u8,
        volume: u8,
        start: bool,
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
    /// Another process takes over.
    Forget,
    /// The same, and the lists that it reads miss some objects, because pages shifted.
    Shift(Vec<usize>),
    /// Somebody switches a server on at the console, and off again or not.
    Console {
        server: usize,
        off: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let small = 0..3_u8;
    let maybe = || proptest::option::of(0..3_u8);
    let part = prop_oneof![Just(Kind::PublicIp), Just(Kind::SecurityGroup), Just(Kind::Nic), Just(Kind::BlockStorage),];
    let action = prop_oneof![Just(ActionKind::Start), Just(ActionKind::Stop), Just(ActionKind::Restart)];
    prop_oneof![
        2 => (small.clone(), any::<bool>()).prop_map(|(name, blank)| Event::Volume { name, blank }),
        1 => (small.clone(), small.clone()).prop_map(|(name, image)| Event::Copy { name, image }),
        2 => (small.clone(), small.clone()).prop_map(|(name, volume)| Event::Image { name, volume }),
        1 => small.clone().prop_map(Event::DeleteImage),
        1 => Just(Event::LoseSnapshot),
        3 => (small.clone(), small.clone(), any::<bool>())
            .prop_map(|(name, volume, start)| Event::Instance { name, volume, start }),
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
        6 => proptest::collection::vec(any::<u8>(), 1..12).prop_map(Event::Look),
        1 => Just(Event::Forget),
        2 => proptest::collection::vec(0..6_usize, 1..6).prop_map(Event::Shift),
        1 => (0..3_usize, any::<bool>()).prop_map(|(server, off)| Event::Console { server, off }),
    ]
}

fn is_live(world: &World, kind: Kind, name: &str) -> bool {
    world.find(kind, name).is_some_and(|row| !row.is_deleting())
}

/// Whether a live row names a resource.
fn is_named(world: &World, name: &str) -> bool {
    let end = format!("/{name}\"");
    world.rows.values().any(|row| !row.is_deleting() && row.spec.contains(&end))
}

fn put_nic(world: &mut World, name: u8, subnet: u8, addresses: u8, ip: Option<u8>, group: Option<u8>) {
    let (name, subnet) = (format!("k{name}"), format!("n/s{subnet}"));
    if !is_live(world, Kind::Subnet, &subnet) || world.find(Kind::Nic, &name).is_some_and(|row| row.is_deleting()) {
        return;
    }
    // The subnet of a NIC cannot be changed.
    let before: Option<Value> = world.find(Kind::Nic, &name).map(|row| row.spec().unwrap());
    let subnet = match before {
        Some(before) => before["subnetRef"].clone(),
        None => json!({"resource": format!("networks/{}", subnet.replace('/', "/subnets/"))}),
    };
    let named = |kind: Kind, letter: &str, of: &str, number: Option<u8>| -> Vec<Value> {
        let name = number.map(|number| format!("{letter}{number}")).filter(|name| is_live(world, kind, name));
        name.map(|name| json!({"resource": format!("{of}/{name}")})).into_iter().collect()
    };
    let spec = json!({
        "addresses": vec!["0.0.0.0"; usize::from(addresses)], "subnetRef": subnet,
        "publicIpRefs": named(Kind::PublicIp, "p", "public-ips", ip),
        "securityGroupRefs": named(Kind::SecurityGroup, "g", "security-groups", group),
    });
    world.put(Kind::Nic, &name, spec);
}

/// Carries an event out as far as admission lets it.
fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Volume { name, blank } => {
            let name = format!("v{name}");
            if world.find(Kind::BlockStorage, &name).is_none() {
                world.volume(&name, (!blank).then_some("ubuntu-24.04"));
            }
        }
        Event::Copy { name, image } => {
            let (name, image) = (format!("v{name}"), format!("m{image}"));
            if world.find(Kind::BlockStorage, &name).is_none() && is_live(world, Kind::Image, &image) {
                world.volume(&name, Some(&image));
            }
        }
        Event::Image { name, volume } => {
            let (name, volume) = (format!("m{name}"), format!("v{volume}"));
            let deleting = world.find(Kind::Image, &name).is_some_and(|row| row.is_deleting());
            if !deleting && is_live(world, Kind::BlockStorage, &volume) {
                world.image(&name, &volume);
            }
        }
        Event::DeleteImage(name) => {
            let name = format!("m{name}");
            if is_live(world, Kind::Image, &name) {
                world.delete(Kind::Image, &name);
            }
        }
        Event::LoseSnapshot => {
            if world.model.images.pop().is_some() {
                world.forget();
            }
        }
        Event::Instance { name, volume, start } => {
            let (name, volume) = (format!("i{name}"), format!("v{volume}"));
            if world.find(Kind::Instance, &name).is_none() && is_live(world, Kind::BlockStorage, &volume) {
                world.put_with(Kind::Instance, &name, World::instance_spec(&volume), *start);
            }
        }
        Event::Retarget { name, volume } => {
            let (name, volume) = (format!("i{name}"), format!("v{volume}"));
            if is_live(world, Kind::Instance, &name) && is_live(world, Kind::BlockStorage, &volume) {
                let uid = world.row(Kind::Instance, &name).uid;
                let boot = world.bundle(uid).targets.into_iter().find_map(|target| target.resource);
                if boot.is_none_or(|volume| volume.holder != Some(uid)) {
                    world.instance(&name, &volume);
                }
            }
        }
        Event::Power { name, action } => {
            let name = format!("i{name}");
            if is_live(world, Kind::Instance, &name) {
                world.act(&name, *action);
            }
        }
        Event::DeleteVolume(name) => {
            let name = format!("v{name}");
            let is_used = |row: &&control_plane::Resource| row.key.kind == Kind::Instance && !row.is_deleting();
            let users: Vec<_> = world.rows.values().filter(is_used).map(|row| row.spec.clone()).collect();
            if is_live(world, Kind::BlockStorage, &name) && !users.iter().any(|spec| spec.contains(&name)) {
                world.delete(Kind::BlockStorage, &name);
            }
        }
        Event::DeleteInstance(name) => {
            let name = format!("i{name}");
            if is_live(world, Kind::Instance, &name) {
                world.delete(Kind::Instance, &name);
            }
        }
        Event::Network { size } => {
            world.put(Kind::Network, "n", json!({"cidr": {"ipv4": format!("10.0.0.0/{size}")}, "skuRef": "x"}));
        }
        Event::Subnet { name, block } => {
            let name = format!("n/s{name}");
            let deleting = world.find(Kind::Subnet, &name).is_some_and(|row| row.is_deleting());
            if is_live(world, Kind::Network, "n") && !deleting {
                world.put(Kind::Subnet, &name, json!({"cidr": {"ipv4": format!("10.0.{block}.0/24")}}));
            }
        }
        Event::DeleteSubnet(name) => {
            let name = format!("n/s{name}");
            if is_live(world, Kind::Subnet, &name) && !is_named(world, &name.replace('/', "/subnets/")) {
                world.delete(Kind::Subnet, &name);
            }
        }
        Event::Data(name) => {
            let name = format!("d{name}");
            if world.find(Kind::BlockStorage, &name).is_none() {
                world.volume(&name, None);
            }
        }
        Event::PublicIp { name, v6 } => {
            let name = format!("p{name}");
            if world.find(Kind::PublicIp, &name).is_none() {
                world.put(Kind::PublicIp, &name, json!({"version": if *v6 { "IPv6" } else { "IPv4" }}));
            }
        }
        Event::Group { name, port } => {
            let name = format!("g{name}");
            if world.find(Kind::SecurityGroup, &name).is_none_or(|row| !row.is_deleting()) {
                let rule = json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": port}});
                world.put(Kind::SecurityGroup, &name, json!({"rules": [rule]}));
            }
        }
        Event::Nic { name, subnet, addresses, ip, group } => put_nic(world, *name, *subnet, *addresses, *ip, *group),
        Event::Equip { name, nic, data, group, key, apart } => {
            let name = format!("i{name}");
            if !is_live(world, Kind::Instance, &name) {
                return;
            }
            let mut spec: Value = world.row(Kind::Instance, &name).spec().unwrap();
            let members = spec.as_object_mut().unwrap();
            let named = |kind: Kind, letter: &str, number: Option<u8>| {
                let name = number.map(|number| format!("{letter}{number}"))?;
                is_live(world, kind, &name).then_some(name)
            };
            let mut set = |member: &str, value: Option<Value>| match value {
                Some(value) => drop(members.insert(member.to_owned(), value)),
                None => drop(members.remove(member)),
            };
            let reference = |of: &str, name: String| json!({"resource": format!("{of}/{name}")});
            set("primaryNicRef", named(Kind::Nic, "k", *nic).map(|name| reference("nics", name)));
            set(
                "securityGroupRef",
                named(Kind::SecurityGroup, "g", *group).map(|name| reference("security-groups", name)),
            );
            let data = named(Kind::BlockStorage, "d", *data);
            set("dataVolumes", data.map(|name| json!([{"deviceRef": reference("block-storages", name)}])));
            set("sshKeys", key.then(|| json!([KEY])));
            set("antiAffinityGroup", apart.then(|| json!("apart")));
            world.put(Kind::Instance, &name, spec);
        }
        Event::DeletePart { kind, name } => {
            let letter = match kind {
                Kind::PublicIp => "p",
                Kind::SecurityGroup => "g",
                Kind::Nic => "k",
                _ => "d",
            };
            let name = format!("{letter}{name}");
            if is_live(world, *kind, &name) && !is_named(world, &name) {
                world.delete(*kind, &name);
            }
        }
        Event::Look(order) => {
            for index in order {
                let uid = *world.rows.keys().nth(usize::from(*index) % world.rows.len()).unwrap();
                look(world, uid);
            }
        }
        Event::Forget => world.forget(),
        Event::Shift(hidden) => world.shift(hidden),
        Event::Console { server, off } => {
            if let Some(server) = world.model.servers.get_mut(*server) {
                server.status = if *off { "off" } else { "running" }.into();
                world.model.used.insert(ObjectId::Server(server.id));
                world.forget();
            }
        }
    }
}

/// Looks, and checks that no disk that may hold data goes while its block storage stays.
fn look(world: &mut World, uid: control_plane::Uid) {
    let planned = world.plan(uid);
    if let Plan::Act(step) = &planned.plan
        && let Call::Server(ServerCall::Delete { server }) = Call::of(step).unwrap()
    {
        let row = &world.rows[&uid];
        let name = &world.model.servers.iter().find(|s| s.id == server).unwrap().name;
        let boot = world.bundle(uid).targets.into_iter().find_map(|t| t.resource);
        let is_its =
            |volume: &control_plane::Resource| volume.holder == Some(uid) && volume.fact("backing") != Some("server");
        let stays = boot.is_some_and(|volume| !volume.is_deleting() && is_its(&volume));
        let ran = world.model.used.contains(&ObjectId::Server(server));
        assert!(row.is_deleting() || row.key.kind == Kind::BlockStorage, "{name} is deleted for {}", row.key);
        assert!(!stays || !ran, "{name} holds data that stays asked for");
    }
    if let Plan::Act(step) = &planned.plan
        && let Call::Volume(VolumeCall::Delete { volume }) = Call::of(step).unwrap()
    {
        let row = &world.rows[&uid];
        let used = world.model.used.contains(&ObjectId::Volume(volume));
        assert!(row.is_deleting() || !used, "{} holds data that stays asked for", row.key);
    }
    world.look(uid);
}

/// Where a group is named, a server that the internet reaches has a firewall of ours; and nothing that instances share is
/// there for nobody.
fn check_servers(world: &World) {
    for row in world.rows.values().filter(|row| row.key.kind == Kind::Instance && row.state == ResourceState::Active) {
        let spec: Value = row.spec().unwrap();
        let is_its =
            |server: &&hcloud_client::types::Server| hetzner_adapter::naming::uid_of(&server.labels) == Some(row.uid);
        let Some(server) = world.model.servers.iter().find(is_its) else { continue };
        let net = &server.public_net;
        let is_public = net.ipv4.is_some() || net.ipv6.is_some();
        if spec.get("securityGroupRef").is_some() && is_public {
            assert!(!net.firewalls.is_empty(), "{} is open: {:?}", row.key, row.conditions[0]);
        }
        if spec.get("dataVolumes").is_none() {
            assert!(server.volumes.is_empty(), "{} keeps a volume", row.key);
        }
        if spec.get("primaryNicRef").is_none() {
            assert!(server.private_net.is_empty(), "{} keeps a NIC", row.key);
        }
    }
    let used = |purpose: &str| world.auxiliaries.iter().filter(|(used, _)| used.purpose == purpose).count();
    for (purpose, count) in
        [("ssh-key", world.model.ssh_keys.len()), ("placement-group", world.model.placement_groups.len())]
    {
        assert!(count <= used(purpose), "{purpose}: {count} for {} users", used(purpose));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_story_settles_and_leaves_nothing(story in proptest::collection::vec(event(), 1..40)) {
        let mut world = World::default();
        for event in &story {
            happen(&mut world, event);
        }
        world.settle();

        // What was carried out is not planned again, by this process or by the next one.
        for takeover in [false, true] {
            if takeover {
                world.forget();
            }
            for (uid, row) in &world.rows {
                let plan = world.plan(*uid).plan;
                // What is lost is asked for by each process, and what waits for a person is looked at.
                let changes = |plan: &Plan| matches!(plan, Plan::Act(step) if !step.reads);
                prop_assert!(!changes(&plan) && !matches!(plan, Plan::Tie(_)), "{}: {plan:?}", row.key);
            }
        }
        check_servers(&world);
        // One snapshot for each image that is one, and none that nobody remembers.
        let snapshots = world.rows.values().filter_map(|row| row.fact("imageId").filter(|_| row.state != ERROR));
        let mut snapshots: Vec<String> = snapshots.map(str::to_owned).collect();
        snapshots.sort();
        let mut known: Vec<String> = world.model.images.iter().map(|image| image.id.to_string()).collect();
        known.sort();
        prop_assert_eq!(known, snapshots);
        // One server for each instance that has its volume to itself, and one for each volume that kept one.
        for server in &world.model.servers {
            let uid = hetzner_adapter::naming::uid_of(&server.labels).unwrap();
            prop_assert!(world.rows.contains_key(&uid), "{} belongs to nobody", server.name);
        }
        let mut names: Vec<_> = world.model.servers.iter().map(|s| s.name.clone()).collect();
        names.dedup();
        prop_assert_eq!(names.len(), world.model.servers.len());

        let rows: Vec<_> = world.rows.values().map(|row| (row.key.kind, row.key.clone())).collect();
        for (kind, key) in rows {
            let name = if key.network.is_empty() { key.name } else { format!("{}/{}", key.network, key.name) };
            world.delete(kind, &name);
        }
        world.settle();
        prop_assert!(world.rows.is_empty(), "{:?}", world.rows.values().map(|r| r.key.urn()).collect::<Vec<_>>());
        prop_assert!(world.model.is_empty(), "{:?}", world.model);
    }
}
