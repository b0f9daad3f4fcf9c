//! The timeline of what can be reached: the worst case at every moment.

use crate::cloud::{Cloud, MINUTE, servers};
use http::Method;
use serde_json::{Value, json};

impl Cloud {
    fn timeline(&mut self, server: i64, after: u64) -> Vec<Value> {
        let path = format!("/exposure?project=p&server={server}&after={after}");
        self.sim(Method::GET, &path, &Value::Null)["entries"].as_array().unwrap().clone()
    }

    /// What was open at any address, entry after entry: `everything`, `nothing` or ports.
    fn history(&mut self, server: i64) -> Vec<String> {
        self.timeline(server, 0).iter().map(open).collect()
    }
}

fn open(entry: &Value) -> String {
    if entry["gone"] == true {
        return "gone".to_owned();
    }
    let at = |address: &Value| {
        if address["everything"] == true {
            return "everything".to_owned();
        }
        let ports: Vec<&str> =
            address["rules"].as_array().unwrap().iter().map(|rule| rule["port"].as_str().unwrap()).collect();
        if ports.is_empty() { "nothing".to_owned() } else { ports.join("+") }
    };
    let all: Vec<String> = entry["open"].as_array().unwrap().iter().map(at).collect();
    if all.is_empty() { "off".to_owned() } else { all.join(" ") }
}

fn rule(port: &str, sources: &[&str]) -> Value {
    json!({"direction": "in", "protocol": "tcp", "port": port, "source_ips": sources})
}

/// A server with one IPv4 address, running, with firewalls from its creation.
fn running(cloud: &mut Cloud, firewalls: &[i64]) -> i64 {
    let firewalls: Vec<Value> = firewalls.iter().map(|id| json!({"firewall": id})).collect();
    let id = cloud.server("a", &json!({"firewalls": firewalls, "public_net": {"enable_ipv6": false}}));
    cloud.wait(MINUTE);
    assert_eq!(cloud.status(id), "running");
    id
}

#[test]
fn a_server_made_with_its_firewall_is_never_open_and_one_whose_firewall_is_late_is() {
    for late in [false, true] {
        let mut cloud = Cloud::new(1.0);
        cloud.switch("creation_firewalls_late", &json!(late));
        let firewall = cloud.firewall("f", &json!([rule("22", &["0.0.0.0/0"])]));
        cloud.wait(MINUTE);
        let id = running(&mut cloud, &[firewall]);
        let history = cloud.history(id);
        assert_eq!((history[0].as_str(), history.last().unwrap().as_str()), ("off", "22"));
        assert_eq!(history.contains(&"everything".to_owned()), late, "{history:?}");
    }
}

#[test]
fn a_firewall_that_is_being_removed_or_applied_cannot_be_relied_upon() {
    for speed in [0.0, 1.0] {
        for waits in [true, false] {
            let mut cloud = Cloud::new(speed);
            let old = cloud.firewall("old", &json!([rule("22", &["0.0.0.0/0"])]));
            let new = cloud.firewall("new", &json!([rule("80", &["0.0.0.0/0"])]));
            let id = running(&mut cloud, &[old]);
            cloud.sim(Method::DELETE, "/exposure", &Value::Null);
            assert_eq!(cloud.history(id), ["22"], "the present is noted");
            cloud.ok(&format!("/firewalls/{new}/actions/apply_to_resources"), &servers("apply_to", &[id]));
            if waits {
                cloud.wait(MINUTE);
            }
            // At speed 0 the time goes on with the next request; only one that came in the same instant would race.
            let remove = format!("/firewalls/{old}/actions/remove_from_resources");
            cloud.ok(&remove, &servers("remove_from", &[id]));
            cloud.wait(MINUTE);
            let history = cloud.history(id);
            let races = speed > 0.0 && !waits;
            assert_eq!(history.contains(&"everything".to_owned()), races, "{speed} {waits} {history:?}");
            assert_eq!(history[1], "22+80", "the new one may be in force already");
            assert_eq!(history.last().unwrap(), "80");
        }
    }
}

#[test]
fn rules_that_are_being_set_may_be_in_force_and_those_before_too() {
    let mut cloud = Cloud::new(1.0);
    let firewall = cloud.firewall("f", &json!([rule("22", &["0.0.0.0/0"])]));
    let id = running(&mut cloud, &[firewall]);
    cloud.sim(Method::DELETE, "/exposure", &Value::Null);
    cloud.ok(&format!("/firewalls/{firewall}/actions/set_rules"), &json!({"rules": [rule("443", &["0.0.0.0/0"])]}));
    assert_eq!(cloud.history(id), ["22", "22+443"]);
    cloud.wait(MINUTE);
    assert_eq!(cloud.history(id).last().unwrap(), "443");
    assert!(!cloud.history(id).contains(&"everything".to_owned()));
    let fault = json!({"match": {"path": "/firewalls/*/actions/set_rules"}, "effect": {"type": "action_error"}});
    cloud.sim(Method::POST, "/faults", &fault);
    cloud.ok(&format!("/firewalls/{firewall}/actions/set_rules"), &json!({"rules": []}));
    cloud.wait(MINUTE);
    assert_eq!(cloud.history(id).last().unwrap(), "443", "what failed is not in force");
}

