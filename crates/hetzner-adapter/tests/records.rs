//! How calls are written: the release before reads the steps that this one recorded, and this one reads its.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use control_plane::ports::Step;
use hetzner_adapter::call::Call;
use serde_json::{Value, json};

const UID: &str = "018f4e9c-0000-7000-8000-0000000000aa";

/// Every call that 0.1 has recorded, and the keys that its step held.
fn recorded() -> Vec<(Value, &'static str, Vec<&'static str>)> {
    let labels = json!({"seca.installation": "i", "seca.uid": UID});
    let server = json!({
        "name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1", "labels": labels,
        "firewalls": [{"firewall": 3}], "start_after_create": false,
        "public_net": {"enable_ipv4": false, "enable_ipv6": true},
    });
    let route = json!({"destination": "192.168.0.0/24", "gateway": "10.0.1.9"});
    let rule = json!({"direction": "out", "destination_ips": ["192.0.2.1/32"], "protocol": "tcp", "port": "1"});
    vec![
        (json!({"create_server": server}), "create_server", vec!["name:web"]),
        (json!({"update_server": {"server": 1, "name": "disk", "labels": labels}}), "update_server", vec!["server:1"]),
        (json!({"delete_server": {"server": 1}}), "delete_server", vec!["server:1"]),
        (json!({"poweron": {"server": 1}}), "poweron", vec!["server:1"]),
        (json!({"poweroff": {"server": 1}}), "poweroff", vec!["server:1"]),
        (json!({"shutdown": {"server": 1, "seq": 4, "issued_at": 7}}), "shutdown", vec!["server:1"]),
        (json!({"reboot": {"server": 1, "issued_at": 7, "after_action": null}}), "reboot", vec!["server:1"]),
        (json!({"reset": {"server": 1, "issued_at": 7, "after_action": 5}}), "reset", vec!["server:1"]),
        (
            json!({"create_volume": {"size": 10, "name": "data", "labels": labels, "location": "fsn1"}}),
            "create_volume",
            vec!["name:data"],
        ),
        (json!({"resize_volume": {"volume": 2, "size": 20}}), "resize_volume", vec!["volume:2"]),
        (json!({"delete_volume": {"volume": 2}}), "delete_volume", vec!["volume:2"]),
        (
            json!({"create_network": {"name": "net", "ip_range": "10.0.0.0/16", "labels": labels}}),
            "create_network",
            vec!["name:net"],
        ),
        (json!({"change_ip_range": {"network": 5, "ip_range": "10.0.0.0/15"}}), "change_ip_range", vec!["network:5"]),
        (json!({"delete_network": {"network": 5}}), "delete_network", vec!["network:5"]),
        (
            json!({"add_subnet": {
                "network": 5, "owner": UID,
                "subnet": {"type": "cloud", "ip_range": "10.0.1.0/24", "network_zone": "eu-central"},
            }}),
            "add_subnet",
            vec!["network:5"],
        ),
        (json!({"delete_subnet": {"network": 5, "ip_range": "10.0.1.0/24"}}), "delete_subnet", vec!["network:5"]),
        (json!({"add_route": {"network": 5, "route": route}}), "add_route", vec!["network:5"]),
        (json!({"delete_route": {"network": 5, "route": route}}), "delete_route", vec!["network:5"]),
        (
            json!({"create_firewall": {"name": "fw", "labels": labels, "rules": [rule]}}),
            "create_firewall",
            vec!["name:fw"],
        ),
        (json!({"set_firewall_rules": {"firewall": 3, "rules": [rule]}}), "set_firewall_rules", vec!["firewall:3"]),
        (json!({"apply_firewall": {"firewall": 3, "server": 1}}), "apply_firewall", vec!["server:1", "firewall:3"]),
        (json!({"delete_firewall": {"firewall": 3}}), "delete_firewall", vec!["firewall:3"]),
        (
            json!({"create_primary_ip": {
                "name": "ip", "type": "ipv4", "location": "fsn1", "auto_delete": false, "labels": labels,
            }}),
            "create_primary_ip",
            vec!["name:ip"],
        ),
        (json!({"delete_primary_ip": {"primary_ip": 6}}), "delete_primary_ip", vec!["primary_ip:6"]),
        (
            json!({"create_image": {"server": 1, "description": "copy", "labels": labels}}),
            "create_image",
            vec!["server:1"],
        ),
        (json!({"delete_image": {"image": 8}}), "delete_image", vec!["image:8"]),
        (json!({"sweep": {"object": {"primary_ip": 6}, "uid": UID}}), "sweep", vec!["primary_ip:6"]),
        (json!({"read": {"object": {"server": 1}, "until": "settled"}}), "read", vec![]),
        (
            json!({"read": {"object": {"network": 5}, "until": {"no_subnet": "10.0.1.0/24"}, "why": "taken"}}),
            "read",
            vec![],
        ),
        (json!({"find": {"kind": "primary_ip", "installation": "i", "uid": UID, "name": "ip"}}), "find", vec![]),
        (json!({"find": {"kind": "image", "installation": "i", "uid": UID, "name": null}}), "find", vec![]),
        (json!({"history": {"object": {"volume": 2}}}), "read_actions", vec![]),
    ]
}

