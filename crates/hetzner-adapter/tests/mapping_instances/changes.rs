//! What changes after an instance runs: by its owner, by drift, and between two instances.

use super::*;

/// An instance that runs, with a NIC `k` and nothing more.
fn plain() -> World {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    world.operations();
    world
}

#[test]
fn what_needs_a_server_that_is_off_is_told_and_done_after_the_stop_and_not_by_a_restart() {
    for what in ["address", "no address", "group", "nic"] {
        let mut world = plain();
        let with_ip = json!({"publicIpRefs": refs("public-ips", &["p"])});
        let mut after = json!({"nets": [["10.0.1.20", []]], "on": true});
        match what {
            "address" => {
                nic(&mut world, "k", &["10.0.1.20"], &with_ip);
                after["ipv4"] = json!("p");
            }
            "no address" => {
                nic(&mut world, "k", &["10.0.1.20"], &with_ip);
                world.settle();
                power(&mut world, "i", ActionKind::Stop);
                power(&mut world, "i", ActionKind::Start);
                assert_eq!(has(&world, "i")["ipv4"], "p");
                nic(&mut world, "k", &["10.0.1.20"], &json!({}));
            }
            "group" => {
                instance(
                    &mut world,
                    "i",
                    &json!({"primaryNicRef": {"resource": "nics/k"}, "antiAffinityGroup": "apart"}),
                );
                after["group"] = json!("placement-group");
            }
            _ => {
                nic(&mut world, "k", &["10.0.1.21"], &json!({}));
                after["nets"] = json!([["10.0.1.21", []]]);
            }
        }
        let before = has(&world, "i");
        world.settle();
        assert_eq!(has(&world, "i"), before, "{what}");
        world.check(Kind::Instance, "i", ACTIVE, Some("AppliesWhenOff"));
        assert!(world.message(Kind::Instance, "i").contains("a restart does not do"), "{what}");
        power(&mut world, "i", ActionKind::Restart);
        assert_eq!(has(&world, "i"), before, "{what}: a restart leaves the server on");
        world.check(Kind::Instance, "i", ACTIVE, Some("AppliesWhenOff"));
        power(&mut world, "i", ActionKind::Stop);
        let mut off = after.clone();
        off["on"] = json!(false);
        check(&world, "i", &off);
        power(&mut world, "i", ActionKind::Start);
        check(&world, "i", &after);
        assert_ne!(world.row(Kind::Instance, "i").conditions[0].reason.as_deref(), Some("AppliesWhenOff"), "{what}");
    }
}

#[test]
fn what_a_running_server_takes_is_changed_at_once() {
    let mut world = plain();
    world.put(Kind::Network, "m", json!({"cidr": {"ipv4": "10.7.0.0/16"}, "skuRef": "x"}));
    world.put(Kind::Subnet, "m/a", json!({"cidr": {"ipv4": "10.7.1.0/24"}, "zone": "fsn1"}));
    let subnet = json!({"subnetRef": {"resource": "networks/m/subnets/a"}});
    nic(&mut world, "l", &["10.7.1.9"], &subnet);
    nic(&mut world, "k", &["10.0.1.20", "10.0.1.30"], &json!({}));
    world.volume("d", None);
    let more = json!({
        "primaryNicRef": {"resource": "nics/k"}, "additionalNicRefs": refs("nics", &["l"]),
        "dataVolumes": [{"deviceRef": {"resource": "block-storages/d"}}],
    });
    instance(&mut world, "i", &more);
    world.settle();
    let all = json!({"nets": [["10.0.1.20", ["10.0.1.30"]], ["10.7.1.9", []]], "volumes": ["d"], "on": true});
    check(&world, "i", &all);
    world.check(Kind::Instance, "i", ACTIVE, None);
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    world.settle();
    check(&world, "i", &json!({"nets": [["10.0.1.20", []]], "on": true}));
    world.check(Kind::Nic, "l", ACTIVE, Some("NotInEffect"));
    assert_eq!((world.row(Kind::Nic, "l").holder, world.row(Kind::BlockStorage, "d").holder), (None, None));
    world.check(Kind::BlockStorage, "d", ACTIVE, None);
}

#[test]
fn a_server_leaves_its_placement_group_while_it_runs() {
    let mut world = networked();
    running(&mut world, "i", &json!({"antiAffinityGroup": "apart"}));
    assert_eq!(has(&world, "i")["group"], "placement-group");
    instance(&mut world, "i", &json!({}));
    world.settle();
    assert_eq!((has(&world, "i")["group"].clone(), has(&world, "i")["on"].clone()), (json!(null), json!(true)));
    assert!(world.model.placement_groups.is_empty(), "the last one removes it");
}

