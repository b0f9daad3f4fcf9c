//! What the simulated cloud does over time, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cloud;

use cloud::{Cloud, MINUTE};
use hcloud_sim::{CoreConfig, SimRequest, Simulator};
use http::Method;
use serde_json::{Value, json};

#[test]
fn a_server_is_created_over_time_and_locked_until_its_last_action_ended() {
    let mut cloud = Cloud::new(1.0);
    let created = cloud
        .ok("/servers", &json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1"}));
    let id = created["server"]["id"].as_i64().unwrap();
    let (create, start) =
        (created["action"]["id"].as_i64().unwrap(), created["next_actions"][0]["id"].as_i64().unwrap());
    assert!(create > i64::from(u32::MAX), "ids do not fit in 32 bits");
    assert_eq!(created["server"]["status"], "initializing");
    assert!(created["root_password"].is_string(), "no key was given");
    assert_eq!(
        cloud.refused(Method::POST, &format!("/servers/{id}/actions/poweroff"), &Value::Null),
        (423, "locked".into())
    );
    assert_eq!(cloud.refused(Method::DELETE, &format!("/servers/{id}"), &Value::Null), (423, "locked".into()));
    cloud.wait(10_000);
    let action = cloud.get(&format!("/actions/{create}"));
    assert_eq!(action["action"]["status"], "running");
    let progress = action["action"]["progress"].as_i64().unwrap();
    assert!((10..=90).contains(&progress), "{progress}");
    cloud.wait(21_000);
    assert_eq!(cloud.get(&format!("/actions/{create}"))["action"]["status"], "success");
    cloud.wait(10_000);
    assert_eq!(cloud.get(&format!("/actions/{start}"))["action"]["status"], "success");
    let server = cloud.get(&format!("/servers/{id}"));
    assert_eq!((&server["server"]["status"], &server["server"]["locked"]), (&json!("running"), &json!(false)));
}

#[test]
fn at_speed_zero_an_action_is_done_at_the_next_read() {
    let mut cloud = Cloud::new(0.0);
    let id = cloud.server("web", &json!({}));
    assert_eq!(cloud.status(id), "running");
}

#[test]
fn a_shutdown_ends_before_the_guest_is_off_and_some_guests_never_go() {
    let mut cloud = Cloud::new(1.0);
    let (obeys, ignores) = (cloud.server("a", &json!({})), cloud.server("b", &json!({})));
    cloud.sim(Method::PUT, &format!("/servers/{ignores}/guest"), &json!({"acpi": "ignore"}));
    cloud.wait(MINUTE);
    for id in [obeys, ignores] {
        let action =
            cloud.ok(&format!("/servers/{id}/actions/shutdown"), &Value::Null)["action"]["id"].as_i64().unwrap();
        cloud.wait(2_000);
        assert_eq!(cloud.get(&format!("/actions/{action}"))["action"]["status"], "success");
        assert_eq!(cloud.status(id), "running", "the signal is sent, the guest still runs");
    }
    cloud.wait(MINUTE);
    assert_eq!((cloud.status(obeys), cloud.status(ignores)), ("off".into(), "running".into()));
    // A guest that was powered on again is not hit by the old signal.
    cloud.ok(&format!("/servers/{obeys}/actions/poweron"), &Value::Null);
    cloud.wait(MINUTE);
    assert_eq!(cloud.status(obeys), "running");
}

#[test]
fn names_are_unique_per_type_and_per_project() {
    let mut cloud = Cloud::new(0.0);
    cloud.server("web", &json!({}));
    let body = json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "nbg1"});
    let response = cloud.as_token("token", Method::POST, "/v1/servers", &body);
    assert_eq!(response.status, 409);
    assert_eq!(response.json()["error"]["details"], json!({"fields": [{"name": "name"}]}));
    assert_eq!(cloud.as_token("other", Method::POST, "/v1/servers", &body).status, 201);
    cloud.network("web", "10.0.0.0/24");
    assert_eq!(cloud.as_token("other", Method::GET, "/v1/networks", &Value::Null).json()["networks"], json!([]));
}

#[test]
fn a_token_opens_one_project_and_a_read_only_one_changes_nothing() {
    let mut cloud = Cloud::new(0.0);
    let key = json!({"name": "g", "type": "spread"});
    for (token, method, status, code) in [
        ("nonsense", Method::GET, 401, "unauthorized"),
        ("reader", Method::GET, 200, ""),
        ("reader", Method::POST, 401, "token_readonly"),
        ("token", Method::POST, 201, ""),
    ] {
        let response = cloud.as_token(token, method.clone(), "/v1/placement_groups", &key);
        assert_eq!(response.status, status, "{token} {method}");
        assert_eq!(response.json()["error"]["code"].as_str().unwrap_or_default(), code, "{token} {method}");
        assert!(response.header("ratelimit-remaining").is_some());
    }
}

