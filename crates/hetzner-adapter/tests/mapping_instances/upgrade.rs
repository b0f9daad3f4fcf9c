//! Instances that the release before made: it attached nothing of what they name.

use super::*;

/// Rows and objects as the release before left them, with every reference in use.
fn before() -> World {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    group(&mut world, "g", 22);
    world.put(
        Kind::SecurityGroupRule,
        "r",
        json!({"direction": "ingress", "protocol": "tcp", "ports": {"from": 80}, "sourceRef": refs("security-groups", &["h"])}),
    );
    group(&mut world, "h", 443);
    world.put(Kind::SecurityGroup, "g", json!({"ruleRefs": refs("security-group-rules", &["r"])}));
    nic(&mut world, "k", &["10.0.1.20", "0.0.0.0"], &json!({}));
    world.volume("d", None);
    running(&mut world, "i", &json!({}));
    // What that release did not know: the references' claims, auxiliaries and facts.
    let all = json!({
        "sshKeys": [KEY], "antiAffinityGroup": "apart", "primaryNicRef": {"resource": "nics/k"},
        "securityGroupRef": {"resource": "security-groups/g"},
        "dataVolumes": [{"deviceRef": {"resource": "block-storages/d"}}],
    });
    let more =
        json!({"publicIpRefs": refs("public-ips", &["p"]), "securityGroupRefs": refs("security-groups", &["h"])});
    for row in world.rows.values_mut() {
        let patch = match row.key.kind {
            Kind::Instance => &all,
            Kind::Nic => &more,
            _ => &json!({}),
        };
        row.spec = patched(serde_json::from_str(&row.spec).unwrap(), patch).to_string();
        let kept: &[&str] = match row.key.kind {
            Kind::Instance => &["serverId", "everStarted", "bootVolume"],
            Kind::Nic | Kind::SecurityGroup | Kind::SecurityGroupRule => &[],
            _ => continue,
        };
        row.facts.retain(|name, _| kept.contains(&name.as_str()));
        row.holder = None;
    }
    world.auxiliaries.clear();
    world.model.ssh_keys.clear();
    world.forget();
    world.operations();
    world
}

fn whole() -> Value {
    json!({"ipv4": "p", "firewalls": ["g", "h"], "volumes": ["d"], "nets": [["10.0.1.20", ["10.0.1.2"]]],
           "group": "placement-group", "on": true})
}

#[test]
fn nothing_changes_until_somebody_writes() {
    let mut world = before();
    let seen = has(&world, "i");
    for _ in 0..3 {
        world.settle();
        world.forget();
    }
    let operations = world.operations();
    assert!(nothing_changes(&operations), "{operations:?}");
    assert_eq!(has(&world, "i"), seen);
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesOnNextWrite"));
    // A write to another resource is none to the instance.
    world.put(Kind::BlockStorage, "d", json!({"skuRef": {"resource": "skus/hcloud-volume"}, "sizeGB": 20}));
    world.settle();
    assert_eq!(has(&world, "i"), seen);
}

#[test]
fn a_put_makes_it_what_it_names() {
    let mut world = before();
    world.settle();
    let spec: Value = world.row(Kind::Instance, "i").spec().unwrap();
    world.put(Kind::Instance, "i", spec);
    world.settle();
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesWhenOff"));
    power(&mut world, "i", ActionKind::Stop);
    power(&mut world, "i", ActionKind::Start);
    check(&world, "i", &whole());
}

#[test]
fn a_stop_and_a_start_make_it_what_it_names() {
    let mut world = before();
    world.settle();
    power(&mut world, "i", ActionKind::Stop);
    power(&mut world, "i", ActionKind::Start);
    check(&world, "i", &whole());
    assert_ne!(world.row(Kind::Instance, "i").conditions[0].reason.as_deref(), Some("AppliesOnNextWrite"));
}

#[test]
fn a_stop_alone_only_switches_it_off() {
    let mut world = before();
    world.settle();
    let mut seen = has(&world, "i");
    world.operations();
    power(&mut world, "i", ActionKind::Stop);
    world.forget();
    world.settle();
    seen["on"] = json!(false);
    assert_eq!(has(&world, "i"), seen);
    let made = world.operations();
    let power_alone = |made: &&str| matches!(*made, "read" | "find" | "shutdown" | "poweroff");
    assert!(made.iter().all(power_alone), "{made:?}");
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesOnNextWrite"));
    // The next write makes it what it names.
    let spec: Value = world.row(Kind::Instance, "i").spec().unwrap();
    world.put(Kind::Instance, "i", spec);
    world.settle();
    let mut whole = whole();
    whole["on"] = json!(false);
    check(&world, "i", &whole);
}

#[test]
fn a_write_while_a_stop_is_pending_makes_it_what_it_names() {
    for order in [["stop", "put"], ["put", "stop"]] {
        let mut world = before();
        world.settle();
        for what in order {
            if what == "stop" {
                assert!(world.act("i", ActionKind::Stop));
            } else {
                let spec: Value = world.row(Kind::Instance, "i").spec().unwrap();
                world.put(Kind::Instance, "i", spec);
            }
        }
        world.settle();
        let mut whole = whole();
        whole["on"] = json!(false);
        check(&world, "i", &whole);
    }
}

#[test]
fn a_restart_makes_it_what_a_running_server_can_be() {
    let mut world = before();
    world.settle();
    power(&mut world, "i", ActionKind::Restart);
    let seen = has(&world, "i");
    assert_eq!((&seen["volumes"], &seen["on"]), (&json!(["d"]), &json!(true)));
    assert_eq!(seen["nets"], json!([["10.0.1.20", ["10.0.1.2"]]]));
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesWhenOff"));
}