#[test]
fn what_drifts_is_mended_and_power_is_not() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    group(&mut world, "g", 22);
    let more =
        json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", &["g"])});
    nic(&mut world, "k", &["10.0.1.20", "10.0.1.30"], &more);
    world.volume("d", None);
    let all = json!({
        "primaryNicRef": {"resource": "nics/k"}, "dataVolumes": [{"deviceRef": {"resource": "block-storages/d"}}],
    });
    running(&mut world, "i", &all);
    let before = has(&world, "i");
    let id = server(&world, "i").id;
    for what in ["detached", "aliases", "firewall", "rules", "volume", "volume elsewhere", "off"] {
        let mut wanted = before.clone();
        let found = world.model.servers.iter_mut().find(|server| server.id == id).unwrap();
        match what {
            "detached" => {
                found.private_net.clear();
                world.model.networks[0].servers.clear();
            }
            "aliases" => found.private_net[0].alias_ips.clear(),
            "firewall" => found.public_net.firewalls.clear(),
            "rules" => world.model.firewalls[0].rules.clear(),
            "volume" => {
                found.volumes.clear();
                world.model.volumes[0].server = None;
            }
            "volume elsewhere" => {
                found.volumes.clear();
                instance(&mut world, "other", &json!({}));
                world.settle();
                let other = server(&world, "other").id;
                world.model.servers.iter_mut().find(|s| s.id == other).unwrap().volumes.push(world.model.volumes[0].id);
                world.model.volumes[0].server = Some(other);
            }
            _ => {
                found.status = ServerStatus::Off;
                wanted["on"] = json!(false);
            }
        }
        let rules = firewall_of(&world, "g").unwrap().rules.len();
        world.forget();
        world.settle();
        assert_eq!(has(&world, "i"), wanted, "{what}: {}", world.message(Kind::Instance, "i"));
        assert_eq!(firewall_of(&world, "g").unwrap().rules.len(), 2, "{what}: {rules}");
    }
}

/// Every order of some numbers.
fn orders(count: usize) -> Vec<Vec<usize>> {
    match count {
        0 => vec![Vec::new()],
        _ => orders(count - 1)
            .into_iter()
            .flat_map(|order| {
                (0..count).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, count - 1);
                    order
                })
            })
            .collect(),
    }
}

#[test]
fn nics_and_volumes_that_two_instances_swap_end_where_they_were_asked_for() {
    for order in orders(2) {
        for between in [false, true] {
            let mut world = networked();
            for name in ["k", "l"] {
                nic(&mut world, name, &[if name == "k" { "10.0.1.20" } else { "10.0.1.21" }], &json!({}));
            }
            for name in ["d", "e"] {
                world.volume(name, None);
            }
            let of = |nic: &str, volume: &str| {
                json!({"primaryNicRef": {"resource": format!("nics/{nic}")},
                       "dataVolumes": [{"deviceRef": {"resource": format!("block-storages/{volume}")}}]})
            };
            running(&mut world, "i", &of("k", "d"));
            running(&mut world, "j", &of("l", "e"));
            let puts = [("i", of("l", "e")), ("j", of("k", "d"))];
            for at in &order {
                let (name, patch) = &puts[*at];
                instance(&mut world, name, patch);
                if between {
                    world.settle();
                }
            }
            world.settle();
            for name in ["i", "j"] {
                if world.row(Kind::Instance, name).conditions[0].reason.as_deref() == Some("AppliesWhenOff") {
                    power(&mut world, name, ActionKind::Stop);
                    power(&mut world, name, ActionKind::Start);
                }
            }
            world.settle();
            check(&world, "i", &json!({"nets": [["10.0.1.21", []]], "volumes": ["e"], "on": true}));
            check(&world, "j", &json!({"nets": [["10.0.1.20", []]], "volumes": ["d"], "on": true}));
            for name in ["i", "j"] {
                world.check(Kind::Instance, name, ACTIVE, None);
            }
        }
    }
}