#[test]
fn the_rate_limit_is_of_the_project_and_refills_with_time() {
    let mut cloud = Cloud::new(1.0);
    cloud.sim(Method::PUT, "/rate", &json!({"project": "p", "limit": 3600, "remaining": 2}));
    for expected in [200, 200, 429, 429] {
        let response = cloud.as_token("token", Method::GET, "/v1/locations", &Value::Null);
        assert_eq!(response.status, expected);
        if expected == 429 {
            assert_eq!(response.json()["error"]["message"], "limit of 3600 requests per hour reached");
            assert_eq!(response.header("ratelimit-remaining"), Some("0"));
        }
    }
    assert_eq!(cloud.as_token("other", Method::GET, "/v1/locations", &Value::Null).status, 200);
    cloud.wait(1_000);
    assert_eq!(cloud.as_token("token", Method::GET, "/v1/locations", &Value::Null).status, 200);
}

#[test]
fn capacity_is_what_an_order_meets_and_not_what_the_list_says() {
    let mut cloud = Cloud::new(0.0);
    cloud.sim(Method::PUT, "/types/cx23/locations/fsn1", &json!({"orderable": false}));
    let body = json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1"});
    assert_eq!(cloud.refused(Method::POST, "/servers", &body), (412, "resource_unavailable".into()));
    let listed = cloud.get("/server_types?name=cx23")["server_types"][0]["locations"][0].clone();
    assert_eq!((&listed["name"], &listed["available"]), (&json!("fsn1"), &json!(true)));
    cloud.sim(Method::PUT, "/projects/p/limits", &json!({"server_limit": 0}));
    assert_eq!(cloud.refused(Method::POST, "/servers", &body), (403, "resource_limit_exceeded".into()));
}

