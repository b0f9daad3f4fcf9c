//! Creation with everything attached, later changes, and the switches for what is not known.

use crate::cloud::{Cloud, MINUTE};
use http::Method;
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example";

/// From ssh-keygen.
const FINGERPRINT: &str = "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba";

fn no_address() -> Value {
    json!({"enable_ipv4": false, "enable_ipv6": false})
}

#[test]
fn a_server_is_created_with_everything_and_names_the_actions_that_follow() {
    let mut cloud = Cloud::new(1.0);
    let key = cloud.made("/ssh_keys", "ssh_key", &json!({"name": "k", "public_key": KEY}));
    let network = cloud.network("n", "10.0.0.0/24");
    let firewall = cloud.firewall("f", &json!([]));
    let group = cloud.made("/placement_groups", "placement_group", &json!({"name": "g", "type": "spread"}));
    let (v4, v6) = (cloud.address("four", "ipv4"), cloud.address("six", "ipv6"));
    let volume = cloud.made("/volumes", "volume", &json!({"name": "v", "size": 10, "location": "fsn1"}));
    cloud.wait(MINUTE);
    let created = cloud.ok(
        "/servers",
        &json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1",
            "ssh_keys": [key], "networks": [network], "firewalls": [{"firewall": firewall}], "volumes": [volume],
            "placement_group": group, "public_net": {"ipv4": v4, "ipv6": v6}}),
    );
    assert_eq!(created["root_password"], Value::Null, "a key was given");
    let commands: Vec<&str> =
        created["next_actions"].as_array().unwrap().iter().map(|action| action["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["attach_to_network", "attach_volume", "start_server"]);
    let id = created["server"]["id"].as_i64().unwrap();
    assert_eq!(created["server"]["private_net"], json!([]), "not attached yet");
    assert_eq!(created["server"]["public_net"]["firewalls"], json!([{"id": firewall, "status": "pending"}]));
    cloud.wait(2 * MINUTE);
    let server = cloud.show(id);
    assert_eq!((&server["status"], &server["locked"]), (&json!("running"), &json!(false)));
    assert_eq!(server["public_net"]["firewalls"], json!([{"id": firewall, "status": "applied"}]));
    assert_eq!((&server["public_net"]["ipv4"]["id"], &server["public_net"]["ipv6"]["id"]), (&json!(v4), &json!(v6)));
    assert_eq!((&server["volumes"], &server["placement_group"]["id"]), (&json!([volume]), &json!(group)));
    assert_eq!(server["private_net"][0]["network"], json!(network));
    assert_eq!(cloud.delete(&format!("/ssh_keys/{key}")).status, 204);
    let guest = cloud.sim(Method::GET, &format!("/servers/{id}/guest"), &Value::Null);
    assert_eq!(guest, json!({"acpi": "obey", "authorized_keys": [KEY]}), "it keeps a key that is gone");
    assert_eq!(cloud.delete(&format!("/servers/{id}")).status, 200);
    cloud.wait(MINUTE);
    for (path, field) in [("primary_ips", v4), ("primary_ips", v6), ("volumes", volume), ("firewalls", firewall)] {
        assert_eq!(cloud.delete(&format!("/{path}/{field}")).status, 204, "{path}: free, and there, after the server");
    }
}

#[test]
fn networks_of_one_server_do_not_overlap() {
    let mut cloud = Cloud::new(0.0);
    let (wide, inside) = (cloud.network("wide", "10.0.0.0/16"), cloud.network("inside", "10.0.5.0/24"));
    let (other, third) = (cloud.network("other", "10.1.0.0/24"), cloud.network("third", "10.2.0.0/24"));
    let fourth = cloud.network("fourth", "10.3.0.0/24");
    let body = |networks: Value| json!({"name": "a", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1", "networks": networks});
    let overlap = (422, "networks_overlap".to_owned());
    assert_eq!(cloud.no("/servers", &body(json!([wide, inside]))), overlap, "at creation");
    assert_eq!(cloud.no("/servers", &body(json!([other, inside, wide]))), overlap);
    assert_eq!(cloud.no("/servers", &body(json!([other, other]))), (422, "invalid_input".into()), "twice the same");
    assert_eq!(
        cloud.no("/servers", &body(json!([wide, other, third, fourth]))),
        (403, "resource_limit_exceeded".into())
    );
    assert_eq!(cloud.get("/servers")["servers"], json!([]), "nothing was made");
    let id = cloud.stopped("a", &json!({"networks": [wide, other]}));
    assert_eq!(cloud.cannot(id, "attach_to_network", &json!({"network": inside})), overlap, "at attach");
    cloud.act(id, "detach_from_network", &json!({"network": wide}));
    cloud.act(id, "attach_to_network", &json!({"network": inside, "ip": "10.0.5.9", "alias_ips": ["10.0.5.10"]}));
    let net = cloud.show(id)["private_net"][1].clone();
    assert_eq!((&net["ip"], &net["alias_ips"]), (&json!("10.0.5.9"), &json!(["10.0.5.10"])));
    cloud.act(id, "change_alias_ips", &json!({"network": inside, "alias_ips": ["10.0.5.11", "10.0.5.12"]}));
    assert_eq!(cloud.show(id)["private_net"][1]["alias_ips"], json!(["10.0.5.11", "10.0.5.12"]), "the set is replaced");
}

#[test]
fn a_list_at_creation_names_nothing_twice() {
    let mut cloud = Cloud::new(0.0);
    let volume = cloud.made("/volumes", "volume", &json!({"name": "v", "size": 10, "location": "fsn1"}));
    let firewall = cloud.firewall("f", &json!([]));
    for more in
        [json!({"volumes": [volume, volume]}), json!({"firewalls": [{"firewall": firewall}, {"firewall": firewall}]})]
    {
        let mut body = json!({"name": "a", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(cloud.no("/servers", &body), (422, "invalid_input".into()), "{more}");
    }
}

#[test]
fn addresses_move_between_stopped_servers_and_one_of_a_family_is_enough() {
    let mut cloud = Cloud::new(0.0);
    let (ip, second) = (cloud.address("one", "ipv4"), cloud.address("two", "ipv4"));
    let far = cloud.made("/primary_ips", "primary_ip", &json!({"name": "far", "type": "ipv4", "location": "hel1"}));
    let (a, b) = (
        cloud.stopped("a", &json!({"public_net": no_address()})),
        cloud.stopped("b", &json!({"public_net": no_address()})),
    );
    let assign = |ip: i64| format!("/primary_ips/{ip}/actions/assign");
    let to = |server: i64| json!({"assignee_type": "server", "assignee_id": server});
    assert_eq!(cloud.no(&assign(far), &to(a)), (422, "primary_ip_datacenter_mismatch".into()));
    cloud.ok(&assign(ip), &to(a));
    assert_eq!(cloud.no(&assign(ip), &to(b)), (422, "primary_ip_already_assigned".into()));
    assert_eq!(cloud.no(&assign(second), &to(a)), (422, "server_has_ipv4".into()));
    cloud.act(a, "poweron", &Value::Null);
    let unassign = format!("/primary_ips/{ip}/actions/unassign");
    assert_eq!(cloud.no(&unassign, &Value::Null), (422, "server_not_stopped".into()));
    cloud.act(a, "poweroff", &Value::Null);
    assert_eq!(cloud.refused(Method::DELETE, &format!("/primary_ips/{ip}"), &Value::Null).1, "must_be_unassigned");
    cloud.ok(&unassign, &Value::Null);
    cloud.ok(&assign(ip), &to(b));
    let refused = cloud.cannot(a, "poweron", &Value::Null);
    assert_eq!(refused, (422, "invalid_input".into()), "no interface is left");
    let body = json!({"name": "c", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1", "public_net": {"ipv4": ip}});
    assert_eq!(cloud.no("/servers", &body), (422, "primary_ip_assigned".into()));
}

#[test]
fn a_server_has_sixteen_volumes_and_a_volume_one_server() {
    let mut cloud = Cloud::new(1.0);
    let mut volumes = Vec::new();
    for number in 0..17 {
        let body = json!({"name": format!("v{number}"), "size": 10, "location": "fsn1"});
        volumes.push(cloud.made("/volumes", "volume", &body));
    }
    cloud.wait(MINUTE);
    let (last, sixteen) = volumes.split_last().unwrap();
    let server = cloud.stopped("a", &json!({"volumes": sixteen}));
    let other = cloud.stopped("b", &json!({}));
    cloud.wait(3 * MINUTE);
    assert_eq!(cloud.show(server)["volumes"].as_array().unwrap().len(), 16);
    let attach = |volume: i64| format!("/volumes/{volume}/actions/attach");
    assert_eq!(cloud.no(&attach(*last), &json!({"server": server})).1, "resource_limit_exceeded");
    cloud.ok(&attach(*last), &json!({"server": other}));
    assert_eq!(cloud.no(&attach(*last), &json!({"server": other})), (423, "locked".into()), "while it is attached");
    assert_eq!(cloud.cannot(other, "poweron", &Value::Null), (423, "locked".into()));
    cloud.wait(MINUTE);
    let device = cloud.get(&format!("/volumes/{last}"))["volume"]["linux_device"].clone();
    assert_eq!(device, json!(format!("/dev/disk/by-id/scsi-0HC_Volume_{last}")));
    assert_eq!(cloud.no(&attach(*last), &json!({"server": server})).1, "volume_already_attached");
}

#[test]
fn a_group_takes_stopped_servers_and_counts_those_that_are_joining() {
    let mut cloud = Cloud::new(1.0);
    let group = cloud.made("/placement_groups", "placement_group", &json!({"name": "g", "type": "spread"}));
    for number in 0..9 {
        cloud.server(&format!("s{number}"), &json!({"placement_group": group}));
    }
    let (a, b) = (cloud.stopped("a", &json!({})), cloud.stopped("b", &json!({})));
    let on = cloud.server("on", &json!({}));
    cloud.wait(MINUTE);
    let join = json!({"placement_group": group});
    assert_eq!(cloud.cannot(on, "add_to_placement_group", &join), (422, "server_not_stopped".into()));
    cloud.act(a, "add_to_placement_group", &join);
    assert_eq!(
        cloud.cannot(b, "add_to_placement_group", &join),
        (422, "placement_error".into()),
        "the tenth is joining"
    );
    cloud.switch("placement_error_status", &json!(409));
    assert_eq!(cloud.cannot(b, "add_to_placement_group", &join), (409, "placement_error".into()));
    cloud.wait(MINUTE);
    assert_eq!(cloud.show(a)["placement_group"]["id"], json!(group));
    cloud.act(a, "poweron", &Value::Null);
    cloud.wait(MINUTE);
    cloud.act(a, "remove_from_placement_group", &Value::Null);
    cloud.wait(MINUTE);
    cloud.act(b, "add_to_placement_group", &join);
}

#[test]
fn keys_are_unique_by_name_and_by_key_and_found_by_either() {
    let mut cloud = Cloud::new(0.0);
    let key = cloud.made("/ssh_keys", "ssh_key", &json!({"name": "k", "public_key": KEY}));
    let fingerprint = cloud.get(&format!("/ssh_keys/{key}"))["ssh_key"]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(fingerprint, FINGERPRINT, "as ssh-keygen -l -E md5 says it");
    let refused = |cloud: &mut Cloud, name: &str, key: &str| {
        let body = json!({"name": name, "public_key": key});
        let response = cloud.as_token("token", Method::POST, "/v1/ssh_keys", &body).json();
        (response["error"]["code"].clone(), response["error"]["details"]["fields"][0]["name"].clone())
    };
    let other_comment = KEY.replace("me@example", "you@example");
    assert_eq!(refused(&mut cloud, "other", &other_comment), (json!("uniqueness_error"), json!("public_key")));
    let other = KEY.replace("HR4f", "HR4e");
    assert_eq!(refused(&mut cloud, "k", &other), (json!("uniqueness_error"), json!("name")));
    for query in [format!("fingerprint={fingerprint}"), "name=k".to_owned()] {
        assert_eq!(cloud.get(&format!("/ssh_keys?{query}"))["ssh_keys"][0]["id"], json!(key), "{query}");
    }
    assert_eq!(cloud.get("/ssh_keys?name=other")["ssh_keys"], json!([]));
}

#[test]
fn a_server_is_started_by_a_change_of_its_type_unless_the_switch_says_otherwise() {
    for starts in [true, false] {
        let mut cloud = Cloud::new(1.0);
        cloud.switch("change_type_starts", &json!(starts));
        let (id, arm) = (cloud.stopped("a", &json!({})), json!({"server_type": "cax21", "upgrade_disk": false}));
        let bare = cloud.stopped("bare", &json!({"public_net": no_address()}));
        cloud.wait(MINUTE);
        let larger = json!({"server_type": "cx33", "upgrade_disk": false});
        assert_eq!(cloud.cannot(id, "change_type", &arm), (422, "invalid_server_type".into()), "another architecture");
        cloud.act(id, "change_type", &larger);
        cloud.act(bare, "change_type", &larger);
        assert_eq!(cloud.status(id), "migrating");
        cloud.wait(MINUTE);
        let server = cloud.show(id);
        assert_eq!(server["status"], if starts { "running" } else { "off" });
        assert_eq!((&server["server_type"]["name"], &server["primary_disk_size"]), (&json!("cx33"), &json!(40)));
        assert_eq!(cloud.status(bare), "off", "no server starts without an interface");
        let failing = json!({"match": {"path": "/servers/*/actions/change_type"}, "effect": {"type": "action_error"}});
        cloud.sim(Method::POST, "/faults", &failing);
        cloud.act(bare, "change_type", &json!({"server_type": "cx43", "upgrade_disk": false}));
        cloud.wait(MINUTE);
        assert_eq!(cloud.show(bare)["server_type"]["name"], "cx33");
    }
}

#[test]
fn a_disk_that_was_not_upgraded_fits_the_smaller_type_unless_snapshots_take_the_types_size() {
    for (by_type, size) in [(false, 40), (true, 80)] {
        let mut cloud = Cloud::new(0.0);
        cloud.switch("snapshot_has_disk_of_type", &json!(by_type));
        let id = cloud.stopped("a", &json!({}));
        cloud.act(id, "change_type", &json!({"server_type": "cx33", "upgrade_disk": false}));
        let image = cloud.act(id, "create_image", &json!({}))["image"].clone();
        assert_eq!(image["disk_size"], size);
    }
}

#[test]
fn a_private_server_may_have_firewalls_at_creation_or_not() {
    let mut cloud = Cloud::new(0.0);
    let (network, firewall) = (cloud.network("n", "10.0.0.0/24"), cloud.firewall("f", &json!([])));
    let body = json!({"name": "a", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1",
        "networks": [network], "firewalls": [{"firewall": firewall}], "public_net": no_address()});
    assert_eq!(cloud.no("/servers", &body), (422, "private_net_only_server".into()));
    cloud.switch("firewalls_at_private_creation", &json!(true));
    let id = cloud.made("/servers", "server", &body);
    assert_eq!(cloud.show(id)["public_net"]["firewalls"], json!([{"id": firewall, "status": "applied"}]));
}

#[test]
fn the_edges_of_a_subnet_are_reserved_unless_the_switch_frees_them() {
    let mut cloud = Cloud::new(0.0);
    let subnet = json!({"type": "cloud", "network_zone": "eu-central", "ip_range": "10.0.1.0/30"});
    let network = json!({"name": "n", "ip_range": "10.0.0.0/16", "subnets": [subnet]});
    let network = cloud.made("/networks", "network", &network);
    let id = cloud.stopped("a", &json!({}));
    for ip in ["10.0.1.0", "10.0.1.3"] {
        let refused = cloud.cannot(id, "attach_to_network", &json!({"network": network, "ip": ip}));
        assert_eq!(refused, (422, "ip_not_available".into()), "{ip}");
    }
    cloud.switch("subnet_edges_assignable", &json!(true));
    cloud.act(id, "attach_to_network", &json!({"network": network, "alias_ips": ["10.0.1.3"]}));
    assert_eq!(cloud.show(id)["private_net"][0]["ip"], "10.0.1.0", "the first free one");
}

#[test]
fn an_object_that_an_action_changes_answers_conflict_to_a_put() {
    let mut cloud = Cloud::new(1.0);
    let network = cloud.network("n", "10.0.0.0/24");
    let (ip, server) = (cloud.address("ip", "ipv4"), cloud.stopped("a", &json!({"public_net": no_address()})));
    cloud.wait(MINUTE);
    cloud.ok(&format!("/networks/{network}/actions/change_protection"), &json!({"delete": false}));
    cloud.ok(&format!("/primary_ips/{ip}/actions/assign"), &json!({"assignee_type": "server", "assignee_id": server}));
    for path in [format!("/networks/{network}"), format!("/primary_ips/{ip}")] {
        assert_eq!(cloud.refused(Method::PUT, &path, &json!({"labels": {}})), (409, "conflict".into()), "{path}");
    }
    cloud.wait(MINUTE);
    for path in [format!("/networks/{network}"), format!("/primary_ips/{ip}")] {
        assert_eq!(cloud.refused(Method::PUT, &path, &json!({"labels": {}})).0, 200, "{path}");
    }
}

#[test]
fn switches_are_shown_set_one_by_one_and_reset_with_everything() {
    let mut cloud = Cloud::new(0.0);
    let before = cloud.sim(Method::GET, "/switches", &Value::Null);
    assert_eq!(before["switches"]["change_type_starts"], true);
    for bad in
        [json!({"no_such_switch": true}), json!({"change_type_starts": 1}), json!({"placement_error_status": 200})]
    {
        let refused = cloud.as_token("", Method::PUT, "/_sim/switches", &bad);
        assert_eq!(refused.status, 422, "{bad}");
    }
    let after = cloud.sim(Method::PUT, "/switches", &json!({"change_type_starts": false}));
    assert_eq!(after["switches"]["change_type_starts"], false);
    assert_eq!(after["switches"]["placement_error_status"], 422, "the others stay");
    cloud.sim(Method::POST, "/reset", &json!({"project": "p"}));
    assert_eq!(cloud.sim(Method::GET, "/switches", &Value::Null), after, "they are no project's");
    cloud.sim(Method::POST, "/reset", &json!({}));
    assert_eq!(cloud.sim(Method::GET, "/switches", &Value::Null), before);
}

#[test]
fn a_route_leads_to_an_address_that_nobody_has_unless_the_switch_refuses_it() {
    let mut cloud = Cloud::new(0.0);
    let network = cloud.network("n", "10.0.0.0/24");
    let path = format!("/networks/{network}/actions/add_route");
    let route = |to: &str, gateway: &str| json!({"destination": to, "gateway": gateway});
    cloud.ok(&path, &route("192.168.0.0/24", "10.0.0.9"));
    cloud.switch("route_gateway_must_exist", &json!(true));
    let wanted = route("192.168.1.0/24", "10.0.0.9");
    assert_eq!(cloud.no(&path, &wanted), (422, "invalid_input".into()));
    let inline = json!({"name": "m", "ip_range": "10.1.0.0/24", "routes": [route("192.168.1.0/24", "10.1.0.9")]});
    assert_eq!(cloud.no("/networks", &inline), (422, "invalid_input".into()));
    let server = cloud.stopped("a", &json!({}));
    cloud.act(server, "attach_to_network", &json!({"network": network, "alias_ips": ["10.0.0.9"]}));
    cloud.ok(&path, &wanted);
}

#[test]
fn user_data_is_shown_as_cloud_init_reads_it() {
    let mut cloud = Cloud::new(0.0);
    // echo hello | gzip -n | base64, echo hello | base64, and text.
    for (sent, decoded) in [
        ("H4sIAAAAAAAAA8tIzcnJ5wIAIDA6NgYAAAA=", "hello\n"),
        ("aGVsbG8K", "hello\n"),
        ("#cloud-config\n", "#cloud-config\n"),
    ] {
        let server = cloud.server("a", &json!({"user_data": sent}));
        let shown = cloud.sim(Method::GET, &format!("/servers/{server}/user_data"), &Value::Null);
        assert_eq!(shown, json!({"user_data": sent, "decoded": decoded}));
        cloud.delete(&format!("/servers/{server}"));
    }
}
