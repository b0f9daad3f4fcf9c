//! What holds whatever happens.

use control_plane::{
    Uid,
    disk::Disk,
    facts::{BlockStorageFacts, Facts},
    ports::Plan,
};
use hcloud_client::types::{Firewall, Id, Image, PrimaryIp, Server, ServerStatus};
use hetzner_adapter::{
    call::Call,
    naming,
    objects::{ObjectId, ServerCall, VolumeCall},
};
use seca_api::{Kind, ResourceState};
use serde_json::Value;

use crate::world::World;

/// Looks, and checks that no disk that may hold data goes while its block storage stays.
pub(super) fn look(world: &mut World, uid: Uid) {
    learn(world, uid);
    let planned = world.plan(uid);
    if let Plan::Act(step) = &planned.plan
        && let Call::Server(ServerCall::Delete { server }) = Call::of(step).unwrap()
    {
        let row = &world.rows[&uid];
        let found = world.snapshot.get(server).unwrap();
        let name = &found.name;
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

/// A look at a resource whose server is seen on: the product knows that the server writes to its disk.
fn learn(world: &mut World, uid: Uid) {
    let on = world.snapshot.all::<Server>().filter(|server| server.status == ServerStatus::Running);
    let is_its = |server: &&Server| {
        naming::uid_of(&server.labels) == Some(uid) || world.model.contents.whose(server.id.into()) == Some(uid)
    };
    let on: Vec<_> = on.filter(is_its).map(|server| server.id).collect();
    on.into_iter().for_each(|server| world.model.contents.know(server));
}

/// What a world that has settled is like.
pub(super) fn check(world: &World) {
    no_plan_is_left(world);
    check_servers(world);
    check_disks(world);
    check_snapshots(world);
}

/// What was carried out is not planned again, by this process or by the next one.
fn no_plan_is_left(world: &World) {
    let next = world.listed(&[]);
    for snapshot in [&world.snapshot, &next] {
        for (uid, row) in &world.rows {
            let plan = world.plan_by(&world.bundle(*uid), snapshot).plan;
            // What is lost is asked for by each process, and what waits for a person is looked at.
            let changes = |plan: &Plan| matches!(plan, Plan::Act(step) if !step.reads && !world.awaits_person(step));
            assert!(!changes(&plan) && !matches!(plan, Plan::Tie(_)), "{}: {plan:?}", row.key);
        }
    }
}

/// What was written is where the block storage says that its disk is, or was set aside.
fn check_disks(world: &World) {
    for row in world.rows.values().filter(|row| row.key.kind == Kind::BlockStorage) {
        let facts = BlockStorageFacts::of(row);
        // Somebody may have taken its labels away.
        let remembers = |server: &Server| {
            let id = server.id.to_string();
            world.rows.values().find(|row| row.fact("serverId") == Some(&id)).map(|row| row.uid)
        };
        let of = |server: &Server| naming::uid_of(&server.labels).or_else(|| remembers(server));
        let is_set_aside = |server: &Server| of(server) == Some(row.uid) && server.labels.contains_key("seca.role");
        let is_disk = |object: ObjectId| match (Disk::of(row), object) {
            (disk, ObjectId::Server(id)) => {
                world.model.servers.iter().find(|server| server.id == id).is_some_and(|server| {
                    is_set_aside(server)
                        || match disk {
                            Disk::Held { .. } => of(server) == Some(row.uid),
                            Disk::OnServer { instance, .. } => of(server) == Some(instance),
                            _ => false,
                        }
                })
            }
            (Disk::Parked { image }, ObjectId::Image(id)) => image == Some(id.to_string()),
            _ => false,
        };
        let lost = world.model.contents.lost(row.uid, is_disk);
        assert!(
            lost.is_empty(),
            "{} has not what was written: {:?} {:?} {facts:?}",
            row.key,
            row.state,
            row.conditions[0]
        );
    }
}

/// One snapshot for each image that is one, and none that nobody remembers.
fn check_snapshots(world: &World) {
    let snapshots =
        world.rows.values().filter_map(|row| row.fact("imageId").filter(|_| row.state != ResourceState::Error));
    let mut snapshots: Vec<String> = snapshots.map(str::to_owned).collect();
    snapshots.sort();
    snapshots.dedup();
    // A block storage whose disk was deleted may have an older copy still, and a person decides about both.
    let is_lost = |image: &&Image| {
        let row = naming::uid_of(&image.labels).and_then(|uid| world.rows.get(&uid));
        row.is_some_and(|row| row.state == ResourceState::Error)
    };
    let images = world.model.images.iter().filter(|image| !is_lost(image));
    let mut known: Vec<String> = images.map(|image| image.id.to_string()).collect();
    known.sort();
    assert_eq!(known, snapshots);
    // One server for each instance that has its volume to itself, and one for each volume that kept one.
    let ours = world.model.servers.iter().filter(|server| !server.labels.is_empty());
    for server in ours.clone() {
        let uid = naming::uid_of(&server.labels).unwrap();
        assert!(world.rows.contains_key(&uid), "{} belongs to nobody", server.name);
    }
    let mut names: Vec<_> = ours.clone().map(|server| server.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), ours.count());
}

/// Where a group is named, a server that the internet reaches has a firewall of ours; and nothing that instances share is
/// there for nobody.
pub(super) fn check_servers(world: &World) {
    for row in world.rows.values().filter(|row| row.key.kind == Kind::Instance && row.state == ResourceState::Active) {
        let spec: Value = row.spec().unwrap();
        let is_its =
            |server: &&hcloud_client::types::Server| hetzner_adapter::naming::uid_of(&server.labels) == Some(row.uid);
        let Some(server) = world.model.servers.iter().find(is_its) else { continue };
        let net = &server.public_net;
        let is_own = |id: Option<Id<PrimaryIp>>| {
            let ip = world.model.primary_ips.iter().find(|ip| Some(ip.id) == id);
            ip.is_some_and(|ip| ip.labels.get("seca.kind").is_some_and(|kind| kind == "public-ip"))
        };
        let ids = [net.ipv4.as_ref().and_then(|ip| ip.id), net.ipv6.as_ref().and_then(|ip| ip.id)];
        let is_public = net.ipv4.is_some() || net.ipv6.is_some();
        let is_placeholder_alone = is_public && !ids.iter().any(|id| is_own(*id));
        let is_closed =
            spec.get("securityGroupRef").is_some() || world.settings.ungrouped_closed || is_placeholder_alone;
        if is_closed && is_public {
            assert!(!net.firewalls.is_empty(), "{} is open: {:?}", row.key, row.conditions[0]);
        }
        let before = |firewall: &&Firewall| net.firewalls.iter().any(|before| before.id == firewall.id);
        for firewall in world.model.firewalls.iter().filter(before) {
            assert!(!firewall.rules.is_empty(), "{} is open by {}: {:?}", row.key, firewall.name, row.conditions[0]);
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
