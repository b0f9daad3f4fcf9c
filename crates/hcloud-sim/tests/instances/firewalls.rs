//! Firewalls: rules, limits, and what is in force on a server when.

use crate::cloud::{Cloud, MINUTE, servers};
use http::Method;
use serde_json::{Value, json};

/// A rule for a port, with as many sources as asked for.
fn rule(port: u16, sources: usize) -> Value {
    let sources: Vec<String> = (0..sources).map(|n| format!("192.0.{}.{}/32", n / 256, n % 256)).collect();
    json!({"direction": "in", "protocol": "tcp", "port": port.to_string(), "source_ips": sources})
}

fn on_server(cloud: &mut Cloud, server: i64) -> Value {
    cloud.show(server)["public_net"]["firewalls"].clone()
}

fn ports(cloud: &mut Cloud, firewall: i64) -> Vec<String> {
    let shown = cloud.get(&format!("/firewalls/{firewall}"));
    let rules = shown["firewall"]["rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["port"].as_str().unwrap_or("").to_owned()).collect()
}

#[test]
fn rules_come_back_with_the_incoming_first_and_ranges_in_canonical_form() {
    let mut cloud = Cloud::new(0.0);
    let out = |port: &str| json!({"direction": "out", "protocol": "tcp", "port": port, "destination_ips": ["2001:DB8:0:0::/64"]});
    let firewall = cloud.firewall("f", &json!([out("1"), rule(2, 1), out("3"), rule(4, 1)]));
    assert_eq!(ports(&mut cloud, firewall), ["2", "4", "1", "3"]);
    let set = json!({"rules": [out("5"), rule(6, 1)]});
    cloud.ok(&format!("/firewalls/{firewall}/actions/set_rules"), &set);
    assert_eq!(ports(&mut cloud, firewall), ["6", "5"]);
    let shown = cloud.get(&format!("/firewalls/{firewall}"));
    assert_eq!(shown["firewall"]["rules"][1]["destination_ips"], json!(["2001:db8::/64"]));
}

#[test]
fn a_server_has_five_hundred_effective_rules_and_each_range_counts() {
    let mut cloud = Cloud::new(1.0);
    let limit = (403, "resource_limit_exceeded".to_owned());
    let full = json!([rule(1, 100), rule(2, 100), rule(3, 100), rule(4, 100)]);
    let (most, rest) = (cloud.firewall("most", &full), cloud.firewall("rest", &json!([rule(5, 100)])));
    let one = cloud.firewall("one", &json!([rule(6, 1)]));
    let server = cloud.server("a", &json!({"firewalls": [{"firewall": most}]}));
    cloud.wait(MINUTE);
    let apply = |firewall: i64| format!("/firewalls/{firewall}/actions/apply_to_resources");
    let target = servers("apply_to", &[server]);
    cloud.ok(&apply(rest), &target);
    assert_eq!(cloud.no(&apply(one), &target), limit, "500 are there");
    cloud.wait(MINUTE);
    let set = |firewall: i64| format!("/firewalls/{firewall}/actions/set_rules");
    assert_eq!(cloud.no(&set(rest), &json!({"rules": [rule(5, 100), rule(6, 1)]})), limit);
    let mut new = servers("apply_to", &[server]);
    new["name"] = json!("new");
    new["rules"] = json!([rule(6, 1)]);
    assert_eq!(cloud.no("/firewalls", &new), limit, "applied as it is made");
    let body = json!({"name": "b", "server_type": "cx23", "image": "ubuntu-24.04", "location": "fsn1",
        "firewalls": [{"firewall": most}, {"firewall": rest}, {"firewall": one}]});
    assert_eq!(cloud.no("/servers", &body), limit);
    // What is being set counts, and what is no longer there does not.
    cloud.ok(&set(rest), &json!({"rules": [rule(5, 99)]}));
    cloud.ok(&apply(one), &target);
    assert_eq!(cloud.no(&set(rest), &json!({"rules": [rule(5, 100)]})), limit);
    cloud.switch("effective_rules_per_firewall", &json!(true));
    cloud.ok(&set(rest), &json!({"rules": [rule(5, 100)]}));
    let more = json!({"rules": [rule(1, 100), rule(2, 100), rule(3, 100), rule(4, 100), rule(5, 100), rule(6, 1)]});
    assert_eq!(cloud.no(&set(rest), &more), limit);
}

#[test]
fn a_server_has_five_firewalls_and_a_firewall_fifty_rules() {
    let mut cloud = Cloud::new(0.0);
    let firewalls: Vec<i64> = (0..6).map(|n| cloud.firewall(&format!("f{n}"), &json!([]))).collect();
    let five: Vec<Value> = firewalls[..5].iter().map(|id| json!({"firewall": id})).collect();
    let server = cloud.server("a", &json!({"firewalls": five}));
    let apply = format!("/firewalls/{}/actions/apply_to_resources", firewalls[5]);
    assert_eq!(cloud.no(&apply, &servers("apply_to", &[server])).1, "resource_limit_exceeded");
    let rules: Vec<Value> = (1..=51).map(|port| rule(port, 1)).collect();
    let set = format!("/firewalls/{}/actions/set_rules", firewalls[5]);
    cloud.ok(&set, &json!({"rules": rules[..50]}));
    assert_eq!(cloud.no(&set, &json!({"rules": rules})), (422, "invalid_input".into()));
}

#[test]
fn a_firewall_is_in_use_until_the_action_that_removes_it_has_ended() {
    let mut cloud = Cloud::new(1.0);
    let firewall = cloud.firewall("f", &json!([]));
    let server = cloud.server("a", &json!({"firewalls": [{"firewall": firewall}]}));
    cloud.wait(MINUTE);
    let remove = format!("/firewalls/{firewall}/actions/remove_from_resources");
    cloud.ok(&remove, &servers("remove_from", &[server]));
    let delete = format!("/firewalls/{firewall}");
    assert_eq!(cloud.refused(Method::DELETE, &delete, &Value::Null), (422, "resource_in_use".into()));
    assert_eq!(on_server(&mut cloud, server), json!([{"id": firewall, "status": "applied"}]));
    cloud.wait(MINUTE);
    assert_eq!(on_server(&mut cloud, server), json!([]));
    assert_eq!(cloud.delete(&delete).status, 204);
    for (action, field) in [("apply_to_resources", "apply_to"), ("remove_from_resources", "remove_from")] {
        let other = cloud.firewall(action, &json!([]));
        let refused = cloud.no(&format!("/firewalls/{other}/actions/{action}"), &servers(field, &[1]));
        assert_eq!(refused, (404, "firewall_resource_not_found".into()), "{action}");
    }
}

#[test]
fn an_action_on_a_firewall_that_fails_has_changed_nothing() {
    let mut cloud = Cloud::new(1.0);
    let (on, off) = (cloud.firewall("on", &json!([rule(1, 1)])), cloud.firewall("off", &json!([])));
    let server = cloud.server("a", &json!({"firewalls": [{"firewall": on}]}));
    cloud.wait(MINUTE);
    let fault = json!({"match": {"path": "/firewalls/*/actions/*", "count": 0}, "effect": {"type": "action_error"}});
    cloud.sim(Method::POST, "/faults", &fault);
    cloud.ok(&format!("/firewalls/{off}/actions/apply_to_resources"), &servers("apply_to", &[server]));
    cloud.ok(&format!("/firewalls/{on}/actions/remove_from_resources"), &servers("remove_from", &[server]));
    cloud.ok(&format!("/firewalls/{on}/actions/set_rules"), &json!({"rules": [rule(2, 1)]}));
    cloud.wait(MINUTE);
    assert_eq!(on_server(&mut cloud, server), json!([{"id": on, "status": "applied"}]));
    assert_eq!(ports(&mut cloud, on), ["1"]);
    assert_eq!(cloud.delete(&format!("/firewalls/{off}")).status, 204, "it is applied to nothing");
    let resources = cloud.get(&format!("/firewalls/{on}"))["firewall"]["applied_to"].clone();
    assert_eq!(resources[0]["server"]["id"], json!(server));
}

#[test]
fn changes_of_one_firewall_take_effect_in_the_order_of_their_requests() {
    // With this many in a row, latencies that differ would put some of them in another order.
    let mut cloud = Cloud::new(1.0);
    let firewall = cloud.firewall("f", &json!([]));
    let path = format!("/firewalls/{firewall}/actions/set_rules");
    cloud.wait(MINUTE);
    for port in 1..=20 {
        cloud.ok(&path, &json!({"rules": [rule(port, 1)]}));
        cloud.wait(10);
    }
    let mut seen = Vec::new();
    for _ in 0..400 {
        cloud.wait(10);
        seen.extend(ports(&mut cloud, firewall).iter().map(|port| port.parse::<u16>().unwrap()));
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&20));
}

