//! How a world takes what happens.

use control_plane::Resource;
use seca_api::Kind;
use serde_json::{Value, json};

use super::{events::Event, laws};
use crate::world::World;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6 ann@laptop";

pub(super) fn is_live(world: &World, kind: Kind, name: &str) -> bool {
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
pub(super) fn happen(world: &mut World, event: &Event) {
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
        Event::Instance { name, volume, start, key, large } => {
            let (name, volume) = (format!("i{name}"), format!("v{volume}"));
            if world.find(Kind::Instance, &name).is_none() && is_live(world, Kind::BlockStorage, &volume) {
                let mut spec = World::instance_spec(&volume);
                if *key {
                    spec["sshKeys"] = json!([KEY]);
                }
                if *large {
                    spec["skuRef"]["resource"] = json!("skus/cx33");
                }
                world.put_with(Kind::Instance, &name, spec, *start);
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
            let is_used = |row: &&Resource| row.key.kind == Kind::Instance && !row.is_deleting();
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
                laws::look(world, uid);
            }
        }
        Event::Rounds(rounds) => {
            for _ in 0..*rounds {
                for uid in world.rows.keys().copied().collect::<Vec<_>>() {
                    if world.rows.contains_key(&uid) {
                        laws::look(world, uid);
                    }
                }
            }
        }
        Event::Forget => world.forget(),
        Event::Shift(hidden) => world.shift(hidden),
        Event::Pass(minutes) => world.pass(i64::from(*minutes) * 60_000),
        Event::Hold { name, hold } => {
            let extension = hold.map(|hold| ("hetzner.cloud/disk-hold", hold));
            extend(world, Kind::BlockStorage, &format!("v{name}"), extension);
        }
        Event::Reuse { name, always } => {
            let extension = always.then_some(("hetzner.cloud/reuse-server", "always"));
            extend(world, Kind::Instance, &format!("i{name}"), extension);
        }
        Event::Fates(fates) => world.fates = fates.iter().copied().collect(),
        Event::Slow { seconds, is_usable } => world.model.slow = [(i64::from(*seconds) * 1_000, *is_usable)].into(),
        Event::Console { what, which, seen } => {
            what.act(world, usize::from(*which), *seen);
            world.excuse();
            world.is_stale = true;
            if *seen {
                world.reread();
            }
        }
    }
}

/// Writes a resource again as it is, with an extension.
fn extend(world: &mut World, kind: Kind, name: &str, extension: Option<(&str, &str)>) {
    if !is_live(world, kind, name) {
        return;
    }
    let spec: Value = world.row(kind, name).spec().unwrap();
    world.put(kind, name, spec);
    world.row_mut(kind, name).extensions = extension.map(|(name, value)| json!({name: value}).to_string());
}