#[test]
fn addresses_that_two_nics_swap_end_where_they_were_asked_for() {
    for order in orders(4) {
        for between in [false, true] {
            let mut world = networked();
            public_ip(&mut world, "p", "IPv4");
            public_ip(&mut world, "q", "IPv4");
            let with = |ip: &str| json!({"publicIpRefs": refs("public-ips", &[ip])});
            nic(&mut world, "k", &["10.0.1.20"], &with("p"));
            nic(&mut world, "l", &["10.0.1.21"], &with("q"));
            running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
            running(&mut world, "j", &json!({"primaryNicRef": {"resource": "nics/l"}}));
            for at in &order {
                match at {
                    0 => nic(&mut world, "k", &["10.0.1.20"], &with("q")),
                    1 => nic(&mut world, "l", &["10.0.1.21"], &with("p")),
                    2 => assert!(world.act("i", ActionKind::Stop)),
                    _ => assert!(world.act("j", ActionKind::Stop)),
                }
                if between {
                    world.settle();
                }
            }
            world.settle();
            power(&mut world, "i", ActionKind::Start);
            power(&mut world, "j", ActionKind::Start);
            check(&world, "i", &json!({"ipv4": "q", "nets": [["10.0.1.20", []]], "on": true}));
            check(&world, "j", &json!({"ipv4": "p", "nets": [["10.0.1.21", []]], "on": true}));
            for (ip, nic) in [("p", "l"), ("q", "k")] {
                let status = world.status(Kind::PublicIp, ip);
                assert!(
                    status["attachedTo"]["resource"].as_str().unwrap().ends_with(&format!("nics/{nic}")),
                    "{status}"
                );
            }
        }
    }
}

#[test]
fn an_address_that_a_running_server_has_is_deleted_after_the_stop() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    nic(&mut world, "k", &["10.0.1.20"], &json!({"publicIpRefs": refs("public-ips", &["p"])}));
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    world.delete(Kind::PublicIp, "p");
    world.settle();
    world.check(Kind::PublicIp, "p", ResourceState::Deleting, Some("AppliesWhenOff"));
    assert!(world.message(Kind::PublicIp, "p").contains("`i`"), "{}", world.message(Kind::PublicIp, "p"));
    power(&mut world, "i", ActionKind::Stop);
    assert!(world.find(Kind::PublicIp, "p").is_none());
    assert!(world.model.primary_ips.is_empty());
}

/// Whatever takes the address away, what filtered it stays in force until the server is off.
#[test]
fn an_address_that_goes_is_reached_as_before_until_the_stop() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("the NIC names it no longer", |world| {
            nic(world, "k", &["10.0.1.20"], &json!({"securityGroupRefs": refs("security-groups", &["g"])}));
        }),
        ("it is deleted", |world| world.delete(Kind::PublicIp, "p")),
        ("the instance names the NIC no longer", |world| instance(world, "i", &json!({}))),
        ("the NIC names neither it nor the group", |world| nic(world, "k", &["10.0.1.20"], &json!({}))),
    ];
    for (what, change) in changes {
        for ungrouped_closed in [false, true] {
            let mut world = networked();
            world.settings.ungrouped_closed = ungrouped_closed;
            public_ip(&mut world, "p", "IPv4");
            group(&mut world, "g", 22);
            let more = json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", &["g"])});
            nic(&mut world, "k", &["10.0.1.20"], &more);
            running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
            change(&mut world);
            world.settle();
            let seen = has(&world, "i");
            assert_eq!((&seen["ipv4"], &seen["firewalls"]), (&json!("p"), &json!(["g"])), "{what}");
            world.check(Kind::Instance, "i", ACTIVE, Some("AppliesWhenOff"));
            power(&mut world, "i", ActionKind::Stop);
            let seen = has(&world, "i");
            assert_eq!((&seen["ipv4"], &seen["firewalls"]), (&json!(null), &json!([])), "{what}");
        }
    }
}

#[test]
fn a_group_that_is_deleted_closes_an_address_that_is_to_go_at_once() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    group(&mut world, "g", 22);
    let named = json!({"securityGroupRefs": refs("security-groups", &["g"])});
    let mut more = named.clone();
    more["publicIpRefs"] = refs("public-ips", &["p"]);
    nic(&mut world, "k", &["10.0.1.20"], &more);
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    nic(&mut world, "k", &["10.0.1.20"], &named);
    world.settle();
    world.delete(Kind::SecurityGroup, "g");
    world.settle();
    let seen = has(&world, "i");
    assert_eq!((&seen["ipv4"], &seen["firewalls"]), (&json!("p"), &json!(["deny-all"])));
    assert!(world.find(Kind::SecurityGroup, "g").is_none());
}

/// Nothing names the group any more, and its rules are still in force before an address that is to go.
#[test]
fn a_group_before_an_address_that_is_to_go_is_deleted_after_the_stop_and_says_so() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    group(&mut world, "g", 22);
    let more =
        json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", &["g"])});
    nic(&mut world, "k", &["10.0.1.20"], &more);
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    world.settle();
    world.delete(Kind::SecurityGroup, "g");
    world.settle();
    world.check(Kind::SecurityGroup, "g", ResourceState::Deleting, Some("AppliesWhenOff"));
    assert!(world.message(Kind::SecurityGroup, "g").contains("`i`"), "{}", world.message(Kind::SecurityGroup, "g"));
    power(&mut world, "i", ActionKind::Stop);
    assert!(world.find(Kind::SecurityGroup, "g").is_none());
}