fn step(payload: &Value) -> Step {
    Step::new("x", "x", payload.clone())
}

#[test]
fn what_the_release_before_recorded_is_read_and_written_as_it_was() {
    for (written, operation, serial) in recorded() {
        let call = Call::of(&step(&written)).unwrap_or_else(|error| panic!("{written}: {error}"));
        let again = call.step("x");
        assert_eq!(again.payload, written);
        assert_eq!(
            (again.operation.as_str(), again.serial),
            (operation, serial.into_iter().map(str::to_owned).collect())
        );
    }
}

#[test]
fn what_another_release_wrote_is_not_taken_for_something_else() {
    for unknown in [json!({"explode_server": {"server": 1}}), json!({"delete_server": {"volume": 1}}), json!({})] {
        assert!(Call::of(&step(&unknown)).is_err(), "{unknown}");
    }
}

/// The calls that are new, with what their steps hold and what they would undo.
#[test]
fn a_new_call_is_written_under_the_providers_word_and_holds_both_sides() {
    let (net, ip) = (json!({"server": 1, "network": 5}), "10.0.1.4");
    for (written, serial, sets) in [
        (
            json!({"attach_to_network": {"server": 1, "network": 5, "ip": ip, "alias_ips": ["10.0.1.5"]}}),
            "server:1 network:5",
            "net:1:5",
        ),
        (json!({"attach_to_network": {"server": 1, "network": 5, "ip": ip}}), "server:1 network:5", "net:1:5"),
        (json!({"detach_from_network": net}), "server:1 network:5", "net:1:5"),
        (json!({"change_alias_ips": {"server": 1, "network": 5, "alias_ips": []}}), "server:1", "net:1:5"),
        (
            json!({"add_to_placement_group": {"server": 1, "placement_group": 9}}),
            "server:1 placement_group:9",
            "group:1",
        ),
        (
            json!({"remove_from_placement_group": {"server": 1, "placement_group": 9}}),
            "server:1 placement_group:9",
            "group:1",
        ),
        (json!({"change_type": {"server": 1, "server_type": "cx33", "upgrade_disk": false}}), "server:1", "power:1"),
        (json!({"remove_firewall": {"firewall": 3, "server": 1}}), "server:1 firewall:3", "firewall:3:1"),
        (json!({"assign_primary_ip": {"primary_ip": 6, "server": 1}}), "server:1 primary_ip:6", "primary_ip:6"),
        (json!({"unassign_primary_ip": {"primary_ip": 6, "server": 1}}), "server:1 primary_ip:6", "primary_ip:6"),
        (json!({"attach_volume": {"volume": 2, "server": 1}}), "volume:2 server:1", "volume:2"),
        (json!({"detach_volume": {"volume": 2, "server": 1}}), "volume:2 server:1", "volume:2"),
        (json!({"create_placement_group": {"name": "g", "type": "spread"}}), "name:g", ""),
        (json!({"delete_placement_group": {"placement_group": 9}}), "placement_group:9", ""),
        (json!({"update_image": {"image": 8, "labels": {"a": "b"}}}), "image:8", ""),
        (json!({"create_ssh_key": {"name": "k", "public_key": "ssh-ed25519 AAAA"}}), "name:k", ""),
        (json!({"delete_ssh_key": {"ssh_key": 4}}), "ssh_key:4", ""),
    ] {
        let again = Call::of(&step(&written)).unwrap().step("x");
        assert_eq!(again.payload, written);
        assert_eq!(written.as_object().unwrap().keys().next(), Some(&again.operation));
        assert_eq!(again.serial.join(" "), serial, "{written}");
        assert_eq!(again.sets.map(|(what, _)| what).unwrap_or_default(), sets, "{written}");
    }
    // Each undoes the other.
    for (one, other) in [
        (json!({"attach_volume": {"volume": 2, "server": 1}}), json!({"detach_volume": {"volume": 2, "server": 1}})),
        (
            json!({"apply_firewall": {"firewall": 3, "server": 1}}),
            json!({"remove_firewall": {"firewall": 3, "server": 1}}),
        ),
        (json!({"set_firewall_rules": {"firewall": 3, "rules": []}}), recorded()[19].0.clone()),
    ] {
        let sets = |written: &Value| Call::of(&step(written)).unwrap().step("x").sets.unwrap();
        let (one, other) = (sets(&one), sets(&other));
        assert_eq!(one.0, other.0);
        assert_ne!(one.1, other.1);
    }
}