#[test]
fn a_firewall_is_in_use_until_a_selector_that_was_removed_was_looked_at() {
    let mut cloud = Cloud::new(1.0);
    let firewall = cloud.firewall("f", &json!([]));
    let server = cloud.server("a", &json!({"labels": {"app": "web"}}));
    let selector = json!([{"type": "label_selector", "label_selector": {"selector": "app=web"}}]);
    cloud.ok(&format!("/firewalls/{firewall}/actions/apply_to_resources"), &json!({"apply_to": selector}));
    cloud.wait(MINUTE);
    assert_eq!(on_server(&mut cloud, server), json!([{"id": firewall, "status": "applied"}]));
    cloud.ok(&format!("/firewalls/{firewall}/actions/remove_from_resources"), &json!({"remove_from": selector}));
    let path = format!("/firewalls/{firewall}");
    assert_eq!(cloud.refused(Method::DELETE, &path, &Value::Null), (422, "resource_in_use".into()));
    cloud.wait(MINUTE);
    assert_eq!(cloud.delete(&path).status, 204);
}

#[test]
fn a_firewall_being_changed_answers_conflict_to_a_put_and_to_all_if_the_switch_says_so() {
    let mut cloud = Cloud::new(1.0);
    let firewall = cloud.firewall("f", &json!([]));
    let path = format!("/firewalls/{firewall}");
    let set = format!("{path}/actions/set_rules");
    assert_eq!(cloud.refused(Method::PUT, &path, &json!({"labels": {}})), (409, "conflict".into()));
    cloud.ok(&set, &json!({"rules": []}));
    cloud.switch("firewall_conflicts", &json!(true));
    assert_eq!(cloud.no(&set, &json!({"rules": []})), (409, "conflict".into()));
    assert_eq!(cloud.refused(Method::DELETE, &path, &Value::Null), (409, "conflict".into()));
    cloud.wait(MINUTE);
    cloud.ok(&set, &json!({"rules": []}));
    cloud.wait(MINUTE);
    assert_eq!(cloud.delete(&path).status, 204);
}