#[test]
fn the_members_of_a_group_are_followed_as_sources_when_they_come_and_go() {
    let mut world = networked();
    group(&mut world, "web", 80);
    let rule = json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": 5432},
                      "sourceRef": [{"resource": "security-groups/web"}]});
    world.put(Kind::SecurityGroup, "db", json!({"rules": [rule]}));
    public_ip(&mut world, "p", "IPv4");
    public_ip(&mut world, "q", "IPv4");
    let of = |ip: &str, group: &str| json!({"publicIpRefs": refs("public-ips", &[ip]), "securityGroupRefs": refs("security-groups", &[group])});
    nic(&mut world, "k", &["10.0.1.20"], &of("p", "web"));
    nic(&mut world, "l", &["10.0.1.21"], &of("q", "db"));
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    running(&mut world, "j", &json!({"primaryNicRef": {"resource": "nics/l"}}));
    let sources = |world: &World| -> Vec<String> {
        let firewall = firewall_of(world, "db").unwrap();
        firewall.rules.iter().flat_map(|rule| rule.source_ips.iter().map(ToString::to_string)).collect()
    };
    let address = format!("{}/32", world.status(Kind::PublicIp, "p")["ipAddress"].as_str().unwrap());
    assert_eq!(sources(&world), [address.as_str()]);
    check(&world, "j", &json!({"ipv4": "q", "firewalls": ["db"], "nets": [["10.0.1.21", []]], "on": true}));
    // It leaves the group: the rule comes to nothing, and lets nothing in.
    nic(&mut world, "k", &["10.0.1.20"], &json!({"publicIpRefs": refs("public-ips", &["p"])}));
    world.settle();
    assert!(sources(&world).is_empty(), "{:?}", sources(&world));
    check(&world, "j", &json!({"ipv4": "q", "firewalls": ["db"], "nets": [["10.0.1.21", []]], "on": true}));
}

#[test]
fn a_group_can_go_when_the_address_that_it_filtered_is_gone() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    group(&mut world, "g", 22);
    let more =
        json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", &["g"])});
    nic(&mut world, "k", &["10.0.1.20"], &more);
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    power(&mut world, "i", ActionKind::Stop);
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    world.delete(Kind::SecurityGroup, "g");
    world.delete(Kind::PublicIp, "p");
    world.settle();
    assert!(world.find(Kind::SecurityGroup, "g").is_none(), "{}", world.message(Kind::SecurityGroup, "g"));
    check(&world, "i", &json!({"nets": [["10.0.1.20", []]]}));
    assert!(world.model.firewalls.is_empty() && world.model.primary_ips.is_empty());
}

/// A server without any interface cannot be switched on. It gets a closed one, whether or not another server is closed too.
#[test]
fn a_server_that_lost_its_last_interface_starts_with_a_closed_one() {
    for beside_another in [false, true] {
        let mut world = plain();
        if beside_another {
            running(&mut world, "j", &json!({}));
        }
        power(&mut world, "i", ActionKind::Stop);
        let mut spec: Value = world.row(Kind::Instance, "i").spec().unwrap();
        spec["primaryNicRef"] = Value::Null;
        world.put(Kind::Instance, "i", spec);
        world.settle();
        power(&mut world, "i", ActionKind::Start);
        let has = has(&world, "i");
        assert_eq!((&has["on"], &has["firewalls"]), (&json!(true), &json!(["deny-all"])), "{beside_another}: {has}");
        world.check(Kind::Instance, "i", ACTIVE, Some("PlaceholderInterface"));
        // With a NIC again, the closed interface and its firewall are needed no more.
        instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
        world.settle();
        power(&mut world, "i", ActionKind::Stop);
        power(&mut world, "i", ActionKind::Start);
        check(&world, "i", &json!({"nets": [["10.0.1.20", []]], "on": true}));
    }
}

