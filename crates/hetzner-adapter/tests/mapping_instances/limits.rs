//! What Hetzner Cloud limits, what is in use elsewhere, and what others attached.

use super::*;

#[test]
fn more_firewalls_than_a_server_takes_leave_the_former_ones_in_force() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    let names: Vec<String> = (0..6).map(|number| format!("g{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        group(&mut world, name, 1_000 + 2 * number as u16);
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let of = |groups: &[&str]| json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", groups)});
    nic(&mut world, "k", &["0.0.0.0"], &of(&all[..2]));
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    let nets = json!([["10.0.1.2", []]]);
    check(&world, "i", &json!({"ipv4": "p", "firewalls": ["g0", "g1"], "nets": nets, "on": true}));
    nic(&mut world, "k", &["0.0.0.0"], &of(&all));
    world.settle();
    check(&world, "i", &json!({"ipv4": "p", "firewalls": ["g0", "g1"], "nets": nets, "on": true}));
    world.check(Kind::Instance, "i", ACTIVE, Some("RulesTooMany"));
    nic(&mut world, "k", &["0.0.0.0"], &of(&all[1..]));
    world.settle();
    check(&world, "i", &json!({"ipv4": "p", "firewalls": all[1..], "nets": nets, "on": true}));
    world.check(Kind::Instance, "i", ACTIVE, None);

    // One that begins with too many has nothing former: it is closed.
    public_ip(&mut world, "q", "IPv4");
    let mut too_many = of(&all);
    too_many["publicIpRefs"] = refs("public-ips", &["q"]);
    nic(&mut world, "l", &["0.0.0.0"], &too_many);
    running(&mut world, "j", &json!({"primaryNicRef": {"resource": "nics/l"}}));
    check(&world, "j", &json!({"ipv4": "q", "firewalls": ["deny-all"], "nets": [["10.0.1.3", []]], "on": true}));
    world.check(Kind::Instance, "j", ACTIVE, Some("RulesTooMany"));
}

#[test]
fn what_another_has_is_told_and_follows_when_it_is_free() {
    for (what, reason) in [("nic", "NicInUse"), ("address", "AddressInUse"), ("volume", "VolumeInUse")] {
        let mut world = networked();
        public_ip(&mut world, "p", "IPv4");
        let with_ip = json!({"publicIpRefs": refs("public-ips", &["p"])});
        nic(&mut world, "k", &["0.0.0.0"], &if what == "volume" { json!({}) } else { with_ip.clone() });
        nic(&mut world, "l", &["0.0.0.0"], &if what == "address" { with_ip } else { json!({}) });
        world.volume("d", None);
        let disk = json!([{"deviceRef": {"resource": "block-storages/d"}}]);
        let (first, second) = match what {
            "nic" => {
                (json!({"primaryNicRef": {"resource": "nics/k"}}), json!({"primaryNicRef": {"resource": "nics/k"}}))
            }
            "address" => {
                (json!({"primaryNicRef": {"resource": "nics/k"}}), json!({"primaryNicRef": {"resource": "nics/l"}}))
            }
            _ => (json!({"dataVolumes": disk}), json!({"dataVolumes": disk})),
        };
        running(&mut world, "i", &first);
        let before = has(&world, "i");
        world.volume("boot-j", Some("ubuntu-24.04"));
        world.put_with(Kind::Instance, "j", patched(World::instance_spec("boot-j"), &second), true);
        world.settle();
        assert_eq!(has(&world, "i"), before, "{what}: nothing is taken away");
        let told = if what == "address" { Kind::Nic } else { Kind::Instance };
        let name = if what == "address" { "l" } else { "j" };
        world.check(told, name, ACTIVE, Some(reason));
        assert_eq!(
            (world.row(Kind::Instance, "j").state, has(&world, "j")["on"].clone()),
            (ACTIVE, json!(what == "address"))
        );

        world.delete(Kind::Instance, "i");
        world.settle();
        if what == "address" {
            world.delete(Kind::Nic, "k");
            world.settle();
            world.check(Kind::Instance, "j", ACTIVE, Some("AppliesWhenOff"));
            power(&mut world, "j", ActionKind::Stop);
            power(&mut world, "j", ActionKind::Start);
        }
        let mut after = before;
        if what == "address" {
            after["nets"] = json!([["10.0.1.3", []]]);
        }
        assert_eq!(has(&world, "j"), after, "{what}: {}", world.message(Kind::Instance, "j"));
    }
}

#[test]
fn a_key_of_the_project_is_waited_for_by_its_name() {
    let mut world = World::default();
    instance(&mut world, "i", &json!({"sshKeys": ["ann", KEY]}));
    world.settle();
    world.check(Kind::Instance, "i", CREATING, Some("SshKeyUnknown"));
    assert!(world.model.servers.is_empty());
    world.model.ssh_keys.push(
        serde_json::from_value(json!({
            "id": 777, "name": "ann", "created": "2026-01-01T00:00:00Z", "labels": {}, "fingerprint": "",
            "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        }))
        .unwrap(),
    );
    world.forget();
    world.settle();
    world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
}

#[test]
fn what_others_attached_is_left_alone_and_told() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    group(&mut world, "g", 22);
    let more =
        json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", &["g"])});
    nic(&mut world, "k", &["10.0.1.20"], &more);
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    let id = server(&world, "i").id;
    // A CSI volume, a CCM's alias, a firewall and a network of somebody else's.
    world.model.volumes.push(world::model::volume(900, "pvc-1", 10, &json!({})));
    world.model.volumes.last_mut().unwrap().server = Some(id);
    world.model.networks.push(world::model::network(901, "theirs", "10.9.0.0/16", &json!({})));
    world.model.networks.last_mut().unwrap().servers.push(id);
    world.model.firewalls.push(
        serde_json::from_value(json!({
            "id": 902, "name": "theirs", "created": "2026-01-01T00:00:00Z", "labels": {}, "rules": [],
        }))
        .unwrap(),
    );
    let found = world.model.servers.iter_mut().find(|server| server.id == id).unwrap();
    found.volumes.push(900.into());
    found.private_net[0].alias_ips.push("10.0.1.77".parse().unwrap());
    found.private_net.push(serde_json::from_value(json!({"network": 901, "ip": "10.9.0.2"})).unwrap());
    found.public_net.firewalls.push(serde_json::from_value(json!({"id": 902, "status": "applied"})).unwrap());
    world.forget();
    world.operations();
    world.settle();
    assert!(nothing_changes(&world.operations()));
    world.check(Kind::Instance, "i", ACTIVE, Some("ForeignAttachment"));
    let message = world.message(Kind::Instance, "i");
    for what in ["pvc-1", "network `theirs`", "firewall `theirs`"] {
        assert!(message.contains(what), "{what}: {message}");
    }
    // Changes of ours leave theirs in place too.
    nic(&mut world, "k", &["10.0.1.20", "10.0.1.21"], &more);
    world.settle();
    let seen = has(&world, "i");
    assert_eq!(seen["nets"][0][0], "10.0.1.20");
    let aliases: Vec<&str> =
        seen["nets"][0][1].as_array().unwrap().iter().map(|alias| alias.as_str().unwrap()).collect();
    assert!(aliases.contains(&"10.0.1.21") && aliases.contains(&"10.0.1.77"), "{aliases:?}");
    nic(&mut world, "k", &["10.0.1.20"], &more);
    world.settle();
    assert_eq!(has(&world, "i")["nets"][0][1], json!(["10.0.1.77"]));
}

#[test]
fn an_instance_keeps_what_it_was_made_with_and_says_so() {
    let mut world = World::default();
    running(&mut world, "i", &json!({"sshKeys": [KEY]}));
    instance(&mut world, "i", &json!({"userData": "#cloud-config"}));
    world.operations();
    world.settle();
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesOnRecreate"));
    let message = world.message(Kind::Instance, "i");
    assert!(message.contains("user data and SSH keys"), "{message}");
    power(&mut world, "i", ActionKind::Stop);
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesOnRecreate"));
}