#[test]
fn what_is_wrong_with_a_server_is_said_before_anything_is_made() {
    let mut cloud = Cloud::new(0.0);
    let network = cloud.network("us", "10.0.0.0/24");
    for (more, code) in [
        (json!({"name": "under_score"}), "invalid_input"),
        (json!({"server_type": "cx22"}), "invalid_input"),
        (json!({"server_type": "none"}), "invalid_input"),
        (json!({"image": 161_547_270}), "invalid_input"),
        (json!({"image": "windows"}), "invalid_input"),
        (json!({"location": "sin"}), "invalid_input"),
        (json!({"datacenter": "fsn1-dc14"}), "invalid_input"),
        (json!({"user_data": "x".repeat(32 * 1024 + 1)}), "invalid_input"),
        (json!({"ssh_keys": ["none"]}), "invalid_input"),
        (json!({"firewalls": [{"firewall": 1}]}), "invalid_input"),
        (json!({"placement_group": 1}), "invalid_input"),
        (json!({"labels": {"a": "b/c"}}), "invalid_input"),
        (json!({"public_net": {"enable_ipv4": false, "enable_ipv6": false}}), "invalid_input"),
        (json!({"server_type": "ccx13", "location": "ash", "networks": [network]}), "no_subnet_available"),
    ] {
        let mut body = json!({"name": "web", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(cloud.refused(Method::POST, "/servers", &body), (422, code.into()), "{more}");
    }
    let counts = cloud.sim(Method::GET, "/inventory?project=p", &Value::Null)["counts"].clone();
    assert_eq!((&counts["servers"], &counts["primary_ips"]), (&json!(0), &json!(0)));
}

#[test]
fn a_body_that_is_no_json_object_is_a_json_error() {
    let mut cloud = Cloud::new(0.0);
    for body in ["{", "[]", "1"] {
        let mut request = SimRequest::new(Method::POST, "/v1/servers").with_token("token");
        request.body = body.into();
        let response = cloud.sim.handle(&request, cloud.now);
        assert_eq!(
            (response.status.as_u16(), &response.json()["error"]["code"]),
            (400, &json!("json_error")),
            "{body}"
        );
    }
    for (method, path, status) in
        [(Method::PUT, "/servers", 405), (Method::PUT, "/pricing", 405), (Method::GET, "/nothing", 404)]
    {
        assert_eq!(cloud.refused(method.clone(), path, &Value::Null).0, status, "{method} {path}");
    }
}

#[test]
fn a_private_only_server_has_no_public_interface_and_none_at_all_cannot_start() {
    let mut cloud = Cloud::new(0.0);
    let bare = json!({"public_net": {"enable_ipv4": false, "enable_ipv6": false}, "start_after_create": false});
    let id = cloud.server("bare", &bare);
    assert_eq!(cloud.status(id), "off");
    let refused = cloud.as_token("token", Method::POST, &format!("/v1/servers/{id}/actions/poweron"), &Value::Null);
    assert_eq!(refused.json()["error"]["message"], "server has no public or private network interfaces");
    let network = cloud.network("n", "10.0.0.0/24");
    cloud.ok(&format!("/servers/{id}/actions/attach_to_network"), &json!({"network": network, "ip": "10.0.0.7"}));
    let server = cloud.get(&format!("/servers/{id}"));
    let net = &server["server"]["private_net"][0];
    assert_eq!(net["ip"], "10.0.0.7");
    assert!(net["mac_address"].as_str().unwrap().starts_with("86:00:00:"));
    cloud.ok(&format!("/servers/{id}/actions/poweron"), &Value::Null);
    assert_eq!(cloud.status(id), "running");
    let firewall = cloud.ok("/firewalls", &json!({"name": "f"}))["firewall"]["id"].clone();
    let apply = json!({"apply_to": [{"type": "server", "server": {"id": id}}]});
    let refused = cloud.refused(Method::POST, &format!("/firewalls/{firewall}/actions/apply_to_resources"), &apply);
    assert_eq!(refused, (422, "private_net_only_server".into()));
}

#[test]
fn addresses_in_a_network_are_given_once_and_never_the_routers() {
    let mut cloud = Cloud::new(0.0);
    let network = cloud.network("n", "10.0.0.0/24");
    let off = json!({"start_after_create": false});
    let (a, b) = (cloud.server("a", &off), cloud.server("b", &off));
    let attach = |id: i64| format!("/servers/{id}/actions/attach_to_network");
    for ip in ["10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.9.9"] {
        let refused = cloud.refused(Method::POST, &attach(a), &json!({"network": network, "ip": ip}));
        assert_eq!(refused, (422, "ip_not_available".into()), "{ip}");
    }
    cloud.ok(&attach(a), &json!({"network": network, "alias_ips": ["10.0.0.3"]}));
    assert_eq!(cloud.get(&format!("/servers/{a}"))["server"]["private_net"][0]["ip"], "10.0.0.2");
    assert_eq!(
        cloud.refused(Method::POST, &attach(a), &json!({"network": network})),
        (422, "server_already_attached".into())
    );
    for ip in ["10.0.0.2", "10.0.0.3"] {
        let refused = cloud.refused(Method::POST, &attach(b), &json!({"network": network, "ip": ip}));
        assert_eq!(refused, (422, "ip_not_available".into()), "{ip}");
    }
    let overlapping = cloud.network("o", "10.0.0.0/16");
    let refused = cloud.refused(Method::POST, &attach(a), &json!({"network": overlapping}));
    assert_eq!(refused, (422, "networks_overlap".into()));
    let refused = cloud.refused(
        Method::POST,
        &format!("/networks/{network}/actions/delete_subnet"),
        &json!({"ip_range": "10.0.0.0/24"}),
    );
    assert_eq!(refused, (422, "service_error".into()));
    assert_eq!(cloud.get(&format!("/networks/{network}"))["network"]["servers"], json!([a]));
    let deleted = cloud.as_token("token", Method::DELETE, &format!("/v1/networks/{network}"), &Value::Null);
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
    assert_eq!(cloud.get(&format!("/servers/{a}"))["server"]["private_net"], json!([]));
}

#[test]
fn a_network_that_is_being_changed_answers_conflict() {
    let mut cloud = Cloud::new(1.0);
    let network = cloud.network("n", "10.0.0.0/24");
    let route = |to: &str| json!({"destination": to, "gateway": "10.0.0.9"});
    let path = format!("/networks/{network}/actions/add_route");
    cloud.ok(&path, &route("192.168.0.0/24"));
    assert_eq!(cloud.refused(Method::POST, &path, &route("192.168.1.0/24")), (409, "conflict".into()));
    assert_eq!(cloud.refused(Method::DELETE, &format!("/networks/{network}"), &Value::Null), (409, "conflict".into()));
    cloud.wait(MINUTE);
    cloud.ok(&path, &route("192.168.1.0/24"));
}

#[test]
fn volumes_stay_in_their_location_grow_only_and_are_deleted_detached() {
    let mut cloud = Cloud::new(0.0);
    let server = cloud.server("a", &json!({}));
    let volume = |name: &str, size: i64, location: &str| json!({"name": name, "size": size, "location": location});
    for (size, location) in [(9, "fsn1"), (10_241, "fsn1"), (10, "mars")] {
        assert_eq!(cloud.refused(Method::POST, "/volumes", &volume("v", size, location)).0, 422, "{size} {location}");
    }
    let here = cloud.ok("/volumes", &volume("here", 10, "fsn1"))["volume"]["id"].as_i64().unwrap();
    let there = cloud.ok("/volumes", &volume("there", 10, "hel1"))["volume"]["id"].as_i64().unwrap();
    let attach = |id: i64| format!("/volumes/{id}/actions/attach");
    assert_eq!(cloud.refused(Method::POST, &attach(there), &json!({"server": server})), (422, "invalid_input".into()));
    cloud.ok(&attach(here), &json!({"server": server}));
    assert_eq!(
        cloud.refused(Method::POST, &attach(here), &json!({"server": server})),
        (422, "volume_already_attached".into())
    );
    assert_eq!(cloud.get(&format!("/servers/{server}"))["server"]["volumes"], json!([here]));
    assert_eq!(cloud.refused(Method::DELETE, &format!("/volumes/{here}"), &Value::Null), (422, "service_error".into()));
    let resize = format!("/volumes/{here}/actions/resize");
    assert_eq!(cloud.refused(Method::POST, &resize, &json!({"size": 10})).0, 422);
    cloud.ok(&resize, &json!({"size": 11}));
    assert_eq!(cloud.get(&format!("/volumes/{here}"))["volume"]["size"], json!(11));
    cloud.as_token("token", Method::DELETE, &format!("/v1/servers/{server}"), &Value::Null);
    assert_eq!(
        cloud.get(&format!("/volumes/{here}"))["volume"]["server"],
        Value::Null,
        "detached by the server's delete"
    );
}

#[test]
fn an_address_is_assigned_to_a_stopped_server_and_outlives_it_unless_told_otherwise() {
    let mut cloud = Cloud::new(0.0);
    let body = json!({"name": "ip", "type": "ipv4", "location": "fsn1"});
    let ip = cloud.ok("/primary_ips", &body)["primary_ip"]["id"].as_i64().unwrap();
    let server = cloud.server("a", &json!({"public_net": {"enable_ipv4": false}}));
    let assign = json!({"assignee_type": "server", "assignee_id": server});
    let path = format!("/primary_ips/{ip}/actions/assign");
    assert_eq!(cloud.refused(Method::POST, &path, &assign), (422, "server_not_stopped".into()));
    cloud.ok(&format!("/servers/{server}/actions/poweroff"), &Value::Null);
    cloud.ok(&path, &assign);
    assert_eq!(cloud.get(&format!("/servers/{server}"))["server"]["public_net"]["ipv4"]["id"], json!(ip));
    assert_eq!(
        cloud.refused(Method::DELETE, &format!("/primary_ips/{ip}"), &Value::Null),
        (422, "must_be_unassigned".into())
    );
    cloud.as_token("token", Method::DELETE, &format!("/v1/servers/{server}"), &Value::Null);
    let left = cloud.get("/primary_ips")["primary_ips"].clone();
    assert_eq!(left.as_array().unwrap().len(), 1, "the automatic IPv6 address went with the server");
    assert_eq!((&left[0]["id"], &left[0]["assignee_type"]), (&json!(ip), &json!("unassigned")));
}

#[test]
fn a_placement_group_holds_ten_servers() {
    let mut cloud = Cloud::new(0.0);
    let group = cloud.ok("/placement_groups", &json!({"name": "g", "type": "spread"}))["placement_group"]["id"].clone();
    for number in 0..10 {
        cloud.server(&format!("s{number}"), &json!({"placement_group": group}));
    }
    let body = json!({"name": "x", "server_type": "cx23", "image": "ubuntu-24.04", "placement_group": group});
    assert_eq!(cloud.refused(Method::POST, "/servers", &body), (422, "placement_error".into()));
}

#[test]
fn a_snapshot_fits_only_types_with_a_disk_as_large() {
    let mut cloud = Cloud::new(1.0);
    let server = cloud.server("a", &json!({"server_type": "cx33"}));
    cloud.wait(MINUTE);
    let image = cloud.ok(&format!("/servers/{server}/actions/create_image"), &json!({"labels": {"op": "1"}}));
    let image = image["image"]["id"].as_i64().unwrap();
    assert_eq!(cloud.get(&format!("/images/{image}"))["image"]["status"], "creating");
    // Meanwhile nothing else can be done to the server, and nothing to the snapshot.
    assert_eq!(cloud.get(&format!("/servers/{server}"))["server"]["locked"], true);
    for (method, path) in [
        (Method::POST, format!("/servers/{server}/actions/create_image")),
        (Method::POST, format!("/servers/{server}/actions/poweroff")),
        (Method::DELETE, format!("/servers/{server}")),
        (Method::DELETE, format!("/images/{image}")),
    ] {
        assert_eq!(cloud.refused(method, &path, &json!({})), (423, "locked".into()), "{path}");
    }
    let early = json!({"name": "b", "server_type": "cx43", "image": image, "location": "nbg1"});
    assert_eq!(cloud.refused(Method::POST, "/servers", &early), (422, "invalid_input".into()));
    cloud.wait(2 * MINUTE);
    assert_eq!(cloud.get(&format!("/servers/{server}"))["server"]["locked"], false);
    assert!(cloud.get(&format!("/images/{image}"))["image"]["image_size"].as_f64() > Some(0.0));
    let listed = cloud.get("/images?type=snapshot&label_selector=op%3D1")["images"][0].clone();
    assert_eq!(
        (&listed["status"], &listed["disk_size"], &listed["name"]),
        (&json!("available"), &json!(80), &Value::Null)
    );
    let body = json!({"name": "b", "server_type": "cx23", "image": image, "location": "nbg1"});
    assert_eq!(cloud.refused(Method::POST, "/servers", &body), (422, "invalid_input".into()));
    cloud.server("b", &json!({"server_type": "cx43", "image": image}));
}

#[test]
fn firewalls_follow_label_selectors_after_some_seconds() {
    let mut cloud = Cloud::new(1.0);
    let server = cloud.server("a", &json!({}));
    let selector = json!([{"type": "label_selector", "label_selector": {"selector": "app=web"}}]);
    let firewall = cloud.ok("/firewalls", &json!({"name": "f", "apply_to": selector}))["firewall"]["id"].clone();
    cloud.wait(MINUTE);
    assert_eq!(cloud.get(&format!("/servers/{server}"))["server"]["public_net"]["firewalls"], json!([]));
    let labels = json!({"labels": {"app": "web"}});
    cloud.as_token("token", Method::PUT, &format!("/v1/servers/{server}"), &labels);
    cloud.wait(MINUTE);
    let applied = cloud.get(&format!("/servers/{server}"))["server"]["public_net"]["firewalls"].clone();
    assert_eq!(applied, json!([{"id": firewall, "status": "applied"}]));
    let remove = json!({"remove_from": [{"type": "server", "server": {"id": server}}]});
    let path = format!("/firewalls/{firewall}/actions/remove_from_resources");
    assert_eq!(cloud.refused(Method::POST, &path, &remove), (422, "firewall_managed_by_label_selector".into()));
    assert_eq!(
        cloud.refused(Method::DELETE, &format!("/firewalls/{firewall}"), &Value::Null),
        (422, "resource_in_use".into())
    );
}

#[test]
fn a_person_at_the_console_can_do_what_they_like() {
    let mut cloud = Cloud::new(1.0);
    let id = cloud.server("a", &json!({}));
    let op = |op: &str| json!({"project": "p", "type": "server", "name": "a", "op": op, "labels": {"x": "y"}});
    cloud.sim(Method::POST, "/mutate", &op("relabel"));
    assert_eq!(cloud.get(&format!("/servers/{id}"))["server"]["labels"], json!({"x": "y"}));
    cloud.sim(Method::POST, "/mutate", &op("unlock"));
    assert_eq!(cloud.status(id), "off", "its create failed half way");
    cloud.sim(Method::POST, "/mutate", &op("poweron"));
    assert_eq!(cloud.status(id), "running");
    cloud.sim(Method::POST, "/mutate", &op("delete"));
    assert_eq!(cloud.status(id), "gone");
    cloud.wait(MINUTE);
    assert_eq!(cloud.status(id), "gone");
}

#[test]
fn the_same_seed_repeats_everything_and_a_snapshot_carries_on() {
    let run = |restart: bool| {
        let mut cloud = Cloud::new(1.0);
        cloud.server("a", &json!({"volumes": [], "labels": {"a": "b"}}));
        cloud.wait(10_000);
        if restart {
            let snapshot = cloud.sim.snapshot().unwrap();
            let mut fresh = Simulator::new(CoreConfig { speed: 1.0, seed: 99, ..CoreConfig::default() });
            fresh.restore(&snapshot).unwrap();
            cloud.sim = fresh;
        }
        cloud.server("b", &json!({}));
        cloud.wait(MINUTE);
        (cloud.get("/servers").to_string(), cloud.get("/primary_ips").to_string())
    };
    assert_eq!(run(false), run(false));
    assert_eq!(run(false), run(true), "actions under way end after the restart as they would have");
}