#[test]
fn what_is_open_is_told_for_each_address_and_family_with_the_sources() {
    let mut cloud = Cloud::new(0.0);
    let rules = json!([
        rule("22", &["192.0.2.1/32", "2001:db8:9::/48"]),
        rule("80", &["0.0.0.0/0"]),
        {"direction": "out", "protocol": "tcp", "port": "1", "destination_ips": ["192.0.2.1/32"]},
    ]);
    let firewall = cloud.firewall("f", &rules);
    let id = cloud.server("a", &json!({"firewalls": [{"firewall": firewall}]}));
    cloud.wait(MINUTE);
    let entry = cloud.timeline(id, 0).pop().unwrap();
    let server = cloud.show(id);
    let (v4, v6) = (&server["public_net"]["ipv4"]["ip"], &server["public_net"]["ipv6"]["ip"]);
    assert_eq!(
        entry["open"],
        json!([
            {"address": v4, "everything": false, "rules": [
                {"protocol": "tcp", "port": "22", "source_ips": ["192.0.2.1/32"]},
                {"protocol": "tcp", "port": "80", "source_ips": ["0.0.0.0/0"]}]},
            {"address": v6, "everything": false, "rules": [
                {"protocol": "tcp", "port": "22", "source_ips": ["2001:db8:9::/48"]}]},
        ])
    );
    assert_eq!((&entry["on"], &entry["addresses"], &entry["name"]), (&json!(true), &json!([v4, v6]), &json!("a")));
    let firewall = json!({"id": firewall, "state": "applied", "rules": rules_of(&mut cloud, firewall)});
    assert_eq!(entry["firewalls"], json!([firewall]), "as they are, outgoing rules too");
}

fn rules_of(cloud: &mut Cloud, firewall: i64) -> Value {
    cloud.get(&format!("/firewalls/{firewall}"))["firewall"]["rules"].clone()
}

#[test]
fn a_server_is_reachable_from_its_start_until_it_is_off_or_gone() {
    let mut cloud = Cloud::new(1.0);
    let firewall = cloud.firewall("f", &json!([]));
    let id = running(&mut cloud, &[firewall]);
    cloud.act(id, "shutdown", &Value::Null);
    cloud.wait(2_000);
    assert_eq!(cloud.history(id).last().unwrap(), "nothing", "the guest still runs, and the firewall lets nothing in");
    cloud.wait(MINUTE);
    assert_eq!(cloud.history(id).last().unwrap(), "off");
    let ip = cloud.show(id)["public_net"]["ipv4"]["id"].clone();
    cloud.ok(&format!("/primary_ips/{ip}/actions/unassign"), &Value::Null);
    cloud.wait(MINUTE);
    let last = cloud.timeline(id, 0).pop().unwrap();
    assert_eq!((&last["addresses"], &last["on"]), (&json!([]), &json!(false)));
    let assign = json!({"assignee_type": "server", "assignee_id": id});
    cloud.ok(&format!("/primary_ips/{ip}/actions/assign"), &assign);
    cloud.wait(MINUTE);
    // By the console, and never an entry when nothing changes.
    cloud.sim(Method::POST, "/mutate", &json!({"project": "p", "type": "server", "name": "a", "op": "poweron"}));
    let entries = cloud.timeline(id, 0);
    assert_eq!(open(entries.last().unwrap()), "nothing");
    cloud.as_token("token", Method::PUT, &format!("/v1/servers/{id}"), &json!({"labels": {"x": "y"}}));
    assert_eq!(cloud.timeline(id, 0), entries);
    assert_eq!(cloud.delete(&format!("/servers/{id}")).status, 200);
    assert_eq!(cloud.timeline(id, 0), entries, "it runs while it is being deleted");
    cloud.wait(MINUTE);
    let number = entries.last().unwrap()["number"].as_u64().unwrap();
    let after = cloud.timeline(id, number);
    assert_eq!(after.iter().map(open).collect::<Vec<_>>(), ["gone"]);
}

#[test]
fn an_entry_names_the_request_that_it_follows_and_times_never_go_back() {
    let mut cloud = Cloud::new(1.0);
    let id = running(&mut cloud, &[]);
    cloud.act(id, "poweroff", &Value::Null);
    cloud.wait(MINUTE);
    let journal = cloud.sim(Method::GET, "/journal?mutating=true", &Value::Null)["entries"].clone();
    let (create, off) = (&journal[0], &journal.as_array().unwrap()[1]);
    let entries = cloud.timeline(id, 0);
    assert_eq!(entries[0]["after_seq"], create["seq"], "the creation itself");
    assert!(entries.last().unwrap()["after_seq"].as_u64() >= off["seq"].as_u64());
    assert_eq!(open(entries.last().unwrap()), "off");
    let times: Vec<i64> = entries.iter().map(|entry| entry["time_ms"].as_i64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(entries.iter().any(|entry| open(entry) == "everything"), "no firewall at all");
}

#[test]
fn a_change_of_type_may_start_the_server_at_any_moment() {
    let mut cloud = Cloud::new(1.0);
    let id = running(&mut cloud, &[]);
    cloud.act(id, "poweroff", &Value::Null);
    cloud.wait(MINUTE);
    cloud.sim(Method::DELETE, "/exposure", &Value::Null);
    cloud.act(id, "change_type", &json!({"server_type": "cx33", "upgrade_disk": false}));
    assert_eq!(cloud.history(id), ["off", "everything"]);
}

#[test]
fn after_a_restart_the_timeline_begins_with_what_is_there() {
    let mut cloud = Cloud::new(1.0);
    let id = running(&mut cloud, &[]);
    let mut other = Cloud::new(1.0);
    other.now = cloud.now;
    other.sim.restore(&cloud.sim.snapshot().unwrap()).unwrap();
    other.get("/servers");
    assert_eq!(other.history(id), ["everything"]);
}
