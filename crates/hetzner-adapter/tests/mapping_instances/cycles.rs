//! Changes that need a server to be off, where the owner of the instance allows a power cycle.

use super::*;

fn allow(world: &mut World, name: &str) {
    let extensions: Value = json!({"hetzner.cloud/disruptive": "allow"});
    world.row_mut(Kind::Instance, name).extensions = Some(extensions.to_string());
}

/// A running instance `i` with a NIC `k`, which may be switched off.
fn allowed() -> World {
    let mut world = networked();
    public_ip(&mut world, "p", "IPv4");
    nic(&mut world, "k", &["10.0.1.20"], &json!({}));
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}}));
    allow(&mut world, "i");
    world.settle();
    power(&mut world, "i", ActionKind::Start);
    world.operations();
    world
}

fn ip_of_k(world: &mut World, ips: &[&str]) {
    nic(world, "k", &["10.0.1.20"], &json!({"publicIpRefs": refs("public-ips", ips)}));
}

fn since(world: &World) -> Value {
    world.status(Kind::Instance, "i")["powerStateSince"].clone()
}

#[test]
fn a_change_that_needs_a_server_off_is_made_at_once_where_that_is_allowed() {
    let mut world = allowed();
    let before = since(&world);
    ip_of_k(&mut world, &["p"]);
    // Groups are joined by the instance's own specification.
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}, "antiAffinityGroup": "apart"}));
    allow(&mut world, "i");
    world.settle();
    check(&world, "i", &json!({"ipv4": "p", "nets": [["10.0.1.20", []]], "group": "placement-group", "on": true}));
    let made = world.operations();
    assert_eq!(made.iter().filter(|call| **call == "poweron").count(), 1, "{made:?}");
    assert_eq!((world.status(Kind::Instance, "i")["powerState"].clone(), since(&world)), (json!("on"), before.clone()));
    world.check(Kind::Instance, "i", ACTIVE, Some("Unfiltered"));
    // And back.
    ip_of_k(&mut world, &[]);
    world.settle();
    check(&world, "i", &json!({"nets": [["10.0.1.20", []]], "group": "placement-group", "on": true}));
    assert_eq!(since(&world), before);
}

/// The process dies after each step: the next one knows what the rows and the lists say.
#[test]
fn a_power_cycle_ends_whenever_the_process_dies() {
    for deaths in 1..6 {
        let mut world = allowed();
        ip_of_k(&mut world, &["p"]);
        let uids: Vec<_> = world.rows.keys().copied().collect();
        for round in 0..60 {
            for uid in &uids {
                world.look(*uid);
            }
            // The guest does not listen, whoever asks it again.
            world.now += 5_000;
            if round % deaths == 0 {
                world.forget();
            }
        }
        check(&world, "i", &json!({"ipv4": "p", "nets": [["10.0.1.20", []]], "on": true}));
        let made = world.operations();
        assert_eq!(made.iter().filter(|call| **call == "poweron").count(), 1, "{deaths}: {made:?}");
    }
}

#[test]
fn what_others_undid_switches_nothing_off() {
    let mut world = allowed();
    instance(&mut world, "i", &json!({"primaryNicRef": {"resource": "nics/k"}, "antiAffinityGroup": "apart"}));
    allow(&mut world, "i");
    world.settle();
    assert_eq!(has(&world, "i")["group"], "placement-group");
    world.operations();
    let id = server(&world, "i").id;
    world.model.servers.iter_mut().find(|server| server.id == id).unwrap().placement_group = None;
    world.forget();
    world.settle();
    assert!(nothing_changes(&world.operations()));
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesWhenOff"));
}

/// What another instance has is waited for while the server runs.
#[test]
fn nothing_is_switched_off_for_what_cannot_be_had() {
    let mut world = allowed();
    nic(&mut world, "l", &["10.0.1.21"], &json!({"publicIpRefs": refs("public-ips", &["p"])}));
    running(&mut world, "j", &json!({"primaryNicRef": {"resource": "nics/l"}}));
    // The claim moves at once, the address when the other one is off.
    nic(&mut world, "l", &["10.0.1.21"], &json!({}));
    ip_of_k(&mut world, &["p"]);
    world.operations();
    world.settle();
    assert!(nothing_changes(&world.operations()));
    power(&mut world, "j", ActionKind::Stop);
    world.settle();
    check(&world, "i", &json!({"ipv4": "p", "nets": [["10.0.1.20", []]], "on": true}));
}

/// Looks at the instance until its server is off.
fn until_off(world: &mut World) {
    let uids: Vec<_> = world.rows.keys().copied().collect();
    for _ in 0..60 {
        for uid in &uids {
            if server(world, "i").status != ServerStatus::Off {
                world.look(*uid);
            }
        }
    }
    assert_eq!(server(world, "i").status, ServerStatus::Off);
}

#[test]
fn an_action_of_the_client_takes_the_place_of_the_cycle() {
    for (action, on) in [(ActionKind::Stop, false), (ActionKind::Restart, true)] {
        for is_off in [false, true] {
            let mut world = allowed();
            ip_of_k(&mut world, &["p"]);
            let uid = world.row(Kind::Instance, "i").uid;
            if is_off {
                until_off(&mut world);
                assert_eq!(world.status(Kind::Instance, "i")["powerState"], "on", "it is none of the client's");
            } else {
                let nic = world.row(Kind::Nic, "k").uid;
                world.look(nic);
                world.look(nic);
                world.look(uid);
            }
            assert!(!world.act("i", ActionKind::Start), "it is on");
            assert!(world.act("i", action));
            world.settle();
            let seen = has(&world, "i");
            assert_eq!(seen["on"], json!(on), "{action:?} {is_off}");
            let state = if on { "on" } else { "off" };
            assert_eq!(world.status(Kind::Instance, "i")["powerState"], state);
            assert_eq!(seen["ipv4"], if on && !is_off { seen["ipv4"].clone() } else { json!("p") });
            assert_eq!(world.facts(Kind::Instance, "i").get("powerCycle"), None);
        }
    }
}

/// A change that the provider refuses again and again must not leave the server off.
#[test]
fn a_change_that_is_refused_leaves_the_server_on_and_is_not_tried_for_ever() {
    let mut world = allowed();
    ip_of_k(&mut world, &["p"]);
    until_off(&mut world);
    let uid = world.row(Kind::Instance, "i").uid;
    let refused = |world: &World| {
        let bundle = control_plane::ports::Bundle { attempts: 3, ..world.bundle(uid) };
        world.plan_bundle(&bundle)
    };
    let control_plane::ports::Plan::Act(step) = refused(&world).plan else { panic!("{:?}", refused(&world)) };
    assert_eq!(step.operation, "poweron");
    world.perform(uid, &step);
    assert_eq!(server(&world, "i").status, ServerStatus::Running);
    world.operations();
    world.settle();
    assert!(nothing_changes(&world.operations()));
    world.check(Kind::Instance, "i", ACTIVE, Some("AppliesWhenOff"));
    // Another wish is another try.
    public_ip(&mut world, "q", "IPv4");
    ip_of_k(&mut world, &["q"]);
    world.settle();
    check(&world, "i", &json!({"ipv4": "q", "nets": [["10.0.1.20", []]], "on": true}));
}