/// Its closed interface stays until another one is there. It was taken off for the network and put back for the start, by
/// turns and without end.
#[test]
fn a_server_starts_closed_while_its_address_is_another_servers() {
    let mut world = networked();
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    nic(&mut world, "l", &["10.0.1.21"], &json!({}));
    running(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    running(&mut world, "j", &json!({"primaryNicRef": {"resource": "nics/l"}}));
    world.delete(Kind::Instance, "j");
    world.settle();
    // Somebody gave it to the other one at the console.
    let other = server(&world, "i").id;
    let aliases = |world: &mut World, ips: Vec<std::net::Ipv4Addr>| {
        let found = world.model.servers.iter_mut().find(|server| server.id == other).unwrap();
        found.private_net[0].alias_ips = ips;
        world.forget();
    };
    aliases(&mut world, vec!["10.0.1.21".parse().unwrap()]);
    instance(&mut world, "j", &json!({"primaryNicRef": {"resource": "nics/l"}}));
    world.settle();
    power(&mut world, "j", ActionKind::Start);
    world.check(Kind::Instance, "j", ACTIVE, Some("NicInUse"));
    assert_eq!((&has(&world, "j")["on"], &has(&world, "j")["firewalls"]), (&json!(true), &json!(["deny-all"])));
    aliases(&mut world, Vec::new());
    world.settle();
    power(&mut world, "j", ActionKind::Stop);
    power(&mut world, "j", ActionKind::Start);
    check(&world, "j", &json!({"nets": [["10.0.1.21", []]], "on": true}));
}

/// The interface that it was made with is remembered still when the next one comes.
#[test]
fn a_server_that_loses_its_interfaces_again_gets_another_closed_one_and_keeps_it() {
    let mut world = networked();
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    instance(&mut world, "i", &json!({}));
    world.settle();
    let first = has(&world, "i");
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    world.settle();
    check(&world, "i", &json!({"nets": [["10.0.1.20", []]], "on": false}));
    instance(&mut world, "i", &json!({}));
    world.settle();
    power(&mut world, "i", ActionKind::Start);
    assert_eq!(has(&world, "i")["firewalls"], json!(["deny-all"]), "as at first: {first}");
    world.operations();
    world.forget();
    world.settle();
    assert_eq!(world.operations(), [] as [&str; 0]);
}

#[test]
fn a_public_ip_that_is_to_be_of_the_other_family_is_let_go_and_comes_again() {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    nic(&mut world, "k", &["10.0.1.20"], &json!({"publicIpRefs": refs("public-ips", &["p"])}));
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    world.settle();
    let first = server(&world, "i").public_net.ipv4.as_ref().unwrap().id;
    public_ip(&mut world, "p", "IPv6");
    world.settle();
    let net = &server(&world, "i").public_net;
    assert!(net.ipv4.is_none() && net.ipv6.as_ref().is_some_and(|ip| ip.id != first), "{net:?}");
    world.check(Kind::PublicIp, "p", ACTIVE, None);
    // An address that nobody knows to be ours any more is not taken off, nor put on once more as one of the other family.
    world.model.primary_ips.iter_mut().for_each(|ip| ip.labels.clear());
    world.forget();
    world.operations();
    public_ip(&mut world, "p", "IPv4");
    world.settle();
    assert!(!world.operations().iter().any(|call| call.contains("assign")));
}

/// The provider made it with the server, and it has no label: nobody else would find it. The instance may not have settled
/// since, so that the row does not remember it yet.
#[test]
fn an_address_that_was_taken_off_a_server_goes_although_somebody_deletes_the_server_first() {
    let mut world = networked();
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    instance(&mut world, "i", &json!({}));
    let uid = world.row(Kind::Instance, "i").uid;
    world.settle();
    world.row_mut(Kind::Instance, "i").facts.remove("placeholder");
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    world.operations();
    while world.operations().last() != Some(&"unassign_primary_ip") {
        world.look(uid);
    }
    let server = server(&world, "i").id;
    world.model.servers.retain(|other| other.id != server);
    world.forget();
    assert!(world.model.all_primary_ips().iter().any(|ip| ip.labels.is_empty()));
    world.delete(Kind::Instance, "i");
    world.settle();
    assert!(world.model.all_primary_ips().iter().all(|ip| !ip.labels.is_empty()), "{:?}", world.operations());
}

/// A volume is deleted once the instance names it no longer, which may be before its claim has ended.
#[test]
fn a_data_volume_that_is_deleted_goes_although_the_instance_that_had_it_stays() {
    let mut world = plain();
    world.volume("d", None);
    let named = json!({
        "primaryNicRef": {"resource": "nics/k"},
        "dataVolumes": [{"deviceRef": {"resource": "block-storages/d"}}],
    });
    instance(&mut world, "i", &named);
    world.settle();
    assert_eq!(has(&world, "i")["volumes"], json!(["d"]));
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    world.delete(Kind::BlockStorage, "d");
    world.settle();
    assert!(world.find(Kind::BlockStorage, "d").is_none(), "{}", world.message(Kind::BlockStorage, "d"));
    check(&world, "i", &json!({"nets": [["10.0.1.20", []]], "on": true}));
}