#[test]
fn firewalls_of_a_creation_are_applied_with_it_unless_the_switch_makes_them_late() {
    for late in [false, true] {
        let mut cloud = Cloud::new(1.0);
        cloud.switch("creation_firewalls_late", &json!(late));
        let firewall = cloud.firewall("f", &json!([]));
        cloud.wait(MINUTE);
        let server = cloud.stopped("a", &json!({"firewalls": [{"firewall": firewall}]}));
        let mut statuses = Vec::new();
        while cloud.show(server)["locked"] == true {
            cloud.wait(100);
        }
        for _ in 0..2 {
            statuses.push(on_server(&mut cloud, server)[0]["status"].as_str().unwrap().to_owned());
            cloud.wait(MINUTE);
        }
        assert_eq!(statuses, if late { ["pending", "applied"] } else { ["applied", "applied"] });
    }
}

#[test]
fn firewalls_stay_on_a_server_without_address_unless_the_switch_drops_them() {
    for drops in [false, true] {
        let mut cloud = Cloud::new(0.0);
        cloud.switch("last_address_drops_firewalls", &json!(drops));
        let firewall = cloud.firewall("f", &json!([]));
        let (v4, v6) = (cloud.address("four", "ipv4"), cloud.address("six", "ipv6"));
        let more = json!({"firewalls": [{"firewall": firewall}], "public_net": {"ipv4": v4, "ipv6": v6}});
        let server = cloud.stopped("a", &more);
        let applied = json!([{"id": firewall, "status": "applied"}]);
        cloud.ok(&format!("/primary_ips/{v4}/actions/unassign"), &Value::Null);
        assert_eq!(on_server(&mut cloud, server), applied, "one address is left");
        cloud.ok(&format!("/primary_ips/{v6}/actions/unassign"), &Value::Null);
        assert_eq!(on_server(&mut cloud, server), if drops { json!([]) } else { applied });
        assert_eq!(cloud.delete(&format!("/firewalls/{firewall}")).status, if drops { 204 } else { 422 });
    }
}

#[test]
fn a_firewall_held_by_a_selector_too_stays_when_it_is_removed_by_id() {
    let mut cloud = Cloud::new(0.0);
    let firewall = cloud.firewall("f", &json!([]));
    let server = cloud.server("a", &json!({"labels": {"app": "web"}, "firewalls": [{"firewall": firewall}]}));
    let selector = json!([{"type": "label_selector", "label_selector": {"selector": "app=web"}}]);
    cloud.ok(&format!("/firewalls/{firewall}/actions/apply_to_resources"), &json!({"apply_to": selector}));
    cloud.ok(&format!("/firewalls/{firewall}/actions/remove_from_resources"), &servers("remove_from", &[server]));
    assert_eq!(on_server(&mut cloud, server), json!([{"id": firewall, "status": "applied"}]));
    cloud.sim(
        Method::POST,
        "/mutate",
        &json!({"project": "p", "type": "server", "name": "a", "op": "relabel", "labels": {}}),
    );
    cloud.get("/servers");
    assert_eq!(on_server(&mut cloud, server), json!([]));
}

#[test]
fn a_selector_puts_no_more_on_a_server_than_it_can_have() {
    let mut cloud = Cloud::new(0.0);
    let full = json!([rule(1, 100), rule(2, 100), rule(3, 100), rule(4, 100), rule(5, 100)]);
    let (full, one) = (cloud.firewall("full", &full), cloud.firewall("one", &json!([rule(6, 1)])));
    let server = cloud.server("a", &json!({"labels": {"app": "web"}, "firewalls": [{"firewall": full}]}));
    let selector = json!([{"type": "label_selector", "label_selector": {"selector": "app=web"}}]);
    cloud.ok(&format!("/firewalls/{one}/actions/apply_to_resources"), &json!({"apply_to": selector}));
    cloud.get("/servers");
    assert_eq!(on_server(&mut cloud, server), json!([{"id": full, "status": "applied"}]));
}
